"""What Knative's validating webhook refuses in a Service.

The functions take decoded objects: no nulls, no unknown fields, no wrong types.

Source:
    knative/serving@98e5ef9, pkg/apis/serving/v1/*_validation.go, pkg/apis/serving/k8s_validation.go, fieldmask.go,
    metadata_validation.go.
"""

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from kpasim.spec import names
from kpasim.spec.autoscaler import PREFIX, validate_annotations
from kpasim.spec.base import Place
from kpasim.spec.configmaps import ClusterConfig, Defaults
from kpasim.spec.goparse import parse_duration, parse_float
from kpasim.spec.quantities import amount
from kpasim.spec.webhook.checks import field_faults
from kpasim.spec.webhook.fields import POD_FEATURES, VOLUME_FEATURES
from kpasim.spec.webhook.verdict import Fault, Faults, below
from kpasim.spec.yamlfile import names_of

Object = Mapping[str, Any]

RESERVED_PORTS = (8012, 8013, 8022, 9090, 9091, 8008)
"""Ports of queue-proxy."""
RESERVED_ENV = ("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION")
"""Environment variables that Knative sets; a container without requests may set PORT."""
HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")
"""Ways to probe."""
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
VOLUME_KINDS = ("secret", "configMap", "projected", *VOLUME_FEATURES)
PVC_WRITE = "kubernetes.podspec-persistent-volume-write"
PROBING = "multi-container-probing"
QUEUE = "queue.sidecar.serving.knative.dev/"

_NETWORKING = "networking.knative.dev/"
_POINTERS = {"affinity", "dnsConfig", "securityContext", "shareProcessNamespace", "runtimeClassName"}
"""Fields of a pod that count as set even where they are empty, as Go's decoder leaves a pointer in them."""
_POD_SECURITY = ("runAsUser", "runAsGroup", "runAsNonRoot", "fsGroup", "supplementalGroups", "seccompProfile")


def service_faults(data: Object, cluster: ClusterConfig) -> Faults:
    """Why the webhook refuses a Service."""
    meta, spec = data.get("metadata", {}), data.get("spec", {})
    yield from below(("metadata",), _metadata(meta))
    template = spec.get("template", {})
    place: Place = ("spec", "template")
    pod = template.get("spec", {})
    yield from below((*place, "spec"), _revision(pod, cluster.defaults))
    annotations = template.get("metadata", {}).get("annotations", {})
    yield from below((*place, "metadata", "annotations"), annotation_faults(annotations, cluster))
    yield from below((*place, "metadata"), _revision_name(template.get("metadata", {}), meta))
    yield from below(("spec",), field_faults("knative-service", spec))
    yield from below(("spec", "traffic"), _traffic(spec.get("traffic", [])))


# --- metadata ---------------------------------------------------------------------------------------------------------


def _metadata(meta: Object) -> Faults:
    name, prefix = meta.get("name", ""), meta.get("generateName", "")
    rule = "a DNS label: up to 63 of a-z, 0-9 and -, which begins with a letter and does not end in -"
    makes = name or names.generated(prefix)
    if prefix and not (names.is_service_prefix(prefix) and (name or names.is_service_name(makes))):
        yield Fault("service-name", ("generateName",), f"{prefix!r} is not a name (must be {rule})")
    elif name and not names.is_service_name(name):
        yield Fault("service-name", ("name",), f"{name!r} is not a name (must be {rule})")
    elif not name and not prefix:
        yield Fault("service-name", ("name",), "is missing (a Service has a name)")
    for key in meta.get("annotations", {}):
        if key.startswith(PREFIX[:-1]):
            message = "is refused by Knative here, where it would do nothing (move it to "
            yield Fault("annotation-on-service", ("annotations", key), f"{message}spec.template.metadata.annotations)")
    yield from _duration_annotation(
        meta.get("annotations", {}),
        ("serving.knative.dev/rollout-duration", "serving.knative.dev/rolloutDuration"),
        "rollout-duration",
        ("annotations",),
    )


def _duration_annotation(annotations: Mapping[str, str], keys: Sequence[str], rule: str, place: Place) -> Faults:
    """A duration of whole seconds that is not negative."""
    key = next((one for one in keys if one in annotations), "")
    text = annotations.get(key, "")
    if not text:
        return
    try:
        value = parse_duration(text)
    except ValueError:
        yield Fault(rule, (*place, key), f"{text!r} is not a duration as Go reads it (write 600s or 10m)")
        return
    if value < 0 or value % 1_000_000_000:
        yield Fault(rule, (*place, key), f"{text} is out of range (must be whole seconds, at least 0s)")


