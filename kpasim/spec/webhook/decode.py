"""Decode an object as the API server does: unknown fields are dropped and named, wrong types refused."""

import re
from collections.abc import Mapping
from typing import Any

from kpasim.spec.base import Place, not_right, show
from kpasim.spec.quantities import amount
from kpasim.spec.webhook.fields import Entries, Field, Fields, Items
from kpasim.spec.webhook.verdict import Fault

_TIME = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}([.,][0-9]+)?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
_BITS = {"int32": 32, "int64": 64}


class Decoder:
    """Takes values out of an object.

    Attributes:
        unknown: Places of the fields that were dropped.
        faults: Values of a wrong type.
    """

    def __init__(self) -> None:
        self.unknown: list[Place] = []
        self.faults: list[Fault] = []

    def decode(self, field: Field, value: Any, place: Place = ()) -> Any:
        """The value with null and unknown fields left out; None where its type is wrong."""
        if isinstance(field, Fields):
            return self._fields(field, value, place)
        if isinstance(field, Entries):
            return self._entries(field, value, place)
        if isinstance(field, Items):
            return self._items(field, value, place)
        return self._scalar(field, value, place)

    def _fields(self, field: Fields, value: Any, place: Place) -> Any:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            return self._wrong(place, value, "a mapping")
        result: dict[Any, Any] = {}
        # Go's decoder does not look at upper and lower case.
        lowered = {} if field.others == "named" else {one.lower(): one for one in field.names}
        for key, part in value.items():
            name: Any = key if key in field.names else lowered.get(str(key).lower(), key)
            inner = field.names.get(name)
            if inner == "pruned" or (inner is None and field.others == "named"):
                self.unknown.append((*place, key))
            elif part is not None and (inner is not None or field.others == "kept"):
                decoded = part if inner is None else self.decode(inner, part, (*place, key))
                if decoded is not None:
                    result[name] = decoded
        return result

    def _entries(self, field: Entries, value: Any, place: Place) -> Any:
        if not isinstance(value, Mapping):
            return self._wrong(place, value, "a mapping")
        decoded = {
            key: self.decode(field.values, part, (*place, key))
            for key, part in value.items()
            if part is not None or not field.typed
        }
        return {str(key): part for key, part in decoded.items() if part is not None}

    def _items(self, field: Items, value: Any, place: Place) -> Any:
        if not isinstance(value, list):
            return self._wrong(place, value, "a list")
        result = [self.decode(field.item, part, (*place, index)) for index, part in enumerate(value)]
        seen = set()
        for index, part in enumerate(result):
            name = part.get(field.key, "") if field.key and isinstance(part, dict) else index
            if name in seen:
                self.faults.append(Fault("list-key", (*place, index, field.key), f"{show(name)} is there twice"))
            seen.add(name)
        return [part for part in result if part is not None]

    def _scalar(self, kind: str, value: Any, place: Place) -> Any:
        if kind == "anything":
            return value
        if kind == "text":
            if value is None or isinstance(value, str):
                return value or ""
            return self._wrong(place, value, "text, in quotes")
        if kind == "boolean":
            return value if isinstance(value, bool) else self._wrong(place, value, "true or false")
        number = not isinstance(value, bool) and isinstance(value, int | float)
        if kind == "quantity":
            text = str(value).strip() if number or isinstance(value, str) else ""
            try:
                amount(text)
            except ValueError:
                return self._wrong(place, value, "a quantity such as 500m, 12Gi or 1")
            return text
        if kind == "time":
            is_time = isinstance(value, str) and _TIME.fullmatch(value)
            return value if is_time else self._wrong(place, value, "a time such as 2026-01-31T12:00:00Z")
        if kind == "port" and isinstance(value, str):
            return value
        bits = _BITS.get(kind, 32)
        if not (number and abs(value) < 2**64 and value == int(value)):  # A NaN is not below either.
            return self._wrong(place, value, "a port: a number or a name" if kind == "port" else "a whole number")
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            return self._wrong(place, value, f"a whole number that fits {bits} bits")
        return int(value)

    def _wrong(self, place: Place, value: Any, wanted: str) -> Any:
        """Note a wrong type; there is no value then."""
        self.faults.append(Fault("field-type", place, not_right(value, wanted)))
