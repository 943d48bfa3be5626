"""Real clients: an experiment's requests, sent to any URL as the simulator plays them.

Two kinds of clients. A closed loop does what the load generator hey does: workers that start together, each sending its
next request when the last one is answered. An open loop sends each request at its own time, answered or not.

Every request keeps the time it was meant to be sent at beside the time at which it really was. A client that is late (a
busy machine, too many requests for one process) would otherwise be taken for a slow service.
"""

import asyncio
import contextlib
import gc
import math
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

import kpasim
from kpasim.arrays import Array, Floats
from kpasim.engines.draws import session_of
from kpasim.errors import MissingExtraError, RunError
from kpasim.results.frames import Columns
from kpasim.results.summary import COUNTS, nested, request_figures

if TYPE_CHECKING:
    import aiohttp

LATE_S = 0.03
"""Lag between planned and actual sending [s] that one request in a hundred may exceed without a warning."""

LATE_SHARE = 0.1
"""The same as a share of the median latency, which matters less the longer responses take."""

KEEP_ALIVE_S = 3600.0
"""How long an idle connection is kept for the next request, as hey keeps it: practically for ever."""

MANY = 65536
"""Open files that a load may need: as many as there are ports to connect from."""

HOPELESS_REQUESTS, HOPELESS_S = 20, 20.0
"""A load may be given up when so many requests, for so long [s], were all refused."""

INTERRUPTED = "interrupted"
"""What the error column says of a request whose client was stopped before the answer came."""


@dataclass(frozen=True)
class ClosedLoop:
    """hey's clients.

    Attributes:
        concurrency: Workers; all start at once.
        requests: hey's ``-n``: each worker sends ``floor(requests / concurrency)``. Unused with `duration_s`.
        qps: hey's ``-q``: requests per second of each worker at most; 0 for no limit. Missed ticks are not made up for.
        duration_s: hey's ``-z``: after that time [s] a worker sends no further request; those under way are awaited.
    """

    concurrency: int
    requests: int = 0
    qps: float = 0.0
    duration_s: float | None = None


@dataclass(frozen=True)
class OpenLoop:
    """Requests at given times.

    Attributes:
        arrivals_s: When each is sent [s from the start], ascending, shape ``(requests,)``.
    """

    arrivals_s: Floats


