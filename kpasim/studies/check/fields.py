"""Rules about fields: what a cluster drops, what it may refuse, and what has no effect."""

from collections.abc import Iterator
from typing import Any

from kpasim.spec.autoscaler import CONFIG_KEYS, PREFIX, SPELLINGS
from kpasim.spec.base import Place, dotted, suggestion
from kpasim.spec.kserve import PREDICTOR, PREDICTOR_FIELDS
from kpasim.spec.manifest import GPU_RESOURCES, TEMPLATE_ANNOTATIONS, TEMPLATE_SPEC, is_gpu
from kpasim.spec.webhook import Fault
from kpasim.spec.webhook.fields import SERVICE, Entries, Field, Fields, Items
from kpasim.studies.check.case import Case, Finding, rules_in, write_nearest

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


def not_a_number(case: Case) -> Iterator[Finding]:
    """A setting that Knative takes for a number and that is none."""
    if not case.has_numbers:
        yield case.finding("not-a-number", place=TEMPLATE_ANNOTATIONS)


def refused_image(case: Case) -> Iterator[Finding]:
    """The image is only a placeholder."""
    for fault in () if case.experiment else case.service.refusals:
        variant = "" if fault.rule == "image" else "service-account"
        yield case.finding("refused", variant, place=fault.place, fault=fault)


def unknown_field(case: Case) -> Iterator[Finding]:
    """Kubernetes drops a field without a word."""
    for place in case.service.unknown_fields:
        if place[0] != "status":
            yield case.finding("unknown-field", **about_unknown_field(place))


def about_unknown_field(place: Place) -> dict[str, Any]:
    """What the texts about a field that is dropped name."""
    kind = "predictor" if place[:2] == PREDICTOR else "Service"
    return {"place": place, "kind": kind, "field": place[-1], "fix": _meant(place)}


def needs_feature(case: Case) -> Iterator[Finding]:
    """A cluster as shipped refuses a field."""
    for fault in case.service.needs_features:
        yield case.finding("needs-feature", **about_feature(fault))


def about_feature(fault: Fault) -> dict[str, Any]:
    """What the texts about a field that config-features has to allow name."""
    return {"place": fault.place, "fault": fault, "source": fault.source.partition(", ")[2]}


def label_for_annotation(case: Case) -> Iterator[Finding]:
    """Autoscaling settings among labels do nothing."""
    annotations = dotted(case.service.place(TEMPLATE_ANNOTATIONS))
    for place in (("metadata", "labels"), ("spec", "template", "metadata", "labels"), (*PREDICTOR, "labels")):
        data: Any = case.service.written
        for part in place:
            data = data.get(part) or {}
        for key in data:
            if key.startswith(PREFIX):
                yield case.finding("label-for-annotation", place=(*place, key), key=key, annotations=annotations)


def template_metadata(case: Case) -> Iterator[Finding]:
    """A field of the template's metadata that nobody reads: the schema of a Service keeps any there."""
    place = TEMPLATE_ANNOTATIONS[:-1]
    found: Any = {} if case.service.kserve else case.service.data
    for part in place:
        found = found.get(part) or {}
    names = _siblings(TEMPLATE_ANNOTATIONS)
    for key in found:
        if key not in names:
            fix = f"Move it to {dotted(TEMPLATE_ANNOTATIONS)}." if "/" in key else write_nearest(key, names)
            yield case.finding("template-metadata", place=(*place, key), key=key, fix=fix)


def ignored_annotation(case: Case) -> Iterator[Finding]:
    """An annotation that looks like the autoscaler's and is not."""
    known = {key for keys in SPELLINGS.values() for key in keys}
    for key in case.service.annotations:
        if not key.startswith(PREFIX) or key in known:
            continue
        name = key.removeprefix(PREFIX)
        hint = suggestion(name, SPELLINGS)
        variant, fix = "", f"Write one that Knative knows ({hint})." if "did you mean" in hint else "Remove it."
        if name in CONFIG_KEYS or name in _CLUSTER_KEYS:
            same = _CLUSTER_KEYS.get(name, name if name in SPELLINGS else "")
            variant = "of-the-cluster"
            fix = f"Use the annotation {same}." if same else "Set it in config-autoscaler: no annotation does the same."
        yield case.finding("ignored-annotation", variant, place=key, key=key, fix=fix)


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
                place = (*TEMPLATE_SPEC, "containers", index, "resources", "limits", name)
                yield case.finding("unknown-resource", place=place, name=name, fix=fix)


def limit_above_timeout(case: Case) -> Iterator[Finding]:
    """A limit that cannot be reached."""
    spec = case.service.data["spec"]["template"]["spec"]
    for key in ("responseStartTimeoutSeconds", "idleTimeoutSeconds"):
        if (spec.get(key) or 0) > case.service.timeout_s:
            yield case.finding("limit-above-timeout", place=key, key=key, limit=spec[key])


def no_deadline(case: Case) -> Iterator[Finding]:
    """A deadline of zero is refused later."""
    if case.service.revision.progress_deadline_s == 0:
        yield case.finding("no-deadline")


def service_account(case: Case) -> Iterator[Finding]:
    """Pods cannot be made without their ServiceAccount."""
    name = case.service.data["spec"]["template"]["spec"].get("serviceAccountName")
    if name and case.experiment is None:
        yield case.finding("service-account", name=name)


RULES = rules_in(__name__)
