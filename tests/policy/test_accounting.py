"""Time-weighted concurrency."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim.policy import accounting

SECOND_NS = 1_000_000_000
requests = st.lists(st.tuples(st.integers(0, 3 * SECOND_NS), st.integers(0, 3 * SECOND_NS), st.booleans()), max_size=20)


def new_row() -> np.ndarray:
    """A row of no revision."""
    return np.zeros(accounting.COLUMNS, dtype=np.int64)


@given(requests)
def test_averages_of_all_intervals_add_up_to_the_time_spent(drawn):
    """However requests overlap and intervals cut them, no request-nanosecond is lost."""
    row = new_row()
    accounting.start(row, 0)
    events = sorted(
        [(begin, 1, through) for begin, _, through in drawn]
        + [(begin + length, 2, through) for begin, length, through in drawn]
        + [(cut * SECOND_NS, 0, False) for cut in range(1, 8)]
    )
    spent = proxied_spent = 0.0
    arrivals = proxied_arrivals = 0
    for now_ns, kind, through in events:
        if kind == 1:
            accounting.enter(row, now_ns, through)
        elif kind == 2:
            accounting.leave(row, now_ns, through)
        else:
            concurrency, proxied, count, proxied_count = accounting.cut(row, now_ns)
            assert 0 <= proxied <= concurrency <= len(drawn)
            spent += concurrency
            proxied_spent += proxied
            arrivals += count
            proxied_arrivals += proxied_count

    assert spent == pytest.approx(sum(length for _, length, _ in drawn) / SECOND_NS)
    assert proxied_spent == pytest.approx(sum(length for _, length, through in drawn if through) / SECOND_NS)
    assert (arrivals, proxied_arrivals) == (len(drawn), sum(through for *_, through in drawn))
    assert row[accounting.CONCURRENCY] == row[accounting.PROXIED] == 0


@given(requests, st.randoms())
def test_simultaneous_events_count_alike_in_any_order(drawn, random):
    """Integrals are whole numbers, so shuffled arrivals at one instant give the same bits."""
    reports = []
    for _ in range(2):
        row = new_row()
        accounting.start(row, 0)
        random.shuffle(drawn)
        for begin, _, through in sorted(drawn, key=lambda request: request[0]):
            accounting.enter(row, begin, through)
        reports.append(accounting.cut(row, 4 * SECOND_NS))

    assert reports[0] == reports[1]


def test_a_time_that_steps_back_adds_nothing():
    """Concurrency changes at once, but the interval neither shrinks nor counts twice."""
    row = new_row()
    accounting.start(row, 0)
    accounting.enter(row, 10, False)
    accounting.enter(row, 5, False)

    assert accounting.cut(row, 20) == (1.0, 0.0, 2, 0)


def test_a_report_of_no_time_is_zero():
    """An interval without length has no average, but it has arrivals."""
    row = new_row()
    accounting.start(row, 7)
    accounting.enter(row, 7, True)

    assert accounting.cut(row, 7) == (0.0, 0.0, 1, 1)


def test_a_burst_is_told_once_and_then_seen():
    """Five requests at 0.1 s, reported at 0.5, 1.5 ... read 1 at once, then 4, then 5."""
    row = new_row()
    told = [accounting.activator_enter(row, SECOND_NS // 10) for _ in range(5)]
    reports = [accounting.activator_report(row, SECOND_NS // 2 + second * SECOND_NS) for second in range(3)]

    assert told == [True, False, False, False, False]
    assert reports == [(4.0, 4, True), (5.0, 0, True), (5.0, 0, True)]


def test_a_short_request_weighs_a_whole_second():
    """An isolated request of 100 ms is told as 1 on arrival and as 0 afterwards; then the entry is forgotten."""
    row = new_row()
    assert accounting.activator_enter(row, 0)
    accounting.activator_leave(row, SECOND_NS // 10)

    assert accounting.activator_report(row, SECOND_NS // 2) == (0.0, 0, True)
    assert accounting.activator_report(row, 3 * SECOND_NS // 2) == (0.0, 0, False)
    assert accounting.activator_enter(row, 2 * SECOND_NS)


def test_an_entry_with_a_request_inside_lives_on():
    """A request that arrives at the very time of the report has no concurrency yet, but keeps its entry."""
    row = new_row()
    accounting.activator_enter(row, 5)

    assert accounting.activator_report(row, 5) == (0.0, 0, True)


def test_arrivals_are_published_per_nominal_second():
    """Queue-proxy divides by its reporting period."""
    assert accounting.per_second(3, 2.0) == 1.5
