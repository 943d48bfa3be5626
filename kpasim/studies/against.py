"""Two runs compared: the same random numbers where loads are the same, one end, and differences with intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kpasim.results.display import FIGURES, MAYBE_ZERO, MONEY
from kpasim.results.paired import Difference, difference
from kpasim.results.summary import Figures
from kpasim.spec.difference import same_load
from kpasim.spec.experiment import Experiment
from kpasim.studies.common import rest_alike
from kpasim.studies.execution.engine import Engine
from kpasim.studies.own import Own
from kpasim.studies.run import Result, after, replications_of, simulate


@dataclass
class Against:
    """A run beside another.

    Attributes:
        one: The run.
        other: The run that it is compared with.
        paired: Whether replication k of both met the same requests and random numbers.
        end_s: End of both runs from the start of the load [s], ``None`` where each ends when its pods are gone.
        met_idle: Whether both begin in the state that they lead to after a pause, instead of with a warm pod.
    """

    one: Result = field(repr=False)
    other: Result = field(repr=False)
    paired: bool
    end_s: float | None
    met_idle: bool = False

    def differences(self) -> list[tuple[str, str, str, Difference]]:
        """Each figure that both runs have: title, name, unit, and the difference other minus one."""
        currency = (self.one.cost or {}).get("currency", "")
        return differences(self.one.all_figures, self.other.all_figures, currency, paired=self.paired)

    def to_dict(self) -> dict[str, Any]:
        """What ``kpasim run --against --json`` prints."""
        return {
            **self.one.to_dict(),
            "against": self.other.to_dict(),
            "paired": self.paired,
            "end_s": self.end_s,
            "met_idle": self.met_idle,
            "differences": {
                name: {**found.to_dict("one", "other"), "replications_needed": found.needed}
                for _, name, _, found in self.differences()
            },
        }


def differences(
    before: Figures, after: Figures, currency: str = "", *, paired: bool = True
) -> list[tuple[str, str, str, Difference]]:
    """Each figure that two runs have, costs as ``cost.NAME``: title, name, unit, and after minus before."""
    both = []
    for row in (*FIGURES, *((title, name, currency) for title, name in MONEY)):
        values = [figures[row[1]] for figures in (before, after) if row[1] in figures]
        if len(values) == 2 and all(np.isfinite(each).any() for each in values):
            both += [row] if row[1] not in MAYBE_ZERO or any(np.nansum(each) for each in values) else []
    return [
        (title.strip(), name, unit, difference(after[name], before[name], paired=paired, figures=len(both)))
        for title, name, unit in both
    ]


def against(
    one: Experiment,
    other: Experiment,
    *,
    replications: int | None = None,
    engine: Engine = "auto",
    progress: Callable[[int], None] | None = None,
) -> Against:
    """Simulate two experiments for comparison.

    The other takes the seed and the number of replications of the first. Where pods of either stay, and neither says
    when its run ends, both are billed until the same moment: the later end of the two, in whole minutes. Where they
    keep other pods while no load is there, neither gets a warm pod for nothing: both begin as each leads to by itself.

    Raises:
        RunError: One of them cannot be simulated or billed.
    """
    met_idle = {one.start.state, other.start.state} == {"warm"} and not rest_alike(one, other)
    if met_idle:
        one, other = (which.with_setting("start", "idled") for which in (one, other))
    (first, second), end_s = simulate_to_one_end(
        [which.with_settings({"seed": one.seed}) for which in (one, other)],
        replications=replications,
        engine=engine,
        progress=progress,
    )
    if end_s is None and one.horizon_s == other.horizon_s:
        end_s = one.horizon_s
    return Against(first, second, same_load(first.experiment, second.experiment), end_s, met_idle)


def simulate_to_one_end(
    experiments: Sequence[Experiment],
    owns: Sequence[Own | None] = (),
    *,
    replications: int | None = None,
    engine: Engine = "auto",
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Result], float | None]:
    """Simulate experiments; where pods or nodes of any stay, and none says when its run ends, until the same moment.

    That is the latest end of all, in whole minutes: else a pod would cost more where runs happen to last longer. Nobody
    knows whether the pods of a user's own autoscaler ever go. All have as many replications as the first.

    Returns:
        What each left, and the common end [s from the start of the load]; ``None`` where each run ends by itself.

    Raises:
        RunError: One of them cannot be simulated or billed.
    """
    count = replications_of(experiments[0], replications)
    owns = owns or [None] * len(experiments)

    def execute(until_s: float | None = None) -> list[Result]:
        found: list[Result] = []
        for experiment, own in zip(experiments, owns, strict=True):
            ends = own is not None and until_s is not None
            given = experiment.with_setting("horizon", f"{until_s}s") if ends else experiment
            bar = after(progress, count * len(found))
            found.append(simulate(given, replications=count, engine=engine, until_s=until_s, progress=bar, own=own))
        return found

    results = execute()
    stays = any(result.params.stays or result.experiment.cluster.nodes for result in results)
    if not (stays or any(owns)) or any(one.horizon_s is not None for one in experiments):
        return results, None
    ends = [_end_s(result, own) for result, own in zip(results, owns, strict=True)]
    end_s = 60.0 * math.ceil(max(ends) / 60.0)
    return execute(end_s), end_s


def _end_s(result: Result, own: Own | None) -> float:
    """When the runs of an experiment are over: under a user's own autoscaler, with the last response."""
    if own is None:
        return float(result.horizon_s.max())
    last_s = result.figures["total_s"]
    return float(np.max(last_s, initial=0.0, where=np.isfinite(last_s)))
