"""What Knative's operator makes of a KnativeServing beside ConfigMaps, and how many activators a cluster has.

Source:
    knative/operator@b4f2c25, pkg/reconciler/common/{ha,hpa,workload_override,config_maps}.go,
    config/crd/bases/operator.knative.dev_knativeservings.yaml;
    knative/serving@98e5ef9, config/core/deployments/activator-hpa.yaml.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kpasim.spec.base import Place, list_of, mapping_of, not_right, value_at
from kpasim.spec.objects import Object
from kpasim.spec.yamlfile import names_of

KNATIVE_SERVING = "KnativeServing"
_ACTIVATOR = "activator"
_MOST = 63


def unknown_keys(one: Object) -> Iterator[tuple[Place, tuple[str, ...]]]:
    """Keys of a KnativeServing that the operator passes over, and those that it reads there."""
    spec = mapping_of(one.data.get("spec"))
    for key in spec:
        if key not in names_of("operator-fields"):
            yield ("spec", key), names_of("operator-fields")
    for key in mapping_of(spec.get("config")):
        if str(key).removeprefix("config-") not in names_of("operator-maps"):
            yield ("spec", "config", key), names_of("operator-maps")
    for key in mapping_of(spec.get("high-availability")):
        if key != "replicas":
            yield ("spec", "high-availability", key), ("replicas",)


def activators_place(one: Object) -> Place | None:
    """Where an object says how many activators the cluster has, None where it does not."""
    if one.kind == KNATIVE_SERVING:
        found = None
        for key in ("deployments", "workloads"):
            for index, override in enumerate(list_of(value_at(one.data, ("spec", key)))):
                place: Place = ("spec", key, index, "replicas")
                value = value_at(one.data, place)
                if isinstance(override, Mapping) and override.get("name") == _ACTIVATOR and value is not None:
                    # Each override raises the minimum of the activator's HPA, and none lowers it.
                    found = place if found is None or not _below(value, value_at(one.data, found)) else found
        available: Place = ("spec", "high-availability", "replicas")
        return found or (None if value_at(one.data, available) is None else available)
    if one.name != _ACTIVATOR:
        return None
    return {"HorizontalPodAutoscaler": ("spec", "minReplicas"), "Deployment": ("spec", "replicas")}.get(one.kind)


def activators_in(objects: Iterable[Object]) -> int | None:
    """Activators of a cluster by its objects: a KnativeServing, the activator's HPA, its Deployment.

    The most that any of them says, None where nothing is said. The HPA adds further ones by their CPU.

    Raises:
        ExperimentError: A number of replicas that is none.
    """
    found = None
    for one in objects:
        place = activators_place(one)
        value = None if place is None else value_at(one.data, place)
        if place is None or value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
            raise one.error(place, not_right(value, f"a whole number in [0, {_MOST}]"))
        found = max(found or 1, value)
    return found


def _below(value: Any, other: Any) -> bool:
    return isinstance(value, int) and isinstance(other, int) and value < other
