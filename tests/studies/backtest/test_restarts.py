"""Restarts that metrics show, and what they do to a prediction."""

import json
from pathlib import Path

import numpy as np
import pytest

from kpasim.spec.experiment import load
from kpasim.studies.backtest.compare import backtest
from kpasim.studies.backtest.prepare import Given, experiment_text, prepare
from kpasim.studies.backtest.restarts import restarts, settings
from tests import observing, prometheus_runs

RUN = "act-crash"
T0_S = json.loads((prometheus_runs.folder(RUN) / "run.json").read_text())["t0_unix_s"]
"""The autoscaler's container was killed at 100 s, its pod deleted at 200 s; the activator was killed at 330 s."""


@pytest.mark.parametrize(("every", "within_s"), [(1, 1.0), (3, 1.0)])
def test_restarts_are_found(every: int, within_s: float):
    """Whatever the scrape interval: the start of each process is recorded."""
    found = restarts(observing.thinned(prometheus_runs.observation(RUN), every))
    assert [one.role for one in found] == ["autoscaler", "autoscaler", "activator"]
    assert [one.at_s - T0_S for one in found] == pytest.approx([100.0, 200.0, 330.0], abs=within_s)
    # First reports in the autoscaler's log: 122.3, 214.3, 346.3 s, at ticks of 2 s.
    assert [one.connected_s - T0_S for one in found] == pytest.approx([121.3, 213.3, 345.3], abs=3.0)


def test_the_other_runs_have_none():
    """A pod's own restart, or a revision's, is none."""
    for name in set(prometheus_runs.names()) - {RUN}:
        assert not restarts(prometheus_runs.observation(name)), name


def test_only_restarts_after_the_begin_are_simulated():
    """In seconds from the begin of the load; activators by their place."""
    found = restarts(prometheus_runs.observation(RUN))
    made = settings(found, T0_S + 150.0, T0_S + 500.0, 1)
    assert [row["at"] for row in made["cluster.autoscaler-restarts"]] == [f"{found[1].at_s - T0_S - 150.0:.3f}s"]
    assert [row["activator"] for row in made["cluster.activator-restarts"]] == [1]


def test_a_restart_is_predicted(tmp_path: Path):
    """The average begins at 0 again in every replication, and pods stay: panic, as recorded."""
    observation = prometheus_runs.observation(RUN)
    observation.write(tmp_path / "observed")
    given = Given(str(prometheus_runs.folder(RUN) / "service.yaml"), cold_start="5s", replications=20)
    prepared = prepare(observation, tmp_path / "observed", given)
    found = backtest(prepared, 20)
    assert found.coverage > 0.8
    after = int(np.searchsorted(found.edges_s - T0_S, 216.0)) - 1
    assert found.bands["concurrency"].predicted[after] < found.bands["concurrency"].predicted[after - 1]
    assert found.bands["panic"].predicted[after] > 0.9
    out = tmp_path / "experiment.yaml"
    out.write_text(experiment_text(prepared, out))
    assert not load(out).cluster.autoscaler_restarts
