"""The state of one run, by name: what there is of each thing, and what is known of it.

Handlers of events read and change a ``Simulation``. The reference engine gives them plain Python objects and lists; in
compiled code the same names stand for places in arrays, see ``compiled/arrays.py``.
"""

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, get_origin, get_type_hints

from kpasim.engines import counts
from kpasim.engines.outcome import NO_DESIRED
from kpasim.engines.params import FOREVER_NS, HPA, KEDA, KEDA_HTTP, KPA, NEVER_NS, Capacity, Draws, Params
from kpasim.policy import accounting, burst, delay, scaler, scraping

WIDTH_BITS = 5
"""Two to this power bits are kept in each whole number, and as many pods in each block of a view."""
NOTHING = -1
"""No request, pod, node or activator."""

# Why a run had to stop half-way: it needs more capacity, or more random numbers to go on.
NO_FAULT, MORE_EVENTS, MORE_PODS, MORE_NODES, MORE_TICKS, MORE_SCALINGS, MORE_REQUESTS, MORE_DRAWS = range(8)
SHORT_OF = {MORE_PODS: "pods", MORE_NODES: "nodes", MORE_REQUESTS: "requests"}
"""What a run that stopped lacks, where only its caller can give it."""

# Where a request is, kept as its status until it has ended.
ON_ITS_WAY, AT_FRONT, IN_QUEUE, RUNNING, WOKEN, IN_CONTAINER = -10, -11, -12, -13, -14, -15
ENDED_FROM = -1
"""Statuses from here up belong to requests that have ended."""
NOT_ASKED = -2
"""No place of a view, nor the one before the first."""
EACH = -1
"""Mask of a row where each entity has a row of its own."""
ORPHANED = -3
"""In ``Link.next``: the container still works on a request whose client has gone."""

OK, CLIENT_TIMEOUT, BAD_GATEWAY, QUEUE_FULL, TIMED_OUT, CUT_OFF = 200, 0, 502, 503, 504, -1
"""How a request ends."""
NO_ENDPOINT = 503
"""The same status as of a full queue: no pod was there, and nobody holds requests."""

STARTING, SERVING, QUIET, DRAINING, STOPPING, GONE = range(6)
"""Phases of a pod's life."""

NOT_WAITING, FOR_TURN, FOR_PULL, FOR_NODE = range(4)
"""What a pod waits for before it can go on with its start."""

AT_PROXY, AT_CONTAINER, AT_WORK = range(3)
"""Queues of a pod, see ``Simulation.pod_queues``."""
POD_QUEUES = 4
"""With one that stays empty those of a pod fill a line of the processor's cache."""

# Rows of Simulation.late_ns, a row for each thing that is late; each activator has two more.
(LATE_TICKS, LATE_SCRAPES, LATE_RECONCILES, LATE_STATUSES, LATE_ACTIVATOR) = range(5)
LATE_AT_ONCE = 64
"""Jitters worked out at once."""
RULE_STATE = 8
"""Numbers that a rule can remember, see ``Simulation.rule_state``."""
NEAR = 64
"""Events that the compiled engine keeps in their order at most."""
DIGIT_BITS = 6
"""Its buckets are for digits of so many bits."""
LEVELS = 11
"""Digits in any time [ns]."""
TIED = LEVELS << DIGIT_BITS
"""The bucket behind those of all digits: events of one moment."""
PAGE_BITS = 5
"""The pages of a bucket hold so many events, in bits."""


class Entity:
    """A thing with named numbers: an object in Python, a row of an array in compiled code."""

    __slots__ = ()

    def reset(self) -> None:
        """Make every number what it is in a new one."""
        self.__init__()  # type: ignore[misc]


@dataclass(slots=True)
class Core(Entity):
    """The run as a whole.

    Attributes:
        now_ns: Time from the creation of the revision.
        load_ns: When the load starts; ``FOREVER_NS`` until that is settled.
        end_ns: When the run ends, as far as that is known.
        clock_ns: When the first of an activator's report, a scrape and a tick is due.
        fault: Why the run had to stop half-way.
    """

    now_ns: int = 0
    load_ns: int = FOREVER_NS
    end_ns: int = FOREVER_NS
    clock_ns: int = FOREVER_NS
    finished: int = 0
    fault: int = NO_FAULT


