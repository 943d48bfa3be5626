"""Real clients against a service that answers after a fixed time, on loopback."""

import asyncio
import json
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from kpasim.cluster.load import INTERRUPTED, ClosedLoop, OpenLoop, Sent, Target, drive
from kpasim.cluster.loadspec import describe, longest_s, parse_headers, plan_of, read_bodies, target_of, without_secrets
from kpasim.engines.draws import session_of
from kpasim.engines.sampling import arrivals
from kpasim.errors import RunError
from kpasim.results.tables import read_table, write_table
from kpasim.spec.experiment import from_mapping
from tests.services import service

SERVICE = service(name="stub")
MODEL = {"name": "stub", "service-time": {"time": "50ms"}, "cold-start": {"stages": []}}


class Stub:
    """A service that takes `delay_s` for each request and remembers what it was sent."""

    def __init__(self, delay_s: float = 0.0, answer: Callable[[Any], Awaitable[Any]] | None = None) -> None:
        self.delay_s = delay_s
        self.answer = answer
        self.seen: list[dict[str, Any]] = []
        self.at_once = 0
        self.most_at_once = 0

    async def handle(self, request: Any) -> Any:
        """Answer one request."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.seen.append(
                {
                    "method": request.method,
                    "path": request.path_qs,
                    "headers": dict(request.headers),
                    "cookies": dict(request.cookies),
                    "body": await request.read(),
                }
            )
            await asyncio.sleep(self.delay_s)
            return await self.answer(request) if self.answer else web.Response(text="ok")
        finally:
            self.at_once -= 1

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Serve on a free port; gives the URL."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = site._server.sockets[0].getsockname()
            yield f"http://{host}:{port}/x"
        finally:
            await runner.cleanup()


def play(stub: Stub, plan: ClosedLoop | OpenLoop, *, deadline_s: float | None = None, **target: Any) -> Sent:
    """Load the stub from the same event loop."""

    async def scene() -> Sent:
        async with stub.served() as url:
            return await drive(plan, Target(url, **target), deadline_s=deadline_s)

    return asyncio.run(scene())


def test_each_worker_sends_its_share() -> None:
    """Seven requests of three workers are six, as hey has it, with never more than three under way."""
    stub = Stub(0.02)
    sent = play(stub, ClosedLoop(concurrency=3, requests=7))
    assert len(stub.seen) == 6
    assert stub.most_at_once == 3
    assert sent.requests["status"].tolist() == [200] * 6
    assert sent.size_total == 12
    assert not sent.interrupted


def test_a_worker_sends_when_its_last_answer_is_there() -> None:
    """All workers start together; each later request was due at the end of an earlier one."""
    sent = play(Stub(0.02), ClosedLoop(concurrency=3, requests=9))
    planned = sent.requests["planned_s"]
    ends = sent.requests["start_s"] + sent.requests["latency_s"]
    assert planned[:3].tolist() == [0.0] * 3
    assert np.isin(planned[3:], ends).all()
    assert len(np.unique(planned[3:])) == 6
    assert (sent.lag_s >= 0).all()
    assert (sent.requests["latency_s"] >= 0.02).all()


def test_rows_are_in_the_order_of_sending() -> None:
    """The table is sorted by start and counted through."""
    sent = play(Stub(0.005), ClosedLoop(concurrency=4, requests=40))
    assert sent.requests["id"].tolist() == list(range(40))
    assert (np.diff(sent.requests["start_s"]) >= 0).all()


def test_a_duration_ends_the_sending_not_the_waiting() -> None:
    """After its duration a worker sends nothing more, and what is under way is answered."""
    sent = play(Stub(1.4), ClosedLoop(concurrency=2, duration_s=2.0))
    assert sent.requests["status"].tolist() == [200] * 4
    assert sent.requests["start_s"].max() < 2.0 < (sent.requests["start_s"] + sent.requests["latency_s"]).max()


def test_a_rate_limit_makes_workers_wait_for_their_tick() -> None:
    """With a limit of 2 per second the k-th request leaves at the k-th tick or later, the first after one period."""
    sent = play(Stub(), ClosedLoop(concurrency=1, requests=5, qps=2))
    start = sent.requests["start_s"]
    assert (start >= 0.5 * np.arange(1, 6)).all()
    assert np.allclose(sent.requests["planned_s"] / 0.5, np.round(sent.requests["planned_s"] / 0.5))


def test_missed_ticks_are_not_made_up_for() -> None:
    """A worker that was busy over several ticks sends one request at once and then waits for the next tick."""

    async def slow_first(request: Any) -> Any:
        await asyncio.sleep(0.17 if len(stub.seen) == 1 else 0)
        return web.Response()

    stub = Stub(answer=slow_first)
    sent = play(stub, ClosedLoop(concurrency=1, requests=3, qps=20))
    first, second, third = sent.requests["start_s"]
    assert first >= 0.05
    assert second >= first + 0.17
    # The second left at once, off the ticks, and only the tick after that let the third go.
    assert sent.requests["planned_s"][1] == pytest.approx(first + sent.requests["latency_s"][0])
    assert third >= math.floor(second / 0.05 + 1) * 0.05 - 1e-9


def test_an_open_loop_does_not_wait_for_answers() -> None:
    """Requests leave at their times although none is answered yet, several at one instant too."""
    stub = Stub(3.0)
    sent = play(stub, OpenLoop(np.array([0.0, 0.05, 0.05, 0.1])))
    assert stub.most_at_once == 4
    assert sent.requests["planned_s"].tolist() == [0.0, 0.05, 0.05, 0.1]
    assert (sent.lag_s >= 0).all()
    assert sent.requests["start_s"].max() < sent.requests["latency_s"].min()


def test_an_empty_load_is_an_empty_table() -> None:
    """No arrivals leave no rows, no warning and figures without values."""
    sent = play(Stub(), OpenLoop(np.array([])))
    assert len(sent.requests["id"]) == 0
    assert sent.warnings() == []
    assert sent.figures()["requests"] == 0


def test_a_timeout_is_status_zero() -> None:
    """A client gives up after its timeout; the request has no status and no error beside it."""
    sent = play(Stub(60), ClosedLoop(concurrency=2, requests=2), timeout_s=0.1)
    assert sent.requests["status"].tolist() == [0, 0]
    assert sent.requests["error"].tolist() == ["", ""]
    assert (sent.requests["latency_s"] >= 0.1).all()
    assert (sent.requests["latency_s"] < 60).all()


def test_no_timeout_waits_for_the_answer() -> None:
    """A timeout of 0 means none."""
    sent = play(Stub(0.1), ClosedLoop(concurrency=1, requests=1), timeout_s=0.0)
    assert sent.requests["status"].tolist() == [200]


def test_a_timeout_inside_the_body_counts_as_an_answer() -> None:
    """As with hey, an answer that had begun keeps its status; the error says what happened."""

    async def drip(request: Any) -> Any:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await asyncio.sleep(60)
        return response

    sent = play(Stub(answer=drip), ClosedLoop(concurrency=1, requests=1), timeout_s=2.0)
    assert sent.requests["status"].tolist() == [200]
    assert sent.requests["error"].tolist() == ["timeout while reading the body"]
    assert sent.requests["first_byte_s"][0] < 2.0 <= sent.requests["latency_s"][0]


def test_an_answer_that_breaks_off_is_none() -> None:
    """A connection closed in the middle of a body leaves status 0 and its reason."""

    async def broken(request: Any) -> Any:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        request.transport.close()
        return response

    sent = play(Stub(answer=broken), ClosedLoop(concurrency=1, requests=1))
    assert sent.requests["status"].tolist() == [0]
    assert sent.requests["error"][0] != ""


def test_a_closed_port_is_named() -> None:
    """Requests to a port where nobody listens end at once, with the reason."""
    sent = asyncio.run(drive(ClosedLoop(2, 4), Target("http://127.0.0.1:1/")))
    assert sent.requests["status"].tolist() == [0] * 4
    assert set(sent.requests["error"]) == {"connection refused"}


def test_errors_keep_their_status() -> None:
    """An answer that is not 2xx is an answer."""

    async def unwell(_request: Any) -> Any:
        return web.Response(status=503)

    assert play(Stub(answer=unwell), ClosedLoop(1, 2)).requests["status"].tolist() == [503, 503]


def test_redirects_are_followed() -> None:
    """As with hey, the status is that of the last answer."""

    async def moved(request: Any) -> Any:
        return web.Response() if request.path == "/y" else web.Response(status=302, headers={"Location": "/y"})

    sent = play(Stub(answer=moved), ClosedLoop(1, 1))
    assert sent.requests["status"].tolist() == [200]


def test_requests_carry_what_they_are_given() -> None:
    """Method, headers, host and bodies arrive; bodies are dealt out in turn."""
    stub = Stub()
    bodies = [b'{"steps": 1}', b'{"steps": 2}']
    headers = {"Content-Type": "application/json", "X-Extra": "1"}
    play(stub, ClosedLoop(1, 3), method="POST", headers=headers, host="sd.example.com", bodies=bodies)
    assert [one["body"] for one in stub.seen] == [bodies[0], bodies[1], bodies[0]]
    assert {one["method"] for one in stub.seen} == {"POST"}
    for one in stub.seen:
        assert one["headers"]["Host"] == "sd.example.com"
        assert one["headers"]["X-Extra"] == "1"
        assert one["headers"]["Content-Type"] == "application/json"


@pytest.mark.parametrize("cookies", [True, False])
def test_sessions_send_their_cookies_back(cookies: bool) -> None:
    """Each client keeps its own cookies, unless clients keep none, and its number is in the table."""

    async def sticky(request: Any) -> Any:
        response = web.Response()
        if "sd" not in request.cookies:
            response.set_cookie("sd", f"pod-{len(stub.seen)}")
        return response

    stub = Stub(answer=sticky)
    sent = play(stub, OpenLoop(np.arange(6) * 0.4), sessions=2, cookies=cookies)
    sessions = [session_of(0, index, -1, 2) for index in range(6)]
    assert sent.requests["session"].tolist() == sessions
    assert {0, 1} == set(sessions)
    first = [
        f"pod-{sessions.index(one) + 1}" if one in sessions[:index] else None for index, one in enumerate(sessions)
    ]
    back = [one["cookies"].get("sd") for one in stub.seen]
    assert back == (first if cookies else [None] * 6)


def test_a_worker_is_always_the_same_client() -> None:
    """With two sessions the first and the third of hey's workers are one client."""
    sent = play(Stub(), ClosedLoop(3, 6), sessions=2, cookies=True)
    assert sorted(sent.requests["session"].tolist()) == [0, 0, 0, 0, 1, 1]


