"""The object of a run: created, adopted, awaited, put back, removed; and what other runs have left behind."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from kpasim.cluster.deadline import Deadline
from kpasim.cluster.errors import ClusterError, ConflictError, DeadlineError, ForbiddenError, LoginError, MissingError
from kpasim.cluster.kube import Kube
from kpasim.cluster.objects import (
    INFERENCE_SERVICES,
    ORIGINAL_ANNOTATION,
    PODS,
    REVISION_LABEL,
    RUN_LABEL,
    SERVICE_LABEL,
    SERVICES,
    Deployed,
    Document,
    annotations_of,
    checked_label,
    condition,
    container_of,
    document_of,
    kserve_trouble,
    labels_of,
    meta,
    name_of,
    status_of,
)

_MAX_ORIGINAL = 200_000  # all annotations together may have 262,144 bytes
_ATTEMPTS = 6
_GRACE_S = 60.0  # beyond timeoutSeconds, until Kubernetes has removed a pod
_DRY_RUN_ANNOTATION = "features.knative.dev/podspec-dryrun"
_ROOM = re.compile(r"\d+/\d+ nodes are available|Unschedulable")
_IMAGE_TROUBLE = re.compile(
    r"Unable to fetch image|failed to resolve image|ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull"
)
_HOST = re.compile(r"[a-z0-9.-]{1,253}(:[0-9]{1,5})?")


@dataclass(frozen=True)
class Waits:
    """Deadlines of a deployment.

    Attributes:
        ready_s: From creation to a Service that is ready with all its traffic.
        stuck_s: How long it may report a failure before we believe it; lack of room on the nodes is always waited for.
        gone_s: From deletion to the last pod gone. None: the manifest's timeoutSeconds and a minute.
        settle_s: From the last answer of the load until pods have gone.
    """

    ready_s: float = 900.0
    stuck_s: float = 60.0
    gone_s: float | None = None
    settle_s: float = 900.0

    def removal_s(self, timeout_s: float) -> float:
        """How long pods may take to go [s], with the manifest's timeoutSeconds."""
        return timeout_s + _GRACE_S if self.gone_s is None else self.gone_s


@dataclass(frozen=True)
class Ready:
    """A Service that is ready.

    Attributes:
        revision: Its latest revision, which has all traffic.
        host: Its host name, for the ``Host`` header.
        adopted: Whether it was there before.
    """

    revision: str
    host: str
    adopted: bool


def create(kube: Kube, document: Document, *, adopt: bool = False, dry_run: bool = False) -> bool:
    """Create the object of a run; return whether one that was there was adopted instead.

    Raises:
        ClusterError: One of that name is there and was not created by this run, and ``adopt`` is False; or the
            cluster refuses it.
    """
    deployed = Deployed.of(document)
    resource, namespace, name = deployed.resource, deployed.namespace, deployed.name
    if dry_run and not deployed.is_kserve:
        # Until 1.19 this has Knative ask Kubernetes for a pod as well: its quota, limits and security. Later it always
        # does.
        document = json.loads(json.dumps(document))
        document["metadata"].setdefault("annotations", {}).setdefault(_DRY_RUN_ANNOTATION, "enabled")
    try:
        kube.create(resource, namespace, document, dry_run=dry_run)
    except MissingError:
        if not deployed.is_kserve:
            raise
        raise ClusterError(f"{kube.name}: knows no InferenceService: is KServe installed?") from None
    except ConflictError as error:
        if not error.exists:
            raise
    else:
        return False
    found = kube.get(resource, namespace, name)
    if meta(found).get("deletionTimestamp"):
        raise ClusterError(f"{kube.name}: {deployed} is being deleted: try again when it is gone")
    owner = labels_of(found).get(RUN_LABEL)
    if owner == labels_of(document)[RUN_LABEL]:
        return False  # our own create, whose answer was lost
    if owner is not None:
        raise ClusterError(
            f"{kube.name}: {deployed} belongs to run {owner[:63]}: "
            f"wait for it, or remove what is left of it with: {kube.clean_command(namespace, owner[:63])}"
        )
    if not adopt:
        raise ClusterError(
            f"{kube.name}: {deployed} is there and kpasim did not create it: use another name or "
            "namespace, or --adopt to run with it and put it back afterwards"
        )
    _adopt(kube, deployed, found, document, dry_run=dry_run)
    return True


