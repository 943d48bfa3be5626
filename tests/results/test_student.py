"""Student's t distribution beside scipy's."""

import math

import numpy as np
import pytest
from scipy.special import stdtrit

from kpasim.results.student import half_width, t_quantile


@pytest.mark.parametrize("freedom", [1.0, 1.2, 1.5, 2.0, 2.7, 3.0, 7.5, 19.0, 63.0, 511.0, 16_383.0, 99_999.0])
@pytest.mark.parametrize("share", [0.5, 0.6, 0.9, 0.95, 0.975, 0.99, 0.995])
def test_quantiles_are_those_of_scipy(freedom: float, share: float) -> None:
    """To nine digits, for whole and broken degrees of freedom."""
    assert t_quantile(freedom, share) == pytest.approx(float(stdtrit(freedom, share)), rel=1e-9, abs=1e-15)


def test_the_interval_of_a_mean() -> None:
    """Four values 1, 2, 3, 4: standard deviation 1.2910, t 2.3534 for an interval of 90 %."""
    assert half_width(np.array([1.0, 2.0, 3.0, 4.0]), 0.95) == pytest.approx(2.3533634 * 1.2909944 / 2)
    assert math.isnan(half_width(np.array([1.0]), 0.95))
