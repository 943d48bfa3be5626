"""One setting over its range: latency and cost at each value, by the code of `kpasim sweep`."""

from collections.abc import Callable
from typing import Any

from kpasim.errors import RunError
from kpasim.report.drawing import Chart, axis_of, band, layout_of, numbers, points, shown
from kpasim.results.display import held, number, span
from kpasim.spec.experiment import Experiment
from kpasim.spec.settings import parse_settings
from kpasim.spec.sweep import Sweep
from kpasim.studies.common import MET_IDLE
from kpasim.studies.grid.result import SweepResult, latency, share_text, short, value_text
from kpasim.studies.sweep import Plan, sweep
from kpasim.ui.knobs import Knob, knobs

MOST_VALUES = 9
"""Values of the setting at most."""
REPLICATIONS = 40
"""Replications at each value at most."""
PERCENTILE = "p95"
FIXED = {"replications", "seed", "horizon"}
"""Settings that every row of a sweep shares."""


def values_of(experiment: Experiment, path: str) -> tuple[Knob, list[str]]:
    """The setting, and at most so many of its values, evenly chosen, with the value now among them.

    Raises:
        RunError: It has no range.
    """
    knob = next((one for one in knobs(experiment, experiment) if one.path == path), None)
    if knob is None or len(knob.stops) < 2 or path in FIXED:
        raise RunError(f"{path}: has no range (pick a setting with a slider)")
    last = len(knob.stops) - 1
    chosen = {round(place * last / (MOST_VALUES - 1)) for place in range(MOST_VALUES)}
    now = knob.stops.index(knob.value)
    nearest = min(chosen, key=lambda place: abs(place - now))
    chosen = (chosen - {nearest}) | {now} if now not in chosen else chosen
    return knob, [knob.stops[place] for place in sorted(chosen)]


def across(
    experiment: Experiment, path: str, replications: int, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Latency and cost over the range of a setting.

    Raises:
        RunError: It has no range, or changes nothing.
    """
    knob, texts = values_of(experiment, path)
    values = {text: parse_settings([f"{path}={text}"])[path] for text in texts}
    plan = Plan.of(
        Sweep(experiment="", axes={path: list(values.values())}),
        experiment.with_setting("replications", min(replications, REPLICATIONS)),
        path,
    )
    result = sweep(plan, processes=1, progress=progress)
    texts_of = {value_text(value): text for text, value in values.items()}
    chosen = [texts_of[value_text(one[path])] for one in result.settings]
    words = knob.words or {}
    named = [words.get(text, text) for text in chosen]
    now = chosen.index(knob.value) if knob.value in chosen else None
    return {
        "path": path,
        "label": knob.label,
        "values": chosen,
        "words": named,
        "now": knob.value,
        "rows": [_row(result, place, text) for place, text in enumerate(named)],
        "columns": [knob.label, PERCENTILE, held(result.replications), "cost", held(result.replications), "failed"],
        "units": f"{PERCENTILE} in s, cost in {result.cost_unit}",
        "refused": [f"{value_text(one[path])}: {reason}" for one, reason in plan.refused],
        "note": MET_IDLE if plan.met_idle else "",
        "replications": result.replications,
        "chart": chart(result, named, now, short(path)),
    }


def _row(result: SweepResult, place: int, text: str) -> list[str]:
    row = result.row(place)
    name = latency(PERCENTILE)
    interval = (row["intervals"].get("latency_s") or {}).get(PERCENTILE)
    return [text, number(float(result.medians(name)[place])), span(interval), number(float(result.costs[place])),
            span(result.intervals(result.cost_figure)[:, place].tolist()), share_text(row["error_share"])]  # fmt: skip


def chart(result: SweepResult, words: list[str], now: int | None, label: str) -> Chart:
    """Latency above and cost below at each value, with bands; the value now is a larger mark."""
    name = latency(PERCENTILE)
    x = [shown(one, 30) for one in words]
    data: list[dict[str, Any]] = []
    for figure, middle, colour, dash, symbol, axis, unit, area in (
        (name, result.medians(name), "<blue>", "solid", "circle", "y", "s", "<blue-area>"),
        (result.cost_figure, result.costs, "<green>", "dash", "diamond", "y2", result.cost_unit, "<grey-area>"),
    ):  # fmt: skip
        title = PERCENTILE if axis == "y" else "cost"
        low, high = result.intervals(figure)
        data += band(low, high, f"{title}, {held(result.replications)}", area, x=x, yaxis=axis)
        hover = f"{shown(label)} %{{x}}: {title} %{{y:.4g}} {shown(unit)}<extra></extra>"
        marks = points(x, numbers(middle), f"{title} [{shown(unit)}]", symbol, colour, yaxis=axis, hovertemplate=hover)
        marks["marker"] |= {
            "size": [14 if place == now else 8 for place in range(len(x))],
            "line": {"width": [3 if place == now else 0 for place in range(len(x))], "color": "<ink>"},
        }
        data.append(marks | {"mode": "lines+markers", "line": {"color": colour, "dash": dash, "width": 2}})
    layout = layout_of(shown(label), f"{PERCENTILE} [s]", None) | {"hovermode": "closest"}
    layout["xaxis"] |= {"type": "category", "anchor": "y2", "categoryorder": "array", "categoryarray": x}
    layout["yaxis"] |= {"domain": [0.56, 1], "rangemode": "tozero"}
    layout["yaxis2"] = axis_of("cost") | {"domain": [0, 0.44], "rangemode": "tozero"}
    return {"data": data, "layout": layout}
