"""What counts as a change: every settable path of the schema, with nothing left out."""

import copy
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpasim.errors import KpasimError
from kpasim.spec.difference import is_comment
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.spec.keys import Key, keys
from kpasim.spec.quantities import duration_text, seconds
from kpasim.spec.sweep import Sweep
from kpasim.studies.common import same
from kpasim.studies.run import simulate
from kpasim.studies.sweep import Plan
from kpasim.studies.tune import tune
from tests import observing
from tests.services import service

_PREFIX = "autoscaling.knative.dev/"
SERVICE = service(container={"resources": {"limits": {"nvidia.com/gpu": "2"}}})
ANNOTATIONS = {
    "class": "kpa.autoscaling.knative.dev", "metric": "concurrency", "target": "2", "window": "30s",
    "activation-scale": "2", "min-scale": "1", "max-scale": "6", "initial-scale": "3", "scale-down-delay": "10s",
    "scale-to-zero-pod-retention-period": "20s", "metric-aggregation-algorithm": "linear",
    "target-utilization-percentage": "60", "target-burst-capacity": "100", "panic-window-percentage": "20",
    "panic-threshold-percentage": "300",
}  # fmt: skip
CONFIG = {
    "container-concurrency-target-percentage": 0.6, "container-concurrency-target-default": 50,
    "requests-per-second-target-default": 100, "target-burst-capacity": 100, "stable-window": "30s",
    "panic-window-percentage": 20, "panic-threshold-percentage": 300, "max-scale-up-rate": 10,
    "max-scale-down-rate": 3, "enable-scale-to-zero": True, "scale-to-zero-grace-period": "20s",
    "scale-to-zero-pod-retention-period": "20s", "scale-down-delay": "10s",
    "pod-autoscaler-class": "kpa.autoscaling.knative.dev", "activator-capacity": 50, "initial-scale": 2,
    "allow-zero-initial-scale": True, "min-scale": 1, "max-scale": 6, "max-scale-limit": 8,
}  # fmt: skip
_OPEN = {"timeout": "1m", "sessions": {"count": 3, "cookies": True}}
LOADS: dict[str, dict[str, Any]] = {
    "poisson": {**_OPEN, "rate": 0.5, "duration": "1m"},
    "constant": {**_OPEN, "rate": 0.5, "duration": "1m"},
    "hey": {**_OPEN, "requests": 12, "concurrency": 3, "qps": 5.0, "duration": "1m", "think-time": "1s"},
    "gamma": {**_OPEN, "rate": 0.5, "cv": 1.5, "duration": "1m"},
    "steps": {**_OPEN, "phases": [{"rate": 0.5, "duration": "30s"}], "arrivals": "poisson"},
    "ramp": {**_OPEN, "from": 0.1, "to": 1.0, "duration": "1m", "arrivals": "poisson"},
    "diurnal": {**_OPEN, "mean": 0.5, "amplitude": 0.4, "period": "2m", "phase": "10s", "duration": "1m",
                "arrivals": "poisson"},
    "bursts": {**_OPEN, "low": 0.1, "high": 1.0, "low-for": "20s", "high-for": "10s", "duration": "1m"},
    "batches": {**_OPEN, "size": 3, "every": "10s", "arrivals": "constant", "duration": "1m"},
    "replay": {**_OPEN, "file": "trace.csv", "arrival": "arrival", "function": "painter", "service": "service",
               "class": "class", "time-unit": "s", "speed": 2.0, "from": "1s", "duration": "30s", "limit": 20},
    "gentd26": {**_OPEN, "file": "trace.csv", "from": "1s", "duration": "30s", "speed": 2.0},
    "observed": {**_OPEN, "file": "observation", "revision": "painter-00001", "within": "uniform", "from": "1s",
                 "duration": "30s", "speed": 2.0},
}  # fmt: skip
_BEHAVIOR = {
    "scale-up": {"stabilization-window": "10s", "select-policy": "Max", "tolerance": 0.2,
                 "policies": [{"type": "Pods", "value": 4, "period": "20s"}]},
    "scale-down": {"stabilization-window": "20s", "select-policy": "Min", "tolerance": 0.2,
                   "policies": [{"type": "Percent", "value": 50, "period": "20s"}]},
}  # fmt: skip
_HPA = {"behavior": _BEHAVIOR, "tolerance": 0.2, "sync-period": "10s", "downscale-stabilization": "1m",
        "termination-grace-period": "20s", "target": 2.0}  # fmt: skip
