"""Choice of the engine; that processes share the work of the reference engine; what is said of a compilation."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.engines import reference
from kpasim.engines.compiled import cache, machine
from kpasim.engines.lower import lower
from kpasim.engines.outcome import CapacityExceeded
from kpasim.engines.sampling import Sampler
from kpasim.errors import RunError
from kpasim.spec.experiment import load
from kpasim.studies.execution import engine, workers
from kpasim.studies.execution.workers import spread
from tests.engines.agreement import first_difference
from tests.real_runs import folder

from .. import sweeps

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
HEADLINE = EXPERIMENTS / "hey50x5.yaml"
REPORT = EXPERIMENTS / "data" / "hey-50x5.txt"


def test_processes_leave_what_one_leaves_and_in_order(monkeypatch: pytest.MonkeyPatch):
    """Twelve replications in two processes, in parts of five: the same twelve outcomes, bit for bit."""
    monkeypatch.setattr(engine, "SEVERAL_PROCESSES", 100)
    what = load(HEADLINE)
    params = lower(what)
    draws = Sampler(what, params).draw_many(range(12), pods=32)
    told: list[int] = []

    found = engine.execute(params, draws, "reference", 2, told.append)

    assert len(found) == len(draws)
    for outcome, one in zip(found, draws, strict=True):
        assert not first_difference(outcome, reference.run(params, one))
    assert told == sorted(told)
    assert told[-1] == 12


def test_a_process_without_room_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch):
    """Runs that need more pods than they have draws for end as they do in one process."""
    monkeypatch.setattr(engine, "SEVERAL_PROCESSES", 100)
    what = load(HEADLINE)
    params = lower(what)
    draws = Sampler(what, params).draw_many(range(12), pods=2)

    with pytest.raises(CapacityExceeded) as caught:
        engine.execute(params, draws, "reference", 2)
    assert caught.value.what == "pods"


@pytest.mark.parametrize(("replications", "threads", "processes"), [(40, 2, 1), (100, 2, 2), (100, 1, 1), (200, 3, 3)])
def test_only_long_runs_are_shared(replications: int, threads: int, processes: int, monkeypatch: pytest.MonkeyPatch):
    """Two thousand requests need no other process; from five thousand on, as many processes as asked are started."""
    asked: list[int] = []

    def counted(*_: object, processes: int) -> Iterator[object]:
        asked.append(processes)
        return iter(())

    monkeypatch.setattr(engine, "spread", counted)
    what = load(HEADLINE)
    params = lower(what)
    draws = Sampler(what, params).draw_many(range(replications), pods=2)
    with pytest.raises(KeyError):
        engine.execute(params, draws, "reference", threads)

    assert asked == [processes]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find a process's children")
def test_ctrl_c_leaves_no_process():
    """Interrupted while others simulate for it, a run ends with status 130, one word, and nobody left behind."""
    words = [sys.executable, "-m", "kpasim", "run", str(HEADLINE), "-n", "4000", "--engine", "reference"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        children: set[int] = set()
        until = time.monotonic() + 120
        while len(children) < 2 and process.poll() is None and time.monotonic() < until:
            children |= {int(one) for one in listed.read_text().split()} if listed.exists() else set()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)

    assert len(children) >= 2
    assert process.returncode == 130
    assert said.split() == ["Interrupted."]
    until = time.monotonic() + 60
    while (left := {one for one in children if Path(f"/proc/{one}").exists()}) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


def test_dropped_jobs_are_no_error():
    """Work that is abandoned while workers take it from the queue ends silently (loky alone prints a KeyError)."""
    script = """
import time
from kpasim.studies.execution.workers import spread
for attempt in range(6):
    results = spread(time.sleep, [0.001] * 400, processes=2)
    for _ in range(2 + 7 * attempt):
        next(results)
    results.close()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_worker_that_ends_is_told_in_one_line():
    """Work whose process dies is an error of one line that names the backend, not pages of tracebacks."""
    with pytest.raises(RunError) as caught:
        list(spread(os._exit, [1] * 4, processes=2))

    assert str(caught.value).startswith("--backend local: a worker could not start, or ended")
    assert "\n" not in str(caught.value)


