"""What an engine hands back: raw columns in nanoseconds, the same from both engines, bit for bit."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpasim.arrays import Floats, Ints

# Rows that grow in number with the load are records, as narrow as their values allow. Counts of pods fit 32 bits in
# Knative too.
REQUEST = np.dtype(
    [
        ("sent_ns", np.int64), ("response_ns", np.int64), ("service_ns", np.int64), ("arrived_ns", np.int64),
        ("begun_ns", np.int64), ("done_ns", np.int64), ("pod", np.int32), ("status", np.int16), ("activator", np.int16),
    ]
)  # fmt: skip
"""A row of Outcome.requests."""
SENT, RESPONSE, SERVICE, ARRIVED, BEGUN, DONE, POD, STATUS, ACTIVATOR = REQUEST.names or ()
TICK = np.dtype(
    [
        ("t_ns", np.int64), ("stable", np.float64), ("panic", np.float64), ("ready_pods", np.int32),
        ("desired", np.int32), ("rule", np.int32), ("panic_mode", np.int16), ("poked", np.int16),
    ]
)  # fmt: skip
"""A row of Outcome.ticks."""
TICK_T, STABLE, PANIC, READY_PODS, DESIRED, RULE, PANIC_MODE, POKED = TICK.names or ()
CHANGE = np.dtype(
    [
        ("t_ns", np.int64), ("desired", np.int32), ("ready", np.int32), ("replicas", np.int32), ("active", np.int16),
        ("mode", np.int16),
    ]
)  # fmt: skip
"""A row of Outcome.scaling."""
SCALING_T, STATUS_DESIRED, DEPLOYMENT_READY, REPLICAS, ACTIVE, MODE = CHANGE.names or ()
# Columns of Outcome.pods.
(
    CREATED, SCHEDULED, PULL, CONTAINERS, OPEN, USABLE, READY, ASKED, GONE, BUSY, NODE, TYPE, ADDRESS, RESTARTS,
    PROVISIONED, POD_COLUMNS,
) = range(16)  # fmt: skip
# Columns of Outcome.nodes.
NODE_POOL, NODE_TYPE, NODE_CREATED, NODE_READY, NODE_GONE, NODE_ADDED = range(6)
NODE_COLUMNS = 6

NO_DESIRED = -2
"""The PodAutoscaler's status shows no desired scale yet."""


class CapacityExceeded(Exception):  # noqa: N818  (it says what happened, and is no error of the user)
    """An array of fixed size was too small; the run must be repeated with more room.

    Attributes:
        what: ``"pods"``, ``"nodes"`` ...
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"more {what} than there is capacity for")
        self.what = what


class Outcome(NamedTuple):
    """Everything one replication left behind; times in ns from the creation of the revision, NEVER_NS if it never was.

    Attributes:
        load_ns: Start of the load.
        end_ns: End of the run.
        requests: One ``REQUEST`` for each request, in order of sending.
        drawn: Which draws each request of a closed loop took; empty for an open loop, where the n-th takes the n-th.
        pods: One row for each pod, in order of creation.
        nodes: One row for each node.
        ticks: One ``TICK`` for each valid decision. What follows from the averages by the policy is not kept.
        scaling: One ``CHANGE`` for each change of an object.
        concurrency_ns: Integral of concurrency that the statistics of activators and queue-proxies kept [request-ns].
    """

    load_ns: int
    end_ns: int
    requests: NDArray[np.void]
    drawn: NDArray[np.int32]
    pods: Ints
    nodes: Ints
    ticks: NDArray[np.void]
    scaling: NDArray[np.void]
    concurrency_ns: int

    def draws(self) -> NDArray[np.integer[Any]]:
        """Which draws each request took."""
        return self.drawn if len(self.drawn) else np.arange(len(self.requests))


class PodTotals(NamedTuple):
    """Figures of pods, as ``results.summary`` defines them.

    Attributes:
        most: Most pods created and not yet asked to go.
        lived_ns: Time from creation to end, between the start of the load and the end of the run, added up.
        held_ns: The same from the end of provisioning on: with a machine.
        created: Pods created in that time.
    """

    most: int
    lived_ns: int
    held_ns: int
    created: int


class Counts(NamedTuple):
    """What one replication left behind that kept no request; times in ns from the creation of the revision.

    Attributes:
        load_ns: Start of the load.
        end_ns: End of the run.
        requests: Requests sent.
        ok: Good answers.
        errors: Requests that ended otherwise; one still on its way at the end is neither.
        failed: Of these the client's time-outs, and those with status 502, 503 and 504.
        last_ns: Last answer or time-out.
        latency_sum_ns: Latencies of the good answers, added up; right below 292 years in all.
        latency_min_ns: The shortest of them; ``FOREVER_NS`` if there is none.
        latency_max_ns: The longest.
        latencies: How many are in each bucket, see ``counts``.
        pods: One row for each pod, as in ``Outcome``; of a run in parts, for each that was not dropped.
        nodes: One row for each node; likewise.
        concurrency_ns: As in ``Outcome``.
        pod_totals: What all pods come to.
        billed: Of a run in parts, what was billed for pods and nodes that were dropped, see ``stream.Bill``; else 0.
    """

    load_ns: int
    end_ns: int
    requests: int
    ok: int
    errors: int
    failed: tuple[int, int, int, int]
    last_ns: int
    latency_sum_ns: int
    latency_min_ns: int
    latency_max_ns: int
    latencies: Ints
    pods: Ints
    nodes: Ints
    concurrency_ns: int
    pod_totals: PodTotals
    billed: Floats = np.zeros(())
