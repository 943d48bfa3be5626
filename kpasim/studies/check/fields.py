"""Rules about fields: what a cluster drops, what it may refuse, and what has no effect."""

from collections.abc import Iterator
from typing import Any

from kpasim.spec.autoscaler import CONFIG_KEYS, PREFIX, SPELLINGS
from kpasim.spec.base import Place, dotted, suggestion
from kpasim.spec.kserve import PREDICTOR, PREDICTOR_FIELDS
from kpasim.spec.manifest import GPU_RESOURCES, TEMPLATE_ANNOTATIONS, TEMPLATE_SPEC, is_gpu
from kpasim.spec.webhook import Fault
from kpasim.spec.webhook.fields import SERVICE, Entries, Field, Fields, Items
from kpasim.studies.check.case import Case, Finding, Rule, write_nearest

_ELSEWHERE = {
    "terminationGracePeriodSeconds": "timeoutSeconds is the grace period of the pod, too",
    "lifecycle": "Knative sets the preStop hook itself, to drain queue-proxy",
    "hostPort": "requests reach a pod through its queue-proxy",
    "replicas": "the autoscaler decides; min-scale and max-scale are its bounds",
    "restartPolicy": "Knative's pods are always restarted",
}
"""What stands in for a field of a pod that a Service does not have."""


def _places(field: Field, place: Place = ()) -> Iterator[Place]:
    """Every field of a Service; an item of a list is `0`."""
    if isinstance(field, Fields):
        for name, inner in field.names.items():
            yield (*place, name)
            yield from _places(inner, (*place, name))
    elif isinstance(field, Items):
        yield from _places(field.item, (*place, 0))


def _siblings(place: Place) -> list[str]:
    """Fields of the object that a place is in."""
    field: Field = SERVICE
    for part in place[:-1]:
        if isinstance(field, Fields):
            field = field.names.get(str(part), "anything")
        elif isinstance(field, Items):
            field = field.item
        elif isinstance(field, Entries):
            field = field.values
    return list(field.names) if isinstance(field, Fields) else []


def _distance(field: Place, place: Place) -> tuple[bool, int]:
    """How far a field is from a place: one further up on the way to it is nearer than any beside the way."""
    shared = next((depth for depth, pair in enumerate(zip(field, place, strict=False)) if pair[0] != pair[1]), 0)
    return shared < len(field) - 1, len(field) + len(place) - 2 * shared


def _meant(place: Place) -> str:
    """What a field that does not exist may have been meant to be, empty where nothing is near."""
    name, unknown = str(place[-1]), "Remove it, or look up the name."
    if place[:2] == PREDICTOR:
        return write_nearest(name, PREDICTOR_FIELDS, unknown)
    if name in _ELSEWHERE:
        return f"Remove it: {_ELSEWHERE[name]}."
    same = [one for one in _places(SERVICE) if one[-1] == name and "status" not in one]
    if same:
        nearest = min(same, key=lambda one: _distance(one, place))
        index = next((part for part in place if isinstance(part, int)), 0)
        return f"Move it to {dotted(tuple(index if part == 0 else part for part in nearest))}."
    return write_nearest(name, _siblings(place), unknown)


def unknown_field(case: Case) -> Iterator[Finding]:
    """Kubernetes drops a field without a word."""
    for place in case.service.unknown_fields:
        if place[0] != "status":
            yield case.warn("unknown-field", place, *unknown_field_texts(place))


def unknown_field_texts(place: Place) -> tuple[str, str, str]:
    """What, why and fix of a field that is dropped."""
    kind = "predictor" if place[:2] == PREDICTOR else "Service"
    return (
        f"a {kind} has no field {place[-1]} here, and it is dropped",
        "The API server drops fields that it does not know. kubectl apply refuses them since 1.25; kn and client "
        "libraries do not.",
        _meant(place),
    )


def needs_feature(case: Case) -> Iterator[Finding]:
    """A cluster as shipped refuses a field."""
    for fault in case.service.needs_features:
        yield case.warn("needs-feature", fault.place, *needs_feature_texts(fault))


def needs_feature_texts(fault: Fault) -> tuple[str, str, str]:
    """What, why and fix of a field that config-features has to allow."""
    return (
        f"a cluster as shipped refuses it: {fault.feature} is off",
        f"Knative takes it only where config-features says so ({fault.source.partition(', ')[2]}).",
        f"Set {fault.feature}: enabled in config-features, and give it to check and run as config-features.",
    )


def refused_image(case: Case) -> Iterator[Finding]:
    """The image is only a placeholder."""
    if case.experiment is None:
        for fault in case.service.refusals:
            fix = "Name it." if fault.rule == "image" else "Write the name of a ServiceAccount."
            yield case.fail("refused", fault.place, fault.message, f"Knative refuses it ({fault.source}).", fix)


def service_account(case: Case) -> Iterator[Finding]:
    """Pods cannot be made without their ServiceAccount."""
    name = case.service.data["spec"]["template"]["spec"].get("serviceAccountName")
    if name and case.experiment is None:
        yield case.note(
            "service-account",
            "serviceAccountName",
            f"the pods need ServiceAccount {name} in namespace {case.service.namespace}",
            "Without it no pod can be made, and Knative's webhook refuses a trial (kubectl apply --dry-run=server).",
            f"kubectl -n {case.service.namespace} get serviceaccount {name}",
        )


