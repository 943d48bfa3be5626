"""Backtests of recorded runs of the real autoscaler at scrapes of 5, 15, 30 and 60 s, beside the truth of the runs.

    python benchmarks/backtest.py --write

prints the tables of docs/fidelity.md and, with --write, replaces them there. Nothing here is a timed test.
"""

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pages import put, table
from kpasim.errors import RunError
from kpasim.records.prometheus.passages import traffic
from kpasim.studies.backtest.compare import Backtest, Figure, backtest
from kpasim.studies.backtest.pods import gauge, pod_seconds
from kpasim.studies.backtest.prepare import Given, prepare
from kpasim.studies.backtest.waits import narrowed
from tests import observing, prometheus_runs

PAGE, PROGRAM = "docs/fidelity.md", "benchmarks/backtest.py"
STEPS = {5: 1, 15: 3, 30: 6, 60: 12}
"""Scrape interval [s], and which of the scrapes of 5 s are left."""
REPLICATIONS = 40
NEAR_POD_SECONDS, NEAR_LATENCY = 0.05, 0.10


@dataclass(frozen=True)
class Row:
    """A backtest beside the truth.

    Attributes:
        name: Of the run.
        pod_seconds: Predicted less true, as a share of the true value.
        latency: The same of the mean latency.
        peak: Predicted and true peak pods.
        coverage: Share of bins whose bands hold the recorded pods and concurrency.
        arrivals: Share of scrape intervals with the true number of arrivals; ``None`` with several activators or none.
        held: Whether the recorded pod-seconds' interval holds the true ones.
        inside: Whether the predicted pod-seconds' 90 % interval does.
        exact: Chance of an exact model to be near in pod-seconds, mean latency and peak pods.
        good: The verdict.
    """

    name: str
    pod_seconds: float
    latency: float
    peak: tuple[int, int]
    coverage: float
    arrivals: float | None
    held: bool
    inside: bool
    exact: tuple[float, float, float]
    good: bool


