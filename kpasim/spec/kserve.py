"""KServe's InferenceService: the Knative Service that KServe makes of it, and where each of its fields comes from.

Source:
    kserve/kserve@aaac4e2, pkg/controller/v1beta1/inferenceservice/reconcilers/knative/ksvc_reconciler.go,
    components/predictor.go, pkg/controller/v1alpha1/utils/utils.go, pkg/apis/serving/v1beta1/component.go
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kpasim.spec import servingruntime
from kpasim.spec.autoscaler import KPA, PREFIX, SPELLINGS, annotation_key
from kpasim.spec.base import Place, list_of, mapping_of, not_right, show, unknown, value_at
from kpasim.spec.configmaps import KServeConfig
from kpasim.spec.goparse import parse_int
from kpasim.spec.kserverules import AUTOSCALER, COUNTS, FRAMEWORKS, SERVING_CONTAINER, faults, whole
from kpasim.spec.scalerobjects import NotSimulatedError, metric_of_query, number_of
from kpasim.spec.yamlfile import names_of

INFERENCE_SERVICE = "InferenceService"
LLM = "LLMInferenceService"
VERSION = "serving.kserve.io/v1beta1"
"""The version of the API that KServe serves for an InferenceService."""
PREDICTOR: Place = ("spec", "predictor")
MODE = "serving.kserve.io/deploymentMode"
ROLLOUT = "serving.knative.dev/rollout-duration"
UNKNOWN_IMAGE = "runtime.invalid/image-of-the-serving-runtime"
"""Stands in for the image of a ServingRuntime, which only the cluster knows."""

_TEMPLATE: Place = ("spec", "template")
_ANNOTATIONS: Place = (*_TEMPLATE, "metadata", "annotations")
_SPEC: Place = (*_TEMPLATE, "spec")
_OWN_ANNOTATIONS: Place = ("metadata", "annotations")
_PREDICTOR_ANNOTATIONS: Place = (*PREDICTOR, "annotations")
ANNOTATIONS = (_OWN_ANNOTATIONS, _PREDICTOR_ANNOTATIONS)
"""Where annotations stand that KServe hands down, the stronger ones last."""

_ORIGINS: dict[Place, Place] = {
    (): (), ("metadata",): ("metadata",), **dict.fromkeys((_TEMPLATE, _SPEC, (*_TEMPLATE, "metadata")), PREDICTOR),
}  # fmt: skip
"""Where the parts of the Knative Service come from that every InferenceService has."""

ANNOTATION_FIELDS = {"min-scale": "minReplicas", "max-scale": "maxReplicas", "target": "scaleTarget",
                     "metric": "scaleMetric"}  # fmt: skip
"""Fields of the predictor that KServe writes as annotations of the revision, by the annotation's short name."""
_TIMEOUTS = ("timeoutSeconds", "responseStartTimeoutSeconds")
SPEC_FIELDS = {"containerConcurrency": "containerConcurrency", "timeoutSeconds": "timeout"}
"""Fields of the predictor that KServe writes to the revision's spec."""
FIELDS = (*ANNOTATION_FIELDS.values(), *SPEC_FIELDS.values())
"""Fields of the predictor that decide how it scales."""
_COMPONENT = {*FIELDS, *names_of("kserve-predictor"), *FRAMEWORKS}
"""Fields of the predictor that are none of the pod's."""
_POD = names_of("kserve-pod")
PREDICTOR_FIELDS = tuple(sorted(_COMPONENT.union(_POD)))
"""Every field of a predictor."""
_NOT_SIMULATED = ("batcher", "logger", "canaryTrafficPercent")
_RAW = {"Standard", "RawDeployment"}
KNATIVE_MODES = {"Knative", "Serverless"}
"""Deployment modes in which KServe makes a Knative Service."""
MODES = (*sorted(KNATIVE_MODES), *sorted(_RAW), "ModelMesh")
"""Every deployment mode of KServe."""