def test_strangers_keep_no_cookies() -> None:
    """Without sessions no cookie is ever sent back, as with hey."""

    async def sticky(_request: Any) -> Any:
        response = web.Response()
        response.set_cookie("sd", "pod")
        return response

    stub = Stub(answer=sticky)
    sent = play(stub, ClosedLoop(1, 2), cookies=True)
    assert [one["cookies"] for one in stub.seen] == [{}, {}]
    assert "session" not in sent.requests


def test_what_the_server_tells_is_kept() -> None:
    """Pod, arrival, time in queue and in service come from the answer's headers, on the load's clock."""

    async def telling(_request: Any) -> Any:
        headers = {"X-Pod-Name": "sd-1", "X-Arrival-Time": "1000.5", "Server-Timing": "queue;dur=250, service;dur=1500"}
        return web.Response(headers=headers)

    sent = play(Stub(answer=telling), ClosedLoop(1, 1))
    row = {name: column[0] for name, column in sent.requests.items()}
    assert (row["pod"], row["service_s"]) == ("sd-1", 1.5)
    assert row["server_arrival_s"] == pytest.approx(1000.5 - sent.began_unix_s)
    assert row["server_start_s"] == pytest.approx(row["server_arrival_s"] + 0.25)
    assert row["server_end_s"] == pytest.approx(row["server_start_s"] + 1.5)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Arrival-Time": "nan", "Server-Timing": "service;dur=inf, queue;dur=-"},
        {"X-Arrival-Time": "noon", "Server-Timing": "cdn-cache; desc=HIT, service"},
    ],
)
def test_a_server_that_tells_nonsense_is_not_believed(headers: dict[str, str]) -> None:
    """Headers that are missing or malformed leave empty cells."""

    async def telling(_request: Any) -> Any:
        return web.Response(headers=headers)

    sent = play(Stub(answer=telling), ClosedLoop(1, 1))
    for name in ("service_s", "server_arrival_s", "server_start_s", "server_end_s"):
        assert math.isnan(sent.requests[name][0])


