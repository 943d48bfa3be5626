"""What every request passes: the right host, no other origin, the token, and a body of bounded size."""

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from kpasim.spec.names import is_address

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MOST_BODY = 1_000_000
"""Bytes of a request's body at most."""
SPARE = 64 * MOST_BODY
"""Bytes that are read of a body that is too large, so that its sender gets the response and not a reset."""
TOO_LARGE = f"the body may have {MOST_BODY:,} bytes"
HTTP_PORT = 80
"""Port that a Host header leaves out."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Door:
    """Lets requests of the page into the application behind it and refuses all others.

    They carry the token in the address of the page, and name the host and port that the server was told to listen on.
    """

    def __init__(self, app: App, token: str, host: str, port: int) -> None:
        self._app, self._token, self._host, self._port = app, token.encode(), host, port

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Take one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        announced = headers.get(b"content-length", b"0")
        if refused is None and announced.isdigit() and int(announced) > MOST_BODY:
            await _read(receive, SPARE)
            refused = 413, TOO_LARGE
        if refused is not None:
            status, text = refused
            closing = PlainTextResponse(f"{text}\n", status, HEADERS | {"connection": "close"})
            await closing(scope, receive, send)
            return
        left = MOST_BODY

        async def limited() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                await _read(receive, SPARE)
                raise HTTPException(413, TOO_LARGE)
            return message

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, limited, safe)

    def _refusal(self, scope: Message, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """Status and reason where a request is refused."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._is_ours(host):
            return 421, "the Host header names another server"
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() != f"http://{host}":
            return 403, "the request comes from another origin"
        if headers.get(b"sec-fetch-site", b"none") not in {b"same-origin", b"none"}:
            return 403, "the request comes from another site"
        given = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if not given:
            given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0].encode()
        if not hmac.compare_digest(given, self._token):
            return 403, "the token is missing or wrong: open the address that kpasim ui printed"
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this server: a name that anybody can point here (DNS rebinding) does not."""
        name, _, port = host.rpartition(":")
        if self._port == HTTP_PORT and not port.isdigit():
            name = host
        elif port != str(self._port):
            return False
        if name in {"127.0.0.1", "localhost", "[::1]", self._host.lower(), f"[{self._host.lower()}]"}:
            return True
        stands_for_all = is_address(self._host) and ipaddress.ip_address(self._host).is_unspecified
        return stands_for_all and (name == socket.gethostname().lower() or is_address(name.strip("[]")))


async def _read(receive: Receive, most: int) -> None:
    more = True
    while more and most > 0:
        message = await receive()
        most -= len(message.get("body", b""))
        more = message.get("more_body", False)
