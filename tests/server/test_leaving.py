"""How a server process ends: on a signal under load, while loading, and when it cannot start."""

import asyncio
import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest

from kpasim.server.process import listen
from tests.server.processes import SMALL, Server, start

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="needs the server extra")


async def load_until_refused(server: Server, clients: int) -> tuple[Counter[object], int]:
    """Closed-loop clients; SIGTERM after each has had an answer.

    Returns:
        What the clients saw, and the refusals among it that came while admitted requests still ran.
    """
    seen: Counter[object] = Counter()
    answered = [asyncio.Event() for _ in range(clients)]
    told = False

    async def client(number: int, session: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with session.post(server.url + "/sdapi/v1/txt2img", json=SMALL) as response:
                    body = await response.read()
            except aiohttp.ClientConnectorError:
                seen["no connection"] += 1  # the port is closed: the request was never accepted
                return
            seen[response.status] += 1
            answered[number].set()
            if response.status != 200:
                assert told
                assert response.headers["Connection"] == "close"
                assert b"shutting down" in body
                return

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        tasks = [asyncio.create_task(client(number, session)) for number in range(clients)]
        for event in answered:
            await event.wait()
        running = server.metric("txt2img_running") + server.metric("txt2img_waiting")
        told = True
        server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*tasks)
    return seen, int(running)


def test_sigterm_under_load_loses_no_accepted_request(tmp_path: Path) -> None:
    """After SIGTERM the admitted requests get their images, new ones 503, and the process ends with status 0."""
    server = start(tmp_path / "log", "--random-weights", "tiny")
    try:
        server.await_ready()
        seen, running = asyncio.run(load_until_refused(server, clients=8))
        assert set(seen) <= {200, 503, "no connection"}
        assert seen[503] + seen["no connection"] == 8  # each client left with a refusal, none with a broken answer
        assert seen[503] > 0
        assert running > 0
        assert server.process.wait(120) == 0
        assert server.log.read_text().count("txt2img 1 of") == seen[200]
        assert "leaving: 1 running" in server.log.read_text()
    finally:
        server.end()


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    """Whoever insists need not wait for a long generation; the status says that work was lost."""
    server = start(tmp_path / "log", "--random-weights", "tiny")
    try:
        server.await_ready()
        client = threading.Thread(target=post_and_ignore, args=(server, {"steps": 150, "width": 512, "height": 512}))
        client.start()
        server.await_metric("txt2img_running", 1)
        server.process.send_signal(signal.SIGINT)
        while server.get("/readyz").json()["state"] != "shutting down":
            assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(120) == 1
        client.join()
    finally:
        server.end()


def post_and_ignore(server: Server, body: dict[str, Any]) -> None:
    """A request whose connection may break."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        server.post(body)


LARGE_ANSWERS = """
from kpasim.server import command, models, process

class Slot:
    def generate(self, job):
        return [bytes(16_000_000)]

models.load = lambda settings, stages_s: [Slot()]
{patience}
command.command()
"""
"""A server that makes 16 MB of an image at once, more than a connection holds."""


def test_a_client_that_does_not_read_keeps_no_process_from_leaving(tmp_path: Path) -> None:
    """After SIGTERM an answer that nobody reads is waited for, but not for ever."""
    program = LARGE_ANSWERS.format(patience="process.UNREAD_S, process.FAREWELL_S = 600, 1")
    server = start(tmp_path / "log", "--random-weights", "tiny", program=("-c", program))
    try:
        server.await_ready()
        with asking_and_not_reading(server):
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(120) == 0
    finally:
        server.end()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no such limit")
def test_an_answer_that_lies_unread_is_given_up(tmp_path: Path) -> None:
    """A client that does not read its answer loses its connection; it would fill the memory otherwise."""
    program = LARGE_ANSWERS.format(patience="process.UNREAD_S = 1")
    server = start(tmp_path / "log", "--random-weights", "tiny", program=("-c", program))
    try:
        server.await_ready()
        process = psutil.Process(server.process.pid)
        with asking_and_not_reading(server) as client:
            ours = client.getsockname()[1]
            end = time.monotonic() + 55
            while ours in {one.raddr.port for one in process.net_connections() if one.raddr}:
                assert time.monotonic() < end
                time.sleep(0.1)
        assert server.get("/healthz").status == 200
    finally:
        server.end()


@contextlib.contextmanager
def asking_and_not_reading(server: Server) -> Iterator[socket.socket]:
    """A client whose request has been served, and which leaves the answer where it is."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        server.await_metric('txt2img_requests_total{code="200"}', 1)
        yield client


