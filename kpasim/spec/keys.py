"""Every setting of an experiment by its path, with what it means: the key that `--set` takes and `explain` explains.

Keys of our own files come from their JSON schema, that is from the docstrings of the classes that read them. The
Service's keys are Knative's (kpasim/data/settings.yaml); where the ConfigMap has a default for an annotation, its
docstring is the meaning of both.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from kpasim.spec.autoscaler import SPELLINGS
from kpasim.spec.quantities import DURATION_PATTERN, RATE_PATTERN, duration_text
from kpasim.spec.schema import schema
from kpasim.spec.yamlfile import packaged

KNATIVE_SOURCE = "knative/serving@98e5ef9"
MOST_SUGGESTED = 2

_DURATION = "duration (30s, 1m30s, or seconds)"


@dataclass(frozen=True)
class Key:
    """One setting.

    Attributes:
        path: As `--set` takes it; `NAME` stands for the name of a list's member.
        takes: Type, unit and bounds.
        default: What holds when it is not given.
        of: The kind of mapping it belongs to, where the path alone does not tell (`poisson`, `lognormal`).
        decided_in: File of Knative in which it takes effect; empty for a setting that is not Knative's.
    """

    path: str
    meaning: str
    takes: str
    default: str
    of: str = ""
    decided_in: str = ""


@cache
def keys() -> tuple[Key, ...]:
    """Every setting of an experiment."""
    whole, knative = schema("experiment"), packaged("settings.yaml")
    config = whole["properties"]["config-autoscaler"]["anyOf"][1]
    decided_in = knative["config-autoscaler"]
    settings = [replace(one, decided_in=decided_in.get(one.path, "")) for one in _of(config, whole, "")]
    found = [*_service(knative["service"], {one.path: one for one in settings})]
    found += [replace(one, path=f"config-autoscaler.{one.path}") for one in settings]
    rest = {name: form for name, form in whole["properties"].items() if name not in {"service", "config-autoscaler"}}
    found += _of({**whole, "properties": rest}, whole, "")
    return tuple(dict.fromkeys(found))


def find(word: str) -> list[Key]:
    """The settings that a word names: a whole path, or the end of one. Case, `_` and Knative's prefix do not matter."""
    wanted = _plain(word)
    exact = [one for one in keys() if _plain(one.path) == wanted]
    return exact or [one for one in keys() if f".{_plain(one.path)}".endswith(f".{wanted}")]


def nearest(word: str) -> list[str]:
    """Paths that look like a misspelt one, the nearest first."""
    wanted = _plain(word)
    spelt: dict[str, str] = {}
    for one in keys():
        parts = _plain(one.path).split(".")
        for start in range(len(parts)):
            spelt.setdefault(".".join(parts[start:]), one.path)
    close = difflib.get_close_matches(wanted, spelt, n=4 * MOST_SUGGESTED, cutoff=0.7)
    return list(dict.fromkeys(spelt[one] for one in close))[:MOST_SUGGESTED]


_SHORT = {one.rpartition("/")[2].lower(): keys[0].rpartition("/")[2] for keys in SPELLINGS.values() for one in keys}


def _plain(path: str) -> str:
    short = path.strip().rpartition("/")[2].replace("_", "-").lower()
    return _SHORT.get(short, short)


def _service(given: Mapping[str, Mapping[str, str]], config: Mapping[str, Key]) -> Iterator[Key]:
    """The settings of the Service, beside the keys of `config-autoscaler`."""
    for path, own in given.items():
        name = own.get("of", path.removeprefix("annotations."))
        key = config.get(name, Key(name, "", "", ""))
        default = "70" if name == "container-concurrency-target-percentage" else key.default
        yield Key(
            f"service.{path}",
            own.get("meaning", key.meaning),
            own["takes"],
            own.get("default", f"config-autoscaler.{name} ({default})"),
            decided_in=own.get("decided-in", key.decided_in),
        )


def _of(form: Mapping[str, Any], whole: Mapping[str, Any], path: str, of: str = "") -> Iterator[Key]:
    """Settings of a mapping and of the mappings in it."""
    for name, value in form.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        needed = name in form.get("required", ())
        described = form if "const" in value else value if value.get("description") else _definition(value, whole)
        meaning = " ".join(str(described.get("description", "")).split())
        yield Key(here, meaning, takes(value, whole), "none: it is needed" if needed else default(value), of)
        for kind, inner in _inside(value, whole):
            yield from _of(inner, whole, here if kind != "member" else f"{here}.NAME", kind if kind != "member" else of)


