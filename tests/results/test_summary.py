"""Figures of merit, from tables."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.results.summary import (
    FAILED,
    LATENCY_PERCENTILES,
    aggregate,
    error_share,
    flattened,
    hey_percentiles,
    nested,
    number,
    numbers,
    percentiles,
    representative,
    request_figures,
    rounded,
    summarise,
    summarise_many,
)
from kpasim.results.tables import Tables, empty_columns, read_run_folder
from tests.real_runs import folder, names

NAN = float("nan")


def run_of(requests=(), pods=(), ticks=(), scaling=()) -> Tables:
    """A run from rows: (start, latency, status), (created, asked, gone), (t, panic), (t, desired, replicas)."""
    tables = Tables(**{name: empty_columns(name) for name in ("requests", "pods", "ticks", "scaling")})

    def fill(table, rows, *names):
        for i, name in enumerate(names):
            getattr(tables, table)[name] = np.array([row[i] for row in rows], dtype=None if rows else float)

    fill("requests", [(float(a), float(b), c) for a, b, c in requests], "start_s", "latency_s", "status")
    pods = [tuple(map(float, row)) for row in pods]
    fill("pods", pods, "created_s", "delete_requested_s", "gone_s")
    fill("ticks", [(float(a), b) for a, b in ticks], "t_s", "panic_mode")
    fill("scaling", [(float(a), b, c) for a, b, c in scaling], "t_s", "desired", "replicas")
    return tables


def test_the_measured_summaries_say_the_same():
    """On all 94 recorded runs the figures that their own summaries define alike agree to a millisecond."""
    for name in names():
        run, tables, theirs = read_run_folder(folder(name))
        ours = summarise(tables, run["end_s"])
        same = {
            **{key: ours["latency_s"][key] for key in ("mean", "p50", "p90", "p95", "p99", "max")},
            "last_response_s": ours["total_s"],
            "max_pods": ours["max_pods"],
            "panic_first_s": ours["panic_entered_s"],
            "desired0_after_last_s": ours["desired_zero_after_last_s"],
            "replicas0_after_last_s": ours["replicas_zero_after_last_s"],
            "n": ours["requests"],
            "ok": ours["ok"],
        }
        expected = {key: theirs[key] for key in same}
        assert same == pytest.approx(expected, abs=0.00101), name


def test_first_scale_out_is_close_to_the_first_new_pod():
    """In every recorded run desired rises within 0.2 s of the creation of the first further pod."""
    for name in names():
        run, tables, theirs = read_run_folder(folder(name))
        ours = summarise(tables, run["end_s"])
        assert ours["first_scale_out_s"] == pytest.approx(theirs["first_extra_created_s"], abs=0.2), name
        assert ours["cold_starts"] == (tables.pods["created_s"] >= 0).sum()


STORY = run_of(
    requests=[(0, 2, 200), (0, 4, 200), (1, 1, 503), (2, 10, 0), (3, NAN, -1)],
    pods=[(-60, 30, 40), (5, 20, 50), (20, NAN, NAN), (-90, -70, -65)],
    ticks=[(-1, 1), (1, 0), (3, 1), (5, 1)],
    scaling=[(-60, -1, 1), (-5, 1, 1), (0, 1, 2), (4, 2, 2), (30, 1, 1), (45, 0, 1), (47, 0, 0)],
)


def test_a_small_run_is_summarised_as_by_hand():
    """Every figure of a run small enough to be added up on paper."""
    figures = summarise(STORY, horizon_s=60, gpus_per_pod=2)
    assert figures["latency_s"]["mean"] == 3
    assert figures["latency_s"]["p10"] == 2.2
    assert figures["hey"] == {
        "total": 12,
        "slowest": 4,
        "fastest": 1,
        "average": pytest.approx(7 / 3, abs=1e-6),
        "rps": pytest.approx(4 / 12, abs=1e-6),
        "p10": 2,
        "p25": 4,
        **dict.fromkeys(("p50", "p75", "p90", "p95", "p99")),
    }
    assert figures["total_s"] == 12
    assert (figures["requests"], figures["ok"], figures["errors"], figures["in_flight"]) == (5, 2, 2, 1)
    assert figures["failed"] == {"client_timeout": 1, "502": 0, "503": 1, "504": 0, "other": 0}
    # Two successes of five requests: the 25th percentile is the second of five, the 50th is late.
    assert (figures["latency_all_s"]["min"], figures["latency_all_s"]["p25"]) == (2, 4)
    assert (
        figures["latency_all_s"]["p50"] is figures["latency_all_s"]["mean"] is figures["latency_all_s"]["max"] is None
    )
    assert figures["rps"] == pytest.approx(4 / 12, abs=1e-6)
    # The third pod comes at the instant at which the second is asked to go.
    assert figures["max_pods"] == 2
    assert figures["pod_seconds"] == 40 + 45 + 40
    assert figures["gpu_seconds"] == 250
    assert figures["cold_starts"] == 2
    assert figures["first_scale_out_s"] == 4
    assert figures["panic_entered_s"] == 3
    assert figures["desired_zero_after_last_s"] == 33
    assert figures["replicas_zero_after_last_s"] == 35


def test_what_happens_at_the_edge_of_a_stretch_belongs_to_it():
    """A pod of the load's first or last moment is a cold start; what desired is with the last answer, it is then."""
    pods = [(0, NAN, NAN), (9, NAN, NAN), (10, NAN, NAN)]
    figures = summarise(run_of([(0, 2, 200)], pods, (), [(0, 0, 1), (2, 1, 0), (5, 0, 0)]), horizon_s=9)

    assert figures["cold_starts"] == 2
    assert (figures["desired_zero_after_last_s"], figures["replicas_zero_after_last_s"]) == (3, 0)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.sampled_from([200, 200, 200, 0, 503, 500])), max_size=30),
    st.integers(0, 3),
)
def test_failed_and_unanswered_requests_are_infinitely_late(requests, waiting):
    """Percentiles of all requests are numpy's with infinity for each that has no success; failures add up by kind."""
    rows = [(0.0, latency, status) for latency, status in requests] + [(0.0, NAN, -1)] * waiting
    start, latency, status = (np.array([[row[i] for row in rows]]).reshape(1, -1) for i in range(3))
    figures = request_figures(start, latency, status)
    every = np.array([latency if status == 200 else 1e9 for _, latency, status in rows])
    for rank in LATENCY_PERCENTILES:
        found = figures[f"latency_all_s.p{rank}"][0]
        if not len(every):
            assert np.isnan(found)
        elif (expected := np.percentile(every, rank)) > 1000:
            assert np.isinf(found)
        else:
            assert found == pytest.approx(expected)
    assert sum(figures[name][0] for name in FAILED) == figures["errors"][0]
    assert figures["in_flight"][0] == waiting
    ended = len(requests)
    share = error_share(figures)[0]
    assert np.isnan(share) if waiting and not ended else share == figures["errors"][0] / max(ended, 1)


