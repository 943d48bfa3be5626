"""Files that load tools leave: of real ones where they are installed, else as their documentation has them."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from kpasim import calibrate
from kpasim.errors import RecordError, RunError
from kpasim.records import read
from kpasim.spec.workload import Replay
from kpasim.workloads.recorded import recording

DELAY_S = 0.05


class Slow(BaseHTTPRequestHandler):
    """Answers after a while."""

    protocol_version = "HTTP/1.1"
    wbufsize = 2**16  # Headers and body leave together, or the client acknowledges the first 40 ms late.

    def do_GET(self) -> None:
        """Answer."""
        time.sleep(DELAY_S)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that takes `DELAY_S` for each request."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a tool that ends cuts its connections
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/paint"
        server.shutdown()
        thread.join()


def tool(name: str, *arguments: str, cwd: Path) -> str:
    """What a tool prints."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (Debian: hey, wrk, apache2-utils)")
    return subprocess.run([name, *arguments], capture_output=True, text=True, check=True, timeout=120, cwd=cwd).stdout


def replay(path: Path, **options: object) -> Replay:
    """A workload that replays a file."""
    return Replay.model_validate({"kind": "replay", "file": str(path), **options})


def test_hey_s_csv_is_read_and_replayed(url: str, tmp_path: Path) -> None:
    """Every request is there, each as long as the server took; a replay sends them at the same moments."""
    path = tmp_path / "hey.csv"
    path.write_text(tool("hey", "-n", "20", "-c", "2", "-o", "csv", url, cwd=tmp_path))
    requests = read(path).requests
    assert len(requests["start_s"]) == 20
    assert np.all((requests["duration_s"] >= DELAY_S) & (requests["duration_s"] < 20 * DELAY_S))
    sent = recording(replay(path)).sent_s
    assert sent.tolist() == pytest.approx(sorted(requests["start_s"] - requests["start_s"].min()))


def test_apachebench_s_table_is_read_and_its_report_refused(url: str, tmp_path: Path) -> None:
    """Ab -g has each request, in whole seconds; its report has none, and says what to run instead."""
    report = tmp_path / "ab.txt"
    report.write_text(tool("ab", "-n", "20", "-c", "2", "-g", "ab.tsv", url, cwd=tmp_path))
    record = read(tmp_path / "ab.tsv")
    assert (record.kind, len(record.requests["start_s"]), record.grain_s) == ("ab-gnuplot", 20, 1.0)
    assert record.clients == "closed"
    assert np.all(record.requests["duration_s"] >= DELAY_S - 0.001)
    with pytest.raises(RecordError, match=r"ApacheBench.*ab -g FILE"):
        read(report)


def test_wrk_s_report_is_refused(url: str, tmp_path: Path) -> None:
    """Wrk keeps four percentiles and no single requests."""
    (tmp_path / "wrk.txt").write_text(tool("wrk", "-t1", "-c2", "-d1s", "--latency", url, cwd=tmp_path))
    with pytest.raises(RecordError, match=r"report of wrk.*hey -o csv"):
        read(tmp_path / "wrk.txt")


def test_locust_s_json_is_read_and_its_tables_refused(url: str, tmp_path: Path) -> None:
    """Locust --json has a count for each duration; the tables of --csv have no single requests."""
    if find_spec("locust") is None:
        pytest.skip("locust is not installed")
    code = "from locust import HttpUser, task\nclass Client(HttpUser):\n  @task\n  def ask(self):\n    "
    code += "self.client.get('/paint')\n    "
    code += "if self.environment.stats.total.num_requests >= 5:\n      self.environment.runner.quit()\n"
    (tmp_path / "locustfile.py").write_text(code)
    command = [sys.executable, "-m", "locust", "--headless", "-u2", "-r2", "-t60s", "--json", "--csv", "run"]
    host = url.removesuffix("/paint")
    done = subprocess.run(
        [*command, "-H", host], capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path
    )
    (tmp_path / "run.json").write_text(done.stdout)
    record = read(tmp_path / "run.json")
    assert len(record.requests["duration_s"]) == json.loads(done.stdout)[0]["num_requests"]
    assert DELAY_S <= np.median(record.requests["duration_s"]) < 4 * DELAY_S
    for name in ("run_stats.csv", "run_stats_history.csv"):
        with pytest.raises(RecordError, match=r"Locust's .*no single requests"):
            read(tmp_path / name)


