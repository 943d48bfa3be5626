"""The experiments behind an observation: one for each revision, as its series and the manifest say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.arrays import Floats
from kpasim.engines.outcome import CREATED, READY
from kpasim.engines.params import NEVER_NS, SECOND_NS
from kpasim.errors import KpasimError, RunError
from kpasim.records.prometheus.observation import Observation
from kpasim.records.prometheus.passages import Traffic, traffic
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.spec.quick import relative, yaml_text
from kpasim.spec.scaling import Other
from kpasim.spec.settings import with_settings
from kpasim.spec.workload import Observed
from kpasim.studies.backtest import restarts
from kpasim.studies.backtest.contention import Contention, contention
from kpasim.studies.backtest.pods import gauge
from kpasim.studies.backtest.service import LEAST_CV, ServiceTime, service_time
from kpasim.studies.backtest.starts import ColdStart, cold_start
from kpasim.studies.run import simulate
from kpasim.workloads.observed import counts_of

DRAWS = 40
"""Draws of the cold start and of the mean service time, which replications take in order."""
STRETCH_REQUESTS = 500_000
"""Requests of a stretch of a long window, which is simulated by itself."""
WARM_UP_S = 600.0
"""How long before a stretch its run begins [s]: several stable windows, and a cold start."""
FEW_REQUESTS = 30
"""Below so many requests of its own a revision has the service time of all."""
PROBED_PODS = 16
"""Pods whose readiness is simulated to find what probes add to a start."""
RESTARTS = ("autoscaler-restarts", "activator-restarts")
"""Settings of the cluster that are no property of the load."""
COLD_START, SERVICE_MEAN = "cold-start.stages.start.time", "service-time.time.mean"


@dataclass(frozen=True)
class Given:
    """What the user says of the service and the cluster.

    Attributes:
        manifest: The Service's manifest, a file.
        cluster_config: Files with ConfigMaps of the cluster.
        model: A model's file or name, instead of times out of the observation.
        service_time: A service time instead, as a file has it.
        cold_start: A cold start instead, as a file has it.
        settings: Further settings by path.
        within: Where within a scrape interval requests are sent.
        replications: How many.
        seed: Seed of the random numbers.
    """

    manifest: str
    cluster_config: tuple[str, ...] = ()
    model: str | None = None
    service_time: Any = None
    cold_start: Any = None
    settings: Mapping[str, Any] | None = None
    within: str = "inferred"
    replications: int = 20
    seed: int = 1


@dataclass(frozen=True)
class Times:
    """What the model is made of, as recorded; ``None`` for each that the user gave.

    Attributes:
        service: Service time.
        start: Cold start.
        sharing: Contention; ``None`` also where the series show none.
        concurrency: containerConcurrency in force: how the container takes more requests at once is not known.
    """

    service: ServiceTime | None
    start: ColdStart | None
    sharing: Contention | None = None
    concurrency: int = 0


@dataclass(frozen=True)
class Part:
    """A revision's stretch of the observation.

    Attributes:
        revision: Its name; empty for all revisions as if they were one.
        begin_s: Begin of its load [s since 1970].
        end_s: End of its run [s since 1970].
        experiment: What to simulate.
        counted_s: From when on the run counts [s since 1970]; before, it only warms up.
    """

    revision: str
    begin_s: float
    end_s: float
    experiment: Experiment
    counted_s: float = -math.inf


@dataclass(frozen=True)
class Prepared:
    """All that a backtest simulates.

    Attributes:
        observation: The series.
        folder: Where they lie: the workload names it.
        given: The user's part.
        parts: One for each revision that served.
        whole: The same requests as if the latest revision had served all of them: what candidates are compared with.
        traffic: The requests.
        times: Times that the model is made of.
        notes: What was assumed, a sentence each.
    """

    observation: Observation
    folder: str | Path
    given: Given
    parts: tuple[Part, ...]
    whole: Part
    traffic: Traffic
    times: Times
    notes: tuple[str, ...]


def prepare(observation: Observation, folder: str | Path, given: Given) -> Prepared:
    """The experiments of an observation, whose workload names the folder with its series.

    Raises:
        RunError: The observation does not tell a time that the user did not give either, or has no requests.
        ExperimentError: The manifest or another file cannot be used.
    """
    requests = traffic(observation)
    if not requests.passages or not sum(float(one.ended.sum()) for one in requests.passages):
        raise RunError(f"{observation.namespace}/{observation.service}: no request was recorded")
    notes = list(requests.notes)
    own = given.model is None
    service = service_time(observation) if own and given.service_time is None else None
    start = cold_start(observation) if own and given.cold_start is None else None
    for estimate in (service, start):
        notes += estimate.notes if estimate else ()
    activators = _activators(requests)
    made = partial(_experiment, observation, folder, given, activators)
    base = made(Times(service, start))
    concurrency = base.service.container_concurrency
    if observation.service not in (base.service.name, f"{base.service.name}-predictor"):
        notes.append(f"The manifest is that of {base.service.name}, the observation that of {observation.service}.")
    sharing = None if service is None else contention(observation, concurrency, service.mean_s, given.seed)
    if start is not None:
        # Probes and queue-proxy come on top of the container's start.
        overhead_s = _overhead_s(base)
        mean_s, low_s, high_s = (max(0.0, one - overhead_s) for one in (start.mean_s, start.low_s, start.high_s))
        start = replace(start, mean_s=mean_s, low_s=low_s, high_s=high_s)
    times = Times(service, start, sharing, concurrency)
    base = made(times)
    whole, said = _begun(observation, base, None, (observation.begin_s, observation.end_s))
    notes += said
    restarted = [one.role for one in restarts.restarts(observation)]
    if again := restarted.count("autoscaler"):
        notes.append(
            f"Restarts of the autoscaler: {again}, simulated at the times recorded: it forgets its averages, and "
            "begins in panic mode beside several ready pods."
        )
    if again := restarted.count("activator"):
        notes.append(
            f"Restarts of activators: {again}, simulated at the times recorded: the autoscaler does not hear of their "
            "requests for some seconds. The requests themselves go on."
        )
    serving = _serving(observation)
    parts = [replace(whole, revision=serving[0] if serving else "")]
    if len(serving) > 1:
        notes.append(
            f"{len(serving)} revisions served: each is simulated with its own requests and with the manifest given, "
            "and candidates with the requests of all."
        )
        parts = []
        for revision in serving:
            experiment = made(replace(times, service=_of_revision(observation, revision, service)), revision)
            lived = next((one.first_s, one.last_s) for one in observation.revisions if one.name == revision)
            parts.append(_begun(observation, experiment, revision, lived)[0])
    return Prepared(observation, folder, given, tuple(parts), whole, requests, times, tuple(notes))


def _of_revision(observation: Observation, revision: str, service: ServiceTime | None) -> ServiceTime | None:
    """The service time of a revision, that of all where it has too few requests."""
    if service is None:
        return None
    try:
        found = service_time(observation, revision)
    except RunError:
        return service
    return found if found.requests >= FEW_REQUESTS else service


def _activators(requests: Traffic) -> int:
    """The most activators at one time: one that was replaced has another address."""
    spans = [(one.begin_s[0], one.end_s[-1]) for one in requests.passages if one.role == "activator"]
    return max((sum(bool(begin_s <= at_s < end_s) for begin_s, end_s in spans) for at_s, _ in spans), default=0)


def _serving(observation: Observation) -> list[str]:
    """Revisions with requests, in the order in which they appeared."""
    found = []
    for revision in observation.revisions:
        passages = traffic(observation, revision.name).passages
        if sum(float(one.ended.sum()) for one in passages):
            found.append(revision.name)
    return found


def _experiment(
    observation: Observation,
    folder: str | Path,
    given: Given,
    activators: int,
    times: Times,
    revision: str | None = None,
) -> Experiment:
    """The experiment of a revision, or of all, from the begin of the window."""
    workload = {"kind": "observed", "file": str(folder), "within": given.within}
    data: dict[str, Any] = {
        "service": given.manifest,
        **({"cluster-config": list(given.cluster_config)} if given.cluster_config else {}),
        "workload": workload | ({"revision": revision} if revision else {}),
        "model": given.model if given.model is not None else _model(observation, given, times),
        "cluster": {"activators": max(1, activators)},
        "start": {"state": "warm", "for": "0s"},
        "replications": given.replications,
        "seed": given.seed,
    }
    return with_settings(from_mapping(data, base=".", path="command line"), given.settings or {})


def _model(observation: Observation, given: Given, times: Times) -> dict[str, Any]:
    """The service model with draws of what is uncertain in it.

    The container serves as many requests at once as containerConcurrency let through; under a higher one the others
    wait inside, as nothing was recorded of them.
    """
    service, start, sharing = times.service, times.start, times.sharing
    served: dict[str, Any] = {
        "time": service.time if service is not None else given.service_time,
        "slots": times.concurrency,
    }
    if service is not None and sharing is not None:
        cv = math.sqrt(max(LEAST_CV**2, (1.0 + service.cv**2) / (1.0 + sharing.spread**2) - 1.0))
        alone = {"distribution": "lognormal", "mean": f"{sharing.alone_s:.6f}s", "cv": round(cv, 6)}
        served = {"time": alone, "slots": times.concurrency, "slowdown": [1.0, round(1.0 + sharing.slope, 6)]}
    model: dict[str, Any] = {
        "name": observation.service,
        "source": f"recorded by Prometheus ({observation.source})",
        "service-time": served,
        "cold-start": f"{start.mean_s:.3f}s" if start is not None else given.cold_start,
    }
    random = np.random.default_rng(given.seed)
    shares = (np.arange(DRAWS) + 0.5) / DRAWS
    draws: list[dict[str, Any]] = [{} for _ in range(DRAWS)]
    if start is not None and start.high_s > start.low_s:
        for draw, share in zip(draws, random.permutation(shares), strict=True):
            draw[COLD_START] = f"{start.low_s + share * (start.high_s - start.low_s):.3f}s"
    if service is not None and sharing is not None:
        for draw, (slope, alone_s) in zip(draws, sharing.draws, strict=False):
            draw[SERVICE_MEAN] = f"{alone_s:.6f}s"
            draw["service-time.slowdown"] = [1.0, round(1.0 + slope, 6)]
    elif service is not None and "mean" in service.time:
        for draw, sigmas in zip(draws, random.standard_normal(DRAWS), strict=True):
            draw[SERVICE_MEAN] = f"{max(0.1 * service.mean_s, service.mean_s + sigmas * service.error_s):.6f}s"
    if draws[0]:
        model["posterior"] = draws
    return model


def _overhead_s(experiment: Experiment) -> float:
    """What lies between the start of a container and Ready beside the model's own stages [s]: probes, queue-proxy."""
    alone = experiment.with_settings(
        {
            "workload": {"kind": "constant", "rate": 1, "duration": "1s"},
            "service.annotations.initial-scale": PROBED_PODS,
            "service.annotations.max-scale": None,
            "horizon": "1s",
            "model.posterior": None,
        }
    )
    took = []
    for outcome in simulate(alone, replications=4, engine="reference").outcomes:
        ready = outcome.pods[outcome.pods[:, READY] != NEVER_NS]
        took.append((ready[:, READY] - ready[:, CREATED]) / SECOND_NS)
    stages = sum(stage.time.mean_s() for stage in experiment.model.cold_start.stages)
    return max(0.0, float(np.mean(np.concatenate(took))) - stages)