def await_ready(
    kube: Kube, deployed: Deployed, waits: Waits, deadline: Deadline, explain: Callable[[], str] = lambda: ""
) -> Ready:
    """Wait until the Service is ready, all traffic is on its latest revision, and older pods are gone.

    ``waits`` says how long a failure may last, ``explain`` what is known about pods that do not start.

    Raises:
        ClusterError: It reports a failure for too long, or is taken away under our hands.
        DeadlineError: It is not ready in time.
    """
    kube = kube.until(deadline)
    failing: Deadline | None = None
    trouble = ""
    while True:
        try:
            found = kube.get(deployed.resource, deployed.namespace, deployed.name)
            if meta(found).get("deletionTimestamp"):
                raise MissingError("it is being deleted")
            service, (state, trouble) = found, ("", "")
            if deployed.is_kserve:
                service, state, trouble = _made_by_kserve(kube, deployed, found)
            if not state:
                state, trouble = _state(service)
            if state == "ready":
                revision = str(status_of(service)["latestReadyRevisionName"])
                older = f"{SERVICE_LABEL}={deployed.service},{REVISION_LABEL}!={revision}"
                left, _ = kube.list_all(PODS, deployed.namespace, selector=older)
                if not left:
                    return Ready(revision, _host(kube, service), ORIGINAL_ANNOTATION in annotations_of(found))
                state, trouble = "waiting", f"{len(left)} pods of older revisions are still there"
            why = _joined(trouble, explain())
            if state != "ready" and _IMAGE_TROUBLE.search(why):
                image = str(container_of(service).get("image") or "")
                named = why if image in why else f"image {image}: {why}"
                raise ClusterError(f"{kube.name}: {deployed} does not start: {named}")
            if state == "failed" and not _ROOM.search(why):
                failing = failing or deadline.shorter(waits.stuck_s, "")
                if failing.left_s <= 0:
                    raise ClusterError(f"{kube.name}: {deployed} does not start: {why}")
            else:
                failing = None
            deadline.wait(kube.patience.poll_s, why)
        except MissingError:
            raise ClusterError(f"{kube.name}: {deployed} was deleted while we waited for it") from None
        except DeadlineError:
            raise deadline.passed(_joined(trouble, explain())) from None


def withdraw(kube: Kube, deployed: Deployed, run_id: str, deadline: Deadline) -> str:
    """Remove the object of a run and wait until its pods are gone, or put it back and wait until it is ready.

    Odd answers are tried again for a while: what stays costs money.

    Raises:
        ClusterError: It could not be done.
    """
    patience = kube.patience
    begun_s, pause_s = time.monotonic(), patience.first_pause_s
    while True:
        try:
            done = remove(kube, deployed, run_id, deadline)
            if done == "deleted":
                await_gone(kube, deployed, deadline)
            elif done == "put back":
                await_ready(kube, deployed, Waits(), deadline)
            return done
        except DeadlineError:
            raise
        except ClusterError as error:
            known = isinstance(error, ForbiddenError | LoginError)
            if time.monotonic() - begun_s > (patience.authorizer_s if known else patience.retry_s):
                raise
            deadline.wait(pause_s, str(error))
            pause_s = min(2 * pause_s, patience.longest_pause_s)


def remove(kube: Kube, deployed: Deployed, run_id: str, deadline: Deadline) -> str:
    """Delete the object if this run created it, put it back if it adopted it; anything else is left alone.

    What was done: ``deleted``, ``put back``, or ``absent`` where the run has nothing of that name.
    """
    kube = kube.until(deadline)
    resource, namespace, name = deployed.resource, deployed.namespace, deployed.name
    for _ in range(_ATTEMPTS):
        try:
            found = kube.get(resource, namespace, name)
        except MissingError:
            return "absent"
        if labels_of(found).get(RUN_LABEL) != run_id:
            return "absent"
        try:
            if ORIGINAL_ANNOTATION not in annotations_of(found):
                kube.delete(resource, namespace, name, uid=str(meta(found).get("uid", "")))
                return "deleted"
            _put_back(kube, deployed, found)
            return "put back"
        except ConflictError:
            deadline.wait(kube.patience.first_pause_s)
    raise ConflictError(f"{kube.name}: {deployed} keeps changing while we clean up")


