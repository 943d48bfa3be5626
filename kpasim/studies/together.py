"""Several experiments simulated for comparison: replication k of each in turn, and all billed until one end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from kpasim.spec.experiment import Experiment
from kpasim.studies.execution.engine import Engine
from kpasim.studies.own import Own
from kpasim.studies.run import Result, replications_of, simulate


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
            before = count * len(found)
            report = None if progress is None else (lambda done, before=before: progress(before + done))
            found.append(simulate(given, replications=count, engine=engine, until_s=until_s, progress=report, own=own))
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
