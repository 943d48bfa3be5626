"""From decisions to pods and endpoints."""

from kpasim.engines import params as of
from kpasim.engines.clock import Kind, tick_at_or_after
from kpasim.engines.draws import LATE_RECONCILE, LATE_STATUS
from kpasim.engines.model import activator, ahead, autoscaler, clients, cluster, kpa, kubelet, views
from kpasim.engines.model.clocks import jitter, wall_ns
from kpasim.engines.model.state import (
    LATE_RECONCILES,
    LATE_STATUSES,
    MORE_PODS,
    MORE_SCALINGS,
    NOTHING,
    POD_QUEUES,
    STARTING,
    Simulation,
    renew,
)
from kpasim.engines.params import FOREVER_NS, NEVER_NS, SECOND_NS
from kpasim.policy import accounting, burst, pods, scaler, scraping

WARM_DEADLINE_NS = 600 * SECOND_NS
FEW = 4
"""Pods to remove that are found one by one; more are found by sorting."""
RECONCILE, ROLLOUT, SKS, MODE_KIND, FOUND, VISIBLE, LOAD, END = (
    int(Kind.RECONCILE), int(Kind.ROLLOUT), int(Kind.SKS), int(Kind.MODE), int(Kind.FOUND), int(Kind.VISIBLE),
    int(Kind.LOAD), int(Kind.END),
)  # fmt: skip


def create_revision(sim: Simulation) -> None:
    """The revision comes into being: its Deployment, its PodAutoscaler."""
    sim.revision.replicas = sim.params.initial_scale
    sim.revision.active_since_ns = stamp(sim)
    sim.revision.backed_since_ns = sim.revision.active_since_ns
    sim.ingress.activators = min(sim.params.activators, burst.MIN_ACTIVATORS)
    if sim.params.data_plane != of.ACTIVATORS:
        direct = sim.params.data_plane == of.SERVICE
        sim.ingress.mode = sim.revision.asked_mode = burst.SERVE if direct else burst.PROXY
        sim.revision.status_desired = sim.revision.shown_desired = sim.revision.replicas
        sim.revision.active = scaler.FALSE
    for at in range(len(sim.views)):
        views.begin(sim, at)
    cluster.set_up(sim)
    autoscaler.set_up(sim)
    on_rollout(sim)
    enqueue(sim)
    start = sim.params.start
    if start == of.WARM:
        sim.schedule(max(WARM_DEADLINE_NS, sim.params.progress_deadline_ns), LOAD, 1)
    elif start == of.IDLED:
        sim.schedule(clients.lost_ns(sim), LOAD, 1)
    else:
        start_load_at(sim, sim.now_ns + sim.params.start_for_ns)


def start_load_at(sim: Simulation, time_ns: int) -> None:
    """Let the load begin at ``time_ns``, or at its phase after that, unless that is already settled."""
    if sim.load_ns == FOREVER_NS:
        if sim.draws.load_phase_ns != of.AT_ONCE:
            time_ns = tick_at_or_after(sim.draws.load_phase_ns, of.TICK_NS, time_ns)
        sim.load_ns = time_ns
        sim.schedule(time_ns, LOAD, 0)
        if ahead.has_schedule(sim):
            ahead.next_boundary(sim)
        autoscaler.next_restart(sim)
        if sim.params.horizon_ns:
            sim.schedule(time_ns + sim.params.horizon_ns, END, 0)


def stamp(sim: Simulation) -> int:
    """Now, as conditions keep it: at whole wall-clock seconds."""
    return int(sim.now_ns - wall_ns(sim) % SECOND_NS)


def reachable(sim: Simulation) -> int:
    """Whether the revision counts as reachable: routed, and not failing without a single ready pod."""
    stuck = sim.pending.count > 0 and not sim.params.always_schedulable
    revision = sim.revision
    failing = revision.ready_pods == 0 and revision.replicas > 0 and (revision.crashed > 0 or stuck or is_overdue(sim))
    return 1 if sim.params.reachable and not failing else 0


