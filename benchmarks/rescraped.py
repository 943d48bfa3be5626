"""Backtests of simulated runs as Prometheus would have scraped them, every 5, 15, 30 and 60 s.

    python benchmarks/rescraped.py --write

prints the table of docs/fidelity.md and, with --write, replaces it there. The truth is a replication of an experiment;
from its series the backtest has to predict it, so that only what scrapes leave open is missing, and each interval of
90 % should hold nine of ten values.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pages import put, table
from kpasim.records.prometheus import simulated
from kpasim.records.prometheus.observation import Observation, Series
from kpasim.records.prometheus.passages import INVOCATIONS
from kpasim.results.tables import Tables
from kpasim.spec.experiment import from_mapping
from kpasim.studies.backtest.compare import backtest
from kpasim.studies.backtest.pods import gauge
from kpasim.studies.backtest.prepare import Given, prepare
from kpasim.studies.backtest.waits import narrowed
from kpasim.studies.run import simulate
from tests import observing

PAGE, PROGRAM = "docs/fidelity.md", "benchmarks/rescraped.py"
STEPS_S = (5.0, 15.0, 30.0, 60.0)
LENGTH_S, END_S, LEAD_S = 600.0, 660.0, 60.0
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bounds of queue-proxy's histogram."""
REPLICATIONS = 40
Floats = NDArray[np.float64]
MIN, MAX = "autoscaling.knative.dev/min-scale", "autoscaling.knative.dev/max-scale"


def _phases(*rates: float) -> dict[str, Any]:
    return {"kind": "steps", "phases": [{"rate": rate, "duration": f"{LENGTH_S / len(rates)}s"} for rate in rates]}


def _load(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "duration": f"{LENGTH_S:g}s", **fields}


CLOSED = {"timeout": "0s"}
LOADS: dict[str, dict[str, Any]] = {
    "poisson-slow": _load("poisson", rate=0.3),
    "poisson": _load("poisson", rate=1.5),
    "poisson-fast": _load("poisson", rate=4),
    "constant": _load("constant", rate=1),
    "steps": _phases(0.5, 3.0, 1.0),
    "staircase": _phases(0.3, 1.0, 2.0, 4.0, 2.0, 1.0),
    "on-off": _phases(2.0, 0.0, 3.0, 0.0, 1.0),
    "bursts": _load("bursts", low=0.3, high=4, **{"low-for": "90s", "high-for": "25s"}),
    "bursts-short": _load("bursts", low=0.1, high=6, **{"low-for": "60s", "high-for": "6s"}),
    "diurnal": _load("diurnal", mean=1.5, amplitude=0.8, period="300s"),
    "ramp": {"kind": "ramp", "from": 0.2, "to": 4, "duration": f"{LENGTH_S:g}s"},
    "closed": {**_load("hey", concurrency=5), **CLOSED},
    "closed-many": {**_load("hey", concurrency=12), **CLOSED},
}
SERVICES: dict[str, dict[str, Any]] = {
    "cc1": {"containerConcurrency": 1},
    "min-scale": {"containerConcurrency": 1, MIN: "3"},
    "cc4": {"containerConcurrency": 4},
    "rps": {
        "containerConcurrency": 8,
        "autoscaling.knative.dev/metric": "rps",
        "autoscaling.knative.dev/target": "2",
    },
}
SERVICE_TIME = {"distribution": "lognormal", "mean": "1.2s", "cv": 0.4}
COLD_START = {"distribution": "lognormal", "mean": "8s", "cv": 0.15}
CASES = [
    *((load, "cc1") for load in LOADS),
    *((load, "min-scale") for load in ("poisson", "steps", "bursts")),
    *((load, "cc4") for load in ("poisson-fast", "staircase", "bursts")),
    *((load, "rps") for load in ("poisson-fast", "steps", "ramp")),
]


class Row(NamedTuple):
    """A backtest of a simulated run.

    Attributes:
        name: Load and service.
        pod_seconds: Predicted less true, as a share of the true value.
        inside: Whether the 90 % interval holds the true pod-seconds.
        latency: As ``pod_seconds``, of the mean latency.
        bins: Bins of pods and concurrency, and those whose bands hold what was scraped.
    """

    name: str
    pod_seconds: float
    inside: bool
    latency: float
    bins: tuple[int, int]


def scraped(tables: Tables, step_s: float, random: np.random.Generator) -> Observation:
    """A run as scrapes find it, from ``LEAD_S`` before its load on, each target at a phase of its own."""

    def times_s(begin_s: float, end_s: float) -> Floats:
        at_s = np.round(np.arange(-LEAD_S + random.random() * step_s, END_S, step_s), 3)
        return at_s[(at_s >= begin_s) & (at_s <= end_s)]

    at_s = times_s(-LEAD_S, END_S)
    gauges = simulated.gauges(tables, at_s)
    parts = [observing.series(f"kn_revision_{name}", "autoscaler", at_s, values) for name, values in gauges.items()]
    requests, pods = tables.requests, tables.pods
    ends_s = requests["start_s"] + np.nan_to_num(requests["latency_s"], nan=np.inf)
    parts += observing.activator(requests["start_s"], ends_s, times_s(-LEAD_S, END_S), "activator")
    for pod, begin_s, end_s in zip(
        pods["pod"], pods["containers_s"], np.nan_to_num(pods["gone_s"], nan=END_S), strict=True
    ):
        seen_s = times_s(begin_s, end_s)
        if len(seen_s):
            own = (requests["pod"] == pod) & ~np.isnan(requests["server_end_s"])
            parts += _queue_proxy(str(pod), begin_s, seen_s, requests["server_end_s"][own], requests["service_s"][own])
    found = observing.observation(parts, END_S, step_s)
    return replace(found, begin_s=min(one.times_s[0] for one in found.series))


