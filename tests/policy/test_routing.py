"""Where requests go and wait."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim.policy import routing
from tests.policy import unsimulated


def ints(*numbers: int) -> np.ndarray:
    """An int64 array."""
    return np.array(numbers, dtype=np.int64)


def slice_of(pods: int, index: int, activators: int) -> list[int]:
    """Places of the pods assigned to an activator."""
    return unsimulated.slice_of(range(pods), index, activators)


@given(st.integers(0, 60), st.integers(1, 20))
def test_slices_share_out_all_pods(pods, activators):
    """With enough pods each has one activator, sizes differ by one; with too few, each activator has one pod."""
    slices = [slice_of(pods, index, activators) for index in range(activators)]
    if activators <= pods or pods == 0:
        assert sorted(pod for part in slices for pod in part) == (
            list(range(pods)) if pods != 1 or activators == 1 else [0] * activators
        )
        assert max(map(len, slices)) - min(map(len, slices)) <= 1
    else:
        assert all(len(part) == 1 for part in slices)
        assert {part[0] for part in slices} == set(range(pods))


@pytest.mark.parametrize(
    ("pods", "index", "activators", "assigned"),
    [
        (5, -1, 3, [0, 1, 2, 3, 4]),
        (1, 2, 3, [0]),
        (5, 0, 1, [0, 1, 2, 3, 4]),
        (2, 2, 3, [0]),
        (3, 4, 5, [1]),
        (6, 1, 3, [2, 3]),
        (8, 1, 3, [2, 3, 7]),
        (8, 2, 3, [4, 5]),
    ],
)
def test_leftover_pods_go_one_each_to_the_first_activators(pods, index, activators, assigned):
    """Contiguous slices first, then the remnants; an activator that does not know its place uses all pods."""
    assert slice_of(pods, index, activators) == assigned


@pytest.mark.parametrize(
    ("container_concurrency", "backends", "trackers", "activators", "capacity"),
    [
        (1, 5, 5, 1, 5),
        (1, 5, 2, 3, 2),
        (10, 7, 0, 3, 23),
        (1, 2, 0, 5, 1),
        (0, 1, 1, 1, routing.MAX_CAPACITY),
        (0, 0, 0, 1, 0),
        (5, 0, 0, 0, 0),
    ],
)
def test_capacity_is_that_of_the_assigned_pods(container_concurrency, backends, trackers, activators, capacity):
    """Behind a cluster IP it is a share of all pods; without a limit it is as good as endless."""
    assert routing.capacity(container_concurrency, backends, trackers, activators) == capacity


@pytest.mark.parametrize(("container_concurrency", "policy"), [(0, 0), (1, 1), (3, 1), (4, 2), (1000, 2)])
def test_the_policy_depends_on_the_limit(container_concurrency, policy):
    """No limit: two choices; up to 3: first available; above: round robin."""
    assert routing.policy(container_concurrency) == policy


pods = st.integers(1, 8).flatmap(
    lambda count: st.tuples(
        st.permutations(range(count)),
        st.lists(st.integers(0, 3), min_size=count, max_size=count),
        st.lists(st.integers(0, 3), min_size=count, max_size=count),
    )
)


@given(pods, st.integers(0, 10))
def test_a_full_pod_is_never_chosen(drawn, position):
    """A policy finds a free pod exactly when there is one."""
    order, in_flight, slots = (np.array(part, dtype=np.int64) for part in drawn)
    free = [pod for pod in order if in_flight[pod] < slots[pod]]
    first = routing.first_available(order, len(order), in_flight, slots)
    turn, after = routing.round_robin(order, len(order), in_flight, slots, position)

    assert first == (free[0] if free else -1)
    assert turn in free if free else turn == -1
    assert after <= max(position, len(order))


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 20))
def test_round_robin_is_even(count, rounds, position):
    """While no pod is full, each gets the same number of requests."""
    chosen = np.zeros(count, dtype=np.int64)
    slots = np.full(count, 100)
    for _ in range(rounds * count):
        pod, position = routing.round_robin(np.arange(count), count, chosen, slots, position)
        chosen[pod] += 1

    assert chosen.tolist() == [rounds] * count


@given(st.integers(2, 50), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_the_two_contestants_differ(count, first, second):
    """Whatever is drawn, two different pods compete."""
    one, other = routing.contestants(count, first, second)

    assert 0 <= one < count
    assert 0 <= other < count
    assert one != other


def test_two_choices_take_the_less_busy_pod():
    """A coin decides a tie, and nothing else."""
    weights = ints(3, 1, 1)

    assert routing.power_of_two(weights, 0, 1, False) == 1
    assert routing.power_of_two(weights, 1, 0, True) == 1
    assert routing.power_of_two(weights, 1, 2, False) == 1
    assert routing.power_of_two(weights, 1, 2, True) == 2
    assert routing.power_of_two(weights, *routing.contestants(1, 0.5, 0.5), True) == 0


def test_least_request_keeps_the_first_of_a_tie():
    """The second pick wins only with fewer requests."""
    in_flight = ints(2, 2, 1)

    assert routing.least_request(in_flight, 0, 1) == 0
    assert routing.least_request(in_flight, 0, 2) == 2
    assert routing.least_request(in_flight, 0, 0) == 0


def new_breaker(queue_depth: int, concurrency: int, capacity: int) -> np.ndarray:
    """A breaker."""
    row = np.zeros(routing.BREAKER_COLUMNS, dtype=np.int64)
    routing.breaker_start(row, queue_depth, concurrency, capacity)
    return row


@pytest.mark.parametrize("container_concurrency", [1, 2, 10])
def test_queue_proxy_refuses_the_request_beyond_eleven_times_its_limit(container_concurrency):
    """With a limit of 1, 14 requests at once see 1 run, 10 wait and 3 refused."""
    depth = routing.QUEUE_PROXY_DEPTH_PER_SLOT * container_concurrency
    row = new_breaker(depth, container_concurrency, container_concurrency)
    outcomes = [routing.breaker_enter(row) for _ in range(11 * container_concurrency + 3)]

    assert outcomes.count(routing.RUNS) == container_concurrency
    assert outcomes.count(routing.WAITS) == depth
    assert outcomes.count(routing.REFUSED) == 3


def test_a_removed_pod_holds_on_to_its_slots():
    """Two pods are busy, one is removed, the other ends: the waiting request still waits."""
    row = new_breaker(routing.POD_QUEUE_DEPTH, routing.MAX_CAPACITY, 2)
    outcomes = [routing.breaker_enter(row) for _ in range(3)]
    assert outcomes == [routing.RUNS, routing.RUNS, routing.WAITS]

    routing.breaker_resize(row, 1)
    routing.breaker_release(row)
    assert not routing.breaker_wake(row)

    routing.breaker_release(row)
    assert routing.breaker_wake(row)


@given(
    st.integers(1, 4),
    st.integers(0, 4),
    st.lists(
        st.tuples(st.sampled_from(["enter", "reserve", "release", "cancel", "resize"]), st.integers(0, 6)), max_size=60
    ),
)
def test_a_breaker_wastes_no_slot_and_exceeds_no_bound(queue_depth, capacity, steps):
    """After waking, nobody waits beside a free slot; running never grows past the capacity."""
    row = new_breaker(queue_depth, 6, capacity)
    for kind, number in steps:
        running = int(row[routing.RUNNING])
        if kind == "enter":
            before = int(row[routing.IN_FLIGHT])
            refused = routing.breaker_enter(row) == routing.REFUSED
            assert refused == (before == queue_depth + 6)
        elif kind == "reserve":
            free = running < capacity and int(row[routing.IN_FLIGHT]) < queue_depth + 6
            assert unsimulated.reserve(row) == free
        elif kind == "release" and running > 0:
            routing.breaker_release(row)
        elif kind == "cancel" and row[routing.IN_FLIGHT] > running:
            routing.breaker_cancel(row)
        elif kind == "resize":
            capacity = number
            routing.breaker_resize(row, capacity)
        while routing.breaker_wake(row):
            pass
        waiting = int(row[routing.IN_FLIGHT] - row[routing.RUNNING])
        assert waiting >= 0
        assert row[routing.IN_FLIGHT] <= queue_depth + 6
        assert waiting == 0 or row[routing.RUNNING] >= capacity
        assert row[routing.RUNNING] <= max(capacity, running)