@dataclass(frozen=True)
class Target:
    """Where requests go and what they carry.

    Attributes:
        host: ``Host`` header (and TLS server name), for a service behind a gateway's address; ``None`` for the URL's.
        bodies: Bodies, dealt out in turn by the request's number; empty for requests without one.
        timeout_s: When a client gives up, sending and receiving included [s]; 0 for never.
        verify_tls: Whether the server's certificate is checked (hey does not).
        sessions: Different clients: a worker of a closed loop is always the same one, other requests are one's at
            random, as in the simulator; 0 where all are strangers.
        cookies: Whether a session's client sends back the cookies it was given.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    host: str | None = None
    bodies: Sequence[bytes] = ()
    timeout_s: float = 20.0
    verify_tls: bool = True
    sessions: int = 0
    cookies: bool = False


@dataclass
class Sent:
    """What became of a load.

    Attributes:
        requests: The table ``requests`` of a run folder, in order of sending, with ``planned_s`` beside ``start_s``.
            ``status`` 0 without ``error``: the client's timeout; with one: no answer for that reason. The pod's name
            and its times are there where the server tells them (kpasim's own does).
        began_unix_s: Unix time of the start, the zero of all times in the table [s].
        size_total: Bytes of all answers.
        interrupted: Whether the load was stopped before its end.
        hopeless: Why it was given up, empty where it was not.
    """

    requests: Columns
    began_unix_s: float
    size_total: int
    interrupted: bool
    hopeless: str = ""

    @property
    def lag_s(self) -> Floats:
        """How long after its time each request was sent [s]."""
        lag: Floats = self.requests["start_s"] - self.requests["planned_s"]
        return lag

    @property
    def _late_s(self) -> float:
        """Lag that one request in a hundred exceeds [s]."""
        return float(np.percentile(self.lag_s, 99)) if len(self.lag_s) else 0.0

    def figures(self) -> dict[str, Any]:
        """Figures of the load as summary.json holds them, with the client's own lag."""
        columns = (self.requests[name][np.newaxis] for name in ("start_s", "latency_s", "status"))
        figures = {
            name: int(value[0]) if name in COUNTS else round(float(value[0]), 6)
            for name, value in request_figures(*columns).items()
        }
        statuses = Counter(self.requests["status"].tolist())
        lag = self.lag_s if len(self.lag_s) else np.array([math.nan])
        return nested(figures) | {
            "statuses": {str(status): count for status, count in sorted(statuses.items())},
            "lag_s": {
                name: round(float(np.percentile(lag, p)), 6) for name, p in (("p50", 50), ("p99", 99), ("max", 100))
            },
            "began_unix_s": round(self.began_unix_s, 3),
            "interrupted": self.interrupted,
        }

    def failed(self) -> dict[str, int]:
        """Failed requests by what the client saw, most frequent first: a status, its own timeout, a broken connection.

        Requests that were under way when the load was stopped are not among them.
        """
        return _failures(zip(self.requests["status"].tolist(), self.requests["error"].tolist(), strict=True))

    def trouble(self) -> str:
        """Why responses to this load cannot be judged: the client was late; empty where it was not."""
        if not self.warnings() or self._late_s <= LATE_SHARE * float(np.median(self.requests["latency_s"])):
            return ""
        return f"the client was late, by more than {self._late_s * 1e3:.0f} ms for 1 % of its requests"

    def warnings(self) -> list[str]:
        """What speaks against trusting the measurement, one line each."""
        if self._late_s <= LATE_S:
            return []
        late, latest = self._late_s * 1e3, self.lag_s.max() * 1e3
        return [
            f"the client was late: 1 % of its requests left more than {late:.0f} ms after their time "
            f"({latest:.0f} ms at most), so part of what was measured is this machine and not the service"
        ]


def load(plan: ClosedLoop | OpenLoop, target: Target) -> Sent:
    """Send a load and wait for its answers; see `drive`. Ctrl-C ends it early and keeps what was measured."""

    async def main() -> Sent:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        with _on_interrupt(loop, stop.set):
            return await drive(plan, target, stop=stop)

    return asyncio.run(main())


async def drive(
    plan: ClosedLoop | OpenLoop,
    target: Target,
    *,
    stop: asyncio.Event | None = None,
    deadline_s: float | None = None,
    give_up: bool = False,
) -> Sent:
    """Send a load from the running event loop.

    It ends early when ``stop`` is set, ``deadline_s`` after its start, and with ``give_up`` when nothing but refusals
    comes back, see `HOPELESS_REQUESTS`; timeouts are none. Requests under way are given up and marked so.

    Raises:
        RunError: The URL is none, or aiohttp is missing.
    """
    check_url(target.url)
    clients = _Clients(target)
    _allow_many_connections()
    async with clients.connected():
        # What exists now lives on: the collector need not look through it while times are taken.
        gc.collect()
        gc.freeze()
        try:
            clients.begin()
            run = clients.closed(plan) if isinstance(plan, ClosedLoop) else clients.open(plan)
            interrupted = not await _finished(run, stop, deadline_s, clients.hopeless if give_up else None)
        finally:
            gc.unfreeze()
    hopeless = clients.refusals() if give_up and interrupted else ""
    return Sent(clients.columns(), clients.began_unix_s, sum(row.size for row in clients.rows), interrupted, hopeless)


@dataclass(slots=True)
class _Row:
    """One request; times in seconds from the start of the load."""

    index: int
    planned_s: float
    start_s: float
    end_s: float = math.nan
    first_byte_s: float = math.nan
    status: int = 0
    error: str = ""
    size: int = 0
    session: int = -1
    pod: str = ""
    service_s: float = math.nan
    queue_s: float = math.nan
    arrival_unix_s: float = math.nan


class _Clients:
    """The clients of one load: connections, clock and what was measured."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.rows: list[_Row] = []
        self.began_unix_s = 0.0
        self._zero = 0.0
        self._jars: dict[int, dict[str, str]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._fixed: dict[str, Any] = {}

    @contextlib.asynccontextmanager
    async def connected(self) -> Any:
        """Hold a pool of connections, without bound as hey's."""
        try:
            import aiohttp
        except ImportError as err:
            raise MissingExtraError("cluster", err) from err
        target = self.target
        headers = {"User-Agent": f"kpasim/{kpasim.__version__}", **target.headers}
        if target.host:
            headers["Host"] = target.host
            if target.url.startswith("https:"):
                self._fixed["server_hostname"] = target.host
        # A timeout of more than 5 s is otherwise rounded up to a whole second of the clock.
        timeout = aiohttp.ClientTimeout(total=target.timeout_s or None, ceil_threshold=math.inf)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=target.verify_tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=timeout,
            auto_decompress=False,
        ) as self._session:
            yield

    def begin(self) -> None:
        """Set the zero of all times."""
        self.began_unix_s = time.time()
        self._zero = time.perf_counter()

    def now_s(self) -> float:
        """Seconds since the start of the load."""
        return time.perf_counter() - self._zero

    async def closed(self, plan: ClosedLoop) -> None:
        """Send as hey's workers do."""
        share = None if plan.duration_s is not None else plan.requests // plan.concurrency

        async def worker(number: int) -> None:
            period_s = 1 / plan.qps if plan.qps else 0.0
            tick = 0
            sent = 0
            planned_s = 0.0
            while share is None or sent < share:
                if plan.duration_s is not None and self.now_s() >= plan.duration_s:
                    return
                if period_s:
                    # A tick that passed while the worker was busy is waiting for it, but only one.
                    passed = math.floor(self.now_s() / period_s)
                    tick = max(tick + 1, passed)
                    planned_s = max(planned_s, tick * period_s)
                    await asyncio.sleep(tick * period_s - self.now_s())
                index = number + sent * plan.concurrency if share is None else number * share + sent
                planned_s = (await self._send(index, planned_s, worker=number)).end_s
                sent += 1

        async with asyncio.TaskGroup() as group:
            for number in range(plan.concurrency):
                group.create_task(worker(number))

    async def open(self, plan: OpenLoop) -> None:
        """Send each request at its time."""
        async with asyncio.TaskGroup() as group:
            for index, planned_s in enumerate(plan.arrivals_s.tolist()):
                if planned_s > self.now_s():
                    await asyncio.sleep(planned_s - self.now_s())
                group.create_task(self._send(index, planned_s))

    async def _send(self, index: int, planned_s: float, worker: int = -1) -> _Row:
        """One request, to the end of its answer."""
        import aiohttp

        target = self.target
        assert self._session is not None
        row = _Row(index, planned_s, self.now_s())
        row.session = session_of(0, index, worker, target.sessions) if target.sessions else -1
        self.rows.append(row)
        options = dict(self._fixed)
        if target.bodies:
            options["data"] = target.bodies[index % len(target.bodies)]
        jar = self._jars.setdefault(row.session, {}) if target.cookies and row.session >= 0 else None
        if jar:
            options["cookies"] = jar
        try:
            async with self._session.request(target.method, target.url, **options) as answer:
                row.first_byte_s = self.now_s()
                row.status = answer.status
                if jar is not None:
                    jar.update({name: morsel.value for name, morsel in answer.cookies.items()})
                async for chunk in answer.content.iter_any():
                    row.size += len(chunk)
                row.end_s = self.now_s()
                _read_provenance(row, answer.headers)
        except TimeoutError:
            # A client that gives up while the body comes counts the answer it has begun to get, as hey does.
            if row.status:
                row.error = "timeout while reading the body"
        except (aiohttp.ClientError, OSError) as err:
            # An answer that broke off is none, although hey counts its status.
            row.error = _reason(err)
            row.status = 0
        except asyncio.CancelledError:
            row.error = INTERRUPTED
            row.status = 0
            raise
        finally:
            if math.isnan(row.end_s):
                row.end_s = self.now_s()
        return row

    def refusals(self) -> str:
        """That every request until now was refused, and how; empty where that is not so, or not known for long."""
        done = [(row.status, row.error) for row in self.rows if not math.isnan(row.end_s) and row.error != INTERRUPTED]
        if len(done) < HOPELESS_REQUESTS or self.now_s() < HOPELESS_S:
            return ""
        if not all(error or status >= 400 for status, error in done):
            return ""
        listed = ", ".join(f"{count} x {what}" for what, count in _failures(done).items())
        return f"the first {len(done)} requests all failed: {listed}"

    async def hopeless(self) -> None:
        """Return when every request is refused, if ever."""
        while not self.refusals():
            await asyncio.sleep(1.0)

    def columns(self) -> Columns:
        """The table of requests, in order of sending."""
        rows = sorted(self.rows, key=lambda row: row.start_s)

        def column(name: str, kind: Any = np.float64) -> Array:
            return np.array([getattr(row, name) for row in rows], dtype=kind)

        start, service = column("start_s"), column("service_s")
        arrival = column("arrival_unix_s") - self.began_unix_s
        served = arrival + column("queue_s")
        table: Columns = {
            "id": np.arange(len(rows)),
            "start_s": start,
            "latency_s": column("end_s") - start,
            "status": column("status", np.int64),
            "pod": column("pod", np.str_),
            "service_s": service,
            "server_arrival_s": arrival,
            "server_start_s": served,
            "server_end_s": served + service,
            "error": column("error", np.str_),
            "first_byte_s": column("first_byte_s"),
            "planned_s": column("planned_s"),
        }
        if any(row.session >= 0 for row in rows):
            table["session"] = column("session", np.int64)
        return table


