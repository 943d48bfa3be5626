"""Autoscalers out of objects of a cluster: what they decide by is read, the rest is refused with its line."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from kpasim.cli.main import cli
from kpasim.engines.lower import lower
from kpasim.engines.scaling import written
from kpasim.errors import ExperimentError, RunError
from kpasim.spec.experiment import load, loads
from kpasim.spec.scalerobjects import (
    NotSimulatedError,
    metric_of_name,
    metric_of_query,
    scaler_of_file,
    scaling_of_object,
)
from kpasim.spec.scaling import Behavior, Hpa, Keda, KedaHttp, Rule, ScaleDown, ScaleUp, scaling_of
from kpasim.studies.versus.rivals import rivals
from tests.documented import ROOT

HEY = ROOT / "experiments" / "hey50x5.yaml"
HPA = """apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: sd15}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: sd15}
  minReplicas: 2
  maxReplicas: 8
  metrics:
  - type: Pods
    pods:
      metric: {name: http_requests_per_second}
      target: {type: AverageValue, averageValue: 500m}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      policies:
      - {type: Pods, value: 2, periodSeconds: 60}
    scaleDown:
      stabilizationWindowSeconds: 120
      selectPolicy: Min
"""
SCALED_OBJECT = """apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: vllm}
spec:
  scaleTargetRef: {name: vllm}
  pollingInterval: 15
  cooldownPeriod: 60
  minReplicaCount: 0
  maxReplicaCount: 6
  fallback: {failureThreshold: 3, replicas: 2}
  advanced:
    restoreToOriginalReplicaCount: true
    horizontalPodAutoscalerConfig:
      behavior: {scaleDown: {policies: [{type: Percent, value: 50, periodSeconds: 30}]}}
  triggers:
  - type: prometheus
    metricType: Value
    metadata:
      serverAddress: http://prometheus:9090
      query: |
        sum(rate(http_requests_total{deployment="vllm"}[2m]))
      threshold: "2.5"
      activationThreshold: "0.1"
"""
PAUSED = "autoscaling.keda.sh/paused"
HTTP_SCALED_OBJECT = """apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: demo}
spec:
  hosts: [demo.local]
  pathPrefixes: [/]
  scaleTargetRef: {name: demo, kind: Deployment, apiVersion: apps/v1, service: demo, port: 8082}
  replicas: {min: 0, max: 4}
  scaledownPeriod: 60
  scalingMetric: {requestRate: {granularity: 1s, targetValue: 2, window: 10s}}
"""
INTERCEPTOR_ROUTE = """apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: demo}
spec:
  target: {service: demo, port: 8082}
  rules: [{hosts: [demo.local], paths: [{value: /}]}]
  scalingMetric: {requestRate: {targetValue: 2, window: 10s}}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: demo-scaler}
spec:
  scaleTargetRef: {name: demo}
  minReplicaCount: 2
  idleReplicaCount: 0
  cooldownPeriod: 60
  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: {stabilizationWindowSeconds: 30}}}}
  triggers:
  - type: external-push
    metadata:
      scalerAddress: keda-add-ons-http-external-scaler.keda:9090
      interceptorRoute: demo
"""


def read(text: str) -> Any:
    """The settings of an object."""
    return scaling_of(scaling_of_object(YAML(typ="safe").load(text)))


def test_an_hpa_is_read() -> None:
    """Its bounds, its metric by its name, its target as a quantity, and its behavior with Kubernetes' defaults."""
    up = ScaleUp(policies=(Rule(type="Pods", value=2, period_s=60.0),))
    down = ScaleDown(stabilization_window_s=120.0, select_policy="Min")
    assert read(HPA) == Hpa(
        kind="hpa",
        min_replicas=2,
        max_replicas=8,
        metric="rps",
        target=0.5,
        behavior=Behavior(scale_up=up, scale_down=down),
    )


