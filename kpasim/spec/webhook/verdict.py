"""What a cluster says of an object: the faults, and the rules that find them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kpasim.spec.base import Place

_KNATIVE = "knative/serving@98e5ef9, "
_CRD = _KNATIVE + "config/core/300-resources/service.yaml"

_RULES_OF = {
    _CRD: "field-type list-key",
    "kubernetes/apimachinery@v0.34.0, pkg/api/validation/objectmeta.go": "metadata",
    "knative/pkg@521cb33, apis/metadata_validation.go": "service-name",
    _KNATIVE
    + "pkg/apis/serving/metadata_validation.go": "annotation-on-service rollout-duration container-concurrency",
    _KNATIVE + "pkg/apis/autoscaling/annotation_validation.go": "autoscaling-annotation",
    "knative/networking, pkg/apis/networking/metadata_validation.go": "networking-annotation",
    _KNATIVE + "pkg/apis/serving/v1/revision_validation.go": "queue-resources progress-deadline revision-name timeout",
    _KNATIVE + "pkg/apis/serving/fieldmask.go": "pod-field container-field env-source",
    _KNATIVE + "pkg/apis/serving/k8s_validation.go": (
        "pod-security-context service-account-name containers-missing multi-container init-containers "
        "init-container-field container-name-reserved container-name-twice image termination-policy security-context "
        "ports port-number port-reserved port-protocol port-name sidecar-probe probe-handler probe-port "
        "probe-without-period probe-number env-name env-reserved env-from volume-name volume-not-mounted volume-source "
        "volume-off volume-item mount-without-volume mount-path mount-read-only mount-propagation"
    ),
    _KNATIVE + "pkg/apis/serving/v1/route_validation.go": (
        "traffic-sum traffic-percent traffic-latest traffic-configuration traffic-revision traffic-tag traffic-url"
    ),
    "kubernetes/kubernetes@v1.34.0, pkg/apis/core/validation/validation.go": (
        "pod-container-name pod-pull-policy pod-env pod-reference pod-port pod-probe pod-resources pod-security "
        "pod-volume pod-mount pod-scheduling"
    ),
}
RULES = {rule: source for source, rules in _RULES_OF.items() for rule in rules.split()}
"""The source file that decides each rule."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A reason to refuse an object.

    Attributes:
        rule: A key of `RULES`.
        message: What is wrong, and what would be right.
        feature: The key of `config-features` that would allow it, empty where none does.
    """

    rule: str
    place: Place
    message: str
    feature: str = ""

    @property
    def source(self) -> str:
        """The file that decides."""
        return RULES[self.rule]


Faults = Iterator[Fault]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the API server and Knative's webhooks make of a Service.

    Attributes:
        faults: Why it is refused; empty where it is accepted.
        needs: Why a cluster would refuse it whose `config-features` is as shipped, where that of the cluster is not
            known.
        unknown: Fields that the API server drops without refusing the Service.
        defaulted: Spec of the template with Knative's defaults, None where it is refused for more than an image's name.
    """

    faults: tuple[Fault, ...]
    needs: tuple[Fault, ...]
    unknown: tuple[Place, ...]
    defaulted: dict[str, Any] | None


def below(place: Place, faults: Iterable[Fault]) -> Faults:
    """The same faults of an object that stands at a place."""
    for fault in faults:
        yield Fault(fault.rule, (*place, *fault.place), fault.message, fault.feature)