def _begun(
    observation: Observation, experiment: Experiment, revision: str | None, window_s: tuple[float, float]
) -> tuple[Part, list[str]]:
    """A stretch of a revision, begun in the state in which its first scrape found it."""
    pods = gauge(observation, "kn_revision_pods_count", revision)
    times_s, ready = _from_then(pods, window_s[0])
    _, asked = _from_then(gauge(observation, "kn_revision_pods_requested", revision), window_s[0])
    if not len(times_s) or not len(asked):
        return _from(experiment, observation, *window_s), ["Pods were not recorded: the run begins with a warm pod."]
    end_s = window_s[1]
    if revision and not ready[-1]:
        # What has lost its traffic is scaled to zero whatever its min-scale.
        end_s = float(times_s[np.flatnonzero(ready)[-1]]) if ready.any() else end_s
    settings: dict[str, Any] = {}
    begin_s = max(window_s[0], float(times_s[0]))
    most = experiment.revision.max_scale or int(ready.max())
    scrapes_s = gauge(observation, "kn_revision_pods_count")[0]
    if revision and ready[0] and times_s[0] == pods[0][0] > scrapes_s[0]:
        # It was made since the scrape before, which the requests that it has had belong to.
        begin_s = float(scrapes_s[scrapes_s < times_s[0]][-1])
    elif ready[0]:
        settings["service.annotations.initial-scale"] = min(most, int(ready[0]))
    elif ready.any() and (asked[0] or not _sent_before(observation, experiment, times_s[np.argmax(ready > 0)])):
        # Its first pods are starting: asked for already, or Ready before any request. A revision has traffic once they
        # are Ready, at some time after the last scrape that saw none: from there on, so that its first requests keep
        # their scrape interval.
        first = int(np.argmax(ready > 0))
        begin_s = float(times_s[first - 1])
        settings["service.annotations.initial-scale"] = min(most, int(asked[0]) or int(ready[first]))
    else:
        settings["start"] = {"state": "idled", "for": "0s"}
    try:
        changed = experiment.with_settings(settings)
    except KpasimError:
        changed = experiment
    if "start" in settings and changed.revision.min_scale > 0:
        changed = experiment
    return _from(changed, observation, begin_s, end_s, revision or ""), []


