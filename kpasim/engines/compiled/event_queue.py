"""The fast event queue: a heap by time, kind and entity, with the earliest of the latest few beside it.

Each event of the heap has four below it, which lie together in memory: long heaps wait for memory most. Behind the last
one there are always three places with an event that never comes, so that nobody asks how many of the four there are.
"""

from __future__ import annotations

from kpasim.engines.clock import ENTITY_BITS
from kpasim.engines.model.state import MORE_EVENTS, Simulation
from kpasim.engines.params import FOREVER_NS

BEHIND = 3
"""Places behind the last event of the heap that hold one that never comes."""


def schedule(sim: Simulation, time_ns: int, kind: int, entity: int) -> None:
    """Schedule an event.

    The earliest of the latest few is kept beside the heap: what comes next was often scheduled a moment ago, and then
    never sees the heap.
    """
    queue = sim.event_queue
    key = (kind << ENTITY_BITS) | entity
    hot_ns = queue.hot_ns
    hot_key = queue.hot_key
    if time_ns < hot_ns or (time_ns == hot_ns and key < hot_key):
        queue.hot_ns = time_ns
        queue.hot_key = key
        if hot_ns != FOREVER_NS:
            push(sim, hot_ns, hot_key)
    else:
        push(sim, time_ns, key)


def is_quiet_now(sim: Simulation) -> bool:
    """Whether no other event of this moment is scheduled."""
    return bool(sim.heap[0, 0] > sim.now_ns and sim.event_queue.hot_ns > sim.now_ns)


def push(sim: Simulation, time_ns: int, key: int) -> None:
    """Put an event on the heap."""
    place = sim.event_queue.size
    if place + BEHIND >= len(sim.heap):
        sim.fault = MORE_EVENTS
        return
    sim.event_queue.size = place + 1
    sim.heap[place + BEHIND, 0] = FOREVER_NS
    rise(sim, place, time_ns, key)


def rise(sim: Simulation, place: int, time_ns: int, key: int) -> None:
    """Let an event rise from a free place of the heap to where it belongs."""
    heap = sim.heap
    while place > 0:
        parent = (place - 1) >> 2
        if heap[parent, 0] < time_ns or (heap[parent, 0] == time_ns and heap[parent, 1] <= key):
            break
        heap[place, 0] = heap[parent, 0]
        heap[place, 1] = heap[parent, 1]
        place = parent
    heap[place, 0] = time_ns
    heap[place, 1] = key


def drop_first(sim: Simulation) -> None:
    """Take the first event off the heap."""
    heap = sim.heap
    last = sim.event_queue.size - 1
    sim.event_queue.size = last
    time_ns = heap[last, 0]
    key = heap[last, 1]
    heap[last, 0] = FOREVER_NS
    if last == 0:
        return
    # The last event most likely belongs far down again, so the hole goes all the way before it is filled.
    place = 0
    child = 1
    while child < last:
        # Adding a truth in place of branching on it, which nobody can predict.
        one = child + int(is_earlier(sim, child + 1, child))
        other = child + 2 + int(is_earlier(sim, child + 3, child + 2))
        child = one + (other - one) * int(is_earlier(sim, other, one))
        heap[place, 0] = heap[child, 0]
        heap[place, 1] = heap[child, 1]
        place = child
        child = 4 * place + 1
    rise(sim, place, time_ns, key)


def clear(sim: Simulation) -> None:
    """No event is scheduled; whoever looks for the first one need not ask whether there is one."""
    for place in range(BEHIND + 1):
        sim.heap[place, 0] = FOREVER_NS


def is_earlier(sim: Simulation, one: int, other: int) -> bool:
    """Whether the event at a place of the heap comes before the one at another."""
    heap = sim.heap
    return bool((heap[one, 0] < heap[other, 0]) | ((heap[one, 0] == heap[other, 0]) & (heap[one, 1] < heap[other, 1])))


KERNELS = (rise, push, schedule, is_quiet_now, is_earlier, drop_first, clear)
