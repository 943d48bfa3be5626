"""Servers whose answers are no answers: one line says what is wrong, whatever they send."""

import contextlib
import gzip
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.errors import KpasimError
from kpasim.records.prometheus import client
from kpasim.records.prometheus.client import Client
from kpasim.records.prometheus.observation import Observation
from kpasim.records.prometheus.observe import from_files, from_server

BEGIN_S = 1.7e9
LABELS = {
    "__name__": "kn_revision_pods_count",
    "k8s_namespace_name": "default",
    "kn_service_name": "hello",
    "kn_revision_name": "hello-00001",
    "job": "autoscaler",
    "instance": "10.0.0.1:9090",
    "container": "autoscaler",
}
SAMPLES = [[BEGIN_S + 15 * place, f"{place % 3}"] for place in range(20)]


def success(data: Any) -> bytes:
    """An answer in Prometheus' envelope."""
    return json.dumps({"status": "success", "data": data}).encode()


def matrix(values: Any, metric: Any = LABELS) -> bytes:
    """One series as an answer."""
    return success({"resultType": "matrix", "result": [{"metric": metric, "values": values}]})


SERIES = success([LABELS])
GZIP = {"Content-Encoding": "gzip"}


TRICKLE_S = 0.005


class Trickle(bytes):
    """A body of which a byte is sent every few milliseconds."""


class Answer(NamedTuple):
    """What the server says to a question about series, and to one about samples."""

    series: bytes = SERIES
    samples: bytes = b""
    headers: dict[str, str] | None = None
    status: int = 200


Asked = dict[str, list[str]]
"""Parameters of a question."""
Reply = tuple[int, bytes] | tuple[int, bytes, dict[str, str]]
"""A status, a body, and headers where there are any but the length."""


@contextlib.contextmanager
def speaking(respond: Callable[[str, str, Asked], Reply]) -> Iterator[str]:
    """The URL of a server that answers (method, path, parameters)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.reply("POST", self.rfile.read(int(self.headers["Content-Length"])).decode())

        def do_GET(self):
            self.reply("GET", self.path.partition("?")[2])

        def reply(self, method: str, asked: str):
            path, parameters = self.path.partition("?")[0], urllib.parse.parse_qs(asked)
            status, body, *more = respond(method, path, parameters)
            self.send_response(status)
            for name, value in ({"Content-Length": f"{len(body)}"} | dict(*more)).items():
                self.send_header(name, value)
            self.end_headers()
            for part in map(bytes, zip(body, strict=True)) if isinstance(body, Trickle) else [body]:
                with contextlib.suppress(OSError):  # the client may not wait for the rest
                    self.wfile.write(part)
                time.sleep(TRICKLE_S if isinstance(body, Trickle) else 0.0)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()


@pytest.fixture
def server() -> Iterator[tuple[str, list[Answer]]]:
    """The URL of a server, and a list whose last answer it gives."""
    answers: list[Answer] = []

    def respond(_: str, path: str, __: Asked) -> Reply:
        answer = answers[-1]
        return answer.status, answer.series if path.endswith("/series") else answer.samples, answer.headers or {}

    with speaking(respond) as url:
        yield url, answers


def observed(server: tuple[str, list[Answer]], answer: Answer, monkeypatch: pytest.MonkeyPatch) -> Observation:
    """The observation that a server's answers make."""
    monkeypatch.setattr(client, "PATIENCE", (0.01,))
    server[1].append(answer)
    window_s = (BEGIN_S - 60, BEGIN_S + 600)
    return from_server(Client(server[0]), service="hello", namespace="default", window_s=window_s)


