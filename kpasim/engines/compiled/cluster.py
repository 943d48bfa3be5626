"""Nodes, and the stages of a pod's start (the same as reference/cluster.py)."""

from __future__ import annotations

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.compiled import agenda, pod, reconciler, sharing
from kpasim.engines.compiled.layout import (
    ADDED,
    ATTEMPT,
    BEGAN,
    BEGUN,
    CONTAINERS,
    CRASHED,
    FAULT,
    FIRST_NODE,
    MORE_NODES,
    MOVERS,
    N_ADDED,
    N_CREATED,
    N_DUE,
    N_GONE,
    N_IMAGE,
    N_PODS,
    N_POOL,
    N_PULLER,
    N_READY,
    N_TYPE,
    NODE,
    NODE_COLUMNS,
    NODES,
    NOTHING,
    NOW,
    NUMBER,
    O_MAX,
    O_PROVISIONED,
    O_READY,
    O_RELEASE,
    O_SLOTS,
    O_TYPE,
    PENDING,
    PENDING_PODS,
    PHASE,
    PODS,
    PULL_NS,
    RESTARTING,
    S_AT_A_TIME,
    S_BANDWIDTH,
    S_BUSY,
    S_BYTES,
    S_CACHED,
    S_KIND,
    S_WHEN,
    SCHEDULED,
    SCRATCH,
    STAGE,
    STAGE_DUE,
    STAGE_TICKET,
    STARTING,
    TICKET,
    TICKETS,
    TYPE,
    P,
    World,
)
from kpasim.engines.draws import CHANCE_ONE, CRASH, chance
from kpasim.engines.params import FOREVER_NS, NEVER_NS
from kpasim.policy import pods

NODE_KIND, STAGE_KIND = int(Kind.NODE), int(Kind.STAGE)

# World.pod[:, TICKET]: 0, or the number that a pod drew when it began to wait for its turn in a stage (positive) or
# for another's pull on its node (negative).


def set_up(w: World) -> None:
    """The nodes that are there from the beginning."""
    for pool in range(len(w.pool)):
        for _ in range(w.pool[pool, O_READY]):
            node = new_node(w, pool, 0)
            w.node[node, N_READY] = 0


def new_node(w: World, pool: int, added: int) -> int:
    """One more row for a node."""
    node = w.i[NODES]
    if node >= len(w.node):
        w.i[FAULT] = MORE_NODES
        return 0
    w.i[NODES] = node + 1
    for column in range(NODE_COLUMNS):
        w.node[node, column] = 0
    w.node[node, N_POOL] = pool
    w.node[node, N_TYPE] = w.pool[pool, O_TYPE]
    w.node[node, N_CREATED] = w.i[NOW]
    w.node[node, N_READY] = NEVER_NS
    w.node[node, N_GONE] = NEVER_NS
    w.node[node, N_ADDED] = added
    w.node[node, N_DUE] = FOREVER_NS
    w.node[node, N_PULLER] = NOTHING
    return int(node)


def first_node(w: World) -> int:
    """The first node that has not gone; those before it are not looked at again."""
    node = w.i[FIRST_NODE]
    while node < w.i[NODES] and w.node[node, N_GONE] != NEVER_NS:
        node += 1
    w.i[FIRST_NODE] = node
    return int(node)


def place(w: World, which: int) -> None:
    """Give a new pod a node, or let it wait for one."""
    if not try_place(w, which):
        w.lists[PENDING_PODS, w.i[PENDING]] = which
        w.i[PENDING] += 1
        ask_for_node(w)
        reconciler.touch(w)


