"""What the cluster adds to an InferenceService: a ServingRuntime and resources; a predictor's own name, a canary."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.errors import ExperimentError
from kpasim.spec.configmaps import cluster_of
from kpasim.spec.experiment import load
from kpasim.spec.manifest import ServiceManifest, read_service

HUGGINGFACE = """apiVersion: serving.kserve.io/v1alpha1
kind: ClusterServingRuntime
metadata: {name: huggingface}
spec:
  annotations: {prometheus.kserve.io/port: "8080", autoscaling.knative.dev/window: 20s,
                autoscaling.knative.dev/max-scale: "9"}
  supportedModelFormats: [{name: huggingface, version: "1", autoSelect: true, priority: 1}]
  protocolVersions: [v2, v1]
  nodeSelector: {pool: gpu}
  containers:
  - name: kserve-container
    image: example.org/huggingface:v1
    args: ["--token=hunter2"]
    env: [{name: TOKEN, value: hunter2}]
    readinessProbe: {httpGet: {path: /v2/health/ready}, periodSeconds: 7}
    resources: {requests: {cpu: "3", memory: 2Gi}, limits: {cpu: "4"}}
"""
SKLEARN = HUGGINGFACE.replace("huggingface", "sklearn").replace("v1\n    args", "v9\n    args")
MODEL = "model: {modelFormat: {name: huggingface}, resources: {limits: {nvidia.com/gpu: 1, cpu: 5}}}"


def made(folder: Path, predictor: str, *files: str, annotations: str = "{}") -> ServiceManifest:
    """The Knative Service of a predictor on a cluster whose configuration is known."""
    (folder / "isvc.yaml").write_text(
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
        f"metadata: {{name: painter, annotations: {annotations}}}\nspec: {{predictor: {{{predictor}}}}}\n"
    )
    paths = []
    for index, text in enumerate(files):
        paths.append(folder / f"cluster-{index}.yaml")
        paths[-1].write_text(text)
    cluster = cluster_of(paths)
    return read_service(folder / "isvc.yaml", cluster.autoscaler, cluster.defaults)


def container(service: ServiceManifest) -> dict[str, Any]:
    """The container that serves."""
    found: dict[str, Any] = service.data["spec"]["template"]["spec"]["containers"][0]
    return found


def test_a_serving_runtime_brings_image_probes_resources_and_annotations(tmp_path: Path) -> None:
    """The model's own resources are laid over it; max-scale is on the list of annotations that are not handed down."""
    service = made(tmp_path, MODEL, HUGGINGFACE)
    assert service.image == "example.org/huggingface:v1"
    assert not service.kserve.has_unknown_image
    assert (service.probe.kind, service.probe.period_s) == ("http", 7.0)
    assert container(service)["resources"] == {
        "requests": {"cpu": "3", "memory": "2Gi"},
        "limits": {"cpu": 5, "nvidia.com/gpu": 1},
    }
    assert service.cpus == 3
    assert service.revision.stable_window_s == 20.0
    assert service.revision.max_scale == 0
    assert service.annotations["prometheus.kserve.io/port"] == "8080"
    assert service.data["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "gpu"}


def test_annotations_of_the_runtime_are_the_weakest(tmp_path: Path) -> None:
    """Predictor over InferenceService over runtime."""
    window = "{autoscaling.knative.dev/window: 30s}"
    assert made(tmp_path, MODEL, HUGGINGFACE, annotations=window).revision.stable_window_s == 30.0
    own = f"{MODEL}, annotations: {{autoscaling.knative.dev/window: 40s}}"
    assert made(tmp_path, own, HUGGINGFACE, annotations=window).revision.stable_window_s == 40.0


def test_a_setting_changes_the_users_file_and_not_the_runtime(tmp_path: Path) -> None:
    """An annotation of the runtime is overridden on the InferenceService."""
    service = made(tmp_path, MODEL, HUGGINGFACE)
    cluster = cluster_of([tmp_path / "cluster-0.yaml"])
    place = service.kserve.setting_place("annotations.window")
    changed = service.with_edits([(place, "50s")], cluster.autoscaler, cluster.defaults)
    assert changed.revision.stable_window_s == 50.0
    assert changed.image == service.image
    assert changed.written["metadata"]["annotations"] == {"autoscaling.knative.dev/window": "50s"}


@pytest.mark.parametrize(
    ("model", "files", "image"),
    [
        ("modelFormat: {name: sklearn}", [HUGGINGFACE, SKLEARN], "sklearn:v9"),
        ("modelFormat: {name: huggingface, version: '1'}", [HUGGINGFACE], "huggingface:v1"),
        ("modelFormat: {name: huggingface, version: '2'}", [HUGGINGFACE], ""),
        ("modelFormat: {name: pmml}", [HUGGINGFACE], ""),
        ("modelFormat: {name: pmml}, runtime: huggingface", [HUGGINGFACE], "huggingface:v1"),
        ("modelFormat: {name: huggingface}, runtime: gone", [HUGGINGFACE], ""),
        ("modelFormat: {name: huggingface}, runtimeVersion: v7-gpu", [HUGGINGFACE], "huggingface:v7-gpu"),
        ("modelFormat: {name: huggingface}, protocolVersion: grpc-v2", [HUGGINGFACE], ""),
        ("modelFormat: {name: huggingface}", [HUGGINGFACE.replace("autoSelect: true, ", "")], ""),
        ("modelFormat: {name: huggingface}", [HUGGINGFACE + "  disabled: true\n"], ""),
        (
            "modelFormat: {name: huggingface}",
            [HUGGINGFACE, HUGGINGFACE.replace("{name: huggingface}\n", "{name: other}\n").replace("v1\n", "v2\n")
             .replace("priority: 1", "priority: 2")],
            "huggingface:v2",
        ),
        (
            "modelFormat: {name: huggingface}",
            [HUGGINGFACE, HUGGINGFACE.replace("ClusterServing", "Serving").replace("v1\n", "v3\n")
             .replace("priority: 1", "priority: 0")],
            "huggingface:v3",
        ),
        (
            "modelFormat: {name: huggingface}",
            [HUGGINGFACE, HUGGINGFACE.replace("ClusterServing", "Serving").replace("v1\n", "v3\n")
             .replace("metadata: {", "metadata: {namespace: team, ")],
            "huggingface:v1",
        ),
    ],
)  # fmt: skip
def test_the_runtime_is_chosen_as_kserve_does(tmp_path: Path, model: str, files: list[str], image: str) -> None:
    """By name; else by format, version, protocol and priority, those of the namespace before those of the cluster."""
    service = made(tmp_path, f"model: {{{model}}}", *files)
    assert service.kserve.has_unknown_image == (not image)
    assert not image or service.image == f"example.org/{image}"


def test_an_old_key_names_the_format(tmp_path: Path) -> None:
    """`huggingface: {...}` is a model of that format."""
    assert made(tmp_path, "huggingface: {storageUri: 'hf://a/b'}", HUGGINGFACE).image == "example.org/huggingface:v1"


def test_nothing_secret_of_a_runtime_is_kept(tmp_path: Path) -> None:
    """Arguments and environment decide no prediction, and reach no run folder."""
    (tmp_path / "runtime.yaml").write_text(HUGGINGFACE)
    (tmp_path / "e.yaml").write_text(
        "service: isvc.yaml\ncluster-config: runtime.yaml\nworkload: {kind: hey, requests: 5, concurrency: 1}\n"
        "model: {service-time: 1s, cold-start: 1s}\nreplications: 2\n"
    )
    made(tmp_path, MODEL)
    experiment = load(tmp_path / "e.yaml")
    assert experiment.service.image == "example.org/huggingface:v1"
    assert "hunter2" not in json.dumps(experiment.raw)
    again = experiment.with_settings({"service.spec.predictor.maxReplicas": 3})
    assert (again.service.image, again.service.revision.max_scale) == ("example.org/huggingface:v1", 3)
    done = CliRunner().invoke(cli, ["run", str(tmp_path / "e.yaml"), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "hunter2" not in (tmp_path / "run" / "run.json").read_text()


def test_check_names_the_runtime_only_where_it_is_not_known(tmp_path: Path) -> None:
    """With it, its image and probe are looked at."""
    made(tmp_path, MODEL, HUGGINGFACE)
    words = ["check", str(tmp_path / "isvc.yaml"), "--no-trials"]
    without = CliRunner().invoke(cli, words)
    with_it = CliRunner().invoke(cli, [*words, "--cluster-config", str(tmp_path / "cluster-0.yaml")])
    assert "the ServingRuntime decides about image" in without.output
    assert "ServingRuntime" not in with_it.output


RESOURCES = """apiVersion: v1
kind: ConfigMap
metadata: {name: inferenceservice-config, namespace: kserve}
data:
  inferenceService: |
    {"resource": {"cpuLimit": "1", "memoryLimit": "2Gi", "cpuRequest": "200m", "memoryRequest": "512Mi"}}
"""


def test_a_container_of_ones_own_gets_the_cluster_s_resources(tmp_path: Path) -> None:
    """What it does not name itself; a model gets none, its runtime has them."""
    own = "containers: [{image: example.org/own:1, resources: {limits: {cpu: 3}}}]"
    service = made(tmp_path, own, RESOURCES)
    assert container(service)["resources"] == {
        "limits": {"cpu": 3, "memory": "2Gi"},
        "requests": {"cpu": "200m", "memory": "512Mi"},
    }
    assert service.cpus == 0.2
    assert "resources" not in container(made(tmp_path, own.replace(", resources: {limits: {cpu: 3}}", "")))
    assert container(made(tmp_path, MODEL, RESOURCES))["resources"] == {"limits": {"nvidia.com/gpu": 1, "cpu": 5}}


def test_a_predictor_with_a_name_has_it_in_its_service(tmp_path: Path) -> None:
    """Between the InferenceService's name and the component's."""
    assert made(tmp_path, f"name: large, {MODEL}").name == "painter-large-predictor"


def test_a_canary_s_percentage_is_noted_and_bounded(tmp_path: Path) -> None:
    """It splits traffic only beside a revision that was rolled out; the run has the latest one alone."""
    service = made(tmp_path, f"canaryTrafficPercent: 10, {MODEL}")
    assert ("spec", "predictor", "canaryTrafficPercent") in service.kserve.unmodelled
    assert "traffic" not in service.data["spec"]
    with pytest.raises(ExperimentError, match=r"canaryTrafficPercent: 101 .*100"):
        made(tmp_path, f"canaryTrafficPercent: 101, {MODEL}")
