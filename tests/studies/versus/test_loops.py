"""Runs under other autoscalers against short loops of each rule, written anew from its description.

A loop reads the tables of a run: who sent what when, and which pods there were. Where the scrapes or reports began
within their period is the one thing that no table says; it must be possible to choose one for all decisions of a run.
"""

import csv
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from kpasim.spec.experiment import load
from kpasim.studies.run import simulate
from tests.documented import ROOT

CHANGES = {"workload.duration": "6h"}


class Story:
    """The tables of one run."""

    def __init__(
        self, folder: Path, scaling: dict[str, Any], changes: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        settings = {**CHANGES, **changes, "autoscaler": scaling}
        self.experiment, self.folder = load(ROOT / "experiments" / "bursty.yaml").with_settings(settings), folder
        result = simulate(self.experiment, replications=1, engine="compiled")
        result.write(folder)
        self.ticked_s = result.tables().ticks["t_s"].tolist()
        requests = self.rows("requests")
        self.spans = [(float(one["start_s"]), float(one["start_s"]) + float(one["latency_s"])) for one in requests]
        self.sent = sorted(begin for begin, _ in self.spans)
        self.ended = sorted(end for _, end in self.spans)
        self.pods = [(float(one["t_s"]), int(one["replicas"])) for one in self.rows("scaling")]
        self.ticks = [
            (float(one["t_s"]), float(one["stable"]), int(one["desired"]), one["rule"]) for one in self.rows("ticks")
        ]
        self.target = float(self.rows("ticks")[0]["target"])
        assert len(requests) > 200

    def rows(self, name: str) -> list[dict[str, str]]:
        """One table, with its cells as they are written."""
        with (self.folder / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def replicas_before(self, time_s: float) -> int:
        """Replicas that a decision at this time finds."""
        return [count for at_s, count in self.pods if at_s < time_s - 1e-6][-1]

    def in_flight(self, time_s: float) -> float:
        """Requests sent and not answered."""
        return bisect_right(self.sent, time_s) - bisect_right(self.ended, time_s)

    def rate(self, time_s: float) -> float:
        """Requests per second over the last minute."""
        return (bisect_right(self.sent, time_s) - bisect_right(self.sent, time_s - 60)) / 60

    def ongoing(self, time_s: float) -> float:
        """Mean of requests in flight over the last 30 s."""
        spans = self.spans[: bisect_right(self.sent, time_s)]
        return sum(max(0.0, min(end, time_s) - max(begin, time_s - 30)) for begin, end in spans) / 30


def phased(
    read: Callable[[float], float], period_s: float, seen: list[tuple[float, float]], steps: int = 1500
) -> Iterator[Callable[[float], float]]:
    """The metric as read last, for each phase of the reads with which all that was seen agrees."""
    read = cache(read)
    for step in range(steps):
        phase_s = step * period_s / steps

        def latest(time_s: float, phase_s: float = phase_s) -> float:
            return read(phase_s + period_s * math.floor((time_s - phase_s) / period_s))

        if all(abs(latest(time_s) - value) < 0.02 for time_s, value in seen):
            yield latest


def hpa(story: Story) -> list[tuple[float, int]]:
    """What an HPA without behavior asks for at each tick that measures, of the metric that the tick shows."""
    asked, kept = [], list[tuple[float, int]]()
    for time_s, metric, _, rule in story.ticks:
        if rule in {"no-metric", "off", "wakes", "cooled-down"}:
            continue
        current = story.replicas_before(time_s)
        within = current and 0.9 <= metric / (story.target * current) <= 1.1
        proposal = current if within else math.ceil(metric / story.target - 1e-9)
        highest = max([proposal, *(count for at_s, count in kept if time_s - at_s <= 300)])
        kept.append((time_s, proposal))
        asked.append((time_s, max(1, min(highest, max(2 * current, 4), 10))))
    return asked


@pytest.mark.parametrize(
    ("scaling", "read"),
    [
        ({"kind": "hpa", "metric-type": "External"}, Story.in_flight),
        ({"kind": "keda"}, Story.rate),
        ({"kind": "keda-http"}, Story.in_flight),
    ],
)
def test_an_hpa_decides_by_what_was_in_flight_or_sent(tmp_path: Path, scaling: dict[str, Any], read: Any) -> None:
    """Every tick of six hours: the metric from the requests, the decision from the metric."""
    story = Story(tmp_path, scaling)
    seen = [(time_s, value) for time_s, value, _, rule in story.ticks if time_s > 0 and rule not in {"off", "wakes"}]
    period_s = 0.5 if scaling["kind"] == "keda-http" else 15.0
    assert next(phased(lambda time_s: read(story, time_s), period_s, seen), None)
    asked = hpa(story)
    assert len(asked) > 100
    decided = {time_s: desired for time_s, _, desired, _ in story.ticks}
    assert asked == [(time_s, decided[time_s]) for time_s, _ in asked]
    assert max(count for _, count in asked) > 1


UP = [("Pods", 3, 60), ("Percent", 150, 30)]
DOWN = [("Percent", 50, 60), ("Pods", 1, 30)]


def limited(story: Story, up_by: Callable[[list[float]], float], down_by: str) -> list[tuple[float, int]]:
    """What an HPA asks for whose limits are ``UP`` and ``DOWN``, windows 30 s and 90 s, tolerances 0.3 and 0.05.

    Args:
        story: The run.
        up_by: Which of the limits upwards counts.
        down_by: ``selectPolicy`` downwards.
    """
    asked, wanted, moves = [], list[tuple[float, int]](), list[tuple[float, int]]()
    for time_s, metric, _, _ in story.ticks:
        current = story.replicas_before(time_s)
        within = 0.95 <= metric / (story.target * current) <= 1.3
        proposal = current if within else math.ceil(metric / story.target - 1e-9)
        lowest = min([proposal, *(count for at_s, count in wanted if time_s - at_s < 30 - 1e-6)])
        highest = max([proposal, *(count for at_s, count in wanted if time_s - at_s < 90 - 1e-6)])
        wanted.append((time_s, proposal))
        decided = min(max(current, lowest), highest)

        def before(period_s: float, time_s: float = time_s, current: int = current) -> int:
            return current - sum(change for at_s, change in moves if time_s - at_s < period_s - 1e-6)

        if decided > current:
            limits = [
                before(period_s) + value if kind == "Pods" else math.ceil(before(period_s) * (1 + value / 100))
                for kind, value, period_s in UP
            ]
            decided = min(decided, max(current, int(up_by(limits))))
        elif decided < current:
            limits = [
                before(period_s) - value if kind == "Pods" else math.floor(before(period_s) * (1 - value / 100))
                for kind, value, period_s in DOWN
            ]
            limit = {"Max": min(limits), "Min": max(limits), "Disabled": current}[down_by]
            decided = max(decided, min(current, limit))
        decided = max(1, min(decided, 10))
        if decided != current:
            moves.append((time_s, decided - current))
        asked.append((time_s, decided))
    return asked


@pytest.mark.parametrize("down_by", ["Max", "Min", "Disabled"])
@pytest.mark.parametrize("up_by", [max, min])
def test_behavior_limits_an_hpa(tmp_path: Path, up_by: Callable[[list[float]], float], down_by: str) -> None:
    """Both windows, both tolerances, two limits in each direction, and each way to choose among them."""

    def policies(rows: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
        return [{"type": kind, "value": value, "period": f"{period_s}s"} for kind, value, period_s in rows]

    behavior = {
        "scale-up": {"stabilization-window": "30s", "tolerance": 0.3, "policies": policies(UP),
                     "select-policy": "Max" if up_by is max else "Min"},
        "scale-down": {"stabilization-window": "90s", "tolerance": 0.05, "policies": policies(DOWN),
                       "select-policy": down_by},
    }  # fmt: skip
    story = Story(tmp_path, {"kind": "hpa", "metric-type": "External", "behavior": behavior})
    asked = limited(story, up_by, down_by)
    assert asked == [(time_s, desired) for time_s, _, desired, _ in story.ticks]
    assert max(count for _, count in asked) > 3
    assert (down_by == "Disabled") == (asked[-1][1] > 1)


def test_keda_wakes_and_rests_by_its_polls(tmp_path: Path) -> None:
    """Every 30 s: wake when the rate is above 0; rest when it was not for 300 s, counted from a whole second."""
    story = Story(tmp_path, {"kind": "keda"})
    events = [(time_s, desired) for time_s, _, desired, rule in story.ticks if rule in {"wakes", "cooled-down"}]
    seen = [(time_s, value) for time_s, value, _, rule in story.ticks if time_s > 0 and rule != "off"]
    found = []
    for rate in phased(story.rate, 15.0, seen):
        polled, active_s = list[tuple[float, int]](), -math.inf
        time_s = events[0][0]
        while time_s <= story.ticks[-1][0]:
            current = story.replicas_before(time_s)
            if rate(time_s) > 0:
                polled += [(time_s, 1)] if current == 0 else []
                active_s = time_s
            elif current > 0 and time_s - active_s > 299.999:
                polled.append((time_s, 0))
            time_s += 30
        found.append([(round(one_s, 3), count) for one_s, count in polled])
    assert len(events) > 4
    assert [(round(one_s, 3), count) for one_s, count in events] in found


def test_ray_serve_acts_once_a_direction_has_lasted(tmp_path: Path) -> None:
    """Ten looks a second at the mean of 30 s, reported every 10 s: 30 s for more replicas, 600 s for fewer."""
    story = Story(tmp_path, {"kind": "ray-serve"})
    decided = [(time_s, desired) for time_s, _, desired, _ in story.ticks if time_s > 0]
    seen = [(time_s, value) for time_s, value, _, _ in story.ticks if time_s > 0]
    assert len(decided) > 3
    found = []
    for ongoing in phased(story.ongoing, 10.0, seen, 400):
        made, count, direction, since_s = list[tuple[float, int]](), 1, 0, 0.0
        for look in range(10 * math.ceil(story.ticks[-1][0])):
            time_s = look / 10 + decided[0][0] % 0.1
            wanted = math.ceil(ongoing(time_s) / story.target - 1e-9)
            wanted = max(1, wanted) if wanted < count and count != 1 else wanted
            now = (wanted > count) - (wanted < count)
            if now != direction:
                direction, since_s = now, time_s
            if direction and time_s - since_s > (30 if direction > 0 else 600) - 1e-6:
                direction = 0
                if max(1, min(10, wanted)) != count:
                    count = max(1, min(10, wanted))
                    made.append((time_s, count))
        found.append(made)
    assert any(
        len(made) == len(decided)
        and all(abs(one[0] - other[0]) < 0.11 and one[1] == other[1] for one, other in zip(made, decided, strict=True))
        for made in found
    )
