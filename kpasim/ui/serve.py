"""The server of the page: its socket, its token, its end."""

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from kpasim.errors import RunError
from kpasim.ui.app import create_app
from kpasim.ui.source import Source

LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 24
KEEP_ALIVE_S = 30
FAREWELL_S = 1
"""How long a leaving server waits for open responses [s]."""
MOST_CONNECTIONS = 64
"""Connections at the same time; more get status 503."""
SILENCE_S = 10
"""How long a new connection may take to send its first request before it is closed [s]."""


class Connection(H11Protocol):  # type: ignore[misc, unused-ignore]
    """A connection that is closed where it sends no request, so that silent ones do not keep others out."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override, unused-ignore]
        """Give it some time."""
        super().connection_made(transport)
        self.loop.call_later(SILENCE_S, self._end_silence)

    def _end_silence(self) -> None:
        if self.cycle is None:
            self.transport.close()


def serve(source: Source, host: str, port: int, *, announce: Callable[[str], None], browser: bool) -> None:
    """Serve the page until Ctrl-C or SIGTERM, and announce its address once the port (0: a free one) is open.

    Raises:
        RunError: The address cannot be had.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(MOST_CONNECTIONS)
        except OSError as error:
            raise RunError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
        bound = listener.getsockname()[1]
        name = LOOPBACK if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
        address = f"http://{name}:{bound}/?token={token}"
        config = uvicorn.Config(
            create_app(source, token, host, bound),
            log_level="warning",
            access_log=False,
            server_header=False,
            http=Connection,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=FAREWELL_S,
            limit_concurrency=MOST_CONNECTIONS,
        )
        announce(address)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        # After its farewell uvicorn raises the signal again: the simulating process is to be cleaned up before the end.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
