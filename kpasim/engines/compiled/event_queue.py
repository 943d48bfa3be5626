"""The fast event queue: the next few events in their order, and buckets of all that come after these.

A run seldom has more than some dozens of events ahead, and moving a few of them up is quicker than any step through a
heap: branches are foreseen, and what comes next is always the last row. In front of the first row stands an event that
never comes, so nobody asks whether there is one.

Later events are in buckets by the first digit in which their time differs from ``EventQueue.until_ns``, up to which
nothing is in a bucket: a radix heap with 64 digits at each level. When the next few are used up, the first bucket takes
their place; one of more than a page is shared out among buckets of lower levels before, unless all its events are of
one moment. So an event is moved a few times, however many there are, and compared with the next few only. A bucket is a
chain of pages: whoever goes through it reads memory in a row.

Events of one moment that are more than a page are taken one after the other as they stood in their bucket, where they
are in order most times: pods that were created together start together. Those that are out of order, and events that
are put off again, stand on a heap. Each of its events has four below it. Behind the last one there are always three
places with an event that never comes, so that nobody asks how many of the four there are.
"""

from kpasim.engines.clock import ENTITY_BITS, Kind
from kpasim.engines.model import bits
from kpasim.engines.model.state import DIGIT_BITS, MORE_EVENTS, NEAR, NOTHING, PAGE_BITS, TIED, Simulation
from kpasim.engines.params import FOREVER_NS

GIVE_UP = int(Kind.GIVE_UP)
BEHIND = 3
"""Places behind the last event of the heap that hold one that never comes."""
HALF = NEAR // 2
"""Events that are taken from the next few at once, and the most of the heap that become the next few."""
FEW = 8
"""As long as the next few are fewer than this, they get another bucket."""
DIGIT = (1 << DIGIT_BITS) - 1
"""Mask of the lowest digit of a time."""
ON_PAGE = (1 << PAGE_BITS) - 1
"""Mask of a place on a page."""
FIRST, LAST = range(2)
"""Columns of ``buckets``: the first page, and the last row of ``later``, which is ``NOTHING`` in an empty bucket."""


def schedule(sim: Simulation, time_ns: int, kind: int, entity: int) -> None:
    """Schedule an event."""
    queue, near = sim.event_queue, sim.near
    key = (kind << ENTITY_BITS) | entity
    if queue.near == NEAR:
        put_off(sim)
    if time_ns > queue.until_ns:
        put_later(sim, time_ns, key)
    elif queue.size + queue.tied and (near[1, 0] < time_ns or (near[1, 0] == time_ns and near[1, 1] < key)):
        push(sim, time_ns, key)
    else:
        put_near(sim, time_ns, key)


def put_near(sim: Simulation, time_ns: int, key: int) -> None:
    """Put an event among the next few, where it belongs."""
    near = sim.near
    place = sim.event_queue.near
    sim.event_queue.near = place + 1
    while near[place, 0] < time_ns or (near[place, 0] == time_ns and near[place, 1] < key):
        near[place + 1, 0] = near[place, 0]
        near[place + 1, 1] = near[place, 1]
        place -= 1
    near[place + 1, 0] = time_ns
    near[place + 1, 1] = key


def wake(sim: Simulation, time_ns: int, kind: int, entity: int) -> None:
    """Schedule what the loop does not look at: clocks that are seldom due."""
    if kind <= GIVE_UP and time_ns != FOREVER_NS:
        schedule(sim, time_ns, kind, entity)


def comes_next(sim: Simulation, time_ns: int) -> bool:
    """Whether ``time_ns`` is before all that is scheduled, and before every clock."""
    return bool(
        time_ns < sim.near[sim.event_queue.near, 0] and time_ns < sim.clients.next_send_ns and time_ns < sim.clock_ns
    )


def is_quiet_now(sim: Simulation) -> bool:
    """Whether no other event of this moment is scheduled."""
    return bool(sim.near[sim.event_queue.near, 0] > sim.now_ns)


def take_first(sim: Simulation) -> None:
    """Take the first event away."""
    queue = sim.event_queue
    queue.near -= 1
    if queue.near == 0 and queue.until_ns != FOREVER_NS:
        fetch(sim)


def put_off(sim: Simulation) -> None:
    """Take the later half of the next few away from them."""
    queue, near = sim.event_queue, sim.near
    if queue.size + queue.tied + queue.levels == 0:
        queue.until_ns = near[HALF + 1, 0]
    for place in range(1, HALF + 1):
        if near[place, 0] > queue.until_ns:
            put_later(sim, near[place, 0], near[place, 1])
        else:
            push(sim, near[place, 0], near[place, 1])
        near[place, 0] = near[place + HALF, 0]
        near[place, 1] = near[place + HALF, 1]
    queue.near = HALF