@dataclass(slots=True)
class Clients(Entity):
    """Those who send requests.

    Attributes:
        sent: Requests sent.
        live: Requests that have not ended.
        working: Workers of a closed loop that have not ended.
        starts: How often service of a request began.
        rows: Requests that there are rows for.
        mask: ``request & mask`` is the row of a request; -1 where each has a row of its own.
        oldest: No live request was sent before this one.
        ok: Requests that ended with 200.
        errors: Requests that ended otherwise; of these ``timed_out`` at the client, ``with_502`` and so on.
        abandoned: Of these, those that a container goes on with, or would have.
        latency_sum_ns: Of the successful requests, where no request is kept.
    """

    sent: int = 0
    live: int = 0
    last_end_ns: int = 0
    working: int = 0
    starts: int = 0
    rows: int = 0
    mask: int = -1
    oldest: int = 0
    next_send_ns: int = FOREVER_NS
    next_give_up_ns: int = FOREVER_NS
    ok: int = 0
    errors: int = 0
    timed_out: int = 0
    with_502: int = 0
    with_503: int = 0
    with_504: int = 0
    abandoned: int = 0
    latency_sum_ns: int = 0
    latency_min_ns: int = FOREVER_NS
    latency_max_ns: int = 0


@dataclass(slots=True)
class Ingress(Entity):
    """The gateway: what it sees of the endpoints.

    Attributes:
        mode: Whether it sees activators or pods as the public endpoints.
        activators: Activators in the path.
        activator_turn: Whose turn is next in round robin.
        direct_inside: Requests in pods that came past the activators.
        direct_last_ns: When such a request last ended.
        age_head: Place in ``age`` of the request that has been here for longest.
        age_tail: Place in ``age`` of the next request to arrive.
        age_mask: ``place & age_mask`` is where a place of ``age`` is kept.
        next_timeout_ns: When timeoutSeconds are over for that request.
        next_report_ns: When the next activator reports.
    """

    mode: int = burst.PROXY
    activators: int = 1
    activator_turn: int = 0
    direct_inside: int = 0
    direct_last_ns: int = NEVER_NS
    age_head: int = 0
    age_tail: int = 0
    age_mask: int = 0
    next_timeout_ns: int = FOREVER_NS
    next_report_ns: int = FOREVER_NS


@dataclass(slots=True)
class Revision(Entity):
    """One revision: its Deployment, PodAutoscaler and ServerlessService.

    Attributes:
        pods: Rows of pods in use.
        folded: Pods that were dropped from the rows after they had gone.
        alive: Pods that are not gone.
        listed: Pods in ``alive_pods``, from which those that are gone are taken out now and then; see ``views.alive``.
        leaving: Pods that are not gone and have been asked to go.
        replicas: Of the Deployment.
        ready_pods: Ready pods that are not terminating.
        ready_ns: When a pod became ready last.
        ready_created_ns: When that pod was created; ``ready_restarts`` are its restarts.
        ready_mixed: Whether other pods that differ in these became ready at that moment.
        mixed: Pods that became ready after such another one at the same moment.
        unprobed: Pods in ``unprobed``: they listen, and the endpoints have not changed since.
        rolled_out: Whether the Deployment has once had all its pods ready, after which it has no deadline.
        progressed_ns: When it last came nearer to that.
        crashed: Whether a container failed since a pod became ready.
        status_desired: Desired scale in the PodAutoscaler's status; ``shown_desired`` once it is written.
        active: Status of the condition Active, with ``reason`` and ``active_since_ns``.
        initialized: Whether initial-scale has been reached.
        reconcile_due_ns: When a reconcile is due because something changed.
        requeue_due_ns: When one is due because an earlier one asked for it.
        probing_until_ns: How long the activator is probed for.
        reconciles: Reconciles asked for.
        status_writes: Times the status was written.
        seen_active: Status as it was last written, as are the other three.
        asked_mode: Mode of the ServerlessService's spec, with ``wanted_activators``.
        public_mode: What its public endpoints hold.
        backed: Whether activators back it, since ``backed_since_ns``.
        sks_due_ns: When it is reconciled.
    """

    pods: int = 0
    folded: int = 0
    alive: int = 0
    listed: int = 0
    leaving: int = 0
    replicas: int = 0
    ready_pods: int = 0
    ready_ns: int = NEVER_NS
    ready_created_ns: int = NEVER_NS
    ready_restarts: int = 0
    ready_mixed: int = 0
    mixed: int = 0
    unprobed: int = 0
    rolled_out: int = 0
    progressed_ns: int = 0
    crashed: int = 0
    status_desired: int = NO_DESIRED
    shown_desired: int = NO_DESIRED
    active: int = scaler.ABSENT
    reason: int = scaler.NO_REASON
    active_since_ns: int = 0
    initialized: int = 0
    reconcile_due_ns: int = FOREVER_NS
    requeue_due_ns: int = FOREVER_NS
    probing_until_ns: int = NEVER_NS
    reconciles: int = 0
    status_writes: int = 0
    seen_active: int = 0
    seen_reason: int = 0
    seen_initialized: int = 0
    seen_desired: int = NO_DESIRED - 1
    asked_mode: int = burst.PROXY
    wanted_activators: int = burst.MIN_ACTIVATORS
    public_mode: int = burst.PROXY
    backed: int = 1
    backed_since_ns: int = 0
    sks_due_ns: int = FOREVER_NS


