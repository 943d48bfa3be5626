"""The three load tests that KServe's documentation publishes, as far as their reports tell how to repeat them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from kpasim.spec.experiment import load
from kpasim.studies.run import simulate

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


class Report(NamedTuple):
    """What hey printed: requests, their mean and the slowest [s], and the percentiles 10 to 99 [ms].

    Source:
        kserve/website@05b83a6, docs/model-serving/predictive-inference/autoscaling/kpa-autoscaler.md
    """

    requests: int
    average_s: float
    slowest_s: float
    percentiles_ms: tuple[float, ...]


REPORTS = {
    "concurrency": Report(4126, 0.0364, 10.1458, (17.8, 18.8, 19.9, 21.0, 23.1, 32.8, 150.1)),
    "rps": Report(20525, 0.0731, 10.8113, (28.4, 33.4, 40.8, 52.7, 76.5, 94.9, 133.4)),
    "gpu": Report(4292, 0.0350, 9.7581, (18.1, 18.9, 19.8, 21.0, 23.0, 27.6, 51.1)),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_published_report_of_kserve_is_reproduced(name: str) -> None:
    """Throughput, mean, slowest and percentiles from 10 to 90; the cold requests are the first of each client."""
    report, experiment = REPORTS[name], load(EXPERIMENTS / f"kserve-{name}.yaml")
    result = simulate(experiment, replications=1 if name == "rps" else 7, engine="reference")
    figures = result.summary["latency_s"]
    assert result.summary["errors"] == 0
    assert result.summary["requests"] == pytest.approx(report.requests, rel=0.05)
    assert figures["mean"] == pytest.approx(report.average_s, rel=0.05)
    assert figures["max"] == pytest.approx(report.slowest_s, rel=0.05)
    shares = ("p10", "p25", "p50", "p75", "p90")
    assert [1e3 * figures[share] for share in shares] == pytest.approx(report.percentiles_ms[:5], rel=0.05)
    latency_s = np.asarray(result.tables().requests["latency_s"])
    assert (latency_s > 5).sum() == experiment.workload.concurrency
    assert (latency_s[latency_s < 5] < 1.1).all()
