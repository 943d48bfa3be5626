"""Request rates that change over time, as what they add up to and the way back.

With ``R(t)`` the requests expected until ``t``, a Poisson process of any rate is ``R``'s inverse of one of rate 1. So
workloads of different rates under one seed are one and the same process, stretched.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from kpasim.arrays import Floats

Uniforms = Callable[[int, int], Floats]
"""``uniforms(count, first)``: uniform numbers ``first .. first + count - 1`` in (0, 1)."""

ROUNDING = 1e-9
"""Requests by which sums of rates may be off."""
AT_ONCE = 1 << 16
"""Times that are worked out together."""
_STEPS = 60
_PRECISION = 1e-14


class Rate(Protocol):
    """A request rate over a stretch of time that begins at 0.

    Attributes:
        total: Requests expected in all.
    """

    @property
    def total(self) -> float:
        """Requests expected in all."""

    def when(self, expected: Floats) -> Floats:
        """Times [s] at which so many requests are expected to have come: numbers in [0, total], in any order."""


class Steps(NamedTuple):
    """Stretches of constant rate; at a rate of 0 nothing comes.

    Attributes:
        rates: Requests per second, one for each stretch.
        lengths_s: How long each lasts.
    """

    rates: Sequence[float]
    lengths_s: Sequence[float]

    @property
    def total(self) -> float:
        return float(np.dot(self.rates, self.lengths_s))

    def when(self, expected: Floats) -> Floats:
        rates = np.asarray(self.rates, dtype=np.float64)
        ends_s = np.cumsum(self.lengths_s)
        until = np.cumsum(rates * np.asarray(self.lengths_s, dtype=np.float64))
        begin_s, before = ends_s - self.lengths_s, until - rates * self.lengths_s
        times = np.empty(len(expected))
        # Some at a time, in memory that is used again: a long load has ten million.
        for some in (slice(first, first + AT_ONCE) for first in range(0, len(expected), AT_ONCE)):
            numbers = expected[some]
            # Where a pause begins just when the number is reached, the time is before the pause.
            place = np.minimum(np.searchsorted(until, numbers - ROUNDING, side="left"), len(rates) - 1)
            with np.errstate(divide="ignore", invalid="ignore"):
                times[some] = begin_s[place] + (numbers - before[place]) / rates[place]
            times[some] = np.clip(np.nan_to_num(times[some]), begin_s[place], ends_s[place])
        return times


class Ramp(NamedTuple):
    """A rate on a straight line.

    Attributes:
        first: Requests per second at the beginning.
        last: Requests per second at the end.
        length_s: Duration of the phase.
    """

    first: float
    last: float
    length_s: float

    @property
    def total(self) -> float:
        return 0.5 * (self.first + self.last) * self.length_s

    def when(self, expected: Floats) -> Floats:
        # In units of a power of two near the greater rate, so that the squares of very small rates are not lost.
        unit = 2.0 ** math.frexp(max(self.first, self.last))[1]
        first, last, expected = self.first / unit, self.last / unit, expected / unit
        slope = (last - first) / self.length_s
        root = np.sqrt(np.maximum(first * first + 2.0 * slope * expected, 0.0))
        # The usual formula, turned round so that nothing cancels where the slope is small.
        times = 2.0 * expected / np.maximum(first + root, np.finfo(np.float64).tiny)
        return np.asarray(np.clip(times, 0.0, self.length_s), dtype=np.float64)


class Wave(NamedTuple):
    """A rate that swings: ``mean * (1 + amplitude * sin(2 pi (t + phase) / period))``.

    Attributes:
        mean: Mean requests per second.
        amplitude: Swing as a share of the mean.
        period_s: From one peak to the next.
        phase_s: Where in the period it begins.
        length_s: Duration of the phase.
    """

    mean: float
    amplitude: float
    period_s: float
    phase_s: float
    length_s: float

    @property
    def _turn(self) -> float:
        """Radians per second."""
        return 2.0 * math.pi / self.period_s

    @property
    def total(self) -> float:
        turn = self._turn
        swing = math.cos(turn * self.phase_s) - math.cos(turn * (self.length_s + self.phase_s))
        return self.mean * (self.length_s + self.amplitude / turn * swing)

    def when(self, expected: Floats) -> Floats:
        """See `Rate`.

        The equation is Kepler's, with the amplitude for the eccentricity. Newton's steps solve it; where one would
        leave the interval that is known to hold the answer, as where the rate is 0, the interval is halved.
        """
        turn, start = self._turn, self._turn * self.phase_s
        shift = 0.5 * math.pi + start - self.amplitude * math.cos(start)
        anomaly = np.asarray(expected, dtype=np.float64) * (turn / self.mean) + shift
        # The answer is within the amplitude; a wider interval lets Newton step beyond it first.
        low, high = anomaly - 2.0, anomaly + 2.0
        angle = anomaly
        for _ in range(_STEPS):
            excess = angle - self.amplitude * np.sin(angle) - anomaly
            if np.all(np.abs(excess) <= _PRECISION * np.abs(anomaly)):
                break
            low, high = np.where(excess < 0.0, angle, low), np.where(excess < 0.0, high, angle)
            with np.errstate(divide="ignore", invalid="ignore"):
                newton = angle - excess / (1.0 - self.amplitude * np.cos(angle))
            angle = np.where((newton >= low) & (newton <= high), newton, 0.5 * (low + high))
        times = (angle - 0.5 * math.pi - start) / turn
        return np.asarray(np.clip(times, 0.0, self.length_s), dtype=np.float64)


def events(rate: Rate, uniforms: Uniforms, *, poisson: bool) -> Floats:
    """Times [s] of events of this rate, at random or at equal distances in what is expected."""
    total = rate.total
    if not poisson:
        return rate.when(np.arange(1.0, math.floor(total + ROUNDING) + 1.0))
    expected = _ascending(total, uniforms)
    return rate.when(expected[expected < total])


def _ascending(until: float, uniforms: Uniforms) -> Floats:
    """Sums of exponential numbers of mean 1, at least up to ``until``."""
    count = most(until)
    while True:
        sums = np.negative(uniforms(count, 0))
        np.log1p(sums, out=sums)
        np.negative(sums, out=sums)
        np.cumsum(sums, out=sums)
        if sums[-1] >= until:
            return np.asarray(sums, dtype=np.float64)
        count *= 2


def most(mean: float) -> int:
    """More than a Poisson number of this mean ever is."""
    return math.ceil(mean + 9.0 * math.sqrt(mean) + 30.0)
