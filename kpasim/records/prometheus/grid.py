"""Series at multiples of a step, as ``query_range`` answers them: finding the step, and the scrapes behind it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kpasim.arrays import Floats
from kpasim.records.prometheus.observation import Series, Target
from kpasim.records.prometheus.selection import Served
from kpasim.records.prometheus.targets import HOLD, typical

RARE = 0.02
"""Share of the distances of changes that may be shorter than the scrape interval: a scrape job that was reloaded."""


def step_of(series: Sequence[Served]) -> float | None:
    """The step of a grid of whole seconds on which all times lie [s]; 0 without one, ``None`` of too few times."""
    times = [np.unique(one.times_s) for one in series if len(one.times_s)]
    every = np.unique(np.concatenate(times)) if times else np.empty(0)
    if len(every) < 3:
        return None
    if np.any(every != np.round(every)):
        return 0.0
    step = float(np.gcd.reduce(np.diff(every).astype(np.int64)))
    # Scrapes may begin at whole seconds as well; query_range leaves no step out.
    return step if step > 1 or step == typical(np.diff(max(times, key=len))) else 0.0


def on_grid(one: Served, grid_s: Floats) -> Served:
    """A series at the times of a grid: the last sample before each, as long as it stands."""
    if not len(one.times_s):
        return one
    order = np.argsort(one.times_s, kind="stable")
    times, values = one.times_s[order], one.values[order]
    hold_s = HOLD * max(typical(np.diff(times)), typical(np.diff(grid_s)))
    place = np.searchsorted(times, grid_s, side="right") - 1
    there = (place >= 0) & (grid_s - times[np.maximum(place, 0)] < hold_s)
    return Served(one.labels, grid_s[there], values[place[there]])


def each_scrape_once(series: Sequence[Series], step_s: float) -> list[Series]:
    """Drop what a step shorter than the scrape interval repeats, so that requests have their whole interval.

    A target's values change at its scrapes only. The shortest distance of changes is the scrape interval, to a step.
    Where nothing changes, a sample stays where the next one is further away than that.
    """
    changes: dict[Target, list[Floats]] = defaultdict(list)
    for one in series:
        if one.role != "kube-state-metrics":
            changes[one.target].append(one.times_s[np.diff(one.values, prepend=np.nan) != 0])
    moved = {target: np.unique(np.concatenate(times)) for target, times in changes.items()}
    interval_s: dict[str, float] = {}
    for target in sorted(moved, key=lambda target: len(moved[target])):
        if len(moved[target]) > 2:
            interval_s[target[0]] = float(np.quantile(np.diff(moved[target]), RARE, method="lower"))
    result = []
    for one in series:
        length_s = interval_s.get(one.role, 0.0)
        if length_s > step_s:
            kept = np.isin(one.times_s, _kept(one.times_s, moved[one.target], length_s + step_s / 2))
            one = replace(one, times_s=one.times_s[kept], values=one.values[kept])  # noqa: PLW2901
        result.append(one)
    return result


def _kept(times_s: Floats, moved_s: Floats, least_s: float) -> Floats:
    """Of some times those at which something changed, and between them those so far from the next one."""
    kept, following = [], np.inf
    for time, moves in zip(times_s[::-1].tolist(), np.isin(times_s, moved_s)[::-1].tolist(), strict=True):
        if moves or following - time >= least_s:
            kept.append(time)
            following = time
    return np.array(kept)
