"""Arrivals out of an observation: how many requests were sent in each scrape interval, and a draw of when.

The counts are the same in every replication. Prometheus does not say where within an interval a request was sent:
each replication draws that anew, so that what the scrape interval hides shows in the spread of the replications.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpasim.arrays import Floats, Ints
from kpasim.errors import RecordError
from kpasim.records.prometheus.observation import MARK, Observation
from kpasim.records.prometheus.passages import Passage, Traffic, traffic
from kpasim.spec.rates import Uniforms
from kpasim.spec.workload import Observed
from kpasim.workloads.placing import Placing, around, placing, spaced

MS_S = 1e-3
"""Prometheus keeps times in milliseconds: an interval that reaches no further into a stretch ends or begins with it."""


class Counts(NamedTuple):
    """Requests by the interval in which they were sent, in order of the intervals' begins.

    Attributes:
        begin_s: Begin of each interval [s]. Intervals of several targets overlap.
        end_s: Its end [s].
        requests: Requests sent in it, at least 1.
        slot: Number of its time: intervals of several targets that end at about the same time share one.
    """

    begin_s: Floats
    end_s: Floats
    requests: Ints
    slot: Ints


def counts(traffic: Traffic) -> Counts:
    """When the requests of an observation were sent, in seconds since 1970.

    Where only ends are known, an interval of ends is moved by the mean duration of the requests that ended in it.
    """
    begin_s, end_s, count, slot = _intervals(traffic)
    kept = np.flatnonzero(count > 0)
    order = kept[np.argsort(begin_s[kept], kind="stable")]
    return Counts(begin_s[order], end_s[order], np.rint(count[order]).astype(np.int64), slot[order])


def _intervals(traffic: Traffic) -> tuple[Floats, Floats, Floats, Ints]:
    """Begin and end of every scrape interval, requests sent in it, and the number of its time."""
    parts = [(np.zeros(0),) * 3, *(_of_passage(one) for one in traffic.passages)]
    begin_s, end_s, count = (np.concatenate([part[place] for part in parts]) for place in range(3))
    if not len(end_s):
        return begin_s, end_s, count, np.zeros(0, dtype=np.int64)
    typical_s = max(MS_S, float(np.median(end_s - begin_s)))
    return begin_s, end_s, count, np.unique(np.rint((end_s - end_s.min()) / typical_s), return_inverse=True)[1]


def placing_of(traffic: Traffic) -> Placing:
    """When within their intervals the requests of an observation may have been sent, one row for each ``slot``."""
    begin_s, end_s, count, slot = _intervals(traffic)
    mean_s, in_flight = (
        np.concatenate(values) for values in zip(*(_lasting(one) for one in traffic.passages), strict=True)
    )
    targets, length_s, sent, flying, lasted_s = (
        np.bincount(slot, weights=one).astype(np.float64)
        for one in (np.ones(len(slot)), end_s - begin_s, count, in_flight, mean_s * count)
    )
    return placing(around(length_s / targets, sent, flying, lasted_s / np.maximum(sent, 1.0)))


def _lasting(passage: Passage) -> tuple[Floats, Floats]:
    """How long requests lasted that ended after each scrape or else before it [s], and requests in flight then."""
    mean_s = passage.latency_s / np.maximum(1.0, passage.ended)
    later = np.append(passage.ended[1:], 0.0) > 0
    mean_s = np.where(later, np.append(mean_s[1:], 0.0), mean_s)
    if passage.began is None:
        return mean_s, np.full(len(mean_s), np.nan)
    return mean_s, np.cumsum(passage.began - passage.ended)


def _of_passage(passage: Passage) -> tuple[Floats, Floats, Floats]:
    if passage.began is None:
        mean_s = passage.latency_s / np.maximum(1.0, passage.ended)
        return passage.begin_s - mean_s, passage.end_s - mean_s, passage.ended
    # A request within milliseconds of a scrape may be missing in one interval and show in the next, and all in flight
    # while their gauge has no value: what is missing is owed, until as many more have begun.
    sent = np.maximum.accumulate(np.cumsum(passage.began)).clip(0.0)
    return passage.begin_s, passage.end_s, np.diff(sent, prepend=0.0)


def counts_of(workload: Observed) -> Counts:
    """The requests of a workload by interval, in seconds from the start of its load, at the speed asked for.

    Raises:
        RecordError: The folder holds no observation, or none of these requests.
    """
    first_s, found = _read(workload.file, _stamp(workload), workload.revision)
    if not len(found.requests):
        of = f" of revision {workload.revision}" if workload.revision else ""
        raise RecordError.of(workload.file, f"no request{of} was recorded")
    last_s = workload.duration_s if workload.duration_s is not None else np.inf
    begins_s = found.begin_s - first_s - workload.from_s
    ends_s = found.end_s - first_s - workload.from_s
    kept = (ends_s > MS_S) & (begins_s < last_s - MS_S)
    if not kept.any():
        raise RecordError.of(workload.file, "no request in the stretch asked for")
    low_s, high_s = np.maximum(begins_s[kept], 0.0), np.minimum(ends_s[kept], last_s)
    return Counts(low_s / workload.speed, high_s / workload.speed, found.requests[kept], found.slot[kept])


def _stamp(workload: Observed) -> int:
    mark = Path(workload.file) / MARK
    return os.stat(mark).st_mtime_ns if mark.exists() else 0


@lru_cache(maxsize=8)
def _read(folder: str, stamp: int, revision: str | None) -> tuple[float, Counts]:
    """Begin of the window [s since 1970] and requests of a folder; read again when it has changed (``stamp``)."""
    observation = read_once(folder, stamp)
    return observation.begin_s, counts(traffic(observation, revision))


@lru_cache(maxsize=8)
def _placing(folder: str, stamp: int, revision: str | None) -> Placing:
    return placing_of(traffic(read_once(folder, stamp), revision))


@lru_cache(maxsize=2)
def read_once(folder: str, stamp: int) -> Observation:
    """The observation of a folder; ``stamp`` is the time of its last change."""
    return Observation.read(folder)


def sent_s(workload: Observed, uniforms: Uniforms) -> Floats:
    """When the requests of a replication are sent, ascending [s from the start of the load].

    Raises:
        RecordError: See `counts_of`.
    """
    begin_s, end_s, requests, slot = counts_of(workload)
    if workload.within == "clustered":
        share = np.repeat(uniforms(len(requests), 0), requests)
    elif workload.within == "inferred":
        profiles = _placing(workload.file, _stamp(workload), workload.revision)
        ends = np.cumsum([requests.sum(), len(requests), len(profiles.left), 1])
        gaps, begins, drawn, chosen = np.split(uniforms(int(ends[-1]), 0), ends[:-1])
        even = spaced(requests, profiles.dispersion(chosen[0]), gaps, begins)
        share = profiles.shares(even, requests, slot, drawn)
    else:
        share = _ordered(requests, uniforms)
    sent = np.repeat(begin_s, requests) + share * np.repeat(end_s - begin_s, requests)
    # Only intervals of several targets overlap.
    return sent if np.all(begin_s[1:] >= end_s[:-1]) else np.sort(sent, kind="stable")


def _ordered(requests: Ints, uniforms: Uniforms) -> Floats:
    """Where within its interval each request is sent, as a share, ascending in every interval.

    Source:
        Order statistics of uniform numbers are sums of exponential ones over their total (L. Devroye, Non-Uniform
        Random Variate Generation, 1986, V.3.1): no sorting, which would take longer than the simulation.
    """
    last = np.cumsum(requests + 1) - 1
    sums = np.cumsum(-np.log1p(-uniforms(int(last[-1]) + 1, 0)))
    before = np.concatenate(([0.0], sums[last[:-1]]))
    within = np.ones(len(sums), dtype=np.bool_)
    within[last] = False
    return np.asarray((sums[within] - np.repeat(before, requests)) / np.repeat(sums[last] - before, requests))
