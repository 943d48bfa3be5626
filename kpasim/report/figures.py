"""Figures of runs, from tables only.

Every figure is drawn on white in colours that colour-blind readers tell apart (Okabe and Ito), and says nothing by
colour alone: lines differ in dashes, areas in hatching, points in shape. The same tables give the same file, byte for
byte.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

import numpy as np
from numpy.typing import NDArray

from kpasim.report.charts import comparable
from kpasim.report.drawing import bin_width, time_unit
from kpasim.results.files import atomic_write, make_folder
from kpasim.results.frames import Columns
from kpasim.results.states import STATES, begin_s, desired_pods, last_s, panic_spans, pods_by_state, ready_pods
from kpasim.results.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"

STYLE: Any = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.columnspacing": 1.1,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.7,
    "legend.handletextpad": 0.5,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "kpasim",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}

_STATE_LOOKS = {
    "ready": ("#A6CEE8", "", BLUE),
    "starting": ("#FBE3B0", "////", ORANGE),
    "pending": ("#EDEDED", "....", "#666666"),
    "terminating": ("#F3DCE9", "\\\\\\\\", PURPLE),
}
_OUTCOMES: tuple[tuple[str, str, str, Callable[[NDArray[Any]], NDArray[np.bool_]]], ...] = (
    ("succeeded (2xx)", "o", BLUE, lambda status: (status >= 200) & (status < 300)),
    ("redirected (3xx)", "P", GREEN, lambda status: (status >= 300) & (status < 400)),
    ("refused (4xx)", "^", ORANGE, lambda status: (status >= 400) & (status < 500)),
    ("failed (5xx)", "X", VERMILLION, lambda status: status >= 500),
    ("timed out", "v", BLACK, lambda status: status == 0),
)
_PERCENTILES = ((50, "-", BLUE), (90, "--", GREEN), (95, "-.", VERMILLION), (99, ":", BLACK))
_MANY_POINTS = 3000
_GRID_POINTS = 600


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in our style, whatever matplotlib's settings are, and leave them as they were."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        from matplotlib import style

        with style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return drawn


def save(figure: Figure, path: str | Path, dpi: int = 150) -> None:
    """Write a figure in the format that the suffix names: ``.svg``, ``.png`` or ``.pdf``.

    Raises:
        RunError: The file cannot be written.
        ValueError: Matplotlib knows no such format.
    """
    from matplotlib import style

    path = Path(path)
    kind = path.suffix.lstrip(".").lower()
    # Without dates and versions the same figure gives the same bytes.
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    metadata["pdf"] = {"CreationDate": None, "Creator": None, "Producer": None}
    with style.context(["default", STYLE]), atomic_write(path, "wb") as file:
        figure.savefig(file, format=kind, dpi=dpi, metadata=metadata.get(kind))


def write_run_figures(
    folder: str | Path,
    tables: Tables,
    horizon_s: float | None = None,
    title: str | None = None,
    suffixes: Sequence[str] = ("svg", "png"),
) -> list[Path]:
    """Draw a run's timeline, latencies and dashboard into a folder, made where it is missing.

    Args:
        folder: Where the files go: ``timeline.svg``, ``timeline.png``, ``latencies.svg`` ...
        tables: One run.
        horizon_s: Where time axes end; the last moment of the tables when not given.
        title: Heading; the folder's name when not given.
        suffixes: Formats.

    Returns:
        The files written.

    Raises:
        RunError: One cannot be written.
    """
    folder = make_folder(folder)
    title = folder.name if title is None else title
    drawn = {
        "timeline": timeline(tables, horizon_s, title),
        "latencies": latencies(tables, title),
        "dashboard": dashboard(tables, horizon_s, title),
    }
    paths = {folder / f"{name}.{suffix}": figure for name, figure in drawn.items() for suffix in suffixes}
    for path, figure in paths.items():
        save(figure, path)
    return list(paths)


@styled
def timeline(tables: Tables, horizon_s: float | None = None, title: str = "") -> Figure:
    """Pods by state over time with the desired number above them, panic shaded; below, what the autoscaler observed.

    A run of many changes is drawn in bins of time.

    Args:
        tables: One run.
        horizon_s: Where the time axis ends; the last moment of the tables when not given.
        title: Heading.
    """
    figure, axes = _figure(2, height=5.2, ratios=(2.2, 1), title=title)
    end = horizon_s if horizon_s is not None else last_s(tables)
    begin = begin_s(tables)
    scale, unit = time_unit(end)
    _draw_pods(axes[0], tables, begin, end, scale)
    axes[0].set_ylabel(_pods_label(tables, end))
    legend_above(axes[0], 6)
    _draw_averages(axes[1], tables, end, scale)
    axes[1].set_ylabel("average concurrency")
    axes[1].set_ylim(bottom=0)
    legend_above(axes[1], 3)
    _time_axis(axes, begin, end, scale, unit)
    return figure


@styled
def pods_small_multiples(runs: Sequence[tuple[str, Tables]], horizon_s: float, title: str = "") -> Figure:
    """Pods by state over time of several runs, a panel for each, all on the same axes.

    Args:
        runs: Runs with the names they are shown under.
        horizon_s: Where the time axis ends.
        title: Heading.
    """
    figure, axes = _figure(len(runs), height=0.9 + 1.5 * len(runs), title=title)
    scale, unit = time_unit(horizon_s)
    for axis, (name, tables) in zip(axes, runs, strict=True):
        _draw_pods(axis, tables, 0.0, horizon_s, scale)
        axis.set_title(name, loc="right", fontsize=10)
        axis.set_ylabel(_pods_label(tables, horizon_s))
    top = max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:
        axis.set_ylim(0, top)
    fullest = max(axes, key=lambda axis: len(axis.get_legend_handles_labels()[1]))
    handles, labels = fullest.get_legend_handles_labels()
    axes[0].legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=6, borderaxespad=0.1)
    _time_axis(axes, 0.0, horizon_s, scale, unit)
    return figure


@styled
def latencies(tables: Tables, title: str = "") -> Figure:
    """Latency of each request against its start, by outcome.

    Args:
        tables: One run. A request that is in flight at the end is drawn with the time that it has waited.
        title: Heading.
    """
    figure, axes = _figure(1, height=3.6, title=title)
    requests = tables.requests
    ended = ~np.isnan(requests["latency_s"])
    start, latency, status = (requests[name][ended] for name in ("start_s", "latency_s", "status"))
    end = float(np.max(requests["start_s"], initial=1.0))
    scale, unit = time_unit(end)
    for label, marker, colour, chosen in _OUTCOMES:
        some = chosen(status)
        crowded = some.sum() > _MANY_POINTS
        if some.any():
            axes[0].scatter(
                start[some] / scale,
                latency[some],
                s=8 if crowded else 24,
                marker=marker,
                color=colour,
                alpha=0.35 if crowded else 0.8,
                linewidths=0,
                rasterized=crowded,
                label=f"{label}: {some.sum():,}",
            )
    waiting = requests["start_s"][~ended]
    if len(waiting):
        waited = last_s(tables) - waiting
        label = f"in flight at the end: {len(waiting):,}"
        axes[0].scatter(waiting / scale, waited, s=24, marker="2", color=GREY, linewidths=1, label=label)
    axes[0].set_ylabel("latency [s]")
    axes[0].set_ylim(bottom=0)
    legend_above(axes[0], 5)
    _time_axis(axes, min(0.0, float(np.min(start, initial=0.0))), end, scale, unit, "request sent")
    return figure


@styled
def dashboard(tables: Tables, horizon_s: float | None = None, title: str = "") -> Figure:
    """What an operator watches: request volume, success rate, 4xx, 5xx, response times and pods over time.

    Requests are counted in the interval in which they ended.

    Args:
        tables: One run.
        horizon_s: Where the time axis ends; the last moment of the tables when not given.
        title: Heading.
    """
    figure, axes = _figure(6, height=7.2, columns=2, title=title)
    end = horizon_s if horizon_s is not None else last_s(tables)
    scale, unit = time_unit(end)
    requests = tables.requests
    done = ~np.isnan(requests["latency_s"])
    ends = (requests["start_s"] + requests["latency_s"])[done]
    latency, status = requests["latency_s"][done], requests["status"][done]
    width = bin_width(end)
    edges = np.arange(0.0, max(end, width) + width, width)
    middle = (edges[:-1] + edges[1:]) / 2 / scale
    per_second = {
        "all": np.histogram(ends, edges)[0] / width,
        "ok": np.histogram(ends[(status >= 200) & (status < 300)], edges)[0] / width,
        "4xx": np.histogram(ends[(status >= 400) & (status < 500)], edges)[0] / width,
        "5xx": np.histogram(ends[status >= 500], edges)[0] / width,
        "none": np.histogram(ends[status == 0], edges)[0] / width,
    }
    axes[0].step(middle, per_second["all"], where="mid", color=BLUE)
    axes[0].set(title="request volume", ylabel="requests ended [1/s]")
    with np.errstate(invalid="ignore", divide="ignore"):
        share = 100 * per_second["ok"] / per_second["all"]
    axes[1].plot(middle, share, "o-", color=GREEN, markersize=3)
    axes[1].set(title="success rate", ylabel="2xx of all that ended [%]", ylim=(-3, 103))
    axes[2].step(middle, per_second["4xx"], where="mid", color=ORANGE)
    axes[2].set(title="4xx", ylabel="requests [1/s]")
    axes[3].step(middle, per_second["5xx"], where="mid", color=VERMILLION, label="5xx")
    axes[3].step(middle, per_second["none"], where="mid", color=BLACK, linestyle="--", label="timed out")
    axes[3].set(title="5xx and time-outs", ylabel="requests [1/s]")
    legend_above(axes[3], 2, "lower right")
    place = np.digitize(ends, edges) - 1
    answered = status > 0
    highest = 0.0
    groups = [latency[answered & (place == i)] for i in range(len(middle))]
    for rank, dashes, colour in _PERCENTILES:
        values = [float(np.percentile(group, rank)) if len(group) else np.nan for group in groups]
        highest = float(np.fmax.reduce([highest, *values]))
        axes[4].plot(middle, values, dashes, color=colour, marker=".", markersize=3, label=f"p{rank}")
    axes[4].set(title="response time", ylabel="latency of responses [s]")
    legend_above(axes[4], 4, "lower right")
    _draw_pods(axes[5], tables, 0.0, end, scale)
    axes[5].set(title="pods", ylabel=_pods_label(tables, end))
    legend_above(axes[5], 3, "lower right")
    for axis, shown in ((axes[0], ("all",)), (axes[2], ("4xx",)), (axes[3], ("5xx", "none"))):
        most = max(float(per_second[name].max()) for name in shown) or 1.0
        axis.set_ylim(-0.02 * most, 1.08 * most)
    axes[4].set_ylim(0, 1.08 * (highest or 1.0))
    _time_axis(axes, 0.0, end, scale, unit)
    return figure


@styled
def overlay(measured: Tables, predicted: Sequence[Tables], horizon_s: float | None = None, title: str = "") -> Figure:
    """A measured run beside its prediction: desired and ready pods over time, and the distribution of latencies.

    Args:
        measured: The measured run.
        predicted: Replications of the prediction; their median is a line, the middle 90 % a band.
        horizon_s: Where the time axis ends; the last moment of the measured tables when not given.
        title: Heading.
    """
    figure, axes = _figure(3, height=7.6, title=title)
    end = horizon_s if horizon_s is not None else last_s(measured)
    scale, unit = time_unit(end)
    grid = np.linspace(0, end, _GRID_POINTS)
    for axis, label, count in ((axes[0], "desired pods", desired_pods), (axes[1], "ready pods", ready_pods)):
        bands = np.array([count(tables, grid) for tables in predicted])
        _band(axis, grid / scale, bands, step=True)
        axis.step(grid / scale, count(measured, grid), where="post", color=BLACK, label="measured")
        axis.set(ylabel=label)
        axis.set_ylim(bottom=0)
    _time_axis(axes[:2], 0.0, end, scale, unit)
    share = np.linspace(0.0, 100.0, 201)
    every = np.array([_quantiles(tables.requests, share) for tables in predicted])
    _band(axes[2], share, every)
    axes[2].plot(share, _quantiles(measured.requests, share), color=BLACK, label="measured")
    axes[2].set(xlabel="share of successful requests that took no longer [%]", ylabel="latency [s]", xlim=(0, 100))
    axes[2].set_ylim(bottom=0)
    legend_above(axes[0], 3)
    return figure


@styled
def intervals(metrics: Mapping[str, Mapping[str, float | None]], title: str = "") -> Figure:
    """Measured values on the scale of their predictions: each metric's interval and median as deviation from measured.

    Args:
        metrics: Name to ``measured``, ``predicted``, ``lo``, ``hi``; metrics without one of them, or measured as 0, are
            left out.
        title: Heading.
    """
    usable = comparable(metrics)
    figure, axes = _figure(1, height=0.9 + 0.3 * max(1, len(usable)), title=title)
    axis = axes[0]
    for row, value in enumerate(usable.values()):
        low, median, high = value.percent
        colour, marker = (BLUE, "o") if value.holds else (VERMILLION, "X")
        axis.plot([low, high], [row, row], color=colour, linewidth=4, alpha=0.6)
        axis.plot(median, row, marker, color=colour, markersize=6)
        text = f"{value.measured:.4g}  (predicted {value.predicted:.4g}, {value.lo:.4g} to {value.hi:.4g})"
        axis.annotate(text, (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axis.axvline(0, color=BLACK, linewidth=1)
    axis.set_yticks(range(len(usable)), list(usable))
    axis.set_ylim(len(usable) - 0.4, -0.6)
    axis.set_xlabel("predicted against measured [%]; bar: 90 % interval, disc: measured inside it, cross: outside")
    axis.margins(x=0.08)
    return figure


@styled
def quantiles(
    fits: Sequence[tuple[str, NDArray[np.float64], Callable[[NDArray[np.float64]], NDArray[np.float64]]]],
    title: str = "",
) -> Figure:
    """Q-Q plots: measured times against the quantiles of what was fitted to them, one panel each.

    Args:
        fits: Name, measured times [s], and the fitted distribution as a function of uniform numbers.
        title: Heading.
    """
    columns = min(3, len(fits))
    rows = -(-len(fits) // columns)
    figure, axes = _figure(rows * columns, height=0.6 + 2.9 * rows, columns=columns, title=title)
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
def joint(values: Mapping[str, NDArray[np.float64]], title: str = "") -> Figure:
    """Draws of several uncertain numbers, each alone on the diagonal and each pair below it.

    Args:
        values: Draws by name, as many of each.
        title: Heading.
    """
    names = list(values)
    count = len(names)
    figure, axes = _figure(count * count, height=1.35 * count, columns=count, title=title)
    for place, axis in enumerate(axes):
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


def _figure(
    panels: int, *, height: float, columns: int = 1, ratios: tuple[float, ...] | None = None, title: str = ""
) -> tuple[Figure, list[Axes]]:
    """An empty figure and its panels, row by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels // columns, columns, squeeze=False, height_ratios=ratios)
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure, list(axes.ravel())


