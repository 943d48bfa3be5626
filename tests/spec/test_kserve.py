"""KServe's InferenceService: the Knative Service that follows, and that only KServe's own fields are written."""

import contextlib
import difflib
import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kpasim.errors import ExperimentError, KpasimError
from kpasim.spec.autoscaler import AutoscalerConfig, parse_config
from kpasim.spec.configmaps import Defaults, parse_defaults
from kpasim.spec.experiment import from_mapping
from kpasim.spec.kserve import PREDICTOR_FIELDS
from kpasim.spec.manifest import ServiceManifest, read_service
from kpasim.spec.scaling import Behavior, Hpa, Keda, ScaleDown
from kpasim.studies.check import check_file
from kpasim.studies.run import simulate

PREFIX = "autoscaling.knative.dev/"
MODEL = "model: {modelFormat: {name: huggingface}, storageUri: hf://example/painter}"
WITH_COMMENTS = """\
# ours
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: painter            # the name
  annotations: {autoscaling.knative.dev/window: 30s}
spec:
  predictor:
    maxReplicas: 4   # four GPUs
    minReplicas: 0
    model:
        modelFormat: {name: huggingface}
        storageUri: "hf://example/painter"
        resources: {limits: {nvidia.com/gpu: "1"}}
"""


def made(folder: Path, predictor: str = "", annotations: str = "{}", config: dict[str, str] | None = None) -> Any:
    """The Knative Service of an InferenceService with a predictor's fields and annotations of its metadata."""
    path = folder / "isvc.yaml"
    fields = ", ".join(part for part in (predictor, MODEL) if part)
    path.write_text(
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
        f"metadata: {{name: painter, annotations: {annotations}}}\nspec: {{predictor: {{{fields}}}}}\n"
    )
    return read_service(path, parse_config(config or {}))


def annotations_of(service: ServiceManifest) -> dict[str, str]:
    """The autoscaler's annotations by short name."""
    return {key.removeprefix(PREFIX): value for key, value in service.annotations.items() if key.startswith(PREFIX)}


def test_defaults_are_those_that_kserve_writes(tmp_path: Path) -> None:
    """One pod stays, the class is written out, and nothing else is."""
    service = made(tmp_path)
    assert service.name == "painter-predictor"
    assert annotations_of(service) == {"class": "kpa.autoscaling.knative.dev", "min-scale": "1"}
    assert (service.container_concurrency, service.timeout_s, service.idle_timeout_s) == (0, 300.0, None)
    assert service.revision.max_scale == 0


@pytest.mark.parametrize(
    ("predictor", "short", "text"),
    [
        ("minReplicas: 0", "min-scale", "0"),
        ("minReplicas: 3", "min-scale", "3"),
        ("maxReplicas: 5", "max-scale", "5"),
        ("maxReplicas: 0", "max-scale", None),
        ("scaleTarget: 2", "target", "2"),
        ("scaleMetric: rps, scaleTarget: 5", "metric", "rps"),
        ("maxReplicas: 5.0", "max-scale", "5"),
        ("scaleTarget: 2e0", "target", "2"),
        ("logger: {mode: all, url: http://x}", "min-scale", "1"),
    ],
)
def test_a_field_becomes_an_annotation(tmp_path: Path, predictor: str, short: str, text: str | None) -> None:
    """Of the revision, as KServe writes it."""
    assert annotations_of(made(tmp_path, predictor)).get(short) == text


def test_the_timeout_limits_the_whole_response_and_its_start(tmp_path: Path) -> None:
    """Both of Knative's limits get it, and containerConcurrency is handed down."""
    service = made(tmp_path, "timeout: 120, containerConcurrency: 3")
    spec = service.data["spec"]["template"]["spec"]
    assert (spec["timeoutSeconds"], spec["responseStartTimeoutSeconds"]) == (120, 120)
    assert (service.timeout_s, service.response_start_timeout_s, service.container_concurrency) == (120.0, 120.0, 3)


def test_annotations_of_the_predictor_are_stronger_and_fields_the_strongest(tmp_path: Path) -> None:
    """Predictor over metadata; a field over both."""
    own = "annotations: {autoscaling.knative.dev/window: 20s, autoscaling.knative.dev/target: '7'}, scaleTarget: 2"
    service = made(tmp_path, own, "{autoscaling.knative.dev/window: 50s, autoscaling.knative.dev/metric: rps}")
    assert annotations_of(service) | {"window": "20s", "target": "2", "metric": "rps"} == annotations_of(service)
    assert [place[-1] for place in service.kserve.dropped] == [f"{PREFIX}target"]


