"""Files appear whole or not at all."""

import errno
import json
import os

import numpy as np
import pytest

from kpasim.errors import RunError
from kpasim.results.files import atomic_write, make_folder, plain, write_json


def test_text_and_bytes_take_the_place_of_the_old_file(tmp_path):
    """A block that ends well leaves its content under the name, and nothing beside it."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write("new ü\n")
        assert path.read_text() == "old"
    assert path.read_bytes() == "new ü\n".encode()
    with atomic_write(path, "wb") as file:
        file.write(b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no")])
def test_a_block_that_raises_leaves_the_old_file(tmp_path, error):
    """Whatever interrupts the writing, the old file stays and nothing lies beside it."""
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with atomic_write(path) as file:
            file.write("half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_line(tmp_path):
    """A disk that fills while writing becomes a RunError of one line that names the file."""
    path = tmp_path / "a.txt"
    wanted = r"a\.txt: cannot be written: No space left on device"
    with pytest.raises(RunError, match=wanted) as caught, atomic_write(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_really_full_device_is_one_line(tmp_path, monkeypatch):
    """The device that is always full is reported as such when the buffered text reaches it."""
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr("builtins.open", lambda path, mode, **text: os.fdopen(full, "w", **text))
    with pytest.raises(RunError, match="No space left"), atomic_write(tmp_path / "a.txt") as file:
        file.write("x" * 100_000)


def test_places_that_cannot_be_written_are_named(tmp_path):
    """A missing folder, a folder in the file's place and a file in the folder's place are each one line."""
    with pytest.raises(RunError, match="No such file"), atomic_write(tmp_path / "none" / "a.txt"):
        pass
    with pytest.raises(RunError, match="cannot be written"), atomic_write(tmp_path):
        pass
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "sub"):
        with pytest.raises(RunError, match=r"cannot be made: there is a file in its place \(name a folder\)"):
            make_folder(path)
    for nameless in ("", ".", "/"):
        with pytest.raises(RunError, match="cannot be written: Is a directory"), atomic_write(nameless):
            pass
    assert make_folder(tmp_path / "x" / "y").is_dir()


def test_json_holds_plain_numbers(tmp_path):
    """Numpy's numbers become JSON's, and what JSON has no number for becomes null."""
    value = {"a": np.float64(1.5), "b": np.arange(2), "c": np.nan, "d": (np.bool_(True), None, "x"), 5: float("inf")}
    expected = {"a": 1.5, "b": [0, 1], "c": None, "d": [True, None, "x"], "5": None}
    assert plain(value) == expected
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == expected
