"""The fake cluster behaves as Knative does where a client or an adapter can tell."""

import asyncio
import contextlib
import os
import socket
import time
from collections import Counter
from typing import Any

import aiohttp
import pytest
import yarl

from kpasim.cluster import objects
from kpasim.cluster.errors import ClusterError, RefusedError
from kpasim.cluster.fake.cluster import Options
from kpasim.cluster.fake.reaper import keep
from kpasim.cluster.fake.store import NotFoundError, Store, selected
from kpasim.cluster.kube import Kube
from kpasim.cluster.objects import Document, condition, meta, name_of, status_of

from .fakes import IMAGES, SPEED, Running, running, service, until
from .rbac import rules_of


@pytest.fixture(scope="module")
def cluster():
    """A fake cluster that the tests of this file share."""
    with running(Options(images=IMAGES, speed=SPEED, gpus=2)) as found:
        yield found


@pytest.fixture
def kube(cluster: Running):
    """A connection to it; whatever a test deploys is removed after it."""
    found = cluster.kube()
    yield found
    for document in found.list_all(objects.SERVICES, "default")[0]:
        found.delete(objects.SERVICES, "default", name_of(document))
    until(lambda: cluster.count(objects.SERVICES) == 0)
    found.close()


def deploy(kube: Kube, **fields: Any) -> str:
    """Create a Service and wait until it is ready; returns its host."""
    manifest = service(**fields)
    kube.create(objects.SERVICES, "default", manifest)
    until(lambda: is_ready(kube, manifest["metadata"]["name"]))
    return f"{manifest['metadata']['name']}.default.example.com"


def is_ready(kube: Kube, name: str) -> bool:
    """Whether a Service says that it is ready."""
    return condition(kube.get(objects.SERVICES, "default", name), "Ready").get("status") == "True"


def send(cluster: Running, host: str, at_once: int, each: int = 1, timeout_s: float = 30.0) -> list[tuple[int, str]]:
    """Send requests from several clients at once; returns status and answer of each."""

    async def client(session: aiohttp.ClientSession) -> list[tuple[int, str]]:
        answers = []
        for _ in range(each):
            async with session.get(cluster.fake.gateway_url, headers={"Host": host}) as reply:
                answers.append((reply.status, await reply.text()))
        return answers

    async def main() -> list[tuple[int, str]]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(timeout_s)) as session:
            return [
                one for answers in await asyncio.gather(*(client(session) for _ in range(at_once))) for one in answers
            ]

    return asyncio.run(main())


def inside(cluster: Running) -> int:
    """Requests inside pods."""
    return cluster.do(lambda: sum(pod.proxy.in_flight for pod in cluster.fake.node.pods))


def replicas(kube: Kube, name: str) -> int:
    """What the Deployment of a Service's first revision asks for."""
    found = kube.get(objects.DEPLOYMENTS, "default", f"{name}-00001-deployment")
    return int(found["spec"]["replicas"])


# -- the data plane ----------------------------------------------------------------------------------------------------


def test_one_request_at_a_time_reaches_a_pod(cluster: Running, kube: Kube):
    """With containerConcurrency 1 and one pod, four requests that come together are answered one after the other."""
    host = deploy(kube, name="single", args=["--service-s", "0.1"], annotations={"max-scale": 1})
    begun_s = time.monotonic()

    answers = send(cluster, host, 4)

    assert [status for status, _ in answers] == [200] * 4
    assert time.monotonic() - begun_s >= 0.4


def test_five_clients_get_five_pods():
    """With a target of one request for each pod, five busy clients are given five pods."""
    with running(Options(images=IMAGES, speed=5.0)) as cluster:
        kube = cluster.kube()
        annotations = {"target-utilization-percentage": 100, "window": "60s"}
        host = deploy(kube, name="five", args=["--service-s", "0.1"], annotations=annotations, timeoutSeconds=5)

        answers: list[tuple[int, str]] = []

        def settled() -> bool:
            """A busy machine starts pods slowly, and a late report may ask for a sixth for a window's length."""
            answers.extend(send(cluster, host, 5, each=25))
            return len({pod for _, pod in answers}) >= 5 and replicas(kube, "five") == 5

        until(settled, 120.0)
        kube.close()
    assert {status for status, _ in answers} == {200}


