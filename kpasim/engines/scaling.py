"""The autoscaler of an experiment in numbers, as far as it is not Knative's own."""

from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from kpasim.arrays import Ints
from kpasim.engines import params as of
from kpasim.engines.draws import Stream, uniforms
from kpasim.engines.machines import LONGEST_NS, instance_type_names, nanoseconds, refused, stages
from kpasim.engines.model.autoscaler import CODES
from kpasim.engines.params import Params
from kpasim.policy import hpa, keda, schedule
from kpasim.spec.autoscaler import HPA
from kpasim.spec.experiment import Experiment
from kpasim.spec.scalers import scaler_yaml
from kpasim.spec.scaling import (
    DAY_S,
    Aim,
    Behavior,
    Deployed,
    Hpa,
    Keda,
    KedaHttp,
    Lookahead,
    Other,
    Rule,
    ScaleDown,
    ScaleUp,
    Schedule,
    days_of,
    moment_of,
    seconds_of_day,
)
from kpasim.spec.workload import OpenLoop
from kpasim.workloads.arrivals import arrivals

METRICS = {"concurrency": of.CONCURRENCY, "rps": of.RATE, "request-rate": of.RATE, "utilization": of.UTILIZATION,
           "cpu": of.CPU, "ongoing": of.ONGOING}  # fmt: skip
PLANES = {"service": of.SERVICE, "interceptor": of.INTERCEPTOR, "router": of.ROUTER}
EARLIER = 1 << 30
"""Replications whose arrivals are those of earlier days: beyond all that are simulated."""
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
    found = _settings_of(experiment, params)
    if found.get("most", of.FOREVER_NS) < (least := max(found.get("least", 0), found.get("initial_scale", 0))):
        message = f"{least} pods at least, or at the start, are more than the maximum of {found['most']}"
        raise refused(experiment, "autoscaler", f"{message} (give a maximum; the manifest's max-scale is one)")
    return found


def _settings_of(experiment: Experiment, params: Params) -> dict[str, Any]:
    scaling = experiment.scaling
    if isinstance(scaling, Hpa | Keda | KedaHttp):
        settings = {**_deployment(experiment, params), **_controller(scaling)}
        if experiment.autoscaler is None and experiment.service.revision.class_name == HPA:
            # A revision of Knative's HPA class keeps queue-proxy, and activators while it has no pod.
            settings = {**_controller(scaling), "grace_period_ns": 0}
        settings["most"] = scaling.max_of(experiment.revision.max_scale)
        if isinstance(scaling, Hpa):
            return {**settings, **_measured(experiment, scaling), **_hpa(scaling, params)}
        if isinstance(scaling, Keda):
            return {**settings, **_measured(experiment, scaling), **_keda(scaling, params)}
        return {**settings, **_keda_http(experiment, scaling, params)}
    if isinstance(scaling, Deployed):
        return _deployed(experiment, scaling, params)
    if isinstance(scaling, Schedule):
        return _schedule(experiment, scaling, params)
    return _lookahead(experiment, scaling, params) if isinstance(scaling, Lookahead) else {}


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
    return {
        "autoscaler": CODES[scaling.kind],
        "grace_period_ns": max(1, nanoseconds(scaling.termination_grace_period_s)),
        "sync_ns": nanoseconds(scaling.sync_period_s),
        "has_behavior": int(scaling.behavior is not None),
        "up_window_ns": nanoseconds(up.stabilization_window_s),
        "up_select": hpa.SELECT_POLICIES.index(up.select_policy),
        "up_policies": _rows(up),
        "down_window_ns": nanoseconds(scaling.down_window_s),
        "down_select": hpa.SELECT_POLICIES.index(down.select_policy),
        "down_policies": _rows(down),
        "tolerance_up": scaling.tolerance if up.tolerance is None else up.tolerance,
        "tolerance_down": scaling.tolerance if down.tolerance is None else down.tolerance,
    }


