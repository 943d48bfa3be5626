"""The state of one run as arrays: what each row and column means."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.engines import counts
from kpasim.engines.outcome import CHANGE, NO_DESIRED, REQUEST, TICK
from kpasim.engines.params import FOREVER_NS, NEVER_NS, Capacity, Draws, Floats, Ints, Params
from kpasim.policy import accounting, burst, delay, scaler, scraping, windows

P: Any = Params(*range(len(Params._fields)))
"""Place of each plain setting in ``World.p`` (whole numbers) and ``World.x`` (floats)."""

# World.i: what there is one of.
(
    NOW, LOAD_NS, END_NS, FINISHED, FAULT,
    SENT, LIVE, LAST_END, WORKING, STARTS, MASK, ROWS,
    HEAP, HOT_NS, HOT_KEY, NEXT_TIMEOUT, NEXT_GIVE_UP, NEXT_SEND, NEXT_TICK, NEXT_SCRAPE, NEXT_REPORT,
    AGE_HEAD, AGE_TAIL, PATIENCE_HEAD,
    PODS, FOLDED, ALIVE, VISIBLE, PENDING, MOVERS, NODES, ADDED, TICKETS, FIRST_NODE,
    DESIRED, DIRECT_INSIDE, DIRECT_LAST,
    REPLICAS, READY_PODS, STATUS_DESIRED, ACTIVE, REASON, ACTIVE_SINCE, INITIALIZED,
    ASKED_MODE, PUBLIC_MODE, BACKED, BACKED_SINCE, WANTED_ACTIVATORS, DUE, TIMER, SKS_DUE, PROBING_UNTIL, CRASHED,
    MODE, IN_SUBSET, ACTIVATOR_TURN,
    TICKS, SCALINGS, LATEST_DESIRED, LATEST_READY, LATEST_REPLICAS, LATEST_ACTIVE, LATEST_MODE,
    STATISTICS_ONLY, OK_COUNT, ERROR_COUNT, SEEN_ACTIVE, SEEN_REASON, SEEN_INITIALIZED, SEEN_DESIRED, SHOWN_DESIRED,
    TOUCHES, WRITES, LATENCY_SUM, LATENCY_MIN, LATENCY_MAX, ROLLED_OUT, PROGRESSED, GLOBALS,
) = range(80)  # fmt: skip

# Why a run had to stop half-way: it needs more room, or more random numbers to go on.
NO_FAULT, MORE_EVENTS, MORE_PODS, MORE_NODES, MORE_TICKS, MORE_SCALINGS, MORE_REQUESTS, MORE_DRAWS = range(8)

# World.queue: the requests before and behind one in whatever it stands.
R_NEXT, R_PREV = range(2)

# Where a request is, kept as its status until it has ended.
ON_ITS_WAY, AT_FRONT, IN_QUEUE, RUNNING, WOKEN, IN_CONTAINER = -10, -11, -12, -13, -14, -15
ENDED_FROM = -1
"""Statuses from here up belong to requests that have ended."""

GHOST = -3
"""In R_NEXT of ``World.queue``: the container still works on a request whose client has gone."""

# World.pod. The first fourteen columns are those of Outcome.pods.
(
    CREATED, SCHEDULED, PULL_NS, CONTAINERS, OPEN, USABLE, READY_NS, ASKED, GONE_NS, BUSY, NODE, TYPE, ADDRESS, ATTEMPT,
    BUSY_SINCE, PHASE, READY, TERMINATING, STAGE, BEGUN, STAGE_DUE, LEFT, DRAIN_DUE, RESTARTING, SERVES_FROM,
    FIRST_EXTRA, LAST_ARRIVAL, QUEUE_HEAD, QUEUE_TAIL, QUEUED, RUN_HEAD, RUN_TAIL, RUN_COUNT, GHOSTS, INSIDE_DIRECT,
    STATS_FROM, BROKEN, TICKET, STAGE_TICKET, KNOWN, NUMBER, BEGAN, WAIT_HEAD, WAIT_TAIL, WAITING, DEAD, POD_COLUMNS,
) = range(47)  # fmt: skip

STARTING, SERVING, QUIET, DRAINING, STOPPING, GONE = range(6)

# World.activator
(
    A_RUNNING, A_CAPACITY, A_TURN, A_VIEW, A_ASSIGNED, A_HEAD, A_TAIL, A_WAITING, A_REPORT, A_WAKING, A_WAKES,
    ACTIVATOR_COLUMNS,
) = range(12)  # fmt: skip

# World.node. The first six columns are those of Outcome.nodes.
(
    N_POOL, N_TYPE, N_CREATED, N_READY, N_GONE, N_ADDED, N_DUE, N_PODS, N_IMAGE, N_PULLER, N_MATES,
    NODE_COLUMNS,
) = range(12)  # fmt: skip

# World.lists: lists of pods, in columns.
VISIBLE_PODS, ALIVE_PODS, PENDING_PODS, SCRATCH, CHOSEN, POD_LISTS = range(6)

# World.stage and World.stage_x; World.pool
S_KIND, S_WHEN, S_AT_A_TIME, S_CACHED, S_BUSY, S_MEMBERS, S_SINCE = range(7)
S_BYTES, S_BANDWIDTH = range(2)
O_TYPE, O_SLOTS, O_READY, O_MAX, O_PROVISIONED, O_RELEASE = range(6)

# World.group: what shares a GPU. World.link: the members, one row for each request.
G_HEAD, G_COUNT, G_SINCE = range(3)
L_NEXT, L_PREV, L_LEFT = range(3)

# World.late_ns: a row for each thing that is late, see ``lateness``; each activator has two more.
(LATE_TICKS, LATE_SCRAPES, LATE_RECONCILES, LATE_STATUSES, LATE_ACTIVATOR) = range(5)
LATE_AT_ONCE = 16
"""Latenesses worked out at once."""

# World.supply: which requests there are draws for. SUPPLIED: those before this one; NO_MORE: and no others come.
# FIRST_DRAW and FIRST_SERVICE: what the first rows of the draws belong to, the latter for those of services.
SUPPLIED, NO_MORE, FIRST_DRAW, FIRST_SERVICE = range(4)

NOTHING = -1
"""No request, pod or node."""


IntTable = NDArray[np.int64]
Shorts = NDArray[np.int32]
Requests = NDArray[np.void]
Ticks = NDArray[np.void]
Changes = NDArray[np.void]
FloatTable = NDArray[np.float64]
ShortTable = NDArray[np.int32]
"""Numbers of requests, which take half the room."""


@dataclass
class World:
    """All arrays of one run. Compiled code sees the same fields.

    Attributes:
        p: Plain settings, whole numbers, at the places that ``P`` names.
        x: The same as floats.
        i: What there is one of, at the places named above.
        excess: Latest excess burst capacity, shape ``(1,)``.
        heap: Planned events as ``(time, kind and entity)``, a binary heap.
        age: Requests in the order in which they reached the front.
        request: Rows of ``Outcome.requests``.
        drawn: ``Outcome.drawn``.
        queue: Neighbours of each request in whatever it stands.
        late_block: Which of its latenesses each thing that is late has in ``late_ns``.
        stats: Statistics of the activators, then of the pods.
        found: Pods that each activator has found, in the order of their addresses.
        assigned: Those of its slice.
        histogram: Counts of the latencies of good answers, where no request is kept.
    """

    p: Ints
    x: Floats
    slowdown: Floats
    type_factor: Floats
    stage: IntTable
    stage_x: FloatTable
    pool: IntTable
    phase: Ints
    service: IntTable
    klass: Ints
    first_byte: Ints
    delay: Ints
    sent: Ints
    own_service: Ints
    supply: Ints
    pod_draw: IntTable
    node_draw: IntTable
    key: int
    load_phase_ns: int
    i: Ints
    excess: Floats
    heap: IntTable
    age: Shorts
    request: Requests
    drawn: Shorts
    queue: ShortTable
    link: IntTable
    first_byte_due: Ints
    pod: IntTable
    published: FloatTable
    stats: IntTable
    activator: IntTable
    found: IntTable
    assigned: IntTable
    in_flight: IntTable
    slots: Ints
    node: IntTable
    group: IntTable
    lists: IntTable
    movers: Ints
    worker: IntTable
    turn: Ints
    sticky: IntTable
    stable_buckets: Floats
    panic_buckets: Floats
    spans: IntTable
    totals: FloatTable
    panicking: Ints
    delay_slots: Ints
    ticks: Ticks
    scaling: Changes
    keys: Floats
    answers: Ints
    started: Ints
    histogram: Ints
    late_block: Ints
    late_ns: IntTable


WORDS = 3
"""Words of 64 bits by which compiled code knows a field of ``World``: a number, or an array's address and shape."""

