"""Work that shares one resource: the more at once, the slower each (the same as reference/sharing.py)."""

from __future__ import annotations

from kpasim.engines.clock import Kind
from kpasim.engines.compiled import agenda
from kpasim.engines.compiled.layout import (
    G_COUNT,
    G_HEAD,
    G_SINCE,
    L_LEFT,
    L_NEXT,
    L_PREV,
    LEFT,
    MASK,
    NODE,
    NOTHING,
    NOW,
    PODS,
    S_MEMBERS,
    S_SINCE,
    STAGE,
    STAGE_DUE,
    STAGE_TICKET,
    P,
    World,
)
from kpasim.engines.params import FOREVER_NS
from kpasim.policy import pods

DONE, STAGE_KIND = int(Kind.DONE), int(Kind.STAGE)


def group_of(w: World, pod: int) -> int:
    """What the requests of a pod share their GPU with: a pod or a node."""
    return int(w.pod[pod, NODE]) if w.p[P.shared_by_node] else pod


def progress(w: World, group: int) -> None:
    """Take off what was done since the last change."""
    now = w.i[NOW]
    count = w.group[group, G_COUNT]
    if count > 0:
        done_ns = pods.work_done(now - w.group[group, G_SINCE], pods.slowdown(w.slowdown, count))
        row = w.group[group, G_HEAD] & w.i[MASK]
        for _ in range(count):
            w.link[row, L_LEFT] = max(0, w.link[row, L_LEFT] - done_ns)
            row = w.link[row, L_NEXT] & w.i[MASK]
    w.group[group, G_SINCE] = now


def plan_first(w: World, group: int) -> None:
    """Plan the end of the work that ends first."""
    count = w.group[group, G_COUNT]
    if count == 0:
        return
    mask = w.i[MASK]
    first = w.group[group, G_HEAD]
    request = first
    for _ in range(count):
        left = w.link[request & mask, L_LEFT]
        least = w.link[first & mask, L_LEFT]
        if left < least or (left == least and request < first):
            first = request
        w.request["done"][request & mask] = FOREVER_NS
        request = w.link[request & mask, L_NEXT]
    slow = pods.slowdown(w.slowdown, count)
    due_ns = w.i[NOW] + pods.work_takes(w.link[first & mask, L_LEFT], slow)
    w.request["done"][first & mask] = due_ns
    agenda.plan(w, due_ns, DONE, first)


def add(w: World, group: int, request: int, work_ns: int) -> None:
    """Begin work that takes ``work_ns`` alone."""
    progress(w, group)
    row = request & w.i[MASK]
    head = w.group[group, G_HEAD] if w.group[group, G_COUNT] else NOTHING
    w.link[row, L_LEFT] = work_ns
    w.link[row, L_NEXT] = head
    w.link[row, L_PREV] = NOTHING
    if head != NOTHING:
        w.link[head & w.i[MASK], L_PREV] = request
    w.group[group, G_HEAD] = request
    w.group[group, G_COUNT] += 1
    plan_first(w, group)


def take_out(w: World, group: int, request: int) -> None:
    """End work, finished or not."""
    progress(w, group)
    row = request & w.i[MASK]
    before = w.link[row, L_PREV]
    after = w.link[row, L_NEXT]
    if before == NOTHING:
        w.group[group, G_HEAD] = after
    else:
        w.link[before & w.i[MASK], L_NEXT] = after
    if after != NOTHING:
        w.link[after & w.i[MASK], L_PREV] = before
    w.group[group, G_COUNT] -= 1
    plan_first(w, group)


def transfers(w: World, stage: int) -> None:
    """Take off what the pods that share a stage's bandwidth got since the last change."""
    now = w.i[NOW]
    count = w.stage[stage, S_MEMBERS]
    if count > 0:
        done_ns = pods.work_done(now - w.stage[stage, S_SINCE], float(count))
        for pod in range(w.i[PODS]):
            if w.pod[pod, STAGE_TICKET] and w.pod[pod, STAGE] == stage:
                w.pod[pod, LEFT] = max(0, w.pod[pod, LEFT] - done_ns)
    w.stage[stage, S_SINCE] = now


def plan_transfer(w: World, stage: int) -> None:
    """Plan the end of the transfer that ends first."""
    count = w.stage[stage, S_MEMBERS]
    if count == 0:
        return
    first = NOTHING
    for pod in range(w.i[PODS]):
        if w.pod[pod, STAGE_TICKET] and w.pod[pod, STAGE] == stage:
            w.pod[pod, STAGE_DUE] = FOREVER_NS
            if first == NOTHING or w.pod[pod, LEFT] < w.pod[first, LEFT]:
                first = pod
    w.pod[first, STAGE_DUE] = w.i[NOW] + pods.work_takes(w.pod[first, LEFT], float(count))
    agenda.plan(w, w.pod[first, STAGE_DUE], STAGE_KIND, first)


def begin_transfer(w: World, stage: int, pod: int, work_ns: int) -> None:
    """A pod joins a stage whose bandwidth is shared."""
    transfers(w, stage)
    w.pod[pod, LEFT] = work_ns
    w.pod[pod, STAGE_TICKET] = 1
    w.stage[stage, S_MEMBERS] += 1
    plan_transfer(w, stage)


def end_transfer(w: World, stage: int, pod: int) -> None:
    """A pod leaves a stage whose bandwidth is shared."""
    transfers(w, stage)
    w.pod[pod, STAGE_TICKET] = 0
    w.pod[pod, STAGE_DUE] = FOREVER_NS
    w.stage[stage, S_MEMBERS] -= 1
    plan_transfer(w, stage)


KERNELS = (
    group_of, progress, plan_first, add, take_out, transfers, plan_transfer, begin_transfer, end_transfer,
)  # fmt: skip
