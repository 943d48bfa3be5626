"""Who may come in, and how much may be asked for: refused or bounded, and the server is there afterwards."""

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kpasim.errors import RunError
from kpasim.ui import door, state
from kpasim.ui.jobs import Job, parse_job, perform
from kpasim.ui.serve import MOST_CONNECTIONS
from kpasim.ui.source import open_source
from tests.ui.browsers import DEADLINE_S, served

ROOT = Path(__file__).parents[2]
RUN = {"kind": "run", "state": {"settings": [["replications", "3"]]}}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server with the headline experiment."""
    place = tmp_path_factory.mktemp("served")
    shutil.copytree(ROOT / "experiments" / "manifests", place / "manifests")
    shutil.copy(ROOT / "experiments" / "hey50x5.yaml", place)
    (place / "long.csv").write_text("arrival\n" + "".join(f"{i / 100}\n" for i in range(1_000_000)), encoding="utf-8")
    (place / "short.csv").write_text("arrival\n" + "".join(f"{i}\n" for i in range(40)), encoding="utf-8")
    with served("hey50x5.yaml", place=place) as found:
        yield found
        # Whatever was asked of it, it is there and right in the end.
        assert figures(found, {"settings": [["replications", "3"]]})["replications"] == 3


def ask(address, body, *, method="POST", path="/work", token=True, **headers):
    """Status and text of a response."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=170)
    given = {"Host": parts.netloc, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if token:
        given["Authorization"] = f"Bearer {parts.query.removeprefix('token=')}"
    try:
        connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body), given)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def messages(address, asked):
    """What a job sends back."""
    status, text = ask(address, asked)
    assert status in {200, 422}, text
    return [json.loads(line) for line in text.splitlines()]


def figures(address, asked):
    """The last figures of a state."""
    return [one for one in messages(address, {"kind": "run", "state": asked}) if one["kind"] == "figures"][-1]


def refusal(address, settings, **more):
    """Why a state is refused."""
    found = messages(address, {"kind": "run", "state": {"settings": settings, **more}})
    assert [one["kind"] for one in found if one["kind"] != "progress"] == ["problems"]
    return found[-1]["problems"][0]["message"]


def test_the_page_and_its_files_need_the_token(address):
    """Without the token, or with another one, nothing is shown: neither page nor script nor work."""
    query = f"?{urlsplit(address).query}"
    for path in ("/", "/assets/ui.js", "/assets/plotly.js"):
        assert ask(address, None, method="GET", path=path + query, token=False)[0] == 200
        assert ask(address, None, method="GET", path=path, token=False)[0] == 403
        assert ask(address, None, method="GET", path=f"{path}?token=wrong", token=False)[0] == 403
    assert ask(address, RUN, token=False)[0] == 403
    assert ask(address, RUN)[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:{port}"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Host": "localhost:{port}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
    ],
)
def test_other_hosts_origins_and_sites_are_refused(address, headers, status):
    """A page of another origin, and a name that somebody points at this machine, get nothing even with the token."""
    port = str(urlsplit(address).port)
    given = {name: value.replace("{port}", port) for name, value in headers.items()}

    assert ask(address, RUN, **given)[0] == status


def test_a_host_that_was_given_is_ours_and_a_foreign_name_is_not():
    """A server on all addresses is reached by address or by this machine's name, not by any other name."""
    everywhere = door.Door(None, "t", "0.0.0.0", 8000)  # type: ignore[arg-type]

    assert everywhere._is_ours("192.0.2.7:8000")
    assert not everywhere._is_ours("evil.example:8000")
    assert not door.Door(None, "t", "127.0.0.1", 8000)._is_ours("192.0.2.7:8000")  # type: ignore[arg-type]
    assert door.Door(None, "t", "::1", 8000)._is_ours("[::1]:8000")  # type: ignore[arg-type]


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_silent_connections_do_not_keep_others_out(address, beginning):
    """More of them than are let in; each is closed after a while, also with half a request."""
    parts = urlsplit(address)
    with contextlib.ExitStack() as silent:
        for _ in range(MOST_CONNECTIONS + 10):
            one = silent.enter_context(socket.create_connection(("127.0.0.1", parts.port), timeout=DEADLINE_S))
            one.sendall(beginning)
        with contextlib.suppress(ConnectionResetError):
            assert one.recv(1) == b""
        deadline = time.monotonic() + DEADLINE_S
        while ask(address, None, method="GET", path=f"/?{parts.query}")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_the_process_that_simulates_has_a_bound_of_memory():
    """In a process of its own, as the bound stays."""
    code = (
        "import resource as r, kpasim.ui.worker as w; w.bound_memory(); "
        "print(r.getrlimit(r.RLIMIT_AS)[0], w.MOST_MEMORY)"
    )
    found, most = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=DEADLINE_S
    ).stdout.split()
    assert 0 < int(found) <= int(most)


