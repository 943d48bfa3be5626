"""The activator in and out of the path."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim.policy import burst


@pytest.mark.parametrize(
    ("ready_pods", "total", "reserve", "panic", "excess"),
    [
        (1, 1.0, 211.0, 1.666667, -212.0),
        (0, 1.0, 211.0, 0.0, -211.0),
        (212, 1.0, 211.0, 0.0, 1.0),
        (3, 100.0, 211.0, 10.0, 79.0),
        (3, 100.0, 0.0, 1e6, 0.0),
        (3, 100.0, -1.0, 0.0, -1.0),
    ],
)
def test_excess_is_capacity_less_reserve_less_load(ready_pods, total, reserve, panic, excess):
    """0 and -1 stand for never and always."""
    assert burst.excess_burst_capacity(ready_pods, total, reserve, panic) == excess


@given(st.integers(0, 1000), st.floats(0.01, 1000), st.floats(0.01, 1e4), st.floats(0, 1e6))
def test_more_pods_and_less_load_leave_more_excess(ready_pods, total, reserve, panic):
    """Excess rises with pods, falls with load, and is a whole number."""
    excess = burst.excess_burst_capacity(ready_pods, total, reserve, panic)

    assert excess == math.floor(excess)
    assert burst.excess_burst_capacity(ready_pods + 1, total, reserve, panic) >= excess
    assert burst.excess_burst_capacity(ready_pods, total, reserve, panic + 1) <= excess


@pytest.mark.parametrize(
    ("ready_pods", "total", "reserve", "activators"),
    [(1, 1.0, 211.0, 3), (0, 100.0, 211.0, 3), (50, 100.0, 211.0, 53), (1000, 1.0, 0.0, 2), (333, 2.0, -1.0, 7)],
)
def test_activators_cover_pods_and_reserve(ready_pods, total, reserve, activators):
    """One activator bears 100 requests; at least two are asked for."""
    assert burst.num_activators(ready_pods, total, reserve, 100.0) == activators


@given(st.integers(0, 10**6), st.floats(0.01, 1e6), st.floats(-1, 1e9), st.floats(1, 1000))
def test_at_least_two_activators_are_asked_for(ready_pods, total, reserve, capacity):
    """However little there is to cover, there are two."""
    assert 2 <= burst.num_activators(ready_pods, total, reserve, capacity) <= burst.MAX_INT32


@pytest.mark.parametrize(
    ("want", "excess", "mode"),
    [
        (1, 0.0, burst.SERVE),
        (1, -1.0, burst.PROXY),
        (0, 5.0, burst.PROXY),
        (-1, 5.0, burst.PROXY),
        (3, 100.0, burst.SERVE),
    ],
)
def test_pods_serve_only_when_wanted_and_enough(want, excess, mode):
    """At zero, when unknown, or when short of reserve, requests go through the activator."""
    assert burst.mode(want, excess) == mode


@pytest.mark.parametrize(
    ("asked", "pods", "activators", "effective", "backed"),
    [
        (burst.SERVE, 2, 2, burst.SERVE, False),
        (burst.SERVE, 0, 2, burst.PROXY, True),
        (burst.PROXY, 2, 2, burst.PROXY, True),
        (burst.PROXY, 2, 0, burst.SERVE, True),
        (burst.SERVE, 0, 0, burst.SERVE, True),
    ],
)
def test_requests_go_where_somebody_is(asked, pods, activators, effective, backed):
    """Without ready pods the activators take over, without activators the pods do."""
    assert burst.effective_mode(asked, pods, activators) == effective
    assert burst.activator_backed(asked, pods) == backed
