"""A pod's readiness and its end: what the kubelet, and the probes of the activators, make of it."""

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.model import cluster, queueproxy, reconciler, server
from kpasim.engines.model.state import DRAINING, GONE, QUIET, SERVING, STARTING, STOPPING, Simulation
from kpasim.engines.params import NEVER_NS
from kpasim.policy import accounting, pods

FOUND, READY, DRAIN, KILL, FORGET, VISIBLE = (
    int(Kind.FOUND), int(Kind.READY), int(Kind.DRAIN), int(Kind.KILL), int(Kind.FORGET), int(Kind.VISIBLE),
)  # fmt: skip


def on_listening(sim: Simulation, which: int) -> None:
    """The container answers its probe: activators and the kubelet will find it."""
    now = sim.now_ns
    pod = sim.pods[which]
    pod.phase = SERVING
    pod.listening_ns = now
    pod.serves_from_ns = now + cluster.stage_time(sim, which, of.AFTER_READY)
    pod.first_extra_ns = cluster.stage_time(sim, which, of.FIRST_REQUEST)
    poll_ns = sim.params.queue_proxy_poll_ns
    kubelet_ns = pods.kubelet_sees(
        now,
        pod.containers_ns,
        sim.params.probe_initial_delay_ns,
        sim.draws.pod[which][of.KUBELET_PHASE],
        sim.params.probe_period_ns,
        sim.params.probe_timeout_ns,
        sim.params.probe_successes,
        sim.params.aggressive,
        poll_ns,
    )
    sim.schedule(max(kubelet_ns, startup_sees(sim, which)), READY, which)
    if sim.params.early_use:
        found_ns = pods.activator_finds(
            now,
            pod.containers_ns,
            sim.draws.phase[of.PROBE],
            sim.params.activator_probe_period_ns,
            sim.params.aggressive,
            poll_ns,
            sim.draws.pod[which][of.POLL_PHASE],
            sim.params.probe_successes,
        )
        for index in range(sim.params.activators):
            sim.schedule(found_ns, FOUND, which * sim.params.activators + index)
        sim.unprobed[sim.revision.unprobed] = which
        sim.revision.unprobed += 1


def startup_sees(sim: Simulation, which: int) -> int:
    """When the startup probe finds the container, which answers now; -1 if the kubelet kills it instead."""
    period_ns = sim.params.startup_period_ns
    if period_ns == 0:
        return int(sim.now_ns)
    # Both probes of a pod begin at the same moment, so one draw stands for both phases.
    phase_ns = int(sim.draws.pod[which][of.KUBELET_PHASE] * (period_ns / sim.params.probe_period_ns))
    return pods.startup_sees(
        sim.now_ns,
        sim.pods[which].began_ns,
        sim.params.startup_initial_delay_ns,
        phase_ns,
        period_ns,
        sim.params.startup_failures,
    )


def on_ready(sim: Simulation, which: int) -> None:
    """Kubernetes calls the pod ready."""
    pod = sim.pods[which]
    if pod.terminating:
        return
    pod.ready = 1
    pod.ready_ns = sim.now_ns
    sim.readable[which] = 1
    sim.started[which] = pod.scheduled_ns
    note_ready_together(sim, which)
    accounting.start(sim.stats[sim.params.activators + which], sim.now_ns)
    reconciler.on_pod_ready(sim, which)


def note_ready_together(sim: Simulation, which: int) -> None:
    """Note whether another pod that differs became ready at this moment, or before this one came; see ``Revision``."""
    pod, revision = sim.pods[which], sim.revision
    if revision.ready_ns == sim.now_ns:
        differs = pod.created_ns != revision.ready_created_ns or pod.restarts != revision.ready_restarts
        if differs or revision.ready_mixed:
            pod.mixed = 1
            revision.mixed += 1
            revision.ready_mixed = 1
    else:
        revision.ready_mixed = 0
    revision.ready_ns, revision.ready_created_ns, revision.ready_restarts = sim.now_ns, pod.created_ns, pod.restarts


def terminate(sim: Simulation, which: int) -> None:
    """Kubernetes asks the pod to go."""
    now = sim.now_ns
    pod = sim.pods[which]
    pod.terminating = 1
    pod.delete_requested_ns = now
    if pod.phase == STARTING and pod.containers_ns == NEVER_NS:
        pod.phase = STOPPING
        pod.drain_due_ns = now + sim.params.deletion_ns
    else:
        pod.phase = QUIET
        pod.drain_due_ns = quiet_until(sim, which)
    schedule_end(sim, which)
    sim.schedule(now + sim.params.endpoints_to_activator_ns, FORGET, which)
    if pod.ready:
        sim.schedule(now + sim.params.endpoints_to_ingress_ns, VISIBLE, 2 * which)


def quiet_until(sim: Simulation, which: int) -> int:
    """When a pod that was asked to go stops taking requests: queue-proxy waits for quiet, others do not."""
    pod = sim.pods[which]
    if sim.params.data_plane != of.ACTIVATORS:
        return int(pod.delete_requested_ns)
    return int(pods.quiet_until(pod.delete_requested_ns, pod.last_arrival_ns))


def on_drain(sim: Simulation, which: int) -> None:
    """The next step of the end is due."""
    now = sim.now_ns
    pod = sim.pods[which]
    if pod.drain_due_ns != now or pod.phase == GONE:
        return
    if pod.phase == STOPPING:
        on_terminated(sim, which)
        return
    quiet_ns = quiet_until(sim, which)
    if quiet_ns > now:
        pod.drain_due_ns = quiet_ns
        schedule_end(sim, which)
        return
    pod.phase = DRAINING
    if not sim.params.drains_on_sigterm and queueproxy.inside(sim, which) > 0:
        queueproxy.break_off(sim, which)
    may_stop(sim, which)
    if pod.phase == DRAINING:
        sim.schedule(killed_ns(sim, which), KILL, which)


def killed_ns(sim: Simulation, which: int) -> int:
    """When the termination grace period of a pod is over."""
    return int(sim.pods[which].delete_requested_ns + (sim.params.grace_period_ns or sim.params.timeout_ns))


def schedule_end(sim: Simulation, which: int) -> None:
    """Schedule the next step of a pod's end: what is due, or that it is killed if that comes before."""
    due_ns, kill_ns = int(sim.pods[which].drain_due_ns), killed_ns(sim, which)
    if due_ns <= kill_ns:
        sim.schedule(due_ns, DRAIN, which)
    else:
        sim.schedule(kill_ns, KILL, which)


def may_stop(sim: Simulation, which: int) -> None:
    """Stop the containers once a drained pod is empty."""
    pod = sim.pods[which]
    if pod.phase == DRAINING and queueproxy.inside(sim, which) == 0:
        pod.phase = STOPPING
        pod.drain_due_ns = sim.now_ns + sim.params.stop_ns + sim.params.deletion_ns
        schedule_end(sim, which)


def on_grace_period_over(sim: Simulation, which: int) -> None:
    """The termination grace period is over."""
    if sim.pods[which].phase != GONE:
        sim.pods[which].phase = STOPPING
        on_terminated(sim, which)


def on_terminated(sim: Simulation, which: int) -> None:
    """The pod is gone; every request that it still had fails."""
    pod = sim.pods[which]
    pod.phase = GONE
    pod.gone_ns = sim.now_ns
    queueproxy.break_off(sim, which)
    server.shut_down(sim, which)
    pod.busy_ns = queueproxy.busy_at(sim, which, sim.now_ns)
    pod.busy_since_ns = NEVER_NS
    cluster.on_pod_gone(sim, which)
    reconciler.on_pod_gone(sim, which)
