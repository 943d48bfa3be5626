"""The compiled engine where the world is not kind: a cache that cannot be written, a compiler that fails."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kpasim.engines.compiled import cache, machine
from kpasim.errors import RunError


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the compiler makes is used all the same; nothing is left half-written."""
    machine.ready()
    made = cache.object_file().read_bytes()

    def compiler(command: list[str], **_: Any) -> SimpleNamespace:
        Path(command[-1]).write_bytes(made)
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(machine.subprocess, "run", compiler)
    (tmp_path / "file").touch()

    assert made == machine._compiled(tmp_path / "file" / "engine.o")
    assert made == machine._compiled(tmp_path / "kept" / "engine.o")
    assert made == cache.read_object(tmp_path / "kept" / "engine.o")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["engine.o"]


def test_a_compiler_that_fails_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the reason and the way out."""
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")

    with pytest.raises(RunError, match=r"^the fast engine cannot be compiled: .+ \(--engine reference gives the same"):
        machine._compiled(tmp_path / "engine.o")

    assert not list(tmp_path.iterdir())


FIRST_RUN = """
import os, pathlib, sys, time
from kpasim.engines.compiled import machine
log = pathlib.Path(sys.argv[1])
def compiler():
    with log.open("a") as file:
        file.write(f"begun {os.getpid()}\\n")
    while not log.with_name("go on").exists():
        time.sleep(0.01)
    with log.open("a") as file:
        file.write("done\\n")
    return b"code"
machine._from_compiler = compiler
print(machine._compiled_once(log.parent / "engine" / "loop.o").decode())
"""
"""A first run with a compiler that takes its time; the locks and files are the real ones."""


def first_runs(log: Path) -> list[subprocess.Popen[str]]:
    """Four of them at once, one of which compiles when this returns."""
    command = [sys.executable, "-c", FIRST_RUN, str(log)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    wait_for(log, 1)
    return runs


def wait_for(log: Path, lines: int) -> list[str]:
    """The lines of a log when there are so many."""
    while not log.exists() or len(log.read_text().splitlines()) < lines:
        time.sleep(0.01)
    return log.read_text().splitlines()


def test_four_first_runs_at_once_compile_once(tmp_path: Path) -> None:
    """One process compiles, and the others read what it has made."""
    log = tmp_path / "log"
    runs = first_runs(log)
    (tmp_path / "go on").touch()

    assert [one.communicate()[0] for one in runs] == ["code\n"] * 4
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["begun", "done"]


def test_a_first_run_that_is_killed_leaves_the_compilation_to_another(tmp_path: Path) -> None:
    """Its lock goes with it, and the three that are left compile once."""
    log = tmp_path / "log"
    runs = first_runs(log)
    killed = int(log.read_text().split()[1])
    os.kill(killed, 9)
    begun = wait_for(log, 2)
    (tmp_path / "go on").touch()

    left = [one.communicate()[0] for one in runs if one.pid != killed]
    assert left == ["code\n"] * 3
    assert log.read_text().splitlines() == [*begun, "done"]
    [gone] = [one for one in runs if one.pid == killed]
    assert gone.communicate()[0] == ""
