"""Lists of pods: those that are alive, and those that an activator or the gateway sees, in the order of addresses.

A view is a sorted list in blocks of up to 32 pods, like the leaves of a B-tree, under one directory. Each pod knows its
block and its place there: one bit tells whether it has a free slot, and whoever comes or goes moves at most 31 others.
A full block is split in two. Blocks are never merged: addresses are drawn, so none stays emptier than others for long.
A position is a place in the order of the directory: 32 times the number of a block, plus the place inside.
"""

from kpasim.engines.model import bits
from kpasim.engines.model.bits import INSIDE
from kpasim.engines.model.state import GONE, MORE_PODS, NOT_ASKED, NOTHING, WIDTH_BITS, Simulation, renew

WIDTH = 1 << WIDTH_BITS
HALF = WIDTH // 2


def alive(sim: Simulation) -> int:
    """How many pods are alive: as many stand in ``alive_pods``, those that are gone having been taken out now."""
    if sim.revision.listed != sim.revision.alive:
        listed = sim.alive_pods
        place = 0
        for index in range(sim.revision.listed):
            if sim.pods[listed[index]].phase != GONE:
                listed[place] = listed[index]
                place += 1
        sim.revision.listed = place
    return int(sim.revision.listed)


def begin(sim: Simulation, at: int) -> None:
    """An empty view has one block."""
    renew(sim.views[at])
    sim.blocks[at][0] = 0
    sim.block_nth[at][0] = 0
    sim.block_pods[at][0] = 0
    sim.group_pods[at][0] = 0
    sim.free[at][0] = 0
    sim.free_blocks[at][0] = 0


def insert(sim: Simulation, at: int, which: int, is_free: int) -> None:
    """Put a pod into a view."""
    view = sim.views[at]
    nth = _nth_of(sim, at, which)
    if sim.block_pods[at][nth] == WIDTH:
        if view.blocks == len(sim.blocks[at]):
            sim.fault = MORE_PODS
            return
        _split(sim, at, nth)
        if not comes_before(sim, which, sim.block_first[at][nth + 1]):
            nth += 1
    block = sim.blocks[at][nth]
    first = block << WIDTH_BITS
    spot = first + sim.block_pods[at][nth]
    while spot > first and comes_before(sim, which, sim.members[at][spot - 1]):
        _put(sim, at, sim.members[at][spot - 1], spot)
        spot -= 1
    _put(sim, at, which, spot)
    below = (1 << (spot & INSIDE)) - 1
    word = sim.free[at][nth]
    sim.free[at][nth] = (word & below) | ((word & ~below) << 1) | (is_free << (spot & INSIDE))
    _note_block(sim, at, nth)
    sim.block_pods[at][nth] += 1
    sim.group_pods[at][nth >> WIDTH_BITS] += 1
    view.count += 1
    view.asked = NOT_ASKED


def remove(sim: Simulation, at: int, which: int) -> None:
    """Take a pod out of a view."""
    spot = sim.spots[at][which]
    block = spot >> WIDTH_BITS
    nth = sim.block_nth[at][block]
    last = (block << WIDTH_BITS) + sim.block_pods[at][nth] - 1
    for later in range(spot, last):
        _put(sim, at, sim.members[at][later + 1], later)
    below = (1 << (spot & INSIDE)) - 1
    word = sim.free[at][nth]
    sim.free[at][nth] = (word & below) | ((word >> 1) & ~below)
    _note_block(sim, at, nth)
    sim.block_pods[at][nth] -= 1
    sim.group_pods[at][nth >> WIDTH_BITS] -= 1
    sim.spots[at][which] = NOTHING
    sim.views[at].count -= 1
    sim.views[at].asked = NOT_ASKED


def has(sim: Simulation, at: int, which: int) -> bool:
    """Whether a pod is in a view."""
    return bool(sim.spots[at][which] != NOTHING)


def put_free(sim: Simulation, at: int, which: int, is_free: int) -> None:
    """Note whether a pod has a free slot, if it is in the view."""
    spot = sim.spots[at][which]
    if spot == NOTHING:
        return
    nth = sim.block_nth[at][spot >> WIDTH_BITS]
    mask = 1 << (spot & INSIDE)
    before = sim.free[at][nth]
    after = before | mask if is_free else before & ~mask
    sim.free[at][nth] = after
    if before == 0 or after == 0:
        bits.put(sim.free_blocks[at], nth, is_free)


def first_free(sim: Simulation, at: int, begin: int, end: int) -> int:
    """The first position from ``begin`` on and before ``end`` of a pod with a free slot, ``NOTHING`` without one."""
    if begin >= end:
        return NOTHING
    nth = begin >> WIDTH_BITS
    word = (sim.free[at][nth] >> (begin & INSIDE)) << (begin & INSIDE)
    if word == 0:
        nth = bits.first(sim.free_blocks[at], nth + 1, ((end - 1) >> WIDTH_BITS) + 1)
        if nth < 0:
            return NOTHING
        word = sim.free[at][nth]
    position = (nth << WIDTH_BITS) + bits.lowest(word)
    return int(position) if position < end else NOTHING


