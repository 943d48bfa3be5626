"""From series as served to an observation of one service: one vocabulary, one copy of each series, what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from kpasim.arrays import Floats
from kpasim.errors import RunError
from kpasim.records.prometheus import names
from kpasim.records.prometheus.copies import one_clock, one_copy, one_leader
from kpasim.records.prometheus.faults import find_gaps, find_missing, find_resets, find_revisions
from kpasim.records.prometheus.grid import each_scrape_once
from kpasim.records.prometheus.observation import ROLES, Observation, Query, Series, Target
from kpasim.records.prometheus.selection import Served, no_service, of_service, refuse_several_clusters, services
from kpasim.records.prometheus.targets import HOLD, intervals, scrapes, starts
from kpasim.records.record import iso

END_OF_DATES_S = 253_402_214_400.0
"""The last day of the year 9999 [s since 1970]: no later time can be shown."""


def assemble(
    served: Sequence[Served],
    *,
    service: str,
    namespace: str,
    window_s: tuple[float, float] | None = None,
    step_s: float = 0.0,
    histogram_step_s: float = 0.0,
    time_zone: str = "UTC",
    source: str = "",
    queries: Sequence[Query] = (),
    notes: Sequence[str] = (),
) -> Observation:
    """The observation of one Knative service, of series of it and of others in either generation of names.

    ``window_s`` is from and to [s since 1970], what the series cover if ``None``; ``notes`` are known already, beside
    those found here. The rest is as `Observation` has it.

    Raises:
        RunError: No series speaks of the service; the message names the services that are there.
    """
    notes = list(notes)
    series = of_service(served, service, namespace)
    if not any(s.metric.startswith(("kn_", "http_")) for s in series):
        raise no_service(service, namespace, services(served))
    refuse_several_clusters(series)
    for one in series:
        if not np.all((one.times_s >= 0.0) & (one.times_s < END_OF_DATES_S)):
            raise RunError(f"{namespace}/{service}: {one.name}: a time is not one of the years 1970 to 9999")
    series = one_leader(one_clock(one_copy(series, notes), notes), notes)
    series = each_scrape_once(series, step_s) if step_s else series
    series = [_within(s, window_s) for s in series]
    series = [s for s in series if len(s.times_s)]
    if not series:
        raise RunError(f"{namespace}/{service}: no sample within the window")
    interval = intervals(series)
    finest = [s for s in series if histogram_step_s == step_s or not names.hardly_changes(s.metric)] or series
    first, last = min(s.times_s[0] for s in finest), max(s.times_s[-1] for s in finest)
    targets = scrapes(finest)
    # A coarse step tells neither when a counter fell nor the last sample within the window.
    resets = find_resets(finest)
    series = _from_zero(series, targets, first, interval, coarse=len(finest) < len(series))
    series.sort(key=lambda s: (s.metric, ROLES.index(s.role), s.revision, s.pod, s.instance, sorted(s.labels.items())))
    gaps = find_gaps(finest, targets, interval, starts(series))
    revisions = find_revisions(finest, interval)
    notes += [f"{revision.name}: {revision.note}" for revision in revisions if revision.note]
    if step_s:
        notes.append(
            f"all times lie on a grid of {step_s:g} s, as query_range gives them: times of scrapes are not known, and "
            "a series that ended may go on for 5 minutes"
        )
    if window_s:
        slack = 2 * max(step_s, *interval.values())
        if first > window_s[0] + slack:
            notes.append(
                f"nothing was recorded before {iso(round(first))}, {first - window_s[0]:,.0f} s into the window"
            )
        if last < window_s[1] - slack:
            notes.append(f"nothing was recorded after {iso(round(last))}, {window_s[1] - last:,.0f} s before its end")
    generations = {m.generation for s in series for m in names.BY_SERVED[s.name] if m.name == s.metric} - {""}
    return Observation(
        service=service,
        namespace=namespace,
        begin_s=float(max(first, window_s[0]) if window_s else first),
        end_s=float(min(last, window_s[1]) if window_s else last),
        generation=generations.pop() if len(generations) == 1 else "both",
        series=tuple(series),
        interval_s=interval,
        step_s=step_s,
        histogram_step_s=histogram_step_s,
        time_zone=time_zone,
        source=source,
        queries=tuple(queries),
        revisions=revisions,
        gaps=gaps,
        resets=resets,
        missing=tuple(find_missing(series)),
        notes=tuple(notes),
    )


def _within(series: Series, window_s: tuple[float, float] | None) -> Series:
    if window_s is None:
        return series
    low = int(np.searchsorted(series.times_s, window_s[0], side="left"))
    high = int(np.searchsorted(series.times_s, window_s[1], side="right"))
    return replace(series, times_s=series.times_s[low:high], values=series.values[low:high])


def _from_zero(
    series: Sequence[Series],
    targets: Mapping[Target, Floats],
    first_s: float,
    interval_s: Mapping[str, float],
    *,
    coarse: bool,
) -> list[Series]:
    """Mark the counters of which the first sample counts from 0; buckets at a coarse step do as their counts do.

    Those are the counters of processes that started inside the window or in the scrape interval before it, and those
    that a target did not have at its scrape before. Where no start is known, those as well that began later than the
    first scrapes. Any other counter has counted for an unknown time.
    """
    known = [s for s in series if not (coarse and s.metric.endswith("_bucket"))]
    started = starts(series)

    def begins(one: Series) -> bool:
        start_s, scraped_s, length_s = started.get(one.target), targets.get(one.target), interval_s[one.role]
        inside = start_s is not None and start_s > first_s - length_s
        missed = scraped_s is not None and scraped_s[0] < one.times_s[0]
        late = start_s is None and length_s > 0 and one.times_s[0] > first_s + HOLD * length_s
        return one.kind == "counter" and bool(inside or missed or late)

    begun = {id(s): begins(s) for s in known}
    counts = {_histogram(s): begun[id(s)] for s in known if s.metric.endswith("_count")}
    return [replace(s, from_zero=begun.get(id(s), counts.get(_histogram(s), False))) for s in series]


def _histogram(series: Series) -> tuple[object, ...]:
    """What the parts of one histogram have in common."""
    labels = tuple(sorted((k, v) for k, v in series.labels.items() if k != "le"))
    return series.metric.rpartition("_")[0], series.role, labels
