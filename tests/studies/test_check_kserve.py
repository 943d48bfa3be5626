"""What `kpasim check` says of InferenceServices: what KServe drops and fills in, and what only the cluster knows."""

from pathlib import Path

import pytest

from kpasim.spec.experiment import loads
from kpasim.studies.check import Finding, check_file, findings

ISVC = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: painter
  annotations: {autoscaling.knative.dev/max-scale: "9"}
  labels: {autoscaling.knative.dev/target: "1"}
spec:
  predictor:
    minReplicas: 0
    maxReplicas: 4
    containerConcurrency: 1
    model:
      modelFormat: {name: huggingface}
      storageUri: hf://example/painter
      resources: {limits: {nvidia.com/gpu: "1"}}
  transformer:
    containers: [{image: example/transformer:1}]
"""


def found_in(folder: Path, text: str) -> dict[str, Finding]:
    """Findings by rule."""
    path = folder / "isvc.yaml"
    path.write_text(text)
    return {one.name: one for one in check_file(path)}


def test_an_annotation_that_kserve_drops_is_named_with_the_field(tmp_path: Path) -> None:
    """At its line."""
    one = found_in(tmp_path, ISVC)["dropped-annotation"]
    assert (one.level, one.line, one.fix) == ("warning", 5, "Remove it, and set spec.predictor.maxReplicas.")


def test_labels_do_nothing_and_lines_are_those_of_the_file(tmp_path: Path) -> None:
    """The fix is about annotations that are handed down."""
    found = found_in(tmp_path, ISVC)
    assert (found["label-for-annotation"].line, found["utilisation"].line) == (6, 8)


@pytest.mark.parametrize("least", ["    minReplicas: 1\n", "    minReplicas: 0\n"])
def test_a_minimum_that_is_written_is_no_surprise(tmp_path: Path, least: str) -> None:
    """Only the default of 1 is."""
    assert "kserve-min-scale" not in found_in(tmp_path, ISVC.replace("    minReplicas: 0\n", least))
    one = found_in(tmp_path, ISVC.replace("    minReplicas: 0\n", ""))["kserve-min-scale"]
    assert one.level == "note"
    assert one.changes == {"service.spec.predictor.minReplicas": 0}


def test_a_mode_that_kserve_does_not_know_is_passed_over(tmp_path: Path) -> None:
    """The mode of the cluster holds, and the annotation is named."""
    mode = "{serving.kserve.io/deploymentMode: rawdeployment}"
    one = found_in(tmp_path, ISVC.replace('{autoscaling.knative.dev/max-scale: "9"}', mode))["dropped-annotation"]
    assert one.place == "metadata.annotations.serving.kserve.io/deploymentMode"
    assert (one.level, one.fix) == ("warning", "Write Knative or Standard.")


def test_the_runtime_and_the_transformer_are_notes(tmp_path: Path) -> None:
    """The probe of a runtime is not known, so nothing is said of it."""
    found = found_in(tmp_path, ISVC)
    assert {found[name].level for name in ("serving-runtime", "storage-initializer", "kserve-component")} == {"note"}
    assert found["kserve-component"].place == "spec.transformer"
    assert "kubectl get ksvc painter-predictor -o yaml" in found["serving-runtime"].fix
    assert not {"shallow-probe", "slow-probe"} & found.keys()


def test_a_container_of_ones_own_is_judged_by_its_probe(tmp_path: Path) -> None:
    """There is no runtime then, and nothing to download."""
    model = ISVC[ISVC.index("    model:") : ISVC.index("  transformer:")]
    found = found_in(tmp_path, ISVC.replace(model, "    containers: [{image: example/painter:1}]\n"))
    assert "shallow-probe" in found
    assert not {"serving-runtime", "storage-initializer"} & found.keys()


@pytest.mark.parametrize(("stage", "missing"), [("start", True), ("storage-initializer", False), ("pull", False)])
def test_a_cold_start_without_the_download_is_a_warning(tmp_path: Path, stage: str, *, missing: bool) -> None:
    """It is part of every start."""
    (tmp_path / "isvc.yaml").write_text(ISVC)
    experiment = loads(
        "service: isvc.yaml\nworkload: {kind: hey, requests: 5, concurrency: 5}\n"
        f"model: {{service-time: 1s, cold-start: {{stages: [{{name: a, kind: {stage}, time: 9s}}]}}}}\n",
        base=tmp_path,
    )
    found = {one.name: one.level for one in findings(experiment)}
    assert (found.get("storage-initializer") == "warning") == missing


def test_a_misspelt_field_is_named_with_the_right_one(tmp_path: Path) -> None:
    """The API server drops it."""
    one = found_in(tmp_path, ISVC.replace("maxReplicas", "maxReplica"))["unknown-field"]
    assert (one.line, one.place, one.fix) == (10, "spec.predictor.maxReplica", "Write maxReplicas.")


def test_advice_names_kserves_field_and_not_an_annotation_that_is_dropped(tmp_path: Path) -> None:
    """Without maxReplicas the number of GPUs is unlimited."""
    (tmp_path / "isvc.yaml").write_text(ISVC.replace("    maxReplicas: 4\n", ""))
    text = "service: isvc.yaml\nworkload: {kind: hey, requests: 50, concurrency: 5}\nmodel: {service-time: 1s}\n"
    [one] = [one for one in findings(loads(text, base=tmp_path)) if "no max-scale" in one.what]
    assert one.place == "spec.predictor.maxReplicas"
    assert one.fix.endswith("KServe's field is spec.predictor.maxReplicas.")


def test_standard_mode_hears_nothing_of_knatives_autoscaler(tmp_path: Path) -> None:
    """An HPA reads neither target nor target-burst-capacity, and there is no activator and no Knative Service."""
    standard = ISVC.replace("annotations: {", "annotations: {serving.kserve.io/deploymentMode: Standard, ")
    standard = standard.replace("minReplicas: 0", "minReplicas: 1")
    found = found_in(tmp_path, standard)
    assert {"utilisation", "activator-stays"} <= found_in(tmp_path, ISVC).keys()
    assert not {"utilisation", "activator-stays", "no-max-scale", "target-above-limit"} & found.keys()
    assert "HPA scales by cpu" in found["scales-by-cpu"].what
    assert "kubectl get deployment painter-predictor" in found["serving-runtime"].fix
    assert "scales-by-cpu" not in found_in(tmp_path, standard.replace("nvidia.com/gpu", "cpu"))
