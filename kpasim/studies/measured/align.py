"""The phases of a measured run's clocks, found from what its autoscaler observed and never from what it decided.

With the clocks in step, what is left between prediction and measurement is the mechanism alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kpasim.arrays import Floats, Ints
from kpasim.engines import lower
from kpasim.engines import params as of
from kpasim.engines.outcome import Outcome
from kpasim.engines.params import SECOND_NS, TICK_NS, Draws, Params
from kpasim.engines.sampling import Recorded, Sampler
from kpasim.results.tables import Tables
from kpasim.spec.experiment import Experiment
from kpasim.studies.execution.engine import choose_engine, execute

CANDIDATES = 512
"""Random phases that are tried first."""
BEST, AROUND = 8, 32
"""How many of the best are then varied, and how often each."""
SPREAD_NS = 20_000_000
"""Standard deviation of these variations."""
CLUSTER_S = 0.02
"""Ticks of one clock lie this close together, modulo its period."""
SAME_TICK_S = 0.3
"""A measured and a simulated tick this far apart are not the same tick."""
FAR = 0.2
"""Averages this far apart are as wrong as can be, as a share of the highest one measured."""
MEMORY_S = 30.0
"""Ticks count less the later they are: after some time runs go different ways for other reasons than their clocks."""
SAME_CHANGE_S = 4.0
"""Changes of desired to the same number are the same change if they lie within two ticks."""


def tick_phase_s(t_s: Floats) -> float:
    """Phase of the ticks' clock from the start of the load [s], in [0, 2): where most ticks lie, less their jitter."""
    residues = np.sort(np.mod(t_s, 2.0))
    after = np.concatenate([residues, residues + 2.0])
    count = np.searchsorted(after, residues + CLUSTER_S) - np.arange(len(residues))
    return float(residues[int(np.argmax(count))])


def align(experiment: Experiment, tables: Tables, recorded: Recorded) -> tuple[Experiment, Recorded]:
    """The experiment and its recorded numbers with the phases under which the simulation observes what was measured.

    Ticks tell their phase themselves, and the load begins at that phase, within a second of when it did. The phases of
    the others (wall clock, reports, scrapes; kubelet and queue-proxy of the pods that are there from the beginning) are
    those of many tried under which the averages ``stable`` and ``panic`` come nearest to the measured ones.
    """
    if not len(tables.ticks["t_s"]):
        return experiment, recorded
    if recorded.load_phase_ns == of.AT_ONCE:
        wait_s = max(0.0, experiment.start.for_s - TICK_NS / SECOND_NS / 2)
        experiment = experiment.with_settings({"start.for": f"{wait_s:.6f}s"})
    phase_ns = round(tick_phase_s(tables.ticks["t_s"]) * SECOND_NS)
    params = lower.lower(experiment, recorded)
    first = [
        one._replace(load_phase_ns=(int(one.phase[of.TICK]) - phase_ns) % TICK_NS)
        for one in Sampler(experiment, params, recorded).draw_many(range(CANDIDATES))
    ]
    errors = _errors(tables, params, first)
    random = np.random.default_rng(experiment.seed)
    near = [_varied(first[int(place)], random) for place in np.argsort(errors)[:BEST] for _ in range(AROUND)]
    tried = [*first, *near]
    best = tried[int(np.argmin(np.concatenate([errors, _errors(tables, params, near)])))]
    return experiment, recorded._replace(
        phase_ns={place: int(value) for place, value in enumerate(best.phase)},
        kubelet_phase_ns=tuple(best.pod[: params.initial_scale, of.KUBELET_PHASE].tolist()),
        cut_phase_ns=tuple(best.pod[: params.initial_scale, of.QUEUE_PROXY_PHASE].tolist()),
        load_phase_ns=best.load_phase_ns,
    )


def _varied(draws: Draws, random: np.random.Generator) -> Draws:
    """The same draws with the wall clock's and the reports' phases a little different."""
    phase = draws.phase.copy()
    free = [of.WALL, *range(of.REPORT, len(phase))]
    period_ns = np.array([TICK_NS] + [SECOND_NS] * (len(free) - 1))
    phase[free] = (phase[free] + np.rint(random.normal(0.0, SPREAD_NS, len(free))).astype(np.int64)) % period_ns
    return draws._replace(phase=phase)


