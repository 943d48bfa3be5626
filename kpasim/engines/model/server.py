"""The server inside a pod: how requests that it works on at the same time make progress.

A server admits requests, says how far they have come, and when the next one is complete. This one has ``slots``: it
works on so many requests at once, each at full speed, or slowed down by how many share the GPU of a pod or of a node.
``queueproxy`` knows no more of it than ``admits``, ``start``, ``stop`` and ``shut_down``.
"""

from __future__ import annotations

from kpasim.engines.clock import Kind
from kpasim.engines.model.state import NOTHING, Simulation
from kpasim.engines.params import FOREVER_NS
from kpasim.policy import pods

DONE = int(Kind.DONE)


def admits(sim: Simulation, which: int) -> bool:
    """Whether the server of a pod can work on another request."""
    slots = sim.params.slots
    return bool(slots == 0 or sim.running[which].count + sim.pods[which].ghosts < slots)


def start(sim: Simulation, request: int, which: int, begins_ns: int, work_ns: int) -> None:
    """Begin to work on a request at ``begins_ns``; a request that has the GPU to itself takes ``work_ns``."""
    if len(sim.params.slowdown):
        _join(sim, gpu_of(sim, which), request, work_ns + begins_ns - sim.now_ns)
    else:
        sim.requests[request & sim.clients.mask].done_ns = begins_ns + work_ns
        sim.schedule(begins_ns + work_ns, DONE, request)


def stop(sim: Simulation, request: int, which: int) -> None:
    """End the work on a request, finished or not."""
    if len(sim.params.slowdown):
        _leave(sim, gpu_of(sim, which), request)


def shut_down(sim: Simulation, which: int) -> None:
    """End all work that a pod's server still does, for clients that have gone."""
    if len(sim.params.slowdown) == 0:
        return
    gpu = gpu_of(sim, which)
    if gpu == NOTHING:  # it never had a node
        return
    request = sim.gpus[gpu].head
    for _ in range(sim.gpus[gpu].count):
        after = sim.shares[request & sim.clients.mask].next
        if sim.requests[request & sim.clients.mask].pod == which:
            _leave(sim, gpu, request)
        request = after


def gpu_of(sim: Simulation, pod: int) -> int:
    """What the requests of a pod share their GPU with: a pod or a node."""
    return int(sim.pods[pod].node) if sim.params.shared_by_node else pod


def contention(sim: Simulation, count: int) -> float:
    """How many times longer work takes while ``count`` requests share a GPU, in this replication."""
    if len(sim.draws.slowdown):
        return float(pods.slowdown(sim.draws.slowdown, count))
    return float(pods.slowdown(sim.params.slowdown, count))


def progress(sim: Simulation, gpu: int) -> None:
    """Take off what was done since the last change."""
    now = sim.now_ns
    count = sim.gpus[gpu].count
    if count > 0:
        done_ns = pods.work_done(now - sim.gpus[gpu].since_ns, contention(sim, count))
        row = sim.gpus[gpu].head & sim.clients.mask
        for _ in range(count):
            sim.shares[row].left_ns = max(0, sim.shares[row].left_ns - done_ns)
            row = sim.shares[row].next & sim.clients.mask
    sim.gpus[gpu].since_ns = now


def schedule_next(sim: Simulation, gpu: int) -> None:
    """Schedule the completion that comes first, as things stand."""
    count = sim.gpus[gpu].count
    if count == 0:
        return
    mask = sim.clients.mask
    first = sim.gpus[gpu].head
    request = first
    for _ in range(count):
        left = sim.shares[request & mask].left_ns
        least = sim.shares[first & mask].left_ns
        if left < least or (left == least and request < first):
            first = request
        sim.requests[request & mask].done_ns = FOREVER_NS
        request = sim.shares[request & mask].next
    due_ns = sim.now_ns + pods.work_takes(sim.shares[first & mask].left_ns, contention(sim, count))
    sim.requests[first & mask].done_ns = due_ns
    sim.schedule(due_ns, DONE, first)


def _join(sim: Simulation, gpu: int, request: int, work_ns: int) -> None:
    """Let a request share a GPU, with work that takes ``work_ns`` alone."""
    progress(sim, gpu)
    row = request & sim.clients.mask
    head = sim.gpus[gpu].head if sim.gpus[gpu].count else NOTHING
    sim.shares[row].left_ns = work_ns
    sim.shares[row].next = head
    sim.shares[row].previous = NOTHING
    if head != NOTHING:
        sim.shares[head & sim.clients.mask].previous = request
    sim.gpus[gpu].head = request
    sim.gpus[gpu].count += 1
    schedule_next(sim, gpu)


def _leave(sim: Simulation, gpu: int, request: int) -> None:
    """Let a request share a GPU no longer."""
    progress(sim, gpu)
    row = request & sim.clients.mask
    before = sim.shares[row].previous
    after = sim.shares[row].next
    if before == NOTHING:
        sim.gpus[gpu].head = after
    else:
        sim.shares[before & sim.clients.mask].next = after
    if after != NOTHING:
        sim.shares[after & sim.clients.mask].previous = before
    sim.gpus[gpu].count -= 1
    schedule_next(sim, gpu)