def test_sigterm_while_loading_ends_the_process(tmp_path: Path) -> None:
    """A pod that is told to go before it is ready does not finish loading first."""
    server = start(tmp_path / "log", "--random-weights", "tiny")
    try:
        assert server.post(SMALL).status == 503
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(120) == 0
        assert "ready after" not in server.log.read_text()
    finally:
        server.end()


SIGNALLED_AT_ONCE = """
import os, signal
from kpasim.server import command, process

opened = process.listen

def listen(host, port):
    listener = opened(host, port)
    os.kill(os.getpid(), signal.SIGTERM)
    return listener

process.listen = listen
command.command()
"""


def test_sigterm_as_soon_as_the_port_is_open_is_obeyed() -> None:
    """Before the server runs there is nothing to finish: the process ends, and well."""
    words = [sys.executable, "-c", SIGNALLED_AT_ONCE, "--random-weights", "tiny", "--port", "0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr
    assert "ready after" not in done.stderr


def test_small_packets_leave_at_once() -> None:
    """Asyncio turns Nagle's algorithm off for the connections of this socket, or each answer would wait 40 ms."""

    async def scene() -> int:
        taken: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            taken.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = listen("127.0.0.1", 0)
        async with await asyncio.start_server(take, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            writer.close()
            return await taken

    assert asyncio.run(scene()) != 0


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the server's command to its end."""
    command = [sys.executable, "-m", "kpasim.server", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    """A folder without a pipeline is refused at once, with status 1 and the folder's name."""
    ended = run("--model", str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr == f"Error: --model {tmp_path}: no diffusers pipeline there (a folder with model_index.json)\n"


def test_a_broken_model_ends_the_process(tmp_path: Path) -> None:
    """A pipeline that cannot be loaded ends the process with status 1 instead of leaving it unready for ever."""
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    ended = run("--model", str(tmp_path), "--port", "0")
    assert ended.returncode == 1
    assert f"Error: --model {tmp_path}: cannot be loaded:" in ended.stderr


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    """A port that another process holds is refused with status 1 and its number."""
    server = start(tmp_path / "log", "--random-weights", "tiny")
    try:
        port = server.url.rsplit(":", 1)[1]
        ended = run("--random-weights", "tiny", "--port", port)
        assert ended.returncode == 1
        assert ended.stderr == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    finally:
        server.end()


@pytest.mark.parametrize("options", [(), ("--model", "m", "--random-weights", "tiny"), ("--random-weights", "huge")])
def test_the_command_line_wants_one_model(options: tuple[str, ...]) -> None:
    """Neither, both or an unknown model is a usage error."""
    assert run(*options).returncode == 2


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half: "])
def test_a_request_that_stops_half_way_is_ended(sent: bytes, tmp_path: Path) -> None:
    """A connection that never finishes its headers is closed, and takes no place for ever."""
    program = (
        "-c",
        "from kpasim.server import process; process.HEADERS_S, process.KEEP_ALIVE_S = 1, 600;"
        "from kpasim.server.__main__ import main; main()",
    )
    server = start(tmp_path / "log", "--random-weights", "tiny", program=program)
    try:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=120) as link:
            link.sendall(sent)
            with contextlib.suppress(ConnectionResetError):
                assert link.recv(1) == b""
    finally:
        server.end()
