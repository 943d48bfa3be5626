"""Real servers with series in them: Debian's Prometheus and VictoriaMetrics, started for a module of tests."""

import contextlib
import json
import math
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kpasim.records.prometheus.selection import Served

DEADLINE_S = 300
ATTEMPTS = 5
"""A free port may be taken before the server takes it: then another is tried."""


def program(name: str) -> str:
    """The path of a program; without it the test is skipped, and says why."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (apt-get install prometheus victoria-metrics)")
    return path


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def prometheus(folder: Path, *openmetrics: Path, flags: Sequence[str] = ()) -> Iterator[str]:
    """The URL of a Prometheus that holds what the files hold, until the block ends."""
    server, tool = program("prometheus"), program("promtool")
    folder.mkdir(parents=True, exist_ok=True)
    for file in openmetrics:
        command = [tool, "tsdb", "create-blocks-from", "openmetrics", str(file), str(folder / "tsdb")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (folder / "prometheus.yml").write_text("{}\n")
    command = [
        server,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--storage.tsdb.retention.time=100y",
        *flags,
    ]
    with _running(command, "--web.listen-address", folder, "/-/ready") as url:
        yield url


@contextlib.contextmanager
def victoria_metrics(folder: Path, series: Iterable[Served], flags: Sequence[str] = ()) -> Iterator[str]:
    """The URL of a VictoriaMetrics that holds some series, until the block ends."""
    server = program("victoria-metrics")
    folder.mkdir(parents=True, exist_ok=True)
    command = [server, f"-storageDataPath={folder / 'data'}", "-retentionPeriod=100y", *flags]
    with _running(command, "-httpListenAddr", folder, "/health") as url:
        for batch in _batches(series):
            body = "\n".join(map(json.dumps, batch)).encode()
            with urllib.request.urlopen(f"{url}/api/v1/import", data=body, timeout=DEADLINE_S) as answer:
                assert answer.status == 204
        with urllib.request.urlopen(f"{url}/internal/force_flush", timeout=DEADLINE_S):
            pass
        yield url


def _batches(series: Iterable[Served]) -> Iterator[list[dict[str, Any]]]:
    """Rows of VictoriaMetrics' import, some hundred thousand samples at a time."""
    batch: list[dict[str, Any]] = []
    samples = 0
    for one in series:
        times = [round(t * 1000) for t in one.times_s.tolist()]
        values = [None if math.isnan(v) else v for v in one.values.tolist()]
        batch.append({"metric": dict(one.labels), "timestamps": times, "values": values})
        samples += len(times)
        if samples > 300_000:
            yield batch
            batch, samples = [], 0
    if batch:
        yield batch


@contextlib.contextmanager
def _running(command: Sequence[str], option: str, folder: Path, ready: str) -> Iterator[str]:
    """The URL of a server that listens where ``option`` says, once it is ready."""
    log = folder / "log"
    for _ in range(ATTEMPTS):
        address = f"127.0.0.1:{free_port()}"
        with open(log, "w") as file:
            process = subprocess.Popen([*command, f"{option}={address}"], stdout=file, stderr=file, cwd=folder)
        try:
            limit = time.monotonic() + DEADLINE_S
            while process.poll() is None and not _answers(f"http://{address}{ready}"):
                assert time.monotonic() < limit, log.read_text()
                time.sleep(0.05)
            if process.poll() is not None and "address already in use" in log.read_text():
                continue
            assert process.poll() is None, log.read_text()
            yield f"http://{address}"
            return
        finally:
            process.terminate()
            process.wait(DEADLINE_S)
    raise AssertionError(f"no port in {ATTEMPTS} attempts: {log.read_text()}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code in (400, 401)  # It is there, and speaks TLS or wants a password.
    except OSError:
        return False
