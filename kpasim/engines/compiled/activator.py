"""The activator: its statistics, its queue, its choice of pod (the same as reference/activator.py)."""

from __future__ import annotations

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.compiled import agenda, autoscaler, clients, pod, queues
from kpasim.engines.compiled.lateness import due_after, lateness, nth_due
from kpasim.engines.compiled.layout import (
    A_ASSIGNED,
    A_CAPACITY,
    A_HEAD,
    A_REPORT,
    A_RUNNING,
    A_TURN,
    A_VIEW,
    A_WAITING,
    A_WAKES,
    A_WAKING,
    ADDRESS,
    AT_FRONT,
    IN_SUBSET,
    KNOWN,
    LATE_ACTIVATOR,
    MASK,
    NEXT_REPORT,
    NOTHING,
    NOW,
    TERMINATING,
    USABLE,
    WOKEN,
    P,
    World,
)
from kpasim.engines.draws import CHANCE_ONE, COIN, LATE_REPORT, LATE_WAKE, POD_A, POD_B, chance, session_of
from kpasim.engines.params import FOREVER_NS, NEVER_NS, SECOND_NS
from kpasim.policy import accounting, routing

POKE, WAKE = int(Kind.POKE), int(Kind.WAKE)


def enter(w: World, request: int, index: int) -> None:
    """A request arrives."""
    now = w.i[NOW]
    row = request & w.i[MASK]
    w.request["activator"][row] = index
    if accounting.activator_enter(w.stats[index], now):
        agenda.plan(w, now + w.p[P.first_stat_ns], POKE, index)
        w.activator[index, A_REPORT] = report_due_after(w, index, now - 1)
        next_report(w)
    take_slot(w, request, index, False)


def report_due_after(w: World, index: int, time_ns: int) -> int:
    """When an activator reports next after ``time_ns``."""
    row, phase_ns = LATE_ACTIVATOR + 2 * index, w.phase[of.REPORT + index]
    return int(due_after(w, row, phase_ns, SECOND_NS, time_ns, LATE_REPORT + index, w.p[P.clock_jitter_ns]))


def next_report(w: World) -> None:
    """Note when an activator reports next."""
    first = FOREVER_NS
    for index in range(len(w.activator)):
        first = min(first, w.activator[index, A_REPORT])
    w.i[NEXT_REPORT] = first


def report(w: World, index: int) -> None:
    """Tell the autoscaler what the last second was like; again in a second while there is anything to tell."""
    concurrency, count, alive = accounting.activator_report(w.stats[index], w.i[NOW])
    due_ns = FOREVER_NS
    if alive:
        phase_ns = w.phase[of.REPORT + index]
        nth = (w.i[NOW] - phase_ns) // SECOND_NS + 1
        row = LATE_ACTIVATOR + 2 * index
        due_ns = nth_due(w, row, nth, phase_ns, SECOND_NS, LATE_REPORT + index, w.p[P.clock_jitter_ns])
    w.activator[index, A_REPORT] = due_ns
    next_report(w)
    autoscaler.told(w, concurrency, float(count), False)


def dispatch(w: World, index: int, handed_over: bool) -> None:
    """Send waiting requests to pods while there are slots that no woken request is about to take."""
    me = w.activator[index]
    while me[A_WAITING] > 0 and me[A_RUNNING] + me[A_WAKING] < me[A_CAPACITY]:
        request = me[A_HEAD]
        chosen = choose(w, request, index)
        if chosen < 0:
            return
        queues.remove(w, me, A_HEAD, request)
        send(w, request, index, chosen, handed_over)


def take_slot(w: World, request: int, index: int, handed_over: bool) -> None:
    """Send a request to a pod if there is a free slot, past all that wait; else it waits behind them."""
    me = w.activator[index]
    chosen = choose(w, request, index) if me[A_RUNNING] < me[A_CAPACITY] else NOTHING
    if chosen < 0:
        w.request["status"][request & w.i[MASK]] = AT_FRONT
        queues.append(w, me, A_HEAD, request)
    else:
        send(w, request, index, chosen, handed_over)


def send(w: World, request: int, index: int, chosen: int, handed_over: bool) -> None:
    """Send a request to a pod."""
    me = w.activator[index]
    me[A_RUNNING] += 1
    w.in_flight[index, chosen] += 1
    status = pod.join(w, request, chosen, False, handed_over)
    if status:
        me[A_RUNNING] -= 1
        w.in_flight[index, chosen] -= 1
        accounting.activator_leave(w.stats[index], w.i[NOW])
        clients.end(w, request & w.i[MASK], status)


def wake(w: World, index: int) -> None:
    """A slot is free: wake the request that waits for longest, which takes the slot when it is awake."""
    me = w.activator[index]
    if me[A_WAITING] == 0 or me[A_RUNNING] + me[A_WAKING] >= me[A_CAPACITY]:
        return
    me[A_WAKES] += 1
    asleep_ns = lateness(w, LATE_ACTIVATOR + 2 * index + 1, me[A_WAKES], LATE_WAKE + index, w.p[P.wake_ns])
    if asleep_ns <= w.p[P.server_to_client_ns]:
        # Nobody can have overtaken it.
        dispatch(w, index, True)
        return
    request = me[A_HEAD]
    queues.remove(w, me, A_HEAD, request)
    me[A_WAKING] += 1
    w.request["status"][request & w.i[MASK]] = WOKEN
    agenda.plan(w, w.i[NOW] + asleep_ns, WAKE, request * len(w.activator) + index)


