"""Pods as kubectl prints them: ``get pods -o json``, and ``-w --output-watch-events -o json`` as they change.

Conditions and container states become the moments of a cold start, named as in a run folder's pods.csv. Kubernetes
writes whole seconds. A snapshot knows only the latest change of a condition; a watch keeps the first.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.arrays import Array
from kpasim.errors import Problem
from kpasim.records.record import Malformed, MalformedError, Record, iso, moment, number, object_in, objects_in, shown
from kpasim.records.source import whole
from kpasim.results.frames import Columns

CONDITIONS = {"PodScheduled": "scheduled_s", "Initialized": "initialized_s", "Ready": "ready_s"}
"""Conditions of a pod, and the column that says when each first became true."""

QUEUE_PROXY = "queue-proxy"

_TIMES = ("created_s", *CONDITIONS.values(), "containers_s", "delete_requested_s", "gone_s")
_INSTANCE_TYPE = "node.kubernetes.io/instance-type"
_REVISION = "serving.knative.dev/revision"
_SERVICE = "serving.knative.dev/service"
_EVENTS = {"ADDED", "MODIFIED", "DELETED"}


@dataclass
class _Pod:
    """What is known of one pod so far."""

    name: str
    times: dict[str, float] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    node: str = ""
    revision: str = ""
    workload: str = ""
    instance_type: str = ""
    restarts: int = 0
    restarts_before_ready: int = 0

    def first(self, name: str, time_s: float) -> None:
        self.times[name] = min(time_s, self.times.get(name, math.inf))


def read_kubectl(path: Path, skip_bad: bool = False) -> Record:
    """Pods with the moments of their starts; second 0 is the first creation.

    `Record.pods` has ``pod``, ``created_s``, ``scheduled_s``, ``initialized_s``, ``containers_s`` (the service's own
    containers run), ``ready_s``, ``delete_requested_s``, ``gone_s``, ``node``, ``instance_type``, ``revision``,
    ``workload`` (the Knative Service, else what owns the pod), ``restarts`` and ``restarts_before_ready``: where that
    is not 0 the moments are not those of a first start. Pods of other revisions and workloads stand beside each other.
    """
    malformed = Malformed(path, skip_bad)
    pods: dict[str, _Pod] = {}
    watched, others = False, 0
    for line, value in _values(whole(path), malformed):
        items: list[Any] = []
        with malformed.at(line):
            event = ""
            if "object" in value:
                event, value, watched = str(value.get("type")), object_in(value, "object"), True  # noqa: PLW2901
                if event in {"BOOKMARK", "ERROR"}:  # neither is about a pod; an error ends a watch
                    continue
                if event not in _EVENTS:
                    raise MalformedError("type", f"must be one of {', '.join(sorted(_EVENTS))} (it is {shown(event)})")
            listed = value.get("items", [value])
            if not isinstance(listed, list):
                raise MalformedError("items", "must be a list")
            items = listed
        for index, item in enumerate(items):
            if "items" in value and isinstance(item, dict) and item.get("kind", "Pod") != "Pod":
                others += 1
                continue
            try:
                _look(item, event, pods)
            except MalformedError as error:
                place = f"items[{index}].{error.problem.place}" if "items" in value else error.problem.place
                malformed.add(line, Problem(place, error.problem.message))
    first = min((pod.times["created_s"] for pod in pods.values()), default=0.0)
    record = Record("kubectl-pods", str(path), pods=_columns(pods, first), origin=iso(first) if pods else "")
    record.notes.append("Kubernetes writes whole seconds: each moment is up to a second early")
    if not watched:
        record.notes.append("a snapshot: of a condition that changed more than once only the last change is known")
    if others:
        record.notes.append(f"{others} object{'s' * (others > 1)} of other kinds left out")
    return malformed.finish(record, len(pods), "no pod in it")


def stages(pods: Columns) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """How long each part of each pod's start took [s], ``NaN`` where a pod did not get so far.

    Of ``provision`` (until its pull begins, or where that is not known until it is scheduled), ``pull`` (until its
    containers run) and ``start`` (until Ready) those that the columns tell apart; the first begins at creation.
    """
    result = {}
    begin = pods["created_s"]
    unknown = np.full(len(begin), np.nan)
    containers = pods.get("containers_s", unknown)
    machine = pods.get("scheduled_s", unknown)
    if "pull_s" in pods:
        # A simulated pod has its machine when the pull begins, or its containers where there is nothing to pull.
        machine = np.where(np.isnan(pods["pull_s"]), containers, pods["pull_s"])
    ends = {"provision": machine, "pull": containers, "start": pods["ready_s"]}
    for name, end in ends.items():
        if name == "start" or not np.isnan(end).all():
            result[name] = end - begin
            begin = end
    return result


def _values(text: str, malformed: Malformed) -> Iterator[tuple[int, dict[str, Any]]]:
    """JSON objects written one after the other, each with the line it begins on."""
    decoder = json.JSONDecoder()
    place, line = 0, 1
    while True:
        begin = place
        while begin < len(text) and text[begin].isspace():
            begin += 1
        line += text.count("\n", place, begin)
        if begin == len(text):
            return
        try:
            value, place = decoder.raw_decode(text, begin)
            if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
                yield line, {"items": value}
            elif not isinstance(value, dict):
                malformed.add(line, Problem("", f"must be a JSON object (it is {shown(value)})"))
            else:
                yield line, value
        except (ValueError, RecursionError) as error:
            wrong = error.lineno - text.count("\n", 0, begin) if isinstance(error, json.JSONDecodeError) else 1
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep or a number too long"
            malformed.add(line + wrong - 1, Problem("", f"not JSON: {reason}"))
            # kubectl begins each object at the start of a line: go on with the next.
            place = text.find("\n{", begin)
            if place < 0:
                return
        line += text.count("\n", begin, place)


def _look(value: Any, event: str, pods: dict[str, _Pod]) -> None:
    """Take what one state of a pod says."""
    if not isinstance(value, dict) or value.get("kind", "Pod") != "Pod":
        kind = value.get("kind") if isinstance(value, dict) else value
        raise MalformedError("kind", f"must be Pod (it is {shown(kind)})")
    metadata, status = object_in(value, "metadata"), object_in(value, "status", {})
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise MalformedError("metadata.name", f"must be a name (it is {shown(name)})")
    key = str(metadata.get("uid") or f"{metadata.get('namespace')}/{name}")
    seen = _Pod(name)
    seen.first("created_s", moment(metadata.get("creationTimestamp"), "metadata.creationTimestamp"))
    if metadata.get("deletionTimestamp") is not None:
        # The timestamp is when the pod will be killed: its grace period after the request.
        grace = number(metadata.get("deletionGracePeriodSeconds", 0), "metadata.deletionGracePeriodSeconds", least=0)
        seen.first("delete_requested_s", moment(metadata["deletionTimestamp"], "metadata.deletionTimestamp") - grace)
    for condition in objects_in(status, "conditions"):
        column = CONDITIONS.get(_word(condition.get("type")))
        if column and condition.get("status") == "True" and condition.get("lastTransitionTime") is not None:
            seen.first(column, moment(condition.get("lastTransitionTime"), "status.conditions.lastTransitionTime"))
    _look_at_containers(status, event, seen)
    spec = object_in(value, "spec", {})
    labels = object_in(metadata, "labels", {})
    seen.node = _word(spec.get("nodeName"))
    seen.revision = _word(labels.get(_REVISION))
    seen.workload = _word(labels.get(_SERVICE)) or re.sub(r"-\d{5}$", "", seen.revision) or _owner(metadata)
    seen.instance_type = _word(object_in(spec, "nodeSelector", {}).get(_INSTANCE_TYPE))
    seen.restarts_before_ready = seen.restarts
    _merge(pods.setdefault(key, seen), seen)


def _owner(metadata: dict[str, Any]) -> str:
    """The workload that made a pod, its ReplicaSet named as the Deployment; empty for a pod of its own."""
    labels, owners = object_in(metadata, "labels", {}), objects_in(metadata, "ownerReferences")
    name = _word(owners[0].get("name")) if owners else _word(metadata.get("generateName")).rstrip("-")
    return name.removesuffix(f"-{_word(labels.get('pod-template-hash'))}")


def _look_at_containers(status: dict[str, Any], event: str, seen: _Pod) -> None:
    ends = []
    for container in objects_in(status, "containerStatuses"):
        name = _word(container.get("name"))
        state = object_in(container, "state", {})
        running, terminated = object_in(state, "running", {}), object_in(state, "terminated", {})
        begun = running.get("startedAt") or terminated.get("startedAt")
        if begun is not None and name != QUEUE_PROXY:
            seen.started[name] = moment(begun, "status.containerStatuses.state.startedAt")
        if terminated.get("finishedAt") is not None:
            ends.append(moment(terminated["finishedAt"], "status.containerStatuses.state.finishedAt"))
        count = number(container.get("restartCount", 0), "status.containerStatuses.restartCount", least=0)
        seen.restarts = max(seen.restarts, int(min(count, 1e9)))
    if event == "DELETED" and ends:
        seen.first("gone_s", max(ends))


def _merge(pod: _Pod, seen: _Pod) -> None:
    """Add a later state of the same pod: of each moment the first is kept."""
    if "ready_s" not in pod.times:
        pod.restarts_before_ready = seen.restarts
    for name, time_s in seen.times.items():
        pod.first(name, time_s)
    for name, time_s in seen.started.items():
        pod.started[name] = min(time_s, pod.started.get(name, math.inf))
    pod.node = pod.node or seen.node
    pod.instance_type = pod.instance_type or seen.instance_type
    pod.restarts = max(pod.restarts, seen.restarts)
    if pod.started:
        pod.times["containers_s"] = max(pod.started.values())


def _columns(pods: dict[str, _Pod], first: float) -> Columns:
    ordered = sorted(pods.values(), key=lambda pod: pod.times["created_s"])

    def column(name: str, kind: Any) -> Array:
        return np.array([getattr(pod, name) for pod in ordered], dtype=kind)

    return {
        "pod": column("name", np.str_),
        **{name: np.array([pod.times.get(name, math.nan) - first for pod in ordered]) for name in _TIMES},
        **{name: column(name, np.str_) for name in ("node", "instance_type", "revision", "workload")},
        **{name: column(name, np.int64) for name in ("restarts", "restarts_before_ready")},
    }


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
