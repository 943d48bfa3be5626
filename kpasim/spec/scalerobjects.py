"""The autoscaler of an experiment out of objects of a cluster: an HPA, a ScaledObject, or those of the HTTP add-on.

What decides about pods is taken over; which Deployment, host or address it is for is not. What is not simulated is
refused with its place, since an autoscaler without it would be another one. A metric is known by its name, a query of
Prometheus by its form: the sum of a gauge, or of a rate, over the service.

Source:
    Kubernetes autoscaling/v2; kedacore/keda@8b4f083, apis/keda/v1alpha1; kedacore/http-add-on@59b2f6a,
    operator/apis/http and scaler/handlers.go
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, Self, get_args

from kpasim.errors import ExperimentError
from kpasim.spec.base import Place, Spec, key_of, mapping_of, mappings_of, not_right, show, unknown, value_at
from kpasim.spec.goparse import parse_bool
from kpasim.spec.objects import Object, objects_in, split_name
from kpasim.spec.quantities import amount
from kpasim.spec.scaling import Fallback, Rule, ScaleUp
from kpasim.spec.yamlfile import Document, read_documents

_NAME = r"[a-zA-Z_:][\w:]*"
_LABELS = r"(?:\{([^{}]*)\})?"
_BY = r"(?: ?(?:by|without) ?\([^()]*\))?"
_SUM = re.compile(rf"sum{_BY} ?\( ?(.*?) ?\){_BY}")
_RATE_QUERY = re.compile(rf"rate ?\( ?({_NAME}) ?{_LABELS} ?\[(\w+)\] ?\)")
_MEAN_QUERY = re.compile(rf"avg_over_time ?\( ?({_NAME}) ?{_LABELS} ?\[(\w+)\] ?\)")
_GAUGE_QUERY = re.compile(rf"({_NAME}) ?{_LABELS}")
_COUNTER = re.compile(r"requests?(_total|_count|_(duration|latency|seconds)\w*_count|_seconds_count)?$")
_SOME = re.compile(r"error|fail|success|reject|token")
_PARTIAL = re.compile(r"\b(code|status|response_code|error|le|quantile)\w* *(=|!)")
"""Labels that select some of the requests only."""
_IN_FLIGHT = re.compile(
    r"in[-_]?flight|(?:active|concurrent|running|ongoing)[-_]requests?|requests?[-_](?:active|running|processing)"
    r"|(?:^|[-_:])concurrency(?!\w)"
)
_PER_SECOND = re.compile(r"(?:requests?|queries)[-_]?(?:per[-_]second|rate)(?!\w)|(?:^|[-_:])(?:rps|qps)(?!\w)")
_UTILIZATION = re.compile(r"(?:gpu[-_]util(?:ization)?|duty[-_]cycle)(?!\w)")

_SPEC: Place = ("spec",)
_KEDA_PAUSES = ("paused", "paused-replicas", "paused-scale-in", "paused-scale-out", "force-activation")


class NotSimulatedError(ValueError):
    """An object that is not simulated or not right, or a part of one; the message says what would be.

    Attributes:
        place: Where the object has it.
    """

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place

    @classmethod
    def of(cls, place: Place, value: Any, wanted: str, where: str = "") -> Self:
        """The error for a value of which others are simulated, or others ``where`` it is."""
        return cls(place, f"{show(value)} is not simulated{where} (must be {wanted})")


def is_scaler_file(value: Any) -> bool:
    """Whether a value names a YAML file, or an object in one (``FILE#NAME``)."""
    return isinstance(value, str) and value.partition("#")[0].endswith((".yaml", ".yml"))


def scaler_of_file(path: str) -> dict[str, Any]:
    """As `scaling_in`, of a file.

    Raises:
        ExperimentError: It cannot be read, or as `scaling_in`.
    """
    return scaling_in(read_documents(split_name(path)[0]), path)


def scaling_in(documents: list[Document], path: str) -> dict[str, Any]:
    """The section ``autoscaler`` with the settings of the only autoscaler of a file, or of that of ``FILE#NAME``.

    Raises:
        ExperimentError: It holds none or several, or one that is refused.
    """
    file, name = split_name(path)
    there = objects_in(documents)
    # The add-on makes a ScaledObject of each HTTPScaledObject; a dump of a cluster holds both.
    made = {one.name for one in there if one.kind == "HTTPScaledObject"}
    found = [
        one
        for one in there
        if one.kind in _READERS and name in {"", one.name} and _pushed(one, "httpScaledObject") not in made
    ]
    if len(found) != 1:
        names = ", ".join(f"{one.kind} {one.name}" for one in found)
        more = f"holds {len(found)} autoscalers: {names} (name one: {file}#{found[0].name})" if found else ""
        called = f" called {name}" if name else ""
        raise ExperimentError.of(file, more or _none(there, called), 1)
    (scaler,) = found
    route = _pushed(scaler, "interceptorRoute")
    if not route:
        return _read(scaler, lambda one: scaling_of_object(one.data))
    routes = [one for one in there if one.kind == "InterceptorRoute" and one.name == route]
    settings = _read(scaler, lambda one: _of_route(one, bool(routes)))
    return settings | _read(routes[-1], lambda one: _interceptor_route(one.data))


def _none(there: list[Object], called: str) -> str:
    if any(one.kind == "InterceptorRoute" for one in there):
        return "holds an InterceptorRoute without the ScaledObject that names it (add it: its trigger is external-push)"
    return f"holds no {', '.join(_READERS)}{called}"


def _read(one: Object, reader: Callable[[Object], dict[str, Any]]) -> dict[str, Any]:
    try:
        return reader(one)
    except NotSimulatedError as error:
        raise one.error(error.place, str(error)) from None


def _pushed(one: Object, key: str) -> str | None:
    """The object of the HTTP add-on that a trigger of a ScaledObject names."""
    triggers = mappings_of(value_at(one.data, ("spec", "triggers"))) if one.kind == "ScaledObject" else []
    named = (mapping_of(trigger.get("metadata")).get(key) for trigger in triggers)
    return next((name for name in named if isinstance(name, str)), None)


def scaling_of_object(data: Mapping[str, Any]) -> dict[str, Any]:
    """The section ``autoscaler`` of an experiment with the settings of an HPA, a ScaledObject or an HTTPScaledObject.

    Raises:
        NotSimulatedError: It has a part that is not simulated, or that its own API refuses.
    """
    versions, read = _READERS[str(data["kind"])]
    return read(data, _spec(data, *versions))


def _spec(data: Mapping[str, Any], *versions: str) -> Mapping[str, Any]:
    """The section ``spec`` of an object of one of these versions."""
    version = data.get("apiVersion")
    if version not in versions:
        raise NotSimulatedError(("apiVersion",), f"{show(version)} is not served any longer (write {versions[0]})")
    return _mapping(data, ("spec",), required=True)


def metric_of_name(name: str, place: Place) -> str:
    """The metric of an experiment that a metric's name stands for.

    Raises:
        NotSimulatedError: It is none of them.
    """
    word = name.lower()
    for metric, pattern in (("rps", _PER_SECOND), ("concurrency", _IN_FLIGHT), ("utilization", _UTILIZATION)):
        if pattern.search(word):
            return metric
    raise _foreign(name, place)


def metric_of_query(query: Any, place: Place) -> dict[str, Any]:
    """The metric of an experiment, and its window where there is one, that a query of Prometheus asks for.

    Raises:
        NotSimulatedError: It is no sum of a rate of requests, or of requests in flight, over the service.
    """
    text = " ".join(str(query or "").split())
    whole = _SUM.fullmatch(text)
    inner = whole[1] if whole else text
    if rate := _RATE_QUERY.fullmatch(inner):
        name = rate[1].lower()
        if _COUNTER.search(name) and not _SOME.search(name) and not _PARTIAL.search(rate[2] or ""):
            return {"metric": "rps", "metric-window": rate[3]}
    elif gauge := _MEAN_QUERY.fullmatch(inner) or _GAUGE_QUERY.fullmatch(inner):
        metric = metric_of_name(gauge[1], place)
        is_mean = gauge.re is _MEAN_QUERY
        if not _PARTIAL.search(gauge[2] or "") and metric in ({"concurrency"} if is_mean else {"concurrency", "rps"}):
            return {"metric": metric} | ({"metric-window": gauge[3]} if is_mean else {})
    raise _foreign(text, place)


def _foreign(text: str, place: Place) -> NotSimulatedError:
    known = "known as requests in flight, requests per second or the utilization of a GPU"
    return NotSimulatedError(place, f"{show(text)} is not {known} (write autoscaler: in an experiment instead)")


# --- HorizontalPodAutoscaler


def _hpa(data: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    is_old = data["apiVersion"] == "autoscaling/v1"
    own = "targetCPUUtilizationPercentage" if is_old else "metrics"
    keys = HPA_COUNTS if is_old else HPA_COUNTS | BEHAVIOR
    found = {"kind": "hpa", **_of_object(spec, _SPEC, keys, ("scaleTargetRef", own))}
    if is_old:
        target = 80 if spec.get(own) is None else _count(spec, (*_SPEC, own), least=1)
        return {**found, "metric": "cpu", "target": float(target)}
    return found | _hpa_metric(spec.get("metrics"), (*_SPEC, "metrics"))


def _hpa_metric(metrics: Any, place: Place) -> dict[str, Any]:
    """The one metric of an HPA; without any, Kubernetes' default of 80 % of the CPU request."""
    if metrics is None or metrics == []:
        return {"metric": "cpu", "target": 80.0}
    one, at = _only({"metrics": metrics}, place)
    kinds = ("Resource", "ContainerResource", "Pods", "External", "Object")
    kind = _one_of(one, (*at, "type"), kinds)
    key = kind[0].lower() + kind[1:]
    source = _mapping(one, (*at, key), required=True)
    target = _mapping(source, (*at, key, "target"), required=True)
    aim = (*at, key, "target")
    if kind in {"Resource", "ContainerResource"}:
        if source.get("name") != "cpu":
            raise NotSimulatedError.of((*at, key, "name"), source.get("name"), "cpu")
        if target.get("type") != "Utilization":
            raise NotSimulatedError.of((*aim, "type"), target.get("type"), "Utilization", " of cpu")
        return {"metric": "cpu", "target": float(_count(target, (*aim, "averageUtilization"), least=1))}
    named = str(_mapping(source, (*at, key, "metric"), required=True).get("name") or "")
    types = ("AverageValue",) if kind == "Pods" else ("AverageValue", "Value")
    target_type = _one_of(target, (*aim, "type"), types)
    value = "averageValue" if target_type == "AverageValue" else "value"
    metric = metric_of_name(named, (*at, key, "metric", "name"))
    number = number_of(target.get(value), (*aim, value), positive=True)
    if metric == "utilization" and number <= 1:
        raise NotSimulatedError((*aim, value), not_right(target[value], "percent, above 1"))
    return {"metric": metric, "metric-type": kind, "target-type": target_type, "target": number}


# --- KEDA


def _scaled_object(data: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    found = {"kind": "keda", "max-replica-count": 100, **_scaled(data, spec, SCALED_OBJECT | FALLBACK)}
    return found | _trigger(*_only(spec, (*_SPEC, "triggers")))


def _scaled(data: Mapping[str, Any], spec: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """What a ScaledObject says beside its trigger."""
    annotations = _mapping(_mapping(data, ("metadata",)), ("metadata", "annotations"))
    for key in (f"autoscaling.keda.sh/{name}" for name in _KEDA_PAUSES):
        if key in annotations and (key.endswith("replicas") or _is_true(annotations[key])):
            raise NotSimulatedError(("metadata", "annotations", key), "is not simulated (remove it)")
    found = _of_object(spec, _SPEC, keys, ("scaleTargetRef", "triggers", "fallback", "advanced"))
    advanced = (*_SPEC, "advanced")
    more = _mapping(spec, advanced)
    if more.get("scalingModifiers"):
        at = (*advanced, "scalingModifiers")
        raise NotSimulatedError(at, "is not simulated (give one trigger without a formula)")
    at = (*advanced, "horizontalPodAutoscalerConfig")
    config = _mapping(more, at)
    return found | _of_object(config, at, BEHAVIOR, config)


def _is_true(value: Any) -> bool:
    """An annotation that KEDA takes for true: whatever Go does not read as false."""
    try:
        return parse_bool(str(value))
    except ValueError:
        return True


def _trigger(given: Mapping[Any, Any], place: Place) -> dict[str, Any]:
    if given.get("type") != "prometheus":
        raise NotSimulatedError.of((*place, "type"), given.get("type"), "prometheus")
    if given.get("useCachedMetrics"):
        raise NotSimulatedError((*place, "useCachedMetrics"), "is not simulated (remove it)")
    at = (*place, "metadata")
    metadata = _mapping(given, at, required=True)
    found = metric_of_query(metadata.get("query"), (*at, "query"))
    found["target"] = number_of(metadata.get("threshold"), (*at, "threshold"), positive=True)
    if metadata.get("activationThreshold") is not None:
        found["activation-threshold"] = number_of(metadata["activationThreshold"], (*at, "activationThreshold"))
    if given.get("metricType") is not None:
        found["metric-type"] = _one_of(given, (*place, "metricType"), ("AverageValue", "Value"))
    return found


# --- KEDA's HTTP add-on


def _of_route(one: Object, has_route: bool) -> dict[str, Any]:
    """What the ScaledObject of an InterceptorRoute says."""
    spec = _spec(one.data, "keda.sh/v1alpha1")
    trigger, place = _only(spec, (*_SPEC, "triggers"))
    _one_of(trigger, (*place, "type"), ("external-push",))
    if trigger.get("metricType") not in (None, "AverageValue"):
        raise NotSimulatedError.of((*place, "metricType"), trigger["metricType"], "AverageValue")
    if spec.get("fallback"):
        raise NotSimulatedError(("spec", "fallback"), "is not simulated with the HTTP add-on (remove it)")
    if not has_route:
        at = (*place, "metadata", "interceptorRoute")
        raise NotSimulatedError(at, f"InterceptorRoute {trigger['metadata']['interceptorRoute']} is not in the file")
    default = {"kind": "keda-http", "object": "InterceptorRoute", "max-replicas": 100, "polling-interval": 30}
    return default | _scaled(one.data, spec, ROUTED)


def _interceptor_route(data: Mapping[str, Any]) -> dict[str, Any]:
    """What an InterceptorRoute says of scaling; how requests find it, and static responses, do not matter."""
    spec = _spec(data, "http.keda.sh/v1beta1")
    for name in ("coldStart", "timeouts"):
        if spec.get(name):
            raise NotSimulatedError((*_SPEC, name), "is not simulated: requests wait until the timeout of the service")
    _known(spec, ("target", "rules", "staticRoutes", "scalingMetric", "coldStart", "timeouts"), _SPEC)
    at = (*_SPEC, "scalingMetric")
    if not (metric := {key: one for key, one in _mapping(spec, at, required=True).items() if one is not None}):
        raise NotSimulatedError(at, "has neither concurrency nor requestRate (must be one of them)")
    name = next(iter(metric))
    if isinstance(metric[name], Mapping) and metric[name].get("targetValue") is None:
        raise NotSimulatedError((*at, name, "targetValue"), "is missing (must be a whole number from 1)")
    return _scaling_metric(metric, at)


def _http_scaled_object(data: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    routing = ("hosts", "pathPrefixes", "headers", "scaleTargetRef")
    scaling = ("replicas", "scalingMetric", "targetPendingRequests")
    for name in ("coldStartTimeoutFailoverRef", "timeouts"):
        if spec.get(name):
            raise NotSimulatedError((*_SPEC, name), "is not simulated: requests wait until the timeout of the service")
    found: dict[str, Any] = {"kind": "keda-http", "object": "HTTPScaledObject", "max-replicas": 100}
    found |= _of_object(spec, _SPEC, PERIODS, (*routing, *scaling, "coldStartTimeoutFailoverRef", "timeouts"))
    at = (*_SPEC, "replicas")
    replicas = _mapping(spec, at)
    found |= _of_object(replicas, at, REPLICAS, replicas)
    at = (*_SPEC, "scalingMetric")
    if metric := _mapping(spec, at):
        return found | _scaling_metric(metric, at)
    return {**found, "target": _target(spec, (*_SPEC, "targetPendingRequests"))}


def _scaling_metric(metric: Mapping[str, Any], at: Place) -> dict[str, Any]:
    """The one metric of an object of the add-on."""
    _known(metric, ("concurrency", "requestRate"), at)
    if len(metric) > 1:
        raise NotSimulatedError(at, "has concurrency and requestRate; one is simulated (keep the one that decides)")
    if "requestRate" not in metric:
        return {"target": _target(_mapping(metric, (*at, "concurrency")), (*at, "concurrency", "targetValue"))}
    rate = _mapping(metric, (*at, "requestRate"))
    window = {key: rate[key] for key in ("window", "granularity") if rate.get(key) is not None}
    return {"metric": "request-rate", "target": _target(rate, (*at, "requestRate", "targetValue")), **window}


def _target(given: Mapping[Any, Any], place: Place) -> int:
    """A target of the add-on, its default of 100 where none is given."""
    return 100 if given.get(place[-1]) is None else _count(given, place, least=1)


# --- values


def _mapping(data: Mapping[Any, Any], place: Place, *, required: bool = False) -> Mapping[str, Any]:
    """The mapping at the last part of a place; empty where there is none and none is required."""
    found = data.get(place[-1])
    if found is None and not required:
        return {}
    if not isinstance(found, Mapping):
        raise NotSimulatedError(place, "is missing" if found is None else not_right(found, "a mapping"))
    return found


def _items(data: Mapping[Any, Any], place: Place) -> list[tuple[Mapping[str, Any], Place]]:
    """The mappings of the list at the last part of a place, and where each stands."""
    found = data.get(place[-1])
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise NotSimulatedError(place, "is missing" if found is None else not_right(found, "a list of mappings"))
    return [(one, (*place, number)) for number, one in enumerate(found)]


def _only(data: Mapping[Any, Any], place: Place) -> tuple[Mapping[str, Any], Place]:
    items = _items(data, place)
    if len(items) != 1:
        raise NotSimulatedError(place, f"has {len(items)} {place[-1]}; one is simulated (keep the one that decides)")
    return items[0]


def _known(given: Mapping[Any, Any], names: Iterable[str], place: Place) -> None:
    for name in given:
        if name not in names:
            raise NotSimulatedError((*place, name), unknown("field", str(name), names))


def _one_of(given: Mapping[Any, Any], place: Place, words: tuple[str, ...]) -> str:
    value = given.get(place[-1])
    if value not in words:
        raise NotSimulatedError(place, not_right(value, " or ".join(words)))
    return str(value)


def _count(given: Mapping[Any, Any], place: Place, *, least: int = 0, most: int = 2**31 - 1) -> int:
    value = given.get(place[-1])
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        limits = f"from {least} to {most}" if most < 2**31 - 1 else f"from {least}"
        missing = "is missing" if value is None else f"{show(value)} is not right"
        raise NotSimulatedError(place, f"{missing} (must be a whole number {limits})")
    return value


def number_of(value: Any, place: Place, *, positive: bool = False) -> float:
    """The number of a quantity of Kubernetes, 0 or more.

    Raises:
        NotSimulatedError: It is none.
    """
    try:
        number = float(amount(value))
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or number < 0 or (positive and number == 0):
        missing = "is missing" if value is None else f"{show(value)} is not right"
        raise NotSimulatedError(place, f"{missing} (must be a {'positive ' if positive else ''}number)")
    return number


class Key(NamedTuple):
    """A key of an object that says what a field of the autoscaler does.

    Attributes:
        read: What makes the value of an experiment out of the mapping around the key, and its place.
        write: What makes the value of the object out of that of the field.
    """

    field: str
    read: Callable[[Mapping[Any, Any], Place], Any]
    write: Callable[[Any], Any] = lambda value: value
    required: bool = False


Keys = Mapping[str, Key]


def _of_object(given: Mapping[Any, Any], place: Place, keys: Keys, others: Iterable[str] = ()) -> dict[str, Any]:
    """What the keys of a mapping say, as an experiment has it; those that are not there are left out.

    The mapping may have the ``others`` as well.
    """
    _known(given, {*keys, *others}, place)
    there = {name: key for name, key in keys.items() if key.required or given.get(name) is not None}
    return {key_of(key.field): key.read(given, (*place, name)) for name, key in there.items()}


def to_object(spec: Spec, keys: Keys) -> dict[str, Any]:
    """The keys of an object that say what an autoscaler, or a part of it, does; without those for None."""
    values = {name: getattr(spec, key.field) for name, key in keys.items()}
    return {name: keys[name].write(value) for name, value in values.items() if value is not None}


def _part(field: str, keys: Keys) -> Key:
    """A key with a mapping of other keys."""
    return Key(
        field,
        lambda given, place: _of_object(_mapping(given, place), place, keys),
        lambda spec: to_object(spec, keys),
    )


def _word(spec: type[Spec], field: str, *, required: bool = False) -> Key:
    """A key with one of the words that the field may be."""
    words = get_args(spec.model_fields[field].annotation)
    return Key(field, lambda given, place: _one_of(given, place, words), required=required)


_POLICY = {
    "type": _word(Rule, "type", required=True),
    "value": Key("value", partial(_count, least=1), required=True),
    "periodSeconds": Key("period_s", partial(_count, least=1, most=1800), round, required=True),
}
_DIRECTION = {
    "stabilizationWindowSeconds": Key("stabilization_window_s", partial(_count, most=3600), round),
    "selectPolicy": _word(ScaleUp, "select_policy"),
    "policies": Key(
        "policies",
        lambda given, place: [_of_object(one, at, _POLICY) for one, at in _items(given, place)],
        lambda rules: [to_object(one, _POLICY) for one in rules],
    ),
    "tolerance": Key("tolerance", lambda given, place: number_of(given[place[-1]], place), "{:g}".format),
}
_DIRECTIONS = {"scaleUp": _part("scale_up", _DIRECTION), "scaleDown": _part("scale_down", _DIRECTION)}
BEHAVIOR = {"behavior": _part("behavior", _DIRECTIONS)}
"""`behavior` of an HPA."""
HPA_COUNTS = {
    "minReplicas": Key("min_replicas", _count),
    "maxReplicas": Key("max_replicas", partial(_count, least=1), required=True),
}
"""What every version of an HPA has beside its metric."""
_FALLBACK = {
    "failureThreshold": Key("failure_threshold", _count, required=True),
    "replicas": Key("replicas", _count, required=True),
    "behavior": _word(Fallback, "behavior"),
}
FALLBACK = {"fallback": _part("fallback", _FALLBACK)}
"""`fallback` of a ScaledObject."""
SCALED_OBJECT = {
    "pollingInterval": Key("polling_interval_s", _count, math.ceil),
    "cooldownPeriod": Key("cooldown_period_s", _count, math.ceil),
    "minReplicaCount": Key("min_replica_count", _count),
    "maxReplicaCount": Key("max_replica_count", _count),
    "initialCooldownPeriod": Key("initial_cooldown_period_s", _count, lambda time_s: math.ceil(time_s) or None),
    "idleReplicaCount": Key("idle_replica_count", _count),
}
"""Counts and times of a ScaledObject; its own fields are KEDA's."""
_OF_THE_ADD_ON = {
    "cooldown_period_s": "scaledown_period_s", "min_replica_count": "min_replicas",
    "max_replica_count": "max_replicas", "idle_replica_count": "idle_replicas",
}  # fmt: skip
ROUTED = {key: one._replace(field=_OF_THE_ADD_ON.get(one.field, one.field)) for key, one in SCALED_OBJECT.items()}
"""The same of the ScaledObject of an InterceptorRoute."""
REPLICAS = {"min": ROUTED["minReplicaCount"], "max": ROUTED["maxReplicaCount"]}
"""`replicas` of an HTTPScaledObject."""
PERIODS = {"scaledownPeriod": ROUTED["cooldownPeriod"], "initialCooldownPeriod": ROUTED["initialCooldownPeriod"]}
"""Times of an HTTPScaledObject."""

_Read = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
_READERS: dict[str, tuple[tuple[str, ...], _Read]] = {
    "HorizontalPodAutoscaler": (("autoscaling/v2", "autoscaling/v1"), _hpa),
    "ScaledObject": (("keda.sh/v1alpha1",), _scaled_object),
    "HTTPScaledObject": (("http.keda.sh/v1alpha1",), _http_scaled_object),
}
