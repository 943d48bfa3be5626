"""The autoscaler's own view of a revision, from its metrics endpoint, where that can be reached.

Knative exports Prometheus text on port 9090 of the autoscaler's pod; the API server passes the request on. Older
versions have other names for the same gauges.

Source:
    knative/serving, pkg/autoscaler/scaling/metrics.go: the names of the instruments.
"""

from __future__ import annotations

import math
import re
import threading

from kpasim.cluster.errors import ClusterError, ForbiddenError
from kpasim.cluster.kube import Kube
from kpasim.cluster.objects import PODS, SYSTEM_NAMESPACE, name_of
from kpasim.cluster.record import Gauges, Recorder

PORT = 9090
_NAMES = {
    "stable": ("kn_revision_concurrency_stable", "autoscaler_stable_request_concurrency"),
    "panic": ("kn_revision_concurrency_panic", "autoscaler_panic_request_concurrency"),
    "target": ("kn_revision_concurrency_target", "autoscaler_target_concurrency_per_pod"),
    "stable_rps": ("kn_revision_rps_stable", "autoscaler_stable_requests_per_second"),
    "panic_rps": ("kn_revision_rps_panic", "autoscaler_panic_requests_per_second"),
    "target_rps": ("kn_revision_rps_target", "autoscaler_target_requests_per_second"),
    "desired": ("kn_revision_pods_desired", "autoscaler_desired_pods"),
    "excess": ("kn_revision_capacity_excess", "autoscaler_excess_burst_capacity"),
    "panic_mode": ("kn_revision_panic_mode", "autoscaler_panic_mode"),
}
_LINE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)\{(?P<tags>[^}]{0,2000})\} (?P<value>[^ ]{1,40})(?: \d+)?")
_TAG = re.compile(r'(\w+)="([^"]*)"')


def parse(text: str, namespace: str, revision: str) -> Gauges | None:
    """A revision's gauges in Prometheus text; None where it has none."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        # The exporter adds the unit of a rate to the name.
        name = match["name"].removesuffix("_per_second") if match["name"].startswith("kn_") else match["name"]
        tags = dict(_TAG.findall(match["tags"]))
        ours = (
            revision in (tags.get("kn_revision_name"), tags.get("revision_name"))
            and namespace in (tags.get("k8s_namespace_name"), tags.get("namespace_name"))
        )  # fmt: skip
        if not ours:
            continue
        for gauge, names in _NAMES.items():
            if name in names:
                try:
                    found[gauge] = float(match["value"])
                except ValueError:
                    continue
    if "stable" not in found and "stable_rps" not in found:
        return None
    rate = "" if "stable" in found else "_rps"
    return Gauges(
        stable=found[f"stable{rate}"],
        panic=found.get(f"panic{rate}", math.nan),
        target=found.get(f"target{rate}", math.nan),
        desired=found.get("desired", math.nan),
        panic_mode=found.get("panic_mode", math.nan),
        excess=found.get("excess", math.nan),
    )


class MetricsPoller:
    """Looks at the autoscaler's metrics every so often, as long as that works.

    Attributes:
        seen: Whether there ever was anything to see.
        trouble: Why the latest look failed, empty where it did not.
    """

    def __init__(self, kube: Kube, recorder: Recorder, namespace: str, period_s: float = 1.0) -> None:
        self._kube, self._recorder, self._namespace, self._period_s = kube, recorder, namespace, period_s
        self._revision = ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="autoscaler metrics", daemon=True)
        self.seen = False
        self.trouble = ""

    def start(self, revision: str) -> None:
        """Begin to look at a revision."""
        self._revision = revision
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=self._kube.patience.request_s)

    def unseen(self) -> str:
        """Why there was nothing to see, and how that is mended."""
        why = self.trouble or "the autoscaler's pod shows no metrics of this revision"
        return (
            f"the autoscaler's averages were not recorded: {why}; since Knative 1.19 metrics are off unless ConfigMap "
            f"config-observability in namespace {SYSTEM_NAMESPACE} has metrics-protocol: prometheus; its decisions are "
            "recorded from the status of the PodAutoscaler"
        )

    def _run(self) -> None:
        failures = 0
        pod = ""
        while not self._stopped.is_set():
            try:
                if not pod:
                    found, _ = self._kube.list_all(PODS, SYSTEM_NAMESPACE, selector="app=autoscaler")
                    pod = name_of(found[0]) if found else ""
                text = self._kube.proxied(SYSTEM_NAMESPACE, pod, PORT, "metrics") if pod else ""
                gauges = parse(text, self._namespace, self._revision)
                if gauges is not None:
                    self._recorder.observed(gauges)
                    self.seen = True
                self.trouble = ""
                failures = 0
            except ForbiddenError as error:
                self.trouble = str(error)
                return
            except ClusterError as error:
                self.trouble = str(error)
                failures += 1
                pod = ""  # it may have been replaced
            # A cluster without the endpoint is asked less and less often.
            self._stopped.wait(self._period_s * min(2**failures, 30))
