"""Figures of sweeps: the front of cost against latency, a heat map of two axes, one panel for each axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kpasim.arrays import Floats, Ints
from kpasim.report.paper import BLACK, GREY, VERMILLION, draw, empty, legend_above, styled
from kpasim.report.sweep_charts import MOST_LARGE, by_factors, front_chart, level_text
from kpasim.results.display import number
from kpasim.results.summary import rounded
from kpasim.studies.grid.pareto import levels
from kpasim.studies.grid.result import SweepResult, label, latency, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

MOST_LABELS = 16
"""Points of a front that are named."""
MOST_CELLS = 14
"""Rows and columns of a heat map in whose cells numbers are written."""
WIDE, NARROW = 44, 24
"""Letters that fit below a panel of a heat map, and of small multiples."""


def sweep_figures(result: SweepResult, percentile: str | None = None) -> dict[str, Figure]:
    """A sweep's figures by name: ``front``, ``axes``, and of two axes or more ``heatmap``."""
    drawn = {"front": front(result, percentile), "axes": small_multiples(result, percentile)}
    return drawn | ({"heatmap": heat_map(result, percentile)} if len(result.about["axes"]) > 1 else {})


@styled
def front(result: SweepResult, percentile: str | None = None) -> Figure:
    """Every setting by its cost and its latency, and the front of those that nothing beats in both.

    Points of the front that may be no faster than the one before carry no number. Bars are 90 % intervals of
    single runs.
    """
    percentile = percentile or result.about["percentiles"][0]
    points = result.pareto(percentile)
    named = distinct(points, percentile)[:MOST_LABELS]
    below = 0.2 + 0.19 * len(named)
    figure, axes = empty([["front"], ["list"]], 5.0 + below, ratios=(5.0, below))
    draw(axes["front"], front_chart(result, percentile))
    for index, point in enumerate(named):
        spot = (point["cost"], point[percentile])
        axes["front"].annotate(str(index + 1), spot, xytext=(4, 5), textcoords="offset points", fontweight="bold")
    axes["front"].set_title(
        f"{result.about['name']}: {len(result.settings):,} settings, {result.replications} replications each"
    )
    legend_above(axes["front"], 4, "lower right")
    axes["list"].axis("off")
    _list(axes["list"], result, named, percentile)
    return figure


@styled
def heat_map(result: SweepResult, percentile: str | None = None, axes: Sequence[str] = ()) -> Figure:
    """Cost and latency over two axes, those that matter most by default; medians where settings share both."""
    percentile = percentile or result.about["percentiles"][0]
    across, up = axes or strongest(result, percentile)
    columns, rows = levels(result.values(across)), levels(result.values(up))
    figure, panels = empty([["cost", "latency"]], min(1.6 + 0.32 * max(4, len(rows)), 9.0), title=result.about["name"])
    what = ((f"cost [{result.cost_unit}]", result.costs), (f"{percentile} [s]", result.medians(latency(percentile))))
    for axis, (title, values) in zip(panels.values(), what, strict=True):
        cells = np.full((len(rows), len(columns)), np.nan)
        for i, (_, one) in enumerate(rows):
            for j, (_, other) in enumerate(columns):
                both = values[np.intersect1d(one, other)]
                cells[i, j] = np.median(both[~np.isnan(both)]) if (~np.isnan(both)).any() else np.nan
        scale = _scale(cells)
        image = axis.imshow(cells, origin="lower", aspect="auto", cmap="cividis", norm=scale)
        bar = figure.colorbar(image, ax=axis, shrink=0.85, format=_number)
        bar.ax.yaxis.set_minor_formatter(_second_or_fifth)
        _name_levels(axis, [value for value, _ in columns], WIDE)
        axis.set_yticks(range(len(rows)), [level_text(value) for value, _ in rows])
        axis.set(xlabel=short(across), ylabel=short(up))
        more = len(result.about["axes"]) > 2
        axis.set_title(f"{title}{', median over the other axes' if more else ''}")
        axis.grid(False)
        if len(rows) <= MOST_CELLS and len(columns) <= MOST_CELLS:
            _write_cells(axis, cells, scale)
    return figure


