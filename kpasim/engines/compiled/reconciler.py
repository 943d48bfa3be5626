"""From decisions to pods and endpoints (the same as reference/reconciler.py)."""

from __future__ import annotations

from kpasim.engines import params as of
from kpasim.engines.clock import Kind, tick_at_or_after
from kpasim.engines.compiled import activator, agenda, autoscaler, clients, cluster, pod
from kpasim.engines.compiled.lateness import lateness
from kpasim.engines.compiled.layout import (
    ACTIVE,
    ACTIVE_SINCE,
    ADDRESS,
    ALIVE,
    ALIVE_PODS,
    ASKED,
    ASKED_MODE,
    ATTEMPT,
    BACKED,
    BACKED_SINCE,
    BUSY_SINCE,
    CONTAINERS,
    CRASHED,
    CREATED,
    DESIRED,
    DRAIN_DUE,
    DUE,
    FAULT,
    FOLDED,
    GONE_NS,
    HEAP,
    IN_SUBSET,
    INITIALIZED,
    KNOWN,
    LAST_ARRIVAL,
    LATE_RECONCILES,
    LATE_STATUSES,
    LATEST_ACTIVE,
    LATEST_DESIRED,
    LATEST_MODE,
    LATEST_READY,
    LATEST_REPLICAS,
    LOAD_NS,
    MORE_EVENTS,
    MORE_PODS,
    MORE_SCALINGS,
    N_MATES,
    NODE,
    NOTHING,
    NOW,
    NUMBER,
    OPEN,
    PENDING,
    PHASE,
    POD_COLUMNS,
    PODS,
    PROBING_UNTIL,
    PROGRESSED,
    PUBLIC_MODE,
    PULL_NS,
    QUEUE_HEAD,
    QUEUE_TAIL,
    READY,
    READY_NS,
    READY_PODS,
    REASON,
    REPLICAS,
    ROLLED_OUT,
    RUN_HEAD,
    RUN_TAIL,
    SCALINGS,
    SCHEDULED,
    SCRATCH,
    SEEN_ACTIVE,
    SEEN_DESIRED,
    SEEN_INITIALIZED,
    SEEN_REASON,
    SERVES_FROM,
    SHOWN_DESIRED,
    SKS_DUE,
    STAGE_DUE,
    STARTING,
    STATISTICS_ONLY,
    STATS_FROM,
    STATUS_DESIRED,
    TERMINATING,
    TIMER,
    TOUCHES,
    TYPE,
    USABLE,
    WAIT_HEAD,
    WAIT_TAIL,
    WANTED_ACTIVATORS,
    WRITES,
    P,
    World,
)
from kpasim.engines.draws import LATE_RECONCILE, LATE_STATUS
from kpasim.engines.params import FOREVER_NS, NEVER_NS, SECOND_NS
from kpasim.policy import burst, pods, scaler

WARM_DEADLINE_NS = 600 * SECOND_NS
RECONCILE, ROLLOUT, SKS, MODE_KIND, FOUND, VISIBLE, LOAD, END = (
    int(Kind.RECONCILE), int(Kind.ROLLOUT), int(Kind.SKS), int(Kind.MODE), int(Kind.FOUND), int(Kind.VISIBLE),
    int(Kind.LOAD), int(Kind.END),
)  # fmt: skip


def create_revision(w: World) -> None:
    """The revision comes into being: its Deployment, its PodAutoscaler."""
    w.i[REPLICAS] = w.p[P.initial_scale]
    w.i[ACTIVE_SINCE] = stamp(w)
    w.i[BACKED_SINCE] = w.i[ACTIVE_SINCE]
    w.i[IN_SUBSET] = min(w.p[P.activators], burst.MIN_ACTIVATORS)
    cluster.set_up(w)
    autoscaler.set_up(w)
    roll_out(w)
    touch(w)
    start = w.p[P.start]
    if start == of.WARM:
        agenda.plan(w, max(WARM_DEADLINE_NS, w.p[P.progress_deadline_ns]), LOAD, 1)
    elif start == of.IDLED:
        agenda.plan(w, clients.lost_ns(w), LOAD, 1)
    else:
        start_load_at(w, w.i[NOW] + w.p[P.start_for_ns])


def start_load_at(w: World, time_ns: int) -> None:
    """Let the load begin at ``time_ns``, or at its phase after that, unless that is already settled."""
    if w.i[LOAD_NS] == FOREVER_NS:
        if w.load_phase_ns != of.AT_ONCE:
            time_ns = tick_at_or_after(w.load_phase_ns, of.TICK_NS, time_ns)
        w.i[LOAD_NS] = time_ns
        agenda.plan(w, time_ns, LOAD, 0)
        if w.p[P.horizon_ns]:
            agenda.plan(w, time_ns + w.p[P.horizon_ns], END, 0)


