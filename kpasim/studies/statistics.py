"""One experiment, many replications, no request kept: for runs too long for tables.

What is left of a request is one count. An open loop with a rate takes the same memory however long it runs: its random
numbers are made a few thousand requests at a time, and pods that are gone are counted and dropped. A closed loop and a
trace keep their random numbers (24 bytes a request) and a row for each pod.
"""

import functools
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from kpasim.arrays import Floats, Ints
from kpasim.engines import compiled, counts, lower, sampling, stream
from kpasim.engines.outcome import Counts
from kpasim.engines.params import SECOND_NS, Params
from kpasim.engines.tables import payers
from kpasim.results import cost
from kpasim.results.summary import FAILED, LATENCY_PERCENTILES, Aggregate, Figures, aggregate, latencies_of_all
from kpasim.results.tables import Tables
from kpasim.spec.experiment import Experiment
from kpasim.spec.sharing import sharing_note
from kpasim.spec.workload import Hey, OpenLoop
from kpasim.studies.execution.allocation import Allocation, in_parts
from kpasim.studies.execution.engine import ready
from kpasim.studies.prices import prices_of, prices_to_dict
from kpasim.studies.run import Billed, Terms, execute_all, is_cut, replications_of, requests_of
from kpasim.studies.steady import DAY_S

NEEDS_TABLES = (
    "hey",
    "cold_start_share",
    "gpu_utilisation",
    "first_scale_out_s",
    "panic_entered_s",
    "desired_zero_after_last_s",
    "replicas_zero_after_last_s",
    "cost.parts",
)
"""What `studies.run.Result` tells and counts do not."""
SPENT = ("amount", "within", "stays_per_hour")
NO_REQUESTS = {
    name: np.zeros((1, 0), dtype=np.int64 if name == "pod" else np.float64)
    for name in ("pod", "server_start_s", "server_end_s")
}
FIRST_PODS = 1024
"""Initial capacity for pods of a run in parts; a run that needs more is repeated with twice as many."""


