"""The fast event queue: the next few events in their order, and a heap of all that come after these.

A run seldom has more than some dozens of events ahead, and moving a few of them up is quicker than any step through a
heap: branches are foreseen, and what comes next is always the last row. In front of the first row stands an event that
never comes, so nobody asks whether there is one.

Each event of the heap has four below it, which lie together in memory: long heaps wait for memory most. Behind the last
one there are always three places with an event that never comes, so that nobody asks how many of the four there are.
"""

from __future__ import annotations

from kpasim.engines.clock import ENTITY_BITS, Kind
from kpasim.engines.model.state import MORE_EVENTS, NEAR, Simulation
from kpasim.engines.params import FOREVER_NS

GIVE_UP = int(Kind.GIVE_UP)
BEHIND = 3
"""Places behind the last event of the heap that hold one that never comes."""
HALF = NEAR // 2
"""Events that move at once between the next few and the heap."""


def schedule(sim: Simulation, time_ns: int, kind: int, entity: int) -> None:
    """Schedule an event."""
    queue, near = sim.event_queue, sim.near
    key = (kind << ENTITY_BITS) | entity
    if queue.near == NEAR:
        put_off(sim)
    # Whatever is on the heap comes after all of the next few.
    if queue.size and (near[1, 0] < time_ns or (near[1, 0] == time_ns and near[1, 1] < key)):
        push(sim, time_ns, key)
        return
    place = queue.near
    queue.near = place + 1
    while near[place, 0] < time_ns or (near[place, 0] == time_ns and near[place, 1] < key):
        near[place + 1, 0] = near[place, 0]
        near[place + 1, 1] = near[place, 1]
        place -= 1
    near[place + 1, 0] = time_ns
    near[place + 1, 1] = key


def wake(sim: Simulation, time_ns: int, kind: int, entity: int) -> None:
    """Schedule what the loop does not look at: clocks that are seldom due."""
    if kind <= GIVE_UP and time_ns != FOREVER_NS:
        schedule(sim, time_ns, kind, entity)


def comes_next(sim: Simulation, time_ns: int) -> bool:
    """Whether ``time_ns`` is before all that is scheduled, and before every clock."""
    return bool(
        time_ns < sim.near[sim.event_queue.near, 0]
        and time_ns < sim.clients.next_send_ns
        and time_ns < sim.ingress.next_report_ns
        and time_ns < sim.autoscaler.next_scrape_ns
        and time_ns < sim.autoscaler.next_tick_ns
    )


def is_quiet_now(sim: Simulation) -> bool:
    """Whether no other event of this moment is scheduled."""
    return bool(sim.near[sim.event_queue.near, 0] > sim.now_ns)


def take_first(sim: Simulation) -> None:
    """Take the first event away."""
    queue = sim.event_queue
    queue.near -= 1
    if queue.near == 0 and queue.size:
        fetch(sim)


def put_off(sim: Simulation) -> None:
    """Move the later half of the next few to the heap."""
    near = sim.near
    for place in range(1, HALF + 1):
        push(sim, near[place, 0], near[place, 1])
        near[place, 0] = near[place + HALF, 0]
        near[place, 1] = near[place + HALF, 1]
    sim.event_queue.near = HALF


def fetch(sim: Simulation) -> None:
    """Make the first events of the heap the next few."""
    count = min(sim.event_queue.size, HALF)
    for place in range(count, 0, -1):
        sim.near[place, 0] = sim.heap[0, 0]
        sim.near[place, 1] = sim.heap[0, 1]
        drop_first(sim)
    sim.event_queue.near = count


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
    """No event is scheduled."""
    sim.near[0, 0] = FOREVER_NS
    sim.near[0, 1] = FOREVER_NS
    for place in range(BEHIND + 1):
        sim.heap[place, 0] = FOREVER_NS


def is_earlier(sim: Simulation, one: int, other: int) -> bool:
    """Whether the event at a place of the heap comes before the one at another."""
    heap = sim.heap
    time_ns, other_ns = heap[one, 0], heap[other, 0]
    if time_ns == other_ns:  # seldom, so foreseen
        return bool(heap[one, 1] < heap[other, 1])
    return bool(time_ns < other_ns)


KERNELS = (
    rise, push, is_earlier, drop_first, put_off, fetch, schedule, wake, comes_next, is_quiet_now, take_first, clear,
)  # fmt: skip
