"""Settings that people turn: their values now, the values to choose from, and what they mean.

Meaning, type and default of each setting are those of `kpasim explain`, which come from the docstrings of the spec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from kpasim.spec.experiment import Experiment
from kpasim.spec.goparse import parse_float
from kpasim.spec.keys import Key, keys
from kpasim.spec.quantities import duration_text, seconds
from kpasim.spec.quick import flow
from kpasim.spec.scaling import KINDS

Stops = tuple[str, ...]

UNLIMITED = "0"
COUNTS: Stops = ("1", "2", "3", "4", "5", "6", "7", "8", "10", "12", "16", "20", "30", "50", "100")
SHARES: Stops = tuple(str(percent) for percent in range(10, 101, 5))
SHORT: Stops = ("0s", "15s", "30s", "1m", "2m", "3m", "5m", "10m", "15m", "20m", "30m", "45m", "1h")
WINDOWS: Stops = ("6s", "10s", "15s", "20s", "30s", "45s", "1m", "90s", "2m", "3m", "5m", "10m", "15m", "30m", "1h")
FACTORS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0)
"""Values of a setting without usual ones, relative to that of the opened experiment."""
DIGITS = 3
MOST_TYPED = 1_000
"""Characters of a value that is typed."""

_CENTRES = ("median", "mean", "time", "scale")
"""Keys of a distribution that move it as a whole."""


@dataclass(frozen=True)
class Knob:
    """A setting on the page.

    Attributes:
        path: As ``--set`` takes it.
        label: Its name in Knative, or in the experiment.
        group: Heading that it stands under.
        meaning: What it means, in a sentence.
        takes: Type, unit and bounds.
        default: What holds where it is not given.
        value: Value now, as ``--set`` takes it.
        before: Value of the opened experiment.
        stops: Values to choose from, in order; empty for a setting that is typed.
        words: What a value is called where its number does not say it.
    """

    path: str
    label: str
    group: str
    meaning: str
    takes: str
    default: str
    value: str
    before: str
    stops: Stops = ()
    words: Mapping[str, str] | None = None

    @property
    def changed(self) -> bool:
        """Whether it is not as it was opened."""
        return _size(self.value) != _size(self.before)


@dataclass(frozen=True)
class _Dial:
    """What a knob is made of."""

    path: str
    group: str
    value: Callable[[Experiment], Any]
    stops: Stops | Callable[[Experiment], Stops] = ()
    label: str = ""
    words: Mapping[str, str] | Callable[[Experiment], Mapping[str, str]] | None = None
    meaning: str = ""


def _annotation(name: str, value: Callable[[Experiment], Any], stops: Stops, group: str, **more: Any) -> _Dial:
    return _Dial(f"service.annotations.{name}", group, value, stops, **more)


def _duration(name: str) -> Callable[[Experiment], str]:
    return lambda experiment: duration_text(getattr(experiment.revision, name))


def _percent(name: str) -> Callable[[Experiment], str]:
    return lambda experiment: f"{100 * getattr(experiment.revision, name):.6g}"


def _utilisation(experiment: Experiment) -> str:
    revision = experiment.revision
    return f"{100 * revision.target_value / revision.total_value:.6g}"


def _number(name: str) -> Callable[[Experiment], str]:
    return lambda experiment: f"{getattr(experiment.revision, name):.12g}"


_SCALE, _WINDOWS = "Scaling", "Windows and delays"
_NO_LIMIT = {UNLIMITED: "no limit"}
_SERVICE = (
    _Dial("service.containerConcurrency", _SCALE, lambda one: str(one.service.container_concurrency),
          (*COUNTS, UNLIMITED), words=_NO_LIMIT),
    _annotation("target-utilization-percentage", _utilisation, SHARES, _SCALE),
    _annotation("target", _number("total_value"), ("0.5", *COUNTS, "200"), _SCALE),
    _annotation("min-scale", _number("min_scale"), ("0", *COUNTS), _SCALE),
    _annotation("max-scale", _number("max_scale"), (*COUNTS, UNLIMITED), _SCALE, words=_NO_LIMIT),
    _annotation("initial-scale", _number("initial_scale"), COUNTS, _SCALE),
    _annotation("target-burst-capacity", _number("target_burst_capacity"),
                ("0", *COUNTS, "200", "211", "500", "1000", "-1"), _SCALE, words={"-1": "no limit"}),
    _annotation("window", _duration("stable_window_s"), WINDOWS, _WINDOWS),
    _annotation("panic-window-percentage",
                lambda one: f"{100 * one.revision.panic_window_s / one.revision.stable_window_s:.6g}",
                ("1", "5", "10", "15", "20", "30", "40", "50", "75", "100"), _WINDOWS),
    _annotation("panic-threshold-percentage", _percent("panic_threshold"),
                ("110", "125", "150", "175", "200", "250", "300", "400", "500", "700", "1000"), _WINDOWS),
    _annotation("scale-down-delay", _duration("scale_down_delay_s"), SHORT, _WINDOWS),
    _annotation("scale-to-zero-pod-retention-period", _duration("pod_retention_s"), SHORT, _WINDOWS),
    _Dial("config-autoscaler.scale-to-zero-grace-period", _WINDOWS, _duration("scale_to_zero_grace_s"),
          ("6s", "10s", "15s", "30s", "1m", "2m", "5m", "10m")),
)  # fmt: skip

_LOAD, _MODEL, _COST, _RUN = "Load", "Service time and cold start", "GPUs and prices", "Run"
_LENGTHS: Stops = ("5m", "10m", "20m", "30m", "1h", "2h", "3h", "6h", "12h", "24h", "48h", "168h")
_LOADS = ("requests", "concurrency", "rate", "mean", "amplitude", "from", "to", "low", "high", "low-for", "high-for",
          "cv", "size", "every", "duration", "period", "phase", "qps", "think-time", "speed", "timeout")  # fmt: skip
_SCHEDULE = flow({"kind": "schedule", "windows": [{"start": "08:00", "end": "18:00", "replicas": 1}]})
"""A schedule to begin with."""
_AUTOSCALERS: Stops = tuple(_SCHEDULE if kind == "schedule" else kind for kind in KINDS)
_STATES = ("warm", "idled", "zero")

SHAPES: Mapping[str, str] = {
    "hey": "{kind: hey, requests: 50, concurrency: 5, timeout: 180s}",
    "constant": "{kind: constant, rate: 0.5, duration: 30m}",
    "poisson": "{kind: poisson, rate: 0.5, duration: 30m}",
    "ramp": "{kind: ramp, from: 0.1, to: 1, duration: 30m}",
    "diurnal": "{kind: diurnal, mean: 0.15, amplitude: 90%, period: 24h, duration: 24h}",
    "bursts": "{kind: bursts, low: 0.02, high: 1, low-for: 20m, high-for: 2m, duration: 2h}",
    "gamma": "{kind: gamma, rate: 0.5, cv: 3, duration: 30m}",
    "batches": "{kind: batches, size: 10, every: 10m, duration: 1h}",
}
"""A load of each kind to begin with."""


def knobs(now: Experiment, before: Experiment) -> list[Knob]:
    """The settings of an experiment, with the values that they had in the opened one."""
    opened = {one.path: one for one in _knobs(before)}
    return [
        replace(one, before=opened[one.path].value) if one.path in opened else replace(one, before="")
        for one in _knobs(now, before)
    ]


def _knobs(experiment: Experiment, before: Experiment | None = None) -> Iterator[Knob]:
    for dial in _dials(experiment):
        # What is written counts, even where another setting caps it; else what follows from the defaults.
        value = _written(experiment.setting(dial.path)) if dial.path.startswith("service.") else None
        value = dial.value(experiment) if value is None else value
        if value is None:
            continue
        stops = dial.stops(before or experiment) if callable(dial.stops) else dial.stops
        text = str(value)
        known = _explained(dial.path, experiment)
        yield Knob(
            dial.path,
            dial.label or dial.path.rpartition(".")[2],
            dial.group,
            dial.meaning or known.meaning.replace("`", ""),
            known.takes.replace("`", ""),
            known.default,
            text,
            text,
            with_stop(stops, text) if stops else (),
            dial.words(experiment) if callable(dial.words) else dial.words,
        )


def with_stop(stops: Stops, value: str) -> Stops:
    """The stops with a value among them, in its place."""
    sizes = [_size(one) for one in stops]
    size = _size(value)
    if size in sizes:
        return tuple(value if one == size else stop for stop, one in zip(stops, sizes, strict=True))
    ordered = [one for one in sizes if isinstance(one, float)]
    if not isinstance(size, float) or len(ordered) < len(sizes):
        return (*stops, value)
    # What has no limit stands last, whatever its number.
    rising = len(ordered) - (len(ordered) > 1 and ordered[-1] < ordered[-2])
    place = sum(one < size for one in ordered[:rising])
    return (*stops[:place], value, *stops[place:])


def _size(text: str) -> float | str:
    """A value by its size, whatever its spelling."""
    for read in (parse_float, seconds):
        try:
            return float(read(text))
        except ValueError:
            continue
    return text


def _dials(experiment: Experiment) -> Iterable[_Dial]:
    yield from _SERVICE
    yield _Dial("autoscaler", _SCALE, _autoscaler, _AUTOSCALERS, words=_autoscaler_words)
    yield from _autoscaler_settings(experiment)
    yield from _load(experiment)
    yield from _model(experiment)
    yield from _cost(experiment)
    yield _Dial("start.state", _RUN, lambda one: one.start.state, _STATES, "start")
    for path in ("horizon", "repeat"):
        yield _Dial(path, _RUN, _setting(path), _around(path, duration=True))
    yield _Dial("replications", _RUN, lambda one: one.replications,
                ("10", "20", "40", "100", "200", "500", "1000", "2000"))  # fmt: skip
    yield _Dial("seed", _RUN, lambda one: one.seed, ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10"))


def _autoscaler(experiment: Experiment) -> str:
    """The kind of autoscaler; of a schedule, which is nothing without its windows, the mapping."""
    kind = experiment.scaling.kind
    return flow(experiment.raw["autoscaler"]) if kind == "schedule" else kind


def _autoscaler_words(experiment: Experiment) -> Mapping[str, str]:
    return {_autoscaler(experiment): experiment.scaling.kind, _SCHEDULE: "schedule: one pod from 8:00 to 18:00"}


def _autoscaler_settings(experiment: Experiment) -> Iterator[_Dial]:
    """Settings of an autoscaler of the experiment's own that have a value."""
    given = experiment.autoscaler
    for field, about in type(given).model_fields.items() if given is not None else ():
        value, path = getattr(given, field), f"autoscaler.{_key(field, about)}"
        if field == "kind" or value is None:
            continue
        label = path.removeprefix("autoscaler.")
        if field.endswith("_s"):
            stops = _factors(about.default or 60.0, duration=True)
            yield _Dial(path, _SCALE, _always(duration_text(value)), stops, label)
        elif isinstance(value, str):
            yield _Dial(path, _SCALE, _always(value), tuple(map(str, get_args(about.annotation))), label)
        elif isinstance(value, int):
            yield _Dial(path, _SCALE, _always(str(value)), ("0", *COUNTS), label)
        elif isinstance(value, float):
            yield _Dial(path, _SCALE, _always(f"{value:.12g}"), _factors(about.default or 1.0), label)
        elif (written := experiment.setting(path)) is not None and len(text := flow(written)) <= MOST_TYPED:
            yield _Dial(path, _SCALE, _always(text), (), label)


