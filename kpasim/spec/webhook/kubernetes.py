"""What Kubernetes refuses: metadata of any object, and the pod that Knative would make of a template.

Knative's webhook sends the pod to the API server as a trial wherever the Service itself is only tried
(`--dry-run=server`); without that the same faults appear when the first pod is to be made.

Source:
    kubernetes/kubernetes@v1.34.0, pkg/apis/core/validation/validation.go, pkg/apis/core/v1/defaults.go;
    kubernetes/apimachinery@v0.34.0, pkg/api/validation/objectmeta.go;
    knative/serving@98e5ef9, pkg/reconciler/revision/resources/deploy.go, pkg/webhook/podspec_dryrun.go.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import Any

from kpasim.spec import names
from kpasim.spec.base import Place
from kpasim.spec.quantities import amount, canonical
from kpasim.spec.webhook.knative import HANDLERS, PROBES
from kpasim.spec.webhook.verdict import Fault, Faults, below

Object = Mapping[str, Any]

_ANNOTATION_BYTES = 256 * 1024
_STANDARD = ("cpu", "memory", "ephemeral-storage")
_DIVISORS = {"1", *(f"1{one}" for one in ("k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_VOLUME_PATHS = ("metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid")
_ENV_PATHS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.host", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_HOST_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_SUBSCRIPT = re.compile(r"metadata\.(annotations|labels)\['(.*)'\]")
_EFFECTS = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")


def metadata_faults(meta: Object) -> Faults:
    """Labels, annotations and namespace that the API server refuses."""
    if meta.get("namespace") and not names.is_label(meta["namespace"]):
        yield Fault("metadata", ("namespace",), f"{meta['namespace']!r} is not a name (must be a DNS label)")
    for key, value in meta.get("labels", {}).items():
        if not names.is_qualified(key):
            yield Fault("metadata", ("labels", key), "is not the key of a label")
        if not names.is_label_value(value):
            yield Fault("metadata", ("labels", key), f"{value!r} is not the value of a label")
    for key in meta.get("annotations", {}):
        if not names.is_qualified(key.lower()):
            yield Fault("metadata", ("annotations", key), "is not the key of an annotation")
    for index, name in enumerate(meta.get("finalizers", [])):
        if not names.is_qualified(name):
            yield Fault("metadata", ("finalizers", index), f"{name!r} is not the name of a finalizer")
    yield from below(("ownerReferences",), _owners(meta.get("ownerReferences", [])))
    if meta.get("generation", 0) < 0:
        yield Fault("metadata", ("generation",), "is negative")
    if sum(len((key + value).encode()) for key, value in meta.get("annotations", {}).items()) > _ANNOTATION_BYTES:
        yield Fault("metadata", ("annotations",), "are longer than 256 KiB together")


def _owners(owners: Sequence[Object]) -> Faults:
    for index, owner in enumerate(owners):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                yield Fault("metadata", (index, key), "is missing (an owner has one)")
    if sum(owner.get("controller", False) for owner in owners) > 1:
        yield Fault("metadata", (), "has several owners with controller: true (one at most)")


def pod_faults(pod: Object) -> Faults:
    """Why Kubernetes refuses the pod of a template that Knative accepts; the spec has Knative's defaults."""
    containers = pod.get("containers", [])
    for key in ("containers", "initContainers"):
        for index, one in enumerate(pod.get(key, [])):
            serves = key == "containers" and (len(containers) == 1 or bool(one.get("ports")))
            yield from below((key, index), _container(one, serves=serves))
    for index, volume in enumerate(pod.get("volumes", [])):
        yield from below(("volumes", index), _volume(volume))
    yield from below(("securityContext", "seccompProfile"), _seccomp(pod.get("securityContext", {})))
    for index, one in enumerate(pod.get("initContainers", [])):
        for number, port in enumerate(one.get("ports", [])):
            yield from below(("initContainers", index, "ports", number), _port(port))
    yield from _scheduling(pod)


