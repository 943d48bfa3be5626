"""What the recorded code does and no run needs: several metrics or series, reservations, and memory of its own size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kpasim.policy import hpa, keda, keda_http, lookahead, routing

MAX_INT64 = 2**63 - 1
WINDOW_MS, GRANULARITY_MS = 60_000, 1_000
"""Window and granularity of the HTTP add-on where none is given."""


def rules(
    window_s: float, select: str = "Max", policies: Sequence[tuple[str, int, float]] = (("Percent", 100, 15),)
) -> hpa.Rules:
    """Rules of one direction of an HPA, windows and periods in seconds."""
    rows = [[hpa.POLICY_TYPES.index(kind), value, round(period_s * 1e9)] for kind, value, period_s in policies]
    select_code = hpa.SELECT_POLICIES.index(select)
    return hpa.Rules(round(window_s * 1e9), select_code, np.array(rows, dtype=np.int64).reshape(len(rows), 3))


def hpa_history(settings: hpa.Settings, sync_period_ns: int = 15 * 10**9) -> hpa.History:
    """An empty history with room for everything that the settings can make the controller remember."""
    windows_ns = max(settings.up.window_ns, settings.down.window_ns)
    periods_ns = (windows_ns, *(hpa.longest_period_ns(one.policies) for one in (settings.up, settings.down)))
    lists = (np.zeros((period_ns // sync_period_ns + 3, 2), dtype=np.int64) for period_ns in periods_ns)
    return hpa.History(np.array([hpa.ABSENT, 0, 0, 0], dtype=np.int64), *lists)


def series_total(values_milli: Sequence[int], *, average: bool) -> int:
    """Sum of an External metric's series; with an ``AverageValue`` a part sum below 0 is taken for an overflow.

    Source: replica_calculator.go, ``GetExternalMetricReplicas``, ``GetExternalPerPodMetricReplicas``.
    """
    total = 0
    for value in values_milli:
        total += value
        if total > MAX_INT64 or (average and total < 0):
            return MAX_INT64
    return total


def largest(proposals: Sequence[int], current: int) -> int:
    """The largest of several metrics' proposals; with a failed metric only one that does not shrink.

    Source: horizontal.go, ``computeReplicasForMetrics``.
    """
    failed = [one for one in proposals if one <= hpa.METRIC_UNAVAILABLE]
    valid = [one for one in proposals if one > hpa.METRIC_UNAVAILABLE]
    best = max(valid, default=0)
    return failed[0] if failed and (not valid or best < current) else best


def keda_state(triggers: int) -> NDArray[np.int64]:
    """State of a ScaledObject with so many triggers that was never active."""
    state = np.zeros(keda.FAILURES + triggers, dtype=np.int64)
    state[keda.LAST_ACTIVE_S] = keda.NEVER_S
    return state


def http_ring(window_ms: int = 0, granularity_ms: int = 0) -> keda_http.Ring:
    """An empty ring; a length of 0 stands for the default (bucketing.go, ``NewRequestsBuckets``)."""
    window_ms, granularity_ms = window_ms or WINDOW_MS, granularity_ms or GRANULARITY_MS
    buckets = np.zeros(-(-window_ms // granularity_ms), dtype=np.int64)
    span, total = np.full(2, keda_http.NEVER_MS, dtype=np.int64), np.zeros(1, dtype=np.int64)
    return keda_http.Ring(buckets, span, total, window_ms, granularity_ms)


def http_ring_is_empty(ring: keda_http.Ring, now_ms: int) -> bool:
    """Whether more than a window has passed since the last record (bucketing.go, ``RequestsBuckets.IsEmpty``)."""
    return keda_http.step_start(now_ms, ring.granularity_ms) - int(ring.span[keda_http.LAST]) > ring.window_ms


def http_memory(interceptors: int) -> NDArray[np.int64]:
    """What the add-on's scaler remembers of interceptors that it has not read yet."""
    return np.full((interceptors, 2), keda_http.UNKNOWN, dtype=np.int64)


def lookahead_history(settings: lookahead.Settings, periods: int = 7) -> lookahead.History:
    """A history that has seen nothing and remembers so many earlier periods."""
    owner = np.arange(periods + 1, dtype=np.int64) - (periods + 1)
    slots = np.zeros(((periods + 1) * lookahead.slots_of(settings), 2))
    return lookahead.History(slots, owner, np.zeros(periods + 1))


def slice_of(pods: Sequence[int], index: int, activators: int) -> list[int]:
    """The pods assigned to one activator, in the order in which it looks at them (throttler.go, ``assignSlice``)."""
    begin, end, extra = routing.slice_bounds(len(pods), index, activators)
    return [*pods[begin:end], *([pods[extra]] if extra >= 0 else [])]


def reserve(breaker: NDArray[np.int64]) -> bool:
    """Take a slot without waiting, where there is one (breaker.go, ``Breaker.Reserve``)."""
    full = breaker[routing.IN_FLIGHT] == breaker[routing.TOTAL_SLOTS]
    if full or breaker[routing.RUNNING] >= breaker[routing.CAPACITY]:
        return False
    breaker[routing.IN_FLIGHT] += 1
    breaker[routing.RUNNING] += 1
    return True
