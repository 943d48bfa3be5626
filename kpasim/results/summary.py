"""Figures of merit, from tables only: the same functions serve simulated and measured runs.

One run is `summarise`; many runs at once is `summarise_many`, on columns of shape ``(runs, rows)``; `aggregate` turns
the figures of many replications into medians with predictive intervals.

All times are seconds from the start of the load. A figure that a run does not have (no request succeeded, desired
never came back to zero) is ``None``, ``NaN`` in arrays.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kpasim.arrays import Array, Bools, Floats, Ints
from kpasim.results.frames import Columns, parts, shape_of
from kpasim.results.spans import machine_from, row_sums
from kpasim.results.tables import Tables

Figures = dict[str, Floats]
"""One value per run under each name; names of nested figures are joined by a dot: ``latency_s.p95``."""

LATENCY_PERCENTILES = (10, 25, 50, 75, 90, 95, 99)
CLIENT_TIMEOUT = "failed.client_timeout"
FAILED_STATUSES = (502, 503, 504)
"""Statuses that failed requests are counted by; all others but a client's timeout are ``failed.other``."""
FAILED = (CLIENT_TIMEOUT, *(f"failed.{status}" for status in FAILED_STATUSES), "failed.other")
"""Figures that count failed requests by kind; they add up to ``errors``."""
COUNTS = frozenset({"requests", "ok", "errors", *FAILED, "in_flight", "never_sent", "max_pods", "cold_starts"})
"""Figures that are whole numbers in every single run."""

OF_WHOLE_RUNS = frozenset({"total_s", "rps", "hey.total", "hey.rps"})
"""Figures of requests that are about a run from its beginning to its end."""

INTERVAL_TAIL = 0.05
"""Share of replications left out on either side of a predictive interval: 90 % lie inside."""


class Aggregate(NamedTuple):
    """What many replications say about each figure. All four have the nesting of `summarise`.

    Attributes:
        medians: Median over the replications that have the figure, ``None`` where most lack it or it is infinite.
        intervals: ``[lo, hi]``, 90 % predictive, by order statistics of the same replications.
        counts: How many replications have the figure.
        errors: Monte-Carlo standard error of the median.
    """

    medians: dict[str, Any]
    intervals: dict[str, Any]
    counts: dict[str, Any]
    errors: dict[str, Any]


def summarise(tables: Tables, horizon_s: float | None = None, gpus_per_pod: float = 0) -> dict[str, Any]:
    """The figures of one run.

    Args:
        tables: One run.
        horizon_s: End of the run; pods are counted from the start of the load until then. ``None``: the last moment
            that any table holds.
        gpus_per_pod: GPUs that each pod holds.

    Returns:
        - ``latency_s``: mean, min, max and percentiles of successful requests, linear interpolation.
        - ``latency_all_s``: the same of all requests, see `request_figures`; ``None`` where it is infinite.
        - ``hey``: what hey would print, see `hey_percentiles`.
        - ``total_s``: start of the load to the last answer or time-out.
        - ``requests``, ``ok`` (2xx), ``errors`` (time-outs included); ``failed``: the errors by kind; ``in_flight``:
          requests without a response at the end of the run, neither ok nor errors.
        - ``rps``: requests that ended per second of ``total_s``.
        - ``max_pods``: maximum of pods created and not yet terminating.
        - ``pod_seconds``: created to gone, between the start of the load and the horizon; ``gpu_seconds`` likewise,
          from the moment at which the pod has its machine.
        - ``cold_starts``: pods created in that time.
        - ``first_scale_out_s``: first time that desired exceeds both its value before the load and the pods present
          then.
        - ``panic_entered_s``: first tick in panic mode.
        - ``desired_zero_after_last_s``, ``replicas_zero_after_last_s``: from the last answer until desired and the
          Deployment's replicas are 0.
    """
    figures = summarise_many(tables.as_many(), horizon_s, gpus_per_pod)
    return nested({name: number(name, round(float(values[0]), 6)) for name, values in figures.items()})


