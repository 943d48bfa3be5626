"""Service times and stages of a start where files hold them one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kpasim.records import Record
from kpasim.results.frames import Columns
from kpasim.spec.experiment import Experiment
from kpasim.studies.fit.classes import ClassFit, fit_classes, names_of
from kpasim.studies.fit.families import BOOTSTRAPS, Fit, Sample, fit, sample
from kpasim.studies.fit.sharing import Sharing, fit_sharing

Floats = NDArray[np.float64]

RESOLUTION_S = {"gentd26": 1.0, "azure-2021": 0.0}
"""What the durations of a kind of file are rounded to."""
LATENCIES = {"hey-csv", "vegeta-json", "vegeta-csv", "k6-json", "k6-csv"}
"""Kinds of files that know what clients waited, not what the service worked."""
ENOUGH_OF_A_TYPE = 5
TYPE_BOOTSTRAPS = 500


@dataclass(frozen=True)
class Served:
    """What files say about service times.

    Attributes:
        times: Service times of all requests, where types of machines are known those of the commonest one.
        fit: Their distribution.
        classes: The same by class; empty where the files tell none apart.
        sharing: How much slower requests are that share a pod; ``None`` where they did not.
        factors: Relative duration on each type of machine with its 90 % interval; empty where one type was used.
        notes: What a user should know.
    """

    times: Sample
    fit: Fit
    classes: Sequence[ClassFit] = ()
    sharing: Sharing | None = None
    factors: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass
class _Requests:
    """Requests of all files, one below the other."""

    times: list[Sample] = field(default_factory=list)
    names: list[NDArray[np.object_]] = field(default_factory=list)
    types: list[NDArray[np.object_]] = field(default_factory=list)

    def add(self, times: Sample, names: NDArray[np.object_], types: NDArray[np.object_]) -> None:
        self.times.append(times)
        self.names.append(names)
        self.types.append(types)

    def joined(self) -> tuple[Sample, NDArray[np.object_], NDArray[np.object_]]:
        low, high = (np.concatenate([getattr(one, end) for one in self.times]) for end in ("low", "high"))
        return Sample(low, high), np.concatenate(self.names), np.concatenate(self.types)


def fit_service(
    records: Sequence[Record],
    experiment: Experiment | None,
    rng: np.random.Generator,
    *,
    bootstraps: int = BOOTSTRAPS,
    progress: Callable[[int], None] | None = None,
) -> Served | None:
    """The service time that files with requests show; ``None`` where no file has any that was answered.

    A run folder knows how long containers worked. Of other files durations are taken as they stand. A request whose
    client gave up is known to take longer than it had.

    Args:
        records: Files.
        experiment: What was run, where that is known: it tells how many requests ``hey -o csv`` left out.
        rng: Random numbers of the bootstraps.
        bootstraps: Resamples.
        progress: Called with the number of classes that are done.
    """
    found, shared = _Requests(), []
    notes: list[str] = []
    for record in records:
        if not len(record.requests.get("start_s", ())):
            continue
        if record.tables is not None and _shares(record):
            shared.append(record.tables.requests)
        found.add(*_requests_of(record, experiment, notes))
    if not found.times:
        return None
    times, names, types = found.joined()
    known = ~np.isnan(times.low)
    times, names, types = times.take(known), names[known], types[known]
    if len(times) == times.censored:
        return None
    sharing = fit_sharing(shared, rng) if shared else None
    if sharing is not None:
        # What each would have taken alone takes the place of what it took.
        times = sample(sharing.work_s)
        names = types = np.full(len(times), "", dtype=object)
    factors = _factors(times, types, rng)
    if factors:
        scale = np.array([factors.get(str(one), (1.0,))[0] for one in types])
        times = Sample(times.low / scale, times.high / scale)
    several = len({str(name) for name in names}) > 1
    classes = fit_classes(names, times, rng, bootstraps=bootstraps, progress=progress) if several else []
    whole = fit(times, rng, bootstraps=0 if several else bootstraps)
    return Served(times, whole, classes if len(classes) > 1 else [], sharing, factors, notes)


def _shares(record: Record) -> bool:
    """Whether pods of a run folder worked on several requests at once, as far as it says when each was worked on."""
    tables = record.tables
    return (
        tables is not None
        and {"server_start_s", "server_end_s", "pod"} <= set(tables.requests)
        and _overlap(tables.requests)
    )


def _overlap(requests: Columns) -> bool:
    start, end, pod = requests["server_start_s"], requests["server_end_s"], np.asarray(requests["pod"])
    known = ~np.isnan(start) & ~np.isnan(end)
    for one in np.unique(pod[known]):
        rows = np.flatnonzero(known & (pod == one))
        order = rows[np.argsort(start[rows])]
        if np.any(start[order][1:] < np.maximum.accumulate(end[order])[:-1] - 1e-3):
            return True
    return False


def _requests_of(
    record: Record, experiment: Experiment | None, notes: list[str]
) -> tuple[Sample, NDArray[np.object_], NDArray[np.object_]]:
    requests = record.requests
    status, censored = requests["status"], np.asarray(requests["censored"], bool)
    answered = (status >= 200) & (status < 300)
    if record.kind == "run-folder" and "service_s" in requests:
        times, broken = _worked(requests, answered)
    else:
        times, broken = np.where(answered | censored, requests["duration_s"], np.nan), censored
        if record.kind in LATENCIES:
            notes.append(
                f"{record.path}: what clients waited is taken as service time; waiting in queues is part of it"
            )
    failed = int((~answered & ~censored).sum())
    if failed:
        notes.append(f"{record.path}: {failed} requests that failed are left out")
    names, types = names_of(requests), _types_of(record)
    times, broken = np.asarray(times, dtype=np.float64), np.asarray(broken, bool)
    missing, limit_s = _left_out(record, experiment)
    if missing:
        notes.append(
            f"{record.path}: {missing} of the experiment's requests are missing; taken as given up at {limit_s:g} s"
        )
        times = np.concatenate([times, np.full(missing, limit_s)])
        broken = np.concatenate([broken, np.ones(missing, bool)])
        names, types = (np.concatenate([one, np.full(missing, "", dtype=object)]) for one in (names, types))
    half = 0.5 * RESOLUTION_S.get(record.kind, 0.0)
    low = np.where(broken, times, np.maximum(times - half, 0.0))
    return Sample(low, np.where(broken, np.inf, times + half)), names, types


def _worked(requests: Columns, answered: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """How long containers worked; at least, where a client gave up on a request that was being worked on."""
    times = np.where(answered, requests["service_s"], np.nan)
    gave_up = np.asarray(requests["censored"], bool) & np.isnan(requests["service_s"])
    if "server_start_s" not in requests:
        return times, np.zeros(len(times), bool)
    lasted = requests["start_s"] + requests["duration_s"] - requests["server_start_s"]
    broken = gave_up & (lasted > 0.0)
    return np.where(broken, lasted, times), broken


def _types_of(record: Record) -> NDArray[np.object_]:
    """Type of the machine that answered each request; empty words where nobody says."""
    requests = record.requests
    none = np.full(len(requests["status"]), "", dtype=object)
    if "instance_type" in requests:
        return np.array([str(one) for one in requests["instance_type"]], dtype=object)
    if "pod" in requests and "instance_type" in record.pods:
        known = {
            str(pod): str(kind) for pod, kind in zip(record.pods["pod"], record.pods["instance_type"], strict=True)
        }
        return np.array([known.get(str(pod), "") for pod in requests["pod"]], dtype=object)
    return none


def _left_out(record: Record, experiment: Experiment | None) -> tuple[int, float]:
    """How many requests a file lacks because clients gave up, and when they did.

    ``hey -o csv`` leaves out what had no answer.
    """
    if record.kind != "hey-csv" or experiment is None or experiment.workload.kind != "hey":
        return 0, 0.0
    workload = experiment.workload
    if workload.duration_s is not None or not workload.timeout_s:
        return 0, 0.0
    sent = workload.requests // workload.concurrency * workload.concurrency
    return max(0, sent - len(record.requests["status"])), float(workload.timeout_s)


def _factors(
    times: Sample, types: NDArray[np.object_], rng: np.random.Generator
) -> dict[str, tuple[float, float, float]]:
    """Relative duration on each type: ratio of the geometric means, with a bootstrap interval."""
    exact = ~np.isinf(times.high) & (times.middle > 0.0)
    names, counts = np.unique(types[exact].astype(str), return_counts=True)
    known = [str(name) for name, count in zip(names, counts, strict=True) if name and count >= ENOUGH_OF_A_TYPE]
    if len(known) < 2:
        return {}
    logs = {name: np.log(times.middle[exact & (types == name)]) for name in known}
    base = max(known, key=lambda name: len(logs[name]))
    found = {base: (1.0, 1.0, 1.0)}
    for name in known:
        if name != base:
            own, other = (rng.choice(logs[one], (TYPE_BOOTSTRAPS, len(logs[one]))).mean(axis=1) for one in (name, base))
            low, high = np.exp(np.quantile(own - other, [0.05, 0.95]))
            found[name] = (float(np.exp(logs[name].mean() - logs[base].mean())), float(low), float(high))
    return found