def pod_at(sim: Simulation, at: int, position: int) -> int:
    """The pod at a position."""
    return int(sim.members[at][(sim.blocks[at][position >> WIDTH_BITS] << WIDTH_BITS) + (position & INSIDE)])


def position_of(sim: Simulation, at: int, place: int) -> int:
    """Position of the pod that ``place`` others precede; behind all where there is none."""
    view = sim.views[at]
    if place >= view.count:
        return int(view.blocks << WIDTH_BITS)
    # Whoever goes round asks for the next one, which most likely stands in the same block.
    if place == view.asked + 1 and (view.answer & INSIDE) + 1 < sim.block_pods[at][view.answer >> WIDTH_BITS]:
        position = view.answer + 1
    else:
        position = _search(sim, at, place)
    view.asked, view.answer = place, position
    return int(position)


def _search(sim: Simulation, at: int, place: int) -> int:
    """Position of the pod that ``place`` others precede, of whom there is one."""
    group = 0
    while place >= sim.group_pods[at][group]:
        place -= sim.group_pods[at][group]
        group += 1
    nth = group << WIDTH_BITS
    while place >= sim.block_pods[at][nth]:
        place -= sim.block_pods[at][nth]
        nth += 1
    return int((nth << WIDTH_BITS) + place)


def place_of(sim: Simulation, at: int, position: int) -> int:
    """How many pods precede a position."""
    nth = position >> WIDTH_BITS
    group = nth >> WIDTH_BITS
    place = position & INSIDE
    for earlier in range(group):
        place += sim.group_pods[at][earlier]
    for earlier in range(group << WIDTH_BITS, nth):
        place += sim.block_pods[at][earlier]
    return int(place)


def comes_before(sim: Simulation, one: int, other: int) -> bool:
    """Whether a pod's address sorts before another's."""
    a = sim.addresses[one]
    b = sim.addresses[other]
    return bool(a < b or (a == b and one < other))


def _put(sim: Simulation, at: int, which: int, spot: int) -> None:
    sim.members[at][spot] = which
    sim.spots[at][which] = spot


def _note_block(sim: Simulation, at: int, nth: int) -> None:
    """Note whether a pod of a block has a free slot."""
    bits.put(sim.free_blocks[at], nth, 1 if sim.free[at][nth] else 0)


def _nth_of(sim: Simulation, at: int, which: int) -> int:
    """Number of the block that a pod belongs to."""
    first = 0
    last = int(sim.views[at].blocks)
    while last - first > 1:
        middle = (first + last) >> 1
        if comes_before(sim, which, sim.block_first[at][middle]):
            last = middle
        else:
            first = middle
    return first


def _split(sim: Simulation, at: int, nth: int) -> None:
    """Move the upper half of a full block to a new one behind it."""
    count = int(sim.views[at].blocks)
    old = sim.blocks[at][nth]
    if (count & INSIDE) == 0:
        sim.free_blocks[at][count >> WIDTH_BITS] = 0
        sim.group_pods[at][count >> WIDTH_BITS] = 0
    # Each group of 32 blocks passes its last one on to the next.
    for group in range((nth + 1) >> WIDTH_BITS, count >> WIDTH_BITS):
        passed_on = sim.block_pods[at][(group << WIDTH_BITS) + INSIDE]
        sim.group_pods[at][group] -= passed_on
        sim.group_pods[at][group + 1] += passed_on
    for later in range(count, nth + 1, -1):
        sim.blocks[at][later] = sim.blocks[at][later - 1]
        sim.free[at][later] = sim.free[at][later - 1]
        sim.block_pods[at][later] = sim.block_pods[at][later - 1]
        sim.block_first[at][later] = sim.block_first[at][later - 1]
        sim.block_nth[at][sim.blocks[at][later]] = later
    for place in range(HALF):
        _put(sim, at, sim.members[at][(old << WIDTH_BITS) + HALF + place], (count << WIDTH_BITS) + place)
    sim.free[at][nth + 1] = sim.free[at][nth] >> HALF
    sim.free[at][nth] &= (1 << HALF) - 1
    sim.blocks[at][nth + 1] = count
    sim.block_nth[at][count] = nth + 1
    sim.block_pods[at][nth] = sim.block_pods[at][nth + 1] = HALF
    sim.group_pods[at][nth >> WIDTH_BITS] -= HALF
    sim.group_pods[at][(nth + 1) >> WIDTH_BITS] += HALF
    sim.block_first[at][nth + 1] = sim.members[at][count << WIDTH_BITS]
    bits.insert(sim.free_blocks[at], count, nth + 1, 0)
    _note_block(sim, at, nth)
    _note_block(sim, at, nth + 1)
    sim.views[at].blocks = count + 1
