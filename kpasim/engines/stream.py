"""Long runs in parts: draws made as they are needed, and pods that are gone counted or put aside.

The compiled engine stops wherever it has no draws for the next request. Meanwhile its state lies in plain arrays, so
rows of pods and nodes that nothing refers to any more can be taken out and the others numbered anew, in the same order.
What a pod's random numbers belong to is its ``number``, which stays. Only open loops with a rate are played like this:
a closed loop's draws belong to its workers, and a trace is in memory anyway. A run that keeps counts only takes the
same memory whatever its length; one that keeps tables, see ``long``, little more than these.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.arrays import Bools, Floats, Ints
from kpasim.engines import compiled
from kpasim.engines.clock import ENTITY_BITS, Kind
from kpasim.engines.compiled import event_queue
from kpasim.engines.compiled.arrays import Arrays
from kpasim.engines.model import state, views
from kpasim.engines.model.state import EventQueue, Supply
from kpasim.engines.outcome import NODE_COLUMNS, POD_COLUMNS, Counts
from kpasim.engines.params import FOREVER_NS, NEVER_NS, Capacity, Draws, Params
from kpasim.engines.podcount import PodCounter
from kpasim.engines.sampling import Sampler
from kpasim.policy import accounting

AT_ONCE = 1 << 15
"""Requests that draws are made for at a time."""

_OF_A_POD = (Kind.STAGE, Kind.READY, Kind.FORGET, Kind.DRAIN, Kind.KILL)
"""Planned events whose entity is a pod."""
_IN_VAIN = (Kind.DRAIN, Kind.KILL)
"""Those that do nothing to a pod that is gone."""


Bill = Callable[[Ints, Ints, int], Floats]
"""Sums over rows of pods and of nodes that are gone, as in ``Outcome``, given the start of the load."""


def count(params: Params, sampler: Sampler, replication: int, pods: int, bill: Bill | None = None) -> Counts:
    """Play one replication and keep counts only, in memory that does not depend on how many requests there are.

    There are rows for so many pods between two stops, those that stay included. ``bill`` is for the pods and nodes that
    the counts will not hold.

    Raises:
        CapacityExceeded: There are more pods or nodes than that.
    """
    draws = sampler.draw_but_requests(replication, pods)
    capacity = compiled.first_capacity(params, draws)._replace(requests=compiled.FIRST_RING, ticks=1, scalings=1)
    while True:
        run = _Counted(params, sampler, replication, draws, capacity, bill)
        fault = run.play()
        if fault == state.NO_FAULT:
            return run.counted()
        capacity = larger(capacity, fault)


def larger(capacity: Capacity, fault: int) -> Capacity:
    """More capacity of what a run in parts was short of.

    Raises:
        CapacityExceeded: Only the caller can give it.
    """
    if fault == state.MORE_REQUESTS:
        return capacity._replace(requests=4 * capacity.requests)
    return compiled.larger_capacity(capacity, fault)


class Run(ABC):
    """One replication in parts.

    Attributes:
        arrays: State of the run.
        concurrency_ns: Integral of concurrency so far, see ``Outcome``, of the pods that were dropped.
    """

    def __init__(
        self,
        params: Params,
        sampler: Sampler,
        replication: int,
        draws: Draws,
        parts: Iterator[Ints],
        arrays: Arrays,
    ) -> None:
        """Prepare a run with draws of its pods and nodes, which are written to, and send times, some at a time."""
        self.params, self._sampler, self._replication = params, sampler, replication
        self._parts, self._draws, self.arrays = parts, draws, arrays
        self._following = next(parts, None)
        self._added = 0
        self.concurrency_ns = 0

    @abstractmethod
    def first_in_use(self, sent: int) -> int:
        """The first of the requests sent so far that may need draws, or its row."""

    @abstractmethod
    def rows_in_use(self) -> NDArray[np.void]:
        """Rows of requests whose pods are to be numbered anew."""

    @abstractmethod
    def pods_of_requests(self) -> Ints:
        """The pods that these refer to."""

    @abstractmethod
    def pause(self) -> None:
        """See what there is before pods are dropped."""

    @abstractmethod
    def drop(self, pods: Ints, numbers: Ints, nodes: Ints, stays: Bools) -> None:
        """Take over what is dropped.

        Args:
            pods: Rows of pods, as in ``Outcome``.
            numbers: Places of these pods among all of the run.
            nodes: Rows of nodes.
            stays: Which of the nodes so far are not dropped.
        """

    def play(self) -> int:
        """Play the whole replication; the fault at which it had to stop."""
        from kpasim.engines.compiled import machine

        self._supply()
        concurrency_ns = machine.play(self.arrays)
        while self.arrays.read("core").fault == state.MORE_DRAWS:
            self._fold()
            self._supply()
            concurrency_ns = machine.play(self.arrays)
        self.concurrency_ns += concurrency_ns
        return int(self.arrays.read("core").fault)

    def pods(self) -> Ints:
        """Rows of the pods that were not dropped, as in ``Outcome``."""
        return compiled.columns(self.arrays.pods[: self.arrays.read("revision").pods], POD_COLUMNS)

    def _supply(self) -> None:
        """Put draws for the next requests in the place of those that no request needs any more."""
        clients = self.arrays.read("clients")
        # What new arrays hold is of no run yet.
        begun = self.arrays.read("core").fault == state.MORE_DRAWS
        sent, started = (clients.sent, clients.starts) if begun else (0, 0)
        part = self._following if self._following is not None else np.zeros(0, dtype=np.int64)
        self._following = next(self._parts, None)
        first = self.first_in_use(sent)
        until = sent + len(part)
        delay, klass = self._sampler.delays(self._replication, first, until - first)
        # Service begins at most as often as requests are sent, and those that wait now may begin as well.
        first_service = started if self.params.service_by_start else first
        service, first_byte = self._sampler.services(self._replication, first_service, until - first)
        self._draws = self._draws._replace(
            sent=np.concatenate((np.zeros(sent - first, dtype=np.int64), part)),
            delay=delay,
            klass=klass,
            service=service,
            first_byte=first_byte,
        )
        self.arrays.give(self._draws, Supply(until, int(self._following is None), first, first_service))

    def _fold(self) -> None:
        """Drop the rows of the pods that are gone for good, and those of their nodes."""
        arrays = self.arrays
        _drop_gone(arrays)
        self.pause()
        revision = arrays.read("revision")
        count = revision.pods
        events = _events(arrays)
        stays = (arrays.pods["gone_ns"][:count] == NEVER_NS) | self._named(events, count)
        if stays.all():
            return
        gone = np.flatnonzero(~stays)
        pods, numbers = self.pods()[gone], arrays.numbers[gone]
        integrals = [accounting.EARLIER_INTEGRAL, accounting.INTEGRAL]
        self.concurrency_ns += int(arrays.stats[self.params.activators + gone][:, integrals].sum())
        self._renumber(events, stays)
        revision.folded += len(gone)
        revision.pods = left = count - len(gone)
        arrays.write("revision", revision)
        draws = self._draws
        draws.pod[left:] = self._sampler.pods(self._replication, left + revision.folded, len(draws.pod) - left)
        nodes_stay = _nodes_that_stay(arrays, events)
        self.drop(pods, numbers, _renumber_nodes(arrays, events, nodes_stay), nodes_stay)
        cluster = arrays.read("cluster")
        self._added += cluster.added
        cluster.added = 0
        arrays.write("cluster", cluster)
        draws.node[:] = self._sampler.nodes(self._replication, self._added, len(draws.node))
        _schedule_again(arrays, events)

    def _named(self, events: Ints, count: int) -> Bools:
        """Which pods something refers to, but for what would be in vain."""
        arrays = self.arrays
        named = np.zeros(count, dtype=np.bool_)
        for listed in (*_pod_lists(arrays), *_views(arrays)):
            named[listed[listed >= 0]] = True
        named[self.pods_of_requests()] = True
        for which, pods, _ in _pods_of(arrays, events):
            named[pods[~np.isin(events[which, 1], [int(kind) for kind in _IN_VAIN])]] = True
        return np.asarray(named | arrays.in_flight[:, :count].any(axis=0))

    def _renumber(self, events: Ints, stays: Bools) -> None:
        """Close the gaps between the pods that stay; events in vain get the entity -1."""
        arrays, count = self.arrays, len(stays)
        new = np.where(stays, np.cumsum(stays) - 1, state.NOTHING)
        queues = arrays.pod_queues
        stats = arrays.stats[len(arrays.activators) :]
        tables = [arrays.pods, arrays.pod_links, queues, arrays.published, stats, arrays.draws.pod]
        tables += [arrays.in_flight.T, arrays.samples]
        tables += [arrays.numbers, arrays.addresses, arrays.readable, arrays.started]
        if len(arrays.transfers):
            tables.append(arrays.transfers)
        if len(arrays.gpus) and not arrays.params.shared_by_node:
            tables.append(arrays.gpus)
        seen = _views(arrays)
        _close_gaps(tables, stays)
        for listed in (*_pod_lists(arrays), *_links(arrays)):
            known = (listed >= 0) & (listed < count)  # rows that are not in use hold anything
            listed[known] = new[listed[known]]
        _write_views(arrays, [new[listed] for listed in seen])
        rows = self.rows_in_use()
        ended = rows["pod"] >= count
        with_pods = (rows["pod"] >= 0) & ~ended
        rows["pod"][with_pods] = new[rows["pod"][with_pods]]
        for which, pods, entity in _pods_of(arrays, events):
            events[which, 2] = np.where(stays[pods], entity(new[pods], events[which, 2]), -1)


class _Counted(Run):
    """A run that keeps counts only."""

    def __init__(
        self,
        params: Params,
        sampler: Sampler,
        replication: int,
        draws: Draws,
        capacity: Capacity,
        bill: Bill | None,
    ) -> None:
        own = own_copy(draws)
        parts = sampler.sent_in_parts(replication, AT_ONCE)
        super().__init__(params, sampler, replication, own, parts, Arrays(params, own, capacity, statistics_only=True))
        self._pods = PodCounter()
        self._bill, self._billed = bill, np.zeros(())

    def first_in_use(self, sent: int) -> int:
        return max(0, sent - len(self.arrays.requests))

    def rows_in_use(self) -> NDArray[np.void]:
        clients = self.arrays.read("clients")
        rows: NDArray[np.void] = self.arrays.requests[: min(clients.sent, clients.rows)]
        return rows

    def pods_of_requests(self) -> Ints:
        rows = self.rows_in_use()
        alive = rows["status"] < state.ENDED_FROM
        alive |= (self.arrays.links["next"][: len(rows)] == state.ORPHANED) | (rows["done_ns"] == FOREVER_NS)
        pods: Ints = rows["pod"][alive & (rows["pod"] >= 0)]
        return pods

    def pause(self) -> None:
        core = self.arrays.read("core")
        self._pods.watch(self.pods(), core.load_ns, core.now_ns)

    def drop(self, pods: Ints, numbers: Ints, nodes: Ints, stays: Bools) -> None:
        core = self.arrays.read("core")
        self._pods.count(pods, core.load_ns, core.now_ns)
        if self._bill:
            self._billed = self._billed + self._bill(pods, nodes, core.load_ns)

    def counted(self) -> Counts:
        """What the run left."""
        core, rows = self.arrays.read("core"), self.pods()
        self._pods.watch(rows, core.load_ns, core.end_ns + 1)
        self._pods.count(rows, core.load_ns, core.end_ns)
        counts = compiled.counts_of(self.arrays, self.concurrency_ns)
        return counts._replace(pod_totals=self._pods.totals, billed=self._billed)


def own_copy(draws: Draws) -> Draws:
    """Draws whose pods and nodes may be written to."""
    return draws._replace(pod=draws.pod.copy(), node=draws.node.copy())


def _events(arrays: Arrays) -> Ints:
    """All scheduled events, as rows of time, kind and entity."""
    queue = arrays.read("event_queue")
    scheduled = np.concatenate((arrays.near[1 : queue.near + 1], arrays.heap[: queue.size], *_in_buckets(arrays)))
    kinds, entities = scheduled[:, 1] >> ENTITY_BITS, scheduled[:, 1] & ((1 << ENTITY_BITS) - 1)
    return np.stack((scheduled[:, 0], kinds, entities), axis=1)


def _in_buckets(arrays: Arrays) -> Iterator[Ints]:
    """The events of ``later``, page by page."""
    for bucket in np.flatnonzero(arrays.buckets[:, event_queue.LAST] != state.NOTHING):
        page, last = arrays.buckets[bucket]
        row = page << state.PAGE_BITS
        if bucket == state.TIED:
            row = arrays.read("event_queue").next_tied
        while row >> state.PAGE_BITS != last >> state.PAGE_BITS:
            page = row >> state.PAGE_BITS
            yield arrays.later[row : (page + 1) << state.PAGE_BITS]
            row = arrays.pages[page] << state.PAGE_BITS
        yield arrays.later[row : last + 1]


def _schedule_again(arrays: Arrays, events: Ints) -> None:
    """Put events that are not in vain back, as ``event_queue.fill_buckets`` finds them; a sorted table is a heap."""
    events = events[events[:, 2] >= 0]
    keys = (events[:, 1] << ENTITY_BITS) | events[:, 2]
    order = np.lexsort((keys, events[:, 0]))
    scheduled = np.stack((events[order, 0], keys[order]), axis=1)
    near, others = scheduled[: event_queue.HALF], scheduled[event_queue.HALF :]
    until_ns = int(near[-1, 0]) if len(others) else FOREVER_NS
    tied, later = others[others[:, 0] == until_ns], others[others[:, 0] > until_ns]
    arrays.near[1 : len(near) + 1] = near[::-1]
    arrays.heap[: len(tied)] = tied
    arrays.heap[len(tied) : len(tied) + event_queue.BEHIND, 0] = FOREVER_NS
    arrays.later[: len(later)] = later
    pages = -(-len(later) >> state.PAGE_BITS)
    arrays.pages[:pages] = np.arange(1, pages + 1)
    arrays.buckets[:, event_queue.LAST] = state.NOTHING
    arrays.filled[:] = 0
    queue = EventQueue(near=len(near), size=len(tied), until_ns=until_ns, pages=pages, put_back=len(later) - 1)
    arrays.write("event_queue", queue)


def _pods_of(arrays: Arrays, events: Ints) -> list[tuple[Any, Ints, Any]]:
    """Where events name pods: which events, the pods, and how an entity is made of its pod."""
    activators = len(arrays.activators)
    found, seen = events[:, 1] == Kind.FOUND, events[:, 1] == Kind.VISIBLE
    plain = np.isin(events[:, 1], [int(kind) for kind in _OF_A_POD])
    entities = events[:, 2]
    return [
        (plain, entities[plain], lambda pods, old: pods),
        (found, entities[found] // activators, lambda pods, old: pods * activators + old % activators),
        (seen, entities[seen] >> 1, lambda pods, old: 2 * pods + (old & 1)),
    ]


def _drop_gone(arrays: Arrays) -> None:
    """Take the pods that are gone out of the list of those that are alive."""
    revision = arrays.read("revision")
    listed = arrays.alive_pods[: revision.listed]
    alive = listed[arrays.pods["phase"][listed] != state.GONE]
    listed[: len(alive)] = alive
    revision.listed = len(alive)
    arrays.write("revision", revision)


def _pod_lists(arrays: Arrays) -> list[Ints]:
    """All lists of pods but the views, each as far as it is in use."""
    return [
        arrays.alive_pods[: arrays.read("revision").listed],
        arrays.unprobed[: arrays.read("revision").unprobed],
        arrays.sessions["pod"],
        arrays.nodes["puller"][: arrays.read("cluster").nodes],
    ]


def _views(arrays: Arrays) -> list[Ints]:
    """The pods of each view, in its order."""
    found = []
    for at, view in enumerate(arrays.views):
        counts = arrays.block_pods[at, : view["blocks"]]
        first = np.repeat(arrays.blocks[at, : view["blocks"]] * views.WIDTH, counts)
        inside = np.arange(view["count"]) - np.repeat(np.cumsum(counts) - counts, counts)
        found.append(arrays.members[at, first + inside])
    return found


def _write_views(arrays: Arrays, found: list[Ints]) -> None:
    """Make the views anew, each block half full."""
    arrays.spots[:] = state.NOTHING
    for at, listed in enumerate(found):
        nth, inside = np.divmod(np.arange(len(listed)), views.HALF)
        blocks = max(1, -(-len(listed) // views.HALF))
        places = np.arange(blocks)
        spots = nth * views.WIDTH + inside
        is_free = np.zeros(len(listed), dtype=np.int64)
        if at < len(arrays.in_flight):
            is_free += arrays.in_flight[at, listed] < arrays.params.container_concurrency
        arrays.views[at] = (len(listed), blocks, state.NOT_ASKED, 0)
        arrays.blocks[at, :blocks] = arrays.block_nth[at, :blocks] = places
        arrays.block_pods[at, :blocks] = np.bincount(nth, minlength=blocks)
        arrays.block_first[at, : -(-len(listed) // views.HALF)] = listed[:: views.HALF]
        arrays.group_pods[at] = np.bincount(nth >> state.WIDTH_BITS, minlength=arrays.group_pods.shape[1])
        arrays.members[at, spots] = listed
        arrays.spots[at, listed] = spots
        arrays.free[at, :blocks] = 0
        np.bitwise_or.at(arrays.free[at], nth, is_free << inside)
        arrays.free_blocks[at] = 0
        has_free = (arrays.free[at, :blocks] != 0).astype(np.int64)
        np.bitwise_or.at(arrays.free_blocks[at], places >> state.WIDTH_BITS, has_free << (places & (views.WIDTH - 1)))


def _links(arrays: Arrays) -> list[Any]:
    """Links between pods that wait or share something, which are alive; others may be left of pods that are gone."""
    return [
        *(table[name] for table in (arrays.pending, arrays.turns, arrays.pullers) for name in ("head", "tail")),
        *(arrays.connections[name] for name in ("root", "due")),
        *(arrays.pod_links[name] for name in ("next", "previous")),
        *(arrays.transfers[name] for name in ("child", "next", "previous")),
    ]


def _close_gaps(tables: list[Any], stays: Any) -> None:
    """Move the rows that stay to the front, and clear those behind them."""
    count, left = len(stays), int(stays.sum())
    for table in tables:
        table[:left] = table[:count][stays]
        table[left:count] = np.zeros(1, dtype=table.dtype)


def _nodes_that_stay(arrays: Arrays, events: Ints) -> Bools:
    """All nodes but those that have gone, and that neither a pod nor an event refers to."""
    count = arrays.read("cluster").nodes
    places = arrays.pods["node"][: arrays.read("revision").pods]
    stays = arrays.nodes["gone_ns"][:count] == NEVER_NS
    stays[places[places >= 0]] = True
    stays[events[events[:, 1] == Kind.NODE, 2]] = True
    return np.asarray(stays)


def _renumber_nodes(arrays: Arrays, events: Ints, stays: Bools) -> Ints:
    """Drop the other nodes; their rows."""
    cluster = arrays.read("cluster")
    places = arrays.pods["node"][: arrays.read("revision").pods]
    placed, due = places >= 0, events[:, 1] == Kind.NODE
    new = np.cumsum(stays) - 1
    gone: Ints = compiled.columns(arrays.nodes[: cluster.nodes], NODE_COLUMNS)[~stays]
    tables = [arrays.nodes, arrays.pullers]
    if len(arrays.gpus) and arrays.params.shared_by_node:
        tables.append(arrays.gpus)
    _close_gaps(tables, stays)
    places[placed] = new[places[placed]]
    events[due, 2] = new[events[due, 2]]
    cluster.nodes = int(stays.sum())
    cluster.first_node = 0
    arrays.write("cluster", cluster)
    return gone
