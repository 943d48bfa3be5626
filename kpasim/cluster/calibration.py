"""A brief calibration: one cold start and a few requests that have the service to themselves.

It fits what a prediction needs most and no more; ``kpasim calibrate`` fits whole runs.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.cluster.errors import ClusterError
from kpasim.cluster.load import Sent
from kpasim.cluster.record import PodRecord

_DIGITS = 4
_GROUP = "autoscaling.knative.dev/"
_PINNED = tuple(_GROUP + name for name in ("min-scale", "max-scale", "initial-scale"))
_SCALES = {
    *_PINNED,
    *(_GROUP + name for name in ("minScale", "maxScale", "initialScale", "activation-scale", "activationScale")),
}


@dataclass(frozen=True)
class Calibration:
    """What was measured.

    Attributes:
        start_s: From the creation of a pod to its container answering probes.
        solo_s: Latencies of requests sent one after the other, shape ``(requests,)``.
        together: Latency of 2, 3 ... requests at once on one pod, relative to one alone; empty where a pod takes one
            request at a time.
        cores: Cores that all pods share, 0 where each has its own machine.
        where: What was measured, for the model's ``source``.
    """

    start_s: float
    solo_s: NDArray[np.float64]
    together: tuple[float, ...]
    cores: int
    where: str

    def model(self, name: str) -> dict[str, Any]:
        """The model as an experiment file holds it."""
        service: dict[str, Any] = {
            "time": {"distribution": "empirical", "values": [_rounded(value) for value in np.sort(self.solo_s)]}
        }
        if self.together:
            service["slots"] = len(self.together) + 1
            service["slowdown"] = [1.0, *(max(1.0, _rounded(value)) for value in self.together)]
        elif self.cores:
            # One computing thread to a pod: as many run at full speed as there are cores, more share them.
            service["slowdown"] = [1.0] * self.cores + [_rounded((self.cores + 1) / self.cores)]
            service["shared-by"] = "node"
        return {
            "name": name,
            "description": f"calibrated briefly: one cold start, {len(self.solo_s)} requests one after the other",
            "source": self.where,
            "provisional": True,
            "service-time": service,
            "cold-start": {"stages": [{"name": "start", "kind": "start", "time": f"{_rounded(self.start_s)}s"}]},
        }


def one_pod(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The Service with its scale pinned to one pod.

    Requests one after the other can be many to the autoscaler (`metric: rps`). Pods that it starts would be paid for in
    vain, and on one machine they would take the processor from the pod that is measured.
    """
    document = copy.deepcopy(dict(manifest))
    metadata = document["spec"]["template"].setdefault("metadata", {})
    others = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _SCALES}
    metadata["annotations"] = {**others, **dict.fromkeys(_PINNED, "1")}
    return document


def start_time(pod: PodRecord | None, probe_period_s: float) -> float:
    """From a pod's creation to its container answering, from when Kubernetes called it ready.

    The kubelet looks once in a period, so on average it sees the container half a period late. Without a period of
    its own a manifest is probed eagerly by queue-proxy, which answers a probe that is waiting at once.

    Raises:
        ClusterError: No pod became ready.
    """
    if pod is None or math.isnan(pod.ready_s):
        raise ClusterError("calibration: no pod became ready")
    return max(0.0, pod.ready_s - pod.created_s - probe_period_s / 2)


def latencies(sent: Sent) -> NDArray[np.float64]:
    """Latencies of the successful requests.

    Raises:
        ClusterError: A request failed: whatever answers is not the service that was meant.
    """
    status = sent.requests["status"]
    bad = np.flatnonzero((status < 200) | (status > 299))
    if len(bad) or not len(status):
        first = int(status[bad[0]]) if len(bad) else 0
        error = str(sent.requests["error"][bad[0]]) if len(bad) else ""
        answer = f"answered with {first}" if first else f"was not answered{f' ({error})' if error else ''}"
        raise ClusterError(f"calibration: a request {answer}; check the path and the body (--path, --body)")
    found: NDArray[np.float64] = sent.requests["latency_s"]
    return found


def shared_cores() -> int:
    """Cores that processes on this machine share."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not this system
        return os.cpu_count() or 1


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)
