"""One copy of each sample: of series that were stored twice, and of times that a clock showed twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kpasim.records.prometheus.observation import Series
from kpasim.records.prometheus.targets import HOLD, Target, target_of, typical
from kpasim.records.record import iso

_OF_COPIES = frozenset(
    {
        *("prometheus", "prometheus_replica", "replica", "__replica__", "monitor", "receive"),
        *("job", "endpoint", "service", "prometheus_group", "scrape_config", "node"),
    }
)
"""Labels of the Prometheus and of the scrape job: series of one target that differ in nothing else are copies."""


def _labels_of_copies(series: Sequence[Series]) -> Set[str]:
    """`_OF_COPIES`, and what else a server added to some: labels of any name.

    A target exports one series of each of its gauges for a revision. Labels in which two of them differ are not of the
    target.
    """
    found: dict[tuple[object, ...], list[set[tuple[str, str]]]] = defaultdict(list)
    for one in series:
        if one.kind == "gauge" and one.role != "kube-state-metrics" and (one.instance or one.pod):
            found[(one.metric, one.revision, *target_of(one))].append(set(one.labels.items()))
    differ = (first ^ other for first, *others in found.values() for other in others)
    return _OF_COPIES | {name for labels in differ for name, _ in labels}


def one_copy(series: Sequence[Series], notes: list[str]) -> list[Series]:
    """Join the copies of each series: of two Prometheus replicas, or of two jobs that scrape one target.

    Of each target the copy with the most samples stands, for all its series alike, so that values of one scrape stay
    together; another fills its gaps.
    """
    of_copies = _labels_of_copies(series)

    def copy(one: Series) -> tuple[object, ...]:
        """A target as one Prometheus and one job have it."""
        return target_of(one), tuple(sorted((k, v) for k, v in one.labels.items() if k in of_copies))

    copies: dict[tuple[object, ...], list[Series]] = defaultdict(list)
    samples: dict[tuple[object, ...], int] = defaultdict(int)
    for one in series:
        identity = tuple(sorted((k, v) for k, v in one.labels.items() if k not in of_copies))
        copies[(one.metric, one.role, identity)].append(_in_order(one, notes))
        samples[copy(one)] += len(one.times_s)
    result = []
    for group in copies.values():
        best, *others = sorted(group, key=lambda one: -samples[copy(one)])
        for other in others:
            best = _filled(best, other)
        result.append(best)
    if len(result) < len(series):
        notes.append(
            f"{len(series) - len(result)} series were there more than once (replicas of Prometheus, or jobs that "
            "scrape one target): the copy with the most samples counts, and others fill its gaps"
        )
    return result


def _in_order(series: Series, notes: list[str]) -> Series:
    """Samples by time, one for each time."""
    times, values = series.times_s, series.values
    steps = np.diff(times)
    if len(steps) == 0 or steps.min() > 0:
        return series
    if steps.min() < 0:
        note = "samples were not in the order of time (the clock was set back, or files overlap): they were sorted"
        if note not in notes:
            notes.append(note)
    times, kept = np.unique(times, return_index=True)
    return replace(series, times_s=times, values=values[kept])


def _filled(series: Series, other: Series) -> Series:
    """A series with the samples of a copy where it has none for longer than a sample stands."""
    times = series.times_s
    if len(other.times_s) == 0:
        return series
    hold = HOLD * typical(np.diff(times)) if len(times) > 1 else 0.0
    bounds = np.concatenate([[-np.inf], times, [np.inf]])
    place = np.searchsorted(bounds, other.times_s, side="right") - 1
    distance = bounds[place + 1] - bounds[place]
    # At a border only what is a whole interval away: clocks of two servers differ, and a counter must not seem to fall.
    near = np.minimum(other.times_s - bounds[place], bounds[place + 1] - other.times_s)
    wanted = (distance > hold) & (near > hold / HOLD / 2) & (near > 0)
    if not wanted.any():
        return series
    times = np.concatenate([times, other.times_s[wanted]])
    order = np.argsort(times, kind="stable")
    return replace(series, times_s=times[order], values=np.concatenate([series.values, other.values[wanted]])[order])


def one_leader(series: Sequence[Series], notes: list[str]) -> list[Series]:
    """Of several autoscalers that export a revision at one time, the samples of the leader.

    An autoscaler that lost the revision to another exports its last values for as long as it lives. The leader is the
    one whose gauges of the revision changed last.
    """
    of_revision: dict[str, dict[Target, list[Series]]] = defaultdict(lambda: defaultdict(list))
    for one in series:
        if one.role == "autoscaler" and one.revision and len(one.times_s):
            of_revision[one.revision][target_of(one)].append(one)
    kept: dict[int, Series] = {}
    for revision, by_target in of_revision.items():
        changes = {target: _changes(group) for target, group in by_target.items()}
        ends = {target: max(one.times_s[-1] for one in group) for target, group in by_target.items()}
        stale = 0
        for target, group in by_target.items():
            others = [other for other in by_target if other != target]
            for one in group:
                rival = np.full(len(one.times_s), -np.inf)
                for other in others:
                    latest = _latest(changes[other], one.times_s)
                    rival = np.maximum(rival, np.where(one.times_s <= ends[other], latest, -np.inf))
                leads = _latest(changes[target], one.times_s) >= rival
                stale += int((~leads).sum())
                kept[id(one)] = replace(one, times_s=one.times_s[leads], values=one.values[leads])
        if stale:
            notes.append(f"{revision}: several autoscalers export it at one time; the leader's samples count")
    return [found for one in series if len((found := kept.get(id(one), one)).times_s)]


def _changes(group: Sequence[Series]) -> NDArray[np.float64]:
    """Times at which any of some gauges begins or has another value than before."""
    found = [one.times_s[np.flatnonzero(np.diff(one.values, prepend=np.nan) != 0)] for one in group]
    return np.unique(np.concatenate(found))


def _latest(moments_s: NDArray[np.float64], times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """The last of some moments that is not after each time; -inf before the first."""
    return np.concatenate([[-np.inf], moments_s])[np.searchsorted(moments_s, times_s, side="right")]


def one_clock(series: Sequence[Series], notes: list[str]) -> list[Series]:
    """Drop the samples that a server stored twice for one stretch of time, since its clock was set back.

    There the samples of two scrapes stand between each other, and counters seem to fall and to rise again, over and
    over. The samples with the higher counts are the later ones and stay.
    """
    counters = [s for s in series if s.kind == "counter"]
    stretches = [stretch for stretch in map(_set_back, counters) if stretch]
    if not stretches:
        return list(series)
    begin, end = min(low for low, _ in stretches), max(high for _, high in stretches)
    notes.append(
        f"a clock was set back: from {iso(round(begin))} to {iso(round(end))} samples of two scrapes stand between "
        "each other; the earlier ones are left out"
    )
    dropped: dict[Target, list[NDArray[np.float64]]] = defaultdict(list)
    for one in counters:
        inside = slice(*np.searchsorted(one.times_s, (begin, end)))
        values = one.values[inside]
        dropped[target_of(one)].append(one.times_s[inside][values < np.fmax.accumulate(values)])
    result = []
    for one in series:
        kept = ~np.isin(one.times_s, np.concatenate(dropped.get(target_of(one), [_NONE])))
        result.append(one if kept.all() else replace(one, times_s=one.times_s[kept], values=one.values[kept]))
    return result


def _set_back(series: Series) -> tuple[float, float] | None:
    """Where a counter falls and comes back, several times: a restarted process counts from 0 and does not come back."""
    times, values = series.times_s, series.values
    falls = np.flatnonzero(np.diff(values[:-1]) < 0) + 1
    back = falls[values[falls + 1] >= values[falls - 1]]
    return (float(times[back[0] - 1]), float(times[back[-1] + 1])) if len(back) >= 3 else None


_NONE = np.empty(0)
