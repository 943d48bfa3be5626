"""What happened in the cluster, in the tables of a run folder.

Kubernetes stamps objects with whole seconds of the server's clock, while a watch tells us of a change within
milliseconds. So a change is dated by its arrival here, unless the stamp says that it happened earlier (the watch was
broken, or the object is older than the run); then the stamp counts, corrected by the difference of the clocks.
"""

import datetime
import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from kpasim.cluster.kube import Clock
from kpasim.cluster.objects import (
    DEPLOYMENTS,
    EVENTS,
    POD_AUTOSCALERS,
    PODS,
    REVISION_LABEL,
    SERVERLESS_SERVICES,
    Document,
    Resource,
    annotations_of,
    condition,
    labels_of,
    meta,
    name_of,
    status_of,
    waiting_of,
)
from kpasim.results.tables import Tables, empty_columns

NAN = math.nan
_INSTANCE_TYPE = "k8s.aliyun.com/eci-instance-spec"
_MAX_PODS = 10_000
_MAX_ROWS = 200_000
_MAX_EVENTS = 5_000
_MAX_TEXT = 200
_MAX_WORDS = 1000
# Messages of these reasons say why pods are missing; others repeat images, commands and addresses.
_TOLD_REASONS = {"FailedScheduling", "FailedCreate", "FailedAttachVolume", "FailedMount", "NotTriggerScaleUp"}
_TROUBLE_REASONS = {
    "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CrashLoopBackOff",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}  # fmt: skip
_CREDENTIALS = re.compile(r"//[^/@\s]+@")


@dataclass
class PodRecord:
    """One pod; times are local Unix seconds, NaN until they are known."""

    name: str
    revision: str
    created_s: float
    scheduled_s: float = NAN
    containers_s: float = NAN
    ready_s: float = NAN
    delete_requested_s: float = NAN
    gone_s: float = NAN
    node: str = ""
    instance_type: str = ""
    restarts: int = 0
    ready: bool = False
    unschedulable: str = ""


@dataclass
class _Scaling:
    desired: int = -1
    ready: int = 0
    replicas: int = -1
    pa_active: str = ""
    sks_mode: str = ""


@dataclass(frozen=True)
class Gauges:
    """What the autoscaler's metrics showed at one look; NaN for what they did not show."""

    stable: float
    panic: float
    target: float
    desired: float
    panic_mode: float
    excess: float


class _Event(NamedTuple):
    at_s: float
    kind: str
    name: str
    reason: str
    message: str = ""


