"""Sweep files: axes, designs, and wrong values found before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from kpasim.errors import ExperimentError
from kpasim.spec.experiment import load
from kpasim.spec.sweep import Range, Sweep, load_sweep
from tests.spec.files import write

SWEEP = """\
experiment: experiment.yaml
with:
  service.annotations.min-scale: 1
axes:
  service.annotations.target-utilization-percentage: [50, 70]
  service.annotations.max-scale: {from: 2, to: 6, step: 2}
replications: 7
"""


def sweep_of(folder: Path, text: str = SWEEP) -> Path:
    """Write the sweep and its experiment."""
    write(folder)
    path = folder / "sweep.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ({"from": 2, "to": 6, "step": 2}, [2, 4, 6]),
        ({"from": 0, "to": 1, "step": 0.25}, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ({"from": 0.1, "to": 0.3, "step": 0.1}, [0.1, 0.2, 0.3]),
        ({"from": 1, "to": 5}, [1, 2, 3, 4, 5]),
        ({"from": 1, "to": 100, "steps": 3, "scale": "log"}, [1, 10, 100]),
        ({"from": "20s", "to": "1m", "step": "20s"}, ["20s", "40s", "1m"]),
        ({"from": "6s", "to": "24s", "steps": 3, "scale": "log"}, ["6s", "12s", "24s"]),
        ({"from": 2, "to": 7, "step": 2}, [2, 4, 6]),
    ],
)
def test_ranges(data: Any, values: list[Any]) -> None:
    """Whole numbers stay whole, durations stay durations, and no rounding shows."""
    found = Range.model_validate(data).values()
    assert found == values
    assert [type(one) for one in found] == [type(one) for one in values]


def test_a_point_of_a_range() -> None:
    """Samples of a design lie between the ends, on the steps where there are any."""
    assert Range.model_validate({"from": 0.0, "to": 4.5}).at(0.5) == 2.25
    assert Range.model_validate({"from": 2, "to": 6, "step": 2}).at(0.99) == 6
    assert Range.model_validate({"from": 1, "to": 100, "scale": "log", "steps": 2}).at(0.5) == 10
    # Values that people can read: a thousandth of the range, or four digits.
    assert Range.model_validate({"from": 0.02, "to": 0.52}).at(1 / 3) == 0.1867
    assert Range.model_validate({"from": 0.02, "to": 0.52, "scale": "log"}).at(1 / 3) == 0.05925
    assert Range.model_validate({"from": 1000.1, "to": 1000.2}).at(0.5) == 1000.15
    assert Range.model_validate({"from": 0.123456, "to": 7.654321}).at(1) == 7.654321


def test_a_grid_is_all_combinations(tmp_path: Path) -> None:
    """The last setting changes fastest; fixed settings are in the experiment already."""
    sweep, experiment = load_sweep(sweep_of(tmp_path))
    variants = sweep.grid()
    assert len(variants) == 6
    assert [tuple(one.values()) for one in variants[:4]] == [(50, 2), (50, 4), (50, 6), (70, 2)]
    assert (experiment.revision.min_scale, experiment.replications) == (1, 7)
    assert experiment.with_settings(variants[0]).revision.max_scale == 2


def test_a_sampled_design(tmp_path: Path) -> None:
    """Each setting takes its value at its own share."""
    sweep, _ = load_sweep(sweep_of(tmp_path, SWEEP + "design: sobol\nsettings: 8\n"))
    assert list(sweep.at([0.9, 0.1]).values()) == [70, 2]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "[50, 70]",
            "[50, 700]",
            "sweep.yaml:5: axes.service.annotations.target-utilization-percentage: 700 is out of range",
        ),
        (
            "max-scale",
            "maxscale",
            "sweep.yaml:6: axes.service.annotations.maxscale: unknown annotation (did you mean max-scale?)",
        ),
        ("min-scale: 1", "min-scale: x", "sweep.yaml:3: with.service.annotations.min-scale: 'x' is not a whole number"),
        ("[50, 70]", "[]", "has no values"),
        ("{from: 2, to: 6, step: 2}", "{from: 6, to: 2}", "to is not above from"),
        ("{from: 2, to: 6, step: 2}", "{from: 2, to: 6s}", "different kinds"),
        ("{from: 2, to: 6, step: 2}", "{from: 0, to: 6, scale: log}", "needs steps, and from above 0"),
        ("{from: 2, to: 6, step: 2}", "{form: 2, to: 6}", "form: unknown key (did you mean from?)"),
        ("replications: 7", "design: sobol", "settings belongs to sampled designs"),
        ("replications: 7", "settings: 3", "settings belongs to sampled designs"),
        ("step: 2}", "step: 0.0001}", "asks for 4,000,100 settings"),
        (
            "  service.annotations.max-scale: {from: 2, to: 6, step: 2}",
            "  seed: [1, 2]",
            "sweep.yaml:6: axes.seed: is the same",
        ),
        ("replications: 7", "percentiles: [p96]", "sweep.yaml:7: percentiles[0]: 'p96' is not known"),
        ("replications: 7", "horizon: 5 min", "sweep.yaml:7: horizon: '5 min' is not a duration"),
        ("experiment.yaml", "nope.yaml", "sweep.yaml:1: experiment:"),
        ("axes:", "axs:", "did you mean axes?"),
    ],
)
def test_sweeps_that_are_refused(old: str, new: str, words: str, tmp_path: Path) -> None:
    """With file, line and key, before the first run."""
    text = SWEEP.replace("[50, 70]", "{from: 1, to: 100, steps: 100}") if "0.0001" in new else SWEEP
    with pytest.raises(ExperimentError) as caught:
        load_sweep(sweep_of(tmp_path, text.replace(old, new, 1)))
    assert words in str(caught.value)


def test_defaults() -> None:
    """A sweep is a grid that weighs cost against p95."""
    sweep = Sweep.model_validate({"experiment": "x.yaml", "axes": {"workload.rate": [1, 2]}})
    assert (sweep.design, sweep.percentiles) == ("grid", ("p95",))


def test_values_that_are_right_beside_others_only(tmp_path: Path) -> None:
    """A min-scale above the manifest's max-scale is no mistake where the other axis raises the max-scale."""
    text = "experiment: experiment.yaml\naxes:\n  service.annotations.min-scale: [1, 6]\n"
    with pytest.raises(ExperimentError, match=r"sweep.yaml:3: axes.service.annotations.min-scale: "):
        load_sweep(sweep_of(tmp_path, text))
    sweep, _ = load_sweep(sweep_of(tmp_path, text + "  service.annotations.max-scale: [4, 8]\n"))
    assert len(sweep.grid()) == 4


