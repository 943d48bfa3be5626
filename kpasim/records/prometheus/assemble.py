"""From series as served to an observation of one service: one vocabulary, one copy of each series, what is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kpasim.errors import RunError
from kpasim.records.prometheus import names
from kpasim.records.prometheus.names import Metric
from kpasim.records.prometheus.observation import (
    ROLES,
    Gap,
    Observation,
    Query,
    Reset,
    Revision,
    Role,
    Series,
)
from kpasim.records.record import iso

HOLD = 1.5
"""A sample stands for at most so many scrape intervals; a longer distance is a gap."""

_REPLICA_LABELS = frozenset({"prometheus", "prometheus_replica", "replica", "__replica__", "monitor", "receive"})
"""Labels that name the Prometheus and not the target: series that differ in nothing else are copies."""
_SCRAPE_LABELS = frozenset({"job", "endpoint", "service", "prometheus_group", "scrape_config", "node"})
"""Labels of a scrape job: a target that two jobs scrape is one target."""


@dataclass(frozen=True, eq=False)
class Served:
    """A series as a server or a file has it.

    Attributes:
        labels: Its labels, ``__name__`` among them.
        times_s: Times of its samples [s since 1970], in any order.
        values: Values.
    """

    labels: Mapping[str, str]
    times_s: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def name(self) -> str:
        """Its metric's name as served."""
        return self.labels.get("__name__", "")


def services(served: Iterable[Served]) -> set[tuple[str, str]]:
    """Namespace and name of each Knative service that the series speak of."""
    found = set()
    for series in served:
        for metric in names.BY_SERVED.get(series.name, ()):
            labels = names.vocabulary(series.labels, metric.generation)
            if service := labels.get("kn_service_name"):
                found.add((names.namespace_of(labels), service))
    return found


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
    """The observation of one service.

    Args:
        served: Series of this service and of others, in either generation of names.
        service: Name of the Knative service.
        namespace: Its namespace.
        window_s: From and to [s since 1970]; what the series cover if ``None``.
        step_s: See `Observation`.
        histogram_step_s: See `Observation`.
        time_zone: See `Observation`.
        source: See `Observation`.
        queries: See `Observation`.
        notes: Notes to begin with.

    Raises:
        RunError: No series speaks of the service; the message names the services that are there.
    """
    notes = list(notes)
    series = _of_service(served, service, namespace)
    if not any(s.metric.startswith(("kn_", "http_")) for s in series):
        raise no_service(service, namespace, services(served))
    _refuse_several_clusters(series)
    series = _one_clock(_one_copy(series, notes), notes)
    series = [_within(s, window_s) for s in series]
    series = [s for s in series if len(s.times_s)]
    if not series:
        raise RunError(f"{namespace}/{service}: no sample within the window")
    interval: dict[str, float] = {
        role: _interval_s(series, role) for role in ROLES if any(s.role == role for s in series)
    }
    longest = max(interval.values())
    interval = {role: length or longest for role, length in interval.items()}
    finest = [s for s in series if histogram_step_s == step_s or not names.hardly_changes(s.metric)]
    first, last = min(s.times_s[0] for s in finest), max(s.times_s[-1] for s in finest)
    targets = _targets(finest)
    series = _from_zero(series, targets, first, interval, coarse=len(finest) < len(series))
    series.sort(key=lambda s: (s.metric, ROLES.index(s.role), s.revision, s.pod, s.instance, sorted(s.labels.items())))
    gaps = _gaps(finest, targets, interval)
    revisions = _revisions(finest, interval)
    notes += [f"{revision.name}: {revision.note}" for revision in revisions if revision.note]
    if window_s and first > window_s[0] + 2 * longest:
        notes.append(f"nothing was recorded before {iso(float(first))}, {first - window_s[0]:,.0f} s into the window")
    generations = {_generation(s) for s in series} - {""}
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
        resets=_resets(series),
        missing=tuple(_missing(series)),
        notes=tuple(notes),
    )


def no_service(service: str, namespace: str, there: Collection[tuple[str, str]], within: str = "") -> RunError:
    """The error for a service that no series speaks of."""
    if not there:
        return RunError(
            f"{namespace}/{service}: no metric of Knative{within}, under the names of any version; since 1.19 "
            "Knative exports none by default (in config-observability set metrics-protocol and "
            "request-metrics-protocol to prometheus)"
        )
    listed = [f"{space}/{name}" for space, name in sorted(there)]
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    return RunError(f"{namespace}/{service}: no such service; there are {', '.join(listed[:20])}{more}")


