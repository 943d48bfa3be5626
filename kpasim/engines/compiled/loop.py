"""The event loop: whatever is due next, in the order that ``clock.Kind`` gives to simultaneous events."""

from kpasim.engines.clock import ENTITY_BITS, Kind
from kpasim.engines.compiled import event_queue
from kpasim.engines.compiled.arrays import reset
from kpasim.engines.model import activator, clients, events
from kpasim.engines.model.state import MORE_DRAWS, NO_FAULT, Simulation
from kpasim.engines.params import FOREVER_NS

SEND, REPORT, SCRAPE, TICK = int(Kind.SEND), int(Kind.REPORT), int(Kind.SCRAPE), int(Kind.TICK)
ENTITY_MASK = (1 << ENTITY_BITS) - 1


def run(sim: Simulation) -> None:
    """Run one replication from the creation of the revision to its end, or on to it after a pause for more draws."""
    if sim.fault == MORE_DRAWS:
        sim.fault = NO_FAULT
        event_queue.fill_buckets(sim)
        for index in range(len(sim.activators)):
            activator.look_up_slice(sim, index)
        clients.schedule_next(sim)
    else:
        reset(sim)
        events.begin(sim)
    go_on(sim)


def go_on(sim: Simulation) -> None:
    """Let events happen until the run is over, or has to stop."""
    while sim.finished == 0 and sim.fault == 0:
        # The earliest of the clocks that need no heap, and the earliest of what was scheduled.
        time_ns = min(sim.clients.next_send_ns, sim.clock_ns)
        first = sim.event_queue.near
        scheduled_ns = sim.near[first, 0]
        key = sim.near[first, 1]
        if scheduled_ns < time_ns or (scheduled_ns == time_ns and key >> ENTITY_BITS < clock_of(sim, time_ns)):
            if scheduled_ns == FOREVER_NS:
                break
            sim.now_ns = scheduled_ns
            event_queue.take_first(sim)
            events.handle(sim, key >> ENTITY_BITS, key & ENTITY_MASK)
            continue
        if time_ns == FOREVER_NS:
            break
        sim.now_ns = time_ns
        kind = clock_of(sim, time_ns)
        entity = 0
        if kind == REPORT:
            while sim.activators[entity].next_report_ns != time_ns:
                entity += 1
        events.handle_clock(sim, kind, entity)


def clock_of(sim: Simulation, time_ns: int) -> int:
    """The clock that is due at ``time_ns``. A tie goes to the lower kind, and they come in that order."""
    if sim.clients.next_send_ns == time_ns:
        return SEND
    if sim.ingress.next_report_ns == time_ns:
        return REPORT
    return SCRAPE if sim.autoscaler.next_scrape_ns == time_ns else TICK


KERNELS = (clock_of, go_on, run)
