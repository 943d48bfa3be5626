"""Settings that people turn: their values now, the values to choose from, and what they mean.

Meaning, type and default of each setting are those of `kpasim explain`, which come from the docstrings of the spec.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from kpasim.spec.experiment import Experiment
from kpasim.spec.goparse import parse_float
from kpasim.spec.keys import Key, keys
from kpasim.spec.quantities import duration_text, seconds
from kpasim.spec.quick import flow
from kpasim.spec.scaling import KINDS
from kpasim.spec.yamlfile import packaged

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
        group: Heading that it stands under.
        value: Value now, as ``--set`` takes it.
        stops: Values to choose from, in order; empty for a setting that is typed.
        label: Its name in Knative, or in the experiment.
        words: What a value is called where its number does not say it.
        meaning: What it means, in a sentence.
        takes: Type, unit and bounds.
        default: What holds where it is not given.
        before: Value of the opened experiment.
    """

    path: str
    group: str
    value: Any
    stops: Stops = ()
    label: str = ""
    words: Mapping[str, str] | None = None
    meaning: str = ""
    takes: str = ""
    default: str = ""
    before: str = ""

    @property
    def changed(self) -> bool:
        """Whether it is not as it was opened."""
        return _size(self.value) != _size(self.before)


_SCALE, _WINDOWS = "Scaling", "Windows and delays"
_NO_LIMIT = {UNLIMITED: "no limit"}
_LOAD, _MODEL, _COST, _RUN = "Load", "Service time and cold start", "GPUs and prices", "Run"
_LENGTHS: Stops = ("5m", "10m", "20m", "30m", "1h", "2h", "3h", "6h", "12h", "24h", "48h", "168h")
_LOADS = ("requests", "concurrency", "rate", "mean", "amplitude", "from", "to", "low", "high", "low-for", "high-for",
          "cv", "size", "every", "duration", "period", "phase", "qps", "think-time", "speed", "timeout")  # fmt: skip
_SCHEDULE = flow({"kind": "schedule", "windows": [{"start": "08:00", "end": "18:00", "replicas": 1}]})
"""A schedule to begin with."""
_AUTOSCALERS: Stops = tuple(_SCHEDULE if kind == "schedule" else kind for kind in KINDS)
_STATES = ("warm", "idled", "zero")
_PLAIN = {
    "cluster.instance-types.": "cluster.instance-types.NAME.price-per-hour",
    "model.cold-start.stages.": "model.cold-start.stages.NAME.time",
    "model.service-time.time": "model.service-time.time",
    "start.state": "start",
}
"""Beginnings of paths, and the paths that `kpasim explain` has for them."""

SHAPES: Mapping[str, str] = packaged("loads.toml")
"""A load of each kind to begin with."""


def knobs(now: Experiment, before: Experiment) -> list[Knob]:
    """The settings of an experiment, with the values that they had in the opened one."""
    opened = {one.path: str(one.value) for one in _knobs(before, before)}
    return [replace(one, before=opened.get(one.path, "")) for one in _knobs(now, before)]


def _knobs(experiment: Experiment, before: Experiment) -> Iterator[Knob]:
    for knob in _dials(experiment, before):
        # What is written counts, even where another setting caps it; else what follows from the defaults.
        written = experiment.setting(knob.path) if knob.path.startswith("service.") else None
        value = _text(knob.value if written is None else written)
        if value:
            known = _explained(knob.path, experiment)
            yield replace(
                knob,
                value=value,
                stops=with_stop(knob.stops, value) if knob.stops else (),
                label=knob.label or knob.path.rpartition(".")[2],
                meaning=knob.meaning or known.meaning.replace("`", ""),
                takes=known.takes.replace("`", ""),
                default=known.default,
            )


def _text(value: Any) -> str:
    """A value as ``--set`` takes it; empty for none."""
    return "" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


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


