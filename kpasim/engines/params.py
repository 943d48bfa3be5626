"""The experiment as an engine sees it: plain numbers and arrays, times in integer nanoseconds."""

from typing import NamedTuple

import numpy as np

from kpasim.arrays import Floats, Ints

SECOND_NS = 1_000_000_000
NEVER_NS = -(1 << 62)
FOREVER_NS = 1 << 62

# start states
WARM, IDLED, ZERO = 0, 1, 2
# ingress policies
ROUND_ROBIN, LEAST_REQUEST, RANDOM = 0, 1, 2
# session affinity
NO_AFFINITY, UPSTREAM_AFFINITY, POD_AFFINITY = 0, 1, 2
# what asks for pods; those with a rule of their own go on in model/autoscaler.py
KPA, HPA, KEDA, KEDA_HTTP = range(4)
# what carries requests: Knative's activators and queue-proxies, a Service of Kubernetes, the interceptor of KEDA's HTTP
# add-on, a handle of Ray Serve
ACTIVATORS, SERVICE, INTERCEPTOR, ROUTER = range(4)
# metrics of autoscalers that read what was scraped
CONCURRENCY, RATE, UTILIZATION, ONGOING, CPU = 0, 1, 2, 3, 4
# when a stage of a start happens
BEFORE_READY, AFTER_READY, FIRST_REQUEST = 0, 1, 2
# what a stage of a start is
PROVISION, PULL, START = 0, 1, 2

# Columns of Draws.pod; the stages follow, one column for each (stage, instance type).
ADDRESS, UID, KUBELET_PHASE, QUEUE_PROXY_PHASE, POLL_PHASE, STAGES = range(6)
AT_ONCE = -1
TICK_NS = 2 * SECOND_NS
"""Period of the decider's clock."""
# Columns of Draws.phase; one report phase for each activator follows.
WALL, TICK, SCRAPE, PROBE, REPORT = range(5)
# Columns of Params.restarts.
AWAY_NS, BACK_NS = range(2)
# Columns of Params.silences.
WHOSE, FROM_NS, UNTIL_NS = range(3)


