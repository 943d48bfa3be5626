"""`kpasim load`: the experiment's clients against any URL."""

from pathlib import Path

import click

from kpasim.cli import options
from kpasim.cli.output import note, print_json


@click.command(
    epilog="\b\nTry: kpasim load experiments/hey50x5.yaml --url http://127.0.0.1:7860/sdapi/v1/txt2img --body '{}'"
)
@click.argument("experiment", type=click.Path(dir_okay=False))
@options.value("--url", str, "Target URL, with path.", required=True)
@options.value("--host", str, "Host header (and TLS name), if the URL is that of a gateway.")
@options.value("--method", str, "HTTP method.  [default: POST with --body, else GET]")
@options.body("; any other @FILE is the body.")
@options.header
@options.flag("--insecure", "Do not check the server's certificate (hey never does).")
@options.value("--seed", int, "Seed of random arrivals.  [default: the experiment's]")
@options.value("--out", options.FOLDER, "Folder for requests.csv and summary.json.")
@options.as_json
def command(
    *,
    experiment: str,
    url: str,
    host: str | None,
    method: str | None,
    body: str | None,
    headers: tuple[str, ...],
    insecure: bool,
    seed: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Send the requests of EXPERIMENT's workload to a URL and report as hey does.

    A `hey` workload is the closed loop of hey. Any other workload is an open loop: each request is sent at its own
    time, and a note says so if this machine could not keep up. Ctrl-C ends the load and reports the requests until
    then.
    """
    from kpasim.cli.main import INTERRUPTED
    from kpasim.cluster import load, loadspec
    from kpasim.results import hey
    from kpasim.results.files import write_json
    from kpasim.results.tables import write_table
    from kpasim.spec.experiment import load as read_experiment

    read = read_experiment(experiment)
    plan = loadspec.plan_of(read, seed=seed)
    target = loadspec.target_of(
        read,
        url,
        host=host,
        method=method,
        bodies=loadspec.read_bodies(body) if body is not None else (),
        headers=loadspec.parse_headers(headers),
        verify_tls=not insecure,
    )
    note(f"sending {loadspec.describe(plan)} to {loadspec.without_secrets(url)}")
    sent = load.load(plan, target)
    for warning in sent.warnings():
        note(f"warning: {warning}")
    figures = sent.figures()
    if out is not None:
        write_table(out / "requests.csv", "requests", sent.requests)
        write_json(out / "summary.json", figures)
        note(f"wrote {out / 'requests.csv'} and {out / 'summary.json'}; next: kpasim calibrate {out / 'requests.csv'}")
    if as_json:
        print_json(figures)
    else:
        shown = loadspec.without_secrets(url)
        click.echo(hey.report(sent.requests, size_total=sent.size_total, address=shown).text(), nl=False)
    if sent.interrupted:
        note("stopped before the end of the load")
        raise SystemExit(INTERRUPTED)
