"""KServe's controller, as far as an adapter meets it: a Knative Service for each InferenceService, and its status.

Source:
    kserve/kserve@aaac4e2, pkg/controller/v1beta1/inferenceservice/{components/predictor,reconcilers/knative/
    ksvc_reconciler}.go, pkg/apis/serving/v1beta1/inference_service_status.go, config/webhook/manifests.yaml
"""

import asyncio
from typing import Any

from kpasim.cluster.fake.apiserver import ApiServer, DeniedError
from kpasim.cluster.fake.clock import stamp
from kpasim.cluster.fake.knative import DOMAIN, Knative
from kpasim.cluster.fake.store import NotFoundError, Store
from kpasim.cluster.objects import (
    INFERENCE_SERVICES,
    SERVICES,
    Document,
    Resource,
    annotations_of,
    condition,
    labels_of,
    meta,
    name_of,
    status_of,
)
from kpasim.spec.base import dotted
from kpasim.spec.configmaps import KServeConfig
from kpasim.spec.kserve import INFERENCE_SERVICE, MODE, VERSION, InferenceService, inference_service
from kpasim.spec.scalerobjects import NotSimulatedError

_DENIED = 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: '
_NO_RUNTIME = {
    "transitionStatus": "InvalidSpec",
    "states": {"activeModelState": "", "targetModelState": "FailedToLoad"},
    "lastFailureInfo": {
        "reason": "NoSupportingRuntime",
        "message": "No runtime found to support specified framework/version",
    },
}
_PARTS = {"PredictorReady": "Ready", "PredictorRouteReady": "RoutesReady",
          "PredictorConfigurationReady": "ConfigurationsReady"}  # fmt: skip
"""Conditions of an InferenceService, and those of its Knative Service that they copy."""


