"""Each rule of the table refuses what it is about, at its place, and nothing else is refused with it."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.spec.autoscaler import AutoscalerConfig
from kpasim.spec.base import dotted
from kpasim.spec.configmaps import ClusterConfig, Defaults, parse_defaults
from kpasim.spec.manifest import service_of
from kpasim.spec.webhook import RULES, review
from kpasim.spec.webhook.configmap import example_checksum, refusals

CONFIG = AutoscalerConfig()
SHIPPED = parse_defaults(Defaults(), "config-features", {}, strict=True)
IMAGE = "registry.example/painter"
SPEC = "spec.template.spec."
FIRST = SPEC + "containers[0]."
NOTES = "spec.template.metadata.annotations."
TWO = [{"image": IMAGE, "name": "a", "ports": [{}]}, {"image": IMAGE, "name": "b"}]


class Row(NamedTuple):
    """What a Service has beside a name and an image, and the place that is refused."""

    place: str
    container: dict[str, Any] = {}  # noqa: RUF012
    pod: dict[str, Any] = {}  # noqa: RUF012
    notes: dict[str, str] = {}  # noqa: RUF012
    spec: dict[str, Any] = {}  # noqa: RUF012
    meta: dict[str, Any] = {}  # noqa: RUF012
    template: dict[str, Any] = {}  # noqa: RUF012
    features: dict[str, str] = {}  # noqa: RUF012


def mounted(volume: dict[str, Any], mount: dict[str, Any] | None = None) -> dict[str, Any]:
    """A container and a pod with a volume."""
    return {
        "container": {"volumeMounts": [{"name": "v", "mountPath": "/data", **(mount or {})}]},
        "pod": {"volumes": [{"name": "v", **volume}]},
    }


def env(**variable: Any) -> dict[str, Any]:
    """A container with one variable."""
    return {"env": [variable]}


def resources(**bounds: dict[str, str]) -> dict[str, Any]:
    """A container with requests or limits."""
    return {"resources": bounds}


TRAFFIC = "spec.traffic"
OWNER = {"apiVersion": "v1", "kind": "a", "name": "b", "uid": "c"}
SOURCES = SPEC + "volumes[0].projected.sources[0]."
LOADER = SPEC + "initContainers[0]."
SECRET = {"secret": {"name": "s", "items": [{"key": "a", "path": "a"}]}}


def loader(**fields: Any) -> dict[str, Any]:
    """A pod with an init container, on a cluster that takes it."""
    return {
        "pod": {"initContainers": [{"image": IMAGE, **fields}]},
        "features": {"kubernetes.podspec-init-containers": "enabled"},
    }


def label_file(**reference: Any) -> dict[str, Any]:
    """A volume with a file that tells of the pod."""
    return mounted({"projected": {"sources": [{"downwardAPI": {"items": [{"path": "a", **reference}]}}]}})


ROWS: dict[str, list[Row]] = {
    "field-type": [
        Row(SPEC + "containerConcurrency", pod={"containerConcurrency": "1"}),
        Row(SPEC + "timeoutSeconds", pod={"timeoutSeconds": 1.5}),
        Row(FIRST + "args", container={"args": "--listen"}),
        Row(FIRST + "resources.limits.memory", container=resources(limits={"memory": "2GB"})),
        Row(FIRST + "ports[0].containerPort", container={"ports": [{"containerPort": 2**40}]}),
    ],
    "list-key": [Row(FIRST + "env[1].name", container={"env": [{"name": "A"}, {"name": "A"}]})],
    "metadata": [
        Row("metadata.labels.team", meta={"labels": {"team": "a b"}}),
        Row("metadata.finalizers[0]", meta={"finalizers": ["a b"]}),
        Row("metadata.generation", meta={"generation": -1}),
        Row("metadata.ownerReferences[0].uid", meta={"ownerReferences": [{**OWNER, "uid": ""}]}),
        Row("metadata.ownerReferences", meta={"ownerReferences": [{**OWNER, "controller": True}] * 2}),
    ],
    "service-name": [
        Row("metadata.name", meta={"name": "1a"}),
        Row("metadata.name", meta={"name": ""}),
        Row("metadata.generateName", meta={"name": "", "generateName": "-"}),
        Row("metadata.generateName", meta={"name": "", "generateName": "1-"}),
    ],
    "annotation-on-service": [
        Row(
            "metadata.annotations.autoscaling.knative.dev/min-scale",
            meta={"annotations": {"autoscaling.knative.dev/min-scale": "1"}},
        )
    ],
    "rollout-duration": [
        Row(
            "metadata.annotations.serving.knative.dev/rollout-duration",
            meta={"annotations": {"serving.knative.dev/rollout-duration": "1.5s"}},
        )
    ],
    "autoscaling-annotation": [
        Row(NOTES + "autoscaling.knative.dev/window", notes={"autoscaling.knative.dev/window": "5s"})
    ],
    "networking-annotation": [Row(NOTES + "networking.knative.dev/x", notes={"networking.knative.dev/x": "1"})],
    "queue-resources": [
        Row(
            NOTES + "queue.sidecar.serving.knative.dev/cpu-resource-request",
            notes={"queue.sidecar.serving.knative.dev/cpu-resource-request": "many"},
        ),
        Row(
            NOTES + "queue.sidecar.serving.knative.dev/resource-percentage",
            notes={"queue.sidecar.serving.knative.dev/resource-percentage": "0"},
        ),
    ],
    "progress-deadline": [
        Row(NOTES + "serving.knative.dev/progress-deadline", notes={"serving.knative.dev/progress-deadline": "10"})
    ],
    "revision-name": [Row("spec.template.metadata.name", template={"name": "other-1"})],
    "timeout": [Row(SPEC + "timeoutSeconds", pod={"timeoutSeconds": 601})],
    "container-concurrency": [Row(SPEC + "containerConcurrency", pod={"containerConcurrency": -1})],
    "pod-field": [
        Row(SPEC + "nodeSelector", pod={"nodeSelector": {"gpu": "a10"}}),
        Row(SPEC + "tolerations", pod={"tolerations": [{"operator": "Exists"}]}),
        Row(SPEC + "hostNetwork", pod={"hostNetwork": True}),
        Row(SPEC + "automountServiceAccountToken", pod={"automountServiceAccountToken": True}),
    ],
    "pod-security-context": [
        Row(
            SPEC + "securityContext.sysctls",
            pod={"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "1024"}]}},
            features={"kubernetes.podspec-securitycontext": "enabled"},
        )
    ],
    "service-account-name": [Row(SPEC + "serviceAccountName", pod={"serviceAccountName": "A_b"})],
    "containers-missing": [Row(SPEC + "containers", pod={"containers": []})],
    "multi-container": [Row(SPEC + "containers", pod={"containers": TWO}, features={"multi-container": "disabled"})],
    "init-containers": [
        Row(
            SPEC + "initContainers",
            pod={"initContainers": [{"image": IMAGE}]},
            features={"kubernetes.podspec-init-containers": "allowed"},
        )
    ],
    "init-container-field": [
        Row(
            SPEC + "initContainers[0].readinessProbe",
            pod={"initContainers": [{"image": IMAGE, "readinessProbe": {"tcpSocket": {}}}]},
            features={"kubernetes.podspec-init-containers": "enabled"},
        )
    ],
    "container-field": [
        Row(LOADER + "restartPolicy", **loader(restartPolicy="Always")),
        Row(LOADER + "securityContext.seLinuxOptions", **loader(securityContext={"seLinuxOptions": {}})),
        Row(LOADER + "ports[0].hostPort", **loader(ports=[{"containerPort": 1, "hostPort": 1}])),
        Row(
            SPEC + "initContainers[0].stdin",
            pod={"initContainers": [{"image": IMAGE, "stdin": True}]},
            features={"kubernetes.podspec-init-containers": "enabled"},
        )
    ],
    "container-name-reserved": [Row(FIRST + "name", container={"name": "queue-proxy"})],
    "container-name-twice": [Row(SPEC + "containers[1].name", pod={"containers": [TWO[0], {**TWO[1], "name": "a"}]})],
    "image": [Row(FIRST + "image", container={"image": "UPPER CASE"}), Row(FIRST + "image", container={"image": ""})],
    "termination-policy": [
        Row(FIRST + "terminationMessagePolicy", container={"terminationMessagePolicy": "Nowhere"})
    ],
    "security-context": [
        Row(FIRST + "securityContext.privileged", container={"securityContext": {"privileged": True}}),
        Row(FIRST + "securityContext.runAsUser", container={"securityContext": {"runAsUser": -1}}),
        Row(
            FIRST + "securityContext.capabilities.add",
            container={"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
        ),
    ],
    "ports": [
        Row(SPEC + "containers", container={"ports": [{"containerPort": 80}, {"containerPort": 81}]}),
        Row(SPEC + "containers", pod={"containers": [{"image": IMAGE}, {"image": IMAGE}]}),
    ],
    "port-number": [Row(FIRST + "ports[0].containerPort", container={"ports": [{"containerPort": 70000}]})],
    "port-reserved": [Row(FIRST + "ports[0].containerPort", container={"ports": [{"containerPort": 8012}]})],
    "port-protocol": [Row(FIRST + "ports[0].protocol", container={"ports": [{"protocol": "UDP"}]})],
    "port-name": [Row(FIRST + "ports[0].name", container={"ports": [{"name": "grpc"}]})],
    "sidecar-probe": [
        Row(
            SPEC + "containers[1].livenessProbe",
            pod={"containers": [TWO[0], {**TWO[1], "livenessProbe": {"exec": {"command": ["x"]}}}]},
        )
    ],
    "probe-handler": [
        Row(FIRST + "livenessProbe", container={"livenessProbe": {"periodSeconds": 1}}),
        Row(FIRST + "readinessProbe", container={"readinessProbe": {"tcpSocket": {}, "httpGet": {}}}),
    ],
    "probe-port": [
        Row(FIRST + "readinessProbe.httpGet.port", container={"readinessProbe": {"httpGet": {"port": "web"}}})
    ],
    "probe-without-period": [
        Row(FIRST + "readinessProbe.failureThreshold", container={"readinessProbe": {"failureThreshold": 3}})
    ],
    "probe-number": [Row(FIRST + "readinessProbe.periodSeconds", container={"readinessProbe": {"periodSeconds": -1}})],
    "env-name": [Row(FIRST + "env[0].name", container=env(value="1"))],
    "env-reserved": [Row(FIRST + "env[0].name", container=env(name="K_SERVICE", value="1"))],
    "env-source": [
        Row(
            FIRST + "env[0].valueFrom.fieldRef",
            container=env(name="POD", valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}),
        )
    ],
    "env-from": [Row(FIRST + "envFrom[0]", container={"envFrom": [{"prefix": "A"}]})],
    "volume-name": [
        Row(
            SPEC + "volumes[0].name",
            container={"volumeMounts": [{"name": "V", "mountPath": "/data"}]},
            pod={"volumes": [{"name": "V", "emptyDir": {}}]},
        )
    ],
    "volume-not-mounted": [Row(SPEC + "volumes[0].name", pod={"volumes": [{"name": "v", "emptyDir": {}}]})],
    "volume-source": [
        Row(SPEC + "volumes[0]", **mounted({})),
        Row(SPEC + "volumes[0]", **mounted({"emptyDir": {}, "secret": {"secretName": "s"}})),
    ],
    "volume-off": [Row(SPEC + "volumes[0].hostPath", **mounted({"hostPath": {"path": "/x"}}))],
    "volume-item": [
        Row(SPEC + "volumes[0].emptyDir.medium", **mounted({"emptyDir": {"medium": "Disk"}})),
        Row(SPEC + "volumes[0].secret.items[0].key", **mounted({"secret": {"items": [{"path": "p"}]}})),
    ],
    "mount-without-volume": [
        Row(FIRST + "volumeMounts[0].name", container={"volumeMounts": [{"name": "w", "mountPath": "/data"}]})
    ],
    "mount-path": [Row(FIRST + "volumeMounts[0].mountPath", **mounted({"emptyDir": {}}, {"mountPath": "/dev"}))],
    "mount-read-only": [
        Row(
            FIRST + "volumeMounts[0].readOnly",
            **mounted({"persistentVolumeClaim": {"claimName": "p", "readOnly": True}}),
            features={"kubernetes.podspec-persistent-volume-claim": "enabled"},
        )
    ],
    "mount-propagation": [
        Row(FIRST + "volumeMounts[0].mountPropagation", **mounted({"emptyDir": {}}, {"mountPropagation": "None"}))
    ],
    "traffic-sum": [Row(TRAFFIC, spec={"traffic": [{"percent": 90}]})],
    "traffic-percent": [Row(TRAFFIC + "[0].percent", spec={"traffic": [{"percent": -10}, {"percent": 110}]})],
    "traffic-latest": [
        Row(TRAFFIC + "[0].latestRevision", spec={"traffic": [{"percent": 100, "latestRevision": False}]})
    ],
    "traffic-configuration": [
        Row(TRAFFIC + "[0].configurationName", spec={"traffic": [{"percent": 100, "configurationName": "a"}]})
    ],
    "traffic-revision": [Row(TRAFFIC + "[0].revisionName", spec={"traffic": [{"percent": 100, "revisionName": "?"}]})],
    "traffic-tag": [Row(TRAFFIC + "[0].tag", spec={"traffic": [{"percent": 100, "tag": "A"}]})],
    "traffic-url": [Row(TRAFFIC + "[0].url", spec={"traffic": [{"percent": 100, "url": "http://a"}]})],
    "pod-container-name": [Row(FIRST + "name", container={"name": "A_b"})],
    "pod-pull-policy": [Row(FIRST + "imagePullPolicy", container={"imagePullPolicy": "always"})],
    "pod-port": [
        Row(LOADER + "ports[0].name", **loader(ports=[{"containerPort": 80, "name": "the-port-of-the-loader"}])),
        Row(LOADER + "ports[0].containerPort", **loader(ports=[{"name": "http"}])),
    ],
    "pod-reference": [
        Row(SOURCES + "downwardAPI.items[0].fieldRef.fieldPath", **label_file(fieldRef={"fieldPath": "spec.nodeName"})),
        Row(
            SOURCES + "downwardAPI.items[0].resourceFieldRef.containerName",
            **label_file(resourceFieldRef={"resource": "limits.cpu"}),
        ),
        Row(
            SOURCES + "downwardAPI.items[0].resourceFieldRef.divisor",
            **label_file(resourceFieldRef={"resource": "limits.cpu", "containerName": "a", "divisor": "1k"}),
        ),
    ],
    "pod-env": [
        Row(FIRST + "envFrom[0].configMapRef.name", container={"envFrom": [{"configMapRef": {"name": "A b"}}]}),
        Row(FIRST + "env[0].name", container=env(name="a=b")),
        Row(FIRST + "env[0].valueFrom", container=env(name="A", valueFrom={})),
    ],
    "pod-probe": [
        Row(FIRST + "startupProbe.tcpSocket.port", container={"startupProbe": {"tcpSocket": {}}}),
        Row(
            FIRST + "livenessProbe.successThreshold",
            container={"livenessProbe": {"tcpSocket": {}, "successThreshold": 2}},
        ),
        Row(FIRST + "readinessProbe.exec.command", container={"readinessProbe": {"exec": {}}}),
    ],
    "pod-resources": [
        Row(FIRST + "resources.limits.nvidia.com/gpu", container=resources(limits={"nvidia.com/gpu": "0.5"})),
        Row(FIRST + "resources.requests.nvidia.com/gpu", container=resources(requests={"nvidia.com/gpu": "1"})),
        Row(FIRST + "resources.requests.cpu", container=resources(limits={"cpu": "1"}, requests={"cpu": "2"})),
        Row(FIRST + "resources.limits.gpu", container=resources(limits={"gpu": "1"})),
        Row(
            FIRST + "resources.limits.hugepages-2Mi",
            container=resources(limits={"hugepages-2Mi": "3Mi", "memory": "1Gi"}),
        ),
    ],
    "pod-security": [
        Row(
            FIRST + "securityContext.seccompProfile.type",
            container={"securityContext": {"seccompProfile": {"type": "Default"}}},
        ),
        Row(
            FIRST + "securityContext.seccompProfile.localhostProfile",
            container={"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "/a"}}},
        ),
    ],
    "pod-volume": [
        Row(SPEC + "volumes[0].secret.secretName", **mounted({"secret": {}})),
        Row(
            SPEC + "volumes[0].projected.sources[1]",
            **mounted({"projected": {"sources": [SECRET, SECRET]}}),
        ),
    ],
    "pod-mount": [Row(FIRST + "volumeMounts[0].subPath", **mounted({"emptyDir": {}}, {"subPath": "../x"}))],
    "pod-scheduling": [
        Row(
            SPEC + "tolerations[0].effect",
            pod={"tolerations": [{"operator": "Exists", "effect": "Never"}]},
            features={"kubernetes.podspec-tolerations": "enabled"},
        ),
        Row(
            SPEC + "tolerations[0].value",
            pod={"tolerations": [{"key": "gpu", "value": "a b"}]},
            features={"kubernetes.podspec-tolerations": "enabled"},
        ),
        Row(
            SPEC + "hostAliases[0].ip",
            pod={"hostAliases": [{"ip": "localhost", "hostnames": ["a"]}]},
            features={"kubernetes.podspec-hostaliases": "enabled"},
        ),
        Row(
            SPEC + "dnsConfig", pod={"dnsPolicy": "None"}, features={"kubernetes.podspec-dnspolicy": "enabled"}
        ),
        Row(
            SPEC + "topologySpreadConstraints[0].whenUnsatisfiable",
            pod={"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a"}]},
            features={"kubernetes.podspec-topologyspreadconstraints": "enabled"},
        ),
    ],
}  # fmt: skip


def service(row: Row) -> dict[str, Any]:
    """The Service of a row."""
    pod = {"containers": [{"image": IMAGE, **row.container}], **row.pod}
    template = {"metadata": {"annotations": dict(row.notes), **row.template}, "spec": pod}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "painter", **row.meta},
        "spec": {"template": template, **row.spec},
    }


@pytest.mark.parametrize(("rule", "row"), [(rule, row) for rule, rows in ROWS.items() for row in rows])
def test_a_rule_refuses_what_it_is_about(rule: str, row: Row) -> None:
    """By the source file of its row in the table, at the place that has to be changed."""
    defaults = parse_defaults(SHIPPED, "config-features", row.features, strict=True)
    faults = review(service(row), ClusterConfig(CONFIG, defaults)).faults
    assert {(fault.rule, dotted(fault.place)) for fault in faults} >= {(rule, row.place)}
    assert {fault.rule for fault in faults} <= {rule, "probe-port"}
    assert all(fault.source == RULES[fault.rule] for fault in faults)


def test_every_rule_has_a_row() -> None:
    """The table of rules and the table of rows name the same."""
    assert set(ROWS) == set(RULES)


def test_without_config_features_a_field_is_doubted_and_not_refused() -> None:
    """Whether a cluster takes a nodeSelector is for its config-features to say."""
    row = ROWS["pod-field"][0]
    unknown = review(service(row), ClusterConfig(CONFIG, Defaults()))
    assert not unknown.faults
    assert [fault.feature for fault in unknown.needs] == ["kubernetes.podspec-nodeselector"]
    enabled = parse_defaults(Defaults(), "config-features", {unknown.needs[0].feature: "Enabled"}, strict=True)
    verdict = review(service(row), ClusterConfig(CONFIG, enabled))
    assert (verdict.faults, verdict.needs) == ((), ())


def test_other_config_maps_are_held_to_their_bounds() -> None:
    """Garbage collection, the network, and an example that was edited."""
    assert refusals("config-gc", {"min-non-active-revisions": "-1"}, {})
    assert refusals("config-gc", {"max-non-active-revisions": "5"}, {})
    assert not refusals("config-gc", {"max-non-active-revisions": "disabled"}, {})
    assert refusals("config-network", {"http-protocol": "maybe"}, {})
    assert refusals("config-network", {"domain-template": "{{.Nam}}"}, {})
    assert not refusals("config-network", {"domain-template": "{{.Name}}.{{.Namespace}}.{{.Domain}}"}, {})
    for host in ("a b", "{}", "[]", "a: b", "a/b", ""):
        assert refusals("config-network", {"domain-template": host}, {})
    assert refusals("config-deployment", {}, {})
    text = "stable-window: 60s\n\npanic: 1\n"
    sums = {"knative.dev/example-checksum": example_checksum(text)}
    assert not refusals("config-autoscaler", {"_example": text.replace("\n\n", "\n")}, sums)
    assert refusals("config-autoscaler", {"_example": text.replace("60s", "120s")}, sums)
    assert not refusals("of-another-project", {"_example": "x"}, sums)


O11Y, LE, LOG = "config-observability", "config-leader-election", "config-logging"


@pytest.mark.parametrize(
    ("name", "data", "wrong"),
    [
        (O11Y, {}, ""),
        (O11Y, {"metrics-protocol": "prometheus", "metrics-endpoint": ":9000"}, ""),
        (O11Y, {"metrics-protocol": " none "}, ""),
        (O11Y, {"metrics-protocol": ""}, "metrics-protocol"),
        (O11Y, {"metrics-protocol": "Prometheus"}, "metrics-protocol"),
        (O11Y, {"metrics-protocol": "grpc"}, "metrics-endpoint"),
        (O11Y, {"metrics-protocol": "none", "metrics-endpoint": "x"}, "metrics-endpoint"),
        (O11Y, {"metrics-endpoint": "x"}, "metrics-endpoint"),
        (O11Y, {"metrics-export-interval": "30s"}, ""),
        (O11Y, {"metrics-export-interval": "30"}, "metrics-export-interval"),
        (O11Y, {"metrics-export-interval": "-1s"}, "metrics-export-interval"),
        (O11Y, {"metrics-export-interval": "disabled"}, "metrics-export-interval"),
        (O11Y, {"request-metrics-protocol": "http/protobuf", "request-metrics-endpoint": "x"}, ""),
        (O11Y, {"request-metrics-protocol": "stdout"}, "request-metrics-protocol"),
        (O11Y, {"tracing-protocol": "stdout"}, ""),
        (O11Y, {"tracing-protocol": "prometheus"}, "tracing-protocol"),
        (O11Y, {"tracing-protocol": "grpc", "tracing-endpoint": "x:1", "tracing-sampling-rate": "0.1"}, ""),
        (O11Y, {"tracing-sampling-rate": "1.1"}, "tracing-sampling-rate"),
        (O11Y, {"tracing-sampling-rate": "10%"}, "tracing-sampling-rate"),
        (O11Y, {"runtime-profiling": "enabled"}, ""),
        (O11Y, {"runtime-profiling": "true"}, "runtime-profiling"),
        (O11Y, {"runtime-export-interval": ""}, "runtime-export-interval"),
        (O11Y, {"logging.enable-request-log": "yes"}, "logging.enable-request-log"),
        (O11Y, {"logging.enable-request-log": "T"}, ""),
        (O11Y, {"logging.enable-request-log": "true", "logging.request-log-template": ""},
         "logging.request-log-template"),
        (O11Y, {"logging.request-log-template": ""}, ""),
        (O11Y, {"logging.request-log-template": "{{.Request.Metod}} {{js .A}} {{if .B}}x{{end}}"}, ""),
        (O11Y, {"logging.request-log-template": "{{.Request"}, "logging.request-log-template"),
        (O11Y, {"logging.request-log-template": "{{}}"}, "logging.request-log-template"),
        (O11Y, {"logging.request-log-template": "{{if .B}}x"}, "logging.request-log-template"),
        (O11Y, {"logging.request-log-template": "{{shout .B}}"}, "logging.request-log-template"),
        (O11Y, {"metrics.backend-destination": "opencensus"}, ""),  # a key of the past
        ("config-autoscaler", {"requests-per-second-target-default": "-Inf"}, "requests-per-second-target-default"),
        ("config-autoscaler", {"container-concurrency-target-percentage": "Inf"},
         "container-concurrency-target-percentage"),
        ("config-defaults", {"revision-cpu-request": "T", "revision-memory-limit": "."}, ""),
        ("config-defaults", {"revision-cpu-request": "Ei"}, "revision-cpu-request"),
        ("config-deployment", {"queueSidecarImage": ""}, "queueSidecarImage"),
        (LE, {"lease-duration": "15s", "renewDeadline": "-10s", "buckets": "10"}, ""),
        (LE, {"lease-duration": "15"}, "lease-duration"),
        (LE, {"retryPeriod": ""}, "retryPeriod"),
        (LE, {"buckets": "0"}, "buckets"),
        (LE, {"buckets": "11"}, "buckets"),
        (LE, {"buckets": "+1"}, "buckets"),
        (LE, {"buckets": "1" * 40}, "buckets"),
        (LOG, {"zap-logger-config": "not JSON", "loglevel.activator": "WARNING", "loglevel.": "x"}, ""),
        (LOG, {"loglevel.controller": ""}, ""),
        (LOG, {"loglevel.controller": "trace"}, "loglevel.controller"),
        (LOG, {"loglevel.any": " info"}, "loglevel.any"),
        ("config-domain", {"example.com": "", "example.org": "selector:\n  app: prod\n  public: true\n"}, ""),
        ("config-domain", {"example.org": "selector: prod"}, "example.org.selector"),
        ("config-domain", {"example.org": "prod"}, "example.org"),
        ("config-domain", {"example.org": "type: 5\nother: [1]"}, ""),
        ("config-domain", {"example.org": "a: [1"}, "example.org"),
        ("config-certmanager", {"issuerRef": "kind: ClusterIssuer\nname: letsencrypt\n"}, ""),
        ("config-certmanager", {"issuerRef": "letsencrypt"}, "issuerRef"),
        ("config-certmanager", {"clusterLocalIssuerRef": "name: [a]"}, "clusterLocalIssuerRef.name"),
        ("config-certmanager", {"_example": "x", "other": "[1"}, ""),
        ("config-network", {"namespace-wildcard-cert-selector": "matchLabels: {a: 1}"}, ""),
        ("config-network", {"namespace-wildcard-cert-selector": "matchLabels: a"},
         "namespace-wildcard-cert-selector.matchLabels"),
        ("config-network", {"namespace-wildcard-cert-selector": "matchExpressions: [{key: a, values: b}]"},
         "namespace-wildcard-cert-selector.matchExpressions.0.values"),
        ("config-network", {"mesh-compatibility-mode": "perhaps"}, ""),
        ("config-tracing", {"backend": "zipkin", "sample-rate": "9"}, ""),  # no webhook reads it any longer
    ],
)  # fmt: skip
def test_config_maps_that_no_run_depends_on(name: str, data: dict[str, str], wrong: str) -> None:
    """What Knative's sources say of observability, logging, leader election, domains and certificates."""
    assert [key for key, _ in refusals(name, data, {})] == ([wrong] if wrong else [])


