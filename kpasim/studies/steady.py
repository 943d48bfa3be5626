"""Which part of a load may stand for a month: one rule for cost and for SLOs.

A load whose experiment says how often it recurs (`repeat`) is billed as a whole. Without that, a load that goes on
(`constant`, `poisson`, `diurnal`) is judged and billed after its warm-up, in which the service
still shows the state that it began in. Every other load has a beginning and an end, which count as they are.
"""

import math

import numpy as np

from kpasim.arrays import Floats
from kpasim.spec.distributions import Distribution
from kpasim.spec.experiment import Experiment
from kpasim.spec.quantities import duration_text

COLD_STARTS = 2
"""Cold starts in a warm-up: the first pods start, and those that are asked for while these start."""
COLD_START_QUANTILE = 0.95
DAY_S = 86_400.0
LEAST_LENGTH = 10.0
"""Length of the stretch that stands for a month, in warm-ups at least."""


def mean_cold_start_s(experiment: Experiment) -> float:
    """Mean time [s] from the creation of a pod to its readiness, on no particular instance type, without transfers."""
    stages = experiment.model.cold_start.stages
    return float(sum(one.time.mean_s() for one in stages if one.when == "before-ready"))


def cold_start_s(experiment: Experiment) -> float:
    """Time [s] from the creation of a pod to its readiness that 95 % of cold starts keep to, on the slowest type.

    The 95 % quantiles of all stages, and of the provisioning of a node, added up: never less than that of their sum
    where stages are slow together.
    """
    stages = [one for one in experiment.model.cold_start.stages if one.when == "before-ready"]
    names = [one.name for one in experiment.instance_types] or [""]

    def on(name: str) -> float:
        times = [_quantile_s(one.per_instance_type.get(name, one.time)) for one in stages]
        transfers = [one.bandwidth.size / one.bandwidth.rate for one in stages if one.bandwidth]
        return sum(times) + sum(transfers)

    nodes = experiment.cluster.nodes
    grows = nodes is not None and nodes.max is not None and nodes.max > nodes.count
    return max(on(name) for name in names) + (_quantile_s(nodes.provision) if nodes and grows else 0.0)


def _quantile_s(time: Distribution) -> float:
    return float(time.ppf(np.array([COLD_START_QUANTILE]))[0])


def warm_up_s(experiment: Experiment) -> float:
    """Length [s] of the beginning of a load that is left out: the stable window and two cold starts."""
    return experiment.revision.stable_window_s + COLD_STARTS * cold_start_s(experiment)


def steady_part(experiment: Experiment, warm_up: float | None = None) -> tuple[float, float] | None:
    """The stretch (from, to) [s from the start of the load] that stands for a load that goes on, after its warm-up [s].

    From the end of the warm-up to the end of the load, or of the run where a horizon ends it earlier, at least ten
    times as long as the warm-up. Of a periodic load the last whole periods after the warm-up; a load of a single period
    is taken as a whole.

    Returns:
        ``None`` for a load that ends by itself, and for one that is too short.
    """
    if not experiment.workload.goes_on or experiment.repeat_s is not None:
        return None
    duration = min(experiment.workload.length_s or 0.0, experiment.horizon_s or math.inf)
    warm_up = warm_up_s(experiment) if warm_up is None else warm_up
    period = experiment.workload.repeats_after_s
    if period:
        whole = math.floor((duration - warm_up) / period) or math.floor(duration / period)
        return (duration - whole * period, duration) if whole >= 1 and period >= LEAST_LENGTH * warm_up else None
    return (warm_up, duration) if duration >= (1.0 + LEAST_LENGTH) * warm_up else None


def has_month(experiment: Experiment) -> bool:
    """Whether something of a run stands for a month: a steady part, or all of it because the load recurs."""
    return experiment.repeat_s is not None or steady_part(experiment) is not None


def why_no_month(experiment: Experiment) -> str:
    """Why nothing of a run may stand for a month, in words; empty where something may."""
    if has_month(experiment):
        return ""
    if not experiment.workload.goes_on:
        return "the load ends by itself (say how often it recurs, such as repeat: 24h)"
    warm_up = warm_up_s(experiment)
    least = max((1.0 + LEAST_LENGTH) * warm_up, experiment.workload.repeats_after_s)
    return (
        f"the load is too short for a month, as its first {_minutes(warm_up)} are warm-up, stable window and two cold "
        f"starts (let it last {_minutes(least)}, or say how often it recurs: repeat: 24h)"
    )


def requests_per_day(start_s: Floats, stretch_s: tuple[float, float]) -> Floats:
    """Requests per day of each run, by those sent within a stretch (from, to) of it [s from the start of the load]."""
    begin, end = stretch_s
    return np.asarray(((start_s >= begin) & (start_s < end)).sum(axis=1) * DAY_S / (end - begin))


def _minutes(time_s: float) -> str:
    """A length in words, whole seconds or, from ten minutes on, whole minutes."""
    step = 60.0 if time_s >= 600.0 else 1.0
    return duration_text(step * math.ceil(round(time_s / step, 6)))
