"""Who sends requests, and what becomes of them (the same as reference/clients.py)."""

from __future__ import annotations

from kpasim.engines.clock import Kind
from kpasim.engines.compiled import agenda
from kpasim.engines.compiled.layout import (
    ALIVE,
    BROKEN,
    END_NS,
    ENDED_FROM,
    ERROR_COUNT,
    FAULT,
    FINISHED,
    FIRST_DRAW,
    FIRST_SERVICE,
    GHOST,
    GONE,
    LAST_END,
    LATENCY_MAX,
    LATENCY_MIN,
    LATENCY_SUM,
    LIVE,
    LOAD_NS,
    MASK,
    MORE_DRAWS,
    MORE_REQUESTS,
    NEXT_GIVE_UP,
    NEXT_SEND,
    NO_MORE,
    NOTHING,
    NOW,
    OK_COUNT,
    ON_ITS_WAY,
    PHASE,
    R_NEXT,
    R_PREV,
    REPLICAS,
    ROWS,
    SENT,
    STARTS,
    STATISTICS_ONLY,
    SUPPLIED,
    TYPE,
    WORKING,
    P,
    World,
)
from kpasim.engines.counts import bucket_of
from kpasim.engines.params import FOREVER_NS, NEVER_NS, SECOND_NS

SEND, ARRIVE, END = int(Kind.SEND), int(Kind.ARRIVE), int(Kind.END)
OK, CLIENT_TIMEOUT, BAD_GATEWAY, QUEUE_FULL, TIMED_OUT, CUT_OFF = 200, 0, 502, 503, 504, -1
SETTLE_NS = 30 * SECOND_NS
LOST_NS = 7200 * SECOND_NS


def is_over(w: World) -> bool:
    """Whether nothing will be sent any more and everything has ended."""
    if w.i[LOAD_NS] > w.i[NOW] or w.i[LIVE] > 0:
        return False
    if w.p[P.closed]:
        return bool(w.i[WORKING] == 0)
    return bool(w.supply[NO_MORE] and w.i[SENT] == w.supply[SUPPLIED])


def stays_ns(w: World) -> int:
    """How long a revision that never goes away by itself is watched."""
    return int(w.p[P.stable_window_s] * SECOND_NS + w.p[P.grace_ns] + SETTLE_NS)


def lost_ns(w: World) -> int:
    """How long one that should go away is waited for."""
    return int(LOST_NS + w.p[P.retention_ns])


def settle(w: World) -> None:
    """End the run when all requests are answered and everything that can go away has gone."""
    if not is_over(w) or w.p[P.horizon_ns]:
        return
    if not w.p[P.stays] and w.i[ALIVE] == 0 and w.i[REPLICAS] == 0:
        stop(w)
    elif w.i[END_NS] == FOREVER_NS:
        wait_ns = stays_ns(w) if w.p[P.stays] else lost_ns(w)
        w.i[END_NS] = max(w.i[LAST_END], w.i[NOW]) + wait_ns
        agenda.plan(w, w.i[END_NS], END, 0)


def stop(w: World) -> None:
    """End the run now."""
    w.i[END_NS] = w.i[NOW]
    w.i[FINISHED] = 1


def start_load(w: World) -> None:
    """Begin the load."""
    w.i[LAST_END] = w.i[NOW]
    if not w.p[P.closed]:
        plan_next(w)
        settle(w)
        return
    w.i[WORKING] = w.p[P.workers]
    for worker in range(w.p[P.workers]):
        next_of(w, worker, w.i[NOW])
    settle(w)


def plan_next(w: World) -> None:
    """Note when the open loop sends its next request."""
    if w.i[SENT] < w.supply[SUPPLIED]:
        w.i[NEXT_SEND] = w.i[LOAD_NS] + w.sent[w.i[SENT] - w.supply[FIRST_DRAW]]
    else:
        w.i[NEXT_SEND] = FOREVER_NS
        if not w.supply[NO_MORE]:
            w.i[FAULT] = MORE_DRAWS


def next_of(w: World, worker: int, free_ns: int) -> None:
    """Let a worker that is free at ``free_ns`` send its next request, or end."""
    period_ns = w.p[P.worker_period_ns]
    load_ns = w.i[LOAD_NS]
    sends_ns = free_ns
    if period_ns:
        ticks = (free_ns - load_ns) // period_ns
        if ticks > w.worker[worker, 1]:
            w.worker[worker, 1] = ticks
        else:
            w.worker[worker, 1] += 1
            sends_ns = load_ns + w.worker[worker, 1] * period_ns
    if w.p[P.requests_per_worker] and w.worker[worker, 0] >= w.p[P.requests_per_worker]:
        w.i[WORKING] -= 1
        return
    # Whether time is over is asked before the wait for the ticker, not after it.
    if w.p[P.load_duration_ns] and free_ns >= load_ns + w.p[P.load_duration_ns]:
        w.i[WORKING] -= 1
        return
    agenda.plan(w, sends_ns, SEND, worker)


