"""Work spread over real workers of Ray, where it is installed."""

import importlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kpasim.errors import RunError
from kpasim.studies.execution.workers import spread

pytest.importorskip("ray", reason="the extra ray is not installed (pip install 'kpasim[ray]')")


def spread_over_ray(task: Callable[[int], int]) -> list[int]:
    """Results for the numbers 1 to 5, by two workers."""
    return sorted(spread(task, range(1, 6), backend="ray", processes=2))


def test_each_job_is_done_once() -> None:
    """Results come in any order, one for each job."""
    assert spread_over_ray(lambda number: number * number) == [1, 4, 9, 16, 25]


def test_an_error_of_a_job_arrives_as_it_was_raised() -> None:
    """What a user can mend stays one line, without Ray's account of the worker."""

    def refuse(number: int) -> int:
        raise RunError("no such thing")

    with pytest.raises(RunError, match=r"\Ano such thing\Z"):
        spread_over_ray(refuse)


def test_a_worker_that_ends_is_told_in_a_line() -> None:
    """A worker that is killed says so in one line, not in pages."""
    with pytest.raises(RunError, match="--backend ray: a worker could not start, or ended") as raised:
        spread_over_ray(lambda number: os._exit(9 + number))
    assert "\n" not in str(raised.value)


def test_a_worker_that_cannot_import_its_work_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where kpasim is not installed on a node: the module is there for us, and gone before the workers start."""
    folder = tmp_path / "only-here"
    folder.mkdir()
    (folder / "task_of_ours.py").write_text("def task(number):\n    return number\n")
    monkeypatch.syspath_prepend(folder)
    task = importlib.import_module("task_of_ours").task
    shutil.rmtree(folder)
    with pytest.raises(RunError, match=r"\A--backend ray: a worker could not start, or .* No module named") as raised:
        spread_over_ray(task)
    assert "\n" not in str(raised.value)
