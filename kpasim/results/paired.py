"""Is a difference between two settings more than chance? One rule for every command and page that compares.

Replications of two settings under the same seed and load meet the same random numbers: replication k of one is compared
with replication k of the other. The difference of the means has a t interval of 99 % confidence, and it is significant
where the interval leaves out zero. Where more than five figures are compared at once the confidence is higher, so that
of two identical settings at most 5 % are called different in any figure (Bonferroni).
"""

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from kpasim.arrays import Floats
from kpasim.results.student import t_quantile
from kpasim.results.summary import finite, rounded

CONFIDENCE = 0.99
"""Confidence of the interval of a difference."""
FALSE_ALARMS = 0.05
"""Share of comparisons of identical settings in which any figure is called different, at most."""
VISIBLE, POWER = 0.1, 0.9
"""Replications are enough where a difference of this share of the mean is found with this probability."""
NOISE = 1e-9
"""Differences below this share of the mean are rounding errors."""


class Difference(NamedTuple):
    """What separates two settings in one figure.

    Attributes:
        mean: Mean of the first minus mean of the second, NaN where no replication has the figure in both.
        low: Lower end of its interval, minus infinity where the replications are too few for one.
        high: Upper end, likewise.
        before: Mean of the second setting, over the same replications.
        replications: Replications that have the figure in both settings.
        needed: Replications that find a difference of 10 % with a probability of 90 %, by the spread seen here.
        confidence: Confidence of the interval.
        paired: Whether replication k was compared with replication k.
        same: Whether the figure was the same in every replication.
    """

    mean: float
    low: float
    high: float
    before: float
    replications: int
    needed: int
    confidence: float = CONFIDENCE
    paired: bool = True
    same: bool = False

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    @property
    def enough(self) -> bool:
        """Whether a difference of 10 % would most likely have been found."""
        return self.same or self.significant or self.replications >= self.needed

    @property
    def share(self) -> float:
        """The difference as a share of the second setting's mean, NaN where that is zero."""
        return self.mean / abs(self.before) if self.before else math.nan

    def to_dict(self, before: str, after: str) -> dict[str, Any]:
        """For machines, the means under these keys; ``None`` where it has no value."""
        return {
            before: finite(self.before, 6),
            after: finite(self.before + self.mean, 6),
            "difference": finite(self.mean, 6),
            "interval": [finite(self.low, 6), finite(self.high, 6)],
            "confidence": rounded(self.confidence, 4),
            "significant": self.significant,
            "verdict": self.verdict,
        }

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        if math.isnan(self.mean):
            return "no figure to compare"
        if self.same:
            return "the same in every replication"
        if self.significant:
            return "significant"
        if self.enough:
            return "no significant difference"
        return f"not known: needs about {self.needed:,} replications"


def difference(one: Floats, other: Floats, *, paired: bool = True, figures: int = 1) -> Difference:
    """The difference of the means ``one - other`` with its interval.

    Args:
        one: Values of a figure by replication, NaN where a replication lacks it.
        other: The same of the other setting.
        paired: Whether replication k of both met the same random numbers; otherwise the samples are independent.
        figures: Figures that are compared at the same time.

    Source:
        Paired t interval; Welch's interval for independent samples (B. L. Welch, Biometrika 34, 1947). Fewer
        replications than the sign-flip test needs to reject at all have no interval: t assumes too much of them.
        Replications that all differ by the same amount: E. B. Wilson, JASA 22, 1927.
        Sample size: normal approximation of the power of the t test.
    """
    confidence = 1.0 - min(1.0 - CONFIDENCE, FALSE_ALARMS / figures)
    if paired:
        n = min(len(one), len(other))
        one, other = one[:n], other[:n]
        there = np.isfinite(one) & np.isfinite(other)
        one, other = one[there], other[there]
    else:
        one, other = one[np.isfinite(one)], other[np.isfinite(other)]
    n = min(len(one), len(other))
    least = _least(confidence)
    if n == 0:
        return Difference(math.nan, -math.inf, math.inf, math.nan, 0, least, confidence, paired)
    before = float(np.mean(other))
    scale = max(abs(float(np.mean(one))), abs(before))
    if paired:
        pairs = one - other
        pairs[np.abs(pairs) <= NOISE * scale] = 0.0
        mean, differing = float(np.mean(pairs)), int(np.count_nonzero(pairs))
    else:
        mean, differing = float(np.mean(one)) - before, n if np.ptp(np.concatenate([one, other])) > NOISE * scale else 0
    if differing == 0:
        return Difference(0.0, 0.0, 0.0, before, n, least, confidence, paired, same=True)
    if n == 1:
        return Difference(mean, -math.inf, math.inf, before, n, least, confidence, paired)
    if paired:
        error, freedom, spread = float(np.std(pairs, ddof=1)) / math.sqrt(n), n - 1.0, float(np.var(pairs, ddof=1))
    else:
        error, freedom, spread = _welch(one, other)
    needed = max(least, _needed(spread, VISIBLE * scale, confidence))
    if n < least:
        return Difference(mean, -math.inf, math.inf, before, n, needed, confidence, paired)
    half = t_quantile(freedom, 0.5 + confidence / 2) * error
    low, high = mean - half, mean + half
    if error <= NOISE * scale:
        # Without any spread t would be certain. What n of n replications leave open is Wilson's interval of a share;
        # the others, if there are any, do not differ.
        share = n / (n + NormalDist().inv_cdf(0.5 + confidence / 2) ** 2)
        low, high = sorted((mean, share * mean))
    if differing < least:  # so few could all lie on one side by chance
        low, high = min(low, 0.0), max(high, 0.0)
    return Difference(mean, low, high, before, n, needed, confidence, paired)


def _welch(one: Floats, other: Floats) -> tuple[float, float, float]:
    """Standard error of a difference of independent means, its degrees of freedom, and the variance of one pair."""
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (one, other)]
    spread = float(np.var(one, ddof=1) + np.var(other, ddof=1))
    whole = sum(parts)
    if whole == 0.0:
        return 0.0, 1.0, 0.0
    below = sum(part**2 / (len(values) - 1) for part, values in zip(parts, (one, other), strict=True))
    return math.sqrt(whole), whole**2 / below, spread


def _needed(spread: float, visible: float, confidence: float) -> int:
    """Replications that find a difference ``visible``, rounded up to two digits."""
    normal = NormalDist()
    z = normal.inv_cdf(0.5 + confidence / 2) + normal.inv_cdf(POWER)
    count = math.ceil(z**2 * spread / visible**2) if visible else 0
    step = int(10 ** max(0, len(str(count)) - 2))
    return math.ceil(count / step) * step


@lru_cache
def _least(confidence: float) -> int:
    """Replications from which on the sign-flip test can reject: all differences on one side are unlikely enough."""
    return 1 + math.ceil(-math.log2(1.0 - confidence) - 1e-9)