def awake(w: World, request: int, index: int) -> None:
    """A woken request takes a free slot; if a newcomer was faster, it waits again, behind all others."""
    if agenda.has_ended(w, request):
        # Its time was over. The slot goes to the next one.
        dispatch(w, index, True)
    else:
        w.activator[index, A_WAKING] -= 1
        take_slot(w, request, index, True)


def choose(w: World, request: int, index: int) -> int:
    """The pod for a request, -1 if all are full."""
    how = routing.policy(w.p[P.container_concurrency])
    count = w.activator[index, A_ASSIGNED]
    assigned = w.assigned[index]
    in_flight = w.in_flight[index]
    if how == routing.RANDOM_CHOICE_2:
        first = chance(w.key, request, POD_A) / CHANCE_ONE
        second = chance(w.key, request, POD_B) / CHANCE_ONE
        one, other = routing.contestants(count, first, second)
        coin = chance(w.key, request, COIN) & 1 == 1
        return int(routing.power_of_two(in_flight, assigned[one], assigned[other], coin))
    if how == routing.FIRST_AVAILABLE:
        return int(routing.first_available(assigned, count, in_flight, w.slots))
    chosen, turn = routing.round_robin(assigned, count, in_flight, w.slots, w.activator[index, A_TURN])
    w.activator[index, A_TURN] = turn
    return int(chosen)


def drop(w: World, request: int) -> None:
    """A waiting request leaves the queue."""
    row = request & w.i[MASK]
    me = w.activator[w.request["activator"][row]]
    if w.request["status"][row] == WOKEN:
        me[A_WAKING] -= 1
    else:
        queues.remove(w, me, A_HEAD, request)


def release(w: World, row: int) -> None:
    """A request that was with a pod is over: its slot is free."""
    index = int(w.request["activator"][row])
    accounting.activator_leave(w.stats[index], w.i[NOW])
    w.activator[index, A_RUNNING] -= 1
    w.in_flight[index, w.request["pod"][row]] -= 1
    wake(w, index)


def client_of(w: World, request: int) -> int:
    """The session that a request belongs to."""
    draw = agenda.draw_of(w, request)
    worker = draw // clients.stride(w) if w.p[P.closed] else -1
    return int(session_of(w.key, draw, worker, w.p[P.sessions]))


def answered(w: World, request: int, served_by: int) -> None:
    """A response sets the session's cookie."""
    if not w.p[P.cookies] or w.p[P.affinity] == of.NO_AFFINITY:
        return
    session = client_of(w, request)
    w.sticky[2, session] = w.i[NOW]
    by = w.request["activator"][request & w.i[MASK]]
    if by == NOTHING or w.p[P.affinity] == of.POD_AFFINITY:
        w.sticky[0, session] = served_by
    if by != NOTHING:
        w.sticky[1, session] = by


def find(w: World, which: int, index: int) -> None:
    """A probe of a pod has succeeded."""
    if w.pod[which, TERMINATING]:
        return
    count = w.activator[index, A_VIEW]
    view = w.found[index]
    place = 0
    while place < count and comes_before(w, view[place], which):
        place += 1
    if place < count and view[place] == which:
        return
    for later in range(count, place, -1):
        view[later] = view[later - 1]
    view[place] = which
    w.activator[index, A_VIEW] = count + 1
    w.pod[which, KNOWN] |= 1 << index
    if w.pod[which, USABLE] == NEVER_NS:
        w.pod[which, USABLE] = w.i[NOW]
    assign(w, index)


def comes_before(w: World, one: int, other: int) -> bool:
    """Whether a pod's address sorts before another's."""
    a = w.pod[one, ADDRESS]
    b = w.pod[other, ADDRESS]
    return bool(a < b or (a == b and one < other))


def forget(w: World, which: int, index: int) -> None:
    """A pod has left the endpoints; requests that it still has keep their slots here."""
    count = w.activator[index, A_VIEW]
    view = w.found[index]
    for place in range(count):
        if view[place] == which:
            for later in range(place, count - 1):
                view[later] = view[later + 1]
            w.activator[index, A_VIEW] = count - 1
            assign(w, index)
            return


def assign(w: World, index: int) -> None:
    """Take this activator's slice of the pods and let requests go to them."""
    cc = w.p[P.container_concurrency]
    activators = w.i[IN_SUBSET] if cc else 1
    me = index if index < activators else routing.UNKNOWN_ACTIVATOR
    count = w.activator[index, A_VIEW]
    assigned = routing.assign_slice(w.found[index], count, me, activators, w.assigned[index])
    w.activator[index, A_ASSIGNED] = assigned
    w.activator[index, A_CAPACITY] = routing.capacity(cc, count, assigned, activators)
    dispatch(w, index, False)


KERNELS = (
    report_due_after, next_report, choose, send, take_slot, dispatch, enter, report, wake, awake, drop, release,
    client_of, answered, comes_before, assign, find, forget,
)  # fmt: skip
