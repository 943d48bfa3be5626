"""Asking a server that speaks Prometheus' HTTP API: Prometheus, Thanos, Mimir, VictoriaMetrics.

The token comes from a file or the environment, goes to the server named and nowhere else (a redirect is refused), and
appears in no message. Certificates are verified unless that is switched off by name.
"""

import contextlib
import gzip
import http.client
import io
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from kpasim.errors import RunError, printable
from kpasim.records.prometheus.files import from_answer, warnings_of
from kpasim.records.prometheus.selection import Served

TOKEN_VARIABLE = "KPASIM_PROMETHEUS_TOKEN"
"""Environment variable that holds a bearer token."""
MAX_POINTS = 10_000
"""Samples of one series that one question asks for at most; Prometheus refuses more than 11,000 of query_range."""
MAX_SAMPLES = 1_000_000
"""Samples of all series that one question asks for at most, so that its answer fits into memory."""
LEAST_PART_S = 60.0
"""A part of the window is not made shorter than twice that, however much the server finds it [s]."""
MAX_BYTES = 1 << 30
"""Bytes of an answer beyond which it is not read: a million samples take a twentieth of that."""
PATIENCE = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Pauses before a question is asked again [s]."""
TIMEOUT_S = 120.0
"""How long the server may be silent [s]."""
ANSWER_S = 900.0
"""How long the server may take over one answer, however often it says something [s]."""

_BUSY = {429, 502, 503, 504}
_TOO_MUCH = re.compile("exceed|too many|too long|limit|timed? ?out|deadline", re.IGNORECASE)
"""Words of servers that refuse a question for its size; most do it with HTTP 422, which others give for any error."""


class _TooMuchError(Exception):
    """The server will not answer a question of this size."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: the token is for the host that the user named."""


def token_from(path: str | Path | None) -> str | None:
    """The bearer token of a file, or of the environment where no file is named; ``None`` without either.

    Raises:
        RunError: The file cannot be read, or what it holds is no token.
    """
    if path is None:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        where = TOKEN_VARIABLE
    else:
        where = f"{path}"
        try:
            token = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no text"
            raise RunError(f"--token-file {path}: cannot be read: {reason}") from None
        if not token:
            raise RunError(f"--token-file {path}: is empty")
    if any(not 33 <= ord(character) <= 126 for character in token):
        raise RunError(f"{where}: is no bearer token (it holds blanks, line ends or characters beyond ASCII)")
    return token or None