def test_an_hpa_without_metrics_has_the_default_of_kubernetes() -> None:
    """80 % of the CPU request, 1 pod at least, and no behavior, which is the older rule."""
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "x"}, "maxReplicas": 5}
    data = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": spec}
    cpu = Hpa(kind="hpa", max_replicas=5, metric="cpu", target=80.0)
    assert scaling_of(scaling_of_object(data)) == cpu
    old = {**data, "apiVersion": "autoscaling/v1", "spec": {**spec, "targetCPUUtilizationPercentage": 60}}
    assert scaling_of(scaling_of_object(old)) == cpu.model_copy(update={"target": 60.0})


def test_a_scaled_object_is_read() -> None:
    """Its clocks and counts, its query with the window of its rate, thresholds, fallback, and its HPA's behavior."""
    found = read(SCALED_OBJECT)
    assert isinstance(found, Keda)
    assert (15.0, 60.0, 0, 6) == (
        found.polling_interval_s, found.cooldown_period_s, found.min_replica_count, found.max_replica_count
    )  # fmt: skip
    assert ("rps", 120.0, 2.5, 0.1, "Value") == (
        found.metric, found.metric_window_s, found.target, found.activation_threshold, found.metric_type
    )  # fmt: skip
    assert found.fallback is not None
    assert (3, 2, "static") == (found.fallback.failure_threshold, found.fallback.replicas, found.fallback.behavior)
    assert found.behavior is not None
    assert (Rule(type="Percent", value=50, period_s=30.0),) == found.behavior.scale_down.policies
    assert ScaleUp() == found.behavior.scale_up


@pytest.mark.parametrize("value", ["false", "F", "0"])
def test_an_annotation_that_pauses_nothing_is_none(value: str) -> None:
    """KEDA reads it as Go reads a boolean."""
    assert "{name: vllm}" in SCALED_OBJECT
    paused = SCALED_OBJECT.replace("{name: vllm}", f"{{name: vllm, annotations: {{{PAUSED}: '{value}'}}}}", 1)
    assert read(paused) == read(SCALED_OBJECT)


def test_an_http_scaled_object_is_read() -> None:
    """The rate with its window; without a metric the old field counts, and 100 without that."""
    assert read(HTTP_SCALED_OBJECT) == KedaHttp(
        kind="keda-http", object="HTTPScaledObject", max_replicas=4, metric="request-rate", target=2, window_s=10.0,
        scaledown_period_s=60.0,
    )  # fmt: skip
    spec = {"scaleTargetRef": {"name": "x", "service": "x", "port": 80}}
    data = {"apiVersion": "http.keda.sh/v1alpha1", "kind": "HTTPScaledObject", "spec": spec}
    default = KedaHttp(kind="keda-http", object="HTTPScaledObject", max_replicas=100, target=100)
    assert scaling_of(scaling_of_object(data)) == default
    old = {**data, "spec": {**spec, "targetPendingRequests": 3}}
    assert scaling_of(scaling_of_object(old)) == default.model_copy(update={"target": 3})


def test_an_interceptor_route_is_read_with_its_scaled_object(tmp_path: Path) -> None:
    """The metric of the one, the counts and clocks of the other, with the defaults of KEDA, in either order."""
    down = ScaleDown(stabilization_window_s=30.0)
    expected = KedaHttp(
        kind="keda-http", object="InterceptorRoute", min_replicas=2, max_replicas=100, idle_replicas=0,
        metric="request-rate", target=2, window_s=10.0, scaledown_period_s=60.0, polling_interval_s=30.0,
        behavior=Behavior(scale_down=down),
    )  # fmt: skip
    path = tmp_path / "route.yaml"
    route, scaled = INTERCEPTOR_ROUTE.split("---\n")
    for text in (INTERCEPTOR_ROUTE, f"{scaled}---\n{route}"):
        path.write_text(text)
        assert expected == scaling_of(scaler_of_file(str(path)))
        assert expected == scaling_of(scaler_of_file(f"{path}#demo-scaler"))