def summarise_many(tables: Tables, horizon_s: ArrayLike | None = None, gpus_per_pod: ArrayLike = 0) -> Figures:
    """The figures of many runs, see `summarise`.

    Args:
        tables: Columns of shape ``(runs, rows)``; rows whose first time is ``NaN`` are padding. Needed are
            ``start_s latency_s status``, ``created_s delete_requested_s gone_s``, ``t_s panic_mode`` and ``t_s desired
            replicas``; rows in the order of time.
        horizon_s: One number, or one per run.
        gpus_per_pod: One number, or one per run.
    """
    runs, _ = shape_of(tables.requests)
    figures = request_figures(tables.requests["start_s"], tables.requests["latency_s"], tables.requests["status"])
    if horizon_s is None:
        end_s = [_latest(columns, runs) for columns in (tables.pods, tables.ticks, tables.scaling)]
        horizon_s = np.fmax.reduce([figures["total_s"], *end_s])
    horizon = np.broadcast_to(np.asarray(horizon_s, dtype=np.float64), (runs,))
    figures |= _pod_figures(tables.pods, horizon)
    figures["gpu_seconds"] = _machine_seconds(tables.pods, horizon) * np.asarray(gpus_per_pod, dtype=np.float64)
    order = ("max_pods", "pod_seconds", "gpu_seconds", "cold_starts")
    figures |= {name: figures.pop(name) for name in order}
    figures["first_scale_out_s"] = _first_scale_out(tables)
    figures["panic_entered_s"] = _first(tables.ticks["t_s"], tables.ticks["panic_mode"] == 1, np.zeros(runs))
    for name, column in (("desired_zero_after_last_s", "desired"), ("replicas_zero_after_last_s", "replicas")):
        figures[name] = _zero_after(tables.scaling["t_s"], tables.scaling[column], figures["total_s"])
    return figures


def request_figures(start_s: Array, latency_s: Array, status: Array) -> Figures:
    """The figures that depend on requests alone, from arrays of shape ``(runs, requests)``.

    A request whose ``start_s`` is ``NaN`` is padding; one whose ``latency_s`` is ``NaN`` was in flight when the run was
    over: it counts as a request, but neither as a success nor as an error.

    The rule for failures, which all latency SLOs follow: in ``latency_all_s`` a request that failed, was refused, timed
    out, or had no response at the end of the run is infinitely late. A percentile is then infinite as soon as its rank
    lies beyond the successes. Without a request it is ``NaN``.
    """
    ended = ~np.isnan(latency_s) & ~np.isnan(start_s)
    succeeded = ended & (status >= 200) & (status < 300)
    answered = ended & (status > 0)
    requests = (~np.isnan(start_s)).sum(axis=1).astype(np.float64)
    total_s = np.fmax.reduce([_max(start_s[:, some] + latency_s[:, some]) for some in parts(start_s.shape[1])])
    with np.errstate(invalid="ignore", divide="ignore"):
        rps = ended.sum(axis=1) / total_s
    spread = _spread(latency_s, succeeded)
    figures = {f"latency_s.{name}": value for name, value in spread.items()}
    ordered, counts = _compact(latency_s, succeeded)
    for p, value in zip(LATENCY_PERCENTILES, percentiles(ordered, counts), strict=True):
        figures[f"latency_s.p{p}"] = value
    figures |= latencies_of_all(spread, counts, requests, percentiles(ordered, requests.astype(np.int64)))
    if (answered == succeeded).all():
        every, of_hey = spread, hey_percentiles(ordered, counts)
    else:
        every, of_hey = _spread(latency_s, answered), hey_percentiles(*_compact(latency_s, answered))
    figures |= {
        "hey.total": total_s,
        "hey.slowest": every["max"],
        "hey.fastest": every["min"],
        "hey.average": every["mean"],
        "hey.rps": rps,
    }
    for p, value in zip(LATENCY_PERCENTILES, of_hey, strict=True):
        figures[f"hey.p{p}"] = value
    ok = succeeded.sum(axis=1).astype(np.float64)
    errors = ended.sum(axis=1) - ok
    figures |= {"total_s": total_s, "requests": requests, "ok": ok, "errors": errors}
    known = {
        name: (ended & (status == code)).sum(axis=1)
        for name, code in zip(FAILED[:-1], (0, *FAILED_STATUSES), strict=True)
    }
    figures |= {name: count.astype(np.float64) for name, count in known.items()}
    figures["failed.other"] = errors - np.sum(list(known.values()), axis=0)
    return figures | {"in_flight": requests - ended.sum(axis=1), "rps": rps}


