"""Laws of queueing that hold whatever the code looks like."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from kpasim.engines import compiled, reference
from kpasim.engines import outcome as out
from kpasim.engines import params as of
from kpasim.engines.draws import chance_key, uniforms
from kpasim.engines.model import clients
from kpasim.engines.outcome import CapacityExceeded, Outcome
from kpasim.engines.params import Draws, Params

from .hand import CALM, S, draws, floats
from .strategies import Run, runs

STUDENT = {5: 4.604, 20: 2.093, 80: 1.990}
"""Student's quantile by number of replications: of 99 % for few, which one fixed seed must not miss, else of 95 %."""

MEAN_S = 0.1
"""Mean service time."""


def queue_of(pods: int, load: float, requests: int, **changes: object) -> tuple[Params, float]:
    """A revision pinned to a number of pods, one request at a time on each, and its arrival rate [1/s]."""
    p = CALM._replace(
        closed=0,
        workers=0,
        requests=requests,
        timeout_ns=10**9 * S,
        target_value=1000.0,
        initial_scale=pods,
        min_scale=pods,
        max_scale=pods,
        stays=1,
        start_for_ns=10 * S,
    )
    return p._replace(**changes), load * pods / MEAN_S  # type: ignore[arg-type]


def exponential(p: Params, stream: int, replication: int, mean_s: float) -> np.ndarray:
    """Exponential times [s], one for each request."""
    return -np.log(uniforms(p.seed, replication, stream, p.requests)) * mean_s


def markovian(p: Params, rate: float, replication: int, *, fixed: bool = False) -> Draws:
    """Poisson arrivals, and exponential (or ``fixed``) service times."""
    arrivals_s = np.cumsum(exponential(p, 100, replication, 1.0 / rate))
    service_s = np.full(p.requests, MEAN_S) if fixed else exponential(p, 101, replication, MEAN_S)
    made = draws(p, service_s=service_s, stages_s=(0.0,), sent_s=arrivals_s, pods=p.max_scale)
    return made._replace(key=chance_key(p.seed, replication))


def mean_wait_s(servers: int, load: float) -> float:
    """Mean wait of M/M/c: Erlang's C over the spare rate.

    Source:
        Kleinrock, Queueing Systems, volume 1, 1975, section 3.5.
    """
    offered = servers * load
    terms = [offered**k / math.factorial(k) for k in range(servers)]
    last = offered**servers / math.factorial(servers) / (1.0 - load)
    return last / (sum(terms) + last) / (servers / MEAN_S * (1.0 - load))


def interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half-width of its interval."""
    return float(np.mean(values)), STUDENT[len(values)] * float(np.std(values, ddof=1)) / math.sqrt(len(values))


def simulated_wait_s(servers: int, load: float, replications: int, requests: int) -> tuple[float, float]:
    """Mean wait in the compiled engine with its half-width; the first tenth of each replication is left out."""
    p, rate = queue_of(servers, load, requests)
    means = []
    for replication in range(replications):
        rows = compiled.run(p, markovian(p, rate, replication)).requests[requests // 10 :]
        means.append(float(np.mean(rows[out.BEGUN] - rows[out.SENT])) / 1e9)
    return interval(means)


@pytest.mark.parametrize("load", [0.5, 0.8])
@pytest.mark.parametrize("servers", [1, 4, 10])
def test_pinned_pods_are_an_mmc_queue(servers: int, load: float) -> None:
    """The mean wait at 1, 4 and 10 pods is Erlang's, within its interval from 5 replications of 40,000 requests."""
    mean_s, half_s = simulated_wait_s(servers, load, 5, 40_000)

    expected_s = mean_wait_s(servers, load)
    assert abs(mean_s - expected_s) <= half_s
    assert half_s <= 0.2 * expected_s


