"""What `kpasim run A --against B` shows."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import click

from kpasim.cli.answers import judged, say
from kpasim.cli.output import WIDTH, compile_for_next_time, note, print_json, progress, show_tables
from kpasim.report.differences import change_text, compared_as, differences_table, value_text
from kpasim.results.paired import Difference
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.settings import parse_settings, with_settings
from kpasim.studies.against import Against, against
from kpasim.studies.execution.engine import Engine
from kpasim.studies.judge import Judgement, judge
from kpasim.studies.search.slo import Slo

FIRST = ("latency_s.p50", "latency_s.p95", "cost.per_month", "cost.amount", "errors")
"""Figures that are told in sentences before the table."""


def compare(
    one: Experiment,
    file: str | None,
    changes: tuple[str, ...],
    slos: Sequence[Slo],
    replications: int | None,
    engine: Engine,
    out: str | None,
    *,
    as_json: bool,
) -> list[Judgement]:
    """Simulate an experiment and another one, show the differences, and judge both."""
    other, name = other_experiment(one, file, changes)
    count = 2 * (replications or one.replications)
    with progress("replications", count, show=not as_json) as bar:
        found = against(one, other, replications=replications, engine=engine, progress=bar)
    judgements = {key: judge(result, slos) for key, result in (("A", found.one), ("B", found.other))}
    if as_json:
        verdicts = {key: [each.to_dict() for each in of_run] for key, of_run in judgements.items()}
        print_json(found.to_dict() | ({"slo": verdicts["A"], "against_slo": verdicts["B"]} if slos else {}))
    else:
        for key, of_run in judgements.items():
            for each in of_run:
                say(judged(each, f"{key}: "))
        show_against(found, (one.name, name))
    if out:
        folders = (Path(out), Path(f"{out}-against"))
        for folder, key, result in zip(folders, ("A", "B"), (found.one, found.other), strict=True):
            result.write(folder, [each.for_page() for each in judgements[key]])
        note(f"Tables: {folders[0]}, {folders[1]}. Next: kpasim report {folders[0]} {folders[1]}")
    compile_for_next_time(found.one.engine)
    return [each for of_run in judgements.values() for each in of_run]


def other_experiment(one: Experiment, file: str | None, changes: Sequence[str]) -> tuple[Experiment, str]:
    """What a run is compared with, and its name: another experiment, the same one with changes, or both.

    Raises:
        ExperimentError: The file cannot be used.
        RunError: A change is refused.
    """
    option = "--against-set"
    other = with_settings(load(file) if file else one, parse_settings(changes, option), option)
    return other, " ".join([*([other.name] if file else []), *changes])


def show_against(found: Against, names: tuple[str, str]) -> None:
    """Print what the other run changes: a few sentences, then each figure with its difference and the verdict."""
    one, other = names
    rows = found.differences()
    told = {name: (title, unit, row) for title, name, unit, row in rows}
    confidence = f"{100 * rows[0][3].confidence:.3g} %" if rows else ""
    runs = f"{found.one.replications:,} replications"
    click.echo(f"B ({other}) against A ({one}): means of {runs}, B - A ({confidence} intervals)")
    failures = any(
        told[name][2].before or told[name][2].mean for name in ("errors", "in_flight", "never_sent") if name in told
    )
    width = 18 if failures else 16 if "cost.per_month" in told else 8
    for name in sorted(FIRST, key=lambda one: one != "errors") if failures else FIRST:
        if name in told and not (name == "cost.amount" and "cost.per_month" in told):
            title, unit, row = told[name]
            title = f"{title} of successes" if failures and name.startswith("latency_s.") else title
            say_difference(f"{title:<{width}}", name, unit, row)
    click.echo(textwrap.fill(compared_as(found), WIDTH))
    click.echo()
    shown = [{"title": title, "name": name, "unit": unit, **row.to_dict("A", "B")} for title, name, unit, row in rows]
    show_tables(differences_table("", shown, "A", "B", "B - A"))


def say_difference(title: str, name: str, unit: str, row: Difference) -> None:
    """Print a figure of two settings and its difference in a line."""
    before, after = value_text(name, row.before), value_text(name, row.before + row.mean)
    text = f"{title}{before} -> {after} {unit}: {change_text(name, row)}"
    click.echo(click.style(text, fg="yellow" if row.significant else None))
