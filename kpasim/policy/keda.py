"""KEDA's scale loop: between zero and one pod, and the fallback of failing triggers.

Between one pod and the maximum KEDA's own HorizontalPodAutoscaler decides (``kpasim.policy.hpa``, with External
metrics). Every polling interval ``poll`` looks whether any trigger is active and writes the scale only to wake the
target, to put it to rest after the cooldown, or to lift it to its minimum.

State is one int64 array: ``LAST_ACTIVE_S``, at first ``NEVER_S``, then the consecutive failures of each trigger.
KEDA keeps times in whole seconds, so the phase of its polls within the second matters: times are Unix nanoseconds, or
any that keep whole seconds whole.

Source:
    kedacore/keda@8b4f083, pkg/scaling/executor/scale_scaledobjects.go, pkg/fallback/fallback.go,
    pkg/scaling/scale_handler.go, apis/keda/v1alpha1/scaledobject_types.go
"""

from typing import NamedTuple

from kpasim.arrays import Ints

NEVER_S = -(1 << 62)
"""No trigger was ever active."""
NO_COUNT = -1
"""No count is given, or none is written."""
NO_FALLBACK = -(1 << 62)
"""No value replaces the one that a trigger could not read."""

LAST_ACTIVE_S, FAILURES = 0, 1
"""Places in the state: the last active time [s], and the failures of the first trigger."""

INACTIVE, ACTIVE, ERROR = 0, 1, 2
"""What a trigger says."""

# Behaviours of a fallback.
STATIC, CURRENT_REPLICAS, CURRENT_IF_HIGHER, CURRENT_IF_LOWER = 0, 1, 2, 3
FALLBACK_BEHAVIORS = ("static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower")
"""KEDA's names of them, by code."""

# Reasons of the conditions Active and Ready.
SCALER_NOT_ACTIVE, SCALER_ACTIVE, SCALER_COOLDOWN, PAUSED = 0, 1, 2, 3
ACTIVE_REASONS = ("ScalerNotActive", "ScalerActive", "ScalerCooldown", "")
"""KEDA's names of the reasons of Active, by code; a paused ScaledObject keeps the condition it had."""
READY, PARTIAL_ERROR, TRIGGER_ERROR = 0, 1, 2
READY_REASONS = ("ScaledObjectReady", "PartialTriggerError", "TriggerError")
"""KEDA's names of the reasons of Ready, by code."""

# Annotations, as bits of ``Settings.annotations``.
PAUSE, PAUSE_SCALE_IN, PAUSE_SCALE_OUT, FORCE_ACTIVATION = 1, 2, 4, 8

_NS_PER_S = 1_000_000_000


class Settings(NamedTuple):
    """What a poll needs to know of one ScaledObject.

    Attributes:
        min_replicas: ``minReplicaCount``, 0 when not given.
        idle_replicas: ``idleReplicaCount``, ``NO_COUNT`` when not given.
        cooldown_ns: ``cooldownPeriod``.
        initial_cooldown_ns: ``initialCooldownPeriod``.
        failure_threshold: ``fallback.failureThreshold``, ``NO_COUNT`` without a fallback.
        fallback_replicas: ``fallback.replicas``.
        fallback_behavior: Code of ``fallback.behavior``.
        annotations: Bits of the annotations that pause or force.
    """

    min_replicas: int
    idle_replicas: int
    cooldown_ns: int
    initial_cooldown_ns: int
    created_s: int
    failure_threshold: int
    fallback_replicas: int
    fallback_behavior: int
    annotations: int


def read_trigger(
    settings: Settings,
    state: Ints,
    trigger: int,
    failed: bool,
    target_milli: int,
    average: bool,
    replicas: int,
    ready: int,
) -> int:
    """Count a read of a trigger, and say what replaces the value of a failed one [milli], or ``NO_FALLBACK``.

    The HPA's queries count as well as polls. A fallback needs *more* failures in a row than its threshold; while one is
    in force its trigger is active. ``target_milli`` is what the HPA was given as the trigger's target; where that is no
    ``AverageValue`` the count is divided by the ready pods, terminating ones included. ``replicas`` is the count in the
    target's spec.

    Source: fallback.go, ``GetMetricsWithFallback``, ``doFallback``.
    """
    if settings.failure_threshold == NO_COUNT:
        return NO_FALLBACK
    if not failed:
        state[FAILURES + trigger] = 0
        return NO_FALLBACK
    state[FAILURES + trigger] += 1
    if state[FAILURES + trigger] <= settings.failure_threshold:
        return NO_FALLBACK
    count = settings.fallback_replicas
    if settings.fallback_behavior == CURRENT_REPLICAS:
        count = replicas
    elif settings.fallback_behavior == CURRENT_IF_HIGHER:
        count = max(count, replicas)
    elif settings.fallback_behavior == CURRENT_IF_LOWER:
        count = min(count, replicas)
    pods = float(count)
    if not average:
        if ready == 0:
            return NO_FALLBACK
        pods /= ready
    # The order of the products is KEDA's: a value between two milli-units is cut, not rounded.
    return int(target_milli * 1e-3 * 1000.0 * pods)


