"""A load that was cut, in words."""

import numpy as np

from kpasim.results.failures import cut_load
from kpasim.results.summary import request_figures


def test_nothing_is_said_of_a_whole_load():
    """Every request was sent, or nobody counted them."""
    assert cut_load({"requests": 50.0, "in_flight": 3.0, "never_sent": 0.0}) == cut_load({"requests": 50.0}) == ""


def test_a_cut_load_is_counted():
    """Requests that were never sent, and those without a response."""
    runs = {"requests": np.array([10.0]), "in_flight": np.array([5.0]), "never_sent": np.array([40.0])}
    assert cut_load(runs, 60.0) == (
        "the run ends before its load (horizon: 60 s): 40 of 50 requests were never sent, 5 had no response"
    )
    runs["never_sent"] = np.array([np.nan])
    assert cut_load(runs).endswith("clients were still to send requests, 5 had no response")


def test_a_redirect_or_a_client_error_is_no_success() -> None:
    """Of statuses 200, 302, 404 and 500 one request succeeded; latencies are of that one."""
    latency = np.array([[1.0, 2.0, 3.0, 4.0]])
    figures = request_figures(np.zeros((1, 4)), latency, np.array([[200, 302, 404, 500]]))
    assert (figures["ok"][0], figures["errors"][0], figures["latency_s.max"][0]) == (1, 3, 1.0)
