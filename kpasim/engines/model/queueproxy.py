"""A pod's queue-proxy and container: requests wait, are worked on, and leave.

Source:
    knative/serving, pkg/queue/breaker.go (containerConcurrency requests are passed on to the container, ten
    times as many wait), pkg/queue/protobuf_stats_reporter.go.
"""

from kpasim.engines import params as of
from kpasim.engines.clock import Kind, tick_before
from kpasim.engines.model import activator, clients, kubelet, queues, server
from kpasim.engines.model.state import (
    AT_CONTAINER,
    AT_FRONT,
    AT_PROXY,
    AT_WORK,
    BAD_GATEWAY,
    ENDED_FROM,
    GONE,
    IN_CONTAINER,
    IN_QUEUE,
    NOTHING,
    OK,
    ON_ITS_WAY,
    ORPHANED,
    QUEUE_FULL,
    RUNNING,
    STOPPING,
    WOKEN,
    Simulation,
)
from kpasim.engines.params import NEVER_NS, SECOND_NS
from kpasim.policy import accounting, routing

FIRST_BYTE = int(Kind.FIRST_BYTE)


def inside(sim: Simulation, which: int) -> int:
    """Requests that queue-proxy queues or has passed on."""
    return int(sim.pod_queues[which][AT_PROXY].count) + passed_on(sim, which)


def passed_on(sim: Simulation, which: int) -> int:
    """Requests that queue-proxy has passed on to the container and that a client still waits for."""
    return int(sim.pod_queues[which][AT_WORK].count + sim.pod_queues[which][AT_CONTAINER].count - sim.pods[which].dead)


def publish_stats(sim: Simulation, which: int, before_ns: int) -> None:
    """Publish the statistics of the latest whole second that ended before ``before_ns``."""
    if before_ns > sim.pods[which].stats_from_ns + SECOND_NS:
        publish(sim, which, before_ns)


def publish(sim: Simulation, which: int, before_ns: int) -> None:
    """The same, where more than a second has passed since the latest."""
    pod = sim.pods[which]
    begun_ns = pod.containers_ns + sim.draws.pod[which][of.QUEUE_PROXY_PHASE]
    latest_ns = tick_before(begun_ns, SECOND_NS, before_ns)
    if latest_ns <= pod.stats_from_ns:
        return
    stats = sim.stats[sim.params.activators + which]
    if latest_ns - SECOND_NS > pod.stats_from_ns:
        accounting.cut(stats, latest_ns - SECOND_NS)
    concurrency, proxied, count, proxied_count = accounting.cut(stats, latest_ns)
    sim.published[which, 0] = concurrency
    sim.published[which, 1] = proxied
    sim.published[which, 2] = float(count)
    sim.published[which, 3] = float(proxied_count)
    pod.stats_from_ns = latest_ns


def on_request(sim: Simulation, request: int, which: int, direct: bool, handed_over: bool) -> int:
    """A request arrives at queue-proxy; the status of a refusal, or 0."""
    now = sim.now_ns
    row = request & sim.clients.mask
    pod = sim.pods[which]
    sim.requests[row].pod = which
    sim.requests[row].arrived_ns = now + (sim.params.hand_over_ns if handed_over else sim.params.front_to_server_ns)
    pod.last_arrival_ns = now
    pod.arrivals += 1
    if direct:
        publish_stats(sim, which, now)
        accounting.enter(sim.stats[sim.params.activators + which], now, False)
        pod.direct_inside += 1
        sim.ingress.direct_inside += 1
    # Without queue-proxy nothing listens once the container stops.
    if pod.phase == GONE or (pod.phase == STOPPING and sim.params.data_plane != of.ACTIVATORS):
        leave(sim, row, which)
        return BAD_GATEWAY
    waits = sim.pod_queues[which][AT_PROXY].count + sim.pod_queues[which][AT_CONTAINER].count > 0
    if not waits and passes_on(sim, which) and is_free(sim, which):
        begin(sim, request, which)
        return 0
    limit = sim.params.container_concurrency
    if limit > 0 and inside(sim, which) >= limit * (1 + routing.QUEUE_PROXY_DEPTH_PER_SLOT):
        leave(sim, row, which)
        return QUEUE_FULL
    sim.requests[row].status = IN_QUEUE
    queues.append(sim, sim.pod_queues[which][AT_PROXY], request)
    work(sim, which)
    return 0


