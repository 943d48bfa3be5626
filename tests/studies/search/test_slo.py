"""SLOs: what they mean, and how sure one can be that they are met."""

import numpy as np
import pytest
from scipy.stats import binomtest

from kpasim.errors import RunError
from kpasim.studies.search.slo import all_met, parse_share, parse_slo, priced, wilson, worst_miss

FIGURES = {
    "latency_all_s.p95": np.array([10.0, 30.0, 45.0, np.inf]),
    "latency_s.p95": np.array([10.0, 30.0, 45.0, np.nan]),
    "requests": np.array([1000.0, 1000.0, 1000.0, 10.0]),
    "ok": np.array([1000.0, 999.0, 990.0, 0.0]),
    "errors": np.array([0.0, 1.0, 10.0, 10.0]),
    "max_pods": np.array([2.0, 3.0, 4.0, 5.0]),
}


@pytest.mark.parametrize(
    ("text", "written", "met"),
    [
        ("p95<=30s", "p95<=30s", [True, True, False, False]),
        ("p95 < 0.5m", "p95<30s", [True, False, False, False]),
        ("p95<=30", "p95<=30s", [True, True, False, False]),
        ("p95<=45s of successes", "p95<=45s of successes", [True, True, True, False]),
        ("errors<=0.1%", "errors<=0.1%", [True, True, False, False]),
        ("errors<=0.01", "errors<=1%", [True, True, True, False]),
        ("max-pods<=3", "max-pods<=3", [True, True, False, False]),
        ("max_pods>=4", "max-pods>=4", [False, False, True, True]),
    ],
)
def test_slos(text: str, written: str, met: list[bool]) -> None:
    """A replication in which nothing succeeded meets no latency SLO."""
    slo = parse_slo(text)
    assert str(slo) == written
    assert slo.met(FIGURES).tolist() == met


def test_all_slos_count() -> None:
    """A run meets its SLOs when it meets every one, and is as far from them as from the worst."""
    both = [parse_slo("p95<=30s"), parse_slo("errors<=0.1%")]
    assert all_met(both, FIGURES).tolist() == [True, True, False, False]
    assert worst_miss(both, FIGURES).tolist() == pytest.approx([0.0, 0.0, 9.0, np.inf])


@pytest.mark.parametrize(
    ("text", "missed"),
    [
        ("p95<20s", [0.0, 0.5, 1.25, np.inf]),
        ("max-pods>=4", [0.5, 0.25, 0.0, 0.0]),
        ("max-pods>4", [0.5, 0.25, 0.0, 0.0]),
        ("errors<=0", [0.0, 0.001, 0.01, 1.0]),
    ],
)
def test_how_far_an_slo_is_missed_is_a_share_of_its_limit(text: str, missed: list[float]) -> None:
    """On whichever side the limit is; of a limit of 0, the figure itself is the distance."""
    assert worst_miss([parse_slo(text)], FIGURES).tolist() == pytest.approx(missed)


ODD_RUNS = {
    "latency_all_s.p95": np.array([np.nan, np.inf, 5.0, 5.0]),
    "latency_s.p95": np.array([np.nan, np.nan, 5.0, 5.0]),
    "requests": np.array([0.0, 4.0, 100.0, 100.0]),
    "ok": np.array([0.0, 0.0, 98.0, 100.0]),
    "errors": np.array([0.0, 0.0, 0.0, 0.0]),
    "never_sent": np.array([0.0, 0.0, 0.0, 7.0]),
}
"""A run without requests, one of which nothing ended, one with two requests in flight, one whose load was cut."""


@pytest.mark.parametrize("text", ["p95<=30s", "p95<=30s of successes", "errors<=1%"])
def test_runs_without_requests_meet_slos_and_cut_runs_do_not(text: str) -> None:
    """No request was too late or failed without a request; of a load that was cut nobody knows."""
    assert all_met([parse_slo(text)], ODD_RUNS).tolist() == [True, False, True, False]
    assert worst_miss([parse_slo(text)], ODD_RUNS).tolist() == [0.0, np.inf, 0.0, np.inf]


def test_a_load_that_only_the_clock_would_have_ended_was_cut() -> None:
    """Of hey's -z nobody knows how many requests were never sent."""
    figures = {**ODD_RUNS, "never_sent": np.full(4, np.nan)}
    assert not all_met([parse_slo("errors<=1%")], figures).any()


def test_cost_is_in_the_unit_that_is_shown() -> None:
    """Per month where the study shows a month's cost, else per run; both can be named."""
    slos = [parse_slo("cost<=100"), parse_slo("cost-per-run<=2")]
    assert [slo.figure for slo in priced(slos, per_month=True)] == ["cost.per_month", "cost.amount"]
    assert [slo.figure for slo in priced(slos, per_month=False)] == ["cost.amount", "cost.amount"]


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
        ("errors<=1% of successes", "only latencies can be of successes"),
        ("errors<=1", "write errors<=1%"),
        ("errors<=100%", "which every run meets"),
        ("cost<=50%", "write cost<=4"),
        ("max-pods<=50%", "write max-pods<=4"),
        ("p95<=30%", "write p95<=30s"),
        ("p95<=-3s", "is negative (write p95<=3s)"),
    ],
)
def test_slos_that_are_refused(text: str, words: str) -> None:
    """The message says what would be right."""
    with pytest.raises(RunError, match=r"--slo") as caught:
        parse_slo(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(("met", "count"), [(0, 10), (9, 10), (10, 10), (461, 512), (512, 512)])
def test_the_interval_is_wilsons(met: int, count: int) -> None:
    """It is the one of scipy."""
    known = binomtest(met, count).proportion_ci(0.95, method="wilson")
    assert wilson(met, count) == pytest.approx((known.low, known.high), abs=1e-6)


def test_nothing_is_known_without_a_trial() -> None:
    """Then the interval is everything."""
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_share() -> None:
    """As a percentage or a number; certainty cannot be shown by runs."""
    assert parse_share("90%") == parse_share("0.9") == pytest.approx(0.9)
    for text in ("100%", "0", "often", "nan"):
        with pytest.raises(RunError, match="--probability"):
            parse_share(text)
