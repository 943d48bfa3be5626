"""When things happen, and in which order when they happen at once.

Every event has a key ``(time, kind, entity)``. Events at the same nanosecond are handled in the order of their kinds
below, those of one kind in the order of their entities. Both engines use this one rule.
"""

import math
from enum import IntEnum

from kpasim.engines.draws import CHANCE_ONE, chance

ENTITY_BITS = 40
LATEST = 100
"""Nothing is later than this many times the median."""


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
    WAKE = 6
    """A request that was woken takes its slot, if that is still free. Entity: request * activators + activator."""
    REPORT = 7
    """An activator reports its statistics. Entity: the activator."""
    SCRAPE = 8
    """The autoscaler reads the queue-proxies. Entity: 0."""
    POLL = 9
    """Another clock of an autoscaler. Entity: the autoscaler's own; of KEDA's, 0 looks at its trigger, 1 its HTTP
    scaler reads the interceptor, 2 that tells KEDA."""
    TICK = 10
    """The autoscaler decides. Entity: 0."""
    POKE = 11
    """An activator's immediate message arrives. Entity: the activator."""
    RECONCILE = 12
    """The PodAutoscaler is reconciled. Entity: 0 for an event, 1 for a timer, 2 for a
    probe that goes on, 3 when its status has been written, 4 when the Deployment's progress
    deadline may be over."""
    ROLLOUT = 13
    """The Deployment's replicas become pods. Entity: 0."""
    SKS = 14
    """The ServerlessService is reconciled. Entity: 0."""
    MODE = 15
    """The ingress sees the public endpoints. Entity: 0 activators, 1 pods."""
    NODE = 16
    """A node is ready, or leaves. Entity: the node."""
    STAGE = 17
    """A stage of a start ends. Entity: the pod."""
    FOUND = 18
    """An activator's probe succeeds. Entity: pod * activators + activator."""
    READY = 19
    """Kubernetes calls a pod ready. Entity: the pod."""
    VISIBLE = 20
    """The ingress adds (odd) or drops (even) a pod. Entity: 2 * pod + added."""
    FORGET = 21
    """The activators drop a pod. Entity: the pod."""
    DRAIN = 22
    """A draining pod's quiet period may be over, or its containers have stopped. Entity: the pod."""
    KILL = 23
    """A pod's termination grace period ends. Entity: the pod."""
    LOAD = 24
    """The load begins. Entity: 0."""
    END = 25
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


def late(key: int, index: int, purpose: int, median_ns: int) -> int:
    """How late something is that a busy machine does: half of the time within the median, seldom many times as much.

    The chance of being later than x medians is 1 / (1 + x**2), which is what the measured clocks and reconciles show
    (p95 is 4.4 medians, p99 10); the latest is ``LATEST`` medians.

    Args:
        key: Key of the replication's draws.
        index: Which of its kind this is.
        purpose: What the draw is for, see ``draws``.
        median_ns: Median; 0 for never late.
    """
    if median_ns == 0:
        return 0
    return jitter_of(chance(key, index, purpose), median_ns)


def jitter_of(drawn: int, median_ns: int) -> int:
    """How late it is by one number that was drawn with ``chance``, see ``late``."""
    u = drawn / CHANCE_ONE
    medians = math.sqrt(u / (1.0 - u))
    return int(median_ns * (medians if medians < LATEST else float(LATEST)))


def due_after(phase_ns: int, period_ns: int, now_ns: int, key: int, purpose: int, median_ns: int) -> int:
    """First time after ``now_ns`` of a clock that is due at ``phase_ns + k * period_ns``, each time a little late.

    The clock itself does not drift. A tick is late by less than half a period.

    Args:
        phase_ns: Phase of the clock.
        period_ns: Its period.
        now_ns: Now.
        key: Key of the replication's draws.
        purpose: What the draws are for, see ``draws``.
        median_ns: Median of the jitter; 0 for a clock that is never late.
    """
    nth = (now_ns - phase_ns) // period_ns
    if median_ns:
        due_ns = nth_due(nth, phase_ns, period_ns, key, purpose, median_ns)
        if due_ns > now_ns:
            return due_ns
    return nth_due(nth + 1, phase_ns, period_ns, key, purpose, median_ns)


def nth_due(nth: int, phase_ns: int, period_ns: int, key: int, purpose: int, median_ns: int) -> int:
    """When a clock is due for the ``nth`` time, see ``due_after``.

    A clock that is due now was due for the ``(now_ns - phase_ns) // period_ns``-th time: it is never late by more than
    half a period.
    """
    return phase_ns + nth * period_ns + min(late(key, nth, purpose, median_ns), period_ns // 2)


KERNELS = (tick_after, tick_at_or_after, tick_before, jitter_of, late, nth_due, due_after)
