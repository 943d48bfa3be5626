"""Kubernetes' HPA: reads a metric every sync period, and writes the number of replicas.

KEDA's HPA is the same, with a metric that KEDA hands on; see ``keda``.
"""

from kpasim.engines import params as of
from kpasim.engines.model import autoscaler, keda, metrics, reconciler, views
from kpasim.engines.model.clocks import decision_share
from kpasim.engines.model.state import GONE, Simulation
from kpasim.engines.params import NEVER_NS
from kpasim.policy import hpa, rules

CPU_REQUEST_MILLI = 1000
"""CPU request of a pod: use is counted as a share of it."""


def settings(sim: Simulation) -> hpa.Settings:
    """Settings of the HPA."""
    params = sim.params
    return hpa.Settings(
        min_replicas=params.least if params.autoscaler == of.HPA else max(params.least, 1),
        max_replicas=params.most,
        has_behavior=params.has_behavior,
        up=hpa.Rules(params.up_window_ns, params.up_select, params.up_policies),
        down=hpa.Rules(params.down_window_ns, params.down_select, params.down_policies),
        tolerance_up=params.tolerance_up,
        tolerance_down=params.tolerance_down,
        scale_to_zero=params.scale_to_zero,
        total_metric=1 - params.of_pods,
    )


def history(sim: Simulation) -> hpa.History:
    """What the controller remembers."""
    return hpa.History(sim.hpa_state, sim.recommendations, sim.up_events, sim.down_events)


def set_up(sim: Simulation) -> None:
    """The HPA begins at a phase of its own."""
    hpa.start(history(sim), sim.now_ns, sim.revision.replicas)
    autoscaler.wake_tick(sim, sim.now_ns + int(decision_share(sim) * sim.params.sync_ns))


def set_up_metric(sim: Simulation) -> None:
    """The scrapes of the metric begin at a phase of their own."""
    autoscaler.wake_scrape(sim, sim.now_ns + metrics.phase_ns(sim))


def on_scrape(sim: Simulation) -> None:
    """Scrape the metric, again after a period."""
    metrics.scrape(sim)
    autoscaler.wake_scrape(sim, sim.now_ns + sim.params.scrape_ns)


def on_tick(sim: Simulation) -> None:
    """Decide, and write the scale where it changes; again after the sync period."""
    now, current = sim.now_ns, int(sim.revision.replicas)
    about, past = settings(sim), history(sim)
    proposal, seen = hpa.METRIC_UNAVAILABLE, 0.0
    if hpa.measures(about, past, current) == hpa.MEASURED:
        proposal, seen = propose(sim, current)
    desired, step, _, able, limited = hpa.decide(about, past, now, current, proposal)
    desired = int(desired)
    autoscaler.record_decision(sim, seen, desired, rule_of(current, proposal, desired, step, able, limited))
    if desired != current:
        hpa.on_rescaled(about, past, now, current, desired)
        reconciler.scale(sim, desired)
    autoscaler.wake_tick(sim, now + sim.params.sync_ns)


def rule_of(current: int, proposal: int, desired: int, step: int, able: int, limited: int) -> int:
    """Code of what limited a decision, see ``rules``."""
    if step == hpa.DISABLED_AT_ZERO:
        return rules.OFF
    if step == hpa.NO_METRIC:
        return rules.NO_METRIC
    if step == hpa.ABOVE_MAX or limited == hpa.TOO_MANY:
        return rules.MAXIMUM
    if step == hpa.BELOW_MIN or limited == hpa.TOO_FEW:
        return rules.MINIMUM
    if limited == hpa.SCALE_UP_LIMIT:
        return rules.UP_LIMIT
    if limited == hpa.SCALE_DOWN_LIMIT:
        return rules.DOWN_LIMIT
    if able != hpa.READY_FOR_NEW_SCALE:
        return rules.STABILIZED
    return rules.TOLERANCE if proposal == current and desired == current else rules.METRIC


def propose(sim: Simulation, current: int) -> tuple[int, float]:
    """Pods that the metric asks for, or an error of it; and the metric itself, of all pods together."""
    if sim.params.of_pods:
        return propose_by_pods(sim, current)
    pods, ready, existing = 0, 0, 0
    for index in range(views.alive(sim)):
        pod = sim.pods[sim.alive_pods[index]]
        pods += 1
        # A pod that goes stays ready until its containers stop.
        ready += 1 if pod.ready or (pod.terminating and pod.ready_ns != NEVER_NS) else 0
        existing += 0 if pod.terminating else 1
    if sim.params.autoscaler == of.HPA:
        seen = metrics.of_all(sim)
        total_milli = int(seen * 1000.0)
    elif sim.params.autoscaler == of.KEDA:
        total_milli = keda.query(sim, ready, metrics.of_all(sim))
        seen = total_milli / 1000.0
    else:
        seen = sim.autoscaler.reading
        total_milli = keda.in_milli(seen)
    if total_milli == keda.FAILED:
        return hpa.METRIC_UNAVAILABLE, 0.0
    up, down, target = sim.params.tolerance_up, sim.params.tolerance_down, sim.params.target_milli
    if sim.params.is_average:
        return hpa.average_value_replicas(existing, total_milli, target, up, down), seen
    return hpa.value_replicas(current, total_milli, target, pods, ready, up, down), seen


def starts(sim: Simulation, which: int) -> bool:
    """Whether the cpu of a pod does not count yet."""
    pod, now = sim.pods[which], sim.now_ns
    changed_ns = pod.ready_ns if pod.ready else pod.scheduled_ns
    age_ns, window_ns = metrics.window_ns(sim, which)
    return bool(
        hpa.unready_for_cpu(
            pod.ready == 1,
            now - pod.scheduled_ns,
            now - changed_ns,
            age_ns,
            window_ns,
            hpa.CPU_INITIALIZATION_PERIOD_NS,
            hpa.INITIAL_READINESS_DELAY_NS,
        )
    )


def propose_by_pods(sim: Simulation, current: int) -> tuple[int, float]:
    """The same for a metric of each pod: those without it, and those that wait for a node, count as Kubernetes says."""
    pods, ready, unready, missing, total_milli, seen = 0, 0, 0, 0, 0, 0.0
    for index in range(views.alive(sim)):
        which = sim.alive_pods[index]
        pod = sim.pods[which]
        if pod.phase == GONE:
            continue
        pods += 1
        value = metrics.of_pod(sim, which)
        phase = hpa.RUNNING if pod.containers_ns != NEVER_NS else hpa.PENDING
        is_starting = sim.params.metric == of.CPU and value >= 0.0 and starts(sim, which)
        group = hpa.pod_group(phase, pod.terminating == 1, value >= 0.0, is_starting)
        if group == hpa.READY:
            ready += 1
            total_milli += int(value * 1000.0)
            seen += value
        elif group == hpa.UNREADY:
            unready += 1
        elif group == hpa.MISSING:
            missing += 1
    request_milli, target = 0, sim.params.target_milli
    if sim.params.metric == of.CPU:
        # The metric is in percent of the request, which is one CPU; its usage is in thousandths of one.
        request_milli, target, total_milli = CPU_REQUEST_MILLI, target // 1000, total_milli // 100
    up, down = sim.params.tolerance_up, sim.params.tolerance_down
    proposal = hpa.pods_replicas(current, total_milli, ready, unready, missing, pods, request_milli, target, up, down)
    return proposal, seen
