"""A load that was cut, in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kpasim.results.display import seconds


def cut_load(figures: Mapping[str, Any], horizon_s: float | None = None) -> str:
    """That the horizon [s] ended the run before its load; empty where it did not. Figures are of runs or of one."""
    unsent = np.asarray(figures.get("never_sent", 0.0), dtype=np.float64)
    if (unsent == 0).all():
        return ""
    end = f"the run ends before its load{f' (horizon: {seconds(horizon_s)})' if horizon_s else ''}"
    waiting = _mean(figures, "in_flight")
    unanswered = f", {round(waiting):,} had no response" if waiting else ""
    if np.isnan(unsent).any():
        return f"{end}: clients were still to send requests{unanswered}"
    count = _mean(figures, "never_sent")
    load = count + _mean(figures, "requests")
    return f"{end}: {round(count):,} of {round(load):,} requests were never sent{unanswered}"


def _mean(figures: Mapping[str, Any], name: str) -> float:
    value = figures.get(name, 0.0)
    return 0.0 if value is None else float(np.mean(value))
