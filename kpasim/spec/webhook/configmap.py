"""What Knative's webhook refuses in the ConfigMaps of namespace knative-serving.

Source:
    knative/pkg@521cb33, webhook/configmaps/configmaps.go, configmap/example.go, configmap/parser/parse.go,
    observability/{metrics,runtime,tracing}/config.go, logging/config.go, leaderelection/config.go;
    knative/serving@98e5ef9, cmd/webhook/main.go, pkg/gc/config.go, pkg/observability/config.go,
    pkg/reconciler/route/config/domain.go, pkg/reconciler/certificate/config/cert_manager.go;
    knative/networking, pkg/config/config.go.
"""

import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Set
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
from kpasim.spec.yamlfile import packaged

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
    values = list(_value_faults(name, data))
    others = _OTHERS[name](data, {key for key, _ in values}) if name in _OTHERS else ()
    return [*faults, *values, *others]


def _value_faults(name: str, data: Data) -> Refusals:
    """Values that are not what the table of kpasim/data/configmaps.toml wants."""
    for kind, keys in packaged("configmaps.toml")["checks"].get(name, {}).items():
        words = kind.split()
        for key in keys.split():
            if key == "httpProtocol" and "http-protocol" in data:
                continue  # the old spelling, which is not read then
            if words[0] == "one" and data.get(key, "").lower() not in {"", *words[2:]}:
                yield key, f"{data[key]!r} is not right (must be {', '.join(words[2:])})"
            elif words[0] != "one" and key in data:
                parse, what = _KINDS[kind]
                try:
                    parse(data[key])
                except ValueError:
                    yield key, f"{data[key]!r} is not {what}"


def _within(parse: Callable[[str], float], least: float, most: float = math.inf) -> Callable[[str], None]:
    """What parses a number that is not out of a range."""

    def read(text: str) -> None:
        value = parse(text)
        if value < least or value > most:
            raise ValueError(text)

    return read


def _off_or(parse: Callable[[str], float]) -> Callable[[str], None]:
    """What parses a value that is not negative; nothing and `disabled` are right, too."""

    def read(text: str) -> None:
        if text.strip() and text.strip().lower() != "disabled":
            _within(parse, 0)(text.strip())

    return read


_KINDS: dict[str, tuple[Callable[[str], object], str]] = {
    "boolean": (parse_bool, "a boolean as Go reads it"),
    "seconds": (parse_int, "a whole number of seconds"),
    "number": (_within(parse_int, 0), "a whole number of at least 0"),
    "number-or-off": (_off_or(parse_int), "a whole number or disabled"),
    "duration": (parse_duration, "a duration"),
    "duration-from-0": (_within(parse_duration, 0), "a duration of at least 0s"),
    "duration-or-off": (_off_or(parse_duration), "a duration or disabled"),
    "share": (_within(parse_float, 0, 1), "a number from 0 to 1"),
}


def _gc(data: Data, wrong: Set[str]) -> Refusals:
    most, least = "max-non-active-revisions", "min-non-active-revisions"
    text = data.get(most, "").strip()
    if not wrong & {most, least} and text.lower() != "disabled":
        upper, lower = int(text or "1000"), int(data.get(least, "20"))
        if lower > upper:
            yield least, f"{lower} is above {most} = {upper}"


_HOST = re.compile(r"""(?:[-A-Za-z0-9._~!$&'()*+,;=<>"\x80-\U0010ffff]+|\[[0-9a-fA-F:]+\])(?::[0-9]*)?""")
"""What Go takes for a host with or without a port."""
_VALUES = {"Name": "foo", "Namespace": "bar", "Domain": "baz.com", "Tag": "v2"}


def _network(data: Data, _: Set[str]) -> Refusals:
    effective = data.get("rollout-duration", data.get("rolloutDuration", "0"))
    if re.fullmatch(r"-[0-9]+", effective) and int(effective) < 0:
        yield "rollout-duration", f"{effective} is negative"
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


def _observability(data: Data, wrong: Set[str]) -> Refusals:
    for prefix, (protocols, silent) in _EXPORTERS.items():
        protocol = data.get(f"{prefix}protocol", "none").strip()
        endpoint = data.get(f"{prefix}endpoint", "").strip()
        if protocol not in protocols:
            yield f"{prefix}protocol", f"{protocol!r} is not right (must be {', '.join(protocols)})"
        elif protocol in ("grpc", "http/protobuf") and not endpoint:
            yield f"{prefix}endpoint", f"is missing (protocol {protocol} has one)"
        elif protocol in silent and endpoint:
            yield f"{prefix}endpoint", f"may not be set with protocol {protocol}"
    if data.get("runtime-profiling", "disabled").strip() not in ("enabled", "disabled"):
        yield "runtime-profiling", f"{data['runtime-profiling']!r} is not right (must be enabled, disabled)"
    key, logs = "logging.request-log-template", "logging.enable-request-log"
    template = data.get(key, "{{.Request.Method}}").strip()
    is_right = not any(one.startswith("logging.") for one in wrong)
    if is_right and not template and parse_bool(data.get(logs, "false")):
        yield key, f"is missing, and {logs} is true"
    try:
        gotemplate.parse(template)
    except ValueError:
        yield key, f"{template!r} is not a template that Go parses"


_LEVELS = ("debug", "info", "", "warn", "warning", "error", "dpanic", "panic", "fatal")


def _logging(data: Data, _: Set[str]) -> Refusals:
    for key, level in data.items():
        if key.startswith("loglevel.") and key != "loglevel." and level.lower() not in _LEVELS:
            yield key, f"{level!r} is not a level (must be debug, info, warn, error, dpanic, panic or fatal)"


def _leader_election(data: Data, _: Set[str]) -> Refusals:
    buckets = data.get("buckets", "1")
    if not re.fullmatch(r"[0-9]+", buckets) or not 1 <= int(buckets[-20:]) <= 10 or int(buckets) > 10:
        yield "buckets", f"{buckets!r} is out of range (must be a whole number in [1, 10])"


def _domain(data: Data, _: Set[str]) -> Refusals:
    for key, text in data.items():
        if key != "_example":
            yield from _yaml(key, text, _DOMAIN)


def _certmanager(data: Data, _: Set[str]) -> Refusals:
    for key in ("issuerRef", "clusterLocalIssuerRef", "systemInternalIssuerRef"):
        if key in data:
            yield from _yaml(key, data[key], _ISSUER)


_OTHERS: dict[str, Callable[[Data, Set[str]], Refusals]] = {
    "config-gc": _gc,
    "config-network": _network,
    "config-observability": _observability,
    "config-logging": _logging,
    "config-leader-election": _leader_election,
    "config-domain": _domain,
    "config-certmanager": _certmanager,
}
