"""Failures in words."""

import numpy as np

from kpasim.results.failures import cut_load, failed, in_flight

RUNS = {
    "requests": np.array([605.0, 606.0]),
    "ok": np.array([107.0, 107.0]),
    "errors": np.array([194.0, 194.0]),
    "failed.client_timeout": np.array([0.0, 0.0]),
    "failed.504": np.array([194.0, 194.0]),
    "in_flight": np.array([304.0, 305.0]),
    "never_sent": np.array([0.0, 0.0]),
}


def test_failures_are_counted_in_whole_requests_and_named():
    """How many of those that ended, and how."""
    assert failed(RUNS) == "64.5 % of requests failed (194 of 301: 194 status 504)"
    assert in_flight(RUNS) == (
        "304 of 606 requests in flight at the end of the run: late in latency SLOs, not counted as errors"
    )
    assert cut_load(RUNS) == ""


def test_nothing_is_said_where_nothing_failed():
    """Every request succeeded."""
    fine = {"requests": 50.0, "ok": 50.0, "errors": 0.0, "in_flight": 0.0}
    assert failed(fine) == in_flight(fine) == cut_load(fine) == ""


def test_all_and_nearly_all_are_told_apart():
    """100 % only where all failed."""
    assert failed({"requests": 50.0, "errors": 50.0, "in_flight": 0.0}).startswith("100 % of requests failed (50 of 50")
    assert failed({"requests": 9999.0, "errors": 9998.0, "in_flight": 0.0}).startswith("99.9 % of")
    assert failed({"requests": 9999.0, "errors": 0.1, "in_flight": 0.0}).startswith(
        "0.001 % of requests failed (0.1 of"
    )


def test_a_cut_load_is_counted():
    """Requests that were never sent, and those without a response."""
    runs = {"requests": np.array([10.0]), "in_flight": np.array([5.0]), "never_sent": np.array([40.0])}
    assert cut_load(runs, 60.0) == (
        "the run ends before its load (horizon: 60 s): 40 of 50 requests were never sent, 5 had no response"
    )
    runs["never_sent"] = np.array([np.nan])
    assert cut_load(runs).endswith("clients were still to send requests, 5 had no response")
