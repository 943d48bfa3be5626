"""Other settings under the same requests: each figure with the interval of its difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kpasim.results.paired import Difference
from kpasim.results.summary import Figures
from kpasim.studies.backtest.predict import Capacity, results
from kpasim.studies.backtest.prepare import Part


class Candidate(NamedTuple):
    """A candidate beside the settings in force.

    Attributes:
        name: What it is called.
        differences: Each figure, see `against.differences`; replication k of both met the same requests.
    """

    name: str
    differences: list[tuple[str, str, str, Difference]]

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "name": self.name,
            "differences": {
                name: {"title": title, "unit": unit, **found.to_dict("in_force", "candidate")}
                for title, name, unit, found in self.differences
            },
        }


ADDED = ("requests", "ok", "errors", "in_flight", "never_sent", "pod_seconds", "gpu_seconds", "cold_starts")
"""Figures of stretches that add up, besides failures by kind and money."""
HIGHEST = ("max_pods", "latency_s.max")
WEIGHTED = {"cold_start_share": "requests", "gpu_utilisation": "pod_seconds"}
"""Shares and what each is a share of; latencies are those of ``ok`` requests."""


def figures_of(
    stretches: Sequence[Part], replications: int, progress: Callable[[int], None] = lambda done: None
) -> Figures:
    """Every figure of an experiment, one value per replication; money as ``cost.NAME``.

    Args:
        stretches: Its stretches, one after the other. Percentiles of several are their mean, weighted by requests.
        replications: How many.
        progress: Called with the number of replications finished so far.
    """
    capacity, found = Capacity(), []
    for place, stretch in enumerate(stretches):
        simulated = results(stretch.experiment, replications, capacity=capacity)
        parts = [result.all_figures for result in simulated]
        found.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        progress(replications * (place + 1) // len(stretches))
    return found[0] if len(found) == 1 else joined(found)


def joined(stretches: Sequence[Figures]) -> Figures:
    """Figures of stretches that follow each other, as of the whole; those that have none are left out."""
    whole: Figures = {}
    for name in stretches[0]:
        values = np.stack([one[name] for one in stretches])
        if name in ADDED or name.startswith(("failed.", "cost.amount")):
            whole[name] = values.sum(axis=0)
        elif name in HIGHEST:
            whole[name] = np.nanmax(values, axis=0)
        elif name in WEIGHTED or name.startswith("latency_s."):
            weights = np.stack([one[WEIGHTED.get(name, "ok")] for one in stretches]) * ~np.isnan(values)
            whole[name] = np.nansum(values * weights, axis=0) / np.maximum(weights.sum(axis=0), 1e-12)
    return whole
