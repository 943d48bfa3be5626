"""Names of Knative's metrics in both generations, as Prometheus spells them, in one vocabulary.

OpenCensus names were used up to Knative 1.18, OpenTelemetry names since 1.19, which are the vocabulary.
kpasim/data/prometheus.toml has them, with their source.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from kpasim.records.prometheus.observation import Role
from kpasim.spec.yamlfile import packaged

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


SYNTHETIC = "up"
"""The metric that Prometheus writes itself, also when a scrape fails."""
_DATA = packaged("prometheus.toml")


def _metrics() -> Iterator[Metric]:
    for role, gauges in _DATA["gauges"].items():
        for new, (old, unit) in gauges.items():
            yield Metric(new, new, role, "gauge", unit, generation=OPENTELEMETRY)
            if old:
                yield Metric(new, old, role, "gauge", unit, generation=OPENCENSUS)
    for one in _DATA["histograms"]:
        role, new = one["role"], one["name"]
        for part, unit in (("_bucket", "requests"), ("_sum", "s"), ("_count", "requests")):
            for name in (new, *one.get("interim", ())):
                yield Metric(new + part, name + part, role, "counter", unit, generation=OPENTELEMETRY)
            factor = 0.001 if part == "_sum" else 1.0
            yield Metric(new + part, one["old"] + part, role, "counter", unit, factor, OPENCENSUS)
        for name in (one["old-count"], f"{one['old-count']}_total"):
            yield Metric(f"{new}_count", name, role, "counter", "requests", generation=OPENCENSUS)
    for other, metrics in _DATA["others"].items():
        for name, unit in metrics.items():
            yield Metric(name, name, None if other == "targets" else other, "gauge", unit)


METRICS: tuple[Metric, ...] = tuple(_metrics())
"""Every metric that an observation keeps, once for each name it is served under."""

BY_SERVED: dict[str, tuple[Metric, ...]] = {
    served: tuple(metric for metric in METRICS if metric.served == served) for served in {m.served for m in METRICS}
}
"""Metrics by the name that is served: activator and queue-proxy share one."""


def hardly_changes(name: str) -> bool:
    """Whether a metric of the vocabulary can do with a coarse step: buckets, of which there are many, and constants."""
    return name.endswith("_bucket") or name.startswith("kube_") or name in ("target_info", "process_start_time_seconds")


NEEDED: dict[str, str] = _DATA["needed"]
"""What a backtest would need (a metric and its program), and what is not known without it."""
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
        result = {_DATA["labels"].get(name, name): value for name, value in result.items()}
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
