"""The parts put together, and the clock that they share."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import simpy

from kpasim.engines import params as of
from kpasim.engines.clock import Kind, priority, tick_at_or_after
from kpasim.engines.outcome import Outcome
from kpasim.engines.params import SECOND_NS, Draws, Params
from kpasim.policy import accounting
from tests.oracle.activator import Activator
from tests.oracle.autoscaler import Autoscaler
from tests.oracle.clients import Clients
from tests.oracle.cluster import Cluster
from tests.oracle.ingress import Ingress
from tests.oracle.reconciler import Reconciler
from tests.oracle.recorder import Recorder

if TYPE_CHECKING:
    from tests.oracle.pod import Pod

SETTLE_NS = 30 * SECOND_NS
"""How long a run goes on at least after stable window and grace period where pods stay for ever."""
LOST_NS = 7200 * SECOND_NS
"""A run ends this long after its last response even if something never went away."""


class Simulation:
    """One replication of one experiment.

    Time zero is the creation of the revision; the load starts when the asked start state is reached.

    Attributes:
        p: The experiment.
        d: The random numbers of this replication.
        env: SimPy's environment; its clock counts nanoseconds.
        now: Time [ns].
        record: The tables that the run leaves.
        load_ns: When the load started; ``FOREVER_NS`` until then.
        pods: Every pod ever created, in order of creation.
        alive: Pods that are not gone, in order of creation.
    """

    def __init__(self, params: Params, draws: Draws) -> None:
        self.p = params
        self.d = draws
        self.slowdown = draws.slowdown if len(draws.slowdown) else params.slowdown
        self.env = simpy.Environment()
        self.now = 0
        self.record = Recorder(params)
        self.load_ns = of.FOREVER_NS
        self.pods: list[Pod] = []
        self.alive: list[Pod] = []
        self.finished = False
        self.end_ns = of.FOREVER_NS
        self.clients = Clients(self)
        self.autoscaler = Autoscaler(self)
        self.activators = [Activator(self, index) for index in range(params.activators)]
        self.ingress = Ingress(self)
        self.cluster = Cluster(self)
        self.reconciler = Reconciler(self)

    @property
    def stays_ns(self) -> int:
        """How long a revision that never goes away by itself is watched."""
        return self.p.stable_window_s * SECOND_NS + self.p.grace_ns + SETTLE_NS

    @property
    def lost_ns(self) -> int:
        """How long one that should go away is waited for."""
        return LOST_NS + self.p.retention_ns + int(self.p.pool_release_ns.max(initial=0))

    def at(self, time_ns: int, kind: Kind, entity: int, action: Callable[[], None]) -> None:
        """Call ``action`` at ``time_ns``, in the order that ``clock.Kind`` gives to simultaneous events."""

        def happens(_: simpy.Event) -> None:
            self.now = int(time_ns)
            action()

        event = simpy.Event(self.env)
        event._ok = True
        event._value = None
        event.callbacks.append(happens)
        self.env.schedule(event, priority=priority(kind, entity), delay=time_ns - self.now)

    def run(self) -> Outcome:
        """Play the experiment to its end."""
        self.reconciler.create_revision()
        if self.p.start == of.ZERO:
            self.start_load_at(self.now + self.p.start_for_ns)
        while not self.finished and self.env.peek() != simpy.core.Infinity:
            self.env.step()
        return self.record.outcome(self)

    # The beginning of the load

    def start_load_at(self, time_ns: int) -> None:
        """Let the load begin at ``time_ns``, or at its phase after that, unless that is already settled."""
        if self.load_ns == of.FOREVER_NS:
            if self.d.load_phase_ns != of.AT_ONCE:
                time_ns = tick_at_or_after(self.d.load_phase_ns, of.TICK_NS, time_ns)
            self.load_ns = time_ns
            self.at(time_ns, Kind.LOAD, 0, self.clients.start)
            self.autoscaler.restart(0)
            if self.p.horizon_ns:
                self.end_ns = time_ns + self.p.horizon_ns
                self.at(self.end_ns, Kind.END, 0, self.stop)

    # The end of the run

    def stop(self) -> None:
        """End the run now."""
        self.end_ns = self.now
        self.clients.cut_off()
        self.finished = True

    @property
    def resting_pods(self) -> int:
        """Pods that stay by themselves."""
        return max(self.p.min_scale, 1 - self.p.enable_scale_to_zero) if self.p.stays else 0

    @property
    def at_rest(self) -> bool:
        """Whether the pods that are there stay by themselves, none is on its way or leaves, and no node is released."""
        replicas = self.reconciler.replicas
        return replicas <= self.resting_pods and len(self.alive) == replicas and not self.cluster.releases

    def settle(self) -> None:
        """End the run when it was long enough, all requests are answered, and the replicas are back where they rest."""
        if self.finished or not self.clients.over or self.p.horizon_ns:
            return
        least_ns = self.load_ns + self.p.until_ns
        due_ns = max(self.now, least_ns, self.clients.last_end_ns + self.stays_ns if self.p.stays else 0)
        if due_ns <= self.now:
            due_ns = max(least_ns, self.clients.last_end_ns) + self.lost_ns
            if self.at_rest or due_ns <= self.now:
                self.stop()
                return
        if self.end_ns <= self.now or self.end_ns == of.FOREVER_NS:
            self.end_ns = due_ns
            self.at(due_ns, Kind.END, 0, self.settle)

    def concurrency_ns(self) -> int:
        """Integral of concurrency [request-ns] that activators, and queue-proxies for direct requests, have kept."""
        rows = [activator.stats for activator in self.activators] + [pod.stats for pod in self.pods]
        return sum(accounting.lifetime_integral(row, self.now) for row in rows)


def run(params: Params, draws: Draws) -> Outcome:
    """Play one replication with the reference engine."""
    return Simulation(params, draws).run()
