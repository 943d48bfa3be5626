"""The few calls a validation makes to a Kubernetes API server, on the official client.

One way to call, for every kind of object: plain dictionaries in and out, a deadline on each call, a limit on what is
read, retries where the server says "later" (429, 5xx, a broken connection), and one line of plain words where it says
no. Retrying is safe: what is created carries the run's label, so a create whose answer was lost is recognised.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import email.utils
import json
import math
import os
import random
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kpasim.cluster.deadline import Deadline
from kpasim.cluster.errors import (
    ClusterError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    LoginError,
    MissingError,
    RefusedError,
    UnreachableError,
)
from kpasim.cluster.objects import PODS, Document, Resource, checked_name

_MAX_OBJECT_BYTES = 4 << 20  # the API server takes at most 1.5 MB in one object
_MAX_LIST_BYTES = 64 << 20
_PAGE = 200
_MAX_PAGES = 500
_MAX_MESSAGE = 1200
IN_CLUSTER = "in-cluster"
"""Name of the cluster that a pod runs in, in place of a context."""
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_AUTHORIZER = re.compile(r'(?:is )?forbidden: User ".*?" cannot \w+ ')
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
_METHODS = {"create": "post", "patch": "patch", "delete": "delete"}
"""HTTP methods by verb, for those that are not a GET."""
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_Query = Sequence[tuple[str, str]]
_Call = tuple[str, str, str | None]
"""Verb, resource as RBAC names it, and namespace; None for the whole cluster."""


@dataclass(frozen=True)
class Patience:
    """How long a single call may take, and how long calls are repeated.

    Attributes:
        request_s: One call.
        retry_s: All attempts of one call together.
        first_pause_s: Pause before the second attempt; it doubles with each further one, with jitter.
        longest_pause_s: Where the doubling ends; also the most that a ``Retry-After`` is obeyed.
        watch_s: Length asked for one watch, after which it is begun again where it ended.
        poll_s: Between two looks at something that is waited for.
        authorizer_s: How long a redirect is retried, and a 401 or the authorizer's 403 for a call that was allowed
            before: an API server that has just started knows neither tokens nor roles for a moment.
    """

    request_s: float = 20.0
    retry_s: float = 60.0
    first_pause_s: float = 0.25
    longest_pause_s: float = 10.0
    watch_s: float = 240.0
    poll_s: float = 1.0
    authorizer_s: float = 5.0


class Clock:
    """The API server's clock seen from here.

    Each answer carries the server's time in whole seconds; the answers together narrow the difference down.
    """

    def __init__(self) -> None:
        self._low_s, self._high_s = -math.inf, math.inf

    @property
    def skew_s(self) -> float:
        """Server time minus local time [s]; 0.0 until an answer has been seen."""
        return 0.0 if math.isinf(self._low_s) else (self._low_s + self._high_s) / 2

    def saw(self, date: str | None, sent_s: float, received_s: float) -> None:
        """Take the ``Date`` header of an answer that was asked for and received at these local times."""
        try:
            server_s = email.utils.parsedate_to_datetime(date or "").timestamp()
        except (TypeError, ValueError):
            return
        low_s, high_s = server_s - received_s, server_s + 1.0 - sent_s
        if low_s > self._high_s or high_s < self._low_s:  # a clock was set: begin again
            self._low_s, self._high_s = low_s, high_s
            return
        self._low_s, self._high_s = max(self._low_s, low_s), min(self._high_s, high_s)


class Kube:
    """A cluster as a kubeconfig context names it, asked with a ``kubernetes.client.ApiClient``.

    Attributes:
        name: The context, as messages name it; ``namespace`` is the one that it names.
        options: Options of the command line that lead to this cluster, for the commands that messages name.
        expires_s: Unix time at which the account's token expires [s]; None where it does not, is renewed by itself, or
            does not say.
        in_cluster: Whether this program runs in a pod of the cluster.
        warnings: Called with each warning that the API server adds to an answer, such as a field that it dropped.
    """

    def __init__(
        self,
        client: Any,
        name: str,
        patience: Patience | None = None,
        *,
        namespace: str = "default",
        options: Sequence[str] = (),
        expires_s: float | None = None,
        in_cluster: bool = False,
    ) -> None:
        from kubernetes.dynamic import DynamicClient

        self.name, self.namespace, self.options = name, namespace, tuple(options)
        self.expires_s, self.in_cluster = expires_s, in_cluster
        self.warnings: Callable[[str], None] = lambda _: None
        self.patience = patience or Patience()
        self._deadline: Deadline | None = None
        self._allowed: set[_Call] = set()
        self._refused_since_s: dict[_Call, float] = {}
        self.clock = Clock()
        self._client = client
        # The dynamic client is the official client's one general call; it is given no discovery to do.
        self._dynamic = DynamicClient(client, discoverer=lambda *_: None)
        self._jitter = random.Random()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def until(self, deadline: Deadline) -> Kube:
        """The same cluster, whose calls end with a deadline."""
        bound = copy.copy(self)
        bound._deadline = deadline
        return bound

    def clean_command(self, namespace: str, run_id: str) -> str:
        """The command that removes what a run left, as a user can type it."""
        words = ["kpasim", "cluster", "clean", *self.options, "--namespace", namespace, "--run", run_id]
        return shlex.join(words)

    def get(self, resource: Resource, namespace: str | None, name: str) -> Document:
        """One object.

        Raises:
            MissingError: There is none of that name.
            ClusterError: Any other answer but the object.
        """
        return self._json("get", resource, namespace, name)

    def list_all(self, resource: Resource, namespace: str | None, *, selector: str = "") -> tuple[list[Document], str]:
        """All objects of a kind, page by page, and the resource version from which a watch goes on."""
        found: list[Document] = []
        going_on = ""
        for _ in range(_MAX_PAGES):
            query = [("limit", str(_PAGE))]
            query += [("labelSelector", selector)] if selector else []
            query += [("continue", going_on)] if going_on else []
            page = self._json("list", resource, namespace, query=query)
            items = page.get("items")
            if not isinstance(items, list):
                raise ClusterError(f"{self.name}: list {resource.rbac_name}: the answer is not a list")
            found += [item for item in items if isinstance(item, dict)]
            metadata = page.get("metadata") or {}
            going_on = str(metadata.get("continue") or "")
            if not going_on:
                return found, str(metadata.get("resourceVersion") or "")
        raise ClusterError(f"{self.name}: list {resource.rbac_name}: more than {_PAGE * _MAX_PAGES} objects")

    def create(self, resource: Resource, namespace: str, body: Document, *, dry_run: bool = False) -> Document:
        """Create an object and return it as the server stored it.

        Raises:
            ConflictError: One of that name exists (``exists`` is True), also where an earlier attempt of this very
                call made it and its answer was lost.
        """
        return self._json("create", resource, namespace, query=_written(dry_run), body=body)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        dry_run: bool = False,
    ) -> Document:
        """Apply a JSON patch; a ``test`` operation that fails is a ConflictError."""
        try:
            return self._json("patch", resource, namespace, name, query=_written(dry_run), body=list(operations))
        except RefusedError as error:
            # A failed test is a plain 422 whose message does not say so.
            if error.code == 422 and any(operation.get("op") == "test" for operation in operations):
                raise ConflictError(str(error)) from error
            raise

    def delete(self, resource: Resource, namespace: str, name: str, *, uid: str = "") -> None:
        """Delete an object, only if it still is the one of that uid; a missing one is no error."""
        body: Document = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
        if uid:
            body["preconditions"] = {"uid": uid}
        with contextlib.suppress(MissingError):
            self._json("delete", resource, namespace, name, body=body)

    def proxied(self, namespace: str, pod: str, port: int, path: str) -> str:
        """What a pod answers on a port, fetched through the API server; one attempt, no retries."""
        url = f"{PODS.path(namespace)}/{checked_name(pod, 'pod')}:{port:d}/proxy/{path}"
        what = f"{self.name}: get pods/proxy"
        try:
            reply = self._call(("get", "pods/proxy", namespace), url, what, self.patience.request_s)
            return self._read(reply, _MAX_OBJECT_BYTES, what).decode("utf-8", "replace")
        except _LaterError as later:
            raise UnreachableError(f"{what}: {later}") from None

    def watch(self, resource: Resource, namespace: str, version: str, *, selector: str = "") -> Watch:
        """Changes after a resource version.

        Raises:
            ExpiredError: The version is too old; list again.
        """
        query = [
            ("watch", "true"),
            ("resourceVersion", version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(max(1, round(self.patience.watch_s)))),
        ]
        query += [("labelSelector", selector)] if selector else []
        # A watch that is silent for longer than the server promised to keep it is a dead connection.
        read_s = self.patience.watch_s + self.patience.request_s
        what = f"{self.name}: watch {resource.rbac_name}"
        try:
            call = ("watch", resource.rbac_name, namespace)
            return Watch(self._call(call, resource.path(namespace), what, read_s, query), what)
        except _LaterError as later:
            raise UnreachableError(f"{what}: {later}") from None

    def _json(
        self,
        verb: str,
        resource: Resource,
        namespace: str | None,
        name: str | None = None,
        *,
        query: _Query = (),
        body: Any = None,
    ) -> Document:
        url = resource.path(namespace, name)
        what = f"{self.name}: {verb} {resource.rbac_name}" + (f" {name}" if name else "")
        deadline, retry_s = self._deadline, self.patience.retry_s
        budget = Deadline(retry_s, what) if deadline is None else deadline.shorter(retry_s, what)
        pause_s = self.patience.first_pause_s
        while True:
            # Near its deadline a call still gets a second, or a slow answer would look like none.
            timeout_s = min(self.patience.request_s, max(1.0, budget.left_s))
            try:
                reply = self._call((verb, resource.rbac_name, namespace), url, what, timeout_s, query, body)
                text = self._read(reply, _MAX_LIST_BYTES if verb == "list" else _MAX_OBJECT_BYTES, what)
            except _LaterError as later:
                wait_s = min(later.after_s or pause_s * self._jitter.uniform(0.7, 1.3), self.patience.longest_pause_s)
                if deadline is not None and wait_s >= deadline.left_s:
                    raise deadline.passed(str(later)) from None
                if wait_s >= budget.left_s:
                    raise UnreachableError(f"{what}: still failing after {retry_s:.0f} s: {later}") from None
                budget.wait(wait_s, str(later))
                pause_s = min(2 * pause_s, self.patience.longest_pause_s)
                continue
            try:
                found = json.loads(text)
            except ValueError:
                raise ClusterError(f"{what}: the answer is not JSON") from None
            if not isinstance(found, dict):
                raise ClusterError(f"{what}: the answer is not an object")
            return found

    def _call(self, call: _Call, url: str, what: str, timeout_s: float, query: _Query = (), body: Any = None) -> Any:
        import urllib3.exceptions
        from kubernetes.client.exceptions import ApiException

        sent_s = time.time()
        verb = call[0]
        try:
            reply = self._dynamic.request(
                _METHODS.get(verb, "get"), url, body=body, query_params=list(query), serialize=False,
                content_type="application/json-patch+json" if verb == "patch" else None,
                header_params={"Accept": "application/json"},
                _request_timeout=(min(10.0, timeout_s), timeout_s),
            )  # fmt: skip
        except ApiException as error:
            if error.status:
                raise self._refusal(_translated(error, what, call), call) from None
            raise UnreachableError(f"{what}: {_one_line(str(error.reason))}") from None
        except urllib3.exceptions.HTTPError as error:
            raise _LaterError(f"no answer from the API server ({_cause(error)})") from None
        with self._lock:
            self.clock.saw(reply.headers.get("Date"), sent_s, time.time())
            self._allowed.add(call)
            self._refused_since_s.pop(call, None)
        for warning in _warnings(reply.headers):
            self.warnings(warning)
        return reply

    def _refusal(self, error: ClusterError, call: _Call) -> ClusterError:
        """An error as it is, or as one to retry for a moment.

        An API server that has just started refuses known accounts; it never redirects, but what stands before it may.
        """
        known = isinstance(error, LoginError | ForbiddenError) and call in self._allowed
        redirected = isinstance(error, RefusedError) and 300 <= error.code < 400
        with self._lock:
            if not known and not redirected:
                return error
            since_s = self._refused_since_s.setdefault(call, time.monotonic())
            if time.monotonic() - since_s < self.patience.authorizer_s:
                return _LaterError(str(error), self.patience.first_pause_s)
            del self._refused_since_s[call]
        return error

    def _read(self, reply: Any, limit: int, what: str) -> bytes:
        import urllib3.exceptions

        try:
            text: bytes = reply.read(limit + 1, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _LaterError(f"the answer broke off ({_cause(error)})") from None
        finally:
            reply.release_conn()
        if len(text) > limit:
            reply.close()
            raise ClusterError(f"{what}: the answer is longer than {limit >> 20} MiB")
        return text


class Watch:
    """One open watch: an iterator over (type, object), which another thread may close."""

    def __init__(self, reply: Any, what: str) -> None:
        self._reply = reply
        self._what = what
        self._closed = False

    def close(self) -> None:
        """End the watch, also while another thread waits in it."""
        self._closed = True
        try:
            self._reply.shutdown()
        except (RuntimeError, ValueError, OSError, AttributeError):
            # Read to its end already, or an older urllib3: closing is all that is left to do.
            self._reply.close()

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        """Yield each change; end where the server ended the watch.

        Raises:
            ExpiredError: The server says that the version is too old.
            UnreachableError: The connection broke; go on from the last resource version seen.
        """
        import urllib3.exceptions

        rest = b""
        try:
            for chunk in self._reply.stream(1 << 16, decode_content=True):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _MAX_OBJECT_BYTES:
                    raise ClusterError(f"{self._what}: one change is longer than {_MAX_OBJECT_BYTES >> 20} MiB")
                for line in lines:
                    if line.strip():
                        yield self._change(line)
        except (urllib3.exceptions.HTTPError, OSError, AttributeError, ValueError) as error:
            # AttributeError and ValueError: what urllib3 raises when the stream is closed under its hands.
            if self._closed:
                return
            raise UnreachableError(f"{self._what}: broke off ({_cause(error)})") from None
        finally:
            self._reply.close()

    def _change(self, line: bytes) -> tuple[str, Document]:
        try:
            change = json.loads(line)
            kind, document = str(change["type"]), change["object"]
        except (ValueError, KeyError, TypeError):
            raise UnreachableError(f"{self._what}: a line that is not a change") from None
        if not isinstance(document, dict):
            raise UnreachableError(f"{self._what}: a change without an object")
        if kind == "ERROR":
            if document.get("code") == 410:
                raise ExpiredError(f"{self._what}: the resource version is too old")
            raise UnreachableError(f"{self._what}: {_one_line(str(document.get('message', 'error')))}")
        return kind, document


def connect(context: str | None = None, kubeconfig: str | Path | None = None, patience: Patience | None = None) -> Kube:
    """Open the cluster of a kubeconfig context, or the one a pod runs in where there is no kubeconfig.

    Without a context the current one counts, without a file ``$KUBECONFIG`` or ``~/.kube/config``.

    Raises:
        ClusterError: The client is not installed, or the file or context is not usable.
    """
    try:
        import kubernetes.client
        import kubernetes.config
    except ImportError:
        raise ClusterError("the Kubernetes client is missing: pip install 'kpasim[cluster]'") from None
    if kubeconfig is not None and not Path(kubeconfig).is_file():
        raise ClusterError(f"kubeconfig: {kubeconfig}: no such file")
    settings = kubernetes.client.Configuration()
    settings.retries = False  # we retry ourselves, within a deadline
    name, namespace = context or "the current context", "default"
    in_cluster = kubeconfig is None and (context == IN_CLUSTER or (context is None and _inside_a_pod()))
    options = [*(("--target", context) if context else ()), *(("--kubeconfig", str(kubeconfig)) if kubeconfig else ())]
    try:
        if in_cluster:
            kubernetes.config.load_incluster_config(client_configuration=settings)
            name, options = IN_CLUSTER, ["--target", IN_CLUSTER]
            with contextlib.suppress(OSError):
                namespace = (_ACCOUNT / "namespace").read_text().strip() or namespace
        else:
            kubernetes.config.load_kube_config(
                config_file=str(kubeconfig) if kubeconfig else None,
                context=context,
                client_configuration=settings,
                persist_config=False,
            )
            contexts, current = kubernetes.config.list_kube_config_contexts(str(kubeconfig) if kubeconfig else None)
            chosen = current if context is None else next(one for one in contexts if one["name"] == context)
            name = str(chosen["name"])
            namespace = str(chosen["context"].get("namespace") or namespace)
    except Exception as error:  # its loader lets whatever YAML, base64 or a login plugin raises through
        what = _one_line(str(error)) if str(error) else f"{context}: no such context"
        if in_cluster:
            raise ClusterError(
                f"--target {IN_CLUSTER}: {what} (it works inside a pod with a service account)"
            ) from None
        inside = f"; inside a pod, --target {IN_CLUSTER} needs none" if _inside_a_pod() else ""
        raise ClusterError(
            f"kubeconfig: {what} (give another file with --kubeconfig, or a context of it with --target{inside})"
        ) from None
    return Kube(
        kubernetes.client.ApiClient(settings),
        name,
        patience,
        namespace=namespace,
        options=options,
        expires_s=None if in_cluster else _expires_s(settings.api_key.get("BearerToken") or ""),
        in_cluster=in_cluster,
    )


def _expires_s(token: str) -> float | None:
    """Unix time at which a service account's token expires (RFC 7519, ``exp``); None for others, which are renewed."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) if str(claims["sub"]).startswith("system:serviceaccount:") else None
    except (IndexError, ValueError, TypeError, KeyError):
        return None


