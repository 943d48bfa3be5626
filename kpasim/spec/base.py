"""What all file models share: refused unknown keys, kebab-case names, and problems that name line and key."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, StrictBool, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError

from kpasim.errors import ExperimentError, FileError, Problem

Place = tuple[str | int, ...]
"""Keys and list positions that lead to a value in a document."""

Lines = Mapping[Place, int]
"""Line, counted from 1, of every value of a document."""

Whole = Annotated[int, Field(strict=True, ge=0, le=10**9)]
"""A whole number, zero allowed; `5.0`, `"5"` and `true` are refused."""
Count = Annotated[int, Field(strict=True, ge=1, le=10**9)]
"""A whole number of at least one."""
Number = Annotated[float, Field(strict=True, ge=0)]
"""A number that is not negative."""
Positive = Annotated[float, Field(strict=True, gt=0)]
"""A number above zero."""
Flag = StrictBool
"""`true` or `false`."""


def key_of(name: str) -> str:
    """The key in a file for an attribute: `response_start_s` is written `response-start`."""
    return name.removesuffix("_s").replace("_", "-")


class Spec(BaseModel):
    """A mapping in a file: keys in kebab-case, unknown ones refused, values fixed once read."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=key_of,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def wrong(reason: str) -> PydanticCustomError:
    """An error for validators of this package; `reason` is shown to the user as it is."""
    return PydanticCustomError("kpasim", "{reason}", {"reason": reason})


def names_differ(members: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a list two members of which have one ``name``; for use as a field validator."""
    names = [one.name for one in members]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise wrong(f"has two members named {twice!r} (each needs a name of its own)")
    return members


@dataclass(frozen=True)
class NamedOr:
    """In the JSON schema: a file's name, or what `model` reads."""

    model: type[BaseModel] | None = None

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        other = {"type": "object"} if self.model is None else handler(self.model.__pydantic_core_schema__)
        return {"anyOf": [{"type": "string"}, other]}


class ManyFilesError(ExperimentError):
    """Several files of one experiment that cannot be used as written.

    Attributes:
        errors: One error for each file.
    """

    def __init__(self, errors: Sequence[FileError]) -> None:
        self.errors = tuple(errors)
        super().__init__(errors[0].path, [problem for error in errors for problem in error.problems])
        self.args = ("\n".join(str(error) for error in errors),)


def dotted(place: Iterable[str | int]) -> str:
    """A place as people write it: `cold-start.stages[1].time`."""
    text = ""
    for part in place:
        word = part if isinstance(part, int) or part.isprintable() else repr(part)[1:-1]
        text += f"[{word}]" if isinstance(part, int) else f".{word}" if text else str(word)
    return text


def value_at(data: Any, place: Place) -> Any:
    """The value at a place of an object, None where there is none."""
    for part in place:
        try:
            data = data[part]
        except (LookupError, TypeError):
            return None
    return data


def replaced(data: Any, place: Place, value: Any) -> Any:
    """A copy with one value changed, sharing all that is beside the way to it."""
    if not place:
        return value
    head, rest = place[0], place[1:]
    if isinstance(data, list | tuple):
        return [replaced(one, rest, value) if index == head else one for index, one in enumerate(data)]
    copy = dict(data or {})
    if not rest and value is None:
        copy.pop(str(head), None)
    else:
        copy[str(head)] = replaced(copy.get(str(head)), rest, value)
    return copy


def mapping_of(value: Any) -> Mapping[str, Any]:
    """A value of unchecked data where it is a mapping, else nothing."""
    return value if isinstance(value, Mapping) else {}


def list_of(value: Any) -> list[Any]:
    """A value of unchecked data where it is a list, else nothing."""
    return value if isinstance(value, list) else []


def mappings_of(value: Any) -> list[Mapping[str, Any]]:
    """The mappings in a value of unchecked data where it is a list, else nothing."""
    return [one for one in list_of(value) if isinstance(one, Mapping)]


def line_of(place: Place, lines: Lines) -> int | None:
    """Line of the value, or of the nearest mapping or list around it that has one."""
    for length in range(len(place), -1, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return None


def problem_at(place: Place, message: str, lines: Lines | None) -> Problem:
    """What is wrong at a place of a document, with its line."""
    return Problem(dotted(place), message, line_of(place, lines or {}))


def suggestion(word: str, known: Iterable[str]) -> str:
    """`did you mean x?`, or the few words that are known, or nothing."""
    words = sorted(known)
    lowered = {other.lower().replace("_", "-"): other for other in words}
    close = difflib.get_close_matches(word.lower().replace("_", "-"), lowered, n=1, cutoff=0.6)
    if close:
        return f"did you mean {lowered[close[0]]}?"
    return f"one of {', '.join(words)}" if 0 < len(words) <= 24 else ""


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """What to say about a key, a field or a setting that nothing reads."""
    hint = suggestion(word, known)
    return f"unknown {what} ({hint})" if hint else f"unknown {what}"


def problems_of(
    error: ValidationError, model: type[Spec], data: object, lines: Lines, prefix: Place = (), *, within: Place = ()
) -> list[Problem]:
    """Turn pydantic's errors into problems with line and key, one for each key, in the order of the file.

    ``data`` is what was validated, or the whole of it where only the part at ``within`` was; in the document of
    ``lines`` it stands at ``prefix``.
    """
    found: dict[tuple[str, str], tuple[int, Problem]] = {}
    for details in error.errors(include_url=False):
        if details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]:
            continue  # pydantic counts the entries that are right; those that are wrong have lines of their own.
        place, known = _locate((*within, *details["loc"]), model, data)
        line = line_of(prefix + place, lines)
        problem = Problem(dotted(prefix + place), _message(details, place, known), line)
        found.setdefault((problem.place, problem.message), (line or 0, problem))
    return [problem for _, problem in sorted(found.values(), key=lambda pair: pair[0])]


def _locate(loc: Sequence[str | int], model: type[Spec], data: object) -> tuple[Place, list[str]]:
    """The place of pydantic's location, without the tags of unions in it, and the keys of the mapping around it."""
    place: list[str | int] = []
    models: list[type[Spec]] = [model]
    around = models
    for position, part in enumerate(loc):
        inside = (isinstance(data, Mapping) and part in data) or (
            isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        )
        fields = [field for one in models for name, field in one.model_fields.items() if part in {field.alias, name}]
        if inside or (fields and position == len(loc) - 1 and isinstance(data, Mapping)):
            place.append(part)
            around = models
            if inside:
                data = data[part]  # type: ignore[index]
            if fields:
                models = [spec for field in fields for spec in _specs_in(field.annotation)]
        else:
            tagged = [
                one
                for one in models
                if any(part in typing.get_args(field.annotation) for field in one.model_fields.values())
            ]
            models = tagged or models
    return tuple(place), sorted({str(field.alias) for one in around for field in one.model_fields.values()})


def _specs_in(annotation: Any) -> list[type[Spec]]:
    """The file models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return [annotation]
    return [spec for part in typing.get_args(annotation) for spec in _specs_in(part)]


def show(value: object) -> str:
    """A value as it may be quoted in one line of a message."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else f"{value:.12g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def not_right(value: object, wanted: str) -> str:
    """What to say about a value that is none of those which may stand at its place."""
    return f"{show(value)} is not right (must be {wanted})"


_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "above"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "below"),
}
_WANTED = {
    **dict.fromkeys(("int_type", "int_from_float"), "a whole number"),
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text; put it in quotes",
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "a mapping (key: value)"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    "finite_number": "a finite number",
}
_SHAPES = {"kind": "hey, poisson, steps or replay", "distribution": "lognormal, uniform, gamma or empirical"}
"""Words that say which of several shapes a mapping has, and a few of each."""


