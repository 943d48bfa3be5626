"""Charts of sweeps: the front of cost against latency, and what one axis does."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from kpasim.arrays import Floats
from kpasim.report.drawing import Chart, axis_of, filled, interval_bars, layout_of, numbers, points, shown
from kpasim.results.display import held, number
from kpasim.studies.grid.result import SweepResult, latency, short, value_text

MOST_DOTS = 3000
"""Settings that are drawn at most, beside those on the front."""
MOST_LARGE = 200
"""Settings that are drawn as large points; more are drawn small."""
ZERO_ABOVE = 0.4
"""An axis whose least value is above this share of its greatest does not begin at zero."""
FACTOR = 10.0
"""Ratio of greatest to least above which latencies are shown, and heat maps coloured, by factors."""


def by_factors(values: Floats) -> bool:
    """Whether values differ by factors so large that a single one would hide the others on a scale of differences."""
    known = values[~np.isnan(values)]
    return bool(len(known)) and known.min() > 0 and known.max() > FACTOR * known.min()


def front_chart(result: SweepResult, name: str) -> Chart:
    """Cost against a latency percentile: every setting a dot, the Pareto front a line with intervals."""
    front = result.pareto(name)
    first = {point["setting"] for point in front}
    others = [place for place in result.order if place not in first]
    step = max(1, -(-len(others) // MOST_DOTS))
    others = others[::step]
    latencies = result.medians(latency(name))
    most = result.about["most_errors"]
    many = f"more than {100 * most:g} % errors"
    hover = "%{text}<br>%{x:.4g}, %{y:.4g} s<extra></extra>"

    def settings(some: list[int], title: str, symbol: str, colour: str, size: int, width: float) -> dict[str, Any]:
        text = [_hover(result.settings[place]) for place in some]
        x, y = (numbers(np.array([values[place] for place in some])) for values in (result.costs, latencies))
        marks = points(x, y, title, symbol, colour, size=size, text=text, hovertemplate=hover)
        marks["marker"]["line"] = {"width": width}
        return marks

    data: list[dict[str, Any]] = []
    for failing, title, symbol, colour in ((False, "other settings", "circle-open", "<muted>"),
                                           (True, many, "x-thin-open", "<red>")):  # fmt: skip
        some = [place for place in others if bool(result.error_shares[place] > most) is failing]
        if some:
            data.append(settings(some, title, symbol, colour, *((7, 1.5) if len(others) <= MOST_LARGE else (4, 0.8))))
    x, y = [point["cost"] for point in front], [point[name] for point in front]
    title = f"Pareto front, {held(result.replications, '')}"
    text = [_hover(point["settings"]) for point in front]
    line = points(x, y, title, "diamond", "<blue>", size=10, text=text, hovertemplate=hover)
    ends = ([point[f"{figure}_interval"] for point in front] for figure in ("cost", name))
    error_x, error_y = (
        interval_bars(each, at, color="<blue>", thickness=1.2) for each, at in zip(ends, (x, y), strict=True)
    )
    look = {"color": "<blue>", "width": 2, "dash": "dash", "shape": "hv"}
    data.append(line | {"mode": "lines+markers", "line": look, "error_x": error_x, "error_y": error_y})
    if result.now is not None:
        now = settings([result.now], "as it is now", "square-open", "<orange>", 14, 2.5)
        data.append(now | {"hovertemplate": f"as it is now<br>{hover}"})
    layout = layout_of(f"cost [{shown(result.cost_unit)}]", f"{name} latency [s]", None)
    for axis, values in (("xaxis", result.costs), ("yaxis", latencies)):
        if not np.nanmin(values, initial=np.inf) > ZERO_ABOVE * np.nanmax(values, initial=0.0):
            layout[axis]["rangemode"] = "tozero"
    if by_factors(latencies):
        low, high = np.log10([np.nanmin(latencies), np.nanmax(latencies)])
        marks = [digit * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for digit in (1, 2, 5)]
        layout["yaxis"] = axis_of(f"{name} latency [s], logarithmic") | {"type": "log", "tickvals": marks}
    return {"data": data, "layout": layout | {"hovermode": "closest"}}


def effect_chart(result: SweepResult, axis: str, effect: Mapping[str, Any], name: str) -> Chart:
    """Mean cost (above) and mean latency (below) at each value of an axis."""
    x = [shown(level_text(level["value"]), 30) for level in effect["levels"]]
    data = []
    for key, colour, pattern, place, unit in (("cost", "<green>", "", "y", shown(result.cost_unit)),
                                              (name, "<blue>", "/", "y2", "s")):  # fmt: skip
        heights = [level[key] for level in effect["levels"]]
        data.append({"type": "bar", "name": f"mean {key}", "x": x, "y": heights, "yaxis": place,
                     "marker": filled(colour, pattern),
                     "hovertemplate": f"%{{x}}: %{{y:.4g}} {unit}<extra></extra>"})  # fmt: skip
    layout = layout_of(shown(short(axis)), "cost", None) | {"hovermode": "closest", "bargap": 0.35}
    layout["xaxis"] |= {"type": "category", "anchor": "y2"}
    layout["yaxis"] |= {"domain": [0.56, 1], "rangemode": "tozero"}
    layout["yaxis2"] = axis_of(f"{name} [s]") | {"domain": [0, 0.44], "rangemode": "tozero"}
    return {"data": data, "layout": layout}


def _hover(settings: Mapping[str, Any]) -> str:
    return "<br>".join(shown(f"{short(path)} {value_text(value)}", 80) for path, value in settings.items())


def level_text(value: Any) -> str:
    """A value of an axis as people read it."""
    return number(value) if isinstance(value, float) else value_text(value)
