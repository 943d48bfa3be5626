"""What Knative's webhook refuses in the ConfigMaps of namespace knative-serving.

Source:
    knative/pkg@521cb33, webhook/configmaps/configmaps.go, configmap/example.go, configmap/parser/parse.go,
    observability/{metrics,runtime,tracing}/config.go, logging/config.go, leaderelection/config.go;
    knative/serving@98e5ef9, cmd/webhook/main.go, pkg/gc/config.go, pkg/observability/config.go,
    pkg/reconciler/route/config/domain.go, pkg/reconciler/certificate/config/cert_manager.go;
    knative/networking, pkg/config/config.go.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kpasim.errors import ExperimentError
from kpasim.spec import gotemplate
from kpasim.spec.autoscaler import parse_config
from kpasim.spec.configmaps import CONFIG_MAPS, KSERVE_CONFIG, Defaults, parse_defaults
from kpasim.spec.goparse import parse_bool, parse_duration, parse_float, parse_int
from kpasim.spec.webhook.decode import Decoder
from kpasim.spec.webhook.fields import Entries, Field, Fields, Items

CHECKSUM = "knative.dev/example-checksum"
"""Annotation of a ConfigMap with the checksum of its `_example`."""

Data = Mapping[str, str]
Refusals = Iterator[tuple[str, str]]
"""Keys, and what is wrong with them."""


def example_checksum(text: str) -> str:
    """The checksum that the annotation of a ConfigMap must hold for the text of its `_example`."""
    # Knative joins the lines by a backslash and an n.
    joined = "\\n".join(re.split(r"(?:\r?\n)+", text.strip()))
    return f"{zlib.crc32(joined.encode()):08x}"


def refusals(name: str, data: Data, annotations: Data) -> list[tuple[str, str]]:
    """Why the webhook refuses a ConfigMap: keys, and what is wrong with them; one that is not Knative's never is."""
    faults = []
    if name == KSERVE_CONFIG:
        return []
    known = {"config-autoscaler", *CONFIG_MAPS, *_OTHERS}
    checksum = annotations.get(CHECKSUM)
    if name in known and checksum and "_example" in data and example_checksum(data["_example"]) != checksum:
        faults.append(("_example", "was changed, which has no effect (write the key above it, directly below data)"))
    try:
        if name == "config-autoscaler":
            parse_config(data)
        elif name in CONFIG_MAPS:
            parse_defaults(Defaults(), name, data, strict=False)
    except ExperimentError as error:
        faults += [(problem.place, problem.message) for problem in error.problems]
    if name == "config-deployment" and not {"queue-sidecar-image", "queueSidecarImage"} & data.keys():
        faults.append(("queue-sidecar-image", "is missing (must be the image of queue-proxy)"))
    return [*faults, *_OTHERS.get(name, _nothing)(data)]


def _nothing(_: Data) -> Refusals:
    return iter(())


def _parsed(data: Data, key: str, parse: Callable[[str], object], what: str) -> Refusals:
    try:
        parse(data.get(key, ""))
    except ValueError:
        yield key, f"{data[key]!r} is not {what}"


def _not_negative(text: str, parse: Callable[[str], int] = parse_int) -> int:
    value = parse(text)
    if value < 0:
        raise ValueError(text)
    return value


def _off_or(parse: Callable[[str], int]) -> Callable[[str], object]:
    """Nothing, `disabled`, or a value that is not negative."""

    def read(text: str) -> None:
        if text and text.lower() != "disabled" and parse(text) < 0:
            raise ValueError(text)

    return read


def _gc(data: Data) -> Refusals:
    for key in ("retain-since-create-time", "retain-since-last-active-time"):
        yield from _parsed(data, key, lambda text: _off_or(parse_duration)(text.strip()), "a duration or disabled")
    most, least = "max-non-active-revisions", "min-non-active-revisions"
    wrong = [*_parsed(data, most, lambda text: _off_or(_not_negative)(text.strip()), "a whole number or disabled")]
    if least in data:
        wrong += _parsed(data, least, _not_negative, "a whole number of at least 0")
    yield from wrong
    text = data.get(most, "").strip()
    if not wrong and text.lower() != "disabled":
        upper, lower = int(text or "1000"), int(data.get(least, "20"))
        if lower > upper:
            yield least, f"{lower} is above {most} = {upper}"


