"""Which pod gets a request, which requests wait, and how activators share the pods.

Arrays are indexed by pod. Where a choice is made among some pods, they come as an index array in the order of their
addresses (compared as text), with a count. Random choices come in as arguments.

Source:
    knative/serving@98e5ef9, pkg/activator/net/throttler.go, pkg/activator/net/lb_policy.go, pkg/queue/breaker.go
"""

from kpasim.arrays import Ints

MAX_CAPACITY = 2147483647
"""Largest capacity of a breaker, and the capacity of a revision without a concurrency limit."""

# How an activator chooses a pod.
RANDOM_CHOICE_2 = 0
FIRST_AVAILABLE = 1
ROUND_ROBIN = 2
POLICIES = ("random_choice_2", "first_available", "round_robin")
"""Names of the policies, by code."""

POD_QUEUE_DEPTH = 10_000
"""Queue depth of an activator's breakers; with ``MAX_CAPACITY`` slots on top, the revision's is never full."""
QUEUE_PROXY_DEPTH_PER_SLOT = 10
"""Queue-proxy queues this many requests for each that it may run."""

UNKNOWN_ACTIVATOR = -1
"""Index of an activator that has not yet seen itself among the revision's activators."""


def policy(container_concurrency: int) -> int:
    """How an activator chooses a pod; without a limit (0) nothing waits while there is a pod.

    Source: throttler.go, ``newRevisionThrottler``.
    """
    if container_concurrency == 0:
        return RANDOM_CHOICE_2
    if container_concurrency <= 3:
        return FIRST_AVAILABLE
    return ROUND_ROBIN


