"""Who sends requests, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.outcome import CapacityExceeded

if TYPE_CHECKING:
    from tests.oracle.activator import Activator
    from tests.oracle.pod import Pod
    from tests.oracle.simulation import Simulation

OK, CLIENT_TIMEOUT, BAD_GATEWAY, QUEUE_FULL, TIMED_OUT, CUT_OFF = 200, 0, 502, 503, 504, -1


class Request:
    """One request on its way.

    Attributes:
        index: Order of sending.
        draw: Index of its random numbers.
        worker: The closed loop's worker that waits for it.
        where: ``"sent"``, ``"front"`` (queued at an activator), ``"queue"`` (in a queue-proxy's queue),
            ``"container"`` (waiting in it), ``"running"`` or ``"ended"``.
        done_ns: When its service ends as things stand.
        left_ns: Work left at full speed, where requests share a GPU.
    """

    __slots__ = (
        "activator", "arrived_ns", "done_ns", "draw", "end_ns", "first_byte_ns", "front_ns", "index",
        "left_ns", "pod", "response_ns", "sent_ns", "service_ns", "start_ns", "status", "where", "worker",
    )  # fmt: skip

    def __init__(self, index: int, draw: int, worker: int, sent_ns: int) -> None:
        self.index = index
        self.draw = draw
        self.worker = worker
        self.sent_ns = sent_ns
        self.front_ns = of.NEVER_NS
        self.arrived_ns = of.NEVER_NS
        self.start_ns = of.NEVER_NS
        self.end_ns = of.NEVER_NS
        self.response_ns = of.NEVER_NS
        self.service_ns = 0
        self.left_ns = 0
        self.done_ns = of.FOREVER_NS
        self.first_byte_ns = of.FOREVER_NS
        self.where = "sent"
        self.status = 0
        self.pod: Pod | None = None
        self.activator: Activator | None = None

    def is_done(self) -> None:
        """Its service ends now, if that is still so."""
        assert self.pod is not None
        self.pod.done(self)


class Clients:
    """The load: hey's closed loop, or an open loop at given times.

    Source:
        hey's closed loop: rakyll/hey, requester/requester.go (floor(n / c) requests for each of c workers, which start
        together and do not think; with -q each waits for a ticker that does not catch up).
    """

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.sent = 0
        self.live = 0
        self.last_end_ns = 0
        self.working = 0
        self.starts = 0
        self.per_worker = [0] * sim.p.workers
        self.tick = [0] * sim.p.workers

    @property
    def over(self) -> bool:
        """Whether nothing will be sent any more and everything has ended."""
        if self.sim.load_ns > self.sim.now or self.live:
            return False
        return self.working == 0 if self.sim.p.closed else self.sent == len(self.sim.d.sent)

    def start(self) -> None:
        """Begin the load."""
        sim = self.sim
        self.last_end_ns = sim.now
        if not sim.p.closed:
            self.plan_next()
            sim.settle()
            return
        self.working = sim.p.workers
        for worker in range(sim.p.workers):
            self.next_of(worker, sim.now)
        sim.settle()

    # the open loop

    def plan_next(self) -> None:
        """Plan the open loop's next request."""
        if self.sent < len(self.sim.d.sent):
            due_ns = self.sim.load_ns + int(self.sim.d.sent[self.sent])
            self.sim.at(due_ns, Kind.SEND, 0, self.send_open)

    def send_open(self) -> None:
        """Send the open loop's next request."""
        self.send(self.sent, 0)
        self.plan_next()

    # the closed loop

    def next_of(self, worker: int, free_ns: int) -> None:
        """Let a worker that is free at ``free_ns`` send its next request, or end."""
        p = self.sim.p
        sends_ns = free_ns
        if p.worker_period_ns:
            ticks = (free_ns - self.sim.load_ns) // p.worker_period_ns
            if ticks > self.tick[worker]:
                self.tick[worker] = ticks
            else:
                self.tick[worker] += 1
                sends_ns = self.sim.load_ns + self.tick[worker] * p.worker_period_ns
        if p.requests_per_worker and self.per_worker[worker] >= p.requests_per_worker:
            self.working -= 1
            return
        # Whether time is over is asked before the wait for the ticker, not after it.
        if p.load_duration_ns and free_ns >= self.sim.load_ns + p.load_duration_ns:
            self.working -= 1
            return
        self.sim.at(sends_ns, Kind.SEND, worker, lambda: self.send_closed(worker))

    def send_closed(self, worker: int) -> None:
        """Send the next request of a worker of the closed loop."""
        p = self.sim.p
        nth = self.per_worker[worker]
        self.per_worker[worker] = nth + 1
        stride = p.requests_per_worker if p.requests_per_worker else p.requests // p.workers
        if nth >= stride:
            raise CapacityExceeded("requests")
        self.send(worker * stride + nth, worker)

    # both

    def send(self, draw: int, worker: int) -> None:
        """Send a request now."""
        sim = self.sim
        request = Request(self.sent, draw, worker, sim.now)
        self.sent += 1
        self.live += 1
        sim.record.requests.append(request)
        sim.at(sim.now + int(sim.d.delay[draw]), Kind.ARRIVE, request.index, lambda: sim.ingress.arrive(request))
        if sim.p.client_timeout_ns:
            sim.at(sim.now + sim.p.client_timeout_ns, Kind.GIVE_UP, request.index, lambda: self.give_up(request))

    def give_up(self, request: Request) -> None:
        """The client has waited long enough."""
        if request.where != "ended":
            self.withdraw(request, CLIENT_TIMEOUT)

    def withdraw(self, request: Request, status: int) -> None:
        """End a request before its service did, wherever it is, with ``status``."""
        where = request.where
        if where == "front":
            assert request.activator is not None
            request.activator.drop(request)
        elif where in {"queue", "container", "running"}:
            assert request.pod is not None
            request.pod.let_go(request)
        self.end(request, status)
        if where in {"queue", "container", "running"} and request.activator is not None:
            request.activator.release(request)
        elif where == "front":
            assert request.activator is not None
            request.activator.leave(request)

    def end(self, request: Request, status: int) -> None:
        """Note how a request ended, and let its client go on."""
        sim = self.sim
        request.where = "ended"
        request.status = status
        request.response_ns = sim.now
        if status not in {CLIENT_TIMEOUT, CUT_OFF}:
            request.response_ns += sim.p.server_to_client_ns
        self.live -= 1
        self.last_end_ns = max(self.last_end_ns, request.response_ns)
        if sim.p.closed:
            self.next_of(request.worker, request.response_ns + sim.p.think_ns)
        sim.settle()

    def service(self, request: Request, pod: Pod) -> tuple[int, int]:
        """Service time of a request that starts now, and when its response begins: for ever if at its end."""
        p, d = self.sim.p, self.sim.d
        index = self.starts if p.service_by_start else request.draw
        self.starts += 1
        klass = int(d.klass[request.draw]) if len(d.klass) else 0
        service_ns = int(d.service[index, klass])
        if len(d.own_service) and d.own_service[request.draw] > 0:
            service_ns = int(d.own_service[request.draw])
        assert pod.node is not None
        service_ns = int(service_ns * float(p.type_factor[pod.node.type]))
        first_byte_ns = min(int(d.first_byte[index]), service_ns) if len(d.first_byte) else of.FOREVER_NS
        return service_ns, first_byte_ns

    def cut_off(self) -> None:
        """The horizon ends what is still on its way."""
        for request in self.sim.record.requests:
            if request.where != "ended":
                request.where = "ended"
                request.status = CUT_OFF
                request.response_ns = self.sim.now
