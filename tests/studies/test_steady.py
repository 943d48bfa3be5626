"""Which part of a load stands for a month."""

from typing import Any

import numpy as np
import pytest

from kpasim.spec.experiment import Experiment, from_mapping, load
from kpasim.studies.judge import judge
from kpasim.studies.run import simulate
from kpasim.studies.search.slo import parse_slo
from kpasim.studies.steady import (
    cold_start_s,
    has_month,
    requests_per_day,
    steady_part,
    warm_up_s,
    why_no_month,
)
from tests.documented import ROOT
from tests.services import service

SERVICE = service(containerConcurrency=1)


def experiment(workload: dict[str, Any], cold_start: Any = "5m", **more: Any) -> Experiment:
    """A service with a cold start under a load."""
    model = {"service-time": 10, "cold-start": cold_start}
    return from_mapping({"service": SERVICE, "workload": workload, "model": model, **more})


def poisson(duration: str, **more: Any) -> Experiment:
    """Random requests for some time."""
    return experiment({"kind": "poisson", "rate": 0.5, "duration": duration}, **more)


def test_the_warm_up_is_a_stable_window_and_two_cold_starts() -> None:
    """With the 95 % quantile of each stage before readiness, on the slowest type, and a node's provisioning."""
    assert warm_up_s(poisson("1h")) == 60 + 2 * 300
    stages = [
        {"name": "a", "time": {"distribution": "uniform", "low": 0, "high": 100}, "per-instance-type": {"slow": 200}},
        {"name": "b", "bandwidth": {"size": "1G", "shared-bandwidth": "100M"}},
        {"name": "c", "time": 1000, "when": "after-ready"},
    ]
    assert cold_start_s(poisson("1h", cold_start={"stages": stages})) == pytest.approx(95 + 10)
    types = [{"name": "fast"}, {"name": "slow"}]
    slowest = poisson("1h", cold_start={"stages": stages}, cluster={"instance-types": types})
    assert cold_start_s(slowest) == pytest.approx(200 + 10)
    pool = {"nodes": {"type": "fast", "count": 1, "max": 3, "provision": "2m"}}
    assert cold_start_s(poisson("1h", cluster=pool)) == 300 + 120


def test_a_month_needs_ten_warm_ups_after_the_first() -> None:
    """A load of ten minutes with a cold start of five is too short for a month, and it is said what would do."""
    assert steady_part(poisson("10m")) is None
    assert why_no_month(poisson("10m")) == (
        "the load is too short for a month, as its first 11m are warm-up, stable window and two cold starts "
        "(let it last 2h1m, or say how often it recurs: repeat: 24h)"
    )
    assert steady_part(poisson("2h")) is None
    assert steady_part(poisson("2h1m")) == (660, 7260)
    assert steady_part(poisson("24h")) == (660, 86_400)
    assert why_no_month(poisson("24h")) == ""


def test_a_periodic_load_is_judged_over_whole_periods() -> None:
    """The last ones after the warm-up; of a single period the whole."""

    def wave(duration: str, period: str = "24h", **more: Any) -> Experiment:
        return experiment(
            {"kind": "diurnal", "mean": 0.1, "period": period, "duration": duration}, cold_start="5m", **more
        )

    assert steady_part(wave("24h")) == (0, 86_400)
    assert steady_part(wave("30h")) == (6 * 3600, 30 * 3600)
    assert steady_part(wave("48h")) == (86_400, 2 * 86_400)
    assert steady_part(wave("12h")) is None
    assert steady_part(wave("10h", "1h")) is None


def test_a_load_that_ends_counts_as_a_whole() -> None:
    """It has no steady part, and how often it recurs is not known."""
    hey = experiment({"kind": "hey", "requests": 5, "concurrency": 5})
    assert steady_part(hey) is None
    assert "ends by itself" in why_no_month(hey)
    daily = hey.with_settings({"start": "idled", "repeat": "24h"})
    assert (steady_part(daily), has_month(daily), why_no_month(daily)) == (None, True, "")


def test_requests_per_day_are_those_of_the_stretch() -> None:
    """Four requests, two of them in the 100 s that count."""
    sent = np.array([[0.0, 50.0, 149.0, 150.0], [np.nan] * 4])
    assert requests_per_day(sent, (50.0, 150.0)).tolist() == [2 * 864, 0]


def test_nothing_is_said_of_a_warm_up_that_is_not_left_out() -> None:
    """A load of a single period is taken as a whole."""
    result = simulate(load(ROOT / "experiments" / "diurnal-day.yaml"), replications=1)
    assert result.steady_s == (0.0, 86_400.0)
    assert judge(result, [parse_slo("p95<=10s")])[0].about == ""


def test_an_slo_of_a_run_without_requests_blames_no_failures() -> None:
    """Nothing failed where nothing was sent."""
    empty = load("experiments/direct-path.yaml").with_settings(
        {"workload": {"kind": "poisson", "rate": 1e-9, "duration": "60s"}}
    )
    (judged,) = judge(simulate(empty, replications=3), [parse_slo("p95<=10s")])
    assert judged.text() == "p95<=10s: no run has such a figure, met in 100 % of runs, 90 % needed"