def _load(experiment: Experiment) -> Iterator[_Dial]:
    for name in _LOADS:
        path = f"workload.{name}"
        field = next((key for key, one in type(experiment.workload).model_fields.items() if _key(key, one) == name), "")
        if not field:
            continue
        given = getattr(experiment.workload, field)
        if given is None or (name in {"qps", "think-time", "phase", "speed"} and experiment.setting(path) is None):
            continue
        if name == "duration":
            yield _Dial(path, _LOAD, _loaded(field, duration_text), _LENGTHS)
        elif field.endswith("_s"):
            yield _Dial(path, _LOAD, _loaded(field, duration_text), _around(path, duration=True))
        elif name in {"requests", "concurrency", "size"}:
            yield _Dial(path, _LOAD, _loaded(field, str), COUNTS if name != "requests" else _whole(path))
        elif name == "amplitude":
            stops = tuple(f"{percent}%" for percent in range(0, 101, 10))
            yield _Dial(path, _LOAD, _loaded(field, lambda share: f"{100 * share:.6g}%"), stops)
        else:
            yield _Dial(path, _LOAD, _loaded(field, lambda number: f"{number:.6g}"), _around(path))


def _model(experiment: Experiment) -> Iterator[_Dial]:
    model = experiment.raw.get("model") or {}
    time = (model.get("service-time") or {}).get("time")
    yield from _time("model.service-time.time", time, "service time", "Service time of a request that has a GPU to "
                     "itself.")  # fmt: skip
    for stage in (model.get("cold-start") or {}).get("stages") or ():
        if isinstance(stage, Mapping) and "name" in stage:
            path = f"model.cold-start.stages.{stage['name']}.time"
            meaning = f"Duration of the cold-start stage {stage['name']} (kind {stage.get('kind', 'start')})."
            yield from _time(path, stage.get("time"), f"cold start: {stage['name']}", meaning)
    if (slots := experiment.model.service_time.slots) is not None:
        yield _Dial("model.service-time.slots", _MODEL, _always(str(slots)), (*COUNTS, UNLIMITED), words=_NO_LIMIT)


