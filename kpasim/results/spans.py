"""Stretches of time that belong to pods or nodes, and when a pod has its machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpasim.results.frames import Columns

Spans = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""Stretches of time: the payer each belongs to (-1: none), its begin and its end."""


class Merged(NamedTuple):
    """Stretches of all payers one after the other on one time axis, those that touch made one; all in order."""

    payers: NDArray[np.int64]
    begins: NDArray[np.float64]
    ends: NDArray[np.float64]
    shape: tuple[int, ...]

    def lengths(self) -> NDArray[np.float64]:
        """How long at least one stretch was going on, for each payer."""
        return self._by_payer(self.ends - self.begins)

    def lengths_with(self, other: Merged) -> NDArray[np.float64]:
        """How long a stretch of this or of ``other`` was going on, where ``low`` and ``high`` are the same."""
        both = self._until(other.ends) - self._until(other.begins)
        return self.lengths() + other._by_payer(other.ends - other.begins - both)

    def _by_payer(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        found = np.bincount(self.payers, lengths, minlength=math.prod(self.shape))
        return found.astype(np.float64).reshape(self.shape)

    def _until(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Length of the stretches before places on the axis."""
        if len(self.begins) == 0:
            return np.zeros(len(places))
        before = np.concatenate([[0.0], np.cumsum(self.ends - self.begins)])
        stretch = np.searchsorted(self.begins, places, side="right") - 1
        rest = np.minimum(places, self.ends[stretch]) - self.begins[stretch]
        return np.where(stretch < 0, 0.0, before[stretch] + rest)


def merged(spans: Sequence[Spans], low: NDArray[np.float64], high: NDArray[np.float64]) -> Merged:
    """Stretches as far as they lie between ``low`` and ``high`` of their payer."""
    payers = np.concatenate([span[0].ravel() for span in spans])
    # A stretch without a begin (NaN) did not happen: the comparison drops it.
    start = np.maximum(np.concatenate([span[1].ravel() for span in spans]), np.append(low, 0.0)[payers])
    end = np.minimum(np.concatenate([span[2].ravel() for span in spans]), np.append(high, 0.0)[payers])
    kept = (payers >= 0) & (end > start)
    payers, start, end = payers[kept], start[kept], end[kept]
    # A second between payers keeps them apart.
    length = np.maximum(high - low, 0.0).ravel()
    first = np.cumsum(length + 1.0) - length - 1.0
    shift = (first - np.where(length > 0.0, low.ravel(), 0.0))[payers]
    start += shift
    end += shift
    begins, ends = np.sort(start), np.sort(end)
    # Where as many stretches have ended as have begun, none is going on until the next begins.
    apart = begins[1:] > ends[:-1]
    begins, ends = begins[np.append(True, apart)[: len(begins)]], ends[np.append(apart, True)[: len(ends)]]
    return Merged(np.searchsorted(first - 0.5, begins, side="right") - 1, begins, ends, low.shape)


def covered(spans: Sequence[Spans], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each payer, how long at least one of the stretches was going on between its ``low`` and ``high``."""
    return merged(spans, low, high).lengths()


def places(names: NDArray[Any], among: NDArray[Any]) -> NDArray[np.int64]:
    """Where each run's names stand in a table of shape ``(runs, rows)``, as places in it laid flat; -1: nowhere."""
    runs, rows = among.shape
    result = np.full(names.shape, -1)
    for run in range(runs if rows else 0):
        if names.dtype.kind in "iu":
            found, here = names[run], names[run] >= 0
        else:
            order = np.argsort(among[run], kind="stable")
            place = np.searchsorted(among[run], names[run], sorter=order)
            found = order[np.minimum(place, rows - 1)]
            here = among[run][found] == names[run]
        result[run] = np.where(here, found + run * rows, -1)
    return result


def machine_from(pods: Columns) -> NDArray[np.float64]:
    """When each pod had its machine [s]: the end of provisioning; ``NaN`` where that never came.

    Folders that do not say when provisioning ended tell it by the image pull, else by the placement of the pod, else by
    its creation.
    """
    if "provisioned_s" in pods:
        return pods["provisioned_s"]
    since = scheduled_from(pods)
    return np.where(np.isnan(pods["pull_s"]), since, pods["pull_s"]) if "pull_s" in pods else since


def scheduled_from(pods: Columns) -> NDArray[np.float64]:
    """When each pod was placed on its machine [s], ``NaN`` where it never was.

    A folder that does not say so, of all pods or of one that became ready, leaves the creation.
    """
    if "scheduled_s" not in pods:
        return pods["created_s"]
    untold = np.isnan(pods["scheduled_s"]) & ~np.isnan(pods["ready_s"])
    return np.where(untold, pods["created_s"], pods["scheduled_s"])
