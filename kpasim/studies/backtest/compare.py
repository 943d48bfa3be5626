"""Predicted against recorded, bin by bin, whether that is near enough, and what other settings would give."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from kpasim.arrays import Bools, Floats
from kpasim.engines.outcome import Outcome
from kpasim.records.prometheus.exposition import Written
from kpasim.records.prometheus.observation import Observation
from kpasim.records.prometheus.passages import Passage
from kpasim.records.prometheus.targets import HOLD
from kpasim.results.paired import Difference
from kpasim.results.summary import Figures, finite, interval_places
from kpasim.spec.yamlfile import packaged
from kpasim.studies.backtest.pods import gauge, pod_seconds
from kpasim.studies.backtest.predict import GAUGES, Capacity, Ended, ended, gauges, pod_time, results
from kpasim.studies.backtest.prepare import Part, Prepared, stretches

WIDTHS_S = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)
"""Widths of bins; hours for windows of two days and more."""
MOST_BINS = 60
SCRAPES_A_BIN = 4
"""Scrapes that a bin has at least."""
NEAR = {"pod_seconds": 0.05, "mean_latency_s": 0.10, "requests": 0.02}
"""How far a predicted figure may be from the recorded one, as a share of it, where the interval does not hold it."""
COVERAGE, LEAST_COVERAGE = 0.9, 0.85
"""Share of bins that a band should hold, and the part of that share from which on it is near enough."""
WORST = 3
ADDED = ("requests", "ok", "errors", "in_flight", "never_sent", "pod_seconds", "gpu_seconds", "cold_starts")
"""Figures of stretches that add up, besides failures by kind and money."""
HIGHEST = ("max_pods", "latency_s.max")
WEIGHTED = {"cold_start_share": "requests", "gpu_utilisation": "pod_seconds"}
"""Shares and what each is a share of; latencies are those of ``ok`` requests."""


@dataclass(frozen=True)
class Figure:
    """A figure of the whole window.

    Attributes:
        title: Its name in words.
        recorded: As recorded; NaN where it was not.
        uncertain: 90 % interval of the recorded value.
        predicted: Mean of the replications.
        interval: 90 % interval of the replications.
        good: Whether the prediction is near enough; ``None`` where nothing is asked of it.
        drawn: Its value in every replication.
    """

    name: str
    title: str
    unit: str
    recorded: float
    uncertain: tuple[float, float]
    predicted: float
    interval: tuple[float, float]
    good: bool | None
    drawn: Floats = field(repr=False, compare=False)

    @property
    def error(self) -> float:
        """Predicted less recorded, as a share of the recorded value."""
        return self.predicted / self.recorded - 1.0 if self.recorded else np.nan

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "title": self.title,
            "unit": self.unit,
            "recorded": finite(self.recorded),
            "recorded_interval": [finite(one) for one in self.uncertain],
            "predicted": finite(self.predicted),
            "interval": [finite(one) for one in self.interval],
            "error": finite(self.error),
            "good": self.good,
        }


@dataclass(frozen=True, eq=False)
class Band:
    """A figure by bin of time.

    Attributes:
        recorded: As recorded; NaN where nothing was.
        predicted: Mean of the replications.
        low: Lower end of the 90 % band of the replications.
        high: Upper end.
    """

    recorded: Floats
    predicted: Floats
    low: Floats
    high: Floats

    @property
    def holds(self) -> Bools:
        """Whether the band holds the recorded value, of bins that have one."""
        known = ~np.isnan(self.recorded) & ~np.isnan(self.low)
        slack = 1e-9 + 0.01 * np.abs(self.recorded[known])
        inside = self.recorded[known] >= self.low[known] - slack
        return np.asarray(inside & (self.recorded[known] <= self.high[known] + slack))

    @property
    def coverage(self) -> float:
        """Share of bins whose band holds the recorded value; NaN without any."""
        return float(self.holds.mean()) if len(self.holds) else np.nan


@dataclass(frozen=True, eq=False)
class Backtest:
    """What was recorded beside what is predicted from the same requests under the settings in force.

    Attributes:
        edges_s: Edges of the bins [s since 1970].
        bands: Each figure by bin: ``requests``, ``pods``, ``requested``, ``desired``, ``concurrency``, ``panic`` and
            ``latency_s``.
        figures: Figures of the whole window.
        settled_s: From when on figures are compared [s since 1970]: what was in the autoscaler's windows before the
            observation is not known.
    """

    prepared: Prepared
    replications: int
    edges_s: Floats
    bands: Mapping[str, Band]
    figures: tuple[Figure, ...]
    settled_s: float

    @property
    def coverage(self) -> float:
        """Share of bins whose 90 % bands hold recorded pods and concurrency, both together."""
        held = [self.bands[name].holds for name in ("pods", "concurrency") if name in self.bands]
        joined = np.concatenate(held) if held else np.zeros(0)
        return float(joined.mean()) if len(joined) else np.nan

    @property
    def covered(self) -> bool:
        """Whether the bands hold about as much as they should; those of few replications hold less."""
        held = min(COVERAGE, (self.replications - 1) / (self.replications + 1))
        return bool(np.isnan(self.coverage) or self.coverage >= LEAST_COVERAGE * held)

    @property
    def good(self) -> bool:
        """Whether the present was predicted well enough to believe the rest."""
        return self.covered and all(one.good is not False for one in self.figures)

    def worst(self) -> list[int]:
        """The bins in which recorded pods lie furthest outside their band, the worst first."""
        if "pods" not in self.bands:
            return []
        band = self.bands["pods"]
        outside = np.fmax(band.recorded - band.high, band.low - band.recorded)
        outside = np.where(np.isnan(outside), 0.0, outside)
        order = np.argsort(-outside, kind="stable")[:WORST]
        return [int(place) for place in order if outside[place] > 0.5]

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "good": self.good,
            "coverage": finite(self.coverage),
            "replications": self.replications,
            "settled_s": self.settled_s,
            "figures": {one.name: one.to_dict() for one in self.figures},
            "worst": [self.edges_s[place] for place in self.worst()],
            "edges_s": self.edges_s.tolist(),
            "bins": {
                name: {
                    key: [finite(one) for one in getattr(band, key).tolist()]
                    for key in ("recorded", "predicted", "low", "high")
                }
                for name, band in self.bands.items()
            },
            "notes": list(self.prepared.notes),
        }


def backtest(prepared: Prepared, replications: int, progress: Callable[[int], None] = lambda done: None) -> Backtest:
    """Predict what was recorded, from the requests; progress is that of all revisions together.

    Raises:
        KpasimError: It cannot be simulated.
    """
    observation = prepared.observation
    begin_s, end_s = min(part.begin_s for part in prepared.parts), observation.end_s
    edges_s = _edges(begin_s, end_s, observation.interval_s.get("autoscaler") or 15.0)
    recorded = {name: gauge(observation, metric) for name, metric in GAUGES.items()}
    times_s = recorded["pods"][0]
    times_s = times_s[(times_s >= begin_s) & (times_s <= end_s)]
    if not len(times_s):  # The autoscaler was not scraped: only requests can be compared.
        times_s = np.arange(begin_s, end_s, 15.0)
    settled_s = _settled(prepared, begin_s)
    at_pods = all(one.role == "queue-proxy" for one in prepared.traffic.passages)
    compared_s = times_s[times_s >= settled_s]
    compared_s = compared_s[[0, -1]] if len(compared_s) > 1 else np.array([settled_s, end_s])
    predicted = _Predicted(replications, times_s, edges_s, compared_s, at_pods=at_pods)
    jobs = [stretch for part in prepared.parts for stretch in stretches(observation, part)]
    capacity, finished = Capacity(), [0] * len(jobs)

    def simulate(place: int, threads: int) -> None:
        def more(done: int) -> None:
            finished[place] = done
            progress(sum(finished) * len(prepared.parts) // len(jobs))

        simulated = results(jobs[place].experiment, replications, more, capacity, threads)
        for row, outcome in enumerate(outcome for result in simulated for outcome in result.outcomes):
            predicted.add(row, jobs[place], outcome)

    # Stretches of a long window are simulated side by side, once the first has found out the capacity.
    simulate(0, 0)
    at_once = os.cpu_count() or 1
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(partial(simulate, threads=1 if len(jobs) > at_once else 0), range(1, len(jobs))))
    predicted.gauges["panic"] = np.minimum(predicted.gauges["panic"], 1.0)
    seen, of_bins = _recorded_ends(prepared.traffic.passages, edges_s), predicted.ended
    bands = {}
    for name, (at_s, values) in recorded.items():
        if len(at_s):
            kept = np.isin(at_s, times_s)
            most = 1.0 if name == "panic" else np.inf
            bands[name] = _band(times_s, edges_s, at_s[kept], np.minimum(values[kept], most), predicted.gauges[name])
    bands["requests"] = _of(seen.requests, of_bins.requests)
    with np.errstate(invalid="ignore", divide="ignore"):
        bands["latency_s"] = _of(seen.latency_s / seen.requests, of_bins.latency_s / of_bins.requests)
    bands["errors"] = _of(seen.errors, of_bins.errors)
    unsettled = edges_s[:-1] < settled_s - 1e-6
    bands = {name: replace(one, recorded=np.where(unsettled, np.nan, one.recorded)) for name, one in bands.items()}
    figures = tuple(_figures(observation, predicted, seen, settled_s))
    return Backtest(prepared, replications, edges_s, bands, figures, settled_s)


class _Predicted:
    """What scrapes would have shown of every replication, in whose row each stretch adds its part.

    Attributes:
        times_s: Scrapes.
        edges_s: Edges of the bins.
        compared_s: From when to when pod-seconds are compared.
        gauges: Each gauge at the scrapes.
        ended: Responses by bin.
        pods: Pod-seconds, see `pod_time`.
    """

    def __init__(
        self, replications: int, times_s: Floats, edges_s: Floats, compared_s: Floats, *, at_pods: bool
    ) -> None:
        self.times_s, self.edges_s, self._at_pods = times_s, edges_s, at_pods
        self.compared_s, self._lock = compared_s, Lock()
        self.gauges = {name: np.zeros((replications, len(times_s))) for name in GAUGES}
        self.ended = Ended(*(np.zeros((replications, len(edges_s) - 1)) for _ in Ended._fields))
        self.pods = np.zeros((replications, 2))

    def add(self, row: int, part: Part, outcome: Outcome) -> None:
        """Add what a replication of a stretch shows."""
        times_s, counted_s = self.times_s, max(part.begin_s, part.counted_s)
        until = times_s <= part.end_s if part.end_s >= times_s[-1] else times_s < part.end_s
        there = (times_s >= counted_s) & until
        seen = gauges(outcome, times_s[there] - part.begin_s)
        window_s = (counted_s - part.begin_s, part.end_s - part.begin_s)
        responses = ended(outcome, self.edges_s - part.begin_s, window_s, at_pods=self._at_pods)
        begin_s, end_s = max(counted_s, self.compared_s[0]), min(part.end_s, self.compared_s[1])
        lasted = pod_time(outcome, begin_s - part.begin_s, end_s - part.begin_s)
        with self._lock:
            self.pods[row] += lasted
            for name, values in self.gauges.items():
                values[row, there] += seen[name]
            for into, counted in zip(self.ended, responses, strict=True):
                into[row] += counted


def _edges(begin_s: float, end_s: float, interval_s: float) -> Floats:
    """Edges of the bins; whole hours of the clock where bins are hours."""
    length_s = end_s - begin_s
    fitting = (one for one in WIDTHS_S if one >= SCRAPES_A_BIN * interval_s and length_s / one <= MOST_BINS)
    width_s = next(fitting, WIDTHS_S[-1])
    first_s = np.floor(begin_s / width_s) * width_s if width_s >= WIDTHS_S[-1] else begin_s
    return np.arange(first_s, end_s + width_s, width_s)


def _settled(prepared: Prepared, begin_s: float) -> float:
    """When the autoscaler's windows hold nothing any more from before the observation."""
    times_s, concurrency = gauge(prepared.observation, GAUGES["concurrency"])
    first = concurrency[times_s >= begin_s][:1]
    window_s = prepared.whole.experiment.revision.stable_window_s
    return begin_s + (window_s if len(first) and first[0] > 0 else 0.0)


