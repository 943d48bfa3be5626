"""Restarts of Knative's autoscaler and activators out of an observation."""

from typing import Any, NamedTuple

import numpy as np

from kpasim.records.prometheus.observation import Observation, Role
from kpasim.studies.backtest.pods import gauge

BACK_S = 1.0
"""Time from the start of an autoscaler until it reconciles."""
CONNECTED_S = {"autoscaler": 13.0, "activator": 6.0}
"""Time from the start of a process until autoscaler and activators are connected, measured with Knative's binaries."""
BACK_OFF_S = 10.0
"""The kubelet starts a container that crashed for the second time after so long, and the first time at once."""


class Restart(NamedTuple):
    """A restart, in seconds since 1970.

    Attributes:
        role: Of the process.
        instance: Its target.
        at_s: When its predecessor ended.
        start_s: When it began.
        connected_s: When activators and autoscaler are connected again.
    """

    role: Role
    instance: str
    at_s: float
    start_s: float
    connected_s: float


def restarts(observation: Observation) -> list[Restart]:
    """The restarts within the window, in order.

    The start of a process is recorded. Its predecessor ended then, where the pod was replaced; where a container
    crashed, after its last scrape, and not longer ago than the kubelet waits. An autoscaler is connected as late as
    measured, or when the average concurrency is above 0 again.
    """
    found = []
    times_s, concurrency = gauge(observation, "kn_revision_concurrency_stable")
    for role in ("autoscaler", "activator"):
        lives = _lives(observation, role)
        for place, (start_s, instance, _) in enumerate(lives):
            if not observation.begin_s < start_s < observation.end_s:
                continue
            before = [last_s for _, other, last_s in lives[:place] if other == instance]
            if role == "activator" and not before:
                continue  # One more, or a new address: the others report as before.
            at_s = min(start_s, max(before[-1], start_s - BACK_OFF_S)) if before else start_s
            connected_s = start_s + CONNECTED_S[role]
            above = times_s[(times_s > start_s) & (concurrency > 0.0)]
            if role == "autoscaler" and len(above) and above[0] < connected_s + observation.interval_s[role]:
                zero = times_s[(times_s > start_s) & (times_s < above[0])]
                connected_s = min(max(connected_s, zero.max(initial=0.0)), float(above[0]))
            found.append(Restart(role, instance, at_s, start_s, connected_s))
    return sorted(found, key=lambda one: one.at_s)


def _lives(observation: Observation, role: Role) -> list[tuple[float, str, float]]:
    """Start of each process, its target, and its last scrape [s since 1970], ascending."""
    found: dict[tuple[float, str], float] = {}
    for one in observation.find("process_start_time_seconds", role):
        for time_s, value in zip(one.times_s.tolist(), one.values.tolist(), strict=True):
            if np.isfinite(value):
                found[value, one.instance] = max(time_s, found.get((value, one.instance), -np.inf))
    return sorted((start_s, instance, last_s) for (start_s, instance), last_s in found.items())


def settings(found: list[Restart], begin_s: float, end_s: float, activators: int) -> dict[str, Any]:
    """The restarts between two times as experiments have them; the load begins at ``begin_s``."""
    autoscaler: list[dict[str, Any]] = []
    activator: list[dict[str, Any]] = []
    places = {name: place for place, name in enumerate(sorted({one.instance for one in found}))}
    back_s = -np.inf
    for one in found:
        if not begin_s <= one.at_s < end_s:
            continue
        row: dict[str, Any] = {"at": f"{one.at_s - begin_s:.3f}s"}
        row["connected-after"] = f"{max(one.connected_s, one.start_s + BACK_S) - one.at_s:.3f}s"
        if one.role == "activator":
            activator.append({**row, "activator": 1 + places[one.instance] % activators})
        elif one.at_s > back_s:
            back_s = one.start_s + BACK_S
            autoscaler.append({**row, "back-after": f"{back_s - one.at_s:.3f}s"})
    return {"cluster.autoscaler-restarts": autoscaler, "cluster.activator-restarts": activator}