def stamp(w: World) -> int:
    """Now, as conditions keep it: at whole wall-clock seconds."""
    return int(w.i[NOW] - autoscaler.wall_ns(w) % SECOND_NS)


def reachable(w: World) -> int:
    """Whether the revision counts as reachable: routed, and not failing without a single ready pod."""
    stuck = w.i[PENDING] > 0 and not w.p[P.always_schedulable]
    failing = w.i[READY_PODS] == 0 and w.i[REPLICAS] > 0 and (w.i[CRASHED] > 0 or stuck or is_overdue(w))
    return 1 if w.p[P.reachable] and not failing else 0


def is_overdue(w: World) -> bool:
    """Whether the Deployment's first rollout has made no progress for the progress deadline."""
    return bool(w.i[ROLLED_OUT] == 0 and w.i[NOW] >= w.i[PROGRESSED] + w.p[P.progress_deadline_ns])


def progress(w: World) -> None:
    """The Deployment came nearer to its replicas, and may have reached them."""
    w.i[PROGRESSED] = w.i[NOW]
    check_rollout(w)
    if w.i[ROLLED_OUT] == 0:
        agenda.plan(w, w.i[NOW] + w.p[P.progress_deadline_ns], RECONCILE, 4)


def check_rollout(w: World) -> None:
    """Note when all pods are ready, if only because there are none to be."""
    if w.i[READY_PODS] == w.i[REPLICAS]:
        w.i[ROLLED_OUT] = 1


def rules_of(w: World) -> scaler.Rules:
    """The scaler's settings as they stand."""
    return scaler.Rules(
        w.p[P.min_scale],
        w.p[P.max_scale],
        w.p[P.initial_scale],
        reachable(w),
        w.p[P.enable_scale_to_zero],
        w.x[P.target_burst_capacity],
        w.p[P.stable_window_s] * SECOND_NS,
        w.p[P.grace_ns],
        w.p[P.retention_ns],
        w.p[P.progress_deadline_ns] + scaler.ACTIVATION_TIMEOUT_BUFFER_NS,
    )


def touch(w: World) -> None:
    """Something changed: reconcile soon."""
    w.i[TOUCHES] += 1
    late_ns = lateness(w, LATE_RECONCILES, w.i[TOUCHES], LATE_RECONCILE, w.p[P.api_jitter_ns])
    due_ns = w.i[NOW] + w.p[P.reconcile_ns] + late_ns
    if due_ns < w.i[DUE]:
        w.i[DUE] = due_ns
        agenda.plan(w, due_ns, RECONCILE, 0)


def look_again(w: World, time_ns: int) -> None:
    """Reconcile at ``time_ns``, or earlier if that is planned already."""
    if time_ns < w.i[TIMER]:
        w.i[TIMER] = time_ns
        agenda.plan(w, time_ns, RECONCILE, 1)


def on_event(w: World, why: int) -> None:
    """An event (0) or an earlier reconcile (1) asked for one, a probe (2) goes on, a status (3) is written.

    Or the progress deadline (4) may be over.
    """
    if why == 0 and w.i[DUE] == w.i[NOW]:
        w.i[DUE] = FOREVER_NS
        reconcile(w)
    elif why == 1 and w.i[TIMER] == w.i[NOW]:
        w.i[TIMER] = FOREVER_NS
        reconcile(w)
    elif why == 2:
        probe(w)
    elif why == 3:
        status_written(w)
    elif why == 4 and is_overdue(w):
        touch(w)


