"""The ConfigMap `config-autoscaler` and the autoscaling annotations of a revision, as Knative reads and checks them.

Source:
    knative/serving@98e5ef9, pkg/autoscaler/config/config.go, pkg/apis/autoscaling/register.go,
    annotation_validation.go, v1alpha1/pa_lifecycle.go.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, WithJsonSchema

from kpasim.errors import ExperimentError, Problem
from kpasim.policy import targets
from kpasim.spec.base import Lines, Place, Spec, problem_at, show, suggestion, unknown
from kpasim.spec.goparse import format_float, parse_bool, parse_duration, parse_float, parse_int
from kpasim.spec.quantities import DURATION_PATTERN, duration_text
from kpasim.spec.yamlfile import names_of

KPA = "kpa.autoscaling.knative.dev"
HPA = "hpa.autoscaling.knative.dev"
PREFIX = "autoscaling.knative.dev/"

PROGRESS_DEADLINE = "serving.knative.dev/progress-deadline"
"""Annotation of the time a revision has to become ready."""

SPELLINGS: dict[str, tuple[str, ...]] = {
    name: (PREFIX + name, *((PREFIX + other,) if other else ()))
    for name, _, other in (one.partition("=") for one in names_of("autoscaling-annotations"))
}
"""Every autoscaling annotation by its short name, with the spellings Knative knows; the first one that is present
counts."""

_Text = Annotated[str, WithJsonSchema({"type": "string"})]
_Float = Annotated[float, WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]})]
_Int = Annotated[int, WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]})]
_Bool = Annotated[bool, WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "string"}]})]
_Duration = Annotated[float, WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})]


class AutoscalerConfig(Spec):
    """The keys of Knative's `config-autoscaler`, with its defaults and its bounds.

    Values are written as in the ConfigMap; bare numbers and booleans are taken as their text.
    """

    container_concurrency_target_fraction: _Float = Field(default=0.7, alias="container-concurrency-target-percentage")
    """Share of a pod's concurrency to aim at: a percentage above 1, or a fraction in (0, 1]; so `"1"` is 100 %.
    Default 70."""
    container_concurrency_target_default: _Float = 100.0
    """Target concurrency of a pod where `containerConcurrency` is 0."""
    requests_per_second_target_default: _Float = 200.0
    """Target requests per second of a pod where the metric is `rps`; at least 0.01."""
    target_burst_capacity: _Float = 211.0
    """Spare capacity, in requests, below which the activator stays in the path; 0: never in the path of ready pods, -1:
    always in the path."""
    stable_window_s: _Duration = 60.0
    """Length of the stable window; whole seconds, 6s to 1h."""
    panic_window_percentage: _Float = 10.0
    """Length of the panic window as a share of the stable one; 1 to 100."""
    panic_threshold_percentage: _Float = 200.0
    """Desired pods as a percentage of ready pods from which panic begins."""
    max_scale_up_rate: _Float = 1000.0
    """Maximum of desired pods, as a multiple of the ready pods; above 1."""
    max_scale_down_rate: _Float = 2.0
    """Minimum of desired pods: the ready pods divided by this value; above 1."""
    enable_scale_to_zero: _Bool = True
    """Whether a revision may scale to zero."""
    scale_to_zero_grace_period_s: _Duration = 30.0
    """Minimum time of the activator in the path before the last pod is removed; above 0."""
    scale_to_zero_pod_retention_period_s: _Duration = 0.0
    """Minimum time that the last pod is kept after the decision to scale to zero."""
    scale_down_delay_s: _Duration = 0.0
    """Time window whose maximum of desired pods is kept before pods are removed; whole seconds."""
    pod_autoscaler_class: _Text = KPA
    """Default class of autoscaler."""
    activator_capacity: _Float = 100.0
    """Capacity of an activator [requests in flight]; at least 1."""
    initial_scale: _Int = 1
    """Pods of a new revision."""
    allow_zero_initial_scale: _Bool = False
    """Whether a new revision may start with zero pods."""
    min_scale: _Int = 0
    """Default minimum of pods of a revision."""
    max_scale: _Int = 0
    """Default maximum of pods of a revision; 0 for no limit."""
    max_scale_limit: _Int = 0
    """Largest `max-scale` of a revision; 0 for no limit."""


@dataclass(frozen=True, slots=True)
class RevisionSettings:
    """Everything the autoscaler knows of a revision, as numbers.

    `panic_threshold` is a factor (2 for 200 %), `max_scale` 0 for no limit, `activation_scale` 0 for none.
    `aggregation` is `linear` or `weighted-exponential`, `metric` `concurrency` or `rps`.
    """

    class_name: str
    metric: str
    target_value: float
    total_value: float
    target_burst_capacity: float
    stable_window_s: float
    panic_window_s: float
    panic_threshold: float
    max_scale_up_rate: float
    max_scale_down_rate: float
    enable_scale_to_zero: bool
    scale_to_zero_grace_s: float
    pod_retention_s: float
    scale_down_delay_s: float
    activator_capacity: float
    initial_scale: int
    activation_scale: int
    min_scale: int
    max_scale: int
    aggregation: str
    progress_deadline_s: float
    reachable: bool


def text_of(value: object) -> str:
    """A scalar of a YAML file as the text that a ConfigMap or an annotation would hold.

    Raises:
        ValueError: A list, a mapping or nothing.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return format_float(value) if math.isfinite(value) else str(value)
    raise ValueError(f"is {show(value)} (must be text)")