def annotation_faults(annotations: Mapping[str, str], cluster: ClusterConfig) -> Faults:
    """Why the webhook refuses annotations of a template; each place is a key."""
    for problem in validate_annotations(annotations, cluster.autoscaler):
        yield Fault("autoscaling-annotation", (problem.place,), problem.message)
    known = names_of("networking-annotations")
    for key in annotations:
        if key.startswith(_NETWORKING[:-1]) and key.removeprefix(_NETWORKING) not in known:
            yield Fault("networking-annotation", (key,), "is not an annotation that Knative knows, and is refused")
    shares = (QUEUE + name for name in ("resource-percentage", "resourcePercentage"))
    if share := next((key for key in shares if key in annotations), ""):
        try:
            value = parse_float(annotations[share])
        except ValueError:
            yield Fault("queue-resources", (share,), f"{annotations[share]!r} is not a number")
        else:
            if value < 0.1 or value > 100:
                yield Fault("queue-resources", (share,), f"{value:g} is out of range (must be in [0.1, 100])")
    for resource in ("cpu", "memory", "ephemeral-storage"):
        for bound in ("request", "limit"):
            key = f"{QUEUE}{resource}-resource-{bound}"
            if key in annotations:
                try:
                    amount(annotations[key])
                except ValueError as err:
                    yield Fault("queue-resources", (key,), str(err))
    yield from _duration_annotation(annotations, ("serving.knative.dev/progress-deadline",), "progress-deadline", ())


def _revision_name(meta: Object, parent: Object) -> Faults:
    name, prefix = meta.get("name", ""), meta.get("generateName", "")
    if prefix and not names.is_service_prefix(prefix):
        yield Fault("revision-name", ("generateName",), f"{prefix!r} is not a name (must be a DNS label)")
    elif name and not names.is_service_name(name):
        yield Fault("revision-name", ("name",), f"{name!r} is not a name (must be a DNS label of up to 63)")
    elif name and not parent.get("name") and parent.get("generateName"):
        yield Fault("revision-name", ("name",), "may not be set where the Service has a generateName")
    elif name and not name.startswith(f"{parent.get('name', '')}-"):
        yield Fault("revision-name", ("name",), f"{name!r} must begin with {parent.get('name', '') + '-'!r}")


def _traffic(traffic: Sequence[Object]) -> Faults:
    tags = [target.get("tag", "") for target in traffic]
    for index, target in enumerate(traffic):
        revision, latest = target.get("revisionName", ""), target.get("latestRevision")
        if latest is not None and latest == bool(revision):
            want = "is true beside a revisionName" if revision else "is false, and there is no revisionName"
            message = f"{want} (name a revision or the latest, not both)"
            yield Fault("traffic-latest", (index, "latestRevision"), message)
        if tags[index] and tags[index] in tags[:index]:
            yield Fault("traffic-tag", (index, "tag"), f"{tags[index]!r} is there twice")
    total = sum(target.get("percent", 0) for target in traffic)
    if traffic and total != 100:
        yield Fault("traffic-sum", (), f"percent adds up to {total} (must be 100)")


# --- pod --------------------------------------------------------------------------------------------------------------


def _revision(pod: Object, cluster: Defaults) -> Faults:
    yield from pod_faults(pod, cluster)
    most = int(cluster.max_timeout_s)
    if not 0 <= pod.get("timeoutSeconds", 0) <= most:
        yield Fault(
            "timeout",
            ("timeoutSeconds",),
            f"{pod['timeoutSeconds']} is out of range (must be in [0, {most}]; the cluster's limit is "
            "max-revision-timeout-seconds in config-defaults)",
        )
    concurrency = pod.get("containerConcurrency", cluster.container_concurrency)
    if concurrency == 0 and not cluster.allow_container_concurrency_zero:
        message = "0 is forbidden by allow-container-concurrency-zero (must be at least 1)"
        yield Fault("container-concurrency", ("containerConcurrency",), message)
    elif not 0 <= concurrency <= cluster.container_concurrency_max_limit:
        message = f"{concurrency} is out of range (must be in [0, {cluster.container_concurrency_max_limit}])"
        yield Fault("container-concurrency", ("containerConcurrency",), message)


