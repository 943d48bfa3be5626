"""Time kpasim beside other simulators, under other loads and beside a loop in C: about two minutes.

Needs the extra `bench`, and `cc`. Times are CPU time of one process, medians of a few runs, so that a busy machine
distorts them little; compare ratios rather than seconds. `--write` puts the tables into docs/performance.md and the
README, `--cold` also times a compilation from nothing. `--before` compares with an older version and nothing else, see
docs/performance.md.
"""

import argparse
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import events, lean, shapes
from benchmarks.pages import ROOT, put, table
from benchmarks.shapes import Shape, experiment
from kpasim import load
from kpasim.engines import compiled, lower, reference, sampling
from kpasim.spec.experiment import Experiment
from kpasim.studies.execution.allocation import FIRST_PODS
from kpasim.studies.statistics import statistics as counted

PAGE, PROGRAM = "docs/performance.md", "benchmarks/speed.py"
RATE = 1.0
Row = tuple[str, ...]
PARTS: dict[str, Callable[[], list[Row]]] = {"other loads": shapes.rows, "loop in C": lean.rows, "events": events.rows}
"""Tables of the page beside the first two."""


def cpu_s(work: Callable[[], Any], repeats: int = 5) -> float:
    """Median CPU time of some work [s]."""
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return statistics.median(times)


def poisson(requests: int, rate: float = RATE) -> Experiment:
    """The load of the comparison: the pods are busy for 70 % of the time, as Knative's target says."""
    return Shape(rate, requests, pods_for(requests)).experiment()


class Prepared:
    """An experiment in numbers, with the draws of one replication."""

    def __init__(self, what: Experiment, pods: int = 256) -> None:
        self.params = lower.lower(what)
        self.sampler = sampling.Sampler(what, self.params)
        self.pods = pods
        self.draws = self.draw()

    def draw(self) -> Any:
        """The draws, made once more."""
        return self.sampler.draw_with([0], [self.sampler.times_of(0)], self.pods, self.pods)[0]

    def play(self) -> Any:
        """One replication in the compiled engine, with all tables."""
        return compiled.run(self.params, self.draws)

    def count(self) -> Any:
        """One replication in the compiled engine, counts only."""
        return compiled.count_many(self.params, [self.draws])[0]


def pods_for(requests: int) -> int:
    """Draws for as many pods as that many requests can need."""
    return requests // 8 + 256


# other simulators, each with ten servers at 80 % load, the queue that peers can express


def simpy_queue(requests: int) -> None:
    """A bare M/M/10 queue in SimPy."""
    import simpy

    draw = np.random.default_rng(1)
    gaps, services = draw.exponential(1.0, requests).tolist(), draw.exponential(8.0, requests).tolist()
    env = simpy.Environment()
    servers = simpy.Resource(env, 10)

    def request(service_s: float) -> Any:
        with servers.request() as turn:
            yield turn
            yield env.timeout(service_s)

    def arrivals() -> Any:
        for gap, service_s in zip(gaps, services, strict=True):
            yield env.timeout(gap)
            env.process(request(service_s))

    env.process(arrivals())
    env.run()


