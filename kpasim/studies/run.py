"""One experiment, many replications."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kpasim.arrays import Floats, Ints
from kpasim.engines import lower, sampling
from kpasim.engines import outcome as of
from kpasim.engines.machines import instance_type_names, nanoseconds
from kpasim.engines.outcome import Counts, Outcome
from kpasim.engines.params import NEVER_NS, SECOND_NS, WARM, Draws, Params
from kpasim.engines.tables import stacked, tables
from kpasim.errors import RunError
from kpasim.results import cost, display, folders, summary
from kpasim.results.files import atomic_write
from kpasim.results.frames import Columns
from kpasim.results.provenance import provenance
from kpasim.results.secrets import without_secrets
from kpasim.results.summary import Figures
from kpasim.results.tables import Tables, write_run_folder
from kpasim.results.use import use_many
from kpasim.spec.cost import Cost
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.sharing import sharing_note
from kpasim.spec.workload import Hey, Workload
from kpasim.studies.execution.allocation import Allocation, Returned
from kpasim.studies.execution.engine import Engine, choose_engine, execute, execute_long
from kpasim.studies.prices import prices_of, prices_to_dict
from kpasim.studies.steady import mean_cold_start_s, requests_per_day, steady_part, why_no_month

if TYPE_CHECKING:
    from kpasim.studies.own import Own

MOST_ROWS = 20_000_000
"""Requests of all replications together at most: their tables are held in memory."""
MOST_REPLICATIONS = 100_000
"""Replications at most, however few requests each has."""
BATCH = 64
"""Replications whose random numbers are made together."""
REFERENCE_BATCH = 1024
"""The same where processes share the work: they should not begin again and again."""
BATCH_REQUESTS, LEAST_BATCH = 200_000, 8
"""Requests of a batch at most, and its replications at least."""


class Terms(NamedTuple):
    """What figures depend on beside the tables of a run.

    Attributes:
        gpus_per_pod: GPUs that each pod holds.
        repeat_s: How often the load recurs, where it ends by itself.
        steady_s: What of each run stands for a load that goes on, see `studies.steady`.
        prices: Price of each instance type; ``None`` where one has none.
        billing: How the provider counts.
    """

    gpus_per_pod: int
    repeat_s: float | None
    steady_s: tuple[float, float] | None
    prices: dict[str, cost.Price] | None
    billing: cost.Billing

    @property
    def month(self) -> tuple[float, float] | None:
        """What of each run stands for a month: all of a load that recurs, else its steady part."""
        return (0.0, self.repeat_s) if self.repeat_s else self.steady_s

    def figures(self, tables: Tables, horizon_s: Floats, never_sent: Floats) -> Figures:
        """Figures of merit, one value per run; see `results.summary.summarise_many` and `Result.never_sent`."""
        found = summary.summarise_many(tables, horizon_s, self.gpus_per_pod) | {"never_sent": never_sent}
        if self.month is not None:
            found["requests_per_day"] = requests_per_day(tables.requests["start_s"], self.month)
        return found

    def bills(self, tables: Tables, horizon_s: Floats) -> Figures | None:
        """What each run costs, see `results.cost.bill_many`; ``None`` without prices."""
        if self.prices is None:
            return None
        how: dict[str, Any] = {"horizon_s": horizon_s, "steady_s": self.steady_s, "repeat_s": self.repeat_s}
        return cost.bill_many(tables, self.prices, self.billing, **how)

    def of_slos(self, figures: Figures, requests: Columns) -> Figures:
        """All figures as SLOs see them: of requests, those of the stretch that is billed.

        Of a load that goes on, requests sent during the warm-up are left out, as in the cost per month; see
        `studies.steady`. All other figures are those of the whole run.
        """
        if self.steady_s is None:
            return figures
        start_s = requests["start_s"]
        start_s = np.where((start_s >= self.steady_s[0]) & (start_s <= self.steady_s[1]), start_s, np.nan)
        of_stretch = summary.request_figures(start_s, requests["latency_s"], requests["status"])
        return figures | {name: of_stretch[name] for name in of_stretch if name not in summary.OF_WHOLE_RUNS}


class Billed(ABC):
    """Replications of an experiment with what they cost."""

    experiment: Experiment
    outcomes: Sequence[Outcome | Counts]
    stretch_s: tuple[float, float] | None = None

    @property
    def steady_s(self) -> tuple[float, float] | None:
        """The stretch of each run that stands for a load that goes on, see `studies.steady`."""
        return self.stretch_s or steady_part(self.experiment)

    @property
    def replications(self) -> int:
        """How many there are."""
        return len(self.outcomes)

    @property
    @abstractmethod
    def aggregate(self) -> summary.Aggregate:
        """Medians, 90 % intervals, counts and Monte-Carlo errors of the figures."""

    @property
    def summary(self) -> dict[str, Any]:
        """Median of every figure."""
        return self.aggregate.medians

    @property
    def intervals(self) -> dict[str, Any]:
        """90 % predictive interval of every figure."""
        return self.aggregate.intervals

    @property
    def by_name(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Medians, and intervals of more than one replication, by the dotted names of figures."""
        medians, intervals = (dict(summary.flattened(nested)) for nested in (self.summary, self.intervals))
        return medians, intervals if self.replications > 1 else {}

    @cached_property
    def horizon_s(self) -> Floats:
        """End of each replication, from the start of the load."""
        return np.array([(one.end_ns - one.load_ns) / SECOND_NS for one in self.outcomes])

    @cached_property
    def terms(self) -> Terms:
        """What the figures depend on beside what was simulated."""
        given = self.experiment
        return Terms(given.gpus_per_pod, given.repeat_s, self.steady_s, prices_of(given), billing_of(given))

    @property
    @abstractmethod
    def cost_figures(self) -> Figures | None:
        """Cost of each replication, see `results.cost.bill_many`; ``None`` without prices."""

    @property
    def prices(self) -> dict[str, cost.Price] | None:
        """Price of each instance type; ``None`` where one has none."""
        return self.terms.prices

    @property
    def costs_by_name(self) -> Figures:
        """Cost of each replication as ``cost.NAME``; empty without prices."""
        return {f"cost.{name}": values for name, values in (self.cost_figures or {}).items()}

    @cached_property
    def cost(self) -> dict[str, Any] | None:
        """Mean cost with its intervals and parts, see `results.cost.aggregate_bills`; ``None`` without prices."""
        if self.cost_figures is None or self.prices is None:
            return None
        return cost.aggregate_bills(self.cost_figures, cost.currency_of(self.prices))

    def table(self, title: str = "") -> display.Table:
        """Each figure with its 90 % interval over the replications."""
        return display.figures_table(title, self.replications, display.shown(*self.by_name, self.cost))

    @property
    def no_month(self) -> str:
        """Why there is no cost per month, in words; empty where there is, or no cost at all."""
        if self.cost is None or self.cost["per_month"] is not None:
            return ""
        longer = int((self.horizon_s > (self.experiment.repeat_s or 0.0) + 1e-6).sum())
        return why_no_month(self.experiment) or (
            f"the load recurs before its run is over in {longer} of {len(self.horizon_s)} replications "
            "(write a longer repeat)"
        )


