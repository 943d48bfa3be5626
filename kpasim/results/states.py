"""What a run's tables say of moments: pods in each state, desired pods, and where a timeline begins."""

import numpy as np

from kpasim.arrays import Array, Floats, Ints
from kpasim.results.frames import Columns
from kpasim.results.tables import Tables

STATES = ("ready", "starting", "pending", "terminating")
"""States of a pod: Kubernetes Ready, getting there, waiting for a machine, asked to go."""


def pods_by_state(pods: Columns, t_s: Floats) -> dict[str, Ints]:
    """How many pods are in each of `STATES` at moments [s]; none is pending where no placement is known."""
    created, gone = pods["created_s"], pods["gone_s"]
    asked = np.fmin(pods["delete_requested_s"], gone)
    ready = np.fmin(np.where(pods["ready_s"] < asked, pods["ready_s"], np.inf), np.nan_to_num(asked, nan=np.inf))
    ready = np.where(np.isnan(asked), np.nan_to_num(pods["ready_s"], nan=np.inf), ready)
    placed = np.fmin(np.nan_to_num(pods.get("scheduled_s", created), nan=np.inf), ready)
    ends = [np.nan_to_num(times, nan=np.inf) for times in (created, placed, ready, asked, gone)]
    since = [np.searchsorted(np.sort(times), t_s, side="right") for times in ends]
    counts = {"pending": since[0] - since[1], "starting": since[1] - since[2], "ready": since[2] - since[3]}
    return {**counts, "terminating": since[3] - since[4]}


def ready_pods(tables: Tables, t_s: Floats) -> Floats:
    """Ready pods at each moment [s]."""
    return pods_by_state(tables.pods, t_s)["ready"].astype(np.float64)


def last_values(times_s: Array, values: Array, at_s: Array, before: float = 0) -> Array:
    """The last of some values at each moment: they come at ascending times, and ``before`` the first of them."""
    return np.concatenate([[before], values])[np.searchsorted(times_s, at_s, side="right")]


def desired_pods(tables: Tables, t_s: Floats) -> Floats:
    """Desired pods at each moment [s], 0 before any are known."""
    known = tables.scaling["desired"] >= 0
    return last_values(tables.scaling["t_s"][known], tables.scaling["desired"][known], t_s, 0.0)


def successes_s(requests: Columns) -> Floats:
    """Latencies of the successful requests [s]."""
    good = (requests["status"] >= 200) & (requests["status"] < 300) & ~np.isnan(requests["latency_s"])
    return np.asarray(requests["latency_s"][good], dtype=np.float64)


def panic_spans(ticks: Columns) -> Floats:
    """Begin and end of each time in panic mode [s], from the tick that entered it to the one that left it."""
    mode, t_s = ticks["panic_mode"] == 1, ticks["t_s"]
    change = np.flatnonzero(np.diff(np.concatenate([[False], mode, [False]]).astype(np.int8)))
    return np.append(t_s, t_s[-1:])[change].reshape(-1, 2)


def last_s(tables: Tables) -> float:
    """The last moment that any table mentions, at least 1 s."""
    requests, pods = tables.requests, tables.pods
    moments = [requests["start_s"], requests["start_s"] + requests["latency_s"], tables.ticks["t_s"]]
    moments += [pods[name] for name in ("created_s", "ready_s", "delete_requested_s", "gone_s")]
    return float(np.fmax.reduce(np.concatenate([*moments, tables.scaling["t_s"], [1.0]])))


def begin_s(tables: Tables) -> float:
    """Where a timeline begins [s]: a little before the load, where the autoscaler decided before it."""
    return -5.0 if (tables.ticks["t_s"] < 0).any() else 0.0
