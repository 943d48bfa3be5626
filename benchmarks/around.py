"""The work around the engine: long runs, sweeps, other processes, calibration, tuning, start-up.

`python benchmarks/around.py [NAME ...]` prints a row for each goal, some minutes for all (names: long, sweep, many,
backends, check, calibrate, tune, first); `--write` puts the rows of all into docs/performance.md. CPU time is that of a
process and its children, with Python's bytecode on disk as an installed package has it; rows of `backends` are on the
clock. Beside an older version:

    git worktree add ../before VERSION
    PYTHONPATH=../before python benchmarks/around.py check tune
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks.pages import ROOT, put, table

PAGE, PROGRAM = "docs/performance.md", "benchmarks/around.py"
HEADLINE = str(ROOT / "experiments" / "hey50x5.yaml")
REPORT = str(ROOT / "experiments" / "data" / "hey-50x5.txt")
LONG = """\
service:
  apiVersion: serving.knative.dev/v1
  kind: Service
  metadata: {{name: long}}
  spec: {{template: {{spec: {{containerConcurrency: 1, containers: [{{image: example.com/model}}]}}}}}}
workload: {{kind: poisson, rate: {rate}, duration: {duration}s, timeout: 0s}}
model:
  service-time: {{distribution: exponential, mean: 10s}}
  cold-start: 30s
