"""JSON schemas of kpasim's files, for editors: docstrings become descriptions, bounds and defaults come along."""

from __future__ import annotations

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


def schema(kind: str) -> dict[str, Any]:
    """The JSON schema of one kind of file: `experiment`, `sweep` or `model`.

    Raises:
        KeyError: There is no such kind.
    """
    # `validation`: the schema is of what people write, aliases and all.
    result = FILES[kind].model_json_schema(by_alias=True, mode="validation")
    definitions = result.setdefault("$defs", {})
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