def row(name: str, step_s: int, replications: int, within: str, place: Path) -> Row:
    """The backtest of a run at a scrape interval."""
    folder = prometheus_runs.folder(name)
    run, summary = (json.loads((folder / file).read_text()) for file in ("run.json", "summary.json"))
    data = {key: str(value) for key, value in run.get("config-autoscaler", {}).items()}
    path = place / f"{name}.yaml"
    head: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config-autoscaler"}}
    path.write_text(json.dumps({**head, "data": data}))
    observation = observing.thinned(prometheus_runs.observation(name), STEPS[step_s])
    observed = place / f"{name}-{step_s}"
    observation.write(observed)
    given = Given(str(folder / "service.yaml"), (str(path),), within=within, replications=replications)
    try:
        prepared = prepare(observation, observed, given)
    except RunError:
        # No scrape saw a pod start: the user has to say how long that takes.
        prepared = prepare(observation, observed, replace(given, cold_start=f"{run['container']['ready_after_s']}s"))
    prepared = narrowed(prepared)
    found = backtest(prepared, replications)
    figures = {one.name: one for one in found.figures}
    pods, latency, peak = figures["pod_seconds"], figures["mean_latency_s"], figures["peak_pods"]
    requests = np.genfromtxt(folder / "requests.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    true_s, held = _true_pod_seconds(found, folder, run["t0_unix_s"])
    return Row(
        name,
        pods.predicted / true_s - 1.0,
        latency.predicted / float(np.nanmean(requests["latency_s"])) - 1.0,
        (round(float(np.median(peak.drawn))), summary["pods_max"]),
        found.coverage,
        _arrivals(found, requests["start_s"] + run["t0_unix_s"]),
        held,
        pods.interval[0] <= true_s <= pods.interval[1],
        (_exact(pods, NEAR_POD_SECONDS), _exact(latency, NEAR_LATENCY), _exact_peak(peak)),
        found.good,
    )


def _true_pod_seconds(found: Backtest, folder: Path, t0_s: float) -> tuple[float, bool]:
    """Pod-seconds from Ready to deletion in the compared window, and whether the recorded interval holds them."""
    times_s, _ = gauge(found.prepared.observation, "kn_revision_pods_count")
    times_s = times_s[times_s >= max(found.settled_s, found.edges_s[0])]
    begin_s, end_s = float(times_s[0]), float(times_s[-1])
    pods = np.genfromtxt(folder / "pods.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    ready = np.where(np.isnan(pods["ready_s"]), np.inf, pods["ready_s"]) + t0_s
    gone = np.where(np.isnan(pods["delete_requested_s"]), np.inf, pods["delete_requested_s"]) + t0_s
    true_s = float(np.clip(np.minimum(gone, end_s) - np.maximum(ready, begin_s), 0.0, None).sum())
    known = pod_seconds(found.prepared.observation, "kn_revision_pods_count", begin_s, end_s)
    return true_s, known.low <= true_s <= known.high


def _arrivals(found: Backtest, begins_s: np.ndarray[Any, Any]) -> float | None:
    passages = traffic(found.prepared.observation).passages
    if len(passages) != 1 or passages[0].began is None:
        return None
    ordered = np.sort(begins_s)
    true = np.searchsorted(ordered, passages[0].end_s) - np.searchsorted(ordered, passages[0].begin_s)
    return float((true == passages[0].began).mean())


def _exact(figure: Figure, near: float) -> float:
    """How often a replication taken for the truth is predicted as nearly by the others."""
    drawn = figure.drawn
    others = (drawn.sum() - drawn) / (len(drawn) - 1)
    return float((np.abs(others / drawn - 1.0) <= near).mean())


def _exact_peak(figure: Figure) -> float:
    return float((np.median(figure.drawn) == figure.drawn).mean())


def rows(step_s: int, replications: int, within: str) -> list[Row]:
    """The backtests of all runs at a scrape interval."""
    with tempfile.TemporaryDirectory() as place:
        return [row(name, step_s, replications, within, Path(place)) for name in prometheus_runs.names()]


def overview(by_step: dict[int, list[Row]]) -> str:
    """A line for each scrape interval."""

    def share(values: list[bool]) -> str:
        return f"{100 * statistics.mean(values):.0f} %"

    def bound(found: list[Row], place: int) -> str:
        return f"{100 * statistics.mean(one.exact[place] for one in found):.0f} %"

    lines = []
    for step_s, found in by_step.items():
        known = [one.arrivals for one in found if one.arrivals is not None]
        lines.append(
            [
                f"{step_s} s",
                f"{100 * statistics.mean(known):.0f} %",
                share([one.held for one in found]),
                f"{100 * statistics.median(abs(one.pod_seconds) for one in found):.1f} %",
                f"{share([abs(one.pod_seconds) <= NEAR_POD_SECONDS for one in found])} ({bound(found, 0)})",
                share([one.inside for one in found]),
                f"{100 * statistics.median(abs(one.latency) for one in found):.1f} %",
                f"{share([abs(one.latency) <= NEAR_LATENCY for one in found])} ({bound(found, 1)})",
                f"{share([one.peak[0] == one.peak[1] for one in found])} ({bound(found, 2)})",
                f"{100 * statistics.mean(one.coverage for one in found if np.isfinite(one.coverage)):.0f} %",
                share([one.good for one in found]),
            ]
        )
    heads = (
        "scrapes every", "arrivals exact", "pod-seconds interval holds the truth", "pod-seconds, median error",
        "within 5 %", "inside the predicted 90 % interval", "mean latency, median error", "within 10 %",
        "peak pods exact", "bins in the 90 % band", "predicted well enough",
    )  # fmt: skip
    return table(heads, lines)


def by_run(found: list[Row]) -> str:
    """A line for each run."""
    lines = [
        [
            f"`{one.name}`",
            f"{100 * one.pod_seconds:+.1f} % ({100 * one.exact[0]:.0f} %)",
            f"{100 * one.latency:+.1f} % ({100 * one.exact[1]:.0f} %)",
            f"{one.peak[0]} / {one.peak[1]}",
            f"{100 * one.coverage:.0f} %",
            "yes" if one.good else "no",
        ]
        for one in found
    ]
    heads = ("run", "pod-seconds", "mean latency", "peak pods, predicted / true", "bins in the band", "well enough")
    return table(heads, lines)


def long_window(days: float, replications: int) -> str:
    """Time that the backtest of a long window takes: 20 requests a second on the mean with days and nights."""
    random = np.random.default_rng(1)
    end_s = 86_400.0 * days
    begins_s = np.sort(random.random(random.poisson(40.0 * end_s)) * end_s)
    kept = random.random(len(begins_s)) < 0.5 * (1.0 + np.sin(2.0 * np.pi * begins_s / 86_400.0))
    begins_s = begins_s[kept]
    ends_s = begins_s + random.lognormal(np.log(0.95), 0.3, len(begins_s))
    scrapes_s = np.arange(7.0, end_s, 15.0)
    parts = observing.activator(begins_s, ends_s, scrapes_s)
    busy = np.searchsorted(begins_s, scrapes_s) - np.searchsorted(np.sort(ends_s), scrapes_s)
    pods = np.maximum(1.0, np.ceil(np.convolve(busy, np.ones(4) / 4.0, "same") / 0.7))
    for metric, values in (
        ("kn_revision_pods_count", pods),
        ("kn_revision_pods_requested", pods),
        ("kn_revision_concurrency_stable", busy),
    ):
        parts.append(observing.series(metric, "autoscaler", scrapes_s + 1.0, values, instance="autoscaler"))
    observation = observing.observation(parts, end_s, 15.0)
    with tempfile.TemporaryDirectory() as place:
        observation.write(Path(place) / "observed")
        manifest = Path(place) / "service.yaml"
        annotations = {"autoscaling.knative.dev/min-scale": "1", "autoscaling.knative.dev/max-scale": "200"}
        spec = {"containerConcurrency": 1, "containers": [{"image": "painter"}]}
        template = {"metadata": {"annotations": annotations}, "spec": spec}
        head = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "painter"}}
        manifest.write_text(json.dumps({**head, "spec": {"template": template}}))
        time = {"distribution": "lognormal", "mean": "1s", "cv": 0.3}
        given = Given(str(manifest), service_time=time, cold_start="20s", replications=replications)
        began_s, used_s = perf_counter(), process_time()
        found = backtest(prepare(observation, Path(place) / "observed", given), replications)
        took = f"{perf_counter() - began_s:.0f} s, {process_time() - used_s:.0f} s of CPU"
    requests = next(one.predicted for one in found.figures if one.name == "requests")
    return f"{days:g} days, {requests:,.0f} requests, {replications} replications: {took}"


def main() -> None:
    """Print the tables, and put them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/fidelity.md")
    parser.add_argument("-n", "--replications", type=int, default=REPLICATIONS)
    parser.add_argument("--within", default="inferred", help="where within a scrape interval requests are sent")
    parser.add_argument("--days", type=float, help="only time the backtest of so many days at 20 requests a second")
    options = parser.parse_args()
    if options.days:
        print(long_window(options.days, options.replications))
        return
    by_step = {step_s: rows(step_s, options.replications, options.within) for step_s in STEPS}
    text = "\n\n".join(
        [
            f"{len(prometheus_runs.names())} runs, {options.replications} replications of each.",
            overview(by_step),
            "By run, at scrapes of 15 s:",
            by_run(by_step[15]),
        ]
    )
    print(text)
    if options.write:
        put(PAGE, PROGRAM, text)


if __name__ == "__main__":
    main()