def test_a_large_manifest_is_refused(address):
    """One of 50 MB by its size, before it is read as YAML; a smaller one that is too large in one line."""
    status, text = ask(address, {"kind": "run", "state": {"text": "x" * 50_000_000}})

    assert (status, text) == (413, "the body may have 1,000,000 bytes\n")
    found = messages(address, {"kind": "run", "state": {"text": "#" * (state.MOST_TEXT + 1)}})
    assert found[0]["problems"][0]["message"].startswith("state.text: String should have at most 200000 characters")


def test_a_body_without_a_length_is_counted(address):
    """A body that is sent in pieces is cut where it gets too large."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=60)
    headers = {"Authorization": f"Bearer {parts.query.removeprefix('token=')}", "Transfer-Encoding": "chunked"}
    connection.request("POST", "/work", (b"x" * 100_000 for _ in range(20)), headers, encode_chunked=True)

    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b'{"kind": "other"}', b'{"kind": "run", "more": 1}', b'{"kind": "run", "path": 1}',
     b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_job_is_refused(address, body):
    """Bodies that the page does not send get one problem in words."""
    status, text = ask(address, body)

    assert status == 422
    assert json.loads(text)["problems"][0]["message"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ([["replications", "1000000000"]], "replications: 1,000,000,000 (at most 2,000 on the page; kpasim"),
        ([["workload", "{kind: poisson, rate: 10000, duration: 24h}"]], "hey50x5.yaml: workload: sends up to 864"),
        ([["workload", "{kind: poisson, rate: 1/h, duration: 100000h}"]], "workload: 4,167 days (at most 35 days"),
        ([["horizon", "100000h"]], "horizon: 4,167 days (at most 35 days on the page"),
        ([["start", "{state: warm, for: 100000h}"]], "start: 4,167 days"),
        ([["workload", "{kind: replay, file: /etc/passwd}"]], "workload.file: /etc/passwd: is outside of"),
        ([["workload", "{kind: replay, file: ../../etc/passwd}"]], "workload.file: ../../etc/passwd: is outside of"),
        ([["workload", "{kind: replay, file: nothing.csv}"]], "workload.file: nothing.csv: no such file in"),
        ([["workload", "{kind: replay, file: long.csv}"]], "workload: up to 1,000,000 requests (at most 500,000"),
        ([["service.annotations.max-scale", "many"]], "service.annotations.max-scale:"),
        ([["cluster-config", "/etc/passwd"]], "cluster-config: "),
        ([["model", "/etc/passwd"]], "model:"),
        ([["service", "/etc/passwd"]], "service:"),
        ([["no.such", "1"]], "no.such: no such setting"),
    ],
)  # fmt: skip
def test_what_is_too_large_or_elsewhere_is_refused(address, settings, reason):
    """Replications, requests, simulated time and files beyond the page's bounds are refused in one line."""
    assert refusal(address, settings).startswith(reason)


def test_a_recorded_trace_beside_the_experiment_is_replayed(address):
    """What is allowed is done."""
    found = figures(address, {"settings": [["replications", "3"], ["workload", "{kind: replay, file: short.csv}"]]})

    assert next(row for row in found["rows"] if row[0] == "requests")[1] == "40"


def test_long_experiments_get_fewer_replications(address):
    """Where all replications together would take too long, fewer are simulated, the page and the command say so."""
    asked = [["replications", "2000"], ["workload", "{kind: poisson, rate: 0.01, duration: 168h}"]]
    source = open_source(str(ROOT / "experiments" / "hey50x5.yaml"))
    experiment = state.experiment_of(source, state.State(settings=asked))

    ticks, requests = 168 * 3600 // 2, 168 * 36
    assert 1 < state.replications_of(experiment) <= state.MOST_EVENTS // (ticks + requests) < 2000


def test_a_job_that_is_no_longer_wanted_is_abandoned():
    """The work ends at the next sign of progress."""

    class LeftError(Exception):
        pass

    def leave(done, total):
        raise LeftError

    source = open_source(str(ROOT / "experiments" / "hey50x5.yaml"))
    with pytest.raises(LeftError):
        list(perform(source, Job(kind="run"), leave))


def test_nothing_of_a_request_is_taken_for_more_than_it_is():
    """A job is bounded before it reaches the simulator."""
    many = {"kind": "run", "state": {"settings": [["seed", "1"]] * (state.MOST_SETTINGS + 1)}}
    for asked in (many, {"kind": "run", "state": {"settings": [["seed", "1" * (state.MOST_VALUE + 1)]]}}):
        with pytest.raises(RunError, match="should have at most"):
            parse_job(json.dumps(asked).encode())


def test_sigterm_ends_the_page_without_a_word(tmp_path):
    """What ends a service or a terminal leaves no process behind, and no warning of Python's."""
    with served(place=tmp_path):
        pass
    assert "resource_tracker" not in (tmp_path / "ui.log").read_text(encoding="utf-8")