def _of_service(served: Sequence[Served], service: str, namespace: str) -> list[Series]:
    """The series that speak of a service, or of Knative's own programs, in one vocabulary."""
    known: list[tuple[Served, Metric, Role, dict[str, str]]] = []
    for one in served:
        for metric in names.BY_SERVED.get(one.name, ()):
            labels = names.vocabulary(one.labels, metric.generation)
            role = metric.role if metric.role == "kube-state-metrics" else names.role_of(labels)
            if role is None and metric.role is not None:
                # No label of the target is left: the activator labels each series with its revision.
                role = metric.role if len(names.BY_SERVED[one.name]) == 1 else _unnamed(labels)
            if metric.name == "target_info" and role != "queue-proxy":
                continue  # It says which pod belongs to which revision, and nothing of Knative's own programs.
            if role is not None and metric.role in (None, role):
                known.append((one, metric, role, labels))
    revisions, pods = set(), {}
    for _, metric, role, labels in known:
        if names.namespace_of(labels) == namespace and labels.get("kn_service_name") == service:
            revision = labels.get("kn_revision_name", "")
            revisions.add(revision)
            if role == "queue-proxy" and metric.name == "target_info":
                pods[names.pod_of(labels)] = pods[labels.get("instance", "")] = revision
    revisions.discard("")
    result = []
    for one, metric, role, labels in known:
        pod = names.pod_of(labels)
        revision = labels.get("kn_revision_name") or ""
        if role in ("queue-proxy", "kube-state-metrics"):
            revision = revision or pods.get(pod or labels.get("instance", "")) or names.revision_of_pod(pod)
        if revision not in revisions and not (revision == "" and metric.role is None):
            continue
        if revision and names.namespace_of(labels) != namespace:
            continue
        result.append(
            Series(
                metric=metric.name,
                role=role,
                kind=metric.kind,
                unit=metric.unit,
                name=one.name,
                labels=labels,
                revision=revision,
                pod=pod,
                instance=labels.get("instance", ""),
                from_zero=False,
                times_s=one.times_s,
                values=one.values * metric.factor if metric.factor != 1 else one.values,
            )
        )
    return _without_second_counts(result)


def _unnamed(labels: Mapping[str, str]) -> Role:
    return "activator" if labels.get("kn_revision_name") and "server_port" not in labels else "queue-proxy"


def _without_second_counts(series: list[Series]) -> list[Series]:
    """OpenCensus counts requests twice, by a counter and by a histogram: the counter stays where there is one."""
    counters = [s for s in series if s.name.removesuffix("_total").endswith("_request_count")]
    counted = {(s.metric, s.role) for s in counters}
    return [s for s in series if (s.metric, s.role) not in counted] + counters


def _refuse_several_clusters(series: Sequence[Series]) -> None:
    """A server of many clusters may hold services of one name in several of them."""
    for label in ("cluster", "k8s_cluster_name", "cluster_name", "prometheus_cluster"):
        found = sorted({s.labels[label] for s in series if label in s.labels})
        if len(found) > 1:
            listed = ", ".join(found)
            raise RunError(f"the service is in several clusters ({listed}): choose one, as --label {label}={found[0]}")


def _one_copy(series: Sequence[Series], notes: list[str]) -> list[Series]:
    """Join the copies of each series: of two Prometheus replicas, or of two jobs that scrape one target.

    The copy with the most samples stands; another fills its gaps.
    """
    copies: dict[tuple[object, ...], list[Series]] = defaultdict(list)
    ignored = _REPLICA_LABELS | _SCRAPE_LABELS
    for one in series:
        identity = tuple(sorted((k, v) for k, v in one.labels.items() if k not in ignored))
        copies[(one.metric, one.role, identity)].append(_in_order(one, notes))
    result = []
    doubled = 0
    for group in copies.values():
        best, *others = sorted(group, key=lambda s: -len(s.times_s))
        doubled += len(others)
        for other in others:
            best = _filled(best, other)
        result.append(best)
    if doubled:
        notes.append(
            f"{doubled} series were there more than once (replicas of Prometheus, or jobs that scrape one target): "
            "the copy with the most samples counts, and others fill its gaps"
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


def _one_clock(series: Sequence[Series], notes: list[str]) -> list[Series]:
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
        f"a clock was set back: from {iso(begin)} to {iso(end)} samples of two scrapes stand between each other; "
        "the earlier ones are left out"
    )
    dropped: dict[Target, list[NDArray[np.float64]]] = defaultdict(list)
    for one in counters:
        inside = slice(*np.searchsorted(one.times_s, (begin, end)))
        values = one.values[inside]
        dropped[_target(one)].append(one.times_s[inside][values < np.fmax.accumulate(values)])
    result = []
    for one in series:
        kept = ~np.isin(one.times_s, np.concatenate(dropped.get(_target(one), [_NONE])))
        result.append(one if kept.all() else replace(one, times_s=one.times_s[kept], values=one.values[kept]))
    return result