def test_kserve_drops_min_and_max_scale_as_annotations_but_not_their_old_spelling(tmp_path: Path) -> None:
    """The list of annotations that are not handed down holds only the spelling with dashes."""
    service = made(tmp_path, "", "{autoscaling.knative.dev/max-scale: '9', autoscaling.knative.dev/min-scale: '2'}")
    assert annotations_of(service) == {"class": "kpa.autoscaling.knative.dev", "min-scale": "1"}
    service = made(tmp_path, "", "{autoscaling.knative.dev/maxScale: '9', autoscaling.knative.dev/minScale: '2'}")
    assert (service.revision.max_scale, service.revision.min_scale) == (9, 1)


@pytest.mark.parametrize(
    ("text", "config", "kept"),
    [("x", {}, False), ("0", {}, False), ("0", {"allow-zero-initial-scale": "true"}, True), ("2", {}, True)],
)
def test_an_initial_scale_that_the_cluster_refuses_is_dropped(
    tmp_path: Path, text: str, config: dict[str, str], *, kept: bool
) -> None:
    """KServe logs it and goes on."""
    service = made(tmp_path, "", f"{{autoscaling.knative.dev/initial-scale: '{text}'}}", config)
    assert ("initial-scale" in annotations_of(service)) == kept
    assert bool(service.kserve.dropped) != kept


def test_the_rollout_duration_moves_to_the_service(tmp_path: Path) -> None:
    """Knative reads it there."""
    service = made(tmp_path, "", "{serving.knative.dev/rollout-duration: 60s}")
    assert service.metadata_annotations == {"serving.knative.dev/rollout-duration": "60s"}
    assert "serving.knative.dev/rollout-duration" not in service.annotations


@pytest.mark.parametrize(
    ("uris", "says"),
    [
        ("{mountPath: /mnt}", r"storageUris\[0\]\.uri: is missing"),
        ("{uri: s3://a, mountPath: models}", r"storageUris\[0\]\.mountPath: 'models' is not right"),
        ("{uri: s3://a, mountPath: /a/../b}", r"storageUris\[0\]\.mountPath: '/a/\.\./b' is not right"),
        ("{uri: s3://a, mountPath: /a}, {uri: s3://b, mountPath: /b}", "storageUris: /a, /b have no folder in common"),
        ("{uri: s3://a, mountPath: /m/a}, {uri: s3://b, mountPath: /m/b}, {uri: pvc://c, mountPath: /c}", ""),
        ("{uri: s3://a}", ""),
    ],
)
def test_folders_of_several_models(tmp_path: Path, uris: str, says: str) -> None:
    """Absolute, below one folder that is not the root; a claim is mounted by itself."""
    path = tmp_path / "isvc.yaml"
    path.write_text(
        "{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, metadata: {name: painter}, "
        f"spec: {{predictor: {{storageUris: [{uris}], model: {{modelFormat: {{name: x}}}}}}}}}}\n"
    )
    with pytest.raises(ExperimentError, match=f"isvc.yaml:1: spec.predictor.{says}") if says else nullcontext():
        read_service(path, parse_config({}))


@pytest.mark.parametrize(
    ("predictor", "annotations", "message"),
    [
        ("scaleMetric: rps, scaleTarget: 0", "{}", "predictor.scaleTarget: 0 is out of range (must be at least 1"),
        ("scaleMetric: qps", "{}", "predictor.scaleMetric: 'qps' is not a metric of Knative's autoscaler .*qps is"),
        ("minReplicas: 3, maxReplicas: 2", "{}", "predictor.maxReplicas: 2 is less than minReplicas = 3"),
        ("minReplicas: two", "{}", "predictor.minReplicas: 'two' is not right (must be a whole number)"),
        ("containerConcurrency: -1", "{}", "predictor.containerConcurrency: -1 is negative"),
        ("timeout: 601", "{}", "predictor.timeout: .*600"),
        ("deploymentStrategy: {type: Recreate}", "{}", "predictor.deploymentStrategy: .*refuses it in Knative mode"),
        (
            "logger: {url: http://x}",
            "{}",
            "predictor.logger.mode: nothing is not right (must be all, request, response)",
        ),
        ("logger: {mode: all, storage: {path: a}}", "{}", "predictor.logger.storage: is without parameters and key"),
        (
            "storageUris: [{uri: s3://a, mountPath: models}]",
            "{}",
            "predictor.storageUris.0..mountPath: 'models' is not",
        ),
        (
            "containers: [{name: transformer-container, env: [{name: STORAGE_URI, value: s3://a}]}]",
            "{}",
            "containers.0..env.0..name: STORAGE_URI may not be set",
        ),
        ("maxReplicas: 2.5", "{}", "predictor.maxReplicas: 2.5 is not right (must be a whole number)"),
        ("", "{serving.kserve.io/stop: 'true'}", "stops the service"),
        ("", "{autoscaling.knative.dev/window: 1s}", r"metadata.annotations.autoscaling.knative.dev/window: 1s is out"),
        ("annotations: {autoscaling.knative.dev/window: 1s}", "{}", "spec.predictor.annotations.autoscaling.knative"),
    ],
)
def test_what_kserve_or_knative_refuses_is_refused_at_the_line(
    tmp_path: Path, predictor: str, annotations: str, message: str
) -> None:
    """By the place in the user's own file."""
    with pytest.raises(ExperimentError, match="isvc.yaml:[34]: .*" + message.replace("(", r"\(").replace(")", r"\)")):
        made(tmp_path, predictor, annotations)


