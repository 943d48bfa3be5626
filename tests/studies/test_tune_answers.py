"""What tune answers where failures, short runs, cold starts and limits mislead a search for the cheapest settings."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from kpasim.cli.output import NOT_MET
from kpasim.cli.tune import command
from kpasim.errors import RunError
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.run import simulate
from kpasim.studies.runner import Runner
from kpasim.studies.search.ladder import TOLERANCE
from kpasim.studies.search.space import MAX_SCALE, MIN_SCALE, default_axes
from kpasim.studies.search.stress import more_load
from kpasim.studies.tune import TuneResult, tune
from tests.services import service

HEY = {"kind": "hey", "requests": 50, "concurrency": 5, "timeout": "0s"}


def data(annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An experiment with 10 s of service and a minute of cold start; `changes` replace whole keys."""
    return {
        "service": service(annotations, containerConcurrency=1, timeoutSeconds=600),
        "workload": HEY,
        "model": {"service-time": 10, "cold-start": "60s"},
        "cluster": {"instance-types": [{"name": "g", "price-per-hour": 3.6, "gpus": 1}]},
        "replications": 20,
        "seed": 1,
        **changes,
    }


def experiment(annotations: dict[str, Any], **changes: Any) -> Experiment:
    """The same, read."""
    return from_mapping(data(annotations, **changes))


def kept(what: Experiment, rank: float, limit_s: float, runs: int = 60) -> float:
    """Share of runs whose percentile of all requests keeps a limit, from the raw tables: failures are 1e9 s late."""
    result = simulate(what, replications=runs, engine="compiled")
    found = []
    for number in range(runs):
        requests = result.tables(number).requests
        succeeded = (requests["status"] >= 200) & (requests["status"] < 300)
        found.append(np.percentile(np.where(succeeded, requests["latency_s"], 1e9), rank) <= limit_s)
    return float(np.mean(found))


def test_settings_cannot_meet_a_latency_slo_by_failing_requests() -> None:
    """Clients give up after 30 s, so no success is later: of all requests, 95 % are answered in time none the less."""
    load = {"kind": "poisson", "rate": 0.5, "duration": "10m", "timeout": "30s"}
    what = experiment(
        {"min-scale": 3, "max-scale": 8}, workload=load, model={"service-time": 5, "cold-start": "60s"}, horizon="15m"
    )
    found = tune(what, ["p95<=30s"], vary={MAX_SCALE: [1, 2, 3, 5, 8], MIN_SCALE: [1, 3]}, budget=1500)
    assert found.chosen is not None
    assert kept(what.with_settings({MIN_SCALE: 1, MAX_SCALE: 1}), 95, 30) == 0
    assert kept(found.tuned, 95, 30) >= 0.9
    of_successes = tune(what, ["p95<=30s of successes"], vary={MAX_SCALE: [1, 8], MIN_SCALE: [1, 3]}, budget=600)
    assert of_successes.tuned.revision.max_scale == 1
    # That is what was asked for, and a loud warning says what it means.
    [warning] = of_successes.warnings
    assert re.match(r"\d\d(\.\d)? % of requests fail with these settings \(now: 0 %\)", warning)
    assert not found.warnings or found.chosen.failed > 0.01


def test_a_horizon_that_ends_before_the_load_is_refused() -> None:
    """Of 50 requests 10 were sent after a minute, and 5 of them had a response."""
    with pytest.raises(
        RunError, match=r"ends before its load .*: 40 of 50 requests were never sent, 5 had no response"
    ):
        tune(experiment({"max-scale": 5}, horizon="60s"), ["p95<=30s"], budget=100)


@pytest.mark.parametrize("slos", [["p95<=30s"], ["p95<=30s", "errors<=1%"]])
def test_where_no_request_can_succeed_the_answer_is_no(slos: list[str], tmp_path: Path) -> None:
    """Clients give up after 5 s of a 10 s service: exit status 3, and the reason."""
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(data({"max-scale": 5}, workload={**HEY, "timeout": "5s"})))
    options = [option for slo in slos for option in ("--slo", slo)]
    done = CliRunner().invoke(command, [str(path), *options, "--budget", "300", "--engine", "compiled"])
    assert done.exit_code == NOT_MET, done.output
    assert "in the median run no request succeeded" in done.output
    assert "failed requests" in done.output


