"""Stretches of time that belong to pods or nodes, and when a pod has its machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpasim.arrays import Array, Floats, Ints
from kpasim.results.frames import Columns

Spans = tuple[NDArray[np.integer[Any]], Floats, Floats]
"""Stretches of time: the payer each belongs to (-1: none), its begin (``NaN``: never) and its end (or ``NaN``)."""
MOST_AT_ONCE = 1 << 18
"""Stretches that are put in order at a time, as far as payers can be parted."""


class Merged(NamedTuple):
    """Stretches of all payers, those of one payer that overlap or touch made one.

    Attributes:
        begins: The payer (real part) and the begin (imaginary part) of each, in order.
        ends: The payer and the end.
        shape: Shape of the table of payers.
    """

    begins: NDArray[np.complex128]
    ends: NDArray[np.complex128]
    shape: tuple[int, ...]

    @property
    def payers(self) -> Ints:
        """The payer of each."""
        return self.begins.real.astype(np.int64)

    def lengths(self) -> Floats:
        """How long at least one stretch was going on, for each payer."""
        lengths = self.ends.imag - self.begins.imag
        found = np.bincount(self.payers, lengths, minlength=math.prod(self.shape))
        return np.asarray(found, dtype=np.float64).reshape(self.shape)


def merged(spans: Sequence[Spans], low: Floats, high: Floats) -> Merged:
    """Stretches as far as they lie between ``low`` and ``high`` of their payer."""
    payers = np.concatenate([span[0].ravel() for span in spans])
    # A stretch without a begin (NaN) did not happen: the comparison drops it.
    start = np.maximum(np.concatenate([span[1].ravel() for span in spans]), np.append(low, 0.0)[payers])
    end = np.fmin(np.concatenate([span[2].ravel() for span in spans]), np.append(high, 0.0)[payers])
    kept = np.flatnonzero((payers >= 0) & (end > start))
    # Stretches of one payer mostly are in the order of time already.
    kept = kept[np.argsort(payers[kept], kind="stable")]
    payers = payers[kept]
    return _in_order(_of_payers(payers, start[kept]), _of_payers(payers, end[kept]), low.shape)


def together(*parts: Merged) -> Merged:
    """The stretches of several, of the same payers, made one."""
    begins, ends = (np.concatenate([getattr(one, name) for one in parts]) for name in ("begins", "ends"))
    return _in_order(begins, ends, parts[0].shape)


def _of_payers(payers: NDArray[np.integer[Any]], times: Floats) -> NDArray[np.complex128]:
    """Payers and times as one number each: complex numbers are ordered by their real part, then by the other."""
    found = np.empty(len(payers), dtype=np.complex128)
    found.real, found.imag = payers, times
    return found


def _in_order(begins: NDArray[np.complex128], ends: NDArray[np.complex128], shape: tuple[int, ...]) -> Merged:
    for each in (begins, ends):
        if not (each[1:] >= each[:-1]).all():
            each.sort()
    # Where as many stretches of a payer have ended as have begun, none is going on until the next begins.
    apart = begins[1:] > ends[:-1]
    return Merged(begins[np.append(True, apart)[: len(begins)]], ends[np.append(apart, True)[: len(ends)]], shape)


def covered(spans: Sequence[Spans], low: Floats, high: Floats) -> Floats:
    """For each payer, how long at least one of the stretches was going on between its ``low`` and ``high``."""
    if sum(span[0].size for span in spans) <= MOST_AT_ONCE:
        return merged(spans, low, high).lengths()
    counts = np.zeros(low.size, dtype=np.int64)
    for payers in (span[0].ravel() for span in spans):
        for begin in range(0, payers.size, MOST_AT_ONCE):
            some = payers[begin : begin + MOST_AT_ONCE]
            counts += np.bincount(some[some >= 0], minlength=low.size)
    share = np.cumsum(counts) // MOST_AT_ONCE
    found = np.zeros(low.size)
    for number in np.unique(share):
        first, last = np.searchsorted(share, [number, number + 1])
        here = [np.flatnonzero((span[0] >= first) & (span[0] < last)) for span in spans]
        kind = np.uint16 if last - first <= 1 << 16 else np.int64  # few are ordered by their digits
        of_some = [
            ((payers.ravel()[some] - first).astype(kind), begins.ravel()[some], ends.ravel()[some])
            for some, (payers, begins, ends) in zip(here, spans, strict=True)
        ]
        bounds = (each.ravel()[first:last] for each in (low, high))
        found[first:last] = merged(of_some, *bounds).lengths()
    return found.reshape(low.shape)


def row_sums(values: Floats) -> Floats:
    """Sum of each row, to the last bit the same whatever zeros stand behind its values.

    Runs of different lengths are padded to be summed together, and numpy's own sum adds in an order that depends on the
    length.
    """
    return np.cumsum(values, axis=1)[:, -1] if values.shape[1] else np.zeros(len(values))


def places(names: Array, among: Array) -> Ints:
    """Where each run's names stand in a table of shape ``(runs, rows)``, as places in it laid flat; -1: nowhere."""
    runs, rows = among.shape
    if names.dtype.kind in "iu":
        first = np.arange(runs)[:, np.newaxis] * rows
        first = first.astype(np.result_type(names, np.min_scalar_type(-1 - among.size)))
        return np.where((names >= 0) & (rows > 0), names + first, -1)
    result = np.full(names.shape, -1)
    for run in range(runs if rows else 0):
        order = np.argsort(among[run], kind="stable")
        place = np.searchsorted(among[run], names[run], sorter=order)
        found = order[np.minimum(place, rows - 1)]
        result[run] = np.where(among[run][found] == names[run], found + run * rows, -1)
    return result


def machine_from(pods: Columns) -> Floats:
    """When each pod had its machine [s]: the end of provisioning; ``NaN`` where that never came.

    Folders that do not say when provisioning ended tell it by the image pull, else by the placement of the pod, else by
    its creation.
    """
    if "provisioned_s" in pods:
        return pods["provisioned_s"]
    since = scheduled_from(pods)
    return np.where(np.isnan(pods["pull_s"]), since, pods["pull_s"]) if "pull_s" in pods else since


def scheduled_from(pods: Columns) -> Floats:
    """When each pod was placed on its machine [s], ``NaN`` where it never was.

    A folder that does not say so, of all pods or of one that became ready, leaves the creation.
    """
    if "scheduled_s" not in pods:
        return pods["created_s"]
    untold = np.isnan(pods["scheduled_s"]) & ~np.isnan(pods["ready_s"])
    return np.where(untold, pods["created_s"], pods["scheduled_s"])
