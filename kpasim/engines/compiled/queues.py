"""First come, first served: requests linked through their own rows, with head and tail kept by the owner."""

from __future__ import annotations

from kpasim.engines.compiled.layout import MASK, NOTHING, R_NEXT, R_PREV, World
from kpasim.engines.params import Ints


def append(w: World, owner: Ints, head: int, request: int) -> None:
    """Put a request at the end; ``owner[head]`` is the first, ``owner[head + 1]`` the last, ``head + 2`` the count."""
    mask = w.i[MASK]
    last = owner[head + 1]
    w.queue[request & mask, R_PREV] = last
    w.queue[request & mask, R_NEXT] = NOTHING
    if last == NOTHING:
        owner[head] = request
    else:
        w.queue[last & mask, R_NEXT] = request
    owner[head + 1] = request
    owner[head + 2] += 1


def remove(w: World, owner: Ints, head: int, request: int) -> None:
    """Take a request out, wherever it stands."""
    mask = w.i[MASK]
    before = w.queue[request & mask, R_PREV]
    after = w.queue[request & mask, R_NEXT]
    if before == NOTHING:
        owner[head] = after
    else:
        w.queue[before & mask, R_NEXT] = after
    if after == NOTHING:
        owner[head + 1] = before
    else:
        w.queue[after & mask, R_PREV] = before
    owner[head + 2] -= 1


KERNELS = (append, remove)
