"""When within its scrape interval a load changed, beside loads whose every request is known."""

import numpy as np
import pytest

from kpasim.records.prometheus.passages import traffic
from kpasim.workloads.observed import counts, placing_of
from kpasim.workloads.placing import DISPERSIONS, spaced
from tests import observing

DRAWS = 200
SCRAPES_S = np.arange(7.0, 700.0, 60.0)
LASTING_S = 2.0


def poisson(rates: list[tuple[float, float, float]], seed: int) -> np.ndarray:
    """Requests at a rate from a time to a time, each in a row."""
    random = np.random.default_rng(seed)
    parts = [random.uniform(low_s, high_s, random.poisson(rate * (high_s - low_s))) for rate, low_s, high_s in rates]
    return np.sort(np.concatenate(parts))


def drawn_s(begins_s: np.ndarray, lasting_s: float = LASTING_S) -> list[np.ndarray]:
    """Draws of when they were sent out of what scrapes of an activator say."""
    parts = observing.activator(begins_s, begins_s + lasting_s, SCRAPES_S)
    found = traffic(observing.observation(parts, SCRAPES_S[-1], 60.0))
    known, profiles, random = counts(found), placing_of(found), np.random.default_rng(5)
    draws = []
    for _ in range(DRAWS):
        uniform = random.random(int(known.requests.sum())), random.random(len(known.requests))
        even = spaced(known.requests, profiles.dispersion(random.random()), *uniform)
        share = profiles.shares(even, known.requests, known.slot, random.random(len(profiles.left)))
        assert np.all((share >= 0.0) & (share <= 1.0))
        begin_s, length_s = (np.repeat(one, known.requests) for one in (known.begin_s, known.end_s - known.begin_s))
        sent_s = begin_s + share * length_s - observing.BEGIN_S
        assert np.array_equal(np.histogram(sent_s, SCRAPES_S)[0], np.histogram(begins_s, SCRAPES_S)[0])
        draws.append(sent_s)
    return draws


@pytest.mark.parametrize("end_s", [560.0, 583.0])
def test_a_load_that_ends_within_an_interval_is_drawn_to_end_then(end_s: float):
    """Two requests a second; an even rate would go on until the scrape at 607 s."""
    after = []
    for seed in range(3):
        begins_s = poisson([(2.0, 0.0, end_s)], seed)
        share = np.mean([np.count_nonzero(draw > end_s) for draw in drawn_s(begins_s)])
        after.append(share / np.count_nonzero(begins_s > 547.0))
    assert np.mean(after) < 0.5 * (607.0 - end_s) / 60.0


def test_a_step_is_drawn_where_it_was():
    """From 1 to 6 requests a second at 333 s: how many of those sent between 307 and 367 s came before."""
    begins_s = poisson([(1.0, 0.0, 333.0), (6.0, 333.0, 600.0)], 2)
    before = [np.count_nonzero((draw > 307.0) & (draw <= 333.0)) for draw in drawn_s(begins_s)]
    true = np.count_nonzero((begins_s > 307.0) & (begins_s <= 333.0))
    assert np.quantile(before, 0.05) <= true <= np.quantile(before, 0.95)
    assert np.median(before) < 0.5 * 26.0 / 60.0 * np.count_nonzero((begins_s > 307.0) & (begins_s <= 367.0))


def test_a_burst_alone_may_be_short_and_ends_before_the_scrape_that_sees_nothing_in_flight():
    """20 requests in 6 s every three minutes, each of 8 s."""
    begins_s = poisson([(3.4, at_s, at_s + 6.0) for at_s in (20.0, 200.0, 380.0, 560.0)], 3)
    draws = [draw[(draw > 187.0) & (draw < 247.0)] for draw in drawn_s(begins_s, 8.0)]
    spans_s = np.array([np.ptp(draw) for draw in draws])
    assert np.median(spans_s) < 40.0
    assert np.quantile(spans_s, 0.1) < 20.0
    assert np.mean([draw[-1] < 239.5 for draw in draws]) > 0.7  # 0.07 at an even rate.


def test_requests_in_flight_at_a_scrape_came_shortly_before():
    """None for a minute, then 12 in the 5 s before a scrape, each of 6 s."""
    begins_s = np.concatenate(
        (np.linspace(20.0, 60.0, 30), np.linspace(182.2, 186.8, 12), np.linspace(190.0, 600.0, 90))
    )
    late = [np.count_nonzero((draw > 175.0) & (draw <= 187.0)) for draw in drawn_s(begins_s, 6.0)]
    assert np.median(late) >= 11


