"""From a decision to a replica count: bounds, initial scale, scale to zero with its grace and retention periods.

What a reconcile of the PodAutoscaler (PA) decides, one pure function per decision. "For how long" comes in as an age
in nanoseconds, and so do the answers of the activator probe.

Source:
    knative/serving@98e5ef9, pkg/reconciler/autoscaling/kpa/scaler.go, pkg/reconciler/autoscaling/kpa/kpa.go,
    pkg/apis/autoscaling/v1alpha1/pa_lifecycle.go
"""

from typing import NamedTuple

from kpasim.policy import burst

# Status of a condition.
UNKNOWN = 0
TRUE = 1
FALSE = 2
ABSENT = 3
"""The PA has no conditions yet; Active then counts as unknown."""
CONDITIONS = ("Unknown", "True", "False", "absent")
"""Knative's names of the statuses, by code."""

# Reason of the Active condition.
NO_REASON = 0
QUEUED = 1
NO_TRAFFIC = 2
TIMED_OUT = 3
NOT_READY = 4
"""Only of the condition SKSReady."""
REASONS = ("", "Queued", "NoTraffic", "TimedOut", "NotReady")
"""Knative's names of the reasons, by code."""

WANT_UNKNOWN = -1
NO_PATCH = -1
NO_REQUEUE_NS = -1

ACTIVATION_TIMEOUT_BUFFER_NS = 30_000_000_000
"""A revision may be activating for this long beyond its progress deadline."""
PROXY_REQUEUE_NS = 3_000_000_000
"""When to look again at a revision that just went inactive behind the activator."""
PROBE_REQUEUE_NS = 1_000_000_000
"""When to look again after the asynchronous activator probe has ended."""
PROBE_PERIOD_NS = 1_000_000_000
PROBE_TIMEOUT_NS = 45_000_000_000


class Rules(NamedTuple):
    """What scaling needs to know of a revision's settings.

    Attributes:
        min_scale: Fewest pods (annotation, or the cluster's default).
        max_scale: Most pods, 0 for no limit.
        initial_scale: Pods a new revision must reach once.
        reachable: 1, or 0 when no route leads to the revision, which lifts min, initial scale and retention.
        enable_scale_to_zero: 1, or 0 when the cluster never scales to zero.
        target_burst_capacity: -1 means that the activator is always in the path, so it is not probed.
        stable_window_ns: How long a revision must be active before it may become inactive.
        grace_ns: How long the activator must have been in the path before the last pod goes.
        retention_ns: How long the last pod stays after the revision became inactive.
        activation_timeout_ns: Progress deadline + ``ACTIVATION_TIMEOUT_BUFFER_NS``.
    """

    min_scale: int
    max_scale: int
    initial_scale: int
    reachable: int
    enable_scale_to_zero: int
    target_burst_capacity: float
    stable_window_ns: int
    grace_ns: int
    retention_ns: int
    activation_timeout_ns: int


def apply_bounds(least: int, most: int, pods: int) -> int:
    """``pods`` within ``least`` and ``most`` (0 for no limit); the lower bound is tested first.

    Source: scaler.go, ``applyBounds``.
    """
    if pods < least:
        return least
    if most != 0 and pods > most:
        return most
    return pods


def min_scale(rules: Rules) -> int:
    """Fewest pods, 0 for an unreachable revision (pa_lifecycle.go, ``PodAutoscaler.ScaleBounds``)."""
    return rules.min_scale if rules.reachable else 0


def bounds(rules: Rules, initialized: bool) -> tuple[int, int]:
    """Fewest and most pods a decision may become; most is 0 for no limit.

    ``initialized``: whether the revision has once reached its initial scale.

    Source: scaler.go, ``scaler.scale``.
    """
    least = min_scale(rules)
    if rules.initial_scale > 1 and not initialized and rules.reachable:
        least = max(rules.initial_scale, least)
    return least, rules.max_scale


