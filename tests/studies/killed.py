"""Simulates a sweep that is killed repeatedly, and prints what each life simulated. Run as a script by test_sweep.py.

Arguments: sweep file, folder, number of kills. Everything is imported once; each life is a fork of this process, so
that kills fall into the work and not into the start.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from kpasim.studies import sweep as module
from kpasim.studies.grid.journal import Journal
from kpasim.studies.sweep import Chunk, Plan, execute_chunk, sweep


def life(plan: Plan, out: Path, log: Path) -> int:
    """Begin a process that simulates the sweep until it is done, writing down what it simulates."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with log.open("a") as file:

            def logged(chunk: Chunk) -> object:
                print(json.dumps([chunk.until_s is not None, *chunk.units]), file=file, flush=True)
                return execute_chunk(chunk)

            module.execute_chunk = logged  # type: ignore[assignment]
            sweep(plan, out=out, resume=True, engine="reference", processes=1)
        status = 0
    finally:
        os._exit(status)


def finished(out: Path) -> list[list[object]]:
    """The units in the journal, and which pass they belong to."""
    found = []
    for later, name in ((False, "own-end"), (True, "common-end")):
        for part in (out / "journal" / name).glob("*.arrow"):
            first, stop = map(int, part.stem.split("-"))
            found += [[later, unit] for unit in range(first, stop)]
    return found


def main(path: str, folder: str, kills: int) -> None:
    """Simulate once in peace, and with kills until there were enough; print a JSON object about it."""
    plan, place = Plan.read(path), Path(folder)
    # What is imported late in a life is imported here, once for all of them.
    first = Chunk(
        plan.experiment, plan.settings_of([0]), range(1), plan.block, plan.replications, None, None, "reference"
    )
    Journal(place / "warm-up").add(*execute_chunk(first))
    module.PART_REQUESTS = 1  # a part for each unit: as many moments to be killed at as there can be
    begun = time.monotonic()
    assert os.waitpid(life(plan, place / "peace", place / "peace.log"), 0)[1] == 0
    took_s = time.monotonic() - begun
    chance = random.Random(11)
    rounds: list[list[dict[str, object]]] = []
    killed = 0
    # A sweep that is done before the last kill is followed by another one.
    while killed < kills:
        out, lives = place / f"killed-{len(rounds)}", []
        status = signal.SIGKILL
        while os.WIFSIGNALED(status):
            before, done = finished(out), (out / module.TABLE).exists()
            log = place / f"{len(rounds)}-{len(lives)}.log"
            pid = life(plan, out, log)
            if killed < kills:
                time.sleep(chance.uniform(0, 2 * took_s / kills))
                os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
            killed += os.WIFSIGNALED(status)
            simulated = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
            lives.append({"finished": before, "done": done, "simulated": simulated, "status": status})
        rounds.append(lives)
    print(json.dumps({"took_s": took_s, "killed": killed, "rounds": rounds}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
