"""Points that fill a cube evenly: Sobol's sequence, scrambled, the same as ``scipy.stats.qmc.Sobol`` to the last bit.

Importing ``scipy.stats`` takes longer than a hundred candidates of a search.

Source:
    Joe and Kuo, "Constructing Sobol sequences with better two-dimensional projections", SIAM J. Sci. Comput. 30 (2008):
    primitive polynomials and first direction numbers (new-joe-kuo-6.21201). Matoušek, "On the L2-discrepancy for
    anchored boxes", J. Complexity 14 (1998): the linear scramble and the shift.
"""

import numpy as np

from kpasim.arrays import Floats

BITS = 30
_DIRECTIONS = (
    (1, (1,)), (3, (1,)), (7, (1, 3)), (11, (1, 3, 1)), (13, (1, 1, 1)), (19, (1, 1, 3, 3)), (25, (1, 3, 5, 13)),
    (37, (1, 1, 5, 5, 17)), (41, (1, 1, 5, 5, 5)), (47, (1, 1, 7, 11, 19)), (55, (1, 1, 5, 1, 1)),
    (59, (1, 1, 1, 3, 11)), (61, (1, 3, 5, 5, 31)), (67, (1, 3, 3, 9, 7, 49)), (91, (1, 1, 1, 15, 21, 21)),
    (97, (1, 3, 1, 13, 27, 49)),
)  # fmt: skip
"""The polynomial of each dimension, its bits being the coefficients, and its first direction numbers."""


def sobol(dimensions: int, power: int, seed: int) -> Floats:
    """The first points of a sequence scrambled by a seed, shape ``(2**power, dimensions)``, in [0, 1)."""
    if dimensions > len(_DIRECTIONS):
        from scipy.stats import qmc

        return np.asarray(qmc.Sobol(dimensions, seed=seed).random_base2(power))
    dice = np.random.default_rng(seed)
    powers = 2 ** np.arange(BITS, dtype=np.uint32)
    point = dice.integers(2, size=(dimensions, BITS), dtype=np.uint32) @ powers
    rows = np.tril(dice.integers(2, size=(dimensions, BITS, BITS), dtype=np.uint32))
    rows[:, np.arange(BITS), np.arange(BITS)] = 1
    directions = np.array([_directions(one) for one in range(dimensions)], dtype=np.uint32)
    # Each bit of a scrambled number is the parity of the bits that a row of the matrix picks out of the plain one.
    bits = (directions[:, np.newaxis, :] >> np.arange(BITS - 1, -1, -1, dtype=np.uint32)[:, np.newaxis]) & 1
    directions = ((rows @ bits & 1) * powers[::-1, np.newaxis]).sum(axis=1, dtype=np.uint32)
    points = np.empty((2**power, dimensions), dtype=np.uint32)
    points[0] = point
    for place in range(1, len(points)):
        lowest = (place & -place).bit_length() - 1
        points[place] = points[place - 1] ^ directions[:, lowest]
    return points * 2.0**-BITS


def _directions(dimension: int) -> list[int]:
    """Direction numbers of one dimension, the first bit being the highest."""
    polynomial, numbers = _DIRECTIONS[dimension][0], list(_DIRECTIONS[dimension][1])
    degree = polynomial.bit_length() - 1
    for place in range(len(numbers), BITS):
        number = numbers[place - degree] if degree else 1
        for k in range(degree):
            if polynomial >> (degree - 1 - k) & 1:
                number ^= numbers[place - k - 1] << (k + 1)
        numbers.append(number)
    return [number << (BITS - 1 - place) for place, number in enumerate(numbers)]
