"""What KServe's webhook, or the schema of its CRD, refuses of an InferenceService.

Source:
    kserve/kserve@aaac4e2, pkg/apis/serving/v1beta1/inference_service_validation.go, component.go, predictor.go,
    pkg/validation/env_policy.go
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kpasim.spec.autoscaler import HPA, SPELLINGS
from kpasim.spec.base import Place, list_of, mapping_of, mappings_of, not_right, show, value_at

STOP = "serving.kserve.io/stop"
AUTOSCALER = "serving.kserve.io/autoscalerClass"
AUTOSCALERS = ("hpa", "keda", "external", "none")
FRAMEWORKS = ("sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml", "lightgbm",
              "paddle")  # fmt: skip
"""Old keys of a predictor, each of which is a model of that format."""
COMPONENTS = ("predictor", "transformer", "explainer")
SERVING_CONTAINER = "kserve-container"
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_METRICS = ("cpu", "memory", "concurrency", "rps")
_BLOCKED = ("PYTHONPATH",)
_LOGS = ("all", "request", "response")
MODELS = "/mnt/models"
"""Where models are mounted unless a field says another folder."""
COUNTS = ("minReplicas", "maxReplicas", "scaleTarget", "containerConcurrency", "timeout", "canaryTrafficPercent")


def faults(data: Mapping[str, Any], *, is_standard: bool) -> Iterator[tuple[Place, str]]:
    """Each place of an InferenceService, in Standard mode or not, that is refused, and why.

    Its metadata, spec and predictor are mappings.
    """
    name = data["metadata"].get("name")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        yield (
            ("metadata", "name"),
            f"{show(name)} is not a name of KServe (must begin with a letter and hold a-z, 0-9 and -)",
        )
    # KServe looks at the annotations of the object only, not at those of its predictor.
    annotations = data["metadata"].get("annotations") or {}
    if annotations.get(AUTOSCALER, "hpa") not in AUTOSCALERS:
        message = f"{show(annotations[AUTOSCALER])} is not an autoscaler of KServe (must be {', '.join(AUTOSCALERS)})"
        yield ("metadata", "annotations", AUTOSCALER), message
    stop = annotations.get(STOP)
    if isinstance(stop, str) and stop.lower() == "true":
        message = "stops the service: KServe deletes its Knative Service (remove it)"
        yield ("metadata", "annotations", STOP), message
    if data["spec"].get("canary") and not is_standard:
        yield ("spec", "canary"), "is for Standard mode, and KServe refuses it in Knative mode (remove it)"
    metric_faults = _knative_metric
    if is_standard:
        metric_faults = {"hpa": _hpa_metric, "keda": _keda_metric}.get(str(annotations.get(AUTOSCALER)), _any_metric)
    elif annotations.get(SPELLINGS["class"][0]) == HPA:
        metric_faults = _hpa_metric
    for component in COMPONENTS:
        spec = data["spec"].get(component)
        if isinstance(spec, Mapping):
            for place, message in (
                *_implementation(component, spec),
                *_counts(spec),
                *_logger(spec),
                *_storage(spec),
                *_environment(spec),
                *metric_faults(spec),
            ):
                yield ("spec", component, *place), message


def _implementation(component: str, spec: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Exactly one model or container of its own serves."""
    if component == "explainer" and isinstance(spec.get("art"), Mapping):
        return
    own = mappings_of(spec.get("containers"))
    if component != "predictor":
        if not own:
            yield (), "holds nothing that serves (must have containers)"
        return
    models = [key for key in ("model", *FRAMEWORKS) if isinstance(spec.get(key), Mapping)]
    serving = [index for index, one in enumerate(own) if one.get("name") == SERVING_CONTAINER]
    if not models and not spec.get("containers"):
        yield (), "holds no model (must have model, or containers)"
    elif len(models) > 1:
        yield (models[1],), f"is a second model beside {models[0]} (must have exactly one)"
    elif serving and len(models) + len(serving) > 1:
        beside = f"beside {models[0]}" if models else "twice"
        yield ("containers", serving[-1], "name"), f"is {SERVING_CONTAINER} {beside} (exactly one may serve)"
    for key in models:
        model = spec[key]
        if model.get("name"):
            yield (key, "name"), "is not allowed in a model (remove it)"
        if model.get("storageUri") is not None and spec.get("storageUris") is not None:
            yield ("storageUris",), "is given beside storageUri (must be one of them)"
        if mapping_of(model.get("confidential")).get("enabled") is True and not model.get("storageUri"):
            yield (key, "confidential"), "needs a storageUri"