def stride(w: World) -> int:
    """Draws that each worker of the closed loop has to itself."""
    if w.p[P.requests_per_worker]:
        return int(w.p[P.requests_per_worker])
    return int(w.p[P.requests] // w.p[P.workers])


def send_open(w: World) -> None:
    """The open loop sends a request."""
    send(w, w.i[SENT])
    plan_next(w)


def send_closed(w: World, worker: int) -> None:
    """A worker of the closed loop sends a request."""
    nth = w.worker[worker, 0]
    w.worker[worker, 0] = nth + 1
    if nth >= stride(w):
        w.i[FAULT] = MORE_REQUESTS
        return
    send(w, worker * stride(w) + nth)


def send(w: World, draw: int) -> None:
    """Send a request now."""
    request = w.i[SENT]
    if request >= w.i[ROWS] and not is_vacant(w, request):
        w.i[FAULT] = MORE_REQUESTS
        return
    row = request & w.i[MASK]
    now = w.i[NOW]
    w.i[SENT] = request + 1
    w.i[LIVE] += 1
    w.request["sent"][row] = now
    w.request["response"][row] = NEVER_NS
    w.request["status"][row] = ON_ITS_WAY
    w.request["pod"][row] = NOTHING
    w.request["service"][row] = 0
    w.request["arrived"][row] = NEVER_NS
    w.request["begun"][row] = NEVER_NS
    w.request["done"][row] = NEVER_NS
    w.request["activator"][row] = NOTHING
    if w.p[P.closed]:
        w.drawn[row] = draw
    w.queue[row, R_NEXT] = NOTHING
    w.queue[row, R_PREV] = NOTHING
    agenda.plan(w, now + w.delay[draw - w.supply[FIRST_DRAW]], ARRIVE, request)
    if w.p[P.client_timeout_ns] and w.i[NEXT_GIVE_UP] == FOREVER_NS:
        w.i[NEXT_GIVE_UP] = now + w.p[P.client_timeout_ns]


def is_vacant(w: World, request: int) -> bool:
    """Whether the row of ``request`` has been left by the request that had it before."""
    if w.i[MASK] < 0 or not agenda.has_ended(w, request - w.i[ROWS]):
        return False
    row = request & w.i[MASK]
    # A container may still work for a client that has gone, or have that before it.
    held = w.queue[row, R_NEXT] == GHOST or w.request["done"][row] == FOREVER_NS
    return bool(not held or w.pod[w.request["pod"][row], PHASE] == GONE)


def end(w: World, row: int, status: int) -> None:
    """Note how a request ended, and let its client go on."""
    response_ns = w.i[NOW]
    if status != CLIENT_TIMEOUT and status != CUT_OFF:
        response_ns += w.p[P.server_to_client_ns]
    w.request["status"][row] = status
    w.request["response"][row] = response_ns
    w.i[LIVE] -= 1
    if response_ns > w.i[LAST_END]:
        w.i[LAST_END] = response_ns
    if status == OK:
        w.i[OK_COUNT] += 1
        if w.i[STATISTICS_ONLY]:
            count(w, response_ns - w.request["sent"][row])
    else:
        w.i[ERROR_COUNT] += 1
    if w.p[P.closed]:
        next_of(w, int(w.drawn[row]) // stride(w), response_ns)
    settle(w)


def count(w: World, latency_ns: int) -> None:
    """Count the latency of a good answer."""
    w.histogram[bucket_of(latency_ns)] += 1
    w.i[LATENCY_SUM] += latency_ns
    w.i[LATENCY_MIN] = min(w.i[LATENCY_MIN], latency_ns)
    w.i[LATENCY_MAX] = max(w.i[LATENCY_MAX], latency_ns)


def service(w: World, request: int, pod: int) -> int:
    """Service time of a request that starts now at full speed [ns]; its first byte comes with ``first_byte``."""
    draw = agenda.draw_of(w, request) - w.supply[FIRST_DRAW]
    index = w.i[STARTS] - w.supply[FIRST_SERVICE] if w.p[P.service_by_start] else draw
    w.i[STARTS] += 1
    klass = w.klass[draw] if len(w.klass) else 0
    service_ns = w.service[index, klass]
    if len(w.own_service) and w.own_service[draw] > 0:
        service_ns = w.own_service[draw]
    service_ns = int(service_ns * w.type_factor[w.pod[pod, TYPE]])
    return int(service_ns)


def first_byte(w: World, request: int, service_ns: int, start: int) -> int:
    """Time [ns] from the ``start``-th beginning of service to the first byte, for ever if it comes at the end."""
    if len(w.first_byte) == 0:
        return FOREVER_NS
    if w.p[P.service_by_start]:
        index = start - w.supply[FIRST_SERVICE]
    else:
        index = agenda.draw_of(w, request) - w.supply[FIRST_DRAW]
    return int(min(w.first_byte[index], service_ns))


def cut_off(w: World) -> None:
    """The horizon ends what is still on its way, and what would have been done later never is."""
    if w.i[LIVE] == 0 and w.i[ERROR_COUNT] == 0:
        return
    for request in range(max(0, w.i[SENT] - w.i[ROWS]), w.i[SENT]):
        row = request % w.i[ROWS]
        if w.request["status"][row] < ENDED_FROM:
            w.request["status"][row] = CUT_OFF
            w.request["response"][row] = w.i[NOW]
        done_ns = w.request["done"][row]
        pod = w.request["pod"][row]
        broken_ns = w.pod[pod, BROKEN] if pod != NOTHING else 0
        if done_ns > w.i[NOW] or (broken_ns and done_ns > broken_ns):
            w.request["done"][row] = NEVER_NS


KERNELS = (
    is_over, stays_ns, lost_ns, stop, settle, plan_next, next_of, start_load, stride, is_vacant, send, send_open,
    send_closed, count, end, service, first_byte, cut_off,
)  # fmt: skip
