"""The autoscaler: what it remembers of the load, and when it decides (the same as reference/autoscaler.py)."""

from __future__ import annotations

from kpasim.engines import params as of
from kpasim.engines.compiled import pod, reconciler
from kpasim.engines.compiled.lateness import due_after, nth_due
from kpasim.engines.compiled.layout import (
    ALIVE,
    ALIVE_PODS,
    CHOSEN,
    DESIRED,
    DIRECT_INSIDE,
    DIRECT_LAST,
    FAULT,
    HOT_NS,
    LATE_SCRAPES,
    LATE_TICKS,
    MORE_TICKS,
    NEXT_SCRAPE,
    NEXT_TICK,
    NOW,
    NUMBER,
    READY,
    READY_PODS,
    SCHEDULED,
    SCRATCH,
    STATISTICS_ONLY,
    TICKS,
    P,
    World,
)
from kpasim.engines.draws import CHANCE_ONE, LATE_SCRAPE, LATE_TICK, SCRAPE_FAILS, SCRAPE_ORDER, chance
from kpasim.engines.params import FOREVER_NS, SECOND_NS, TICK_NS
from kpasim.policy import decider, scraping, windows


def wall_ns(w: World) -> int:
    """Wall-clock time [ns]; buckets are its whole seconds."""
    return int(w.i[NOW] + w.phase[of.WALL])


def limits(w: World, reachable: int) -> decider.Limits:
    """The decider's settings for a revision that is reachable or not."""
    return decider.Limits(
        w.x[P.max_scale_up_rate],
        w.x[P.max_scale_down_rate],
        w.x[P.target_value],
        w.x[P.total_value],
        w.x[P.target_burst_capacity],
        w.x[P.panic_threshold],
        w.p[P.stable_window_s] * SECOND_NS,
        w.p[P.activation_scale],
        reachable,
    )


def stable_ring(w: World) -> windows.Ring:
    """The stable window."""
    return windows.Ring(w.stable_buckets, w.spans[0], w.totals[0], float(w.p[P.stable_window_s]))


def panic_ring(w: World) -> windows.Ring:
    """The panic window."""
    return windows.Ring(w.panic_buckets, w.spans[1], w.totals[1], float(w.p[P.panic_window_s]))


def is_scraped(w: World) -> bool:
    """Whether pods are scraped at all."""
    return bool(w.x[P.target_burst_capacity] != -1.0)


def set_up(w: World) -> None:
    """A new decider; without scraping every tick is valid, so the ticks begin with the revision."""
    decider.start(w.panicking, wall_ns(w), 0)
    w.i[DESIRED], w.excess[0] = decider.initial_status(limits(w, 1), w.p[P.initial_scale])
    if not is_scraped(w):
        w.i[NEXT_TICK] = tick_due_after(w, w.i[NOW])


def tick_due_after(w: World, time_ns: int) -> int:
    """When the decider ticks next after ``time_ns``."""
    return int(due_after(w, LATE_TICKS, w.phase[of.TICK], TICK_NS, time_ns, LATE_TICK, w.p[P.clock_jitter_ns]))


def scrape_due_after(w: World, time_ns: int) -> int:
    """When the scraper reads next after ``time_ns``."""
    return int(due_after(w, LATE_SCRAPES, w.phase[of.SCRAPE], SECOND_NS, time_ns, LATE_SCRAPE, w.p[P.clock_jitter_ns]))


def told(w: World, concurrency: float, count: float, poked: bool) -> None:
    """A message from an activator; ``poked`` if it is an immediate one."""
    remember(w, count if w.p[P.metric_rps] else concurrency)
    if w.i[NEXT_TICK] == FOREVER_NS:
        # A tick of this very moment is over when the message is an immediate one.
        w.i[NEXT_TICK] = tick_due_after(w, w.i[NOW] if poked else w.i[NOW] - 1)
    if decider.pokes(w.i[DESIRED], concurrency):
        decide(w, 1)


def remember(w: World, value: float) -> None:
    """Write a value into both windows."""
    second = wall_ns(w) // SECOND_NS
    windows.record(stable_ring(w), second, value)
    windows.record(panic_ring(w), second, value)


def pods_are_ready(w: World) -> None:
    """There is something to scrape."""
    if is_scraped(w) and w.i[NEXT_SCRAPE] == FOREVER_NS:
        w.i[NEXT_SCRAPE] = scrape_due_after(w, w.i[NOW])


