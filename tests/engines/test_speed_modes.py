"""Counts in place of tables: what they promise about the latencies they no longer hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim import load
from kpasim.engines import clock, compiled, counts
from kpasim.engines import outcome as of
from kpasim.engines.draws import LATE_TICK
from kpasim.engines.params import Draws, Params
from kpasim.results import summary
from kpasim.spec.experiment import from_mapping
from kpasim.studies.run import simulate
from kpasim.studies.statistics import Statistics, statistics
from tests.services import service

from .hand import MS, S, draws, experiment

RANKS = (0, 1, 10, 25, 50, 75, 90, 95, 99, 100)
SAME = 1e-9
"""Relative difference of sums that were added up in another order."""


def open_load(requests: int, **changes: object) -> tuple[Params, Draws]:
    """Requests every half a second for pods that take about three seconds each."""
    p = experiment(closed=0, workers=0, requests_per_worker=0, requests=requests, **changes)
    return p, draws(p, sent_s=np.arange(requests) * 0.5, spread=True)


def agree(p: Params, d: Draws) -> None:
    """Assert that counts say of a run what its tables say."""
    table = compiled.run(p, d)
    counted = compiled.count_many(p, [d])[0]
    good = table.requests[of.STATUS] == 200
    bad = ~good & (table.requests[of.STATUS] != -1)
    latency_ns = (table.requests[of.RESPONSE] - table.requests[of.SENT])[good]
    assert (counted.requests, counted.ok, counted.errors) == (len(good), good.sum(), bad.sum())
    assert counted.latency_sum_ns == latency_ns.sum()
    assert counted.latencies.tolist() == np.bincount(
        [counts.bucket_of(int(one)) for one in latency_ns], minlength=counts.BUCKETS
    ).tolist()  # fmt: skip
    assert np.array_equal(counted.pods, table.pods)
    assert np.array_equal(counted.nodes, table.nodes)
    assert (counted.load_ns, counted.end_ns, counted.concurrency_ns) == (
        table.load_ns, table.end_ns, table.concurrency_ns,
    )  # fmt: skip


@given(st.integers(1, 1 << 62))
def test_a_bucket_is_within_its_error_of_every_latency_in_it(latency_ns: int) -> None:
    """The middle of a latency's bucket is at most 0.39 % away from it."""
    middle_s = counts.middles_s(np.array([counts.bucket_of(latency_ns)]))[0]
    assert middle_s * 1e9 == pytest.approx(latency_ns, rel=counts.ERROR * (1 + SAME))
    assert counts.ERROR < 0.005


@given(st.lists(st.integers(0, 400_000_000_000), min_size=1, max_size=60))
def test_percentiles_from_counts_are_within_the_error(latencies_ns: list[int]) -> None:
    """Percentiles from counts are within 0.39 % of those that the latencies give."""
    counted = np.bincount([counts.bucket_of(one) for one in latencies_ns], minlength=counts.BUCKETS)
    exact_s = np.percentile(np.array(latencies_ns) / 1e9, RANKS)
    found_s = counts.percentiles_s(counted, RANKS)
    assert (np.abs(found_s - exact_s) <= exact_s * counts.ERROR * (1 + SAME) + 1e-18).all()


def test_no_latency_has_no_percentile() -> None:
    """Without a good answer a percentile is not a number."""
    assert np.isnan(counts.percentiles_s(np.zeros(counts.BUCKETS, dtype=np.int64), RANKS)).all()


def test_counts_of_a_long_run_agree_with_its_tables() -> None:
    """Rows are used again many times over, and nothing else changes."""
    p, d = open_load(4000)
    agree(p, d)


def test_a_row_is_kept_while_a_container_works_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose client has left keeps its row for as long as a container works on it."""
    monkeypatch.setattr(compiled, "FIRST_RING", 2)
    p, d = open_load(400, client_timeout_ns=2 * S, max_scale=3)
    agree(p, d)


def test_a_request_that_ends_on_its_way_is_not_taken_for_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client may leave before its request reaches the front; its row may then belong to another request."""
    monkeypatch.setattr(compiled, "FIRST_RING", 2)
    p, d = open_load(400, client_timeout_ns=1 * MS)
    agree(p, d._replace(delay=d.delay + 700 * MS))


def test_work_that_shares_a_gpu_agrees_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are used again where requests slow each other down and some lose their clients."""
    monkeypatch.setattr(compiled, "FIRST_RING", 4)
    p, d = open_load(
        400, container_concurrency=4, slots=4, slowdown=np.array([1.0, 1.8, 2.6, 3.5]), client_timeout_ns=4 * S
    )
    agree(p, d)


def test_a_closed_loop_agrees_too() -> None:
    """Workers that wait for answers send the same requests when no request is kept."""
    p = experiment()
    agree(p, draws(p, spread=True))


@given(st.integers(-5, 5000), st.integers(0, 2 * S - 1), st.integers(1, 50 * MS))
def test_a_clock_that_is_due_now_is_due_once_more_next(nth: int, phase_ns: int, median_ns: int) -> None:
    """Counting on from the present due time gives the same time as looking for the next one."""
    now_ns = clock.nth_due(nth, phase_ns, 2 * S, 7, LATE_TICK, median_ns)
    assert (now_ns - phase_ns) // (2 * S) == nth
    expected_ns = clock.due_after(phase_ns, 2 * S, now_ns, 7, LATE_TICK, median_ns)
    assert clock.nth_due(nth + 1, phase_ns, 2 * S, 7, LATE_TICK, median_ns) == expected_ns


def poisson() -> tuple[Statistics, summary.Figures]:
    """Statistics and figures of the same replications."""
    model = {"service-time": {"distribution": "exponential", "mean": "2s"}, "cold-start": "20s"}
    what = from_mapping(
        {
            "service": service(containerConcurrency=1),
            "workload": {"kind": "poisson", "rate": 2.0, "duration": "20m"},
            "model": model,
        }
    )
    return statistics(what, replications=4), simulate(what, replications=4, engine="compiled").figures


def test_figures_agree_with_those_of_the_tables() -> None:
    """Percentiles differ by at most the stated error, everything else not at all."""
    counted, exact = poisson()
    assert set(counted.figures) < set(exact)
    for name, values in counted.figures.items():
        within = counts.ERROR if ".p" in name else SAME
        assert values == pytest.approx(exact[name], rel=within), name


def test_counts_of_replications_add_up() -> None:
    """Percentiles of all replications together do not depend on their order."""
    counted, _ = poisson()
    turned = Statistics(counted.experiment, counted.params, counted.seed, list(reversed(counted.outcomes)))
    assert counted.percentiles_s(RANKS).tolist() == turned.percentiles_s(RANKS).tolist()


def test_the_published_load_test_can_be_counted() -> None:
    """An experiment of the repository gives the same errors and pods as with tables."""
    what = load("experiments/hey50x5.yaml")
    counted = statistics(what, replications=3).figures
    exact = simulate(what, replications=3, engine="compiled").figures
    for name in ("requests", "ok", "errors", "max_pods", "cold_starts", "total_s"):
        assert counted[name].tolist() == pytest.approx(exact[name].tolist()), name
