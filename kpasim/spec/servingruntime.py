"""KServe's ServingRuntimes: which of them serves a model, and what it brings to the pod.

Source:
    kserve/kserve@aaac4e2, pkg/apis/serving/v1beta1/predictor_model.go (selection),
    pkg/controller/v1beta1/inferenceservice/utils/utils.go (merging), components/predictor.go.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kpasim.spec.base import list_of, mapping_of, mappings_of

KINDS = ("ServingRuntime", "ClusterServingRuntime")
_CONTAINER = ("name", "image", "ports", "resources", "readinessProbe", "startupProbe", "livenessProbe")
_POD = ("nodeSelector", "affinity", "tolerations", "schedulerName")
_PROTOCOLS = ("v1", "v2", "grpc-v1", "grpc-v2")
_TAG = re.compile(r":[\w.\-]*$")
_MODEL_CONTAINER = "kserve-container"


def kept(data: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a ServingRuntime that decide a prediction: arguments and environment may hold secrets."""
    spec, metadata = mapping_of(data.get("spec")), mapping_of(data.get("metadata"))
    return {
        "kind": data.get("kind"),
        "name": str(metadata.get("name") or ""),
        "namespace": str(metadata.get("namespace") or "default"),
        "containers": [
            {key: one[key] for key in _CONTAINER if key in one} for one in mappings_of(spec.get("containers"))
        ],
        **{key: spec[key] for key in (*_POD, "disabled", "multiModel", "workerSpec") if spec.get(key)},
        "annotations": {str(key): str(value) for key, value in mapping_of(spec.get("annotations")).items()},
        "protocols": [one for one in list_of(spec.get("protocolVersions")) if isinstance(one, str)],
        "formats": [dict(one) for one in mappings_of(spec.get("supportedModelFormats"))],
        "created": str(metadata.get("creationTimestamp") or ""),
    }


def chosen(model: Mapping[str, Any], namespace: str, runtimes: str) -> dict[str, Any] | None:
    """The runtime of a model: the one that it names, or the one that KServe selects; None where there is none.

    ``runtimes`` is a JSON list of what `kept` returns; those of the namespace come before those of the cluster.
    """
    found = [one for one in json.loads(runtimes) if one["kind"] == KINDS[1] or one["namespace"] == namespace]
    found.sort(key=lambda one: one["kind"] == KINDS[1])
    if model.get("runtime"):
        return next((one for one in found if one["name"] == model["runtime"]), None)
    protocol, model_format = str(model.get("protocolVersion") or "v1"), mapping_of(model.get("modelFormat"))
    fits = [one for one in found if _supports(one, model_format, protocol)]
    name = str(model_format.get("name"))
    fits.sort(key=lambda one: one["name"])
    fits.sort(key=lambda one: one["created"], reverse=True)
    fits.sort(key=lambda one: (one["kind"] == KINDS[1], -_priority(one, name), _protocol_priority(one["protocols"])))
    return next(iter(fits), None)


def _supports(runtime: Mapping[str, Any], model_format: Mapping[str, Any], protocol: str) -> bool:
    if runtime.get("disabled") or runtime.get("multiModel") or runtime.get("workerSpec"):
        return False
    if runtime["protocols"] and protocol not in runtime["protocols"]:
        return False
    version = model_format.get("version")
    return any(
        one.get("autoSelect")
        and one.get("name") == model_format.get("name")
        and (version is None or str(one.get("version")) == str(version))
        for one in runtime["formats"]
    )


def _priority(runtime: Mapping[str, Any], name: str) -> int:
    """Priority of the format, below every other where it has none."""
    for one in runtime["formats"]:
        if one.get("name") == name and isinstance(one.get("priority"), int):
            return int(one["priority"])
    return -1


def _protocol_priority(protocols: Iterable[str]) -> int:
    known = [_PROTOCOLS.index(one) for one in protocols if one in _PROTOCOLS]
    return min(known, default=len(_PROTOCOLS))


def model_container(runtime: Mapping[str, Any], own: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """The container of a model: the runtime's, with the fields of the model that are its container's laid over it."""
    base: Mapping[str, Any] = next((one for one in runtime["containers"] if one.get("name") == _MODEL_CONTAINER), {})
    merged = _merged(base, own)
    image = str(merged.get("image") or "")
    if model.get("runtimeVersion") and "@sha256:" not in image:
        merged["image"] = f"{_TAG.sub('', image)}:{model['runtimeVersion']}"
    return {**merged, "name": _MODEL_CONTAINER}


def other_containers(runtime: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The containers of a runtime beside that of the model."""
    return [dict(one) for one in runtime["containers"] if one.get("name") != _MODEL_CONTAINER]


def pod(runtime: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the pod that the runtime brings."""
    return {key: runtime[key] for key in _POD if key in runtime}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merged key by key; anything else of the second replaces that of the first."""
    result = dict(base)
    for key, value in over.items():
        mine = result.get(key)
        result[key] = _merged(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return result