_BOOLEANS = (
    "autocreateClusterDomainClaims", "autocreate-cluster-domain-claims", "enable-mesh-pod-addressability",
    "internal-encryption",
)  # fmt: skip
_CHOICES = {
    "httpProtocol": ("", "enabled", "disabled", "redirected"),
    "http-protocol": ("", "enabled", "disabled", "redirected"),
    "system-internal-tls": ("", "enabled", "disabled"),
    "cluster-local-domain-tls": ("", "enabled", "disabled"),
}
_HOST = re.compile(r"""(?:[-A-Za-z0-9._~!$&'()*+,;=<>"\x80-\U0010ffff]+|\[[0-9a-fA-F:]+\])(?::[0-9]*)?""")
"""What Go takes for a host with or without a port."""
_VALUES = {"Name": "foo", "Namespace": "bar", "Domain": "baz.com", "Tag": "v2"}


def _network(data: Data) -> Refusals:
    for key in _BOOLEANS:
        if key in data:
            yield from _parsed(data, key, parse_bool, "a boolean as Go reads it")
    for key in ("rolloutDuration", "rollout-duration"):
        if key in data:
            yield from _parsed(data, key, parse_int, "a whole number of seconds")
    effective = data.get("rollout-duration", data.get("rolloutDuration", "0"))
    if re.fullmatch(r"-[0-9]+", effective) and int(effective) < 0:
        yield "rollout-duration", f"{effective} is negative"
    for key, words in _CHOICES.items():
        if not (key == "httpProtocol" and "http-protocol" in data) and data.get(key, "").lower() not in words:
            yield key, f"{data[key]!r} is not right (must be {', '.join(words[1:])})"
    for key, old, fields, is_url in (
        ("domain-template", "domainTemplate", {"Name", "Namespace", "Domain", "Annotations", "Labels"}, True),
        ("tag-template", "tagTemplate", {"Name", "Tag"}, False),
    ):
        given = next((one for one in (key, old) if one in data), None)
        if given is not None:
            yield from _template(given, data[given].strip(), fields, is_url=is_url)
    selector = "namespace-wildcard-cert-selector"
    if data.get(selector):
        yield from _yaml(selector, data[selector], _SELECTOR)


def _template(key: str, text: str, fields: set[str], *, is_url: bool) -> Refusals:
    try:
        gotemplate.check(text, fields)
    except ValueError as err:
        yield key, str(err)
        return
    host = gotemplate.execute(text, _VALUES)
    if is_url and not _HOST.fullmatch(host):
        yield key, f"{text!r} does not make the name of a host"


_SELECTOR = Fields(
    {
        "matchLabels": Entries("text"),
        "matchExpressions": Items(Fields({"key": "text", "operator": "text", "values": Items("text")}, "kept")),
    },
    "kept",
)
_DOMAIN = Fields({"selector": Entries("text"), "type": "text"}, "kept")
_ISSUER = Fields({"name": "text", "kind": "text", "group": "text"}, "kept")


def _yaml(key: str, text: str, field: Fields) -> Refusals:
    """YAML inside a value, read as sigs.k8s.io/yaml reads it: numbers and booleans are text where text is wanted."""
    reader = YAML(typ="safe", pure=True)
    reader.allow_duplicate_keys = True
    try:
        value = next(iter(reader.load_all(text)), None)
    except (YAMLError, ValueError, RecursionError):
        yield key, "is not YAML"
        return
    decoder = Decoder()
    decoder.decode(field, _with_text(field, value))
    for fault in decoder.faults:
        yield ".".join((key, *map(str, fault.place))), fault.message


