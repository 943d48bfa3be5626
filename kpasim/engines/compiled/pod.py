"""A pod: its queue-proxy and container, its end (the same as reference/pod.py)."""

from __future__ import annotations

from kpasim.engines import params as of
from kpasim.engines.clock import Kind, tick_before
from kpasim.engines.compiled import activator, agenda, clients, cluster, queues, reconciler, sharing
from kpasim.engines.compiled.clients import BAD_GATEWAY, QUEUE_FULL
from kpasim.engines.compiled.layout import (
    ASKED,
    AT_FRONT,
    BEGAN,
    BROKEN,
    BUSY,
    BUSY_SINCE,
    CONTAINERS,
    DEAD,
    DIRECT_INSIDE,
    DIRECT_LAST,
    DRAIN_DUE,
    DRAINING,
    ENDED_FROM,
    FIRST_EXTRA,
    G_COUNT,
    G_HEAD,
    GHOST,
    GHOSTS,
    GONE,
    GONE_NS,
    IN_CONTAINER,
    IN_QUEUE,
    INSIDE_DIRECT,
    L_NEXT,
    LAST_ARRIVAL,
    MASK,
    NOTHING,
    NOW,
    ON_ITS_WAY,
    OPEN,
    PHASE,
    QUEUE_HEAD,
    QUEUED,
    QUIET,
    R_NEXT,
    READY,
    READY_NS,
    RUN_COUNT,
    RUN_HEAD,
    RUNNING,
    SERVES_FROM,
    SERVING,
    STARTING,
    STARTS,
    STATS_FROM,
    STOPPING,
    TERMINATING,
    WAIT_HEAD,
    WAITING,
    WOKEN,
    P,
    World,
)
from kpasim.engines.params import NEVER_NS, SECOND_NS
from kpasim.policy import accounting, pods, routing

DONE, FIRST_BYTE, FOUND, READY_KIND, DRAIN, KILL, FORGET, VISIBLE = (
    int(Kind.DONE), int(Kind.FIRST_BYTE), int(Kind.FOUND), int(Kind.READY), int(Kind.DRAIN), int(Kind.KILL),
    int(Kind.FORGET), int(Kind.VISIBLE),
)  # fmt: skip


def opens(w: World, pod: int) -> None:
    """The container answers its probe: activators and the kubelet will find it."""
    now = w.i[NOW]
    row = w.pod[pod]
    row[PHASE] = SERVING
    row[OPEN] = now
    row[SERVES_FROM] = now + cluster.stage_time(w, pod, of.AFTER_READY)
    row[FIRST_EXTRA] = cluster.stage_time(w, pod, of.FIRST_REQUEST)
    poll_ns = w.p[P.queue_proxy_poll_ns]
    kubelet_ns = pods.kubelet_sees(
        now,
        row[CONTAINERS],
        w.p[P.probe_initial_delay_ns],
        w.pod_draw[pod, of.KUBELET_PHASE],
        w.p[P.probe_period_ns],
        w.p[P.probe_timeout_ns],
        w.p[P.probe_successes],
        w.p[P.aggressive],
        poll_ns,
    )
    agenda.plan(w, max(kubelet_ns, startup_sees(w, pod)), READY_KIND, pod)
    if w.p[P.early_use]:
        found_ns = pods.activator_finds(
            now,
            row[CONTAINERS],
            w.phase[of.PROBE],
            w.p[P.activator_probe_period_ns],
            w.p[P.aggressive],
            poll_ns,
            w.pod_draw[pod, of.POLL_PHASE],
            w.p[P.probe_successes],
        )
        for index in range(w.p[P.activators]):
            agenda.plan(w, found_ns, FOUND, pod * w.p[P.activators] + index)