def _message(details: ErrorDetails, place: Place, known: list[str]) -> str:
    """What is wrong with one value and what would be right, in one line."""
    kind = details["type"]
    value = details.get("input")
    context = details.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown("key", str(place[-1]), known)
    if kind == "missing":
        return "is missing"
    if kind == "kpasim":
        return details["msg"] if isinstance(value, Mapping | Spec | list | tuple) else f"{show(value)} {details['msg']}"
    if kind in _BOUNDS:
        key, word = _BOUNDS[kind]
        return f"{show(value)} is out of range (must be {word} {context[key]:g})"
    if kind in {"literal_error", "union_tag_invalid"}:
        expected = str(context.get("expected") or context.get("expected_tags"))
        words = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
        given = context.get("tag", value)
        hint = suggestion(str(given), words)
        return f"{show(given)} is not known ({hint or 'one of ' + ', '.join(words)})"
    if kind == "union_tag_not_found":
        word = str(context["discriminator"]).strip("'")
        return f"{word} is missing ({word}: {_SHAPES[word]}, for example)"
    if kind in _WANTED:
        return not_right(value, _WANTED[kind])
    if kind == "too_short":
        return f"has {context['actual_length']} entries (at least {context['min_length']})"
    if kind == "too_long":
        return f"has too many entries (at most {context['max_length']})"
    return f"{show(value)}: {details['msg']}"


def validate(model: type[_S], data: object, path: str | Path, lines: Lines | None = None, prefix: Place = ()) -> _S:
    """Make a model of a mapping, or say everything that is wrong with it.

    Raises:
        ExperimentError: One problem for each key that is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ExperimentError(path, problems_of(error, model, data, lines or {}, prefix)) from None


_S = typing.TypeVar("_S", bound=Spec)
