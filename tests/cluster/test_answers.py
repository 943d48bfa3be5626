"""What a real API server answers and holds, replayed: the adapter understands it, the fake cluster words it the same.

``recorded/objects.json`` holds objects of Knative 98e5ef9 on kube-apiserver 1.36.2, without owners and templates.
"""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kpasim.cli.cluster import command as cluster_command
from kpasim.cli.main import cli
from kpasim.cluster import objects
from kpasim.cluster.deadline import Deadline
from kpasim.cluster.deploy import Waits, await_ready, leftovers
from kpasim.cluster.errors import ClusterError, DeadlineError, ForbiddenError, RefusedError
from kpasim.cluster.fake.cluster import Options
from kpasim.cluster.kube import Clock, _translated, _warnings, connect
from kpasim.cluster.live import LiveRun, live
from kpasim.cluster.metrics import MetricsPoller
from kpasim.cluster.objects import Deployed
from kpasim.cluster.record import Recorder

from .fakes import FAST, IMAGES, SPEED, Running, plan, running, service
from .faults import Fault, forbidden

APIREST3 = Deployed(objects.SERVICES, "default", "apirest3", "apirest3")
RECORDED: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "recorded/objects.json").read_text())
KSVC = "services.serving.knative.dev"
AUTHORIZER = (
    'pods is forbidden: User "system:serviceaccount:default:nobody" cannot list resource "pods" in API group "" in '
    'the namespace "default"'
)
NO_ROOM = (
    "0/1 nodes are available: 1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/1 nodes are "
    "available: 1 Preemption is not helpful for scheduling."
)


@pytest.fixture(scope="module")
def cluster():
    """A fake cluster that the tests of this file share."""
    with running(Options(images=IMAGES, speed=SPEED, gpus=1)) as found:
        yield found


class AnswerError(Exception):
    """An answer of an API server, as the official client raises it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status, self.reason, self.headers = status, reason, {}
        self.body = json.dumps({"kind": "Status", "reason": reason, "message": message, "code": status})


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (403, AUTHORIZER, ForbiddenError),
        (403, 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=8, limited: pods=8',
         RefusedError),
        (403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true', RefusedError),
        (403, 'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 4', RefusedError),
        (403, 'services "x" is forbidden: unable to create new content in namespace n because it is being terminated',
         RefusedError),
        (400, 'admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed: must '
         "not set the field(s): spec.template.spec.nodeSelector", RefusedError),
    ],
)  # fmt: skip
def test_a_refusal_is_told_as_what_it_is(status: int, message: str, kind: type[ClusterError]):
    """Only the authorizer's words speak of a missing permission; admission's are passed on whole."""
    error = _translated(AnswerError(status, "Forbidden", message), "c: create pods", ("create", "pods", "default"))
    assert type(error) is kind
    assert ("lacks the verb" in str(error)) == (kind is ForbiddenError)
    assert kind is ForbiddenError or str(error).endswith(message)


def test_of_a_long_message_the_cause_is_kept():
    """Causes stand at the end of what a server says."""
    message = f"admission webhook denied the request: {'very ' * 1000}; the cause"
    error = str(_translated(AnswerError(400, "BadRequest", message), "c: create pods", ("create", "pods", "default")))
    assert error.endswith("the cause")
    assert "admission webhook denied" in error
    assert len(error) < 1400


def test_dropped_fields_are_read_from_the_warning_header():
    """One header for each field, with escaped quotes."""
    header = r'299 - "unknown field \"spec.template.spec.containerConcurency\""'
    assert _warnings({"Warning": header}) == ['unknown field "spec.template.spec.containerConcurency"']
    assert _warnings({}) == []


def test_a_field_that_the_server_drops_is_named_once(cluster: Running):
    """A misspelt field is warned of before anything is there, and again by nobody."""
    kube, notes = cluster.kube(), []
    manifest = service(name="typo", timeoutSeconds=5, containerConcurency=3)
    live(kube, plan(manifest, timeout_s=5.0), lambda run: run.deploy(), notes.append)
    kube.close()
    told = [note for note in notes if "containerConcurency" in note]
    assert told == ['warning: kpasim-local: unknown field "spec.template.spec.containerConcurency"']


def test_no_room_on_the_nodes_is_waited_for_in_a_real_service_s_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """ConfigurationsReady has the scheduler's words, "Ready" has not; the wait lasts to its deadline and says why."""
    document = json.loads(json.dumps(RECORDED["services"][0]))
    missing = {"status": "False", "reason": "RevisionMissing",
               "message": 'Configuration "apirest3" does not have any ready Revision.'}  # fmt: skip
    failed = f'Revision "apirest3-00001" failed with message: {NO_ROOM}.'
    document["status"]["conditions"] = [
        {"type": "ConfigurationsReady", "status": "False", "reason": "RevisionFailed", "message": failed},
        {"type": "Ready", **missing},
        {"type": "RoutesReady", **missing},
    ]
    kube = connect(kubeconfig=_kubeconfig(tmp_path, "t"), patience=FAST)
    monkeypatch.setattr(kube, "get", lambda *_, **__: document)
    waits = Waits(stuck_s=0.05)
    with pytest.raises(DeadlineError, match=r"not done within 1 s.*were unschedulable"):
        await_ready(kube, APIREST3, waits, Deadline(0.6, "ready"))
    # The same words in the pods' own condition are enough.
    document["status"]["conditions"][0]["message"] = 'Revision "apirest3-00001" failed with message: Initial scale.'
    recorder = Recorder(Clock())
    recorder.listed(objects.PODS, RECORDED["pods"])
    with pytest.raises(DeadlineError, match=r"not done within 1 s: .*Unschedulable: 0/1 nodes are available"):
        await_ready(kube, APIREST3, waits, Deadline(0.6, "ready"), recorder.explain)
    # Anything else is believed after a moment, with its cause.
    document["status"]["conditions"][0]["message"] = 'Revision "apirest3-00001" failed with message: exceeded quota.'
    with pytest.raises(ClusterError, match=r"does not start: Revision .* exceeded quota"):
        await_ready(kube, APIREST3, waits, Deadline(5, "ready"))


