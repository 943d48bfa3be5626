"""What runs have left behind in a cluster: found by their label, removed or put back."""

from __future__ import annotations

from dataclasses import dataclass

from kpasim.cluster import deploy
from kpasim.cluster.deadline import Deadline
from kpasim.cluster.kube import Kube
from kpasim.cluster.objects import ORIGINAL_ANNOTATION, RUN_LABEL, SERVICES, annotations_of, labels_of, meta, name_of


@dataclass(frozen=True)
class Leftover:
    """One Service that a run left.

    Attributes:
        namespace: Where.
        name: Its name.
        run: The run's id.
        adopted: Whether the run adopted it, so that it is put back, not deleted.
        created: When, as Kubernetes writes it.
    """

    namespace: str
    name: str
    run: str
    adopted: bool
    created: str


def leftovers(kube: Kube, namespace: str | None, run: str | None = None) -> list[Leftover]:
    """Services that carry a run's label, in one namespace or, where None, in all."""
    selector = RUN_LABEL if run is None else f"{RUN_LABEL}={run}"
    found, _ = kube.list_all(SERVICES, namespace, selector=selector)
    return [
        Leftover(
            namespace=str(meta(document).get("namespace", "")),
            name=name_of(document),
            run=labels_of(document)[RUN_LABEL],
            adopted=ORIGINAL_ANNOTATION in annotations_of(document),
            created=str(meta(document).get("creationTimestamp", "")),
        )
        for document in found
    ]


def clean(kube: Kube, found: Leftover, deadline: Deadline) -> str:
    """Remove one leftover and wait for its pods to go, or put it back and wait until it is ready; say what was done.

    Raises:
        ClusterError: It could not be done in time.
    """
    return deploy.withdraw(kube, found.namespace, found.name, found.run, deadline)