def scrape(w: World) -> None:
    """Read the queue-proxies of a sample of pods."""
    now = w.i[NOW]
    count = w.i[READY_PODS]
    if count == 0:
        w.i[NEXT_SCRAPE] = FOREVER_NS
        return
    # The clock is due now, so the next time is one more; a constant period spares a division.
    nth = (now - w.phase[of.SCRAPE]) // SECOND_NS + 1
    jitter_ns = w.p[P.clock_jitter_ns]
    w.i[NEXT_SCRAPE] = nth_due(w, LATE_SCRAPES, nth, w.phase[of.SCRAPE], SECOND_NS, LATE_SCRAPE, jitter_ns)
    value = 0.0
    # Pods without direct requests report zeros. An arrival still to come at this moment must find its pod read, though.
    alone = w.heap[0, 0] > now and w.i[HOT_NS] > now
    quiet = alone and w.i[DIRECT_INSIDE] == 0 and w.i[DIRECT_LAST] < now - 3 * SECOND_NS
    if not quiet or w.x[P.scrape_failure] > 0.0:
        found, value = read_pods(w, count)
        if not found:
            return
    remember(w, value)
    if w.i[NEXT_TICK] == FOREVER_NS:
        w.i[NEXT_TICK] = tick_due_after(w, now - 1)


def read_pods(w: World, count: int) -> tuple[bool, float]:
    """Whether enough pods answered, and what the whole revision is taken to do."""
    now = w.i[NOW]
    nth = (now - w.phase[of.SCRAPE]) // SECOND_NS
    ready = w.lists[SCRATCH]
    place = 0
    for index in range(w.i[ALIVE]):
        which = w.lists[ALIVE_PODS, index]
        if not w.pod[which, READY]:
            continue
        ready[place] = which
        w.keys[place] = chance(w.key, nth, SCRAPE_ORDER + w.pod[which, NUMBER]) / CHANCE_ONE
        w.answers[which] = 1
        if w.x[P.scrape_failure] > 0.0:
            if chance(w.key, nth, SCRAPE_FAILS + w.pod[which, NUMBER]) < w.x[P.scrape_failure] * CHANCE_ONE:
                w.answers[which] = 0
        w.started[which] = w.pod[which, SCHEDULED]
        place += 1
    sample = scraping.sample_size(float(count))
    wanted = int(sample)
    chosen = w.lists[CHOSEN]
    window_ns = w.p[P.stable_window_s] * SECOND_NS
    found = scraping.choose_pods(ready, count, w.started, w.answers, w.keys, now, window_ns, wanted, chosen)
    if found < wanted:
        return False, 0.0
    for place in range(found):
        pod.roll(w, chosen[place], now + 1)
    concurrency, proxied, arrivals, proxied_arrivals = scraping.combine(
        w.published, chosen, found, sample, float(count)
    )
    if w.p[P.metric_rps]:
        return True, scraping.net(arrivals, proxied_arrivals)
    return True, scraping.net(concurrency, proxied)


def tick(w: World) -> None:
    """A tick of the decider's own clock."""
    if not decide(w, 0):
        w.i[NEXT_TICK] = FOREVER_NS
        return
    nth = (w.i[NOW] - w.phase[of.TICK]) // TICK_NS + 1
    w.i[NEXT_TICK] = nth_due(w, LATE_TICKS, nth, w.phase[of.TICK], TICK_NS, LATE_TICK, w.p[P.clock_jitter_ns])


def decide(w: World, poked: int) -> bool:
    """Decide, unless there is no data; whether there was."""
    second = wall_ns(w) // SECOND_NS
    ring = stable_ring(w)
    if windows.no_data(ring, second, is_scraped(w)):
        return False
    stable = windows.average(ring, second, w.x[P.weight_stable])
    panic = windows.average(panic_ring(w), second, w.x[P.weight_panic])
    ready = w.i[READY_PODS]
    desired, excess, _, _, rule = decider.tick(
        limits(w, reconciler.reachable(w)), w.panicking, w.delay_slots, wall_ns(w), ready, stable, panic
    )
    if not w.i[STATISTICS_ONLY]:
        row = w.i[TICKS]
        if row >= len(w.ticks):
            w.i[FAULT] = MORE_TICKS
            return True
        w.i[TICKS] = row + 1
        w.ticks["t"][row] = w.i[NOW]
        w.ticks["stable"][row] = stable
        w.ticks["panic"][row] = panic
        w.ticks["ready_pods"][row] = ready
        w.ticks["desired"][row] = desired
        w.ticks["rule"][row] = rule
        w.ticks["panic_mode"][row] = 1 if w.panicking[decider.PANIC_SINCE_NS] != decider.NEVER_NS else 0
        w.ticks["poked"][row] = poked
    changed = decider.needs_reconcile(w.i[DESIRED], w.excess[0], desired, excess)
    w.i[DESIRED] = desired
    w.excess[0] = excess
    if changed:
        reconciler.touch(w)
    return True


KERNELS = (
    wall_ns, limits, stable_ring, panic_ring, is_scraped, tick_due_after, scrape_due_after, set_up, remember, read_pods,
    scrape, decide, told, pods_are_ready, tick,
)  # fmt: skip
