"""What the commands share: consoles, JSON, progress, tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from kpasim.errors import printable
from kpasim.report.words import counted, number, span

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "compile_for_next_time",
    "console",
    "counted",
    "note",
    "number",
    "print_json",
    "progress",
    "show_tables",
    "span",
]


def note(text: str) -> None:
    """Tell the user something on stderr."""
    click.echo(printable(text), err=True)


def compile_for_next_time(engine: str) -> None:
    """Begin to compile the fast engine in the background where a command did without it."""
    from kpasim.engines.compiled import cache

    if engine == "reference" and cache.compile_in_background():
        note("The fast engine is being compiled in the background (once, about half a minute).")


def print_json(value: object) -> None:
    """Print a result for machines on stdout."""
    from kpasim.results.files import plain

    click.echo(json.dumps(plain(value), indent=2))


def console() -> Console:
    """A console on stdout that keeps its width when it is piped."""
    from rich.console import Console

    plain_width = None if sys.stdout.isatty() else 110
    return Console(width=plain_width, highlight=False)


def show_tables(*tables: Table) -> None:
    """Print tables on stdout, each between its title and its caption, which may be wider than the table."""
    from rich.text import Text

    out = console()
    for place, table in enumerate(tables):
        (title, table.title), (caption, table.caption) = (table.title, None), (table.caption, None)
        if place:
            out.print()
        if title:
            out.print(Text(str(title), style="table.title"))
        out.print(table)
        if caption:
            out.print(Text(str(caption), style="table.caption"))


@contextmanager
def progress(what: str, total: int, *, show: bool = True) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; yields a function that takes the number of things done so far."""
    if not show or total < 2 or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
