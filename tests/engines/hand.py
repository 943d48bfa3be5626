"""Experiments written by hand in the engines' own terms, for tests of mechanisms."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kpasim.engines import outcome as out
from kpasim.engines import params as of
from kpasim.engines.draws import chance_key, uniforms
from kpasim.engines.outcome import Outcome
from kpasim.engines.params import Draws, Params
from kpasim.engines.tables import excess_burst_capacity

S = of.SECOND_NS
MS = 1_000_000


def ints(*values: int) -> np.ndarray:
    """An int64 array."""
    return np.array(values, dtype=np.int64)


def floats(*values: float) -> np.ndarray:
    """A float64 array."""
    return np.array(values, dtype=np.float64)


PLAIN = Params(
    container_concurrency=1,
    slots=1,
    timeout_ns=300 * S,
    first_byte_timeout_ns=0,
    stream_idle_ns=0,
    service_by_start=0,
    slowdown=floats(),
    shared_by_node=0,
    type_factor=floats(1.0),
    cancel_stops_work=0,
    drains_on_sigterm=1,
    stop_ns=0,
    metric_rps=0,
    max_scale_up_rate=1000.0,
    max_scale_down_rate=2.0,
    target_value=1.0,
    total_value=1.0,
    target_burst_capacity=211.0,
    panic_threshold=2.0,
    activation_scale=1,
    reachable=1,
    stable_window_s=60,
    panic_window_s=6,
    weight_stable=0.0,
    weight_panic=0.0,
    scale_down_delay_s=0.0,
    activator_capacity=100.0,
    min_scale=0,
    max_scale=10,
    initial_scale=1,
    enable_scale_to_zero=1,
    grace_ns=30 * S,
    retention_ns=0,
    progress_deadline_ns=600 * S,
    always_schedulable=0,
    probe_period_ns=1 * S,
    probe_timeout_ns=1 * S,
    probe_initial_delay_ns=0,
    probe_successes=1,
    aggressive=0,
    startup_period_ns=0,
    startup_initial_delay_ns=0,
    startup_failures=3,
    early_use=1,
    stage_kind=ints(of.START),
    stage_when=ints(of.BEFORE_READY),
    stage_at_a_time=ints(0),
    stage_cached=ints(0),
    stage_bytes=floats(0.0),
    stage_bandwidth=floats(1.0),
    crash_probability=0.0,
    restart_ns=10 * S,
    pool_type=ints(0),
    pool_slots=ints(1),
    pool_ready=ints(0),
    pool_max=ints(-1),
    pool_provisioned=ints(0),
    pool_release_ns=ints(0),
    scrape_failure=0.0,
    activators=1,
    always_activator=0,
    ingress_policy=of.ROUND_ROBIN,
    ingress_workers=1,
    affinity=of.NO_AFFINITY,
    affinity_timeout_ns=0,
    first_stat_ns=3 * MS,
    front_to_server_ns=0,
    hand_over_ns=0,
    server_to_client_ns=0,
    reconcile_ns=2 * MS,
    rollout_ns=4 * MS,
    sks_ns=50 * MS,
    endpoints_to_ingress_ns=50 * MS,
    endpoints_to_activator_ns=10 * MS,
    activator_probe_period_ns=200 * MS,
    queue_proxy_poll_ns=50 * MS,
    deletion_ns=8 * MS,
    closed=1,
    workers=5,
    requests_per_worker=10,
    load_duration_ns=0,
    worker_period_ns=0,
    think_ns=0,
    client_timeout_ns=180 * S,
    requests=50,
    sessions=0,
    cookies=0,
    start=of.WARM,
    start_for_ns=5 * S,
    horizon_ns=0,
    stays=0,
    seed=1,
)
"""One pod warm, five clients, one request at a time on each pod, target 1."""


def experiment(**changes: Any) -> Params:
    """``PLAIN`` with some settings changed."""
    return PLAIN._replace(**changes)


def draws(
    p: Params,
    *,
    service_s: float | Sequence[float] = 3.0,
    stages_s: Sequence[float] = (20.0,),
    sent_s: Sequence[float] = (),
    node_s: float = 0.0,
    replication: int = 0,
    pods: int = 64,
    spread: bool = False,
    **fixed: Any,
) -> Draws:
    """Draws for ``p``: given times, random phases.

    With ``spread`` the service, delay and stage times vary around what is given.
    """
    n = max(p.requests, 1)
    types = len(p.type_factor)

    def u(stream: int, count: int) -> np.ndarray:
        return uniforms(p.seed, replication, stream, count)

    service = np.broadcast_to(np.asarray(service_s, dtype=np.float64), (n,)) * 1e9
    delay = np.zeros(n, dtype=np.int64)
    stages = np.repeat(np.asarray(stages_s, dtype=np.float64), types)
    pod = np.zeros((pods, of.STAGES + len(stages)), dtype=np.int64)
    pod[:, of.ADDRESS] = u(6, pods) * (1 << 31)
    pod[:, of.UID] = u(7, pods) * (1 << 31)
    pod[:, of.KUBELET_PHASE] = u(8, pods) * p.probe_period_ns
    pod[:, of.QUEUE_PROXY_PHASE] = u(9, pods) * S
    pod[:, of.POLL_PHASE] = u(10, pods) * p.queue_proxy_poll_ns
    pod[:, of.STAGES :] = stages * 1e9
    if spread:
        service = service * (0.5 + u(1, n))
        delay = (u(4, n) * 3 * MS).astype(np.int64)
        for column in range(len(stages)):
            pod[:, of.STAGES + column] = stages[column] * 1e9 * (0.5 + u(20 + column, pods))
    phase = np.concatenate([u(0, 4) * [2 * S, 2 * S, S, 200 * MS], u(11, p.activators) * S]).astype(np.int64)
    made = Draws(
        phase=phase,
        service=service.astype(np.int64).reshape(n, 1),
        klass=ints(),
        first_byte=ints(),
        delay=delay,
        sent=(np.asarray(sent_s, dtype=np.float64) * 1e9).astype(np.int64),
        own_service=ints(),
        pod=pod,
        node=np.full((pods, len(p.pool_type)), int(node_s * S), dtype=np.int64),
        key=chance_key(p.seed, replication),
    )
    return made._replace(**fixed)


# Experiments that can be followed by hand: no delay in the plumbing, chosen phases, one row of facts for each request.

CALM = PLAIN._replace(
    first_stat_ns=0,
    reconcile_ns=0,
    rollout_ns=0,
    sks_ns=0,
    endpoints_to_ingress_ns=0,
    endpoints_to_activator_ns=0,
    deletion_ns=0,
    client_timeout_ns=0,
    start=of.ZERO,
)
"""``PLAIN`` without delays; the load begins ``start_for_ns`` after the creation of the revision, whatever its state."""


def clocks(
    *,
    wall_s: float = 0.0,
    tick_s: float = 1.5,
    scrape_s: float = 0.7,
    probe_s: float = 0.0,
    report_s: float = 0.3,
    activators: int = 4,
) -> np.ndarray:
    """Phases of the run: those of knative-kpa.md's worked example, unless said otherwise."""
    return (np.array([wall_s, tick_s, scrape_s, probe_s, *[report_s] * activators]) * 1e9).round().astype(np.int64)


