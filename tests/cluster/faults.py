"""A fake API server that refuses and spoils requests on order."""

import asyncio
import fnmatch
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from kpasim.cluster.fake.apiserver import ACCOUNT, Access, ApiServer, DeniedError, failure, hang_up, status
from kpasim.cluster.fake.store import Store, copied
from kpasim.cluster.objects import Document, Resource

from .rbac import Rule

_HUGE = 5 << 20


def forbidden(access: Access) -> web.Response:
    """What the authorizer of an API server says."""
    kind = access.resource.partition("/")[0]
    name = kind + (f".{access.group}" if access.group else "") + (f' "{access.name}"' if access.name else "")
    where = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    message = (
        f'{name} is forbidden: User "{ACCOUNT}" cannot {access.verb} resource "{access.resource}" '
        f'in API group "{access.group}" {where}'
    )
    details = {"kind": kind, **({"name": access.name} if access.name else {})}
    details |= {"group": access.group} if access.group else {}
    return web.json_response({**status(403, "Forbidden", message), "details": details}, status=403)


def patched(document: Document, operations: list[Document]) -> Document:
    """Apply a JSON patch (RFC 6902: add, replace, remove, test).

    Raises:
        DeniedError: A test fails or a path leads nowhere.
    """
    new: Any = copied(document)
    for operation in operations:
        keys = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place = new
        try:
            for key in keys[:-1]:
                place = place[int(key)] if isinstance(place, list) else place[key]
            last: Any = int(keys[-1]) if isinstance(place, list) else keys[-1]
            if operation["op"] == "test":
                fits = place[last] == operation["value"]
            elif operation["op"] == "remove":
                del place[last]
                fits = True
            else:
                place[last] = operation["value"]
                fits = True
        except (KeyError, IndexError, TypeError, ValueError):
            fits = False
        if not fits:
            message = "the server rejected our request due to an error in our request"
            raise DeniedError(message, 422, "Invalid")
    return dict(new)


@dataclass
class Fault:
    """One thing that goes wrong with some requests to the API.

    Attributes:
        verb: Kubernetes' verb (get, list, watch, create, patch, delete), ``*`` for any.
        resource: Name as RBAC writes it, with wildcards (``pods``, ``*.serving.knative.dev``).
        name: Name of the object, with wildcards.
        first: The first of the matching requests that is hit, counted from 1.
        times: How many are hit from there on; 0 for all.
        status: Answer with this status instead of doing anything.
        reason: Kubernetes' reason beside the status (``Conflict``, ``AlreadyExists``, ``Expired`` ...).
        message: Text beside the status.
        retry_after_s: ``Retry-After`` beside the status; no header where None.
        delay_s: Wait before anything else.
        drop: Close the connection: ``before`` the request is carried out, or ``after``, so that its answer is lost.
        garbage: Carry it out, but answer with something that is not JSON.
        huge: Carry it out, but answer with more than anybody should read.
        break_after: A watch's connection breaks after so many changes; -1 never.
        expire_after: A watch reports an expired version (410) after so many changes; -1 never.
        end_after: A watch ends well after so many changes; -1 never.
    """

    verb: str = "*"
    resource: str = "*"
    name: str = "*"
    first: int = 1
    times: int = 1
    status: int = 0
    reason: str = ""
    message: str = "injected"
    retry_after_s: float | None = None
    delay_s: float = 0.0
    drop: str = ""
    garbage: bool = False
    huge: bool = False
    break_after: int = -1
    expire_after: int = -1
    end_after: int = -1
    seen: int = field(default=0, init=False)

    def hits(self, verb: str, resource: str, name: str) -> bool:
        """Whether this request is hit; each matching request counts."""
        matches = (
            self.verb in ("*", verb)
            and fnmatch.fnmatchcase(resource, self.resource)
            and fnmatch.fnmatchcase(name, self.name)
        )
        if not matches:
            return False
        self.seen += 1
        return self.seen >= self.first and (self.times == 0 or self.seen < self.first + self.times)


@dataclass
class Faults:
    """All that is to go wrong; the first fault that hits a request counts."""

    faults: list[Fault] = field(default_factory=list)

    def hit(self, verb: str, resource: str, name: str) -> Fault | None:
        """The fault for this request."""
        found = None
        for fault in self.faults:
            if fault.hits(verb, resource, name) and found is None:
                found = fault
        return found


class FaultyApiServer(ApiServer):
    """An API server with permissions and faults.

    Args:
        store: The objects.
        rules: What the one account may do; everything where None.
        faults: What goes wrong.

    Attributes:
        seen: Everything that was asked for, in order.
        on_request: Called with the number of the request (from 1) and ``before`` or ``after``.
    """

    def __init__(self, store: Store, rules: Iterable[Rule] | None = None, faults: Faults | None = None) -> None:
        super().__init__(store)
        self.rules = None if rules is None else list(rules)
        self.faults = faults or Faults()
        self.seen: list[Access] = []
        self.on_request: Callable[[int, str], None] | None = None

    async def before(self, request: web.Request, access: Access) -> web.Response | None:
        """What is answered instead of carrying a request out: a fault, or the authorizer's refusal."""
        self.seen.append(access)
        request["number"] = len(self.seen)
        self._tell(request, "before")
        fault = request["fault"] = self.faults.hit(access.verb, access.rbac_name, access.name)
        if fault is not None:
            if fault.delay_s:
                await asyncio.sleep(fault.delay_s)
            if fault.drop == "before":
                hang_up(request)
            if fault.status == 403 and not fault.reason:
                return forbidden(access)
            if fault.status:
                headers = {} if fault.retry_after_s is None else {"Retry-After": f"{fault.retry_after_s:g}"}
                return failure(fault.status, fault.reason, fault.message, headers)
        if self.rules is not None and not any(rule.allows(access) for rule in self.rules):
            return forbidden(access)
        if access.verb == "watch":
            self._tell(request, "after")  # its answer begins now and ends much later
        return None

    def after(self, request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
        """The answer, or what a fault makes of it."""
        fault: Fault | None = request["fault"]
        if not request.query.get("watch"):
            self._tell(request, "after")
        if fault is not None and fault.drop == "after":
            hang_up(request)
        if fault is not None and fault.garbage:
            return web.Response(text="<html>not the API", content_type="text/html")
        if fault is not None and fault.huge:
            return web.json_response({"items": "x" * _HUGE})
        return answer

    def watch_ends(self, request: web.Request, sent: int) -> str:
        """Whether a fault ends a watch after so many changes."""
        fault: Fault | None = request["fault"]
        if fault is None:
            return ""
        ends = {"expired": fault.expire_after, "broken": fault.break_after, "ended": fault.end_after}
        return next((how for how, after in ends.items() if 0 <= after <= sent), "")

    async def _do(self, request: web.Request, kind: Resource, access: Access) -> web.Response:
        """Carry a request out, patches as well: only a cluster that is there before a run has something to adopt."""
        if access.verb != "patch":
            return await super()._do(request, kind, access)
        dry = request.query.get("dryRun") == "All"
        old = self.store.get(kind, access.namespace, access.name)
        new = patched(old, json.loads(await request.text()))
        headers = self.admit(request, kind, new, dry=dry)
        new["status"] = old.get("status", {})
        if dry:
            return web.json_response(new, headers=headers)

        def replace(document: Document) -> None:
            document.clear()
            document.update(new)

        stored = self.store.update(kind, access.namespace, access.name, replace)
        return web.json_response(stored, headers=headers)

    def _tell(self, request: web.Request, stage: str) -> None:
        if self.on_request is not None:
            self.on_request(request["number"], stage)
