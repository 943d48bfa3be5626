"""The autoscaler: what it remembers of the load, and when it decides."""

from __future__ import annotations

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.draws import CHANCE_ONE, LATE_SCRAPE, LATE_TICK, SCRAPE_FAILS, SCRAPE_ORDER, chance
from kpasim.engines.model import queueproxy, reconciler
from kpasim.engines.model.jitter import due_after, nth_due
from kpasim.engines.model.state import LATE_SCRAPES, LATE_TICKS, MORE_TICKS, Simulation
from kpasim.engines.params import FOREVER_NS, SECOND_NS, TICK_NS
from kpasim.policy import decider, scraping, windows

TICK, SCRAPE = int(Kind.TICK), int(Kind.SCRAPE)


def wall_ns(sim: Simulation) -> int:
    """Wall-clock time [ns]; buckets are its whole seconds."""
    return int(sim.now_ns + sim.draws.phase[of.WALL])


def limits(sim: Simulation, reachable: int) -> decider.Limits:
    """The decider's settings for a revision that is reachable or not."""
    return decider.Limits(
        max_scale_up_rate=sim.params.max_scale_up_rate,
        max_scale_down_rate=sim.params.max_scale_down_rate,
        target_value=sim.params.target_value,
        total_value=sim.params.total_value,
        target_burst_capacity=sim.params.target_burst_capacity,
        panic_threshold=sim.params.panic_threshold,
        stable_window_ns=sim.params.stable_window_s * SECOND_NS,
        activation_scale=sim.params.activation_scale,
        reachable=reachable,
    )


def stable_ring(sim: Simulation) -> windows.Ring:
    """The stable window."""
    return windows.Ring(sim.stable_buckets, sim.spans[0], sim.totals[0], float(sim.params.stable_window_s))


def panic_ring(sim: Simulation) -> windows.Ring:
    """The panic window."""
    return windows.Ring(sim.panic_buckets, sim.spans[1], sim.totals[1], float(sim.params.panic_window_s))


def is_scraped(sim: Simulation) -> bool:
    """Whether pods are scraped at all."""
    return bool(sim.params.target_burst_capacity != -1.0)


def set_up(sim: Simulation) -> None:
    """A new decider; without scraping every tick is valid, so the ticks begin with the revision."""
    decider.start(sim.panicking, wall_ns(sim), 0)
    sim.autoscaler.desired, sim.autoscaler.excess = decider.initial_status(limits(sim, 1), sim.params.initial_scale)
    if not is_scraped(sim):
        wake_tick(sim, tick_due_after(sim, sim.now_ns))


def wake_tick(sim: Simulation, due_ns: int) -> None:
    """Let the decider tick at ``due_ns``."""
    sim.autoscaler.next_tick_ns = due_ns
    sim.wake(due_ns, TICK, 0)


def wake_scrape(sim: Simulation, due_ns: int) -> None:
    """Let the scraper read at ``due_ns``."""
    sim.autoscaler.next_scrape_ns = due_ns
    sim.wake(due_ns, SCRAPE, 0)


def tick_due_after(sim: Simulation, time_ns: int) -> int:
    """When the decider ticks next after ``time_ns``."""
    return int(
        due_after(sim, LATE_TICKS, sim.draws.phase[of.TICK], TICK_NS, time_ns, LATE_TICK, sim.params.clock_jitter_ns)
    )


def scrape_due_after(sim: Simulation, time_ns: int) -> int:
    """When the scraper reads next after ``time_ns``."""
    return int(
        due_after(
            sim, LATE_SCRAPES, sim.draws.phase[of.SCRAPE], SECOND_NS, time_ns, LATE_SCRAPE, sim.params.clock_jitter_ns
        )
    )


def on_activator_stat(sim: Simulation, concurrency: float, count: float, poked: bool) -> None:
    """A message from an activator; ``poked`` if it is an immediate one."""
    record(sim, count if sim.params.metric_rps else concurrency)
    if sim.autoscaler.next_tick_ns == FOREVER_NS:
        # A tick of this very moment is over when the message is an immediate one.
        wake_tick(sim, tick_due_after(sim, sim.now_ns if poked else sim.now_ns - 1))
    if decider.pokes(sim.autoscaler.desired, concurrency):
        decide(sim, 1)


def record(sim: Simulation, value: float) -> None:
    """Write a value into both windows."""
    second = wall_ns(sim) // SECOND_NS
    windows.record(stable_ring(sim), second, value)
    windows.record(panic_ring(sim), second, value)


def start_scraping(sim: Simulation) -> None:
    """There is something to scrape."""
    if is_scraped(sim) and sim.autoscaler.next_scrape_ns == FOREVER_NS:
        wake_scrape(sim, scrape_due_after(sim, sim.now_ns))


