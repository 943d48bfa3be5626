"""A brief calibration: one cold start and requests that have the service to themselves, with what they leave open.

Requests are sent until the standard error of their mean is below 3 % or a budget is spent. What then remains uncertain
goes into the model's posterior, and with it into the prediction's intervals. It fits what a prediction needs most;
``kpasim calibrate`` fits whole runs.
"""

import copy
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from kpasim.arrays import Floats
from kpasim.cluster.errors import ClusterError
from kpasim.cluster.load import INTERRUPTED, Sent
from kpasim.cluster.record import PodRecord
from kpasim.spec.kserve import INFERENCE_SERVICE

ENOUGH = 0.03
"""Standard error of the mean service time, as a share of it, below which no further request is sent."""
DRAWS = 200
"""Draws of what remains uncertain."""
MOST_TOGETHER = 16
"""Requests at once on a pod beyond which the slow-down is extrapolated."""
ROUNDS = 4
"""Requests of each worker where several share a pod; the last round is left out: some workers are idle by then."""
SIGNIFICANT = 2.58
"""Standard errors by which sharing a pod must slow requests down before there is a slow-down: four comparisons find one
that is not there in 2 % of all cases."""
START_SPREAD, START_WEIGHT = 0.1, 4
"""What is assumed of starts beside those that were measured: they differ by 10 % (standard deviation), as if known from
four more."""
_FEW = 20
_BATCHES = 8
_LEAST_CONCENTRATION = 2.0
"""Of the proportions of batches: a load holds two or three of them at least."""
SLOWER_BEGINNING = 4.0
"""Standard deviations by which the ranks of the first requests must lie above the others for a warm-up."""
_DIGITS = 6
_GROUP = "autoscaling.knative.dev/"
_PINNED = tuple(_GROUP + name for name in ("min-scale", "max-scale", "initial-scale"))
_SCALES = {
    *_PINNED,
    *(_GROUP + name for name in ("minScale", "maxScale", "initialScale", "activation-scale", "activationScale")),
}


@dataclass(frozen=True)
class Crowd:
    """Requests that shared one pod.

    Attributes:
        ratio: Their mean latency, relative to that of requests alone.
        error: Standard error of the ratio's logarithm.
    """

    count: int
    ratio: float
    error: float


@dataclass(frozen=True)
class Calibration:
    """What was measured.

    Attributes:
        starts_s: Earliest and latest that each container can have begun to answer, from the creation of its pod [s].
        solo_s: Times in the pod of requests sent one after the other, the settled part, in order [s], shape
            ``(requests,)``.
        crowds: Of requests that shared a pod, by ascending count; empty where a pod takes one request at a time.
        cores: Cores that all pods share, 0 where each has its own machine.
        where: What was measured, for the model's ``source``.
        first_s: How much longer a pod's first request took than all others, 0 where it did not [s].
    """

    starts_s: Sequence[tuple[float, float]]
    solo_s: Floats
    crowds: tuple[Crowd, ...]
    cores: int
    where: str
    first_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """What was measured, for JSON."""
        return {
            "starts_s": [list(one) for one in self.starts_s],
            "solo_s": self.solo_s.tolist(),
            "crowds": [asdict(one) for one in self.crowds],
            "first_s": self.first_s,
        }

    def model(self, name: str, seed: int = 1) -> dict[str, Any]:
        """The model as an experiment file holds it; ``seed`` is that of the draws."""
        random = np.random.default_rng(seed)
        curve = slowdown(self.crowds)
        times, several = service_times(self.solo_s, random)
        start, starts = start_times(self.starts_s, random)
        draws = [
            {"service-time.time": of_request, "cold-start.stages.start.time": of_start}
            for of_request, of_start in zip(several, starts, strict=True)
        ]
        if max(curve, default=1.0) > 1.0:
            draws = [draw | self._contention(draw["service-time.time"], random) for draw in draws]
        service: dict[str, Any] = {"time": times}
        source = [self.where]
        if self.crowds:
            # All that were tried were let in; a queue inside the container slows requests down as sharing does.
            service["slots"], service["slowdown"] = 0, curve
        elif self.cores:
            # One computing thread to a pod: as many run at full speed as there are cores, more share them.
            service["slowdown"] = [1.0] * self.cores + [_rounded((self.cores + 1) / self.cores)]
            service["shared-by"] = "node"
            source.append(f"Assumed: {self.cores} pods compute at once at full speed, as many as there are cores")
        source.append(
            f"Assumed: a start differs from the next by {START_SPREAD:.0%} (standard deviation), as if known from "
            f"{START_WEIGHT} starts beside those measured"
        )
        stages: list[dict[str, Any]] = [{"name": "start", "kind": "start", "time": start}]
        if self.first_s > 0.0:
            time = f"{_rounded(self.first_s)}s"
            stages.append({"name": "first request", "kind": "start", "when": "first-request", "time": time})
        return {
            "name": name,
            "description": f"calibrated briefly: {len(self.starts_s)} cold starts, {len(self.solo_s)} single requests",
            "source": source,
            "provisional": True,
            "service-time": service,
            "cold-start": {"stages": stages},
            "posterior": draws,
        }

    def _contention(self, time: Any, random: np.random.Generator) -> dict[str, float]:
        """Contention factors of a draw that has this service time: what sharing took was measured, not its ratio."""
        known = min(standard_error(self.solo_s), 1.0)
        alone = float(np.clip(math.log(_mean_s(time) / float(self.solo_s.mean())), -3.0 * known, 3.0 * known))
        crowds = [
            replace(one, ratio=one.ratio * math.exp(-alone + error * random.standard_normal()))
            for one in self.crowds
            for error in [math.sqrt(max(one.error**2 - known**2, 0.0))]
        ]
        return {f"service-time.slowdown.{place}": value for place, value in enumerate(_curve(crowds)) if place}


