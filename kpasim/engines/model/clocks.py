"""The clocks of a run: the wall clock, and periodic clocks that are a little late on a busy machine.

How late is what ``clock.late`` says, worked out for several at a time.
Each random number takes a chain of steps that wait for one another; those of several numbers do not, so the processor
works on all of them at once. What is late comes one after the other (ticks, reports, wakings), so none is for nothing.
"""

from kpasim.engines import params as of
from kpasim.engines.clock import jitter_of
from kpasim.engines.draws import chance
from kpasim.engines.model.state import LATE_AT_ONCE, Simulation


def wall_ns(sim: Simulation) -> int:
    """Wall-clock time [ns]; buckets are its whole seconds."""
    return int(sim.now_ns + sim.draws.phase[of.WALL])


def note_clock(sim: Simulation) -> None:
    """Note when the first of the clocks is due, one of them having been set."""
    sim.clock_ns = min(sim.ingress.next_report_ns, sim.autoscaler.next_scrape_ns, sim.autoscaler.next_tick_ns)


def nanoseconds(time_s: float) -> int:
    """A time of ``Params.rule`` [ns]."""
    return int(time_s * 1e9 + 0.5)


def decision_share(sim: Simulation) -> float:
    """Phase of the decisions of an autoscaler that knows nothing of the revision's age, as a share of its period."""
    return float(sim.draws.phase[of.WALL] / of.TICK_NS)


def scrape_share(sim: Simulation) -> float:
    """Phase of the scrapes of its metric, likewise."""
    return float(sim.draws.phase[of.REPORT] / of.SECOND_NS)


def poll_share(sim: Simulation) -> float:
    """Phase of KEDA's polls, likewise; it goes with neither of the others."""
    return (decision_share(sim) + 5.0 * scrape_share(sim)) % 1.0


def jitter(sim: Simulation, row: int, nth: int, purpose: int, median_ns: int) -> int:
    """How late the ``nth`` of its kind is, see ``clock.late``; ``row`` is the kind's in ``Simulation.late_ns``."""
    if median_ns == 0:
        return 0
    block = nth // LATE_AT_ONCE
    if sim.late_block[row] != block:
        sim.late_block[row] = block
        key = sim.draws.key
        first = block * LATE_AT_ONCE
        late_ns = sim.late_ns[row]
        # Two loops, each of which the compiler turns into steps that take several numbers at once.
        for place in range(LATE_AT_ONCE):
            late_ns[place] = chance(key, first + place, purpose)
        for place in range(LATE_AT_ONCE):
            late_ns[place] = jitter_of(late_ns[place], median_ns)
    return int(sim.late_ns[row][nth - block * LATE_AT_ONCE])


def nth_due(sim: Simulation, row: int, nth: int, phase_ns: int, period_ns: int, purpose: int, median_ns: int) -> int:
    """When a clock is due for the ``nth`` time, see ``clock.nth_due``."""
    return phase_ns + nth * period_ns + min(jitter(sim, row, nth, purpose, median_ns), period_ns // 2)


def due_after(
    sim: Simulation, row: int, phase_ns: int, period_ns: int, now_ns: int, purpose: int, median_ns: int
) -> int:
    """First time after ``now_ns`` of a clock, see ``clock.due_after``."""
    nth = (now_ns - phase_ns) // period_ns
    if median_ns:
        due_ns = nth_due(sim, row, nth, phase_ns, period_ns, purpose, median_ns)
        if due_ns > now_ns:
            return due_ns
    return nth_due(sim, row, nth + 1, phase_ns, period_ns, purpose, median_ns)