def try_place(w: World, which: int) -> bool:
    """Give a pod a node if there is one."""
    for pool in range(len(w.pool)):
        best = NOTHING
        # An instance for one pod alone ends with its pod, so there is none to look for.
        alone = w.pool[pool, O_SLOTS] == 1 and w.pool[pool, O_RELEASE] == 0
        if not alone or w.pool[pool, O_PROVISIONED] or w.pool[pool, O_READY] > 0:
            for node in range(first_node(w), w.i[NODES]):
                if (
                    w.node[node, N_POOL] == pool
                    and w.node[node, N_READY] != NEVER_NS
                    and w.node[node, N_GONE] == NEVER_NS
                    and w.node[node, N_PODS] < w.pool[pool, O_SLOTS]
                    and (best == NOTHING or w.node[node, N_PODS] < w.node[best, N_PODS])
                ):
                    best = node
        if best == NOTHING and not w.pool[pool, O_PROVISIONED] and may_add(w, pool):
            best = add_node(w, pool)
            w.node[best, N_READY] = w.i[NOW]
        if best != NOTHING:
            w.node[best, N_PODS] += 1
            w.node[best, N_DUE] = FOREVER_NS
            w.pod[which, NODE] = best
            w.pod[which, TYPE] = w.node[best, N_TYPE]
            w.pod[which, SCHEDULED] = w.i[NOW]
            let_move(w, which)
            move(w)
            return True
    return False


def may_add(w: World, pool: int) -> bool:
    """Whether a pool may have one more node."""
    most = w.pool[pool, O_MAX]
    if most < 0:
        return True
    count = 0
    for node in range(first_node(w), w.i[NODES]):
        if w.node[node, N_POOL] == pool and w.node[node, N_GONE] == NEVER_NS:
            count += 1
    return bool(count < most)


def add_node(w: World, pool: int) -> int:
    """Add a node to a pool."""
    if w.i[ADDED] >= len(w.node_draw):
        w.i[FAULT] = MORE_NODES
        return 0
    w.i[ADDED] += 1
    return new_node(w, pool, 1)


def ask_for_node(w: World) -> None:
    """Order a node if those on their way are too few for the pods that wait."""
    coming = 0
    for node in range(first_node(w), w.i[NODES]):
        if w.node[node, N_READY] == NEVER_NS:
            coming += w.pool[w.node[node, N_POOL], O_SLOTS]
    if coming >= w.i[PENDING]:
        return
    for pool in range(len(w.pool)):
        if w.pool[pool, O_PROVISIONED] and may_add(w, pool):
            node = add_node(w, pool)
            if w.i[FAULT]:
                return
            w.node[node, N_DUE] = w.i[NOW] + w.node_draw[w.i[ADDED] - 1, pool]
            agenda.plan(w, w.node[node, N_DUE], NODE_KIND, node)
            return


def node_due(w: World, node: int) -> None:
    """A node is ready, or has been idle for long enough to leave."""
    if w.node[node, N_DUE] != w.i[NOW]:
        return
    w.node[node, N_DUE] = FOREVER_NS
    if w.node[node, N_READY] == NEVER_NS:
        w.node[node, N_READY] = w.i[NOW]
        place_pending(w)
        rest(w, node)
    else:
        w.node[node, N_GONE] = w.i[NOW]
        place_pending(w)


def rest(w: World, node: int) -> None:
    """Let an added node without pods leave after its release time."""
    if w.node[node, N_PODS] or not w.node[node, N_ADDED] or w.node[node, N_GONE] != NEVER_NS:
        return
    pool = w.node[node, N_POOL]
    release_ns = w.pool[pool, O_RELEASE]
    if release_ns == 0 and not w.pool[pool, O_PROVISIONED]:
        w.node[node, N_GONE] = w.i[NOW]
        return
    w.node[node, N_DUE] = w.i[NOW] + release_ns
    agenda.plan(w, w.node[node, N_DUE], NODE_KIND, node)


def place_pending(w: World) -> None:
    """Place the pods that wait, in order of creation, as far as there is room."""
    count = w.i[PENDING]
    for index in range(count):
        w.lists[SCRATCH, index] = w.lists[PENDING_PODS, index]
    w.i[PENDING] = 0
    for index in range(count):
        which = w.lists[SCRATCH, index]
        if not try_place(w, which):
            w.lists[PENDING_PODS, w.i[PENDING]] = which
            w.i[PENDING] += 1
    if w.i[PENDING] > 0:
        ask_for_node(w)
    if w.i[PENDING] < count:
        reconciler.touch(w)


def pod_gone(w: World, which: int) -> None:
    """A pod has left its node."""
    node = w.pod[which, NODE]
    if node != NOTHING:
        w.node[node, N_PODS] -= 1
        rest(w, node)
        place_pending(w)


