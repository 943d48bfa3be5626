"""Run a fake cluster as a process of its own: options on standard input, its kubeconfig on standard output.

It ends when its standard input does, so it never outlives whoever started it.
"""

import asyncio
import contextlib
import os
import signal
import sys

from kpasim.cluster.fake.cluster import FakeCluster, Options


async def _main() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us; we go when they do
    options = Options.from_json(sys.stdin.readline())
    loop.add_reader(sys.stdin.fileno(), stop.set)
    async with FakeCluster(options) as cluster:
        # Whoever started us may be gone by now. `print` would keep the line and fail again at the end.
        with contextlib.suppress(BrokenPipeError):
            os.write(sys.stdout.fileno(), f"{cluster.kubeconfig}\n".encode())
            await stop.wait()


if __name__ == "__main__":
    asyncio.run(_main())