def _with_text(field: Field, value: Any) -> Any:
    """A value of YAML with scalars as text where the field is text."""
    if isinstance(value, Mapping):
        names = field.names if isinstance(field, Fields) else dict.fromkeys(value, _values_of(field))
        return {str(key): _with_text(names.get(key, "anything"), part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_text(_values_of(field), part) for part in value]
    return str(value) if field == "text" and isinstance(value, bool | int | float) else value


def _values_of(field: Field) -> Field:
    """What the entries of a mapping or a list are."""
    return field.values if isinstance(field, Entries) else field.item if isinstance(field, Items) else "anything"


_EXPORTERS = {
    "tracing-": (("grpc", "http/protobuf", "none", "stdout"), ("none", "stdout")),
    **dict.fromkeys(("metrics-", "request-metrics-"), (("grpc", "http/protobuf", "prometheus", "none"), ("none",))),
}
"""Prefix of keys: the protocols, and those without an endpoint; grpc and http/protobuf need one."""


def _observability(data: Data) -> Refusals:
    for prefix, (protocols, silent) in _EXPORTERS.items():
        protocol = data.get(f"{prefix}protocol", "none").strip()
        endpoint = data.get(f"{prefix}endpoint", "").strip()
        if protocol not in protocols:
            yield f"{prefix}protocol", f"{protocol!r} is not right (must be {', '.join(protocols)})"
        elif protocol in ("grpc", "http/protobuf") and not endpoint:
            yield f"{prefix}endpoint", f"is missing (protocol {protocol} has one)"
        elif protocol in silent and endpoint:
            yield f"{prefix}endpoint", f"may not be set with protocol {protocol}"
    for key in ("metrics-export-interval", "request-metrics-export-interval", "runtime-export-interval"):
        if key in data:
            yield from _parsed(data, key, partial(_not_negative, parse=parse_duration), "a duration of at least 0s")
    if "tracing-sampling-rate" in data:
        yield from _parsed(data, "tracing-sampling-rate", _share, "a number from 0 to 1")
    if data.get("runtime-profiling", "disabled").strip() not in ("enabled", "disabled"):
        yield "runtime-profiling", f"{data['runtime-profiling']!r} is not right (must be enabled, disabled)"
    wrong: list[tuple[str, str]] = []
    for name in ("enable-var-log-collection", "enable-request-log", "enable-probe-request-log"):
        if f"logging.{name}" in data:
            wrong += _parsed(data, f"logging.{name}", parse_bool, "a boolean as Go reads it")
    yield from wrong
    template = data.get("logging.request-log-template", "{{.Request.Method}}").strip()
    if not wrong and not template and parse_bool(data.get("logging.enable-request-log", "false")):
        yield "logging.request-log-template", "is missing, and logging.enable-request-log is true"
    yield from _parsed({"logging.request-log-template": template}, "logging.request-log-template", gotemplate.parse,
                       "a template that Go parses")  # fmt: skip


def _share(text: str) -> None:
    value = parse_float(text)
    if value < 0 or value > 1:
        raise ValueError(text)


_LEVELS = ("debug", "info", "", "warn", "warning", "error", "dpanic", "panic", "fatal")


def _logging(data: Data) -> Refusals:
    for key, level in data.items():
        if key.startswith("loglevel.") and key != "loglevel." and level.lower() not in _LEVELS:
            yield key, f"{level!r} is not a level (must be debug, info, warn, error, dpanic, panic or fatal)"


def _leader_election(data: Data) -> Refusals:
    for key in ("lease-duration", "leaseDuration", "renew-deadline", "renewDeadline", "retry-period", "retryPeriod"):
        if key in data:
            yield from _parsed(data, key, parse_duration, "a duration")
    buckets = data.get("buckets", "1")
    if not re.fullmatch(r"[0-9]+", buckets) or not 1 <= int(buckets[-20:]) <= 10 or int(buckets) > 10:
        yield "buckets", f"{buckets!r} is out of range (must be a whole number in [1, 10])"


def _domain(data: Data) -> Refusals:
    for key, text in data.items():
        if key != "_example":
            yield from _yaml(key, text, _DOMAIN)


def _certmanager(data: Data) -> Refusals:
    for key in ("issuerRef", "clusterLocalIssuerRef", "systemInternalIssuerRef"):
        if key in data:
            yield from _yaml(key, data[key], _ISSUER)


_OTHERS: dict[str, Callable[[Data], Refusals]] = {
    "config-gc": _gc,
    "config-network": _network,
    "config-observability": _observability,
    "config-logging": _logging,
    "config-leader-election": _leader_election,
    "config-domain": _domain,
    "config-certmanager": _certmanager,
}