def stage_time(w: World, which: int, when: int) -> int:
    """Time [ns] that all stages of one kind of ``when`` take together."""
    total = 0
    for stage in range(len(w.stage)):
        if w.stage[stage, S_WHEN] == when:
            total += drawn(w, which, stage)
    return total


def drawn(w: World, which: int, stage: int) -> int:
    """Drawn time [ns] of a pod's stage."""
    return int(w.pod_draw[which, of.STAGES + stage * len(w.type_factor) + w.pod[which, TYPE]])


def let_move(w: World, which: int) -> None:
    """Note that a pod can go on with its start."""
    w.movers[w.i[MOVERS]] = which
    w.i[MOVERS] += 1


def move(w: World) -> None:
    """Take the pods that can go on through their next stages while no time passes, and those that this lets go on."""
    mover = 0
    while mover < w.i[MOVERS]:
        step(w, w.movers[mover])
        mover += 1
    w.i[MOVERS] = 0


def step(w: World, which: int) -> None:
    """Take one pod through its next stages as far as no time passes."""
    row = w.pod[which]
    while row[STAGE] < len(w.stage):
        stage = row[STAGE]
        if w.stage[stage, S_WHEN] != of.BEFORE_READY:
            row[STAGE] += 1
            continue
        if w.stage[stage, S_KIND] == of.START and row[CONTAINERS] == NEVER_NS:
            row[CONTAINERS] = w.i[NOW]
            row[BEGAN] = w.i[NOW]
        if not row[BEGUN] and not begin(w, which, stage):
            return
        row[BEGUN] = 0
        row[STAGE] += 1
    if row[CONTAINERS] == NEVER_NS:
        row[CONTAINERS] = w.i[NOW]
        row[BEGAN] = w.i[NOW]
    if pod.startup_sees(w, which) < 0:
        restart(w, which)
        return
    if w.x[P.crash_probability] > 0.0:
        unlucky = chance(w.key, row[NUMBER], CRASH + row[ATTEMPT])
        if unlucky < w.x[P.crash_probability] * CHANCE_ONE:
            restart(w, which)
            return
    pod.opens(w, which)


def restart(w: World, which: int) -> None:
    """The container failed at the end of its start; Kubernetes waits and starts it again."""
    w.i[CRASHED] = 1
    reconciler.touch(w)
    row = w.pod[which]
    row[STAGE_DUE] = w.i[NOW] + pods.back_off(w.p[P.restart_ns], row[ATTEMPT])
    row[ATTEMPT] += 1
    stage = 0
    while stage < len(w.stage) and not (
        w.stage[stage, S_WHEN] == of.BEFORE_READY and w.stage[stage, S_KIND] == of.START
    ):
        stage += 1
    row[STAGE] = stage
    row[RESTARTING] = 1
    agenda.plan(w, row[STAGE_DUE], STAGE_KIND, which)


def begin(w: World, which: int, stage: int) -> bool:
    """Begin a stage; whether it is over at once."""
    row = w.pod[which]
    if w.stage[stage, S_AT_A_TIME]:
        if w.stage[stage, S_BUSY] >= w.stage[stage, S_AT_A_TIME]:
            w.i[TICKETS] += 1
            row[TICKET] = w.i[TICKETS]
            return False
        w.stage[stage, S_BUSY] += 1
    row[BEGUN] = 1
    if w.stage[stage, S_KIND] == of.PULL and row[PULL_NS] == NEVER_NS:
        row[PULL_NS] = w.i[NOW]
    node = row[NODE]
    if w.stage[stage, S_CACHED]:
        if (w.node[node, N_IMAGE] >> stage) & 1:
            give_turn(w, stage)
            return True
        if w.node[node, N_PULLER] != NOTHING:
            w.i[TICKETS] += 1
            row[TICKET] = -w.i[TICKETS]
            return False
        w.node[node, N_PULLER] = which
    if w.stage_x[stage, S_BYTES] > 0.0:
        work_ns = int(w.stage_x[stage, S_BYTES] / w.stage_x[stage, S_BANDWIDTH] * 1e9)
        sharing.begin_transfer(w, stage, which, work_ns)
        return False
    takes_ns = drawn(w, which, stage)
    if takes_ns == 0:
        ended(w, which, stage)
        return True
    row[STAGE_DUE] = w.i[NOW] + takes_ns
    agenda.plan(w, row[STAGE_DUE], STAGE_KIND, which)
    return False


