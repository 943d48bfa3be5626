"""Whether two experiments are the same: simulated alike and billed alike.

Every section of an experiment is compared whole, so that no setting can be forgotten: two values are the same only if
they mean the same after defaults. The Service and the cluster's ConfigMaps are compared by what follows from them, as
an annotation and the default of a ConfigMap can mean the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kpasim.engines import lower
from kpasim.errors import KpasimError
from kpasim.spec.difference import COMMENTS
from kpasim.spec.experiment import Experiment
from kpasim.spec.model import ServiceModel
from kpasim.studies.prices import prices_of

_OTHERWISE = {"replications", "tolerances", "service", "model"}
"""Sections that change no replication; the Service, see above; and the model, whose comments change nothing."""
_SECTIONS = [name for name in Experiment.model_fields if name not in _OTHERWISE and not name.startswith("config_")]
_MODEL = [name for name in ServiceModel.model_fields if f"model.{name}" not in COMMENTS]

MOST_TRIES = 200
"""Settings beside which the values of an axis are tried, until one makes a difference."""


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