def startup_sees(w: World, pod: int) -> int:
    """When the startup probe finds the container, which answers now; -1 if the kubelet kills it instead."""
    period_ns = w.p[P.startup_period_ns]
    if period_ns == 0:
        return int(w.i[NOW])
    # Both probes of a pod begin at the same moment, so one draw stands for both phases.
    phase_ns = int(w.pod_draw[pod, of.KUBELET_PHASE] * (period_ns / w.p[P.probe_period_ns]))
    return pods.startup_sees(
        w.i[NOW],
        w.pod[pod, BEGAN],
        w.p[P.startup_initial_delay_ns],
        phase_ns,
        period_ns,
        w.p[P.startup_failures],
    )


def becomes_ready(w: World, pod: int) -> None:
    """Kubernetes calls the pod ready."""
    if w.pod[pod, TERMINATING]:
        return
    w.pod[pod, READY] = 1
    w.pod[pod, READY_NS] = w.i[NOW]
    accounting.start(w.stats[w.p[P.activators] + pod], w.i[NOW])
    reconciler.pod_became_ready(w, pod)


def inside(w: World, pod: int) -> int:
    """Requests that queue-proxy runs or queues."""
    return int(w.pod[pod, QUEUED]) + passed_on(w, pod)


def passed_on(w: World, pod: int) -> int:
    """Requests that queue-proxy has passed on to the container and that a client still waits for."""
    return int(w.pod[pod, RUN_COUNT] + w.pod[pod, WAITING] - w.pod[pod, DEAD])


def roll(w: World, pod: int, before_ns: int) -> None:
    """Publish the statistics of the latest whole second that ended before ``before_ns``."""
    begun_ns = w.pod[pod, CONTAINERS] + w.pod_draw[pod, of.QUEUE_PROXY_PHASE]
    latest_ns = tick_before(begun_ns, SECOND_NS, before_ns)
    from_ns = w.pod[pod, STATS_FROM]
    if latest_ns <= from_ns:
        return
    stats = w.stats[w.p[P.activators] + pod]
    if latest_ns - SECOND_NS > from_ns:
        accounting.cut(stats, latest_ns - SECOND_NS)
    concurrency, proxied, count, proxied_count = accounting.cut(stats, latest_ns)
    w.published[pod, 0] = concurrency
    w.published[pod, 1] = proxied
    w.published[pod, 2] = float(count)
    w.published[pod, 3] = float(proxied_count)
    w.pod[pod, STATS_FROM] = latest_ns


def join(w: World, request: int, pod: int, direct: bool, handed_over: bool) -> int:
    """A request arrives at queue-proxy; the status of a refusal, or 0."""
    now = w.i[NOW]
    row = request & w.i[MASK]
    w.request["pod"][row] = pod
    w.request["arrived"][row] = now + (w.p[P.hand_over_ns] if handed_over else w.p[P.front_to_server_ns])
    w.pod[pod, LAST_ARRIVAL] = now
    if direct:
        roll(w, pod, now)
        accounting.enter(w.stats[w.p[P.activators] + pod], now, False)
        w.pod[pod, INSIDE_DIRECT] += 1
        w.i[DIRECT_INSIDE] += 1
    cc = w.p[P.container_concurrency]
    full = cc > 0 and inside(w, pod) >= cc * (1 + routing.QUEUE_PROXY_DEPTH_PER_SLOT)
    if full or w.pod[pod, PHASE] == GONE:
        leave(w, row, pod)
        return BAD_GATEWAY if w.pod[pod, PHASE] == GONE else QUEUE_FULL
    if w.pod[pod, QUEUED] == 0 and w.pod[pod, WAITING] == 0 and takes(w, pod) and is_free(w, pod):
        begin(w, request, pod)
        return 0
    w.request["status"][row] = IN_QUEUE
    queues.append(w, w.pod[pod], QUEUE_HEAD, request)
    work(w, pod)
    return 0