def _inside(value: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Mappings that may stand at a value, each with what it is: ``member`` of a list, or a kind."""
    if "$ref" in value:
        yield from _inside(_definition(value, whole), whole)
    elif "properties" in value:
        yield _kind(value), value
    elif value.get("type") == "array" and "items" in value:
        inner = _definition(value["items"], whole)
        if "properties" in inner and not _kind(inner):
            yield "member", inner
    else:
        for one in (*value.get("anyOf", ()), *value.get("oneOf", ())):
            # A mixture holds distributions again, without end.
            if "Mixture" not in str(one.get("$ref", "")):
                yield from _inside(one, whole)


def _definition(value: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in value:
        return value
    found: Mapping[str, Any] = whole["$defs"][str(value["$ref"]).rpartition("/")[2]]
    return found


def _kind(form: Mapping[str, Any]) -> str:
    """The word that tells a mapping from others that may stand in its place; empty where nothing else may."""
    for name in ("kind", "distribution"):
        given = form["properties"].get(name, {})
        if "const" in given:
            return str(given["const"])
        if name == "kind" and "diurnal" in given.get("enum", ()):
            return "diurnal"
    return ""


def takes(value: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    """What may stand at a place of a schema, in words, with unit and bounds."""
    if "$ref" in value:
        return takes(_definition(value, whole), whole)
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "Uniform" in str(value.get("oneOf", "")):
        return "duration or distribution"
    if kinds := value.get("discriminator", {}).get("mapping"):
        return f"mapping; its kind is {', '.join(kinds)}"
    either = value.get("anyOf") or value.get("oneOf")
    if either:
        parts = [takes(one, whole) for one in either if one.get("type") != "null"]
        parts = [part for part in dict.fromkeys(parts) if part]
        if parts[:1] == [_DURATION]:
            # A duration may also be a plain number of seconds: that is one thing, not two, and has the bounds of both.
            return ", ".join([_DURATION, *(part.partition(", ")[2] for part in parts[1:] if part.startswith("number"))])
        # A number has bounds behind it.
        return " or ".join(sorted(parts, key=lambda part: part.startswith("number")))
    if value.get("pattern") == DURATION_PATTERN:
        return _DURATION
    if value.get("pattern") == RATE_PATTERN:
        return "rate with a unit (5/s, 30/min, 20/h or 500/day)"
    if value.get("type") == "array":
        inner = value.get("items") or (value.get("prefixItems") or [None])[0]
        return f"list of {takes(inner, whole)}" if inner else "list"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`",
             "object": "mapping"}  # fmt: skip
    if isinstance(value.get("type"), list):
        return " or ".join(words[one] for one in value["type"])
    return f"{words.get(str(value.get('type')), '')}{bounds(value)}"


def bounds(value: Mapping[str, Any]) -> str:
    """The bounds of a number in a schema, to follow its type; empty without."""
    low, high = value.get("minimum", value.get("exclusiveMinimum")), value.get("maximum")
    if high is not None and high >= 1_000_000:
        high = None
    above = "above" if "exclusiveMinimum" in value else "at least"
    if low is None:
        return "" if high is None else f", at most {high:g}"
    if high is None:
        return f", {above} {low:g}"
    return f", {'above ' if above == 'above' else ''}{low:g} to {high:g}"


def default(value: Mapping[str, Any]) -> str:
    """The default in a schema, as a file writes it; ``none`` without."""
    given = value.get("default")
    if given is None or given in ([], {}, ""):
        return "none"
    if isinstance(given, Mapping):
        return "its own defaults"
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int | float) and _is_duration(value):
        return duration_text(float(given))
    if isinstance(given, list):
        return f"[{', '.join(map(str, given))}]"
    return f"{given:g}" if isinstance(given, float) else str(given)


def _is_duration(value: object) -> bool:
    if isinstance(value, Mapping):
        return value.get("pattern") == DURATION_PATTERN or any(_is_duration(one) for one in value.get("anyOf", ()))
    return False
