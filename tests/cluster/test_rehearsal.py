"""What is known before a run creates anything, so that nobody pays for a run that cannot end well."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kpasim.cli.main import cli
from kpasim.cluster import objects
from kpasim.cluster.fake.cluster import CONTEXT, Options
from kpasim.cluster.fake.kubelet import Image
from kpasim.cluster.fake.store import Events

from .fakes import STUB, Running, quota, restricted, running, service


@pytest.fixture(scope="module")
def cluster():
    """A fake cluster that each test spoils in its own way."""
    with running(Options(images={"stub": Image(STUB)}, speed=10.0)) as found:
        yield found


def validated(
    cluster: Running, folder: Path, *options: str, kubeconfig: Path | None = None, **container: Any
) -> Result:
    """`kpasim validate` of a short load on a pod that is ready, without a calibration."""
    container = {"args": ["--service-s", "0.05", "--fail-every", "4"], **container}
    manifest = service(
        name="quick", timeoutSeconds=1, annotations={"min-scale": 1, "max-scale": 1}, container=container
    )
    experiment = {
        "service": manifest,
        "workload": {"kind": "hey", "concurrency": 2, "requests": 20, "timeout": "10s"},
        "model": {"service-time": "50ms", "cold-start": "1s"},
        "start": {"state": "warm", "for": "200ms"},
        "horizon": "1500ms",
        "replications": 5,
    }
    (folder / "e.yaml").write_text(json.dumps(experiment))
    (folder / "m.yaml").write_text(json.dumps(experiment["model"]))
    where = ["--kubeconfig", str(kubeconfig or cluster.fake.kubeconfig), "--target", CONTEXT]
    words = ["validate", str(folder / "e.yaml"), "--model", str(folder / "m.yaml"), "--out", str(folder / "run")]
    return CliRunner().invoke(cli, [*words, *where, *options])


def pods_created(cluster: Running) -> list[str]:
    """What the fake cluster was told of pods of the Service."""
    events = cluster.do(lambda: cluster.fake.store.all(objects.EVENTS, "default"))
    return [one["reason"] for one in events if one["involvedObject"]["name"].startswith("quick")]


@pytest.mark.parametrize(
    ("admission", "words"),
    [
        (lambda cluster: quota(cluster, 0), "exceeded quota: pods, requested: pods=1, used: pods=0, limited: pods=0"),
        (lambda _: restricted, 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'),
        (lambda _: lambda _: "maximum cpu usage per Container is 1, but limit is 4", "maximum cpu usage per Container"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_what_admission_refuses_is_known_before_anything_is_there(
    cluster: Running, tmp_path: Path, admission: Any, words: str, options: tuple[str, ...]
):
    """Quota, Pod Security and limits of a pod: one line in seconds, no Service, no pod, no wait for a deadline."""
    before = len(pods_created(cluster))
    cluster.admit_pods(admission(cluster))
    done = validated(cluster, tmp_path, *options)
    cluster.admit_pods()

    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.exit_code == 1, done.output
    assert len(errors) == 1
    assert 'refused (400): admission webhook "validation.webhook.serving.knative.dev" denied the request' in errors[0]
    assert 'dry run failed with pods "dry-run-validation' in errors[0]
    assert words in errors[0]
    assert len(pods_created(cluster)) == before
    assert cluster.count(objects.SERVICES) == 0


def test_a_pod_that_pod_security_allows_is_run(cluster: Running, tmp_path: Path):
    """The same Service with the two fields that were missing."""
    cluster.admit_pods(restricted)
    safe = {"securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": True}}
    done = validated(cluster, tmp_path, "--dry-run", **safe)
    cluster.admit_pods()

    assert done.exit_code == 0, done.output
    assert "the cluster would take the Service" in done.stderr


@pytest.mark.parametrize(
    ("left_s", "status", "told"),
    [
        (-5.0, 1, "the account's token has expired: make another, kubectl create token kpasim --duration 1h"),
        (60.0, 0, "the account's token expires in 1 min, the run may take"),
        (36_000.0, 0, ""),
    ],
)
def test_a_token_that_expires_in_the_middle_of_a_run_is_told_before_it(
    cluster: Running, tmp_path: Path, left_s: float, status: int, told: str
):
    """A run without a valid token could not remove what it created; the line has the command for another one."""
    claims = {"exp": time.time() + left_s, "sub": "system:serviceaccount:default:kpasim"}
    token = f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"
    config = json.loads(cluster.fake.kubeconfig.read_text())
    config["users"][0]["user"]["token"] = token
    (tmp_path / "config").write_text(json.dumps(config))
    own = cluster.do(lambda: cluster.fake.server.token)
    cluster.do(lambda: setattr(cluster.fake.server, "token", token))
    done = validated(cluster, tmp_path, "--dry-run", kubeconfig=tmp_path / "config")
    cluster.do(lambda: setattr(cluster.fake.server, "token", own))

    assert done.exit_code == status, done.output
    lines = [line for line in done.stderr.splitlines() if "token" in line]
    assert len(lines) == (1 if told else 0)
    assert told in "".join(lines)
    assert not told or lines[0].startswith("Error: " if status else "warning: ")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (
            {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{"name": "autoscaler", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
            },
            "the autoscaler in namespace knative-serving does not run: autoscaler-0: CrashLoopBackOff",
        ),
        ({"phase": "Pending", "conditions": []}, "does not run: autoscaler-0 is Pending and not ready"),
        (None, "no autoscaler runs in namespace knative-serving: is Knative Serving installed?"),
    ],
)
def test_an_autoscaler_that_does_not_run_is_noticed(
    cluster: Running, tmp_path: Path, status: dict[str, Any] | None, told: str
):
    """Pods would stay at their initial scale; the line says in which state the autoscaler is."""
    store, where = cluster.fake.store, (objects.PODS, objects.SYSTEM_NAMESPACE, "autoscaler-0")
    before = cluster.do(lambda: store.get(*where))
    if status is None:
        cluster.do(lambda: store.remove(*where))
    else:
        cluster.do(lambda: store.update(*where, lambda document: document.update(status=status)))
    done = validated(cluster, tmp_path)
    cluster.do(lambda: store.remove(*where))
    cluster.do(lambda: store.create(objects.PODS, before))

    assert done.exit_code == 1, done.output
    assert told in done.stderr
    assert cluster.count(objects.SERVICES) == 0


def test_events_and_failed_requests_are_those_of_the_run(cluster: Running, tmp_path: Path):
    """Events of an earlier run and of another Service are not recorded; failed requests are counted by status."""

    def earlier() -> None:
        events = Events(cluster.fake.store)
        for name in ("quick-00001-deployment-abc-x", "other-00001-deployment-abc-x"):
            events.add("Pod", "default", name, "BackOff", f"an old trouble of {name}")
        for one in cluster.fake.store.all(objects.EVENTS, "default"):
            if one["involvedObject"]["name"].startswith("quick"):
                name = one["metadata"]["name"]

                def aged(document: dict[str, Any]) -> None:
                    stamps = dict.fromkeys(("firstTimestamp", "lastTimestamp"), "2026-01-01T00:00:00Z")
                    document.update(stamps, eventTime=None)
                    document["metadata"]["creationTimestamp"] = stamps["firstTimestamp"]

                cluster.fake.store.update(objects.EVENTS, "default", name, aged)
        events.add("Pod", "default", "quick-other-00001-deployment-abc-x", "BackOff", "an old trouble of quick-other")

    cluster.do(earlier)
    done = validated(cluster, tmp_path, "--json")
    rows = (tmp_path / "run" / "events.csv").read_text().splitlines()[1:]

    assert done.exit_code in (0, 3), done.output
    assert "Started" in "".join(rows)
    assert all(row.split(",")[2].startswith("quick-0000") for row in rows), rows
    assert all(-60 < float(row.split(",")[0]) < 60 for row in rows), rows
    assert "BackOff" not in "".join(rows)
    report = json.loads(done.stdout)
    assert report["failed"] == {"500": 5}
    assert "failed requests: 5 x 500" in report["verdict"]
    assert [(row["metric"], row["measured"]) for row in report["failures"]] == [("all", 5), ("other", 5)]
