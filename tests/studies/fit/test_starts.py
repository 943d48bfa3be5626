"""Stages of a start: turns only where pods took turns, and no pod whose moments are not those of a first start."""

import json

import numpy as np
import pytest

import kpasim
from kpasim.errors import RunError
from kpasim.records import read
from kpasim.spec.experiment import from_mapping
from kpasim.studies.fit.families import Sample, fit
from kpasim.studies.fit.starts import fit_starts
from tests.real_runs import folder
from tests.records.examples import pod
from tests.services import service

FIRST = {"created": 0, "scheduled": 20, "initialized": 21, "proxy": 45, "started": 45, "ready": 75}


def starts(tmp_path, pods, service=""):
    """What a snapshot of pods shows."""
    path = tmp_path / "pods.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}), encoding="utf-8")
    return fit_starts([read(path)], 0.0, np.random.default_rng(0), service=service, bootstraps=20)


def folder_of(created_s, ready_s):
    """A record with pods that were created and ready then."""
    from kpasim.records.record import Record

    names = np.array([f"pod-{place}" for place in range(len(created_s))])
    return Record("run-folder", "run", pods={"pod": names, "created_s": created_s, "ready_s": ready_s})


def ready_in_turn(created_s, times_s):
    """When pods are ready that go through one after the other."""
    ends, end = [], -np.inf
    for begin, time in zip(created_s, times_s, strict=True):
        end = max(begin, end) + time
        ends.append(end)
    return np.array(ends)


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("spacing_s", [0.0, 2.0, 10.0])
def test_independent_starts_are_not_taken_for_turns(sigma, spacing_s):
    """Pods made together or shortly after each other are called "one at a time" in at most 5 % of samples."""
    rng = np.random.default_rng(1)
    false = 0
    for number in range(100):
        created = np.sort(rng.uniform(0.0, spacing_s * 8, 8))
        ready = created + 30.0 * np.exp(sigma * rng.standard_normal(8))
        [stage] = fit_starts([folder_of(created, ready)], 0.0, np.random.default_rng(number), bootstraps=0).stages
        false += stage.at_a_time
    assert false <= 5


@pytest.mark.parametrize(("sigma", "least"), [(0.1, 95), (0.2, 90), (0.5, 30)])
def test_true_turns_are_found(sigma, least):
    """Eight pods whose machines come one after the other are told from independent ones, the surer the more alike."""
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(100):
        created = np.zeros(8)
        ready = ready_in_turn(created, 30.0 * np.exp(sigma * rng.standard_normal(8)))
        [stage] = fit_starts([folder_of(created, ready)], 0.0, rng, bootstraps=0).stages
        found += stage.at_a_time
    assert found >= least


def test_machines_that_come_independently_give_a_run_again(tmp_path):
    """Of twelve simulated runs with independent machines none is called "one at a time"; their median is 30 s."""
    stages = [
        {
            "name": "prov",
            "kind": "provision",
            "time": {"distribution": "lognormal", "median": "30s", "sigma": 0.2},
        },
        {"name": "load", "time": "25s"},
    ]
    experiment = from_mapping(
        {
            "service": service({"max-scale": 8}, containerConcurrency=1),
            "workload": {"kind": "hey", "requests": 200, "concurrency": 8, "timeout": "0s"},
            "model": {
                "service-time": {"distribution": "lognormal", "median": "8s", "sigma": 0.4},
                "cold-start": {"stages": stages},
            },
        }
    )
    medians = []
    for seed in range(1, 13):
        kpasim.simulate(experiment, replications=1, seed=seed, engine="reference").write(tmp_path / str(seed))
        found = fit_starts([read(tmp_path / str(seed))], 0.0, np.random.default_rng(0), bootstraps=0)
        assert [(one.name, one.kind, one.at_a_time) for one in found.stages] == [
            ("provision", "provision", 0),
            ("start", "start", 0),
        ]
        medians.append(found.stages[0].time.figures["p50"][0])
    assert np.mean(medians) == pytest.approx(30.0, rel=0.05)


def test_a_pod_that_restarted_is_left_out_of_a_snapshot(tmp_path):
    """Its container's start and its Ready are those of the restart; how many pods are left out is said."""
    later = {**FIRST, "started": 3000, "ready": 3040}
    pods = [pod(FIRST, name=f"sd-{place}", uid=f"u{place}") for place in range(4)]
    found = starts(tmp_path, [*pods, pod(later, name="sd-4", uid="u4", restarts=2)])

    medians = {one.name: one.time.figures["p50"][0] for one in found.stages}
    assert medians == pytest.approx({"provision": 20, "pull": 25, "start": 30}, abs=0.3)
    assert any("1 pod restarted, the start of this pod is left out" in one for one in found.notes)


def test_a_file_of_restarted_pods_alone_says_why_nothing_is_fitted(tmp_path):
    """The one line names what was left out, and no columns of a CSV file."""
    path = tmp_path / "pods.json"
    later = {**FIRST, "started": 3000, "ready": 3040}
    path.write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": [pod(later, restarts=2)]}))
    with pytest.raises(RunError, match=r"nothing to fit.*1 pod restarted") as refused:
        kpasim.calibrate(path)
    assert "CSV" not in str(refused.value)


