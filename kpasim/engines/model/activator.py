"""The activator: its statistics, its queue, its choice of pod."""

from __future__ import annotations

from typing import Any

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.draws import CHANCE_ONE, COIN, LATE_REPORT, LATE_WAKE, POD_A, POD_B, chance, pick, session_of
from kpasim.engines.model import autoscaler, bits, clients, queueproxy, queues
from kpasim.engines.model.clocks import due_after, jitter, nth_due
from kpasim.engines.model.state import AT_FRONT, LATE_ACTIVATOR, NOTHING, WOKEN, Simulation
from kpasim.engines.params import FOREVER_NS, NEVER_NS, SECOND_NS
from kpasim.policy import accounting, routing

POKE, REPORT, WAKE = int(Kind.POKE), int(Kind.REPORT), int(Kind.WAKE)


def on_request(sim: Simulation, request: int, index: int) -> None:
    """A request arrives."""
    now = sim.now_ns
    row = request & sim.clients.mask
    sim.requests[row].activator = index
    if accounting.activator_enter(sim.stats[index], now) and sim.params.autoscaler == of.KPA:
        sim.schedule(now + sim.params.first_stat_ns, POKE, index)
        set_report(sim, index, report_due_after(sim, index, now - 1))
    take_slot(sim, request, index, False)


def report_due_after(sim: Simulation, index: int, time_ns: int) -> int:
    """When an activator reports next after ``time_ns``."""
    row, phase_ns = LATE_ACTIVATOR + 2 * index, sim.draws.phase[of.REPORT + index]
    return int(due_after(sim, row, phase_ns, SECOND_NS, time_ns, LATE_REPORT + index, sim.params.clock_jitter_ns))


def set_report(sim: Simulation, index: int, due_ns: int) -> None:
    """Let an activator report at ``due_ns``."""
    sim.activators[index].next_report_ns = due_ns
    sim.wake(due_ns, REPORT, index)
    first = FOREVER_NS
    for other in range(sim.params.activators):
        first = min(first, sim.activators[other].next_report_ns)
    sim.ingress.next_report_ns = first


def on_report(sim: Simulation, index: int) -> None:
    """Tell the autoscaler what the last second was like; again in a second while there is anything to tell."""
    concurrency, count, alive = accounting.activator_report(sim.stats[index], sim.now_ns)
    due_ns = FOREVER_NS
    if alive:
        phase_ns = sim.draws.phase[of.REPORT + index]
        nth = (sim.now_ns - phase_ns) // SECOND_NS + 1
        row = LATE_ACTIVATOR + 2 * index
        due_ns = nth_due(sim, row, nth, phase_ns, SECOND_NS, LATE_REPORT + index, sim.params.clock_jitter_ns)
    set_report(sim, index, due_ns)
    autoscaler.on_activator_stat(sim, concurrency, float(count), False)


def dispatch(sim: Simulation, index: int, handed_over: bool) -> None:
    """Send waiting requests to pods while there are slots that no woken request is about to take."""
    me, waiting = sim.activators[index], sim.waiting[index]
    while waiting.count > 0 and me.running + me.waking < me.capacity:
        request = waiting.head
        chosen = choose(sim, request, index)
        if chosen < 0:
            return
        queues.remove(sim, waiting, request)
        send(sim, request, index, chosen, handed_over)


def take_slot(sim: Simulation, request: int, index: int, handed_over: bool) -> None:
    """Send a request to a pod if there is a free slot, past all that wait; else it waits behind them."""
    me = sim.activators[index]
    chosen = choose(sim, request, index) if me.running < me.capacity else NOTHING
    if chosen < 0:
        sim.requests[request & sim.clients.mask].status = AT_FRONT
        queues.append(sim, sim.waiting[index], request)
    else:
        send(sim, request, index, chosen, handed_over)


def send(sim: Simulation, request: int, index: int, chosen: int, handed_over: bool) -> None:
    """Send a request to a pod."""
    me = sim.activators[index]
    me.running += 1
    sim.in_flight[index][chosen] += 1
    if sim.in_flight[index][chosen] == sim.slots[chosen]:
        note_slot(sim, index, chosen, 0)
    status = queueproxy.on_request(sim, request, chosen, False, handed_over)
    if status:
        me.running -= 1
        free_slot(sim, index, chosen)
        accounting.activator_leave(sim.stats[index], sim.now_ns)
        clients.end(sim, request & sim.clients.mask, status)