@dataclass(frozen=True)
class InferenceService:
    """An InferenceService as its author wrote it, and the Knative Service that KServe makes of its predictor.

    Attributes:
        origins: Where a place of the Knative Service comes from, in the InferenceService.
        faults: What KServe refuses: places of the InferenceService, and why.
        dropped: Annotations that KServe drops, as places of the InferenceService.
        unknown: Fields that no predictor has: Kubernetes drops them.
        scaling: In Standard mode, the autoscaler of the Deployment that KServe makes instead, as an experiment has it.
    """

    data: dict[str, Any]
    service: dict[str, Any]
    origins: Mapping[Place, Place]
    faults: tuple[tuple[Place, str], ...] = ()
    dropped: tuple[Place, ...] = ()
    unknown: tuple[Place, ...] = ()
    scaling: Mapping[str, Any] | None = None

    @property
    def predictor(self) -> Mapping[str, Any]:
        """Its predictor."""
        found: Mapping[str, Any] = self.data["spec"]["predictor"]
        return found

    @property
    def storage(self) -> str:
        """Where the storage initializer loads the model from, empty where there is none to load."""
        return str(mapping_of(self.predictor.get(_model_key(self.predictor) or "")).get("storageUri") or "")

    @property
    def has_unknown_image(self) -> bool:
        """Whether a ServingRuntime of the cluster decides about the image and its probes."""
        return any(one.get("image") == UNKNOWN_IMAGE for one in self.service["spec"]["template"]["spec"]["containers"])

    @property
    def unmodelled(self) -> tuple[Place, ...]:
        """Parts that could change a run and are not simulated."""
        parts: list[Place] = [("spec", name) for name in ("transformer", "explainer") if self.data["spec"].get(name)]
        return (*parts, *((*PREDICTOR, key) for key in _NOT_SIMULATED if self.predictor.get(key)))

    def place(self, place: Place) -> Place:
        """Where in the InferenceService a place of the Knative Service comes from; its own places stay."""
        if place[: len(PREDICTOR)] == PREDICTOR:
            return place
        for length in range(len(place), -1, -1):
            origin = self.origins.get(place[:length])
            if origin is not None:
                return (*origin, *place[length:])
        return place

    def setting_place(self, name: str) -> Place:
        """Where a setting stands: by KServe's name (`spec.predictor.minReplicas`, `minReplicas`) or by Knative's.

        Raises:
            ValueError: There is no such setting; the message says which there are.
        """
        field_name = name.removeprefix("spec.predictor.")
        if field_name in FIELDS:
            return (*PREDICTOR, field_name)
        if name == "responseStartTimeoutSeconds":
            raise ValueError("is what spec.predictor.timeout says: KServe writes it to both (set that)")
        if name in SPEC_FIELDS:
            return (*PREDICTOR, SPEC_FIELDS[name])
        if name.startswith("annotations."):
            return self._annotation_place(name.removeprefix("annotations."))
        if field_name != name:
            raise ValueError(unknown("setting", field_name, FIELDS))
        raise KeyError(name)

    def _annotation_place(self, name: str) -> Place:
        """Where an annotation stands, or would: the field that KServe makes it of, where there is one."""
        short = next((one for one, keys in SPELLINGS.items() if PREFIX + name.removeprefix(PREFIX) in keys), None)
        if short in ANNOTATION_FIELDS:
            return (*PREDICTOR, ANNOTATION_FIELDS[short])
        key = annotation_key(self.service["spec"]["template"]["metadata"]["annotations"], name)
        if (*_ANNOTATIONS, key) in self.origins and self.origins[*_ANNOTATIONS, key][:-1] in ANNOTATIONS:
            return self.origins[*_ANNOTATIONS, key]
        own = self.predictor.get("annotations")
        return (*(_PREDICTOR_ANNOTATIONS if own else _OWN_ANNOTATIONS), key)


