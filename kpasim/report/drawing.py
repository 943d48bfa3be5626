"""Lines, areas, axes and units of the interactive charts, in plotly's format.

Colours are written as names in angle brackets (``<blue>``); the page puts the colours of its light or dark side in
their place. No text from a file can be taken for one: `shown` escapes angle brackets.
"""

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kpasim.arrays import Array

Chart = dict[str, Any]
"""``data`` and ``layout`` as plotly has them."""

MOST_POINTS = 2000
"""Points of one line at most; a page stays small however long the run."""


def shown(text: object, most: int = 120) -> str:
    """A text from a file as plotly may show it: as it is, never as markup."""
    text = str(text)
    return html.escape(text if len(text) <= most else f"{text[: most - 1]}…", quote=False)


def time_unit(end: float) -> tuple[float, str]:
    """Seconds per unit of a time axis that ends there, and the unit's name."""
    for least, scale, unit in ((3 * 86400.0, 86400.0, "days"), (3 * 3600.0, 3600.0, "h"), (1200.0, 60.0, "min")):
        if end >= least:
            return scale, unit
    return 1.0, "s"


def thinned(x: Array, y: Array, most: int = MOST_POINTS) -> tuple[Array, Array]:
    """At most so many points of a line; of each stretch the first, the lowest and the highest are kept."""
    if len(x) <= most:
        return x, y
    stretches = np.array_split(np.arange(len(x)), most // 4)
    values = np.where(np.isnan(y.astype(np.float64)), 0.0, y)
    kept = np.unique([
        place
        for some in stretches
        for place in (some[0], some[np.argmin(values[some])], some[np.argmax(values[some])], some[-1])
    ])  # fmt: skip
    return x[kept], y[kept]


def line(x: Array, y: Array, name: str, colour: str, dash: str, *, step: bool = False, **more: Any) -> dict[str, Any]:
    """A line, in steps where values hold until they change."""
    look = {"color": colour, "dash": dash, "width": 2, **({"shape": "hv"} if step else {})}
    return {"type": "scatter", "mode": "lines", "name": name, "x": numbers(x), "y": numbers(y), "line": look, **more}


def points(
    x: Sequence[Any], y: Sequence[Any], name: str, symbol: str, colour: str, *, size: int = 7, **more: Any
) -> dict[str, Any]:
    """Points, whose shape says what the colour says."""
    marker = {"symbol": symbol, "size": size, "color": colour}
    return {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": y, "marker": marker, **more}


def interval_bars(
    intervals: Iterable[Sequence[float]] | Array, middle: Sequence[float] | Array, **look: Any
) -> dict[str, Any]:
    """Error bars that reach to the ends of intervals."""
    reach = np.abs(np.array(list(intervals), dtype=np.float64).reshape(-1, 2) - np.array(middle).reshape(-1, 1))
    below, above = map(numbers, reach.T)
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, **look}


def bars_across(name: str, y: Sequence[str], x: Sequence[float], text: Sequence[str], look: Any, hover: str,
                **more: Any) -> dict[str, Any]:  # fmt: skip
    """Horizontal bars whose texts are seen on pointing at them."""
    return {"type": "bar", "orientation": "h", "name": name, "y": y, "x": x, "text": text, "textposition": "none",
            "marker": look, "hovertemplate": f"{hover}<extra></extra>", **more}  # fmt: skip


def band(low: Array, high: Array, name: str, area: str, *, shape: str = "linear",
         **common: Any) -> list[dict[str, Any]]:  # fmt: skip
    """An area between two lines that are not drawn themselves."""
    edge = {"type": "scatter", "mode": "lines", "line": {"width": 0, "shape": shape}, "hoverinfo": "skip", **common}
    upper = edge | {"y": numbers(high), "name": "upper end", "showlegend": False}
    return [upper, edge | {"y": numbers(low), "name": name, "fill": "tonexty", "fillcolor": area}]


def filled(colour: str, pattern: str) -> dict[str, Any]:
    """The look of a bar; its pattern says what the colour says."""
    look: dict[str, Any] = {"color": colour, "line": {"width": 1, "color": "<ink>"}}
    if not pattern:
        return look
    return look | {"pattern": {"shape": pattern, "fgcolor": "<page>", "bgcolor": colour, "size": 8, "solidity": 0.3}}


def axis_of(title: str) -> dict[str, Any]:
    """An axis in the page's colours."""
    return {
        "title": {"text": title, "standoff": 8},
        "gridcolor": "<grid>",
        "linecolor": "<muted>",
        "zerolinecolor": "<grid>",
        "showline": True,
        "ticks": "outside",
        "tickcolor": "<muted>",
        "automargin": True,
    }


def layout_of(x_title: str, y_title: str, span: tuple[float, float] | None) -> dict[str, Any]:
    """A layout with two axes; the horizontal one spans so much, or what the data do."""
    margin = 0.01 * (span[1] - span[0]) if span else 0.0
    return {
        "xaxis": axis_of(x_title) | ({"range": [span[0] - margin, span[1] + margin]} if span else {}),
        "yaxis": axis_of(y_title),
        "margin": {"l": 56, "r": 12, "t": 8, "b": 44},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "<ink>", "size": 12, "family": "system-ui, sans-serif"},
        "hoverlabel": {"bgcolor": "<page>", "bordercolor": "<muted>", "font": {"color": "<ink>"}, "align": "left"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "<muted>", "activecolor": "<ink>"},
        "autosize": True,
    }


def numbers(values: Array) -> list[Any]:
    """Numbers with six figures, ``None`` for what is missing; names as they are."""
    if values.dtype.kind in "iubU":
        return list(values.tolist())
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values.tolist()]