def put_later(sim: Simulation, time_ns: int, key: int) -> None:
    """Put an event into the bucket where it belongs as things stand."""
    queue = sim.event_queue
    level = bits.highest((time_ns ^ queue.until_ns) | 1) // DIGIT_BITS
    digit = (time_ns >> (level * DIGIT_BITS)) & DIGIT
    append(sim, (level << DIGIT_BITS) + digit, time_ns, key)
    sim.filled[level] |= 1 << digit
    queue.levels |= 1 << level


def append(sim: Simulation, bucket: int, time_ns: int, key: int) -> None:
    """Put an event at the end of a bucket."""
    before = sim.buckets[bucket, LAST]
    row = before + 1
    if (row & ON_PAGE) == 0:
        page = new_page(sim)
        if page == NOTHING:
            return
        if before == NOTHING:
            sim.buckets[bucket, FIRST] = page
        else:
            sim.pages[before >> PAGE_BITS] = page
        row = page << PAGE_BITS
    sim.buckets[bucket, LAST] = row
    sim.later[row, 0] = time_ns
    sim.later[row, 1] = key


def new_page(sim: Simulation) -> int:
    """A page that no bucket has, ``NOTHING`` if there is none left."""
    queue = sim.event_queue
    page = queue.spare
    if page != NOTHING:
        queue.spare = sim.pages[page]
        return int(page)
    page = queue.pages
    if page >= len(sim.pages):
        sim.fault = MORE_EVENTS
        return NOTHING
    queue.pages = page + 1
    return int(page)


def leave(sim: Simulation, page: int) -> None:
    """Let a page be used again."""
    sim.pages[page] = sim.event_queue.spare
    sim.event_queue.spare = page


def following(sim: Simulation, row: int) -> int:
    """The row after one that is not the last of its bucket; a page that has been gone through is left."""
    if (row + 1) & ON_PAGE:
        return row + 1
    page = row >> PAGE_BITS
    row = int(sim.pages[page]) << PAGE_BITS
    leave(sim, page)
    return row


def empty_bucket(sim: Simulation) -> None:
    """Put the events of the first bucket among the next few, or share them out if they are too many."""
    queue = sim.event_queue
    level = bits.lowest(queue.levels)
    digit = bits.lowest(sim.filled[level])
    bucket = (level << DIGIT_BITS) + digit
    page, last = sim.buckets[bucket, FIRST], sim.buckets[bucket, LAST]
    sim.buckets[bucket, LAST] = NOTHING
    sim.filled[level] &= ~(1 << digit)
    if sim.filled[level] == 0:
        queue.levels &= ~(1 << level)
    if last >> PAGE_BITS == page:
        shift = level * DIGIT_BITS
        queue.until_ns = ((((((queue.until_ns >> shift) >> DIGIT_BITS) << DIGIT_BITS) | digit) + 1) << shift) - 1
        for row in range(page << PAGE_BITS, last + 1):
            put_near(sim, sim.later[row, 0], sim.later[row, 1])
        leave(sim, page)
    else:
        # Up to its first moment, so that all events of that moment move once, however many levels are below.
        queue.until_ns, last_ns = span(sim, page, last)
        share_out(sim, page, last, queue.until_ns == last_ns)


def share_out(sim: Simulation, page: int, last: int, is_tied: bool) -> None:
    """Put the events from the beginning of a page to row ``last`` into buckets, or in a row, being of one moment."""
    row = page << PAGE_BITS
    while True:
        if is_tied:
            put_tied(sim, sim.later[row, 0], sim.later[row, 1])
        else:
            put_later(sim, sim.later[row, 0], sim.later[row, 1])
        if row == last:
            break
        row = following(sim, row)
    leave(sim, last >> PAGE_BITS)


def span(sim: Simulation, page: int, last: int) -> tuple[int, int]:
    """The first and the last time among the events from the beginning of a page to row ``last``."""
    later = sim.later
    first_ns = last_ns = later[last, 0]
    while page != last >> PAGE_BITS:
        for row in range(page << PAGE_BITS, (page + 1) << PAGE_BITS):
            first_ns = min(first_ns, later[row, 0])
            last_ns = max(last_ns, later[row, 0])
        page = sim.pages[page]
    for row in range(page << PAGE_BITS, last):
        first_ns = min(first_ns, later[row, 0])
        last_ns = max(last_ns, later[row, 0])
    return int(first_ns), int(last_ns)


def put_tied(sim: Simulation, time_ns: int, key: int) -> None:
    """Put an event of a moment behind all others of it, or onto the heap if it comes before the last of them."""
    queue = sim.event_queue
    if queue.tied and key < sim.later[sim.buckets[TIED, LAST], 1]:
        push(sim, time_ns, key)
        return
    append(sim, TIED, time_ns, key)
    if queue.tied == 0:
        queue.next_tied = sim.buckets[TIED, LAST]
    queue.tied += 1


