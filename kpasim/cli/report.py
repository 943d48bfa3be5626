"""`kpasim report`: one HTML page about a run, two runs, a sweep or a backtest."""

from __future__ import annotations

import click

from kpasim.cli.output import note, progress


@click.command(
    epilog="\b\nTry: kpasim run experiments/hey50x5.yaml --out runs/hey50x5 && kpasim report runs/hey50x5 --open"
)
@click.argument("folder", metavar="RUN_DIR|SWEEP_DIR|BACKTEST_DIR", type=click.Path(file_okay=False))
@click.argument("other", required=False, type=click.Path(file_okay=False))
@click.option("-o", "--out", metavar="FILE", help="Output file.  [default: report.html in the first folder; -: stdout]")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@click.option(
    "-n",
    "--replications",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Replications of the prediction of a measured run without a prediction; 0: no prediction.",
)
def command(folder: str, other: str | None, out: str | None, show: bool, replications: int) -> None:
    """Write one self-contained HTML page about a run, two runs side by side (OTHER), sweep or backtest.

    The page needs no network and can be mailed. It has a summary in words, pods, the reason for each decision, latency,
    cost, and the experiment to run it again. A measured run is shown beside its prediction.
    """
    from pathlib import Path

    from kpasim.report.html import page_of
    from kpasim.results.files import make_folder, write_text

    if out and out != "-":
        # Better now than after the work.
        make_folder(Path(out).parent)
    with progress("prediction", replications, show=out != "-") as bar:
        page = page_of(folder, other, replications=replications, progress=bar)
    if out == "-":
        click.echo(page, nl=False)
        return
    path = Path(out) if out else Path(folder) / "report.html"
    write_text(path, page)
    note(f"Wrote {path} ({len(page) / 1e6:.1f} MB)")
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