@dataclass(slots=True)
class Autoscaler(Entity):
    """Metric collection and decider of the revision; its clocks sleep while there is nothing to see.

    Attributes:
        desired: The latest valid decision.
        excess: Excess burst capacity of that decision.
        next_tick_ns: When it decides next, ``FOREVER_NS`` while it sleeps.
        next_scrape_ns: When it reads the queue-proxies next, or the metric of an HPA is scraped.
        first_sample: Number of the first scrape of such a metric.
        queries: Queries to the source of such a metric.
        reading: Latest reading of the interceptor by the scaler of KEDA's HTTP add-on.
        restarts: How often Knative's autoscaler has ended.
        back_ns: From when on it is there again.
    """

    desired: int = 0
    excess: float = 0.0
    next_tick_ns: int = FOREVER_NS
    next_scrape_ns: int = FOREVER_NS
    first_sample: int = NOTHING
    queries: int = 0
    reading: float = 0.0
    restarts: int = 0
    back_ns: int = 0


@dataclass(slots=True)
class Cluster(Entity):
    """Machines, and the pods that wait for one or for a turn.

    Attributes:
        nodes: Rows of nodes in use.
        added: Nodes added since the beginning.
        first_node: No node before this one is left.
        movers: Pods in ``movers`` that can go on with their start.
    """

    nodes: int = 0
    added: int = 0
    first_node: int = 0
    movers: int = 0


@dataclass(slots=True)
class Recorder(Entity):
    """The tables that a run leaves.

    Attributes:
        ticks: Rows of ``ticks`` in use, of ``tick_rows``.
        scalings: Rows of ``scaling`` in use, of ``scaling_rows``; ``desired`` to ``mode`` are those of the latest row.
        statistics_only: Whether no request, tick or change is kept.
    """

    ticks: int = 0
    scalings: int = 0
    tick_rows: int = 0
    scaling_rows: int = 0
    desired: int = NO_DESIRED - 1
    ready: int = 0
    replicas: int = 0
    active: int = 0
    mode: int = 0
    statistics_only: int = 0


@dataclass(slots=True)
class EventQueue(Entity):
    """The fast event queue of the compiled engine.

    Attributes:
        near: Events in ``near``, which come before all others.
        size: Events on the heap, which come before those in buckets.
        tied: Events of one moment that have left their bucket, in order from row ``next_tied`` of ``later`` on. They,
            too, come before those in buckets.
        levels: Bit of each level with an event in one of its buckets. These events come after ``until_ns``, which is
            ``FOREVER_NS`` where none of the three are left.
        pages: Pages of ``later`` that were used; ``spare`` is the first of those to be used again.
        put_back: Last row of ``later`` that a pause of the run has filled, from the first row on.
    """

    near: int = 0
    size: int = 0
    tied: int = 0
    next_tied: int = NOTHING
    until_ns: int = FOREVER_NS
    levels: int = 0
    pages: int = 0
    spare: int = NOTHING
    put_back: int = NOTHING


