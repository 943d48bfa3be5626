"""How a run used its pods: who waited for a cold start, and how busy the GPUs were; from tables only."""

import numpy as np
from numpy.typing import ArrayLike

from kpasim.arrays import Floats, Ints
from kpasim.results.frames import Columns, part, parts, shape_of
from kpasim.results.spans import covered, machine_from, row_sums, work_of
from kpasim.results.summary import Figures
from kpasim.results.tables import Tables

REFUSED = 503
"""Status of a request that finds no place in a queue, or no pod where nothing queues."""


def use(tables: Tables, horizon_s: float) -> dict[str, float]:
    """The figures of `use_many` of one run."""
    return {name: float(values[0]) for name, values in use_many(tables.as_many(), horizon_s).items()}


def use_many(tables: Tables, horizon_s: ArrayLike, stretch_s: tuple[float, float] | None = None) -> Figures:
    """How many runs used their pods.

    Args:
        tables: Columns of shape ``(runs, rows)``, as for `kpasim.results.cost.bill_many`.
        horizon_s: End of each run [s from the start of the load].
        stretch_s: From and to [s from the start of the load], where a part of each run stands for a month.

    Returns:
        - ``cold_start_share``: share of requests that waited for a pod to start: the pod that served one became ready
          after the request was sent, or none served it and no pod was ready when it was sent. A request that is refused
          (status 503) does not wait. ``NaN`` without requests.
        - ``gpu_utilisation``: share of the time that pods had a machine, from the start of the load to the horizon or
          within the stretch, in which they were working on a request. ``NaN`` where no pod had a machine.
    """
    requests, pods = tables.requests, tables.pods
    runs, rows = shape_of(requests)
    horizon = np.broadcast_to(np.asarray(horizon_s, dtype=np.float64), (runs,))[:, np.newaxis]
    work = work_of(requests, pods)
    # A pod that never became ready by its probes may have served all the same, through the activator.
    ready_s = np.append(np.nan_to_num(pods["ready_s"].ravel(), nan=np.inf), np.inf)
    all_sent, late = np.zeros((2, runs), dtype=np.int64)
    without_pod = []
    for some in parts(rows):
        place, start_s = work.payers(some), part(requests, "start_s", some)
        sent = ~np.isnan(start_s)
        served = sent & (place >= 0)
        all_sent += sent.sum(axis=1)
        late += (served & (ready_s[place] > start_s)).sum(axis=1)
        unserved = np.nonzero(sent & ~served & (part(requests, "status", some) != REFUSED))
        without_pod.append((unserved[0], start_s[unserved]))
    run, start_s = (np.concatenate(each) for each in zip(*without_pod, strict=True))
    late += np.bincount(run[_ready_at(pods, run, start_s) == 0], minlength=runs)
    with np.errstate(invalid="ignore", divide="ignore"):
        waited = late / all_sent
    begin = machine_from(pods)
    first, last = stretch_s or (0.0, np.inf)
    low = np.maximum(np.where(np.isnan(begin), np.inf, begin), first)
    high = np.fmin(pods["gone_s"], np.minimum(horizon, last))
    there = high > low
    low, high = np.where(there, low, np.inf), np.where(there, high, -np.inf)
    busy = covered(work, low, high)
    held = row_sums(np.where(there, high - low, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "cold_start_share": waited,
            "gpu_utilisation": row_sums(busy) / held,
        }


def _ready_at(pods: Columns, runs: Ints, t_s: Floats) -> Ints:
    """How many pods of a run were ready at each time."""
    ready = pods["ready_s"]
    ends = np.where(np.isnan(ready), np.nan, np.fmin(pods["delete_requested_s"], pods["gone_s"]))
    found = np.zeros(t_s.shape, dtype=np.int64)
    for run in np.unique(runs):
        here = runs == run
        began, ended = (np.sort(times[run][~np.isnan(times[run])]) for times in (ready, ends))
        found[here] = np.searchsorted(began, t_s[here], side="right") - np.searchsorted(ended, t_s[here], side="right")
    return found
