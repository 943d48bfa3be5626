"""What a measured run folder says of the experiment behind it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.arrays import Floats
from kpasim.engines.lower import KUBELET_PERIOD_S
from kpasim.engines.machines import nanoseconds
from kpasim.engines.params import AT_ONCE, SECOND_NS, TICK_NS
from kpasim.engines.sampling import Recorded
from kpasim.errors import RecordError
from kpasim.results.tables import Tables
from kpasim.spec.experiment import Experiment, from_mapping

FOUND_S = 0.25
"""How long a container that answers may stay unnoticed while a request waits: the activator's probe, every 0.2 s, and
queue-proxy's, every 0.05 s [s]."""
PATHS = {
    "activator": {"path": "activator"},
    "ingress-round-robin": {"path": "auto", "policy": "round-robin"},
    "envoy-round-robin": {"path": "auto", "policy": "round-robin", "workers": 2},
    "envoy-least-request": {"path": "auto", "policy": "least-request", "workers": 2},
}
"""The ingress that each ``path`` of a measured run.json was."""


def experiment_of(run: Mapping[str, Any], tables: Tables, *, base: Path = Path()) -> Experiment:
    """The experiment that a run folder is about, to be simulated until the end of its observation.

    A run.json that kpasim wrote holds the experiment itself; others describe service, container and load.

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
        raise RecordError.of(base / "run.json", "missing", place=str(missing.args[0])) from None
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

    The autoscaler's clock ticks every two seconds from the creation of the revision on, which is that of its first pod,
    or its first row of scaling where it has none. So a load after an idle time or from zero begins at a known phase.
    The time from a pod's creation to its readiness is that of its container and then the kubelet's next probe. Where
    the former is known, the latter tells the phase of those probes.
    """
    pods = tables.pods
    before = pods["created_s"] < 0
    if "container" not in run and run["start"] == "zero" and (tables.scaling["t_s"][:1] < 0.0).any():
        return Recorded(load_phase_ns=nanoseconds(-float(tables.scaling["t_s"][0])) % TICK_NS)
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
    """Measured service times in the order of their starts; send times too where the load was an open loop.

    Times are drawn from the model where the server told none.
    """
    requests = tables.requests
    worked_s = requests["service_s"]
    if run.get("source") == "simulated":
        # A simulation writes what a request would take alone; a container tells what it took beside others.
        lasted_s = requests["server_end_s"] - requests["server_start_s"]
        worked_s = np.where(np.isnan(lasted_s), worked_s, lasted_s)
    started = ~np.isnan(requests["server_start_s"]) & ~np.isnan(worked_s)
    order = np.argsort(requests["server_start_s"][started], kind="stable")
    service_s = worked_s[started][order] if started.any() else None
    return begun(run, tables)._replace(service_s=service_s, sent_s=sent_of(run, tables))


def sent_of(run: Mapping[str, Any], tables: Tables) -> Floats | None:
    """When the requests of an open loop were sent [s]; ``None`` of a closed loop, whose requests follow the answers."""
    return None if load_of(run) == "hey" else np.sort(tables.requests["start_s"])


def load_of(run: Mapping[str, Any]) -> str:
    """The kind of load that a run folder names; empty where it names none."""
    whole = run.get("experiment")
    load = run.get("workload") or (whole.get("workload") if isinstance(whole, Mapping) else None)
    return str(load.get("kind", "")) if isinstance(load, Mapping) else ""


def starts_of(tables: Tables, probe_period_s: float) -> Floats:
    """How long the container of each pod took to answer, from the pod's creation [s]; in the order of creation.

    The middle of what ``answering`` leaves open is taken; not a number where a pod never became ready.
    """
    created_s = tables.pods["created_s"]
    earliest_s, latest_s = answering(tables, probe_period_s)
    return ((earliest_s + latest_s) / 2.0 - created_s)[np.argsort(created_s, kind="stable")]


