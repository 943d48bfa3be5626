"""Sampling pods."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim.policy import scraping


@pytest.mark.parametrize(
    ("population", "sample"),
    [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 4),
        (5, 4),
        (6, 5),
        (7, 6),
        (8, 6),
        (10, 7),
        (12, 7),
        (15, 8),
        (20, 9),
        (30, 11),
        (50, 12),
        (100, 14),
        (200, 15),
        (500, 15),
        (1000, 16),
    ],
)
def test_the_sample_hardly_grows_with_the_population(population, sample):
    """Up to three pods all are read, of a thousand sixteen."""
    assert scraping.sample_size(population) == sample


@given(st.integers(0, 10**6))
def test_a_sample_is_no_larger_than_its_population(population):
    """And never larger than the sample of an endless one."""
    assert scraping.sample_size(population) <= min(population, 16)
    assert scraping.sample_size(population) <= scraping.sample_size(population + 1)


@st.composite
def scrapes(draw):
    """Ready pods with start times, answers and keys."""
    count = draw(st.integers(1, 25))
    started = draw(st.lists(st.integers(0, 100), min_size=count, max_size=count))
    answers = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    keys = draw(st.permutations(range(count)))
    pods = draw(st.permutations(range(count)))
    return pods, started, answers, keys


@given(scrapes(), st.integers(0, 16), st.integers(0, 100))
def test_old_pods_are_chosen_before_young_ones_and_only_those_that_answer(drawn, wanted, window_ns):
    """The choice is the head of the list sorted by youth and key."""
    pods, started, answers, keys = drawn
    chosen = np.zeros(20, dtype=np.int64)
    found = scraping.choose_pods(
        np.array(pods, dtype=np.int64),
        len(pods),
        np.array(started, dtype=np.int64),
        np.array(answers, dtype=np.int64),
        np.array(keys, dtype=np.float64),
        100,
        window_ns,
        wanted,
        chosen,
    )
    order = sorted(
        (100 - started[pod] < window_ns, key, pod) for pod, key in zip(pods, keys, strict=True) if answers[pod]
    )

    assert chosen[:found].tolist() == [pod for _, _, pod in order[:wanted]]


@given(st.integers(1, 30), st.floats(0, 100))
def test_equal_pods_add_up_to_their_number(population, concurrency):
    """When all pods do the same, a sample tells the truth."""
    sample = int(scraping.sample_size(population))
    statistics = np.full((population, scraping.FIELDS), concurrency)
    got = scraping.combine(statistics, np.arange(population), sample, float(sample), float(population))

    assert got == pytest.approx((concurrency * population,) * 4)


def test_proxied_requests_are_not_counted_twice():
    """What the activator has counted is taken off."""
    assert scraping.net(5.0, 5.0) == 0.0
