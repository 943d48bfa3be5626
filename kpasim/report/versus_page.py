"""What a comparison of autoscalers says: the answer in words, the table, pods over time, and the page about it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kpasim.report import bins, charts, markup
from kpasim.report.drawing import Chart, axis_of, layout_of, shown, time_unit
from kpasim.report.markup import Html, element, figure, paragraphs
from kpasim.report.paper import on_paper
from kpasim.results.display import NOTHING, Table, counted, seconds, signed
from kpasim.results.display import figure as figure_text
from kpasim.results.paired import Difference
from kpasim.studies.versus.study import EQUAL, FAILED_SHARE, Versus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNIFICANT = (
    "Each difference is the mean over pairs of replications; it is significant where its interval leaves out zero. "
    "Latencies are those of successful requests."
)
PANEL = 130
"""Height of one panel of pods [pixels]."""


def answer(found: Versus) -> list[str]:
    """The answer in a few sentences."""
    names, best = found.names, found.cheapest
    title, name, unit = found.columns[-1]
    asked = bool(found.judgements[0])
    if not best:
        fail = f"More than {FAILED_SHARE:.0%} of requests fail under every autoscaler."
        lines = ["No autoscaler meets all SLOs." if asked else fail]
    else:
        amount = figure_text(name, found.means(best[0])[name])
        left_out = not asked and not all(found.meets(place) for place in range(len(names)))
        what = "meets all SLOs at the lowest" if asked else "has the lowest"
        text = f"{names[best[0]]} {what} {title} ({amount} {unit})"
        known, open_ = (
            [names[place] for place in best[1:] if found.knows(best[0], place) is enough] for enough in (True, False)
        )
        text += f"; no significant difference to {', '.join(known)}" if known else ""
        text += f"; not known whether {', '.join(open_)} need{'s' * (len(open_) == 1)} more (-n)" if open_ else ""
        of = f" Autoscalers under which more than {FAILED_SHARE:.0%} of requests fail are left out." if left_out else ""
        lines = [f"{text}.{of}"]
    if not asked:
        lines.append(_fastest(found))
    shares = [found.means(place)["failed_share"] for place in range(len(names))]
    failing = [
        f"{name} ({figure_text('failed_share', share)})" for name, share in zip(names, shares, strict=True) if share
    ]
    if failing:
        lines.append(f"Requests fail under {', '.join(failing)}; latencies are those of successful requests.")
    return lines


def _fastest(found: Versus) -> str:
    """Which autoscaler has the lowest p95."""
    values = {place: found.means(place)["latency_s.p95"] for place in range(len(found.names))}
    known = {place: value for place, value in values.items() if math.isfinite(value) and found.meets(place)}
    if not known:
        return "No autoscaler has a p95 to compare."
    best = min(known, key=lambda place: known[place])
    return f"{found.names[best]} has the lowest p95 ({figure_text('latency_s.p95', known[best])} s)."


def held(found: Versus) -> list[str]:
    """Who holds requests at zero pods, how the runs begin and end, and what they have in common."""
    groups: dict[str, list[str]] = {}
    for place, name in enumerate(found.names):
        groups.setdefault(found.holds(place), []).append(name)
    texts = [
        f"{'they fail' if who == 'nobody' else f'the {who} holds them'} ({', '.join(names)})"
        for who, names in groups.items()
    ]
    begins = ", all begin in the state that they lead to after a pause (start: idled)" if found.idled else ""
    end = f"all runs end {seconds(found.end_s)} after the load began" if found.end_s else "each run ends without pods"
    runs = counted(found.results[0].replications, "replication")
    lines = [f"Requests at zero pods: {'; '.join(texts)}.", f"{runs} of each; {end}{begins}.", EQUAL]
    differences = (one for place in range(1, len(found.names)) for one in found.differences(place).values())
    if any(not (one.same or one.significant or one.enough) and math.isfinite(one.mean) for one in differences):
        verb = "is" if found.results[0].replications == 1 else "are"
        lines.append(f"Not known: {runs} {verb} too few to tell (-n takes more).")
    return lines


def change(name: str, found: Difference) -> tuple[str, str]:
    """A difference with half of its interval, and the verdict where that is not `significant`."""
    if found.same:
        return "same", ""
    if not math.isfinite(found.mean):
        return NOTHING, ""
    if not math.isfinite(found.low):
        return signed(name, found.mean), "not known"
    half = float(f"{max(found.high - found.mean, found.mean - found.low):.2g}")
    verdict = "" if found.significant else "not significant" if found.enough else "not known"
    return f"{signed(name, found.mean)} ± {signed(name, half).lstrip('+')}", verdict


def pods_figure(found: Versus) -> Figure:
    """Pods over time, one panel for each autoscaler, on the same axes."""
    height, title = 0.9 + 1.5 * len(found.names), f"{found.rivals[0].experiment.name}: pods over time"
    return on_paper(pods_chart(found), height, title)


def versus_page(found: Versus) -> str:
    """The page about a comparison."""
    experiment = found.rivals[0].experiment
    drawn: dict[str, Chart] = {"pods": pods_chart(found)}
    assumed = [one.assumed for one in found.rivals if one.assumed]
    verdicts = [
        (found.names[place], each.text(), "met" if each.met else "not met")
        for place, judgements in enumerate(found.judgements)
        for each in judgements
    ]
    of_bins = f" Means of {bins.width_text(found.shown_s)}." if any(map(bins.needed, found.shown)) else ""
    panels = figure(
        "pods",
        "Pods over time, one panel for each autoscaler",
        "The same replication under each: the replication with the median test duration of the first autoscaler. "
        f"Areas: pods by state; line: pods asked for.{of_bins}",
        80 + PANEL * len(found.names),
    )
    sections = [
        ("summary", "In words", paragraphs(answer(found))),
        ("figures", "Figures", Html(element("p", SIGNIFICANT) + markup.table(figures_table(found)))),
        ("pods", "Pods", panels),
        ("equal", "Held equal", paragraphs(held(found))),
    ]
    if verdicts:
        sections.append(("slo", "SLOs", markup.table(Table("SLOs", ["autoscaler", "SLO", ""], verdicts))))
    if assumed:
        sections.append(("assumed", "Assumed", paragraphs(f"{line}." for line in assumed)))
    subtitle = (
        f"{counted(len(found.names), 'autoscaler')}, {counted(found.results[0].replications, 'replication')} of each"
    )
    return markup.page(f"{experiment.name}: autoscalers compared", subtitle, sections, drawn)


def figures_table(found: Versus) -> Table:
    """Means of each autoscaler, and their differences from the first; those of the cheapest stand out."""
    judged = any(found.judgements)
    rows: list[list[str]] = []
    looks = {}
    for place, name in enumerate(found.names):
        means, differences = found.means(place), found.differences(place)
        looks[len(rows)] = "bold" if place in found.cheapest[:1] else ""
        known = {key: figure_text(key, mean) for key, mean in means.items() if math.isfinite(mean)}
        slos = [one.met for one in found.judgements[place]]
        met = [f"{sum(slos)} of {len(slos)} met"] * judged
        rows.append([name, *(known.get(key, NOTHING) for _, key, _ in found.columns), *met])
        if place:
            changes = ("\n".join(filter(None, change(key, differences[key]))) for _, key, _ in found.columns)
            looks[len(rows)] = "dim"
            rows.append(["  difference", *changes, *([""] * judged)])
    numbers = [f"{title} [{unit}]" for title, _, unit in found.columns]
    columns = ["autoscaler", *numbers, *(["SLOs"] * judged)]
    title = f"Means of all replications, and differences from {found.names[0]} ± half their confidence interval"
    return Table(title, columns, rows, numbers, ["autoscaler", "SLOs"], looks=looks)


def pods_chart(found: Versus) -> Chart:
    """Pods by state over time, one panel for each autoscaler, on the same axes."""
    end = found.shown_s
    scale, unit = time_unit(end)
    binned = any(map(bins.needed, found.shown))
    data, named, top = [], set(), 1.0
    for place, tables in enumerate(found.shown):
        areas, highest = charts.pods_of(tables, 0.0, end, scale, binned=binned)
        top = max(top, highest)
        axis = f"y{place + 1}" if place else "y"
        # The panels are low: the share of time in panic mode is left to the pages about single runs.
        for area in (one for one in areas if not str(one["name"]).startswith("panic")):
            group = f"stack-{place}"
            stacked = {"stackgroup": group} if "stackgroup" in area else {}
            once = {"legendgroup": area["name"], "showlegend": area["name"] not in named}
            data.append(area | stacked | {"yaxis": axis} | once)
            named.add(area["name"])
    layout = layout_of(f"time since the load began [{unit}]", "pods", (0.0, end / scale))
    gap, count = 0.3 / len(found.names), len(found.names)
    notes = []
    for place, name in enumerate(found.names):
        high = 0.97 - place * (0.97 + gap) / count
        low = max(0.0, high - (0.97 + gap) / count + gap)
        key = f"yaxis{place + 1}" if place else "yaxis"
        layout[key] = axis_of("pods") | {"domain": [low, high], "range": [0, top], "tickformat": "d"}
        notes.append(
            {"text": shown(name), "xref": "paper", "yref": "paper", "x": 0.01, "y": high, "showarrow": False,
             "xanchor": "left", "yanchor": "bottom", "font": {"size": 13, "color": "<ink>"}}
        )  # fmt: skip
    layout["xaxis"] |= {"anchor": f"y{count}" if count > 1 else "y"}
    return {"data": data, "layout": layout | {"annotations": notes}}
