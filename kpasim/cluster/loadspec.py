"""From an experiment and a command line to a load: when requests are sent, where to, and what they carry."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from kpasim.cluster.load import ClosedLoop, OpenLoop, Target, check_url
from kpasim.errors import RunError
from kpasim.spec.experiment import Experiment
from kpasim.spec.workload import Hey

MOST_BODY_BYTES = 64 * 2**20
"""Bytes of the file of bodies at most; a device that never ends is refused there, too."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that no header may hold (RFC 9110, 5.5)."""


def plan_of(experiment: Experiment, *, seed: int | None = None) -> ClosedLoop | OpenLoop:
    """When an experiment's requests are sent: those of its first replication, with another seed where one is given.

    Raises:
        RecordError: A file that the workload replays cannot be read.
    """
    workload = experiment.workload
    if isinstance(workload, Hey):
        return ClosedLoop(workload.concurrency, workload.requests, workload.qps, workload.duration_s)
    from kpasim.engines.sampling import arrivals

    return OpenLoop(arrivals(workload, experiment.seed if seed is None else seed, replication=0) / 1e9)


def target_of(
    experiment: Experiment,
    url: str,
    *,
    host: str | None = None,
    method: str | None = None,
    bodies: Sequence[bytes] = (),
    headers: Mapping[str, str] | None = None,
    verify_tls: bool = True,
) -> Target:
    """Where an experiment's requests go: what the experiment says of its clients, and the rest as given.

    The method is POST with bodies and GET without; bodies are JSON unless a header says otherwise.

    Raises:
        RunError: It is no URL, or what no request can carry as its method or host.
    """
    check_url(url)
    if method and not _TOKEN.fullmatch(method):
        raise RunError(f"--method: {method!r} is not a method (must be a word such as GET or POST)")
    if host and _CONTROL.search(host):
        raise RunError(f"--host: {host!r} is not a host (must have no control characters)")
    workload = experiment.workload
    sessions = workload.sessions
    return Target(
        url=url,
        method=method or ("POST" if bodies else "GET"),
        headers=({"Content-Type": "application/json"} if bodies else {}) | dict(headers or {}),
        host=host,
        bodies=bodies,
        timeout_s=workload.timeout_s,
        verify_tls=verify_tls,
        sessions=sessions.count if sessions else 0,
        cookies=bool(sessions and sessions.cookies),
    )


def longest_s(plan: ClosedLoop | OpenLoop, timeout_s: float) -> float:
    """How long a load may last [s]: each request as long as its client waits for it, ``timeout_s``."""
    if isinstance(plan, OpenLoop):
        last_s = float(plan.arrivals_s[-1]) if len(plan.arrivals_s) else 0.0
    elif plan.duration_s is not None:
        last_s = plan.duration_s
    else:
        tick_s = 1 / plan.qps if plan.qps else 0.0
        last_s = plan.requests // plan.concurrency * (timeout_s + tick_s)
    return last_s + timeout_s


def describe(plan: ClosedLoop | OpenLoop) -> str:
    """A load in a few words."""
    if isinstance(plan, OpenLoop):
        last_s = plan.arrivals_s[-1] if len(plan.arrivals_s) else 0.0
        return f"{len(plan.arrivals_s)} requests in {last_s:.1f} s"
    if plan.duration_s is not None:
        return f"requests of {plan.concurrency} workers for {plan.duration_s:g} s"
    return f"{plan.requests // plan.concurrency * plan.concurrency} requests of {plan.concurrency} workers"


def without_secrets(url: str) -> str:
    """A URL without user, password and query, fit for a terminal and a log."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def parse_headers(lines: Sequence[str]) -> dict[str, str]:
    """Headers from ``Name: value`` lines.

    Raises:
        RunError: A line that is none.
    """
    headers = {}
    for number, line in enumerate(lines, start=1):
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            # Not repeated: it may be a password with a typing error.
            raise RunError(f"--header: number {number} is not a header (must be Name: value)")
        headers[name] = value.strip()
    return headers


def read_bodies(text: str) -> list[bytes]:
    """Bodies as the command line names them: the text itself, or ``@FILE``.

    ``@FILE.jsonl`` holds one body on each line that is not blank; any other ``@FILE`` is one body.

    Raises:
        RunError: The file cannot be read, is too large, or holds no body.
    """
    if not text.startswith("@"):
        return [text.encode()]
    path = Path(text[1:])
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BODY_BYTES + 1)
    except OSError as err:
        raise RunError(f"--body {text}: cannot be read: {err.strerror}") from err
    if len(content) > MOST_BODY_BYTES:
        raise RunError(f"--body {text}: is larger than {MOST_BODY_BYTES // 2**20} MB")
    bodies = [line for line in content.splitlines() if line.strip()] if path.suffix == ".jsonl" else [content]
    if not bodies:
        raise RunError(f"--body {text}: holds no body")
    return bodies
