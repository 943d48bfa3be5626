"""One autoscaler tick: from two window averages to a number of pods.

Source:
    knative/serving@98e5ef9, pkg/autoscaler/scaling/autoscaler.go, pkg/autoscaler/scaling/multiscaler.go
"""

import math
from typing import NamedTuple

from kpasim.arrays import Ints
from kpasim.policy import burst, delay

NEVER_NS = -(1 << 62)
"""A time before any other: not panicking."""

PANIC_SINCE_NS, MAX_PANIC_PODS = 0, 1
"""Places in the panic state."""

# Codes of the rule that decided, for explanations.
STABLE = 0
"""The stable window asked for it."""
PANIC = 1
"""The panic window asked for it."""
UP_RATE = 2
"""``max-scale-up-rate`` allowed no more."""
DOWN_RATE = 3
"""``max-scale-down-rate`` allowed no less."""
ACTIVATION = 4
"""``activation-scale`` raised it."""
HELD = 5
"""Both windows ask for less, but panic never scales down."""
DELAYED = 6
"""Less is wanted, but not yet for as long as ``scale-down-delay``."""
RULES = ("stable", "panic", "up-rate", "down-rate", "activation", "held", "delay")
"""Names of the rules, by code."""

_MAX_PODS = 2147483647


class Limits(NamedTuple):
    """What a tick needs to know of a revision's settings.

    Attributes:
        max_scale_up_rate: Most pods per ready pod, above 1.
        max_scale_down_rate: A ready pod may shrink to this part, above 1.
        target_value: Metric aimed at per pod.
        total_value: Metric one pod can hold.
        target_burst_capacity: Wanted reserve; 0 none, -1 activator always in the path.
        panic_threshold: Factor of wanted over ready pods from which to panic (2 = 200 %).
        stable_window_ns: Length of the stable window.
        activation_scale: Least pods when any are wanted; acts above 1.
        reachable: 1, or 0 when no route leads to the revision.
    """

    max_scale_up_rate: float
    max_scale_down_rate: float
    target_value: float
    total_value: float
    target_burst_capacity: float
    panic_threshold: float
    stable_window_ns: int
    activation_scale: int
    reachable: int


def start(panic: Ints, now_ns: int, ready_pods: int) -> None:
    """Set the panic state of a new decider: since when [ns] or ``NEVER_NS``, and the most pods asked for meanwhile.

    A decider that starts beside several ready pods (the autoscaler was restarted) panics at once: it has lost its
    history, and would otherwise shrink a busy revision. ``ready_pods`` is 0 when they cannot be counted.

    Source: autoscaler.go, ``newAutoscaler``.
    """
    panic[PANIC_SINCE_NS] = now_ns if ready_pods > 1 else NEVER_NS
    panic[MAX_PANIC_PODS] = ready_pods


def initial_status(limits: Limits, initial_scale: int) -> tuple[int, float]:
    """Desired scale (-1, unknown) and excess burst capacity before the first valid tick.

    Source: multiscaler.go, ``MultiScaler.createScaler``.
    """
    reserve = limits.target_burst_capacity
    if reserve == 0.0 or reserve == -1.0:  # noqa: PLR1714 - numba compiles this, but no float in a tuple
        return -1, reserve
    return -1, float(math.trunc(initial_scale * limits.total_value - reserve))


def whole_pods(pods: float) -> int:
    """``pods`` rounded up, at most what Knative's 32-bit counts hold."""
    return _MAX_PODS if pods >= _MAX_PODS else math.ceil(pods)


