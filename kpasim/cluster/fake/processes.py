"""The processes behind the pods: started without a shell, in groups of their own, ended on every path."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_TAIL_LINES = 20
_LONGEST_LINE = 1000
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "HF_HOME", "HF_HUB_OFFLINE", "SYSTEMROOT")


class Processes:
    """Starts pods' processes and makes sure that none outlives this one; the reaper removes ``folder`` at the end."""

    def __init__(self, folder: Path) -> None:
        self._running: set[Process] = set()
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py")), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert self._reaper.stdin is not None
        self._list = self._reaper.stdin

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Start a process in its own group. Of our own environment it sees what programs need to run, nothing else.

        Raises:
            OSError: There is no such program.
        """
        inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**inherited, **environment},
            start_new_session=True,
        )
        self._tell(f"+{child.pid}")
        process = Process(child, self)
        process.run_on(all_cores=False)
        self._running.add(process)
        return process

    async def close(self) -> None:
        """Kill what still runs, then let the reaper finish."""
        for process in list(self._running):
            process.signal(signal.SIGKILL)
        for process in list(self._running):
            await process.wait()
        with contextlib.suppress(OSError):
            self._list.close()
        await asyncio.to_thread(self._reaper.wait)

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._list.write(line + "\n")
            self._list.flush()

    def _ended(self, process: Process) -> None:
        self._running.discard(process)
        self._tell(f"-{process.pid}")


class Process:
    """One pod's process.

    Attributes:
        pid: Process id, also the id of its group.
    """

    def __init__(self, child: subprocess.Popen[bytes], owner: Processes) -> None:
        self.pid = child.pid
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._child = child
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[int] = self._loop.create_future()
        # Threads, not the loop: their work does not depend on which thread or how busy a loop runs us.
        threading.Thread(target=self._read, args=(child.stdout,), daemon=True).start()
        threading.Thread(target=self._follow, daemon=True).start()

    async def wait(self) -> int:
        """Wait until it has ended and return its exit status."""
        return await asyncio.shield(self._done)

    def run_on(self, *, all_cores: bool) -> None:
        """Let it run on all cores, or on the upper half while it starts: that must not slow pods that serve.

        A pod on a machine of its own does not either, and no model has a start that slows its neighbours.
        """
        # None where the system does not tell which cores we may run on.
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if len(cores) < 2:
            return
        cores = cores if all_cores else cores[len(cores) // 2 :]
        try:
            threads = [int(entry.name) for entry in Path(f"/proc/{self.pid}/task").iterdir()]
        except OSError:  # it has ended, or the system has no such folder
            return
        for thread in threads:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(thread, cores)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._done.done()

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; to one that has ended it means nothing."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, number)

    def _read(self, output: IO[bytes]) -> None:
        with output:
            while line := output.readline(_LONGEST_LINE):
                self.tail.append(line.decode("utf-8", "replace").rstrip())

    def _follow(self) -> None:
        # The group is ended before its leader is reaped, while its number cannot have been given to another.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.signal(signal.SIGKILL)
        status = self._child.wait()
        with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever waits
            self._loop.call_soon_threadsafe(self._finish, status)

    def _finish(self, status: int) -> None:
        self._owner._ended(self)
        if not self._done.done():
            self._done.set_result(status)
