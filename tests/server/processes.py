"""Real server processes for the tests: started, spoken to over loopback, ended."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

SMALL = {"steps": 2, "width": 64, "height": 64}
"""A request that costs the tiny model some 50 ms."""


@dataclass
class Answer:
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def images(self) -> list[Image.Image]:
        """The pictures of a txt2img answer, decoded to the last pixel."""
        pictures = [Image.open(io.BytesIO(base64.b64decode(text, validate=True))) for text in self.json()["images"]]
        for picture in pictures:
            picture.load()
        return pictures


@dataclass
class Server:
    """A running `python -m kpasim.server`."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""
    ready_after_s: float = 0.0
    states: list[tuple[int, int]] = field(default_factory=list)

    def get(self, path: str) -> Answer:
        """GET a path."""
        return self._ask(urllib.request.Request(self.url + path))

    def post(self, body: Any, path: str = "/sdapi/v1/txt2img") -> Answer:
        """POST a body: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask(urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}))

    def _ask(self, request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())
        except urllib.error.HTTPError as err:
            with err:
                return Answer(err.code, {k.lower(): v for k, v in err.headers.items()}, err.read())

    def metric(self, name: str) -> float:
        """The value of one sample on /metrics, 0 where it is absent."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics").body.decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def await_metric(self, name: str, value: float, deadline_s: float = 300.0) -> None:
        """Return when a sample has a value."""
        end = time.monotonic() + deadline_s
        while self.metric(name) != value:
            assert time.monotonic() < end, f"{name} is {self.metric(name)}, not {value}"
            time.sleep(0.01)

    def await_ready(self, deadline_s: float = 300.0) -> None:
        """Return when /readyz answers 200, noting ``(healthz, readyz)`` on the way."""
        began = time.monotonic()
        while True:
            self.states.append((self.get("/healthz").status, self.get("/readyz").status))
            self.ready_after_s = time.monotonic() - began
            if self.states[-1][1] == 200:
                return
            assert self.ready_after_s < deadline_s, self.log.read_text()
            time.sleep(0.1)

    def end(self) -> None:
        """End the process whatever it does."""
        self.process.kill()
        self.process.wait()


def start(log: Path, *options: str, program: Sequence[str] = ("-m", "kpasim.server")) -> Server:
    """Start a server on a free port and return as soon as the port is open.

    Args:
        log: File for what it writes to stderr.
        options: Of its command line.
        program: Python's arguments that run the command.
    """
    command = [sys.executable, *program, "--port", "0", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HOSTNAME": "test-pod"}
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdout=subprocess.DEVNULL, env=environment)
    end = time.monotonic() + 120
    while True:
        found = re.search(r"listening on (http://\S+)", log.read_text())
        if found:
            return Server(process, log, found[1])
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)
