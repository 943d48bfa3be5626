"""The sample that a search begins with."""

import pytest
from scipy.stats import qmc

from kpasim.studies.search.sobol import sobol


@pytest.mark.parametrize("dimensions", [*range(1, 17), 20])
def test_points_are_those_of_scipy(dimensions: int) -> None:
    """Sobol's scrambled sequence, to the last bit, whatever the seed and the number of points."""
    for seed, power in ((0, 0), (1, 1), (7, 5), (2**40, 9)):
        expected = qmc.Sobol(dimensions, seed=seed).random_base2(power)
        assert sobol(dimensions, power, seed).tobytes() == expected.tobytes()
