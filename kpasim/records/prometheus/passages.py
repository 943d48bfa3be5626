"""What request counters say: when requests ended, when they began, and how long they took.

The counters of activator and queue-proxy count requests that have ended (knative/serving@98e5ef9,
pkg/activator/handler/metrics.go and pkg/queue/request_metric.go). Of an activator the requests in flight are known as
well (``kn_revision_request_active``, ``kn_revision_request_queued``), from the same scrape, so that the number that
began between two scrapes is exact: increase of the counter plus change of requests in flight. Of requests that reach
the pods without the activator only the ends are known.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from kpasim.arrays import Bools, Floats
from kpasim.records.prometheus.observation import Observation, Role, Series, Target

REQUESTS = "http_server_request_duration_seconds"
INVOCATIONS = "kn_serving_invocation_duration_seconds"
IN_FLIGHT = ("kn_revision_request_active", "kn_revision_request_queued")
ACTIVATOR_PORTS = {"8012", "8013", "8112"}
"""Ports of a queue-proxy that an activator sends to: HTTP/1, HTTP/2, TLS. Requests straight from the ingress carry the
Host header's port, mostly none."""
AGREEMENT = 0.2
"""Queue-proxies and activators may count this share differently (pods whose last counts were never scraped)."""


@dataclass(frozen=True, eq=False)
class Passage:
    """Requests that passed one target, by scrape interval.

    Attributes:
        role: ``activator`` or ``queue-proxy``.
        instance: The target.
        begin_s: Begin of each interval: the scrape before [s since 1970].
        end_s: End of each interval: its scrape [s since 1970].
        ended: Requests that ended in each interval.
        latency_s: Their durations, added up [s].
        failed: How many of them had another status than 2xx.
        began: Requests that began in each interval, exactly; ``None`` where only ends are known.
        restarted: Whether the target's process began again in an interval.
    """

    role: Role
    instance: str
    begin_s: Floats
    end_s: Floats
    ended: Floats
    latency_s: Floats
    failed: Floats
    began: Floats | None
    restarted: Bools


@dataclass(frozen=True, eq=False)
class Traffic:
    """All requests of a service.

    Attributes:
        passages: Requests by target; each request passes one of them.
        notes: What is not known of them, a sentence each.
    """

    passages: tuple[Passage, ...]
    notes: tuple[str, ...]

    @property
    def direct(self) -> float:
        """Share of the requests of which only ends are known."""
        ends = [float(one.ended.sum()) for one in self.passages]
        only = [count for one, count in zip(self.passages, ends, strict=True) if one.began is None]
        return sum(only) / sum(ends) if sum(ends) else 0.0


def traffic(observation: Observation, revision: str | None = None) -> Traffic:
    """The requests of a service or of one revision, each counted once: at its activator, else at its queue-proxy."""

    def counters(role: Role) -> list[Series]:
        found = observation.find(f"{REQUESTS}_count", role)
        return [one for one in found if revision in (None, one.revision)]

    activators = _passages(observation, counters("activator"), revision)
    pods = counters("queue-proxy")
    if not activators:
        direct = _passages(observation, pods, revision)
        notes = [
            "No request passed an activator, or it is not scraped: only the ends of requests are known, at the pods."
        ]
        return Traffic(direct, tuple(notes if direct else [*notes, "No request was counted at all."]))
    through = _passages(observation, [one for one in pods if _is_from_activator(one)], revision)
    direct = _passages(observation, [one for one in pods if not _is_from_activator(one)], revision)
    of_all, of_direct, of_activators = (
        sum(float(one.ended.sum()) for one in group) for group in ((*through, *direct), direct, activators)
    )
    if abs(of_direct - (of_all - of_activators)) > max(10.0, AGREEMENT * of_all):
        # No label tells the path: without server_port, or with the names of Knative 1.18.
        if of_all - of_activators > max(10.0, AGREEMENT * of_all):
            note = "Some requests went past the activator and no label tells which: only ends are known, at the pods."
            return Traffic((*through, *direct), (note,))
        return Traffic(activators, ())
    activators, recovered = _with_lost(activators, through)
    notes = []
    if recovered:
        notes.append(f"{recovered:,} requests that a restarted activator forgot are known from the pods' counters.")
    if any(one.began is None for one in activators):
        notes.append("The activator exports no requests in flight (before Knative 1.19): only ends are known.")
    if of_direct:
        share = of_direct / max(1.0, of_direct + of_activators)
        notes.append(f"{share:.0%} of the requests went past the activator: only their ends are known.")
    return Traffic((*activators, *direct), tuple(notes))


def increase(series: Series) -> tuple[Floats, Floats]:
    """Times of a counter's samples and what each adds; a counter that fell began again at 0."""
    return series.known.times_s, series.known.increments()


def _is_from_activator(series: Series) -> bool:
    return series.labels.get("server_port", "") in ACTIVATOR_PORTS


