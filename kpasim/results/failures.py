"""Failed, unanswered and unsent requests in words: the same sentences on the terminal, on pages and in errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kpasim.results.display import number
from kpasim.results.summary import FAILED, FAILED_STATUSES

_KINDS = dict(
    zip(
        FAILED,
        ("client timeout", *(f"status {status}" for status in FAILED_STATUSES), "another status"),
        strict=True,
    )
)


def failed(figures: Mapping[str, Any]) -> str:
    """How many requests failed and how; empty where none did.

    Args:
        figures: Figures under dotted names, see `results.summary`: one value per run, or of one run.
    """
    errors, ended = _mean(figures, "errors"), _mean(figures, "requests") - _mean(figures, "in_flight")
    if not errors:
        return ""
    kinds = {words: _mean(figures, name) for name, words in _KINDS.items() if name in figures}
    listed = ", ".join(f"{_count(count)} {words}" for words, count in kinds.items() if count)
    by_kind = f": {listed}" if listed else ""
    return f"{_percent(errors / ended)} of requests failed ({_count(errors)} of {_count(ended)}{by_kind})"


def in_flight(figures: Mapping[str, Any]) -> str:
    """How many requests had no response when the run ended; empty where all had."""
    count = _mean(figures, "in_flight")
    if not count:
        return ""
    share = f"{_count(count)} of {_count(_mean(figures, 'requests'))} requests"
    return f"{share} in flight at the end of the run: late in latency SLOs, not counted as errors"


def cut_load(figures: Mapping[str, Any], horizon_s: float | None = None) -> str:
    """That the horizon ended the run before its load; empty where it did not.

    Args:
        figures: As for `failed`.
        horizon_s: The horizon, from the start of the load.
    """
    unsent = np.asarray(figures.get("never_sent", 0.0), dtype=np.float64)
    if (unsent == 0).all():
        return ""
    end = f"the run ends before its load{f' (horizon: {horizon_s:g} s)' if horizon_s else ''}"
    waiting = _mean(figures, "in_flight")
    unanswered = f", {_count(waiting)} had no response" if waiting else ""
    if np.isnan(unsent).any():
        return f"{end}: clients were still to send requests{unanswered}"
    count = _mean(figures, "never_sent")
    load = count + _mean(figures, "requests")
    return f"{end}: {_count(count)} of {_count(load)} requests were never sent{unanswered}"


def _mean(figures: Mapping[str, Any], name: str) -> float:
    value = figures.get(name, 0.0)
    return 0.0 if value is None else float(np.mean(value))


def _count(mean: float) -> str:
    """A mean count as a whole number; below one request a run, as it is."""
    return f"{round(mean):,}" if mean >= 0.5 else number(mean, 2)


def _percent(share: float) -> str:
    """A share in per cent; only none is 0 % and only all is 100 %."""
    return f"{min(100 * share, 99.9):.3g} %" if share < 1 else "100 %"