class Story:
    """What one engine made of an experiment; times in seconds from the creation of the revision, None for never."""

    def __init__(self, outcome: Outcome, params: Params) -> None:
        self.outcome = outcome
        self.params = params

    @staticmethod
    def seconds(time_ns: int) -> float | None:
        """A time of the tables."""
        return None if time_ns == of.NEVER_NS else float(time_ns) / 1e9

    def of_requests(self, column: str) -> list[int]:
        """One column of the requests."""
        return [int(value) for value in self.outcome.requests[column]]

    @property
    def statuses(self) -> list[int]:
        """How each request ended."""
        return self.of_requests(out.STATUS)

    @property
    def served_by(self) -> list[int]:
        """The pod of each request, -1 for none."""
        return self.of_requests(out.POD)

    @property
    def begun(self) -> list[float | None]:
        """When the service of each request began."""
        return [self.seconds(value) for value in self.of_requests(out.BEGUN)]

    @property
    def sent(self) -> list[float | None]:
        """When each request was sent."""
        return [self.seconds(value) for value in self.of_requests(out.SENT)]

    @property
    def answered(self) -> list[float | None]:
        """When each request was answered, or given up."""
        return [self.seconds(value) for value in self.of_requests(out.RESPONSE)]

    @property
    def latencies(self) -> list[float]:
        """Time from sending to answer of each request [s]."""
        rows = self.outcome.requests
        return [float(value) / 1e9 for value in rows[out.RESPONSE] - rows[out.SENT]]

    def pods(self, column: int) -> list[float | None]:
        """A time of each pod."""
        return [self.seconds(int(value)) for value in self.outcome.pods[:, column]]

    @property
    def decisions(self) -> list[tuple[float, int]]:
        """Time and desired scale of each decision that changed it."""
        changes: list[tuple[float, int]] = []
        for row in self.outcome.ticks:
            if not changes or changes[-1][1] != row[out.DESIRED]:
                changes.append((float(row[out.TICK_T]) / 1e9, int(row[out.DESIRED])))
        return changes

    def tick(self, time_s: float) -> dict[str, Any]:
        """The decision taken at ``time_s``."""
        every = excess_burst_capacity(self.outcome.ticks, self.params)
        for row, excess in zip(self.outcome.ticks, every, strict=True):
            if float(row[out.TICK_T]) / 1e9 == time_s:
                return {
                    "desired": int(row[out.DESIRED]),
                    "panicking": bool(row[out.PANIC_MODE]),
                    "ready": int(row[out.READY_PODS]),
                    "poked": bool(row[out.POKED]),
                    "stable": float(row[out.STABLE]),
                    "panic": float(row[out.PANIC]),
                    "excess": float(excess),
                }
        raise AssertionError(f"no decision at {time_s} s, but at {self.outcome.ticks[out.TICK_T] / 1e9}")

    def changes(self, column: str) -> list[tuple[float, int]]:
        """Time and value of each change in a column of the scaling table."""
        found: list[tuple[float, int]] = []
        for row in self.outcome.scaling:
            if not found or found[-1][1] != row[column]:
                found.append((float(row[out.SCALING_T]) / 1e9, int(row[column])))
        return found

    @property
    def replicas(self) -> list[tuple[float, int]]:
        """Changes of the Deployment's replicas."""
        return self.changes(out.REPLICAS)


