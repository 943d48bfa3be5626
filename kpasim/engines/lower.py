"""From what a user writes to what an engine plays: an experiment in numbers.

params = lower(experiment)
for draws in Sampler(experiment, params).draw_many(range(experiment.replications)):
    outcome = compiled.run(params, draws)
"""

import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from kpasim.arrays import Floats, Ints
from kpasim.engines import params as of
from kpasim.engines.machines import instance_type_names, nanoseconds, pools, refused, stages
from kpasim.engines.params import Params
from kpasim.engines.sampling import NOTHING_RECORDED, Recorded, of_replication
from kpasim.engines.scaling import settings_of
from kpasim.policy import windows
from kpasim.spec.autoscaler import RevisionSettings
from kpasim.spec.cluster import Cluster
from kpasim.spec.experiment import Experiment
from kpasim.spec.model import ServiceModel
from kpasim.spec.scaling import Other, Spare
from kpasim.spec.sharing import sharing
from kpasim.spec.workload import Hey
from kpasim.workloads.arrivals import most_arrivals

MOST_REQUESTS = 10_000_000
"""Requests of one replication at most: their tables are held in memory."""
MOST_COUNTED = 1_000_000_000
"""The same where requests are counted only, and their random numbers generated in parts."""
KUBELET_PERIOD_S = 10.0
"""Period of the kubelet's probes where the manifest gives none."""
RECONCILE_SHARE = 1.0 / 3.0
"""What part of the time from a decision to the pod the PodAutoscaler's reconcile takes, the Deployment the rest."""

COOKIE_TIMEOUT = "serving.knative.dev.alibabacloud/cookie-timeout"
"""Annotation of how long a session cookie holds [s]."""

_STARTS = {"warm": of.WARM, "idled": of.IDLED, "zero": of.ZERO}
_POLICIES = {"round-robin": of.ROUND_ROBIN, "least-request": of.LEAST_REQUEST, "random": of.RANDOM}


def lower(experiment: Experiment, recorded: Recorded = NOTHING_RECORDED, *, counts_only: bool = False) -> Params:
    """An experiment in numbers.

    Args:
        experiment: What to play.
        recorded: Measured numbers that take the place of drawn ones: service times are in the order of
            starts, and what instance types or sharing do to them is in them already; with send times the load is open.
        counts_only: Whether no request is kept, so that there may be more of them.

    Raises:
        ExperimentError: What the experiment asks for cannot be played.
        RecordError: A file that the workload replays cannot be read.
    """
    global _checked
    most = MOST_COUNTED if counts_only and experiment.workload.has_parts else MOST_REQUESTS
    params = _params(experiment, recorded, most)
    _must_be_playable(experiment, params)
    if experiment.model.posterior and not _is_checked(experiment):
        # An autoscaler has one target in a cluster, whatever the service time of a draw.
        scaling = {name: getattr(params, name) for name in settings_of(experiment, params)}
        for place in range(len(experiment.model.posterior)):
            other = _params(of_replication(experiment, place), recorded, most)
            params = params._replace(requests=max(params.requests, other.requests))
            other = other._replace(requests=params.requests, **scaling)
            if len(other.slowdown) == len(params.slowdown):
                other = other._replace(slowdown=params.slowdown)
            if not equal(params, other):
                message = (
                    "changes more than distributions of times and contention factors, which is all that may differ "
                    "between replications"
                )
                raise refused(experiment, f"model.posterior[{place}]", message)
        _checked = experiment.model, experiment.cluster
    return params


_checked: tuple[ServiceModel, Cluster] | None = None
"""The model whose posterior was checked last, and the cluster it was checked with: what its draws can change."""


def _is_checked(experiment: Experiment) -> bool:
    """Whether this model's draws are known to change times only; a load that ends by the clock needs its own room."""
    by_clock = experiment.workload.is_closed and experiment.workload.length_s is not None
    is_same = _checked and _checked[0] is experiment.model and _checked[1] is experiment.cluster
    return bool(is_same) and not by_clock


def equal(one: Params, other: Params) -> bool:
    """Whether two experiments are the same to an engine."""
    pairs: Iterable[tuple[Any, Any]] = zip(one, other, strict=True)
    # Numbers are compared at once: numpy takes many times as long.
    return all(
        np.array_equal(mine, theirs) if isinstance(mine, np.ndarray) else mine == theirs for mine, theirs in pairs
    )