def _failures(requests: Iterable[tuple[int, str]]) -> dict[str, int]:
    """Failed requests, given as status and error, by what the client saw; most frequent first."""
    kinds = Counter(
        error or (str(status) if status else "client timeout")
        for status, error in requests
        if (error or not 200 <= status < 400) and error != INTERRUPTED
    )
    return dict(kinds.most_common())


def check_url(url: str) -> None:
    """Refuse what is no URL before anything is sent.

    Raises:
        RunError: It is none.
    """
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        shown = url if "@" not in url and "?" not in url else "what was given"  # there may be a password in it
        raise RunError(f"url: {shown!r} is not a URL (must be http://host:port/path)")


def _allow_many_connections() -> None:
    """Let the process hold as many connections as the system permits: in an open loop each waiting request has one."""
    try:
        import resource

        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MANY if most == resource.RLIM_INFINITY else min(most, MANY)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(now, wanted), most))
    except (ImportError, ValueError, OSError):  # not this platform, or not allowed: what there is must do
        pass


def _read_provenance(row: _Row, headers: Mapping[str, str]) -> None:
    """Who answered and how long it took, where the headers of kpasim's own server say so; they are not trusted to."""
    row.pod = headers.get("X-Pod-Name", "")[:253]
    with contextlib.suppress(ValueError):
        row.arrival_unix_s = _finite(headers.get("X-Arrival-Time", ""))
    for part in headers.get("Server-Timing", "").split(","):
        name, _, duration = part.strip().partition(";dur=")
        if name in ("service", "queue"):
            with contextlib.suppress(ValueError):
                setattr(row, f"{name}_s", _finite(duration) / 1e3)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _reason(err: Exception) -> str:
    """Why there is no answer, in a few words that are the same for every request."""
    import aiohttp

    if isinstance(err, aiohttp.ClientConnectorDNSError):
        return "name not found"
    if isinstance(err, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "TLS handshake failed"
    if isinstance(err, aiohttp.ServerDisconnectedError):
        return "connection closed by the server"
    if isinstance(err, OSError) and err.errno:
        return os.strerror(err.errno).lower()
    return type(err).__name__


async def _finished(
    run: Any, stop: asyncio.Event | None, deadline_s: float | None, hopeless: Callable[[], Awaitable[None]] | None
) -> bool:
    """Await the load; False if it was stopped before its end."""
    work = asyncio.create_task(run)
    waits = {work}
    if stop is not None:
        waits.add(asyncio.create_task(stop.wait()))
    if hopeless is not None:
        waits.add(asyncio.ensure_future(hopeless()))
    try:
        await asyncio.wait(waits, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        whole = work.done()
        if whole:
            work.result()
        return whole
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


@contextlib.contextmanager
def _on_interrupt(loop: asyncio.AbstractEventLoop, react: Any) -> Iterator[None]:
    """Call `react` on Ctrl-C instead of raising, where this thread may say so."""
    import signal

    try:
        loop.add_signal_handler(signal.SIGINT, react)
    except (ValueError, RuntimeError, NotImplementedError):  # not the main thread, or not this platform
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