def test_an_even_load_is_drawn_evenly():
    """One request a second all the time: no part of an interval has more than another, beyond chance."""
    draws = drawn_s(poisson([(1.0, -60.0, 700.0)], 4))
    sent_s = np.concatenate([draw[(draw > 67.0) & (draw < 607.0)] for draw in draws])
    parts = np.histogram((sent_s - 7.0) % 60.0, 6)[0] / len(sent_s)
    assert parts == pytest.approx(1.0 / 6.0, abs=0.02)


def test_draws_hold_what_loads_of_random_steps_did():
    """40 loads of 11 minutes whose rate changes at random times: when half of an interval's requests had come."""
    random = np.random.default_rng(6)
    places = []
    for seed in range(40):
        edges_s = np.concatenate(([0.0], np.sort(random.uniform(0.0, 667.0, random.poisson(3.0))), [667.0]))
        rates = random.gamma(1.0, 1.5, len(edges_s) - 1)
        begins_s = poisson(list(zip(rates, edges_s[:-1], edges_s[1:], strict=True)), seed)
        if len(begins_s) < 50:
            continue
        draws = drawn_s(begins_s)[:100]
        for low_s in SCRAPES_S[:-1]:
            inside = (begins_s > low_s) & (begins_s <= low_s + 60.0)
            if np.count_nonzero(inside) >= 20:
                middles_s = [np.median(draw[(draw > low_s) & (draw <= low_s + 60.0)]) for draw in draws]
                places.append(np.mean(np.array(middles_s) < np.median(begins_s[inside])))
    held = np.mean([(place >= 0.05) & (place <= 0.95) for place in places])
    assert len(places) > 200
    assert 0.85 <= held <= 0.97


def dispersed(begins_s: np.ndarray, step_s: float) -> np.ndarray:
    """Chances of ``DISPERSIONS`` that scrapes at such a distance give."""
    parts = observing.activator(begins_s, begins_s + LASTING_S, np.arange(7.0, 700.0, step_s))
    profiles = placing_of(traffic(observing.observation(parts, 700.0, step_s)))
    return np.diff(profiles.dispersions, prepend=0.0)


@pytest.mark.parametrize("step_s", [5.0, 15.0, 30.0, 60.0])
def test_requests_at_equal_distances_are_drawn_so(step_s: float):
    """Three in two seconds; and eight clients that wait for responses of 2 s, give or take a fifth."""
    assert dispersed(np.arange(0.0, 700.0, 2 / 3), step_s)[DISPERSIONS <= 0.25].sum() > 0.9
    random = np.random.default_rng(8)
    closed_s = np.sort(np.cumsum(random.gamma(25.0, 2.0 / 25.0, (8, 400)), axis=1).ravel())
    assert dispersed(closed_s[closed_s < 690.0], step_s)[DISPERSIONS <= 0.5].sum() > 0.9


@pytest.mark.parametrize("step_s", [5.0, 15.0, 30.0, 60.0])
def test_a_poisson_process_is_not_taken_for_a_clock(step_s: float):
    """Ten of them, one request a second; also where the rate changes."""
    chances = [dispersed(poisson([(1.0, 0.0, 700.0)], seed), step_s)[:2].sum() for seed in range(10)]
    assert np.mean(chances) > 0.8
    steps = [(1.0, 0.0, 200.0), (4.0, 200.0, 420.0), (2.0, 420.0, 700.0)]
    chances = [dispersed(poisson(steps, seed), step_s)[:2].sum() for seed in range(10)]
    assert np.mean(chances) > 0.8


@pytest.mark.parametrize(("dispersion", "most"), [(1.0, 1.3), (0.25, 0.4), (1 / 32, 0.1)])
def test_gaps_have_the_dispersion_asked_for(dispersion: float, most: float):
    """Counts of tenths of an interval of 200 requests."""
    random = np.random.default_rng(9)
    requests = np.full(400, 200)
    share = spaced(requests, dispersion, random.random(80_000), random.random(400)).reshape(400, 200)
    assert np.all(np.diff(share, axis=1) >= 0.0)
    counts_of_tenths = np.stack([np.histogram(row, 10, (0.0, 1.0))[0] for row in share])
    found = counts_of_tenths.var() / counts_of_tenths.mean()
    assert 0.7 * dispersion < found < most
    assert counts_of_tenths.mean(axis=0) == pytest.approx(np.full(10, 20.0), abs=0.8)