_SAME = tuple(one.name for one in fields(RevisionSettings) if one.name in Params._fields and one.type is not str)
"""Settings of a revision that are a number or a switch in ``Params`` as well."""


def of_revision(revision: RevisionSettings) -> dict[str, Any]:
    """Fields of ``Params`` that are Knative's own settings of a revision; see ``kpa.limits`` and ``kpa.rules_of``.

    A setting goes to the field of its name; those below have another unit there, or another type.
    """
    weighted = revision.aggregation == "weighted-exponential"
    same = {name: getattr(revision, name) for name in _SAME}
    return {
        **{name: int(value) if isinstance(value, bool) else value for name, value in same.items()},
        "metric_rps": int(revision.metric == "rps"),
        "stable_window_s": round(revision.stable_window_s),
        "panic_window_s": round(revision.panic_window_s),
        "weight_stable": windows.smoothing_coefficient(revision.stable_window_s) if weighted else 0.0,
        "weight_panic": windows.smoothing_coefficient(revision.panic_window_s) if weighted else 0.0,
        "grace_ns": nanoseconds(revision.scale_to_zero_grace_s),
        "retention_ns": nanoseconds(revision.pod_retention_s),
        "progress_deadline_ns": nanoseconds(revision.progress_deadline_s),
    }


def _params(experiment: Experiment, recorded: Recorded, most_requests: int = MOST_REQUESTS) -> Params:
    service, revision, cluster = experiment.service, experiment.revision, experiment.cluster
    model, delays = experiment.model, experiment.cluster.delays
    probe, startup = service.probe, service.startup_probe
    given = recorded.service_s is not None
    types = instance_type_names(experiment)
    pool, stage = pools(experiment), stages(experiment)
    limits_s = [limit for limit in (service.response_start_timeout_s, service.idle_timeout_s) if limit]
    start = experiment.start.state
    reconcile_s = delays.tick_to_pod_s * RECONCILE_SHARE
    # Measured times hold what sharing did to them.
    is_measured = given and model.service_time.slots is None
    slots = service.container_concurrency if is_measured else sharing(experiment).slots
    factors = model.service_time.per_instance_type
    scaling = experiment.scaling
    spare = scaling.pods if isinstance(scaling, Spare) else 0
    params = Params(
        container_concurrency=service.container_concurrency,
        slots=slots,
        timeout_ns=nanoseconds(service.timeout_s),
        first_byte_timeout_ns=nanoseconds(min(limits_s, default=None)),
        stream_idle_ns=_stream_idle_ns(experiment),
        service_by_start=int(given or model.service_time.by == "start"),
        slowdown=_floats(() if given else model.service_time.slowdown),
        shared_by_node=int(model.service_time.shared_by == "node"),
        type_factor=_floats([1.0 if given else factors.get(name, 1.0) for name in types]),
        cancel_stops_work=int(model.cancel_stops_work),
        drains_on_sigterm=int(model.shutdown.drains_on_sigterm),
        stop_ns=nanoseconds(model.shutdown.stop_time_s),
        **of_revision(revision),
        always_schedulable=int(service.pod_is_always_schedulable),
        probe_period_ns=nanoseconds(probe.period_s or KUBELET_PERIOD_S),
        probe_timeout_ns=nanoseconds(probe.timeout_s),
        probe_initial_delay_ns=nanoseconds(probe.initial_delay_s),
        probe_successes=probe.success_threshold,
        # Queue-proxy leaves an exec probe to the kubelet.
        aggressive=int(probe.period_s == 0.0 and probe.kind != "exec"),
        startup_period_ns=nanoseconds(startup.period_s or KUBELET_PERIOD_S) if startup else 0,
        startup_initial_delay_ns=nanoseconds(startup.initial_delay_s) if startup else 0,
        startup_failures=startup.failure_threshold if startup else 0,
        early_use=int(startup is None and probe.kind != "exec"),
        stage_kind=_ints([one.kind for one in stage]),
        stage_when=_ints([one.when for one in stage]),
        stage_at_a_time=_ints([one.at_a_time for one in stage]),
        stage_cached=_ints([one.cached for one in stage]),
        stage_bytes=_floats([one.bytes for one in stage]),
        stage_bandwidth=_floats([one.bandwidth for one in stage]),
        crash_probability=1.0 if model.cold_start.always_fails else model.cold_start.crash.probability,
        restart_ns=nanoseconds(model.cold_start.crash.restart_delay_s),
        pool_type=_ints([one.type for one in pool]),
        pool_slots=_ints([one.slots for one in pool]),
        pool_ready=_ints([one.ready for one in pool]),
        pool_max=_ints([one.max for one in pool]),
        pool_provisioned=_ints([one.provisioned for one in pool]),
        pool_release_ns=_ints([one.release_ns for one in pool]),
        scrape_failure=cluster.scrape_failure,
        activators=cluster.activators,
        always_activator=int(cluster.ingress.path == "activator"),
        ingress_policy=_POLICIES[cluster.ingress.policy],
        ingress_workers=cluster.ingress.workers,
        affinity=_affinity(experiment),
        affinity_timeout_ns=_cookie_timeout_ns(experiment),
        first_stat_ns=nanoseconds(delays.first_stat_s),
        front_to_server_ns=nanoseconds(delays.front_to_server_s),
        hand_over_ns=nanoseconds(delays.hand_over_s),
        server_to_client_ns=nanoseconds(delays.server_to_client_s),
        reconcile_ns=nanoseconds(reconcile_s),
        rollout_ns=nanoseconds(delays.tick_to_pod_s) - nanoseconds(reconcile_s),
        # The ingress sees a switch of mode as late as any other change of the endpoints.
        sks_ns=nanoseconds(max(0.0, delays.sks_switch_s - delays.endpoints_to_ingress_s)),
        endpoints_to_ingress_ns=nanoseconds(delays.endpoints_to_ingress_s),
        endpoints_to_activator_ns=nanoseconds(delays.endpoints_to_activator_s),
        activator_probe_period_ns=nanoseconds(delays.probe_period_s),
        queue_proxy_poll_ns=nanoseconds(delays.queue_proxy_poll_s),
        deletion_ns=nanoseconds(delays.deletion_extra_s),
        **_load(experiment, recorded, most_requests),
        start=_STARTS[start],
        start_for_ns=nanoseconds(experiment.start.for_s),
        horizon_ns=nanoseconds(experiment.horizon_s),
        stays=int(revision.min_scale > 0 or not revision.enable_scale_to_zero or spare > 0),
        seed=experiment.seed & (2**63 - 1),
        clock_jitter_ns=nanoseconds(delays.clock_jitter_s),
        api_jitter_ns=nanoseconds(delays.api_jitter_s),
        status_jitter_ns=nanoseconds(delays.status_jitter_s),
        wake_ns=nanoseconds(delays.wake_s),
        until_ns=nanoseconds(experiment.repeat_s),
        restarts=_restarts(experiment),
        silences=_silences(experiment.cluster),
        spare=spare,
    )
    if start == "zero":
        params = params._replace(initial_scale=0)
    return params._replace(**settings_of(experiment, params))


