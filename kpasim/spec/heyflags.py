"""hey's command line as a workload."""

import shlex
from typing import Any

from kpasim.errors import ExperimentError
from kpasim.spec.goparse import parse_duration, parse_float, parse_int

_WITH_VALUE = {"m", "A", "T", "d", "D", "H", "a", "x", "U", "o", "host", "cpus"}
_WITHOUT_VALUE = {"h2", "disable-compression", "disable-keepalive", "disable-redirects"}
_READERS: dict[str, tuple[str, Any, str]] = {
    "n": ("requests", parse_int, "a whole number"),
    "c": ("concurrency", parse_int, "a whole number"),
    "t": ("timeout", parse_int, "whole seconds, 0 for none"),
    "q": ("qps", parse_float, "a number"),
    "z": ("duration", parse_duration, "a duration such as 3m"),
}


def parse_hey(flags: str) -> dict[str, Any]:
    """The workload of a hey command line: `-n 50 -c 5 -t 180`, the word `hey` and a URL allowed.

    Flags that do not change when requests are sent are passed over.

    Raises:
        ExperimentError: A flag hey does not have, or a value it would refuse.
    """
    try:
        words = shlex.split(flags)
    except ValueError as err:
        raise ExperimentError.of("hey", f"{flags!r} cannot be split into words ({err})") from None
    workload: dict[str, Any] = {"kind": "hey"}
    if words[:1] == ["hey"]:
        words = words[1:]
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            continue
        name, equals, text = word.lstrip("-").partition("=")
        if name in _WITHOUT_VALUE:
            continue
        if name not in _READERS and name not in _WITH_VALUE:
            known = ", ".join(f"-{one}" for one in _READERS)
            raise ExperimentError.of("hey", f"unknown flag ({known} matter here)", place=f"-{name}")
        if not equals:
            if not words:
                raise ExperimentError.of("hey", "has no value", place=f"-{name}")
            text = words.pop(0)
        if name in _READERS:
            key, parse, wanted = _READERS[name]
            try:
                number = parse(text)
            except ValueError:
                message = f"{text!r} is not right (must be {wanted})"
                raise ExperimentError.of("hey", message, place=f"-{name}") from None
            workload[key] = number / 1e9 if name == "z" else number
    return workload
