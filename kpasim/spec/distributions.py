"""Distributions of times: what a file says, and its inverse, with which an engine turns uniform numbers into seconds.

A bare duration is a constant. Everything else names its `distribution`:

    time: 11s
    time: {distribution: lognormal, median: 11s, sigma: 0.4}
    time: {distribution: mixture, components: [{weight: 0.36, distribution: lognormal, median: 3s, sigma: 0.33}, ...]}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from kpasim.arrays import Floats, Ints
from kpasim.spec.base import Positive, Spec, wrong
from kpasim.spec.quantities import PositiveSeconds, Seconds

_SMALLEST = 2.0**-54
_LARGEST_EXPONENT = 20.0
_LARGEST = 1.0 - 2.0**-53


def _inside(u: Floats) -> Floats:
    """Uniform numbers strictly between 0 and 1, so that no inverse is infinite."""
    return np.clip(np.asarray(u, dtype=np.float64), _SMALLEST, _LARGEST)


class Distribution(Spec):
    """A distribution of a time that is never negative."""

    def ppf(self, u: Floats) -> Floats:
        """Seconds for numbers in [0, 1]: the inverse of the cumulative distribution, element by element."""
        raise NotImplementedError

    @classmethod
    def ppf_of_each(cls, each: Sequence[Self], u: Floats, row: Ints) -> Floats:
        """Seconds by several distributions of this class, the same as each one's `ppf` gives; see `ppf_of_each`."""
        found = np.empty(u.shape)
        mine = np.broadcast_to(row, u.shape)
        for place, one in enumerate(each):
            found[mine == place] = one.ppf(u[mine == place])
        return found

    def mean_s(self) -> float:
        """Mean, in seconds."""
        raise NotImplementedError


def ppf_of_each(each: Sequence[Distribution], u: Floats, row: Ints) -> Floats:
    """Seconds for numbers ``u`` in [0, 1] of any shape, by the distribution of ``each`` at the place ``row`` names.

    The shape of ``row`` broadcasts to that of ``u``.
    """
    if len(each) == 1:
        return each[0].ppf(u)
    kinds = {type(one) for one in each}
    together = kinds.pop() if len(kinds) == 1 else Distribution
    return together.ppf_of_each(each, u, row)


class Constant(Distribution):
    """Always the same time."""

    distribution: Literal["constant"] = "constant"
    """`constant`; the same as a bare duration."""
    time_s: Seconds
    """The time."""

    def ppf(self, u: Floats) -> Floats:
        return np.full(np.shape(u), self.time_s)

    def mean_s(self) -> float:
        return self.time_s


