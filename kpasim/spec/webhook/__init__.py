"""What a cluster makes of a Service: its API server, Knative's two webhooks, and the pod that follows.

`review` decides without a cluster whether a Service would be taken, which of its fields would be dropped, and what
Knative would fill in. The rules are written from the sources that `RULES` names.
"""

from typing import Any

from kpasim.spec.configmaps import ClusterConfig
from kpasim.spec.webhook.decode import Decoder
from kpasim.spec.webhook.defaults import defaulted
from kpasim.spec.webhook.fields import RULES, SERVICE
from kpasim.spec.webhook.knative import annotation_faults, service_faults
from kpasim.spec.webhook.kubernetes import metadata_faults, pod_faults
from kpasim.spec.webhook.verdict import Fault, Verdict, below

__all__ = ["RULES", "Fault", "Verdict", "annotation_faults", "review"]


def review(data: Any, cluster: ClusterConfig) -> Verdict:
    """What a cluster with these ConfigMaps says of a Service of serving.knative.dev/v1."""
    decoder = Decoder()
    service = decoder.decode(SERVICE, data) or {}
    found = [*below(("metadata",), metadata_faults(service.get("metadata", {}))), *service_faults(service, cluster)]
    wrong = {fault.place for fault in decoder.faults}
    found = [fault for fault in found if not any(fault.place[: len(place)] == place for place in wrong)]
    needs = [fault for fault in found if fault.feature and cluster.defaults.features is None]
    faults = [*decoder.faults, *(fault for fault in found if fault not in needs)]
    pod = service.get("spec", {}).get("template", {}).get("spec", {})
    spec = None
    if all(fault.rule in {"image", "service-account-name"} for fault in faults):
        spec = defaulted(pod, cluster.defaults, service["metadata"].get("name", ""))
    # The webhook asks Kubernetes about the pod only where it has nothing to say itself.
    if spec and not faults:
        faults += below(("spec", "template", "spec"), pod_faults(spec))
    return Verdict(tuple(faults), tuple(needs), tuple(decoder.unknown), spec)
