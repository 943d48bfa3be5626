"""Prediction beside measurement, metric by metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from kpasim.engines.sampling import NOTHING_RECORDED, Recorded
from kpasim.errors import Problem, RecordError
from kpasim.results.summary import summarise
from kpasim.results.tables import Tables, read_run_folder
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.run import Engine, Result, simulate

if TYPE_CHECKING:
    from kpasim.results.summary import Figures

ServiceTimes = Literal["recorded", "declared"]

METRICS = {
    "mean_s": "latency_s.mean",
    "p50_s": "latency_s.p50",
    "p90_s": "latency_s.p90",
    "p95_s": "latency_s.p95",
    "p99_s": "latency_s.p99",
    "max_s": "latency_s.max",
    "total_s": "total_s",
    "max_pods": "max_pods",
    "first_scale_out_s": "first_scale_out_s",
    "pod_seconds": "pod_seconds",
    "desired_zero_after_last_s": "desired_zero_after_last_s",
    "replicas_zero_after_last_s": "replicas_zero_after_last_s",
}
"""Metrics that are compared, and the figure that each one is."""

PATHS = {
    "activator": {"path": "activator"},
    "ingress-round-robin": {"path": "auto", "policy": "round-robin"},
    "envoy-round-robin": {"path": "auto", "policy": "round-robin"},
    "envoy-least-request": {"path": "auto", "policy": "least-request"},
}
"""The ingress that each ``path`` of a measured run.json was."""

REPLICATIONS = 200


@dataclass
class Comparison:
    """A prediction beside one measured run.

    Attributes:
        name: Of the run.
        metrics: For each metric ``{"measured", "predicted", "lo", "hi"}``; ``None`` for what did not happen.
        wasserstein_s: Wasserstein-1 distance between measured and predicted latencies [s].
        pod_created_s: Measured and predicted times at which each further pod was created.
        ticks: How the policy answers to the measured averages, see ``ticks.check``.
        missed: Metrics outside the experiment's tolerances, in words.
        measured: Tables of the measured run.
        result: The simulated replications.
    """

    name: str
    metrics: dict[str, dict[str, float | None]]
    wasserstein_s: float | None
    pod_created_s: dict[str, list[float | None]]
    ticks: dict[str, Any]
    missed: list[str]
    measured: Tables = field(repr=False)
    result: Result = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """What ``kpasim compare --json`` prints."""
        return {
            "run": self.name,
            "replications": self.result.replications,
            "metrics": self.metrics,
            "wasserstein_s": self.wasserstein_s,
            "pod_created_s": self.pod_created_s,
            "ticks": self.ticks,
            "missed": self.missed,
        }


def experiment_of(run: Mapping[str, Any], tables: Tables, *, base: Path = Path()) -> Experiment:
    """The experiment that a run folder is about.

    Raises:
        ExperimentError: run.json does not describe one.
    """
    if isinstance(run.get("experiment"), Mapping):
        return from_mapping({**run["experiment"], "horizon": _duration(run["end_s"])}, base=base, path=_name(run))
    service = run["service"]
    container = {"image": "measured"}
    if service.get("readinessProbe"):
        container["readinessProbe"] = service["readinessProbe"]
    behaviour = run["container"]
    data = {
        "service": {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "measured"},
            "spec": {
                "template": {
                    "metadata": {"annotations": dict(service.get("annotations", {}))},
                    "spec": {
                        "containerConcurrency": service["containerConcurrency"],
                        "timeoutSeconds": service["timeoutSeconds"],
                        "containers": [container],
                    },
                }
            },
        },
        "config-autoscaler": dict(run.get("config-autoscaler", {})),
        "workload": workload_of(run["workload"]),
        "model": {
            "name": _name(run),
            "service-time": {"time": time_of(behaviour["service_time"]), "slots": behaviour["slots"], "by": "start"},
            "cold-start": {"stages": [{"name": "listen", "time": _duration(behaviour["listens_after_s"])}]},
        },
        "cluster": {"activators": run.get("activators", 1), "ingress": PATHS[run["path"]]},
        "start": {"state": run["start"], "for": _duration(started_before(run["start"], tables))},
        "horizon": _duration(run["end_s"]),
    }
    return from_mapping(data, base=base, path=_name(run))


def _name(run: Mapping[str, Any]) -> str:
    return str(run.get("name", "run"))


def _duration(seconds: float) -> str:
    return f"{float(seconds):.6f}s"


def workload_of(workload: Mapping[str, Any]) -> dict[str, Any]:
    """The workload of a measured run.json as an experiment's."""
    if workload["kind"] == "hey":
        return {
            "kind": "hey",
            "requests": workload["requests"],
            "concurrency": workload["concurrency"],
            "timeout": _duration(workload["timeout_s"]),
        }
    return {
        "kind": "steps",
        "arrivals": workload["kind"].removeprefix("open-"),
        "phases": [
            {"rate": phase["rate_per_s"], "duration": _duration(phase["duration_s"])} for phase in workload["phases"]
        ],
        "timeout": _duration(workload["timeout_s"]),
    }


