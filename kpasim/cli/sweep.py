"""`kpasim sweep`: what latency costs, over a grid or a design of settings."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from kpasim.cli import options
from kpasim.cli.output import note, print_json, progress, show_tables, write_figures
from kpasim.results.display import counted

if TYPE_CHECKING:
    from kpasim.studies.execution.engine import Engine
    from kpasim.studies.execution.workers import Backend
    from kpasim.studies.grid.result import SweepResult
    from kpasim.studies.sweep import Plan

MOST_PROCESSES = 1024
"""Processes on one machine that can be meant."""
MOST_ROWS = 15
"""Rows of the table on a terminal."""


@click.command(epilog="\b\nTry: kpasim sweep experiments/cost-vs-latency.yaml --out runs/cost-vs-latency --plot")
@click.argument("file", type=click.Path())
@options.value("--out", click.Path(), "Folder for rows, replications and figures.  [default: runs/NAME]")
@options.flag("--resume", "Continue the unfinished sweep in --out; no run is simulated twice.")
@options.choice("--backend", ["local", "dask", "ray"], "Workers: processes of this machine, or a Dask or Ray cluster.")
@options.value(
    "--address", str, "Scheduler of the Dask or Ray cluster; by default, workers are started on this machine."
)
@options.value(
    "--processes", click.IntRange(1, MOST_PROCESSES), "Processes on this machine.  [default: one on each core]"
)
@options.value("--percentile", "p95", "Compare cost with this latency.  [default: the sweep's first percentile]")
@options.replications("Number of replications of each setting.")
@options.cluster_config
@options.settings
@options.engine("; both give the same rows")
@options.flag("--plot", "Write figures (SVG and PNG) to the folder.")
@options.as_json
def command(
    file: str,
    out: str | None,
    resume: bool,
    backend: Backend,
    address: str | None,
    processes: int | None,
    percentile: str | None,
    replications: int | None,
    cluster_config: tuple[str, ...],
    settings: tuple[str, ...],
    engine: Engine,
    plot: bool,
    as_json: bool,
) -> None:
    """Simulate every setting of FILE, an experiment with axes, under the same random numbers.

    Shows the settings by cost, the Pareto front of cost against latency, and the effect of each axis. --resume
    continues a sweep that was interrupted (Ctrl-C) or killed.
    """
    from kpasim.spec.settings import parse_settings
    from kpasim.spec.sweep import Percentile
    from kpasim.studies.sweep import Plan, is_of_another_version, sweep

    if address and backend == "local":
        raise click.UsageError("--address belongs to --backend dask or ray")
    if replications:
        settings = (*settings, f"replications={replications}")
    plan = Plan.read(file, parse_settings(settings), cluster_config)
    if percentile is not None and percentile not in (known := get_args(Percentile)):
        raise click.BadParameter(f"{percentile!r} is not known (one of {', '.join(known)})", param_hint="--percentile")
    folder = Path(out) if out else Path("runs") / plan.name
    configs = (word for one in cluster_config for word in ("--cluster-config", one))
    again = shlex.join([file, "--out", str(folder), *configs, *(word for one in settings for word in ("--set", one))])
    introduce(plan)
    try:
        with progress("replications", lines=True) as bar:
            result = sweep(
                plan,
                out=folder,
                resume=resume,
                backend=backend,
                address=address,
                processes=processes or 0,
                engine=engine,
                progress=bar,
            )
    except KeyboardInterrupt:
        from kpasim.cli.main import INTERRUPTED

        note(f"Interrupted. What is finished is kept; go on with: kpasim sweep {again} --resume")
        raise click.exceptions.Exit(INTERRUPTED) from None
    if is_of_another_version(plan, folder):
        note(f"The rows in {folder} were simulated by another version of kpasim; simulate them again without --resume.")
    result.write(folder, percentile)
    if plot:
        from kpasim.report.sweep_figures import sweep_figures

        write_figures(sweep_figures(result, percentile), folder)
    if as_json:
        print_json(result.to_dict(percentile))
    else:
        show(result, percentile or result.about["percentiles"][0])
        note(f"All rows: {folder}/rows.csv, rows.parquet, sweep.json; all replications: {folder}/replications.parquet")
        note(f"Next: kpasim {f'report {folder}' if plot else f'sweep {again} --resume --plot'}")


def introduce(plan: Plan) -> None:
    """Say what is going to happen, and what cannot."""
    from kpasim.spec.sharing import CONCURRENCY, sharing_note
    from kpasim.studies.prices import remarks

    if text := sharing_note(plan.experiment, CONCURRENCY in plan.sweep.axes):
        note(text)
    note(f"{plan.name}: {counted(len(plan.settings), 'setting')}, {counted(plan.replications, 'replication')} each")
    if plan.refused:
        refused = counted(len(plan.refused), "setting")
        note(f"Left out: {refused} that cannot be; the first: {plan.refused[0][1].splitlines()[0]}")
    if plan.currency is None:
        note("No prices (cluster.instance-types): pods are counted in seconds, not in money.")
    for line in remarks(plan.prices):
        note(line)


def show(result: SweepResult, percentile: str) -> None:
    """Print the settings by cost, the front, and the axes' effects."""
    from kpasim.report.sweep_page import effects_table, front_table, settings_table

    names = list(dict.fromkeys([percentile, *result.about["percentiles"]]))
    show_tables(settings_table(result, names, MOST_ROWS), front_table(result, percentile), effects_table(result))
