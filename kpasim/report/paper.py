"""Charts on paper: what the page shows in the browser, drawn by matplotlib for SVG, PNG and PDF.

Every figure is drawn on white in colours that colour-blind readers tell apart (Okabe and Ito), and says nothing by
colour alone: lines differ in dashes, areas in hatching, points in shape. The same tables give the same file, byte for
byte.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

import numpy as np

from kpasim.arrays import Floats
from kpasim.report.drawing import Chart
from kpasim.results.display import number
from kpasim.results.files import atomic_write, make_folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"

STYLE = ["default", str(resources.files("kpasim.report").joinpath("assets", "paper.mplstyle"))]
"""Matplotlib's own defaults, and ours on top."""
COLOURS = {
    "<ink>": BLACK, "<blue>": BLUE, "<red>": VERMILLION, "<green>": GREEN, "<orange>": ORANGE, "<purple>": PURPLE,
    "<muted>": "#666666", "<blue-area>": "#A6CEE8", "<orange-area>": "#FBE3B0", "<grey-area>": "#EDEDED",
    "<purple-area>": "#F3DCE9", "<panic-area>": "#FCE8DF",
}  # fmt: skip
"""What the colours of a chart are on paper."""
DASHES = {"solid": "-", "dash": "--", "dashdot": "-.", "dot": ":"}
STEPS = {"hv": "post", "hvh": "mid"}
HATCHES = {"/": "////", ".": "....", "\\": "\\\\\\\\"}
SYMBOLS = {
    "circle": "o", "cross": "P", "diamond": "D", "line-ns": "2", "square": "s", "triangle-down": "v",
    "triangle-up": "^", "x": "X", "x-thin": "x",
}  # fmt: skip
LINES_ALONE = {"2", "x"}
"""Marks that have no area."""
PIXEL = 0.75
"""Points of a pixel of the page."""


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in our style, whatever matplotlib's settings are, and leave them as they were."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        from matplotlib import style

        with style.context(STYLE):
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
    with style.context(STYLE), atomic_write(path, "wb") as file:
        figure.savefig(file, format=kind, dpi=dpi, metadata=metadata.get(kind))


def save_all(figures: Mapping[str, Figure], folder: str | Path, suffixes: Sequence[str] = ("svg", "png")) -> list[Path]:
    """Write figures by name, in several formats (see `save`), into a folder that is made if missing; list the files."""
    folder = make_folder(folder)
    paths = {folder / f"{name}.{suffix}": figure for name, figure in figures.items() for suffix in suffixes}
    for path, figure in paths.items():
        save(figure, path)
    return list(paths)


