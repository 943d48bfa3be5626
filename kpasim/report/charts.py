"""Interactive charts of a run for the HTML report, made from tables only.

Nothing is said by colour alone: lines differ in dashes, areas in patterns, points in shape.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kpasim.arrays import Array, Floats, Ints
from kpasim.report import bins
from kpasim.report.decisions import decisions, in_words
from kpasim.report.drawing import (
    MOST_POINTS,
    Chart,
    axis_of,
    band,
    bars_across,
    filled,
    interval_bars,
    layout_of,
    line,
    numbers,
    points,
    shown,
    thinned,
    time_unit,
)
from kpasim.report.evidence import Evidence
from kpasim.results.cost import PART_WORDS, PARTS
from kpasim.results.display import held, number, seconds
from kpasim.results.frames import Columns
from kpasim.results.intervals import holds
from kpasim.results.states import (
    STATES,
    begin_s,
    desired_pods,
    last_values,
    panic_spans,
    pods_by_state,
    ready_pods,
    successes_s,
)
from kpasim.results.summary import LATENCY_PERCENTILES
from kpasim.results.tables import Tables
from kpasim.spec.experiment import Experiment

MOST_DOTS = 4000
"""Dots of the latency chart at most."""
MOST_BARS = 60
"""Pods whose lives are drawn at most."""

_AREAS = {
    "ready": ("<blue>", "", "<blue-area>"),
    "starting": ("<orange>", "/", "<orange-area>"),
    "pending": ("<muted>", ".", "<grey-area>"),
    "terminating": ("<purple>", "\\", "<purple-area>"),
}
_OUTCOMES = (
    ("succeeded (2xx)", "circle", "<blue>", 200, 300),
    ("redirected (3xx)", "cross", "<green>", 300, 400),
    ("refused (4xx)", "triangle-up", "<orange>", 400, 500),
    ("failed (5xx)", "x", "<red>", 500, 600),
    ("timed out", "triangle-down", "<ink>", 0, 1),
)
_KINDS = {"working": ("<blue>", ""), "idle": ("<muted>", "."), "starting": ("<orange>", "/"),
          "draining": ("<purple>", "\\")}  # fmt: skip
_RULE_SYMBOLS = {"stable": "circle", "panic": "triangle-up", "held": "square", "delay": "diamond"}
_LIFE = (
    ("waiting for a machine", "<muted>", ".", "created_s", "scheduled_s"),
    ("image and start", "<orange>", "/", "scheduled_s", "ready_s"),
    ("ready", "<blue>", "", "ready_s", "delete_requested_s"),
    ("terminating", "<purple>", "\\", "delete_requested_s", "gone_s"),
)


def pods(run: Evidence) -> Chart:
    """Pods by state and desired pods, panic shaded."""
    tables = run.tables
    begin, end = begin_s(tables), run.horizon_s
    scale, unit = time_unit(end)
    binned = bins.needed(run.tables)
    data, top = pods_of(tables, begin, end, scale, binned=binned)
    if not binned:
        data[0:0] = _panic_areas(tables.ticks, scale, "y", top)
    what = f"pods, mean of {bins.width_text(end)}" if binned else "pods"
    layout = layout_of(f"time since the load began [{unit}]", what, (begin / scale, end / scale))
    # Few pods would else get marks between whole numbers, which the format shows twice.
    layout["yaxis"] |= {"range": [0, top], "tickformat": "d"} | ({"dtick": 1} if top < 8 else {})
    layout["xaxis"] |= {"hoverformat": ".1f", "unifiedhovertitle": {"text": f"%{{x:.1f}} {unit}"}}
    return {"data": data, "layout": layout | {"hovermode": "x unified"}}


def scaling(run: Evidence) -> Chart:
    """Pods by state, desired pods and the reason of each decision; below, what the autoscaler observed."""
    tables = run.tables
    scale, _ = time_unit(run.horizon_s)
    top = 1.08 * max(1.0, *(float(np.nanmax(tables.ticks[name], initial=0.0)) for name in ("stable", "panic")))
    chart = pods(run)
    data, layout = chart["data"], chart["layout"]
    binned, edges = bins.needed(tables), bins.edges_s(run.horizon_s)
    if not binned:
        data.append(_decision_points(run, scale))
        data += [area | {"showlegend": False} for area in _panic_areas(tables.ticks, scale, "y2", top)]
    for column, dash, colour, of_bins in (("stable", "solid", "<blue>", "mean"), ("panic", "dash", "<red>", "max")):
        t_s, values, name = tables.ticks["t_s"], tables.ticks[column], f"{column} window"
        if binned:
            seen = bins.seen(tables.ticks, column, edges)
            t_s, values, name = edges, _held(seen.mean if of_bins == "mean" else seen.high), f"{name}, {of_bins}"
        t_s, values = thinned(t_s, values)
        data.append(line(t_s / scale, values, name, colour, dash, step=binned, yaxis="y2", hovertemplate="%{y:.2f}"))
    layout["yaxis"]["domain"] = [0.38, 1]
    layout["yaxis2"] = axis_of(_average(run.experiment)) | {
        "domain": [0, 0.3],
        "rangemode": "tozero",
        "range": [0, top],
    }
    layout["xaxis"]["anchor"] = "y2"
    # Without a limit of distance every point of time has its decision: the nearest one.
    return {"data": data, "layout": layout | {"hoversubplots": "axis", "hoverdistance": -1}}


def _average(experiment: Experiment | None) -> str:
    """What the autoscaler averages, with its unit where that is known."""
    metric = getattr(experiment.scaling, "metric", experiment.revision.metric) if experiment else ""
    unit = {"concurrency": "requests", "ongoing": "requests", "rps": "requests/s", "request-rate": "requests/s"}
    return f"average [{unit[metric]}]" if metric in unit else "average"


def replicas(runs: Sequence[tuple[str, Evidence]]) -> Chart:
    """Desired and ready pods of two runs at most on one axis of time."""
    end = max(run.horizon_s for _, run in runs)
    scale, unit = time_unit(end)
    begin = min(begin_s(run.tables) for _, run in runs)
    binned = any(bins.needed(run.tables) for _, run in runs)
    hover = "%{y:.2f}" if binned else "%{y}"
    data = []
    looks = (("<blue>", "solid", "dot"), ("<red>", "dash", "dashdot"))
    for (name, run), (colour, dash, dots) in zip(runs, looks, strict=False):
        t_s, states, desired_s, desired = _course(run.tables, begin, end, binned=binned)
        data.append(line(t_s / scale, states["ready"], f"ready: {shown(name)}", colour, dash, step=True,
                         hovertemplate=hover))  # fmt: skip
        data.append(line(desired_s / scale, desired, f"desired: {shown(name)}", colour, dots, step=True,
                         hovertemplate=hover))  # fmt: skip
    what = f"pods, mean of {bins.width_text(end)}" if binned else "pods"
    layout = layout_of(f"time since the load began [{unit}]", what, (begin / scale, end / scale))
    layout["yaxis"] |= {"rangemode": "tozero", "tickformat": "d"}
    return {"data": data, "layout": layout | {"hovermode": "x unified"}}


def latencies(run: Evidence) -> tuple[Chart, int]:
    """Latency of each request against the time it was sent, and how many were left out as too many to draw."""
    requests = run.tables.requests
    kept, left_out = _worth_drawing(requests)
    start, latency, status, pod = (requests[name][kept] for name in ("start_s", "latency_s", "status", "pod"))
    every = requests["status"][~np.isnan(requests["latency_s"])]
    end = float(np.max(requests["start_s"], initial=1.0))
    scale, unit = time_unit(end)
    data = []
    for name, symbol, colour, low, high in _OUTCOMES:
        some = (status >= low) & (status < high)
        if some.any():
            count = ((every >= low) & (every < high)).sum()
            marks = points(
                numbers(start[some] / scale), numbers(latency[some]), f"{name}: {count:,}", symbol, colour,
                size=7 if len(start) < 500 else 5, text=[shown(name, 60) for name in pod[some].tolist()],
                hovertemplate=f"sent at %{{x:.2f}} {unit}<br>%{{y:.2f}} s<br>%{{text}}<extra>{name}</extra>",
            )  # fmt: skip
            marks["marker"]["opacity"] = 0.8
            data.append(marks)
    waiting = requests["start_s"][np.isnan(requests["latency_s"])]
    if len(waiting):
        drawn = waiting[np.linspace(0, len(waiting) - 1, min(len(waiting), MOST_DOTS // 4)).astype(np.int64)]
        name, hover = f"in flight at the end: {len(waiting):,}", f"sent at %{{x:.2f}} {unit}<br>no response after "
        data.append(points(numbers(drawn / scale), numbers(run.horizon_s - drawn), name, "line-ns-open", "<muted>",
                           hovertemplate=f"{hover}%{{y:.2f}} s<extra></extra>"))  # fmt: skip
    layout = layout_of(f"request sent [{unit} since the load began]", "latency [s]", (-0.01 * end / scale, end / scale))
    layout["yaxis"]["rangemode"] = "tozero"
    # Also where all ended alike: the legend says how.
    return {"data": data, "layout": layout | {"hovermode": "closest", "showlegend": True}}, left_out


def distribution(runs: Sequence[tuple[str, Evidence]]) -> Chart:
    """Share of successes, of two runs at most, that took no longer than a time, and the percentiles' intervals."""
    data: list[dict[str, Any]] = []
    longest = 1.0
    looks = (("<blue>", "solid", "circle"), ("<red>", "dash", "diamond"))
    for (name, run), (colour, dash, symbol) in zip(runs, looks, strict=False):
        values = np.sort(successes_s(run.tables.requests))
        if len(values):
            share = 100 * np.arange(1, len(values) + 1) / len(values)
            x, y = thinned(values, share)
            data.append(line(x, y, shown(name), colour, dash, step=True, hovertemplate="%{x:.2f} s: %{y:.0f} %"))
            longest = max(longest, float(values[-1]))
        known = [p for p in LATENCY_PERCENTILES if (run.intervals.get(f"latency_s.p{p}") or [None])[0] is not None]
        if known:
            middle = [run.medians[f"latency_s.p{p}"] for p in known]
            intervals = [run.intervals[f"latency_s.p{p}"] for p in known]
            longest = max(longest, *(high for _, high in intervals))
            title = f"{'' if len(runs) == 1 else f'{shown(name)}: '}{run.count:,} runs, {held(run.count, '')}"
            reach = interval_bars(intervals, middle, color=colour, thickness=1.5)
            data.append(points(middle, list(known), title, symbol, colour, size=8, error_x=reach,
                               hovertemplate="p%{y}: %{x:.2f} s<extra></extra>"))  # fmt: skip
    layout = layout_of("latency [s]", "requests that took no longer [%]", (0, 1.05 * longest))
    layout["yaxis"]["range"] = [0, 102]
    return {"data": data, "layout": layout | {"hovermode": "closest"}}


