"""When things happen, and in which order when they happen at once.

Every event has a key ``(time, kind, entity)``. Events at the same nanosecond are handled in the order of their kinds
below, those of one kind in the order of their entities. Both engines use this one rule.
"""

from __future__ import annotations

from enum import IntEnum

ENTITY_BITS = 40


class Kind(IntEnum):
    """Kinds of event in the order in which simultaneous ones are handled."""

    DONE = 0
    """A container has finished a request. Entity: the request."""
    FIRST_BYTE = 1
    """A response must have begun. Entity: the request."""
    TIMEOUT = 2
    """timeoutSeconds have passed since a request reached the front. Entity: the request."""
    GIVE_UP = 3
    """The client's own patience ends. Entity: the request."""
    SEND = 4
    """A client sends its next request. Entity: the worker, 0 in an open loop."""
    ARRIVE = 5
    """A request reaches the front. Entity: the request."""
    REPORT = 6
    """An activator reports its statistics. Entity: the activator."""
    SCRAPE = 7
    """The autoscaler reads the queue-proxies. Entity: 0."""
    TICK = 8
    """The autoscaler decides. Entity: 0."""
    POKE = 9
    """An activator's immediate message arrives. Entity: the activator."""
    RECONCILE = 10
    """The PodAutoscaler is reconciled. Entity: 0 for an event, 1 for a timer."""
    ROLLOUT = 11
    """The Deployment's replicas become pods. Entity: 0."""
    SKS = 12
    """The ServerlessService is reconciled. Entity: 0."""
    MODE = 13
    """The ingress sees the public endpoints. Entity: 0 activators, 1 pods."""
    NODE = 14
    """A node is ready, or leaves. Entity: the node."""
    STAGE = 15
    """A stage of a start ends. Entity: the pod."""
    FOUND = 16
    """An activator's probe succeeds. Entity: pod * activators + activator."""
    READY = 17
    """Kubernetes calls a pod ready. Entity: the pod."""
    VISIBLE = 18
    """The ingress adds (odd) or drops (even) a pod. Entity: 2 * pod + added."""
    FORGET = 19
    """The activators drop a pod. Entity: the pod."""
    DRAIN = 20
    """A draining pod's quiet period may be over, or its containers have stopped. Entity: the pod."""
    KILL = 21
    """A pod's termination grace period ends. Entity: the pod."""
    LOAD = 22
    """The load begins. Entity: 0."""
    END = 23
    """The horizon. Entity: 0."""


def priority(kind: int, entity: int) -> int:
    """Order of one event among those at the same time: first its kind, then its entity."""
    return (kind << ENTITY_BITS) | entity


def tick_after(phase_ns: int, period_ns: int, now_ns: int) -> int:
    """First time after ``now_ns`` of a clock that ticks at ``phase_ns + k * period_ns`` (k any integer)."""
    return now_ns + period_ns - (now_ns - phase_ns) % period_ns


def tick_at_or_after(phase_ns: int, period_ns: int, now_ns: int) -> int:
    """First time at or after ``now_ns`` of a clock that ticks at ``phase_ns + k * period_ns`` (k any integer)."""
    return tick_after(phase_ns, period_ns, now_ns - 1)


def tick_before(phase_ns: int, period_ns: int, now_ns: int) -> int:
    """Last time before ``now_ns`` of a clock that ticks at ``phase_ns + k * period_ns`` (k any integer)."""
    return tick_after(phase_ns, period_ns, now_ns - 1) - period_ns


KERNELS = (tick_after, tick_at_or_after, tick_before)
