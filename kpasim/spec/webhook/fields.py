"""Fields of a Knative Service: their types, as Kubernetes' API server and Go's JSON decoder hold a manifest to them.

The API server names and drops every field that the custom resource definition does not name. Where the definition
leaves an object open, Go's decoder drops what it does not know without a word. kpasim/data/service.toml has the fields,
with their source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

from kpasim.spec.yamlfile import packaged

Scalar = Literal["text", "boolean", "int32", "int64", "port", "quantity", "time", "anything", "pruned"]
"""A single value; `port` is a number or a name, and `pruned` what the API server drops where it looks inside."""


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with named fields, and what becomes of others: `kept` are those of which the types do not matter."""

    names: Mapping[str, Field]
    others: Literal["named", "kept", "dropped"] = "named"


@dataclass(frozen=True, slots=True)
class Entries:
    """An object whose keys are the author's; the API server drops those without a value where it knows their type."""

    values: Field
    typed: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list; no two items may agree in the field `key`."""

    item: Field
    key: str = ""


Field = Scalar | Fields | Entries | Items


@cache
def _type(name: str) -> Field:
    """The type that is called so in service.toml."""
    if name.endswith("]"):
        item, _, key = name[:-1].partition("[")
        return Items(_type(item), key)
    if name.endswith("}"):
        values, _, typed = name[:-1].partition("{")
        return Entries(_type(values), typed == "typed")
    if name.endswith("*"):
        return _opened(_type(name[:-1]))
    if name not in _DATA["types"]:
        return cast(Scalar, name)
    fields = dict(_DATA["types"][name])
    others = fields.pop("others", "named")
    return Fields({field: _type(kind) for kind, names in fields.items() for field in names.split()}, others)


def _opened(field: Field) -> Field:
    """A field where the definition does not look inside: no unknown fields, no lists with keys, and nothing pruned."""
    if isinstance(field, Fields):
        return Fields({name: _opened(inner) for name, inner in field.names.items()}, "dropped")
    if isinstance(field, Items):
        return Items(_opened(field.item))
    return "anything" if field == "pruned" else field


_DATA = packaged("service.toml")
SERVICE = _type("Service")
"""A Service of serving.knative.dev/v1."""
RULES: dict[str, str] = {rule: source for source, rules in _DATA["rules"].items() for rule in rules.split()}
"""The source file that decides each rule."""
POD_FEATURES: dict[str, str] = _DATA["features"]["pod"]
"""Fields of the pod that a key of config-features allows."""
VOLUME_FEATURES: dict[str, str] = _DATA["features"]["volumes"]
"""Kinds of volumes that a key of config-features allows."""
CHECKS: dict[str, dict[str, str]] = _DATA["checks"]
"""What single fields must be, by table and rule; see `kpasim.spec.webhook.checks`."""
