"""Observations written by hand: the series that scrapes of known requests leave."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from kpasim.records.prometheus.observation import Observation, Role, Series

COUNT, SUM = "http_server_request_duration_seconds_count", "http_server_request_duration_seconds_sum"
BEGIN_S = 1_800_000_000.0


def series(
    metric: str,
    role: Role,
    times_s: ArrayLike,
    values: ArrayLike,
    *,
    instance: str = "10.0.0.1:9090",
    revision: str = "painter-00001",
    pod: str = "",
    **labels: str,
) -> Series:
    """A series with times from the begin of the window; a counter counts from 0."""
    counter = metric.endswith(("_count", "_sum", "_bucket")) and not metric.startswith("kn_revision")
    times = BEGIN_S + np.asarray(times_s, dtype=np.float64)
    kind: Literal["counter", "gauge"] = "counter" if counter else "gauge"
    held = np.asarray(values, dtype=np.float64)
    return Series(metric, role, kind, "", metric, labels, revision, pod, instance, counter, times, held)


def observation(parts: Sequence[Series], end_s: float, interval_s: float) -> Observation:
    """The observation of a service called painter."""
    intervals = dict.fromkeys(("autoscaler", "activator", "queue-proxy"), interval_s)
    ordered = tuple(sorted(parts, key=lambda one: (one.metric, one.role, one.revision, one.pod, one.instance)))
    return Observation("painter", "default", BEGIN_S, BEGIN_S + end_s, "opentelemetry", ordered, interval_s=intervals)


def activator(
    begins_s: ArrayLike,
    ends_s: ArrayLike,
    scrapes_s: ArrayLike,
    instance: str = "10.0.0.1:9090",
    revision: str = "painter-00001",
) -> list[Series]:
    """What scrapes of an activator say of requests that began and ended at these times."""
    begins, ends, scrapes = np.sort(begins_s), np.sort(ends_s), np.asarray(scrapes_s, dtype=np.float64)
    ended = np.searchsorted(ends, scrapes, side="right")
    in_flight = np.searchsorted(begins, scrapes, side="right") - ended
    order = np.argsort(ends_s, kind="stable")
    took = np.concatenate(([0.0], np.cumsum((np.asarray(ends_s) - np.asarray(begins_s))[order])))
    seen = ended > 0
    half = in_flight // 2
    of = {"instance": instance, "revision": revision}
    return [
        series(COUNT, "activator", scrapes[seen], ended[seen], **of),
        series(SUM, "activator", scrapes[seen], took[ended][seen], **of),
        series("kn_revision_request_active", "activator", scrapes, in_flight - half, **of),
        series("kn_revision_request_queued", "activator", scrapes, half, **of),
    ]


def thinned(observation: Observation, every: int, phase: int = 0) -> Observation:
    """What a scrape interval so many times as long would have left of it, and the series that are left at all."""
    step_s = every * 5.0
    parts = []
    for one in observation.series:
        chosen = np.floor(one.times_s / 5.0).astype(np.int64) % every == phase
        if chosen.any():
            parts.append(replace(one, times_s=one.times_s[chosen], values=one.values[chosen]))
    return replace(observation, series=tuple(parts), interval_s=dict.fromkeys(observation.interval_s, step_s))