def test_requests_in_flight_at_the_end_of_a_run_are_no_errors() -> None:
    """The horizon leaves about ten of 300 requests in flight; without it none fails."""
    load = {"kind": "poisson", "rate": 1.0, "duration": "5m"}
    what = experiment({"min-scale": 15, "max-scale": 30}, workload=load, horizon="5m")
    run = simulate(what, replications=20, engine="compiled")
    assert (run.figures["in_flight"] > 0).any()
    assert not run.figures["errors"].any()
    np.testing.assert_array_equal(
        run.figures["ok"] + run.figures["errors"] + run.figures["in_flight"], run.figures["requests"]
    )
    found = tune(what, ["errors<=1%"], vary={MAX_SCALE: [30, 40]}, budget=200)
    assert found.now.share == 1
    # They were followed until they ended: the same requests as without a horizon.
    followed = Runner(what, "compiled").slo_figures(range(20))
    whole = Runner(what.with_settings({"horizon": None}), "compiled").slo_figures(range(20))
    for name in ("requests", "ok", "errors", "in_flight", "latency_all_s.p99"):
        np.testing.assert_array_equal(followed[name], whole[name])
    np.testing.assert_array_equal(followed["pod_seconds"], run.figures["pod_seconds"])


def test_settings_cannot_meet_an_slo_by_leaving_requests_unanswered() -> None:
    """One pod for six at the same time: what waits at the horizon times out later, and counts."""
    load = {"kind": "poisson", "rate": 0.5, "duration": "5m"}
    what = experiment({"max-scale": 1}, workload=load, horizon="5m")
    assert not simulate(what, replications=5, engine="compiled").figures["errors"].any()
    assert tune(what, ["errors<=1%"], vary={MAX_SCALE: [1, 8]}, budget=300).tuned.revision.max_scale == 8


def test_a_run_without_requests_meets_latency_slos() -> None:
    """Two of five runs have no request; each request has its response within 7 s."""
    load = {"kind": "poisson", "rate": 0.0016, "duration": "10m"}
    model = {"service-time": 1, "cold-start": "5s"}
    what = experiment({"max-scale": 3}, workload=load, model=model, horizon="12m")
    found = tune(what, ["p95<=60s"], vary={MIN_SCALE: [0, 1]}, budget=600)
    assert found.chosen is not None
    assert (found.now.figures["requests"] == 0).any()
    assert found.now.share == 1


@pytest.mark.parametrize("path", ["horizon", "seed", "replications", "workload.requests", "start", "cost.per"])
def test_what_settings_are_measured_by_cannot_be_tuned(path: str) -> None:
    """A shorter horizon, a lucky seed, or less load makes nothing cheaper."""
    with pytest.raises(RunError, match="is how the service is measured"):
        tune(experiment({"max-scale": 5}), ["p95<=120s"], vary={path: [1, 2]})


def test_settings_with_min_scale_0_meet_the_cold_start() -> None:
    """The warm pod that min-scale 1 pays for is not given to min-scale 0: half of its requests wait for two minutes."""
    what = experiment({"min-scale": 1, "max-scale": 5}, model={"service-time": 10, "cold-start": "120s"})
    found = tune(what, ["max<=100s"], vary={MIN_SCALE: [0, 1, 2]}, budget=600)
    assert found.chosen is not None
    assert found.tuned.revision.min_scale == 1
    assert found.idled
    idled = simulate(what.with_settings({MIN_SCALE: 0, "start": "idled"}), replications=10, engine="compiled")
    assert (idled.figures["latency_s.max"] > 100).all()


def test_an_slo_on_cost_is_about_what_the_table_shows() -> None:
    """One unit for the SLO, the table and what is to be least."""
    what = experiment({"min-scale": 3, "max-scale": 8}, model={"service-time": 5, "cold-start": "60s"})
    cheap = tune(what, ["cost<=0.01"], vary={MIN_SCALE: [3, 4]}, budget=200)
    assert cheap.chosen is None
    assert cheap.now.share == 0
    with pytest.raises(RunError, match="the load ends by itself"):
        tune(what, ["cost-per-month<=100"], vary={MIN_SCALE: [3, 4]}, budget=200)
    limit = 1.05 * cheap.now.cost
    assert tune(what, [f"cost<={limit:.4f}"], vary={MIN_SCALE: [3, 4]}, budget=200).now.share == 1


