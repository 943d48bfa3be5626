"""The activator: it counts requests, holds them until a pod is free, and chooses the pod."""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Any

import numpy as np

from kpasim.engines import params as of
from kpasim.engines.clock import Kind, late
from kpasim.engines.draws import CHANCE_ONE, COIN, LATE_REPORT, LATE_WAKE, POD_A, POD_B, chance
from kpasim.policy import accounting, routing
from tests.oracle.ticker import Ticker
from tests.policy.unsimulated import slice_of

if TYPE_CHECKING:
    from tests.oracle.clients import Request
    from tests.oracle.pod import Pod
    from tests.oracle.simulation import Simulation


class Activator:
    """One activator's share of the revision.

    Attributes:
        index: Place among the activators in the order of their addresses.
        waiting: Requests without a pod, first come first served.
        waking: Requests that were woken for a free slot and have not taken it yet.
        in_flight: Requests this activator has with each pod, also with pods that have left.
        running: Requests it has with pods altogether.
        capacity: Requests it may have with pods altogether.
        view: ``(address, pod)`` of every pod whose probe succeeded, in the order of addresses.

    Source:
        knative/serving, pkg/activator/net/throttler.go, pkg/activator/handler/concurrency_reporter.go
    """

    def __init__(self, sim: Simulation, index: int) -> None:
        self.sim = sim
        self.index = index
        pods = len(sim.d.pod)
        phase_ns, purpose = int(sim.d.phase[of.REPORT + index]), LATE_REPORT + index
        self.reports = Ticker(phase_ns, of.SECOND_NS, sim.d.key, purpose, sim.p.clock_jitter_ns)
        self.stats: Any = [0] * accounting.COLUMNS  # Python reads a list several times as fast as an array
        self.waiting: dict[int, Request] = {}
        self.waking: dict[int, Request] = {}
        self.wakes = 0
        self.in_flight = np.zeros(pods, dtype=np.int64)
        self.slots = np.full(pods, sim.p.container_concurrency, dtype=np.int64)
        self.running = 0
        self.capacity = 0
        self.turn = 0
        self.view: list[tuple[int, int]] = []
        self.assigned = np.zeros(pods, dtype=np.int64)
        self.assigned_pods = 0

    @property
    def inside(self) -> int:
        """Requests that wait here or were sent on from here."""
        return int(self.stats[accounting.CONCURRENCY])

    # statistics

    def enter(self, request: Request) -> None:
        """A request arrives."""
        sim = self.sim
        request.activator = self
        if accounting.activator_enter(self.stats, sim.now):
            sim.at(sim.now + sim.p.first_stat_ns, Kind.POKE, self.index, self.poke)
            sim.at(self.reports.due_after(sim.now - 1), Kind.REPORT, self.index, self.report)
        request.where = "front"
        self.take_slot(request, handed_over=False)

    def poke(self) -> None:
        """Tell the autoscaler at once that there is a request."""
        self.sim.autoscaler.told(self.index, 1.0, 1.0, poked=True)

    def report(self) -> None:
        """Tell the autoscaler what the last second was like; again in a second while there is anything to tell."""
        sim = self.sim
        concurrency, count, alive = accounting.activator_report(self.stats, sim.now)
        sim.autoscaler.told(self.index, concurrency, float(count), poked=False)
        if alive:
            sim.at(self.reports.due_after(sim.now), Kind.REPORT, self.index, self.report)

    # the queue

    def dispatch(self, *, handed_over: bool) -> None:
        """Send waiting requests to pods while there are slots that no woken request is about to take."""
        while self.waiting and self.running + len(self.waking) < self.capacity:
            request = next(iter(self.waiting.values()))
            pod = self.choose(request)
            if pod < 0:
                return
            del self.waiting[request.index]
            self.send(request, pod, handed_over=handed_over)

    def take_slot(self, request: Request, *, handed_over: bool) -> None:
        """Send a request to a pod if there is a free slot, past all that wait; else it waits behind them."""
        pod = self.choose(request) if self.running < self.capacity else -1
        if pod < 0:
            self.waiting[request.index] = request
        else:
            self.send(request, pod, handed_over=handed_over)

    def send(self, request: Request, pod: int, *, handed_over: bool) -> None:
        """Send a request to a pod."""
        self.running += 1
        self.in_flight[pod] += 1
        status = self.sim.pods[pod].join(request, direct=False, handed_over=handed_over)
        if status:
            self.running -= 1
            self.in_flight[pod] -= 1
            accounting.activator_leave(self.stats, self.sim.now)
            self.sim.clients.end(request, status)

    def wake(self) -> None:
        """A slot is free: wake the request that waits for longest, which takes the slot when it is awake."""
        sim, p = self.sim, self.sim.p
        if not self.waiting or self.running + len(self.waking) >= self.capacity:
            return
        self.wakes += 1
        asleep_ns = late(sim.d.key, self.wakes, LATE_WAKE + self.index, p.wake_ns)
        if asleep_ns <= p.server_to_client_ns:
            # Nobody can have overtaken it.
            self.dispatch(handed_over=True)
            return
        request = next(iter(self.waiting.values()))
        del self.waiting[request.index]
        self.waking[request.index] = request
        entity = request.index * p.activators + self.index
        sim.at(sim.now + asleep_ns, Kind.WAKE, entity, lambda: self.awake(request))

    def awake(self, request: Request) -> None:
        """A woken request takes a free slot; if a newcomer was faster, it waits again, behind all others."""
        if self.waking.pop(request.index, None) is None:
            # Its time was over. The slot goes to the next one.
            self.dispatch(handed_over=True)
        else:
            self.take_slot(request, handed_over=True)

    def choose(self, request: Request) -> int:
        """The pod for a request, -1 if all are full."""
        how = routing.policy(self.sim.p.container_concurrency)
        if how == routing.RANDOM_CHOICE_2:
            key = self.sim.d.key
            first = chance(key, request.index, POD_A) / CHANCE_ONE
            second = chance(key, request.index, POD_B) / CHANCE_ONE
            one, other = routing.contestants(self.assigned_pods, first, second)
            coin = chance(key, request.index, COIN) & 1 == 1
            return routing.power_of_two(self.in_flight, int(self.assigned[one]), int(self.assigned[other]), coin)
        if how == routing.FIRST_AVAILABLE:
            return routing.first_available(self.assigned, self.assigned_pods, self.in_flight, self.slots)
        pod, self.turn = routing.round_robin(self.assigned, self.assigned_pods, self.in_flight, self.slots, self.turn)
        return pod

    def drop(self, request: Request) -> None:
        """A waiting request leaves the queue."""
        if self.waking.pop(request.index, None) is None:
            del self.waiting[request.index]

    def leave(self, request: Request) -> None:
        """A request that never got a pod is over."""
        accounting.activator_leave(self.stats, self.sim.now)

    def release(self, request: Request) -> None:
        """A request that was with a pod is over: its slot is free."""
        accounting.activator_leave(self.stats, self.sim.now)
        assert request.pod is not None
        self.running -= 1
        self.in_flight[request.pod.index] -= 1
        self.wake()

    # the pods

    def find(self, pod: Pod) -> None:
        """A probe of a pod has succeeded."""
        entry = (pod.address, pod.index)
        if pod.terminating or entry in self.view:
            return
        insort(self.view, entry)
        if pod.usable_ns == of.NEVER_NS:
            pod.usable_ns = self.sim.now
        self.assign()

    def forget(self, pod: Pod) -> None:
        """A pod has left the endpoints; requests that it still has keep their slots here."""
        entry = (pod.address, pod.index)
        if entry in self.view:
            self.view.remove(entry)
            self.assign()

    def assign(self) -> None:
        """Take this activator's slice of the pods and let requests go to them."""
        p = self.sim.p
        pods = [pod for _, pod in self.view]
        activators = self.sim.ingress.activators if p.container_concurrency else 1
        index = self.index if self.index < activators else routing.UNKNOWN_ACTIVATOR
        count = len(pods)
        chosen = slice_of(pods, index, activators)
        self.assigned_pods = len(chosen)
        self.assigned[: len(chosen)] = chosen
        self.capacity = routing.capacity(p.container_concurrency, count, self.assigned_pods, activators)
        self.dispatch(handed_over=False)