def panels(run: Evidence) -> dict[str, Chart]:
    """Knative's dashboard: request volume by response code, success rate, response time, burst capacity.

    Requests are counted in the interval in which they ended.
    """
    requests = run.tables.requests
    end = run.horizon_s
    scale, unit = time_unit(end)
    done = ~np.isnan(requests["latency_s"])
    ends = (requests["start_s"] + requests["latency_s"])[done]
    latency, status = requests["latency_s"][done], requests["status"][done]
    edges = bins.edges_s(end, 60)
    width = edges[1] - edges[0]
    middle = (edges[:-1] + edges[1:]) / 2 / scale
    place = np.digitize(ends, edges) - 1
    x_title = f"time since the load began [{unit}]"

    volume = []
    for name, _, colour, low, high in _OUTCOMES:
        some = (status >= low) & (status < high)
        if some.any():
            dash = {"<blue>": "solid", "<red>": "dash", "<ink>": "dot"}.get(colour, "dashdot")
            per_s = np.histogram(ends[some], edges)[0] / width
            rate = line(middle, per_s, name, colour, dash, hovertemplate="%{y:.3g} per s")
            rate["line"]["shape"] = "hvh"
            volume.append(rate)
    with np.errstate(invalid="ignore", divide="ignore"):
        ok = np.histogram(ends[(status >= 200) & (status < 300)], edges)[0]
        share = 100 * ok / np.histogram(ends, edges)[0]
    success = line(middle, share, "2xx of all that ended", "<green>", "solid", hovertemplate="%{y:.4g} %")
    success |= {"mode": "lines+markers", "marker": {"size": 4}}

    groups = [latency[(status > 0) & (place == i)] for i in range(len(middle))]
    times = []
    for rank, dash, colour in ((50, "solid", "<blue>"), (90, "dash", "<green>"), (95, "dashdot", "<red>"),
                               (99, "dot", "<ink>")):  # fmt: skip
        values = np.array([np.percentile(group, rank) if len(group) else np.nan for group in groups])
        one = line(middle, values, f"p{rank}", colour, dash, hovertemplate="%{y:.3g} s")
        times.append(one | {"mode": "lines+markers", "marker": {"size": 4}})

    t_s, excess = thinned(run.tables.ticks["t_s"], run.tables.ticks["excess_burst_capacity"])
    burst = [line(t_s / scale, excess, "excess burst capacity", "<blue>", "solid", step=True, hovertemplate="%{y:.0f}")]
    burst.append(line(np.array([0.0, end / scale]), np.zeros(2), "zero: below it the activator is in the path", "<ink>",
                       "dot", hoverinfo="skip"))  # fmt: skip

    drawn: dict[str, Chart] = {}
    for key, data, y_title in (
        ("volume", volume, "requests ended [1/s]"),
        ("success", [success], "success rate [%]"),
        ("response", times, "response time [s]"),
        ("burst", burst, "requests"),
    ):
        layout = layout_of(x_title, y_title, (0, end / scale)) | {"hovermode": "x unified"}
        layout["yaxis"]["rangemode"] = "tozero"
        drawn[key] = {"data": data, "layout": layout}
    drawn["volume"]["layout"]["showlegend"] = True
    drawn["success"]["layout"]["yaxis"]["range"] = [-2, 103]
    return drawn


