"""Load tools that count durations in bins: Fortio and Locust. Each count becomes requests in the middle of its bin."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.errors import Problem
from kpasim.records.record import (
    MAX_ROWS,
    Malformed,
    MalformedError,
    Record,
    number,
    object_in,
    objects_in,
    requests_of,
    shown,
)
from kpasim.records.source import json_object, whole


def read_fortio(path: Path, skip_bad: bool = False) -> Record:
    """``fortio load -json``: bins of durations [s]."""
    malformed = Malformed(path, skip_bad)
    with malformed.at(1):
        value = json_object(whole(path))
        bins = [
            (
                number(entry.get("Start"), "Start", least=0),
                number(entry.get("End"), "End", least=0),
                _count(entry.get("Count"), "Count"),
            )
            for entry in objects_in(object_in(value, "DurationHistogram", {}), "Data")
        ]
        codes = object_in(value, "RetCodes", {}).items()
        failed = sum(_count(count, f"RetCodes.{code}") for code, count in codes if not code.startswith("2"))
        _refuse_failures(malformed, "RetCodes", failed)
        return _spread("fortio-json", path, malformed, bins)
    return malformed.finish(Record("fortio-json", str(path)), 0)


def read_locust(path: Path, skip_bad: bool = False) -> Record:
    """``locust --json``: a count for each duration [ms], which Locust rounds to two digits."""
    malformed = Malformed(path, skip_bad)
    with malformed.at(1):
        entries = objects_in(json_object(f'{{"entries": {whole(path)}}}'), "entries")  # the file is a list
        bins, names = [], []
        for entry in entries:
            for text, count in object_in(entry, "response_times").items():
                at = number(text, "response_times", least=0) / 1000
                half = _locust_grain_s(at) / 2
                bins.append((max(0.0, at - half), at + half, _count(count, f"response_times.{text}")))
                names.append(str(entry.get("name", "")))
        failed = sum(_count(entry.get("num_failures", 0), "num_failures") for entry in entries)
        _refuse_failures(malformed, "num_failures", failed)
        return _spread("locust-json", path, malformed, bins, names)
    return malformed.finish(Record("locust-json", str(path)), 0)


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
    record = Record(kind, str(path), requests_of(unknown, durations, statuses), clients="open")
    record.requests["bin_s"] = np.repeat(np.array([high - low for low, high, _ in bins]), counts)
    if names:
        record.requests["class"] = np.repeat(np.array(names, dtype=object), counts)
    widths = [(high - low) / (high + low) for low, high, count in bins if high > 0 and count]
    if widths:
        record.notes.append(f"no start times; durations are known to {max(widths):.1%} (half of the widest bin)")
    return malformed.finish(record, len(durations))


def _count(value: Any, place: str) -> int:
    count = number(value, place, least=0)
    if not count.is_integer():
        raise MalformedError(place, f"must be a whole number (it is {shown(value)})")
    return int(count)
