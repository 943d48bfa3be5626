"""The sidecar in front of each pod's server: counts, limits, forwards and drains as queue-proxy does."""

import asyncio
import contextlib
from collections import deque

import numpy as np

from kpasim.cluster.fake.clock import Clock
from kpasim.policy import accounting, pods, routing


class FullError(Exception):
    """Executing and queued requests fill the pod: 503."""


class Breaker:
    """Lets so many requests run and so many wait, first come first served with newcomers overtaking.

    The arithmetic is the policy's; here are only the coroutines that wait.
    """

    def __init__(self, queue_depth: int, max_concurrency: int, initial_capacity: int) -> None:
        self.row = np.zeros(routing.BREAKER_COLUMNS, dtype=np.int64)
        routing.breaker_start(self.row, queue_depth, max_concurrency, initial_capacity)
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Wait for a slot.

        Raises:
            FullError: All slots and all places to wait are taken.
        """
        admitted = routing.breaker_enter(self.row)
        if admitted == routing.REFUSED:
            raise FullError
        if admitted == routing.RUNS:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(woken)
        try:
            await woken
        except asyncio.CancelledError:
            if woken.done() and not woken.cancelled():
                self.leave()  # the slot came at the moment of giving up
            else:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(woken)
                routing.breaker_cancel(self.row)
            raise

    def leave(self) -> None:
        """Give a slot back."""
        routing.breaker_release(self.row)
        self._wake()

    def resize(self, capacity: int) -> None:
        """Change how many may run."""
        routing.breaker_resize(self.row, capacity)
        self._wake()

    def _wake(self) -> None:
        while True:
            while self._waiting and self._waiting[0].done():  # gave up; its own handler takes it off the count
                self._waiting.popleft()
            if not self._waiting or not routing.breaker_wake(self.row):
                return
            self._waiting.popleft().set_result(None)


class QueueProxy:
    """Statistics, concurrency limit and drain of one pod.

    Attributes:
        snapshot: What the autoscaler reads: average concurrency, proxied concurrency, arrivals and proxied arrivals of
            the last whole second; zeros before the first.
        draining: Whether the pod was asked to go; its probes fail from then on.
    """

    def __init__(self, clock: Clock, container_concurrency: int) -> None:
        self._clock = clock
        self._row = np.zeros(accounting.COLUMNS, dtype=np.int64)
        accounting.start(self._row, clock.now_ns())
        self._breaker: Breaker | None = None
        if container_concurrency > 0:
            depth = routing.QUEUE_PROXY_DEPTH_PER_SLOT * container_concurrency
            self._breaker = Breaker(depth, container_concurrency, container_concurrency)
        self.snapshot = (0.0, 0.0, 0.0, 0.0)
        self.in_flight = 0
        self.draining = False
        self._last_arrival_ns = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def enter(self, proxied: bool) -> None:
        """Admit a request.

        Raises:
            FullError: The pod is full.
        """
        now_ns = self._clock.now_ns()
        self._last_arrival_ns = now_ns
        accounting.enter(self._row, now_ns, proxied)
        self.in_flight += 1
        self._idle.clear()
        try:
            if self._breaker is not None:
                await self._breaker.enter()
        except BaseException:
            self._out(proxied)
            raise

    def leave(self, proxied: bool) -> None:
        """A request that was admitted is done."""
        if self._breaker is not None:
            self._breaker.leave()
        self._out(proxied)

    def cut(self) -> None:
        """Close the current second and publish it."""
        concurrency, proxied, count, proxied_count = accounting.cut(self._row, self._clock.now_ns())
        self.snapshot = (
            concurrency,
            proxied,
            accounting.per_second(count, 1.0),
            accounting.per_second(proxied_count, 1.0),
        )

    async def quiet(self, asked_to_go_ns: int) -> None:
        """Wait until no new request has come for queue-proxy's quiet time."""
        while (left_ns := pods.quiet_until(asked_to_go_ns, self._last_arrival_ns) - self._clock.now_ns()) > 0:
            await self._clock.sleep(left_ns / 1e9)

    async def empty(self) -> None:
        """Wait until nothing is inside."""
        await self._idle.wait()

    def _out(self, proxied: bool) -> None:
        accounting.leave(self._row, self._clock.now_ns(), proxied)
        self.in_flight -= 1
        if self.in_flight == 0:
            self._idle.set()
