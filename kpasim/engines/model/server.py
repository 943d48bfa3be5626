"""The server inside a pod: how requests that it works on at the same time make progress.

A server admits requests, says how far they have come, and when the next one is complete. This one has ``slots``: it
works on so many requests at once, each at full speed, or slowed down by how many share the GPU of a pod or of a node.
``queueproxy`` knows no more of it than ``admits``, ``start``, ``stop`` and ``shut_down``.
"""

from kpasim.engines.clock import Kind
from kpasim.engines.model import sharing
from kpasim.engines.model.state import AT_WORK, NOTHING, Simulation
from kpasim.engines.params import FOREVER_NS
from kpasim.policy import pods

DONE = int(Kind.DONE)


def admits(sim: Simulation, which: int) -> bool:
    """Whether the server of a pod can work on another request."""
    slots = sim.params.slots
    return bool(slots == 0 or sim.pod_queues[which][AT_WORK].count + sim.pods[which].orphans < slots)


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
    request = int(sim.gpus[gpu].root)
    while request != NOTHING:
        if sim.requests[request & sim.clients.mask].pod == which:
            _leave(sim, gpu, request)
            request = int(sim.gpus[gpu].root)
        else:
            request = sharing.following(sim.shares, sim.clients.mask, request)


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
    shared = sim.gpus[gpu]
    sharing.progress(shared, sim.now_ns, contention(sim, shared.count))


def schedule_next(sim: Simulation, gpu: int) -> None:
    """Schedule the completion that comes first, as things stand."""
    shared, mask = sim.gpus[gpu], sim.clients.mask
    if shared.count == 0:
        return
    request = sharing.first(shared, sim.shares, mask)
    if shared.due != request and shared.due != NOTHING:
        sim.requests[shared.due & mask].done_ns = FOREVER_NS
    shared.due = request
    slow = contention(sim, shared.count)
    due_ns = sim.now_ns + sharing.takes(shared, sim.shares, mask, request, slow)
    sim.requests[request & mask].done_ns = due_ns
    sim.schedule(due_ns, DONE, request)


def _join(sim: Simulation, gpu: int, request: int, work_ns: int) -> None:
    """Let a request share a GPU, with work that takes ``work_ns`` alone."""
    progress(sim, gpu)
    sim.requests[request & sim.clients.mask].done_ns = FOREVER_NS
    sharing.join(sim.gpus[gpu], sim.shares, sim.clients.mask, request, work_ns)
    schedule_next(sim, gpu)


def _leave(sim: Simulation, gpu: int, request: int) -> None:
    """Let a request share a GPU no longer."""
    progress(sim, gpu)
    shared = sim.gpus[gpu]
    sharing.leave(shared, sim.shares, sim.clients.mask, request)
    if shared.due == request:
        shared.due = NOTHING
    schedule_next(sim, gpu)