@dataclass(slots=True)
class Pod(Entity):
    """One pod. The fields up to ``provisioned_ns`` are the columns of ``Outcome.pods``.

    Requests ask for those from ``busy_ns`` to ``stats_from_ns``, which stand together for that.

    Attributes:
        provisioned_ns: When the last stage of its provisioning was over.
        terminating: Whether it has been asked to go, at ``delete_requested_ns``.
        stage: Stage of its start; ``stage_begun`` and ``stage_due_ns`` are of that one.
        began_ns: When its container started, the last time.
        waits: Whether it waits for its turn in a stage, or for another pod's pull on its node.
        in_transfer: Whether it shares a stage's bandwidth.
        serves_from_ns: When its container begins to work.
        first_extra_ns: What its first request takes longer.
        orphans: Requests that its container works on although their client has gone.
        dead: Requests that wait in its container although their client has gone.
        direct_inside: Requests here that came past the activators.
        stats_from_ns: Up to when its statistics have been published.
        broken_ns: When its container stopped before its requests had ended; 0 if it did not.
        known: Bit of each activator that has found it.
        mixed: Whether it is one of ``Revision.mixed``.
        arrivals: Requests that reached it.
        first_sample: Number of the first scrape of an HPA's metric that read it.
    """

    created_ns: int = 0
    scheduled_ns: int = NEVER_NS
    pull_ns: int = NEVER_NS
    containers_ns: int = NEVER_NS
    listening_ns: int = NEVER_NS
    usable_ns: int = NEVER_NS
    ready_ns: int = NEVER_NS
    delete_requested_ns: int = NEVER_NS
    gone_ns: int = NEVER_NS
    busy_ns: int = 0
    node: int = NOTHING
    type: int = NOTHING
    address: int = 0
    restarts: int = 0
    provisioned_ns: int = NEVER_NS
    phase: int = STARTING
    serves_from_ns: int = NEVER_NS
    first_extra_ns: int = 0
    busy_since_ns: int = NEVER_NS
    orphans: int = 0
    dead: int = 0
    last_arrival_ns: int = NEVER_NS
    broken_ns: int = 0
    arrivals: int = 0
    direct_inside: int = 0
    stats_from_ns: int = NEVER_NS
    ready: int = 0
    terminating: int = 0
    stage: int = 0
    stage_begun: int = 0
    stage_due_ns: int = FOREVER_NS
    restarting: int = 0
    began_ns: int = 0
    waits: int = NOT_WAITING
    in_transfer: int = 0
    drain_due_ns: int = FOREVER_NS
    known: int = 0
    mixed: int = 0
    first_sample: int = NOTHING


@dataclass(slots=True)
class Node(Entity):
    """One node. The fields up to ``added`` are the columns of ``Outcome.nodes``.

    Attributes:
        due_ns: When it is ready, or leaves.
        pods: Pods placed on it.
        images: Bit of each cached stage whose image is here.
        puller: The pod that is pulling one now.
        candidates: Its pods that a scale-down may remove.
    """

    pool: int = 0
    type: int = 0
    created_ns: int = 0
    ready_ns: int = NEVER_NS
    gone_ns: int = NEVER_NS
    added: int = 0
    due_ns: int = FOREVER_NS
    pods: int = 0
    images: int = 0
    puller: int = NOTHING
    candidates: int = 0


@dataclass(slots=True)
class Activator(Entity):
    """One activator's share of the revision.

    Attributes:
        running: Requests it has with pods.
        capacity: Requests it may have with pods.
        turn: Whose turn is next in round robin.
        assigned: Pods of its slice: ``in_row`` of them, ``first`` others before them, and perhaps one more, ``extra``.
        begin: Position of the first of its slice in its view; ``end`` is behind the last of those in a row.
        waking: Requests that were woken for a free slot and have not taken it yet.
        wakes: Requests woken so far.
        next_report_ns: When it reports next; ``FOREVER_NS`` while it has nothing to report.
    """

    running: int = 0
    capacity: int = 0
    turn: int = 0
    assigned: int = 0
    first: int = 0
    in_row: int = 0
    begin: int = 0
    end: int = 0
    extra: int = NOTHING
    waking: int = 0
    wakes: int = 0
    next_report_ns: int = FOREVER_NS


@dataclass(slots=True)
class Request(Entity):
    """One request; a row of ``Outcome.requests``. Until it has ended its status says where it is."""

    sent_ns: int = 0
    response_ns: int = NEVER_NS
    service_ns: int = 0
    arrived_ns: int = NEVER_NS
    begun_ns: int = NEVER_NS
    done_ns: int = NEVER_NS
    pod: int = NOTHING
    status: int = ON_ITS_WAY
    activator: int = NOTHING


@dataclass(slots=True)
class Tick(Entity):
    """One decision; a row of ``Outcome.ticks``."""

    t_ns: int = 0
    stable: float = 0.0
    panic: float = 0.0
    ready_pods: int = 0
    desired: int = 0
    rule: int = 0
    panic_mode: int = 0
    poked: int = 0