def _container(one: Object, *, serves: bool) -> Faults:
    name = one.get("name", "")
    if name and not names.is_label(name):
        yield Fault("pod-container-name", ("name",), f"{name!r} is not a name (must be a DNS label)")
    if one.get("imagePullPolicy", "") not in {"", "Always", "IfNotPresent", "Never"}:
        message = f"{one['imagePullPolicy']!r} is not right (must be Always, IfNotPresent or Never)"
        yield Fault("pod-pull-policy", ("imagePullPolicy",), message)
    yield from _env(one)
    for probe in PROBES:
        # queue-proxy runs the readiness probe itself, and Knative writes the port of a liveness probe.
        if probe in one and not (probe == "readinessProbe" and "exec" not in one[probe]):
            rewritten = serves and probe == "livenessProbe"
            yield from below((probe,), _probe(one[probe], once=probe != "readinessProbe", rewritten=rewritten))
    yield from below(("resources",), _resources(one.get("resources", {})))
    context = one.get("securityContext", {})
    yield from below(("securityContext", "seccompProfile"), _seccomp(context))
    added = context.get("capabilities", {}).get("add", [])
    if context.get("allowPrivilegeEscalation") is False and "CAP_SYS_ADMIN" in added:
        yield Fault("pod-security", ("securityContext",), "CAP_SYS_ADMIN needs allowPrivilegeEscalation")
    for index, mount in enumerate(one.get("volumeMounts", [])):
        if not _descends(mount.get("subPath", "")):
            yield Fault("pod-mount", ("volumeMounts", index, "subPath"), "must be relative, without '..'")


def _port(port: Object) -> Faults:
    """A port of an init container; Knative writes that of the container that serves."""
    if port.get("name") and not names.is_port_name(port["name"]):
        yield Fault("pod-port", ("name",), f"{port['name']!r} is not the name of a port")
    if not port.get("containerPort"):
        yield Fault("pod-port", ("containerPort",), "is missing")
    if port.get("protocol", "") not in {"", "TCP", "UDP", "SCTP"}:
        yield Fault("pod-port", ("protocol",), f"{port['protocol']!r} is not right (must be TCP, UDP or SCTP)")


def _descends(path: str) -> bool:
    """Whether a path stays below the folder it is relative to."""
    return not path.startswith("/") and ".." not in path.split("/")


def _reference(source: Object, paths: Collection[str], *, in_volume: bool) -> Faults:
    """What is wrong with a reference to a field of the pod (``fieldRef``) or to a resource (``resourceFieldRef``)."""
    field = source.get("fieldRef")
    if field is not None:
        path, subscript = field.get("fieldPath", ""), _SUBSCRIPT.fullmatch(field.get("fieldPath", ""))
        if field.get("apiVersion", "v1") not in {"", "v1"}:
            message = f"{field['apiVersion']!r} is not right (must be v1)"
            yield Fault("pod-reference", ("fieldRef", "apiVersion"), message)
        elif subscript:
            key = subscript[2].lower() if subscript[1] == "annotations" else subscript[2]
            if not names.is_qualified(key):
                yield Fault("pod-reference", ("fieldRef", "fieldPath"), f"{key!r} is not a key")
        elif path not in paths:
            message = f"{path!r} is not right (must be {', '.join(paths)})"
            yield Fault("pod-reference", ("fieldRef", "fieldPath"), message)
    resource = source.get("resourceFieldRef")
    if resource is None:
        return
    kind, _, name = resource.get("resource", "").partition(".")
    if in_volume and not resource.get("containerName"):
        yield Fault("pod-reference", ("resourceFieldRef", "containerName"), "is missing")
    elif kind not in {"limits", "requests"} or not (name in _STANDARD or name.startswith("hugepages-")):
        message = f"{resource.get('resource', '')!r} is not right (must be limits.cpu, requests.memory and the like)"
        yield Fault("pod-reference", ("resourceFieldRef", "resource"), message)
    divisor = canonical(resource.get("divisor", "0"))
    if divisor != "0" and divisor not in (("1", "1m") if name == "cpu" else _DIVISORS):
        message = f"{divisor} is not right (must be 1, 1Mi and the like)"
        yield Fault("pod-reference", ("resourceFieldRef", "divisor"), message)


