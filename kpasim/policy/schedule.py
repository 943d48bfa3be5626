"""A schedule: least and most pods by time of day and weekday, in a time zone.

Outside the tick, ``changes`` turns all windows into one table for a run; in the tick ``bounds`` reads it.

Source:
    ``instanceBounds`` of ACK's AHPA for the upper bound
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from kpasim.arrays import Ints

UNBOUNDED = (1 << 31) - 1
"""No upper bound."""

FROM_NS, LEAST, MOST = 0, 1, 2
"""Columns of the table of ``changes``."""

_NS_PER_S = 1_000_000_000
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)


class Window(NamedTuple):
    """A time in which at least (and at most) so many pods are kept.

    Attributes:
        days: Weekdays on which it opens, 0 for Monday.
        start_s: Time of day at which it opens, whole minutes [s].
        end_s: Time of day at which it closes [s]; on the next day where it is not after ``start_s``.
        least: Least pods while it is open.
        most: Most pods while it is open, ``UNBOUNDED`` for no bound.
        zone: Time zone of both.
    """

    days: tuple[int, ...]
    start_s: int
    end_s: int
    least: int
    most: int
    zone: ZoneInfo


def changes(windows: Sequence[Window], begins: datetime, length_s: float) -> Ints:
    """The bounds of a run, whenever they change.

    While several windows are open, the largest of their least pods and of their most pods count.

    Args:
        windows: Windows of the schedule.
        begins: Time at which the run begins, with a time zone.
        length_s: Length of the run [s].

    Returns:
        Rows of a time since the beginning [ns], least and most pods, shape ``(n, 3)``, ``n >= 1``; the first at 0.
    """
    begins = begins.astimezone(UTC)
    ends = begins + timedelta(seconds=length_s)
    spans = [(window, *span) for window in windows for span in _spans(window, begins, ends)]
    moments = {begins, *(moment for _, *span in spans for moment in span if begins < moment < ends)}
    rows: list[list[int]] = []
    for moment in sorted(moments):
        there = [window for window, opens, closes in spans if opens <= moment < closes]
        row = [max((window.least for window in there), default=0),
               max((window.most for window in there), default=UNBOUNDED)]  # fmt: skip
        if not rows or rows[-1][1:] != row:
            rows.append([round((moment - begins).total_seconds() * _NS_PER_S), *row])
    return np.array(rows, dtype=np.int64)


def _spans(window: Window, begins: datetime, ends: datetime) -> Iterator[tuple[datetime, datetime]]:
    """When a window opens and closes, from two days before ``begins`` to ``ends`` [UTC]."""
    day = datetime.combine(begins.astimezone(window.zone), time()) - 2 * _DAY
    while day <= datetime.combine(ends.astimezone(window.zone), time()):
        if day.weekday() in window.days:
            closing = day if window.end_s > window.start_s else day + _DAY
            opens, closes = (
                _moment(midnight + timedelta(seconds=seconds), window.zone)
                for midnight, seconds in ((day, window.start_s), (closing, window.end_s))
            )
            if opens < closes:
                yield opens, closes
        day += _DAY


def _moment(clock: datetime, zone: ZoneInfo) -> datetime:
    """When the clocks of a zone first show a time, or a later one where they skip it [UTC]."""
    moment = clock.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == clock:
        return moment
    moment = clock.replace(tzinfo=zone, fold=1).astimezone(UTC)  # still before the clocks change
    while moment.astimezone(zone).replace(tzinfo=None) < clock:
        moment += _MINUTE
    return moment


def bounds(table: Ints, now_ns: int) -> tuple[int, int]:
    """Least and most pods at a time since the beginning of the run, by the table of ``changes``."""
    place = 0
    while place + 1 < len(table) and table[place + 1, FROM_NS] <= now_ns:
        place += 1
    return int(table[place, LEAST]), int(table[place, MOST])
