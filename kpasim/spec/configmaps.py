"""ConfigMaps of a cluster: found in YAML files, and what they mean for a Service.

`config-autoscaler` is read in `kpasim.spec.autoscaler`; `config-defaults`, `config-deployment`, `config-features` and
KServe's `inferenceservice-config` are read here, with the bounds of Knative's webhook.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from kpasim.errors import ExperimentError
from kpasim.spec import gotemplate, names
from kpasim.spec.autoscaler import AutoscalerConfig, parse_config, read_data, reader, text_of
from kpasim.spec.base import Lines, Place, line_of, mapping_of, not_right, problem_at, show, value_at
from kpasim.spec.goparse import format_float, parse_bool, parse_duration, parse_int
from kpasim.spec.objects import Object, objects_in
from kpasim.spec.operator import KNATIVE_SERVING, activators_place
from kpasim.spec.quantities import amount, duration_text
from kpasim.spec.servingruntime import KINDS, kept
from kpasim.spec.yamlfile import Document, is_text, node_at, packaged, parse_documents, read_text

KSERVE_CONFIG = "inferenceservice-config"
"""KServe's own ConfigMap."""
RUNTIMES = "serving-runtimes"
"""Key of KServe's ConfigMap here: the ServingRuntimes beside it, as `kpasim.spec.servingruntime` keeps them."""


@dataclass(frozen=True, slots=True)
class KServeConfig:
    """What KServe's `inferenceservice-config` says, and the ServingRuntimes of the cluster.

    `disallowed_annotations` are those that KServe does not hand down to the revision; `deployment_mode` is the mode of
    an InferenceService that names none; `resources` holds requests and limits of a predictor's own container that
    names none, as in `Defaults`; `runtimes` is the JSON of what `servingruntime.kept` returns; `keda_windows_s` holds
    the stabilisation windows that KServe gives KEDA's HPA, by direction (`scaleUp`, `scaleDown`).
    """

    disallowed_annotations: tuple[str, ...] = ("autoscaling.knative.dev/min-scale", "autoscaling.knative.dev/max-scale")
    deployment_mode: str = "Knative"
    resources: tuple[tuple[tuple[str, str], str], ...] = ()
    runtimes: str = "[]"
    keda_windows_s: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Defaults:
    """What `config-defaults`, `config-deployment`, `config-features` and KServe's `inferenceservice-config` say.

    `features` is None where the cluster's `config-features` is not known; `resources` holds requests and limits of
    containers that name none, as `(("requests", "cpu"), "1")`.
    """

    container_concurrency: int = 0
    container_concurrency_max_limit: int = 1000
    allow_container_concurrency_zero: bool = True
    timeout_s: float = 300.0
    max_timeout_s: float = 600.0
    response_start_timeout_s: float = 300.0
    idle_timeout_s: float = 0.0
    enable_service_links: bool | None = False
    resources: tuple[tuple[tuple[str, str], str], ...] = ()
    templates: tuple[tuple[str, str], ...] = (
        ("container-name-template", "user-container"),
        ("init-container-name-template", "init-container"),
    )
    progress_deadline_s: float = 600.0
    pod_is_always_schedulable: bool = False
    features: tuple[tuple[str, str], ...] | None = None
    kserve: KServeConfig = KServeConfig()

    def feature(self, key: str) -> str:
        """A flag of `config-features`: `Enabled`, `Allowed`, `Disabled`, or `AllowRootBounded`."""
        return dict(self.features or ()).get(key) or FEATURES[key]

    def allows(self, feature: str) -> bool:
        """Whether a feature is not disabled: a masked field may then be set."""
        return self.feature(feature) != "Disabled"

    def enables(self, feature: str) -> bool:
        """Whether a feature is enabled."""
        return self.feature(feature) == "Enabled"

    @property
    def is_secure(self) -> bool:
        """Whether containers get the restricted profile."""
        return self.feature("secure-pod-defaults") in {"Enabled", "AllowRootBounded"}

    def container_name(self, key: str, service: str) -> str:
        """Name of a container that has none, by one of the two templates."""
        return gotemplate.execute(dict(self.templates)[key], {"Name": service})