def service_times(values: Floats, random: np.random.Generator) -> tuple[Any, list[Any]]:
    """A distribution fitted to latencies in order [s], as a model file holds it, and draws of it.

    Of fewer than 20 the shape is taken as lognormal, with the posterior of its two parameters under Jeffreys' prior. Of
    more a draw is fitted to a resample, see ``phases``.
    """
    from kpasim.studies.fit.families import fit, sample

    count = len(values)
    if count < _FEW:
        logs = np.log(values)
        middle, spread = float(logs.mean()), max(float(logs.std(ddof=1)) if count > 1 else START_SPREAD, 0.002)
        free = max(count - 1, 1)
        # Of two or three values any spread is possible; ten times the observed one is where we stop.
        spreads = np.minimum(spread * np.sqrt(free / random.chisquare(free, DRAWS)), min(10 * spread, 2.0))
        middles = middle + spreads * random.standard_normal(DRAWS) / math.sqrt(count)
        middles += drift(values) * math.sqrt(1.0 + 1.0 / _BATCHES) * random.standard_normal(DRAWS)
        found = [_lognormal(math.exp(m), s) for m, s in zip(middles, spreads, strict=True)]
        return _lognormal(math.exp(middle), spread), found
    resamples = phases(values, random)
    fitted = fit(sample(values), random, resampled=[sample(one) for one in resamples])
    if fitted.family == "empirical":
        return fitted.time, [_empirical(one) for one in resamples]
    return fitted.time, list(fitted.draws) or [fitted.time] * DRAWS


def phases(values: Floats, random: np.random.Generator) -> list[Floats]:
    """Resamples of latencies in order [s], with how a service and its machine change from time to time.

    The requests are parted into batches. A resample takes them in proportions drawn from a Dirichlet distribution, so
    concentrated that the mean varies as it would by chance (Rubin 1981, The Bayesian bootstrap) and by the spread of
    the batches beyond chance: once for the batches that were measured, once for the load to come, which is another
    batch. Where nothing but chance is in the batches this is a bootstrap; where they differ by far the load may be like
    any one of them, and so may its tail.
    """
    batches = np.array_split(values, _BATCHES)
    by_chance = float(np.mean([one.var(ddof=1) / len(one) for one in batches]))
    beyond = (drift(values) * float(values.mean())) ** 2
    varies = by_chance / _BATCHES + beyond * (1.0 + 1.0 / _BATCHES)
    concentration = (by_chance + beyond) / varies - 1.0 if varies > 0.0 else _BATCHES - 1.0
    shares = random.dirichlet([max(concentration, _LEAST_CONCENTRATION) / _BATCHES] * _BATCHES, DRAWS)
    counts = [random.multinomial(len(values), one) for one in shares]
    return [
        np.concatenate([random.choice(batch, number) for batch, number in zip(batches, row, strict=True)])
        for row in counts
    ]


