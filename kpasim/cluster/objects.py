"""The Kubernetes objects that a validation reads and writes, and the names that may enter a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kpasim.cluster.errors import ClusterError

Document = dict[str, Any]
"""A Kubernetes object as JSON holds it."""

RUN_LABEL = "kpasim.dev/run"
"""On every object that a run created or adopted, and on what KServe makes of it; its value is the run's own id."""
ORIGINAL_ANNOTATION = "kpasim.dev/original-template"
"""On an adopted object: the revision template, or the predictor, to put back, as JSON. A created one has none."""
SERVICE_LABEL = "serving.knative.dev/service"
REVISION_LABEL = "serving.knative.dev/revision"
SYSTEM_NAMESPACE = "knative-serving"
KSERVE_NAMESPACE = "kserve"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Resource:
    """One kind of object, where the API server keeps it.

    Attributes:
        group: API group, empty for the core one.
        plural: The name in URLs and in RBAC.
        kind: The name in manifests.
        namespaced: Whether its objects live in namespaces.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def rbac_name(self) -> str:
        """The name that an RBAC message uses: ``services.serving.knative.dev``, ``pods``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """URL path of the collection, or of one object.

        Raises:
            ClusterError: A namespace or a name that Kubernetes would not take.
        """
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", checked_label(namespace, "namespace")]
        parts.append(self.plural)
        if name is not None:
            parts.append(checked_name(name, self.kind))
        return "/".join(parts)


SERVICES = Resource("serving.knative.dev", "v1", "services", "Service")
INFERENCE_SERVICES = Resource("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService")
POD_AUTOSCALERS = Resource("autoscaling.internal.knative.dev", "v1alpha1", "podautoscalers", "PodAutoscaler")
SERVERLESS_SERVICES = Resource("networking.internal.knative.dev", "v1alpha1", "serverlessservices", "ServerlessService")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
CORE_SERVICES = Resource("", "v1", "services", "Service")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
ALB_CONFIGS = Resource("alibabacloud.com", "v1", "albconfigs", "AlbConfig", namespaced=False)


def checked_label(value: str, what: str) -> str:
    """Return ``value`` if it is a DNS-1123 label (a namespace, a Service), else raise ClusterError."""
    return _checked(value, what, _LABEL, "at most 63 of a-z, 0-9 and -")


def checked_name(value: str, what: str) -> str:
    """Return ``value`` if it is a DNS-1123 subdomain (any other object), else raise ClusterError."""
    return _checked(value, what, _SUBDOMAIN, "at most 253 of a-z, 0-9, - and .")


def _checked(value: str, what: str, form: re.Pattern[str], right: str) -> str:
    if not isinstance(value, str) or not form.fullmatch(value) or ".." in value:
        raise ClusterError(f"{what}: {value!r} is not a name (want {right}, no - at the ends)")
    return value


def name_of(document: Document) -> str:
    """Name of an object, empty where it has none."""
    return str(meta(document).get("name", ""))


def meta(document: Document) -> Document:
    """Metadata of an object, never None."""
    found = document.get("metadata")
    return found if isinstance(found, dict) else {}


def labels_of(document: Document) -> dict[str, str]:
    """Labels of an object, never None."""
    return meta(document).get("labels") or {}


def annotations_of(document: Document) -> dict[str, str]:
    """Annotations of an object, never None."""
    return meta(document).get("annotations") or {}


def status_of(document: Document) -> Document:
    """Status of an object, never None."""
    found = document.get("status")
    return found if isinstance(found, dict) else {}


def condition(document: Document, kind: str) -> Document:
    """The condition of that type in an object's status, empty where it has none."""
    for entry in status_of(document).get("conditions") or ():
        if isinstance(entry, dict) and entry.get("type") == kind:
            return entry
    return {}
