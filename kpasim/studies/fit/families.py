"""Distributions fitted to measured times, some of which are known only to lie in an interval or beyond a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from kpasim.arrays import Array, Bools, Floats
from kpasim.spec.distributions import Time

FEW = 20
"""Below so many times nothing is told about the shape: it is taken as lognormal."""
ENOUGH_FOR_TWO = 30
"""Times that a mixture needs at least."""
ENOUGH_FOR_EMPIRICAL = 100
"""Times from which on a sample may stand for itself."""
MOST_VALUES = 200
"""Values kept of a sample that stands for itself."""
CRITICAL = 1.63
"""Kolmogorov's distance times the root of the sample size that a true distribution exceeds once in a hundred."""
CRITICAL_OF_A_FIT = 0.9
"""The same at 5 %, for a distribution that was fitted to the sample (Lilliefors 1967)."""
GRID = 160
"""Points of a grid in each of its two directions."""
FAR_OFF = 0.1
"""Q-Q distance from which on a fit is called bad."""
QQ_SHARES = np.arange(1, 20) / 20
"""Quantiles that the Q-Q distance looks at, those of them that the sample is large enough for."""
WIDEST_DRAW = 4.0
"""How many times its estimate the spread of a small sample may be in a draw."""
BEYOND, WIDEST = 2.0, 1.5
"""Limits of a component of a mixture, which may hold nothing but times that broke off: its median, as a share of the
longest time or limit, and its spread."""
LEAST_SIGMA = 0.002
BOOTSTRAPS = 200
FEWEST_BOOTSTRAPS, RESAMPLED = 40, 200_000
"""Of large samples, whose intervals are narrow, there are fewer resamples: so many times in all of them together."""
QUANTILES = {"p50": 0.5, "p95": 0.95}

_TIME: TypeAdapter[Any] = TypeAdapter(Time)


@dataclass(frozen=True)
class Sample:
    """Measured times.

    Attributes:
        low: Each time, or the least it can have been [s].
        high: The greatest it can have been: ``low`` where it is exact, infinite where the measurement broke off.
    """

    low: Floats
    high: Floats

    def __len__(self) -> int:
        return len(self.low)

    @property
    def exact(self) -> Bools:
        """Which times are known."""
        return np.asarray(self.high == self.low)

    @property
    def censored(self) -> int:
        """How many are only known to be longer than something."""
        return int(np.isinf(self.high).sum())

    @property
    def middle(self) -> Floats:
        """One value for each: the middle of its interval, its limit where it broke off."""
        return np.where(np.isinf(self.high), self.low, 0.5 * (self.low + self.high))

    def take(self, rows: Array) -> Sample:
        """Some of the times."""
        return Sample(self.low[rows], self.high[rows])


NOTHING = Sample(np.zeros(0), np.zeros(0))


def joined(parts: Sequence[Sample]) -> Sample:
    """The times of several samples."""
    return Sample(np.concatenate([one.low for one in parts]), np.concatenate([one.high for one in parts]))


def sample(times_s: Floats, censored: Bools | None = None, resolution_s: float = 0.0) -> Sample:
    """A sample of measured times [s], rounded to ``resolution_s``; those that are not numbers are left out."""
    times = np.asarray(times_s, dtype=np.float64)
    broken = np.zeros(len(times), bool) if censored is None else np.asarray(censored, bool)
    known = ~np.isnan(times) & (times >= 0.0)
    times, broken = times[known], broken[known]
    low = np.where(broken, times, np.maximum(times - 0.5 * resolution_s, 0.0))
    high = np.where(broken, np.inf, times + 0.5 * resolution_s)
    return Sample(low, high)