@pytest.mark.statistical
@pytest.mark.parametrize("load", [0.5, 0.8])
@pytest.mark.parametrize("servers", [1, 4, 10])
def test_pinned_pods_are_an_mmc_queue_within_two_percent(servers: int, load: float) -> None:
    """The error of the mean wait is at most 2 %, with a half-width of at most 1.5 %.

    20 replications of 250,000 requests do; 80 of 400,000 where few requests wait at all.
    """
    mean_s, half_s = simulated_wait_s(servers, load, *((20, 250_000) if servers < 10 else (80, 400_000)))

    expected_s = mean_wait_s(servers, load)
    print(f"M/M/{servers} at {load:.0%}: {mean_s:.6f} s +- {half_s / expected_s:.2%}, expected {expected_s:.6f} s")
    assert abs(mean_s - expected_s) <= 0.02 * expected_s
    assert half_s <= 0.015 * expected_s


@pytest.mark.parametrize("fixed", [False, True])
def test_a_shared_gpu_is_a_processor_sharing_queue(fixed: bool) -> None:
    """Where k requests take k times as long each, the mean stay is the mean service over 1 - load, however spread."""
    p, rate = queue_of(
        1, 0.6, 20_000, container_concurrency=0, slots=0, slowdown=floats(1.0), target_burst_capacity=0.0
    )
    means = []
    for replication in range(5):
        rows = compiled.run(p, markovian(p, rate, replication, fixed=fixed)).requests[2_000:]
        means.append(float(np.mean(rows[out.RESPONSE] - rows[out.SENT])) / 1e9)

    mean_s, half_s = interval(means)

    assert abs(mean_s - MEAN_S / 0.4) <= half_s
    assert half_s <= 0.15 * mean_s


def sojourns_ns(run: Run, outcome: Outcome) -> int:
    """Time that all requests together spent between their arrival at the front and their end."""
    rows = outcome.requests
    arrived = rows[out.SENT] + run.draws.delay[outcome.draws()]
    silent = (rows[out.STATUS] == 0) | (rows[out.STATUS] == -1)
    ended = rows[out.RESPONSE] - np.where(silent, 0, run.params.server_to_client_ns)
    return int(np.maximum(0, ended - arrived).sum())


@settings(
    max_examples=100, derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
@given(runs())
def test_littles_law_holds_to_the_nanosecond(run: Run) -> None:
    """The concurrency that activators and queue-proxies counted is the sum of the stays in the table, exactly."""
    for engine in (reference.run, compiled.run):
        try:
            outcome = engine(run.params, run.draws)
        except CapacityExceeded:
            return
        assert sojourns_ns(run, outcome) == outcome.concurrency_ns


@settings(
    max_examples=100, derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
@given(runs())
def test_every_request_ends_exactly_once(run: Run) -> None:
    """Each request that was sent has one row and one end, not before it was sent and none after the run."""
    ends: Counter[int] = Counter()
    ended = clients.end

    def counted(sim: reference.Simulation, row: int, status: int) -> None:
        ends[row] += 1
        ended(sim, row, status)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "end", counted)
        try:
            outcome = reference.run(run.params, run.draws)
        except CapacityExceeded:
            return

    rows = outcome.requests
    cut_off = rows[out.STATUS] == -1
    assert [0 if cut else 1 for cut in cut_off] == [ends[index] for index in range(len(rows))]
    assert set(rows[out.STATUS].tolist()) <= {200, 0, 502, 503, 504, -1}
    assert (rows[out.RESPONSE] >= rows[out.SENT]).all()
    assert (rows[out.RESPONSE][cut_off] == outcome.end_ns).all()
    assert len(set(outcome.draws().tolist())) == len(rows)
    if run.params.horizon_ns == 0 and outcome.load_ns < of.FOREVER_NS:
        p = run.params
        whole = p.workers * p.requests_per_worker if p.closed else len(run.draws.sent)
        assert len(rows) == whole or p.load_duration_ns > 0
        assert not cut_off.any()
