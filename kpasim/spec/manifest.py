"""Knative Service manifests.

Read with line numbers, checked as Knative's webhooks check them, and written back with nothing changed but what was
set.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode

from kpasim.errors import ExperimentError, Problem
from kpasim.spec.autoscaler import (
    KPA,
    PREFIX,
    PROGRESS_DEADLINE,
    SPELLINGS,
    AutoscalerConfig,
    RevisionSettings,
    resolve,
    text_of,
    validate_annotations,
)
from kpasim.spec.base import Place, dotted, line_of, show, suggestion
from kpasim.spec.configmaps import CONFIG_MAPS as CONFIG_MAPS  # noqa: PLC0414 - where kpasim.cluster looks for it
from kpasim.spec.configmaps import Defaults, not_text
from kpasim.spec.goparse import parse_duration
from kpasim.spec.quantities import quantity
from kpasim.spec.yamledit import edited, put
from kpasim.spec.yamlfile import Document, bounded_yaml, node_at, parse_documents, read_text

ECI_SPECS = "k8s.aliyun.com/eci-use-specs"
"""Annotation that lists instance types, in the order they are tried."""
MOST_ECI_SPECS = 5
"""How many of them are tried."""
AFFINITY = "serving.knative.dev.alibabacloud/affinity"
"""Annotation that asks the gateway for session affinity; `cookie` is the only value."""
TEMPLATE_ANNOTATIONS: Place = ("spec", "template", "metadata", "annotations")
TEMPLATE_SPEC: Place = ("spec", "template", "spec")

_GPU = "nvidia.com/gpu"
_AFFECTS_TIMING = (
    "initContainers", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName",
    "runtimeClassName", "schedulerName", "hostNetwork", "volumes",
)  # fmt: skip
_YAML_1_1_BOOLEANS = re.compile(r"[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")


@dataclass(frozen=True, slots=True)
class Probe:
    """A readiness probe. `period_s` is 0 where the manifest gives none: Knative then probes eagerly."""

    kind: Literal["tcp", "http", "grpc", "exec"] = "tcp"
    period_s: float = 0.0
    timeout_s: float = 1.0
    failure_threshold: int = 3
    success_threshold: int = 1
    initial_delay_s: float = 0.0


@dataclass(frozen=True)
class ServiceManifest:
    """A Knative Service as its author wrote it, and what follows from it.

    Attributes:
        name: `metadata.name`.
        namespace: `metadata.namespace`, `default` where not given.
        annotations: Annotations of the revision template.
        metadata_annotations: Annotations of the Service itself.
        container_concurrency: Hard limit of requests per pod, 0 for none.
        timeout_s: Longest time of a request, also the pod's termination grace period.
        response_start_timeout_s: Longest time to the first byte, None for no limit of its own.
        idle_timeout_s: Longest time between two bytes, None for no limit.
        probe: The readiness probe of the main container.
        startup_probe: The startup probe of the main container, or else of another one; None without any. It forbids the
            activator early use of a pod.
        gpus: `nvidia.com/gpu` limit of all containers together.
        cpus: CPUs that all containers ask for together: their requests, or their limits where they have no request.
        image: Image of the main container.
        unmodelled: Fields that are present, could matter, and are not simulated.
        revision: The autoscaler's settings of the revision.
        pod_is_always_schedulable: Whether a pod that cannot be scheduled leaves the revision available.
        path: File, empty for a manifest that is part of an experiment.
        data: The Service as plain mappings.
        edits: Values set since the file was read, as places in `data`.
    """

    name: str
    namespace: str
    annotations: dict[str, str]
    metadata_annotations: dict[str, str]
    container_concurrency: int
    timeout_s: float
    response_start_timeout_s: float | None
    idle_timeout_s: float | None
    probe: Probe
    startup_probe: Probe | None
    gpus: int
    cpus: float
    image: str
    unmodelled: tuple[str, ...]
    revision: RevisionSettings
    pod_is_always_schedulable: bool
    path: str
    data: dict[str, Any] = field(repr=False)
    edits: tuple[tuple[Place, Any], ...] = ()
    source: Document | None = field(default=None, repr=False, compare=False)
    prefix: Place = field(default=(), repr=False)

    @property
    def document(self) -> Any:
        """The Service as ruamel.yaml loads it for a round trip, comments included; edits are in it."""
        loader = bounded_yaml()
        loader.preserve_quotes = True
        documents = [document for document in loader.load_all(self.to_yaml()) if document is not None]
        return documents[self._index()]

    @property
    def eci_specs(self) -> tuple[str, ...]:
        """Instance types that the pod asks for, in the order they are tried."""
        return tuple(word.strip() for word in self.annotations.get(ECI_SPECS, "").split(",") if word.strip())

    @property
    def cookie_affinity(self) -> bool:
        """Whether the gateway is asked to keep a client at its backend."""
        return "cookie" in {self.annotations.get(AFFINITY), self.metadata_annotations.get(AFFINITY)}

    def annotation(self, name: str) -> str | None:
        """Text of a template annotation, by its short name (`max-scale`, any spelling) or its full key."""
        return self.annotations.get(annotation_key(self.annotations, name))

    def line(self, *place: str | int) -> int | None:
        """Line of a place of the Service in its file."""
        return line_of((*self.prefix, *place), self.source.lines if self.source else {})

    def to_yaml(self) -> str:
        """The file with all edits; byte for byte the one that was read where there are none."""
        if self.source is None or self.prefix:
            out = io.StringIO()
            writer = YAML(typ="rt", pure=True)
            writer.width = 2**31
            writer.dump(self.data, out)
            return out.getvalue()
        return edited(self.source.text, self._index(), self.edits)

    def _index(self) -> int:
        """Which document of its file the Service is."""
        if self.source is None or self.prefix:
            return 0
        documents = parse_documents(self.source.text, self.path)
        return next(index for index, one in enumerate(documents) if one.lines[()] == self.source.lines[()])

    def with_edits(
        self, edits: Sequence[tuple[Place, Any]], config: AutoscalerConfig, defaults: Defaults
    ) -> ServiceManifest:
        """The Service with values set (None removes), checked anew.

        Raises:
            ExperimentError: Knative would refuse it.
        """
        data = self.data
        for place, value in edits:
            data = _with(data, place, value)
        merged = tuple(edit for edit in self.edits if edit[0] not in {place for place, _ in edits}) + tuple(edits)
        service = _read(
            data, self.path or (self.source.path if self.source else ""), config, defaults, self.source, self.prefix
        )
        return replace(service, edits=merged, path=self.path)


def _with(data: Any, place: Place, value: Any) -> Any:
    """A copy that shares everything but the mappings on the way to the place."""
    if not place:
        return value
    head, *rest = place
    if isinstance(data, list) and isinstance(head, int):
        return [_with(one, tuple(rest), value) if index == head else one for index, one in enumerate(data)]
    copy = dict(data or {})
    if rest:
        copy[str(head)] = _with(copy.get(str(head)), tuple(rest), value)
    else:
        put(copy, (head,), value)
    return copy


def annotation_key(annotations: Mapping[str, str], name: str) -> str:
    """The full key of a template annotation, in its author's own spelling.

    An annotation that is absent is spelt as the others are: `minScale` beside `maxScale`, `min-scale` otherwise.

    Args:
        annotations: Annotations that are there.
        name: Short name in any spelling, or a full key, which is taken as it is where it is not an autoscaling one.

    Raises:
        ValueError: A short name that Knative does not know; the message suggests one.
    """
    short = name.removeprefix(PREFIX)
    spellings = next((keys for keys in SPELLINGS.values() if PREFIX + short in keys), None)
    if spellings is None:
        if "/" in name:
            return name
        raise ValueError(f"unknown annotation ({suggestion(name, SPELLINGS) or 'write its full key'})")
    for key in spellings:
        if key in annotations:
            return key
    kebab = {keys[0] for keys in SPELLINGS.values() if len(keys) > 1} & set(annotations)
    camel = {keys[-1] for keys in SPELLINGS.values() if len(keys) > 1} & set(annotations)
    return spellings[-1] if camel and not kebab else spellings[0]


def setting_place(service: ServiceManifest, name: str) -> Place:
    """Where in a Service a setting stands that is named like `annotations.max-scale` or `containerConcurrency`.

    Raises:
        ValueError: There is no such setting; the message says which there are.
    """
    if name.startswith("annotations."):
        return (*TEMPLATE_ANNOTATIONS, annotation_key(service.annotations, name.removeprefix("annotations.")))
    head, _, rest = name.partition(".")
    if name in _FIELDS:
        return (*TEMPLATE_SPEC, name)
    if head == "readinessProbe" and rest in _PROBE_FIELDS:
        return (*TEMPLATE_SPEC, "containers", _main(service.data["spec"]["template"]["spec"]["containers"]), head, rest)
    known = ["annotations.max-scale", *_FIELDS, *(f"readinessProbe.{word}" for word in _PROBE_FIELDS)]
    hint = suggestion(name, known)
    raise ValueError(f"unknown setting ({hint})" if hint else "unknown setting")


def setting_value(place: Place, value: Any) -> Any:
    """A value as it is written at a place: text for an annotation, a whole number for a field."""
    if value is None:
        return None
    if place[: len(TEMPLATE_ANNOTATIONS)] == TEMPLATE_ANNOTATIONS:
        return text_of(value)
    if isinstance(value, float) and value == int(value):
        return int(value)
    return value


# --- reading ----------------------------------------------------------------------------------------------------------


def read_service(path: str | Path, config: AutoscalerConfig, defaults: Defaults | None = None) -> ServiceManifest:
    """The first Knative Service of a YAML file.

    Raises:
        ExperimentError: Not YAML, no Service in it, or a Service that Knative would refuse.
    """
    text = read_text(path)
    found = parse_documents(text, path)
    for document in found:
        if _is_service(document.data):
            return _read(document.data, str(path), config, defaults or Defaults(), document, ())
    holds = [one.data for one in found if isinstance(one.data, dict)]
    named = [one for one in holds if "apiVersion" in one or "kind" in one]
    kinds = sorted({" ".join(_word(one.get(key)) for key in ("apiVersion", "kind")) for one in named})
    other = (
        "it is an experiment" if any({"service", "workload"} <= one.keys() for one in holds) else "it is no manifest"
    )
    has = f"it holds {', '.join(kinds)}" if kinds else "it is empty" if not found else other
    wanted = "apiVersion serving.knative.dev/v1, kind Service"
    if any(one.get("kind") == "InferenceService" for one in named):
        wanted = f"the {wanted} that KServe makes of it, which kubectl get ksvc -o yaml prints"
    raise ExperimentError(
        path,
        [Problem("", f"holds no Knative Service ({has}; wanted: {wanted})", 1)],
    )


def service_of(
    data: Mapping[str, Any],
    config: AutoscalerConfig,
    defaults: Defaults | None = None,
    *,
    source: Document | None = None,
    prefix: Place = (),
) -> ServiceManifest:
    """A Knative Service given as a mapping.

    Args:
        data: The manifest.
        config: The cluster's `config-autoscaler`.
        defaults: The cluster's other settings.
        source: Document the mapping is part of, for lines in messages.
        prefix: Where in that document it stands.

    Raises:
        ExperimentError: Knative would refuse it.
    """
    path = source.path if source else "service"
    if not _is_service(data):
        has = f"apiVersion {show(data.get('apiVersion'))}, kind {show(data.get('kind'))}"
        line = line_of(prefix, source.lines if source else {})
        message = f"is not a Knative Service (has {has}; wanted: apiVersion serving.knative.dev/v1, kind Service)"
        raise ExperimentError(path, [Problem(dotted(prefix), message, line)])
    service = _read(dict(data), path, config, defaults or Defaults(), source, prefix)
    return replace(service, path="")


def _word(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else show(value)


def _is_service(data: Any) -> bool:
    return (
        isinstance(data, Mapping)
        and data.get("kind") == "Service"
        and str(data.get("apiVersion", "")).startswith("serving.knative.dev/")
    )


class _Checker:
    """Takes values out of a manifest and remembers what is wrong with them."""

    def __init__(self, data: Any, source: Document | None, prefix: Place) -> None:
        self._data = data
        self._lines = source.lines if source else {}
        self._node = source.node if source else None
        self._prefix = prefix
        self.problems: list[Problem] = []

    def wrong(self, place: Place, message: str) -> None:
        full = self._prefix + place
        self.problems.append(Problem(dotted(full), message, line_of(full, self._lines)))

    def get(self, place: Place) -> Any:
        """The value at a place, None where there is none."""
        data = self._data
        for part in place:
            if isinstance(data, Mapping):
                data = data.get(str(part))
            elif isinstance(data, list) and isinstance(part, int) and part < len(data):
                data = data[part]
            else:
                return None
        return data

    def mapping(self, place: Place, *, required: bool = False) -> Mapping[str, Any]:
        value = self.get(place)
        if isinstance(value, Mapping):
            return value
        if value is not None:
            self.wrong(place, f"{show(value)} is not right (must be a mapping)")
        elif required:
            self.wrong(place, "is missing (a Service has one)")
        return {}

    def text(self, place: Place, default: str = "") -> str:
        value = self.get(place)
        if value is None:
            return default
        if not isinstance(value, str):
            self.wrong(place, f"{show(value)} is not text (put it in quotes)")
            return default
        return value

    def whole(self, place: Place, low: int, high: int, default: int) -> int:
        value = self.get(place)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(place, f"{show(value)} is not a whole number (must be in [{low}, {high}])")
            return default
        if not low <= value <= high:
            self.wrong(place, f"{value} is out of range (must be in [{low}, {high}])")
            return default
        return value

    def annotations(self, place: Place) -> dict[str, str]:
        result = {}
        for key, value in self.mapping(place).items():
            # Kubernetes reads YAML 1.1, in which a bare `on` or `no` is a boolean.
            if isinstance(value, str) and not (_YAML_1_1_BOOLEANS.fullmatch(value) and self._bare((*place, key))):
                result[key] = value
            else:
                self.wrong((*place, key), not_text(value))
        return result

    def _bare(self, place: Place) -> bool:
        """Whether a scalar stands in its file without quotes."""
        node = node_at(self._node, self._prefix + place)
        return isinstance(node, ScalarNode) and not node.style


_INT32 = 2**31 - 1
_FIELDS = ("containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds")
_PROBE_FIELDS = ("periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold", "initialDelaySeconds")
_PROBE_KINDS: dict[str, Literal["tcp", "http", "grpc", "exec"]] = {
    "tcpSocket": "tcp",
    "httpGet": "http",
    "grpc": "grpc",
    "exec": "exec",
}


def _main(containers: Any) -> int:
    """Index of the container that takes the requests: the one with a port, or the first."""
    return next((index for index, one in enumerate(containers) if isinstance(one, Mapping) and one.get("ports")), 0)


def _read(
    data: dict[str, Any],
    path: str,
    config: AutoscalerConfig,
    defaults: Defaults,
    source: Document | None,
    prefix: Place,
) -> ServiceManifest:
    check = _Checker(data, source, prefix)
    check.mapping(("metadata",), required=True)
    check.mapping(("spec", "template"), required=True)
    name = check.text(("metadata", "name"))
    if not name and check.get(("metadata",)):
        check.wrong(("metadata", "name"), "is missing (a Service has a name)")
    metadata_annotations = check.annotations(("metadata", "annotations"))
    for key in metadata_annotations:
        if key.startswith(PREFIX):
            check.wrong(
                ("metadata", "annotations", key),
                "is refused by Knative here, where it would do nothing (move it to spec.template.metadata.annotations)",
            )
    annotations = check.annotations(TEMPLATE_ANNOTATIONS)
    for problem in validate_annotations(annotations, config):
        check.wrong((*TEMPLATE_ANNOTATIONS, problem.place), problem.message)
    _check_deadline(check, annotations)
    concurrency = check.whole(
        (*TEMPLATE_SPEC, "containerConcurrency"),
        0,
        defaults.container_concurrency_max_limit,
        defaults.container_concurrency,
    )
    if concurrency == 0 and not defaults.allow_container_concurrency_zero:
        check.wrong(
            (*TEMPLATE_SPEC, "containerConcurrency"),
            "0 is forbidden by allow-container-concurrency-zero (must be at least 1)",
        )
    timeout_s = (
        float(check.whole((*TEMPLATE_SPEC, "timeoutSeconds"), 0, int(defaults.max_timeout_s), 0)) or defaults.timeout_s
    )
    response_start, idle = (
        _limit(check, name, default_s, timeout_s)
        for name, default_s in (
            ("responseStartTimeoutSeconds", defaults.response_start_timeout_s),
            ("idleTimeoutSeconds", defaults.idle_timeout_s),
        )
    )
    containers = check.get((*TEMPLATE_SPEC, "containers"))
    if not isinstance(containers, list) or not containers or not all(isinstance(one, Mapping) for one in containers):
        check.wrong(
            (*TEMPLATE_SPEC, "containers"),
            "is missing (list one container)" if not containers else "is not a list of containers",
        )
        containers = []
    main = (*TEMPLATE_SPEC, "containers", _main(containers))
    result = ServiceManifest(
        name=name,
        namespace=check.text(("metadata", "namespace"), "default"),
        annotations=annotations,
        metadata_annotations=metadata_annotations,
        container_concurrency=concurrency,
        timeout_s=timeout_s,
        response_start_timeout_s=response_start,
        idle_timeout_s=idle,
        probe=_probe(check, (*main, "readinessProbe")),
        startup_probe=_startup_probe(check, containers, _main(containers)),
        gpus=_gpus(check, containers),
        cpus=_cpus(check, containers),
        image=check.text((*main, "image")),
        unmodelled=_unmodelled(check, containers, _main(containers)),
        revision=resolve(annotations, config, concurrency, progress_deadline_s=defaults.progress_deadline_s),
        pod_is_always_schedulable=defaults.pod_is_always_schedulable,
        path=path,
        data=data,
        source=source,
        prefix=prefix,
    )
    if config.pod_autoscaler_class != KPA and SPELLINGS["class"][0] not in annotations:
        result = replace(result, revision=replace(result.revision, class_name=config.pod_autoscaler_class))
    if check.problems:
        raise ExperimentError(path, sorted(check.problems, key=lambda problem: problem.line or 0))
    return result


def _check_deadline(check: _Checker, annotations: Mapping[str, str]) -> None:
    text = annotations.get(PROGRESS_DEADLINE)
    if text is None:
        return
    place = (*TEMPLATE_ANNOTATIONS, PROGRESS_DEADLINE)
    try:
        value = parse_duration(text)
    except ValueError:
        check.wrong(place, f"{text!r} is not a duration as Go reads it (write 600s or 10m)")
        return
    if value <= 0 or value % 1_000_000_000:
        check.wrong(place, f"{text} is out of range (must be whole seconds above 0)")


def _limit(check: _Checker, name: str, default_s: float, timeout_s: float) -> float | None:
    """A limit within timeoutSeconds: 0 is none, and the cluster's default counts only where it is the smaller one."""
    place = (*TEMPLATE_SPEC, name)
    if check.get(place) is None:
        return default_s if 0 < default_s < timeout_s else None
    return float(check.whole(place, 0, int(timeout_s), 0)) or None