@pytest.mark.parametrize(
    ("annotations", "autoscaler"),
    [
        ("{serving.kserve.io/deploymentMode: RawDeployment, serving.kserve.io/autoscalerClass: none}", "nothing"),
        ("{serving.kserve.io/deploymentMode: Standard, serving.kserve.io/autoscalerClass: external}", "not KServe's"),
        (
            "{serving.kserve.io/deploymentMode: Standard, serving.kserve.io/autoscalerClass: keda}",
            "KEDA needs a metric",
        ),
        ("{serving.kserve.io/deploymentMode: ModelMesh}", "ModelMesh"),
    ],
)
def test_a_mode_without_knative_is_refused_by_naming_its_autoscaler(
    tmp_path: Path, annotations: str, autoscaler: str
) -> None:
    """One line."""
    with pytest.raises(ExperimentError, match=autoscaler) as caught:
        made(tmp_path, "", annotations)
    assert len(caught.value.problems) == 1


def test_standard_mode_brings_its_hpa(tmp_path: Path) -> None:
    """By CPU at 80 % with `behavior: {}`; without maxReplicas the size is fixed."""
    scaling = made(tmp_path, "minReplicas: 2", "{serving.kserve.io/deploymentMode: Standard}").scaling
    assert scaling == Hpa(kind="hpa", metric="cpu", min_replicas=2, max_replicas=2, behavior=Behavior())
    fields = "minReplicas: 0, maxReplicas: 7, scaleTarget: 60"
    scaling = made(tmp_path, fields, "{serving.kserve.io/deploymentMode: RawDeployment}").scaling
    assert isinstance(scaling, Hpa)
    assert (1, 7, 60.0) == (scaling.min_replicas, scaling.max_replicas, scaling.target)


def test_standard_mode_with_keda_brings_its_scaledobject(tmp_path: Path) -> None:
    """Zero pods are allowed; the query tells by its function what it measures."""
    metric = "{metric: {backend: prometheus, query: 'sum(rate(requests[1m]))'}, target: {type: Value, value: '0.5'}}"
    predictor = f"minReplicas: 0, maxReplicas: 4, autoScaling: {{metrics: [{{type: External, external: {metric}}}]}}"
    annotations = "{serving.kserve.io/deploymentMode: Standard, serving.kserve.io/autoscalerClass: keda}"
    scaling = made(tmp_path, predictor, annotations).scaling
    assert isinstance(scaling, Keda)
    assert ("rps", 0.5, 0, 4) == (
        scaling.metric, scaling.target, scaling.min_replica_count, scaling.max_replica_count
    )  # fmt: skip


STANDARD = "{serving.kserve.io/deploymentMode: Standard}"
STANDARD_KEDA = "{serving.kserve.io/deploymentMode: Standard, serving.kserve.io/autoscalerClass: keda}"


def test_metrics_of_a_standard_mode_hpa_count_before_its_old_fields(tmp_path: Path) -> None:
    """KServe then reads no scaleMetric and no scaleTarget, and hands on no behavior to the HPA."""
    target = "target: {type: Utilization, averageUtilization: 65}"
    more = "behavior: {scaleDown: {stabilizationWindowSeconds: 30}}"
    metrics = f"autoScaling: {{metrics: [{{type: Resource, resource: {{name: cpu, {target}}}}}], {more}}}"
    scaling = made(tmp_path, f"maxReplicas: 4, scaleTarget: 50, {metrics}", STANDARD).scaling
    assert scaling == Hpa(kind="hpa", metric="cpu", max_replicas=4, target=65.0, behavior=Behavior())