def scale_to_zero(
    rules: Rules, active: int, active_age_ns: int, sks_mode: int, proxy_for_ns: int, probe_ok: bool
) -> tuple[int, bool, int, int, int]:
    """What becomes of a wish for no pods at all.

    Arguments are those of ``decide``.

    Returns:
        Scale the PA treats as wanted; whether to write it; then as ``decide``: when to look again, and the
        synchronous and asynchronous probes started.

    Source: scaler.go, ``scaler.handleScaleToZero``.
    """
    if not rules.enable_scale_to_zero:
        return 1, True, NO_REQUEUE_NS, 0, 0
    if active in (UNKNOWN, ABSENT):
        if active == UNKNOWN and active_age_ns > rules.activation_timeout_ns:
            return 0, True, NO_REQUEUE_NS, 0, 0
        return WANT_UNKNOWN, False, rules.activation_timeout_ns, 0, 0
    if active == TRUE:
        if active_age_ns < rules.stable_window_ns:
            return 1, True, rules.stable_window_ns - active_age_ns, 0, 0
        return 0, False, PROXY_REQUEUE_NS if sks_mode == burst.PROXY else NO_REQUEUE_NS, 0, 0

    probes = 0
    if rules.target_burst_capacity != -1.0:
        probes = 1
        if not probe_ok:
            return 0, False, NO_REQUEUE_NS, probes, 1
    retention_ns = rules.retention_ns if rules.reachable else 0
    if active_age_ns >= max(rules.grace_ns, retention_ns):
        return 0, True, NO_REQUEUE_NS, probes, 0
    if active_age_ns < retention_ns:
        return 0, False, retention_ns - active_age_ns, probes, 0
    if proxy_for_ns >= rules.grace_ns:
        return 0, True, NO_REQUEUE_NS, probes, 0
    return 0, False, rules.grace_ns - proxy_for_ns, probes, 0


def decide(
    rules: Rules,
    desired: int,
    initialized: bool,
    active: int,
    active_age_ns: int,
    sks_mode: int,
    proxy_for_ns: int,
    replicas: int,
    probe_ok: bool,
) -> tuple[int, int, int, int, int]:
    """One call of Knative's scaler, as every reconcile of the PA makes it.

    Args:
        rules: Settings of the revision.
        desired: The decider's latest decision, -1 before any.
        initialized: Whether the condition ScaleTargetInitialized is true.
        active: Status of the PA's condition Active.
        active_age_ns: Time since that condition last changed.
        sks_mode: Mode of the ServerlessService, ``burst.SERVE`` or ``burst.PROXY``.
        proxy_for_ns: For how long the activator has backed the revision; 0 when it does not.
        replicas: Replicas the Deployment asks for now.
        probe_ok: Whether an activator would answer a probe sent now. Looked at only where a probe is sent.

    Returns:
        Scale the PA treats as wanted (-1 unknown); replicas to write, or ``NO_PATCH``; time after which the PA must be
        reconciled again, or ``NO_REQUEUE_NS``; number of synchronous activator probes sent; number of asynchronous
        probes started (every ``PROBE_PERIOD_NS`` for ``PROBE_TIMEOUT_NS`` until one succeeds; the PA is reconciled
        ``PROBE_REQUEUE_NS`` after their end; none starts while one is running).

    Source: scaler.go, ``scaler.scale``.
    """
    if desired < 0 and active not in (UNKNOWN, ABSENT):
        return desired, NO_PATCH, NO_REQUEUE_NS, 0, 0
    least, most = bounds(rules, initialized)
    want = apply_bounds(least, most, desired)
    apply = True
    requeue_ns = NO_REQUEUE_NS
    probes = 0
    offered = 0
    if want == 0:
        want, apply, requeue_ns, probes, offered = scale_to_zero(
            rules, active, active_age_ns, sks_mode, proxy_for_ns, probe_ok
        )
    patch = want if apply and want != replicas else NO_PATCH
    return want, patch, requeue_ns, probes, offered