def _env(one: Object) -> Faults:
    for index, variable in enumerate(one.get("env", [])):
        place: Place = ("env", index)
        if not names.is_env_name(variable.get("name", "")):
            yield Fault("pod-env", (*place, "name"), f"{variable.get('name', '')!r} is not the name of a variable")
        if "valueFrom" not in variable:
            continue
        sources = variable["valueFrom"]
        if len(sources) != 1:
            yield Fault("pod-env", (*place, "valueFrom"), "must have one source")
        elif variable.get("value"):
            yield Fault("pod-env", (*place, "valueFrom"), "may not stand beside a value")
        yield from below((*place, "valueFrom"), _reference(sources, _ENV_PATHS, in_volume=False))
        for key in ("configMapKeyRef", "secretKeyRef"):
            source = sources.get(key)
            if source is None:
                continue
            if not source.get("name"):
                yield Fault("pod-env", (*place, "valueFrom", key, "name"), "is missing")
            if not names.is_config_key(source.get("key", "")):
                yield Fault("pod-env", (*place, "valueFrom", key, "key"), "is missing, or not a key")
    for index, source in enumerate(one.get("envFrom", [])):
        if source.get("prefix") and not names.is_env_name(source["prefix"]):
            yield Fault("pod-env", ("envFrom", index, "prefix"), "is not the beginning of a variable's name")
        for key in ("configMapRef", "secretRef"):
            if key in source and not names.is_subdomain(source[key].get("name", "")):
                yield Fault("pod-env", ("envFrom", index, key, "name"), "is missing, or not the name of an object")


def _probe(probe: Object, *, once: bool, rewritten: bool) -> Faults:
    if not any(handler in probe for handler in HANDLERS):
        yield Fault("pod-probe", (), "has no handler (one of httpGet, tcpSocket, exec, grpc)")
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if probe.get(key, 0) < 0:
            yield Fault("pod-probe", (key,), f"{probe[key]} is negative")
    if once and probe.get("successThreshold", 0) not in {0, 1}:
        yield Fault("pod-probe", ("successThreshold",), "must be 1 for this probe")
    if "exec" in probe and not probe["exec"].get("command"):
        yield Fault("pod-probe", ("exec", "command"), "is missing")
    if "grpc" in probe and not 1 <= probe["grpc"].get("port", 0) <= 65535:
        yield Fault("pod-probe", ("grpc", "port"), "must be in [1, 65535]")
    for handler in ("httpGet", "tcpSocket"):
        if handler not in probe or rewritten:
            continue
        port = probe[handler].get("port", 0)
        if isinstance(port, int) and not 1 <= port <= 65535:
            yield Fault("pod-probe", (handler, "port"), f"{port} is not a port (must be in [1, 65535]; name it)")
        elif isinstance(port, str) and not names.is_port_name(port):
            yield Fault("pod-probe", (handler, "port"), f"{port!r} is not the name of a port")
    web = probe.get("httpGet", {})
    if web.get("scheme", "") not in {"", "HTTP", "HTTPS"}:
        yield Fault("pod-probe", ("httpGet", "scheme"), f"{web['scheme']!r} is not right (must be HTTP or HTTPS)")
    for index, header in enumerate(web.get("httpHeaders", [])):
        if not names.is_header(header.get("name", "")):
            yield Fault("pod-probe", ("httpGet", "httpHeaders", index, "name"), "is not the name of a header")


# --- resources --------------------------------------------------------------------------------------------------------


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _resources(resources: Object) -> Faults:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for bound, values in (("limits", limits), ("requests", requests)):
        for name, value in values.items():
            yield from below((bound, name), _resource(name, amount(value)))
    for name, value in requests.items():
        overcommits = _is_native(name) and not name.startswith("hugepages-")
        if name in limits:
            asked, most = amount(value), amount(limits[name])
            if overcommits and asked > most:
                yield Fault("pod-resources", ("requests", name), f"{value} is above the limit of {limits[name]}")
            elif not overcommits and asked != most:
                yield Fault("pod-resources", ("requests", name), f"{value} must equal the limit of {limits[name]}")
        elif not overcommits:
            yield Fault("pod-resources", ("requests", name), f"needs a limit of the same size: limits {name}: {value}")
    named = {*limits, *requests}
    if any(name.startswith("hugepages-") for name in named) and not {"cpu", "memory"} & named:
        yield Fault("pod-resources", (), "hugepages need a limit or a request of cpu or memory")


def _is_pages(size: str, value: Fraction) -> bool:
    """Whether an amount is a multiple of the size of a page."""
    try:
        page = amount(size)
    except ValueError:
        return False
    return page > 0 and page.denominator == 1 and math.ceil(value) % page == 0


