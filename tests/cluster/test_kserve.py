"""An InferenceService on a cluster: created, followed to its Knative Service, loaded, adopted, put back, removed."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kpasim.cli.main import cli
from kpasim.cluster import objects
from kpasim.cluster.calibration import one_pod
from kpasim.cluster.deadline import Deadline
from kpasim.cluster.deploy import Waits, leftovers, withdraw
from kpasim.cluster.errors import ClusterError, MissingError, RefusedError
from kpasim.cluster.fake.cluster import CONTEXT
from kpasim.cluster.live import LiveRun, live

from .fakes import Running, inference_service, plan, running, until


@pytest.fixture(scope="module")
def cluster():
    """A fake cluster with Knative and KServe that the tests of this file share."""
    with running() as found:
        yield found


def left(cluster: Running) -> dict[str, int]:
    """What is there of each kind."""
    kinds = (objects.INFERENCE_SERVICES, objects.SERVICES, objects.PODS)
    return {kind.plural: cluster.count(kind) for kind in kinds}


NOTHING = {"inferenceservices": 0, "services": 0, "pods": 0}


@pytest.fixture(autouse=True)
def _emptied(cluster: Running):
    """The cluster as it was: an adopted service stays on purpose, and is not to be there in the next test."""
    yield
    kube = cluster.kube()
    for document in kube.list_all(objects.INFERENCE_SERVICES, "default")[0]:
        kube.delete(objects.INFERENCE_SERVICES, "default", objects.name_of(document))
    kube.close()
    until(lambda: left(cluster) == NOTHING)


def validated(cluster: Running, folder: Path, manifest: dict[str, Any], *options: str) -> Result:
    """`kpasim validate` with the InferenceService in a file of its own."""
    (folder / "isvc.yaml").write_text(json.dumps(manifest))
    experiment = {
        "service": "isvc.yaml",
        "workload": {"kind": "hey", "concurrency": 2, "duration": "3s", "timeout": "10s"},
        "model": {"service-time": "50ms", "cold-start": "1s"},
        "start": {"state": "warm", "for": "200ms"},
        "horizon": "4s",
        "replications": 5,
    }
    (folder / "e.yaml").write_text(json.dumps(experiment))
    where = ["--kubeconfig", str(cluster.fake.kubeconfig), "--target", CONTEXT, "--calibrate-for", "4"]
    return CliRunner().invoke(cli, ["validate", str(folder / "e.yaml"), "--out", str(folder / "run"), *where, *options])


def test_an_inference_service_is_validated(cluster: Running, tmp_path: Path):
    """Calibrated, loaded through the Knative Service that KServe made, measured, compared, and removed."""
    manifest = inference_service("flowers", args=["--service-s", "0.05"], minReplicas=1, maxReplicas=2, timeout=10)
    manifest["metadata"]["annotations"] = {"kpasim.dev/load-path": "/echo/path"}
    done = validated(cluster, tmp_path, manifest)

    assert done.exit_code in (0, 3), done.output
    assert "calibrated: a pod starts in" in done.stderr
    assert "revision flowers-predictor-00001 is ready" in done.stderr
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["cluster"]["revision"] == "flowers-predictor-00001"
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["errors"] == 0
    assert summary["max_pods"] == 2
    rows = {row["metric"]: row for row in json.loads((tmp_path / "run" / "comparison.json").read_text())["metrics"]}
    assert rows["max_pods"]["predicted"] == 2
    assert "flowers-predictor-00001-deployment-" in (tmp_path / "run" / "events.csv").read_text()
    assert left(cluster) == NOTHING


def test_a_dry_run_creates_no_inference_service(cluster: Running, tmp_path: Path):
    """KServe is asked and nothing is there."""
    done = validated(cluster, tmp_path, inference_service("flowers"), "--dry-run")

    assert done.exit_code == 0, done.output
    assert "the cluster would take the InferenceService" in done.stderr
    assert left(cluster) == NOTHING


def test_the_local_target_takes_an_inference_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its fake cluster has KServe; what has the image of a ServingRuntime needs --image."""
    from kpasim.cluster import local
    from kpasim.cluster.fake.kubelet import Image

    from .fakes import STUB

    monkeypatch.setitem(local.IMAGES, "stub", Image(STUB))  # type: ignore[misc]
    model = {"model": {"modelFormat": {"name": "sklearn"}, "args": ["--service-s", "0.05"]}, "timeout": 1}
    manifest = inference_service("flowers") | {"spec": {"predictor": model}}
    (tmp_path / "isvc.yaml").write_text(json.dumps(manifest))
    experiment = {
        "service": "isvc.yaml",
        "workload": {"kind": "hey", "concurrency": 1, "requests": 5, "timeout": "10s"},
        "model": {"service-time": "50ms", "cold-start": "1s"},
        "start": {"state": "warm"},
        "horizon": "1s",
        "replications": 5,
    }
    (tmp_path / "e.yaml").write_text(json.dumps(experiment))
    (tmp_path / "m.yaml").write_text(json.dumps(experiment["model"]))
    words = ["validate", str(tmp_path / "e.yaml"), "--model", str(tmp_path / "m.yaml"), "--out", str(tmp_path / "run")]
    refused = CliRunner().invoke(cli, words)
    done = CliRunner().invoke(cli, [*words, "--image", "stub"])

    assert refused.exit_code == 1
    assert "the image is that of a ServingRuntime, and the local cluster has none; give --image" in refused.stderr
    assert done.exit_code in (0, 3), done.output
    assert "revision flowers-predictor-00001 is ready" in done.stderr