def not_text(value: Any) -> str:
    """What to say about a value that Kubernetes takes for something else than text."""
    try:
        text = text_of(value)
    except ValueError:
        text = "..."
    return f'{show(value)} is not text, and Kubernetes refuses it (put it in quotes: "{text}")'


class ConfigMap(NamedTuple):
    """A ConfigMap of a cluster, or what stands in for one.

    Attributes:
        name: Such as `config-autoscaler`.
        prefix: Where in the document the data stand.
    """

    name: str
    data: dict[str, Any]
    annotations: dict[str, str]
    document: Document
    prefix: Place

    def line(self, key: str) -> int | None:
        """Line of a key of its data."""
        return line_of((*self.prefix, key), self.document.lines)


def config_maps_in(path: str | Path) -> tuple[list[ConfigMap], list[Document]]:
    """The ConfigMaps of a YAML file, and its documents.

    ConfigMaps stand by themselves, in Lists, or in the `spec.config` of a KnativeServing of Knative's operator, whose
    keys may leave out `config-`.

    Raises:
        ExperimentError: Not YAML, or data that are not text.
    """
    documents = parse_documents(read_text(path), path)
    found = [one for each in objects_in(documents) for one in _config_maps(each)]
    problems = [
        problem_at((*one.prefix, key), not_text(value), one.document.lines)
        for one in found
        for key, value in one.data.items()
        if not is_text(value, node_at(one.document.node, (*one.prefix, key)))
    ]
    if problems:
        raise ExperimentError(path, problems)
    return found, documents


def _config_maps(one: Object) -> Iterator[ConfigMap]:
    """ConfigMaps that an object of Kubernetes holds."""

    def data_at(place: Place) -> dict[str, Any]:
        value = value_at(one.data, place)
        if value is not None and not isinstance(value, dict):
            raise one.error(place, not_right(value, "a mapping"))
        return value or {}

    if one.kind == "ConfigMap":
        annotations = data_at(("metadata", "annotations"))
        yield ConfigMap(one.name, data_at(("data",)), annotations, one.document, (*one.prefix, "data"))
    elif one.kind == KNATIVE_SERVING:
        keys = list(map(str, data_at(("spec", "config"))))
        # Without it the cluster has Knative's defaults.
        for key in (*keys, *({"autoscaler"} - {one.removeprefix("config-") for one in keys})):
            place = ("spec", "config", key)
            name = f"config-{key.removeprefix('config-')}"
            yield ConfigMap(name, data_at(place), {}, one.document, (*one.prefix, *place))


def read_config_map(path: str | Path, name: str) -> ConfigMap:
    """A ConfigMap of a YAML file, by its name, or of a file that holds nothing but its data.

    Raises:
        ExperimentError: Not YAML, or no such ConfigMap in it.
    """
    maps, documents = config_maps_in(path)
    if not maps and len(documents) == 1 and isinstance(documents[0].data, dict) and "kind" not in documents[0].data:
        return ConfigMap(name, documents[0].data, {}, documents[0], ())
    chosen = next((one for one in maps if one.name == name), None) or next((one for one in maps if not one.name), None)
    if chosen is None:
        has = f"; it holds {', '.join(one.name for one in maps)}" if maps else ""
        raise ExperimentError.of(path, f"holds no ConfigMap {name} (kind: ConfigMap, metadata.name: {name}{has})", 1)
    return chosen._replace(name=name)


class ClusterFiles(NamedTuple):
    """What files say of a cluster.

    Attributes:
        maps: The ConfigMaps that matter, by name; ServingRuntimes are in KServe's.
    """

    maps: dict[str, ConfigMap]
    objects: list[Object]


