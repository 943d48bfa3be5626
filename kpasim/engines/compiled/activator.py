"""The activator: its statistics, its queue, its choice of pod (the same as reference/activator.py)."""

from __future__ import annotations

from kpasim.engines import params as of
from kpasim.engines.clock import Kind, tick_at_or_after
from kpasim.engines.compiled import agenda, autoscaler, clients, pod, queues
from kpasim.engines.compiled.layout import (
    A_ASSIGNED,
    A_CAPACITY,
    A_HEAD,
    A_REPORT,
    A_RUNNING,
    A_TURN,
    A_VIEW,
    A_WAITING,
    ADDRESS,
    AT_FRONT,
    IN_SUBSET,
    MASK,
    NEXT_REPORT,
    NOTHING,
    NOW,
    R_ACTIVATOR,
    R_DRAW,
    R_POD,
    R_STATUS,
    TERMINATING,
    USABLE,
    P,
    World,
)
from kpasim.engines.draws import CHANCE_ONE, COIN, POD_A, POD_B, chance
from kpasim.engines.params import FOREVER_NS, NEVER_NS, SECOND_NS
from kpasim.policy import accounting, routing

POKE = int(Kind.POKE)


def enter(w: World, request: int, index: int) -> None:
    """A request arrives."""
    now = w.i[NOW]
    row = request & w.i[MASK]
    w.request[row, R_ACTIVATOR] = index
    if accounting.activator_enter(w.stats[index], now):
        agenda.plan(w, now + w.p[P.first_stat_ns], POKE, index)
        w.activator[index, A_REPORT] = tick_at_or_after(w.phase[of.REPORT + index], SECOND_NS, now)
        next_report(w)
    w.request[row, R_STATUS] = AT_FRONT
    queues.append(w, w.activator[index], A_HEAD, request)
    dispatch(w, index, False)


def next_report(w: World) -> None:
    """Note when an activator reports next."""
    first = FOREVER_NS
    for index in range(len(w.activator)):
        first = min(first, w.activator[index, A_REPORT])
    w.i[NEXT_REPORT] = first


def report(w: World, index: int) -> None:
    """Tell the autoscaler what the last second was like; again in a second while there is anything to tell."""
    concurrency, count, alive = accounting.activator_report(w.stats[index], w.i[NOW])
    w.activator[index, A_REPORT] = w.i[NOW] + SECOND_NS if alive else FOREVER_NS
    next_report(w)
    autoscaler.told(w, concurrency, float(count), False)


def dispatch(w: World, index: int, handed_over: bool) -> None:
    """Send waiting requests to pods while there are free slots."""
    me = w.activator[index]
    while me[A_WAITING] > 0 and me[A_RUNNING] < me[A_CAPACITY]:
        request = me[A_HEAD]
        chosen = choose(w, request, index)
        if chosen < 0:
            return
        queues.remove(w, me, A_HEAD, request)
        me[A_RUNNING] += 1
        w.in_flight[index, chosen] += 1
        status = pod.join(w, request, chosen, False, handed_over)
        if status:
            me[A_RUNNING] -= 1
            w.in_flight[index, chosen] -= 1
            accounting.activator_leave(w.stats[index], w.i[NOW])
            clients.end(w, request & w.i[MASK], status)


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
    queues.remove(w, w.activator[w.request[request & w.i[MASK], R_ACTIVATOR]], A_HEAD, request)


def release(w: World, row: int) -> None:
    """A request that was with a pod is over: its slot is free."""
    index = w.request[row, R_ACTIVATOR]
    accounting.activator_leave(w.stats[index], w.i[NOW])
    w.activator[index, A_RUNNING] -= 1
    w.in_flight[index, w.request[row, R_POD]] -= 1
    dispatch(w, index, True)


def answered(w: World, row: int, served_by: int) -> None:
    """A response sets the session's cookie."""
    if not w.p[P.cookies] or w.p[P.affinity] == of.NO_AFFINITY:
        return
    session = w.request[row, R_DRAW] % w.p[P.sessions]
    w.sticky[2, session] = w.i[NOW]
    by = w.request[row, R_ACTIVATOR]
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
    enter, next_report, report, dispatch, choose, drop, release, answered, find, comes_before, forget, assign,
)  # fmt: skip
