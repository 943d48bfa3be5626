"""Stages of a cold start from pods whose moments were recorded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kpasim.arrays import Bools, Floats
from kpasim.records import Record
from kpasim.records.kubectl import stages as stage_times
from kpasim.results.display import counted
from kpasim.results.frames import Columns
from kpasim.results.tables import Tables
from kpasim.studies.fit.families import BOOTSTRAPS, NOTHING, Fit, Sample, fit, joined
from kpasim.studies.measured.described import answering

WHOLE_SECONDS = 1.0
"""Resolution of the times that Kubernetes writes."""
LEAST_FOR_TURNS = 4
"""Pods made together that are needed to tell turns from chance."""
TURNS_MARGIN = 3.0
"""How much more likely, as a logarithm, taking turns must be before it is believed."""
TOGETHER_S = 1.0
"""Pods created within so long of each other go through in any order."""
FEWEST_KNOWN, LEAST_BEYOND, SPREADS_BEYOND = 2, 0.2, 4.0
"""A start that broke off has failed if it is beyond the longest of at least so many known ones, as a logarithm, by so
much and by so many times their spread."""
NO_TIME_S = 0.01
"""A stage that never takes longer than this does not exist."""


@dataclass(frozen=True)
class StageFit:
    """One stage of a start.

    Attributes:
        name: Name in the model.
        kind: Kind in the model.
        time: Its time.
        at_a_time: 1 where pods went through it one after the other, else 0.
        when: When a pod goes through it, as in the model.
    """

    name: str
    kind: str
    time: Fit
    at_a_time: int = 0
    when: str = "before-ready"


@dataclass(frozen=True)
class Starts:
    """What files say about starts of pods.

    Attributes:
        stages: The stages, in their order; empty where no pod became ready.
        crash_probability: Share of starts that failed; ``None`` where no start failed or the files do not tell.
        notes: What a user should know.
    """

    stages: Sequence[StageFit] = ()
    crash_probability: float | None = None
    notes: Sequence[str] = ()


def fit_starts(
    records: Sequence[Record],
    probe_period_s: float,
    rng: np.random.Generator,
    *,
    service: str = "",
    bootstraps: int = BOOTSTRAPS,
) -> Starts:
    """The stages that the pods of some files show.

    A pod's start ends when its port opens. Where only its readiness is known, the port opened within one period of the
    probe before that. A start that broke off is known to be longer than it had lasted. Pods whose containers have
    restarted are left out: the moments of their first start are not known, or hold a crash and a pause.

    Args:
        records: Files with pods.
        probe_period_s: Period of the readiness probe where a file does not name it; 0 where probes wait for the port.
        rng: Random numbers of the bootstrap.
        service: Name of the Knative Service whose pods count, where a file holds pods of several.
        bootstraps: Resamples.
    """
    samples: dict[str, list[Sample]] = {}
    turns: list[tuple[Floats, Floats]] = []
    notes: list[str] = []
    restarts = started = 0
    for record in records:
        period_s = _probe_period_s(record, probe_period_s)
        pods = _of_service(_started_here(record, period_s), record, service, notes)
        restarted = _restarted(pods)
        if restarted.any():
            which = "this pod" if restarted.sum() == 1 else "these pods"
            notes.append(
                f"{record.path}: {counted(restarted.sum(), 'pod')} restarted, the start of {which} is left out"
            )
        if record.kind == "run-folder" and "restarts" in pods:
            restarts += int(np.maximum(pods["restarts"], 0).sum())
            started += int((~np.isnan(pods["ready_s"])).sum())
        pods = _take(pods, ~restarted)
        resolution = WHOLE_SECONDS if record.kind == "kubectl-pods" else 0.0
        disordered = np.any([lasted < -resolution for lasted in stage_times(pods).values()], axis=0)
        if disordered.any():
            notes.append(f"{record.path}: {counted(disordered.sum(), 'pod')} left out: its moments are not in order")
        pods = _take(pods, ~disordered)
        for place, (name, lasted) in enumerate(stage_times(pods).items()):
            times, ready = lasted, name == "start"
            if ready and "port_open_s" in pods and not np.isnan(pods["port_open_s"]).all():
                times, ready = times - (pods["ready_s"] - pods["port_open_s"]), False
            low, high = times - period_s if ready else times, times
            if ready and "answers_by_s" in pods:
                low = times - (pods["ready_s"] - pods["answers_from_s"])
                high = times - (pods["ready_s"] - pods["answers_by_s"])
            found, failed = _sample(record, pods, low, high, period_s if ready else 0.0)
            samples.setdefault(name, []).append(found)
            if failed:
                notes.append(
                    f"{record.path}: {failed} pod{'s' * (failed > 1)} never became ready, long after the others were: "
                    f"left out of the stage {name}"
                )
            if place == 0:
                turns.append((pods["created_s"], pods["created_s"] + times))
    stages: list[StageFit] = []
    for place, (name, parts) in enumerate(samples.items()):
        both = joined(parts)
        if len(both) == both.censored or (len(samples) > 1 and both.middle.max() <= NO_TIME_S):
            continue
        queue, gaps = _in_turn(turns) if place == 0 else (math.nan, both)
        in_turn = queue > TURNS_MARGIN
        time = fit(gaps if in_turn else both, rng, bootstraps=bootstraps)
        stages.append(StageFit(name, name, time, int(in_turn)))
    return Starts(stages, restarts / (restarts + started) if restarts and started else None, notes)


def _started_here(record: Record, period_s: float) -> Columns:
    """Pods whose start was recorded: of a simulated run not those that were there by decree."""
    pods = record.pods
    if isinstance(record.tables, Tables):
        earliest_s, latest_s = answering(record.tables, period_s)
        pods = {**pods, "answers_from_s": earliest_s, "answers_by_s": latest_s}
    keep = ~np.isnan(pods["created_s"])
    if record.run.get("source") == "simulated":
        keep &= pods["created_s"] >= 0.0
    return _take(pods, keep)


def _of_service(pods: Columns, record: Record, service: str, notes: list[str]) -> Columns:
    """The pods of one workload, where a file holds pods of several: of the service, else of the most frequent."""
    if "workload" not in pods or len(names := np.unique(pods["workload"])) < 2:
        return pods
    counts = {str(name): int((pods["workload"] == name).sum()) for name in names}
    wanted = [name for name in counts if service and name in {service, f"{service}-predictor"}]
    knative = [
        name for name in counts if "revision" in pods and (pods["revision"][pods["workload"] == name] != "").any()
    ]
    chosen = max(wanted or knative or counts, key=lambda name: counts[name])
    keep = pods["workload"] == chosen
    choice = "" if wanted else " (name the service with --experiment)"
    kept, others = int(keep.sum()), counted(len(counts) - 1, "other workload")
    notes.append(
        f"{record.path}: the {counted(kept, 'pod')} of {chosen or 'no workload'} {'is' if kept == 1 else 'are'} used, "
        f"{counted(len(keep) - kept, 'pod')} of {others} left out{choice}"
    )
    return _take(pods, keep)


def _restarted(pods: Columns) -> Bools:
    """Pods whose containers have restarted before they were ready, as far as the file knows."""
    none = np.zeros(len(pods["created_s"]), dtype=np.int64)
    return np.asarray(pods.get("restarts_before_ready", pods.get("restarts", none)) > 0)


def _take(columns: Columns, rows: Bools) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


def _probe_period_s(record: Record, otherwise_s: float) -> float:
    """Period of the readiness probe that a run folder names."""
    service = record.run.get("service")
    probe = service.get("readinessProbe") if isinstance(service, dict) else None
    period = probe.get("periodSeconds") if isinstance(probe, dict) else None
    return float(period) if isinstance(period, int | float) else otherwise_s


def _sample(record: Record, pods: Columns, shortest: Floats, times: Floats, before_s: float) -> tuple[Sample, int]:
    """Times of one stage with what is known of their ends, and how many pods are left out as failed."""
    resolution = WHOLE_SECONDS if record.kind == "kubectl-pods" else 0.0
    ended = ~np.isnan(times)
    low = np.maximum(shortest[ended] - resolution, 0.0)
    high = np.maximum(times[ended] + resolution, low)
    stopped = pods.get("delete_requested_s", np.full(len(times), np.nan))
    lasted = (stopped - pods["created_s"])[~ended] - before_s
    lasted = lasted[~np.isnan(lasted) & (lasted > 0.0)]
    # A container that fails is no slow start.
    failed = np.zeros(len(lasted), bool)
    if len(high) >= FEWEST_KNOWN:
        spread = float(np.log(np.maximum(high, 1e-9)).std())
        failed = lasted > high.max() * math.exp(max(LEAST_BEYOND, SPREADS_BEYOND * spread))
    lasted = lasted[~failed]
    found = Sample(np.concatenate((low, lasted)), np.concatenate((high, np.full(len(lasted), np.inf))))
    return found, int(failed.sum())


def _in_turn(runs: Sequence[tuple[Floats, Floats]]) -> tuple[float, Sample]:
    """How much more likely it is that pods took turns, and their times if they did.

    Both times are taken as lognormal: those from creation to end, or those from the end before, whichever is later.
    Whose turn it is says nothing about the times, so each turn has the probability 1 / pods that were waiting. Without
    that factor (n! for n pods created together) the density of ordered times would be held against that of unordered
    ones, and turns would be found wherever pods start together.
    """
    alone: list[float] = []
    turns: list[float] = []
    orders = 0.0
    most = 0
    for created, ends in runs:
        known = ~np.isnan(ends)
        order = np.argsort(ends[known], kind="stable")
        begin, end = created[known][order], ends[known][order]
        before = np.concatenate(([-np.inf], end[:-1]))
        turn = np.maximum(begin, before)
        # Nobody waits while it is nobody's turn: a pod that was there before the next one would have gone through.
        waiting_since = np.minimum.accumulate(begin[::-1])[::-1]
        if (turn > np.maximum(waiting_since, before) + TOGETHER_S).any():
            return math.nan, NOTHING
        alone += list(end - begin)
        turns += list(end - turn)
        orders += sum(math.log((begin[place:] <= turn[place]).sum()) for place in range(len(end)))
        most = max(most, int((begin < before).sum()) + 1)
    gaps = np.array(turns)
    if most < LEAST_FOR_TURNS or (gaps <= 0.0).any():
        return math.nan, Sample(gaps, gaps)
    ratio = _lognormal_likelihood(gaps) - orders - _lognormal_likelihood(np.array(alone))
    return ratio, Sample(gaps, gaps)


def _lognormal_likelihood(times: Floats) -> float:
    """Logarithm of the greatest likelihood of a lognormal distribution."""
    logs = np.log(np.maximum(times, 1e-9))
    spread = max(float(logs.std()), 0.01)
    return float(-logs.sum() - len(logs) * (math.log(spread) + 0.5))