def reconcile(w: World) -> None:
    """One reconcile of the PodAutoscaler."""
    now = w.i[NOW]
    rules = rules_of(w)
    want, patch, requeue_ns, _, offered = scaler.decide(
        rules,
        w.i[DESIRED],
        w.i[INITIALIZED] == 1,
        w.i[ACTIVE],
        now - w.i[ACTIVE_SINCE],
        w.i[ASKED_MODE],
        now - w.i[BACKED_SINCE] if w.i[BACKED] else 0,
        w.i[REPLICAS],
        w.i[PUBLIC_MODE] == burst.PROXY,
    )
    if requeue_ns != scaler.NO_REQUEUE_NS:
        look_again(w, now + requeue_ns)
    if offered and w.i[PROBING_UNTIL] == NEVER_NS:
        w.i[PROBING_UNTIL] = now + scaler.PROBE_TIMEOUT_NS
        agenda.plan(w, now + scaler.PROBE_PERIOD_NS, RECONCILE, 2)
    if patch != scaler.NO_PATCH:
        w.i[REPLICAS] = patch
        agenda.plan(w, now + w.p[P.rollout_ns], ROLLOUT, 0)
    mode = burst.mode(want, w.excess[0])
    activators = burst.num_activators(
        w.i[READY_PODS], w.x[P.total_value], w.x[P.target_burst_capacity], w.x[P.activator_capacity]
    )
    if mode != w.i[ASKED_MODE] or activators != w.i[WANTED_ACTIVATORS]:
        w.i[ASKED_MODE] = mode
        w.i[WANTED_ACTIVATORS] = activators
        touch_sks(w)
    active, reason, initialized = scaler.active_condition(
        rules, want, w.i[READY_PODS], w.i[ACTIVE], w.i[REASON], w.i[INITIALIZED] == 1, True
    )
    w.i[INITIALIZED] = 1 if initialized else 0
    if active != w.i[ACTIVE] or reason != w.i[REASON]:
        w.i[ACTIVE] = active
        w.i[REASON] = reason
        w.i[ACTIVE_SINCE] = stamp(w)
    w.i[STATUS_DESIRED] = scaler.status_desired_scale(want, w.i[STATUS_DESIRED])
    if (
        w.i[SEEN_ACTIVE] != w.i[ACTIVE]
        or w.i[SEEN_REASON] != w.i[REASON]
        or w.i[SEEN_INITIALIZED] != w.i[INITIALIZED]
        or w.i[SEEN_DESIRED] != w.i[STATUS_DESIRED]
    ):
        w.i[SEEN_ACTIVE] = w.i[ACTIVE]
        w.i[SEEN_REASON] = w.i[REASON]
        w.i[SEEN_INITIALIZED] = w.i[INITIALIZED]
        w.i[SEEN_DESIRED] = w.i[STATUS_DESIRED]
        w.i[WRITES] += 1
        wait_ns = lateness(w, LATE_STATUSES, w.i[WRITES], LATE_STATUS, w.p[P.status_jitter_ns])
        if wait_ns:
            agenda.plan(w, now + wait_ns, RECONCILE, 3)
        else:
            status_written(w)
    note(w)
    if w.i[ACTIVE] == scaler.TRUE:
        if w.p[P.start] == of.WARM:
            start_load_at(w, now + w.p[P.start_for_ns])
        if w.p[P.start] == of.IDLED and w.p[P.stays]:
            start_load_at(w, now + clients.stays_ns(w))


def status_written(w: World) -> None:
    """The PodAutoscaler's status is there to see, which is one more event for it."""
    w.i[SHOWN_DESIRED] = w.i[STATUS_DESIRED]
    touch(w)
    note(w)


def probe(w: World) -> None:
    """The asynchronous probe for the activator, once a second until it succeeds or gives up."""
    now = w.i[NOW]
    if w.i[PUBLIC_MODE] == burst.PROXY or now >= w.i[PROBING_UNTIL]:
        w.i[PROBING_UNTIL] = NEVER_NS
        look_again(w, now + scaler.PROBE_REQUEUE_NS)
    else:
        agenda.plan(w, now + scaler.PROBE_PERIOD_NS, RECONCILE, 2)


def touch_sks(w: World) -> None:
    """The ServerlessService's spec or its endpoints changed."""
    due_ns = w.i[NOW] + w.p[P.sks_ns]
    if due_ns < w.i[SKS_DUE]:
        w.i[SKS_DUE] = due_ns
        agenda.plan(w, due_ns, SKS, 0)


def reconcile_sks(w: World) -> None:
    """Bring the public endpoints in line."""
    now = w.i[NOW]
    if w.i[SKS_DUE] != now:
        return
    w.i[SKS_DUE] = FOREVER_NS
    backed = 1 if burst.activator_backed(w.i[ASKED_MODE], w.i[READY_PODS]) else 0
    if backed and not w.i[BACKED]:
        w.i[BACKED_SINCE] = stamp(w)
    w.i[BACKED] = backed
    mode = burst.effective_mode(w.i[ASKED_MODE], w.i[READY_PODS], w.p[P.activators])
    if mode != w.i[PUBLIC_MODE]:
        w.i[PUBLIC_MODE] = mode
        agenda.plan(w, now + w.p[P.endpoints_to_ingress_ns], MODE_KIND, 1 if mode == burst.SERVE else 0)
        touch(w)
    activators = min(w.p[P.activators], w.i[WANTED_ACTIVATORS])
    if activators != w.i[IN_SUBSET] and mode == burst.PROXY:
        w.i[IN_SUBSET] = activators
        for index in range(w.p[P.activators]):
            activator.assign(w, index)


