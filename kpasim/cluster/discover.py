"""What kind of cluster this is: Knative's version and settings, the gateway, the GPUs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kpasim.cluster.errors import ClusterError, ForbiddenError, MissingError
from kpasim.cluster.kube import Kube
from kpasim.cluster.objects import (
    ALB_CONFIGS,
    CONFIG_MAPS,
    CORE_SERVICES,
    KSERVE_NAMESPACE,
    NODES,
    PODS,
    SYSTEM_NAMESPACE,
    Document,
    annotations_of,
    condition,
    labels_of,
    name_of,
    status_of,
    waiting_of,
)
from kpasim.results.provenance import KNATIVE_COMMIT
from kpasim.spec.configmaps import KSERVE_CONFIG, Defaults, KServeConfig, parse_defaults
from kpasim.spec.kserve import INFERENCE_SERVICE, KNATIVE_MODES, MODE, deployment_mode

HELD_TO = KNATIVE_COMMIT[:7]
"""Commit of knative/serving that ``kpasim.policy`` follows."""

Gateway = Literal["auto", "kourier", "istio", "alb"]

_GATEWAYS = {"kourier": ("kourier-system", "kourier"), "istio": ("istio-system", "istio-ingressgateway")}
_ALB = "knative-internet"
_CONFIG_MAPS = ("config-autoscaler", "config-defaults", "config-deployment", "config-network")
_INGRESS_CLASS = re.compile(r"(kourier|istio|alb)\.ingress\.networking\.knative\.dev")
_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")


@dataclass(frozen=True)
class Findings:
    """What a look around found.

    Attributes:
        version: Knative's version as its pods carry it, empty where unknown.
        configs: Data of config-autoscaler, config-defaults, config-deployment and config-network.
        gpus: Allocatable GPUs of all nodes; None where nodes may not be listed.
        gateway: URL of the gateway.
        warnings: What a user should know before going on.
    """

    version: str
    configs: Mapping[str, Mapping[str, str]]
    activators: int
    gpus: int | None
    gateway: str
    gateway_kind: str
    warnings: tuple[str, ...]


def discover(
    kube: Kube,
    *,
    gateway: Gateway = "auto",
    url: str | None = None,
    gpus_per_pod: int = 0,
    manifest: Document | None = None,
) -> Findings:
    """Look around in a cluster before ``manifest`` is deployed; for an InferenceService KServe's settings are read.

    The gateway ``auto`` asks Knative; with a ``url`` it is not looked up. ``gpus_per_pod`` is for a warning.

    Raises:
        ClusterError: Knative is not there, the gateway has no address, or KServe makes no Knative Service.
    """
    warnings: list[str] = []
    configs = {name: _config(kube, name) for name in _CONFIG_MAPS}
    system, _ = kube.list_all(PODS, SYSTEM_NAMESPACE)
    by_app: dict[str, list[Document]] = {}
    for pod in system:
        by_app.setdefault(labels_of(pod).get("app", ""), []).append(pod)
    if not by_app.get("autoscaler"):
        raise ClusterError(
            f"{kube.name}: no autoscaler runs in namespace {SYSTEM_NAMESPACE}: is Knative Serving installed?"
        )
    if not any(condition(pod, "Ready").get("status") == "True" for pod in by_app["autoscaler"]):
        raise ClusterError(
            f"{kube.name}: the autoscaler in namespace {SYSTEM_NAMESPACE} does not run: "
            f"{_state_of(by_app['autoscaler'][0])} (kubectl -n {SYSTEM_NAMESPACE} get pods)"
        )
    labels = labels_of(by_app["autoscaler"][0])
    version = str(labels.get("app.kubernetes.io/version") or labels.get("serving.knative.dev/release") or "")
    if HELD_TO not in version:
        warnings.append(
            f"Knative {version or 'of unknown version'} runs here; predictions follow knative/serving@{HELD_TO}, whose "
            "autoscaler may decide otherwise"
        )
    if manifest is not None and manifest.get("kind") == INFERENCE_SERVICE:
        _check_kserve(kube, manifest, warnings)
    gpus, serverless = _gpus(kube, warnings)
    if gpus_per_pod and gpus is not None and gpus < gpus_per_pod and not serverless:
        warnings.append(f"a pod asks for {gpus_per_pod} GPU, the nodes have {gpus} altogether: it may wait for ever")
    kind = _gateway_kind(gateway, configs["config-network"])
    return Findings(
        version=version,
        configs=configs,
        activators=max(1, len(by_app.get("activator", ()))),
        gpus=gpus,
        gateway=url or gateway_url(kube, kind),
        gateway_kind="url" if url else kind,
        warnings=tuple(warnings),
    )


def gateway_url(kube: Kube, kind: str) -> str:
    """URL of a gateway of a kind (kourier, istio, alb).

    Raises:
        ClusterError: There is none, or it has no address.
    """
    try:
        if kind == "alb":
            status = status_of(kube.get(ALB_CONFIGS, None, _ALB)).get("loadBalancer") or {}
            host, port = str(status.get("dnsname") or ""), 80
        else:
            namespace, name = _GATEWAYS[kind]
            host, port = _address(kube.get(CORE_SERVICES, namespace, name))
            if not host and kube.in_cluster:
                host, port = f"{name}.{namespace}.svc", 80
    except MissingError:
        raise ClusterError(f"{kube.name}: no {kind} gateway found: name it with --gateway, or give --url") from None
    if not host:
        raise ClusterError(
            f"{kube.name}: the {kind} gateway has no address: give --url (kubectl port-forward makes one)"
        )
    if not _HOST.fullmatch(host):
        raise ClusterError(f"{kube.name}: the {kind} gateway's address is no host name: {host[:60]!r}")
    host = f"[{host}]" if ":" in host else host  # IPv6
    return f"http://{host}" if port == 80 else f"http://{host}:{port}"


def _config(kube: Kube, name: str) -> dict[str, str]:
    try:
        data = kube.get(CONFIG_MAPS, SYSTEM_NAMESPACE, name).get("data") or {}
    except MissingError:
        raise ClusterError(
            f"{kube.name}: no ConfigMap {name} in namespace {SYSTEM_NAMESPACE}: is Knative Serving installed?"
        ) from None
    return {str(key): str(value) for key, value in data.items() if key != "_example"}


def _check_kserve(kube: Kube, manifest: Document, warnings: list[str]) -> None:
    """Refuse an InferenceService that this cluster's KServe makes a Deployment of, and warn of annotations it drops."""
    try:
        data = kube.get(CONFIG_MAPS, KSERVE_NAMESPACE, KSERVE_CONFIG).get("data") or {}
    except (ForbiddenError, MissingError) as error:
        warnings.append(f"KServe's settings are not known: {error}")
        return
    config = parse_defaults(Defaults(), KSERVE_CONFIG, data, path=KSERVE_CONFIG, strict=False).kserve
    mode = deployment_mode(manifest, config)
    if mode not in KNATIVE_MODES:
        raise ClusterError(
            f"{kube.name}: KServe deploys in mode {mode} here, in which Knative does not scale "
            f"(annotate the InferenceService: {MODE}: Knative)"
        )
    carried = {*annotations_of(manifest), *((manifest["spec"]["predictor"].get("annotations")) or {})}
    for key in sorted(carried & {*config.disallowed_annotations} - {*KServeConfig().disallowed_annotations}):
        warnings.append(f"KServe drops the annotation {key} here (--cluster-config tells the prediction)")


