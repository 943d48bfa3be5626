"""The Horizontal Pod Autoscaler (autoscaling/v2): from a metric to the next number of pods.

One tick of the controller has three steps. First the metric proposes a number of pods (``value_replicas``,
``average_value_replicas``, ``pods_replicas``). Then ``decide`` stabilises, limits and
clamps the proposal. When the scale target was written, ``on_rescaled`` stores the event that later limits count.

State is a ``History``: three fixed lists of rows with their lengths, and the condition ScaledToZero. ``start`` sets it
when the controller first sees the target; both engines hold it and pass it in. Metric values and targets are whole
thousandths (Kubernetes' milli), as the controller computes with them.

Source:
    Kubernetes 1.36.2, pkg/controller/podautoscaler/replica_calculator.go, horizontal.go, metrics/utilization.go;
    pkg/apis/autoscaling/v2/defaults.go
"""

import math
from typing import NamedTuple

from kpasim.arrays import Ints

CPU_INITIALIZATION_PERIOD_NS = 300_000_000_000
"""``--horizontal-pod-autoscaler-cpu-initialization-period``."""
INITIAL_READINESS_DELAY_NS = 30_000_000_000
"""``--horizontal-pod-autoscaler-initial-readiness-delay``."""

# Errors of a metric, returned instead of a number of pods; below every such number.
METRIC_UNAVAILABLE = -(1 << 40)
"""The source of the metric has failed."""
NO_PODS = METRIC_UNAVAILABLE - 1
"""The selector finds no pod."""
NO_METRICS_FOR_PODS = METRIC_UNAVAILABLE - 2
"""No pod that counts has the metric."""
ERRORS = ("metric_unavailable", "no_pods", "no_metrics_for_pods")
"""Names of the errors, by ``METRIC_UNAVAILABLE`` less their code."""

# Groups of a pod for a metric that is an average over pods.
READY, UNREADY, MISSING, IGNORED = 0, 1, 2, 3
GROUPS = ("ready", "unready", "missing", "ignored")
"""Names of the groups, by code."""

# Phases of a pod.
PENDING, RUNNING, FAILED = 0, 1, 2

# Selection of a policy in a direction.
MAX, MIN, DISABLED = 0, 1, 2
SELECT_POLICIES = ("Max", "Min", "Disabled")
"""API's names of ``selectPolicy``, by code."""
PODS, PERCENT = 0, 1
POLICY_TYPES = ("Pods", "Percent")
"""API's names of a policy's ``type``, by code."""

# What a tick did.
MEASURED, DISABLED_AT_ZERO, ABOVE_MAX, BELOW_MIN, NO_METRIC = 1, 2, 3, 4, 5

# Reasons that a tick reports: of AbleToScale, then of ScalingLimited.
READY_FOR_NEW_SCALE, SCALE_UP_STABILIZED, SCALE_DOWN_STABILIZED = 0, 1, 2
ABLE_REASONS = ("ReadyForNewScale", "ScaleUpStabilized", "ScaleDownStabilized")
"""Kubernetes' names of the reasons of AbleToScale, by code."""
WITHIN_RANGE, SCALE_UP_LIMIT, SCALE_DOWN_LIMIT, TOO_MANY, TOO_FEW = 0, 1, 2, 3, 4
LIMIT_REASONS = ("DesiredWithinRange", "ScaleUpLimit", "ScaleDownLimit", "TooManyReplicas", "TooFewReplicas")
"""Kubernetes' names of the reasons of ScalingLimited, by code."""

# Why the scale was written.
NO_REASON, ABOVE_TARGET, BELOW_TARGET, CURRENT_ABOVE_MAX, CURRENT_BELOW_MIN = 0, 1, 2, 3, 4
RESCALE_REASONS = ("", "above_target", "below_target", "above_max", "below_min")
"""Names of the reasons of a rescale, by code."""