def test_keda_in_standard_mode_has_the_windows_of_the_behavior(tmp_path: Path) -> None:
    """KServe hands on these alone; a query is read with its window, a target as a quantity."""
    metric = "{metric: {query: 'sum(rate(http_requests_total[2m]))'}, target: {value: 500m}}"
    behavior = "{scaleDown: {stabilizationWindowSeconds: 30, policies: [{type: Pods, value: 1, periodSeconds: 60}]}}"
    fields = f"autoScaling: {{metrics: [{{type: External, external: {metric}}}], behavior: {behavior}}}"
    scaling = made(tmp_path, fields, STANDARD_KEDA).scaling
    assert isinstance(scaling, Keda)
    assert scaling.behavior == Behavior(scale_down=ScaleDown(stabilization_window_s=30.0))
    assert (120.0, 0.5) == (scaling.metric_window_s, scaling.target)
    pod = "{metric: {backend: opentelemetry, query: 'vllm:num_requests_running'}, target: {type: Value, value: '4'}}"
    scaling = made(
        tmp_path, f"autoScaling: {{metrics: [{{type: PodMetric, podmetric: {pod}}}]}}", STANDARD_KEDA
    ).scaling
    assert isinstance(scaling, Keda)
    assert ("concurrency", 4.0) == (scaling.metric, scaling.target)


ONE = "{type: External, external: {metric: {query: 'sum(rate(http_requests_total[2m]))'}, target: {value: '1'}}}"


@pytest.mark.parametrize(
    ("metrics", "annotations", "says"),
    [
        (f"[{ONE}, {ONE}]", STANDARD_KEDA, r"metrics: has 2 metrics; one is simulated"),
        ("[{type: Resource, resource: {name: memory}}]", STANDARD, r"resource.name: 'memory' is not simulated"),
        (f"[{ONE}]", STANDARD, r"metrics\[0\].type: 'External' is not read by an HPA of KServe"),
        (
            ONE.replace("sum(rate", "max(rate").join("[]"),
            STANDARD_KEDA,
            r"query: 'max\(rate.*' is not known as requests",
        ),
        (
            ONE.replace("'1'", "many").join("[]"),
            STANDARD_KEDA,
            r"value: 'many' is not right \(must be a positive number",
        ),
    ],
)
def test_a_part_of_standard_mode_that_is_not_simulated_is_refused(
    tmp_path: Path, metrics: str, annotations: str, says: str
) -> None:
    """Another autoscaler would be simulated without it."""
    with pytest.raises(ExperimentError, match=says) as caught:
        made(tmp_path, f"autoScaling: {{metrics: {metrics}}}", annotations)
    assert len(caught.value.problems) == 1


STANDARD_HPA = "{serving.kserve.io/deploymentMode: Standard, serving.kserve.io/autoscalerClass: hpa}"
BOX = "containers: [{image: some-image}]"
PYTHONPATH = "env: [{name: PYTHONPATH, value: /x}]"


