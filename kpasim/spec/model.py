"""The fitted model of a service: how long a request takes, and what a pod goes through before it can take one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from kpasim.spec.base import Flag, Positive, Spec, Whole, names_differ, wrong
from kpasim.spec.distributions import Constant, Time
from kpasim.spec.quantities import PositiveSeconds, Quantity, Seconds, Share


class RequestClass(Spec):
    """Requests that take a time of their own, such as an image of 50 steps beside one of 20."""

    name: str = Field(min_length=1)
    """Name, as a trace or a table shows it."""
    share: Positive
    """How frequent it is, relative to the sum over all classes."""
    time: Time
    """Service time of one such request that has a GPU to itself."""


class ServiceTime(Spec):
    """How long a container works on a request."""

    time: Time
    """Service time of one request that has a GPU to itself; may be left out where `classes` give it."""
    by: Literal["request", "start"] = "request"
    """Whether the k-th service time belongs to the k-th request sent, or to the k-th request that starts to be
    served, as when the server draws it."""
    slots: Whole | None = None
    """Requests a container works on at once; more wait inside it. 0 for any number. When not given:
    `containerConcurrency` where there is a `slowdown`, else one for each GPU of the pod, or for each CPU that it asks
    for where it has no GPU."""
    slowdown: tuple[Positive, ...] = ()
    """Relative duration when 1, 2, 3 ... requests share a GPU, beginning with 1; beyond the last value the last step
    goes on in a straight line. Empty: requests that a container works on at once do not slow each other down."""
    shared_by: Literal["pod", "node"] = "pod"
    """Whether only the requests of one pod share a GPU, or those of all pods on a node."""
    per_instance_type: dict[str, Positive] = Field(default_factory=dict)
    """Relative duration on an instance type; 1 where not given."""
    classes: tuple[RequestClass, ...] = ()
    """Kinds of requests, drawn by their shares."""
    first_byte: Time | None = None
    """Time to the first byte of a streamed answer; without it the answer comes whole, at the end."""
    chunk_interval_s: PositiveSeconds | None = None
    """Time between two pieces of a streamed answer, as idleTimeoutSeconds sees it; without it no pause is too long."""

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
    """Data that a stage moves, over a connection of the pod's own or one that all pods share which move data then."""

    size: Quantity
    """Bytes to move, as a Kubernetes quantity: `12Gi`."""
    shared_bandwidth: Quantity | None = None
    """Bytes per second that all of them share: `400M`."""
    per_pod: Quantity | None = None
    """Bytes per second that each pod has for itself, instead: `400M`."""

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
    """One step between the creation of a pod and its first answer; steps follow each other."""

    name: str = Field(min_length=1)
    """Name, as tables and figures show it."""
    kind: Literal["provision", "pull", "storage-initializer", "start"] = "start"
    """`provision` waits for a machine (not billed where billing starts with the pull), `pull` fetches the image or the
    weights, `storage-initializer` is KServe's download of the model before the container starts, in every pod
    (`cached-per-node` for a node's model cache), `start` is everything the container does."""
    time: Time = Constant(time_s=0.0)
    """How long it takes, the transfer in `bandwidth` not counted."""
    per_instance_type: dict[str, Time] = Field(default_factory=dict)
    """How long it takes on an instance type, instead of `time`."""
    at_a_time: Whole = 0
    """How many pods may be in this stage at once, the others wait; 0 for any number."""
    cached_per_node: Flag = False
    """Whether only the first pod on a node goes through it, as with an image pull."""
    bandwidth: Bandwidth | None = None
    """Data it moves."""
    when: Literal["before-ready", "after-ready", "first-request"] = "before-ready"
    """Whether it must end before the container answers probes, goes on after that while requests wait inside, or begins
    with the first request (lazy loading)."""


class Crash(Spec):
    """Starts that fail."""

    probability: Share = 0.0
    """Share of starts that fail at the end of the last stage before readiness."""
    restart_delay_s: Seconds = 10.0
    """Waiting time before the container is started again, doubled each time up to five minutes. The first time there is
    none, as in Kubernetes."""


class ColdStart(Spec):
    """From the creation of a pod to its first answer."""

    stages: tuple[Stage, ...] = ()
    """The stages in order; none: a pod answers at once."""
    crash: Crash = Crash()
    """Starts that fail."""
    always_fails: Flag = False
    """Whether no pod ever becomes usable (a wrong image name, a GPU type nobody has)."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        """A bare time is one stage of that time."""
        if isinstance(data, Mapping) and "distribution" in data:
            return {"stages": [{"name": "start", "time": data}]}
        return data if isinstance(data, Mapping | ColdStart) else {"stages": [{"name": "start", "time": data}]}

    _names_differ = field_validator("stages")(names_differ)


class Shutdown(Spec):
    """What the container does when it is told to stop."""

    drains_on_sigterm: Flag = True
    """Whether it finishes the requests it works on after SIGTERM; most web frameworks do, many scripts do not."""
    stop_time_s: Seconds = 0.0
    """Time from SIGTERM, or from the last answer, to its end."""


def draws_of(posterior: Any) -> Any:
    """Draws that may have been written as a table, which is read a hundred times as fast as mappings.

    Raises:
        ValueError: A line has more or fewer values than there are places.
    """
    if not isinstance(posterior, str):
        return posterior
    places, *rows = ([cell.strip() for cell in line.split(",")] for line in posterior.strip().splitlines())
    for number, row in enumerate(rows, start=1):
        if len(row) != len(places):
            raise ValueError(f"draw {number} has {len(row)} values for {len(places)} places")
    return tuple(dict(zip(places, map(_number_or_text, row), strict=True)) for row in rows)


def _number_or_text(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


class ServiceModel(Spec):
    """A fitted model of a service, with where its numbers came from."""

    name: str = ""
    """Name; the file's own when not given."""
    description: str = ""
    """What service on what hardware this is."""
    source: str | tuple[str, ...] = ""
    """Where the numbers came from."""
    provisional: Flag = False
    """Whether the numbers are a guess that no measurement backs yet."""
    service_time: ServiceTime
    """How long a request takes; a bare duration is a constant."""
    cold_start: ColdStart = ColdStart()
    """What a pod goes through before it takes requests; a bare duration is one stage."""
    shutdown: Shutdown = Shutdown()
    """What the container does when it is told to stop."""
    cancel_stops_work: Flag = False
    """Whether the container notices that a client has gone: it then stops working on the request, and drops one that
    still waits inside. Most servers do not notice."""
    posterior: Annotated[
        tuple[dict[str, Any], ...], BeforeValidator(draws_of, json_schema_input_type=str | tuple[dict[str, Any], ...])
    ] = ()
    """Draws of uncertain numbers, one mapping from a place in this file (`service-time.time.median`) to its value each,
    or all of them as a table in a text: a line of places, a line of values for each draw, commas between them.
    Replications take them in turn."""