def test_an_image_that_cannot_be_had_ends_the_wait_at_once(cluster: Running):
    """However long failures are waited for, and with the image's name."""
    kube = cluster.kube()
    waits = Waits(ready_s=300.0, stuck_s=300.0, gone_s=60.0)
    begun_s = time.monotonic()
    with pytest.raises(ClusterError, match=r'does not start: .*(Unable to fetch image "missing"|image missing)'):
        live(kube, plan(service(name="noimage", image="missing", timeoutSeconds=5), waits=waits), LiveRun.deploy)
    kube.close()
    assert time.monotonic() - begun_s < 150.0


def test_the_hint_after_a_failed_removal_works_as_typed(cluster: Running, monkeypatch: pytest.MonkeyPatch):
    """It repeats context, kubeconfig and namespace; what it names is removed; an unknown run is status 1."""
    config = str(cluster.fake.kubeconfig)
    kube = connect("kpasim-local", config, FAST)
    refused = Fault("delete", KSVC, times=0, status=403)
    cluster.do(lambda: cluster.fake.server.faults.faults.append(refused))
    with pytest.raises(ClusterError, match=r"lacks the verb") as error:
        live(kube, plan(service(name="hinted", timeoutSeconds=5), namespace="other"), LiveRun.deploy)
    cluster.do(cluster.fake.server.faults.faults.clear)
    hint = str(error.value).partition("clean up with: ")[2]
    words = hint.split()
    assert words[:3] == ["kpasim", "cluster", "clean"]
    assert words[3:9] == ["--target", "kpasim-local", "--kubeconfig", config, "--namespace", "other"]
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    done = CliRunner().invoke(cli, words[1:])
    again = CliRunner().invoke(cli, words[1:])
    nowhere = CliRunner().invoke(cli, ["cluster", "clean", "--run", "abc"])
    left = leftovers(kube, "other")
    kube.close()
    assert done.exit_code == 0
    assert "other/hinted" in done.output
    assert left == []
    assert again.exit_code == 1
    assert "nothing of this run is left in namespace other" in again.output
    assert nowhere.exit_code == 1
    assert "no kubeconfig" in nowhere.output


def test_a_watch_that_was_blind_is_told_with_its_times(cluster: Running):
    """Once with few gaps, in one line with many; the folder has each of them."""
    kube, notes, facts = cluster.kube(), [], []
    broken = Fault("watch", "pods", times=1, break_after=0)
    cluster.do(lambda: cluster.fake.server.faults.faults.append(broken))

    def body(run: LiveRun) -> None:
        run.deploy()
        facts.append(run.facts())

    live(kube, plan(service(name="blind", timeoutSeconds=5)), body, notes.append)
    cluster.do(cluster.fake.server.faults.faults.clear)
    kube.close()
    told = [note for note in notes if "was blind" in note]
    assert len(told) == 1
    assert "warning: the watch of pods was blind from " in told[0]
    assert len(facts[0]["watch_gaps"]) == 1
    assert 0 < facts[0]["watch_gaps_s"] < 2