def _draw_pods(axis: Axes, tables: Tables, begin: float, end: float, scale: float) -> None:
    """Pods by state as areas one upon the other, desired pods as a line, panic shaded."""
    from matplotlib.ticker import MaxNLocator

    from kpasim.report import bins

    if bins.changes(tables) > bins.LEGIBLE:
        _draw_binned_pods(axis, tables, end, scale)
        return
    pods, scaling = tables.pods, tables.scaling
    times = [
        pods[name] for name in ("created_s", "ready_s", "delete_requested_s", "gone_s", "scheduled_s") if name in pods
    ]
    moments = np.unique(np.concatenate([*times, [begin, end]]))
    moments = moments[(moments >= begin) & (moments <= end)]
    counts = pods_by_state(pods, moments)
    below = np.zeros(len(moments))
    for state in STATES:
        above = below + counts[state]
        if counts[state].any():
            face, hatch, edge = _STATE_LOOKS[state]
            axis.fill_between(
                moments / scale,
                below,
                above,
                step="post",
                facecolor=face,
                hatch=hatch,
                edgecolor=edge,
                linewidth=0.4,
                label=state if state != "pending" else "Pending",
            )
        below = above
    known = scaling["desired"] >= 0
    t_s = np.concatenate([scaling["t_s"][known], [end]])
    desired = scaling["desired"][known]
    if len(desired):
        axis.step(
            t_s / scale, np.append(desired, desired[-1]), where="post", color=BLACK, linewidth=1.8, label="desired"
        )
    axis.set_ylim(0, max(1.0, float(below.max(initial=0)), float(desired.max(initial=0))) * 1.12)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    _shade_panic(axis, tables.ticks, scale, "panic mode")