def test_a_stop_gives_up_what_is_under_way() -> None:
    """A stopped load keeps what was answered and marks the rest, and says that it was stopped."""

    async def scene() -> Sent:
        stop = asyncio.Event()

        async def answer(_request: Any) -> Any:
            if len(stub.seen) == 3:
                stop.set()
                await asyncio.sleep(60)
            return web.Response()

        stub = Stub(answer=answer)
        async with stub.served() as url:
            return await drive(ClosedLoop(1, 10), Target(url), stop=stop)

    sent = asyncio.run(scene())
    assert sent.interrupted
    assert sent.requests["status"].tolist() == [200, 200, 0]
    assert sent.requests["error"].tolist() == ["", "", INTERRUPTED]


def test_a_deadline_is_a_stop() -> None:
    """No load lasts longer than it may, whatever the service does."""
    sent = play(Stub(60), OpenLoop(np.array([0.0, 30.0])), timeout_s=0.0, deadline_s=2.0)
    assert sent.interrupted
    assert sent.requests["error"].tolist() == [INTERRUPTED]


def sent_with_lag(lag_s: np.ndarray[Any, Any]) -> Sent:
    """A load whose k-th request was planned at second k and left so much later."""
    planned = np.arange(len(lag_s), dtype=float)
    return Sent({"start_s": planned + lag_s, "planned_s": planned}, 0.0, 0, interrupted=False)


