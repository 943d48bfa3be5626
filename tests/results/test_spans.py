"""Merged stretches against a count of covered milliseconds."""

import numpy as np
import pytest

from kpasim.results import frames, spans
from kpasim.results.spans import Stretches, covered, merged, together


def test_covered_lengths_are_those_of_a_count_of_milliseconds() -> None:
    """Overlaps count once, payers do not touch each other, and what lies outside of the bounds does not count."""
    dice = np.random.default_rng(7)
    for _ in range(30):
        low = dice.integers(0, 40, (1, 6)).astype(float)
        high = low + dice.integers(0, 60, (1, 6))
        low[0, 0], high[0, 0] = np.inf, -np.inf  # a payer that does not count
        one, other = (_stretches(dice, count) for count in (25, 9))

        assert np.allclose(covered(_of_rows(one), low, high), _counted([one], low, high))
        both = together(merged([one], low, high), merged([other], low, high)).lengths()
        assert np.allclose(both, _counted([one, other], low, high))


def test_payers_in_shares_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many stretches are put in order some payers at a time; their lengths are the same to the last bit."""
    dice = np.random.default_rng(3)
    low = dice.random((3, 40)) * 40
    high = low + dice.random((3, 40)) * 60
    payers = dice.integers(-1, low.size, (3, 500)).astype(np.int32)
    begins = dice.random((3, 500)) * 90
    ends = begins + dice.random((3, 500)) * 12
    begins[0, 0], ends[1, 1] = np.nan, np.nan
    stretches = _of_rows((payers, begins, ends))
    whole = covered(stretches, low, high)
    assert np.count_nonzero(whole) > 100
    for most in (1, 30, 700):
        monkeypatch.setattr(spans, "MOST_AT_ONCE", most)
        monkeypatch.setattr(frames, "PART", most)
        assert covered(stretches, low, high).tobytes() == whole.tobytes()


def _of_rows(columns: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Stretches:
    payers, begins, ends = columns
    return Stretches(payers.shape[1], lambda some: payers[:, some], lambda some: (begins[:, some], ends[:, some]))


def _stretches(dice: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    begin = dice.integers(0, 90, (1, count)).astype(float)
    end = begin + dice.integers(0, 12, (1, count))
    begin[0, 0], end[0, 1] = np.nan, np.inf
    return dice.integers(-1, 6, (1, count)), begin, end


def _counted(spans: list, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    found = np.zeros(low.shape)
    for payer in range(low.size):
        axis = np.zeros(200, dtype=bool)
        for payers, begins, ends in spans:
            for begin, end in zip(begins[payers == payer], ends[payers == payer], strict=True):
                if not np.isnan(begin) and min(end, high[0, payer]) > max(begin, low[0, payer]):
                    axis[int(max(begin, low[0, payer])) : int(min(end, high[0, payer]))] = True
        found[0, payer] = axis.sum()
    return found
