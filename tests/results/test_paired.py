"""Differences between settings: what is significant, and how many replications a verdict needs."""

import numpy as np
import pytest
from scipy import stats

from kpasim.results.paired import FALSE_ALARMS, difference

NO = np.nan


def test_the_interval_is_that_of_the_t_test() -> None:
    """Against scipy: the paired interval, and Welch's for independent samples."""
    rng = np.random.default_rng(1)
    one, other = rng.gamma(2.0, 3.0, 40), rng.gamma(2.0, 2.0, 40)

    paired, welch = difference(one, other), difference(one, other[:30], paired=False)

    wanted = stats.ttest_rel(one, other).confidence_interval(0.99)
    assert (paired.low, paired.high) == pytest.approx((wanted.low, wanted.high), rel=1e-12)
    wanted = stats.ttest_ind(one, other[:30], equal_var=False).confidence_interval(0.99)
    assert (welch.low, welch.high) == pytest.approx((wanted.low, wanted.high), rel=1e-12)


def test_common_random_numbers_show_a_small_steady_difference() -> None:
    """It is seen through noise a hundred times as large, which independent samples do not do."""
    noise = np.random.default_rng(1).normal(100, 100, 20)
    found = difference(noise + 1.0, noise)
    assert found.significant
    assert found.mean == pytest.approx(1.0)
    assert found.verdict == "significant"
    assert not difference(noise + 1.0, noise, paired=False).significant


def test_identical_runs_are_called_the_same() -> None:
    """Nothing differs in any replication, the last bits of sums apart."""
    values = np.random.default_rng(1).normal(5, 1, 30)
    assert difference(values * (1 + 1e-15), values).verdict == "the same in every replication"
    assert not difference(values, values).significant


def test_few_replications_say_how_many_are_needed() -> None:
    """As many as find a difference of 10 % in 90 % of cases; fewer than 8 decide about nothing."""
    rng = np.random.default_rng(3)
    noise = rng.normal(10, 3, 7)
    few = difference(noise + 5.0, noise)
    assert not few.significant
    assert few.verdict == "not known: needs about 8 replications"
    one, other = rng.normal(10, 3, 12), rng.normal(10, 3, 12)
    found = difference(one, other)
    assert not found.enough
    assert f"needs about {found.needed:,} replications" in found.verdict
    assert difference(np.array([1.0]), np.array([2.0])).needed == 8


def test_the_needed_replications_are_enough() -> None:
    """With so many a difference of 10 % is found in about 90 % of 400 trials: noncentral t says the same."""
    rng = np.random.default_rng(5)
    needed = difference(rng.normal(10, 3, 20_000), rng.normal(10, 3, 20_000)).needed
    power = 1 - stats.nct.cdf(stats.t.ppf(0.995, needed - 1), needed - 1, 1.0 / (3 * 2**0.5) * needed**0.5)
    assert 0.89 < power < 0.93
    found = sum(difference(rng.normal(10.5, 3, needed), rng.normal(9.5, 3, needed)).significant for _ in range(400))
    assert found >= 0.86 * 400


@pytest.mark.parametrize("draw", ["normal", "skewed", "rare", "whole", "heavy"])
@pytest.mark.parametrize("replications", [8, 20, 200])
def test_identical_settings_are_seldom_called_different(draw: str, replications: int) -> None:
    """In at most 5 % of 400 trials, whatever the distribution: one figure, paired or not."""
    rng = np.random.default_rng(replications)
    sample = {
        "normal": lambda: rng.normal(10, 3, replications),
        "skewed": lambda: rng.lognormal(0, 1.5, replications),
        "rare": lambda: 1.0 * (rng.random(replications) < 0.03),
        "whole": lambda: rng.integers(3, 5, replications).astype(float),
        "heavy": lambda: rng.pareto(1.5, replications),
    }[draw]
    for paired in (True, False):
        alarms = sum(difference(sample(), sample(), paired=paired).significant for _ in range(400))
        assert alarms <= FALSE_ALARMS * 400


def test_a_screen_of_many_figures_is_seldom_wrong() -> None:
    """Of identical settings at most 5 % are called different in any of 16 independent figures."""
    rng = np.random.default_rng(7)
    alarms = sum(
        any(difference(*rng.normal(10, 3, (2, 50)), figures=16).significant for _ in range(16)) for _ in range(400)
    )
    assert alarms <= FALSE_ALARMS * 400


def test_a_few_differing_replications_are_not_significant() -> None:
    """Seven of 200 on one side happen by chance once in 64 times; the interval then holds zero."""
    one = np.zeros(200)
    one[:7] = 1.0
    assert stats.ttest_rel(one, np.zeros(200)).pvalue < 0.01
    assert not difference(one, np.zeros(200)).significant


@pytest.mark.parametrize("paired", [True, False])
def test_replications_that_all_differ_alike_leave_something_open(paired: bool) -> None:
    """All 20 fail under one setting and none under the other: a share of 1, known as well as 20 of 20 tell (Wilson)."""
    found = difference(np.ones(20), np.zeros(20), paired=paired)
    wilson = stats.binomtest(20, 20).proportion_ci(0.99, method="wilson")

    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high))
    assert found.significant
    longer = difference(np.full(200, -3.0), np.zeros(200), paired=paired)
    assert -3.0 == longer.low < longer.high < -3.0 * found.low


def test_replications_without_the_figure_are_left_out_and_counted() -> None:
    """A figure that no replication has in both settings has no verdict."""
    values = np.arange(12.0)
    values[:2] = NO
    assert difference(values, np.ones(12)).replications == 10
    assert difference(np.full(8, NO), values).verdict == "no figure to compare"
