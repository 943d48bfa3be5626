"""The tables of one run, and the folder they are written to.

A simulated run, a live validation and a recorded run of the real autoscaler leave the same folder, so that any two can
be compared:

    run.json       what was run
    requests.csv   one row per request
    pods.csv       one row per pod
    ticks.csv      one row per autoscaler tick or poke
    scaling.csv    one row per change of the PodAutoscaler, the Deployment or the ServerlessService
    nodes.csv      one row per node, where the run had nodes
    summary.json   figures computed from the tables

Times are seconds from the start of the load; what happened before it is negative. An empty cell means that it did not
happen or is not known: ``NaN`` in a column of times or numbers, ``-1`` in a column of whole numbers, ``""`` in a
column of words. Readers ignore columns and keys that they do not know.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.arrays import Array, Bools
from kpasim.errors import Problem, RecordError, RunError
from kpasim.results.files import atomic_write, make_folder, write_json
from kpasim.results.frames import Columns, to_arrow, to_pandas

FORMAT = 1
"""Version of the folder's layout, ``format`` in run.json."""

TIME, NUMBER, COUNT, WORD = "time", "number", "count", "word"


def _columns(text: str) -> dict[str, str]:
    """Names of columns and their kinds, from NAME:KIND each; a time without one."""
    pairs = (part.partition(":") for part in text.split())
    return {name: kind or TIME for name, _, kind in pairs}


REQUIRED = {
    "requests": _columns(
        "id:count start_s latency_s status:count pod:word service_s server_arrival_s server_start_s server_end_s"
    ),
    "pods": _columns("pod:word created_s ready_s delete_requested_s gone_s"),
    "ticks": _columns(
        "t_s stable:number panic:number target:number desired_stable:count desired_panic:count "
        "ready_pods:count panic_mode:count excess_burst_capacity:number"
    ),
    "scaling": _columns("t_s desired:count ready:count replicas:count pa_active:word sks_mode:word"),
    "nodes": _columns("node:word instance_type:word created_s ready_s gone_s"),
}
"""Columns that every folder has, in the order in which they are written."""

OPTIONAL = {
    "requests": _columns(
        "class:word instance_type:word session:count activator:count error:word first_byte_s scheduled_s"
    ),
    "pods": _columns(
        "scheduled_s provisioned_s pull_s containers_s port_open_s usable_s instance_type:word node:word "
        "address:word restarts:count"
    ),
    "ticks": _columns("desired:count rule:word poke:count"),
    "scaling": _columns("starting:count pending:count draining:count"),
    "nodes": _columns("gpus:count"),
}
"""Columns that a simulated folder adds, and pods' ``stage_*_s`` beside them."""

_MAY_LACK = {"nodes"}
_PROBLEMS_SHOWN = 5


@dataclass
class Tables:
    """What one run leaves behind, as columns of equal length per table.

    The same class holds many runs at once: then every column has shape ``(runs, rows)``, and a row whose first time
    (``start_s``, ``created_s``, ``t_s``) is ``NaN`` is padding.

    Attributes:
        requests: One row per request, in order of start. ``start_s`` when the client sent it, ``latency_s`` until the
            client had the whole answer (or gave up), ``status`` the HTTP status, 0 where the client gave up; ``pod``
            the server's name; ``service_s`` the time the container worked; ``server_arrival_s``, ``server_start_s``
            and ``server_end_s`` the container's own clock.
        pods: One row per pod, in order of creation. ``ready_s`` is Kubernetes Ready; ``delete_requested_s`` when it
            was asked to go. Optional: ``provisioned_s`` when its machine was
            provisioned, ``pull_s`` when its image began to be pulled, ``usable_s`` when the first
            activator could send to it, ``stage_NAME_s`` when stage NAME of its start was over.
        ticks: One row per autoscaler tick or poke: the averages observed [requests], the raw desired pods, panic mode
            (0 or 1) after the tick, excess burst capacity [requests].
        scaling: One row per change: ``desired`` of the PodAutoscaler, ``ready`` and ``replicas`` of the Deployment,
            ``pa_active`` (True, False, Unknown), ``sks_mode`` (Proxy, Serve).
        nodes: One row per node, empty where the run had none.
    """

    requests: Columns = field(default_factory=dict)
    pods: Columns = field(default_factory=dict)
    ticks: Columns = field(default_factory=dict)
    scaling: Columns = field(default_factory=dict)
    nodes: Columns = field(default_factory=dict)

    def as_many(self) -> Tables:
        """This run as the only one of many."""
        every = {table.name: getattr(self, table.name) for table in fields(self)}
        return Tables(**{name: {key: column[np.newaxis] for key, column in of.items()} for name, of in every.items()})

    def to_arrow(self, table: str) -> Any:
        """``requests``, ``pods``, ``ticks``, ``scaling`` or ``nodes`` as a ``pyarrow.Table``; null is what is missing.

        Raises:
            RunError: There is no such table.
        """
        return to_arrow(self._columns(table))

    def to_pandas(self, table: str) -> Any:
        """The same as a ``pandas.DataFrame``; whole numbers stay whole (``Int64``).

        Raises:
            RunError: There is no such table, or pandas is not installed.
        """
        return to_pandas(self._columns(table))

    def _columns(self, table: str) -> Columns:
        known = [one.name for one in fields(self)]
        if table not in known:
            raise RunError(f"no table is called {table!r} (one of {', '.join(known)})")
        columns: Columns = getattr(self, table)
        return columns or empty_columns(table)


