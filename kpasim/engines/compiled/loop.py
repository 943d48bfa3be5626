"""The event loop: whatever is due next, in the order that ``clock.Kind`` gives to simultaneous events."""

from __future__ import annotations

from kpasim.engines.clock import ENTITY_BITS, Kind
from kpasim.engines.compiled import (
    activator,
    agenda,
    autoscaler,
    clients,
    cluster,
    ingress,
    pod,
    reconciler,
)
from kpasim.engines.compiled.layout import (
    A_REPORT,
    AGE_TAIL,
    BUSY,
    BUSY_SINCE,
    END_NS,
    FAULT,
    FINISHED,
    HOT_KEY,
    HOT_NS,
    MODE,
    MORE_DRAWS,
    NEXT_GIVE_UP,
    NEXT_REPORT,
    NEXT_SCRAPE,
    NEXT_SEND,
    NEXT_TICK,
    NEXT_TIMEOUT,
    NO_FAULT,
    NOW,
    PODS,
    SENT,
    P,
    World,
    reset,
)
from kpasim.engines.params import FOREVER_NS, NEVER_NS
from kpasim.policy import accounting, burst

(
    DONE, FIRST_BYTE, TIMEOUT, GIVE_UP, SEND, ARRIVE, WAKE, REPORT, SCRAPE, TICK, POKE, RECONCILE, ROLLOUT, SKS,
    MODE_KIND, NODE, STAGE, FOUND, READY, VISIBLE, FORGET, DRAIN, KILL, LOAD, END,
) = (int(kind) for kind in Kind)  # fmt: skip
ENTITY_MASK = (1 << ENTITY_BITS) - 1


def play(w: World) -> None:
    """Play one run from the creation of the revision to its end, or on to it after a pause for more draws."""
    i = w.i
    if i[FAULT] == MORE_DRAWS:
        i[FAULT] = NO_FAULT
        clients.plan_next(w)
    else:
        reset(w)
        reconciler.create_revision(w)
    while i[FINISHED] == 0 and i[FAULT] == 0:
        # The earliest of the clocks that need no heap. A tie goes to the lower kind, and they come in that order.
        time_ns = i[NEXT_TIMEOUT]
        kind = TIMEOUT
        due_ns = i[NEXT_GIVE_UP]
        if due_ns < time_ns:
            time_ns = due_ns
            kind = GIVE_UP
        due_ns = i[NEXT_SEND]
        if due_ns < time_ns:
            time_ns = due_ns
            kind = SEND
        due_ns = i[NEXT_REPORT]
        if due_ns < time_ns:
            time_ns = due_ns
            kind = REPORT
        due_ns = i[NEXT_SCRAPE]
        if due_ns < time_ns:
            time_ns = due_ns
            kind = SCRAPE
        due_ns = i[NEXT_TICK]
        if due_ns < time_ns:
            time_ns = due_ns
            kind = TICK
        # The earliest of what was planned.
        planned_ns = w.heap[0, 0]
        key = w.heap[0, 1]
        from_heap = True
        if i[HOT_NS] < planned_ns or (i[HOT_NS] == planned_ns and i[HOT_KEY] < key):
            planned_ns = i[HOT_NS]
            key = i[HOT_KEY]
            from_heap = False
        if planned_ns < time_ns or (planned_ns == time_ns and key >> ENTITY_BITS < kind):
            if planned_ns == FOREVER_NS:
                break
            i[NOW] = planned_ns
            if from_heap:
                agenda.drop_first(w)
            else:
                i[HOT_NS] = FOREVER_NS
            handle(w, key >> ENTITY_BITS, key & ENTITY_MASK)
            continue
        if time_ns == FOREVER_NS:
            break
        i[NOW] = time_ns
        if kind == SEND:
            clients.send_open(w)
        elif kind == REPORT:
            index = 0
            while w.activator[index, A_REPORT] != time_ns:
                index += 1
            activator.report(w, index)
        elif kind == SCRAPE:
            autoscaler.scrape(w)
        elif kind == TICK:
            autoscaler.tick(w)
        elif kind == TIMEOUT:
            time_out(w)
        else:
            give_up(w)