@dataclass
class Statistics(Billed):
    """What the replications of one experiment come to, by what was counted in each, in order."""

    experiment: Experiment
    params: Params
    seed: int
    outcomes: Sequence[Counts] = field(repr=False)

    @cached_property
    def figures(self) -> Figures:
        """Figures of merit as ``Result.figures`` has them, one value per replication.

        Percentiles of latency are within ``counts.ERROR`` (0.39 %) of those; all else is the same, and
        ``NEEDS_TABLES`` are left out.
        """
        load_ns, requests, ok, errors, last_ns = (
            np.array([getattr(one, name) for one in self.outcomes], dtype=np.float64)
            for name in ("load_ns", "requests", "ok", "errors", "last_ns")
        )
        ended = ok + errors
        total_s = np.where(ended > 0, (last_ns - load_ns) / SECOND_NS, np.nan)
        latencies = self._latencies()
        ranks = LATENCY_PERCENTILES
        late = (requests - ok).astype(np.int64).tolist()
        of_all = np.array(
            [counts.percentiles_s(one.latencies, ranks, more) for one, more in zip(self.outcomes, late, strict=True)]
        )
        figures = {f"latency_s.{name}": values for name, values in latencies.items()}
        of_all = np.where(np.isinf(of_all), np.inf, self._within_ends(of_all, latencies))
        figures |= latencies_of_all(latencies, ok, requests, of_all.T)
        figures |= {"total_s": total_s, "requests": requests, "ok": ok, "errors": errors, "in_flight": requests - ended}
        with np.errstate(divide="ignore", invalid="ignore"):
            figures["rps"] = ended / total_s
        failed = np.array([one.failed for one in self.outcomes], dtype=np.float64).T
        figures |= dict(zip(FAILED, (*failed, errors - failed.sum(axis=0)), strict=True))
        figures |= self._pods() | {"never_sent": self._never_sent(requests)}
        if self.terms.month is not None:
            figures["requests_per_day"] = self._per_day(self.terms.month, requests)
        return figures

    @cached_property
    def cost_figures(self) -> Figures | None:
        """Cost of each replication, but for its parts; ``None`` without prices."""
        if self.prices is None:
            return None
        each = [
            spent(self.terms, one.pods, one.nodes, one.load_ns, end_s) + one.billed
            for one, end_s in zip(self.outcomes, self.horizon_s.tolist(), strict=True)
        ]
        sums = dict(zip(SPENT, np.array(each).T, strict=True))
        ok = np.array([one.ok for one in self.outcomes])
        return cost.bill_of(sums, ok, self.horizon_s, self.terms.steady_s, self.terms.repeat_s)

    @property
    def slo_figures(self) -> Figures:
        """The figures that SLOs are about: those of cost as ``cost.NAME``."""
        return {**self.figures, **self.costs_by_name}

    def _never_sent(self, requests: Floats) -> Floats:
        """Requests of the load that each replication was over before, see ``Result.never_sent``."""
        if not is_cut(self.experiment):
            return np.zeros(len(requests))
        of_closed = requests_of(self.experiment.workload)
        return (self._sent_within(0.0, math.inf) if of_closed is None else of_closed) - requests

    def _sent_within(self, begin_s: float, end_s: float) -> Floats:
        """Requests that the open loop of each replication has from a time on until before another."""
        workload, numbers = self.experiment.workload, range(self.replications)
        assert isinstance(workload, OpenLoop)
        each: Iterable[Iterable[Ints]]
        if workload.has_parts:
            sampler = sampling.Sampler(self.experiment, self.params)
            each = (sampler.sent_in_parts(number, stream.AT_ONCE) for number in numbers)
        else:
            each = ([sampling.arrivals(workload, self.seed, number)] for number in numbers)
        ends = (begin_s, end_s)
        return np.array([sum(int(np.diff(np.searchsorted(sent / SECOND_NS, ends))[0]) for sent in one) for one in each])

    def _per_day(self, month: tuple[float, float], requests: Floats) -> Floats:
        """See ``studies.steady.requests_per_day``; ``NaN`` of a closed loop that goes on when the load comes again."""
        begin_s, end_s = month
        if isinstance(self.experiment.workload, Hey):
            sent = np.where(self.horizon_s <= end_s + 1e-6, requests, np.nan)
        else:
            sent = self._sent_within(begin_s, end_s)
        return np.asarray(sent * DAY_S / (end_s - begin_s))

    @cached_property
    def aggregate(self) -> Aggregate:
        """Medians, 90 % intervals, counts and Monte-Carlo errors of the figures."""
        return aggregate(self.figures)

    def percentiles_s(self, ranks: Sequence[float]) -> Floats:
        """Percentiles of the latencies of all replications together [s]."""
        return counts.percentiles_s(np.sum([one.latencies for one in self.outcomes], axis=0), ranks)

    def _latencies(self) -> Figures:
        ok = [one.ok for one in self.outcomes]

        def of_good(values_ns: list[int]) -> Floats:
            return np.array([value / SECOND_NS if good else np.nan for value, good in zip(values_ns, ok, strict=True)])

        found = {
            "mean": of_good([one.latency_sum_ns for one in self.outcomes]) / np.maximum(ok, 1),
            "min": of_good([one.latency_min_ns for one in self.outcomes]),
            "max": of_good([one.latency_max_ns for one in self.outcomes]),
        }
        ranks = LATENCY_PERCENTILES
        each = np.array([counts.percentiles_s(one.latencies, ranks) for one in self.outcomes])
        each = self._within_ends(each, found)
        return found | {f"p{rank}": each[:, place] for place, rank in enumerate(ranks)}

    @staticmethod
    def _within_ends(each: Floats, found: Figures) -> Floats:
        """Percentiles of each run between its ends, which are known better than their buckets."""
        return np.clip(each, found["min"][:, np.newaxis], found["max"][:, np.newaxis])

    def _pods(self) -> Figures:
        totals = np.array([one.pod_totals for one in self.outcomes], dtype=np.float64)
        most, lived_ns, held_ns, created = totals.T
        gpu_s = held_ns / SECOND_NS * self.experiment.gpus_per_pod
        return {"max_pods": most, "pod_seconds": lived_ns / SECOND_NS, "gpu_seconds": gpu_s, "cold_starts": created}

    def to_dict(self) -> dict[str, Any]:
        """The figures in the form of ``kpasim run --json``."""
        return {
            "experiment": self.experiment.name,
            "seed": self.seed,
            "replications": self.replications,
            "counts_only": True,
            "sharing": sharing_note(self.experiment) or None,
            "needs_tables": [*NEEDS_TABLES],
            "summary": self.summary,
            "intervals": self.intervals,
            "cost": self.cost,
            "prices": prices_to_dict(self.prices),
        }


def spent(terms: Terms, pods: Ints, nodes: Ints, load_ns: int, end_s: float) -> Floats:
    """``SPENT`` on some pods and nodes of a run, up to its end or until they are all gone."""
    load, end = np.array([[load_ns]]), np.array([end_s])
    tables = Tables(requests=NO_REQUESTS, ticks={}, scaling={}, **payers([pods], [nodes], load))
    found = cost.spent_many(tables, terms.prices or {}, terms.billing, end, terms.steady_s)
    return np.array([found[name][0] for name in SPENT])


def statistics(
    experiment: Experiment,
    *,
    replications: int | None = None,
    threads: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Statistics:
    """Simulate an experiment with the compiled engine and keep counts only.

    Raises:
        RunError: The experiment cannot be simulated, or grows beyond all bounds.
    """
    count = replications_of(experiment, replications)
    workers = threads or os.cpu_count() or 1
    prices_of(experiment)  # What cannot be billed is refused now, not after the work.
    ready()
    params = lower.lower(experiment, counts_only=True)
    if experiment.workload.has_parts and params.requests > stream.AT_ONCE:
        sampler = sampling.Sampler(experiment, params)
        terms = Statistics(experiment, params, experiment.seed, []).terms
        bill = None if terms.prices is None else functools.partial(spent, terms, end_s=math.inf)

        def play(replication: int, pods: int) -> Counts:
            return stream.count(params, sampler, replication, pods, bill)

        found = in_parts(experiment, sampler, count, play, threads=workers, progress=progress)
    else:
        allocation = Allocation(experiment, sampling.Sampler(experiment, params))
        found = execute_all(
            allocation, count, lambda params, draws, _: compiled.count_many(params, draws, workers), progress
        )
        params = allocation.params
    return Statistics(experiment, params, experiment.seed, found)
