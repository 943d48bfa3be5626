"""What an engine hands back: raw columns in nanoseconds, the same from both engines, bit for bit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpasim.engines.params import NEVER_NS

# Columns of Outcome.requests.
SENT, RESPONSE, STATUS, POD, SERVICE, ARRIVED, BEGUN, DONE, DRAW, ACTIVATOR = range(10)
# Columns of Outcome.pods.
CREATED, SCHEDULED, PULL, CONTAINERS, OPEN, USABLE, READY, ASKED, GONE, BUSY, NODE, TYPE, ADDRESS, RESTARTS = range(14)
# Columns of Outcome.nodes.
NODE_POOL, NODE_TYPE, NODE_CREATED, NODE_READY, NODE_GONE, NODE_ADDED = range(6)
# Columns of Outcome.ticks, and of Outcome.averages beside it.
TICK_T, RAW_STABLE, RAW_PANIC, READY_PODS, PANIC_MODE, DESIRED, RULE, POKED = range(8)
STABLE, PANIC, EXCESS = range(3)
# Columns of Outcome.scaling.
SCALING_T, STATUS_DESIRED, DEPLOYMENT_READY, REPLICAS, ACTIVE, MODE = range(6)

NO_DESIRED = -2
"""The PodAutoscaler's status shows no desired scale yet."""


class OutOfRoom(Exception):  # noqa: N818  (it says what happened, and is no error of the user)
    """An array of fixed size was too small; the run must be repeated with more room.

    Attributes:
        what: ``"pods"``, ``"nodes"`` ...
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"more {what} than there was room for")
        self.what = what


class Outcome(NamedTuple):
    """Everything one replication left behind; times in ns from the creation of the revision, NEVER_NS if it never was.

    Attributes:
        load_ns: Start of the load.
        end_ns: End of the run.
        requests: One row for each request, in order of sending.
        pods: One row for each pod, in order of creation.
        nodes: One row for each node.
        ticks: One row for each valid decision, whole numbers.
        averages: The same rows: stable and panic average, excess burst capacity.
        scaling: One row for each change of an object.
        concurrency_ns: Integral of concurrency that the statistics of activators and queue-proxies kept [request-ns].
    """

    load_ns: int
    end_ns: int
    requests: NDArray[np.int64]
    pods: NDArray[np.int64]
    nodes: NDArray[np.int64]
    ticks: NDArray[np.int64]
    averages: NDArray[np.float64]
    scaling: NDArray[np.int64]
    concurrency_ns: int


class PodTotals(NamedTuple):
    """Figures of pods, as ``results.summary`` defines them.

    Attributes:
        most: Most pods created and not yet asked to go.
        lived_ns: Time from creation to end, between the start of the load and the end of the run, added up.
        created: Pods created in that time.
    """

    most: int
    lived_ns: int
    created: int


class Counts(NamedTuple):
    """What one replication left behind that kept no request; times in ns from the creation of the revision.

    Attributes:
        load_ns: Start of the load.
        end_ns: End of the run.
        requests: Requests sent.
        ok: Good answers.
        errors: Requests that ended otherwise; one still on its way at the end is neither.
        last_ns: Last answer or time-out.
        latency_sum_ns: Latencies of the good answers, added up; right below 292 years in all.
        latency_min_ns: The shortest of them; ``FOREVER_NS`` if there is none.
        latency_max_ns: The longest.
        latencies: How many are in each bucket, see ``counts``.
        pods: One row for each pod, as in ``Outcome``.
        nodes: One row for each node.
        concurrency_ns: As in ``Outcome``.
        pod_totals: What all pods come to. A run in parts keeps no rows of pods and nodes.
    """

    load_ns: int
    end_ns: int
    requests: int
    ok: int
    errors: int
    last_ns: int
    latency_sum_ns: int
    latency_min_ns: int
    latency_max_ns: int
    latencies: NDArray[np.int64]
    pods: NDArray[np.int64]
    nodes: NDArray[np.int64]
    concurrency_ns: int
    pod_totals: PodTotals


def first_difference(one: Outcome, other: Outcome) -> str:
    """Where two outcomes part, in words; empty when they are equal bit for bit."""
    for name in Outcome._fields:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, np.ndarray):
            for row in range(min(len(a), len(b))):
                if a[row].tobytes() != b[row].tobytes():
                    return f"{name}[{row}]: {a[row].tolist()} != {b[row].tolist()}"
            if len(a) != len(b):
                longer = a if len(a) > len(b) else b
                row = min(len(a), len(b))
                return f"{name}: {len(a)} rows != {len(b)} rows; first surplus row {longer[row].tolist()}"
        elif a != b:
            return f"{name}: {a} != {b}"
    return ""


__all__ = ["NEVER_NS", "OutOfRoom", "Outcome", "first_difference"]