@dataclass(frozen=True)
class Family:
    """A family of distributions with parameters on the whole line.

    Attributes:
        name: Name in model files.
        start: Points to begin the search at.
        cdf: Cumulative distribution at times, of a point.
        log_density: Logarithm of the density at times, of a point.
        mapping: The distribution of a point as model files have it, times in seconds.
    """

    name: str
    start: Callable[[Sample], list[Floats]]
    cdf: Callable[[Floats, Floats], Floats]
    log_density: Callable[[Floats, Floats], Floats]
    mapping: Callable[[Floats], dict[str, Any]]

    def log_likelihood(self, point: Floats, times: Sample) -> float:
        """Of exact times their density, of intervals and of what broke off their probability."""
        exact = times.exact
        total = float(np.sum(self.log_density(times.low[exact], point))) if exact.any() else 0.0
        if not exact.all():
            rest = times.take(~exact)
            upper = np.where(np.isinf(rest.high), 1.0, self.cdf(np.where(np.isinf(rest.high), 1.0, rest.high), point))
            total += float(np.sum(np.log(np.maximum(upper - self.cdf(rest.low, point), 1e-300))))
        return total if math.isfinite(total) else -1e300


@dataclass(frozen=True)
class Fit:
    """A distribution fitted to a sample.

    Attributes:
        family: Its name in model files, ``"constant"`` and ``"empirical"`` among them.
        time: What a model file holds: a mapping, or a duration in seconds.
        times: The sample.
        bic: Bayesian information criterion of each family that was tried; the least one won.
        distance: Kolmogorov's distance between sample and fit.
        qq: Q-Q distance: the share by which a quantile of the fit differs most from that of the sample, and which.
        figures: Median, 95 % quantile and mean with their 90 % bootstrap intervals: ``(value, low, high)``.
        draws: Distributions fitted to resamples, of each family as often as it is probable.
    """

    family: str
    time: Any
    times: Sample = field(repr=False, compare=False)
    bic: Mapping[str, float] = field(default_factory=dict)
    distance: float = 0.0
    qq: tuple[float, float] = (0.0, 0.5)
    figures: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    draws: Sequence[Any] = ()

    @property
    def mixed(self) -> bool:
        """Whether the draws are of several families."""
        return any(one["distribution"] != self.family for one in self.draws)

    @property
    def bad(self) -> bool:
        """Whether the fit is far from the sample, and by more than chance."""
        return abs(self.qq[0]) > FAR_OFF and self.distance * math.sqrt(len(self.times)) > CRITICAL_OF_A_FIT

    def ppf(self, u: Floats) -> Floats:
        """Seconds for uniform numbers."""
        return np.asarray(_TIME.validate_python(self.time).ppf(u))