def _rows(direction: ScaleUp | ScaleDown) -> Ints:
    def row(rule: Rule) -> list[int]:
        return [hpa.POLICY_TYPES.index(rule.type), rule.value, nanoseconds(rule.period_s)]

    return np.array([row(rule) for rule in direction.policies], dtype=np.int64).reshape(-1, 3)


def target_of(experiment: Experiment, aim: Aim) -> float:
    """The target of a metric for each pod: as given, else that of the manifest.

    A target in requests in flight is one in requests per second divided by the mean service time (Little's law).
    """
    if aim.whole:
        return max(1, round(target_of(experiment, aim._replace(whole=False))))
    if aim.target is not None:
        return aim.target
    if aim.metric in {"utilization", "cpu"}:
        return UTILIZATION_TARGET
    revision = experiment.revision
    service_time = experiment.model.service_time
    factors = [service_time.per_instance_type.get(name, 1.0) for name in instance_type_names(experiment)]
    mean_s = max(service_time.time.mean_s() * factors[0], 1e-9)
    is_rate = METRICS[aim.metric] == of.RATE
    if is_rate == (revision.metric == "rps"):
        return revision.target_value
    return revision.target_value / mean_s if is_rate else revision.target_value * mean_s


def written(experiment: Experiment) -> str:
    """What a cluster is given to have the experiment's autoscaler: the Service's YAML, or that of an HPA, KEDA or Ray.

    A manifest that chooses its autoscaler by itself (KServe's Standard mode, Knative's class for the HPA), or that has
    Knative's, is as it was but for the settings that were changed.
    """
    scaling = experiment.autoscaler
    if not isinstance(scaling, Other):
        return experiment.service.to_yaml()
    return scaler_yaml(experiment, target_of(experiment, scaling.aim))


def _measured(experiment: Experiment, scaling: Hpa | Keda) -> dict[str, Any]:
    """The metric and its way."""
    window_s = scaling.metric_window_s
    if window_s is None:
        window_s = 0.0 if scaling.metric in {"concurrency", "cpu"} else RATE_WINDOW_S
    return {
        "metric": METRICS[scaling.metric],
        "busy_cpu": scaling.cpu_when_busy,
        "target_milli": max(1, round(target_of(experiment, scaling.aim) * 1000)),
        "scrape_ns": nanoseconds(scaling.scrape_interval_s),
        "window_scrapes": max(1, int(window_s / scaling.scrape_interval_s + 1e-9)),
        "adapter_ns": nanoseconds(scaling.adapter_delay_s),
    }


def _keda_http(experiment: Experiment, scaling: KedaHttp, params: Params) -> dict[str, Any]:
    least, idle = scaling.min_replicas, scaling.idle_replicas
    settles_s = max(scaling.scaledown_period_s, scaling.downscale_stabilization_s) + scaling.polling_interval_s
    return {
        "data_plane": of.INTERCEPTOR,
        "always_activator": 1,
        "metric": METRICS[scaling.metric],
        "target_milli": round(target_of(experiment, scaling.aim) * 1000),
        "ring_window_ms": round(scaling.window_s * 1000),
        "ring_step_ms": round(scaling.granularity_s) * 1000,
        "queue_tick_ns": nanoseconds(scaling.queue_tick_s),
        "stream_ns": nanoseconds(scaling.stream_interval_s),
        "exact_rate": int(scaling.object == "InterceptorRoute"),
        "idle": keda.NO_COUNT if idle is None else idle,
        "poll_ns": nanoseconds(scaling.polling_interval_s),
        "cooldown_ns": nanoseconds(scaling.scaledown_period_s),
        "initial_cooldown_ns": nanoseconds(scaling.initial_cooldown_period_s),
        **_bounds(params, least, least if idle is None else idle, settles_s),
    }