def _passages(observation: Observation, counters: Iterable[Series], revision: str | None) -> tuple[Passage, ...]:
    """One passage for each target of some counters."""
    by_target: dict[Target, list[Series]] = {}
    for one in counters:
        by_target.setdefault(one.target, []).append(one)
    sums: dict[tuple[str, frozenset[tuple[str, str]]], Series] = {
        (one.role, frozenset(one.labels.items())): one for one in observation.find(f"{REQUESTS}_sum")
    }
    levels: dict[Target, list[Series]] = {}
    for metric in IN_FLIGHT:
        for one in observation.find(metric, "activator"):
            if revision in (None, one.revision):
                levels.setdefault(one.target, []).append(one)
    stale_s = _stale(observation) if observation.step_s else np.zeros(0)
    scrapes = {one.target: one.times_s for one in observation.find("up")}
    found = []
    for target, group in by_target.items():
        of_target = [sums[key] for one in group if (key := (one.role, frozenset(one.labels.items()))) in sums]
        scraped_s, interval_s = scrapes.get(target, np.zeros(0)), observation.interval_s.get(target[0], 0.0)
        found.append(_passage(group, of_target, levels.get(target, []), scraped_s, interval_s, stale_s))
    return tuple(one for one in found if len(one.end_s))


def _passage(
    counters: list[Series],
    sums: list[Series],
    gauges: list[Series],
    scraped_s: Floats,
    interval_s: float,
    stale_s: Floats,
) -> Passage:
    times_s = np.unique(np.concatenate([one.known.times_s for one in (*counters, *gauges)]))
    if len(stale_s) and len(times_s):
        times_s = times_s[~np.isin(times_s, stale_s) | (times_s == times_s[-1])]
    ended, latency_s, failed = (np.zeros(len(times_s)) for _ in range(3))
    restarted = np.zeros(len(times_s), dtype=np.bool_)
    for series in counters:
        fell = np.flatnonzero(np.diff(series.known.values) < 0) + 1
        restarted[np.searchsorted(times_s, series.known.times_s[fell])] = True
    for series, into in (*((one, ended) for one in counters), *((one, latency_s) for one in sums)):
        at_s, added = increase(series)
        here = added != 0
        into[np.searchsorted(times_s, at_s[here])] += added[here]
        if into is ended and not series.labels.get("http_response_status_code", "2").startswith("2"):
            failed[np.searchsorted(times_s, at_s[here])] += added[here]
    began = None
    if gauges:
        in_flight = sum((_held(one, times_s) for one in gauges), np.zeros(len(times_s)))
        began = ended + np.diff(in_flight, prepend=0.0)
    before = scraped_s[scraped_s < times_s[0]] if len(times_s) else scraped_s
    first_s = before[-1:] if len(before) else times_s[:1] - interval_s
    begin_s = np.concatenate((first_s, times_s[:-1]))
    role, instance, _ = counters[0].target
    return Passage(role, instance, begin_s, times_s, ended, latency_s, failed, began, restarted)


def _stale(observation: Observation) -> Floats:
    """Times at which a ``query_range`` only repeats the sample before, though requests were in flight.

    It looks back up to five minutes: where Prometheus was away, everything seems to stand still, and then to happen in
    a single step. Nothing moves in any series then. Without a request in flight nothing need move.
    """
    steps: dict[float, bool] = {}
    flying: dict[float, float] = {}
    for one in observation.series:
        if one.metric == "up" or one.role == "kube-state-metrics":
            continue
        moved = np.concatenate(([True], np.diff(one.values) != 0))
        for time_s, moves in zip(one.times_s.tolist(), moved.tolist(), strict=True):
            steps[time_s] = steps.get(time_s, False) or moves
        if one.metric in IN_FLIGHT:
            for time_s, value in zip(one.times_s.tolist(), one.values.tolist(), strict=True):
                flying[time_s] = flying.get(time_s, 0.0) + value
    return np.array(sorted(time_s for time_s, moves in steps.items() if not moves and flying.get(time_s, 0.0) > 0))


def _held(series: Series, times_s: Floats) -> Floats:
    """A gauge at given times: its last sample, and 0 before the first one and after a staleness marker."""
    place = np.searchsorted(series.times_s, times_s, side="right") - 1
    values = np.where(place >= 0, series.values[np.maximum(place, 0)], 0.0)
    return np.nan_to_num(values, nan=0.0)


def _with_lost(activators: tuple[Passage, ...], through: tuple[Passage, ...]) -> tuple[tuple[Passage, ...], int]:
    """The activators' passages with the requests that a restarted one forgot, and how many those are.

    Requests that ended between its last scrape and its end were counted by the pods that they went to.
    """
    found, recovered = [], 0
    for one in activators:
        lost = np.zeros(len(one.end_s))
        for place in np.flatnonzero(one.restarted):
            stretch_s = float(one.begin_s[place]), float(one.end_s[place])
            lost[place] = max(0, round(_within(through, *stretch_s) - _within(activators, *stretch_s)))
        mean_s = one.latency_s.sum() / max(1.0, one.ended.sum())
        began = None if one.began is None else one.began + lost
        found.append(replace(one, ended=one.ended + lost, latency_s=one.latency_s + lost * mean_s, began=began))
        recovered += int(lost.sum())
    return tuple(found), recovered


def _within(passages: Iterable[Passage], begin_s: float, end_s: float) -> float:
    """Requests that ended at some targets within a stretch, those of a scrape interval spread evenly over it."""
    total = 0.0
    for one in passages:
        length_s = np.maximum(one.end_s - one.begin_s, 1e-9)
        overlap_s = np.clip(np.minimum(one.end_s, end_s) - np.maximum(one.begin_s, begin_s), 0.0, None)
        total += float((one.ended * overlap_s / length_s).sum())
    return total