def start_times(between_s: Sequence[tuple[float, float]], random: np.random.Generator) -> tuple[Any, list[Any]]:
    """The distribution of starts, and draws of it, from starts that each ended between two moments [s].

    Starts are lognormal; their spread has a scaled inverse chi-square prior, see ``START_SPREAD``.
    """
    if max(high for _, high in between_s) <= 0.0:
        return "0s", ["0s"] * DRAWS
    count = len(between_s)
    # One place in the interval for all: probes that begin with the container are always equally late.
    place = random.uniform(size=DRAWS)
    logs = np.log([np.maximum(low + (high - low) * place, 1e-3) for low, high in between_s])
    squares = START_WEIGHT * START_SPREAD**2 + logs.var(axis=0) * count
    spreads = np.sqrt(squares / random.chisquare(START_WEIGHT + count - 1, DRAWS))
    medians = np.exp(logs.mean(axis=0) + spreads * random.standard_normal(DRAWS) / math.sqrt(count))
    start = _lognormal(float(np.median(medians)), float(np.sqrt(np.median(squares) / (START_WEIGHT + count - 1))))
    return start, [_lognormal(float(m), float(min(s, 1.0))) for m, s in zip(medians, spreads, strict=True)]


def slowdown(crowds: Sequence[Crowd]) -> list[float]:
    """Relative duration of 1, 2, 3 ... requests at once: 1 for all where no crowd is slower beyond chance.

    Counts between those that were measured lie on a straight line; a curve never falls. Empty without crowds.
    """
    if not crowds:
        return []
    if not any(math.log(one.ratio) > SIGNIFICANT * one.error for one in crowds):
        return [1.0] * crowds[-1].count
    return _curve(crowds)


def _curve(crowds: Sequence[Crowd]) -> list[float]:
    counts = [1, *(one.count for one in crowds)]
    ratios = np.maximum.accumulate([1.0, *(one.ratio for one in crowds)])
    return [_rounded(value) for value in np.interp(np.arange(1, counts[-1] + 1), counts, ratios)]


def crowd_sizes(container_concurrency: int) -> list[int]:
    """How many requests at once are tried on a pod: 2, 3, 4, 8, 16, as far as it takes them; 0 for any number."""
    most = min(container_concurrency or MOST_TOGETHER, MOST_TOGETHER)
    return sorted({count for count in (2, 3, 4, 8, most) if 2 <= count <= most})


def crowd(count: int, sent: Sent, solo_s: Floats, path_s: float) -> Crowd:
    """What the times of requests at once say, see ``service_s``; the last round of each worker is left out.

    Raises:
        ClusterError: A request failed.
    """
    found = service_s(sent, path_s)
    found = found[: max(count, len(found) - count)]
    error = math.hypot(_relative_error(found), standard_error(solo_s))
    return Crowd(count, float(found.mean() / solo_s.mean()), error)


