"""`kpasim calibrate`: measured files -> a model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from kpasim.cli import options
from kpasim.cli.output import note, print_json, progress, show_tables, write_figures
from kpasim.results.display import Table, number, span

if TYPE_CHECKING:
    from kpasim.studies.calibrate import Calibration


class How(TypedDict):
    """Options that `studies.calibrate.calibrate` takes as they are."""

    candidate: str
    service: str
    reproduce: bool
    without: tuple[str, ...]
    only: str
    direct: bool
    skip_bad: bool
    seed: int
    effort: float


@click.command(
    epilog="\b\nTry: "
    "kpasim calibrate experiments/data/hey-50x5.txt -e experiments/hey50x5.yaml -o models/mine.yaml --plot"
)
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@options.value(
    "-e --experiment",
    click.Path(exists=True, dir_okay=False, path_type=Path),
    "Experiment of the measured run; required for a report of hey.",
)
@options.value("-o --out", options.FILE, "Model file to write.")
@options.value(
    "--candidate",
    str,
    "For a report of hey, the candidate model of pod starts: serialised (provisioning), independent, "
    "shared-bandwidth, two-types, slow-first-request. auto: the candidate that predicts the report best.",
    default="auto",
    show_default=True,
)
@options.choice(
    "--service",
    ["one-kind", "two-kinds"],
    "For a report of hey, whether requests are of one kind or of two kinds, fast and slow.",
)
@options.flag(
    "--reproduce",
    "For a report of hey, tilt the posterior so that the median of each prediction is the measured value.",
)
@options.many(
    "--without", "STATISTIC", "Summary statistic of the report to predict instead of fitting it, such as total."
)
@options.many(
    "--stage stages", options.Pair("NAME=FILE"), "Durations of a stage of the cold start, such as load=loads.csv."
)
@options.many(
    "--column columns",
    options.Pair("ROLE=NAME"),
    "Column of a CSV file: start, duration, status, censored, class, instance_type, pod; unit=ms for durations.",
)
@options.many(
    "--clients",
    options.Pair("NUMBER=FILE"),
    "Load test of a pod with this number of clients. Several (1=a.csv 2=b.csv 4=c.csv) give contention factors.",
)
@options.value(
    "--class only",
    "NAME",
    "Use the requests of this class only, such as one endpoint of a load test with several endpoints.",
    default="",
)
@options.flag("--direct", "Use latencies as service times, even where requests waited in a queue.")
@options.flag("--skip-bad", "Skip malformed lines and print their number.")
@options.value("--seed", click.IntRange(0), "Seed of all random numbers.", default=1, show_default=True)
@options.value(
    "--effort",
    options.Amount(0.1, 100),
    "For a report of hey: simulated runs, as a multiple of those that a minute on two cores allows.",
    default=1.0,
    show_default=True,
)
@options.flag("--plot", "Write figures of the fit (SVG and PNG) beside the model file, or into runs/.")
@options.as_json
def command(
    *,
    files: tuple[Path, ...],
    experiment: Path | None,
    out: Path | None,
    stages: tuple[tuple[str, str], ...],
    columns: tuple[tuple[str, str], ...],
    clients: tuple[tuple[str, str], ...],
    plot: bool,
    as_json: bool,
    **how: Unpack[How],
) -> None:
    """Fit a model to measured FILES, with intervals.

    FILES are a report of hey or its CSV, a CSV file with named columns, run folders, pods as kubectl prints them (get
    pods -o json, or -w --output-watch-events -o json), a trace. The kind of a file is detected from its content. The
    model holds the source of each number, and draws of the uncertain parameters, which `kpasim run` samples.
    """
    from kpasim.spec.experiment import load
    from kpasim.studies.calibrate import calibrate

    with progress("runs", show=not as_json) as bar:
        found = calibrate(
            files,
            load(experiment) if experiment else None,
            name=out.stem if out else "",
            stages=dict(stages),
            columns=dict(columns) or None,
            clients={_count(number): file for number, file in clients},
            progress=bar,
            **how,
        )
    for text in found.notes:
        doubt, _, rest = text.partition("Warning: ")
        note(f"Warning: {doubt}{rest}" if rest else f"Note: {text}")
    if out:
        # What leaves the model as it is does not stand in the file's head.
        words = (word for word in sys.argv[1:] if word not in {"--json", "--plot"})
        found.write(out, [f"kpasim {shlex.join(words)}"])
        note(f"Wrote {out}. Next: model: {out} in an experiment, its path from there, and kpasim check EXPERIMENT")
    if plot:
        _draw(found, out.with_suffix("") if out else Path("runs") / f"{found.name}-calibration")
    if as_json:
        print_json(found.to_dict())
    else:
        _show(found)


def _count(number: str) -> int:
    if not number.isdecimal() or int(number) < 1:
        raise click.BadParameter(f"{number!r} is not a number of clients", param_hint="--clients")
    return int(number)


def _show(found: Calibration) -> None:
    """Print what was found, and how well it fits."""
    counted = ", ".join(f"{count:,} {what}" for what, count in found.sample.items() if count)
    rows = [
        (name.removesuffix("_s").replace("_", " "), number(value), span([low, high]), "s")
        for name, (value, low, high) in found.estimates.items()
    ]
    show_tables(Table(f"{found.name}: {found.method}, {counted}", ("", "value", "90 %", "unit"), rows, ["value"]))
    for part in found.parts:
        others = ", ".join(
            f"{name} {value:.1f}" for name, value in sorted(part.fit.bic.items(), key=lambda one: one[1])
        )
        counted = f"{len(part.fit.times)} times, {part.fit.times.censored} censored"
        click.echo(f"{part.name}: {part.fit.family} ({counted}{f'; BIC {others}' if others else ''})")
    if found.lines:
        _show_lines(found)


def _show_lines(found: Calibration) -> None:
    rows = []
    for name, line in found.lines.items():
        outside = not line["lo"] <= line["measured"] <= line["hi"]
        comment = ("not fitted" if not line["fitted"] else "") + (" outside" if outside else "")
        error = f"{100 * (line['predicted'] / line['measured'] - 1):+.1f} %"
        values = number(line["measured"]), number(line["predicted"]), span([line["lo"], line["hi"]])
        rows.append((name, *values, error, comment.strip()))
    numbers = ("measured", "predicted", "90 %", "error")
    click.echo()
    show_tables(Table("Report and posterior prediction", ("", *numbers, ""), rows, numbers))
    for one in found.candidates:
        click.echo(f"{one.name}: score {one.score:.1f}, {one.inside} of {one.lines} statistics inside ({one.says})")
    if found.equivalent:
        click.echo(f"No significant difference from the best candidate: {', '.join(found.equivalent)}.")
    if found.unidentified:
        click.echo(f"Not identified (posterior as wide as the prior): {', '.join(found.unidentified)}.")


def _draw(found: Calibration, stem: Path) -> None:
    """Leave the figures as files whose names begin with the stem."""
    from kpasim.report.figures import intervals, joint, quantiles

    figures = {}
    drawn = [(part.name, part.fit.times.middle, part.fit.ppf) for part in found.parts]
    if drawn:
        figures["quantiles"] = quantiles(drawn, found.name)
    if found.lines:
        figures["lines"] = intervals(found.lines, found.name)
        figures["posterior"] = joint(found.values, found.name)
    write_figures({f"{stem.name}-{name}": figure for name, figure in figures.items()}, stem.parent)
