"""A prediction as series under ``kpasim_`` names, to draw beside the recorded ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kpasim.records.prometheus.exposition import Written
from kpasim.studies.backtest.compare import Backtest

NAMES = {
    "pods": ("kpasim_revision_pods_count", "Ready pods as predicted, mean of a bin of time."),
    "requested": ("kpasim_revision_pods_requested", "Requested pods as predicted, mean of a bin of time."),
    "desired": ("kpasim_revision_pods_desired", "Desired pods as predicted, mean of a bin of time."),
    "concurrency": ("kpasim_revision_concurrency_stable", "Average concurrency of the stable window as predicted."),
    "panic": ("kpasim_revision_panic_mode", "Share of time in panic mode as predicted."),
    "latency_s": ("kpasim_request_duration_mean_seconds", "Mean duration of the requests that ended in a bin of time."),
    "requests": ("kpasim_requests_ended", "Requests that ended in a bin of time as predicted."),
}
"""Name and help of each series, by figure."""


def series_of(found: Backtest) -> Iterator[Written]:
    """For each figure its mean and the ends of its 90 % band, at the middle of each bin of time."""
    of = {"k8s_namespace_name": found.observation.namespace, "kn_service_name": found.observation.service}
    middles_s = 0.5 * (found.edges_s[1:] + found.edges_s[:-1])
    for figure, (name, text) in NAMES.items():
        if figure not in found.bands:
            continue
        band = found.bands[figure]
        for stat, values in (("mean", band.predicted), ("p05", band.low), ("p95", band.high)):
            known = np.isfinite(values)
            yield Written(name, {**of, "stat": stat}, middles_s[known], values[known], help=text)