def _set_back(series: Series) -> tuple[float, float] | None:
    """Where a counter falls and comes back, several times: a restarted process counts from 0 and does not come back."""
    times, values = series.times_s, series.values
    falls = np.flatnonzero(np.diff(values[:-1]) < 0) + 1
    back = falls[values[falls + 1] >= values[falls - 1]]
    return (float(times[back[0] - 1]), float(times[back[-1] + 1])) if len(back) >= 3 else None


_NONE = np.empty(0)


def _filled(series: Series, other: Series) -> Series:
    """A series with the samples of a copy where it has none for longer than a sample stands."""
    times = series.times_s
    if len(other.times_s) == 0:
        return series
    hold = HOLD * _typical(np.diff(times)) if len(times) > 1 else 0.0
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


def _within(series: Series, window_s: tuple[float, float] | None) -> Series:
    if window_s is None:
        return series
    low = int(np.searchsorted(series.times_s, window_s[0], side="left"))
    high = int(np.searchsorted(series.times_s, window_s[1], side="right"))
    return replace(series, times_s=series.times_s[low:high], values=series.values[low:high])


def _typical(distances: NDArray[np.float64]) -> float:
    return float(np.median(distances)) if len(distances) else 0.0


def _interval_s(series: Sequence[Series], role: Role) -> float:
    """The median distance of samples of a role's longest series [s]; 0 where no series has two samples."""
    longest = max((s for s in series if s.role == role), key=lambda s: len(s.times_s))
    return round(_typical(np.diff(longest.times_s)), 3)


Target = tuple[Role, str, str]


def _target(series: Series) -> Target:
    return series.role, series.instance, series.pod


def _targets(series: Sequence[Series]) -> dict[Target, NDArray[np.float64]]:
    """Times at which each target was scraped with success, from its longest series."""
    result: dict[Target, NDArray[np.float64]] = {}
    for one in series:
        there = one.values == 1 if one.metric == names.SYNTHETIC else ~np.isnan(one.values)
        times = one.times_s[there]
        if len(times) > len(result.get(_target(one), ())):
            result[_target(one)] = times
    return result


def _from_zero(
    series: Sequence[Series],
    targets: Mapping[Target, NDArray[np.float64]],
    first_s: float,
    interval_s: Mapping[str, float],
    *,
    coarse: bool,
) -> list[Series]:
    """Mark the counters of which the first sample counts from 0; buckets at a coarse step do as their counts do.

    Those are the counters of processes that started inside the window or in the scrape interval before it, and those
    that began later than the first scrapes. Any other counter of the first scrapes has counted for an unknown time.
    """
    known = [s for s in series if not (coarse and s.metric.endswith("_bucket"))]
    started = {_target(s): float(np.nanmax(s.values)) for s in series if s.metric == "process_start_time_seconds"}
    begins = {
        id(s): s.kind == "counter"
        and (
            started.get(_target(s), -np.inf) > first_s - interval_s[s.role] or _begins(s, targets, first_s, interval_s)
        )
        for s in known
    }
    counts = {_histogram(s): begins[id(s)] for s in known if s.metric.endswith("_count")}
    return [replace(s, from_zero=begins.get(id(s), counts.get(_histogram(s), False))) for s in series]


def _histogram(series: Series) -> tuple[object, ...]:
    """What the parts of one histogram have in common."""
    labels = tuple(sorted((k, v) for k, v in series.labels.items() if k != "le"))
    return series.metric.rpartition("_")[0], series.role, labels


def _begins(
    series: Series, targets: Mapping[Target, NDArray[np.float64]], first_s: float, interval_s: Mapping[str, float]
) -> bool:
    """Whether a counter began after the first scrapes of the window: its target was scraped before without it."""
    begin = series.times_s[0]
    before = targets.get(_target(series))
    return bool(begin > first_s + HOLD * interval_s[series.role] or (before is not None and before[0] < begin))


def _gaps(
    series: Sequence[Series], targets: Mapping[Target, NDArray[np.float64]], interval_s: Mapping[str, float]
) -> tuple[Gap, ...]:
    longest: dict[Target, NDArray[np.float64]] = {}
    for one in series:
        if len(one.times_s) > len(longest.get(_target(one), ())):
            longest[_target(one)] = one.times_s
    shortest = min((i for i in interval_s.values() if i > 0), default=0.0)
    everything = np.unique(np.concatenate(list(longest.values())))
    common = [Gap(a, b) for a, b in _holes(everything, HOLD * shortest)]
    result = list(common)
    for (role, instance, _), times in targets.items():
        for begin, end in _holes(times, HOLD * interval_s[role]):
            slack = interval_s[role]
            if not any(gap.begin_s - slack <= begin and end <= gap.end_s + slack for gap in common):
                result.append(Gap(begin, end, role, instance))
    return tuple(sorted(result, key=lambda gap: (gap.begin_s, gap.role, gap.instance)))