def is_overdue(sim: Simulation) -> bool:
    """Whether the Deployment's first rollout has made no progress for the progress deadline."""
    deadline_ns = sim.revision.progressed_ns + sim.params.progress_deadline_ns
    return bool(sim.revision.rolled_out == 0 and sim.now_ns >= deadline_ns)


def progress(sim: Simulation) -> None:
    """The Deployment came nearer to its replicas, and may have reached them."""
    sim.revision.progressed_ns = sim.now_ns
    check_rollout(sim)
    if sim.revision.rolled_out == 0:
        sim.schedule(sim.now_ns + sim.params.progress_deadline_ns, RECONCILE, 4)


def check_rollout(sim: Simulation) -> None:
    """Note when all pods are ready, if only because there are none to be."""
    if sim.revision.ready_pods == sim.revision.replicas:
        sim.revision.rolled_out = 1


def rules_of(sim: Simulation) -> scaler.Rules:
    """The scaler's settings as they stand."""
    least, most = int(sim.params.min_scale), int(sim.params.max_scale)
    if ahead.has_schedule(sim):
        scheduled, limit = ahead.bounds(sim)
        least = max(least, scheduled)
        most = min(most, limit) if most and limit else max(most, limit)
    return kpa.rules_of(sim.params, least, most, reachable(sim))


def enqueue(sim: Simulation) -> None:
    """Queue a reconcile of the PodAutoscaler after the API's delay; an earlier one is kept."""
    if sim.params.data_plane != of.ACTIVATORS:
        on_pods_changed(sim)
        return
    sim.revision.reconciles += 1
    late_ns = jitter(sim, LATE_RECONCILES, sim.revision.reconciles, LATE_RECONCILE, sim.params.api_jitter_ns)
    due_ns = sim.now_ns + sim.params.reconcile_ns + late_ns
    if due_ns < sim.revision.reconcile_due_ns:
        sim.revision.reconcile_due_ns = due_ns
        sim.schedule(due_ns, RECONCILE, 0)


def on_pods_changed(sim: Simulation) -> None:
    """Where no PodAutoscaler is over the Deployment: show that pods came or went, and start the load when it may."""
    ready = sim.revision.ready_pods
    sim.revision.active = scaler.TRUE if ready > 0 else scaler.FALSE
    record_change(sim)
    if ready > 0 and ready >= sim.params.initial_scale:
        if sim.params.start == of.WARM:
            start_load_at(sim, sim.now_ns + sim.params.start_for_ns)
        if sim.params.start == of.IDLED and sim.params.stays:
            start_load_at(sim, sim.now_ns + clients.stays_ns(sim))


def scale(sim: Simulation, replicas: int) -> None:
    """An autoscaler writes the number of replicas to the Deployment itself."""
    sim.revision.replicas = replicas
    sim.revision.status_desired = sim.revision.shown_desired = replicas
    sim.schedule(sim.now_ns + sim.params.reconcile_ns + sim.params.rollout_ns, ROLLOUT, 0)
    record_change(sim)


def requeue_at(sim: Simulation, time_ns: int) -> None:
    """Reconcile at ``time_ns``, or earlier if that is planned already."""
    if time_ns < sim.revision.requeue_due_ns:
        sim.revision.requeue_due_ns = time_ns
        sim.schedule(time_ns, RECONCILE, 1)


def on_reconcile_due(sim: Simulation, why: int) -> None:
    """An event (0) or an earlier reconcile (1) asked for one, a probe (2) goes on, a status (3) is written.

    Or the progress deadline (4) may be over.
    """
    is_away = sim.now_ns < sim.autoscaler.back_ns
    if why == 0 and sim.revision.reconcile_due_ns == sim.now_ns:
        sim.revision.reconcile_due_ns = FOREVER_NS
        if not is_away:
            reconcile(sim)
    elif why == 1 and sim.revision.requeue_due_ns == sim.now_ns:
        sim.revision.requeue_due_ns = FOREVER_NS
        if not is_away:
            reconcile(sim)
    elif why == 2:
        probe(sim)
    elif why == 3:
        on_status_written(sim)
    elif why == 4 and is_overdue(sim):
        enqueue(sim)


