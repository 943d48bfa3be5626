"""KServe's own Python package (PyPI) takes every InferenceService that kpasim writes, and loses nothing of it.

Its model server pins packages (psutil, pandas) that contradict the tests' own, so it is installed beside them.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from kpasim.cli.main import cli
from kpasim.cluster.calibration import one_pod
from kpasim.cluster.objects import document_of
from kpasim.spec.experiment import load
from kpasim.spec.scalers import scaler_yaml

ROOT = Path(__file__).parents[2]
PACKAGES = ("kserve==0.21.0", "six")  # of what kserve depends on, the tests lack six alone for its models
EXAMPLES = sorted(path.name for path in (ROOT / "experiments").glob("kserve-*.yaml"))
CHANGES = {
    "spec.predictor.minReplicas": 2,
    "spec.predictor.maxReplicas": 7,
    "spec.predictor.scaleTarget": 3,
    "spec.predictor.scaleMetric": "rps",
    "spec.predictor.containerConcurrency": 4,
    "spec.predictor.timeout": 60,
    "annotations.window": "30s",
    "annotations.scale-down-delay": "5m",
    "annotations.initial-scale": 2,
}
"""A setting of every kind that is written into an InferenceService."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package without what it depends on, in a folder of its own."""
    folder = tmp_path_factory.mktemp("kserve")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
    done = subprocess.run([*command, *PACKAGES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def parsed(package: Path, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Objects as KServe's models write them after they have read them."""
    command = [sys.executable, str(Path(__file__).with_name("kserve_models.py")), str(package)]
    done = subprocess.run(command, input=json.dumps(objects), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def exported(path: Path, *words: str) -> dict[str, Any]:
    """What `kpasim manifest export` writes."""
    done = CliRunner().invoke(cli, ["manifest", "export", str(path), *words])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = YAML(typ="safe").load(done.stdout)
    return found


def written(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Every InferenceService that kpasim writes: into a file, and to a cluster."""
    found = {}
    for name in EXAMPLES:
        path = ROOT / "experiments" / name
        found[name] = exported(path)
        for setting, value in CHANGES.items():
            found[f"{name} {setting}"] = exported(path, "--set", f"service.{setting}={value}")
        found[f"{name} all"] = exported(path, *(f"--set=service.{key}={value}" for key, value in CHANGES.items()))
        service = load(path).service
        found[f"{name} on a cluster"] = document_of(service.written, "default", "abc")
        found[f"{name} with an image"] = document_of(service.written, "default", "abc", image="example.org/x:1")
        found[f"{name} calibrated"] = one_pod(service.written)
        scaled = load(path).with_settings({"autoscaler": "keda"})
        found[f"{name} with KEDA"] = YAML(typ="safe").load(scaler_yaml(scaled, 2.0))
    tuned = tmp_path / "tuned.yaml"
    words = ["--slo", "p95<=100s", "--minimise", "pod-seconds", "--budget", "60", "--write", str(tuned)]
    done = CliRunner().invoke(cli, ["tune", str(ROOT / "experiments" / EXAMPLES[0]), *words])
    assert done.exit_code in (0, 3), done.output
    found["tuned"] = YAML(typ="safe").load(tuned.read_text())
    return found


def test_kserve_s_own_models_take_what_kpasim_writes(package: Path, tmp_path: Path) -> None:
    """Read and written again by KServe's package, nothing is lost and no type has changed."""
    ours = written(tmp_path)
    for document in ours.values():  # a quantity is text to the package; Kubernetes takes a number as well
        limits = document["spec"]["predictor"]["model"].get("resources", {}).get("limits", {})
        limits.update({name: str(amount) for name, amount in limits.items()})
    assert len(ours) == len(EXAMPLES) * (len(CHANGES) + 6) + 1
    theirs = dict(zip(ours, parsed(package, list(ours.values())), strict=True))
    for document in theirs.values():  # a model is a container to the package, and its name empty where it has none
        assert document["spec"]["predictor"]["model"].pop("name") == ""
    assert theirs == ours
    for name, document in ours.items():
        predictor = document["spec"]["predictor"]
        for setting, value in CHANGES.items():
            if name.endswith((setting, " all")) and setting.startswith("spec."):
                assert predictor[setting.rpartition(".")[2]] == value


def test_a_misspelt_field_is_lost_on_the_way(package: Path) -> None:
    """What the comparison above rests on: the package drops what it does not know."""
    document = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "a"}}
    wrong = {**document, "spec": {"predictor": {"minReplica": 2, "maxReplicas": 3}}}
    (found,) = parsed(package, [wrong])
    assert found["spec"]["predictor"] == {"maxReplicas": 3}