def new_pod(w: World) -> int:
    """One more row for a pod."""
    which = w.i[PODS]
    w.i[PODS] = which + 1
    row = w.pod[which]
    for column in range(POD_COLUMNS):
        row[column] = 0
    row[CREATED] = w.i[NOW]
    row[SCHEDULED] = NEVER_NS
    row[PULL_NS] = NEVER_NS
    row[CONTAINERS] = NEVER_NS
    row[OPEN] = NEVER_NS
    row[USABLE] = NEVER_NS
    row[READY_NS] = NEVER_NS
    row[ASKED] = NEVER_NS
    row[GONE_NS] = NEVER_NS
    row[NODE] = NOTHING
    row[TYPE] = NOTHING
    row[NUMBER] = which + w.i[FOLDED]
    row[ADDRESS] = w.pod_draw[which, of.ADDRESS]
    row[BUSY_SINCE] = NEVER_NS
    row[STAGE_DUE] = FOREVER_NS
    row[DRAIN_DUE] = FOREVER_NS
    row[SERVES_FROM] = NEVER_NS
    row[LAST_ARRIVAL] = NEVER_NS
    row[QUEUE_HEAD] = NOTHING
    row[QUEUE_TAIL] = NOTHING
    row[WAIT_HEAD] = NOTHING
    row[WAIT_TAIL] = NOTHING
    row[RUN_HEAD] = NOTHING
    row[RUN_TAIL] = NOTHING
    row[STATS_FROM] = NEVER_NS
    w.lists[ALIVE_PODS, w.i[ALIVE]] = which
    w.i[ALIVE] += 1
    return int(which)


def roll_out(w: World) -> None:
    """Create or remove pods until there are as many as replicas."""
    staying = 0
    for index in range(w.i[ALIVE]):
        if not w.pod[w.lists[ALIVE_PODS, index], TERMINATING]:
            staying += 1
    wanted = w.i[REPLICAS] - staying
    if wanted > 0:
        if w.i[PODS] + wanted > len(w.pod):
            w.i[FAULT] = MORE_PODS
            return
        if w.i[HEAP] + 4 * wanted > len(w.heap):
            w.i[FAULT] = MORE_EVENTS
            return
        for _ in range(wanted):
            cluster.place(w, new_pod(w))
            if w.i[FAULT]:
                return
        if w.i[ROLLED_OUT] == 0:
            progress(w)
    elif wanted < 0:
        remove_pods(w, -wanted)
    check_rollout(w)
    note(w)
    clients.settle(w)


def remove_pods(w: World, surplus: int) -> None:
    """Ask the pods to go that a scale-down prefers."""
    now = w.i[NOW]
    count = 0
    candidates = w.lists[SCRATCH]
    for index in range(w.i[ALIVE]):
        which = w.lists[ALIVE_PODS, index]
        if not w.pod[which, TERMINATING]:
            candidates[count] = which
            count += 1
    for index in range(count):
        node = w.pod[candidates[index], NODE]
        if node != NOTHING:
            w.node[node, N_MATES] = 0
    for index in range(count):
        node = w.pod[candidates[index], NODE]
        if node != NOTHING:
            w.node[node, N_MATES] += 1
    for index in range(count):
        # ``answers`` has room for one number per pod and is not in use now. Pods without a node are all alike.
        node = w.pod[candidates[index], NODE]
        w.answers[candidates[index]] = w.node[node, N_MATES] if node != NOTHING else 0
    for done in range(surplus):
        first = done
        for index in range(done + 1, count):
            if is_preferred(w, candidates[index], candidates[first], now):
                first = index
        chosen = candidates[first]
        for index in range(first, done, -1):
            candidates[index] = candidates[index - 1]
        candidates[done] = chosen
    for done in range(surplus):
        w.answers[done] = candidates[done]
    for done in range(surplus):
        # Removing a pod may use the scratch list.
        remove(w, w.answers[done])


