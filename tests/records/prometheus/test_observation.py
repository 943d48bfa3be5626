"""What becomes of series in files: one vocabulary, one folder, nothing lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kpasim.errors import RecordError, RunError
from kpasim.records.prometheus.assemble import assemble
from kpasim.records.prometheus.files import read_files
from kpasim.records.prometheus.observation import Observation
from kpasim.records.prometheus.observe import from_files
from kpasim.records.prometheus.selection import Served
from tests import prometheus_runs


def counted(observation: Observation, metric: str, role: str) -> float:
    """Increase of a counter over the window, resets included, first samples from 0 where they are."""
    total = 0.0
    for series in observation.find(metric, role):
        values = series.values[~np.isnan(series.values)]
        steps = np.diff(values, prepend=0.0 if series.from_zero else values[0])
        total += float(np.where(steps < 0, values, steps).sum())
    return total


@pytest.mark.parametrize("name", prometheus_runs.names())
def test_queue_proxies_counted_every_request(name: str):
    """First samples counted from 0, the counters of all pods add up to the requests that reached a pod."""
    observation = prometheus_runs.observation(name)
    requests = np.genfromtxt(
        prometheus_runs.folder(name) / "requests.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    assert len(requests) == counted(observation, "http_server_request_duration_seconds_count", "queue-proxy")


@pytest.mark.parametrize("phase", range(3))
@pytest.mark.parametrize("name", ["act-crash", "bursts-cold5", "outage", "tbc-mixed"])
def test_scrapes_every_15_s_lose_no_count(name: str, phase: int):
    """A pod's last counts are scraped while it drains, and its first ones are known to count from 0."""
    thinned = []
    for one in read_files([prometheus_runs.folder(name) / "raw.json"])[0]:
        kept = np.floor(one.times_s / 5) % 3 == phase
        if kept.any():
            thinned.append(Served(one.labels, one.times_s[kept], one.values[kept]))
    whole, part = prometheus_runs.observation(name), assemble(thinned, service=name, namespace="default")
    assert {15.0} == set(part.interval_s.values())
    metric = "http_server_request_duration_seconds_count"
    assert counted(whole, metric, "queue-proxy") == counted(part, metric, "queue-proxy")


@pytest.mark.parametrize(
    ("name", "file"), [("errors", "openmetrics.txt"), ("bursts-cold5", "dump.txt"), ("outage", "range15.json")]
)
def test_every_form_of_the_series_says_the_same(name: str, file: str):
    """OpenMetrics and a TSDB's dump hold the samples of the API's answer; query_range holds the same counters."""
    raw, other = prometheus_runs.observation(name), prometheus_runs.observation(name, file)
    assert [s.labels for s in raw.series] == [s.labels for s in other.series]
    if file == "range15.json":
        assert 15.0 == other.step_s
        assert "grid of 15 s" in other.notes[0]
        metric = "http_server_request_duration_seconds_count"
        assert counted(raw, metric, "queue-proxy") == counted(other, metric, "queue-proxy")
        return
    assert 0.0 == other.step_s
    for one, two in zip(raw.series, other.series, strict=True):
        known = ~np.isnan(two.values)
        np.testing.assert_allclose(one.times_s, two.times_s[known], rtol=0, atol=0.0005)
        np.testing.assert_array_equal(one.values, two.values[known])


def test_a_dump_shows_where_series_ended():
    """Staleness markers, which only a dump shows, are NaN."""
    observation = prometheus_runs.observation("bursts-cold5", "dump.txt")
    ended = [s for s in observation.find("up", "queue-proxy") if np.isnan(s.values[-1])]
    assert ended


def test_a_written_observation_is_read_back(tmp_path: Path):
    """All of it, bit for bit; and a second write takes its place."""
    observation = prometheus_runs.observation("act-crash")
    for _ in range(2):
        observation.write(tmp_path / "observation")
        back = Observation.read(tmp_path / "observation")
        assert observation.metadata() == back.metadata()
        for one, two in zip(observation.series, back.series, strict=True):
            assert (one.labels, one.metric, one.role, one.from_zero) == (
                two.labels,
                two.metric,
                two.role,
                two.from_zero,
            )
            np.testing.assert_array_equal(one.times_s, two.times_s)
            np.testing.assert_array_equal(one.values, two.values)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path):
    """An observation takes no run's place, and what is no observation is refused in a line."""
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunError, match="holds a run"):
        prometheus_runs.observation("errors").write(tmp_path)
    with pytest.raises(RecordError, match=r"is no observation: it has no observation\.json"):
        Observation.read(tmp_path)


def test_a_restarted_activator_is_a_reset():
    """Its counters fall once, between the last scrape before its end and the first after."""
    [reset] = prometheus_runs.observation("act-crash").resets
    assert ("activator", 10) == (reset.role, reset.series)
    assert 10 <= reset.after_s - reset.before_s <= 20


def test_an_absent_prometheus_is_a_gap():
    """All targets have no samples for the minute that Prometheus was away."""
    [gap] = prometheus_runs.observation("outage").gaps
    assert ("", "") == (gap.role, gap.instance)
    assert 60 <= gap.end_s - gap.begin_s <= 75


def test_an_unknown_service_is_answered_with_those_that_are_there():
    """One line names them."""
    with pytest.raises(RunError, match=r"^default/erors: no such service; there are default/errors$"):
        from_files([prometheus_runs.folder("errors") / "raw.json"], service="erors", namespace="default")
