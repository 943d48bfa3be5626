"""KServe's InferenceServices on the command line: chosen by name, also on standard input, swept by KServe's names."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kpasim.cli.main import cli

TWO = """apiVersion: v1
kind: List
items:
- apiVersion: serving.knative.dev/v1
  kind: Service
  metadata: {name: painter}
  spec: {template: {spec: {containers: [{image: example.org/painter:1}]}}}
- apiVersion: serving.kserve.io/v1beta1
  kind: InferenceService
  metadata: {name: flowers, namespace: team}
  spec: {predictor: {minReplicas: 0, containers: [{image: example.org/flowers:1}]}}
"""
QUICK = ["--hey", "-n 5 -c 1", "--service-time", "1s", "--cold-start", "1s"]


def piped(*words: str, text: str = TWO) -> Result:
    """`kubectl get ... -o yaml | kpasim ...`."""
    return CliRunner().invoke(cli, list(words), input=text)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("check", "--no-trials", "-#painter"), "no GPU limit"),
        (("check", "--no-trials", "-#team/flowers"), "-:11"),
        (("run", "-#team/flowers", *QUICK, "-n", "2"), "Failed  none of 5 requests"),
        (("run", "--manifest", "-#flowers", *QUICK, "-n", "2"), "Failed  none of 5 requests"),
        (("manifest", "import", "-#flowers"), "kind: InferenceService"),
        (("manifest", "diff", "-#painter", "-#flowers"), "annotations.min-scale"),
    ],
)
def test_a_service_of_standard_input_is_chosen_by_name(words: tuple[str, ...], told: str):
    """`-#NAME` is a file and no option; what follows is about that Service only."""
    done = piped(*words)
    assert done.exit_code == 0, done.output
    assert told in done.output


def test_what_is_not_on_standard_input_is_one_line():
    """It says what is there; several without a name are asked for in words that can be typed."""
    missing, several = piped("check", "-#gone"), piped("run", "-", *QUICK)
    assert missing.exit_code == several.exit_code == 1
    assert missing.stderr == "Error: -:1: holds no Service gone (it holds painter, team/flowers)\n"
    assert several.stderr == "Error: -:8: holds 2 Services: painter, team/flowers (name one: -#painter)\n"


def test_a_sweep_has_kserve_s_names_as_axes(tmp_path: Path):
    """minReplicas, scaleTarget, maxReplicas and timeout are varied, each in its own column, and decide the run."""
    (tmp_path / "two.yaml").write_text(TWO)
    experiment = {
        "service": "two.yaml#team/flowers",
        "workload": {"kind": "hey", "requests": 12, "concurrency": 3},
        "model": {"service-time": "1s", "cold-start": "2s"},
        "start": {"state": "idled", "for": "200s"},
        "horizon": "100s",
    }
    axes = {
        "service.spec.predictor.minReplicas": [0, 2],
        "service.spec.predictor.maxReplicas": [2, 3],
        "service.spec.predictor.scaleTarget": {"from": 1, "to": 2, "step": 1},
        "service.spec.predictor.timeout": [60],
    }
    (tmp_path / "e.yaml").write_text(json.dumps(experiment))
    (tmp_path / "s.yaml").write_text(json.dumps({"experiment": "e.yaml", "axes": axes, "replications": 2}))
    done = CliRunner().invoke(cli, ["sweep", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader((tmp_path / "out" / "rows.csv").read_text().splitlines()))
    assert len(rows) == 8
    assert set(axes) <= set(rows[0])
    for row in rows:
        least = int(row["service.spec.predictor.minReplicas"])
        most = int(row["service.spec.predictor.maxReplicas"])
        # With least 0 the pod of the deployment has gone before the load; with least 2 two pods stand all the time.
        assert float(row["pod_seconds"]) >= least * 100
        assert least <= float(row["max_pods"]) <= most
    free = {row["service.spec.predictor.minReplicas"]: float(row["latency_s.p95"]) for row in rows}
    assert free["0"] > free["2"] + 1.5  # the cold start


def test_a_sweep_of_a_field_that_no_predictor_has_is_refused(tmp_path: Path):
    """With the nearest field."""
    (tmp_path / "two.yaml").write_text(TWO)
    experiment = {"service": "two.yaml#flowers", "workload": {"kind": "hey"}, "model": {"service-time": "1s"}}
    (tmp_path / "e.yaml").write_text(json.dumps(experiment))
    axes = {"service.spec.predictor.minReplica": [0, 1]}
    (tmp_path / "s.yaml").write_text(json.dumps({"experiment": "e.yaml", "axes": axes}))
    done = CliRunner().invoke(cli, ["sweep", str(tmp_path / "s.yaml")])
    assert done.exit_code == 1
    assert "did you mean minReplicas" in done.stderr


STANDARD = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: flowers, annotations: {serving.kserve.io/deploymentMode: Standard}}
spec: {predictor: {maxReplicas: 3, containers: [{image: example.org/flowers:1}]}}
"""


def test_standard_mode_is_simulated_with_its_autoscaler_and_says_so():
    """The HPA by CPU that KServe writes; the assumption of the metric is part of the line."""
    done = piped("run", "-", *QUICK, "-n", "2", text=STANDARD)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "Scaler hpa: target 80 % of the CPU request a pod, 1 to 3 pods, decides every 15s, down after 5m" in said
    assert "a container uses 100 % of its CPU request while it works" in said
