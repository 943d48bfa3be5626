"""What people reported of Knative, each with the value that is right, in words and numbers of our own.

Of each report the number of its issue is given; the rule that decides is in knative/serving@98e5ef9.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpasim.errors import ExperimentError
from kpasim.spec.autoscaler import AutoscalerConfig, parse_config
from kpasim.spec.configmaps import Defaults, parse_defaults
from kpasim.spec.experiment import Experiment
from kpasim.spec.manifest import service_of
from kpasim.studies.check import Finding, check_file, findings
from kpasim.studies.run import Result, simulate
from tests.studies.painter import experiment, manifest, poisson

NO_BOUNDS = {"min-scale": "", "max-scale": "", "target-utilization-percentage": ""}
ZERO = {"min-scale": ""}
WARM = {"state": "warm", "for": "2m"}
ONE = {"kind": "constant", "rate": 1, "duration": "1s"}


def bare(data: dict[str, Any], defaults: Defaults | None = None) -> list[Finding]:
    """The findings about a manifest by itself."""
    return findings(service_of(data, AutoscalerConfig(), defaults))


def said(found: list[Finding], name: str) -> list[str]:
    """What a rule says, with its advice."""
    return [f"{one.place}: {one.what} {one.why} {one.fix}" for one in found if one.name == name]


def run(target: Experiment, replications: int = 5) -> Result:
    """A few replications."""
    return simulate(target, replications=replications)


def mean(result: Result, name: str) -> float:
    """A figure over the replications."""
    return float(np.mean(result.figures[name]))


# --- fields and annotations -------------------------------------------------------------------------------------------


def test_15269_fields_one_level_too_high_or_misspelt_are_named_with_what_was_meant() -> None:
    """The API server drops them without a word, and the service runs without a limit."""
    data = manifest(NO_BOUNDS)
    template = data["spec"]["template"]
    template["annotations"] = {"autoscaling.knative.dev/max-scale": "7"}
    spec = template["spec"]
    spec["containerConcurency"], spec["timeoutSecond"] = spec.pop("containerConcurrency"), spec.pop("timeoutSeconds")
    (one,) = spec["containers"]
    one["imagePullPolcy"], one["readinesProbe"] = "Always", one.pop("readinessProbe")
    one["resources"] = {"limits": {"nvidia.com/gpus": "1"}}
    found = bare(data)
    fixes = {one.place: one.fix for one in found if one.name in {"unknown-field", "unknown-resource"}}
    container = "spec.template.spec.containers[0]."
    assert fixes == {
        "spec.template.annotations": "Move it to spec.template.metadata.annotations.",
        "spec.template.spec.containerConcurency": "Write containerConcurrency.",
        "spec.template.spec.timeoutSecond": "Write timeoutSeconds.",
        container + "imagePullPolcy": "Write imagePullPolicy.",
        container + "readinesProbe": "Write readinessProbe.",
        container + "resources.limits.nvidia.com/gpus": "Write nvidia.com/gpu.",
    }


@pytest.mark.parametrize(
    ("metadata", "fix"),
    [
        ({"annotation": {"autoscaling.knative.dev/max-scale": "4"}}, "Write annotations."),
        ({"autoscaling.knative.dev/max-scale": "4"}, "Move it to spec.template.metadata.annotations."),
    ],
)
def test_15269_fields_of_a_template_s_metadata_that_nobody_reads_are_named(metadata: dict[str, Any], fix: str) -> None:
    """The schema keeps them, so that nothing else warns."""
    data = manifest()
    data["spec"]["template"]["metadata"] = metadata
    [text] = said(bare(data), "template-metadata")
    assert text.endswith(fix)


def test_12230_keys_of_the_cluster_written_as_annotations_are_called_that() -> None:
    """With the annotation that does the same for one revision, where there is one."""
    keys = {
        "max-scale-down-rate": "no annotation does the same",
        "scale-to-zero-grace-period": "no annotation does the same",
        "stable-window": "Use the annotation window.",
        "container-concurrency-target-percentage": "Use the annotation target-utilization-percentage.",
    }
    texts = said(
        bare(manifest({**dict.fromkeys(keys, "80"), "target-utilization-percentage": ""})), "ignored-annotation"
    )
    assert len(texts) == len(keys)
    for (key, advice), text in zip(keys.items(), texts, strict=True):
        assert key in text
        assert "for the whole cluster" in text
        assert advice in text


def test_2562_settings_among_labels_do_nothing() -> None:
    """On the Service and on the template."""
    data = manifest()
    data["metadata"]["labels"] = {"autoscaling.knative.dev/max-scale": "3"}
    data["spec"]["template"]["metadata"]["labels"] = {"autoscaling.knative.dev/minScale": "1", "team": "graphics"}
    texts = said(bare(data), "label-for-annotation")
    assert len(texts) == 2
    assert all("Move it to spec.template.metadata.annotations" in text for text in texts)


def test_14036_the_grace_period_of_the_pod_is_timeout_seconds() -> None:
    """TerminationGracePeriodSeconds is dropped; a container that ignores SIGTERM is paid for five minutes more."""
    (text,) = said(bare(manifest(terminationGracePeriodSeconds=10)), "unknown-field")
    assert "timeoutSeconds is the grace period" in text
    stubborn = {"shutdown": {"drains-on-sigterm": True, "stop-time": "1h"}, "cold-start": "20s"}
    result = run(experiment(ONE, stubborn, manifest(ZERO), start="idled"))
    asked = mean(result, "replicas_zero_after_last_s") + mean(result, "total_s")
    assert mean(result, "pod_seconds") == pytest.approx(asked + 300 - 1, abs=4)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "containers",
    [
        [{"name": "web", "image": "registry.example/web"}, {"name": "log", "image": "registry.example/log"}],
        [{"image": "registry.example/web", "ports": [{"containerPort": 8080}, {"containerPort": 8081}]}],
        [
            {"name": "web", "image": "registry.example/web", "ports": [{}]},
            {"name": "log", "image": "registry.example/log", "ports": [{}]},
        ],
    ],
)
def test_8394_exactly_one_of_several_containers_has_a_port(containers: list[dict[str, Any]], tmp_path: Path) -> None:
    """None, two of one, or one of each are refused."""
    path = tmp_path / "service.yaml"
    data = manifest()
    data["spec"]["template"]["spec"]["containers"] = containers
    path.write_text(json.dumps(data))
    assert [one.level for one in check_file(path)] == ["error"]


def test_15190_fields_for_a_gpu_pool_need_config_features() -> None:
    """Doubted where config-features is not known, refused where they are off, and taken where they are on."""
    data = manifest(
        nodeSelector={"accelerator": "nvidia-t4"},
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        runtimeClassName="nvidia",
        initContainers=[{"name": "weights", "image": "registry.example/weights"}],
        volumes=[{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
        container={"volumeMounts": [{"name": "models", "mountPath": "/models"}]},
    )
    needed = {text.rpartition("Set ")[2].partition(":")[0] for text in said(bare(data), "needs-feature")}
    names = ("nodeselector", "tolerations", "runtimeclassname", "init-containers", "persistent-volume-claim")
    assert needed == {f"kubernetes.podspec-{name}" for name in (*names, "persistent-volume-write")}
    shipped = parse_defaults(Defaults(), "config-features", {}, strict=True)
    with pytest.raises(ExperimentError, match=r"kubernetes\.podspec-nodeselector"):
        bare(data, shipped)
    enabled = parse_defaults(Defaults(), "config-features", dict.fromkeys(needed, "enabled"), strict=True)
    assert said(bare(data, enabled), "needs-feature") == []


def test_a_manifest_that_is_refused_is_doubted_and_read_for_misspelt_fields_all_the_same(tmp_path: Path) -> None:
    """The error names the file that decides; warnings about fields stand beside it."""
    data = manifest(
        nodeSelector={"accelerator": "nvidia-t4"}, timeoutSecond=5, volumes=[{"name": "models", "emptyDir": {}}]
    )
    path = tmp_path / "service.yaml"
    path.write_text(json.dumps(data))
    found = check_file(path)
    assert [one.name for one in found] == ["refused", "needs-feature", "unknown-field"]
    assert "k8s_validation.go decides" in found[0].why


def test_13725_two_hours_of_retention_are_for_the_whole_cluster_only() -> None:
    """The annotation ends at an hour; config-autoscaler has no such end, and keeps the pod for two."""
    with pytest.raises(ExperimentError, match=r"2h is out of range .* config-autoscaler takes longer ones"):
        bare(manifest({"scale-to-zero-pod-retention-period": "2h"}))
    target = experiment(
        ONE,
        {"service-time": 1, "cold-start": "5s"},
        manifest(ZERO),
        horizon="3h",
        **{"config-autoscaler": {"scale-to-zero-pod-retention-period": "2h"}},
    )
    result = run(target)
    assert mean(result, "desired_zero_after_last_s") == pytest.approx(61, abs=2)
    assert mean(result, "replicas_zero_after_last_s") == pytest.approx(7260, abs=3)


def test_6652_cpu_is_no_metric_of_this_autoscaler() -> None:
    """The class that was forgotten is named; with it the autoscaler is another one, which does not go to zero."""
    with pytest.raises(ExperimentError, match=r"cpu needs the annotation class: hpa.autoscaling.knative.dev"):
        bare(manifest({"metric": "cpu"}))
    (text,) = said(bare(manifest({"metric": "cpu", "class": "hpa.autoscaling.knative.dev"})), "other-autoscaler")
    assert "HPA" in text


def test_10825_a_limit_of_max_scale_needs_a_default_below_it() -> None:
    """And an annotation above the limit is refused."""
    with pytest.raises(ExperimentError, match="max-scale-limit"):
        parse_config({"max-scale-limit": "5"})
    config = parse_config({"max-scale-limit": "5", "max-scale": "5"})
    with pytest.raises(ExperimentError, match=r"must be in \[1, 5\]"):
        service_of(manifest({"max-scale": "6"}), config)


def test_15352_limits_above_the_timeout_are_accepted_and_have_no_effect() -> None:
    """Knative looks at timeoutSeconds alone."""
    texts = said(bare(manifest(responseStartTimeoutSeconds=600, idleTimeoutSeconds=400)), "limit-above-timeout")
    assert ["no effect" in text for text in texts] == [True, True]


@pytest.mark.parametrize("key", ["revision-response-start-timeout-seconds", "revision-idle-timeout-seconds"])
def test_15352_defaults_above_the_clusters_timeout_are_refused(key: str) -> None:
    """For a ConfigMap they are compared."""
    with pytest.raises(ExperimentError, match="is above revision-timeout-seconds = 100"):
        parse_defaults(Defaults(), "config-defaults", {"revision-timeout-seconds": "100", key: "200"}, strict=True)


def test_a_version_of_the_api_that_nobody_serves_is_an_error() -> None:
    """With what runLatest became."""
    with pytest.raises(ExperimentError, match=r"v1beta1' is not served .*write serving.knative.dev/v1"):
        bare({**manifest(), "apiVersion": "serving.knative.dev/v1beta1"})
    old = {**manifest(), "apiVersion": "serving.knative.dev/v1alpha1", "spec": {"runLatest": {"configuration": {}}}}
    with pytest.raises(ExperimentError, match=r"move spec.runLatest.configuration.revisionTemplate to spec.template"):
        bare(old)


# --- what the autoscaler does -----------------------------------------------------------------------------------------


def test_14017_activation_scale_does_not_hold_on_the_way_to_zero() -> None:
    """With an empty window the rate decides: two pods, one for a tick, none."""
    notes = {"activation-scale": "2", "initial-scale": "2", "target-utilization-percentage": "", **ZERO}
    load = {
        "kind": "steps",
        "arrivals": "constant",
        "phases": [{"rate": 0, "duration": "3m"}, {"rate": 1, "duration": "1s"}],
    }
    target = experiment(load, {"service-time": 0.5, "cold-start": "5s"}, manifest(notes), start="zero", horizon="10m")
    assert mean(run(target), "max_pods") == 2
    (text,) = said(findings(target), "activation-scale")
    assert "1 for a while before zero" in text


def test_14471_a_max_scale_of_zero_is_without_limit_and_an_initial_scale_of_zero_has_to_be_allowed() -> None:
    """Five requests at 70 % ask for eight pods."""
    notes = {**NO_BOUNDS, "max-scale": "0", "initial-scale": "0"}
    with pytest.raises(ExperimentError, match="allow-zero-initial-scale"):
        bare(manifest(notes))
    load = {"kind": "batches", "size": 5, "every": "10m", "duration": "1m", "timeout": "300s"}
    target = experiment(
        load,
        {"service-time": 2, "cold-start": "10s"},
        manifest(notes),
        start={"state": "zero", "for": "30s"},
        **{"config-autoscaler": {"allow-zero-initial-scale": "true"}},
    )
    assert mean(run(target), "max_pods") == 8
    assert "max-scale 0 means no limit" in said(findings(target), "no-max-scale")[0]


def test_2293_fifty_clients_at_a_target_of_ten_get_eight_pods() -> None:
    """ceil(50 / (10 x 0.7))."""
    load = {"kind": "hey", "concurrency": 50, "duration": "30s"}
    notes = {**NO_BOUNDS, "target": "10"}
    target = experiment(
        load, {"service-time": {"time": 0.15, "slots": 0}, "cold-start": "3s"}, manifest(notes, containerConcurrency=0)
    )
    assert set(run(target).figures["max_pods"]) == {8}
    assert "asks for 8 pods for 50 clients" in said(findings(target), "utilisation")[0]


def test_2102_a_pod_refuses_what_its_queue_does_not_hold_and_the_activator_does_not() -> None:
    """Eleven of fifty at once on the direct path; all of them through the activator."""
    load = {"kind": "batches", "size": 50, "every": "10m", "duration": "1m", "timeout": "300s"}
    model = {"service-time": 1, "cold-start": "60s"}
    direct, kept = (
        experiment(
            load,
            model,
            manifest({"max-scale": "5", "target-burst-capacity": value}),
            start={"state": "warm", "for": "2m"},
        )
        for value in ("0", "-1")
    )
    assert (mean(run(direct), "ok"), mean(run(direct), "failed.503")) == (11, 39)
    assert mean(run(kept), "ok") == 50
    assert said(findings(direct), "direct-path")
    assert not said(findings(kept), "direct-path")


def test_13609_the_first_request_does_not_wait_for_the_kubelet() -> None:
    """The activator probes by itself: served 9 s after it came, while Kubernetes counts the pod 40 s later."""
    probe = {"httpGet": {"path": "/ready"}, "initialDelaySeconds": 40, "periodSeconds": 10}
    service = manifest({**ZERO, "max-scale": "2"}, {"readinessProbe": probe})
    target = experiment(ONE, {"service-time": 1, "cold-start": "8s"}, service, start="idled")
    assert mean(run(target), "latency_s.p50") == pytest.approx(9.1, abs=0.2)
    assert "ready up to 42s after it is" in said(findings(target), "slow-probe")[0]


def test_14153_an_initial_scale_above_max_scale_counts_until_it_was_reached() -> None:
    """The lower bound is applied first."""
    notes = {**NO_BOUNDS, "max-scale": "5", "initial-scale": "10"}
    assert said(findings(experiment(ONE, service=manifest(notes))), "initial-above-max")


@pytest.mark.parametrize(("rate", "zeros"), [(0.05, 0), (0.014, 25)])
def test_12966_a_request_within_each_window_keeps_a_pod(rate: float, zeros: int) -> None:
    """Every 20 s: never to zero after the first; every 71 s: to zero and back each time."""
    load = {"kind": "constant", "rate": rate, "duration": "30m"}
    notes = {**NO_BOUNDS, "metric": "rps", "target": "200", "max-scale": "3"}
    service = manifest(notes, containerConcurrency=0, timeoutSeconds=60)
    result = run(
        experiment(load, {"service-time": 0.05, "cold-start": "5s"}, service, start={"state": "warm", "for": "5s"})
    )
    assert mean(result, "cold_starts") == zeros


def test_13208_the_wait_for_a_node_counts_against_the_timeout() -> None:
    """504 after 300 s, before the node is there."""
    nodes = {"type": "g4dn.xlarge", "count": 0, "max": 2, "provision": "300s"}
    target = experiment(
        ONE, {"cold-start": "30s"}, manifest(ZERO), start={"state": "idled", "for": "20m"}, cluster={"nodes": nodes}
    )
    assert mean(run(target), "failed.504") == 1
    assert "5m40s" in said(findings(target), "timeout-below-start")[0]


def test_12342_a_burst_capacity_of_one_lets_requests_pile_up_in_pods() -> None:
    """The activator is out of the path with one idle pod of eight; with -1 no pod gets more than it works on."""
    phases = [{"rate": 4, "duration": "60s"}, {"rate": 2000, "duration": "100ms"}, {"rate": 4, "duration": "60s"}]
    load = {"kind": "steps", "arrivals": "constant", "phases": phases}
    model = {"service-time": {"time": 1, "slots": 8}, "cold-start": "15s"}
    waits = {}
    for value in ("1", "-1"):
        notes = {
            "min-scale": "4",
            "max-scale": "20",
            "target-utilization-percentage": "",
            "target-burst-capacity": value,
        }
        target = experiment(load, model, manifest(notes, containerConcurrency=8), start={"state": "warm", "for": "3m"})
        assert bool(said(findings(target), "direct-path")) == (value == "1")
        assert not said(findings(target), "overload")
        table = run(target, 1).tables(0).requests
        burst = table["latency_s"][(table["start_s"] > 59.9) & (table["start_s"] < 60.3)]
        waits[value] = float(np.quantile(burst, 0.95))
    # Two hundred at once on 32 slots: fifty at each of four pods are worked off six times in a row.
    assert waits["1"] > 6
    assert waits["-1"] < waits["1"] + 1


def test_5209_the_clusters_target_of_rps_has_no_effect_without_the_metric() -> None:
    """One pod for ten requests a second, and a note."""
    target = experiment(
        poisson(10, "5m"),
        {"service-time": {"time": 0.2, "slots": 0}, "cold-start": "5s"},
        manifest({**NO_BOUNDS, "max-scale": "10"}, containerConcurrency=0),
        **{"config-autoscaler": {"requests-per-second-target-default": "2"}},
    )
    assert mean(run(target), "max_pods") == 1
    assert said(findings(target), "unused-rps-target")
    rps = target.with_settings({"service.annotations.metric": "rps"})
    assert not said(findings(rps), "unused-rps-target")
    assert mean(run(rps), "max_pods") > 1


def test_7792_a_target_is_no_limit() -> None:
    """Eight pods of one slot: requests pile up on busy pods where only a target of 1 is given."""
    model = {"service-time": {"time": {"distribution": "lognormal", "median": 3, "sigma": 0.2}, "slots": 1}}
    notes = {"target": "1", "min-scale": "8", "max-scale": "8", "target-utilization-percentage": ""}
    p95 = {
        limit: mean(
            run(experiment(poisson(1.6, "20m"), model, manifest(notes, containerConcurrency=limit))), "latency_s.p95"
        )
        for limit in (0, 1)
    }
    assert p95[0] == pytest.approx(6.5, abs=0.5)
    assert p95[1] == pytest.approx(4.4, abs=0.4)


def test_2562_the_service_that_kserve_makes_keeps_its_last_pod_for_the_retention() -> None:
    """As kubectl prints it, with the fields that a cluster adds."""
    data = manifest({"max-scale": "4", "min-scale": "0", "target": "1", "scale-to-zero-pod-retention-period": "20m"})
    data["metadata"] |= {
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": 1,
        "resourceVersion": "1",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Owner", "name": "painter", "uid": "0", "controller": True}],
    }
    data["spec"]["template"]["metadata"]["creationTimestamp"] = None
    data["spec"]["traffic"] = [{"latestRevision": True, "percent": 100}]
    data["status"] = {"url": "http://painter.example.com", "latestReadyRevisionName": "painter-00001"}
    target = experiment(ONE, {"service-time": 1, "cold-start": "10s"}, data, horizon="1h")
    assert [one for one in findings(target) if one.name == "unknown-field"] == []
    assert mean(run(target), "replicas_zero_after_last_s") == pytest.approx(1260, abs=3)


def test_12888_a_utilisation_of_33_percent_asks_for_the_next_pod_at_its_share_of_the_target() -> None:
    """6 x 0.33 = 1.98 requests for each pod: the eleventh comes at an average above 19.8, never before."""
    load = {"kind": "ramp", "from": 15, "to": 30, "duration": "6m", "arrivals": "constant"}
    notes = {"min-scale": "10", "max-scale": "40", "target-utilization-percentage": "33", "window": "120s"}
    model = {"service-time": {"time": 1, "slots": 0}, "cold-start": "60s"}
    service = manifest(notes, containerConcurrency=6)
    ticks = run(experiment(load, model, service, start={"state": "warm", "for": "3m"}), 1).tables(0).ticks
    asked, stable = ticks["desired"], ticks["stable"]
    loaded = ~np.isnan(stable) & (stable > 19)
    assert (asked[loaded] >= np.ceil(stable[loaded] / 1.98)).all()
    assert (asked[(stable < 19.8) & (ticks["panic"] < 19.8)] <= 10).all()
    assert asked.max() > 11


def test_15000_ten_requests_at_once_each_second_weigh_little_in_an_average(tmp_path: Path) -> None:
    """Concurrency is an average over time: two or three pods, where eleven would be needed for short waits."""
    path = tmp_path / "load.csv"
    times = sorted([*(n / 100 for n in range(12_000)), *(float(n) for n in range(120) for _ in range(10))])
    path.write_text("arrival\n" + "".join(f"{time:.3f}\n" for time in times))
    load = {"kind": "replay", "file": str(path), "arrival": "arrival"}
    model = {"service-time": 0.01, "cold-start": "5s"}
    notes = {**NO_BOUNDS, "max-scale": "20"}
    few = run(experiment(load, model, manifest(notes), start=WARM), 2)
    many = run(experiment(load, model, manifest({**notes, "min-scale": "11"}), start=WARM), 2)
    scaling = few.tables(0).scaling
    late = (scaling["t_s"] > 90) & (scaling["t_s"] < 118)
    assert set(scaling["ready"][late]) <= {1, 2, 3}
    assert mean(few, "latency_s.p95") > 2 * mean(many, "latency_s.p95")
    assert mean(many, "latency_s.p95") == pytest.approx(0.014, abs=0.003)


def test_15861_a_pod_that_works_stays_ready() -> None:
    """Readiness that depends on the load is not simulated: four long requests at 50 % get five pods all the same."""
    notes = {"max-scale": "5", "target": "1", "target-utilization-percentage": "50", "window": "6s"}
    load = {"kind": "constant", "rate": 0.1, "duration": "40s"}
    result = run(experiment(load, {"service-time": 180, "cold-start": "15s"}, manifest(notes)))
    assert set(result.figures["max_pods"]) == {5}
    assert mean(result, "ok") == 4


def test_14950_a_client_that_leaves_frees_the_slot_and_not_the_container() -> None:
    """The second request comes into the container when the first client gives up, and waits for its work to end."""
    load = {"kind": "constant", "rate": 0.5, "duration": "20s", "timeout": "5s"}
    model = {"service-time": {"time": 10, "slots": 1}, "cold-start": "5s"}
    service = manifest({"max-scale": "1"})
    table = run(experiment(load, model, service, start={"state": "warm", "for": "1m"}), 1).tables(0).requests
    first_s, second_s = table["server_end_s"][0], table["server_arrival_s"][1]
    assert first_s == pytest.approx(12.0, abs=0.05)
    assert second_s == pytest.approx(7.0, abs=0.05)
    assert table["server_start_s"][1] == pytest.approx(first_s, abs=0.01)


@pytest.mark.parametrize(("stops", "waited_s"), [(False, 270.0), (True, 0.0)])
def test_14950_requests_of_clients_that_have_gone_are_worked_on_before_the_next(stops: bool, waited_s: float) -> None:
    """Sixty at once for one slot of 5 s, given up after 20 s: the next waits for 54 of them, or for none."""
    burst = {"rate": 600, "duration": "100ms"}
    phases = [{"rate": 0, "duration": "10s"}, burst, {"rate": 0.0334, "duration": "5m"}]
    load = {"kind": "steps", "arrivals": "constant", "timeout": "20s", "phases": phases}
    model = {"service-time": {"time": 5, "slots": 1}, "cold-start": "5s", "cancel-stops-work": stops}
    service = manifest({"max-scale": "1"}, containerConcurrency=0)
    table = run(experiment(load, model, service, start={"state": "warm", "for": "1m"}), 1).tables(0).requests
    assert table["server_start_s"][60] - table["server_arrival_s"][60] == pytest.approx(waited_s, abs=1.0)
