"""Rules about the ConfigMaps of a cluster: keys that nothing reads, and what has no effect."""

from collections.abc import Iterator, Sequence
from typing import Any

from kpasim.errors import ExperimentError
from kpasim.spec.autoscaler import CONFIG_KEYS, AutoscalerConfig, parse_config
from kpasim.spec.base import dotted, line_of
from kpasim.spec.configmaps import CONFIG_MAPS, KSERVE_CONFIG, ConfigMap, Defaults, flags_of, parse_defaults
from kpasim.spec.objects import objects_in
from kpasim.spec.operator import KNATIVE_SERVING, unknown_keys
from kpasim.spec.webhook.configmap import CHECKSUM, example_checksum, refusals
from kpasim.spec.yamlfile import parse_documents
from kpasim.studies.check.case import Finding, in_words, write_nearest

EXAMPLE = "_example"
_GONE = {
    "panic-window": "panic-window-percentage",
    "tick-interval": "",
    "dynamic-parameters-enabled": "",
    "enable-graceful-scaledown": "",
}
"""Keys that Knative read once, and what took their place."""


def _finding(one: ConfigMap, key: str, rule: str, variant: str = "", **values: Any) -> Finding:
    words = in_words(rule, variant, map=one.name, key=key, **values)
    place = dotted((one.name, key) if key else (one.name,))
    return Finding(**words, place=place, path=one.document.path, line=one.line(key))


def config_map_findings(maps: Sequence[ConfigMap]) -> list[Finding]:
    """What is wrong or without effect in the ConfigMaps of a cluster."""
    return [one for rule in (_unknown_key, _unknown_to_operator, _example_block, _refused_config) for one in rule(maps)]


def _unknown_key(maps: Sequence[ConfigMap]) -> Iterator[Finding]:
    """A key that Knative ignores."""
    for one in maps:
        known = CONFIG_KEYS if one.name == "config-autoscaler" else tuple(CONFIG_MAPS[one.name])
        for key, value in one.data.items():
            flags = [flag.lower() for flag in flags_of(key)] if one.name == "config-features" and key in known else []
            if flags and str(value).lower() not in flags:
                yield _finding(one, key, "unknown-key", "flag", value=value, fix=f"Write {', '.join(flags)}.")
            if key in known or key == EXAMPLE or one.name == KSERVE_CONFIG:
                continue
            fix = write_nearest(key, known)
            if key in _GONE:
                fix = f"Write {_GONE[key]}." if _GONE[key] else "Remove it."
            yield _finding(one, key, "unknown-key", "gone" if key in _GONE else "", fix=fix)


def _unknown_to_operator(maps: Sequence[ConfigMap]) -> Iterator[Finding]:
    """A key of a KnativeServing that Knative's operator passes over."""
    documents = {id(one.document): one.document for one in maps}
    for one in objects_in(list(documents.values())):
        for place, known in unknown_keys(one) if one.kind == KNATIVE_SERVING else ():
            fix = write_nearest(str(place[-1]), known)
            words = in_words("unknown-key", "operator", key=place[-1], parent=dotted(place[:-1]), fix=fix)
            line = line_of((*one.prefix, *place), one.document.lines)
            yield Finding(**words, place=dotted((KNATIVE_SERVING, *place)), path=one.document.path, line=line)


def _example_block(maps: Sequence[ConfigMap]) -> Iterator[Finding]:
    """What stands in the block of examples has no effect."""
    for one in maps:
        if EXAMPLE not in one.data:
            continue
        for key, value in _edited(one).items():
            yield _finding(one, EXAMPLE, "example-block", edited=key, value=value)
        if set(one.data) == {EXAMPLE}:
            yield _finding(one, EXAMPLE, "example-block", "alone")


def _edited(one: ConfigMap) -> dict[str, str]:
    """Keys of the block of examples whose value is not the default, which the block shows as it is shipped."""
    text = str(one.data[EXAMPLE])
    if one.annotations.get(CHECKSUM) == example_checksum(text):
        return {}
    try:
        documents = parse_documents(text, one.document.path)
    except ExperimentError:
        return {}
    data = documents[0].data if documents else None
    if not isinstance(data, dict):
        return {}
    return {key: str(value) for key, value in data.items() if _differs(one.name, key, value)}


def _differs(name: str, key: str, value: object) -> bool:
    try:
        if name == "config-autoscaler":
            return parse_config({key: value}) != AutoscalerConfig()
        if name == "config-features":
            before = Defaults()
            return parse_defaults(before, name, {key: value}, strict=False).feature(key) != before.feature(key)
        return parse_defaults(Defaults(), name, {key: value}, strict=False) != Defaults()
    except (ExperimentError, KeyError):
        return False


def _refused_config(maps: Sequence[ConfigMap]) -> Iterator[Finding]:
    """What Knative's webhook refuses in a ConfigMap."""
    for one in maps:
        for key, message in refusals(one.name, {key: str(value) for key, value in one.data.items()}, one.annotations):
            # A file may hold only what was changed; the image of queue-proxy is there once Knative is installed.
            if key != "queue-sidecar-image" or key in one.data:
                yield _finding(one, key, "refused-config", message=message)
