"""Random numbers belong to what they are for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim import load
from kpasim.engines.draws import chance, pick, uniforms, uniforms_of
from kpasim.engines.lower import lower
from kpasim.engines.sampling import Sampler
from tests.documented import ROOT


@pytest.mark.parametrize(("key", "index", "sub", "answer"), [(0, 0, 0, 0x257A3673)])
def test_chance_is_philox(key: int, index: int, sub: int, answer: int):
    """The published known answer of Philox2x32-7 comes out."""
    assert chance(key, index, sub) == answer


@given(st.integers(0, 2**32 - 1), st.integers(-(2**60), 2**60), st.integers(0, 2**31), st.integers(1, 1000))
def test_a_pick_is_one_of_the_choices(key: int, index: int, sub: int, count: int):
    """Nothing beyond the last choice is ever picked."""
    assert 0 <= pick(key, index, sub, count) < count


def test_chance_is_even():
    """Neighbouring indices are as good as independent: mean, spread and lag-one correlation of 20,000 draws."""
    draws = np.array([chance(7, index, 0) for index in range(20_000)]) / 2**32
    assert abs(draws.mean() - 0.5) < 0.01
    assert abs(draws.var() - 1 / 12) < 0.002
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.02


@given(st.integers(0, 2**63), st.integers(0, 1000), st.integers(0, 30), st.integers(0, 50), st.integers(1, 20))
def test_a_draw_does_not_depend_on_how_many_are_asked_for(
    seed: int, replication: int, stream: int, first: int, count: int
):
    """Draws first .. first + count are the same numbers within a longer request."""
    part = uniforms(seed, replication, stream, count, first)
    assert part.tolist() == uniforms(seed, replication, stream, first + count)[first:].tolist()


def test_replications_drawn_together_are_those_drawn_alone():
    """One call for many replications gives each its own numbers."""
    together = uniforms_of(3, [0, 5, 2], 4, [7, 7, 7])
    alone = np.concatenate([uniforms(3, replication, 4, 7) for replication in (0, 5, 2)])
    assert together.ravel().tolist() == alone.tolist()


def test_settings_of_the_autoscaler_draw_the_same_numbers() -> None:
    """Draws that are used again for another setting are those that it would have made itself."""
    base = load(ROOT / "experiments" / "hey50x5.yaml")
    first = Sampler(base, lower(base))
    first.draw_many(range(3), pods=8)
    for path, value in SETTINGS.items():
        other = base.with_setting(path, value)
        params = lower(other)
        used = Sampler(other, params)
        again, fresh = used.draw_many(range(3), pods=8), used._draw_many(range(3), 8, 8)
        for mine, made in zip(again, fresh, strict=True):
            for name, expected in made._asdict().items():
                np.testing.assert_array_equal(getattr(mine, name), expected, f"{path}: {name}")
        assert used.draws_as(first) == (path not in DRAWS_OTHERWISE), path


SETTINGS = {
    "service.annotations.min-scale": 1,
    "service.annotations.max-scale": 3,
    "service.annotations.initial-scale": 2,
    "service.annotations.window": "30s",
    "service.annotations.target": 1,
    "service.annotations.target-utilization-percentage": 90,
    "service.annotations.scale-down-delay": "1m",
    "service.annotations.target-burst-capacity": 0,
    "service.annotations.panic-window-percentage": 20,
    "service.annotations.panic-threshold-percentage": 150,
    "service.annotations.scale-to-zero-pod-retention-period": "2m",
    "config-autoscaler.max-scale-up-rate": 10,
    "start": "zero",
    "horizon": "30m",
    "seed": 5,
    "workload.requests": 60,
}
DRAWS_OTHERWISE = {"seed", "workload.requests"}
