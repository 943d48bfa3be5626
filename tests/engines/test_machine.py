"""The compiled engine where the world is not kind: a cache that cannot be written, a compiler that fails."""

from __future__ import annotations

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