REFUSED = {
    "text": (Answer(success("abc")), "must answer with a list of label sets"),
    "object": (Answer(success({"a": 1})), "must answer with a list of label sets"),
    "words": (Answer(success(["a"])), "must answer with a list of label sets"),
    "number": (Answer(success(5)), "must answer with a list of label sets"),
    "no name": (Answer(success([{"kn_service_name": "hello"}])), "no metric of Knative"),
    "another name": (Answer(success([LABELS | {"__name__": "other"}])), "no metric of Knative"),
    "deep": (Answer(b"[" * 100_000), "does not speak Prometheus' API"),
    "no UTF-8": (Answer(b'{"status":"success","data":[{"__name__":"\xff"}]}'), "does not speak Prometheus' API"),
    "no gzip": (Answer(b"hello", headers=GZIP), "Not a gzipped file"),
    "gzip cut short": (Answer(gzip.compress(SERIES)[:-12], headers=GZIP), "ended before the end-of-stream"),
    "gzip damaged": (Answer(gzip.compress(SERIES)[:12] + b"\0\xff\x11\x22" * 8, headers=GZIP), "while decompressing"),
    "cut short": (Answer(SERIES, headers={"Content-Length": "5000"}), "the answer ended early"),
    "words for values": (Answer(samples=matrix([[BEGIN_S, "abc"]])), "could not convert"),
    "no labels": (Answer(samples=matrix(SAMPLES, ["a"])), "no answer of Prometheus' API that can be read"),
    "times beyond all": (Answer(samples=matrix([[1e300, "1"], [1e301, "2"]])), "not one of the years 1970 to 9999"),
    "two lines": (
        Answer(b'{"status":"error","error":"bad\\nthing \\u001b[31m"}', status=422),
        r"the server says: bad thing \x1b[31m",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_answer_is_refused_in_one_line(server, monkeypatch: pytest.MonkeyPatch, case: str):
    """Whatever comes back, the message has one line, and says what is wrong."""
    answer, message = REFUSED[case]
    with pytest.raises(KpasimError) as caught:
        observed(server, answer, monkeypatch)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_an_answer_without_end_is_not_read(server, monkeypatch: pytest.MonkeyPatch):
    """A few packed bytes may stand for any number of others."""
    monkeypatch.setattr(client, "MAX_BYTES", 4 << 20)
    with pytest.raises(KpasimError, match="longer than 4 MiB"):
        observed(server, Answer(gzip.compress(b" " * (8 << 20)), headers=GZIP), monkeypatch)


@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "packed"])
def test_an_answer_that_trickles_is_not_awaited(server, monkeypatch: pytest.MonkeyPatch, is_packed: bool):
    """A server that is never silent for long may still never end."""
    monkeypatch.setattr(client, "ANSWER_S", 0.2)
    body = gzip.compress(SERIES) if is_packed else SERIES
    with pytest.raises(KpasimError, match=r"an answer takes longer than 0.2 s"):
        observed(server, Answer(Trickle(body), headers=GZIP if is_packed else None), monkeypatch)


@pytest.mark.parametrize("values", [SAMPLES[::-1], SAMPLES + SAMPLES], ids=["backwards", "twice"])
def test_samples_in_any_order_are_the_same(server, monkeypatch: pytest.MonkeyPatch, values: list[Any]):
    """From the last to the first, or each twice: the distance of scrapes, and so the questions, stay as they were."""
    [series] = observed(server, Answer(samples=matrix(values)), monkeypatch).series
    np.testing.assert_array_equal(series.times_s, [time_s for time_s, _ in SAMPLES])
    np.testing.assert_array_equal(series.values, [float(value) for _, value in SAMPLES])


@pytest.mark.filterwarnings("error")
def test_infinity_is_no_value(server, monkeypatch: pytest.MonkeyPatch):
    """Nothing that Knative counts is infinite."""
    values = [[BEGIN_S, "1"], [BEGIN_S + 15, "+Inf"], [BEGIN_S + 30, "2"], [BEGIN_S + 45, "9" * 400]]
    [series] = observed(server, Answer(samples=matrix(values)), monkeypatch).series
    np.testing.assert_array_equal(series.values, [1, np.nan, 2, np.nan])


def seen(url: str, length_s: float = 600) -> Observation:
    """The service's observation from a server."""
    return from_server(
        Client(url), service="hello", namespace="default", window_s=(BEGIN_S - 60, BEGIN_S - 60 + length_s)
    )


def plain(path: str) -> bytes:
    """What a server in order answers."""
    return SERIES if path.endswith("/series") else matrix(SAMPLES)


def test_a_proxy_may_let_only_get_through():
    """Then questions are asked that way."""
    with speaking(lambda method, path, _: (200, plain(path)) if method == "GET" else (405, b"<html>")) as url:
        assert len(SAMPLES) == seen(url).samples


