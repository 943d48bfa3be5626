"""`kpasim versus`: the same load under several autoscalers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kpasim.cli import options
from kpasim.cli.output import NOT_MET, WIDTH, compile_for_next_time, note, print_json, progress, show_tables

if TYPE_CHECKING:
    from kpasim.studies.execution.engine import Engine
    from kpasim.studies.judge import Judgement
    from kpasim.studies.versus.study import Versus

MOST_REASONS = 6
"""Lines about the decisions of an autoscaler that --explain prints at most."""


@click.command(epilog="\b\nTry: kpasim versus experiments/hey50x5.yaml --with hpa,keda,spare:1 -n 20")
@click.argument("experiment", type=click.Path())
@options.many(
    "--with others",
    "AUTOSCALER,...",
    "Autoscalers to compare with the experiment's own: kinds such as hpa, keda, spare:N and ray (all: kpasim "
    "explain autoscaler); a YAML file with an HPA, a ScaledObject, an InterceptorRoute or a section autoscaler; or "
    "FILE.py:FUNCTION. Repeatable.",
    required=True,
)
@options.many(
    "--with-set with_set",
    "NAME.KEY=VALUE",
    "Change a setting of an autoscaler of --with, such as keda.polling-interval=10s; repeatable.",
)
@options.many(
    "--slo", "SLO", "SLO to check, such as 'p95<=30s'; repeatable. Exit status 3 unless an autoscaler meets all."
)
@options.replications("Number of replications of each.")
@options.settings
@options.cluster_config
@options.seed
@options.engine("; both give the same tables")
@options.flag("--explain", "Print the reasons for scaling of each autoscaler.")
@options.value("--out", options.FOLDER, "Folder for versus.html, pods.png and each run's tables.")
@options.as_json
def command(
    experiment: str,
    others: tuple[str, ...],
    with_set: tuple[str, ...],
    slo: tuple[str, ...],
    replications: int | None,
    settings: tuple[str, ...],
    cluster_config: tuple[str, ...],
    seed: int | None,
    engine: Engine,
    explain: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Simulate EXPERIMENT under other autoscalers too, and compare latency, failed requests, cold starts and cost.

    All autoscalers get the same requests and random numbers. Assumed settings are printed.
    """
    from kpasim.spec.experiment import load
    from kpasim.spec.settings import parse_settings, with_settings
    from kpasim.studies.search.slo import parse_slo
    from kpasim.studies.versus.rivals import rivals
    from kpasim.studies.versus.study import versus

    slos = [parse_slo(text) for text in slo]
    what = with_settings(load(experiment, cluster_config=cluster_config), parse_settings(settings))
    if seed is not None:
        what = what.with_settings({"seed": seed})
    chosen = rivals(what, others, parse_settings(with_set, "--with-set"))
    count = len(chosen) * (replications or what.replications)
    with progress("replications", count, show=not as_json) as bar:
        found = versus(chosen, slos=slos, replications=replications, engine=engine, progress=bar)
    if out:
        write(found, out)
    if as_json:
        print_json(found.to_dict())
    else:
        show(found, explain=explain)
    compile_for_next_time(found.results[0].engine)
    if slos and not any(found.meets(place) for place in range(len(found.rivals))):
        raise click.exceptions.Exit(NOT_MET)


def show(found: Versus, *, explain: bool) -> None:
    """Print the answer, the table, what was assumed, and the reasons where they are asked for."""
    from kpasim.report.versus_page import answer, figures_table, held
    from kpasim.studies.explain import why

    for line in answer(found):
        click.echo(textwrap.fill(line, WIDTH))
    click.echo()
    show_tables(figures_table(found))
    click.echo()
    for line in held(found):
        click.echo(textwrap.fill(line, WIDTH))
    for rival in found.rivals:
        if rival.assumed:
            click.echo(textwrap.fill(f"Assumed: {rival.assumed}.", WIDTH, subsequent_indent="  "))
    for place, judgements in enumerate(found.judgements):
        if judgements:
            click.secho(verdict(found.names[place], judgements), fg="green" if found.meets(place) else "red")
    if slo_note := next((one.about for of_run in found.judgements for one in of_run if one.about), ""):
        click.echo(f"SLOs are about {slo_note}.")
    if explain:
        for name, tables, result in zip(found.names, found.shown, found.results, strict=True):
            click.echo()
            click.secho(name, bold=True)
            for line in why(tables, result.params, result.experiment.scaling)[:MOST_REASONS]:
                click.echo(textwrap.fill(line, WIDTH, subsequent_indent="  "))


def verdict(name: str, judgements: Sequence[Judgement]) -> str:
    """A line about the SLOs of an autoscaler."""
    from kpasim.results.display import percent
    from kpasim.studies.tune import PROBABILITY

    texts = [f"{one.slo} met in {percent(one.share)} of runs" for one in judgements]
    mark = "\N{CHECK MARK}" if all(one.met for one in judgements) else "\N{BALLOT X}"
    return f"{mark} {name}: {'; '.join(texts)} ({percent(PROBABILITY)} needed)"


def write(found: Versus, folder: Path) -> None:
    """Leave versus.json, the figure, the page, and a run folder for each autoscaler."""
    from kpasim.engines.scaling import written
    from kpasim.report.paper import save_all
    from kpasim.report.versus_page import pods_figure, versus_page
    from kpasim.results.files import write_json, write_text

    for place, result in enumerate(found.results):
        result.write(folder / file_name(found.names[place]), [one.for_page() for one in found.judgements[place]])
        write_text(folder / f"{file_name(found.names[place])}.yaml", written(found.rivals[place].experiment))
    write_json(folder / "versus.json", found.to_dict())
    save_all({"pods": pods_figure(found)}, folder)
    write_text(folder / "versus.html", versus_page(found))
    note(f"Wrote {folder / 'versus.html'}, pods.png, versus.json; YAML and tables of each autoscaler")


def file_name(name: str) -> str:
    """The name of an autoscaler as a folder."""
    return "".join(one if one.isalnum() or one in "-_." else "-" for one in name).strip(".-") or "own"
