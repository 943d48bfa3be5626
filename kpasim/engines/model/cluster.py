"""Nodes, and the stages of a pod's start."""

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.draws import CHANCE_ONE, CRASH, chance
from kpasim.engines.model import clients, kubelet, queues, reconciler, transfers
from kpasim.engines.model.state import (
    FOR_NODE,
    FOR_PULL,
    FOR_TURN,
    MORE_NODES,
    NOT_WAITING,
    NOTHING,
    STARTING,
    Simulation,
    renew,
)
from kpasim.engines.params import FOREVER_NS, NEVER_NS
from kpasim.policy import pods

NODE_KIND, STAGE_KIND = int(Kind.NODE), int(Kind.STAGE)


def set_up(sim: Simulation) -> None:
    """The nodes that are there from the beginning."""
    for pool in range(len(sim.params.pool_type)):
        for _ in range(sim.params.pool_ready[pool]):
            node = new_node(sim, pool, 0)
            sim.nodes[node].ready_ns = 0


def new_node(sim: Simulation, pool: int, added: int) -> int:
    """One more row for a node."""
    node = sim.cluster.nodes
    if node >= len(sim.nodes):
        sim.fault = MORE_NODES
        return 0
    sim.cluster.nodes = node + 1
    renew(sim.nodes[node])
    renew(sim.pullers[node])
    if sim.params.shared_by_node and len(sim.gpus):
        renew(sim.gpus[node])
    sim.nodes[node].pool = pool
    sim.nodes[node].type = sim.params.pool_type[pool]
    sim.nodes[node].created_ns = sim.now_ns
    sim.nodes[node].added = added
    return int(node)


def first_node(sim: Simulation) -> int:
    """The first node that has not gone; those before it are not looked at again."""
    node = sim.cluster.first_node
    while node < sim.cluster.nodes and sim.nodes[node].gone_ns != NEVER_NS:
        node += 1
    sim.cluster.first_node = node
    return int(node)


def place(sim: Simulation, which: int) -> None:
    """Give a new pod a node, or let it wait for one."""
    if not try_place(sim, which):
        sim.pods[which].waits = FOR_NODE
        queues.append_pod(sim, sim.pending, which)
        ask_for_node(sim)
        reconciler.enqueue(sim)


def try_place(sim: Simulation, which: int) -> bool:
    """Give a pod a node if there is one."""
    for pool in range(len(sim.params.pool_type)):
        best = NOTHING
        # An instance for one pod alone ends with its pod, so there is none to look for.
        alone = sim.params.pool_slots[pool] == 1 and sim.params.pool_release_ns[pool] == 0
        if not alone or sim.params.pool_provisioned[pool] or sim.params.pool_ready[pool] > 0:
            for node in range(first_node(sim), sim.cluster.nodes):
                if (
                    sim.nodes[node].pool == pool
                    and sim.nodes[node].ready_ns != NEVER_NS
                    and sim.nodes[node].gone_ns == NEVER_NS
                    and sim.nodes[node].pods < sim.params.pool_slots[pool]
                    and (best == NOTHING or sim.nodes[node].pods < sim.nodes[best].pods)
                ):
                    best = node
        if best == NOTHING and not sim.params.pool_provisioned[pool] and may_add(sim, pool):
            best = add_node(sim, pool)
            sim.nodes[best].ready_ns = sim.now_ns
        if best != NOTHING:
            sim.nodes[best].pods += 1
            sim.nodes[best].due_ns = FOREVER_NS
            sim.pods[which].node = best
            sim.pods[which].type = sim.nodes[best].type
            sim.pods[which].scheduled_ns = sim.now_ns
            stop_waiting(sim, which)
            let_move(sim, which)
            move(sim)
            return True
    return False


def may_add(sim: Simulation, pool: int) -> bool:
    """Whether a pool may have one more node."""
    most = sim.params.pool_max[pool]
    if most < 0:
        return True
    count = 0
    for node in range(first_node(sim), sim.cluster.nodes):
        if sim.nodes[node].pool == pool and sim.nodes[node].gone_ns == NEVER_NS:
            count += 1
    return bool(count < most)


def add_node(sim: Simulation, pool: int) -> int:
    """Add a node to a pool."""
    if sim.cluster.added >= len(sim.draws.node):
        sim.fault = MORE_NODES
        return 0
    sim.cluster.added += 1
    return new_node(sim, pool, 1)


def ask_for_node(sim: Simulation) -> None:
    """Order a node if those on their way are too few for the pods that wait."""
    coming = 0
    for node in range(first_node(sim), sim.cluster.nodes):
        if sim.nodes[node].ready_ns == NEVER_NS:
            coming += sim.params.pool_slots[sim.nodes[node].pool]
    if coming >= sim.pending.count:
        return
    for pool in range(len(sim.params.pool_type)):
        if sim.params.pool_provisioned[pool] and may_add(sim, pool):
            node = add_node(sim, pool)
            if sim.fault:
                return
            sim.nodes[node].due_ns = sim.now_ns + sim.draws.node[sim.cluster.added - 1][pool]
            sim.schedule(sim.nodes[node].due_ns, NODE_KIND, node)
            return