class _Making:
    """The Knative Service while it is made of an InferenceService, and what is noticed on the way.

    Attributes:
        key: The key of the predictor that holds the model, None without one.
        runtime: What `servingruntime.kept` keeps of the ServingRuntime that serves the model, None without one.
    """

    def __init__(self, data: Mapping[str, Any], config: KServeConfig) -> None:
        self.data, self.config = data, config
        self.origins = dict(_ORIGINS)
        self.dropped: list[Place] = []
        self.predictor = data["spec"]["predictor"]
        self.key = _model_key(self.predictor)
        self.runtime = None
        if self.key is not None:
            # As KServe's webhook writes it: an old key becomes the name of the model's format.
            form = {} if self.key == "model" else {"modelFormat": {"name": self.key}}
            namespace = str(data["metadata"].get("namespace") or "default")
            self.runtime = servingruntime.chosen({**form, **self.predictor[self.key]}, namespace, config.runtimes)

    def annotations(self, *, allow_zero_initial: bool) -> dict[str, Any]:
        """Annotations of the template: the predictor's over the object's over the runtime's, and KServe's own."""
        found: dict[str, Any] = {}
        for key, value in ((self.runtime or {}).get("annotations") or {}).items():
            if key not in self.config.disallowed_annotations:
                found[key] = str(value)
                self.origins[*_ANNOTATIONS, key] = (*PREDICTOR, self.key or "model")
        for place in ANNOTATIONS:
            for key, value in (value_at(self.data, place) or {}).items():
                if key == "kubectl.kubernetes.io/last-applied-configuration":
                    continue
                if key in self.config.disallowed_annotations:
                    self.dropped.append((*place, key))
                else:
                    found[key] = value
                    self.origins[*_ANNOTATIONS, key] = (*place, key)
        found.setdefault(SPELLINGS["class"][0], KPA)
        for short, name in ANNOTATION_FIELDS.items():
            key = SPELLINGS[short][0]
            value = self.predictor.get(name)
            self.origins.setdefault((*_ANNOTATIONS, key), (*PREDICTOR, name))
            if value is None and short == "min-scale":
                value = 1
            if value is None or (short == "max-scale" and value == 0):
                continue
            if key in found:
                self.dropped.append(self.origins[*_ANNOTATIONS, key])
            found[key] = str(value)
            self.origins[*_ANNOTATIONS, key] = (*PREDICTOR, name)
        initial = SPELLINGS["initial-scale"][0]
        if initial in found and not _takes_initial(found[initial], allow_zero=allow_zero_initial):
            self.dropped.append(self.origins[*_ANNOTATIONS, initial])
            del found[initial]
        return found

    def pod(self) -> dict[str, Any]:
        """Spec of the revision: the predictor's pod, its limit of concurrency, and its timeout in both places."""
        spec = servingruntime.pod(self.runtime or {})
        spec |= {key: value for key, value in self.predictor.items() if key in _POD and key != "containers"}
        if self.predictor.get("containerConcurrency") is not None:
            spec["containerConcurrency"] = self.predictor["containerConcurrency"]
        if self.predictor.get("timeout") is not None:
            spec |= dict.fromkeys(_TIMEOUTS, self.predictor["timeout"])
        for key in _TIMEOUTS:
            self.origins[*_SPEC, key] = (*PREDICTOR, "timeout")
        spec["containers"] = self._containers()
        return spec

    def _containers(self) -> list[Any]:
        """The container of the model first, then the others; without a model the first one serves."""
        key, runtime = self.key, self.runtime
        found: list[Any] = []
        if key is not None:
            model = self.predictor[key]
            container = {name: value for name, value in model.items() if name not in names_of("kserve-model")}
            if runtime:
                container = servingruntime.model_container(runtime, container, model)
            found.append({**container, "name": SERVING_CONTAINER, "image": container.get("image") or UNKNOWN_IMAGE})
            found += servingruntime.other_containers(runtime) if runtime else []
            self.origins[*_SPEC, "containers"] = (*PREDICTOR, key)
            self.origins[*_SPEC, "containers", 0] = (*PREDICTOR, key)
        for index, one in enumerate(list_of(self.predictor.get("containers"))):
            if key is not None and isinstance(one, Mapping) and one.get("name") == SERVING_CONTAINER:
                found[0] = {**found[0], **one}
                continue
            self.origins[*_SPEC, "containers", len(found)] = (*PREDICTOR, "containers", index)
            serves = isinstance(one, Mapping) and not found
            found.append({**_with_resources(one, self.config), "name": SERVING_CONTAINER} if serves else one)
        # The port of a runtime that is not known is not known either.
        return _with_a_port(found) if key is not None and not runtime else found