def reconcile(sim: Simulation) -> None:
    """One reconcile of the PodAutoscaler."""
    if sim.params.autoscaler != of.KPA:
        serve(sim)
        return
    now = sim.now_ns
    done = scaler.reconcile(
        rules_of(sim),
        sim.autoscaler.desired,
        sim.autoscaler.excess,
        sim.revision.ready_pods,
        sim.revision.replicas,
        sim.revision.initialized == 1,
        sim.revision.active,
        sim.revision.reason,
        now - sim.revision.active_since_ns,
        sim.revision.asked_mode,
        now - sim.revision.backed_since_ns if sim.revision.backed else 0,
        sim.revision.status_desired,
        sim.revision.public_mode == burst.PROXY,
    )
    if done.requeue_ns != scaler.NO_REQUEUE_NS:
        requeue_at(sim, now + done.requeue_ns)
    if done.offered and sim.revision.probing_until_ns == NEVER_NS:
        sim.revision.probing_until_ns = now + scaler.PROBE_TIMEOUT_NS
        sim.schedule(now + scaler.PROBE_PERIOD_NS, RECONCILE, 2)
    if done.patch != scaler.NO_PATCH:
        sim.revision.replicas = done.patch
        sim.schedule(now + sim.params.rollout_ns, ROLLOUT, 0)
    activators = burst.num_activators(
        sim.revision.ready_pods, sim.params.total_value, sim.params.target_burst_capacity, sim.params.activator_capacity
    )
    if done.mode != sim.revision.asked_mode or activators != sim.revision.wanted_activators:
        sim.revision.asked_mode = done.mode
        sim.revision.wanted_activators = activators
        enqueue_sks(sim)
    sim.revision.initialized = 1 if done.initialized else 0
    if done.active != sim.revision.active or done.reason != sim.revision.reason:
        sim.revision.active = done.active
        sim.revision.reason = done.reason
        sim.revision.active_since_ns = stamp(sim)
    sim.revision.status_desired = done.desired
    if (
        sim.revision.seen_active != sim.revision.active
        or sim.revision.seen_reason != sim.revision.reason
        or sim.revision.seen_initialized != sim.revision.initialized
        or sim.revision.seen_desired != sim.revision.status_desired
    ):
        sim.revision.seen_active = sim.revision.active
        sim.revision.seen_reason = sim.revision.reason
        sim.revision.seen_initialized = sim.revision.initialized
        sim.revision.seen_desired = sim.revision.status_desired
        sim.revision.status_writes += 1
        wait_ns = jitter(sim, LATE_STATUSES, sim.revision.status_writes, LATE_STATUS, sim.params.status_jitter_ns)
        if wait_ns:
            sim.schedule(now + wait_ns, RECONCILE, 3)
        else:
            on_status_written(sim)
    record_change(sim)
    if sim.revision.active == scaler.TRUE:
        if sim.params.start == of.WARM:
            start_load_at(sim, now + sim.params.start_for_ns)
        if sim.params.start == of.IDLED and sim.params.stays:
            start_load_at(sim, now + clients.stays_ns(sim))


def serve(sim: Simulation) -> None:
    """A reconcile of a PodAutoscaler of the HPA class: pods are the public endpoints as soon as one is ready.

    Source:
        knative/serving@98e5ef9, pkg/reconciler/autoscaling/hpa/hpa.go, ``ReconcileKind``
    """
    if sim.revision.asked_mode != burst.SERVE:
        sim.revision.asked_mode = burst.SERVE
        enqueue_sks(sim)
    sim.revision.status_desired = sim.revision.shown_desired = sim.revision.replicas
    on_pods_changed(sim)


def on_status_written(sim: Simulation) -> None:
    """The PodAutoscaler's status is there to see, which is one more event for it."""
    sim.revision.shown_desired = sim.revision.status_desired
    enqueue(sim)
    record_change(sim)


def probe(sim: Simulation) -> None:
    """The asynchronous probe for the activator, once a second until it succeeds or gives up."""
    now = sim.now_ns
    if sim.revision.public_mode == burst.PROXY or now >= sim.revision.probing_until_ns:
        sim.revision.probing_until_ns = NEVER_NS
        requeue_at(sim, now + scaler.PROBE_REQUEUE_NS)
    else:
        sim.schedule(now + scaler.PROBE_PERIOD_NS, RECONCILE, 2)


