"""A schedule: least and most pods by time of day and weekday, in a time zone.

Windows are written as those of KEDA's cron trigger: a cron expression for the start, another for the end. Outside
the tick, ``changes`` turns all windows into one table for a run; in the tick ``bounds`` reads it. KEDA and
ACK's AHPA combine the bounds with another autoscaler's answer by a maximum, too.

Source:
    kedacore/keda@8b4f083, pkg/scalers/cron_scaler.go; ``instanceBounds`` of ACK's AHPA for the upper bound
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

UNBOUNDED = (1 << 31) - 1
"""No upper bound."""

FROM_NS, LEAST, MOST = 0, 1, 2
"""Columns of the table of ``changes``."""

_NS_PER_S = 1_000_000_000
_STEP = timedelta(minutes=15)
_STEP_MINUTES = 15  # every zone's offset from UTC is a multiple of this
_SEARCHED = timedelta(days=5 * 366)
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class Cron(NamedTuple):
    """A cron expression: the values of each field, and whether the days were restricted.

    Attributes:
        minutes: Minutes of the hour.
        hours: Hours of the day.
        days: Days of the month.
        months: Months of the year.
        weekdays: Days of the week, 0 is Sunday.
        any_day: The day of the month is ``*``.
        any_weekday: The day of the week is ``*``.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool


class Window(NamedTuple):
    """A time in which at least (and at most) so many pods are kept.

    Attributes:
        start: When it opens.
        end: When it closes.
        least: Least pods while it is open.
        most: Most pods while it is open, ``UNBOUNDED`` for no bound.
        zone: Time zone of both.
    """

    start: Cron
    end: Cron
    least: int
    most: int
    zone: ZoneInfo


def parse(text: str) -> Cron:
    """A cron expression of five fields: minute, hour, day of month, month, day of week.

    Raises:
        ValueError: It is none; the message says which field and what would be right.
    """
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"{text!r} has {len(fields)} fields; write minute, hour, day, month and weekday: 0 8 * * 1-5")
    minutes, hours, days, months, weekdays = (
        _values(field, *bounds) for field, bounds in zip(fields, _FIELDS, strict=True)
    )
    return Cron(
        minutes, hours, days, months, weekdays, fields[2].startswith(("*", "?")), fields[4].startswith(("*", "?"))
    )


def _values(field: str, name: str, least: int, most: int) -> frozenset[int]:
    """Values of one field: lists of single values, ranges and steps."""
    values: set[int] = set()
    for part in field.lower().split(","):
        span, _, step_text = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            step = int(step_text) if step_text else 1
            if span in {"*", "?"}:
                low, high = least, most
            else:
                low = _value(first, name)
                high = _value(last, name) if dash else most if step_text else low
        except ValueError:
            raise ValueError(f"{part!r} is not a {name} ({least} to {most})") from None
        if not (least <= low <= high <= most) or step < 1:
            raise ValueError(f"{part!r} is not a {name} ({least} to {most})")
        values.update(range(low, high + 1, step))
    return frozenset(values)


def _value(text: str, name: str) -> int:
    """A single value of a field, or a name of a month or a weekday."""
    if name == "month" and text in _MONTHS:
        return _MONTHS.index(text) + 1
    if name == "day of week" and text in _DAYS:
        return _DAYS.index(text)
    return int(text)


def changes(windows: Sequence[Window], begins: datetime, length_s: float) -> NDArray[np.int64]:
    """The bounds of a run, whenever they change.

    A window is open when it ends before it starts anew, which holds from its start to its end. While several windows
    are open, the largest of their least pods and of their most pods count.

    Args:
        windows: Windows of the schedule.
        begins: Time at which the run begins, with a time zone.
        length_s: Length of the run [s].

    Returns:
        Rows of a time since the beginning [ns], least and most pods, shape ``(n, 3)``, ``n >= 1``; the first at 0.

    Source:
        kedacore/keda@8b4f083, pkg/scalers/cron_scaler.go, ``GetMetricsAndActivity``
    """
    begins = begins.astimezone(UTC)
    ends = begins + timedelta(seconds=length_s)
    opened = [(_fires(window.start, window.zone, begins, ends), _fires(window.end, window.zone, begins, ends))
              for window in windows]  # fmt: skip
    moments = sorted({begins, *(time for pair in opened for times in pair for time in times if time < ends)})
    rows: list[list[int]] = []
    for moment in moments:
        least, most, any_open = 0, 0, False
        for window, (starts, stops) in zip(windows, opened, strict=True):
            if _next(stops, moment) <= _next(starts, moment):
                any_open = True
                least, most = max(least, window.least), max(most, window.most)
        row = [least, most if any_open else UNBOUNDED]
        if not rows or rows[-1][1:] != row:
            rows.append([round((moment - begins).total_seconds() * _NS_PER_S), *row])
    return np.array(rows, dtype=np.int64)


def _fires(cron: Cron, zone: ZoneInfo, begins: datetime, ends: datetime) -> list[datetime]:
    """Times of a cron expression from just after ``begins`` to the first after ``ends`` [UTC], in order."""
    found: list[datetime] = []
    step = begins.replace(minute=begins.minute // _STEP_MINUTES * _STEP_MINUTES, second=0, microsecond=0)
    while step < ends + _SEARCHED:
        local = step.astimezone(zone)
        if local.hour in cron.hours and local.month in cron.months and _on_day(cron, local):
            for minute in range(_STEP_MINUTES):
                moment = step + timedelta(minutes=minute)
                if local.minute + minute in cron.minutes and moment > begins:
                    found.append(moment)
                    if moment > ends:
                        return found
        step += _STEP
    return found


def _on_day(cron: Cron, local: datetime) -> bool:
    """Whether a day fits; with both days restricted either one is enough, as cron has it."""
    day, weekday = local.day in cron.days, local.isoweekday() % 7 in cron.weekdays
    return (day and weekday) if cron.any_day or cron.any_weekday else (day or weekday)


def _next(times: list[datetime], moment: datetime) -> datetime:
    """The first of the times after a moment; the end of time when there is none."""
    place = bisect.bisect_right(times, moment)
    return times[place] if place < len(times) else datetime.max.replace(tzinfo=UTC)


def bounds(table: NDArray[np.int64], now_ns: int) -> tuple[int, int]:
    """Least and most pods at a time of the run.

    Args:
        table: Result of ``changes``.
        now_ns: Time since the beginning of the run.
    """
    place = 0
    while place + 1 < len(table) and table[place + 1, FROM_NS] <= now_ns:
        place += 1
    return int(table[place, LEAST]), int(table[place, MOST])


KERNELS = (bounds,)
"""Functions that a compiled engine adopts, callees before callers; the rest is computed once per run."""
