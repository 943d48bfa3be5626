"""Who sends requests, and what becomes of them."""

from kpasim.engines.clock import Kind
from kpasim.engines.counts import bucket_of
from kpasim.engines.model import ahead, ingress, queueproxy
from kpasim.engines.model.state import (
    BAD_GATEWAY,
    CLIENT_TIMEOUT,
    CUT_OFF,
    ENDED_FROM,
    GONE,
    MORE_DRAWS,
    MORE_REQUESTS,
    NO_FAULT,
    NOTHING,
    OK,
    ORPHANED,
    QUEUE_FULL,
    TIMED_OUT,
    Simulation,
    renew,
)
from kpasim.engines.params import FOREVER_NS, NEVER_NS, SECOND_NS

SEND, ARRIVE, GIVE_UP, END = int(Kind.SEND), int(Kind.ARRIVE), int(Kind.GIVE_UP), int(Kind.END)
SETTLE_NS = 30 * SECOND_NS
LOST_NS = 7200 * SECOND_NS


def is_over(sim: Simulation) -> bool:
    """Whether nothing will be sent any more and everything has ended."""
    if sim.load_ns > sim.now_ns or sim.clients.live > 0:
        return False
    if sim.params.closed:
        return bool(sim.clients.working == 0)
    return bool(sim.supply.no_more and sim.clients.sent == sim.supply.supplied)


def stays_ns(sim: Simulation) -> int:
    """How long a revision that never goes away by itself is watched."""
    return int(sim.params.stable_window_s * SECOND_NS + sim.params.grace_ns + SETTLE_NS)


def lost_ns(sim: Simulation) -> int:
    """How long one that should go away is waited for."""
    release_ns = 0
    for pool in range(len(sim.params.pool_release_ns)):
        release_ns = max(release_ns, sim.params.pool_release_ns[pool])
    return int(LOST_NS + sim.params.retention_ns + release_ns)


def resting_pods(sim: Simulation) -> int:
    """Pods that stay by themselves."""
    if not sim.params.stays:
        return 0
    least = max(sim.params.min_scale, 1 - sim.params.enable_scale_to_zero)
    spare = sim.params.spare if sim.params.max_scale == 0 else min(sim.params.spare, sim.params.max_scale)
    if ahead.has_schedule(sim):
        least = max(least, ahead.bounds(sim)[0])
    if sim.params.looks_ahead:
        least = max(least, ahead.forecast(sim))
    return int(max(least, spare))


def is_at_rest(sim: Simulation) -> bool:
    """Whether the pods that are there stay by themselves, none is on its way or leaves, and no node is released."""
    if sim.revision.replicas > resting_pods(sim) or sim.revision.alive != sim.revision.replicas:
        return False
    for node in range(sim.cluster.first_node, sim.cluster.nodes):
        if sim.nodes[node].added and sim.nodes[node].gone_ns == NEVER_NS and sim.nodes[node].pods == 0:
            return False
    return True


def settle(sim: Simulation) -> None:
    """End the run when it was long enough, all requests have ended, and the replicas are back where they rest."""
    if sim.finished or not is_over(sim) or sim.params.horizon_ns:
        return
    least_ns = sim.load_ns + sim.params.until_ns
    due_ns = max(sim.now_ns, least_ns)
    if sim.params.stays:
        due_ns = max(due_ns, sim.clients.last_end_ns + stays_ns(sim))
    if due_ns <= sim.now_ns:
        due_ns = max(least_ns, sim.clients.last_end_ns) + lost_ns(sim)
        if is_at_rest(sim) or due_ns <= sim.now_ns:
            stop(sim)
            return
    if sim.end_ns <= sim.now_ns or sim.end_ns == FOREVER_NS:
        sim.end_ns = due_ns
        sim.schedule(due_ns, END, 0)


def on_end(sim: Simulation) -> None:
    """The horizon is reached, or it is time to look whether the run may end."""
    if sim.params.horizon_ns:
        stop(sim)
    else:
        settle(sim)


def stop(sim: Simulation) -> None:
    """End the run now."""
    sim.end_ns = sim.now_ns
    sim.finished = 1


def start_load(sim: Simulation) -> None:
    """Begin the load."""
    sim.clients.last_end_ns = sim.now_ns
    if not sim.params.closed:
        schedule_next(sim)
        settle(sim)
        return
    sim.clients.working = sim.params.workers
    for worker in range(sim.params.workers):
        next_of(sim, worker, sim.now_ns)
    settle(sim)


