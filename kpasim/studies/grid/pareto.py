"""Choosing among many settings: the Pareto front, and the effect of each axis."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from kpasim.arrays import Bools, Floats, Ints
from kpasim.spec.quantities import duration_text, seconds

MOST_VALUES, MOST_LEVELS = 12, 8
"""Values of an axis that are shown one by one; more than that are put together into so many groups."""

NAN = float("nan")


def front(costs: Floats, latencies: Floats, allowed: Bools, changes: Ints | None = None) -> list[int]:
    """Places on the Pareto front: nothing allowed costs no more and is as quick.

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


def effect(
    values: Sequence[Any], outcomes: dict[str, Floats], others: Sequence[Sequence[Any]] = (), *, pairs: bool = True
) -> dict[str, Any]:
    """The effect of one axis: means at its values, as if every value stood beside the same values of the other axes.

    In a complete grid these are plain means. Where combinations are missing, the step from one value to the next is the
    mean difference of settings that differ in this axis only. A sample has no such settings: the axes' effects are then
    fitted together, as if they added up.

    Args:
        values: The axis' value in each setting.
        outcomes: Named numbers of each setting, NaN where it has none.
        others: For each other axis its value in each setting.
        pairs: Whether settings differ in this axis only, as in a grid.

    Returns:
        ``levels``: each value (or, of many numbers, the middle of each group) with the means of the outcomes, ``None``
        where it cannot be compared with the others, and the number of settings; ``share``: for each outcome the part of
        its variance that differences between the levels make, 0 to 1.
    """
    groups = levels(values)
    level = _numbered(groups, len(values))
    company = _combinations(others, len(values)) if pairs else np.zeros(len(values), dtype=np.int64)
    columns = [np.eye(len(parts))[_numbered(parts, len(values))] for parts in map(levels, others)] if not pairs else []
    beside = np.hstack(columns) if columns else None
    rows: list[dict[str, Any]] = [{"value": label, "settings": len(places)} for label, places in groups]
    shares: dict[str, float | None] = {}
    for name, outcome in outcomes.items():
        there = ~np.isnan(outcome)
        known, own = outcome[there], level[there]
        more = None if beside is None else beside[there]
        means = np.full(len(groups), NAN)
        if there.any():
            means = (
                _paired(own, len(groups), known, company[there]) if pairs else _fitted(own, len(groups), known, more)
            )
        for row, mean in zip(rows, means.tolist(), strict=True):
            row[name] = None if math.isnan(mean) else float(f"{mean:.10g}")
        whole = float(np.var(known)) * len(known) if there.any() else 0.0
        between = float(np.nansum((means[own] - np.mean(known)) ** 2)) if there.any() else 0.0
        shares[name] = min(1.0, float(f"{between / whole:.10g}")) if whole > 0 else None
    return {"share": shares, "levels": rows}


def _paired(level: Ints, count: int, outcome: Floats, company: Ints) -> Floats:
    """Mean outcome at each level by differences of pairs in the same company; NaN for levels that have no such pairs.

    Neighbouring levels are compared first. Levels that never share their company are compared by way of others.
    """
    cells = level * (company.max() + 1) + company
    size = count * (company.max() + 1)
    with np.errstate(invalid="ignore"):
        table = (np.bincount(cells, outcome, size) / np.bincount(cells, minlength=size)).reshape(count, -1)
    group, effects = np.arange(count), np.zeros(count)
    for low, high in sorted(combinations(range(count), 2), key=lambda pair: (pair[1] - pair[0], pair)):
        pairs = (table[high] - table[low])[~np.isnan(table[low]) & ~np.isnan(table[high])]
        if len(pairs) and group[low] != group[high]:
            moved = group == group[high]
            effects[moved] += effects[low] + np.mean(pairs) - effects[high]
            group[moved] = group[low]
    # Of several groups of levels, the one with most settings.
    sizes = np.bincount(group[level], minlength=count)
    together = group == np.argmax(sizes)
    known = together[level]
    effects += np.mean(outcome[known]) - np.mean(effects[level[known]])
    return np.where(together, effects, NAN)


def _fitted(level: Ints, count: int, outcome: Floats, beside: Floats | None) -> Floats:
    """Mean outcome at each level, as if the effects of all axes added up (least squares)."""
    columns = np.column_stack([np.eye(count)[level], outcome])
    columns -= columns.mean(axis=0)
    if beside is not None:
        beside = beside - beside.mean(axis=0)
        columns -= beside @ np.linalg.lstsq(beside, columns, rcond=None)[0]
    effects = np.linalg.lstsq(columns[:, :-1], columns[:, -1], rcond=1e-9)[0]
    there = np.bincount(level, minlength=count) > 0
    return np.where(there, effects + np.mean(outcome) - np.mean(effects[level]), NAN)


def _numbered(groups: Sequence[tuple[Any, Ints]], count: int) -> Ints:
    """Number of the group of each setting."""
    found = np.zeros(count, dtype=np.int64)
    for number, (_, places) in enumerate(groups):
        found[places] = number
    return found


def _combinations(others: Sequence[Sequence[Any]], count: int) -> Ints:
    """Number of the combination of the other axes' values of each setting."""
    known: dict[tuple[str, ...], int] = {}
    keys = zip(*([str(value) for value in axis] for axis in others), strict=True) if others else [()] * count
    return np.array([known.setdefault(key, len(known)) for key in keys])


def levels(values: Sequence[Any]) -> list[tuple[Any, Ints]]:
    """Groups of settings by their value of one axis: numbers and durations in ascending order, texts as they appear.

    Many numbers or durations are put into groups of one size, each called by its middle.
    """
    sizes = _sizes(values)
    if sizes is None or len(set(values)) <= MOST_VALUES:
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