def give_turn(w: World, stage: int) -> None:
    """A pod leaves a stage that takes few at a time: the next one begins it."""
    if w.stage[stage, S_AT_A_TIME]:
        w.stage[stage, S_BUSY] -= 1
        first = NOTHING
        for other in range(w.i[PODS]):
            if w.pod[other, TICKET] > 0 and w.pod[other, STAGE] == stage:
                if first == NOTHING or w.pod[other, TICKET] < w.pod[first, TICKET]:
                    first = other
        if first != NOTHING:
            w.pod[first, TICKET] = 0
            let_move(w, first)


def next_puller(w: World, node: int) -> int:
    """The pod that has waited for longest for a pull on a node, or ``NOTHING``."""
    first = NOTHING
    for other in range(w.i[PODS]):
        if w.pod[other, TICKET] < 0 and w.pod[other, NODE] == node:
            if first == NOTHING or w.pod[other, TICKET] > w.pod[first, TICKET]:
                first = other
    return first


def ended(w: World, which: int, stage: int) -> None:
    """What others gain from a pod's having ended a stage."""
    node = w.pod[which, NODE]
    if w.stage[stage, S_CACHED] and w.node[node, N_PULLER] == which:
        w.node[node, N_PULLER] = NOTHING
        w.node[node, N_IMAGE] |= 1 << stage
        other = next_puller(w, node)
        while other != NOTHING:
            begin_again(w, other)
            other = next_puller(w, node)
    give_turn(w, stage)


def begin_again(w: World, which: int) -> None:
    """Let a pod that waited for another's pull begin its stage anew: the image is there now, or it pulls itself."""
    stage = w.pod[which, STAGE]
    w.pod[which, TICKET] = 0
    w.pod[which, BEGUN] = 0
    if w.stage[stage, S_AT_A_TIME]:
        w.stage[stage, S_BUSY] -= 1
    let_move(w, which)


def stage_done(w: World, which: int) -> None:
    """A pod's stage, or its wait before a restart, ends."""
    row = w.pod[which]
    if row[STAGE_DUE] != w.i[NOW] or row[PHASE] != STARTING:
        return
    row[STAGE_DUE] = FOREVER_NS
    if row[RESTARTING]:
        row[RESTARTING] = 0
        row[BEGAN] = w.i[NOW]
    else:
        stage = row[STAGE]
        if w.stage_x[stage, S_BYTES] > 0.0:
            sharing.end_transfer(w, stage, which)
        ended(w, which, stage)
    let_move(w, which)
    move(w)


def abandon(w: World, which: int) -> None:
    """A pod that was still starting is asked to go: what it held becomes free."""
    pending = w.lists[PENDING_PODS]
    for index in range(w.i[PENDING]):
        if pending[index] == which:
            w.i[PENDING] -= 1
            for later in range(index, w.i[PENDING]):
                pending[later] = pending[later + 1]
            break
    row = w.pod[which]
    stage = row[STAGE]
    row[STAGE_DUE] = FOREVER_NS
    if row[NODE] == NOTHING or row[RESTARTING] or stage >= len(w.stage):
        return
    if row[TICKET] > 0:
        row[TICKET] = 0
        return
    if not row[BEGUN]:
        return
    if row[STAGE_TICKET]:
        sharing.end_transfer(w, stage, which)
    row[TICKET] = 0
    node = row[NODE]
    if w.node[node, N_PULLER] == which:
        w.node[node, N_PULLER] = NOTHING
        heir = next_puller(w, node)
        if heir != NOTHING:
            begin_again(w, heir)
    give_turn(w, stage)
    move(w)


KERNELS = (
    new_node, set_up, first_node, may_add, add_node, ask_for_node, drawn, stage_time, let_move, give_turn, next_puller,
    begin_again, ended, begin, restart, step, move, try_place, place, rest, place_pending, node_due, pod_gone,
    stage_done, abandon,
)  # fmt: skip
