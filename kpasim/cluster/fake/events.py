"""Kubernetes Events: what happened to whom, in the cluster's own words."""

from __future__ import annotations

import secrets

from kpasim.cluster.fake.clock import stamp
from kpasim.cluster.fake.store import Store
from kpasim.cluster.objects import EVENTS

_KEPT = 500
_SOURCES = {
    "Scheduled": {"component": "default-scheduler"},
    "FailedScheduling": {"component": "default-scheduler"},
    "FailedCreate": {"component": "replicaset-controller"},
}
"""Who writes an event of a reason, where it is not the kubelet."""


class Events:
    """Writes events and forgets the oldest."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: list[tuple[str, str]] = []

    def add(self, kind: str, namespace: str, name: str, reason: str, message: str) -> None:
        """Say that something happened to an object."""
        event = f"{name}.{secrets.token_hex(8)}"
        source = _SOURCES.get(reason, {"component": "kubelet", "host": "local"})
        component = source["component"]
        # The scheduler writes events of the newer kind: no count, and a time with microseconds.
        newer = component == "default-scheduler"
        now = stamp()
        self._store.create(
            EVENTS,
            {
                "metadata": {"name": event, "namespace": namespace},
                "involvedObject": {"kind": kind, "namespace": namespace, "name": name},
                "reason": reason,
                "message": message,
                "type": "Warning" if reason.startswith(("Failed", "BackOff", "Unhealthy")) else "Normal",
                "source": {} if newer else source,
                "reportingComponent": "" if component == "kubelet" else component,
                "firstTimestamp": None if newer else now,
                "lastTimestamp": None if newer else now,
                "eventTime": now[:-1] + ".000000Z" if newer else None,
                **({} if newer else {"count": 1}),
            },
        )
        self._names.append((namespace, event))
        if len(self._names) > _KEPT:
            self._store.remove(EVENTS, *self._names.pop(0))
