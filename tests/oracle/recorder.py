"""Rows that a reference run collects, and the outcome they become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kpasim.engines.outcome import CHANGE, POD_COLUMNS, REQUEST, TICK, Outcome
from kpasim.engines.params import Params

if TYPE_CHECKING:
    from tests.oracle.clients import Request
    from tests.oracle.simulation import Simulation


class Recorder:
    """Collects the rows of a reference run."""

    def __init__(self, params: Params) -> None:
        self.closed = bool(params.closed)
        self.requests: list[Request] = []
        self.ticks: list[tuple[float, ...]] = []
        self.scaling: list[tuple[int, ...]] = []

    def outcome(self, sim: Simulation) -> Outcome:
        """The tables of a run that has ended."""
        requests = [
            (
                r.sent_ns,
                r.response_ns,
                r.service_ns,
                r.arrived_ns,
                r.start_ns,
                r.end_ns,
                r.pod.index if r.pod else -1,
                r.status,
                r.activator.index if r.activator else -1,
            )
            for r in self.requests
        ]
        pods = [
            (
                pod.created_ns,
                pod.scheduled_ns,
                pod.pull_ns,
                pod.containers_ns,
                pod.open_ns,
                pod.usable_ns,
                pod.ready_ns,
                pod.asked_ns,
                pod.gone_ns,
                pod.busy_at(sim.now),
                pod.node.index if pod.node else -1,
                pod.node.type if pod.node else -1,
                pod.address,
                pod.attempt,
                pod.provisioned_ns,
            )
            for pod in sim.pods
        ]
        nodes = [
            (node.pool, node.type, node.created_ns, node.ready_ns, node.gone_ns, int(node.added))
            for node in sim.cluster.nodes
        ]
        return Outcome(
            sim.load_ns,
            sim.end_ns,
            np.array(requests, dtype=REQUEST),
            np.array([r.draw for r in self.requests] if self.closed else [], dtype=np.int32),
            table(pods, POD_COLUMNS),
            table(nodes, 6),
            np.array(self.ticks, dtype=TICK),
            np.array(self.scaling, dtype=CHANGE),
            sim.concurrency_ns(),
        )


def table(rows: Sequence[tuple[int, ...]], columns: int) -> NDArray[np.int64]:
    """Rows as an int64 array, also when there are none."""
    return np.array(rows, dtype=np.int64).reshape(-1, columns)