class _LaterError(UnreachableError):
    """An answer that another attempt may better.

    Attributes:
        after_s: What ``Retry-After`` asked for, 0.0 where it asked for nothing.
    """

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        self.after_s = after_s
        super().__init__(message)


def _translated(error: Any, what: str, call: _Call) -> ClusterError:
    code, reason, message = int(error.status), "", ""
    try:
        answer = json.loads(error.body or "")
        reason, message = str(answer.get("reason") or ""), str(answer.get("message") or "")
    except (ValueError, AttributeError):
        message = str(error.reason or "")
    message = _one_line(message)
    if code in _RETRIED:
        return _LaterError(f"{code} {message}".strip(), _retry_after(error.headers))
    if code == 401:
        return LoginError(f"{what}: the API server does not know this account (401): log in again")
    if code == 403:
        if _AUTHORIZER.search(message):
            return ForbiddenError(*call)
        # Admission: a policy, a quota, a webhook, a namespace that is going.
        return RefusedError(f"{what}: refused (403): {message}", code)
    if code == 404:
        return MissingError(f"{what}: not found" + (f" in namespace {call[2]}" if call[2] else ""))
    if code == 409:
        return ConflictError(f"{what}: {message or 'conflict'}", exists=reason == "AlreadyExists")
    if 300 <= code < 400:
        return RefusedError(
            f"{what}: redirected ({code}): the answer is that of something before the API server (a login page?)", code
        )
    if code == 410:
        return ExpiredError(f"{what}: the resource version is too old")
    return RefusedError(f"{what}: refused ({code}): {message}", code)


