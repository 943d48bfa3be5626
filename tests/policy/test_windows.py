"""Buckets and averages."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim.policy import windows

# Silent spells and bursts, in order of time: (seconds since the previous write, value).
writes = st.lists(st.tuples(st.integers(0, 15), st.floats(0, 1e3)), min_size=1, max_size=60)


def written(window_s: float, drawn: list[tuple[int, float]]) -> tuple[windows.Ring, dict[int, float], int]:
    """A ring after some writes, the same sums by second, and the latest second."""
    ring = windows.new_ring(window_s)
    sums: dict[int, float] = {}
    now_s = 1000
    for gap_s, value in drawn:
        now_s += gap_s
        if sums and now_s - max(sums) >= window_s:
            sums = {}
        windows.record(ring, now_s, value)
        sums[now_s] = sums.get(now_s, 0.0) + value
    return ring, sums, now_s


@given(writes, st.integers(1, 20), st.integers(0, 25))
def test_the_linear_average_divides_what_counts_by_the_seconds_that_count(drawn, window_s, silent_s):
    """The running total gives what adding up the seconds of the window gives."""
    ring, sums, last_s = written(window_s, drawn)
    now_s = last_s + silent_s
    kept = [value for second, value in sums.items() if second > now_s - window_s]
    seconds = min(last_s - min(sums) + 1, window_s - silent_s)
    expected = sum(kept) / seconds if silent_s < window_s else 0.0

    assert windows.linear_average(ring, now_s) == pytest.approx(expected, abs=2e-6)


@given(writes, st.integers(1, 20), st.floats(0.2, 0.9999), st.integers(0, 25))
def test_the_weighted_average_halves_and_halves_again(drawn, window_s, coefficient, silent_s):
    """A second that is k seconds old weighs c (1 - c)^k."""
    ring, sums, last_s = written(window_s, drawn)
    now_s = last_s + silent_s
    expected = sum(
        value * coefficient * (1 - coefficient) ** (now_s - second)
        for second, value in sums.items()
        if now_s - second < window_s
    )

    assert windows.weighted_average(ring, now_s, coefficient) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(writes, st.integers(1, 20), st.integers(0, 25))
def test_the_average_lies_between_the_least_and_the_most_loaded_second(drawn, window_s, silent_s):
    """No average exceeds the busiest second of the window or falls below its quietest."""
    ring, sums, last_s = written(window_s, drawn)
    average = windows.linear_average(ring, last_s + silent_s)

    assert -1e-6 <= average <= max(sums.values()) + 1e-6
    if silent_s < window_s:
        now_s = last_s + silent_s
        seconds = range(max(min(sums), now_s - window_s + 1), last_s + 1)
        assert average >= min(sums.get(second, 0.0) for second in seconds) - 2e-6


def test_a_half_full_window_divides_by_what_it_has_seen():
    """Six seconds of ten requests average ten, not one, in a sixty-second window."""
    ring = windows.new_ring(60)
    for second in range(6):
        windows.record(ring, second, 10.0)

    assert windows.linear_average(ring, 5) == 10.0


def test_values_of_one_second_add_up():
    """Two reports in the same second count as the sum of both."""
    ring = windows.new_ring(6)
    windows.record(ring, 7, 1.0)
    windows.record(ring, 7, 4.0)

    assert windows.linear_average(ring, 7) == 5.0


def test_a_skipped_second_counts_as_zero():
    """A gap that a later write closes is a gap of zeros."""
    ring = windows.new_ring(6)
    windows.record(ring, 1, 6.0)
    windows.record(ring, 3, 6.0)

    assert windows.linear_average(ring, 3) == 4.0


def test_a_value_a_window_late_is_dropped():
    """What is a full window older than the latest write changes nothing; what is younger does."""
    ring = windows.new_ring(6)
    windows.record(ring, 10, 6.0)
    windows.record(ring, 4, 100.0)
    assert windows.linear_average(ring, 10) == 6.0

    windows.record(ring, 5, 12.0)
    assert windows.linear_average(ring, 10) == 3.0


def test_history_restarts_after_a_window_of_silence():
    """After six silent seconds, six-second averages know only what comes next."""
    ring = windows.new_ring(6)
    for second in range(6):
        windows.record(ring, second, 100.0)
    windows.record(ring, 11, 2.0)

    assert windows.linear_average(ring, 11) == 2.0


@pytest.mark.parametrize(
    ("after_s", "average"), [(0, 4.92), (1, 4.92), (10, 4.90), (30, 4.83), (50, 4.50), (58, 2.5), (59, 0.0), (60, 0.0)]
)
def test_silence_hardly_lowers_the_linear_average(after_s, average):
    """A busy revision that says 0 once and falls silent keeps its average for most of a minute."""
    ring = windows.new_ring(60)
    for second in range(100):
        windows.record(ring, second, 5.0)
    windows.record(ring, 100, 0.0)

    assert windows.linear_average(ring, 100 + after_s) == pytest.approx(average, abs=0.005)


def test_the_weighted_average_starts_low():
    """Under a constant load of 5 it reads 1.00, 1.80, 2.44 ... for it is not normalised."""
    ring = windows.new_ring(60)
    coefficient = windows.smoothing_coefficient(60)
    seen = []
    for second in range(6):
        windows.record(ring, second, 5.0)
        seen.append(round(windows.average(ring, second, coefficient), 2))

    assert seen == [1.00, 1.80, 2.44, 2.95, 3.36, 3.69]


@pytest.mark.parametrize(
    ("window_s", "coefficient"), [(6, 0.7846), (10, 0.6019), (30, 0.2644), (41, 0.2012), (42, 0.2), (60, 0.2)]
)
def test_the_smoothing_coefficient_shrinks_with_the_window_to_a_fifth(window_s, coefficient):
    """Short windows weigh the latest second more."""
    assert windows.smoothing_coefficient(window_s) == pytest.approx(coefficient, abs=5e-5)


@given(st.integers(1, 20))
def test_a_ring_is_empty_only_after_more_than_its_window(window_s):
    """A new ring is empty; a written one is not until the window has passed and another second begun."""
    ring = windows.new_ring(window_s)
    assert windows.is_empty(ring, 5)
    windows.record(ring, 5, 0.0)

    assert not windows.is_empty(ring, 5 + window_s)
    assert windows.is_empty(ring, 6 + window_s)
    assert windows.no_data(ring, 6 + window_s, True)
    assert not windows.no_data(ring, 6 + window_s, False)


@given(st.floats(-1e9, 1e9))
def test_rounding_moves_by_half_a_millionth_at_most(value):
    """Six decimals are kept."""
    assert abs(windows.rounded(value) - value) <= 0.5000001e-6 + abs(value) * 1e-15


@pytest.mark.parametrize(
    ("value", "result"),
    [(0.0000005, 0.000001), (-0.0000005, -0.000001), (1.0000015, 1.000002), (1e300, 1e300), (math.inf, math.inf)],
)
def test_halves_round_away_from_zero(value, result):
    """Where Python would round a half to the even digit, Go rounds it away from zero."""
    assert windows.rounded(value) == result


def test_two_rings_never_share_their_buckets():
    """What is written to one revision's ring stays there."""
    one, other = windows.new_ring(6), windows.new_ring(6)
    windows.record(one, 1, 5.0)

    assert windows.is_empty(other, 1)
    assert not np.shares_memory(one.buckets, other.buckets)
