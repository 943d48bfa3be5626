"""Ready pods of all replications over time: the median and the band that holds 90 % of them."""

from typing import Any

import numpy as np

from kpasim.arrays import Floats, Ints
from kpasim.report.drawing import line
from kpasim.results.display import held
from kpasim.results.frames import Columns

MOMENTS = 300
"""Moments at which the band is drawn."""


def ready_pods(pods: Columns, t_s: Floats) -> Ints:
    """Ready pods of each replication at ascending moments [s], as `pods_by_state` counts: a row for each."""
    ready, asked = pods["ready_s"], np.fmin(pods["delete_requested_s"], pods["gone_s"])
    served = ~np.isnan(ready) & ~(asked <= ready)
    runs, moments = len(ready), len(t_s)
    change = np.zeros(runs * (moments + 1), dtype=np.int64)
    row = np.broadcast_to((moments + 1) * np.arange(runs)[:, np.newaxis], ready.shape)
    for times, by, counts in ((ready, 1, served), (asked, -1, served & ~np.isnan(asked))):
        # A pod counts from the first moment at or after its change.
        place = row[counts] + np.searchsorted(t_s, times[counts], side="left")
        change += by * np.bincount(place, minlength=len(change))
    return np.cumsum(change.reshape(runs, moments + 1)[:, :-1], axis=1)


def band(pods: Columns, end_s: float) -> tuple[Floats, Ints]:
    """Moments until ``end_s``, and the 5 %, 50 % and 95 % quantiles of ready pods at each, shape ``(3, moments)``."""
    t_s = np.linspace(0.0, end_s, MOMENTS)
    quantiles = np.percentile(ready_pods(pods, t_s), [5, 50, 95], axis=0, method="inverted_cdf")
    return t_s, quantiles.astype(np.int64)


def traces(pods: Columns, end_s: float, scale: float, *, name: str = "", pinned: bool = False) -> list[dict[str, Any]]:
    """The band as two edges, and of a pinned variant its median, too, as plotly has lines."""
    t_s, (low, middle, high) = band(pods, end_s)
    x, colour = t_s / scale, "<red>" if pinned else "<blue>"
    said = f"{name}: " if name else ""
    ends = [f"{a} to {b}" for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    lower = line(x, low, f"{said}lower end", colour, "dot", step=True, showlegend=False, hoverinfo="skip")
    upper = line(x, high, f"{said}ready, {held(len(pods['ready_s']))}", colour, "dot", step=True, text=ends,
                 hovertemplate="%{text}")  # fmt: skip
    for edge in (lower, upper):
        edge["line"]["width"] = 1.5
    drawn = [lower, upper]
    if pinned:
        drawn.append(line(x, middle, f"{said}ready, median", colour, "dash", step=True, hovertemplate="%{y}"))
    else:
        upper |= {"fill": "tonexty", "fillcolor": "<band>"}
    return [one | {"legendgroup": f"band {name}"} for one in drawn]
