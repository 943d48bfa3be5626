"""First come, first served: requests, or pods, linked through rows of their own."""

from typing import Any

from kpasim.engines.model.state import EACH, NOTHING, Queue, Simulation


def append(sim: Simulation, queue: Queue, request: int) -> None:
    """Put a request at the end."""
    put_last(sim.links, sim.clients.mask, queue, request)


def remove(sim: Simulation, queue: Queue, request: int) -> None:
    """Take a request out, wherever it stands."""
    take_out(sim.links, sim.clients.mask, queue, request)


def append_pod(sim: Simulation, queue: Queue, which: int) -> None:
    """Put a pod at the end."""
    put_last(sim.pod_links, EACH, queue, which)


def remove_pod(sim: Simulation, queue: Queue, which: int) -> None:
    """Take a pod out, wherever it stands."""
    take_out(sim.pod_links, EACH, queue, which)


def put_last(links: Any, mask: int, queue: Queue, entity: int) -> None:
    """Put an entity, whose row of ``links`` is ``entity & mask``, at the end."""
    link = links[entity & mask]
    link.previous = queue.tail
    link.next = NOTHING
    if queue.tail == NOTHING:
        queue.head = entity
    else:
        links[queue.tail & mask].next = entity
    queue.tail = entity
    queue.count += 1


def take_out(links: Any, mask: int, queue: Queue, entity: int) -> None:
    """Take an entity out, wherever it stands."""
    link = links[entity & mask]
    before = link.previous
    after = link.next
    if before == NOTHING:
        queue.head = after
    else:
        links[before & mask].next = after
    if after == NOTHING:
        queue.tail = before
    else:
        links[after & mask].previous = before
    queue.count -= 1
