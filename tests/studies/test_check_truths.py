"""What `kpasim check` says of loads whose truth is known: by arithmetic, or by simulating them here."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpasim.errors import FileError
from kpasim.spec.experiment import Experiment
from kpasim.studies.check import Finding, check_file, findings
from kpasim.studies.check.trial import tried
from kpasim.studies.run import simulate
from tests.studies.painter import experiment, manifest, poisson


def named(target: Experiment, name: str) -> list[Finding]:
    """The findings of a rule."""
    return [one for one in findings(target) if one.name == name]


def what(target: Experiment, name: str) -> str:
    """What the only finding of a rule says."""
    (found,) = named(target, name)
    return found.what


HEY = {"kind": "hey", "requests": 60, "concurrency": 6, "timeout": "0s"}
ZERO = {"min-scale": ""}


# --- durations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("clients", "later"), [(4, "1m"), (5, "1m"), (6, "2m"), (7, "2m")])
def test_pods_that_come_two_at_a_time_come_in_batches(clients: int, later: str) -> None:
    """60 s each: of five the last comes two batches after the first, of three one."""
    stages = [{"name": "node", "kind": "provision", "time": 60, "at-a-time": 2}, {"name": "load", "time": 30}]
    load = {**HEY, "concurrency": clients}
    target = experiment(load, {"cold-start": {"stages": stages}}, manifest({"max-scale": "9"}))
    assert f"of {clients - 1} pods asked for at once the last comes about {later} after the first" in what(
        target, "one-at-a-time"
    )


@pytest.mark.parametrize(
    ("notes", "pause"),
    [
        ({"scale-down-delay": "10m"}, "11m2s"),
        ({"window": "120s"}, "2m2s"),
        ({"scale-to-zero-pod-retention-period": "5m"}, "6m"),
    ],
)
def test_the_pause_before_zero_counts_window_delay_and_retention(notes: dict[str, str], pause: str) -> None:
    """At least that long; each pod of several adds a delay of its own."""
    target = experiment({**HEY, "requests": 6}, service=manifest({**ZERO, **notes}))
    assert f"after a pause of at least {pause} the next user waits 1m" in what(target, "scale-to-zero")


def test_a_node_that_has_to_come_is_part_of_the_start() -> None:
    """Five minutes for the node, 30 s for the pod, 10 s of work."""
    nodes = {"type": "g4dn.xlarge", "count": 0, "max": 2, "provision": "300s"}
    load = {"kind": "constant", "rate": 1, "duration": "1s"}
    target = experiment(
        load, {"cold-start": "30s"}, manifest(ZERO), start={"state": "idled", "for": "20m"}, cluster={"nodes": nodes}
    )
    assert "5m40s at the median" in what(target, "timeout-below-start")
    assert "the next user waits 5m30s" in what(target, "scale-to-zero")
    assert named(target, "overload") == []
    ready = target.with_settings({"cluster.nodes.count": 2})
    assert named(ready, "timeout-below-start") == []


def test_a_node_beyond_the_deadline_fails_the_rollout() -> None:
    """The progress deadline runs while the node comes."""
    nodes = {"count": 0, "max": 2, "provision": "700s"}
    target = experiment(poisson(0.01, "10m"), service=manifest(ZERO), cluster={"nodes": nodes}, start="zero")
    assert "starts of 12m40s exceed the progress deadline of 10m" in what(target, "progress-deadline")


@pytest.mark.parametrize(
    ("delay", "period", "late"), [(40, 10, "42s"), (60, 1, "53s"), (0, 10, "10s"), (0, 1, ""), (5, 1, "")]
)
def test_a_probe_that_begins_late_makes_a_pod_ready_late(delay: int, period: int, late: str) -> None:
    """What is left of initialDelaySeconds after a start of 8 s, and a period."""
    probe = {"httpGet": {"path": "/ready"}, "periodSeconds": period, "initialDelaySeconds": delay}
    target = experiment(HEY, {"cold-start": "8s"}, manifest(container={"readinessProbe": probe}))
    assert [f"up to {late} after it is" in one.what for one in named(target, "slow-probe")] == [True] * bool(late)


# --- the kubelet ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start_s", "level"), [(19, ""), (21, "warning"), (29, "warning"), (31, "error")])
def test_a_startup_probe_kills_between_its_last_two_probes(start_s: int, level: str) -> None:
    """Three failures 10 s apart: the third falls between 20 and 30 s, by the kubelet's phase."""
    probe = {"periodSeconds": 10, "failureThreshold": 3, "tcpSocket": {"port": 8080}}
    target = experiment(
        {**HEY, "requests": 1, "concurrency": 1},
        {"service-time": 1, "cold-start": {"stages": [{"name": "load", "time": start_s}]}},
        manifest(ZERO, {"startupProbe": probe}),
        start="zero",
        horizon="5m",
    )
    assert [one.level for one in named(target, "killed-while-starting")] == [level] * bool(level)
    if start_s == 29:
        killed = np.mean(simulate(target, replications=20).figures["ok"] == 0)
        assert 0.2 < killed < 1.0