def time_out(w: World) -> None:
    """TimeoutSeconds are over for the oldest request at the front, if it is still there."""
    oldest = agenda.oldest_at_front(w)
    if oldest < w.i[AGE_TAIL]:
        request = int(w.age[oldest & (len(w.age) - 1)])
        if agenda.over_at(w, request) == w.i[NOW]:
            pod.withdraw(w, request, clients.TIMED_OUT)
    w.i[NEXT_TIMEOUT] = agenda.next_timeout(w)


def give_up(w: World) -> None:
    """A client's patience is over, if it still waits."""
    if agenda.next_give_up(w) == w.i[NOW]:
        pod.withdraw(w, agenda.oldest_sent(w), clients.CLIENT_TIMEOUT)
    w.i[NEXT_GIVE_UP] = agenda.next_give_up(w)


def handle(w: World, kind: int, entity: int) -> None:
    """Handle one planned event."""
    if kind == DONE:
        if entity + len(w.request) >= w.i[SENT]:
            pod.done(w, entity)
    elif kind == ARRIVE:
        ingress.arrive(w, entity)
    elif kind == SEND:
        clients.send_closed(w, entity)
    elif kind == WAKE:
        activator.awake(w, entity // len(w.activator), entity % len(w.activator))
    elif kind == POKE:
        autoscaler.told(w, 1.0, 1.0, True)
    elif kind == FIRST_BYTE:
        ingress.first_byte_due(w, entity)
    elif kind == RECONCILE:
        reconciler.on_event(w, entity)
    elif kind == ROLLOUT:
        reconciler.roll_out(w)
    elif kind == STAGE:
        cluster.stage_done(w, entity)
    elif kind == FOUND:
        activator.find(w, entity // w.p[P.activators], entity % w.p[P.activators])
    elif kind == READY:
        pod.becomes_ready(w, entity)
    elif kind == DRAIN:
        pod.drain(w, entity)
    elif kind == FORGET:
        for index in range(w.p[P.activators]):
            activator.forget(w, entity, index)
    else:
        handle_rare(w, kind, entity)


def handle_rare(w: World, kind: int, entity: int) -> None:
    """Handle one planned event of a kind that seldom comes."""
    if kind == VISIBLE:
        if entity & 1:
            ingress.show(w, entity >> 1)
        else:
            ingress.hide(w, entity >> 1)
    elif kind == SKS:
        reconciler.reconcile_sks(w)
    elif kind == MODE_KIND:
        w.i[MODE] = burst.SERVE if entity else burst.PROXY
    elif kind == NODE:
        cluster.node_due(w, entity)
    elif kind == KILL:
        pod.kill(w, entity)
    elif kind == LOAD and entity == 0:
        clients.start_load(w)
    elif kind == LOAD:
        reconciler.start_load_at(w, w.i[NOW])
    elif kind == END:
        clients.stop(w)


def finish(w: World) -> int:
    """Close the books at the end of a run; the integral of concurrency that the statistics kept [request-ns]."""
    if w.i[FAULT] == MORE_DRAWS:
        return 0
    clients.cut_off(w)
    total = 0
    for row in range(len(w.activator) + w.i[PODS]):
        accounting.advance(w.stats[row], w.i[NOW])
        total += w.stats[row, accounting.LIFETIME_INTEGRAL]
    for which in range(w.i[PODS]):
        w.pod[which, BUSY] = pod.busy_at(w, which, w.i[NOW])
        w.pod[which, BUSY_SINCE] = NEVER_NS
    w.i[END_NS] = w.i[NOW] if w.i[FINISHED] else w.i[END_NS]
    return int(total)


KERNELS = (handle_rare, handle, time_out, give_up, play, finish)