@dataclass(slots=True)
class Change(Entity):
    """One change of an object; a row of ``Outcome.scaling``."""

    t_ns: int = 0
    desired: int = 0
    ready: int = 0
    replicas: int = 0
    active: int = 0
    mode: int = 0


@dataclass(slots=True)
class Queue(Entity):
    """Requests or pods, first come first served."""

    head: int = NOTHING
    tail: int = NOTHING
    count: int = 0


@dataclass(slots=True)
class View(Entity):
    """Pods that an activator has found or that the gateway sees, see ``views``.

    Attributes:
        asked: The place that was asked for last, ``NOT_ASKED`` where pods came or went since.
        answer: Position of that place.
    """

    count: int = 0
    blocks: int = 1
    asked: int = NOT_ASKED
    answer: int = 0


@dataclass(slots=True)
class Link(Entity):
    """Neighbours of a request or a pod in whatever queue it stands."""

    next: int = NOTHING
    previous: int = NOTHING


@dataclass(slots=True)
class Share(Entity):
    """A member of those that share something, in their heap; see ``sharing``.

    Attributes:
        mark_ns: It is done when ``Shared.done_ns`` is this.
        child: First of those directly below it.
        next: Next of those below the same one.
        previous: The one before it, or, for the first, the one above.
    """

    mark_ns: int = 0
    child: int = NOTHING
    next: int = NOTHING
    previous: int = NOTHING


@dataclass(slots=True)
class Shared(Entity):
    """The GPU of a pod or of a node, or the connection of a stage.

    Attributes:
        root: Root of the heap of those that share it.
        count: How many they are.
        since_ns: When they last changed.
        done_ns: Work at full speed that each of them got done until then, had it been there from the beginning.
        due: The one whose end is scheduled.
    """

    root: int = NOTHING
    count: int = 0
    since_ns: int = 0
    done_ns: int = 0
    due: int = NOTHING


@dataclass(slots=True)
class Stage(Entity):
    """A stage of the start, and how many pods are in it where that is limited."""

    busy: int = 0


@dataclass(slots=True)
class Worker(Entity):
    """A worker of a closed loop: requests it has sent, and the tick of its ticker."""

    sent: int = 0
    ticks: int = 0


@dataclass(slots=True)
class Session(Entity):
    """A client's cookie: where it leads, and when it was set."""

    pod: int = NOTHING
    activator: int = NOTHING
    answered_ns: int = NEVER_NS


class Field(NamedTuple):
    """What a name of ``Simulation`` stands for.

    Attributes:
        kind: An ``Entity``, ``int``, ``float``, or ``"int32"`` for whole numbers that take half the space.
        size: Rows and columns, as numbers or as names of ``sizes``; empty for what there is one of.
    """

    kind: Any
    size: tuple[int | str, ...] = ()

    @property
    def is_entity(self) -> bool:
        """Whether it stands for entities, not for plain numbers."""
        return isinstance(self.kind, type) and issubclass(self.kind, Entity)


class Supply(NamedTuple):
    """Which requests there are random numbers for.

    Attributes:
        supplied: Those before this one.
        no_more: And no others come.
        first_draw: What the first row of the draws belongs to.
        first_service: The same for the draws of services.
    """

    supplied: int
    no_more: int
    first_draw: int
    first_service: int


