"""What happens to settings when the load grows, and which limit binds then."""

from collections.abc import Callable
from typing import Any, NamedTuple

from kpasim.errors import KpasimError
from kpasim.results.summary import Figures
from kpasim.spec.experiment import Experiment
from kpasim.studies.grid.result import label
from kpasim.studies.search.space import MAX_SCALE, MIN_SCALE

LOADS = (1.2, 1.5, 2.0)
"""Loads that settings are stressed with, as multiples of the load that they were chosen for."""


class Stressed(NamedTuple):
    """Settings under more load.

    Attributes:
        load: Multiple of the load.
        share: Share of runs that meet the SLOs.
        figures: All figures of these runs.
        limit: What binds where the SLOs are missed, in words; empty where they are met.
        remedy: Settings under which they would be met; empty where none is known.
    """

    load: float
    share: float
    figures: Figures
    limit: str
    remedy: dict[str, Any]


def more_load(experiment: Experiment, factor: float) -> dict[str, Any]:
    """Settings that make a load larger by a factor: more clients, a higher rate, or a faster replay."""
    return {f"workload.{name}": value for name, value in experiment.workload.times(factor).items()}


def stressed(
    experiment: Experiment,
    load: float,
    probability: float,
    judge: Callable[[dict[str, Any]], tuple[float, Figures]],
    meets: Callable[[dict[str, Any]], bool],
) -> Stressed:
    """An experiment under a multiple of its load, and where it then misses its SLOs the limit that binds.

    A limit binds if the SLOs are met without it: without max-scale, with as many warm pods as max-scale allows, or with
    both.

    Args:
        experiment: What is stressed.
        load: Multiple of its load.
        probability: Smallest share of runs that must meet the SLOs.
        judge: The share of runs that meets the SLOs with settings of the experiment, and the figures.
        meets: Whether that share is large enough.
    """
    growth = more_load(experiment, load) if load != 1.0 else {}
    share, figures = judge(growth)
    if share >= probability:
        return Stressed(load, share, figures, "", {})
    for words, settings in _relaxed(experiment, int(max(figures["max_pods"]))):
        try:
            if meets({**growth, **settings}):
                return Stressed(load, share, figures, words, settings)
        except KpasimError:
            continue
    return Stressed(load, share, figures, "the service itself (more pods do not help)", {})


def _relaxed(experiment: Experiment, peak_pods: int) -> list[tuple[str, dict[str, Any]]]:
    """Limits, each with settings under which it does not bind."""
    most, fewest = experiment.revision.max_scale, experiment.revision.min_scale
    found: list[tuple[str, dict[str, Any]]] = []
    cold = f"cold starts (min-scale {fewest})"
    if most:
        found += [(f"max-scale {most}", {MAX_SCALE: scale}) for scale in (most + 1, 2 * most, 4 * most)]
    warm = most or peak_pods
    if warm > fewest:
        found.append((cold, {MIN_SCALE: warm}))
    if most:
        found += [
            (f"max-scale {most} and {cold}", {MIN_SCALE: n, MAX_SCALE: n}) for n in (most + 1, 2 * most, 4 * most)
        ]
    return found


def words(one: Stressed, probability: float) -> str:
    """What became of settings under more load, in a line."""
    line = f"{100 * (one.load - 1):+.0f} %: SLOs met in {100 * one.share:.3g} % of runs"
    if one.share >= probability:
        return line
    if not one.remedy:
        return f"{line}; the limit is {one.limit}"
    return f"{line}; the limit is {one.limit}: met with {label(one.remedy)}"