def pod_faults(pod: Object, cluster: Defaults) -> Faults:
    """Why Knative refuses the spec of a template."""
    yield from field_faults("knative-pod", pod)
    yield from _pod_fields(pod, cluster)
    yield from below(("securityContext",), _pod_security(pod.get("securityContext", {}), cluster))
    containers, inits = pod.get("containers", []), pod.get("initContainers", [])
    volumes = {volume.get("name", ""): volume for volume in pod.get("volumes", [])}
    mounted = {mount.get("name", "") for one in (*inits, *containers) for mount in one.get("volumeMounts", [])}
    for index, volume in enumerate(pod.get("volumes", [])):
        if volume.get("name", "") not in mounted:
            yield Fault("volume-not-mounted", ("volumes", index, "name"), "no container mounts the volume")
        yield from below(("volumes", index), _volume(volume, cluster))
    if inits and cluster.enables(POD_FEATURES["initContainers"]):
        yield from _init_containers(inits, containers, volumes, cluster)
    yield from _containers(containers, volumes, cluster)


def _pod_fields(pod: Object, cluster: Defaults) -> Faults:
    for key, value in pod.items():
        feature = POD_FEATURES.get(key, "")
        if key == "automountServiceAccountToken" and value:
            yield Fault("pod-field", (key,), "may only be false")
        elif not feature or (key == "securityContext" and cluster.is_secure):
            continue
        elif (value or key in _POINTERS) and not cluster.allows(feature):
            yield Fault("pod-field", (key,), _off(feature), feature)
        elif key == "initContainers" and value and not cluster.enables(feature):
            yield Fault("init-containers", (key,), _off(feature), feature)


def _off(feature: str) -> str:
    return f"is refused unless config-features has {feature}: enabled"


def _pod_security(context: Object, cluster: Defaults) -> Faults:
    feature, rule = POD_FEATURES["securityContext"], "pod-security-context"
    if cluster.allows(feature):
        for key in sorted(key for key in context.keys() - set(_POD_SECURITY) if context[key] != []):
            yield Fault(rule, (key,), f"may not be set (allowed: {', '.join(_POD_SECURITY)})")
    elif cluster.is_secure:
        for key in context:
            profile = context.get("seccompProfile", {}).get("type")
            if key != "seccompProfile" or profile not in {"RuntimeDefault", "Unconfined"}:
                yield Fault(rule, (key,), _off(feature), feature)


# --- volumes ----------------------------------------------------------------------------------------------------------


def _volume(volume: Object, cluster: Defaults) -> Faults:
    kinds = [kind for kind in VOLUME_KINDS if kind in volume]
    # An invalid name hides in Knative that the kind of the volume is off; the Service is refused either way.
    for kind in kinds:
        feature = VOLUME_FEATURES.get(kind, "")
        if feature and not cluster.enables(feature):
            yield Fault("volume-off", (kind,), _off(feature), feature)
    claim = volume.get("persistentVolumeClaim")
    if claim is not None and not claim.get("readOnly") and not cluster.enables(PVC_WRITE):
        yield Fault("volume-off", ("persistentVolumeClaim",), f"{_off(PVC_WRITE)}, or readOnly: true", PVC_WRITE)
    if not kinds:
        yield Fault("volume-source", (), f"has no source (one of {', '.join(VOLUME_KINDS[:4])})")
    elif len(kinds) > 1:
        yield Fault("volume-source", (), f"has several sources: {', '.join(kinds)} (must be one)")
    for index, source in enumerate(volume.get("projected", {}).get("sources", [])):
        yield from below(("projected", "sources", index), _projection(source))
    limit = volume.get("emptyDir", {}).get("sizeLimit")
    if limit is not None and amount(limit) < 0:
        yield Fault("volume-item", ("emptyDir", "sizeLimit"), f"{limit} is negative")
    image = volume.get("image")
    if image is not None and cluster.enables(VOLUME_FEATURES["image"]):
        if not image.get("reference"):
            yield Fault("volume-item", ("image", "reference"), "is missing")
        if image.get("pullPolicy", "") not in {"", "Always", "Never", "IfNotPresent"}:
            yield Fault("volume-item", ("image", "pullPolicy"), "must be Always, IfNotPresent or Never")


def _projection(source: Object) -> Faults:
    kinds = [kind for kind in ("secret", "configMap", "serviceAccountToken", "downwardAPI") if kind in source]
    if len(kinds) != 1:
        yield Fault("volume-source", (), "must have one of secret, configMap, serviceAccountToken, downwardAPI")
    for index, item in enumerate(source.get("downwardAPI", {}).get("items", [])):
        if ("fieldRef" in item) == ("resourceFieldRef" in item):
            yield Fault("volume-item", ("downwardAPI", "items", index), "must have one of fieldRef, resourceFieldRef")


