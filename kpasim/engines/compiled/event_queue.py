"""The fast event queue: the next few events in their order, and buckets of all that come after these.

A run seldom has more than some dozens of events ahead, and moving a few of them up is quicker than any step through a
heap: branches are foreseen, and what comes next is always the last row. In front of the first row stands an event that
never comes, so nobody asks whether there is one.

Later events are in buckets by the first digit in which their time differs from ``EventQueue.until_ns``, up to which
nothing is in a bucket: a radix heap with 64 digits at each level. When the next few are used up, the first buckets take
their place; one that is too full is shared out among the buckets of lower levels before. So an event is moved a few
times, however many there are, and compared with the next few only.

Events of one moment that are too many for the next few are taken one after the other as they stood in their bucket,
where they are in order most times: pods that were created together start together. Those that are out of order, and
events that are put off again, stand on a heap. Each of its events has four below it. Behind the last one there are
always three places with an event that never comes, so that nobody asks how many of the four there are.
"""

from kpasim.engines.clock import ENTITY_BITS, Kind
from kpasim.engines.model import bits
from kpasim.engines.model.state import DIGIT_BITS, LEVELS, MORE_EVENTS, NEAR, NOTHING, Simulation
from kpasim.engines.params import FOREVER_NS

GIVE_UP = int(Kind.GIVE_UP)
BEHIND = 3
"""Places behind the last event of the heap that hold one that never comes."""
HALF = NEAR // 2
"""Events that are taken from the next few at once, and the most of a bucket or of the heap that become the next few."""
FEW = 16
"""As long as the next few are fewer than this, they get another bucket."""
DIGIT = (1 << DIGIT_BITS) - 1
"""Mask of the lowest digit of a time."""
NEXT = 2
"""Column of ``later``: the row of the next event in the same bucket."""


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
        time_ns < sim.near[sim.event_queue.near, 0]
        and time_ns < sim.clients.next_send_ns
        and time_ns < sim.ingress.next_report_ns
        and time_ns < sim.autoscaler.next_scrape_ns
        and time_ns < sim.autoscaler.next_tick_ns
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
    if queue.size + queue.tied + queue.later == 0:
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
    """Put an event into a bucket."""
    queue, later = sim.event_queue, sim.later
    row = queue.spare
    if row == NOTHING:
        row = queue.rows
        if row >= len(later):
            sim.fault = MORE_EVENTS
            return
        queue.rows = row + 1
    else:
        queue.spare = later[row, NEXT]
    later[row, 0] = time_ns
    later[row, 1] = key
    queue.later += 1
    put_into_bucket(sim, row)


def put_into_bucket(sim: Simulation, row: int) -> None:
    """Put the event in a row of ``later`` where it belongs as things stand."""
    queue, later = sim.event_queue, sim.later
    time_ns = later[row, 0]
    level = bits.highest((time_ns ^ queue.until_ns) | 1) // DIGIT_BITS
    digit = (time_ns >> (level * DIGIT_BITS)) & DIGIT
    bucket = (level << DIGIT_BITS) + digit
    later[row, NEXT] = sim.buckets[bucket, 0]
    sim.buckets[bucket, 0] = row
    sim.buckets[bucket, 1] += 1
    sim.filled[level] |= 1 << digit
    queue.levels |= 1 << level