def _sent_before(observation: Observation, experiment: Experiment, time_s: float) -> bool:
    """Whether a request may have been sent before a time [s since 1970]."""
    assert isinstance(experiment.workload, Observed)
    begins_s = observation.begin_s + experiment.workload.from_s + counts_of(experiment.workload).begin_s
    return bool((begins_s < time_s).any())


def _from_then(samples: tuple[Floats, Floats], begin_s: float) -> tuple[Floats, Floats]:
    kept = samples[0] >= begin_s
    return samples[0][kept], samples[1][kept]


def stretches(observation: Observation, part: Part, warm_up_s: float | None = None) -> list[Part]:
    """A part cut into stretches that memory holds, each but the first with a time to warm up before it counts.

    Each begins with as many pods as were recorded then. The time is ``WARM_UP_S`` if ``None``.
    """
    warm_up_s = WARM_UP_S if warm_up_s is None else warm_up_s
    assert isinstance(part.experiment.workload, Observed)
    counts = counts_of(part.experiment.workload)
    count = math.ceil(int(counts.requests.sum()) / STRETCH_REQUESTS)
    if count < 2:
        return [part]
    # Cut between scrape intervals, so that each has all of its requests on one side.
    cuts_s = np.linspace(part.begin_s, part.end_s, count + 1)
    ends_s = np.sort(part.begin_s + counts.end_s)
    cuts_s[1:-1] = ends_s[np.searchsorted(ends_s, cuts_s[1:-1]).clip(0, len(ends_s) - 1)]
    cuts_s = np.unique(cuts_s)
    revision = part.experiment.workload.revision
    found = []
    for place, (from_s, to_s) in enumerate(zip(cuts_s[:-1].tolist(), cuts_s[1:].tolist(), strict=True)):
        begin_s = from_s - warm_up_s if place else from_s
        stretch, _ = _begun(observation, part.experiment, revision, (max(begin_s, part.begin_s), to_s))
        found.append(replace(stretch, revision=part.revision, end_s=to_s, counted_s=from_s if place else -math.inf))
    return found