def _restarts(experiment: Experiment) -> Ints:
    restarts = experiment.cluster.autoscaler_restarts
    if restarts and isinstance(experiment.scaling, Other):
        message = "only Knative's autoscaler can restart (leave it out for others)"
        raise refused(experiment, "cluster.autoscaler-restarts", message)
    rows = [[nanoseconds(one.at_s), nanoseconds(one.at_s + one.back_after_s)] for one in restarts]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def _silences(cluster: Cluster) -> Ints:
    times_s = [(-1, one.at_s, one.at_s + one.connected_after_s) for one in cluster.autoscaler_restarts]
    times_s += [(one.activator - 1, one.at_s, one.at_s + one.connected_after_s) for one in cluster.activator_restarts]
    rows = [[who, nanoseconds(begin_s), nanoseconds(end_s)] for who, begin_s, end_s in times_s]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _ints(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def _floats(values: list[float] | tuple[float, ...]) -> Floats:
    return np.array(values, dtype=np.float64)


def _affinity(experiment: Experiment) -> int:
    asked = experiment.cluster.ingress.affinity
    if asked == "pod":
        return of.POD_AFFINITY
    if asked == "activator" or (asked == "auto" and experiment.service.cookie_affinity):
        return of.UPSTREAM_AFFINITY
    return of.NO_AFFINITY


def _stream_idle_ns(experiment: Experiment) -> int:
    """The idleTimeout where the pieces of a streamed answer come more rarely, else 0."""
    idle_s, every_s = experiment.service.idle_timeout_s, experiment.model.service_time.chunk_interval_s
    if experiment.model.service_time.first_byte is None or not idle_s or not every_s or every_s <= idle_s:
        return 0
    return nanoseconds(idle_s)


def _cookie_timeout_ns(experiment: Experiment) -> int:
    """How long a cookie holds, 0 for ever; the annotation of the template counts before the Service's."""
    service = experiment.service
    text = service.annotations.get(COOKIE_TIMEOUT, service.metadata_annotations.get(COOKIE_TIMEOUT))
    if text is None:
        return 0
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise refused(experiment, "service", f"annotation {COOKIE_TIMEOUT}: {text!r} is not a number of seconds")
    return nanoseconds(value)


def _load(experiment: Experiment, recorded: Recorded, most_requests: int) -> dict[str, Any]:
    """What ``Params`` holds of the load.

    Raises:
        ExperimentError: Nothing limits the number of requests, or they are too many.
    """
    workload = experiment.workload
    closed = ("closed", "workers", "requests_per_worker", "load_duration_ns", "worker_period_ns", "think_ns")
    load: dict[str, Any] = dict.fromkeys(closed, 0) | {
        "client_timeout_ns": nanoseconds(workload.timeout_s),
        "sessions": workload.sessions.count if workload.sessions else 0,
        "cookies": int(workload.sessions is not None and workload.sessions.cookies),
    }
    if recorded.sent_s is not None:
        load["requests"] = len(recorded.sent_s)
    elif isinstance(workload, Hey):
        each = _each_worker(experiment, workload)
        load["closed"] = 1
        load["workers"] = workload.concurrency
        load["requests_per_worker"] = workload.per_worker or 0
        load["load_duration_ns"] = nanoseconds(workload.duration_s)
        load["think_ns"] = nanoseconds(workload.think_time_s)
        load["worker_period_ns"] = nanoseconds(1.0 / workload.qps) if workload.qps else 0
        load["requests"] = workload.concurrency * each
    else:
        load["requests"] = most_arrivals(workload)
    if load["requests"] > most_requests:
        instead = "shorten it"
        if most_requests < MOST_COUNTED and experiment.workload.has_parts:
            instead += f", or count up to {MOST_COUNTED:,} with kpasim run --counts-only"
        message = f"sends up to {load['requests']:,} requests (at most {most_requests:,} are simulated; {instead})"
        raise refused(experiment, "workload", message)
    return load


def _each_worker(experiment: Experiment, workload: Hey) -> int:
    """Requests of one worker; for hey's -z an estimate from above that may have to be doubled."""
    if workload.duration_s is None:
        return workload.requests // workload.concurrency
    delays, service_time = experiment.cluster.delays, experiment.model.service_time
    factors = [service_time.per_instance_type.get(name, 1.0) for name in instance_type_names(experiment)]
    round_s = service_time.time.mean_s() * min(factors)
    round_s += 0.5 * delays.client_to_front_s + delays.server_to_client_s
    if workload.timeout_s:
        round_s = min(round_s, workload.timeout_s)
    round_s += workload.think_time_s
    bounds = []
    if round_s > 0.0:
        bounds.append(1.5 * workload.duration_s / round_s + 16.0)
    if workload.qps:
        bounds.append(workload.duration_s * workload.qps + 2.0)
    if not bounds:
        raise refused(
            experiment, "workload", "has a duration, but no request takes any time: it would send without end"
        )
    return math.ceil(min(*bounds, float(MOST_REQUESTS)))


def _must_be_playable(experiment: Experiment, params: Params) -> None:
    """Refuse what would be played otherwise than it is meant, or for ever.

    Raises:
        ExperimentError: It is so.
    """
    if params.start == of.WARM and params.initial_scale == 0 and params.min_scale == 0:
        message = "warm needs a pod before the load, and the revision begins with none (initial-scale 0; write zero)"
        raise refused(experiment, "start", message)
    if params.crash_probability >= 1.0 and params.restart_ns == 0:
        message = "0s with starts that always fail would restart without end (Kubernetes waits 10s)"
        raise refused(experiment, "model.cold-start.crash.restart-delay", message)