def on_scrape(sim: Simulation) -> None:
    """Read the queue-proxies of a sample of pods."""
    now = sim.now_ns
    count = sim.revision.ready_pods
    if count == 0:
        sim.autoscaler.next_scrape_ns = FOREVER_NS
        return
    # The clock is due now, so the next time is one more; a constant period spares a division.
    nth = (now - sim.draws.phase[of.SCRAPE]) // SECOND_NS + 1
    jitter_ns = sim.params.clock_jitter_ns
    wake_scrape(sim, nth_due(sim, LATE_SCRAPES, nth, sim.draws.phase[of.SCRAPE], SECOND_NS, LATE_SCRAPE, jitter_ns))
    value = 0.0
    # Pods without direct requests report zeros. An arrival still to come at this moment must find its pod read, though.
    quiet = sim.is_quiet_now() and sim.ingress.direct_inside == 0 and sim.ingress.direct_last_ns < now - 3 * SECOND_NS
    if not quiet or sim.params.scrape_failure > 0.0:
        found, value = read_pods(sim, count)
        if not found:
            return
    record(sim, value)
    if sim.autoscaler.next_tick_ns == FOREVER_NS:
        wake_tick(sim, tick_due_after(sim, now - 1))


def read_pods(sim: Simulation, count: int) -> tuple[bool, float]:
    """Whether enough pods answered, and what the whole revision is taken to do."""
    now = sim.now_ns
    nth = (now - sim.draws.phase[of.SCRAPE]) // SECOND_NS
    ready = sim.scratch
    place = 0
    for index in range(sim.revision.alive):
        which = sim.alive_pods[index]
        if not sim.pods[which].ready:
            continue
        ready[place] = which
        sim.keys[place] = chance(sim.draws.key, nth, SCRAPE_ORDER + sim.pods[which].number) / CHANCE_ONE
        sim.readable[which] = 1
        if sim.params.scrape_failure > 0.0:
            drawn = chance(sim.draws.key, nth, SCRAPE_FAILS + sim.pods[which].number)
            sim.readable[which] = 0 if drawn < sim.params.scrape_failure * CHANCE_ONE else 1
        sim.started[which] = sim.pods[which].scheduled_ns
        place += 1
    sample = scraping.sample_size(float(count))
    wanted = int(sample)
    chosen = sim.chosen
    window_ns = sim.params.stable_window_s * SECOND_NS
    found = scraping.choose_pods(ready, count, sim.started, sim.readable, sim.keys, now, window_ns, wanted, chosen)
    if found < wanted:
        return False, 0.0
    for place in range(found):
        queueproxy.publish_stats(sim, chosen[place], now + 1)
    concurrency, proxied, arrivals, proxied_arrivals = scraping.combine(
        sim.published, chosen, found, sample, float(count)
    )
    if sim.params.metric_rps:
        return True, scraping.net(arrivals, proxied_arrivals)
    return True, scraping.net(concurrency, proxied)


def on_tick(sim: Simulation) -> None:
    """A tick of the decider's own clock."""
    if not decide(sim, 0):
        sim.autoscaler.next_tick_ns = FOREVER_NS
        return
    nth = (sim.now_ns - sim.draws.phase[of.TICK]) // TICK_NS + 1
    wake_tick(
        sim, nth_due(sim, LATE_TICKS, nth, sim.draws.phase[of.TICK], TICK_NS, LATE_TICK, sim.params.clock_jitter_ns)
    )


def decide(sim: Simulation, poked: int) -> bool:
    """Decide, unless there is no data; whether there was."""
    second = wall_ns(sim) // SECOND_NS
    ring = stable_ring(sim)
    if windows.no_data(ring, second, is_scraped(sim)):
        return False
    stable = windows.average(ring, second, sim.params.weight_stable)
    panic = windows.average(panic_ring(sim), second, sim.params.weight_panic)
    ready = sim.revision.ready_pods
    desired, excess, _, _, rule = decider.tick(
        limits(sim, reconciler.reachable(sim)), sim.panicking, sim.delay_slots, wall_ns(sim), ready, stable, panic
    )
    if not sim.recorder.statistics_only:
        if sim.recorder.ticks >= sim.recorder.tick_rows:
            sim.fault = MORE_TICKS
            return True
        row = sim.ticks[sim.recorder.ticks]
        sim.recorder.ticks += 1
        row.t_ns = sim.now_ns
        row.stable = stable
        row.panic = panic
        row.ready_pods = ready
        row.desired = desired
        row.rule = rule
        row.panic_mode = 1 if sim.panicking[decider.PANIC_SINCE_NS] != decider.NEVER_NS else 0
        row.poked = poked
    changed = decider.needs_reconcile(sim.autoscaler.desired, sim.autoscaler.excess, desired, excess)
    sim.autoscaler.desired = desired
    sim.autoscaler.excess = excess
    if changed:
        reconciler.enqueue(sim)
    return True