COLUMNS = {
    "stage": S_SINCE + 1, "stage_x": S_BANDWIDTH + 1, "pool": O_RELEASE + 1, "heap": 2,
    "queue": 2, "link": 3, "pod": POD_COLUMNS, "published": scraping.FIELDS,
    "stats": accounting.COLUMNS, "activator": ACTIVATOR_COLUMNS, "node": NODE_COLUMNS, "group": 3, "worker": 2,
    "spans": 2, "totals": 1, "late_ns": LATE_AT_ONCE,
}  # fmt: skip
"""Fields whose number of columns is always the same, so that compiled code need not look it up."""

_NAMES = tuple(field.name for field in fields(World))


def new_words() -> IntTable:
    """Room for the words of a world."""
    return np.zeros((len(_NAMES), WORDS), dtype=np.int64)


def words(world: World, table: IntTable, *names: str) -> None:
    """Write into ``table``, which has a row for each field, where a world's arrays are: all, or those of some names.

    The world must be kept for as long as the table is used.
    """
    for name in names or _NAMES:
        value = getattr(world, name)
        row = table[_NAMES.index(name)]
        if isinstance(value, np.ndarray):
            assert value.flags.c_contiguous, name
            assert name not in COLUMNS or value.shape[1] == COLUMNS[name], name
            row[0] = value.__array_interface__["data"][0]
            row[1 : 1 + value.ndim] = value.shape
        else:
            row[0] = value