def await_gone(kube: Kube, deployed: Deployed, deadline: Deadline) -> None:
    """Wait until the object, its Knative Service and all its pods are gone.

    Raises:
        DeadlineError: They are not in time.
    """
    kube = kube.until(deadline)
    namespace, service = deployed.namespace, deployed.service
    left = [(deployed.resource, deployed.name), (SERVICES, service)] if deployed.is_kserve else [(SERVICES, service)]
    while True:
        pods, _ = kube.list_all(PODS, namespace, selector=f"{SERVICE_LABEL}={service}")
        while left:
            try:
                kube.get(left[0][0], namespace, left[0][1])
            except MissingError:
                left = left[1:]
            else:
                break
        if not left and not pods:
            return
        deadline.wait(kube.patience.poll_s, f"{len(pods)} pods are still there")


def import_from_cluster(namespace: str, name: str, kube: Kube) -> str:
    """The manifest of a Service in a cluster, as YAML, without what the server wrote into it.

    Raises:
        ClusterError: There is none, or it may not be read.
    """
    from kpasim.spec.quick import yaml_text

    found = kube.get(SERVICES, checked_label(namespace, "namespace"), checked_label(name, "name"))
    document = document_of(found, namespace, "")
    labels = meta(document)["labels"]
    del labels[RUN_LABEL]
    if not labels:
        del document["metadata"]["labels"]
    if not meta(document).get("annotations"):
        document["metadata"].pop("annotations", None)
    return yaml_text({key: document[key] for key in ("apiVersion", "kind", "metadata", "spec") if key in document})


@dataclass(frozen=True)
class Leftover:
    """A Service or InferenceService that a run left.

    Attributes:
        adopted: Whether the run adopted it, so that it is put back, not deleted.
        created: When, as Kubernetes writes it.
    """

    deployed: Deployed
    run: str
    adopted: bool
    created: str


def leftovers(kube: Kube, namespace: str | None, run: str | None = None) -> list[Leftover]:
    """What carries a run's label, in one namespace or, where None, in all.

    A Knative Service that KServe made stands for its InferenceService, should that not be listed.
    """
    selector = RUN_LABEL if run is None else f"{RUN_LABEL}={run}"
    services, _ = kube.list_all(SERVICES, namespace, selector=selector)
    try:
        inference_services, _ = kube.list_all(INFERENCE_SERVICES, namespace, selector=selector)
    except (MissingError, ForbiddenError):  # no KServe, or no InferenceService that this account could have created
        inference_services = []
    left = {found.deployed: found for found in map(_leftover, services)}
    left |= {found.deployed: found for found in map(_leftover, inference_services)}
    return list(left.values())


def _leftover(document: Document) -> Leftover:
    deployed = Deployed.of(document)
    for owner in meta(document).get("ownerReferences") or ():
        if owner.get("kind") == INFERENCE_SERVICES.kind:
            deployed = Deployed(INFERENCE_SERVICES, deployed.namespace, str(owner.get("name")), name_of(document))
    adopted = ORIGINAL_ANNOTATION in annotations_of(document)
    created = str(meta(document).get("creationTimestamp", ""))
    return Leftover(deployed, labels_of(document)[RUN_LABEL], adopted, created)


def _host(kube: Kube, found: Document) -> str:
    """The host name in a Service's URL."""
    host = str(status_of(found).get("url") or "").partition("://")[2].rstrip("/")
    if not _HOST.fullmatch(host):
        raise ClusterError(f"{kube.name}: Service {name_of(found)} has no host name: {host[:60]!r}")
    return host


# -- adoption --------------------------------------------------------------------------------------------------------


