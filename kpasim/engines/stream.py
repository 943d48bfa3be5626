"""Runs of any length in the same memory: draws made as they are needed, and pods that are gone counted and dropped.

The compiled engine stops wherever it has no draws for the next request. Meanwhile its state lies in plain arrays, so
rows of pods and nodes that nothing refers to any more can be taken out and the others numbered anew, in the same order.
What a pod's random numbers belong to is its ``NUMBER``, which stays. Only open loops with a rate are played like this:
a closed loop's draws belong to its workers, and a trace is in memory anyway.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.engines import compiled
from kpasim.engines.clock import ENTITY_BITS, Kind
from kpasim.engines.compiled import layout
from kpasim.engines.compiled.layout import World
from kpasim.engines.outcome import Counts, OutOfRoom
from kpasim.engines.params import FOREVER_NS, NEVER_NS, Capacity, Draws, Ints, Params
from kpasim.engines.podcount import PodCounter
from kpasim.engines.sampling import Sampler
from kpasim.policy import accounting

AT_ONCE = 1 << 15
"""Requests that draws are made for at a time."""

_SUPPLIED = ("sent", "delay", "klass", "service", "first_byte", "supply")
_OF_A_POD = (Kind.STAGE, Kind.READY, Kind.FORGET, Kind.DRAIN, Kind.KILL)
"""Planned events whose entity is a pod."""
_IN_VAIN = (Kind.DRAIN, Kind.KILL)
"""Those that do nothing to a pod that is gone."""


def count(params: Params, sampler: Sampler, replication: int, pods: int) -> Counts:
    """Play one replication and keep counts only, in memory that does not depend on how many requests there are.

    Args:
        params: The experiment.
        sampler: Its draws.
        replication: Index of the replication.
        pods: Pods there is room for between two stops, those that stay included.

    Raises:
        OutOfRoom: There are more pods or nodes than that.
    """
    draws = sampler.draw_but_requests(replication, pods)
    room = compiled.first_room(params, draws)._replace(requests=compiled.FIRST_RING, ticks=1, scalings=1)
    while True:
        run = _Run(params, sampler, replication, draws, room)
        fault = run.play()
        if fault == layout.NO_FAULT:
            return run.counted()
        if fault == layout.MORE_REQUESTS:
            room = room._replace(requests=4 * room.requests)
        elif fault in compiled.SHORT_OF:
            raise OutOfRoom(compiled.SHORT_OF[fault])
        else:
            room = compiled.more_room(room, fault)


class _Run:
    def __init__(self, params: Params, sampler: Sampler, replication: int, draws: Draws, room: Capacity) -> None:
        self._params, self._sampler, self._replication = params, sampler, replication
        self._parts = sampler.sent_in_parts(replication, AT_ONCE)
        self._following = next(self._parts, None)
        own = draws._replace(pod=draws.pod.copy(), node=draws.node.copy())
        self._world = layout.new_world(params, own, room, statistics_only=True)
        self._words = layout.new_words()
        self._added = 0
        self._concurrency_ns = 0
        self._pods = PodCounter()

    def play(self) -> int:
        """Play the whole replication; the fault at which it had to stop."""
        from kpasim.engines.compiled import machine

        i = self._world.i
        self._supply()
        layout.words(self._world, self._words)
        concurrency_ns = machine.play(self._world, self._words)
        while i[layout.FAULT] == layout.MORE_DRAWS:
            self._fold()
            self._supply()
            layout.words(self._world, self._words, *_SUPPLIED)
            concurrency_ns = machine.play(self._world, self._words)
        self._concurrency_ns += concurrency_ns
        return int(i[layout.FAULT])

    def counted(self) -> Counts:
        """What the run left."""
        i = self._world.i
        rows, load_ns, end_ns = self._rows(), int(i[layout.LOAD_NS]), int(i[layout.END_NS])
        self._pods.watch(rows, load_ns, end_ns + 1)
        self._pods.count(rows, load_ns, end_ns)
        counts = compiled.counts_of(self._world, self._concurrency_ns)
        return counts._replace(pods=counts.pods[:0], nodes=counts.nodes[:0], pod_totals=self._pods.totals)

    def _rows(self) -> Ints:
        return self._world.pod[: self._world.i[layout.PODS]]

    def _supply(self) -> None:
        """Put draws for the next requests in the place of those that no request needs any more."""
        i, by_start = self._world.i, bool(self._params.service_by_start)
        # What a new world holds is of no run yet.
        begun = i[layout.FAULT] == layout.MORE_DRAWS
        sent, started = (int(i[layout.SENT]), int(i[layout.STARTS])) if begun else (0, 0)
        part = self._following if self._following is not None else np.zeros(0, dtype=np.int64)
        self._following = next(self._parts, None)
        first = max(0, sent - len(self._world.request))
        until = sent + len(part)
        delay, klass = self._sampler.delays(self._replication, first, until - first)
        # Service begins at most as often as requests are sent, and those that wait now may begin as well.
        of_service = (started, len(self._world.request) + len(part)) if by_start else (first, until - first)
        service, first_byte = self._sampler.services(self._replication, *of_service)
        self._world = replace(
            self._world,
            sent=np.concatenate((np.zeros(sent - first, dtype=np.int64), part)),
            delay=delay,
            klass=klass,
            service=service,
            first_byte=first_byte,
            supply=np.array([until, self._following is None, first, of_service[0]], dtype=np.int64),
        )

    def _fold(self) -> None:
        """Count the pods that are gone for good, and drop their rows and those of their nodes."""
        w, i = self._world, self._world.i
        count = int(i[layout.PODS])
        self._pods.watch(self._rows(), int(i[layout.LOAD_NS]), int(i[layout.NOW]))
        events = _events(w)
        stays = (w.pod[:count, layout.GONE_NS] == NEVER_NS) | _named(w, events, count)
        if stays.all():
            return
        gone = np.flatnonzero(~stays)
        self._pods.count(w.pod[gone], int(i[layout.LOAD_NS]), int(i[layout.NOW]))
        activators = len(w.activator)
        self._concurrency_ns += int(w.stats[activators + gone, accounting.LIFETIME_INTEGRAL].sum())
        _renumber_pods(w, events, stays)
        i[layout.FOLDED] += len(gone)
        i[layout.PODS] = left = count - len(gone)
        w.pod_draw[left:] = self._sampler.pods(self._replication, left + int(i[layout.FOLDED]), len(w.pod_draw) - left)
        _renumber_nodes(w, events)
        self._added += int(i[layout.ADDED])
        i[layout.ADDED] = 0
        w.node_draw[:] = self._sampler.nodes(self._replication, self._added, len(w.node_draw))
        _plan_again(w, events)


def _events(w: World) -> Ints:
    """All planned events, as rows of time, kind and entity."""
    planned = w.heap[: w.i[layout.HEAP]]
    if w.i[layout.HOT_NS] != FOREVER_NS:
        planned = np.concatenate((planned, [[w.i[layout.HOT_NS], w.i[layout.HOT_KEY]]]))
    kinds, entities = planned[:, 1] >> ENTITY_BITS, planned[:, 1] & ((1 << ENTITY_BITS) - 1)
    return np.stack((planned[:, 0], kinds, entities), axis=1)


def _plan_again(w: World, events: Ints) -> None:
    """Put events that are not in vain back; a sorted table is a heap."""
    events = events[events[:, 2] >= 0]
    keys = (events[:, 1] << ENTITY_BITS) | events[:, 2]
    order = np.lexsort((keys, events[:, 0]))
    w.heap[: len(order), 0] = events[order, 0]
    w.heap[: len(order), 1] = keys[order]
    if not len(order):
        w.heap[0, 0] = FOREVER_NS
    w.i[layout.HEAP] = len(order)
    w.i[layout.HOT_NS] = FOREVER_NS


def _pods_of(w: World, events: Ints) -> list[tuple[Any, Ints, Any]]:
    """Where events name pods: which events, the pods, and how an entity is made of its pod."""
    activators = len(w.activator)
    found, seen = events[:, 1] == Kind.FOUND, events[:, 1] == Kind.VISIBLE
    plain = np.isin(events[:, 1], [int(kind) for kind in _OF_A_POD])
    entities = events[:, 2]
    return [
        (plain, entities[plain], lambda pods, old: pods),
        (found, entities[found] // activators, lambda pods, old: pods * activators + old % activators),
        (seen, entities[seen] >> 1, lambda pods, old: 2 * pods + (old & 1)),
    ]


def _pod_lists(w: World) -> list[Ints]:
    """All lists of pods, each as far as it is in use."""
    i, activators = w.i, range(len(w.activator))
    return [
        w.lists[layout.VISIBLE_PODS, : i[layout.VISIBLE]],
        w.lists[layout.ALIVE_PODS, : i[layout.ALIVE]],
        w.lists[layout.PENDING_PODS, : i[layout.PENDING]],
        *(w.found[index, : w.activator[index, layout.A_VIEW]] for index in activators),
        *(w.assigned[index, : w.activator[index, layout.A_ASSIGNED]] for index in activators),
        w.sticky[0],
        w.node[: i[layout.NODES], layout.N_PULLER],
    ]


def _requests(w: World) -> NDArray[np.void]:
    """Rows of requests that were sent and not overwritten."""
    return w.request[: min(w.i[layout.SENT], w.i[layout.ROWS])]


def _named(w: World, events: Ints, count: int) -> Any:
    """Which pods something refers to, but for what would be in vain."""
    named = np.zeros(count, dtype=np.bool_)
    for listed in _pod_lists(w):
        named[listed[listed >= 0]] = True
    rows = _requests(w)
    alive = rows["status"] < layout.ENDED_FROM
    alive |= (w.queue[: len(rows), layout.R_NEXT] == layout.GHOST) | (rows["done"] == FOREVER_NS)
    with_pods = rows["pod"][alive & (rows["pod"] >= 0)]
    named[with_pods] = True
    for which, pods, _ in _pods_of(w, events):
        named[pods[~np.isin(events[which, 1], [int(kind) for kind in _IN_VAIN])]] = True
    return named | w.in_flight[:, :count].any(axis=0)


def _renumber_pods(w: World, events: Ints, stays: Any) -> None:
    """Close the gaps between the pods that stay; events in vain get the entity -1."""
    count = len(stays)
    new = np.where(stays, np.cumsum(stays) - 1, layout.NOTHING)
    left = int(stays.sum())
    activators = len(w.activator)
    tables = [w.pod, w.published, w.stats[activators:], w.slots, w.pod_draw, w.in_flight.T]
    if len(w.group) and not w.p[layout.P.shared_by_node]:
        tables.append(w.group)
    for table in tables:
        table[:left] = table[:count][stays]
        table[left:count] = 0
    w.slots[left:count] = w.p[layout.P.container_concurrency]
    for listed in _pod_lists(w):
        listed[listed >= 0] = new[listed[listed >= 0]]
    rows = _requests(w)
    ended = rows["pod"] >= count
    with_pods = (rows["pod"] >= 0) & ~ended
    rows["pod"][with_pods] = new[rows["pod"][with_pods]]
    for which, pods, entity in _pods_of(w, events):
        events[which, 2] = np.where(stays[pods], entity(new[pods], events[which, 2]), -1)


def _renumber_nodes(w: World, events: Ints) -> None:
    """Drop nodes that have gone, and that neither a pod nor an event refers to."""
    i, count = w.i, int(w.i[layout.NODES])
    rows = w.pod[: i[layout.PODS]]
    stays = w.node[:count, layout.N_GONE] == NEVER_NS
    placed = rows[:, layout.NODE] >= 0
    stays[rows[placed, layout.NODE]] = True
    due = events[:, 1] == Kind.NODE
    stays[events[due, 2]] = True
    new, left = np.cumsum(stays) - 1, int(stays.sum())
    tables = [w.node]
    if len(w.group) and w.p[layout.P.shared_by_node]:
        tables.append(w.group)
    for table in tables:
        table[:left] = table[:count][stays]
        table[left:count] = 0
    rows[placed, layout.NODE] = new[rows[placed, layout.NODE]]
    events[due, 2] = new[events[due, 2]]
    i[layout.NODES] = left
    i[layout.FIRST_NODE] = 0
