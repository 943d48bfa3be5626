"""The gateway: to an activator or to a pod."""

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.draws import ACTIVATOR_A, ACTIVATOR_B, HOST_A, HOST_B, WORKER, pick
from kpasim.engines.model import activator, clients, queueproxy, views
from kpasim.engines.model.state import MORE_REQUESTS, NO_ENDPOINT, NOTHING, TIMED_OUT, Simulation
from kpasim.policy import accounting, burst

FIRST_BYTE, TIMEOUT = int(Kind.FIRST_BYTE), int(Kind.TIMEOUT)


def show(sim: Simulation, which: int) -> None:
    """A ready pod reaches the gateway's view."""
    if sim.pods[which].terminating or not sim.pods[which].ready:
        return
    views.insert(sim, gateway(sim), which, 0)
    if sim.params.data_plane == of.SERVICE:
        sim.pods[which].usable_ns = sim.now_ns


def hide(sim: Simulation, which: int) -> None:
    """A pod that goes leaves the gateway's view."""
    if views.has(sim, gateway(sim), which):
        views.remove(sim, gateway(sim), which)


def on_mode(sim: Simulation, serves: int) -> None:
    """The gateway sees pods (1) or activators (0) as the public endpoints."""
    sim.ingress.mode = burst.SERVE if serves else burst.PROXY


def gateway(sim: Simulation) -> int:
    """The gateway's view is behind those of the activators."""
    return int(sim.params.activators)


def visible(sim: Simulation) -> int:
    """How many pods the gateway sees."""
    return int(sim.views[gateway(sim)].count)


def sees(sim: Simulation, which: int) -> bool:
    """Whether the gateway sees a pod."""
    return which != NOTHING and views.has(sim, gateway(sim), which)


def on_request(sim: Simulation, request: int) -> None:
    """Send a request on."""
    now = sim.now_ns
    row = request & sim.clients.mask
    if clients.has_ended(sim, request):
        return
    tail = sim.ingress.age_tail
    if tail - sim.ingress.age_head > sim.ingress.age_mask and tail - oldest_at_front(sim) > sim.ingress.age_mask:
        sim.fault = MORE_REQUESTS
        return
    sim.age[tail & sim.ingress.age_mask] = request
    sim.ingress.age_tail = tail + 1
    if sim.ingress.next_timeout_ns == of.FOREVER_NS:
        sim.ingress.next_timeout_ns = now + sim.params.timeout_ns
        sim.wake(sim.ingress.next_timeout_ns, TIMEOUT, 0)
    if sim.params.first_byte_timeout_ns:
        sim.first_byte_due[row] = of.FOREVER_NS
        sim.schedule(now + sim.params.first_byte_timeout_ns, FIRST_BYTE, request)
    if sim.params.data_plane == of.SERVICE and visible(sim) == 0:
        # Nobody holds a request that finds no endpoint.
        clients.end(sim, row, NO_ENDPOINT)
        return
    direct = sim.ingress.mode == burst.SERVE and visible(sim) > 0 and not sim.params.always_activator
    session = session_of(sim, request)
    pod, index = NOTHING, NOTHING
    if session >= 0:
        pod, index = named_by_cookie(sim, session, direct)
    if direct or pod != NOTHING:
        send_direct(sim, request, choose_pod(sim, request) if pod == NOTHING else pod)
    else:
        activator.on_request(sim, request, choose_activator(sim, request) if index == NOTHING else index)


def named_by_cookie(sim: Simulation, session: int, direct: bool) -> tuple[int, int]:
    """The pod or the activator that a session's cookie names, each ``NOTHING`` if it does not hold or is gone."""
    cookie, affinity = sim.sessions[session], sim.params.affinity
    pod, index = NOTHING, NOTHING
    if (direct or affinity == of.POD_AFFINITY) and sees(sim, cookie.pod):
        pod = int(cookie.pod)
    if affinity == of.UPSTREAM_AFFINITY and cookie.activator < sim.ingress.activators:
        index = int(cookie.activator)
    return pod, index


def send_direct(sim: Simulation, request: int, which: int) -> None:
    """Send a request past the activators."""
    status = queueproxy.on_request(sim, request, which, True, False)
    if status:
        clients.end(sim, request & sim.clients.mask, status)


