"""Service times, cold starts and pod-seconds out of recorded series, beside the truth of the runs."""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest

from kpasim.errors import RunError
from kpasim.studies.backtest.contention import contention
from kpasim.studies.backtest.pods import pod_seconds
from kpasim.studies.backtest.service import service_time
from kpasim.studies.backtest.starts import cold_start
from tests import observing, prometheus_runs
from tests.observing import series

METRICS = {
    "kn_revision_pods_count": "pod_seconds_ready_to_delete",
    "kn_revision_pods_requested": "pod_seconds_created_to_delete",
}
CENSORED = {"errors"}
"""Runs in which half of the requests were cut off at timeoutSeconds: the container's durations end there."""


@cache
def truth(name: str) -> dict[str, Any]:
    """Figures of the run's own tables, and its clock."""
    folder = prometheus_runs.folder(name)
    run, summary = (json.loads((folder / file).read_text()) for file in ("run.json", "summary.json"))
    return {**summary, "t0_s": run["t0_unix_s"]}


@pytest.mark.parametrize("name", sorted(set(prometheus_runs.names()) - CENSORED))
def test_the_mean_service_time_of_recorded_runs_is_known(name: str):
    """Scrapes of 15 s: the mean to 1 %, the spread to a tenth of the mean."""
    requests = np.genfromtxt(
        prometheus_runs.folder(name) / "requests.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    took_s = requests["service_s"][~np.isnan(requests["service_s"])]
    found = service_time(observing.thinned(prometheus_runs.observation(name), 3))
    assert found.mean_s == pytest.approx(took_s.mean(), rel=0.01)
    assert found.cv == pytest.approx(took_s.std() / took_s.mean(), abs=0.1)


def test_durations_beyond_the_last_bound_are_known_where_they_were_alone():
    """In ``long12-cc1`` 6 of 10 requests took longer than the histogram's 10 s."""
    found = service_time(observing.thinned(prometheus_runs.observation("long12-cc1"), 3))
    assert any("are beyond the histogram" in note for note in found.notes)
    assert found.exact > 80
    assert "last bound of 10 s" in found.notes[0]


def test_requests_that_were_cut_off_do_not_shorten_the_service_time():
    """In ``errors`` clients give up after 4 s: without those stretches the mean is right."""
    found = service_time(prometheus_runs.observation("errors"))
    assert "cuts a request off" in found.notes[0]
    assert found.mean_s == pytest.approx(1.5, rel=0.1)


@pytest.mark.parametrize("every", [1, 3, 6])
def test_contention_is_found_where_requests_share_a_gpu(every: int):
    """The container of ``cc4-slow`` takes 1, 1.4, 1.9 and 2.5 times its 1 s while 1, 2, 3 and 4 requests share it."""
    thin = observing.thinned(prometheus_runs.observation("cc4-slow"), every)
    found = contention(thin, 4, service_time(thin).mean_s)
    assert found is not None
    assert found.slope == pytest.approx(0.46, abs=0.12)
    assert found.alone_s == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("phase", [0, 3, 6, 9])
def test_contention_shows_at_scrapes_of_a_minute_as_well(phase: int):
    """Of its pods some 15 stretches are left."""
    thin = observing.thinned(prometheus_runs.observation("cc4-slow"), 12, phase)
    found = contention(thin, 4, service_time(thin).mean_s)
    assert found is not None
    assert found.low - 0.05 <= 0.46 <= found.high + 0.05


@pytest.mark.parametrize(("name", "concurrency"), [("cc10", 10), ("tbc-mixed", 2), ("poisson-mid", 1)])
@pytest.mark.parametrize("every", [1, 3, 12])
def test_no_contention_is_found_where_there_is_none(name: str, concurrency: int, every: int):
    """Containers that serve any number at the same pace, and pods with one request at a time."""
    thin = observing.thinned(prometheus_runs.observation(name), every)
    assert contention(thin, concurrency, service_time(thin).mean_s) is None


@pytest.mark.parametrize("name", ["poisson-mid", "rev-change", "long12-cc1", "outage", "act3"])
def test_the_mean_cold_start_of_recorded_runs_is_known(name: str):
    """Scrapes of 5 s."""
    found = cold_start(prometheus_runs.observation(name))
    assert found.mean_s == pytest.approx(np.mean(truth(name)["cold_start_s"]), abs=1.2)


def test_a_coarse_scrape_leaves_the_cold_start_open_and_says_so():
    """A start of 6 s between scrapes of 60 s."""
    found = cold_start(observing.thinned(prometheus_runs.observation("poisson-mid"), 12))
    assert found.low_s <= 6.0 <= found.high_s
    assert "--cold-start" in found.notes[0]


def test_kube_state_metrics_has_the_times_of_pods():
    """Three pods, created at 10, 50 and 90 s, Ready after 30, 32 and 34 s."""
    parts = []
    for place, took_s in enumerate((30.0, 32.0, 34.0)):
        created_s = observing.BEGIN_S + 10.0 + 40.0 * place
        for metric, at_s in (("kube_pod_created", created_s), ("kube_pod_status_ready_time", created_s + took_s)):
            parts.append(series(metric, "kube-state-metrics", [150.0], [at_s], pod=f"p{place}"))
    found = cold_start(observing.observation(parts, 150.0, 15.0))
    assert found.mean_s == pytest.approx(32.0)
    assert found.starts == 3


def test_without_a_start_the_user_is_asked():
    """Nothing started."""
    parts = [series(metric, "autoscaler", [0.0, 15.0, 30.0], [0, 0, 0]) for metric in
             ("kn_revision_pods_not_ready_count", "kn_revision_pods_terminating_count")]  # fmt: skip
    with pytest.raises(RunError, match="give --cold-start"):
        cold_start(observing.observation(parts, 30.0, 15.0))


def test_pod_seconds_of_known_steps():
    """Two pods from 0 to 60 s and five until 120 s, scraped every 15 s: the moment of the change is open by 15 s."""
    times_s = np.arange(0.0, 121.0, 15.0)
    gauge = series("kn_revision_pods_count", "autoscaler", times_s, np.where(times_s < 60.0, 2, 5))
    ends_s = observing.BEGIN_S, observing.BEGIN_S + 120
    found = pod_seconds(observing.observation([gauge], 120.0, 15.0), gauge.metric, *ends_s)
    assert found.value == pytest.approx(2 * 52.5 + 5 * 67.5)
    assert found.low < 2 * 60 + 5 * 60 < found.high
    assert found.high - found.value == pytest.approx(1.645 * 3 * 17 / 12**0.5, rel=0.01)


def test_pods_that_came_and_went_between_scrapes_widen_the_interval():
    """The count is 1 at both scrapes, and a second pod's process began in between."""
    gauge = series("kn_revision_pods_count", "autoscaler", [0.0, 60.0], [1, 1])
    begun = series("process_start_time_seconds", "queue-proxy", [59.0], [observing.BEGIN_S + 20.0], pod="p")
    ends_s = observing.BEGIN_S, observing.BEGIN_S + 60
    calm = pod_seconds(observing.observation([gauge], 60.0, 60.0), gauge.metric, *ends_s)
    unsure = pod_seconds(observing.observation([gauge, begun], 60.0, 60.0), gauge.metric, *ends_s)
    assert calm.high == calm.low == calm.value == unsure.value == 60.0
    assert unsure.low < 30.0
    assert unsure.high > 80.0


def test_a_gap_and_a_not_a_number_leave_pods_as_they_were():
    """A gap is bridged by the trapezoid; a missing value is no zero."""
    gauge = series("kn_revision_pods_count", "autoscaler", [0.0, 15.0, 30.0, 90.0], [2, np.nan, 2, 2])
    ends_s = observing.BEGIN_S, observing.BEGIN_S + 90
    found = pod_seconds(observing.observation([gauge], 90.0, 15.0), gauge.metric, *ends_s)
    assert found.value == pytest.approx(180.0)


def coverage(every: int, phases: range) -> float:
    """Share of intervals of pod-seconds that hold the truth, over runs, phases and both gauges."""
    held, tried = 0, 0
    for name in prometheus_runs.names():
        facts = truth(name)
        ends_s = facts["t0_s"], facts["t0_s"] + facts["load_end_s"]
        for phase in phases:
            thin = observing.thinned(prometheus_runs.observation(name), every, phase)
            for metric, figure in METRICS.items():
                found = pod_seconds(thin, metric, *ends_s)
                held, tried = held + (found.low <= facts[figure] <= found.high), tried + 1
    return held / tried


@pytest.mark.parametrize("every", [1, 3, 6, 12])
def test_intervals_of_pod_seconds_hold_the_truth(every: int):
    """The goal of 90 %, at 5, 15, 30 and 60 s; one phase of the scrapes."""
    assert coverage(every, range(1)) >= 0.9


@pytest.mark.statistical
@pytest.mark.parametrize("every", [3, 6, 12])
def test_intervals_of_pod_seconds_hold_the_truth_in_every_phase(every: int):
    """The same, whichever of the scrapes are left."""
    assert coverage(every, range(every)) >= 0.9


def test_a_revision_that_is_gone_counts_no_more():
    """Its gauges end at 60 s, whatever else is exported of it: from 90 s on there is the pod of the next one."""
    times_s = np.arange(0.0, 121.0, 15.0)
    old = series("kn_revision_pods_count", "autoscaler", times_s[:5], [3] * 5, revision="painter-00001")
    new = series("kn_revision_pods_count", "autoscaler", times_s[4:], [1] * 5, revision="painter-00002")
    both = observing.observation([old, new], 120.0, 15.0)
    assert pod_seconds(both, old.metric, observing.BEGIN_S + 90, observing.BEGIN_S + 120).value == pytest.approx(30.0)
    assert pod_seconds(both, old.metric, observing.BEGIN_S, observing.BEGIN_S + 45).value == pytest.approx(135.0)


def test_a_query_range_tells_the_cold_start_as_well():
    """Its samples are up to a step older than their times."""
    found = cold_start(prometheus_runs.observation("outage", "range15.json"))
    assert found.mean_s == pytest.approx(np.mean(truth("outage")["cold_start_s"]), abs=1.2)
