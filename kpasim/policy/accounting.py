"""Time-weighted concurrency, as queue-proxy and activator report it.

Statistics of one pod's queue-proxy, or of one revision at one activator, are a row of int64 numbers. Integrals are
whole request-nanoseconds, so they add up alike in any order.

Source:
    knative/serving@98e5ef9, vendor/knative.dev/networking/pkg/http/stats/request.go,
    pkg/queue/protobuf_stats_reporter.go, pkg/activator/handler/concurrency_reporter.go
"""

from kpasim.arrays import Ints

# Columns of a row.
CONCURRENCY = 0
"""Requests inside."""
PROXIED = 1
"""Of these, requests that came through an activator."""
CHANGED_NS = 2
"""Time up to which the integrals are complete."""
INTEGRAL = 3
"""Concurrency summed over the interval [request-ns]."""
PROXIED_INTEGRAL = 4
"""The same of proxied requests [request-ns]."""
BEGUN_NS = 5
"""When the interval began."""
COUNT = 6
"""Arrivals in the interval."""
PROXIED_COUNT = 7
"""Proxied arrivals in the interval."""
FIRST = 8
"""Activator only: 1 until the first report after an immediate message."""
REFERENCES = 9
"""Activator only: requests that hold the entry."""
ALIVE = 10
"""Activator only: 1 while the revision has an entry."""
EARLIER_INTEGRAL = 11
"""Concurrency summed over all intervals before this one [request-ns]."""

COLUMNS = 16
"""Length of a row: two lines of the processor's cache, of which requests ask for the first only."""


def start(row: Ints, now_ns: int) -> None:
    """Begin statistics at ``now_ns`` with nothing inside (request.go, ``NewRequestStats``)."""
    row[EARLIER_INTEGRAL] += row[INTEGRAL]
    for column in range(EARLIER_INTEGRAL):
        row[column] = 0
    row[CHANGED_NS] = row[BEGUN_NS] = now_ns


def advance(row: Ints, now_ns: int) -> None:
    """Complete the integrals up to ``now_ns``; a time that steps back changes nothing.

    Source: request.go, ``RequestStats.compute``.
    """
    passed_ns = now_ns - row[CHANGED_NS]
    if passed_ns > 0:
        row[INTEGRAL] += row[CONCURRENCY] * passed_ns
        row[PROXIED_INTEGRAL] += row[PROXIED] * passed_ns
        row[CHANGED_NS] = now_ns


def lifetime_integral(row: Ints, now_ns: int) -> int:
    """Concurrency summed from when the row was made until ``now_ns`` [request-ns]."""
    advance(row, now_ns)
    return int(row[EARLIER_INTEGRAL] + row[INTEGRAL])


def enter(row: Ints, now_ns: int, proxied: bool) -> None:
    """Count a request that arrives at ``now_ns``; ``proxied`` if an activator sent it.

    Source: request.go, ``RequestStats.HandleEvent``.
    """
    advance(row, now_ns)
    row[CONCURRENCY] += 1
    row[COUNT] += 1
    if proxied:
        row[PROXIED] += 1
        row[PROXIED_COUNT] += 1


def leave(row: Ints, now_ns: int, proxied: bool) -> None:
    """Take out a request that ends at ``now_ns``; ``proxied`` as when it entered.

    Source: request.go, ``RequestStats.HandleEvent``.
    """
    advance(row, now_ns)
    row[CONCURRENCY] -= 1
    if proxied:
        row[PROXIED] -= 1


def cut(row: Ints, now_ns: int) -> tuple[float, float, int, int]:
    """Close the interval at ``now_ns`` and begin the next one.

    Returns:
        Average concurrency, average proxied concurrency (both 0 for an interval without length), arrivals, and
        proxied arrivals of the interval.

    Source: request.go, ``RequestStats.Report``.
    """
    advance(row, now_ns)
    concurrency = 0.0
    proxied = 0.0
    if row[CHANGED_NS] > row[BEGUN_NS]:
        # Both sides become floats first: Python would divide large whole numbers more exactly than compiled code.
        in_use_ns = float(row[CHANGED_NS] - row[BEGUN_NS])
        concurrency = float(row[INTEGRAL]) / in_use_ns
        proxied = float(row[PROXIED_INTEGRAL]) / in_use_ns
    count = int(row[COUNT])
    proxied_count = int(row[PROXIED_COUNT])
    row[EARLIER_INTEGRAL] += row[INTEGRAL]
    row[INTEGRAL] = 0
    row[PROXIED_INTEGRAL] = 0
    row[BEGUN_NS] = row[CHANGED_NS]
    row[COUNT] = 0
    row[PROXIED_COUNT] = 0
    return concurrency, proxied, count, proxied_count


def per_second(count: int, period_s: float) -> float:
    """Arrivals as queue-proxy publishes them: per second of its nominal reporting period, not of the real interval.

    Source: protobuf_stats_reporter.go, ``ProtobufStatsReporter.Report``.
    """
    return float(count) / period_s


def activator_enter(row: Ints, now_ns: int) -> bool:
    """Count a request that arrives at the activator.

    Returns:
        Whether the activator tells the autoscaler at once (concurrency 1, one arrival), because it had no entry for
        the revision. A row of zeros is such a revision.

    Source: concurrency_reporter.go, ``ConcurrencyReporter.getOrCreateStat``.
    """
    unknown = row[ALIVE] == 0
    if unknown:
        start(row, now_ns)
        row[FIRST] = 1
        row[ALIVE] = 1
    row[REFERENCES] += 1
    enter(row, now_ns, False)
    return bool(unknown)


def activator_leave(row: Ints, now_ns: int) -> None:
    """Take out a request that ends at the activator.

    Source: concurrency_reporter.go, ``ConcurrencyReporter.handleRequestOut``.
    """
    leave(row, now_ns, False)
    row[REFERENCES] -= 1


def activator_report(row: Ints, now_ns: int) -> tuple[float, int, bool]:
    """Cut the activator's periodic report for a revision that has an entry (``row[ALIVE]``).

    Returns:
        Average concurrency and arrivals, both less the request already told in the immediate message; and whether the
        entry lives on. It is dropped after an interval without activity.

    Source: concurrency_reporter.go, ``ConcurrencyReporter.computeReport``.
    """
    concurrency, _, count, _ = cut(row, now_ns)
    first = int(row[FIRST])
    row[FIRST] = 0
    if concurrency == 0.0 and row[REFERENCES] == 0:
        row[ALIVE] = 0
    return max(concurrency - first, 0.0), count - first, bool(row[ALIVE] != 0)