class Params(NamedTuple):
    """One experiment in numbers. Booleans are 0 or 1, absent times are 0 unless said otherwise.

    Names follow Knative's settings. Lists over instance types, stages, pools or activators are arrays.
    """

    # the service
    container_concurrency: int
    slots: int
    """Requests the container works on at once; 0 is any number."""
    timeout_ns: int
    first_byte_timeout_ns: int
    """The smaller of responseStartTimeout and idleTimeout, 0 without either."""
    stream_idle_ns: int
    """How long after its first byte a streamed answer is cut: idleTimeout where its pieces come more rarely, else 0."""
    service_by_start: int
    slowdown: Floats
    """Relative duration with k requests sharing, at index k - 1; empty without contention. A replication may have other
    factors, see ``Draws.slowdown``."""
    shared_by_node: int
    type_factor: Floats
    """Relative service time of each instance type."""
    cancel_stops_work: int
    drains_on_sigterm: int
    stop_ns: int

    # the autoscaler
    metric_rps: int
    max_scale_up_rate: float
    max_scale_down_rate: float
    target_value: float
    total_value: float
    target_burst_capacity: float
    panic_threshold: float
    activation_scale: int
    reachable: int
    stable_window_s: int
    panic_window_s: int
    weight_stable: float
    """Smoothing coefficient of the stable window; 0 for the linear average."""
    weight_panic: float
    scale_down_delay_s: float
    activator_capacity: float
    min_scale: int
    max_scale: int
    initial_scale: int
    enable_scale_to_zero: int
    grace_ns: int
    retention_ns: int
    progress_deadline_ns: int
    always_schedulable: int
    """A pod that cannot be scheduled leaves the revision available."""

    # readiness
    probe_period_ns: int
    """Of the kubelet."""
    probe_timeout_ns: int
    probe_initial_delay_ns: int
    probe_successes: int
    aggressive: int
    """Queue-proxy polls the container itself because the manifest gives no period."""
    startup_period_ns: int
    """Of the kubelet's startup probe; 0 without one."""
    startup_initial_delay_ns: int
    startup_failures: int
    """How many startup probes may fail before the container is started again."""
    early_use: int
    """The activator may use a pod before Kubernetes calls it ready."""

    # cold start
    stage_kind: Ints
    stage_when: Ints
    stage_at_a_time: Ints
    stage_cached: Ints
    stage_bytes: Floats
    """Bytes of a stage that shares bandwidth, 0 for one with a drawn time."""
    stage_bandwidth: Floats
    """Bytes per second that all pods in that stage share."""
    crash_probability: float
    restart_ns: int

    # the cluster
    pool_type: Ints
    """Instance type of each pool, in the order in which pools are tried."""
    pool_slots: Ints
    """Pods that fit on one node."""
    pool_ready: Ints
    """Nodes that are there from the beginning."""
    pool_max: Ints
    """Most nodes at a time; -1 is any number."""
    pool_provisioned: Ints
    """Whether a new node takes the drawn provisioning time (else it is there at once)."""
    pool_release_ns: Ints
    """How long an added node stays without a pod; 0 for one that ends with its pod."""
    scrape_failure: float
    activators: int

    # the ingress
    always_activator: int
    ingress_policy: int
    ingress_workers: int
    affinity: int
    affinity_timeout_ns: int

    # delays
    first_stat_ns: int
    front_to_server_ns: int
    hand_over_ns: int
    server_to_client_ns: int
    reconcile_ns: int
    rollout_ns: int
    sks_ns: int
    endpoints_to_ingress_ns: int
    endpoints_to_activator_ns: int
    activator_probe_period_ns: int
    queue_proxy_poll_ns: int
    deletion_ns: int

    # the load
    closed: int
    workers: int
    requests_per_worker: int
    """Of the closed loop; 0 with a duration."""
    load_duration_ns: int
    worker_period_ns: int
    """1 / -q; 0 without."""
    think_ns: int
    """How long a worker of a closed loop waits after each response."""
    client_timeout_ns: int
    requests: int
    """Rows that the tables need at most."""
    sessions: int
    cookies: int

    # beginning and end
    start: int
    start_for_ns: int
    horizon_ns: int
    """From the start of the load; 0 for the rule of the documentation."""
    stays: int
    """Something stays for ever: pods do not go away by themselves."""
    seed: int

    # a busy machine: medians of what happens late, see clock.late
    clock_jitter_ns: int = 0
    """Of ticks, scrapes and reports."""
    api_jitter_ns: int = 0
    """Of the PodAutoscaler's reconciles, beside ``reconcile_ns``."""
    status_jitter_ns: int = 0
    """Of the writing of its status after a reconcile."""
    wake_ns: int = 0
    """Of a waiting request that is woken because a slot is free."""

    until_ns: int = 0
    """How long after the start of the load a run without a horizon goes on at least."""

    # another autoscaler than Knative's, or more than it
    autoscaler: int = KPA
    """What asks for pods."""
    data_plane: int = ACTIVATORS
    """What carries requests."""
    spare: int = 0
    """Pods added to each answer of Knative's autoscaler."""
    grace_period_ns: int = 0
    """terminationGracePeriodSeconds; 0 for the revision's timeout, as Knative writes it."""

    # an HPA, and KEDA with its HPA
    least: int = 0
    """minReplicas, or KEDA's minReplicaCount."""
    most: int = 1
    """maxReplicas."""
    metric: int = CONCURRENCY
    of_pods: int = 0
    """The metric is of type Pods, read from each pod; else it is one number for all, read at the gateway."""
    is_average: int = 1
    """The target is an AverageValue."""
    target_milli: int = 1000
    """In thousandths; of CPU in thousandths of a percent of the request."""
    busy_cpu: float = 1.0
    """Share of its CPU request that a container uses while it works."""
    scrape_ns: int = SECOND_NS
    """Period of the scrapes of the metric."""
    window_scrapes: int = 1
    """Scrapes that the metric is averaged over."""
    adapter_ns: int = 0
    """Time from a scrape until it can be read."""
    sync_ns: int = 15 * SECOND_NS
    """Time from one decision to the next."""
    has_behavior: int = 0
    up_window_ns: int = 0
    up_select: int = 0
    up_policies: Ints = np.zeros((0, 3), dtype=np.int64)
    """Rows of ``hpa.Rules.policies``."""
    down_window_ns: int = 0
    down_select: int = 0
    down_policies: Ints = np.zeros((0, 3), dtype=np.int64)
    tolerance_up: float = 0.1
    tolerance_down: float = 0.1
    scale_to_zero: int = 0
    """The gate HPAScaleToZero is on, and the metric is not of type Pods."""
    poll_ns: int = 30 * SECOND_NS
    """Time from one poll of KEDA to the next."""
    idle: int = -1
    """idleReplicaCount, -1 without."""
    cooldown_ns: int = 0
    initial_cooldown_ns: int = 0
    activation: float = 0.0
    """The trigger is active above this."""
    query_failure: float = 0.0
    """Share of queries that fail."""
    fallback_failures: int = -1
    """failureThreshold of the fallback, -1 without."""
    fallback_replicas: int = 0
    fallback_behavior: int = 0

    # the scaler of KEDA's HTTP add-on
    ring_window_ms: int = 60_000
    """Window of the request rate."""
    ring_step_ms: int = 1000
    """Length of its buckets."""
    queue_tick_ns: int = SECOND_NS // 2
    """Time from one reading of the interceptor to the next."""
    stream_ns: int = SECOND_NS // 5
    """Time from one message to KEDA to the next."""
    exact_rate: int = 0
    """A rate is reported as it is, not rounded up."""

    # Ray Serve, and any other with a rule and a clock of its own
    rule: Floats = np.zeros(0, dtype=np.float64)
    """Settings of the rule, in the order in which its class gives them (``Deployed.deployment``); times in seconds."""

    restarts: Ints = np.zeros((0, 2), dtype=np.int64)
    """When Knative's autoscaler ends and when it is there again [ns since the start of the load], a row for each."""
    silences: Ints = np.zeros((0, 3), dtype=np.int64)
    """From when to when nothing that an activator (-1 for all) says is heard [ns since the start of the load]."""

    # Knative's autoscaler with more
    schedule: Ints = np.zeros((0, 3), dtype=np.int64)
    """Bounds of the pods from a time since the start of the load on, see ``schedule.changes``."""
    looks_ahead: int = 0
    quantile: float = 1.0
    ahead_ns: int = 0
    """How far a forecast is ahead."""
    slot_ns: int = 60 * SECOND_NS
    """Steps of time that a forecast compares."""
    period_ns: int = 86_400 * SECOND_NS
    """Time after which the load repeats."""
    history: Floats = np.zeros(0, dtype=np.float64)
    """Demand in each slot of the earlier periods, one period after the other."""


