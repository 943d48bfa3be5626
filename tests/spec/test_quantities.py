"""Durations, quantities and shares of kpasim's own files."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.spec.quantities import amount, canonical, duration_text, quantity, quantity_text, seconds, share


@pytest.mark.parametrize(
    ("value", "wanted_s"),
    [("60s", 60.0), ("1m30s", 90.0), ("500ms", 0.5), ("2h", 7200.0), (5, 5.0), (0.25, 0.25), (0, 0.0)],
)
def test_durations_become_seconds(value: object, wanted_s: float) -> None:
    """Go's text and bare numbers of seconds are both durations."""
    assert seconds(value) == wanted_s


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("60", "60s"),
        ("10 days", "240h"),
        ("5 min", "5m"),
        ("3 hours", "3h"),
        ("20 SEC", "20s"),
        ("soon", "30s"),
        (True, "30s"),
        (None, "30s"),
        ([1], "30s"),
        (math.nan, "finite"),
        (math.inf, "finite"),
        (10**400, "finite"),
    ],
)
def test_a_refused_duration_says_what_was_probably_meant(value: object, hint: str) -> None:
    """The message holds what to write instead."""
    with pytest.raises(ValueError, match=hint):
        seconds(value)


@settings(deadline=None)
@given(st.integers(0, 2**53).map(lambda value: value / 1e6))
def test_a_written_duration_is_read_back(value_s: float) -> None:
    """Shortened durations keep their value to the nanosecond."""
    assert seconds(duration_text(value_s)) == pytest.approx(value_s, abs=1e-9, rel=1e-12)


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (3600, "1h"),
        (90, "1m30s"),
        (0.5, "500ms"),
        (5400, "1h30m"),
        (0, "0s"),
        (3661, "1h1m1s"),
        (120, "2m"),
        (7200.5, "2h0m0.5s"),
    ],
)
def test_durations_are_written_short(value_s: float, text: str) -> None:
    """Zero minutes and seconds at the end are left out."""
    assert duration_text(value_s) == text


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("12Gi", 12 * 2.0**30),
        ("500m", 0.5),
        ("1e9", 1e9),
        ("1E3", 1000.0),
        ("1E", 1e18),
        ("40M", 4e7),
        ("1.5Ki", 1536.0),
        (7, 7.0),
        ("+1", 1.0),
        ("-1k", -1000.0),
        (".5G", 5e8),
        ("100n", 1e-7),
    ],
)
def test_quantities_become_numbers(value: object, number: float) -> None:
    """Binary and decimal suffixes and exponents are Kubernetes's own."""
    assert quantity(value) == pytest.approx(number, rel=1e-15)


@pytest.mark.parametrize(
    "value", ["", "12GB", "12 Gi", "Gi", "1ki", "1K", "abc", True, None, math.nan, "1e", "1.2.3", "0x10", "1e999"]
)
def test_quantities_that_kubernetes_refuses(value: object) -> None:
    """`12GB` and a capital K are the usual mistakes."""
    with pytest.raises(ValueError, match="quantity"):
        quantity(value)


@settings(deadline=None)
@given(st.integers(0, 2**60))
def test_a_written_quantity_is_read_back(value: int) -> None:
    """Shortened quantities keep their value."""
    assert quantity(quantity_text(float(value))) == pytest.approx(float(value), rel=1e-15)


def test_quantities_are_written_short() -> None:
    """The largest suffix without a rest is taken."""
    assert [quantity_text(value) for value in (12 * 2.0**30, 4e7, 0.5, 0, 1000, 1.23456)] == [
        "12Gi",
        "40M",
        "500m",
        "0",
        "1k",
        "1.23456",
    ]


@pytest.mark.parametrize(
    ("value", "number"), [("15%", 0.15), (0.15, 0.15), ("0.15", 0.15), (" 5% ", 0.05), ("100%", 1.0), (1, 1.0)]
)
def test_shares(value: object, number: float) -> None:
    """A percentage and a fraction mean the same."""
    assert share(value) == pytest.approx(number)


@pytest.mark.parametrize("value", ["a lot", "%", True, None, [0.1]])
def test_what_is_not_a_share(value: object) -> None:
    """Anything but a number is refused."""
    with pytest.raises(ValueError, match="share"):
        share(value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1E3", "1E3"), ("1000", "1k"), ("0.5", "500m"), ("+1", "+1"), ("1.", "1."), (".", "0"), ("T", "0"), ("-", "0"),
        ("e3", "0"), ("1024Mi", "1Gi"), ("1025Mi", "1025Mi"), ("1.5Gi", "1536Mi"), ("0.1Ki", "102400m"),
        ("1e-10", "1e-9"), ("1000000000000000000000", "1"), ("8Ei", "9223372036854775807"), ("-1e3", "-1e3"),
    ],
)  # fmt: skip
def test_quantities_are_written_as_kubernetes_writes_them(text: str, wanted: str) -> None:
    """As the code of apimachinery 0.35.7 reads and writes each of them."""
    assert canonical(text) == wanted


@pytest.mark.parametrize("text", ["", "Ei", "e-10", "1gi", "1 Gi", "1_0", "1Z", "0x1", "1e3Ki"])
def test_what_kubernetes_refuses_is_no_quantity(text: str) -> None:
    """Without digits a text is 0, but not where Kubernetes leaves its fast path."""
    with pytest.raises(ValueError, match="not a quantity"):
        amount(text)