def test_without_a_horizon_the_run_lasts_as_long_as_its_tables():
    """The last moment in any table ends the run."""
    assert summarise(STORY)["pod_seconds"] == 40 + 45 + (50 - 20)


def test_a_run_without_a_success_has_no_latencies():
    """With time-outs only, figures of latency are null and requests per second still count them, as hey does."""
    figures = summarise(run_of(requests=[(0, 20, 0), (0, 20, 0)]), horizon_s=60)
    assert set(figures["latency_s"].values()) == {None}
    assert figures["hey"]["rps"] == 0.1
    assert figures["hey"]["average"] is None
    assert (figures["ok"], figures["errors"]) == (0, 2)


def test_a_run_without_a_request_has_no_times():
    """Empty tables are summarised: counts are 0, times null."""
    figures = summarise(run_of(), horizon_s=60)
    assert figures["total_s"] is None
    assert figures["rps"] is None
    assert (figures["requests"], figures["max_pods"], figures["pod_seconds"]) == (0, 0, 0)
    assert figures["first_scale_out_s"] is None
    assert figures["desired_zero_after_last_s"] is None
    assert summarise(run_of())["pod_seconds"] == 0


def test_a_revision_that_gains_its_first_desired_does_not_scale_out():
    """Desired going from unknown to the pods that are there is no scale-out, nor is a pod that goes meanwhile."""
    tables = run_of(pods=[(-10, NAN, NAN)], scaling=[(-10, -1, 1), (2, 1, 1), (4, 1, 1)])
    assert summarise(tables)["first_scale_out_s"] is None