def write(tmp_path: Path, text: str) -> Path:
    """A file of a text."""
    path = tmp_path / "measured"
    path.write_text(text)
    return path


def test_k6_s_milliseconds_are_known_by_their_size(tmp_path: Path) -> None:
    """One row per metric becomes one request, sent at its end minus its duration."""
    rows = "".join(
        f"{name},{1767261602100 + 3000 * n},{value},200,http://x/paint\n"
        for n in range(3)
        for name, value in (("http_reqs", 1), ("http_req_duration", 2000))
    )
    path = write(tmp_path, "metric_name,timestamp,metric_value,status,url\n" + rows)
    assert recording(replay(path, arrival="timestamp", **{"time-unit": "ms"})).sent_s.tolist() == [0, 3, 6]
    assert read(path).grain_s == 0


@pytest.mark.parametrize(
    ("line", "start", "duration", "grain"),
    [
        (
            '10.0.0.7 - - [01/Jan/2026:10:00:09 +0000] "POST /p?x=1 HTTP/1.1" 200 42 "-" "c/1" rt=2.104',
            6.896,
            2.104,
            1.0,
        ),
        ('10.0.0.7 - - [01/Jan/2026:11:00:09 +0100] "POST /p HTTP/1.1" 200 42 "-" "c/1" 2.104', 6.896, 2.104, 1.0),
        ('10.0.0.7 - - [01/Jan/2026:10:00:09 +0000] "POST /p HTTP/1.1" 200 42', 9.0, None, 1.0),
        ('[2026-01-01T10:00:07.310Z] "POST /p HTTP/1.1" 200 - 154 42 2260 2200 "10.0.0.7" "c/1"', 7.31, 2.26, 0.0),
        ('[2026-01-01T10:00:07.310Z] "POST /p HTTP/2" 200 - via_upstream - "-" 154 42 2260 2200 "-"', 7.31, 2.26, 0.0),
    ],
)
def test_access_logs_are_read(line: str, start: float, duration: float | None, grain: float, tmp_path: Path) -> None:
    """Nginx stamps ends in whole seconds, Envoy starts in milliseconds; the path is the class."""
    first = line.replace(":09 ", ":00 ").replace("00:07.310", "00:00.000").replace("2.104", "0.000")
    record = read(write(tmp_path, f"{first}\n{line}\n"))
    assert (record.kind, record.clients) == ("access-log", "open")
    assert record.grain_s == grain
    assert record.requests["start_s"].tolist() == pytest.approx([0.0, start])
    assert record.requests["class"].tolist() == ["/p", "/p"]
    if duration is None:
        assert np.isnan(record.requests["duration_s"]).all()
    else:
        assert record.requests["duration_s"][1] == pytest.approx(duration)