def inference_service(data: dict[str, Any], config: KServeConfig, *, allow_zero_initial: bool) -> InferenceService:
    """What KServe makes of an InferenceService; ``allow_zero_initial`` is a key of `config-autoscaler`.

    Raises:
        NotSimulatedError: What scales it is not simulated.
    """
    is_standard = _is_standard(data, config)
    counts = {key: whole(value) for key, value in data["spec"]["predictor"].items() if key in COUNTS}
    data = {**data, "spec": {**data["spec"], "predictor": {**data["spec"]["predictor"], **counts}}}
    refused = tuple(faults(data, is_standard=is_standard))
    scaling = _standard_scaling(data, config) if is_standard and not refused else None
    made = _Making(data, config)
    if (data["metadata"].get("annotations") or {}).get(MODE, MODES[0]) not in MODES:
        made.dropped.append((*_OWN_ANNOTATIONS, MODE))
    metadata = {"name": predictor_service(data)}
    if "namespace" in data["metadata"]:
        metadata["namespace"] = data["metadata"]["namespace"]
    annotations = made.annotations(allow_zero_initial=allow_zero_initial)
    on_service = {ROLLOUT: annotations.pop(ROLLOUT)} if ROLLOUT in annotations else {}
    if on_service:
        made.origins[*_OWN_ANNOTATIONS, ROLLOUT] = made.origins[*_ANNOTATIONS, ROLLOUT]
    service: dict[str, Any] = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {**metadata, **({"annotations": on_service} if on_service else {})},
        "spec": {"template": {"metadata": {"annotations": annotations}, "spec": made.pod()}},
    }
    if is_standard:
        service["spec"]["template"]["spec"] = _counted(service["spec"]["template"]["spec"])
        for short in ("metric", "target", "class"):
            annotations.pop(SPELLINGS[short][0], None)
    unknown = [(*PREDICTOR, key) for key in made.predictor if key not in PREDICTOR_FIELDS]
    return InferenceService(data, service, made.origins, refused, tuple(made.dropped), tuple(unknown), scaling)


def predictor_service(data: Mapping[str, Any]) -> str:
    """Name of the Knative Service that KServe makes of an InferenceService's predictor.

    Source:
        kserve/kserve@aaac4e2, pkg/constants/constants.go, PredictorServiceName
    """
    own = value_at(data, (*PREDICTOR, "name"))
    return "-".join(filter(None, (str(value_at(data, ("metadata", "name")) or ""), str(own or ""), "predictor")))


def container_place(data: Mapping[str, Any]) -> Place:
    """Where an InferenceService says what the container that serves is: the model, or the first container."""
    key = _model_key(data["spec"]["predictor"])
    return (*PREDICTOR, "containers", 0) if key is None else (*PREDICTOR, key)


def deployment_mode(data: Mapping[str, Any], config: KServeConfig) -> str:
    """The mode of an InferenceService, as it or the cluster says; KServe passes over an annotation of another text."""
    annotations = value_at(data, _OWN_ANNOTATIONS) or {}
    given = annotations.get(MODE) if annotations.get(MODE) in MODES else None
    return str(value_at(data, ("status", "deploymentMode")) or given or config.deployment_mode)


def _is_standard(data: Mapping[str, Any], config: KServeConfig) -> bool:
    """Whether KServe makes a Deployment instead of a Knative Service.

    Raises:
        NotSimulatedError: It makes neither, or the object is not one of an InferenceService's shape.
    """
    if data.get("kind") == LLM:
        raise NotSimulatedError(
            ("kind",),
            "is an LLMInferenceService: KServe scales its Deployments by a HorizontalPodAutoscaler or KEDA (spec."
            "scaling), not by Knative, and kpasim does not simulate these (give an InferenceService of Knative mode)",
        )
    if data.get("apiVersion") != VERSION:
        raise NotSimulatedError(
            ("apiVersion",), f"{show(data.get('apiVersion'))} is not served by KServe any longer (write {VERSION})"
        )
    for place in (("metadata",), ("spec",), PREDICTOR, *ANNOTATIONS):
        found = value_at(data, place)
        if not isinstance(found, Mapping) and not (found is None and place in ANNOTATIONS):
            raise NotSimulatedError(place, "is missing" if found is None else not_right(found, "a mapping"))
    mode = deployment_mode(data, config)
    if mode not in KNATIVE_MODES | _RAW:
        message = f"has deploymentMode {mode}, which Knative does not scale (must be Knative)"
        raise NotSimulatedError((*_OWN_ANNOTATIONS, MODE), message)
    return mode in _RAW


