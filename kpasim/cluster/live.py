"""One run on a cluster: look around, deploy, wait, record, and leave nothing behind.

    with connect(context) as kube:
        live(kube, plan, lambda run: (run.look(), run.deploy(), ...))

Whatever happens in between (an error, a deadline, Ctrl-C, SIGTERM), what the run created is removed and what it adopted
is put back. Only a kill or a lost connection can prevent that; ``kpasim cluster clean`` finds what is left then.
"""

import csv
import datetime
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kpasim.cluster import deploy, discover
from kpasim.cluster.bill import Bill
from kpasim.cluster.deadline import Deadline
from kpasim.cluster.deploy import Ready, Waits
from kpasim.cluster.errors import ClusterError, InterruptedRunError
from kpasim.cluster.interrupts import Interrupts
from kpasim.cluster.kube import Kube
from kpasim.cluster.metrics import MetricsPoller
from kpasim.cluster.objects import (
    DEPLOYMENTS,
    EVENTS,
    POD_AUTOSCALERS,
    PODS,
    SERVERLESS_SERVICES,
    SERVICE_LABEL,
    Deployed,
    Document,
    document_of,
)
from kpasim.cluster.record import Recorder
from kpasim.cluster.watch import Watcher
from kpasim.results.files import atomic_write

_T = TypeVar("_T")
_FOLLOWED = (PODS, DEPLOYMENTS, POD_AUTOSCALERS, SERVERLESS_SERVICES)
_MARGIN_S = 30.0
_LOOKS = 4
_FEW = 2


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """How a run uses a cluster, as its user chooses.

    Attributes:
        namespace: Where; the context's own where None.
        image: Image instead of the manifest's.
        gateway: Which gateway requests come through.
        url: Where requests are sent instead.
        host: ``Host`` header instead of the Service's own.
        keep: Whether to leave the Service where it is.
        adopt: Whether to run with a Service that is there already.
    """

    namespace: str | None = None
    image: str | None = None
    gateway: discover.Gateway = "auto"
    url: str | None = None
    host: str | None = None
    keep: bool = False
    adopt: bool = False
    max_cost: float | None = None
    waits: Waits = field(default_factory=Waits)


@dataclass(frozen=True, kw_only=True)
class Plan(LiveOptions):
    """What to run, and how.

    Attributes:
        manifest: The Service or InferenceService as its author wrote it.
        timeout_s: The manifest's ``timeoutSeconds``: how long a pod may take to go.
        stable_window_s: Of the revision, with the grace period: how long scaling down takes to begin.
        min_scale: Pods that never go.
        spent_pod_s: Pod-seconds that were paid for before, by the same bill.
        run_id: Its id, the value of its label.
    """

    namespace: str
    manifest: Mapping[str, Any]
    timeout_s: float = 300.0
    stable_window_s: float = 60.0
    grace_s: float = 30.0
    min_scale: int = 0
    gpus_per_pod: int = 0
    bill: Bill | None = None
    spent_pod_s: float = 0.0
    run_id: str = field(default_factory=lambda: secrets.token_hex(6))