def simfaas_run(requests: int) -> None:
    """SimFaaS: instances that expire after a minute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from simfaas.ServerlessSimulator import ServerlessSimulator

        simulator = ServerlessSimulator(
            arrival_rate=1.0,
            warm_service_rate=1 / 8,
            cold_service_rate=1 / 8.5,
            expiration_threshold=60,
            max_time=requests,
            maximum_concurrency=100,
        )
        simulator.generate_trace(debug_print=False, progress=False)


def ciw_queue(requests: int) -> None:
    """An M/M/10 queue in Ciw."""
    import ciw

    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(1.0)],
        service_distributions=[ciw.dists.Exponential(1 / 8)],
        number_of_servers=[10],
    )
    ciw.seed(1)
    ciw.Simulation(network).simulate_until_max_time(requests)


def cimba_s(requests: int) -> float:
    """CPU time of an M/M/10 queue in cimba [s]."""
    call = [sys.executable, str(Path(__file__).with_name("cimba_queue.py")), str(requests)]
    return float(subprocess.run(call, check=True, capture_output=True, text=True).stdout)


def comparison() -> list[Row]:
    """Requests per CPU-second of every simulator, one after the other."""
    size = 200_000
    full = Prepared(poisson(size), pods_for(size))
    sent = len(full.draws.sent)
    small = Prepared(poisson(3000), pods_for(3000))
    full.play()
    full.count()
    for peer in (simpy_queue, simfaas_run, ciw_queue):
        peer(100)  # import what it needs
    speeds = {
        "kpasim, compiled: the whole KPA, all tables": sent / cpu_s(full.play, 9),
        "the same, its random numbers included": sent / cpu_s(lambda: (full.draw(), full.play()), 5),
        "the same, counts only": sent / cpu_s(full.count, 9),
        "counts only, in parts, random numbers included": sent / cpu_s(lambda: statistics_of(poisson(size)), 5),
        "kpasim, reference (SimPy): the same model": len(small.draws.sent)
        / cpu_s(lambda: reference.run(small.params, small.draws), 3),
        f"cimba {version('cimba')}: M/M/10": 400_000 / cimba_s(400_000),
        f"SimPy {version('simpy')}: M/M/10": 20_000 / cpu_s(lambda: simpy_queue(20_000), 3),
        f"SimFaaS {version('simfaas')}: its own platform": 10_000 / cpu_s(lambda: simfaas_run(10_000), 3),
        f"Ciw {version('ciw')}: M/M/10": 10_000 / cpu_s(lambda: ciw_queue(10_000), 3),
    }
    ours = next(iter(speeds.values()))
    return [
        ("simulator", "requests per CPU-second", "kpasim is faster by"),
        *((name, f"{speed:,.0f}", f"{ours / speed:.1f}") for name, speed in speeds.items()),
    ]


def version(package: str) -> str:
    """Version of an installed package."""
    return importlib.metadata.version(package)


def command(*arguments: str, cache: str | None = None, code: str | None = None) -> float:
    """CPU time of a process with all its threads [s], median of three."""
    call = [sys.executable, "-c", code or "from kpasim.cli.main import main; main()", *arguments]
    environment = {**os.environ, **({"KPASIM_CACHE_DIR": cache} if cache else {})}
    times = []
    for _ in range(1 if cache else 3):
        before = os.times()
        subprocess.run(
            call, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd=ROOT
        )
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return statistics.median(times)


def clock_s(*arguments: str, fresh: bool = False) -> float:
    """Time on the clock until `kpasim` has answered [s], median of three; as if for the first time if ``fresh``."""
    times = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "KPASIM_BACKGROUND": "0"}
            if fresh:
                environment["KPASIM_CACHE_DIR"] = folder
            begun = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "kpasim", *(one.format(folder=folder) for one in arguments)],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=ROOT,
            )
            times.append(time.perf_counter() - begun)
    return statistics.median(times)


def memory(work: Callable[[], Any]) -> tuple[int, int]:
    """Memory that some work takes [bytes]: at most while it lasts, and for what it returns."""
    work()
    tracemalloc.start()
    result = work()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del result
    return peak, kept


def bytes_per_request(rate: float) -> tuple[float, float]:
    """Memory with all tables that each more request takes [bytes]: at most while it is simulated, and afterwards."""
    runs = [Prepared(poisson(size, rate), pods_for(150_000)) for size in (50_000, 150_000)]
    (peak, kept), (more_peak, more_kept) = (memory(run.play) for run in runs)
    more = len(runs[1].draws.sent) - len(runs[0].draws.sent)
    return (more_peak - peak) / more, (more_kept - kept) / more


def bytes_per_counted_request() -> float:
    """Memory with counts only that each more request takes, its random numbers included [bytes]."""
    short, long = (memory(partial(statistics_of, poisson(size)))[0] for size in (200_000, 1_000_000))
    return (long - short) / 800_000


def statistics_of(what: Experiment) -> Any:
    """One replication, from its file to its figures, counts only."""
    return counted(what, replications=1, threads=1).figures


def goals(cold: bool) -> list[Row]:
    """What the project promises, and what was measured."""
    rows: list[Row] = [("goal", "at most", "measured")]

    def row(name: str, most: float, value: float, unit: str, digits: int = 2) -> None:
        mark = "" if value <= most else " (missed)"
        rows.append((name, f"{most:g} {unit}".strip(), f"{value:.{digits}f} {unit}".strip() + mark))

    quiet = {"kind": "steps", "phases": [{"rate": 0, "duration": "24h"}, {"rate": 1, "duration": "1s"}]}
    warm = Prepared(experiment({**quiet, "arrivals": "constant"}, annotations={"min-scale": "1"}, horizon="24h"))
    row("a day without a request, one pod warm", 20, cpu_s(warm.play) * 1e3, "ms")
    zero = Prepared(experiment({**quiet, "arrivals": "constant"}, start="zero", horizon="24h"))
    row("a day without a request, no pod", 1, cpu_s(zero.play, 9) * 1e3, "ms")
    trace = load(ROOT / "experiments" / "production-trace.yaml").with_settings({"workload.duration": "576h"})
    week = Prepared(trace, 1 << 15)
    row(f"the production trace, 24 days, {len(week.draws.sent):,} requests", 0.5, cpu_s(week.play), "s")
    hey = Prepared(load(ROOT / "experiments" / "hey50x5.yaml"))
    many = hey.sampler.draw_many(range(64), pods=FIRST_PODS)
    row("a replication of hey50x5", 0.5, cpu_s(lambda: compiled.run_many(hey.params, many)) / 64 * 1e3, "ms", 3)
    hey_file = str(ROOT / "experiments" / "hey50x5.yaml")
    row("`kpasim run hey50x5.yaml -n 1000`, start-up included", 2, command("run", hey_file, "-n", "1000"), "s")
    row("`kpasim run hey50x5.yaml`", 1.5, command("run", hey_file), "s")
    row("`kpasim --help`", 0.3, command("--help"), "s")
    row("the first `kpasim run hey50x5.yaml` on a machine, on the clock", 5, clock_s("run", hey_file, fresh=True), "s")
    sweep = ("sweep", str(ROOT / "experiments" / "cost-vs-latency.yaml"), "--out", "{folder}")
    row("`kpasim sweep cost-vs-latency.yaml`: 22,800 replications, on the clock", 30, clock_s(*sweep), "s", 1)
    sizes = [Prepared(poisson(size), pods_for(size)) for size in (50_000, 500_000)]
    # Turn about, so that both meet the same neighbours on a shared machine.
    turns = [[cpu_s(one.play, 1) / len(one.draws.sent) for one in sizes] for _ in range(9)]
    short, long = (statistics.median(column) for column in zip(*turns, strict=True))
    row("10 times the requests: times the time", 11, 10 * long / short, "", 1)
    requests = sizes[0].play().requests
    row("the table of requests, each", 96, requests.nbytes / len(requests), "bytes", 0)
    for rate, load_of in ((RATE, "one a second"), (10 * RATE, "ten a second")):
        peak, kept = bytes_per_request(rate)
        row(f"all tables, each request more at {load_of}", 96, kept, "bytes", 0)
        rows.append(("the same, most while it runs", "", f"{peak:.0f} bytes"))
    row("counts only, each request more, random numbers included", 1, bytes_per_counted_request(), "bytes", 1)
    if cold:
        with tempfile.TemporaryDirectory() as folder:
            code = "from kpasim.engines.compiled import machine; machine.ready()"
            row("compiling from nothing", 60, command(cache=folder, code=code), "s", 0)
    return rows


def machine() -> str:
    """What was measured on."""
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    versions = ", ".join(f"{name} {version(name)}" for name in ("numba", "numpy"))
    load_1 = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{model}, {os.cpu_count()} cores{load_1}; Python {platform.python_version()}, {versions}."


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


PAIRS = 15
"""Runs of each version: single pairs differ by a third on a rented machine."""


def compared(before: Path, limit_s: float) -> list[Row]:
    """CPU time of a request in an older version and in this one, turn about; the ratio is the median of pairs.

    Args:
        before: Sources of the older version.
        limit_s: How long it may take for one load, on the clock.
    """

    def us(name: str, tree: Path, most_s: float | None = None) -> float:
        call = [sys.executable, str(ROOT / "benchmarks" / "shapes.py"), name]
        environment = {**os.environ, "PYTHONPATH": str(tree.resolve())}
        done = subprocess.run(call, check=False, capture_output=True, text=True, env=environment, timeout=most_s)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no reason given (see docs/performance.md)"])[-1]
            raise SystemExit(f"{tree}: {name}: ended with {done.returncode}: {why}")
        return float(done.stdout)

    us(lean.NAMES[0], before)  # which compiles it
    rows: list[Row] = [("load", "before", "now", "times as fast")]
    for name in lean.NAMES:
        try:
            pairs = [(us(name, before, limit_s), us(name, ROOT)) for _ in range(PAIRS)]
        except subprocess.TimeoutExpired:
            rows.append((name, f"not finished in {limit_s:g} s", f"{us(name, ROOT):.3f} µs", ""))
            continue
        old, new = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(one / other for one, other in pairs)
        rows.append((name, f"{old:.3f} µs", f"{new:.3f} µs", f"{ratio:.2f}"))
    return rows


def main() -> None:
    """Measure, print, and write the pages if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md and the README")
    parser.add_argument("--cold", action="store_true", help="also time a compilation from nothing")
    parser.add_argument("--before", type=Path, help="compare with the version in this folder, and nothing else")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that it may take for a load (default: 300)")
    given = parser.parse_args()

    def shown(rows: Sequence[Row]) -> str:
        text = table(rows[0], rows[1:], to_the_right=True)
        print(text, end="\n\n", flush=True)
        return text

    if given.before:
        text = f"{machine()}\n\n{shown(compared(given.before, given.limit))}"
        if given.write:
            put(PAGE, f"{PROGRAM}, earlier version", text)
        return
    print(machine(), end="\n\n")
    speeds = shown(comparison())
    first = "\n\n".join([machine(), speeds, shown(goals(given.cold))])
    others = {part: shown(rows()) for part, rows in PARTS.items()}
    if given.write:
        put("README.md", PROGRAM, speeds)
        put(PAGE, PROGRAM, first)
        for part, text in others.items():
            put(PAGE, f"{PROGRAM}, {part}", text)


if __name__ == "__main__":
    main()
