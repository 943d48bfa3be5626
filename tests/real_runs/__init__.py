"""The 94 recorded runs of the real autoscaler, compressed; ``folder(name)`` unpacks them once per process."""

from __future__ import annotations

import functools
from pathlib import Path

from tests.archives import unpacked

ARCHIVE = Path(__file__).with_name("runs.tar.xz")


def root() -> Path:
    """The folder that holds all runs."""
    return unpacked(ARCHIVE)


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all recorded runs, sorted."""
    return tuple(sorted(path.name for path in root().iterdir()))


def folder(name: str) -> Path:
    """The run folder of that name. Read it only: all tests of a process share it."""
    return root() / name