def leave(sim: Simulation, row: int, which: int) -> None:
    """A request is over for queue-proxy."""
    if sim.requests[row].activator == NOTHING:
        now = sim.now_ns
        publish_stats(sim, which, now)
        accounting.leave(sim.stats[sim.params.activators + which], now, False)
        sim.pods[which].direct_inside -= 1
        sim.ingress.direct_inside -= 1
        sim.ingress.direct_last_ns = now


def passes_on(sim: Simulation, which: int) -> bool:
    """Whether queue-proxy passes another request on to the container."""
    limit = sim.params.container_concurrency
    return bool(limit == 0 or passed_on(sim, which) < limit)


def is_free(sim: Simulation, which: int) -> bool:
    """Whether the container can work on another request."""
    return bool(sim.pods[which].broken_ns == 0 and server.admits(sim, which))


def work(sim: Simulation, which: int) -> None:
    """Let a pod go on with the requests that wait in it, if there are any."""
    if sim.pod_queues[which][AT_PROXY].count + sim.pod_queues[which][AT_CONTAINER].count > 0:
        pass_on(sim, which)


def pass_on(sim: Simulation, which: int) -> None:
    """Pass queued requests on to the container, and begin service of those that wait in it, as far as there is room."""
    queue, inner = sim.pod_queues[which][AT_PROXY], sim.pod_queues[which][AT_CONTAINER]
    while queue.count > 0 and passes_on(sim, which):
        request = queue.head
        queues.remove(sim, queue, request)
        sim.requests[request & sim.clients.mask].status = IN_CONTAINER
        queues.append(sim, inner, request)
    while inner.count > 0 and is_free(sim, which):
        request = inner.head
        queues.remove(sim, inner, request)
        begin(sim, request, which)


def begin(sim: Simulation, request: int, which: int) -> None:
    """The container starts to work on a request."""
    now = sim.now_ns
    row = request & sim.clients.mask
    pod = sim.pods[which]
    is_dead = sim.requests[row].status >= ENDED_FROM
    starts_ns = max(now, sim.requests[row].arrived_ns)
    sim.requests[row].begun_ns = starts_ns
    if sim.pod_queues[which][AT_WORK].count == 0 and pod.orphans == 0:
        pod.busy_since_ns = now
    start = sim.clients.starts
    service_ns = clients.service(sim, request, which)
    sim.requests[row].service_ns = service_ns
    if pod.first_extra_ns:
        pod.serves_from_ns = max(pod.serves_from_ns, starts_ns) + pod.first_extra_ns
        pod.first_extra_ns = 0
    begins_ns = max(starts_ns, pod.serves_from_ns)
    if sim.params.first_byte_timeout_ns:
        first_byte_ns = clients.first_byte(sim, request, service_ns, start)
        sim.first_byte_due[row] = begins_ns + first_byte_ns
        if sim.params.stream_idle_ns and first_byte_ns != of.FOREVER_NS:
            sim.schedule(begins_ns + first_byte_ns + sim.params.stream_idle_ns, FIRST_BYTE, request)
    if is_dead:
        pod.dead -= 1
        pod.orphans += 1
        sim.links[row].next = ORPHANED
    else:
        sim.requests[row].status = RUNNING
        queues.append(sim, sim.pod_queues[which][AT_WORK], request)
    server.start(sim, request, which, begins_ns, service_ns)


def on_complete(sim: Simulation, request: int) -> None:
    """The container has finished a request, if that is still so."""
    row = request & sim.clients.mask
    if sim.requests[row].done_ns != sim.now_ns:
        return
    which = int(sim.requests[row].pod)
    if sim.pods[which].broken_ns:
        return
    if sim.requests[row].status != RUNNING:
        if sim.links[row].next == ORPHANED:
            sim.links[row].next = NOTHING
            sim.pods[which].orphans -= 1
            after_work(sim, request, which)
            sim.requests[row].done_ns = sim.now_ns
            work(sim, which)
        return
    queues.remove(sim, sim.pod_queues[which][AT_WORK], request)
    after_work(sim, request, which)
    sim.requests[row].done_ns = sim.now_ns
    leave(sim, row, which)
    activator.on_response(sim, request, which)
    clients.end(sim, row, OK)
    work(sim, which)
    if sim.requests[row].activator != NOTHING:
        activator.release(sim, row)
    kubelet.may_stop(sim, which)


