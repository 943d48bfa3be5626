"""Names of Knative's metrics in both generations, as Prometheus spells them, in one vocabulary.

OpenCensus names were used up to Knative 1.18, OpenTelemetry names since 1.19 (knative/serving@98e5ef9,
pkg/autoscaler/scaling/metrics.go, pkg/reconciler/autoscaling/kpa/metrics.go, pkg/activator/handler/metrics.go,
pkg/queue/request_metric.go; old names: Knative's documentation of 1.18). The new names are the vocabulary.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from kpasim.records.prometheus.observation import Role

OPENTELEMETRY, OPENCENSUS = "opentelemetry", "opencensus"
"""The generations of names: since 1.19, up to 1.18."""


@dataclass(frozen=True)
class Metric:
    """A metric as one generation names it.

    Attributes:
        name: Name in the vocabulary.
        served: Name as served by this generation.
        role: The program that exports it; ``None`` where each target does (``up``).
        kind: ``counter`` or ``gauge``.
        unit: Unit of the values once they are multiplied by ``factor``.
        factor: 0.001 where milliseconds were served.
        generation: Of the name; empty for what is not Knative's.
    """

    name: str
    served: str
    role: Role | None
    kind: Literal["counter", "gauge"]
    unit: str
    factor: float = 1.0
    generation: str = ""


_GAUGES: tuple[tuple[Role, str, str, str], ...] = (
    ("autoscaler", "kn_revision_pods_desired", "autoscaler_desired_pods", "pods"),
    ("autoscaler", "kn_revision_pods_requested", "autoscaler_requested_pods", "pods"),
    ("autoscaler", "kn_revision_pods_count", "autoscaler_actual_pods", "pods"),
    ("autoscaler", "kn_revision_pods_not_ready_count", "autoscaler_not_ready_pods", "pods"),
    ("autoscaler", "kn_revision_pods_pending_count", "autoscaler_pending_pods", "pods"),
    ("autoscaler", "kn_revision_pods_terminating_count", "autoscaler_terminating_pods", "pods"),
    ("autoscaler", "kn_revision_concurrency_stable", "autoscaler_stable_request_concurrency", "requests"),
    ("autoscaler", "kn_revision_concurrency_panic", "autoscaler_panic_request_concurrency", "requests"),
    ("autoscaler", "kn_revision_concurrency_target", "autoscaler_target_concurrency_per_pod", "requests"),
    ("autoscaler", "kn_revision_rps_stable_per_second", "autoscaler_stable_requests_per_second", "requests/s"),
    ("autoscaler", "kn_revision_rps_panic_per_second", "autoscaler_panic_requests_per_second", "requests/s"),
    ("autoscaler", "kn_revision_rps_target_per_second", "autoscaler_target_requests_per_second", "requests/s"),
    ("autoscaler", "kn_revision_capacity_excess", "autoscaler_excess_burst_capacity", "requests"),
    ("autoscaler", "kn_revision_panic_mode", "autoscaler_panic_mode", ""),
    ("activator", "kn_revision_request_concurrency", "activator_request_concurrency", "requests"),
    ("activator", "kn_revision_request_active", "", "requests"),
    ("activator", "kn_revision_request_queued", "", "requests"),
)
"""Role, new name, old name (empty where there was none), unit. ``kn_serving_queue_depth`` is left out: queue-proxy
writes it when a request enters and never when it leaves, so that it says nothing about the time between."""

_HISTOGRAMS: tuple[tuple[Role, str, tuple[str, ...], str, str], ...] = (
    ("activator", "http_server_request_duration_seconds", (), "activator_request_latencies", "activator_request_count"),
    ("queue-proxy", "http_server_request_duration_seconds", (), "revision_request_latencies", "revision_request_count"),
    (
        "queue-proxy",
        "kn_serving_invocation_duration_seconds",
        ("kn_queueproxy_app_duration_seconds",),
        "revision_app_request_latencies",
        "revision_app_request_count",
    ),
)
"""Role, new name, names of the first releases of 1.19 and 1.20, old name [ms], old name of its count."""

_OTHERS: tuple[tuple[Role | None, str, str], ...] = (
    (None, "up", ""),
    (None, "target_info", ""),
    (None, "process_start_time_seconds", "unix s"),
    ("kube-state-metrics", "kube_pod_created", "unix s"),
    ("kube-state-metrics", "kube_pod_start_time", "unix s"),
    ("kube-state-metrics", "kube_pod_status_scheduled_time", "unix s"),
    ("kube-state-metrics", "kube_pod_status_initialized_time", "unix s"),
    ("kube-state-metrics", "kube_pod_status_container_ready_time", "unix s"),
    ("kube-state-metrics", "kube_pod_status_ready_time", "unix s"),
    ("kube-state-metrics", "kube_pod_deletion_timestamp", "unix s"),
    ("kube-state-metrics", "kube_pod_container_state_started", "unix s"),
)

SYNTHETIC = "up"
"""The metric that Prometheus writes itself, also when a scrape fails."""


def _metrics() -> Iterator[Metric]:
    for role, new, old, unit in _GAUGES:
        yield Metric(new, new, role, "gauge", unit, generation=OPENTELEMETRY)
        if old:
            yield Metric(new, old, role, "gauge", unit, generation=OPENCENSUS)
    for role, new, interim, old, old_count in _HISTOGRAMS:
        for part, unit in (("_bucket", "requests"), ("_sum", "s"), ("_count", "requests")):
            for name in (new, *interim):
                yield Metric(new + part, name + part, role, "counter", unit, generation=OPENTELEMETRY)
            factor = 0.001 if part == "_sum" else 1.0
            yield Metric(new + part, old + part, role, "counter", unit, factor, OPENCENSUS)
        for name in (old_count, f"{old_count}_total"):
            yield Metric(f"{new}_count", name, role, "counter", "requests", generation=OPENCENSUS)
    for other, name, unit in _OTHERS:
        yield Metric(name, name, other, "gauge", unit)


METRICS: tuple[Metric, ...] = tuple(_metrics())
"""Every metric that an observation keeps, once for each name it is served under."""

BY_SERVED: dict[str, tuple[Metric, ...]] = {
    served: tuple(metric for metric in METRICS if metric.served == served) for served in {m.served for m in METRICS}
}
"""Metrics by the name that is served: activator and queue-proxy share one."""


def hardly_changes(name: str) -> bool:
    """Whether a metric of the vocabulary can do with a coarse step: buckets, of which there are many, and constants."""
    return name.endswith("_bucket") or name.startswith("kube_") or name in ("target_info", "process_start_time_seconds")


_OLD_LABELS = {
    "namespace_name": "k8s_namespace_name",
    "service_name": "kn_service_name",
    "configuration_name": "kn_configuration_name",
    "revision_name": "kn_revision_name",
    "response_code": "http_response_status_code",
    "pod_name": "k8s_pod_name",
}
_MS_PER_S = 1000


def vocabulary(labels: Mapping[str, str], generation: str) -> dict[str, str]:
    """Labels as served, without the name, in the vocabulary of 1.19: names, and buckets' bounds in seconds.

    ``exported_pod`` is what the series said itself where the scrape's own ``pod`` took its place (a federation, or
    kube-state-metrics, without ``honor_labels``): it becomes ``pod`` again, and so do the others.
    """
    result = {name: value for name, value in labels.items() if name != "__name__"}
    for name in sorted(result, key=len, reverse=True):
        if name.startswith("exported_"):  # exported_exported_pod is the pod of a Prometheus between.
            result[name.rpartition("exported_")[2]] = result.pop(name)
    if generation == OPENCENSUS:
        result = {_OLD_LABELS.get(name, name): value for name, value in result.items()}
    if "le" in result:
        result["le"] = bound(result["le"], _MS_PER_S if generation == OPENCENSUS else 1)
    return result


def bound(le: str, per_s: int = 1) -> str:
    """A bucket's bound in seconds, one spelling for ``1``, ``1.0`` and ``1e+00``; ``+Inf`` as it is."""
    value = float(le) / per_s
    return "+Inf" if value == float("inf") else f"{value:.12g}"


