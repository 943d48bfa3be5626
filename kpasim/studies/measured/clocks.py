"""Where in the wall-clock second an activator reports, found from earlier runs on the same activator.

An activator's reports begin with its process and come every second, so that they keep their place within the wall-clock
second through all revisions that it serves. Averages are kept in whole seconds: what a tick makes of the latest report
depends on that place. Measured requests say what each report contained, so each place can be tried on the averages that
the autoscaler printed. What reports say and how they are averaged is the policy's own.

Source:
    knative/serving, cmd/activator/main.go (one ticker for the life of the process) and
    pkg/activator/handler/concurrency_reporter.go
"""

from collections.abc import Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpasim.arrays import Bools, Floats, Ints
from kpasim.engines import lower
from kpasim.engines.params import FOREVER_NS, SECOND_NS, Params
from kpasim.policy import accounting, windows
from kpasim.results.tables import Tables, read_run_folder
from kpasim.spec.experiment import Experiment
from kpasim.studies.measured.align import tick_phase_s
from kpasim.studies.measured.described import begun, experiment_of

PLACES_NS = np.arange(0, SECOND_NS, SECOND_NS // 100)
"""Places within the second that are told apart."""
COARSE_NS, FINE_NS = 20_000_000, 4_000_000
"""Steps in which the phase of the reports is looked for."""
FAR_STABLE, FAR_PANIC = 0.1, 0.3
"""Averages this far apart are as wrong as can be."""
SURE = 0.1
"""A place is ruled out if averages are off by this much more in total than at the best place."""
UNEXPLAINED = 0.05
"""Where averages are off by more than this at a tick even at the best place, a run says nothing."""


class Seen(NamedTuple):
    """What the autoscaler was told in one run, and what it made of that. Times from the start of the load [ns].

    Attributes:
        moves: When a request reached the activator (true) or left it (false), ascending.
        scrapes: When the scraper read pods, each time zero.
        ticks: When it decided, ascending.
        printed: The averages that it printed then, stable and panic.
        windows: Lengths of both windows [s].
        first_stat_ns: How long an immediate message takes.
    """

    moves: list[tuple[int, bool]]
    scrapes: list[int]
    ticks: Ints
    printed: list[tuple[float, float]]
    windows: tuple[int, int]
    first_stat_ns: int


class Told(NamedTuple):
    """All that the autoscaler was told under one phase of the reports, in the order of time.

    Attributes:
        times: When [ns].
        values: What.
        known: How many of the values each tick knows.
    """

    times: Ints
    values: list[float]
    known: list[int]


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


def agreed(ruled: Iterable[Bools]) -> tuple[int, ...]:
    """The places [ns] that the fewest of several runs rule out; none without a run."""
    votes = [one.astype(np.int64) for one in ruled]
    if not votes:
        return ()
    against = np.sum(votes, axis=0)
    return tuple(int(place_ns) for place_ns in PLACES_NS[against == against.min()])


def ruled_out(run: Mapping[str, Any], tables: Tables) -> Bools | None:
    """Which of ``PLACES_NS`` cannot be those of the reports in a run; ``None`` if it says nothing."""
    experiment = experiment_of(run, tables)
    params = lower.lower(experiment, begun(run, tables))
    past = "Serve" in tables.scaling["sks_mode"] or params.metric_rps or params.weight_stable > 0.0
    if past or params.activators != 1 or not len(tables.ticks["t_s"]) or np.isnan(tables.requests["latency_s"]).all():
        return None
    seen = seen_in(tables, experiment, params)
    walls_ns = range(0, SECOND_NS, SECOND_NS // 10)
    phases_ns = range(0, SECOND_NS, COARSE_NS)
    for step_ns in (COARSE_NS, FINE_NS):
        least = [min(errors(seen, told_at(seen, phase_ns), walls_ns)) for phase_ns in phases_ns]
        best_ns = phases_ns[int(np.argmin(least))]
        phases_ns = range(best_ns - step_ns, best_ns + step_ns + 1, FINE_NS)
    each = [errors(seen, told_at(seen, phase_ns), PLACES_NS - phase_ns) for phase_ns in phases_ns]
    best = np.min(each, axis=0)
    if best.min() > UNEXPLAINED * len(seen.ticks):
        return None
    return np.asarray(best > best.min() + SURE)


def seen_in(tables: Tables, experiment: Experiment, params: Params) -> Seen:
    """What measured tables tell of it."""
    pods = tables.pods
    order = np.argsort(tables.ticks["t_s"], kind="stable")
    ticks = {name: tables.ticks[name][order] for name in ("t_s", "stable", "panic")}
    ended = ~np.isnan(tables.requests["latency_s"])
    requests = {name: tables.requests[name][ended] for name in ("start_s", "latency_s")}
    delays = experiment.cluster.delays
    enters = requests["start_s"] + delays.client_to_front_s / 2.0
    leaves = requests["start_s"] + requests["latency_s"] - delays.server_to_client_s / 2.0
    moves = [(time_ns, True) for time_ns in _ns(enters)]
    moves += [(time_ns, False) for time_ns in _ns(np.maximum(enters, leaves))]
    moves.sort(key=itemgetter(0))
    phase_s = tick_phase_s(ticks["t_s"]) + delays.creation_to_scrapes_s - delays.creation_to_ticks_s
    ready = pods["ready_s"][~np.isnan(pods["ready_s"])]
    scrapes = np.zeros(0)
    if params.target_burst_capacity != -1.0 and len(ready):
        scrapes = phase_s + np.arange(np.floor(ready.min() - phase_s), np.ceil(ticks["t_s"].max() - phase_s))
        gone = np.where(np.isnan(pods["delete_requested_s"]), np.inf, pods["delete_requested_s"])
        there = (pods["ready_s"] <= scrapes[:, np.newaxis]) & (scrapes[:, np.newaxis] < gone)
        scrapes = scrapes[there.any(axis=1)]
    lengths = (params.stable_window_s, params.panic_window_s)
    printed = list(zip(ticks["stable"].tolist(), ticks["panic"].tolist(), strict=True))
    return Seen(moves, _ns(scrapes), np.array(_ns(ticks["t_s"])), printed, lengths, params.first_stat_ns)


def _ns(times_s: Floats) -> list[int]:
    return [round(time_s * SECOND_NS) for time_s in times_s.tolist()]


def told_at(seen: Seen, phase_ns: int) -> Told:
    """What the autoscaler was told if reports came at ``phase_ns`` from the start of the load, modulo a second."""
    told = [(time_ns, 0.0) for time_ns in seen.scrapes]
    row: Any = [0] * accounting.COLUMNS  # Python reads a list several times as fast as an array
    due_ns = FOREVER_NS
    for time_ns, enters in seen.moves:
        while due_ns < time_ns:
            due_ns = _report(row, due_ns, told)
        if not enters:
            accounting.activator_leave(row, time_ns)
        elif accounting.activator_enter(row, time_ns):
            told.append((time_ns + seen.first_stat_ns, 1.0))
            due_ns = time_ns + (phase_ns - time_ns) % SECOND_NS
    while due_ns < FOREVER_NS:
        due_ns = _report(row, due_ns, told)
    told.sort(key=itemgetter(0))
    times = np.array([time_ns for time_ns, _ in told], dtype=np.int64)
    return Told(times, [value for _, value in told], np.searchsorted(times, seen.ticks, side="right").tolist())


def _report(row: Any, now_ns: int, told: list[tuple[int, float]]) -> int:
    """Tell what the last second was like; when the next report is due."""
    concurrency, _, alive = accounting.activator_report(row, now_ns)
    told.append((now_ns, concurrency))
    return now_ns + SECOND_NS if alive else FOREVER_NS


def errors(seen: Seen, told: Told, walls_ns: Iterable[int]) -> list[float]:
    """How far the averages are off if a wall-clock second ends so long before the start of the load, for each."""
    known: dict[bytes, float] = {}
    found = []
    for wall_ns in walls_ns:
        seconds = (np.concatenate([told.times, seen.ticks]) + wall_ns) // SECOND_NS
        seconds -= seconds[0]
        # Averages know whole seconds only, so that few of all places differ.
        key = seconds.tobytes()
        if key not in known:
            known[key] = error(seen, told, seconds.tolist())
        found.append(known[key])
    return found


def error(seen: Seen, told: Told, seconds: list[int]) -> float:
    """How far the averages are off if all that was told, and all ticks after it, fell into these seconds."""
    stable, panic = (_ring(window_s) for window_s in seen.windows)
    off, done = 0.0, 0
    for known, now_s, printed in zip(told.known, seconds[len(told.times) :], seen.printed, strict=True):
        for place in range(done, known):
            windows.record(stable, seconds[place], told.values[place])
            windows.record(panic, seconds[place], told.values[place])
        done = known
        if known:
            off += min(abs(windows.linear_average(stable, now_s) - printed[0]), FAR_STABLE)
            off += min(abs(windows.linear_average(panic, now_s) - printed[1]), FAR_PANIC)
    return off


def _ring(window_s: int) -> windows.Ring:
    """An empty ring of lists, likewise faster than arrays."""
    empty = windows.new_ring(window_s)
    buckets, span, total = (array.tolist() for array in empty[:3])
    return windows.Ring(buckets, span, total, empty.window_s)
