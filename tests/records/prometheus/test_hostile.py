"""Servers whose answers are no answers: one line says what is wrong, whatever they send."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import numpy as np
import pytest

from kpasim.errors import KpasimError
from kpasim.records.prometheus import client
from kpasim.records.prometheus.client import Client
from kpasim.records.prometheus.observation import Observation
from kpasim.records.prometheus.observe import from_server

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


class Answer(NamedTuple):
    """What the server says to a question about series, and to one about samples."""

    series: bytes = SERIES
    samples: bytes = b""
    headers: dict[str, str] | None = None
    status: int = 200


@pytest.fixture
def server() -> Iterator[tuple[str, list[Answer]]]:
    """The URL of a server, and a list whose last answer it gives."""
    answers: list[Answer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            answer = answers[-1]
            body = answer.series if self.path.endswith("/series") else answer.samples
            self.send_response(answer.status)
            for name, value in ({"Content-Length": f"{len(body)}"} | (answer.headers or {})).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{one.server_port}", answers
        one.shutdown()


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
