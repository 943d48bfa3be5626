"""What is written for a cluster is what was simulated, with the keys of Kubernetes, KEDA, KServe and Ray."""

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from kpasim.cli.main import cli
from kpasim.engines import lower as lowering
from kpasim.engines.lower import lower
from kpasim.engines.scaling import target_of, written
from kpasim.errors import ExperimentError
from kpasim.policy import hpa
from kpasim.spec.experiment import Experiment, from_mapping, load
from kpasim.spec.quantities import amount
from kpasim.spec.scaling import Aim
from tests.documented import ROOT

HEY, KSERVE = ROOT / "experiments" / "hey50x5.yaml", ROOT / "experiments" / "kserve-gpu.yaml"
BEHAVIOR = {
    "scale-up": {"stabilization-window": "30s", "policies": [{"type": "Pods", "value": 2, "period": "60s"}]},
    "scale-down": {"select-policy": "Min", "tolerance": 0.05},
}


def experiment(scaling: Any, path: Path = HEY) -> Experiment:
    """An experiment with another autoscaler."""
    return load(path).with_setting("autoscaler", scaling)


def document(scaling: Any, path: Path = HEY) -> dict[str, Any]:
    """What is written for it."""
    found: dict[str, Any] = YAML(typ="safe").load(written(experiment(scaling, path)))
    return found


def check(value: Any, name: str) -> None:
    """Fail unless each key is of the type that Kubernetes' own client has under that name."""
    models = pytest.importorskip("kubernetes.client.models", reason="the extra cluster is not installed")
    model = getattr(models, name)
    keys = {key: model.openapi_types[attribute] for attribute, key in model.attribute_map.items()}
    for key, one in value.items():
        assert key in keys, f"{name} has no {key}"
        inner = re.sub(r"^[Ll]ist\[(.*)\]$", r"\1", keys[key])
        for part in one if isinstance(one, list) else [one]:
            if inner[:2] in {"V1", "V2"}:
                check(part, inner)
            else:
                assert isinstance(part, {"int": int, "str": str}[inner]), f"{name}.{key}: {part!r} is no {inner}"


@pytest.mark.parametrize(
    "scaling",
    [
        "hpa",
        {"kind": "hpa", "metric-type": "External", "target-type": "Value", "min-replicas": 0, "behavior": {}},
        {"kind": "hpa", "metric-type": "Object", "target": 1.5, "behavior": BEHAVIOR},
        {"kind": "hpa", "metric": "utilization"},
        {"kind": "hpa", "metric": "cpu", "target": 60},
    ],
)
def test_an_hpa_has_the_fields_of_kubernetes(scaling: Any) -> None:
    """Every key is one of autoscaling/v2, of its type."""
    check(document(scaling), "V2HorizontalPodAutoscaler")


def test_an_hpa_says_what_was_simulated() -> None:
    """Bounds, target and behavior are those of the engine's parameters."""
    scaling = {"kind": "hpa", "target": 1.5, "min-replicas": 2, "max-replicas": 7, "behavior": BEHAVIOR}
    spec, params = document(scaling)["spec"], lower(experiment(scaling))

    assert (params.least, params.most) == (spec["minReplicas"], spec["maxReplicas"]) == (2, 7)
    assert params.target_milli == amount(spec["metrics"][0]["pods"]["target"]["averageValue"]) * 1000 == 1500
    up = spec["behavior"]["scaleUp"]
    assert params.up_window_ns == up["stabilizationWindowSeconds"] * 10**9 == 30 * 10**9
    assert hpa.SELECT_POLICIES[params.down_select] == spec["behavior"]["scaleDown"]["selectPolicy"] == "Min"
    assert params.tolerance_down == float(amount(spec["behavior"]["scaleDown"]["tolerance"])) == 0.05
    assert [[0, 2, 60 * 10**9]] == params.up_policies.tolist()
    assert [{"type": "Pods", "value": 2, "periodSeconds": 60}] == up["policies"]
    assert "behavior" not in document("hpa")["spec"], "without behavior Kubernetes limits changes in another way"


def test_a_derived_target_is_one_number_for_all_draws_of_a_model() -> None:
    """The model of the experiment is uncertain; KEDA's threshold is of its mean service time, in every replication."""
    given = experiment("keda")
    assert given.model.posterior

    lowering._checked = None
    assert lower(given).target_milli == pytest.approx(1000 / given.model.service_time.time.mean_s(), abs=0.5)