def test_a_replay_spreads_whole_seconds(tmp_path: Path) -> None:
    """Where a log knows the second only, the place within it is drawn anew in each replication."""
    line = '10.0.0.7 - - [01/Jan/2026:10:00:{:02d} +0000] "POST /p HTTP/1.1" 200 42\n'
    path = write(tmp_path, "".join(line.format(n // 5) for n in range(50)))
    assert recording(replay(path)).grain_s == 1.0
    assert recording(replay(path)).sent_s.tolist() == [n // 5 for n in range(50)]


def test_oha_ghz_and_fortio_are_read(tmp_path: Path) -> None:
    """Per request where the tool says so, else in the middle of its bins."""
    oha = "request-start,DNS,DNS+dialup,Response-delay,request-duration,bytes,status\n0.5,0,0,2,2.1,10,200\n"
    assert recording(replay(write(tmp_path, oha))).sent_s.tolist() == [0.0]
    assert read(write(tmp_path, oha)).clients == "closed"
    ghz = read(write(tmp_path, "duration (ms),status,error\n2026.1,OK,\n250.5,Unavailable,rpc error\n"))
    assert ghz.requests["status"].tolist() == [200, 503]
    assert ghz.clients == "open"
    assert ghz.requests["duration_s"].tolist() == [2.0261, 0.2505]
    bins = {"Data": [{"Start": 1.9, "End": 2.0, "Percent": 75, "Count": 3}, {"Start": 2, "End": 2.2, "Count": 1}]}
    fortio = {"RunType": "HTTP", "DurationHistogram": bins, "RetCodes": {"200": 4}}
    counted = read(write(tmp_path, json.dumps(fortio)))
    assert counted.requests["duration_s"].tolist() == [1.95, 1.95, 1.95, 2.1]
    assert counted.clients == "open"
    fortio["RetCodes"] = {"200": 3, "-1": 1}
    with pytest.raises(RecordError, match="1 failed requests are counted among the durations"):
        read(write(tmp_path, json.dumps(fortio)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Summary:\n  Success rate:\t100.00%\n  Total:\t20.0 secs\n", "report of oha"),
        ("\nSummary:\n  Count:\t50\n  Total:\t20.03 s\n", "report of ghz"),
        (
            '{"status":"success","data":{"resultType":"matrix","result":[]}}',
            "Prometheus.*kpasim observe FILE.*kind: steps, with phases",
        ),
        ("# TYPE kn_revision_pods_count gauge\nkn_revision_pods_count 1 1700000000\n", "kpasim observe FILE"),
        ('{__name__="kn_revision_pods_count"} 1 1700000000000\n', "kpasim observe FILE"),
        ('{"apiVersion":"v1","kind":"List","items":[{"kind":"Event"}]}', "events of Kubernetes.*kubectl get pods"),
        ("NAME    READY   STATUS    RESTARTS   AGE\nx  2/2 Running 0 1s\n", "table of kubectl"),
        ("NAMESPACE  NAME  READY  STATUS  RESTARTS  AGE\nd  x  2/2  Running  0  1s\n", "table of kubectl"),
        (
            "LAST SEEN   TYPE     REASON      OBJECT   MESSAGE\n3m  Normal  Scheduled  pod/x  ok\n",
            "table of Kube.*events",
        ),
        ("Name:       painter-abc\nNamespace:  default\n", "kubectl describe"),
        ("apiVersion: v1\nkind: List\nitems: []\n", "pods as YAML"),
        ('{"metrics":{"http_req_duration":{"avg":1}}}', "summary of k6"),
        ("Requests      [total, rate, throughput]  1, 2, 3\n", "report of vegeta"),
        ('<?xml version="1.0"?>\n<testResults version="1.2">\n', "JMeter's XML.*output_format=csv"),
        ("Label,# Samples,Average,Median,90% Line\ndraw,50,2100,2080,2300\n", "aggregate report of JMeter"),
        (f"1767261600000,2165,draw,200,OK,users 1-1,text,true{',x' * 9}\n", "without its header.*print_field_names"),
        ("     http_req_duration..............: avg=2.05s min=1.8s\n", "report of k6.*--out json=FILE"),
        ("Transactions:\t\t 50 hits\nAvailability:\t\t 100.00 %\n", "report of siege"),
        ('{"url":"http://x","connections":5,"latency":{"p50":2},"2xx":50}', "report of autocannon"),
        ('{"aggregate":{"counters":{},"summaries":{}},"intermediate":[]}', "report of Artillery"),
        ("Bombarding http://x:80 with 50 request(s) using 5 connection(s)\n", "report of bombardier"),
        ("Benchmarking http://x with 2 connection(s).\n\nSummary:\n  Elapsed      10s\n", "report of plow"),
        ("Running 30s test @ http://x/\n  2 threads and 100 connections\n", "report of wrk"),
        ("1700000000000000\t200\t52000\n1700000000050000\t200\t51000\n", "log of h2load.*--column unit=us"),
        ('{"backend":"vllm","num_prompts":100,"completed":100,"duration":10.1}', "vLLM's benchmark"),
        ('{"experiments":[{"experiment":{"mode":"concurrency"},"requests":[]}]}', "profile of GenAI-Perf"),
    ],
)
def test_what_holds_no_requests_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    """The line names the tool and the command that leaves a file which can be read."""
    with pytest.raises(RecordError, match=words) as error:
        read(write(tmp_path, text))
    assert len(str(error.value).splitlines()) == 1


def test_durations_of_clients_are_no_service_times(tmp_path: Path) -> None:
    """A replay that asks for service times out of a load tool's file is refused: they hold the wait."""
    path = write(
        tmp_path, "request-start,DNS,DNS+dialup,Response-delay,request-duration,bytes,status\n0,0,0,2,2,1,200\n"
    )
    with pytest.raises(RecordError, match="not service times"):
        recording(replay(path, service="request-duration"))


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("latency_us", "2100000"),
        ("latency_microseconds", "2100000"),
        ("latencyNanos", "2100000000"),
        ("latency [ms]", "2100"),
        ("durationMillis", "2100"),
        ("Response Time (sec)", "2.1"),
        ("duration_minutes", "0.035"),
        ("latency", "2100ms"),
        ("latency", "2.1 s"),
    ],
)
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_units_stand_in_names_or_behind_numbers(header: str, cell: str, mark: str, tmp_path: Path) -> None:
    """However a column is written, and whatever parts the cells, its durations are seconds in the record."""
    path = write(tmp_path, f"start{mark}{header}\n0.5{mark}{cell}\n1.5{mark}{cell}\n")
    assert read(path).requests["duration_s"].tolist() == pytest.approx([2.1, 2.1])


@pytest.mark.parametrize(("scale", "unit"), [(1e6, "us"), (1e9, "ns")])
def test_durations_of_weeks_are_refused_with_their_likely_unit(scale: float, unit: str, tmp_path: Path) -> None:
    """Nobody waits for weeks: the line names the unit that would be meant."""
    path = write(tmp_path, "start,latency\n" + "".join(f"{n},{2.1 * scale:.0f}\n" for n in range(5)))
    with pytest.raises(RecordError, match=rf"latency: durations of .* are no seconds \(say --column unit={unit}"):
        read(path)
    assert read(path, columns={"unit": unit}).requests["duration_s"].tolist() == pytest.approx([2.1] * 5)


def test_statuses_may_be_words(tmp_path: Path) -> None:
    """A success is 200; a request that timed out has no response, and its duration is how long it lasted at least."""
    path = write(tmp_path, "start,latency_ms,status\n0,2000,OK\n1,2100,success\n2,5000,timeout\n")
    requests = read(path).requests
    assert requests["status"].tolist() == [200, 200, 0]
    assert requests["censored"].tolist() == [False, False, True]


def test_jmeter_s_columns_may_be_few(tmp_path: Path) -> None:
    """Of a results file with three columns the duration is milliseconds all the same."""
    path = write(tmp_path, "timeStamp,elapsed,success\n1767261600000,2100,true\n1767261603000,2200,true\n")
    record = read(path)
    assert (record.kind, record.requests["duration_s"].tolist()) == ("jmeter-csv", [2.1, 2.2])
    assert record.clients == "closed"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n",
            "hey leaves out",
        ),
        (
            '10.0.0.7 - - [01/Jan/2026:10:00:00 +0000] "GET /p HTTP/1.1" 200 42\n',
            "no duration in the log.*request_time",
        ),
    ],
)
def test_a_file_without_durations_says_why_nothing_is_fitted(text: str, words: str, tmp_path: Path) -> None:
    """All requests of hey timed out, or a log has no durations: one line says so, and not a word of CSV columns."""
    with pytest.raises(RunError, match=words) as error:
        calibrate(write(tmp_path, text))
    assert "column" not in str(error.value)
