"""What sharing costs, from load tests of one pod with 1, 2, 4, 8 ... clients."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from kpasim.arrays import Floats
from kpasim.errors import RunError
from kpasim.records import Record
from kpasim.studies.fit import sharing as of
from kpasim.studies.fit.direct import ROUNDED, ROUNDED_S, Served, most_at_once
from kpasim.studies.fit.families import Sample, fit

MOST_CLIENTS = 256
IN_TURN = 0.1
"""How far from proportional to the clients a slow-down may be that is called one request at a time."""
CERTAIN_90 = 1.645


def fit_clients(loads: Mapping[int, Record], rng: np.random.Generator) -> Served:
    """Service time and slow-down from load tests of one pod, each with a constant number of clients.

    Every client sends its next request when it has the response to the one before, so that as many requests share the
    pod as there are clients. Where all files hold single requests with their starts, each request's time with 1, 2, 3
    ... in the pod counts, also at the end of a test, when clients run out. Of reports of hey the averages are compared.

    Raises:
        RunError: There is no test with one client, or a file does not hold what its test needs.
    """
    if 1 not in loads or len(loads) < 2:
        raise RunError("clients: tests with 1 client and with more are needed, such as 1=one.csv 2=two.csv 4=four.csv")
    if max(loads) > MOST_CLIENTS:
        raise RunError(f"clients: at most {MOST_CLIENTS} (there are {max(loads)})")
    notes: list[str] = []
    if any(one.summary is not None or one.grain_s >= 1.0 for one in loads.values()):
        times = {count: _sample(record) for count, record in sorted(loads.items())}
        curve, intervals = _ratios(times, {count: _mean(loads[count], one) for count, one in times.items()})
        found = of.Sharing(0, curve, intervals, sum(len(one) for one in times.values()), False, times[1], [])
        time = fit(times[1], rng)
    else:
        served = _of_requests(loads, notes)
        found = of.fit_sharing(served, max(loads), rng)
        found = replace(found, work=found.work.take(served.counts))
        time = fit(found.work, rng, resampled=found.resampled if found.slowdown else None)
    curves = found.curves if time.draws else ()
    return Served(time, sharing=found, notes=[*notes, *_said(loads, found)], curves=curves)


def _of_requests(loads: Mapping[int, Record], notes: list[str]) -> of.Served:
    """Requests of all tests, each test a pod of its own."""
    parts = []
    for place, (count, record) in enumerate(sorted(loads.items())):
        requests = record.requests
        if not len(requests.get("start_s", ())) or np.isnan(requests["start_s"]).any():
            raise RunError(f"{record.path}: no requests with the time of their start")
        if "pod" in requests and len(pods := np.unique(requests["pod"][requests["status"] > 0])) > 1:
            raise RunError(
                f"{record.path}: {len(pods)} pods served requests; the test needs one pod (min-scale and max-scale 1)"
            )
        begin = requests["start_s"]
        duration, status = requests["duration_s"], requests["status"]
        if "server_start_s" in requests and not np.isnan(requests["server_start_s"]).any():
            begin, duration = requests["server_start_s"], requests["server_end_s"] - requests["server_start_s"]
        duration = duration - np.minimum(ROUNDED_S, ROUNDED * duration)
        known = ~np.isnan(duration)
        answered = (status >= 200) & (status < 300)
        most = most_at_once(begin[known], begin[known] + duration[known])
        if most != count:
            notes.append(f"Warning: {record.path}: {most} requests at once at most, not {count}")
        columns = (begin, begin + duration, answered, answered | requests["censored"], begin)
        parts.append((np.full(int(known.sum()), place), *(one[known] for one in columns)))
    pod, begin, end, complete, counts, arrival = (np.concatenate(one) for one in zip(*parts, strict=True))
    if not complete.any():
        raise RunError("clients: no request has a response")
    return of.Served(pod, begin, end, complete, counts, arrival, np.zeros(len(pod), dtype=np.int64))


def _ratios(
    times: Mapping[int, Sample], means: Mapping[int, float]
) -> tuple[tuple[float, ...], tuple[tuple[float, float], ...]]:
    """Ratios of the mean times to that of one client, and their intervals (delta method)."""
    counts = list(times)
    errors = [float(np.std(one.middle)) / means[count] / math.sqrt(len(one)) for count, one in times.items()]
    ratios = np.maximum.accumulate([means[count] / means[1] for count in counts])
    wide = np.array([CERTAIN_90 * math.hypot(error, errors[0]) for error in errors])
    wide[0] = 0.0
    levels = np.arange(1, counts[-1] + 1)

    def at(factor: Floats) -> Floats:
        return np.asarray(np.maximum(np.interp(levels, counts, ratios * np.exp(factor)), 1.0))

    intervals = tuple((float(a), float(b)) for a, b in zip(at(-wide), at(wide), strict=True))
    return tuple(float(one) for one in at(0.0 * wide)), intervals


def _mean(record: Record, times: Sample) -> float:
    return record.summary.average if record.summary is not None else float(times.middle.mean())


def _sample(record: Record) -> Sample:
    """Durations of the responses; of a report each bar of the histogram says between which marks so many lie.

    Raises:
        RunError: There are none.
    """
    report, requests = record.summary, record.requests
    if report is not None:
        marks = np.array([mark for mark, _ in report.histogram])
        counts = np.array([count for _, count in report.histogram], dtype=np.int64)
        found = Sample(np.repeat(np.concatenate((marks[:1], marks[:-1])), counts), np.repeat(marks, counts))
    else:
        answered = (requests["status"] >= 200) & (requests["status"] < 300) if requests else np.zeros(0, bool)
        times = requests["duration_s"][answered] if requests else np.zeros(0)
        found = Sample(times, times)
    if not len(found):
        raise RunError(f"{record.path}: no response")
    return found


def _said(loads: Mapping[int, Record], found: of.Sharing) -> Sequence[str]:
    """Up to which load the table holds, and what it looks like."""
    counts = sorted(loads)
    listed = ", ".join(map(str, counts))
    if found.slots:
        unit = "one request" if found.slots == 1 else f"{found.slots} requests"
        return [
            f"measured with {listed} clients: the container processes {unit} at a time (slots), others wait inside it"
        ]
    reach = len(found.slowdown)
    said = [
        f"contention factors are measured with {listed} clients and interpolated between them, up to {reach} "
        "requests at once in a pod; beyond that the last step is extrapolated"
    ]
    if all(abs(found.slowdown[count - 1] / count - 1.0) < IN_TURN for count in counts if 1 < count <= reach):
        said.append("the contention factor equals the number of requests: sharing a pod gains no throughput")
    return said
