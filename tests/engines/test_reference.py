"""The reference engine can be stepped, read by name, and extended in a user's own Python."""

from collections import Counter

from kpasim.engines import outcome as out
from kpasim.engines.clock import Kind
from kpasim.engines.model import kpa
from kpasim.engines.reference import Autoscaler, Decision, Simulation, run
from tests.engines.agreement import first_difference

from .hand import S, draws, experiment


def test_a_run_can_be_stepped_and_read_by_name() -> None:
    """Step by step the state tells what the tables tell in the end, and the tables are those of a run at one go."""
    p = experiment()
    sim = Simulation(p, draws(p))
    replicas = [(0, sim.revision.replicas)]
    while sim.step():
        if sim.revision.replicas != replicas[-1][1]:
            replicas.append((sim.now_ns, sim.revision.replicas))

    outcome = sim.run()

    assert not first_difference(outcome, run(p, draws(p)))
    table = outcome.scaling[out.REPLICAS]
    changed = [0, *(row for row in range(1, len(table)) if table[row] != table[row - 1])]
    assert [(int(outcome.scaling[out.SCALING_T][row]), int(table[row])) for row in changed] == replicas


class Eager(Autoscaler):
    """Wants a pod for each request that has not ended, every second."""

    def decide(self, sim: Simulation, reachable: int) -> Decision:
        """As many pods as requests; the averages are Knative's."""
        decision = super().decide(sim, reachable)
        return decision._replace(desired=sim.clients.live)

    def decides_after(self, sim: Simulation, time_ns: int) -> int:
        """Every whole second."""
        return (time_ns // S + 1) * S


def test_another_autoscaler_takes_the_place_of_knatives() -> None:
    """Five clients get five pods at once, and every valid decision is at a whole second and for the requests inside."""
    p = experiment(panic_threshold=10.0)
    theirs, ours = Simulation(p, draws(p), Eager()).run(), run(p, draws(p))

    pokes = theirs.ticks[out.POKED] == 1
    assert (theirs.ticks[out.TICK_T][~pokes] % S == 0).all()
    assert 5 == theirs.scaling[out.REPLICAS].max()
    first = [int(one.scaling[out.SCALING_T][one.scaling[out.REPLICAS] >= 5].min()) for one in (theirs, ours)]
    assert first[0] < first[1]


class Traced(Simulation):
    """Counts the events of each kind."""

    def begin(self) -> None:
        """Count from the beginning."""
        self.seen: Counter[Kind] = Counter()
        super().begin()

    def handle(self, kind: int, entity: int) -> None:
        """Count, and go on."""
        self.seen[Kind(kind)] += 1
        super().handle(kind, entity)


def test_a_derived_class_sees_every_event() -> None:
    """Each of the fifty requests arrives once and is completed once."""
    p = experiment()
    sim = Traced(p, draws(p))
    sim.run()

    assert 50 == sim.seen[Kind.ARRIVE] == sim.seen[Kind.DONE]
    assert kpa.wall_ns(sim) == sim.now_ns + sim.draws.phase[0]
