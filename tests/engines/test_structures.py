"""The data structures of the model against plain lists: bits of free pods, and the heap of those that share."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np

from kpasim.engines.model import bits, reconciler, sharing, state
from kpasim.engines.model.state import EACH, NOTHING, Share, Shared
from kpasim.policy import pods, routing

PODS = 200


def test_bits_choose_as_the_policies_choose() -> None:
    """After any insertions, removals and changes, the first set bit is the pod that Knative's policies choose."""
    dice = random.Random(3)
    words, listed = [0] * (PODS // 32 + 2), []
    in_flight, slots = np.zeros(PODS, dtype=np.int64), np.ones(PODS, dtype=np.int64)
    for _ in range(4000):
        count = len(listed)
        kind = dice.random()
        if kind < 0.3 and count < PODS:
            place, pod = dice.randint(0, count), dice.choice([pod for pod in range(PODS) if pod not in listed])
            bits.insert(words, count, place, int(in_flight[pod] < slots[pod]))
            listed.insert(place, pod)
        elif kind < 0.5 and count:
            place = dice.randrange(count)
            bits.remove(words, count, place)
            listed.pop(place)
        elif count:
            place = dice.randrange(count)
            in_flight[listed[place]] = dice.random() < 0.9
            bits.put(words, place, int(not in_flight[listed[place]]))
        count, turn = len(listed), dice.randint(0, len(listed))
        first = bits.first(words, 0, count)
        assert (listed[first] if first >= 0 else -1) == routing.first_available(listed, count, in_flight, slots)
        after = bits.first(words, turn, count)
        chosen = after if after >= 0 else bits.first(words, 0, turn)
        pod, _ = routing.round_robin(listed, count, in_flight, slots, turn)
        assert (listed[chosen] if chosen >= 0 else -1) == pod


def test_one_sum_of_work_stands_for_the_work_left_of_each() -> None:
    """Whoever joins and leaves, who is done first and when is what taking the work off each member gives."""
    dice = random.Random(5)
    for case in range(20):
        shared, shares = Shared(), [Share() for _ in range(60)]
        left: dict[int, int] = {}
        table = np.array([1.0, 1.3, dice.choice([0.7, 1.9])])
        since = now = 0
        for _ in range(300):
            now += dice.randint(0, 40 if case % 2 else 3)
            slow = pods.slowdown(table, len(left))
            if left:
                done = pods.work_done(now - since, slow)
                left = {member: max(0, work - done) for member, work in left.items()}
            since = now
            sharing.progress(shared, now, slow)
            outside = [member for member in range(60) if member not in left]
            if outside and (not left or dice.random() < 0.55):
                member, work = dice.choice(outside), dice.randint(0, 60)
                sharing.join(shared, shares, EACH, member, work)
                left[member] = work
            else:
                member = min(left, key=lambda one: (left[one], one)) if dice.random() < 0.6 else dice.choice([*left])
                sharing.leave(shared, shares, EACH, member)
                del left[member]
            assert shared.count == len(left)
            if left:
                expected, slow = min(left, key=lambda one: (left[one], one)), pods.slowdown(table, len(left))
                assert sharing.first(shared, shares, EACH) == expected
                assert sharing.takes(shared, shares, EACH, expected, slow) == pods.work_takes(left[expected], slow)
            assert _members(shared, shares) == set(left)


def _members(shared: Shared, shares: list[Share]) -> set[int]:
    found, member = set(), shared.root
    while member != NOTHING:
        found.add(member)
        member = sharing.following(shares, EACH, member)
    return found


def test_pods_to_remove_are_the_same_by_sorting_and_one_by_one() -> None:
    """Where no two pods became ready at the same moment, the heap finds the pods that Kubernetes' comparison finds."""
    dice = random.Random(9)
    for _ in range(60):
        count = dice.randint(1, 60)
        now = 10**11
        listed = [state.Pod() for _ in range(count)]
        ready_ns = dice.sample(range(now - 5 * 10**9, now), count)
        for pod, since in zip(listed, ready_ns, strict=True):
            pod.created_ns = now - dice.choice([5, 6, 7, 10**9, 10**10])
            pod.node = dice.choice([NOTHING, 0, 1, 2])
            pod.containers_ns = dice.choice([state.NEVER_NS, 5])
            pod.ready, pod.ready_ns, pod.restarts = dice.randint(0, 1), since, dice.randint(0, 2)
        sim: Any = SimpleNamespace(
            pods=listed,
            nodes=[SimpleNamespace(candidates=dice.randint(0, 9)) for _ in range(3)],
            draws=SimpleNamespace(pod=[[0, dice.randint(0, 5)] for _ in listed]),
            now_ns=now,
            candidates=[*range(count)],
            scratch=[0] * count,
            chosen=[0] * count,
            keys=[0.0] * count,
        )
        wanted = dice.randint(1, count)
        reconciler.sort(sim, wanted, count)
        by_heap, sim.candidates = sim.candidates[:wanted], [*range(count)]
        reconciler.select(sim, wanted, count)
        assert by_heap == sim.candidates[:wanted]