def capacity(container_concurrency: int, backends: int, trackers: int, activators: int) -> int:
    """Requests one activator may have with the pods at the same time; a limit of 0 is none.

    ``backends`` are the pods that can be reached, ``trackers`` those assigned to this activator, 0 when it sends to the
    cluster IP; only then ``activators`` count.

    Source: throttler.go, ``revisionThrottler.calculateCapacity``.
    """
    if trackers > 0:
        slots = container_concurrency * trackers
    else:
        slots = container_concurrency * backends
        if slots > 0:
            slots = max(1, slots // max(1, activators))
    if backends > 0 and (container_concurrency == 0 or slots > MAX_CAPACITY):
        return MAX_CAPACITY
    return slots


def slice_bounds(pods: int, index: int, activators: int) -> tuple[int, int, int]:
    """The pods assigned to one activator, as places among the pods sorted by address; its index is -1 where unknown.

    Only revisions with a concurrency limit are sliced.

    Returns:
        First place, place after the last, and the place of one more pod, or -1.

    Source: throttler.go, ``assignSlice``, ``pickIndices``.
    """
    if index == UNKNOWN_ACTIVATOR or pods <= 1 or activators == 1:
        return 0, pods, -1
    if activators > pods:
        begin = index % pods
        return begin, begin + 1, -1
    size = pods // activators
    left = pods % activators
    begin = index * size
    extra = pods - left + index if index < left else -1
    return begin, begin + size, extra


def first_available(pods: Ints, count: int, in_flight: Ints, slots: Ints) -> int:
    """The first of ``count`` assigned pods with a free slot, -1 when there is none.

    ``in_flight`` are the requests this activator has with each pod, ``slots`` those it may have.

    Source: lb_policy.go, ``firstAvailableLBPolicy``.
    """
    for place in range(count):
        pod = pods[place]
        if in_flight[pod] < slots[pod]:
            return int(pod)
    return -1


def round_robin(pods: Ints, count: int, in_flight: Ints, slots: Ints, position: int) -> tuple[int, int]:
    """The next pod with a free slot from ``position`` on, -1 when all are full; and the position to go on from.

    Arguments are those of ``first_available``.

    Source: lb_policy.go, ``newRoundRobinPolicy``.
    """
    if position >= count:
        position = 0
    place = position
    for _ in range(count):
        pod = pods[place]
        if in_flight[pod] < slots[pod]:
            return int(pod), place + 1
        place += 1
        if place == count:
            place = 0
    return -1, position


def contestants(count: int, first: float, second: float) -> tuple[int, int]:
    """Two different places among ``count``, at random; place 0 twice when there is one only.

    Both draws are uniform in [0, 1).

    Source: lb_policy.go, ``randomChoice2Policy``.
    """
    if count == 1:
        return 0, 0
    if count == 2:
        return 0, 1
    one = int(first * count)
    other = int(second * (count - 1))
    if other >= one:
        other += 1
    return one, other


def power_of_two(weights: Ints, one: int, other: int, coin: bool) -> int:
    """The pod with which this activator has fewer requests, of two; a fair ``coin`` decides a tie for ``other``.

    Source: lb_policy.go, ``randomChoice2Policy``.
    """
    if weights[one] > weights[other] or (coin and weights[one] == weights[other]):
        return other
    return one


def least_request(in_flight: Ints, one: int, other: int) -> int:
    """The pod with fewer requests of two picked at random; a tie goes to the one picked first.

    Source: Envoy, load balancing policy LEAST_REQUEST with equal weights and two choices. The two may be the same pod.
    """
    return other if in_flight[other] < in_flight[one] else one


# A breaker is a row of four int64 numbers.
CAPACITY = 0
"""Requests that may run."""
RUNNING = 1
"""Requests that run, or have reserved a slot; above the capacity after that was lowered."""
IN_FLIGHT = 2
"""Requests that run, have reserved a slot or wait."""
TOTAL_SLOTS = 3
"""Most requests in flight: queue depth and largest capacity."""
BREAKER_COLUMNS = 4

# What becomes of a request at a breaker.
REFUSED = 0
RUNS = 1
WAITS = 2


def breaker_start(row: Ints, queue_depth: int, max_concurrency: int, initial_capacity: int) -> None:
    """Set up a breaker.

    Queue-proxy's has ``max_concurrency`` = ``initial_capacity`` = the container concurrency and
    ``QUEUE_PROXY_DEPTH_PER_SLOT`` times that as depth; an activator's begins at capacity 0.

    Source: breaker.go, ``NewBreaker``.
    """
    row[CAPACITY] = initial_capacity
    row[RUNNING] = 0
    row[IN_FLIGHT] = 0
    row[TOTAL_SLOTS] = queue_depth + max_concurrency


def breaker_enter(row: Ints) -> int:
    """Admit a request: it ``RUNS``, ``WAITS``, or is ``REFUSED`` because all slots are taken.

    A newcomer that finds a free slot takes it, even past requests that wait.

    Source: breaker.go, ``Breaker.Maybe``.
    """
    if row[IN_FLIGHT] == row[TOTAL_SLOTS]:
        return REFUSED
    row[IN_FLIGHT] += 1
    if row[RUNNING] < row[CAPACITY]:
        row[RUNNING] += 1
        return RUNS
    return WAITS


def breaker_release(row: Ints) -> None:
    """A request that ran is done, or a reservation given back (breaker.go, ``semaphore.release``)."""
    row[RUNNING] -= 1
    row[IN_FLIGHT] -= 1


def breaker_cancel(row: Ints) -> None:
    """A request that waited has given up (breaker.go, ``Breaker.Maybe``)."""
    row[IN_FLIGHT] -= 1


def breaker_resize(row: Ints, new_capacity: int) -> None:
    """Change the capacity; requests that run are left alone (breaker.go, ``semaphore.updateCapacity``)."""
    row[CAPACITY] = new_capacity


def breaker_wake(row: Ints) -> bool:
    """Let one waiting request run if a slot is free; call until it says no after a release or a resize.

    Source: breaker.go, ``semaphore.acquire``.
    """
    if row[RUNNING] >= row[CAPACITY] or row[IN_FLIGHT] <= row[RUNNING]:
        return False
    row[RUNNING] += 1
    return True
