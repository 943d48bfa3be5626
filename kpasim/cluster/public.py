"""An experiment as it may be written down: what a simulation reads, and nothing that opens a door.

A manifest may hold passwords in its environment, keys in its arguments, tokens in its probes' headers, and a copy of
itself in an annotation. None of it changes a prediction, so none of it reaches a run folder.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kpasim.spec.experiment import Experiment
from kpasim.spec.manifest import POD_FIELDS, PROBE_FIELDS, is_gpu
from kpasim.spec.yamlfile import Document

_ANNOTATIONS = (
    "autoscaling.knative.dev/",
    "serving.knative.dev/",
    "serving.knative.dev.alibabacloud/",
    "k8s.aliyun.com/",
)
_PROBE_KINDS: Mapping[str, Any] = {"httpGet": {"path": "/"}, "tcpSocket": {}, "grpc": {}, "exec": {"command": ["true"]}}


def public(experiment: Experiment) -> Experiment:
    """The experiment with a manifest that holds only what decides a prediction."""
    data = public_manifest(experiment.service.data)
    nowhere = Document("service", "", {})
    service = replace(experiment.service, data=data, edits=(), path="", source=nowhere, prefix=(), kserve=None)
    return experiment.model_copy(update={"service": service})


def public_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a Service that decide a prediction."""
    template = manifest["spec"]["template"]
    pod = template["spec"]
    metadata = {"name": manifest["metadata"]["name"]}
    kept: dict[str, Any] = {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": metadata | _annotations(manifest["metadata"]),
        "spec": {
            "template": {
                "metadata": _annotations(template.get("metadata") or {}),
                "spec": {key: pod[key] for key in POD_FIELDS if key in pod}
                | {"containers": [_container(container) for container in pod["containers"]]},
            }
        },
    }
    return kept


def _annotations(metadata: Mapping[str, Any]) -> dict[str, Any]:
    found = metadata.get("annotations") or {}
    return {"annotations": {key: value for key, value in found.items() if str(key).startswith(_ANNOTATIONS)}}


def _container(container: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {"image": container.get("image", "")}
    if container.get("ports"):
        kept["ports"] = container["ports"]
    limits = (container.get("resources") or {}).get("limits") or {}
    if gpus := {name: value for name, value in limits.items() if is_gpu(name)}:
        kept["resources"] = {"limits": gpus}
    for probe in ("readinessProbe", "startupProbe"):
        found = container.get(probe)
        if found:
            kept[probe] = {key: found[key] for key in PROBE_FIELDS if key in found}
            kept[probe] |= {kind: dict(what) for kind, what in _PROBE_KINDS.items() if kind in found}
    return kept
