"""Everything between a client and a pod: ingress, activator, queue-proxies.

One HTTP server takes all requests, finds the Knative Service by the Host header, and sends each on the path its
ServerlessService asks for: through the activator, which queues centrally and gives each pod at most
``containerConcurrency`` requests, or straight to the pods in turn. Either way a queue-proxy stands before the server.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import numpy as np
import yarl
from aiohttp import web
from multidict import CIMultiDict

from kpasim.cluster.fake.clock import Clock
from kpasim.cluster.fake.kubelet import Pod
from kpasim.cluster.fake.queueproxy import Breaker, FullError
from kpasim.policy import accounting, burst, routing

if TYPE_CHECKING:
    from kpasim.cluster.fake.scaler import Revision

_MAX_BODY = 32 << 20
_CHUNK = 1 << 16
# Headers that belong to one connection (RFC 9110, 7.6.1) are not passed on.
_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "content-length", "host", "expect",
}  # fmt: skip


class Activator:
    """One revision at the one activator: statistics, the central queue, the choice of a pod."""

    def __init__(self, clock: Clock, container_concurrency: int, told: Callable[[float, int], None]) -> None:
        self._clock = clock
        self._limit = container_concurrency
        self._told = told
        self._row = np.zeros(accounting.COLUMNS, dtype=np.int64)
        self._breaker = Breaker(routing.POD_QUEUE_DEPTH, routing.MAX_CAPACITY, 0)
        self._policy = routing.policy(container_concurrency)
        self._pods: list[Pod] = []
        self._with_pod: dict[Pod, int] = {}
        self._next = 0
        self._random = random.Random()

    def see(self, pods: Iterable[Pod]) -> None:
        """Take the pods that can be used now."""
        self._pods = sorted(pods, key=lambda pod: pod.sort_key)
        count = len(self._pods)
        self._breaker.resize(routing.capacity(self._limit, count, count, 1))

    def report(self) -> None:
        """Tell the autoscaler about the last second."""
        if self._row[accounting.ALIVE]:
            concurrency, count, _ = accounting.activator_report(self._row, self._clock.now_ns())
            self._told(concurrency, count)

    def arrive(self) -> None:
        """A request reaches the activator."""
        if accounting.activator_enter(self._row, self._clock.now_ns()):
            self._told(1.0, 1)

    def depart(self) -> None:
        """A request that reached the activator is done."""
        accounting.activator_leave(self._row, self._clock.now_ns())

    async def acquire(self) -> Pod:
        """Wait for a pod with a free slot and take the slot."""
        while True:
            await self._breaker.enter()
            pod = self._choose()
            if pod is not None:
                self._with_pod[pod] = self._with_pod.get(pod, 0) + 1
                return pod
            # The slot that was promised belongs to a pod that is gone: queue again.
            self._breaker.leave()
            await asyncio.sleep(0.001)

    def release(self, pod: Pod) -> None:
        """Give the slot back."""
        self._with_pod[pod] -= 1
        if self._with_pod[pod] == 0:
            del self._with_pod[pod]
        self._breaker.leave()

    def _choose(self) -> Pod | None:
        count = len(self._pods)
        if count == 0:
            return None
        places = np.arange(count, dtype=np.int64)
        in_flight = np.array([self._with_pod.get(pod, 0) for pod in self._pods], dtype=np.int64)
        if self._policy == routing.RANDOM_CHOICE_2:
            one, other = routing.contestants(count, self._random.random(), self._random.random())
            return self._pods[routing.power_of_two(in_flight, one, other, self._random.random() < 0.5)]
        slots = np.full(count, self._limit, dtype=np.int64)
        if self._policy == routing.FIRST_AVAILABLE:
            place = routing.first_available(places, count, in_flight, slots)
        else:
            place, self._next = routing.round_robin(places, count, in_flight, slots, self._next)
        return self._pods[place] if place >= 0 else None


class Gateway:
    """The HTTP server in front of all Services.

    Attributes:
        routes: Revision that serves a host.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._turns: dict[str, int] = {}
        self.routes: dict[str, Revision] = {}

    def application(self) -> web.Application:
        """The HTTP application."""
        application = web.Application(client_max_size=_MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        host = request.host.rpartition(":")[0] or request.host
        backend = self.routes.get(host)
        if backend is None:
            return web.Response(status=404, text=f"no Service has the host {host}\n")
        exchange = _Exchange(request, await request.read())
        if backend.path == burst.PROXY:
            return await self._through_activator(exchange, backend)
        pods = backend.ready_pods()
        if not pods:
            return web.Response(status=503, text="no healthy upstream\n")
        turn = self._turns.get(host, 0)
        self._turns[host] = turn + 1
        return await self._through_queue_proxy(exchange, backend, pods[turn % len(pods)], proxied=False)

    async def _through_activator(self, exchange: _Exchange, backend: Revision) -> web.StreamResponse:
        activator = backend.activator
        activator.arrive()
        try:
            async with asyncio.timeout(backend.template.manifest.timeout_s) as limit:
                pod = await activator.acquire()
                try:
                    return await self._through_queue_proxy(exchange, backend, pod, proxied=True)
                finally:
                    activator.release(pod)
        except TimeoutError:
            return exchange.too_late(limit, "activator request timeout")
        finally:
            activator.depart()

    async def _through_queue_proxy(
        self, exchange: _Exchange, backend: Revision, pod: Pod, *, proxied: bool
    ) -> web.StreamResponse:
        try:
            async with asyncio.timeout(backend.template.manifest.timeout_s) as limit:
                await pod.proxy.enter(proxied)
                try:
                    return await self._forward(exchange, backend, pod)
                finally:
                    pod.proxy.leave(proxied)
        except FullError:
            return web.Response(status=503, text="pending request queue full\n")
        except TimeoutError:
            return exchange.too_late(limit, "request timeout")

    async def _forward(self, exchange: _Exchange, backend: Revision, pod: Pod) -> web.StreamResponse:
        request = exchange.request
        try:
            async with asyncio.timeout(backend.template.manifest.response_start_timeout_s) as limit:
                upstream = await self._session.request(
                    request.method,
                    yarl.URL(pod.url + request.rel_url.raw_path_qs, encoded=True),
                    headers=_passed_on(request.headers),
                    data=exchange.body,
                    allow_redirects=False,
                )
            async with upstream:
                answer = web.StreamResponse(status=upstream.status, headers=_passed_on(upstream.headers))
                if upstream.content_length is not None:
                    answer.content_length = upstream.content_length
                await answer.prepare(request)
                exchange.begun = True
                async for chunk in upstream.content.iter_chunked(_CHUNK):
                    await answer.write(chunk)
                await answer.write_eof()
                return answer
        except TimeoutError:
            return exchange.too_late(limit, "no response in time")
        except (aiohttp.ClientError, OSError) as error:
            if exchange.begun:
                exchange.break_off()
                raise
            return web.Response(status=502, text=f"{type(error).__name__}\n")


@dataclass
class _Exchange:
    """One request, and whether the client has begun to get its answer."""

    request: web.Request
    body: bytes
    begun: bool = False

    def too_late(self, limit: asyncio.Timeout, text: str) -> web.Response:
        """Answer a request that ran into ``limit``; one whose answer has begun is broken off."""
        if self.begun:
            self.break_off()
        if self.begun or not limit.expired():
            raise TimeoutError(text)
        return web.Response(status=504, text=f"{text}\n")

    def break_off(self) -> None:
        """Close the connection in the middle of the answer: its status is out, so nothing else can be said."""
        if self.request.transport is not None:
            self.request.transport.abort()


def _passed_on(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)