def lives(run: Evidence) -> tuple[Chart, int]:
    """Each pod as a bar from its creation to its end, in stages, and how many were left out as too many to draw."""
    pods = run.tables.pods
    end = run.horizon_s
    scale, unit = time_unit(end)
    order = np.argsort(pods["created_s"], kind="stable")[:MOST_BARS]
    names = [shown(name, 40) for name in pods["pod"][order].tolist()]
    times = {name: pods[name][order] for name in ("created_s", "ready_s", "delete_requested_s", "gone_s")}
    times["scheduled_s"] = pods["scheduled_s"][order] if "scheduled_s" in pods else times["created_s"]
    data: list[dict[str, Any]] = []
    for name, colour, pattern, first, last in _LIFE:
        # A stage ends with whatever comes next: its own end, being asked to go, being gone, or the end of the run.
        start = times[first]
        stop = np.fmin(np.fmin(times[last], times["gone_s"]), end)
        if last in ("scheduled_s", "ready_s"):
            stop = np.fmin(stop, times["delete_requested_s"])
        with np.errstate(invalid="ignore"):
            there = stop > start
        if not there.any():
            continue
        lasted = (stop - start)[there]
        pods_of_bars = [pod for pod, yes in zip(names, there.tolist(), strict=True) if yes]
        texts = [seconds(float(length)) for length in lasted]
        data.append(bars_across(name, pods_of_bars, numbers(lasted / scale), texts, filled(colour, pattern),
                                f"%{{y}}<br>{name} for %{{text}}", base=numbers(start[there] / scale)))  # fmt: skip
    begin = min(0.0, float(np.min(times["created_s"], initial=0.0)))
    layout = layout_of(f"time since the load began [{unit}]", "", (begin / scale, end / scale))
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True, "type": "category"}
    layout |= {"barmode": "overlay", "hovermode": "closest", "bargap": 0.25}
    return {"data": data, "layout": layout}, max(0, len(pods["created_s"]) - MOST_BARS)