class LiveRun:
    """A run while it goes on; see `live`. It holds what `look` found and what `deploy` made.

    Attributes:
        interrupts: What the user asks for by signals.
        outcome: What became of what was created, once the run is closed without trouble.
    """

    def __init__(self, kube: Kube, plan: Plan, interrupts: Interrupts, note: Callable[[str], None]) -> None:
        self._kube, self._plan, self.interrupts, self._note = kube, plan, interrupts, note
        self._document: Document = document_of(plan.manifest, plan.namespace, plan.run_id, image=plan.image)
        self._deployed = Deployed.of(self._document)
        template = self._document["spec"].get("template") or {}
        revision = str((template.get("metadata") or {}).get("name") or "")
        own = f"|{re.escape(revision)}" if revision else ""
        self._ours = re.compile(rf"(?:{re.escape(self._deployed.service)}-\d{{5}}{own})(?:$|-)")
        self._begun_s = time.time()
        self._watchers: list[Watcher] = []
        self._events: Watcher | None = None
        self._metrics: MetricsPoller | None = None
        self._touched = self._created = False
        self.recorder = Recorder(kube.clock)
        self._told: set[str] = set()
        kube.warnings = self._warn
        self.findings: discover.Findings | None = None
        self.ready: Ready | None = None
        self.outcome = "nothing was created"

    def deadline(self, seconds: float, what: str) -> Deadline:
        """A deadline that also ends when the run has to: an interrupt, a lost watch, the bill."""
        return Deadline(seconds, f"{self._kube.name}: {what}", self.check, self._note)

    def check(self) -> None:
        """Raise what has to end the run, if anything has."""
        self.interrupts.check()
        for watcher in self._watchers:
            watcher.check()
        self._check_events()
        plan = self._plan
        if plan.bill is not None and plan.max_cost is not None:
            spent = plan.bill.of(plan.spent_pod_s + self.recorder.pod_seconds())
            if spent > plan.max_cost:
                raise ClusterError(
                    f"--max-cost: stopped at {spent:.2f} {plan.bill.currency}, {plan.max_cost:.2f} was allowed"
                )

    def _warn(self, text: str) -> None:
        """Pass on, once, what the API server warns of, such as a field that it drops."""
        if text not in self._told:
            self._told.add(text)
            self._note(f"warning: {self._kube.name}: {text}")

    def look(self) -> discover.Findings:
        """Look around in the cluster and tell what is noteworthy."""
        plan = self._plan
        deadline = self.deadline(2 * self._kube.patience.retry_s, "look around")
        self.findings = discover.discover(
            self._kube.until(deadline),
            gateway=plan.gateway,
            url=plan.url,
            gpus_per_pod=plan.gpus_per_pod,
            manifest=self._document,
        )
        for warning in self.findings.warnings:
            self._note(f"warning: {warning}")
        return self.findings

    def rehearse(self) -> None:
        """Ask the cluster whether it would take the object of the run, and create nothing."""
        deadline = self.deadline(2 * self._kube.patience.retry_s, "rehearse")
        deploy.create(self._kube.until(deadline), self._document, adopt=self._plan.adopt, dry_run=True)

    def deploy(self) -> Ready:
        """Create or adopt the object of the run, record from its first moment on, and wait until it is ready."""
        plan = self._plan
        self.rehearse()  # a quota, a limit or a policy is then known before anything is there
        deadline = self.deadline(plan.waits.ready_s, f"{self._deployed} ready")
        self._follow(deadline)
        self._touched = True  # before the call: its answer may be lost
        deploy.create(self._kube.until(deadline), self._document, adopt=plan.adopt)
        self._created = True
        self.ready = deploy.await_ready(self._kube, self._deployed, plan.waits, deadline, self.recorder.explain)
        self.recorder.follow_revision(self.ready.revision)
        self._metrics = MetricsPoller(self._kube, self.recorder, plan.namespace, self.ready.revision)
        self._metrics.start()
        return self.ready

    def await_idle(self) -> None:
        """Wait until the revision has scaled to zero by itself and its pods are gone."""
        deadline = self.deadline(self._plan.waits.settle_s, "scale to zero")
        while self.recorder.present_pods or self.recorder.wanted_pods > 0:
            deadline.wait(self._kube.patience.poll_s, f"{self.recorder.present_pods} pods are still there")

    def settle(self, last_response_s: float, horizon_s: float | None) -> None:
        """Watch on until the run is over, at ``horizon_s`` if it is given; both are local Unix times.

        Else it is over when all pods are gone, or, where pods stay, a stable window, the grace period and half a minute
        after the last response.
        """
        plan = self._plan
        quiet_s = last_response_s + plan.stable_window_s + plan.grace_s + _MARGIN_S
        deadline = self.deadline(
            plan.waits.settle_s if horizon_s is None else max(plan.waits.settle_s, horizon_s - time.time() + _MARGIN_S),
            "scale down after the load",
        )
        while True:
            now = time.time()
            if horizon_s is not None:
                over = now >= horizon_s
            elif plan.min_scale > 0:
                over = now >= quiet_s and self.recorder.present_pods <= plan.min_scale
            else:
                over = self.recorder.present_pods == 0 and self.recorder.wanted_pods <= 0
            if over:
                return
            deadline.wait(self._kube.patience.poll_s, f"{self.recorder.present_pods} pods are still there")

    @property
    def url(self) -> str:
        """Where requests are sent."""
        return self._plan.url or (self.findings.gateway if self.findings else "")

    @property
    def host(self) -> str:
        """The ``Host`` header they carry."""
        return self._plan.host or (self.ready.host if self.ready else "")

    def facts(self) -> dict[str, Any]:
        """What run.json says about the cluster: settings and circumstances, nothing that opens a door."""
        findings = self.findings
        gaps = [gap for watcher in self._watchers for gap in watcher.gaps]
        return {
            "run": self._plan.run_id,
            "knative_version": findings.version if findings else "",
            "activators": findings.activators if findings else 1,
            "gateway": findings.gateway_kind if findings else "",
            "revision": self.ready.revision if self.ready else "",
            "adopted": bool(self.ready and self.ready.adopted),
            "averages_observed": self._metrics is not None and self._metrics.seen,
            "watch_gaps_s": round(math.fsum(end - begin for begin, end in gaps), 3),
            "watch_gaps": [[_stamp(begin), _stamp(end)] for begin, end in gaps],
            "incomplete": self.recorder.full,
        }

    def write_events(self, folder: Path, zero_s: float) -> None:
        """Leave the cluster's events beside the tables."""
        with atomic_write(folder / "events.csv") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("t_s", "kind", "name", "reason", "message"))
            writer.writerows(self.recorder.event_rows(zero_s))

    def close(self) -> str:
        """Stop recording and remove what was created; return what went wrong with that, empty when nothing did."""
        if self._metrics is not None:
            self._metrics.stop()
            if not self._metrics.seen:
                self._note(f"warning: {self._metrics.unseen()}")
        for watcher in [*self._watchers, *([self._events] if self._events else [])]:
            watcher.stop()
        plan = self._plan
        where = str(self._deployed)
        clean = self._kube.clean_command(plan.namespace, plan.run_id)
        for gap in self.blind():
            self._note(f"warning: {gap}")
        if not self._touched:
            return ""
        if plan.keep and self.ready is not None:
            self.outcome = f"{where} stays; remove it with: {clean}"
            self._note(self.outcome)
            return ""
        try:
            adopted = self.ready.adopted if self.ready else plan.adopt
            takes_s = plan.waits.removal_s(plan.timeout_s) + (plan.waits.ready_s if adopted else 0.0)
            doing = "putting back" if adopted else "removing"
            what = f"{self._kube.name}: {doing} {where}"
            limit = Deadline(self._kube.patience.retry_s + takes_s, what, note=self._note)
            done = "absent"
            for look in range(1 if self._created else 1 + _LOOKS):
                if look:  # a create that we gave up on may still be carried out
                    limit.wait(self._kube.patience.poll_s)
                done = deploy.withdraw(self._kube, self._deployed, plan.run_id, limit)
                if done != "absent":
                    break
        except ClusterError as error:
            return f"{error}; clean up with: {clean}"
        self.outcome = f"{where} has been put back" if done == "put back" else "what was created has been removed"
        return ""

    def blind(self) -> list[str]:
        """Between which times which watch saw nothing: a line for each time, or one for a watch that broke often."""
        lines = []
        for watcher in self._watchers:
            gaps = watcher.gaps
            if len(gaps) > _FEW:
                gaps = [(gaps[0][0], gaps[-1][1])]
            often = f" {len(watcher.gaps)} times" if len(watcher.gaps) > _FEW else ""
            lines += [
                f"the watch of {watcher.plural} was blind{often} from {_clock(begin)} to {_clock(end)}: changes "
                "then are dated to the second only"
                for begin, end in gaps
            ]
        return lines

    def _follow(self, deadline: Deadline) -> None:
        namespace = self._plan.namespace
        selector = f"{SERVICE_LABEL}={self._deployed.service}"
        watchers = [
            Watcher(self._kube, resource, namespace, self.recorder, selector=selector) for resource in _FOLLOWED
        ]
        self._events = Watcher(self._kube, EVENTS, namespace, self.recorder, keep=self._concerns_us)
        self._events.start()
        for watcher in watchers:
            self._watchers.append(watcher)
            watcher.start()
        for watcher in watchers:
            watcher.wait_begun(deadline.left_s)

    def _check_events(self) -> None:
        """Events explain a run but are not part of its tables: without them it goes on."""
        if self._events is not None and self._events.failure is not None:
            self._note(f"warning: events are not recorded: {self._events.failure}")
            self._events = None

    def _concerns_us(self, event: Document) -> bool:
        """Whether an event is of this run: of what it deploys or what was made of that, and not of an earlier run."""
        name = str((event.get("involvedObject") or {}).get("name") or "")
        if name not in (self._deployed.name, self._deployed.service) and not self._ours.match(name):
            return False
        return self.recorder.dated(event) >= self._begun_s - 1.0


