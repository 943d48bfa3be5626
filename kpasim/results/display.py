"""Figures as people read them: on a terminal, on a page, in a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

FIGURES = (
    ("requests", "requests", "requests"),
    ("succeeded", "ok", "requests"),
    ("failed", "errors", "requests"),
    ("  client timeout", "failed.client_timeout", "requests"),
    ("  status 502", "failed.502", "requests"),
    ("  status 503", "failed.503", "requests"),
    ("  status 504", "failed.504", "requests"),
    ("  other", "failed.other", "requests"),
    ("in flight at the end", "in_flight", "requests"),
    ("never sent", "never_sent", "requests"),
    ("mean latency", "latency_s.mean", "s"),
    ("p50", "latency_s.p50", "s"),
    ("p90", "latency_s.p90", "s"),
    ("p95", "latency_s.p95", "s"),
    ("p99", "latency_s.p99", "s"),
    ("max", "latency_s.max", "s"),
    ("waited for a cold start", "cold_start_share", "of requests"),
    ("GPU utilisation", "gpu_utilisation", "of the time"),
    ("peak pods", "max_pods", "pods"),
    ("cold starts", "cold_starts", "pods"),
    ("pod-hours", "pod_seconds", "h"),
    ("GPU-hours", "gpu_seconds", "h"),
    ("requests per day", "requests_per_day", "requests"),
    ("test duration", "total_s", "s"),
    ("first scale-out", "first_scale_out_s", "s after the load starts"),
    ("panic begins", "panic_entered_s", "s after the load starts"),
    ("time to desired 0", "desired_zero_after_last_s", "s after the last response"),
    ("time to scale to zero", "replicas_zero_after_last_s", "s after the last response"),
)
"""Figures of merit in the order in which they are shown: title, name among the figures, unit. Latencies are those of
successful requests."""

MAYBE_ZERO = {
    "failed.client_timeout",
    "failed.502",
    "failed.503",
    "failed.504",
    "failed.other",
    "in_flight",
    "never_sent",
}
"""Figures that are shown only where a run has some."""
SHARES = {"cold_start_share", "failed_share", "gpu_utilisation"}
HOURS = {"pod_seconds", "gpu_seconds"}

PERCENTILES = "Percentiles of a run: linear interpolation between the two nearest successful responses."
"""The rule of every percentile but those of hey's report."""

LEAST_RUNS = 19
"""Of fewer runs no twentieth can be left out on either side: even their least and greatest hold less than 90 %."""
NOTHING = "–"  # noqa: RUF001  # what tables have where there is no number


def number(value: Any, digits: int = 4) -> str:
    """A number as people write it: four figures, no noise; a dash for nothing."""
    if value is None or math.isnan(value):
        return NOTHING
    if isinstance(value, int) or (abs(value) < 1e15 and float(value).is_integer()):
        return f"{value:,.0f}"
    return f"{float(value):.{digits}g}" if abs(value) < 10 ** (digits - 1) else f"{value:,.0f}"


def counted(count: float, one: str, many: str | None = None) -> str:
    """``1 pod``, ``5 pods``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def clock(time_s: float, end_s: float) -> str:
    """A time since the load began, as the end of the run has it: ``80.9s``, ``12:34`` or ``22:23:46``."""
    if end_s < 600:
        return f"{time_s:.1f}s"
    sign, whole = "-" if time_s < -0.5 else "", round(abs(time_s))
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{sign}{hours}:{minutes:02}:{seconds:02}" if end_s >= 3600 else f"{sign}{minutes}:{seconds:02}"


def percent(share: float) -> str:
    """A share in percent: ``46 %``, ``0.4 %``; 0 and 100 only where it is nothing or all."""
    value = 100 * share
    if value in {0, 100}:
        return f"{value:.0f} %"
    if value < 1 or value > 99:
        return f"{min(max(float(f'{value:.2g}' if value < 1 else f'{value:.1f}'), 0.01), 99.9):g} %"
    return f"{value:.0f} %"


def figure(name: str, value: Any) -> str:
    """A value of a figure of merit as it is shown: counts are whole, shares in percent, pod-seconds in hours."""
    from kpasim.results.summary import COUNTS

    if value is None or math.isnan(value):
        return NOTHING
    if name in SHARES:
        return percent(value)
    if name in HOURS:
        return number(value / 3600)
    return f"{math.floor(value):,}" if name in COUNTS else number(value)


def figure_span(name: str, interval: Any) -> str:
    """An interval of a figure of merit, as `figure` shows its ends."""
    if not interval or interval[0] is None:
        return ""
    low, high = (figure(name, one) for one in interval)
    return low if low == high else f"{low} to {high}"


def signed(name: str, value: float) -> str:
    """A difference of a figure of merit with its sign: shares in percentage points, pod-seconds in hours."""
    value = value / 3600 if name in HOURS else 100 * value if name in SHARES else value
    return f"{value:+,.0f}" if abs(value) >= 1000 else f"{value:+.3g}" if value else "0"


def shown(medians: Mapping[str, Any], intervals: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """The figures of merit that a run has: title, value, interval and unit."""
    rows = []
    failures = (medians.get("ok") or 0) < (medians.get("requests") or 0)
    for title, name, unit in FIGURES:
        value, interval = medians.get(name), intervals.get(name)
        if value is None or (name in MAYBE_ZERO and not value and not any(interval or ())):
            continue
        of = ", of successes" if name.startswith("latency_s.") and failures else ""
        rows.append((title, figure(name, value), figure_span(name, interval), f"{unit}{of}"))
    return rows


def span(interval: Any) -> str:
    """An interval ``lo to hi``; empty where both ends are missing."""
    if not interval or interval[0] is None:
        return ""
    low, high = number(interval[0]), number(interval[1])
    return low if low == high else f"{low} to {high}"


def interval_words(replications: int) -> str:
    """What the ends of an interval over so many replications are; nothing of a single one."""
    if replications < 2:
        return ""
    return "90 % interval" + ("" if replications >= LEAST_RUNS else f" (fewer than {LEAST_RUNS} runs: min to max)")


def as_html(title: str, medians: Mapping[str, Any], intervals: Mapping[str, Any]) -> str:
    """A table of figures and their 90 % intervals, both by dotted name, for a notebook."""
    rows = [
        f"<tr><th style='text-align:left'>{heading}</th><td style='text-align:right'>{value}</td>"
        f"<td style='text-align:left'>{interval}</td><td style='text-align:left'>{unit}</td></tr>"
        for heading, value, interval, unit in shown(medians, intervals)
    ]
    head = "<tr><th></th><th>median</th><th style='text-align:left'>90 %</th><th></th></tr>"
    caption = f"<caption style='text-align:left'>{html.escape(title)}</caption>"
    return f"<table>{caption}<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
