"""Fields of a Knative Service: their types, as Kubernetes' API server and Go's JSON decoder hold a manifest to them.

The API server drops every field that the custom resource definition does not name; an `open` object keeps its
fields, and only the types of those that Knative reads are checked.

Source:
    knative/serving@98e5ef9, config/core/300-resources/service.yaml; kubernetes/api@v0.34, core/v1/types.go,
    meta/v1/types.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Scalar = Literal["text", "boolean", "int32", "int64", "port", "quantity", "anything"]
"""A single value; `port` is a number or a name."""


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with named fields; where it is `open`, other fields are kept."""

    names: Mapping[str, Field]
    open: bool = False


@dataclass(frozen=True, slots=True)
class Entries:
    """An object whose keys are the author's."""

    values: Field


@dataclass(frozen=True, slots=True)
class Items:
    """A list; no two items may agree in the field `key`."""

    item: Field
    key: str = ""


Field = Scalar | Fields | Entries | Items

_TEXTS = Entries("text")
_META: dict[str, Field] = {"name": "text", "namespace": "text", "labels": _TEXTS, "annotations": _TEXTS}
_OWNER = Fields({"apiVersion": "text", "kind": "text", "name": "text", "uid": "text"}, open=True)
_OBJECT_META = Fields(
    {
        **_META,
        "generateName": "text",
        "selfLink": "text",
        "uid": "text",
        "resourceVersion": "text",
        "generation": "int64",
        "creationTimestamp": "text",
        "deletionTimestamp": "text",
        "deletionGracePeriodSeconds": "int64",
        "ownerReferences": Items(_OWNER),
        "finalizers": Items("text"),
        "managedFields": Items("anything"),
    }
)
_TEMPLATE_META = Fields({**_META, "generateName": "text", "finalizers": Items("text")}, open=True)

_PATHS = Items(Fields({"key": "text", "path": "text", "mode": "int32"}))
_NAMED = Fields({"name": "text", "optional": "boolean"})
_KEYED = Fields({"name": "text", "key": "text", "optional": "boolean"})
_PROJECTED = Fields({"name": "text", "optional": "boolean", "items": _PATHS})

