"""Service times by what a request asks for: steps, images, LoRA adapters, or a class that the file names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kpasim.results.frames import Columns
from kpasim.studies.fit.families import BOOTSTRAPS, Fit, Sample, fit

Floats = NDArray[np.float64]

ENOUGH = 60
"""Requests that a class of its own needs; rarer ones are put together with their likes."""
STEP_BANDS = ((0, 29), (30, 30), (31, 39), (40, 40), (41, 10**6))
"""Steps that are taken together: services are mostly called with round numbers."""


@dataclass(frozen=True)
class ClassFit:
    """One class of requests.

    Attributes:
        name: What they ask for, in words.
        share: How frequent they are.
        time: Their service time.
        times: What it was fitted to.
    """

    name: str
    share: float
    time: Fit
    times: Sample | None = None


def names_of(requests: Columns) -> NDArray[np.object_]:
    """What each request asks for in words, as fine as the columns tell it apart; empty words where they do not."""
    if "steps" in requests:
        return np.array(
            [
                f"{_number(images, 'image')}, {_band(steps)}, {_number(loras, 'LoRA')}"
                for steps, images, loras in zip(requests["steps"], requests["images"], requests["loras"], strict=True)
            ],
            dtype=object,
        )
    if "class" in requests:
        return np.array([str(one) for one in requests["class"]], dtype=object)
    return np.full(len(requests["start_s"]), "", dtype=object)


def _band(steps: float) -> str:
    low, high = next(((low, high) for low, high in STEP_BANDS if low <= steps <= high), (0, 0))
    if low == high:
        return f"{low} steps" if low else "unknown steps"
    if low == 0:
        return f"up to {high} steps"
    return f"{low} steps or more" if high >= 10**6 else f"{low} to {high} steps"


def _number(count: float, of: str) -> str:
    """None, one or several; finer groups predict the production trace worse, by cross-validation in its first half."""
    if not count > 0:
        return "1 image" if of == "image" else f"no {of}"
    return f"1 {of}" if count == 1 else f"several {of}s"


def pooled(names: NDArray[np.object_], enough: int = ENOUGH) -> dict[str, str]:
    """A class for each name: its own where there are enough, else one with fewer words, from the left.

    The last words of a name matter most: a rare combination with LoRA goes to the others of as many steps with LoRA,
    then to the others with LoRA, then to all others.
    """
    found: dict[str, str] = {}
    left = dict(Counter(str(name) for name in names))
    words = max((name.count(", ") for name in left), default=0)
    for cut in range(words + 2):
        groups: dict[str, list[str]] = {}
        for name in left:
            groups.setdefault(_shorter(name, cut), []).append(name)
        for group, members in groups.items():
            if sum(left[one] for one in members) >= enough or cut == words + 1:
                for one in members:
                    found[one] = group
        left = {name: count for name, count in left.items() if name not in found}
    return found


def _shorter(name: str, cut: int) -> str:
    """A name without its first words, ``cut`` of them; what is left out may be anything."""
    if cut == 0:
        return name
    kept = name.split(", ")[cut:]
    return "other " + ", ".join(kept) if kept else "other"


def fit_classes(
    names: NDArray[np.object_],
    times: Sample,
    rng: np.random.Generator,
    *,
    enough: int = ENOUGH,
    bootstraps: int = BOOTSTRAPS,
    progress: Callable[[int], None] | None = None,
) -> list[ClassFit]:
    """A service time for each class of requests, the most frequent first.

    Args:
        names: What each request asks for.
        times: Service times of the same requests.
        rng: Random numbers of the bootstrap.
        enough: Requests that a class needs.
        bootstraps: Resamples.
        progress: Called with the number of classes that are done.
    """
    classes = pooled(names, enough)
    own = np.array([classes[str(name)] for name in names], dtype=object)
    found = []
    for done, name in enumerate(sorted(set(classes.values()))):
        rows = own == name
        part = times.take(rows)
        found.append(ClassFit(name, float(rows.mean()), fit(part, rng, bootstraps=bootstraps), part))
        if progress:
            progress(done + 1)
    return sorted(found, key=lambda one: -one.share)


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
    rest = max(fits, key=lambda one: (one.startswith("other"), fits[one].size))
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
    return np.asarray((chances * time.size + 1.0 / top) / (time.size + 1.0))


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