def read_cluster_config(paths: Iterable[str | Path]) -> ClusterFiles:
    """What any mix of files says of a cluster.

    Raises:
        ExperimentError: A file that holds none of them, or one that is given twice.
    """
    found: dict[str, ConfigMap] = {}
    objects: list[Object] = []
    runtimes: list[tuple[dict[str, Any], Document]] = []
    for path in paths:
        maps, documents = config_maps_in(path)
        known = [one for one in maps if one.name in CLUSTER_MAPS]
        there = objects_in(documents)
        objects += there
        counts = any(activators_place(one) for one in there)
        held = [(kept(one.data), one.document) for one in there if one.kind in KINDS]
        runtimes += held
        if not (known or held or counts):
            has = f" (it holds {', '.join(one.name for one in maps)})" if maps else ""
            message = f"holds none of the ConfigMaps that matter{has}; wanted: {', '.join(CLUSTER_MAPS)}"
            raise ExperimentError.of(path, message, 1)
        for one in known:
            before = found.get(one.name)
            if before is not None and one.data.items() <= before.data.items():
                continue  # as a KnativeServing says part of what its ConfigMaps hold
            if before is not None and not before.data.items() <= one.data.items():
                where = f"{before.document.path}:{line_of(before.prefix, before.document.lines)}"
                raise one.document.error(one.prefix, f"{one.name} is given twice (first in {where}; keep one)")
            found[one.name] = one
    if runtimes:
        own = found.get(KSERVE_CONFIG) or ConfigMap(KSERVE_CONFIG, {}, {}, runtimes[0][1], ())
        data = {**own.data, RUNTIMES: json.dumps([runtime for runtime, _ in runtimes])}
        found[KSERVE_CONFIG] = own._replace(data=data)
    return ClusterFiles(found, objects)


def _quantity(text: str) -> str:
    amount(text)
    return text