def fit(
    times: Sample,
    rng: np.random.Generator,
    *,
    bootstraps: int = BOOTSTRAPS,
    resampled: Sequence[Sample] | None = None,
) -> Fit:
    """The family that explains a sample best by the Bayesian information criterion, with 90 % intervals.

    Draws of exact lognormal times are of the posterior under Jeffreys' prior, those of other families are fitted to
    bootstrap resamples: those given where times are themselves estimates that change with the resample. Below 20 times,
    some of which are intervals, they are of the posterior on a grid. A large sample that no family follows
    (Kolmogorov's distance beyond its 1 % point) stands for itself.
    """
    known = times.take(~np.isinf(times.high))
    alike = len(known) == 0 or np.ptp(known.middle) <= 1e-9 * max(1.0, float(known.middle.max(initial=0.0)))
    if alike and known.exact.all():
        value = float(np.median((known if len(known) else times).middle))
        return Fit("constant", value, times, figures={"p50": (value, value, value)})
    tried = {one.name: _search(one, times, one.start(times), 1e-6) for one in candidates(len(known))}
    size = len(times)
    bic = {name: len(point) * math.log(size) - 2.0 * found for name, (point, found) in tried.items()}
    name = min(bic, key=lambda one: bic[one])
    family, point = _BY_NAME[name], tried[name][0]
    bootstraps = min(bootstraps, max(FEWEST_BOOTSTRAPS, RESAMPLED // size))
    distance = _distance(times, lambda at: family.cdf(at, point))
    if len(known) >= ENOUGH_FOR_EMPIRICAL and distance * math.sqrt(size) > CRITICAL and times.censored < 0.05 * size:
        return _empirical(known, times, bic, rng, bootstraps, resampled)
    mapping = family.mapping(point)
    if len(known) < FEW and not times.exact.all() and resampled is None and bootstraps:
        points = _of_intervals(times, rng, bootstraps)
        mapping, draws = LOGNORMAL.mapping(np.median(points, axis=0)), [LOGNORMAL.mapping(one) for one in points]
        figures = _figures(mapping, draws, _of_time)
        return Fit(name, mapping, times, bic, distance, _qq(times, mapping), figures, draws)
    # Resamples are too alike for the spread that they are to show: of lognormal times the posterior itself is known.
    known_posterior = resampled is None and times.exact.all()
    points = _posterior(tried[LOGNORMAL.name][0], size, rng, bootstraps) if known_posterior else []
    if resampled is None:
        resampled = [times.take(rng.integers(size, size=size)) for _ in range(bootstraps)]
    # The intervals hold that the family is uncertain too: each is drawn as often as it is probable.
    odds = np.array([math.exp(-0.5 * (value - bic[name])) for value in bic.values()])
    drawn = rng.choice(list(bic), size=len(resampled), p=odds / odds.sum())
    draws = [
        LOGNORMAL.mapping(points[row])
        if other == LOGNORMAL.name and known_posterior
        else _BY_NAME[other].mapping(_search(_BY_NAME[other], again, [tried[other][0]], 1e-3)[0])
        for row, (other, again) in enumerate(zip(drawn, resampled, strict=True))
    ]
    figures = _figures(mapping, draws, _of_time)
    return Fit(name, mapping, times, bic, distance, _qq(times, mapping), figures, draws)


def _posterior(point: Floats, size: int, rng: np.random.Generator, count: int) -> list[Floats]:
    """Draws of a lognormal's point given exact times, under Jeffreys' prior (Gelman et al., BDA3, section 3.2)."""
    freedom = max(size - 1, 1)
    wider = np.minimum(np.sqrt(size / rng.chisquare(freedom, count)), WIDEST_DRAW)
    sigma = np.minimum(_sigma(point[1]) * wider, max(WIDEST, _sigma(point[1])))
    middle = point[0] + sigma * rng.standard_normal(count) / math.sqrt(size)
    return list(np.stack([middle, np.log(sigma)], axis=1))


def _of_intervals(times: Sample, rng: np.random.Generator, count: int) -> list[Floats]:
    """The same of times that are known to lie in intervals or beyond a limit, from the posterior on a grid.

    Where one time lies in all intervals the likelihood has no peak, and each time that does so is as good.
    """
    from scipy.special import ndtr

    known = times.take(~np.isinf(times.high))
    with np.errstate(divide="ignore"):
        low, high = np.log(times.low), np.log(times.high)
    middle = np.log(np.maximum(known.middle, 1e-9))
    wide = float((np.log(np.maximum(known.high, 1e-9)) - middle).max())
    spread = max(float(middle.std()), 0.5 * wide, LEAST_SIGMA)
    reach = 4.0 * spread + float(np.ptp(middle)) + wide
    middles = np.linspace(middle.min() - reach, middle.max() + reach, GRID)
    sigmas = np.linspace(math.log(LEAST_SIGMA), math.log(min(WIDEST_DRAW * spread, max(WIDEST, spread))), GRID)
    at, sigma = middles[:, None, None], np.exp(sigmas)[None, :, None]
    inside = ndtr((high - at) / sigma) - ndtr((low - at) / sigma)
    density = np.exp(-0.5 * (np.where(times.exact, low, 0.0) - at) ** 2 / sigma**2) / sigma
    cost = np.log(np.maximum(np.where(times.exact, density, inside), 1e-300)).sum(axis=2)
    cost += middles[:, None]  # the prior is flat in time: within an interval each time is as likely
    shares = np.exp(cost - cost.max()).ravel()
    cells = rng.choice(len(shares), size=count, p=shares / shares.sum())
    steps = np.array([middles[1] - middles[0], sigmas[1] - sigmas[0]])
    points = np.stack([middles[cells // GRID], sigmas[cells % GRID]], axis=1)
    return list(points + steps * (rng.uniform(size=(count, 2)) - 0.5))


def _qq(times: Sample, mapping: Any) -> tuple[float, float]:
    """The greatest relative difference between a quantile of the fit and that of the sample, and its share."""
    order, survival = _survival(times)
    below = 1.0 - survival
    reached = QQ_SHARES[(below[-1] >= QQ_SHARES) & (np.minimum(QQ_SHARES, 1 - QQ_SHARES) * len(times) >= 2.0)]
    if not len(reached):
        return 0.0, 0.5
    at = order[np.searchsorted(below, reached)]
    fitted = np.array(_quantiles(_TIME.validate_python(mapping), reached))
    apart = fitted / np.maximum(np.clip(fitted, times.low[at], times.high[at]), 1e-9) - 1.0
    worst = int(np.argmax(np.abs(apart)))
    return float(apart[worst]), float(reached[worst])


def candidates(size: int) -> list[Family]:
    """Families that so many times can tell apart."""
    if size < FEW:
        return [LOGNORMAL]
    return [LOGNORMAL, SHIFTED, GAMMA, WEIBULL, *([MIXTURE] if size >= ENOUGH_FOR_TWO else [])]


def _search(family: Family, times: Sample, starts: Sequence[Floats], tolerance: float) -> tuple[Floats, float]:
    from scipy.optimize import minimize

    if family is LOGNORMAL and times.exact.all():
        middle, spread = _moments(times)
        point = np.array([middle, math.log(spread)])
        return point, family.log_likelihood(point, times)
    best: tuple[Floats, float] | None = None
    furthest = math.log(BEYOND * max(float(times.low.max()), 1e-9))

    def cost(point: Floats) -> float:
        beyond = 0.0
        if family is MIXTURE:
            over = np.maximum(np.append(point[1::2] - furthest, point[2::2] - math.log(WIDEST)), 0.0)
            beyond = 1e3 * float(over @ over)
        return beyond - family.log_likelihood(point, times)

    for start in starts:
        found = minimize(
            cost,
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-3, "fatol": max(tolerance, 1e-9 * len(times)), "maxiter": 400 * len(start)},
        )
        if best is None or -found.fun > best[1]:
            best = (np.asarray(found.x), -float(found.fun))
    assert best is not None
    return best


def ends_90(draws: Any) -> Floats:
    """Ends of the 90 % interval that draws (rows) show, shape ``(2, ...)``.

    They have the ranks 0.05 (n + 1) and 0.95 (n + 1), beyond which a further draw lies once in twenty (Hyndman & Fan,
    The American Statistician 50 (1996), definition 6). Quantiles of the draws themselves lie further inside: of 100
    draws 12 % of further ones would be outside.
    """
    return np.asarray(np.quantile(draws, [0.05, 0.95], axis=0, method="weibull"))


def _figures(
    mapping: Any, draws: Sequence[Any], of: Callable[[Any], list[float]]
) -> dict[str, tuple[float, float, float]]:
    """Quantiles and mean with their bootstrap intervals."""
    values = of(mapping)
    low, high = ends_90([of(one) for one in draws] or [values])
    return {name: (values[i], float(low[i]), float(high[i])) for i, name in enumerate((*QUANTILES, "mean"))}


def _of_time(mapping: Any) -> list[float]:
    distribution = _TIME.validate_python(mapping)
    return [*_quantiles(distribution, np.array(list(QUANTILES.values()))), distribution.mean_s()]


def _of_values(values: Floats) -> list[float]:
    return [*np.quantile(values, list(QUANTILES.values())).tolist(), float(values.mean())]


def _quantiles(distribution: Any, shares: Floats) -> list[float]:
    # A mixture's ppf is not monotone in u, so quantiles are those of many equally likely values.
    grid = (np.arange(4000) + 0.5) / 4000
    return [float(value) for value in np.quantile(distribution.ppf(grid), shares)]


def _empirical(
    known: Sample,
    times: Sample,
    bic: dict[str, float],
    rng: np.random.Generator,
    bootstraps: int,
    resampled: Sequence[Sample] | None,
) -> Fit:
    values = np.sort(known.middle)
    if resampled is None:
        several = list(values[rng.integers(len(values), size=(bootstraps, len(values)))])
    else:
        several = [one.middle[~np.isinf(one.high)] for one in resampled]
    figures = _figures(values, several, _of_values)
    if len(values) > MOST_VALUES:
        values = np.quantile(values, (np.arange(MOST_VALUES) + 0.5) / MOST_VALUES)
    time = {"distribution": "empirical", "values": [round(float(value), 4) for value in values]}
    return Fit("empirical", time, times, bic, figures=figures)


def _survival(times: Sample) -> tuple[NDArray[np.intp], Floats]:
    """The order of the times and the share that is longer than each (Kaplan and Meier's where times broke off)."""
    order = np.argsort(np.where(np.isinf(times.high), times.low, times.high), kind="stable")
    broken = np.isinf(times.high)[order]
    at_risk = len(order) - np.arange(len(order))
    return order, np.asarray(np.cumprod(np.where(broken, 1.0, 1.0 - 1.0 / at_risk)))


def _distance(times: Sample, cdf: Callable[[Floats], Floats]) -> float:
    """Greatest distance between the fit and the sample's distribution."""
    order, survival = _survival(times)
    broken = np.isinf(times.high)[order]
    upper, lower = times.high[order][~broken], times.low[order][~broken]
    above = 1.0 - survival[~broken]
    before = np.concatenate(([0.0], above[:-1]))
    # Rounded times step at the end of their interval; the fit there has passed all of it.
    steps = np.concatenate((upper[1:] != upper[:-1], [True])) if len(upper) else np.zeros(0, bool)
    begins = np.concatenate(([True], steps[:-1])) if len(upper) else steps
    gaps = np.concatenate((np.abs(cdf(upper[steps]) - above[steps]), np.abs(cdf(lower[begins]) - before[begins])))
    return float(gaps.max(initial=0.0))


# --- the families -----------------------------------------------------------------------------------------------------


def _moments(times: Sample) -> tuple[float, float]:
    """Mean and spread of the logarithms, times that broke off taken as they stand."""
    logs = np.log(np.maximum(times.middle, 1e-9))
    return float(logs.mean()), max(float(logs.std()), LEAST_SIGMA)


def _lognormal_cdf(times: Floats, point: Floats) -> Floats:
    from scipy.special import ndtr

    with np.errstate(divide="ignore"):
        return np.asarray(ndtr((np.log(times) - point[0]) / _sigma(point[1])))


def _lognormal_density(times: Floats, point: Floats) -> Floats:
    sigma = _sigma(point[1])
    logs = np.log(np.maximum(times, 1e-12))
    return np.asarray(-0.5 * ((logs - point[0]) / sigma) ** 2 - logs - math.log(sigma) - 0.5 * math.log(2.0 * math.pi))


def _sigma(logarithm: float) -> float:
    return max(math.exp(min(logarithm, 2.0)), LEAST_SIGMA)


LOGNORMAL = Family(
    "lognormal",
    lambda times: [np.array([_moments(times)[0], math.log(_moments(times)[1])])],
    _lognormal_cdf,
    _lognormal_density,
    lambda point: {"distribution": "lognormal", "median": math.exp(point[0]), "sigma": _sigma(point[1])},
)


def _shifted(times: Sample) -> list[Floats]:
    """Starts at two shifts.

    The likelihood grows without bound as the shift nears the least time. Half of the mean gap below it is as near as a
    sample can tell; the point's last number, fixed by a starting value, is not searched beyond it.
    """
    least, middle = float(times.low.min()), float(np.median(times.middle))
    starts = []
    for share in (0.5, 0.9):
        shift = share * least
        logs = np.log(np.maximum(times.middle - shift, 1e-3 * (middle - shift) + 1e-9))
        starts.append(np.array([math.log(shift + 1e-9), float(logs.mean()), math.log(max(float(logs.std()), 0.01))]))
    return starts


def _beyond(point: Floats) -> float:
    return math.exp(min(float(point[0]), 50.0))


def _shifted_density(times: Floats, point: Floats) -> Floats:
    above = times - _beyond(point)
    least = float(times.min()) if len(times) else 0.0
    spacing = (float(np.median(times)) - least) / max(len(times), 1)
    if len(times) and _beyond(point) > least - 0.5 * spacing:
        return np.full(len(times), -1e6)
    return _lognormal_density(above, point[1:])


SHIFTED = Family(
    "shifted-lognormal",
    _shifted,
    lambda times, point: _lognormal_cdf(np.maximum(times - _beyond(point), 0.0), point[1:]),
    _shifted_density,
    lambda point: {
        "distribution": "shifted-lognormal",
        "shift": _beyond(point),
        "median": math.exp(point[1]),
        "sigma": _sigma(point[2]),
    },
)


def _shape(point: Floats) -> float:
    """A gamma distribution's shape; the point has the logarithm of its coefficient of variation."""
    return math.exp(-2.0 * min(max(float(point[1]), -6.0), 3.0))


def _gamma_cdf(times: Floats, point: Floats) -> Floats:
    from scipy.special import gammainc

    shape = _shape(point)
    return np.asarray(gammainc(shape, times * (shape / math.exp(point[0]))))


def _gamma_density(times: Floats, point: Floats) -> Floats:
    shape = _shape(point)
    rate = shape / math.exp(point[0])
    logs = np.log(np.maximum(times, 1e-12))
    return np.asarray(shape * math.log(rate) - math.lgamma(shape) + (shape - 1.0) * logs - rate * times)


GAMMA = Family(
    "gamma",
    lambda times: [np.array([math.log(float(times.middle.mean())), math.log(_moments(times)[1])])],
    _gamma_cdf,
    _gamma_density,
    lambda point: {"distribution": "gamma", "mean": math.exp(point[0]), "cv": _shape(point) ** -0.5},
)


def _weibull_shape(point: Floats) -> float:
    return math.exp(min(max(float(point[1]), -2.9), 4.5))


def _weibull_cdf(times: Floats, point: Floats) -> Floats:
    return np.asarray(-np.expm1(-np.power(times / math.exp(point[0]), _weibull_shape(point))))


def _weibull_density(times: Floats, point: Floats) -> Floats:
    shape = _weibull_shape(point)
    scaled = np.log(np.maximum(times, 1e-12)) - point[0]
    return np.asarray(math.log(shape) - point[0] + (shape - 1.0) * scaled - np.exp(np.minimum(shape * scaled, 700.0)))


WEIBULL = Family(
    "weibull",
    lambda times: [np.array([_moments(times)[0] + 0.3 * _moments(times)[1], math.log(1.2 / _moments(times)[1])])],
    _weibull_cdf,
    _weibull_density,
    lambda point: {"distribution": "weibull", "scale": math.exp(point[0]), "shape": _weibull_shape(point)},
)


def _weights(point: Floats) -> tuple[float, float]:
    first = 1.0 / (1.0 + math.exp(-min(max(float(point[0]), -6.0), 6.0)))
    return first, 1.0 - first


def _mixture_starts(times: Sample) -> list[Floats]:
    """Starts that part the sorted times at a quarter, a half and three quarters."""
    logs = np.sort(np.log(np.maximum(times.middle, 1e-9)))
    starts = []
    for share in (0.25, 0.5, 0.75):
        cut = max(2, int(share * len(logs)))
        low, high = logs[:cut], logs[cut:]
        starts.append(
            np.array([
                math.log(share / (1.0 - share)),
                low.mean(), math.log(max(low.std(), 0.02)),
                high.mean(), math.log(max(high.std(), 0.02)),
            ])
        )  # fmt: skip
    return starts


def _mixture_cdf(times: Floats, point: Floats) -> Floats:
    first, second = _weights(point)
    return first * _lognormal_cdf(times, point[1:3]) + second * _lognormal_cdf(times, point[3:5])


def _mixture_density(times: Floats, point: Floats) -> Floats:
    first, second = _weights(point)
    # Below a hundredth a component would settle on a few equal times.
    if min(_sigma(point[2]), _sigma(point[4])) < 0.01:
        return np.full(len(times), -1e6)
    one = math.log(first) + _lognormal_density(times, point[1:3])
    other = math.log(second) + _lognormal_density(times, point[3:5])
    return np.asarray(np.logaddexp(one, other))


def _mixture_mapping(point: Floats) -> dict[str, Any]:
    parts = [
        {"weight": weight, "distribution": "lognormal", "median": math.exp(middle), "sigma": _sigma(spread)}
        for weight, middle, spread in zip(_weights(point), point[1::2], point[2::2], strict=True)
    ]
    return {"distribution": "mixture", "components": sorted(parts, key=lambda one: one["median"])}


MIXTURE = Family("mixture", _mixture_starts, _mixture_cdf, _mixture_density, _mixture_mapping)

_BY_NAME = {one.name: one for one in (LOGNORMAL, SHIFTED, GAMMA, WEIBULL, MIXTURE)}
