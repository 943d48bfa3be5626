"""Where manifests live: Lists, several Services in a file, templates, and what is no Service."""

from pathlib import Path

import pytest

from kpasim.errors import ExperimentError, FileError
from kpasim.spec.autoscaler import AutoscalerConfig
from kpasim.spec.configmaps import Defaults
from kpasim.spec.experiment import load, loads
from kpasim.spec.manifest import read_service, setting_place
from kpasim.spec.objects import services_of
from kpasim.spec.quick import import_manifest
from kpasim.spec.sweep import load_sweep
from kpasim.studies.check import check_file

ITEM = """\
- apiVersion: serving.knative.dev/v1
  kind: Service
  metadata: {name: NAME, namespace: SPACE}
  spec:
    template:
      metadata: {annotations: {autoscaling.knative.dev/max-scale: "4"}}   # kept
      spec:
        containerConcurrency: 1
        containers: [{image: example/painter:1}]
"""
CONFIG = AutoscalerConfig()


def listed(folder: Path, *names: tuple[str, str]) -> Path:
    """A file as `kubectl get ksvc -o yaml` prints it."""
    path = folder / "list.yaml"
    items = "".join(ITEM.replace("NAME", name).replace("SPACE", space) for space, name in names)
    path.write_text(f"apiVersion: v1\nkind: List\nitems:\n{items}")
    return path


def test_the_only_service_of_a_list_is_read_and_written_back(tmp_path: Path) -> None:
    """Nothing else changes, and lines are those of the file."""
    path = listed(tmp_path, ("default", "painter"))
    service = read_service(path, CONFIG)
    assert (service.name, service.revision.max_scale) == ("painter", 4)
    assert service.line("spec", "template", "spec", "containerConcurrency") == 11
    assert service.to_yaml() == path.read_text()
    tuned = service.with_edits([(setting_place(service, "annotations.max-scale"), "9")], CONFIG, Defaults())
    assert tuned.to_yaml() == path.read_text().replace('"4"', '"9"')
    assert tuned.document["metadata"]["name"] == "painter"


def test_of_several_services_a_name_chooses(tmp_path: Path) -> None:
    """With the namespace where it is not the default one."""
    path = listed(tmp_path, ("default", "front"), ("art", "painter"))
    with pytest.raises(ExperimentError, match=r":13: holds 2 Services: front, art/painter \(name one: .*#front\)"):
        read_service(path, CONFIG)
    assert read_service(f"{path}#painter", CONFIG).namespace == "art"
    assert read_service(f"{path}#art/painter", CONFIG).name == "painter"
    with pytest.raises(ExperimentError, match="holds no Service x"):
        read_service(f"{path}#x", CONFIG)