def settings(params: Params) -> tuple[Ints, Floats]:
    """``World.p`` and ``World.x`` of an experiment."""
    plain = [0 if isinstance(value, np.ndarray) else value for value in params]
    return np.array([int(value) for value in plain], dtype=np.int64), np.array(plain, dtype=np.float64)


def stages(params: Params) -> tuple[Ints, Floats]:
    """``World.stage`` and ``World.stage_x`` of an experiment."""
    count = len(params.stage_kind)
    whole = np.zeros((count, 7), dtype=np.int64)
    whole[:, S_KIND] = params.stage_kind
    whole[:, S_WHEN] = params.stage_when
    whole[:, S_AT_A_TIME] = params.stage_at_a_time
    whole[:, S_CACHED] = params.stage_cached
    return whole, np.stack([params.stage_bytes, params.stage_bandwidth], axis=1).reshape(count, 2)


def pools(params: Params) -> Ints:
    """``World.pool`` of an experiment."""
    columns = (
        params.pool_type, params.pool_slots, params.pool_ready, params.pool_max, params.pool_provisioned,
        params.pool_release_ns,
    )  # fmt: skip
    return np.ascontiguousarray(np.stack(columns, axis=1))


def whole_supply(draws: Draws) -> Ints:
    """``World.supply`` where all draws are there from the beginning."""
    return np.array([len(draws.sent), 1, 0, 0], dtype=np.int64)


def new_world(params: Params, draws: Draws, room: Capacity, *, statistics_only: bool = False) -> World:
    """Arrays for one run, empty.

    Args:
        params: The experiment.
        draws: Random numbers of the replication; they say how many pods and nodes there is room for.
        room: How many rows the other arrays get.
        statistics_only: Keep no request after it has ended; ``room.requests`` is then a power of two.
    """
    whole, floats = settings(params)
    stage, stage_x = stages(params)
    pods, activators, nodes = len(draws.pod), params.activators, len(draws.node) + int(params.pool_ready.sum())
    sharing = len(params.slowdown) > 0
    # A mask is sooner at hand than a remainder.
    front = 1 << (room.requests - 1).bit_length()

    def zeros(*shape: int) -> Ints:
        return np.zeros(shape, dtype=np.int64)

    globals_ = zeros(GLOBALS)
    globals_[STATISTICS_ONLY] = statistics_only
    return World(
        p=whole,
        x=floats,
        slowdown=params.slowdown,
        type_factor=params.type_factor,
        stage=stage,
        stage_x=stage_x,
        pool=pools(params),
        phase=draws.phase,
        service=draws.service,
        klass=draws.klass,
        first_byte=draws.first_byte,
        delay=draws.delay,
        sent=draws.sent,
        own_service=draws.own_service,
        supply=whole_supply(draws),
        pod_draw=draws.pod,
        node_draw=draws.node,
        key=draws.key,
        load_phase_ns=draws.load_phase_ns,
        i=globals_,
        excess=np.zeros(1),
        heap=zeros(room.events, 2),
        age=np.zeros(front, dtype=np.int32),
        # Rows are filled when something is put there.
        request=np.empty(room.requests, dtype=REQUEST),
        drawn=np.zeros(room.requests if params.closed else 0, dtype=np.int32),
        queue=np.zeros((room.requests, 2), dtype=np.int32),
        link=zeros(room.requests if sharing else 0, 3),
        first_byte_due=zeros(room.requests if params.first_byte_timeout_ns else 0),
        pod=zeros(pods, POD_COLUMNS),
        published=np.zeros((pods, scraping.FIELDS)),
        stats=zeros(activators + pods, accounting.COLUMNS),
        activator=zeros(activators, ACTIVATOR_COLUMNS),
        found=zeros(activators, pods),
        assigned=zeros(activators, pods),
        in_flight=zeros(activators, pods),
        slots=zeros(pods),
        node=zeros(nodes, NODE_COLUMNS),
        group=zeros(max(pods, nodes) if sharing else 0, 3),
        lists=zeros(POD_LISTS, pods),
        movers=zeros(pods * (len(stage) + 2)),
        worker=zeros(params.workers if params.closed else 0, 2),
        turn=zeros(params.ingress_workers),
        sticky=zeros(3, params.sessions),
        stable_buckets=np.zeros(params.stable_window_s),
        panic_buckets=np.zeros(params.panic_window_s),
        spans=zeros(2, 2),
        totals=np.zeros((2, 1)),
        panicking=zeros(2),
        delay_slots=delay.new_slots(params.scale_down_delay_s),
        ticks=np.empty(room.ticks, dtype=TICK),
        scaling=np.empty(room.scalings, dtype=CHANGE),
        keys=np.zeros(pods),
        answers=zeros(pods),
        started=zeros(pods),
        histogram=zeros(counts.BUCKETS if statistics_only else 0),
        late_block=zeros(LATE_ACTIVATOR + 2 * activators),
        late_ns=zeros(LATE_ACTIVATOR + 2 * activators, LATE_AT_ONCE),
    )


