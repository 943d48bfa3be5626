"""Arrivals of open loops: send times as pure functions of uniform numbers.

The n-th uniform number belongs to the n-th request (to the n-th batch or change of rate where there are such), so a
workload of another rate under the same seed meets the same luck.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from kpasim.spec import workload as spec
from kpasim.workloads import rates
from kpasim.workloads.recorded import recording

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Uniforms = Callable[[int, int], Floats]
"""``uniforms(count, first)``: uniform numbers ``first .. first + count - 1`` in (0, 1)."""

OpenLoop = (
    spec.Constant
    | spec.Poisson
    | spec.Steps
    | spec.Ramp
    | spec.Diurnal
    | spec.Bursts
    | spec.Batches
    | spec.Replay
    | spec.GenTD26
)

STATES = 1 << 40
"""Index of the first uniform number that changes of rate draw on, far from those of requests."""


def arrivals(workload: OpenLoop, uniforms: Uniforms) -> Ints:
    """When requests are sent.

    Equidistant requests come whenever the rate has added up to another whole number, so the first one comes after one
    distance. Batches begin at once. Of a trace known to the second or the minute, the place within it is drawn.

    Args:
        workload: Any open loop.
        uniforms: Where uniform numbers come from.

    Returns:
        Times from the start of the load [ns], ascending, shape ``(requests,)``.

    Raises:
        RecordError: A file that the workload replays cannot be read.
    """
    if isinstance(workload, spec.Replay | spec.GenTD26):
        recorded = recording(workload)
        times_s = recorded.sent_s
        if recorded.grain_s:
            times_s = np.sort(times_s + uniforms(len(times_s), 0) * recorded.grain_s / workload.speed)
    elif isinstance(workload, spec.Batches):
        steady = rates.Steps([1.0 / workload.every_s], [workload.duration_s])
        further = _events(steady, uniforms, poisson=workload.arrivals == "poisson")
        # A batch at the very end would be one too many.
        starts_s = np.concatenate(([0.0], further[further < workload.duration_s * (1.0 - rates.ROUNDING)]))
        times_s = np.repeat(starts_s, workload.size)
    elif isinstance(workload, spec.Bursts):
        times_s = _events(_bursts(workload, uniforms), uniforms, poisson=True)
    else:
        times_s = _events(rate_of(workload), uniforms, poisson=_random(workload))
    # Rounding must not let a request overtake another.
    return np.maximum.accumulate(np.floor(times_s * 1e9).astype(np.int64))


def has_parts(workload: object) -> bool:
    """Whether a workload's requests can be made a few at a time: an open loop that has a rate."""
    return isinstance(
        workload, spec.Constant | spec.Poisson | spec.Steps | spec.Ramp | spec.Diurnal | spec.Bursts
    )  # fmt: skip


def in_parts(workload: OpenLoop, uniforms: Uniforms, size: int) -> Iterator[Ints]:
    """What ``arrivals`` returns, ``size`` requests at a time.

    Args:
        workload: An open loop for which ``has_parts`` is true.
        uniforms: Where uniform numbers come from.
        size: Requests of each part but the last one.
    """
    assert not isinstance(workload, spec.Replay | spec.GenTD26 | spec.Batches)
    if isinstance(workload, spec.Bursts):
        rate: rates.Rate = _bursts(workload, uniforms)
        poisson = True
    else:
        rate, poisson = rate_of(workload), _random(workload)
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
    if isinstance(workload, spec.Replay | spec.GenTD26):
        return len(recording(workload).sent_s)
    if isinstance(workload, spec.Batches):
        batches = workload.duration_s / workload.every_s
        return workload.size * (1 + (_most(batches) if workload.arrivals == "poisson" else math.ceil(batches)))
    if isinstance(workload, spec.Bursts):
        return _most(workload.high * workload.duration_s)
    expected = rate_of(workload).total
    return _most(expected) if _random(workload) else math.floor(expected + rates.ROUNDING)


def rate_of(workload: spec.Constant | spec.Poisson | spec.Steps | spec.Ramp | spec.Diurnal) -> rates.Rate:
    """The request rate of a workload that has a certain one."""
    if isinstance(workload, spec.Steps):
        return rates.Steps([one.rate for one in workload.phases], [one.duration_s for one in workload.phases])
    if isinstance(workload, spec.Ramp):
        return rates.Ramp(workload.from_rate, workload.to_rate, workload.duration_s)
    if isinstance(workload, spec.Diurnal):
        return rates.Wave(workload.mean, workload.amplitude, workload.period_s, workload.phase_s, workload.duration_s)
    return rates.Steps([workload.rate], [workload.duration_s])


def _random(workload: spec.Constant | spec.Poisson | spec.Steps | spec.Ramp | spec.Diurnal) -> bool:
    if isinstance(workload, spec.Constant | spec.Poisson):
        return isinstance(workload, spec.Poisson)
    return workload.arrivals == "poisson"


def _most(mean: float) -> int:
    """More than a Poisson number of this mean ever is."""
    return math.ceil(mean + 9.0 * math.sqrt(mean) + 30.0)


def _events(rate: rates.Rate, uniforms: Uniforms, *, poisson: bool) -> Floats:
    """Times [s] of events of this rate, at random or at equal distances in what is expected."""
    total = rate.total
    if not poisson:
        return rate.when(np.arange(1.0, math.floor(total + rates.ROUNDING) + 1.0))
    expected = _ascending(total, 1.0, uniforms, 0)
    return rate.when(expected[expected < total])


def _ascending(until: float, mean: float, uniforms: Uniforms, first: int) -> Floats:
    """Sums of exponential times of a mean, at least up to ``until``."""
    count = _most(until / mean)
    while True:
        sums = np.cumsum(-mean * np.log1p(-uniforms(count, first)))
        if sums[-1] >= until:
            return np.asarray(sums, dtype=np.float64)
        count *= 2


def _bursts(workload: spec.Bursts, uniforms: Uniforms) -> rates.Steps:
    """A drawn sequence of low and high stretches; which comes first is drawn by how long each lasts."""
    mean_s = (workload.low_for_s, workload.high_for_s)
    high_first = bool(uniforms(1, STATES)[0] < mean_s[1] / (mean_s[0] + mean_s[1]))
    count = _most(2.0 * workload.duration_s / (mean_s[0] + mean_s[1]))
    while True:
        high = (np.arange(count) + high_first) % 2 == 1
        lengths_s = -np.where(high, mean_s[1], mean_s[0]) * np.log1p(-uniforms(count, STATES + 1))
        ends_s = np.cumsum(lengths_s)
        if ends_s[-1] >= workload.duration_s:
            break
        count *= 2
    used = int(np.searchsorted(ends_s, workload.duration_s)) + 1
    lengths_s = lengths_s[:used]
    lengths_s[-1] -= ends_s[used - 1] - workload.duration_s
    return rates.Steps(np.where(high[:used], workload.high, workload.low).tolist(), lengths_s.tolist())