def _recorded_ends(passages: tuple[Passage, ...], edges_s: Floats) -> Ended:
    """Requests by the bin in which they ended; those of a scrape interval across an edge are split by time."""
    found = np.zeros((len(Ended._fields), len(edges_s) - 1))
    for one in passages:
        at_s = np.concatenate((one.begin_s[:1], one.end_s))
        for place, values in enumerate((one.ended, one.latency_s, one.failed)):
            found[place] += np.diff(np.interp(edges_s, at_s, np.concatenate(([0.0], np.cumsum(values)))))
    return Ended(*found)


def _band(times_s: Floats, edges_s: Floats, at_s: Floats, values: Floats, sampled: Floats) -> Band:
    """Means by bin of a gauge, at the scrapes that recorded it."""
    place = np.searchsorted(edges_s, at_s, side="right") - 1
    bins = len(edges_s) - 1
    count = np.bincount(place, minlength=bins)[:bins].astype(np.float64)
    chosen = sampled[:, np.isin(times_s, at_s)]
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = np.bincount(place, weights=values, minlength=bins)[:bins] / count
        means = np.stack([np.bincount(place, weights=row, minlength=bins)[:bins] / count for row in chosen])
    return _of(seen, means)


def _of(recorded: Floats, predicted: Floats) -> Band:
    ordered = np.sort(predicted, axis=0)
    low, high = (int(place) for place in interval_places(len(predicted)))
    return Band(recorded, predicted.mean(axis=0), ordered[low], ordered[high])


