"""Work that shares one resource: the more at once, the slower each."""

from __future__ import annotations

from kpasim.engines.clock import Kind
from kpasim.engines.model.state import NOTHING, Simulation
from kpasim.engines.params import FOREVER_NS
from kpasim.policy import pods

DONE, STAGE_KIND = int(Kind.DONE), int(Kind.STAGE)


def gpu_of(sim: Simulation, pod: int) -> int:
    """What the requests of a pod share their GPU with: a pod or a node."""
    return int(sim.pods[pod].node) if sim.params.shared_by_node else pod


def progress(sim: Simulation, gpu: int) -> None:
    """Take off what was done since the last change."""
    now = sim.now_ns
    count = sim.gpus[gpu].count
    if count > 0:
        done_ns = pods.work_done(now - sim.gpus[gpu].since_ns, pods.slowdown(sim.params.slowdown, count))
        row = sim.gpus[gpu].head & sim.clients.mask
        for _ in range(count):
            sim.shares[row].left_ns = max(0, sim.shares[row].left_ns - done_ns)
            row = sim.shares[row].next & sim.clients.mask
    sim.gpus[gpu].since_ns = now


def schedule_first(sim: Simulation, gpu: int) -> None:
    """Schedule the end of the work that ends first."""
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
    slow = pods.slowdown(sim.params.slowdown, count)
    due_ns = sim.now_ns + pods.work_takes(sim.shares[first & mask].left_ns, slow)
    sim.requests[first & mask].done_ns = due_ns
    sim.schedule(due_ns, DONE, first)


def add(sim: Simulation, gpu: int, request: int, work_ns: int) -> None:
    """Begin work that takes ``work_ns`` alone."""
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
    schedule_first(sim, gpu)


def take_out(sim: Simulation, gpu: int, request: int) -> None:
    """End work, finished or not."""
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
    schedule_first(sim, gpu)


def transfers(sim: Simulation, stage: int) -> None:
    """Take off what the pods that share a stage's bandwidth got since the last change."""
    now = sim.now_ns
    count = sim.stages[stage].members
    if count > 0:
        done_ns = pods.work_done(now - sim.stages[stage].since_ns, float(count))
        for pod in range(sim.revision.pods):
            if sim.pods[pod].in_transfer and sim.pods[pod].stage == stage:
                sim.pods[pod].transfer_left_ns = max(0, sim.pods[pod].transfer_left_ns - done_ns)
    sim.stages[stage].since_ns = now


def schedule_transfer(sim: Simulation, stage: int) -> None:
    """Schedule the end of the transfer that ends first."""
    count = sim.stages[stage].members
    if count == 0:
        return
    first = NOTHING
    for pod in range(sim.revision.pods):
        if sim.pods[pod].in_transfer and sim.pods[pod].stage == stage:
            sim.pods[pod].stage_due_ns = FOREVER_NS
            if first == NOTHING or sim.pods[pod].transfer_left_ns < sim.pods[first].transfer_left_ns:
                first = pod
    sim.pods[first].stage_due_ns = sim.now_ns + pods.work_takes(sim.pods[first].transfer_left_ns, float(count))
    sim.schedule(sim.pods[first].stage_due_ns, STAGE_KIND, first)


def begin_transfer(sim: Simulation, stage: int, pod: int, work_ns: int) -> None:
    """A pod joins a stage whose bandwidth is shared."""
    transfers(sim, stage)
    sim.pods[pod].transfer_left_ns = work_ns
    sim.pods[pod].in_transfer = 1
    sim.stages[stage].members += 1
    schedule_transfer(sim, stage)


def end_transfer(sim: Simulation, stage: int, pod: int) -> None:
    """A pod leaves a stage whose bandwidth is shared."""
    transfers(sim, stage)
    sim.pods[pod].in_transfer = 0
    sim.pods[pod].stage_due_ns = FOREVER_NS
    sim.stages[stage].members -= 1
    schedule_transfer(sim, stage)
