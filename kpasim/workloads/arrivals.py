"""Arrivals of open loops: send times as pure functions of uniform numbers, and out of files."""

import math
from collections.abc import Iterator

import numpy as np

from kpasim.arrays import Ints
from kpasim.spec import rates
from kpasim.spec.rates import Uniforms
from kpasim.spec.workload import FILE_KINDS, Observed, OpenLoop, Rated


def arrivals(workload: OpenLoop, uniforms: Uniforms) -> Ints:
    """When requests are sent, from the start of the load [ns]: ascending, shape ``(requests,)``.

    Equidistant requests come whenever the rate has added up to another whole number, so the first one comes after one
    distance. Batches begin at once. Of a trace known to the second, the minute or the scrape interval, the place within
    it is drawn.

    Raises:
        RecordError: A file that the workload replays cannot be read.
    """
    # What reads files of many formats is imported where a load comes out of one.
    if isinstance(workload, Observed):
        from kpasim.workloads.observed import sent_s

        times_s = sent_s(workload, uniforms)
    elif isinstance(workload, FILE_KINDS):
        from kpasim.workloads.recorded import recording

        recorded = recording(workload)
        times_s = recorded.sent_s
        if recorded.grain_s:
            times_s = np.sort(times_s + uniforms(len(times_s), 0) * recorded.grain_s / workload.speed)
    else:
        times_s = workload.times_s(uniforms)
    # Rounding must not let a request overtake another.
    times_ns = times_s * 1e9
    sent_ns = np.floor(times_ns, out=times_ns).astype(np.int64)
    return np.maximum.accumulate(sent_ns, out=sent_ns)


def in_parts(workload: Rated, uniforms: Uniforms, size: int) -> Iterator[Ints]:
    """What ``arrivals`` returns for a load that has a rate, ``size`` requests at a time, at the end fewer."""
    rate, poisson = workload.rate_of_time(uniforms), workload.is_random
    total, first, before, latest_ns = rate.total, 0, 0.0, 0
    while True:
        if poisson:
            # Added up one by one, as if there were no parts.
            sums = np.cumsum(np.concatenate(([before], -np.log1p(-uniforms(size, first)))))[1:]
            before, expected = float(sums[-1]), sums[sums < total]
        else:
            until = min(first + size, math.floor(total + rates.ROUNDING))
            expected = np.arange(first + 1.0, until + 1.0)
        if len(expected):
            times_ns = np.floor(rate.when(expected) * 1e9).astype(np.int64)
            times_ns = np.maximum.accumulate(np.maximum(times_ns, latest_ns))
            latest_ns = int(times_ns[-1])
            yield times_ns
        if len(expected) < size:
            return
        first += size


def most_arrivals(workload: OpenLoop) -> int:
    """A number of requests that no replication exceeds, but for one in 10**15.

    Raises:
        RecordError: A file that the workload replays cannot be read.
    """
    if isinstance(workload, Observed):
        from kpasim.workloads.observed import counts_of

        return int(counts_of(workload).requests.sum())
    if isinstance(workload, FILE_KINDS):
        from kpasim.workloads.recorded import recording

        return len(recording(workload).sent_s)
    return workload.most_requests()
