"""Targets of scrapes: when each was scraped, and how often."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from kpasim.arrays import Floats
from kpasim.records.prometheus import names
from kpasim.records.prometheus.observation import ROLES, Series, Target

HOLD = 1.5
"""A sample stands for at most so many scrape intervals; a longer distance is a gap."""


def scrapes(series: Sequence[Series]) -> dict[Target, Floats]:
    """Times at which each target was scraped with success, from its longest series."""
    result: dict[Target, Floats] = {}
    for one in series:
        there = one.values == 1 if one.metric == names.SYNTHETIC else ~np.isnan(one.values)
        times = one.times_s[there]
        if len(times) > len(result.get(one.target, ())):
            result[one.target] = times
    return result


def processes(series: Sequence[Series]) -> dict[Target, Floats]:
    """When each process of each target began, where that is recorded, ascending [s since 1970]."""
    found: dict[Target, list[Floats]] = defaultdict(list)
    for one in series:
        if one.metric == "process_start_time_seconds":
            found[one.target].append(one.known.values)
    return {target: np.unique(np.concatenate(values)) for target, values in found.items()}


def starts(series: Sequence[Series]) -> dict[Target, float]:
    """When the latest process of each target began, where that is recorded [s since 1970]."""
    return {target: float(began[-1]) for target, began in processes(series).items() if len(began)}


def intervals(series: Sequence[Series]) -> dict[str, float]:
    """Scrape interval of each role that is there [s]: the median distance of samples in its longest series.

    A role without two samples in any series has the longest interval of the others.
    """
    longest: dict[str, Series] = {}
    for one in series:
        if one.role not in longest or len(one.times_s) > len(longest[one.role].times_s):
            longest[one.role] = one
    found = {role: round(typical(np.diff(longest[role].times_s)), 3) for role in ROLES if role in longest}
    return {role: length or max(found.values()) for role, length in found.items()}


def typical(distances: Floats) -> float:
    """Their median [s]; 0 of none."""
    return float(np.median(distances)) if len(distances) else 0.0