def money(bills: Sequence[tuple[str, Mapping[str, Any]]]) -> Chart:
    """Cost by kind, a bar for each run; all in one currency."""
    names = [shown(name, 40) for name, _ in bills]
    currency = shown(bills[0][1]["currency"])
    data = []
    for part in PARTS:
        amounts = [float(bill["parts"][part]) for _, bill in bills]
        texts = [f"{PART_WORDS[part]} {number(amount, 3)}" for amount in amounts]
        data.append(
            bars_across(PART_WORDS[part], names, amounts, texts, filled(*_KINDS[part]), f"%{{text}} {currency}")
        )
    layout = layout_of(f"cost [{currency}]", "", None) | {"barmode": "stack", "hovermode": "closest"}
    layout["legend"]["traceorder"] = "normal"
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True, "type": "category"}
    return {"data": data, "layout": layout}


def bands(measured: Tables, predicted: Sequence[Tables], end: float, predicted_name: str) -> Chart:
    """Desired and ready pods of a measured run beside predicted ones: their median and, of several, the middle 90 %."""
    scale, unit = time_unit(end)
    grid = np.linspace(0.0, end, 500)
    data: list[dict[str, Any]] = []
    for place, (axis, pods_at) in enumerate((("y", desired_pods), ("y2", ready_pods))):
        # Pods are whole: of an even number of runs the median is one of them, not the mean of two.
        rows = np.array([pods_at(tables, grid) for tables in predicted])
        data += _beside(grid / scale, pods_at(measured, grid), rows, predicted_name, "inverted_cdf", "hv",
                        yaxis=axis, showlegend=place == 0)  # fmt: skip
    layout = layout_of(f"time since the load began [{unit}]", "desired pods", (0, end / scale))
    layout["yaxis"] |= {"domain": [0.55, 1], "rangemode": "tozero", "tickformat": "d"}
    layout["yaxis2"] = axis_of("ready pods") | {"domain": [0, 0.45], "rangemode": "tozero", "tickformat": "d"}
    layout["xaxis"]["anchor"] = "y2"
    return {"data": data, "layout": layout | {"hovermode": "x unified", "hoversubplots": "axis"}}