@pytest.mark.parametrize(
    ("spec", "annotations", "words"),
    [
        # TestAutoscalerClassHPA
        ("predictor: {MODEL, scaleMetric: cpu, scaleTarget: 80}", STANDARD_HPA, ""),
        ("predictor: {MODEL, autoScaling: {metrics: [{type: Resource, resource: {name: cpu, target:"
         " {averageUtilization: 80}}}]}}", STANDARD_HPA, ""),
        ("predictor: {MODEL, autoScaling: {metrics: [{type: Resource}]}}", STANDARD_HPA, "resource: is missing"),
        ("predictor: {MODEL, autoScaling: {metrics: [{type: External}]}}", STANDARD_HPA, "must be Resource"),
        ("predictor: {MODEL, scaleMetric: cpu, scaleTarget: 120}", STANDARD_HPA, "scaleTarget: 120 is out of range"),
        ("predictor: {MODEL}", "{serving.kserve.io/autoscalerClass: test}", "'test' is not an autoscaler of KServe"),
        # TestRejectMultipleModelSpecs, TestModelSpecAndCustomOverridesIsValid, TestRejectModelSpecMissing
        ("predictor: {tensorflow: {storageUri: gs://a/b}, xgboost: {}}", "{}", "is a second model"),
        ("predictor: {MODEL, serviceAccountName: test}", "{}", ""),
        ("predictor: {minReplicas: 1}", "{}", "holds no model"),
        # TestBadParallelismValues, TestBadReplicaValues
        ("predictor: {MODEL, containerConcurrency: -1}", "{}", "predictor.containerConcurrency: -1 is negative"),
        ("predictor: {MODEL, minReplicas: -1}", "{}", "predictor.minReplicas: -1 is negative"),
        ("predictor: {MODEL, minReplicas: 1, maxReplicas: -1}", "{}", "predictor.maxReplicas: -1 is negative"),
        ("predictor: {MODEL, minReplicas: 2, maxReplicas: 1}", "{}", "predictor.maxReplicas: 1 is less than"),
        ("predictor: {MODEL}, transformer: {BOX, minReplicas: -1}", "{}", "transformer.minReplicas: -1 is negative"),
        ("predictor: {MODEL}, transformer: {BOX, maxReplicas: -1}", "{}", "transformer.maxReplicas: -1 is negative"),
        ("predictor: {MODEL}, transformer: {BOX, minReplicas: 2, maxReplicas: 1}", "{}", "transformer.maxReplicas: 1"),
        ("predictor: {MODEL}, explainer: {art: {}, minReplicas: -1}", "{}", "explainer.minReplicas: -1 is negative"),
        ("predictor: {MODEL}, explainer: {art: {}, minReplicas: 2, maxReplicas: 1}", "{}", "explainer.maxReplicas: 1"),
        # TestCustomOK, TestRejectBadTransformer, TestRejectBadExplainer, TestGoodExplainer
        ("predictor: {containers: [{name: kserve-container, image: some-image}]}", "{}", ""),
        ("predictor: {BOX}", "{}", ""),
        ("predictor: {MODEL}, transformer: {}", "{}", "transformer: holds nothing that serves"),
        ("predictor: {MODEL}, explainer: {}", "{}", "explainer: holds nothing that serves"),
        ("predictor: {MODEL}, explainer: {art: {storageUri: gs://a/b}}", "{}", ""),
        # TestValidateTwoPredictorImplementationCollocation, TestInvalidNameInSKLearnPredictor
        ("predictor: {MODEL, containers: [{name: kserve-container, image: p}, {name: transformer-container, image: t"
         "}]}", "{}", "is kserve-container beside model"),
        ("predictor: {sklearn: {name: bad, storageUri: gs://a/b}}", "{}", "sklearn.name: is not allowed"),
        # TestValidateStorageUri, TestValidateConfidential, TestValidateCanarySpecs
        ("predictor: {MODEL, storageUris: [{uri: s3://a, mountPath: /mnt/a}]}", "{}", "beside storageUri"),
        ("predictor: {model: {modelFormat: {name: x}, confidential: {enabled: true}}}", "{}", "needs a storageUri"),
        ("predictor: {MODEL}, canary: [{predictor: {name: c, MODEL}}]", "{}", "spec.canary: is for Standard mode"),
        # TestValidateBlockedEnvVars
        ("predictor: {model: {modelFormat: {name: sklearn}, PYTHONPATH}}", "{}", r"env\[0\].name: PYTHONPATH may not"),
        ("predictor: {containers: [{name: kserve-container, image: x, PYTHONPATH}]}", "{}", "PYTHONPATH"),
        ("predictor: {MODEL, initContainers: [{name: i, image: x, PYTHONPATH}]}", "{}", "PYTHONPATH"),
        ("predictor: {MODEL, workerSpec: {containers: [{name: w, image: x, PYTHONPATH}]}}", STANDARD_HPA, "PYTHONPATH"),
        ("predictor: {MODEL}, transformer: {containers: [{name: t, image: x, PYTHONPATH}]}", "{}", "PYTHONPATH"),
        ("predictor: {model: {modelFormat: {name: sklearn}, env: [{name: OTHER, value: m}]}}", "{}", ""),
        # TestValidateScalingKedaCompExtension; the class of Knative's annotation decides outside of Standard mode
        ("predictor: {MODEL, scaleMetric: cpu}", STANDARD_KEDA, "scaleMetric: is not supported with KEDA"),
        ("predictor: {MODEL, scaleMetric: rps}", "{autoscaling.knative.dev/class: hpa.autoscaling.knative.dev}",
         "must be cpu or memory"),
        ("predictor: {MODEL, scaleMetric: cpu, annotations: {autoscaling.knative.dev/class:"
         " hpa.autoscaling.knative.dev}}", "{}", "must be concurrency or rps"),
    ],
)  # fmt: skip
def test_kserve_s_own_tests_of_its_webhook_hold(spec: str, annotations: str, words: str, tmp_path: Path) -> None:
    """What KServe takes is taken, and what it refuses is refused by the same place.

    Rows of the tests of kserve/kserve@aaac4e2, pkg/apis/serving/v1beta1/inference_service_validation_test.go.
    """
    for name, text in (("MODEL", MODEL), ("BOX", BOX), ("PYTHONPATH", PYTHONPATH)):
        spec = spec.replace(f"{{{name}", f"{{{text}").replace(f" {name}", f" {text}")
    path = tmp_path / "isvc.yaml"
    path.write_text(
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
        f"metadata: {{name: foo, annotations: {annotations}}}\nspec: {{{spec}}}\n"
    )
    if words:
        with pytest.raises(ExperimentError, match=words):
            read_service(path, AutoscalerConfig())
    else:
        read_service(path, AutoscalerConfig())