def test_cleaning_says_put_back_where_it_does(cluster: Running):
    """An adopted Service is not removed, neither in words nor in fact, and is awaited."""
    kube = cluster.kube()
    kube.create(objects.SERVICES, "default", service(name="borrowed", timeoutSeconds=5))
    adopted = plan(service(name="borrowed", args=["--service-s", "0"], timeoutSeconds=5), adopt=True, keep=True)
    live(kube, adopted, LiveRun.deploy)
    arguments = ["clean", "--kubeconfig", str(cluster.fake.kubeconfig)]
    would = CliRunner().invoke(cluster_command, [*arguments, "--dry-run"])
    done = CliRunner().invoke(cluster_command, arguments)
    after = kube.get(objects.SERVICES, "default", "borrowed")
    kube.delete(objects.SERVICES, "default", "borrowed")
    kube.close()
    assert "would be put back" in would.output
    assert "putting back" in done.output
    assert "remov" not in done.output
    assert objects.condition(after, "Ready")["status"] == "True"
    assert after["status"]["latestReadyRevisionName"] == after["status"]["latestCreatedRevisionName"]


def _kubeconfig(folder: Path, token: str) -> Path:
    path = folder / "kubeconfig.json"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
                "users": [{"name": "c", "user": {"token": token}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
            }
        )
    )  # fmt: skip
    return path


def test_a_token_tells_when_it_expires(tmp_path: Path):
    """A service account's does, any other does not."""
    claims = {"exp": 1_800_000_000, "sub": "system:serviceaccount:default:kpasim"}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    for token, expected in ((f"e30.{payload}.x", 1_800_000_000.0), ("opaque", None), ("a.b.c", None)):
        kube = connect(kubeconfig=_kubeconfig(tmp_path, token))
        kube.close()
        assert kube.expires_s == expected


def test_a_pod_reaches_its_own_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With its service account, in its own namespace, and without a kubeconfig; elsewhere one line says so."""
    import kubernetes.config.incluster_config as incluster

    from kpasim.cluster import kube as module

    with pytest.raises(ClusterError, match=r"--target in-cluster: .*service account"):
        connect("in-cluster")
    for name, text in (("token", "secret"), ("ca.crt", "certificate"), ("namespace", "team")):
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(module, "_ACCOUNT", tmp_path)
    seen: dict[str, Any] = {}

    def load(client_configuration: Any) -> None:
        loader = incluster.InClusterConfigLoader(
            token_filename=str(tmp_path / "token"), cert_filename=str(tmp_path / "ca.crt"), try_refresh_token=True
        )
        loader.load_and_set(client_configuration)
        client_configuration.ssl_ca_cert = None
        seen["host"] = client_configuration.host

    monkeypatch.setattr("kubernetes.config.load_incluster_config", load)
    kube = connect("in-cluster")
    kube.close()
    assert (kube.name, kube.namespace, kube.in_cluster) == ("in-cluster", "team", True)
    assert seen["host"] == "https://10.0.0.1:443"
    assert kube.clean_command("team", "1") == "kpasim cluster clean --target in-cluster --namespace team --run 1"


def test_metrics_that_are_off_are_told_with_the_key_to_set():
    """Since Knative 1.19 nobody exports them unless told to."""
    poller = MetricsPoller(None, Recorder(Clock()), "default", "")  # type: ignore[arg-type]
    assert "config-observability" in poller.unseen()
    assert "metrics-protocol: prometheus" in poller.unseen()


def test_a_long_wait_is_told_with_the_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After five seconds, then when something changes, else once a minute."""
    now, notes = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    limit = Deadline(1000, "c: Service default/sd ready", note=notes.append)
    told_at = []
    for second in range(200):
        limit.wait(1.0, "503 no leader" if second < 30 else "not ready")
        told_at += [second] * (len(notes) - len(told_at))
    assert notes[0] == "waiting: c: Service default/sd ready: 503 no leader"
    assert notes[1].endswith(": not ready")
    assert told_at == [6, 30, 91, 152]


# -- the fake cluster words it the same ------------------------------------------------------------------------------