def _dials(experiment: Experiment, before: Experiment) -> Iterator[Knob]:
    yield from _service(experiment)
    kind = experiment.scaling.kind
    # A schedule is nothing without its windows: its value is the whole mapping.
    autoscaler = flow(experiment.raw["autoscaler"]) if kind == "schedule" else kind
    words = {autoscaler: kind, _SCHEDULE: "schedule: one pod from 8:00 to 18:00"}
    yield Knob("autoscaler", _SCALE, autoscaler, _AUTOSCALERS, words=words)
    yield from _autoscaler_settings(experiment)
    yield from _load(experiment, before)
    yield from _model(experiment, before)
    yield from _cost(experiment, before)
    yield Knob("start.state", _RUN, experiment.start.state, _STATES, "start")
    for path in ("horizon", "repeat"):
        yield Knob(path, _RUN, experiment.setting(path), _around(path, before, duration=True))
    runs = ("10", "20", "40", "100", "200", "500", "1000", "2000")
    yield Knob("replications", _RUN, experiment.replications, runs)
    yield Knob("seed", _RUN, experiment.seed, ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10"))


def _service(experiment: Experiment) -> Iterator[Knob]:
    """Settings of the Service and of Knative's autoscaler."""
    one = experiment.revision
    yield Knob("service.containerConcurrency", _SCALE, experiment.service.container_concurrency,
                (*COUNTS, UNLIMITED), words=_NO_LIMIT)  # fmt: skip
    for name, group, value, stops, words in (
        ("target-utilization-percentage", _SCALE, _percent(one.target_value / one.total_value), SHARES, None),
        ("target", _SCALE, one.total_value, ("0.5", *COUNTS, "200"), None),
        ("min-scale", _SCALE, one.min_scale, ("0", *COUNTS), None),
        ("max-scale", _SCALE, one.max_scale, (*COUNTS, UNLIMITED), _NO_LIMIT),
        ("initial-scale", _SCALE, one.initial_scale, COUNTS, None),
        ("target-burst-capacity", _SCALE, one.target_burst_capacity,
         ("0", *COUNTS, "200", "211", "500", "1000", "-1"), {"-1": "no limit"}),
        ("window", _WINDOWS, duration_text(one.stable_window_s), WINDOWS, None),
        ("panic-window-percentage", _WINDOWS, _percent(one.panic_window_s / one.stable_window_s),
         ("1", "5", "10", "15", "20", "30", "40", "50", "75", "100"), None),
        ("panic-threshold-percentage", _WINDOWS, _percent(one.panic_threshold),
         ("110", "125", "150", "175", "200", "250", "300", "400", "500", "700", "1000"), None),
        ("scale-down-delay", _WINDOWS, duration_text(one.scale_down_delay_s), SHORT, None),
        ("scale-to-zero-pod-retention-period", _WINDOWS, duration_text(one.pod_retention_s), SHORT, None),
    ):  # fmt: skip
        yield Knob(f"service.annotations.{name}", group, value, stops, words=words)
    yield Knob("config-autoscaler.scale-to-zero-grace-period", _WINDOWS, duration_text(one.scale_to_zero_grace_s),
                ("6s", "10s", "15s", "30s", "1m", "2m", "5m", "10m"))  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.6g}"


def _autoscaler_settings(experiment: Experiment) -> Iterator[Knob]:
    """Settings of an autoscaler of the experiment's own that have a value."""
    given = experiment.autoscaler
    for field, about in type(given).model_fields.items() if given is not None else ():
        value, path = getattr(given, field), f"autoscaler.{_key(field, about)}"
        if field == "kind" or value is None:
            continue
        stops: Stops = ()
        if field.endswith("_s"):
            value, stops = duration_text(value), _factors(about.default or 60.0, duration=True)
        elif isinstance(value, str):
            stops = tuple(map(str, get_args(about.annotation)))
        elif isinstance(value, int):
            stops = ("0", *COUNTS)
        elif isinstance(value, float):
            stops = _factors(about.default or 1.0)
        elif (written := experiment.setting(path)) is None or len(value := flow(written)) > MOST_TYPED:
            continue
        yield Knob(path, _SCALE, value, stops, path.removeprefix("autoscaler."))


def _load(experiment: Experiment, before: Experiment) -> Iterator[Knob]:
    fields = {_key(key, one): key for key, one in type(experiment.workload).model_fields.items()}
    for name in _LOADS:
        path = f"workload.{name}"
        value = getattr(experiment.workload, fields[name]) if name in fields else None
        if value is None or (name in {"qps", "think-time", "phase", "speed"} and experiment.setting(path) is None):
            continue
        is_time = fields[name].endswith("_s")
        stops = _LENGTHS if name == "duration" else _around(path, before, duration=is_time)
        if name == "requests":
            stops = tuple(dict.fromkeys(str(max(1, round(float(one)))) for one in stops))
        elif name in {"concurrency", "size"}:
            stops = COUNTS
        elif name == "amplitude":
            value, stops = f"{_percent(value)}%", tuple(f"{percent}%" for percent in range(0, 101, 10))
        elif isinstance(value, float):
            value = duration_text(value) if is_time else f"{value:.6g}"
        yield Knob(path, _LOAD, value, stops)


