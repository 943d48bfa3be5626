"""Who runs, who waits and who is refused: one first-in, first-out queue of bounded length."""

import asyncio
from collections import deque
from collections.abc import Callable


class RefusedError(Exception):
    """A request that the server does not take on now; its text is the reason."""


class Admission:
    """Lets `slots` requests run at a time and `depth` more wait in order of arrival.

    It lives in one event loop and is never touched from another thread.

    Attributes:
        running: Requests that hold a slot.
        closed: Whether new requests are refused because the server is leaving.
    """

    def __init__(self, slots: int, depth: int) -> None:
        self.slots = slots
        self.depth = depth
        self.running = 0
        self.closed = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._when_idle: Callable[[], object] | None = None

    @property
    def waiting(self) -> int:
        """Requests that are admitted and do not run yet."""
        return len(self._waiting)

    def enter(self) -> asyncio.Future[None]:
        """Take a place; the future is done when the request may run. `leave` must follow.

        Raises:
            RefusedError: The queue is full, or the server is leaving.
        """
        if self.closed:
            raise RefusedError("the server is shutting down")
        if self.running >= self.slots and len(self._waiting) >= self.depth:
            raise RefusedError(f"the queue is full ({self.running} running, {self.waiting} waiting)")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.running < self.slots:
            self.running += 1
            place.set_result(None)
        else:
            self._waiting.append(place)
        return place

    def leave(self, place: asyncio.Future[None]) -> None:
        """Give a place back, whether its request ran or went away while it waited."""
        if place in self._waiting:
            self._waiting.remove(place)
        elif self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self.running -= 1
        self._tell_if_idle()

    def close(self, when_idle: Callable[[], object]) -> None:
        """Refuse new requests from now on and call `when_idle` once, as soon as the admitted ones are done."""
        self.closed = True
        self._when_idle = when_idle
        self._tell_if_idle()

    def _tell_if_idle(self) -> None:
        if self._when_idle is not None and self.running == 0 and not self._waiting:
            tell, self._when_idle = self._when_idle, None
            tell()