def test_what_a_server_warns_of_is_noted():
    """Thanos is asked for whole answers, and what it says beside one is told."""
    asked: list[Asked] = []

    def respond(_: str, path: str, parameters: Asked) -> Reply:
        asked.append(parameters)
        return 200, plain(path)[:-1] + b', "warnings": ["store 10.0.0.9:10901: \\u001b[31mrpc error"]}'

    with speaking(respond) as url:
        notes = seen(url).notes
    assert ["the server warned: store 10.0.0.9:10901: \\x1b[31mrpc error; samples may be missing"] == list(notes)[:1]
    assert all(["false"] == one["partial_response"] for one in asked)


@pytest.mark.parametrize(
    "error",
    [
        "the query time range exceeds the limit (query length: 168h0m0s, limit: 24h0m0s) (err-mimir-max-query-length)",
        "expanding series: the query hit the max number of series limit (limit: 1000 series)",
        "cannot select more than -search.maxSamplesPerQuery=1000000000 samples; possible solutions",
        "query timed out in query execution",
    ],
)
def test_windows_that_a_server_finds_too_long_are_split(error: str):
    """Questions about series as well as those about samples, whatever the server's words."""
    limit_s = 7000

    def respond(_: str, path: str, asked: Asked) -> Reply:
        length_s = float(asked["end"][0]) - float(asked["start"][0]) if "start" in asked else 0.0
        if "query" in asked and "[" in asked["query"][0]:
            length_s = float(asked["query"][0].rpartition("[")[2].rstrip("ms]")) / 1000
        if length_s > limit_s:
            return 422, json.dumps({"status": "error", "errorType": "execution", "error": error}).encode()
        return 200, plain(path)

    with speaking(respond) as url:
        assert len(SAMPLES) == seen(url, 20_000).samples
        limit_s = 10
        with pytest.raises(KpasimError, match=re.escape(f"the server says: {error}")):
            seen(url, 20_000)


def test_services_of_like_names_come_first():
    """Of many services those are named whose names hold the one asked for."""
    there = [LABELS | {"kn_service_name": name} for name in (*(f"a{n}" for n in range(40)), "resnet-predictor")]

    def respond(_: str, path: str, asked: Asked) -> Reply:
        return 200, success([] if any("resnet" in one for one in asked["match[]"]) else there)

    with (
        speaking(respond) as url,
        pytest.raises(KpasimError, match="no such service; there are default/resnet-predictor, default/a0,"),
    ):
        from_server(Client(url), service="resnet", namespace="default", window_s=(BEGIN_S, BEGIN_S + 60))


def test_a_proxy_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch):
    """It is the proxy that cannot be reached, and its password is in no message."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    with pytest.raises(KpasimError, match=r"refused \(through the proxy 127\.0\.0\.1:9\)$"):
        seen("http://prometheus.example.com")


def test_a_file_with_a_warning_is_refused(tmp_path: Path):
    """Of Thanos, where a store was away: counts would be wrong."""
    path = tmp_path / "answer.json"
    path.write_bytes(matrix(SAMPLES)[:-1] + b', "warnings": ["rpc error"]}')
    with pytest.raises(KpasimError, match="warnings: the server warned: rpc error; samples may be missing"):
        from_files([path])


@pytest.mark.parametrize("date", ["2026-03-29T02:30", "2026-10-25T02:30", "2026", "-5", "1e300", "soon"])
def test_a_time_that_is_none_is_refused(date: str):
    """Where clocks change an hour is there twice or not at all; a small number is no time."""
    done = CliRunner().invoke(cli, ["observe", "a.json", f"--from={date}", "--time-zone", "Europe/Berlin"])
    assert 2 == done.exit_code
    assert "give its offset, such as 2026-" in done.stderr or "is no date" in done.stderr


def test_a_day_on_which_clocks_change_has_25_hours(tmp_path: Path):
    """Dates are those of the time zone; numbers may be milliseconds."""
    times = [[1792879200 + 1800 * place, "1"] for place in range(60)]
    path = tmp_path / "answer.json"
    path.write_bytes(matrix(times))
    for begin, end in (("2026-10-25", "2026-10-26"), ("20261025", "1792969200000")):
        arguments = ["observe", str(path), "--from", begin, "--to", end, "--time-zone", "Europe/Berlin", "--json"]
        done = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / "out")])
        about = json.loads(done.stdout)
        assert 25 * 3600 == about["end_s"] - about["begin_s"]