def leave(w: World, row: int, pod: int) -> None:
    """A request is over for queue-proxy."""
    if w.request["activator"][row] == NOTHING:
        now = w.i[NOW]
        roll(w, pod, now)
        accounting.leave(w.stats[w.p[P.activators] + pod], now, False)
        w.pod[pod, INSIDE_DIRECT] -= 1
        w.i[DIRECT_INSIDE] -= 1
        w.i[DIRECT_LAST] = now


def takes(w: World, pod: int) -> bool:
    """Whether queue-proxy passes another request on to the container."""
    cc = w.p[P.container_concurrency]
    return bool(cc == 0 or passed_on(w, pod) < cc)


def is_free(w: World, pod: int) -> bool:
    """Whether the container can work on another request."""
    slots = w.p[P.slots]
    return bool(w.pod[pod, BROKEN] == 0 and (slots == 0 or w.pod[pod, RUN_COUNT] + w.pod[pod, GHOSTS] < slots))


def work(w: World, pod: int) -> None:
    """Pass queued requests on to the container, and begin service of those that wait in it, as far as there is room."""
    row = w.pod[pod]
    while row[QUEUED] > 0 and takes(w, pod):
        request = row[QUEUE_HEAD]
        queues.remove(w, row, QUEUE_HEAD, request)
        w.request["status"][request & w.i[MASK]] = IN_CONTAINER
        queues.append(w, row, WAIT_HEAD, request)
    while row[WAITING] > 0 and is_free(w, pod):
        request = row[WAIT_HEAD]
        queues.remove(w, row, WAIT_HEAD, request)
        begin(w, request, pod)


def begin(w: World, request: int, pod: int) -> None:
    """The container starts to work on a request."""
    now = w.i[NOW]
    row = request & w.i[MASK]
    is_dead = w.request["status"][row] >= ENDED_FROM
    starts_ns = max(now, w.request["arrived"][row])
    w.request["begun"][row] = starts_ns
    if w.pod[pod, RUN_COUNT] == 0 and w.pod[pod, GHOSTS] == 0:
        w.pod[pod, BUSY_SINCE] = now
    start = w.i[STARTS]
    service_ns = clients.service(w, request, pod)
    w.request["service"][row] = service_ns
    if w.pod[pod, FIRST_EXTRA]:
        w.pod[pod, SERVES_FROM] = max(w.pod[pod, SERVES_FROM], starts_ns) + w.pod[pod, FIRST_EXTRA]
        w.pod[pod, FIRST_EXTRA] = 0
    begins_ns = max(starts_ns, w.pod[pod, SERVES_FROM])
    if len(w.first_byte_due):
        first_byte_ns = clients.first_byte(w, request, service_ns, start)
        w.first_byte_due[row] = begins_ns + first_byte_ns
        if w.p[P.stream_idle_ns] and first_byte_ns != of.FOREVER_NS:
            agenda.plan(w, begins_ns + first_byte_ns + w.p[P.stream_idle_ns], FIRST_BYTE, request)
    if is_dead:
        w.pod[pod, DEAD] -= 1
        w.pod[pod, GHOSTS] += 1
        w.queue[row, R_NEXT] = GHOST
    else:
        w.request["status"][row] = RUNNING
        queues.append(w, w.pod[pod], RUN_HEAD, request)
    if len(w.slowdown):
        sharing.add(w, sharing.group_of(w, pod), request, service_ns + begins_ns - now)
    else:
        w.request["done"][row] = begins_ns + service_ns
        agenda.plan(w, begins_ns + service_ns, DONE, request)


def done(w: World, request: int) -> None:
    """The container has finished a request, if that is still so."""
    row = request & w.i[MASK]
    if w.request["done"][row] != w.i[NOW]:
        return
    pod = int(w.request["pod"][row])
    if w.pod[pod, BROKEN]:
        return
    if w.request["status"][row] != RUNNING:
        if w.queue[row, R_NEXT] == GHOST:
            w.queue[row, R_NEXT] = NOTHING
            w.pod[pod, GHOSTS] -= 1
            after_work(w, request, pod)
            w.request["done"][row] = w.i[NOW]
            work(w, pod)
        return
    queues.remove(w, w.pod[pod], RUN_HEAD, request)
    after_work(w, request, pod)
    w.request["done"][row] = w.i[NOW]
    leave(w, row, pod)
    activator.answered(w, request, pod)
    clients.end(w, row, clients.OK)
    work(w, pod)
    if w.request["activator"][row] != NOTHING:
        activator.release(w, row)
    may_stop(w, pod)