def test_status_and_conditions_are_those_of_kserve(cluster: Running):
    """An InferenceService that is ready carries its Knative Service's revisions and conditions."""
    kube = cluster.kube()
    held: dict[str, Any] = {}

    def body(run: LiveRun) -> None:
        run.deploy()
        limit = run.deadline(60, "the status")
        while not held or objects.condition(held["isvc"], "Ready").get("status") != "True":
            held["isvc"] = kube.get(objects.INFERENCE_SERVICES, "default", "flowers")
            limit.wait(0.05)
        held["service"] = kube.get(objects.SERVICES, "default", "flowers-predictor")

    live(kube, plan(inference_service("flowers", minReplicas=0, scaleTarget=1)), body)
    kube.close()
    status = held["isvc"]["status"]
    assert {entry["type"] for entry in status["conditions"]} == {
        "IngressReady", "LatestDeploymentReady", "PredictorConfigurationReady", "PredictorReady",
        "PredictorRouteReady", "Ready", "RoutesReady",
    }  # fmt: skip
    assert {entry["status"] for entry in status["conditions"]} == {"True"}
    assert status["deploymentMode"] == "Knative"
    assert status["url"] == "http://flowers.default.example.com"
    assert status["components"]["predictor"]["latestReadyRevision"] == "flowers-predictor-00001"
    assert status["components"]["predictor"]["url"] == "http://flowers-predictor.default.example.com"
    assert status["modelStatus"]["transitionStatus"] == "UpToDate"
    service = held["service"]
    assert service["metadata"]["ownerReferences"][0]["kind"] == "InferenceService"
    assert service["metadata"]["labels"]["serving.kserve.io/inferenceservice"] == "flowers"
    annotations = service["spec"]["template"]["metadata"]["annotations"]
    assert annotations["autoscaling.knative.dev/min-scale"] == "0"
    assert annotations["autoscaling.knative.dev/target"] == "1"
    assert service["spec"]["template"]["spec"]["responseStartTimeoutSeconds"] == 5


def test_an_adopted_inference_service_is_put_back(cluster: Running):
    """The predictor that was there before serves again, and nothing tells that we were there."""
    kube = cluster.kube()
    theirs = inference_service("theirs", args=["--service-s", "0.3"], minReplicas=0)
    kube.create(objects.INFERENCE_SERVICES, "default", theirs)
    ours = inference_service("theirs", args=["--service-s", "0"], minReplicas=1)
    with pytest.raises(ClusterError, match=r"InferenceService default/theirs is there and kpasim did not create it"):
        live(kube, plan(ours), LiveRun.deploy)
    during: list[str] = []

    def body(run: LiveRun) -> None:
        during.append(run.deploy().revision)
        found = kube.get(objects.SERVICES, "default", "theirs-predictor")
        during.append(found["spec"]["template"]["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"])

    live(kube, plan(ours, adopt=True), body)
    found = kube.get(objects.INFERENCE_SERVICES, "default", "theirs")
    service = kube.get(objects.SERVICES, "default", "theirs-predictor")
    kube.delete(objects.INFERENCE_SERVICES, "default", "theirs")
    kube.close()

    assert during == ["theirs-predictor-00002", "1"]
    assert found["spec"] == theirs["spec"]
    assert objects.RUN_LABEL not in objects.labels_of(found) | objects.labels_of(service)
    assert objects.ORIGINAL_ANNOTATION not in objects.annotations_of(found)
    assert service["status"]["latestReadyRevisionName"] == "theirs-predictor-00003"


def test_a_canary_is_not_adopted(cluster: Running):
    """Part of its traffic would stay with the earlier revision."""
    kube = cluster.kube()
    kube.create(objects.INFERENCE_SERVICES, "default", inference_service("canary", canaryTrafficPercent=10))
    with pytest.raises(ClusterError, match=r"InferenceService default/canary sends traffic to earlier revisions"):
        live(kube, plan(inference_service("canary"), adopt=True), LiveRun.deploy)
    kube.delete(objects.INFERENCE_SERVICES, "default", "canary")
    kube.close()


