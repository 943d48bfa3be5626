"""What `kpasim run` shows: the answer, what happened in one run, every figure, and what to do next."""

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

import click

from kpasim.cli.output import WIDTH, note, print_json, progress, show_tables
from kpasim.report import answer, bins
from kpasim.report.answer import Facts, Line
from kpasim.results import hey
from kpasim.results.display import Table, counted
from kpasim.results.tables import Tables
from kpasim.spec.experiment import Experiment
from kpasim.spec.sharing import sharing as sharing_of
from kpasim.studies.check import findings
from kpasim.studies.dearest import dearest as find_dearest
from kpasim.studies.explain import explanation, moments, why
from kpasim.studies.judge import Judgement, judge_counts
from kpasim.studies.prices import assumed, remarks
from kpasim.studies.run import Result
from kpasim.studies.search.slo import Slo
from kpasim.studies.statistics import Statistics, statistics
from kpasim.studies.versus.rivals import assumed_of

MOST_DECISIONS = 300
"""Lines about decisions that --explain prints at most."""
COSTLY = ("utilisation",)
"""Findings of `kpasim check` about settings that cost money."""


def count_only(what: Experiment, slos: Sequence[Slo], replications: int | None, *, as_json: bool) -> list[Judgement]:
    """Simulate an experiment, keep counts only, show what they say, and judge it."""
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
        show_tables(found.table())
    return judgements


def show(result: Result, judgements: Sequence[Judgement], *, explain: bool) -> None:
    """Print the answer first, then what happened in one run, then every figure."""
    is_hey = result.experiment.workload.kind == "hey"
    tables = result.tables(brief=not (explain or is_hey))
    if explain:
        for text in why(tables, result.params, result.experiment.scaling):
            say(Line("", text))
    for line in (*answer_lines(result, judgements, tables), *dearest(result)):
        say(line)
    click.echo()
    if is_hey:
        click.echo(
            f"hey's report of the run with the median test duration ({result.which}), by hey's own rules: each "
            "percentile is a single response:"
        )
        click.echo(hey.report(tables.requests).text())
    show_tables(timeline(tables))
    click.echo()
    if explain:
        show_decisions(tables, result)
    show_tables(result.table())


def answer_lines(
    result: Result | Statistics, judgements: Sequence[Judgement], tables: Tables | None = None
) -> list[Line]:
    """The answer: failures (first where they are many), SLOs, latency, cost, pods, and what ran and was assumed."""
    experiment, prices = result.experiment, assumed(result.prices)
    facts = Facts(*result.by_name, result.replications, result.cost, experiment, result.no_month, prices)
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
    return Line("\N{CHECK MARK}" if one.met else "\N{BALLOT X}", f"{of}{one.text()}", "good" if one.met else "error")


def show_decisions(tables: Tables, result: Result) -> None:
    """Print what was decided and what became of it, line by line; of a long run its beginning."""
    lines = list(explanation(tables, result.params))
    for text in lines[:MOST_DECISIONS]:
        click.echo(text)
    if len(lines) > MOST_DECISIONS:
        rest = len(lines) - MOST_DECISIONS
        where = "--out FOLDER writes all decisions to ticks.csv; the table below shows the whole run"
        click.echo(f"... {rest:,} more lines: {where}")
    click.echo()


def say(line: Line) -> None:
    """Print one line of an answer, in its colour."""
    colour = {"error": "red", "warning": "yellow", "good": "green"}.get(line.level)
    label = f"{line.label:8}" if len(line.label) > 1 else f"{line.label} " if line.label else ""
    text = textwrap.fill(line.text, WIDTH, initial_indent=label, subsequent_indent=" " * max(len(label), 2))
    click.echo(click.style(text, fg=colour, bold=line.level == "error"))


def dearest(result: Result) -> list[Line]:
    """What the money is spent on, and the setting that costs most; where that was not tried, what `check` knows."""
    found = []
    if result.cost and (spent := answer.spent_on(result.cost)):
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
    found = [] if bins.needed(tables) else moments(tables)
    title = "Scaling"
    if not found or len(found) > bins.MOST_ROWS:
        found = bins.rows(tables)
        title = f"Scaling, {len(found)} bins: lowest to highest pods, mean of the average, share of time in panic mode"
    numbers = ("time", "ready", "starting", "pending", "terminating", "average", "desired", "panic")
    return Table(title, (*numbers, "path", ""), found, numbers)


def next_steps(result: Result, experiment: str | None, folder: Path | None, settings: tuple[str, ...] = ()) -> None:
    """Say what the user may do next."""
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