@dataclass
class Result(Billed):
    """What the replications of one experiment left.

    Attributes:
        experiment: What was run.
        params: The same in numbers.
        engine: The engine that ran: ``"compiled"`` or ``"reference"``.
        seed: The seed of all random numbers.
        outcomes: Raw columns of each replication, in order.
        recorded: Measured times that took the place of drawn ones.
        numbers: Index of each replication; 0, 1, 2 ... when not given.
        stretch_s: What of each run stands for a month, where it is not the experiment's own steady part: experiments
            that are compared have one in common.
    """

    experiment: Experiment
    params: Params
    engine: str
    seed: int
    outcomes: Sequence[Outcome] = field(repr=False)
    recorded: sampling.Recorded = field(default=sampling.NOTHING_RECORDED, repr=False)
    numbers: Sequence[int] | None = field(default=None, repr=False)
    stretch_s: tuple[float, float] | None = None

    @cached_property
    def _stacked(self) -> Tables:
        return stacked(self.outcomes)

    @property
    def pods(self) -> Columns:
        """Times of the pods of all replications, shape ``(replications, pods)``; missing ones are ``NaN``."""
        return self._stacked.pods

    @cached_property
    def figures(self) -> Figures:
        """Each figure of merit as one value per replication; names of nested figures are joined by a dot."""
        return self.terms.figures(self._stacked, self.horizon_s, self.never_sent)

    @cached_property
    def slo_figures(self) -> Figures:
        """The figures that SLOs are about, see `Terms.of_slos`; those of cost as ``cost.NAME``."""
        return self.terms.of_slos({**self.figures, **self.costs_by_name}, self._stacked.requests)

    @cached_property
    def never_sent(self) -> Floats:
        """Requests of the load that each replication was over before: its horizon cut the load.

        ``NaN`` where the load was cut but only the clock would have ended it, hey's ``-z``: nobody knows how many more
        requests its workers would have sent.
        """
        workload, count = self.experiment.workload, len(self.outcomes)
        if not is_cut(self.experiment):
            return np.zeros(count)
        load: Ints | float | None = requests_of(workload)
        if self.recorded.sent_s is not None:
            load = len(self.recorded.sent_s)
        elif not isinstance(workload, Hey):
            numbers = range(count) if self.numbers is None else self.numbers
            load = np.array([len(sampling.arrivals(workload, self.seed, number)) for number in numbers])
        return np.asarray(load - np.array([len(one.requests) for one in self.outcomes]), dtype=np.float64)

    @cached_property
    def use(self) -> Figures:
        """How each replication used its pods, see `results.use.use_many`."""
        return use_many(self._stacked, self.horizon_s, self.steady_s)

    @cached_property
    def aggregate(self) -> summary.Aggregate:
        """Medians, 90 % intervals, counts and Monte-Carlo errors of the figures."""
        return summary.aggregate({**self.figures, **self.use})

    @cached_property
    def cost_figures(self) -> Figures | None:
        """Cost of each replication; ``None`` without prices."""
        return self.terms.bills(self._stacked, self.horizon_s)

    @property
    def all_figures(self) -> Figures:
        """Figures of merit, use of the pods, and costs as ``cost.NAME``, one value per replication."""
        return {**self.figures, **self.use, **self.costs_by_name}

    @cached_property
    def representative(self) -> int:
        """Index of the replication with the median total time, the lowest where several have it."""
        return summary.representative(self.figures["total_s"])

    @property
    def which(self) -> str:
        """Which replication is shown, in words."""
        return f"replication {self.representative} of {self.replications}"

    @property
    def never_warm(self) -> int:
        """In how many replications a load that was to wait for a warm pod began without one.

        It waits until the progress deadline, or for ten minutes.
        """
        if self.params.start != WARM:
            return 0
        ready = (one.pods[:, of.READY][one.pods[:, of.READY] != NEVER_NS] <= one.load_ns for one in self.outcomes)
        return sum(not each.any() for each in ready)

    def tables(self, replication: int | None = None, *, brief: bool = False) -> Tables:
        """Tables of one replication, the representative one by default.

        With ``brief`` what a timeline does not show is left out: all requests, and how decisions came about.
        """
        index = self.representative if replication is None else replication
        names = instance_type_names(self.experiment)
        classes = [one.name for one in self.experiment.model.service_time.classes]
        draws = None
        if (len(classes) > 1 or self.params.sessions) and self.recorded.sent_s is None and not brief:
            draws = sampling.Sampler(self.experiment, self.params, self.recorded).draw(index, pods=1, nodes=1)
        return tables(self.outcomes[index], self.params, names, classes, draws, brief=brief)

    def to_dict(self) -> dict[str, Any]:
        """What ``kpasim run --json`` prints."""
        return {
            "experiment": self.experiment.name,
            "engine": self.engine,
            "seed": self.seed,
            "replications": self.replications,
            "sharing": sharing_note(self.experiment) or None,
            "summary": self.summary,
            "intervals": self.intervals,
            "cost": self.cost,
            "prices": prices_to_dict(self.prices),
        }

    def write(self, folder: str | Path, slos: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write the representative replication as a run folder, and ``replications.parquet`` with one row for each.

        Verdicts on SLOs are for the page, each with ``text`` and ``met``.
        """
        raw = without_secrets(self.experiment.raw)
        run = {
            "source": "simulated",
            "name": self.experiment.name,
            "replication": self.representative,
            "end_s": float(self.horizon_s[self.representative]),
            "experiment": raw,
            **({"slo": [*slos]} if slos else {}),
            **metadata(self.experiment, self.params),
            **provenance(engine=self.engine, seed=self.seed, experiment=raw),
        }
        with folders.writing(folder, "run") as place:
            folders.clear(place, "run")
            write_figures(place / "replications.parquet", {**self.figures, **self.use, **(self.cost_figures or {})})
            write_run_folder(place, self.tables(), run, self.to_dict())

    def _repr_html_(self) -> str:
        """Figures with their intervals, for notebooks."""
        return self.table(f"{self.experiment.name}: ")._repr_html_()

    def __repr__(self) -> str:
        medians = self.summary
        return (
            f"<Result {self.experiment.name}: {self.replications} replications, {self.engine}; "
            f"total {medians['total_s']} s, p50 {medians['latency_s']['p50']} s, p95 {medians['latency_s']['p95']} s, "
            f"{medians['max_pods']} pods>"
        )


def is_cut(experiment: Experiment) -> bool:
    """Whether the horizon may end runs before their load."""
    horizon_s, length_s = experiment.horizon_s, experiment.workload.length_s
    return horizon_s is not None and not (length_s is not None and length_s <= horizon_s)


def requests_of(workload: Workload) -> float | None:
    """Requests of a closed loop, ``NaN`` where only the clock ends it; ``None`` for an open loop."""
    if not isinstance(workload, Hey):
        return None
    return math.nan if workload.per_worker is None else workload.concurrency * workload.per_worker


def metadata(experiment: Experiment, params: Params) -> dict[str, Any]:
    """What run.json says of the service and the load, in the words of measured folders."""
    service = experiment.service
    return {
        "activators": params.activators,
        "service": {
            "annotations": dict(service.annotations),
            "containerConcurrency": service.container_concurrency,
            "timeoutSeconds": service.timeout_s,
        },
        "path": experiment.cluster.ingress.path,
        "start": experiment.start.state,
        "workload": experiment.workload.model_dump(mode="json"),
    }


def write_figures(path: Path, figures: Figures) -> None:
    """Write one row for each replication as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = len(next(iter(figures.values())))
    table = pa.table({"replication": np.arange(rows), **figures})
    with atomic_write(path, "wb") as file:
        pq.write_table(table, file)


def billing_of(experiment: Experiment) -> cost.Billing:
    """How the experiment says that its provider counts."""
    given = experiment.cost or Cost()
    per = given.per or ("node" if experiment.cluster.nodes else "pod")
    return cost.Billing(per, given.bills_from, given.granularity_s, given.minimum_s)


def simulate(
    experiment: Experiment | str | Path,
    *,
    replications: int | None = None,
    seed: int | None = None,
    engine: Engine = "auto",
    threads: int = 0,
    recorded: sampling.Recorded = sampling.NOTHING_RECORDED,
    progress: Callable[[int], None] | None = None,
    until_s: float | None = None,
    own: Own | None = None,
) -> Result:
    """Simulate an experiment.

    Args:
        experiment: What to simulate, see ``kpasim.load``, or its file.
        replications: How many times, the experiment's own number by default.
        seed: Seed of all random numbers, the experiment's own by default.
        engine: ``"compiled"``, ``"reference"``, or ``"auto"`` for whichever answers first; they give the same tables.
        threads: Replications simulated at the same time; 0 for one on each core.
        recorded: Measured times that take the place of drawn ones.
        progress: Called with the number of replications finished so far.
        until_s: How long after the start of the load a run goes on at least; no load is cut.
        own: A function of a user's own that decides in the place of Knative's autoscaler, see `studies.own`; it runs in
            the reference engine.

    Raises:
        ExperimentError: The file cannot be used.
        RunError: The experiment cannot be simulated or billed, or grows beyond all bounds.
    """
    if isinstance(experiment, str | Path):
        experiment = load(experiment)
    if seed is not None:
        experiment = experiment.with_settings({"seed": seed})
    count = replications_of(experiment, replications)
    prices_of(experiment)  # What cannot be billed is refused now, not after the work.
    params = lower.lower(experiment, recorded)
    params = params._replace(until_ns=max(params.until_ns, nanoseconds(until_s)))
    _must_fit(params, count)
    chosen = "reference" if own else choose_engine(engine, max(params.requests, 1) * count)
    sampler = sampling.Sampler(experiment, params, recorded)
    if chosen == "compiled" and sampler.has_parts:
        outcomes = execute_long(experiment, sampler, count, threads, progress)
        return Result(experiment, params, chosen, experiment.seed, outcomes, recorded)
    allocation = Allocation(experiment, sampler)
    play = None
    if own:
        from kpasim.studies.own import play as play_own

        play = partial(play_own, own, mean_cold_start_s(experiment))

    def execute_batch(params: Params, draws: list[Draws], progress: Callable[[int], None]) -> list[Outcome]:
        return execute(params, draws, chosen, threads, progress, play)

    batch = REFERENCE_BATCH if chosen == "reference" else batch_of(params.requests)
    outcomes = execute_all(allocation, count, execute_batch, progress, batch)
    return Result(experiment, allocation.params, chosen, experiment.seed, outcomes, recorded)


def batch_of(requests: int) -> int:
    """Replications of a batch, fewer of many requests: progress is seen and the work can be ended in between."""
    return max(LEAST_BATCH, min(BATCH, BATCH_REQUESTS // max(1, requests)))


def replications_of(experiment: Experiment, asked: int | None) -> int:
    """How many replications to simulate: as many as asked, else as the experiment says.

    Raises:
        RunError: None at all.
    """
    count = experiment.replications if asked is None else asked
    if count < 1:
        raise RunError(f"replications: {count} (give at least 1)")
    return count


def _must_fit(params: Params, count: int) -> None:
    """Refuse replications whose tables would fill the memory.

    Raises:
        RunError: They would.
    """
    rows = max(params.requests, MOST_ROWS // MOST_REPLICATIONS) * count
    if count > 1 and rows > MOST_ROWS:
        most = max(1, MOST_ROWS // max(params.requests, MOST_ROWS // MOST_REPLICATIONS))
        raise RunError(
            f"replications: {count:,} of up to {params.requests:,} requests are too many to keep (at most {most:,})"
        )


def execute_all(
    allocation: Allocation,
    count: int,
    execute_batch: Callable[[Params, list[Draws], Callable[[int], None]], list[Returned]],
    progress: Callable[[int], None] | None,
    batch: int = BATCH,
) -> list[Returned]:
    """What ``execute_batch`` makes of each replication; it may report how many of its batch are finished.

    Raises:
        RunError: The experiment grows beyond all bounds.
    """
    done: list[Returned] = []

    def more_are_done(of_batch: int) -> None:
        if progress:
            progress(len(done) + of_batch)

    for replications in batches(count, batch):
        done += allocation.execute(replications, lambda params, draws: execute_batch(params, draws, more_are_done))
        more_are_done(0)
    return done


def after(progress: Callable[[int], None] | None, before: int) -> Callable[[int], None]:
    """The progress of work that follows other work, by what is done of it alone."""
    return lambda done: progress(before + done) if progress else None


def batches(count: int, size: int) -> Iterator[range]:
    """Replications, so many at a time; the first alone finds out the capacity, before many are simulated in vain."""
    yield range(1)
    for first in range(1, count, size):
        yield range(first, min(count, first + size))
