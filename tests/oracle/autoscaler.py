"""The autoscaler: what it remembers of the load, and when it decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.engines.draws import CHANCE_ONE, LATE_SCRAPE, LATE_TICK, SCRAPE_FAILS, SCRAPE_ORDER, chance
from kpasim.engines.params import SECOND_NS, TICK_NS
from kpasim.policy import decider, delay, scraping, windows
from tests.oracle.ticker import Ticker

if TYPE_CHECKING:
    from tests.oracle.simulation import Simulation


class Autoscaler:
    """Metric collection and decider of one revision.

    Its clocks sleep while there is nothing to see: a tick without data would leave no trace.

    Attributes:
        desired: The latest valid decision, -1 before any.
        excess: Excess burst capacity of that decision.
    """

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        p = sim.p
        self.scraped = p.target_burst_capacity != -1.0
        d = sim.d
        self.ticks = Ticker(int(d.phase[of.TICK]), TICK_NS, d.key, LATE_TICK, p.clock_jitter_ns)
        self.scrapes = Ticker(int(d.phase[of.SCRAPE]), SECOND_NS, d.key, LATE_SCRAPE, p.clock_jitter_ns)
        self.wall_phase_ns = int(d.phase[of.WALL])
        self.ticking = False
        self.scraping = False
        self.published = np.zeros((len(sim.d.pod), scraping.FIELDS))
        # Lists, which Python reads several times as fast as arrays; the policy takes either.
        self.started_ns: Any = [0] * len(sim.d.pod)
        self.answers: Any = [1] * len(sim.d.pod)
        self.lives = 0
        self.back_ns = 0
        self.begin(0)

    @property
    def wall_ns(self) -> int:
        """Wall-clock time [ns]; buckets are its whole seconds."""
        return self.sim.now + self.wall_phase_ns

    def limits(self, reachable: int) -> decider.Limits:
        """The decider's settings for a revision that is reachable or not."""
        p = self.sim.p
        return decider.Limits(
            p.max_scale_up_rate,
            p.max_scale_down_rate,
            p.target_value,
            p.total_value,
            p.target_burst_capacity,
            p.panic_threshold,
            p.stable_window_s * SECOND_NS,
            p.activation_scale,
            reachable,
        )

    def begin(self, ready_pods: int) -> None:
        """A process begins, without a memory."""
        p = self.sim.p
        self.stable = windows.new_ring(p.stable_window_s)
        self.panic = windows.new_ring(p.panic_window_s)
        self.panicking = np.zeros(2, dtype=np.int64)
        self.slots = delay.new_slots(p.scale_down_delay_s)
        decider.start(self.panicking, self.wall_ns, ready_pods)
        self.desired, self.excess = decider.initial_status(self.limits(1), p.initial_scale)

    @property
    def away(self) -> bool:
        """Whether there is no process."""
        return self.sim.now < self.back_ns

    def restart(self, row: int) -> None:
        """The process ends; after each restart the next one is waited for."""
        sim = self.sim
        if row < len(sim.p.restarts):
            ends_ns, back_ns = (sim.load_ns + int(time_ns) for time_ns in sim.p.restarts[row])
            sim.at(ends_ns, Kind.POLL, 1, lambda: self.end(back_ns))
            sim.at(back_ns, Kind.POLL, 2, lambda: self.come_back(row))

    def end(self, back_ns: int) -> None:
        """Clocks that belong to an earlier life are dead."""
        self.lives += 1
        self.ticking = self.scraping = False
        self.back_ns = back_ns

    def come_back(self, row: int) -> None:
        """A new process reads the objects."""
        self.begin(self.sim.reconciler.ready_pods)
        self.start()
        if self.sim.reconciler.ready_pods:
            self.pods_are_ready()
        self.sim.reconciler.touch()
        self.restart(row + 1)

    def in_this_life(self, action: Callable[[], None]) -> Callable[[], None]:
        """The action, unless the process that planned it is gone by then."""
        life = self.lives
        return lambda: action() if life == self.lives else None

    def start(self) -> None:
        """Without scraping every tick is valid, so the ticks begin with the revision."""
        if not self.scraped:
            self.wake(self.sim.now)

    def wake(self, after_ns: int) -> None:
        """Tick from the first tick after ``after_ns`` on."""
        if not self.ticking:
            self.ticking = True
            self.sim.at(self.ticks.due_after(after_ns), Kind.TICK, 0, self.in_this_life(self.on_tick))

    def told(self, index: int, concurrency: float, count: float, *, poked: bool) -> None:
        """A message from an activator, unless the connection is down."""
        now = self.sim.now
        down = (row for row in self.sim.p.silences.tolist() if row[0] in (-1, index))
        if any(begin_ns <= now - self.sim.load_ns < end_ns for _, begin_ns, end_ns in down):
            return
        self.remember(count if self.sim.p.metric_rps else concurrency)
        # A tick of this very moment is over when the message is an immediate one.
        self.wake(now if poked else now - 1)
        if decider.pokes(self.desired, concurrency):
            self.decide(poked=True)

    def remember(self, value: float) -> None:
        """Write a value into both windows."""
        second = self.wall_ns // SECOND_NS
        windows.record(self.stable, second, value)
        windows.record(self.panic, second, value)

    # scraping

    def pods_are_ready(self) -> None:
        """There is something to scrape."""
        if self.scraped and not self.scraping and not self.away:
            self.scraping = True
            self.sim.at(self.scrapes.due_after(self.sim.now), Kind.SCRAPE, 0, self.in_this_life(self.scrape))

    def scrape(self) -> None:
        """Read the queue-proxies of a sample of pods."""
        sim, p, now = self.sim, self.sim.p, self.sim.now
        ready = [pod for pod in sim.alive if pod.ready]
        if not ready:
            self.scraping = False
            return
        sim.at(self.scrapes.due_after(now), Kind.SCRAPE, 0, self.in_this_life(self.scrape))
        nth = (now - self.scrapes.phase_ns) // SECOND_NS
        count = len(ready)
        indices: Any = [pod.index for pod in ready]
        keys: Any = [0.0] * count
        for place, pod in enumerate(ready):
            if count > 1:
                keys[place] = chance(sim.d.key, nth, SCRAPE_ORDER + pod.index) / CHANCE_ONE
            if p.scrape_failure > 0.0:
                lost = chance(sim.d.key, nth, SCRAPE_FAILS + pod.index) < p.scrape_failure * CHANCE_ONE
                self.answers[pod.index] = 0 if lost else 1
            self.started_ns[pod.index] = pod.scheduled_ns
        sample = scraping.sample_size(float(count))
        wanted = int(sample)
        chosen: Any = [0] * wanted
        window_ns = p.stable_window_s * SECOND_NS
        found = scraping.choose_pods(
            indices, count, self.started_ns, self.answers, keys, now, window_ns, wanted, chosen
        )
        if found < wanted:
            return
        for index in chosen:
            sim.pods[index].roll(inclusive=True)
            self.published[index] = sim.pods[index].published
        concurrency, proxied, arrivals, proxied_arrivals = scraping.combine(
            self.published, chosen, found, sample, float(count)
        )
        if p.metric_rps:
            self.remember(scraping.net(arrivals, proxied_arrivals))
        else:
            self.remember(scraping.net(concurrency, proxied))
        self.wake(now - 1)

    # decisions

    def on_tick(self) -> None:
        """A tick of the decider's own clock."""
        if self.decide(poked=False):
            self.sim.at(self.ticks.due_after(self.sim.now), Kind.TICK, 0, self.in_this_life(self.on_tick))
        else:
            self.ticking = False

    def decide(self, *, poked: bool) -> bool:
        """Decide, unless there is no data; whether there was."""
        sim, p = self.sim, self.sim.p
        second = self.wall_ns // SECOND_NS
        if windows.no_data(self.stable, second, self.scraped):
            return False
        stable = windows.average(self.stable, second, p.weight_stable)
        panic = windows.average(self.panic, second, p.weight_panic)
        ready = sim.reconciler.ready_pods
        desired, excess, _, _, rule = decider.tick(
            self.limits(sim.reconciler.reachable()), self.panicking, self.slots, self.wall_ns, ready, stable, panic
        )
        in_panic = int(self.panicking[decider.PANIC_SINCE_NS] != decider.NEVER_NS)
        sim.record.ticks.append((sim.now, stable, panic, ready, desired, rule, in_panic, int(poked)))
        changed = decider.needs_reconcile(self.desired, self.excess, desired, excess)
        self.desired, self.excess = desired, excess
        if changed:
            sim.reconciler.touch()
        return True
