"""Go's numbers, booleans and durations, as Knative reads them."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.spec.goparse import (
    OutOfRangeError,
    format_duration,
    format_float,
    parse_bool,
    parse_duration,
    parse_float,
    parse_int,
)

UNITS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
LONGEST_NS = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5.0),
        ("+5", 5.0),
        ("-5", -5.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("1_000", 1000.0),
        ("1_2.5_0e+1_0", 12.5e10),
        ("0x1p-2", 0.25),
        ("0X_1.8p1", 3.0),
        ("Inf", math.inf),
        ("-inf", -math.inf),
        ("+Infinity", math.inf),
        ("1e-400", 0.0),
        ("007", 7.0),
    ],
)
def test_floats_that_go_reads(text: str, value: float) -> None:
    """Underscores between digits, hexadecimal floats and infinities are numbers."""
    assert parse_float(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 5",
        "5 ",
        "x",
        "0x10",
        "1__0",
        "_1",
        "1_",
        "1e",
        "e5",
        ".",
        "+",
        "1,5",
        "\u0661",
        "+nan",
        "infin",
        "1e5_",
        "0x1.8",
        "- 1",
        "1 000",
        "1d",
    ],
)
def test_floats_that_go_refuses(text: str) -> None:
    """Blanks, hexadecimal integers and other alphabets' digits are not numbers."""
    with pytest.raises(ValueError, match=r".*"):
        parse_float(text)


def test_nan_is_a_number_to_go() -> None:
    """Knative's bounds let NaN pass, so the reader must let it through."""
    assert math.isnan(parse_float("NaN"))
    assert math.isnan(parse_float("nan"))


def test_an_overflowing_float_is_out_of_range() -> None:
    """A number too large for 64 bits is refused, unlike the word Inf."""
    with pytest.raises(OutOfRangeError):
        parse_float("1e400")
    with pytest.raises(OutOfRangeError):
        parse_float("0x1p5000")


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("+7", 7), ("-3", -3), ("007", 7), ("2147483647", 2**31 - 1)])
def test_integers_that_go_reads(text: str, value: int) -> None:
    """A sign and leading zeros are fine."""
    assert parse_int(text, 32) == value


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "1_000", " 1", "0x10", "x", "--1", "\u0663"])
def test_integers_that_go_refuses(text: str) -> None:
    """Nothing but decimal digits is an integer."""
    with pytest.raises(ValueError, match=r".*"):
        parse_int(text, 32)


@pytest.mark.parametrize("text", ["2147483648", "-2147483649", "9" * 5000, "-" + "9" * 5000])
def test_integers_beyond_32_bits(text: str) -> None:
    """A number that does not fit is told apart from text that is no number."""
    with pytest.raises(OutOfRangeError):
        parse_int(text, 32)


def test_the_thirteen_booleans() -> None:
    """Go knows six spellings of each truth value, and no yes or on."""
    assert all(parse_bool(text) for text in ("1", "t", "T", "TRUE", "true", "True"))
    assert not any(parse_bool(text) for text in ("0", "f", "F", "FALSE", "false", "False"))
    for text in ("yes", "on", "tRUE", "", "2", " true"):
        with pytest.raises(ValueError, match=r".*"):
            parse_bool(text)


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("5s", 5 * 10**9),
        ("1m30s", 90 * 10**9),
        (".5m", 30 * 10**9),
        ("1.s", 10**9),
        ("-1.5h", -5400 * 10**9),
        ("+5s", 5 * 10**9),
        ("1h1m1s1ms1us1ns", 3661 * 10**9 + 1_001_001),
        ("3\u00b5s", 3000),
        ("60000ms", 60 * 10**9),
        ("0.3333333333333333333h", 1_200_000_000_000 - 1),
        ("1s1s", 2 * 10**9),
        ("9223372036854775807ns", LONGEST_NS),
        ("-9223372036854775808ns", -LONGEST_NS - 1),
    ],
)
def test_durations_that_go_reads(text: str, value_ns: int) -> None:
    """Terms may repeat and have fractions; only zero may lack a unit."""
    assert abs(parse_duration(text) - value_ns) <= (1 if "333" in text else 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        ".s",
        "-",
        "+",
        "1d",
        "1 s",
        " 1s",
        "1S",
        "1s ",
        "1e3s",
        "9223372036854775808ns",
        "9999999h",
        "1_0s",
        "--1s",
        "1h-1m",
        "\u0663s",
        "1.2.3s",
        "00",
        "nope",
    ],
)
def test_durations_that_go_refuses(text: str) -> None:
    """No blanks, no days, no capital units, no bare numbers but zero."""
    with pytest.raises(ValueError, match=r".*"):
        parse_duration(text)


@settings(deadline=None)
@given(st.integers(-LONGEST_NS - 1, LONGEST_NS))
def test_a_written_duration_is_read_back(value_ns: int) -> None:
    """What Go prints for a duration is the duration."""
    assert parse_duration(format_duration(value_ns)) == value_ns


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.text("0123456789", max_size=8), st.sampled_from(sorted(UNITS))),
        min_size=1,
        max_size=5,
    )
)
def test_a_duration_is_the_sum_of_its_terms(terms: list[tuple[int, str, str]]) -> None:
    """Each term counts its number times its unit, cut off to whole nanoseconds."""
    text = "".join(f"{whole}{'.' + part if part else ''}{unit}" for whole, part, unit in terms)
    exact = [Fraction(f"{whole}.{part or 0}") * UNITS[unit] for whole, part, unit in terms]
    assert abs(parse_duration(text) - sum(math.floor(value) for value in exact)) <= len(terms)
    if all(not part for _, part, _ in terms):
        assert parse_duration(text) == sum(exact)


@settings(deadline=None)
@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text does anything but give a value or a ValueError."""
    for parse in (parse_float, parse_int, parse_bool, parse_duration):
        try:
            parse(text)
        except ValueError:
            continue


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_float_is_read_back(value: float) -> None:
    """Numbers written into annotations keep their value."""
    assert parse_float(format_float(value)) == value


def test_whole_numbers_are_written_without_a_point() -> None:
    """A tuned 100.0 is written as a person writes it."""
    assert [format_float(value) for value in (100.0, 0.7, -1.0, 1e20)] == ["100", "0.7", "-1", "1e+20"]