def wake(sim: Simulation, index: int) -> None:
    """A slot is free: wake the request that waits for longest, which takes the slot when it is awake."""
    me, waiting = sim.activators[index], sim.waiting[index]
    if waiting.count == 0 or me.running + me.waking >= me.capacity:
        return
    me.wakes += 1
    asleep_ns = jitter(sim, LATE_ACTIVATOR + 2 * index + 1, me.wakes, LATE_WAKE + index, sim.params.wake_ns)
    if asleep_ns <= sim.params.server_to_client_ns:
        # Nobody can have overtaken it.
        dispatch(sim, index, True)
        return
    request = waiting.head
    queues.remove(sim, waiting, request)
    me.waking += 1
    sim.requests[request & sim.clients.mask].status = WOKEN
    sim.schedule(sim.now_ns + asleep_ns, WAKE, request * sim.params.activators + index)


def on_awake(sim: Simulation, request: int, index: int) -> None:
    """A woken request takes a free slot; if a newcomer was faster, it waits again, behind all others."""
    if clients.has_ended(sim, request):
        # Its time was over. The slot goes to the next one.
        dispatch(sim, index, True)
    else:
        sim.activators[index].waking -= 1
        take_slot(sim, request, index, True)


def choose(sim: Simulation, request: int, index: int) -> int:
    """The pod for a request, -1 if all are full."""
    how = routing.policy(sim.params.container_concurrency)
    count = sim.activators[index].assigned
    assigned = sim.assigned[index] if sim.activators[index].is_sliced else sim.found[index]
    in_flight = sim.in_flight[index]
    if sim.params.data_plane == of.INTERCEPTOR:
        return int(assigned[pick(sim.draws.key, request, POD_A, count)])
    if sim.params.data_plane == of.ROUTER:
        return choose_of_two(sim, request, index)
    if how == routing.RANDOM_CHOICE_2:
        first = chance(sim.draws.key, request, POD_A) / CHANCE_ONE
        second = chance(sim.draws.key, request, POD_B) / CHANCE_ONE
        one, other = routing.contestants(count, first, second)
        coin = chance(sim.draws.key, request, COIN) & 1 == 1
        return int(routing.power_of_two(in_flight, assigned[one], assigned[other], coin))
    # As ``routing.first_available`` and ``routing.round_robin`` choose, by the bits of pods with a free slot.
    turn = 0
    if how == routing.ROUND_ROBIN and sim.activators[index].turn < count:
        turn = sim.activators[index].turn
    place = bits.first(sim.free[index], turn, count)
    if place < 0:
        place = bits.first(sim.free[index], 0, turn)
    sim.activators[index].turn = turn if place < 0 else place + 1
    return int(assigned[place]) if place >= 0 else NOTHING


def choose_of_two(sim: Simulation, request: int, index: int) -> int:
    """Ray Serve's choice: the less busy of two random replicas that take another request, -1 if none does."""
    assigned = sim.assigned[index] if sim.activators[index].is_sliced else sim.found[index]
    in_flight = sim.in_flight[index]
    free = 0
    for place in range(sim.activators[index].assigned):
        free += 1 if in_flight[assigned[place]] < sim.slots[assigned[place]] else 0
    if free == 0:
        return NOTHING
    first = chance(sim.draws.key, request, POD_A) / CHANCE_ONE
    second = chance(sim.draws.key, request, POD_B) / CHANCE_ONE
    one, other = routing.contestants(free, first, second)
    first_pod, second_pod, nth = NOTHING, NOTHING, 0
    for place in range(sim.activators[index].assigned):
        which = assigned[place]
        if in_flight[which] < sim.slots[which]:
            if nth == one:
                first_pod = which
            if nth == other:
                second_pod = which
            nth += 1
    return int(routing.least_request(in_flight, first_pod, second_pod))


def drop(sim: Simulation, request: int) -> None:
    """A waiting request leaves the queue."""
    row = request & sim.clients.mask
    index = sim.requests[row].activator
    if sim.requests[row].status == WOKEN:
        sim.activators[index].waking -= 1
    else:
        queues.remove(sim, sim.waiting[index], request)


def release(sim: Simulation, row: int) -> None:
    """A request that was with a pod is over: its slot is free."""
    index = int(sim.requests[row].activator)
    accounting.activator_leave(sim.stats[index], sim.now_ns)
    sim.activators[index].running -= 1
    free_slot(sim, index, int(sim.requests[row].pod))
    wake(sim, index)


