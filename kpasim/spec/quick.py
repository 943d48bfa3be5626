"""An experiment from the command line, without a file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from kpasim.errors import ExperimentError, Problem
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.spec.quantities import duration_text, seconds

HEY_FLAGS = {
    "-n": ("requests", int),
    "-c": ("concurrency", int),
    "-t": ("timeout", float),
    "-q": ("qps", float),
    "-z": ("duration", str),
}
"""hey's flags that shape the load, and the key of the experiment that each becomes."""

OTHER_FLAGS = {"-m", "-H", "-d", "-D", "-T", "-A", "-a", "-x", "-o", "-h2", "-host", "-cpus", "-U"}
"""hey's flags with a value that say nothing about the load's shape."""
SWITCHES = {"-disable-compression", "-disable-keepalive", "-disable-redirects", "-h2"}


def parse_hey(flags: str) -> dict[str, Any]:
    """The workload that hey's own command line describes.

    Flags that do not shape the load (-m, -H, -d ...), the word hey and the URL are skipped.

    Raises:
        ExperimentError: An unknown flag, or a value that is none.
    """
    workload: dict[str, Any] = {"kind": "hey"}
    problems = []
    try:
        words = shlex.split(flags)
    except ValueError as err:
        raise ExperimentError("--hey", [Problem("", f"{err} in {flags!r}")]) from None
    while words:
        flag = words.pop(0)
        if flag in SWITCHES or not flag.startswith("-"):
            continue
        if flag in OTHER_FLAGS:
            words = words[1:]
            continue
        if flag not in HEY_FLAGS:
            known = ", ".join(HEY_FLAGS)
            problems.append(Problem(flag, f"unknown flag (kpasim understands {known})"))
            continue
        name, kind = HEY_FLAGS[flag]
        if not words:
            problems.append(Problem(flag, "value missing"))
            continue
        value = words.pop(0)
        try:
            number = kind(value)
        except ValueError:
            problems.append(Problem(flag, f"{value!r} is not a number"))
            continue
        workload[name] = f"{number:g}s" if flag == "-t" else number
    if problems:
        raise ExperimentError("--hey", problems)
    return workload


def quick_experiment(
    manifest: str, hey: str, service_time: str | None, cold_start: str | None, *, write_to: str | None = None
) -> tuple[Experiment, str]:
    """An experiment put together from a manifest, hey's flags and two times; and the same as a file's text.

    Args:
        manifest: Path of the Service YAML.
        hey: hey's flags.
        service_time: Time that one request takes; required.
        cold_start: Time from the creation of a pod to its first answer; required.
        write_to: Where the text is going to be written; paths in it are relative to that.

    Raises:
        ExperimentError: Anything wrong with the manifest, the flags or the times.
    """
    problems = []
    for option, value in (("--service-time", service_time), ("--cold-start", cold_start)):
        if value is None:
            problems.append(Problem(option, "missing (such as 11s)"))
            continue
        try:
            seconds(value)
        except ValueError as err:
            problems.append(Problem(option, f"{value!r} {err}"))
    if problems:
        raise ExperimentError("kpasim run", problems)
    base = Path(write_to).parent if write_to else Path()
    path = Path(manifest)
    data = {
        "service": str(path if path.is_absolute() or not write_to else _relative(path, base)),
        "workload": parse_hey(hey),
        "model": {
            "name": path.stem,
            "service-time": duration_text(seconds(service_time)),
            "cold-start": duration_text(seconds(cold_start)),
        },
    }
    return from_mapping(data, base=base, path=path.stem), _yaml(data)


def _relative(path: Path, base: Path) -> Path:
    import os

    return Path(os.path.relpath(path, base))


def _yaml(data: dict[str, Any]) -> str:
    from io import StringIO

    from ruamel.yaml import YAML

    out = StringIO()
    YAML().dump(data, out)
    return "# Written by kpasim run --write-experiment.\n" + out.getvalue()