def answering(tables: Tables, probe_period_s: float) -> tuple[Floats, Floats]:
    """The earliest and the latest moment at which the container of each pod can have begun to answer [s].

    The kubelet looks once in a period, so the container began to answer within the period before the pod was ready, and
    no later than the pod's first request came (a period of 0: queue-proxy probes a starting container eagerly). A
    request that had been waiting reaches a pod at the activator's next probe. Not a number where a pod never became
    ready.
    """
    pods, requests = tables.pods, tables.requests
    latest_s = pods["ready_s"].astype(np.float64)
    earliest_s = np.maximum(latest_s - probe_period_s, pods["created_s"])
    came_s, waited_s = requests["server_arrival_s"], requests["server_arrival_s"] - requests["start_s"]
    in_order = np.argsort(came_s, kind="stable")[: int((~np.isnan(came_s)).sum())]
    names, places = np.unique(requests["pod"][in_order], return_index=True)
    first_of = dict(zip(names.tolist(), in_order[places].tolist(), strict=True))
    for row, name in enumerate(pods["pod"].tolist()):
        first = first_of.get(name)
        if first is not None and came_s[first] < latest_s[row]:
            latest_s[row] = max(float(came_s[first]), earliest_s[row])
            if waited_s[first] > FOUND_S:
                earliest_s[row] = max(earliest_s[row], latest_s[row] - FOUND_S)
    return earliest_s, latest_s


def together(tables: Tables) -> int:
    """The most requests that one container was seen to work on at once."""
    requests = tables.requests
    known = ~np.isnan(requests["server_start_s"]) & ~np.isnan(requests["server_end_s"])
    most = 0
    for pod in np.unique(requests["pod"][known]):
        mine = known & (requests["pod"] == pod)
        begun_s, ended_s = np.sort(requests["server_start_s"][mine]), np.sort(requests["server_end_s"][mine])
        # One that ends as another begins makes room for it; times are written in tenths of a millisecond.
        most = max(most, int((np.arange(1, len(begun_s) + 1) - np.searchsorted(ended_s, begun_s + 2e-4)).max()))
    return most


def as_measured(
    experiment: Experiment, run: Mapping[str, Any], tables: Tables, recorded: Recorded
) -> tuple[Experiment, Recorded, list[str]]:
    """The experiment with the starts that were measured, and with as many slots as the run shows.

    Where the run says how long its container took (``container`` in run.json) that stands. On nodes that come and go a
    start holds the wait for a node, which the simulation makes itself: starts are drawn there.

    Returns:
        The experiment, what was recorded, and what was taken from the run, one line each.
    """
    notes = []
    changes: dict[str, Any] = {}
    if recorded.service_s is None:
        notes.append("The server reported no service times: they are drawn from the model.")
    else:
        changes["model.posterior"] = None
    slots, seen = experiment.model.service_time.slots, together(tables)
    if slots and seen > slots:
        notes.append(
            f"A pod worked on {seen} requests at once, more than the model's {slots} slots: slots are ignored."
        )
        changes["model.service-time.slots"] = None
    starts_s = starts_of(tables, experiment.service.probe.period_s)
    if "container" not in run and experiment.cluster.nodes is None and not np.isnan(starts_s).all():
        given = experiment.raw["model"].get("cold-start")
        stages = given.get("stages", ()) if isinstance(given, Mapping) else ()
        later = [stage for stage in stages if stage.get("when", "before-ready") != "before-ready"]
        changes["model.posterior"] = None  # its draws may name stages that are gone
        first = {"name": "measured", "time": _duration(float(np.nanmedian(starts_s)))}
        changes["model.cold-start"] = {"stages": [first, *later]}
        recorded = recorded._replace(start_s=starts_s)
        notes.append(f"The k-th pod starts as long as the k-th measured one ({np.sum(~np.isnan(starts_s))} pods).")
    return experiment.with_settings(changes), recorded, notes