class Uniform(Distribution):
    """Every time between two bounds is equally likely."""

    distribution: Literal["uniform"]
    low_s: Seconds
    """Shortest time."""
    high_s: Seconds
    """Longest time."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high_s < self.low_s:
            raise wrong("high is below low (high must be at least low)")
        return self

    def ppf(self, u: Floats) -> Floats:
        return self.low_s + (self.high_s - self.low_s) * np.asarray(u, dtype=np.float64)

    def mean_s(self) -> float:
        return 0.5 * (self.low_s + self.high_s)


class Exponential(Distribution):
    """Memoryless times."""

    distribution: Literal["exponential"]
    mean_value_s: PositiveSeconds = Field(alias="mean")
    """Mean time."""

    def ppf(self, u: Floats) -> Floats:
        return -self.mean_value_s * np.log1p(-_inside(u))

    def mean_s(self) -> float:
        return self.mean_value_s


class _ByLogarithm(Distribution):
    """A minimum time, and times whose logarithm is normal above it."""

    def parameters(self) -> tuple[float, float, float]:
        """Minimum and, of the part above it, median in seconds and sigma."""
        raise NotImplementedError

    def ppf(self, u: Floats) -> Floats:
        shift_s, median_s, sigma = self.parameters()
        return shift_s + _lognormal(u, median_s, sigma)

    @classmethod
    def ppf_of_each(cls, each: Sequence[Self], u: Floats, row: Ints) -> Floats:
        shift_s, median_s, sigma = np.array([one.parameters() for one in each]).T
        return np.asarray(shift_s[row] + _lognormal(u, median_s[row], sigma[row]))

    def mean_s(self) -> float:
        shift_s, median_s, sigma = self.parameters()
        return shift_s + median_s * math.exp(0.5 * sigma * sigma)


class Lognormal(_ByLogarithm):
    """Times whose logarithm is normal; give `median` and `sigma`, or `mean` and `cv`."""

    distribution: Literal["lognormal"]
    median_s: PositiveSeconds | None = None
    """Median time."""
    sigma: Annotated[float, Field(strict=True, ge=0, le=10)] | None = None
    """Standard deviation of the logarithm of the time."""
    mean_value_s: PositiveSeconds | None = Field(default=None, alias="mean")
    """Mean time."""
    cv: Annotated[float, Field(strict=True, ge=0, le=1000)] | None = None
    """Standard deviation of the time divided by its mean."""

    @model_validator(mode="after")
    def _one_pair(self) -> Self:
        pairs = {"median": self.median_s, "sigma": self.sigma, "mean": self.mean_value_s, "cv": self.cv}
        given = [name for name, value in pairs.items() if value is not None]
        if given not in (["median", "sigma"], ["mean", "cv"]):
            raise wrong(f"has {' and '.join(given) or 'no parameters'} (give median and sigma, or mean and cv)")
        return self

    def parameters(self) -> tuple[float, float, float]:
        if self.mean_value_s is None or self.cv is None:
            return 0.0, float(self.median_s or 0.0), float(self.sigma or 0.0)
        square = 1.0 + self.cv * self.cv
        return 0.0, self.mean_value_s / math.sqrt(square), math.sqrt(math.log(square))


class ShiftedLognormal(_ByLogarithm):
    """A minimum time plus a lognormal part: no time is shorter than `shift`."""

    distribution: Literal["shifted-lognormal"]
    shift_s: Seconds
    """Minimum time."""
    median_s: PositiveSeconds
    """Median of the part above the shift."""
    sigma: Annotated[float, Field(strict=True, ge=0, le=10)]
    """Standard deviation of the logarithm of the part above the shift."""

    def parameters(self) -> tuple[float, float, float]:
        return self.shift_s, self.median_s, self.sigma


class Gamma(Distribution):
    """Gamma times, as of a sum of memoryless steps."""

    distribution: Literal["gamma"]
    mean_value_s: PositiveSeconds = Field(alias="mean")
    """Mean time."""
    cv: Annotated[float, Field(strict=True, gt=0, le=100)]
    """Standard deviation of the time divided by its mean; 1 is the exponential distribution."""

    def ppf(self, u: Floats) -> Floats:
        from scipy.special import gammaincinv

        shape = 1.0 / (self.cv * self.cv)
        return np.asarray(gammaincinv(shape, _inside(u)) * (self.mean_value_s / shape), dtype=np.float64)

    def mean_s(self) -> float:
        return self.mean_value_s


class Weibull(Distribution):
    """Weibull times: a shape below 1 has a long tail, above 1 a short one."""

    distribution: Literal["weibull"]
    scale_s: PositiveSeconds
    """Time that 63 % stay below."""
    shape: Annotated[float, Field(strict=True, ge=0.05, le=100)]
    """Shape; 1 is the exponential distribution."""

    def ppf(self, u: Floats) -> Floats:
        return self.scale_s * np.power(-np.log1p(-_inside(u)), 1.0 / self.shape)

    def mean_s(self) -> float:
        return self.scale_s * math.gamma(1.0 + 1.0 / self.shape)


class Empirical(Distribution):
    """Measured times: `values` are drawn as they are, `quantiles` are joined by straight lines."""

    distribution: Literal["empirical"]
    values: tuple[Seconds, ...] | None = Field(default=None, min_length=1, max_length=100_000)
    """Times, each as likely as the others, in any order."""
    quantiles: tuple[Seconds, ...] | None = Field(default=None, min_length=2, max_length=100_000)
    """Quantiles at 0, 1/(n-1), ..., 1, in ascending order."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.values is None) == (self.quantiles is None):
            raise wrong("needs values or quantiles (exactly one of them)")
        if self.quantiles is not None and list(self.quantiles) != sorted(self.quantiles):
            raise wrong("quantiles do not ascend (write the smallest first)")
        return self

    def ppf(self, u: Floats) -> Floats:
        """The smallest value whose share reaches `u`, or the interpolated quantile."""
        u = np.asarray(u, dtype=np.float64)
        if self.quantiles is not None:
            shares = np.linspace(0.0, 1.0, len(self.quantiles))
            return np.asarray(np.interp(u, shares, self.quantiles), dtype=np.float64)
        values = np.sort(np.asarray(self.values, dtype=np.float64))
        rank = np.ceil(u * len(values)).astype(np.int64) - 1
        return np.asarray(values[np.clip(rank, 0, len(values) - 1)], dtype=np.float64)

    def mean_s(self) -> float:
        if self.quantiles is not None:
            inner = np.asarray(self.quantiles)
            return float(np.mean(0.5 * (inner[1:] + inner[:-1])))
        return float(np.mean(np.asarray(self.values)))


