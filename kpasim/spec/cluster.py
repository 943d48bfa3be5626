"""The cluster a service runs on: GPUs, nodes or instances, activators, the ingress, and the plumbing's delays."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from kpasim.spec.base import Count, Number, Spec, Whole, names_differ, wrong
from kpasim.spec.delays import Delays
from kpasim.spec.distributions import Constant, Time
from kpasim.spec.quantities import Seconds, Share

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
"""A currency by its three letters: `USD`, `CNY`."""


class InstanceType(Spec):
    """An instance type of a provider, such as the instance of a serverless pod."""

    name: str = Field(min_length=1)
    """Name, as the provider and the annotation `k8s.aliyun.com/eci-use-specs` write it."""
    price_per_hour: Number | None = None
    """Price per hour; without a price no cost is reported."""
    currency: Currency = "USD"
    """Currency of the price."""
    stock: Whole | None = None
    """Available instances; not given: unlimited."""
    gpus: Whole = 1
    """GPUs of one instance."""


class Nodes(Spec):
    """A pool of nodes that pods are scheduled to; by default each pod gets its own instance."""

    type: str = ""
    """Instance type of the nodes, for price and speed."""
    count: Whole = 1
    """Nodes at the start; the minimum of the pool."""
    gpus_per_node: Count = 1
    """GPUs of a node."""
    max: Whole | None = None
    """Maximum of nodes of the pool; not given: `count`."""
    provision: Time = Constant(time_s=120.0)
    """Time until an added node takes pods."""
    idle_release_s: Seconds = 600.0
    """Time without a pod before an added node is released."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.max < self.count:
            raise wrong(f"max = {self.max} is below count = {self.count} (max counts all nodes)")
        if max(self.count, self.max or 0) == 0:
            raise wrong("count = 0 and no max: no pod could ever run (give count or max)")
        return self


class Ingress(Spec):
    """The gateway before Knative, which spreads requests over backends."""

    path: Literal["auto", "activator"] = "auto"
    """`auto`: the autoscaler decides whether the activator is in the path, as in a cluster; `activator`: requests are
    sent straight to the activator for the whole run."""
    policy: Literal["round-robin", "least-request", "random"] = "round-robin"
    """Load balancing: Kourier's Envoy uses round robin, Istio's the less busy of two random backends."""
    workers: Count = 1
    """Worker threads of the ingress, each with its own round robin."""
    affinity: Literal["auto", "none", "activator", "pod"] = "auto"
    """What a session cookie ties a client to. `auto`: nothing, or the backend of the moment (an activator while one is
    in the path) where the manifest asks for cookie affinity; `pod`: a vendor's data plane that ties to pods
    even then."""


class ActivatorRestart(Spec):
    """A restart of an activator. Requests go on as before; what it reports until it is connected is lost."""

    at_s: Seconds
    """Time of its end, from the start of the load."""
    connected_after_s: Seconds = 16.0
    """Time from its end until its successor is connected to the autoscaler; measured where the container crashed and
    was started again after 10 s."""
    activator: Count = 1
    """Which of the activators, from 1 on."""


class AutoscalerRestart(Spec):
    """A restart of Knative's autoscaler, which forgets its averages, panic mode and delayed decisions.

    Beside several ready pods its successor begins in panic mode. The defaults were measured where its pod was replaced.
    """

    at_s: Seconds
    """Time of its end, from the start of the load."""
    back_after_s: Seconds = 1.0
    """Time from its end until its successor reconciles; until then the number of pods stays. 10 s more where the
    container crashed and is started again."""
    connected_after_s: Seconds = 14.0
    """Time from its end until the activators are connected to the successor; what they report until then is lost."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.connected_after_s < self.back_after_s:
            message = f"connected-after = {self.connected_after_s:g}s is below back-after = {self.back_after_s:g}s"
            raise wrong(f"{message} (activators connect to a successor that is there)")
        return self


class Cluster(Spec):
    """Where pods run and how requests reach them."""

    gpus_per_pod: Whole | None = None
    """GPUs a pod holds, for GPU-seconds and scheduling; the manifest's GPU limit when not given, and 1
    where the manifest has none."""
    instance_types: tuple[InstanceType, ...] = ()
    """Available instance types, in the order they are tried; the manifest's `k8s.aliyun.com/eci-use-specs` overrides
    the order."""
    nodes: Nodes | None = None
    """A pool of nodes; by default each pod gets its own instance."""
    activators: Annotated[int, Field(strict=True, ge=1, le=63)] = 1
    """Activators of the cluster; Knative installs one, and lets its autoscaler have up to 20."""
    ingress: Ingress = Ingress()
    """The gateway before Knative."""
    scrape_failure: Share = 0.0
    """Share of the autoscaler's reads of a pod's statistics that get no response, as of a ready pod that hangs."""
    autoscaler_restarts: tuple[AutoscalerRestart, ...] = ()
    """Restarts of Knative's autoscaler, one after the other."""
    activator_restarts: tuple[ActivatorRestart, ...] = ()
    """Restarts of activators."""
    delays: Delays = Delays()
    """Delays between the cluster's components."""

    _names_differ = field_validator("instance_types")(names_differ)

    @field_validator("autoscaler_restarts")
    @classmethod
    def _one_after_the_other(cls, restarts: tuple[AutoscalerRestart, ...]) -> tuple[AutoscalerRestart, ...]:
        for before, restart in pairwise(restarts):
            if restart.at_s <= before.at_s + before.back_after_s:
                message = f"at = {restart.at_s:g}s, when the one that ended at {before.at_s:g}s is not back yet"
                raise wrong(f"{message} (give restarts one after the other)")
        return restarts

    @model_validator(mode="after")
    def _activators_are_there(self) -> Self:
        for restart in self.activator_restarts:
            if restart.activator > self.activators:
                raise wrong(f"activator-restarts: activator {restart.activator} of {self.activators} (count from 1 on)")
        return self
