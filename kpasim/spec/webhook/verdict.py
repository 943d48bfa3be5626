"""What a cluster says of an object: the faults, and the rules that find them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kpasim.spec.base import Place

_KNATIVE = "knative/serving@98e5ef9, "
_VALIDATION = _KNATIVE + "pkg/apis/serving/k8s_validation.go"
_MASK = _KNATIVE + "pkg/apis/serving/fieldmask.go"
_REVISION = _KNATIVE + "pkg/apis/serving/v1/revision_validation.go"
_ROUTE = _KNATIVE + "pkg/apis/serving/v1/route_validation.go"
_METADATA = _KNATIVE + "pkg/apis/serving/metadata_validation.go"
_NAMES = "knative/pkg@521cb33, apis/metadata_validation.go"
_CRD = _KNATIVE + "config/core/300-resources/service.yaml"
_POD = "kubernetes/kubernetes@v1.34.0, pkg/apis/core/validation/validation.go"

RULES: dict[str, str] = {
    "field-type": _CRD,
    "list-key": _CRD,
    "metadata": "kubernetes/apimachinery@v0.34.0, pkg/api/validation/objectmeta.go",
    "service-name": _NAMES,
    "annotation-on-service": _METADATA,
    "rollout-duration": _METADATA,
    "autoscaling-annotation": _KNATIVE + "pkg/apis/autoscaling/annotation_validation.go",
    "networking-annotation": "knative/networking, pkg/apis/networking/metadata_validation.go",
    "queue-resources": _REVISION,
    "progress-deadline": _REVISION,
    "revision-name": _REVISION,
    "timeout": _REVISION,
    "container-concurrency": _METADATA,
    "pod-field": _MASK,
    "pod-security-context": _VALIDATION,
    "service-account-name": _VALIDATION,
    "containers-missing": _VALIDATION,
    "multi-container": _VALIDATION,
    "init-containers": _VALIDATION,
    "init-container-field": _VALIDATION,
    "container-field": _MASK,
    "container-name-reserved": _VALIDATION,
    "container-name-twice": _VALIDATION,
    "image": _VALIDATION,
    "termination-policy": _VALIDATION,
    "security-context": _VALIDATION,
    "ports": _VALIDATION,
    "port-number": _VALIDATION,
    "port-reserved": _VALIDATION,
    "port-protocol": _VALIDATION,
    "port-name": _VALIDATION,
    "sidecar-probe": _VALIDATION,
    "probe-handler": _VALIDATION,
    "probe-port": _VALIDATION,
    "probe-without-period": _VALIDATION,
    "probe-number": _VALIDATION,
    "env-name": _VALIDATION,
    "env-reserved": _VALIDATION,
    "env-source": _MASK,
    "env-from": _VALIDATION,
    "volume-name": _VALIDATION,
    "volume-not-mounted": _VALIDATION,
    "volume-source": _VALIDATION,
    "volume-off": _VALIDATION,
    "volume-item": _VALIDATION,
    "mount-without-volume": _VALIDATION,
    "mount-path": _VALIDATION,
    "mount-read-only": _VALIDATION,
    "mount-propagation": _VALIDATION,
    "traffic-sum": _ROUTE,
    "traffic-percent": _ROUTE,
    "traffic-latest": _ROUTE,
    "traffic-configuration": _ROUTE,
    "traffic-revision": _ROUTE,
    "traffic-tag": _ROUTE,
    "traffic-url": _ROUTE,
    "pod-container-name": _POD,
    "pod-pull-policy": _POD,
    "pod-env": _POD,
    "pod-reference": _POD,
    "pod-port": _POD,
    "pod-probe": _POD,
    "pod-resources": _POD,
    "pod-security": _POD,
    "pod-volume": _POD,
    "pod-mount": _POD,
    "pod-scheduling": _POD,
}
"""The source file that decides each rule."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A reason to refuse an object.

    Attributes:
        rule: A key of `RULES`.
        place: The field.
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
