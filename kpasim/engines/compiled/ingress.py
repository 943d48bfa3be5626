"""The gateway: to an activator or to a pod (the same as reference/ingress.py)."""

from __future__ import annotations

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.compiled import activator, agenda, clients, pod
from kpasim.engines.compiled.layout import (
    ACTIVATOR_TURN,
    AGE_HEAD,
    AGE_TAIL,
    FAULT,
    IN_SUBSET,
    INSIDE_DIRECT,
    MASK,
    MODE,
    MORE_REQUESTS,
    NEXT_TIMEOUT,
    NOW,
    READY,
    TERMINATING,
    VISIBLE,
    VISIBLE_PODS,
    P,
    World,
)
from kpasim.engines.draws import ACTIVATOR_A, ACTIVATOR_B, HOST_A, HOST_B, WORKER, pick
from kpasim.policy import accounting, burst

FIRST_BYTE = int(Kind.FIRST_BYTE)


def show(w: World, which: int) -> None:
    """A ready pod reaches the gateway's view."""
    if w.pod[which, TERMINATING] or not w.pod[which, READY]:
        return
    visible = w.lists[VISIBLE_PODS]
    place = w.i[VISIBLE]
    while place > 0 and activator.comes_before(w, which, visible[place - 1]):
        visible[place] = visible[place - 1]
        place -= 1
    visible[place] = which
    w.i[VISIBLE] += 1


def hide(w: World, which: int) -> None:
    """A pod that goes leaves the gateway's view."""
    place = place_of(w, which)
    if place >= 0:
        visible = w.lists[VISIBLE_PODS]
        w.i[VISIBLE] -= 1
        for later in range(place, w.i[VISIBLE]):
            visible[later] = visible[later + 1]


def place_of(w: World, which: int) -> int:
    """Place of a pod in the gateway's view, -1 if it is not there."""
    for place in range(w.i[VISIBLE]):
        if w.lists[VISIBLE_PODS, place] == which:
            return place
    return -1


def arrive(w: World, request: int) -> None:
    """Send a request on."""
    now = w.i[NOW]
    row = request & w.i[MASK]
    if agenda.has_ended(w, request):
        return
    tail = w.i[AGE_TAIL]
    if tail - w.i[AGE_HEAD] >= len(w.age) and tail - agenda.oldest_at_front(w) >= len(w.age):
        w.i[FAULT] = MORE_REQUESTS
        return
    w.age[tail & (len(w.age) - 1)] = request
    w.i[AGE_TAIL] = tail + 1
    if w.i[NEXT_TIMEOUT] == of.FOREVER_NS:
        w.i[NEXT_TIMEOUT] = now + w.p[P.timeout_ns]
    if w.p[P.first_byte_timeout_ns]:
        w.first_byte_due[row] = of.FOREVER_NS
        agenda.plan(w, now + w.p[P.first_byte_timeout_ns], FIRST_BYTE, request)
    session = session_of(w, request)
    affinity = w.p[P.affinity]
    direct = w.i[MODE] == burst.SERVE and w.i[VISIBLE] > 0 and not w.p[P.always_activator]
    if session >= 0 and (direct or affinity == of.POD_AFFINITY) and place_of(w, w.sticky[0, session]) >= 0:
        send_direct(w, request, w.sticky[0, session])
    elif direct:
        send_direct(w, request, choose_pod(w, request))
    else:
        index = -1
        if session >= 0 and affinity == of.UPSTREAM_AFFINITY:
            index = w.sticky[1, session]
        if index < 0 or index >= w.i[IN_SUBSET]:
            index = choose_activator(w, request)
        activator.enter(w, request, index)


def send_direct(w: World, request: int, which: int) -> None:
    """Send a request past the activators."""
    status = pod.join(w, request, which, True, False)
    if status:
        clients.end(w, request & w.i[MASK], status)


def session_of(w: World, request: int) -> int:
    """Session whose cookie a request carries, -1 for none."""
    if not w.p[P.cookies] or w.p[P.affinity] == of.NO_AFFINITY:
        return -1
    session = activator.client_of(w, request)
    timeout_ns = w.p[P.affinity_timeout_ns]
    if timeout_ns and w.i[NOW] - w.sticky[2, session] > timeout_ns:
        return -1
    return int(session)


def choose_pod(w: World, request: int) -> int:
    """The gateway's choice among the pods it sees."""
    visible = w.lists[VISIBLE_PODS]
    count = w.i[VISIBLE]
    policy = w.p[P.ingress_policy]
    if policy == of.ROUND_ROBIN:
        connection = request
        if w.p[P.closed]:
            connection = agenda.draw_of(w, request) // clients.stride(w)
        worker = pick(w.key, connection, WORKER, w.p[P.ingress_workers])
        w.turn[worker] += 1
        return int(visible[(w.turn[worker] - 1) % count])
    first = visible[pick(w.key, request, HOST_A, count)]
    if policy == of.RANDOM:
        return int(first)
    second = visible[pick(w.key, request, HOST_B, count)]
    return int(second if w.pod[second, INSIDE_DIRECT] < w.pod[first, INSIDE_DIRECT] else first)


def choose_activator(w: World, request: int) -> int:
    """The gateway's choice among the activators."""
    count = w.i[IN_SUBSET]
    if count == 1:
        return 0
    policy = w.p[P.ingress_policy]
    if policy == of.ROUND_ROBIN:
        place = w.i[ACTIVATOR_TURN] % count
        w.i[ACTIVATOR_TURN] = place + 1
        return int(place)
    first = pick(w.key, request, ACTIVATOR_A, count)
    if policy == of.RANDOM:
        return int(first)
    second = pick(w.key, request, ACTIVATOR_B, count)
    fewer = w.stats[second, accounting.CONCURRENCY] < w.stats[first, accounting.CONCURRENCY]
    return int(second if fewer else first)


def first_byte_due(w: World, request: int) -> None:
    """The request's responseStartTimeoutSeconds or idleTimeoutSeconds are over."""
    if agenda.has_ended(w, request):
        return
    due_ns = w.first_byte_due[request & w.i[MASK]]
    idle_ns = w.p[P.stream_idle_ns]
    if due_ns > w.i[NOW] or (idle_ns > 0 and due_ns + idle_ns <= w.i[NOW]):
        pod.withdraw(w, request, clients.TIMED_OUT)


KERNELS = (
    show, hide, place_of, arrive, send_direct, session_of, choose_pod, choose_activator, first_byte_due,
)  # fmt: skip
