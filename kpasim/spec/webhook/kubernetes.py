"""What Kubernetes refuses: metadata of any object, and the pod that Knative would make of a template.

Knative's webhook sends the pod to the API server as a trial wherever the Service itself is only tried
(`--dry-run=server`); without that the same faults appear when the first pod is to be made.

Source:
    kubernetes/kubernetes@v1.34.0, pkg/apis/core/validation/validation.go, pkg/apis/core/v1/defaults.go;
    kubernetes/apimachinery@v0.34.0, pkg/api/validation/objectmeta.go;
    knative/serving@98e5ef9, pkg/reconciler/revision/resources/deploy.go, pkg/webhook/podspec_dryrun.go.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import Any

from kpasim.spec import names
from kpasim.spec.base import Place
from kpasim.spec.quantities import amount, canonical
from kpasim.spec.webhook.checks import descends, field_faults
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
_SUBSCRIPT = re.compile(r"metadata\.(annotations|labels)\['(.*)'\]")


def metadata_faults(meta: Object) -> Faults:
    """Labels, annotations and namespace that the API server refuses."""
    yield from field_faults("metadata", meta)
    for key, value in meta.get("labels", {}).items():
        if not names.is_qualified(key):
            yield Fault("metadata", ("labels", key), "is not the key of a label")
        if not names.is_label_value(value):
            yield Fault("metadata", ("labels", key), f"{value!r} is not the value of a label")
    for key in meta.get("annotations", {}):
        if not names.is_qualified(key.lower()):
            yield Fault("metadata", ("annotations", key), "is not the key of an annotation")
    if sum(owner.get("controller", False) for owner in meta.get("ownerReferences", [])) > 1:
        yield Fault("metadata", ("ownerReferences",), "has several owners with controller: true (one at most)")
    if sum(len((key + value).encode()) for key, value in meta.get("annotations", {}).items()) > _ANNOTATION_BYTES:
        yield Fault("metadata", ("annotations",), "are longer than 256 KiB together")


def pod_faults(pod: Object) -> Faults:
    """Why Kubernetes refuses the pod of a template that Knative accepts; the spec has Knative's defaults."""
    yield from field_faults("kubernetes-pod", pod)
    containers = pod.get("containers", [])
    for key in ("containers", "initContainers"):
        for index, one in enumerate(pod.get(key, [])):
            serves = key == "containers" and (len(containers) == 1 or bool(one.get("ports")))
            yield from below((key, index), _container(one, serves=serves))
    for index, volume in enumerate(pod.get("volumes", [])):
        yield from below(("volumes", index), _volume(volume))
    yield from below(("securityContext", "seccompProfile"), _seccomp(pod.get("securityContext", {})))
    yield from _scheduling(pod)


def _container(one: Object, *, serves: bool) -> Faults:
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
        if "valueFrom" not in variable:
            continue
        sources = variable["valueFrom"]
        if len(sources) != 1:
            yield Fault("pod-env", (*place, "valueFrom"), "must have one source")
        elif variable.get("value"):
            yield Fault("pod-env", (*place, "valueFrom"), "may not stand beside a value")
        yield from below((*place, "valueFrom"), _reference(sources, _ENV_PATHS, in_volume=False))


def _probe(probe: Object, *, once: bool, rewritten: bool) -> Faults:
    if not any(handler in probe for handler in HANDLERS):
        yield Fault("pod-probe", (), "has no handler (one of httpGet, tcpSocket, exec, grpc)")
    yield from field_faults("kubernetes-probe", probe)
    if once and probe.get("successThreshold", 0) not in {0, 1}:
        yield Fault("pod-probe", ("successThreshold",), "must be 1 for this probe")
    for handler in ("httpGet", "tcpSocket"):
        if handler not in probe or rewritten:
            continue
        port = probe[handler].get("port", 0)
        if isinstance(port, int) and not 1 <= port <= 65535:
            yield Fault("pod-probe", (handler, "port"), f"{port} is not a port (must be in [1, 65535]; name it)")
        elif isinstance(port, str) and not names.is_port_name(port):
            yield Fault("pod-probe", (handler, "port"), f"{port!r} is not the name of a port")


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
    if (kind == "Localhost") != (path is not None):
        yield Fault("pod-security", ("localhostProfile",), "belongs to type Localhost, and only there")
    elif not descends(path or ""):
        yield Fault("pod-security", ("localhostProfile",), "must be relative, without '..'")


def _volume(volume: Object) -> Faults:
    if ".." in volume.get("hostPath", {}).get("path", "").split("/"):
        yield Fault("pod-volume", ("hostPath", "path"), "holds '..'")
    driver = volume.get("csi", {}).get("driver", "")
    if "csi" in volume and not (names.is_subdomain(driver.lower()) and len(driver) <= 63):
        yield Fault("pod-volume", ("csi", "driver"), "is missing, or not a name")
    seen: set[Any] = set()
    for index, source in enumerate(volume.get("projected", {}).get("sources", [])):
        place: Place = ("projected", "sources", index)
        for number, item in enumerate(source.get("downwardAPI", {}).get("items", [])):
            below_item = (*place, "downwardAPI", "items", number)
            yield from below(below_item, _reference(item, _VOLUME_PATHS, in_volume=True))
        kept = [item.get("path") for key in _ITEMS for item in source.get(key, {}).get("items", [])]
        twice = next((path for path in kept if path in seen), None)
        if twice or len(set(kept)) < len(kept):
            yield Fault("pod-volume", place, f"{twice or kept[0]} is the path of two files of the volume")
        seen.update(kept)


_ITEMS = ("secret", "configMap", "downwardAPI")


def _scheduling(pod: Object) -> Faults:
    for key, value in pod.get("nodeSelector", {}).items():
        if not (names.is_qualified(key) and names.is_label_value(value)):
            yield Fault("pod-scheduling", ("nodeSelector", key), "is not a label")
    if pod.get("dnsPolicy") == "None" and not pod.get("dnsConfig", {}).get("nameservers"):
        yield Fault("pod-scheduling", ("dnsConfig",), "needs nameservers with dnsPolicy None")
    yield from below(("tolerations",), _tolerations(pod.get("tolerations", [])))


def _tolerations(tolerations: Sequence[Object]) -> Faults:
    for index, one in enumerate(tolerations):
        operator, effect = one.get("operator", ""), one.get("effect", "")
        if operator in {"", "Equal"} and not names.is_label_value(one.get("value", "")):
            yield Fault("pod-scheduling", (index, "value"), f"{one['value']!r} is not the value of a taint")
        if not one.get("key") and operator != "Exists":
            yield Fault("pod-scheduling", (index, "operator"), "must be Exists where there is no key")
        if operator == "Exists" and one.get("value"):
            yield Fault("pod-scheduling", (index, "value"), "may not stand beside operator Exists")
        if "tolerationSeconds" in one and effect != "NoExecute":
            yield Fault("pod-scheduling", (index, "effect"), "must be NoExecute beside tolerationSeconds")
