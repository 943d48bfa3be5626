"""Count the instructions of a request in the engine and in the loop in C (`benchmarks/lean.py`), by valgrind.

Needs `cc` and `valgrind` with its headers; takes two minutes. `--write` puts the table into docs/performance.md.
"""

import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import lean
from benchmarks.pages import ROOT, put, table
from kpasim.engines import compiled
from kpasim.engines.compiled import cache, machine
from kpasim.engines.compiled.target import LEVEL

PAGE, PROGRAM = "docs/performance.md", "benchmarks/instructions.py"
MARKS = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; }
void end(const char *what) { CALLGRIND_STOP_INSTRUMENTATION; CALLGRIND_DUMP_STATS_AT(what); }
"""
"""What tells valgrind where to count."""


def simulate(folder: Path) -> None:
    """Simulate each load once in the engine and once in the loop, inside valgrind."""
    marks = ctypes.CDLL(str(folder / "marks.so"))
    loop = ctypes.CDLL(str(folder / "lean.so")).simulate
    loop.restype = ctypes.c_int64
    for name in lean.NAMES:
        params, draws = lean.prepared(name)
        plays = {"engine": lambda: compiled.run(params, draws), "loop": lean.in_c(loop, params, draws)}  # noqa: B023
        for which, play in plays.items():
            play()  # so that nothing is loaded while it counts
            marks.begin()
            play()
            marks.end(f"{name}/{which}/{len(draws.sent)}".encode())


def counted(folder: Path) -> dict[str, dict[str, float]]:
    """Instructions of a request by load, in the engine and in the loop."""
    (folder / "marks.c").write_text(MARKS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "marks.so", folder / "marks.c"], check=True)
    lean.built(lean.prepared(lean.NAMES[0])[0], str(folder), LEVEL)
    is_new = not cache.shipped_file().exists()
    shipped = machine.ship()
    out = f"--callgrind-out-file={folder}/out"
    call = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", out, sys.executable, __file__]
    environment = {**os.environ, "KPASIM_CACHE_DIR": str(folder), "KPASIM_BACKGROUND": "0"}
    try:
        subprocess.run([*call, "--inside", str(folder)], check=True, env=environment, cwd=ROOT)
    finally:
        if is_new:
            shipped.unlink()
    found: dict[str, dict[str, float]] = {name: {} for name in lean.NAMES}
    for file in folder.glob("out.*"):
        text = file.read_text()
        what = re.search(r"Client Request: (.+)/(\w+)/(\d+)$", text, re.M)
        total = re.search(r"^totals: (\d+)$", text, re.M)
        if what and total:
            found[what[1]][what[2]] = int(total[1]) / int(what[3])
    return found


def main() -> None:
    """Count, print, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        simulate(given.inside)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = counted(Path(folder))
    rows = [
        (name, f"{each['engine']:,.0f}", f"{each['loop']:,.0f}", f"{each['engine'] / each['loop']:.2f}")
        for name, each in found.items()
    ]
    text = table(("load", "instructions of a request in kpasim", "in the loop", "ratio"), rows, to_the_right=True)
    print(text)
    if given.write:
        put(PAGE, PROGRAM, text)


if __name__ == "__main__":
    main()
