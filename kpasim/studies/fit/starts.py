"""Stages of a cold start from pods whose moments were recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kpasim.records import Record
from kpasim.records.kubectl import stages as stage_times
from kpasim.results.frames import Columns
from kpasim.studies.fit.families import BOOTSTRAPS, Fit, Sample, fit

Floats = NDArray[np.float64]

WHOLE_SECONDS = 1.0
"""Resolution of the times that Kubernetes writes."""
KINDS = {"provision": "provision", "pull": "pull", "start": "start"}
LEAST_FOR_TURNS = 4
"""Pods made together that are needed to tell turns from chance."""
TURNS_MARGIN = 3.0
"""How much more likely, as a logarithm, taking turns must be before it is believed."""


@dataclass(frozen=True)
class StageFit:
    """One stage of a start.

    Attributes:
        name: Name in the model.
        kind: Kind in the model.
        time: Its time.
        at_a_time: 1 where pods went through it one after the other, else 0.
        times: What it was fitted to.
        log_ratio: How much more likely turns are than independent times, as a logarithm; ``NaN`` where nobody can tell.
    """

    name: str
    kind: str
    time: Fit
    at_a_time: int = 0
    log_ratio: float = math.nan
    times: Sample | None = None


def fit_starts(
    records: Sequence[Record], probe_period_s: float, rng: np.random.Generator, *, bootstraps: int = BOOTSTRAPS
) -> list[StageFit]:
    """The stages that the pods of some files show; empty where none became ready.

    A pod's start ends when its port opens. Where only its readiness is known, the port opened within one period of the
    probe before that. A start that broke off is known to be longer than it had lasted.

    Args:
        records: Files with pods.
        probe_period_s: Period of the readiness probe; 0 where probes wait for the port.
        rng: Random numbers of the bootstrap.
        bootstraps: Resamples.
    """
    samples: dict[str, list[Sample]] = {}
    turns: dict[str, list[tuple[Floats, Floats]]] = {}
    for record in records:
        pods = _started_here(record)
        for name, times in stage_times(pods).items():
            if name == "start" and "port_open_s" in pods and not np.isnan(pods["port_open_s"]).all():
                times = times - (pods["ready_s"] - pods["port_open_s"])  # noqa: PLW2901
                ready = False
            else:
                ready = name == "start"
            samples.setdefault(name, []).append(_sample(record, pods, times, probe_period_s if ready else 0.0))
            if name == "provision" or "provision" not in samples:
                begin = pods["created_s"]
                turns.setdefault(name, []).append((begin, begin + times))
    found = []
    for name, parts in samples.items():
        both = Sample(np.concatenate([one.low for one in parts]), np.concatenate([one.high for one in parts]))
        if len(both) == both.censored:
            continue
        queue, gaps = _in_turn(turns.get(name, []))
        if queue > TURNS_MARGIN:
            found.append(StageFit(name, KINDS[name], fit(gaps, rng, bootstraps=bootstraps), 1, queue, gaps))
        else:
            found.append(StageFit(name, KINDS[name], fit(both, rng, bootstraps=bootstraps), 0, queue, both))
    return found


def _started_here(record: Record) -> Columns:
    """Pods whose start was recorded: of a simulated run not those that were there by decree."""
    pods = record.pods
    keep = ~np.isnan(pods["created_s"])
    if record.run.get("source") == "simulated":
        keep &= pods["created_s"] >= 0.0
    return {name: column[keep] for name, column in pods.items()}


def _sample(record: Record, pods: Columns, times: Floats, before_s: float) -> Sample:
    """Times of one stage with what is known of their ends."""
    resolution = WHOLE_SECONDS if record.kind == "kubectl-pods" else 0.0
    ended = ~np.isnan(times)
    low = np.maximum(times[ended] - before_s - resolution, 0.0)
    high = np.maximum(times[ended] + resolution, low)
    stopped = pods.get("delete_requested_s", np.full(len(times), np.nan))
    lasted = (stopped - pods["created_s"])[~ended]
    lasted = lasted[~np.isnan(lasted) & (lasted > 0.0)]
    return Sample(np.concatenate((low, lasted)), np.concatenate((high, np.full(len(lasted), np.inf))))


def _in_turn(runs: Sequence[tuple[Floats, Floats]]) -> tuple[float, Sample]:
    """How much more likely it is that pods took turns, and their times if they did.

    Both times are taken as lognormal: those from creation to end, or those from the end before, whichever is later.
    """
    alone: list[float] = []
    turns: list[float] = []
    most = 0
    for created, ends in runs:
        known = ~np.isnan(ends)
        order = np.argsort(ends[known], kind="stable")
        begin, end = created[known][order], ends[known][order]
        before = np.concatenate(([-np.inf], end[:-1]))
        alone += list(end - begin)
        turns += list(end - np.maximum(begin, before))
        most = max(most, int((begin < before).sum()) + 1)
    gaps = np.array(turns)
    if most < LEAST_FOR_TURNS or (gaps <= 0.0).any():
        return math.nan, Sample(gaps, gaps)
    return _lognormal_likelihood(gaps) - _lognormal_likelihood(np.array(alone)), Sample(gaps, gaps)


def _lognormal_likelihood(times: Floats) -> float:
    """Logarithm of the greatest likelihood of a lognormal distribution."""
    logs = np.log(np.maximum(times, 1e-9))
    spread = max(float(logs.std()), 0.01)
    return float(-logs.sum() - len(logs) * (math.log(spread) + 0.5))