def test_zero_is_counted_from_the_last_answer():
    """A service already at zero when the last answer arrives has waited 0 s; earlier visits to zero do not count."""
    requests = [(0, 1, 200), (100, 1, 200)]
    visits = run_of(requests=requests, scaling=[(0, 1, 1), (60, 0, 0), (100, 1, 1), (161, 0, 0)])
    assert summarise(visits)["desired_zero_after_last_s"] == 60
    already = run_of(requests=requests, scaling=[(0, 1, 1), (100.5, 0, 0)])
    assert summarise(already)["replicas_zero_after_last_s"] == 0


def test_hey_percentiles_of_the_published_size():
    """With 50 answers p95 is the third from the top and p99 has no line; with 100 p99 is the slowest."""
    for n, p95, p99 in ((50, 48, NAN), (100, 95, 99), (19, NAN, NAN), (20, 19, NAN)):
        values = np.arange(1.0, n + 1)[np.newaxis]
        found = hey_percentiles(values, np.array([n]))[:, 0]
        assert found[5] == pytest.approx(p95 + 1, nan_ok=True)
        assert found[6] == pytest.approx(p99 + 1, nan_ok=True)


def hey_by_hand(values):
    """Hey's percentiles by walking along the values, one percentile at most at each."""
    found = []
    for i, value in enumerate(values):
        if len(found) < 7 and i * 100 // len(values) >= LATENCY_PERCENTILES[len(found)]:
            found.append(value if value > 0 else NAN)
    return found + [NAN] * (7 - len(found))


def test_hey_percentiles_walk_along_the_values():
    """For every sample size up to 1,000 the rule in closed form picks what walking along the values picks."""
    sizes = np.arange(1, 1001)
    values = np.broadcast_to(np.arange(1000.0), (1000, 1000))
    found = hey_percentiles(values, sizes)
    for n in sizes:
        np.testing.assert_array_equal(found[:, n - 1], hey_by_hand(np.arange(float(n))), err_msg=str(n))


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 1e4), max_size=30), min_size=1, max_size=6))
def test_padded_percentiles_are_numpys(rows):
    """Percentiles of a padded array equal numpy's, row by row."""
    width = max(map(len, rows))
    padded = np.full((len(rows), width), np.inf)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = sorted(row)
    found = percentiles(padded, np.array([len(row) for row in rows]))
    for i, row in enumerate(rows):
        expected = np.percentile(row, LATENCY_PERCENTILES) if row else [NAN] * 7
        np.testing.assert_allclose(found[:, i], expected, rtol=1e-12, atol=1e-12)


times = st.integers(-50, 100).map(float)
maybe = st.one_of(st.just(NAN), times)
runs = st.builds(
    run_of,
    st.lists(st.tuples(times, maybe.map(abs), st.sampled_from([0, 200, 204, 404, 503])), max_size=6),
    st.lists(st.tuples(times, maybe, maybe), max_size=5),
    st.lists(st.tuples(times, st.integers(0, 1)), max_size=5).map(sorted),
    st.lists(st.tuples(times, st.integers(-1, 4), st.integers(0, 4)), max_size=8).map(sorted),
)


NOT_NEEDED = {"pod", "pa_active", "sks_mode"}


def stacked(many):
    """Several runs in one set of padded columns."""
    result = Tables()
    for table in ("requests", "pods", "ticks", "scaling"):
        every = [getattr(run, table) for run in many]
        for name in every[0]:
            if name not in NOT_NEEDED:
                block = np.full((len(many), max(len(run[name]) for run in every)), NAN)
                for row, run in zip(block, every, strict=True):
                    row[: len(run[name])] = run[name]
                getattr(result, table)[name] = block
    return result


@settings(deadline=None, max_examples=150)
@given(st.lists(runs, min_size=1, max_size=4))
def test_many_runs_at_once_are_many_single_runs(many):
    """Padded columns of several runs give each run the figures it has alone."""
    for horizon in (None, 70.0):
        together = summarise_many(stacked(many), horizon, 2)
        for i, run in enumerate(many):
            alone = dict(flattened(summarise(run, horizon, 2)))
            for name, values in together.items():
                if alone[name] is None:
                    assert not np.isfinite(values[i]), name
                else:
                    assert round(float(values[i]), 6) == pytest.approx(alone[name]), name


@settings(deadline=None)
@given(runs)
def test_figures_keep_their_order(run):
    """Least, percentiles and greatest ascend; pods are counted within what exists."""
    figures = summarise(run, 70)
    latency = [figures["latency_s"][key] for key in ("min", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "max")]
    if latency[0] is not None:
        assert latency == sorted(latency)
        assert latency[0] <= figures["latency_s"]["mean"] + 1e-6
    assert 0 <= figures["max_pods"] <= len(run.pods["created_s"])
    assert 0 <= figures["pod_seconds"] <= 70 * len(run.pods["created_s"])
    assert figures["ok"] + figures["errors"] <= figures["requests"]