def _mounts(mounts: Sequence[Object], volumes: Mapping[str, Object], cluster: Defaults, *, init: bool) -> Faults:
    feature = "kubernetes.podspec-volumes-mount-propagation"
    seen = set()
    for index, mount in enumerate(mounts):
        volume = volumes.get(mount.get("name", ""))
        if volume is None:
            yield Fault("mount-without-volume", (index, "name"), f"no volume is called {mount.get('name', '')!r}")
            volume = {}
        path = mount.get("mountPath", "")
        clean = posixpath.normpath(path or ".").replace("//", "/", 1)
        if not path:
            yield Fault("mount-path", (index, "mountPath"), "is missing")
        elif clean in {"/", "/dev", "/dev/log"}:
            yield Fault("mount-path", (index, "mountPath"), f"{clean} is reserved")
        elif not path.startswith("/"):
            yield Fault("mount-path", (index, "mountPath"), f"{path!r} is not absolute (must begin with /)")
        elif clean in seen:
            yield Fault("mount-path", (index, "mountPath"), f"{path} is there twice")
        seen.add(clean)
        writable = {"emptyDir", "persistentVolumeClaim", "ephemeral"} & volume.keys()
        # Defaulting makes mounts of the other kinds read-only, but not those of init containers.
        claim = volume.get("persistentVolumeClaim", {})
        if not mount.get("readOnly") and (claim.get("readOnly") or (init and not writable)):
            yield Fault("mount-read-only", (index, "readOnly"), "must be true, as the volume is read-only")
        propagation = mount.get("mountPropagation")
        if propagation is not None:
            if not cluster.enables(feature):
                yield Fault("mount-propagation", (index, "mountPropagation"), _off(feature), feature)
            if propagation not in {"None", "HostToContainer"}:
                yield Fault("mount-propagation", (index, "mountPropagation"), "must be None or HostToContainer")


# --- containers -------------------------------------------------------------------------------------------------------


def _containers(containers: Sequence[Object], volumes: Mapping[str, Object], cluster: Defaults) -> Faults:
    if not containers:
        yield Fault("containers-missing", ("containers",), "is missing (list one container)")
        return
    ports = [port for one in containers for port in one.get("ports", [])]
    if not ports and len(containers) > 1:
        message = f"none of {len(containers)} containers has a port (exactly one must have one)"
        yield Fault("ports", ("containers",), message)
    elif len(ports) > 1:
        yield Fault("ports", ("containers",), f"{len(ports)} ports are listed (one is allowed, over all containers)")
    port_name = next((one["ports"][0].get("name") for one in reversed(containers) if one.get("ports")), "") or "http"
    if len(containers) > 1 and not cluster.enables("multi-container"):
        yield Fault("multi-container", ("containers",), _off("multi-container"), "multi-container")
        return
    seen: set[str] = set()
    for index, one in enumerate(containers):
        place: Place = ("containers", index)
        name = one.get("name", "")
        if name and name in seen:
            yield Fault("container-name-twice", (*place, "name"), f"{name!r} is the name of two containers")
        seen.add(name)
        serves = len(containers) == 1 or bool(one.get("ports"))
        if serves:
            yield from below(place, _probes(one, port_name))
        else:
            yield from below(place, _sidecar_probes(one, cluster))
        yield from below(place, _container(one, volumes, cluster, reserved=RESERVED_ENV[0 if serves else 1 :]))


def _init_containers(
    inits: Sequence[Object], others: Sequence[Object], volumes: Mapping[str, Object], cluster: Defaults
) -> Faults:
    taken = {one.get("name", "") for one in others if one.get("name")}
    for index, one in enumerate(inits):
        place: Place = ("initContainers", index)
        if one.get("name") in taken:
            yield Fault("container-name-twice", (*place, "name"), f"{one['name']!r} is the name of two containers")
        for key in (*PROBES, "lifecycle"):
            if key in one:
                yield Fault("init-container-field", (*place, key), "is not allowed in an init container")
        yield from below(place, _container(one, volumes, cluster, reserved=RESERVED_ENV[1:], init=True))


