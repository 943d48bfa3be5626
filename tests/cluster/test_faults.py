"""What goes wrong between the adapter and a cluster, and what the adapter makes of it."""

import time
import urllib.request
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from kpasim.cluster import objects
from kpasim.cluster.deploy import Waits
from kpasim.cluster.errors import ClusterError
from kpasim.cluster.fake.cluster import Options
from kpasim.cluster.kube import connect
from kpasim.cluster.live import LiveRun, live

from .fakes import FAST, IMAGES, Running, plan, quota, running, service
from .faults import Fault

KSVC = "services.serving.knative.dev"
TERMINATING = (
    'services.serving.knative.dev "sd" is forbidden: unable to create new content in namespace default because it is '
    "being terminated"
)
POD_SECURITY = (
    'pods "sd-00001-deployment" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != '
    'false (containers "user-container", "queue-proxy" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (containers "user-container", "queue-proxy" must set '
    'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or containers "user-container", '
    '"queue-proxy" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers "user-container", '
    '"queue-proxy" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)


@dataclass
class Case:
    """One way to fail.

    Attributes:
        id: What goes wrong.
        faults: With which requests.
        answer: What the one-line message says, in this order; empty where the run succeeds in spite of it.
        manifest: What is deployed.
        before: Called in the fake cluster's thread before the run, with the running fake cluster.
        adopt: Whether the Service is there before and is adopted.
        ready_s: Deadline for the Service to become ready.
    """

    id: str
    faults: list[Fault] = field(default_factory=list)
    answer: tuple[str, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)
    adopt: bool = False
    ready_s: float = 8.0


CASES = [
    # -- later is soon enough ------------------------------------------------------------------------------------------
    Case("create is throttled with Retry-After", [Fault("create", KSVC, first=2, status=429, retry_after_s=0.1)]),
    Case("create meets two internal errors", [Fault("create", KSVC, first=2, times=2, status=500)]),
    Case("create meets an unavailable server", [Fault("create", KSVC, first=2, status=503)]),
    Case("create loses its answer", [Fault("create", KSVC, first=2, drop="after")]),
    Case("create loses its connection", [Fault("create", KSVC, first=2, drop="before")]),
    Case("status is behind a gateway time-out", [Fault("get", KSVC, times=2, status=504)]),
    Case("status is slow", [Fault("get", KSVC, times=3, delay_s=0.3)]),
    Case("status takes longer than one call may", [Fault("get", KSVC, delay_s=1.5)]),
    Case("the list of pods is throttled", [Fault("list", "pods", times=3, status=429)]),
    Case("the watch of pods breaks at once", [Fault("watch", "pods", break_after=0)]),
    Case("the watch of pods breaks after each change", [Fault("watch", "pods", times=4, break_after=1)]),
    Case("the watch of pods expires", [Fault("watch", "pods", expire_after=1)]),
    Case("the watch of the PodAutoscaler expires twice", [Fault("watch", "podautoscalers.*", times=2, expire_after=1)]),
    Case("the watch of the Deployment is answered with 410", [Fault("watch", "deployments.apps", status=410)]),
    Case("the watch of the ServerlessService is down", [Fault("watch", "serverlessservices.*", times=2, status=503)]),
    Case("the watch of events ends early", [Fault("watch", "events", times=3, end_after=1)]),
    Case("the gateway's Service is unavailable", [Fault("get", "services", status=503)]),
    Case("delete conflicts", [Fault("delete", KSVC, status=409, reason="Conflict")]),
    Case("delete loses its answer", [Fault("delete", KSVC, drop="after")]),
    Case("adoption conflicts", [Fault("patch", KSVC, first=2, status=409, reason="Conflict")], adopt=True),
    Case("adoption's test fails", [Fault("patch", KSVC, first=2, status=422, reason="Invalid")], adopt=True),
    # -- no ------------------------------------------------------------------------------------------------------------
    Case(
        "create fails for ever",
        [Fault("create", KSVC, times=0, status=500, message="etcd is gone")],
        ("create services.serving.knative.dev", "still failing after 2 s", "500 etcd is gone"),
    ),
    Case(
        "create is forbidden",
        [Fault("create", KSVC, times=0, status=403)],
        (KSVC, 'lacks the verb "create"', "deploy/rbac.yaml"),
    ),
    Case(
        "the account is unknown",
        [Fault("get", "configmaps", status=401, reason="Unauthorized")],
        ("does not know this account (401)", "log in again"),
    ),
    Case(
        "a webhook refuses the manifest",
        answer=("create", "refused (400)", "validation.webhook", "max-scale = 1 is less than min-scale = 2"),
        manifest=service(annotations={"min-scale": 2, "max-scale": 1}),
    ),
    Case(
        "a quota on Services is exceeded",
        [Fault("create", KSVC, status=403, reason="Forbidden", message="exceeded quota: services, used: 5")],
        ("create", "refused (403)", "exceeded quota: services"),
    ),
    Case(
        "the namespace is going",
        [Fault("create", KSVC, status=403, reason="Forbidden", message=TERMINATING)],
        ("create", "refused (403)", "because it is being terminated"),
    ),
    Case(
        "a policy of the cluster refuses the pods",
        [Fault("create", KSVC, status=403, reason="Forbidden", message=POD_SECURITY)],
        ("create", "refused (403)", 'violates PodSecurity "restricted:latest"', 'or "Localhost")'),
    ),
    Case("an API server that has just started forbids", [Fault("get", KSVC, first=2, times=3, status=403)]),
    Case(
        "an API server that has just started forbids the watch",
        [Fault("watch", "pods", end_after=1), Fault("watch", "pods", times=2, status=403)],
    ),
    Case("an API server that has just started knows no token", [Fault("get", KSVC, first=2, times=2, status=401)]),
    Case("delete is forbidden for a moment", [Fault("delete", KSVC, times=2, status=403)]),
    Case("create is sent elsewhere for a moment", [Fault("create", KSVC, times=2, status=302)]),
    Case(
        "a watch is sent elsewhere for a moment",
        [Fault("watch", "pods", end_after=1), Fault("watch", "pods", times=2, status=302)],
    ),
    Case(
        "a login page stands before the API server",
        [Fault("get", "configmaps", times=0, status=302)],
        ("redirected (302)", "before the API server (a login page?)"),
    ),
    Case("delete is sent elsewhere for a moment", [Fault("delete", KSVC, times=2, status=302)]),
    Case("delete meets an odd status", [Fault("delete", KSVC, times=2, status=418)]),
    Case(
        "Knative is not installed",
        [Fault("get", "configmaps", "config-autoscaler", status=404, reason="NotFound")],
        ("no ConfigMap config-autoscaler", "is Knative Serving installed?"),
    ),
    Case(
        "there is no gateway",
        [Fault("get", "services", "kourier", times=0, status=404, reason="NotFound")],
        ("no kourier gateway found", "--gateway", "--url"),
    ),
    Case(
        "the watch of pods stays broken",
        [Fault("watch", "pods", times=0, status=503, message="no leader")],
        ("watch", "503 no leader"),
        manifest=service(image="hangs"),
    ),
    Case("the answer is not JSON", [Fault("get", KSVC, garbage=True)], ("get", "the answer is not JSON")),
    Case("the answer never ends", [Fault("get", KSVC, huge=True)], ("get", "longer than 4 MiB")),
    Case(
        "adoption conflicts for ever",
        [Fault("patch", KSVC, times=6, status=409, reason="Conflict", message="please apply your changes")],
        ("patch", "please apply your changes", "tried 6 times"),
        adopt=True,
    ),
    Case(
        "the image is missing",
        answer=("does not start", 'Unable to fetch image "missing"', "manifest unknown"),
        manifest=service(image="missing"),
    ),
    Case(
        "the container crashes",
        answer=("does not start", "Container failed with", "the model is not there", "CrashLoopBackOff"),
        manifest=service(image="crashes"),
    ),
    Case(
        "the pods never get ready",
        answer=("not done within 1 s", "pod ", "is not ready"),
        manifest=service(image="hangs"),
        ready_s=1.0,
    ),
    Case(
        "the quota of pods is exceeded",
        answer=("does not start", "exceeded quota"),
        manifest=service(annotations={"initial-scale": 9}),  # the rehearsal asks for one pod only
    ),
    Case(
        "the nodes have no GPU",
        answer=("not done within 1 s", "Insufficient nvidia.com/gpu"),
        manifest=service(container={"resources": {"limits": {"nvidia.com/gpu": "1"}}}),
        ready_s=1.0,
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def cluster():
    """A fake cluster with a quota, whose faults each test sets."""
    with running(Options(images=IMAGES, speed=40.0)) as found:
        found.admit_pods(quota(found, 8))
        yield found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_fault_has_its_answer(cluster: Running, case: Case):
    """The run succeeds in spite of the fault, or ends with one line that says what is wrong; nothing is left."""
    manifest = case.manifest or service()
    manifest["metadata"]["name"] = name = f"case-{CASES.index(case)}"
    manifest["spec"]["template"]["spec"]["timeoutSeconds"] = 10
    patience = replace(FAST, request_s=1.0, retry_s=2.0)
    kube = cluster.kube(patience)
    if case.adopt:
        theirs = service(name=name, args=["--service-s", "0.01"], timeoutSeconds=10)
        kube.create(objects.SERVICES, "default", theirs)
    answers = []

    def body(run: LiveRun) -> None:
        run.look()
        run.deploy()
        request = urllib.request.Request(run.url, headers={"Host": run.host})
        with urllib.request.urlopen(request, timeout=60) as reply:
            answers.append(reply.read().decode())
        limit = run.deadline(30.0, "the recorder to see the pod")
        while run.recorder.first_start() is None or not run.recorder.tables(time.time()).scaling["sks_mode"].size:
            limit.wait(0.05)

    cluster.do(lambda: cluster.fake.server.faults.faults.extend(case.faults))
    waits = Waits(ready_s=case.ready_s, stuck_s=0.3, gone_s=10.0, settle_s=10.0)
    text = ""
    try:
        live(kube, plan(manifest, adopt=case.adopt, waits=waits, timeout_s=10.0), body)
    except ClusterError as error:
        text = str(error)
    finally:
        cluster.do(cluster.fake.server.faults.faults.clear)
        found = kube.list_all(objects.SERVICES, "default", selector=objects.RUN_LABEL)[0]
        if case.adopt:
            kube.delete(objects.SERVICES, "default", name)
        kube.close()
    places = [text.find(words) for words in case.answer]
    assert "\n" not in text
    assert -1 not in places, text
    assert places == sorted(places), text
    assert case.answer or text == ""
    assert case.answer or answers[0].startswith(f"{name}-0000")
    assert found == []
    assert all(fault.seen > 0 for fault in case.faults)


def test_thirty_cases_are_told_apart():
    """There are at least thirty of them."""
    assert len(CASES) >= 30


CONFIG = (
    '{"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],'
    ' "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:9"}}],'
    ' "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}]}'
)


def test_a_server_that_is_not_there_is_named(tmp_path):
    """A refused connection is told in one line, after the patience is spent."""
    config = tmp_path / "config"
    config.write_text(CONFIG)
    kube = connect("c", config, replace(FAST, retry_s=0.3))

    with pytest.raises(ClusterError, match=r"^c: get configmaps.*no answer from the API server \(.*refused.*\)$"):
        kube.get(objects.CONFIG_MAPS, "knative-serving", "config-autoscaler")
    kube.close()


@pytest.mark.parametrize(
    ("context", "text", "answer"),
    [
        ("other", None, "kubeconfig: .*config: no such file"),
        ("other", CONFIG, "kubeconfig: .*other"),
        (None, "{", "kubeconfig: while parsing"),
        (None, "kind: Config", "kubeconfig: .*current-context"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told(tmp_path, context, text, answer):
    """A missing file, a context that is not there, broken YAML and nonsense are one-line errors."""
    config = tmp_path / "config"
    if text is not None:
        config.write_text(text)

    with pytest.raises(ClusterError, match=answer) as caught:
        connect(context, config)
    assert "\n" not in str(caught.value)
