"""What every reader hands over, and how it collects lines that it cannot read."""

import contextlib
import functools
import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kpasim.arrays import Array, Floats, Ints
from kpasim.errors import Problem, RecordError
from kpasim.results.frames import Columns
from kpasim.results.hey import HeyReport
from kpasim.results.tables import Tables, shortened

MAX_ROWS = 10_000_000
"""Rows read from one file at most."""
Clients = Literal["", "open", "closed"]
"""How those sent whose waiting a file knows, see `Record`."""
_TIMED_OUT = ("timeout", "timed out", "deadline exceeded")


@dataclass
class Record:
    """What one measured file says.

    Attributes:
        kind: What it was taken for, in the word of its reader: ``hey-summary``, ``hey-csv``, ``run-folder`` ...
        clients: Whether durations are what clients waited: ``closed`` where each waited for a response before it sent
            again, else ``open``; empty where durations are what the service worked, or nobody knows.
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
    clients: Clients = field(default="", kw_only=True)
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

    def add(self, line: int | None, problem: Problem) -> None:
        """Remember one, with its line number."""
        self.count += 1
        if self.count <= 1000:  # a file of nothing else must not fill the memory
            self.problems.append(Problem(problem.place, problem.message, line))

    @contextlib.contextmanager
    def at(self, line: int | None) -> Iterator[None]:
        """A block whose rest is left out where a value is malformed; the line is remembered then."""
        try:
            yield
        except MalformedError as error:
            self.add(line, error.problem)

    def finish(self, record: Record, used: int, nothing: str = "no request in it") -> Record:
        """The record, of which so many rows were read; what was collected is raised, or noted on it.

        ``nothing`` says what is wrong with a file without a row; it is empty where nothing is.

        Raises:
            RecordError: Lines were malformed and may not be skipped, or nothing was left.
        """
        if used == 0 and self.count == 0 and nothing:
            self.add(None, Problem("", nothing))
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


Source = Callable[[Path, Malformed], Iterator[tuple[int, Any]]]
"""Numbered rows of a file, see `kpasim.records.source`."""
TIMES: Mapping[str, type] = {"start_s": float, "duration_s": float, "status": int}
"""Columns that every request has."""
Zero = Literal["date", "first", "load"]
"""Starts count from the first one, and are dates or not; or they count from the start of the load as they stand, by a
tool that leaves out requests without an answer: there may be none at all."""


def collect(
    path: Path, skip_bad: bool, source: Source, columns: Mapping[str, type], values_of: Callable[[Any], Any]
) -> tuple[Columns, Malformed]:
    """A file's columns, each of ``float``, ``int``, ``bool`` or ``str``, grown row by row in little memory.

    ``values_of`` makes their values of a row, or None where the row is left out.
    """
    malformed = Malformed(path, skip_bad)
    grown: dict[str, Any] = {
        name: [] if kind is str else array("d" if kind is float else "q") for name, kind in columns.items()
    }
    words: dict[str, str] = {}
    used = 0
    for line, row in source(path, malformed):
        try:
            values = values_of(row)
            if values is not None and used >= MAX_ROWS:
                raise MalformedError("", f"more than {MAX_ROWS:,} rows; split the file")
        except MalformedError as error:
            malformed.add(line, error.problem)
            continue
        if values is not None:
            used += 1
            for (name, kind), value in zip(columns.items(), values, strict=True):
                grown[name].append(words.setdefault(value, value) if kind is str else value)
    # Words stay objects, each distinct one held once: hashes of 64 letters times millions of rows.
    found: Columns = {
        name: np.array(grown[name], dtype=object if kind is str else kind) for name, kind in columns.items()
    }
    return found, malformed


def read_requests(
    kind: str,
    path: Path,
    skip_bad: bool,
    source: Source,
    columns: Mapping[str, type],
    values_of: Callable[[Any], Any],
    *,
    zero: Zero = "date",
    clients: Clients = "open",
) -> Record:
    """A file of what clients waited, request by request, see `collect`: `TIMES` and further columns.

    A request without an answer whose ``error`` tells of a time-out is censored.
    """
    found, malformed = collect(path, skip_bad, source, columns, values_of)
    used = len(found["status"])
    found, first = (found, math.nan) if zero == "load" else from_first(found)
    if "error" in found:
        errors = [any(word in text.lower() for word in _TIMED_OUT) for text in found["error"].tolist()]
        found["censored"] = np.array(errors, bool) & (found["status"] == 0)
    origin = iso(first) if zero == "date" else ""
    record = Record(kind, str(path), by_start(requests_of(**found)), origin=origin, clients=clients)
    return malformed.finish(record, used, "" if zero == "load" else "no request in it")


def lists_requests(
    kind: str,
    source: Source,
    columns: Mapping[str, type] = TIMES,
    *,
    zero: Zero = "date",
    clients: Clients = "open",
    note: str = "",
    grain_s: float = 0.0,
) -> Callable[[Callable[[Any], Any]], Callable[..., Record]]:
    """A reader of files, made of a function that makes the columns' values of a row; see `read_requests`."""

    def reader(values_of: Callable[[Any], Any]) -> Callable[..., Record]:
        @functools.wraps(values_of)
        def read(path: Path, skip_bad: bool = False) -> Record:
            record = read_requests(kind, path, skip_bad, source, columns, values_of, zero=zero, clients=clients)
            record.grain_s = grain_s
            record.notes += [note] if note else []
            return record

        return read

    return reader


def by_start(columns: Columns) -> Columns:
    """Rows in the order of ``start_s``; those without one last, in the order of the file."""
    order = np.argsort(columns["start_s"], kind="stable")
    return {name: column[order] for name, column in columns.items()}


def from_first(columns: Columns) -> tuple[Columns, float]:
    """Starts counted from the earliest, and that earliest one (NaN where no row has one)."""
    start = columns["start_s"]
    first = float(np.fmin.reduce(start, initial=math.nan))
    return {**columns, "start_s": start - first}, first


def requests_of(start_s: Floats, duration_s: Floats, status: Ints, **more: Array) -> Columns:
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


def object_in(value: Mapping[str, Any], key: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON object under a key, or ``default`` where there is none.

    Raises:
        MalformedError: It is something else.
    """
    found = value.get(key)
    if found is None and default is not None:
        return default
    if not isinstance(found, dict):
        raise MalformedError(key, f"must be an object (it is {shown(found)})")
    return found


def objects_in(value: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The JSON objects in the list under a key; none where there is no list.

    Raises:
        MalformedError: It is something else.
    """
    found = value.get(key) or []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise MalformedError(key, f"must be a list of objects (it is {shown(found)})")
    return found


def shown(value: Any) -> str:
    """A value as an error message shows it: short."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 40 else f"{text[:37]}..."
