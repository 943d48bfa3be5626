"""Durations and quantities as users of Go and Kubernetes write them, as types for the models of this package.

Files hold strings (`90s`, `1m30s`, `12Gi`, `15%`); attributes hold plain numbers, seconds in those named `*_s`.
"""

import contextlib
import math
import re
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from kpasim.spec import goparse
from kpasim.spec.base import wrong

DURATION_PATTERN = r"^[+-]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$"
"""What a duration looks like, for editors that check files against the JSON schema."""

LONGEST_S = 1e9
"""Longest time in a file, some thirty years: nanoseconds of a few such times add up within 63 bits."""

_RATE_UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "day": 86_400.0}
RATE_PATTERN = r"^[0-9]+(\.[0-9]+)?/(s|min|h|day)$"
"""What a rate with a unit looks like, for editors that check files against the JSON schema."""
_RATE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*/\s*(s|min|h|day)\s*")


def seconds(value: object) -> float:
    """Seconds of a duration: Go's text (`90s`, `1m30s`) or a bare number of seconds.

    Raises:
        ValueError: Neither of them, or not finite; the message says what would be right.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("is not a duration; write 30s, 1m30s or 500ms")
    if isinstance(value, str):
        try:
            return goparse.parse_duration(value) / 1e9
        except goparse.TooLongError:
            raise ValueError("is too long (at most 2562047h, some 292 years)") from None
        except ValueError:
            raise ValueError(f"is not a duration; write {_likely_duration(value)}") from None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("is not a finite duration; write 30s, 1m30s or 500ms")
    return number


def _likely_duration(text: str) -> str:
    """What the author of a refused duration may have meant."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", text)
    if match is None:
        return "30s, 1m30s or 500ms"
    number, unit = match.groups()
    unit = unit.lower()
    if unit in {"d", "day", "days"}:
        return f"{goparse.format_float(float(number) * 24)}h"
    for name, words in {
        "s": ("", "s", "sec", "secs", "second", "seconds"),
        "m": ("m", "min", "mins", "minute", "minutes"),
        "h": ("h", "hr", "hrs", "hour", "hours"),
        "ms": ("ms", "msec", "millisecond", "milliseconds"),
    }.items():
        if unit in words:
            return f"{number}{name}"
    return "30s, 1m30s or 500ms"


def duration_text(value_s: float) -> str:
    """The shortest Go duration for that many seconds: 90 becomes `1m30s`, 3600 becomes `1h`, 0.5 becomes `500ms`."""
    text = goparse.format_duration(round(value_s * 1e9))
    if text.endswith("m0s"):
        text = text[:-2]
    if text.endswith("h0m"):
        text = text[:-2]
    return text


def quantity(value: object) -> float:
    """Number of a Kubernetes quantity: `12Gi`, `500m`, `1e9`, or a bare number.

    Raises:
        ValueError: Not a quantity; the message says what would be right.
    """
    text = str(value)
    with contextlib.suppress(ValueError, OverflowError):
        # A suffix alone is 0 to Kubernetes, and a slip of whoever writes a size.
        if re.search("[0-9]", text):
            return float(amount(text))
    raise ValueError("is not a quantity; write 12Gi, 500M or 1.5e9")


def quantity_text(value: float) -> str:
    """The shortest Kubernetes quantity for a number: `12Gi`, `40M`, `0.5` becomes `500m`."""
    if value == 0:
        return "0"
    if value != int(value):
        milli = value * 1000
        return f"{int(milli)}m" if milli == int(milli) else repr(value)
    whole = int(value)
    for suffix in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki", "E", "P", "T", "G", "M", "k"):
        count, rest = divmod(whole, int(amount(f"1{suffix}")))
        if count and not rest:
            return f"{count}{suffix}"
    return str(whole)


_PARTS = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+)|([KMGTPE]i)|([numkMGTPE]))?")
_DECIMAL_POWERS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIXES = {power: suffix for suffix, power in _DECIMAL_POWERS.items()}
_BINARY_SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_MOST_DIGITS = 400


def amount(value: str | float) -> Fraction:
    """The exact number of a quantity, rounded away from zero to a billionth, as Kubernetes holds it.

    Raises:
        ValueError: Not a quantity.
    """
    return _parsed(str(value))[0]


def canonical(value: str | float) -> str:
    """The text that Kubernetes writes for a quantity: short, in the family of suffixes that it was written in.

    Raises:
        ValueError: Not a quantity.
    """
    text = str(value).strip()
    number, family, is_kept = _parsed(text)
    if is_kept:
        return text
    if number == 0:
        return "0"
    if family == "i" and abs(number) >= 1024 and number.denominator == 1:
        whole, power = number.numerator, 0
        while whole % 1024 == 0:
            whole, power = whole // 1024, power + 1
        return f"{whole}{_BINARY_SUFFIXES[power]}"
    power = -9
    number *= 10**9
    while number % 1000 == 0:
        number, power = number / 1000, power + 3
    if family == "e":
        return f"{number}e{power}" if power else str(number)
    # Kubernetes leaves out a suffix that there is none for.
    return f"{number}{_DECIMAL_SUFFIXES.get(power, '')}"