def test_a_late_client_is_warned_about() -> None:
    """One late request in two hundred is an accident; five in a hundred get a warning with the figure."""
    lag = np.zeros(200)
    lag[7] = 5.0
    assert sent_with_lag(lag).warnings() == []
    lag[:10] = 0.25
    (warning,) = sent_with_lag(lag).warnings()
    assert "more than 250 ms after their time" in warning


def test_a_password_in_what_is_no_url_is_not_repeated() -> None:
    """A message may end in the log of a CI job."""
    for url in ("http://user:hunter2@host:99999/", "ftp://host/?token=hunter2"):
        with pytest.raises(RunError, match="url: 'what was given' is not a URL") as caught:
            asyncio.run(drive(ClosedLoop(1, 1), Target(url)))
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (OpenLoop(np.array([0.0, 3600.0])), 3620.0),
        (OpenLoop(np.array([])), 20.0),
        (ClosedLoop(5, 50), 220.0),
        (ClosedLoop(5, 50, qps=0.1), 320.0),
        (ClosedLoop(5, duration_s=60.0), 80.0),
    ],
)
def test_a_load_may_last_as_long_as_its_clients_wait(plan: ClosedLoop | OpenLoop, expected: float) -> None:
    """A replayed hour is given its hour; each round of a closed loop may take the client's timeout, and its tick."""
    assert longest_s(plan, timeout_s=20.0) == expected


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://host/", "http://", "http://[::1", "http://host:99999/"])
def test_what_is_no_url_is_refused(url: str) -> None:
    """Nothing is sent to an address that is none."""
    with pytest.raises(RunError, match="url"):
        asyncio.run(drive(ClosedLoop(1, 1), Target(url)))


