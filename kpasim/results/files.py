"""Writing files so that a reader never meets half of one."""

import contextlib
import errno
import json
import math
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from kpasim.errors import RunError


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file to write to that takes the place of ``path`` when the block ends well.

    The content is written aside, in the same folder, and renamed: whoever opens ``path`` finds the old file or the
    new one, whole. When the block raises, the file aside is removed and ``path`` stays as it was. The file that a
    symbolic link leads to is replaced, not the link, and keeps its mode.

    Args:
        path: The file to make or replace. Its folder must exist.
        mode: ``"w"`` for text (UTF-8, lines end in a line feed on every platform) or ``"wb"`` for bytes.

    Raises:
        RunError: The file cannot be written (full disk, missing or unwritable folder, a folder in its place).
    """
    path = Path(path)
    if not path.name:  # "", ".", "/"
        raise RunError(f"{path}: cannot be written: {os.strerror(errno.EISDIR)}")
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    aside = path.with_name(f".{path.name[:100]}.{os.getpid()}.{secrets.token_hex(4)}.part")
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        try:
            with open(aside, mode.replace("w", "x"), **text) as file:
                with contextlib.suppress(FileNotFoundError):
                    os.chmod(aside, stat.S_IMODE(path.stat().st_mode))
                yield file
                file.flush()
                os.fsync(file.fileno())  # Without it a power loss leaves the new name with nothing in it.
            os.replace(aside, path)
        except OSError as error:
            where = f" (there is no folder {path.parent})" if isinstance(error, FileNotFoundError) else ""
            raise RunError(f"{path}: cannot be written: {error.strerror or error}{where}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str, *, folders: bool = False) -> None:
    """Write a text, whole or not at all; with ``folders`` its missing folders are made.

    Raises:
        RunError: It cannot be written.
    """
    if folders:
        make_folder(Path(path).parent)
    with atomic_write(path) as file:
        file.write(text)


def make_folder(path: str | Path) -> Path:
    """The folder ``path``, made with its parents where it is missing.

    Raises:
        RunError: It cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise RunError(f"{path}: cannot be made: there is a file in its place (name a folder)") from error
    except OSError as error:
        raise RunError(f"{path}: cannot be made: {error.strerror or error}") from error
    return path


def write_json(path: str | Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically; see `plain` for what becomes of numpy's numbers and NaN."""
    with atomic_write(path) as file:
        json.dump(plain(value), file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")


_PLAIN = frozenset({type(None), str, bool, int})


def plain(value: Any) -> Any:
    """``value`` in JSON's own types: numpy numbers and arrays become Python's, NaN and infinities become ``None``."""
    kind = type(value)  # nearly all are of these: asking for a Mapping takes longer
    if kind in _PLAIN or (kind is float and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str | int | float):
        return value
    return str(value)