def test_a_scaled_object_that_the_add_on_made_is_not_a_second_autoscaler(tmp_path: Path) -> None:
    """A dump of a cluster holds the HTTPScaledObject and, under the same name, the ScaledObject made of it."""
    made = INTERCEPTOR_ROUTE.split("---\n")[1].replace("interceptorRoute", "httpScaledObject")
    path = tmp_path / "dump.yaml"
    path.write_text(f"{HTTP_SCALED_OBJECT}---\n{made.replace('demo-scaler', 'demo')}")
    assert read(HTTP_SCALED_OBJECT) == scaling_of(scaler_of_file(f"{path}#demo"))


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("http_requests_per_second", "rps"),
        ("istio-requests-per-second", "rps"),
        ("vllm:num_requests_running", "concurrency"),
        ("prometheus.googleapis.com|vllm:num_requests_running|gauge", "concurrency"),
        ("requests_in_flight", "concurrency"),
        ("DCGM_FI_DEV_GPU_UTIL", "utilization"),
        ("prometheus.googleapis.com|dcgm_fi_dev_gpu_util|unknown", "utilization"),
        ("vllm:num_requests_waiting", None),
        ("vllm:gpu_cache_usage_perc", None),
        ("http_requests", None),
        ("pdf_generation_queue_length", None),
        ("jetstream_slots_used_percentage", None),
    ],
)
def test_a_metric_is_known_by_its_name(name: str, metric: str | None) -> None:
    """Names that people scale GPU services by; part of what waits or runs is not the whole."""
    if metric is None:
        with pytest.raises(NotSimulatedError, match="is not known as"):
            metric_of_name(name, ())
    else:
        assert metric_of_name(name, ()) == metric


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sum(rate(http_requests_total{job='x'}[2m]))", {"metric": "rps", "metric-window": "2m"}),
        ("sum by (pod) (rate(istio_requests_total[30s]))", {"metric": "rps", "metric-window": "30s"}),
        ("rate(http_server_requests_seconds_count[1m])", {"metric": "rps", "metric-window": "1m"}),
        ("sum(vllm:num_requests_running{model_name='m'}) by (x)", {"metric": "concurrency"}),
        ("http_requests_per_second", {"metric": "rps"}),
        ("avg(vllm:num_requests_running)", None),
        ("sum(rate(a_requests_total[1m])) / sum(kube_deployment_status_replicas)", None),
        ("sum(rate(http_requests_total[1m])) * 60", None),
        ("sum(increase(http_requests_total[1m]))", None),
        ("sum(rate(http_requests_total{status=~'5..'}[1m]))", None),
        ("sum(rate(vllm:request_success_total[1m]))", None),
        ("histogram_quantile(0.95, sum(rate(request_duration_seconds_bucket[1m])) by (le))", None),
        ("sum(DCGM_FI_DEV_GPU_UTIL)", None),
        ("", None),
        (None, None),
    ],
)
def test_a_query_is_known_by_its_form(query: str | None, found: dict[str, str] | None) -> None:
    """The whole of one number over the service, with its window; arithmetic makes another metric of it."""
    if found is None:
        with pytest.raises(NotSimulatedError, match="is not known as"):
            metric_of_query(query, ())
    else:
        assert metric_of_query(query, ()) == found


BEHAVIOR = {
    "scale-up": {"policies": [{"type": "Pods", "value": 2, "period": "60s"}]},
    "scale-down": {"tolerance": 0.05},
}


