"""A run as a Prometheus would have scraped it: gauges and counters at given times, computed from the run's tables."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kpasim.arrays import Floats
from kpasim.records.prometheus.exposition import Written
from kpasim.results.frames import Columns
from kpasim.results.states import last_values
from kpasim.results.tables import Tables

BOUNDS_S = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
    90.0, 120.0, 180.0, 300.0, 600.0,
)  # fmt: skip
"""Bounds of kpasim's histograms: Knative's, which end at 10 s, and more for GPU services."""

GAUGES: dict[str, str] = {
    "pods_desired": "Pods that the autoscaler wants",
    "pods_requested": "Replicas of the Deployment",
    "pods_count": "Pods that are ready and not terminating",
    "pods_not_ready_count": "Pods that are not ready, terminating pods included",
    "pods_pending_count": "Pods without running containers",
    "pods_terminating_count": "Pods that are terminating",
    "concurrency_stable": "Average concurrency over the stable window, of the whole revision",
    "concurrency_panic": "Average concurrency over the panic window, of the whole revision",
    "concurrency_target": "Target concurrency of a pod",
    "capacity_excess": "Excess burst capacity",
    "panic_mode": "1 in panic mode",
}
"""Gauges of the autoscaler by the end of their name (``kn_revision_...``), with their meaning."""

INTERVAL_S = 15.0
"""Distance of samples [s]."""


def gauges(tables: Tables, times_s: Floats) -> dict[str, Floats]:
    """What the autoscaler's gauges are at given times [s from the start of the load], ascending.

    A column for each name of `GAUGES`: what the latest tick or change left, 0 before the first.
    """
    pods, ticks, scaling = tables.pods, tables.ticks, tables.scaling
    ready = present(pods["ready_s"], np.fmin(pods["delete_requested_s"], pods["gone_s"]), times_s)
    terminating = present(pods["delete_requested_s"], pods["gone_s"], times_s)
    containers = pods.get("containers_s", pods["ready_s"])
    wanted = (ticks, "desired") if "desired" in ticks else (scaling, "desired")
    return {
        "pods_desired": _latest(*wanted, times_s),
        "pods_requested": _latest(scaling, "replicas", times_s),
        "pods_count": ready,
        "pods_not_ready_count": present(pods["created_s"], pods["gone_s"], times_s) - ready,
        "pods_pending_count": present(pods["created_s"], np.fmin(containers, pods["gone_s"]), times_s),
        "pods_terminating_count": terminating,
        "concurrency_stable": _latest(ticks, "stable", times_s),
        "concurrency_panic": _latest(ticks, "panic", times_s),
        "concurrency_target": _latest(ticks, "target", times_s),
        "capacity_excess": _latest(ticks, "excess_burst_capacity", times_s),
        "panic_mode": _latest(ticks, "panic_mode", times_s),
    }


def present(begin_s: Floats, end_s: Floats, times_s: Floats) -> Floats:
    """How many stretches of time cover each time; one without a begin is none, one without an end goes on."""
    begun = ~np.isnan(begin_s)
    begin, end = begin_s[begun], np.nan_to_num(end_s[begun], nan=np.inf)
    return passed(begin, times_s) - passed(np.maximum(begin, end), times_s)


def passed(moments_s: Floats, times_s: Floats) -> Floats:
    """How many moments are not after each time."""
    return np.searchsorted(np.sort(moments_s), times_s, side="right").astype(np.float64)


def histogram(
    ends_s: Floats, durations_s: Floats, times_s: Floats, bounds_s: Sequence[float]
) -> Iterator[tuple[str, dict[str, str], Floats]]:
    """A cumulative histogram's parts at given times: what its name ends with, further labels, values."""
    for bound in (*bounds_s, np.inf):
        label = "+Inf" if np.isinf(bound) else f"{bound:.12g}"
        yield "_bucket", {"le": label}, passed(ends_s[durations_s <= bound], times_s)
    order = np.argsort(ends_s, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(durations_s[order])])
    count = np.searchsorted(ends_s[order], times_s, side="right")
    yield "_sum", {}, sums[count]
    yield "_count", {}, count.astype(np.float64)


def prediction(tables: Tables, *, begin_unix_s: float, end_s: float, labels: Mapping[str, str]) -> list[Written]:
    """One simulated run as series under ``kpasim_`` names, beside which Knative's own can be drawn.

    The load starts at ``begin_unix_s`` [s since 1970], the run ends ``end_s`` later; all series have the ``labels``.

    Returns:
        ``kpasim_revision_...`` for each of `GAUGES`, ``kpasim_requests_started_total``, ``kpasim_requests_in_flight``,
        ``kpasim_request_duration_seconds`` by status (latency as clients see it, 0 for no response) and
        ``kpasim_service_duration_seconds``.
    """
    times = np.arange(0.0, end_s + INTERVAL_S, INTERVAL_S)
    dates = begin_unix_s + times
    result = [
        Written(f"kpasim_revision_{name}", labels, dates, values, "gauge", GAUGES[name])
        for name, values in gauges(tables, times).items()
    ]
    requests = tables.requests
    start, latency = requests["start_s"], requests["latency_s"]
    ends = start + latency
    sent, in_flight = passed(start, times), present(start, ends, times)
    result += [
        Written("kpasim_requests_started_total", labels, dates, sent, "counter", "Requests sent"),
        Written("kpasim_requests_in_flight", labels, dates, in_flight, "gauge", "Requests sent and not completed"),
    ]

    def add(name: str, about: str, ended_s: Floats, lasted_s: Floats, more: Mapping[str, str]) -> None:
        for part, le, values in histogram(ended_s, lasted_s, times, BOUNDS_S):
            result.append(Written(name + part, {**labels, **more, **le}, dates, values, "histogram", about))

    done = ~np.isnan(ends)
    for status in np.unique(requests["status"][done]).tolist():
        chosen = done & (requests["status"] == status)
        more = {"http_response_status_code": str(status)}
        add("kpasim_request_duration_seconds", "Latency of requests", ends[chosen], latency[chosen], more)
    served_s, service_s = requests["server_end_s"], requests["service_s"]
    known = ~np.isnan(served_s) & ~np.isnan(service_s)
    add("kpasim_service_duration_seconds", "Service time of requests", served_s[known], service_s[known], {})
    return result


def _latest(table: Columns, column: str, times_s: Floats) -> Floats:
    # Whole numbers that are not known are -1; excess burst capacity may be below 0.
    least = -np.inf if column == "excess_burst_capacity" else 0.0
    return last_values(table["t_s"], np.maximum(np.nan_to_num(np.asarray(table[column], float)), least), times_s, 0.0)
