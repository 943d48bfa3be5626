"""Folders of results: who may write into them, and what an overwrite removes first.

A folder holds a run (``run.json``), a sweep (``plan.json``), an observation (``observation.json``) or a backtest
(``backtest.json``), never two of them, and has one writer at a time. Only files that kpasim itself leaves are ever
removed. The file that makes a folder readable is removed first and written last, so
that an overwrite that is cut off leaves a folder that is refused, not a mixture of two results.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kpasim.errors import RunError
from kpasim.results.files import make_folder

Kind = Literal["run", "sweep", "observation", "backtest"]

MARKS: dict[Kind, str] = {
    "run": "run.json", "sweep": "plan.json", "observation": "observation.json", "backtest": "backtest.json"
}  # fmt: skip
"""The file that makes a folder a folder of its kind."""
LOCK = ".kpasim.lock"
PART = re.compile(r"(\d+)-(\d+)\.(?:arrow|parquet)")
"""A part of a sweep's journal: its first unit, and the unit after its last. Earlier versions wrote them as Parquet."""
JOURNALS = ("own-end", "common-end")

_FILES: dict[Kind, tuple[str, ...]] = {
    "run": (
        "requests.csv", "pods.csv", "ticks.csv", "scaling.csv", "nodes.csv", "events.csv", "summary.json",
        "calibration.json", "comparison.json", "replications.parquet", "timeline.svg", "timeline.png", "latencies.svg",
        "latencies.png", "dashboard.svg", "dashboard.png",
    ),
    "sweep": (
        "replications.parquet", "sweep.json", "rows.csv", "rows.parquet", "front.svg", "front.png", "axes.svg",
        "axes.png", "heatmap.svg", "heatmap.png",
    ),
    "observation": ("series.parquet", "labels.parquet"),
    "backtest": (),
}  # fmt: skip

_FOLDERS: dict[Kind, tuple[str, ...]] = {"run": ("prediction",), "sweep": ("journal",)}


@contextlib.contextmanager
def writing(folder: str | Path, kind: Kind) -> Iterator[Path]:
    """The folder of a result, made where it is missing, for this process alone until the block ends.

    Raises:
        RunError: It holds a result of another kind, or a file in a place that the result needs; another process
            writes into it; or it cannot be made.
    """
    folder = Path(folder)
    for other, mark in MARKS.items():
        if other != kind and (folder / mark).exists():
            raise RunError(f"{folder}: holds {_a(other)} ({mark}); name another folder for the {kind}")
    # A lock that was left behind is that of a kpasim which was killed while it wrote here.
    if not (folder / MARKS[kind]).exists() and not (folder / LOCK).exists():
        _refuse_files_of_others(folder, kind)
    if kind == "sweep":
        _refuse_a_journal_of_others(folder)
    folder = make_folder(folder)
    with _lock(folder):
        yield folder


def clear(folder: Path, kind: Kind) -> None:
    """Remove what an earlier result of this kind left; the file that makes it readable goes first."""
    prediction = folder / "prediction"
    for place in (folder, prediction) if (prediction / MARKS[kind]).exists() else (folder,):
        for name in (MARKS[kind], *_FILES[kind]):
            try:
                (place / name).unlink(missing_ok=True)
            except OSError as error:
                raise RunError(f"{place / name}: cannot be replaced: {error.strerror or error}") from error
    with contextlib.suppress(OSError):
        prediction.rmdir()  # Stays where it holds anything else.


def remove_journal(folder: Path) -> None:
    """Remove the parts of a sweep's journal, and the folders that are empty then."""
    for journal in (*(folder / name for name in JOURNALS), folder):
        with contextlib.suppress(OSError):
            for path in journal.iterdir():
                if _is_part(path):
                    path.unlink(missing_ok=True)
            journal.rmdir()


def _refuse_files_of_others(folder: Path, kind: Kind) -> None:
    for name in (*_FILES[kind], *_FOLDERS.get(kind, ())):
        if (folder / name).exists():
            raise RunError(f"{folder}: holds {name}, which is not of {_a(kind)} (name another folder)")


def _a(kind: Kind) -> str:
    return f"an {kind}" if kind == "observation" else f"a {kind}"


def _refuse_a_journal_of_others(folder: Path) -> None:
    journal = folder / "journal"
    strangers = [
        path for path in journal.rglob("*") if not (path.is_dir() or (path.parent.name in JOURNALS and _is_part(path)))
    ]
    if strangers or (journal.exists() and not journal.is_dir()):
        raise RunError(f"{folder}: holds {journal.name}, which is not of a sweep (name another folder)")


def _is_part(path: Path) -> bool:
    return bool(PART.fullmatch(path.name)) or path.suffix == ".part"


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """The folder's lock, which the system frees when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows has no such locks.
        yield
        return
    path = folder / LOCK
    try:
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_ino != path.stat().st_ino:  # Its last owner has just removed it.
                raise BlockingIOError
        except OSError:
            raise RunError(f"{folder}: another kpasim is writing into it (wait for it, or name another)") from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
