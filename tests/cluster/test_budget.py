"""How long the brief calibration goes on, with a server and a clock of the test's own."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpasim.cluster import calibration
from kpasim.cluster import validate as validating
from kpasim.cluster.deadline import Deadline
from kpasim.cluster.load import ClosedLoop, Sent
from kpasim.cluster.validate import Settings, _Validation

from .test_validate import experiment


class Served(_Validation):
    """A calibration against a server whose requests take lognormal times; a clock goes on as they are served."""

    def __init__(self, mean_s: float, cv: float, fails_from: int = 1000, **settings: Any) -> None:
        self.notes: list[str] = []
        super().__init__(experiment(), Settings(**settings), Path("run"), None, self.notes.append)  # type: ignore[arg-type]
        self.mean_s, self.sigma, self.fails_from = mean_s, math.sqrt(math.log(1 + cv**2)), fails_from
        self.rng, self.now_s, self.sent = np.random.default_rng(1), 0.0, 0

    def _send(self, run: Any, load: Any, budget: Any = None) -> Sent:
        assert isinstance(load, ClosedLoop)
        times = self.rng.lognormal(math.log(self.mean_s) - self.sigma**2 / 2, self.sigma, load.requests)
        self.sent += load.requests
        self.now_s += max(float(times.sum()) / load.concurrency, load.requests / load.qps if load.qps else 0.0)
        status = np.full(load.requests, 500 if load.concurrency >= self.fails_from else 200)
        return Sent({"latency_s": times, "status": status, "error": np.full(load.requests, "")}, 0.0, 0, False)


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a budget on the clock of a calibration."""

    def of(served: Served, seconds: float) -> Deadline:
        monkeypatch.setattr(validating.time, "monotonic", lambda: served.now_s)
        return Deadline(seconds, "calibration")

    return of


def one_by_one(served: Served, given: Deadline) -> Any:
    """Latencies of the calibration that count."""
    return calibration.settled(served._one_by_one(None, given, given.left_s))  # type: ignore[arg-type]


def test_requests_are_sent_until_their_mean_is_known(budget: Any):
    """A spread of 40 % takes some hundred requests; one of 1 % takes no more than there must be."""
    wide, narrow = Served(0.05, 0.4), Served(2.0, 0.01)

    assert calibration.standard_error(one_by_one(wide, budget(wide, 1000.0))) < calibration.ENOUGH
    assert 80 <= wide.sent <= 400
    one_by_one(narrow, budget(narrow, 1000.0))
    assert narrow.sent == 5


def test_short_requests_are_spread_over_a_minute(budget: Any):
    """A machine's noise comes and goes: two requests a second for a minute meet what a load of a minute meets."""
    short = Served(0.05, 0.01)
    short._settings = Settings()

    one_by_one(short, budget(short, 120.0))

    assert short.sent == 120
    assert 50.0 < short.now_s < 70.0


@pytest.mark.parametrize(("mean_s", "most"), [(1.5, 100), (50.0, 3)])
def test_no_request_is_sent_that_the_budget_does_not_hold(budget: Any, mean_s: float, most: int):
    """Two minutes are two minutes, but for two requests that there must be."""
    served = Served(mean_s, 0.5)

    one_by_one(served, budget(served, 120.0))

    assert 2 <= served.sent <= most
    assert served.now_s <= 120.0 * 1.3


def test_as_many_as_fail_together_are_told_and_more_are_not_tried(budget: Any):
    """A server that runs out of memory under 8 requests is calibrated with fewer."""
    served = Served(0.2, 0.1, fails_from=8)
    found = served._crowds(None, budget(served, 120.0), [2, 4, 8, 10], np.full(20, 0.2))  # type: ignore[arg-type]

    assert [crowd.count for crowd in found] == [2, 4]
    assert served.notes == [
        "warning: 8 requests at once on a pod: calibration: a request ended with 500; check the path and the body "
        "(--path, --body); more are not tried"
    ]