def enqueue_sks(sim: Simulation) -> None:
    """Queue a reconcile of the ServerlessService, whose spec or endpoints changed."""
    if sim.params.data_plane != of.ACTIVATORS:
        return
    due_ns = sim.now_ns + sim.params.sks_ns
    if due_ns < sim.revision.sks_due_ns:
        sim.revision.sks_due_ns = due_ns
        sim.schedule(due_ns, SKS, 0)


def on_sks_due(sim: Simulation) -> None:
    """Bring the public endpoints in line."""
    now = sim.now_ns
    if sim.revision.sks_due_ns != now:
        return
    sim.revision.sks_due_ns = FOREVER_NS
    backed = 1 if burst.activator_backed(sim.revision.asked_mode, sim.revision.ready_pods) else 0
    if backed and not sim.revision.backed:
        sim.revision.backed_since_ns = stamp(sim)
    sim.revision.backed = backed
    mode = burst.effective_mode(sim.revision.asked_mode, sim.revision.ready_pods, sim.params.activators)
    if mode != sim.revision.public_mode:
        sim.revision.public_mode = mode
        sim.schedule(now + sim.params.endpoints_to_ingress_ns, MODE_KIND, 1 if mode == burst.SERVE else 0)
        enqueue(sim)
    activators = min(sim.params.activators, sim.revision.wanted_activators)
    if activators != sim.ingress.activators and mode == burst.PROXY:
        sim.ingress.activators = activators
        for index in range(sim.params.activators):
            activator.assign(sim, index)


def new_pod(sim: Simulation) -> int:
    """One more row for a pod."""
    which = sim.revision.pods
    sim.revision.pods = which + 1
    pod = sim.pods[which]
    renew(pod)
    for queue in range(POD_QUEUES):
        renew(sim.pod_queues[which][queue])
    renew(sim.pod_links[which])
    if len(sim.transfers):
        renew(sim.transfers[which])
    if len(sim.gpus) and not sim.params.shared_by_node:
        renew(sim.gpus[which])
    for index in range(sim.params.activators):
        sim.in_flight[index][which] = 0
    for column in range(accounting.COLUMNS):
        sim.stats[sim.params.activators + which][column] = 0
    for column in range(scraping.FIELDS):
        sim.published[which, column] = 0.0
    pod.created_ns = sim.now_ns
    sim.numbers[which] = which + sim.revision.folded
    sim.readable[which] = 0
    pod.address = sim.addresses[which] = sim.draws.pod[which][of.ADDRESS]
    for at in range(len(sim.views)):
        sim.spots[at][which] = NOTHING
    sim.alive_pods[sim.revision.listed] = which
    sim.revision.listed += 1
    sim.revision.alive += 1
    return int(which)


def on_rollout(sim: Simulation) -> None:
    """Create or remove pods until there are as many as replicas."""
    wanted = sim.revision.replicas - (sim.revision.alive - sim.revision.leaving)
    if wanted > 0:
        if sim.revision.pods + wanted > len(sim.pods):
            sim.fault = MORE_PODS
            return
        for _ in range(wanted):
            cluster.place(sim, new_pod(sim))
            if sim.fault:
                return
        if sim.revision.rolled_out == 0:
            progress(sim)
    elif wanted < 0:
        remove_pods(sim, -wanted)
    check_rollout(sim)
    record_change(sim)
    clients.settle(sim)


def remove_pods(sim: Simulation, surplus: int) -> None:
    """Ask the pods to go that a scale-down prefers."""
    count = 0
    candidates = sim.candidates
    for index in range(views.alive(sim)):
        which = sim.alive_pods[index]
        pod = sim.pods[which]
        if not pod.terminating:
            candidates[count] = which
            count += 1
            if pod.node != NOTHING:
                sim.nodes[pod.node].candidates = 0
    for index in range(count):
        node = sim.pods[candidates[index]].node
        if node != NOTHING:
            sim.nodes[node].candidates += 1
    if surplus <= FEW or may_circle(sim, count):
        select(sim, surplus, count)
    else:
        sort(sim, surplus, count)
    for done in range(surplus):
        remove(sim, candidates[done])