def by_hand(
    p: Params,
    *,
    address: Sequence[int] = (),
    uid: Sequence[int] = (),
    kubelet_s: float = 0.0,
    cut_s: float = 0.6,
    stage_times_s: Sequence[Sequence[float]] = (),
    **given: Any,
) -> Draws:
    """Draws with the phases of ``clocks`` and pods whose addresses and identities ascend in order of creation.

    Args:
        p: The experiment.
        address: Of the first pods.
        uid: Of the first pods; the lower one goes first where nothing else decides.
        kubelet_s: When the kubelet first probes a pod, after its containers started and the initial delay.
        cut_s: Phase of the queue-proxies' statistics.
        stage_times_s: Times of the stages of the first pods, where they differ.
        given: As of ``draws``.
    """
    made = draws(p, **{"phase": clocks(activators=p.activators), **given})
    count = len(made.pod)
    made.pod[:, of.ADDRESS] = [*address, *range(100, 100 + count - len(address))]
    made.pod[:, of.UID] = [*uid, *range(100, 100 + count - len(uid))]
    made.pod[:, of.KUBELET_PHASE] = round(kubelet_s * S)
    made.pod[:, of.QUEUE_PROXY_PHASE] = round(cut_s * S)
    made.pod[:, of.POLL_PHASE] = 0
    for pod, times_s in enumerate(stage_times_s):
        made.pod[pod, of.STAGES :] = [round(time_s * S) for time_s in times_s]
    return made