def test_the_table_can_be_written_and_read(tmp_path: Path) -> None:
    """requests.csv is a run folder's, with the planned time beside."""
    sent = play(Stub(), OpenLoop(np.array([0.0, 0.01])))
    write_table(tmp_path / "requests.csv", "requests", sent.requests)
    assert "planned_s" in (tmp_path / "requests.csv").read_text().splitlines()[0].split(",")
    read = read_table(tmp_path / "requests.csv", "requests")
    assert read["status"].tolist() == [200, 200]
    assert np.allclose(read["start_s"], sent.requests["start_s"], atol=1e-4)


def test_an_experiment_says_how_clients_behave() -> None:
    """Workload, timeout and sessions of the experiment become the plan and the target."""
    workload = {"kind": "hey", "requests": 50, "concurrency": 5, "timeout": "180s", "qps": 2, "sessions": {"count": 3}}
    experiment = from_mapping({"service": SERVICE, "model": MODEL, "workload": workload})
    assert plan_of(experiment) == ClosedLoop(concurrency=5, requests=50, qps=2.0)
    target = target_of(experiment, "http://h/", bodies=[b"{}"], headers={"X-A": "b"})
    assert target.method == "POST"
    assert target.headers == {"Content-Type": "application/json", "X-A": "b"}
    assert (target.timeout_s, target.sessions, target.cookies) == (180.0, 3, True)
    assert target_of(experiment, "http://h/").method == "GET"


def test_an_open_loop_leaves_as_the_simulator_has_it() -> None:
    """The arrivals are those of the first replication, under the experiment's seed unless another is given."""
    workload = {"kind": "poisson", "rate": 20, "duration": "10s", "timeout": "5s"}
    experiment = from_mapping({"service": SERVICE, "model": MODEL, "workload": workload, "seed": 7})
    plan = plan_of(experiment)
    assert isinstance(plan, OpenLoop)
    assert (plan.arrivals_s * 1e9).round().astype(int).tolist() == arrivals(experiment.workload, 7, 0).tolist()
    other = plan_of(experiment, seed=8)
    assert isinstance(other, OpenLoop)
    assert other.arrivals_s.tolist() != plan.arrivals_s.tolist()
    assert target_of(experiment, "http://h/").timeout_s == 5.0


def test_loads_are_described_and_urls_shown_without_secrets() -> None:
    """What is printed names the load and no password."""
    assert describe(ClosedLoop(concurrency=3, requests=7)) == "6 requests of 3 workers"
    assert describe(ClosedLoop(concurrency=3, duration_s=60)) == "requests of 3 workers for 60 s"
    assert describe(OpenLoop(np.array([1.0, 2.5]))) == "2 requests in 2.5 s"
    assert without_secrets("https://user:word@host:8443/path?token=1#x") == "https://host:8443/path"


def test_headers_and_bodies_come_from_the_command_line(tmp_path: Path) -> None:
    """Headers are Name: value; a body is the text, a file, or a line of a .jsonl file."""
    assert parse_headers(["X-A: b:c", "Y:"]) == {"X-A": "b:c", "Y": ""}
    for wrong in ("X-A", ": b", "X A: b", "X: a\nY: b"):
        with pytest.raises(RunError, match="--header"):
            parse_headers([wrong])
    with pytest.raises(RunError) as caught:
        parse_headers(["Authorization Bearer hunter2"])
    assert "hunter2" not in str(caught.value)
    many, one, empty = tmp_path / "b.jsonl", tmp_path / "b.json", tmp_path / "e.jsonl"
    many.write_text('{"a": 1}\n\n{"a": 2}\n')
    one.write_text('{\n"a": 1}\n')
    empty.write_text("\n")
    assert read_bodies("{}") == [b"{}"]
    assert read_bodies(f"@{many}") == [b'{"a": 1}', b'{"a": 2}']
    assert read_bodies(f"@{one}") == [b'{\n"a": 1}\n']
    for wrong in (f"@{empty}", f"@{tmp_path / 'none'}"):
        with pytest.raises(RunError, match="--body"):
            read_bodies(wrong)


