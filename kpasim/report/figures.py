"""Figures of runs and of fits, for files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kpasim.arrays import Floats
from kpasim.report import charts
from kpasim.report.evidence import Evidence
from kpasim.report.paper import BLUE, GREY, SKY, draw, empty, legend_above, on_paper, styled
from kpasim.results.tables import Tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MANY_POINTS = 3000


def run_figures(run: Evidence) -> dict[str, Figure]:
    """Timeline, latencies and dashboard of a run, by name."""
    return {draw.__name__: draw(run, run.name) for draw in (timeline, latencies, dashboard)}


def timeline(run: Evidence, title: str = "") -> Figure:
    """Pods by state over time with the desired number above them, panic shaded; below, what the autoscaler observed."""
    chart = charts.scaling(run)
    # The marks of decisions say something where one can point at them.
    return on_paper(chart | {"data": [one for one in chart["data"] if one["name"] != "decisions"]}, 5.2, title)


def latencies(run: Evidence, title: str = "") -> Figure:
    """Latency of each request against its start, by outcome."""
    chart, _ = charts.latencies(run)
    return on_paper(chart, 3.6, title)


@styled
def dashboard(run: Evidence, title: str = "") -> Figure:
    """What an operator watches: request volume, success rate, response times, burst capacity, and pods over time."""
    names = [["volume", "success"], ["response", "burst"], ["pods", "pods"]]
    figure, axes = empty(names, 7.2, title=title)
    for name, chart in (charts.panels(run) | {"pods": charts.pods(run)}).items():
        draw(axes[name], chart)
        legend_above(axes[name], {"burst": 1, "pods": 6}.get(name, 4))
    return figure


@styled
def overlay(measured: Tables, predicted: Sequence[Tables], end_s: float, title: str = "") -> Figure:
    """A measured run beside its prediction: desired and ready pods over time, and the distribution of latencies."""
    figure, axes = empty([["desired"], ["ready"], ["latency"]], 7.6, title=title)
    pods = charts.bands(measured, predicted, end_s, "predicted, median")
    draw(axes["desired"], pods)
    draw(axes["ready"], pods, "yaxis2")
    draw(axes["latency"], charts.quantiles(measured, predicted))
    axes["desired"].set_xlabel("")
    legend_above(axes["desired"], 3)
    return figure


def intervals(metrics: Mapping[str, Mapping[str, float | None]], title: str = "") -> Figure:
    """Measured values on the scale of their predictions, see `charts.deviations`."""
    chart = charts.deviations(metrics)
    return on_paper(chart, 0.9 + 0.3 * max(1, len(chart["layout"]["yaxis"]["categoryarray"])), title)


@styled
def quantiles(fits: Sequence[tuple[str, Floats, Callable[[Floats], Floats]]], title: str = "") -> Figure:
    """Q-Q plots: measured times against the quantiles of what was fitted to them, one panel each."""
    columns = min(3, len(fits))
    rows = -(-len(fits) // columns)
    names = [[f"{row} {column}" for column in range(columns)] for row in range(rows)]
    figure, panels = empty(names, 0.6 + 2.9 * rows, title=title)
    axes = list(panels.values())
    even = (np.arange(_MANY_POINTS) + 0.5) / _MANY_POINTS
    for axis, (name, times, ppf) in zip(axes, fits, strict=False):
        measured = np.sort(times)
        # A mixture's ppf is not monotone: quantiles are those of many equally likely values.
        fitted = np.quantile(ppf(even), (np.arange(len(measured)) + 0.5) / len(measured))
        ends = [min(measured[0], fitted[0]), max(measured[-1], fitted[-1])]
        axis.plot(ends, ends, color=GREY, linewidth=1)
        axis.plot(fitted, measured, "o", color=BLUE, markersize=3, alpha=0.7)
        axis.set_title(name, fontsize=7.5)
        axis.set(xlabel="fitted [s]", ylabel="measured [s]")
    for axis in axes[len(fits) :]:
        axis.set_axis_off()
    return figure


@styled
def joint(values: Mapping[str, Floats], title: str = "") -> Figure:
    """Draws of several uncertain numbers, each alone on the diagonal and each pair below it."""
    names = list(values)
    count = len(names)
    figure, panels = empty([[f"{row} {column}" for column in range(count)] for row in range(count)], 1.35 * count,
                           title=title)  # fmt: skip
    for place, axis in enumerate(panels.values()):
        row, column = divmod(place, count)
        if column > row:
            axis.set_axis_off()
            continue
        if column == row:
            axis.hist(values[names[row]], bins=20, color=SKY)
            axis.set_yticks([])
        else:
            axis.plot(values[names[column]], values[names[row]], ".", color=BLUE, markersize=2, alpha=0.6)
        axis.tick_params(labelsize=6)
        if row == count - 1:
            axis.set_xlabel(names[column].replace(" ", "\n", 1), fontsize=7)
        if column == 0 and row:
            axis.set_ylabel(names[row].replace(" ", "\n", 1), fontsize=7)
    return figure