class Simulation(Core):
    """Everything that the handlers of events see of one run.

    Attributes:
        params: The experiment.
        draws: Random numbers of the replication.
        supply: Which of them are there.
        near: The next few events of the compiled engine, the first one last (``compiled/event_queue.py``).
        heap: More of them, and ``later`` those after these, in pages of 32 events; ``pages`` has the next page of each
            in the same of the ``buckets``, and ``filled`` the bits of the buckets of each level that hold an event.
        requests: One for each request on its way, or for each request of the run; ``links`` and ``shares`` likewise.
        drawn: Which draws each request of a closed loop took.
        first_byte_due: When the response of each request begins [ns], where that is limited.
        age: Requests in the order in which they reached the gateway.
        pod_queues: Of each pod, the requests in queue-proxy's queue (``AT_PROXY``), those that wait in the container
            (``AT_CONTAINER``), and those that it works on (``AT_WORK``).
        waiting: Of each activator, the requests without a pod.
        connections: Of each stage, what its pods share; their places are in ``transfers``.
        turns: Of each stage, the pods that wait for their turn.
        pullers: Of each node, the pods that wait for another's pull.
        pending: Pods without a node.
        stats: Statistics of the activators, then of the pods.
        published: Statistics that each pod's queue-proxy has published.
        views: Pods that each activator has found, then those that the gateway sees, by their addresses.
        blocks: Of each view, its blocks in order, as are ``block_pods`` (pods in each), ``block_first`` (the pod that
            was the first one when the block was made) and ``free`` (bits of its pods that have a free slot).
        block_nth: Number in that order of each block.
        members: Pods of each block; ``spots`` tells where each pod stands.
        free_blocks: Bits of the blocks, in order, that have such a pod.
        group_pods: Pods in each 32 blocks in order.
        in_flight: Requests that each activator has with each pod.
        numbers: Which pod of the run each is, whatever its row. A scrape looks at all pods, so what it asks for stands
            apart from ``pods``: this, ``readable`` (1 while ready) and ``started`` (when a ready one was scheduled).
        addresses: Of each pod, for whoever looks for its place in a view.
        samples: What was scraped of each pod for an HPA, added up, by the number of the scrape; ``total_samples``
            likewise at the gateway.
        hpa_state: With the three lists after it, ``hpa.History``.
        ring: With the arrays up to ``found_interceptor``, what the scaler of KEDA's HTTP add-on remembers.
        rule_state: What a rule with settings of its own (``Params.rule``) remembers.
        slots_of_day: With the arrays up to ``sorted``, ``lookahead.History``.
        histogram: Counts of latencies, where no request is kept.
        late_block: Which jitters each row of ``late_ns`` holds.
    """

    params: Params
    draws: Draws
    supply: Supply
    clients: Annotated[Clients, Field(Clients)]
    ingress: Annotated[Ingress, Field(Ingress)]
    revision: Annotated[Revision, Field(Revision)]
    autoscaler: Annotated[Autoscaler, Field(Autoscaler)]
    cluster: Annotated[Cluster, Field(Cluster)]
    recorder: Annotated[Recorder, Field(Recorder)]
    event_queue: Annotated[EventQueue, Field(EventQueue)]
    near: Annotated[Any, Field(int, (NEAR + 1, 2))]
    heap: Annotated[Any, Field(int, ("events", 2))]
    later: Annotated[Any, Field(int, ("later", 2))]
    pages: Annotated[Any, Field(int, ("pages",))]
    buckets: Annotated[Any, Field(int, (TIED + 1, 2))]
    filled: Annotated[Any, Field(int, (LEVELS,))]
    requests: Annotated[list[Request], Field(Request, ("requests",))]
    links: Annotated[list[Link], Field(Link, ("requests",))]
    shares: Annotated[list[Share], Field(Share, ("shares",))]
    drawn: Annotated[Any, Field("int32", ("drawn",))]
    first_byte_due: Annotated[Any, Field(int, ("first_bytes",))]
    age: Annotated[Any, Field("int32", ("age",))]
    workers: Annotated[list[Worker], Field(Worker, ("workers",))]
    sessions: Annotated[list[Session], Field(Session, ("sessions",))]
    activators: Annotated[list[Activator], Field(Activator, ("activators",))]
    waiting: Annotated[list[Queue], Field(Queue, ("activators",))]
    views: Annotated[list[View], Field(View, ("views",))]
    blocks: Annotated[Any, Field(int, ("views", "blocks"))]
    block_pods: Annotated[Any, Field(int, ("views", "blocks"))]
    block_first: Annotated[Any, Field(int, ("views", "blocks"))]
    block_nth: Annotated[Any, Field(int, ("views", "blocks"))]
    members: Annotated[Any, Field("int32", ("views", "members"))]
    spots: Annotated[Any, Field("int32", ("views", "pods"))]
    free: Annotated[Any, Field(int, ("views", "blocks"))]
    free_blocks: Annotated[Any, Field(int, ("views", "words"))]
    group_pods: Annotated[Any, Field(int, ("views", "words"))]
    in_flight: Annotated[Any, Field(int, ("activators", "pods"))]
    pods: Annotated[list[Pod], Field(Pod, ("pods",))]
    pod_queues: Annotated[list[list[Queue]], Field(Queue, ("pods", POD_QUEUES))]
    stats: Annotated[Any, Field(int, ("stats", accounting.COLUMNS))]
    published: Annotated[Any, Field(float, ("pods", scraping.FIELDS))]
    alive_pods: Annotated[Any, Field("int32", ("pods",))]
    unprobed: Annotated[Any, Field(int, ("pods",))]
    pending: Annotated[Queue, Field(Queue)]
    candidates: Annotated[Any, Field(int, ("pods",))]
    scratch: Annotated[Any, Field(int, ("pods",))]
    chosen: Annotated[Any, Field(int, ("pods",))]
    keys: Annotated[Any, Field(float, ("pods",))]
    numbers: Annotated[Any, Field(int, ("pods",))]
    addresses: Annotated[Any, Field(int, ("pods",))]
    readable: Annotated[Any, Field(int, ("pods",))]
    started: Annotated[Any, Field(int, ("pods",))]
    movers: Annotated[Any, Field(int, ("movers",))]
    nodes: Annotated[list[Node], Field(Node, ("nodes",))]
    gpus: Annotated[list[Shared], Field(Shared, ("gpus",))]
    stages: Annotated[list[Stage], Field(Stage, ("stages",))]
    connections: Annotated[list[Shared], Field(Shared, ("stages",))]
    transfers: Annotated[list[Share], Field(Share, ("transfers",))]
    pod_links: Annotated[list[Link], Field(Link, ("pods",))]
    turns: Annotated[list[Queue], Field(Queue, ("stages",))]
    pullers: Annotated[list[Queue], Field(Queue, ("nodes",))]
    turn: Annotated[Any, Field(int, ("ingress_workers",))]
    stable_buckets: Annotated[Any, Field(float, ("stable_window",))]
    panic_buckets: Annotated[Any, Field(float, ("panic_window",))]
    spans: Annotated[Any, Field(int, (2, 2))]
    totals: Annotated[Any, Field(float, (2, 1))]
    panicking: Annotated[Any, Field(int, (2,))]
    samples: Annotated[Any, Field(int, ("pods", "samples"))]
    total_samples: Annotated[Any, Field(int, ("samples",))]
    hpa_state: Annotated[Any, Field(int, (4,))]
    recommendations: Annotated[Any, Field(int, ("recommendations", 2))]
    up_events: Annotated[Any, Field(int, ("up_events", 2))]
    down_events: Annotated[Any, Field(int, ("down_events", 2))]
    keda_state: Annotated[Any, Field(int, (2,))]
    ring: Annotated[Any, Field(int, ("ring",))]
    ring_span: Annotated[Any, Field(int, (2,))]
    ring_total: Annotated[Any, Field(int, (1,))]
    interceptor: Annotated[Any, Field(int, (1, 2))]
    memory: Annotated[Any, Field(int, (1, 2))]
    found_interceptor: Annotated[Any, Field(int, (1,))]
    rule_state: Annotated[Any, Field(int, (RULE_STATE,))]
    slots_of_day: Annotated[Any, Field(float, ("slots_of_day", 2))]
    owners: Annotated[Any, Field(int, ("periods",))]
    sorted: Annotated[Any, Field(float, ("periods",))]
    delay_slots: Annotated[Any, Field(int, ("delay_slots",))]
    ticks: Annotated[list[Tick], Field(Tick, ("ticks",))]
    scaling: Annotated[list[Change], Field(Change, ("scalings",))]
    histogram: Annotated[Any, Field(int, ("histogram",))]
    late_block: Annotated[Any, Field(int, ("late",))]
    late_ns: Annotated[Any, Field(int, ("late", LATE_AT_ONCE))]

    def schedule(self, time_ns: int, kind: int, entity: int) -> None:
        """Let an event of a kind happen to an entity at ``time_ns``; see ``clock.Kind``."""
        raise NotImplementedError

    def wake(self, time_ns: int, kind: int, entity: int) -> None:
        """One of the clocks in the state was set to ``time_ns``: an executor may look at it then."""
        raise NotImplementedError

    def start_autoscaler(self) -> tuple[int, float]:
        """A revision begins: pods wanted, and excess burst capacity, before the first decision."""
        raise NotImplementedError

    def observe(self, concurrency: float, requests: float) -> None:
        """Tell the autoscaler what the last second was like, at an activator or in the pods."""
        raise NotImplementedError

    def decide(self, reachable: int) -> Any:
        """Let the autoscaler decide; a ``kpa.Decision``."""
        raise NotImplementedError

    def decides_after(self, time_ns: int) -> int:
        """When the autoscaler decides next after ``time_ns``."""
        raise NotImplementedError

    def comes_next(self, time_ns: int) -> bool:
        """Whether nothing else is known to happen up to ``time_ns``; an executor that cannot say says no."""
        raise NotImplementedError

    def is_quiet_now(self) -> bool:
        """Whether no other event of this moment is known to follow; an executor that cannot say says no."""
        raise NotImplementedError