SCALED_TO_ZERO, RECOMMENDATIONS, UP_EVENTS, DOWN_EVENTS = 0, 1, 2, 3
"""Places in ``History.state``: the condition ScaledToZero, and the lengths of the three lists."""
ABSENT, FALSE, TRUE = -1, 0, 1
"""Values of the condition ScaledToZero."""
COUNT, TIME_NS = 0, 1
"""Columns of the lists in ``History``."""
TYPE, VALUE, PERIOD_NS = 0, 1, 2
"""Columns of ``Rules.policies``."""

_MAX_INT32 = 2147483647
_SCALE_UP_FACTOR = 2
_SCALE_UP_MINIMUM = 4


class Rules(NamedTuple):
    """``behavior.scaleUp`` or ``behavior.scaleDown``, complete.

    Attributes:
        window_ns: ``stabilizationWindowSeconds``.
        select: Code of ``selectPolicy``.
        policies: Rows of type, value [pods or percent] and period [ns], shape ``(n, 3)``.
    """

    window_ns: int
    select: int
    policies: Ints


class Settings(NamedTuple):
    """What a tick needs to know of one HorizontalPodAutoscaler.

    Attributes:
        min_replicas: ``minReplicas``, 0 allowed.
        max_replicas: ``maxReplicas``.
        has_behavior: 1 with ``behavior``; 0 without, when the older limits hold and ``up`` is not used.
        up: ``behavior.scaleUp``.
        down: ``behavior.scaleDown``; without ``behavior`` only its window counts.
        tolerance_up: Fraction by which a metric may exceed its target before pods are added.
        tolerance_down: Fraction by which it may fall below before pods are removed.
        scale_to_zero: 1 with the feature gate HPAScaleToZero (on by default from Kubernetes 1.37).
        total_metric: 1 with at least one Object or External metric; only these can wake a target from zero.
    """

    min_replicas: int
    max_replicas: int
    has_behavior: int
    up: Rules
    down: Rules
    tolerance_up: float
    tolerance_down: float
    scale_to_zero: int
    total_metric: int


class History(NamedTuple):
    """What the controller remembers of a target; the arrays change in place.

    Attributes:
        state: Condition ScaledToZero, then the numbers of recommendations, up-events and down-events, shape ``(4,)``.
        recommendations: Rows of a count and its time [ns], in stored order, shape ``(n, 2)``.
        up_events: Rows of pods added and the time [ns], in stored order, shape ``(n, 2)``.
        down_events: Rows of pods removed and the time [ns], in stored order, shape ``(n, 2)``.
    """

    state: Ints
    recommendations: Ints
    up_events: Ints
    down_events: Ints


def start(history: History, now_ns: int, replicas: int) -> None:
    """Forget everything, and store the current count as the first recommendation.

    A fresh controller therefore does not shrink the target for a whole down-window.

    Source: horizontal.go, ``recordInitialRecommendation``.
    """
    history.state[SCALED_TO_ZERO] = ABSENT
    history.state[RECOMMENDATIONS] = 1
    history.state[UP_EVENTS] = 0
    history.state[DOWN_EVENTS] = 0
    history.recommendations[0, COUNT] = replicas
    history.recommendations[0, TIME_NS] = now_ns


# --- proposals of metrics


def within_tolerance(ratio: float, tolerance_up: float, tolerance_down: float) -> bool:
    """Whether a usage ratio is too close to 1 to act (replica_calculator.go, ``Tolerances.isWithin``)."""
    return 1.0 - tolerance_down <= ratio <= 1.0 + tolerance_up


def whole_pods(pods: float) -> int:
    """``pods`` rounded up, at most what Kubernetes' 32-bit counts hold."""
    return _MAX_INT32 if pods > _MAX_INT32 else math.ceil(pods)


def quotient(numerator: float, denominator: float) -> float:
    """Division as Go does it: by zero it gives infinity or no number."""
    if denominator != 0.0:
        return numerator / denominator
    if numerator == 0.0:
        return math.nan
    return math.inf if numerator > 0.0 else -math.inf