def quantiles(measured: Tables, predicted: Sequence[Tables]) -> Chart:
    """Latencies of a measured run beside those predicted, by the share of requests that took no longer."""
    share = np.linspace(0.0, 100.0, 201)
    every = [np.percentile(own, share) for one in predicted if len(own := successes_s(one.requests))]
    own = successes_s(measured.requests)
    actual = np.percentile(own, share) if len(own) else np.full(len(share), np.nan)
    data = _beside(share, actual, np.array(every), "predicted, median", "linear", "linear")
    layout = layout_of("share of successful requests that took no longer [%]", "latency [s]", (0, 100))
    layout["yaxis"]["rangemode"] = "tozero"
    return {"data": data, "layout": layout}


def _beside(
    x: Array, actual: Array, rows: Array, name: str, method: Any, shape: str, **common: Any
) -> list[dict[str, Any]]:
    """What was measured as a line, and predictions (rows) as their median and, of several, the middle 90 %."""
    lines = [(actual, "measured", "<ink>", "solid", "m")]
    found: list[dict[str, Any]] = []
    if len(rows):
        low, middle, high = np.percentile(rows, [5, 50, 95], axis=0, method=method)
        lines.insert(0, (middle, shown(name), "<blue>", "dash", "p"))
        if len(rows) > 1:
            found = band(low, high, "predicted, 90 %", "<blue-area>", shape=shape, x=numbers(x), legendgroup="band",
                         **common)  # fmt: skip
    for y, label, colour, dash, group in lines:
        found.append(line(x, y, label, colour, dash, step=shape == "hv", legendgroup=group, **common))
    return found