def test_few_requests_go_to_the_first_address(cluster: Running, kube: Kube):
    """With containerConcurrency up to 3 the first pod that is free is taken, by address as text."""
    host = deploy(kube, name="first", args=["--service-s", "0.01"], annotations={"min-scale": 3, "initial-scale": 3})
    pods = {name_of(pod): status_of(pod)["podIP"] for pod in kube.list_all(objects.PODS, "default")[0]}

    answers = [answer for _ in range(12) for answer in send(cluster, host, 1)]

    assert len(pods) == 3
    assert {pods[pod] for _, pod in answers} == {min(pods.values())}


def test_many_requests_take_turns(cluster: Running, kube: Kube):
    """With containerConcurrency of 4 and more the pods take turns."""
    host = deploy(
        kube,
        name="turns",
        args=["--service-s", "0"],
        annotations={"min-scale": 3, "initial-scale": 3},
        containerConcurrency=4,
    )

    answers = Counter(pod for _ in range(12) for _, pod in send(cluster, host, 1))

    assert sorted(answers.values()) == [4, 4, 4]


def test_a_request_waits_for_a_pod_from_zero(cluster: Running, kube: Kube):
    """A revision that has scaled to zero is woken by a request, which is answered when its pod has started."""
    host = deploy(kube, name="sleeper", args=["--start-s", "0.2"], annotations={"window": "6s"})
    until(lambda: cluster.count(objects.PODS) == 0)

    answers = send(cluster, host, 1)

    assert [status for status, _ in answers] == [200]


def test_a_revision_without_traffic_goes_to_zero_and_says_so(cluster: Running, kube: Kube):
    """Idle for a stable window: desired 0, PodAutoscaler inactive, then no replicas, then no pod."""
    deploy(kube, name="idle", annotations={"window": "6s"})

    until(lambda: cluster.count(objects.PODS) == 0)

    autoscaler = kube.get(objects.POD_AUTOSCALERS, "default", "idle-00001")
    assert status_of(autoscaler)["desiredScale"] == 0
    assert condition(autoscaler, "Active")["status"] == "False"
    assert condition(autoscaler, "Active")["reason"] == "NoTraffic"
    assert replicas(kube, "idle") == 0
    assert kube.get(objects.SERVERLESS_SERVICES, "default", "idle-00001")["spec"]["mode"] == "Proxy"


def test_without_burst_capacity_requests_queue_at_a_pod(cluster: Running, kube: Kube):
    """In Serve mode a pod with containerConcurrency 1 takes eleven requests and refuses the rest with 503."""
    host = deploy(
        kube,
        name="direct",
        args=["--service-s", "0.5"],
        annotations={"target-burst-capacity": 0, "max-scale": 1},
        timeoutSeconds=60,
    )
    sks = "direct-00001"
    until(lambda: kube.get(objects.SERVERLESS_SERVICES, "default", sks)["spec"]["mode"] == "Serve")

    answers = Counter(status for status, _ in send(cluster, host, 14))

    assert answers == {200: 11, 503: 3}


def test_a_request_that_takes_too_long_is_cut(cluster: Running, kube: Kube):
    """TimeoutSeconds covers waiting and working; what is over it gets 504 and the pod is free again."""
    host = deploy(kube, name="slow", args=["--service-s", "3"], annotations={"max-scale": 1}, timeoutSeconds=5)

    answers = Counter(status for status, _ in send(cluster, host, 3))

    assert answers == {200: 1, 504: 2}
    assert [status for status, _ in send(cluster, host, 1)] == [200]


def test_an_answer_that_has_begun_is_broken_off(cluster: Running, kube: Kube):
    """Over its time in the middle of the body a request ends without an end, not with a second answer."""
    host = deploy(kube, name="stream", args=["--service-s", "20"], timeoutSeconds=3)

    async def main() -> tuple[int, str]:
        url = f"{cluster.fake.gateway_url}/stream"
        async with aiohttp.ClientSession() as session, session.get(url, headers={"Host": host}) as reply:
            return reply.status, await reply.text()

    with pytest.raises(aiohttp.ClientError):
        asyncio.run(main())


def test_a_path_reaches_the_pod_as_it_was_sent(cluster: Running, kube: Kube):
    """Neither escapes nor a second slash are touched, and a query goes with it."""
    host = deploy(kube, name="paths", args=["--service-s", "0"])

    async def main() -> str:
        url = yarl.URL(f"{cluster.fake.gateway_url}/echo%2F/a%20b//c?x=%26", encoded=True)
        async with aiohttp.ClientSession() as session, session.get(url, headers={"Host": host}) as reply:
            return (await reply.text()).strip()

    assert asyncio.run(main()) == "/echo%2F/a%20b//c?x=%26"


