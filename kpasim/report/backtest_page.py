"""The page about a backtest: recorded beside predicted over time, and candidates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from kpasim.errors import Problem, RecordError
from kpasim.report import markup
from kpasim.report.drawing import Chart, axis_of, band, layout_of, line
from kpasim.report.markup import Html, element, figure, table
from kpasim.report.words import number
from kpasim.results.display import HOURS, SHARES, signed
from kpasim.results.display import figure as figure_text

SHOWN = {
    "pods": "Ready pods",
    "requested": "requested pods",
    "desired": "desired pods",
    "concurrency": "average concurrency",
    "panic": "share in panic mode",
    "latency_s": "mean latency [s]",
    "requests": "requests",
}
"""Figures by bin in the order of the charts, and what their axes say."""
CAPTION = (
    "Means of each bin: the line as recorded, dashes as predicted, the area holds 90 % of the replications. "
    "Drag to zoom, double-click to zoom out."
)


def read(folder: str | Path) -> dict[str, Any]:
    """The backtest that a folder holds.

    Raises:
        RecordError: It cannot be read.
    """
    path = Path(folder) / "backtest.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = {"figures", "bins", "edges_s", "candidates"} - set(found)
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(path, [Problem("", f"cannot be read: {error}")]) from None
    if missing:
        raise RecordError(path, [Problem(sorted(missing)[0], "missing")])
    return found


def page_of(folder: str | Path) -> str:
    """The page about the backtest that a folder holds.

    Raises:
        RecordError: It cannot be read, or is no backtest.
    """
    found = read(folder)
    try:
        return backtest_page(found)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        problem = Problem("", f"is no backtest as kpasim writes them ({type(error).__name__}: {error})")
        raise RecordError(Path(folder) / "backtest.json", [problem]) from None


def backtest_page(found: Mapping[str, Any]) -> str:
    """The page about a backtest.

    Args:
        found: What `kpasim backtest --json` prints.
    """
    zone = ZoneInfo(str(found.get("time_zone") or "UTC"))
    edges_s = np.asarray(found["edges_s"], dtype=np.float64)
    verdict = (
        "The present was predicted well enough to believe the candidates."
        if found["good"]
        else f"The present was NOT predicted well enough: {found['reasons']}. Do not rely on the candidates."
    )
    told = [verdict]
    if found["coverage"] is not None:
        told.append(f"The 90 % bands hold {found['coverage']:.0%} of the recorded pods and concurrency by bin of time.")
    if found["worst"]:
        worst = ", ".join(f"{datetime.fromtimestamp(begin_s, zone):%Y-%m-%d %H:%M:%S}" for begin_s in found["worst"])
        told.append(f"Recorded pods lie furthest outside their band from {worst} ({zone.key}).")
    drawn: dict[str, Chart] = {}
    charts = []
    for name, title in SHOWN.items():
        if name in found["bins"]:
            drawn[name] = _chart(found["bins"][name], edges_s, title, zone)
            charts.append(figure(name, f"{title[0].upper()}{title[1:]}, recorded and predicted", CAPTION, 300))
    sections: list[tuple[str, str, Html]] = [
        ("verdict", "Verdict", element("div", [element("p", one) for one in told], _figures(found["figures"]))),
        ("time", "Over time", Html("".join(charts))),
    ]
    if found["candidates"]:
        doubt = "" if found["good"] else ", though the present was not predicted well enough"
        beside = Html("".join(_candidate(one) for one in found["candidates"]))
        sections.append(("candidates", f"Candidates{doubt}", beside))
    notes = [element("li", note) for note in found.get("notes", ())]
    sections.append(("notes", "What this rests on", element("ul", notes)))
    title = f"Backtest of {found.get('namespace', '')}/{found.get('service', '')}"
    begin, end = (f"{datetime.fromtimestamp(edges_s[place], zone):%Y-%m-%d %H:%M}" for place in (0, -1))
    subtitle = f"{begin} to {end} {zone.key}, {found['replications']} replications, {found.get('manifest', '')}"
    return markup.page(title, subtitle, sections, drawn)


def _values(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _chart(values: Mapping[str, Any], edges_s: NDArray[np.float64], title: str, zone: ZoneInfo) -> Chart:
    """Recorded and predicted values over the time of day."""
    middles_s = 0.5 * (edges_s[1:] + edges_s[:-1])
    x = [f"{datetime.fromtimestamp(time_s, zone):%Y-%m-%d %H:%M:%S}" for time_s in middles_s.tolist()]
    low, high, predicted, recorded = (_values(values[name]) for name in ("low", "high", "predicted", "recorded"))
    data = band(low, high, "predicted, 90 %", "<blue-area>", x=x, legendgroup="band")
    data += [line(np.array(x), predicted, "predicted", "<blue>", "dash"),
             line(np.array(x), recorded, "recorded", "<ink>", "solid")]  # fmt: skip
    layout = layout_of(f"time ({zone.key})", title, None)
    layout["xaxis"] |= {"type": "date"}
    layout["yaxis"] = axis_of(title) | {"rangemode": "tozero"}
    return {"data": data, "layout": layout | {"hovermode": "x unified"}}


def _figures(figures: Mapping[str, Mapping[str, Any]]) -> Html:
    rows = []
    for one in figures.values():
        error = "" if one["error"] is None else f"{100 * one['error']:+.1f} %"
        near = {True: "yes", False: "no", None: ""}[one["good"]]
        sure = one["recorded_interval"][0] == one["recorded_interval"][1]
        title = f"{one['title']} [{one['unit']}]" if one["unit"] else one["title"]
        between = "" if sure else _between(one["recorded_interval"])
        rows.append([title, number(one["recorded"]), between, number(one["predicted"]), _between(one["interval"]),
                     error, near])  # fmt: skip
    columns = ("figure", "recorded", "90 %", "predicted", "90 %", "error", "near enough")
    return table("Recorded and predicted", columns, rows)


def _between(ends: list[float | None]) -> str:
    return " to ".join(number(end) for end in ends)


def _candidate(candidate: Mapping[str, Any]) -> Html:
    rows = []
    for name, one in candidate["differences"].items():
        shown = figure_text if name in SHARES | HOURS else _number
        known = one["difference"] is not None and one["interval"][0] is not None
        rows.append(
            [
                one["title"] if one["unit"] in ("requests", "pods") else f"{one['title']} [{one['unit']}]",
                shown(name, one["in_force"]),
                shown(name, one["candidate"]),
                signed(name, one["difference"]) if one["difference"] is not None else "",
                " to ".join(signed(name, end) for end in one["interval"]) if known else "",
                one["verdict"],
            ]
        )
    columns = ("figure", "in force", "candidate", "difference", "interval", "verdict")
    return table(str(candidate["name"]), columns, rows)


def _number(_: str, value: float | None) -> str:
    return number(value)