def wanted(raw: int, least: int, most: int, activation_scale: int, rule: int) -> tuple[int, int]:
    """Pods one window may ask for, and the rule that decided.

    ``raw`` pods are what the window's average needs, ``least`` and ``most`` what the rates of change allow, ``rule`` is
    the window's own. The activation scale counts when any pods are needed; it is applied after the rates.

    Source: autoscaler.go, ``autoscaler.Scale``.
    """
    pods = raw
    if pods < least:
        pods = least
        rule = DOWN_RATE
    if pods > most:
        pods = most
        rule = UP_RATE
    if activation_scale > 1 and raw > 0 and activation_scale > pods:
        pods = activation_scale
        rule = ACTIVATION
    return pods, rule


def tick(
    limits: Limits,
    panic: Ints,
    slots: Ints,
    now_ns: int,
    ready_pods: int,
    stable: float,
    panic_value: float,
) -> tuple[int, float, int, int, int]:
    """Decide how many pods the revision should have.

    Bounds such as max-scale are not applied here, but when the PodAutoscaler is reconciled. A tick without data, or
    without a count of ready pods, must not be played: the previous decision stands.

    Args:
        limits: Settings of the revision.
        panic: Panic state as ``start`` left it, changed in place.
        slots: Delay window of ``delay.new_slots``, changed in place.
        now_ns: Unix time; it may be any time that keeps the two-second slots aligned.
        ready_pods: Ready pods, 0 allowed.
        stable: Average over the stable window.
        panic_value: Average over the panic window.

    Returns:
        Desired pods; excess burst capacity (a whole number); pods the stable and the panic window ask for before any
        limit; code of the rule that decided (see ``RULES``).

    Source: autoscaler.go, ``autoscaler.Scale``.
    """
    ready = max(1, ready_pods)
    most = whole_pods(limits.max_scale_up_rate * ready)
    least = math.floor(ready / limits.max_scale_down_rate) if limits.reachable else 0
    raw_stable = whole_pods(stable / limits.target_value)
    raw_panic = whole_pods(panic_value / limits.target_value)
    by_stable, rule = wanted(raw_stable, least, most, limits.activation_scale, STABLE)
    by_panic, panic_rule = wanted(raw_panic, least, most, limits.activation_scale, PANIC)

    # The count is rounded up before the comparison, so one pod panics as soon as it needs a second.
    if raw_panic / ready >= limits.panic_threshold:
        panic[PANIC_SINCE_NS] = now_ns
    elif panic[PANIC_SINCE_NS] != NEVER_NS and panic[PANIC_SINCE_NS] + limits.stable_window_ns < now_ns:
        panic[PANIC_SINCE_NS] = NEVER_NS
        panic[MAX_PANIC_PODS] = 0

    desired = by_stable
    if panic[PANIC_SINCE_NS] != NEVER_NS:
        if by_panic > desired:
            desired = by_panic
            rule = panic_rule
        if desired >= panic[MAX_PANIC_PODS]:
            panic[MAX_PANIC_PODS] = desired
        else:
            desired = int(panic[MAX_PANIC_PODS])
            rule = HELD

    if limits.reachable and len(slots) > 0:
        delay.record(slots, now_ns // 1_000_000_000, desired)
        held = delay.current(slots)
        if held != desired:
            desired = held
            rule = DELAYED

    excess = burst.excess_burst_capacity(ready_pods, limits.total_value, limits.target_burst_capacity, panic_value)
    return desired, excess, raw_stable, raw_panic, rule


def needs_reconcile(desired: int, excess: float, new_desired: int, new_excess: float) -> bool:
    """Whether a valid tick's result wakes the PodAutoscaler's reconciler: new scale, or excess changed sides of 0.

    Source: multiscaler.go, ``scalerRunner.updateLatestScale``.
    """
    return desired != new_desired or (excess < 0.0) != (new_excess < 0.0)


def pokes(desired: int, concurrency: float) -> bool:
    """Whether an activator's message makes the autoscaler decide at once instead of at its next tick.

    ``desired`` is the latest decision, -1 before any, ``concurrency`` the average that the message carries.

    Source: multiscaler.go, ``MultiScaler.Poke``.
    """
    return desired == 0 and concurrency != 0.0
