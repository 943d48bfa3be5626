"""Where in the wall-clock second an activator reports, found from earlier runs on the same activator.

An activator's reports begin with its process and come every second, so that they keep their place within the wall-clock
second through all revisions that it serves. Averages are kept in whole seconds: what a tick makes of the latest report
depends on that place. Measured requests say what each report contained, so each place can be tried on the averages that
the autoscaler printed.

Source:
    knative/serving, cmd/activator/main.go (one ticker for the life of the process) and
    pkg/activator/handler/concurrency_reporter.go
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpasim.engines import lower
from kpasim.engines.params import SECOND_NS, Params
from kpasim.results.tables import Tables, read_run_folder
from kpasim.spec.experiment import Experiment
from kpasim.studies.align import tick_phase_s
from kpasim.studies.measured import begun, experiment_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PLACES = np.arange(100) / 100.0
"""Places within the second that are told apart [s]."""
COARSE_S, FINE_S = 0.02, 0.004
"""Steps in which the phase of the reports is looked for [s]."""
FAR_STABLE, FAR_PANIC = 0.1, 0.3
"""Averages this far apart are as wrong as can be."""
SURE = 0.1
"""A place is ruled out if averages are off by this much more in total than at the best place."""
UNEXPLAINED = 0.05
"""Where averages are off by more than this at a tick even at the best place, a run says nothing."""


class Seen(NamedTuple):
    """What the autoscaler was told in one run, and what it made of that. Times from the start of the load [s].

    Attributes:
        enters: When requests reached the activator, ascending.
        changes: When its concurrency changed, ascending.
        level: Concurrency from each change on.
        area: Integral of the concurrency up to each change.
        scrapes: When the scraper read pods, each time zero.
        ticks: When it decided.
        stable: The averages that it printed then.
        panic: Likewise.
        windows: Lengths of both windows.
        first_stat_s: How long an immediate message takes.
    """

    enters: Floats
    changes: Floats
    level: Floats
    area: Floats
    scrapes: Floats
    ticks: Floats
    stable: Floats
    panic: Floats
    windows: tuple[int, int]
    first_stat_s: float


class Told(NamedTuple):
    """All that the autoscaler was told under one phase of the reports.

    Attributes:
        times: When, ascending.
        total: Sum of the first k values.
        known: How many of them each tick knows.
    """

    times: Floats
    total: Floats
    known: Ints


def report_places(folders: Iterable[str | Path]) -> tuple[int, ...]:
    """Places of the activator's reports within the wall-clock second [ns] that the fewest earlier runs rule out.

    Args:
        folders: Run folders, all made with one activator process. One that took requests past the activator, that
            scales by requests per second, or whose averages no place explains, says nothing.

    Returns:
        The places that are left; none if no run says anything.

    Raises:
        RecordError: A folder cannot be read.
        ExperimentError: A folder does not describe an experiment.
    """
    read = (read_run_folder(folder) for folder in folders)
    return agreed(found for run, tables, _ in read if (found := ruled_out(run, tables)) is not None)


def agreed(ruled: Iterable[NDArray[np.bool_]]) -> tuple[int, ...]:
    """The places [ns] that the fewest of several runs rule out; none without a run."""
    votes = [one.astype(np.int64) for one in ruled]
    if not votes:
        return ()
    against = np.sum(votes, axis=0)
    return tuple(round(place * SECOND_NS) for place in PLACES[against == against.min()])


def ruled_out(run: Mapping[str, Any], tables: Tables) -> NDArray[np.bool_] | None:
    """Which of ``PLACES`` cannot be those of the reports in a run; ``None`` if it says nothing.

    Args:
        run: Its run.json.
        tables: Its tables.
    """
    experiment = experiment_of(run, tables)
    params = lower.lower(experiment, begun(run, tables))
    past = "Serve" in tables.scaling["sks_mode"] or params.metric_rps or params.weight_stable > 0.0
    if past or params.activators != 1 or not len(tables.ticks["t_s"]) or np.isnan(tables.requests["latency_s"]).all():
        return None
    seen = seen_in(tables, experiment, params)
    walls = np.arange(0.0, 1.0, 0.1)
    phases = np.arange(0.0, 1.0, COARSE_S)
    for step in (COARSE_S, FINE_S):
        told = [told_at(seen, phase) for phase in phases]
        errors = [min(error(seen, one, wall) for wall in walls) for one in told]
        best = phases[int(np.argmin(errors))]
        phases = best + np.arange(-step, step + FINE_S / 2, FINE_S)
    told = [told_at(seen, phase) for phase in phases]
    each = [[error(seen, one, place - phase) for place in PLACES] for phase, one in zip(phases, told, strict=True)]
    least = np.min(each, axis=0)
    if least.min() > UNEXPLAINED * len(seen.ticks):
        return None
    return np.asarray(least > least.min() + SURE)


def seen_in(tables: Tables, experiment: Experiment, params: Params) -> Seen:
    """What measured tables tell of it."""
    pods, ticks = tables.pods, tables.ticks
    ended = ~np.isnan(tables.requests["latency_s"])
    requests = {name: tables.requests[name][ended] for name in ("start_s", "latency_s")}
    delays = experiment.cluster.delays
    enters = requests["start_s"] + delays.client_to_front_s / 2.0
    leaves = requests["start_s"] + requests["latency_s"] - delays.server_to_client_s / 2.0
    times = np.concatenate([enters, leaves])
    order = np.argsort(times, kind="stable")
    changes = times[order]
    level = np.cumsum(np.repeat([1.0, -1.0], len(enters))[order])
    area = np.concatenate([[0.0], np.cumsum(level[:-1] * np.diff(changes))])
    phase_s = tick_phase_s(ticks["t_s"]) + delays.creation_to_scrapes_s - delays.creation_to_ticks_s
    ready = pods["ready_s"][~np.isnan(pods["ready_s"])]
    scrapes = np.zeros(0)
    if params.target_burst_capacity != -1.0 and len(ready):
        scrapes = phase_s + np.arange(np.floor(ready.min() - phase_s), np.ceil(ticks["t_s"].max() - phase_s))
        gone = np.where(np.isnan(pods["delete_requested_s"]), np.inf, pods["delete_requested_s"])
        there = (pods["ready_s"] <= scrapes[:, np.newaxis]) & (scrapes[:, np.newaxis] < gone)
        scrapes = scrapes[there.any(axis=1)]
    windows = (params.stable_window_s, params.panic_window_s)
    known = (ticks["t_s"], ticks["stable"], ticks["panic"])
    return Seen(np.sort(enters), changes, level, area, scrapes, *known, windows, params.first_stat_ns / SECOND_NS)


def told_at(seen: Seen, phase_s: float) -> Told:
    """What the autoscaler was told if reports came at ``phase_s`` from the start of the load, modulo a second."""
    begin = np.floor(seen.enters[0] - phase_s)
    cuts = phase_s + np.arange(begin, np.ceil(seen.changes[-1] - phase_s) + 3.0)
    place = np.searchsorted(seen.changes, cuts, side="right") - 1
    level = np.where(place < 0, 0.0, seen.level[place])
    area = np.where(place < 0, 0.0, seen.area[place] + level * (cuts - seen.changes[place]))
    value, after = np.diff(area), cuts[1:]
    # An entry that has seen nothing for a second is dropped, and the next request is told of at once.
    alive = np.concatenate([[False], ((value > 0.0) | (level[1:] > 0.0))[:-1]])
    next_one = np.searchsorted(seen.enters, cuts[:-1], side="right")
    enter = np.where(next_one < len(seen.enters), seen.enters[np.minimum(next_one, len(seen.enters) - 1)], np.inf)
    first = ~alive & (enter <= after)
    value[first] = np.maximum(value[first] / np.maximum(after[first] - enter[first], 1e-9) - 1.0, 0.0)
    sent = alive | first
    times = np.concatenate([after[sent], enter[first] + seen.first_stat_s, seen.scrapes])
    values = np.concatenate([value[sent], np.ones(int(first.sum())), np.zeros(len(seen.scrapes))])
    order = np.argsort(times, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(values[order])])
    return Told(times[order], total, np.searchsorted(times[order], seen.ticks, side="right"))


def error(seen: Seen, told: Told, wall_s: float) -> float:
    """How far the averages are off if a wall-clock second ends ``wall_s`` before the start of the load."""
    seconds, now = np.floor(told.times + wall_s), np.floor(seen.ticks + wall_s)
    some = told.known > 0
    known, now = told.known[some], now[some]
    off = 0.0
    for window, measured, far in zip(seen.windows, (seen.stable, seen.panic), (FAR_STABLE, FAR_PANIC), strict=True):
        afresh = np.concatenate([[True], np.diff(seconds) >= window])
        first = np.maximum.accumulate(np.where(afresh, seconds, -np.inf))[known - 1]
        last = seconds[known - 1]
        silent = now - last
        old = np.minimum(np.searchsorted(seconds, now - window, side="right"), known)
        count = np.minimum(last - first + 1.0, window - silent)
        average = np.where(silent < window, (told.total[known] - told.total[old]) / np.maximum(count, 1.0), 0.0)
        off += float(np.minimum(np.abs(average - measured[some]), far).sum())
    return off
