"""`kpasim validate` and `kpasim cluster clean` as a user calls them."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from kpasim.cli.main import cli
from kpasim.cluster import local, objects
from kpasim.cluster.fake.cluster import CONTEXT
from kpasim.cluster.fake.kubelet import Image
from kpasim.cluster.validate import Settings
from kpasim.cluster.verdict import Report

from .fakes import STUB, running, service
from .proxy import proxied

MODEL = """
service-time: 100ms
cold-start: 1s
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an experiment, a model and, for the local cluster, a server that sleeps 100 ms."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setitem(local.IMAGES, "stub", Image(STUB))  # type: ignore[misc]
    manifest = service(name="cli", args=["--service-s", "0.1"], timeoutSeconds=1, annotations={"min-scale": 1})
    experiment = {
        "service": manifest,
        "workload": {"kind": "constant", "rate": 4, "duration": "2s", "timeout": "5s"},
        "model": {"service-time": "9s", "cold-start": "1s"},
        "start": {"state": "warm", "for": "200ms"},
        "horizon": "2500ms",
        "replications": 5,
        "tolerances": {"p50": "15%"},
    }
    with (tmp_path / "quick.yaml").open("w") as file:
        YAML().dump(experiment, file)
    (tmp_path / "fitted.yaml").write_text(MODEL)
    return tmp_path


def test_a_prediction_that_holds_is_status_0(folder: Path):
    """With a model nothing is calibrated; the comparison goes to stdout, the notes to stderr."""
    done = CliRunner().invoke(cli, ["validate", "quick.yaml", "--model", "fitted.yaml", "--out", "run", "--json"])

    report = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert report["within"]
    assert [row["metric"] for row in report["metrics"] if row["within"] is not None] == ["p50"]
    assert "calibrated" not in done.stderr
    assert "prediction frozen" in done.stderr
    assert (folder / "run" / "requests.csv").exists()
    assert json.loads((folder / "run" / "comparison.json").read_text())["metrics"] == report["metrics"]


