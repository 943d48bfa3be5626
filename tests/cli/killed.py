"""Kills commands at random moments over what earlier ones left, and says what is there then. Run by test_killed.py.

Arguments: folder, kills for each command. Each life is a fork of this process, which has imported everything, so that
kills fall into the work. What is left must be the old result, the new one, or be refused.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from kpasim.cli.main import cli

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
VOLATILE = {"run.json"}  # it holds the time at which it was written


def call(arguments: list[str]) -> int:
    """Run a command in this process, without its output; return its exit status."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        try:
            return int(cli.main(arguments, prog_name="kpasim", standalone_mode=False) or 0)
        except SystemExit as error:
            return int(error.code or 0)
        except Exception as error:
            return int(getattr(error, "exit_code", 70))


def life(arguments: list[str], kill_after_s: float | None) -> tuple[float, int]:
    """Run a command in a child; return how long it lasted and its exit status (negative for a signal)."""
    begun_s = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.setpgrp()
        os._exit(call(arguments))
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return time.monotonic() - begun_s, os.waitstatus_to_exitcode(status)


def content(place: Path) -> dict[str, str]:
    """The files of a result, to compare, without times."""
    if place.is_file():
        return {place.name: place.read_bytes().hex()}
    files = [path for path in place.iterdir() if path.suffix in (".csv", ".json") and path.name not in VOLATILE]
    held = {path.name: path.read_bytes().hex() for path in files}
    if (place / "run.json").exists():
        held["seed"] = str(json.loads((place / "run.json").read_text())["seed"])
    return held


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there; workers of a killed sweep may write for a moment."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
    for _ in range(50):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.1)


def kills(
    place: Path, old: list[str], new: list[str], read: list[str], count: int, rng: random.Random
) -> dict[str, int]:
    """Kill ``new`` over the result of ``old``; count what was found afterwards."""
    seen = {"old": 0, "new": 0, "refused": 0, "mixture": 0}
    assert life(new, None)[1] == 0, new
    lasted_s, _ = life(new, None)
    after = content(place)
    remove(place)
    assert life(old, None)[1] == 0, old
    before = content(place)
    assert before != after
    kept = place.with_name(place.name + ".kept")
    remove(kept)
    (shutil.copytree if place.is_dir() else shutil.copy)(place, kept)
    for _ in range(count):
        remove(place)
        (shutil.copytree if kept.is_dir() else shutil.copy)(kept, place)
        life(new, rng.uniform(0, lasted_s))
        if read and call([word.replace("PLACE", str(place)) for word in read]) == 1:
            seen["refused"] += 1
            continue
        # What is there is of one result; a killed sweep may not have written its last tables yet, which report makes.
        found = content(place).items()
        seen["old" if found == before.items() else "new" if found <= after.items() else "mixture"] += 1
    return seen


def main(folder: str, count: int) -> None:
    """Do it for each command; print a JSON object."""
    place, rng = Path(folder), random.Random(5)
    hey = str(EXPERIMENTS / "hey50x5.yaml")
    grid = place / "grid.yaml"
    grid.write_text(f"experiment: {hey}\naxes:\n  service.annotations.max-scale: [1, 3]\nreplications: 2\n")
    other = place / "other.yaml"
    other.write_text(f"experiment: {hey}\naxes:\n  service.annotations.max-scale: [2, 4, 5]\nreplications: 2\n")
    report, run, sweep = place / "page.html", place / "run", place / "sweep"
    tuned, model = place / "tuned.yaml", place / "model.yaml"
    engine = ["--engine", "compiled"]
    simulate = ["run", hey, *engine, "--out", str(run), "-n"]
    assert call(["run", hey, *engine, "-n", "2", "--out", str(place / "a")]) == 0
    assert call(["run", hey, *engine, "-n", "4", "--out", str(place / "b")]) == 0
    for name, first in (("one", 1.0), ("two", 3.0)):
        rows = [f"{i},{first + i % 7 / 10:.1f}" for i in range(60)]
        (place / f"{name}.csv").write_text("\n".join(["start_s,duration_s", *rows]) + "\n")
    tune = ["tune", hey, *engine, "--write", str(tuned), "--budget", "60", "--slo"]
    page = ["report", "PLACE", "-o", str(place / "read.html")]
    done = {
        name: kills(target, first, second, page if target.suffix == "" else [], count, rng)
        for name, target, first, second in (
            ("run", run, [*simulate, "2", "--seed", "1"], [*simulate, "4", "--seed", "2"]),
            ("sweep", sweep, *(["sweep", str(file), "--out", str(sweep)] for file in (grid, other))),
            ("report", report, *(["report", str(place / name), "-o", str(report)] for name in ("a", "b"))),
            ("tune", tuned, [*tune, "p95<=300s"], [*tune, "p95<=100s"]),
            (
                "calibrate", model,
                *(["calibrate", str(place / name), "-o", str(model)] for name in ("one.csv", "two.csv")),
            ),
        )
    }  # fmt: skip
    print(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
