"""Runs of several settings summarised together."""

from pathlib import Path

import pytest

from kpasim.spec.experiment import load
from kpasim.studies import runner
from kpasim.studies.runner import Runner, figures_of, slo_figures_of
from tests.studies.sweeps import write

SETTINGS = (
    {"service.annotations.max-scale": 1},
    {"service.annotations.max-scale": 4, "service.annotations.min-scale": 3},
    {"cluster.instance-types": ["large"]},
    {"cost": {"per": "pod", "bills-from": "created", "granularity": "1m"}, "horizon": "90s"},
    {"workload": {"kind": "poisson", "rate": 0.4, "duration": "3m"}, "repeat": "1h", "start": "idled"},
    {"workload": {"kind": "poisson", "rate": 0.4, "duration": "3m"}},
)


@pytest.mark.parametrize("most_cells", [1, 1 << 18])
def test_figures_do_not_depend_on_other_runs(most_cells: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every figure and bill is that of the replication by itself, to the last bit, whatever is summarised with it."""
    monkeypatch.setattr(runner, "MOST_CELLS", most_cells)
    write(tmp_path)
    experiment = load(tmp_path / "painting.yaml")
    runners = [Runner(experiment.with_settings(one), "reference") for one in SETTINGS]
    results = [one.result(range(3)) for one in runners]
    # Loads that recur have a figure more; a sweep has it for all settings or for none.
    for some in (results[:4], results[4:5], results[5:]):
        found = figures_of(some)
        alone = [
            figures_of([Runner(one.experiment, "reference").result([replication])])
            for one in some
            for replication in range(3)
        ]
        for name, values in found.items():
            assert values.tobytes() == b"".join(each[name].tobytes() for each in alone), name
    assert len({one.pods["created_s"].shape for one in results}) > 2
    assert results[3].horizon_s.tolist() == [90.0] * 3


def test_slo_figures_do_not_depend_on_other_runners(tmp_path: Path) -> None:
    """The same of what SLOs are about: a stretch of a steady load, requests in flight at a horizon, another price."""
    write(tmp_path)
    experiment = load(tmp_path / "painting.yaml")
    steady = {"kind": "poisson", "rate": 0.4, "duration": "20m"}
    settings = (*SETTINGS[:4], {"workload": steady}, {"workload": steady, "horizon": "10m"})
    runners = [Runner(experiment.with_settings(one), "reference") for one in settings]
    ranges = [range(place, 4) for place in (0, 1, 2, 3, 3, 3)]
    together = slo_figures_of(list(zip(runners, ranges, strict=True)))
    for one, replications, found in zip(runners, ranges, together, strict=True):
        alone = Runner(one.experiment, "reference").slo_figures(replications)
        assert found.keys() == alone.keys()
        for name, values in found.items():
            assert values.tobytes() == alone[name].tobytes(), name
    for name, values in runners[4].result(ranges[4]).slo_figures.items():
        assert values.tobytes() == together[4][name].tobytes(), name
