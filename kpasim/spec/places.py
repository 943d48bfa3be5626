"""Settings addressed by dotted paths in the plain mapping of a file: `model.cold-start.stages.pull.time`."""

from collections.abc import Mapping
from typing import Any

from kpasim.spec.base import Place, dotted, replaced, show, suggestion
from kpasim.spec.model import draws_of

FREE_KEYS = {"per-instance-type", "prices", "tolerances"}
"""Mappings whose keys are names, which may hold dots."""


def expanded(raw: dict[str, Any]) -> dict[str, Any]:
    """A file's mapping with its short forms written out, so that settings inside them can be addressed."""
    raw = dict(raw)
    for key, name in (("start", "state"), ("autoscaler", "kind")):
        if isinstance(raw.get(key), str):
            raw[key] = {name: raw[key]}
    if isinstance(raw.get("model"), Mapping):
        model = raw["model"] = dict(raw["model"])
        time, start = model.get("service-time"), model.get("cold-start")
        if time is not None and (not isinstance(time, Mapping) or "distribution" in time):
            model["service-time"] = {"time": time}
        if start is not None and (not isinstance(start, Mapping) or "distribution" in start):
            model["cold-start"] = {"stages": [{"name": "start", "time": start}]}
    return raw


def place_of(raw: Mapping[str, Any], path: str) -> Place:
    """Where in the mapping a dotted path leads; list members may be named.

    Raises:
        ValueError: It leads through something that holds nothing.
    """
    rest = path.split(".")
    place: list[str | int] = []
    data: Any = raw
    while rest:
        if isinstance(data, list | tuple):
            index, parts = _member(data, rest, dotted(place))
            place.append(index)
            rest = rest[parts:]
            data = data[index]
            continue
        if data is not None and not isinstance(data, Mapping):
            raise ValueError(f"{dotted(place)} is {show(data)} and has no {'.'.join(rest)} (write it as a mapping)")
        length = len(rest) if place and place[-1] in FREE_KEYS else 1
        for count in range(len(rest), 1, -1):
            if data and ".".join(rest[:count]) in data:
                length = count
                break
        key = ".".join(rest[:length])
        place.append(key)
        rest = rest[length:]
        data = data.get(key) if data else None
    return tuple(place)


def without_draws(raw: dict[str, Any], place: Place) -> dict[str, Any]:
    """The mapping without the draws of the model's posterior for what stands at a place, in it or around it."""
    model = raw.get("model")
    if place[:1] != ("model",) or len(place) < 2 or place[1] == "posterior" or not isinstance(model, Mapping):
        return raw
    draws = draws_of(model.get("posterior"))
    if not draws:
        return raw
    kept = [name for name in draws[0] if not _one_holds_the_other(("model", *place_of(model, name)), place)]
    if len(kept) == len(draws[0]):
        return raw
    rest = [{name: draw[name] for name in kept} for draw in draws] if kept else None
    changed: dict[str, Any] = replaced(raw, ("model", "posterior"), rest)
    return changed


def _one_holds_the_other(one: Place, other: Place) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _member(items: list[Any] | tuple[Any, ...], rest: list[str], where: str) -> tuple[int, int]:
    """Position of a list member by its name or its number, and how many parts of the path that takes.

    Names may hold dots, as those of instance types do.

    Raises:
        ValueError: There is none.
    """
    names = [str(one.get("name")) if isinstance(one, Mapping) else "" for one in items]
    for count in range(len(rest), 0, -1):
        if (name := ".".join(rest[:count])) in names:
            return names.index(name), count
    word = rest[0]
    if word.isdigit() and int(word) < len(items):
        return int(word), 1
    hint = suggestion(word, [name for name in names if name]) or f"0 to {len(items) - 1}"
    raise ValueError(f"{where} has no member {word!r} ({hint})")