def test_a_scaled_object_says_what_was_simulated() -> None:
    """Counts, times, threshold and fallback; KEDA reads the threshold as a plain number."""
    fallback = {"failure-threshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"}
    scaling = {
        "kind": "keda", "polling-interval": "10s", "cooldown-period": "2m", "min-replica-count": 2,
        "idle-replica-count": 0, "fallback": fallback, "behavior": BEHAVIOR,
    }  # fmt: skip
    found, params = document(scaling), lower(experiment(scaling))
    spec = found["spec"]

    assert ("keda.sh/v1alpha1", "ScaledObject") == (found["apiVersion"], found["kind"])
    assert params.poll_ns == spec["pollingInterval"] * 10**9 == 10 * 10**9
    assert params.cooldown_ns == spec["cooldownPeriod"] * 10**9 == 120 * 10**9
    assert (2, 0, 10) == (spec["minReplicaCount"], spec["idleReplicaCount"], spec["maxReplicaCount"])
    assert {"failureThreshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"} == spec["fallback"]
    threshold = float(spec["triggers"][0]["metadata"]["threshold"])
    assert params.target_milli == pytest.approx(1000 * threshold, abs=0.5)
    check(spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"], "V2HorizontalPodAutoscalerBehavior")


def test_an_http_scaled_object_takes_whole_numbers_and_so_does_the_simulation() -> None:
    """A rate below 1 cannot be a target of the add-on; a derived one is the nearest whole number from 1."""
    older = {"kind": "keda-http", "object": "HTTPScaledObject"}
    whole = document({**older, "target": 3, "scaledown-period": "90s"})["spec"]
    assert {"concurrency": {"targetValue": 3}} == whole["scalingMetric"]
    assert (90, {"min": 0, "max": 10}) == (whole["scaledownPeriod"], whole["replicas"])

    derived = experiment({**older, "metric": "request-rate"})
    assert target_of(derived, Aim("request-rate", None)) == pytest.approx(0.08, abs=0.01)
    assert lower(derived).target_milli == 1000
    assert {"targetValue": 1, "window": "1m", "granularity": "1s"} == YAML(typ="safe").load(written(derived))["spec"][
        "scalingMetric"
    ]["requestRate"]

    with pytest.raises(ExperimentError, match=r"autoscaler.target"):
        experiment({"kind": "keda-http", "target": 2.5})


def test_an_interceptor_route_stands_beside_its_scaled_object() -> None:
    """The trigger names the route, which has the metric; counts and clocks are the ScaledObject's."""
    scaling = {"kind": "keda-http", "min-replicas": 2, "idle-replicas": 0, "scaledown-period": "90s"}
    route, scaled = YAML(typ="safe").load_all(written(experiment(scaling)))

    assert ("http.keda.sh/v1beta1", "InterceptorRoute") == (route["apiVersion"], route["kind"])
    assert {"concurrency": {"targetValue": 1}} == route["spec"]["scalingMetric"]
    (trigger,) = scaled["spec"]["triggers"]
    assert ("external-push", route["metadata"]["name"]) == (trigger["type"], trigger["metadata"]["interceptorRoute"])
    counts = {"minReplicaCount": 2, "idleReplicaCount": 0, "maxReplicaCount": 10}
    assert {**counts, "cooldownPeriod": 90, "pollingInterval": 15}.items() <= scaled["spec"].items()


def test_an_inference_service_goes_to_standard_mode() -> None:
    """KServe makes the ScaledObject; its Knative target is gone, all else stays."""
    before = YAML(typ="safe").load(load(KSERVE).service.to_yaml())
    after = document("keda", KSERVE)

    annotations = after["metadata"]["annotations"]
    assert "Standard" == annotations["serving.kserve.io/deploymentMode"]
    assert "keda" == annotations["serving.kserve.io/autoscalerClass"]
    assert before["spec"]["predictor"]["model"] == after["spec"]["predictor"]["model"]
    external = after["spec"]["predictor"]["autoScaling"]["metrics"][0]["external"]
    assert "prometheus" == external["metric"]["backend"]
    assert float(external["target"]["value"]) > 0


@pytest.mark.parametrize(
    "scaling",
    [
        {"kind": "keda", "target": 0.25, "metric-window": "1m", "max-replica-count": 4, "behavior": {}},
        {"kind": "keda", "metric": "concurrency", "target": 3.0, "max-replica-count": 9, "behavior": {}},
        {"kind": "hpa", "metric": "cpu", "target": 60.0, "min-replicas": 2, "max-replicas": 5, "behavior": {}},
    ],
)
def test_an_inference_service_that_is_written_chooses_the_same_autoscaler(scaling: Any, tmp_path: Path) -> None:
    """Read again without the key autoscaler, it has the settings that it was written with, and is written as it is."""
    first = experiment(scaling, KSERVE)
    (tmp_path / "isvc.yaml").write_text(written(first))
    raw = {**load(KSERVE).raw, "service": str(tmp_path / "isvc.yaml")}

    again = from_mapping(raw)

    assert first.scaling == again.scaling
    assert written(first) == written(again)


@pytest.mark.parametrize(
    ("scaling", "path", "says"),
    [
        ({"kind": "hpa", "sync-period": "5s"}, HEY, "sync-period 5s was simulated: set --horizontal-pod"),
        ({"kind": "keda-http", "queue-tick": "1s"}, HEY, "queue-tick 1s was simulated: set KEDA_HTTP_QUEUE"),
        (
            {"kind": "keda-http", "object": "HTTPScaledObject", "polling-interval": "5s"},
            HEY,
            "polling-interval 5s was simulated: an HTTPScaledObject cannot give it (object: InterceptorRoute can).",
        ),
        ({"kind": "keda", "cooldown-period": "1m", "behavior": {}}, KSERVE, "cooldown-period 1m was simulated: KS"),
        ({"kind": "hpa", "metric": "cpu"}, KSERVE, "an HPA without behavior was simulated: KServe writes behavior: {}"),
        ({"kind": "keda", "behavior": BEHAVIOR}, KSERVE, "another behavior was simulated: KServe hands on"),
    ],
)  # fmt: skip
def test_what_an_object_cannot_hold_stands_above_it(scaling: Any, path: Path, says: str) -> None:
    """One comment for each such setting, and none with the defaults."""
    assert written(experiment(scaling, path)).startswith(f"# {says}")
    plain = written(experiment({"kind": scaling["kind"], "behavior": {}}, path))
    assert "was simulated" not in plain


def test_ray_serve_gets_its_autoscaling_config() -> None:
    """The keys are those of Ray's AutoscalingConfig."""
    found = document({"kind": "ray-serve", "upscale-delay": "5s", "target-ongoing-requests": 3})
    config = found["autoscaling_config"]
    assert (5, 3, 1, 10) == tuple(
        config[key] for key in ("upscale_delay_s", "target_ongoing_requests", "min_replicas", "max_replicas")
    )


@pytest.mark.parametrize("kind", ["kpa", "spare", "lookahead"])
def test_knatives_autoscaler_is_the_service_as_it_is(kind: str) -> None:
    """Its YAML, to the byte."""
    assert load(HEY).service.to_yaml() == written(experiment(kind))


def test_tune_writes_the_autoscaler_that_it_tuned(tmp_path: Path) -> None:
    """The chosen target is in the HPA that is written, and the difference shows it."""
    file = tmp_path / "hpa.yaml"
    arguments = ["tune", str(HEY), "--set", "autoscaler=hpa", "--set", "workload.requests=10", "--budget", "150"]
    arguments += ["--vary", "autoscaler.target=1,2", "--slo", "p95<=300s", "--engine", "reference"]

    found = CliRunner().invoke(cli, [*arguments, "--write", str(file)])

    assert 0 == found.exit_code, found.output
    assert "2" == YAML(typ="safe").load(file.read_text())["spec"]["metrics"][0]["pods"]["target"]["averageValue"]
    assert "+        averageValue: '2'" in found.stdout
    assert "change it yourself" not in found.stderr


def test_autoscalers_are_an_axis_of_a_sweep(tmp_path: Path) -> None:
    """Each kind is a setting among others."""
    file = tmp_path / "sweep.yaml"
    file.write_text(
        f"experiment: {HEY}\naxes:\n  autoscaler: [kpa, hpa, {{kind: spare, pods: 2}}]\n"
        "  service.annotations.max-scale: [2, 5]\nreplications: 2\n"
    )

    found = CliRunner().invoke(cli, ["sweep", str(file), "--out", str(tmp_path / "out"), "--engine", "reference"])

    assert 0 == found.exit_code, found.output
    assert "hpa" in found.stdout
    assert "spare (pods 2)" in found.stdout