@dataclass
class Recorder:
    """Follows the watches of one Service; safe to use from several threads.

    Attributes:
        pods: Pods by uid.
        events: Kubernetes events, in the order in which they arrived.
        full: Whether something was left out because there was too much of it.
    """

    clock: Clock
    now: Callable[[], float] = time.time
    pods: dict[str, PodRecord] = field(default_factory=dict)
    events: list[_Event] = field(default_factory=list)
    full: bool = False
    _revision: str = ""
    _current: dict[str, _Scaling] = field(default_factory=dict)
    _scaling: list[tuple[float, str, _Scaling]] = field(default_factory=list)
    _ticks: list[tuple[float, Gauges, int]] = field(default_factory=list)
    _seen_events: set[str] = field(default_factory=set)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # -- watches -----------------------------------------------------------------------------------------------------

    def changed(self, resource: Resource, kind: str, document: Document) -> None:
        """Take one change."""
        with self._lock:
            if resource == PODS:
                self._pod(document, gone=kind == "DELETED")
            elif resource == EVENTS:
                self._event(document)
            elif kind != "DELETED":
                self._scaled(resource, document)

    def listed(self, resource: Resource, documents: list[Document]) -> None:
        """Take all there is; pods that are known and not in it are gone."""
        with self._lock:
            for document in documents:
                self.changed(resource, "MODIFIED", document)
            if resource == PODS:
                there = {str(meta(document).get("uid")) for document in documents}
                for uid, pod in self.pods.items():
                    if uid not in there and math.isnan(pod.gone_s):
                        pod.gone_s, pod.ready = self.now(), False
                        pod.delete_requested_s = _first(pod.delete_requested_s, pod.gone_s)

    def observed(self, gauges: Gauges) -> None:
        """Take one look at the autoscaler's metrics; a look that shows nothing new leaves no row."""
        with self._lock:
            if len(self._ticks) >= _MAX_ROWS:
                self.full = True
                return
            if not self._ticks or repr(self._ticks[-1][1]) != repr(gauges):
                self._ticks.append((self.now(), gauges, self.ready_pods))

    # -- questions ---------------------------------------------------------------------------------------------------

    @property
    def ready_pods(self) -> int:
        """Pods that are ready now."""
        with self._lock:
            return sum(pod.ready for pod in self.pods.values())

    @property
    def present_pods(self) -> int:
        """Pods that are not gone."""
        with self._lock:
            return sum(math.isnan(pod.gone_s) for pod in self.pods.values())

    @property
    def wanted_pods(self) -> int:
        """Replicas that the Deployment of the run's revision asks for; -1 before it is known."""
        with self._lock:
            return self._current.get(self._revision, _Scaling()).replicas

    def follow_revision(self, revision: str) -> None:
        """Say which revision the tables are about."""
        with self._lock:
            self._revision = revision

    def pod_seconds(self) -> float:
        """Time that all pods together have existed so far [pod-seconds]."""
        with self._lock:
            now = self.now()
            return sum((now if math.isnan(pod.gone_s) else pod.gone_s) - pod.created_s for pod in self.pods.values())

    def first_start(self) -> PodRecord | None:
        """The first pod of the revision that became ready: one cold start."""
        with self._lock:
            ready = [
                pod for pod in self.pods.values() if pod.revision == self._revision and not math.isnan(pod.ready_s)
            ]
            return min(ready, key=lambda pod: pod.ready_s, default=None)

    def explain(self) -> str:
        """Why pods are missing, in the cluster's own words; empty where nothing is known."""
        with self._lock:
            for pod in self.pods.values():
                if pod.unschedulable and math.isnan(pod.gone_s):
                    return f"Pod {pod.name}: {pod.unschedulable}"
            for event in reversed(self.events):
                if event.message:
                    return f"{event.kind} {event.name}: {event.reason}: {event.message}"
            waiting = [pod for pod in self.pods.values() if math.isnan(pod.gone_s) and not pod.ready]
            return f"pod {waiting[0].name} is not ready" if waiting else ""

    # -- tables ------------------------------------------------------------------------------------------------------

    def tables(self, zero_s: float) -> Tables:
        """Pods, ticks and scaling with times from ``zero_s``, a local Unix time; requests are empty."""
        with self._lock:
            pods = sorted(
                (pod for pod in self.pods.values() if pod.revision == self._revision), key=lambda pod: pod.created_s
            )
            scaling = [(at_s, row) for at_s, revision, row in self._scaling if revision == self._revision]
            ticks = list(self._ticks)
        found = Tables(requests=empty_columns("requests"), nodes={})
        times = ("created_s", "ready_s", "delete_requested_s", "gone_s", "scheduled_s", "containers_s")
        found.pods = {
            "pod": _column(pods, "name", np.str_),
            **{name: _column(pods, name, np.float64) - zero_s for name in times},
            **{name: _column(pods, name, np.str_) for name in ("instance_type", "node")},
            "restarts": _column(pods, "restarts", np.int64),
        }
        rows = [row for _, row in scaling]
        found.scaling = {
            "t_s": np.array([at_s for at_s, _ in scaling], dtype=float) - zero_s,
            **{name: _column(rows, name, np.int64) for name in ("desired", "ready", "replicas")},
            **{name: _column(rows, name, np.str_) for name in ("pa_active", "sks_mode")},
        }
        looks = [gauges for _, gauges, _ in ticks]
        found.ticks = {
            "t_s": np.array([at_s for at_s, _, _ in ticks], dtype=float) - zero_s,
            **{name: _column(looks, name, np.float64) for name in ("stable", "panic", "target")},
            "desired_stable": _whole([_pods(gauges.stable, gauges.target) for gauges in looks]),
            "desired_panic": _whole([_pods(gauges.panic, gauges.target) for gauges in looks]),
            "ready_pods": np.array([ready for _, _, ready in ticks], dtype=np.int64),
            "panic_mode": _whole([gauges.panic_mode for gauges in looks]),
            "excess_burst_capacity": _column(looks, "excess", np.float64),
            "desired": _whole([gauges.desired for gauges in looks]),
        }
        return found

    def event_rows(self, zero_s: float) -> list[tuple[str, ...]]:
        """Events as rows: time from ``zero_s``, kind, name, reason, and the message where it explains missing pods."""
        with self._lock:
            return [(f"{at_s - zero_s:.3f}", *words) for at_s, *words in self.events]

    # -- one object --------------------------------------------------------------------------------------------------

    def _pod(self, document: Document, *, gone: bool) -> None:
        uid = str(meta(document).get("uid") or name_of(document))
        pod = self.pods.get(uid)
        if pod is None:
            if len(self.pods) >= _MAX_PODS:
                self.full = True
                return
            created_s = self._dated(meta(document).get("creationTimestamp"))
            pod = PodRecord(name_of(document)[:253], labels_of(document).get(REVISION_LABEL, ""), created_s)
            self.pods[uid] = pod
        status = status_of(document)
        pod.node = str((document.get("spec") or {}).get("nodeName") or pod.node)[:253]
        pod.instance_type = str(annotations_of(document).get(_INSTANCE_TYPE) or pod.instance_type)[:100]
        scheduled = condition(document, "PodScheduled")
        pod.unschedulable = (
            f"{scheduled.get('reason')}: {' '.join(str(scheduled.get('message') or '').split())[:_MAX_WORDS]}"
            if scheduled.get("status") == "False"
            else ""
        )
        if scheduled.get("status") == "True":
            pod.scheduled_s = _first(pod.scheduled_s, self._dated(scheduled.get("lastTransitionTime")))
        containers = [entry for entry in status.get("containerStatuses") or () if isinstance(entry, dict)]
        started = [((entry.get("state") or {}).get("running") or {}).get("startedAt") for entry in containers]
        if started and all(started):
            pod.containers_s = _first(pod.containers_s, self._dated(max(map(str, started))))
        pod.restarts = max([pod.restarts, *(_int(entry.get("restartCount")) for entry in containers)])
        ready = condition(document, "Ready")
        pod.ready = ready.get("status") == "True" and not gone and not meta(document).get("deletionTimestamp")
        if ready.get("status") == "True":
            pod.ready_s = _first(pod.ready_s, self._dated(ready.get("lastTransitionTime")))
        if meta(document).get("deletionTimestamp"):
            grace_s = _int(meta(document).get("deletionGracePeriodSeconds"))
            pod.delete_requested_s = _first(
                pod.delete_requested_s, self._dated(meta(document)["deletionTimestamp"], -grace_s)
            )
        if gone:
            pod.gone_s = _first(pod.gone_s, self.now())
            pod.delete_requested_s = _first(pod.delete_requested_s, pod.gone_s)
        for entry in containers:
            waiting = waiting_of(entry)
            if waiting.get("reason") in _TROUBLE_REASONS:
                image = str(entry.get("image") or "")
                words = f"its container does not start{f' (image {image[:_MAX_TEXT]})' if image else ''}"
                self._note(uid, _Event(self.now(), "Pod", pod.name, str(waiting["reason"]), words))

    def _event(self, document: Document) -> None:
        about = document.get("involvedObject") or {}
        reason = str(document.get("reason") or "")[:_MAX_TEXT]
        message = ""
        if reason in _TOLD_REASONS:
            message = _CREDENTIALS.sub("//", " ".join(str(document.get("message") or "").split()))[:_MAX_WORDS]
        at_s = self.dated(document)
        key = f"{meta(document).get('uid')}/{document.get('count')}"
        self._note(key, _Event(at_s, str(about.get("kind"))[:63], str(about.get("name"))[:253], reason, message))

    def _note(self, key: str, event: _Event) -> None:
        key = f"{key}/{event.reason}"
        if key in self._seen_events:
            return
        if len(self.events) >= _MAX_EVENTS:
            self.full = True
            return
        self._seen_events.add(key)
        self.events.append(event)

    def _scaled(self, resource: Resource, document: Document) -> None:
        revision = labels_of(document).get(REVISION_LABEL, "")
        row = self._current.setdefault(revision, _Scaling())
        before = repr(row)
        status, spec = status_of(document), document.get("spec") or {}
        if resource == DEPLOYMENTS:
            row.replicas, row.ready = _int(spec.get("replicas")), _int(status.get("readyReplicas"))
        elif resource == POD_AUTOSCALERS:
            desired = status.get("desiredScale")
            row.desired = -1 if desired is None else _int(desired)
            row.pa_active = str(condition(document, "Active").get("status") or "")[:20]
        elif resource == SERVERLESS_SERVICES:
            row.sks_mode = str(spec.get("mode") or "")[:20]
        if repr(row) == before:
            return
        if len(self._scaling) >= _MAX_ROWS:
            self.full = True
            return
        self._scaling.append((self.now(), revision, _Scaling(**vars(row))))

    def dated(self, event: Document) -> float:
        """Local Unix time of a Kubernetes event [s]; the scheduler's have ``eventTime`` only."""
        return self._dated(event.get("lastTimestamp") or event.get("eventTime"))

    def _dated(self, stamp: Any, offset_s: float = 0.0) -> float:
        """Local time of something that the server stamped and that we hear of now."""
        now = self.now()
        try:
            stamped = datetime.datetime.fromisoformat(str(stamp)).timestamp() + offset_s - self.clock.skew_s
        except (TypeError, ValueError, OverflowError):
            return now
        # A stamp says only which second it was.
        if stamped - 1.0 <= now <= stamped + 2.0:
            return now
        return stamped + 0.5


def _column(rows: Sequence[Any], name: str, kind: Any) -> Any:
    return np.array([getattr(row, name) for row in rows], dtype=kind)


def _first(known: float, new: float) -> float:
    return new if math.isnan(known) else known


def _int(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _pods(average: float, target: float) -> float:
    if math.isnan(average) or not target > 0:
        return NAN
    return float(math.ceil(average / target))


def _whole(values: list[float]) -> Any:
    return np.array([-1 if math.isnan(value) else int(value) for value in values], dtype=np.int64)
