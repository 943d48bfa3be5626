"""Folders that tests keep compressed, unpacked once in each process."""

from __future__ import annotations

import atexit
import functools
import shutil
import tarfile
import tempfile
from pathlib import Path


@functools.cache
def unpacked(archive: Path) -> Path:
    """The folder that holds what an archive holds; removed when the process ends."""
    path = Path(tempfile.mkdtemp(prefix=f"kpasim-{archive.parent.name}-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    with tarfile.open(archive) as file:
        file.extractall(path, filter="data")
    return path