def _model(experiment: Experiment, before: Experiment) -> Iterator[Knob]:
    model = experiment.raw.get("model") or {}
    times = [("model.service-time.time", (model.get("service-time") or {}).get("time"), "service time",
              "Service time of a request that has a GPU to itself.")]  # fmt: skip
    for stage in (model.get("cold-start") or {}).get("stages") or ():
        if isinstance(stage, Mapping) and "name" in stage:
            meaning = f"Duration of the cold-start stage {stage['name']} (kind {stage.get('kind', 'start')})."
            path, label = f"model.cold-start.stages.{stage['name']}.time", f"cold start: {stage['name']}"
            times.append((path, stage.get("time"), label, meaning))
    for path, time, label, meaning in times:
        # Of a distribution the number that moves it as a whole.
        key = next((one for one in _CENTRES if time.get(one) is not None), None) if isinstance(time, Mapping) else ""
        if key is None:
            if len(text := flow(time)) <= MOST_TYPED:
                yield Knob(path, _MODEL, text, (), label, meaning=meaning)
        elif time is not None:
            own = f"{path}.{key}".rstrip(".")
            named = label if key in {"", "time"} else f"{label}, {key}"
            stops = _around(own, before, duration=True)
            yield Knob(own, _MODEL, experiment.setting(own), stops, named, meaning=meaning)
    if (slots := experiment.model.service_time.slots) is not None:
        yield Knob("model.service-time.slots", _MODEL, slots, (*COUNTS, UNLIMITED), words=_NO_LIMIT)


def _cost(experiment: Experiment, before: Experiment) -> Iterator[Knob]:
    yield Knob("cluster.gpus-per-pod", _COST, experiment.gpus_per_pod, tuple(str(n) for n in range(9)))
    if (nodes := experiment.cluster.nodes) is not None:
        for name, count in (("count", nodes.count), ("max", nodes.max), ("gpus-per-node", nodes.gpus_per_node)):
            yield Knob(f"cluster.nodes.{name}", _COST, count, ("0", *COUNTS), f"nodes: {name}")
    for one in experiment.cluster.instance_types:
        if one.price_per_hour is not None:
            path = f"cluster.instance-types.{one.name}.price-per-hour"
            meaning = f"Price of an hour of {one.name} [{one.currency}]."
            yield Knob(path, _COST, experiment.setting(path), _around(path, before), f"price: {one.name}",
                        meaning=meaning)  # fmt: skip


def _around(path: str, before: Experiment, *, duration: bool = False) -> Stops:
    """Values around that of the opened experiment."""
    try:
        size = _size(str(before.setting(path)))
    except Exception:  # another kind of load or stage was opened
        size = ""
    return _factors(size if isinstance(size, float) and size > 0 else 60.0 if duration else 1.0, duration=duration)


def _factors(centre: float, *, duration: bool = False) -> Stops:
    """Values around one."""
    numbers = (float(f"{factor * centre:.{DIGITS}g}") for factor in FACTORS)
    return tuple(dict.fromkeys(duration_text(one) if duration else f"{one:.6g}" for one in numbers))


def _key(name: str, field: Any) -> str:
    return str(field.alias or name.removesuffix("_s").replace("_", "-"))


def _explained(path: str, experiment: Experiment) -> Key:
    """What `kpasim explain` says of a path, with the names of list members left out."""
    found = {(one.path, one.of): one for one in keys()}
    plain = next((plain for begin, plain in _PLAIN.items() if path.startswith(begin)), path)
    kind = getattr(experiment.workload, "kind", "")
    kind = "diurnal" if kind == "sinusoid" else kind
    return found.get((plain, "")) or found.get((plain, kind)) or found.get((plain, experiment.scaling.kind)) or next(
        (one for one in keys() if one.path == plain), Key(plain, "", "", "none")
    )  # fmt: skip