def _json(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(text)
    dropped = value.get("serviceAnnotationDisallowedList") or []
    if not (isinstance(dropped, list) and all(isinstance(one, str) for one in dropped)):
        raise ValueError(text)
    return value


_DATA = packaged("configmaps.toml")
FEATURES: dict[str, str] = {key: flag for flag, keys in _DATA["config-features"].items() for key in keys.split()}
"""Keys of `config-features`, with the flags Knative ships."""
_RESOURCES = {
    f"revision-{resource}-{bound}": (f"{bound}s", resource)
    for resource in ("cpu", "memory", "ephemeral-storage")
    for bound in ("request", "limit")
}
_KSERVE_RESOURCES = {
    f"{resource}{bound.capitalize()}": (f"{bound}s", resource)
    for resource in ("cpu", "memory")
    for bound in ("request", "limit")
}
_TEMPLATES = ("container-name-template", "init-container-name-template")
_PARSERS: dict[str, Callable[[str], Any]] = {
    "int": parse_int, "bool": parse_bool, "text": str, "json": _json, "quantity": _quantity,
    "template": gotemplate.check, "duration": lambda text: parse_duration(text) / 1e9,
    "seconds": lambda text: float(parse_int(text)),
    "three-states": lambda text: {"true": True, "false": False}.get(text.lower()),
}  # fmt: skip


def _keys(name: str) -> dict[str, tuple[str, Callable[[str], Any]]]:
    """Keys of a ConfigMap, each with the field of `Defaults` that holds its value, if any, and what parses it."""
    named = ((reader, key.partition("=")) for reader, keys in _DATA[name].items() for key in keys.split())
    return {key: (attribute, _PARSERS[reader]) for reader, (key, _, attribute) in named}


CONFIG_MAPS: dict[str, dict[str, tuple[str, Callable[[str], Any]]]] = {
    "config-defaults": _keys("config-defaults"),
    "config-deployment": _keys("config-deployment"),
    "config-features": dict.fromkeys(FEATURES, ("", str)),
    KSERVE_CONFIG: {**_keys(KSERVE_CONFIG), RUNTIMES: ("", str)},
}
"""Keys of the other ConfigMaps of a cluster that are read: three of Knative's, and KServe's own."""
CLUSTER_MAPS = ("config-autoscaler", *CONFIG_MAPS)
"""Every ConfigMap that matters."""
RUN_KEYS = {
    name: [key for key, (attribute, _) in keys.items() if attribute.endswith(("_s", "concurrency", "schedulable"))]
    for name, keys in CONFIG_MAPS.items()
    if name not in {"config-features", KSERVE_CONFIG}
}
"""Keys of these ConfigMaps that a run depends on."""


@dataclass(frozen=True)
class ClusterConfig:
    """What the ConfigMaps of a cluster say; Knative's defaults where it is not known.

    Attributes:
        autoscaler: Of `config-autoscaler`.
        defaults: Of the others.
        maps: The ConfigMaps that were read.
    """

    autoscaler: AutoscalerConfig = field(default_factory=AutoscalerConfig)
    defaults: Defaults = Defaults()
    maps: tuple[ConfigMap, ...] = ()


def cluster_of(paths: Iterable[str | Path]) -> ClusterConfig:
    """The configuration of a cluster from any mix of files.

    Raises:
        ExperimentError: As `read_cluster_config`; a value that Knative would refuse.
    """
    maps = read_cluster_config(paths).maps
    config = ClusterConfig(maps=tuple(maps.values()))
    for name in filter(maps.get, CLUSTER_MAPS):
        config = taken(config, maps[name])
    return config


def taken(config: ClusterConfig, one: ConfigMap, *, strict: bool = False) -> ClusterConfig:
    """The configuration with what a ConfigMap says; ``strict`` refuses keys that do not matter here.

    Raises:
        ExperimentError: A value that Knative would refuse.
    """
    where: dict[str, Any] = {"path": one.document.path, "lines": one.document.lines, "prefix": one.prefix}
    if one.name == "config-autoscaler":
        return replace(config, autoscaler=parse_config(one.data, strict=strict, **where))
    return replace(config, defaults=parse_defaults(config.defaults, one.name, one.data, strict=strict, **where))


def parse_defaults(
    defaults: Defaults,
    name: str,
    data: Mapping[str, Any],
    *,
    path: str | Path = "",
    lines: Lines | None = None,
    prefix: Place = (),
    strict: bool,
) -> Defaults:
    """Take the data of `config-defaults` or another key of `CONFIG_MAPS` into the defaults.

    ``path``, ``lines`` and ``prefix`` say in messages where the data stand. ``strict`` refuses keys that do not matter
    here.

    Raises:
        ExperimentError: A value that Knative would refuse.
    """
    readers = {
        key: reader(parse, f"cannot be read (write {_example(defaults, key, attribute)})")
        for key, (attribute, parse) in CONFIG_MAPS[name].items()
    }

    def faults(read: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        return _faults(_taken(defaults, name, read), name, read)

    read = read_data(data, readers, faults, path=path, lines=lines, prefix=prefix, strict=strict)
    return _taken(defaults, name, read)


def _example(defaults: Defaults, key: str, attribute: str) -> str:
    """A text that could be read."""
    if key in {"deploy", "inferenceService"}:
        return "a JSON object"
    if not attribute:
        return "10s" if "imeout" in key else "{{.Name}}" if key in _TEMPLATES else "500m or 1Gi"
    example = getattr(defaults, attribute)
    if isinstance(example, bool):
        return "true" if example else "false"
    return duration_text(example) if "eadline" in key else format_float(example)


def flags_of(key: str) -> tuple[str, ...]:
    """What a key of `config-features` may be, in upper or lower case."""
    return ("Enabled", "AllowRootBounded" if key == "secure-pod-defaults" else "Allowed", "Disabled")


def _taken(defaults: Defaults, name: str, read: Mapping[str, Any]) -> Defaults:
    """The defaults with the values of a ConfigMap; of two spellings the one with dashes counts."""
    if name == KSERVE_CONFIG:
        return replace(defaults, kserve=_kserve(read))
    if name == "config-features":
        flags = {}
        for key, text in read.items():
            # Knative passes over what is none of the flags.
            flags[key] = next((flag for flag in flags_of(key) if flag.lower() == text.lower()), FEATURES[key])
        return replace(defaults, features=tuple(flags.items()))
    keys = CONFIG_MAPS[name]
    ordered = [key for key in keys if key in read]
    values = {keys[key][0]: read[key] for key in ordered if keys[key][0]}
    if name == "config-defaults":
        values.setdefault("response_start_timeout_s", values.get("timeout_s", defaults.timeout_s))
        values["resources"] = tuple((place, read[key]) for key, place in _RESOURCES.items() if key in read)
        values["templates"] = tuple((key, read.get(key, text)) for key, text in defaults.templates)
    return replace(defaults, **values)


def _kserve(read: Mapping[str, Any]) -> KServeConfig:
    """What `inferenceservice-config` says; its list of annotations is added to KServe's own.

    Source:
        kserve/kserve@aaac4e2, pkg/apis/serving/v1beta1/configmap.go
    """
    config = KServeConfig()
    further = read.get("inferenceService", {}).get("serviceAnnotationDisallowedList") or ()
    mode = read["deploy"].get("defaultDeploymentMode", "Standard") if "deploy" in read else config.deployment_mode
    amounts = mapping_of(read.get("inferenceService", {}).get("resource"))
    resources = tuple((place, str(amounts[key])) for key, place in _KSERVE_RESOURCES.items() if amounts.get(key))
    dropped = tuple(dict.fromkeys((*config.disallowed_annotations, *further)))
    scaler = read.get("autoscaler", {})
    given_s = {one: str(scaler.get(f"{one}StabilizationWindowSeconds", "")) for one in ("scaleUp", "scaleDown")}
    windows_s = tuple((one, int(text)) for one, text in given_s.items() if text.isdecimal())
    return KServeConfig(dropped, str(mode), resources, read.get(RUNTIMES, "[]"), windows_s)


def _faults(d: Defaults, name: str, read: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Bounds that a ConfigMap breaks, each said at the keys that are there.

    Source:
        knative/serving@98e5ef9, pkg/apis/config/defaults.go, pkg/deployment/config.go
    """
    found = {"config-defaults": _defaults_faults(d), "config-deployment": _deployment_faults(d, read)}.get(name, ())
    for keys, message in found:
        yield from ((key, message) for key in keys if key in read)


def _defaults_faults(d: Defaults) -> Iterator[tuple[tuple[str, ...], str]]:
    timeout, start, idle = (f"revision-{name}timeout-seconds" for name in ("", "response-start-", "idle-"))
    if d.timeout_s > d.max_timeout_s:
        keys = (timeout, "max-revision-timeout-seconds")
        yield keys, f"{d.timeout_s:g} is above max-revision-timeout-seconds = {d.max_timeout_s:g}"
    for key, value_s in ((start, d.response_start_timeout_s), (idle, d.idle_timeout_s)):
        if value_s > 0 and value_s > d.timeout_s:
            yield (key, timeout), f"{key} = {value_s:g} is above revision-timeout-seconds = {d.timeout_s:g}"
    most = d.container_concurrency_max_limit
    if most < 1:
        yield ("container-concurrency-max-limit",), f"{most} is out of range (must be at least 1)"
    elif not 0 <= d.container_concurrency <= most:
        keys = ("container-concurrency", "container-concurrency-max-limit")
        yield keys, f"container-concurrency = {d.container_concurrency} is out of range (must be in [0, {most}])"


def _deployment_faults(d: Defaults, read: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    if d.progress_deadline_s <= 0 or d.progress_deadline_s != int(d.progress_deadline_s):
        yield (
            ("progress-deadline", "progressDeadline"),
            f"{duration_text(d.progress_deadline_s)} is out of range (must be whole seconds above 0)",
        )
    for key in ("digest-resolution-timeout", "digestResolutionTimeout"):
        if read.get(key, 1.0) <= 0:
            yield (key,), f"{duration_text(read[key])} is out of range (must be above 0s)"
    images = ("queue-sidecar-image", "queueSidecarImage")
    if not str(next((read[key] for key in images if key in read), "image")).strip():
        yield images, "is empty (must be the image of queue-proxy)"
    if read.get("default-affinity-type", "none") not in {"none", "prefer-spread-revision-over-nodes"}:
        yield ("default-affinity-type",), "must be none or prefer-spread-revision-over-nodes"
    fault = _runtime_class_fault(str(read.get("runtime-class-name", "")))
    if fault:
        yield ("runtime-class-name",), fault


def _runtime_class_fault(text: str) -> str:
    """What is wrong with the selectors of runtime classes, empty where nothing is."""
    try:
        documents = parse_documents(text, "runtime-class-name")
    except ExperimentError as error:
        return error.problems[0].message
    classes = documents[0].data if documents else {}
    if not isinstance(classes, dict):
        return "must be a mapping from the name of a class to its selector"
    for name, selector in classes.items():
        if not names.is_subdomain(name):
            return f"{name!r} is not the name of a class"
        labels = selector.get("selector") or {} if isinstance(selector, dict) else {}
        if not isinstance(selector, dict | None) or not isinstance(labels, dict):
            return f"{name}: must be a mapping with a selector"
        for key, value in labels.items():
            if not (isinstance(value, str) and names.is_qualified(key) and names.is_label_value(value)):
                return f"{name}: {key}: {show(value)} is not a label"
    return ""
