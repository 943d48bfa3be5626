"""Requests in a CSV file whose header names the columns."""

import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.errors import RecordError
from kpasim.records.record import (
    TIMES,
    Malformed,
    MalformedError,
    Record,
    by_start,
    collect,
    from_first,
    iso,
    moment,
    number,
    shown,
    status_code,
    unix_s,
)
from kpasim.records.source import rows
from kpasim.spec.yamlfile import packaged

_DATA = packaged("columns.toml")
NAMES: dict[str, list[str]] = {role: names.split() for role, names in _DATA["names"].items()}
"""What a column is called, in lower case and without unit, the likelier name first."""
UNITS: dict[str, float] = {unit: one["seconds"] for unit, one in _DATA["units"].items()}
_UNITS: dict[str, float] = UNITS | {
    other: UNITS[unit] for unit, one in _DATA["units"].items() for other in one["spellings"].split()
}
DOUBTFUL_S = 120.0
"""Median duration from which on a unit that nobody named is doubted."""
IMPOSSIBLE_S = 1e6
"""Median duration that is no number of seconds."""
_TRUE, _FALSE = {"1", "true", "yes", "y"}, {"", "0", "false", "no", "n"}
_GOOD, _NO_RESPONSE = {"ok", "success", "succeeded", "passed", "true"}, {"timeout", "timed out", "timed_out"}
_WITH_UNIT = re.compile(r"(?P<number>[\d.]+)\s*(?P<unit>[a-zA-Zµμ]+)$")


def known_columns(header: list[str]) -> dict[str, tuple[int, float | None]]:
    """Which column holds what: its place and the unit [s] that its name says, if it says one."""
    found: dict[str, tuple[int, float | None]] = {}
    plain = [_plain(name) for name in header]
    for role, names in NAMES.items():
        for wanted in names:
            place = next((i for i, (name, _) in enumerate(plain) if name == wanted), None)
            if place is not None:
                found[role] = (place, plain[place][1])
                break
    return found


def read_csv(path: Path, skip_bad: bool = False, columns: Mapping[str, str] | None = None) -> Record:
    """A CSV file with a header.

    Columns are found by name (see `NAMES`), with a unit behind it where it is not seconds: ``latency_ms``. Starts are
    seconds or dates and times; numbers as large as a date are taken as seconds, ms, us or ns since 1970, and starts
    then count from the first. Empty cells are not known.

    Where names do not say it, ``columns`` leads from a role (``start``, ``duration``, ``status``, ``censored``,
    ``class``, ``instance_type``, ``pod``) to the column's name, and from ``unit`` to the unit of durations.

    Raises:
        RecordError: A column is missing or lines are malformed.
    """
    _, header = next(rows(path, Malformed(path, True)), (1, []))
    places = _chosen(path, header, columns or {})
    extra = [role for role in ("class", "instance_type", "pod") if role in places]
    dated = False

    def values_of(row: list[str]) -> Any:
        nonlocal dated
        if len(row) != len(header):
            raise MalformedError("", f"{len(row)} values where the header names {len(header)} columns")
        cells = {role: (header[place], row[place], unit) for role, (place, unit) in places.items()}
        start, is_date = _start(*cells["start"]) if "start" in cells else (np.nan, False)
        dated = dated or is_date
        duration = np.nan
        if cells.get("duration", ("", "", None))[1]:
            name, text, unit = cells["duration"]
            duration = _duration_s(text, name, unit)
        status = _status(cells["status"][1] or "0", cells["status"][0]) if "status" in cells else 200
        censored = _truth(*cells["censored"][:2]) if "censored" in cells else status == 0
        return start, duration, status, censored, *(cells[role][1] for role in extra)

    kinds: dict[str, type] = {**TIMES, "censored": bool, **dict.fromkeys(extra, str)}
    result, malformed = collect(path, skip_bad, lambda *file: islice(rows(*file), 1, None), kinds, values_of)
    origin = ""
    if dated:
        result, first = from_first(result)
        origin = iso(first)
    record = Record("csv", str(path), by_start(result), origin=origin)
    unit_is_named = "unit" in (columns or {}) or places.get("duration", (0, None))[1] is not None
    record.notes.append("read as " + ", ".join(_read_as(header, *one) for one in places.items()))
    median_s = float(np.nanmedian(result["duration_s"])) if np.isfinite(result["duration_s"]).any() else 0.0
    if "duration" in places and not unit_is_named and median_s > DOUBTFUL_S:
        name = header[places["duration"][0]]
        unit_name = next((one for one in ("ms", "us") if median_s * UNITS[one] <= DOUBTFUL_S), "ns")
        hint = f"say --column unit={unit_name} if it is in {unit_name}"
        if median_s > IMPOSSIBLE_S:
            raise RecordError.of(path, f"durations of {median_s:.3g} are no seconds ({hint})", 1, place=name)
        record.notes.append(
            f"Warning: durations of {median_s / 60:.3g} min (median): is column {name} really in seconds? "
            f"{hint[0].upper()}{hint[1:]}"
        )
    return malformed.finish(record, len(result["status"]), "no row below the header")


