"""Values of a sweep's axes, in tables and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def cells(values: Sequence[Any]) -> list[Any]:
    """Values of an axis as a table has them: numbers where all are numbers, else text."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return list(values) if all(isinstance(value, int) for value in values) else [float(value) for value in values]
    return [value_text(value) for value in values]


def value_text(value: Any) -> str:
    """A value of an axis as people read it: the names of instance types joined by commas, ``default`` for none.

    A mapping with a kind, such as an autoscaler or a load, is ``spare (pods 2)``.
    """
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list | tuple):
        return ",".join(value_text(one) for one in value)
    if isinstance(value, dict) and "name" not in value and "kind" in value:
        rest = ", ".join(f"{key} {value_text(one)}" for key, one in value.items() if key != "kind")
        return f"{value['kind']} ({rest})" if rest else str(value["kind"])
    return str(value["name"]) if isinstance(value, dict) and "name" in value else str(value)
