"""The models that come along: readable, sourced, and what their sources say."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from kpasim.spec.experiment import read_model, shipped_models
from kpasim.spec.model import ServiceModel
from kpasim.studies.fit import modelfile

MODELS = sorted(shipped_models().glob("*.yaml"))


def model(name: str) -> ServiceModel:
    """A model that comes along."""
    return read_model(shipped_models() / f"{name}.yaml")[0]


def start_s(name: str) -> float:
    """Mean time of all stages of a model's start."""
    return sum(stage.time.mean_s() for stage in model(name).cold_start.stages)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_model_says_where_it_comes_from(path: Path) -> None:
    """Name, description and sources are there, and the file begins with what it is about."""
    found, _ = read_model(path)
    assert found.name == path.stem
    assert found.description
    assert len(found.source) >= 2
    assert path.read_text().startswith("# ")
    assert found.cold_start.stages


def test_presets_are_as_far_apart_as_their_sources() -> None:
    """Minutes on new machines, half a minute where machines are quick, less where everything is there."""
    assert 300 < start_s("sd15-vm-pool") < 600
    assert 45 < start_s("sd15-eci-imagecache") < 90
    assert 30 < start_s("sd15-serverless-gpu") < 60
    assert 12 < start_s("sd15-warm-node") < 25


@pytest.mark.parametrize(("name", "cached"), [("sd15-kserve", False), ("sd15-kserve-cached", True)])
def test_kserve_adds_the_download_of_the_model_to_a_warm_node(name: str, *, cached: bool) -> None:
    """A stage of its own, in every pod or once on a node; the rest is the same."""
    [stage] = [one for one in model(name).cold_start.stages if one.kind == "storage-initializer"]
    assert stage.cached_per_node == cached
    assert start_s(name) - start_s("sd15-warm-node") == pytest.approx(stage.time.mean_s())
    rest = tuple(one for one in model(name).cold_start.stages if one.kind != "storage-initializer")
    assert rest == model("sd15-warm-node").cold_start.stages


def test_the_load_times_are_those_of_the_trace() -> None:
    """Mean 22.0 s, median 22.7 s, 5 % below 2.3 s, 95 % below 45.4 s in 7,531 recorded loads."""
    stage = next(one for one in model("gentd26-mix").cold_start.stages if one.name == "load")
    drawn = np.sort(stage.time.ppf((np.arange(100_000) + 0.5) / 100_000))
    assert stage.time.mean_s() == pytest.approx(22.0, rel=0.02)
    assert np.percentile(drawn, [5, 25, 50, 95]) == pytest.approx([2.3, 3.1, 22.7, 45.4], rel=0.15)


def test_the_production_mix_is_that_of_the_trace() -> None:
    """Mean 20.3 s, p95 36 s, p99 52 s in 12,069 recorded requests, which a lognormal meets to a tenth."""
    drawn = model("gentd26-mix").service_time.time.ppf((np.arange(100_000) + 0.5) / 100_000)
    assert float(drawn.mean()) == pytest.approx(20.3, rel=0.01)
    assert np.percentile(drawn, [95, 99]) == pytest.approx([36, 52], rel=0.12)


def test_only_guesses_are_provisional() -> None:
    """The headline model and the one without a published start time are marked."""
    provisional = {path.stem for path in MODELS if read_model(path)[0].provisional}
    assert provisional == {"sd15-eci-imagecache"}


def test_draws_may_be_written_as_a_table() -> None:
    """A text with a line of places and a line for each draw says the same as a list of mappings."""
    plain = {"service-time": "1s", "cold-start": "2s"}
    places = "service-time.time", "shutdown.stop-time"
    listed = [dict(zip(places, values, strict=True)) for values in (("1.5s", 2.0), ("3s", 0.5))]
    table = "service-time.time, shutdown.stop-time\n1.5s, 2\n3s, 0.5\n"

    assert ServiceModel.model_validate({**plain, "posterior": table}) == ServiceModel.model_validate(
        {**plain, "posterior": listed}
    )
    assert ServiceModel.model_validate({**plain, "posterior": modelfile.table(listed)}).posterior == tuple(listed)


def test_a_cell_of_a_table_may_be_a_distribution() -> None:
    """Commas within its braces part no cells."""
    parts = [{"weight": weight, "distribution": "lognormal", "median": "2s", "sigma": 0.1} for weight in (0.25, 0.75)]
    listed = [
        {"service-time.time": {"distribution": "mixture", "components": parts}, "shutdown.stop-time": 2.0},
        {"service-time.time": {"distribution": "gamma", "mean": "3s", "cv": 0.2}, "shutdown.stop-time": 0.5},
    ]
    model = {"service-time": "1s", "cold-start": "2s", "posterior": modelfile.table(listed)}

    assert ServiceModel.model_validate(model).posterior == tuple(listed)


def test_a_table_with_a_short_line_is_refused() -> None:
    """The message says which draw it is, and how many values it lacks."""
    with pytest.raises(ValidationError, match="draw 2 has 1 values for 2 places"):
        ServiceModel.model_validate({"service-time": "1s", "posterior": "a, b\n1, 2\n3\n"})