def _written(dry_run: bool) -> _Query:
    """What is said with each object that is written."""
    return [("fieldValidation", "Warn"), *([("dryRun", "All")] if dry_run else [])]


def _retry_after(headers: Any) -> float:
    try:
        return max(0.0, float((headers or {}).get("Retry-After", 0)))
    except (TypeError, ValueError):
        return 0.0


def _cause(error: BaseException) -> str:
    """The last cause in a chain of urllib3 errors, in few words and without addresses of objects."""
    reason = getattr(error, "reason", None)
    text = str(reason if isinstance(reason, BaseException) else error)
    return _one_line(text.rpartition(">: ")[2]) or type(error).__name__


def _warnings(headers: Any) -> list[str]:
    """Texts of the ``Warning`` headers of an answer (RFC 7234, code 299), such as the fields that were dropped."""
    values = headers.getlist("Warning") if hasattr(headers, "getlist") else [headers.get("Warning") or ""]
    return [
        _one_line(text.replace('\\"', '"').replace("\\\\", "\\"))
        for value in values
        for text in _WARNING.findall(value)
    ]


def _one_line(text: str) -> str:
    """A message in one line; of a very long one the beginning and the end, where causes stand."""
    line = " ".join(text.split())
    if len(line) <= _MAX_MESSAGE:
        return line
    half = _MAX_MESSAGE // 2
    return f"{line[:half]} ... {line[-half:]}"


def has_config() -> bool:
    """Whether there is any cluster to connect to without being told of one."""
    paths = os.environ.get("KUBECONFIG", "") or str(Path("~/.kube/config").expanduser())
    return _inside_a_pod() or any(Path(path).is_file() for path in paths.split(os.pathsep) if path)


def _inside_a_pod() -> bool:
    home = Path("~/.kube/config").expanduser()
    return "KUBERNETES_SERVICE_HOST" in os.environ and not os.environ.get("KUBECONFIG") and not home.exists()