def shape(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Conditions by type, without times and generated names."""
    found = {}
    for entry in document["status"].get("conditions") or []:
        words = {key: value for key, value in entry.items() if key in ("status", "reason", "severity")}
        found[entry["type"]] = words | {"keys": sorted(set(entry) - {"observedGeneration", "lastUpdateTime"})}
    return found


def test_objects_of_the_fake_cluster_carry_the_conditions_of_real_ones(cluster: Running):
    """Types, statuses, reasons and severities of a Service that is ready and of all that stands behind it."""
    kube = cluster.kube()
    held: dict[str, dict[str, Any]] = {}

    def body(run: LiveRun) -> None:
        run.deploy()
        limit = run.deadline(10, "steady")
        for _ in range(10):
            limit.wait(0.1)
        for resource in (objects.SERVICES, objects.POD_AUTOSCALERS, objects.DEPLOYMENTS, objects.PODS):
            held[resource.plural] = kube.list_all(resource, "default")[0][-1]
        held["serverlessservices"] = kube.list_all(objects.SERVERLESS_SERVICES, "default")[0][-1]

    manifest = service(name="wording", timeoutSeconds=5, annotations={"min-scale": 1})
    live(kube, plan(manifest, timeout_s=5.0), body)
    kube.close()
    real = {plural: RECORDED[plural][0] for plural in ("services", "podautoscalers", "deployments")}
    real["serverlessservices"], real["pods"] = RECORDED["serverlessservices"][0], RECORDED["pods"][-1]
    for plural, document in real.items():
        ours, theirs = shape(held[plural]), shape(document)
        if plural == "serverlessservices":  # the recorded one is in mode Proxy, ours in whatever mode it is
            ours.pop("ActivatorEndpointsPopulated")
            theirs.pop("ActivatorEndpointsPopulated")
        assert ours == theirs, plural
        assert set(held[plural]["status"]) >= set(document["status"]) - {
            "hostIPs",
            "qosClass",
            "unavailableReplicas",
        } - (set() if plural != "deployments" else {"observedGeneration"}), plural
    assert {entry["name"] for entry in held["pods"]["status"]["containerStatuses"]} == {"user-container", "queue-proxy"}
    assert set(held["services"]["metadata"]["annotations"]) >= {
        "serving.knative.dev/creator",
        "serving.knative.dev/lastModifier",
    }


def test_a_pod_without_room_is_worded_as_the_scheduler_does(cluster: Running):
    """Pending, one condition, the event without a count; the Service's cause stands in ConfigurationsReady."""
    kube = cluster.kube()
    limits = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
    held: dict[str, Any] = {}

    def body(run: LiveRun) -> None:
        with pytest.raises(ClusterError, match=r"Insufficient nvidia.com/gpu"):
            run.deploy()
        held["pod"] = kube.list_all(objects.PODS, "default")[0][-1]
        held["event"] = next(
            one for one in kube.list_all(objects.EVENTS, "default")[0] if one["reason"] == "FailedScheduling"
        )
        held["service"] = kube.get(objects.SERVICES, "default", "noroom")

    waits = Waits(ready_s=1.0, stuck_s=0.2, gone_s=10.0)
    live(kube, plan(service(name="noroom", container=limits, timeoutSeconds=5), waits=waits), body)
    kube.close()
    pending = next(pod for pod in RECORDED["pods"] if pod["status"]["phase"] == "Pending")
    assert shape(held["pod"]) == shape(pending)
    assert "containerStatuses" not in held["pod"]["status"]
    event = next(one for one in RECORDED["events"] if one["reason"] == "FailedScheduling")
    for key in ("type", "reportingComponent", "source", "firstTimestamp", "lastTimestamp"):
        assert held["event"][key] == event[key], key
    assert ("count" in held["event"]) == ("count" in event)
    ready = objects.condition(held["service"], "Ready")
    assert ready["message"] == 'Configuration "noroom" does not have any ready Revision.'
    assert "0/1 nodes are available" in objects.condition(held["service"], "ConfigurationsReady")["message"]


def test_the_fake_cluster_forbids_in_the_authorizer_s_words():
    """With the account, the verb, the group and the namespace, and no empty name."""
    from kpasim.cluster.fake.apiserver import Access

    text = json.loads(forbidden(Access("list", "", "pods", "default", "")).text or "")
    assert text["message"] == AUTHORIZER.replace("nobody", "kpasim")
    assert text["details"] == {"kind": "pods"}
