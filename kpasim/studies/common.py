"""What experiments that are compared have in common: the state they begin in, and the stretch that stands for a month.

A candidate must not get for nothing what another pays for. So settings that differ in what they keep while no load is
there (min-scale, initial-scale, retention, scale-to-zero) are simulated from the state that each of them leads to, not
from a service that somebody has warmed up for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kpasim.errors import ExperimentError
from kpasim.spec.experiment import Experiment
from kpasim.studies.steady import steady_part, warm_up_s

MET_IDLE = (
    "Every setting begins in the state that it leads to by itself after a pause (start: idled): with start: warm, "
    "settings without min-scale would get a warm pod for nothing."
)


def rest_alike(one: Experiment, other: Experiment) -> bool:
    """Whether two experiments keep the same pods while no load is there."""
    return _rest(one) == _rest(other)


def as_each_leads_to(experiment: Experiment, axes: Mapping[str, Sequence[Any]]) -> Experiment:
    """The experiment with ``start: idled`` where ``start: warm`` would give away what some settings pay for."""
    if experiment.start.state != "warm" or any(path.partition(".")[0] == "start" for path in axes):
        return experiment
    rests = {_rest(experiment), *(_rest(variant) for variant in _variants(experiment, axes))}
    return experiment.with_setting("start", "idled") if len(rests) > 1 else experiment


def _rest(experiment: Experiment) -> tuple[Any, ...]:
    """What decides which pods stay while there is no load, and for how long."""
    of = experiment.revision
    return (of.min_scale, of.initial_scale, of.pod_retention_s, of.enable_scale_to_zero)


def stretch_of_all(experiment: Experiment, axes: Mapping[str, Sequence[Any]]) -> tuple[float, float] | None:
    """The steady part of a load whatever the settings: after the longest warm-up that they may need together.

    Returns:
        ``None`` where the load has no steady part, or is too short for some settings.
    """
    least = warm_up_s(experiment)
    warm_up = least
    for path, values in axes.items():
        each = [warm_up_s(variant) for variant in _variants(experiment, {path: values})]
        warm_up += max(0.0, max(each, default=least) - least)
    return steady_part(experiment, warm_up)


def stretch_in_common(parts: Iterable[tuple[float, float] | None]) -> tuple[float, float] | None:
    """The steady part that all of some have in common, ``None`` where one has none or their loads differ in length."""
    found = list(parts)
    stretches = [part for part in found if part is not None]
    if not found or len(stretches) < len(found) or len({end for _, end in stretches}) > 1:
        return None
    return max(begin for begin, _ in stretches), stretches[0][1]


def _variants(experiment: Experiment, axes: Mapping[str, Sequence[Any]]) -> Iterator[Experiment]:
    """The experiment with each value of each axis by itself, as far as it can have it."""
    for path, values in axes.items():
        for value in values:
            try:
                yield experiment.with_setting(path, value)
            except ExperimentError:
                continue