def _adopt(kube: Kube, deployed: Deployed, found: Document, document: Document, *, dry_run: bool) -> None:
    """Give an object that is there our template, keeping its own in an annotation."""
    namespace, name, (_, field_name) = deployed.namespace, deployed.name, deployed.template
    run_id = labels_of(document)[RUN_LABEL]
    for _ in range(_ATTEMPTS):
        if deployed.splits_traffic(found):
            raise ClusterError(f"{kube.name}: {deployed} sends traffic to earlier revisions: it cannot be adopted")
        original = json.dumps(found["spec"][field_name], separators=(",", ":"))
        if len(original) > _MAX_ORIGINAL:
            raise ClusterError(f"{kube.name}: {deployed} is too large to be adopted")
        operations: list[Document] = [_unchanged(found)]
        for field, key, value in (("labels", RUN_LABEL, run_id), ("annotations", ORIGINAL_ANNOTATION, original)):
            if not meta(found).get(field):
                operations.append({"op": "add", "path": f"/metadata/{field}", "value": {key: value}})
            else:
                operations.append({"op": "add", "path": f"/metadata/{field}/{_escaped(key)}", "value": value})
        template = json.loads(json.dumps(document["spec"][field_name]))
        template.get("metadata", {}).pop("name", None)  # a revision's own name may be used once only
        operations.append({"op": "replace", "path": f"/spec/{field_name}", "value": template})
        try:
            kube.patch(deployed.resource, namespace, name, operations, dry_run=dry_run)
            return
        except ConflictError as error:
            conflict = error
        found = kube.get(deployed.resource, namespace, name)
        if labels_of(found).get(RUN_LABEL) == run_id:
            return  # our own patch, whose answer was lost
    raise ClusterError(f"{conflict} (tried {_ATTEMPTS} times)")


def _put_back(kube: Kube, deployed: Deployed, found: Document) -> None:
    original = json.loads(annotations_of(found)[ORIGINAL_ANNOTATION])
    operations = [
        _unchanged(found),
        {"op": "replace", "path": f"/{'/'.join(deployed.template)}", "value": original},
        {"op": "remove", "path": f"/metadata/labels/{_escaped(RUN_LABEL)}"},
        {"op": "remove", "path": f"/metadata/annotations/{_escaped(ORIGINAL_ANNOTATION)}"},
    ]
    kube.patch(deployed.resource, deployed.namespace, deployed.name, operations)


def _unchanged(found: Document) -> Document:
    return {"op": "test", "path": "/metadata/resourceVersion", "value": meta(found).get("resourceVersion")}


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


# -- reading a Service's status --------------------------------------------------------------------------------------


def _made_by_kserve(kube: Kube, deployed: Deployed, found: Document) -> tuple[Document, str, str]:
    """The Knative Service that KServe made of an InferenceService; or that it has not, as a state and why."""
    trouble = kserve_trouble(found)
    state = "failed" if trouble else "waiting"
    try:
        service = kube.get(SERVICES, deployed.namespace, deployed.service)
    except MissingError:
        return found, state, trouble or f"KServe has not made the Knative Service {deployed.service} yet"
    # KServe hands labels and template on together.
    if labels_of(service).get(RUN_LABEL) != labels_of(found).get(RUN_LABEL):
        return found, state, trouble or f"KServe has not changed the Knative Service {deployed.service} yet"
    return service, "", ""


def _state(found: Document) -> tuple[str, str]:
    """``ready``, ``failed`` or ``waiting``, and why."""
    status = status_of(found)
    if int(status.get("observedGeneration") or 0) < int(meta(found).get("generation") or 1):
        return "waiting", "its controller has not seen it yet"
    ready, revisions = condition(found, "Ready"), condition(found, "ConfigurationsReady")
    # What failed stands with the revisions; "Ready" only says that there is none.
    why = _reason(revisions) if revisions.get("status") != "True" else ""
    why = why or _reason(ready)
    if ready.get("status") == "False" and revisions.get("status") != "Unknown":
        return "failed", why or "not ready"
    if ready.get("status") != "True":
        return "waiting", why or "not ready yet"
    latest = status.get("latestReadyRevisionName")
    if not latest or latest != status.get("latestCreatedRevisionName"):
        return "waiting", "its latest revision is not ready yet"
    share = sum(
        int(target.get("percent") or 0)
        for target in status.get("traffic") or ()
        if target.get("revisionName") == latest
    )
    if share < 100:
        return "waiting", f"{share} % of the traffic is on its latest revision"
    return "ready", ""


def _reason(condition: Document) -> str:
    return str(condition.get("message") or condition.get("reason") or "")


def _joined(trouble: str, explained: str) -> str:
    if explained and explained not in trouble:
        return f"{trouble} ({explained})" if trouble else explained
    return trouble or "no reason given"