def test_a_restart_after_a_watched_start_does_not_matter(tmp_path):
    """A watch keeps the first moments, so a pod that restarted after it was ready counts."""
    path = tmp_path / "watch.json"
    states = [pod(FIRST), pod({**FIRST, "started": 3000, "ready": 3040}, restarts=1)]
    path.write_text(
        "\n".join(json.dumps({"type": "MODIFIED", "object": one}) for one in states) + "\n", encoding="utf-8"
    )
    found = fit_starts([read(path)], 0.0, np.random.default_rng(0), bootstraps=0)

    assert found.stages[-1].time.figures["p50"][0] == pytest.approx(30, abs=0.3)
    assert not found.notes


def test_pods_of_other_workloads_stay_out(tmp_path):
    """A dump of a namespace holds databases too; the service's pods are used, and how many others is said."""

    def other(place):
        found = pod({**FIRST, "started": 20, "ready": 22}, name=f"db-{place}", uid=f"d{place}")
        found["metadata"]["labels"] = {"pod-template-hash": "7c9"}
        found["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "db-7c9"}]
        return found

    pods = [pod(FIRST, name=f"sd-{place}", uid=f"u{place}") for place in range(3)]
    found = starts(tmp_path, [*pods, *(other(place) for place in range(5))])
    named = starts(tmp_path, [*pods, *(other(place) for place in range(5))], service="db")

    assert found.stages[-1].time.figures["p50"][0] == pytest.approx(30, abs=0.3)
    assert any("the 3 pods of sd are used, 5 pods of 1 other workload left out" in one for one in found.notes)
    assert len(named.stages[-1].time.times) == 5


def test_starts_that_crashed_become_a_probability(tmp_path):
    """A run folder says how often containers restarted: the share of failed starts, and no crash in the start time."""
    record = folder_of(np.zeros(20), np.full(20, 30.0) + np.arange(20) / 10)
    record.pods["restarts"] = np.array([1] * 5 + [0] * 15)
    found = fit_starts([record], 0.0, np.random.default_rng(0), bootstraps=0)

    assert found.crash_probability == pytest.approx(5 / 25)
    assert len(found.stages[0].time.times) == 15


def test_a_pod_that_never_became_ready_is_no_slow_start():
    """Three pods start in 20 s; a fourth is deleted after 64 s without a Ready: it failed, which is said."""
    record = folder_of(np.zeros(5), np.array([20.0, 20.2, 19.9, np.nan, np.nan]))
    record.pods["delete_requested_s"] = np.array([np.nan, np.nan, np.nan, 64.0, 15.0])
    found = fit_starts([record], 0.0, np.random.default_rng(0))

    assert found.stages[0].time.figures["p95"][0] < 25.0
    assert found.stages[0].time.times.censored == 1
    assert any("1 pod never became ready, long after the others were" in one for one in found.notes)


@pytest.mark.parametrize("times", [60, pytest.param(400, marks=pytest.mark.statistical)])
def test_a_start_that_a_probe_saw_lies_anywhere_in_its_period(times: int) -> None:
    """Where one start would explain all pods, none within their periods is better: 90 % intervals hold the truth."""
    held = []
    for seed in range(times):
        rng = np.random.default_rng(seed)
        true_s = rng.uniform(5.0, 60.0)
        seen_s = true_s * np.exp(rng.choice([0.002, 0.05]) * rng.standard_normal(5)) + rng.uniform(size=5)
        found = fit(Sample(seen_s - 1.0, seen_s), rng)
        _, low, high = found.figures["p50"]
        held.append(low <= true_s <= high)

    assert 0.8 <= np.mean(held) <= 0.98


def test_starts_in_whole_seconds_are_known_to_a_second(tmp_path):
    """Six pods that all took 30 s by Kubernetes' clock took 29 to 31 s; one alone leaves the same open, and more."""
    several = starts(tmp_path, [pod(FIRST, name=f"sd-{place}", uid=f"u{place}") for place in range(6)])
    single = starts(tmp_path, [pod(FIRST)])

    for found, most in ((several, 2.0), (single, 4.0)):
        value, low, high = found.stages[-1].time.figures["p50"]
        assert value == pytest.approx(30, abs=0.3)
        assert 1.0 < high - low < most


def test_a_pod_whose_moments_are_not_in_order_is_left_out(tmp_path):
    """A clock that was set back makes a pod ready before it was created; how many there are is said."""
    pods = [pod(FIRST, name=f"sd-{place}", uid=f"u{place}") for place in range(3)]
    found = starts(tmp_path, [*pods, pod({**FIRST, "started": 60, "ready": 10}, name="sd-9", uid="u9")])

    assert len(found.stages[-1].time.times) == 3
    assert any("1 pod left out: its moments are not in order" in note for note in found.notes)


def test_the_first_request_of_a_pod_dates_its_start():
    """Containers open their port after 60 s; a probe sees that up to a second late, waiting requests see it sooner."""
    found = fit_starts([read(folder("s2-zero-b"))], 0.0, np.random.default_rng(0)).stages

    assert [stage.at_a_time for stage in found] == [0]
    _, low, high = found[0].time.figures["p50"]
    assert 59.9 < low < 60.1 < high < 60.3
