"""The autoscaler of an experiment in numbers, as far as it is not Knative's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from kpasim.engines import params as of
from kpasim.engines.machines import instance_type_names, nanoseconds, refused
from kpasim.engines.params import Params
from kpasim.policy import hpa, keda
from kpasim.spec.experiment import Experiment
from kpasim.spec.scaling import Behavior, Hpa, Keda, KedaHttp, Rule, ScaleDown, ScaleUp

METRICS = {"concurrency": of.CONCURRENCY, "rps": of.RATE, "request-rate": of.RATE, "utilization": of.UTILIZATION}
UTILIZATION_TARGET = 80.0
"""Percent; KServe's default for cpu."""
RATE_WINDOW_S = 60.0
"""Window of a rate in the usual query, ``rate(...[1m])``."""


def settings_of(experiment: Experiment, params: Params) -> dict[str, Any]:
    """Fields of ``Params`` that the autoscaler sets; none for Knative's own.

    Args:
        experiment: What to simulate.
        params: The same as Knative's own autoscaler would have it.
    """
    scaling = experiment.scaling
    if isinstance(scaling, Hpa | Keda | KedaHttp):
        settings = {**_deployment(experiment, params), **_controller(scaling)}
        settings["most"] = scaling.max_of(experiment.revision.max_scale)
        if isinstance(scaling, Hpa):
            return {**settings, **_measured(experiment, scaling), **_hpa(scaling, params)}
        if isinstance(scaling, Keda):
            return {**settings, **_measured(experiment, scaling), **_keda(scaling, params)}
        raise refused(experiment, "autoscaler", "keda-http is not simulated yet")
    if scaling.kind in {"kpa", "spare"}:
        return {}
    raise refused(experiment, "autoscaler", f"{scaling.kind} is not simulated yet")


def _deployment(experiment: Experiment, params: Params) -> dict[str, Any]:
    """Pods of a plain Deployment behind a Service: no queue-proxy and no activator.

    What limits a pod to fewer requests at a time than ``containerConcurrency`` is the container itself.
    """
    limit = params.container_concurrency
    slots = min(params.slots, limit) if params.slots and limit else params.slots or limit
    return {
        "data_plane": of.SERVICE,
        "container_concurrency": 0,
        "slots": slots,
        "activators": 1,
        "always_activator": 0,
        "ingress_policy": of.RANDOM,
        "affinity": of.NO_AFFINITY,
        "aggressive": 0,
        "early_use": 0,
        "spare": 0,
    }


def _bounds(params: Params, least: int, rest: int, settles_s: float) -> dict[str, Any]:
    """Where the pods begin and where they rest, in the terms of Knative's scale.

    Args:
        params: As of ``settings_of``.
        least: Pods that the autoscaler keeps under load.
        rest: Pods that stay without load.
        settles_s: How long after the last response it may still remove pods.
    """
    return {
        "least": least,
        "initial_scale": 0 if params.start == of.ZERO else max(least, 1),
        "min_scale": rest,
        "enable_scale_to_zero": int(rest == 0),
        "stays": int(rest > 0),
        "grace_ns": nanoseconds(settles_s),
    }


def _controller(scaling: Hpa | Keda | KedaHttp) -> dict[str, Any]:
    """The HPA: its behavior and its clock."""
    behavior = scaling.behavior or Behavior()
    up, down = behavior.scale_up, behavior.scale_down
    window_s = down.stabilization_window_s if scaling.behavior else None
    return {
        "autoscaler": {Hpa: of.HPA, Keda: of.KEDA, KedaHttp: of.KEDA_HTTP}[type(scaling)],
        "grace_period_ns": max(1, nanoseconds(scaling.termination_grace_period_s)),
        "sync_ns": nanoseconds(scaling.sync_period_s),
        "has_behavior": int(scaling.behavior is not None),
        "up_window_ns": nanoseconds(up.stabilization_window_s),
        "up_select": hpa.SELECT_POLICIES.index(up.select_policy),
        "up_policies": _rows(up),
        "down_window_ns": nanoseconds(scaling.downscale_stabilization_s if window_s is None else window_s),
        "down_select": hpa.SELECT_POLICIES.index(down.select_policy),
        "down_policies": _rows(down),
        "tolerance_up": scaling.tolerance if up.tolerance is None else up.tolerance,
        "tolerance_down": scaling.tolerance if down.tolerance is None else down.tolerance,
    }