def test_the_interval_leaves_out_one_in_twenty_on_either_side():
    """Of 199 replications the 10th and 190th bound the interval; of 5 the least and the greatest."""
    found = aggregate({"a.x": np.arange(1.0, 200.0)})
    assert found.medians == {"a": {"x": 100}}
    assert found.intervals == {"a": {"x": [10, 190]}}
    assert found.counts == {"a": {"x": 199}}
    assert found.errors["a"]["x"] == pytest.approx(math.sqrt(199) / 2)
    assert aggregate({"x": np.array([5.0, 1.0, 4.0, 2.0, 3.0])}).intervals == {"x": [1, 5]}


def test_a_figure_that_most_lack_is_null():
    """Median and interval are over those that have the figure; where most lack it both are null, with the count."""
    most = aggregate({"x": np.array([1.0, NAN, 3.0])})
    assert (most.medians["x"], most.intervals["x"], most.counts["x"]) == (2, [1, 3], 2)
    few = aggregate({"x": np.array([1.0, NAN, NAN])})
    assert (few.medians["x"], few.intervals["x"], few.errors["x"], few.counts["x"]) == (None, None, None, 1)
    assert aggregate({"x": np.array([1.0])}).errors["x"] is None


def test_whole_numbers_stay_whole():
    """The median of pod counts is printed as a whole number where it is one."""
    found = aggregate({"max_pods": np.array([5.0, 6.0, 6.0]), "total_s": np.array([5.0, 6.0, 9.0])})
    assert repr(found.medians) == "{'max_pods': 6, 'total_s': 6.0}"
    assert repr(found.intervals["max_pods"]) == "[5, 6]"
    assert aggregate({"max_pods": np.array([5.0, 6.0])}).medians["max_pods"] == 5.5


def test_the_monte_carlo_error_is_the_spread_of_medians():
    """The stated error of the median agrees with the spread of medians over repeated experiments."""
    draws = np.random.default_rng(1).exponential(size=(400, 300))
    stated = [aggregate({"x": row}).errors["x"] for row in draws]
    assert np.mean(stated) == pytest.approx(np.median(draws, axis=1).std(), rel=0.1)


def test_summaries_become_flat_and_back():
    """Nested figures and dotted names hold the same numbers."""
    summary = {"a": {"b": 1, "c": None}, "d": 2.5}
    assert nested(dict(flattened(summary))) == summary


def test_the_representative_is_the_first_nearest_to_the_median():
    """Of replications equally near the median total the lowest index speaks for all."""
    assert representative(np.array([9.0, 3.0, 5.0, 7.0])) == 2
    assert representative(np.array([NAN, 5.0, 5.0])) == 1
    assert representative(np.array([NAN, NAN])) == 0


def test_numbers_are_cut_to_what_they_mean():
    """Seven significant digits are kept."""
    assert rounded(252.17491234) == 252.1749
    assert rounded(0.00123456789) == 0.001234568


def test_a_column_of_numbers_is_told_value_by_value():
    """Counts are whole numbers, nothing is told of what is missing, and a zero keeps its sign."""
    values = np.array([2.0, 2.5, np.nan, 2.0, -0.0, 0.0, np.inf])
    assert numbers("requests", values) == [number("requests", rounded(value)) for value in values.tolist()]
    assert list(map(repr, numbers("total_s", values))) == ["2.0", "2.5", "None", "2.0", "-0.0", "0.0", "None"]


def test_request_figures_serve_a_thousand_replications_at_once():
    """Arrays of (replication, request) give each replication's figures, empty replications included."""
    generator = np.random.default_rng(3)
    latency = generator.lognormal(2, 0.5, size=(1000, 50))
    start = np.broadcast_to(np.arange(50.0), (1000, 50)).copy()
    start[7] = NAN
    figures = request_figures(start, latency, np.full((1000, 50), 200))
    assert np.isnan(figures["latency_s.p50"][7])
    np.testing.assert_allclose(figures["latency_s.p95"][8], np.percentile(latency[8], 95))
    assert aggregate(figures).counts["latency_s"]["p50"] == 999