def empty_columns(table: str) -> Columns:
    """The required columns of ``table``, without a row."""
    return {name: _array([], kind) for name, kind in REQUIRED[table].items()}


def write_run_folder(
    folder: str | Path, tables: Tables, run: Mapping[str, Any], summary: Mapping[str, Any] | None
) -> None:
    """Write one run; run.json is removed first and comes last, so that a folder that holds one is whole.

    Args:
        folder: Made where it is missing; files of an earlier run are replaced.
        tables: One run (not many at once). Columns beyond the known ones are written after them.
        run: What was run, as `REQUIRED`'s format says; ``format`` is added.
        summary: Figures to leave beside the tables, or ``None`` for no summary.json.

    Raises:
        RunError: The folder or a file in it cannot be written.
    """
    folder = make_folder(folder)
    (folder / "run.json").unlink(missing_ok=True)
    for table in fields(Tables):
        columns: Columns = getattr(tables, table.name)
        if columns or table.name not in _MAY_LACK:
            write_table(folder / f"{table.name}.csv", table.name, columns or empty_columns(table.name))
    if summary is not None:
        write_json(folder / "summary.json", summary)
    write_json(folder / "run.json", {"format": FORMAT, **run})


def read_run_folder(
    folder: str | Path, skipped: list[Problem] | None = None
) -> tuple[dict[str, Any], Tables, dict[str, Any]]:
    """Read a folder that `write_run_folder` or a measurement left.

    ``skipped`` takes the problems of malformed rows, each with its file, which are then left out; without it they are
    raised.

    Returns:
        What was run (run.json as it is), the tables (known columns only), and summary.json (empty where there is none).

    Raises:
        RecordError: Something is missing or malformed; the message names file and line.
    """
    folder = Path(folder)
    if folder.is_dir() and not (folder / "run.json").exists():
        none = "cannot be read: No such file or directory (kpasim run --out and validate leave one)"
        raise RecordError.of(folder / "run.json", none)
    run = read_object(folder / "run.json")
    version = run.get("format")
    if version != FORMAT or isinstance(version, bool):
        wrong = f"must be {FORMAT}, the layout that this version reads (it is {json.dumps(version)})"
        raise RecordError.of(folder / "run.json", wrong, place="format")
    tables = Tables()
    for table in fields(Tables):
        path = folder / f"{table.name}.csv"
        if path.exists() or table.name not in _MAY_LACK:
            left_out: list[Problem] | None = None if skipped is None else []
            setattr(tables, table.name, read_table(path, table.name, left_out))
            if skipped is not None:
                skipped += [replace(one, place=f"{path.name} {one.place}".strip()) for one in left_out or []]
    summary = read_object(folder / "summary.json") if (folder / "summary.json").exists() else {}
    return run, tables, summary


def write_table(path: str | Path, table: str, columns: Columns) -> None:
    """Write one table as CSV: times with 4 decimals, numbers with at most 6, nothing for what is missing.

    Raises:
        RunError: The file cannot be written.
    """
    missing = REQUIRED[table].keys() - columns.keys()
    if missing:
        raise ValueError(f"table {table} lacks {sorted(missing)}")
    names = [*REQUIRED[table], *(name for name in columns if name not in REQUIRED[table])]
    texts = [_texts(columns[name], _kind(table, name)) for name in names]
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*texts, strict=True))


def read_table(path: str | Path, table: str, skipped: list[Problem] | None = None) -> Columns:
    """Read one table; columns that are not known are left out, and malformed rows as in `read_run_folder`.

    Raises:
        RecordError: The file is missing, lacks a column, or holds a value that is not what its column says.
    """
    path = Path(path)
    header, rows = _rows(path)
    missing = [name for name in REQUIRED[table] if name not in header]
    if missing:
        raise RecordError.of(path, f"no column named {', '.join(missing)}", 1)
    problems = [
        Problem("", f"{len(row)} values where the header names {len(header)} columns", line)
        for line, row in rows.items()
        if len(row) != len(header)
    ]
    rows = {line: row for line, row in rows.items() if len(row) == len(header)}
    lines = list(rows)
    cells = list(zip(*rows.values(), strict=True)) if rows else [()] * len(header)
    columns: Columns = {}
    for name, values in zip(header, cells, strict=True):
        kind = _kind(table, name)
        if kind is not None and name not in columns:
            columns[name] = _parsed(values, kind, name, lines, problems)
            if name in REQUIRED[table]:
                told = {problem.line for problem in problems}
                problems += [wrong for wrong in _implausible(columns[name], name, lines) if wrong.line not in told]
    problems.sort(key=lambda problem: problem.line or 0)
    if problems and skipped is None:
        raise RecordError(path, shortened(problems))
    if problems and skipped is not None:
        skipped += problems
        bad = {problem.line for problem in problems}
        good = np.array([line not in bad for line in lines], dtype=bool)
        columns = {name: column[good] for name, column in columns.items()}
    return columns