def after_work(w: World, request: int, pod: int) -> None:
    """The GPU is rid of a request."""
    if len(w.slowdown):
        sharing.take_out(w, sharing.group_of(w, pod), request)
    if w.pod[pod, RUN_COUNT] == 0 and w.pod[pod, GHOSTS] == 0:
        w.pod[pod, BUSY] += w.i[NOW] - w.pod[pod, BUSY_SINCE]
        w.pod[pod, BUSY_SINCE] = NEVER_NS


def let_go(w: World, request: int, pod: int) -> None:
    """A request ends before its service does: its client has left, or its time is over."""
    row = request & w.i[MASK]
    if w.request["status"][row] == IN_QUEUE:
        queues.remove(w, w.pod[pod], QUEUE_HEAD, request)
        leave(w, row, pod)
    elif w.request["status"][row] == IN_CONTAINER:
        if w.p[P.cancel_stops_work] or w.pod[pod, BROKEN]:
            queues.remove(w, w.pod[pod], WAIT_HEAD, request)
        else:
            w.pod[pod, DEAD] += 1
            w.request["done"][row] = of.FOREVER_NS
        leave(w, row, pod)
        work(w, pod)
    else:
        queues.remove(w, w.pod[pod], RUN_HEAD, request)
        leave(w, row, pod)
        if w.p[P.cancel_stops_work]:
            after_work(w, request, pod)
            w.request["done"][row] = NEVER_NS
        else:
            w.queue[row, R_NEXT] = GHOST
            w.pod[pod, GHOSTS] += 1
        work(w, pod)
    may_stop(w, pod)


def withdraw(w: World, request: int, status: int) -> None:
    """End a request before its service did, wherever it is, with ``status``."""
    row = request & w.i[MASK]
    where = w.request["status"][row]
    by = w.request["activator"][row]
    if where == AT_FRONT or where == WOKEN:
        activator.drop(w, request)
    elif where != ON_ITS_WAY:
        let_go(w, request, int(w.request["pod"][row]))
    clients.end(w, row, status)
    if where == IN_QUEUE or where == IN_CONTAINER or where == RUNNING:
        if by != NOTHING:
            activator.release(w, row)
    elif where == AT_FRONT or where == WOKEN:
        accounting.activator_leave(w.stats[by], w.i[NOW])


def remove(w: World, pod: int) -> None:
    """Kubernetes asks the pod to go."""
    now = w.i[NOW]
    row = w.pod[pod]
    row[TERMINATING] = 1
    row[ASKED] = now
    if row[PHASE] == STARTING and row[CONTAINERS] == NEVER_NS:
        row[PHASE] = STOPPING
        row[DRAIN_DUE] = now + w.p[P.deletion_ns]
    else:
        row[PHASE] = QUIET
        row[DRAIN_DUE] = pods.quiet_until(now, row[LAST_ARRIVAL])
    agenda.plan(w, row[DRAIN_DUE], DRAIN, pod)
    agenda.plan(w, now + w.p[P.timeout_ns], KILL, pod)
    agenda.plan(w, now + w.p[P.endpoints_to_activator_ns], FORGET, pod)
    if row[READY]:
        agenda.plan(w, now + w.p[P.endpoints_to_ingress_ns], VISIBLE, 2 * pod)


