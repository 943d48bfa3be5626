"""The objects of the fake cluster, their versions, the changes that watches replay, and the events about them."""

import asyncio
import json
import secrets
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from kpasim.cluster.fake.clock import stamp
from kpasim.cluster.objects import EVENTS, Document, Resource, condition, labels_of, meta, status_of

Key = tuple[str, str]
"""Namespace and name."""
Change = tuple[int, str, Document]
"""Resource version, type (ADDED, MODIFIED, DELETED), the object as of then."""

_HISTORY = 500
_KEPT_EVENTS = 500
_SOURCES = {
    "Scheduled": {"component": "default-scheduler"},
    "FailedScheduling": {"component": "default-scheduler"},
    "FailedCreate": {"component": "replicaset-controller"},
}
"""Who writes an event of a reason, where it is not the kubelet."""


class AlreadyExistsError(Exception):
    """An object of that name is there."""


class NotFoundError(Exception):
    """No object of that name is there."""


class Store:
    """Objects by kind, namespace and name. Every write gets the next resource version.

    Documents are copied in and out, so that no reader sees a half-made change.
    """

    def __init__(self) -> None:
        self.version = 1
        self._objects: dict[Resource, dict[Key, Document]] = {}
        self._changes: dict[Resource, deque[Change]] = {}
        self._compacted: dict[Resource, int] = {}
        self._news = asyncio.Event()
        self.listeners: list[Callable[[Resource, str, Document], None]] = []
        """Called after each write with the kind, the type of change and the object."""

    def get(self, resource: Resource, namespace: str, name: str) -> Document:
        """One object."""
        try:
            return copied(self._objects.get(resource, {})[namespace, name])
        except KeyError:
            raise NotFoundError(name) from None

    def all(self, resource: Resource, namespace: str | None = None, selector: str = "") -> list[Document]:
        """Objects by namespace and name."""
        found = self._objects.get(resource, {})
        return [
            copied(document)
            for (space, _), document in sorted(found.items())
            if namespace in (None, space) and selected(document, selector)
        ]

    def create(self, resource: Resource, document: Document, *, dry: bool = False) -> Document:
        """Add an object; it gets a uid, a time of creation and generation 1. A dry run only looks for its name."""
        document = copied(document)
        metadata = document.setdefault("metadata", {})
        key = (metadata.get("namespace", "") if resource.namespaced else "", metadata["name"])
        objects = self._objects.setdefault(resource, {})
        if key in objects:
            raise AlreadyExistsError(key[1])
        if dry:
            return document
        document.setdefault("apiVersion", resource.api_version)
        document.setdefault("kind", resource.kind)
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=stamp(), generation=1)
        _keep_transitions({}, document)
        self._write(resource, key, "ADDED", document)
        return copied(document)

    def update(self, resource: Resource, namespace: str, name: str, change: Callable[[Document], None]) -> Document:
        """Change an object in place; a change of ``spec`` raises its generation, no change at all writes nothing.

        A condition whose status is the same keeps the time of its last transition.
        """
        objects = self._objects.get(resource, {})
        if (namespace, name) not in objects:
            raise NotFoundError(name)
        old = objects[namespace, name]
        new = copied(old)
        change(new)
        _keep_transitions(old, new)
        if new == old:
            return new
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = int(old["metadata"].get("generation", 1)) + 1
        self._write(resource, (namespace, name), "MODIFIED", new)
        return copied(new)

    def merge(self, resource: Resource, namespace: str, name: str, **sections: Document) -> Document:
        """Change fields of an object's sections: ``metadata``, ``spec``, ``status``."""

        def change(document: Document) -> None:
            for section, fields in sections.items():
                document[section].update(fields)

        return self.update(resource, namespace, name, change)

    def set_status(self, resource: Resource, namespace: str, name: str, status: Document) -> None:
        """Replace an object's status."""
        self.update(resource, namespace, name, lambda document: document.update(status=status))

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object; one that is not there is no error."""
        document = self._objects.get(resource, {}).pop((namespace, name), None)
        if document is not None:
            self._write(resource, (namespace, name), "DELETED", document)

    def changes(
        self, resource: Resource, since: int, namespace: str | None, selector: str
    ) -> tuple[list[Change], int] | None:
        """Changes after version ``since`` and the version they lead to; None where it is too old."""
        if since < self._compacted.get(resource, 0):
            return None
        found = [
            change
            for change in self._changes.get(resource, ())
            if change[0] > since
            and namespace in (None, meta(change[2]).get("namespace", ""))
            and selected(change[2], selector)
        ]
        return found, self.version

    async def news(self, seconds: float) -> None:
        """Wait for the next write, at most ``seconds``."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return

    def _write(self, resource: Resource, key: Key, kind: str, document: Document) -> None:
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        if kind != "DELETED":
            self._objects[resource][key] = document
        changes = self._changes.setdefault(resource, deque(maxlen=_HISTORY))
        if len(changes) == _HISTORY:
            self._compacted[resource] = changes[0][0]
        changes.append((self.version, kind, copied(document)))
        self._news.set()
        self._news = asyncio.Event()
        for listener in self.listeners:
            listener(resource, kind, copied(document))


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
        if len(self._names) > _KEPT_EVENTS:
            self._store.remove(EVENTS, *self._names.pop(0))


def copied(document: Document) -> Document:
    """A deep copy, by way of JSON."""
    copy: Any = json.loads(json.dumps(document))
    return dict(copy)


def written(kind: str, status: str, reason: str = "", message: str = "", **more: Any) -> Document:
    """A condition; an empty reason or message is left out."""
    entry = {"type": kind, "status": status, **more, "reason": reason, "message": message}
    return {key: value for key, value in entry.items() if value != ""}


def _keep_transitions(old: Document, new: Document) -> None:
    """Date the conditions of an object that is to be stored: with now, or as before where the status is the same."""
    for entry in status_of(new).get("conditions") or ():
        before = condition(old, entry["type"])
        same = before.get("status") == entry["status"]
        entry["lastTransitionTime"] = before.get("lastTransitionTime", stamp()) if same else stamp()


def selected(document: Document, selector: str) -> bool:
    """Whether an object's labels fit ``a=b,c!=d,e,!f``."""
    found = labels_of(document)
    for term in filter(None, selector.split(",")):
        key, is_compared, value = term.replace("==", "=").partition("=")
        name = key.strip("!")
        fits = found.get(name) == value if is_compared else name in found
        if fits == ("!" in key):
            return False
    return True
