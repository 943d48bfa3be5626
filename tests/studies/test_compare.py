"""Predictions beside recorded runs of the real autoscaler."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fidelity import changes_by_chance
from kpasim.errors import ExperimentError, RunError
from kpasim.results.summary import aggregate
from kpasim.results.tables import read_run_folder
from kpasim.spec.experiment import METRICS
from kpasim.studies.compare import FIGURES, Comparison, Measured, compare, prediction, two_modes
from kpasim.studies.measured.align import tick_phase_s
from kpasim.studies.measured.described import experiment_of, starts_of
from kpasim.studies.run import simulate
from tests import live_runs
from tests.real_runs import folder, names
from tests.studies.painter import experiment, manifest

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
    predicted_s = [tick_phase_s((run.ticks["t_ns"] - run.load_ns) / 1e9) for run in one.result.outcomes]

    assert max(abs((phase_s - measured_s + 1.0) % 2.0 - 1.0) for phase_s in predicted_s) < 0.05


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_load_from_zero_meets_the_ticks_where_they_were(seed: int, tmp_path: Path):
    """The revision was created with its first row of scaling; the first scale-out is predicted to some hundredths."""
    load = {"kind": "hey", "requests": 30, "concurrency": 6, "timeout": "0s"}
    target = experiment(load, {"service-time": 5, "cold-start": "8s"}, manifest({"min-scale": ""}), start="zero")
    simulate(target, replications=1, seed=seed, engine="compiled").write(tmp_path)
    found = compare(tmp_path, replications=20, seed=9, engine="compiled").metrics["first_scale_out_s"]

    assert found["predicted"] == pytest.approx(found["measured"], abs=0.06)


def test_chance_alone_misses_changes_of_desired():
    """Replications miss some of each other's changes of desired; one and the same replication misses none."""
    outcomes = compared("s2-warm-def-b").result.outcomes

    assert 0.0 < changes_by_chance(outcomes) < 0.5
    assert changes_by_chance([outcomes[0]] * 4) == 0.0
    assert changes_by_chance(outcomes[:1]) == 0.0


def test_a_figure_that_half_of_the_replications_have_is_predicted_as_a_run_shows_it() -> None:
    """As the median of kpasim run: only where most replications lack a figure there is none."""
    half, less = np.array([1.0, 3.0, np.nan, np.nan]), np.array([1.0, np.nan, np.nan])

    assert aggregate({"x": half}).medians == {"x": 2.0}
    assert prediction({"x": half}, "x") == {"predicted": 2.0, "lo": 1.0, "hi": 3.0}
    assert prediction({"x": less}, "x") == {"predicted": None, "lo": None, "hi": None}


def test_every_metric_has_its_figure() -> None:
    """Whatever a tolerance may be about is compared."""
    assert tuple(FIGURES) == METRICS


LIVE = live_runs.names()


@cache
def live(name: str) -> Comparison:
    """A live run's prediction with its recorded times."""
    return compare(live_runs.folder(name), seed=1)


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize(("metric", "limit"), [("p50_s", 0.02), ("mean_s", 0.05), ("pod_seconds", 0.03)])
def test_live_runs_are_met_with_what_they_measured(name: str, metric: str, limit: float):
    """With measured service times, starts and arrivals the median is within 2, 5 and 3 %, unless it has two modes."""
    found = live(name)

    assert metric in found.modes or found.metrics[metric]["predicted"] == pytest.approx(
        found.metrics[metric]["measured"], rel=limit
    )


def test_few_metrics_of_live_runs_have_two_modes():
    """The mark is no excuse: three pairs of run and metric of those above have it."""
    marked = {
        (name, metric) for name in LIVE for metric in ("p50_s", "mean_s", "pod_seconds") if metric in live(name).modes
    }

    assert marked <= {("rps", "mean_s"), ("rps", "pod_seconds"), ("tzero", "pod_seconds"), ("burst", "p50_s")}


def test_a_run_that_goes_either_way_is_said_to():
    """Three or four pods are needed, as the autoscaler's clock falls: pod-seconds have two modes, the mean has not."""
    found = live("tzero")

    assert found.modes["pod_seconds"].high > 1.2 * found.modes["pod_seconds"].low
    assert "mean_s" not in found.modes


def test_failed_requests_are_told_by_kind():
    """Sixteen of sixty requests ran into the client's timeout of 3 s; a run without failures says nothing of them."""
    found = live("partfail").failures

    assert list(found) == ["errors", "failed.client_timeout"]
    assert found["errors"]["measured"] == found["failed.client_timeout"]["measured"] == 16
    assert found["errors"]["predicted"] == pytest.approx(14, abs=4)
    assert live("warm1").failures == {}


def test_failed_requests_outside_their_interval_are_named():
    """Sixteen of sixty failed; were each request three times as long, more than half would have."""
    run, tables, _ = read_run_folder(live_runs.folder("partfail"))
    model = {"name": "slow", "service-time": {"distribution": "lognormal", "median": "4s", "sigma": 0.3}}
    found = compare(Measured(run, tables), replications=20, model=model, seed=1)

    assert found.failures["errors"]["lo"] > 30
    assert "errors" in found.outside
    assert "errors" not in live("partfail").outside


def test_a_model_that_has_fewer_slots_than_were_seen_is_told_so():
    """Ten requests at once in a pod cannot have been served by four slots."""
    assert "10 requests at once, more than the model's 4 slots" in live("cc10").notes[0]


