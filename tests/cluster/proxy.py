"""A bad way to an API server: it cuts, delays and truncates, and answers 302, 401, 429 and 500 by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import aiohttp
from aiohttp import web

FAULTS = ("cut before", "cut after", "delayed", "truncated", "302", "401", "429", "500")


class Proxy:
    """Passes requests on to an API server, and spoils a share of them.

    Attributes:
        share: Share of the requests that are spoilt.
        seen: How many met which fault.
        url: Where it answers.
    """

    def __init__(self, server: str, seed: int, share: float) -> None:
        self._server, self._random = server, random.Random(seed)
        self.share, self.seen, self.url = share, Counter[str](), ""

    async def serve(self, started: Future[Proxy], stop: asyncio.Event) -> None:
        """Run until told to stop."""
        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as self._session:
            started.set_result(self)
            await stop.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        fault = self._random.choice(FAULTS) if self._random.random() < self.share else ""
        self.seen[fault] += 1
        if fault == "302":
            return web.Response(status=302, headers={"Location": "http://127.0.0.1:9/login"})
        if fault.isdigit():
            headers = {"Retry-After": "1"} if fault == "429" else {}
            body = {"kind": "Status", "code": int(fault), "message": "of the proxy"}
            return web.json_response(body, status=int(fault), headers=headers)
        if fault == "delayed":
            await asyncio.sleep(self._random.uniform(0.2, 2.0))
        if fault == "cut before":
            return _cut(request)
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        async with self._session.request(
            request.method, self._server + request.path_qs, headers=headers, data=body, allow_redirects=False
        ) as reply:
            kept = {name: value for name, value in reply.headers.items() if name in ("Content-Type", "Warning", "Date")}
            if request.query.get("watch"):
                answer = web.StreamResponse(status=reply.status, headers=kept)
                answer.enable_chunked_encoding()
                await answer.prepare(request)
                async for chunk in reply.content.iter_any():
                    if fault == "truncated":
                        await answer.write(chunk[: len(chunk) // 2])
                        return _cut(request)
                    await answer.write(chunk)
                return answer
            whole = await reply.read()
            if fault == "cut after":
                return _cut(request)
            if fault == "truncated":
                answer = web.StreamResponse(status=reply.status, headers={**kept, "Content-Length": str(len(whole))})
                await answer.prepare(request)
                await answer.write(whole[: len(whole) // 2])
                return _cut(request)
            return web.Response(status=reply.status, headers=kept, body=whole)


def _cut(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError


@contextlib.contextmanager
def proxied(kubeconfig: Path, folder: Path, *, seed: int, share: float) -> Iterator[tuple[Path, Proxy]]:
    """A kubeconfig that leads to a cluster through a bad proxy."""
    config = json.loads(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    started: Future[Proxy] = Future()
    loop_of: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    proxy = Proxy(cluster["server"], seed, share)

    async def main() -> None:
        stop = asyncio.Event()
        loop_of.set_result((asyncio.get_running_loop(), stop))
        await proxy.serve(started, stop)

    thread = threading.Thread(target=asyncio.run, args=(main(),), name="proxy")
    thread.start()
    try:
        cluster["server"] = started.result(timeout=20).url
        path = folder / "proxied.json"
        path.write_text(json.dumps(config))
        yield path, proxy
    finally:
        loop, stop = loop_of.result(timeout=20)
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=20)
