"""Service times by what a request asks for: steps, images, LoRA adapters, or a class that the file names."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kpasim.results.frames import Columns
from kpasim.studies.fit.families import BOOTSTRAPS, Fit, Sample, fit

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
    """

    name: str
    share: float
    time: Fit


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
) -> list[ClassFit]:
    """A service time for each class of requests, the most frequent first."""
    classes = pooled(names, enough)
    own = np.array([classes[str(name)] for name in names], dtype=object)
    found = []
    for name in sorted(set(classes.values())):
        rows = own == name
        found.append(ClassFit(name, float(rows.mean()), fit(times.take(rows), rng, bootstraps=bootstraps)))
    return sorted(found, key=lambda one: -one.share)
