"""The activator: its statistics, its queue, its choice of pod."""

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.draws import CHANCE_ONE, COIN, LATE_REPORT, LATE_WAKE, POD_A, POD_B, chance, pick, session_of
from kpasim.engines.model import autoscaler, clients, queueproxy, queues, views
from kpasim.engines.model.clocks import due_after, jitter, note_clock, nth_due
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
    note_clock(sim)


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
    autoscaler.on_activator_stat(sim, index, concurrency, float(count), False)


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
    if sim.in_flight[index][chosen] == sim.params.container_concurrency:
        views.put_free(sim, index, chosen, 0)
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
    if sim.params.data_plane == of.INTERCEPTOR:
        return pod_of(sim, index, pick(sim.draws.key, request, POD_A, sim.activators[index].assigned))
    if sim.params.data_plane == of.ROUTER:
        return choose_of_two(sim, request, index)
    if how == routing.RANDOM_CHOICE_2:
        return choose_by_chance(sim, request, index)
    return choose_free(sim, index, how == routing.ROUND_ROBIN)


def choose_by_chance(sim: Simulation, request: int, index: int) -> int:
    """As ``routing.power_of_two`` chooses."""
    first = chance(sim.draws.key, request, POD_A) / CHANCE_ONE
    second = chance(sim.draws.key, request, POD_B) / CHANCE_ONE
    one, other = routing.contestants(sim.activators[index].assigned, first, second)
    coin = chance(sim.draws.key, request, COIN) & 1 == 1
    return int(routing.power_of_two(sim.in_flight[index], pod_of(sim, index, one), pod_of(sim, index, other), coin))


def choose_free(sim: Simulation, index: int, in_turn: bool) -> int:
    """As ``routing.first_available`` and ``routing.round_robin`` choose, by the bits of pods with a free slot."""
    me = sim.activators[index]
    turn, start = 0, me.begin
    if in_turn and me.turn < me.assigned:
        turn = me.turn
        start = me.end if turn == me.in_row else views.position_of(sim, index, me.first + turn)
    position = views.first_free(sim, index, start, me.end)
    if position < 0 and me.extra != NOTHING and sim.in_flight[index][me.extra] < sim.params.container_concurrency:
        me.turn = me.in_row + 1
        return int(me.extra)
    if position < 0:
        position = views.first_free(sim, index, me.begin, start)
    if in_turn:
        me.turn = turn if position < 0 else views.place_of(sim, index, position) - me.first + 1
    return views.pod_at(sim, index, position) if position >= 0 else NOTHING


def pod_of(sim: Simulation, index: int, place: int) -> int:
    """The pod at a place of an activator's slice."""
    me = sim.activators[index]
    if place == me.in_row:
        return int(me.extra)
    return views.pod_at(sim, index, views.position_of(sim, index, me.first + place))


def choose_of_two(sim: Simulation, request: int, index: int) -> int:
    """Ray Serve's choice: the less busy of two random replicas that take another request, -1 if none does."""
    free = 0
    position = views.first_free(sim, index, 0, sim.activators[index].end)
    while position >= 0:
        sim.chosen[free] = position
        free += 1
        position = views.first_free(sim, index, position + 1, sim.activators[index].end)
    if free == 0:
        return NOTHING
    first = chance(sim.draws.key, request, POD_A) / CHANCE_ONE
    second = chance(sim.draws.key, request, POD_B) / CHANCE_ONE
    one, other = routing.contestants(free, first, second)
    first_pod, second_pod = views.pod_at(sim, index, sim.chosen[one]), views.pod_at(sim, index, sim.chosen[other])
    return int(routing.least_request(sim.in_flight[index], first_pod, second_pod))


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
    if sim.in_flight[index][which] == sim.params.container_concurrency:
        views.put_free(sim, index, which, 1)
    sim.in_flight[index][which] -= 1


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
    views.insert(sim, index, which, 1 if sim.in_flight[index][which] < sim.params.container_concurrency else 0)
    sim.pods[which].known |= 1 << index
    if sim.pods[which].usable_ns == NEVER_NS:
        sim.pods[which].usable_ns = sim.now_ns
    assign(sim, index)


def forget(sim: Simulation, which: int, index: int) -> None:
    """A pod has left the endpoints; requests that it still has keep their slots here."""
    if views.has(sim, index, which):
        views.remove(sim, index, which)
        assign(sim, index)


def on_pod_left(sim: Simulation, which: int) -> None:
    """A pod has left the endpoints, as all activators see it."""
    for index in range(sim.params.activators):
        forget(sim, which, index)


def assign(sim: Simulation, index: int) -> None:
    """Take this activator's slice of the pods and let requests go to them."""
    look_up_slice(sim, index)
    cc, count, assigned = sim.params.container_concurrency, sim.views[index].count, sim.activators[index].assigned
    sim.activators[index].capacity = routing.capacity(cc, count, assigned, sim.ingress.activators if cc else 1)
    dispatch(sim, index, False)


def look_up_slice(sim: Simulation, index: int) -> None:
    """Look up where this activator's slice of the pods begins and ends."""
    me = sim.activators[index]
    activators = sim.ingress.activators if sim.params.container_concurrency else 1
    own = index if index < activators else routing.UNKNOWN_ACTIVATOR
    first, last, extra = routing.slice_bounds(sim.views[index].count, own, activators)
    me.first, me.in_row = first, last - first
    me.begin, me.end = views.position_of(sim, index, first), views.position_of(sim, index, last)
    me.extra, me.assigned = NOTHING, me.in_row
    if extra >= 0:
        me.extra = views.pod_at(sim, index, views.position_of(sim, index, extra))
        me.assigned += 1
