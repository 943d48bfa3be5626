"""A schedule keeps its least pods in its windows, by the clock of its time zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.policy import schedule

HOUR_NS = 3_600_000_000_000
KOLKATA, BERLIN = ZoneInfo("Asia/Kolkata"), ZoneInfo("Europe/Berlin")


def window(
    start: str, end: str, least: int, zone: ZoneInfo = BERLIN, most: int = schedule.UNBOUNDED
) -> schedule.Window:
    """A window of a schedule."""
    return schedule.Window(schedule.parse(start), schedule.parse(end), least, most, zone)


def hours(table: np.ndarray) -> list[tuple[float, int]]:
    """Hours since the beginning at which the least pods change."""
    return [(int(row[0]) / HOUR_NS, int(row[1])) for row in table]


def test_a_window_opens_and_closes_by_the_clock_of_its_zone() -> None:
    """06:00 to 20:00 in Kolkata (UTC+5:30) is 00:30 to 14:30 UTC."""
    begins = datetime(2026, 11, 30, tzinfo=UTC)
    table = schedule.changes([window("0 6 * * *", "0 20 * * *", 10, KOLKATA)], begins, 2 * 86_400)
    assert hours(table) == [(0, 0), (0.5, 10), (14.5, 0), (24.5, 10), (38.5, 0)]


def test_weekends_are_left_out() -> None:
    """From Friday 00:00 only Friday and Monday have the window."""
    begins = datetime(2026, 11, 27, tzinfo=BERLIN)
    table = schedule.changes([window("0 8 * * mon-fri", "0 18 * * mon-fri", 4)], begins, 4 * 86_400)
    assert hours(table) == [(0, 0), (8, 4), (18, 0), (80, 4), (90, 0)]


def test_a_run_that_begins_inside_a_window_has_its_pods_at_once() -> None:
    """A window across midnight is open at 02:00."""
    begins = datetime(2026, 11, 30, 2, tzinfo=BERLIN)
    assert hours(schedule.changes([window("0 22 * * *", "0 6 * * *", 3)], begins, 86_400)) == [(0, 3), (4, 0), (20, 3)]


def test_clocks_that_change_move_the_window() -> None:
    """On 29 March 2026 Berlin skips an hour: 08:00 is 7 hours after midnight."""
    begins = datetime(2026, 3, 29, tzinfo=BERLIN)
    table = schedule.changes([window("0 8 * * *", "0 10 * * *", 2)], begins, 12 * 3600)
    assert hours(table) == [(0, 0), (7, 2), (9, 0)]


def test_the_largest_of_the_open_windows_counts() -> None:
    """Two windows that overlap keep the larger minimum and the larger maximum."""
    begins = datetime(2026, 11, 30, tzinfo=BERLIN)
    windows = [window("0 6 * * *", "0 12 * * *", 2, most=50), window("0 8 * * *", "0 10 * * *", 5, most=20)]
    table = schedule.changes(windows, begins, 86_400)
    assert hours(table) == [(0, 0), (6, 2), (8, 5), (10, 2), (12, 0)]
    assert schedule.bounds(table, 9 * HOUR_NS) == (5, 50)
    assert schedule.bounds(table, 13 * HOUR_NS) == (0, schedule.UNBOUNDED)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 8 * *", "4 fields"),
        ("61 8 * * *", "'61' is not a minute"),
        ("0 8 * * fun", "'fun' is not a day of week"),
        ("0 9-8 * * *", "'9-8' is not a hour"),
        ("*/0 8 * * *", "'\\*/0' is not a minute"),
    ],
)
def test_a_wrong_expression_is_refused_in_words(text: str, says: str) -> None:
    """The message names the part and what would be right."""
    with pytest.raises(ValueError, match=says):
        schedule.parse(text)


def firing(text: str) -> Callable[[datetime], bool]:
    """Whether cron fires in a minute: an evaluation of its own, by sets of values."""

    def values(field: str, least: int, most: int) -> set[int]:
        allowed: set[int] = set()
        for part in field.split(","):
            span, _, step = part.partition("/")
            low, high = (least, most) if span == "*" else (int(span.split("-")[0]), int(span.split("-")[-1]))
            allowed |= set(range(low, high + 1, int(step or 1)))
        return allowed

    fields = text.split()
    bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
    minute, hour, day, month, weekday = (values(field, *bound) for field, bound in zip(fields, bounds, strict=True))
    either = "*" not in (fields[2], fields[4])

    def fires(local: datetime) -> bool:
        if local.minute not in minute or local.hour not in hour or local.month not in month:
            return False
        days = (local.day in day, local.isoweekday() % 7 in weekday)
        return any(days) if either else all(days)

    return fires


@settings(max_examples=10, deadline=None)
@given(
    st.sampled_from(["0 8 * * 1-5", "30 */6 * * *", "0 22 * * 0,6", "15 7 1-15 * *", "0 0 13 * 5", "45 5,17 * 11 *"]),
    st.sampled_from(["0 18 * * 1-5", "0 */5 * * *", "0 6 * * *", "15 9 * * *", "59 23 * * *"]),
    st.sampled_from([BERLIN, KOLKATA, ZoneInfo("America/New_York"), ZoneInfo("UTC")]),
    st.datetimes(datetime(2026, 10, 20), datetime(2026, 11, 20)),
)
def test_a_minute_is_inside_when_the_next_end_comes_before_the_next_start(
    start: str, end: str, zone: ZoneInfo, when: datetime
) -> None:
    """A walk back through two days, minute by minute, finds the same windows."""
    begins = when.replace(second=0, microsecond=0, tzinfo=UTC)
    table = schedule.changes([window(start, end, 1, zone)], begins, 2 * 86_400)
    starts, ends = firing(start), firing(end)
    inside = None
    for place in range(40 * 1440, -1, -1):
        local = (begins + timedelta(minutes=place)).astimezone(zone)
        if place < 2 * 1440:
            assert inside is not None
            assert schedule.bounds(table, place * 60 * 1_000_000_000)[0] == int(inside), local
        # The next to fire decides about the minutes before; at a tie the window is open.
        if ends(local):
            inside = True
        elif starts(local):
            inside = False
