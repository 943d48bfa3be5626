"""Arrivals out of observations: counts by scrape interval as they were, and times drawn within the intervals."""

import json
from dataclasses import replace

import numpy as np
import pytest

from kpasim.engines.sampling import arrivals
from kpasim.errors import ExperimentError, RecordError
from kpasim.records.prometheus.passages import traffic
from kpasim.spec.experiment import from_mapping
from kpasim.spec.workload import Observed
from kpasim.workloads.observed import counts, counts_of
from tests import observing, prometheus_runs
from tests.services import service

RNG = np.random.default_rng(4)
BEGINS_S = np.sort(RNG.uniform(0.0, 300.0, 400))
ENDS_S = BEGINS_S + RNG.gamma(2.0, 10.0, 400)
SCRAPES_S = np.arange(3.0, 400.0, 15.0)


def kept(requests: np.ndarray, edges: np.ndarray) -> list[int]:
    """Requests in each interval between edges."""
    return np.diff(np.searchsorted(requests, edges)).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An observation of the requests above."""
    place = tmp_path_factory.mktemp("observed") / "observation"
    observing.observation(observing.activator(BEGINS_S, ENDS_S, SCRAPES_S), 390.0, 15.0).write(place)
    return str(place)


def test_arrivals_of_an_interval_are_ends_and_the_change_of_requests_in_flight():
    """The counters of one activator, beside its requests."""
    [passage] = traffic(observing.observation(observing.activator(BEGINS_S, ENDS_S, SCRAPES_S), 390.0, 15.0)).passages
    edges = np.concatenate((passage.begin_s[:1], passage.end_s)) - observing.BEGIN_S
    assert kept(BEGINS_S, edges) == passage.began.tolist()
    assert kept(np.sort(ENDS_S), edges) == passage.ended.tolist()


def test_requests_in_flight_without_a_value_do_not_begin_again():
    """Where the gauges are NaN for some scrapes, no request counts twice when they are known again."""
    parts = [
        replace(one, values=np.where((one.times_s > observing.BEGIN_S + 100) & (one.times_s < observing.BEGIN_S + 150),
                                     np.nan, one.values)) if one.metric.startswith("kn_revision_request") else one
        for one in observing.activator(BEGINS_S, BEGINS_S + 90.0, SCRAPES_S)
    ]  # fmt: skip
    found = traffic(observing.observation(parts, 390.0, 15.0))
    assert found.passages[0].began.min() < -80  # More than begin in the next interval.
    assert len(BEGINS_S) == counts(found).requests.sum()


def test_activators_count_by_themselves():
    """Two activators, scraped at different times: each request is in the interval of its own activator."""
    first = RNG.random(400) < 0.4
    parts = [
        *observing.activator(BEGINS_S[first], ENDS_S[first], SCRAPES_S, "10.0.0.1:9090"),
        *observing.activator(BEGINS_S[~first], ENDS_S[~first], SCRAPES_S + 6.0, "10.0.0.2:9090"),
    ]
    found = traffic(observing.observation(parts, 400.0, 15.0))
    for passage, chosen in zip(found.passages, (first, ~first), strict=True):
        edges = np.concatenate((passage.begin_s[:1], passage.end_s)) - observing.BEGIN_S
        assert kept(BEGINS_S[chosen], edges) == passage.began.tolist()


def test_requests_that_a_restarted_activator_forgot_are_known_from_the_pods():
    """After its last scrape at 153 s an activator answers 20 requests and is killed at 165 s.

    Pods are scraped at other times, so that the 20 are known to a few.
    """
    ends_s = np.concatenate(
        (np.linspace(10.0, 150.0, 100), np.linspace(154.0, 164.0, 20), np.linspace(190.0, 350.0, 80))
    )
    known = observing.activator(ends_s - 0.5, ends_s, SCRAPES_S)
    killed = np.searchsorted(np.sort(ends_s), 165.0)
    parts = [
        replace(one, values=np.where(one.times_s > observing.BEGIN_S + 165.0, one.values - killed, one.values))
        if one.metric == observing.COUNT
        else one
        for one in known
    ]
    seen = [len(ends_s[ends_s <= scrape]) for scrape in SCRAPES_S + 2.0]
    pods = observing.series(
        observing.COUNT, "queue-proxy", SCRAPES_S + 2.0, seen, instance="10.0.1.1:9091", pod="p", server_port="8012"
    )
    found = traffic(observing.observation([*parts, pods], 390.0, 15.0))
    assert sum(one.began.sum() for one in found.passages) == pytest.approx(200, abs=4)
    assert "restarted activator" in found.notes[0]


def test_past_the_activator_ends_are_moved_by_what_the_requests_took():
    """Queue-proxies know ends only."""
    seen = np.searchsorted(np.sort(ENDS_S), SCRAPES_S, side="right")
    order = np.argsort(ENDS_S)
    took = np.concatenate(([0.0], np.cumsum((ENDS_S - BEGINS_S)[order])))[seen]
    at = {"instance": "10.0.1.1:9091", "pod": "p", "server_address": "painter.example.com"}
    parts = [
        observing.series(observing.COUNT, "queue-proxy", SCRAPES_S, seen, **at),
        observing.series(observing.SUM, "queue-proxy", SCRAPES_S, took, **at),
    ]
    found = traffic(observing.observation(parts, 390.0, 15.0))
    assert found.direct == 1.0
    assert any("only the ends" in note for note in found.notes)
    drawn = counts(found)
    assert drawn.requests.sum() == seen[-1]
    middle_s = np.average(0.5 * (drawn.begin_s + drawn.end_s), weights=drawn.requests) - observing.BEGIN_S
    assert middle_s == pytest.approx(BEGINS_S.mean(), abs=4.0)


@pytest.mark.parametrize("within", ["uniform", "inferred", "clustered"])
def test_every_replication_keeps_the_counts_and_draws_the_times(folder: str, within: str):
    """Each interval has as many requests in every replication as were recorded."""
    workload = Observed(kind="observed", file=folder, within=within)
    edges_s = np.concatenate(([0.0], SCRAPES_S))
    true = kept(BEGINS_S, edges_s)
    first, second = (arrivals(workload, 1, place) / 1e9 for place in (0, 1))
    assert kept(first, edges_s) == kept(second, edges_s) == true
    assert not np.array_equal(first, second)
    assert np.array_equal(first, arrivals(workload, 1, 0) / 1e9)
    distinct = len(np.unique(first))
    assert distinct == (np.count_nonzero(true) if within == "clustered" else len(first))


def test_a_stretch_a_speed_and_a_revision_are_taken_from_it(folder: str):
    """Fields of the workload."""
    whole = arrivals(Observed(kind="observed", file=folder), 1, 0) / 1e9
    fast = arrivals(Observed(kind="observed", file=folder, speed=2.0), 1, 0) / 1e9
    assert fast == pytest.approx(whole / 2.0, abs=1e-8)
    part = counts_of(Observed.model_validate({"kind": "observed", "file": folder, "from": "108s", "duration": "150s"}))
    assert part.requests.sum() == len(BEGINS_S[(BEGINS_S > 108.0) & (BEGINS_S <= 258.0)])
    assert part.begin_s.min() == 0.0
    assert part.end_s.max() == 150.0
    with pytest.raises(RecordError, match="no request of revision other"):
        counts_of(Observed(kind="observed", file=folder, revision="other"))


def test_what_is_no_observation_is_refused(tmp_path):
    """A folder without an observation, and no folder."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match="is no observation"):
        counts_of(Observed(kind="observed", file=str(tmp_path / "empty")))
    with pytest.raises(ExperimentError, match="is not a folder of kpasim observe"):
        from_mapping({"service": service(), "workload": {"kind": "observed", "file": "nowhere"},
                      "model": {"service-time": "1s"}}, base=tmp_path)  # fmt: skip


