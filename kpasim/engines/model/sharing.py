"""What is shared in equal parts: the GPU of a pod or node, the connection over which pods load data.

All that share it get the same work done at any time, so one sum of that work stands for all: a member is done when the
sum reaches its own mark. The members stand in a pairing heap by mark and number, so that whatever comes next is found
without a look at the others. Work is a whole number of nanoseconds: marks lose nothing.

Source:
    Fredman, Sedgewick, Sleator and Tarjan, "The pairing heap: a new form of self-adjusting heap", Algorithmica 1986.
"""

from typing import Any

from kpasim.engines.model.state import NOTHING, Shared
from kpasim.policy import pods


def progress(shared: Shared, now_ns: int, slow: float) -> None:
    """Add what each member got done since the last change, slowed down ``slow`` times."""
    if shared.count > 0:
        shared.done_ns += pods.work_done(now_ns - shared.since_ns, slow)
    shared.since_ns = now_ns


def join(shared: Shared, shares: Any, mask: int, member: int, work_ns: int) -> None:
    """Let a member share from now on, with this much work to do."""
    shares[member & mask].mark_ns = shared.done_ns + work_ns
    shared.count += 1
    _add(shared, shares, mask, member)


def leave(shared: Shared, shares: Any, mask: int, member: int) -> None:
    """Let a member share no longer."""
    shared.count -= 1
    _take_out(shared, shares, mask, member)


def first(shared: Shared, shares: Any, mask: int) -> int:
    """The member with the least work left, among several the one with the lowest number; there must be one."""
    # Members that are done all have nothing left, whatever they had to do.
    while shares[shared.root & mask].mark_ns < shared.done_ns:
        member = int(shared.root)
        _take_out(shared, shares, mask, member)
        shares[member & mask].mark_ns = shared.done_ns
        _add(shared, shares, mask, member)
    return int(shared.root)


def takes(shared: Shared, shares: Any, mask: int, member: int, slow: float) -> int:
    """Time [ns] until a member is done, while slowed down ``slow`` times."""
    return pods.work_takes(max(0, shares[member & mask].mark_ns - shared.done_ns), slow)


def following(shares: Any, mask: int, member: int) -> int:
    """The next member, from the root through all of them; ``NOTHING`` after the last."""
    if shares[member & mask].child != NOTHING:
        return int(shares[member & mask].child)
    while member != NOTHING:
        if shares[member & mask].next != NOTHING:
            return int(shares[member & mask].next)
        # Back to the first of its siblings, and up.
        above = shares[member & mask].previous
        while above != NOTHING and shares[above & mask].child != member:
            member = above
            above = shares[member & mask].previous
        member = above
    return NOTHING


def _add(shared: Shared, shares: Any, mask: int, member: int) -> None:
    share = shares[member & mask]
    share.child = NOTHING
    share.next = NOTHING
    share.previous = NOTHING
    shared.root = member if shared.root == NOTHING else _meld(shares, mask, shared.root, member)


def _take_out(shared: Shared, shares: Any, mask: int, member: int) -> None:
    share = shares[member & mask]
    below = _joined(shares, mask, share.child)
    if shared.root == member:
        shared.root = below
        return
    before, after = share.previous, share.next
    if shares[before & mask].child == member:
        shares[before & mask].child = after
    else:
        shares[before & mask].next = after
    if after != NOTHING:
        shares[after & mask].previous = before
    if below != NOTHING:
        shared.root = _meld(shares, mask, shared.root, below)


def _meld(shares: Any, mask: int, one: int, other: int) -> int:
    """Make one heap of two; its root."""
    mine, theirs = shares[one & mask].mark_ns, shares[other & mask].mark_ns
    if theirs < mine or (theirs == mine and other < one):
        one, other = other, one
    child = shares[one & mask].child
    shares[other & mask].next = child
    shares[other & mask].previous = one
    if child != NOTHING:
        shares[child & mask].previous = other
    shares[one & mask].child = other
    return one


def _joined(shares: Any, mask: int, child: int) -> int:
    """Make one heap of all siblings from ``child`` on, in pairs from left to right and then from right to left."""
    pairs = NOTHING
    while child != NOTHING:
        pair, after = child, shares[child & mask].next
        if after != NOTHING:
            other, after = after, shares[after & mask].next
            pair = _meld(shares, mask, child, other)
        shares[pair & mask].next = pairs
        pairs = pair
        child = after
    root = NOTHING
    while pairs != NOTHING:
        after = shares[pairs & mask].next
        shares[pairs & mask].next = NOTHING
        shares[pairs & mask].previous = NOTHING
        root = pairs if root == NOTHING else _meld(shares, mask, root, pairs)
        pairs = after
    return root
