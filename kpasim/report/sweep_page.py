"""The page about a sweep: what latency costs, which settings are worth it, what each axis does."""

from collections.abc import Sequence
from pathlib import Path

from kpasim.errors import RunError
from kpasim.report import markup
from kpasim.report.drawing import Chart
from kpasim.report.markup import Html, element, figure, paragraphs
from kpasim.report.sweep_charts import effect_chart, front_chart, level_text
from kpasim.results.display import NOTHING, Table, held, number, seconds, span
from kpasim.studies.common import MET_IDLE
from kpasim.studies.grid.result import (
    SweepResult,
    effects_note,
    label,
    load_result,
    share_text,
    short,
    step_text,
    value_text,
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
            f"Bars: {held(result.replications)}. Point at a mark for its settings."
        )
        parts += [figure(f"front-{name}", f"Cost against {name}", caption, 420),
                  markup.table(front_table(result, name))]  # fmt: skip
    sections.append(("front", "Cost against latency", Html("".join(parts))))
    sections.append(("axes", "What each setting does", _effects(result, names[0], drawn)))
    listed = settings_table(result, names, MOST_ROWS)
    title = f"The settings as a table ({len(listed.rows):,})"
    sections.append(("rows", "All settings", markup.details(title, markup.table(listed))))
    if about["refused"]:
        rows = [(label(one["settings"]), str(one["reason"])) for one in about["refused"][:MOST_ROWS]]
        listed = Table(f"{len(about['refused'])} settings cannot be", ["setting", "why"], rows)
        sections.append(("refused", "Left out", markup.table(listed)))
    facts = [
        ("experiment", about["experiment"]),
        ("settings", len(result.settings)),
        ("replications of each", result.replications),
        ("seed of all", about["seed"]),
        ("end of every run", seconds(result.horizon_s)),
    ]
    again = element("p", "Simulate it again with ", element("code", f"kpasim sweep {about['name']}.yaml"), ".")
    simulated = markup.table(Table("What was simulated", ["", ""], facts))
    sections.append(("again", "Run it again", Html(again + simulated)))
    subtitle = f"{len(result.settings):,} settings of {about['experiment']}, {result.replications} simulated runs each"
    return markup.page(str(about["name"]), subtitle, sections, drawn)


def _summary(result: SweepResult, name: str) -> Html:
    points = result.pareto(name)
    end = seconds(result.horizon_s)
    lines = [
        f"All settings met the same random numbers, and every run ends {end} after the load began. "
        f"Cost is in {result.cost_unit}, the mean of the replications."
    ]
    if result.about.get("met_idle"):
        lines.append(MET_IDLE)
    if not points:
        lines.append(result.why_no_front(name))
        return paragraphs(lines)
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
    return paragraphs(filter(None, lines))


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


def _effects(result: SweepResult, name: str, drawn: dict[str, Chart]) -> Html:
    figures = []
    for place, (axis, effect) in enumerate(result.effects().items()):
        drawn[f"axis-{place}"] = effect_chart(result, axis, effect, name)
        shares = [effect["share"][key] for key in ("cost", name)]
        told = [f"{100 * share:.0f} %" if share is not None else NOTHING for share in shares]
        explains = f"The axis explains {told[0]} of the variance of cost and {told[1]} of {name}."
        figures.append(figure(f"axis-{place}", short(axis), f"Averaged over the other axes. {explains}", 320))
    listed = markup.table(effects_table(result))
    return Html(element("div", figures, class_="grid") + markup.details("As a table", listed))


def settings_table(result: SweepResult, names: Sequence[str], most: int) -> Table:
    """The cheapest settings, so many at most, with their medians; the front is that of the first latency."""
    front = set(result.front(names[0]))
    shown = result.order[:most]
    shown += [result.now] if result.now is not None and result.now not in shown else []
    rows, looks = [], {}
    for place, row in enumerate(result.row(setting) for setting in shown):
        marks = ["*"] * (row["setting"] in front) + ["now"] * (row["setting"] == result.now)
        latencies = (number(row["medians"]["latency_s"][name]) for name in names)
        values = (value_text(value) for value in row["settings"].values())
        rows.append([" ".join(marks), number(float(result.costs[row["setting"]])), *latencies,
                     share_text(row["error_share"]), number(row["medians"]["max_pods"]), *values])  # fmt: skip
        if "now" in marks:
            looks[place] = "bold"
    numbers = [f"cost [{result.cost_unit}]", *(f"{name} [s]" for name in names), "failed", "peak pods"]
    notes = ["Cost: mean."] if result.about["currency"] else []
    notes += [MET_IDLE] if result.about.get("met_idle") else []
    left_out = len(result.settings) - len(shown)
    notes += [f"All others ({left_out:,}) are in rows.csv."] if left_out else []
    if any(share > 0 for share in result.error_shares):
        notes.append("Latencies are of successful requests; failed: failed requests of those that ended.")
    end = f"every run ends {seconds(result.horizon_s)} after its load began"
    title = f"Settings by cost ({end}; * on the Pareto front, now: as it is)"
    columns = ["", *numbers, *map(short, result.about["axes"])]
    return Table(title, columns, rows, numbers, caption=" ".join(notes), looks=looks)


def front_table(result: SweepResult, name: str) -> Table:
    """The Pareto front of cost against a latency, and what the step to the next point changes."""
    points = result.pareto(name)
    varied = result.varied(points)
    rows = [
        (number(point["cost"]), span(point["cost_interval"]), number(point[name]), span(point[f"{name}_interval"]),
         step_text(point["next"], name), label(point["settings"], varied))
        for point in points
    ]  # fmt: skip
    numbers = [f"cost [{result.cost_unit}]", f"{name} [s]"]
    between = held(result.replications)
    columns = [numbers[0], between, numbers[1], between, "next point", "settings"]
    title = f"Pareto front: cost against {name}; next point: mean difference, where it is significant"
    return Table(title, columns, rows, numbers, caption=result.why_no_front(name) or result.common(points))


def effects_table(result: SweepResult) -> Table:
    """The effect of each axis by itself."""
    names = ["cost", *map(str, result.about["percentiles"])]
    rows: list[list[str]] = []
    for axis, effect in result.effects().items():
        for place, level in enumerate(effect["levels"]):
            means = (number(level[name]) for name in names)
            shown = "" if place else short(axis)
            rows.append([shown, level_text(level["value"]), *means, share_text(level["error_share"])])
        shares = (effect["share"][name] for name in (*names, "error_share"))
        rows.append(["", "share", *("" if share is None else f"{100 * share:.0f} %" for share in shares)])
    title = "Effect of each axis, averaged over the others (share: part of the variance that it explains)"
    numbers = [*names, "failed"]
    return Table(title, ["", "value", *numbers], rows, numbers, ["value"], caption=effects_note(result))
