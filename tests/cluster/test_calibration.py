"""The brief calibration: what it measures, what it leaves open, and what it does not invent."""

import math

import numpy as np
import pytest

from kpasim.cluster import calibration
from kpasim.cluster.calibration import Calibration, Crowd
from kpasim.cluster.errors import ClusterError
from kpasim.cluster.load import INTERRUPTED, Sent
from kpasim.cluster.record import PodRecord
from kpasim.engines.sampling import of_replication
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.run import simulate

from .fakes import service


def lognormal(rng: np.random.Generator, count: int, mean: float = 1.0, cv: float = 0.3) -> np.ndarray:
    """Times of a known mean and coefficient of variation."""
    sigma = math.sqrt(math.log(1 + cv**2))
    return rng.lognormal(math.log(mean) - sigma**2 / 2, sigma, count)


def experiment(found: Calibration) -> Experiment:
    """An experiment with the model of a calibration."""
    return from_mapping({"service": service(), "workload": {"kind": "hey"}, "model": found.model("quick")})


def test_a_start_lies_within_the_probe_before_its_pod_was_ready():
    """The kubelet looks once in a period; queue-proxy, where there is none, at once."""
    pod = PodRecord("a", "r", created_s=100.0, ready_s=112.0)

    assert calibration.start_time(pod, 1.0) == (11.0, 12.0)
    assert calibration.start_time(pod, 0.0) == (12.0, 12.0)
    with pytest.raises(ClusterError, match="no pod became ready"):
        calibration.start_time(None, 1.0)


@pytest.mark.parametrize(
    ("crowds", "cores", "expected"),
    [
        ((), 0, {}),
        ((Crowd(2, 1.7, 0.1), Crowd(4, 2.5, 0.1)), 0, {"slots": 0, "slowdown": [1.0, 1.7, 2.1, 2.5]}),
        ((Crowd(2, 1.1, 0.1), Crowd(10, 0.9, 0.1)), 2, {"slots": 0, "slowdown": [1.0] * 10}),
        ((), 2, {"slowdown": [1.0, 1.0, 1.5], "shared-by": "node"}),
    ],
)
def test_a_brief_calibration_is_a_model(crowds, cores, expected):
    """What shares a pod or a machine becomes a slow-down, unless it is within chance."""
    found = Calibration([(7.5, 8.5)], np.array([0.3, 0.2]), crowds, cores, "here").model("quick")
    service_time = dict(found["service-time"])

    assert service_time.pop("time")["distribution"] == "lognormal"
    assert service_time == expected
    assert from_mapping({"service": service(), "workload": {"kind": "hey"}, "model": found}).model.provisional


@pytest.mark.parametrize(("concurrency", "sizes"), [(1, []), (2, [2]), (4, [2, 3, 4]), (10, [2, 3, 4, 8, 10])])
def test_a_pod_is_tried_with_as_many_requests_as_it_takes(concurrency, sizes):
    """ContainerConcurrency 10 is calibrated up to 10; without a limit up to 16."""
    assert calibration.crowd_sizes(concurrency) == sizes
    assert calibration.crowd_sizes(0)[-1] == calibration.crowd_sizes(100)[-1] == 16


@pytest.mark.parametrize(("count", "times"), [(5, 60), pytest.param(60, 60, marks=pytest.mark.statistical)])
def test_draws_hold_the_true_mean_as_often_as_they_say(count: int, times: int):
    """The 90 % interval of the mean holds the truth in 80 to 98 % of all calibrations."""
    held = 0
    for seed in range(times):
        rng = np.random.default_rng(seed)
        found = experiment(Calibration([(8.0, 8.0)], lognormal(rng, count, 1.5), (), 0, "here"))
        means = [of_replication(found, place).model.service_time.time.mean_s() for place in range(0, 200, 2)]
        low, high = np.quantile(means, [0.05, 0.95])
        held += low <= 1.5 <= high

    assert 0.8 * times <= held <= 0.98 * times


def test_each_start_that_was_measured_narrows_the_next():
    """One start leaves more than 20 % open, ten alike less; two that differ by a third leave that open."""

    def interval(*starts_s: float) -> float:
        found = experiment(
            Calibration([(one, one) for one in starts_s], lognormal(np.random.default_rng(1), 5), (), 0, "")
        )
        models = [of_replication(found, place).model for place in range(200)]
        medians = [model.cold_start.stages[0].time.ppf(np.array([0.5]))[0] for model in models]
        low, high = np.quantile(medians, [0.05, 0.95])
        return float(high / low)

    assert interval(*[8.0] * 10) < 1.1
    assert 1.4 < interval(8.0) < 1.7
    assert interval(8.0, 8.0) < interval(8.0, 11.0)


def test_no_slow_down_is_invented():
    """Independent requests at once are called slower in at most 5 % of 400 calibrations, and a true one is found."""
    rng = np.random.default_rng(1)
    invented = found = 0
    for _ in range(400):
        solo = lognormal(rng, 100)
        for true, ratio in ((False, 1.0), (True, 1.4)):
            crowds = [
                calibration.crowd(count, sent(lognormal(rng, 4 * count) * ratio), solo, 0.0)
                for count in (2, 3, 4, 8, 10)
            ]
            if true:
                found += calibration.slowdown(crowds)[-1] > 1.0
            else:
                invented += calibration.slowdown(crowds)[-1] > 1.0

    assert invented <= 20
    assert found >= 380