@pytest.mark.parametrize(
    "scaling",
    [
        {"kind": "hpa", "metric": "concurrency", "target": 2.5, "behavior": BEHAVIOR},
        {"kind": "hpa", "metric": "rps", "metric-type": "External", "target-type": "Value", "min-replicas": 0},
        {"kind": "hpa", "metric": "utilization", "target": 70, "max-replicas": 3},
        {"kind": "hpa", "metric": "cpu", "target": 60},
        {"kind": "keda", "polling-interval": "5s", "metric-window": "2m", "activation-threshold": 0.5, "target": 0.25},
        {
            "kind": "keda",
            "metric": "concurrency",
            "min-replica-count": 3,
            "idle-replica-count": 1,
            "behavior": BEHAVIOR,
        },
        {"kind": "keda", "metric": "concurrency", "metric-window": "90s", "target": 1234.567},
        {"kind": "keda", "metric-window": "40500ms", "behavior": {"scale-up": {"tolerance": 0.0004}}},
        {"kind": "keda-http", "target": 3, "scaledown-period": "1m"},
        {"kind": "keda-http", "metric": "request-rate", "window": "30s", "initial-cooldown-period": "1m"},
        {"kind": "keda-http", "min-replicas": 3, "idle-replicas": 1, "polling-interval": "7s", "behavior": BEHAVIOR},
        {"kind": "keda-http", "object": "HTTPScaledObject", "metric": "request-rate", "target": 3},
    ],
)
def test_what_is_written_reads_back_as_what_was_simulated(tmp_path: Path, scaling: dict[str, Any]) -> None:
    """The same numbers for the engines, all of them."""
    experiment = load(HEY).with_setting("autoscaler", scaling)
    (tmp_path / "written.yaml").write_text(written(experiment))
    back = experiment.with_setting("autoscaler", scaler_of_file(str(tmp_path / "written.yaml")))
    one, other = lower(experiment), lower(back)
    differ = {name for name in one._fields if not _equal(getattr(one, name), getattr(other, name))}
    assert set() == differ


def _equal(one: Any, other: Any) -> bool:
    return bool((one == other).all()) if hasattr(one, "shape") else bool(one == other)


@pytest.mark.parametrize(
    ("text", "old", "new", "says"),
    [
        (HPA, "autoscaling/v2", "autoscaling/v2beta2", "apiVersion: 'autoscaling/v2beta2' is not served any longer"),
        (HPA, "maxReplicas: 8", "maxReplica: 8", "spec.maxReplica: unknown field (did you mean maxReplicas?)"),
        (HPA, "500m", "lots", "target.averageValue: 'lots' is not right (must be a positive number)"),
        (HPA, "http_requests_per_second", "queue_length", "metric.name: 'queue_length' is not known as requests in"),
        (HPA, "http_requests_per_second", "gpu_utilization", "averageValue: '500m' is not right (must be percent"),
        (HPA, "{type: Pods, value: 2", "{type: Pod, value: 2", "policies[0].type: 'Pod' is not right (must be Pods or"),
        (HPA, "type: Pods\n    pods", "type: Resource\n    resource", "resource.name: nothing is"),
        (HPA, "  behavior:", "  - {type: Resource}\n  behavior:", "spec.metrics: has 2 metrics; one is simulated"),
        (SCALED_OBJECT, "- type: prometheus", "- type: kafka", "triggers[0].type: 'kafka' is not sim"),
        (SCALED_OBJECT, "restoreToOriginalReplicaCount: true", "scalingModifiers: {formula: a}", "Modifiers: is"),
        (SCALED_OBJECT, "  triggers:", "  triggers:\n  - type: cpu", "spec.triggers: has 2 triggers; one is simulated"),
        (SCALED_OBJECT, "sum(rate(", "avg(rate(", "metadata.query: "),
        (SCALED_OBJECT, "replicas: 2}", "replicas: 2, behavior: ''}", "fallback.behavior: '' is not right (must be"),
        (SCALED_OBJECT, '{deployment="vllm"}', '{code=~"5.."}', "metadata.query: "),
        (SCALED_OBJECT, "{name: vllm}\nspec", f"{{annotations: {{{PAUSED}: 'true'}}}}\nspec", f"{PAUSED}: is not sim"),
        (HTTP_SCALED_OBJECT, "targetValue: 2", "targetValue: 2.5", "targetValue: 2.5 is not right (must be a whole"),
        (HTTP_SCALED_OBJECT, "  replicas:", "  timeouts: {conditionWait: 9s}\n  replicas:", "timeouts: is not"),
        (INTERCEPTOR_ROUTE, "v1beta1", "v1alpha1", "apiVersion: 'http.keda.sh/v1alpha1' is not served any longer"),
        (INTERCEPTOR_ROUTE, "{requestRate: {targetValue: 2, window: 10s}}", "{concurrency: null}", "has neither"),
        (INTERCEPTOR_ROUTE, "targetValue: 2, ", "", "requestRate.targetValue: is missing"),
        (INTERCEPTOR_ROUTE, "{requestRate:", "{concurrency: {targetValue: 1}, requestRate:", "one is simulated"),
        (INTERCEPTOR_ROUTE, "  rules:", "  coldStart: {fallback: {service: x}}\n  rules:", "spec.coldStart: is not"),
        (INTERCEPTOR_ROUTE, "metadata: {name: demo}", "metadata: {name: other}", "InterceptorRoute demo is not in the"),
        (INTERCEPTOR_ROUTE, "type: external-push", "type: external-push\n    metricType: Value", "'Value' is not sim"),
        (INTERCEPTOR_ROUTE, "type: external-push", "type: external-push\n    metricType: {}", "a mapping is not sim"),
        (INTERCEPTOR_ROUTE, "  triggers:", "  fallback: {replicas: 1}\n  triggers:", "spec.fallback: is not simulated"),
        (INTERCEPTOR_ROUTE, "interceptorRoute: demo", "interceptorRouter: demo", "'external-push' is not simulated"),
        (INTERCEPTOR_ROUTE, "kind: ScaledObject", "kind: Other", "holds an InterceptorRoute without the ScaledObject"),
    ],
)  # fmt: skip
def test_what_is_not_simulated_is_refused_with_its_line(
    tmp_path: Path, text: str, old: str, new: str, says: str
) -> None:
    """One line: an autoscaler without that part would be another one."""
    assert old in text
    path = tmp_path / "scaler.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ExperimentError) as caught:
        rivals(load(HEY), [str(path)])
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}:")
    assert says in line
    assert line.split(":")[1].isdigit()