# --- config-autoscaler ------------------------------------------------------------------------------------------------


def _g(value: float) -> str:
    return f"{value:.6g}"


class _Range(NamedTuple):
    """Numbers that Knative takes, or seconds; comparisons are written so that a NaN passes where it passes in Knative.

    Attributes:
        above: Whether `least` itself is refused.
        more: What is said behind the bounds.
        unless: A number that is taken although it is not in the range.
        whole: Whether seconds must be whole ones.
    """

    least: float
    most: float = math.inf
    above: bool = False
    more: str = ""
    unless: float = math.nan
    is_time: bool = False
    whole: bool = False

    def fault(self, value: float, written: str = "") -> str:
        """What is wrong with a value, which is shown as it was written; empty where nothing is."""
        show = duration_text if self.is_time else _g
        written = written or show(value)
        outside = value < self.least or value > self.most or (self.above and value == self.least)
        if outside and value != self.unless:
            bounds = f"{'above' if self.above else 'at least'} {show(self.least)}"
            if self.most < math.inf:
                bounds = f"in [{show(self.least)}, {show(self.most)}]"
            return f"{written} is out of range (must be {bounds}{self.more})"
        return f"{written} is finer than a second (must be whole seconds)" if self.whole and value != int(value) else ""


def reader(parse: Callable[[str], Any], complaint: str) -> Callable[[str], Any]:
    """What parses a text, and complains where it cannot."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except ValueError:
            raise ValueError(f"{text!r} {complaint}") from None

    return read


def _read_seconds(text: str) -> float:
    try:
        return parse_duration(text) / 1e9
    except ValueError:
        hint = f"write {text}s" if text.isdigit() else "write 60s or 1m30s"
        raise ValueError(f"{text!r} is not a duration as Go reads it ({hint})") from None


def _read_fraction(text: str) -> float:
    value: float = _FLOAT(text)
    return value / 100.0 if value > 1.0 else value


_FLOAT = reader(parse_float, "is not a number as Go reads it (write 1, 0.7 or 1e3)")
_INT32 = reader(partial(parse_int, bits=32), "is not a whole number that fits 32 bits")
_BOOL = reader(parse_bool, "is not a boolean as Go reads it (write true or false)")
_OF_TYPE: dict[Any, Callable[[str], Any]] = {float: _FLOAT, int: _INT32, bool: _BOOL, str: str.strip}
_ATTRIBUTE = {str(field.alias): name for name, field in AutoscalerConfig.model_fields.items()}
_READERS = {
    key: _read_seconds if name.endswith("_s") else _OF_TYPE[AutoscalerConfig.model_fields[name].annotation]
    for key, name in _ATTRIBUTE.items()
} | {"container-concurrency-target-percentage": _read_fraction}
CONFIG_KEYS: tuple[str, ...] = tuple(_READERS)
"""The keys of `config-autoscaler` that Knative reads."""


_BURST = _Range(0, unless=-1, more=", or -1 for no limit")
_TARGET = _Range(targets.TARGET_MIN)
_WINDOW = _Range(6, 3600, is_time=True, whole=True)
_CONFIG_RANGES = {
    "requests-per-second-target-default": _TARGET,
    "target-burst-capacity": _BURST,
    "max-scale-up-rate": _Range(1, above=True),
    "max-scale-down-rate": _Range(1, above=True),
    "activator-capacity": _Range(1),
    "panic-window-percentage": _Range(1, 100),
    "stable-window": _WINDOW,
    "scale-to-zero-grace-period": _Range(0, above=True, is_time=True),
    "scale-to-zero-pod-retention-period": _Range(0, is_time=True),
    "scale-down-delay": _Range(0, is_time=True, whole=True),
    **dict.fromkeys(("initial-scale", "max-scale-limit", "max-scale", "min-scale"), _Range(0)),
}
_LONGER = "; config-autoscaler takes longer ones, for the whole cluster"
_ANNOTATIONS: dict[str, tuple[Callable[[str], Any], _Range]] = {
    "min-scale": (_INT32, _Range(0)),
    "max-scale": (_INT32, _Range(0)),
    "activation-scale": (_INT32, _Range(2)),
    "panic-window-percentage": (_FLOAT, _Range(1, 100)),
    "panic-threshold-percentage": (_FLOAT, _Range(110, 1000)),
    "target-utilization-percentage": (_FLOAT, _Range(1, 100)),
    "target": (_FLOAT, _TARGET),
    "target-burst-capacity": (_FLOAT, _BURST),
    "window": (_read_seconds, _WINDOW),
    "scale-to-zero-pod-retention-period": (_read_seconds, _Range(0, 3600, is_time=True, more=_LONGER)),
    "scale-down-delay": (_read_seconds, _Range(0, 3600, is_time=True, whole=True, more=_LONGER)),
    "initial-scale": (reader(parse_int, "is not a whole number"), _Range(0)),
}
"""Annotations that are numbers or times: how they are read, and what is taken."""


def parse_config(
    data: Mapping[str, Any],
    *,
    path: str | Path = "config-autoscaler",
    lines: Lines | None = None,
    prefix: Place = (),
    strict: bool = False,
) -> AutoscalerConfig:
    """Read the data of the ConfigMap `config-autoscaler`; keys that are missing take Knative's defaults.

    ``path``, ``lines`` and ``prefix`` say in messages where the data stand. ``strict`` refuses keys that Knative
    ignores, all of them but `_example`.

    Raises:
        ExperimentError: What Knative would refuse the ConfigMap for; all of it, where Knative reports the first.
    """
    config = AutoscalerConfig.model_construct

    def faults(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        return _config_faults(config(**_attributes(values)), data.keys() & _READERS - values.keys())

    values = read_data(data, _READERS, faults, path=path, lines=lines, prefix=prefix, strict=strict)
    return config(**_attributes(values))


def _attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_ATTRIBUTE[key]: value for key, value in values.items()}


def read_data(
    data: Mapping[str, Any],
    readers: Mapping[str, Callable[[str], Any]],
    faults: Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]],
    *,
    path: str | Path,
    lines: Lines | None,
    prefix: Place,
    strict: bool,
) -> dict[str, Any]:
    """The values of a ConfigMap by their keys, each as its reader makes it of a text; ``faults`` says which are wrong.

    Raises:
        ExperimentError: Values that cannot be read or are wrong; where ``strict``, keys that have no reader.
    """
    values: dict[str, Any] = {}
    found: list[tuple[str, str]] = []
    for key, value in data.items():
        if key in readers:
            try:
                values[key] = readers[key](text_of(value))
            except ValueError as err:
                found.append((key, str(err)))
        elif strict and key != "_example":
            found.append((key, unknown("key", key, readers)))
    found += faults(values)
    if found:
        order = {key: number for number, key in enumerate(data)}
        found.sort(key=lambda one: order.get(one[0], len(order)))
        raise ExperimentError(path, [problem_at((*prefix, key), message, lines) for key, message in found])
    return values


def _config_faults(c: AutoscalerConfig, unread: Set[str]) -> Iterable[tuple[str, str]]:
    """Bounds that a ConfigMap breaks.

    Source:
        knative/serving@98e5ef9, pkg/autoscaler/config/config.go, ``validate``
    """
    for key, bounds in _CONFIG_RANGES.items():
        if message := bounds.fault(getattr(c, _ATTRIBUTE[key])):
            yield key, message
    fraction, default = c.container_concurrency_target_fraction, c.container_concurrency_target_default
    if fraction <= 0 or fraction > 1:
        message = f"{format_float(fraction * 100)} % is out of range (must be in (0, 100], or a fraction in (0, 1])"
        yield "container-concurrency-target-percentage", message
    elif fraction * default < targets.TARGET_MIN and not unread & {
        "container-concurrency-target-percentage", "container-concurrency-target-default"
    }:  # fmt: skip
        yield (
            "container-concurrency-target-default",
            f"{_g(default)} at {format_float(fraction * 100)} % aims at {_g(fraction * default)} requests per pod "
            "(must be at least 0.01)",
        )
    if c.initial_scale == 0 and not c.allow_zero_initial_scale:
        yield "initial-scale", "0 needs allow-zero-initial-scale: true (or at least 1)"
    if c.max_scale_limit > 0 and c.max_scale >= 0 and not 1 <= c.max_scale <= c.max_scale_limit:
        yield "max-scale", f"{c.max_scale} is out of range (must be in [1, {c.max_scale_limit}], the max-scale-limit)"
    if 0 < c.max_scale < c.min_scale:
        yield "min-scale", f"{c.min_scale} is above max-scale = {c.max_scale}"


# --- annotations ------------------------------------------------------------------------------------------------------


def find_annotation(annotations: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """Key and text of an annotation by its short name, in whichever spelling is present; kebab-case wins."""
    for key in SPELLINGS[name]:
        if key in annotations:
            return key, annotations[key]
    return None


def annotation_key(annotations: Mapping[str, str], name: str) -> str:
    """The full key of a template annotation, in its author's own spelling.

    An annotation that is absent is spelt as the others are: `minScale` beside `maxScale`, `min-scale` otherwise. The
    name may be short, in any spelling, or a full key, which is taken as it is where it is not an autoscaling one.

    Raises:
        ValueError: A short name that Knative does not know; the message suggests one.
    """
    short = name.removeprefix(PREFIX)
    spellings = next((keys for keys in SPELLINGS.values() if PREFIX + short in keys), None)
    if spellings is None:
        if "/" in name:
            return name
        raise ValueError(f"unknown annotation ({suggestion(name, SPELLINGS) or 'write its full key'})")
    for key in spellings:
        if key in annotations:
            return key
    kebab = {keys[0] for keys in SPELLINGS.values() if len(keys) > 1} & set(annotations)
    camel = {keys[-1] for keys in SPELLINGS.values() if len(keys) > 1} & set(annotations)
    return spellings[-1] if camel and not kebab else spellings[0]


def validate_annotations(annotations: Mapping[str, str], config: AutoscalerConfig) -> list[Problem]:
    """What Knative's webhook refuses in the annotations of a revision template; `place` is the annotation.

    Source:
        knative/serving@98e5ef9, pkg/apis/autoscaling/annotation_validation.go
    """
    faults = (*_value_faults(annotations), *_scale_faults(annotations, config), *_word_faults(annotations, config))
    return [Problem(key, message) for key, message in faults]


def _value(
    annotations: Mapping[str, str], name: str, default: Any = None, read: Callable[[str], Any] | None = None
) -> Any:
    """What an annotation says; the default where it is absent or cannot be read."""
    found = find_annotation(annotations, name)
    try:
        return default if found is None else (read or _ANNOTATIONS[name][0])(found[1])
    except ValueError:
        return default


def _value_faults(annotations: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Numbers and times that cannot be read, or that are out of range."""
    for name, (read, bounds) in _ANNOTATIONS.items():
        found = find_annotation(annotations, name)
        if found is None:
            continue
        key, text = found
        try:
            value = read(text)
        except ValueError as err:
            yield key, str(err)
            continue
        if name == "target-utilization-percentage" and 0.01 <= value < 1:
            bounds = bounds._replace(more=f"; {_g(value * 100)} for {_g(value * 100)} %")  # noqa: PLW2901
        if message := bounds.fault(value, text):
            yield key, message