def test_max_scale_may_go_above_that_of_the_manifest() -> None:
    """Two pods cannot serve five clients within 25 s; three, two of them warm, can."""
    what = experiment({"max-scale": 2}, model={"service-time": 10, "cold-start": "20s"})
    axes = default_axes(what)
    found = tune(what, ["p95<=25s"], vary={name: axes[name] for name in (MIN_SCALE, MAX_SCALE)}, budget=2000)
    assert found.chosen is not None
    assert found.tuned.revision.max_scale == 3
    assert kept(found.tuned, 95, 25) >= 0.9
    bound = tune(what, ["p95<=25s"], vary={MIN_SCALE: [0, 1, 2]}, budget=600)
    assert bound.chosen is None
    assert bound.binding is not None
    assert bound.binding.limit.startswith("max-scale 2")
    assert kept(bound.experiment.with_settings({**bound.nearest.settings, **bound.binding.remedy}), 95, 25) >= 0.8


@pytest.fixture(scope="module")
def tuned() -> TuneResult:
    """A load that three warm pods serve, from a manifest with eight."""
    load = {"kind": "poisson", "rate": 0.4, "duration": "10m"}
    model = {"service-time": 5, "cold-start": "60s"}
    what = experiment({"min-scale": 8, "max-scale": 10}, workload=load, model=model, horizon="12m")
    axes = {
        MIN_SCALE: [0, 2, 3, 4, 8],
        MAX_SCALE: [3, 4, 10],
        "service.annotations.window": ["30s", "1m", "2m"],
        "service.annotations.scale-to-zero-pod-retention-period": ["0s", "5m"],
    }
    return tune(what, ["p95<=15s"], vary=axes, budget=4000)


def test_the_ladder_tells_what_each_change_saves(tuned: TuneResult) -> None:
    """With more changes the cost never rises, and the choice has the fewest within the tolerance of the cheapest."""
    assert tuned.chosen is not None
    steps = [step for step in tuned.ladder if step is not None]
    assert [len(step.settings) <= changes for changes, step in enumerate(tuned.ladder) if step is not None]
    costs = [step.cost for step in steps]
    assert all(later <= before * 1.002 for before, later in pairwise(costs))
    assert tuned.chosen.cost <= (1 + 1.5 * TOLERANCE) * min(costs)
    fewer = [step for step in steps if len(step.settings) < len(tuned.chosen.settings)]
    assert all(step.cost > (1 + 0.5 * TOLERANCE) * min(costs) for step in fewer)
    found = tuned.to_dict()
    assert sum(step["chosen"] for step in found["ladder"] if step) >= 1
    assert found["ladder"][0]["saved"] == 0


def test_means_lie_inside_their_intervals(tuned: TuneResult) -> None:
    """The interval of a mean is one of means."""
    for judged in (tuned.now, tuned.chosen):
        assert judged is not None
        low, high = judged.cost_interval
        assert low <= judged.cost <= high


def test_the_choice_is_stressed_and_the_limit_that_binds_is_named(tuned: TuneResult) -> None:
    """At 20, 50 and 100 % more load; without the limit that is named the SLOs are met."""
    assert [one.load for one in tuned.stress] == [1.2, 1.5, 2.0]
    shares = [one.share for one in tuned.stress]
    assert shares == sorted(shares, reverse=True)
    for one in tuned.stress:
        assert (one.share >= tuned.probability) == (one.limit == "")
        if one.remedy:
            heavier = tuned.tuned.with_settings({**more_load(tuned.experiment, one.load), **one.remedy})
            assert kept(heavier, 95, 15) >= 0.8
    assert any(one.limit for one in tuned.stress)


@pytest.mark.parametrize(
    "load",
    [
        {"kind": "poisson", "rate": 2, "duration": "10m"},
        {"kind": "constant", "rate": 2, "duration": "10m"},
        {"kind": "ramp", "from": 1, "to": 3, "duration": "10m"},
        {"kind": "diurnal", "mean": 2, "period": "5m", "duration": "10m"},
        {"kind": "bursts", "low": 1, "high": 4, "low-for": "10s", "high-for": "5s", "duration": "10m"},
        {"kind": "batches", "size": 3, "every": "2s", "duration": "10m"},
        {"kind": "steps", "phases": [{"rate": 1, "duration": "5m"}, {"rate": 3, "duration": "5m"}]},
        {"kind": "hey", "requests": 50, "concurrency": 5},
    ],
)
def test_more_load_is_more_requests(load: dict[str, Any]) -> None:
    """Half as many again, for every kind of load."""
    what = experiment({"max-scale": 3}, workload=load, model={"service-time": 0.1, "cold-start": "1s"})
    more = what.with_settings(more_load(what, 1.5))
    before, after = (
        simulate(one, replications=10, engine="compiled").figures["requests"].mean() for one in (what, more)
    )
    assert after / before == pytest.approx(1.5 if load["kind"] != "hey" else 8 / 5, rel=0.08)
