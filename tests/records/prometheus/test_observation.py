"""What becomes of series in files: one vocabulary, one folder, nothing lost."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from kpasim.cli.main import cli
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
        assert any("grid of 15 s" in text for text in other.notes)
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


@pytest.mark.parametrize("name", ["observation.json", "labels.parquet", "series.parquet"])
def test_a_damaged_observation_is_refused_in_one_line(name: str, tmp_path: Path):
    """A file that was cut off or is missing makes no traceback."""
    prometheus_runs.observation("errors").write(tmp_path)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(RecordError, match="can") as caught:
        Observation.read(tmp_path)
    assert "\n" not in str(caught.value)
    file.unlink()
    with pytest.raises(RecordError, match=f"it has no {name}"):
        Observation.read(tmp_path)


def observe(*arguments: str) -> Result:
    """What the command says."""
    return CliRunner().invoke(cli, ["observe", *arguments])


def test_files_of_one_service_need_no_name(tmp_path: Path):
    """The service of the file is taken; the window can be cut, in a time zone."""
    file = str(prometheus_runs.folder("errors") / "raw.json")
    zone = ("--time-zone", "Europe/Berlin", "--from", "2026-11-29T08:26", "--to", "2026-11-29T08:29")
    done = observe(file, *zone, "--out", str(tmp_path / "o"), "--json")
    assert 0 == done.exit_code, done.output
    found = json.loads(done.stdout)
    assert ("errors", "default", "Europe/Berlin") == (found["service"], found["namespace"], found["time_zone"])
    begin = datetime(2026, 11, 29, 7, 26, tzinfo=UTC).timestamp()
    assert begin <= found["begin_s"] < begin + 5
    assert begin + 175 < found["end_s"] <= begin + 180


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "give --prometheus URL, or FILES"),
        (("x", "--prometheus", "http://localhost:9090"), 2, "not both"),
        (("--prometheus", "http://localhost:9090"), 2, "--prometheus needs --namespace and --service"),
        (("x", "--token-file", "y"), 2, "--token-file goes with --prometheus"),
        (("x", "--since", "5y"), 2, "is no duration (such as 7d, 24h or 90m)"),
        (("x", "--since", "1h", "--from", "2026-01-01"), 2, "not both"),
        (("x", "--from", "2026-01-02", "--to", "2026-01-01"), 2, "--from must be before --to"),
        (("x", "--from", "yesterday"), 2, "is no date"),
        (("x", "--time-zone", "Mars"), 2, "is no time zone"),
        (("nothing.json",), 1, "nothing.json: cannot be read: No such file or directory"),
    ],
)
def test_wrong_usage_is_said_in_a_line(arguments: tuple[str, ...], status: int, message: str):
    """What is wrong, and what would be right."""
    done = observe(*arguments)
    assert status == done.exit_code
    assert message in done.output
    assert "Traceback" not in done.output


def test_several_services_in_a_file_are_named(tmp_path: Path):
    """Without a name there is no choice between them."""
    files = [str(prometheus_runs.folder(name) / "raw.json") for name in ("errors", "cc10")]
    done = observe(*files, "--out", str(tmp_path / "o"))
    assert 1 == done.exit_code
    assert "name the service and its namespace; the files hold default/cc10, default/errors" in done.output
    assert 0 == observe(*files, "--service", "cc10", "--out", str(tmp_path / "o")).exit_code