def _errors(tables: Tables, params: Params, tried: list[Draws]) -> Floats:
    """How far what each run observes is from what was measured."""
    engine = choose_engine("auto", max(params.requests, 1) * len(tried))
    return np.array([observation_error(tables, one) for one in execute(params, tried, engine)])


def observation_error(tables: Tables, outcome: Outcome) -> float:
    """How far the averages at measured ticks are from the simulated ones: 0 for equal, 1 for as wrong as can be."""
    measured = tables.ticks
    t_s = (outcome.ticks["t_ns"] - outcome.load_ns) / SECOND_NS
    if not len(t_s):
        return 1.0
    far = FAR * max(1.0, float(np.max(measured["panic"])))
    place = _nearest(t_s, measured["t_s"])
    error = np.zeros(len(place))
    for name in ("stable", "panic"):
        error += np.minimum(np.abs(outcome.ticks[name][place] - measured[name]) / far, 1.0) / 2
    error[np.abs(t_s[place] - measured["t_s"]) > SAME_TICK_S] = 1.0
    return float(np.average(error, weights=np.exp(-np.maximum(measured["t_s"], 0.0) / MEMORY_S)))


def _nearest(sorted_s: Floats, t_s: Floats) -> Ints:
    """Place of the nearest of ``sorted_s`` for each time."""
    right = np.searchsorted(sorted_s, t_s).clip(1, max(1, len(sorted_s) - 1))
    left = right - 1
    right = right.clip(0, len(sorted_s) - 1)
    return np.where(t_s - sorted_s[left] <= sorted_s[right] - t_s, left, right).astype(np.int64)


@dataclass(frozen=True)
class Changes:
    """Changes of desired under load, measured and simulated.

    Attributes:
        measured: How many were measured.
        missed: How many of them the simulation does not make (mean of the replications).
        extra: How many it makes that were not measured (mean of the replications).
        off_s: How far apart in time the common ones are (median); ``None`` without any.
    """

    measured: int
    missed: float
    extra: float
    off_s: float | None


def changes(tables: Tables, outcomes: Sequence[Outcome]) -> Changes:
    """Put the changes of desired of all replications beside the measured ones."""
    measured = desired_changes(tables.scaling["t_s"], tables.scaling["desired"])
    off: list[float] = []
    missed = extra = 0
    for one in outcomes:
        simulated = changes_of(one)
        apart = common(measured, simulated)
        off += apart
        missed += len(measured) - len(apart)
        extra += len(simulated) - len(apart)
    runs = max(1, len(outcomes))
    return Changes(len(measured), missed / runs, extra / runs, float(np.median(off)) if off else None)


def desired_changes(t_s: Floats, desired: Ints) -> list[tuple[float, int]]:
    """When desired changed after the start of the load, and to what."""
    known = desired >= 0
    times, values = t_s[known], desired[known]
    places = np.flatnonzero(np.diff(values)) + 1
    return [(float(times[place]), int(values[place])) for place in places if times[place] >= 0.0]


def changes_of(outcome: Outcome) -> list[tuple[float, int]]:
    """The same of a simulated run."""
    return desired_changes((outcome.scaling["t_ns"] - outcome.load_ns) / SECOND_NS, outcome.scaling["desired"])


def common(measured: list[tuple[float, int]], simulated: list[tuple[float, int]]) -> list[float]:
    """Distances in time of changes to the same value, each used once, nearest first."""
    pairs = sorted(
        (abs(a - b), i, j)
        for i, (a, to) in enumerate(measured)
        for j, (b, other) in enumerate(simulated)
        if to == other and abs(a - b) <= SAME_CHANGE_S
    )
    left, right = set(range(len(measured))), set(range(len(simulated)))
    found = []
    for distance, i, j in pairs:
        if i in left and j in right:
            left.remove(i)
            right.remove(j)
            found.append(distance)
    return found
