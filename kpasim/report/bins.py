"""A long run in bins of time: thousands of changes as the mean, the lowest and the highest value of each bin."""

from typing import NamedTuple

import numpy as np

from kpasim.arrays import Array, Floats
from kpasim.results.display import clock, seconds
from kpasim.results.frames import Columns
from kpasim.results.states import STATES, pods_by_state
from kpasim.results.tables import Tables

MOST_ROWS = 40
"""Changes that a table can show one by one."""
LEGIBLE = 150
"""Changes that a figure can show one by one."""
BINS = 72
"""Bins of a figure, at most."""
_WIDTHS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600,
             43200, 86400)  # fmt: skip


class Steps(NamedTuple):
    """A value that holds until it changes, in each bin: its mean over time, its lowest and its highest."""

    mean: Floats
    low: Floats
    high: Floats


def changes(tables: Tables) -> int:
    """How often pods, the desired number or the mode of the autoscaler changed."""
    times = (tables.pods[name] for name in ("created_s", "ready_s", "delete_requested_s", "gone_s"))
    values = tables.scaling["desired"], tables.ticks["panic_mode"]
    changed = sum(np.count_nonzero(~np.isnan(one)) for one in times)
    return int(changed + sum(np.count_nonzero(np.diff(one)) for one in values))


def needed(tables: Tables) -> bool:
    """Whether a run has too many changes to show them one by one."""
    return changes(tables) > LEGIBLE


def edges_s(end_s: float, most: int = BINS) -> Floats:
    """Edges of bins of a round width from the start of the load to the end of the run, or a little later [s]."""
    width = float(next((one for one in _WIDTHS_S if end_s / one <= most), 86400 * np.ceil(end_s / most / 86400)))
    return np.arange(0.0, end_s + width, width)[: int(np.ceil(end_s / width - 1e-9)) + 1]


def width_text(end_s: float) -> str:
    """The width of the bins of a figure in words: ``30 min``."""
    edges = edges_s(end_s)
    return seconds(float(edges[1] - edges[0]))


def steps(times_s: Floats, values: Array, edges: Floats) -> Steps:
    """A step function in bins: it takes its values at ascending times, and is 0 before the first of them."""
    begins, ends = np.searchsorted(times_s, edges[:-1], side="right"), np.searchsorted(times_s, edges[1:])
    found = np.empty((3, len(begins)))
    # One bin after the other: arrays over all changes of a long run would fill the memory.
    for place, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        times, before = times_s[begin:end], values[begin - 1] if begin else 0.0
        last = np.append(times[1:] != times[:-1], True)[: len(times)]  # of changes at one moment, the last one holds
        held = np.concatenate([[before], values[begin:end][last]]).astype(np.float64)
        holds = np.diff(np.concatenate([edges[place : place + 1], times[last], edges[place + 1 : place + 2]]))
        over_time, lasted = (np.add.reduceat(one, [0])[0] for one in (held * holds, holds))
        found[:, place] = over_time / lasted, held.min(), held.max()
    return Steps(*found)


def pods(tables: Tables, edges: Floats) -> dict[str, Steps]:
    """Pods in each state."""
    columns = ("created_s", "ready_s", "delete_requested_s", "gone_s", "scheduled_s")
    moments = np.unique(np.concatenate([tables.pods[name] for name in columns if name in tables.pods]))
    moments = moments[~np.isnan(moments)]
    counts = pods_by_state(tables.pods, moments)
    return {state: steps(moments, counts[state], edges) for state in STATES}


def desired(tables: Tables, edges: Floats) -> Steps:
    """Desired pods."""
    known = tables.scaling["desired"] >= 0
    return steps(tables.scaling["t_s"][known], tables.scaling["desired"][known], edges)


def panic(ticks: Columns, edges: Floats) -> Floats:
    """Share of the time in panic mode."""
    return steps(ticks["t_s"], ticks["panic_mode"] == 1, edges).mean


def seen(ticks: Columns, column: str, edges: Floats) -> Steps:
    """An average that the autoscaler saw, over the ticks of each bin; NaN in bins without a tick."""
    place = np.searchsorted(edges, ticks["t_s"], side="right") - 1
    inside = (place >= 0) & (place < len(edges) - 1)
    values, place = np.maximum(ticks[column][inside], 0.0), place[inside]
    count = np.bincount(place, minlength=len(edges) - 1)
    low, high = np.full(len(count), np.inf), np.full(len(count), -np.inf)
    np.minimum.at(low, place, values)
    np.maximum.at(high, place, values)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, values, minlength=len(count)) / count
    empty = count == 0
    return Steps(mean, np.where(empty, np.nan, low), np.where(empty, np.nan, high))


def rows(tables: Tables, most: int = MOST_ROWS) -> list[tuple[str, ...]]:
    """A timeline of bins, as `studies.explain.moments` has it of changes: lowest to highest numbers of pods."""
    end_s = float(np.nanmax(np.concatenate([tables.scaling["t_s"], tables.pods["gone_s"], [1.0]])))
    edges = edges_s(end_s, most)
    columns = [*pods(tables, edges).values(), desired(tables, edges)]
    in_panic = panic(tables.ticks, edges)
    stable, fast = (seen(tables.ticks, column, edges).mean for column in ("stable", "panic"))
    # The mean of what decided: of the panic window as far as the autoscaler was in panic mode.
    decided = np.where(in_panic > 0, in_panic * fast + (1 - in_panic) * stable, stable)
    proxied = steps(tables.scaling["t_s"], tables.scaling["sks_mode"] == "Proxy", edges)
    found = []
    for place, begin_s in enumerate(edges[:-1].tolist()):
        path = "Proxy" if proxied.low[place] == 1 else "Serve" if proxied.high[place] == 0 else "both"
        *states, wanted = (_range(one.low[place], one.high[place]) for one in columns)
        average = "" if np.isnan(decided[place]) else f"{decided[place]:.2f}"
        share = f"{100 * in_panic[place]:.0f} %" if in_panic[place] else ""
        found.append((clock(begin_s, end_s), *states, average, wanted, share, path, ""))
    return found


def _range(low: float, high: float) -> str:
    return f"{low:.0f}" if low == high else f"{low:.0f}-{high:.0f}"
