"""Load tools that count durations in bins: Fortio and Locust. Each count becomes requests in the middle of its bin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.errors import Problem, RecordError
from kpasim.records.record import MAX_ROWS, Malformed, MalformedError, Record, number, requests_of, shown
from kpasim.records.source import json_object, whole


def read_fortio(path: Path, skip_bad: bool = False) -> Record:
    """``fortio load -json``: bins of durations [s]."""
    malformed = Malformed(path, skip_bad)
    value = _object(path)
    bins = []
    failed = 0
    try:
        for entry in _list(value.get("DurationHistogram") or {}, "Data"):
            low, high = number(entry.get("Start"), "Start", least=0), number(entry.get("End"), "End", least=0)
            bins.append((low, high, _count(entry.get("Count"), "Count")))
        for text, count in (value.get("RetCodes") or {}).items():
            failed += 0 if text.startswith("2") else _count(count, f"RetCodes.{text}")
    except MalformedError as error:
        malformed.add(1, error.problem)
        return malformed.finish(Record("fortio-json", str(path)), 0)
    _refuse_failures(malformed, "RetCodes", failed)
    return _spread("fortio-json", path, malformed, bins)


def read_locust(path: Path, skip_bad: bool = False) -> Record:
    """``locust --json``: a count for each duration [ms], which Locust rounds to two digits."""
    malformed = Malformed(path, skip_bad)
    bins: list[tuple[float, float, int]] = []
    names: list[str] = []
    failed = 0
    try:
        entries = json.loads(whole(path))
        for entry in entries:
            name = str(entry.get("name", ""))
            failed += _count(entry.get("num_failures", 0), "num_failures")
            times = entry.get("response_times")
            if not isinstance(times, dict):
                raise MalformedError("response_times", f"must be an object (it is {shown(times)})")
            for text, count in times.items():
                at = number(text, "response_times", least=0) / 1000
                half = _locust_grain_s(at) / 2
                bins.append((max(0.0, at - half), at + half, _count(count, f"response_times.{text}")))
                names.append(name)
    except MalformedError as error:
        malformed.add(1, error.problem)
        return malformed.finish(Record("locust-json", str(path)), 0)
    except (ValueError, RecursionError, AttributeError) as error:
        raise RecordError(path, [Problem("", f"not Locust's JSON: {error}")]) from None
    _refuse_failures(malformed, "num_failures", failed)
    return _spread("locust-json", path, malformed, bins, names)


def _locust_grain_s(duration_s: float) -> float:
    """What Locust rounds a duration to [s]: two digits, but whole milliseconds at least."""
    return next(grain for below, grain in ((0.1, 0.001), (1.0, 0.01), (10.0, 0.1), (np.inf, 1.0)) if duration_s < below)


def _refuse_failures(malformed: Malformed, place: str, failed: int) -> None:
    """Both tools count the durations of failures among those of successes."""
    if failed:
        malformed.add(1, Problem(place, f"{failed} failed requests are counted among the durations"))


def _spread(
    kind: str, path: Path, malformed: Malformed, bins: Sequence[tuple[float, float, int]], names: Sequence[str] = ()
) -> Record:
    """Each bin becomes requests in its middle, ``bin_s`` wide; `names` holds the class of each bin."""
    counts = np.array([count for *_, count in bins], dtype=np.int64)
    if counts.sum() > MAX_ROWS:
        malformed.add(1, Problem("", f"counts more than {MAX_ROWS:,} requests"))
        return malformed.finish(Record(kind, str(path)), 0)
    durations = np.repeat(np.array([(low + high) / 2 for low, high, _ in bins]), counts)
    unknown, statuses = np.full(len(durations), np.nan), np.full(len(durations), 200, np.int64)
    record = Record(kind, str(path), requests_of(unknown, durations, statuses))
    record.requests["bin_s"] = np.repeat(np.array([high - low for low, high, _ in bins]), counts)
    if names:
        record.requests["class"] = np.repeat(np.array(names, dtype=object), counts)
    widths = [(high - low) / (high + low) for low, high, count in bins if high > 0 and count]
    if widths:
        record.notes.append(f"no start times; durations are known to {max(widths):.1%} (half of the widest bin)")
    if not len(durations):
        malformed.add(None, Problem("", "no request in it"))
    return malformed.finish(record, len(durations))


def _object(path: Path) -> dict[str, Any]:
    try:
        return json_object(whole(path))
    except MalformedError as error:
        raise RecordError(path, [error.problem]) from None


def _list(value: Any, key: str) -> list[dict[str, Any]]:
    found = value.get(key) or [] if isinstance(value, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise MalformedError(key, f"must be a list of objects (it is {shown(found)})")
    return found


def _count(value: Any, place: str) -> int:
    count = number(value, place, least=0)
    if not count.is_integer():
        raise MalformedError(place, f"must be a whole number (it is {shown(value)})")
    return int(count)
