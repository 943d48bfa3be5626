"""The autoscaler's own view of a revision, from its metrics endpoint, where that can be reached.

Knative exports Prometheus text on port 9090 of the autoscaler's pod; the API server passes the request on. Older
versions have other names for the same gauges.
"""

import contextlib
import math
import re
import threading

from kpasim.cluster.errors import ClusterError, ForbiddenError
from kpasim.cluster.kube import Kube
from kpasim.cluster.objects import PODS, SYSTEM_NAMESPACE, name_of
from kpasim.cluster.record import Gauges, Recorder
from kpasim.records.prometheus import names

PORT = 9090
_LINE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)\{(?P<labels>[^}]{0,2000})\} (?P<value>[^ ]{1,40})(?: \d+)?")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def parse(text: str, namespace: str, revision: str) -> Gauges | None:
    """A revision's gauges in Prometheus text; None where it has none."""
    found: dict[str, float] = {}
    for match in filter(None, map(_LINE.fullmatch, text.splitlines())):
        for metric in names.BY_SERVED.get(match["name"], ()):
            with contextlib.suppress(ValueError):
                labels = names.vocabulary(dict(_LABEL.findall(match["labels"])), metric.generation)
                if (labels.get("k8s_namespace_name"), labels.get("kn_revision_name")) == (namespace, revision):
                    found[metric.name.removeprefix("kn_revision_")] = float(match["value"])
    average = next((one for one in ("concurrency_{}", "rps_{}_per_second") if one.format("stable") in found), None)
    if average is None:
        return None
    return Gauges(
        stable=found[average.format("stable")],
        panic=found.get(average.format("panic"), math.nan),
        target=found.get(average.format("target"), math.nan),
        desired=found.get("pods_desired", math.nan),
        panic_mode=found.get("panic_mode", math.nan),
        excess=found.get("capacity_excess", math.nan),
    )


class MetricsPoller:
    """Looks at what the autoscaler's metrics say of a revision every so often, as long as that works.

    Attributes:
        seen: Whether there ever was anything to see.
        trouble: Why the latest look failed, empty where it did not.
    """

    def __init__(self, kube: Kube, recorder: Recorder, namespace: str, revision: str) -> None:
        self._kube, self._recorder = kube, recorder
        self._namespace, self._revision = namespace, revision
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="autoscaler metrics", daemon=True)
        self.seen = False
        self.trouble = ""

    def start(self) -> None:
        """Begin to look."""
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
            self._stopped.wait(self._kube.patience.poll_s * min(2**failures, 30))
