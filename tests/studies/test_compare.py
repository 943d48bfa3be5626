"""Predictions beside recorded runs of the real autoscaler."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from kpasim.spec.experiment import METRICS
from kpasim.studies.compare import FIGURES, Comparison, compare
from kpasim.studies.measured.align import changes_by_chance, tick_phase_s
from tests.real_runs import folder, names

FIRST_LOOK = [name for name in names() if name.startswith(("s1-warm-def", "s2-warm-def"))]


@cache
def compared(name: str) -> Comparison:
    """A run's prediction with the recorded service times, fixed seed."""
    return compare(folder(name), replications=40, service_times="recorded", seed=1, engine="compiled")


def errors(metric: str) -> list[float]:
    """Relative errors of one metric over the first look's runs."""
    both = [compared(name).metrics[metric] for name in FIRST_LOOK]
    return [abs(one["predicted"] / one["measured"] - 1) for one in both]  # type: ignore[operator]


@pytest.mark.parametrize("metric", ["p50_s", "p95_s", "mean_s"])
def test_a_first_look_at_reality(metric: str):
    """With the recorded service times half of the warm runs are predicted within one percent."""
    assert len(FIRST_LOOK) >= 20
    assert float(np.median(errors(metric))) < 0.01


def test_max_pods_of_warm_runs():
    """Nine warm runs of ten, at least, reach just as many pods as predicted."""
    right = [compared(name).metrics["max_pods"] for name in FIRST_LOOK]
    assert np.mean([one["predicted"] == one["measured"] for one in right]) >= 0.9


def test_a_load_after_an_idle_time_meets_the_ticks_where_they_were():
    """The autoscaler's clock began with the revision, so its ticks are predicted to a few hundredths of a second."""
    one = compare(folder("s1-idled-def-b"), replications=20, service_times="recorded", seed=1, engine="compiled")
    measured_s = tick_phase_s(one.measured.ticks["t_s"])
    predicted_s = [tick_phase_s((run.ticks["t"] - run.load_ns) / 1e9) for run in one.result.outcomes]

    assert max(abs((phase_s - measured_s + 1.0) % 2.0 - 1.0) for phase_s in predicted_s) < 0.05


def test_chance_alone_misses_changes_of_desired():
    """Replications miss some of each other's changes of desired; one and the same replication misses none."""
    outcomes = compared("s2-warm-def-b").result.outcomes

    assert 0.0 < changes_by_chance(outcomes) < 0.5
    assert changes_by_chance([outcomes[0]] * 4) == 0.0
    assert changes_by_chance(outcomes[:1]) == 0.0


def test_every_metric_has_its_figure() -> None:
    """Whatever a tolerance may be about is compared."""
    assert tuple(FIGURES) == METRICS