# --- capacity ---------------------------------------------------------------------------------------------------------


def test_sharing_a_gpu_and_a_slow_machine_count_in_what_a_pod_bears() -> None:
    """0.1 requests/s however many share the pod; 0.3/s of 30 s on a machine that is three times as slow."""
    sharing = {"service-time": {"time": 10, "slowdown": [1, 2, 3, 4]}}
    shared = experiment(poisson(0.3, "30m"), sharing, manifest({"max-scale": "2"}, containerConcurrency=4))
    assert "needs 3 pods of 0.1 requests/s each, and max-scale is 2" in what(shared, "overload")
    slow = experiment(poisson(0.3, "30m"), {"service-time": {"time": 10, "per-instance-type": {"g": 3.0}}})
    assert "needs 9 pods of 0.0333 requests/s each, and max-scale is 4" in what(slow, "overload")
    assert named(slow.with_settings({"service.annotations.max-scale": 9}), "overload") == []


@pytest.mark.parametrize(
    "workload",
    [
        {"kind": "constant", "rate": 1, "duration": "1s"},
        {"kind": "steps", "phases": [{"rate": 4, "duration": "60s"}, {"rate": 200, "duration": "100ms"}]},
        {"kind": "batches", "size": 5, "every": "10m", "duration": "1m"},
        {"kind": "constant", "rate": 2000, "duration": "2ms"},
    ],
)
def test_a_short_burst_is_no_overload(workload: dict[str, Any]) -> None:
    """In flight is the rate times the shorter of duration and service time."""
    target = experiment(workload, {"service-time": 1}, manifest({"max-scale": "8"}))
    assert named(target, "overload") == []


# --- clients and limits -----------------------------------------------------------------------------------------------


def test_clients_of_an_open_loop_give_up_where_they_meet_a_cold_start() -> None:
    """Twenty in flight on one warm pod; or pauses in which the service scales to zero. Both fail when simulated."""
    slow = {"cold-start": "120s"}
    busy = experiment(poisson(2, "10m", timeout="30s"), slow, manifest({"max-scale": "40"}))
    sparse = experiment(poisson(0.01, "60m", timeout="30s"), slow, manifest(ZERO))
    for target in (busy, sparse):
        assert "the client timeout is 30s, and a cold start plus service takes 2m10s" in what(target, "client-gives-up")
        figures = simulate(target).figures
        assert figures["errors"].sum() > 0.1 * figures["requests"].sum()
    patient = sparse.with_settings({"service.annotations.min-scale": 1})
    assert named(patient, "client-gives-up") == []


@pytest.mark.parametrize(
    ("cluster", "spec", "service_s", "warns", "ok"),
    [
        ({"revision-timeout-seconds": "600"}, {"timeoutSeconds": 0}, 400, False, True),
        ({"revision-timeout-seconds": "100"}, {"timeoutSeconds": 600}, 200, True, False),
        ({}, {"timeoutSeconds": 600}, 400, True, False),
        ({}, {"responseStartTimeoutSeconds": 600}, 200, False, True),
    ],
)
def test_the_first_byte_is_due_within_the_clusters_timeout(
    cluster: dict[str, str], spec: dict[str, int], service_s: int, warns: bool, ok: bool
) -> None:
    """revision-response-start-timeout-seconds defaults to revision-timeout-seconds, and counts where it is smaller."""
    load = {"kind": "constant", "rate": 1, "duration": "1s"}
    target = experiment(
        load, {"service-time": service_s, "cold-start": "10s"}, manifest(**spec), **{"config-defaults": cluster}
    )
    assert bool(named(target, "response-start")) == warns
    assert bool((simulate(target).figures["ok"] > 0).all()) == ok


