"""The page about two runs side by side: settings, decisions, outcome."""

from collections.abc import Sequence
from itertools import chain

from kpasim.report import beside, charts, markup
from kpasim.report.differences import with_ends
from kpasim.report.drawing import Chart
from kpasim.report.evidence import Evidence
from kpasim.report.markup import Html, element, figure
from kpasim.report.run_page import DISTRIBUTION, again_part, cost_part, scaling_part, story_of, subtitle_of
from kpasim.results.display import FIGURES, MONEY, NOTHING, Row, Table, held, shown, signed
from kpasim.results.paired import difference
from kpasim.spec.difference import differences, same_load


def pair_page(one: Evidence, other: Evidence) -> str:
    """The page about two runs side by side; a measured one beside a simulated one is compared with it."""
    drawn: dict[str, Chart] = {}
    runs = [(_label(one, other, "first"), one), (_label(other, one, "second"), other)]
    stories = [element("div", element("h3", name), story_of(run)) for name, run in runs]
    sections: list[tuple[str, str, Html]] = [("summary", "In words", element("div", *stories, class_="grid"))]
    sections.append(("settings", "Settings that differ", _differences(runs)))
    sections.append(("outcome", "Outcome", _outcome(runs)))
    if one.measured != other.measured:
        actual, foreseen = (one, other) if one.measured else (other, one)
        sections.append(("compared", "Measured beside predicted", beside.against(actual, foreseen, drawn)))
    drawn["replicas"] = charts.replicas(runs)
    caption = "Desired and ready pods of both runs; what was seen at each decision is in the charts below."
    both = [figure("replicas", "Pods of both runs", caption, 340)]
    sections.append(("scaling", "Pods and decisions", Html("".join([
        *both, *(scaling_part(run, drawn, f"-{place}", name) for place, (name, run) in enumerate(runs))
    ]))))  # fmt: skip
    drawn["distribution"] = charts.distribution(runs)
    sections.append(("latency", "Latency", figure("distribution", "Latencies of both runs", DISTRIBUTION, 340)))
    billed = [(name, run) for name, run in runs if run.money]
    if billed:
        sections.append(("cost", "Cost", cost_part(billed, drawn)))
    for place, (name, run) in enumerate(runs):
        sections.append((f"again-{place}", f"Run it again: {name}", again_part(run)))
    title = f"{runs[0][0]} and {runs[1][0]}"
    subtitles = subtitle_of(one), subtitle_of(other)
    said = [subtitles[0], ", each"] if subtitles[0] == subtitles[1] else [subtitles[0], " · ", subtitles[1]]
    return markup.page(title, said, sections, drawn)


def _label(run: Evidence, other: Evidence, place: str) -> str:
    """What a run is called beside another one."""
    if run.name != other.name:
        return run.name
    if run.measured != other.measured:
        return f"{run.name}, {run.kind}"
    return (
        f"{run.name} ({run.folder.name or place})" if run.folder.name != other.folder.name else f"{run.name}, {place}"
    )


def _differences(runs: Sequence[tuple[str, Evidence]]) -> Html:
    one, other = (run.experiment for _, run in runs)
    if one is None or other is None:
        return element("p", "Not known: a folder does not describe its experiment.")
    rows = [(found.setting, *(text[:500] for text in found.texts)) for found in differences(one, other)]
    if not rows:
        return element("p", "None: both are the same experiment.")
    return markup.table(Table("What is the same in both is left out", ["setting", *(name for name, _ in runs)], rows))


def _are_paired(one: Evidence, other: Evidence) -> bool:
    """Whether replication k of both runs met the same requests and random numbers."""
    if one.replications is None or other.replications is None or one.text("seed") != other.text("seed"):
        return False
    if one.experiment is None or other.experiment is None or one.load_is_elsewhere or other.load_is_elsewhere:
        return one.about.get("workload") == other.about.get("workload") is not None
    return same_load(one.experiment, other.experiment)


def _change(one: Evidence, other: Evidence, name: str, paired: bool) -> tuple[str, str]:
    """Second minus first with its interval, and the verdict; without replications the bare difference."""
    key = name.removeprefix("cost.")
    if key in (one.replications or ()) and key in (other.replications or ()):
        values = other.replications[key], one.replications[key]  # type: ignore[index]
        found = difference(*values, paired=paired, figures=len(FIGURES) + len(MONEY))
        return with_ends(name, found), found.verdict
    a, b = ((run.money or {}).get(key) if key != name else run.medians.get(name) for run in (one, other))
    return ("", "") if a is None or b is None else (signed(name, b - a), "")


def _outcome(runs: Sequence[tuple[str, Evidence]]) -> Html:
    """Figures of both runs with their intervals, and what separates them."""
    (first, one), (second, other) = runs
    paired = _are_paired(one, other)
    same_money = (one.money or {}).get("currency") == (other.money or {}).get("currency")
    texts = [{row.name: row for row in shown(run.medians, run.intervals, run.money)} for _, run in runs]
    rows = []
    for name, row in (texts[1] | texts[0]).items():
        if same_money or not name.startswith("cost."):
            cells = (each.get(name, Row(name, "", NOTHING, "", ""))[2:4] for each in texts)
            what = row.title.strip(), row.unit.partition(" ±")[0]
            rows.append((*what, *chain(*cells), *_change(one, other, name, paired)))
    numbers = [first, held(one.count), second, held(other.count), "second minus first"]
    note = (
        "Both met the same random numbers: each difference is the mean over pairs of replications, with the confidence "
        "interval of that mean in brackets. It is significant where the interval leaves out zero."
        if paired
        else "Both have replications, but not of the same load and seed: each difference is between the means of "
        "independent samples, with its confidence interval in brackets."
        if one.replications is not None and other.replications is not None
        else "A single run has no replications: compare the intervals."
    )
    listed = Table("Figures of both runs", ["", "", *numbers, "difference"], rows, numbers)
    return Html(element("p", note) + markup.table(listed))
