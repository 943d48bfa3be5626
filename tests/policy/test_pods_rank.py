"""The rank of a pod orders as the comparison that it stands for."""

import random

from kpasim.policy import pods


def test_the_rank_orders_as_the_comparison() -> None:
    """Of any two pods that did not become ready at the same moment, the same goes first, by rank and then by UID."""
    dice = random.Random(11)
    now = 10**12
    for _ in range(20_000):
        one, other = (_pod(dice, now) for _ in range(2))
        if one["ready"] and other["ready"] and one["ready_since"] == other["ready_since"]:
            continue
        expected = pods.goes_first(*one.values(), *other.values(), now)
        mine, theirs = (_rank(pod, now) for pod in (one, other))
        assert expected == ((mine, one["uid"]) < (theirs, other["uid"])), (one, other)


def _pod(dice: random.Random, now: int) -> dict[str, int]:
    ready = dice.randint(0, 1)
    return {
        "phase": pods.RUNNING if ready else dice.randint(0, 2),
        "ready": ready,
        "ready_since": now - dice.choice([0, 1, 2, 3, dice.randint(0, 2**20), dice.randint(0, 2**35), -5]),
        "pods_on_node": dice.choice([0, 1, 2, dice.randint(0, 10_000)]),
        "restarts": dice.choice([0, 0, 1, 2]),
        "uid": dice.randint(0, 50),
        "created": now - dice.choice([0, 1, 5, dice.randint(0, 2**38)]),
    }


def _rank(pod: dict[str, int], now: int) -> int:
    since = pod["ready_since"] if pod["ready"] else pod["created"]
    return pods.rank(
        pod["phase"], pod["ready"], pod["pods_on_node"], 0 if pod["ready"] else pod["restarts"], now - since
    )
