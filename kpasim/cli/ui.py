"""`kpasim ui`: a page on this machine that simulates while a setting is moved."""

import click

from kpasim.cli import options
from kpasim.cli.output import note


@click.command(epilog="\b\nTry: kpasim ui experiments/hey50x5.yaml")
@click.argument("path", required=False, type=click.Path(), metavar="[EXPERIMENT | MANIFEST | RUN_DIR]")
@options.value("--host", str, "Address to listen on.", default="127.0.0.1", show_default=True)
@options.value("--port", click.IntRange(0, 65535), "Port.  [default: a free port]", default=0)
@options.flag("--no-open", "Do not open a browser.")
def command(path: str | None, host: str, port: int, no_open: bool) -> None:
    """Move a setting in your browser and see pods, latency and cost change.

    Without a file: the published load test. The page needs no network. It listens on this machine only, unless --host
    is given; its address holds a token. Nothing is written. End it with Ctrl-C.
    """
    from kpasim.errors import MissingExtraError

    try:
        import starlette
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("ui", error) from error
    del starlette, uvicorn
    from kpasim.ui.serve import serve
    from kpasim.ui.source import open_source

    source = open_source(path)
    if host not in {"127.0.0.1", "localhost", "::1"}:
        note(f"Warning: other machines can reach {host}; whoever has the address can run simulations here.")

    def announce(address: str) -> None:
        click.echo(f"{source.name}: {address}")
        note("End with Ctrl-C.")

    serve(source, host, port, announce=announce, browser=not no_open)
