"""Promises: what they mean, and how sure one can be that they are kept."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from kpasim.errors import RunError
from kpasim.studies.search.slo import all_kept, parse_promise, parse_share, wilson, worst_miss

FIGURES = {
    "latency_s.p95": np.array([10.0, 30.0, 45.0, np.nan]),
    "requests": np.array([1000.0, 1000.0, 1000.0, 10.0]),
    "ok": np.array([1000.0, 999.0, 990.0, 0.0]),
    "max_pods": np.array([2.0, 3.0, 4.0, 5.0]),
}


@pytest.mark.parametrize(
    ("text", "written", "kept"),
    [
        ("p95<=30s", "p95<=30s", [True, True, False, False]),
        ("p95 < 0.5m", "p95<30s", [True, False, False, False]),
        ("p95<=30", "p95<=30s", [True, True, False, False]),
        ("errors<=0.1%", "errors<=0.1%", [True, True, False, False]),
        ("errors<=0.01", "errors<=1%", [True, True, True, False]),
        ("max-pods<=3", "max-pods<=3", [True, True, False, False]),
        ("max_pods>=4", "max-pods>=4", [False, False, True, True]),
    ],
)
def test_promises(text: str, written: str, kept: list[bool]) -> None:
    """A replication without the figure, one in which nothing succeeded, keeps no promise about it."""
    promise = parse_promise(text)
    assert str(promise) == written
    assert promise.kept(FIGURES).tolist() == kept


def test_all_promises_count() -> None:
    """A run keeps its promise when it keeps every one, and misses it as far as it misses the worst."""
    both = [parse_promise("p95<=30s"), parse_promise("errors<=0.1%")]
    assert all_kept(both, FIGURES).tolist() == [True, True, False, False]
    assert worst_miss(both, FIGURES).tolist() == pytest.approx([0.0, 0.0, 9.0, np.inf])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p96<=30s", "runs do not report p96"),
        ("eror<=1%", "did you mean errors?"),
        ("p95=30s", "cannot be read"),
        ("p95<=soon", "write p95<=30s"),
        ("errors<=5", "no share of requests"),
        ("max-pods<=many", "write max-pods<=4"),
        ("max-pods<=inf", "write max-pods<=4"),
    ],
)
def test_promises_that_are_refused(text: str, words: str) -> None:
    """The message says what would be right."""
    with pytest.raises(RunError, match=r"--slo") as caught:
        parse_promise(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(("kept", "count"), [(0, 10), (9, 10), (10, 10), (461, 512), (512, 512)])
def test_the_interval_is_wilsons(kept: int, count: int) -> None:
    """It is the one of scipy."""
    known = binomtest(kept, count).proportion_ci(0.95, method="wilson")
    assert wilson(kept, count) == pytest.approx((known.low, known.high), abs=1e-6)


def test_nothing_is_known_without_a_trial() -> None:
    """Then the interval is everything."""
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_share() -> None:
    """As a percentage or a number; certainty cannot be shown by runs."""
    assert parse_share("90%") == parse_share("0.9") == pytest.approx(0.9)
    for text in ("100%", "0", "often", "nan"):
        with pytest.raises(RunError, match="--probability"):
            parse_share(text)
