"""The objects of a cluster that an experiment's autoscaler is: an HPA, a ScaledObject, an InterceptorRoute ...

What a cluster names and an experiment does not (the exporter's metric, Prometheus' address) is marked with a comment.

Source:
    Kubernetes autoscaling/v2; kedacore/keda@8b4f083, apis/keda/v1alpha1; kedacore/http-add-on@59b2f6a,
    config/crd/bases; kserve/kserve@aaac4e2, component.go
"""

import math
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML

from kpasim.spec import scalerobjects
from kpasim.spec.base import key_of
from kpasim.spec.experiment import Experiment
from kpasim.spec.quantities import duration_text
from kpasim.spec.scaling import Behavior, Deployed, Hpa, Keda, KedaHttp, ScaleDown, ScaleUp, Scaling
from kpasim.spec.yamlfile import dumped

PROMETHEUS = "http://prometheus-server.monitoring:9090"
HTTP_SCALER = "keda-add-ons-http-external-scaler.keda:9090"
"""Address of the HTTP add-on's scaler where its Helm chart is installed in the namespace keda."""
METRIC_NAMES = {
    "concurrency": "requests_in_flight",
    "rps": "requests_per_second",
    "utilization": "gpu_utilization",
    "cpu": "cpu",
}
"""Names of metrics in what is written; those of a cluster depend on its exporter."""


_OF_MANAGER = "of kube-controller-manager"
ELSEWHERE = {
    "tolerance": f"--horizontal-pod-autoscaler-tolerance {_OF_MANAGER}",
    "sync_period_s": f"--horizontal-pod-autoscaler-sync-period {_OF_MANAGER}",
    "downscale_stabilization_s": f"--horizontal-pod-autoscaler-downscale-stabilization {_OF_MANAGER}",
    "termination_grace_period_s": "terminationGracePeriodSeconds of the Deployment's pods",
    "scrape_interval_s": "scrape_interval of Prometheus",
    "queue_tick_s": "KEDA_HTTP_QUEUE_TICK_DURATION of the add-on's scaler",
    "stream_interval_s": "KEDA_HTTP_SCALER_STREAM_INTERVAL_MS of the add-on's scaler",
}
"""Settings that no object holds, and what in a cluster does."""
_WHOLE_SECONDS = ("polling_interval_s", "cooldown_period_s", "initial_cooldown_period_s", "scaledown_period_s")
NOT_OF_HTTP_SCALED_OBJECT = ("behavior", "polling_interval_s")
"""Settings of the HTTP add-on's ScaledObject that an HTTPScaledObject cannot give."""
NOT_OF_KSERVE = (
    "polling_interval_s", "cooldown_period_s", "initial_cooldown_period_s", "idle_replica_count", "fallback",
    "activation_threshold", "metric_type",
)  # fmt: skip
"""Settings of KEDA that an InferenceService cannot give."""


def scaler_yaml(experiment: Experiment, target: float) -> str:
    """The autoscaler of an experiment as YAML for a cluster.

    The autoscaler is not Knative's; ``target`` is that of the metric for each pod, given or derived. Settings that the
    object cannot hold, and that differ from their default, stand above it as comments.
    """
    scaling, name = experiment.scaling, experiment.service.name
    most = experiment.revision.max_scale
    is_kserve = "kind: InferenceService" in experiment.service.to_yaml() and isinstance(scaling, Hpa | Keda)
    comments = list(_left_out(scaling, is_kserve=is_kserve))
    if isinstance(scaling, Hpa | Keda | KedaHttp):
        scaling = scaling.model_copy(update={scaling.BOUNDS[1]: scaling.max_of(most)})
    if isinstance(scaling, Deployed):
        what, document = scaling.document(name, most, target)
        comments.append(what)
        documents = [document]
    elif is_kserve:
        assert isinstance(scaling, Hpa | Keda)
        documents = [_inference_service(experiment, scaling, target)]
        if scaling.metric != "cpu":
            why = "KServe's own HPA reads cpu and memory only, so " if isinstance(scaling, Hpa) else ""
            comments.append(f"{why}KEDA reads the metric: replace serverAddress and query by those of your cluster.")
    elif isinstance(scaling, Hpa):
        if scaling.metric != "cpu":
            comments.append(f"{METRIC_NAMES[scaling.metric]}: replace it by the name that your metrics adapter serves.")
        documents = [_hpa(scaling, name, target)]
    elif isinstance(scaling, Keda):
        comments.append("Replace serverAddress and query by those of your cluster.")
        keys = scalerobjects.SCALED_OBJECT | scalerobjects.FALLBACK
        documents = [_triggered(scaling, name, keys, _trigger(scaling, name, target))]
    else:
        assert isinstance(scaling, KedaHttp)
        if scaling.object == "InterceptorRoute":
            trigger = {"type": "external-push", "metadata": {"scalerAddress": HTTP_SCALER, "interceptorRoute": name}}
            scaled = _triggered(scaling, name, scalerobjects.ROUTED, trigger)
            documents = [_interceptor_route(scaling, name, round(target)), scaled]
        else:
            documents = [_http_scaled_object(scaling, name, round(target))]
    writer = YAML(typ="rt")
    writer.default_flow_style = False
    return "".join(f"# {comment}\n" for comment in comments) + dumped(writer, *documents)