_METRIC = {
    "metric": "rps",
    "cpu-when-busy": 0.9,
    "scrape-interval": "10s",
    "metric-window": "30s",
    "adapter-delay": "5s",
}
AUTOSCALERS: dict[str, dict[str, Any]] = {
    "kpa": {},
    "spare": {"pods": 2},
    "schedule": {"timezone": "UTC", "load-starts": "mon 08:00",
                 "windows": [{"days": "mon-fri", "start": "09:00", "end": "17:00", "replicas": 2}]},
    "lookahead": {"quantile": 90, "scale-up-forward": "20s", "history-days": 3},
    "hpa": {**_HPA, **_METRIC, "min-replicas": 1, "max-replicas": 6, "metric-type": "External",
            "target-type": "AverageValue"},
    "keda": {**_HPA, **_METRIC, "min-replica-count": 3, "max-replica-count": 6, "idle-replica-count": 1,
             "polling-interval": "20s", "cooldown-period": "1m", "initial-cooldown-period": "20s",
             "metric-type": "AverageValue", "activation-threshold": 0.2, "query-failure": 0.1,
             "fallback": {"failure-threshold": 2, "replicas": 2, "behavior": "static"}},
    "keda-http": {**_HPA, "object": "InterceptorRoute", "target": 2, "min-replicas": 3, "max-replicas": 6,
                  "idle-replicas": 1, "metric": "concurrency", "window": "1m",
                  "granularity": "1s", "scaledown-period": "1m", "initial-cooldown-period": "20s",
                  "queue-tick": "500ms", "stream-interval": "400ms", "polling-interval": "20s"},
    "ray-serve": {"min-replicas": 1, "initial-replicas": 2, "max-replicas": 6, "target-ongoing-requests": 2.0,
                  "max-ongoing-requests": 3, "upscale-delay": "10s", "downscale-delay": "20s",
                  "downscale-to-zero-delay": "30s", "upscaling-factor": 0.8, "downscaling-factor": 0.8,
                  "look-back-period": "20s", "metrics-interval": "5s", "graceful-shutdown-timeout": "10s"},
}  # fmt: skip
TIMES: list[dict[str, Any]] = [
    {"distribution": "constant", "time": "2s"},
    {"distribution": "uniform", "low": "1s", "high": "30s"},
    {"distribution": "exponential", "mean": "2s"},
    {"distribution": "lognormal", "median": "2s", "sigma": 0.3},
    {"distribution": "lognormal", "mean": "2s", "cv": 0.3},
    {"distribution": "shifted-lognormal", "shift": "1s", "median": "2s", "sigma": 0.3},
    {"distribution": "gamma", "mean": "2s", "cv": 0.3},
    {"distribution": "weibull", "scale": "2s", "shape": 1.5},
    {"distribution": "empirical", "values": ["1s", "2s", "3s"]},
    {"distribution": "empirical", "quantiles": ["1s", "2s", "3s"]},
]
PLACES_OF_TIMES = (
    "model.service-time.time",
    "model.service-time.classes.large.time",
    "model.service-time.first-byte",
    "model.cold-start.stages.load.time",
    "cluster.nodes.provision",
)
WHOLE: dict[str, Any] = {
    "service": SERVICE,
    "config-defaults": {"revision-timeout-seconds": "200", "container-concurrency": "3"},
    "config-deployment": {"progress-deadline": "500s"},
    "config-features": {"kubernetes.podspec-nodeselector": "enabled"},
    "workload": {"kind": "poisson", **LOADS["poisson"]},
    "model": {
        "name": "painting", "description": "a painter", "source": "nowhere", "provisional": True,
        "service-time": {
            "time": "3s", "by": "request", "slots": 2, "slowdown": [1.0, 1.5], "shared-by": "pod",
            "per-instance-type": {"small": 1.2},
            "classes": [{"name": "small", "share": 2.0, "time": "2s"}, {"name": "large", "share": 1.0, "time": "4s"}],
            "first-byte": "500ms", "chunk-interval": "40s",
        },
        "cold-start": {
            "stages": [
                {"name": "machine", "kind": "provision", "time": "5s", "at-a-time": 1},
                {"name": "pull", "kind": "pull", "cached-per-node": True, "time": "3s"},
                {"name": "weights", "kind": "pull", "bandwidth": {"size": "2Gi", "shared-bandwidth": "1Gi"}},
                {"name": "model", "kind": "storage-initializer", "bandwidth": {"size": "2Gi", "per-pod": "1Gi"}},
                {"name": "load", "kind": "start", "time": "4s", "per-instance-type": {"small": "5s"},
                 "when": "before-ready"},
            ],
            "crash": {"probability": 0.1, "restart-delay": "5s"}, "always-fails": False,
        },
        "shutdown": {"drains-on-sigterm": True, "stop-time": "2s"},
        "cancel-stops-work": True,
        "posterior": [{"service-time.classes.large.time": "5s"}, {"service-time.classes.large.time": "6s"}],
    },
    "cluster": {
        "gpus-per-pod": 1, "activators": 2, "scrape-failure": 0.1,
        "instance-types": [{"name": "small", "price-per-hour": 3.6, "currency": "USD", "stock": 9, "gpus": 2}],
        "ingress": {"path": "auto", "policy": "round-robin", "workers": 2, "affinity": "auto"},
        "delays": {},
        "autoscaler-restarts": [{"at": "20s", "back-after": "5s", "connected-after": "15s"}],
        "activator-restarts": [{"at": "50s", "connected-after": "15s", "activator": 1}],
    },
    "start": {"state": "warm", "for": "10s"},
    "horizon": "4m",
    "replications": 2,
    "seed": 5,
    "tolerances": {"p50": "15%"},
    "cost": {"currency": "USD", "granularity": "10s", "minimum": "1m", "per": "pod", "bills-from": "pull",
             "prices": {"small": 4.0}},
}  # fmt: skip
NODES = {"type": "small", "count": 1, "gpus-per-node": 2, "max": 4, "provision": "30s", "idle-release": "1m"}