def test_an_experiment_names_one_of_several_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import writes the name, and the experiment reads it."""
    path = listed(tmp_path, ("default", "front"), ("default", "painter"))
    monkeypatch.chdir(tmp_path)
    text = import_manifest(f"{path}#painter", out=None, hey_flags=None, service_time="1s", cold_start="2s")
    assert "service: list.yaml#painter" in text
    assert loads(text, base=tmp_path).service.name == "painter"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Service\nmetadata:\n  name: {{ .Release.Name }}-painter\n", "x.yaml:3: is a template"),
        ("kind: Service\nmetadata:\n  {{- with .Values.x }}\n  name: {{ . }}\n", "x.yaml:3: is a template"),
        ("kind: Service\nmetadata: {name: {{ .Values.name }}}\n", "x.yaml:2: is a template"),
        ("kind: Service\nmetadata:\n  {% if gpu %}\n  name: x\n  {% endif %}\n", "x.yaml:3: is a template, with {%"),
        (
            "kind: Service\nmetadata: {name: ${NAME}}\n",
            r"x.yaml:2: is a template, with \${: render it .*envsubst",
        ),
        ("kind: Service # for ${NAME}\nmetadata: {name: ]\n", "x.yaml:2: is not YAML"),
        ("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n", "is a kustomization: render it first"),
        ("apiVersion: v1\nkind: List\nitems: []\n", "it is an empty List"),
        ("apiVersion: apps/v1\nkind: Deployment\n", "it holds apps/v1 Deployment"),
        ("apiVersion: serving.kubeflow.org/v1beta1\nkind: InferenceService\n", r"write .* serving.kserve.io/v1beta1"),
    ],
)
def test_what_is_no_service_yet_gets_one_line(tmp_path: Path, text: str, message: str) -> None:
    """It says what to do first."""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    for reads in (lambda: read_service(path, CONFIG), lambda: check_file(path)):
        with pytest.raises(ExperimentError, match=message) as caught:
            reads()
        assert len(caught.value.problems) == 1


def test_of_services_of_one_name_none_can_be_chosen(tmp_path: Path) -> None:
    """A name that two have is no advice."""
    path = listed(tmp_path, ("default", "front"), ("default", "front"))
    for name in (str(path), f"{path}#front"):
        with pytest.raises(ExperimentError, match=r"holds 2 Services: front, front \(remove all but one\)"):
            read_service(name, CONFIG)


@pytest.mark.parametrize("ask", [load, load_sweep, check_file, services_of])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "apiVersion: v1\nkind: List\nitems: []\n",
            "an empty List, as kubectl get prints where it finds nothing",
        ),
        ("apiVersion: serving.knative.dev/v1\nkind: ServiceList\nitems: []\n", "it is an empty List"),
        ("{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ConfigMap}]}", "it holds v1 ConfigMap"),
    ],
)
def test_a_list_without_a_service_is_not_called_an_experiment(tmp_path: Path, text: str, message: str, ask) -> None:
    """Whatever it was meant to be: there is no Service in it to make an experiment of."""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(FileError, match=message) as caught:
        ask(path)
    assert "not an experiment" not in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "gpus"),
    [
        ("{nvidia.com/gpu: 2}", 2),
        ("{amd.com/gpu: '1'}", 1),
        ("{nvidia.com/mig-1g.10gb: 1}", 1),
        ("{nvidia.com/gpu.shared: 1}", 1),
        ("{gpu.intel.com/i915: 1}", 1),
        ("{gpu.intel.com/xe: 2}", 2),
        ("{aliyun.com/gpu: 1}", 1),
        ("{aliyun.com/gpu-mem: 8}", 1),
        ("{habana.ai/gaudi: 8}", 8),
        ("{google.com/tpu: 4}", 4),
        ("{cpu: 2, example.com/fpga: 1}", 0),
    ],
)
def test_accelerators_of_any_vendor_are_counted(tmp_path: Path, limits: str, gpus: int) -> None:
    """A slice or a share of one is one."""
    path = tmp_path / "ksvc.yaml"
    path.write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n"
        f"spec: {{template: {{spec: {{containers: [{{image: example/a, resources: {{limits: {limits}}}}}]}}}}}}\n"
    )
    assert read_service(path, CONFIG).gpus == gpus


@pytest.mark.parametrize(
    ("pod", "types"),
    [
        ("nodeSelector: {node.kubernetes.io/instance-type: g5.xlarge}", ("g5.xlarge",)),
        ("nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4, pool: x}", ("nvidia-l4",)),
        ("nodeSelector: {aliyun.accelerator/nvidia_name: NVIDIA-A10}", ("NVIDIA-A10",)),
        (
            "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: "
            "[{matchExpressions: [{key: node.kubernetes.io/instance-type, operator: In, values: [g5.xlarge, p3]}]}]}}}",
            ("g5.xlarge", "p3"),
        ),
        ("nodeSelector: {pool: x}", ()),
    ],
)
def test_the_type_of_the_nodes_is_read_from_what_the_pod_selects(tmp_path: Path, pod: str, types: tuple[str]) -> None:
    """An import lists it, and an experiment without instance types has it."""
    path = tmp_path / "ksvc.yaml"
    path.write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n"
        f"spec: {{template: {{spec: {{{pod}, containers: [{{image: example/a}}]}}}}}}\n"
    )
    assert read_service(path, CONFIG).node_types == types
    text = import_manifest(path, out=None, hey_flags=None, service_time="1s", cold_start="2s")
    assert f"- {{name: {types[0] if types else 'gpu'}}}" in text
    bare = "service: ksvc.yaml\nworkload: {kind: hey, requests: 5, concurrency: 5}\nmodel: {service-time: 1s}\n"
    assert tuple(one.name for one in loads(bare, base=tmp_path).instance_types) == types


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("metadata: {annotations: {run.googleapis.com/cpu-throttling: 'false'}}", "cloud-run"),
        ("metadata: {annotations: {example.com/x: 'false'}}", "gpu-slice"),
    ],
)
def test_cloud_run_and_parts_of_a_gpu_are_told(tmp_path: Path, line: str, rule: str) -> None:
    """What kpasim makes of them is an assumption."""
    path = tmp_path / "ksvc.yaml"
    path.write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n"
        f"spec: {{template: {{{line}, spec: {{containers: [{{image: example/a, "
        "resources: {limits: {nvidia.com/mig-1g.10gb: 1}}}]}}}\n"
    )
    names = {one.name for one in check_file(path)}
    assert rule in names
    assert ("cloud-run" in names) == (rule == "cloud-run")
    assert "gpu-limit" not in names


def test_an_account_of_cloud_run_is_refused_by_knative_and_can_be_simulated(tmp_path: Path) -> None:
    """Its e-mail address is no name of a ServiceAccount."""
    path = tmp_path / "ksvc.yaml"
    path.write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {template: {metadata: "
        "{annotations: {run.googleapis.com/x: some}}, spec: {serviceAccountName: x@y.iam.gserviceaccount.com, "
        "containers: [{image: example/a}]}}}\n"
    )
    assert read_service(path, CONFIG).name == "a"
    assert {"refused", "cloud-run"} <= {one.name for one in check_file(path)}