def _parsed(text: str) -> tuple[Fraction, Literal["", "e", "i"], bool]:
    """The number of a quantity, the family of its suffix, and whether Kubernetes keeps its text.

    Without any digits it is 0, but not where Kubernetes leaves its fast path.

    Source:
        kubernetes/apimachinery@v0.35.7, pkg/api/resource/quantity.go: ``ParseQuantity``, ``CanonicalizeBytes``.
    """
    match = _PARTS.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text!r} is not a quantity")
    sign, whole, fraction, exponent, binary, decimal = match.groups(default="")
    if len(exponent) > 4 or len(whole) + len(fraction) > _MOST_DIGITS:
        raise ValueError(f"{text!r} is out of range")
    whole = whole or "0"
    digits = whole + fraction
    number = Fraction(int(digits), 10 ** len(fraction))
    if binary:
        power = _BINARY_SUFFIXES.index(binary)
        number *= 1024**power
        is_fast = not fraction and 14 - len(whole) - 3 * power >= 0
        is_kept = int(digits) % 8 != 0
    else:
        scale = int(exponent) if exponent else _DECIMAL_POWERS[decimal]
        number *= Fraction(10) ** scale
        scale -= len(fraction)
        is_fast = len(digits) <= 18 and scale >= -9
        is_kept = scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0"
    if not is_fast:
        if not re.search("[0-9]", text.rstrip("KMGTPEi") if binary else text.partition("e")[0].partition("E")[0]):
            raise ValueError(f"{text!r} is not a quantity")
        number = Fraction(math.ceil(number * 10**9), 10**9)
        if binary:
            number = min(number, Fraction(2**63 - 1))
    family: Literal["", "e", "i"] = "e" if exponent else "i" if binary and not (0 < number < 1 and not is_fast) else ""
    return -number if sign == "-" else number, family, is_fast and is_kept


def share(value: object) -> float:
    """A share between 0 and 1, written `15%` or `0.15`.

    Raises:
        ValueError: Not a number.
    """
    if isinstance(value, str):
        number = value.strip().removesuffix("%")
        try:
            return goparse.parse_float(number) / (100.0 if value.strip().endswith("%") else 1.0)
        except ValueError:
            raise ValueError("is not a share; write 15% or 0.15") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a share; write 15% or 0.15")
    return float(value)


def rate(value: object) -> float:
    """Events per second of a rate: a number, or a text with its unit: `500/day`, `20/h`, `3/min`, `2/s`.

    Raises:
        ValueError: Neither of them; the message says what would be right.
    """
    if isinstance(value, str):
        match = _RATE.fullmatch(value)
        if match is not None:
            return float(match[1]) / _RATE_UNITS_S[match[2]]
    elif not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise ValueError("is not a rate; write 0.5 (per second), 20/h or 500/day")


def _checked(read: Any) -> BeforeValidator:
    """The reader as a validator; its message reaches the user without pydantic's words around it."""

    def validate(value: object) -> float:
        try:
            number: float = read(value)
        except ValueError as err:
            raise wrong(str(err)) from None
        return number

    return BeforeValidator(validate)


def _schema(kind: str, **bounds: object) -> WithJsonSchema:
    if kind == "rate":
        text = {"type": "string", "pattern": RATE_PATTERN}
        return WithJsonSchema({"anyOf": [{"type": "number", **bounds}, text], "examples": [0.5, "20/h", "500/day"]})
    if kind == "duration":
        text = {"type": "string", "pattern": DURATION_PATTERN}
        return WithJsonSchema({"anyOf": [text, {"type": "number", **bounds}], "examples": ["30s", "1m30s", "500ms"]})
    return WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number", **bounds}], "examples": ["12Gi", "40M"]})


_SECONDS = (_checked(seconds), PlainSerializer(duration_text, return_type=str, when_used="json-unless-none"))
_QUANTITIES = (_checked(quantity), PlainSerializer(quantity_text, return_type=str, when_used="json-unless-none"))

Seconds = Annotated[float, Field(ge=0, le=LONGEST_S), *_SECONDS, _schema("duration", minimum=0)]
"""A duration that may be zero."""
PositiveSeconds = Annotated[float, Field(gt=0, le=LONGEST_S), *_SECONDS, _schema("duration", exclusiveMinimum=0)]
"""A duration that may not be zero."""
Rate = Annotated[float, Field(ge=0, le=1e6), _checked(rate), _schema("rate", minimum=0, maximum=1e6)]
"""Events per second, zero allowed; text with a unit: `20/h`, `500/day`."""
PositiveRate = Annotated[float, Field(gt=0, le=1e6), _checked(rate), _schema("rate", exclusiveMinimum=0, maximum=1e6)]
"""Events per second; text with a unit: `20/h`, `500/day`."""
Quantity = Annotated[float, Field(gt=0), *_QUANTITIES, _schema("quantity", exclusiveMinimum=0)]
"""A positive Kubernetes quantity."""
Share = Annotated[
    float,
    Field(ge=0, le=1),
    _checked(share),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number", "minimum": 0, "maximum": 1}]}),
]
"""A share between 0 and 1."""
