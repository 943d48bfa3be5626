"""Whether an interval holds what was measured."""

import pytest

from kpasim.results.intervals import holds


@pytest.mark.parametrize(
    ("measured", "held"),
    [(1.0, True), (2.0, True), (2.015, True), (2.03, False), (0.992, True), (0.98, False)],
)
def test_a_value_that_the_measurement_cannot_tell_from_the_interval_is_inside(measured: float, held: bool):
    """One per cent beyond either end is inside, two are not."""
    assert holds(1.0, 2.0, measured) == held


def test_nothing_is_surer_than_a_millisecond():
    """An open loop's end is predicted to a fraction of that."""
    assert holds(0.0131, 0.0140, 0.0122)
    assert not holds(0.0131, 0.0140, 0.0115)
    assert not holds(3.0, 3.0, 4.0)
