"""`kpasim report`: one HTML page about a run, two runs, a sweep or a backtest."""

from pathlib import Path

import click

from kpasim.cli import options
from kpasim.cli.output import note, progress


@click.command(
    epilog="\b\nTry: kpasim run experiments/hey50x5.yaml --out runs/hey50x5 && kpasim report runs/hey50x5 --open"
)
@click.argument("folder", metavar="RUN_DIR|SWEEP_DIR|BACKTEST_DIR", type=click.Path(file_okay=False))
@click.argument("other", required=False, type=click.Path(file_okay=False))
@options.value(
    "-o --out", options.Output(), "Output file.  [default: report.html in the first folder; -: stdout]", metavar="FILE"
)
@options.flag("--open show", "Open the page in the browser.")
@options.replications(
    "Replications of the prediction of a measured run without a prediction; 0: no prediction.", default=200, least=0
)
def command(folder: str, other: str | None, out: Path | None, show: bool, replications: int) -> None:
    """Write one self-contained HTML page about a run, two runs side by side (OTHER), sweep or backtest.

    The page needs no network and can be mailed. It has a summary in words, pods, the reason for each decision, latency,
    cost, and the experiment to run it again. A measured run is shown beside its prediction.
    """
    from kpasim.report.html import page_of
    from kpasim.results.files import write_text

    to_stdout = out == Path("-")
    with progress("prediction", replications, show=not to_stdout) as bar:
        page = page_of(folder, other, replications=replications, progress=bar)
    if to_stdout:
        click.echo(page, nl=False)
        return
    path = out or Path(folder) / "report.html"
    write_text(path, page)
    note(f"Wrote {path} ({len(page) / 1e6:.1f} MB)")
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
