"""Folders of results belong to their user: one kind of result, one writer, and nothing else is removed."""

import subprocess
import sys
from pathlib import Path

import pytest

from kpasim.errors import RunError
from kpasim.results import folders
from kpasim.results.files import atomic_write


def test_a_run_and_a_sweep_refuse_each_other_s_folder(tmp_path: Path) -> None:
    """A folder never holds the tables of two kinds of results."""
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(RunError, match="holds a sweep"), folders.writing(tmp_path, "run"):
        pass
    (tmp_path / "plan.json").rename(tmp_path / "run.json")
    with pytest.raises(RunError, match="holds a run"), folders.writing(tmp_path, "sweep"):
        pass


@pytest.mark.parametrize("name", ["replications.parquet", "rows.csv", "journal/2026.md", "journal/own-end/a.md"])
def test_a_sweep_refuses_files_that_no_sweep_made(name: str, tmp_path: Path) -> None:
    """A diary in a folder called journal is still there after a sweep was asked to write beside it."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match=f"holds {name.partition('/')[0]}"), folders.writing(tmp_path, "sweep"):
        pass
    assert (tmp_path / name).read_text() == "mine"


def test_a_run_refuses_measured_requests_that_no_run_left(tmp_path: Path) -> None:
    """What a load left as requests.csv is not overwritten by a simulated run."""
    (tmp_path / "requests.csv").write_text("mine")
    with pytest.raises(RunError, match=r"holds requests\.csv"), folders.writing(tmp_path, "run"):
        pass


def test_only_what_a_run_left_is_cleared(tmp_path: Path) -> None:
    """Notes beside a run stay, and so do notes beside its prediction."""
    (tmp_path / "prediction").mkdir()
    for name in ("run.json", "requests.csv", "comparison.json", "prediction/run.json", "prediction/notes.md", "a.md"):
        (tmp_path / name).write_text("x")
    folders.clear(tmp_path, "run")
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"prediction/notes.md", "a.md"}


def test_only_parts_of_a_journal_are_removed(tmp_path: Path) -> None:
    """The folders of a journal go with their last part, that of an earlier version too, and stay with anything else."""
    for name in ("own-end/00000000-00000004.arrow", "common-end/.x.part", "common-end/00000000-00000002.parquet"):
        (tmp_path / "journal" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "journal" / name).write_text("x")
    folders.remove_journal(tmp_path / "journal")
    assert not (tmp_path / "journal").exists()


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    """A second process is told that the folder is being written, and may write once the first has ended."""
    code = (
        "import sys; from kpasim.errors import RunError; from kpasim.results.folders import writing\n"
        "try:\n  with writing(sys.argv[1], 'run'): print('written')\n"
        "except RunError as error: print(error)"
    )

    def other() -> str:
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    with folders.writing(tmp_path, "run"):
        assert "another kpasim is writing into it" in other()
    assert other() == "written"
    assert not list(tmp_path.iterdir())


def test_a_file_behind_a_link_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    """A link stays a link, and a file that only its owner may read stays so."""
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    with atomic_write(link) as file:
        file.write("new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o600