def error_share(figures: Mapping[str, Floats]) -> Floats:
    """Failed requests as a share of those that ended: what was in flight at the end is left out.

    0 without any request, ``NaN`` where none of them ended. Axes behind the first are added up before.
    """
    requests, ok, errors = (figures[name] for name in ("requests", "ok", "errors"))
    with np.errstate(invalid="ignore"):
        return np.where(requests > 0, errors / (ok + errors), 0.0)


def latencies_of_all(
    of_successes: Mapping[str, Floats],
    ok: Array,
    requests: Array,
    values: Floats,
) -> Figures:
    """``latency_all_s``: latency figures of all requests, those without a success infinitely late."""
    some = ok < requests
    infinite = {"mean": some, "min": some & (ok == 0), "max": some}
    found = {name: np.where(late, np.inf, of_successes[name]) for name, late in infinite.items()}
    found |= {f"p{rank}": value for rank, value in zip(LATENCY_PERCENTILES, values, strict=True)}
    return {f"latency_all_s.{name}": value for name, value in found.items()}


def percentiles(ordered: Floats, counts: Ints, ranks: Sequence[float] = LATENCY_PERCENTILES) -> Floats:
    """Percentiles of each row by linear interpolation (numpy's default).

    Args:
        ordered: Shape ``(runs, n)``; the first ``counts[r]`` values of row ``r`` count, in ascending order, infinity
            for those that are infinitely late.
        counts: Shape ``(runs,)``.
        ranks: Percentiles wanted, 0 to 100.

    Returns:
        Shape ``(len(ranks), runs)``, ``NaN`` where a row has no value.
    """
    if ordered.shape[1] == 0:
        return np.full((len(ranks), len(counts)), np.nan)
    last, rows = np.maximum(counts - 1, 0), np.arange(len(counts))
    place = last * (np.array(ranks) / 100)[:, np.newaxis]
    below = place.astype(np.int64)
    lower, upper = ordered[rows, below], ordered[rows, np.minimum(below + 1, last)]
    share = place - below
    with np.errstate(invalid="ignore"):
        # Between a finite value and infinity everything is infinite, but for the finite value itself.
        between = np.where((share > 0) & np.isfinite(lower), lower + (upper - lower) * share, lower)
    return np.where(counts > 0, between, np.nan)


