"""Service times and stages of a start where files hold them one by one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from kpasim.arrays import Bools, Floats, Ints
from kpasim.errors import RunError
from kpasim.records import Record
from kpasim.spec.experiment import Experiment
from kpasim.studies.fit.classes import ENOUGH as ENOUGH_OF_A_KIND
from kpasim.studies.fit.classes import ClassFit, fit_classes, names_of
from kpasim.studies.fit.families import BOOTSTRAPS, Fit, Sample, ends_90, fit, joined
from kpasim.studies.fit.sharing import BOOTSTRAPS as MOST_BOOTSTRAPS
from kpasim.studies.fit.sharing import DISTINGUISHED, ENOUGH, Sharing, fit_sharing
from kpasim.studies.fit.sharing import Served as SharedPods
from kpasim.studies.fit.starts import StageFit

Words = NDArray[np.object_]

RESOLUTION_S = {"gentd26": 1.0, "azure-2021": 0.0}
"""What the durations of a kind of file are rounded to."""
ENOUGH_NAMED = 20
"""Requests that a class needs which the file names."""
ENOUGH_OF_A_TYPE = 5
FEWEST_FIRST, LEAST_LONGER, SURE_LONGER = 2, 1.5, 4.0
"""Pods whose first requests must be slow, how many times as long as others, by how many standard errors."""
TYPE_BOOTSTRAPS = 500
ROUNDED_S, ROUNDED = 1e-3, 0.05
"""What tools round times to, and the share of a duration that this is at most: so much may requests of one client
overlap."""


GATEWAY_TIMEOUT = 504
SAME_MOMENT_S = 0.05
"""Work that ends so soon after its client has gone was broken off by that."""


@dataclass(frozen=True)
class Served:
    """What files say about service times.

    Attributes:
        fit: The service time of all requests, where types of machines are known on the commonest one.
        classes: The same by class; empty where the files tell none apart.
        sharing: What requests that share a pod cost each other, or how many a container works on; ``None`` where the
            files do not tell.
        load: What the first request of a pod waits for inside it (lazy loading); ``None`` where it takes no longer.
        factors: Relative duration on each type of machine with its 90 % interval; empty where one type was used.
        notes: What a user should know.
        curves: Contention factors of each draw of ``fit``; empty where they are not drawn together.
    """

    fit: Fit
    classes: Sequence[ClassFit] = ()
    sharing: Sharing | None = None
    load: StageFit | None = None
    factors: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    curves: Sequence[Floats] = ()


def fit_service(
    records: Sequence[Record],
    experiment: Experiment | None,
    rng: np.random.Generator,
    *,
    only: str = "",
    bootstraps: int = BOOTSTRAPS,
) -> Served | None:
    """The service time that files with requests show; ``None`` where no file has any that was answered.

    A run folder knows how long containers worked, whatever became of the client. Of other files durations are taken as
    they stand. A request whose client gave up and whose end is not known takes longer than it had. The experiment,
    where it is known, tells how many requests ``hey -o csv`` left out; ``only`` is the class to use.

    Raises:
        RunError: No request is of the class ``only``.
    """
    found: list[tuple[Sample, Words, Words]] = []
    notes: list[str] = []
    with_requests = [one for one in records if len(one.requests.get("start_s", ()))]
    folders = [one for one in with_requests if _knows_pods(one)]
    sharing, told, load = None, False, None
    if folders:
        served, names, types = _served(folders, notes)
        loaded, first = _first_requests(served)
        if len(loaded):
            served = replace(served, counts=served.counts & ~first)
        if served.counts.any():
            concurrency = _concurrency(folders, experiment)
            sharing = fit_sharing(served, concurrency, rng, min(bootstraps, MOST_BOOTSTRAPS))
            told = bool(sharing.slots) or sharing.shared >= ENOUGH
            if len(loaded):
                others = served.counts & served.complete
                load = _load_stage(sharing.work.middle[loaded], sharing.work.middle[others], rng)
                notes.append(
                    f"the first request of a pod takes {load.time.figures['mean'][0]:.3g} s longer than the others: "
                    "taken as lazy loading, a stage of the start (when: first-request)"
                )
            notes += _said_of_sharing(sharing, concurrency, told=told)
            found.append((sharing.work.take(served.counts), names[served.counts], types[served.counts]))
    for record in with_requests:
        if not any(record is one for one in folders):
            found.append(_requests_of(record, experiment, notes))
    if not found:
        return None
    samples, *words = zip(*found, strict=True)
    times, (names, types) = joined(samples), map(np.concatenate, words)
    known = ~np.isnan(times.low)
    if only:
        known &= names == only
        if not known.any():
            listed = ", ".join(sorted({str(one) for one in names} - {""})) or "none is named"
            raise RunError(f"no request of the class {only!r} ({listed})")
    times, names, types = times.take(known), names[known], types[known]
    if len(times) == times.censored:
        return None
    factors = _factors(times, types, rng)
    if factors:
        scale = np.array([factors.get(str(one), (1.0,))[0] for one in types])
        times = Sample(times.low / scale, times.high / scale)
    several = len({str(name) for name in names}) > 1
    enough = ENOUGH_NAMED if not any("steps" in one.requests for one in with_requests) else ENOUGH_OF_A_KIND
    classes = fit_classes(names, times, rng, enough=enough, bootstraps=bootstraps) if several else []
    several = len(classes) > 1
    if several:
        listed = ", ".join(one.name for one in classes)
        notes.append(f"requests of {len(classes)} classes have their own times: {listed} (--class takes one of them)")
    elif not any("steps" in one.requests for one in with_requests):
        kinds = sorted({str(name) for name in names} - {""})
        if len(kinds) > 1:
            listed = ", ".join(kinds[:5]) + (" ..." if len(kinds) > 5 else "")
            notes.append(f"requests of {len(kinds)} classes are taken as one: {listed} (--class takes one of them)")
    # Where requests slowed each other down each resample has its own times, as it has its own slow-down.
    alone = sharing is not None and len(with_requests) == len(folders) and not factors and not only
    resampled = sharing.resampled if sharing is not None and alone and any(sharing.slowdown) else None
    whole = fit(times, rng, bootstraps=0 if several else bootstraps, resampled=resampled)
    curves = sharing.curves if sharing is not None and told and resampled is not None and whole.draws else ()
    return Served(whole, classes if several else [], sharing if told else None, load, factors, notes, curves)


def _knows_pods(record: Record) -> bool:
    """Whether a file says when which pod worked on its requests."""
    wanted = ("server_start_s", "server_end_s", "pod")
    return all(name in record.requests for name in wanted) and bool(
        (~np.isnan(record.requests["server_start_s"])).any()
    )


def _served(records: Sequence[Record], notes: list[str]) -> tuple[SharedPods, Words, Words]:
    """Requests of run folders as their pods saw them, with their classes and the types of their machines."""
    parts, names, types = [], [], []
    for number, record in enumerate(records):
        requests = record.requests
        begun = ~np.isnan(requests["server_start_s"])
        left_s = requests["start_s"] + requests["duration_s"]
        known_end = np.asarray(requests["server_end_s"])
        last_s = float(np.nanmax(np.concatenate((left_s, known_end, requests["server_start_s"]))))
        end_s = np.fmax(np.where(np.isnan(known_end), np.where(np.isnan(left_s), last_s, left_s), known_end), 0.0)
        begin_s = requests["server_start_s"]
        end_s = np.fmax(end_s, begin_s)
        status = requests["status"]
        answered = (status >= 200) & (status < 300)
        gave_up = (status == 0) | (status == GATEWAY_TIMEOUT) | np.asarray(requests["censored"], bool)
        complete = ~np.isnan(known_end) & (answered | (known_end > left_s + SAME_MOMENT_S))
        counts = begun & (answered | gave_up) & (end_s > begin_s)
        notes += _said_of_failures(record.path, answered, gave_up, complete, counts)
        pods = np.unique(np.asarray(requests["pod"], dtype=str), return_inverse=True)[1]
        arrival_s = np.asarray(requests.get("server_arrival_s", begin_s))
        names.append(names_of(requests)[begun])
        types.append(_types_of(record)[begun])
        columns = (begin_s, end_s, complete, counts, np.where(np.isnan(arrival_s), begin_s, arrival_s))
        parts.append((pods[begun] + 1_000_000 * number, *(one[begun] for one in columns)))
    pod, begin, end, complete, counts, arrival = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    all_names, all_types = np.concatenate(names), np.concatenate(types)
    kinds = np.array([f"{name}\0{type_}" for name, type_ in zip(all_names, all_types, strict=True)])
    frequent = {str(kind) for kind, count in zip(*np.unique(kinds, return_counts=True), strict=True) if count >= ENOUGH}
    group = np.unique([kind if kind in frequent else "" for kind in kinds], return_inverse=True)[1]
    return SharedPods(pod, begin, end, complete, counts, arrival, group), all_names, all_types


def _first_requests(served: SharedPods) -> tuple[Ints, Bools]:
    """First requests of pods, where they take longer than the others, and which requests that concerns.

    A first request waits for what the container loads lazily, and so do those that come while it waits.
    """
    first = np.zeros(len(served), bool)
    lasted = served.end_s - served.begin_s
    waited = []
    for pod in np.unique(served.pod):
        rows = np.flatnonzero(served.pod == pod)
        row = rows[np.argmin(served.begin_s[rows])]
        first[rows[served.begin_s[rows] < served.end_s[row]]] = True
        if served.complete[row] and served.counts[row]:
            waited.append(row)
    others = served.counts & served.complete & ~first
    none = np.zeros(0, dtype=np.int64)
    if len(waited) < FEWEST_FIRST or others.sum() < ENOUGH:
        return none, first
    logs, usual = np.log(lasted[waited]), np.log(lasted[others])
    away = float(logs.mean() - usual.mean())
    if away < math.log(LEAST_LONGER) or away * math.sqrt(len(logs)) < SURE_LONGER * float(usual.std()):
        return none, first
    return np.array(waited), first


def _load_stage(of_first: Floats, of_others: Floats, rng: np.random.Generator) -> StageFit:
    """What first requests take more than the others; without contention, which slows down this, too."""
    means = [
        rng.choice(of_first, len(of_first)).mean() - rng.choice(of_others, len(of_others)).mean() for _ in range(200)
    ]
    mean = max(float(of_first.mean() - of_others.mean()), 0.0)
    low, high = np.maximum(ends_90(means), 0.0)
    time = Fit("constant", mean, Sample(of_first, of_first), figures={"mean": (mean, float(low), float(high))})
    return StageFit("load", "start", time, when="first-request")


def _said_of_failures(path: str, answered: Bools, gave_up: Bools, complete: Bools, counts: Bools) -> list[str]:
    """What became of requests that were not answered."""
    late, cut = int((counts & ~answered & complete).sum()), int((counts & ~answered & ~complete).sum())
    lost = int((gave_up & ~counts).sum())
    failed = int((~answered & ~gave_up).sum())
    said = []
    if late or cut or lost:
        parts = [
            f"{late} counted with the time that the container worked" if late else "",
            f"{cut} counted as longer than the container had" if cut else "",
            f"{lost} left out because no container began to work on them" if lost else "",
        ]
        listed = ", ".join(part for part in parts if part)
        said.append(f"{path}: {late + cut + lost} requests timed out: {listed}")
    if failed:
        said.append(f"{path}: {failed} request{'s' * (failed != 1)} that failed left out")
    return said


def _concurrency(records: Sequence[Record], experiment: Experiment | None) -> int:
    """ContainerConcurrency of the runs, 0 for no limit or where nobody says."""
    found = [
        service.get("containerConcurrency") for one in records if isinstance(service := one.run.get("service"), dict)
    ]
    known = [int(one) for one in found if isinstance(one, int | float)]
    if known:
        return 0 if 0 in known else max(known)
    return experiment.service.container_concurrency if experiment is not None else 0


def _said_of_sharing(sharing: Sharing, concurrency: int, *, told: bool) -> list[str]:
    """Up to which load the model holds, and what it does beyond."""
    if sharing.queued_unseen:
        unit = "one request" if sharing.slots == 1 else f"{sharing.slots} requests"
        return [
            f"requests of a pod end in sequence, as from a queue inside the container: it processes {unit} at "
            "a time (slots), and waiting does not count as service time"
        ]
    if sharing.slots:
        return [f"no container processed more than {sharing.slots} at once while others waited in it: slots"]
    if not told:
        if concurrency == 1:
            return []
        return [
            "hardly any request shared its pod: these files do not show the contention factor, and a model without it "
            "processes one request at a time (see --clients)"
        ]
    reach = len(sharing.slowdown)
    _, most = sharing.intervals[-1]
    if sharing.slowdown[-1] == 1.0 and most > DISTINGUISHED:
        return [
            f"up to {reach} requests at once take at most {most:.3g} times as long (95 % certain): nearly all shared "
            "their pod, so contention cannot be distinguished from longer service times (see --clients)"
        ]
    if sharing.slowdown[-1] == 1.0:
        return [f"no contention with up to {reach} requests at once (at most {most:.3g} times as long, 95 % certain)"]
    beyond = "" if 0 < concurrency <= reach else "; beyond that the last step is extrapolated"
    return [f"contention factors are measured up to {reach} requests at once in a pod{beyond}"]


def _requests_of(record: Record, experiment: Experiment | None, notes: list[str]) -> tuple[Sample, Words, Words]:
    """Durations of a file that does not say when containers worked."""
    requests = record.requests
    status, censored = requests["status"], np.asarray(requests["censored"], bool)
    answered = (status >= 200) & (status < 300)
    if record.kind == "run-folder" and "service_s" in requests:
        times, broken = np.where(answered, requests["service_s"], np.nan), np.zeros(len(status), bool)
    else:
        times, broken = np.where(answered | censored, requests["duration_s"], np.nan), censored
        if record.clients:
            notes.append(
                f"{record.path}: what clients waited is taken as service time; waiting in queues is part of it"
            )
        notes += _said_of_overlap(record, experiment)
    failed = int((~answered & ~censored).sum())
    if failed:
        notes.append(f"{record.path}: {failed} request{'s' * (failed != 1)} that failed left out")
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
    half = 0.5 * requests.get("bin_s", max(RESOLUTION_S.get(record.kind, 0.0), _grain_s(times)))
    low = np.where(broken, times, np.maximum(times - half, 0.0))
    return Sample(low, np.where(broken, np.inf, times + half)), names, types


def most_at_once(begin_s: Floats, end_s: Floats) -> int:
    """Most requests that were in flight at the same time."""
    moments = np.concatenate((begin_s, end_s))
    changes = np.concatenate((np.ones(len(begin_s)), -np.ones(len(end_s))))
    return int(changes[np.lexsort((changes, moments))].cumsum().max(initial=0.0))


def _said_of_overlap(record: Record, experiment: Experiment | None) -> list[str]:
    """A warning where requests may have shared a pod, or waited for one: durations are then no service times."""
    if not record.clients and record.kind != "csv":
        return []
    requests = record.requests
    begin_s, lasted_s = requests["start_s"], requests["duration_s"]
    end_s = begin_s + lasted_s - np.maximum(np.minimum(ROUNDED_S, ROUNDED * lasted_s), record.grain_s)
    known = end_s > begin_s
    pods = np.asarray(requests["pod"], str) if "pod" in requests else np.full(len(known), "")
    of_pods = [known & (pods == pod) for pod in np.unique(pods[known])]
    together = max((most_at_once(begin_s[rows], end_s[rows]) for rows in of_pods), default=0)
    if together < 2 or (experiment is not None and _has_places(experiment, together)):
        return []
    return [
        f"Warning: {record.path}: up to {together} requests were in flight at once, so their durations can hold "
        "contention or waiting; as service times they make a model too slow for such a load (use a run folder, or load "
        "tests of one pod: --clients 1=FILE 2=FILE)"
    ]


def _has_places(experiment: Experiment, requests: int) -> bool:
    """Whether each of so many requests can have a pod to itself."""
    most = experiment.revision.max_scale or math.inf
    return experiment.service.container_concurrency == 1 and requests <= most


def _grain_s(times: Floats) -> float:
    """What durations were rounded to [s]: many are equal and all are multiples of it; 0 where they were not."""
    known = times[~np.isnan(times)]
    distinct = np.unique(known)
    if not 3 <= len(distinct) <= len(known) / 2:
        return 0.0
    grains = (1.0, 0.1, 0.01, 0.001)
    return next((one for one in grains if np.abs(distinct / one - np.rint(distinct / one)).max() < 1e-6), 0.0)


def _types_of(record: Record) -> Words:
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
    if workload.per_worker is None or not workload.timeout_s:
        return 0, 0.0
    sent = workload.per_worker * workload.concurrency
    return max(0, sent - len(record.requests["status"])), float(workload.timeout_s)


def _factors(times: Sample, types: Words, rng: np.random.Generator) -> dict[str, tuple[float, float, float]]:
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
            low, high = np.exp(ends_90(own - other))
            found[name] = (float(np.exp(logs[name].mean() - logs[base].mean())), float(low), float(high))
    return found
