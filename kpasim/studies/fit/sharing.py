"""How much slower requests are that share a GPU, from runs in which pods worked on several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kpasim.results.frames import Columns
from kpasim.studies.fit.families import BOOTSTRAPS, LEAST_SIGMA

Floats = NDArray[np.float64]

LEAST_SHARED_S = 1e-6
MOST_TOGETHER = 16
ENOUGH = 10
"""Requests that must have shared their pod before a slow-down is fitted."""


@dataclass(frozen=True)
class Sharing:
    """A slow-down curve.

    Attributes:
        slowdown: Relative duration of a request while 1, 2, 3 ... share the pod, beginning with 1.
        intervals: 90 % bootstrap interval of each.
        work_s: What each request would have taken alone.
        shared: Requests that shared their pod for some of their time.
    """

    slowdown: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    work_s: Floats
    shared: int


def fit_sharing(requests: Sequence[Columns], rng: np.random.Generator, bootstraps: int = 50) -> Sharing | None:
    """The slow-down that makes the requests' work most likely, or ``None`` where too few shared a pod.

    While k requests share a pod each gets 1 / slowdown(k) of its own speed. Work is lognormal; a request that ends
    while k share is as likely as its work, divided by slowdown(k).

    Args:
        requests: Columns ``pod``, ``server_start_s`` and ``server_end_s`` of each run.
        rng: Random numbers of the bootstrap.
        bootstraps: Resamples of requests.
    """
    parts = [_time_together(one) for one in requests]
    if not parts:
        return None
    most = min(MOST_TOGETHER, max(one[0].shape[1] for one in parts))
    spent = np.concatenate([_widened(one[0], most) for one in parts])
    last = np.minimum(np.concatenate([one[1] for one in parts]), most)
    shared = int((spent[:, 1:].sum(axis=1) > LEAST_SHARED_S).sum())
    if shared < ENOUGH:
        return None
    steps = _best(spent, last, np.zeros(most - 1))
    several = [steps]
    for _ in range(min(bootstraps, BOOTSTRAPS)):
        rows = rng.integers(len(spent), size=len(spent))
        several.append(_best(spent[rows], last[rows], steps))
    curves = np.array([_curve(one) for one in several])
    low, high = np.quantile(curves, [0.05, 0.95], axis=0)
    curve = curves[0]
    return Sharing(
        tuple(float(value) for value in curve),
        tuple((float(a), float(b)) for a, b in zip(low, high, strict=True)),
        spent @ (1.0 / curve),
        shared,
    )


def _time_together(requests: Columns) -> tuple[Floats, NDArray[np.int64]]:
    """Of each request the time it spent as one of 1, 2, 3 ..., and how many there were at its end."""
    start, end = requests["server_start_s"], requests["server_end_s"]
    known = ~np.isnan(start) & ~np.isnan(end) & (end > start)
    start, end, pod = start[known], end[known], np.asarray(requests["pod"])[known]
    spent = np.zeros((len(start), 1))
    last = np.ones(len(start), dtype=np.int64)
    for one in np.unique(pod):
        rows = np.flatnonzero(pod == one)
        moments = np.unique(np.concatenate((start[rows], end[rows])))
        begun = np.searchsorted(np.sort(start[rows]), moments[:-1], side="right")
        ended = np.searchsorted(np.sort(end[rows]), moments[:-1], side="right")
        together = begun - ended
        spent = _widened(spent, max(spent.shape[1], int(together.max(initial=1))))
        lasted = np.diff(moments)
        for row in rows:
            inside = slice(*np.searchsorted(moments, [start[row], end[row]]))
            np.add.at(spent[row], together[inside] - 1, lasted[inside])
            last[row] = together[inside][-1]
    return spent, last


def _widened(spent: Floats, columns: int) -> Floats:
    """The same with so many columns; what is beyond goes to the last."""
    if spent.shape[1] <= columns:
        return np.pad(spent, ((0, 0), (0, columns - spent.shape[1])))
    kept = spent[:, :columns].copy()
    kept[:, -1] += spent[:, columns:].sum(axis=1)
    return kept


def _curve(steps: Floats) -> Floats:
    """Slow-down of 1, 2, 3 ... from the logarithms of its steps: it never falls."""
    return np.concatenate(([1.0], np.exp(np.cumsum(np.maximum(steps, 0.0)))))


def _best(spent: Floats, last: NDArray[np.int64], start: Floats) -> Floats:
    from scipy.optimize import minimize

    def cost(steps: Floats) -> float:
        curve = _curve(steps)
        logs = np.log(spent @ (1.0 / curve))
        spread = max(float(logs.std()), LEAST_SIGMA)
        penalty = 1e3 * float(np.sum(np.minimum(steps, 0.0) ** 2))
        return float(logs.sum() + len(logs) * np.log(spread) + np.sum(np.log(curve[last - 1]))) + penalty

    guess = np.where(start > 0, start, np.log((np.arange(len(start)) + 2.0) / (np.arange(len(start)) + 1.0)))
    found = minimize(cost, guess, method="Nelder-Mead", options={"maxiter": 400 * max(len(start), 1), "xatol": 1e-4})
    return np.asarray(found.x)
