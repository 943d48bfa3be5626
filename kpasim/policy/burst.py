"""Whether the activator is in the request path, and how many activators are.

Source:
    knative/serving@98e5ef9, pkg/autoscaler/scaling/autoscaler.go, pkg/reconciler/autoscaling/kpa/kpa.go,
    pkg/reconciler/serverlessservice/serverlessservice.go
"""

import math

SERVE = 0
"""The ingress sends requests to the pods."""
PROXY = 1
"""The ingress sends requests to activators."""
MODES = ("Serve", "Proxy")
"""Knative's names of the modes of a ServerlessService, by code."""

MIN_ACTIVATORS = 2
MAX_INT32 = 2147483647


def excess_burst_capacity(ready_pods: int, total_value: float, target_burst_capacity: float, panic: float) -> float:
    """Requests that could still arrive at once before the ready pods are full, less the wanted reserve; a whole number.

    Below 0 the activator has to be in the path. ``total_value`` is what one pod can hold, in the scaling metric,
    ``panic`` the average over the panic window. A ``target_burst_capacity`` of 0 means that the activator leaves
    whenever there are pods, -1 that it always stays.

    Source: autoscaler.go, ``autoscaler.Scale``.
    """
    if target_burst_capacity == 0.0:
        return 0.0
    if target_burst_capacity > 0.0:
        return float(math.floor(ready_pods * total_value - target_burst_capacity - panic))
    return -1.0


def num_activators(ready_pods: int, total_value: float, target_burst_capacity: float, activator_capacity: float) -> int:
    """Activators that should back the revision; the cluster may have fewer (kpa.go, ``computeNumActivators``)."""
    if target_burst_capacity == 0.0:
        return MIN_ACTIVATORS
    capacity = ready_pods * total_value
    if target_burst_capacity > 0.0:
        capacity += target_burst_capacity
    activators = capacity / activator_capacity
    if activators >= MAX_INT32:
        return MAX_INT32
    return max(MIN_ACTIVATORS, math.ceil(activators))


def mode(want: int, excess: float) -> int:
    """Mode the ServerlessService is asked for.

    Args:
        want: Scale that ``scaler.decide`` returned, -1 unknown.
        excess: Excess burst capacity of the latest decision.

    Returns:
        ``SERVE`` only when pods are wanted and the reserve is covered.

    Source: kpa.go, ``Reconciler.ReconcileKind``.
    """
    return SERVE if want > 0 and excess >= 0.0 else PROXY


def effective_mode(asked: int, ready_endpoints: int, ready_activators: int) -> int:
    """What the public endpoints hold: pods (``SERVE``) or activators (``PROXY``).

    Without ready pods it is the activators, without activators it is the pods, whatever was asked.

    Source: serverlessservice.go, ``reconcilePublicEndpoints``.
    """
    if ready_activators == 0:
        return SERVE
    if ready_endpoints == 0:
        return PROXY
    return asked


def activator_backed(asked: int, ready_endpoints: int) -> bool:
    """Whether the condition ActivatorEndpointsPopulated holds; the grace period runs while it does.

    Source: serverlessservice.go, ``reconcilePublicEndpoints``.
    """
    return asked == PROXY or ready_endpoints == 0
