"""The same experiment for real: deploy, calibrate briefly, predict, load, record, compare, clean up.

The prediction is written into the run folder before the load begins; nothing that is measured can change it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpasim.arrays import Floats
from kpasim.cluster import bill as bills
from kpasim.cluster import calibration, loadspec, quiet
from kpasim.cluster.calibration import Calibration
from kpasim.cluster.deadline import Deadline
from kpasim.cluster.discover import Findings
from kpasim.cluster.errors import ClusterError
from kpasim.cluster.fake.cluster import CONTEXT, Options
from kpasim.cluster.kube import Kube, Patience, connect
from kpasim.cluster.live import LiveOptions, LiveRun, Plan, live
from kpasim.cluster.load import INTERRUPTED, ClosedLoop, OpenLoop, Sent, Target, drive
from kpasim.cluster.local import DISCLAIMER, IMAGES, TXT2IMG, local_cluster
from kpasim.cluster.public import public
from kpasim.cluster.record import Recorder
from kpasim.cluster.verdict import Report, compare_figures, failed_figures
from kpasim.errors import RunError
from kpasim.results.files import make_folder, plain, write_json
from kpasim.results.secrets import without_secrets
from kpasim.results.summary import summarise
from kpasim.results.tables import Tables, write_run_folder
from kpasim.spec.scaling import Kpa

if TYPE_CHECKING:
    from kpasim.spec.experiment import Experiment
    from kpasim.studies.run import Result

LOCAL = "local"
"""The target that is a fake cluster on this machine."""
PATH_ANNOTATION = "kpasim.dev/load-path"
"""On the Service of an experiment: path that requests are sent to."""
BODY_ANNOTATION = "kpasim.dev/load-body"
"""On the Service of an experiment: body of each request."""

_FIRST_REQUESTS, _LEAST_REQUESTS, _MORE_REQUESTS = 2, 5, 25
_MORE_PER_S = 2.0
_SETTLED_S = 10.0
"""A pod that has been ready for so long has nothing left of its start to do."""
_SHORT_S = 1.0
_CHECK_S = 0.5
_MARGIN_S = 120.0


Predict = Callable[["Experiment"], "Result"]
"""Simulates an experiment."""


@dataclass(frozen=True)
class Request:
    """What each request of the load is.

    Attributes:
        bodies: Bodies; none for a GET.
    """

    path: str = "/"
    bodies: Sequence[bytes] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(experiment: Experiment) -> Request:
        """What the annotations of the experiment's Service, or InferenceService, say."""
        found = experiment.service.written["metadata"].get("annotations") or {}
        body = found.get(BODY_ANNOTATION)
        return Request(found.get(PATH_ANNOTATION, "/"), () if body is None else (body.encode(),))


@dataclass(frozen=True, kw_only=True)
class Settings(LiveOptions):
    """How to validate.

    Attributes:
        target: ``local``, or a context of the kubeconfig; None for the current one.
        calibrate: Whether to calibrate first; the experiment's own model counts where not.
        solo_requests: Least requests of the calibration where they take less than a second: two a second for a minute,
            so that they meet what the machine does from time to time, as a load does. Five where they take longer.
            There are more until the standard error of their mean is below 3 %.
        budget_s: Time after which the calibration sends no further request [s]; what is then uncertain widens the
            prediction's intervals.
        dry_run: Whether to only look, ask and estimate.
        images: What the local cluster runs for further images.
    """

    target: str | None = LOCAL
    kubeconfig: str | None = None
    request: Request = field(default_factory=Request)
    calibrate: bool = True
    solo_requests: int = 120
    budget_s: float = 120.0
    dry_run: bool = False
    patience: Patience = field(default_factory=Patience)
    images: Mapping[str, Any] = field(default_factory=dict)


