"""Long runs with all their tables, in little more memory than these: see ``stream``.

Requests that are settled keep their rows, and name their pod by its place among all pods of the run instead of its row
in the state. Rows of pods and nodes that are gone are put aside.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kpasim.arrays import Bools, Ints
from kpasim.engines import compiled, sampling, stream
from kpasim.engines.compiled.arrays import Arrays
from kpasim.engines.model import state
from kpasim.engines.outcome import NODE, NODE_COLUMNS, POD_COLUMNS, SENT, Outcome
from kpasim.engines.params import NEVER_NS, Capacity, Draws, Params
from kpasim.engines.sampling import Sampler


def play(params: Params, sampler: Sampler, replication: int, pods: int) -> Outcome:
    """Play one replication, with rows for so many pods between two stops, those that stay included.

    What is left is the same as ``compiled.run`` leaves, bit for bit.

    Raises:
        CapacityExceeded: There are more pods or nodes than that.
    """
    sent, draws = sampler.sent(replication), sampler.draw_but_requests(replication, pods)
    capacity = compiled.first_capacity(params, draws._replace(sent=sent))
    more_pods = params.requests // sampling.REQUESTS_PER_POD
    capacity = capacity._replace(scalings=capacity.scalings + 2 * more_pods)
    while True:
        run = _Recorded(params, sampler, replication, draws, sent, capacity)
        del sent
        fault = run.play()
        if fault == state.NO_FAULT:
            return run.outcome()
        capacity, sent = stream.larger(capacity, fault), sampler.sent(replication)


class _Recorded(stream.Run):
    """A run that keeps all tables."""

    def __init__(
        self, params: Params, sampler: Sampler, replication: int, draws: Draws, sent: Ints, capacity: Capacity
    ) -> None:
        own = stream.own_copy(draws)
        arrays = Arrays(params, own, capacity)
        # Until a request is sent, its row holds nothing else.
        arrays.requests[SENT][: len(sent)] = sent
        super().__init__(params, sampler, replication, own, _parts(arrays.requests[SENT][: len(sent)]), arrays)
        self._settled = 0
        self._pods, self._nodes = _Table(POD_COLUMNS, params), _Table(NODE_COLUMNS, params)
        self._nodes_so_far = 0
        self._places_of_nodes: Ints = np.zeros(0, dtype=np.int64)

    def first_in_use(self, sent: int) -> int:
        return self._settled

    def rows_in_use(self) -> NDArray[np.void]:
        rows: NDArray[np.void] = self.arrays.requests[self._settled : self.arrays.read("clients").sent]
        return rows

    def pods_of_requests(self) -> Ints:
        pods: Ints = self.rows_in_use()["pod"]
        return pods[pods >= 0]

    def pause(self) -> None:
        """Settle the requests up to the first that something may still happen to."""
        rows, pods, now_ns = self.rows_in_use(), self.arrays.pods, self.arrays.read("core").now_ns
        served, done_ns = rows["pod"], rows["done_ns"]
        links = self.arrays.links["next"][self._settled : self._settled + len(rows)]
        # A container may still work for a client that has gone, or have that before it.
        is_orphan = (links == state.ORPHANED) & (pods["phase"][served] != state.GONE)
        is_open = (rows["status"] < state.ENDED_FROM) | (done_ns > now_ns) | is_orphan
        settled = rows[: int(is_open.argmax())] if is_open.any() else rows
        # As `clients.cut_off` does to all others when the run is over.
        served, done_ns = settled["pod"], settled["done_ns"]
        broken_ns = np.where(served >= 0, pods["broken_ns"][served], 0)
        done_ns[(broken_ns > 0) & (done_ns > broken_ns)] = NEVER_NS
        self._settle(settled)

    def _settle(self, rows: NDArray[np.void]) -> None:
        """Let the next requests name their pods by their places among all."""
        served = rows["pod"]
        served[:] = np.where(served >= 0, self.arrays.numbers[served], state.NOTHING)
        self._settled += len(rows)

    def drop(self, pods: Ints, numbers: Ints, nodes: Ints, stays: Bools) -> None:
        new = len(stays) - len(self._places_of_nodes)
        places = np.append(self._places_of_nodes, np.arange(self._nodes_so_far, self._nodes_so_far + new))
        self._nodes_so_far += new
        pods[:, NODE] = np.where(pods[:, NODE] >= 0, np.append(places, NEVER_NS)[pods[:, NODE]], pods[:, NODE])
        self._pods.put(numbers, pods)
        self._nodes.put(places[~stays], nodes)
        self._places_of_nodes = places[stays]

    def outcome(self) -> Outcome:
        """What the run left."""
        self._settle(self.rows_in_use())
        found = compiled.outcome_of(self.arrays, self.concurrency_ns)
        numbers = self.arrays.numbers[: len(found.pods)]
        self.drop(found.pods, numbers, found.nodes, np.zeros(len(found.nodes), dtype=np.bool_))
        return found._replace(pods=self._pods.rows(), nodes=self._nodes.rows())


def _parts(sent: Ints) -> Iterator[Ints]:
    """Send times of each part."""
    for first in range(0, max(1, len(sent)), sampling.PART):
        yield sent[first : first + sampling.PART].copy()


class _Table:
    """Rows of all pods or nodes; memory is taken by those that are there."""

    def __init__(self, columns: int, params: Params) -> None:
        self._table = np.empty((1 + params.requests // sampling.REQUESTS_PER_POD, columns), dtype=np.int64)
        self._count = 0

    def put(self, places: Ints, rows: Ints) -> None:
        """Put rows in their places."""
        self._count = max(self._count, int(places.max(initial=-1)) + 1)
        if self._count > len(self._table):
            longer = np.empty((2 * self._count, self._table.shape[1]), dtype=np.int64)
            longer[: len(self._table)] = self._table
            self._table = longer
        self._table[places] = rows

    def rows(self) -> Ints:
        """All of them."""
        return self._table[: self._count]