def empty_bucket(sim: Simulation) -> None:
    """Put the events of the first bucket among the next few, or share them out if they are too many."""
    queue, later = sim.event_queue, sim.later
    level = bits.lowest(queue.levels)
    digit = bits.lowest(sim.filled[level])
    bucket = (level << DIGIT_BITS) + digit
    row, count = sim.buckets[bucket, 0], sim.buckets[bucket, 1]
    sim.buckets[bucket, 0] = NOTHING
    sim.buckets[bucket, 1] = 0
    sim.filled[level] &= ~(1 << digit)
    if sim.filled[level] == 0:
        queue.levels &= ~(1 << level)
    shift = level * DIGIT_BITS
    begin_ns = ((((queue.until_ns >> shift) >> DIGIT_BITS) << DIGIT_BITS) | digit) << shift
    is_shared_out = count > HALF and level > 0
    # To its beginning only while it is shared out: then the next bucket is taken at once, whatever it holds.
    queue.until_ns = begin_ns if is_shared_out else begin_ns + (1 << shift) - 1
    if not is_shared_out:
        queue.later -= count
    last = NOTHING
    while row != NOTHING:
        after = later[row, NEXT]
        if is_shared_out:
            put_into_bucket(sim, row)
        elif count > HALF:
            last = put_tied(sim, row, last)
        else:
            put_near(sim, later[row, 0], later[row, 1])
            leave(sim, row)
        row = after


def put_tied(sim: Simulation, row: int, last: int) -> int:
    """Put an event of a moment before or behind all others of it, or else onto the heap; the last one then."""
    queue, later = sim.event_queue, sim.later
    if queue.tied == 0 or later[row, 1] < later[queue.first_tied, 1]:
        later[row, NEXT] = queue.first_tied if queue.tied else NOTHING
        queue.first_tied = row
        queue.tied += 1
        return row if queue.tied == 1 else last
    if later[row, 1] > later[last, 1]:
        later[row, NEXT] = NOTHING
        later[last, NEXT] = row
        queue.tied += 1
        return row
    push(sim, later[row, 0], later[row, 1])
    leave(sim, row)
    return last


def leave(sim: Simulation, row: int) -> None:
    """Let a row of ``later`` be used again."""
    sim.later[row, 1] = NOTHING
    sim.later[row, NEXT] = sim.event_queue.spare
    sim.event_queue.spare = row


def fetch(sim: Simulation) -> None:
    """Make the first of all other events the next few."""
    queue = sim.event_queue
    while queue.later and queue.near < FEW and queue.size + queue.tied == 0:
        empty_bucket(sim)
    if queue.near == 0:
        fetch_outside(sim)
    if queue.size + queue.tied + queue.later == 0:
        queue.until_ns = FOREVER_NS


def fetch_outside(sim: Simulation) -> None:
    """Make the first of the events on the heap and of those of one moment the next few."""
    queue, heap, later = sim.event_queue, sim.heap, sim.later
    count = min(queue.size + queue.tied, HALF)
    for place in range(count, 0, -1):
        row = queue.first_tied
        if queue.tied and (
            queue.size == 0
            or later[row, 0] < heap[0, 0]
            or (later[row, 0] == heap[0, 0] and later[row, 1] < heap[0, 1])
        ):
            sim.near[place, 0] = later[row, 0]
            sim.near[place, 1] = later[row, 1]
            queue.first_tied = later[row, NEXT]
            queue.tied -= 1
            leave(sim, row)
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
    for bucket in range(LEVELS << DIGIT_BITS):
        sim.buckets[bucket, 0] = NOTHING
        sim.buckets[bucket, 1] = 0
    for level in range(LEVELS):
        sim.filled[level] = 0


def fill_buckets(sim: Simulation) -> None:
    """Put all events of ``later``, which are written there in a pause of the run, into buckets."""
    if sim.event_queue.later and sim.event_queue.levels == 0:
        for row in range(sim.event_queue.rows):
            put_into_bucket(sim, row)


def is_earlier(sim: Simulation, one: int, other: int) -> bool:
    """Whether the event at a place of the heap comes before the one at another."""
    heap = sim.heap
    time_ns, other_ns = heap[one, 0], heap[other, 0]
    if time_ns == other_ns:  # seldom, so foreseen
        return bool(heap[one, 1] < heap[other, 1])
    return bool(time_ns < other_ns)


KERNELS = (
    rise, push, is_earlier, drop_first, put_near, put_into_bucket, put_later, leave, put_tied, empty_bucket, put_off,
    fetch_outside, fetch, schedule, wake, comes_next, is_quiet_now, take_first, clear, fill_buckets,
)  # fmt: skip
