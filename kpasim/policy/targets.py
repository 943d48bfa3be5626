"""From parsed settings to what the autoscaler aims at: targets, totals, windows.

Plain Python: computed once per revision. Reading and checking the strings is the business of ``kpasim.spec``.

Source:
    knative/serving@98e5ef9, pkg/reconciler/autoscaling/resources/target.go,
    pkg/reconciler/autoscaling/resources/metric.go, pkg/reconciler/autoscaling/kpa/resources/decider.go
"""

import math

TARGET_MIN = 0.01
"""Lowest target value per pod."""

RPS = "rps"
CONCURRENCY = "concurrency"

RPS_TARGET_UTILIZATION = 0.7
"""Utilization of the rps target; no setting of the cluster changes it."""

BUCKET_NS = 1_000_000_000
"""Length of a bucket, the shortest panic window."""


def total_value(
    metric: str,
    container_concurrency: int,
    annotated_target: float | None,
    concurrency_default: float,
    rps_default: float,
) -> float:
    """What one pod can hold, in the scaling metric; any but ``rps`` defaults as concurrency does.

    The limit per pod, 0 for none, caps the revision's ``target`` for concurrency only. Defaults are those of
    ``config-autoscaler``.

    Source: target.go, ``ResolveMetricTarget``.
    """
    if annotated_target is not None:
        if metric == CONCURRENCY and container_concurrency != 0:
            return _least(annotated_target, float(container_concurrency))
        return annotated_target
    if metric == RPS:
        return rps_default
    return float(container_concurrency) if container_concurrency != 0 else concurrency_default


def utilization(metric: str, annotated_utilization: float | None, concurrency_fraction: float) -> float:
    """Share of a pod's total to aim at: the revision's own, else for concurrency that of the cluster.

    Source: target.go, ``ResolveMetricTarget``.
    """
    if annotated_utilization is not None:
        return annotated_utilization
    return RPS_TARGET_UTILIZATION if metric == RPS else concurrency_fraction


def target_value(total: float, share: float) -> float:
    """Metric to aim at per pod, at least ``TARGET_MIN`` (target.go, ``ResolveMetricTarget``)."""
    target = total * share
    return target if math.isnan(target) else max(TARGET_MIN, target)


def panic_window_ns(stable_window_ns: int, percentage: float) -> int:
    """Length of the panic window: a share of the stable one, to the whole second, at least one.

    Half seconds round away from zero.

    Source: metric.go, ``MakeMetric``.
    """
    exact_ns = math.trunc(float(stable_window_ns) * percentage / 100.0)
    return max(BUCKET_NS, (exact_ns + BUCKET_NS // 2) // BUCKET_NS * BUCKET_NS)


def initial_scale(cluster_default: int, annotated: int | None, allow_zero: bool) -> int:
    """Pods a new revision starts with and must reach once; an annotated 0 counts only where the cluster allows it.

    Source: decider.go, ``GetInitialScale``.
    """
    if annotated is None or (annotated == 0 and not allow_zero):
        return cluster_default
    return annotated


def _least(one: float, other: float) -> float:
    """The lesser of two; not a number when either is."""
    return math.nan if math.isnan(one) or math.isnan(other) else min(one, other)
