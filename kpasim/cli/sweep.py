"""`kpasim sweep`: what latency costs, over a grid or a design of settings."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kpasim.cli import options
from kpasim.cli.output import counted, note, number, print_json, progress, show_tables, span

if TYPE_CHECKING:
    from kpasim.studies.grid.result import SweepResult
    from kpasim.studies.sweep import Plan

MOST_ROWS = 15
"""Rows of the table on a terminal."""


@click.command(epilog="\b\nTry: kpasim sweep experiments/cost-vs-latency.yaml --out runs/cost-vs-latency --plot")
@click.argument("file", type=click.Path())
@click.option("--out", type=click.Path(), help="Folder for rows, replications and figures.  [default: runs/NAME]")
@click.option("--resume", is_flag=True, help="Continue the unfinished sweep in --out; no run is simulated twice.")
@click.option(
    "--backend",
    type=click.Choice(["local", "dask", "ray"]),
    default="local",
    show_default=True,
    help="Workers: processes of this machine, or a Dask or Ray cluster.",
)
@click.option(
    "--address", help="Scheduler of the Dask or Ray cluster; by default, workers are started on this machine."
)
@click.option("--processes", type=click.IntRange(1), help="Processes on this machine.  [default: one on each core]")
@click.option(
    "--percentile", metavar="p95", help="Compare cost with this latency.  [default: the sweep's first percentile]"
)
@click.option("-n", "--replications", type=click.IntRange(1), help="Number of replications of each setting.")
@options.cluster_config
@options.settings
@options.engine("; both give the same rows")
@click.option("--plot", is_flag=True, help="Write figures (SVG and PNG) to the folder.")
@options.as_json
def command(
    file: str,
    out: str | None,
    resume: bool,
    backend: Any,
    address: str | None,
    processes: int | None,
    percentile: str | None,
    replications: int | None,
    cluster_config: tuple[str, ...],
    settings: tuple[str, ...],
    engine: Any,
    plot: bool,
    as_json: bool,
) -> None:
    """Simulate every setting of FILE, an experiment with axes, under the same random numbers.

    Shows the settings by cost, the Pareto front of cost against latency, and the effect of each axis. --resume
    continues a sweep that was interrupted (Ctrl-C) or killed.
    """
    from kpasim.spec.settings import parse_settings
    from kpasim.studies.sweep import Plan, is_of_another_version, sweep

    if address and backend == "local":
        raise click.UsageError("--address belongs to --backend dask or ray")
    if replications:
        settings = (*settings, f"replications={replications}")
    plan = Plan.read(file, parse_settings(settings), cluster_config)
    check_percentile(percentile)
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
        from kpasim.report.paper import save_all
        from kpasim.report.sweep_figures import sweep_figures

        for path in save_all(sweep_figures(result, percentile), folder):
            note(f"Wrote {path}")
    if as_json:
        print_json(result.to_dict(percentile))
    else:
        show(result, percentile or result.about["percentiles"][0])
        note(f"All rows: {folder}/rows.csv, rows.parquet, sweep.json; all replications: {folder}/replications.parquet")
        note(f"Next: kpasim {f'report {folder}' if plot else f'sweep {again} --resume --plot'}")


def check_percentile(percentile: str | None) -> None:
    """Refuse a latency that no run reports."""
    from typing import get_args

    from kpasim.spec.sweep import Percentile

    known = get_args(Percentile)
    if percentile is not None and percentile not in known:
        raise click.BadParameter(f"{percentile!r} is not known (one of {', '.join(known)})", param_hint="--percentile")


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
    show_tables(rows_table(result, percentile), front_table(result, percentile), effects_table(result))


def rows_table(result: SweepResult, percentile: str) -> Any:
    """The cheapest settings with their medians."""
    from kpasim.report.words import seconds
    from kpasim.studies.common import MET_IDLE
    from kpasim.studies.grid.axes import value_text
    from kpasim.studies.grid.result import share_text

    names = list(dict.fromkeys([percentile, *result.about["percentiles"]]))
    end = seconds(result.horizon_s)
    title = f"Settings by cost (every run ends {end} after its load began; * on the Pareto front, now: as it is)"
    columns = ["", f"cost [{result.cost_unit}]", *(f"{name} [s]" for name in names), "errors", "pods"]
    table = _table(title, columns, result)
    front = set(result.front(percentile))
    shown = result.order[:MOST_ROWS]
    shown += [result.now] if result.now is not None and result.now not in shown else []
    for row in [result.row(place) for place in shown]:
        table.add_row(
            f"{'*' if row['setting'] in front else ''}{' now' if row['setting'] == result.now else ''}".strip(),
            number(float(result.costs[row["setting"]])),
            *(number(row["medians"]["latency_s"][name]) for name in names),
            share_text(row["error_share"]),
            number(row["medians"]["max_pods"]),
            *(value_text(value) for value in row["settings"].values()),
        )
    mean = "Cost: mean. " if result.about["currency"] else ""
    notes = [f"{mean}{MET_IDLE}" if result.about.get("met_idle") else mean.strip()]
    left_out = len(result.settings) - len(shown)
    notes += [f"All others ({left_out:,}) are in rows.csv."] if left_out > 0 else []
    if any(share > 0 for share in result.error_shares):
        notes.append("Latencies are of successful requests; errors: failed requests of those that ended.")
    return _captioned(table, " ".join(note for note in notes if note))


def front_table(result: SweepResult, percentile: str) -> Any:
    """The Pareto front, and what the step to the next point changes."""
    from kpasim.results.display import interval_words
    from kpasim.studies.grid.result import label, step_text

    title = f"Pareto front: cost against {percentile}, {interval_words(result.replications) or 'a single run'}"
    title += "; next point: mean difference, where it is significant"
    table = _table(title, [f"cost [{result.cost_unit}]", "90 %", f"{percentile} [s]", "90 %", "next point", "settings"])
    points = result.pareto(percentile)
    varied = result.varied(points)
    for point in points:
        table.add_row(
            number(point["cost"]),
            span(point["cost_interval"]),
            number(point[percentile]),
            span(point[f"{percentile}_interval"]),
            step_text(point["next"], percentile),
            label(point["settings"], varied),
        )
    return _captioned(table, result.why_no_front(percentile) or result.common(points))


def effects_table(result: SweepResult) -> Any:
    """The effect of each axis by itself."""
    from kpasim.studies.grid.axes import value_text
    from kpasim.studies.grid.result import effects_note, share_text, short

    names = ["cost", *result.about["percentiles"]]
    title = "Effect of each axis, averaged over the others (share: part of the variance that it explains)"
    table = _table(title, ["", "value", *names, "errors"])
    for axis, effect in result.effects().items():
        for place, level in enumerate(effect["levels"]):
            table.add_row(
                "" if place else short(axis),
                number(level["value"]) if isinstance(level["value"], float) else value_text(level["value"]),
                *(number(level[name]) for name in names),
                share_text(level["error_share"]),
            )
        shares = [effect["share"][name] for name in (*names, "error_share")]
        table.add_row("", "share", *("" if share is None else f"{100 * share:.0f} %" for share in shares))
    return _captioned(table, effects_note(result))


def _captioned(table: Any, text: str) -> Any:
    table.caption = text or None
    return table


_WRAPPED = {"", "90 %", "next point", "settings"}
"""Columns whose words may stand below each other on a narrow terminal."""


def _table(title: str, columns: list[str], result: SweepResult | None = None) -> Any:
    """An empty table; with a result, a column for each axis comes last."""
    from textwrap import fill

    from rich.markup import escape

    from kpasim.cli.output import table as empty
    from kpasim.studies.grid.result import short

    table = empty((), title=title)
    for column in columns:
        justify: Any = "left" if column in {"value", *_WRAPPED} else "right"
        table.add_column(escape(fill(column, 16)), justify=justify, no_wrap=column not in _WRAPPED, overflow="fold")
    for axis in result.about["axes"] if result else ():
        table.add_column(escape(fill(short(axis), 12, break_long_words=False)), overflow="fold")
    return table
