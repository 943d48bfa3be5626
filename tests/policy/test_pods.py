"""The life of a pod in numbers: probes, and who goes first in a scale-down."""

from typing import NamedTuple

import pytest

from kpasim.policy import pods

S = 1_000_000_000
NOW_NS = 1000 * S


class Pod(NamedTuple):
    """What a scale-down sees of a pod."""

    phase: int = pods.RUNNING
    ready: int = 1
    ready_since_ns: int = 900 * S
    pods_on_node: int = 1
    restarts: int = 0
    uid: int = 1
    created_ns: int = 800 * S


PLAIN = Pod()
LOADING = Pod(ready=0, ready_since_ns=0)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (LOADING._replace(phase=pods.WITHOUT_NODE), LOADING._replace(phase=pods.PENDING)),
        (LOADING._replace(phase=pods.PENDING, created_ns=1), LOADING._replace(created_ns=999 * S, pods_on_node=5)),
        (LOADING, PLAIN._replace(pods_on_node=5)),
        (PLAIN._replace(pods_on_node=2), PLAIN._replace(ready_since_ns=999 * S)),
        (PLAIN._replace(ready_since_ns=990 * S), PLAIN._replace(restarts=3)),
        (PLAIN._replace(ready_since_ns=901 * S), PLAIN._replace(uid=2)),
        (PLAIN._replace(restarts=1, uid=2), PLAIN),
        (LOADING._replace(restarts=1), LOADING._replace(created_ns=999 * S)),
        (LOADING._replace(created_ns=990 * S, uid=2), LOADING),
        (LOADING, LOADING._replace(uid=2)),
    ],
)
def test_a_scale_down_has_its_order(first: Pod, then: Pod) -> None:
    """Node, phase, readiness, neighbours, time of readiness by powers of two, restarts, age, and the UID."""
    assert pods.goes_first(*first, *then, NOW_NS)
    assert not pods.goes_first(*then, *first, NOW_NS)


@pytest.mark.parametrize(
    ("has_node", "has_containers", "phase"),
    [(False, False, pods.WITHOUT_NODE), (True, False, pods.PENDING), (True, True, pods.RUNNING)],
)
def test_a_pod_is_pending_until_its_containers_run(has_node: bool, has_containers: bool, phase: int) -> None:
    """An image that is still pulled leaves a pod Pending."""
    assert phase == pods.phase_of(has_node, has_containers)


@pytest.mark.parametrize(("open_s", "seen_s"), [(0, 3), (3, 3), (4, 5), (7, 7), (8, -1), (100, -1)])
def test_a_startup_probe_gives_up_at_its_last_failure(open_s: int, seen_s: int) -> None:
    """Probes at 3, 5 and 7 s: whoever does not answer the last of them is killed."""
    seen_ns = pods.startup_sees(open_s * S, 1 * S, 1 * S, 1 * S, 2 * S, 3)

    assert seen_s == (seen_ns // S if seen_ns >= 0 else -1)


def test_restarts_wait_longer_and_longer() -> None:
    """At once, then after 10 s, 20 s and so on, never more than five minutes."""
    assert [0, 10, 20, 40, 80, 160, 300, 300] == [pods.back_off(10 * S, attempt) // S for attempt in range(8)]
