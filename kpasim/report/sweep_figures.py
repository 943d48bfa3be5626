"""Figures of sweeps: the front of cost against latency, a heat map of two axes, one panel for each axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kpasim.report.figures import BLACK, BLUE, GREY, ORANGE, VERMILLION, legend_above, save, styled
from kpasim.report.words import number
from kpasim.results.files import make_folder
from kpasim.results.summary import rounded
from kpasim.studies.grid.axes import value_text
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
ZERO_ABOVE = 0.4
"""An axis whose least value is above this share of its greatest does not begin at zero."""
WIDE, NARROW = 44, 24
"""Letters that fit below a panel of a heat map, and of small multiples."""
MOST_LARGE = 200
"""Settings that are drawn as large points; more are drawn small."""
FACTOR = 10.0
"""Ratio of greatest to least above which latencies are shown, and heat maps coloured, by factors."""


def write_sweep_figures(
    folder: str | Path, result: SweepResult, percentile: str | None = None, suffixes: Sequence[str] = ("svg", "png")
) -> list[Path]:
    """Draw a sweep's figures into a folder, made where it is missing.

    Args:
        folder: Where the files go: ``front.svg``, ``heatmap.svg`` (two axes or more), ``axes.svg``.
        result: The sweep.
        percentile: What cost is weighed against; the sweep's first percentile by default.
        suffixes: Formats.

    Returns:
        The files written.

    Raises:
        RunError: One cannot be written.
    """
    folder = make_folder(folder)
    drawn = {"front": front(result, percentile), "axes": small_multiples(result, percentile)}
    if len(result.about["axes"]) > 1:
        drawn["heatmap"] = heat_map(result, percentile)
    paths = {folder / f"{name}.{suffix}": figure for name, figure in drawn.items() for suffix in suffixes}
    for path, figure in paths.items():
        save(figure, path)
    return list(paths)


@styled
def front(result: SweepResult, percentile: str | None = None) -> Figure:
    """Every setting by its cost and its latency, and the front of those that nothing beats in both.

    Points of the front that may be no faster than the one before carry no number. Bars are 90 % intervals of
    single runs.

    Args:
        result: The sweep.
        percentile: What cost is weighed against; the sweep's first percentile by default.
    """
    percentile = percentile or result.about["percentiles"][0]
    points = result.pareto(percentile)
    named = distinct(points, percentile)[:MOST_LABELS]
    figure, axis, legend = _with_list(len(named))
    costs, latencies = result.costs, result.medians(latency(percentile))
    failing = result.error_shares > result.about["most_errors"]
    axis.plot(costs[~failing], latencies[~failing], "o", color=GREY, markersize=3, alpha=0.55, label="a setting")
    if failing.any():
        text = f"more than {100 * result.about['most_errors']:g} % errors"
        axis.plot(costs[failing], latencies[failing], "x", color=ORANGE, markersize=4, alpha=0.7, label=text)
    x, y = (np.array([point[name] for point in points], dtype=np.float64) for name in ("cost", percentile))
    axis.step(x, y, where="post", color=BLUE, linewidth=1.2)
    axis.plot(x, y, "o", color=BLUE, markersize=4.5, label="Pareto front")
    bars: Any = {"color": BLUE, "linewidth": 0.9, "alpha": 0.6}
    for index, point in enumerate(named):
        axis.plot([point["cost"]] * 2, point[f"{percentile}_interval"], **bars)
        axis.plot(point["cost_interval"], [point[percentile]] * 2, **bars)
        spot = (point["cost"], point[percentile])
        axis.annotate(str(index + 1), spot, xytext=(4, 5), textcoords="offset points", fontweight="bold")
    if result.now is not None:
        spot = (costs[result.now], latencies[result.now])
        axis.plot(*spot, "D", markerfacecolor="none", color=VERMILLION, markersize=8, label="as it is now")
    axis.set(xlabel=f"cost [{result.cost_unit}]", ylabel=f"{percentile} latency [s]")
    _begin_at_zero(axis, costs, latencies)
    if by_factors(latencies):
        axis.autoscale(axis="y")
        axis.set(ylabel=f"{percentile} latency [s], logarithmic", yscale="log")
        axis.yaxis.set_major_formatter(_number)
        axis.yaxis.set_minor_formatter(_second_or_fifth)
    axis.set_title(
        f"{result.about['name']}: {len(result.settings):,} settings, {result.replications} replications each"
    )
    legend_above(axis, 4, "lower right")
    _list(legend, result, named, percentile)
    return figure


@styled
def heat_map(result: SweepResult, percentile: str | None = None, axes: Sequence[str] = ()) -> Figure:
    """Cost and latency over two axes; where there are more, the median over the settings that share both values.

    Args:
        result: A sweep of two axes or more.
        percentile: As for `front`.
        axes: Paths of two axes; the two that matter most by default.
    """
    from matplotlib.figure import Figure

    percentile = percentile or result.about["percentiles"][0]
    across, up = axes or strongest(result, percentile)
    columns, rows = levels(result.values(across)), levels(result.values(up))
    height = 1.6 + 0.32 * max(4, len(rows))
    figure = Figure(figsize=(9.0, min(height, 9.0)), layout="constrained")
    panels = figure.subplots(1, 2)
    what = ((f"cost [{result.cost_unit}]", result.costs), (f"{percentile} [s]", result.medians(latency(percentile))))
    for axis, (title, values) in zip(panels, what, strict=True):
        cells = np.full((len(rows), len(columns)), np.nan)
        for i, (_, one) in enumerate(rows):
            for j, (_, other) in enumerate(columns):
                both = values[np.intersect1d(one, other)]
                cells[i, j] = np.median(both[~np.isnan(both)]) if (~np.isnan(both)).any() else np.nan
        image = axis.imshow(cells, origin="lower", aspect="auto", cmap="cividis", norm=_scale(cells))
        bar = figure.colorbar(image, ax=axis, shrink=0.85, format=_number)
        bar.ax.yaxis.set_minor_formatter(_second_or_fifth)
        _name_levels(axis, [value for value, _ in columns], WIDE)
        axis.set_yticks(range(len(rows)), [_tick(value) for value, _ in rows])
        axis.set(xlabel=short(across), ylabel=short(up))
        more = len(result.about["axes"]) > 2
        axis.set_title(f"{title}{', median over the other axes' if more else ''}")
        axis.grid(False)
        if len(rows) <= MOST_CELLS and len(columns) <= MOST_CELLS:
            _write_cells(axis, cells, image.norm)
    figure.suptitle(result.about["name"], fontsize=11, x=0.01, ha="left")
    return figure


@styled
def small_multiples(result: SweepResult, percentile: str | None = None) -> Figure:
    """One column for each axis: cost and latency of every setting over its value, and their means.

    Args:
        result: The sweep.
        percentile: As for `front`.
    """
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
            axis.set_ylim(0, 1.08 * np.nanmax(values) or None)
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


def _with_list(lines: int) -> tuple[Figure, Axes, Axes]:
    """A figure with a panel, and room for a list below it."""
    from matplotlib.figure import Figure

    below = 0.2 + 0.19 * lines
    figure = Figure(figsize=(9.0, 5.0 + below), layout="constrained")
    axis, legend = figure.subplots(2, 1, height_ratios=(5.0, below))
    legend.axis("off")
    return figure, axis, legend


def by_factors(values: NDArray[np.float64]) -> bool:
    """Whether values differ by factors so large that a single one would hide the others on a scale of differences."""
    known = values[~np.isnan(values)]
    return bool(len(known)) and known.min() > 0 and known.max() > FACTOR * known.min()


def _begin_at_zero(axis: Axes, costs: NDArray[np.float64], latencies: NDArray[np.float64]) -> None:
    """Let axes begin at zero where values differ by factors; where they do not, that would be empty paper."""
    if not np.nanmin(costs) > ZERO_ABOVE * np.nanmax(costs):
        axis.set_xlim(left=0)
    if not np.nanmin(latencies) > ZERO_ABOVE * np.nanmax(latencies):
        axis.set_ylim(bottom=0)


def _list(legend: Axes, result: SweepResult, points: Sequence[dict[str, Any]], percentile: str) -> None:
    """The named points, one line each: cost, latency, and the settings that differ among them."""
    varied = result.varied(points)
    for index, point in enumerate(points):
        text = f"{index + 1:>2}  {point['cost']:.4g} {result.cost_unit}, {percentile} {point[percentile]:.3g} s:  "
        text += label(point["settings"], varied)
        legend.text(0.0, 1 - (index + 0.5) / max(1, len(points)), text, fontsize=8, va="center", color=BLACK)


def _draw_levels(
    axis: Axes,
    groups: Sequence[tuple[Any, NDArray[np.int64]]],
    values: NDArray[np.float64],
    means: Sequence[float | None],
) -> None:
    """Every setting as a point above its value, and the mean of each value as a line, see `pareto.effect`."""
    size = 5 if len(values) <= MOST_LARGE else 2
    for place, (_, members) in enumerate(groups):
        own = np.sort(values[members])
        # Spread out by rank, so that points of one height do not hide each other; no random numbers in figures.
        aside = 0.3 * (np.argsort(np.argsort(np.arange(len(own)) * 0.618 % 1.0)) / max(1, len(own) - 1) - 0.5)
        axis.plot(place + aside, own, ".", color=GREY, markersize=size, alpha=0.5, label="" if place else "a setting")
    heights = [np.nan if mean is None else mean for mean in means]
    axis.plot(range(len(groups)), heights, "D-", color=VERMILLION, markersize=4, label="mean")


def _scale(cells: NDArray[np.float64]) -> Normalize:
    """Colours by factors where values differ by large ones: a single slow setting would hide the others."""
    from matplotlib.colors import LogNorm, Normalize

    known = cells[~np.isnan(cells)]
    if by_factors(cells):
        return LogNorm(float(known.min()), float(known.max()))
    return Normalize(float(known.min()), float(known.max())) if len(known) else Normalize(0.0, 1.0)


def _write_cells(axis: Axes, cells: NDArray[np.float64], scale: Normalize) -> None:
    for (i, j), value in np.ndenumerate(cells):
        if not np.isnan(value):
            colour = BLACK if float(scale(value)) > 0.5 else "white"
            text = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
            axis.text(j, i, text, ha="center", va="center", fontsize=7.5, color=colour)


def _name_levels(axis: Axes, values: Sequence[Any], room: int) -> None:
    """Write the values of an axis below its levels, aslant where there are too many letters for the room."""
    names = [_tick(value) for value in values]
    aslant = max(map(len, names)) * len(names) > room
    axis.set_xticks(range(len(names)), names, rotation=30 if aslant else 0, ha="right" if aslant else "center")


def _tick(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else value_text(value)


def _number(value: float, _: object = None) -> str:
    return number(rounded(value, 4))


def _second_or_fifth(value: float, _: object = None) -> str:
    """Names of the marks between powers of ten: those of 2 and 5, as the others would run into each other."""
    return _number(value) if f"{value:e}"[0] in "25" else ""
