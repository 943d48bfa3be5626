"""The engine for everything else: the same experiment as one compiled loop over arrays.

The modules mirror ``engines/reference`` function by function. They are plain Python as they stand; ``machine`` lets
numba compile them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.engines.compiled import layout
from kpasim.engines.compiled.layout import World, new_world
from kpasim.engines.outcome import Counts, Outcome, OutOfRoom
from kpasim.engines.params import Capacity, Draws, Ints, Params
from kpasim.engines.podcount import totals_of

_DRAWN = (
    "phase", "service", "klass", "first_byte", "delay", "sent", "own_service", "supply", "pod_draw", "node_draw", "key",
    "load_phase_ns",
)  # fmt: skip
"""Fields of ``World`` that belong to one replication."""
_HANDED_OVER = {"request": layout.SENT, "drawn": layout.SENT, "ticks": layout.TICKS, "scaling": layout.SCALINGS}
"""Tables of ``World`` that an outcome takes over, and what says how many of their rows are in use."""
SHORT_OF = {layout.MORE_PODS: "pods", layout.MORE_NODES: "nodes", layout.MORE_REQUESTS: "requests"}
"""What a run that stopped with a fault lacks, where only the caller can give it."""
FIRST_RING = 1024
"""Requests on their way at once that there is room for at first where none is kept; a power of two."""


def first_room(params: Params, draws: Draws) -> Capacity:
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


def more_room(room: Capacity, fault: int) -> Capacity:
    """Twice the room for what was short."""
    if fault == layout.MORE_TICKS:
        return room._replace(ticks=4 * room.ticks)
    if fault == layout.MORE_SCALINGS:
        return room._replace(scalings=4 * room.scalings)
    return room._replace(events=4 * room.events)


def run(params: Params, draws: Draws) -> Outcome:
    """Play one replication with the compiled engine.

    Raises:
        OutOfRoom: The run needs more pods, nodes or requests than ``draws`` holds.
    """
    return run_many(params, [draws])[0]


def run_many(params: Params, draws: Sequence[Draws], threads: int = 1) -> list[Outcome]:
    """Play replications, in their order; the lock of the interpreter is free meanwhile.

    Args:
        params: The experiment.
        draws: Random numbers of each replication.
        threads: How many to play at the same time.

    Raises:
        OutOfRoom: A run needs more pods, nodes or requests than its draws hold.
    """
    return _share_out(lambda share: [_outcome(*one) for one in _play(params, share)], draws, threads)


def count_many(params: Params, draws: Sequence[Draws], threads: int = 1) -> list[Counts]:
    """Play replications and keep no request, tick or change of scale: only counts, pods and nodes.

    The memory of an ended request is used again, so a run takes room for as many requests as are on their way at once.

    Args:
        params: The experiment.
        draws: Random numbers of each replication.
        threads: How many to play at the same time.

    Raises:
        OutOfRoom: A run needs more pods, nodes or requests than its draws hold.
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


def _play(params: Params, draws: Sequence[Draws], statistics_only: bool = False) -> Iterator[tuple[World, int]]:
    """The arrays at the end of each replication, which the next one takes over."""
    from kpasim.engines.compiled import machine

    room = first_room(params, draws[0])
    if statistics_only:
        room = room._replace(requests=FIRST_RING, ticks=1, scalings=1)
    world, table = new_world(params, draws[0], room, statistics_only=statistics_only), layout.new_words()
    layout.words(world, table)
    for place, one in enumerate(draws):
        if place and not statistics_only:
            # What has been handed over is not written to again.
            world = replace(world, **_fresh(world))
            layout.words(world, table, *_HANDED_OVER)
        if len(one.pod) != len(world.pod_draw):
            del world  # before there is another
            world = new_world(params, one, room, statistics_only=statistics_only)
            layout.words(world, table)
        while True:
            world = replace(
                world,
                phase=_plain(one.phase),
                service=_plain(one.service),
                klass=_plain(one.klass),
                first_byte=_plain(one.first_byte),
                delay=_plain(one.delay),
                sent=_plain(one.sent),
                own_service=_plain(one.own_service),
                supply=layout.whole_supply(one),
                pod_draw=_plain(one.pod),
                node_draw=_plain(one.node),
                key=one.key,
                load_phase_ns=one.load_phase_ns,
            )
            layout.words(world, table, *_DRAWN)
            total = machine.play(world, table)
            fault = int(world.i[layout.FAULT])
            if fault == layout.NO_FAULT:
                break
            full = statistics_only and room.requests < max(params.requests, len(one.sent))
            if fault == layout.MORE_REQUESTS and full:
                room = room._replace(requests=4 * room.requests)
            elif fault in SHORT_OF:
                raise OutOfRoom(SHORT_OF[fault])
            else:
                room = more_room(room, fault)
            del world
            world = new_world(params, one, room, statistics_only=statistics_only)
            layout.words(world, table)
        yield world, total


def _plain(array: Ints) -> Ints:
    """The array as compiled code takes it: contiguous and writable."""
    return np.require(array, dtype=np.int64, requirements=["C", "W"])


def _fresh(world: World) -> dict[str, Any]:
    """Arrays in place of those that an outcome has taken over."""
    tables = {name: (getattr(world, name), world.i[used]) for name, used in _HANDED_OVER.items()}
    return {name: np.empty_like(table) for name, (table, used) in tables.items() if _is_full(table, used)}


def _is_full(table: NDArray[Any], used: int) -> bool:
    """Whether a table is used well enough to be handed over as it is, rather than copied."""
    return bool(5 * used > 4 * len(table))


def _part(table: NDArray[Any], used: int) -> Any:
    return table[:used] if _is_full(table, used) else table[:used].copy()


def _outcome(world: World, concurrency_ns: int) -> Outcome:
    i = world.i
    request, drawn, ticks, scaling = (_part(getattr(world, name), i[used]) for name, used in _HANDED_OVER.items())
    return Outcome(
        int(i[layout.LOAD_NS]),
        int(i[layout.END_NS]),
        request,
        drawn,
        world.pod[: i[layout.PODS], :14].copy(),
        world.node[: i[layout.NODES], :6].copy(),
        ticks,
        scaling,
        concurrency_ns,
    )


def counts_of(world: World, concurrency_ns: int) -> Counts:
    """What is left of a run that kept no request."""
    i = world.i
    pods = world.pod[: i[layout.PODS], :14].copy()
    return Counts(
        int(i[layout.LOAD_NS]),
        int(i[layout.END_NS]),
        int(i[layout.SENT]),
        int(i[layout.OK_COUNT]),
        int(i[layout.ERROR_COUNT]),
        int(i[layout.LAST_END]),
        int(i[layout.LATENCY_SUM]),
        int(i[layout.LATENCY_MIN]),
        int(i[layout.LATENCY_MAX]),
        world.histogram.copy(),
        pods,
        world.node[: i[layout.NODES], :6].copy(),
        concurrency_ns,
        totals_of(pods, int(i[layout.LOAD_NS]), int(i[layout.END_NS])),
    )