def _from(experiment: Experiment, observation: Observation, begin_s: float, end_s: float, revision: str = "") -> Part:
    length_s = max(1.0, end_s - begin_s)
    settings: dict[str, Any] = {"horizon": f"{length_s:.3f}s"}
    if begin_s > observation.begin_s:
        settings["workload.from"] = f"{begin_s - observation.begin_s:.3f}s"
    settings["workload.duration"] = f"{length_s:.3f}s"
    if not isinstance(experiment.scaling, Other):
        settings |= restarts.settings(restarts.restarts(observation), begin_s, end_s, experiment.cluster.activators)
    return Part(revision, begin_s, end_s, experiment.with_settings(settings))


def candidates(prepared: Prepared, manifests: Sequence[str]) -> list[Experiment]:
    """The experiments of other manifests under the same requests, begun in the same state.

    Raises:
        ExperimentError: A manifest cannot be used.
    """
    whole = prepared.whole.experiment
    found = []
    for manifest in manifests:
        given = replace(prepared.given, manifest=manifest)
        other = _experiment(prepared.observation, prepared.folder, given, whole.cluster.activators, prepared.times)
        settings: dict[str, Any] = {"horizon": whole.raw["horizon"], "start": whole.raw["start"]}
        workload = whole.raw["workload"]
        settings |= {f"workload.{key}": workload[key] for key in ("from", "duration") if key in workload}
        initial = whole.setting("service.annotations.initial-scale")
        if initial is not None:
            settings["service.annotations.initial-scale"] = initial
        if not isinstance(other.scaling, Other):
            settings |= {f"cluster.{key}": whole.raw["cluster"].get(key, []) for key in RESTARTS}
        found.append(other.with_settings(settings))
    return found


