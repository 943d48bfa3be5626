"""What the commands share: consoles, JSON, progress, tables."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kpasim.errors import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kpasim.results.display import Table

NOT_MET, UNDECIDED = 3, 4
"""Exit statuses where what was asked for is not met (SLOs, tolerances, a prediction), and where nothing can be said."""
REPORT_EVERY_S = 10.0
"""How often progress is reported where nothing can be drawn."""
WIDTH = 110
"""Width of printed lines."""


def note(text: str) -> None:
    """Tell the user something on stderr."""
    click.echo(printable(text), err=True)


def write_file(path: str | Path, text: str, then: str = "", *, folders: bool = False) -> None:
    """Write a text to a file, with ``folders`` also those that it lacks, and tell the user; ``then`` goes on."""
    from kpasim.results.files import write_text

    write_text(path, text, folders=folders)
    note(f"Wrote {path}{then}")


def write_figures(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write figures by name into a folder, as SVG and PNG, and tell the user."""
    from kpasim.report.paper import save_all

    for path in save_all(figures, folder):
        note(f"Wrote {path}")


def compile_for_next_time(engine: str) -> None:
    """Begin to compile the fast engine in the background where a command did without it."""
    from kpasim.engines.compiled import cache

    if engine == "reference" and cache.compile_in_background():
        note("The fast engine is being compiled in the background (once, about half a minute).")


def print_json(value: object) -> None:
    """Print a result for machines on stdout."""
    from kpasim.results.files import plain

    click.echo(json.dumps(plain(value), indent=2))


def show_tables(*tables: Table) -> None:
    """Print tables on stdout, which keep their width when they are piped."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    for place, table in enumerate(tables):
        if place:
            console.print()
        console.print(table)


@contextmanager
def progress(what: str, total: int | None = None, *, show: bool = True, lines: bool = False) -> Iterator[Any]:
    """A progress bar on stderr; where none can be drawn, nothing, or ``lines`` now and then.

    Yields:
        A function that takes the number of things done so far, and of all where that was not known before.
    """
    drawn = sys.stderr.isatty()
    if not show or (total is not None and total < 2) or not (drawn or lines):
        yield lambda done, of=total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    screen, tell = Console(stderr=True), now_and_then()
    with Progress(*shown, TimeRemainingColumn(), console=screen, transient=True, disable=not drawn) as bar:
        bar.add_task(what, total=total, rate="")
        (task,) = bar.tasks

        def update(done: int, of: int | None = total) -> None:
            # The speed counts from the first results on: until then workers were starting.
            rate = f"{task.speed:,.0f}/s" if task.speed else ""
            bar.update(task.id, completed=done, total=of, rate=rate)
            if not drawn:
                left = f", {rate}, {task.time_remaining or 0:,.0f} s left" if rate else ""
                tell(f"{done:,} of {of:,} {what}{left}")

        yield update


def now_and_then() -> Callable[[str], None]:
    """A function that tells the user a text, every ten seconds at most."""
    told = [time.monotonic()]

    def tell(text: str) -> None:
        if time.monotonic() - told[0] >= REPORT_EVERY_S:
            told[0] = time.monotonic()
            note(text)

    return tell