def may_circle(sim: Simulation, count: int) -> bool:
    """Whether some candidates may go before each other in a circle, so that there is no order to sort them into.

    Pods that became ready at the same moment are compared in another way than others if they were not restarted as
    often or are not equally old. What Kubernetes removes then depends on the order in which its cache lists the pods;
    ``select`` takes them in order of creation.
    """
    if sim.revision.mixed == 0:
        return False
    for index in range(count):
        one = sim.pods[sim.candidates[index]]
        if one.mixed and one.ready:
            for place in range(count):
                other = sim.pods[sim.candidates[place]]
                is_alike = one.restarts == other.restarts and pods.equally_old(
                    sim.now_ns - one.created_ns, sim.now_ns - other.created_ns
                )
                if other.ready and one.ready_ns == other.ready_ns and not is_alike:
                    return True
    return False


def select(sim: Simulation, wanted: int, count: int) -> None:
    """Bring the first ``wanted`` candidates to the front, one after the other."""
    now = sim.now_ns
    candidates = sim.candidates
    for done in range(wanted):
        first = done
        for index in range(done + 1, count):
            if is_preferred(sim, candidates[index], candidates[first], now):
                first = index
        chosen = candidates[first]
        for index in range(first, done, -1):
            candidates[index] = candidates[index - 1]
        candidates[done] = chosen


