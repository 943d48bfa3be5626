"""Reference of all files, generated from the code by `mkdocs build`.

A page marks the position of a generated part: ``<!-- generated: experiment -->``, ``model``,
``sweep``, ``runs`` or ``prices``.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kpasim.results.cost import price_list
from kpasim.results.tables import OPTIONAL, REQUIRED
from kpasim.spec.keys import bounds, default
from kpasim.spec.quantities import DURATION_PATTERN
from kpasim.spec.schema import schema as json_schema

MARK = re.compile(r"<!-- generated: ([a-z]+) -->")
Schema = Mapping[str, Any]

PAGES = {"model": "model.md", "experiment": "experiment.md", "sweep": "sweep.md"}
"""The page of each kind of file; what models and experiments share is told on the first of them."""

_HOLDS = {
    "time": "seconds; times count from the start of the load",
    "number": "number",
    "count": "whole number",
    "word": "text",
}


@functools.cache
def schema(kind: str) -> Schema:
    """The JSON schema of a kind of file; times have the same names in all of them."""
    text = json.dumps(json_schema(kind)).replace("kpasim__spec__distributions__", "")
    found: Schema = json.loads(text)
    return found


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put generated parts into a page."""
    return MARK.sub(lambda found: GENERATED[found[1]](), markdown)


def file_reference(kind: str) -> str:
    """Every key of a kind of file: type, default, meaning."""
    whole = schema(kind)
    lines = [str(whole["description"]), "", *_keys(whole, kind)]
    if kind == "experiment":
        form = whole["properties"]["config-autoscaler"]["anyOf"][1]
        lines += ["", "### config-autoscaler", "", str(form["description"]), "", *_keys(form, kind)]
    groups: dict[str, list[str]] = {}
    for name, home in _homes().items():
        if home == kind:
            groups.setdefault(_group(whole["$defs"][name]), []).append(name)
    for group in sorted(groups):
        lines += ["", f"## {group}"]
        for name in groups[group]:
            lines += ["", f"### {_title(name)} {{ #{_anchor(name)} }}", "", *_definition(whole["$defs"][name], kind)]
    return "\n".join(lines)


def run_reference() -> str:
    """Every column of every table of a run folder."""
    lines = []
    for table, columns in REQUIRED.items():
        rows = [(name, kind, "always") for name, kind in columns.items()]
        rows += [(name, kind, "where known") for name, kind in OPTIONAL.get(table, {}).items()]
        lines += ["", f"### {table}.csv", "", "| column | content | present |", "| --- | --- | --- |"]
        lines += [f"| `{name}` | {_HOLDS[kind]} | {there} |" for name, kind, there in rows]
    return "\n".join(lines)


def price_table() -> str:
    """The prices that kpasim brings along, with their sources."""
    lines = ["| instance type | GPU | price per hour | date | source |", "| --- | --- | --- | --- | --- |"]
    for name, price in price_list().items():
        marks = [word for word, said in (("stale", price.stale), ("estimate", price.estimate)) if said]
        read = ", ".join(one for one in (price.region, price.date, *(f"**{mark}**" for mark in marks)) if one)
        gpu = f"{price.gpus} x {price.gpu}" if price.gpus > 1 else price.gpu
        lines.append(f"| `{name}` | {gpu} | {price.per_hour:g} {price.currency} | {read} | {price.source} |")
    return "\n".join(lines)


GENERATED: dict[str, Callable[[], str]] = {
    "experiment": lambda: file_reference("experiment"),
    "model": lambda: file_reference("model"),
    "sweep": lambda: file_reference("sweep"),
    "runs": run_reference,
    "prices": price_table,
}


def _definition(definition: Schema, kind: str) -> list[str]:
    form = _mapping(definition)
    lines = [str(form.get("description", ""))]
    short = [_what(one, kind) for one in definition.get("anyOf", ()) if "properties" not in one]
    short = [part for part in dict.fromkeys(short) if part and part != "mapping"]
    if short:
        lines += ["", f"In short: {' or '.join(_joined(short))}."]
    return [*lines, "", *_keys(form, kind)]


