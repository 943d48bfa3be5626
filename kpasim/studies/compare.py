"""Prediction beside measurement, metric by metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from kpasim.errors import Problem, RecordError
from kpasim.results.summary import flattened, interval_places, summarise
from kpasim.results.tables import Tables, read_run_folder
from kpasim.spec.experiment import Experiment, metric_named
from kpasim.studies.measured import align as alignment
from kpasim.studies.measured import ticks
from kpasim.studies.measured.described import begun, experiment_of, name_of, recorded_of
from kpasim.studies.playing.engine import Engine
from kpasim.studies.run import Result, simulate

if TYPE_CHECKING:
    from kpasim.results.summary import Figures

ServiceTimes = Literal["recorded", "declared"]

FIGURES = {
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
"""The figure that each metric is."""

REPLICATIONS = 200


@dataclass
class Comparison:
    """A prediction beside one measured run.

    Attributes:
        name: Of the run.
        metrics: For each metric ``{"measured", "predicted", "lo", "hi"}``; ``None`` for what did not happen.
        wasserstein_s: Wasserstein-1 distance between measured and predicted latencies [s].
        pod_created_s: Measured and predicted times at which each further pod was created.
        changes: Changes of desired under load, see ``align.Changes``.
        ticks: How the policy answers to the measured averages, see ``ticks.check``.
        missed: Metrics outside the experiment's tolerances, in words.
        end_s: End of the observation.
        measured: Tables of the measured run.
        result: The simulated replications.
    """

    name: str
    metrics: dict[str, dict[str, float | None]]
    wasserstein_s: float | None
    pod_created_s: dict[str, list[float | None]]
    changes: alignment.Changes
    ticks: dict[str, Any]
    missed: list[str]
    end_s: float
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
            "changes": self.changes.to_dict(),
            "ticks": self.ticks,
            "missed": self.missed,
        }


def compare(
    folder: str | Path,
    *,
    replications: int = REPLICATIONS,
    service_times: ServiceTimes = "recorded",
    align: bool = False,
    seed: int | None = None,
    engine: Engine = "auto",
    tolerances: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
    report_places_ns: tuple[int, ...] = (),
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
        tolerances: How far predictions may be off, beside those that the experiment states: ``{"p50": "15%"}``.
        progress: Called with the number of replications finished so far.
        report_places_ns: Where within the wall-clock second the activator reports, as ``clocks.report_places`` finds it
            from earlier runs; anywhere if empty.

    Raises:
        RecordError: The folder cannot be read.
        ExperimentError: It does not describe an experiment, or a tolerance is none.
        RunError: A tolerance is for no metric that there is.
    """
    if not Path(folder, "run.json").exists():
        wrong = "holds no run (no run.json)" if Path(folder).is_dir() else "no such folder"
        raise RecordError(folder, [Problem("", f"{wrong}; kpasim run --out and kpasim validate leave one")])
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
        tolerances=tolerances,
        progress=progress,
        report_places_ns=report_places_ns,
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
    tolerances: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
    report_places_ns: tuple[int, ...] = (),
) -> Comparison:
    """As ``compare``, for a run that has been read already."""
    experiment = experiment_of(run, tables, base=base)
    if tolerances:
        experiment = experiment.with_settings({"tolerances": {**experiment.raw.get("tolerances", {}), **tolerances}})
    recorded = recorded_of(run, tables) if service_times == "recorded" else begun(run, tables)
    recorded = recorded._replace(report_places_ns=report_places_ns)
    if align:
        experiment, recorded = alignment.align(experiment, tables, recorded)
    result = simulate(
        experiment, replications=replications, seed=seed, engine=engine, recorded=recorded, progress=progress
    )
    measured = dict(flattened(summarise(tables, float(run["end_s"]), experiment.gpus_per_pod)))
    metrics = {
        name: {"measured": measured.get(figure), **prediction(result.figures, figure)}
        for name, figure in FIGURES.items()
    }
    return Comparison(
        name=name_of(run),
        metrics=metrics,
        wasserstein_s=wasserstein(tables, result),
        pod_created_s=creations(tables, result),
        changes=alignment.changes(tables, result.outcomes),
        ticks=ticks.check(tables, result.params),
        missed=missed(experiment, metrics),
        end_s=float(run["end_s"]),
        measured=tables,
        result=result,
    )


def prediction(figures: Figures, name: str) -> dict[str, float | None]:
    """Median and 90 % predictive interval of one figure; ``None`` where most replications lack it."""
    values = figures[name]
    there = np.sort(values[~np.isnan(values)])
    if 2 * len(there) <= len(values):
        return {"predicted": None, "lo": None, "hi": None}
    low, high = interval_places(len(there))
    return {"predicted": float(np.median(there)), "lo": float(there[low]), "hi": float(there[high])}


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
    """The experiment's tolerances that the prediction does not keep, in words."""
    lines = []
    for name, tolerance in experiment.tolerances.items():
        metric = metrics[metric_named(name)]
        measured, predicted = metric["measured"], metric["predicted"]
        if measured is None and predicted is None:
            continue
        if measured is None or predicted is None or not tolerance.allows(predicted, measured):
            told = f"predicted {_said(predicted)}, measured {_said(measured)}, allowed {tolerance.text()}"
            lines.append(f"{name}: {told}")
    return lines


def _said(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.6g}"