def _read_as(header: list[str], role: str, column: tuple[int, float | None]) -> str:
    """One column in words; a duration with its unit."""
    place, unit = column
    said = f"{role}: column {header[place]}"
    if role != "duration":
        return said
    name = next((name for name, scale in UNITS.items() if scale == unit), "")
    return f"{said} in {name}" if name else f"{said} in s (say --column unit=ms if it is in ms)"


def _chosen(path: Path, header: list[str], given: Mapping[str, str]) -> dict[str, tuple[int, float | None]]:
    """Columns found by name, and those that the caller names."""
    places = known_columns(header)
    for role, name in given.items():
        if role == "unit":
            continue
        if role not in NAMES:
            raise RecordError.of(path, f"no role {role!r} (there are {', '.join(NAMES)} and unit)", place="columns")
        if name not in header:
            raise RecordError.of(path, f"no column {name!r} (there are {', '.join(header)[:200]})", 1, place="columns")
        places[role] = (header.index(name), _plain(name)[1])
    if "unit" in given:
        if given["unit"] not in UNITS:
            raise RecordError.of(path, f"no unit {given['unit']!r} (there are {', '.join(UNITS)})", place="columns")
        if "duration" in places:
            places["duration"] = (places["duration"][0], UNITS[given["unit"]])
    if "start" not in places and "duration" not in places:
        listed = ", ".join(header)[:200] or "none"
        raise RecordError.of(path, f"no column for start or duration among {listed} (name it)", 1)
    return places


def _plain(name: str) -> tuple[str, float | None]:
    """A column's name in lower case without its unit, and the unit in seconds."""
    # responseTime and Response-Time are both response_time.
    words = re.findall(r"[a-z0-9µμ]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    if len(words) > 1 and words[-1] in _UNITS:
        return "_".join(words[:-1]), _UNITS[words[-1]]
    return "_".join(words), None


def _duration_s(text: str, name: str, unit: float | None) -> float:
    """A duration in the unit of its column, or in one of its own: ``2055ms``."""
    own = _WITH_UNIT.match(text)
    if own and (scale := _UNITS.get(own["unit"].lower())):
        return number(own["number"], name, least=0) * scale
    return number(text, name, least=0) * (unit or 1.0)


def _status(text: str, name: str) -> int:
    """A status of HTTP, or a word for one: success is 200, a timeout is no response (0)."""
    word = text.lower()
    return 200 if word in _GOOD else 0 if word in _NO_RESPONSE else status_code(text, name)


def _start(name: str, text: str, unit: float | None) -> tuple[float, bool]:
    """A start [s], and whether it is counted from 1970."""
    if not text:
        return np.nan, False
    try:
        value = number(text, name)
    except MalformedError:
        if not re.match(r"\d{4}-", text):
            raise MalformedError(name, f"must be seconds or a date and time (it is {shown(text)})") from None
        return moment(text, name), True
    if unit is not None:
        return value * unit, value * unit > 1e8
    return unix_s(value), value > 1e8


def _truth(name: str, text: str) -> bool:
    lowered = text.lower()
    if lowered not in _TRUE | _FALSE:
        raise MalformedError(name, f"must be true or false (it is {shown(text)})")
    return lowered in _TRUE