def _figures(observation: Observation, predicted: _Predicted, seen: Ended, settled_s: float) -> Iterator[Figure]:
    begin_s, end_s = predicted.compared_s.tolist()
    for place, (name, title, metric) in enumerate(
        (
            ("pod_seconds", "pod-seconds (Ready)", GAUGES["pods"]),
            ("requested_pod_seconds", "pod-seconds (requested)", GAUGES["requested"]),
        )
    ):
        if observation.find(metric, "autoscaler"):
            known = pod_seconds(observation, metric, begin_s, end_s)
            yield _figure(name, title, "s", known.value, predicted.pods[:, place], (known.low, known.high))
    inside = predicted.times_s >= settled_s
    peak_of = "requested" if len(gauge(observation, GAUGES["requested"])[0]) else "pods"
    at_s, values = gauge(observation, GAUGES[peak_of])
    kept = (at_s >= settled_s) & (at_s <= observation.end_s)
    if kept.any():
        drawn = predicted.gauges[peak_of][:, inside].max(axis=1)
        yield _figure("peak_pods", "peak pods", "", float(values[kept].max()), drawn)
    settled = predicted.edges_s[:-1] >= settled_s - 1e-6
    requests, latency_s, errors = (float(each[settled].sum()) for each in seen)
    of_requests, of_latency_s, of_errors = (each[:, settled].sum(axis=1) for each in predicted.ended)
    yield _figure("requests", "requests ended", "", requests, of_requests)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_s = of_latency_s / of_requests
    yield _figure("mean_latency_s", "mean latency", "s", latency_s / requests if requests else np.nan, mean_s)
    yield _figure("errors", "failed", "", errors, of_errors)
    if observation.find(GAUGES["panic"], "autoscaler"):
        at_s, values = gauge(observation, GAUGES["panic"])
        kept = (at_s >= begin_s) & (at_s <= end_s)
        hold_s = HOLD * observation.interval_s.get("autoscaler", 0.0)
        panic_s = float(_integral(at_s[kept], np.minimum(values[kept], 1.0), hold_s))
        drawn = _integral(predicted.times_s[inside], predicted.gauges["panic"][:, inside], hold_s)
        yield _figure("panic_s", "in panic mode", "s", panic_s, drawn)


