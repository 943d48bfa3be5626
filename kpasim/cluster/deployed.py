"""What a run deploys: a Knative Service, or an InferenceService, of which KServe makes one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kpasim.cluster.errors import ClusterError
from kpasim.cluster.objects import (
    INFERENCE_SERVICES,
    ORIGINAL_ANNOTATION,
    RUN_LABEL,
    SERVICES,
    Document,
    Resource,
    checked_label,
    condition,
    meta,
    name_of,
    status_of,
)
from kpasim.spec.kserve import INFERENCE_SERVICE, container_place, predictor_service

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}")
_DROPPED_METADATA = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "ownerReferences", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds", "finalizers",
)  # fmt: skip


@dataclass(frozen=True)
class Deployed:
    """An object that a run creates or adopts.

    Attributes:
        resource: Its kind: Knative's Service or KServe's InferenceService.
        namespace: Where.
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
    for key in [key for key in metadata.get("annotations") or {} if _written_by_server(key)]:
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
    """The container of a manifest that serves."""
    is_kserve = document.get("kind") == INFERENCE_SERVICE
    place = container_place(document) if is_kserve else ("spec", "template", "spec", "containers", 0)
    found: Any = document
    for part in place:
        found = found[part]
    container: Document = found
    return container


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


def _written_by_server(key: str) -> bool:
    return key in ("serving.knative.dev/creator", "serving.knative.dev/lastModifier", ORIGINAL_ANNOTATION) or (
        key == "kubectl.kubernetes.io/last-applied-configuration"
    )