def renew(entity: Entity) -> None:
    """Make every number of an entity what it is in a new one."""
    entity.reset()


FIELDS: dict[str, Field] = {"core": Field(Core)} | {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Simulation, include_extras=True).items()
    if get_origin(hint) is Annotated
}
"""All fields of a ``Simulation`` but params, draws and supply; the numbers of ``core`` are its own attributes."""


BY_REQUEST = ("requests", "shares", "drawn", "first_bytes", "age", "ticks", "scalings")
"""Sizes that grow with the load."""


def sizes(params: Params, draws: Draws, capacity: Capacity, *, statistics_only: bool = False) -> dict[str, int]:
    """How many rows the tables of one run have.

    Args:
        params: The experiment.
        draws: Random numbers of the replication, which say how many pods and nodes there can be.
        capacity: Rows of the other tables.
        statistics_only: Keep no request after it has ended.
    """
    pods, stages = len(draws.pod), len(params.stage_kind)
    nodes = len(draws.node) + int(sum(params.pool_ready))
    is_shared = len(params.slowdown) > 0
    late = LATE_ACTIVATOR + 2 * params.activators
    # A block is made when one has filled up, half of which were pods that came since it was made.
    blocks = (pods >> (WIDTH_BITS - 1)) + 1
    # The last page of a bucket is seldom full.
    pages = (capacity.events >> PAGE_BITS) + TIED + 2
    return {
        "requests": capacity.requests,
        "shares": capacity.requests if is_shared else 0,
        "drawn": capacity.requests if params.closed else 0,
        "first_bytes": capacity.requests if params.first_byte_timeout_ns else 0,
        # A mask is sooner at hand than a remainder.
        "age": 1 << (capacity.requests - 1).bit_length(),
        "workers": params.workers if params.closed else 0,
        "sessions": params.sessions,
        "activators": params.activators,
        "pods": pods,
        "views": params.activators + 1,
        "blocks": blocks,
        "members": blocks << WIDTH_BITS,
        "words": (blocks >> WIDTH_BITS) + 1,
        "stats": params.activators + pods,
        "movers": pods * (stages + 2),
        "nodes": nodes,
        "gpus": max(pods, nodes) if is_shared else 0,
        "stages": stages,
        "transfers": pods if any(params.stage_bytes) else 0,
        "ingress_workers": params.ingress_workers,
        "stable_window": params.stable_window_s,
        "panic_window": params.panic_window_s,
        "delay_slots": len(delay.new_slots(params.scale_down_delay_s)),
        "events": capacity.events,
        "later": pages << PAGE_BITS,
        "pages": pages,
        "ticks": capacity.ticks,
        "scalings": capacity.scalings,
        **_of_autoscalers(params),
        "histogram": counts.BUCKETS if statistics_only else 0,
        "late": late,
    }