def _left_out(scaling: Scaling, *, is_kserve: bool) -> Iterator[str]:
    """What was simulated and is not in the object."""
    given = type(scaling).model_construct(kind=scaling.kind)
    changed = {name: value for name, value in scaling if value != getattr(given, name, value)}
    for name, value in changed.items():
        text = duration_text(value) if name.endswith("_s") else value
        if name in ELSEWHERE:
            yield f"{key_of(name)} {text} was simulated: set {ELSEWHERE[name]}."
        elif name in NOT_OF_HTTP_SCALED_OBJECT and getattr(scaling, "object", "") == "HTTPScaledObject":
            shown = "a behavior" if name == "behavior" else f"{key_of(name)} {text}"
            yield f"{shown} was simulated: an HTTPScaledObject cannot give it (object: InterceptorRoute can)."
        elif name in _WHOLE_SECONDS and value != int(value):
            yield f"{key_of(name)} {text} was simulated: the object holds whole seconds."
        elif is_kserve and name in NOT_OF_KSERVE and isinstance(scaling, Keda):
            shown = "a fallback" if name == "fallback" else f"{key_of(name)} {text}"
            yield f"{shown} was simulated: KServe's ScaledObject has the default of KEDA."
    if is_kserve and isinstance(scaling, Hpa | Keda) and scaling.behavior != _of_kserve(scaling):
        none = "an HPA without behavior was simulated: KServe writes behavior: {}, with Kubernetes' defaults."
        other = "another behavior was simulated: KServe hands on stabilization windows only, and to KEDA only."
        yield none if scaling.behavior is None else other


def _of_kserve(scaling: Hpa | Keda) -> Behavior:
    """The behavior that KServe writes for what is handed to it."""
    if scaling.metric == "cpu" or scaling.behavior is None:
        return Behavior()
    up, down = scaling.behavior.scale_up, scaling.behavior.scale_down
    return Behavior(
        scale_up=ScaleUp(stabilization_window_s=up.stabilization_window_s),
        scale_down=ScaleDown(stabilization_window_s=down.stabilization_window_s),
    )


def _quantity(value: float) -> str:
    """A Kubernetes quantity, in thousandths where it is no whole number."""
    return str(round(value)) if math.isclose(value, round(value)) else f"{max(1, round(value * 1000))}m"


def _hpa(scaling: Hpa, name: str, target: float) -> dict[str, Any]:
    if scaling.metric == "cpu":
        used = {"type": "Utilization", "averageUtilization": round(target)}
        source: dict[str, Any] = {"type": "Resource", "resource": {"name": "cpu", "target": used}}
    else:
        what: dict[str, Any] = {"metric": {"name": METRIC_NAMES[scaling.metric]}}
        if scaling.metric_type == "Object":
            what["describedObject"] = {"apiVersion": "v1", "kind": "Service", "name": name}
        key = "averageValue" if scaling.target_type == "AverageValue" else "value"
        what["target"] = {"type": scaling.target_type, key: _quantity(target)}
        source = {"type": scaling.metric_type, scaling.metric_type.lower(): what}
    given = scalerobjects.to_object(scaling, scalerobjects.HPA_COUNTS | scalerobjects.BEHAVIOR)
    spec = {"scaleTargetRef": _deployment(name), **given, "metrics": [source]}
    return _object("autoscaling/v2", "HorizontalPodAutoscaler", name, spec)


