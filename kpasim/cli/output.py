"""What the commands share: consoles, JSON, progress, tables."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from kpasim.errors import printable
from kpasim.report.words import counted, number, span

if TYPE_CHECKING:
    from pathlib import Path

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
    "table",
    "write_file",
]
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

    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def table(
    columns: Iterable[str], right: Collection[str] = (), *, title: str | None = None, caption: str = "",
    close: bool = False,
) -> Table:  # fmt: skip
    """An empty table for `show_tables`, headings of numbers set to the right; columns may be close together."""
    from rich.markup import escape
    from rich.table import Table

    found = Table(title=title, title_justify="left", caption=caption or None, caption_justify="left", box=None,
                  pad_edge=close, padding=(0, 1, 0, 0) if close else (0, 1), header_style="bold")  # fmt: skip
    for column in columns:
        found.add_column(escape(column), justify="right" if column in right else "left")
    return found


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
def progress(what: str, total: int | None = None, *, show: bool = True, lines: bool = False) -> Iterator[Any]:
    """A progress bar on stderr; where none can be drawn, nothing, or ``lines`` now and then.

    Yields:
        A function that takes the number of things done so far, and of all where that was not known before.
    """
    drawn = sys.stderr.isatty()
    if not show or (total is not None and total < 2) or not (drawn or lines):
        yield lambda done, of=total: None
        return
    pace = _Pace()
    if not drawn:
        yield now_and_then(lambda done, of=total: f"{done:,} of {of:,} {what}{pace.text(done, of)}")
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*shown, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, rate="")

        def update(done: int, of: int | None = total) -> None:
            rate = pace(done)
            bar.update(task, completed=done, total=of, rate=f"{rate:,.0f}/s" if rate else "")

        yield update


def now_and_then(words: Callable[..., str]) -> Callable[..., None]:
    """A function that tells the user the words about its arguments, every ten seconds at most."""
    told = [time.monotonic()]

    def tell(*numbers: int) -> None:
        text = words(*numbers)
        if time.monotonic() - told[0] >= REPORT_EVERY_S:
            told[0] = time.monotonic()
            note(text)

    return tell


class _Pace:
    """Things done per second since the first results came: until then workers were starting."""

    def __init__(self) -> None:
        self._before: int | None = None
        self._since: tuple[float, int] | None = None

    def __call__(self, done: int) -> float | None:
        """The pace with so many done; None where it is not known yet."""
        now = time.monotonic()
        if self._before is None:
            self._before = done
        if self._since is None:
            if done > self._before:
                self._since = (now, done)
            return None
        since, first = self._since
        return (done - first) / (now - since) if done > first and now > since else None

    def text(self, done: int, total: int) -> str:
        """The pace and the time left in words; nothing where they are not known yet."""
        pace = self(done)
        return f", {pace:,.0f}/s, {(total - done) / pace:,.0f} s left" if pace else ""