def _standard_scaling(data: Mapping[str, Any], config: KServeConfig) -> dict[str, Any]:
    """The autoscaler of the Deployment that KServe makes in Standard mode.

    Raises:
        NotSimulatedError: What scales the object is not simulated.
    """
    annotations = value_at(data, _OWN_ANNOTATIONS) or {}
    scaler = str(annotations.get(AUTOSCALER, "hpa"))
    if scaler == "hpa":
        return _standard_hpa(data["spec"]["predictor"])
    if scaler == "keda":
        return _standard_keda(data["spec"]["predictor"], config)
    named = "an autoscaler that is not KServe's" if scaler == "external" else "nothing"
    raise NotSimulatedError(
        (*_OWN_ANNOTATIONS, AUTOSCALER),
        f"is {scaler}: {named} scales the Deployment that KServe makes, and kpasim does not simulate that (must be hpa "
        "or keda; or write autoscaler: in an experiment)",
    )


def _standard_hpa(predictor: Mapping[str, Any]) -> dict[str, Any]:
    """The HPA that KServe writes in Standard mode.

    Source:
        kserve/kserve@aaac4e2, pkg/controller/v1beta1/inferenceservice/reconcilers/hpa/hpa_reconciler.go
    """
    least = max(_count(predictor, "minReplicas", 1), 1)
    most = max(_count(predictor, "maxReplicas", 0), least)
    found = {"kind": "hpa", "metric": "cpu", "min-replicas": least, "max-replicas": most, "behavior": {}}
    if predictor.get("autoScaling") is not None:
        return {**found, "target": _cpu_percent(value_at(predictor, ("autoScaling", "metrics")))}
    metric = predictor.get("scaleMetric") or "cpu"
    if metric != "cpu":
        why = "in Standard mode KServe makes a Deployment and an HPA, no Knative Service, and kpasim simulates"
        raise NotSimulatedError((*PREDICTOR, "scaleMetric"), f"{show(metric)}: {why} its CPU only (must be cpu)")
    target = _count(predictor, "scaleTarget", 0)
    if target > 100:
        raise NotSimulatedError((*PREDICTOR, "scaleTarget"), f"{target} is out of range (must be in [1, 100], percent)")
    return found | ({"target": float(target)} if target > 0 else {})


def _cpu_percent(metrics: Any) -> float:
    """Percent of the CPU request that KServe's HPA aims at, of the only Resource in `autoScaling.metrics`."""
    if not metrics:
        return 80.0  # Kubernetes' default
    one, place = _only_metric(metrics)
    kind, name = one.get("type"), value_at(one, ("resource", "name"))
    if kind != "Resource":
        message = f"{show(kind)} is not read by an HPA of KServe (must be Resource; or autoscalerClass keda)"
        raise NotSimulatedError((*place, "type"), message)
    if name != "cpu":
        raise NotSimulatedError.of((*place, "resource", "name"), name, "cpu", " in Standard mode")
    percent = value_at(one, ("resource", "target", "averageUtilization"))
    if not isinstance(percent, int | None) or isinstance(percent, bool):
        at = (*place, "resource", "target", "averageUtilization")
        raise NotSimulatedError(at, not_right(percent, "a whole number"))
    return float(percent or 80)


def _only_metric(metrics: Any) -> tuple[Mapping[str, Any], Place]:
    """The one metric of `autoScaling.metrics`, and its place."""
    place: Place = (*PREDICTOR, "autoScaling", "metrics")
    if not isinstance(metrics, list) or not metrics or not isinstance(metrics[0], Mapping):
        raise NotSimulatedError(place, "is missing: KEDA needs a metric (write a list)")
    if len(metrics) > 1:
        raise NotSimulatedError(place, f"has {len(metrics)} metrics; one is simulated (keep the one that decides)")
    return metrics[0], (*place, 0)


