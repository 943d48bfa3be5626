"""Observations through HTTP from real servers: Debian's Prometheus, filled by promtool, and VictoriaMetrics."""

import functools
import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import kpasim
from kpasim.cli.main import cli
from kpasim.errors import RunError
from kpasim.records.prometheus.client import TOKEN_VARIABLE, Client, token_from
from kpasim.records.prometheus.exposition import Written, write_openmetrics
from kpasim.records.prometheus.files import read_files
from kpasim.records.prometheus.observation import Observation, Series
from kpasim.records.prometheus.observe import from_files, from_server
from kpasim.records.prometheus.selection import Served
from kpasim.results.tables import Tables
from tests import prometheus_runs
from tests.documented import ROOT
from tests.records.prometheus.knative import scraped
from tests.records.prometheus.servers import free_port, program, prometheus, victoria_metrics

BEGIN = 1.7e9
"""Date of the start of the simulated load [s since 1970]."""
BACK_S = 1e8
"""The recorded run is put so long before its time [s], since a server takes no samples of the future."""
COUNT = "http_server_request_duration_seconds_count"
GENERATIONS = {"hello": "opentelemetry", "old": "opencensus"}
"""Services with the series of the run with steps, and the generation of their names."""
LONG = "a-model-with-a-long-name-of-its-own-x9-predictor"
"""A service of which the pods' names are cut."""
DAYS = {"day": "opentelemetry", "day-old": "opencensus"}
"""Services with the autoscaler's series of six hours of a day."""


@functools.cache
def simulated() -> Tables:
    """One run with a load in steps."""
    return kpasim.simulate(kpasim.load(ROOT / "experiments/steps.yaml"), replications=1, engine="reference").tables()


@functools.cache
def day() -> Tables:
    """One run of six hours with some two hundred pods."""
    experiment = kpasim.load(ROOT / "experiments/diurnal-day.yaml").with_settings({"workload.duration": "6h"})
    return kpasim.simulate(experiment, replications=1, engine="reference").tables()


def end_s(tables: Tables | None = None) -> float:
    """End of a run's load [s]."""
    return float((tables or simulated()).requests["start_s"].max())


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The simulated run as OpenMetrics under both generations of names, and a recorded run."""
    folder = tmp_path_factory.mktemp("openmetrics")
    files = []
    for service, generation in (GENERATIONS | DAYS).items():
        files.append(folder / f"{service}.txt")
        tables = day() if service in DAYS else simulated()
        known = {"service": service, "begin_unix_s": BEGIN, "end_s": end_s(tables), "generation": generation}
        series = scraped(tables, **known, interval_s=5 if service in DAYS else 15, pods=service in GENERATIONS)
        write_openmetrics(files[-1], (s for s in series if service in GENERATIONS or s.labels["job"] == "autoscaler"))
    for service, labels in (("federated", federated), (LONG, dict)):
        files.append(folder / f"{service}.txt")
        series = scraped(simulated(), service=service, begin_unix_s=BEGIN, end_s=end_s())
        few = (one for one in series if not one.name.endswith("_bucket"))
        write_openmetrics(files[-1], (replace(one, labels=labels(one.labels)) for one in few))
    recorded, _ = read_files([prometheus_runs.folder("errors") / "raw.json"])
    files.append(folder / "errors.txt")
    series = (Written(one.name, _unnamed(one), one.times_s - BACK_S, one.values, "unknown") for one in recorded)
    write_openmetrics(files[-1], series)
    return files


def federated(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels of a series that another Prometheus took over without ``honor_labels``."""
    own = {"job": "federate", "instance": "prometheus:9090", "namespace": "monitoring", "pod": "prometheus-0"}
    own["container"] = "prometheus"
    return {f"exported_{name}" if name in own else name: value for name, value in labels.items()} | own


def _unnamed(one: Served) -> dict[str, str]:
    return {name: value for name, value in one.labels.items() if name != "__name__"}