def test_the_clusters_own_limit_is_named() -> None:
    """A timeout beyond 600 s needs a cluster that allows it."""
    slow = {"cold-start": "700s"}
    target = experiment(poisson(0.001, "60m"), slow, manifest(ZERO), start="idled")
    (found,) = named(target, "timeout-below-start")
    assert "the cluster allows 600 s" in found.fix
    larger = {"max-revision-timeout-seconds": "1800"}
    (found,) = named(
        experiment(poisson(0.001, "60m"), slow, manifest(ZERO), start="idled", **{"config-defaults": larger}),
        "timeout-below-start",
    )
    assert "Set timeoutSeconds to 720" in found.fix


@pytest.mark.parametrize(
    ("capacity", "levels"),
    [("0", ["warning"]), ("8", ["warning"]), ("9", ["note"]), ("17", []), ("33", []), ("211", []), ("-1", [])],
)
def test_a_small_burst_capacity_takes_the_activator_out(capacity: str, levels: list[str]) -> None:
    """With up to four pods of eight the activator leaves while one pod is idle, or two, and never from 33 on."""
    notes = {"target-burst-capacity": capacity, "max-scale": "4"}
    target = experiment(HEY, service=manifest(notes, containerConcurrency=8))
    assert [one.level for one in named(target, "direct-path")] == levels
    assert bool(named(target, "activator-stays")) == (capacity in {"33", "211"})


@pytest.mark.parametrize(("pods", "leaves"), [(1, False), (2, True)])
def test_the_activator_leaves_while_two_pods_are_idle(pods: int, leaves: bool) -> None:
    """target-burst-capacity 2 and pods of one request: floor(pods x 1 - 2 - load) is at least 0 with two idle pods."""
    notes = {"target-burst-capacity": "2", "min-scale": str(pods), "max-scale": "4"}
    load = {"kind": "constant", "rate": 0.01, "duration": "5m"}
    target = experiment(load, service=manifest(notes, containerConcurrency=1))
    (found,) = named(target, "direct-path")
    assert (found.level, "while 2 pods are idle" in found.what) == ("note", True)
    ticks = simulate(target, replications=1).tables(0).ticks
    assert bool((ticks["excess_burst_capacity"] >= 0).any()) == leaves


def test_utilisation_is_explained_for_large_targets_too() -> None:
    """50 clients at a target of 10 and 70 %: eight pods, where five would do."""
    notes = {"target": "10", "target-utilization-percentage": ""}
    load = {"kind": "hey", "duration": "30s", "requests": 50, "concurrency": 50}
    target = experiment(load, service=manifest(notes, containerConcurrency=0))
    assert "70% asks for 8 pods for 50 clients, where 5 would do" in what(target, "utilisation")


def test_a_max_scale_of_zero_is_no_limit() -> None:
    """Which is said, as people mean none at all by it."""
    assert "max-scale 0 means no limit" in what(
        experiment(HEY, service=manifest({"max-scale": "0", "min-scale": ""})), "no-max-scale"
    )


# --- fixes ------------------------------------------------------------------------------------------------------------