def test_starts_are_dated_between_the_kubelet_s_probes_and_the_first_request():
    """A pod that became ready 9.05 s after its creation and had a request at 8.16 s answered from 8.1 s on."""
    _, tables, _ = read_run_folder(live_runs.folder("act3zero"))

    starts_s = starts_of(tables, 1.0)

    assert starts_s[1:3] == pytest.approx([8.11, 8.12], abs=0.02)
    assert starts_s[0] == pytest.approx(9.05 - 0.5, abs=0.02)


def test_a_folder_without_its_load_is_compared_by_its_experiment(tmp_path):
    """run.json names the load twice; one of the two is enough, and no load at all is told in a line."""
    run, tables, _ = read_run_folder(live_runs.folder("warm1"))
    bare = {key: value for key, value in run.items() if key != "workload"}
    found = compare(Measured(bare, tables), replications=5, seed=1)

    assert found.metrics["p50_s"] == compare(Measured(run, tables), replications=5, seed=1).metrics["p50_s"]
    with pytest.raises(ExperimentError, match="workload"):
        compare(Measured({**bare, "experiment": {**run["experiment"], "workload": None}}, tables))


def test_a_model_of_one_s_own_is_judged_by_its_own_times():
    """Arrivals are those of the run; service times and starts are the model's."""
    mine = {"service-time": "300ms", "cold-start": "6s"}

    found = compare(live_runs.folder("rps"), replications=20, model=mine, seed=1)

    assert found.notes == []
    assert found.result.params.requests == len(found.measured.requests["id"])
    assert found.metrics["p50_s"]["predicted"] == pytest.approx(0.31, abs=0.02)
    with pytest.raises(RunError, match="--service-times recorded"):
        compare(live_runs.folder("rps"), model=mine, service_times="recorded")


def test_an_experiment_of_one_s_own_ends_where_the_observation_ended():
    """Settings are the experiment's, the end is the run's."""
    run, tables, _ = read_run_folder(live_runs.folder("warm1"))
    mine = experiment_of(run, tables).with_settings({"service.annotations.max-scale": 2, "horizon": "9999s"})

    found = compare(live_runs.folder("warm1"), replications=20, experiment=mine, seed=1)

    assert found.metrics["max_pods"]["predicted"] == 2
    assert found.result.outcomes[0].end_ns - found.result.outcomes[0].load_ns == pytest.approx(run["end_s"] * 1e9)
    assert "max_pods" in found.outside


def test_a_server_that_tells_no_times_leaves_them_to_the_model():
    """Starts are measured all the same; the model's service time is drawn, and that is said."""
    run, tables, _ = read_run_folder(live_runs.folder("warm1"))
    silent = dict.fromkeys(("service_s", "server_arrival_s", "server_start_s", "server_end_s"), np.full(60, np.nan))
    tables = replace(tables, requests={**tables.requests, **silent})

    found = compare(Measured(run, tables), replications=20, seed=1)

    assert found.notes[0] == "The server reported no service times: they are drawn from the model."
    assert found.metrics["p50_s"]["predicted"] == pytest.approx(1.1, abs=0.1)
    assert "6 pods" in found.notes[1]


def test_another_load_than_the_run_s_is_said():
    """A closed loop beside the run of an open one compares two loads."""
    run, tables, _ = read_run_folder(live_runs.folder("warm1"))
    mine = experiment_of(run, tables)

    assert compare(live_runs.folder("warm1"), replications=5, experiment=mine).notes == []
    assert compare(live_runs.folder("rps"), replications=5, experiment=mine).notes == [
        "The experiment's load (hey) is not the run's (steps)."
    ]


def test_two_groups_are_two_modes_and_a_spread_is_not():
    """Even and normal spreads are one group; so are groups that hardly differ."""
    rng = np.random.default_rng(1)
    apart = np.concatenate([rng.normal(1.0, 0.02, 60), rng.normal(1.5, 0.02, 40)])

    found = two_modes(apart)

    assert found is not None
    assert found == pytest.approx((1.0, 1.5, 0.6), abs=0.02)
    assert two_modes(rng.normal(1.0, 0.2, 100)) is None
    assert two_modes(rng.uniform(1.0, 2.0, 100)) is None
    assert two_modes(1.0 + 0.02 * (apart > 1.25)) is None
    assert two_modes(np.full(100, np.nan)) is None


def test_a_simulated_folder_of_pods_that_are_shared_is_met(tmp_path: Path) -> None:
    """Its requests took what they took beside others: with those times the same run comes out again."""
    time = {"distribution": "lognormal", "median": "2s", "sigma": 0.2}
    shared = experiment(
        {"kind": "hey", "requests": 120, "concurrency": 12},
        {"service-time": {"time": time, "slowdown": [1, 1.5, 2, 2.5]}},
        manifest({"min-scale": "3", "max-scale": "3"}, containerConcurrency=4),
    )
    simulate(shared, replications=1, seed=3).write(tmp_path / "run")
    found = compare(tmp_path / "run", replications=5)
    assert found.source == "simulated"
    for metric in ("mean_s", "p50_s", "p95_s", "total_s"):
        assert found.metrics[metric]["predicted"] == pytest.approx(found.metrics[metric]["measured"], rel=0.02), metric
