"""The cluster a service runs on: GPUs, nodes or instances, activators, the ingress, and the plumbing's delays."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from kpasim.spec.base import Count, Number, Spec, Whole, names_differ, wrong
from kpasim.spec.delays import Delays
from kpasim.spec.distributions import Constant, Time
from kpasim.spec.quantities import Seconds, Share

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
"""A currency by its three letters: `USD`, `CNY`."""


class InstanceType(Spec):
    """A machine one can rent, such as one pod of a serverless instance service runs on."""

    name: str = Field(min_length=1)
    """Name, as the provider and the annotation `k8s.aliyun.com/eci-use-specs` write it."""
    price_per_hour: Number | None = None
    """Price of one hour; no cost is reported where it is missing."""
    currency: Currency = "USD"
    """Currency of the price."""
    stock: Whole | None = None
    """Instances to be had at once; not given: any number."""
    gpus: Whole = 1
    """GPUs of one instance."""


class Nodes(Spec):
    """A pool of nodes that pods are scheduled to; without it every pod gets an instance of its own."""

    type: str = ""
    """Instance type of the nodes, for price and speed."""
    count: Whole = 1
    """Nodes that are always there."""
    gpus_per_node: Count = 1
    """GPUs of a node."""
    max: Whole | None = None
    """Most nodes the pool grows to; not given: it stays at `count`."""
    provision: Time = Constant(time_s=120.0)
    """Time until a further node takes pods."""
    idle_release_s: Seconds = 600.0
    """How long a further node stays without a pod before it is released."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.max < self.count:
            raise wrong(f"max = {self.max} is below count = {self.count} (max counts all nodes)")
        if max(self.count, self.max or 0) == 0:
            raise wrong("count = 0 and no max: no pod could ever run (give count or max)")
        return self


class Ingress(Spec):
    """What stands before Knative and spreads requests over backends."""

    path: Literal["auto", "activator"] = "auto"
    """`auto`: the autoscaler decides whether the activator is in the path, as in a cluster; `activator`: requests are
    sent straight to the activator for the whole run."""
    policy: Literal["round-robin", "least-request", "random"] = "round-robin"
    """How backends are chosen: Kourier's Envoy takes turns, Istio's takes the less busy of two."""
    workers: Count = 1
    """Worker threads of the ingress; each takes its own turns."""
    affinity: Literal["auto", "none", "activator", "pod"] = "auto"
    """What a session cookie ties a client to. `auto`: nothing, or the backend of the moment (an activator while one is
    in the path) where the manifest asks for cookie affinity; `pod`: a vendor's data plane that ties to pods
    even then."""


class Cluster(Spec):
    """Where pods run and how requests reach them."""

    gpus_per_pod: Whole | None = None
    """GPUs a pod holds, for GPU-seconds and scheduling; the manifest's GPU limit when not given, and 1
    where the manifest has none."""
    instance_types: tuple[InstanceType, ...] = ()
    """Machines to be had, in the order they are tried; the manifest's `k8s.aliyun.com/eci-use-specs` overrides the
    order."""
    nodes: Nodes | None = None
    """A pool of nodes; without it every pod gets an instance of its own."""
    activators: Annotated[int, Field(strict=True, ge=1, le=63)] = 1
    """Activators of the cluster; Knative installs one, and lets its autoscaler have up to 20."""
    ingress: Ingress = Ingress()
    """What stands before Knative."""
    scrape_failure: Share = 0.0
    """Share of the autoscaler's reads of a pod's statistics that get no answer, as of a pod that is ready and hangs."""
    delays: Delays = Delays()
    """Delays of the plumbing."""

    _names_differ = field_validator("instance_types")(names_differ)
