"""Run folders that tests keep compressed, unpacked once in each process."""

import atexit
import functools
import shutil
import tarfile
import tempfile
from pathlib import Path


class Runs:
    """The run folders in ``runs.tar.xz`` beside a module. Read them only: all tests of a process share them.

    Args:
        module: ``__file__`` of the module.
    """

    def __init__(self, module: str) -> None:
        self._archive = Path(module).with_name("runs.tar.xz")

    @functools.cached_property
    def _root(self) -> Path:
        path = Path(tempfile.mkdtemp(prefix=f"kpasim-{self._archive.parent.name}-"))
        atexit.register(shutil.rmtree, path, ignore_errors=True)
        with tarfile.open(self._archive) as file:
            file.extractall(path, filter="data")
        return path

    def names(self) -> tuple[str, ...]:
        """The names of the runs, sorted."""
        return tuple(sorted(path.name for path in self._root.iterdir()))

    def folder(self, name: str) -> Path:
        """The run folder of that name."""
        return self._root / name