def experiment_text(prepared: Prepared, out: str | Path) -> str:
    """The experiment of an observation as a file for `run`, `sweep` and `tune`; paths in it are relative to the file.

    It begins with as many pods as the manifest says, not with those that were recorded first, and nothing restarts.
    """
    base, given = Path(out).parent, prepared.given
    whole = prepared.whole.experiment
    raw = whole.raw
    data = {
        "service": relative(given.manifest, base),
        **({"cluster-config": [relative(one, base) for one in given.cluster_config]} if given.cluster_config else {}),
        "workload": {**raw["workload"], "file": relative(prepared.folder, base)},
        "model": given.model if given.model is not None else dict(raw["model"]),
        "cluster": {key: value for key, value in raw["cluster"].items() if key not in RESTARTS},
        "horizon": raw["horizon"],
        "replications": whole.replications,
        "seed": whole.seed,
    }
    service = f"{given.manifest}, from what Prometheus recorded in {prepared.folder}"
    return f"# {service}: requests, service times and cold starts.\n{yaml_text(data, flow_style=None)}"


def in_seconds(time: str) -> float:
    """A time as the draws of a model have it."""
    return float(time.removesuffix("s"))


def with_cold_start(prepared: Prepared, start: ColdStart) -> Prepared:
    """The same with another cold start, drawn from its interval where the one before was."""
    before = prepared.times.start
    assert before is not None

    def changed(part: Part) -> Part:
        draws = []
        for draw in part.experiment.raw["model"]["posterior"]:
            share = (in_seconds(draw[COLD_START]) - before.low_s) / (before.high_s - before.low_s)
            draws.append({**draw, COLD_START: f"{start.low_s + share * (start.high_s - start.low_s):.3f}s"})
        settings = {"model.cold-start": f"{start.mean_s:.3f}s", "model.posterior": draws}
        return replace(part, experiment=part.experiment.with_settings(settings))

    parts, times = tuple(changed(part) for part in prepared.parts), replace(prepared.times, start=start)
    return replace(prepared, parts=parts, whole=changed(prepared.whole), times=times)


def with_arrivals(prepared: Prepared, within: str) -> Prepared:
    """The same with requests placed otherwise within their scrape intervals."""
    changed = [one.experiment.with_setting("workload.within", within) for one in prepared.parts]
    parts = (replace(part, experiment=one) for part, one in zip(prepared.parts, changed, strict=True))
    return replace(prepared, parts=tuple(parts))