def session_of(sim: Simulation, request: int) -> int:
    """Session whose cookie a request carries, -1 for none."""
    if not sim.params.cookies or sim.params.affinity == of.NO_AFFINITY:
        return -1
    session = activator.client_of(sim, request)
    timeout_ns = sim.params.affinity_timeout_ns
    if timeout_ns and sim.now_ns - sim.sessions[session].answered_ns > timeout_ns:
        return -1
    return int(session)


def choose_pod(sim: Simulation, request: int) -> int:
    """The gateway's choice among the pods it sees."""
    count = visible(sim)
    policy = sim.params.ingress_policy
    if policy == of.ROUND_ROBIN:
        connection = request
        if sim.params.closed:
            connection = clients.draw_of(sim, request) // clients.stride(sim)
        workers = sim.params.ingress_workers
        worker = pick(sim.draws.key, connection, WORKER, workers) if workers > 1 else 0
        sim.turn[worker] += 1
        return pod_at(sim, (sim.turn[worker] - 1) % count)
    first = pod_at(sim, pick(sim.draws.key, request, HOST_A, count))
    if policy == of.RANDOM:
        return first
    second = pod_at(sim, pick(sim.draws.key, request, HOST_B, count))
    return int(second if sim.pods[second].direct_inside < sim.pods[first].direct_inside else first)


def pod_at(sim: Simulation, place: int) -> int:
    """The pod at a place of the gateway's view."""
    return views.pod_at(sim, gateway(sim), views.position_of(sim, gateway(sim), place))


def choose_activator(sim: Simulation, request: int) -> int:
    """The gateway's choice among the activators."""
    count = sim.ingress.activators
    if count == 1:
        return 0
    policy = sim.params.ingress_policy
    if policy == of.ROUND_ROBIN:
        place = sim.ingress.activator_turn % count
        sim.ingress.activator_turn = place + 1
        return int(place)
    first = pick(sim.draws.key, request, ACTIVATOR_A, count)
    if policy == of.RANDOM:
        return int(first)
    second = pick(sim.draws.key, request, ACTIVATOR_B, count)
    fewer = sim.stats[second][accounting.CONCURRENCY] < sim.stats[first][accounting.CONCURRENCY]
    return int(second if fewer else first)


def on_first_byte_due(sim: Simulation, request: int) -> None:
    """The request's responseStartTimeoutSeconds or idleTimeoutSeconds are over."""
    if clients.has_ended(sim, request):
        return
    due_ns = sim.first_byte_due[request & sim.clients.mask]
    idle_ns = sim.params.stream_idle_ns
    if due_ns > sim.now_ns or (idle_ns > 0 and due_ns + idle_ns <= sim.now_ns):
        queueproxy.withdraw(sim, request, TIMED_OUT)


def oldest_at_front(sim: Simulation) -> int:
    """Place in ``age`` of the live request that has been at the front for longest; the tail if there is none."""
    head = sim.ingress.age_head
    tail = sim.ingress.age_tail
    while head < tail and clients.has_ended(sim, int(sim.age[head & sim.ingress.age_mask])):
        head += 1
    sim.ingress.age_head = head
    return int(head)


def next_timeout(sim: Simulation) -> int:
    """When timeoutSeconds are over for the request that has been at the front for longest.

    The loop keeps the answer while requests come and go, and asks again when that time has come: a request that has
    ended by then costs one look, not one at every event.
    """
    head = oldest_at_front(sim)
    if head == sim.ingress.age_tail:
        return of.FOREVER_NS
    return over_at(sim, int(sim.age[head & sim.ingress.age_mask]))


def over_at(sim: Simulation, request: int) -> int:
    """When timeoutSeconds are over for a live request, from its arrival at the front."""
    row = request & sim.clients.mask
    return int(
        sim.requests[row].sent_ns
        + sim.draws.delay[clients.draw_of(sim, request) - sim.supply.first_draw]
        + sim.params.timeout_ns
    )


def on_timeout(sim: Simulation) -> None:
    """TimeoutSeconds are over for the oldest request here, if it is still there."""
    oldest = oldest_at_front(sim)
    if oldest < sim.ingress.age_tail:
        request = int(sim.age[oldest & sim.ingress.age_mask])
        if over_at(sim, request) == sim.now_ns:
            queueproxy.withdraw(sim, request, TIMED_OUT)
    sim.ingress.next_timeout_ns = next_timeout(sim)
    sim.wake(sim.ingress.next_timeout_ns, TIMEOUT, 0)