def active_threshold(rules: Rules, initialized: bool) -> int:
    """Ready pods from which the revision counts as active (kpa.go, ``activeThreshold``)."""
    least = min_scale(rules)
    return max(least, 1 if initialized else rules.initial_scale)


def active_condition(
    rules: Rules,
    want: int,
    ready_pods: int,
    active: int,
    reason: int,
    initialized: bool,
    has_service_name: bool,
) -> tuple[int, int, bool]:
    """The PA's condition Active after a reconcile; its age restarts only when its status or its reason changed.

    ``want`` is the scale that ``decide`` returned, -1 where the reconcile stopped before it; ``active``, ``reason`` and
    ``initialized`` (the condition ScaleTargetInitialized) are as they were so far. ``has_service_name``: whether the
    ServerlessService has named its public service.

    Returns:
        New status and reason of Active, and whether the revision has by now reached its initial scale.

    Source: kpa.go, ``computeActiveCondition``.
    """
    threshold = active_threshold(rules, initialized)
    enough = ready_pods >= threshold
    if enough and has_service_name:
        initialized = True
    if want == 0 or threshold == 0:
        timed_out = active in (UNKNOWN, ABSENT) and threshold > 0
        return FALSE, TIMED_OUT if timed_out else NO_TRAFFIC, initialized
    if want > 0 or active != FALSE:
        return (TRUE, NO_REASON, initialized) if enough else (UNKNOWN, QUEUED, initialized)
    return FALSE, reason if enough else NO_TRAFFIC, initialized


def ready_condition(active: int, reason: int, sks_ready: bool) -> tuple[int, int]:
    """Status and reason of the PA's condition Ready after a reconcile that got as far as the Active condition.

    Source: vendor/knative.dev/pkg/apis/condition_set.go, ``recomputeHappiness``.
    """
    if active != TRUE:
        return active, reason
    return (TRUE, NO_REASON) if sks_ready else (UNKNOWN, NOT_READY)


def status_desired_scale(want: int, previous: int) -> int:
    """Desired scale the PA's status shows, -1 for nothing; an unknown wish does not overwrite a known one.

    Source: kpa.go, ``Reconciler.computeStatus``.
    """
    return previous if want == WANT_UNKNOWN and previous >= 0 else want


class Reconciled(NamedTuple):
    """What a reconcile of the PodAutoscaler leads to.

    Attributes:
        patch: Replicas to write to the Deployment, or ``NO_PATCH``.
        requeue_ns: Time after which to reconcile again, or ``NO_REQUEUE_NS``.
        offered: Asynchronous activator probes started, see ``decide``.
        mode: Mode the ServerlessService is asked for.
        active: Status of the condition Active.
        initialized: Whether the condition ScaleTargetInitialized is true.
        desired: Desired scale that the status shows.
    """

    patch: int
    requeue_ns: int
    offered: int
    mode: int
    active: int
    reason: int
    initialized: bool
    desired: int


def reconcile(
    rules: Rules,
    desired: int,
    excess: float,
    ready_pods: int,
    replicas: int,
    initialized: bool,
    active: int,
    reason: int,
    active_age_ns: int,
    sks_mode: int,
    proxy_for_ns: int,
    shown: int,
    probe_ok: bool,
) -> Reconciled:
    """A reconcile of a PodAutoscaler whose ServerlessService is known: scale, mode, conditions, status.

    Arguments are those of ``decide`` and ``active_condition``; ``excess`` is the excess burst capacity of the decision,
    ``shown`` the desired scale that the status shows so far, -1 for none.

    Source: kpa.go, ``Reconciler.ReconcileKind``.
    """
    want, patch, requeue_ns, _, offered = decide(
        rules, desired, initialized, active, active_age_ns, sks_mode, proxy_for_ns, replicas, probe_ok
    )
    status, why, reached = active_condition(rules, want, ready_pods, active, reason, initialized, True)
    mode = burst.mode(want, excess)
    return Reconciled(patch, requeue_ns, offered, mode, status, why, reached, status_desired_scale(want, shown))
