"""The page about a backtest: recorded beside predicted over time, and candidates."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from kpasim.arrays import Floats
from kpasim.errors import Problem, RecordError
from kpasim.report import markup
from kpasim.report.differences import differences_table
from kpasim.report.drawing import Chart, axis_of, band, layout_of, line
from kpasim.report.markup import Html, element, figure, paragraphs
from kpasim.results.display import Table, number, seconds, span
from kpasim.results.tables import read_object

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


def page_of(folder: str | Path) -> str:
    """The page about the backtest that a folder holds.

    Raises:
        RecordError: It cannot be read, or is no backtest.
    """
    path = Path(folder) / "backtest.json"
    found = read_object(path)
    missing = {"figures", "bins", "edges_s", "candidates"} - set(found)
    if missing:
        raise RecordError.of(path, "missing", place=sorted(missing)[0])
    try:
        return backtest_page(found)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        problem = Problem("", f"is no backtest as kpasim writes them ({type(error).__name__}: {error})")
        raise RecordError(path, [problem]) from None


def backtest_page(found: Mapping[str, Any]) -> str:
    """The page about a backtest, of which ``found`` is what `kpasim backtest --json` prints."""
    zone = zone_of(found)
    edges_s = np.asarray(found["edges_s"], dtype=np.float64)
    drawn: dict[str, Chart] = {}
    charts = []
    for name, title in SHOWN.items():
        if name in found["bins"]:
            drawn[name] = _chart(found["bins"][name], edges_s, title, zone)
            charts.append(figure(name, f"{title[0].upper()}{title[1:]}, recorded and predicted", CAPTION, 300))
    near = paragraphs([verdict(found), *how_near(found)])
    sections: list[tuple[str, str, Html]] = [
        ("verdict", "Verdict", Html(near + markup.table(figures_table(found)))),
        ("time", "Over time", Html("".join(charts))),
    ]
    if found["candidates"]:
        doubt = "" if found["good"] else ", though the present was not predicted well enough"
        beside = []
        for one in found["candidates"]:
            rows = ({"name": name, **row} for name, row in one["differences"].items())
            listed = differences_table(str(one["name"]), rows, "in_force", "candidate", "candidate - in force")
            beside.append(markup.table(listed))
        sections.append(("candidates", f"Candidates{doubt}", Html("".join(beside))))
    notes = [element("li", note) for note in found.get("notes", ())]
    sections.append(("notes", "What this rests on", element("ul", notes)))
    title = f"Backtest of {found.get('namespace', '')}/{found.get('service', '')}"
    begin, end = (moment(edges_s[place], zone, "%Y-%m-%d %H:%M") for place in (0, -1))
    subtitle = f"{begin} to {end} {zone.key}, {found['replications']} replications, {found.get('manifest', '')}"
    return markup.page(title, subtitle, sections, drawn)


def _chart(values: Mapping[str, Any], edges_s: Floats, title: str, zone: ZoneInfo) -> Chart:
    """Recorded and predicted values over the time of day."""
    middles_s = 0.5 * (edges_s[1:] + edges_s[:-1])
    x = [moment(time_s, zone) for time_s in middles_s.tolist()]
    # None becomes NaN.
    low, high, predicted, recorded = (
        np.array(values[name], dtype=np.float64) for name in ("low", "high", "predicted", "recorded")
    )
    data = band(low, high, "predicted, 90 %", "<blue-area>", x=x, legendgroup="band")
    data += [line(np.array(x), predicted, "predicted", "<blue>", "dash"),
             line(np.array(x), recorded, "recorded", "<ink>", "solid")]  # fmt: skip
    layout = layout_of(f"time ({zone.key})", title, None)
    layout["xaxis"] |= {"type": "date"}
    layout["yaxis"] = axis_of(title) | {"rangemode": "tozero"}
    return {"data": data, "layout": layout | {"hovermode": "x unified"}}


def zone_of(found: Mapping[str, Any]) -> ZoneInfo:
    """The time zone that times are told in."""
    return ZoneInfo(str(found.get("time_zone") or "UTC"))


def moment(unix_s: float, zone: ZoneInfo, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time of day."""
    return f"{datetime.fromtimestamp(unix_s, zone):{form}}"


def verdict(found: Mapping[str, Any]) -> str:
    """Whether the prediction of the present lets believe that of the candidates."""
    if found["good"]:
        return "The present was predicted well enough to believe the candidates."
    return f"The present was NOT predicted well enough: {found['reasons']}. Do not rely on the candidates."


def how_near(found: Mapping[str, Any]) -> list[str]:
    """How many bins their bands hold, and the bins that lie furthest outside, a sentence each."""
    told = []
    if found["coverage"] is not None:
        told.append(f"The 90 % bands hold {found['coverage']:.0%} of the recorded pods and concurrency by bin of time.")
    zone = zone_of(found)
    for begin_s in found["worst"]:
        pods, place = found["bins"]["pods"], found["edges_s"].index(begin_s)
        recorded, predicted, low, high = (number(pods[key][place]) for key in ("recorded", "predicted", "low", "high"))
        told.append(f"Worst: {moment(begin_s, zone)} {zone.key}: {recorded} pods recorded, {predicted} predicted "
                    f"({low} to {high}).")  # fmt: skip
    return told


def figures_table(found: Mapping[str, Any]) -> Table:
    """Figures of the whole window, recorded and predicted."""
    rows = []
    for one in found["figures"].values():
        error = "" if one["error"] is None else f"{100 * one['error']:+.1f} %"
        near = {True: "near enough", False: "too far", None: ""}[one["good"]]
        sure = one["recorded_interval"][0] == one["recorded_interval"][1]
        rows.append([f"{one['title']} [{one['unit']}]" if one["unit"] else one["title"], number(one["recorded"]),
                     "" if sure else span(one["recorded_interval"]), number(one["predicted"]), span(one["interval"]),
                     error, near])  # fmt: skip
    numbers = ("recorded", "90 %", "predicted", "90 %", "error")
    return Table("Recorded and predicted", ("", *numbers, ""), rows, numbers)


def bins_table(found: Mapping[str, Any], most: int) -> Table:
    """Means of each bin of time, recorded and predicted; of more bins than ``most`` those with the most requests."""
    edges_s, bins, zone = found["edges_s"], found["bins"], zone_of(found)
    width_s = edges_s[1] - edges_s[0]
    title = f"Means by {seconds(width_s)}: recorded / predicted (90 % band)"
    requests = bins["requests"]["recorded"]
    places = sorted(sorted(range(len(requests)), key=lambda place: -(requests[place] or 0))[:most])
    if len(requests) > most:
        title += f", the {most} with the most requests (--out DIR has all)"
    shown = {name: bins[name] for name in ("pods", "desired", "concurrency", "panic", "latency_s") if name in bins}
    rows = []
    for place in places:
        cells = []
        for name, values in shown.items():
            recorded, predicted = values["recorded"][place], values["predicted"][place]
            ends = f" ({number(values['low'][place], 2)}-{number(values['high'][place], 2)})" if name != "panic" else ""
            told = f"{number(recorded, 2)} / {number(predicted, 2)}{ends}"
            cells.append("" if recorded is None and predicted is None else told)
        begin = moment(edges_s[place], zone, "%m-%d %H:%M:%S" if width_s < 3600 else "%a %m-%d %H:%M")
        rows.append([begin, number(requests[place], 3), *cells])
    headings = ["from", "requests", *("latency [s]" if name == "latency_s" else name for name in shown)]
    return Table(title, headings, rows, headings)