def test_every_body_of_a_file_is_sent(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A file of bodies is dealt out in turn, as by `kpasim load`."""
    (folder / "b.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    asked: list[Settings] = []

    def noted(_found: Any, settings: Settings, *_: Any, **__: Any) -> Report:
        asked.append(settings)
        return Report(None, [], 0.0)

    monkeypatch.setattr("kpasim.cluster.validate.validate", noted)
    done = CliRunner().invoke(cli, ["validate", "quick.yaml", "--model", "fitted.yaml", "--body", "@b.jsonl"])

    assert done.exit_code == 0, done.output
    assert asked[0].request.bodies == [b'{"a": 1}', b'{"a": 2}']


def test_a_prediction_that_fails_is_status_3(folder: Path):
    """Without calibration the experiment's own model, nine seconds, is far outside."""
    (folder / "fitted.yaml").write_text(MODEL.replace("100ms", "200ms"))

    done = CliRunner().invoke(cli, ["validate", "quick.yaml", "--model", "fitted.yaml"])

    assert done.exit_code == 3, done.output
    assert "outside the tolerances: p50" in done.stdout
    assert len(list((folder / "runs").glob("quick-*/run.json"))) == 1


def test_the_cluster_s_configuration_is_that_of_the_local_cluster_and_of_the_prediction(folder: Path):
    """`--cluster-config` with an operator's KnativeServing: the revision may begin without a pod, and does."""
    config = {"autoscaler": {"allow-zero-initial-scale": "true", "initial-scale": "0", "stable-window": "30s"}}
    serving = {"apiVersion": "operator.knative.dev/v1beta1", "kind": "KnativeServing", "spec": {"config": config}}
    (folder / "cluster.yaml").write_text(json.dumps(serving))
    options = ["--model", "fitted.yaml", "--out", "run", "--set", "service.annotations.min-scale=0"]
    words = ["validate", "quick.yaml", *options, "--set", "start=zero", "--cluster-config", "cluster.yaml"]
    done = CliRunner().invoke(cli, words)

    assert done.exit_code in (0, 3), done.output
    for place in ("run", "run/prediction"):
        about = json.loads((folder / place / "run.json").read_text())
        assert about["experiment"]["config-autoscaler"] == config["autoscaler"]
    pods = (folder / "run" / "pods.csv").read_text().splitlines()
    created_s = float(pods[1].split(",")[pods[0].split(",").index("created_s")])
    assert created_s > -0.1  # not before the load


def test_a_cluster_s_configuration_that_knative_refuses_is_one_line(folder: Path):
    """With file, line and key, before anything is started."""
    (folder / "cm.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-autoscaler}\ndata:\n  stable-window: 1s\n"
    )
    done = CliRunner().invoke(cli, ["validate", "quick.yaml", "--cluster-config", "cm.yaml"])

    assert done.exit_code == 1
    assert done.stderr.startswith("Error: cm.yaml:5: data.stable-window: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "runs").exists()


def test_a_run_on_a_busy_machine_is_not_judged(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The verdict is the reason, the exit status neither yes nor no."""
    monkeypatch.setattr("kpasim.cluster.quiet.trouble", lambda *_: "other programs used 1.9 of 2 cores")

    done = CliRunner().invoke(cli, ["validate", "quick.yaml", "--model", "fitted.yaml", "--out", "run"])

    assert done.exit_code == 4, done.output
    assert "not judged: other programs used 1.9 of 2 cores during the load" in done.stdout
    assert json.loads((folder / "run" / "comparison.json").read_text())["not_judged"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["validate", "missing.yaml"], 1, "Error: missing.yaml: no such file"),
        (["validate", "quick.yaml", "--model", "nothing"], 2, "neither a file nor the name of a model"),
        (["validate", "quick.yaml", "--target", "gke"], 1, "Error: kubeconfig: "),
        (
            ["validate", "quick.yaml", "--kubeconfig", "gone", "--target", "x"],
            1,
            "Error: kubeconfig: gone: no such file",
        ),
        (["validate", "quick.yaml", "--namespace", "No"], 1, "is not a name"),
        (["validate", "quick.yaml", "--image", "other"], 1, "the local cluster cannot run it"),
        (["validate", "quick.yaml", "--image", "$(rm -rf /)"], 1, "the local cluster cannot run it"),
        (["validate", "quick.yaml", "--max-cost", "1"], 1, "--max-cost: no prices are known"),
        (["cluster", "clean", "--kubeconfig", "gone"], 1, "Error: kubeconfig: gone: no such file"),
    ],
)
def test_what_a_user_can_mend_is_one_line(folder: Path, arguments: list[str], status: int, message: str):
    """No traceback, one line, and the usual exit statuses."""
    done = CliRunner().invoke(cli, arguments)

    assert done.exit_code == status, done.output
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_without_a_kubeconfig_there_is_nothing_to_clean(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """That is no error; local clusters end with the run that started them."""
    monkeypatch.setenv("HOME", str(folder))

    done = CliRunner().invoke(cli, ["cluster", "clean", "--json"])

    assert done.exit_code == 0
    assert json.loads(done.stdout) == []
    assert "no kubeconfig" in done.stderr


@pytest.mark.parametrize(
    ("number", "mark", "after_s", "count", "spoilt"),
    [
        (signal.SIGINT, "calibrating", 2.5, 1, 0.0),
        (signal.SIGTERM, "prediction frozen", 1.5, 1, 0.1),
        pytest.param(signal.SIGINT, "", 0.0, 40, 0.0, marks=pytest.mark.statistical),
        pytest.param(signal.SIGINT, "", 0.0, 40, 0.05, marks=pytest.mark.statistical),
    ],
)
def test_an_interrupted_command_leaves_nothing(
    number: signal.Signals, mark: str, after_s: float, count: int, spoilt: float, tmp_path: Path
):
    """Exit status 130 or 143, no traceback, no coroutine that nobody awaited, no Service and no pod.

    Through a proxy that spoils a share of the requests a run may end by itself, in one line.
    """
    rng = random.Random(3)
    document = service(name="quick", args=["--service-s", "0.05"], timeoutSeconds=1, annotations={"min-scale": 1})
    experiment = {
        "service": document,
        "workload": {"kind": "hey", "concurrency": 2, "duration": "5s", "timeout": "10s"},
        "model": {"service-time": "50ms", "cold-start": "1s"},
        "start": {"state": "warm", "for": "200ms"},
        "horizon": "6s",
    }
    (tmp_path / "e.yaml").write_text(json.dumps(experiment))
    seen: Counter[int] = Counter()
    with running() as cluster, proxied(cluster.fake.kubeconfig, tmp_path, seed=5, share=spoilt) as (config, proxy):
        options = ["--kubeconfig", str(config), "--target", CONTEXT, "--calibrate-for", "4", "--url"]
        for index in range(count):
            command = [sys.executable, "-m", "kpasim", "validate", str(tmp_path / "e.yaml"), *options]
            with subprocess.Popen(
                [*command, cluster.fake.gateway_url, "--out", str(tmp_path / str(index))],
                stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            ) as child:  # fmt: skip
                assert child.stderr is not None
                told = []
                while (mark and not told[-1:]) or (mark and mark not in told[-1]):
                    told.append(child.stderr.readline())
                    assert told[-1], told
                time.sleep(after_s if mark else rng.uniform(1, 25))
                child.send_signal(number)
                told += child.stderr.read().splitlines()
                status = child.wait(timeout=120)
            text = "\n".join(told)
            seen[status] += 1
            allowed = {128 + number} if mark else {0, 3, 128 + number} | ({1} if spoilt else set())
            assert status in allowed, text
            assert status != 1 or sum(line.startswith("Error: ") for line in told) == 1, text
            assert "Traceback" not in text
            assert "never awaited" not in text
            assert cluster.count(objects.SERVICES) == 0, text
            assert cluster.count(objects.PODS) == 0, text
    print(dict(seen), dict(proxy.seen))
    assert seen[128 + number] >= count / 2
    assert not mark or not spoilt or sum(proxy.seen.values()) > proxy.seen[""]