_NAME_LENGTH, _MD5_LENGTH, _BASE_LENGTH = 63, 32, 58
_SUFFIX = "-deployment"


def start_of_pods(revision: str) -> str:
    """What the names of all pods of a revision start with.

    Source:
        A revision's Deployment has its name and ``-deployment``; of a name that would be too long the beginning and its
        MD5 (knative/pkg kmeta.ChildName). Kubernetes cuts what comes before the random end of a pod's name to 58
        characters (apiserver pkg/storage/names).
    """
    if len(revision) > _NAME_LENGTH - len(_SUFFIX):
        digest = hashlib.md5(revision.encode(), usedforsecurity=False).hexdigest()
        revision = revision[: _NAME_LENGTH - _MD5_LENGTH - len(_SUFFIX)] + digest
    return f"{revision}{_SUFFIX}-"[:_BASE_LENGTH]


_PROGRAMS = re.compile(r"(autoscaler|activator|queue-proxy)")
_POD = re.compile(f".+{_SUFFIX}-")


def role_of(labels: Mapping[str, str]) -> Role | None:
    """The program of Knative that a target is, from the target's labels; ``None`` where they do not say.

    A container's label decides before the pod's name, the job's or the k8s Service's: the user's container in a pod of
    a revision is not its queue-proxy.
    """
    if container := labels.get("container") or labels.get("container_name"):
        match = _PROGRAMS.fullmatch(container)
        return _role(match)
    if _POD.match(pod_of(labels)):  # Before the names below: a service may be called activator-demo.
        return "queue-proxy"
    for label in ("pod", "k8s_pod_name", "job", "service"):
        value = labels.get(label, "")
        match = _PROGRAMS.match(value) if label in ("pod", "k8s_pod_name") else _PROGRAMS.search(value)
        if match and not value.startswith("autoscaler-hpa"):
            return _role(match)
    if labels.get("kn_route_tag") or labels.get("instance", "").endswith(":9091"):
        return "queue-proxy"
    return None


def _role(match: re.Match[str] | None) -> Role | None:
    name = match[1] if match else None
    return name if name in ("autoscaler", "activator", "queue-proxy") else None  # type: ignore[return-value]


def pod_of(labels: Mapping[str, str]) -> str:
    """The pod that a series speaks of."""
    return labels.get("k8s_pod_name") or labels.get("pod") or labels.get("kubernetes_pod_name") or ""


def namespace_of(labels: Mapping[str, str]) -> str:
    """The namespace of the service or pod that a series speaks of."""
    return labels.get("k8s_namespace_name") or labels.get("namespace") or labels.get("kubernetes_namespace") or ""
