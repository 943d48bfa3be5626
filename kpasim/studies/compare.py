"""Prediction beside measurement, metric by metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from kpasim.arrays import Floats
from kpasim.errors import RecordError, RunError
from kpasim.results.intervals import holds
from kpasim.results.states import successes_s
from kpasim.results.summary import FAILED, Figures, flattened, spread, summarise
from kpasim.results.tables import Tables, read_run_folder
from kpasim.spec.experiment import Experiment, metric_named
from kpasim.spec.yamlfile import packaged
from kpasim.studies.execution.engine import Engine
from kpasim.studies.measured import align as alignment
from kpasim.studies.measured import ticks
from kpasim.studies.measured.described import as_measured, begun, experiment_of, load_of, name_of, recorded_of, sent_of
from kpasim.studies.run import Result, simulate

ServiceTimes = Literal["recorded", "declared"]

FIGURES: dict[str, str] = packaged("metrics.toml")["figures"]
"""The figure that each metric is."""
UNITS: dict[str, str] = packaged("metrics.toml")["units"]
"""Units of metrics that are not plain seconds."""

REPLICATIONS = 200
WITH_MODES = ("mean_s", "p50_s", "p95_s", "total_s", "pod_seconds")
"""Metrics whose replications are tried for two groups."""
FEWEST_FOR_MODES = 20
ASHMAN, LEAST_APART = 4.0, 0.05
"""See ``two_modes``."""


class Modes(NamedTuple):
    """Two groups of replications.

    Attributes:
        low: Median of the lower group.
        high: Median of the higher group.
        share_low: Share of the replications in the lower group.
    """

    low: float
    high: float
    share_low: float


@dataclass
class Comparison:
    """A prediction beside one measured run.

    Attributes:
        name: Of the run.
        source: ``"measured"``, or ``"simulated"`` for a folder that a simulation wrote.
        metrics: For each metric ``{"measured", "predicted", "lo", "hi"}``; ``None`` for what did not happen.
        failures: Failed requests by kind, as ``metrics``; kinds that were neither measured nor predicted stay out.
        wasserstein_s: Wasserstein-1 distance between measured and predicted latencies [s].
        pod_created_s: Measured and predicted times at which each further pod was created.
        changes: Changes of desired under load, see ``align.Changes``.
        ticks: How the policy answers to the measured averages, see ``ticks.check``.
        missed: Metrics outside the experiment's tolerances, in words.
        notes: What was taken from the run, and what speaks against the model, one line each.
        modes: Metrics whose replications fall into two groups, see ``two_modes``: the median of all says little there.
        end_s: End of the observation.
        measured: Tables of the measured run.
        result: The simulated replications.
    """

    name: str
    source: str
    metrics: dict[str, dict[str, float | None]]
    failures: dict[str, dict[str, float | None]]
    wasserstein_s: float | None
    pod_created_s: dict[str, list[float | None]]
    changes: alignment.Changes
    ticks: dict[str, Any]
    missed: list[str]
    notes: list[str]
    modes: Mapping[str, Modes]
    end_s: float
    measured: Tables = field(repr=False)
    result: Result = field(repr=False)

    @property
    def outside(self) -> list[str]:
        """Metrics and kinds of failed requests whose measured value the 90 % interval does not hold."""
        found = {**self.metrics, **self.failures}
        return [name for name, metric in found.items() if inside(metric) is False]

    def to_dict(self) -> dict[str, Any]:
        """What ``kpasim compare --json`` prints."""
        return {
            "run": self.name,
            "source": self.source,
            "replications": self.result.replications,
            "metrics": self.metrics,
            "failures": self.failures,
            "outside": self.outside,
            "two_modes": {name: found._asdict() for name, found in self.modes.items()},
            "notes": self.notes,
            "wasserstein_s": self.wasserstein_s,
            "pod_created_s": self.pod_created_s,
            "changes": asdict(self.changes),
            "ticks": self.ticks,
            "missed": self.missed,
        }


class Measured(NamedTuple):
    """A measured run.

    Attributes:
        run: Its run.json.
        tables: Its tables.
        folder: Where it lies, which errors name.
    """

    run: Mapping[str, Any]
    tables: Tables
    folder: Path = Path()

    @classmethod
    def read(cls, folder: str | Path) -> Measured:
        """The run of a folder.

        Raises:
            RecordError: It cannot be read.
        """
        if not Path(folder, "run.json").exists():
            wrong = "holds no run (no run.json)" if Path(folder).is_dir() else "no such folder"
            raise RecordError.of(folder, f"{wrong}; kpasim run --out and kpasim validate leave one")
        run, tables, _ = read_run_folder(folder)
        return cls(run, tables, Path(folder))


def compare(
    folder: str | Path | Measured,
    *,
    replications: int = REPLICATIONS,
    service_times: ServiceTimes | None = None,
    align: bool = False,
    seed: int | None = None,
    engine: Engine = "auto",
    tolerances: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
    report_places_ns: tuple[int, ...] = (),
    model: Mapping[str, Any] | None = None,
    experiment: Experiment | None = None,
) -> Comparison:
    """Simulate the experiment of a run folder and put the prediction beside the measurement.

    Args:
        folder: The run folder, or what was read of it.
        replications: How many runs make the prediction.
        service_times: ``"recorded"``: the k-th start of service takes the k-th measured time, the k-th pod starts as
            long as the k-th measured one, and an open loop's requests are sent when they were; what remains is the
            autoscaler and the plumbing. ``"declared"``: times are drawn from the declared distributions, as users do.
            ``None``: recorded, or declared where ``model`` or ``experiment`` is given.
        align: Infer the phases of the clocks from the measured averages (never from desired), so that what remains is
            the mechanism alone.
        seed: Seed of all random numbers.
        engine: As for ``simulate``.
        tolerances: How far predictions may be off, beside those that the experiment states: ``{"p50": "15%"}``.
        progress: Called with the number of replications finished so far.
        report_places_ns: Where within the wall-clock second the activator reports, as ``clocks.report_places`` finds it
            from earlier runs; anywhere if empty.
        model: The model to predict with, as its file holds it, instead of the run's own.
        experiment: The experiment to predict with instead of the run's own. An open loop's requests are sent when they
            were in the run, and the prediction ends where the observation ended.

    Raises:
        RecordError: The folder cannot be read.
        ExperimentError: It does not describe an experiment, or a tolerance is none.
        RunError: A tolerance is for no metric that there is, or recorded times are asked for beside a model.
    """
    run, tables, base = folder if isinstance(folder, Measured) else Measured.read(folder)
    own_prediction = model is not None or experiment is not None
    if own_prediction and service_times == "recorded":
        raise RunError("--service-times recorded: a model or an experiment of your own is judged by its own times")
    experiment = experiment_of(run, tables, base=base) if experiment is None else until(experiment, run)
    if model is not None:
        experiment = experiment.with_settings({"model": dict(model)})
    if tolerances:
        experiment = experiment.with_settings({"tolerances": {**experiment.raw.get("tolerances", {}), **tolerances}})
    notes: list[str] = []
    if own_prediction:
        if experiment.workload.kind != (kind := load_of(run)) and not kind.startswith("open-"):
            notes.append(f"The experiment's load ({experiment.workload.kind}) is not the run's ({kind}).")
        sent_s = None if experiment.workload.kind in {"hey", "replay"} else sent_of(run, tables)
        recorded = begun(run, tables)._replace(sent_s=sent_s)
    elif service_times == "declared":
        recorded = begun(run, tables)
    else:
        experiment, recorded, notes = as_measured(experiment, run, tables, recorded_of(run, tables))
    recorded = recorded._replace(report_places_ns=report_places_ns)
    if align:
        experiment, recorded = alignment.align(experiment, tables, recorded)
    result = simulate(
        experiment, replications=replications, seed=seed, engine=engine, recorded=recorded, progress=progress
    )
    if run.get("interrupted"):
        notes.append(f"The run ended early ({run['interrupted']}): it holds a part of its load.")
    measured = dict(flattened(summarise(tables, float(run["end_s"]), experiment.gpus_per_pod)))
    metrics = {
        name: {"measured": measured.get(figure), **prediction(result.figures, figure)}
        for name, figure in FIGURES.items()
    }
    return Comparison(
        name=name_of(run),
        source=str(run.get("source", "measured")),
        metrics=metrics,
        failures=failed(measured, result.figures),
        wasserstein_s=wasserstein(tables, result),
        pod_created_s=creations(tables, result),
        changes=alignment.changes(tables, result.outcomes),
        ticks=ticks.check(tables, result.params),
        missed=missed(experiment, metrics),
        notes=notes,
        modes={name: found for name in WITH_MODES if (found := two_modes(result.figures[FIGURES[name]])) is not None},
        end_s=float(run["end_s"]),
        measured=tables,
        result=result,
    )


def until(experiment: Experiment, run: Mapping[str, Any]) -> Experiment:
    """An experiment that ends where the observation of a run ended."""
    return experiment.with_settings({"horizon": f"{float(run['end_s']):.6f}s"})


def inside(metric: Mapping[str, float | None]) -> bool | None:
    """Whether the 90 % interval holds the measured value, see ``holds``; ``None`` where one of the two is missing."""
    measured, low, high = metric["measured"], metric["lo"], metric["hi"]
    return None if measured is None or low is None or high is None else holds(low, high, measured)


def failed(measured: Mapping[str, Any], figures: Figures) -> dict[str, dict[str, float | None]]:
    """Failed requests by kind, measured and predicted: ``errors`` is all of them."""
    both = {name: {"measured": measured.get(name), **prediction(figures, name)} for name in ("errors", *FAILED)}
    return {name: one for name, one in both.items() if one["measured"] or one["predicted"] or one["hi"]}


def two_modes(values: Floats) -> Modes | None:
    """The two groups that replications fall into; ``None`` where they do not, or hardly differ.

    The split with the least variance within the groups, each of a tenth of the replications or more. It counts where
    Ashman's D (distance of the means over the root mean square of the spreads) exceeds 4, which evenly spread values
    (3.5) and a normal distribution (2.7) do not, and where the groups are 5 % apart.
    """
    there = np.sort(values[~np.isnan(values)])
    count = len(there)
    least = max(1, count // 10)
    if count < FEWEST_FOR_MODES:
        return None
    splits = range(least, count - least + 1)
    within = [place * there[:place].var() + (count - place) * there[place:].var() for place in splits]
    place = splits[int(np.argmin(within))]
    low, high = there[:place], there[place:]
    apart, spread = float(high.mean() - low.mean()), float(np.sqrt((low.var() + high.var()) / 2.0))
    if apart <= max(ASHMAN * spread, LEAST_APART * abs(float(there.mean()))):
        return None
    return Modes(float(np.median(low)), float(np.median(high)), place / count)


def prediction(figures: Figures, name: str) -> dict[str, float | None]:
    """Median and 90 % predictive interval of one figure; ``None`` where most replications lack it."""
    ends = zip(("predicted", "lo", "hi"), spread(figures[name][np.newaxis])[:, 0].tolist(), strict=True)
    return {key: None if np.isnan(value) else value for key, value in ends}


def wasserstein(tables: Tables, result: Result) -> float | None:
    """Wasserstein-1 distance [s] between the measured latencies and those of all replications together."""
    from scipy.stats import wasserstein_distance

    measured = successes_s(tables.requests)
    predicted = [successes_s(result.tables(index).requests) for index in range(min(result.replications, 50))]
    pooled = np.concatenate(predicted)
    if not len(measured) or not len(pooled):
        return None
    return float(wasserstein_distance(measured, pooled))


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