@pytest.mark.parametrize("listed", [True, False])
def test_what_a_killed_run_left_is_one_inference_service(
    cluster: Running, listed: bool, monkeypatch: pytest.MonkeyPatch
):
    """Its Knative Service carries the label as well, and is not removed by itself: KServe would make it again."""
    kube = cluster.kube()
    live(kube, plan(inference_service("kept"), keep=True), LiveRun.deploy)
    list_all = kube.list_all

    def without(resource: Any, *arguments: Any, **options: Any) -> Any:
        if resource == objects.INFERENCE_SERVICES and not listed:
            raise MissingError("the server could not find the requested resource")
        return list_all(resource, *arguments, **options)

    monkeypatch.setattr(kube, "list_all", without)
    found = leftovers(kube, "default")
    done = [withdraw(kube, one.deployed, one.run, Deadline(15, "clean")) for one in found]
    kube.close()

    assert [str(one.deployed) for one in found] == ["InferenceService default/kept"]
    assert found[0].deployed.service == "kept-predictor"
    assert done == ["deleted"]
    assert left(cluster) == NOTHING


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (
            {"spec": {"predictor": {"model": {"modelFormat": {"name": "unheard-of"}}}}},
            "InferenceService default/bad does not start: KServe: NoSupportingRuntime: No runtime found to support",
        ),
        (
            inference_service("bad", containerConcurrency=2000),
            "InferenceService default/bad does not start: KServe: admission webhook \"validation.webhook.serving",
        ),
        (inference_service("bad", image="crashes"), "default/bad does not start: .*the model is not there"),
        (inference_service("bad", image="missing"), "does not start: .*manifest unknown"),
    ],
)  # fmt: skip
def test_what_keeps_it_from_starting_is_told_in_kserve_s_words(cluster: Running, manifest: dict[str, Any], words: str):
    """No serving runtime, a Service that Knative refuses, a container that crashes, an image that cannot be had."""
    kube = cluster.kube()
    waits = Waits(ready_s=15.0, stuck_s=0.3, gone_s=15.0)
    with pytest.raises(ClusterError, match=words):
        live(kube, plan({**inference_service("bad"), **manifest}, waits=waits), LiveRun.deploy)
    kube.close()
    assert left(cluster) == NOTHING


def test_kserve_s_webhook_refuses_before_anything_is_there(cluster: Running):
    """More pods at least than at most, in the rehearsal."""
    kube = cluster.kube()
    with pytest.raises(RefusedError, match=r"inferenceservice\.kserve-webhook-server\.validator.*maxReplicas"):
        live(kube, plan(inference_service("bad", minReplicas=3, maxReplicas=2)), LiveRun.deploy)
    kube.close()
    assert left(cluster) == NOTHING


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"deploy": '{"defaultDeploymentMode": "Standard"}'}, "KServe deploys in mode Standard here"),
        (
            {"inferenceService": '{"serviceAnnotationDisallowedList": ["autoscaling.knative.dev/window"]}'},
            "warning: KServe drops the annotation autoscaling.knative.dev/window here",
        ),
        (None, "warning: KServe's settings are not known: "),
    ],
)
def test_the_cluster_s_own_kserve_settings_are_looked_at(
    cluster: Running, tmp_path: Path, data: dict[str, str] | None, told: str
):
    """A mode in which Knative does not scale ends the run; an annotation that gets lost is warned of."""
    store, where = cluster.fake.store, (objects.CONFIG_MAPS, "kserve", "inferenceservice-config")
    before = cluster.do(lambda: store.get(*where))
    cluster.do(lambda: store.remove(*where))
    if data is not None:
        cluster.do(lambda: store.create(objects.CONFIG_MAPS, {"metadata": before["metadata"], "data": data}))
    manifest = inference_service("flowers", annotations={"autoscaling.knative.dev/window": "30s"})
    done = validated(cluster, tmp_path, manifest, "--dry-run")
    cluster.do(lambda: store.remove(*where))
    cluster.do(lambda: store.create(objects.CONFIG_MAPS, before))

    assert told in done.stderr
    assert done.exit_code == (0 if told.startswith("warning") else 1), done.output


def test_the_calibration_has_one_pod_of_an_inference_service():
    """The fields that KServe reads, and the annotation that it keeps."""
    manifest = inference_service("flowers", minReplicas=0, annotations={"autoscaling.knative.dev/initial-scale": "4"})
    predictor = one_pod(manifest)["spec"]["predictor"]

    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, 1)
    assert predictor["annotations"] == {"autoscaling.knative.dev/initial-scale": "1"}
    assert manifest["spec"]["predictor"]["minReplicas"] == 0
