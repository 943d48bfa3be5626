"""Service times out of an observation: the mean by sum over count at the container, the spread by what is finest.

queue-proxy measures the container alone (``kn_serving_invocation_duration_seconds``, innermost handler:
knative/serving@98e5ef9, pkg/queue/request_metric.go). Its histogram ends at 10 s: a duration beyond is only known to be
longer. A scrape interval in which a pod ended a single request gives its duration exactly, also beyond 10 s.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kpasim.arrays import Bools, Floats
from kpasim.errors import RunError
from kpasim.records.prometheus.observation import Observation, Role, Series
from kpasim.records.prometheus.passages import INVOCATIONS, REQUESTS, increase, traffic
from kpasim.results.intervals import Z90

Cdf = Callable[[Floats, float, float], Floats]

LEAST_CV, MOST_CV = 0.01, 5.0
FEW_FAILURES, FEW_WITHOUT_FAILURES = 0.02, 30
"""Share of failed requests from which on they count, and requests without them that tell a service time."""
SOURCES: tuple[tuple[str, Role, str], ...] = (
    (INVOCATIONS, "queue-proxy", ""),
    (REQUESTS, "queue-proxy", "measured at queue-proxy, so that it includes waiting inside the pod"),
    (REQUESTS, "activator", "measured at the activator, so that it includes queueing and cold starts"),
)
"""Histograms in the order of preference, and what is wrong with each."""


@dataclass(frozen=True)
class ServiceTime:
    """How long requests took at the container.

    Attributes:
        mean_s: Mean [s].
        error_s: Its standard error [s].
        cv: Coefficient of variation of the fitted distribution.
        time: The distribution as model files have it.
        requests: Requests that it was measured on.
        exact: How many of them were alone in their pod's scrape interval, so that their durations are known.
        notes: What the resolution hides, a sentence each.
    """

    mean_s: float
    error_s: float
    cv: float
    time: dict[str, Any]
    requests: int
    exact: int
    notes: tuple[str, ...]

    @property
    def interval_s(self) -> tuple[float, float]:
        """90 % interval of the mean [s]."""
        return self.mean_s - Z90 * self.error_s, self.mean_s + Z90 * self.error_s


@dataclass(frozen=True, eq=False)
class _Durations:
    """Durations as a histogram's scrapes tell them: some exactly, the others by bucket.

    Attributes:
        bounds_s: Upper bounds of the buckets, the last infinite.
        counts: Requests in each bucket, without those known exactly.
        exact_s: Durations known exactly.
        total: Requests in all.
        sum_s: Durations of all of them, added up.
    """

    bounds_s: Floats
    counts: Floats
    exact_s: Floats
    total: float
    sum_s: float


def service_time(observation: Observation, revision: str | None = None) -> ServiceTime:
    """The service time that an observation shows, of all revisions together or of one.

    Raises:
        RunError: No request was measured.
    """
    cut_off = _failing(observation, revision)
    for histogram, role, flaw in SOURCES:
        durations = _durations(observation, histogram, role, revision, np.zeros((0, 2)))
        if durations is None:
            continue
        whole = _durations(observation, histogram, role, revision, cut_off) if len(cut_off) else None
        if whole is not None and whole.total >= FEW_WITHOUT_FAILURES:
            note = (
                "Requests that ended while others failed are left out of the service time: where a client or a timeout "
                "cuts a request off, its duration ends early."
            )
            return replace(_estimated(whole, flaw), notes=(note, *_estimated(whole, flaw).notes))
        return _estimated(durations, flaw)
    raise RunError(
        f"{observation.namespace}/{observation.service}: no duration of a request was recorded (give --service-time)"
    )


def _failing(observation: Observation, revision: str | None) -> Floats:
    """Stretches in which requests failed, begin and end [s since 1970] in each row; none where few did."""
    passages = traffic(observation, revision).passages
    ended, failed = (sum(float(getattr(one, name).sum()) for one in passages) for name in ("ended", "failed"))
    if failed <= FEW_FAILURES * ended:
        return np.zeros((0, 2))
    return np.concatenate(
        [np.stack((one.begin_s[one.failed > 0], one.end_s[one.failed > 0]), axis=1) for one in passages]
    )


def _overlap(times_s: Floats, stretches: Floats) -> Bools:
    """Which scrape intervals that end at these times overlap one of the stretches; the first one always."""
    if not len(stretches):
        return np.zeros(len(times_s), dtype=np.bool_)
    begins_s = np.concatenate(([-np.inf], times_s[:-1]))
    return np.asarray(
        ((begins_s[:, np.newaxis] < stretches[:, 1]) & (times_s[:, np.newaxis] > stretches[:, 0])).any(axis=1)
    )


def _estimated(durations: _Durations, flaw: str) -> ServiceTime:
    mean_s = durations.sum_s / durations.total
    fits = {name: _fitted(cdf, durations, mean_s) for name, cdf in FAMILIES.items()}
    name = max(fits, key=lambda one: fits[one][1])
    cv = fits[name][0]
    last_s = durations.bounds_s[-2] if len(durations.bounds_s) > 1 else math.inf
    beyond = float((durations.counts[-1] + (durations.exact_s > last_s).sum()) / durations.total)
    notes = [f"The service time is {flaw}."] if flaw else []
    if beyond > 0.01:
        notes.append(
            f"{beyond:.0%} of the durations are beyond the histogram's last bound of {last_s:g} s: of them only the "
            f"mean is known, and each duration of {len(durations.exact_s):,} that were alone in a scrape interval."
        )
    known = durations.counts > 0
    if known.sum() == 1 and len(durations.exact_s) < 20:
        notes.append("All durations lie in one bucket of the histogram: their spread is a guess within its bounds.")
    return ServiceTime(
        mean_s,
        cv * mean_s / math.sqrt(durations.total),
        cv,
        _mapping(name, mean_s, cv),
        round(durations.total),
        len(durations.exact_s),
        tuple(notes),
    )


def _durations(
    observation: Observation, histogram: str, role: Role, revision: str | None, without: Floats
) -> _Durations | None:
    """The durations of a histogram, without those that ended in some stretches."""

    def key(one: Series) -> tuple[str, str, frozenset[tuple[str, str]]]:
        return one.instance, one.pod, frozenset(item for item in one.labels.items() if item[0] != "le")

    def series(part: str) -> list[Series]:
        return [one for one in observation.find(f"{histogram}_{part}", role) if revision in (None, one.revision)]

    sums = {key(one): one for one in series("sum")}
    buckets: dict[Any, list[Series]] = {}
    for one in series("bucket"):
        buckets.setdefault(key(one), []).append(one)
    bounds_s = np.array(sorted({one.le for group in buckets.values() for one in group} | {math.inf}))
    counts, exact_s, total, sum_s = np.zeros(len(bounds_s)), [], 0.0, 0.0
    for one in series("count"):
        at_s, ended = increase(one)
        of_sum = sums.get(key(one))
        if of_sum is None or not ended.sum():
            continue
        sum_at_s, durations_s = increase(of_sum)
        if len(without):
            ended = np.where(_overlap(at_s, without), 0.0, ended)
            durations_s = np.where(_overlap(sum_at_s, without), 0.0, durations_s)
        same = np.array_equal(at_s, sum_at_s)
        single = (ended == 1) if same else np.zeros(len(ended), dtype=np.bool_)
        total += float(ended.sum())
        sum_s += float(durations_s.sum())
        exact_s.append(durations_s[single] if same else durations_s[:0])
        group = buckets.get(key(one), [])
        below = np.zeros(len(bounds_s))
        below[-1] = ended[~single].sum()
        for bucket in group:
            bucket_at_s, added = increase(bucket)
            added = np.where(_overlap(bucket_at_s, without), 0.0, added)
            whole = single if np.array_equal(bucket_at_s, at_s) else np.zeros(len(added), dtype=np.bool_)
            below[np.searchsorted(bounds_s, bucket.le)] = added[~whole].sum()
        counts += np.maximum(np.diff(np.maximum.accumulate(below), prepend=0.0), 0.0)
    if total <= 0:
        return None
    return _Durations(bounds_s, counts, np.concatenate(exact_s), total, sum_s)


def _fitted(cdf: Cdf, durations: _Durations, mean_s: float) -> tuple[float, float]:
    """The coefficient of variation of a family with this mean that explains the durations best, and its log-likelihood.

    An exact duration counts by the probability of its surroundings of 1 %, a bucket by its own.
    """
    from scipy.optimize import minimize_scalar

    exact_s = durations.exact_s
    low_s = np.concatenate(([0.0], durations.bounds_s[:-1]))

    def cost(log_cv: float) -> float:
        cv = math.exp(log_cv)
        upper = np.where(np.isinf(durations.bounds_s), 1.0, cdf(durations.bounds_s, mean_s, cv))
        of_bucket = np.maximum(upper - cdf(low_s, mean_s, cv), 1e-12)
        of_exact = np.maximum(cdf(1.005 * exact_s, mean_s, cv) - cdf(0.995 * exact_s, mean_s, cv), 1e-12)
        return -float((durations.counts * np.log(of_bucket)).sum() + np.log(of_exact).sum())

    found = minimize_scalar(cost, bounds=(math.log(LEAST_CV), math.log(MOST_CV)), method="bounded")
    return math.exp(found.x), -float(found.fun)


def _lognormal(times_s: Floats, mean_s: float, cv: float) -> Floats:
    from scipy.special import ndtr

    sigma = math.sqrt(math.log1p(cv * cv))
    finite = np.where(np.isinf(times_s), 1.0, np.maximum(times_s, 1e-12))
    return np.asarray(ndtr((np.log(finite / mean_s) + 0.5 * sigma**2) / sigma))


def _gamma(times_s: Floats, mean_s: float, cv: float) -> Floats:
    from scipy.special import gammainc

    shape = cv**-2
    return np.asarray(gammainc(shape, np.where(np.isinf(times_s), 0.0, times_s) * shape / mean_s))


FAMILIES: dict[str, Cdf] = {"lognormal": _lognormal, "gamma": _gamma}


def _mapping(name: str, mean_s: float, cv: float) -> dict[str, Any]:
    if cv <= 1.5 * LEAST_CV:
        return {"distribution": "constant", "time": f"{mean_s:.6f}s"}
    return {"distribution": name, "mean": f"{mean_s:.6f}s", "cv": round(cv, 6)}