def _resource(name: str, value: Fraction) -> Faults:
    extended = not _is_native(name)
    if not names.is_qualified(name):
        yield Fault("pod-resources", (), "is not the name of a resource")
    elif "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
        yield Fault("pod-resources", (), f"is not a resource of a container ({', '.join(_STANDARD)}, vendor.com/gpu)")
    elif extended and (name.startswith("requests.") or not names.is_qualified(f"requests.{name}")):
        yield Fault("pod-resources", (), "is not the name of an extended resource")
    if value < 0:
        yield Fault("pod-resources", (), "is negative")
    elif name.startswith("hugepages-") and not _is_pages(name.removeprefix("hugepages-"), value):
        yield Fault("pod-resources", (), f"is not a whole number of pages of {name.removeprefix('hugepages-')}")
    elif extended and value.denominator != 1:
        yield Fault("pod-resources", (), f"{float(value):g} is not a whole number ({name} comes in whole ones)")


# --- volumes, security, scheduling ------------------------------------------------------------------------------------


def _seccomp(context: Object) -> Faults:
    profile = context.get("seccompProfile")
    if profile is None:
        return
    kind, path = profile.get("type", ""), profile.get("localhostProfile")
    if kind not in {"RuntimeDefault", "Unconfined", "Localhost"}:
        yield Fault("pod-security", ("type",), "must be RuntimeDefault, Unconfined or Localhost")
    elif (kind == "Localhost") != (path is not None):
        yield Fault("pod-security", ("localhostProfile",), "belongs to type Localhost, and only there")
    elif not _descends(path or ""):
        yield Fault("pod-security", ("localhostProfile",), "must be relative, without '..'")


def _volume(volume: Object) -> Faults:
    if "secret" in volume:
        if not volume["secret"].get("secretName"):
            yield Fault("pod-volume", ("secret", "secretName"), "is missing")
        yield from below(("secret",), _files(volume["secret"]))
    if "configMap" in volume:
        if not volume["configMap"].get("name"):
            yield Fault("pod-volume", ("configMap", "name"), "is missing")
        yield from below(("configMap",), _files(volume["configMap"]))
    if "persistentVolumeClaim" in volume and not volume["persistentVolumeClaim"].get("claimName"):
        yield Fault("pod-volume", ("persistentVolumeClaim", "claimName"), "is missing")
    host = volume.get("hostPath")
    if host is not None and (not host.get("path") or ".." in host["path"].split("/")):
        yield Fault("pod-volume", ("hostPath", "path"), "is missing, or holds '..'")
    if host is not None and host.get("type", "") not in _HOST_TYPES:
        yield Fault("pod-volume", ("hostPath", "type"), f"{host['type']!r} is not right ({', '.join(_HOST_TYPES[1:])})")
    if "ephemeral" in volume and not volume["ephemeral"].get("volumeClaimTemplate"):
        yield Fault("pod-volume", ("ephemeral", "volumeClaimTemplate"), "is missing")
    driver = volume.get("csi", {}).get("driver", "")
    if "csi" in volume and not (names.is_subdomain(driver.lower()) and len(driver) <= 63):
        yield Fault("pod-volume", ("csi", "driver"), "is missing, or not a name")
    yield from below(("projected",), _files(volume.get("projected", {})))
    seen: set[Any] = set()
    for index, source in enumerate(volume.get("projected", {}).get("sources", [])):
        place: Place = ("projected", "sources", index)
        for key in _ITEMS:
            yield from below((*place, key), _files(source.get(key, {})))
        token = source.get("serviceAccountToken", {})
        if token and not 600 <= token.get("expirationSeconds", 3600) <= 2**32:
            yield Fault("pod-volume", (*place, "serviceAccountToken", "expirationSeconds"), "must be at least 600")
        if not _is_local(token.get("path", "")):
            yield Fault("pod-volume", (*place, "serviceAccountToken", "path"), "must be relative, without '..'")
        for number, item in enumerate(source.get("downwardAPI", {}).get("items", [])):
            below_item = (*place, "downwardAPI", "items", number)
            yield from below(below_item, _reference(item, _VOLUME_PATHS, in_volume=True))
        kept = [item.get("path") for key in _ITEMS for item in source.get(key, {}).get("items", [])]
        twice = next((path for path in kept if path in seen), None)
        if twice or len(set(kept)) < len(kept):
            yield Fault("pod-volume", place, f"{twice or kept[0]} is the path of two files of the volume")
        seen.update(kept)


_ITEMS = ("secret", "configMap", "downwardAPI")