def _rows(direction: ScaleUp | ScaleDown) -> of.Ints:
    def row(rule: Rule) -> list[int]:
        return [hpa.POLICY_TYPES.index(rule.type), rule.value, nanoseconds(rule.period_s)]

    return np.array([row(rule) for rule in direction.policies], dtype=np.int64).reshape(-1, 3)


def target_of(experiment: Experiment, metric: str, given: float | None) -> float:
    """The target of a metric for each pod: as given, else that of the manifest.

    A target in requests in flight is one in requests per second divided by the mean service time (Little's law).
    """
    if given is not None:
        return given
    if metric == "utilization":
        return UTILIZATION_TARGET
    revision = experiment.revision
    service_time = experiment.model.service_time
    factors = [service_time.per_instance_type.get(name, 1.0) for name in instance_type_names(experiment)]
    mean_s = max(service_time.time.mean_s() * factors[0], 1e-9)
    is_rate = metric != "concurrency"
    if is_rate == (revision.metric == "rps"):
        return revision.target_value
    return revision.target_value / mean_s if is_rate else revision.target_value * mean_s


def _measured(experiment: Experiment, scaling: Hpa | Keda) -> dict[str, Any]:
    """The metric and its way."""
    window_s = scaling.metric_window_s
    if window_s is None:
        window_s = 0.0 if scaling.metric == "concurrency" else RATE_WINDOW_S
    return {
        "metric": METRICS[scaling.metric],
        "target_milli": max(1, round(target_of(experiment, scaling.metric, scaling.target) * 1000)),
        "scrape_ns": nanoseconds(scaling.scrape_interval_s),
        "window_scrapes": max(1, int(window_s / scaling.scrape_interval_s + 1e-9)),
        "adapter_ns": nanoseconds(scaling.adapter_delay_s),
    }


def _hpa(scaling: Hpa, params: Params) -> dict[str, Any]:
    of_pods = int(scaling.metric_type == "Pods")
    settles_s = scaling.downscale_stabilization_s + scaling.sync_period_s
    return {
        "of_pods": of_pods,
        "is_average": int(scaling.target_type == "AverageValue"),
        "scale_to_zero": 1 - of_pods,
        **_bounds(params, scaling.min_replicas, scaling.min_replicas, settles_s),
    }


def _keda(scaling: Keda, params: Params) -> dict[str, Any]:
    least, idle = scaling.min_replica_count, scaling.idle_replica_count
    fallback = scaling.fallback
    settles_s = max(scaling.cooldown_period_s, scaling.downscale_stabilization_s) + scaling.polling_interval_s
    return {
        "is_average": int(scaling.metric_type == "AverageValue"),
        "poll_ns": nanoseconds(scaling.polling_interval_s),
        "idle": keda.NO_COUNT if idle is None else idle,
        "cooldown_ns": nanoseconds(scaling.cooldown_period_s),
        "initial_cooldown_ns": nanoseconds(scaling.initial_cooldown_period_s),
        "activation_milli": round(scaling.activation_threshold * 1000),
        "query_failure": scaling.query_failure,
        "fallback_failures": fallback.failure_threshold if fallback else keda.NO_COUNT,
        "fallback_replicas": fallback.replicas if fallback else 0,
        "fallback_behavior": keda.FALLBACK_BEHAVIORS.index(fallback.behavior) if fallback else 0,
        **_bounds(params, least, least if idle is None else idle, settles_s),
    }
