"""Models whose truth is known are found again: see `benchmarks/calibrations.py`."""

import numpy as np
import pytest

from benchmarks import calibrations


def inside(done):
    """Share of 90 % intervals that hold the truth."""
    return np.mean([one for study in done for one in study["inside"].values()])


def test_known_truths_are_found_again(tmp_path):
    """Of one run of each kind most intervals hold the truth, no figure is missing, and no structure is invented."""
    done = [calibrations.study(number, tmp_path / str(number)) for number in range(14)]

    assert inside(done) >= 0.75
    assert not any(study["invented"] or study["missing"] for study in done)
    assert all(study["serialised found"] for study in done if study["kind"] == "serialised")


@pytest.mark.statistical
def test_of_four_hundred_truths_intervals_hold_nine_in_ten(tmp_path):
    """90 % intervals hold between 85 and 95 % of the figures; a structure is invented in at most 5 % of the runs."""
    done = [calibrations.study(number, tmp_path / str(number)) for number in range(calibrations.RUNS)]

    assert 0.85 <= inside(done) <= 0.95
    assert np.mean([bool(study["invented"]) for study in done]) <= 0.05
