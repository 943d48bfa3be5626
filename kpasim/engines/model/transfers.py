"""Data that pods move over one shared connection while they start: the more at once, the slower each."""

from kpasim.engines.clock import Kind
from kpasim.engines.model import sharing
from kpasim.engines.model.state import EACH, NOTHING, Simulation
from kpasim.engines.params import FOREVER_NS

STAGE_KIND = int(Kind.STAGE)


def schedule_next(sim: Simulation, stage: int) -> None:
    """Schedule the end of the transfer that ends first."""
    connection = sim.connections[stage]
    if connection.count == 0:
        return
    pod = sharing.first(connection, sim.transfers, EACH)
    if connection.due != pod and connection.due != NOTHING:
        sim.pods[connection.due].stage_due_ns = FOREVER_NS
    connection.due = pod
    takes_ns = sharing.takes(connection, sim.transfers, EACH, pod, float(connection.count))
    sim.pods[pod].stage_due_ns = sim.now_ns + takes_ns
    sim.schedule(sim.pods[pod].stage_due_ns, STAGE_KIND, pod)


def start(sim: Simulation, stage: int, pod: int, work_ns: int) -> None:
    """A pod joins a stage whose bandwidth is shared."""
    connection = sim.connections[stage]
    sharing.progress(connection, sim.now_ns, float(connection.count))
    sim.pods[pod].in_transfer = 1
    sharing.join(connection, sim.transfers, EACH, pod, work_ns)
    schedule_next(sim, stage)


def stop(sim: Simulation, stage: int, pod: int) -> None:
    """A pod leaves a stage whose bandwidth is shared."""
    connection = sim.connections[stage]
    sharing.progress(connection, sim.now_ns, float(connection.count))
    sim.pods[pod].in_transfer = 0
    sim.pods[pod].stage_due_ns = FOREVER_NS
    sharing.leave(connection, sim.transfers, EACH, pod)
    if connection.due == pod:
        connection.due = NOTHING
    schedule_next(sim, stage)
