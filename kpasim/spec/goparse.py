"""Numbers, booleans and durations as Go's standard library reads and writes them.

Knative hands the text of a ConfigMap key or of an annotation to `strconv` or to `time.ParseDuration`. What
Python would accept and Go would not (`" 1"`, `"yes"`, `"0x10"`), or the other way round (`"1_000"`, `".5m"`),
decides whether a manifest is refused, so the rules are written out here.

Source:
    Go, src/strconv/atof.go, atoi.go, atob.go; src/time/format.go (``ParseDuration``), src/time/time.go
    (``Duration.String``).
"""

import re

_MAX_INT64 = 2**63 - 1
_DECIMAL = re.compile(
    r"[+-]?(?:[0-9](?:_?[0-9])*\.?(?:[0-9](?:_?[0-9])*)?|\.[0-9](?:_?[0-9])*)(?:[eE][+-]?[0-9](?:_?[0-9])*)?"
)
_HEX_DIGITS = r"[0-9a-fA-F](?:_?[0-9a-fA-F])*"
_HEXADECIMAL = re.compile(
    rf"[+-]?0[xX](?:_?{_HEX_DIGITS}\.?(?:{_HEX_DIGITS})?|\.{_HEX_DIGITS})"
    r"[pP][+-]?[0-9](?:_?[0-9])*"
)
_INFINITY = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


class OutOfRangeError(ValueError):
    """The text is a number, but too large for the type Go reads it into."""


def parse_float(text: str) -> float:
    """Read a 64-bit number; `NaN`, `Inf` and hexadecimal floats are numbers to Go.

    Raises:
        OutOfRangeError: The number is finite and overflows.
        ValueError: The text is not a number.
    """
    if text.lower() == "nan":
        return float("nan")
    if _INFINITY.fullmatch(text):
        return float(text)
    if _HEXADECIMAL.fullmatch(text):
        try:
            return float.fromhex(text.replace("_", ""))
        except OverflowError as err:
            raise OutOfRangeError(text) from err
    if not _DECIMAL.fullmatch(text):
        raise ValueError(text)
    value = float(text.replace("_", ""))
    if value in {float("inf"), float("-inf")}:
        raise OutOfRangeError(text)
    return value


def parse_int(text: str, bits: int = 64) -> int:
    """Read a signed decimal integer of that many bits.

    Raises:
        OutOfRangeError: The number does not fit.
        ValueError: The text is not an integer (`1.0`, `1_000` and `" 1"` are not).
    """
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    digits = text.lstrip("+-").lstrip("0")
    value = int(text) if len(digits) <= 20 else (-(2**bits) if text[0] == "-" else 2**bits)
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise OutOfRangeError(text)
    return value


def parse_bool(text: str) -> bool:
    """Read a boolean: `1 t T TRUE true True` or `0 f F FALSE false False`, nothing else.

    Raises:
        ValueError: Any other text, `yes` and `on` among them.
    """
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(text)


class TooLongError(ValueError):
    """A duration beyond the 292 years that 63 bits of nanoseconds hold."""


def parse_duration(text: str) -> int:
    """Read a duration such as `1m30s`, `.5m`, `-100ms` or `0` into nanoseconds.

    Raises:
        ValueError: The text is not a duration (a number without a unit, a space, `1d`), or it is longer than the
            292 years that 63 bits of nanoseconds hold.
    """
    rest = text
    negative = rest[:1] == "-"
    if rest[:1] in {"-", "+"}:
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(text)
    total = 0
    limit = _MAX_INT64 + 1
    while rest:
        term = _TERM.match(rest)
        whole, fraction, unit = term.groups() if term else ("", None, "")
        scale = _UNIT_NS.get(unit)
        if scale is None or not (whole or fraction):
            raise ValueError(text)
        value = int(whole or "0") * scale if len(whole) < 20 else limit + 1
        if fraction:
            value += _fraction_ns(fraction, scale)
        total += value
        if total > limit:
            raise TooLongError(text)
        rest = rest[term.end() :] if term else ""
    if negative:
        return -total
    if total > _MAX_INT64:
        raise TooLongError(text)
    return total


def _fraction_ns(digits: str, scale: int) -> int:
    """Nanoseconds in the digits behind the point, cut off as Go cuts them off."""
    value = 0
    power = 1.0
    for digit in digits:
        longer = value * 10 + int(digit)
        if longer > _MAX_INT64:
            break
        value = longer
        power *= 10.0
    return int(float(value) * (float(scale) / power))


def format_duration(nanoseconds: int) -> str:
    """Write a duration the way Go prints it: `1h0m0s`, `1m30s`, `1.5s`, `250ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    rest = abs(nanoseconds)
    if rest < 1_000_000_000:
        for unit in ("ms", "\u00b5s"):
            if rest >= _UNIT_NS[unit]:
                return f"{sign}{_decimal(rest, _UNIT_NS[unit])}{unit}"
        return f"{sign}{rest}ns"
    minutes, rest = divmod(rest, _UNIT_NS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, _UNIT_NS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(value: int, unit: int) -> str:
    """`value / unit` in exact decimal, without trailing zeros."""
    whole, part = divmod(value, unit)
    if not part:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{part:0{digits}d}".rstrip("0")


def format_float(value: float) -> str:
    """Write a number as a person writes it in an annotation: `100`, `0.7`, not `100.0`."""
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(value)