def deviations(metrics: Mapping[str, Mapping[str, float | None]]) -> Chart:
    """Each predicted metric (``measured``, ``predicted``, ``lo``, ``hi``) as deviation from what was measured.

    Left out are metrics that were measured as 0, and those without a measured or a predicted value.
    """
    usable: dict[str, Floats] = {}
    for name, metric in metrics.items():
        of = [metric.get(key) for key in ("measured", "predicted", "lo", "hi")]
        if of[0] and None not in of:
            usable[metric_words(name)] = np.array(of, dtype=np.float64)
    data = []
    for inside, title, symbol, colour in ((True, "measured inside the interval", "circle", "<blue>"),
                                          (False, "measured outside of it", "x", "<red>")):  # fmt: skip
        some = {name: of for name, of in usable.items() if bool(holds(of[2], of[3], of[0])) is inside}
        if some:
            off = np.array([100 * (of[1:] / of[0] - 1) for of in some.values()])
            reach = interval_bars(off[:, 1:], off[:, 0], color=colour, thickness=3, width=0)
            texts = [f"{number(of[0])} (predicted {number(of[1])}, {number(of[2])} to {number(of[3])})"
                     for of in some.values()]  # fmt: skip
            data.append(points(numbers(off[:, 0]), list(some), title, symbol, colour, size=10, error_x=reach,
                               text=texts, textposition="middle right",
                               hovertemplate="%{y}: %{x:+.1f} %<br>%{text}<extra></extra>"))  # fmt: skip
    layout = layout_of("predicted against measured [%], bars: 90 % interval", "", None) | {"hovermode": "closest"}
    order = list(usable)[::-1]
    layout["yaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": order, "automargin": True}
    layout["xaxis"] |= {"zeroline": True, "zerolinecolor": "<ink>", "zerolinewidth": 1.5, "ticksuffix": " %"}
    return {"data": data, "layout": layout}


def metric_words(name: str) -> str:
    """The name of a compared metric in words: ``first_scale_out_s`` is ``first scale out``."""
    if name == "errors" or name.startswith("failed."):
        return f"failed requests ({'all' if name == 'errors' else name.removeprefix('failed.').replace('_', ' ')})"
    return shown(name.removesuffix("_s").replace("_", " "))