@pytest.mark.parametrize(("name", "taken"), [("abc-123", True), ("1abcde", False), ("abc.de", False)])
def test_names_are_those_of_kserve(name: str, taken: bool, tmp_path: Path) -> None:
    """TestGoodName and those beside it."""
    path = tmp_path / "isvc.yaml"
    path.write_text(
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
        f"metadata: {{name: {name}}}\nspec: {{predictor: {{{MODEL}}}}}\n"
    )
    with contextlib.nullcontext() if taken else pytest.raises(ExperimentError, match="is not a name of KServe"):
        read_service(path, AutoscalerConfig())


def test_keda_has_the_windows_of_the_cluster_where_a_predictor_has_none(tmp_path: Path) -> None:
    """KServe reads them of `autoscaler` in `inferenceservice-config`, each by itself."""
    own = f"autoScaling: {{metrics: [{ONE}], behavior: {{scaleDown: {{stabilizationWindowSeconds: 60}}}}}}"
    made(tmp_path, own, STANDARD_KEDA)
    windows = '{"scaleUpStabilizationWindowSeconds": "7", "scaleDownStabilizationWindowSeconds": "9"}'
    cluster = parse_defaults(Defaults(), "inferenceservice-config", {"autoscaler": windows}, strict=True)
    behavior = read_service(tmp_path / "isvc.yaml", AutoscalerConfig(), cluster).scaling.behavior
    assert (behavior.scale_up.stabilization_window_s, behavior.scale_down.stabilization_window_s) == (7.0, 60.0)


def test_knative_s_rules_of_pods_do_not_hold_in_standard_mode(tmp_path: Path) -> None:
    """A Deployment may have ports of any name and probes on sidecars; numbers are kept."""
    path = tmp_path / "isvc.yaml"
    text = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: foo, annotations: {serving.kserve.io/deploymentMode: MODE}}
spec:
  predictor:
    hostNetwork: true
    model:
      modelFormat: {name: lightgbm}
      storageUri: gs://a/b
      ports: [{name: grpc-port, containerPort: 8081}, {name: http, containerPort: 8080}]
      readinessProbe: {httpGet: {path: /h, port: 8080}, periodSeconds: 3}
      resources: {limits: {nvidia.com/gpu: 2}}
    containers:
      - {name: side, image: example/side, readinessProbe: {tcpSocket: {port: 1}}, lifecycle: {}}
"""
    path.write_text(text.replace("MODE", "Standard"))
    service = read_service(path, AutoscalerConfig())
    assert (service.gpus, service.probe.period_s) == (2, 3.0)
    path.write_text(text.replace("MODE", "Knative"))
    with pytest.raises(ExperimentError, match="grpc-port"):
        read_service(path, AutoscalerConfig())


def test_the_port_of_a_runtime_that_is_not_known_is_not_missed(tmp_path: Path) -> None:
    """A transformer beside the model, as KServe's page on collocation has it."""
    beside = "containers: [{name: transformer-container, image: kserve/image-transformer}]"
    assert len(made(tmp_path, beside).data["spec"]["template"]["spec"]["containers"]) == 2