def _time(path: str, given: Any, label: str, meaning: str) -> Iterator[_Dial]:
    """A time, or the number of its distribution that moves it as a whole."""
    if isinstance(given, Mapping):
        key = next((one for one in _CENTRES if given.get(one) is not None), None)
        if key is None:
            if len(text := flow(given)) <= MOST_TYPED:
                yield _Dial(path, _MODEL, _always(text), (), label, meaning=meaning)
            return
        name = "" if key == "time" else f", {key}"
        path = f"{path}.{key}"
    elif given is not None:
        name = ""
    else:
        return
    yield _Dial(path, _MODEL, _setting(path), _around(path, duration=True), f"{label}{name}", meaning=meaning)


def _cost(experiment: Experiment) -> Iterator[_Dial]:
    yield _Dial("cluster.gpus-per-pod", _COST, lambda one: str(one.gpus_per_pod), tuple(str(n) for n in range(9)))
    if experiment.cluster.nodes is not None:
        nodes = experiment.cluster.nodes
        for name, field in (("count", nodes.count), ("max", nodes.max), ("gpus-per-node", nodes.gpus_per_node)):
            if field is not None:
                yield _Dial(f"cluster.nodes.{name}", _COST, _always(str(field)), ("0", *COUNTS), f"nodes: {name}")
    for one in experiment.cluster.instance_types:
        if one.price_per_hour is not None:
            path = f"cluster.instance-types.{one.name}.price-per-hour"
            meaning = f"Price of an hour of {one.name} [{one.currency}]."
            yield _Dial(path, _COST, _setting(path), _around(path), f"price: {one.name}", meaning=meaning)


