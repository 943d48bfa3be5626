"""The Kubernetes objects that a validation reads, writes and deploys, and the names that may enter a URL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kpasim.cluster.errors import ClusterError
from kpasim.spec.base import value_at
from kpasim.spec.kserve import INFERENCE_SERVICE, container_place, predictor_service
from kpasim.spec.names import is_label, is_subdomain

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

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}")
_DROPPED_METADATA = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "ownerReferences", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds", "finalizers",
)  # fmt: skip
_DROPPED_ANNOTATIONS = {
    "serving.knative.dev/creator", "serving.knative.dev/lastModifier", ORIGINAL_ANNOTATION,
    "kubectl.kubernetes.io/last-applied-configuration",
}  # fmt: skip


@dataclass(frozen=True)
class Resource:
    """One kind of object, where the API server keeps it.

    Attributes:
        group: API group, empty for the core one.
        plural: The name in URLs and in RBAC.
        kind: The name in manifests.
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

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` in manifests."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """URL path of the collection, or of one object.

        Raises:
            ClusterError: A namespace or a name that Kubernetes would not take.
        """
        parts = [f"/{'apis' if self.group else 'api'}/{self.api_version}"]
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
    return _checked(value, what, is_label, "at most 63 of a-z, 0-9 and -")


def checked_name(value: str, what: str) -> str:
    """Return ``value`` if it is a DNS-1123 subdomain (any other object), else raise ClusterError."""
    return _checked(value, what, is_subdomain, "at most 253 of a-z, 0-9, - and .")


def _checked(value: str, what: str, is_right: Callable[[str], bool], right: str) -> str:
    if not isinstance(value, str) or not is_right(value):
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


def waiting_of(container: Document) -> Document:
    """Why a container of a pod's status waits, empty where it does not."""
    return (container.get("state") or {}).get("waiting") or {}


def condition(document: Document, kind: str) -> Document:
    """The condition of that type in an object's status, empty where it has none."""
    for entry in status_of(document).get("conditions") or ():
        if isinstance(entry, dict) and entry.get("type") == kind:
            return entry
    return {}


@dataclass(frozen=True)
class Deployed:
    """An object that a run creates or adopts.

    Attributes:
        resource: Its kind: Knative's Service or KServe's InferenceService.
        service: Name of the Knative Service whose pods serve: its own, or the one that KServe makes of its predictor.
    """

    resource: Resource
    namespace: str
    name: str
    service: str

    @staticmethod
    def of(document: Document) -> Deployed:
        """The object of a manifest."""
        name, namespace = name_of(document), str(meta(document).get("namespace", ""))
        if document.get("kind") == INFERENCE_SERVICE:
            return Deployed(INFERENCE_SERVICES, namespace, name, predictor_service(document))
        return Deployed(SERVICES, namespace, name, name)

    @property
    def is_kserve(self) -> bool:
        """Whether KServe stands between it and its Knative Service."""
        return self.resource == INFERENCE_SERVICES

    @property
    def template(self) -> tuple[str, str]:
        """Place of what a run replaces in an object that it adopts."""
        return ("spec", "predictor" if self.is_kserve else "template")

    def splits_traffic(self, found: Document) -> bool:
        """Whether part of the traffic stays with a revision of the past."""
        spec = found.get("spec") or {}
        if self.is_kserve:
            return (spec.get("predictor") or {}).get("canaryTrafficPercent") is not None
        return any(not target.get("latestRevision") for target in spec.get("traffic") or ())

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.namespace}/{self.name}"


def document_of(manifest: Mapping[str, Any], namespace: str, run_id: str, *, image: str | None = None) -> Document:
    """The object to create: the user's manifest without what a server wrote into it, with our label.

    Raises:
        ClusterError: A name, a namespace or an image that Kubernetes would not take.
    """
    document: Document = json.loads(json.dumps(manifest))
    document.pop("status", None)
    metadata = document.setdefault("metadata", {})
    for key in _DROPPED_METADATA:
        metadata.pop(key, None)
    for key in _DROPPED_ANNOTATIONS & (metadata.get("annotations") or {}).keys():
        del metadata["annotations"][key]
    metadata["name"] = checked_label(metadata.get("name", ""), "metadata.name")
    metadata["namespace"] = checked_label(namespace, "namespace")
    metadata.setdefault("labels", {})[RUN_LABEL] = run_id
    if image is not None:
        if not _IMAGE.fullmatch(image):
            raise ClusterError(f"--image: {image[:80]!r} is not an image reference")
        container_of(document)["image"] = image
    return document


def container_of(document: Document) -> Document:
    """The container of a manifest that serves; of a manifest without one an empty one."""
    is_kserve = document.get("kind") == INFERENCE_SERVICE
    place = container_place(document) if is_kserve else ("spec", "template", "spec", "containers", 0)
    return value_at(document, place) or {}


def kserve_trouble(found: Document) -> str:
    """Why KServe does not make a Knative Service of an InferenceService, in its own words; empty where it says nothing.

    Source:
        kserve/kserve@aaac4e2, pkg/controller/v1beta1/inferenceservice/components/predictor.go: a serving runtime that
        is missing stands in status.modelStatus, everything else in PredictorReady.
    """
    model = status_of(found).get("modelStatus") or {}
    failure = model.get("lastFailureInfo") or {}
    if model.get("transitionStatus") == "InvalidSpec":
        return f"KServe: {failure.get('reason') or 'InvalidSpec'}: {failure.get('message') or 'no reason given'}"
    predictor = condition(found, "PredictorReady")
    if predictor.get("reason") == "ReconcileFailed":
        return f"KServe: {predictor.get('message') or 'ReconcileFailed'}"
    return ""
