"""Files of arrivals, good and bad."""

import bz2
import gzip
import lzma
from pathlib import Path
from typing import Any

import pytest

from kpasim.errors import RecordError
from kpasim.records import source
from kpasim.spec.workload import GenTD26, Replay
from kpasim.workloads.recorded import recording


def replay(path: Path, **keys: Any) -> Replay:
    """A replay of a file."""
    return Replay.model_validate({"kind": "replay", "file": str(path), **keys})


def test_times_services_and_classes_stay_together(tmp_path: Path) -> None:
    """Rows are put in order as a whole, packed or not, and an empty service time is none."""
    text = "t,ms,what\n2000,30,b\n\n1000,,a\n"
    plain, packed = tmp_path / "a.csv", tmp_path / "a.csv.gz"
    plain.write_text(text, encoding="utf-8-sig")
    packed.write_bytes(gzip.compress(text.encode()))

    for path in (plain, packed):
        read = recording(replay(path, arrival="t", service="ms", **{"class": "what", "time-unit": "ms"}))
        assert read.sent_s.tolist() == [0.0, 1.0]
        assert read.service_s.tolist() == [0.0, 0.03]
        assert read.classes == ("a", "b")


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        (b"start\n1\n", {}, r"a\.csv:1: no column 'arrival' \(there are start\)"),
        (b"arrival\nsoon\n", {}, r"a\.csv:2: arrival: 'soon' is neither a number nor a date"),
        (b"arrival\nnan\n", {}, r"a\.csv:2: arrival: 'nan' is not a time"),
        (b"arrival,took\n1,-2\n", {"service": "took"}, r"a\.csv:2: took: '-2' is not a service time"),
        (b"arrival,took\n1,2\n3\n", {}, r"a\.csv:3: 1 values where the header names 2 columns"),
        (b"arrival\n", {}, r"a\.csv: no row below the header"),
        (b"", {}, r"a\.csv: no row below the header"),
        (b"arrival\n\xff\n", {}, r"a\.csv:2: arrival: '.' is neither a number nor a date and time"),
        (b"\x1f\x8bnothing", {}, r"a\.csv: cannot be read"),
        (b"arrival\n1\n2\n", {"from": "5s"}, r"a\.csv: no request in the stretch asked for \(it is 1 s long"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: bytes, keys: dict[str, str], message: str) -> None:
    """File, line and column are named, and what is wrong."""
    path = tmp_path / "a.csv"
    path.write_bytes(text)

    with pytest.raises(RecordError, match=message):
        recording(replay(path, **keys))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_a_packed_trace_is_read_within_the_limit_of_measured_files(tmp_path: Path, monkeypatch: Any, pack: Any) -> None:
    """A small packed file that holds hours of rows is refused before a row is read, however it is packed."""
    path = tmp_path / "trace.csv"
    path.write_bytes(pack(b"gmt_create\n" + b"2024-01-01 00:00:00\n" * 100))
    trace = GenTD26.model_validate({"kind": "gentd26", "file": str(path)})

    assert len(recording(trace).sent_s) == 100
    monkeypatch.setattr(source, "MAX_UNPACKED", 1000)
    path.write_bytes(pack(b"gmt_create\n" + b"2024-01-01 00:00:00\n" * 101))
    with pytest.raises(RecordError, match=r"trace\.csv: larger than 0 MiB once unpacked"):
        recording(trace)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that has gone since the experiment was read is named."""
    with pytest.raises(RecordError, match=r"gone\.csv: cannot be read: No such file"):
        recording(replay(tmp_path / "gone.csv"))


def test_many_bad_lines_are_not_all_listed(tmp_path: Path) -> None:
    """A file of nonsense does not fill the screen."""
    path = tmp_path / "a.csv"
    path.write_text("arrival\n" + "x\n" * 1000)

    with pytest.raises(RecordError) as caught:
        recording(replay(path))
    assert len(caught.value.problems) == 20