def _worth_drawing(requests: Columns) -> tuple[Ints, int]:
    """Places of the requests to draw: of many, in each stretch of time the slowest, the quickest, failures first."""
    ended = np.flatnonzero(~np.isnan(requests["latency_s"]))
    if len(ended) <= MOST_DOTS:
        return ended, 0
    latency, status = requests["latency_s"][ended], requests["status"][ended]
    failed = np.flatnonzero((status < 200) | (status >= 300))
    failed = failed[np.linspace(0, len(failed) - 1, min(len(failed), MOST_DOTS // 4)).astype(np.int64)]
    extremes = [
        place
        for some in np.array_split(np.arange(len(ended)), MOST_DOTS // 8)
        for place in (some[np.argmin(latency[some])], some[np.argmax(latency[some])])
    ]
    others = np.linspace(0, len(ended) - 1, MOST_DOTS // 2).astype(np.int64)
    kept = np.unique(np.concatenate([failed, np.array(extremes), others]))
    return ended[kept], len(ended) - len(kept)


def pods_of(
    tables: Tables, begin: float, end: float, scale: float, *, binned: bool
) -> tuple[list[dict[str, Any]], float]:
    """Pods by state and the number asked for, in means of bins or change by change, and the top of their axis."""
    t_s, states, desired_s, desired = _course(tables, begin, end, binned=binned)
    hover = "%{y:.2f}" if binned else "%{y}"
    data = [_area(state, t_s / scale, counts, hover) for state, counts in states.items() if counts.any()]
    data.append(line(desired_s / scale, desired, "desired", "<ink>", "solid", step=True, hovertemplate=hover))
    stacked = np.sum(list(states.values()), axis=0)
    top = 1.12 * max(1.0, float(stacked.max(initial=0)), float(tables.scaling["desired"].max(initial=0)))
    if binned:
        data += _extremes(tables, t_s, scale, top)
        top *= 1.17
    return data, top


def _course(
    tables: Tables, begin: float, end: float, *, binned: bool
) -> tuple[Floats, dict[str, Array], Floats, Array]:
    """Moments [s] with pods by state, and moments with desired pods: what holds until the next, or means of bins."""
    if binned:
        edges = bins.edges_s(end)
        states = {state: _held(found.mean) for state, found in bins.pods(tables, edges).items()}
        return edges, states, edges, _held(bins.desired(tables, edges).mean)
    t_s = _moments(tables, begin, end)
    counts = pods_by_state(tables.pods, t_s)
    times, values = tables.scaling["t_s"], tables.scaling["desired"]
    known = values >= 0
    times, values = times[known], values[known]
    since = max(begin, float(times[0])) if len(times) else end
    desired_s = np.unique(np.concatenate([_moments(tables, since, max(end, since)), thinned(times, values)[0]]))
    desired_s = desired_s[desired_s >= since]
    return t_s, {state: counts[state] for state in STATES}, desired_s, last_values(times, values, desired_s)


def _area(state: str, x: Array, y: Array, hover: str) -> dict[str, Any]:
    """Pods in a state, upon those in the states before it."""
    edge, pattern, area = _AREAS[state]
    return line(x, y, state, edge, "solid", stackgroup="pods", fillcolor=area, hovertemplate=hover) | {
        "line": {"shape": "hv", "width": 0.6, "color": edge},
        "fillpattern": {"shape": pattern, "fgcolor": edge, "bgcolor": area, "size": 7, "solidity": 0.25},
    }


def _extremes(tables: Tables, edges: Floats, scale: float, top: float) -> list[dict[str, Any]]:
    """Beside means of bins: the most desired pods, and above all the share of time in panic mode."""
    x = edges / scale
    most = line(x, _held(bins.desired(tables, edges).high), "desired, max", "<ink>", "dot", step=True,
                hovertemplate="%{y}")  # fmt: skip
    most["line"]["width"] = 1
    share = _held(bins.panic(tables.ticks, edges))
    if not share.any():
        return [most]
    text = [f"{100 * one:.0f} %" for one in share.tolist()]
    base = line(x, np.full(len(x), top), "panic", "<red>", "solid", step=True)
    strip = line(x, top * (1 + 0.15 * share), "panic, share of time", "<red>", "dot", step=True, text=text,
                 hovertemplate="%{text}")  # fmt: skip
    return [
        most,
        base | {"showlegend": False, "hoverinfo": "skip", "line": {"width": 0}},
        strip | {"fill": "tonexty", "fillcolor": "<panic-area>"},
    ]


def _held(values: Floats) -> Floats:
    """Values of bins at the edges of these."""
    return np.append(values, values[-1])


def _panic_areas(ticks: Columns, scale: float, axis: str, top: float) -> list[dict[str, Any]]:
    """The time in panic mode as an area, from the tick that entered it to the one that left it; none without any."""
    x: list[float | None] = []
    y: list[float | None] = []
    for start, stop in (panic_spans(ticks)[: MOST_POINTS // 4] / scale).tolist():
        x += [start, start, stop, stop, None]
        y += [0, top, top, 0, None]
    area = {"type": "scatter", "mode": "lines", "name": "panic mode", "legendgroup": "panic mode", "x": x, "y": y,
            "yaxis": axis, "fill": "toself", "fillcolor": "<panic-area>",
            "line": {"width": 1, "dash": "dot", "color": "<red>"}, "hoverinfo": "skip"}  # fmt: skip
    return [area] if x else []


def _decision_points(run: Evidence, scale: float) -> dict[str, Any]:
    """A point for each decision, whose text says what was seen and which rule decided."""
    found = decisions(run)
    if len(found) > MOST_POINTS:
        found = [found[i] for i in np.linspace(0, len(found) - 1, MOST_POINTS).astype(np.int64)]
    t_s = np.array([one["t_s"] for one in found])
    known = desired_pods(run.tables, t_s).astype(int).tolist()
    heights = [pods if one["pods"] is None else one["pods"] for one, pods in zip(found, known, strict=True)]
    texts = ["<br>".join(in_words(one)) for one in found]
    marks = points(numbers(t_s / scale), heights, "decisions", "x", "<page>", text=texts, hovertemplate="%{text}")
    symbols = [_RULE_SYMBOLS.get(one["rule"], "x") for one in found]
    marks["marker"] |= {"symbol": symbols, "line": {"width": 1.5, "color": "<ink>"}}
    return marks


def _moments(tables: Tables, begin: float, end: float) -> Floats:
    """Times at which states are told: every change, and some more between, so that the nearest one is never far."""
    columns = ("created_s", "ready_s", "delete_requested_s", "gone_s", "scheduled_s")
    changes = np.concatenate([tables.pods[name] for name in columns if name in tables.pods])
    changes = np.unique(changes[(changes >= begin) & (changes <= end)])
    if len(changes) > MOST_POINTS // 2:
        changes = changes[np.linspace(0, len(changes) - 1, MOST_POINTS // 2).astype(np.int64)]
    return np.unique(np.concatenate([changes, np.linspace(begin, end, 400)]))
