"""The gateway: to an activator or to a pod, as the public endpoints it has seen say."""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.draws import ACTIVATOR_A, ACTIVATOR_B, HOST_A, HOST_B, WORKER, pick, session_of
from kpasim.policy import burst

if TYPE_CHECKING:
    from tests.oracle.clients import Request
    from tests.oracle.pod import Pod
    from tests.oracle.simulation import Simulation


class Ingress:
    """An Envoy-like gateway with its own view of the endpoints.

    Attributes:
        visible: Pods that it sees, in the order of their addresses.
        turn: How many requests each of its workers has sent to pods; round robin counts on when the pods change.

    Source:
        Envoy's round robin and least request (two random choices). A connection belongs to one worker thread.
    """

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.mode = burst.PROXY
        self.visible: list[int] = []
        self.turn = [0] * sim.p.ingress_workers
        self.activator_turn = 0
        self.activators = 1
        self.sticky_pod = [-1] * sim.p.sessions
        self.sticky_activator = [-1] * sim.p.sessions
        self.sticky_ns = [of.NEVER_NS] * sim.p.sessions

    def show(self, pod: Pod) -> None:
        """A ready pod reaches the gateway's view."""
        if not pod.terminating and pod.ready:
            insort(self.visible, pod.index, key=lambda index: (self.sim.pods[index].address, index))

    def hide(self, pod: Pod) -> None:
        """A pod that goes leaves the gateway's view."""
        if pod.index in self.visible:
            self.visible.remove(pod.index)

    def set_mode(self, mode: int) -> None:
        """The gateway sees activators or pods as public endpoints."""
        self.mode = mode

    def arrive(self, request: Request) -> None:
        """Send a request on."""
        sim = self.sim
        p = sim.p
        if request.where == "ended":
            return
        request.front_ns = sim.now
        sim.at(sim.now + p.timeout_ns, Kind.TIMEOUT, request.index, lambda: self.time_out(request))
        if p.first_byte_timeout_ns:
            due_ns = sim.now + p.first_byte_timeout_ns
            sim.at(due_ns, Kind.FIRST_BYTE, request.index, lambda: self.first_byte_due(request))
        session = self.session(request)
        direct = self.mode == burst.SERVE and bool(self.visible) and not p.always_activator
        if session >= 0 and (direct or p.affinity == of.POD_AFFINITY) and self.sticky_pod[session] in self.visible:
            self.send_direct(request, self.sticky_pod[session])
        elif direct:
            self.send_direct(request, self.choose_pod(request))
        else:
            sticks = session >= 0 and p.affinity == of.UPSTREAM_AFFINITY
            index = self.sticky_activator[session] if sticks else -1
            if not 0 <= index < self.activators:
                index = self.choose_activator(request)
            sim.activators[index].enter(request)

    def send_direct(self, request: Request, pod: int) -> None:
        """Send a request past the activators."""
        status = self.sim.pods[pod].join(request, direct=True)
        if status:
            self.sim.clients.end(request, status)

    def client(self, request: Request) -> int:
        """The session that a request belongs to."""
        p = self.sim.p
        return session_of(self.sim.d.key, request.draw, request.worker if p.closed else -1, p.sessions)

    def session(self, request: Request) -> int:
        """Session whose cookie a request carries, -1 for none."""
        p = self.sim.p
        if not p.cookies or p.affinity == of.NO_AFFINITY:
            return -1
        session = self.client(request)
        if p.affinity_timeout_ns and self.sim.now - self.sticky_ns[session] > p.affinity_timeout_ns:
            return -1
        return session

    def answered(self, request: Request) -> None:
        """A response sets the session's cookie."""
        p = self.sim.p
        if not p.cookies or p.affinity == of.NO_AFFINITY:
            return
        session = self.client(request)
        self.sticky_ns[session] = self.sim.now
        assert request.pod is not None
        if request.activator is None or p.affinity == of.POD_AFFINITY:
            self.sticky_pod[session] = request.pod.index
        if request.activator is not None:
            self.sticky_activator[session] = request.activator.index

    def choose_pod(self, request: Request) -> int:
        """The gateway's choice among the pods it sees."""
        sim = self.sim
        count = len(self.visible)
        policy = sim.p.ingress_policy
        if policy == of.ROUND_ROBIN:
            connection = request.worker if sim.p.closed else request.index
            worker = pick(sim.d.key, connection, WORKER, sim.p.ingress_workers)
            self.turn[worker] += 1
            return self.visible[(self.turn[worker] - 1) % count]
        first = self.visible[pick(sim.d.key, request.index, HOST_A, count)]
        if policy == of.RANDOM:
            return first
        second = self.visible[pick(sim.d.key, request.index, HOST_B, count)]
        return second if sim.pods[second].direct_inside < sim.pods[first].direct_inside else first

    def choose_activator(self, request: Request) -> int:
        """The gateway's choice among the activators."""
        sim = self.sim
        count = self.activators
        if count == 1:
            return 0
        if sim.p.ingress_policy == of.ROUND_ROBIN:
            place = self.activator_turn % count
            self.activator_turn = place + 1
            return place
        first = pick(sim.d.key, request.index, ACTIVATOR_A, count)
        if sim.p.ingress_policy == of.RANDOM:
            return first
        second = pick(sim.d.key, request.index, ACTIVATOR_B, count)
        return second if sim.activators[second].inside < sim.activators[first].inside else first

    def time_out(self, request: Request) -> None:
        """The request's timeoutSeconds are over."""
        if request.where != "ended":
            self.sim.clients.withdraw(request, 504)

    def first_byte_due(self, request: Request) -> None:
        """The request's responseStartTimeoutSeconds or idleTimeoutSeconds are over."""
        idle_ns = self.sim.p.stream_idle_ns
        silent = request.first_byte_ns > self.sim.now or (idle_ns and request.first_byte_ns + idle_ns <= self.sim.now)
        if request.where != "ended" and silent:
            self.sim.clients.withdraw(request, 504)