def schedule_next(sim: Simulation) -> None:
    """Note when the open loop sends its next request."""
    if sim.clients.sent < sim.supply.supplied:
        sim.clients.next_send_ns = sim.load_ns + sim.draws.sent[sim.clients.sent - sim.supply.first_draw]
        sim.wake(sim.clients.next_send_ns, SEND, 0)
    else:
        sim.clients.next_send_ns = FOREVER_NS
        if not sim.supply.no_more:
            sim.fault = MORE_DRAWS


def next_of(sim: Simulation, worker: int, free_ns: int) -> None:
    """Let a worker that is free at ``free_ns`` send its next request, or end."""
    period_ns = sim.params.worker_period_ns
    load_ns = sim.load_ns
    sends_ns = free_ns
    if period_ns:
        ticks = (free_ns - load_ns) // period_ns
        if ticks > sim.workers[worker].ticks:
            sim.workers[worker].ticks = ticks
        else:
            sim.workers[worker].ticks += 1
            sends_ns = load_ns + sim.workers[worker].ticks * period_ns
    if sim.params.requests_per_worker and sim.workers[worker].sent >= sim.params.requests_per_worker:
        sim.clients.working -= 1
        return
    # Whether time is over is asked before the wait for the ticker, not after it.
    if sim.params.load_duration_ns and free_ns >= load_ns + sim.params.load_duration_ns:
        sim.clients.working -= 1
        return
    sim.schedule(sends_ns, SEND, worker)