def settled(values: Floats) -> Floats:
    """Latencies without the first ones, which a service that is warming up takes longer for.

    So many are left out, at most half, that the standard error of the rest is least (the marginal standard error rule
    for the initial transient of a simulation: White 1997, Simulation 69(6)), where those are slower than the rest
    beyond chance. By itself the rule leaves out whatever slow requests happen to be in the first half, and with them
    the tail of the latencies. Few tell nothing, and all are kept.
    """
    count = len(values)
    if count < 2 * _BATCHES:
        return values
    scores = [values[cut:].var() / (count - cut) for cut in range(count // 2 + 1)]
    cut = int(np.argmin(scores))
    return values[cut:] if cut and _begins_slower(values[:cut], values[cut:]) else values


def _begins_slower(first: Floats, rest: Floats) -> bool:
    """Whether the first latencies lie above the rest: all of them, or by their ranks (Mann and Whitney 1947)."""
    if first.min() > rest.max():
        return True
    count, others = len(first), len(rest)
    above = float((first[:, None] > rest).sum() + 0.5 * (first[:, None] == rest).sum())
    spread = math.sqrt(count * others * (count + others + 1) / 12.0)
    return above - 0.5 * count * others > SLOWER_BEGINNING * spread


def first_request(values: Floats) -> float:
    """How much longer a pod's first request took [s]: 0 unless it took a fifth longer than any settled one."""
    rest = settled(values)
    if len(rest) < _BATCHES or len(rest) == len(values) or values[0] < 1.2 * rest.max():
        return 0.0
    return float(values[0] - np.median(rest))


def drift(values: Floats) -> float:
    """How much the mean changes from batch to batch beyond chance, as a share of it (standard deviation)."""
    size = len(values) // _BATCHES
    if size < 2:
        return 0.0
    batches = values[: size * _BATCHES].reshape(_BATCHES, size)
    beyond = batches.mean(axis=1).var(ddof=1) - batches.var(axis=1, ddof=1).mean() / size
    return math.sqrt(max(0.0, float(beyond))) / float(values.mean())


def standard_error(values: Floats) -> float:
    """Standard error of the mean as a share of it, drift from batch to batch included; infinite for one value."""
    return math.hypot(_relative_error(values), drift(values) / math.sqrt(_BATCHES))


def still_needed(values: Floats) -> int:
    """How many more requests would bring the standard error below 3 %, at their present spread."""
    error = standard_error(values)
    return 0 if error < ENOUGH else math.ceil(len(values) * ((error / ENOUGH) ** 2 - 1.0)) + 1


def one_pod(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The Service or InferenceService with its scale pinned to one pod.

    Requests one after the other can be many to the autoscaler (`metric: rps`). Pods that it starts would be paid for in
    vain, and on one machine they would take the processor from the pod that is measured.
    """
    document = copy.deepcopy(dict(manifest))
    if document.get("kind") == INFERENCE_SERVICE:
        document["spec"]["predictor"].update(minReplicas=1, maxReplicas=1)
        places, written = [document["metadata"], document["spec"]["predictor"]], _PINNED[2:]  # KServe drops the others
    else:
        places, written = [document["spec"]["template"].setdefault("metadata", {})], _PINNED
    for place in places:
        others = {key: value for key, value in (place.get("annotations") or {}).items() if key not in _SCALES}
        place["annotations"] = {**others, **dict.fromkeys(written, "1")}
    return document


def start_time(pod: PodRecord | None, probe_period_s: float) -> tuple[float, float]:
    """Earliest and latest from a pod's creation to its container answering [s], from when Kubernetes called it ready.

    The kubelet looks once in a period, so the container may have answered a period before. Without a period of its own
    a manifest is probed eagerly by queue-proxy, which answers a probe that is waiting at once.

    Raises:
        ClusterError: No pod became ready.
    """
    if pod is None or math.isnan(pod.ready_s):
        raise ClusterError("calibration: no pod became ready")
    latest_s = max(0.0, pod.ready_s - pod.created_s)
    return max(0.0, latest_s - probe_period_s), latest_s


def service_s(sent: Sent, path_s: float) -> Floats:
    """Times of the successful requests in their pod, in the order of sending; a request that we ended does not count.

    ``path_s`` is what the prediction adds for the way to the pod and back; left in, it would count twice.

    Raises:
        ClusterError: A request failed: whatever answers is not the service that was meant.
    """
    whole = sent.requests["error"] != INTERRUPTED
    status = sent.requests["status"]
    bad = np.flatnonzero(whole & ((status < 200) | (status > 299)))
    if len(bad) or not whole.any():
        first = int(status[bad[0]]) if len(bad) else 0
        error = str(sent.requests["error"][bad[0]]) if len(bad) else ""
        answer = f"ended with {first}" if first else f"had no response{f' ({error})' if error else ''}"
        raise ClusterError(f"calibration: a request {answer}; check the path and the body (--path, --body)")
    latency_s = sent.requests["latency_s"][whole]
    found: Floats = np.maximum(latency_s - path_s, latency_s / 10.0)
    return found


def shared_cores() -> int:
    """Cores that processes on this machine share."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not this system
        return os.cpu_count() or 1


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)


def _relative_error(values: Floats) -> float:
    if len(values) < 2:
        return math.inf
    return float(values.std(ddof=1) / math.sqrt(len(values)) / values.mean())


def _lognormal(median_s: float, sigma: float) -> dict[str, Any]:
    return {"distribution": "lognormal", "median": _rounded(max(median_s, 1e-6)), "sigma": _rounded(sigma)}


def _empirical(values: Floats) -> dict[str, Any]:
    return {"distribution": "empirical", "values": [_rounded(one) for one in np.sort(values)]}


def _mean_s(time: Any) -> float:
    from pydantic import TypeAdapter

    from kpasim.spec.distributions import Time

    return float(TypeAdapter(Time).validate_python(time).mean_s())
