"""One experiment, many replications, no request kept: for runs too long for tables.

What is left of a request is one count, so requests that have ended take no memory. Their random numbers still do, 24
bytes for each request of the replications that are played together, and so does one row for each pod.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kpasim.engines import counts, lower, sampling
from kpasim.engines.outcome import Counts, Outcome
from kpasim.engines.params import SECOND_NS, Params
from kpasim.engines.tables import stacked
from kpasim.results import summary
from kpasim.studies.run import play_all, replications_of

if TYPE_CHECKING:
    from kpasim.spec.experiment import Experiment

POD_FIGURES = ("max_pods", "pod_seconds", "gpu_seconds", "cold_starts")


@dataclass
class Statistics:
    """What the replications of one experiment come to.

    Attributes:
        experiment: What was run.
        params: The same in numbers.
        seed: The seed of all random numbers.
        counts: What was counted in each replication, in order.
    """

    experiment: Experiment
    params: Params
    seed: int
    counts: Sequence[Counts] = field(repr=False)

    @property
    def replications(self) -> int:
        """How many there are."""
        return len(self.counts)

    @cached_property
    def figures(self) -> summary.Figures:
        """Figures of merit as ``Result.figures`` has them, one value per replication.

        Percentiles of latency are within ``counts.ERROR`` (0.39 %) of those; all else is the same, and what needs
        requests, ticks or changes of scale in their order is left out.
        """
        load_ns, requests, ok, errors, last_ns = (
            np.array([getattr(one, name) for one in self.counts], dtype=np.float64)
            for name in ("load_ns", "requests", "ok", "errors", "last_ns")
        )
        ended = ok + errors
        total_s = np.where(ended > 0, (last_ns - load_ns) / SECOND_NS, np.nan)
        figures = {f"latency_s.{name}": values for name, values in self._latencies().items()}
        with np.errstate(divide="ignore", invalid="ignore"):
            figures |= {"total_s": total_s, "requests": requests, "ok": ok, "errors": errors, "rps": ended / total_s}
        return figures | self._pods()

    @cached_property
    def aggregate(self) -> summary.Aggregate:
        """Medians, 90 % intervals, counts and Monte-Carlo errors of the figures."""
        return summary.aggregate(self.figures)

    def percentiles_s(self, ranks: Sequence[float]) -> NDArray[np.float64]:
        """Percentiles of the latencies of all replications together [s]."""
        return counts.percentiles_s(np.sum([one.latencies for one in self.counts], axis=0), ranks)

    def _latencies(self) -> summary.Figures:
        ok = [one.ok for one in self.counts]

        def of_good(values_ns: list[int]) -> NDArray[np.float64]:
            return np.array([value / SECOND_NS if good else np.nan for value, good in zip(values_ns, ok, strict=True)])

        found = {
            "mean": of_good([one.latency_sum_ns for one in self.counts]) / np.maximum(ok, 1),
            "min": of_good([one.latency_min_ns for one in self.counts]),
            "max": of_good([one.latency_max_ns for one in self.counts]),
        }
        ranks = summary.LATENCY_PERCENTILES
        each = np.array([counts.percentiles_s(one.latencies, ranks) for one in self.counts])
        # The ends are known better than their buckets.
        each = np.clip(each, found["min"][:, np.newaxis], found["max"][:, np.newaxis])
        return found | {f"p{rank}": each[:, place] for place, rank in enumerate(ranks)}

    def _pods(self) -> summary.Figures:
        def nothing(columns: int) -> NDArray[np.int64]:
            return np.zeros((0, columns), dtype=np.int64)

        runs = [
            Outcome(
                one.load_ns, one.end_ns, nothing(10), one.pods, one.nodes, nothing(8), np.zeros((0, 3)), nothing(6), 0
            )
            for one in self.counts
        ]
        horizon_s = np.array([(one.end_ns - one.load_ns) / SECOND_NS for one in self.counts])
        every = summary.summarise_many(stacked(runs), horizon_s, self.experiment.gpus_per_pod)
        return {name: every[name] for name in POD_FIGURES}

    def to_dict(self) -> dict[str, Any]:
        """The figures in the form of ``kpasim run --json``."""
        return {
            "experiment": self.experiment.name,
            "seed": self.seed,
            "replications": self.replications,
            "summary": self.aggregate.medians,
            "intervals": self.aggregate.intervals,
        }


def statistics(
    experiment: Experiment,
    *,
    replications: int | None = None,
    seed: int | None = None,
    threads: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Statistics:
    """Play an experiment with the compiled engine and keep counts only.

    Args:
        experiment: What to play, see ``kpasim.load``.
        replications: How many times, the experiment's own number by default.
        seed: Seed of all random numbers, the experiment's own by default.
        threads: Replications played at the same time; 0 for one on each core.
        progress: Called with the number of replications finished so far.

    Raises:
        RunError: The experiment cannot be played, or grows beyond all bounds.
    """
    from kpasim.engines import compiled

    if seed is not None:
        experiment = experiment.with_settings({"seed": seed})
    count = replications_of(experiment, replications)
    workers = threads or os.cpu_count() or 1
    params, found = play_all(
        experiment,
        lower.lower(experiment),
        sampling.NOTHING_RECORDED,
        count,
        lambda params, draws: compiled.count_many(params, draws, workers),
        progress,
    )
    return Statistics(experiment, params, experiment.seed, found)
