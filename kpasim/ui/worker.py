"""The process that simulates for the page: the newest job abandons older ones; what takes too long is killed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import multiprocessing
import signal
import threading
import time
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from typing import TYPE_CHECKING, Any

from kpasim.ui.source import Source

if TYPE_CHECKING:
    from kpasim.ui.jobs import Job, Message

LIMIT_S = 120.0
"""How long a job may take before its process is killed [s]."""
GRACE_S = 3.0
"""How long an abandoned job may go on before its process is killed [s]."""
PROGRESS_EVERY_S = 0.25
"""Time between two messages about progress [s]."""
MOST_MEMORY = 8 << 30
"""Address space of the process at most [bytes]: what needs more is refused, and the machine is not out of memory."""
POLL_S = 0.5
"""Time between two looks at the clock while nothing comes [s]."""
NOTHING = 0
"""Number of no job."""
END = b""
"""Follows the last message of a job."""


class AbandonedError(Exception):
    """A newer job came, or the page has gone."""


def bound_memory() -> None:
    """Keep this process to its share of the memory, where the system can do that."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = MOST_MEMORY if hard == resource.RLIM_INFINITY else min(MOST_MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def main(connection: Connection, wanted: Synchronized[int], source: Source) -> None:
    """Perform jobs, which come with their numbers, until the connection is closed; one is ``wanted``, or none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    bound_memory()
    from kpasim.engines.compiled import cache
    from kpasim.studies.execution.engine import ready
    from kpasim.ui.jobs import perform

    if cache.is_warm():
        ready()  # what is loaded now is there before the first change
    cache.compile_in_background()
    while True:
        try:
            number, job = connection.recv()
        except (EOFError, OSError):
            return
        last = [time.monotonic()]

        def finished(done: int, total: int, number: int = number, last: list[float] = last) -> None:
            if wanted.value != number:
                raise AbandonedError
            if time.monotonic() - last[0] > PROGRESS_EVERY_S:
                last[0] = time.monotonic()
                connection.send_bytes(encoded({"kind": "progress", "done": done, "total": total}))

        try:
            for message in perform(source, job, finished):
                finished(0, 0)
                connection.send_bytes(encoded(message))
        except AbandonedError:
            pass
        except MemoryError:
            connection.send_bytes(encoded(_problem("the run needs more memory than there is")))
        except OSError:
            return  # the server has gone
        except Exception as error:  # a bug of ours must not end the page
            import traceback

            traceback.print_exc()
            connection.send_bytes(encoded(_problem(f"internal error: {type(error).__name__}: {error}")))
        connection.send_bytes(END)


def encoded(message: Message) -> bytes:
    """A message as one line of JSON."""
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _problem(text: str) -> Message:
    return {"kind": "problems", "problems": [{"message": text, "place": "", "line": None}]}


class Worker:
    """The process, seen from the server; all methods belong to one event loop."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._context = multiprocessing.get_context("spawn")
        self._wanted: Any = self._context.Value("Q", NOTHING)
        self._numbers = itertools.count(NOTHING + 1)
        self._newest: dict[str, int] = {}
        self._until = 0.0
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._process: Any = None
        self._connection: Any = None
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()

    def start(self) -> None:
        """Start the process."""
        ours, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=main, args=(theirs, self._wanted, self._source), daemon=True, name="kpasim-ui-worker"
        )
        self._process.start()
        theirs.close()
        self._connection, self._messages = ours, asyncio.Queue()
        loop, messages = asyncio.get_running_loop(), self._messages
        threading.Thread(target=_listen, args=(ours, loop, messages), daemon=True).start()

    def stop(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            with contextlib.suppress(OSError):
                self._connection.close()
            self._process = None

    async def perform(self, job: Job) -> AsyncIterator[bytes]:
        """Messages of a job, one line of JSON each; an older job of the same page is abandoned."""
        number = next(self._numbers)
        if job.page in self._newest:
            self._abandon(self._newest[job.page])
        self._newest[job.page] = number
        lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        # A task of its own: whatever becomes of the request, the process is left in order for the next job.
        task = asyncio.create_task(self._work(number, job, lines))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while (line := await lines.get()) is not None:
                yield line
        finally:
            if self._newest.get(job.page) == number:
                del self._newest[job.page]
            self._abandon(number)

    def _abandon(self, number: int) -> None:
        """Let a job end early where it is running."""
        if self._wanted.value == number:
            self._wanted.value = NOTHING
            self._until = min(self._until, time.monotonic() + GRACE_S)

    async def _work(self, number: int, job: Job, lines: asyncio.Queue[bytes | None]) -> None:
        """Perform a job when its turn has come, unless nobody wants it any more."""
        try:
            async with self._turn:
                if self._newest.get(job.page) == number:
                    await self._exchange(number, job, lines)
        finally:
            lines.put_nowait(None)

    async def _exchange(self, number: int, job: Job, lines: asyncio.Queue[bytes | None]) -> None:
        """Send a job to the process and hand on what comes back; a process that takes too long is killed."""
        if self._process is None or not self._process.is_alive():
            self.stop()
            self.start()
        self._wanted.value = number
        self._until = time.monotonic() + LIMIT_S
        trouble = "the simulation ended without a result (too little memory?)"
        try:
            self._connection.send((number, job))
            while time.monotonic() < self._until:
                try:
                    message = await asyncio.wait_for(self._messages.get(), POLL_S)
                except TimeoutError:
                    continue
                if message == END:
                    return
                if message is None:
                    break
                lines.put_nowait(message)
            else:
                trouble = f"the simulation takes longer than {LIMIT_S:g} s (kpasim run has no limit)"
        except OSError:
            pass  # the process has ended
        finally:
            self._wanted.value = NOTHING
        self.stop()
        lines.put_nowait(encoded(_problem(trouble)))


def _listen(connection: Connection, loop: asyncio.AbstractEventLoop, messages: asyncio.Queue[bytes | None]) -> None:
    """Hand what the process sends to the event loop; None where it has ended."""
    message: bytes | None = END
    while message is not None:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            message = None
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(messages.put_nowait, message)