def _scale_faults(annotations: Mapping[str, str], config: AutoscalerConfig) -> Iterable[tuple[str, str]]:
    """Numbers of pods that are wrong beside each other, or in this cluster."""
    least, most = (max(_value(annotations, name, 0), 0) for name in ("min-scale", "max-scale"))
    limit, found = config.max_scale_limit, find_annotation(annotations, "max-scale")
    if found and 0 < most < least:
        yield found[0], f"max-scale = {most} is less than min-scale = {least}"
    if found and limit and most > limit:
        yield found[0], f"{most} is out of range (must be in [1, {limit}], the cluster's max-scale-limit)"
    elif found and limit and most == 0:
        yield found[0], f"0 means no limit, which max-scale-limit forbids (must be in [1, {limit}])"
    found, activation = find_annotation(annotations, "activation-scale"), _value(annotations, "activation-scale")
    if found and activation is not None and activation < least:
        yield found[0], f"activation-scale = {activation} is less than min-scale = {least}"
    elif found and activation is not None and 0 < most < activation:
        yield found[0], f"activation-scale = {activation} is greater than max-scale = {most}"
    found = find_annotation(annotations, "initial-scale")
    if found and _value(annotations, "initial-scale") == 0 and not config.allow_zero_initial_scale:
        way = "set allow-zero-initial-scale: true in config-autoscaler, or at least 1"
        yield found[0], f"0 is not allowed by this cluster ({way})"


