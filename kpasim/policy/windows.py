"""Per-second buckets and their averages: what the autoscaler remembers of a metric.

Every revision has four rings: concurrency and requests per second, each over the stable and over the panic window.
Values that fall into the same second add up; a second that was skipped counts as zero once a later one is written.

Times are whole bucket numbers. Knative's buckets last one second, so a bucket number is the Unix second, rounded
down; a ring of longer buckets works alike when ``now_s`` and ``window_s`` are given in buckets.

Source:
    knative/serving@98e5ef9, pkg/autoscaler/aggregation/bucketing.go
"""

import math
from typing import NamedTuple

import numpy as np

from kpasim.arrays import Floats, Ints

NEVER_S = -(1 << 62)
"""A second before any other: no write has happened yet."""

FIRST, LAST = 0, 1
"""Places in ``Ring.span``."""

_WEIGHT_LEFT_OUT = 0.0001
_LEAST_COEFFICIENT = 0.2
_ALL_WHOLE = 4503599627370496.0  # 2**52: from here on every float is a whole number


class Ring(NamedTuple):
    """A ring of per-second buckets; the arrays change in place, the tuple never does.

    Attributes:
        buckets: Sum of the values of each second, shape ``(ceil(window_s),)``; second ``s`` is kept at
            ``s % len(buckets)``.
        span: First and last second written, shape ``(2,)``; ``NEVER_S`` where unset.
        total: Running sum of all buckets, shape ``(1,)``.
        window_s: Length of the window [s]. Knative allows whole seconds only, its code any length.
    """

    buckets: Floats
    span: Ints
    total: Floats
    window_s: float


def new_ring(window_s: float) -> Ring:
    """An empty ring over ``window_s`` seconds (``NewTimedFloat64Buckets``)."""
    size = math.ceil(window_s)
    return Ring(np.zeros(size), np.full(2, NEVER_S, dtype=np.int64), np.zeros(1), float(window_s))


def clear(ring: Ring) -> None:
    """Forget everything, as a new process does."""
    for place in range(len(ring.buckets)):
        ring.buckets[place] = 0.0
    ring.span[FIRST] = NEVER_S
    ring.span[LAST] = NEVER_S
    ring.total[0] = 0.0


def record(ring: Ring, now_s: int, value: float) -> None:
    """Add ``value`` to the bucket of second ``now_s``.

    A value a full window older than the latest write is dropped. A late value within the window joins its bucket, and
    if it is earlier than the first write, history starts there. After a full window of silence history starts again.

    Source: bucketing.go, ``TimedFloat64Buckets.Record``.
    """
    buckets = ring.buckets
    size = len(buckets)
    last = int(ring.span[LAST])
    if now_s == last and value == 0.0:
        return
    # Whole-number division is the dearest step here, so each second's place is worked out once.
    place = now_s % size
    if now_s != last:
        if now_s + size <= last:
            return
        if ring.span[FIRST] == NEVER_S or ring.span[FIRST] > now_s:
            ring.span[FIRST] = now_s
        if now_s > last:
            if now_s - last >= size:
                ring.span[FIRST] = now_s
                for other in range(size):
                    buckets[other] = 0.0
                ring.total[0] = 0.0
            else:
                for second in range(last + 1, now_s):
                    skipped = second % size
                    ring.total[0] -= buckets[skipped]
                    buckets[skipped] = 0.0
                ring.total[0] -= buckets[place]
                buckets[place] = 0.0
            ring.span[LAST] = now_s
    buckets[place] += value
    ring.total[0] += value


def is_empty(ring: Ring, now_s: int) -> bool:
    """Whether more than a window has passed since the last write (``TimedFloat64Buckets.IsEmpty``)."""
    return now_s - int(ring.span[LAST]) > ring.window_s


def no_data(ring: Ring, now_s: int, scraped: bool) -> bool:
    """Whether the autoscaler must skip this decision because it knows nothing of the scaling metric.

    Where the pods are not scraped, as with a target burst capacity of -1, silence means zero, not ignorance.

    Source: pkg/autoscaler/metrics/collector.go, ``MetricCollector.StableAndPanicConcurrency``.
    """
    return scraped and is_empty(ring, now_s)


def rounded(value: float) -> float:
    """``value`` to six decimals, halves away from zero (``roundToNDigits``)."""
    scaled = abs(value * 1e6)
    if not scaled < _ALL_WHOLE:
        return value * 1e6 / 1e6
    whole = float(math.floor(scaled))
    if scaled - whole >= 0.5:
        whole += 1.0
    return math.copysign(whole / 1e6, value)


def linear_average(ring: Ring, now_s: int) -> float:
    """Plain average over the seconds that still count at ``now_s``, rounded to six decimals.

    Until the window has filled, only the seconds since the first write count, so a new revision is judged on what it
    has seen. Seconds after the last write leave the divisor as well as the sum: silence does not lower the average,
    until a full window has passed and it drops to zero.

    Source: bucketing.go, ``TimedFloat64Buckets.WindowAverage``.
    """
    size = len(ring.buckets)
    last = int(ring.span[LAST])
    silent = now_s - last
    if silent >= size:
        return 0.0
    total = float(ring.total[0])
    seen = last - int(ring.span[FIRST]) + 1
    if silent <= 0:
        return rounded(total / min(seen, size))
    for second in range(last + 1, now_s + 1):
        total -= ring.buckets[second % size]
    return rounded(float(total) / min(seen, size - silent))


def weighted_average(ring: Ring, now_s: int, coefficient: float) -> float:
    """Average in which each older second weighs ``1 - coefficient`` times the next; silence lowers it.

    The weights are not normalised: the average under-reads until the window has filled.

    Source: bucketing.go, ``WeightedFloat64Buckets.WindowAverage``.
    """
    size = len(ring.buckets)
    last = int(ring.span[LAST])
    silent = max(0, now_s - last)
    if silent >= size:
        return 0.0
    keep = 1.0 - coefficient
    weight = coefficient
    if silent > 0:
        weight *= keep ** float(silent)
    average = 0.0
    place = last % size
    for _ in range(size - silent):
        average += ring.buckets[place] * weight
        weight *= keep
        place -= 1
        if place < 0:
            place = size - 1
    return float(average)


def average(ring: Ring, now_s: int, coefficient: float) -> float:
    """Window average at ``now_s``: linear when ``coefficient`` is 0, else weighted-exponential with it."""
    if coefficient == 0.0:
        return linear_average(ring, now_s)
    return weighted_average(ring, now_s, coefficient)


def smoothing_coefficient(window_s: float) -> float:
    """Weight of the latest second in the weighted-exponential average over ``window_s``.

    Chosen so that the weights of a full window add up to 0.9999, but never below 0.2.

    Source: bucketing.go, ``computeSmoothingCoeff``.
    """
    return max(1.0 - math.pow(_WEIGHT_LEFT_OUT, 1.0 / math.ceil(window_s)), _LEAST_COEFFICIENT)
