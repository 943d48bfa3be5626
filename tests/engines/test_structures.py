"""The data structures of the model against plain lists: views of pods, pods to remove, the heap of those that share."""

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kpasim.engines.clock import ENTITY_BITS
from kpasim.engines.compiled import event_queue
from kpasim.engines.model import activator, kubelet, reconciler, sharing, state, views
from kpasim.engines.model.state import EACH, NOTHING, Share, Shared
from kpasim.engines.params import FOREVER_NS
from kpasim.policy import pods, routing
from tests.policy.unsimulated import slice_of

PODS = 1000


@pytest.mark.parametrize("ahead", [3, state.NEAR, 1000])
def test_events_come_in_their_order(ahead: int) -> None:
    """However many events are ahead, the first one is that of a sorted list: by time, kind and entity."""
    dice = random.Random(ahead)
    sim: Any = SimpleNamespace(
        now_ns=0,
        fault=state.NO_FAULT,
        event_queue=state.EventQueue(),
        near=np.zeros((state.NEAR + 1, 2), dtype=object),
        heap=np.zeros((4000, 2), dtype=object),
        later=np.zeros((4000 << state.PAGE_BITS, 2), dtype=object),
        pages=np.zeros(4000, dtype=object),
        buckets=np.zeros((state.TIED + 1, 2), dtype=object),
        filled=[0] * state.LEVELS,
    )
    event_queue.clear(sim)
    listed: list[tuple[int, int, int]] = []
    for step in range(20_000):
        if dice.random() < (0.5 if len(listed) < ahead else 0.4) and step < 15_000:
            # Many events of one moment, too.
            moment = (sim.now_ns // 10**11 + 1) * 10**11
            event = (
                dice.choice(
                    [sim.now_ns + dice.choice([0, 1, 5, dice.randrange(5000), dice.randrange(10**12)]), moment]
                ),
                dice.randrange(26),
                dice.randrange(9),
            )
            event_queue.schedule(sim, *event)
            listed.append(event)
        time_ns, key = sim.near[sim.event_queue.near]
        if not listed:
            assert time_ns == FOREVER_NS
            continue
        first = min(listed)
        assert (time_ns, key >> ENTITY_BITS, key & ((1 << ENTITY_BITS) - 1)) == first
        assert event_queue.is_quiet_now(sim) == (first[0] > sim.now_ns)
        if dice.random() < (0.4 if len(listed) < ahead and step < 15_000 else 0.6):
            sim.now_ns = first[0]
            listed.remove(first)
            event_queue.take_first(sim)
    assert sim.fault == state.NO_FAULT


def test_views_choose_as_the_policies_choose() -> None:
    """After any comings, goings and changes, an activator's view is the sorted list and chooses as Knative does."""
    dice = random.Random(3)
    for _ in range(4):
        sim, listed = _seen(dice, slots := dice.choice([1, 3, 8]), activators := dice.choice([1, 1, 2, 3])), []
        outside, turn = [*range(PODS)], 0
        for step in range(2000):
            kind = dice.random()
            if outside and kind < (0.8 if step < 1400 else 0.1):
                pod = outside.pop(dice.randrange(len(outside)))
                views.insert(sim, 0, pod, int(sim.in_flight[0][pod] < slots))
                listed = sorted([*listed, pod], key=lambda one: (sim.addresses[one], one))
            elif listed and kind < (0.85 if step < 1400 else 0.6):
                views.remove(sim, 0, pod := dice.choice(listed))
                listed.remove(pod)
            elif listed:
                pod = dice.choice(listed)
                sim.in_flight[0][pod] = slots if dice.random() < 0.95 else dice.randrange(slots)
                views.put_free(sim, 0, pod, int(sim.in_flight[0][pod] < slots))
            if step % 8:
                continue
            assert [views.has(sim, 0, pod) for pod in range(PODS)] == [pod in listed for pod in range(PODS)]
            count = len(listed)
            positions = [views.position_of(sim, 0, place) for place in range(count + 1)]
            assert [views.pod_at(sim, 0, position) for position in positions[:-1]] == listed
            assert [views.place_of(sim, 0, position) for position in positions[:-1]] == [*range(count)]
            assigned = np.array(slice_of(listed, 0, activators), dtype=np.int64)
            size = len(assigned)
            activator.look_up_slice(sim, 0)
            assert [activator.pod_of(sim, 0, place) for place in range(size)] == assigned.tolist()
            in_flight, all_slots = np.array(sim.in_flight[0]), np.full(PODS, slots)
            if slots <= 3:
                assert activator.choose_free(sim, 0, False) == routing.first_available(
                    assigned, size, in_flight, all_slots
                )
            else:
                pod, turn = routing.round_robin(assigned, size, in_flight, all_slots, turn)
                assert activator.choose_free(sim, 0, True) == pod
        assert sim.views[0].blocks > views.WIDTH


def _seen(dice: random.Random, slots: int, activators: int) -> Any:
    """Pods that no activator has found yet, some of the same address."""
    blocks = PODS // views.HALF + 1
    sim: Any = SimpleNamespace(
        params=SimpleNamespace(container_concurrency=slots),
        ingress=SimpleNamespace(activators=activators),
        activators=[state.Activator()],
        addresses=[dice.randrange(PODS) for _ in range(PODS)],
        in_flight=[[0] * PODS],
        views=[state.View()],
        spots=[[NOTHING] * PODS],
        members=[[NOTHING] * (views.WIDTH * blocks)],
        free_blocks=[[0] * (blocks // views.WIDTH + 1)],
        group_pods=[[0] * (blocks // views.WIDTH + 1)],
    )
    for name in ("blocks", "block_pods", "block_first", "block_nth", "free"):
        setattr(sim, name, [[0] * blocks])
    views.begin(sim, 0)
    return sim


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


@pytest.mark.parametrize("together", [False, True])
def test_pods_to_remove_are_the_same_by_sorting_and_one_by_one(together: bool) -> None:
    """Where no pods may go before each other in a circle, the heap finds the pods that Kubernetes' comparison finds."""
    dice = random.Random(9)
    sorted_runs = 0
    for _ in range(200):
        count = dice.randint(1, 60)
        now = 10**11
        listed = [state.Pod() for _ in range(count)]
        moments = dice.sample(range(now - 5 * 10**9, now), count)
        ready_ns = sorted(dice.choices(moments, k=count)) if together else moments
        sim: Any = SimpleNamespace(
            pods=listed,
            nodes=[SimpleNamespace(candidates=dice.randint(0, 9)) for _ in range(3)],
            draws=SimpleNamespace(pod=[[0, dice.randint(0, 5)] for _ in listed]),
            revision=state.Revision(),
            candidates=[*range(count)],
            scratch=[0] * count,
            chosen=[0] * count,
            keys=[0.0] * count,
        )
        are_alike = dice.random() < 0.5
        for which, (pod, since) in enumerate(zip(listed, ready_ns, strict=True)):
            pod.created_ns = now - (10**10 if are_alike else dice.choice([5, 6, 7, 10**9, 10**10]))
            pod.node = dice.choice([NOTHING, 0, 1, 2])
            pod.containers_ns = dice.choice([state.NEVER_NS, 5])
            pod.ready, pod.ready_ns = dice.randint(0, 1), since
            pod.restarts = 0 if are_alike else dice.randint(0, 2)
            sim.now_ns = since
            if pod.ready:
                kubelet.note_ready_together(sim, which)
        sim.now_ns = now
        wanted = dice.randint(1, count)
        if reconciler.may_circle(sim, count):
            assert together
            assert not are_alike
            continue
        sorted_runs += 1
        reconciler.sort(sim, wanted, count)
        by_heap, sim.candidates = sim.candidates[:wanted], [*range(count)]
        reconciler.select(sim, wanted, count)
        assert by_heap == sim.candidates[:wanted]
    assert sorted_runs > 60