def _rows(path: Path) -> tuple[list[str], dict[int, list[str]]]:
    """The header of a CSV file, and its rows by line."""
    with _opened(path) as file:
        reader = csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            return header, {line: row for row, line in ((row, reader.line_num) for row in reader) if row}
        except (csv.Error, UnicodeDecodeError) as error:
            raise RecordError.of(path, f"not a CSV file: {error}", reader.line_num + 1) from error


def shortened(problems: list[Problem]) -> list[Problem]:
    """The first few of many problems, with the number of those left out."""
    if len(problems) <= _PROBLEMS_SHOWN:
        return problems
    more = len(problems) - _PROBLEMS_SHOWN
    return [*problems[:_PROBLEMS_SHOWN], Problem("", f"and {more} more problem{'s' if more > 1 else ''} of the kind")]


def _kind(table: str, name: str) -> str | None:
    """What a column holds, ``None`` where it is not a known one."""
    kind = REQUIRED[table].get(name) or OPTIONAL[table].get(name)
    if kind is None and table == "pods" and name.startswith("stage_") and name.endswith("_s"):
        return TIME
    return kind


def _array(values: Iterable[Any], kind: str) -> Array:
    """Values in the type that a column of ``kind`` has."""
    return np.array(list(values), dtype={COUNT: np.int64, WORD: np.str_}.get(kind, np.float64))


def _texts(column: Array, kind: str | None) -> Iterator[str]:
    """The cells of a column as they are written."""
    values = column.tolist()
    if kind is None:
        kind = {"f": NUMBER, "i": COUNT, "u": COUNT, "b": COUNT}.get(column.dtype.kind, WORD)
    write: dict[str, Callable[[Any], str]] = {
        TIME: lambda x: "" if math.isnan(x) else f"{round(x, 4) + 0.0:.4f}",
        NUMBER: lambda x: "" if math.isnan(x) else repr(round(float(x), 6) + 0.0),
        COUNT: lambda x: "" if x == -1 or math.isnan(x) else str(int(x)),
        WORD: str,
    }
    return map(write[kind], values)


def _parsed(values: tuple[str, ...], kind: str, name: str, lines: list[int], problems: list[Problem]) -> Array:
    """A column from its cells; cells that do not hold what they should are empty, and added to ``problems``."""
    if kind == WORD:
        return _array(values, kind)
    read: Callable[[str], float] = int if kind == COUNT else float
    empty = -1 if kind == COUNT else math.nan
    wanted = "a whole number" if kind == COUNT else "a number"
    result: list[float] = []
    for line, value in zip(lines, values, strict=True):
        try:
            number = read(value) if value else empty
            if abs(number) >= 2**62:  # infinities too
                raise ValueError
        except ValueError:
            problems.append(Problem(name, f"must be {wanted} or empty (it is {value[:40]!r})", line))
            number = empty
        result.append(number)
    return _array(result, kind)


def _implausible(column: Array, name: str, lines: list[int]) -> list[Problem]:
    """Values that no run can leave: a latency below zero, a row without its time."""
    tests: dict[str, tuple[str, Callable[[Array], Bools]]] = {
        "start_s": ("is missing", np.isnan),
        "created_s": ("is missing", np.isnan),
        "t_s": ("is missing", np.isnan),
        "latency_s": ("must not be negative", lambda x: x < 0),
        "status": ("must be an HTTP status, or 0 after a client timeout", lambda x: (x < -1) | (x > 999)),
    }
    if name not in tests:
        return []
    message, test = tests[name]
    return [Problem(name, message, lines[i]) for i in np.flatnonzero(test(column))]


def _opened(path: Path) -> Any:
    try:
        return open(path, encoding="utf-8-sig", newline="")
    except OSError as error:
        raise RecordError.of(path, f"cannot be read: {error.strerror or error}") from error


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds one object.

    Raises:
        RecordError: It is missing or holds anything else.
    """
    try:
        with _opened(path) as file:
            value = json.load(file)
    except json.JSONDecodeError as error:
        raise RecordError.of(path, f"not JSON: {error.msg}", error.lineno) from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RecordError.of(path, f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RecordError.of(path, "must hold one JSON object", 1)
    return value