def _probe(check: _Checker, place: Place) -> Probe:
    probe = check.mapping(place)
    kinds = [kind for key, kind in _PROBE_KINDS.items() if key in probe]
    if len(kinds) > 1:
        check.wrong(place, "has several handlers (one of tcpSocket, httpGet, grpc, exec)")
    default = Probe()
    return Probe(
        kind=kinds[0] if kinds else "tcp",
        period_s=float(check.whole((*place, "periodSeconds"), 0, _INT32, 0)),
        timeout_s=float(check.whole((*place, "timeoutSeconds"), 0, _INT32, 1)) or default.timeout_s,
        failure_threshold=check.whole((*place, "failureThreshold"), 0, _INT32, 3) or default.failure_threshold,
        success_threshold=check.whole((*place, "successThreshold"), 0, _INT32, 1) or default.success_threshold,
        initial_delay_s=float(check.whole((*place, "initialDelaySeconds"), 0, _INT32, 0)),
    )


def _startup_probe(check: _Checker, containers: Sequence[Any], main: int) -> Probe | None:
    holders = [index for index, one in enumerate(containers) if one.get("startupProbe")]
    if not holders:
        return None
    index = main if main in holders else holders[0]
    return _probe(check, (*TEMPLATE_SPEC, "containers", index, "startupProbe"))


