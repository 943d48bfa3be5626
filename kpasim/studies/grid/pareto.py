"""Choosing among many settings: what is on the Pareto front, what can be told apart, what an axis does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpasim.spec.quantities import duration_text, seconds

CONFIDENCE = 0.95
"""Confidence of intervals of differences."""
MOST_LEVELS = 8
"""Levels of an axis; more values than that are put together."""

Floats = NDArray[np.float64]


class Difference(NamedTuple):
    """What separates two settings that met the same random numbers.

    Attributes:
        median: Median of the replications' differences, NaN where there are none.
        low: Lower end of its interval.
        high: Upper end.
    """

    median: float
    low: float
    high: float

    @property
    def separated(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def front(
    costs: Floats, latencies: Floats, allowed: NDArray[np.bool_], changes: NDArray[np.int64] | None = None
) -> list[int]:
    """Places on the Pareto front: nothing allowed costs no more and is as quick.

    Args:
        costs: One number per setting; NaN is never on the front.
        latencies: The same.
        allowed: Which settings count.
        changes: What decides between equal ones, the less the better.

    Returns:
        Places in ascending order of cost; of equal ones the one with fewest changes, and of those the first.
    """
    usable = np.flatnonzero(allowed & ~np.isnan(costs) & ~np.isnan(latencies))
    ties = np.zeros(len(costs)) if changes is None else changes
    order = usable[np.lexsort((usable, ties[usable], latencies[usable], costs[usable]))]
    found: list[int] = []
    for place in order.tolist():
        if not found or latencies[place] < latencies[found[-1]]:
            found.append(place)
    return found


def difference(one: Floats, other: Floats) -> Difference:
    """Median of the paired differences ``one - other`` with an interval that assumes no distribution.

    The ends are order statistics; the interval holds the median with at least 95 % confidence. Fewer than 6
    replications cannot promise that: then it has no ends.

    Args:
        one: Values of one setting by replication, NaN where a replication has none.
        other: Values of the other setting, by the same replications.

    Source:
        The confidence interval of the sign test, binomial with p = 1/2.
    """
    pairs = one - other
    pairs = np.sort(pairs[~np.isnan(pairs)])
    if len(pairs) == 0:
        return Difference(math.nan, -math.inf, math.inf)
    below = sign_rank(len(pairs))
    if below == 0:
        return Difference(float(np.median(pairs)), -math.inf, math.inf)
    return Difference(float(np.median(pairs)), float(pairs[below - 1]), float(pairs[-below]))


@cache
def sign_rank(n: int) -> int:
    """Rank, from 1, of the lower end of the sign test's interval among n values; 0 where n is too small."""
    # Counted rather than asked of scipy.stats, which takes half a second to import.
    least = Fraction((1 - CONFIDENCE) / 2) * 2**n
    rank, ways, ways_so_far = 0, 1, 1
    while ways_so_far < least:
        rank += 1
        ways = ways * (n - rank + 1) // rank
        ways_so_far += ways
    return rank


def effect(values: Sequence[Any], outcomes: dict[str, Floats]) -> dict[str, Any]:
    """What one axis does by itself, averaged over everything else that varies.

    Args:
        values: The axis' value in each setting.
        outcomes: Named numbers of each setting, NaN where it has none.

    Returns:
        ``levels``: each value (or, of many numbers, the middle of each group) with the means of the outcomes and the
        number of settings; ``share``: for each outcome the part of its variance that differences between the levels
        make, 0 to 1.
    """
    groups = levels(values)
    rows = []
    shares: dict[str, float | None] = {}
    for label, places in groups:
        means = {name: _mean(outcome[places]) for name, outcome in outcomes.items()}
        rows.append({"value": label, "settings": len(places), **means})
    for name, outcome in outcomes.items():
        there = outcome[~np.isnan(outcome)]
        whole = float(np.var(there)) * len(there) if len(there) else 0.0
        between = 0.0
        for _, places in groups:
            group = outcome[places]
            group = group[~np.isnan(group)]
            if len(group):
                between += len(group) * (float(np.mean(group)) - float(np.mean(there))) ** 2
        shares[name] = between / whole if whole > 0 else None
    return {"share": shares, "levels": rows}


def levels(values: Sequence[Any]) -> list[tuple[Any, NDArray[np.int64]]]:
    """Groups of settings by their value of one axis: numbers and durations in ascending order, texts as they appear.

    Many numbers or durations are put into groups of one size, each called by its middle.
    """
    sizes = _sizes(values)
    if sizes is None or len(set(values)) <= MOST_LEVELS:
        order = range(len(values)) if sizes is None else np.argsort(sizes, kind="stable").tolist()
        distinct = list(dict.fromkeys(values[place] for place in order))
        return [(one, np.array([i for i, value in enumerate(values) if value == one])) for one in distinct]
    groups = np.array_split(np.argsort(sizes, kind="stable"), MOST_LEVELS)
    middles = [float(np.median(sizes[places])) for places in groups]
    named = middles if isinstance(values[0], int | float) else [duration_text(round(middle)) for middle in middles]
    return list(zip(named, groups, strict=True))


def _sizes(values: Sequence[Any]) -> Floats | None:
    """Values as numbers, durations in seconds; None where one is neither."""
    if all(isinstance(value, int | float) for value in values):
        return np.array(values, dtype=np.float64)
    try:
        return np.array([seconds(value) for value in values])
    except (ValueError, TypeError):
        return None


def _mean(values: Floats) -> float | None:
    values = values[~np.isnan(values)]
    return float(np.mean(values)) if len(values) else None
