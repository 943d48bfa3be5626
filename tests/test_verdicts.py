"""Verdicts on simulated runs: identical settings are seldom called different, and a difference of 10 % is found."""

import pytest

from benchmarks.verdicts import measured, problems
from kpasim.spec.experiment import Experiment, from_mapping
from tests.services import service


def small() -> Experiment:
    """A load of ten requests."""
    return from_mapping(
        {
            "service": service(containerConcurrency=1),
            "workload": {"kind": "poisson", "rate": 0.1, "duration": "100s"},
            "model": {"service-time": {"distribution": "lognormal", "median": "3s", "sigma": 0.3},
                      "cold-start": "10s"},
            "cluster": {"instance-types": [{"name": "gpu", "price-per-hour": 3.6}]},
        }
    )  # fmt: skip


def test_a_few_trials_of_a_small_load() -> None:
    """40 trials of 50 replications: the short form of the table in the documentation."""
    found = measured(small(), trials=40, replications=50, engine="compiled")
    assert found.alarms <= 0.05
    assert found.paired >= 0.9
    assert 0.08 < found.size < 0.14


@pytest.mark.statistical
@pytest.mark.parametrize("name", problems())
def test_every_problem_of_the_documentation(name: str) -> None:
    """400 trials with the default number of replications, as `python benchmarks/verdicts.py` measures them."""
    experiment = problems()[name]()
    found = measured(experiment, 400, experiment.replications)
    assert found.alarms <= 0.05
    assert found.paired >= 0.9
