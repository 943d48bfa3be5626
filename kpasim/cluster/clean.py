"""What runs have left behind in a cluster: found by their label, removed or put back."""

from __future__ import annotations

from dataclasses import dataclass

from kpasim.cluster.deployed import Deployed
from kpasim.cluster.errors import ForbiddenError, MissingError
from kpasim.cluster.kube import Kube
from kpasim.cluster.objects import (
    INFERENCE_SERVICES,
    ORIGINAL_ANNOTATION,
    RUN_LABEL,
    SERVICES,
    Document,
    annotations_of,
    labels_of,
    meta,
    name_of,
)


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