def empty(
    panels: list[list[str]], height: float, *, title: str = "", ratios: Sequence[float] | None = None
) -> tuple[Figure, dict[str, Axes]]:
    """An empty figure [inches] and its panels by name, row by row; a name in neighbouring places spans them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, height), layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure, figure.subplot_mosaic(panels, height_ratios=ratios)  # type: ignore[arg-type]


@styled
def on_paper(chart: Chart, height: float, title: str = "") -> Figure:
    """A chart as a figure, with a panel for each of its vertical axes."""
    domains = {key: axis.get("domain", (0, 1)) for key, axis in chart["layout"].items() if key.startswith("yaxis")}
    keys = sorted(domains, key=lambda key: -domains[key][1])
    ratios = [high - low for low, high in (domains[key] for key in keys)]
    figure, axes = empty([[key] for key in keys], height, title=title, ratios=ratios)
    names = {note["y"]: note["text"] for note in chart["layout"].get("annotations", ())}
    for key in keys:
        draw(axes[key], chart, key)
        axes[key].set_title(_words(names.get(domains[key][1], "")), loc="right")
        if key != keys[-1]:
            axes[key].set_xlabel("")
        legend_above(axes[key], 6)
    return figure


def draw(axis: Axes, chart: Chart, key: str = "yaxis") -> None:
    """Draw what a chart shows on one of its vertical axes."""
    x, y = chart["layout"]["xaxis"], chart["layout"][key]
    names = y.get("categoryarray")
    stacked = previous = np.zeros(1)
    for trace in chart["data"]:
        if trace.get("yaxis", "y") != key.replace("axis", ""):
            continue
        heights = [names.index(name) for name in trace["y"]] if names else trace["y"]
        at, to = (np.array(values, dtype=np.float64) for values in (trace["x"], heights))
        label = _words(trace["name"]) if trace.get("showlegend", True) else None
        if "stackgroup" in trace:
            _area(axis, at, stacked, stacked + to, trace, label)
            stacked = stacked + to
        elif trace.get("fill") == "toself":
            _outlines(axis, at, to, trace, label)
        else:
            if "fill" in trace:
                _area(axis, at, previous, to, trace, label)
            if "lines" in trace["mode"] and trace["line"]["width"]:
                _line(axis, at, to, trace["line"], None if "fill" in trace else label)
            if "markers" in trace["mode"]:
                _points(axis, at, to, trace, None if "lines" in trace["mode"] else label)
        previous = to
    _finish(axis, x, y)


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


def _words(text: str) -> str:
    """A text of the page as matplotlib takes it, which reads formulas between dollars."""
    return html.unescape(text).replace("$", r"\$")


def _area(axis: Axes, x: Floats, low: Floats, high: Floats, trace: Mapping[str, Any], label: str | None) -> None:
    pattern = trace.get("fillpattern", {"shape": "", "fgcolor": "<blue>"})
    step: Any = STEPS.get(trace["line"].get("shape"))
    low, high = np.broadcast_arrays(low, high)
    if step == "post":
        # Charts have points between the changes, for pointing at them; on paper they would only fill the file.
        change = (np.diff(low) != 0) | (np.diff(high) != 0)
        kept = np.flatnonzero(np.concatenate([[True], change[:-1], [True]]))
        x, low, high = x[kept], low[kept], high[kept]
    axis.fill_between(x, low, high, step=step, facecolor=COLOURS[trace["fillcolor"]],
                      edgecolor=COLOURS[pattern["fgcolor"]], hatch=HATCHES.get(pattern["shape"]),
                      linewidth=0.4 if "fillpattern" in trace else 0, label=label)  # fmt: skip


def _outlines(axis: Axes, x: Floats, y: Floats, trace: Mapping[str, Any], label: str | None) -> None:
    """Areas with an outline, each of four corners and a gap."""
    for corner in range(0, len(x), 5):
        own = slice(corner, corner + 4)
        axis.fill(x[own], y[own], facecolor=COLOURS[trace["fillcolor"]], edgecolor=COLOURS[trace["line"]["color"]],
                  linestyle=":", linewidth=0.8, zorder=0.5, label=None if corner else label)  # fmt: skip


def _line(axis: Axes, x: Floats, y: Floats, look: Mapping[str, Any], label: str | None) -> None:
    step = STEPS.get(look.get("shape", ""))
    axis.plot(x, y, DASHES[look.get("dash", "solid")], color=COLOURS[look["color"]], linewidth=PIXEL * look["width"],
              drawstyle=f"steps-{step}" if step else "default", label=label)  # fmt: skip


def _points(axis: Axes, x: Floats, y: Floats, trace: Mapping[str, Any], label: str | None) -> None:
    marker = trace["marker"]
    shape, colour = marker.get("symbol", "circle"), COLOURS[marker.get("color") or trace["line"]["color"]]
    for name in ("x", "y"):
        if reach := trace.get(f"error_{name}"):
            bars: Any = {f"{name}err": [reach["arrayminus"], reach["array"]], "elinewidth": PIXEL * reach["thickness"]}
            axis.errorbar(x, y, fmt="none", ecolor=colour, alpha=0.6, **bars)
    is_open, symbol = shape.endswith("-open"), SYMBOLS[shape.removesuffix("-open")]
    look: Any = {"facecolors": "none" if is_open else colour, "edgecolors": colour}
    axis.scatter(x, y, s=(PIXEL * marker["size"]) ** 2, marker=symbol, label=label, alpha=marker.get("opacity"),
                 linewidths=PIXEL * marker.get("line", {}).get("width", is_open), zorder=2.5,
                 **({"color": colour} if symbol in LINES_ALONE else look))  # fmt: skip
    if trace.get("textposition") == "middle right":
        for height, text in zip(y, trace["text"], strict=True):
            axis.annotate(_words(text), (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8)


def _finish(axis: Axes, x: Mapping[str, Any], y: Mapping[str, Any]) -> None:
    """Titles, limits and marks of the axes."""
    from matplotlib.ticker import MaxNLocator

    axis.set(xlabel=_words(x["title"]["text"]), ylabel=_words(y["title"]["text"]))
    if "range" in x:
        axis.set_xlim(x["range"])
    elif x.get("rangemode") == "tozero":
        axis.set_xlim(left=0)
    if "range" in y:
        axis.set_ylim(y["range"])
    elif y.get("rangemode") == "tozero":
        axis.set_ylim(bottom=0 if axis.dataLim.y0 >= 0 else None)
    if x.get("zeroline"):
        axis.axvline(0, color=BLACK, linewidth=1)
    if y.get("tickformat") == "d":
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    if names := y.get("categoryarray"):
        axis.set_yticks(range(len(names)), map(_words, names))
        axis.set_ylim(-0.6, len(names) - 0.4)
    if y.get("type") == "log":
        axis.set_yscale("log")
        low, high = axis.get_ylim()
        marks = [mark for mark in y["tickvals"] if low <= mark <= high]
        axis.set_yticks(marks, map(number, marks))
        axis.set_yticks([], minor=True)
