"""Pods out of an observation: gauges at the autoscaler's scrapes, and pod-seconds with their uncertainty."""

from dataclasses import dataclass

import numpy as np

from kpasim.arrays import Floats
from kpasim.engines.params import SECOND_NS, TICK_NS
from kpasim.records.prometheus.observation import Observation
from kpasim.records.prometheus.targets import HOLD
from kpasim.results.intervals import Z90


@dataclass(frozen=True)
class PodSeconds:
    """An integral of a gauge, and what its samples leave open.

    Attributes:
        value: Pod-seconds.
        low: Lower end of the 90 % interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def gauge(observation: Observation, metric: str, revision: str | None = None) -> tuple[Floats, Floats]:
    """A gauge of the autoscaler, of all revisions together or of one: times of scrapes [s since 1970], and values."""
    by_revision: dict[str, list[tuple[Floats, Floats]]] = {}
    for one in observation.find(metric, "autoscaler"):
        if revision in (None, one.revision):
            known = ~np.isnan(one.values)
            by_revision.setdefault(one.revision, []).append((one.times_s[known], one.values[known]))
    parts = []
    for group in by_revision.values():
        times_s, values = (np.concatenate(each) for each in zip(*group, strict=True))
        times_s, places = np.unique(times_s, return_index=True)
        parts.append((times_s, values[places]))
    if not parts:
        return np.zeros(0), np.zeros(0)
    times_s = np.unique(np.concatenate([times for times, _ in parts]))
    hold_s = HOLD * observation.interval_s.get("autoscaler", 0.0)
    return times_s, np.sum([held(*part, times_s, hold_s) for part in parts], axis=0)


def held(times_s: Floats, values: Floats, at_s: Floats, hold_s: float) -> Floats:
    """A gauge at given times: its last sample, for as long as that stands; 0 beyond."""
    if not len(times_s):
        return np.zeros(len(at_s))
    place = np.searchsorted(times_s, at_s, side="right") - 1
    there = (place >= 0) & (at_s - times_s[np.maximum(place, 0)] <= hold_s)
    return np.where(there, values[np.maximum(place, 0)], 0.0)


def begun(observation: Observation) -> Floats:
    """When the processes of each pod began, ascending [s since 1970], whatever the scrape interval."""
    found = [
        float(one.values[~np.isnan(one.values)][0])
        for one in observation.find("process_start_time_seconds", "queue-proxy")
        if not np.isnan(one.values).all()
    ]
    return np.sort(found)


def pod_seconds(observation: Observation, metric: str, begin_s: float, end_s: float) -> PodSeconds:
    """Pod-seconds of a gauge of pods between two times [s since 1970], of all revisions together.

    The gauge is ``kn_revision_pods_count`` (Ready) or ``kn_revision_pods_requested`` (created).

    Between two scrapes the moments of changes are unknown. All pods that start in an interval are taken to start at one
    time, uniform in it, and all that go at another: the integral has the trapezoid's value and the variance
    ``(started^2 + gone^2) * length^2 / 12``. How many started is known from their processes, also where as many went.
    The autoscaler writes its gauges at a reconcile, up to a tick late, which adds to the length.
    """
    times_s, pods = gauge(observation, metric)
    if not len(times_s):
        return PodSeconds(0.0, 0.0, 0.0)
    hold_s = HOLD * observation.interval_s.get("autoscaler", 0.0)
    # What the first and the last scrape saw stands for up to that long beyond them.
    edges_s = max(begin_s, times_s[0] - hold_s), min(end_s, times_s[-1] + hold_s)
    before, after = edges_s[0] < times_s[0], edges_s[1] > times_s[-1]
    times_s = np.concatenate((edges_s[:1] if before else times_s[:0], times_s, edges_s[1:] if after else times_s[:0]))
    pods = np.concatenate((pods[:1] if before else pods[:0], pods, pods[-1:] if after else pods[:0]))
    length_s = np.clip(np.minimum(times_s[1:], end_s) - np.maximum(times_s[:-1], begin_s), 0.0, None)
    value = float((length_s * 0.5 * (pods[1:] + pods[:-1])).sum())
    change = np.diff(pods)
    started = np.diff(np.searchsorted(begun(observation), times_s, side="right")).astype(np.float64)
    started = np.maximum(started, np.maximum(change, 0.0))
    unsure_s = length_s + np.where(length_s > 0, TICK_NS / SECOND_NS, 0.0)
    error = Z90 * float(np.sqrt(((started**2 + (started - change) ** 2) * unsure_s**2 / 12.0).sum()))
    return PodSeconds(value, max(0.0, value - error), value + error)