def is_preferred(w: World, a: int, b: int, now: int) -> bool:
    """Whether a scale-down removes pod ``a`` before pod ``b``."""
    return bool(
        pods.goes_first(
            pods.phase_of(w.pod[a, NODE] != NOTHING, w.pod[a, CONTAINERS] != NEVER_NS),
            w.pod[a, READY],
            w.pod[a, READY_NS],
            w.answers[a],
            w.pod[a, ATTEMPT],
            w.pod_draw[a, of.UID],
            w.pod[a, CREATED],
            pods.phase_of(w.pod[b, NODE] != NOTHING, w.pod[b, CONTAINERS] != NEVER_NS),
            w.pod[b, READY],
            w.pod[b, READY_NS],
            w.answers[b],
            w.pod[b, ATTEMPT],
            w.pod_draw[b, of.UID],
            w.pod[b, CREATED],
            now,
        )
    )


def remove(w: World, which: int) -> None:
    """Ask a pod to go."""
    was_ready = w.pod[which, READY]
    if w.pod[which, PHASE] == STARTING:
        cluster.abandon(w, which)
    pod.remove(w, which)
    w.pod[which, READY] = 0
    if was_ready:
        w.i[READY_PODS] -= 1
        if w.i[READY_PODS] == 0:
            touch_sks(w)
    touch(w)


def pod_became_ready(w: World, which: int) -> None:
    """Kubernetes calls a pod ready: it is counted, scraped, and soon seen by activators and ingress."""
    now = w.i[NOW]
    w.i[READY_PODS] += 1
    w.i[CRASHED] = 0
    if w.i[ROLLED_OUT] == 0:
        progress(w)
    autoscaler.pods_are_ready(w)
    agenda.plan(w, now + w.p[P.endpoints_to_ingress_ns], VISIBLE, 2 * which + 1)
    if w.i[READY_PODS] == 1:
        touch_sks(w)
    # The endpoints changed, so every activator probes all pods that it does not know yet.
    for index in range(w.i[ALIVE]):
        other = w.lists[ALIVE_PODS, index]
        known = w.p[P.early_use] or w.pod[other, READY]
        if w.pod[other, TERMINATING] or w.pod[other, OPEN] == NEVER_NS or not known:
            continue
        for by in range(w.p[P.activators]):
            # A pod that the activator has found already would be found again in vain.
            if not (w.pod[other, KNOWN] >> by) & 1:
                agenda.plan(w, now + w.p[P.endpoints_to_activator_ns], FOUND, other * w.p[P.activators] + by)
    note(w)
    touch(w)


def pod_gone(w: World, which: int) -> None:
    """A pod is gone for good."""
    alive = w.lists[ALIVE_PODS]
    place = 0
    while alive[place] != which:
        place += 1
    w.i[ALIVE] -= 1
    for later in range(place, w.i[ALIVE]):
        alive[later] = alive[later + 1]
    if w.i[ALIVE] == 0 and w.i[REPLICAS] == 0 and w.p[P.start] == of.IDLED:
        start_load_at(w, w.i[NOW] + w.p[P.start_for_ns])
    clients.settle(w)


def note(w: World) -> None:
    """Write a row if an object changed."""
    i = w.i
    if (
        i[SHOWN_DESIRED] == i[LATEST_DESIRED]
        and i[READY_PODS] == i[LATEST_READY]
        and i[REPLICAS] == i[LATEST_REPLICAS]
        and i[ACTIVE] == i[LATEST_ACTIVE]
        and i[ASKED_MODE] == i[LATEST_MODE]
    ):
        return
    i[LATEST_DESIRED] = i[SHOWN_DESIRED]
    i[LATEST_READY] = i[READY_PODS]
    i[LATEST_REPLICAS] = i[REPLICAS]
    i[LATEST_ACTIVE] = i[ACTIVE]
    i[LATEST_MODE] = i[ASKED_MODE]
    if i[STATISTICS_ONLY]:
        return
    row = i[SCALINGS]
    if row >= len(w.scaling):
        i[FAULT] = MORE_SCALINGS
        return
    i[SCALINGS] = row + 1
    w.scaling["t"][row] = i[NOW]
    w.scaling["desired"][row] = i[SHOWN_DESIRED]
    w.scaling["ready"][row] = i[READY_PODS]
    w.scaling["replicas"][row] = i[REPLICAS]
    w.scaling["active"][row] = i[ACTIVE]
    w.scaling["mode"][row] = i[ASKED_MODE]


KERNELS = (
    stamp, is_overdue, check_rollout, progress, reachable, rules_of, touch, look_again, touch_sks, note, status_written,
    start_load_at, probe, reconcile, on_event, reconcile_sks, new_pod, remove, is_preferred, remove_pods, roll_out,
    pod_became_ready, pod_gone, create_revision,
)  # fmt: skip
