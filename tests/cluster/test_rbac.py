"""The manifests deploy/rbac*.yaml grant what the adapter does on a cluster, all of it and nothing more."""

import dataclasses
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from kpasim.cluster import objects
from kpasim.cluster.deadline import Deadline
from kpasim.cluster.deploy import import_from_cluster, leftovers, withdraw
from kpasim.cluster.discover import gateway_url
from kpasim.cluster.errors import ClusterError
from kpasim.cluster.live import LiveRun, live

from .fakes import Running, inference_service, plan, running, service
from .rbac import Rule, rules_of

DEPLOY = Path(__file__).parents[2] / "deploy"
PARTS = {path.name: list(YAML(typ="safe").load_all(path.read_text())) for path in sorted(DEPLOY.glob("rbac*.yaml"))}
RULES = rules_of(document for part in PARTS.values() for document in part)


def test_each_part_needs_only_the_namespaces_that_its_cluster_has():
    """The first part applies on any cluster with Knative, the others on one with their gateway, or with KServe."""
    namespaces = {
        name: {document["metadata"].get("namespace") for document in part} - {None} for name, part in PARTS.items()
    }
    assert namespaces == {
        "rbac.yaml": {"default", "knative-serving"},
        "rbac-kourier.yaml": {"kourier-system"},
        "rbac-istio.yaml": {"istio-system"},
        "rbac-kserve.yaml": {"default", "kserve"},
    }


def install_other_gateways(cluster: Running) -> None:
    """Give the fake cluster Istio's and Alibaba Cloud's gateways as well."""
    store = cluster.fake.store
    status = {"loadBalancer": {"ingress": [{"hostname": "gateway.example.org"}]}}
    ports = {"ports": [{"name": "http2", "port": 80}]}
    metadata = {"name": "istio-ingressgateway", "namespace": "istio-system"}
    store.create(objects.CORE_SERVICES, {"metadata": metadata, "spec": ports, "status": status})
    alb = {"metadata": {"name": "knative-internet"}, "status": {"loadBalancer": {"dnsname": "alb.example.org"}}}
    store.create(objects.ALB_CONFIGS, alb)


def do_everything(cluster: Running) -> list[str]:
    """All that the adapter ever asks of a cluster; returns its notes."""
    notes: list[str] = []
    kube = cluster.kube()
    try:

        def body(run: LiveRun) -> None:
            run.look()
            run.rehearse()
            run.deploy()
            Deadline(5, "a look at the metrics", run.check).wait(0.2)

        live(kube, plan(service(name="own", timeoutSeconds=5)), body, notes.append)
        kube.create(objects.SERVICES, "default", service(name="theirs", timeoutSeconds=5))
        live(
            kube,
            plan(service(name="theirs", args=["--service-s", "0"], timeoutSeconds=5), adopt=True),
            body,
            notes.append,
        )
        live(kube, plan(inference_service("model")), body, notes.append)
        kube.create(objects.INFERENCE_SERVICES, "default", inference_service("theirs-2", minReplicas=0))
        live(kube, plan(inference_service("theirs-2", args=["--service-s", "0"]), adopt=True), body, notes.append)
        kube.delete(objects.INFERENCE_SERVICES, "default", "theirs-2")
        import_from_cluster("default", "theirs", kube)
        left = service(name="theirs")["metadata"] | {"labels": {objects.RUN_LABEL: "dead"}}
        kube.delete(objects.SERVICES, "default", "theirs")
        kube.create(
            objects.SERVICES, "default", service(name="left", timeoutSeconds=5) | {"metadata": left | {"name": "left"}}
        )
        for found in leftovers(kube, "default"):
            withdraw(kube, found.deployed, found.run, Deadline(60, "clean"))
        assert gateway_url(kube, "istio") == "http://gateway.example.org"
        assert gateway_url(kube, "alb") == "http://alb.example.org"
    finally:
        kube.close()
    return notes


def test_the_manifest_grants_exactly_what_is_used():
    """Everything the adapter does is allowed by the manifest, and each verb in the manifest is used."""
    with running(rules=RULES) as cluster:
        cluster.do(lambda: install_other_gateways(cluster))
        notes = do_everything(cluster)
        seen = set(cluster.fake.server.seen)

    granted = {
        (rule.namespace, group, resource, verb, name)
        for rule in RULES
        for group in rule.groups
        for resource in rule.resources
        for verb in rule.verbs
        for name in rule.names or {""}
    }
    unused = {
        grant
        for grant in granted
        if not any(
            access.verb == grant[3]
            and access.group == grant[1]
            and access.resource == grant[2]
            and (grant[0] is None or access.namespace == grant[0])
            and grant[4] in ("", access.name)
            for access in seen
        )
    }
    assert [note for note in notes if "lacks the verb" in note] == []
    assert unused == set()


def without(verb: str, resource: str) -> list[Rule]:
    """The manifest's rules less one verb on one resource."""
    return [
        dataclasses.replace(
            rule, resources=frozenset({one}), verbs=rule.verbs - {verb} if one == resource else rule.verbs
        )
        for rule in RULES
        for one in rule.resources
    ]


@pytest.fixture(scope="module")
def cluster():
    """A fake cluster whose rules each test sets."""
    with running(rules=RULES) as found:
        yield found


@pytest.mark.parametrize(
    ("verb", "resource", "name"),
    [
        ("create", "services", "services.serving.knative.dev"),
        ("get", "services", "services.serving.knative.dev"),
        ("delete", "services", "services.serving.knative.dev"),
        ("list", "podautoscalers", "podautoscalers.autoscaling.internal.knative.dev"),
        ("watch", "podautoscalers", "podautoscalers.autoscaling.internal.knative.dev"),
        ("watch", "serverlessservices", "serverlessservices.networking.internal.knative.dev"),
        ("list", "deployments", "deployments.apps"),
        ("watch", "pods", "pods"),
        ("get", "configmaps", "configmaps"),
        ("watch", "events", "events"),
        ("list", "nodes", "nodes"),
        ("get", "pods/proxy", "pods/proxy"),
        ("create", "inferenceservices", "inferenceservices.serving.kserve.io"),
        ("delete", "inferenceservices", "inferenceservices.serving.kserve.io"),
    ],
)
def test_a_missing_permission_is_named(cluster: Running, verb: str, resource: str, name: str):
    """Without a verb the run ends, or goes on with a warning, and either names the verb, the resource and where."""
    told: list[str] = []

    def body(run: LiveRun) -> None:
        if name != "services.serving.knative.dev":
            run.look()
        run.deploy()
        limit = Deadline(15.0, "the warning")
        while verb != "delete" and not told and limit.left_s > 1.0:
            Deadline(1, "a second look", run.check).wait(0.1)

    cluster.do(lambda: setattr(cluster.fake.server, "rules", without(verb, resource)))
    kube = cluster.kube()
    try:
        own = f"no-{verb}-{resource.replace('/', '-')}"
        is_kserve = resource == "inferenceservices"
        manifest = inference_service(own) if is_kserve else service(name=own, timeoutSeconds=5)
        live(kube, plan(manifest), body, told.append)
    except ClusterError as error:
        told.append(str(error))
    finally:
        cluster.do(lambda: setattr(cluster.fake.server, "rules", RULES))
        for found in leftovers(kube, "default"):
            withdraw(kube, found.deployed, found.run, Deadline(60, "clean"))
        kube.close()
    lines = [line for line in told if f"{name}: this account may not {verb} " in line]
    assert lines
    part = "deploy/rbac-kserve.yaml" if is_kserve else "deploy/rbac.yaml"
    assert all("\n" not in line and part in line for line in lines)
