"""What every reader hands over, and how it collects lines that it cannot read."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.errors import Problem, RecordError
from kpasim.results.frames import Columns
from kpasim.results.hey import HeyReport
from kpasim.results.tables import Tables, shortened

MAX_ROWS = 10_000_000
"""Rows read from one file at most."""


@dataclass
class Record:
    """What one measured file says.

    Attributes:
        kind: What it was taken for, in the word of its reader: ``hey-summary``, ``hey-csv``, ``run-folder`` ...
        requests: One row per request, in order of start: ``start_s`` [s], ``duration_s`` [s], ``status`` (HTTP
            status, 0 without an answer) and ``censored``: the client gave up, the true duration is longer. ``NaN``
            where the file does not say. Further columns by kind. Empty where the file knows no single request.
        summary: The report, where that is all the file holds.
        pods: One row per pod, in order of creation, with the names and meaning of a run folder's pods.csv.
        counts: Where the file counts instead of listing: see the reader.
        tables: All tables of a run folder.
        run: run.json of a run folder.
        origin: Date and time of second 0, ISO 8601; empty where the file does not say.
        grain_s: How exactly starts are known [s]: each was within that time after ``start_s``; 0 where exactly.
        notes: What a user should know about how the file was read.
        skipped: Malformed lines that were left out.
    """

    kind: str
    path: str
    requests: Columns = field(default_factory=dict)
    summary: HeyReport | None = None
    pods: Columns = field(default_factory=dict)
    counts: Columns = field(default_factory=dict)
    tables: Tables | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    grain_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    skipped: int = 0


class MalformedError(Exception):
    """A line, or a value in it, that cannot be read.

    Attributes:
        problem: Where in the line and what is wrong.
    """

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(place, message)


class Malformed:
    """Collects the malformed lines of one file; ``skip``: whether the rest of it is to be used."""

    def __init__(self, path: Path, skip: bool) -> None:
        self.path = path
        self.skip = skip
        self.problems: list[Problem] = []
        self.count = 0
        self._line: int | None = None

    def add(self, line: int | None, problem: Problem) -> None:
        """Remember one, with its line number."""
        self.count += 1
        if self.count <= 1000:  # a file of nothing else must not fill the memory
            self.problems.append(Problem(problem.place, problem.message, line))

    def at(self, line: int | None) -> Malformed:
        """A block whose rest is left out where a value is malformed; the line is remembered then."""
        self._line = line
        return self

    def __enter__(self) -> None:
        return

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, MalformedError):
            return False
        self.add(self._line, error.problem)
        return True

    def finish(self, record: Record, used: int) -> Record:
        """The record, of which so many rows were read; what was collected is raised, or noted on it.

        Raises:
            RecordError: Lines were malformed and may not be skipped, or nothing was left.
        """
        if self.count == 0:
            return record
        problems = shortened(self.problems)
        if not self.skip:
            raise RecordError(self.path, problems)
        if used == 0:
            raise RecordError(self.path, [Problem("", "no line could be read"), *problems])
        first = self.problems[0]
        where = f"line {first.line}" if first.line is not None else "no line number"
        what = f"{first.place}: {first.message}" if first.place else first.message
        lines = "1 malformed line was" if self.count == 1 else f"{self.count} malformed lines were"
        record.skipped = self.count
        record.notes.append(f"{lines} left out (first at {where}: {what})")
        return record


class Rows:
    """Grows columns row by row, in little memory; each is of ``float``, ``int``, ``bool`` or ``str``."""

    def __init__(self, **columns: type) -> None:
        self._types = columns
        self._values: dict[str, Any] = {
            name: [] if kind is str else array("d" if kind is float else "q") for name, kind in columns.items()
        }
        self._words: dict[str, str] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, *values: Any) -> None:
        """Add one row.

        Raises:
            MalformedError: The file has more rows than we read.
        """
        if self._length >= MAX_ROWS:
            raise MalformedError("", f"more than {MAX_ROWS:,} rows; split the file")
        for (name, kind), value in zip(self._types.items(), values, strict=True):
            self._values[name].append(self._words.setdefault(value, value) if kind is str else value)
        self._length += 1

    def columns(self) -> Columns:
        """The columns so far."""
        return {
            # Words stay objects, each distinct one held once: hashes of 64 letters times millions of rows.
            name: np.array(self._values[name], dtype=object if kind is str else kind)
            for name, kind in self._types.items()
        }


def by_start(columns: Columns) -> Columns:
    """Rows in the order of ``start_s``; those without one last, in the order of the file."""
    order = np.argsort(columns["start_s"], kind="stable")
    return {name: column[order] for name, column in columns.items()}


def from_first(columns: Columns) -> tuple[Columns, float]:
    """Starts counted from the earliest, and that earliest one (0 where no row has one)."""
    start = columns["start_s"]
    known = start[~np.isnan(start)]
    first = float(known.min()) if len(known) else 0.0
    return {**columns, "start_s": start - first}, first


def requests_of(
    start_s: NDArray[np.float64], duration_s: NDArray[np.float64], status: NDArray[np.int64], **more: NDArray[Any]
) -> Columns:
    """The four columns that all requests have (none of them censored), and more."""
    return {
        "start_s": start_s,
        "duration_s": duration_s,
        "status": status,
        "censored": np.zeros(len(status), bool),
    } | more


def number(value: Any, place: str, *, least: float = -math.inf) -> float:
    """A finite number from a JSON number or a text.

    Raises:
        MalformedError: It is none, or below ``least``.
    """
    try:
        result = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not abs(result) < 1e20:
        raise MalformedError(place, f"must be a number (it is {shown(value)})")
    if result < least:
        raise MalformedError(place, f"must not be below {least:g} (it is {shown(value)})")
    return result


def status_code(value: Any, place: str) -> int:
    """An HTTP status, or 0 for none.

    Raises:
        MalformedError: It is neither.
    """
    code = number(value, place)
    if not (code.is_integer() and 0 <= code <= 999):
        raise MalformedError(place, f"must be an HTTP status or 0 (it is {shown(value)})")
    return int(code)


def moment(value: Any, place: str) -> float:
    """Seconds since 1970 of a date and time in ISO 8601; one without an offset is taken as UTC.

    Raises:
        MalformedError: It is none.
    """
    try:
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise MalformedError(place, f"must be a date and time (it is {shown(value)})") from None


def unix_s(stamp: float) -> float:
    """Seconds of a time since 1970 in s, ms, us or ns, told by its size."""
    return next((stamp * unit for least, unit in ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3)) if stamp > least), stamp)


def iso(seconds: float) -> str:
    """Date and time of so many seconds since 1970, empty where the calendar has no such day."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return ""


def shown(value: Any) -> str:
    """A value as an error message shows it: short."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 40 else f"{text[:37]}..."
