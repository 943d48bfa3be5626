"""The engine for everything else: the events of the model over arrays, in one compiled loop.

``model`` holds the events and the state; here are the fast ``event_queue``, the loop, the state as arrays, and
what makes machine code of them (``compiler``) and keeps it (``machine``, ``cache``).
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.arrays import Ints
from kpasim.engines.compiled.arrays import Arrays
from kpasim.engines.model import state
from kpasim.engines.outcome import NODE_COLUMNS, POD_COLUMNS, CapacityExceeded, Counts, Outcome
from kpasim.engines.params import Capacity, Draws, Params
from kpasim.engines.podcount import totals_of

FIRST_RING = 1024
"""Requests on their way at once that there are rows for at first where none is kept; a power of two."""

_kept = threading.local()


def first_capacity(params: Params, draws: Draws) -> Capacity:
    """Room to try first."""
    pods = len(draws.pod)
    last_sent_s = int(draws.sent[-1]) // 1_000_000_000 if len(draws.sent) else 0
    ticks = max(last_sent_s, params.horizon_ns // 1_000_000_000) // 2
    return Capacity(
        requests=max(params.requests, 1),
        pods=pods,
        nodes=len(draws.node),
        ticks=1024 + ticks,
        # A change of what is wanted at each tick, and of what is there with each pod, is more than ever comes.
        scalings=1024 + ticks + 2 * pods,
        events=1024 + 8 * pods * params.activators + 4 * params.workers,
    )


def larger_capacity(capacity: Capacity, fault: int) -> Capacity:
    """Four times the capacity for what was short.

    Raises:
        CapacityExceeded: Only the caller can give it.
    """
    if fault in state.SHORT_OF:
        raise CapacityExceeded(state.SHORT_OF[fault])
    if fault == state.MORE_TICKS:
        return capacity._replace(ticks=4 * capacity.ticks)
    if fault == state.MORE_SCALINGS:
        return capacity._replace(scalings=4 * capacity.scalings)
    return capacity._replace(events=4 * capacity.events)


def run(params: Params, draws: Draws) -> Outcome:
    """Play one replication with the compiled engine.

    Raises:
        CapacityExceeded: The run needs more pods, nodes or requests than ``draws`` holds.
    """
    return run_many(params, [draws])[0]


def run_many(params: Params, draws: Sequence[Draws], threads: int = 1) -> list[Outcome]:
    """Play replications, in their order; the lock of the interpreter is free meanwhile.

    Args:
        params: The experiment.
        draws: Random numbers of each replication.
        threads: How many to play at the same time.

    Raises:
        CapacityExceeded: A run needs more pods, nodes or requests than its draws hold.
    """
    return _share_out(lambda share: [outcome_of(*one) for one in _play(params, share)], draws, threads)


def requests_of_each(
    params: Params, draws: Sequence[Draws], settings: Mapping[str, NDArray[Any]]
) -> list[tuple[NDArray[Any], int]]:
    """Play replications that may differ in some settings, in their order, and keep nothing but their requests.

    Args:
        params: The experiment.
        draws: Random numbers of each replication.
        settings: Fields of ``params`` that are arrays, a row for each replication.

    Returns:
        The requests of each, see ``Outcome``, and when its load began.

    Raises:
        CapacityExceeded: A run needs more pods, nodes or requests than its draws hold.
    """
    played = _play(params, draws, settings=settings)
    return [(one.requests[: one.clients["sent"][0]].copy(), int(one.core["load_ns"][0])) for one, _ in played]


def count_many(params: Params, draws: Sequence[Draws], threads: int = 1) -> list[Counts]:
    """Play replications and keep no request, tick or change of scale: only counts, pods and nodes.

    The memory of an ended request is used again, so a run takes rows for as many requests as are on their way at once.

    Args:
        params: The experiment.
        draws: Random numbers of each replication.
        threads: How many to play at the same time.

    Raises:
        CapacityExceeded: A run needs more pods, nodes or requests than its draws hold.
    """
    return _share_out(lambda share: [counts_of(*one) for one in _play(params, share, True)], draws, threads)


def _share_out(play: Callable[[Sequence[Draws]], list[Any]], draws: Sequence[Draws], threads: int) -> list[Any]:
    from kpasim.engines.compiled import machine

    machine.ready()  # once, before threads ask for it
    if threads <= 1 or len(draws) < 2 * threads:
        return play(draws)
    shares = [draws[index::threads] for index in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(play, shares))
    return [done[index % threads][index // threads] for index in range(len(draws))]


def _play(
    params: Params,
    draws: Sequence[Draws],
    statistics_only: bool = False,
    settings: Mapping[str, NDArray[Any]] = MappingProxyType({}),
) -> Iterator[tuple[Arrays, int]]:
    """The arrays at the end of each replication, which the next one takes over."""
    from kpasim.engines.compiled import machine

    capacity = first_capacity(params, draws[0])
    if statistics_only:
        capacity = capacity._replace(requests=FIRST_RING, ticks=1, scalings=1)
    arrays = _first_arrays(params, draws[0], capacity, statistics_only)
    capacity = arrays.capacity
    for place, one in enumerate(draws):
        _take_back(arrays)
        if len(one.pod) != len(arrays.pods):
            del arrays  # before there are others
            arrays = Arrays(params, one, capacity, statistics_only=statistics_only)
        while True:
            arrays.give(one)
            for name, rows in settings.items():
                arrays.put(f"params.{name}", rows[place])
            total = machine.play(arrays)
            fault = arrays.read("core").fault
            if fault == state.NO_FAULT:
                break
            full = statistics_only and capacity.requests < max(params.requests, len(one.sent))
            if fault == state.MORE_REQUESTS and full:
                capacity = capacity._replace(requests=4 * capacity.requests)
            else:
                capacity = larger_capacity(capacity, fault)
            del arrays
            arrays = Arrays(params, one, capacity, statistics_only=statistics_only)
        yield arrays, total
    if not statistics_only and arrays.is_small:
        _kept.arrays = arrays


def _first_arrays(params: Params, draws: Draws, capacity: Capacity, statistics_only: bool) -> Arrays:
    """Those of the last run, if they were few: in a sweep, making them takes longer than a replication."""
    kept: Arrays | None = getattr(_kept, "arrays", None)
    _kept.arrays = None
    if kept is None or statistics_only:
        return Arrays(params, draws, capacity, statistics_only=statistics_only)
    # What the last run was short of, this one would be, and begin again.
    most = {
        name: max(getattr(capacity, name), getattr(kept.capacity, name)) for name in ("ticks", "scalings", "events")
    }
    kept.take(params, draws, capacity._replace(**most))
    return kept


def _take_back(arrays: Arrays) -> None:
    """Replace tables that have been handed over, which are not written to again."""
    for name in arrays.handed_over:
        arrays.put(name, np.empty_like(getattr(arrays, name)))
    arrays.handed_over.clear()


def _part(arrays: Arrays, name: str, used: int) -> Any:
    """The rows of a table that are in use; where most are, it is handed over as it is, rather than copied."""
    table = getattr(arrays, name)
    if 5 * used <= 4 * len(table):
        return table[:used].copy()
    arrays.handed_over.append(name)
    return table[:used]


def columns(entities: NDArray[Any], count: int) -> Ints:
    """The first numbers of whole-number records, as a table."""
    return entities.view(np.int64).reshape(len(entities), entities.itemsize // 8)[:, :count]


def outcome_of(arrays: Arrays, concurrency_ns: int) -> Outcome:
    """What a run left."""
    core, recorder, sent = arrays.read("core"), arrays.read("recorder"), int(arrays.clients["sent"][0])
    return Outcome(
        load_ns=core.load_ns,
        end_ns=core.end_ns,
        requests=_part(arrays, "requests", sent),
        drawn=_part(arrays, "drawn", sent),
        pods=columns(arrays.pods[: arrays.read("revision").pods], POD_COLUMNS).copy(),
        nodes=columns(arrays.nodes[: arrays.read("cluster").nodes], NODE_COLUMNS).copy(),
        ticks=_part(arrays, "ticks", recorder.ticks),
        scaling=_part(arrays, "scaling", recorder.scalings),
        concurrency_ns=concurrency_ns,
    )


def counts_of(arrays: Arrays, concurrency_ns: int) -> Counts:
    """What is left of a run that kept no request."""
    core, clients = arrays.read("core"), arrays.read("clients")
    pods = columns(arrays.pods[: arrays.read("revision").pods], POD_COLUMNS).copy()
    return Counts(
        load_ns=core.load_ns,
        end_ns=core.end_ns,
        requests=clients.sent,
        ok=clients.ok,
        errors=clients.errors,
        failed=(clients.timed_out, clients.with_502, clients.with_503, clients.with_504),
        last_ns=clients.last_end_ns,
        latency_sum_ns=clients.latency_sum_ns,
        latency_min_ns=clients.latency_min_ns,
        latency_max_ns=clients.latency_max_ns,
        latencies=arrays.histogram.copy(),
        pods=pods,
        nodes=columns(arrays.nodes[: arrays.read("cluster").nodes], NODE_COLUMNS).copy(),
        concurrency_ns=concurrency_ns,
        pod_totals=totals_of(pods, core.load_ns, core.end_ns),
    )
