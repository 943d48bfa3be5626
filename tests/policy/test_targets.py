"""Targets, totals and windows."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim.policy import targets


@pytest.mark.parametrize(
    ("metric", "container_concurrency", "annotated", "target", "total"),
    [
        ("concurrency", 0, None, 70.0, 100.0),
        ("concurrency", 1, None, 0.7, 1.0),
        ("concurrency", 10, 5.0, 3.5, 5.0),
        ("concurrency", 50, 200.0, 35.0, 50.0),
        ("concurrency", 0, 200.0, 140.0, 200.0),
        ("rps", 0, None, 140.0, 200.0),
        ("rps", 1, None, 140.0, 200.0),
        ("rps", 1, 10.0, 7.0, 10.0),
    ],
)
def test_targets_are_those_of_the_worked_examples(metric, container_concurrency, annotated, target, total):
    """The container concurrency caps an annotated target of concurrency, never one of rps."""
    got = targets.total_value(metric, container_concurrency, annotated, 100.0, 200.0)
    share = targets.utilization(metric, None, 0.7)

    assert got == total
    assert targets.target_value(got, share) == pytest.approx(target)


@pytest.mark.parametrize(
    ("stable_s", "percentage", "panic_s"),
    [(60, 10, 6), (40, 10, 4), (45, 10, 5), (6, 10, 1), (44, 10, 4), (6, 1, 1), (60, 100, 60), (3600, 33.3, 1199)],
)
def test_the_panic_window_is_a_share_in_whole_seconds(stable_s, percentage, panic_s):
    """Half seconds round up, and there is always one second."""
    assert targets.panic_window_ns(stable_s * 10**9, percentage) == panic_s * 10**9


def test_the_annotation_decides_the_utilization():
    """Where the revision says nothing, the cluster's share counts for concurrency and 0.7 for rps."""
    assert targets.utilization("concurrency", None, 0.5) == 0.5
    assert targets.utilization("rps", None, 0.5) == 0.7
    assert targets.utilization("rps", 0.9, 0.5) == 0.9


@given(st.floats(0.01, 1e6), st.floats(0.01, 1))
def test_the_target_is_within_the_total_and_never_tiny(total, share):
    """A pod is asked for at most what it can hold, and for at least a hundredth."""
    assert targets.TARGET_MIN <= targets.target_value(total, share) <= max(total, targets.TARGET_MIN)


def test_a_target_that_is_not_a_number_stays_one():
    """Knative lets `target: NaN` through; so does the arithmetic, for others to refuse."""
    assert math.isnan(targets.target_value(math.nan, 0.7))
    assert math.isnan(targets.total_value("concurrency", 5, math.nan, 100.0, 200.0))


@pytest.mark.parametrize(
    ("default", "annotated", "allow_zero", "scale"),
    [(1, None, False, 1), (3, 0, False, 3), (3, 0, True, 0), (1, 5, False, 5), (0, None, True, 0)],
)
def test_an_initial_scale_of_zero_needs_leave(default, annotated, allow_zero, scale):
    """An annotated 0 is ignored where the cluster does not allow it."""
    assert targets.initial_scale(default, annotated, allow_zero) == scale