def _of_autoscalers(params: Params) -> dict[str, int]:
    """Rows that the memory of autoscalers needs, see ``new_history`` of ``hpa`` and ``lookahead``."""
    slots = -(-params.period_ns // params.slot_ns)
    periods = len(params.history) // slots + 1 if params.looks_ahead else 0
    rows = {
        "samples": 0 if params.autoscaler == KPA else params.window_scrapes
        + -(-params.adapter_ns // params.scrape_ns) + 2,
        "ring": -(-params.ring_window_ms // params.ring_step_ms) if params.autoscaler == KEDA_HTTP else 0,
        "periods": periods,
        "slots_of_day": periods * slots,
    }  # fmt: skip
    if params.autoscaler not in {HPA, KEDA, KEDA_HTTP}:
        return {**rows, **dict.fromkeys(("recommendations", "up_events", "down_events"), 0)}

    def ticks_in(time_ns: int) -> int:
        return time_ns // params.sync_ns + 3

    return {
        **rows,
        "recommendations": ticks_in(max(params.up_window_ns, params.down_window_ns)),
        "up_events": ticks_in(max((int(row[2]) for row in params.up_policies), default=0)),
        "down_events": ticks_in(max((int(row[2]) for row in params.down_policies), default=0)),
    }


def shape(field: Field, rows: dict[str, int]) -> tuple[int, ...]:
    """Rows and columns of a field."""
    return tuple(one if isinstance(one, int) else rows[one] for one in field.size)
