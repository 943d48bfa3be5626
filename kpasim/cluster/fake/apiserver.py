"""The fake cluster's Kubernetes API over HTTP: objects, pages, watches, dry runs."""

import asyncio
import functools
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from aiohttp import web
from multidict import CIMultiDict

from kpasim.cluster import objects
from kpasim.cluster.fake.store import AlreadyExistsError, NotFoundError, Store
from kpasim.cluster.objects import Document, Resource, meta
from kpasim.spec.base import dotted
from kpasim.spec.webhook.decode import Decoder
from kpasim.spec.webhook.fields import SERVICE

ACCOUNT = "system:serviceaccount:default:kpasim"
"""The one account, as an API server names it."""

_KINDS = [one for one in vars(objects).values() if isinstance(one, Resource)]
KIND_OF = {(kind.api_version, kind.kind): kind for kind in _KINDS}
_BY_PATH = {(kind.group, kind.version, kind.plural): kind for kind in _KINDS}
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+)(?P<rest>/.*)?)?"
)
_MAX_BODY = 4 << 20
_BOOKMARK_S = 5.0

Admission = Callable[[Document, bool], None]
"""Changes a document before it is stored, or raises DeniedError; the second argument says whether this is a dry run."""
PodPort = Callable[[str], Awaitable[str]]
"""Answers a path on a pod's port."""


class Access(NamedTuple):
    """One thing that an account asked to do.

    Attributes:
        group: API group, empty for the core one.
        resource: Plural, with the subresource (``pods/proxy``).
        namespace: Empty for the whole cluster.
        name: Empty for a whole collection.
    """

    verb: str
    group: str
    resource: str
    namespace: str
    name: str

    @property
    def rbac_name(self) -> str:
        """The name that an RBAC message uses."""
        return self.resource + (f".{self.group}" if self.group else "")


class DeniedError(Exception):
    """An admission webhook says no."""

    def __init__(self, message: str, status: int = 400, reason: str = "BadRequest") -> None:
        self.status, self.reason = status, reason
        super().__init__(message)