def hey_percentiles(ordered: Floats, counts: Ints) -> Floats:
    """Percentiles of each row by the rule of the load generator hey.

    Percentile p of n ascending values is the one at index ceil(p n / 100), counted from 0, and each index serves one
    percentile: where two fall on the same, the later one takes the next. Where the index is past the end, or the value
    is 0, hey prints ``0% in 0.0000 secs`` and the result is ``NaN``.

    Args:
        ordered: Answered requests, shape ``(runs, n)``; the first ``counts[r]`` values of row ``r`` count, in ascending
            order.
        counts: Shape ``(runs,)``.

    Returns:
        Shape ``(7, runs)``: 10, 25, 50, 75, 90, 95 and 99 %.
    """
    ranks = np.array(LATENCY_PERCENTILES)[:, np.newaxis]
    if ordered.shape[1] == 0:
        return np.full((len(ranks), len(counts)), np.nan)
    # The least places that are one apart at least: ascending after each is moved back by its own number.
    own = np.arange(len(ranks))[:, np.newaxis]
    index = np.maximum.accumulate(-(-ranks * counts // 100) - own, axis=0) + own
    value = ordered[np.arange(len(counts)), np.minimum(index, ordered.shape[1] - 1)]
    return np.where((index < counts) & (value > 0), value, np.nan)


def aggregate(figures: Figures, digits: int = 7) -> Aggregate:
    """Medians over replications, with 90 % predictive intervals; see `Aggregate`.

    The interval's ends stand at `interval_places` among the replications that have the figure. The Monte-Carlo error is
    half the distance between the order statistics that lie half a root of n to either side of the median: it assumes no
    distribution.
    """
    medians: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for name, values in figures.items():
        have = np.sort(values[~np.isnan(values)])
        n = len(have)
        counts[name] = n
        if n == 0 or 2 * n < len(values):
            medians[name] = intervals[name] = errors[name] = None
            continue
        ends = interval_places(n)
        middle, step = (n - 1) / 2, math.sqrt(n) / 2
        near, far = np.interp([max(0.0, middle - step), min(n - 1.0, middle + step)], np.arange(n), have)
        medians[name] = number(name, rounded(float(np.interp(middle, np.arange(n), have)), digits))
        intervals[name] = [number(name, rounded(float(have[i]), digits)) for i in ends]
        errors[name] = rounded(float(far - near) / 2, digits) if n > 1 and math.isfinite(far) else None
    return Aggregate(nested(medians), nested(intervals), nested(counts), nested(errors))


def interval_places(n: ArrayLike) -> tuple[Ints, Ints]:
    """Where among ``n`` ascending values the ends of the 90 % predictive interval stand, counted from 0.

    They have rank floor(0.05 (n + 1)) and its mirror; below 39 values they are the smallest and the largest.
    """
    n = np.asarray(n)
    low = np.maximum(1, np.floor(INTERVAL_TAIL * (n + 1)).astype(np.int64))
    return low - 1, n - low


def spread(values: Floats) -> Floats:
    """Median and ends of the 90 % interval of each row, shape ``(3, rows)``; ``NaN`` where most of it is missing."""
    ordered = np.sort(values, axis=1)
    n = (~np.isnan(values)).sum(axis=1)
    some = np.flatnonzero((n > 0) & (2 * n >= values.shape[1]))
    found = np.full((3, len(values)), np.nan)
    n = n[some]
    low, high = interval_places(n)
    found[0, some] = (ordered[some, (n - 1) // 2] + ordered[some, n // 2]) / 2
    found[1, some] = ordered[some, low]
    found[2, some] = ordered[some, high]
    return found


def representative(total_s: Floats) -> int:
    """The replication whose total time is nearest to the median, the first of them where several are."""
    if np.isnan(total_s).all():
        return 0
    return int(np.nanargmin(np.abs(total_s - np.nanmedian(total_s))))


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Figures under dotted names, as nested dictionaries."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        *outer, last = name.split(".")
        place = result
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return result


def flattened(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested figures, each with its dotted name."""
    for name, value in summary.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def member(columns: Mapping[str, Any], place: int) -> dict[str, Any]:
    """The values at a place of columns, which may be nested."""
    return {name: member(one, place) if isinstance(one, dict) else one[place] for name, one in columns.items()}


def rounded(value: float, digits: int = 7) -> float:
    """``value`` with so many significant digits: more would be noise."""
    return float(f"{value:.{digits}g}")


def finite(value: float, digits: int = 7) -> float | None:
    """The same of a number that may be missing: ``None`` for ``NaN`` and infinity."""
    return rounded(value, digits) if math.isfinite(value) else None


def numbers(name: str, values: Floats, digits: int = 7) -> list[float | int | None]:
    """`number` of `rounded` of each value of a figure: over settings, most values are there many times."""
    # By their bits: 0.0 equals -0.0, which is written otherwise.
    bits, places = np.unique(np.ascontiguousarray(values).view(np.int64), return_inverse=True)
    told = [number(name, rounded(value, digits)) for value in bits.view(np.float64).tolist()]
    return [told[place] for place in places.tolist()]


def number(name: str, value: float) -> float | int | None:
    """The value of a figure for machines: a count as a whole number, ``None`` where there is none."""
    if not math.isfinite(value):
        return None
    return int(value) if name in COUNTS and value.is_integer() else value


def _compact(values: Floats, mask: Bools) -> tuple[Floats, Ints]:
    """The masked values of each row in ascending order at its front, and how many they are."""
    found = np.where(mask, values, np.inf)
    found.sort(axis=1)
    return found, mask.sum(axis=1)


def _spread(values: Floats, mask: Bools) -> Figures:
    """Mean, least and greatest of the masked values of each row."""
    count = mask.sum(axis=1)
    total = np.zeros(len(values))
    least, greatest = np.full((2, len(values)), np.nan)
    for some in parts(values.shape[1]):
        known = np.where(mask[:, some], values[:, some], np.nan)
        least = np.fmin(least, np.fmin.reduce(known, axis=1, initial=np.nan))
        greatest = np.fmax(greatest, _max(known))
        # Added up one by one, see `row_sums`.
        total = row_sums(np.column_stack([total, np.where(mask[:, some], known, 0.0)]))
    with np.errstate(invalid="ignore"):
        mean = total / count
    return {"mean": mean, "min": least, "max": greatest}


def _max(values: Floats) -> Floats:
    """Greatest value of each row, ``NaN`` where it has none."""
    greatest: Floats = np.fmax.reduce(values, axis=1, initial=np.nan)
    return greatest


def _latest(table: Columns, runs: int) -> Floats:
    """The last moment that a table mentions, per run."""
    times = [_max(column) for name, column in table.items() if name.endswith("_s") and column.dtype.kind == "f"]
    return np.fmax.reduce(times) if times else np.full(runs, np.nan)


def _pod_figures(pods: Columns, horizon: Floats) -> Figures:
    """Most pods at once, seconds that pods existed, pods created under load."""
    created, gone = pods["created_s"], pods["gone_s"]
    asked = np.fmin(pods["delete_requested_s"], gone)
    end = horizon[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        lived = np.clip(np.fmin(gone, end) - np.maximum(created, 0.0), 0.0, None)
        started = (created >= 0) & (created <= end)
    # A pod that goes at the instant at which another comes makes room for it: leavers first.
    times = np.concatenate([asked, created], axis=1)
    change = np.where(times <= end, np.repeat([-1, 1], [asked.shape[1], created.shape[1]]), 0)
    order = np.argsort(np.maximum(np.nan_to_num(times, nan=np.inf), 0.0), axis=1, kind="stable")
    present = np.cumsum(np.take_along_axis(change, order, axis=1), axis=1)
    return {
        "max_pods": np.max(present, axis=1, initial=0).astype(np.float64),
        "pod_seconds": row_sums(np.nan_to_num(lived)),
        "cold_starts": started.sum(axis=1).astype(np.float64),
    }


def _machine_seconds(pods: Columns, horizon: Floats) -> Floats:
    """Seconds in which pods had a machine, added up for each run."""
    lived = np.fmin(pods["gone_s"], horizon[:, np.newaxis]) - np.maximum(machine_from(pods), 0.0)
    return row_sums(np.maximum(np.nan_to_num(lived), 0.0))


def _first(t_s: Floats, mask: Bools, since: Floats) -> Floats:
    """Time of the first masked row at or after ``since``, ``NaN`` where there is none; rows in order of time."""
    hit = mask & (t_s >= since[:, np.newaxis])
    if hit.shape[1] == 0:
        return np.full(len(hit), np.nan)
    first = hit.argmax(axis=1)
    rows = np.arange(len(hit))
    return np.where(hit[rows, first], t_s[rows, first], np.nan)


def _first_scale_out(tables: Tables) -> Floats:
    t_s, desired = tables.scaling["t_s"], tables.scaling["desired"]
    created = tables.pods["created_s"]
    asked = np.fmin(tables.pods["delete_requested_s"], tables.pods["gone_s"])
    present = ((created < 0) & ~(asked < 0)).sum(axis=1)
    before = np.maximum(_value_at(t_s < 0, desired), present)
    return _first(t_s, desired > before[:, np.newaxis], np.zeros(len(t_s)))


def _zero_after(t_s: Floats, values: Array, last_s: Floats) -> Floats:
    """Seconds from ``last_s`` until ``values`` is 0, 0 where it was so already."""
    last = last_s[:, np.newaxis]
    already = _value_at(t_s <= last, values) == 0
    waited = _first(t_s, values == 0, np.nan_to_num(last_s, nan=np.inf)) - last_s
    return np.where(np.isnan(last_s), np.nan, np.where(already, 0.0, waited))


def _value_at(before: Bools, values: Array) -> Array:
    """The value of the last row that ``before`` marks, -1 where it marks none; rows in order of time."""
    if before.shape[1] == 0:
        return np.full(len(before), -1)
    count = before.sum(axis=1)
    return np.where(count > 0, values[np.arange(len(values)), count - 1], -1)


OF_REQUESTS = frozenset(request_figures(*np.zeros((3, 1, 0))))
"""Names of `request_figures`."""