WORDS = sorted(
    {
        "spec", "template", "metadata", "annotations", "labels", "containers", "image", "env", "name", "value",
        "valueFrom", "ports", "containerPort", "readinessProbe", "startupProbe", "livenessProbe", "httpGet", "port",
        "tcpSocket", "exec", "command", "resources", "limits", "requests", "volumes", "volumeMounts", "mountPath",
        "secret", "emptyDir", "projected", "sources", "items", "traffic", "percent", "tag", "initContainers",
        "securityContext", "capabilities", "add", "status", "tolerations", "nodeSelector", "timeoutSeconds",
        "containerConcurrency", "seccompProfile", "autoscaling.knative.dev/target", "nvidia.com/gpu",
    }
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "x", "1", "-1s", "1Gi", "/", "a@b", "{{", "1e999", "painter:latest"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=25,
)
FEATURES = st.dictionaries(
    st.sampled_from(
        ["multi-container-probing", "secure-pod-defaults"]
        + [f"kubernetes.podspec-{name}" for name in ("init-containers", "securitycontext", "tolerations")]
    ),
    st.sampled_from(["enabled", "allowed", "disabled", "?"]),
)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300, "1e9999999", "Ei"])
def test_a_quantity_that_is_no_number_is_refused(number: object) -> None:
    """YAML has such numbers, JSON has not."""
    faults = review(
        service(Row("", container=resources(limits={"memory": number}))), ClusterConfig(CONFIG, Defaults())
    ).faults  # type: ignore[dict-item]
    assert [fault.rule for fault in faults] == ["field-type"] or number == 1e300


