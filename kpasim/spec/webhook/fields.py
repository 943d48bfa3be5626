"""Fields of a Knative Service: their types, as Kubernetes' API server and Go's JSON decoder hold a manifest to them.

The API server names and drops every field that the custom resource definition does not name. Where the definition
leaves an object open, Go's decoder drops what it does not know without a word.

Source:
    knative/serving@98e5ef9, config/core/300-resources/service.yaml; kubernetes/api@v0.34, core/v1/types.go,
    meta/v1/types.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

Scalar = Literal["text", "boolean", "int32", "int64", "port", "quantity", "time", "anything", "pruned"]
"""A single value; `port` is a number or a name, and `pruned` what the API server drops where it looks inside."""


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with named fields, and what becomes of others: `kept` are those of which the types do not matter."""

    names: Mapping[str, Field]
    others: Literal["named", "kept", "dropped"] = "named"


@dataclass(frozen=True, slots=True)
class Entries:
    """An object whose keys are the author's; the API server drops those without a value where it knows their type."""

    values: Field
    typed: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list; no two items may agree in the field `key`."""

    item: Field
    key: str = ""


Field = Scalar | Fields | Entries | Items


def _fields(scalars: str = "", /, **others: Field) -> Fields:
    """An object with fields of single values, each NAME (a text) or NAME:TYPE, and other fields."""
    pairs = (part.partition(":") for part in scalars.split())
    return Fields({name: cast(Field, kind or "text") for name, _, kind in pairs} | others)


def _open(scalars: str = "", /, **others: Field) -> Fields:
    """The same for an object that keeps fields of other names."""
    return replace(_fields(scalars, **others), others="kept")


def _opened(field: Field) -> Field:
    """A field where the definition does not look inside: no unknown fields, no lists with keys, and nothing pruned."""
    if isinstance(field, Fields):
        return Fields({name: _opened(inner) for name, inner in field.names.items()}, "dropped")
    if isinstance(field, Items):
        return Items(_opened(field.item))
    return "anything" if field == "pruned" else field


_TEXTS = Entries("text")
_QUANTITIES = Entries("quantity", typed=True)
_META: dict[str, Field] = {"name": "text", "namespace": "text", "labels": _TEXTS, "annotations": _TEXTS}
_OWNER = _fields("apiVersion kind name uid controller:boolean blockOwnerDeletion:boolean")
_OBJECT_META = _fields(
    "generateName selfLink uid resourceVersion generation:int64 creationTimestamp:time "
    "deletionTimestamp:time deletionGracePeriodSeconds:int64",
    **_META,
    ownerReferences=Items(_OWNER),
    finalizers=Items("text"),
    managedFields=Items("anything"),
)
_TEMPLATE_META = _open("generateName creationTimestamp:time generation:int64", **_META, finalizers=Items("text"))
_PATHS = Items(_fields("key path mode:int32"))
_NAMED = _fields("name optional:boolean")
_KEYED = _fields("name key optional:boolean")
_PROJECTED = _fields("name optional:boolean", items=_PATHS)
_PROBE = _fields(
    "failureThreshold:int32 initialDelaySeconds:int32 periodSeconds:int32 successThreshold:int32 timeoutSeconds:int32",
    exec=_fields(command=Items("text")),
    grpc=_fields("port:int32 service"),
    httpGet=_fields("host path port:port scheme", httpHeaders=Items(_fields("name value"))),
    tcpSocket=_fields("host port:port"),
)
_SECCOMP = _fields("type localhostProfile")
_CONTAINER = _fields(
    "image imagePullPolicy name terminationMessagePath terminationMessagePolicy workingDir lifecycle:pruned "
    "resizePolicy:pruned restartPolicy:pruned restartPolicyRules:pruned stdin:pruned stdinOnce:pruned tty:pruned "
    "volumeDevices:pruned",
    args=Items("text"),
    command=Items("text"),
    env=Items(
        _fields(
            "name value",
            valueFrom=_fields(
                "fileKeyRef:pruned",
                configMapKeyRef=_KEYED,
                secretKeyRef=_KEYED,
                fieldRef=_opened(_fields("apiVersion fieldPath")),
                resourceFieldRef=_opened(_fields("containerName divisor:quantity resource")),
            ),
        ),
        "name",
    ),
    envFrom=Items(_fields("prefix", configMapRef=_NAMED, secretRef=_NAMED)),
    livenessProbe=_PROBE,
    ports=Items(_fields("containerPort:int32 name protocol hostIP:pruned hostPort:pruned")),
    readinessProbe=_PROBE,
    resources=_fields("claims:pruned", limits=_QUANTITIES, requests=_QUANTITIES),
    securityContext=_fields(
        "allowPrivilegeEscalation:boolean privileged:boolean readOnlyRootFilesystem:boolean runAsGroup:int64 "
        "runAsNonRoot:boolean runAsUser:int64 appArmorProfile:pruned procMount:pruned seLinuxOptions:pruned "
        "windowsOptions:pruned",
        capabilities=_fields(add=Items("text"), drop=Items("text")),
        seccompProfile=_SECCOMP,
    ),
    startupProbe=_PROBE,
    volumeMounts=Items(
        _fields("mountPath mountPropagation name readOnly:boolean subPath subPathExpr:pruned recursiveReadOnly:pruned"),
        "mountPath",
    ),
)
_DOWNWARD = _fields(
    "path mode:int32",
    fieldRef=_fields("apiVersion fieldPath"),
    resourceFieldRef=_fields("containerName divisor:quantity resource"),
)
_VOLUME = _fields(
    "name",
    configMap=_fields("name defaultMode:int32 optional:boolean", items=_PATHS),
    csi=_open("driver readOnly:boolean"),
    emptyDir=_opened(_fields("medium sizeLimit:quantity")),
    ephemeral=_open(),
    hostPath=_opened(_fields("path type")),
    image=_opened(_fields("reference pullPolicy")),
    persistentVolumeClaim=_opened(_fields("claimName readOnly:boolean")),
    projected=_fields(
        "defaultMode:int32",
        sources=Items(
            _fields(
                configMap=_PROJECTED,
                secret=_PROJECTED,
                downwardAPI=_fields(items=Items(_DOWNWARD)),
                serviceAccountToken=_fields("audience expirationSeconds:int64 path"),
            )
        ),
    ),
    secret=_fields("secretName defaultMode:int32 optional:boolean", items=_PATHS),
)
_POD = _fields(
    "automountServiceAccountToken:boolean containerConcurrency:int64 dnsPolicy enableServiceLinks:boolean "
    "hostIPC:boolean hostNetwork:boolean hostPID:boolean idleTimeoutSeconds:int64 priorityClassName "
    "responseStartTimeoutSeconds:int64 runtimeClassName schedulerName serviceAccountName "
    "shareProcessNamespace:boolean timeoutSeconds:int64",
    affinity=_open(),
    containers=Items(_CONTAINER),
    dnsConfig=_open(nameservers=Items("text")),
    hostAliases=Items(_opened(_fields("ip", hostnames=Items("text")))),
    imagePullSecrets=Items(_fields("name"), "name"),
    initContainers=Items(_opened(_CONTAINER)),
    nodeSelector=Entries("text", typed=True),
    securityContext=_open(
        "runAsUser:int64 runAsGroup:int64 runAsNonRoot:boolean fsGroup:int64",
        supplementalGroups=Items("int64"),
        seccompProfile=_SECCOMP,
    ),
    tolerations=Items(_open("key operator value effect tolerationSeconds:int64")),
    topologySpreadConstraints=Items(_open("maxSkew:int32 topologyKey whenUnsatisfiable")),
    volumes=Items(_VOLUME, "name"),
)
_TRAFFIC = Items(_fields("configurationName latestRevision:boolean percent:int64 revisionName tag url"))
SERVICE = _fields(
    "apiVersion kind",
    metadata=_OBJECT_META,
    spec=_fields(template=_fields(metadata=_TEMPLATE_META, spec=_POD), traffic=_TRAFFIC),
    status=_fields(
        "latestCreatedRevisionName latestReadyRevisionName observedGeneration:int64 url",
        address=_fields("CACerts audience name url"),
        annotations=_TEXTS,
        conditions=Items(_fields("lastTransitionTime message reason severity status type")),
        traffic=_TRAFFIC,
    ),
)
"""A Service of serving.knative.dev/v1."""
