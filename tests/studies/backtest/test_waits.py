"""Cold starts out of how long requests waited, and pod-seconds between the scrapes."""

import json
from pathlib import Path

import numpy as np
import pytest

from kpasim.arrays import Floats
from kpasim.engines.outcome import ASKED, READY
from kpasim.engines.params import NEVER_NS, SECOND_NS
from kpasim.spec.experiment import load
from kpasim.studies.backtest import predict
from kpasim.studies.backtest.prepare import Given, Prepared, prepare
from kpasim.studies.backtest.waits import likely, narrowed, trials
from kpasim.studies.run import simulate
from tests import observing, prometheus_runs

RANDOM = np.random.default_rng(7)
TRIED_S = np.linspace(2.0, 20.0, 40)


def line(slope: float, scatter_s: float) -> Floats:
    """Latencies of 1 s and so much for each second of a cold start."""
    return 1.0 + slope * TRIED_S + scatter_s * RANDOM.standard_normal(len(TRIED_S))


def test_the_latency_tells_the_cold_start():
    """Half a second for each second of a cold start: 5 s are one of 8 s, give or take the scatter."""
    low_s, high_s = likely(TRIED_S, [line(0.5, 0.2)], 5.0, (2.0, 20.0)) or (0.0, 0.0)
    assert low_s < 8.0 < high_s
    assert high_s - low_s == pytest.approx(2 * 3**0.5 * 0.2 / 0.5, rel=0.3)


def test_a_latency_without_any_scatter_tells_it_exactly():
    """Also where it lies between two cold starts of the grid."""
    low_s, high_s = likely(TRIED_S, [line(0.5, 0.0)], 5.01, (2.0, 20.0)) or (0.0, 0.0)
    assert (low_s, high_s) == pytest.approx((8.02, 8.02), abs=0.05)


def test_a_latency_that_does_not_depend_on_cold_starts_tells_nothing():
    """Nobody waits for a pod; or the latency was not recorded."""
    assert likely(TRIED_S, [line(0.0, 0.2)], 1.0, (2.0, 20.0)) is None
    assert likely(TRIED_S, [line(0.5, 0.2)], np.nan, (2.0, 20.0)) is None
    assert likely(TRIED_S, [np.full(len(TRIED_S), np.nan)], 5.0, (2.0, 20.0)) is None


def test_what_both_ways_to_place_requests_explain_stays_open():
    """5 s are a cold start of 8 s with requests at any time, and one of 4 s with all at one time: either may be."""
    together = 3.0 + 0.5 * TRIED_S + 0.2 * RANDOM.standard_normal(len(TRIED_S))
    low_s, high_s = likely(TRIED_S, [line(0.5, 0.2), together], 5.0, (2.0, 20.0)) or (0.0, 0.0)
    assert low_s < 4.0
    assert high_s > 8.0
    # Nothing speaks for the second where it needs a cold start that the scrapes rule out.
    low_s, high_s = likely(TRIED_S, [line(0.5, 0.2), together], 5.0, (6.0, 20.0)) or (0.0, 0.0)
    assert low_s > 6.5


def prepared(name: str, folder: Path, cold_start: str | None = None) -> Prepared:
    """A recorded run at scrapes of 15 s."""
    observation = observing.thinned(prometheus_runs.observation(name), 3)
    observation.write(folder / "observed")
    config = json.loads((prometheus_runs.folder(name) / "run.json").read_text())["config-autoscaler"]
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config-autoscaler"}}
    (folder / "config.yaml").write_text(json.dumps({**head, "data": config}))
    manifest = str(prometheus_runs.folder(name) / "service.yaml")
    given = Given(manifest, (str(folder / "config.yaml"),), cold_start=cold_start, replications=20)
    return prepare(observation, folder / "observed", given)


@pytest.mark.parametrize("name", ["closed", "bursts-cold5"])
def test_the_cold_start_of_recorded_runs_is_narrowed_and_holds_the_truth(name: str, tmp_path: Path):
    """All pods start at a few moments, so that scrapes of 15 s leave more than 10 s open; requests waited for them."""
    before = prepared(name, tmp_path)
    after = narrowed(before)
    wide, narrow = before.times.start, after.times.start
    assert wide is not None
    assert narrow is not None
    assert narrow.high_s - narrow.low_s < wide.high_s - wide.low_s
    container = json.loads((prometheus_runs.folder(name) / "run.json").read_text())["container"]
    assert narrow.low_s <= container["ready_after_s"] <= narrow.high_s
    assert any("kube-state-metrics, or --cold-start" in note for note in after.notes)
    drawn = [
        float(one["cold-start.stages.start.time"][:-1]) for one in after.whole.experiment.raw["model"]["posterior"]
    ]
    assert min(drawn) == pytest.approx(narrow.low_s, rel=0.05)
    assert max(drawn) == pytest.approx(narrow.high_s, rel=0.05)


def test_a_cold_start_that_is_known_stays(tmp_path: Path):
    """Given by the user, or told by the scrapes."""
    given = prepared("closed", tmp_path, cold_start="5s")
    assert trials(given) == 0
    assert narrowed(given) is given
    assert trials(prepared("rev-change", tmp_path)) == 0


def test_pod_seconds_of_a_run_are_exact_whatever_the_scrapes_see():
    """Every pod from Ready to the end or to its removal, and the replicas asked for, added up by hand."""
    experiment = load(Path(__file__).parents[3] / "experiments" / "steps.yaml")
    [outcome] = simulate(experiment, replications=1, engine="reference").outcomes
    begin_s, end_s = 300.0, 2500.0
    ready_s = 0.0
    for pod in outcome.pods:
        if pod[READY] != NEVER_NS:
            gone_s = np.inf if pod[ASKED] == NEVER_NS else (pod[ASKED] - outcome.load_ns) / SECOND_NS
            ready_s += max(0.0, min(end_s, gone_s) - max(begin_s, (pod[READY] - outcome.load_ns) / SECOND_NS))
    ready, requested = predict.pod_time(outcome, begin_s, end_s)
    assert ready == pytest.approx(ready_s)
    fine_s = np.arange(begin_s, end_s, 0.01)
    seen = predict.gauges(outcome, fine_s)
    assert ready == pytest.approx(0.01 * seen["pods"].sum(), rel=1e-3)
    assert requested == pytest.approx(0.01 * seen["requested"].sum(), rel=1e-3)
    assert ready > 0
    assert predict.pod_time(outcome, 30.0, 30.0) == (0.0, 0.0)
