"""The race: who leaves it, who wins it, and how few replications that takes. Runners here are made of plain numbers."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kpasim.errors import RunError
from kpasim.results.summary import Figures
from kpasim.studies.search.ladder import climb
from kpasim.studies.search.race import LAST, NEAR, SAMPLE, SERIOUS, Race
from kpasim.studies.search.slo import parse_slo
from kpasim.studies.search.space import Space


class Numbers:
    """A runner whose cost and p95 are known functions of two settings, with noise that all settings share."""

    params = SimpleNamespace(stays=0)

    def __init__(self, settings: dict[str, Any]) -> None:
        self.size, self.speed = settings.get("size", 0), settings.get("speed", 0)

    def slo_figures(self, replications: Sequence[int], threads: int = 1) -> Figures:
        """Cost grows with both; the wait shrinks with both; both swing together from run to run."""
        swing = np.array([np.random.default_rng(number).normal() for number in replications])
        return {
            "requests": np.ones(len(swing)),
            "ok": np.ones(len(swing)),
            "errors": np.zeros(len(swing)),
            "latency_all_s.p95": 60.0 / (1 + self.size + 0.5 * self.speed) * np.exp(0.1 * swing),
            "cost.amount": (1.0 + self.size + 0.4 * self.speed) * np.exp(0.3 * swing),
        }


def space_of(axes: dict[str, Sequence[Any]]) -> Space:
    """A space in which the first value of each axis is the present one."""
    return Space(axes, lambda path, value: value == axes[path][0])


def race_of(
    space: Space, limit: str, budget: int = 50_000, make: Any = Numbers, together: list[int] | None = None
) -> Race:
    """A race that has been run; how many runners it had simulated each time goes to ``together``."""

    def simulate(work: Sequence[tuple[Any, range]], threads: int) -> list[Figures]:
        if together is not None:
            together.append(len(work))
        return [runner.slo_figures(replications) for runner, replications in work]

    race = Race(
        space,
        make,
        [parse_slo(f"p95<={limit}")],
        0.9,
        "cost.amount",
        seed=1,
        budget=budget,
        progress=lambda simulated, still: None,
        simulate=simulate,
    )
    race.run()
    return race


def cheapest(space: Space, limit: float) -> float:
    """The least mean cost (but for a factor) of the points that meet the SLO in 90 % of runs."""
    quantile = 1.2815515655446004  # the normal quantile of 90 %
    good = [
        1.0 + one.get("size", 0) + 0.4 * one.get("speed", 0)
        for one in map(space.settings, space.every())
        if 60.0 / (1 + one.get("size", 0) + 0.5 * one.get("speed", 0)) * math.exp(0.1 * quantile) <= limit
    ]
    return min(good)


@pytest.mark.parametrize("limit", [8.0, 13.0, 20.0, 37.0])
@pytest.mark.parametrize("values", [8, 60])
def test_the_cheapest_that_meets_the_slo_wins(limit: float, values: int) -> None:
    """In a small space, where all points start, and in a large one, where most never do."""
    space = space_of({"size": list(range(values)), "speed": list(range(values))})
    race = race_of(space, f"{limit}s")
    assert race.best is not None
    found = 1.0 + race.best.settings.get("size", 0) + 0.4 * race.best.settings.get("speed", 0)
    assert found <= 1.01 * cheapest(space, limit)
    assert race.best.bounds(2.326348)[0] >= 0.9
    if values == 60:
        assert len(race.candidates) < len(space) / 4


def test_no_replication_is_spent_on_what_is_decided() -> None:
    """Most points leave after their first four replications."""
    race = race_of(space_of({"size": list(range(16)), "speed": list(range(16))}), "13s")
    counts = [one.count for one in race.candidates.values()]
    assert sum(count == 4 for count in counts) > 0.7 * len(counts)
    # What follows others in all they do counts its replications, but does not simulate them.
    assert race.simulated <= sum(counts)


def test_nothing_meets_an_slo_that_cannot_be_met() -> None:
    """Then nobody wins, and the nearest miss is the cheapest of those that come about as near as any."""
    race = race_of(space_of({"size": list(range(60)), "speed": list(range(60))}), "0.5s")
    assert race.best is None
    nearest = race.nearest_miss()
    least = min(one.miss for one in race.candidates.values())
    assert least - NEAR <= nearest.miss <= least + NEAR
    assert nearest.count >= SERIOUS
    assert nearest.settings["size"] == 59
    assert nearest.settings["speed"] in {58, 59}


def test_points_that_do_the_same_are_played_once() -> None:
    """A setting without any effect does not multiply the replications."""
    one = race_of(space_of({"size": list(range(12))}), "13s")
    many = race_of(space_of({"size": list(range(12)), "colour": list(range(12))}), "13s")
    assert one.best is not None
    assert many.best is not None
    assert many.best.settings.get("size", 0) == one.best.settings.get("size", 0)
    assert many.simulated < 4 * 145 + 64 * 12 + one.simulated


def test_the_budget_is_kept() -> None:
    """The race ends when its replications are spent, give or take the last round."""
    race = race_of(space_of({"size": list(range(60)), "speed": list(range(60))}), "13s", budget=300)
    assert race.simulated <= 300 + 2 * LAST


def test_a_point_that_cannot_be_is_passed_over() -> None:
    """Settings that are refused do not end the race."""

    def make(settings: dict[str, Any]) -> Numbers:
        if (settings.get("size", 0) + settings.get("speed", 0)) % 2:
            raise RunError("odd")
        return Numbers(settings)

    race = race_of(space_of({"size": list(range(8)), "speed": list(range(8))}), "13s", make=make)
    assert race.best is not None
    assert len(race.refused) == 32
    assert race.best.place not in race.refused


def test_a_dismissed_winner_does_not_win_again() -> None:
    """Whoever fails when judged anew makes room for the next best."""
    race = race_of(space_of({"size": list(range(8)), "speed": list(range(8))}), "13s")
    first = race.best
    assert first is not None
    race.dismiss(first)
    race.run()
    assert race.best is not None
    assert race.best is not first
    assert race.best.cost >= first.cost
    assert first.state == "missed"


def test_samples_fill_the_space() -> None:
    """A small space is tried whole; of a large one corners and points in every part."""
    small = space_of({"a": [1, 2, 3], "b": [1, 2]})
    assert sorted(small.sample(SAMPLE, 1)) == sorted(small.every())
    large = space_of({name: list(range(16)) for name in "abcd"})
    points = large.sample(SAMPLE, 1)
    assert len(points) == len(set(points)) == SAMPLE
    assert (0, 0, 0, 0) in points
    assert (15, 15, 15, 15) in points
    for axis in range(4):
        assert {point[axis] for point in points} == set(range(16))


def test_neighbours() -> None:
    """Lines change one axis to any value, diagonals two axes by one or two steps."""
    space = space_of({"a": [1, 2, 3], "b": [1, 2, 3]})
    assert set(space.lines((1, 0))) == {(0, 0), (2, 0), (1, 1), (1, 2)}
    assert set(space.diagonals((1, 0))) == {(0, 1), (2, 1), (0, 2), (2, 2)}


def test_settings_may_stay_as_they_are() -> None:
    """The present value of an axis is no change; an axis without it gets it as a further value."""
    space = Space({"a": [1, 2, 3], "b": [7, 8]}, lambda path, value: (path, value) == ("a", 2))
    assert space.origin == (1, 0)
    assert len(space) == 9
    assert space.settings((1, 0)) == {}
    assert space.settings((1, 2)) == {"b": 8}
    assert space.settings((0, 1)) == {"a": 1, "b": 7}
    assert (space.changes((0, 1)), space.changes((1, 1))) == (2, 1)
    assert space.between((0, 1)) == [(1, 0), (0, 0), (1, 1)]


class Large(Numbers):
    """The same, where the present settings are large."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__({"size": 9, "speed": 9, **settings})