def after_work(sim: Simulation, request: int, which: int) -> None:
    """The GPU is rid of a request."""
    server.stop(sim, request, which)
    pod = sim.pods[which]
    if sim.pod_queues[which][AT_WORK].count == 0 and pod.orphans == 0:
        pod.busy_ns += sim.now_ns - pod.busy_since_ns
        pod.busy_since_ns = NEVER_NS


def let_go(sim: Simulation, request: int, which: int) -> None:
    """A request ends before its service does: its client has left, or its time is over."""
    row = request & sim.clients.mask
    pod = sim.pods[which]
    if sim.requests[row].status == IN_QUEUE:
        queues.remove(sim, sim.pod_queues[which][AT_PROXY], request)
        leave(sim, row, which)
    elif sim.requests[row].status == IN_CONTAINER:
        if sim.params.cancel_stops_work or pod.broken_ns:
            queues.remove(sim, sim.pod_queues[which][AT_CONTAINER], request)
        else:
            pod.dead += 1
            sim.clients.abandoned += 1
            sim.requests[row].done_ns = of.FOREVER_NS
        leave(sim, row, which)
        work(sim, which)
    else:
        queues.remove(sim, sim.pod_queues[which][AT_WORK], request)
        leave(sim, row, which)
        if sim.params.cancel_stops_work:
            after_work(sim, request, which)
            sim.requests[row].done_ns = NEVER_NS
        else:
            sim.links[row].next = ORPHANED
            sim.clients.abandoned += 1
            pod.orphans += 1
        work(sim, which)
    kubelet.may_stop(sim, which)


def withdraw(sim: Simulation, request: int, status: int) -> None:
    """End a request before its service did, wherever it is, with ``status``."""
    row = request & sim.clients.mask
    where = sim.requests[row].status
    by = sim.requests[row].activator
    if where == AT_FRONT or where == WOKEN:
        activator.drop(sim, request)
    elif where != ON_ITS_WAY:
        let_go(sim, request, int(sim.requests[row].pod))
    clients.end(sim, row, status)
    if where == IN_QUEUE or where == IN_CONTAINER or where == RUNNING:
        if by != NOTHING:
            activator.release(sim, row)
    elif where == AT_FRONT or where == WOKEN:
        accounting.activator_leave(sim.stats[by], sim.now_ns)


def break_off(sim: Simulation, which: int) -> None:
    """The container stops: every request that is still here fails with 502."""
    pod = sim.pods[which]
    if pod.broken_ns == 0:
        pod.broken_ns = sim.now_ns
    while sim.pod_queues[which][AT_WORK].count > 0:
        withdraw(sim, sim.pod_queues[which][AT_WORK].head, BAD_GATEWAY)
    queue = sim.pod_queues[which][AT_CONTAINER]
    while queue.count > 0:
        request = queue.head
        if sim.requests[request & sim.clients.mask].status == IN_CONTAINER:
            withdraw(sim, request, BAD_GATEWAY)
        else:
            queues.remove(sim, queue, request)
            sim.requests[request & sim.clients.mask].done_ns = NEVER_NS
            pod.dead -= 1
    while sim.pod_queues[which][AT_PROXY].count > 0:
        withdraw(sim, sim.pod_queues[which][AT_PROXY].head, BAD_GATEWAY)


def busy_at(sim: Simulation, which: int, now_ns: int) -> int:
    """Time [ns] until ``now_ns`` in which the container worked on something."""
    pod = sim.pods[which]
    if pod.busy_since_ns == NEVER_NS:
        return int(pod.busy_ns)
    return int(pod.busy_ns + now_ns - pod.busy_since_ns)
