"""One server process: its socket, its signals, its exit."""

import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from kpasim.errors import KpasimError, MissingExtraError, RunError
from kpasim.server.settings import Settings

KEEP_ALIVE_S = 120
"""Longer than Go keeps an idle connection (90 s): queue-proxy closes first, and no request meets a closing one."""

LINGER_S = 0.5
"""The port stays open that long after the last answer: a client that goes on at once meets 503 and not a reset."""

FAREWELL_S = 30
"""How long a leaving process waits for clients that are slow to read their answers."""

UNREAD_S = 60
"""How long an answer may lie unread before its connection is given up: it is as long in memory."""

HEADERS_S = 30
"""How long a connection may take to send the headers of a request that it has begun, or to begin its first one."""

BACKLOG = 2048
"""Connections that may wait to be taken: a burst is refused with 503, not with a reset."""


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was admitted and return; port 0 takes a free one and logs it.

    The port is open (and ``/healthz`` answers) before the model is loaded. After the first signal new requests get 503
    while the admitted ones run on; a second signal ends the process at once.

    Raises:
        RunError: The port cannot be had, the model cannot be loaded, or a package is missing.
    """
    model = settings.model
    if model is not None and model.startswith(("/", "./", "../")) and not Path(model, "model_index.json").is_file():
        raise RunError(f"--model {model}: no diffusers pipeline there (a folder with model_index.json)")
    try:
        import uvicorn

        from kpasim.server.app import create_app
        from kpasim.server.service import Service
    except ImportError as err:
        raise MissingExtraError("server", err) from err
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s")
    log = logging.getLogger("kpasim.server")
    log.setLevel(logging.INFO)

    service = Service(settings, born_s=_process_start_s())

    def leave() -> None:
        server.should_exit = True

    app = create_app(service, on_failure=leave)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=_patient_protocol(),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=FAREWELL_S,
            backlog=BACKLOG,
        )
    )

    def on_signal(_number: int, _frame: Any) -> None:
        loop = service.loop
        if service.closing:
            server.should_exit = server.force_exit = True
        elif loop is None:  # nothing has begun
            leave()
        else:
            # From the event loop, between its steps, and not inside whatever the signal has interrupted.
            loop.call_soon_threadsafe(service.close, lambda: loop.call_later(LINGER_S, leave))

    # uvicorn would close the port on the first signal and end with the signal's status.
    server.handle_exit = on_signal
    # It takes the signals when it runs; one may come as soon as the port is open.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    listener = listen(host, port)
    address, bound = listener.getsockname()[:2]
    log.info("listening on http://%s:%d", f"[{address}]" if ":" in address else address, bound)
    server.run(sockets=[listener])
    if service.failure is not None:
        if isinstance(service.failure, KpasimError):
            raise service.failure
        raise RunError(f"the model cannot be loaded: {service.failure!r}") from service.failure
    if service.busy:
        # A thread inside torch cannot be ended, and joining it would take as long as its work.
        logging.shutdown()
        os._exit(1 if service.running else 0)


def _patient_protocol() -> Any:
    """Uvicorn's protocol over h11 (it bounds a request's headers), which ends requests that stop half-way.

    uvicorn itself waits for the rest of the headers for ever. Bodies have a limit of their own in the application.
    """
    import asyncio

    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class PatientProtocol(H11Protocol):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._deadline: asyncio.TimerHandle | None = None
            self._watch(begun=True)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch(begun=bool(self.conn.trailing_data[0]))

        def connection_lost(self, exc: Exception | None) -> None:
            self._watch(begun=False)
            super().connection_lost(exc)

        def _watch(self, *, begun: bool) -> None:
            waiting = begun and self.conn.their_state is h11.IDLE
            if waiting and self._deadline is None:
                self._deadline = asyncio.get_running_loop().call_later(HEADERS_S, self.transport.abort)
            elif not waiting and self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return PatientProtocol


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Raises:
        RunError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named, which socket.create_server leaves out: the
    # body of an answer would wait some 40 ms for the client to acknowledge the headers.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S * 1000)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as err:
        listener.close()
        raise RunError(f"cannot listen on {host}:{port}: {err.strerror or err}") from err
    return listener


def _process_start_s() -> float:
    """When this process was started, on `time.monotonic`'s clock; now where the system does not say."""
    now = time.monotonic()
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        return now - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError):
        return now
