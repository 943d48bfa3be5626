"""Student's t distribution, by which intervals of means are made."""

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from kpasim.arrays import Floats

_POINTS = 2_001
"""Points of Simpson's rule, an odd number: with fewer the last digits differ."""


def half_width(values: Floats, share: float) -> Floats:
    """Half the length of the confidence interval of each mean along the last axis; ``NaN`` for single values.

    ``share`` is the one-sided confidence: 0.95 for an interval of 90 %.
    """
    n = values.shape[-1]
    if n < 2:
        return np.full(values.shape[:-1], np.nan)
    return np.asarray(t_quantile(n - 1, share) * np.std(values, axis=-1, ddof=1) / math.sqrt(n))


@lru_cache
def t_quantile(freedom: float, share: float) -> float:
    """The number that a t-distributed one stays below with a probability ``share`` of at least a half, to 10 digits.

    scipy has this too, but importing it takes a quarter of the time of a small run.

    Source:
        Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.1, with t = sqrt(freedom) tan(angle).
    """
    density = _ratio_of_gammas(freedom / 2) / math.sqrt(math.pi)
    weights = np.full(_POINTS, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    places = np.linspace(0.0, 1.0, _POINTS)
    # From below: the probability is concave in the angle, so that Newton's steps never go too far.
    angle = math.atan(NormalDist().inv_cdf(share) / math.sqrt(freedom))
    for _ in range(20):
        heights = np.exp(0.5 * (freedom - 1) * np.log1p(-(np.sin(angle * places) ** 2)))
        below = 0.5 + density * angle * float(weights @ heights) / (3 * (_POINTS - 1))
        angle += (share - below) / (density * float(heights[-1]))
    return math.sqrt(freedom) * math.tan(angle)


def _ratio_of_gammas(x: float) -> float:
    """Gamma(x + 1/2) / Gamma(x); logarithms of both would lose digits, the more the larger ``x`` is.

    Source:
        Tricomi and Erdelyi, "The asymptotic expansion of a ratio of gamma functions", Pacific J. Math. 1 (1951), for
        ``x + 20``, from where both functions' recurrence leads back.
    """
    back = math.prod((x + i) / (x + i + 0.5) for i in range(20))
    x += 20.0
    return back * math.sqrt(x) * math.exp(-1 / (8 * x) + 1 / (192 * x**3) - 1 / (640 * x**5))
