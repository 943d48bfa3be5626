"""What can go wrong between an adapter and an API server, on order."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field


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