def free_slot(sim: Simulation, index: int, which: int) -> None:
    """A request is over for a pod."""
    if sim.in_flight[index][which] == sim.slots[which]:
        note_slot(sim, index, which, 1)
    sim.in_flight[index][which] -= 1


def note_slot(sim: Simulation, index: int, which: int, is_free: int) -> None:
    """Note whether a pod of the slice has a free slot."""
    assigned = sim.assigned[index] if sim.activators[index].is_sliced else sim.found[index]
    count = sim.activators[index].assigned
    place = place_of(sim, assigned, count, which)
    if place < count and assigned[place] == which:
        bits.put(sim.free[index], place, is_free)


def client_of(sim: Simulation, request: int) -> int:
    """The session that a request belongs to."""
    draw = clients.draw_of(sim, request)
    worker = draw // clients.stride(sim) if sim.params.closed else -1
    return int(session_of(sim.draws.key, draw, worker, sim.params.sessions))


def on_response(sim: Simulation, request: int, served_by: int) -> None:
    """A response sets the session's cookie."""
    if not sim.params.cookies or sim.params.affinity == of.NO_AFFINITY:
        return
    session = client_of(sim, request)
    sim.sessions[session].answered_ns = sim.now_ns
    by = sim.requests[request & sim.clients.mask].activator
    if by == NOTHING or sim.params.affinity == of.POD_AFFINITY:
        sim.sessions[session].pod = served_by
    if by != NOTHING:
        sim.sessions[session].activator = by


def on_probe_success(sim: Simulation, which: int, index: int) -> None:
    """A probe of a pod has succeeded."""
    if sim.pods[which].terminating or (sim.pods[which].known >> index) & 1:
        return
    count = sim.activators[index].found
    view = sim.found[index]
    place = place_of(sim, view, count, which)
    for later in range(count, place, -1):
        view[later] = view[later - 1]
    view[place] = which
    bits.insert(sim.free[index], count, place, int(sim.in_flight[index][which] < sim.slots[which]))
    sim.activators[index].found = count + 1
    sim.pods[which].known |= 1 << index
    if sim.pods[which].usable_ns == NEVER_NS:
        sim.pods[which].usable_ns = sim.now_ns
    assign(sim, index)


def comes_before(sim: Simulation, one: int, other: int) -> bool:
    """Whether a pod's address sorts before another's."""
    a = sim.pods[one].address
    b = sim.pods[other].address
    return bool(a < b or (a == b and one < other))


def place_of(sim: Simulation, view: Any, count: int, which: int) -> int:
    """Place of a pod among the first ``count`` of ``view``, in the order of addresses; where it would be if absent."""
    first = 0
    last = count
    while first < last:
        middle = (first + last) >> 1
        if comes_before(sim, view[middle], which):
            first = middle + 1
        else:
            last = middle
    return first


def forget(sim: Simulation, which: int, index: int) -> None:
    """A pod has left the endpoints; requests that it still has keep their slots here."""
    count = sim.activators[index].found
    view = sim.found[index]
    place = place_of(sim, view, count, which)
    if place == count or view[place] != which:
        return
    for later in range(place, count - 1):
        view[later] = view[later + 1]
    bits.remove(sim.free[index], count, place)
    sim.activators[index].found = count - 1
    assign(sim, index)


def on_pod_left(sim: Simulation, which: int) -> None:
    """A pod has left the endpoints, as all activators see it."""
    for index in range(sim.params.activators):
        forget(sim, which, index)


def assign(sim: Simulation, index: int) -> None:
    """Take this activator's slice of the pods and let requests go to them."""
    cc = sim.params.container_concurrency
    activators = sim.ingress.activators if cc else 1
    me = index if index < activators else routing.UNKNOWN_ACTIVATOR
    count = sim.activators[index].found
    was_sliced = sim.activators[index].is_sliced
    if me == routing.UNKNOWN_ACTIVATOR or activators == 1:
        sim.activators[index].is_sliced = 0
        assigned = count
    else:
        sim.activators[index].is_sliced = 1
        assigned = routing.assign_slice(sim.found[index], count, me, activators, sim.assigned[index])
    sim.activators[index].assigned = assigned
    if was_sliced or sim.activators[index].is_sliced:
        pods = sim.assigned[index] if sim.activators[index].is_sliced else sim.found[index]
        for place in range(assigned):
            bits.put(sim.free[index], place, int(sim.in_flight[index][pods[place]] < sim.slots[pods[place]]))
    sim.activators[index].capacity = routing.capacity(cc, count, assigned, activators)
    dispatch(sim, index, False)
