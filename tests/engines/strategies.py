"""Experiments over the whole model, drawn by hypothesis in the engines' own terms.

They are short (tens of requests, a minute or two of simulated time) and full of round numbers, so that events meet at
the same nanosecond and rare paths are taken often. What hypothesis draws is a handful of numbers for each part of the
model; the random numbers of the run come from a drawn seed, rounded to a drawn grid.
"""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from kpasim.engines import params as of
from kpasim.engines.draws import chance_key, uniforms
from kpasim.engines.model.autoscaler import CODES, RAY_SERVE
from kpasim.engines.params import Draws, Params
from kpasim.policy import hpa, schedule
from kpasim.policy.windows import smoothing_coefficient

from .hand import MS, PLAIN, S, experiment, floats, ints

FLAG = st.integers(0, 1)
NS = 1


class Run:
    """One replication of one experiment; shown as what differs from ``hand.PLAIN``."""

    def __init__(self, params: Params, draws: Draws, grids: str) -> None:
        self.params = params
        self.draws = draws
        self.grids = grids

    def __repr__(self) -> str:
        changed = (
            f"{name}={value.tolist() if isinstance(value, np.ndarray) else value}"
            for name, value in self.params._asdict().items()
            if not np.array_equal(value, getattr(PLAIN, name))
        )
        return f"Run({', '.join(changed)}; {self.grids})"


def some(*values: Any) -> Any:
    """One of the values; the first one is the simplest."""
    return st.sampled_from(values)


def or_else(rare: Any, *values: Any) -> Any:
    """One of the values, or something rare instead, each as likely."""
    return st.integers(0, len(values)).flatmap(lambda n: st.just(values[n]) if n < len(values) else rare)


