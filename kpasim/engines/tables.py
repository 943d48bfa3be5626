"""From an engine's raw columns to the tables that runs leave behind."""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kpasim.arrays import Array, Floats, Ints
from kpasim.engines import outcome as of
from kpasim.engines.draws import session_of
from kpasim.engines.model.state import NO_ENDPOINT
from kpasim.engines.outcome import Outcome
from kpasim.engines.params import FOREVER_NS, KPA, NEVER_NS, Draws, Params
from kpasim.policy import burst, decider, scaler
from kpasim.policy.rules import RULES
from kpasim.results.frames import EVERY, LONG, Columns, columns_of, parts
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
Made = dict[str, Callable[[], Array]]
"""What makes the columns of a table, by name."""
PAID_S = {
    "created_s": of.CREATED,
    "ready_s": of.READY,
    "delete_requested_s": of.ASKED,
    "gone_s": of.GONE,
    "scheduled_s": of.SCHEDULED,
    "provisioned_s": of.PROVISIONED,
}
"""Times of pods that figures and cost need, and their columns in ``Outcome.pods``."""
POD_S = {**PAID_S, "pull_s": of.PULL, "containers_s": of.CONTAINERS, "port_open_s": of.OPEN, "usable_s": of.USABLE}
NODE_S = {"created_s": of.NODE_CREATED, "ready_s": of.NODE_READY, "gone_s": of.NODE_GONE}


def seconds(times_ns: Ints, load_ns: Ints | int) -> Floats:
    """Times in seconds from the start of the load; ``NaN`` for what never happened."""
    times_s = np.empty(times_ns.shape)
    for rows in parts(times_ns.shape[-1]):  # a long column has no room for another
        some = (..., rows)
        times_s[some] = (times_ns[some] - load_ns) / 1e9
        times_s[some][times_ns[some] == NEVER_NS] = np.nan
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
        pods=columns_of(
            (len(pods),),
            {
                "pod": lambda: _pod_names(outcome)[:-1],
                **_times(pods, POD_S, load),
                "instance_type": lambda: types[pods[:, of.TYPE]],
                "node": lambda: node_names[pods[:, of.NODE]] if show_nodes else np.full(len(pods), "", dtype=np.str_),
                "restarts": lambda: pods[:, of.RESTARTS],
            },
        ),
        ticks=columns_of((len(ticks),), _ticks(outcome, params, brief=brief)),
        scaling=columns_of((len(outcome.scaling),), _scaling(outcome)),
        nodes={
            "node": node_names[:-1],
            "instance_type": types[nodes[:, of.NODE_TYPE]],
            **{name: times() for name, times in _times(nodes, NODE_S, load).items()},
        }
        if show_nodes
        else {},
    )
    if not brief:
        own = _requests(outcome) | _kinds(outcome, params, types, class_names, draws)
        found.requests = columns_of((len(outcome.requests),), own)
    return found


def _ticks(outcome: Outcome, params: Params, *, brief: bool) -> Made:
    ticks, load = outcome.ticks, outcome.load_ns
    found: Made = {
        "t_s": lambda: seconds(ticks[of.TICK_T], load),
        "stable": lambda: ticks[of.STABLE],
        "panic": lambda: ticks[of.PANIC],
        "ready_pods": lambda: ticks[of.READY_PODS].astype(np.int64),
        "panic_mode": lambda: ticks[of.PANIC_MODE].astype(np.int64),
        "desired": lambda: ticks[of.DESIRED].astype(np.int64),
    }
    if brief:
        return found
    return found | {
        "target": lambda: np.full(len(ticks), target_of(params)),
        "desired_stable": lambda: _raw_pods(ticks[of.STABLE], params),
        "desired_panic": lambda: _raw_pods(ticks[of.PANIC], params),
        "excess_burst_capacity": lambda: excess_burst_capacity(ticks, params),
        "rule": lambda: np.array(RULES)[ticks[of.RULE]],
        "poke": lambda: ticks[of.POKED].astype(np.int64),
    }


def _pod_names(outcome: Outcome) -> NDArray[np.str_]:
    """Names of the pods, and the empty one of none."""
    return np.array([f"pod-{index:05d}" for index in range(len(outcome.pods))] + [""])