def sent(latency_s: np.ndarray, error: str = "") -> Sent:
    """What became of requests with these latencies."""
    count = len(latency_s)
    errors = np.full(count, error, dtype=f"U{max(1, len(error))}")
    status = np.full(count, 0 if error else 200)
    return Sent({"latency_s": latency_s, "status": status, "error": errors}, 0.0, 0, bool(error))


def test_requests_that_our_own_deadline_ended_are_no_failures():
    """They tell nothing, and where nothing else is there the calibration has failed."""
    mixed = sent(np.array([0.1, 0.2]))
    mixed.requests["error"] = np.array(["", INTERRUPTED])
    mixed.requests["status"] = np.array([200, 0])

    assert calibration.service_s(mixed, 0.0).tolist() == [0.1]
    with pytest.raises(ClusterError, match="calibration: a request had no response"):
        calibration.service_s(sent(np.array([0.1]), INTERRUPTED), 0.0)


def test_the_way_to_the_pod_counts_once():
    """Latencies of requests one after the other, simulated with 50 ms in the pod, calibrate to 50 ms."""
    experiment = from_mapping(
        {
            "service": service(containerConcurrency=1),
            "workload": {"kind": "hey", "requests": 400, "concurrency": 1},
            "model": {"service-time": "50ms", "cold-start": "1s"},
            "start": "warm",
        }
    )
    latency_s = simulate(experiment, replications=1).tables(0).requests["latency_s"]

    found = calibration.service_s(sent(latency_s), experiment.cluster.delays.path_s)

    assert latency_s.mean() > 0.0525
    assert found.mean() == pytest.approx(0.05, abs=0.0002)


def test_a_service_that_is_warming_up_is_measured_when_it_has():
    """The first requests are left out; how much longer the very first took becomes a stage of a start."""
    rng = np.random.default_rng(2)
    warming = np.concatenate([[1.0, 0.4, 0.3], lognormal(rng, 60, 0.15, 0.1)])

    assert 40 <= len(calibration.settled(warming)) <= 60
    assert calibration.first_request(warming) == pytest.approx(0.85, abs=0.03)
    assert calibration.first_request(lognormal(rng, 60, 0.15, 0.1)) == 0.0
    found = Calibration([(8.0, 8.0)], calibration.settled(warming), (), 0, "here", calibration.first_request(warming))
    assert [stage.when for stage in experiment(found).model.cold_start.stages] == ["before-ready", "first-request"]


@pytest.mark.parametrize("count", [25, 120])
def test_slow_requests_at_the_beginning_are_no_warm_up(count: int):
    """One request in eight takes a third longer, whenever it comes: in 95 of 100 calibrations all requests count."""
    rng = np.random.default_rng(4)
    several = [np.where(rng.uniform(size=count) < 0.125, 1.35, 1.0) * lognormal(rng, count, 0.085, 0.03)
               for _ in range(400)]  # fmt: skip
    kept = [calibration.settled(one) for one in several]

    assert sum(len(one) == count for one in kept) >= 380
    assert np.mean([one.std() for one in kept]) > 0.97 * np.mean([one.std() for one in several])


def test_a_tail_that_comes_and_goes_widens_the_draws():
    """Batches with and without slow requests: the load may be like either. Shuffled they leave less open."""
    rng = np.random.default_rng(5)
    slow = np.repeat([0.0, 0.0, 0.4, 0.0, 0.0, 0.4, 0.0, 0.0], 15)
    changing = np.where(rng.uniform(size=120) < slow, 1.5, 1.0) * lognormal(rng, 120, 0.085, 0.03)
    ends = {}
    for name, values in (("changing", changing), ("shuffled", rng.permutation(changing))):
        found = calibration.phases(values, rng)
        ends[name] = np.quantile([np.quantile(one, 0.95) for one in found], [0.05, 0.95])

    assert ends["changing"][0] < 0.095
    assert ends["changing"][1] > 0.12
    assert np.ptp(ends["shuffled"]) < np.ptp(ends["changing"])


def test_contention_factors_are_drawn_with_their_service_time():
    """Two at once took 1.4 s: where a request alone is drawn shorter the factor is greater, and 1.4 s stay 1.4 s."""
    held, widths = 0, []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        solo = lognormal(rng, 15, cv=0.15)
        crowds = (calibration.crowd(2, sent(1.4 * lognormal(rng, 80, cv=0.15)), solo, 0.0),)
        found = experiment(Calibration([(8.0, 8.0)], solo, crowds, 0, "here"))
        times = [of_replication(found, place).model.service_time for place in range(0, 200, 2)]
        means = np.array([one.time.mean_s() for one in times])
        factors = np.array([one.slowdown[1] for one in times])
        low, high = np.quantile(means * factors, [0.05, 0.95])
        held += low <= 1.4 <= high
        widths.append(high / low)
        assert np.corrcoef(means, factors)[0, 1] < -0.3

    assert 24 <= held <= 30
    assert np.mean(widths) < 1.2


def test_a_machine_whose_speed_changes_widens_the_draws():
    """The same spread in another order: blocks of slow and fast requests leave more open than chance does."""
    rng = np.random.default_rng(3)
    even = lognormal(rng, 160, 0.2, 0.1)
    changing = even * np.repeat([0.8, 1.2, 1.0, 1.3, 0.7, 1.1, 0.9, 1.0], 20)

    assert calibration.drift(even) < 0.03
    assert calibration.drift(changing) == pytest.approx(0.2, abs=0.05)
    assert calibration.standard_error(changing) > 3 * calibration.standard_error(even)
    assert calibration.still_needed(even) == 0 < calibration.still_needed(changing)