@functools.cache
def _homes() -> dict[str, str]:
    """The kind of file on whose page each definition is told, in the order in which files mention them."""
    homes: dict[str, str] = {}
    # A model within an experiment is the same as one in a file of its own.
    homes["ServiceModel"] = ""
    for kind in PAGES:
        for name in _reachable(schema(kind)):
            homes.setdefault(name, kind)
    return homes


def _group(definition: Schema) -> str:
    properties = _mapping(definition).get("properties", {})
    if "distribution" in properties or "weight" in properties:
        return "Distributions"
    kind = properties.get("kind", {})
    return "Loads" if "const" in kind or "diurnal" in kind.get("enum", ()) else "Parts"


def _keys(form: Schema, kind: str) -> list[str]:
    properties: Mapping[str, Schema] = form.get("properties", {})
    if not properties:
        return []
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    # What tells the shape comes first, as people write it.
    for key, value in sorted(properties.items(), key=lambda pair: "const" not in pair[1]):
        given = "**required**" if key in form.get("required", ()) else _default(value)
        meaning = "" if "const" in value else " ".join(_meaning(value, kind).split())
        lines.append(f"| `{key}` | {_what(value, kind)} | {given} | {meaning} |")
    return lines


def _meaning(value: Schema, kind: str) -> str:
    if "description" not in value and "$ref" in value:
        value = schema(kind)["$defs"][str(value["$ref"]).rpartition("/")[2]]
    return str(value.get("description", ""))


def _what(value: Schema, kind: str) -> str:
    """The type and the bounds of a value in words."""
    if "$ref" in value:
        name = str(value["$ref"]).rpartition("/")[2]
        home = _homes()[name]
        if name == "ServiceModel":
            return f"[model]({PAGES['model']})"
        return f"[{_title(name)}]({'' if home == kind else PAGES[home]}#{_anchor(name)})"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "Uniform" in str(value.get("oneOf", "")):
        return f"duration or [distribution]({'' if kind == 'model' else PAGES['model']}#distributions)"
    if "GenTD26" in str(value.get("oneOf", "")):
        return "a [load](#loads)"
    either = value.get("anyOf") or value.get("oneOf")
    if either:
        parts = [_what(one, kind) for one in either if one.get("type") != "null"]
        return " or ".join(_joined([part for part in dict.fromkeys(parts) if part]))
    if value.get("pattern") == DURATION_PATTERN:
        return "duration"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
    if isinstance(value.get("type"), list):
        return " or ".join(words[one] for one in value["type"])
    if value.get("type") == "array":
        inner = value.get("items") or (value.get("prefixItems") or [None])[0]
        return f"list of {_what(inner, kind)}" if inner else "list"
    if value.get("type") == "object":
        if "properties" in value:
            return "its keys, see below"
        inner = value.get("additionalProperties")
        return f"for each name: {_what(inner, kind)}" if isinstance(inner, Mapping) and inner else "mapping"
    return f"{words.get(str(value.get('type')), '')}{bounds(value)}"


def _joined(parts: list[str]) -> list[str]:
    """A duration may also be a plain number of seconds: that is one thing, not two."""
    return [part for part in parts if not part.startswith("number")] if "duration" in parts else parts


def _default(value: Schema) -> str:
    text = default(value)
    return text if text in {"none", "its own defaults"} else f"`{text}`"


def _mapping(form: Schema) -> Schema:
    """The form of a definition that has keys."""
    if "properties" in form:
        return form
    return next((one for one in form.get("anyOf", ()) if "properties" in one), form)


def _reachable(whole: Schema) -> list[str]:
    """Definitions that a file of a kind can hold, in the order in which it mentions them."""
    found: dict[str, None] = {}
    queue = list(_references(whole.get("properties", {})))
    while queue:
        name = queue.pop(0)
        if name not in found:
            found[name] = None
            queue = [*_references(whole["$defs"][name]), *queue]
    return list(found)


def _references(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield str(value["$ref"]).rpartition("/")[2]
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


def _title(name: str) -> str:
    """A definition's name in words: ``kpasim__spec__workload__Constant`` is ``constant``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.rpartition("__")[2]).lower()
    return words.replace("gen-td26", "gentd26")


def _anchor(name: str) -> str:
    return f"{'load-' if 'workload' in name else ''}{_title(name)}"
