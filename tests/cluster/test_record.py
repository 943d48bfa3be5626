"""What the adapter makes of objects, clocks, metrics and names."""

import datetime
import math

import pytest

from kpasim.cluster import objects
from kpasim.cluster.deploy import import_from_cluster
from kpasim.cluster.discover import _GATEWAYS, HELD_TO, discover, gateway_url
from kpasim.cluster.errors import ClusterError
from kpasim.cluster.kube import Clock
from kpasim.cluster.metrics import parse
from kpasim.cluster.record import Gauges, Recorder
from kpasim.spec.autoscaler import AutoscalerConfig
from kpasim.spec.manifest import read_service

from .fakes import Running, running, service

T0 = 1_800_000_000.0


def stamp(seconds: float) -> str:
    """A moment as Kubernetes writes it."""
    return datetime.datetime.fromtimestamp(math.floor(T0 + seconds), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(*, created: float = 0.0, ready: float | None = None, deleted: float | None = None, uid: str = "u"):
    """A pod of revision r."""
    metadata = {"name": f"pod-{uid}", "uid": uid, "creationTimestamp": stamp(created)}
    metadata["labels"] = {objects.REVISION_LABEL: "r"}
    if deleted is not None:
        metadata |= {"deletionTimestamp": stamp(deleted + 30), "deletionGracePeriodSeconds": 30}
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": stamp(ready)}] if ready is not None else []
    return {"metadata": metadata, "status": {"conditions": conditions}}


class Moments:
    """A clock that is set by hand."""

    at_s = T0

    def __call__(self) -> float:
        """Local time."""
        return self.at_s


def recorder() -> tuple[Recorder, Moments]:
    """A recorder of revision r, and its clock."""
    clock = Moments()
    found = Recorder(Clock(), now=clock)
    found.follow_revision("r")
    return found, clock


def test_a_change_is_dated_by_its_arrival():
    """A watch that works is finer than Kubernetes' whole seconds."""
    found, clock = recorder()

    clock.at_s = T0 + 0.3
    found.changed(objects.PODS, "ADDED", pod(created=0.2))
    clock.at_s = T0 + 7.8
    found.changed(objects.PODS, "MODIFIED", pod(created=0.2, ready=7.7))
    clock.at_s = T0 + 60.4
    found.changed(objects.PODS, "MODIFIED", pod(created=0.2, ready=7.7, deleted=60.3))
    clock.at_s = T0 + 90.6
    found.changed(objects.PODS, "DELETED", pod(created=0.2, ready=7.7, deleted=60.3))

    pods = found.tables(T0).pods
    assert [pods[name][0] for name in ("created_s", "ready_s", "delete_requested_s", "gone_s")] == pytest.approx(
        [0.3, 7.8, 60.4, 90.6]
    )


def test_what_happened_before_we_looked_is_dated_by_its_stamp():
    """A list after a broken watch tells of older changes: their stamps count, to the middle of the second."""
    found, clock = recorder()
    clock.at_s = T0 + 50.0

    found.listed(objects.PODS, [pod(created=3.0, ready=9.0)])

    pods = found.tables(T0).pods
    assert pods["created_s"][0] == 3.5
    assert pods["ready_s"][0] == 9.5


def test_a_pod_that_is_missing_from_a_list_is_gone():
    """What went while the watch was broken is gone when we look again."""
    found, clock = recorder()
    found.changed(objects.PODS, "ADDED", pod(uid="a"))
    found.changed(objects.PODS, "ADDED", pod(uid="b"))
    clock.at_s = T0 + 20.0

    found.listed(objects.PODS, [pod(uid="a")])

    assert found.present_pods == 1
    assert found.tables(T0).pods["gone_s"].tolist() == pytest.approx([math.nan, 20.0], nan_ok=True)


def test_pods_of_other_revisions_are_not_in_the_tables():
    """An adopted Service has pods of its own, which are none of ours."""
    found, _ = recorder()
    other = pod(uid="x")
    other["metadata"]["labels"][objects.REVISION_LABEL] = "older"
    found.changed(objects.PODS, "ADDED", other)
    found.changed(objects.PODS, "ADDED", pod(uid="a"))

    assert found.tables(T0).pods["pod"].tolist() == ["pod-a"]


def test_only_changes_leave_rows():
    """The same state twice is one row of scaling, the same averages twice one tick."""
    found, _ = recorder()
    deployment = {
        "metadata": {"labels": {objects.REVISION_LABEL: "r"}},
        "spec": {"replicas": 2},
        "status": {"readyReplicas": 1},
    }
    gauges = Gauges(0.5, 2.0, 1.0, 2.0, 1.0, -212.0)
    for _ in range(3):
        found.changed(objects.DEPLOYMENTS, "MODIFIED", deployment)
        found.observed(gauges)

    tables = found.tables(T0)
    assert tables.scaling["replicas"].tolist() == [2]
    assert tables.scaling["desired"].tolist() == [-1]
    assert tables.ticks["desired_panic"].tolist() == [2]
    assert tables.ticks["panic_mode"].tolist() == [1]


def test_messages_of_events_are_kept_only_where_they_explain():
    """Why a pod is not scheduled is kept, without credentials; what a registry says is not."""
    found, _ = recorder()
    for uid, reason, message in (
        ("1", "FailedScheduling", "0/3 nodes are available: https://user:pass@mirror/ unreachable"),
        ("2", "Failed", "pull https://user:pass@registry failed"),
    ):
        about = {"kind": "Pod", "name": "pod-a"}
        found.changed(
            objects.EVENTS,
            "ADDED",
            {"metadata": {"uid": uid}, "involvedObject": about, "reason": reason, "message": message, "count": 1},
        )
    text = repr(found.event_rows(T0))

    assert "nodes are available" in text
    assert "user" not in text
    assert "pull" not in text
    assert "nodes are available" in found.explain()


def test_garbage_in_objects_does_no_harm():
    """Fields of wrong types are as good as missing."""
    found, _ = recorder()
    for document in (
        {},
        {"metadata": None, "status": None},
        {
            "metadata": {"creationTimestamp": 5, "labels": None},
            "status": {"conditions": [None, 3], "containerStatuses": [7]},
        },
        {"metadata": {"uid": "z", "creationTimestamp": "never"}, "status": {"conditions": None}},
    ):
        found.changed(objects.PODS, "ADDED", document)
        found.changed(objects.DEPLOYMENTS, "ADDED", document)
        found.changed(objects.EVENTS, "ADDED", document)
    found.changed(objects.DEPLOYMENTS, "ADDED", {"spec": {"replicas": "many"}, "status": {"readyReplicas": None}})

    assert found.tables(T0).ticks["t_s"].size == 0


def test_answers_narrow_the_difference_of_the_clocks():
    """Each answer's whole second bounds the server's clock; together they pin it down."""
    clock = Clock()
    for sent_s in (0.0, 0.1, 0.3, 0.45, 0.7, 0.95):
        server_s = math.floor(T0 + sent_s + 2.6)
        date = datetime.datetime.fromtimestamp(server_s, datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        clock.saw(date, T0 + sent_s, T0 + sent_s + 0.01)
    clock.saw("nonsense", 0.0, 1.0)

    assert clock.skew_s == pytest.approx(2.6, abs=0.1)


OPENTELEMETRY = """
# HELP kn_revision_concurrency_stable Average of request count per observed pod over the stable window
kn_revision_concurrency_stable{k8s_namespace_name="default",kn_revision_name="sd-1",otel_scope_name="x"} 1.5
kn_revision_concurrency_panic{k8s_namespace_name="default",kn_revision_name="sd-1"} 3
kn_revision_concurrency_target{k8s_namespace_name="default",kn_revision_name="sd-1"} 0.7
kn_revision_pods_desired{k8s_namespace_name="default",kn_revision_name="sd-1"} 5
kn_revision_capacity_excess{k8s_namespace_name="default",kn_revision_name="sd-1"} -212
kn_revision_panic_mode{k8s_namespace_name="default",kn_revision_name="sd-1"} 1
kn_revision_concurrency_stable{k8s_namespace_name="other",kn_revision_name="sd-1"} 9
"""
OPENCENSUS = """
autoscaler_stable_request_concurrency{namespace_name="default",revision_name="sd-1"} 1.5
autoscaler_panic_request_concurrency{namespace_name="default",revision_name="sd-1"} 3
autoscaler_target_concurrency_per_pod{namespace_name="default",revision_name="sd-1"} 0.7
autoscaler_desired_pods{namespace_name="default",revision_name="sd-1"} 5
autoscaler_excess_burst_capacity{namespace_name="default",revision_name="sd-1"} -212
autoscaler_panic_mode{namespace_name="default",revision_name="sd-1"} 1
"""
RATES = """
kn_revision_rps_stable_per_second{k8s_namespace_name="default",kn_revision_name="sd-1"} 20
kn_revision_rps_panic_per_second{k8s_namespace_name="default",kn_revision_name="sd-1"} 30
"""


@pytest.mark.parametrize("text", [OPENTELEMETRY, OPENCENSUS])
def test_both_generations_of_metrics_are_understood(text: str):
    """Names changed when Knative moved to OpenTelemetry; the numbers mean the same."""
    assert parse(text, "default", "sd-1") == Gauges(1.5, 3.0, 0.7, 5.0, 1.0, -212.0)


def test_rates_are_understood_and_others_ignored():
    """A revision that scales by requests per second has no concurrency; one that is not there has nothing."""
    found = parse(RATES, "default", "sd-1")

    assert found is not None
    assert (found.stable, found.panic) == (20.0, 30.0)
    assert parse(OPENTELEMETRY, "default", "sd-2") is None
    assert parse("garbage{ } x\n" * 10, "default", "sd-1") is None


@pytest.mark.parametrize("name", ["", "UPPER", "a/b", "../secrets", "a b", "x" * 64, "-a", "a-", "ä", "a\n", None])
def test_a_name_that_is_none_reaches_no_url(name):
    """Only DNS labels may be namespaces and Services."""
    with pytest.raises(ClusterError, match="is not a name"):
        objects.SERVICES.path(name or "", "ok")
    with pytest.raises(ClusterError, match="is not a name"):
        objects.checked_label(name, "name")


@pytest.fixture(scope="module")
def cluster():
    """A fake cluster that the tests below share."""
    with running() as found:
        yield found


def test_the_version_that_the_policy_is_held_to_needs_no_warning(cluster: Running):
    """The fake cluster says that it is that version; the ConfigMap's example is not a setting."""
    kube = cluster.kube()
    found = discover(kube)
    kube.close()

    assert HELD_TO in found.version
    assert found.warnings == ()
    assert found.activators == 1
    assert found.gpus == 0
    assert "_example" not in found.configs["config-autoscaler"]
    assert (found.gateway_kind, found.gateway) == ("kourier", cluster.fake.gateway_url)


def test_another_version_and_missing_gpus_are_warned_of(cluster: Running):
    """A user learns that predictions follow another version, and that no node has a GPU."""

    def set_version(version: str) -> None:
        def change(document):
            document["metadata"]["labels"]["app.kubernetes.io/version"] = version

        cluster.fake.store.update(objects.PODS, "knative-serving", "autoscaler-0", change)

    cluster.do(lambda: set_version("1.19.0"))
    kube = cluster.kube()
    found = discover(kube, gpus_per_pod=1, url="http://gateway.example.org")
    kube.close()
    cluster.do(lambda: set_version(f"{HELD_TO}-stand-in"))

    assert found.gateway == "http://gateway.example.org"
    assert "Knative 1.19.0 runs here" in found.warnings[0]
    assert "it may wait for ever" in found.warnings[1]


def test_a_gateway_without_an_address_is_told(cluster: Running):
    """A LoadBalancer that is still pending has no address; the message says what to do."""
    metadata = {"name": "istio-ingressgateway", "namespace": "istio-system"}
    cluster.do(lambda: cluster.fake.store.create(objects.CORE_SERVICES, {"metadata": metadata, "spec": {}}))
    kube = cluster.kube()

    with pytest.raises(ClusterError, match="the istio gateway has no address: give --url"):
        gateway_url(kube, "istio")
    kube.close()


def test_a_gateway_with_an_ipv6_address_has_a_url(cluster: Running, monkeypatch: pytest.MonkeyPatch):
    """The address stands in brackets."""
    metadata = {"name": "kourier", "namespace": "kourier-ipv6"}
    document = {
        "metadata": metadata,
        "spec": {"ports": [{"name": "http2", "port": 8080}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "fd00::1"}]}},
    }
    monkeypatch.setitem(_GATEWAYS, "kourier", ("kourier-ipv6", "kourier"))
    cluster.do(lambda: cluster.fake.store.create(objects.CORE_SERVICES, document))
    kube = cluster.kube()

    assert gateway_url(kube, "kourier") == "http://[fd00::1]:8080"
    kube.close()


def test_a_service_is_imported_as_its_author_would_write_it(cluster: Running, tmp_path):
    """What the server wrote is left out, and the manifest reads like any other file."""
    kube = cluster.kube()
    kube.create(objects.SERVICES, "default", service(name="imported", annotations={"max-scale": 4}, timeoutSeconds=5))
    text = import_from_cluster("default", "imported", kube)
    kube.delete(objects.SERVICES, "default", "imported")
    kube.close()
    path = tmp_path / "service.yaml"
    path.write_text(text)

    found = read_service(path, AutoscalerConfig())

    assert found.name == "imported"
    assert found.revision.max_scale == 4
    assert found.container_concurrency == 1
    assert not [word for word in ("uid", "resourceVersion", "status", "creator", "kpasim.dev") if word in text]