def test_versus_and_experiments_take_the_file(tmp_path: Path) -> None:
    """By its name beside a Deployment; several need the name of one."""
    deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: vllm}\n---\n"
    (tmp_path / "one.yaml").write_text(deployment + SCALED_OBJECT)
    (tmp_path / "two.yaml").write_text(HPA + "---\n" + SCALED_OBJECT)
    found = rivals(load(HEY), [str(tmp_path / "one.yaml")])[1]
    assert ("one", read(SCALED_OBJECT)) == (found.name, found.experiment.scaling)
    assert "0 to 6 pods" in found.assumed
    changed = rivals(load(HEY), [str(tmp_path / "one.yaml")], {"one.polling-interval": "5s"})[1]
    assert isinstance(changed.experiment.scaling, Keda)
    assert changed.experiment.scaling.polling_interval_s == 5.0

    assert "down after 2m" in rivals(load(HEY), [f"{tmp_path}/two.yaml#sd15"])[1].assumed

    with pytest.raises(ExperimentError, match=r"holds 2 autoscalers: .*two.yaml#sd15"):
        rivals(load(HEY), [str(tmp_path / "two.yaml")])
    text = HEY.read_text().replace("manifests/", f"{ROOT}/experiments/manifests/")
    experiment = loads(text + "\nautoscaler: two.yaml#sd15\n", base=tmp_path)
    assert experiment.scaling == read(HPA)
    assert isinstance(experiment.with_setting("autoscaler.max-replicas", 3).scaling, Hpa)
    chosen = {"autoscaler": str(tmp_path / "one.yaml"), "autoscaler.polling-interval": "5s"}
    assert load(HEY).with_settings(chosen).scaling == changed.experiment.scaling
    with pytest.raises(ExperimentError, match=r"autoscaler: .*gone.yaml.* does not exist"):
        loads(text + "\nautoscaler: gone.yaml\n", base=tmp_path)


def test_a_file_without_an_autoscaler_is_refused_in_one_line(tmp_path: Path) -> None:
    """A Deployment decides nothing."""
    path = tmp_path / "deployment.yaml"
    path.write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: vllm}\n")
    result = CliRunner().invoke(cli, ["versus", str(HEY), "--with", str(path)])
    assert result.exit_code == 1
    assert "holds no HorizontalPodAutoscaler, ScaledObject, HTTPScaledObject" in result.output
    path.write_text("workload: {}\n")
    with pytest.raises(RunError, match="has no section autoscaler"):
        rivals(load(HEY), [str(path)])