def _queue_proxy(pod: str, begin_s: float, seen_s: Floats, ends_s: Floats, service_s: Floats) -> list[Series]:
    """What scrapes of a pod say of its requests; a series appears with its first one."""
    target: dict[str, Any] = {"instance": pod, "pod": pod}
    started_s = np.full(len(seen_s), observing.BEGIN_S + begin_s)
    found = [observing.series("process_start_time_seconds", "queue-proxy", seen_s, started_s, **target)]
    known = seen_s >= np.min(ends_s, initial=np.inf)
    for part, labels, values in simulated.histogram(ends_s, service_s, seen_s, BOUNDS_S):
        if known.any():
            found.append(
                observing.series(INVOCATIONS + part, "queue-proxy", seen_s[known], values[known], **target, **labels)
            )
    return found


def row(load: str, service: str, step_s: float, seed: int, place: Path) -> Row:
    """The backtest of a run at a scrape interval; the seed is that of the run."""
    fields = dict(SERVICES[service])
    spec = {"containerConcurrency": fields.pop("containerConcurrency"), "containers": [{"image": "painter"}]}
    template = {"metadata": {"annotations": {MIN: "1", MAX: "12", **fields}}, "spec": spec}
    head = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "painter"}}
    manifest = place / f"{service}.yaml"
    manifest.write_text(json.dumps({**head, "spec": {"template": template}}))
    served = {"time": SERVICE_TIME, "slots": spec["containerConcurrency"]}
    model = {"name": "painter", "service-time": served, "cold-start": COLD_START}
    data = {"service": str(manifest), "workload": LOADS[load], "model": model, "horizon": f"{END_S:g}s", "seed": seed}
    tables = simulate(from_mapping(data, base=".", path=load), replications=1).tables()
    observation = scraped(tables, step_s, np.random.default_rng(seed))
    observation.write(place / "observed")
    prepared = prepare(
        observation, place / "observed", Given(str(manifest), cold_start="8s" if _unseen(tables) else None)
    )
    found = backtest(narrowed(prepared), REPLICATIONS)
    figures = {one.name: one for one in found.figures}
    pods = figures["pod_seconds"]
    at_s, _ = gauge(observation, "kn_revision_pods_count")
    compared_s = at_s[at_s >= max(found.settled_s, found.edges_s[0])][[0, -1]] - observing.BEGIN_S
    ready_s, asked_s = (np.nan_to_num(tables.pods[name], nan=np.inf) for name in ("ready_s", "delete_requested_s"))
    lasted_s = np.minimum(asked_s, compared_s[1]) - np.maximum(ready_s, compared_s[0])
    true_s = float(np.clip(lasted_s, 0.0, None).sum())
    held = np.concatenate([found.bands[name].holds for name in ("pods", "concurrency")])
    return Row(
        f"{load} {service}",
        pods.predicted / true_s - 1.0,
        pods.interval[0] <= true_s <= pods.interval[1],
        figures["mean_latency_s"].predicted / float(np.nanmean(tables.requests["latency_s"])) - 1.0,
        (len(held), int(held.sum())),
    )


def _unseen(tables: Tables) -> bool:
    """Whether no pod started after the load began, so that nothing tells how long that takes."""
    return not bool((tables.pods["containers_s"] > 0.0).any())


def rows(step_s: float, runs: int) -> list[Row]:
    """The backtests at a scrape interval, so many runs of each case."""
    with tempfile.TemporaryDirectory() as place:
        return [row(load, service, step_s, 1000 + seed, Path(place)) for load, service in CASES for seed in range(runs)]


def overview(by_step: dict[float, list[Row]]) -> str:
    """A line for each scrape interval."""

    def share(values: Iterable[bool]) -> str:
        return f"{100 * statistics.mean(values):.0f} %"

    lines = []
    for step_s, found in by_step.items():
        bins, held = np.sum([one.bins for one in found], axis=0).tolist()
        lines.append(
            [
                f"{step_s:g} s",
                f"{100 * held / bins:.0f} % of {bins}",
                share(one.inside for one in found),
                f"{100 * statistics.median(abs(one.pod_seconds) for one in found):.1f} %",
                f"{100 * statistics.mean(one.pod_seconds for one in found):+.1f} %",
                f"{100 * statistics.median(abs(one.latency) for one in found):.1f} %",
            ]
        )
    heads = (
        "scrapes every", "bins in the 90 % band", "pod-seconds inside the predicted 90 % interval",
        "pod-seconds, median error", "mean error", "mean latency, median error",
    )  # fmt: skip
    return table(heads, lines)


def main() -> None:
    """Print the table, and put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/fidelity.md")
    parser.add_argument("--runs", type=int, default=1, help="runs of each case")
    parser.add_argument("--each", action="store_true", help="print every run as well")
    options = parser.parse_args()
    by_step = {step_s: rows(step_s, options.runs) for step_s in STEPS_S}
    if options.each:
        for step_s, found in by_step.items():
            for one in found:
                print(f"{step_s:g} s {one}")
    runs = "1 run" if options.runs == 1 else f"{options.runs} runs"
    made = f"{len(CASES)} experiments, {runs} of each, {REPLICATIONS} replications of each run."
    text = f"{made}\n\n{overview(by_step)}"
    print(text)
    if options.write:
        put(PAGE, PROGRAM, text)


if __name__ == "__main__":
    main()
