"""What scrapes of a simulated run would have shown: the same figures, at the same times, as the recorded ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kpasim.arrays import Floats
from kpasim.engines import lower
from kpasim.engines import outcome as of
from kpasim.engines.outcome import Outcome
from kpasim.engines.params import NEVER_NS, SECOND_NS
from kpasim.results.states import last_values
from kpasim.spec.experiment import Experiment
from kpasim.studies.execution.allocation import FIRST_PODS
from kpasim.studies.execution.engine import choose_engine
from kpasim.studies.run import Result, batches
from kpasim.studies.runner import Runner

GAUGES = {
    "pods": "kn_revision_pods_count",
    "requested": "kn_revision_pods_requested",
    "desired": "kn_revision_pods_desired",
    "concurrency": "kn_revision_concurrency_stable",
    "panic": "kn_revision_panic_mode",
}
"""What is compared at each scrape, and the gauge of the autoscaler that it is."""
ROWS_AT_ONCE = 2_000_000
"""Requests of the replications that are in memory at a time."""


class Ended(NamedTuple):
    """Requests by the bin of time in which they ended.

    Attributes:
        requests: How many.
        latency_s: Their durations, added up [s].
        errors: How many of them failed.
    """

    requests: Floats
    latency_s: Floats
    errors: Floats


def gauges(outcome: Outcome, at_s: Floats) -> dict[str, Floats]:
    """The values of `GAUGES` at some times from the start of the load [s]."""
    at_ns = outcome.load_ns + np.rint(at_s * SECOND_NS).astype(np.int64)
    pods = outcome.pods
    was_ready = pods[:, of.READY] != NEVER_NS
    ready, asked = np.sort(pods[was_ready, of.READY]), pods[was_ready, of.ASKED]
    gone = np.sort(asked[asked != NEVER_NS])
    scaling, ticks = outcome.scaling, outcome.ticks
    there = np.searchsorted(ready, at_ns, side="right") - np.searchsorted(gone, at_ns, side="right")
    desired, stable, panic = (
        last_values(ticks[of.TICK_T], ticks[name], at_ns, 0.0) for name in (of.DESIRED, of.STABLE, of.PANIC_MODE)
    )
    return {
        "pods": there.astype(np.float64),
        "requested": last_values(scaling[of.SCALING_T], scaling[of.REPLICAS], at_ns, 0.0),
        "desired": np.maximum(desired, 0.0),
        "concurrency": stable,
        "panic": panic,
    }


def pod_time(outcome: Outcome, begin_s: float, end_s: float) -> tuple[float, float]:
    """Pod-seconds of a run between two times from the start of the load [s], whatever the scrapes see of it.

    Those of pods that are Ready and not asked to go, and those of replicas asked of the Deployment.
    """
    if end_s <= begin_s:
        return 0.0, 0.0
    low_ns, high_ns = (outcome.load_ns + round(at_s * SECOND_NS) for at_s in (begin_s, end_s))
    pods = outcome.pods[outcome.pods[:, of.READY] != NEVER_NS]
    gone = np.where(pods[:, of.ASKED] == NEVER_NS, high_ns, np.minimum(pods[:, of.ASKED], high_ns))
    ready_ns = int(np.maximum(gone - np.maximum(pods[:, of.READY], low_ns), 0).sum())
    changes, replicas = outcome.scaling[of.SCALING_T], outcome.scaling[of.REPLICAS]
    lasted = np.diff(np.clip(np.append(changes, high_ns), low_ns, high_ns))
    return ready_ns / SECOND_NS, float((lasted * replicas).sum()) / SECOND_NS


def ended(outcome: Outcome, edges_s: Floats, window_s: tuple[float, float], *, at_pods: bool) -> Ended:
    """The responses of a run by bin.

    Args:
        outcome: The run.
        edges_s: Edges of the bins, from the start of the load [s].
        window_s: What counts, likewise.
        at_pods: Durations begin at the pods, as where only they were recorded: without the wait for a pod.
    """
    responses, sent, status = (outcome.requests[name] for name in (of.RESPONSE, of.SENT, of.STATUS))
    at_s = (responses - outcome.load_ns) / SECOND_NS
    inside = (responses != NEVER_NS) & (at_s > max(window_s[0], edges_s[0])) & (at_s <= min(window_s[1], edges_s[-1]))
    bins = len(edges_s) - 1
    place = np.minimum(((at_s[inside] - edges_s[0]) // (edges_s[1] - edges_s[0])).astype(np.int64), bins - 1)
    if at_pods:
        arrived = outcome.requests[of.ARRIVED]
        sent = np.where(arrived == NEVER_NS, sent, arrived)
    latency_s = (responses - sent)[inside] / SECOND_NS
    failed = (status[inside] // 100) != 2
    summed = (np.bincount(place, weights, minlength=bins) for weights in (None, latency_s, failed))
    return Ended(*(each.astype(np.float64) for each in summed))


@dataclass
class Capacity:
    """Pods that there were draws for in the last run: the next one does not have to find that out again."""

    pods: int = FIRST_PODS


def results(
    experiment: Experiment,
    replications: int,
    progress: Callable[[int], None] = lambda done: None,
    capacity: Capacity | None = None,
    threads: int = 0,
) -> Iterator[Result]:
    """All replications of an experiment, so many at a time that memory holds them.

    ``capacity`` is what an earlier run of the same service needed, and holds then what this one did.

    Raises:
        KpasimError: The experiment cannot be simulated.
    """
    capacity = capacity or Capacity()
    requests = max(1, lower.lower(experiment).requests)
    runner = Runner(experiment, choose_engine("auto", requests * replications), pods=capacity.pods)
    for numbers in batches(replications, max(1, ROWS_AT_ONCE // requests)):
        yield runner.result(numbers, threads)
        capacity.pods = runner.pods
        progress(numbers.stop)