@pytest.fixture
def served_stub() -> Iterator[tuple[Stub, str]]:
    """A stub served from a thread of its own, for a command that runs an event loop itself."""
    stub = Stub(0.01)
    ready: list[str] = []
    told, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with stub.served() as url:
            ready.append(url)
            told.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert told.wait(60)
    yield stub, ready[0]
    over.set()
    thread.join()


def write_experiment(folder: Path, workload: dict[str, Any]) -> Path:
    """An experiment file that says nothing but its workload."""
    path = folder / "experiment.yaml"
    path.write_text(json.dumps({"service": SERVICE, "model": MODEL, "workload": workload}))
    return path


def test_the_command_sends_reports_and_leaves_files(served_stub: tuple[Stub, str], tmp_path: Path) -> None:
    """`kpasim load` prints hey's report, or figures as JSON, and leaves requests.csv."""
    from click.testing import CliRunner

    from kpasim.cli.load import command

    stub, url = served_stub
    experiment = write_experiment(tmp_path, {"kind": "hey", "requests": 20, "concurrency": 2})

    done = CliRunner().invoke(command, [str(experiment), "--url", url, "--body", "{}", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "  [200]\t20 responses" in done.stdout
    assert "sending 20 requests of 2 workers" in done.stderr
    assert len(stub.seen) == 20
    assert len(read_table(tmp_path / "out" / "requests.csv", "requests")["id"]) == 20

    done = CliRunner().invoke(command, [str(experiment), "--url", url, "--json"])
    figures = json.loads(done.stdout)
    assert figures["ok"] == 20
    assert figures["statuses"] == {"200": 20}
    assert figures["latency_s"]["min"] >= 0.01
    assert set(figures["lag_s"]) == {"p50", "p99", "max"}


def test_an_interrupted_command_reports_what_there_is(served_stub: tuple[Stub, str], tmp_path: Path) -> None:
    """Ctrl-C ends the load, the answered requests are reported and written, and the status is 130."""
    stub, url = served_stub
    experiment = write_experiment(tmp_path, {"kind": "hey", "concurrency": 1, "duration": "1h"})
    program = "from kpasim.cli.load import command; command()"
    options = [str(experiment), "--url", url, "--out", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", program, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while len(stub.seen) < 5:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopped before the end of the load" in stderr
    assert "Traceback" not in stderr
    assert "Status code distribution:\n  [200]" in stdout
    assert len(read_table(tmp_path / "requests.csv", "requests")["id"]) >= 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--url", "http://[::1"], "url: 'http://[::1'"),
        (["--url", "http://127.0.0.1:1/", "--body", "@/dev/zero"], "64 MB"),
        (["--url", "http://127.0.0.1:1/", "--method", "GET X"], "--method: 'GET X' is not a method"),
        (["--url", "http://127.0.0.1:1/", "--host", "a\r\nX: b"], r"--host: 'a\r\nX: b' is not a host"),
        (["--url", "http://127.0.0.1:1/", "--header", "X: a\x01b"], "--header: number 1 is not a header"),
    ],
)
def test_a_load_that_cannot_be_sent_is_one_line(options: list[str], words: str) -> None:
    """What no request can carry is refused before one is sent."""
    command = [sys.executable, "-m", "kpasim", "load", "experiments/hey50x5.yaml", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