def _state_of(pod: Document) -> str:
    """Why a pod is not ready, in its own words."""
    for entry in status_of(pod).get("containerStatuses") or ():
        if reason := waiting_of(entry).get("reason"):
            return f"{name_of(pod)}: {reason}"
    return f"{name_of(pod)} is {status_of(pod).get('phase') or 'not there'} and not ready"


def _gpus(kube: Kube, warnings: list[str]) -> tuple[int | None, bool]:
    try:
        nodes, _ = kube.list_all(NODES, None)
    except ForbiddenError as error:
        warnings.append(f"GPUs are not counted: {error}")
        return None, False
    total = 0
    serverless = False
    for node in nodes:
        serverless |= labels_of(node).get("type") == "virtual-kubelet"
        count = str((status_of(node).get("allocatable") or {}).get("nvidia.com/gpu") or "0")
        total += int(count) if count.isdigit() else 0
    return total, serverless


def _gateway_kind(asked: str, network: Mapping[str, str]) -> str:
    if asked != "auto":
        return asked
    found = _INGRESS_CLASS.match(
        network.get("ingress-class") or network.get("ingress.class") or "istio.ingress.networking.knative.dev"
    )
    if found is None:
        raise ClusterError("the cluster's ingress is none of kourier, istio and alb: give --url")
    return found[1]


def _address(service: Document) -> tuple[str, int]:
    """Host and HTTP port of a Service of type LoadBalancer; empty where it has no address yet."""
    entries = (status_of(service).get("loadBalancer") or {}).get("ingress") or []
    if not entries:
        return "", 80
    host = str(entries[0].get("ip") or entries[0].get("hostname") or "")
    ports = (service.get("spec") or {}).get("ports") or []
    for port in ports:
        if port.get("name") in ("http2", "http", "http80"):
            return host, int(port["port"])
    raise ClusterError(f"gateway {name_of(service)}: no port named http2 or http")
