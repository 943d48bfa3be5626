"""What a cluster can answer that a user can mend. Every text is one line and says what to do."""

import signal

from kpasim.errors import RunError


class ClusterError(RunError):
    """The cluster, or the way to it, does not let the run go on."""


class ForbiddenError(ClusterError):
    """The account lacks a permission: the verb on a resource as RBAC writes it, in a namespace or the whole cluster."""

    def __init__(self, verb: str, resource: str, namespace: str | None) -> None:
        where = f"in namespace {namespace}" if namespace else "in the whole cluster"
        part = {"kourier-system": "-kourier", "istio-system": "-istio", "kserve": "-kserve"}.get(namespace or "", "")
        part = "-kserve" if resource.endswith(".serving.kserve.io") else part
        super().__init__(
            f'{resource}: this account may not {verb} {where}: it lacks the verb "{verb}" '
            f"(deploy/rbac{part}.yaml grants it)"
        )


class LoginError(ClusterError):
    """The API server does not know the account (401): its token has expired, or is none."""


class MissingError(ClusterError):
    """The object, or its kind, does not exist."""


class ConflictError(ClusterError):
    """Somebody else changed or made the object first.

    Attributes:
        exists: True where an object of that name was there already, False where it changed under our hands.
    """

    def __init__(self, message: str, *, exists: bool = False) -> None:
        self.exists = exists
        super().__init__(message)


class ExpiredError(ClusterError):
    """The resource version is too old to go on from (410 Gone): list again."""


class RefusedError(ClusterError):
    """The cluster refused the object: a webhook, a quota, a bad field; ``code`` is the HTTP status."""

    def __init__(self, message: str, code: int = 0) -> None:
        self.code = code
        super().__init__(message)


class UnreachableError(ClusterError):
    """No answer from the API server, or none but errors, for as long as we were willing to wait."""


class DeadlineError(ClusterError):
    """Something did not happen in time."""


class InterruptedRunError(ClusterError):
    """The user asked us to stop (Ctrl-C, SIGTERM); the text says what became of what was created.

    Attributes:
        status: 128 and the number of the signal, as shells have it: 130 after Ctrl-C.
    """

    def __init__(self, message: str, name: str = "SIGINT") -> None:
        self.status = 128 + int(signal.Signals[name])
        super().__init__(message)
