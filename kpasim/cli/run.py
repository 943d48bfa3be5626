"""`kpasim run`: one experiment, n replications."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from kpasim.cli import options
from kpasim.cli.output import NOT_MET, compile_for_next_time, note, print_json, progress, write_figures, write_file

if TYPE_CHECKING:
    from kpasim.spec.experiment import Experiment
    from kpasim.studies.execution.engine import Engine
    from kpasim.studies.run import Result


@click.command(epilog="\b\nTry: kpasim run experiments/hey50x5.yaml --replications 500 --out runs/hey50x5")
@click.argument("experiment", required=False, type=click.Path())
@options.value("--manifest", click.Path(), "Service YAML, instead of an experiment file.")
@options.of_manifest
@options.value("--write-experiment", click.Path(), "With a manifest: also write the experiment file.")
@options.cluster_config
@options.replications()
@options.settings
@options.many(
    "--slo",
    "SLO",
    "SLO to check, such as 'p95<=30s' or 'errors<=0.1%'; repeatable. Exit status 3 unless 90 % of runs meet it.",
)
@options.value("--against", click.Path(), "Compare with this experiment.", metavar="EXPERIMENT")
@options.many(
    "--against-set against_set",
    "PATH=VALUE",
    "Compare with the same experiment (or that of --against) with a setting changed; repeatable.",
)
@options.seed
@options.engine("; both give the same tables")
@options.flag("--explain", "Print the reasons for scaling, and for each decision the averages and the rule.")
@options.flag(
    "--counts-only", "Keep no tables: failed requests, latency, pods and cost of very long runs, in little memory."
)
@options.flag("--plot", "Write figures (SVG and PNG) to --out.  [default: runs/NAME]")
@options.value("--out", click.Path(), "Folder for the run's tables.")
@options.value(
    "--openmetrics",
    click.Path(dir_okay=False),
    "Write the prediction as series (kpasim_...) for Prometheus and Grafana.",
    metavar="FILE",
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
        from kpasim.cli.answers import count_only

        judgements = count_only(what, wanted, replications, as_json=as_json)
    elif against or against_set:
        if openmetrics:
            raise click.UsageError("--openmetrics writes one run: not with --against or --against-set")
        from kpasim.cli.against import compare

        judgements = compare(what, against, against_set, wanted, replications, engine, out, as_json=as_json)
    else:
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
            from kpasim.cli.answers import next_steps, show

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
    note(f"Wrote {path} ({result.which}). Next: promtool tsdb create-blocks-from openmetrics {path} DATA-DIRECTORY")


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
