"""The fitted model of a service: how long a request takes, and what a pod goes through before it can take one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from kpasim.spec.base import Flag, Positive, Spec, Whole, names_differ, wrong
from kpasim.spec.distributions import Constant, Time
from kpasim.spec.quantities import PositiveSeconds, Quantity, Seconds, Share


class RequestClass(Spec):
    """Requests with their own service time, such as images of 50 steps."""

    name: str = Field(min_length=1)
    """Name, as a trace or a table shows it."""
    share: Positive
    """Share of the class, relative to the sum over all classes."""
    time: Time
    """Service time of a request of the class that has a GPU to itself."""


class ServiceTime(Spec):
    """Processing time of a request in a container."""

    time: Time
    """Service time of a request that has a GPU to itself; may be left out where `classes` give it."""
    by: Literal["request", "start"] = "request"
    """Whether the k-th service time belongs to the k-th request sent, or to the k-th request that starts to be
    served, as when the server draws it."""
    slots: Whole | None = None
    """Requests that a container processes at once; further requests wait inside it. 0 for any number. When not given:
    `containerConcurrency` where there is a `slowdown`, else one for each GPU of the pod, or without a GPU for each
    requested CPU."""
    slowdown: tuple[Positive, ...] = ()
    """Contention factors: relative duration of a request while 1, 2, 3 ... requests share a GPU, beginning with 1;
    linearly extrapolated beyond the last value. Empty: no contention."""
    shared_by: Literal["pod", "node"] = "pod"
    """Whether only the requests of one pod share a GPU, or those of all pods on a node."""
    per_instance_type: dict[str, Positive] = Field(default_factory=dict)
    """Relative duration on an instance type; 1 where not given."""
    classes: tuple[RequestClass, ...] = ()
    """Kinds of requests, drawn by their shares."""
    first_byte: Time | None = None
    """Time to the first byte of a streamed response; by default the response comes whole, at the end."""
    chunk_interval_s: PositiveSeconds | None = None
    """Time between two pieces of a streamed response, for idleTimeoutSeconds; by default no pause is too long."""

    @model_validator(mode="before")
    @classmethod
    def _time_of_classes(cls, data: Any) -> Any:
        """Without a time of its own the whole is the mixture of its classes."""
        if isinstance(data, ServiceTime):
            return data
        if not isinstance(data, Mapping) or "distribution" in data:
            return {"time": data}
        if "time" in data or not isinstance(data.get("classes"), list | tuple) or not data["classes"]:
            return data
        parts = [
            {"weight": one.get("share"), "time": one.get("time")} for one in data["classes"] if isinstance(one, Mapping)
        ]
        return {**data, "time": {"distribution": "mixture", "components": parts}}

    _names_differ = field_validator("classes")(names_differ)

    @field_validator("slowdown")
    @classmethod
    def _one_is_one(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if value and value[0] != 1:
            raise wrong(f"begins with {value[0]:g} (one request alone takes 1 time its duration)")
        return value


class Bandwidth(Spec):
    """Data that a stage moves, over a connection of the pod, or over a connection that pods share."""

    size: Quantity
    """Bytes to move, as a Kubernetes quantity: `12Gi`."""
    shared_bandwidth: Quantity | None = None
    """Bandwidth shared by all pods [bytes per second]: `400M`."""
    per_pod: Quantity | None = None
    """Bandwidth of each pod, instead [bytes per second]: `400M`."""

    @model_validator(mode="after")
    def _one_rate(self) -> Bandwidth:
        if (self.shared_bandwidth is None) == (self.per_pod is None):
            raise wrong("needs shared-bandwidth or per-pod, and not both")
        return self

    @property
    def rate(self) -> float:
        """Bytes per second that a pod gets by itself."""
        return float(self.per_pod or self.shared_bandwidth or 0)


class Stage(Spec):
    """A step between the creation of a pod and its first response; stages follow each other."""

    name: str = Field(min_length=1)
    """Name, as tables and figures show it."""
    kind: Literal["provision", "pull", "storage-initializer", "start"] = "start"
    """`provision` waits for a machine (not billed where billing starts with the pull), `pull` fetches the image or the
    weights, `storage-initializer` is KServe's download of the model before the container starts, in every pod
    (`cached-per-node` for a node's model cache), `start` is everything the container does."""
    time: Time = Constant(time_s=0.0)
    """Duration, without the transfer in `bandwidth`."""
    per_instance_type: dict[str, Time] = Field(default_factory=dict)
    """Duration on an instance type, instead of `time`."""
    at_a_time: Whole = 0
    """Maximum of pods in this stage at once, further pods wait (1: serialised); 0 for no limit."""
    cached_per_node: Flag = False
    """Whether only the first pod on a node has this stage, as with an image pull."""
    bandwidth: Bandwidth | None = None
    """Data that the stage moves."""
    when: Literal["before-ready", "after-ready", "first-request"] = "before-ready"
    """Whether the stage ends before the container passes probes, continues while requests wait inside, or begins with
    the first request (lazy loading)."""

    @model_validator(mode="after")
    def _initializer_is_first(self) -> Stage:
        if self.kind == "storage-initializer" and self.when != "before-ready":
            raise wrong(f"is a storage-initializer with when: {self.when} (it ends before the container starts)")
        return self


class Crash(Spec):
    """Starts that fail."""

    probability: Share = 0.0
    """Share of starts that fail at the end of the last stage before readiness."""
    restart_delay_s: Seconds = 10.0
    """Waiting time before the container is started again, doubled each time up to five minutes. The first time there is
    none, as in Kubernetes."""


class ColdStart(Spec):
    """Time from the creation of a pod to its first response."""

    stages: tuple[Stage, ...] = ()
    """The stages in order; none: a pod serves at once."""
    crash: Crash = Crash()
    """Starts that fail."""
    always_fails: Flag = False
    """Whether no pod ever becomes usable (a wrong image name, an unavailable GPU type)."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        """A bare time is one stage of that time."""
        is_time = "distribution" in data if isinstance(data, Mapping) else not isinstance(data, ColdStart)
        return {"stages": [{"name": "start", "time": data}]} if is_time else data

    _names_differ = field_validator("stages")(names_differ)


class Shutdown(Spec):
    """Behaviour of the container on SIGTERM."""

    drains_on_sigterm: Flag = True
    """Whether the container finishes its requests after SIGTERM; most web frameworks do, many scripts do not."""
    stop_time_s: Seconds = 0.0
    """Time from SIGTERM, or from the last response, to the container's end."""


def draws_of(posterior: Any) -> Any:
    """Draws that may have been written as a table, which is read a hundred times as fast as mappings.

    Raises:
        ValueError: A line has more or fewer values than there are places.
    """
    if not isinstance(posterior, str):
        return posterior
    places, *rows = (list(_cells(line)) for line in posterior.strip().splitlines())
    for number, row in enumerate(rows, start=1):
        if len(row) != len(places):
            raise ValueError(f"draw {number} has {len(row)} values for {len(places)} places")
    return tuple(dict(zip(places, map(_value, row), strict=True)) for row in rows)


def _cells(line: str) -> Iterator[str]:
    """Cells of a line: commas part them, but not within braces."""
    begun = depth = 0
    for place in re.finditer(r"[,{}]", line):
        depth += {"{": 1, "}": -1}.get(place[0], 0)
        if place[0] == "," and not depth:
            yield line[begun : place.start()].strip()
            begun = place.end()
    yield line[begun:].strip()


def _value(cell: str) -> Any:
    try:
        return json.loads(cell) if cell.startswith("{") else float(cell)
    except ValueError:
        return cell


class ServiceModel(Spec):
    """A fitted model of a service, with the source of its numbers."""

    name: str = ""
    """Name; the file's own when not given."""
    description: str = ""
    """The service and its hardware."""
    source: str | tuple[str, ...] = ""
    """Source of the numbers."""
    provisional: Flag = False
    """Whether the numbers are guesses, without measurements."""
    service_time: ServiceTime
    """How long a request takes; a bare duration is a constant."""
    cold_start: ColdStart = ColdStart()
    """Stages of a pod's start; a bare duration is a single stage."""
    shutdown: Shutdown = Shutdown()
    """Behaviour of the container on SIGTERM."""
    cancel_stops_work: Flag = False
    """Whether the container stops processing a request whose client has disconnected, and drops it if it still waits
    inside. Most servers do not."""
    posterior: Annotated[
        tuple[dict[str, Any], ...], BeforeValidator(draws_of, json_schema_input_type=str | tuple[dict[str, Any], ...])
    ] = ()
    """Draws of uncertain numbers, one mapping from a place in this file (`service-time.time.median`) to its value each,
    or all of them as a table in a text: a line of places, a line of values for each draw, commas between them. A value
    may be a JSON object, such as a whole distribution.
    Replications sample them in order."""