def _deployed(experiment: Experiment, scaling: Deployed, params: Params) -> dict[str, Any]:
    pods = scaling.deployment
    settings = {
        **_deployment(experiment, params),
        **_bounds(params, scaling.least, scaling.least, pods.settles_s),
        "autoscaler": CODES[experiment.scaling.kind],
        "data_plane": PLANES[pods.plane],
        "always_activator": int(pods.plane != "service"),
        "container_concurrency": pods.at_a_time,
        "most": scaling.max_of(experiment.revision.max_scale),
        "metric": METRICS[pods.metric],
        "target_milli": max(1, round(target_of(experiment, scaling.aim) * 1000)),
        "scrape_ns": nanoseconds(pods.scrape_s),
        "window_scrapes": max(1, int(pods.window_s / pods.scrape_s + 1e-9)),
        "grace_period_ns": max(1, nanoseconds(pods.grace_s)),
        "rule": np.array([min(number, LONGEST_NS / 1e9) for number in pods.rule]),
    }
    if pods.begins is not None and params.start != of.ZERO:
        settings["initial_scale"] = pods.begins
    if pods.looks_s is not None:
        settings |= {"probe_period_ns": nanoseconds(pods.looks_s), "probe_initial_delay_ns": 0, "probe_successes": 1}
        settings["startup_period_ns"] = 0
    return settings


def _schedule(experiment: Experiment, scaling: Schedule, params: Params) -> dict[str, Any]:
    zone = ZoneInfo(scaling.timezone)
    windows = [
        schedule.Window(
            days_of(window.days),
            seconds_of_day(window.start),
            seconds_of_day(window.end),
            window.replicas,
            schedule.UNBOUNDED,
            zone,
        )
        for window in scaling.windows
    ]
    length_s = experiment.horizon_s or experiment.repeat_s or experiment.workload.length_s or 0.0
    table = schedule.changes(windows, moment_of(scaling.load_starts, scaling.timezone), length_s + 2 * DAY_S)
    stays = params.stays or int(table[:, schedule.LEAST].max() > 0)
    return {"schedule": table, "stays": stays}


def _lookahead(experiment: Experiment, scaling: Lookahead, params: Params) -> dict[str, Any]:
    workload = experiment.workload
    if not isinstance(workload, OpenLoop):
        message = "lookahead needs a load that is an open loop: clients that do not wait for responses"
        raise refused(experiment, "autoscaler", f"{message} (use another kind of workload)")
    is_rate = experiment.revision.metric == "rps"
    service_time = experiment.model.service_time
    factors = [service_time.per_instance_type.get(name, 1.0) for name in instance_type_names(experiment)]
    weight = 1.0 if is_rate else service_time.time.mean_s() * factors[0]
    ahead_s = scaling.scale_up_forward_s
    if ahead_s is None:
        ahead_s = sum(stage.times[0].mean_s() for stage in stages(experiment) if stage.when == of.BEFORE_READY)
    slots = params.period_ns // params.slot_ns
    days = []
    for day in range(scaling.history_days):
        sent_ns = arrivals(workload, partial(uniforms, params.seed, EARLIER + day, Stream.ARRIVAL))
        counts = np.bincount(sent_ns[sent_ns < params.period_ns] // params.slot_ns, minlength=slots)
        days.append(counts / (params.slot_ns / of.SECOND_NS) * weight)
    return {
        "looks_ahead": 1,
        "quantile": scaling.quantile / 100,
        "ahead_ns": nanoseconds(ahead_s),
        "history": np.concatenate(days),
        "stays": 1,
    }


def _hpa(scaling: Hpa, params: Params) -> dict[str, Any]:
    of_pods = int(scaling.metric_type == "Pods")
    settles_s = scaling.downscale_stabilization_s + scaling.sync_period_s
    return {
        "of_pods": of_pods,
        "is_average": int(scaling.target_type == "AverageValue"),
        "scale_to_zero": 1 - of_pods,
        **_bounds(params, scaling.least, scaling.least, settles_s),
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
        "activation": scaling.activation_threshold,
        "query_failure": scaling.query_failure,
        "fallback_failures": fallback.failure_threshold if fallback else keda.NO_COUNT,
        "fallback_replicas": fallback.replicas if fallback else 0,
        "fallback_behavior": keda.FALLBACK_BEHAVIORS.index(fallback.behavior) if fallback else 0,
        **_bounds(params, least, least if idle is None else idle, settles_s),
    }