def _gpus(check: _Checker, containers: Sequence[Any]) -> int:
    total = 0
    for index in range(len(containers)):
        place = (*TEMPLATE_SPEC, "containers", index, "resources", "limits", _GPU)
        value = check.get(place)
        if value is None:
            continue
        try:
            number = quantity(value)
        except ValueError as err:
            check.wrong(place, f"{show(value)} {err}")
            continue
        if number != int(number) or number < 0:
            check.wrong(place, f"{show(value)} is not a whole number of GPUs")
            continue
        total += int(number)
    return total


def _cpus(check: _Checker, containers: Sequence[Any]) -> float:
    total = 0.0
    for index in range(len(containers)):
        resources = (*TEMPLATE_SPEC, "containers", index, "resources")
        for kind in ("requests", "limits"):
            value = check.get((*resources, kind, "cpu"))
            if value is None:
                continue
            try:
                total += quantity(value)
            except ValueError as err:
                check.wrong((*resources, kind, "cpu"), f"{show(value)} {err}")
            break
    return total


def _unmodelled(check: _Checker, containers: Sequence[Any], main: int) -> tuple[str, ...]:
    """Fields that could change a run and are not simulated."""
    found = [f"spec.template.spec.{key}" for key in _AFFECTS_TIMING if check.get((*TEMPLATE_SPEC, key))]
    found += [f"spec.template.spec.containers[{index}]" for index in range(len(containers)) if index != main]
    for key in ("livenessProbe", "lifecycle"):
        found += [f"spec.template.spec.containers[{index}].{key}" for index, one in enumerate(containers) if key in one]
    traffic = check.get(("spec", "traffic"))
    if isinstance(traffic, list) and len(traffic) > 1:
        found.append("spec.traffic")
    return tuple(found)
