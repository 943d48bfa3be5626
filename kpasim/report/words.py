"""Numbers, times and loads in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kpasim.results.display import LEAST_RUNS, NOTHING, number, span

if TYPE_CHECKING:
    from kpasim.spec.experiment import Experiment

__all__ = ["NOTHING", "counted", "held", "load_words", "number", "seconds", "setting", "span"]


def counted(count: float, one: str, many: str | None = None) -> str:
    """``1 pod``, ``5 pods``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def held(count: int, of: str = " of runs") -> str:
    """What the interval of so many runs holds, as the heading of a column; few runs have their ends only."""
    return f"90 %{of}" if count >= LEAST_RUNS else "min to max"


def seconds(value: float) -> str:
    """A length of time: ``12.3 s``, ``4 min 19 s``, ``2.5 h``, ``3.2 days``."""
    if value < 120:
        return f"{number(value, 3)} s"
    if value < 3600:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{number(value / 3600, 3)} h" if value < 3 * 86400 else f"{number(value / 86400, 3)} days"


def setting(experiment: Experiment) -> str:
    """What was done, in a sentence: the load, the service, and where it began."""
    limit = experiment.service.container_concurrency
    each = f"{counted(limit, 'request')} at a time for each pod" if limit else "any number of requests at a time"
    begun = {"warm": "with warm pods", "idled": "scaled to zero", "zero": "before its first pod"}
    text = load_words(experiment.workload)
    return f"{text[0].upper()}{text[1:]}, to a service that takes {each}, found {begun[experiment.start.state]}."


def load_words(load: Any) -> str:
    """What the clients did: ``5 hey clients, 50 requests``, ``poisson arrivals, 0.5/s for 30 min``."""
    lasted = f" for {seconds(load.duration_s)}" if getattr(load, "duration_s", None) else ""
    limit = f", client timeout {seconds(load.timeout_s)}" if load.timeout_s else ""
    if load.kind == "hey":
        what = f"requests{lasted}" if lasted else counted(load.concurrency * load.per_worker, "request")
        return f"{counted(load.concurrency, 'hey client')}, {what}{limit}"
    if load.kind in {"replay", "gentd26"}:
        return f"the requests of {load.file.rpartition('/')[2]}{lasted}{limit}"
    rates = {
        "constant": lambda: f"constant arrivals, {rate(load.rate)}",
        "poisson": lambda: f"poisson arrivals, {rate(load.rate)}",
        "steps": lambda: (
            f"{counted(len(load.phases), 'phase')} of {spread_of([one.rate for one in load.phases])} for "
            f"{seconds(sum(one.duration_s for one in load.phases))}"
        ),
        "ramp": lambda: f"a ramp from {rate(load.from_rate)} to {rate(load.to_rate)}",
        "bursts": lambda: f"bursts of {rate(load.high)} between {rate(load.low)}",
        "batches": lambda: (
            f"{counted(load.size, 'request')}{' at once' if load.size > 1 else ''} every {seconds(load.every_s)}"
        ),
    }
    swing = f"a daily rhythm around {rate(load.mean)}" if load.kind in {"diurnal", "sinusoid"} else ""
    return f"{swing or rates[load.kind]()}{lasted}{limit}"


def rate(per_s: float) -> str:
    """A rate in the unit that people would choose: ``2/s``, ``18/h``, ``500/day``."""
    for least, length_s, unit in ((0.1, 1, "s"), (1 / 600, 60, "min"), (1 / 36_000, 3600, "h")):
        if per_s >= least or not per_s:
            return f"{number(per_s * length_s, 3)}/{unit}"
    return f"{number(per_s * 86_400, 3)}/day"


def spread_of(rates: Sequence[float]) -> str:
    """The lowest and the highest of several rates."""
    low, high = rate(min(rates)), rate(max(rates))
    return low if low == high else f"{low} to {high}"
