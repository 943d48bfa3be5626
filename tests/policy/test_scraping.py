"""Sampling pods."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("found", "wanted", "ready", "others", "outcome"),
    [
        (0, 0, 0, 0, scraping.NOTHING_TO_SCRAPE),
        (3, 3, 3, 0, scraping.SCRAPED),
        (2, 3, 3, 0, scraping.PODS_EXHAUSTED),
        (0, 3, 3, 1, scraping.PODS_EXHAUSTED),
        (0, 3, 3, 0, scraping.DIRECT_NOT_AVAILABLE),
    ],
)
def test_one_silent_pod_of_three_spoils_the_scrape(found, wanted, ready, others, outcome):
    """Only when all fail like pods in a mesh is there another way."""
    assert scraping.direct_outcome(found, wanted, ready, others) == outcome


def test_the_service_address_is_a_fallback_of_mode_auto():
    """A mesh mode that is set is kept to."""
    unavailable = scraping.DIRECT_NOT_AVAILABLE

    assert scraping.falls_back(scraping.MESH_AUTO, False, unavailable)
    assert not scraping.falls_back(scraping.MESH_AUTO, True, unavailable)
    assert not scraping.falls_back(scraping.MESH_AUTO, False, scraping.PODS_EXHAUSTED)
    assert not scraping.falls_back(scraping.MESH_DISABLED, False, unavailable)
    assert scraping.scrapes_directly(scraping.MESH_DISABLED, False, False)
    assert not scraping.scrapes_directly(scraping.MESH_ENABLED, True, False)
    assert not scraping.scrapes_directly(scraping.MESH_AUTO, False, False)


def test_the_service_address_samples_whoever_answers():
    """Old pods count first, a pod that answers twice counts once, and errors are retried."""
    answers = iter([None, ("a", 70.0), ("a", 70.0), ("b", 5.0), ("c", 80.0), ("d", 90.0)] + [None] * 40)

    def ask():
        answer = next(answers)
        return answer and scraping.Answer(answer[0], answer[1], (float(ord(answer[0])), 0.0, 0.0, 0.0))

    outcome, statistics = scraping.service_scrape(ask, 3, 60.0)

    assert outcome == scraping.SCRAPED
    assert [chr(int(row[0])) for row in statistics] == ["a", "c", "d"]


def test_the_service_address_may_fail():
    """Ten errors are one too many, and without pods nothing is asked."""
    assert scraping.service_scrape(lambda: None, 2, 60.0) == (scraping.SERVICE_SCRAPE_ERROR, [])
    assert scraping.service_scrape(lambda: None, 0, 60.0) == (scraping.NOTHING_TO_SCRAPE, [])
    same = scraping.Answer("a", 70.0, (1.0, 0.0, 0.0, 0.0))
    assert scraping.service_scrape(lambda: same, 2, 60.0) == (scraping.DID_NOT_RECEIVE_STAT, [])
