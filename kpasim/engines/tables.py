"""From an engine's raw columns to the tables that runs leave behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.engines import outcome as of
from kpasim.engines.draws import session_of
from kpasim.engines.model.state import NO_ENDPOINT
from kpasim.engines.outcome import Outcome
from kpasim.engines.params import FOREVER_NS, KPA, NEVER_NS, Draws, Ints, Params
from kpasim.policy import burst, decider, scaler
from kpasim.policy.rules import RULES
from kpasim.results.frames import Columns
from kpasim.results.tables import Tables

STATUS_WORDS = {
    200: "",
    0: "client timeout",
    502: "bad gateway",
    503: "queue full",
    504: "timeout",
    -1: "unfinished",
}
"""What ``error`` says of a request's status."""
RECORDS = ("requests", "ticks", "scaling")
"""Tables of ``Outcome`` whose rows are records."""


def seconds(times_ns: NDArray[np.int64], load_ns: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Times in seconds from the start of the load; ``NaN`` for what never happened."""
    times_s: NDArray[np.float64] = (times_ns - load_ns) / 1e9
    times_s[times_ns == NEVER_NS] = np.nan
    return times_s


def tables(
    outcome: Outcome,
    params: Params,
    type_names: Sequence[str] = ("",),
    class_names: Sequence[str] = (),
    draws: Draws | None = None,
    *,
    brief: bool = False,
) -> Tables:
    """The tables of one run, with names.

    Args:
        outcome: What the engine left.
        params: The experiment.
        type_names: Names of the instance types.
        class_names: Names of the classes of requests.
        draws: Random numbers of the run, which tell each request's class and session.
        brief: Leave out what a timeline does not show: all requests, and how decisions came about.
    """
    load = outcome.load_ns
    pods, nodes, ticks = outcome.pods, outcome.nodes, outcome.ticks
    node_names = np.array([f"node-{index:05d}" for index in range(len(nodes))] + [""])
    types = np.array([*type_names, ""])
    # A node of an anonymous instance is no news beside its pod.
    show_nodes = bool(type_names[0]) or bool(params.pool_ready.any()) or bool(params.pool_provisioned.any())
    found = Tables(
        pods={
            "pod": _pod_names(outcome)[:-1],
            "created_s": seconds(pods[:, of.CREATED], load),
            "ready_s": seconds(pods[:, of.READY], load),
            "delete_requested_s": seconds(pods[:, of.ASKED], load),
            "gone_s": seconds(pods[:, of.GONE], load),
            "scheduled_s": seconds(pods[:, of.SCHEDULED], load),
            "provisioned_s": seconds(pods[:, of.PROVISIONED], load),
            "pull_s": seconds(pods[:, of.PULL], load),
            "containers_s": seconds(pods[:, of.CONTAINERS], load),
            "port_open_s": seconds(pods[:, of.OPEN], load),
            "usable_s": seconds(pods[:, of.USABLE], load),
            "instance_type": types[pods[:, of.TYPE]],
            "node": node_names[pods[:, of.NODE]] if show_nodes else np.full(len(pods), "", dtype=np.str_),
            "restarts": pods[:, of.RESTARTS],
        },
        ticks={
            "t_s": seconds(ticks[of.TICK_T], load),
            "stable": ticks[of.STABLE],
            "panic": ticks[of.PANIC],
            "ready_pods": ticks[of.READY_PODS].astype(np.int64),
            "panic_mode": ticks[of.PANIC_MODE].astype(np.int64),
            "desired": ticks[of.DESIRED].astype(np.int64),
        },
        scaling=_scaling(outcome),
        nodes={
            "node": node_names[:-1],
            "instance_type": types[nodes[:, of.NODE_TYPE]],
            "created_s": seconds(nodes[:, of.NODE_CREATED], load),
            "ready_s": seconds(nodes[:, of.NODE_READY], load),
            "gone_s": seconds(nodes[:, of.NODE_GONE], load),
        }
        if show_nodes
        else {},
    )
    if brief:
        return found
    found.requests = _requests(outcome) | _kinds(outcome, params, types, class_names, draws)
    found.ticks |= {
        "target": np.full(len(ticks), target_of(params)),
        "desired_stable": _raw_pods(ticks[of.STABLE], params),
        "desired_panic": _raw_pods(ticks[of.PANIC], params),
        "excess_burst_capacity": excess_burst_capacity(ticks, params),
        "rule": np.array(RULES)[ticks[of.RULE]],
        "poke": ticks[of.POKED].astype(np.int64),
    }
    return found


def _pod_names(outcome: Outcome) -> NDArray[np.str_]:
    """Names of the pods, and the empty one of none."""
    return np.array([f"pod-{index:05d}" for index in range(len(outcome.pods))] + [""])


def _requests(outcome: Outcome) -> Columns:
    requests, load = outcome.requests, outcome.load_ns
    status = requests[of.STATUS].astype(np.int64)
    return {
        "id": np.arange(1, len(requests) + 1),
        "start_s": seconds(requests[of.SENT], load),
        "latency_s": np.where(status == -1, np.nan, (requests[of.RESPONSE] - requests[of.SENT]) / 1e9),
        "status": np.maximum(status, 0),
        "pod": _pod_names(outcome)[requests[of.POD]],
        "service_s": np.where(requests[of.BEGUN] == NEVER_NS, np.nan, requests[of.SERVICE] / 1e9),
        "server_arrival_s": seconds(requests[of.ARRIVED], load),
        "server_start_s": seconds(requests[of.BEGUN], load),
        "server_end_s": seconds(requests[of.DONE], load),
        "activator": requests[of.ACTIVATOR].astype(np.int64),
        "error": _errors(requests),
    }


def _errors(requests: NDArray[np.void]) -> NDArray[np.str_]:
    """What ``error`` says of each request."""
    codes, place = np.unique(requests[of.STATUS], return_inverse=True)
    words = np.array([STATUS_WORDS[code] for code in codes.tolist()], dtype=np.str_)[place]
    no_pod = (requests[of.STATUS] == NO_ENDPOINT) & (requests[of.POD] < 0)
    return np.where(no_pod, "no pod", words) if no_pod.any() else words


def target_of(params: Params) -> float:
    """Target of the metric for each pod: that of Knative's autoscaler, or of the other one that decides."""
    return params.target_value if params.autoscaler == KPA else params.target_milli / 1000.0


def _raw_pods(averages: NDArray[np.float64], params: Params) -> Ints:
    """Pods that averages ask for before any limit, as ``decider.tick`` works them out."""
    target = target_of(params)
    return np.array([decider.whole_pods(average / target) for average in averages.tolist()], dtype=np.int64)


def excess_burst_capacity(ticks: NDArray[np.void], params: Params) -> NDArray[np.float64]:
    """Excess burst capacity of each decision in ``Outcome.ticks``."""
    total, reserve = params.total_value, params.target_burst_capacity
    seen = zip(ticks[of.READY_PODS].tolist(), ticks[of.PANIC].tolist(), strict=True)
    return np.array([burst.excess_burst_capacity(ready, total, reserve, panic) for ready, panic in seen])


def _kinds(
    outcome: Outcome, params: Params, types: NDArray[np.str_], class_names: Sequence[str], draws: Draws | None
) -> Columns:
    """Instance type, class and session of each request, as far as there are any."""
    columns: Columns = {}
    requests, pods = outcome.requests, outcome.pods
    if len(types) > 2:
        # A request without a pod has the place -1, which is that of the empty name.
        of_pod = np.append(np.where(pods[:, of.TYPE] < 0, len(types) - 1, pods[:, of.TYPE]), len(types) - 1)
        columns["instance_type"] = types[of_pod[requests[of.POD]]]
    if draws is None:
        return columns
    draw = outcome.draws()
    if len(class_names) > 1:
        columns["class"] = np.array(class_names)[draws.klass[draw]] if len(draw) else np.array([], dtype=np.str_)
    if params.sessions:
        each = params.requests_per_worker or params.requests // max(params.workers, 1)
        worker = (draw // each).tolist() if params.closed else [-1] * len(draw)
        columns["session"] = np.array(
            [session_of(draws.key, one, by, params.sessions) for one, by in zip(draw.tolist(), worker, strict=True)],
            dtype=np.int64,
        )
    return columns


def _scaling(outcome: Outcome) -> Columns:
    """Rows of the objects' changes, with what the pods were doing at each."""
    rows, pods = outcome.scaling, outcome.pods
    created, scheduled, ready, asked, gone = (
        np.where(pods[:, column] == NEVER_NS, FOREVER_NS, pods[:, column])
        for column in (of.CREATED, of.SCHEDULED, of.READY, of.ASKED, of.GONE)
    )
    leaves = np.minimum(asked, gone)

    def during(begin: Ints, end: Ints) -> Ints:
        """How many pods are between two moments of theirs, at each row."""
        some = begin < end
        moments = (np.searchsorted(np.sort(each[some]), rows[of.SCALING_T], side="right") for each in (begin, end))
        return np.asarray(next(moments) - next(moments))

    conditions = np.array([*scaler.CONDITIONS[:3], ""])
    return {
        "t_s": seconds(rows[of.SCALING_T], outcome.load_ns),
        "desired": np.maximum(rows[of.STATUS_DESIRED], -1).astype(np.int64),
        "ready": rows[of.DEPLOYMENT_READY].astype(np.int64),
        "replicas": rows[of.REPLICAS].astype(np.int64),
        "pa_active": conditions[rows[of.ACTIVE]],
        "sks_mode": np.array(burst.MODES)[rows[of.MODE]],
        "starting": during(np.maximum(created, scheduled), np.minimum(leaves, ready)),
        "pending": during(created, np.minimum(leaves, scheduled)),
        "draining": during(np.maximum(created, asked), gone),
    }


def stacked(outcomes: Sequence[Outcome]) -> Tables:
    """The columns that figures and cost need, of many runs at once: shape ``(runs, rows)``, padded with ``NaN``.

    Pods, nodes and instance types are whole numbers: places in their tables.
    """
    load = np.array([one.load_ns for one in outcomes], dtype=np.int64)[:, np.newaxis]

    requests, ticks, scaling = (_columns([getattr(one, name) for one in outcomes]) for name in RECORDS)
    status, sent = requests(of.STATUS), requests(of.SENT)
    latency = (requests(of.RESPONSE) - sent) / 1e9
    return Tables(
        requests={
            "start_s": seconds(sent, load),
            "latency_s": np.where((status == -1) | (sent == NEVER_NS), np.nan, latency),
            "status": status,
            "pod": requests(of.POD),
            "server_start_s": seconds(requests(of.BEGUN), load),
            "server_end_s": seconds(requests(of.DONE), load),
        },
        **payers([one.pods for one in outcomes], [one.nodes for one in outcomes], load),
        ticks={
            "t_s": seconds(ticks(of.TICK_T), load),
            "panic_mode": ticks(of.PANIC_MODE),
        },
        scaling={
            "t_s": seconds(scaling(of.SCALING_T), load),
            "desired": scaling(of.STATUS_DESIRED),
            "replicas": scaling(of.REPLICAS),
        },
    )


def payers(every_pod: Sequence[Ints], every_node: Sequence[Ints], load: NDArray[np.int64]) -> dict[str, Columns]:
    """The columns of pods and nodes of many runs, as in ``stacked``.

    Args:
        every_pod: Rows of the pods of each run, as in ``Outcome``.
        every_node: Those of the nodes.
        load: Start of the load of each run, shape ``(runs, 1)``.
    """
    pods, nodes = _padded(every_pod), _padded(every_node)
    return {
        "pods": {
            "created_s": seconds(pods[:, :, of.CREATED], load),
            "scheduled_s": seconds(pods[:, :, of.SCHEDULED], load),
            "provisioned_s": seconds(pods[:, :, of.PROVISIONED], load),
            "ready_s": seconds(pods[:, :, of.READY], load),
            "delete_requested_s": seconds(pods[:, :, of.ASKED], load),
            "gone_s": seconds(pods[:, :, of.GONE], load),
            "pod": np.broadcast_to(np.arange(pods.shape[1]), pods.shape[:2]),
            "node": np.maximum(pods[:, :, of.NODE], -1),
            "instance_type": np.maximum(pods[:, :, of.TYPE], -1),
        },
        "nodes": {
            "created_s": seconds(nodes[:, :, of.NODE_CREATED], load),
            "ready_s": seconds(nodes[:, :, of.NODE_READY], load),
            "gone_s": seconds(nodes[:, :, of.NODE_GONE], load),
            "node": np.broadcast_to(np.arange(nodes.shape[1]), nodes.shape[:2]),
            "instance_type": np.maximum(nodes[:, :, of.NODE_TYPE], -1),
        },
    }


def _columns(parts: Sequence[NDArray[np.void]]) -> Callable[[str], NDArray[Any]]:
    """What gives a column of records of different numbers as one array, of the type that the records have.

    Missing rows hold ``NEVER_NS`` in a column of times, -1 in others.
    """
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    if len(parts) == 1:
        return lambda name: np.ascontiguousarray(parts[0][name])[np.newaxis]
    there = np.arange(lengths.max(initial=0)) < lengths[:, np.newaxis]
    kind = parts[0].dtype
    # As bytes: numpy compares the fields of records, one by one, for each part.
    together = np.concatenate([part.view(f"V{kind.itemsize}") for part in parts]).view(kind)

    def column(name: str) -> NDArray[Any]:
        kind = together.dtype[name]
        result = np.full(there.shape, NEVER_NS if kind == np.int64 else -1, dtype=kind)
        result[there] = together[name]
        return result

    return column


def _padded(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Tables of different lengths as one array; missing rows hold ``NEVER_NS``."""
    rows = max((len(part) for part in parts), default=0)
    result = np.full((len(parts), rows, parts[0].shape[1]), NEVER_NS, dtype=np.int64)
    for index, part in enumerate(parts):
        result[index, : len(part)] = part
    return result