def _requests(outcome: Outcome) -> Made:
    requests, load = outcome.requests, outcome.load_ns

    def latency_s() -> Floats:
        return np.where(requests[of.STATUS] == -1, np.nan, (requests[of.RESPONSE] - requests[of.SENT]) / 1e9)

    return {
        "id": lambda: np.arange(1, len(requests) + 1),
        "start_s": lambda: seconds(requests[of.SENT], load),
        "latency_s": latency_s,
        "status": lambda: np.maximum(requests[of.STATUS].astype(np.int64), 0),
        "pod": lambda: _pod_names(outcome)[requests[of.POD]],
        "service_s": lambda: np.where(requests[of.BEGUN] == NEVER_NS, np.nan, requests[of.SERVICE] / 1e9),
        "server_arrival_s": lambda: seconds(requests[of.ARRIVED], load),
        "server_start_s": lambda: seconds(requests[of.BEGUN], load),
        "server_end_s": lambda: seconds(requests[of.DONE], load),
        "activator": lambda: requests[of.ACTIVATOR].astype(np.int64),
        "error": lambda: _errors(requests),
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


def _raw_pods(averages: Floats, params: Params) -> Ints:
    """Pods that averages ask for before any limit, as ``decider.tick`` works them out."""
    target = target_of(params)
    return np.array([decider.whole_pods(average / target) for average in averages.tolist()], dtype=np.int64)


def excess_burst_capacity(ticks: NDArray[np.void], params: Params) -> Floats:
    """Excess burst capacity of each decision in ``Outcome.ticks``."""
    total, reserve = params.total_value, params.target_burst_capacity
    seen = zip(ticks[of.READY_PODS].tolist(), ticks[of.PANIC].tolist(), strict=True)
    return np.array([burst.excess_burst_capacity(ready, total, reserve, panic) for ready, panic in seen])


def _kinds(
    outcome: Outcome, params: Params, types: NDArray[np.str_], class_names: Sequence[str], draws: Draws | None
) -> Made:
    """Instance type, class and session of each request, as far as there are any."""
    columns: Made = {}
    requests, pods = outcome.requests, outcome.pods
    if len(types) > 2:
        # A request without a pod has the place -1, which is that of the empty name.
        of_pod = np.append(np.where(pods[:, of.TYPE] < 0, len(types) - 1, pods[:, of.TYPE]), len(types) - 1)
        columns["instance_type"] = lambda: types[of_pod[requests[of.POD]]]
    if draws is None:
        return columns
    draw = outcome.draws()
    if len(class_names) > 1:
        names = np.array(class_names)
        columns["class"] = lambda: names[draws.klass[draw]] if len(draw) else np.array([], dtype=np.str_)
    if params.sessions:
        each = params.requests_per_worker or params.requests // max(params.workers, 1)

        def sessions() -> Ints:
            worker = (draw // each).tolist() if params.closed else [-1] * len(draw)
            pairs = zip(draw.tolist(), worker, strict=True)
            return np.array([session_of(draws.key, one, by, params.sessions) for one, by in pairs], dtype=np.int64)

        columns["session"] = sessions
    return columns


def _scaling(outcome: Outcome) -> Made:
    """Rows of the objects' changes, with what the pods were doing at each."""
    rows, pods = outcome.scaling, outcome.pods

    def at(column: int) -> Ints:
        return np.where(pods[:, column] == NEVER_NS, FOREVER_NS, pods[:, column])

    def leaves() -> Ints:
        return np.minimum(at(of.ASKED), at(of.GONE))

    def during(begin: Ints, end: Ints) -> Ints:
        """How many pods are between two moments of theirs, at each row."""
        some = begin < end
        moments = (np.searchsorted(np.sort(each[some]), rows[of.SCALING_T], side="right") for each in (begin, end))
        return np.asarray(next(moments) - next(moments))

    conditions = np.array([*scaler.CONDITIONS[:3], ""])
    created, scheduled, ready, asked, gone = of.CREATED, of.SCHEDULED, of.READY, of.ASKED, of.GONE
    return {
        "t_s": lambda: seconds(rows[of.SCALING_T], outcome.load_ns),
        "desired": lambda: np.maximum(rows[of.STATUS_DESIRED], -1).astype(np.int64),
        "ready": lambda: rows[of.DEPLOYMENT_READY].astype(np.int64),
        "replicas": lambda: rows[of.REPLICAS].astype(np.int64),
        "pa_active": lambda: conditions[rows[of.ACTIVE]],
        "sks_mode": lambda: np.array(burst.MODES)[rows[of.MODE]],
        "starting": lambda: during(np.maximum(at(created), at(scheduled)), np.minimum(leaves(), at(ready))),
        "pending": lambda: during(at(created), np.minimum(leaves(), at(scheduled))),
        "draining": lambda: during(np.maximum(at(created), at(asked)), at(gone)),
    }


def stacked(outcomes: Sequence[Outcome]) -> Tables:
    """The columns that figures and cost need, of many runs at once: shape ``(runs, rows)``, padded with ``NaN``.

    Pods, nodes and instance types are whole numbers: places in their tables.
    """
    load = np.array([one.load_ns for one in outcomes], dtype=np.int64)[:, np.newaxis]

    requests = _columns([one.requests for one in outcomes])
    ticks, scaling = _columns([one.ticks for one in outcomes]), _columns([one.scaling for one in outcomes])

    def latency_s(some: slice = EVERY) -> Floats:
        sent, response, status = (requests(name, some) for name in (of.SENT, of.RESPONSE, of.STATUS))
        latency = np.empty(sent.shape)
        for few in parts(sent.shape[1]):
            latency[:, few] = (response[:, few] - sent[:, few]) / 1e9
            latency[:, few][(status[:, few] == -1) | (sent[:, few] == NEVER_NS)] = np.nan
        return latency

    def requests_s(name: str) -> Callable[..., Floats]:
        return lambda some=EVERY: seconds(requests(name, some), load)

    def shape(name: str) -> tuple[int, int]:
        return len(outcomes), max((len(getattr(one, name)) for one in outcomes), default=0)

    return Tables(
        requests=columns_of(
            shape("requests"),
            {
                "start_s": requests_s(of.SENT),
                "latency_s": latency_s,
                "status": lambda some=EVERY: np.ascontiguousarray(requests(of.STATUS, some)),
                "pod": lambda some=EVERY: np.ascontiguousarray(requests(of.POD, some)),
                "server_start_s": requests_s(of.BEGUN),
                "server_end_s": requests_s(of.DONE),
            },
        ),
        **payers([one.pods for one in outcomes], [one.nodes for one in outcomes], load),
        ticks=columns_of(
            shape("ticks"),
            {
                "t_s": lambda: seconds(ticks(of.TICK_T), load),
                "panic_mode": lambda: np.ascontiguousarray(ticks(of.PANIC_MODE)),
            },
        ),
        scaling=columns_of(
            shape("scaling"),
            {
                "t_s": lambda: seconds(scaling(of.SCALING_T), load),
                "desired": lambda: np.ascontiguousarray(scaling(of.STATUS_DESIRED)),
                "replicas": lambda: np.ascontiguousarray(scaling(of.REPLICAS)),
            },
        ),
    )


def payers(every_pod: Sequence[Ints], every_node: Sequence[Ints], load: Ints) -> dict[str, Columns]:
    """The columns of pods and nodes of many runs, as in ``stacked``; ``load`` has shape ``(runs, 1)``."""
    pods, nodes = _padded(every_pod), _padded(every_node)
    of_pods = _times(pods, PAID_S, load) | {
        "pod": lambda: np.broadcast_to(np.arange(pods.shape[1]), pods.shape[:2]),
        "node": lambda: np.maximum(pods[:, :, of.NODE], -1),
        "instance_type": lambda: np.maximum(pods[:, :, of.TYPE], -1),
    }
    of_nodes = _times(nodes, NODE_S, load) | {
        "node": lambda: np.broadcast_to(np.arange(nodes.shape[1]), nodes.shape[:2]),
        "instance_type": lambda: np.maximum(nodes[:, :, of.NODE_TYPE], -1),
    }
    return {
        "pods": columns_of(pods.shape[:2], of_pods),
        "nodes": columns_of(nodes.shape[:2], of_nodes),
    }


def _times(rows: Ints, columns: Mapping[str, int], load: Ints | int) -> Made:
    """What makes the times of pods or nodes, given their rows, of one run or of many."""
    return {name: functools.partial(seconds, rows[..., column], load) for name, column in columns.items()}


def _columns(each: Sequence[NDArray[np.void]]) -> Callable[..., Array]:
    """What gives a column of records of different numbers as one array, or some rows of it, of the records' type.

    Missing rows hold ``NEVER_NS`` in a column of times, -1 in others.
    """
    lengths = np.array([len(one) for one in each], dtype=np.int64)
    if len(each) == 1:
        return lambda name, some=EVERY: each[0][name][some][np.newaxis]
    kind, width = each[0].dtype, lengths.max(initial=0)

    def missing(name: str, rows: int) -> Array:
        return np.full((len(each), rows), NEVER_NS if kind[name] == np.int64 else -1, dtype=kind[name])

    def column_of_many(name: str, some: slice = EVERY) -> Array:
        first, last, _ = some.indices(width)
        result = missing(name, last - first)
        for row, one in zip(result, each, strict=True):
            rows = one[name][first:last]
            row[: len(rows)] = rows
        return result

    if len(each) * width > LONG:  # put together, they would take as much memory once more, and be made for each part
        return column_of_many
    there = np.arange(width) < lengths[:, np.newaxis]
    # As bytes: numpy compares the fields of records, one by one, for each run.
    together = np.concatenate([one.view(f"V{kind.itemsize}") for one in each]).view(kind)

    def column(name: str, some: slice = EVERY) -> Array:
        result = missing(name, width)
        result[there] = together[name]
        return result[:, some]

    return column


def _padded(parts: Sequence[Ints]) -> Ints:
    """Tables of different lengths as one array; missing rows hold ``NEVER_NS``."""
    if len(parts) == 1:
        return parts[0][np.newaxis]
    rows = max((len(part) for part in parts), default=0)
    result = np.full((len(parts), rows, parts[0].shape[1]), NEVER_NS, dtype=np.int64)
    for index, part in enumerate(parts):
        result[index, : len(part)] = part
    return result