def time_ns(most_ns: int, least_ns: int = 0) -> Any:
    """A time, mostly a round one."""
    return st.one_of(
        st.integers(-(-least_ns // (500 * MS)), most_ns // (500 * MS)).map(lambda n: n * 500 * MS),
        st.integers(-(-least_ns // (50 * MS)), most_ns // (50 * MS)).map(lambda n: n * 50 * MS),
        st.integers(least_ns, most_ns),
    )


def short_ns(most_ms: int) -> Any:
    """A delay of the plumbing: none, whole milliseconds, or any."""
    return st.one_of(st.just(0), st.integers(0, most_ms).map(lambda n: n * MS), st.integers(0, most_ms * MS))


@st.composite
def services(draw: Any) -> dict[str, Any]:
    """What a pod does with requests."""
    cc = draw(some(1, 1, 1, 0, 2, 3, 4, 5, 8, 12))
    types = draw(some(1, 2))
    return {
        "container_concurrency": cc,
        "slots": draw(some(cc, 0, 1, 2, 3)),
        "timeout_ns": draw(or_else(time_ns(20 * S, 1 * S), 300 * S, 300 * S, 40 * S, 25 * S)),
        "first_byte_timeout_ns": (first_byte_ns := draw(or_else(time_ns(15 * S, 500 * MS), 0, 0, 0, 0, 10 * S))),
        "stream_idle_ns": draw(or_else(time_ns(5 * S, 500 * MS), 0)) if first_byte_ns else 0,
        "service_by_start": draw(FLAG),
        "slowdown": floats(*draw(some((), (), (1.0,), (1.0, 1.8), (1.0, 1.0, 2.6), (1.0, 1.3, 1.9, 3.3)))),
        "shared_by_node": draw(FLAG),
        "type_factor": floats(*draw(some((1.0, 1.7), (1.0, 0.5)) if types == 2 else some((1.0,), (1.3,)))),
        "cancel_stops_work": draw(FLAG),
        "drains_on_sigterm": draw(some(1, 0)),
        "stop_ns": draw(or_else(time_ns(5 * S), 0)),
    }


@st.composite
def autoscalers(draw: Any) -> dict[str, Any]:
    """What the autoscaler is told."""
    stable_s = draw(some(6, 7, 10, 12, 20, 60))
    panic_s = draw(some(1, 2, 3, 6))
    weighted = draw(some(0, 0, 1))
    total = draw(some(1.0, 2.0, 5.0, 10.0))
    least = draw(some(0, 0, 0, 1, 2, 3))
    most = draw(some(0, 1, 2, 3, 5, 8))
    return {
        "metric_rps": draw(some(0, 0, 1)),
        "max_scale_up_rate": draw(some(1000.0, 2.0, 1.5)),
        "max_scale_down_rate": draw(some(2.0, 1.1, 4.0)),
        "target_value": total * draw(some(1.0, 0.7, 0.5)),
        "total_value": total,
        "target_burst_capacity": draw(some(211.0, 0.0, 0.0, -1.0, 1.0, 3.0, 10.0)),
        "panic_threshold": draw(some(2.0, 1.1, 10.0)),
        "activation_scale": draw(some(1, 1, 2, 3)),
        "reachable": draw(some(1, 1, 1, 0)),
        "stable_window_s": stable_s,
        "panic_window_s": min(panic_s, stable_s),
        "weight_stable": smoothing_coefficient(stable_s) if weighted else 0.0,
        "weight_panic": smoothing_coefficient(min(panic_s, stable_s)) if weighted else 0.0,
        "scale_down_delay_s": draw(some(0.0, 0.0, 3.0, 5.0, 10.0)),
        "activator_capacity": draw(some(100.0, 1.0, 3.0)),
        "min_scale": least,
        "max_scale": most if most == 0 else max(least, most),
        "initial_scale": draw(some(1, 0, 2, 3)),
        "enable_scale_to_zero": draw(some(1, 1, 1, 0)),
        "grace_ns": draw(time_ns(10 * S, 1 * S)),
        "retention_ns": draw(or_else(time_ns(15 * S), 0, 0)),
        "progress_deadline_ns": draw(some(5 * S, 60 * S, 600 * S)),
        "always_schedulable": draw(some(0, 0, 1)),
        "restarts": draw(or_else(restarts(), *3 * [np.zeros((0, 2), dtype=np.int64)])),
        "silences": draw(or_else(silences(), *3 * [np.zeros((0, 3), dtype=np.int64)])),
    }


@st.composite
def restarts(draw: Any) -> np.ndarray:
    """When the autoscaler ends and is there again, up to three times."""
    rows, after_ns = [], 0
    for _ in range(draw(st.integers(1, 3))):
        ends_ns = after_ns + draw(time_ns(20 * S))
        back_ns = ends_ns + draw(time_ns(10 * S))
        rows.append([ends_ns, back_ns])
        after_ns = back_ns + 1
    return np.array(rows, dtype=np.int64)


@st.composite
def silences(draw: Any) -> np.ndarray:
    """When which activators are not connected."""
    begins_ns = draw(st.lists(time_ns(40 * S), min_size=1, max_size=3))
    rows = [[draw(some(-1, 0, 1)), begin_ns, begin_ns + draw(time_ns(15 * S))] for begin_ns in begins_ns]
    return np.array(rows, dtype=np.int64)


@st.composite
def probes(draw: Any) -> dict[str, Any]:
    """How readiness is found out."""
    return {
        "probe_period_ns": draw(some(1 * S, 2 * S, 3 * S, 10 * S)),
        "probe_timeout_ns": draw(some(1 * S, 2 * S)),
        "probe_initial_delay_ns": draw(some(0, 0, 1 * S, 3 * S)),
        "probe_successes": draw(some(1, 2, 3)),
        "aggressive": draw(FLAG),
        "early_use": draw(some(1, 0)),
        "startup_period_ns": draw(some(0, 0, 0, 0, 1 * S, 5 * S)),
        "startup_initial_delay_ns": draw(some(0, 0, 2 * S)),
        "startup_failures": draw(some(10, 3, 1)),
    }


@st.composite
def starts(draw: Any, types: int) -> dict[str, Any]:
    """How pods start, and where."""
    stages = draw(some(1, 0, 2, 3, 4))
    pools = draw(some(1, 1, 2, 3))

    def each(values: Any, count: int) -> Any:
        return [draw(values) for _ in range(count)]

    kinds = sorted(each(some(of.START, of.PULL, of.PROVISION), stages))
    return {
        "stage_kind": ints(*kinds),
        "stage_when": ints(*each(some(of.BEFORE_READY, of.BEFORE_READY, of.AFTER_READY, of.FIRST_REQUEST), stages)),
        "stage_at_a_time": ints(*each(some(0, 0, 1, 2), stages)),
        "stage_cached": ints(*each(FLAG, stages)),
        "stage_bytes": floats(*each(some(0.0, 0.0, 1e9, 2.5e9), stages)),
        "stage_bandwidth": floats(*each(some(1e9, 3e8), stages)),
        "crash_probability": draw(some(0.0, 0.0, 0.0, 0.0, 0.3, 0.9)),
        "restart_ns": draw(some(500 * MS, 1 * S, 3 * S)),
        "pool_type": ints(*each(st.integers(0, types - 1), pools)),
        "pool_slots": ints(*each(some(1, 2, 3), pools)),
        "pool_ready": ints(*each(some(0, 0, 1, 2), pools)),
        "pool_max": ints(*each(some(-1, -1, -1, 1, 2, 3), pools)),
        "pool_provisioned": ints(*each(FLAG, pools)),
        "pool_release_ns": ints(*each(or_else(time_ns(8 * S), 0), pools)),
    }


@st.composite
def networks(draw: Any) -> dict[str, Any]:
    """Activators, the ingress, and the plumbing's delays."""
    sessions = draw(some(0, 0, 1, 3))
    return {
        "scrape_failure": draw(some(0.0, 0.0, 0.0, 0.2, 0.6)),
        "activators": draw(some(1, 2, 3, 4)),
        "always_activator": draw(some(0, 0, 0, 1)),
        "ingress_policy": draw(some(of.ROUND_ROBIN, of.LEAST_REQUEST, of.RANDOM)),
        "ingress_workers": draw(some(1, 2, 3)),
        "affinity": draw(some(of.NO_AFFINITY, of.UPSTREAM_AFFINITY, of.POD_AFFINITY)),
        "affinity_timeout_ns": draw(some(0, 0, 2 * S, 5 * S)),
        "sessions": sessions,
        "cookies": draw(FLAG) if sessions else 0,
        "first_stat_ns": draw(short_ns(20)),
        "front_to_server_ns": draw(short_ns(3)),
        "hand_over_ns": draw(short_ns(3)),
        "server_to_client_ns": draw(short_ns(3)),
        "reconcile_ns": draw(short_ns(20)),
        "rollout_ns": draw(short_ns(20)),
        "sks_ns": draw(short_ns(200)),
        "endpoints_to_ingress_ns": draw(short_ns(2000)),
        "endpoints_to_activator_ns": draw(short_ns(2000)),
        "activator_probe_period_ns": draw(some(200 * MS, 50 * MS)),
        "queue_proxy_poll_ns": draw(some(50 * MS, 25 * MS)),
        "deletion_ns": draw(short_ns(50)),
        "clock_jitter_ns": draw(some(0, 0, 1 * MS, 50 * MS)),
        "api_jitter_ns": draw(some(0, 0, 10 * MS)),
        "wake_ns": draw(some(0, 0, 1 * MS, 30 * MS)),
    }


@st.composite
def loads(draw: Any) -> dict[str, Any]:
    """Who sends requests, and from which state on."""
    how = draw(some("closed", "timed", "open"))
    load: dict[str, Any] = {
        "closed": int(how != "open"),
        "workers": draw(some(5, 1, 13, 24)),
        "requests_per_worker": 0,
        "load_duration_ns": 0,
        "worker_period_ns": 0,
        "think_ns": 0,
        "client_timeout_ns": draw(or_else(time_ns(20 * S, 500 * MS), 0, 180 * S, 8 * S)),
    }
    if how == "open":
        load["requests"] = draw(some(20, 20, 40, 3, 0))
    else:
        each = draw(some(2, 1, 4))
        if how == "closed":
            load["requests_per_worker"] = each
        else:
            each = each * 6
            load["load_duration_ns"] = draw(time_ns(15 * S, 500 * MS))
        load["requests"] = load["workers"] * each
        load["worker_period_ns"] = draw(or_else(time_ns(2 * S, 100 * MS), 0, 0))
        load["think_ns"] = draw(or_else(time_ns(2 * S), 0, 0))
    load["start"] = draw(some(of.WARM, of.WARM, of.ZERO, of.ZERO, of.IDLED))
    load["start_for_ns"] = draw(time_ns(20 * S))
    load["horizon_ns"] = draw(or_else(time_ns(90 * S, 1 * S), 0, 0))
    load["until_ns"] = draw(or_else(time_ns(200 * S, 1 * S), 0, 0))
    return load


@st.composite
def random_numbers(draw: Any, p: Params, service_ns: int) -> tuple[Draws, str]:
    """The random numbers of a run, on a grid that is sometimes coarse enough for many events at once."""
    grid = draw(some(100 * MS, NS, MS, S))
    phases = draw(some(grid, NS, 500 * MS))
    service_ns = service_ns or draw(some(1 * S, 300 * MS, 3 * S, 10 * S, 40 * S))
    stage_ns = draw(some(1 * S, 0, 3 * S, 15 * S))
    classes = draw(some(1, 1, 2))
    begins = draw(some(0, 0, 1))
    replayed = draw(some(0, 0, 1))
    span_ns = draw(some(0, 2 * S, 20 * S, 60 * S))
    n, types, pods = max(p.requests, 1), len(p.type_factor), 48
    stages = len(p.stage_kind) * types

    def on(step_ns: int, stream: int, count: int, most_ns: int) -> Any:
        return (uniforms(p.seed, 0, stream, count) * (most_ns // step_ns + 1)).astype(np.int64) * step_ns

    def phase(stream: int, count: int, period_ns: int) -> Any:
        return on(phases, stream, count, period_ns) % period_ns

    pod = np.zeros((pods, of.STAGES + stages), dtype=np.int64)
    pod[:, of.ADDRESS] = (uniforms(p.seed, 0, 30, pods) * draw(some(1 << 31, 4))).astype(np.int64)
    pod[:, of.UID] = np.argsort(uniforms(p.seed, 0, 31, pods))
    pod[:, of.KUBELET_PHASE] = phase(32, pods, p.probe_period_ns)
    pod[:, of.QUEUE_PROXY_PHASE] = phase(33, pods, S)
    pod[:, of.POLL_PHASE] = phase(34, pods, p.queue_proxy_poll_ns)
    for column in range(stages):
        pod[:, of.STAGES + column] = on(grid, 40 + column, pods, 2 * stage_ns)
    once = [(1, 1, 2 * S), (2, 1, 2 * S), (3, 1, S), (4, 1, p.activator_probe_period_ns), (5, p.activators, S)]
    draws = Draws(
        phase=np.concatenate([phase(stream, count, period) for stream, count, period in once]),
        service=on(grid, 10, n * classes, 2 * service_ns).reshape(n, classes),
        klass=on(NS, 11, n, classes - 1) if classes > 1 else ints(),
        first_byte=on(grid, 12, n, 2 * service_ns) if begins else ints(),
        delay=on(draw(some(MS, NS)), 13, n, draw(some(0, 3 * MS))),
        sent=ints() if p.closed else np.sort(on(grid, 14, p.requests, span_ns)),
        own_service=on(grid, 15, n, 3 * S) if replayed else ints(),
        pod=pod,
        node=on(grid, 16, 16 * len(p.pool_type), 10 * S).reshape(16, len(p.pool_type)),
        key=chance_key(p.seed, 0),
        load_phase_ns=draw(some(-1, -1, 0, 1 * S, 1_300 * MS)),
        slowdown=draw(some(floats(), 1.0 + 1.7 * (p.slowdown - 1.0))),
    )
    shown = f"grid {grid}, phases {phases}, service {service_ns}, stages {stage_ns}, classes {classes}, span {span_ns}"
    return draws, shown


QUICK_STARTS = {
    name: getattr(PLAIN, name) for name in PLAIN._fields if name.startswith(("stage_", "pool_", "probe_", "startup_"))
}
"""Pods that start in one stage, on instances of their own, found out about once a second."""

DYING = {
    **QUICK_STARTS,
    "container_concurrency": 1,
    "slots": 1,
    "drains_on_sigterm": 0,
    "timeout_ns": 300 * S,
    "first_byte_timeout_ns": 0,
    "stream_idle_ns": 0,
    "client_timeout_ns": 0,
    "target_value": 100.0,
    "activation_scale": 1,
    "reachable": 1,
    "initial_scale": 3,
    "min_scale": 0,
    "max_scale": 0,
    "crash_probability": 0.0,
    "enable_scale_to_zero": 1,
    "closed": 0,
    "requests": 20,
    "horizon_ns": 0,
    "start": of.ZERO,
    "start_for_ns": 5 * S,
}
"""Pods that are asked to go while they still have work, and do not wait for it."""

CROWDED = {
    "container_concurrency": 1,
    "timeout_ns": 300 * S,
    "first_byte_timeout_ns": 0,
    "stream_idle_ns": 0,
    "target_burst_capacity": 0.0,
    "min_scale": 1,
    "max_scale": 2,
    "initial_scale": 1,
    "crash_probability": 0.0,
    "always_activator": 0,
    "closed": 0,
    "requests": 40,
}
"""Many direct requests for few pods."""


POLICIES = some(
    np.zeros((0, 3), dtype=np.int64),
    np.array([[hpa.PODS, 2, 4 * S]]),
    np.array([[hpa.PODS, 1, 3 * S], [hpa.PERCENT, 100, 6 * S]]),
    np.array([[hpa.PERCENT, 30, 2 * S], [hpa.PODS, 4, 9 * S]]),
)
"""Limits of an HPA's changes."""


RULES = {
    # delays up, down and to zero [s], and the factors
    RAY_SERVE: (some(1.0, 0.0, 4.0), some(2.0, 0.0, 9.0), some(3.0, 0.0, 12.0), some(1.0, 0.5, 2.0),
                some(1.0, 0.5, 0.1)),
}  # fmt: skip
"""Settings of a rule of its own (``Params.rule``), by the autoscaler's code."""


@st.composite
def deployments(draw: Any, kind: int) -> dict[str, Any]:
    """Another autoscaler than Knative's, with pods of a plain Deployment; everything happens within seconds."""
    least = draw(some(0, 0, 1, 2))
    most = max(least, draw(some(3, 1, 6, 12)))
    has_behavior = draw(FLAG)
    policies = draw(POLICIES) if has_behavior else np.zeros((0, 3), dtype=np.int64)
    is_keda = kind in {of.KEDA, of.KEDA_HTTP}
    failures = draw(some(-1, 0, 2))
    idle = draw(some(-1, -1, 0)) if kind == of.KEDA and least > 0 else -1
    rests = least if idle < 0 else idle
    planes = {of.KEDA_HTTP: of.INTERCEPTOR, RAY_SERVE: of.ROUTER}
    metrics = {of.KEDA_HTTP: some(of.CONCURRENCY, of.RATE), RAY_SERVE: st.just(of.ONGOING)}
    of_pods = draw(FLAG) if kind == of.HPA else 0
    pod_metrics = some(of.CPU, of.CPU, of.CPU, of.CONCURRENCY, of.RATE, of.UTILIZATION)
    other = pod_metrics if of_pods else some(of.CONCURRENCY, of.RATE)
    metric = draw(metrics.get(kind, other))
    plane = {
        "data_plane": planes.get(kind, of.SERVICE),
        "always_activator": int(kind in planes),
        "activators": 1,
        "container_concurrency": draw(some(1, 2, 5)) if kind == RAY_SERVE else 0,
        "aggressive": 0,
        "early_use": 0,
        "affinity": of.NO_AFFINITY,
        "ingress_policy": of.RANDOM,
    }
    if kind == of.HPA and least > 0 and draw(FLAG):
        plane = {"data_plane": of.ACTIVATORS}  # Knative's class for an HPA
    return {
        "autoscaler": kind,
        # Knative's alone can restart, as `lower` says.
        "restarts": np.zeros((0, 2), dtype=np.int64),
        **plane,
        "grace_period_ns": draw(some(30 * S, 2 * S, 1)),
        "min_scale": rests,
        "enable_scale_to_zero": int(rests == 0),
        "initial_scale": draw(some(1, 0, 2, 4)),
        "grace_ns": draw(time_ns(10 * S, 1 * S)),
        "least": least,
        "most": most,
        "metric": metric,
        "of_pods": of_pods,
        "is_average": 1 if of_pods else draw(some(1, 1, 0)),
        "target_milli": draw(some(1000, 300, 2000, 10_000)) if metric != of.CPU else draw(some(80_000, 30_000)),
        "busy_cpu": draw(some(1.0, 0.6)),
        "scrape_ns": draw(some(2 * S, 500 * MS, 5 * S, 1_700 * MS)),
        "window_scrapes": draw(some(1, 2, 5)),
        "adapter_ns": draw(some(0, 0, 1 * S, 6 * S)),
        "sync_ns": draw(some(3 * S, 1 * S, 15 * S, 2_300 * MS)),
        "has_behavior": has_behavior,
        "up_window_ns": draw(some(0, 0, 7 * S)) if has_behavior else 0,
        "up_select": draw(some(hpa.MAX, hpa.MIN, hpa.DISABLED)),
        "up_policies": policies,
        "down_window_ns": draw(some(5 * S, 0, 20 * S)),
        "down_select": draw(some(hpa.MAX, hpa.MIN, hpa.DISABLED)),
        "down_policies": draw(POLICIES) if has_behavior else policies,
        "tolerance_up": draw(some(0.1, 0.0, 0.5)),
        "tolerance_down": draw(some(0.1, 0.0, 0.5)),
        "scale_to_zero": draw(some(1, 0)) if kind == of.HPA and not of_pods else 0,
        "poll_ns": draw(some(4 * S, 1 * S, 10 * S)),
        "idle": idle,
        "cooldown_ns": draw(some(5 * S, 0, 15 * S)),
        "initial_cooldown_ns": draw(some(0, 10 * S)),
        "activation": draw(some(0.0, 0.5)),
        "query_failure": draw(some(0.0, 0.0, 0.4)) if is_keda else 0.0,
        "fallback_failures": failures,
        "fallback_replicas": draw(some(2, 0, 5)),
        "fallback_behavior": draw(st.integers(0, 3)),
        "ring_window_ms": draw(some(10_000, 60_000, 3_500)),
        "ring_step_ms": draw(some(1000, 2000)),
        "queue_tick_ns": draw(some(500 * MS, 300 * MS)),
        "stream_ns": draw(some(200 * MS, 700 * MS)),
        "exact_rate": int(draw(FLAG)),
        "rule": floats(*(draw(number) for number in RULES.get(kind, ()))),
    }


@st.composite
def additions(draw: Any) -> dict[str, Any]:
    """Knative's autoscaler with spare pods, a schedule or a forecast, or with several of them."""
    extra: dict[str, Any] = {"spare": draw(some(1, 0, 3)), "max_scale": draw(some(0, 4))}
    if draw(FLAG):
        times = sorted(draw(st.lists(time_ns(60 * S, 1 * S), max_size=4)))
        rows = [[time, draw(some(0, 2, 5)), draw(some(schedule.UNBOUNDED, 5, 6))] for time in (0, *times)]
        extra["schedule"] = np.array(rows, dtype=np.int64)
    if draw(FLAG):
        slots, periods = 12, draw(some(2, 1, 4))
        extra |= {"looks_ahead": 1, "quantile": draw(some(0.95, 0.5, 1.0)), "ahead_ns": draw(time_ns(20 * S)),
                  "slot_ns": 5 * S, "period_ns": slots * 5 * S}  # fmt: skip
        extra["history"] = uniforms(draw(st.integers(0, 99)), 0, 99, slots * periods) * draw(some(3.0, 0.5, 8.0))
    return extra


KINDS = {**CODES, "additions": of.KPA}
"""Autoscalers beside Knative's own, and what it may have in addition."""


@st.composite
def runs(draw: Any, others: tuple[str, ...] = ()) -> Run:
    """One replication of any experiment; one in four has what makes rare answers likely.

    Args:
        draw: Given by hypothesis.
        others: Autoscalers to draw from; Knative's own if empty.
    """
    theme = draw(some({}, {}, {}, {}, {}, DYING, DYING, CROWDED))
    if others:
        kind = KINDS[draw(some(*others))]
        theme = {**theme, **draw(additions() if kind == of.KPA else deployments(kind))}
    service = draw(services())
    settings = {
        **service,
        **draw(autoscalers()),
        **draw(probes()),
        **draw(starts(len(service["type_factor"]))),
        **draw(networks()),
        **draw(loads()),
        "seed": draw(st.integers(0, 1 << 20)),
        **theme,
    }
    # A revision with nothing that could take its last pod away is watched for a while only.
    settings["stays"] = int(settings["min_scale"] > 0 or not settings["enable_scale_to_zero"])
    settings["stays"] |= int(bool(settings.get("spare")) or "schedule" in settings or "history" in settings)
    p = experiment(**settings)
    return Run(p, *draw(random_numbers(p, 40 * S if theme is DYING else 0)))
