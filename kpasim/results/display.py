"""Figures as people read them: on a terminal, on a page, in a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import numpy as np

FIGURES = (
    ("total", "total_s", "s"),
    ("mean latency", "latency_s.mean", "s"),
    ("p50", "latency_s.p50", "s"),
    ("p90", "latency_s.p90", "s"),
    ("p95", "latency_s.p95", "s"),
    ("p99", "latency_s.p99", "s"),
    ("slowest", "latency_s.max", "s"),
    ("errors", "errors", "requests"),
    ("most pods", "max_pods", "pods"),
    ("cold starts", "cold_starts", "pods"),
    ("pod time", "pod_seconds", "s"),
    ("GPU time", "gpu_seconds", "s"),
    ("first scale-out", "first_scale_out_s", "s after the load starts"),
    ("panic begins", "panic_entered_s", "s after the load starts"),
    ("desired 0", "desired_zero_after_last_s", "s after the last response"),
    ("replicas 0", "replicas_zero_after_last_s", "s after the last response"),
)
"""Figures of merit in the order in which they are shown: title, name among the figures, unit."""

LEAST_RUNS = 19
"""Of fewer runs no twentieth can be left out on either side: even their least and greatest hold less than 90 %."""
NOTHING = "–"  # noqa: RUF001  # what tables have where there is no number


def number(value: Any, digits: int = 4) -> str:
    """A number as people write it: four figures, no noise; a dash for nothing."""
    if value is None or np.isnan(value):
        return NOTHING
    if isinstance(value, int) or (abs(value) < 1e15 and float(value).is_integer()):
        return f"{value:,.0f}"
    return f"{float(value):.{digits}g}" if abs(value) < 10 ** (digits - 1) else f"{value:,.0f}"


def clock(time_s: float, end_s: float) -> str:
    """A time since the load began: ``80.9s`` of a short run, ``12:34`` or ``22:23:46`` of one of many minutes or hours.

    Args:
        time_s: The time.
        end_s: End of the run: all of its times are written alike.
    """
    if end_s < 600:
        return f"{time_s:.1f}s"
    sign, whole = "-" if time_s < -0.5 else "", round(abs(time_s))
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{sign}{hours}:{minutes:02}:{seconds:02}" if end_s >= 3600 else f"{sign}{minutes}:{seconds:02}"


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
    return "90 % interval" + (
        "" if replications >= LEAST_RUNS else f" (fewer than {LEAST_RUNS} runs: least to greatest)"
    )


def as_html(title: str, medians: Mapping[str, Any], intervals: Mapping[str, Any]) -> str:
    """A table of figures for a notebook.

    Args:
        title: What they are of.
        medians: Figures by dotted name.
        intervals: Their 90 % intervals.
    """
    rows = [
        f"<tr><th style='text-align:left'>{heading}</th><td style='text-align:right'>{number(medians[name])}</td>"
        f"<td style='text-align:left'>{span(intervals.get(name))}</td><td style='text-align:left'>{unit}</td></tr>"
        for heading, name, unit in FIGURES
        if medians.get(name) is not None
    ]
    head = "<tr><th></th><th>median</th><th style='text-align:left'>90 %</th><th></th></tr>"
    caption = f"<caption style='text-align:left'>{html.escape(title)}</caption>"
    return f"<table>{caption}<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