def value_replicas(
    current: int, total_milli: int, target_milli: int, pods: int, ready: int, tolerance_up: float, tolerance_down: float
) -> int:
    """Pods that an External or Object metric with a ``Value`` target asks for, or ``NO_PODS``.

    The ratio of the total to the target is multiplied with the *ready* pods, Running and Ready, terminating ones as
    well; from zero pods in the target's spec (``current``) the ratio itself counts, without tolerance. ``pods`` are
    those that the selector finds; the total of an External metric is the sum of its series.

    Source: replica_calculator.go, ``GetExternalMetricReplicas``, ``getUsageRatioReplicaCount``.
    """
    ratio = float(total_milli) / float(target_milli)
    if current == 0:
        return whole_pods(ratio)
    if within_tolerance(ratio, tolerance_up, tolerance_down):
        return current
    if pods == 0:
        return NO_PODS
    return whole_pods(ratio * ready)


def average_value_replicas(
    current: int, total_milli: int, target_milli: int, tolerance_up: float, tolerance_down: float
) -> int:
    """Pods that an External or Object metric with an ``AverageValue`` target asks for; KEDA's form.

    ``current`` is the count in the target's *status*: pods that exist, ready or not. The total of an External metric is
    the sum of its series, 2^63 - 1 when a part sum is negative.

    Source: replica_calculator.go, ``GetExternalPerPodMetricReplicas``.
    """
    ratio = quotient(float(total_milli), float(target_milli) * float(current))
    if within_tolerance(ratio, tolerance_up, tolerance_down):
        return current
    return whole_pods(float(total_milli) / float(target_milli))


def pod_group(phase: int, terminating: bool, has_metric: bool, starting: bool) -> int:
    """Group of a pod for a metric that is an average over pods; ``starting`` is ``unready_for_cpu`` for cpu.

    Source: replica_calculator.go, ``groupPods``.
    """
    if terminating or phase == FAILED:
        return IGNORED
    if phase == PENDING:
        return UNREADY
    if not has_metric:
        return MISSING
    return UNREADY if starting else READY


def unready_for_cpu(
    ready: bool,
    started_ago_ns: int,
    ready_changed_ago_ns: int,
    metric_age_ns: int,
    metric_window_ns: int,
    initialization_ns: int = CPU_INITIALIZATION_PERIOD_NS,
    readiness_delay_ns: int = INITIAL_READINESS_DELAY_NS,
) -> bool:
    """Whether the cpu of a Running pod does not count yet, because the pod is still starting.

    ``ready`` is the condition Ready, which last changed ``ready_changed_ago_ns`` ago; the sample's window ended
    ``metric_age_ns`` ago. The last two are the controller's cpu-initialization-period and initial-readiness-delay.

    Source: replica_calculator.go, ``groupPods``.
    """
    if started_ago_ns < initialization_ns:
        return not ready or metric_age_ns > ready_changed_ago_ns - metric_window_ns
    return not ready and started_ago_ns - readiness_delay_ns < ready_changed_ago_ns


def mean_milli(total_milli: int, count: int) -> int:
    """Mean in whole thousandths, cut towards zero as Go's integers are."""
    return total_milli // count if total_milli >= 0 else -(-total_milli // count)


def usage_ratio(total_milli: int, count: int, request_milli: int, target: int) -> float:
    """Mean usage of pods over the target: in thousandths, or in percent of the request of each where that is not 0.

    Source: replica_calculator.go, ``calcPlainMetricReplicas``; utilization.go.
    """
    if request_milli > 0:
        return total_milli * 100 // (request_milli * count) / target
    return mean_milli(total_milli, count) / target