def _integral(times_s: Floats, values: Floats, hold_s: float) -> Floats:
    """Over time, along the last axis, of values at these times; longer distances than ``hold_s`` are gaps."""
    lengths_s = np.diff(times_s)
    lengths_s = np.where(lengths_s > hold_s, 0.0, lengths_s)
    return np.asarray((0.5 * (values[..., 1:] + values[..., :-1]) * lengths_s).sum(axis=-1))


def _figure(
    name: str, title: str, unit: str, recorded: float, drawn: Floats, uncertain: tuple[float, float] | None = None
) -> Figure:
    ordered = np.sort(drawn)
    low, high = (float(ordered[int(place)]) for place in interval_places(len(ordered)))
    mean, good = float(drawn.mean()), None
    least, most = uncertain or (recorded, recorded)
    vague = most - least > recorded  # Whatever was predicted would be near enough.
    if name in NEAR and not np.isnan(recorded) and recorded and not vague:
        good = bool(abs(mean - recorded) <= NEAR[name] * abs(recorded) or (least <= high and most >= low))
    return Figure(name, title, unit, recorded, (least, most), mean, (low, high), good, drawn)


def series_of(found: Backtest) -> Iterator[Written]:
    """For each figure its mean and the ends of its 90 % band, at the middle of each bin of time."""
    observation = found.prepared.observation
    of = {"k8s_namespace_name": observation.namespace, "kn_service_name": observation.service}
    middles_s = 0.5 * (found.edges_s[1:] + found.edges_s[:-1])
    for figure, about in packaged("backtest.toml").items():
        if figure not in found.bands:
            continue
        band = found.bands[figure]
        for stat, values in (("mean", band.predicted), ("p05", band.low), ("p95", band.high)):
            known = np.isfinite(values)
            yield Written(about["name"], {**of, "stat": stat}, middles_s[known], values[known], help=about["help"])