def test_a_client_that_leaves_leaves_the_queue(cluster: Running, kube: Kube):
    """Requests whose clients gave up while they waited are not served, and nothing is counted for them any more."""
    host = deploy(kube, name="leavers", args=["--service-s", "5"], annotations={"max-scale": 1}, timeoutSeconds=12)
    with pytest.raises(TimeoutError):
        send(cluster, host, 4, timeout_s=2.0)
    until(lambda: inside(cluster) == 0)

    answers = send(cluster, host, 1)

    # Behind three others it would wait for 15 s and be cut after 12.
    assert [status for status, _ in answers] == [200]


def test_a_host_that_nobody_serves_is_not_found(cluster: Running):
    """The gateway knows Services by their host names."""
    assert send(cluster, "nobody.default.example.com", 1)[0][0] == 404


def test_a_pod_finishes_its_request_before_it_goes(cluster: Running, kube: Kube):
    """A Service that is deleted under a running request still answers it."""
    host = deploy(kube, name="drain", args=["--service-s", "1"], timeoutSeconds=600)

    async def main() -> tuple[int, str]:
        async with aiohttp.ClientSession() as session:
            request = asyncio.ensure_future(get(session))
            await asyncio.to_thread(until, lambda: inside(cluster) == 1)
            await asyncio.to_thread(kube.delete, objects.SERVICES, "default", "drain")
            return await request

    async def get(session: aiohttp.ClientSession) -> tuple[int, str]:
        async with session.get(cluster.fake.gateway_url, headers={"Host": host}) as reply:
            return reply.status, await reply.text()

    assert asyncio.run(main())[0] == 200


# -- the API -----------------------------------------------------------------------------------------------------------


def test_webhooks_complete_a_service(kube: Kube):
    """What is stored is not what was sent: defaults are filled in, as Knative's webhooks do."""
    stored = kube.create(objects.SERVICES, "default", service(name="bare"))
    spec = stored["spec"]["template"]["spec"]

    assert stored["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    assert spec["containers"][0]["name"] == "user-container"
    assert spec["containers"][0]["readinessProbe"]["successThreshold"] == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"containerConcurrency": 1001}, "1001 is out of range"),
        ({"timeoutSeconds": 601}, "601 is out of range"),
        ({"containers": []}, "is missing"),
        ({"annotations": {"window": "5s"}}, "window"),
    ],
)
def test_webhooks_refuse_what_knative_refuses(kube: Kube, change: dict[str, Any], reason: str):
    """The message of the webhook reaches the caller."""
    with pytest.raises(RefusedError, match=reason):
        kube.create(objects.SERVICES, "default", service(name="bad", **change))


def test_a_rehearsal_creates_nothing(cluster: Running, kube: Kube):
    """A dry run goes through the webhooks and leaves no object."""
    kube.create(objects.SERVICES, "default", service(name="rehearsed"), dry_run=True)

    assert cluster.count(objects.SERVICES) == 0


def test_a_deletion_may_be_limited_to_one_object(kube: Kube):
    """A Service that was replaced meanwhile has another uid and is not deleted."""
    kube.create(objects.SERVICES, "default", service(name="mine"))

    with pytest.raises(ClusterError, match="precondition"):
        kube.delete(objects.SERVICES, "default", "mine", uid="another")
    assert name_of(kube.get(objects.SERVICES, "default", "mine")) == "mine"


def test_lists_come_in_pages(cluster: Running, kube: Kube):
    """More objects than fit one page are all listed, in order."""
    store = cluster.fake.store
    names = [f"page-{number:03d}" for number in range(450)]
    for name in names:
        document = {"metadata": {"name": name, "namespace": "paged"}}
        cluster.do(lambda document=document: store.create(objects.CONFIG_MAPS, document))

    found, version = kube.list_all(objects.CONFIG_MAPS, "paged")

    assert [name_of(document) for document in found] == names
    assert int(version) > 0


def test_a_second_pod_waits_for_a_gpu(cluster: Running, kube: Kube):
    """Two GPUs are enough for two pods of one each; the third waits and its event says why."""
    limits = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    kube.create(objects.SERVICES, "default", service(name="gpus", container=limits, annotations={"initial-scale": 3}))

    def scheduled() -> list[str]:
        pods = kube.list_all(objects.PODS, "default", selector="serving.knative.dev/service=gpus")[0]
        return sorted(condition(pod, "PodScheduled").get("status", "") for pod in pods)

    until(lambda: scheduled() == ["False", "True", "True"])
    until(lambda: "FailedScheduling" in {event["reason"] for event in kube.list_all(objects.EVENTS, "default")[0]})


