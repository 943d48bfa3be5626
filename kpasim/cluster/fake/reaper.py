"""Outlives the fake cluster to end its processes, however it died.

Run as a program of its own, in its own session, with the folder to remove as argument. It reads ``+PGID`` and ``-PGID``
lines; when the other end of the pipe is gone it kills the process groups that are left and removes the folder.
"""

import contextlib
import os
import shutil
import signal
import sys


def keep(folder: str) -> None:
    """Follow the list of process groups until the pipe ends, then end what is on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    keep(sys.argv[1])
