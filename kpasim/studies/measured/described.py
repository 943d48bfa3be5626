"""What a measured run folder says of the experiment behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.engines.lower import KUBELET_PERIOD_S
from kpasim.engines.machines import nanoseconds
from kpasim.engines.params import AT_ONCE, SECOND_NS, TICK_NS
from kpasim.engines.sampling import Recorded
from kpasim.errors import Problem, RecordError
from kpasim.results.tables import Tables
from kpasim.spec.experiment import Experiment, from_mapping

PATHS = {
    "activator": {"path": "activator"},
    "ingress-round-robin": {"path": "auto", "policy": "round-robin"},
    "envoy-round-robin": {"path": "auto", "policy": "round-robin", "workers": 2},
    "envoy-least-request": {"path": "auto", "policy": "least-request", "workers": 2},
}
"""The ingress that each ``path`` of a measured run.json was."""


def experiment_of(run: Mapping[str, Any], tables: Tables, *, base: Path = Path()) -> Experiment:
    """The experiment that a run folder is about, to be simulated until the end of its observation.

    Args:
        run: run.json. One that kpasim wrote holds the experiment itself; others describe service, container and load.
        tables: The run.
        base: The folder, which errors name.

    Raises:
        RecordError: run.json lacks something that this needs.
        ExperimentError: What it describes is no experiment.
    """
    try:
        if isinstance(run.get("experiment"), Mapping):
            data = {**run["experiment"], "horizon": _duration(run["end_s"])}
        else:
            data = _described(run, tables)
    except KeyError as missing:
        raise RecordError(base / "run.json", [Problem(str(missing.args[0]), "missing")]) from None
    return from_mapping(data, base=base, path=name_of(run))


def name_of(run: Mapping[str, Any]) -> str:
    """What a run is called."""
    return str(run.get("name", "run"))


def _described(run: Mapping[str, Any], tables: Tables) -> dict[str, Any]:
    """The experiment of a folder that kpasim did not write."""
    service, behaviour = run["service"], run["container"]
    container = {"image": "measured"}
    if service.get("readinessProbe"):
        container["readinessProbe"] = service["readinessProbe"]
    if run["path"] not in PATHS:
        raise KeyError("path")
    template = {
        "metadata": {"annotations": dict(service.get("annotations", {}))},
        "spec": {
            "containerConcurrency": service["containerConcurrency"],
            "timeoutSeconds": service["timeoutSeconds"],
            "containers": [container],
        },
    }
    return {
        "service": {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "measured"},
            "spec": {"template": template},
        },
        "config-autoscaler": dict(run.get("config-autoscaler", {})),
        "workload": _workload(run["workload"]),
        "model": {
            "name": name_of(run),
            "service-time": {"time": _time(behaviour["service_time"]), "slots": behaviour["slots"], "by": "start"},
            "cold-start": {"stages": [{"name": "listen", "time": _duration(behaviour["listens_after_s"])}]},
        },
        "cluster": {"activators": run.get("activators", 1), "ingress": PATHS[run["path"]]},
        "start": {"state": run["start"], "for": _duration(started_before(run["start"], tables))},
        "horizon": _duration(run["end_s"]),
        "tolerances": dict(run.get("tolerances", {})),
    }


def _duration(seconds: float) -> str:
    return f"{float(seconds):.6f}s"


def _workload(workload: Mapping[str, Any]) -> dict[str, Any]:
    """The workload of a measured run.json as an experiment's."""
    if workload["kind"] == "hey":
        return {
            "kind": "hey",
            "requests": workload["requests"],
            "concurrency": workload["concurrency"],
            "timeout": _duration(workload["timeout_s"]),
        }
    return {
        "kind": "steps",
        "arrivals": workload["kind"].removeprefix("open-"),
        "phases": [
            {"rate": phase["rate_per_s"], "duration": _duration(phase["duration_s"])} for phase in workload["phases"]
        ],
        "timeout": _duration(workload["timeout_s"]),
    }


def _time(service_time: Mapping[str, Any]) -> dict[str, Any]:
    """The service time of a measured run.json as a distribution."""
    renamed = {"mean_s": "mean", "low_s": "low", "high_s": "high"}
    return {renamed.get(key, key): _duration(value) if key in renamed else value for key, value in service_time.items()}


def started_before(start: str, tables: Tables) -> float:
    """How long before the load the revision had reached its start state [s]; 5 where the tables do not tell.

    A second less for one that had gone idle: its load begins within two seconds of that, at the phase that ``begun``
    knows.
    """
    pods, scaling = tables.pods, tables.scaling
    before = pods["created_s"] < 0
    if start == "warm":
        times = pods["ready_s"][before]
    elif start == "idled":
        times = pods["gone_s"][before]
    else:
        times = scaling["t_s"][:1]
    times = times[~np.isnan(times) & (times < 0)]
    if not len(times):
        return 5.0
    return max(0.0, float(-times.max()) - (TICK_NS / SECOND_NS / 2 if start == "idled" else 0.0))


def begun(run: Mapping[str, Any], tables: Tables) -> Recorded:
    """What is known of a run when its load begins: that it begins now, and how the pods before it were made.

    The autoscaler's clock ticks every two seconds from the creation of the revision on, which is that of its first pod;
    so a load after an idle time begins at a known phase. The time from a pod's creation to its readiness is that of its
    container and then the kubelet's next probe. Where the former is known, the latter tells the phase of those probes.
    """
    pods = tables.pods
    before = pods["created_s"] < 0
    if "container" not in run or run["start"] == "zero" or not before.any():
        return Recorded(load_phase_ns=AT_ONCE)
    known = before & (pods["ready_s"] < 0)
    probe = run["service"].get("readinessProbe") or {}
    period_s = float(probe.get("periodSeconds") or KUBELET_PERIOD_S)
    phase_s = np.mod(pods["ready_s"][known] - pods["created_s"][known], period_s)
    idle_ns = nanoseconds(-float(pods["created_s"][before].min())) % TICK_NS
    return Recorded(
        load_phase_ns=idle_ns if run["start"] == "idled" else AT_ONCE,
        kubelet_phase_ns=tuple(nanoseconds(one) for one in phase_s),
    )


def recorded_of(run: Mapping[str, Any], tables: Tables) -> Recorded:
    """Measured service times in the order of their starts; send times too where the load was an open loop."""
    requests = tables.requests
    started = ~np.isnan(requests["server_start_s"]) & ~np.isnan(requests["service_s"])
    order = np.argsort(requests["server_start_s"][started], kind="stable")
    sent = None if run["workload"]["kind"] == "hey" else np.sort(requests["start_s"])
    return begun(run, tables)._replace(service_s=requests["service_s"][started][order], by_start=True, sent_s=sent)
