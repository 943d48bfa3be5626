"""Settings that differ, whatever they are spelt like."""

from pathlib import Path

import pytest

from kpasim.spec.autoscaler import AutoscalerConfig
from kpasim.spec.difference import Difference, differences, read_either
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.manifest import ServiceManifest, read_service
from tests.spec.files import MANIFEST, write

MAX = 'autoscaling.knative.dev/max-scale: "4"'


def manifest(folder: Path, name: str, text: str) -> ServiceManifest:
    """The Service of a text."""
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return read_service(path, AutoscalerConfig())


def compared(folder: Path, old: str, new: str) -> list[Difference]:
    """What a replacement in the manifest changes."""
    assert old in MANIFEST
    return differences(manifest(folder, "a", MANIFEST), manifest(folder, "b", MANIFEST.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max-scale", "maxScale"),
        ('"4"', "'4'"),
        (MAX, MAX + '\n        autoscaling.knative.dev/maxScale: "9"'),
        ("  name: painter\n", "  name: painter\n  resourceVersion: '7'\n  uid: x\n"),
        ("spec:\n  template", "status: {url: x}\nspec:\n  template"),
        ("ports: [{containerPort: 8080}]", "ports:\n            - containerPort: 8080"),
    ],
)
def test_spelling_makes_no_difference(old: str, new: str, tmp_path: Path) -> None:
    """Nor do quotes, flow style, or what a cluster writes into a manifest."""
    assert compared(tmp_path, old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "setting", "before", "after"),
    [
        ('"4"', '"5"', "annotations.max-scale", "4", "5"),
        (MAX, MAX + '\n        autoscaling.knative.dev/minScale: "1"', "annotations.min-scale", None, "1"),
        ("containerConcurrency: 1", "containerConcurrency: 2", "containerConcurrency", 1, 2),
        ("      timeoutSeconds: 300\n", "", "timeoutSeconds", 300, None),
        ('gpu: "1"', 'gpu: "2"', "containers.0.resources.limits.nvidia.com/gpu", "1", "2"),
        ("team: ", "group: ", "metadata.annotations.team", "graphics", None),
    ],
)
def test_what_differs(old: str, new: str, setting: str, before: object, after: object, tmp_path: Path) -> None:
    """Each setting by its path, with both values."""
    assert compared(tmp_path, old, new)[0] == Difference(setting, before, after)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """The small experiment."""
    return load(write(tmp_path))


def test_experiments_differ_in_any_section(experiment: Experiment) -> None:
    """A default that is written out is no difference, a duration in another unit neither."""
    settings = {
        "service.annotations.max-scale": 5,
        "workload.rate": 2,
        "workload.duration": 600,
        "cluster.ingress.policy": "random",
        "cluster.activators": 1,
        "config-autoscaler.stable-window": "1m",
        "model.cold-start.stages.load.time": "5s",
    }
    found = {one.setting: one[1:] for one in differences(experiment, experiment.with_settings(settings))}
    assert found == {
        "service.annotations.max-scale": ("4", "5"),
        "workload.rate": (0.5, 2.0),
        "model.cold-start.stages.load.time.time": ("20s", "5s"),
        "cluster.ingress.policy": (None, "random"),
    }


def test_draws_of_a_posterior_are_one_setting(experiment: Experiment) -> None:
    """However many draws a model holds, they are one line; other draws are another value, the same ones none."""
    path = "service-time.time.median"
    one, other = ({"model.posterior": [{path: median}, {path: "5s"}]} for median in ("3s", "4s"))
    drawn = experiment.with_settings(one)

    (found,) = differences(drawn, experiment.with_settings(other))
    assert found.setting == "model.posterior"
    assert str(found.before).startswith("2 draws, ")
    assert str(found.after).startswith("2 draws, ")
    assert [(one.setting, one.before) for one in differences(experiment, drawn)] == [("model.posterior", None)]
    assert differences(drawn, experiment.with_settings(one)) == []


def test_an_experiment_beside_a_manifest(experiment: Experiment, tmp_path: Path) -> None:
    """Only the manifests are compared."""
    other = manifest(tmp_path, "b", MANIFEST.replace('"4"', '"5"'))
    assert differences(experiment, other) == [Difference("annotations.max-scale", "4", "5")]


def test_a_file_is_told_by_what_it_holds(experiment: Experiment, tmp_path: Path) -> None:
    """A `kind` makes a manifest."""
    assert isinstance(read_either(tmp_path / "painter.yaml"), ServiceManifest)
    assert isinstance(read_either(str(experiment.path)), Experiment)
