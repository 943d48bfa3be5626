"""Templates of Go's text/template, as far as ConfigMaps of Knative use them: fields in double braces.

Source:
    knative/serving@98e5ef9, pkg/apis/config/defaults.go: ``asTemplate``; Go, src/text/template.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_FIELD = re.compile(r"\.([A-Z][A-Za-z]*)")
METADATA = {
    "Name", "GenerateName", "Namespace", "SelfLink", "UID", "ResourceVersion", "Generation", "CreationTimestamp",
    "DeletionTimestamp", "DeletionGracePeriodSeconds", "Labels", "Annotations", "OwnerReferences", "Finalizers",
    "ManagedFields",
}  # fmt: skip
"""Fields of an object's metadata."""
_WORDS = {"true", "false", "end", "else", "break", "continue"}


def check(text: str, fields: Collection[str] = METADATA) -> None:
    """Refuse a template that Go would not run on an object with those fields.

    Raises:
        ValueError: An action without an end, an empty one, a field that is not there, or an unknown function.
    """
    if "{{" in _ACTION.sub("", text):
        raise ValueError("an action is not closed with }}")
    for action in _ACTION.findall(text):
        field = _FIELD.match(action)
        if not action or (field and field[1] not in fields):
            raise ValueError(f"{{{{{action}}}}} is not a field ({', '.join(sorted(fields))})")
        if re.fullmatch(r"[a-zA-Z]+", action) and action not in _WORDS:
            raise ValueError(f"{{{{{action}}}}} is not a function")


def execute(text: str, values: Mapping[str, str]) -> str:
    """The text with fields filled in; what is no plain field is left empty."""
    return _ACTION.sub(lambda match: values.get(match[1].removeprefix("."), ""), text)
