"""Which of the series as served speak of one service, in the vocabulary of an observation."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kpasim.arrays import Floats
from kpasim.errors import RunError
from kpasim.records.prometheus import names
from kpasim.records.prometheus.names import Metric
from kpasim.records.prometheus.observation import Role, Series


@dataclass(frozen=True, eq=False)
class Served:
    """A series as a server or a file has it.

    Attributes:
        labels: Its labels, ``__name__`` among them.
        times_s: Times of its samples [s since 1970], in any order.
    """

    labels: Mapping[str, str]
    times_s: Floats
    values: Floats

    @property
    def name(self) -> str:
        """Its metric's name as served."""
        return self.labels.get("__name__", "")


def services(served: Iterable[Served]) -> set[tuple[str, str]]:
    """Namespace and name of each Knative service that the series speak of."""
    found = set()
    for series in served:
        for metric in names.BY_SERVED.get(series.name, ()):
            labels = names.vocabulary(series.labels, metric.generation)
            if service := labels.get("kn_service_name"):
                found.add((names.namespace_of(labels), service))
    return found


def no_service(service: str, namespace: str, there: Collection[tuple[str, str]], within: str = "") -> RunError:
    """The error for a service that no series speaks of."""
    if not there:
        return RunError(
            f"{namespace}/{service}: no metric of Knative{within}, under the names of any version; since 1.19 "
            "Knative exports none by default (in config-observability set metrics-protocol and "
            "request-metrics-protocol to prometheus)"
        )
    # First those of like names: KServe calls the service of an InferenceService NAME-predictor.
    near = sorted(there, key=lambda one: (service not in one[1] and one[1] not in service, one))
    listed = [f"{space}/{name}" for space, name in near]
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    return RunError(f"{namespace}/{service}: no such service; there are {', '.join(listed[:20])}{more}")


def of_service(served: Sequence[Served], service: str, namespace: str) -> list[Series]:
    """The series that speak of a service, or of Knative's own programs, in one vocabulary."""
    known: list[tuple[Served, Metric, Role, dict[str, str]]] = []
    for one in served:
        for metric in names.BY_SERVED.get(one.name, ()):
            labels = names.vocabulary(one.labels, metric.generation)
            role = metric.role if metric.role == "kube-state-metrics" else names.role_of(labels)
            if role is None and metric.role is not None:
                # No label of the target is left: the activator labels each series with its revision.
                role = metric.role if len(names.BY_SERVED[one.name]) == 1 else _unnamed(labels)
            if metric.name == "target_info" and role != "queue-proxy":
                continue  # It says which pod belongs to which revision, and nothing of Knative's own programs.
            if role is not None and metric.role in (None, role):
                known.append((one, metric, role, labels))
    revisions, pods = set(), {}
    for _, metric, role, labels in known:
        if names.namespace_of(labels) == namespace and labels.get("kn_service_name") == service:
            revision = labels.get("kn_revision_name", "")
            revisions.add(revision)
            if role == "queue-proxy" and metric.name == "target_info":
                pods[names.pod_of(labels)] = pods[labels.get("instance", "")] = revision
    revisions.discard("")
    starts = {names.start_of_pods(revision): revision for revision in revisions}
    result = []
    for one, metric, role, labels in known:
        pod = names.pod_of(labels)
        revision = labels.get("kn_revision_name") or ""
        if role in ("queue-proxy", "kube-state-metrics"):
            revision = revision or pods.get(pod or labels.get("instance", "")) or _revision_of(pod, starts)
        if revision not in revisions and not (revision == "" and metric.role is None):
            continue
        if revision and names.namespace_of(labels) != namespace:
            continue
        result.append(
            Series(
                metric=metric.name,
                role=role,
                kind=metric.kind,
                unit=metric.unit,
                name=one.name,
                labels=labels,
                revision=revision,
                pod=pod,
                instance=labels.get("instance", ""),
                from_zero=False,
                times_s=one.times_s,
                # Nothing that is counted is infinite.
                values=np.where(np.isinf(one.values), np.nan, one.values) * metric.factor,
            )
        )
    return _without_second_counts(result)


def _revision_of(pod: str, starts: Mapping[str, str]) -> str:
    return next((revision for start, revision in starts.items() if pod.startswith(start)), "")


def _unnamed(labels: Mapping[str, str]) -> Role:
    return "activator" if labels.get("kn_revision_name") and "server_port" not in labels else "queue-proxy"


def _without_second_counts(series: list[Series]) -> list[Series]:
    """OpenCensus counts requests twice, by a counter and by a histogram: the counter stays where there is one."""
    counted = {(s.metric, s.role) for s in series if s.name.removesuffix("_total").endswith("_request_count")}
    return [s for s in series if not (s.name.endswith("_latencies_count") and (s.metric, s.role) in counted)]


def refuse_several_clusters(series: Sequence[Series]) -> None:
    """A server of many clusters may hold services of one name in several of them."""
    for label in ("cluster", "k8s_cluster_name", "cluster_name", "prometheus_cluster"):
        found = sorted({s.labels[label] for s in series if label in s.labels})
        if len(found) > 1:
            listed = ", ".join(found)
            raise RunError(f"the service is in several clusters ({listed}): choose one, as --label {label}={found[0]}")
