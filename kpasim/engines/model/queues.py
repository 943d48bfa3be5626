"""First come, first served: requests linked through their own rows."""

from __future__ import annotations

from kpasim.engines.model.state import NOTHING, Queue, Simulation


def append(sim: Simulation, queue: Queue, request: int) -> None:
    """Put a request at the end."""
    mask = sim.clients.mask
    link = sim.links[request & mask]
    link.previous = queue.tail
    link.next = NOTHING
    if queue.tail == NOTHING:
        queue.head = request
    else:
        sim.links[queue.tail & mask].next = request
    queue.tail = request
    queue.count += 1


def remove(sim: Simulation, queue: Queue, request: int) -> None:
    """Take a request out, wherever it stands."""
    mask = sim.clients.mask
    link = sim.links[request & mask]
    before = link.previous
    after = link.next
    if before == NOTHING:
        queue.head = after
    else:
        sim.links[before & mask].next = after
    if after == NOTHING:
        queue.tail = before
    else:
        sim.links[after & mask].previous = before
    queue.count -= 1
