"""Data that pods move over one shared connection while they start: the more at once, the slower each."""

from __future__ import annotations

from kpasim.engines.clock import Kind
from kpasim.engines.model.state import NOTHING, Simulation
from kpasim.engines.params import FOREVER_NS
from kpasim.policy import pods

STAGE_KIND = int(Kind.STAGE)


def progress(sim: Simulation, stage: int) -> None:
    """Take off what the pods that share a stage's bandwidth got since the last change."""
    now = sim.now_ns
    count = sim.stages[stage].members
    if count > 0:
        done_ns = pods.work_done(now - sim.stages[stage].since_ns, float(count))
        for pod in range(sim.revision.pods):
            if sim.pods[pod].in_transfer and sim.pods[pod].stage == stage:
                sim.pods[pod].transfer_left_ns = max(0, sim.pods[pod].transfer_left_ns - done_ns)
    sim.stages[stage].since_ns = now


def schedule_next(sim: Simulation, stage: int) -> None:
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


def start(sim: Simulation, stage: int, pod: int, work_ns: int) -> None:
    """A pod joins a stage whose bandwidth is shared."""
    progress(sim, stage)
    sim.pods[pod].transfer_left_ns = work_ns
    sim.pods[pod].in_transfer = 1
    sim.stages[stage].members += 1
    schedule_next(sim, stage)


def stop(sim: Simulation, stage: int, pod: int) -> None:
    """A pod leaves a stage whose bandwidth is shared."""
    progress(sim, stage)
    sim.pods[pod].in_transfer = 0
    sim.pods[pod].stage_due_ns = FOREVER_NS
    sim.stages[stage].members -= 1
    schedule_next(sim, stage)
