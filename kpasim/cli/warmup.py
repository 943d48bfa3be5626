"""`kpasim warmup`: compile the fast engine before it is needed."""

import time

import click

from kpasim.cli.output import note


@click.command(epilog="\b\nTry: kpasim warmup")
def command() -> None:
    """Compile the fast engine now, so that no later command waits for it."""
    from kpasim.engines.compiled import cache
    from kpasim.studies.execution.engine import ready

    if cache.is_warm():
        note("The fast engine is compiled already.")
        return
    begun = time.perf_counter()
    ready()
    note(f"Compiled in {time.perf_counter() - begun:.0f} s, kept in {cache.folder()}")
