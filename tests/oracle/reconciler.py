"""From decisions to pods and endpoints: PodAutoscaler, ServerlessService and Deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kpasim.engines import params as of
from kpasim.engines.clock import Kind, late
from kpasim.engines.draws import LATE_RECONCILE, LATE_STATUS
from kpasim.engines.outcome import NO_DESIRED, CapacityExceeded
from kpasim.engines.params import FOREVER_NS, SECOND_NS
from kpasim.policy import burst, pods, scaler
from tests.oracle.pod import STARTING, Pod

if TYPE_CHECKING:
    from tests.oracle.simulation import Simulation

WARM_DEADLINE_NS = 600 * SECOND_NS
"""A load that waits for a warm revision begins after this long at the latest, or at the progress deadline if that is
later."""


class Reconciler:
    """The objects of one revision and what keeps them in line.

    Attributes:
        replicas: Of the Deployment.
        ready_pods: Ready pods that are not on their way out.
        active: Status of the PodAutoscaler's condition Active.
        asked_mode: Mode of the ServerlessService's spec.
        public_mode: What its public endpoints hold.
        rolled_out: Whether the Deployment has once had all its pods ready, after which it has no deadline any more.
        progressed_ns: When it last came nearer to that.
    """

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.replicas = 0
        self.ready_pods = 0
        self.status_desired = self.shown_desired = NO_DESIRED
        self.active = scaler.ABSENT
        self.reason = scaler.NO_REASON
        self.active_since_ns = 0
        self.initialized = False
        self.asked_mode = burst.PROXY
        self.public_mode = burst.PROXY
        self.backed = True
        self.backed_since_ns = 0
        self.activators = burst.MIN_ACTIVATORS
        self.touches = self.writes = 0
        self.due_ns = FOREVER_NS
        self.timer_ns = FOREVER_NS
        self.sks_ns = FOREVER_NS
        self.probing_until_ns = of.NEVER_NS
        self.crashed = False
        self.rolled_out = False
        self.progressed_ns = 0
        self.status: tuple[int, ...] = ()
        self.latest: tuple[int, ...] = ()

    def create_revision(self) -> None:
        """The revision comes into being: its Deployment, its PodAutoscaler."""
        sim = self.sim
        self.replicas = sim.p.initial_scale
        self.active_since_ns = self.backed_since_ns = self.stamp()
        sim.ingress.activators = min(sim.p.activators, burst.MIN_ACTIVATORS)
        self.roll_out()
        sim.autoscaler.start()
        self.touch()
        if sim.p.start == of.WARM:
            sim.at(max(WARM_DEADLINE_NS, sim.p.progress_deadline_ns), Kind.LOAD, 1, lambda: sim.start_load_at(sim.now))
        elif sim.p.start == of.IDLED:
            sim.at(sim.lost_ns, Kind.LOAD, 1, lambda: sim.start_load_at(sim.now))

    def stamp(self) -> int:
        """Now, as conditions keep it: at whole wall-clock seconds."""
        return self.sim.now - self.sim.autoscaler.wall_ns % SECOND_NS

    def reachable(self) -> int:
        """Whether the revision counts as reachable: routed, and not failing without a single ready pod.

        Source:
            knative/serving, pkg/reconciler/revision/resources/pa.go, ``reachability``
        """
        p = self.sim.p
        stuck = bool(self.sim.cluster.pending) and not p.always_schedulable
        failing = self.ready_pods == 0 and self.replicas > 0 and (self.crashed or stuck or self.overdue)
        return 1 if p.reachable and not failing else 0

    @property
    def overdue(self) -> bool:
        """Whether the Deployment's first rollout has made no progress for the progress deadline.

        Source:
            Kubernetes, pkg/controller/deployment/progress.go, ``syncRolloutStatus``
        """
        return not self.rolled_out and self.sim.now >= self.progressed_ns + self.sim.p.progress_deadline_ns

    def progress(self) -> None:
        """The Deployment came nearer to its replicas, and may have reached them."""
        self.progressed_ns = self.sim.now
        self.check_rollout()
        if not self.rolled_out:
            self.sim.at(self.sim.now + self.sim.p.progress_deadline_ns, Kind.RECONCILE, 4, self.deadline_over)

    def check_rollout(self) -> None:
        """Note when all pods are ready, if only because there are none to be."""
        self.rolled_out = self.rolled_out or self.ready_pods == self.replicas

    def deadline_over(self) -> None:
        """The revision may have failed now."""
        if self.overdue:
            self.touch()

    def rules(self) -> scaler.Rules:
        """The scaler's settings as they stand."""
        p = self.sim.p
        return scaler.Rules(
            p.min_scale,
            p.max_scale,
            p.initial_scale,
            self.reachable(),
            p.enable_scale_to_zero,
            p.target_burst_capacity,
            p.stable_window_s * SECOND_NS,
            p.grace_ns,
            p.retention_ns,
            p.progress_deadline_ns + scaler.ACTIVATION_TIMEOUT_BUFFER_NS,
        )

    # the PodAutoscaler

    def touch(self) -> None:
        """Something changed: reconcile soon."""
        p = self.sim.p
        self.touches += 1
        due_ns = self.sim.now + p.reconcile_ns + late(self.sim.d.key, self.touches, LATE_RECONCILE, p.api_jitter_ns)
        if due_ns < self.due_ns:
            self.due_ns = due_ns
            self.sim.at(due_ns, Kind.RECONCILE, 0, self.on_event)

    def on_event(self) -> None:
        """A reconcile that an event asked for."""
        if self.due_ns == self.sim.now:
            self.due_ns = FOREVER_NS
            if not self.sim.autoscaler.away:
                self.reconcile()

    def look_again(self, time_ns: int) -> None:
        """Reconcile at ``time_ns``, or earlier if that is planned already."""
        if time_ns < self.timer_ns:
            self.timer_ns = time_ns
            self.sim.at(time_ns, Kind.RECONCILE, 1, self.on_timer)

    def on_timer(self) -> None:
        """A reconcile that an earlier one asked for."""
        if self.timer_ns == self.sim.now:
            self.timer_ns = FOREVER_NS
            if not self.sim.autoscaler.away:
                self.reconcile()

    def reconcile(self) -> None:
        """One reconcile of the PodAutoscaler."""
        sim, p, now = self.sim, self.sim.p, self.sim.now
        rules = self.rules()
        proxy_for_ns = now - self.backed_since_ns if self.backed else 0
        want, patch, requeue_ns, _, offered = scaler.decide(
            rules,
            sim.autoscaler.desired,
            self.initialized,
            self.active,
            now - self.active_since_ns,
            self.asked_mode,
            proxy_for_ns,
            self.replicas,
            self.public_mode == burst.PROXY,
        )
        if requeue_ns != scaler.NO_REQUEUE_NS:
            self.look_again(now + requeue_ns)
        if offered and self.probing_until_ns == of.NEVER_NS:
            self.probing_until_ns = now + scaler.PROBE_TIMEOUT_NS
            sim.at(now + scaler.PROBE_PERIOD_NS, Kind.RECONCILE, 2, self.probe)
        if patch != scaler.NO_PATCH:
            self.replicas = patch
            sim.at(now + p.rollout_ns, Kind.ROLLOUT, 0, self.roll_out)
        mode = burst.mode(want, sim.autoscaler.excess)
        activators = burst.num_activators(self.ready_pods, p.total_value, p.target_burst_capacity, p.activator_capacity)
        if mode != self.asked_mode or activators != self.activators:
            self.asked_mode = mode
            self.activators = activators
            self.touch_sks()
        active, reason, self.initialized = scaler.active_condition(
            rules, want, self.ready_pods, self.active, self.reason, self.initialized, True
        )
        if active != self.active or reason != self.reason:
            self.active, self.reason = active, reason
            self.active_since_ns = self.stamp()
        self.status_desired = scaler.status_desired_scale(want, self.status_desired)
        status = (self.active, self.reason, self.initialized, self.status_desired)
        if status != self.status:
            self.status = status
            self.writes += 1
            wait_ns = late(sim.d.key, self.writes, LATE_STATUS, p.status_jitter_ns)
            if wait_ns:
                sim.at(now + wait_ns, Kind.RECONCILE, 3, self.status_written)
            else:
                self.status_written()
        self.note()
        if self.active == scaler.TRUE and p.start == of.WARM:
            sim.start_load_at(now + p.start_for_ns)
        if self.active == scaler.TRUE and p.start == of.IDLED and p.stays:
            sim.start_load_at(now + sim.stays_ns)

    def status_written(self) -> None:
        """The PodAutoscaler's status is there to see, which is one more event for it."""
        self.shown_desired = self.status_desired
        self.touch()
        self.note()

    def probe(self) -> None:
        """The asynchronous probe for the activator, once a second until it succeeds or gives up."""
        now = self.sim.now
        if self.public_mode == burst.PROXY or now >= self.probing_until_ns:
            self.probing_until_ns = of.NEVER_NS
            self.look_again(now + scaler.PROBE_REQUEUE_NS)
        else:
            self.sim.at(now + scaler.PROBE_PERIOD_NS, Kind.RECONCILE, 2, self.probe)

    # the ServerlessService

    def touch_sks(self) -> None:
        """Its spec or its endpoints changed."""
        due_ns = self.sim.now + self.sim.p.sks_ns
        if due_ns < self.sks_ns:
            self.sks_ns = due_ns
            self.sim.at(due_ns, Kind.SKS, 0, self.reconcile_sks)

    def reconcile_sks(self) -> None:
        """Bring the public endpoints in line."""
        sim, now = self.sim, self.sim.now
        if self.sks_ns != now:
            return
        self.sks_ns = FOREVER_NS
        backed = burst.activator_backed(self.asked_mode, self.ready_pods)
        if backed and not self.backed:
            self.backed_since_ns = self.stamp()
        self.backed = backed
        mode = burst.effective_mode(self.asked_mode, self.ready_pods, sim.p.activators)
        if mode != self.public_mode:
            self.public_mode = mode
            entity = int(mode == burst.SERVE)
            sim.at(now + sim.p.endpoints_to_ingress_ns, Kind.MODE, entity, lambda: sim.ingress.set_mode(mode))
            self.touch()
        activators = min(sim.p.activators, self.activators)
        if activators != sim.ingress.activators and mode == burst.PROXY:
            sim.ingress.activators = activators
            for activator in sim.activators:
                activator.assign()

    # the Deployment

    def roll_out(self) -> None:
        """Create or remove pods until there are as many as replicas."""
        sim = self.sim
        staying = [pod for pod in sim.alive if not pod.terminating]
        if len(sim.pods) + self.replicas - len(staying) > len(sim.d.pod):
            raise CapacityExceeded("pods")
        for _ in range(self.replicas - len(staying)):
            pod = Pod(sim, len(sim.pods))
            sim.pods.append(pod)
            sim.alive.append(pod)
            sim.cluster.place(pod)
        surplus = len(staying) - self.replicas
        if surplus < 0 and not self.rolled_out:
            self.progress()
        pods_on_node = {pod.index: sum(1 for other in staying if other.node is pod.node) for pod in staying}
        for _ in range(surplus):
            # Not by sorting: where the comparison goes in a circle, every algorithm has another answer.
            first = staying[0]
            for pod in staying:
                first = pod if self.goes_first(pods_on_node, pod, first) else first
            staying.remove(first)
            self.remove(first)
        self.check_rollout()
        self.note()
        sim.settle()

    def goes_first(self, pods_on_node: dict[int, int], a: Pod, b: Pod) -> bool:
        """Whether a scale-down removes ``a`` before ``b``."""
        return pods.goes_first(
            pods.phase_of(a.node is not None, a.containers_ns != of.NEVER_NS),
            int(a.ready), a.ready_ns, pods_on_node[a.index], a.attempt, a.uid, a.created_ns,
            pods.phase_of(b.node is not None, b.containers_ns != of.NEVER_NS),
            int(b.ready), b.ready_ns, pods_on_node[b.index], b.attempt, b.uid, b.created_ns,
            self.sim.now,
        )  # fmt: skip

    def remove(self, pod: Pod) -> None:
        """Ask a pod to go."""
        was_ready = pod.ready
        if pod.phase == STARTING:
            self.sim.cluster.abandon(pod)
        pod.remove()
        pod.ready = False
        if was_ready:
            self.ready_pods -= 1
            if self.ready_pods == 0:
                self.touch_sks()
        self.touch()

    def pod_became_ready(self, pod: Pod) -> None:
        """Kubernetes calls a pod ready: it is counted, scraped, and soon seen by activators and ingress."""
        sim, p, now = self.sim, self.sim.p, self.sim.now
        self.ready_pods += 1
        self.crashed = False
        if not self.rolled_out:
            self.progress()
        sim.autoscaler.pods_are_ready()
        sim.at(now + p.endpoints_to_ingress_ns, Kind.VISIBLE, 2 * pod.index + 1, lambda: sim.ingress.show(pod))
        if self.ready_pods == 1:
            self.touch_sks()
        # The endpoints changed, so every activator probes all pods that it does not know yet.
        for other in sim.alive:
            if other.terminating or other.open_ns == of.NEVER_NS or not (p.early_use or other.ready):
                continue
            for activator in sim.activators:
                entity = other.index * p.activators + activator.index
                sim.at(
                    now + p.endpoints_to_activator_ns,
                    Kind.FOUND,
                    entity,
                    lambda found=activator, here=other: found.find(here),  # type: ignore[misc]
                )
        self.note()
        self.touch()

    def pod_gone(self, pod: Pod) -> None:
        """A pod is gone for good."""
        sim = self.sim
        sim.alive.remove(pod)
        if not sim.alive and self.replicas == 0 and sim.p.start == of.IDLED:
            sim.start_load_at(sim.now + sim.p.start_for_ns)
        sim.settle()

    def note(self) -> None:
        """Write a row if an object changed."""
        state = (self.shown_desired, self.ready_pods, self.replicas, self.active, self.asked_mode)
        if state != self.latest:
            self.latest = state
            self.sim.record.scaling.append((self.sim.now, *state))
