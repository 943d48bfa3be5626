"""Choosing among many settings: the Pareto front, and the effect of each axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.spec.quantities import duration_text, seconds

MOST_LEVELS = 8
"""Levels of an axis; more values than that are put together."""

Floats = NDArray[np.float64]


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