def label_for_annotation(case: Case) -> Iterator[Finding]:
    """Autoscaling settings among labels do nothing."""
    for place in (("metadata", "labels"), ("spec", "template", "metadata", "labels"), (*PREDICTOR, "labels")):
        data: Any = case.service.written
        for part in place:
            data = data.get(part) or {}
        for key in data:
            if key.startswith(PREFIX):
                yield case.warn(
                    "label-for-annotation",
                    (*place, key),
                    f"{key} is a label here and does nothing",
                    "The autoscaler reads annotations of the template only (pkg/apis/autoscaling/v1alpha1).",
                    f"Move it to {dotted(case.service.place(TEMPLATE_ANNOTATIONS))}.",
                )


def template_metadata(case: Case) -> Iterator[Finding]:
    """A field of the template's metadata that nobody reads: the schema of a Service keeps any there."""
    place = TEMPLATE_ANNOTATIONS[:-1]
    found: Any = {} if case.service.kserve else case.service.data
    for part in place:
        found = found.get(part) or {}
    names = _siblings(TEMPLATE_ANNOTATIONS)
    for key in found:
        if key not in names:
            yield case.warn(
                "template-metadata",
                (*place, key),
                f"the metadata of a template has no field {key}, and nothing reads it",
                "The schema of a Service takes any field here, so neither kubectl nor the API server says a word.",
                f"Move it to {dotted(TEMPLATE_ANNOTATIONS)}." if "/" in key else write_nearest(key, names),
            )


def ignored_annotation(case: Case) -> Iterator[Finding]:
    """An annotation that looks like the autoscaler's and is not."""
    known = {key for keys in SPELLINGS.values() for key in keys}
    for key in case.service.annotations:
        if not key.startswith(PREFIX) or key in known:
            continue
        name = key.removeprefix(PREFIX)
        hint = suggestion(name, SPELLINGS)
        if name in CONFIG_KEYS or name in _CLUSTER_KEYS:
            why = "It is a key of config-autoscaler, for the whole cluster; as an annotation it is not read."
            same = _CLUSTER_KEYS.get(name, name if name in SPELLINGS else "")
            fix = f"Use the annotation {same}." if same else "Set it in config-autoscaler: no annotation does the same."
        else:
            why = "Unknown annotations are not refused; the default holds."
            fix = f"Write one that Knative knows ({hint})." if "did you mean" in hint else "Remove it."
        yield case.warn("ignored-annotation", key, f"Knative does not know {key} and ignores it", why, fix)


_CLUSTER_KEYS = {
    "stable-window": "window",
    "container-concurrency-target-percentage": "target-utilization-percentage",
    "container-concurrency-target-default": "target",
    "requests-per-second-target-default": "target",
    "pod-autoscaler-class": "class",
    "panic-window": "panic-window-percentage",
    "tick-interval": "",
}
"""The annotation that does for one revision what a key of config-autoscaler does for the cluster."""


def unknown_resource(case: Case) -> Iterator[Finding]:
    """A misspelt resource is waited for in vain."""
    for index, one in enumerate(case.service.data["spec"]["template"]["spec"]["containers"]):
        limits = ((one or {}).get("resources") or {}).get("limits") or {}
        for name in limits:
            fix = write_nearest(name, GPU_RESOURCES, "")
            if "/" in name and not is_gpu(name) and fix:
                yield case.warn(
                    "unknown-resource",
                    (*TEMPLATE_SPEC, "containers", index, "resources", "limits", name),
                    f"no device plugin known to kpasim offers {name}",
                    "Kubernetes takes any name; a pod that asks for what no node has stays Pending.",
                    fix,
                )


def limit_above_timeout(case: Case) -> Iterator[Finding]:
    """A limit that cannot be reached."""
    spec = case.service.data["spec"]["template"]["spec"]
    for key in ("responseStartTimeoutSeconds", "idleTimeoutSeconds"):
        if (spec.get(key) or 0) > case.service.timeout_s:
            yield case.note(
                "limit-above-timeout",
                key,
                f"{key} {spec[key]} has no effect: timeoutSeconds {case.service.timeout_s:g} ends a request before",
                "Knative accepts it; the smallest of the three limits decides.",
                f"Set timeoutSeconds to at least {spec[key]}, or remove it.",
            )


def no_deadline(case: Case) -> Iterator[Finding]:
    """A deadline of zero is refused later."""
    if case.service.revision.progress_deadline_s == 0:
        yield case.fail(
            "no-deadline",
            "serving.knative.dev/progress-deadline",
            "a progress deadline of 0s: no pod is ever made",
            "Knative takes it; Kubernetes refuses the Deployment (progressDeadlineSeconds must be above 0).",
            "Write 10m, or remove it.",
        )


def not_a_number(case: Case) -> Iterator[Finding]:
    """A setting that Knative takes for a number and that is none."""
    if not case.has_numbers:
        yield case.fail(
            "not-a-number",
            TEMPLATE_ANNOTATIONS,
            "NaN or Inf as a setting is not simulated",
            "Knative accepts them; what its autoscaler then does depends on how Go compares them.",
            "Write a number.",
        )


RULES: tuple[Rule, ...] = (
    not_a_number,
    refused_image,
    unknown_field,
    needs_feature,
    label_for_annotation,
    template_metadata,
    ignored_annotation,
    unknown_resource,
    limit_above_timeout,
    no_deadline,
    service_account,
)
"""Every rule of this module, in the order in which findings of one level are shown."""