def on_node_due(sim: Simulation, node: int) -> None:
    """A node is ready, or has been idle for long enough to leave."""
    if sim.nodes[node].due_ns != sim.now_ns:
        return
    sim.nodes[node].due_ns = FOREVER_NS
    if sim.nodes[node].ready_ns == NEVER_NS:
        sim.nodes[node].ready_ns = sim.now_ns
        place_pending(sim)
        release_when_idle(sim, node)
    else:
        sim.nodes[node].gone_ns = sim.now_ns
        place_pending(sim)
        clients.settle(sim)


def release_when_idle(sim: Simulation, node: int) -> None:
    """Let an added node without pods leave after its release time."""
    if sim.nodes[node].pods or not sim.nodes[node].added or sim.nodes[node].gone_ns != NEVER_NS:
        return
    pool = sim.nodes[node].pool
    release_ns = sim.params.pool_release_ns[pool]
    if release_ns == 0 and not sim.params.pool_provisioned[pool]:
        sim.nodes[node].gone_ns = sim.now_ns
        return
    sim.nodes[node].due_ns = sim.now_ns + release_ns
    sim.schedule(sim.nodes[node].due_ns, NODE_KIND, node)


def place_pending(sim: Simulation) -> None:
    """Place the pods that wait, in order of creation, as far as there is room."""
    count = sim.pending.count
    # Where one pod finds no place, none does.
    while sim.pending.count > 0:
        if not try_place(sim, sim.pending.head):
            break
    if sim.pending.count > 0:
        ask_for_node(sim)
    if sim.pending.count < count:
        reconciler.enqueue(sim)


def on_pod_gone(sim: Simulation, which: int) -> None:
    """A pod has left its node."""
    node = sim.pods[which].node
    if node != NOTHING:
        sim.nodes[node].pods -= 1
        release_when_idle(sim, node)
        place_pending(sim)


def stage_time(sim: Simulation, which: int, when: int) -> int:
    """Time [ns] that all stages of one kind of ``when`` take together."""
    total = 0
    for stage in range(len(sim.params.stage_kind)):
        if sim.params.stage_when[stage] == when:
            total += drawn(sim, which, stage)
    return total


def drawn(sim: Simulation, which: int, stage: int) -> int:
    """Drawn time [ns] of a pod's stage."""
    return int(sim.draws.pod[which][of.STAGES + stage * len(sim.params.type_factor) + sim.pods[which].type])


def let_move(sim: Simulation, which: int) -> None:
    """Note that a pod can go on with its start."""
    sim.movers[sim.cluster.movers] = which
    sim.cluster.movers += 1


def move(sim: Simulation) -> None:
    """Take the pods that can go on through their next stages while no time passes, and those that this lets go on."""
    mover = 0
    while mover < sim.cluster.movers:
        step(sim, sim.movers[mover])
        mover += 1
    sim.cluster.movers = 0


def step(sim: Simulation, which: int) -> None:
    """Take one pod through its next stages as far as no time passes."""
    pod = sim.pods[which]
    while pod.stage < len(sim.params.stage_kind):
        note_provisioned(sim, which)
        stage = pod.stage
        if sim.params.stage_when[stage] != of.BEFORE_READY:
            pod.stage += 1
            continue
        if sim.params.stage_kind[stage] == of.START and pod.containers_ns == NEVER_NS:
            pod.containers_ns = sim.now_ns
            pod.began_ns = sim.now_ns
        if not pod.stage_begun and not begin(sim, which, stage):
            return
        pod.stage_begun = 0
        pod.stage += 1
    note_provisioned(sim, which)
    if pod.containers_ns == NEVER_NS:
        pod.containers_ns = sim.now_ns
        pod.began_ns = sim.now_ns
    if kubelet.startup_sees(sim, which) < 0:
        restart(sim, which)
        return
    if sim.params.crash_probability > 0.0:
        unlucky = chance(sim.draws.key, sim.numbers[which], CRASH + pod.restarts)
        if unlucky < sim.params.crash_probability * CHANCE_ONE:
            restart(sim, which)
            return
    kubelet.on_listening(sim, which)


def note_provisioned(sim: Simulation, which: int) -> None:
    """Note when a pod has gone through the last stage of provisioning."""
    pod = sim.pods[which]
    if pod.provisioned_ns != NEVER_NS:
        return
    for stage in range(pod.stage, len(sim.params.stage_kind)):
        if sim.params.stage_kind[stage] == of.PROVISION and sim.params.stage_when[stage] == of.BEFORE_READY:
            return
    pod.provisioned_ns = sim.now_ns


def restart(sim: Simulation, which: int) -> None:
    """The container failed at the end of its start; Kubernetes waits and starts it again."""
    sim.revision.crashed = 1
    reconciler.enqueue(sim)
    pod = sim.pods[which]
    pod.stage_due_ns = sim.now_ns + pods.back_off(sim.params.restart_ns, pod.restarts)
    pod.restarts += 1
    stage = 0
    while stage < len(sim.params.stage_kind) and not (
        sim.params.stage_when[stage] == of.BEFORE_READY and sim.params.stage_kind[stage] == of.START
    ):
        stage += 1
    pod.stage = stage
    pod.restarting = 1
    sim.schedule(pod.stage_due_ns, STAGE_KIND, which)