def stride(sim: Simulation) -> int:
    """Draws that each worker of the closed loop has to itself."""
    if sim.params.requests_per_worker:
        return int(sim.params.requests_per_worker)
    return int(sim.params.requests // sim.params.workers)


def send_open(sim: Simulation) -> None:
    """The open loop sends a request."""
    request = sim.clients.sent
    arrives_ns = send(sim, request)
    schedule_next(sim)
    if sim.fault == NO_FAULT and sim.comes_next(arrives_ns):
        # Nothing happens on its way, so it is there.
        sim.now_ns = arrives_ns
        ingress.on_request(sim, request)
    else:
        sim.schedule(arrives_ns, ARRIVE, request)


def send_closed(sim: Simulation, worker: int) -> None:
    """A worker of the closed loop sends a request."""
    nth = sim.workers[worker].sent
    sim.workers[worker].sent = nth + 1
    if nth >= stride(sim):
        sim.fault = MORE_REQUESTS
        return
    request = sim.clients.sent
    sim.schedule(send(sim, worker * stride(sim) + nth), ARRIVE, request)


def send(sim: Simulation, draw: int) -> int:
    """Send a request now; when it reaches the gateway."""
    request = sim.clients.sent
    if request >= sim.clients.rows and not is_vacant(sim, request):
        sim.fault = MORE_REQUESTS
        return FOREVER_NS
    row = request & sim.clients.mask
    now = sim.now_ns
    sim.clients.sent = request + 1
    sim.clients.live += 1
    renew(sim.requests[row])
    sim.requests[row].sent_ns = now
    if sim.params.closed:
        sim.drawn[row] = draw
    renew(sim.links[row])
    if sim.params.client_timeout_ns and sim.clients.next_give_up_ns == FOREVER_NS:
        sim.clients.next_give_up_ns = now + sim.params.client_timeout_ns
        sim.wake(sim.clients.next_give_up_ns, GIVE_UP, 0)
    return int(now + sim.draws.delay[draw - sim.supply.first_draw])


def is_vacant(sim: Simulation, request: int) -> bool:
    """Whether the row of ``request`` has been left by the request that had it before."""
    if sim.clients.mask < 0 or not has_ended(sim, request - sim.clients.rows):
        return False
    row = request & sim.clients.mask
    # A container may still work for a client that has gone, or have that before it.
    held = sim.links[row].next == ORPHANED or sim.requests[row].done_ns == FOREVER_NS
    return bool(not held or sim.pods[sim.requests[row].pod].phase == GONE)


def end(sim: Simulation, row: int, status: int) -> None:
    """Note how a request ended, and let its client go on."""
    response_ns = sim.now_ns
    if status != CLIENT_TIMEOUT and status != CUT_OFF:
        response_ns += sim.params.server_to_client_ns
    sim.requests[row].status = status
    sim.requests[row].response_ns = response_ns
    sim.clients.live -= 1
    sim.clients.last_end_ns = max(sim.clients.last_end_ns, response_ns)
    if status == OK:
        sim.clients.ok += 1
        if sim.recorder.statistics_only:
            count(sim, response_ns - sim.requests[row].sent_ns)
    else:
        count_failure(sim, status)
    if sim.params.closed:
        next_of(sim, int(sim.drawn[row]) // stride(sim), response_ns + sim.params.think_ns)
    if sim.clients.live == 0:
        settle(sim)


def count_failure(sim: Simulation, status: int) -> None:
    """Count a request that failed, by its kind."""
    sim.clients.errors += 1
    sim.clients.timed_out += status == CLIENT_TIMEOUT
    sim.clients.with_502 += status == BAD_GATEWAY
    sim.clients.with_503 += status == QUEUE_FULL
    sim.clients.with_504 += status == TIMED_OUT


def count(sim: Simulation, latency_ns: int) -> None:
    """Count the latency of a successful request."""
    sim.histogram[bucket_of(latency_ns)] += 1
    sim.clients.latency_sum_ns += latency_ns
    sim.clients.latency_min_ns = min(sim.clients.latency_min_ns, latency_ns)
    sim.clients.latency_max_ns = max(sim.clients.latency_max_ns, latency_ns)


def service(sim: Simulation, request: int, pod: int) -> int:
    """Service time of a request that starts now at full speed [ns]; its first byte comes with ``first_byte``."""
    draw = draw_of(sim, request) - sim.supply.first_draw
    index = sim.clients.starts - sim.supply.first_service if sim.params.service_by_start else draw
    sim.clients.starts += 1
    klass = sim.draws.klass[draw] if len(sim.draws.klass) else 0
    service_ns = sim.draws.service[index][klass]
    if len(sim.draws.own_service) and sim.draws.own_service[draw] > 0:
        service_ns = sim.draws.own_service[draw]
    service_ns = int(service_ns * sim.params.type_factor[sim.pods[pod].type])
    return int(service_ns)


def first_byte(sim: Simulation, request: int, service_ns: int, start: int) -> int:
    """Time [ns] from the ``start``-th beginning of service to the first byte, for ever if it comes at the end."""
    if len(sim.draws.first_byte) == 0:
        return FOREVER_NS
    if sim.params.service_by_start:
        index = start - sim.supply.first_service
    else:
        index = draw_of(sim, request) - sim.supply.first_draw
    return int(min(sim.draws.first_byte[index], service_ns))


def cut_off(sim: Simulation) -> None:
    """The horizon ends what is still on its way, and what would have been done later never is."""
    if sim.clients.live == 0 and sim.clients.abandoned == 0:
        return
    # What was settled before the last draws were made is as it stays.
    for request in range(max(sim.supply.first_draw, sim.clients.sent - sim.clients.rows), sim.clients.sent):
        row = request & sim.clients.mask
        if sim.requests[row].status < ENDED_FROM:
            sim.requests[row].status = CUT_OFF
            sim.requests[row].response_ns = sim.now_ns
        done_ns = sim.requests[row].done_ns
        pod = sim.requests[row].pod
        broken_ns = sim.pods[pod].broken_ns if pod != NOTHING else 0
        if done_ns > sim.now_ns or (broken_ns and done_ns > broken_ns):
            sim.requests[row].done_ns = NEVER_NS


def draw_of(sim: Simulation, request: int) -> int:
    """Which draws a request has: those of its place in an open loop, those of its worker in a closed one."""
    return int(sim.drawn[request & sim.clients.mask]) if sim.params.closed else request


def has_ended(sim: Simulation, request: int) -> bool:
    """Whether a request is over; its row may belong to a later one by now."""
    return bool(
        request + sim.clients.rows < sim.clients.sent or sim.requests[request & sim.clients.mask].status >= ENDED_FROM
    )


def oldest_sent(sim: Simulation) -> int:
    """The live request that was sent first; the next one to be sent if there is none."""
    head = sim.clients.oldest
    while head < sim.clients.sent and has_ended(sim, head):
        head += 1
    sim.clients.oldest = head
    return int(head)


def next_give_up(sim: Simulation) -> int:
    """When the client that has waited for longest gives up; kept as ``ingress.next_timeout``."""
    first = oldest_sent(sim)
    if first == sim.clients.sent:
        return FOREVER_NS
    return int(sim.requests[first & sim.clients.mask].sent_ns + sim.params.client_timeout_ns)


def on_give_up(sim: Simulation) -> None:
    """A client's patience is over, if it still waits."""
    if next_give_up(sim) == sim.now_ns:
        queueproxy.withdraw(sim, oldest_sent(sim), CLIENT_TIMEOUT)
    sim.clients.next_give_up_ns = next_give_up(sim)
    sim.wake(sim.clients.next_give_up_ns, GIVE_UP, 0)