def _standard_keda(predictor: Mapping[str, Any], config: KServeConfig) -> dict[str, Any]:
    """The ScaledObject that KServe writes in Standard mode.

    Of `autoScaling.behavior` KServe hands on the stabilization windows only.

    Source:
        kserve/kserve@aaac4e2, pkg/controller/v1beta1/inferenceservice/reconcilers/keda/keda_reconciler.go
    """
    first, place = _only_metric(value_at(predictor, ("autoScaling", "metrics")))
    source = {"External": "external", "PodMetric": "podmetric"}.get(str(first.get("type")))
    if source is None:
        raise NotSimulatedError.of((*place, "type"), first.get("type"), "External or PodMetric", " with KEDA")
    over_time = value_at(first, (source, "metric", "operationOverTime"))
    if over_time not in {None, "last_one"}:
        raise NotSimulatedError.of((*place, source, "metric", "operationOverTime"), over_time, "last_one")
    least = max(_count(predictor, "minReplicas", 1), 0)
    windows: dict[str, Any] = {}
    of_the_cluster = dict(config.keda_windows_s)
    for name, key in (("scaleUp", "scale-up"), ("scaleDown", "scale-down")):
        window_s = value_at(predictor, ("autoScaling", "behavior", name, "stabilizationWindowSeconds"))
        window_s = of_the_cluster.get(name) if window_s is None else window_s
        if window_s is not None:
            windows[key] = {"stabilization-window": window_s}
    metric = metric_of_query(value_at(first, (source, "metric", "query")), (*place, source, "metric", "query"))
    aim = (source, "target", "value")
    threshold = number_of(value_at(first, aim), (*place, *aim), positive=True)
    return {
        "kind": "keda",
        **metric,
        "target": threshold,
        "min-replica-count": least,
        "max-replica-count": max(_count(predictor, "maxReplicas", 0), least, 1),
        "behavior": windows,
    }


def _count(predictor: Mapping[str, Any], name: str, default: int) -> int:
    value = predictor.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _takes_initial(text: Any, *, allow_zero: bool) -> bool:
    try:
        return parse_int(str(text)) != 0 or allow_zero
    except ValueError:
        return False


def _counted(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a run depends on of a pod in Standard mode, which Knative's rules for pods do not hold for."""
    found = {key: spec[key] for key in ("containerConcurrency", *_TIMEOUTS) if key in spec}
    probes = ("readinessProbe", "startupProbe")
    containers = [
        {key: one[key] for key in ("name", "image", "resources", *(probes if index == 0 else ())) if key in one}
        if isinstance(one, Mapping)
        else one
        for index, one in enumerate(spec["containers"])
    ]
    return {**found, "containers": _with_a_port(containers)}


def _with_a_port(containers: list[Any]) -> list[Any]:
    """Several containers of which none has a port, which the first one then brings: a runtime's, or one of Standard."""
    if len(containers) < 2 or any(isinstance(one, Mapping) and one.get("ports") for one in containers):
        return containers
    first = containers[0]
    return [{**first, "ports": [{"containerPort": 8080}]} if isinstance(first, Mapping) else first, *containers[1:]]


def _model_key(predictor: Mapping[str, Any]) -> str | None:
    """The key that holds the model: `model`, or an old one that names its format."""
    return next((key for key in ("model", *FRAMEWORKS) if isinstance(predictor.get(key), Mapping)), None)


def _with_resources(container: Mapping[str, Any], config: KServeConfig) -> dict[str, Any]:
    """A predictor's own container with the resources that the cluster gives it.

    Source:
        kserve/kserve@aaac4e2, pkg/apis/serving/v1beta1/predictor_custom.go, Default: a model gets none.
    """
    given = container.get("resources")
    if not config.resources or not isinstance(given, Mapping | None):
        return dict(container)
    resources = {bound: dict(amounts or {}) for bound, amounts in (given or {}).items()}
    for (bound, name), value in config.resources:
        resources.setdefault(bound, {}).setdefault(name, value)
    return {**container, "resources": resources}