def test_a_quantity_beyond_all_bounds_is_held_at_63_bits() -> None:
    """As Kubernetes does it where it counts."""
    data = service(Row("", container=resources(limits={"nvidia.com/gpu": "1e400"})))
    assert service_of(data, CONFIG).gpus == 2**63 - 1


def test_an_empty_name_of_a_secret_is_written_back() -> None:
    """Lists of empty objects have defaults, too."""
    verdict = review(service(Row("", pod={"imagePullSecrets": [{"name": ""}]})), ClusterConfig(CONFIG, Defaults()))
    assert verdict.defaulted is not None
    assert verdict.defaulted["imagePullSecrets"] == [{"name": ""}]


@settings(max_examples=300)
@given(VALUES, VALUES, VALUES, st.none() | FEATURES)
def test_no_object_is_answered_with_a_traceback(spec: Any, container: Any, meta: Any, features: Any) -> None:
    """Whatever shape it has: accepted, or refused with reasons."""
    defaults = Defaults() if features is None else parse_defaults(Defaults(), "config-features", features, strict=True)
    whole = {"metadata": meta, "spec": spec}
    inner = service(Row("", pod=spec if isinstance(spec, dict) else {"containers": [container]}))
    for data in (whole, inner, {**inner, "metadata": meta}):
        verdict = review(data, ClusterConfig(CONFIG, defaults))
        assert all(fault.rule in RULES for fault in verdict.faults)