def take_tied(sim: Simulation) -> None:
    """Take the first of the events of one moment away."""
    queue = sim.event_queue
    queue.tied -= 1
    if queue.tied:
        queue.next_tied = following(sim, queue.next_tied)
    else:
        sim.buckets[TIED, LAST] = NOTHING
        leave(sim, queue.next_tied >> PAGE_BITS)


def fetch(sim: Simulation) -> None:
    """Make the first of all other events the next few."""
    queue = sim.event_queue
    while queue.levels and queue.near < FEW and queue.size + queue.tied == 0:
        empty_bucket(sim)
    if queue.near == 0:
        fetch_outside(sim)
    if queue.size + queue.tied + queue.levels == 0:
        queue.until_ns = FOREVER_NS


def fetch_outside(sim: Simulation) -> None:
    """Make the first of the events on the heap and of those of one moment the next few."""
    queue, heap, later = sim.event_queue, sim.heap, sim.later
    count = min(queue.size + queue.tied, HALF)
    for place in range(count, 0, -1):
        row = queue.next_tied
        if queue.tied and (
            queue.size == 0
            or later[row, 0] < heap[0, 0]
            or (later[row, 0] == heap[0, 0] and later[row, 1] < heap[0, 1])
        ):
            sim.near[place, 0] = later[row, 0]
            sim.near[place, 1] = later[row, 1]
            take_tied(sim)
        else:
            sim.near[place, 0] = heap[0, 0]
            sim.near[place, 1] = heap[0, 1]
            drop_first(sim)
    queue.near = count


def push(sim: Simulation, time_ns: int, key: int) -> None:
    """Put an event on the heap."""
    place = sim.event_queue.size
    if place + BEHIND >= len(sim.heap):
        sim.fault = MORE_EVENTS
        return
    sim.event_queue.size = place + 1
    sim.heap[place + BEHIND, 0] = FOREVER_NS
    rise(sim, place, time_ns, key)


def rise(sim: Simulation, place: int, time_ns: int, key: int) -> None:
    """Let an event rise from a free place of the heap to where it belongs."""
    heap = sim.heap
    while place > 0:
        parent = (place - 1) >> 2
        if heap[parent, 0] < time_ns or (heap[parent, 0] == time_ns and heap[parent, 1] <= key):
            break
        heap[place, 0] = heap[parent, 0]
        heap[place, 1] = heap[parent, 1]
        place = parent
    heap[place, 0] = time_ns
    heap[place, 1] = key


def drop_first(sim: Simulation) -> None:
    """Take the first event off the heap."""
    heap = sim.heap
    last = sim.event_queue.size - 1
    sim.event_queue.size = last
    time_ns = heap[last, 0]
    key = heap[last, 1]
    heap[last, 0] = FOREVER_NS
    if last == 0:
        return
    # The last event most likely belongs far down again, so the hole goes all the way before it is filled.
    place = 0
    child = 1
    while child < last:
        # Adding a truth in place of branching on it, which nobody can predict.
        one = child + int(is_earlier(sim, child + 1, child))
        other = child + 2 + int(is_earlier(sim, child + 3, child + 2))
        child = one + (other - one) * int(is_earlier(sim, other, one))
        heap[place, 0] = heap[child, 0]
        heap[place, 1] = heap[child, 1]
        place = child
        child = 4 * place + 1
    rise(sim, place, time_ns, key)


def clear(sim: Simulation) -> None:
    """No event is scheduled."""
    sim.near[0, 0] = FOREVER_NS
    sim.near[0, 1] = FOREVER_NS
    for place in range(BEHIND + 1):
        sim.heap[place, 0] = FOREVER_NS
    for bucket in range(TIED + 1):
        sim.buckets[bucket, LAST] = NOTHING
    for level in range(len(sim.filled)):
        sim.filled[level] = 0


def fill_buckets(sim: Simulation) -> None:
    """Share out the events that a pause of the run has put onto the first pages."""
    last = sim.event_queue.put_back
    if last != NOTHING:
        sim.event_queue.put_back = NOTHING
        share_out(sim, 0, last, False)


def is_earlier(sim: Simulation, one: int, other: int) -> bool:
    """Whether the event at a place of the heap comes before the one at another."""
    heap = sim.heap
    time_ns, other_ns = heap[one, 0], heap[other, 0]
    if time_ns == other_ns:  # seldom, so foreseen
        return bool(heap[one, 1] < heap[other, 1])
    return bool(time_ns < other_ns)


KERNELS = (
    rise, push, is_earlier, drop_first, put_near, new_page, leave, following, append, put_later, put_tied, take_tied,
    span, share_out, empty_bucket, put_off, fetch_outside, fetch, schedule, wake, comes_next, is_quiet_now, take_first,
    clear, fill_buckets,
)  # fmt: skip