def _pods_label(tables: Tables, end: float) -> str:
    """What the axis of pods shows."""
    from kpasim.report import bins

    return f"pods, mean of {bins.width_text(end)}" if bins.changes(tables) > bins.LEGIBLE else "pods"


def _draw_binned_pods(axis: Axes, tables: Tables, end: float, scale: float) -> None:
    """Mean pods by state in bins of time, the range of desired pods, and from above the share of time in panic mode."""
    from matplotlib.ticker import MaxNLocator

    from kpasim.report import bins

    edges = bins.edges_s(end)
    x = edges / scale

    def held(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.append(values, values[-1])

    below = np.zeros(len(edges))
    for state, found in bins.pods(tables, edges).items():
        above = below + held(found.mean)
        if found.high.any():
            face, hatch, edge = _STATE_LOOKS[state]
            look: Any = {"facecolor": face, "hatch": hatch, "edgecolor": edge, "linewidth": 0.4}
            name = state if state != "pending" else "Pending"
            axis.fill_between(x, below, above, step="post", label=name, **look)
        below = above
    wanted = bins.desired(tables, edges)
    axis.step(x, held(wanted.mean), where="post", color=BLACK, linewidth=1.8, label="desired")
    axis.step(x, held(wanted.high), where="post", color=BLACK, linewidth=0.8, linestyle=":", label="desired, max")
    top = max(1.0, float(below.max(initial=0)), float(wanted.high.max(initial=0))) * 1.3
    share = held(bins.panic(tables.ticks, edges))
    if share.any():
        look = {"facecolor": "#FCE8DF", "edgecolor": VERMILLION, "linewidth": 0.6}
        axis.fill_between(x, top * (1 - 0.15 * share), top, step="post", label="panic, share", **look)
    axis.set_ylim(0, top)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_averages(axis: Axes, tables: Tables, end: float, scale: float) -> None:
    """The averages that the autoscaler saw; of a long run their mean and highest value in bins of time."""
    from kpasim.report import bins

    lines = (("stable", "-", BLUE, "stable window", "mean"), ("panic", "--", VERMILLION, "panic window", "high"))
    if bins.changes(tables) > bins.LEGIBLE:
        edges = bins.edges_s(end)
        for column, dashes, colour, label, which in lines:
            values = getattr(bins.seen(tables.ticks, column, edges), which)
            said = "mean" if which == "mean" else "max"
            x, y = edges / scale, np.append(values, values[-1])
            axis.step(x, y, dashes, where="post", color=colour, label=f"{label}, {said}")
        return
    for column, dashes, colour, label, _ in lines:
        axis.plot(tables.ticks["t_s"] / scale, tables.ticks[column], dashes, color=colour, label=label)
    _shade_panic(axis, tables.ticks, scale, "")


def legend_above(axis: Axes, columns: int, corner: Literal["lower left", "lower right"] = "lower left") -> None:
    """A legend above the panel, where it hides nothing."""
    handles, labels = axis.get_legend_handles_labels()
    if not handles:
        return
    anchor = (0 if corner == "lower left" else 1, 1)
    legend = axis.legend(handles, labels, loc=corner, bbox_to_anchor=anchor, ncols=columns, borderaxespad=0.1)
    for handle in legend.legend_handles:
        if handle is not None and handle.get_alpha() is not None:
            handle.set_alpha(0.9)


def _shade_panic(axis: Axes, ticks: Columns, scale: float, label: str) -> None:
    """Shade the time in panic mode, from the tick that entered it to the one that left it."""
    for start, stop in (panic_spans(ticks) / scale).tolist():
        axis.axvspan(start, stop, facecolor="#FCE8DF", zorder=0, linewidth=0, label=label or None)
        for edge in (start, stop):
            axis.axvline(edge, color=VERMILLION, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0.5)
        label = ""


def _band(axis: Axes, x: NDArray[np.float64], rows: NDArray[np.float64], step: bool = False) -> None:
    """The median of many curves as a line and their middle 90 % as a band; nothing where there is no curve."""
    if len(rows) == 0 or np.isnan(rows).all():
        return
    # Pods are whole: of an even number of runs the median is one of them, not the mean of two.
    low, middle, high = np.nanpercentile(rows, [5, 50, 95], axis=0, method="inverted_cdf" if step else "linear")
    where: Any = {"step": "post"} if step else {}
    axis.fill_between(x, low, high, facecolor="#BFDDF0", edgecolor=SKY, linewidth=0.5, label="predicted, 90 %", **where)
    style: Any = {"color": BLUE, "linestyle": "--", "label": "predicted, median"}
    if step:
        axis.step(x, middle, where="post", **style)
    else:
        axis.plot(x, middle, **style)


def _quantiles(requests: Columns, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percentiles of successful requests' latency."""
    good = (requests["status"] >= 200) & (requests["status"] < 300) & ~np.isnan(requests["latency_s"])
    latency = requests["latency_s"][good]
    return np.percentile(latency, share) if len(latency) else np.full(len(share), np.nan)


def _time_axis(
    axes: Sequence[Axes], begin: float, end: float, scale: float, unit: str, what: str = "time since the load began"
) -> None:
    margin = 0.01 * max(end - begin, 1e-9)
    for axis in axes:
        axis.set_xlim((begin - margin) / scale, (end + margin) / scale)
    for axis in axes[-2 if len(axes) == 6 else -1 :]:
        axis.set_xlabel(f"{what} [{unit}]")
