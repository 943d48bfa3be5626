"""`kpasim tune`: the cheapest settings that meet your SLOs, written into the user's own manifest."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from kpasim.cli import options
from kpasim.cli.output import NOT_MET, UNDECIDED, note, now_and_then, print_json, show_tables, write_file
from kpasim.results.display import NOTHING, Table, counted, number, span, with_interval

if TYPE_CHECKING:
    from kpasim.studies.execution.engine import Engine
    from kpasim.studies.tune import Judged, TuneResult

SHOWN = (
    ("p50 of successes", "latency_s.p50", "s"),
    ("p95 of successes", "latency_s.p95", "s"),
    ("p99 of successes", "latency_s.p99", "s"),
    ("peak pods", "max_pods", ""),
    ("pod-seconds", "pod_seconds", ""),
)
"""Figures shown of what is and what is proposed: title, name, unit."""


@click.command(
    epilog="\b\nTry: kpasim tune experiments/hey50x5.yaml --slo 'p95<=30s' --slo 'errors<=0.1%' --write tuned.yaml"
)
@click.argument("experiment", type=click.Path())
@options.many(
    "--slo",
    "SLO",
    "SLO of a run: 'p95<=30s', 'errors<=0.1%', 'max-pods<=4'; repeatable. Failed requests are infinitely "
    "late, except with 'p95<=30s of successes'.",
    required=True,
)
@options.many(
    "--vary",
    "PATH=VALUES",
    "Setting to vary: 'service.annotations.max-scale=1,2,4', or PATH='{from: 1, to: 9, step: 2}'. "
    "[default: scale bounds, utilisation, window, delay and retention]",
)
@options.choice("--minimise", ["cost", "pod-seconds", "gpu-seconds"], "Objective.")
@options.value("--probability", "SHARE", "Share of runs that must meet all SLOs.", default="90%", show_default=True)
@options.value(
    "--budget",
    click.IntRange(1),
    "Maximum number of replications in the search, without the final test of the choice.  [default: 50,000]",
)
@options.of_manifest
@options.cluster_config
@options.settings
@options.seed
@options.value(
    "--write write_to",
    options.FILE,
    "Write the tuned Service YAML (or that of the HPA, KEDA or Ray Serve that the experiment has) to this file.",
)
@options.engine()
@options.as_json
def command(
    experiment: str,
    slo: tuple[str, ...],
    vary: tuple[str, ...],
    minimise: str,
    probability: str,
    budget: int | None,
    cluster_config: tuple[str, ...],
    settings: tuple[str, ...],
    seed: int | None,
    write_to: Path | None,
    engine: Engine,
    as_json: bool,
    **quick: Unpack[options.Quick],
) -> None:
    """Find the cheapest settings of EXPERIMENT that meet all SLOs, and write them into its manifest.

    EXPERIMENT may be a sweep file: then the search varies its axes. It may be a manifest, with --hey, --service-time
    and --cold-start. Among settings of about the same cost (1 %), those with the fewest changes are chosen. Exit status
    3: no tried settings meet the SLOs. Exit status 4: the budget was too small to decide. Both show the nearest
    settings.
    """
    from kpasim.spec.settings import parse_settings, with_settings
    from kpasim.spec.sharing import CONCURRENCY, sharing_note
    from kpasim.studies.prices import prices_of, remarks
    from kpasim.studies.search.slo import parse_share
    from kpasim.studies.search.space import parse_axes
    from kpasim.studies.tune import BUDGET, read, tune

    if quick["hey_flags"]:
        from kpasim.cli.run import chosen_experiment

        what, axes = chosen_experiment(experiment, quick, cluster_config), None
    else:
        what, axes = read(experiment, cluster_config)
    what = with_settings(what, parse_settings(settings))
    if seed is not None:
        what = what.with_settings({"seed": seed})
    ranges = parse_axes(what, vary) or axes
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
        raise click.exceptions.Exit(UNDECIDED if result.undecided else NOT_MET)
    if write_to:
        knative = "service.knative.dev" in result.manifest or "serving.k" in result.manifest
        write_file(write_to, result.manifest, f". Next: kpasim check {write_to}" if knative else ".")
    elif result.changes and not as_json:
        note("Next: the same with --write FILE for the whole manifest")
    for path, value in result.elsewhere.items():
        note(f"Not in the Service, change it yourself: {path} = {value}")


@contextmanager
def reported() -> Iterator[Callable[[int, int], None]]:
    """Progress on stderr: simulated replications, and settings still in the race."""
    begun = time.monotonic()

    def words(simulated: int, still: int) -> str:
        pace = simulated / max(time.monotonic() - begun, 1e-3)
        return f"{simulated:,} replications simulated ({pace:,.0f}/s), {still:,} settings in the race"

    if not sys.stderr.isatty():
        tell = now_and_then()
        yield lambda simulated, still: tell(words(simulated, still))
        return
    from rich.console import Console
    from rich.status import Status

    with Status("searching ...", console=Console(stderr=True)) as status:
        yield lambda simulated, still: status.update(words(simulated, still))


def show(result: TuneResult) -> None:
    """Print the choice, a comparison with the present settings, the confidence, and the changes of the manifest."""
    from kpasim.studies.search.stress import words

    slos = ", ".join(str(slo) for slo in result.slos)
    tried = f"{counted(len(result.race.candidates), 'setting')} tried, {counted(result.replications, 'replication')}"
    click.echo(f"{result.experiment.name}: {slos} in at least {100 * result.probability:g} % of runs ({tried})")
    for line in answer(result):
        click.echo(line)
    columns = {"now": result.now}
    if result.chosen:
        columns["tuned"] = result.chosen
    elif result.nearest:
        columns["nearest"] = result.nearest
    show_tables(comparison(result, columns), *([ladder(result)] if any(result.ladder) else []))
    if result.chosen:
        click.echo("Under more load:")
        for one in result.stress:
            click.echo(f"  {words(one, result.probability)}")
    for line in (*assumptions(result), *how_sure(result)):
        click.echo(line)
    if result.changes:
        click.echo(result.changes, nl=False)


def answer(result: TuneResult) -> list[str]:
    """The changes and their saving, or the reason why no settings meet the SLOs."""
    if result.chosen:
        return [
            *(click.style(f"Warning: {text}", fg="red") for text in result.warnings),
            f"Change: {name(result.chosen) if result.chosen.settings else 'nothing'}",
            f"  {price(result, result.chosen)}",
        ]
    assert result.nearest is not None
    lines = []
    if result.undecided:
        lines.append(
            "Undecided: the budget was spent before settings that meet the SLOs were confirmed. Give a larger --budget."
            if result.race.cut_short
            else "Undecided: the nearest settings meet the SLOs about as often as required (--probability)."
        )
        lines.append(f"Nearest: {name(result.nearest)}")
    else:
        lines += ["No tried settings meet the SLOs.", f"Nearest miss: {name(result.nearest)}"]
    lines.append(f"  SLOs met in {share(result.nearest)}")
    for slo, met, words in result.missed(result.nearest):
        lines.append(f"  {slo}: met in {100 * met:.3g} % of runs; in the median run {words}")
    if result.binding:
        lines += advice(result)
    return lines


def advice(result: TuneResult) -> list[str]:
    """Which limit binds, and what to do about it."""
    from kpasim.studies.grid.result import label

    assert result.binding is not None
    if result.binding.share >= result.probability:
        return []
    if result.binding.remedy:
        vary = " ".join(f"--vary {path}={value}" for path, value in result.binding.remedy.items())
        return [f"The limit is {result.binding.limit}: the SLOs are met with {label(result.binding.remedy)} ({vary})."]
    return ["More pods do not help: relax the SLOs, or make pods start or work faster (the model)."]


def name(judged: Judged) -> str:
    """Settings in a line."""
    from kpasim.studies.grid.result import label

    return label(judged.settings) or "the manifest as it is"


def share(judged: Judged) -> str:
    """How often settings meet the SLOs, with the interval."""
    low, high = judged.interval
    return f"{100 * judged.share:.3g} % of runs (95 %: {100 * low:.3g} to {100 * high:.3g} %)"


def price(result: TuneResult, judged: Judged) -> str:
    """What settings cost, beside what is paid now."""
    saved = result.saved(judged)
    against = f"{100 * abs(saved):.3g} % {'less' if saved > 0 else 'more'} than now" if judged.settings else "as now"
    return f"{number(judged.cost)} {result.cost_unit}, {against}; SLOs met in {share(judged)}"


def assumptions(result: TuneResult) -> list[str]:
    """What was assumed that the user did not say."""
    from kpasim.results.display import seconds
    from kpasim.studies.common import MET_IDLE

    lines = []
    if result.horizon_s is not None and result.experiment.horizon_s is None:
        lines.append(
            f"Every run is billed until {seconds(result.horizon_s)} after its load began, to its own end if that is "
            "later. Set how often the load recurs (repeat: 24h) for a cost per month with all idle pods."
        )
    if result.idled:
        lines.append(MET_IDLE)
    if result.stretch_s and result.stretch_s[0] > 0:
        lines.append(f"SLOs and cost per month are about the load after its warm-up of {seconds(result.stretch_s[0])}.")
    return lines


def ladder(result: TuneResult) -> Table:
    """The cheapest settings with one change, with two changes, and so on."""
    rows = []
    shown = None
    for changes, step in enumerate(result.ladder):
        if step is None:
            rows.append((str(changes), NOTHING, "", "", "no settings found that meet the SLOs"))
        elif step.settings != shown:
            shown = step.settings
            chosen = result.chosen is not None and shown == result.chosen.settings
            against_now = f"{-100 * result.saved(step):+.3g} %" if step.settings else ""
            cells = (against_now, f"{100 * step.share:.3g} %")
            rows.append((str(len(shown)), number(step.cost), *cells, name(step) + ("  <- chosen" if chosen else "")))
    headings = ("changes", f"cost [{result.cost_unit}]", "against now", "SLOs met", "settings")
    return Table("Cheapest with", headings, rows, headings[:-1])


def comparison(result: TuneResult, columns: dict[str, Judged]) -> Table:
    """The SLOs, the cost and a few figures of several settings, side by side."""
    from kpasim.results.summary import flattened

    judged, found = list(columns.values()), [one.to_dict() for one in columns.values()]
    rows = [
        (f"cost [{result.cost_unit}]",
         *(with_interval(number(one["cost"]), span(one["cost_interval"])) for one in found)),
        ("SLOs met", *(share(one).replace(" of runs", "") for one in judged)),
        ("failed requests", *(f"{100 * one.failed:.3g} %" if one.failed else "none" for one in judged)),
    ]  # fmt: skip
    for title, figure, unit in SHOWN:
        both = ((dict(flattened(one[key])).get(figure) for key in ("medians", "intervals")) for one in found)
        cells = (with_interval(number(median), span(interval)) for median, interval in both)
        rows.append((f"{title} [{unit}]" if unit else title, *cells))
    title = f"Judged on {len(judged[0].met)} further runs: mean cost, medians of all else, 90 % intervals"
    return Table(title, ["", *columns], rows, looks={2: "red"} if any(one.failed for one in judged) else {})


def how_sure(result: TuneResult) -> list[str]:
    """Whether the cheapest is known, in a sentence or two."""
    from kpasim.studies.grid.result import label

    lines = []
    if result.race.cut_short:
        lines.append("The budget is spent; a larger --budget may find better settings.")
    if not result.chosen:
        return lines
    tried = len(result.race.candidates)
    if result.separated:
        return [
            *lines,
            f"Best of {tried} settings: every other setting costs more, misses an SLO or behaves identically.",
        ]
    rivals = result.rivals
    if rivals["tied"]:
        lines.append(
            f"No significant difference in cost from the cheapest: {counted(len(rivals['tied']), 'other setting')}."
        )
    if rivals["undecided"]:
        first = rivals["undecided"][0]
        low, high = first["probability_interval"]
        lines.append(
            f"Undecided: {counted(len(rivals['undecided']), 'cheaper setting')} may or may not meet the SLOs, "
            f"such as {label(first['settings']) or 'the manifest as it is'} "
            f"({100 * first['cost_difference']:+.2g} %, met in {100 * low:.1f} to {100 * high:.1f} % of runs)."
        )
    return lines
