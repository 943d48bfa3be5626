"""How well the first half of the production trace predicts the second: by steps, images and LoRA, and without them.

    python benchmarks/trace_halves.py

Printed are the mean logarithm of the probability given to each service time, the quantiles predicted and measured, the
mean loss of their forecasts, and which classes became faster or slower.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kpasim.arrays import Floats
from kpasim.records import read
from kpasim.studies.fit.classes import ENOUGH, fit_classes, names_of, pooled
from kpasim.studies.fit.families import Fit, Sample

TRACE = Path(__file__).parents[1] / "experiments" / "data" / "lora_request_trace.csv.gz"


@dataclass(frozen=True)
class Halves:
    """How well the first half of a trace predicts the second: by class, and by its own distribution without classes.

    Attributes:
        log_score: Mean logarithm of the probability given to the whole second that a request took: by class, without.
        quantile_scores: Of 50 %, 90 % and 95 % the mean loss of a forecast of that quantile [s], 0 for one that is
            always right: by class, without.
        quantiles: The same quantiles of all requests of the second half [s]: by class, without, measured.
        drift: Of each class with enough requests in both halves: requests in each, by what share of itself the median
            rose, and the 90 % interval of that.
        shares: Share of each class in either half.
    """

    log_score: tuple[float, float]
    quantile_scores: Mapping[str, tuple[float, float]]
    quantiles: Mapping[str, tuple[float, float, float]]
    drift: Mapping[str, tuple[int, int, float, float, float]]
    shares: Mapping[str, tuple[float, float]]


def halves(names: NDArray[np.object_], times_s: Floats, resolution_s: float, rng: np.random.Generator) -> Halves:
    """Fit the first half of a trace and hold the second against it.

    Args:
        names: What each request asks for, in order of time.
        times_s: Service times, rounded to ``resolution_s``.
        resolution_s: What they were rounded to.
        rng: Random numbers of the bootstrap of the drift.
    """
    cut = len(times_s) // 2
    first, second = times_s[:cut], times_s[cut:]
    classes = pooled(names[:cut])
    sample = Sample(np.maximum(first - resolution_s / 2, 0.0), first + resolution_s / 2)
    fits = {one.name: one.time for one in fit_classes(names[:cut], sample, rng, bootstraps=0)}
    # Requests of a kind that the first half lacks are like the rest of it.
    rest = max(fits, key=lambda one: (one.startswith("other"), len(fits[one].times)))
    before = np.array([classes[str(name)] for name in names[:cut]], dtype=object)
    later = np.array([classes.get(str(name), rest) for name in names[cut:]], dtype=object)
    top = int(times_s.max() / resolution_s) + 2
    cells = np.rint(second / resolution_s).astype(np.int64)
    plain = _counts(first, resolution_s, top)
    chances = {name: _chances(one, resolution_s, top) for name, one in fits.items()}
    by_class = np.array([chances[name][cell] for name, cell in zip(later, cells, strict=True)])
    mixed = np.sum([(later == name).mean() * one for name, one in chances.items()], axis=0)
    quantiles, losses = {}, {}
    for percent in (50, 90, 95):
        share = percent / 100
        own = {name: _quantile(one, share) * resolution_s for name, one in chances.items()}
        everyone = _quantile(plain, share) * resolution_s
        measured = _quantile(np.bincount(cells, minlength=top).astype(np.float64), share) * resolution_s
        quantiles[f"p{percent}"] = (_quantile(mixed, share) * resolution_s, everyone, measured)
        forecast = np.array([own[name] for name in later])
        losses[f"p{percent}"] = (_loss(second, forecast, share), _loss(second, np.full(len(second), everyone), share))
    drift = {}
    for name in fits:
        a, b = first[before == name], second[later == name]
        if min(len(a), len(b)) >= ENOUGH:
            low, high = _shift_interval(a, b, resolution_s, rng)
            shift = _median(b, resolution_s) / _median(a, resolution_s) - 1.0
            drift[name] = (len(a), len(b), shift, low, high)
    shares = {name: (float((before == name).mean()), float((later == name).mean())) for name in fits}
    score = (float(np.log(by_class).mean()), float(np.log(plain[cells]).mean()))
    return Halves(score, losses, quantiles, drift, shares)


def _loss(times_s: Floats, forecast_s: Floats, share: float) -> float:
    """Mean loss of a quantile's forecast: each second above it counts ``share``, each below it the rest."""
    above = times_s - forecast_s
    return float(np.mean(np.maximum(share * above, (share - 1.0) * above)))


def _counts(times_s: Floats, resolution_s: float, top: int) -> Floats:
    """Chance of each cell by how often it was met; one more request is spread over all cells, for those never met."""
    counts = np.bincount(np.rint(times_s / resolution_s).astype(np.int64), minlength=top).astype(np.float64)
    return np.asarray((counts + 1.0 / top) / (counts.sum() + 1.0))


def _chances(time: Fit, resolution_s: float, top: int) -> Floats:
    """Chance of each cell by a fit, from equally likely values; the same one request is spread over all cells."""
    values = time.ppf((np.arange(200_000) + 0.5) / 200_000)
    cells = np.minimum(np.rint(values / resolution_s).astype(np.int64), top - 1)
    chances = np.bincount(cells, minlength=top) / len(values)
    return np.asarray((chances * len(time.times) + 1.0 / top) / (len(time.times) + 1.0))


def _quantile(chances: Floats, share: float) -> float:
    """Quantile of rounded times, counted as if each cell's were spread evenly over it."""
    edges = np.concatenate(([0.0], np.cumsum(chances / chances.sum())))
    return float(np.interp(share, edges, np.arange(len(edges)) - 0.5))


def _median(times_s: Floats, resolution_s: float) -> float:
    """Median of rounded times, counted as if they were spread evenly over their cells."""
    cells = np.bincount(np.rint(times_s / resolution_s).astype(np.int64)).astype(np.float64)
    return _quantile(cells, 0.5) * resolution_s


def _shift_interval(a: Floats, b: Floats, resolution_s: float, rng: np.random.Generator) -> tuple[float, float]:
    shifts = [
        _median(rng.choice(b, len(b)), resolution_s) / _median(rng.choice(a, len(a)), resolution_s) - 1.0
        for _ in range(200)
    ]
    low, high = np.quantile(shifts, [0.05, 0.95])
    return float(low), float(high)


def strongest_drift(found: Halves, count: int = 3) -> list[str]:
    """Classes whose median moved most, of those whose interval does not hold 0."""
    moved = [name for name, (_, _, _, low, high) in found.drift.items() if low > 0.0 or high < 0.0]
    return sorted(moved, key=lambda name: -abs(found.drift[name][2]))[:count]


def main() -> None:
    """Fit, predict, print."""
    requests = read(TRACE).requests
    done = requests["status"] == 200
    names = names_of({name: column[done] for name, column in requests.items()})
    found = halves(names, requests["duration_s"][done], 1.0, np.random.default_rng(0))
    print(f"log score: {found.log_score[0]:.3f} by class, {found.log_score[1]:.3f} without")
    for name, (by_class, without, measured) in found.quantiles.items():
        print(f"{name}: {by_class:.2f} s by class, {without:.2f} s without, {measured:.2f} s measured", end="; ")
        print("loss {:.3f} s and {:.3f} s".format(*found.quantile_scores[name]))
    print("drift of the median, first half to second:")
    for name in strongest_drift(found):
        before, after, shift, low, high = found.drift[name]
        print(f"  {name}: {shift:+.1%} ({low:+.1%} to {high:+.1%}), {before} and {after} requests")


if __name__ == "__main__":
    main()