def validate(
    experiment: Experiment,
    settings: Settings,
    folder: Path,
    *,
    predict: Predict | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Report:
    """Do an experiment for real, write the run folder, and compare it with its prediction.

    The simulator predicts where nothing else is given. ``note`` is told what a user should know while it goes on.

    Raises:
        ClusterError: It could not be carried out; what was created has been removed.
        InterruptedRunError: The user stopped it.
    """
    return _Validation(experiment, settings, folder, predict or _simulated, note).run()


@dataclass
class _Validation:
    """One validation while it goes on."""

    _experiment: Experiment
    _settings: Settings
    _folder: Path
    _predict: Predict
    _note: Callable[[str], None]
    _calibration: Calibration | None = None
    _troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._load = loadspec.plan_of(self._experiment)

    def run(self) -> Report:
        """Do it all."""
        begun_s = time.monotonic()
        settings = self._settings
        scaling = self._experiment.scaling
        if not isinstance(scaling, Kpa):
            raise ClusterError(
                f"autoscaler {scaling.kind} is simulated only: validate measures Knative's own (kpa; kpasim versus "
                "compares autoscalers)"
            )
        local = settings.target == LOCAL
        if local:
            self._note(f"note: {DISCLAIMER}")
            self._check_image()
        self._estimate()
        with self._cluster() as kube:
            self._check_token(kube)
            plan = self._plan(kube)
            if settings.dry_run:
                live(kube, plan, self._rehearse, self._note)
                return Report(None, [], time.monotonic() - begun_s)
            make_folder(self._folder)
            if settings.calibrate:
                self._note("calibrating: one cold start, a few requests")
                # A deployment of its own: what it leaves in the autoscaler's windows must not reach the load.
                single = replace(plan, keep=False, manifest=calibration.one_pod(plan.manifest), min_scale=1)
                recorder = live(kube, single, self._calibrate, self._note)
                plan = replace(plan, spent_pod_s=recorder.pod_seconds())
            report = live(kube, plan, self._measure, self._note)
        return replace(report, seconds=time.monotonic() - begun_s)

    # -- before ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _cluster(self) -> Iterator[Kube]:
        """The cluster, connected."""
        settings = self._settings
        with contextlib.ExitStack() as stack:
            context, kubeconfig = settings.target, settings.kubeconfig
            if settings.target == LOCAL:
                config = _config_of(self._experiment)
                options = Options(images=settings.images, config_autoscaler=config, gpus=self._local_gpus())
                context, kubeconfig = CONTEXT, str(stack.enter_context(local_cluster(options)))
            kube = connect(context, kubeconfig, settings.patience)
            stack.callback(kube.close)
            yield kube

    def _check_image(self) -> None:
        """Refuse an image that the local cluster cannot run, before it is started."""
        kserve = self._experiment.service.kserve
        if kserve and kserve.has_unknown_image and not self._settings.image:
            raise ClusterError("the image is that of a ServingRuntime, and the local cluster has none; give --image")
        image = self._settings.image or self._experiment.service.image
        known = {**IMAGES, **self._settings.images}
        if image not in known:
            listed = ", ".join(known)
            raise ClusterError(f"image {image[:80]}: the local cluster cannot run it (it knows {listed}); give --image")
        if image == TXT2IMG and importlib.util.find_spec("diffusers") is None:
            raise ClusterError(f"image {TXT2IMG}: its server is not installed: pip install 'kpasim[server]'")

    def _check_token(self, kube: Kube) -> None:
        """Say before a run that the account's token ends in the middle of it: nothing could be removed then."""
        if kube.expires_s is None:
            return
        left_s = kube.expires_s - time.time()
        needed_s = self._longest_s() + (self._longest_calibration_s() if self._settings.calibrate else 0.0)
        if left_s <= 0:
            raise ClusterError(
                f"{kube.name}: the account's token has expired: make another, {_token_command(needed_s)}"
            )
        if left_s < needed_s:
            self._note(
                f"warning: {kube.name}: the account's token expires in {left_s / 60:.0f} min, the run may take "
                f"{needed_s / 60:.0f} min; without it nothing can be removed: make another, {_token_command(needed_s)}"
            )

    def _local_gpus(self) -> int:
        revision = self._experiment.revision
        return self._experiment.service.gpus * max(revision.max_scale, revision.initial_scale, revision.min_scale, 16)

    def _estimate(self) -> None:
        """The bill that the experiment's own model leads to, before anything is created."""
        self._bill: bills.Bill | None = None
        try:
            price = bills.price_per_pod_hour(self._experiment)
        except RunError as error:  # a run needs no price, a limit does
            if self._settings.max_cost is not None:
                raise
            self._note(f"note: the bill is not estimated: {error}")
            return
        if price is not None:
            expected = self._predict(self._experiment)
            upper = (expected.intervals.get("pod_seconds") or [0.0, expected.summary.get("pod_seconds") or 0.0])[1]
            start_s = sum(stage.time.mean_s() for stage in self._experiment.model.cold_start.stages)
            calibrating_s = start_s + max(_MARGIN_S, self._settings.budget_s)
            self._bill = bills.estimate(
                self._experiment,
                price,
                pod_seconds=float(upper),
                before_s=start_s + _MARGIN_S + (calibrating_s if self._settings.calibrate else 0.0),
                deadline_s=self._longest_s(),
                single_s=self._longest_calibration_s() if self._settings.calibrate else 0.0,
            )
            self._note(str(self._bill))
        bills.check_limit(self._bill, self._settings.max_cost)

    def _longest_s(self) -> float:
        """Time after which the pods of the load have been removed, come what may [s]."""
        waits, start = self._settings.waits, self._experiment.start
        idle_s = 0.0 if start.state == "warm" else waits.settle_s
        after_s = max(waits.settle_s, self._experiment.horizon_s or 0.0)
        return waits.ready_s + idle_s + start.for_s + self._limit_s(self._load) + after_s + self._longest_removal_s()

    def _longest_calibration_s(self) -> float:
        """Time after which the one pod of the calibration has been removed, come what may [s]."""
        settings = self._settings
        loads_s = settings.budget_s + self._timeout_s()
        return settings.waits.ready_s + _SETTLED_S + loads_s + self._longest_removal_s()

    def _longest_removal_s(self) -> float:
        waits = self._settings.waits
        return self._settings.patience.retry_s + waits.removal_s(self._experiment.service.timeout_s)

    def _plan(self, kube: Kube) -> Plan:
        settings, service = self._settings, self._experiment.service
        revision = service.revision
        chosen = {one.name: getattr(settings, one.name) for one in fields(LiveOptions)}
        chosen["namespace"] = settings.namespace or (kube.namespace if settings.target != LOCAL else "default")
        return Plan(
            **chosen,
            manifest=plain(service.written),
            timeout_s=service.timeout_s,
            stable_window_s=revision.stable_window_s,
            grace_s=revision.scale_to_zero_grace_s,
            min_scale=revision.min_scale,
            gpus_per_pod=service.gpus,
            bill=self._bill,
        )

    def _rehearse(self, run: LiveRun) -> None:
        findings = run.look()
        run.rehearse()
        where = loadspec.without_secrets(findings.gateway)
        kind = self._experiment.service.written["kind"]
        self._note(f"dry run: the cluster would take the {kind}; requests would go to {where}")

    # -- calibrating -------------------------------------------------------------------------------------------------

    def _calibrate(self, run: LiveRun) -> Recorder:
        run.look()
        run.deploy()
        service = self._experiment.service
        # What a start leaves to be done is over when the load begins, so it is to be over here.
        _stand(run, min(self._experiment.start.for_s, _SETTLED_S), "start of the calibration")
        start_s = calibration.start_time(run.recorder.first_start(), service.probe.period_s)
        seconds = self._settings.budget_s
        budget = Deadline(seconds, f"{seconds:.0f} s of --calibrate-for")
        sizes = calibration.crowd_sizes(service.container_concurrency)
        with self._watching("the calibration"):
            in_order = self._one_by_one(run, budget, budget.left_s / (2 if sizes else 1))
            solo = calibration.settled(in_order)
            crowds = self._crowds(run, budget, sizes, solo)
        local = self._settings.target == LOCAL
        where = "the local fake cluster" if local else "a cluster"
        self._calibration = Calibration(
            [start_s],
            solo,
            tuple(crowds),
            calibration.shared_cores() if local else 0,
            f"measured on {where} before the load",
            calibration.first_request(in_order),
        )
        write_json(self._folder / "calibration.json", self._calibration.to_dict())
        error = calibration.standard_error(solo)
        spent = "" if error < calibration.ENOUGH else f"; the {budget.what} are spent, and intervals are wider for it"
        self._note(
            f"calibrated: a pod starts in {start_s[0]:.1f} to {start_s[1]:.1f} s, a request takes {solo.mean():.3f} s "
            f"(standard error {error:.1%} of {len(solo)} requests{spent})"
        )
        return run.recorder

    def _crowds(self, run: LiveRun, budget: Deadline, sizes: Sequence[int], solo: Floats) -> list[calibration.Crowd]:
        """What requests at once on the pod say, as far as the budget goes."""
        found: list[calibration.Crowd] = []
        for size in sizes:
            rounds = min(calibration.ROUNDS, int(budget.left_s / (size * solo.mean())))
            if rounds < 1:
                self._note(f"calibration: {size} requests at once were not tried: the {budget.what} are spent")
                break
            sent = self._send(run, ClosedLoop(size, rounds * size), budget)
            try:
                found.append(calibration.crowd(size, sent, solo, self._experiment.cluster.delays.path_s))
            except ClusterError as error:
                self._note(f"warning: {size} requests at once on a pod: {error}; more are not tried")
                break
        return found

    def _one_by_one(self, run: LiveRun, budget: Deadline, for_s: float) -> Floats:
        """Times in the pod of requests one after the other, until their mean is known well or ``for_s`` have passed."""
        until_s = budget.left_s - for_s
        path_s = self._experiment.cluster.delays.path_s
        found = calibration.service_s(self._send(run, ClosedLoop(1, _FIRST_REQUESTS), budget), path_s)
        while True:
            short = found.mean() < _SHORT_S
            missing = max(calibration.still_needed(calibration.settled(found)), _LEAST_REQUESTS - len(found))
            if short:
                missing = max(missing, self._settings.solo_requests - len(found))
            # Short ones are spread over time as in a load.
            each_s = max(float(found.mean()), 1.0 / _MORE_PER_S) if short else float(found.mean())
            more = min(missing, _MORE_REQUESTS, int((budget.left_s - until_s) / each_s))
            if more < 1:
                return found
            load = ClosedLoop(1, more, qps=_MORE_PER_S if short else 0.0)
            found = np.concatenate([found, calibration.service_s(self._send(run, load, budget), path_s)])

    # -- measuring ---------------------------------------------------------------------------------------------------

    def _measure(self, run: LiveRun) -> Report:
        findings = run.look()
        experiment = self._as_found(findings)
        begun_s = time.monotonic()
        prediction = self._predicted(experiment)
        took_s = time.monotonic() - begun_s
        ready = run.deploy()
        self._note(f"revision {ready.revision} is ready")
        start = experiment.start
        ready_s = time.time()
        if start.state != "warm":
            run.await_idle()
            ready_s = time.time()
        if took_s < start.for_s and self._calibration is not None:
            # This deployment has started pods as well; there is time to learn from them.
            period_s = self._experiment.service.probe.period_s
            ready_pods = (pod for pod in run.recorder.pods.values() if not math.isnan(pod.ready_s))
            starts_s = [calibration.start_time(pod, period_s) for pod in ready_pods]
            self._calibration = replace(self._calibration, starts_s=[*self._calibration.starts_s, *starts_s])
            experiment = self._as_found(findings, quietly=True)
            prediction = self._predicted(experiment)
        prediction.write(self._folder / "prediction")
        self._note(f"prediction frozen in {self._folder / 'prediction'}")
        _stand(run, start.for_s - (time.time() - ready_s), "start of the load")
        with self._watching("the load"):
            sent = self._send(run, self._load)
        try:
            run.check()
            if sent.hopeless:
                raise ClusterError(f"the load was given up: {sent.hopeless}")
            if sent.interrupted:
                raise ClusterError(f"the load did not end within {self._limit_s(self._load):.0f} s")
            if late := sent.trouble():
                self._troubles.append(late)
            for warning in sent.warnings():
                self._note(f"warning: {warning}")
            zero_s = sent.began_unix_s
            last_s = zero_s + float((sent.requests["start_s"] + sent.requests["latency_s"]).max())
            self._note("load is over; watching pods go")
            run.settle(last_s, None if experiment.horizon_s is None else zero_s + experiment.horizon_s)
        except (ClusterError, KeyboardInterrupt) as error:
            if len(sent.requests["start_s"]):
                why = str(error) if isinstance(error, ClusterError) else "stopped by the user"
                self._write(run, experiment, sent, time.time() - sent.began_unix_s, interrupted=why)
                self._note(f"{self._folder} holds what was measured until then, marked as interrupted")
            raise
        return self._report(run, experiment, prediction, sent, time.time() - zero_s)

    def _predicted(self, experiment: Experiment) -> Result:
        """The prediction of the load that will be sent: the random arrivals of an open loop are those of its plan."""
        load = self._load
        if isinstance(load, OpenLoop) and experiment.workload.kind != "replay" and self._predict is _simulated:
            return _simulated(experiment, load.arrivals_s)
        return self._predict(experiment)

    def _write(
        self, run: LiveRun, experiment: Experiment, sent: Sent, end_s: float, *, interrupted: str = ""
    ) -> dict[str, Any]:
        """Write the measured run folder; return its figures."""
        tables: Tables = run.recorder.tables(sent.began_unix_s)
        whole = sent.requests["error"] != INTERRUPTED  # the others were under way when the load was stopped
        tables.requests = {name: column[whole] for name, column in sent.requests.items()}
        service = experiment.service
        figures = summarise(tables, end_s, experiment.gpus_per_pod)
        about = {
            "source": "measured",
            "name": experiment.name,
            "target": LOCAL if self._settings.target == LOCAL else "cluster",
            "service": {
                "annotations": dict(service.annotations),
                "containerConcurrency": service.container_concurrency,
                "timeoutSeconds": service.timeout_s,
                "readinessProbe": {"periodSeconds": service.probe.period_s, "kind": service.probe.kind},
            },
            "config-autoscaler": _config_of(experiment),
            "path": "ingress",
            "start": experiment.start.state,
            "workload": experiment.workload.model_dump(mode="json"),
            "experiment": without_secrets(experiment.raw),
            "end_s": end_s,
            "cluster": run.facts(),
            **({"interrupted": interrupted} if interrupted else {}),
        }
        write_run_folder(self._folder, tables, plain(about), figures)
        run.write_events(self._folder, sent.began_unix_s)
        return figures

    def _report(self, run: LiveRun, experiment: Experiment, prediction: Result, sent: Sent, end_s: float) -> Report:
        figures = self._write(run, experiment, sent, end_s)
        rows, failures = compare_figures(experiment, prediction, figures), failed_figures(prediction, figures)
        report = Report(self._folder, rows, 0.0, failures, "; ".join(self._troubles), sent.failed())
        kept = {key: value for key, value in report.to_dict().items() if key not in {"folder", "seconds"}}
        write_json(self._folder / "comparison.json", kept)
        return report

    @contextlib.contextmanager
    def _watching(self, what: str) -> Iterator[None]:
        """Note what keeps the local target from being judged while something is measured: a machine with other work."""
        begun = quiet.used()
        yield
        trouble = quiet.trouble(begun, quiet.used()) if self._settings.target == LOCAL else ""
        if trouble:
            self._troubles.append(f"{trouble} during {what}")

    def _as_found(self, findings: Findings, *, quietly: bool = False) -> Experiment:
        """The experiment with what was calibrated and what the cluster says of itself."""
        experiment = self._experiment
        note = (lambda _: None) if quietly else self._note
        changes: dict[str, Any] = {}
        if self._calibration is not None:
            changes["model"] = self._calibration.model(f"{experiment.name}-calibrated")
        if self._settings.target != LOCAL:
            for name, known in _config_keys().items():
                ours = _config_of(experiment, name)
                theirs = {key: value for key, value in findings.configs[name].items() if key in known}
                different = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
                if different:
                    note(f"note: {name} is the cluster's own, not the experiment's: {', '.join(different)}")
                    changes[name] = theirs
            changes["cluster.activators"] = findings.activators
            if findings.gateway_kind == "istio":
                changes["cluster.ingress.policy"] = "least-request"
        if experiment.start.state == "zero" and experiment.service.revision.initial_scale > 0:
            note("note: start: zero needs initial-scale: 0 in the manifest; the load begins when pods have gone")
            changes["start"] = {"state": "idled", "for": f"{experiment.start.for_s}s"}
        return public(experiment.with_settings(changes) if changes else experiment)

    def _send(self, run: LiveRun, load: ClosedLoop | OpenLoop, budget: Deadline | None = None) -> Sent:
        """Send a load; an interrupt, a lost watch, the bill or the end of a budget and one timeout ends it."""
        limit_s = self._limit_s(load) if budget is None else budget.left_s + self._timeout_s()
        request = self._settings.request
        target: Target = loadspec.target_of(
            self._experiment,
            run.url.rstrip("/") + "/" + request.path.lstrip("/"),
            host=run.host,
            bodies=request.bodies,
            headers=request.headers,
        )

        async def watched() -> Sent:
            stop = asyncio.Event()
            watcher = asyncio.ensure_future(_until_failure(run, stop))
            try:
                return await drive(load, target, stop=stop, deadline_s=limit_s, give_up=budget is None)
            finally:
                watcher.cancel()

        with run.interrupts.deferred():
            sent = asyncio.run(watched())
        if budget is not None:
            run.check()
        return sent

    def _limit_s(self, load: ClosedLoop | OpenLoop) -> float:
        """Deadline of a load [s]."""
        return loadspec.longest_s(load, self._timeout_s()) + _MARGIN_S

    def _timeout_s(self) -> float:
        """How long a client waits for a response [s]."""
        return self._experiment.workload.timeout_s or self._experiment.service.timeout_s


def _token_command(seconds: float) -> str:
    return f"kubectl create token kpasim --duration {math.ceil(seconds / 3600)}h"


def _config_keys() -> dict[str, Collection[str]]:
    """The ConfigMaps that a prediction depends on, and their keys."""
    from kpasim.spec.autoscaler import CONFIG_KEYS
    from kpasim.spec.configmaps import RUN_KEYS

    return {"config-autoscaler": CONFIG_KEYS, **RUN_KEYS}


def _config_of(experiment: Experiment, name: str = "config-autoscaler") -> dict[str, str]:
    """Data of a ConfigMap of the experiment, as text."""
    from kpasim.spec.autoscaler import text_of

    data = experiment.raw.get(name) or {}
    return {str(key): text_of(value) for key, value in data.items() if not str(key).startswith("_")}


def _stand(run: LiveRun, for_s: float, until: str) -> None:
    """Let the pods that are ready stand idle for a while, until what is named begins."""
    begun_s = time.time()
    limit = run.deadline(for_s + _MARGIN_S, until)
    while (left_s := begun_s + for_s - time.time()) > 0:
        limit.wait(min(left_s, 0.2))


async def _until_failure(run: LiveRun, stop: asyncio.Event) -> None:
    """Set ``stop`` when the run has to end."""
    with contextlib.suppress(ClusterError):
        while not run.interrupts.requested:
            run.check()
            await asyncio.sleep(_CHECK_S)
    stop.set()


def _simulated(experiment: Experiment, sent_s: Floats | None = None) -> Result:
    from kpasim.engines.sampling import Recorded
    from kpasim.studies.run import simulate

    replications = max(experiment.replications, calibration.DRAWS)
    return simulate(experiment, replications=replications, recorded=Recorded(sent_s=sent_s))