def time_of(service_time: Mapping[str, Any]) -> dict[str, Any]:
    """The service time of a measured run.json as a distribution."""
    renamed = {"mean_s": "mean", "low_s": "low", "high_s": "high"}
    return {
        renamed.get(key, key): _duration(value) if key in renamed else value for key, value in service_time.items()
    }


def started_before(start: str, tables: Tables) -> float:
    """How long before the load the measured revision had reached its start state [s]."""
    pods, scaling = tables.pods, tables.scaling
    before = pods["created_s"] < 0
    if start == "warm":
        times = pods["ready_s"][before]
    elif start == "idled":
        times = pods["gone_s"][before]
    else:
        times = scaling["t_s"][:1]
    times = times[~np.isnan(times) & (times < 0)]
    return float(-times.max()) if len(times) else 5.0


def recorded_of(run: Mapping[str, Any], tables: Tables) -> Recorded:
    """Measured service times in the order of their starts; send times too where the load was an open loop."""
    requests = tables.requests
    started = ~np.isnan(requests["server_start_s"]) & ~np.isnan(requests["service_s"])
    order = np.argsort(requests["server_start_s"][started], kind="stable")
    sent = None if run["workload"]["kind"] == "hey" else np.sort(requests["start_s"])
    return Recorded(service_s=requests["service_s"][started][order], by_start=True, sent_s=sent)