def _always(text: str) -> Callable[[Experiment], str]:
    return lambda _: text


def _setting(path: str) -> Callable[[Experiment], Any]:
    return lambda experiment: _written(experiment.setting(path))


def _written(value: Any) -> str | None:
    return None if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


def _loaded(field: str, text: Callable[[Any], str]) -> Callable[[Experiment], str]:
    return lambda experiment: text(getattr(experiment.workload, field))


def _around(path: str, *, duration: bool = False) -> Callable[[Experiment], Stops]:
    """Values around that of the opened experiment."""

    def stops(before: Experiment) -> Stops:
        try:
            size = _size(str(before.setting(path)))
        except Exception:  # another kind of load or stage was opened
            size = ""
        return _factors(size if isinstance(size, float) and size > 0 else 60.0 if duration else 1.0, duration=duration)

    return stops


def _factors(centre: float, *, duration: bool = False) -> Stops:
    """Values around one."""
    numbers = (float(f"{factor * centre:.{DIGITS}g}") for factor in FACTORS)
    return tuple(dict.fromkeys(duration_text(one) if duration else f"{one:.6g}" for one in numbers))


def _whole(path: str) -> Callable[[Experiment], Stops]:
    """Whole numbers around that of the opened experiment."""
    inner = _around(path)
    return lambda before: tuple(dict.fromkeys(str(max(1, round(float(one)))) for one in inner(before)))


def _key(name: str, field: Any) -> str:
    return str(field.alias or name.removesuffix("_s").replace("_", "-"))


def _explained(path: str, experiment: Experiment) -> Key:
    """What `kpasim explain` says of a path, with the names of list members left out."""
    found = {(one.path, one.of): one for one in keys()}
    plain = path
    if path.startswith("cluster.instance-types."):
        plain = "cluster.instance-types.NAME.price-per-hour"
    elif path.startswith("model.cold-start.stages."):
        plain = "model.cold-start.stages.NAME.time"
    elif path.startswith("model.service-time.time"):
        plain = "model.service-time.time"
    elif path == "start.state":
        plain = "start"
    kind = getattr(experiment.workload, "kind", "")
    kind = "diurnal" if kind == "sinusoid" else kind
    return found.get((plain, "")) or found.get((plain, kind)) or found.get((plain, experiment.scaling.kind)) or next(
        (one for one in keys() if one.path == plain), Key(plain, "", "", "none")
    )  # fmt: skip