def reset(w: World) -> None:
    """Make the state of ``w`` that of a revision about to be created."""
    i = w.i
    kept = i[STATISTICS_ONLY]
    for place in range(GLOBALS):
        i[place] = 0
    i[STATISTICS_ONLY] = kept
    i[LATENCY_MIN] = FOREVER_NS
    i[HOT_NS] = FOREVER_NS
    w.heap[0, 0] = FOREVER_NS
    w.late_block[:] = NEVER_NS
    i[LOAD_NS] = FOREVER_NS
    i[END_NS] = FOREVER_NS
    i[NEXT_SEND] = FOREVER_NS
    i[NEXT_TIMEOUT] = FOREVER_NS
    i[NEXT_GIVE_UP] = FOREVER_NS
    i[NEXT_TICK] = FOREVER_NS
    i[NEXT_SCRAPE] = FOREVER_NS
    i[NEXT_REPORT] = FOREVER_NS
    i[DUE] = FOREVER_NS
    i[TIMER] = FOREVER_NS
    i[SKS_DUE] = FOREVER_NS
    i[PROBING_UNTIL] = NEVER_NS
    i[STATUS_DESIRED] = NO_DESIRED
    i[SHOWN_DESIRED] = NO_DESIRED
    i[LATEST_DESIRED] = NO_DESIRED - 1
    i[SEEN_DESIRED] = NO_DESIRED - 1
    i[ACTIVE] = scaler.ABSENT
    i[ASKED_MODE] = burst.PROXY
    i[PUBLIC_MODE] = burst.PROXY
    i[MODE] = burst.PROXY
    i[BACKED] = 1
    i[WANTED_ACTIVATORS] = burst.MIN_ACTIVATORS
    i[IN_SUBSET] = 1
    i[DIRECT_LAST] = NEVER_NS
    i[MASK] = len(w.request) - 1 if kept else -1
    i[ROWS] = len(w.request)
    w.in_flight[:] = 0
    w.turn[:] = 0
    w.group[:] = 0
    w.panicking[:] = 0
    w.delay_slots[:] = 0
    w.stats[:] = 0
    w.published[:] = 0.0
    w.slots[:] = w.p[P.container_concurrency]
    for index in range(len(w.activator)):
        for column in range(ACTIVATOR_COLUMNS):
            w.activator[index, column] = 0
        w.activator[index, A_HEAD] = NOTHING
        w.activator[index, A_TAIL] = NOTHING
        w.activator[index, A_REPORT] = FOREVER_NS
    for index in range(len(w.worker)):
        w.worker[index, 0] = 0
        w.worker[index, 1] = 0
    for index in range(w.sticky.shape[1]):
        w.sticky[0, index] = NOTHING
        w.sticky[1, index] = NOTHING
        w.sticky[2, index] = NEVER_NS
    for index in range(len(w.stage)):
        w.stage[index, S_BUSY] = 0
        w.stage[index, S_MEMBERS] = 0
        w.stage[index, S_SINCE] = 0
    w.stable_buckets[:] = 0.0
    w.panic_buckets[:] = 0.0
    w.spans[:] = windows.NEVER_S
    w.totals[:] = 0.0
    w.histogram[:] = 0


KERNELS = (reset,)

__all__ = ["P", "World", "new_words", "new_world", "reset", "words"]
