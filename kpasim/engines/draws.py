"""Random numbers, indexed by what they belong to and not by when they are used.

A draw is a function of (seed, replication, stream, index). Bulk draws come from numpy's counter-based Philox: one key
for each (seed, replication, stream), one counter for each index, so two settings compared under one seed meet the same
requests, and no engine can drift from the other. The few draws whose number nobody knows beforehand (which pods a
scrape reads, coin flips of a balancer) come from ``chance``, a Philox of its own that both engines call.

Source:
    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.arrays import Floats

MASK = 0xFFFFFFFF
ROUNDS = 7
CHANCE_ONE = 1 << 32


# What a draw made on the way is for: added to its index in ``chance``.
WORKER, HOST_A, HOST_B, ACTIVATOR_A, ACTIVATOR_B, POD_A, POD_B, COIN, SESSION = range(9)
SCRAPE_ORDER, SCRAPE_FAILS, CRASH = 1 << 20, 2 << 20, 3 << 20
LATE_TICK, LATE_SCRAPE, LATE_RECONCILE, LATE_STATUS = 4 << 20, 5 << 20, 6 << 20, 7 << 20
LATE_WAKE, LATE_REPORT = 8 << 20, 9 << 20
QUERY_FAILS = 10 << 20


class Stream(IntEnum):
    """What a draw is for. One stream for each purpose; stages of a start follow at ``STAGE``."""

    PHASE = 0
    SERVICE = 1
    CLASS = 2
    FIRST_BYTE = 3
    DELAY = 4
    ARRIVAL = 5
    POD = 6
    NODE = 7
    POSTERIOR = 8
    STAGE = 16


def uniforms(seed: int, replication: int, stream: int, count: int, first: int = 0) -> Floats:
    """Uniform draws ``first .. first + count - 1`` of one stream, shape ``(count,)``; never exactly 0 or 1."""
    block, skip = divmod(first, 4)
    generator, start = _generator()
    start["state"]["key"] = _key(seed, replication, stream)
    start["state"]["counter"][0] = block
    generator.state = start
    return _open_interval(generator.random_raw(count + skip)[skip:])


def uniforms_of(seed: int, replications: Sequence[int], stream: int, counts: Sequence[int]) -> Floats:
    """The first draws of one stream in many replications, one replication after the other.

    The same numbers as ``uniforms`` gives, at a fraction of the time: one generator is set back and forth. Shape
    ``(sum(counts),)``.
    """
    generator, start = _generator()
    raw = np.empty(sum(counts), dtype=np.uint64)
    end = 0
    for replication, count in zip(replications, counts, strict=True):
        start["state"]["key"] = _key(seed, replication, stream)
        generator.state = start
        raw[end : end + count] = generator.random_raw(count)
        end += count
    return _open_interval(raw)


def _generator() -> tuple[np.random.Philox, Any]:
    """A generator and its state at the very beginning, to be given a key; making one with a key costs far more."""
    generator = np.random.Philox(0)
    return generator, generator.state


def _key(seed: int, replication: int, stream: int) -> NDArray[np.uint64]:
    return np.array([seed & 0xFFFFFFFFFFFFFFFF, replication << 32 | stream], dtype=np.uint64)


def _open_interval(raw: NDArray[np.uint64]) -> Floats:
    """Numbers strictly between 0 and 1 from 64 random bits each, which are lost."""
    raw >>= np.uint64(12)
    numbers = raw.astype(np.float64)
    numbers += 0.5
    numbers *= 2.0**-52
    return numbers


def chance_key(seed: int, replication: int) -> int:
    """Key of the draws made on the way, below 2**32."""
    return int(chance(seed & MASK, replication & MASK, (seed >> 32) & MASK))


def chance(key: int, index: int, sub: int) -> int:
    """A uniform integer in [0, 2**32) that belongs to ``(key, index, sub)``.

    Philox2x32 with seven rounds, the fewest that pass TestU01's BigCrush. Compiled code keeps the lower 64 bits of the
    product, with the uppermost as a sign; what is taken of it is the same.
    """
    key, index, sub = int(key), int(index), int(sub)
    left = index & MASK
    right = ((index >> 32) ^ sub) & MASK
    for _ in range(ROUNDS):
        product = left * 0xD256D193
        left = ((product >> 32) & MASK) ^ key ^ right
        right = product & MASK
        key = (key + 0x9E3779B9) & MASK
    return left


def pick(key: int, index: int, sub: int, count: int) -> int:
    """A uniform integer in [0, count) that belongs to ``(key, index, sub)``."""
    return (chance(key, index, sub) * count) >> 32


def session_of(key: int, draw: int, worker: int, sessions: int) -> int:
    """The client that sends a request: one of ``sessions`` by chance, or always the same one for a worker.

    Args:
        key: Key of the replication's draws.
        draw: Index of the request's draws.
        worker: Worker of a closed loop, -1 for a request of an open one.
        sessions: How many clients there are.
    """
    if worker >= 0:
        return worker % sessions
    return pick(key, draw, SESSION, sessions)


KERNELS = (chance, pick, session_of)