def test_a_pod_that_crashes_is_started_again(cluster: Running, kube: Kube):
    """Restarts are counted, with Kubernetes' growing pauses between them."""
    kube.create(objects.SERVICES, "default", service(name="crash", image="crashes"))

    def restarts() -> int:
        pods: list[Document] = kube.list_all(objects.PODS, "default", selector="serving.knative.dev/service=crash")[0]
        containers = [one for pod in pods for one in status_of(pod).get("containerStatuses", [])]
        return max((one["restartCount"] for one in containers), default=0)

    until(lambda: restarts() >= 2)


# -- the store -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores and their affinity",
)
def test_a_pod_that_starts_leaves_half_of_the_cores_to_those_that_serve(cluster: Running, kube: Kube):
    """A process that is starting is kept to the upper half of the cores, one that answers has all of them."""
    cores = sorted(os.sched_getaffinity(0))
    deploy(kube, name="serving")
    [serving] = cluster.processes()
    kube.create(objects.SERVICES, "default", service(name="starting", args=["--start-s", "30"]))
    until(lambda: len(cluster.processes()) == 2)
    [starting] = [one for one in cluster.processes() if one != serving]

    until(lambda: sorted(os.sched_getaffinity(serving)) == cores)
    until(lambda: sorted(os.sched_getaffinity(starting)) == cores[len(cores) // 2 :])


def test_pods_start_where_a_listener_holds_port_8080_of_all_addresses(cluster: Running, kube: Kube):
    """Another program on port 8080 keeps no pod from its place."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Where another program holds the port already, that is the listener.
        with contextlib.suppress(OSError):
            other.bind(("0.0.0.0", 8080))
            other.listen()
        host = deploy(kube)

        answers = send(cluster, host, 1)

    assert [status for status, _ in answers] == [200]


def test_each_write_has_its_version_and_is_replayed_once():
    """A watch from a version sees what was written after it, in order, and nothing twice."""

    async def main() -> None:
        store = Store()
        store.create(objects.PODS, {"metadata": {"name": "a", "namespace": "n"}})
        since = store.version
        store.update(objects.PODS, "n", "a", lambda document: document.update(spec={"x": 1}))
        store.update(objects.PODS, "n", "a", lambda document: None)
        store.remove(objects.PODS, "n", "a")

        changes, version = store.changes(objects.PODS, since, "n", "") or ([], 0)

        assert [kind for _, kind, _ in changes] == ["MODIFIED", "DELETED"]
        assert [meta(document)["generation"] for _, _, document in changes] == [2, 2]
        assert version == since + 2
        assert store.changes(objects.PODS, version, "n", "") == ([], version)
        with pytest.raises(NotFoundError):
            store.get(objects.PODS, "n", "a")

    asyncio.run(main())


def test_a_version_that_was_compacted_is_gone():
    """Older versions cannot be watched from, the latest can."""

    async def main() -> None:
        store = Store()
        store.create(objects.PODS, {"metadata": {"name": "a", "namespace": "n"}})
        old = store.version
        for number in range(501):
            store.update(objects.PODS, "n", "a", lambda pod, number=number: pod.update(spec={"number": number}))

        assert store.changes(objects.PODS, old, None, "") is None
        assert store.changes(objects.PODS, store.version, None, "") == ([], store.version)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ("", True),
        ("a=1", True),
        ("a=2", False),
        ("a!=2", True),
        ("a,b=2", True),
        ("!a", False),
        ("!c", True),
        ("c", False),
    ],
)
def test_selectors_choose_by_labels(selector: str, fits: bool):
    """Equality, inequality, existence and their opposite."""
    assert selected({"metadata": {"labels": {"a": "1", "b": "2"}}}, selector) is fits


def test_a_role_that_nothing_binds_grants_nothing():
    """RBAC counts bindings, not roles."""
    role = {
        "kind": "Role",
        "metadata": {"name": "r", "namespace": "n"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
    }
    binding = {
        "kind": "RoleBinding",
        "metadata": {"name": "b", "namespace": "n"},
        "roleRef": {"kind": "Role", "name": "r"},
    }

    assert rules_of([role]) == []
    assert len(rules_of([role, binding])) == 1


def test_the_reaper_removes_its_folder_when_nobody_is_left(tmp_path, monkeypatch):
    """At the end of its input it kills what is still on its list and removes the folder."""
    import io
    import signal
    import subprocess
    import sys

    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    folder = tmp_path / "folder"
    folder.mkdir()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"+{left.pid}\n+999999\n-999999\n"))

    keep(str(folder))

    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert left.wait(timeout=5) == -signal.SIGKILL
    assert not folder.exists()