def falls_back(settings: Settings, state: Ints) -> bool:
    """The condition Fallback: whether any trigger has failed more often in a row than the threshold.

    Source: fallback.go, ``fallbackExceededThreshold``.
    """
    if settings.failure_threshold == NO_COUNT:
        return False
    for place in range(FAILURES, len(state)):  # noqa: SIM110 - numba compiles no generator
        if state[place] > settings.failure_threshold:
            return True
    return False


def cooled_down(settings: Settings, state: Ints, now_ns: int) -> bool:
    """Whether the last active time (or the creation of a ScaledObject that never was) is long enough ago.

    Source: scale_scaledobjects.go, ``scaleToZeroOrIdle``.
    """
    if state[LAST_ACTIVE_S] == NEVER_S:
        return settings.created_s * _NS_PER_S + settings.initial_cooldown_ns < now_ns
    return int(state[LAST_ACTIVE_S]) * _NS_PER_S + settings.cooldown_ns < now_ns


def poll(
    settings: Settings, state: Ints, now_ns: int, replicas: int, active: bool, failed: bool
) -> tuple[int, int, int]:
    """One poll. When the count returned is not ``NO_COUNT``, write it, and then call ``on_written``.

    From zero the target wakes to its minimum or to one pod. At rest it goes **straight** to zero (or to
    ``idleReplicaCount``) once the cooldown has passed, whatever the count was. While every trigger fails, nothing is
    done unless a fallback to 0 pods is given.

    ``replicas`` is the count in the target's spec. ``active``: any trigger's value is above its activation value, or
    its fallback is in force; ``failed``: any has failed, and no fallback is in force for it.

    Returns:
        The count to write; codes of the reasons of Active and Ready.

    Source: scale_scaledobjects.go, ``RequestScale``.
    """
    if settings.annotations & PAUSE:
        return NO_COUNT, PAUSED, READY
    least = settings.min_replicas
    idle = settings.idle_replicas
    if active or settings.annotations & FORCE_ACTIVATION:
        if replicas == 0 or (idle != NO_COUNT and replicas < least):
            return (NO_COUNT if settings.annotations & PAUSE_SCALE_OUT else max(least, 1)), SCALER_ACTIVE, READY
        if failed:
            return NO_COUNT, SCALER_ACTIVE, PARTIAL_ERROR
        state[LAST_ACTIVE_S] = now_ns // _NS_PER_S
        return NO_COUNT, SCALER_ACTIVE, READY
    if failed and settings.failure_threshold == NO_COUNT:
        return NO_COUNT, SCALER_NOT_ACTIVE, TRIGGER_ERROR
    if failed and settings.fallback_replicas != 0:
        return NO_COUNT, SCALER_NOT_ACTIVE, READY
    if (idle != NO_COUNT and replicas > idle) or (replicas > 0 and least == 0):
        if settings.annotations & PAUSE_SCALE_IN:
            return NO_COUNT, SCALER_NOT_ACTIVE, READY
        if not cooled_down(settings, state, now_ns):
            return NO_COUNT, SCALER_COOLDOWN, READY
        return (least if idle == NO_COUNT else idle), SCALER_NOT_ACTIVE, READY
    if idle == NO_COUNT and replicas < least:
        return least, SCALER_NOT_ACTIVE, READY
    return NO_COUNT, SCALER_NOT_ACTIVE, READY


def on_written(state: Ints, now_ns: int, reason: int) -> None:
    """Remember that the scale was written; waking, by the reason of Active, renews the last active time."""
    if reason == SCALER_ACTIVE:
        state[LAST_ACTIVE_S] = now_ns // _NS_PER_S