class Mixture(Distribution):
    """A mixture of distributions, such as cache hits and misses."""

    distribution: Literal["mixture"]
    components: tuple[Component, ...] = Field(min_length=1, max_length=100)
    """Components of the mixture."""

    def ppf(self, u: Floats) -> Floats:
        """Seconds for uniform numbers: the high digits choose the component, the rest is used in it.

        The result has the mixture's distribution, but is not monotone in `u`: it is not the inverse of the
        mixture's cumulative distribution, which has no closed form.
        """
        return self.ppf_of_each([self], np.asarray(u, dtype=np.float64), np.zeros((), dtype=np.int64))

    @classmethod
    def ppf_of_each(cls, each: Sequence[Self], u: Floats, row: Ints) -> Floats:
        if len({len(one.components) for one in each}) > 1:
            return super().ppf_of_each(each, u, row)
        edges = np.array([one._edges() for one in each])
        chosen = np.zeros(u.shape, dtype=np.int64)
        for inner in range(1, edges.shape[1] - 1):
            chosen += u >= edges[row, inner]
        mine = np.broadcast_to(row, u.shape)
        out = np.empty(u.shape)
        for index in range(edges.shape[1] - 1):
            here = chosen == index
            owner = mine[here]
            low, high = edges[owner, index], edges[owner, index + 1]
            times = [one.components[index].time for one in each]
            out[here] = ppf_of_each(times, np.clip((u[here] - low) / (high - low), 0.0, 1.0), owner)
        return out

    def _edges(self) -> Floats:
        """Where each component's part of the numbers begins, and the end of the last."""
        weights = np.array([component.weight for component in self.components])
        edges = np.concatenate(([0.0], np.cumsum(weights / weights.sum())))
        edges[-1] = 1.0
        return edges

    def mean_s(self) -> float:
        total = sum(component.weight for component in self.components)
        return sum(component.weight * component.time.mean_s() for component in self.components) / total


class Component(Spec):
    """A component of a mixture: its weight beside the keys of its distribution."""

    weight: Positive
    """Weight of the component, relative to the sum of all weights."""
    time: Time
    """The distribution; its keys may also be given beside `weight`."""

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "time" not in data and "distribution" in data:
            rest = {key: value for key, value in data.items() if key != "weight"}
            return {"time": rest} | ({"weight": data["weight"]} if "weight" in data else {})
        return data


def _lognormal(u: Floats, median: float | Floats, sigma: float | Floats) -> Floats:
    # The exponential of a normal number with a large sigma exceeds what nanoseconds can hold.
    exponent = np.minimum(sigma * normal_quantile(_inside(u)), _LARGEST_EXPONENT)
    return np.asarray(median * np.exp(exponent), dtype=np.float64)


_CENTRAL = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip
_OUTER = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip


def normal_quantile(u: Floats) -> Floats:
    """Numbers of which a standard normal one is below with probability ``u``, to 16 digits.

    scipy has this too, but importing it takes a quarter of the time that a small run does.

    Source:
        M. J. Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37
        (1988), routine PPND16: three ratios of polynomials.
    """
    from_middle = u - 0.5
    result = from_middle * _ratio(_CENTRAL, 0.180625 - from_middle * from_middle)
    tails = np.abs(from_middle) > 0.425
    near = np.minimum(u[tails], 1.0 - u[tails])
    distance = np.sqrt(-np.log(near))
    size = np.where(distance <= 5.0, _ratio(_MIDDLE, distance - 1.6), _ratio(_OUTER, distance - 5.0))
    result[tails] = np.copysign(size, from_middle[tails])
    return np.asarray(result, dtype=np.float64)


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Floats) -> Floats:
    above, below = (np.full_like(x, polynomial[0]) for polynomial in coefficients)
    for one, other in zip(coefficients[0][1:], coefficients[1][1:], strict=True):
        above *= x
        above += one
        below *= x
        below += other
    return above / below


def _named(data: Any) -> Any:
    """A bare duration is a constant."""
    return data if isinstance(data, Mapping | Distribution) else {"distribution": "constant", "time": data}


_Distributions = Constant | Uniform | Exponential | Lognormal | ShiftedLognormal | Gamma | Weibull | Empirical | Mixture
Time = Annotated[Annotated[_Distributions, Field(discriminator="distribution")], BeforeValidator(_named)]
"""A duration, or a mapping that names its `distribution`."""

Component.model_rebuild()
Mixture.model_rebuild()
