"""Whole stories: activator, scraper, buckets and decider together, at constant concurrency."""

import numpy as np
import pytest

from kpasim.policy import accounting, decider, delay, scraping, windows

SECOND_NS = 1_000_000_000
EPOCH_S = 1_000_000_000


class Story:
    """Clients that keep ``concurrency`` requests in flight from ``begin_s`` on, and an autoscaler that watches.

    ``path`` is ``activator`` or ``direct``; ``scrape_s`` the phase of the scrapes, ``None`` when nothing is scraped.
    An idle, scraped revision has a window full of zeros.
    """

    def __init__(
        self,
        concurrency=5,
        *,
        target=1.0,
        ready=1,
        begin_s=0.1,
        report_s=0.3,
        scrape_s=0.7,
        tick_s=1.5,
        path="activator",
        length_s=None,
    ):
        total = 1.0
        self.limits = decider.Limits(1000.0, 2.0, target, total, 211.0, 2.0, 60 * SECOND_NS, 0, 1)
        self.ready = ready if callable(ready) else lambda _: ready
        self.panic = np.zeros(2, dtype=np.int64)
        decider.start(self.panic, 0, 0)
        self.slots = delay.new_slots(0)
        self.stable, self.urgent = windows.new_ring(60), windows.new_ring(6)
        self.desired = 0
        self.decisions = {}
        self.row = np.zeros(accounting.COLUMNS, dtype=np.int64)
        self.snapshot = (0.0, 0.0, 0, 0)
        self.path = path
        self.concurrency, self.begin_s = concurrency, begin_s
        self.report_s, self.scrape_s, self.tick_s = report_s, scrape_s, tick_s
        self.end_s = None if length_s is None else begin_s + length_s
        if scrape_s is not None:
            for second in range(-60, 0):
                self.record(second, 0.0)

    def record(self, now_s, value):
        """A value reaches both rings."""
        for ring in (self.stable, self.urgent):
            windows.record(ring, EPOCH_S + int(now_s // 1), value)

    def decide(self, now_s):
        """A tick or a poke."""
        second = EPOCH_S + int(now_s // 1)
        now_ns = EPOCH_S * SECOND_NS + round(now_s * SECOND_NS)
        stable, urgent = windows.linear_average(self.stable, second), windows.linear_average(self.urgent, second)
        self.desired, *_ = decider.tick(self.limits, self.panic, self.slots, now_ns, self.ready(now_s), stable, urgent)
        self.decisions[round(now_s, 3)] = (self.desired, bool(self.panic[0] != decider.NEVER_NS))

    def play(self, until_s):
        """Play until that time and return the decisions: ``{time: (desired, panicking)}``."""
        events = [(self.begin_s, 0)] + ([] if self.end_s is None else [(self.end_s, 1)])
        for phase, kind in ((self.report_s, 2), (self.scrape_s, 3)):
            if phase is not None:
                events += [(phase + second, kind) for second in range(int(until_s) + 1)]
        events += [(self.tick_s + 2 * place, 4) for place in range(int(until_s / 2) + 1)]
        for now_s, kind in sorted(event for event in events if event[0] <= until_s):
            now_ns = round(now_s * SECOND_NS)
            if kind == 4:
                self.decide(now_s)
            elif kind == 3:
                concurrency, proxied, _, _ = self.snapshot
                self.record(now_s, scraping.net(concurrency, proxied))
            elif kind == 2:
                self.report(now_s, now_ns)
            else:
                self.arrive_or_leave(kind == 0, now_s, now_ns)
        return self.decisions

    def report(self, now_s, now_ns):
        """The activator's report, or queue-proxy's cut."""
        if self.path == "direct":
            self.snapshot = accounting.cut(self.row, now_ns)
        elif self.row[accounting.ALIVE]:
            concurrency, _, _ = accounting.activator_report(self.row, now_ns)
            self.record(now_s, concurrency)
            self.poke(now_s, concurrency)

    def poke(self, now_s, concurrency):
        """A message has arrived at the autoscaler."""
        if decider.pokes(self.desired, concurrency):
            self.decide(now_s)

    def arrive_or_leave(self, arrives, now_s, now_ns):
        """All clients begin, or end."""
        for _ in range(self.concurrency):
            if self.path == "direct":
                (accounting.enter if arrives else accounting.leave)(self.row, now_ns, False)
            elif not arrives:
                accounting.activator_leave(self.row, now_ns)
            elif accounting.activator_enter(self.row, now_ns):
                self.record(now_s, 1.0)
                self.poke(now_s, 1.0)


def test_five_clients_and_one_pod_panic_and_ask_for_five():
    """Panic at 1.5 s with 2 pods, 4 at 3.5 s, 5 at 5.5 s, whatever a request takes."""
    decisions = Story().play(19.5)

    assert decisions[0.1] == (1, False)
    assert decisions[1.5] == (2, True)
    assert decisions[3.5] == (4, True)
    assert all(decisions[5.5 + 2 * place] == (5, True) for place in range(8))


ZERO = {"ready": 0, "scrape_s": None}


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ({"tick_s": 0.5}, {0.1: (1, False), 0.5: (1, False), 2.5: (3, True), 4.5: (5, True)}),
        (
            {"report_s": 0.8, "scrape_s": 0.2, "tick_s": 0.5},
            {0.1: (1, False), 0.5: (1, False), 2.5: (2, True), 4.5: (4, True), 6.5: (5, True)},
        ),
        ({"target": 0.7}, {0.1: (1, False), 1.5: (3, True), 3.5: (5, True), 5.5: (8, True)}),
        ({"concurrency": 2}, {0.1: (1, False), 1.5: (1, False), 3.5: (2, True), 5.5: (2, True)}),
        ({"concurrency": 10}, {0.1: (1, False), 1.5: (4, True), 3.5: (7, True), 5.5: (10, True)}),
        ({"scrape_s": None}, {0.1: (1, False), 1.5: (5, True)}),
        (ZERO, {0.1: (1, False), 1.5: (5, True)}),
        ({**ZERO, "begin_s": 0.5}, {0.5: (1, False), 1.5: (3, True), 3.5: (4, True), 5.5: (5, True)}),
        ({**ZERO, "target": 0.7, "concurrency": 1, "length_s": 0.1}, {0.1: (2, True), 1.5: (2, True)}),
        (
            {"path": "direct", "report_s": 0.6, "scrape_s": 0.7},
            {1.5: (1, False), 3.5: (3, True), 5.5: (5, True)},
        ),
        (
            {"path": "direct", "report_s": 0.6, "scrape_s": 0.7, "tick_s": 0.5},
            {0.5: (0, False), 2.5: (2, True), 4.5: (4, True), 6.5: (5, True)},
        ),
    ],
    ids=[
        "early ticks",
        "late reports",
        "utilization 70 %",
        "two clients",
        "ten clients",
        "not scraped",
        "from zero",
        "from zero, report in the next second",
        "one request from zero at 70 %",
        "direct",
        "direct, early ticks",
    ],
)
def test_phases_and_settings_change_the_path(story, expected):
    """The same load takes other steps when clocks, targets or paths differ."""
    decisions = Story(**story).play(max(expected))

    assert {now_s: decisions[now_s] for now_s in expected} == expected


def test_a_slow_start_prolongs_the_panic():
    """Pods that start for 30 s keep the trigger alive: panic ends more than a minute after the last one, at 93.5 s."""

    def ready(now_s):
        return 1 + (now_s >= 31.4) + 2 * (now_s >= 33.4) + (now_s >= 35.4)

    decisions = Story(ready=ready).play(95.5)

    assert {decisions[1.5 + 2 * place][0] for place in range(2, 48)} == {5}
    assert decisions[91.5] == (5, True)
    assert decisions[93.5] == (5, False)


def test_pods_leave_one_by_one_when_the_load_ends():
    """Without panic, five pods are wanted 4, 3, 2, 1, 0 at about 12, 24, 36, 48 and 60 s after the end."""
    limits = decider.Limits(1000.0, 2.0, 1.0, 1.0, 211.0, 2.0, 60 * SECOND_NS, 0, 1)
    panic = np.zeros(2, dtype=np.int64)
    decider.start(panic, 0, 0)
    stable, urgent = windows.new_ring(60), windows.new_ring(6)
    for second in range(-60, 0):
        windows.record(stable, second, 5.0)
        windows.record(urgent, second, 5.0)
    pods, changes = 5, {}
    for second in range(64):
        windows.record(stable, second, 0.0)
        windows.record(urgent, second, 0.0)
        if second % 2 == 0:
            desired, *_ = decider.tick(
                limits,
                panic,
                delay.new_slots(0),
                second * SECOND_NS,
                pods,
                windows.linear_average(stable, second),
                windows.linear_average(urgent, second),
            )
            if desired != pods:
                changes[desired] = second
                pods = desired

    assert set(changes) == {4, 3, 2, 1, 0}
    assert all(abs(when - 12 * (5 - wanted)) <= 2 for wanted, when in changes.items())


def test_the_phases_spread_as_the_published_distribution_says():
    """Over random phases a warm pod panics after 1.0 to 4.0 s, median 2.5, and 5 are wanted after 4.0 to 8.0 s."""
    draw = np.random.default_rng(1)
    panics, fives = [], []
    for _ in range(200):
        begin_s = float(draw.uniform(0, 1))
        story = Story(
            begin_s=begin_s,
            report_s=float(draw.uniform(0, 1)),
            scrape_s=float(draw.uniform(0, 1)),
            tick_s=float(draw.uniform(0, 2)),
        )
        decisions = story.play(12.0)
        panics.append(min(now_s for now_s, (_, panicking) in decisions.items() if panicking) - begin_s)
        fives.append(min(now_s for now_s, (desired, _) in decisions.items() if desired == 5) - begin_s)

    assert min(panics) >= 0.9
    assert max(panics) <= 4.1
    assert np.median(panics) == pytest.approx(2.5, abs=0.3)
    assert min(fives) >= 3.9
    assert max(fives) <= 8.1
    assert np.median(fives) == pytest.approx(5.5, abs=0.4)