def _container(
    one: Object, volumes: Mapping[str, Object], cluster: Defaults, *, reserved: Sequence[str], init: bool = False
) -> Faults:
    if one.get("name") == "queue-proxy":
        yield Fault("container-name-reserved", ("name",), "'queue-proxy' is Knative's own container")
    yield from field_faults("knative-container", one)
    yield from below(("env",), _env(one.get("env", []), reserved, cluster))
    for index, source in enumerate(one.get("envFrom", [])):
        if ("configMapRef" in source) == ("secretRef" in source):
            yield Fault("env-from", ("envFrom", index), "must have one of configMapRef, secretRef")
    yield from below(("ports",), _ports(one.get("ports", []), init=init))
    yield from below(("securityContext",), _security(one.get("securityContext", {}), cluster))
    yield from below(("volumeMounts",), _mounts(one.get("volumeMounts", []), volumes, cluster, init=init))


def _env(env: Sequence[Object], reserved: Sequence[str], cluster: Defaults) -> Faults:
    feature = "kubernetes.podspec-fieldref"
    for index, variable in enumerate(env):
        name = variable.get("name", "")
        if name in reserved:
            yield Fault("env-reserved", (index, "name"), f"{name} is set by Knative (choose another name)")
        for key in ("fieldRef", "resourceFieldRef"):
            if key in variable.get("valueFrom", {}) and not cluster.allows(feature):
                yield Fault("env-source", (index, "valueFrom", key), _off(feature), feature)


def _ports(ports: Sequence[Object], *, init: bool) -> Faults:
    for index, port in enumerate(ports if init else ports[:1]):
        number = port.get("containerPort", 0)
        if number in RESERVED_PORTS:
            yield Fault("port-reserved", (index, "containerPort"), f"{number} is a port of queue-proxy (use another)")
        if init:
            continue
        if port.get("protocol", "") not in {"", "TCP"}:
            yield Fault("port-protocol", (index, "protocol"), f"{port['protocol']} is not allowed (must be TCP)")
        if port.get("name", "") not in {"", "http1", "h2c"}:
            yield Fault("port-name", (index, "name"), f"{port['name']!r} is not allowed (must be http1, h2c or empty)")


def _security(context: Object, cluster: Defaults) -> Faults:
    if context.get("privileged"):
        yield Fault("security-context", ("privileged",), "may only be false")
    add, feature = context.get("capabilities", {}).get("add"), "kubernetes.containerspec-addcapabilities"
    if add and not cluster.enables(feature) and not (cluster.is_secure and add == ["NET_BIND_SERVICE"]):
        yield Fault("security-context", ("capabilities", "add"), _off(feature), feature)


# --- probes -----------------------------------------------------------------------------------------------------------


def _sidecar_probes(one: Object, cluster: Defaults) -> Faults:
    for name in PROBES:
        if name not in one:
            continue
        if not cluster.enables(PROBING):
            message = f"a container without a port may have no probe; it {_off(PROBING)}"
            yield Fault("sidecar-probe", (name,), message, PROBING)
        else:
            yield from below((name,), _handler(one[name], None))
            if name == "readinessProbe":
                yield from below((name,), _readiness(one[name]))


def _probes(one: Object, port_name: str) -> Faults:
    for name in PROBES:
        probe = one.get(name)
        if probe is None:
            continue
        if name == "readinessProbe":
            yield from below((name,), _readiness(probe))
            if not any(handler in probe for handler in HANDLERS):
                continue  # Defaulting gives it a tcpSocket.
        yield from below((name,), _handler(probe, port_name))


def _handler(probe: Object, port_name: str | None) -> Faults:
    handlers = [handler for handler in HANDLERS if handler in probe]
    if not handlers:
        yield Fault("probe-handler", (), "has no handler (one of httpGet, tcpSocket, exec, grpc)")
    elif len(handlers) > 1:
        yield Fault("probe-handler", (), "has several handlers (one of tcpSocket, httpGet, grpc, exec)")
    for handler in ("httpGet", "tcpSocket"):
        if handler not in probe:
            continue
        port = probe[handler].get("port", 0)
        if port_name is None:
            if port in {0, ""}:
                yield Fault("probe-port", (handler, "port"), "is missing (a container without a port names one)")
        elif isinstance(port, str) and port not in {"", port_name}:
            yield Fault("probe-port", (handler, "port"), f"{port!r} is not the container's port ({port_name})")


def _readiness(probe: Object) -> Faults:
    period = probe.get("periodSeconds", 0)
    yield from field_faults("knative-readiness", probe)
    for key in ("failureThreshold", "timeoutSeconds"):
        value = probe.get(key, 0)
        if period == 0 and value != 0:
            message = f"{key} needs periodSeconds: without it Knative probes as often as it can, and refuses this field"
            yield Fault("probe-without-period", (key,), message)
        elif period and value < 0:
            yield Fault("probe-number", (key,), f"{value} is below 1")
