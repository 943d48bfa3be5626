"""Opening measured files: compressed or not, within limits, without a traceback for any bytes."""

import bz2
import codecs
import contextlib
import csv
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from kpasim.errors import Problem, RecordError
from kpasim.records.record import Malformed, MalformedError

MAX_BYTES = 2**30
"""Size of a file that is read at most."""
MAX_UNPACKED = 100 * 2**20
"""Size of a packed file, once it is unpacked, that is read at most: a small one can hold hours of rows."""
MAX_TEXT = 2**28
"""The same for files that must be held in memory as a whole."""
MAX_LINE = 2**20
"""Length of a line at most."""

HEAD = 2**16
"""Characters that a file's kind is told from."""

_PACKED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"\xfd7zXZ\x00", lzma.open),
    (b"BZh", bz2.open),
)


class _Counted(io.RawIOBase):
    """A stream that refuses to give more than ``MAX_BYTES``."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream = stream
        self._path = path
        self._left = MAX_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._path, MAX_BYTES)
        buffer[: len(data)] = data
        return len(data)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """The text of a file; gzip, xz and bzip2 are unpacked, UTF-16 is recognised, what is not text becomes U+FFFD.

    Raises:
        RecordError: It cannot be read, is damaged or too large.
    """
    try:
        with open(path, "rb") as file:
            magic = file.read(6)
            file.seek(0)
            stream: Any = next((unpack(file) for mark, unpack in _PACKED if magic.startswith(mark)), file)
            if stream is not file:
                _check_size(stream, path)
            with io.BufferedReader(_Counted(stream, path), 2**16) as buffered:
                start = buffered.peek(2)[:2]
                wide = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
                encoding = "utf-16" if wide else "utf-8-sig"
                with io.TextIOWrapper(buffered, encoding=encoding, errors="replace") as text:
                    yield text
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RecordError.of(path, f"cannot be read: {reason}") from error


def _check_size(stream: IO[bytes], path: Path) -> None:
    """Unpack once to the end, or to the limit, before a row is read."""
    size = 0
    while chunk := stream.read(2**20):
        size += len(chunk)
        if size > MAX_UNPACKED:
            limit = f"larger than {MAX_UNPACKED // 2**20} MiB once unpacked, the most that is read of a packed file"
            raise RecordError.of(path, f"{limit}; unpack it (plain files may have {MAX_BYTES // 2**20} MiB)")
    stream.seek(0)


def head(path: Path) -> str:
    """The first characters of a file, see `opened`."""
    with opened(path) as text:
        return text.read(HEAD)


def whole(path: Path) -> str:
    """The whole text of a file that must be held in memory.

    Raises:
        RecordError: As `opened`, and when it is too large.
    """
    with opened(path) as text:
        content = text.read(MAX_TEXT + 1)
    if len(content) > MAX_TEXT:
        raise too_large(path, MAX_TEXT)
    return content


def lines(path: Path, malformed: Malformed) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; one that is too long is reported and left out."""
    with opened(path) as text:
        count = 0
        while line := text.readline(MAX_LINE):
            count += 1
            if len(line) == MAX_LINE and not line.endswith("\n"):
                while (rest := text.readline(MAX_LINE)) and not rest.endswith("\n"):
                    pass
                malformed.add(count, Problem("", f"a line of more than {MAX_LINE:,} characters"))
                continue
            yield count, line.rstrip("\n")


def rows(path: Path, malformed: Malformed) -> Iterator[tuple[int, list[str]]]:
    """Numbered rows of a CSV file, header included, blank lines left out; semicolons or tabs may part the cells."""
    count = 0

    def texts() -> Iterator[str]:
        nonlocal count
        for number, line in lines(path, malformed):
            count = number
            yield line + "\n"

    header = next((line for line in head(path).splitlines() if line.strip()), "")
    mark = "," if "," in header else next((one for one in ";\t" if one in header), ",")
    reader = csv.reader(texts(), delimiter=mark)
    while True:
        try:
            for row in reader:
                if row:
                    yield count, [cell.strip() for cell in row]
            return
        except csv.Error as error:
            malformed.add(count, Problem("", f"not a row of a CSV file: {error}"))


def named_rows(path: Path, malformed: Malformed) -> Iterator[tuple[int, dict[str, str]]]:
    """Numbered rows as mappings from the header's names."""
    header: list[str] = []
    for line, row in rows(path, malformed):
        if not header:
            header = row
        elif len(row) != len(header):
            malformed.add(line, Problem("", f"{len(row)} values where the header names {len(header)} columns"))
        else:
            yield line, dict(zip(header, row, strict=True))


def json_lines(path: Path, malformed: Malformed) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered JSON objects, one a line; blank lines left out."""
    for count, line in lines(path, malformed):
        if line.strip():
            with malformed.at(count):
                yield count, json_object(line)


def json_object(text: str) -> dict[str, Any]:
    """One JSON object.

    Raises:
        MalformedError: It is none.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedError("", f"not JSON: {error.msg}") from None
    except (ValueError, RecursionError):
        raise MalformedError("", "not JSON: nested too deep or a number too long") from None
    if not isinstance(value, dict):
        raise MalformedError("", "must be a JSON object")
    return value


def too_large(path: Path, limit: int) -> RecordError:
    """The error for a file beyond a limit."""
    return RecordError.of(path, f"larger than {limit // 2**20} MiB, the most that is read; split it")