class Draws(NamedTuple):
    """The random numbers of one replication, indexed by what they belong to."""

    phase: Ints
    service: Ints
    """Shape ``(requests, classes)`` [ns]."""
    klass: Ints
    """Class of each request; empty with a single class."""
    first_byte: Ints
    """Time to the first byte after the start of service, per service draw; empty when it comes at the end."""
    delay: Ints
    """Client to front, per request."""
    sent: Ints
    """Send times of an open loop from the start of the load, ascending; empty for a closed loop."""
    own_service: Ints
    """Service times that came with a replayed trace, 0 where a request has none; empty without."""
    pod: Ints
    """Shape ``(pods, STAGES + stages * types)``."""
    node: Ints
    """Provisioning time of each added node, shape ``(nodes, pools)``."""
    key: int
    """Key of the draws that are made on the way (see draws.chance)."""
    load_phase_ns: int = -1
    """The load begins at the first time with this phase of the ticks' period; -1 for at once."""
    slowdown: Floats = np.zeros(0)
    """Contention factors that were drawn together with the service times, as many as ``Params.slowdown`` has; empty
    where those of ``Params`` hold."""


class Capacity(NamedTuple):
    """How much room the arrays of one replication have. Engines say when it is too little."""

    requests: int
    pods: int
    nodes: int
    ticks: int
    scalings: int
    events: int