def pods_replicas(
    current: int,
    total_milli: int,
    ready: int,
    unready: int,
    missing: int,
    pods: int,
    request_milli: int,
    target: int,
    tolerance_up: float,
    tolerance_down: float,
) -> int:
    """Pods that a metric of each pod asks for; else an error's code.

    The target of a Pods metric, or of a resource metric with an ``averageValue``, is in thousandths, and
    ``request_milli`` is 0; with an ``averageUtilization`` it is in percent of the request, which every pod has.

    Unready pods (Pending ones, for cpu also those that are still starting) count as 0 when the others ask for more, so
    that the HPA does not ask again for what is on its way. Missing pods count as 0 then, too; when the others ask for
    less they count as exactly the target, but as their whole request where the target is below 100 % of it. Pods that
    are filled in never turn the direction of the first ratio.

    ``current`` is the count in the target's spec, ``total_milli`` the sum over the ready pods; ``ready``, ``unready``
    and ``missing`` are the pods of these groups, ``pods`` all that the selector finds.

    Source: replica_calculator.go, ``calcPlainMetricReplicas``, ``GetResourceReplicas``.
    """
    if pods == 0:
        return NO_PODS
    if ready == 0:
        return NO_METRICS_FOR_PODS
    ratio = usage_ratio(total_milli, ready, request_milli, target)
    grows_beside_unready = unready > 0 and ratio > 1.0
    if not grows_beside_unready and missing == 0:
        return current if within_tolerance(ratio, tolerance_up, tolerance_down) else whole_pods(ratio * ready)
    counted = ready + (missing if ratio != 1.0 else 0) + (unready if grows_beside_unready else 0)
    if ratio < 1.0:
        total_milli += missing * (request_milli * max(100, target) // 100 if request_milli > 0 else target)
    filled = usage_ratio(total_milli, counted, request_milli, target)
    if within_tolerance(filled, tolerance_up, tolerance_down):
        return current
    if (ratio < 1.0 and filled > 1.0) or (ratio > 1.0 and filled < 1.0):
        return current
    replicas = whole_pods(filled * counted)
    if (filled < 1.0 and replicas > current) or (filled > 1.0 and replicas < current):
        return current
    return replicas


# --- from a proposal to the next count


def measures(settings: Settings, history: History, current: int) -> int:
    """Code of what a tick at ``current`` pods does first: measure, stay off at zero, or return to the bounds.

    At zero pods the HPA is off, unless it went there itself: the condition ScaledToZero decides, not ``minReplicas``.

    Source: horizontal.go, ``reconcileAutoscaler``, ``shouldComputeMetricsForZeroReplicas``.
    """
    if current == 0:
        went_itself = settings.scale_to_zero == 1 and history.state[SCALED_TO_ZERO] == TRUE
        if went_itself and (settings.min_replicas != 0 or settings.total_metric == 1):
            return MEASURED
        return DISABLED_AT_ZERO
    if current > settings.max_replicas:
        return ABOVE_MAX
    if current < settings.min_replicas:
        return BELOW_MIN
    return MEASURED


def store(state: Ints, length: int, rows: Ints, place: int, count: int, now_ns: int) -> None:
    """Write a row over the one at ``place``, or append it when ``place`` is -1."""
    if place < 0:
        place = int(state[length])
        state[length] += 1
    rows[place, COUNT] = count
    rows[place, TIME_NS] = now_ns


def stabilised(settings: Settings, history: History, now_ns: int, current: int, wanted: int) -> tuple[int, int]:
    """The wanted count held back by recent recommendations; the wanted count itself is stored.

    Returns:
        The count, and the code of the reason in ``ABLE_REASONS``.

    Source: horizontal.go, ``stabilizeRecommendationWithBehaviors``.
    """
    stored = history.recommendations
    up = down = wanted
    place = -1
    for row in range(history.state[RECOMMENDATIONS]):
        age_ns = now_ns - stored[row, TIME_NS]
        if age_ns < settings.up.window_ns:
            up = min(up, int(stored[row, COUNT]))
        if age_ns < settings.down.window_ns:
            down = max(down, int(stored[row, COUNT]))
        if age_ns > settings.up.window_ns and age_ns > settings.down.window_ns:
            place = row
    stable = min(max(current, up), down)
    store(history.state, RECOMMENDATIONS, stored, place, wanted, now_ns)
    if stable == wanted:
        return stable, READY_FOR_NEW_SCALE
    return stable, SCALE_UP_STABILIZED if wanted >= current else SCALE_DOWN_STABILIZED


def stabilised_without_behavior(settings: Settings, history: History, now_ns: int, wanted: int) -> tuple[int, int]:
    """The largest recommendation of the down-window; a recommendation exactly as old as the window still counts.

    Source: horizontal.go, ``stabilizeRecommendation``.
    """
    stored = history.recommendations
    stable = wanted
    place = -1
    for row in range(history.state[RECOMMENDATIONS]):
        if now_ns - stored[row, TIME_NS] > settings.down.window_ns:
            place = row
        else:
            stable = max(stable, int(stored[row, COUNT]))
    store(history.state, RECOMMENDATIONS, stored, place, wanted, now_ns)
    return stable, READY_FOR_NEW_SCALE if stable == wanted else SCALE_DOWN_STABILIZED


def changed(events: Ints, length: int, now_ns: int, period_ns: int) -> int:
    """Pods that the events younger than ``period_ns`` added or removed.

    Source: horizontal.go, ``getReplicasChangePerPeriod``.
    """
    pods = 0
    for row in range(length):
        if now_ns - events[row, TIME_NS] < period_ns:
            pods += int(events[row, COUNT])
    return pods


def rate_limit(rules: Rules, history: History, now_ns: int, current: int, sign: int) -> int:
    """The count that the policies of one direction allow; ``sign`` is 1 for up and -1 for down.

    Each policy starts from the count at the beginning of its own period: the controller's own changes since then,
    of both directions, are taken back.

    Source: horizontal.go, ``calculateScaleUpLimitWithScalingRules``, ``calculateScaleDownLimitWithBehaviors``.
    """
    if rules.select == DISABLED:
        return current
    largest = (rules.select == MAX) == (sign > 0)
    limit = -_MAX_INT32 - 1 if largest else _MAX_INT32
    for row in range(len(rules.policies)):
        period_ns = rules.policies[row, PERIOD_NS]
        value = rules.policies[row, VALUE]
        added = changed(history.up_events, history.state[UP_EVENTS], now_ns, period_ns)
        removed = changed(history.down_events, history.state[DOWN_EVENTS], now_ns, period_ns)
        began = current - added + removed
        if rules.policies[row, TYPE] == PODS:
            allowed = began + sign * value
        elif sign > 0:
            allowed = math.ceil(began * (1.0 + value / 100.0))
        else:
            allowed = int(began * (1.0 - value / 100.0))
        limit = max(limit, allowed) if largest else min(limit, allowed)
    return limit


def rate_limited(settings: Settings, history: History, now_ns: int, current: int, wanted: int) -> tuple[int, int]:
    """The count that policies, ``minReplicas`` and ``maxReplicas`` allow, and the code of the reason.

    Source: horizontal.go, ``convertDesiredReplicasWithBehaviorRate``.
    """
    if wanted > current:
        most = max(current, rate_limit(settings.up, history, now_ns, current, 1))
        reason = SCALE_UP_LIMIT if settings.max_replicas > most else TOO_MANY
        most = min(most, settings.max_replicas)
        if wanted > most:
            return most, reason
    elif wanted < current:
        least = min(current, rate_limit(settings.down, history, now_ns, current, -1))
        reason = SCALE_DOWN_LIMIT if settings.min_replicas < least else TOO_FEW
        least = max(least, settings.min_replicas)
        if wanted < least:
            return least, reason
    return wanted, WITHIN_RANGE


def limited_without_behavior(settings: Settings, current: int, wanted: int) -> tuple[int, int]:
    """The count that an HPA without ``behavior`` allows: at most twice the current one, or 4.

    Source: horizontal.go, ``convertDesiredReplicasWithRules``.
    """
    most = max(_SCALE_UP_FACTOR * current, _SCALE_UP_MINIMUM)
    reason = SCALE_UP_LIMIT if settings.max_replicas > most else TOO_MANY
    if wanted < settings.min_replicas:
        return settings.min_replicas, TOO_FEW
    if wanted > min(most, settings.max_replicas):
        return min(most, settings.max_replicas), reason
    return wanted, WITHIN_RANGE


def decide(
    settings: Settings, history: History, now_ns: int, current: int, proposal: int
) -> tuple[int, int, int, int, int]:
    """The count after one tick. When it differs from ``current``, write it and call ``on_rescaled``.

    Args:
        settings: The HPA.
        history: As ``start`` left it; recommendations change in place.
        now_ns: Time of the tick.
        current: Count in the target's spec.
        proposal: What the metric asks for; used only where ``measures`` says ``MEASURED``.

    Returns:
        The count; what the tick did (``MEASURED``, ``DISABLED_AT_ZERO``, ``ABOVE_MAX``, ``BELOW_MIN`` or
        ``NO_METRIC``); code of the reason in ``RESCALE_REASONS``; codes in ``ABLE_REASONS`` and ``LIMIT_REASONS``
        (both meaningful only for ``MEASURED``).

    Source: horizontal.go, ``reconcileAutoscaler``.
    """
    step = measures(settings, history, current)
    if step == ABOVE_MAX:
        return settings.max_replicas, step, CURRENT_ABOVE_MAX, READY_FOR_NEW_SCALE, WITHIN_RANGE
    if step == BELOW_MIN:
        return settings.min_replicas, step, CURRENT_BELOW_MIN, READY_FOR_NEW_SCALE, WITHIN_RANGE
    if step == DISABLED_AT_ZERO:
        return current, step, NO_REASON, READY_FOR_NEW_SCALE, WITHIN_RANGE
    if proposal <= METRIC_UNAVAILABLE:
        return current, NO_METRIC, NO_REASON, READY_FOR_NEW_SCALE, WITHIN_RANGE
    proposal = max(0, proposal)
    reason = NO_REASON
    if proposal > current:
        reason = ABOVE_TARGET
    elif proposal < current:
        reason = BELOW_TARGET
    if settings.has_behavior:
        stable, able = stabilised(settings, history, now_ns, current, proposal)
        desired, limited = rate_limited(settings, history, now_ns, current, stable)
    else:
        stable, able = stabilised_without_behavior(settings, history, now_ns, proposal)
        desired, limited = limited_without_behavior(settings, current, stable)
    if current == 0 and desired < settings.min_replicas:
        desired = settings.min_replicas
        if reason == NO_REASON:
            reason = CURRENT_BELOW_MIN
    return desired, step, reason, able, limited


def longest_period_ns(policies: Ints) -> int:
    """Longest period of a direction's policies, 0 without any (horizontal.go, ``getLongestPolicyPeriod``)."""
    longest = 0
    for row in range(len(policies)):
        longest = max(longest, int(policies[row, PERIOD_NS]))
    return longest


def on_rescaled(settings: Settings, history: History, now_ns: int, previous: int, new: int) -> None:
    """Remember a change of the scale that this HPA has written.

    The new event replaces the last one that is older than the longest period of its *own* direction, so a longer
    period of the other direction may miss changes.

    Source: horizontal.go, ``storeScaleEvent``, ``reconcileAutoscaler``.
    """
    if settings.has_behavior:
        up = new > previous
        events = history.up_events if up else history.down_events
        policies = settings.up.policies if up else settings.down.policies
        length = UP_EVENTS if up else DOWN_EVENTS
        longest_ns = longest_period_ns(policies)
        place = -1
        for row in range(history.state[length]):
            if now_ns - events[row, TIME_NS] > longest_ns:
                place = row
        store(history.state, length, events, place, abs(new - previous), now_ns)
    if settings.scale_to_zero:
        went = previous > 0 and new == 0 and settings.min_replicas == 0 and settings.total_metric == 1
        history.state[SCALED_TO_ZERO] = TRUE if went else FALSE
    else:
        history.state[SCALED_TO_ZERO] = ABSENT
