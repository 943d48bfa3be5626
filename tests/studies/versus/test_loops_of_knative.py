"""Runs with spare pods, a schedule or a forecast against short loops of Knative's rule and of each addition.

A loop takes the metrics and the ready pods of each tick from the tables, and decides anew.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from kpasim.engines.sampling import arrivals
from kpasim.engines.scaling import EARLIER
from kpasim.spec.workload import OpenLoop

from .test_loops import Story

MOST = 10
MINUTES = 24 * 60
CHANGES = {"model": {"service-time": "3s", "cold-start": "90s"}}
"""A service time and a cold start whose means are plain."""


def knative(story: Story, spare: int = 0) -> list[int]:
    """What Knative's rule asks for at each tick with data, before any addition.

    The spare pods are no pods of its own.
    """
    asked, panics_since_s, highest = [], None, 0
    for time_s, tick in zip(story.ticked_s, story.rows("ticks"), strict=True):
        ready = max(1, int(tick["ready_pods"]) - spare)
        wanted, in_panic = (math.ceil(float(tick[name]) / story.target) for name in ("stable", "panic"))
        is_over = in_panic / ready >= 2
        wanted, in_panic = (min(max(pods, ready // 2), 1000 * ready) for pods in (wanted, in_panic))
        if is_over:
            panics_since_s = time_s  # not rounded as in the file: 60 s later is a tick
        elif panics_since_s is not None and time_s - panics_since_s > 60 + 1e-8:
            panics_since_s, highest = None, 0
        if panics_since_s is not None:
            wanted = highest = max(highest, wanted, in_panic)
        asked.append(wanted)
    return asked


def settled(story: Story, least: Callable[[float], int]) -> list[tuple[float, int, int]]:
    """Time, replicas wanted and replicas there, half a second after each tick with which nothing else coincides.

    Args:
        story: The run.
        least: Minimum of pods at a time.
    """
    found = []
    for (time_s, _, desired, _), (next_s, *_) in zip(story.ticks, story.ticks[1:], strict=False):
        after_s = time_s + 0.5
        wanted = max(min(desired, MOST), least(after_s))
        if next_s > after_s and wanted > 0 and least(after_s - 1.5) == least(after_s):
            found.append((time_s, wanted, story.replicas_before(after_s)))
    return found


def test_spare_pods_come_on_top_of_knatives_rule(tmp_path: Path) -> None:
    """Six hours: the decision of each tick, and the Deployment's replicas up to the maximum."""
    story = Story(tmp_path, {"kind": "spare", "pods": 2}, CHANGES)
    assert [pods + 2 for pods in knative(story, 2)] == [desired for _, _, desired, _ in story.ticks]
    rows = settled(story, lambda _: 0)
    assert [wanted for _, wanted, _ in rows] == [there for *_, there in rows]
    assert {2, 4, MOST} <= {wanted for _, wanted, _ in rows}


def test_a_schedule_is_a_minimum_by_the_clock(tmp_path: Path) -> None:
    """From midnight of the day on which Berlin's clocks jump from 02:00 to 03:00; one window is of the day before."""
    berlin = ZoneInfo("Europe/Berlin")
    windows: list[tuple[str, str, str, int]] = [
        ("sat", "22:00", "00:30", 2), ("sun", "01:15", "03:20", 3), ("mon-sun", "04:00", "05:00", 1),
        ("mon-fri", "05:00", "09:00", 7), ("sun", "06:30", "06:45", 5),
    ]  # fmt: skip
    scaling = {
        "kind": "schedule", "timezone": "Europe/Berlin", "load-starts": "2026-03-29T00:00",
        "windows": [{"days": days, "start": start, "end": end, "replicas": pods} for days, start, end, pods in windows],
    }  # fmt: skip
    story = Story(tmp_path, scaling, CHANGES)
    begins = datetime(2026, 3, 29, tzinfo=berlin).astimezone(ZoneInfo("UTC"))
    days = {"sat": [5], "sun": [6], "mon-sun": list(range(7)), "mon-fri": list(range(5))}

    def least(time_s: float) -> int:
        clock = (begins + timedelta(seconds=max(0.0, time_s))).astimezone(berlin)
        now = f"{clock:%H:%M:%S}"
        return max(
            [
                pods
                for name, start, end, pods in windows
                if (start <= now < end and clock.weekday() in days[name])
                or (end < start and now >= start and clock.weekday() in days[name])
                or (end < start and now < end and (clock.weekday() - 1) % 7 in days[name])
            ],
            default=0,
        )

    assert knative(story) == [desired for _, _, desired, _ in story.ticks]
    rows = settled(story, least)
    assert [wanted for _, wanted, _ in rows] == [there for *_, there in rows]
    for time_s, minimum in (
        (60.0, 2),
        (2700.0, 0),
        (3600 * 1.5, 3),
        (3600 * 2.25, 3),
        (3600 * 2.4, 0),
        (3600 * 5.6, 5),
    ):
        assert least(time_s) == minimum
        assert story.replicas_before(time_s) >= minimum


def test_a_forecast_is_the_quantile_of_earlier_days_a_cold_start_ahead(tmp_path: Path) -> None:
    """27 hours: drawn days before the load, and its own first day for the second one; by the minute, 90 s ahead."""
    changes = {**CHANGES, "workload.duration": "27h"}
    scaling = {"kind": "lookahead", "quantile": 80, "history-days": 4}
    story = Story(tmp_path, scaling, changes)
    workload = story.experiment.workload
    assert isinstance(workload, OpenLoop)
    demand: dict[int, dict[int, float]] = {}
    for earlier in range(4):
        sent_s = arrivals(workload, story.experiment.seed, EARLIER + earlier) / 1e9
        counts = np.bincount((sent_s // 60).astype(int), minlength=2 * MINUTES)[:MINUTES]
        demand[earlier - 4] = {minute: count / 60 * 3 for minute, count in enumerate(counts.tolist())}
    seen: dict[int, list[float]] = {}
    for tick in story.rows("ticks"):
        if float(tick["t_s"]) >= 0:
            seen.setdefault(int(float(tick["t_s"]) // 60), []).append(float(tick["panic"]))
    demand[0] = {minute: float(np.mean(values)) for minute, values in seen.items() if minute < MINUTES}

    def forecast(minute: int) -> float:
        day = minute // MINUTES
        days = [demand[one].get(minute % MINUTES) for one in range(day - 4, day)]
        return float(np.quantile([one for one in days if one is not None], 0.8))

    expected, of_forecast = [], 0
    for (time_s, *_), reactive in zip(story.ticks, knative(story), strict=True):
        minutes = range(int(max(0.0, time_s) // 60), int((max(0.0, time_s) + 90) // 60) + 1)
        ahead = math.ceil(max(forecast(minute) for minute in minutes) / story.target - 1e-9)
        of_forecast += ahead > reactive
        expected.append(max(reactive, ahead))
    assert expected == [desired for _, _, desired, _ in story.ticks]
    assert of_forecast > 1000
    assert len({minute // MINUTES for minute in seen}) == 2