def test_the_ladder_begins_with_the_present_settings_whatever_the_budget() -> None:
    """However few replications are left: where the present settings meet the SLO, that is known and shown."""
    space = space_of({"size": [9, *range(9)], "speed": [9, *range(9)]})
    race = race_of(space, "20s", budget=800, make=Large)
    assert race.best is not None
    assert race.candidates[space.origin].count < SERIOUS
    race.allow(SERIOUS)

    steps = climb(race, race.best)

    assert steps[0] is race.candidates[space.origin]
    assert None not in steps


class Often:
    """Half as expensive as now, and good enough in a share of the runs; the present settings are always good."""

    params = SimpleNamespace(stays=0)

    def __init__(self, settings: dict[str, Any]) -> None:
        self.share = settings.get("share", 1.0)

    def slo_figures(self, replications: Sequence[int], threads: int = 1) -> Figures:
        """A p95 of 1 s, or of 100 s in the runs that are not good."""
        chance = np.array([np.random.default_rng(number).random() for number in replications])
        return {
            "requests": np.ones(len(chance)),
            "ok": np.ones(len(chance)),
            "errors": np.zeros(len(chance)),
            "latency_all_s.p95": np.where(chance < self.share, 1.0, 100.0),
            "cost.amount": np.full(len(chance), 1.0 if self.share == 1.0 else 0.5),
        }


@pytest.mark.parametrize(("share", "chosen", "most"), [(0.915, True, 10_000), (0.893, False, 10_000)])
def test_a_cheaper_candidate_is_played_as_long_as_it_may_be_called_good(share: float, chosen: bool, most: int) -> None:
    """What meets the SLOs in 91.5 % of runs is found good; 89.3 % are given up before all replications are spent."""
    race = race_of(space_of({"share": [1.0, share]}), "30s", make=Often)

    assert race.best is not None
    assert (race.best.settings == {"share": share}) is chosen
    assert race.simulated < most
    now = race.candidates[race.space.origin]
    assert now.count <= LAST


def test_candidates_with_equal_chances_are_simulated_together() -> None:
    """The first ones begin together; once a best is known, its neighbours join together. What they show is theirs."""
    together: list[int] = []
    race = race_of(space_of({"size": [*range(40)], "speed": [*range(40)]}), "30s", together=together)

    assert together[0] > SAMPLE
    assert max(together[1:]) > 1
    assert len(together) < len(race.candidates)
    for one in race.candidates.values():
        alone = Numbers(one.settings).slo_figures(range(one.count))
        assert one.costs.tolist() == alone["cost.amount"].tolist()
