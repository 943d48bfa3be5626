"""Arrivals of open loops."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from kpasim.spec.rates import Uniforms
from kpasim.spec.workload import OpenLoop, Workload
from kpasim.workloads.arrivals import arrivals, most_arrivals

S = 1_000_000_000


def uniforms(seed: int = 0) -> Uniforms:
    """Uniform numbers that belong to their index."""

    def numbers(count: int, first: int) -> np.ndarray:
        generator = np.random.Philox(key=seed, counter=first // 4)
        return (generator.random_raw(count) >> np.uint64(11)) * 2.0**-53 + 2.0**-54

    return numbers


def workload(**keys: Any) -> OpenLoop:
    """A workload as a file has it."""
    return TypeAdapter(Workload).validate_python({key.replace("_", "-"): value for key, value in keys.items()})


def times_s(asked: OpenLoop, seed: int = 0) -> np.ndarray:
    """Send times in seconds."""
    return arrivals(asked, uniforms(seed)) / 1e9


RATE = st.floats(0.01, 20.0)
TIME = st.floats(1.0, 300.0)
ARRIVALS = st.sampled_from(["poisson", "constant"])


def made(kind: str, **keys: st.SearchStrategy[Any]) -> st.SearchStrategy[OpenLoop]:
    """Workloads of one kind."""
    return st.fixed_dictionaries(keys).map(lambda drawn: workload(kind=kind, **drawn))


LOADS = st.one_of(
    made("constant", rate=RATE, duration=TIME),
    made("poisson", rate=RATE, duration=TIME),
    made(
        "steps",
        phases=st.lists(st.fixed_dictionaries({"rate": st.just(0.0) | RATE, "duration": TIME}), min_size=1, max_size=4),
        arrivals=ARRIVALS,
    ),
    st.tuples(RATE, RATE, TIME, ARRIVALS).map(
        lambda a: workload(kind="ramp", **{"from": a[0]}, to=a[1], duration=a[2], arrivals=a[3])
    ),
    made(
        "diurnal", mean=RATE, amplitude=st.floats(0.0, 1.0), period=TIME, phase=TIME, duration=TIME, arrivals=ARRIVALS
    ),
    made("gamma", rate=RATE, cv=st.floats(0.05, 20.0), duration=TIME),
    made("bursts", low=st.just(0.0), high=RATE, low_for=TIME, high_for=TIME, duration=TIME),
    made("batches", size=st.integers(1, 9), every=TIME, arrivals=ARRIVALS, duration=TIME),
)


def length_s(asked: OpenLoop) -> float:
    """How long requests are sent."""
    phases = getattr(asked, "phases", None)
    return sum(one.duration_s for one in phases) if phases else asked.duration_s  # type: ignore[union-attr]


@settings(deadline=None)
@given(LOADS, st.integers(0, 1000))
def test_arrivals_ascend_within_the_load(asked: OpenLoop, seed: int) -> None:
    """Times ascend from the start of the load to its end, no more of them than there is room for."""
    sent_ns = arrivals(asked, uniforms(seed))

    assert sent_ns.dtype == np.int64
    assert (np.diff(sent_ns) >= 0).all()
    assert len(sent_ns) <= most_arrivals(asked)
    if len(sent_ns):
        assert sent_ns[0] >= 0
        assert sent_ns[-1] <= length_s(asked) * S
    assert np.array_equal(sent_ns, arrivals(asked, uniforms(seed)))


def test_equal_distances_begin_after_the_first_one() -> None:
    """Two a second for three seconds are six requests, the first after half a second."""
    assert times_s(workload(kind="constant", rate=2, duration=3)).tolist() == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert times_s(workload(kind="constant", rate=1, duration=1.01)).tolist() == [1.0]
    assert len(arrivals(workload(kind="constant", rate=0.1, duration=600), uniforms())) == 60


def test_equal_distances_go_on_over_phases() -> None:
    """A slow phase counts towards the next request even if it ends before that is due."""
    phases = [{"rate": 0.5, "duration": 3}, {"rate": 0, "duration": 10}, {"rate": 1, "duration": 2}]
    assert times_s(workload(kind="steps", phases=phases, arrivals="constant")).tolist() == [2.0, 13.5, 14.5]


def test_a_longer_load_begins_with_the_shorter_one() -> None:
    """The first ten minutes of an hour are the ten minutes."""
    for kind, keys in {
        "poisson": {"rate": 0.5},
        "gamma": {"rate": 2, "cv": 3},
        "bursts": {"low": 0.1, "high": 3, "low_for": 60, "high_for": 20},
        "batches": {"size": 3, "every": 20, "arrivals": "poisson"},
        "diurnal": {"mean": 1, "period": 300},
    }.items():
        short, long = (times_s(workload(kind=kind, duration=minutes * 60, **keys)) for minutes in (10, 60))
        assert len(short) > 0
        assert short == pytest.approx(long[: len(short)], abs=1e-8)
        assert long[len(short)] > 600


def test_a_poisson_load_has_its_rate_and_no_memory() -> None:
    """Counts have the mean of the rate and a variance equal to it; gaps have a coefficient of variation of 1."""
    sent_s = times_s(workload(kind="poisson", rate=5, duration=4000))
    counts = np.histogram(sent_s, bins=np.arange(0, 4001, 10))[0]
    gaps_s = np.diff(sent_s)

    assert counts.mean() == pytest.approx(50, abs=1.2)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.25)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("cv", [0.2, 1.0, 3.0])
def test_gamma_arrivals_have_their_rate_and_variation(cv: float) -> None:
    """A day of one request in two seconds: mean distance and coefficient of variation are those asked for."""
    gaps_s = np.diff(times_s(workload(kind="gamma", rate=0.5, cv=cv, duration=86_400)))

    assert gaps_s.mean() == pytest.approx(2.0, rel=4.0 * cv / len(gaps_s) ** 0.5)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(cv, rel=0.1)


def test_gamma_arrivals_of_variation_one_are_poisson() -> None:
    """The same uniform numbers give the same times, to the rounding of a different formula."""
    same = [
        workload(kind=kind, rate=0.5, duration=3600, **more) for kind, more in (("gamma", {"cv": 1}), ("poisson", {}))
    ]

    assert times_s(same[0]) == pytest.approx(times_s(same[1]), abs=1e-6)


def test_bursts_are_more_uneven_than_chance() -> None:
    """Counts have the mean of both states and a variance far above it."""
    asked = workload(kind="bursts", low=0.5, high=8, low_for=90, high_for=30, duration=40_000)
    sent_s = times_s(asked)
    counts = np.histogram(sent_s, bins=np.arange(0, 40_001, 10))[0]

    assert len(sent_s) / 40_000 == pytest.approx(0.75 * 0.5 + 0.25 * 8, rel=0.15)
    assert counts.var() / counts.mean() > 5


def test_bursts_may_begin_the_load() -> None:
    """The share of loads that begin in a burst is the share of time that bursts take."""
    asked = workload(kind="bursts", low=0, high=100, low_for=300, high_for=100, duration=1)
    begun = [len(arrivals(asked, uniforms(seed))) > 50 for seed in range(400)]

    assert np.mean(begun) == pytest.approx(0.25, abs=0.08)


def test_phases_have_their_own_rates() -> None:
    """A pause is silent, and the others have the counts of their rates."""
    phases = [{"rate": 4, "duration": 500}, {"rate": 0, "duration": 500}, {"rate": 1, "duration": 500}]
    counts = np.histogram(times_s(workload(kind="steps", phases=phases)), bins=[0, 500, 1000, 1500])[0]

    assert counts[1] == 0
    assert counts[[0, 2]] == pytest.approx([2000, 500], rel=0.1)


def test_a_ramp_rises() -> None:
    """The second half of a ramp from nothing holds three quarters of the requests."""
    sent_s = times_s(workload(kind="ramp", **{"from": 0}, to=10, duration=1000, arrivals="constant"))

    assert len(sent_s) == 5000
    assert (sent_s > 500).mean() == pytest.approx(0.75, abs=0.001)


def test_a_day_has_a_peak_and_a_valley() -> None:
    """Full swing: the half period around the peak holds 1/2 + 1/pi of the requests."""
    sent_s = times_s(workload(kind="sinusoid", mean=2, amplitude=1, period=1000, duration=5000))

    assert len(sent_s) == pytest.approx(10_000, abs=400)
    assert (sent_s % 1000 < 500).mean() == pytest.approx(0.5 + 1 / np.pi, abs=0.02)


def test_batches_come_at_once() -> None:
    """Three at the start, three after every minute, none at the very end."""
    assert times_s(workload(kind="batches", size=3, every=60, duration=120)).tolist() == [0, 0, 0, 60, 60, 60]


# --- files ------------------------------------------------------------------------------------------------------------


def replay(folder: Path, text: str, **keys: Any) -> OpenLoop:
    """A replay of a file with that text."""
    path = folder / "trace.csv"
    path.write_text(text)
    return workload(kind=keys.pop("kind", "replay"), file=str(path), **keys)


def test_a_replay_sends_what_was_recorded(tmp_path: Path) -> None:
    """In order of arrival, counted from the first, in the unit asked for, faster if asked for."""
    text = "id,arrival\n1,4000\n2,1000\n3,1500\n"

    assert times_s(replay(tmp_path, text, time_unit="ms")).tolist() == [0.0, 0.5, 3.0]
    assert times_s(replay(tmp_path, text, time_unit="ms", speed=2)).tolist() == [0.0, 0.25, 1.5]
    assert times_s(replay(tmp_path, text, time_unit="ms", limit=2)).tolist() == [0.0, 0.5]


def test_a_replay_may_take_a_stretch(tmp_path: Path) -> None:
    """The load begins where the stretch does, not with the stretch's first request."""
    asked = replay(tmp_path, "arrival\n0\n10\n25\n40\n", **{"from": 5}, duration=30)

    assert times_s(asked).tolist() == [5.0, 20.0]
    assert most_arrivals(asked) == 2