def _is_local(path: str) -> bool:
    """Whether the path of a file of a volume is relative, and none of Kubernetes' own."""
    return _descends(path) and not path.startswith("..")


def _files(source: Object) -> Faults:
    if not 0 <= source.get("defaultMode", 0) <= 0o777:
        yield Fault("pod-volume", ("defaultMode",), "must be in [0, 0777]")
    for index, item in enumerate(source.get("items", [])):
        if not 0 <= item.get("mode", 0) <= 0o777:
            yield Fault("pod-volume", ("items", index, "mode"), "must be in [0, 0777]")
        if not _is_local(item.get("path", "")):
            yield Fault("pod-volume", ("items", index, "path"), "must be relative, without '..'")


def _scheduling(pod: Object) -> Faults:
    for key, value in pod.get("nodeSelector", {}).items():
        if not (names.is_qualified(key) and names.is_label_value(value)):
            yield Fault("pod-scheduling", ("nodeSelector", key), "is not a label")
    for key in ("runtimeClassName", "priorityClassName"):
        if key in pod and not names.is_subdomain(pod[key]):
            yield Fault("pod-scheduling", (key,), f"{pod[key]!r} is not a name")
    if pod.get("dnsPolicy", "") not in {"", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"}:
        yield Fault("pod-scheduling", ("dnsPolicy",), f"{pod['dnsPolicy']!r} is not right")
    if pod.get("dnsPolicy") == "None" and not pod.get("dnsConfig", {}).get("nameservers"):
        yield Fault("pod-scheduling", ("dnsConfig",), "needs nameservers with dnsPolicy None")
    for index, server in enumerate(pod.get("dnsConfig", {}).get("nameservers", [])):
        if not _is_address(server):
            yield Fault("pod-scheduling", ("dnsConfig", "nameservers", index), f"{server!r} is not an IP address")
    for index, alias in enumerate(pod.get("hostAliases", [])):
        if not _is_address(alias.get("ip", "")):
            yield Fault("pod-scheduling", ("hostAliases", index, "ip"), f"{alias.get('ip', '')!r} is not an IP address")
        for host in alias.get("hostnames", []):
            if not names.is_subdomain(host):
                yield Fault("pod-scheduling", ("hostAliases", index, "hostnames"), f"{host!r} is not a name")
    for index, spread in enumerate(pod.get("topologySpreadConstraints", [])):
        place: Place = ("topologySpreadConstraints", index)
        if spread.get("maxSkew", 0) < 1:
            yield Fault("pod-scheduling", (*place, "maxSkew"), "must be at least 1")
        if not names.is_qualified(spread.get("topologyKey", "")):
            yield Fault("pod-scheduling", (*place, "topologyKey"), "is missing, or not the key of a label")
        if spread.get("whenUnsatisfiable", "") not in {"DoNotSchedule", "ScheduleAnyway"}:
            yield Fault("pod-scheduling", (*place, "whenUnsatisfiable"), "must be DoNotSchedule or ScheduleAnyway")
    yield from below(("tolerations",), _tolerations(pod.get("tolerations", [])))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _tolerations(tolerations: Sequence[Object]) -> Faults:
    for index, one in enumerate(tolerations):
        operator, effect = one.get("operator", ""), one.get("effect", "")
        if one.get("key") and not names.is_qualified(one["key"]):
            yield Fault("pod-scheduling", (index, "key"), f"{one['key']!r} is not the key of a taint")
        if operator in {"", "Equal"} and not names.is_label_value(one.get("value", "")):
            yield Fault("pod-scheduling", (index, "value"), f"{one['value']!r} is not the value of a taint")
        if operator not in {"", "Equal", "Exists"}:
            yield Fault("pod-scheduling", (index, "operator"), f"{operator!r} is not right (Equal or Exists)")
        if not one.get("key") and operator != "Exists":
            yield Fault("pod-scheduling", (index, "operator"), "must be Exists where there is no key")
        if operator == "Exists" and one.get("value"):
            yield Fault("pod-scheduling", (index, "value"), "may not stand beside operator Exists")
        if effect not in _EFFECTS:
            yield Fault("pod-scheduling", (index, "effect"), f"{effect!r} is not right")
        if "tolerationSeconds" in one and effect != "NoExecute":
            yield Fault("pod-scheduling", (index, "effect"), "must be NoExecute beside tolerationSeconds")