def _object(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of Kubernetes; what is None in its spec is left out."""
    given = {key: value for key, value in spec.items() if value is not None}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": given}


def _deployment(name: str) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}


def _query(metric: str, name: str, window_s: float | None) -> str:
    """A query of the metric of the whole service."""
    window_s = 60.0 if window_s is None and metric == "rps" else window_s or 0.0
    # Prometheus takes no fractions of a unit.
    window = duration_text(window_s) if window_s == int(window_s) else f"{window_s * 1000:.0f}ms"
    if metric == "rps":
        return f'sum(rate(http_requests_total{{service="{name}"}}[{window}]))'
    gauge = f'http_requests_in_flight{{service="{name}"}}'
    return f"sum(avg_over_time({gauge}[{window}]))" if window_s else f"sum({gauge})"


def _plain(value: float) -> str:
    """A number in the thousandths that KEDA rounds to."""
    return f"{max(1, round(value * 1000)) / 1000:.15g}"


def _trigger(scaling: Keda, name: str, target: float) -> dict[str, Any]:
    metadata = {
        "serverAddress": PROMETHEUS,
        "query": _query(scaling.metric, name, scaling.metric_window_s),
        "threshold": _plain(target),
    }
    if scaling.activation_threshold:
        metadata["activationThreshold"] = f"{scaling.activation_threshold:.6g}"
    return {"type": "prometheus", "metricType": scaling.metric_type, "metadata": metadata}


def _triggered(
    scaling: Keda | KedaHttp, name: str, keys: scalerobjects.Keys, trigger: dict[str, Any]
) -> dict[str, Any]:
    """A ScaledObject with a trigger."""
    spec = {"scaleTargetRef": _deployment(name), **scalerobjects.to_object(scaling, keys), "triggers": [trigger]}
    if scaling.behavior is not None:
        spec["advanced"] = {"horizontalPodAutoscalerConfig": scalerobjects.to_object(scaling, scalerobjects.BEHAVIOR)}
    return _object("keda.sh/v1alpha1", "ScaledObject", name, spec)


def _scaling_metric(scaling: KedaHttp, target: int) -> dict[str, Any]:
    if scaling.metric == "concurrency":
        return {"concurrency": {"targetValue": target}}
    window = {"window": duration_text(scaling.window_s), "granularity": duration_text(scaling.granularity_s)}
    return {"requestRate": {"targetValue": target, **window}}


def _interceptor_route(scaling: KedaHttp, name: str, target: int) -> dict[str, Any]:
    spec = {
        "target": {"service": name, "port": 80},
        "rules": [{"hosts": [f"{name}.example.com"]}],
        "scalingMetric": _scaling_metric(scaling, target),
    }
    return _object("http.keda.sh/v1beta1", "InterceptorRoute", name, spec)


def _http_scaled_object(scaling: KedaHttp, name: str, target: int) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "hosts": [f"{name}.example.com"],
        "scaleTargetRef": {"name": name, "kind": "Deployment", "apiVersion": "apps/v1", "service": name, "port": 80},
        "replicas": scalerobjects.to_object(scaling, scalerobjects.REPLICAS),
        **scalerobjects.to_object(scaling, scalerobjects.PERIODS),
        "scalingMetric": _scaling_metric(scaling, target),
    }
    return _object("http.keda.sh/v1alpha1", "HTTPScaledObject", name, spec)


def _inference_service(experiment: Experiment, scaling: Hpa | Keda, target: float) -> dict[str, Any]:
    """The InferenceService in Standard mode, whose HPA or ScaledObject KServe makes."""
    reader = YAML(typ="rt")
    document: dict[str, Any] = reader.load(experiment.service.to_yaml())
    annotations = document["metadata"].setdefault("annotations", {})
    annotations["serving.kserve.io/deploymentMode"] = "Standard"
    # KServe's own HPA knows cpu and memory only; any other metric is KEDA's.
    annotations["serving.kserve.io/autoscalerClass"] = "hpa" if scaling.metric == "cpu" else "keda"
    predictor = document["spec"]["predictor"]
    for key in ("scaleMetric", "scaleTarget"):
        predictor.pop(key, None)
    predictor["minReplicas"], predictor["maxReplicas"] = (getattr(scaling, bound) for bound in scaling.BOUNDS)
    if scaling.metric == "cpu":
        predictor["scaleMetric"], predictor["scaleTarget"] = "cpu", round(target)
        return document
    source = {
        "metric": {
            "backend": "prometheus",
            "serverAddress": PROMETHEUS,
            "query": _query(scaling.metric, experiment.service.name, scaling.metric_window_s),
        },
        # KServe hands `value` on as KEDA's threshold, which is for each pod and takes no suffix.
        "target": {"type": "Value", "value": _plain(target)},
    }
    metrics = {"metrics": [{"type": "External", "external": source}]}
    predictor["autoScaling"] = metrics | scalerobjects.to_object(scaling, scalerobjects.BEHAVIOR)
    return document
