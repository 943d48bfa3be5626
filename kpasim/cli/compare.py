"""`kpasim compare`: a prediction beside a measured run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kpasim.cli import options
from kpasim.cli.output import NOT_MET, compile_for_next_time, note, print_json, progress, show_tables, write_figures
from kpasim.results.display import counted, number, span

if TYPE_CHECKING:
    from kpasim.studies.compare import Comparison, ServiceTimes
    from kpasim.studies.execution.engine import Engine

SHOWN = 100
"""Replications that the figure draws at most."""


@click.command(epilog="\b\nTry: kpasim compare runs/hey50x5-live --plot --tolerance p50=15% --tolerance max-pods=0")
@click.argument("run_dir", type=click.Path(file_okay=False, path_type=Path))
@options.replications(default=200)
@options.value(
    "--service-times",
    click.Choice(["recorded", "declared"]),
    "recorded: service times, starts of pods and the arrivals of open loops are those of the run, so that the "
    "autoscaler and the network path are compared. declared: times are drawn from the model.  "
    "[default: recorded; declared with --model or --experiment]",
)
@options.value("--model", "NAME|FILE", "Predict with this model instead of the run's own.")
@options.value(
    "--experiment",
    click.Path(dir_okay=False),
    "Predict from this experiment. Arrivals of open loops are those of the run.",
    metavar="FILE",
)
@options.flag("--align", "Infer the clock phases from the recorded averages.")
@options.many(
    "--earlier",
    "RUN_DIR",
    "Earlier run on the same activator, to estimate its reporting phase within the wall-clock second; repeatable.",
    type=click.Path(file_okay=False, path_type=Path),
)
@options.many(
    "--tolerance tolerances",
    options.Pair("METRIC=AMOUNT", "p50=15%"),
    "Maximum error of a metric, such as p50=15% or max-pods=0; repeatable.",
)
@options.seed
@options.engine("; both give the same tables")
@options.flag("--plot", "Write figures (SVG and PNG) to --out.  [default: runs/NAME-compare]")
@options.value("--out", options.FOLDER, "Folder for comparison.json.")
@options.as_json
def command(
    *,
    run_dir: Path,
    replications: int,
    service_times: ServiceTimes | None,
    model: str | None,
    experiment: str | None,
    align: bool,
    earlier: tuple[Path, ...],
    tolerances: tuple[tuple[str, str], ...],
    seed: int | None,
    engine: Engine,
    plot: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Simulate the experiment of RUN_DIR and compare the prediction with the measured run.

    Exit status 3: a tolerance is missed, of the experiment or of --tolerance.
    """
    from kpasim.spec.experiment import load
    from kpasim.studies.compare import compare
    from kpasim.studies.measured.clocks import report_places

    own_model = None if model is None else options.model_named(model)
    own_experiment = None if experiment is None else load(experiment)
    places_ns = report_places(earlier)
    with progress("replications", replications, show=not as_json) as bar:
        comparison = compare(
            run_dir,
            replications=replications,
            service_times=service_times,
            align=align,
            seed=seed,
            engine=engine,
            tolerances=dict(tolerances),
            progress=bar,
            report_places_ns=places_ns,
            model=own_model,
            experiment=own_experiment,
        )
    folder = out or (Path("runs") / f"{comparison.name}-compare" if plot else None)
    if folder:
        _write(comparison, folder, plot=plot)
    if as_json:
        print_json(comparison.to_dict())
    else:
        _show(comparison)
    compile_for_next_time(comparison.result.engine)
    raise click.exceptions.Exit(NOT_MET if comparison.missed else 0)


def _show(comparison: Comparison) -> None:
    """Print the metrics, and what the ticks and the pods say."""
    from kpasim.report.beside import metrics_table
    from kpasim.report.charts import metric_words

    runs = counted(comparison.result.replications, "replication")
    simulated = comparison.source == "simulated"
    title = f"{comparison.name}: {runs} beside {'a simulated' if simulated else 'the measured'} run"
    show_tables(metrics_table(title, comparison.metrics, "simulated" if simulated else "measured"))
    if comparison.wasserstein_s is not None:
        click.echo(f"Latencies are {number(comparison.wasserstein_s)} s apart (Wasserstein-1).")
    for kind, counts in comparison.failures.items():
        told = f"{number(counts['measured'])} measured, {number(counts['predicted'])} predicted"
        click.echo(f"{metric_words(kind).capitalize()}: {told}, 90 % interval {span([counts['lo'], counts['hi']])}.")
    created = comparison.pod_created_s
    if created["measured"]:
        both = zip(created["measured"], created["predicted"], strict=True)
        times = [f"{number(measured)} / {number(predicted)}" for measured, predicted in both]
        click.echo(f"Pods created at (measured / predicted) {', '.join(times)}")
    ticks = comparison.ticks
    wrong = [f"{name.replace('_', ' ')} {ticks[name]}" for name in ("desired", "panic_mode", "excess_burst_capacity")]
    click.echo(f"Ticks: {ticks['rows']}; different from the policy: {', '.join(wrong)}.")
    if simulated:
        click.echo("RUN_DIR is a simulated run, not a measured run.")
    for line in comparison.notes:
        click.echo(line)
    for name, modes in comparison.modes.items():
        low, high = f"near {number(modes.low)} in {modes.share_low:.0%}", f"near {number(modes.high)}"
        click.echo(f"Two modes: {metric_words(name)} is {low} of the replications, {high} in the others.")
    if comparison.outside:
        click.echo(f"Outside the 90 % interval: {', '.join(map(metric_words, comparison.outside))}.")
    for line in comparison.missed:
        click.echo(f"Missed: {line}")


def _write(comparison: Comparison, folder: Path, *, plot: bool) -> None:
    """Leave comparison.json in the folder, and the figures."""
    from kpasim.results.files import make_folder, write_json

    make_folder(folder)
    write_json(folder / "comparison.json", comparison.to_dict())
    note(f"Wrote {folder / 'comparison.json'}")
    if not plot:
        return
    from kpasim.report.figures import intervals, overlay

    count = min(comparison.result.replications, SHOWN)
    predicted = [comparison.result.tables(index) for index in range(count)]
    figures = {
        "overlay": overlay(comparison.measured, predicted, comparison.end_s, comparison.name),
        "intervals": intervals(comparison.metrics, comparison.name),
    }
    write_figures(figures, folder)
