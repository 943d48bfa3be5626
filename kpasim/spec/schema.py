"""JSON schemas of kpasim's files, for editors: docstrings become descriptions, bounds and defaults come along."""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any

from kpasim.spec.base import Spec
from kpasim.spec.experiment import Experiment
from kpasim.spec.model import ServiceModel
from kpasim.spec.quantities import DURATION_PATTERN
from kpasim.spec.sweep import Sweep

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILES: dict[str, type[Spec]] = {"experiment": Experiment, "sweep": Sweep, "model": ServiceModel}
"""Kinds of files, and the class that reads each."""

_DURATION: list[dict[str, Any]] = [{"type": "string", "pattern": DURATION_PATTERN}, {"type": "number", "minimum": 0}]
_SHORT_FORMS = {"ServiceTime", "ColdStart", "Start", "Constant"}
"""Mappings for which a bare value will do: a duration, or a word."""


def _descendants(model: type[Spec]) -> Iterator[type[Spec]]:
    for one in model.__subclasses__():
        yield one
        yield from _descendants(one)


def _mappings(schema: Any) -> Iterator[dict[str, Any]]:
    """The schemas of models, wherever they are."""
    if isinstance(schema, dict):
        if {"properties", "title"} <= set(schema):
            yield schema
        for one in list(schema.values()):
            yield from _mappings(one)
    elif isinstance(schema, list):
        for one in schema:
            yield from _mappings(one)


def _describe(model: type[Spec], definition: dict[str, Any]) -> None:
    """Put the docstrings of a model's attributes into its schema.

    pydantic could do so by itself, but would then read the sources of all models each time that kpasim starts.
    """
    texts: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if issubclass(one, Spec):
            texts |= _attribute_docstrings(one)
    for name, field in model.model_fields.items():
        form = definition["properties"][field.alias]
        if name in texts or "const" in form:  # a word that tells the mapping from others says what it is by itself
            form.setdefault("description", texts.get(name) or f"`{form['const']}`.")


def _attribute_docstrings(model: type[Spec]) -> dict[str, str]:
    [body] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in itertools.pairwise(body.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def schema(kind: str) -> dict[str, Any]:
    """The JSON schema of one kind of file: `experiment`, `sweep` or `model`.

    Raises:
        KeyError: There is no such kind.
    """
    # `validation`: the schema is of what people write, aliases and all.
    result = FILES[kind].model_json_schema(by_alias=True, mode="validation")
    definitions = result.setdefault("$defs", {})
    for one in _mappings(result):
        for model in _descendants(Spec):
            # Two models may have one name.
            keys = {str(field.alias) for field in model.model_fields.values()}
            if model.__name__ == one["title"] and keys == set(one["properties"]):
                _describe(model, one)
    if "ServiceTime" in definitions:
        definitions["ServiceTime"].pop("required")
        definitions["ServiceTime"]["anyOf"] = [{"required": ["time"]}, {"required": ["classes"]}]
    if "Component" in definitions:
        flat = {"type": "object", "required": ["weight", "distribution"]}
        definitions["Component"] = {"anyOf": [definitions["Component"], flat]}
    for name in sorted(_SHORT_FORMS & set(definitions)):
        form = definitions[name]
        bare = [{"enum": ["warm", "idled", "zero"]}] if name == "Start" else _DURATION
        definitions[name] = {"anyOf": [*bare, form], "description": form.get("description", "")}
    return {"$schema": DIALECT, "title": f"kpasim {kind}", **{k: v for k, v in result.items() if k != "title"}}
