"""Pods before the load comes, beside what Knative's autoscaler asks for: a schedule, and a forecast."""

from kpasim.engines.clock import Kind
from kpasim.engines.model.state import Simulation
from kpasim.engines.params import FOREVER_NS, TICK_NS
from kpasim.policy import lookahead, schedule

POLL = int(Kind.POLL)


def time_ns(sim: Simulation) -> int:
    """Time since the start of the load, 0 before."""
    return int(sim.now_ns - sim.load_ns) if sim.load_ns <= sim.now_ns else 0


def has_schedule(sim: Simulation) -> bool:
    """Whether there is a schedule."""
    return len(sim.params.schedule) > 0


def bounds(sim: Simulation) -> tuple[int, int]:
    """Minimum of pods, and the maximum (0 for none), that the schedule sets now."""
    least, most = schedule.bounds(sim.params.schedule, time_ns(sim))
    return least, 0 if most == schedule.UNBOUNDED else most


def next_boundary(sim: Simulation) -> None:
    """Look again when the bounds change next; the start of the load is the beginning of the schedule."""
    if sim.load_ns == FOREVER_NS:
        return
    for place in range(1, len(sim.params.schedule)):
        due_ns = sim.load_ns + sim.params.schedule[place, schedule.FROM_NS]
        if due_ns > sim.now_ns:
            sim.schedule(due_ns, POLL, 0)
            return


def settings(sim: Simulation) -> lookahead.Settings:
    """The forecast."""
    params = sim.params
    return lookahead.Settings(params.quantile, params.ahead_ns, params.period_ns, params.slot_ns, params.target_value)


def history(sim: Simulation) -> lookahead.History:
    """Demand of earlier periods and of the present one."""
    return lookahead.History(sim.slots_of_day, sim.owners, sim.sorted)


def set_up(sim: Simulation) -> None:
    """The earlier periods are those before the load; period 0 begins with it."""
    about, past = settings(sim), history(sim)
    slots = lookahead.slots_of(about)
    for place in range(len(sim.owners)):
        sim.owners[place] = place - 2 * len(sim.owners)
    for place in range(len(sim.slots_of_day)):
        sim.slots_of_day[place, lookahead.WEIGHT_NS] = 0.0
        sim.slots_of_day[place, lookahead.SUM] = 0.0
    periods = len(sim.owners) - 1
    for period in range(periods):
        lookahead.remember(about, past, period - periods, sim.params.history[period * slots : (period + 1) * slots])


def forecast(sim: Simulation) -> int:
    """Pods that the forecast alone asks for."""
    return int(lookahead.desired(settings(sim), history(sim), time_ns(sim), 0))


def desired(sim: Simulation, reactive: int, demand: float) -> int:
    """The larger of the reactive answer and the forecast; what is seen now is remembered for later periods.

    Args:
        sim: The run.
        reactive: What Knative's autoscaler asks for.
        demand: What its metric shows now.
    """
    now_ns = time_ns(sim)
    if sim.load_ns <= sim.now_ns:
        lookahead.observe(settings(sim), history(sim), now_ns, demand, TICK_NS)
    return int(lookahead.desired(settings(sim), history(sim), now_ns, reactive))
