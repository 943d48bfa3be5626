"""Writing a model file: what was fitted, and in its ``source`` how, from what and how surely."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import LiteralScalarString

DIGITS = 5
WIDTH = 1000


def duration(seconds: float) -> str:
    """A time as model files write it."""
    return f"{np.format_float_positional(rounded(seconds), trim='-')}s"


def rounded(value: float) -> float:
    """A number with as many digits as a fit is worth."""
    return float(f"{value:.{DIGITS}g}")


_DURATIONS = {"median", "mean", "shift", "scale", "low", "high", "time"}


def written(time: Any) -> Any:
    """A fitted distribution, times in seconds, as model files write it: times with their unit."""
    if isinstance(time, Mapping):
        return {
            key: duration(value)
            if key in _DURATIONS and isinstance(value, float | int)
            else [duration(one) for one in value]
            if key == "values"
            else written(value)
            if isinstance(value, Mapping | list | tuple)
            else _part(value)
            for key, value in time.items()
        }
    if isinstance(time, list | tuple):
        return [_part(one) for one in time]
    return duration(time)


def _part(value: Any) -> Any:
    if isinstance(value, Mapping):
        return written(value)
    return rounded(value) if isinstance(value, float) else value


def settings(time: Any, place: str, *, whole: bool = False) -> dict[str, Any]:
    """A distribution as settings by their places in a model file: one for each number in it, or the whole at once."""
    if whole or not isinstance(time, Mapping):
        return {place: written(time)}
    found: dict[str, Any] = {}
    for key, value in time.items():
        if key == "components":
            for number, part in enumerate(value):
                found |= settings(dict(part), f"{place}.components.{number}")
        elif key != "distribution":
            found[f"{place}.{key}"] = duration(value) if key in _DURATIONS else rounded(value)
    return found


def text(model: Mapping[str, Any], comment: Sequence[str] = ()) -> str:
    """The YAML of a model file, below some lines of comment."""
    out = io.StringIO()
    yaml = YAML()
    yaml.width = WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    laid_out = _laid_out({key: value for key, value in model.items() if key != "posterior"})
    if model.get("posterior"):
        laid_out["posterior"] = LiteralScalarString(table(model["posterior"]))
    yaml.dump(laid_out, out)
    return "".join(f"# {line}\n" for line in comment) + out.getvalue()


def _laid_out(value: Any) -> Any:
    """Mappings and lists of plain values in one line, all others in a block."""
    if isinstance(value, Mapping):
        mapping = CommentedMap({key: _laid_out(one) for key, one in value.items()})
        if all(not isinstance(one, Mapping | list | tuple) for one in value.values()) and "name" not in value:
            mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list | tuple):
        sequence = CommentedSeq(_laid_out(one) for one in value)
        plain = value and all(not isinstance(one, Mapping | list | tuple) for one in value)
        # Short texts in a line; `source` holds sentences.
        if plain and not any(isinstance(one, str) and " " in one for one in value):
            sequence.fa.set_flow_style()
        return sequence
    return value


def table(draws: Sequence[Mapping[str, Any]]) -> str:
    """Draws of the same places as a table: YAML takes long to read thousands of values."""
    values = ([draw[place] for place in draws[0]] for draw in draws)
    cells = ([json.dumps(one) if isinstance(one, Mapping) else str(one) for one in row] for row in values)
    rows = [list(draws[0]), *cells]
    return "".join(", ".join(row) + "\n" for row in rows)
