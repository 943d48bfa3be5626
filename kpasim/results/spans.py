"""Stretches of time that belong to pods or nodes, and when a pod has its machine."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpasim.arrays import Array, Floats, Ints
from kpasim.results.frames import EVERY, Columns, part, parts, shape_of

Spans = tuple[NDArray[np.integer[Any]], Floats, Floats]
"""Stretches of time: the payer each belongs to (-1: none), its begin (``NaN``: never) and its end (or ``NaN``)."""
MOST_AT_ONCE = 1 << 16
"""Stretches that are put in order at a time, as far as payers can be parted."""


class Stretches(NamedTuple):
    """Stretches of time in the rows of a table, whose columns have shape ``(runs, rows)``, to be read some at a time.

    Attributes:
        rows: How many rows there are.
        payers: The payer of each in some rows.
        times: Begin and end of each.
    """

    rows: int
    payers: Callable[[slice], NDArray[np.integer[Any]]]
    times: Callable[[slice], tuple[Floats, Floats]]

    def spans(self, some: slice) -> Spans:
        """Those in some rows, one after the other."""
        begins, ends = self.times(some)
        return self.payers(some).ravel(), begins.ravel(), ends.ravel()


class Merged(NamedTuple):
    """Stretches of all payers, those of one payer that overlap or touch made one; in the order of payers and times.

    Attributes:
        payers: The payer of each.
        begins: Its begin.
        ends: Its end.
        shape: Shape of the table of payers.
    """

    payers: NDArray[np.integer[Any]]
    begins: Floats
    ends: Floats
    shape: tuple[int, ...]

    def lengths(self) -> Floats:
        """How long at least one stretch was going on, for each payer."""
        found = np.bincount(self.payers, self.ends - self.begins, minlength=math.prod(self.shape))
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
    return _in_order(payers[kept], start[kept], end[kept], low.shape)


def together(*several: Merged) -> Merged:
    """The stretches of several, of the same payers, made one."""
    payers, begins, ends = (
        np.concatenate([getattr(one, name) for one in several]) for name in ("payers", "begins", "ends")
    )
    order = np.argsort(payers, kind="stable")
    return _in_order(payers[order], begins[order], ends[order], several[0].shape)


def _in_order(payers: NDArray[np.integer[Any]], begins: Floats, ends: Floats, shape: tuple[int, ...]) -> Merged:
    """Merge stretches that are in the order of their payers."""
    another = payers[1:] != payers[:-1]
    for times in (begins, ends):
        if not (another | (times[1:] >= times[:-1])).all():
            times[:] = times[np.lexsort((times, payers))]
    # Where as many stretches of a payer have ended as have begun, none is going on until the next begins.
    apart = another | (begins[1:] > ends[:-1])
    first, last = np.append(True, apart)[: len(begins)], np.append(apart, True)[: len(ends)]
    return Merged(payers[first], begins[first], ends[last], shape)


def covered(stretches: Stretches, low: Floats, high: Floats) -> Floats:
    """For each payer, how long at least one of the stretches was going on between its ``low`` and ``high``.

    Of many stretches, those of some payers are put in order as soon as all of theirs have been read: payers follow each
    other in a long run, so few are in memory at a time.
    """
    if stretches.rows * len(low) <= MOST_AT_ONCE:
        return merged([stretches.spans(EVERY)], low, high).lengths()
    counts = np.zeros(low.size, dtype=np.int64)
    for some in parts(stretches.rows):
        payers = stretches.payers(some).ravel()
        payers = payers[payers >= 0]
        first = int(payers.min(initial=low.size))
        some_counts = np.bincount(payers - first)
        counts[first : first + len(some_counts)] += some_counts
    share = np.cumsum(counts) // MOST_AT_ONCE
    share_of = np.append(share, -1)  # of no payer (-1): none
    left = np.bincount(share, counts)
    read: dict[int, list[Spans]] = {number: [] for number in np.flatnonzero(left).tolist()}
    found = np.zeros(low.size)
    for some in parts(stretches.rows):
        payers, begins, ends = stretches.spans(some)
        shares = share_of[payers]
        for number in np.flatnonzero(np.bincount(shares[shares >= 0])).tolist():
            here = np.flatnonzero(shares == number)
            read[number].append((payers[here], begins[here], ends[here]))
            left[number] -= len(here)
            if left[number]:
                continue
            first, last = np.searchsorted(share, [number, number + 1])
            kind = np.uint16 if last - first <= 1 << 16 else np.int64  # few are ordered by their digits
            of_share = [((those - first).astype(kind), begin, end) for those, begin, end in read.pop(number)]
            bounds = (each.ravel()[first:last] for each in (low, high))
            found[first:last] = merged(of_share, *bounds).lengths()
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


def work_of(requests: Columns, pods: Columns) -> Stretches:
    """When pods worked on requests: the place of each pod among those of all runs, begin and end of the service."""
    return Stretches(
        shape_of(requests)[1],
        lambda some: places(part(requests, "pod", some), pods["pod"]),
        lambda some: (part(requests, "server_start_s", some), part(requests, "server_end_s", some)),
    )