def compare(
    folder: str | Path,
    *,
    replications: int = REPLICATIONS,
    service_times: ServiceTimes = "recorded",
    align: bool = False,
    seed: int | None = None,
    engine: Engine = "auto",
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Simulate the experiment of a run folder and put the prediction beside the measurement.

    Args:
        folder: The run folder.
        replications: How many runs make the prediction.
        service_times: ``"recorded"``: the k-th start of service takes the k-th measured time, and an open loop's
            requests are sent when they were; what remains is the autoscaler and the plumbing. ``"declared"``: times
            are drawn from the declared distributions, as users do.
        align: Infer the phases of the clocks from the measured averages (never from desired), so that what remains is
            the mechanism alone.
        seed: Seed of all random numbers.
        engine: As for ``simulate``.
        progress: Called with the number of replications finished so far.

    Raises:
        RecordError: The folder cannot be read.
        ExperimentError: It does not describe an experiment.
    """
    run, tables, _ = read_run_folder(folder)
    return compare_run(
        run,
        tables,
        base=Path(folder),
        replications=replications,
        service_times=service_times,
        align=align,
        seed=seed,
        engine=engine,
        progress=progress,
    )


def compare_run(
    run: Mapping[str, Any],
    tables: Tables,
    *,
    base: Path = Path(),
    replications: int = REPLICATIONS,
    service_times: ServiceTimes = "recorded",
    align: bool = False,
    seed: int | None = None,
    engine: Engine = "auto",
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """As ``compare``, for a run that has been read already."""
    from kpasim.studies import ticks

    try:
        experiment = experiment_of(run, tables, base=base)
    except KeyError as missing:
        raise RecordError(base / "run.json", [Problem(str(missing.args[0]), "missing")]) from None
    recorded = recorded_of(run, tables) if service_times == "recorded" else NOTHING_RECORDED
    if align:
        from kpasim.studies.align import infer_phases

        recorded = recorded._replace(phase_ns=infer_phases(experiment, tables, recorded))
    result = simulate(
        experiment, replications=replications, seed=seed, engine=engine, recorded=recorded, progress=progress
    )
    measured = dict(_flat(summarise(tables, float(run["end_s"]), experiment.gpus_per_pod)))
    metrics = {
        name: {"measured": measured.get(figure), **prediction(result.figures, figure)}
        for name, figure in METRICS.items()
    }
    return Comparison(
        name=_name(run),
        metrics=metrics,
        wasserstein_s=wasserstein(tables, result),
        pod_created_s=creations(tables, result),
        ticks=ticks.check(tables, result.params),
        missed=missed(experiment, metrics),
        measured=tables,
        result=result,
    )


def _flat(summary: Mapping[str, Any]) -> Any:
    from kpasim.results.summary import flattened

    return flattened(summary)


def prediction(figures: Figures, name: str) -> dict[str, float | None]:
    """Median and 90 % predictive interval of one figure; ``None`` where most replications lack it."""
    values = figures[name]
    there = np.sort(values[~np.isnan(values)])
    if 2 * len(there) <= len(values):
        return {"predicted": None, "lo": None, "hi": None}
    rank = max(int(np.floor(0.05 * (len(there) + 1))), 1)
    return {
        "predicted": float(np.median(there)),
        "lo": float(there[rank - 1]),
        "hi": float(there[len(there) - rank]),
    }


def wasserstein(tables: Tables, result: Result) -> float | None:
    """Wasserstein-1 distance [s] between the measured latencies and those of all replications together."""
    from scipy.stats import wasserstein_distance

    measured = _latencies(tables)
    predicted = [_latencies(result.tables(index)) for index in range(min(result.replications, 50))]
    pooled = np.concatenate(predicted)
    if not len(measured) or not len(pooled):
        return None
    return float(wasserstein_distance(measured, pooled))


def _latencies(tables: Tables) -> NDArray[np.float64]:
    requests = tables.requests
    ok = (requests["status"] >= 200) & (requests["status"] < 300)
    return np.asarray(requests["latency_s"][ok], dtype=np.float64)


def creations(tables: Tables, result: Result) -> dict[str, list[float | None]]:
    """When each further pod was created under load: measured, and the median of the replications."""
    measured = np.sort(tables.pods["created_s"][tables.pods["created_s"] >= 0])
    each = []
    for one in result.outcomes:
        created = (one.pods[:, 0] - one.load_ns) / 1e9
        each.append(np.sort(created[created >= 0]))
    predicted: list[float | None] = []
    for nth in range(len(measured)):
        times = [created[nth] for created in each if len(created) > nth]
        predicted.append(float(np.median(times)) if 2 * len(times) > len(each) else None)
    return {"measured": [float(t) for t in measured], "predicted": predicted}


def missed(experiment: Experiment, metrics: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """The experiment's tolerances that the prediction does not keep."""
    lines = []
    for name, tolerance in experiment.tolerances.items():
        metric = name.replace("-", "_")
        metric = metric if metric in metrics else f"{metric}_s"
        measured, predicted = metrics[metric]["measured"], metrics[metric]["predicted"]
        if measured is None and predicted is None:
            continue
        if measured is None or predicted is None or not tolerance.allows(predicted, measured):
            lines.append(f"{name}: predicted {predicted}, measured {measured}")
    return lines
