"""One copy of each sample: of series that were stored twice, and of times that a clock showed twice."""

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np

from kpasim.arrays import Bools, Floats
from kpasim.records.prometheus.observation import Series, Target
from kpasim.records.prometheus.targets import HOLD, intervals, processes, typical
from kpasim.records.record import iso
from kpasim.results.states import last_values

IN_STEP = 0.1
"""Share of a scrape interval by which scrapes of one target differ from equal distances at most."""
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
            found[(one.metric, one.revision, *one.target)].append(set(one.labels.items()))
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
        return one.target, tuple(sorted((k, v) for k, v in one.labels.items() if k in of_copies))

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
    times, kept = np.unique(times[::-1], return_index=True)  # Of several for one time the last.
    return replace(series, times_s=times, values=values[::-1][kept])


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
            of_revision[one.revision][one.target].append(one)
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


def _changes(group: Sequence[Series]) -> Floats:
    """Times at which any of some gauges begins or has another value than before."""
    found = [one.times_s[np.flatnonzero(np.diff(one.values, prepend=np.nan) != 0)] for one in group]
    return np.unique(np.concatenate(found))


def _latest(moments_s: Floats, times_s: Floats) -> Floats:
    """The last of some moments that is not after each time; -inf before the first."""
    return last_values(moments_s, moments_s, times_s, -np.inf)


def one_clock(series: Sequence[Series], notes: list[str]) -> list[Series]:
    """Drop the samples that a server stored twice for one stretch of time, since its clock was set back.

    There the samples of two passes stand between each other: the clock showed these times once before and once after.
    The later pass stays, so that counters go on rising. It is known by the higher counts, and of targets that count
    nothing by the scrapes that follow it.
    """
    counters = [one for one in series if one.kind == "counter"]
    interval_s, began = intervals(series), processes(series)
    found = [_earlier(one, interval_s[one.role]) for one in counters]
    if not any(map(len, found)):
        return list(series)
    begin, end = min(times[0] for times in found if len(times)), max(times[-1] for times in found if len(times))
    dropped: dict[Target, list[Floats]] = defaultdict(list)
    for one, times in zip(counters, found, strict=True):
        one_process = len(began.get(one.target, ())) == 1
        again = _earlier(one, interval_s[one.role], (begin, end)) if one_process else times
        if len(again):
            dropped[one.target].append(again)
    gone = {target: np.unique(np.concatenate(parts)) for target, parts in dropped.items()}
    notes.append(
        f"a clock was set back: from {iso(round(begin))} to {iso(round(end))} it showed each time twice; the later "
        "samples count"
    )
    result = []
    for one in series:
        left_out = gone.get(one.target)
        kept = ~np.isin(one.times_s, left_out) if left_out is not None else _following(one.times_s, begin, end)
        result.append(one if kept.all() else replace(one, times_s=one.times_s[kept], values=one.values[kept]))
    return result


def _earlier(counter: Series, interval_s: float, twice_s: tuple[float, float] = (0.0, 0.0)) -> Floats:
    """Times of a counter's samples of the earlier pass.

    It falls to them and comes back, beside scrapes that follow each other too soon: at once, or to what it was two
    samples before. A process that began again counts from 0 at the usual distance. Where no process began again, a fall
    within the times that a clock showed twice (``twice_s``) is enough.
    """
    times, values = counter.known.times_s, counter.known.values
    earlier = np.zeros(len(times), dtype=np.bool_)
    soon = np.diff(times) < interval_s * (0.5 + IN_STEP)
    for place in (np.flatnonzero(np.diff(values) < 0) + 1).tolist():
        back = place + int(np.argmax(np.append(values[place:], np.inf) >= values[place - 1]))
        beside = soon[max(0, place - 2) : place + 1].any() or soon[back - 1 : back + 1].any()
        at_once = back < len(times) and times[back] - times[place - 1] < HOLD * interval_s
        between = beside and (at_once or values[place] >= values[max(0, place - 2)])
        if not earlier[place] and (between or twice_s[0] <= times[place] <= twice_s[1]):
            earlier[place:back] = True
    return times[earlier]


def _following(times_s: Floats, begin_s: float, end_s: float) -> Bools:
    """Which samples to keep: of a stretch, and where they come too soon, those in step with what follows."""
    steps = np.diff(times_s)
    interval_s = typical(steps)
    soon = times_s[1:][steps < interval_s * (0.5 + IN_STEP)]
    begin_s, end_s = min([begin_s, *soon[:1]]), max([end_s, *soon[-1:]])
    after = times_s[times_s > end_s]
    if not len(after):
        return np.ones(len(times_s), dtype=np.bool_)
    scrapes = (after[0] - times_s) / interval_s
    return np.asarray((np.abs(scrapes - np.round(scrapes)) < IN_STEP) | (times_s < begin_s) | (times_s > end_s))