class Candidate(NamedTuple):
    """A candidate beside the settings in force.

    Attributes:
        name: What it is called.
        differences: Each figure, see `against.differences`; replication k of both met the same requests.
    """

    name: str
    differences: list[tuple[str, str, str, Difference]]

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "name": self.name,
            "differences": {
                name: {"title": title, "unit": unit, **found.to_dict("in_force", "candidate")}
                for title, name, unit, found in self.differences
            },
        }


def figures_of(
    stretches: Sequence[Part], replications: int, progress: Callable[[int], None] = lambda done: None
) -> Figures:
    """Every figure of an experiment, one value per replication; money as ``cost.NAME``.

    Percentiles of several stretches, which follow each other, are their mean, weighted by requests.
    """
    capacity, found = Capacity(), []
    for place, stretch in enumerate(stretches):
        simulated = results(stretch.experiment, replications, capacity=capacity)
        parts = [result.all_figures for result in simulated]
        found.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        progress(replications * (place + 1) // len(stretches))
    return found[0] if len(found) == 1 else joined(found)


def joined(stretches: Sequence[Figures]) -> Figures:
    """Figures of stretches that follow each other, as of the whole; those that have none are left out."""
    whole: Figures = {}
    for name in stretches[0]:
        values = np.stack([one[name] for one in stretches])
        if name in ADDED or name.startswith(("failed.", "cost.amount")):
            whole[name] = values.sum(axis=0)
        elif name in HIGHEST:
            whole[name] = np.nanmax(values, axis=0)
        elif name in WEIGHTED or name.startswith("latency_s."):
            weights = np.stack([one[WEIGHTED.get(name, "ok")] for one in stretches]) * ~np.isnan(values)
            whole[name] = np.nansum(values * weights, axis=0) / np.maximum(weights.sum(axis=0), 1e-12)
    return whole
