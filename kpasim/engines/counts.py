"""Counts of latencies in place of the latencies: log-spaced buckets, so that a percentile costs no memory per request.

Each doubling is cut into ``PER_DOUBLING`` buckets of equal width. A bucket stands for its middle, which is at most
``ERROR`` (relative) away from every latency in it. Counts are whole numbers: neither the order of the latencies nor the
way in which runs are put together changes a percentile.
"""

from collections.abc import Sequence

import numpy as np

from kpasim.arrays import Floats, Ints

PER_DOUBLING = 128
BUCKETS = 64 * PER_DOUBLING
"""Enough for every latency that fits into int64."""
_BITS = 8
"""Bits of a latency that tell its bucket: PER_DOUBLING is 2**7, and the first bit is always set."""
ERROR = 0.5 / PER_DOUBLING
"""Largest relative error of a latency that is told from its bucket: 0.39 %."""


def bucket_of(latency_ns: int) -> int:
    """The bucket of a latency; all below 1 ns share the first."""
    if latency_ns < 1:
        return 0
    # The place of the highest bit, and the seven bits below it.
    exponent = 1
    leading = latency_ns
    for width in (32, 16, 8, 4, 2, 1):
        if leading >> width:
            leading >>= width
            exponent += width
    fraction = (latency_ns << _BITS) >> exponent if exponent <= _BITS else latency_ns >> (exponent - _BITS)
    return exponent * PER_DOUBLING + fraction - PER_DOUBLING


def middles_s(buckets: Ints) -> Floats:
    """The latency [s] that each of ``buckets`` stands for."""
    exponent, place = np.divmod(buckets, PER_DOUBLING)
    return np.where(buckets == 0, 0.0, np.ldexp(0.5 + (place + 0.5) / (2 * PER_DOUBLING), exponent) / 1e9)


def percentiles_s(counts: Ints, ranks: Sequence[float], infinite: int = 0) -> Floats:
    """Percentiles [s] from counts, by linear interpolation between the two latencies around each rank.

    Args:
        counts: How many latencies are in each bucket, shape ``(BUCKETS,)``.
        ranks: Percentiles wanted, 0 to 100.
        infinite: Further latencies that are infinite.

    Returns:
        Shape ``(len(ranks),)``, each within ``ERROR`` of what the latencies themselves would give; ``NaN`` for no
        latency.
    """
    ends = np.cumsum(counts)
    last = int(ends[-1]) + infinite - 1
    if last < 0:
        return np.full(len(ranks), np.nan)
    place = last * (np.asarray(ranks, dtype=np.float64) / 100)
    below = np.floor(place).astype(np.int64)
    above = np.where(place > below, below + 1, below)
    lower, upper = (
        np.where(rank < ends[-1], middles_s(np.searchsorted(ends, rank, side="right")), np.inf)
        for rank in (below, above)
    )
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(lower) & (place > below), lower + (upper - lower) * (place - below), lower)


KERNELS = (bucket_of,)
