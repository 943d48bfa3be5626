"""Runs that ``kpasim validate`` recorded against Knative's real control plane, compressed; see ``folder``."""

from __future__ import annotations

import atexit
import functools
import shutil
import tarfile
import tempfile
from pathlib import Path

ARCHIVE = Path(__file__).with_name("runs.tar.xz")


@functools.cache
def root() -> Path:
    """The folder that holds the runs; removed when the process ends."""
    path = Path(tempfile.mkdtemp(prefix="kpasim-live-runs-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(path, filter="data")
    return path


@functools.cache
def names() -> tuple[str, ...]:
    """The names of the runs, sorted."""
    return tuple(sorted(path.name for path in root().iterdir()))


def folder(name: str) -> Path:
    """The run folder of that name. Read it only: all tests of a process share it."""
    return root() / name
