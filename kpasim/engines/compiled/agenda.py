"""Planned events: a binary heap ordered by time, kind and entity, and two queues that need no heap."""

from __future__ import annotations

from kpasim.engines.clock import ENTITY_BITS
from kpasim.engines.compiled.layout import (
    AGE_HEAD,
    AGE_TAIL,
    ENDED_FROM,
    FAULT,
    FIRST_DRAW,
    HEAP,
    HOT_KEY,
    HOT_NS,
    MASK,
    MORE_EVENTS,
    PATIENCE_HEAD,
    ROWS,
    SENT,
    P,
    World,
)
from kpasim.engines.params import FOREVER_NS


def plan(w: World, time_ns: int, kind: int, entity: int) -> None:
    """Plan an event.

    The earliest of the latest few is kept beside the heap: what comes next was often planned a moment ago, and then
    never sees the heap.
    """
    i = w.i
    key = (kind << ENTITY_BITS) | entity
    hot_ns = i[HOT_NS]
    hot_key = i[HOT_KEY]
    if time_ns < hot_ns or (time_ns == hot_ns and key < hot_key):
        i[HOT_NS] = time_ns
        i[HOT_KEY] = key
        if hot_ns != FOREVER_NS:
            push(w, hot_ns, hot_key)
    else:
        push(w, time_ns, key)


def push(w: World, time_ns: int, key: int) -> None:
    """Put an event on the heap."""
    heap = w.heap
    place = w.i[HEAP]
    if place >= len(heap):
        w.i[FAULT] = MORE_EVENTS
        return
    w.i[HEAP] = place + 1
    rise(w, place, time_ns, key)


def rise(w: World, place: int, time_ns: int, key: int) -> None:
    """Let an event rise from a free place of the heap to where it belongs."""
    heap = w.heap
    while place > 0:
        parent = (place - 1) >> 1
        if heap[parent, 0] < time_ns or (heap[parent, 0] == time_ns and heap[parent, 1] <= key):
            break
        heap[place, 0] = heap[parent, 0]
        heap[place, 1] = heap[parent, 1]
        place = parent
    heap[place, 0] = time_ns
    heap[place, 1] = key


def drop_first(w: World) -> None:
    """Take the first event off the heap."""
    heap = w.heap
    last = w.i[HEAP] - 1
    w.i[HEAP] = last
    time_ns = heap[last, 0]
    key = heap[last, 1]
    if last == 0:
        # Whoever looks for the first event need not ask whether there is one.
        heap[0, 0] = FOREVER_NS
        return
    # The last event most likely belongs far down again, so the hole goes all the way before it is filled.
    place = 0
    child = 1
    while child < last:
        # Adding a truth in place of branching on it, which nobody can predict. The right one may be the last event.
        one = heap[child, 0]
        other = heap[child + 1, 0]
        child += int((other < one) | ((other == one) & (heap[child + 1, 1] < heap[child, 1])))
        heap[place, 0] = heap[child, 0]
        heap[place, 1] = heap[child, 1]
        place = child
        child = 2 * place + 1
    rise(w, place, time_ns, key)


def draw_of(w: World, request: int) -> int:
    """Which draws a request has: those of its place in an open loop, those of its worker in a closed one."""
    return int(w.drawn[request & w.i[MASK]]) if w.p[P.closed] else request


def has_ended(w: World, request: int) -> bool:
    """Whether a request is over; its row may belong to a later one by now."""
    return bool(request + w.i[ROWS] < w.i[SENT] or w.request["status"][request & w.i[MASK]] >= ENDED_FROM)


def oldest_at_front(w: World) -> int:
    """Place in ``World.age`` of the live request that has been at the front for longest; the tail if there is none."""
    head = w.i[AGE_HEAD]
    tail = w.i[AGE_TAIL]
    while head < tail and has_ended(w, int(w.age[head & (len(w.age) - 1)])):
        head += 1
    w.i[AGE_HEAD] = head
    return int(head)


def oldest_sent(w: World) -> int:
    """The live request that was sent first; the next one to be sent if there is none."""
    head = w.i[PATIENCE_HEAD]
    while head < w.i[SENT] and has_ended(w, head):
        head += 1
    w.i[PATIENCE_HEAD] = head
    return int(head)


def next_timeout(w: World) -> int:
    """When timeoutSeconds are over for the request that has been at the front for longest.

    The loop keeps the answer while requests come and go, and asks again when that time has come: a request that has
    ended by then costs one look, not one at every event.
    """
    head = oldest_at_front(w)
    if head == w.i[AGE_TAIL]:
        return FOREVER_NS
    return over_at(w, int(w.age[head & (len(w.age) - 1)]))


def over_at(w: World, request: int) -> int:
    """When timeoutSeconds are over for a live request, from its arrival at the front."""
    row = request & w.i[MASK]
    return int(w.request["sent"][row] + w.delay[draw_of(w, request) - w.supply[FIRST_DRAW]] + w.p[P.timeout_ns])


def next_give_up(w: World) -> int:
    """When the client that has waited for longest gives up; kept as ``next_timeout``."""
    first = oldest_sent(w)
    if first == w.i[SENT]:
        return FOREVER_NS
    return int(w.request["sent"][first & w.i[MASK]] + w.p[P.client_timeout_ns])


KERNELS = (
    rise, push, plan, drop_first, draw_of, has_ended, oldest_at_front, oldest_sent, over_at, next_timeout, next_give_up,
)  # fmt: skip