@pytest.fixture(scope="module")
def of_prometheus(texts: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prometheus that holds the runs."""
    with prometheus(tmp_path_factory.mktemp("prometheus"), *texts) as url:
        yield url


@pytest.fixture(scope="module")
def of_victoria(texts: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a VictoriaMetrics that holds the same."""
    with victoria_metrics(tmp_path_factory.mktemp("victoria"), read_files(texts)[0]) as url:
        yield url


@pytest.fixture(params=["of_prometheus", "of_victoria"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of each server."""
    found: str = request.getfixturevalue(request.param)
    return found


@functools.cache
def observed(url: str, service: str) -> Observation:
    """The simulated run, observed with some time before and after."""
    window = (BEGIN - 300, BEGIN + end_s() + 300)
    return from_server(Client(url), service=service, namespace="default", window_s=window)


def begun(count: Series, gauges: list[Series]) -> np.ndarray:
    """Arrivals in each interval between two scrapes: what ended, and how many more are in flight."""
    [times] = {tuple(gauge.times_s) for gauge in gauges}
    in_flight = sum(gauge.values for gauge in gauges)
    ended = np.zeros(len(times))
    ended[np.searchsorted(times, count.times_s)] = count.increments()
    return ended + np.diff(in_flight, prepend=0.0)


def test_arrivals_come_back_exactly(url: str):
    """Behind an activator each interval between two scrapes has the requests that the simulation sent in it."""
    observation = observed(url, "hello")
    assert "opentelemetry" == observation.generation
    [count] = observation.find(COUNT, "activator")
    gauges = [observation.find(f"kn_revision_request_{name}")[0] for name in ("active", "queued")]
    edges = np.concatenate([[-np.inf], gauges[0].times_s - BEGIN])
    sent, _ = np.histogram(np.round(simulated().requests["start_s"], 9), np.nextafter(edges, np.inf))
    np.testing.assert_array_equal(sent, begun(count, gauges))


@pytest.mark.parametrize("service", ["federated", LONG])
def test_pods_are_found_under_labels_and_names_that_were_changed(url: str, service: str):
    """A federation calls the pod ``exported_pod``, and Kubernetes cuts long names of pods."""
    own, plain = observed(url, service), observed(url, "hello")
    for role in ("activator", "queue-proxy"):
        counts = [sum(s.increments().sum() for s in o.find(COUNT, role)) for o in (own, plain)]
        assert counts[0] == counts[1] == len(simulated().requests["start_s"])
    assert 15.0 == own.interval_s["queue-proxy"]
    assert len(own.find("up", "queue-proxy")) == len(plain.find("up", "queue-proxy"))


def test_responses_come_back_exactly_under_old_names(url: str):
    """Up to Knative 1.18 no gauge says how many requests are in flight: each interval has the requests that ended."""
    observation = observed(url, "old")
    assert "opencensus" == observation.generation
    assert any("only their ends are known" in text for text in observation.missing)
    [count] = observation.find(COUNT, "activator")
    requests = simulated().requests
    edges = np.concatenate([[-np.inf], count.times_s - BEGIN])
    ended, _ = np.histogram(requests["start_s"] + requests["latency_s"], np.nextafter(edges, np.inf))
    np.testing.assert_array_equal(ended, count.increments())


@pytest.mark.parametrize("service", DAYS)
def test_pod_seconds_come_back(url: str, service: str):
    """Ready pods, each sample held until the next, are within 0.5 % of the run's."""
    window = (BEGIN - 60, BEGIN + end_s(day()) + 60)
    observation = from_server(Client(url), service=service, namespace="default", window_s=window)
    [ready] = observation.find("kn_revision_pods_count")
    seconds = float(np.sum(ready.values[:-1] * np.diff(ready.times_s)))
    pods = day().pods
    low, high = (time - BEGIN for time in (ready.times_s[0], ready.times_s[-1]))
    end = np.fmin(np.fmin(pods["delete_requested_s"], pods["gone_s"]), high)
    truth = float(np.nansum(np.maximum(end - np.maximum(pods["ready_s"], low), 0.0)))
    assert truth == pytest.approx(seconds, rel=0.005)


@pytest.mark.parametrize("service", GENERATIONS)
def test_service_times_come_back_in_seconds(url: str, service: str):
    """Sum over count at the container is the mean service time, whatever unit was served."""
    observation = observed(url, service)
    total = {
        part: sum(s.increments().sum() for s in observation.find(f"kn_serving_invocation_duration_seconds_{part}"))
        for part in ("sum", "count")
    }
    requests = simulated().requests
    assert len(requests["id"]) == total["count"]
    assert np.sum(requests["service_s"]) == pytest.approx(total["sum"])


def test_a_server_gives_the_samples_of_its_files(url: str):
    """A recorded run through HTTP has every sample at its own time, as its file does."""
    file = prometheus_runs.observation("errors")
    window = (file.begin_s - BACK_S - 1, file.end_s - BACK_S + 1)
    live = from_server(Client(url), service="errors", namespace="default", window_s=window)
    assert [s.labels for s in file.series] == [s.labels for s in live.series]
    for one, two in zip(file.series, live.series, strict=True):
        np.testing.assert_allclose(one.times_s, two.times_s + BACK_S, rtol=0, atol=0.0006)
        np.testing.assert_allclose(one.values, two.values, rtol=1e-12)


def test_long_ranges_are_split(url: str):
    """Three days at a step of 15 s are more points than Prometheus gives at once, and the counters are whole."""
    end = BEGIN + end_s() + 300
    window = (end - 3 * 86400, end)
    observation = from_server(Client(url), service="hello", namespace="default", window_s=window, step_s=15)
    assert 15 == observation.step_s
    [count] = observation.find(COUNT, "activator")
    assert len(simulated().requests["id"]) == count.increments().sum()
    np.testing.assert_array_equal(0, count.times_s % 15)


def test_histograms_of_long_windows_lose_nothing(url: str):
    """Buckets are the last of each 5 min, and count as many requests as the samples themselves."""
    fine = observed(url, "hello")
    end = BEGIN + end_s() + 300
    coarse = from_server(Client(url), service="hello", namespace="default", window_s=(end - 86400, end))
    assert (0, 300) == (coarse.step_s, coarse.histogram_step_s)
    for metric in ("http_server_request_duration_seconds_bucket", "kn_serving_invocation_duration_seconds_bucket"):
        for bound in ("2.5", "+Inf"):
            counts = [sum(s.increments().sum() for s in o.find(metric, le=bound)) for o in (fine, coarse)]
            assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("service", ["helo", "hello"])
def test_an_unknown_service_is_answered_with_those_that_are_there(url: str, service: str):
    """One line names the services, of both generations; also where only the namespace is wrong."""
    namespace = "default" if service == "helo" else "prod"
    with pytest.raises(RunError) as caught:
        from_server(Client(url), service=service, namespace=namespace, window_s=(BEGIN - 3600, BEGIN + 3600))

    there = (*GENERATIONS, *DAYS, LONG, "federated")
    listed = ", ".join(f"default/{name}" for name in sorted(there, key=lambda one: (one != service, one)))
    assert f"{namespace}/{service}: no such service; there are {listed}" == str(caught.value)


def test_wrong_urls_are_refused_in_one_line(of_prometheus: str):
    """What is wrong and what would be right: a port without a server, a path, a scheme, a password in the URL."""
    cases = {
        f"http://127.0.0.1:{free_port()}": "cannot be reached: Connection refused",
        f"{of_prometheus}/metrics": "does not speak Prometheus' API",
        f"{of_prometheus}/nowhere": "does not speak Prometheus' API",
        of_prometheus.replace("http:", "https:"): "no TLS there",
        "localhost:9090": "must be a URL such as http://localhost:9090",
        of_prometheus.replace("//", "//user:secret@"): "must hold no user or password",
    }
    for wrong, message in cases.items():
        with pytest.raises(RunError) as caught:
            observed(wrong, "hello")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.fixture
def guarded(of_prometheus: str) -> Iterator[tuple[str, list[str]]]:
    """The URL of a gateway before Prometheus that wants a token, and the paths that it saw."""
    seen: list[str] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", f"{of_prometheus}/api/v1/series?token=secret")
                self.end_headers()
                return
            if self.headers.get("Authorization") != "Bearer right":
                self.send_response(401)
                self.end_headers()
                return
            headers = {"Content-Type": self.headers["Content-Type"]}
            request = urllib.request.Request(of_prometheus + self.path, data=body, headers=headers)
            with urllib.request.urlopen(request) as response:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(response.read())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


def test_a_token_comes_from_a_file_or_the_environment(guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The right token opens, a wrong one or none is refused in a line that does not show it."""
    address, _ = guarded
    file = tmp_path / "token"
    file.write_text("right\n")
    window = (BEGIN, BEGIN + 60)

    def observe(token: str | None) -> Observation:
        return from_server(Client(address, token=token), service="hello", namespace="default", window_s=window)

    assert observe(token_from(file)).series
    monkeypatch.setenv(TOKEN_VARIABLE, "wrong-one")
    with pytest.raises(RunError, match=r"the server refuses the token \(HTTP 401\); give a valid") as caught:
        observe(token_from(None))
    assert "wrong-one" not in str(caught.value)
    monkeypatch.delenv(TOKEN_VARIABLE)
    with pytest.raises(RunError, match=r"the server wants a token \(HTTP 401\)"):
        observe(token_from(None))
    with pytest.raises(RunError, match=r"cannot be read: No such file"):
        token_from(tmp_path / "none")


def test_a_redirect_is_not_followed_with_the_token(guarded):
    """The message says where it leads, without what may be secret in that URL."""
    address, seen = guarded
    with pytest.raises(RunError, match=r"leads to http://127\.0\.0\.1:\d+/api/v1/series \(HTTP 302\)") as caught:
        from_server(Client(f"{address}/moved", token="right"), service="a", namespace="b", window_s=(0, 60))
    assert "secret" not in str(caught.value)
    assert 1 == len(seen)


def test_a_certificate_is_verified(texts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An unknown authority is refused; SSL_CERT_FILE names it, and --insecure goes without."""
    openssl = program("openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    config = tmp_path / "web.yml"
    config.write_text(f"tls_server_config:\n  cert_file: {certificate}\n  key_file: {key}\n")
    with prometheus(tmp_path / "tls", texts[0], flags=[f"--web.config.file={config}"]) as plain:
        url = plain.replace("http:", "https:")
        with pytest.raises(RunError, match="its certificate cannot be verified"):
            observed(url, "hello")
        window = (BEGIN, BEGIN + 60)
        assert from_server(Client(url, insecure=True), service="hello", namespace="default", window_s=window).series
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert from_server(Client(url), service="hello", namespace="default", window_s=window).series


def test_the_command_leaves_an_observation(of_prometheus: str, tmp_path: Path):
    """`kpasim observe` prints what was found and writes the folder; its JSON is that of the folder."""
    out = tmp_path / "observation"
    window = ["--from", f"{BEGIN - 300}", "--to", f"{BEGIN + end_s() + 300}"]
    command = ["observe", "--prometheus", of_prometheus, "-n", "default", "--service", "hello", *window]
    done = CliRunner().invoke(cli, [*command, "--out", str(out)])
    assert 0 == done.exit_code, done.output
    assert f"{len(simulated().requests['id']):,} through the activator" in done.stdout
    again = CliRunner().invoke(cli, [*command, "--out", str(out), "--json"])
    written = json.loads((out / "observation.json").read_text())
    assert json.loads(again.stdout) == {key: value for key, value in written.items() if key != "format"} | {
        "folder": str(out)
    }
    wrong = CliRunner().invoke(cli, [*command[:-6], "--service", "nobody", *window])
    assert 1 == wrong.exit_code
    assert "no such service; there are default/a-model" in wrong.stderr


def test_the_prediction_is_a_series_of_prometheus(tmp_path: Path):
    """`kpasim run --openmetrics` writes what promtool takes, and Prometheus gives back the run's requests."""
    text, out = tmp_path / "prediction.txt", tmp_path / "run"
    command = ["run", str(ROOT / "experiments/steps.yaml"), "-n", "1", "--engine", "reference"]
    done = CliRunner().invoke(cli, [*command, "--openmetrics", str(text), "--out", str(out)])
    assert 0 == done.exit_code, done.output
    with prometheus(tmp_path / "prometheus", text) as url:
        total = _value(url, "max_over_time(kpasim_requests_started_total[1d])")
        peak = _value(url, "max_over_time(kpasim_revision_pods_count[1d])")
        served = _value(
            url, 'max_over_time(kpasim_request_duration_seconds_count{http_response_status_code="200"}[1d])'
        )
    summary = json.loads((out / "summary.json").read_text())["summary"]
    assert (summary["requests"], summary["ok"]) == (total, served)
    assert 0 < peak <= summary["max_pods"]


def _value(url: str, query: str) -> float:
    with urllib.request.urlopen(f"{url}/api/v1/query?query={urllib.request.quote(query)}") as answer:
        [one] = json.load(answer)["data"]["result"]
        return float(one["value"][1])


def test_a_dump_of_promtool_is_read(texts: list[Path], tmp_path: Path):
    """A TSDB made of the text, dumped by promtool, is the text's observation."""
    tool = program("promtool")
    subprocess.run([tool, "tsdb", "create-blocks-from", "openmetrics", texts[0], tmp_path / "d"], check=True)
    (tmp_path / "d" / "wal").mkdir()
    dump = tmp_path / "dump.txt"
    with open(dump, "w") as file:
        subprocess.run([tool, "tsdb", "dump", tmp_path / "d"], check=True, stdout=file)
    one, two = (from_files([path], service="hello", namespace="default") for path in (texts[0], dump))
    assert one.samples == two.samples
