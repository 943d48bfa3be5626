"""Checks of single fields, as tables of kpasim/data/service.toml have them."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from kpasim.spec import names
from kpasim.spec.base import Place, show
from kpasim.spec.webhook.fields import CHECKS
from kpasim.spec.webhook.verdict import Fault, Faults


def descends(path: str) -> bool:
    """Whether a path stays below the folder it is relative to."""
    return not path.startswith("/") and ".." not in path.split("/")


def _is_file(path: str) -> bool:
    """Whether the path of a file of a volume is relative, and none of Kubernetes' own."""
    return descends(path) and not path.startswith("..")


_KINDS: dict[str, tuple[Callable[[str], bool], str]] = {
    "label": (names.is_label, "a DNS label"),
    "subdomain": (names.is_subdomain, "a DNS subdomain"),
    "service": (names.is_service_name, "a DNS label that begins with a letter"),
    "qualified": (names.is_qualified, "a name of Kubernetes, with or without a domain before a slash"),
    "image": (names.is_image, "the name of an image, such as registry/name:tag"),
    "variable": (names.is_env_name, "the name of a variable"),
    "config-key": (names.is_config_key, "a key of a ConfigMap or Secret"),
    "port": (names.is_port_name, "the name of a port"),
    "header": (names.is_header, "the name of a header"),
    "address": (names.is_address, "an IP address"),
    "path": (descends, "relative, without '..'"),
    "file": (_is_file, "relative, without '..'"),
}


class _Check(NamedTuple):
    rule: str
    path: Sequence[str]
    when: str
    kind: str
    words: Sequence[str]

    def fault(self, value: Any) -> str:
        """What is wrong with a value, None where it is not given; empty where nothing is."""
        if self.kind == "required":
            return "" if value else "is missing"
        if self.kind == "absent":
            return "may not be set" if value or value == {} else ""
        if (value is None and self.when != "needs") or (value == "" and not self.when):
            return ""
        complaint = "is not right"
        if self.kind == "in":
            low, high = map(int, self.words)
            right, wanted, complaint = low <= (value or 0) <= high, f"in [{low}, {high}]", "is out of range"
        elif self.kind == "one":
            right, wanted = value in self.words[1:], " or ".join(self.words[1:])
        else:
            is_right, wanted = _KINDS[self.words[0]]
            right = is_right(value or "")
        has = "is missing" if value in {None, ""} else f"{show(value)} {complaint}"
        return "" if right else f"{has} (must be {wanted})"


@cache
def _checks(table: str) -> tuple[_Check, ...]:
    found = []
    for rule, rows in CHECKS[table].items():
        for row in rows.strip().splitlines():
            path, *words = row.split()
            when = words.pop(0) if words[0] in {"given", "needs"} else ""
            groups = [part.split(",") for part in re.split(r"[{}]", path)] if "{" in path else [[path]]
            for parts in itertools.product(*groups):
                keys = "".join(parts).replace("[]", ".[]").lstrip(".").split(".")
                found.append(_Check(rule, keys, when, words[0], words[1:]))
    return tuple(found)


def _values(data: Any, path: Sequence[str], place: Place) -> Iterator[tuple[Place, Any]]:
    """The values at a path, and their places; None for a field that is not in its object."""
    if not path:
        yield place, data
    elif path[0] == "[]":
        for index, one in enumerate(data or ()):
            yield from _values(one, path[1:], (*place, index))
    elif data is not None:
        yield from _values(data.get(path[0]), path[1:], (*place, path[0]))


def field_faults(table: str, data: Mapping[str, Any]) -> Faults:
    """What is wrong with single fields of a decoded object, by a table of service.toml."""
    for check in _checks(table):
        for place, value in _values(data, check.path, ()):
            if message := check.fault(value):
                yield Fault(check.rule, place, message)