def begin(sim: Simulation, which: int, stage: int) -> bool:
    """Begin a stage; whether it is over at once."""
    pod = sim.pods[which]
    if sim.params.stage_at_a_time[stage]:
        if sim.stages[stage].busy >= sim.params.stage_at_a_time[stage]:
            pod.waits = FOR_TURN
            queues.append_pod(sim, sim.turns[stage], which)
            return False
        sim.stages[stage].busy += 1
    pod.stage_begun = 1
    if sim.params.stage_kind[stage] == of.PULL and pod.pull_ns == NEVER_NS:
        pod.pull_ns = sim.now_ns
    node = pod.node
    if sim.params.stage_cached[stage]:
        if (sim.nodes[node].images >> stage) & 1:
            give_turn(sim, stage)
            return True
        if sim.nodes[node].puller != NOTHING:
            pod.waits = FOR_PULL
            queues.append_pod(sim, sim.pullers[node], which)
            return False
        sim.nodes[node].puller = which
    if sim.params.stage_bytes[stage] > 0.0:
        work_ns = int(sim.params.stage_bytes[stage] / sim.params.stage_bandwidth[stage] * 1e9)
        transfers.start(sim, stage, which, work_ns)
        return False
    takes_ns = drawn(sim, which, stage)
    if takes_ns == 0:
        ended(sim, which, stage)
        return True
    pod.stage_due_ns = sim.now_ns + takes_ns
    sim.schedule(pod.stage_due_ns, STAGE_KIND, which)
    return False


def give_turn(sim: Simulation, stage: int) -> None:
    """A pod leaves a stage that takes few at a time: the next one begins it."""
    if sim.params.stage_at_a_time[stage]:
        sim.stages[stage].busy -= 1
        first = sim.turns[stage].head
        if first != NOTHING:
            stop_waiting(sim, first)
            let_move(sim, first)


def stop_waiting(sim: Simulation, which: int) -> None:
    """A pod waits no longer: for a node, for its turn or for another's pull."""
    pod = sim.pods[which]
    if pod.waits == FOR_NODE:
        queues.remove_pod(sim, sim.pending, which)
    elif pod.waits == FOR_TURN:
        queues.remove_pod(sim, sim.turns[pod.stage], which)
    elif pod.waits == FOR_PULL:
        queues.remove_pod(sim, sim.pullers[pod.node], which)
    pod.waits = NOT_WAITING


def ended(sim: Simulation, which: int, stage: int) -> None:
    """What others gain from a pod's having ended a stage."""
    node = sim.pods[which].node
    if sim.params.stage_cached[stage] and sim.nodes[node].puller == which:
        sim.nodes[node].puller = NOTHING
        sim.nodes[node].images |= 1 << stage
        while sim.pullers[node].count > 0:
            begin_again(sim, sim.pullers[node].head)
    give_turn(sim, stage)


def begin_again(sim: Simulation, which: int) -> None:
    """Let a pod that waited for another's pull begin its stage anew: the image is there now, or it pulls itself."""
    stage = sim.pods[which].stage
    stop_waiting(sim, which)
    sim.pods[which].stage_begun = 0
    if sim.params.stage_at_a_time[stage]:
        sim.stages[stage].busy -= 1
    let_move(sim, which)


def on_stage_done(sim: Simulation, which: int) -> None:
    """A pod's stage, or its wait before a restart, ends."""
    pod = sim.pods[which]
    if pod.stage_due_ns != sim.now_ns or pod.phase != STARTING:
        return
    pod.stage_due_ns = FOREVER_NS
    if pod.restarting:
        pod.restarting = 0
        pod.began_ns = sim.now_ns
    else:
        stage = pod.stage
        if sim.params.stage_bytes[stage] > 0.0:
            transfers.stop(sim, stage, which)
        ended(sim, which, stage)
    let_move(sim, which)
    move(sim)


def abandon(sim: Simulation, which: int) -> None:
    """A pod that was still starting is asked to go: what it held becomes free."""
    pod = sim.pods[which]
    stage = pod.stage
    pod.stage_due_ns = FOREVER_NS
    if pod.waits == FOR_NODE:
        stop_waiting(sim, which)
    if pod.node == NOTHING or pod.restarting or stage >= len(sim.params.stage_kind):
        return
    if pod.waits == FOR_TURN:
        stop_waiting(sim, which)
        return
    if not pod.stage_begun:
        return
    if pod.in_transfer:
        transfers.stop(sim, stage, which)
    stop_waiting(sim, which)
    node = pod.node
    if sim.nodes[node].puller == which:
        sim.nodes[node].puller = NOTHING
        if sim.pullers[node].count > 0:
            begin_again(sim, sim.pullers[node].head)
    give_turn(sim, stage)
    move(sim)
