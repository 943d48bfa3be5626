"""Contention out of an observation: whether requests that share a pod take longer, and how much.

A pod's counters give, for a stretch of time, the requests that ended and their durations: by Little's law the durations
over the length are the mean number of requests in service. Requests that progress more slowly together have longer
durations where more requests came. Durations by themselves would not do: a stretch of long requests has more in
service, too, without any contention. So the number of requests that came is the instrument: the factor sought is the
one beyond which long durations and many requests have nothing to do with each other.
"""

import math
from dataclasses import dataclass

import numpy as np

from kpasim.arrays import Floats
from kpasim.records.prometheus.observation import Observation
from kpasim.records.prometheus.passages import INVOCATIONS, increase

STRETCH = 8.0
"""Length of a stretch in mean durations, so that most of its requests begin and end in it."""
FEW, MANY = 10, 3000
"""Stretches from which on a factor is sought, and the most that are looked at. Resamples say how little few tell."""
MOST_SHARING = 64
SLOPES = np.linspace(0.0, 3.0, 61)
"""Factors that are tried: what each further request adds to the duration of all, as a share of that of one alone."""
BOOTSTRAPS = 60
VISIBLE = 0.05
"""A factor whose interval reaches down to this is none."""


@dataclass(frozen=True)
class Contention:
    """Contention of requests that share a pod.

    Attributes:
        slope: What each further request adds to the duration of all, as a share of that of a request alone.
        low: Lower end of its 90 % interval.
        high: Upper end.
        alone_s: Mean duration of a request alone [s].
        spread: Coefficient of variation of the factors that requests met.
        draws: Slope and mean duration alone of resamples.
    """

    slope: float
    low: float
    high: float
    alone_s: float
    spread: float
    draws: tuple[tuple[float, float], ...]


def contention(observation: Observation, concurrency: int, mean_s: float, seed: int = 1) -> Contention | None:
    """The contention that an observation shows; ``None`` where it shows none, or too little was shared.

    ``concurrency`` is the service's containerConcurrency, 0 for any number; ``mean_s`` the mean duration.
    """
    most = min(concurrency or MOST_SHARING, MOST_SHARING)
    if most < 2:
        return None
    random = np.random.default_rng(seed)
    stretches = _stretches(observation, mean_s)
    if len(stretches) > MANY:
        stretches = stretches[random.choice(len(stretches), MANY, replace=False)]
    length_s, ended, durations_s = stretches.T
    shared = np.clip(durations_s / np.maximum(length_s, 1e-9), 0.0, 0.97 * most)
    if len(stretches) < FEW or np.quantile(shared, 0.9) < 1.0:
        return None
    factors, weights = _factors(shared, most)
    slope, alone_s = _slope(length_s, ended, durations_s, factors)
    draws = []
    for _ in range(BOOTSTRAPS):
        rows = random.integers(len(stretches), size=len(stretches))
        draws.append(_slope(length_s[rows], ended[rows], durations_s[rows], factors[:, rows]))
    low, high = np.quantile([draw[0] for draw in draws], [0.05, 0.95])
    if low <= VISIBLE:
        return None
    return Contention(slope, float(low), float(high), alone_s, _spread(slope, weights, ended), tuple(draws))


def _spread(slope: float, weights: Floats, ended: Floats) -> float:
    """Coefficient of variation of the factors of requests: all of it between stretches, half of it within.

    A request meets several numbers of others while it lasts, so that its factor varies less than that of a moment.
    """
    counts = np.arange(weights.shape[1])
    slowed = 1.0 + slope * np.maximum(counts - 1, 0)
    seen = weights * counts
    seen /= np.maximum(seen.sum(axis=1, keepdims=True), 1e-300)
    means = seen @ slowed
    within = np.average(seen @ slowed**2 - means**2, weights=ended)
    mean = np.average(means, weights=ended)
    between = np.average((means - mean) ** 2, weights=ended)
    return float(math.sqrt(max(0.0, between + 0.5 * within)) / mean)


def _stretches(observation: Observation, mean_s: float) -> Floats:
    """Length [s], requests ended and their durations added up [s] of stretches of every pod, one row each."""
    sums = {(one.instance, one.pod, _status(one.labels)): one for one in observation.find(f"{INVOCATIONS}_sum")}
    pods: dict[tuple[str, str], list[tuple[Floats, Floats, Floats]]] = {}
    for one in observation.find(f"{INVOCATIONS}_count", "queue-proxy"):
        of_sum = sums.get((one.instance, one.pod, _status(one.labels)))
        if of_sum is not None and np.array_equal(one.times_s, of_sum.times_s):
            times_s, ended = increase(one)
            pods.setdefault((one.instance, one.pod), []).append((times_s, ended, increase(of_sum)[1]))
    rows = [np.zeros((0, 3))]
    for parts in pods.values():
        times_s = np.unique(np.concatenate([part[0] for part in parts]))
        counted = np.zeros((len(times_s), 2))
        for at_s, ended, durations_s in parts:
            counted[np.searchsorted(times_s, at_s)] += np.stack((ended, durations_s), axis=1)
        if len(times_s) < 2:
            continue
        size = max(1, math.ceil(STRETCH * mean_s / max(1e-9, float(np.median(np.diff(times_s))))))
        edges = np.arange(0, len(times_s), size)
        summed = np.cumsum(counted, axis=0)[edges]
        stretch = np.concatenate((np.diff(times_s[edges])[:, np.newaxis], np.diff(summed, axis=0)), axis=1)
        rows.append(stretch[stretch[:, 1] > 0])
    return np.concatenate(rows)


def _status(labels: dict[str, str]) -> str:
    return labels.get("http_response_status_code", "")


def _factors(shared: Floats, most: int) -> tuple[Floats, Floats]:
    """How much longer requests take than alone, by slope and stretch; and how often so many are in service, by stretch.

    The number in service is taken as Poisson, cut at the most that may share a pod, with the stretch's mean. A request
    among ``k`` progresses at ``1 / (1 + slope (k - 1))``.
    """
    from scipy.stats import poisson

    counts = np.arange(most + 1)
    rate = np.maximum(shared, 1e-6)
    for _ in range(30):
        weights = poisson.pmf(counts, rate[:, np.newaxis]) + 1e-300
        weights /= weights.sum(axis=1, keepdims=True)
        rate = np.minimum(rate * np.clip(shared / np.maximum(weights @ counts, 1e-9), 0.5, 2.0), 1e3)
    slowed = 1.0 + np.multiply.outer(SLOPES, np.maximum(counts - 1, 0))
    return np.asarray((weights @ counts) / np.maximum((counts / slowed) @ weights.T, 1e-12)), weights


def _slope(length_s: Floats, ended: Floats, durations_s: Floats, factors: Floats) -> tuple[float, float]:
    """The slope at which what is left of the durations has nothing to do with how many came, and the mean alone [s]."""
    alone_s = durations_s.sum() / np.maximum((ended * factors).sum(axis=1), 1e-12)
    per_s = ended / length_s
    left = durations_s - alone_s[:, np.newaxis] * ended * factors
    moments = left @ (per_s - np.average(per_s, weights=ended))
    below = np.flatnonzero(moments <= 0)
    if not len(below):
        return float(SLOPES[-1]), float(alone_s[-1])
    place = int(below[0])
    if place == 0:
        return 0.0, float(alone_s[0])
    share = moments[place - 1] / (moments[place - 1] - moments[place])
    slope = float(SLOPES[place - 1] + share * (SLOPES[place] - SLOPES[place - 1]))
    return slope, float(np.interp(slope, SLOPES, alone_s))