def live(kube: Kube, plan: Plan, body: Callable[[LiveRun], _T], note: Callable[[str], None] = lambda _: None) -> _T:
    """Do ``body`` on a cluster and clean up after it, whatever happens; ``note`` is told what a user should know.

    Raises:
        ClusterError: From ``body``, or because something could not be removed.
        InterruptedRunError: The user stopped it.
    """
    with Interrupts() as interrupts:
        run = LiveRun(kube, plan, interrupts, note)
        try:
            with interrupts.allowed():
                result = body(run)
        except BaseException as error:
            trouble = run.close()
            if interrupts.requested and isinstance(error, KeyboardInterrupt):
                raise _stopped(interrupts, trouble or run.outcome) from None
            if trouble:
                note(f"warning: {trouble}")
            raise
        trouble = run.close()
        if interrupts.requested:  # while we cleaned up: whatever should come after this run does not
            raise _stopped(interrupts, trouble or run.outcome)
        if trouble:
            raise ClusterError(trouble)
    return result


def _clock(at_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at_s))


def _stamp(at_s: float) -> str:
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).isoformat(timespec="milliseconds")


def _stopped(interrupts: Interrupts, outcome: str) -> InterruptedRunError:
    return InterruptedRunError(f"stopped by {interrupts.requested}; {outcome}", interrupts.requested)
