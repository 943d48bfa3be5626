"""Nodes, and the stages of a pod's start."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.draws import CHANCE_ONE, CRASH, chance
from kpasim.engines.outcome import CapacityExceeded
from kpasim.policy import pods
from tests.oracle.pod import STARTING, Pod
from tests.oracle.sharing import Sharing

if TYPE_CHECKING:
    from tests.oracle.simulation import Simulation


class Node:
    """A node of a pool, or the instance that one serverless pod runs on.

    Attributes:
        images: The cached stages whose images are here.
        puller: The pod that is pulling one now.
        waiting: Pods that wait for that.
    """

    def __init__(self, sim: Simulation, index: int, pool: int, *, added: bool) -> None:
        self.index = index
        self.pool = pool
        self.type = int(sim.p.pool_type[pool])
        self.added = added
        self.created_ns = sim.now
        self.ready_ns = of.NEVER_NS
        self.gone_ns = of.NEVER_NS
        self.due_ns = of.FOREVER_NS
        self.pods = 0
        self.images: set[int] = set()
        self.puller: Pod | None = None
        self.waiting: list[Pod] = []
        self.share = Sharing(sim, sim.slowdown, Kind.DONE)

    @property
    def usable(self) -> bool:
        """Whether pods can be placed here."""
        return self.ready_ns != of.NEVER_NS and self.gone_ns == of.NEVER_NS


class Cluster:
    """Where pods run and how they get there."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        p = sim.p
        self.nodes: list[Node] = []
        self.added = 0
        self.pending: list[Pod] = []
        self.movers: list[Pod] = []
        stages = len(p.stage_kind)
        self.busy = [0] * stages
        self.waiting: list[list[Pod]] = [[] for _ in range(stages)]
        self.transfers = [Sharing(sim, np.zeros(0), Kind.STAGE) for _ in range(stages)]
        for pool in range(len(p.pool_type)):
            for _ in range(int(p.pool_ready[pool])):
                node = Node(sim, len(self.nodes), pool, added=False)
                node.ready_ns = 0
                self.nodes.append(node)

    # placement

    def place(self, pod: Pod) -> None:
        """Give a new pod a node, or let it wait for one."""
        if not self.try_place(pod):
            self.pending.append(pod)
            self.ask_for_node()
            self.sim.reconciler.touch()

    def try_place(self, pod: Pod) -> bool:
        """Give a pod a node if there is one; whether there was."""
        p = self.sim.p
        for pool in range(len(p.pool_type)):
            best: Node | None = None
            for node in self.nodes:
                room = node.pool == pool and node.usable and node.pods < p.pool_slots[pool]
                if room and (best is None or node.pods < best.pods):
                    best = node
            if best is None and not p.pool_provisioned[pool] and self.may_add(pool):
                best = self.add_node(pool)
                best.ready_ns = self.sim.now
            if best is not None:
                best.pods += 1
                best.due_ns = of.FOREVER_NS
                pod.node = best
                pod.scheduled_ns = self.sim.now
                self.move(pod)
                return True
        return False

    def may_add(self, pool: int) -> bool:
        """Whether a pool may have one more node."""
        most = int(self.sim.p.pool_max[pool])
        return most < 0 or sum(1 for node in self.nodes if node.pool == pool and node.gone_ns == of.NEVER_NS) < most

    def add_node(self, pool: int) -> Node:
        """Add a node to a pool."""
        if self.added >= len(self.sim.d.node):
            raise CapacityExceeded("nodes")
        node = Node(self.sim, len(self.nodes), pool, added=True)
        self.nodes.append(node)
        self.added += 1
        return node

    def ask_for_node(self) -> None:
        """Order a node if those on their way are too few for the pods that wait."""
        p = self.sim.p
        coming = sum(int(p.pool_slots[node.pool]) for node in self.nodes if node.ready_ns == of.NEVER_NS)
        if coming >= len(self.pending):
            return
        for pool in range(len(p.pool_type)):
            if p.pool_provisioned[pool] and self.may_add(pool):
                node = self.add_node(pool)
                node.due_ns = self.sim.now + int(self.sim.d.node[self.added - 1, pool])
                self.sim.at(node.due_ns, Kind.NODE, node.index, partial(self.node_due, node))
                return

    def node_due(self, node: Node) -> None:
        """A node is ready, or has been idle for long enough to leave."""
        if node.due_ns != self.sim.now:
            return
        node.due_ns = of.FOREVER_NS
        if node.ready_ns == of.NEVER_NS:
            node.ready_ns = self.sim.now
            self.place_pending()
            self.rest(node)
        else:
            node.gone_ns = self.sim.now
            self.place_pending()
            self.sim.settle()

    def rest(self, node: Node) -> None:
        """Let an added node without pods leave after its release time."""
        if node.pods or not node.added or node.gone_ns != of.NEVER_NS:
            return
        release_ns = int(self.sim.p.pool_release_ns[node.pool])
        if release_ns == 0 and not self.sim.p.pool_provisioned[node.pool]:
            node.gone_ns = self.sim.now
            return
        node.due_ns = self.sim.now + release_ns
        self.sim.at(node.due_ns, Kind.NODE, node.index, lambda: self.node_due(node))

    def place_pending(self) -> None:
        """Place the pods that wait, in order of creation, as far as there is room."""
        waiting = self.pending
        self.pending = []
        for pod in waiting:
            if not self.try_place(pod):
                self.pending.append(pod)
        if self.pending:
            self.ask_for_node()
        if len(self.pending) < len(waiting):
            self.sim.reconciler.touch()

    def pod_gone(self, pod: Pod) -> None:
        """A pod has left its node."""
        node = pod.node
        if node is not None:
            node.pods -= 1
            self.rest(node)
            self.place_pending()

    @property
    def releases(self) -> bool:
        """Whether an added node without a pod is there or on its way, which will be released."""
        return any(node.added and node.gone_ns == of.NEVER_NS and node.pods == 0 for node in self.nodes)

    # start

    def stage_time(self, pod: Pod, when: int) -> int:
        """Time [ns] that all stages of one kind of ``when`` take together."""
        p = self.sim.p
        total = 0
        for stage in range(len(p.stage_kind)):
            if p.stage_when[stage] == when:
                total += self.drawn(pod, stage)
        return total

    def drawn(self, pod: Pod, stage: int) -> int:
        """Drawn time of a pod's stage [ns]."""
        assert pod.node is not None
        types = len(self.sim.p.type_factor)
        return int(self.sim.d.pod[pod.index, of.STAGES + stage * types + pod.node.type])

    def move(self, *pods: Pod) -> None:
        """Take pods that can go on through their next stages while no time passes, and those that this lets go on."""
        self.movers.extend(pods)
        while self.movers:
            self.step(self.movers.pop(0))

    def step(self, pod: Pod) -> None:
        """Take one pod through its next stages as far as no time passes."""
        p = self.sim.p
        while pod.stage < len(p.stage_kind):
            self.note_provisioned(pod)
            stage = pod.stage
            if p.stage_when[stage] != of.BEFORE_READY:
                pod.stage += 1
                continue
            if p.stage_kind[stage] == of.START and pod.containers_ns == of.NEVER_NS:
                pod.containers_ns = pod.began_ns = self.sim.now
            if not pod.stage_begun and not self.begin(pod, stage):
                return
            pod.stage_begun = False
            pod.stage += 1
        self.note_provisioned(pod)
        if pod.containers_ns == of.NEVER_NS:
            pod.containers_ns = pod.began_ns = self.sim.now
        if pod.startup_sees() < 0:
            self.restart(pod)
            return
        if p.crash_probability > 0.0:
            unlucky = chance(self.sim.d.key, pod.index, CRASH + pod.attempt)
            if unlucky < p.crash_probability * CHANCE_ONE:
                self.restart(pod)
                return
        pod.opens()

    def note_provisioned(self, pod: Pod) -> None:
        """Note when a pod has gone through the last stage of provisioning."""
        p = self.sim.p
        ahead = zip(p.stage_kind[pod.stage :], p.stage_when[pod.stage :], strict=True)
        if pod.provisioned_ns == of.NEVER_NS and (of.PROVISION, of.BEFORE_READY) not in ahead:
            pod.provisioned_ns = self.sim.now

    def restart(self, pod: Pod) -> None:
        """The container failed at the end of its start; Kubernetes waits and starts it again."""
        p = self.sim.p
        self.sim.reconciler.crashed = True
        self.sim.reconciler.touch()
        pod.done_ns = self.sim.now + pods.back_off(p.restart_ns, pod.attempt)
        pod.attempt += 1
        stage = 0
        while stage < len(p.stage_kind) and not (
            p.stage_when[stage] == of.BEFORE_READY and p.stage_kind[stage] == of.START
        ):
            stage += 1
        pod.stage = stage
        pod.restarting = True
        self.sim.at(pod.done_ns, Kind.STAGE, pod.index, pod.is_done)

    def begin(self, pod: Pod, stage: int) -> bool:
        """Begin a stage; whether it is over at once."""
        p = self.sim.p
        if p.stage_at_a_time[stage]:
            if self.busy[stage] >= p.stage_at_a_time[stage]:
                self.waiting[stage].append(pod)
                return False
            self.busy[stage] += 1
        pod.stage_begun = True
        if p.stage_kind[stage] == of.PULL and pod.pull_ns == of.NEVER_NS:
            pod.pull_ns = self.sim.now
        node = pod.node
        assert node is not None
        if p.stage_cached[stage]:
            if stage in node.images:
                self.give_turn(stage)
                return True
            if node.puller is not None:
                node.waiting.append(pod)
                return False
            node.puller = pod
        if p.stage_bytes[stage] > 0.0:
            work_ns = int(p.stage_bytes[stage] / p.stage_bandwidth[stage] * 1e9)
            self.transfers[stage].add(pod, work_ns)
            return False
        takes_ns = self.drawn(pod, stage)
        if takes_ns == 0:
            self.ended(pod, stage)
            return True
        pod.done_ns = self.sim.now + takes_ns
        self.sim.at(pod.done_ns, Kind.STAGE, pod.index, pod.is_done)
        return False

    def give_turn(self, stage: int) -> None:
        """A pod leaves a stage that takes few at a time: the next one begins it."""
        if self.sim.p.stage_at_a_time[stage]:
            self.busy[stage] -= 1
            if self.waiting[stage]:
                self.movers.append(self.waiting[stage].pop(0))

    def ended(self, pod: Pod, stage: int) -> None:
        """What others gain from a pod's having ended a stage."""
        node = pod.node
        assert node is not None
        if self.sim.p.stage_cached[stage] and node.puller is pod:
            node.puller = None
            node.images.add(stage)
            waiting, node.waiting = node.waiting, []
            for other in waiting:
                self.begin_again(other)
        self.give_turn(stage)

    def begin_again(self, pod: Pod) -> None:
        """Let a pod that waited for another's pull begin its stage anew: the image is there now, or it pulls itself."""
        pod.stage_begun = False
        if self.sim.p.stage_at_a_time[pod.stage]:
            self.busy[pod.stage] -= 1
        self.movers.append(pod)

    def stage_done(self, pod: Pod) -> None:
        """A pod's stage, or its wait before a restart, ends."""
        if pod.done_ns != self.sim.now or pod.phase != STARTING:
            return
        pod.done_ns = of.FOREVER_NS
        if pod.restarting:
            pod.restarting = False
            pod.began_ns = self.sim.now
        else:
            stage = pod.stage
            if self.sim.p.stage_bytes[stage] > 0.0:
                self.transfers[stage].remove(pod)
            self.ended(pod, stage)
        self.move(pod)

    def abandon(self, pod: Pod) -> None:
        """A pod that was still starting is asked to go: what it held becomes free."""
        if pod in self.pending:
            self.pending.remove(pod)
        stage = pod.stage
        pod.done_ns = of.FOREVER_NS
        if pod.node is None or pod.restarting or stage >= len(self.sim.p.stage_kind):
            return
        if pod in self.waiting[stage]:
            self.waiting[stage].remove(pod)
            return
        if not pod.stage_begun:
            return
        if pod.index in self.transfers[stage].members:
            self.transfers[stage].remove(pod)
        node = pod.node
        if pod in node.waiting:
            node.waiting.remove(pod)
        if node.puller is pod:
            node.puller = None
            if node.waiting:
                self.begin_again(node.waiting.pop(0))
        self.give_turn(stage)
        self.move()