def sort(sim: Simulation, wanted: int, count: int) -> None:
    """Bring the first ``wanted`` candidates to the front, by a heap of what ``goes_first`` compares."""
    candidates, places = sim.candidates, sim.scratch
    for place in range(count):
        which = candidates[place]
        pod = sim.pods[which]
        phase = pods.phase_of(pod.node != NOTHING, pod.containers_ns != NEVER_NS)
        age_ns = sim.now_ns - (pod.ready_ns if pod.ready else pod.created_ns)
        restarts = 0 if pod.ready else pod.restarts
        sim.chosen[place] = pods.rank(phase, pod.ready, pods_on_node(sim, which), restarts, age_ns)
        sim.keys[place] = sim.draws.pod[which][of.UID]
        places[place] = place
    for top in range(count // 2 - 1, -1, -1):
        sink(sim, top, count)
    for done in range(wanted):
        last = count - 1 - done
        first = places[0]
        places[0] = places[last]
        places[last] = first
        sink(sim, 0, last)
    # The first ones stand at the end, the very first last.
    for done in range(wanted):
        sim.chosen[done] = candidates[places[count - 1 - done]]
    for done in range(wanted):
        candidates[done] = sim.chosen[done]


def sink(sim: Simulation, top: int, count: int) -> None:
    """Let a place of the heap sink below all that go first."""
    places = sim.scratch
    place = places[top]
    child = 2 * top + 1
    while child < count:
        if child + 1 < count and ranks_before(sim, places[child + 1], places[child]):
            child += 1
        if not ranks_before(sim, places[child], place):
            break
        places[top] = places[child]
        top = child
        child = 2 * top + 1
    places[top] = place


def ranks_before(sim: Simulation, one: int, other: int) -> bool:
    """Whether the candidate at a place goes before the one at another."""
    mine, theirs = sim.chosen[one], sim.chosen[other]
    if mine != theirs:
        return bool(mine < theirs)
    uid, uid_of_other = sim.keys[one], sim.keys[other]
    return bool(uid < uid_of_other or (uid == uid_of_other and one < other))


def pods_on_node(sim: Simulation, which: int) -> int:
    """Candidates for removal on a pod's node; pods without a node are all alike."""
    node = sim.pods[which].node
    return int(sim.nodes[node].candidates) if node != NOTHING else 0


def is_preferred(sim: Simulation, a: int, b: int, now: int) -> bool:
    """Whether a scale-down removes pod ``a`` before pod ``b``."""
    return bool(
        pods.goes_first(
            pods.phase_of(sim.pods[a].node != NOTHING, sim.pods[a].containers_ns != NEVER_NS),
            sim.pods[a].ready,
            sim.pods[a].ready_ns,
            pods_on_node(sim, a),
            sim.pods[a].restarts,
            sim.draws.pod[a][of.UID],
            sim.pods[a].created_ns,
            pods.phase_of(sim.pods[b].node != NOTHING, sim.pods[b].containers_ns != NEVER_NS),
            sim.pods[b].ready,
            sim.pods[b].ready_ns,
            pods_on_node(sim, b),
            sim.pods[b].restarts,
            sim.draws.pod[b][of.UID],
            sim.pods[b].created_ns,
            now,
        )
    )


def remove(sim: Simulation, which: int) -> None:
    """Ask a pod to go."""
    was_ready = sim.pods[which].ready
    if sim.pods[which].phase == STARTING:
        cluster.abandon(sim, which)
    kubelet.terminate(sim, which)
    sim.pods[which].ready = 0
    sim.readable[which] = 0
    sim.revision.leaving += 1
    if was_ready:
        sim.revision.ready_pods -= 1
        if sim.revision.ready_pods == 0:
            enqueue_sks(sim)
    enqueue(sim)


def on_pod_ready(sim: Simulation, which: int) -> None:
    """Kubernetes calls a pod ready: it is counted, scraped, and soon seen by activators and ingress."""
    now = sim.now_ns
    sim.revision.ready_pods += 1
    sim.revision.crashed = 0
    if sim.revision.rolled_out == 0:
        progress(sim)
    autoscaler.start_scraping(sim)
    sim.schedule(now + sim.params.endpoints_to_ingress_ns, VISIBLE, 2 * which + 1)
    if sim.revision.ready_pods == 1:
        enqueue_sks(sim)
    if sim.params.data_plane == of.SERVICE:
        enqueue(sim)
        return
    # The endpoints changed, so every activator probes all pods that it does not know yet. Pods that an earlier change
    # made it probe are found before.
    if not sim.params.early_use:
        let_find(sim, which)
    for index in range(sim.revision.unprobed):
        let_find(sim, sim.unprobed[index])
    sim.revision.unprobed = 0
    record_change(sim)
    enqueue(sim)


def let_find(sim: Simulation, which: int) -> None:
    """Let the activators find a pod when the change of the endpoints has reached them."""
    if sim.pods[which].terminating:
        return
    for by in range(sim.params.activators):
        # A pod that the activator has found already would be found again in vain.
        if not (sim.pods[which].known >> by) & 1:
            found_ns = sim.now_ns + sim.params.endpoints_to_activator_ns
            sim.schedule(found_ns, FOUND, which * sim.params.activators + by)


def on_pod_gone(sim: Simulation, which: int) -> None:
    """A pod is gone for good."""
    sim.revision.alive -= 1
    sim.revision.leaving -= 1
    if sim.revision.alive == 0 and sim.revision.replicas == 0 and sim.params.start == of.IDLED:
        start_load_at(sim, sim.now_ns + sim.params.start_for_ns)
    clients.settle(sim)


def record_change(sim: Simulation) -> None:
    """Write a row if an object changed."""
    if (
        sim.revision.shown_desired == sim.recorder.desired
        and sim.revision.ready_pods == sim.recorder.ready
        and sim.revision.replicas == sim.recorder.replicas
        and sim.revision.active == sim.recorder.active
        and sim.revision.asked_mode == sim.recorder.mode
    ):
        return
    sim.recorder.desired = sim.revision.shown_desired
    sim.recorder.ready = sim.revision.ready_pods
    sim.recorder.replicas = sim.revision.replicas
    sim.recorder.active = sim.revision.active
    sim.recorder.mode = sim.revision.asked_mode
    if sim.recorder.statistics_only:
        return
    if sim.recorder.scalings >= sim.recorder.scaling_rows:
        sim.fault = MORE_SCALINGS
        return
    row = sim.scaling[sim.recorder.scalings]
    sim.recorder.scalings += 1
    row.t_ns = sim.now_ns
    row.desired = sim.revision.shown_desired
    row.ready = sim.revision.ready_pods
    row.replicas = sim.revision.replicas
    row.active = sim.revision.active
    row.mode = sim.revision.asked_mode
