"""The page about a sweep: what latency costs, which settings are worth it, what each axis does."""

from __future__ import annotations

from pathlib import Path

from kpasim.errors import RunError
from kpasim.report import markup, words
from kpasim.report.drawing import Chart
from kpasim.report.markup import Html, element, figure
from kpasim.report.sweep_charts import effect_chart, front_chart, level_text
from kpasim.report.words import number, span
from kpasim.studies.common import MET_IDLE
from kpasim.studies.grid.result import (
    SweepResult,
    effects_note,
    label,
    load_result,
    share_text,
    short,
    step_text,
)

MOST_ROWS = 200
"""Rows of the table of all settings at most."""


def sweep_page(folder: str | Path) -> str:
    """The page about the sweep in a folder.

    Raises:
        RunError: There is none, or its files do not fit each other.
    """
    result = load_result(folder)
    try:
        return _page(result)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{folder}: its plan.json and its table of replications do not fit ({error!r:.120})") from None


def _page(result: SweepResult) -> str:
    drawn: dict[str, Chart] = {}
    about = result.about
    names = [str(name) for name in about["percentiles"]]
    sections = [("summary", "In words", _summary(result, names[0]))]
    parts = []
    for name in names:
        drawn[f"front-{name}"] = front_chart(result, name)
        caption = (
            "Each dot is a setting. Those on the line are the Pareto front: nothing is both cheaper and faster. "
            f"Bars: {words.held(result.replications)}. Point at a mark for its settings."
        )
        parts += [figure(f"front-{name}", f"Cost against {name}", caption, 420), _front(result, name)]
    sections.append(("front", "Cost against latency", Html("".join(parts))))
    sections.append(("axes", "What each setting does", _effects(result, names, drawn)))
    sections.append(("rows", "All settings", _rows(result, names)))
    if about["refused"]:
        rows = [(label(one["settings"]), str(one["reason"])) for one in about["refused"][:MOST_ROWS]]
        listed = markup.table(f"{len(about['refused'])} settings cannot be", ["setting", "why"], rows, words=2,
                              class_="words")  # fmt: skip
        sections.append(("refused", "Left out", listed))
    facts = [
        ("experiment", about["experiment"]),
        ("settings", len(result.settings)),
        ("replications of each", result.replications),
        ("seed of all", about["seed"]),
        ("end of every run", words.seconds(result.horizon_s)),
    ]
    again = element("p", "Simulate it again with ", element("code", f"kpasim sweep {about['name']}.yaml"), ".")
    sections.append(
        ("again", "Run it again", Html(again + markup.table("What was simulated", ["", ""], facts, words=2)))
    )
    subtitle = f"{len(result.settings):,} settings of {about['experiment']}, {result.replications} simulated runs each"
    return markup.page(str(about["name"]), subtitle, sections, drawn)


def _summary(result: SweepResult, name: str) -> Html:
    points = result.pareto(name)
    end = words.seconds(result.horizon_s)
    lines = [
        f"All settings met the same random numbers, and every run ends {end} after the load began. "
        f"Cost is in {result.cost_unit}, the mean of the replications."
    ]
    if result.about.get("met_idle"):
        lines.append(MET_IDLE)
    if not points:
        lines.append(result.why_no_front(name))
        return Html("".join(element("p", line) for line in lines))
    varied = result.varied(points)
    cheapest, fastest = points[0], points[-1]
    lines.append(f"The cheapest costs {number(cheapest['cost'])} ({span(cheapest['cost_interval'])}) with a {name} of "
                 f"{number(cheapest[name])} s: {label(cheapest['settings'], varied)}.")  # fmt: skip
    if len(points) > 1:
        between = span(fastest[f"{name}_interval"])
        lines.append(f"The fastest has a {name} of {number(fastest[name])} s ({between}) for "
                     f"{number(fastest['cost'])}: {label(fastest['settings'], varied)}.")  # fmt: skip
    lines.append(result.common(points))
    unclear = sum(point["next"] is not None and not point["next"]["significant"] for point in points)
    if unclear:
        lines.append(
            f"Of the {len(points) - 1} steps along the Pareto front, {unclear} are not significant in both figures."
        )
    strongest = _strongest(result, name)
    if strongest:
        lines.append(strongest)
    return Html("".join(element("p", line) for line in lines if line))


def _strongest(result: SweepResult, name: str) -> str:
    """Which axis explains most of cost and of the latency."""
    said = []
    for outcome in ("cost", name):
        shares = {axis: effect["share"][outcome] for axis, effect in result.effects().items()}
        known = {axis: share for axis, share in shares.items() if share is not None}
        if known:
            axis = max(known, key=lambda one: known[one])
            said.append((short(axis), f"{outcome} ({100 * known[axis]:.0f} % of its variance)"))
    if len(said) == 2 and said[0][0] == said[1][0]:
        said = [(said[0][0], f"{said[0][1]} and of {said[1][1]}")]
    return f"{'; '.join(f'{axis} explains most of {what}' for axis, what in said)}." if said else ""


def _front(result: SweepResult, name: str) -> Html:
    points = result.pareto(name)
    varied = result.varied(points)
    rows = []
    for point in points:
        rows.append((label(point["settings"], varied), number(point["cost"]), span(point["cost_interval"]),
                     number(point[name]), span(point[f"{name}_interval"]), step_text(point["next"], name)))  # fmt: skip
    held = words.held(result.replications)
    columns = ["setting", "cost", held, f"{name} [s]", held, "to the next point"]
    return markup.table(f"The Pareto front of cost against {name}", columns, rows, class_="words")


def _effects(result: SweepResult, names: list[str], drawn: dict[str, Chart]) -> Html:
    figures, rows = [], []
    for place, (axis, effect) in enumerate(result.effects().items()):
        drawn[f"axis-{place}"] = effect_chart(result, axis, effect, names[0])
        shares = [effect["share"][key] for key in ("cost", names[0])]
        told = [f"{100 * share:.0f} %" if share is not None else words.NOTHING for share in shares]
        explains = f"The axis explains {told[0]} of the variance of cost and {told[1]} of {names[0]}."
        caption = f"Averaged over the other axes. {explains}"
        figures.append(figure(f"axis-{place}", short(axis), caption, 320))
        rows += [
            (short(axis), level_text(level["value"]), number(level["cost"]), *(number(level[name]) for name in names),
             share_text(level["error_share"]))
            for level in effect["levels"]
        ]  # fmt: skip
    listed = markup.table("Means at each value", ["setting", "value", "cost", *names, "failed"], rows, words=2)
    note = effects_note(result)
    text = element("p", note) if note else ""
    return Html(element("div", figures, class_="grid") + text + markup.details("As a table", listed))


def _rows(result: SweepResult, names: list[str]) -> Html:
    rows = []
    for place in result.order[:MOST_ROWS]:
        row = result.row(place)
        latencies = (number(row["medians"]["latency_s"][name]) for name in names)
        rows.append((label(row["settings"]), number(float(result.costs[place])), *latencies,
                     share_text(row["error_share"]), number(row["medians"]["max_pods"])))  # fmt: skip
    left = len(result.settings) - len(rows)
    title = f"Settings by cost{f'; {left:,} more expensive settings are in rows.csv' if left else ''}"
    columns = ["setting", f"cost [{result.cost_unit}]", *(f"{name} [s]" for name in names), "failed", "peak pods"]
    return markup.details(
        f"The settings as a table ({len(rows):,})", markup.table(title, columns, rows, class_="words")
    )
