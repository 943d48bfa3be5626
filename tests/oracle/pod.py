"""A pod: its start, its queue-proxy and container, its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kpasim.engines import params as of
from kpasim.engines.clock import Kind, tick_before
from kpasim.policy import accounting, pods, routing, scraping
from tests.oracle.clients import BAD_GATEWAY, OK, QUEUE_FULL
from tests.oracle.sharing import Sharing

if TYPE_CHECKING:
    from tests.oracle.clients import Request
    from tests.oracle.cluster import Node
    from tests.oracle.simulation import Simulation

STARTING, SERVING, QUIET, DRAINING, STOPPING, GONE = range(6)


class Pod:
    """One pod of the revision.

    Attributes:
        queue: Requests in queue-proxy's queue, in order of arrival.
        waiting: Requests that wait in the container, with those whose client has gone (``dead``).
        running: Requests that the container works on; those whose client has gone are its ``orphans``.
        direct_inside: Requests here that came past the activators.
        phase: How far its life has come.
    """

    def __init__(self, sim: Simulation, index: int) -> None:
        self.sim = sim
        self.index = index
        draw = sim.d.pod[index]
        self.address = int(draw[of.ADDRESS])
        self.uid = int(draw[of.UID])
        self.created_ns = sim.now
        self.scheduled_ns = of.NEVER_NS
        self.provisioned_ns = of.NEVER_NS
        self.pull_ns = of.NEVER_NS
        self.containers_ns = of.NEVER_NS
        self.open_ns = of.NEVER_NS
        self.usable_ns = of.NEVER_NS
        self.ready_ns = of.NEVER_NS
        self.asked_ns = of.NEVER_NS
        self.gone_ns = of.NEVER_NS
        self.busy_ns = 0
        self.busy_since_ns = of.NEVER_NS
        self.phase = STARTING
        self.ready = False
        self.terminating = False
        self.node: Node | None = None
        self.stage = 0
        self.stage_begun = False
        self.restarting = False
        self.done_ns = of.FOREVER_NS
        self.left_ns = 0
        self.due_ns = of.FOREVER_NS
        self.attempt = 0
        self.began_ns = of.NEVER_NS
        self.serves_from_ns = of.NEVER_NS
        self.first_extra_ns = 0
        self.last_arrival_ns = of.NEVER_NS
        self.queue: dict[int, Request] = {}
        self.waiting: dict[int, Request] = {}
        self.dead = 0
        self.running: dict[int, Request] = {}
        self.orphans: dict[int, Request] = {}
        self.direct_inside = 0
        self.stats: Any = [0] * accounting.COLUMNS  # Python reads a list several times as fast as an array
        self.published = np.zeros(scraping.FIELDS)
        self.stats_from_ns = of.NEVER_NS
        self.cuts_after_ns = int(sim.d.pod[index, of.QUEUE_PROXY_PHASE])
        self.broken = False
        self.own_share = Sharing(sim, sim.slowdown, Kind.DONE)

    @property
    def inside(self) -> int:
        """Requests that queue-proxy runs or queues."""
        return len(self.queue) + self.passed_on

    @property
    def passed_on(self) -> int:
        """Requests that queue-proxy has passed on to the container and that a client still waits for."""
        return len(self.running) + len(self.waiting) - self.dead

    def busy_at(self, now_ns: int) -> int:
        """Time [ns] until ``now_ns`` in which the container worked on something."""
        return self.busy_ns + (now_ns - self.busy_since_ns if self.busy_since_ns != of.NEVER_NS else 0)

    # start

    def is_done(self) -> None:
        """A stage of the start ends now, if that is still so."""
        self.sim.cluster.stage_done(self)

    def opens(self) -> None:
        """The container answers its probe: activators and the kubelet will find it."""
        sim, p, now = self.sim, self.sim.p, self.sim.now
        self.phase = SERVING
        self.open_ns = now
        self.serves_from_ns = now + sim.cluster.stage_time(self, of.AFTER_READY)
        self.first_extra_ns = sim.cluster.stage_time(self, of.FIRST_REQUEST)
        draw = sim.d.pod[self.index]
        poll_ns = p.queue_proxy_poll_ns
        kubelet_ns = pods.kubelet_sees(
            now,
            self.containers_ns,
            p.probe_initial_delay_ns,
            int(draw[of.KUBELET_PHASE]),
            p.probe_period_ns,
            p.probe_timeout_ns,
            p.probe_successes,
            p.aggressive,
            poll_ns,
        )
        ready_ns = max(kubelet_ns, self.startup_sees())
        sim.at(ready_ns, Kind.READY, self.index, self.becomes_ready)
        if p.early_use:
            found_ns = pods.activator_finds(
                now,
                self.containers_ns,
                int(sim.d.phase[of.PROBE]),
                p.activator_probe_period_ns,
                p.aggressive,
                poll_ns,
                int(draw[of.POLL_PHASE]),
                p.probe_successes,
            )
            for activator in sim.activators:
                entity = self.index * p.activators + activator.index
                sim.at(found_ns, Kind.FOUND, entity, lambda found=activator: found.find(self))  # type: ignore[misc]

    def startup_sees(self) -> int:
        """When the startup probe finds the container, which answers now; -1 if the kubelet kills it instead."""
        p = self.sim.p
        if p.startup_period_ns == 0:
            return self.sim.now
        # Both probes of a pod begin at the same moment, so one draw stands for both phases.
        phase_ns = int(int(self.sim.d.pod[self.index, of.KUBELET_PHASE]) * (p.startup_period_ns / p.probe_period_ns))
        return pods.startup_sees(
            self.sim.now, self.began_ns, p.startup_initial_delay_ns, phase_ns, p.startup_period_ns, p.startup_failures
        )

    def becomes_ready(self) -> None:
        """Kubernetes calls the pod ready."""
        if self.terminating:
            return
        sim = self.sim
        self.ready = True
        self.ready_ns = sim.now
        accounting.start(self.stats, sim.now)
        sim.reconciler.pod_became_ready(self)

    # queue-proxy and container

    @property
    def cut_phase_ns(self) -> int:
        """Phase of queue-proxy's statistics, which begin when it has started."""
        return self.containers_ns + self.cuts_after_ns

    def roll(self, *, inclusive: bool) -> None:
        """Publish the statistics of the latest whole second before now (up to now if ``inclusive``)."""
        now = self.sim.now
        latest_ns = tick_before(self.cut_phase_ns, of.SECOND_NS, now + 1 if inclusive else now)
        if latest_ns <= self.stats_from_ns:
            return
        if latest_ns - of.SECOND_NS > self.stats_from_ns:
            accounting.cut(self.stats, latest_ns - of.SECOND_NS)
        concurrency, proxied, count, proxied_count = accounting.cut(self.stats, latest_ns)
        self.published[:] = (concurrency, proxied, float(count), float(proxied_count))
        self.stats_from_ns = latest_ns

    def join(self, request: Request, *, direct: bool, handed_over: bool = False) -> int:
        """A request arrives at queue-proxy; the status of a refusal, or 0."""
        p, now = self.sim.p, self.sim.now
        request.pod = self
        request.arrived_ns = now + (p.hand_over_ns if handed_over else p.front_to_server_ns)
        self.last_arrival_ns = now
        if direct:
            self.roll(inclusive=False)
            accounting.enter(self.stats, now, False)
            self.direct_inside += 1
        cc = p.container_concurrency
        full = cc > 0 and self.inside >= cc * (1 + routing.QUEUE_PROXY_DEPTH_PER_SLOT)
        if full or self.phase == GONE:
            self.leave(request)
            return BAD_GATEWAY if self.phase == GONE else QUEUE_FULL
        request.where = "queue"
        self.queue[request.index] = request
        self.work()
        return 0

    def leave(self, request: Request) -> None:
        """A request is over for queue-proxy."""
        if request.activator is None:
            self.roll(inclusive=False)
            accounting.leave(self.stats, self.sim.now, False)
            self.direct_inside -= 1

    def takes(self) -> bool:
        """Whether queue-proxy passes another request on to the container."""
        cc = self.sim.p.container_concurrency
        return cc == 0 or self.passed_on < cc

    def free(self) -> bool:
        """Whether the container can work on another request."""
        slots = self.sim.p.slots
        return not self.broken and (slots == 0 or len(self.running) + len(self.orphans) < slots)

    def work(self) -> None:
        """Pass queued requests on to the container, and begin service of those in it, as far as there is room."""
        while self.queue and self.takes():
            request = next(iter(self.queue.values()))
            del self.queue[request.index]
            request.where = "container"
            self.waiting[request.index] = request
        while self.waiting and self.free():
            request = next(iter(self.waiting.values()))
            del self.waiting[request.index]
            self.begin(request)

    def begin(self, request: Request) -> None:
        """The container starts to work on a request."""
        sim, p, now = self.sim, self.sim.p, self.sim.now
        is_dead = request.where == "ended"
        request.start_ns = max(now, request.arrived_ns)
        if not self.running and not self.orphans:
            self.busy_since_ns = now
        service_ns, first_byte_ns = sim.clients.service(request, self)
        request.service_ns = service_ns
        if self.first_extra_ns:
            self.serves_from_ns = max(self.serves_from_ns, request.start_ns) + self.first_extra_ns
            self.first_extra_ns = 0
        begins_ns = max(request.start_ns, self.serves_from_ns)
        request.first_byte_ns = begins_ns + first_byte_ns
        if p.stream_idle_ns and first_byte_ns != of.FOREVER_NS:
            due_ns = request.first_byte_ns + p.stream_idle_ns
            sim.at(due_ns, Kind.FIRST_BYTE, request.index, lambda: sim.ingress.first_byte_due(request))
        if is_dead:
            self.dead -= 1
            self.orphans[request.index] = request
        else:
            request.where = "running"
            self.running[request.index] = request
        if len(p.slowdown):
            self.share.add(request, service_ns + begins_ns - now)
        else:
            request.done_ns = begins_ns + service_ns
            sim.at(request.done_ns, Kind.DONE, request.index, request.is_done)

    @property
    def share(self) -> Sharing:
        """Requests that share this pod's GPU, or its node's."""
        if self.sim.p.shared_by_node:
            assert self.node is not None
            return self.node.share
        return self.own_share

    def done(self, request: Request) -> None:
        """The container has finished a request."""
        sim = self.sim
        if request.done_ns != sim.now or self.broken:
            return
        request.done_ns = of.FOREVER_NS
        if request.index in self.orphans:
            del self.orphans[request.index]
            request.end_ns = sim.now
            self.after_work(request)
            self.work()
            return
        if request.index not in self.running:
            return
        del self.running[request.index]
        request.end_ns = sim.now
        self.after_work(request)
        self.leave(request)
        sim.ingress.answered(request)
        sim.clients.end(request, OK)
        self.work()
        if request.activator is not None:
            request.activator.release(request)
        self.may_stop()

    def after_work(self, request: Request) -> None:
        """The GPU is rid of a request."""
        if len(self.sim.p.slowdown):
            self.share.remove(request)
        if not self.running and not self.orphans:
            self.busy_ns += self.sim.now - self.busy_since_ns
            self.busy_since_ns = of.NEVER_NS

    def let_go(self, request: Request) -> None:
        """A request ends before its service does: its client has left, or its time is over."""
        if request.where == "queue":
            del self.queue[request.index]
            self.leave(request)
        elif request.where == "container":
            if self.sim.p.cancel_stops_work or self.broken:
                del self.waiting[request.index]
            else:
                self.dead += 1
            self.leave(request)
            self.work()
        else:
            del self.running[request.index]
            self.leave(request)
            if self.sim.p.cancel_stops_work:
                request.done_ns = of.FOREVER_NS
                self.after_work(request)
            else:
                self.orphans[request.index] = request
            self.work()
        self.may_stop()

    # end

    def remove(self) -> None:
        """Kubernetes asks the pod to go."""
        sim, p, now = self.sim, self.sim.p, self.sim.now
        self.terminating = True
        self.asked_ns = now
        if self.phase == STARTING and self.containers_ns == of.NEVER_NS:
            self.phase = STOPPING
            self.due_ns = now + p.deletion_ns
        else:
            self.phase = QUIET
            self.due_ns = pods.quiet_until(now, self.last_arrival_ns)
        sim.at(self.due_ns, Kind.DRAIN, self.index, self.drain)
        sim.at(now + p.timeout_ns, Kind.KILL, self.index, self.kill)
        sim.at(
            now + p.endpoints_to_activator_ns,
            Kind.FORGET,
            self.index,
            self.forgotten,
        )
        if self.ready:
            sim.at(now + p.endpoints_to_ingress_ns, Kind.VISIBLE, 2 * self.index, lambda: sim.ingress.hide(self))

    def forgotten(self) -> None:
        """The activators no longer know the pod."""
        for activator in self.sim.activators:
            activator.forget(self)

    def drain(self) -> None:
        """The next step of the end is due."""
        sim, p, now = self.sim, self.sim.p, self.sim.now
        if self.due_ns != now or self.phase == GONE:
            return
        if self.phase == STOPPING:
            self.goes()
            return
        quiet_ns = pods.quiet_until(self.asked_ns, self.last_arrival_ns)
        if quiet_ns > now:
            self.due_ns = quiet_ns
            sim.at(quiet_ns, Kind.DRAIN, self.index, self.drain)
            return
        self.phase = DRAINING
        if not p.drains_on_sigterm and self.inside:
            self.break_off()
        self.may_stop()

    def may_stop(self) -> None:
        """Stop the containers once a drained pod is empty."""
        if self.phase == DRAINING and self.inside == 0:
            self.phase = STOPPING
            self.due_ns = self.sim.now + self.sim.p.stop_ns + self.sim.p.deletion_ns
            self.sim.at(self.due_ns, Kind.DRAIN, self.index, self.drain)

    def break_off(self) -> None:
        """The container stops: everything that is still here fails with 502."""
        self.broken = True
        for request in [*self.running.values(), *self.waiting.values(), *self.queue.values()]:
            if request.where != "ended":
                self.sim.clients.withdraw(request, BAD_GATEWAY)
        self.waiting.clear()
        self.dead = 0

    def kill(self) -> None:
        """The termination grace period is over."""
        if self.phase != GONE:
            self.phase = STOPPING
            self.goes()

    def goes(self) -> None:
        """The pod is gone; whatever it still had fails."""
        self.phase = GONE
        self.gone_ns = self.sim.now
        self.break_off()
        if len(self.sim.p.slowdown):
            for orphan in self.orphans.values():
                self.share.remove(orphan)
        self.busy_ns = self.busy_at(self.gone_ns)
        self.busy_since_ns = of.NEVER_NS
        self.sim.cluster.pod_gone(self)
        self.sim.reconciler.pod_gone(self)
