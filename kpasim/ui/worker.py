"""The process that simulates for the page: the newest job abandons older ones; what takes too long is killed."""

from __future__ import annotations

import asyncio
import contextlib
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
END = b""
"""Follows the last message of a job."""


class AbandonedError(Exception):
    """A newer job came, or the page has gone."""


def main(connection: Connection, newest: Synchronized[int], source: Source) -> None:
    """Perform jobs until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    from kpasim.engines.compiled import cache
    from kpasim.ui.jobs import Job, perform

    cache.compile_in_background()
    for _ in perform(source, Job(kind="run"), lambda done, total: None):
        pass  # what is loaded and compiled by a first run is there before the first change
    while True:
        try:
            number, job = connection.recv()
        except (EOFError, OSError):
            return
        last = [time.monotonic()]

        def finished(done: int, total: int, number: int = number, last: list[float] = last) -> None:
            if newest.value != number:
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
        self._newest: Any = self._context.Value("Q", 0)
        self._number = 0
        self._turn = asyncio.Lock()
        self._process: Any = None
        self._connection: Any = None
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()

    def start(self) -> None:
        """Start the process."""
        ours, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=main, args=(theirs, self._newest, self._source), daemon=True, name="kpasim-ui-worker"
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
        """Messages of a job, one line of JSON each; older jobs are abandoned."""
        self._number += 1
        number = self._number
        self._newest.value = number
        async with self._turn:
            if self._newest.value != number:
                return  # abandoned before it began
            if self._process is None or not self._process.is_alive():
                self.stop()
                self.start()
            ended = False
            try:
                self._connection.send((number, job))
                until = time.monotonic() + LIMIT_S
                while True:
                    message = await asyncio.wait_for(self._messages.get(), until - time.monotonic())
                    if message is None or message == END:
                        ended = message is not None
                        if not ended:
                            yield encoded(_problem("the simulation ended without a result (too little memory?)"))
                        return
                    yield message
            except TimeoutError:
                yield encoded(_problem(f"the simulation takes longer than {LIMIT_S:g} s (kpasim run has no limit)"))
            except OSError:
                yield encoded(_problem("the simulation ended without a result"))
            finally:
                if not ended:
                    await asyncio.shield(self._drain(number))

    async def _drain(self, number: int) -> None:
        """Wait until an abandoned job has ended; kill the process where it does not."""
        with self._newest.get_lock():
            if self._newest.value == number:
                self._newest.value = 0
        until = time.monotonic() + GRACE_S
        with contextlib.suppress(TimeoutError):
            while (message := await asyncio.wait_for(self._messages.get(), until - time.monotonic())) != END:
                if message is None:
                    break
            else:
                return
        self.stop()
        self.start()


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