def test_a_metric_of_knative_in_standard_mode_is_told_by_its_deployment_and_hpa(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(ExperimentError, match=r"'concurrency': .*a Deployment and an HPA, no Knative Service"):
        made(tmp_path, "scaleMetric: concurrency", "{serving.kserve.io/deploymentMode: RawDeployment}")


def test_knative_mode_has_two_names(tmp_path: Path) -> None:
    """Serverless is the old one."""
    for mode in ("Knative", "Serverless"):
        assert made(tmp_path, "", f"{{serving.kserve.io/deploymentMode: {mode}}}").revision.min_scale == 1


@pytest.mark.parametrize(
    ("status", "annotation", "deploy", "standard"),
    [
        ("Standard", "Knative", "Knative", True),
        ("Serverless", "Standard", "Standard", False),
        ("", "Standard", "Knative", True),
        ("", "Knative", "Standard", False),
        ("", "", "RawDeployment", True),
        ("", "", None, True),
    ],
)
def test_the_mode_is_that_of_the_status_then_of_the_annotation_then_of_the_cluster(
    status: str, annotation: str, deploy: str | None, *, standard: bool, tmp_path: Path
) -> None:
    """A cluster whose `deploy` names none has Standard.

    Source: kserve/kserve@aaac4e2, pkg/controller/v1beta1/inferenceservice/utils/utils.go, GetDeploymentMode
    """
    made(tmp_path, "", f"{{serving.kserve.io/deploymentMode: {annotation}}}" if annotation else "{}")
    path = tmp_path / "isvc.yaml"
    if status:
        path.write_text(f"{path.read_text()}status: {{deploymentMode: {status}}}\n")
    data = {"deploy": json.dumps({"defaultDeploymentMode": deploy} if deploy else {})}
    cluster = parse_defaults(Defaults(), "inferenceservice-config", data, strict=True)
    assert (read_service(path, AutoscalerConfig(), cluster).kserve.scaling is not None) == standard


def test_a_class_of_ones_own_is_kept(tmp_path: Path) -> None:
    """KServe writes Knative's own class only where none is given."""
    hpa = "hpa.autoscaling.knative.dev"
    assert annotations_of(made(tmp_path, "", f"{{autoscaling.knative.dev/class: {hpa}}}"))["class"] == hpa


def test_an_llminferenceservice_is_refused_by_naming_its_autoscaler(tmp_path: Path) -> None:
    """It never has a Knative Service."""
    path = tmp_path / "llm.yaml"
    path.write_text("apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata: {name: llm}\n")
    with pytest.raises(ExperimentError, match=r"llm.yaml:2: kind: .*HorizontalPodAutoscaler or KEDA"):
        read_service(path, AutoscalerConfig())


def test_the_gpu_is_that_of_the_model_or_of_the_first_container(tmp_path: Path) -> None:
    """Old keys of frameworks are models, too."""
    for predictor in (
        "{model: {modelFormat: {name: x}, resources: {limits: {nvidia.com/gpu: 2}}}}",
        "{huggingface: {storageUri: hf://x, resources: {limits: {nvidia.com/gpu: 2}}}}",
        "{containers: [{image: example/x, resources: {limits: {nvidia.com/gpu: 2}}}]}",
    ):
        path = tmp_path / "isvc.yaml"
        path.write_text(
            "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: x}\n"
            f"spec: {{predictor: {predictor}}}\n"
        )
        service = read_service(path, AutoscalerConfig())
        assert service.gpus == 2
        assert service.data["spec"]["template"]["spec"]["containers"][0]["name"] == "kserve-container"


def edited(folder: Path, settings: dict[str, Any]) -> list[str]:
    """The lines that settings take away and add."""
    path = folder / "isvc.yaml"
    path.write_text(WITH_COMMENTS)
    experiment = from_mapping(
        {
            "service": str(path),
            "workload": {"kind": "hey", "requests": 5, "concurrency": 5},
            "model": {"service-time": "1s"},
        }
    )
    assert experiment.service.to_yaml() == WITH_COMMENTS
    tuned = experiment.with_settings(settings).service
    path.write_text(tuned.to_yaml())
    assert read_service(path, AutoscalerConfig()).data == tuned.data
    lines = difflib.ndiff(WITH_COMMENTS.splitlines(), tuned.to_yaml().splitlines())
    return [line for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        (
            {"service.annotations.max-scale": 8},
            ["-     maxReplicas: 4   # four GPUs", "+     maxReplicas: 8   # four GPUs"],
        ),
        ({"service.spec.predictor.minReplicas": 2}, ["-     minReplicas: 0", "+     minReplicas: 2"]),
        ({"service.containerConcurrency": 4}, ["+     containerConcurrency: 4"]),
        ({"service.timeoutSeconds": 100}, ["+     timeout: 100"]),
        (
            {"service.annotations.window": "1m"},
            [
                "-   annotations: {autoscaling.knative.dev/window: 30s}",
                "+   annotations: {autoscaling.knative.dev/window: 1m}",
            ],
        ),
        (
            {"service.annotations.target": 3, "service.scaleMetric": "rps"},
            ["+     scaleTarget: 3", '+     scaleMetric: "rps"'],
        ),
    ],
)
def test_a_setting_changes_kserves_field_and_nothing_else(
    tmp_path: Path, settings: dict[str, Any], lines: list[str]
) -> None:
    """By Knative's name or by KServe's; comments, order and quotes stay."""
    found = edited(tmp_path, settings)
    assert set(found) == set(lines)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("service.spec.predictor.minReplica", "did you mean minReplicas"),
        ("service.responseStartTimeoutSeconds", "spec.predictor.timeout"),
    ],
)
def test_a_setting_that_kserve_does_not_have_is_refused(tmp_path: Path, path: str, message: str) -> None:
    """With the setting that was meant."""
    with pytest.raises(ExperimentError, match=message):
        edited(tmp_path, {path: 1})


def test_a_target_that_is_no_whole_number_is_refused(tmp_path: Path) -> None:
    """KServe's scaleTarget is one."""
    with pytest.raises(ExperimentError, match=r"scaleTarget.*whole number"):
        edited(tmp_path, {"service.annotations.target": 0.7})