class ApiServer:
    """Serves a store. Its one account may do everything; a subclass may refuse or spoil requests.

    Attributes:
        deletions: Called instead of a deletion, by kind, with namespace and name.
        ports: Ports of pods that can be reached through the API, by namespace, pod and port.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.token = secrets.token_urlsafe(24)
        self.admissions: dict[Resource, Admission] = {}
        self.deletions: dict[Resource, Callable[[str, str], None]] = {}
        self.ports: dict[tuple[str, str, int], PodPort] = {}
        self._stopping = False

    def application(self) -> web.Application:
        """The HTTP application."""
        application = web.Application(client_max_size=_MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    def stop(self) -> None:
        """End the watches."""
        self._stopping = True

    async def before(self, request: web.Request, access: Access) -> web.Response | None:
        """What is answered instead of carrying a request out; nothing here."""

    def after(self, request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
        """What is answered in the end."""
        return answer

    def watch_ends(self, request: web.Request, sent: int) -> str:
        """Whether a watch is ``broken``, ``expired`` or ``ended`` after so many changes; it goes on here."""
        return ""

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if not secrets.compare_digest(request.headers.get("Authorization", ""), f"Bearer {self.token}"):
            return failure(401, "Unauthorized", "Unauthorized")
        found = _PATH.fullmatch(request.path)
        kind = found and _BY_PATH.get((found["group"] or "", found["version"], found["plural"]))
        if not found or kind is None:
            return failure(404, "NotFound", "the server could not find the requested resource")
        namespace, name = found["namespace"] or "", found["name"] or ""
        pod_name, _, port = name.partition(":")
        resource = kind.plural + (f"/{found['sub']}" if found["sub"] else "")
        access = Access(_verb(request, name), kind.group, resource, namespace, pod_name)
        instead = await self.before(request, access)
        if instead is not None:
            return instead
        try:
            if found["sub"] == "proxy":
                answer: web.StreamResponse = await self._proxy(namespace, pod_name, port, found["rest"] or "/")
            elif access.verb == "watch":
                answer = await self._watch(request, kind, namespace or None)
            else:
                answer = await self._do(request, kind, access)
        except NotFoundError:
            answer = failure(404, "NotFound", f'{access.rbac_name} "{name}" not found')
        except AlreadyExistsError as error:
            answer = failure(409, "AlreadyExists", f'{access.rbac_name} "{error}" already exists')
        except DeniedError as error:
            answer = failure(error.status, error.reason, str(error))
        return self.after(request, answer)

    async def _do(self, request: web.Request, kind: Resource, access: Access) -> web.Response:
        namespace, name = access.namespace, access.name
        if access.verb == "list":
            return self._page(request, kind, namespace or None)
        if access.verb == "get":
            return web.json_response(self.store.get(kind, namespace, name))
        body = json.loads(await request.text() or "{}")
        dry = request.query.get("dryRun") == "All"
        if access.verb == "create":
            body.setdefault("metadata", {}).setdefault("namespace", namespace)
            headers = self.admit(request, kind, body, dry=dry)
            body = self.store.create(kind, body, dry=dry)
            return web.json_response(body, status=201, headers=headers)
        if access.verb == "delete":
            wanted = (body.get("preconditions") or {}).get("uid")
            if wanted not in (None, meta(self.store.get(kind, namespace, name)).get("uid")):
                raise DeniedError(f"the UID in the precondition ({wanted}) does not match", 409, "Conflict")
            self.deletions.get(kind, functools.partial(self.store.remove, kind))(namespace, name)
            return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"})
        raise DeniedError(f"the fake cluster does not know how to {access.verb}", 405, "MethodNotAllowed")

    def admit(self, request: web.Request, kind: Resource, new: Document, *, dry: bool) -> CIMultiDict[str]:
        """Ask the webhooks about an object, without the fields that its kind does not have; headers that name those."""
        headers = _warnings(request, kind, new)
        if kind in self.admissions:
            self.admissions[kind](new, dry)
        return headers

    def _page(self, request: web.Request, kind: Resource, namespace: str | None) -> web.Response:
        found = self.store.all(kind, namespace, request.query.get("labelSelector", ""))
        start = int(request.query.get("continue") or 0)
        limit = int(request.query.get("limit") or 0) or len(found)
        rest = str(start + limit) if start + limit < len(found) else ""
        return web.json_response(
            {
                "kind": f"{kind.kind}List",
                "apiVersion": kind.api_version,
                "metadata": {"resourceVersion": str(self.store.version), "continue": rest},
                "items": found[start : start + limit],
            }
        )

    async def _watch(self, request: web.Request, kind: Resource, namespace: str | None) -> web.StreamResponse:
        selector = request.query.get("labelSelector", "")
        since = int(request.query.get("resourceVersion") or self.store.version)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + float(request.query.get("timeoutSeconds") or 300)
        bookmark_s = loop.time() + _BOOKMARK_S
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        sent = 0
        while not self._stopping and loop.time() < end_s:
            changes = self.store.changes(kind, since, namespace, selector)
            end = self.watch_ends(request, sent)
            if changes is None or end == "expired":
                await _send(answer, "ERROR", status(410, "Expired", "too old resource version"))
                break
            if end == "broken":
                hang_up(request)
            if end == "ended":
                break
            since = changes[1]
            for _, what, document in changes[0]:
                await _send(answer, what, document)
                sent += 1
            if request.query.get("allowWatchBookmarks") == "true" and loop.time() >= bookmark_s:
                mark = {"kind": kind.kind, "metadata": {"resourceVersion": str(since)}}
                await _send(answer, "BOOKMARK", mark)
                bookmark_s = loop.time() + _BOOKMARK_S
            await self.store.news(min(0.5, max(0.0, end_s - loop.time())))
        await answer.write_eof()
        return answer

    async def _proxy(self, namespace: str, pod: str, port: str, path: str) -> web.Response:
        answers = self.ports.get((namespace, pod, int(port) if port.isdigit() else 0))
        if answers is None:
            return failure(503, "ServiceUnavailable", f'no endpoints available for pod "{pod}"')
        return web.Response(text=await answers(path), content_type="text/plain")


async def _send(answer: web.StreamResponse, kind: str, document: Document) -> None:
    await answer.write(json.dumps({"type": kind, "object": document}).encode() + b"\n")


def _warnings(request: web.Request, kind: Resource, body: Document) -> CIMultiDict[str]:
    """Drop the fields of a Service that its definition does not name; the headers that say so, one for each."""
    headers: CIMultiDict[str] = CIMultiDict()
    if kind == objects.SERVICES:
        for path in unknown_fields({key: value for key, value in body.items() if key != "status"}):
            _drop(body, path)
            if request.query.get("fieldValidation", "Warn") == "Warn":
                text = f'unknown field "{path}"'.replace("\\", "\\\\").replace('"', '\\"')
                headers.add("Warning", f'299 - "{text}"')
    return headers


def _drop(body: Any, path: str) -> None:
    keys = [int(key) if key.isdigit() else key for key in re.findall(r"[^.\[\]]+", path)]
    for key in keys[:-1]:
        body = body[key]
    body.pop(keys[-1], None)


def _verb(request: web.Request, name: str) -> str:
    if request.method == "GET":
        if name:
            return "get"
        return "watch" if request.query.get("watch") in ("true", "1") else "list"
    return {"POST": "create", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}.get(request.method, "unknown")


def status(code: int, reason: str, message: str) -> Document:
    """A Status that refuses."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }


def failure(code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """A refusal as Kubernetes writes it."""
    return web.json_response(status(code, reason, message), status=code, headers=headers)


def unknown_fields(service: Any) -> list[str]:
    """Paths of the fields that an API server drops from a Service, as it names them."""
    decoder = Decoder()
    decoder.decode(SERVICE, service)
    return [dotted(place) for place in decoder.unknown]


def hang_up(request: web.Request) -> None:
    """Break the connection under the request."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("injected")
