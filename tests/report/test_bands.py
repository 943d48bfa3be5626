"""The band of ready pods: what pods_by_state counts in each replication, and its quantiles over all of them."""

from pathlib import Path

import numpy as np
import pytest

from kpasim.report import bands
from kpasim.results.states import pods_by_state
from kpasim.spec.experiment import load
from kpasim.studies.run import simulate

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def result():
    """A few runs of the headline experiment, in some of which pods are there in the end."""
    experiment = load(EXPERIMENTS / "hey50x5.yaml").with_settings({"horizon": "200s"})
    return simulate(experiment, replications=12, engine="reference")


def test_ready_pods_are_those_of_each_replication(result):
    """At moments between, and exactly at, changes each row is what one run's own table says."""
    changes = np.concatenate([result.tables(k).pods["ready_s"] for k in range(result.replications)])
    t_s = np.unique(np.concatenate([np.linspace(0, 200, 101), changes[~np.isnan(changes)]]))

    found = bands.ready_pods(result.pods, t_s)

    for k in range(result.replications):
        assert found[k].tolist() == pods_by_state(result.tables(k).pods, t_s)["ready"].tolist()


def test_the_band_holds_the_quantiles(result):
    """Low, middle and high are order statistics of the rows."""
    t_s, (low, middle, high) = bands.band(result.pods, 200.0)
    rows = np.sort(bands.ready_pods(result.pods, t_s), axis=0)

    assert np.array_equal(low, rows[0])
    assert np.array_equal(middle, rows[5])
    assert np.array_equal(high, rows[11])


def test_pods_that_are_never_ready_or_never_leave():
    """A pod without a ready time never counts, one that is asked to go first neither; one without an end stays."""
    nan = np.nan
    pods = {
        "ready_s": np.array([[1.0, nan, 5.0, 2.0]]),
        "delete_requested_s": np.array([[nan, 3.0, 4.0, 6.0]]),
        "gone_s": np.array([[nan, 4.0, 7.0, 8.0]]),
    }

    assert bands.ready_pods(pods, np.array([0.0, 1.0, 2.0, 5.0, 6.0, 9.0])).tolist() == [[0, 1, 2, 2, 1, 1]]