def test_every_setting_that_was_written_has_a_field_of_the_crd(tmp_path: Path) -> None:
    """No annotation is written that KServe drops."""
    path = tmp_path / "isvc.yaml"
    edited(tmp_path, {f"service.annotations.{name}": 1 for name in ("min-scale", "target", "max-scale")})
    written = YAML(typ="safe", pure=True).load(path.read_text())
    assert written["metadata"]["annotations"] == {f"{PREFIX}window": "30s"}
    assert (
        written["spec"]["predictor"] | {"minReplicas": 1, "maxReplicas": 1, "scaleTarget": 1}
        == (written["spec"]["predictor"])
    )
    assert not read_service(path, AutoscalerConfig(), Defaults()).kserve.dropped


OF_THE_CRD = {
    "activeDeadlineSeconds", "affinity", "annotations", "autoScaling", "automountServiceAccountToken", "batcher",
    "canaryTrafficPercent", "containerConcurrency", "containers", "deploymentStrategy", "dnsConfig", "dnsPolicy",
    "enableServiceLinks", "ephemeralContainers", "hostAliases", "hostIPC", "hostNetwork", "hostPID", "hostUsers",
    "hostname", "hostnameOverride", "huggingface", "imagePullSecrets", "initContainers", "labels", "lightgbm",
    "logger", "maxReplicas", "minReplicas", "model", "name", "nodeName", "nodeSelector", "onnx", "os", "overhead",
    "paddle", "pmml", "preemptionPolicy", "priority", "priorityClassName", "pytorch", "readinessGates",
    "resourceClaims", "resources", "restartPolicy", "runtimeClassName", "scaleMetric", "scaleMetricType",
    "scaleTarget", "schedulerName", "schedulingGates", "schedulingGroup", "securityContext", "serviceAccount",
    "serviceAccountName", "setHostnameAsFQDN", "shareProcessNamespace", "sklearn", "storageContainerName",
    "storageUris", "subdomain", "tensorflow", "terminationGracePeriodSeconds", "timeout", "tolerations",
    "topologySpreadConstraints", "triton", "volumes", "workerSpec", "xgboost",
}  # fmt: skip
"""Fields of V1beta1PredictorSpec in kserve 0.21.0 (PyPI), which cannot be installed beside psutil 6."""


def test_the_fields_of_a_predictor_are_those_of_kserves_own_client() -> None:
    """No more and no fewer: a field that is missing here would be called misspelt."""
    assert set(PREDICTOR_FIELDS) == OF_THE_CRD


ODD = (None, [], {}, "", 0, -1, True, "x", [None], [{}], {"a": None}, 1.5, 2**70)


def places(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of nested mappings and lists."""
    yield place
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        yield from places(value, (*place, key))


def test_no_value_in_any_place_gives_a_traceback(tmp_path: Path) -> None:
    """Each is taken or refused in words."""
    text = WITH_COMMENTS.replace("maxReplicas: 4", "maxReplicas: 4\n    scaleMetric: rps\n    timeout: 9")
    whole = YAML(typ="safe", pure=True).load(f"{text}status: {{deploymentMode: Knative}}\n")
    path = tmp_path / "isvc.yaml"
    for place in places(whole):
        for value in ODD:
            odd = json.loads(json.dumps(whole))
            inner = odd
            for part in place[:-1]:
                inner = inner[part]
            if place:
                inner[place[-1]] = value
            else:
                odd = value
            path.write_text(json.dumps(odd))
            with contextlib.suppress(KpasimError):
                check_file(path)


def test_a_retention_on_the_inferenceservice_keeps_the_last_pod(tmp_path: Path) -> None:
    """Twenty minutes after the service went idle, a minute after its last response."""
    path = tmp_path / "isvc.yaml"
    path.write_text(
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n  name: painter\n"
        "  annotations: {autoscaling.knative.dev/scale-to-zero-pod-retention-period: 20m}\nspec:\n  predictor:\n"
        "    {minReplicas: 0, maxReplicas: 4, scaleTarget: 1, scaleMetric: concurrency, containerConcurrency: 1, "
        "timeout: 300, containers: [{name: kserve-container, image: example/painter:1}]}\n"
    )
    experiment = from_mapping(
        {
            "service": str(path),
            "workload": {"kind": "constant", "rate": 1, "duration": "1s"},
            "model": {"service-time": "1s", "cold-start": "10s"},
            "start": "warm",
            "horizon": "1h",
        }
    )
    found = simulate(experiment, replications=5, engine="reference").summary
    assert found["replicas_zero_after_last_s"] == pytest.approx(1260, abs=4)
