"""`kpasim run`: one experiment, n replications."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from kpasim.cli import options
from kpasim.cli.output import (
    WIDTH,
    compile_for_next_time,
    note,
    print_json,
    progress,
    show_tables,
    write_figures,
    write_file,
)
from kpasim.results.display import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kpasim.report.answer import Facts, Line
    from kpasim.results.display import Table
    from kpasim.results.tables import Tables
    from kpasim.spec.experiment import Experiment
    from kpasim.studies.execution.engine import Engine
    from kpasim.studies.judge import Judgement
    from kpasim.studies.run import Result
    from kpasim.studies.search.slo import Slo
    from kpasim.studies.statistics import Statistics

NOT_MET = 3
"""Exit status when an SLO is not met."""
MOST_DECISIONS = 300
"""Lines about decisions that --explain prints at most."""
COSTLY = ("utilisation",)
"""Findings of `kpasim check` about settings that cost money."""


@click.command(epilog="\b\nTry: kpasim run experiments/hey50x5.yaml --replications 500 --out runs/hey50x5")
@click.argument("experiment", required=False, type=click.Path())
@click.option("--manifest", type=click.Path(), help="Service YAML, instead of an experiment file.")
@options.of_manifest
@click.option("--write-experiment", type=click.Path(), help="With a manifest: also write the experiment file.")
@options.cluster_config
@options.replications()
@options.settings
@click.option(
    "--slo",
    multiple=True,
    metavar="SLO",
    help="SLO to check, such as 'p95<=30s' or 'errors<=0.1%'; repeatable. Exit status 3 unless 90 % of runs meet it.",
)
@click.option("--against", metavar="EXPERIMENT", type=click.Path(), help="Compare with this experiment.")
@click.option(
    "--against-set",
    "against_set",
    multiple=True,
    metavar="PATH=VALUE",
    help="Compare with the same experiment (or that of --against) with a setting changed; repeatable.",
)
@options.seed
@options.engine("; both give the same tables")
@click.option(
    "--explain",
    is_flag=True,
    help="Print the reasons for scaling, and for each decision the averages and the rule.",
)
@click.option(
    "--counts-only",
    is_flag=True,
    help="Keep no tables: failed requests, latency, pods and cost of very long runs, in little memory.",
)
@click.option("--plot", is_flag=True, help="Write figures (SVG and PNG) to --out.  [default: runs/NAME]")
@click.option("--out", type=click.Path(), help="Folder for the run's tables.")
@click.option(
    "--openmetrics",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the prediction as series (kpasim_...) for Prometheus and Grafana.",
)
@options.as_json
def command(
    experiment: str | None,
    write_experiment: str | None,
    cluster_config: tuple[str, ...],
    replications: int | None,
    settings: tuple[str, ...],
    slo: tuple[str, ...],
    against: str | None,
    against_set: tuple[str, ...],
    seed: int | None,
    engine: Engine,
    explain: bool,
    counts_only: bool,
    plot: bool,
    out: str | None,
    openmetrics: str | None,
    as_json: bool,
    manifest: str | None,
    **quick: Unpack[options.Quick],
) -> None:
    """Simulate EXPERIMENT: failed requests, latency, cost; then the scaling timeline and all figures.

    With --against or --against-set: compare with another experiment or setting, under the same random numbers.
    EXPERIMENT may be a manifest: ksvc.yaml --hey '-n 50 -c 5' --service-time 11s --cold-start 120s.
    """
    from kpasim.spec.settings import parse_settings, with_settings
    from kpasim.studies.judge import judge
    from kpasim.studies.run import simulate
    from kpasim.studies.search.slo import parse_slo

    changes = parse_settings(settings)
    wanted = [parse_slo(text) for text in slo]
    what = chosen_experiment(experiment, quick, cluster_config, manifest, write_experiment)
    if changes and write_experiment:
        note(f"The changes of --set are not in {write_experiment}.")
    what = with_settings(what, changes)
    if what.service.unmodelled and not as_json:
        note(f"Note: not modelled: {', '.join(what.service.unmodelled)}")
    if seed is not None:
        what = what.with_settings({"seed": seed})
    if counts_only:
        tabled = {
            "--against": against, "--against-set": against_set, "--explain": explain, "--plot": plot, "--out": out,
            "--openmetrics": openmetrics, "--engine reference": engine == "reference",
        }  # fmt: skip
        for option in (option for option, given in tabled.items() if given):
            raise click.UsageError(f"--counts-only keeps no tables, which {option} needs")
        count_only(what, wanted, replications, as_json=as_json)
        return
    if against or against_set:
        if openmetrics:
            raise click.UsageError("--openmetrics writes one run: not with --against or --against-set")
        compare(what, against, against_set, wanted, replications, engine, out, as_json=as_json)
        return
    count = replications or what.replications
    with progress("replications", count, show=not as_json) as bar:
        result = simulate(what, replications=replications, engine=engine, progress=bar)
    folder = Path(out) if out else Path("runs") / what.name if plot else None
    judgements = judge(result, wanted)
    if folder:
        result.write(folder, [one.for_page() for one in judgements])
    if plot and folder:
        from kpasim.report import evidence
        from kpasim.report.figures import run_figures

        write_figures(run_figures(evidence.of(result)), folder)
    if openmetrics:
        write_openmetrics(result, openmetrics)
    if as_json:
        print_json(result.to_dict() | ({"slo": [one.to_dict() for one in judgements]} if wanted else {}))
    else:
        show(result, judgements, explain=explain)
        next_steps(result, experiment or write_experiment, folder, settings)
    compile_for_next_time(result.engine)
    if not all(one.met for one in judgements):
        raise click.exceptions.Exit(NOT_MET)


def write_openmetrics(result: Result, path: str) -> None:
    """Write the representative replication as series; the run ends at the present minute."""
    import time

    from kpasim.records.prometheus import exposition
    from kpasim.records.prometheus.simulated import prediction

    end_s = float(result.horizon_s[result.representative])
    begin = (time.time() - end_s) // 60 * 60
    series = prediction(result.tables(), begin_unix_s=begin, end_s=end_s, labels={"experiment": result.experiment.name})
    exposition.write_openmetrics(path, series)
    note(f"Wrote {path} ({which(result)}). Next: promtool tsdb create-blocks-from openmetrics {path} DATA-DIRECTORY")


def count_only(what: Experiment, slos: Sequence[Slo], replications: int | None, *, as_json: bool) -> None:
    """Simulate an experiment, keep counts only, and show what they say."""
    from kpasim.report.answer import Line
    from kpasim.studies.judge import judge_counts
    from kpasim.studies.statistics import statistics

    count = replications or what.replications
    with progress("replications", count, show=not as_json) as bar:
        found = statistics(what, replications=replications, progress=bar)
    judgements = judge_counts(found, slos)
    if as_json:
        print_json(found.to_dict() | ({"slo": [one.to_dict() for one in judgements]} if slos else {}))
    else:
        for line in answer_lines(found, judgements):
            say(line)
        exact = "no request was kept: latency percentiles within 0.4 %"
        rest = "waits for cold starts, GPU utilisation, parts of the cost, times of scaling, timeline, hey's report"
        say(Line("Counts", f"{exact}; these need tables: {rest} (run without --counts-only)"))
        click.echo()
        show_tables(figures_of_merit(found))
    if not all(one.met for one in judgements):
        raise click.exceptions.Exit(NOT_MET)


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
) -> None:
    """Simulate an experiment and another one, and show the differences."""
    from kpasim.cli.against import other_experiment, show_against
    from kpasim.studies.against import against
    from kpasim.studies.judge import judge

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
    if not all(each.met for of_run in judgements.values() for each in of_run):
        raise click.exceptions.Exit(NOT_MET)


def chosen_experiment(
    experiment: str | None,
    quick: options.Quick,
    cluster_config: tuple[str, ...],
    manifest: str | None = None,
    write_experiment: str | None = None,
) -> Experiment:
    """The experiment of a file, or of a manifest and the options that go with it."""
    from kpasim.spec.experiment import load
    from kpasim.studies.check import is_manifest

    if experiment and manifest:
        raise click.UsageError("give EXPERIMENT or --manifest, not both")
    if experiment and quick["hey_flags"] and is_manifest(experiment):
        experiment, manifest = None, experiment
    if experiment:
        for name, value in {**quick, "write_experiment": write_experiment}.items():
            if value is not None:
                option = "--" + name.removesuffix("_flags").replace("_", "-")
                raise click.UsageError(f"{option} goes with --manifest; EXPERIMENT says these things itself")
        return load(experiment, cluster_config=cluster_config)
    if not manifest:
        raise click.UsageError("give EXPERIMENT, or --manifest with --hey, --service-time and --cold-start")
    from kpasim.spec.quick import quick_experiment

    made, text = quick_experiment(manifest, **quick, write_to=write_experiment, cluster_config=cluster_config)
    if write_experiment:
        write_file(write_experiment, text, folders=True)
    return made


def show(result: Result, judgements: Sequence[Judgement], *, explain: bool) -> None:
    """Print the answer first, then what happened in one run, then every figure."""
    from kpasim.report.answer import Line

    is_hey = result.experiment.workload.kind == "hey"
    tables = result.tables(brief=not (explain or is_hey))
    if explain:
        from kpasim.studies.explain import why

        for text in why(tables, result.params, result.experiment.scaling):
            say(Line("", text))
    for line in (*answer_lines(result, judgements, tables), *dearest(result)):
        say(line)
    click.echo()
    if is_hey:
        from kpasim.results.hey import report

        click.echo(
            f"hey's report of the run with the median test duration ({which(result)}), by hey's own rules: each "
            "percentile is a single response:"
        )
        click.echo(report(tables.requests).text())
    show_tables(timeline(tables))
    click.echo()
    if explain:
        show_decisions(tables, result)
    show_tables(figures_of_merit(result))


def answer_lines(
    result: Result | Statistics, judgements: Sequence[Judgement], tables: Tables | None = None
) -> list[Line]:
    """The answer: failures (first where they are many), SLOs, latency, cost, pods, and what ran and was assumed."""
    from kpasim.report import answer
    from kpasim.report.answer import Line
    from kpasim.spec.sharing import sharing as sharing_of
    from kpasim.studies.versus.rivals import assumed_of

    facts, experiment = facts_of(result), result.experiment
    lines = [*map(judged, judgements), answer.waits(facts), answer.costs(facts)]
    if facts.no_month:
        lines.append(Line("Month", f"no cost per month: {facts.no_month}"))
    place = 0 if answer.failures_come_first(facts) else len(lines)
    lines[place:place] = answer.troubles(facts)
    if not any(facts.intervals.get("errors") or [facts.whole("errors")]):
        lines.append(Line("Failed", f"none of {counted(facts.whole('requests'), 'request')}"))
    lines += [answer.pods(facts, tables), answer.ran(facts)]
    if (sharing := sharing_of(experiment)).possible:
        lines.append(Line("Sharing", sharing.text, "warning" if sharing.assumed else ""))
    if (kind := experiment.scaling.kind) != "kpa":
        lines.append(Line("Scaler", f"{kind}: {assumed_of(experiment)}."))
    return lines


def judged(one: Judgement, of: str = "") -> Line:
    """Whether an SLO is met, as a line; ``of`` is the run that it is about."""
    from kpasim.report.answer import Line

    return Line("\N{CHECK MARK}" if one.met else "\N{BALLOT X}", f"{of}{one.text()}", "good" if one.met else "error")


def show_decisions(tables: Tables, result: Result) -> None:
    """Print what was decided and what became of it, line by line; of a long run its beginning."""
    from kpasim.studies.explain import explanation

    lines = list(explanation(tables, result.params))
    for text in lines[:MOST_DECISIONS]:
        click.echo(text)
    if len(lines) > MOST_DECISIONS:
        rest = len(lines) - MOST_DECISIONS
        where = "--out FOLDER writes all decisions to ticks.csv; the table below shows the whole run"
        click.echo(f"... {rest:,} more lines: {where}")
    click.echo()


def which(result: Result) -> str:
    """Which replication is shown."""
    return f"replication {result.representative} of {result.replications}"


def say(line: Line) -> None:
    """Print one line of an answer, in its colour."""
    import textwrap

    colour = {"error": "red", "warning": "yellow", "good": "green"}.get(line.level)
    label = f"{line.label:8}" if len(line.label) > 1 else f"{line.label} " if line.label else ""
    text = textwrap.fill(line.text, WIDTH, initial_indent=label, subsequent_indent=" " * max(len(label), 2))
    click.echo(click.style(text, fg=colour, bold=line.level == "error"))


def facts_of(result: Result | Statistics) -> Facts:
    """What the answer of a run is made of."""
    from kpasim.report.answer import Facts
    from kpasim.studies.prices import assumed

    return Facts(*result.by_name, result.replications, result.cost, result.experiment, result.no_month,
                 assumed(result.prices))  # fmt: skip


def dearest(result: Result) -> list[Line]:
    """What the money is spent on, and the setting that costs most; where that was not tried, what `check` knows."""
    from kpasim.report.answer import Line, spent_on
    from kpasim.studies.check import findings
    from kpasim.studies.dearest import dearest as find_dearest

    found = []
    if result.cost and (spent := spent_on(result.cost)):
        found.append(Line("Spent", spent))
    if most := find_dearest(result):
        return [*found, Line("Setting", most.text(), "warning")]
    if result.engine != "compiled":
        costly = next((one for one in findings(result.experiment) if one.name in COSTLY), None)
        if costly:
            found.append(Line("Setting", f"{costly.place}: {costly.what}. {costly.fix}", "warning"))
    return found


def timeline(tables: Tables) -> Table:
    """The scaling of one run as a table, in the manner of `kubectl get pods -w`; of a long run in bins of time."""
    from kpasim.report import bins
    from kpasim.results.display import Table
    from kpasim.studies.explain import moments

    found = moments(tables) if bins.changes(tables) <= bins.LEGIBLE else []
    title = "Scaling"
    if not found or len(found) > bins.MOST_ROWS:
        found = bins.rows(tables)
        title = f"Scaling, {len(found)} bins: lowest to highest pods, mean of the average, share of time in panic mode"
    numbers = ("time", "ready", "starting", "pending", "terminating", "average", "desired", "panic")
    return Table(title, (*numbers, "path", ""), found, numbers)


def figures_of_merit(result: Result | Statistics) -> Table:
    """Each figure with its 90 % interval over the replications."""
    from kpasim.results.display import figures_table, shown

    return figures_table("", result.replications, shown(*result.by_name, result.cost))


def next_steps(result: Result, experiment: str | None, folder: Path | None, settings: tuple[str, ...] = ()) -> None:
    """Say what the user may do next."""
    from kpasim.studies.prices import remarks

    for line in remarks(result.prices):
        note(line)
    if not result.prices:
        note("No cost: give a price-per-hour to each of cluster.instance-types in the experiment.")
    if result.experiment.model.provisional:
        note("The service model is provisional: replace it with measured times (kpasim calibrate).")
    if not result.experiment.model.cold_start.stages:
        note("The model has no cold start: new pods serve at once.")
    if result.never_warm:
        note(
            f"The load began without a warm pod in {result.never_warm} of {result.replications} replications: none was "
            "ready before the progress deadline (annotation serving.knative.dev/progress-deadline)."
        )
    if folder:
        note(f"Tables: {folder}. Next: kpasim report {folder}")
    elif experiment:
        changed = [word for one in settings for word in ("--set", one)]
        again = [experiment, *changed, "--plot", "--out", f"runs/{result.experiment.name}"]
        note(f"Next: kpasim run {shlex.join(again)}")
    else:
        note("Next: the same with --write-experiment FILE, to refine, vary and share it")
