"""A schedule keeps its least pods in its windows, by the clock of its time zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.policy import schedule

HOUR_NS = 3_600_000_000_000
KOLKATA, BERLIN = ZoneInfo("Asia/Kolkata"), ZoneInfo("Europe/Berlin")
EVERY_DAY, WORKDAYS = tuple(range(7)), tuple(range(5))


def window(
    start: float,
    end: float,
    least: int,
    zone: ZoneInfo = BERLIN,
    *,
    days: tuple[int, ...] = EVERY_DAY,
    most: int = schedule.UNBOUNDED,
) -> schedule.Window:
    """A window of a schedule, with its hours of the day."""
    return schedule.Window(days, round(start * 3600), round(end * 3600), least, most, zone)


def hours(table: np.ndarray) -> list[tuple[float, int]]:
    """Hours since the beginning at which the least pods change."""
    return [(int(row[0]) / HOUR_NS, int(row[1])) for row in table]


def test_a_window_opens_and_closes_by_the_clock_of_its_zone() -> None:
    """06:00 to 20:00 in Kolkata (UTC+5:30) is 00:30 to 14:30 UTC."""
    begins = datetime(2026, 11, 30, tzinfo=UTC)
    table = schedule.changes([window(6, 20, 10, KOLKATA)], begins, 2 * 86_400)
    assert hours(table) == [(0, 0), (0.5, 10), (14.5, 0), (24.5, 10), (38.5, 0)]


def test_weekends_are_left_out() -> None:
    """From Friday 00:00 only Friday and Monday have the window."""
    begins = datetime(2026, 11, 27, tzinfo=BERLIN)
    table = schedule.changes([window(8, 18, 4, days=WORKDAYS)], begins, 4 * 86_400)
    assert hours(table) == [(0, 0), (8, 4), (18, 0), (80, 4), (90, 0)]


def test_a_run_that_begins_inside_a_window_has_its_pods_at_once() -> None:
    """A window across midnight is open at 02:00; one that ends when it starts is always open."""
    begins = datetime(2026, 11, 30, 2, tzinfo=BERLIN)
    assert hours(schedule.changes([window(22, 6, 3)], begins, 86_400)) == [(0, 3), (4, 0), (20, 3)]
    assert hours(schedule.changes([window(8, 8, 3)], begins, 3 * 86_400)) == [(0, 3)]
    assert hours(schedule.changes([window(0, 24, 3)], begins, 3 * 86_400)) == [(0, 3)]


def test_clocks_that_change_move_the_window() -> None:
    """On 29 March 2026 Berlin skips an hour: 08:00 is 7 hours after midnight."""
    begins = datetime(2026, 3, 29, tzinfo=BERLIN)
    table = schedule.changes([window(8, 10, 2)], begins, 12 * 3600)
    assert hours(table) == [(0, 0), (7, 2), (9, 0)]


def test_a_window_that_starts_in_the_hour_that_is_skipped_starts_after_it() -> None:
    """02:30 to 03:30: on 28 March an hour, on 29 March from 03:00 on, and nothing between the two."""
    begins = datetime(2026, 3, 28, tzinfo=BERLIN)
    table = schedule.changes([window(2.5, 3.5, 3)], begins, 2 * 86_400)
    assert hours(table) == [(0, 0), (2.5, 3), (3.5, 0), (26, 3), (26.5, 0)]


def test_a_window_that_starts_in_the_hour_that_comes_twice_starts_with_the_first() -> None:
    """02:30 to 03:30 on 25 October 2026 lasts two hours."""
    begins = datetime(2026, 10, 25, tzinfo=BERLIN)
    assert hours(schedule.changes([window(2.5, 3.5, 3)], begins, 86_400)) == [(0, 0), (2.5, 3), (4.5, 0)]


def test_the_largest_of_the_open_windows_counts() -> None:
    """Two windows that overlap keep the larger minimum and the larger maximum."""
    begins = datetime(2026, 11, 30, tzinfo=BERLIN)
    windows = [window(6, 12, 2, most=50), window(8, 10, 5, most=20)]
    table = schedule.changes(windows, begins, 86_400)
    assert hours(table) == [(0, 0), (6, 2), (8, 5), (10, 2), (12, 0)]
    assert schedule.bounds(table, 9 * HOUR_NS) == (5, 50)
    assert schedule.bounds(table, 13 * HOUR_NS) == (0, schedule.UNBOUNDED)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 95),
    st.integers(0, 96),
    st.sets(st.integers(0, 6), min_size=1),
    st.sampled_from([BERLIN, KOLKATA, ZoneInfo("America/New_York"), ZoneInfo("UTC")]),
    st.sampled_from([datetime(2026, 10, 23), datetime(2026, 3, 6), datetime(2026, 3, 27), datetime(2026, 6, 1)]),
)
def test_a_window_is_open_while_the_clock_is_inside(
    start: int, end: int, days: set[int], zone: ZoneInfo, begins: datetime
) -> None:
    """Four days by quarters of an hour; hours that come twice apart, in which the clock does not tell."""
    begins = begins.replace(tzinfo=UTC)
    table = schedule.changes([window(start / 4, end / 4, 1, zone, days=tuple(days))], begins, 4 * 86_400)
    for quarter in range(4 * 96):
        moment = begins + timedelta(minutes=15 * quarter)
        local = moment.astimezone(zone)
        if local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset():
            continue
        place = local.hour * 4 + local.minute // 15
        if end > start:
            inside = start <= place < end and local.weekday() in days
        else:
            inside = (place >= start and local.weekday() in days) or (place < end and (local.weekday() - 1) % 7 in days)
        assert schedule.bounds(table, quarter * 15 * 60 * 1_000_000_000)[0] == int(inside), local
