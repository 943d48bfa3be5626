"""KEDA's HTTP add-on: what interceptors count, and the concurrency and request rate that its scaler makes of it.

Requests pass through interceptors, which hold them while no pod is ready. Each counts its requests in flight and all
requests ever (``enter``, ``leave``). At each tick the scaler reads all interceptors (``read``): the sum of
their requests in flight is the concurrency **at that moment**, and the differences of the other counts go into a ring
of buckets whose average is the request rate. A metric above 0 is active, and KEDA hears of it at the scaler's next
message; between one pod and the maximum the HPA decides on an ``AverageValue`` (``kpasim.policy.hpa``).

State: a ``Ring`` for a service, and per interceptor a row of two counts (``enter``) and a row of what the scaler
remembers, ``UNKNOWN`` at first. Times are Unix milliseconds.

Source:
    kedacore/http-add-on@59b2f6a, pkg/queue/bucketing.go, pkg/queue/queue.go, scaler/queue_pinger.go,
    scaler/handlers.go
"""

import math
from typing import NamedTuple

from kpasim.arrays import Ints

IN_FLIGHT, EVER = 0, 1
"""Columns of an interceptor's counts."""
FIRST, LAST = 0, 1
"""Places in ``Ring.span``."""
NEVER_MS = -(1 << 62)
"""A time before any other: nothing was recorded yet."""
UNKNOWN = -1
"""The scaler remembers nothing of an interceptor."""

COUNTED, NOT_COUNTED, UNREACHABLE, GONE = 0, 1, 2, 3
"""How an interceptor was found: it counts the service, or does not know it, or did not respond, or is no more."""

_YEAR_1_MS = 62_135_596_800_000  # Go truncates times from 1 January of year 1
_PLACES = 1000.0


class Ring(NamedTuple):
    """A ring of request counts; the arrays change in place, the tuple never does.

    Attributes:
        buckets: Requests of each step, shape ``(ceil(window / granularity),)``.
        span: Start of the first and of the last step written [ms], shape ``(2,)``; ``NEVER_MS`` where unset.
        total: Sum of all buckets, shape ``(1,)``.
        window_ms: Length of the window.
        granularity_ms: Length of a step, whole seconds.
    """

    buckets: Ints
    span: Ints
    total: Ints
    window_ms: int
    granularity_ms: int


def enter(row: Ints, requests: int) -> None:
    """Requests reach an interceptor (queue.go, ``Memory.Increase``)."""
    row[IN_FLIGHT] += requests
    row[EVER] += requests


def leave(row: Ints, requests: int) -> None:
    """Requests leave an interceptor; the count stops at 0 (queue.go, ``Memory.Decrease``)."""
    if row[IN_FLIGHT] > 0:
        row[IN_FLIGHT] = max(0, row[IN_FLIGHT] - requests)


def step_start(now_ms: int, granularity_ms: int) -> int:
    """Start of the step that holds ``now_ms`` [ms]."""
    return now_ms - (now_ms + _YEAR_1_MS) % granularity_ms


def step_number(now_ms: int, granularity_ms: int) -> int:
    """Number of a step, counted from 1970 (bucketing.go, ``timeToIndex``)."""
    return now_ms // 1000 // (granularity_ms // 1000)


def record(ring: Ring, now_ms: int, requests: int) -> None:
    """Add requests to the step of ``now_ms`` (bucketing.go, ``RequestsBuckets.Record``)."""
    begin = step_start(now_ms, ring.granularity_ms)
    number = step_number(now_ms, ring.granularity_ms)
    size = len(ring.buckets)
    last = int(ring.span[LAST])
    if begin != last:
        if begin + ring.window_ms <= last:
            return
        if ring.span[FIRST] == NEVER_MS or ring.span[FIRST] > begin:
            ring.span[FIRST] = begin
        if begin > last:
            if begin - last >= ring.window_ms:
                ring.span[FIRST] = begin
                ring.total[0] = 0
                for place in range(size):
                    ring.buckets[place] = 0
            else:
                for step in range(step_number(last, ring.granularity_ms) + 1, number + 1):
                    ring.total[0] -= ring.buckets[step % size]
                    ring.buckets[step % size] = 0
            ring.span[LAST] = begin
    ring.buckets[number % size] += requests
    ring.total[0] += requests


def average(ring: Ring, now_ms: int) -> float:
    """Requests per step, averaged over the steps seen so far, rounded to three decimals.

    Silence lowers the sum but not the number of steps, until a full window has passed without a record.

    Source: bucketing.go, ``RequestsBuckets.WindowAverage``.
    """
    now = step_start(now_ms, ring.granularity_ms)
    last = int(ring.span[LAST])
    silent = now - last
    if silent >= ring.window_ms and silent > 0:
        return 0.0
    size = len(ring.buckets)
    total = int(ring.total[0])
    if silent > 0:
        first = step_number(last, ring.granularity_ms) + 1
        for step in range(first, step_number(now, ring.granularity_ms) + 1):
            total -= ring.buckets[step % size]
    steps = min((last - int(ring.span[FIRST])) // ring.granularity_ms + 1, size)
    # Go rounds halves away from zero; round() would send them to the even digit.
    return math.floor(total / steps * _PLACES + 0.5) / _PLACES


def read(ring: Ring, memory: Ints, found: Ints, counts: Ints, now_ms: int) -> tuple[bool, int, float]:
    """One reading of all interceptors for one service.

    The first reading of an interceptor gives no rate. One that does not respond keeps its last concurrency and adds no
    rate. When none responds at all, do not call this: the old result stands.

    Args:
        ring: Changed in place.
        memory: Last counts of each interceptor, shape ``(n, 2)``, ``UNKNOWN`` before a reading; changed in place.
        found: How each interceptor was found, shape ``(n,)``.
        counts: Requests in flight and ever of each, shape ``(n, 2)``; used where found is ``COUNTED``.
        now_ms: Time of the reading.

    Returns:
        Whether any interceptor knows the service (if not, its ring is forgotten); concurrency; requests per second.

    Source: queue_pinger.go, ``fetchAndSaveCounts``.
    """
    known = False
    concurrency = requests = 0
    for place in range(len(found)):
        if found[place] == COUNTED:
            ever = int(counts[place, EVER])
            before = int(memory[place, EVER])
            if before != UNKNOWN:
                # A smaller count than before: the interceptor has started anew.
                requests += ever - before if ever >= before else ever
            memory[place, IN_FLIGHT] = counts[place, IN_FLIGHT]
            memory[place, EVER] = ever
        elif found[place] != UNREACHABLE:
            memory[place, IN_FLIGHT] = UNKNOWN
            memory[place, EVER] = UNKNOWN
        if memory[place, IN_FLIGHT] != UNKNOWN:
            known = True
            concurrency += int(memory[place, IN_FLIGHT])
    if not known:
        return False, 0, 0.0
    record(ring, now_ms, requests)
    return True, concurrency, average(ring, now_ms)
