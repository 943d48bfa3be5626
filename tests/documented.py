"""Commands of the documentation, run as a reader would run them, on small numbers.

Every fenced block of language ``bash`` or ``python`` is run, and the example of every help page. HTML comments before a
block say what it needs:

    <!-- test: skip, REASON -->          it is not run
    <!-- test: fake-cluster -->          against the fake cluster, and only a rehearsal (--dry-run)
    <!-- given: FOLDER -->               a measured run lies there
    <!-- given: FILE = ... -->           a file with this content lies there

A block of language ``yaml`` whose first line is ``# NAME.yaml`` is written to that file.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from kpasim.cli.main import cli
from tests.real_runs import folder

ROOT = Path(__file__).parents[1]
MEASURED = "s1-warm-def-r03"
DEADLINE_S = 300

_FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.S | re.M)
_NOTE = re.compile(r"<!-- (test|given): (.*?) -->", re.S)

SHIM = '''#!{python}
"""kpasim as the documentation calls it, with small numbers where a command leaves them to their defaults."""
import os, sys
args = sys.argv[1:]
small = {{"run": ("-n", "--replications", "3"), "compare": ("-n", "--replications", "4"),
          "report": ("-n", "--replications", "4"), "tune": ("--budget", "--budget", "300"),
          "calibrate": ("--effort", "--effort", "0.1")}}
if args and args[0] in small and "--help" not in args:
    short, long, value = small[args[0]]
    if short in args or long in args:
        args[args.index(short if short in args else long) + 1] = value
    else:
        args += [long, value]
if os.environ.get("KPASIM_REHEARSE") and args[:1] == ["validate"] and "--dry-run" not in args:
    args.append("--dry-run")
sys.argv = ["kpasim", *args]
from kpasim.cli.main import main
main()
'''


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: Its page.
        line: Line of its fence.
        language: ``bash``, ``python``, ``yaml`` ...
        text: What is inside.
        notes: What comments before it say: pairs of word and rest.
    """

    page: Path
    line: int
    language: str
    text: str
    notes: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def mode(self) -> str:
        """``skip``, ``fake-cluster`` or nothing."""
        return next((rest.partition(",")[0].strip() for word, rest in self.notes if word == "test"), "")


def pages() -> list[Path]:
    """All pages of the documentation."""
    return sorted((ROOT / "docs").rglob("*.md"))


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    before = 0
    for found in _FENCE.finditer(text):
        notes = tuple((note[1], note[2]) for note in _NOTE.finditer(text, before, found.start()))
        yield Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2], notes)
        before = found.end()


def prepare(place: Path) -> dict[str, str]:
    """Make ``place`` look like the top of the repository, with small experiments; returns the environment to run in."""
    for name in ("experiments", "models", "deploy"):
        shutil.copytree(ROOT / name, place / name)
    for file in (place / "experiments").glob("*.yaml"):
        text = re.sub(r"(?m)^replications: \d+", "replications: 3", file.read_text(encoding="utf-8"))
        # Of each axis of a sweep its first two values; a day becomes an hour.
        text = re.sub(r"(?m)^(  service\.[\w.-]+: )\[([^,\]]+),([^,\]]+),[^\]]*\]", r"\1[\2,\3]", text)
        file.write_text(re.sub(r"duration: (24|168)h", "duration: 1h", text), encoding="utf-8")
    programs = place.parent / "bin"
    programs.mkdir()
    shim = programs / "kpasim"
    shim.write_text(SHIM.format(python=sys.executable), encoding="utf-8")
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    (programs / "python").symlink_to(sys.executable)
    # A cluster that has one Service, and a browser that shows nothing.
    kubectl = programs / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ncat '{ROOT}/experiments/manifests/stable-diffusion.yaml'\n", encoding="utf-8")
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join(one for one in (str(ROOT), os.environ.get("PYTHONPATH")) if one)
    path_of_programs = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path_of_programs, "PYTHONPATH": path, "BROWSER": "true"}


def help_pages() -> Iterator[tuple[str, click.Command]]:
    """Every command with its name, such as ``kpasim manifest diff``."""

    def below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield name, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for one in command.list_commands(context):
                found = command.get_command(context, one)
                assert found is not None
                yield from below(f"{name} {one}", found)

    return below("kpasim", cli)


def give(block: Block, place: Path) -> None:
    """Put what a block needs where it needs it."""
    for word, rest in block.notes:
        if word != "given":
            continue
        name, equals, content = rest.partition("=")
        target = place / name.strip()
        target.parent.mkdir(parents=True, exist_ok=True)
        if equals:
            target.write_text(content.strip("\n") + "\n", encoding="utf-8")
        else:
            shutil.copytree(folder(MEASURED), target)


def run(block: Block, place: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a block of commands, or of Python, and return how it ended."""
    give(block, place)
    command = ["bash", "-euo", "pipefail", "-c", block.text]
    if block.language == "python":
        command = [sys.executable, "-c", block.text]
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )
