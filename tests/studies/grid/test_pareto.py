"""Fronts and effects."""

import numpy as np
import pytest

from kpasim.studies.grid.pareto import effect, front, levels

NO = np.nan


def test_nothing_on_the_front_is_beaten() -> None:
    """A setting is on the front when nothing else costs no more and is as quick; of equal ones the first is."""
    costs = np.array([3.0, 1.0, 2.0, 2.0, 1.0, NO, 0.5, 4.0])
    waits = np.array([1.0, 9.0, 5.0, 4.0, 9.0, 0.1, NO, 1.0])
    assert front(costs, waits, np.ones(8, dtype=np.bool_)) == [1, 3, 0]


def test_of_equal_settings_the_one_that_changes_least_is_on_the_front() -> None:
    """Nobody should change what makes no difference."""
    same, allowed = np.ones(3), np.ones(3, dtype=np.bool_)
    assert front(same, same, allowed, np.array([2, 1, 1])) == [1]


def test_a_random_front_against_the_definition() -> None:
    """The same settings as by comparing each with all others."""
    rng = np.random.default_rng(3)
    costs, waits = rng.integers(0, 30, 200).astype(float), rng.integers(0, 30, 200).astype(float)
    allowed = rng.random(200) < 0.8
    found = front(costs, waits, allowed)
    for one in range(200):
        beaten = allowed & (costs <= costs[one]) & (waits <= waits[one])
        beaten &= (costs < costs[one]) | (waits < waits[one]) | (np.arange(200) < one)
        assert (one in found) == bool(allowed[one] and not beaten.any())


def test_who_fails_fast_is_not_on_the_front() -> None:
    """A setting that is not allowed neither is on the front nor keeps another one off it."""
    assert front(np.array([1.0, 2.0]), np.array([1.0, 5.0]), np.array([False, True])) == [1]


def test_the_effect_of_an_axis() -> None:
    """Means by value, and the part of the variance that they explain."""
    found = effect([1, 1, 2, 2], {"cost": np.array([1.0, 3.0, 5.0, 7.0]), "flat": np.ones(4)})
    assert [(level["value"], level["cost"]) for level in found["levels"]] == [(1, 2.0), (2, 6.0)]
    assert found["share"] == {"cost": 0.8, "flat": None}


def test_many_values_are_put_together() -> None:
    """An axis of a sampled design has as many values as settings; its groups are of one size."""
    found = levels(np.linspace(0, 1, 80).tolist())
    assert [len(places) for _, places in found] == [10] * 8
    assert [label for label, _ in levels(["b", "a", "b"])] == ["b", "a"]


def test_durations_are_numbers_to_an_axis() -> None:
    """They come in ascending order, and many of them in groups called by their middle; words stay as they are."""
    assert [label for label, _ in levels(["2m", "30s", "90s", "30s"])] == ["30s", "90s", "2m"]
    found = levels([f"{one}s" for one in range(80, 0, -1)])
    assert [label for label, _ in found][:2] == ["6s", "16s"]
    assert [len(places) for _, places in found] == [10] * 8
    assert [label for label, _ in levels(["small", "10s", "large"])] == ["small", "10s", "large"]


def test_an_effect_is_of_settings_that_differ_in_this_axis_only() -> None:
    """With two values it is the mean of the pairs' differences, whatever combinations are missing."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        rows = [(a, b, c) for a in (1, 2) for b in range(4) for c in range(3) if rng.random() < 0.7]
        found = {row: float(rng.normal(10 * row[0] * row[1], 1)) for row in rows}
        pairs = [found[2, b, c] - found[1, b, c] for a, b, c in rows if a == 1 and (2, b, c) in found]
        if not pairs:
            continue
        a, b, c = zip(*rows, strict=True)
        low, high = effect(a, {"cost": np.array(list(found.values()))}, [b, c])["levels"]
        assert high["cost"] - low["cost"] == pytest.approx(np.mean(pairs))


def test_neighbouring_values_are_compared_directly() -> None:
    """With more values the step between two neighbours is the mean of the pairs that have both, and of no others."""
    rng = np.random.default_rng(5)
    compared = 0
    for _ in range(20):
        rows = [(a, b) for a in (1, 2, 5) for b in range(6) if rng.random() < 0.7]
        found = {row: float(rng.normal(10 * row[0] * row[1], 1)) for row in rows}
        a, b = zip(*rows, strict=True)
        means = {
            one["value"]: one["cost"] for one in effect(a, {"cost": np.array(list(found.values()))}, [b])["levels"]
        }
        for low, high in ((1, 2), (2, 5)):
            pairs = [
                found[high, other] - found[low, other] for one, other in rows if one == low and (high, other) in found
            ]
            if pairs:
                compared += 1
                assert means[high] - means[low] == pytest.approx(np.mean(pairs))
        known = [means[one] for one, _ in rows]
        if None not in known:
            assert np.mean(known) == pytest.approx(np.mean(list(found.values())))
    assert compared > 30


def test_a_value_that_nothing_can_be_compared_with_has_no_mean() -> None:
    """A max-scale that was simulated beside another min-scale only says nothing about max-scale."""
    found = effect([1, 2, 2, 3], {"cost": np.array([1.0, 5.0, 6.0, 9.0])}, [[0, 1, 2, 2]])["levels"]
    assert found[0]["cost"] is None
    assert found[2]["cost"] - found[1]["cost"] == pytest.approx(3.0)


def test_effects_of_a_sample_add_up() -> None:
    """Where no two settings share their company, the effects of all axes are fitted together."""
    rng = np.random.default_rng(6)
    one, other = rng.integers(0, 3, 60).tolist(), rng.integers(0, 4, 60).tolist()
    kept = [place for place in range(60) if one[place] <= other[place]]  # the others are refused
    a, b = [one[place] for place in kept], [other[place] for place in kept]
    cost = np.array([5.0 * x + 100.0 * y for x, y in zip(a, b, strict=True)])
    levels = effect(a, {"cost": cost}, [b], pairs=False)["levels"]
    assert levels[1]["cost"] - levels[0]["cost"] == pytest.approx(5.0)
    assert levels[2]["cost"] - levels[1]["cost"] == pytest.approx(5.0)