def written(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The mapping with a value at a path; members of lists by name."""
    data = copy.deepcopy(data)
    place: Any = data
    *way, last = path.split(".")
    for part in way:
        place = next(one for one in place if one["name"] == part) if isinstance(place, list) else place[part]
    place[last] = value
    return data


@cache
def bases() -> dict[str, tuple[dict[str, Any], str]]:
    """Experiments that between them hold every key, each with the beginning of the paths that it is walked for."""
    annotated = copy.deepcopy(WHOLE)
    template = annotated["service"]["spec"]["template"]
    template["metadata"]["annotations"] = {f"{_PREFIX}{name}": text for name, text in ANNOTATIONS.items()}
    template["spec"] |= {"containerConcurrency": 4, "timeoutSeconds": 100, "responseStartTimeoutSeconds": 80}
    template["spec"]["idleTimeoutSeconds"] = 30
    template["spec"]["containers"][0]["readinessProbe"] = {
        "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 4, "successThreshold": 1,
        "initialDelaySeconds": 1,
    }  # fmt: skip
    delays = {key.path.rpartition(".")[2]: key.default for key in keys() if key.path.startswith("cluster.delays.")}
    found = {
        "whole": ({**WHOLE, "cluster": {**WHOLE["cluster"], "delays": delays}}, ""),
        "annotated": (annotated, ""),
        "config": ({**WHOLE, "config-defaults": {}, "config-autoscaler": CONFIG}, "config-autoscaler."),
        "nodes": (written(written(WHOLE, "cluster.nodes", NODES), "model.cold-start.stages.machine.time", "0s"),
                  "cluster.nodes."),
    }  # fmt: skip
    recurring = {key: value for key, value in WHOLE.items() if key != "horizon"}
    found["repeat"] = ({**recurring, "start": {"state": "idled"}, "repeat": "24h"}, "repeat")
    for kind, load in LOADS.items():
        found[kind] = ({**WHOLE, "workload": {"kind": kind, **load}}, "workload")
    for kind, settings in AUTOSCALERS.items():
        own = kind in ("kpa", "spare", "schedule", "lookahead")
        base = WHOLE if own else written(WHOLE, "cluster.autoscaler-restarts", [])
        found[f"autoscaler {kind}"] = ({**base, "autoscaler": {"kind": kind, **settings}}, "autoscaler.")
    for number, time in enumerate(TIMES):
        for path in PLACES_OF_TIMES:
            base = written(found["nodes" if path.startswith("cluster") else "whole"][0], path, time)
            base = written(base, "model.posterior", [])
            found[f"{path} {number}"] = (base, f"{path}.")
    return found


def leaves(data: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value of a mapping that holds no other, with its path; members of lists by name or place."""
    if isinstance(data, dict) and data and path.rpartition(".")[2] != "service":
        for key, value in data.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(data, list) and data and isinstance(data[0], dict) and not path.endswith("posterior"):
        for place, one in enumerate(data):
            yield from leaves(one, f"{path}.{one.get('name', place)}")
    else:
        yield path, data


def paths(base: dict[str, Any], begin: str) -> Iterator[tuple[str, Any]]:
    """Every settable path of an experiment with its value."""
    yield from ((path, value) for path, value in leaves(base, "") if path.startswith(begin) and path != "service")
    template = base["service"]["spec"]["template"]
    if not begin and template["metadata"]["annotations"]:
        for name, text in template["metadata"]["annotations"].items():
            yield f"service.annotations.{name.removeprefix(_PREFIX)}", text
        for name, value in template["spec"].items():
            if name != "containers":
                yield f"service.{name}", value
        container = template["spec"]["containers"][0]
        for name, value in container["readinessProbe"].items():
            yield f"service.readinessProbe.{name}", value
        yield "service.containers.0.resources.limits.nvidia.com/gpu", container["resources"]["limits"]["nvidia.com/gpu"]


def form(path: str, base: dict[str, Any]) -> str:
    """A path as the schema has it: NAME for the member of a list."""
    data: Any = base
    parts = []
    rest = path.split(".")
    while rest:
        part, rest = rest[0], rest[1:]
        if isinstance(data, list):
            data = next((one for place, one in enumerate(data) if part in {one.get("name"), str(place)}), None)
            parts.append("NAME")
        else:
            data = data.get(part) if isinstance(data, dict) else None
            parts.append(part)
    return ".".join(parts)


def key_of(path: str, base: dict[str, Any]) -> list[Key]:
    """What the schema says of a path."""
    wanted = form(path, base)
    return [key for key in keys() if key.path == wanted]


def others(path: str, value: Any, base: dict[str, Any]) -> list[Any]:
    """Values that differ from the present one, of its kind."""
    words = [word for key in key_of(path, base) for word in re.findall(r"`([^`]+)`", key.takes)]
    if words and isinstance(value, str):
        return [word for word in words if word != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value * 2, value / 2]
    if isinstance(value, list):
        return [[*value, value[-1]], value[:1]]
    if isinstance(value, dict) or value is None:
        return [None]
    text = str(value)
    try:
        return [duration_text(2 * seconds(text)), duration_text(seconds(text) / 2)] if text[-1] == "s" else _texts(text)
    except ValueError:
        return _texts(text)


def _texts(text: str) -> list[Any]:
    if text.replace(".", "").isdigit():
        return [str(int(text) + 1), str(2 * int(text)), str(max(1, int(text) // 2))]
    size = re.fullmatch(r"(\d+)(Gi|%)", text)
    return [f"{2 * int(size[1])}{size[2]}"] if size else ["EUR" if text == "USD" else f"{text}-other"]


@pytest.fixture(scope="module", autouse=True)
def _beside_a_trace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Replayed and observed loads need a file and a folder."""
    folder = tmp_path_factory.mktemp("trace")
    rows = [f"{3 * place},{1 + place % 3},{('small', 'large')[place % 2]}" for place in range(30)]
    (folder / "trace.csv").write_text("\n".join(["arrival,service,class", *rows]) + "\n")
    begins_s = np.arange(0.0, 90.0, 3.0)
    scraped = observing.activator(begins_s, begins_s + 2.0, np.arange(5.0, 100.0, 5.0))
    observing.observation(scraped, 100.0, 5.0).write(folder / "observation")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


def figures(experiment: Experiment) -> dict[str, np.ndarray]:
    """All figures of two replications, bill included."""
    result = simulate(experiment, replications=2, engine="reference")
    return {**result.figures, **{f"cost.{name}": values for name, values in (result.cost_figures or {}).items()}}


def verdict(experiment: Experiment, path: str, value: Any) -> tuple[str, Experiment | None]:
    """``refused``, ``change`` or ``same``, and the changed experiment."""
    try:
        changed = experiment.with_setting(path, value)
        return ("same" if same(changed, experiment) else "change"), changed
    except KpasimError:
        return "refused", None


@pytest.mark.parametrize("name", bases())
def test_every_settable_path_is_a_change_or_is_refused(name: str) -> None:
    """A value that differs changes simulation or bill; else a sweep of it is refused, and no figure changes."""
    base, begin = bases()[name]
    experiment = from_mapping(base)
    walked = 0
    for path, value in paths(base, begin):
        if path in {"workload.kind", "autoscaler.kind"} or path.endswith(".distribution") or path == "workload.file":
            continue  # another load or distribution, with keys of its own: those are walked by themselves
        said = [(other, *verdict(experiment, path, other)) for other in others(path, value, base)]
        assert said, path
        walked += 1
        if is_comment(path) or path in {"seed", "replications", "horizon"}:
            continue
        if any(word == "change" for _, word, _ in said):
            continue
        for other, word, changed in said:
            if word == "same" and changed is not None:
                before, after = figures(experiment), figures(changed)
                assert all(np.array_equal(before[one], after[one], equal_nan=True) for one in before), (path, other)
        axes = {path: [value, *(other for other, word, _ in said if word == "same")]}
        if len(axes[path]) > 1:
            with pytest.raises(KpasimError, match=r"has no effect|neither simulation nor bill"):
                Plan.of(Sweep(experiment="x", axes=axes), experiment, "x")
    assert walked or name == "autoscaler kpa"


def test_every_key_of_the_schema_is_walked() -> None:
    """Keys that the schema gains must be walked, too."""
    walked: set[tuple[str, str]] = set()
    for base, begin in bases().values():
        for path, _ in paths(base, begin):
            wanted = form(path, base)
            parent: Any = base
            for part in path.split(".")[:-1]:
                parent = (
                    next((one for n, one in enumerate(parent) if part in {one.get("name"), str(n)}), {})
                    if isinstance(parent, list)
                    else parent.get(part, {})
                )
            kind = parent.get("distribution", "") if isinstance(parent, dict) else ""
            kind = base["workload"]["kind"] if wanted.startswith("workload.") and wanted.count(".") == 1 else kind
            kind = base["autoscaler"]["kind"] if wanted.startswith("autoscaler.") and wanted.count(".") == 1 else kind
            parts = wanted.split(".")
            walked |= {(".".join(parts[:end]), "") for end in range(1, len(parts) + 1)} | {(wanted, kind)}
    missing = [
        (key.path, key.of)
        for key in keys()
        if (key.path, key.of) not in walked and not (key.of and key.path.endswith((".arrivals", ".phases", ".NAME")))
    ]
    missing = [(path, of) for path, of in missing if not (of in LOADS and (path, "") in walked and "sessions" in path)]
    missing = [(path, of) for path, of in missing if not (of == "steps" and (path, "") in walked)]
    nested = {key.path.rpartition(".")[0].removesuffix(".NAME") for key in keys()}
    nested |= {key.path for key in keys() if ".NAME." in key.path}
    missing = [
        (path, of) for path, of in missing if not (of in AUTOSCALERS and (path, "") in walked and path in nested)
    ]
    # Names of files, whose settings are those of the sections that are walked; tests/spec holds what they read.
    missing = [(path, of) for path, of in missing if path not in {"cluster-config", "inferenceservice-config"}]
    assert not missing, f"the experiments above lack these keys: {missing}"


def test_comments_are_refused_as_axes(tmp_path: Path) -> None:
    """What describes a model changes nothing: a line says so, with the key."""
    from tests.studies.sweeps import SWEEP, write

    path = write(tmp_path, SWEEP.replace("service.annotations.max-scale: [1, 2, 3]", "model.description: [a, b]"))
    with pytest.raises(KpasimError, match=r"painting-sweep.yaml:3: axes.model.description: changes neither"):
        Plan.read(path)


@pytest.mark.parametrize(
    "path", ["seed", "horizon", "replications", "workload.rate", "start.state", "cost.minimum", "tolerances",
             "cluster.instance-types.small.price-per-hour"]
)  # fmt: skip
def test_a_measure_is_not_tuned(path: str) -> None:
    """Load, start, end and prices say how a service is measured: a better one cannot be chosen."""
    experiment = from_mapping(bases()["whole"][0])
    with pytest.raises(KpasimError, match=re.escape(f"--vary {path}: is how the service is measured")):
        tune(experiment, ["p95<=30s"], vary={path: [1, 2]}, engine="reference")


def test_now_is_empty_where_the_axis_does_not_hold_it() -> None:
    """Of a stage's time, only the value in the file is `now`; a spelling of the same value is it, too."""
    experiment = from_mapping(bases()["whole"][0])
    axes: dict[str, list[Any]] = {"model.cold-start.stages.load.time": ["8s", "9s"]}
    assert Plan.of(Sweep(experiment="x", axes=axes), experiment, "x").now == {}
    axes["model.cold-start.stages.load.time"].append(4)
    assert Plan.of(Sweep(experiment="x", axes=axes), experiment, "x").now == {"model.cold-start.stages.load.time": 4}