TROUBLES = {
    "overload": experiment(poisson(0.8, "20m")),
    "client-gives-up": experiment(poisson(0.01, "60m", timeout="30s"), service=manifest(ZERO)),
    "timeout-below-start": experiment(poisson(0.01, "60m"), {"cold-start": "350s"}, manifest(ZERO), start="idled"),
    "timeout-below-service": experiment(poisson(0.01, "30m"), service=manifest(timeoutSeconds=5)),
    "response-start": experiment(poisson(0.01, "30m"), service=manifest(responseStartTimeoutSeconds=5)),
    "max-scale-below-need": experiment({**HEY, "requests": 120}, service=manifest({"max-scale": "2"})),
    "utilisation": experiment(HEY, service=manifest({"target-utilization-percentage": "70", "max-scale": "12"})),
    "direct-path": experiment(
        {"kind": "batches", "size": 30, "every": "5m", "duration": "10m"},
        {"service-time": 2},
        manifest({"target-burst-capacity": "0", "max-scale": "8"}),
    ),
    "horizon-before-end": experiment(poisson(0.1, "30m"), horizon="10m"),
    "no-warm-pod": experiment(poisson(0.05, "10m"), {"cold-start": "200s"}, start="zero"),
    "slow-scale-out": experiment(
        {"kind": "constant", "rate": 1.5, "duration": "10m"}, {"service-time": 1, "cold-start": "5m"}, manifest()
    ),
    "rps-metric": experiment(
        {"kind": "batches", "size": 10, "every": "5m", "duration": "30m"},
        {"service-time": 2, "cold-start": "5s"},
        manifest({"metric": "rps", "target": "10"}),
    ),
    "unlimited-concurrency": experiment(
        {"kind": "constant", "rate": 2, "duration": "10m"},
        {"service-time": {"time": 2, "slowdown": [1, 2, 3, 4]}, "cold-start": "5s"},
        manifest({"max-scale": "8"}, containerConcurrency=0),
    ),
    "sharing-assumed": experiment(
        {"kind": "constant", "rate": 0.8, "duration": "10m"},
        {"service-time": 5, "cold-start": "5s"},
        manifest({"max-scale": "20"}, containerConcurrency=10),
    ),
    "short-grace": experiment(
        {"kind": "bursts", "low": 0.05, "high": 0.5, "low-for": "3m", "high-for": "1m", "duration": "30m"},
        {"service-time": {"distribution": "lognormal", "median": 5, "sigma": 0.3}, "cold-start": "5s"},
        manifest(timeoutSeconds=20),
    ),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_a_fix_that_is_advised_was_simulated_and_helps(name: str) -> None:
    """And the experiment with the fix no longer has the finding."""
    target = TROUBLES[name]
    (found,) = [one for one in tried(target, findings(target)) if one.name == name]
    assert found.changes
    assert found.tried.startswith("in 8 simulated runs")
    fixed = target.with_settings(found.changes)
    assert named(fixed, name) == []
    before, after = (simulate(one, replications=8).figures for one in (target, fixed))
    lost = [float((one["errors"] + one["in_flight"] + one["never_sent"]).mean()) for one in (before, after)]
    slow = [float(one["latency_s.mean"].mean()) for one in (before, after)]
    pods = [float(one["pod_seconds"].mean()) for one in (before, after)]
    assert lost[1] < lost[0] or slow[1] < slow[0] or pods[1] < pods[0]


@pytest.mark.parametrize(
    ("seconds", "words"), [(10, "half of the requests are worked on for longer"), (15, "some of the requests")]
)
def test_clients_that_give_up_while_their_request_is_worked_on_are_named(seconds: int, words: str) -> None:
    """Whether a pod is there or not: of lognormal times of 10 s (sigma 0.3) half or 9 % are longer."""
    time = {"distribution": "lognormal", "median": 10, "sigma": 0.3}
    target = experiment(poisson(0.02, "30m", timeout=f"{seconds}s"), {"service-time": time})
    assert words in what(target, "client-gives-up")
    figures = simulate(target, replications=8).figures
    share = figures["errors"].sum() / figures["requests"].sum()
    assert share > {10: 0.4, 15: 0.05}[seconds]


def test_a_burst_that_outlasts_the_timeout_is_an_overload() -> None:
    """Ten at once on one pod of 10 s: the tenth waits 90 s, and timeoutSeconds is 60."""
    load = {"kind": "batches", "size": 10, "every": "10m", "duration": "30m"}
    target = experiment(load, {"cold-start": "2s"}, manifest({"max-scale": "1"}, timeoutSeconds=60))
    (found,) = named(target, "overload")
    assert "one waits 1m30s, and requests end after 1m" in found.why
    assert found.changes == {"service.annotations.max-scale": 2}
    assert named(target.with_settings({"service.timeoutSeconds": 120}), "overload") == []
    lost = [
        simulate(one, replications=2).figures["errors"].sum() for one in (target, target.with_settings(found.changes))
    ]
    assert lost[1] < lost[0]


def test_what_a_load_does_not_meet_is_no_warning_once_it_is_simulated() -> None:
    """Requests that come one at a time to warm pods: neither the direct path nor a window hurts any of them."""
    target = experiment(
        {"kind": "constant", "rate": 0.05, "duration": "20m"}, service=manifest({"target-burst-capacity": "0"})
    )
    assert [one.level for one in named(target, "direct-path")] == ["warning"]
    (found,) = [one for one in tried(target, findings(target)) if one.name == "direct-path"]
    assert found.level == "note"
    assert found.fix == "None for this load: no request fails or waits for long."
    assert found.changes == {}


def test_a_fix_that_does_not_help_is_not_advised() -> None:
    """A single request: the utilisation asks for a second pod, and 100 % still serves it no sooner or cheaper."""
    load = {"kind": "constant", "rate": 1, "duration": "1s"}
    notes = {"target-utilization-percentage": "", "max-scale": "1"}
    target = experiment(load, {"service-time": 1}, manifest(notes))
    for one in tried(target, findings(target)):
        assert not one.changes or "->" in one.tried
        if one.name == "utilisation":
            assert "did not help" in one.tried
            assert "100" not in one.fix


def test_a_fix_that_hardly_helps_is_not_advised() -> None:
    """A fifth of the requests comes before their pods: keeping pods for longer changes that by chance only."""
    load = poisson(2, "10m", timeout="30s")
    target = experiment(
        load,
        {"cold-start": "120s"},
        manifest({"max-scale": "40", "min-scale": "", "target-utilization-percentage": ""}),
    )
    (found,) = [one for one in tried(target, findings(target)) if one.name == "window-below-start"]
    assert found.tried is not None
    assert "did not help: no success 2" in found.tried
    assert found.changes == {}


def test_a_startup_probe_is_corrected_by_trial() -> None:
    """The fix is no path of a setting, and is tried all the same."""
    probe = {"periodSeconds": 10, "failureThreshold": 3, "tcpSocket": {"port": 8080}}
    stages = [{"name": "load", "time": 45}]
    target = experiment(
        {**HEY, "requests": 1, "concurrency": 1},
        {"service-time": 1, "cold-start": {"stages": stages}},
        manifest(ZERO, {"startupProbe": probe}),
        start="zero",
        horizon="5m",
    )
    (found,) = [one for one in tried(target, findings(target)) if one.name == "killed-while-starting"]
    assert found.changes == {"startupProbe.failureThreshold": 7}
    assert "no success 100 % -> 0 %" in found.tried


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_file_that_a_load_replays_is_opened(tmp_path: Path) -> None:
    """A recording that cannot be read is an error now, not when the run begins."""
    (tmp_path / "load.csv").write_text("arrival\n0\n1\nsoon\n")
    text = "service: s.yaml\nworkload: {kind: replay, file: load.csv}\nmodel: {service-time: 1, cold-start: 10}\n"
    (tmp_path / "x.yaml").write_text(text)
    (tmp_path / "s.yaml").write_text(json.dumps(manifest()))
    with pytest.raises(FileError, match=r"load.csv:4: .*'soon'"):
        check_file(tmp_path / "x.yaml")
    (tmp_path / "load.csv").write_text("arrival\n" + "\n".join(str(n / 10) for n in range(600)))
    assert [one.name for one in check_file(tmp_path / "x.yaml") if one.level != "note"] == ["overload"]
    (tmp_path / "load.csv").unlink()
    assert [one.level for one in check_file(tmp_path / "x.yaml")] == ["error"]


# --- no false alarm ---------------------------------------------------------------------------------------------------

NODES = {"nodes": {"type": "g", "count": 2, "max": 6, "provision": "2m"}}
QUICK = {"service-time": 2, "cold-start": "20s"}
BATCHED = {"service-time": {"time": 1, "slots": 4, "slowdown": [1, 1.2, 1.4, 1.6]}, "cold-start": "20s"}
EIGHT = {"max-scale": "8", "min-scale": "2"}
HARMLESS = {
    "a steady load on its warm pod": experiment(poisson(0.05, "20m")),
    "a constant load of short requests": experiment({"kind": "constant", "rate": 0.3, "duration": "10m"}, QUICK),
    "one request": experiment({"kind": "constant", "rate": 1, "duration": "1s"}),
    "a burst of a tenth of a second": experiment(
        {"kind": "constant", "rate": 40, "duration": "100ms"}, QUICK, manifest(EIGHT)
    ),
    "a short load at a high rate": experiment({"kind": "constant", "rate": 100, "duration": "20ms"}, QUICK),
    "hey with as many workers as pods": experiment({**HEY, "concurrency": 4, "timeout": "4m"}),
    "hey on pods that are all warm": experiment(
        {**HEY, "requests": 100, "concurrency": 2, "timeout": "60s"}, service=manifest({"min-scale": "2"})
    ),
    "clients that wait longer than a start": experiment(poisson(0.05, "20m", timeout="200s")),
    "clients that wait shorter, and never meet a start": experiment(
        poisson(0.02, "20m", timeout="40s"), {"cold-start": "200s"}, manifest({"min-scale": "2"})
    ),
    "steps within what the warm pods bear": experiment(
        {"kind": "steps", "phases": [{"rate": 0.1, "duration": "5m"}, {"rate": 0.3, "duration": "5m"}]},
        QUICK,
        manifest(EIGHT),
    ),
    "a ramp to half of max-scale": experiment(
        {"kind": "ramp", "from": 0.05, "to": 1.5, "duration": "20m"}, QUICK, manifest(EIGHT)
    ),
    "a day and a night": experiment(
        {"kind": "diurnal", "mean": 0.3, "amplitude": 0.5, "period": "1h", "duration": "1h"}, QUICK, manifest(EIGHT)
    ),
    "bursts on enough pods": experiment(
        {"kind": "bursts", "low": 0.05, "high": 0.5, "low-for": "3m", "high-for": "1m", "duration": "30m"},
        QUICK,
        manifest(EIGHT),
    ),
    "batches that fit": experiment(
        {"kind": "batches", "size": 3, "every": "2m", "duration": "20m"}, QUICK, manifest(EIGHT)
    ),
    "a GPU that batches": experiment(
        poisson(0.8, "15m"), BATCHED, manifest({"min-scale": "1", "max-scale": "4"}, containerConcurrency=4)
    ),
    "scale to zero of a service that starts fast": experiment(
        poisson(0.01, "60m"), {"service-time": 1, "cold-start": "5s"}, manifest(ZERO)
    ),
    "a pool of nodes that are there": experiment(poisson(0.05, "20m"), service=manifest(EIGHT), cluster=NODES),
    "a streamed response": experiment(
        poisson(0.01, "20m"),
        {"service-time": {"time": 20, "first-byte": 1, "chunk-interval": "1s"}},
        manifest(idleTimeoutSeconds=60),
    ),
    "a long request within a long timeout": experiment(
        poisson(0.002, "60m"), {"service-time": 200}, manifest(timeoutSeconds=600, responseStartTimeoutSeconds=600)
    ),
    "a startup probe with patience": experiment(
        poisson(0.05, "20m"),
        {"cold-start": {"stages": [{"name": "load", "time": 40}]}},
        manifest(container={"livenessProbe": {"httpGet": {"path": "/"}, "initialDelaySeconds": 90}}),
    ),
    "requests per second that a pod bears": experiment(
        {"kind": "constant", "rate": 1.75, "duration": "5m"},
        {"service-time": 0.2, "cold-start": "5s"},
        manifest({"metric": "rps", "target": "1", "min-scale": "3", "target-utilization-percentage": ""}),
    ),
    "a startup probe of pods that are there": experiment(
        {"kind": "constant", "rate": 0.05, "duration": "20m"},
        {"cold-start": {"stages": [{"name": "load", "time": 40}]}},
        manifest(container={"startupProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 5, "failureThreshold": 60}}),
    ),
    "a new revision that starts fast": experiment(poisson(0.05, "20m"), {"cold-start": "2s"}, start="zero"),
    "an idle timeout above all": experiment(poisson(0.05, "20m"), service=manifest(idleTimeoutSeconds=200)),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_experiment_raises_no_alarm(name: str) -> None:
    """No error and no warning; and it is harmless: simulated, nothing fails and nobody waits for a start."""
    target = HARMLESS[name]
    assert [(one.level, one.name, one.what) for one in findings(target) if one.level != "note"] == []
    figures = simulate(target).figures
    assert figures["errors"].sum() == 0


def test_there_are_at_least_twenty_harmless_ones() -> None:
    """Of all kinds of loads."""
    assert len(HARMLESS) >= 20
    assert {one.workload.kind for one in HARMLESS.values()} >= {
        "poisson", "constant", "hey", "steps", "ramp", "diurnal", "bursts", "batches",
    }  # fmt: skip