cluster: {{gpus-per-pod: 1, instance-types: [{{name: one, price-per-hour: 2, currency: USD}}]}}
replications: 1
"""
LONGEST = 9_900_000
"""Requests, on average, of a long run: with tables, ten million at most are simulated."""
AXES = """\
experiment: {experiment}
axes:
  service.annotations.min-scale: [0, 1, 2, 3, 4]
  service.annotations.max-scale: [1, 2, 3, 4, 5, 6, 8, 10]
  service.annotations.target-utilization-percentage: [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
  service.annotations.window: [{windows}]
  service.annotations.scale-down-delay: [0s, 30s, 1m, 2m]
replications: {replications}
horizon: 30m
"""
WINDOWS = "15s, 20s, 30s, 40s, 1m, 90s, 2m, 3m, 4m, 5m"
BLOCKS = """\
experiment: {experiment}
axes: {{service.annotations.target-utilization-percentage: [40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95]}}
replications: 1
"""
Row = tuple[str, ...]


class Used(NamedTuple):
    """What a command took: CPU time of its process and of those it waited for [s], and its memory [MB]."""

    cpu_s: float
    memory_mb: float


def command(*arguments: str, **environment: str) -> Used:
    """What `kpasim ARGUMENTS` takes."""
    # Without -P the working folder, which may be this checkout, would come before PYTHONPATH.
    call = [sys.executable, "-P", "-m", "kpasim", *arguments]
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**own, "PYTHONPATH": path, **environment}
    child = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit status {child.returncode}")
    return Used(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def median_s(*arguments: str, repeats: int = 5) -> float:
    """Median CPU time of a command [s]."""
    return statistics.median(command(*arguments).cpu_s for _ in range(repeats))


def row(name: str, most: float, value: float, unit: str, digits: int = 2) -> Row:
    """A row of the table; a goal that is missed says so."""
    mark = "" if value <= most else " (missed)"
    return (name, f"{most:g} {unit}".strip(), f"{value:,.{digits}f} {unit}".strip() + mark)


def long(folder: Path) -> Iterator[Row]:
    """Ten million requests, at two rates."""
    for rate, words in ((1, "one a second"), (10, "ten a second")):
        file = folder / f"long-{rate}.yaml"
        file.write_text(LONG.format(rate=rate, duration=LONGEST // rate))
        for option, name, most in ((["--counts-only"], "counts only", (8, 300)), ([], "all tables", (20, 1500))):
            used = command("run", str(file), *option)
            yield row(f"`kpasim run` of ten million requests at {words}, {name}", most[0], used.cpu_s, "s", 1)
            yield row("the same, memory", most[1], used.memory_mb, "MB", 0)


def sweep(folder: Path) -> Iterator[Row]:
    """What a replication and a setting cost beyond what the engine takes, in one process."""
    from kpasim.engines import compiled
    from kpasim.studies.sweep import sweep as sweep_of

    inside = [0.0]
    engine = compiled.run_many

    def timed(*arguments: Any) -> Any:
        begun = time.process_time()
        try:
            return engine(*arguments)
        finally:
            inside[0] += time.process_time() - begun

    file = folder / "sweep.yaml"
    costs = {}
    with patch.object(compiled, "run_many", timed):
        for replications in (4, 4, 20):  # the first one imports
            file.write_text(AXES.format(experiment=HEADLINE, windows="1m", replications=replications))
            inside[0], begun = 0.0, time.process_time()
            result = sweep_of(file, processes=1)
            result.write(folder)
            costs[replications] = time.process_time() - begun - inside[0]
    settings = len(result.settings)
    each = (costs[20] - costs[4]) / (16 * settings)
    yield row("a replication of a sweep, beyond the engine's own time", 0.25, each * 1e3, "ms")
    yield row("a setting of a sweep, likewise", 2, (costs[4] / settings - 4 * each) * 1e3, "ms")


def many(folder: Path) -> Iterator[Row]:
    """A sweep of sixteen thousand settings."""
    file = folder / "many.yaml"
    file.write_text(AXES.format(experiment=HEADLINE, windows=WINDOWS, replications=4))
    used = command("sweep", str(file), "--out", str(folder / "many"))
    yield row("`kpasim sweep` of 16,000 settings, 4 replications of each", 60, used.cpu_s, "s", 1)


def backends(folder: Path) -> Iterator[Row]:
    """A dozen blocks of more than a second over processes of this machine, by joblib, Dask and Ray.

    The whole with the start of the workers, and what there is from the first finished block to the last.
    """
    from kpasim.errors import RunError
    from kpasim.studies.sweep import sweep as sweep_of

    experiment, file = folder / "block.yaml", folder / "blocks.yaml"
    experiment.write_text(LONG.format(rate=1, duration=2_000_000))
    file.write_text(BLOCKS.format(experiment=experiment))
    times: dict[str, list[tuple[float, float]]] = {}
    rows: dict[str, Any] = {}
    for _ in range(3):
        for backend in ("local", "dask", "ray"):
            finished = [time.perf_counter()]
            try:
                found = sweep_of(
                    file, backend=backend, processes=2, progress=lambda *_, to=finished: to.append(time.perf_counter())
                )
            except RunError as error:
                rows[backend] = str(error)
                continue
            # The first call says that nothing is finished yet.
            times.setdefault(backend, []).append((finished[-1] - finished[0], finished[-1] - finished[2]))
            rows[backend] = found.figures
    for backend, name in (("dask", "Dask"), ("ray", "Ray")):
        title = f"12 blocks of a second and more in {name}: times the time in joblib"
        if backend not in times:
            yield (title, "1.3", rows[backend])
            continue
        for figure, values in rows["local"].items():
            np.testing.assert_array_equal(rows[backend][figure], values, err_msg=figure)
        whole, steady = (
            statistics.median(one[part] for one in times[backend])
            / statistics.median(one[part] for one in times["local"])
            for part in (0, 1)
        )
        yield row(title, 1.3, whole, "")
        yield row("the same, from the first finished block to the last", 1.3, steady, "")


def check(_: Path) -> Iterator[Row]:
    """Checking an experiment."""
    yield row("`kpasim check hey50x5.yaml`", 0.4, median_s("check", HEADLINE, repeats=9), "s")


def calibrate(_: Path) -> Iterator[Row]:
    """Fitting a model to hey's report."""
    used_s = median_s("calibrate", REPORT, "--experiment", HEADLINE, repeats=1)
    yield row("`kpasim calibrate hey-50x5.txt`, effort 1", 20, used_s, "s", 1)


def tune(_: Path) -> Iterator[Row]:
    """Finding settings that meet SLOs."""
    arguments = ("tune", HEADLINE, "--slo", "p95<=30s", "--slo", "errors<=0.1%", "--budget", "5000")
    yield row("`kpasim tune hey50x5.yaml`, budget 5,000", 4, median_s(*arguments, repeats=3), "s", 1)


def first(folder: Path) -> Iterator[Row]:
    """A first run with the code that a package carries, beside a later one."""
    from kpasim.engines.compiled import cache, machine

    had = cache.shipped_file().exists()
    if not had:
        machine.ship()
    try:
        run = ("run", HEADLINE, "--engine", "compiled")
        later = median_s(*run)
        fresh = statistics.median(
            command(*run, KPASIM_CACHE_DIR=str(folder / f"cache-{number}")).cpu_s for number in range(5)
        )
    finally:
        if not had:
            shutil.rmtree(cache.shipped_file().parent)
    yield row("the first run of an installed package, more than a later one", 5, max(0.0, fresh - later), "s")


WORK = {one.__name__: one for one in (long, sweep, many, backends, check, calibrate, tune, first)}


def main() -> None:
    """Measure, print, and write the page if asked."""
    asked = [word for word in sys.argv[1:] if not word.startswith("-")] or list(WORK)
    command("run", HEADLINE, "--engine", "compiled")  # compiles, where that is to be done
    rows: list[Row] = []
    for name in asked:
        with tempfile.TemporaryDirectory() as folder:
            for one in WORK[name](Path(folder)):
                print(*one, sep="  ", flush=True)
                rows.append(one)
    if "--write" in sys.argv and asked == [*WORK]:
        put(PAGE, PROGRAM, table(("goal", "at most", "measured"), rows, to_the_right=True))


if __name__ == "__main__":
    main()
