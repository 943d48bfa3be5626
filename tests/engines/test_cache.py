"""The cache of the compiled engine: never stale, never half a file."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kpasim.engines.compiled import cache, machine

ENGINES = cache.PACKAGE / "engines"


def imported(source: Path) -> set[Path]:
    """The modules of policy and engines that a module imports, as files."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("kpasim."):
            place = cache.PACKAGE.joinpath(*node.module.split(".")[1:])
            for candidate in (place, *(place / name.name for name in node.names)):
                if candidate.with_suffix(".py").exists():
                    found.add(candidate.with_suffix(".py"))
    return {path for path in found if path.relative_to(cache.PACKAGE).parts[0] in {"policy", "engines"}}


def test_the_fingerprint_knows_all_that_is_compiled() -> None:
    """Whatever the loop imports, directly or not, is part of the cache's fingerprint."""
    known = {path for pattern in cache.SOURCES for path in cache.PACKAGE.glob(pattern)}
    todo, seen = [ENGINES / "compiled" / "compiler.py"], set[Path]()
    while todo:
        source = todo.pop()
        seen.add(source)
        todo += imported(source) - seen
    assert seen <= known, sorted(path.name for path in seen - known)
    assert ENGINES / "clock.py" in seen


def test_an_edit_changes_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine code of other sources is never loaded."""
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "burst.py").write_text("A = 1\n")
    monkeypatch.setattr(cache, "PACKAGE", tmp_path)
    before = cache.fingerprint()
    (tmp_path / "policy" / "burst.py").write_text("A = 2\n")
    assert cache.fingerprint() != before


def test_playing_from_the_cache_needs_no_numba() -> None:
    """Once the engine is compiled, a run loads neither numba nor a plotting library nor a table format."""
    machine.ready()
    code = (
        "import sys; from kpasim import load, simulate; simulate(load('experiments/hey50x5.yaml'), replications=2);"
        "print(sorted({'numba', 'matplotlib', 'pyarrow', 'plotly', 'simpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cache.PACKAGE.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "writable", "folder writable"])
def test_a_damaged_object_counts_as_missing(damage: str, tmp_path: Path) -> None:
    """Code that is not what the compiler left, or that others can change, is never loaded."""
    place = tmp_path / "engine" / "cpu.o"
    place.parent.mkdir(mode=0o700)
    content = cache.sealed(b"machine code" * 100)
    place.write_bytes(content)
    place.chmod(0o600)
    assert cache.read_object(place) == b"machine code" * 100
    if damage.endswith("writable"):
        (place.parent if damage.startswith("folder") else place).chmod(0o777)
    else:
        flipped = bytes([content[0] ^ 255]) + content[1:]
        place.write_bytes({"empty": b"", "truncated": content[:-100], "flipped": flipped}[damage])
    assert cache.read_object(place) is None


SHIPPED = """
import sys
from pathlib import Path
from kpasim.engines.compiled import cache, machine, target
cache.PACKAGE = Path(sys.argv[1])
target.runs_level = lambda: sys.argv[2] == "here"
machine._from_compiler = lambda *level: sys.exit("compiles")
print(cache.is_warm())
machine.ready()
from kpasim import load, simulate
print(len(simulate(load("experiments/hey50x5.yaml"), replications=2, engine="compiled").outcomes))
"""


@pytest.mark.parametrize(("state", "answer"), [("here", "True"), ("elsewhere", "compiles"), ("edited", "compiles")])
def test_code_that_came_with_the_sources_is_used_where_it_runs(state: str, answer: str, tmp_path: Path) -> None:
    """An empty cache is no reason to compile, unless the sources have changed or the processor is another one."""
    machine.ready()
    code = cache.found()
    assert code is not None
    for pattern in cache.SOURCES:
        for source in cache.PACKAGE.glob(pattern):
            copy = tmp_path / source.relative_to(cache.PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    place = tmp_path / cache.shipped_file().relative_to(cache.PACKAGE)
    place.parent.mkdir()
    place.write_bytes(cache.sealed(code))
    if state == "edited":
        (tmp_path / "policy" / "burst.py").write_text("A = 1\n")
    environment = {**os.environ, "KPASIM_CACHE_DIR": str(tmp_path / "empty"), "KPASIM_BACKGROUND": "0"}
    call = [sys.executable, "-c", SHIPPED, str(tmp_path), "elsewhere" if state == "elsewhere" else "here"]
    done = subprocess.run(call, cwd=cache.PACKAGE.parent, env=environment, capture_output=True, text=True, check=False)
    assert answer in done.stdout + done.stderr
    assert (done.returncode == 0) == (answer == "True"), done.stderr