def whole(value: Any) -> Any:
    """A value of YAML as Kubernetes holds it: 300.0 is the whole number 300."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _counts(spec: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    for key in COUNTS:
        value = whole(spec.get(key))
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            yield (key,), not_right(value, "a whole number")
        elif value is not None and value < 0:
            yield (key,), f"{value} is negative (must be at least 0)"
        elif key == "canaryTrafficPercent" and value is not None and value > 100:
            yield (key,), f"{value} is out of range (must be in [0, 100])"
    least, most = whole(spec.get("minReplicas", 1)), whole(spec.get("maxReplicas") or 0)
    if isinstance(least, int) and isinstance(most, int) and least > most > 0:
        default = "" if "minReplicas" in spec else ", KServe's default"
        yield ("maxReplicas",), f"{most} is less than minReplicas = {least}{default}"


def _logger(spec: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """What KServe wants of a logger, which takes part in no run."""
    logger = spec.get("logger")
    if not isinstance(logger, Mapping):
        return
    if logger.get("mode") not in _LOGS:
        yield ("logger", "mode"), not_right(logger.get("mode"), ", ".join(_LOGS))
    storage = logger.get("storage")
    if isinstance(storage, Mapping):
        missing = [key for key in ("path", "parameters", "key") if storage.get(key) is None]
        if missing:
            yield ("logger", "storage"), f"is without {' and '.join(missing)} (must have path, parameters and key)"


def _storage(spec: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Folders that the storage initializer writes to, and a model that a transformer would load beside a predictor."""
    shared = []
    for index, one in enumerate(mappings_of(spec.get("storageUris"))):
        path = str(one.get("mountPath") or MODELS)
        if not one.get("uri"):
            yield ("storageUris", index, "uri"), "is missing"
        if path == "/" or not path.startswith("/") or ".." in path:
            yield ("storageUris", index, "mountPath"), f"{path!r} is not right (must be absolute, below /, without ..)"
        elif not str(one.get("uri")).startswith("pvc://"):
            shared.append(path)
    if len(shared) > 1 and posixpath.commonpath(shared) == "/":
        yield ("storageUris",), f"{', '.join(shared)} have no folder in common (must lie below one, such as {MODELS})"
    for index, one in enumerate(list_of(spec.get("containers"))):
        if mapping_of(one).get("name") != "transformer-container":
            continue
        for number, variable in enumerate(list_of(one.get("env"))):
            if mapping_of(variable).get("name") == "STORAGE_URI":
                yield ("containers", index, "env", number, "name"), "STORAGE_URI may not be set in a transformer"


def _environment(spec: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Variables that KServe lets nobody set."""
    places: list[Place] = [(key,) for key in ("model", *FRAMEWORKS, "art")]
    for outer in ((), ("workerSpec",)):
        for key in ("containers", "initContainers"):
            places += [(*outer, key, index) for index in range(len(list_of(value_at(spec, (*outer, key)))))]
    for place in places:
        for index, one in enumerate(list_of(mapping_of(value_at(spec, place)).get("env"))):
            if mapping_of(one).get("name") in _BLOCKED:
                yield (*place, "env", index, "name"), f"{one['name']} may not be set (remove it)"


def _any_metric(spec: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    metric = spec.get("scaleMetric")
    if metric is not None and metric not in _METRICS:
        yield ("scaleMetric",), f"{show(metric)} is not a metric of KServe (must be {', '.join(_METRICS)})"


def _knative_metric(spec: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    metric, target = spec.get("scaleMetric"), spec.get("scaleTarget")
    if metric is not None and metric not in ("concurrency", "rps"):
        hint = "; qps is called rps" if metric == "qps" else ""
        yield (
            ("scaleMetric",),
            f"{show(metric)} is not a metric of Knative's autoscaler (must be concurrency or rps{hint})",
        )
    if metric == "rps" and isinstance(target, int) and target < 1:
        yield ("scaleTarget",), f"{target} is out of range (must be at least 1 with scaleMetric rps)"
    for key in ("deploymentStrategy", "workerSpec"):
        if spec.get(key) is not None:
            yield (key,), "is for Standard mode, and KServe refuses it in Knative mode (remove it)"


def _keda_metric(spec: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    if spec.get("scaleMetric") is not None:
        yield ("scaleMetric",), "is not supported with KEDA (write autoScaling.metrics)"


def _hpa_metric(spec: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    metric, target = spec.get("scaleMetric") or "cpu", spec.get("scaleTarget")
    if metric not in ("cpu", "memory"):
        yield ("scaleMetric",), f"{show(metric)} is not a metric of KServe's HPA (must be cpu or memory)"
    # KServe's condition holds the upper bound for memory as well.
    if isinstance(target, int) and not 1 <= target <= 100:
        yield ("scaleTarget",), f"{target} is out of range (must be in [1, 100])"
    for index, one in enumerate(list_of(mapping_of(spec.get("autoScaling")).get("metrics"))):
        place: Place = ("autoScaling", "metrics", index)
        if not isinstance(one, Mapping):
            yield place, not_right(one, "a mapping")
        elif one.get("type") != "Resource":
            yield (*place, "type"), f"{show(one.get('type'))} is not a metric of KServe's HPA (must be Resource)"
        elif one.get("resource") is None:
            yield (*place, "resource"), "is missing (write name and target)"