_PROBE = Fields(
    {
        "exec": Fields({"command": Items("text")}),
        "grpc": Fields({"port": "int32", "service": "text"}),
        "httpGet": Fields(
            {
                "host": "text",
                "path": "text",
                "port": "port",
                "scheme": "text",
                "httpHeaders": Items(Fields({"name": "text", "value": "text"})),
            }
        ),
        "tcpSocket": Fields({"host": "text", "port": "port"}),
        "failureThreshold": "int32",
        "initialDelaySeconds": "int32",
        "periodSeconds": "int32",
        "successThreshold": "int32",
        "timeoutSeconds": "int32",
    }
)
_SECCOMP = Fields({"type": "text", "localhostProfile": "text"})
_CONTAINER: dict[str, Field] = {
    "args": Items("text"),
    "command": Items("text"),
    "env": Items(
        Fields(
            {
                "name": "text",
                "value": "text",
                "valueFrom": Fields(
                    {
                        "configMapKeyRef": _KEYED,
                        "secretKeyRef": _KEYED,
                        "fieldRef": Fields({"apiVersion": "text", "fieldPath": "text"}, open=True),
                        "resourceFieldRef": Fields({"containerName": "text", "resource": "text"}, open=True),
                    }
                ),
            }
        ),
        "name",
    ),
    "envFrom": Items(Fields({"configMapRef": _NAMED, "secretRef": _NAMED, "prefix": "text"})),
    "image": "text",
    "imagePullPolicy": "text",
    "livenessProbe": _PROBE,
    "name": "text",
    "ports": Items(Fields({"containerPort": "int32", "name": "text", "protocol": "text"})),
    "readinessProbe": _PROBE,
    "resources": Fields({"limits": Entries("quantity"), "requests": Entries("quantity")}),
    "securityContext": Fields(
        {
            "allowPrivilegeEscalation": "boolean",
            "capabilities": Fields({"add": Items("text"), "drop": Items("text")}),
            "privileged": "boolean",
            "readOnlyRootFilesystem": "boolean",
            "runAsGroup": "int64",
            "runAsNonRoot": "boolean",
            "runAsUser": "int64",
            "seccompProfile": _SECCOMP,
        }
    ),
    "startupProbe": _PROBE,
    "terminationMessagePath": "text",
    "terminationMessagePolicy": "text",
    "volumeMounts": Items(
        Fields(
            {
                "mountPath": "text",
                "mountPropagation": "text",
                "name": "text",
                "readOnly": "boolean",
                "subPath": "text",
            }
        ),
        "mountPath",
    ),
    "workingDir": "text",
}
_DOWNWARD = Fields(
    {
        "path": "text",
        "mode": "int32",
        "fieldRef": Fields({"apiVersion": "text", "fieldPath": "text"}),
        "resourceFieldRef": Fields({"containerName": "text", "divisor": "quantity", "resource": "text"}),
    }
)
_VOLUME = Fields(
    {
        "name": "text",
        "configMap": Fields({"name": "text", "defaultMode": "int32", "items": _PATHS, "optional": "boolean"}),
        "csi": Fields({"driver": "text", "readOnly": "boolean"}, open=True),
        "emptyDir": Fields({"medium": "text", "sizeLimit": "quantity"}, open=True),
        "ephemeral": Fields({}, open=True),
        "hostPath": Fields({"path": "text", "type": "text"}, open=True),
        "image": Fields({"reference": "text", "pullPolicy": "text"}, open=True),
        "persistentVolumeClaim": Fields({"claimName": "text", "readOnly": "boolean"}, open=True),
        "projected": Fields(
            {
                "defaultMode": "int32",
                "sources": Items(
                    Fields(
                        {
                            "configMap": _PROJECTED,
                            "secret": _PROJECTED,
                            "downwardAPI": Fields({"items": Items(_DOWNWARD)}),
                            "serviceAccountToken": Fields(
                                {"audience": "text", "expirationSeconds": "int64", "path": "text"}
                            ),
                        }
                    )
                ),
            }
        ),
        "secret": Fields({"secretName": "text", "defaultMode": "int32", "items": _PATHS, "optional": "boolean"}),
    }
)
_POD = Fields(
    {
        "affinity": Fields({}, open=True),
        "automountServiceAccountToken": "boolean",
        "containerConcurrency": "int64",
        "containers": Items(Fields(_CONTAINER)),
        "dnsConfig": Fields({}, open=True),
        "dnsPolicy": "text",
        "enableServiceLinks": "boolean",
        "hostAliases": Items(Fields({"ip": "text", "hostnames": Items("text")}, open=True)),
        "hostIPC": "boolean",
        "hostNetwork": "boolean",
        "hostPID": "boolean",
        "idleTimeoutSeconds": "int64",
        "imagePullSecrets": Items(Fields({"name": "text"}), "name"),
        "initContainers": Items(Fields(_CONTAINER, open=True)),
        "nodeSelector": _TEXTS,
        "priorityClassName": "text",
        "responseStartTimeoutSeconds": "int64",
        "runtimeClassName": "text",
        "schedulerName": "text",
        "securityContext": Fields(
            {
                "runAsUser": "int64",
                "runAsGroup": "int64",
                "runAsNonRoot": "boolean",
                "fsGroup": "int64",
                "supplementalGroups": Items("int64"),
                "seccompProfile": _SECCOMP,
            },
            open=True,
        ),
        "serviceAccountName": "text",
        "shareProcessNamespace": "boolean",
        "timeoutSeconds": "int64",
        "tolerations": Items(
            Fields(
                {
                    "key": "text",
                    "operator": "text",
                    "value": "text",
                    "effect": "text",
                    "tolerationSeconds": "int64",
                },
                open=True,
            )
        ),
        "topologySpreadConstraints": Items(Fields({}, open=True)),
        "volumes": Items(_VOLUME, "name"),
    }
)
_TRAFFIC = Items(
    Fields(
        {
            "configurationName": "text",
            "latestRevision": "boolean",
            "percent": "int64",
            "revisionName": "text",
            "tag": "text",
            "url": "text",
        }
    )
)
SERVICE = Fields(
    {
        "apiVersion": "text",
        "kind": "text",
        "metadata": _OBJECT_META,
        "spec": Fields({"template": Fields({"metadata": _TEMPLATE_META, "spec": _POD}), "traffic": _TRAFFIC}),
        "status": Fields(
            {
                "address": Fields({"CACerts": "text", "audience": "text", "name": "text", "url": "text"}),
                "annotations": _TEXTS,
                "conditions": Items(
                    Fields(
                        dict.fromkeys(("lastTransitionTime", "message", "reason", "severity", "status", "type"), "text")
                    )
                ),
                "latestCreatedRevisionName": "text",
                "latestReadyRevisionName": "text",
                "observedGeneration": "int64",
                "traffic": _TRAFFIC,
                "url": "text",
            }
        ),
    }
)
"""A Service of serving.knative.dev/v1."""
