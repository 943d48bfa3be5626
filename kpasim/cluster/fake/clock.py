"""The fake cluster's time: the machine's, or faster for tests."""

import asyncio
import datetime
import time


class Clock:
    """Time since the Unix epoch that passes ``speed`` times as fast as the machine's.

    Only what Knative and Kubernetes wait for runs on it; processes, requests and their timeouts take their own time.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._epoch_ns = time.time_ns()
        self._start_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        """Time now [ns since the Unix epoch]; it never steps back."""
        return self._epoch_ns + int((time.monotonic_ns() - self._start_ns) * self.speed)

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of this clock."""
        await asyncio.sleep(seconds / self.speed)

    def real(self, seconds: float) -> float:
        """Seconds of the machine that ``seconds`` of this clock take."""
        return seconds / self.speed


def stamp(later_s: float = 0.0) -> str:
    """The machine's time, or some seconds later, as Kubernetes writes it: whole seconds, UTC."""
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=later_s)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