@styled
def small_multiples(result: SweepResult, percentile: str | None = None) -> Figure:
    """One column for each axis: cost and latency of every setting over its value, and their means."""
    from matplotlib.figure import Figure

    percentile = percentile or result.about["percentiles"][0]
    axes = list(result.about["axes"])
    figure = Figure(figsize=(max(4.5, 2.3 * len(axes) + 0.8), 4.8), layout="constrained")
    panels = figure.subplots(2, len(axes), squeeze=False, sharey="row")
    outcomes = (
        (f"cost [{result.cost_unit}]", result.costs),
        (f"{percentile} [s]", result.medians(latency(percentile))),
    )
    effects = result.effects(percentile)
    for column, path in enumerate(axes):
        groups = levels(result.values(path))
        for row, (title, values) in enumerate(outcomes):
            axis = panels[row, column]
            means = [level[("cost", percentile)[row]] for level in effects[path]["levels"]]
            _draw_levels(axis, groups, values, means)
            _name_levels(axis, [value for value, _ in groups], NARROW)
            axis.set_ylim(0, 1.08 * np.nanmax(values, initial=0.0) or None)
            axis.yaxis.set_major_formatter(_number)
            if column == 0:
                axis.set_ylabel(title)
        panels[1, column].set_xlabel(short(path))
    legend_above(panels[0, 0], 2)
    figure.suptitle(result.about["name"], fontsize=11, x=0.01, ha="left")
    return figure


def distinct(points: Sequence[dict[str, Any]], percentile: str) -> list[dict[str, Any]]:
    """Points of a front that are significantly faster than the one before; of those that may not be, the cheapest."""
    return [
        point
        for place, point in enumerate(points)
        if place == 0 or points[place - 1]["next"][f"{percentile}_significant"]
    ]


def strongest(result: SweepResult, percentile: str) -> tuple[str, str]:
    """The two axes that explain most of the variance of cost and latency; the one for the rows last."""
    effects = result.effects(percentile)
    weight = {
        axis: sum(found["share"].get(name) or 0.0 for name in ("cost", percentile)) for axis, found in effects.items()
    }
    first, second = sorted(weight, key=lambda axis: -weight[axis])[:2]
    return first, second


def _list(legend: Axes, result: SweepResult, points: Sequence[dict[str, Any]], percentile: str) -> None:
    """The named points, one line each: cost, latency, and the settings that differ among them."""
    varied = result.varied(points)
    for index, point in enumerate(points):
        cost = f"{number(point['cost'])} {result.cost_unit}"
        text = f"{index + 1:>2}  {cost}, {percentile} {number(point[percentile], 3)} s:  "
        text += label(point["settings"], varied)
        legend.text(0.0, 1 - (index + 0.5) / max(1, len(points)), text, fontsize=8, va="center", color=BLACK)


def _draw_levels(axis: Axes, groups: Sequence[tuple[Any, Ints]], values: Floats, means: Sequence[float | None]) -> None:
    """Every setting as a point above its value, and the mean of each value as a line, see `pareto.effect`."""
    size = 5 if len(values) <= MOST_LARGE else 2
    for place, (_, members) in enumerate(groups):
        own = np.sort(values[members])
        # Spread out by rank, so that points of one height do not hide each other; no random numbers in figures.
        aside = 0.3 * (np.argsort(np.argsort(np.arange(len(own)) * 0.618 % 1.0)) / max(1, len(own) - 1) - 0.5)
        axis.plot(place + aside, own, ".", color=GREY, markersize=size, alpha=0.5, label="" if place else "a setting")
    heights = [np.nan if mean is None else mean for mean in means]
    axis.plot(range(len(groups)), heights, "D-", color=VERMILLION, markersize=4, label="mean")


def _scale(cells: Floats) -> Normalize:
    """Colours by factors where values differ by large ones: a single slow setting would hide the others."""
    from matplotlib.colors import LogNorm, Normalize

    known = cells[~np.isnan(cells)]
    if by_factors(cells):
        return LogNorm(float(known.min()), float(known.max()))
    return Normalize(float(known.min()), float(known.max())) if len(known) else Normalize(0.0, 1.0)


def _write_cells(axis: Axes, cells: Floats, scale: Normalize) -> None:
    for (i, j), value in np.ndenumerate(cells):
        if not np.isnan(value):
            colour = BLACK if float(scale(value)) > 0.5 else "white"
            text = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
            axis.text(j, i, text, ha="center", va="center", fontsize=7.5, color=colour)


def _name_levels(axis: Axes, values: Sequence[Any], room: int) -> None:
    """Write the values of an axis below its levels, aslant where there are too many letters for the room."""
    names = [level_text(value) for value in values]
    aslant = max(map(len, names)) * len(names) > room
    axis.set_xticks(range(len(names)), names, rotation=30 if aslant else 0, ha="right" if aslant else "center")


def _number(value: float, _: object = None) -> str:
    return number(rounded(value, 4))


def _second_or_fifth(value: float, _: object = None) -> str:
    """Names of the marks between powers of ten: those of 2 and 5, as the others would run into each other."""
    return _number(value) if f"{value:e}"[0] in "25" else ""
