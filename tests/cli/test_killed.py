"""Results are whole or refused, whatever kills a command, and whenever."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("count", [2, pytest.param(40, marks=pytest.mark.statistical)])
def test_a_killed_command_leaves_the_old_result_or_the_new_or_one_that_is_refused(count: int, tmp_path: Path) -> None:
    """SIGKILL at random moments of run, sweep, report, tune --write and calibrate, over what earlier ones left."""
    command = [sys.executable, "-m", "tests.cli.killed", str(tmp_path), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert set(seen) == {"run", "sweep", "report", "tune", "calibrate"}
    for command_name, found in seen.items():
        assert sum(found.values()) == count, command_name
        assert found["mixture"] == 0, command_name
    for name in ("report", "tune", "calibrate"):  # one file, replaced at once
        assert seen[name]["refused"] == 0