def _word_faults(annotations: Mapping[str, str], config: AutoscalerConfig) -> Iterable[tuple[str, str]]:
    given = annotations.get(SPELLINGS["class"][0])
    if given and given.endswith(".knative.dev") and given not in {KPA, HPA}:
        yield SPELLINGS["class"][0], f"{given!r} is not known (must be {KPA} or {HPA})"
    class_name = config.pod_autoscaler_class if given is None else given
    found = find_annotation(annotations, "metric")
    if found:
        key, metric = found
        if class_name == KPA and metric not in {"concurrency", "rps"}:
            other = f"; {metric} needs the annotation class: {HPA}" if metric in {"cpu", "memory"} else ""
            yield key, f"{metric!r} is not a metric of this autoscaler (must be concurrency or rps{other})"
        elif class_name == HPA and not metric:
            yield key, "'' is not a metric (name one, such as cpu)"
    found = find_annotation(annotations, "metric-aggregation-algorithm")
    # Knative checks the algorithm only where the class is written out.
    if found and given == KPA and found[1] not in _ALGORITHMS:
        yield found[0], f"{found[1]!r} is not known (must be linear or weighted-exponential)"


_ALGORITHMS = {
    "": "linear",
    "linear": "linear",
    "weighted-exponential": "weighted-exponential",
    "weightedExponential": "weighted-exponential",
}


