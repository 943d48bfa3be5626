"""Arrivals out of a file: a CSV with a header, or the published production trace GenTD26."""

import math
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpasim.arrays import Floats
from kpasim.errors import Problem, RecordError
from kpasim.records import source
from kpasim.records.record import Malformed, MalformedError, moment
from kpasim.spec.workload import GenTD26, Replay

MOST_ROWS = 10_000_000
"""Rows read from one file."""
_MOST_PROBLEMS = 20
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


class Recording(NamedTuple):
    """Requests of a recording in order of arrival.

    Attributes:
        sent_s: Send times from the start of the load, at the speed asked for [s].
        service_s: Measured service times [s], 0 where there is none; empty without such a column.
        classes: Name of each request's class; empty without such a column.
        grain_s: How exactly arrivals are known [s]: each came within that time after ``sent_s``; 0 where exactly.
    """

    sent_s: Floats
    service_s: Floats
    classes: tuple[str, ...]
    grain_s: float = 0.0


def recording(workload: Replay | GenTD26) -> Recording:
    """The requests that a workload takes from its file.

    Raises:
        RecordError: The file cannot be read as the workload says, or holds no request in the stretch asked for.
    """
    stamp = os.stat(workload.file).st_mtime_ns if os.path.exists(workload.file) else 0
    if isinstance(workload, GenTD26):
        rows = _rows(workload.file, stamp, "gmt_create", None, None, 1.0)._replace(grain_s=1.0)
    else:
        columns = (workload.arrival_column, workload.service_column, workload.class_column)
        rows = _of_tool(workload.file, stamp, workload.function, *columns[1:]) or _rows(
            workload.file, stamp, *columns, _UNITS_S[workload.time_unit]
        )
    start_s = rows.sent_s - workload.from_s
    kept = np.flatnonzero((start_s >= 0.0) & (start_s < (workload.duration_s or math.inf)))
    if isinstance(workload, Replay):
        kept = kept[: workload.limit]
    if len(kept) == 0:
        seconds = f"{rows.sent_s[-1]:g} s long, the workload begins at {workload.from_s:g} s"
        raise RecordError.of(workload.file, f"no request in the stretch asked for (it is {seconds})")
    return Recording(
        start_s[kept] / workload.speed,
        rows.service_s[kept] if len(rows.service_s) else rows.service_s,
        tuple(rows.classes[place] for place in kept) if rows.classes else (),
        rows.grain_s,
    )


@lru_cache(maxsize=4)
def _of_tool(file: str, stamp: int, function: str | None, service: str | None, class_: str | None) -> Recording | None:
    """All requests of a file that a known tool has written, ``None`` for a CSV file with columns of its author's.

    What a client measured is no service time: it holds the wait and the cold start, which are simulated.
    """
    from kpasim.records.read import read_tool

    record = read_tool(file, function)
    if record is None:
        return None
    what = f"is read as {record.kind}"
    if service:
        raise RecordError.of(file, f"{what}, which has durations of responses, not service times")
    requests = record.requests
    if record.kind == "azure-2019":
        sent_s = np.repeat(record.counts["t_s"], record.counts["count"])
        return Recording(sent_s - sent_s[:1], np.zeros(0), (), 60.0) if len(sent_s) else None
    start_s = requests.get("start_s", np.zeros(0))
    if len(start_s) == 0 or np.isnan(start_s).any():
        raise RecordError.of(file, f"{what}, which does not say when requests were sent")
    if class_ and class_ not in requests:
        raise RecordError.of(file, f"no column {class_!r} ({what}; leave class out)")
    order = np.argsort(start_s, kind="stable")
    classes = tuple(requests[class_][order].tolist()) if class_ else ()
    return Recording(start_s[order] - start_s.min(), np.zeros(0), classes, record.grain_s)


@lru_cache(maxsize=4)
def _rows(file: str, stamp: int, arrival: str, service: str | None, class_: str | None, unit_s: float) -> Recording:
    """All requests of a file, times from its first arrival; read again when the file has changed (``stamp``)."""
    wanted = [name for name in (arrival, service, class_) if name]
    times: list[float] = []
    services: list[float] = []
    classes: list[str] = []
    malformed = Malformed(Path(file), False)
    for line, row in _cells(file, wanted, malformed):
        try:
            times.append(_time(row[0], arrival, unit_s))
            if service:
                services.append(_service(row[1], service, unit_s))
            if class_:
                classes.append(row[-1])
        except ValueError as err:
            malformed.add(line, Problem("", str(err)))
        if malformed.count >= _MOST_PROBLEMS:
            break
    if malformed.count:
        raise RecordError(file, malformed.problems)
    if not times:
        raise RecordError.of(file, "no row below the header")
    start_s = np.asarray(times) - min(times)
    order = np.argsort(start_s, kind="stable")
    return Recording(
        start_s[order],
        np.asarray(services)[order] if service else np.zeros(0),
        tuple(classes[place] for place in order) if class_ else (),
    )


def _cells(file: str, wanted: list[str], malformed: Malformed) -> Iterator[tuple[int, list[str]]]:
    """Line and values of the wanted columns, row by row; blank lines are passed over."""
    header: list[str] = []
    for count, (line, row) in enumerate(source.rows(Path(file), malformed)):
        if not header:
            header = row
            missing = [name for name in wanted if name not in header]
            if missing:
                there = ", ".join(header)[:200]
                raise RecordError(file, [Problem("", f"no column {name!r} (there are {there})", 1) for name in missing])
            places = [header.index(name) for name in wanted]
        elif count > MOST_ROWS:
            raise RecordError.of(file, f"more than {MOST_ROWS:,} rows (split the file)")
        elif len(row) != len(header):
            malformed.add(line, Problem("", f"{len(row)} values where the header names {len(header)} columns"))
        else:
            yield line, [row[place] for place in places]


def _time(text: str, column: str, unit_s: float) -> float:
    """Seconds of a number, or since 1970 of a date and time (UTC where it names no zone)."""
    try:
        value = float(text) * unit_s
    except ValueError:
        try:
            return moment(text, column)
        except MalformedError:
            raise ValueError(f"{column}: {text[:60]!r} is neither a number nor a date and time") from None
    if not math.isfinite(value):
        raise ValueError(f"{column}: {text[:60]!r} is not a time")
    return value


def _service(text: str, column: str, unit_s: float) -> float:
    """Seconds of a service time; 0 for an empty cell."""
    try:
        value = float(text) * unit_s if text else 0.0
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{column}: {text[:60]!r} is not a service time (must be a number of at least 0)")
    return value