class Client:
    """Questions to one server, of which ``url`` is the part before ``/api/v1`` and ``token`` the bearer token.

    With ``insecure`` its certificate is not verified; ``note`` takes what a user should know while waiting.

    Attributes:
        warnings: What the server said beside its answers, in order.

    Raises:
        RunError: The URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        insecure: bool = False,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.url = _checked(url)
        self._token = token
        self._note = note
        context = ssl.create_default_context()
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        host = urllib.parse.urlsplit(self.url).hostname
        if token and self.url.startswith("http:") and host not in ("localhost", "127.0.0.1", "::1"):
            note(f"{self.url}: the token is sent without encryption (http://)")
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect())
        self._answered = False
        self._posts = True
        self.warnings: dict[str, None] = {}

    def matrix(
        self, query: str, begin_s: float, end_s: float, *, step_s: float, interval_s: float, series: int = 1
    ) -> Iterator[Served]:
        """Series between two times [s since 1970], in parts that the server can answer.

        ``query`` is a selector without a range, or with a step any expression. A ``step_s`` of 0 asks for the samples
        themselves, whose shortest distance is ``interval_s``; there are so many ``series``.
        """
        points = max(1, min(MAX_POINTS, MAX_SAMPLES // max(series, 1)))
        length = points * (step_s or interval_s or 1.0)
        begin = begin_s
        while begin <= end_s:
            # The parts of query_range must not share a point; ranges of samples may, since each has its own time.
            end = min(begin + length, end_s)
            yield from self._part(query, begin, end, step_s)
            begin = end + (step_s or 1e-3)

    def _part(self, query: str, begin_s: float, end_s: float, step_s: float) -> Iterator[Served]:
        try:
            if step_s:
                asked = {"query": query, "start": f"{begin_s:.3f}", "end": f"{end_s:.3f}", "step": f"{step_s:g}"}
                answer = self._ask("query_range", asked)
            else:
                # A range includes the time at its end, and in some versions that at its begin as well.
                range_ms = round((end_s - begin_s) * 1000) + 1
                answer = self._ask("query", {"query": f"{query}[{range_ms}ms]", "time": f"{end_s:.3f}"})
        except _TooMuchError as error:
            if end_s - begin_s < 4 * max(step_s, LEAST_PART_S):
                raise RunError(f"{self.url}: the server says: {error}") from None
            middle = begin_s + step_s * ((end_s - begin_s) / 2 // step_s) if step_s else (begin_s + end_s) / 2
            yield from self._part(query, begin_s, middle, step_s)
            yield from self._part(query, middle + (step_s or 1e-3), end_s, step_s)
            return
        yield from from_answer(answer, self.url)

    def labels_of_series(self, selectors: Sequence[str], begin_s: float, end_s: float) -> list[dict[str, str]]:
        """Label sets of the series that any of the selectors finds."""
        asked = [("match[]", selector) for selector in selectors]
        try:
            answer = self._ask("series", [*asked, ("start", f"{begin_s:.3f}"), ("end", f"{end_s:.3f}")])
        except _TooMuchError as error:
            if end_s - begin_s < 4 * LEAST_PART_S:
                raise RunError(f"{self.url}: the server says: {error}") from None
            middle = (begin_s + end_s) / 2
            halves = (self.labels_of_series(selectors, *half) for half in ((begin_s, middle), (middle, end_s)))
            return list({tuple(sorted(one.items())): one for half in halves for one in half}.values())
        listed = answer.get("data") or []
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise RunError(f"{self.url}: /api/v1/series must answer with a list of label sets")
        return [{str(name): str(value) for name, value in one.items()} for one in listed]

    def _ask(self, what: str, parameters: Any) -> dict[str, Any]:
        """The answer to one question, asked again with patience while the server is busy or away.

        Raises:
            RunError: There is none, or an error.
            _TooMuchError: The question is too large.
        """
        for pause in (*PATIENCE, None):
            try:
                return self._once(what, parameters)
            except _AwayError as error:
                # A server that never answered is more likely to be another than to be away.
                if pause is None or (error.unreachable and not self._answered):
                    raise RunError(f"{self.url}: {error}") from None
                self._note(f"{self.url}: {error}; asking again in {pause:g} s")
                time.sleep(pause)
        raise AssertionError("unreachable")

    def _once(self, what: str, parameters: Any) -> dict[str, Any]:
        asked = urllib.parse.urlencode(parameters)
        # Thanos leaves out what a store does not answer, unless it is told not to; others do not know the word.
        asked += "&partial_response=false"
        request = urllib.request.Request(
            f"{self.url}/api/v1/{what}" + ("" if self._posts else f"?{asked}"),
            data=asked.encode() if self._posts else None,
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": "kpasim",
            },
        )
        if self._token:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                body = _unpacked(response, response.headers.get("Content-Encoding", ""))
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.METHOD_NOT_ALLOWED and self._posts:
                self._posts = False  # A proxy that lets only GET through.
                return self._once(what, parameters)
            with error, contextlib.suppress(OSError, EOFError, zlib.error):
                self._refuse(error, _unpacked(error, error.headers.get("Content-Encoding", "")))
            self._refuse(error, b"")
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from None
        except (OSError, EOFError, zlib.error, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        answer = _json(body)
        if answer is None or answer.get("status") != "success":
            raise RunError(f"{self.url}: {_not_prometheus(body)}")
        self._answered = True
        self.warnings |= dict.fromkeys(warnings_of(answer))
        return answer

    def _refuse(self, error: urllib.error.HTTPError, body: bytes) -> None:
        """Turn an HTTP error into ours."""
        answer = _json(body) or {}
        said, kind = printable(" ".join(str(answer.get("error", "")).split()))[:300], answer.get("errorType")
        if error.code in (401, 403):
            given = "the server refuses the token" if self._token else "the server wants a token"
            raise RunError(
                f"{self.url}: {given} (HTTP {error.code}); give a valid one with --token-file FILE or {TOKEN_VARIABLE}"
            )
        if 300 <= error.code < 400:
            target = error.headers.get("Location", "elsewhere")
            raise RunError(
                f"{self.url}: leads to {_without_query(target)} (HTTP {error.code}); name that URL if it is right"
            )
        unprocessable = said and error.code == http.HTTPStatus.UNPROCESSABLE_ENTITY
        if kind == "timeout" or unprocessable or (error.code not in _BUSY and _TOO_MUCH.search(said)):
            raise _TooMuchError(said)
        if error.code in _BUSY:
            raise _AwayError(f"HTTP {error.code} {said or error.reason}".strip(), unreachable=False)
        if said:
            raise RunError(f"{self.url}: the server says: {said}")
        raise RunError(f"{self.url}: {_not_prometheus(body, error.code)}")

    def _unreachable(self, reason: Any) -> Exception:
        if isinstance(reason, ssl.SSLCertVerificationError):
            return RunError(
                f"{self.url}: its certificate cannot be verified ({reason.verify_message}); name its authority with "
                "SSL_CERT_FILE=FILE, or use --insecure to go without"
            )
        if isinstance(reason, ssl.SSLError):
            return RunError(f"{self.url}: no TLS there ({reason.reason or reason}); http:// instead of https://?")
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        if proxy := _proxy(self.url):
            text += f" (through the proxy {proxy})"
        return _AwayError(f"cannot be reached: {text}", unreachable=True)


class _AwayError(Exception):
    """The server does not answer now."""

    def __init__(self, message: str, *, unreachable: bool) -> None:
        super().__init__(message)
        self.unreachable = unreachable


def _checked(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise RunError("--prometheus: is no URL (such as http://localhost:9090)") from None
    if parts.username or parts.password:
        raise RunError(f"--prometheus: a URL must hold no user or password; use --token-file or {TOKEN_VARIABLE}")
    if not valid or parts.query or parts.fragment:
        raise RunError(f"--prometheus: must be a URL such as http://localhost:9090 (it is {_without_query(url)})")
    path = parts.path.rstrip("/").removesuffix("/api/v1").removesuffix("/graph")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _proxy(url: str) -> str:
    """The proxy that the environment names for a URL, without user and password; empty where there is none."""
    parts = urllib.parse.urlsplit(url)
    named = urllib.request.getproxies().get(parts.scheme, "")
    if not named or urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return printable(named.rpartition("@")[2].rpartition("//")[2].rstrip("/"))


def _without_query(url: str) -> str:
    """A URL as messages show it: what follows ``?`` may be secret."""
    return printable(url.partition("?")[0][:200])


def _unpacked(response: IO[bytes], encoding: str) -> bytes:
    """The body of an answer.

    Raises:
        RunError: It is longer than any to a question of ``MAX_SAMPLES``, or takes too long.
    """
    raw = _InTime(response)
    whole = io.BufferedReader(raw)
    source: IO[bytes] = gzip.GzipFile(fileobj=whole) if encoding == "gzip" else whole  # type: ignore[assignment]
    parts, length = [], 0
    while part := source.read(1 << 20):
        parts.append(part)
        length += len(part)
        if length > MAX_BYTES:
            raise RunError(f"an answer is longer than {MAX_BYTES >> 20:,} MiB: this is no answer to kpasim's question")
    raw.check_end()
    return b"".join(parts)


class _InTime(io.RawIOBase):
    """The bytes of an answer as they come, for as long as an answer may take."""

    def __init__(self, response: Any) -> None:
        self._response, self._begun_s, self._length = response, time.monotonic(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if time.monotonic() - self._begun_s > ANSWER_S:
            raise RunError(f"an answer takes longer than {ANSWER_S:g} s (observe a shorter window)")
        part = self._response.read1(len(buffer))
        buffer[: len(part)] = part
        self._length += len(part)
        return len(part)

    def check_end(self) -> None:
        """Refuse a body that is shorter than it said."""
        if self._length < int(self._response.headers.get("Content-Length") or 0):
            raise EOFError("the answer ended early")


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _not_prometheus(body: bytes, code: int = 200) -> str:
    page = " with a web page" if b"<html" in body[:1000].lower() or b"<!doctype" in body[:1000].lower() else ""
    return (
        f"does not speak Prometheus' API (HTTP {code}{page}); name the URL before /api/v1, such as "
        "http://localhost:9090 or https://thanos.example.com"
    )