def test_a_dask_worker_without_kpasim_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch):
    """Before it gets work, which it would fail to read again and again."""
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.setattr(workers, "WORK", "import kpasim.not_there")
    with pytest.raises(RunError, match=r"^--backend dask: a worker cannot import kpasim \(No module .*not_there'\)$"):
        list(spread(abs, [1] * 4, backend="dask", processes=1))


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A cache that looks empty; the list grows by a word where the engine would be compiled."""
    asked: list[str] = []
    loop_is_ready = machine.ready
    loop_is_ready()

    def ready() -> None:
        asked.append("ready")
        loop_is_ready()

    engine.ready.cache_clear()
    monkeypatch.setattr(cache, "is_warm", lambda: False)
    monkeypatch.setattr(cache, "object_file", lambda: Path("nowhere.o"))
    monkeypatch.setattr(machine, "ready", ready)
    yield asked
    engine.ready.cache_clear()


def announcements(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of a compilation."""
    return [record.getMessage() for record in caplog.records if "Compiling the fast engine" in record.getMessage()]


def test_a_compilation_is_announced_once(nothing_compiled: list[str], caplog: pytest.LogCaptureFixture):
    """It is said before it begins, loud enough for a terminal, and not again."""
    engine.ready()
    engine.ready()

    assert len(announcements(caplog)) == 1
    assert caplog.records[0].levelno == logging.WARNING
    assert nothing_compiled == ["ready"]


def test_a_damaged_file_of_the_cache_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """A small run does without it; an intact file and an empty cache are passed over."""
    kept = tmp_path / "cpu.o"
    tmp_path.chmod(0o700)
    monkeypatch.setattr(cache, "object_file", lambda: kept)
    assert engine.choose_engine("auto", 10) == "reference"
    kept.write_bytes(cache.sealed(b"machine code"))
    kept.chmod(0o600)
    assert engine.choose_engine("auto", 10) == "compiled"
    assert not caplog.records
    kept.write_bytes(b"")

    assert [engine.choose_engine("auto", 10) for _ in range(2)] == ["reference"] * 2

    [record] = caplog.records
    assert record.getMessage().startswith(f"{kept} is damaged, or others can write to it")


def test_nothing_is_announced_where_nothing_is_compiled(caplog: pytest.LogCaptureFixture):
    """A warm cache is loaded without a word."""
    machine.ready()
    engine.ready.cache_clear()
    engine.ready()

    assert not announcements(caplog)


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.parametrize(
    "words",
    [
        "run painting.yaml --engine compiled --json -n 2",
        "sweep painting-sweep.yaml --engine compiled --processes 1 --out out",
        "tune painting.yaml --slo p95<=1h --budget 20 --engine compiled",
        "compare RUN --engine compiled -n 2",
        "calibrate REPORT -e HEADLINE --effort 0.1 --candidate serialised -o model.yaml",
        "warmup",
    ],
)
def test_every_command_announces_a_compilation(
    words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """Whichever command comes first on a machine says why it takes so long, once."""
    sweeps.write(tmp_path)
    files = {"RUN": folder("s1-warm-def-r03"), "HEADLINE": HEADLINE, "REPORT": REPORT}
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, [str(files.get(word, word)) for word in words.split()])

    assert done.exit_code in {0, 3}, done.output
    assert len(announcements(caplog)) == 1


def test_an_announcement_is_seen_on_a_terminal(tmp_path: Path):
    """Without any set-up of logging the words are on stderr, and nothing else is."""
    code = (
        "from kpasim.engines.compiled import cache, machine\n"
        "cache.is_warm = lambda: False\n"
        "machine.ready = lambda: None\n"
        "from kpasim.studies.execution import engine\nengine.ready()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert done.stderr == "Compiling the fast engine, once for this version; this takes about half a minute ...\n"
