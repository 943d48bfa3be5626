"""`kpasim tune`: the cheapest settings that meet your SLOs, written into the user's own manifest."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kpasim.cli import options
from kpasim.cli.output import counted, note, number, print_json, show_tables, span

if TYPE_CHECKING:
    from kpasim.studies.tune import Judged, TuneResult

NOT_MET = 3
"""Exit status when no settings are known to meet the SLOs."""
REPORT_EVERY_S = 10.0
"""How often progress is reported where nothing can be drawn."""
SHOWN = (
    ("p50", "latency_s.p50", "s"),
    ("p95", "latency_s.p95", "s"),
    ("p99", "latency_s.p99", "s"),
    ("errors", "errors", ""),
    ("most pods", "max_pods", ""),
    ("pod time", "pod_seconds", "s"),
)
"""Figures shown of what is and what is proposed: title, name, unit."""


@click.command(
    epilog="\b\nTry: kpasim tune experiments/hey50x5.yaml --slo 'p95<=30s' --slo 'errors<=0.1%' --write tuned.yaml"
)
@click.argument("experiment", type=click.Path())
@click.option(
    "--slo",
    multiple=True,
    required=True,
    metavar="SLO",
    help="What a run must meet: 'p95<=30s', 'errors<=0.1%', 'max-pods<=4'; repeatable. Failed requests are infinitely "
    "late, but for 'p95<=30s of successes'.",
)
@click.option(
    "--vary",
    multiple=True,
    metavar="PATH=VALUES",
    help="What may change: 'service.annotations.max-scale=1,2,4', or PATH='{from: 1, to: 9, step: 2}'. "
    "[default: scale bounds, utilisation, window, delay and retention]",
)
@click.option(
    "--minimise",
    type=click.Choice(["cost", "pod-seconds", "gpu-seconds"]),
    default="cost",
    show_default=True,
    help="What is to be least.",
)
@click.option(
    "--probability",
    metavar="SHARE",
    default="90%",
    show_default=True,
    help="Share of runs that must meet all SLOs.",
)
@click.option(
    "--budget",
    type=click.IntRange(1),
    help="Replications of the search at most, but for those that judge its choice.  [default: 50,000]",
)
@options.settings
@options.seed
@click.option("--write", "write_to", type=click.Path(), help="Write the tuned Service YAML to this file.")
@options.engine()
@options.as_json
def command(
    experiment: str,
    slo: tuple[str, ...],
    vary: tuple[str, ...],
    minimise: str,
    probability: str,
    budget: int | None,
    settings: tuple[str, ...],
    seed: int | None,
    write_to: str | None,
    engine: Any,
    as_json: bool,
) -> None:
    """Find the cheapest settings of EXPERIMENT that meet all SLOs, and write them into its manifest.

    EXPERIMENT may be a sweep file: then its axes are what may change. Exit status 3 when nothing that was tried meets
    the SLOs; the nearest miss is shown.
    """
    from kpasim.spec.settings import parse_settings, with_settings
    from kpasim.spec.sharing import CONCURRENCY, sharing_note
    from kpasim.studies.prices import prices_of, remarks
    from kpasim.studies.search.slo import parse_share
    from kpasim.studies.search.space import parse_axis
    from kpasim.studies.tune import BUDGET, read, tune

    if write_to:
        from kpasim.results.files import make_folder

        # Better now than after the work.
        make_folder(Path(write_to).parent)
    what, axes = read(experiment)
    what = with_settings(what, parse_settings(settings))
    if seed is not None:
        what = what.with_settings({"seed": seed})
    ranges = dict(parse_axis(what, text) for text in vary) or axes
    if text := sharing_note(what, CONCURRENCY in (ranges or {})):
        note(text)
    for line in remarks(prices_of(what)):
        note(line)
    with reported() as progress:
        result = tune(
            what,
            slo,
            vary=ranges,
            minimise=minimise,
            probability=parse_share(probability),
            budget=budget or BUDGET,
            engine=engine,
            progress=progress,
        )
    if as_json:
        print_json(result.to_dict())
    else:
        show(result)
    if result.chosen is None:
        if write_to:
            note(f"{write_to} was not written.")
        raise click.exceptions.Exit(NOT_MET)
    if write_to:
        from kpasim.results.files import atomic_write

        with atomic_write(write_to) as file:
            file.write(result.manifest)
        note(f"Wrote {write_to}. Next: kpasim check {write_to}")
    elif result.changes and not as_json:
        note("Next: the same with --write FILE for the whole manifest")
    for path, value in result.elsewhere.items():
        note(f"Not in the Service, change it yourself: {path} = {value}")


@contextmanager
def reported() -> Iterator[Callable[[int, int], None]]:
    """Progress on stderr: replications played, and settings still in the race."""
    begun = time.monotonic()

    def words(played: int, still: int) -> str:
        pace = played / max(time.monotonic() - begun, 1e-3)
        return f"{played:,} replications played ({pace:,.0f}/s), {still:,} settings in the race"

    if not sys.stderr.isatty():
        told = [time.monotonic()]

        def tell(played: int, still: int) -> None:
            if time.monotonic() - told[0] >= REPORT_EVERY_S:
                told[0] = time.monotonic()
                note(words(played, still))

        yield tell
        return
    from rich.console import Console
    from rich.status import Status

    with Status("searching ...", console=Console(stderr=True)) as status:
        yield lambda played, still: status.update(words(played, still))


def show(result: TuneResult) -> None:
    """Print what was found beside what is, how sure that is, and what would change in the manifest."""
    from kpasim.report.words import seconds
    from kpasim.studies.grid.result import label

    slos = ", ".join(str(slo) for slo in result.slos)
    tried = f"{counted(len(result.race.candidates), 'setting')} tried, {counted(result.replications, 'replication')}"
    click.echo(f"{result.experiment.name}: {slos} in at least {100 * result.probability:g} % of runs ({tried})")
    columns = {"now": result.now}
    if result.chosen:
        columns["tuned"] = result.chosen
    elif result.nearest:
        columns["nearest"] = result.nearest
    show_tables(comparison(result, columns))
    if result.horizon_s is not None and result.experiment.horizon_s is None:
        end = seconds(result.horizon_s)
        click.echo(
            f"Every run is billed until {end} after its load began: pods that min-scale keeps cost all that time."
        )
        click.echo(
            "When does your next load come? Say it as horizon: in the experiment, and idle pods cost what they do."
        )
    if result.nearest and result.nearest.share >= result.probability:
        click.echo("The budget was spent before any setting was known to meet the SLOs.")
        click.echo(f"Nearest: {label(result.nearest.settings) or 'the manifest as it is'}")
        click.echo(f"  met in {100 * result.nearest.share:.3g} % of the runs that it was judged on")
        click.echo("Give a larger --budget.")
        return
    if result.race.spent:
        click.echo("The budget is spent; a larger one may find better settings, or be surer (--budget).")
    if result.chosen is None:
        click.echo("Nothing that was tried meets the SLOs.")
        if result.nearest:
            click.echo(f"Nearest miss: {label(result.nearest.settings) or 'the manifest as it is'}")
            for missed, share, median in result.missed(result.nearest):
                click.echo(f"  {missed}: met in {100 * share:.3g} % of runs, {missed.text(median)} in the median run")
        click.echo("Relax the SLOs, let more settings vary (--vary), or make pods start or work faster (the model).")
        return
    click.echo(f"Change: {label(result.chosen.settings) or 'nothing, the manifest is right as it is'}")
    click.echo(how_sure(result))
    if result.changes:
        click.echo(result.changes, nl=False)


def comparison(result: TuneResult, columns: dict[str, Judged]) -> Any:
    """The SLOs, the cost and a few figures of several settings, side by side."""
    from rich.markup import escape
    from rich.table import Table

    from kpasim.results.summary import flattened

    judged = next(iter(columns.values()))
    title = f"Judged on {len(judged.met)} further runs: medians and 90 % intervals, mean cost"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in columns:
        table.add_column(name)
    found = {name: one.to_dict() for name, one in columns.items()}
    table.add_row(
        escape(f"cost [{result.cost_unit}]"),
        *(_with_interval(one["cost"], one["cost_interval"]) for one in found.values()),
    )
    table.add_row(
        "SLOs met",
        *(
            f"{100 * one['probability']:.3g} % "
            f"(95 %: {100 * one['probability_interval'][0]:.3g} to {100 * one['probability_interval'][1]:.3g} %)"
            for one in found.values()
        ),
    )
    for title, figure, unit in SHOWN:
        cells = []
        for one in found.values():
            median = dict(flattened(one["medians"])).get(figure)
            interval = dict(flattened(one["intervals"])).get(figure)
            cells.append(_with_interval(median, interval))
        table.add_row(escape(f"{title} [{unit}]" if unit else title), *cells)
    return table


def _with_interval(value: float | None, interval: list[float] | None) -> str:
    """A value with its interval, where that says more than the value."""
    text, around = number(value), span(interval)
    return f"{text} ({around})" if around and around != text else text


def how_sure(result: TuneResult) -> str:
    """Whether the best is separated from the rest, in a sentence or two."""
    from kpasim.studies.grid.result import label

    if result.separated:
        return "Separated: all else that was tried costs more, misses an SLO, or did the same in every run."
    lines = []
    rivals = result.rivals
    if rivals["tied"]:
        first = rivals["tied"][0]
        lines.append(
            f"Not separated: {counted(len(rivals['tied']), 'other setting')} cannot be told from it in cost, "
            f"such as {label(first['settings']) or 'the manifest as it is'} "
            f"({100 * first['cost_difference']:+.2g} %)."
        )
    if rivals["undecided"]:
        first = rivals["undecided"][0]
        low, high = first["probability_interval"]
        lines.append(
            f"Not separated: {counted(len(rivals['undecided']), 'cheaper setting')} may or may not meet the SLOs, "
            f"such as {label(first['settings']) or 'the manifest as it is'} "
            f"({100 * first['cost_difference']:+.2g} %, met in {100 * low:.1f} to {100 * high:.1f} % of runs)."
        )
    return "\n".join(lines)