RECORDED = ("bursts-cold5", "cc10", "cc4-slow", "closed", "errors", "long12-cc1", "outage", "poisson-mid",
            "poisson-slow", "rev-change", "steps")  # fmt: skip
"""Runs of the real activator with one activator in the path that was not restarted."""


def test_the_recorded_activator_gives_the_arrivals_of_its_15_second_intervals():
    """The goal of 95 % of the intervals, over every run; in each run alone at least nine in ten."""
    shares, right, intervals = {}, 0, 0
    for name in RECORDED:
        requests = np.genfromtxt(prometheus_runs.folder(name) / "requests.csv", delimiter=",", names=True, dtype=None,
                                 encoding="utf-8")  # fmt: skip
        t0_s = json.loads((prometheus_runs.folder(name) / "run.json").read_text())["t0_unix_s"]
        begins_s = np.sort(requests["start_s"]) + t0_s
        [passage] = traffic(observing.thinned(prometheus_runs.observation(name), 3)).passages
        true = np.searchsorted(begins_s, passage.end_s) - np.searchsorted(begins_s, passage.begin_s)
        shares[name] = float((true == passage.began).mean())
        right, intervals = right + int((true == passage.began).sum()), intervals + len(true)
    assert intervals > 200
    assert right / intervals >= 0.95
    assert min(shares.values()) >= 0.9, shares


def test_a_query_range_that_repeats_its_last_samples_is_a_gap():
    """Prometheus was away for 60 s: what came then is spread over that time, not sent in the step after it."""
    drawn = counts(traffic(prometheus_runs.observation("outage", "range15.json")))
    longest = int(np.argmax(drawn.end_s - drawn.begin_s))
    assert drawn.end_s[longest] - drawn.begin_s[longest] == 60.0
    assert drawn.requests.sum() == 750
    per_s = drawn.requests / (drawn.end_s - drawn.begin_s)
    assert per_s.max() < 5.0
