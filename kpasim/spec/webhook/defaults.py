"""What Knative's mutating webhook makes of the spec of a template.

Source:
    knative/serving@98e5ef9, pkg/apis/serving/v1/revision_defaults.go.
"""

import copy
from collections.abc import Mapping
from typing import Any

from kpasim.spec.configmaps import Defaults
from kpasim.spec.quantities import canonical
from kpasim.spec.webhook.knative import HANDLERS, PROBES
from kpasim.spec.yamlfile import names_of

Object = dict[str, Any]

_REQUIRED: dict[str, Object] = {
    "env": {"name": ""},
    "httpHeaders": {"name": "", "value": ""},
    "imagePullSecrets": {"name": ""},
    "ports": {"containerPort": 0},
    "volumeMounts": {"name": "", "mountPath": ""},
}
"""Fields that Go writes where they are empty."""
_MAPS = {"limits", "requests", "nodeSelector"}
"""Objects with keys of their author, which are not written where they are empty."""


def defaulted(pod: Mapping[str, Any], limits: Defaults, parent: str) -> Object:
    """The spec of a template, decoded, after defaulting, as the API server shows it; ``parent`` names the Service."""
    spec = copy.deepcopy(dict(pod))
    spec["timeoutSeconds"] = spec.get("timeoutSeconds") or int(limits.timeout_s)
    for key, default_s in (
        ("idleTimeoutSeconds", limits.idle_timeout_s),
        ("responseStartTimeoutSeconds", limits.response_start_timeout_s),
    ):
        if key not in spec and default_s and default_s < spec["timeoutSeconds"]:
            spec[key] = int(default_s)
    spec.setdefault("containerConcurrency", limits.container_concurrency)
    containers, inits = spec.get("containers", []), spec.get("initContainers", [])
    taken = {one.get("name", "") for one in (*containers, *inits)}
    _names(containers, taken, limits.container_name("container-name-template", parent))
    _names(inits, taken, limits.container_name("init-container-name-template", parent))
    writable = {
        volume.get("name", "")
        for volume in spec.get("volumes", [])
        if {"emptyDir", "persistentVolumeClaim", "ephemeral"} & volume.keys()
    }
    for one in containers:
        resources = one.setdefault("resources", {})
        for (bound, name), value in limits.resources:
            resources.setdefault(bound, {}).setdefault(name, value)
        if len(containers) == 1 or one.get("ports"):
            probe = one.setdefault("readinessProbe", {})
            if not any(handler in probe for handler in HANDLERS):
                probe["tcpSocket"] = {}
        _probes(one)
        for mount in one.get("volumeMounts", []):
            if mount.get("name", "") not in writable:
                mount["readOnly"] = True
        for port in one.get("ports", []):
            port["protocol"] = port.get("protocol") or "TCP"
    for one in inits:
        one.setdefault("resources", {})
    for one in (*containers, *inits):
        _security(one, spec.get("securityContext", {}), limits)
    if "enableServiceLinks" not in spec and limits.enable_service_links is not None and containers:
        spec["enableServiceLinks"] = limits.enable_service_links
    return {**_all_written(spec), "timeoutSeconds": spec["timeoutSeconds"]}


def _names(containers: list[Object], taken: set[str], default: str) -> None:
    suffix = 0
    for one in containers:
        if one.get("name"):
            continue
        name = default
        if len(containers) > 1 or name in taken:
            while True:
                name, suffix = f"{default}-{suffix}", suffix + 1
                if name not in taken:
                    break
        one["name"] = name


def _probes(one: Object) -> None:
    for name in PROBES:
        probe = one.get(name)
        if probe is None:
            continue
        if name == "readinessProbe":
            probe["successThreshold"] = probe.get("successThreshold") or 1
            if probe.get("periodSeconds"):
                probe["failureThreshold"] = probe.get("failureThreshold") or 3
                probe["timeoutSeconds"] = probe.get("timeoutSeconds") or 1
        if "grpc" in probe:
            probe["grpc"] = {"port": 0, "service": "", **probe["grpc"]}
        for handler in ("httpGet", "tcpSocket"):
            if handler in probe:
                probe[handler] = {"port": 0, **probe[handler]}


def _security(one: Object, pod: Mapping[str, Any], limits: Defaults) -> None:
    if not limits.is_secure:
        return
    context = one.setdefault("securityContext", {})
    context.setdefault("allowPrivilegeEscalation", False)
    if not pod.get("seccompProfile", {}).get("type"):
        profile = context.setdefault("seccompProfile", {})
        profile["type"] = profile.get("type") or "RuntimeDefault"
    if "capabilities" not in context:
        context["capabilities"] = {"drop": ["ALL"]}
        if any(port.get("containerPort", 0) < 1024 for port in one.get("ports", [])):
            context["capabilities"]["add"] = ["NET_BIND_SERVICE"]
    if limits.enables("secure-pod-defaults") and "runAsNonRoot" not in pod:
        context.setdefault("runAsNonRoot", True)


def _all_written(value: Mapping[str, Any]) -> Object:
    """The fields of an object that Go writes."""
    written = {key: _written(key, part) for key, part in value.items()}
    return {key: part for key, part in written.items() if part is not None}


def _written(key: str, value: Any) -> Any:
    """A value as Go writes it: empty text, zeros, false and empty lists are left out; None for nothing."""
    if isinstance(value, dict):
        if key in {"limits", "requests"}:
            return {name: canonical(amount) for name, amount in value.items()} or None
        inner = _all_written({"divisor": 0, **value} if key == "resourceFieldRef" else value)
        if "port" in value:
            inner["port"] = value["port"]
        return None if key in _MAPS and not inner else inner
    if isinstance(value, list):
        blank = _REQUIRED.get(key, {})
        items = [{**blank, **_all_written(part)} if isinstance(part, dict) else part for part in value]
        return items if items or key == "sources" else None
    if key in {"sizeLimit", "divisor"}:
        return canonical(value)
    return value if value or key in names_of("kept-zeros") else None
