"""Experiments beside each other: whether they are the same, how they begin, and the stretch that stands for a month.

Two are the same if they are simulated alike and billed alike. Every section of an experiment is compared whole, so that
no setting can be forgotten: two values are the same only if they mean the same after defaults. The Service and the
cluster's ConfigMaps are compared by what follows from them: an annotation and the default of a ConfigMap can mean the
same.

A candidate must not get for nothing what another pays for. So settings that differ in what they keep while no load is
there (min-scale, initial-scale, retention, scale-to-zero) are simulated from the state that each of them leads to, not
from a service that somebody has warmed up for all of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kpasim.engines import lower
from kpasim.errors import ExperimentError, KpasimError
from kpasim.spec.difference import COMMENTS
from kpasim.spec.experiment import Experiment
from kpasim.spec.model import ServiceModel
from kpasim.studies.prices import prices_of
from kpasim.studies.steady import steady_part, warm_up_s

MET_IDLE = (
    "Every setting begins in the state that it leads to by itself after a pause (start: idled): with start: warm, "
    "settings without min-scale would get a warm pod for nothing."
)

_OTHERWISE = {"replications", "tolerances", "service", "model"}
"""Sections that change no replication; the Service, see above; and the model, whose comments change nothing."""
_SECTIONS = [name for name in Experiment.model_fields if name not in _OTHERWISE and not name.startswith("config_")]
_MODEL = [name for name in ServiceModel.model_fields if f"model.{name}" not in COMMENTS]

MOST_TRIES = 200
"""Settings beside which the values of an axis are tried, until one makes a difference."""


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


def same(one: Experiment, other: Experiment) -> bool:
    """Whether every replication of two experiments is the same, and its bill.

    Raises:
        KpasimError: One of the two cannot be simulated or billed.
    """
    return (
        all(getattr(one, name) == getattr(other, name) for name in _SECTIONS)
        and all(getattr(one.model, name) == getattr(other.model, name) for name in _MODEL)
        and one.gpus_per_pod == other.gpus_per_pod
        and one.instance_types == other.instance_types
        and lower.equal(lower.lower(one), lower.lower(other))
        and prices_of(one) == prices_of(other)
    )


def changes_nothing(experiment: Experiment, path: str, value: Any) -> bool:
    """Whether a setting may have this value without any change; not where the value is refused."""
    try:
        return same(experiment.with_setting(path, value), experiment)
    except KpasimError:
        return False


def without_effect(
    experiment: Experiment, axis: str, values: Sequence[Any], beside: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether all values of an axis give the same simulation and bill beside each of these settings."""
    for settings in beside[:MOST_TRIES]:
        variants = []
        for value in values:
            try:
                variants.append(experiment.with_settings({**settings, axis: value}))
                if not same(variants[0], variants[-1]):
                    return False
            except KpasimError:
                continue
    return True
