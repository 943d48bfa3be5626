"""Files of arrivals, good and bad."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from kpasim.errors import RecordError
from kpasim.spec.workload import Replay
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
        (b"", {}, r"a\.csv:1: no column 'arrival'"),
        (b"arrival\n\xff\n", {}, r"a\.csv: cannot be read"),
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
