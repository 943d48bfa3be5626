"""What Knative's webhook refuses in the ConfigMaps of namespace knative-serving.

Source:
    knative/pkg@521cb33, webhook/configmaps/configmaps.go, configmap/example.go; knative/serving@98e5ef9,
    pkg/gc/config.go; knative/networking, pkg/config/config.go.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from kpasim.errors import ExperimentError
from kpasim.spec import gotemplate
from kpasim.spec.autoscaler import parse_config
from kpasim.spec.configmaps import CONFIG_MAPS, KSERVE_CONFIG, Defaults, parse_defaults
from kpasim.spec.goparse import parse_bool, parse_duration, parse_int

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
    """Why the webhook refuses a ConfigMap: keys, and what is wrong with them.

    Args:
        name: Of the ConfigMap; one that Knative does not read is never refused.
        data: All of its data.
        annotations: Its annotations.
    """
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


def _not_negative(text: str) -> int:
    value = parse_int(text)
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


def _template(key: str, text: str, fields: set[str], *, is_url: bool) -> Refusals:
    try:
        gotemplate.check(text, fields)
    except ValueError as err:
        yield key, str(err)
        return
    host = gotemplate.execute(text, _VALUES)
    if is_url and (not host or "/" in host or "?" in host or not urlsplit(f"https://{host}").hostname):
        yield key, f"{text!r} does not make the name of a host"


_OTHERS: dict[str, Callable[[Data], Refusals]] = {"config-gc": _gc, "config-network": _network}