def drain(w: World, pod: int) -> None:
    """The next step of the end is due."""
    now = w.i[NOW]
    row = w.pod[pod]
    if row[DRAIN_DUE] != now or row[PHASE] == GONE:
        return
    if row[PHASE] == STOPPING:
        goes(w, pod)
        return
    quiet_ns = pods.quiet_until(row[ASKED], row[LAST_ARRIVAL])
    if quiet_ns > now:
        row[DRAIN_DUE] = quiet_ns
        agenda.plan(w, quiet_ns, DRAIN, pod)
        return
    row[PHASE] = DRAINING
    if not w.p[P.drains_on_sigterm] and inside(w, pod) > 0:
        break_off(w, pod)
    may_stop(w, pod)


def may_stop(w: World, pod: int) -> None:
    """Stop the containers once a drained pod is empty."""
    if w.pod[pod, PHASE] == DRAINING and inside(w, pod) == 0:
        w.pod[pod, PHASE] = STOPPING
        w.pod[pod, DRAIN_DUE] = w.i[NOW] + w.p[P.stop_ns] + w.p[P.deletion_ns]
        agenda.plan(w, w.pod[pod, DRAIN_DUE], DRAIN, pod)


def break_off(w: World, pod: int) -> None:
    """The container stops: everything that is still here fails with 502."""
    if w.pod[pod, BROKEN] == 0:
        w.pod[pod, BROKEN] = w.i[NOW]
    while w.pod[pod, RUN_COUNT] > 0:
        withdraw(w, w.pod[pod, RUN_HEAD], BAD_GATEWAY)
    while w.pod[pod, WAITING] > 0:
        request = w.pod[pod, WAIT_HEAD]
        if w.request["status"][request & w.i[MASK]] == IN_CONTAINER:
            withdraw(w, request, BAD_GATEWAY)
        else:
            queues.remove(w, w.pod[pod], WAIT_HEAD, request)
            w.request["done"][request & w.i[MASK]] = NEVER_NS
            w.pod[pod, DEAD] -= 1
    while w.pod[pod, QUEUED] > 0:
        withdraw(w, w.pod[pod, QUEUE_HEAD], BAD_GATEWAY)


def kill(w: World, pod: int) -> None:
    """The termination grace period is over."""
    if w.pod[pod, PHASE] != GONE:
        w.pod[pod, PHASE] = STOPPING
        goes(w, pod)


def busy_at(w: World, pod: int, now_ns: int) -> int:
    """Time [ns] until ``now_ns`` in which the container worked on something."""
    busy_ns = w.pod[pod, BUSY]
    if w.pod[pod, BUSY_SINCE] != NEVER_NS:
        busy_ns += now_ns - w.pod[pod, BUSY_SINCE]
    return int(busy_ns)


def free_gpu(w: World, pod: int) -> None:
    """What a pod's container still worked on, for clients long gone, ends with the pod."""
    group = sharing.group_of(w, pod)
    if group == NOTHING:  # it never had a node
        return
    request = w.group[group, G_HEAD]
    for _ in range(w.group[group, G_COUNT]):
        after = w.link[request & w.i[MASK], L_NEXT]
        if w.request["pod"][request & w.i[MASK]] == pod:
            sharing.take_out(w, group, request)
        request = after


def goes(w: World, pod: int) -> None:
    """The pod is gone; whatever it still had fails."""
    w.pod[pod, PHASE] = GONE
    w.pod[pod, GONE_NS] = w.i[NOW]
    break_off(w, pod)
    if len(w.slowdown):
        free_gpu(w, pod)
    w.pod[pod, BUSY] = busy_at(w, pod, w.i[NOW])
    w.pod[pod, BUSY_SINCE] = NEVER_NS
    cluster.pod_gone(w, pod)
    reconciler.pod_gone(w, pod)


KERNELS = (
    startup_sees, opens, becomes_ready, passed_on, inside, roll, join, leave, takes, is_free, work, begin, done,
    after_work, let_go, withdraw, remove, drain, may_stop, break_off, kill, busy_at, free_gpu, goes,
)  # fmt: skip