# --- resolution -------------------------------------------------------------------------------------------------------


def resolve(
    annotations: Mapping[str, str],
    config: AutoscalerConfig,
    container_concurrency: int,
    *,
    reachability: Literal["", "Reachable", "Unreachable"] = "",
    progress_deadline_s: float = 600.0,
) -> RevisionSettings:
    """Settings of a revision: its annotations over the cluster's configuration.

    Annotations that do not parse count as absent, as they do in Knative once a webhook has let them through. A
    reachability that is unknown counts as reachable; an annotation overrides the cluster's progress deadline.

    Source:
        knative/serving@98e5ef9, pkg/apis/autoscaling/v1alpha1/pa_lifecycle.go,
        pkg/reconciler/autoscaling/kpa/resources/decider.go, pkg/reconciler/autoscaling/resources/metric.go
    """
    value = partial(_value, annotations)
    class_name = annotations.get(SPELLINGS["class"][0], KPA)
    metric = annotations.get(SPELLINGS["metric"][0], {KPA: "concurrency", HPA: "cpu"}.get(class_name, ""))
    total = targets.total_value(
        metric,
        container_concurrency,
        value("target"),
        config.container_concurrency_target_default,
        config.requests_per_second_target_default,
    )
    annotated = value("target-utilization-percentage", read=lambda text: _FLOAT(text) / 100)
    share = targets.utilization(metric, annotated, config.container_concurrency_target_fraction)
    stable_window_s = value("window", config.stable_window_s)
    panic_percentage = value("panic-window-percentage", config.panic_window_percentage)
    panic_window_s = math.nan
    if math.isfinite(panic_percentage):
        panic_window_s = targets.panic_window_ns(round(stable_window_s * 1e9), panic_percentage) / 1e9
    initial = value("initial-scale", read=_INT32)
    reachable = reachability != "Unreachable"
    algorithm = find_annotation(annotations, "metric-aggregation-algorithm")
    return RevisionSettings(
        class_name=class_name,
        metric=metric,
        target_value=targets.target_value(total, share),
        total_value=total,
        target_burst_capacity=value("target-burst-capacity", config.target_burst_capacity),
        stable_window_s=stable_window_s,
        panic_window_s=panic_window_s,
        panic_threshold=value("panic-threshold-percentage", config.panic_threshold_percentage) / 100.0,
        max_scale_up_rate=config.max_scale_up_rate,
        max_scale_down_rate=config.max_scale_down_rate,
        enable_scale_to_zero=config.enable_scale_to_zero,
        scale_to_zero_grace_s=config.scale_to_zero_grace_period_s,
        pod_retention_s=value("scale-to-zero-pod-retention-period", config.scale_to_zero_pod_retention_period_s)
        if reachable
        else 0.0,
        scale_down_delay_s=value("scale-down-delay", config.scale_down_delay_s),
        activator_capacity=config.activator_capacity,
        initial_scale=targets.initial_scale(config.initial_scale, initial, config.allow_zero_initial_scale),
        activation_scale=value("activation-scale", 0),
        min_scale=value("min-scale", config.min_scale) if reachable else 0,
        max_scale=value("max-scale", config.max_scale),
        aggregation=_ALGORITHMS.get(algorithm[1] if algorithm else "", "linear"),
        progress_deadline_s=_deadline(annotations, progress_deadline_s),
        reachable=reachable,
    )


def _deadline(annotations: Mapping[str, str], default_s: float) -> float:
    try:
        return parse_duration(annotations[PROGRESS_DEADLINE]) / 1e9
    except (KeyError, ValueError):
        return default_s