def test_a_replay_reads_dates(tmp_path: Path) -> None:
    """Dates and times of day, in whatever zone they name."""
    text = "at\n2024-11-15 16:57:50\n2024-11-15T18:57:51+02:00\n"

    assert times_s(replay(tmp_path, text, arrival="at")).tolist() == [0.0, 1.0]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """What was read before does not stand for a file that has changed."""
    import os

    asked = replay(tmp_path, "arrival\n0\n1\n")
    assert most_arrivals(asked) == 2
    Path(tmp_path / "trace.csv").write_text("arrival\n0\n1\n2\n")
    os.utime(tmp_path / "trace.csv", ns=(1, 1))
    assert most_arrivals(asked) == 3


def test_the_production_trace_is_spread_within_its_seconds(tmp_path: Path) -> None:
    """Whole seconds are recorded; where in its second a request came is drawn, so none come together."""
    text = "gmt_create,predict_type\n2024-11-15 16:57:50,A\n2024-11-15 16:57:52,A\n2024-11-15 16:57:52,A\n"
    asked = replay(tmp_path, text, kind="gentd26")
    sent_s = times_s(asked)

    assert np.floor(sent_s).tolist() == [0, 2, 2]
    assert len(np.unique(sent_s)) == 3
    assert not np.array_equal(sent_s, times_s(asked, seed=1))
    assert times_s(replay(tmp_path, text, kind="gentd26", speed=4)) * 4 == pytest.approx(sent_s, abs=1e-8)