class KServe:
    """Turns InferenceServices into Knative Services and keeps their status."""

    def __init__(self, store: Store, server: ApiServer, knative: Knative) -> None:
        self._store, self._server, self._knative = store, server, knative
        self._config = KServeConfig()
        server.admissions[INFERENCE_SERVICES] = self._admit
        server.deletions[INFERENCE_SERVICES] = self._delete
        store.listeners.append(self._wrote)

    def _made(self, document: Document) -> InferenceService:
        allow = self._knative.config.allow_zero_initial_scale
        made = inference_service(document, self._config, allow_zero_initial=allow)
        if made.scaling is not None:
            raise NotSimulatedError(("metadata", "annotations", MODE), "is Standard mode, which is not served here")
        return made

    def _admit(self, new: Document, _dry: bool) -> None:
        try:
            faults = self._made(new).faults
        except NotSimulatedError as error:
            faults = ((error.place, str(error)),)
        if faults:
            raise DeniedError(_DENIED + "; ".join(f"{dotted(place)}: {why}" for place, why in faults), 403, "Forbidden")

    def _wrote(self, resource: Resource, kind: str, document: Document) -> None:
        # Not now: this is called in the middle of a write.
        loop, namespace = asyncio.get_running_loop(), meta(document).get("namespace", "")
        if resource is INFERENCE_SERVICES and kind != "DELETED" and not meta(document).get("deletionTimestamp"):
            loop.call_soon(self._reconcile, namespace, name_of(document))
        owners = meta(document).get("ownerReferences") or ()
        if resource is SERVICES and owners:
            follow = self._remove if kind == "DELETED" else self._reconcile
            loop.call_soon(follow, namespace, owners[0]["name"])

    def _reconcile(self, namespace: str, name: str) -> None:
        try:
            found = self._store.get(INFERENCE_SERVICES, namespace, name)
        except NotFoundError:
            return
        if meta(found).get("deletionTimestamp"):
            return
        made = self._made(found)
        wanted = self._wanted(found, made)
        if made.has_unknown_image:  # the fake cluster has no ServingRuntime
            self._write(found, {"deploymentMode": "Knative", "modelStatus": _NO_RUNTIME})
            return
        service = meta(wanted)["name"]
        try:
            self._server.admissions[SERVICES](wanted, False)
        except DeniedError as error:
            failed = {"type": "PredictorReady", "status": "False", "reason": "ReconcileFailed", "message": str(error)}
            self._write(found, {"deploymentMode": "Knative", "conditions": [failed]})
            return
        metadata = {key: wanted["metadata"][key] for key in ("labels", "annotations")}
        try:
            made_of_it = self._store.merge(SERVICES, namespace, service, spec=wanted["spec"], metadata=metadata)
        except NotFoundError:
            made_of_it = self._store.create(SERVICES, wanted)
        self._write(found, self._status(made_of_it))

    def _wanted(self, found: Document, made: InferenceService) -> Document:
        """The Knative Service, with the labels that it and its pods get."""
        name = name_of(found)
        own = {"serving.kserve.io/inferenceservice": name, "component": "predictor"}
        labels = {**labels_of(found), **(made.predictor.get("labels") or {}), **own}
        wanted: dict[str, Any] = {**made.service, "metadata": {**made.service["metadata"], "labels": labels}}
        owner: Document = {"apiVersion": VERSION, "kind": INFERENCE_SERVICE, "name": name, "uid": meta(found)["uid"]}
        owner |= {"controller": True, "blockOwnerDeletion": True}
        wanted["metadata"]["ownerReferences"] = [owner]
        wanted["metadata"]["annotations"] = dict(annotations_of(wanted))
        template = wanted["spec"]["template"]
        template = {**template, "metadata": {**template["metadata"], "labels": labels}}
        wanted["spec"] = {**wanted["spec"], "template": template}
        return wanted

    def _status(self, service: Document) -> Document:
        """What an InferenceService says of its Knative Service."""
        theirs = status_of(service)
        conditions = []
        for kind, copied in _PARTS.items():
            entry = condition(service, copied)
            if entry:
                conditions.append({key: value for key, value in entry.items() if key != "lastTransitionTime"})
                conditions[-1]["type"] = kind
        by_type = {entry["type"]: entry for entry in conditions}
        predictor = by_type.get("PredictorReady", {"status": "Unknown"})
        ready = predictor["status"] == "True"
        for kind, part in (
            ("RoutesReady", "PredictorRouteReady"),
            ("LatestDeploymentReady", "PredictorConfigurationReady"),
        ):
            state = by_type.get(part, {"status": "Unknown"})["status"]
            why = {} if state == "True" else {"reason": f"{part} not ready"}
            conditions.append({"type": kind, "status": state, **why})
        ingress = {} if ready else {"reason": "Predictor ingress not created"}
        conditions.append({"type": "IngressReady", "status": predictor["status"], **ingress})
        conditions.append({**predictor, "type": "Ready"})
        component: Document = {"latestCreatedRevision": theirs.get("latestCreatedRevisionName", "")}
        if revision := theirs.get("latestReadyRevisionName"):
            component |= {"latestReadyRevision": revision, "latestRolledoutRevision": revision}
        if ready:
            component |= {key: theirs[key] for key in ("address", "url", "traffic")}
        state, transition = ("Loaded", "UpToDate") if ready else ("Pending", "InProgress")
        status: Document = {
            "deploymentMode": "Knative",
            "observedGeneration": theirs.get("observedGeneration", 0),
            "components": {"predictor": component},
            "modelStatus": {
                "transitionStatus": transition,
                "states": {"activeModelState": state if ready else "", "targetModelState": state},
            },
            "conditions": sorted(conditions, key=lambda entry: str(entry["type"])),
        }
        if ready:
            name = service["metadata"]["labels"]["serving.kserve.io/inferenceservice"]
            status["url"] = f"http://{name}.{meta(service)['namespace']}.{DOMAIN}"
        return status

    def _write(self, found: Document, status: Document) -> None:
        self._store.set_status(INFERENCE_SERVICES, meta(found)["namespace"], name_of(found), status)

    def _delete(self, namespace: str, name: str) -> None:
        """Foreground deletion: the InferenceService goes when its Knative Service is gone."""
        found = self._store.merge(INFERENCE_SERVICES, namespace, name, metadata={"deletionTimestamp": stamp()})
        service = meta(self._made(found).service)["name"]
        try:
            self._store.get(SERVICES, namespace, service)
        except NotFoundError:
            self._remove(namespace, name)
        else:
            self._server.deletions[SERVICES](namespace, service)

    def _remove(self, namespace: str, name: str) -> None:
        self._store.remove(INFERENCE_SERVICES, namespace, name)
