"""What sharing a pod costs: slow-downs that are there are found, others are not, and queues inside are no service."""

import heapq

import numpy as np
import pytest

from kpasim.records import read
from kpasim.studies.fit.direct import fit_service
from kpasim.studies.fit.sharing import Served, fit_sharing
from tests import prometheus_runs


def shared(arrivals_s, work_s, curve, slots=10_000):
    """Ends of requests of one pod: processor sharing with a slow-down, first come first served beyond the slots."""
    begin, end = np.full(len(work_s), np.nan), np.full(len(work_s), np.nan)
    left: dict[int, float] = {}
    queue: list[int] = []
    coming = list(np.argsort(arrivals_s, kind="stable"))
    now = 0.0
    while coming or left or queue:
        slow = curve[len(left) - 1] if left else 1.0
        first = min(left, key=lambda one: left[one]) if left else -1
        done = now + left[first] * slow if left else np.inf
        if coming and arrivals_s[coming[0]] <= done:
            then = arrivals_s[coming[0]]
            left = {one: rest - (then - now) / slow for one, rest in left.items()}
            queue.append(coming.pop(0))
        else:
            then = done
            left = {one: rest - (then - now) / slow for one, rest in left.items() if one != first}
            end[first] = then
        now = then
        while queue and len(left) < slots:
            next_one = queue.pop(0)
            begin[next_one] = now
            left[next_one] = work_s[next_one]
    return begin, end


def served(begin_s, end_s, arrival_s=None):
    """Requests of one pod, all answered."""
    size = len(begin_s)
    yes, none = np.ones(size, bool), np.zeros(size, dtype=np.int64)
    return Served(none, begin_s, end_s, yes, yes, begin_s if arrival_s is None else arrival_s, none)


def arrivals(rng, count, rate):
    """Poisson arrivals."""
    return np.cumsum(rng.exponential(1.0 / rate, count))


@pytest.mark.parametrize(
    "work",
    [
        lambda rng, size: rng.lognormal(0.0, 0.3, size),
        lambda rng, size: rng.gamma(4.0, 0.25, size),
        lambda rng, size: np.where(rng.uniform(size=size) < 0.5, 0.4, 1.6) * rng.lognormal(0.0, 0.2, size),
    ],
)
def test_no_slow_down_is_found_where_sharing_is_free(work):
    """Of forty loads without a slow-down, of whatever service time, at most two get one."""
    rng, found = np.random.default_rng(3), 0
    for _ in range(40):
        came = arrivals(rng, 250, 4.0)
        sharing = fit_sharing(served(came, came + work(rng, 250)), 0, rng, bootstraps=0)
        found += max(sharing.slowdown) > 1.0 or sharing.slots > 0
    assert found <= 2


def test_a_slow_down_is_found_with_its_interval():
    """The curve behind a load is within 15 %, and inside its interval at four of five levels."""
    rng, curve, inside, near = np.random.default_rng(4), np.array([1, 1.4, 1.9, 2.5]), [], []
    for _ in range(10):
        came = arrivals(rng, 300, 1.3)
        _, end = shared(came, rng.lognormal(0.0, 0.3, 300), [*curve, *(2.5 + 0.6 * np.arange(1, 300))])
        sharing = fit_sharing(served(came, end), 0, rng)
        inside += [lo <= true <= hi for true, (lo, hi) in zip(curve, sharing.intervals[:4], strict=True)][1:]
        near.append(np.abs(np.array(sharing.slowdown[:4]) / curve - 1.0).max())
    assert np.mean(inside) >= 0.8
    assert np.median(near) < 0.15


def test_the_slow_down_of_a_recorded_container_is_found():
    """A container behind Knative's own queue-proxy that takes 1, 1.4, 1.9 and 2.5 times as long, 986 requests."""
    record = read(prometheus_runs.folder("cc4-slow"))
    found = fit_service([record], None, np.random.default_rng(1), bootstraps=40)
    assert found is not None
    assert found.sharing is not None
    (low, high), (low_of_three, high_of_three) = found.sharing.intervals[1:3]

    assert low <= 1.4 <= high
    assert low_of_three <= 1.9 <= high_of_three
    assert found.sharing.slowdown == pytest.approx([1.0, 1.4, 1.9, 2.5], rel=0.06)
    assert found.fit.figures["mean"][0] == pytest.approx(1.0, rel=0.03)


def test_requests_that_take_turns_inside_a_container_are_slots():
    """A container that works on one at a time is told from one that slows down, and waiting is not service time."""
    rng, right = np.random.default_rng(5), 0
    for _ in range(10):
        came = arrivals(rng, 200, 0.7)
        _, end = shared(came, rng.lognormal(0.0, 0.3, 200), np.ones(200), slots=1)
        sharing = fit_sharing(served(came, end), 10, rng, bootstraps=0)
        right += sharing.slots == 1 and sharing.queued_unseen
        assert np.median(sharing.work.low) == pytest.approx(1.0, rel=0.1)
    assert right == 10


@pytest.mark.parametrize("slots", [1, 2])
def test_slots_are_the_most_that_overlapped_while_others_waited_inside(slots):
    """Where a file says when each request came and when it began, the limit is read off."""
    rng = np.random.default_rng(6)
    came = np.zeros(100) + np.arange(100) * 0.5 / slots
    begin, end = shared(came, rng.lognormal(0.0, 0.3, 100), np.ones(100), slots=slots)
    busy: list[float] = []
    for start, stop in sorted(zip(begin, end, strict=True)):
        while busy and busy[0] <= start:
            heapq.heappop(busy)
        heapq.heappush(busy, stop)
        assert len(busy) <= slots
    sharing = fit_sharing(served(begin, end, came), 4, rng, bootstraps=0)
    assert sharing.slots == slots
    assert not sharing.queued_unseen


def test_a_limit_of_the_queue_proxy_is_no_slot():
    """Requests that wait because containerConcurrency is reached say nothing of the container."""
    rng = np.random.default_rng(7)
    came = np.arange(100) * 0.2
    begin, end = shared(came, rng.lognormal(0.0, 0.3, 100), np.ones(100), slots=4)
    assert fit_sharing(served(begin, end, came), 4, rng, bootstraps=0).slots == 0
