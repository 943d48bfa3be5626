"""Rates that change, what they add up to, and the way back."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kpasim.spec.rates import Ramp, Rate, Steps, Wave

LENGTHS = st.floats(0.5, 5000.0)
RATES = st.floats(0.0, 50.0)
STEPS = st.lists(st.tuples(RATES, LENGTHS), min_size=1, max_size=6).map(
    lambda rows: Steps([rate for rate, _ in rows], [length for _, length in rows])
)
RAMPS = st.builds(Ramp, RATES, RATES, LENGTHS)
WAVES = st.builds(Wave, st.floats(0.01, 50.0), st.floats(0.0, 1.0), LENGTHS, st.floats(0.0, 5000.0), LENGTHS)


def rate_at(rate: Rate, times_s: np.ndarray) -> np.ndarray:
    """Requests per second at some times, from the definition."""
    if isinstance(rate, Steps):
        place = np.searchsorted(np.cumsum(rate.lengths_s), times_s, side="right")
        return np.asarray(rate.rates)[np.minimum(place, len(rate.rates) - 1)]
    if isinstance(rate, Ramp):
        return rate.first + (rate.last - rate.first) * times_s / rate.length_s
    assert isinstance(rate, Wave)
    return rate.mean * (1 + rate.amplitude * np.sin(2 * math.pi * (times_s + rate.phase_s) / rate.period_s))


def length_of(rate: Rate) -> float:
    """How long a rate lasts."""
    return sum(rate.lengths_s) if isinstance(rate, Steps) else rate.length_s  # type: ignore[attr-defined]


@settings(deadline=None)
@given(st.one_of(STEPS, RAMPS, WAVES), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
@example(Ramp(0.0, 1.4e-132, 1.0), [0.5, 1.4e-132])
def test_times_ascend_within_the_load(rate: Rate, shares: list[float]) -> None:
    """More expected requests never come earlier, nor outside the load."""
    times_s = rate.when(np.sort(shares) * rate.total)

    assert np.isfinite(times_s).all()
    assert (np.diff(times_s) >= -1e-9 * length_of(rate)).all()
    assert times_s.min() >= 0.0
    assert times_s.max() <= length_of(rate)


@settings(deadline=None)
@given(st.one_of(STEPS, RAMPS, WAVES), st.floats(0.0, 1.0))
def test_the_rate_adds_up_to_what_is_expected(rate: Rate, share: float) -> None:
    """The integral of the rate up to a time is the number that led to this time."""
    expected = share * rate.total
    time_s = float(rate.when(np.array([expected]))[0])
    edges_s = np.append(np.linspace(0.0, time_s, 4001), np.cumsum(getattr(rate, "lengths_s", [])))
    edges_s = np.unique(np.minimum(edges_s, time_s))
    middle_s = 0.5 * (edges_s[1:] + edges_s[:-1])
    summed = float(np.sum(rate_at(rate, middle_s) * np.diff(edges_s)))

    turns = time_s / rate.period_s if isinstance(rate, Wave) else 0.0
    if turns < 200:
        assert summed == pytest.approx(expected, rel=1e-3, abs=1e-3 * (1 + turns))


def test_a_pause_is_left_out() -> None:
    """Two a second for ten seconds, a pause, one a second: the 20th comes before the pause, the 21st after it."""
    rate = Steps([2.0, 0.0, 1.0], [10.0, 30.0, 5.0])

    assert rate.total == 25.0
    assert rate.when(np.array([1.0, 20.0, 21.0, 25.0])).tolist() == [0.5, 10.0, 41.0, 45.0]


def test_a_wave_of_full_swing_stands_still_at_night() -> None:
    """Half of the requests have come at noon, though the rate is 0 at midnight."""
    rate = Wave(mean=1.0, amplitude=1.0, period_s=86400.0, phase_s=-21600.0 % 86400.0, length_s=86400.0)

    assert rate.total == pytest.approx(86400.0)
    assert rate.when(np.array([0.0, 43200.0, 86400.0])) == pytest.approx([0.0, 43200.0, 86400.0], abs=20.0)