def _holes(times: NDArray[np.float64], hold_s: float) -> list[tuple[float, float]]:
    if hold_s <= 0:
        return []
    wide = np.flatnonzero(np.diff(times) > hold_s)
    return [(float(times[i]), float(times[i + 1])) for i in wide]


def _resets(series: Sequence[Series]) -> tuple[Reset, ...]:
    found: dict[tuple[Target, float, float], int] = defaultdict(int)
    for one in series:
        if one.kind == "counter":
            known = ~np.isnan(one.values)
            times, values = one.times_s[known], one.values[known]
            for i in np.flatnonzero(np.diff(values) < 0):
                found[(_target(one), float(times[i]), float(times[i + 1]))] += 1
    return tuple(
        Reset(before, after, role, instance, pod, count)
        for ((role, instance, pod), before, after), count in sorted(found.items(), key=lambda item: item[0][1:])
    )


def _revisions(series: Sequence[Series], interval_s: Mapping[str, float]) -> tuple[Revision, ...]:
    """Each revision's lifetime: a deleted revision may be exported for longer, with constant values.

    At the activator its counters and gauges go on as long as the activator lives. Autoscalers of 1.19.0 to 1.19.6 went
    on as well (knative/serving#16200): their gauges speak of pods of which no queue-proxy is left.
    """
    hold = HOLD * max(interval_s.values())
    result = []
    for name in sorted({s.revision for s in series} - {""}):
        own = [s for s in series if s.revision == name and not np.isnan(s.values).all()]
        first, exported = min(s.times_s[0] for s in own), max(s.times_s[-1] for s in own)
        by_role = {role: [s for s in own if s.role == role] for role in ROLES}
        changed = max(_last_change(s) for s in own)
        pods_end = max((_last_known_s(s) for s in by_role["queue-proxy"]), default=0.0)
        gauges_end = max((_last_known_s(s) for s in by_role["autoscaler"]), default=0.0)
        alive = max(changed, pods_end, gauges_end)
        left = max((_last_known(s) for s in by_role["autoscaler"] if s.metric == "kn_revision_pods_count"), default=0.0)
        if left > 0 and by_role["queue-proxy"] and max(changed, pods_end) < gauges_end - hold:
            alive = max(changed, pods_end)
        gone = bool(by_role["autoscaler"]) and alive < exported - hold
        last, note = (
            (alive, f"deleted by {iso(alive)} and exported on with constant values") if gone else (exported, "")
        )
        result.append(Revision(name, float(first), float(last), float(exported), note))
    return tuple(sorted(result, key=lambda revision: revision.first_s))


def _last_change(series: Series) -> float:
    """Time of the last sample that differs from the one before [s since 1970]; of the first where none does."""
    known = ~np.isnan(series.values)
    times = series.times_s[known]
    changed = np.flatnonzero(np.diff(series.values[known]) != 0)
    return float(times[changed[-1] + 1] if len(changed) else times[0])


def _last_known_s(series: Series) -> float:
    return float(series.times_s[~np.isnan(series.values)][-1])


def _last_known(series: Series) -> float:
    return float(series.values[~np.isnan(series.values)][-1])


def _generation(series: Series) -> str:
    return next(m.generation for m in names.BY_SERVED[series.name] if m.name == series.metric)


def _missing(series: Sequence[Series]) -> list[str]:
    """What a backtest would need and is not there."""
    there = {(s.metric, s.role) for s in series}
    wanted: list[tuple[str, Role, str]] = [
        ("kn_revision_pods_count", "autoscaler", "pods are not known"),
        ("kn_revision_pods_requested", "autoscaler", "requested pods are not known"),
        ("kn_revision_panic_mode", "autoscaler", "panics are not known"),
        (
            "http_server_request_duration_seconds_count",
            "activator",
            "requests behind the activator are not counted there (none came that way, or it is not scraped)",
        ),
        ("kn_revision_request_active", "activator", "of requests through the activator only their ends are known"),
        (
            "http_server_request_duration_seconds_count",
            "queue-proxy",
            "requests are not counted at the pods (request-metrics-protocol is none, or queue-proxy is not scraped)",
        ),
        ("kn_serving_invocation_duration_seconds_sum", "queue-proxy", "service times are not known"),
        (
            "kube_pod_created",
            "kube-state-metrics",
            "times of pods are not known (no kube-state-metrics): cold starts only from counts of pods",
        ),
    ]
    return [f"{metric} ({role}): {what}" for metric, role, what in wanted if (metric, role) not in there]