def test_instance_types_are_named(tmp_path: Path) -> None:
    """An axis over instance types lists names, or lists of names in the order they are tried."""
    path = sweep_of(tmp_path, "experiment: experiment.yaml\naxes:\n  cluster.instance-types: [[small], small]\n")
    sweep, experiment = load_sweep(path)
    assert [[one.name for one in experiment.with_settings(row).instance_types] for row in sweep.grid()] == [
        ["small"],
        ["small"],
    ]
    path.write_text(path.read_text().replace("[small], small", "[smal]"))
    with pytest.raises(ExperimentError, match=r"sweep.yaml:3: .*'smal' is not listed \(did you mean small\?\)"):
        load_sweep(path)


def test_other_files_are_told_what_they_are(tmp_path: Path) -> None:
    """A manifest, a model or an experiment instead of a sweep, or a sweep instead of an experiment: one line."""
    path = sweep_of(tmp_path)
    (tmp_path / "model.yaml").write_text("name: a\nservice-time: 3s\ncold-start: 60s\n")
    for wrong, read, words in [
        ("painter.yaml", load_sweep, "is a Kubernetes Service, not a sweep (make an experiment of a Service: kpasim"),
        ("painter.yaml", load, "is a Kubernetes Service, not an experiment (make an experiment of a Service: kpasim"),
        (load_sweep(path)[0].experiment, load_sweep, "service: belongs to an experiment; a sweep names one"),
        (path.name, load, "axes: belong to a sweep, not to an experiment (kpasim sweep"),
        ("model.yaml", load, "model.yaml:2: service-time: belongs to a model, not to an experiment"),
        ("model.yaml", load_sweep, "model.yaml:2: service-time: belongs to a model, not to a sweep"),
    ]:
        with pytest.raises(ExperimentError) as caught:
            read(tmp_path / wrong)
        assert len(caught.value.problems) == 1
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ({"from": 1, "to": 3, "steps": 9}, [1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3]),
        ({"from": 1, "to": 2}, [1, 1.25, 1.5, 1.75, 2]),
        ({"from": 0, "to": 1, "steps": 4}, [0, 0.333333, 0.666667, 1]),
        ({"from": 1, "to": 2, "steps": 3, "scale": "log"}, [1, 1.41421, 2]),
        ({"from": "1s", "to": "2s", "steps": 3}, ["1s", "1.5s", "2s"]),
        ({"from": "1s", "to": "1.0002s", "steps": 3}, ["1s", "1.0001s", "1.0002s"]),
        ({"from": 0.1, "to": 0.2, "steps": 3001}, [round(0.1 + place / 30000, 10) for place in range(3001)]),
        ({"from": 1, "to": 3, "step": 0.5}, [1, 1.5, 2, 2.5, 3]),
    ],
)
def test_a_range_gives_the_numbers_that_were_asked_for(data: Any, values: list[Any]) -> None:
    """Evenly spaced between the ends, each once, whole or not."""
    found = Range.model_validate(data).values()
    assert len(set(found)) == len(values)
    if isinstance(values[0], str):
        assert found == values
    else:
        assert found == pytest.approx(values, rel=1e-5)


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("workload.rate: {from: 1, to: 3, steps: 5}", [1.0, 1.5, 2.0, 2.5, 3.0]),
        ("service.annotations.max-scale: {from: 1, to: 3, steps: 9}", [1, 2, 3]),
        ("service.annotations.max-scale: {from: 1, to: 10, steps: 4, scale: log}", [1, 2, 5, 10]),
        ("service.annotations.window: {from: 20s, to: 2m, steps: 4, scale: log}", ["20s", "36s", "1m6s", "2m"]),
        ("workload.duration: {from: 1m, to: 61s, steps: 3}", ["1m", "1m0.5s", "1m1s"]),
        ("workload.rate: [1, 2, 1, 1.0]", [1, 2]),
    ],
)
def test_whole_numbers_only_where_the_setting_takes_no_others(axis: str, values: list[Any], tmp_path: Path) -> None:
    """Rounded values are listed once, and so are doubles in a list."""
    sweep, experiment = load_sweep(sweep_of(tmp_path, f"experiment: experiment.yaml\naxes:\n  {axis}\n"))
    [path] = sweep.axes
    assert sweep.values()[path] == values
    assert [row[path] for row in sweep.grid()] == values
    for value in values:
        experiment.with_setting(path, value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{from: 0, to: 999999999, step: 1}", "asks for 1,000,000,000 values (at most 100,000"),
        ("{from: 1, to: 2, steps: 1000000000}", "asks for 1,000,000,000 values (at most 100,000"),
        ("{from: 1, to: 2, step: 1.0e-300}", "values (at most 100,000"),
        ("{from: 1, to: 2, step: 0}", "needs step or steps"),
        ("{from: 1, to: 2, step: -1}", "needs step or steps"),
        ("{from: 1, to: 2, steps: 1}", "steps"),
        ("{from: 2, to: 2}", "to is not above from"),
        ("{from: 1, to: .inf}", "from and to must be at most 1e+15"),
        ("{from: 1, to: 1.0e+308}", "from and to must be at most 1e+15"),
        ("{from: 5.0e-324, to: 1, steps: 3, scale: log}", "too near to 0"),
        ("{from: 1, to: 10, step: 2s}", "different kinds"),
    ],
)
def test_an_impossible_range_is_one_clear_line(given: str, words: str, tmp_path: Path) -> None:
    """It names the file, the line and the number of values."""
    path = sweep_of(tmp_path, f"experiment: experiment.yaml\naxes:\n  workload.rate: {given}\n")
    with pytest.raises(ExperimentError) as caught:
        load_sweep(path)
    assert words in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert "sweep.yaml:3: axes.workload.rate" in str(caught.value)
