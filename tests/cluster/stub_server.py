"""A server that sleeps instead of computing: what the stand-in's pods run in the tests.

python stub_server.py HOST PORT [--service-s 0.1] [--start-s 0] [--hang] [--crash]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service_s: float) -> None:
    """Serve one connection: read a request, sleep, answer with the pod's name; probes are answered at once."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode("latin-1").split("\r\n")
            length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
            await reader.readexactly(length)
            if lines[0].split()[1] != "/healthz":
                await asyncio.sleep(service_s)
            body = os.environ.get("HOSTNAME", "?").encode()
            writer.write(b"HTTP/1.1 200 OK\r\nX-Pod: " + body + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Start late, hang, crash or serve until SIGTERM, as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--service-s", type=float, default=0.1)
    parser.add_argument("--start-s", type=float, default=0.0)
    parser.add_argument("--label", default="")
    parser.add_argument("--hang", action="store_true")
    parser.add_argument("--crash", action="store_true")
    options = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if options.crash:
        sys.exit("the model is not there")
    if options.hang:
        await stop.wait()
        return
    await asyncio.sleep(options.start_s)
    await asyncio.start_server(
        lambda reader, writer: answer(reader, writer, options.service_s), options.host, options.port
    )
    await stop.wait()


asyncio.run(main())
