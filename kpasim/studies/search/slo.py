"""Promises about a run: ``p95<=30s``, ``errors<=0.1%``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kpasim.errors import RunError
from kpasim.results.summary import LATENCY_PERCENTILES, Figures
from kpasim.spec.base import suggestion
from kpasim.spec.quantities import duration_text, seconds

_PATTERN = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*)\s*(<=|>=|<|>)\s*(\S.*?)\s*")
_LATENCIES = (*(f"p{rank}" for rank in LATENCY_PERCENTILES), "mean", "min", "max")
_TIMES = {
    **{name: f"latency_s.{name}" for name in _LATENCIES},
    "total": "total_s",
    "first-scale-out": "first_scale_out_s",
}
_NUMBERS = {
    "max-pods": "max_pods",
    "cold-starts": "cold_starts",
    "pod-seconds": "pod_seconds",
    "gpu-seconds": "gpu_seconds",
    "rps": "rps",
    "cost": "cost.amount",
}
ERRORS = "errors"
"""The share of requests that got no good answer."""


@dataclass(frozen=True)
class Promise:
    """One promise about a run.

    Attributes:
        name: What it is about: ``p95``, ``errors``, ``total`` ...
        figure: The figure of that name.
        sense: ``<=``, ``<``, ``>=`` or ``>``.
        limit: Seconds, a share, or a number.
    """

    name: str
    figure: str
    sense: str
    limit: float

    def values(self, figures: Figures) -> NDArray[np.float64]:
        """What the promise is about, in each replication."""
        if self.figure == ERRORS:
            return np.asarray((figures["requests"] - figures["ok"]) / np.maximum(figures["requests"], 1.0))
        if self.figure not in figures:
            raise RunError(f"--slo {self}: no price for the instance types (give price-per-hour)")
        return figures[self.figure]

    def kept(self, figures: Figures) -> NDArray[np.bool_]:
        """Whether each replication keeps it; one without the figure does not."""
        values = self.values(figures)
        with np.errstate(invalid="ignore"):
            compare = {"<=": np.less_equal, "<": np.less, ">=": np.greater_equal, ">": np.greater}[self.sense]
            return np.asarray(compare(values, self.limit))

    def missed_by(self, figures: Figures) -> NDArray[np.float64]:
        """How far each replication misses it, as a share of the limit; 0 where it keeps it, infinite without figure."""
        off = self.values(figures) - self.limit
        scale = abs(self.limit) or 1.0
        amount = off / scale if self.sense in {"<=", "<"} else -off / scale
        return np.where(np.isnan(amount), math.inf, np.maximum(amount, 0.0))

    def text(self, value: float | None) -> str:
        """A value of the figure in the promise's unit."""
        if value is None or math.isnan(value):
            return "none"
        if self.figure == ERRORS:
            return f"{100 * value:.3g} %"
        return f"{value:.4g}{' s' if self.name in _TIMES else ''}"

    def __str__(self) -> str:
        limit = f"{self.limit:g}"
        if self.figure == ERRORS:
            limit = f"{100 * self.limit:g}%"
        elif self.name in _TIMES:
            limit = duration_text(self.limit)
        return f"{self.name}{self.sense}{limit}"


def parse_promise(text: str) -> Promise:
    """Read ``p95<=30s``, ``errors<=0.1%``, ``max-pods<=4``.

    Raises:
        RunError: It cannot be read, or is about nothing that runs report.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise RunError(f"--slo {text!r}: cannot be read (write 'p95<=30s' or 'errors<=0.1%')")
    name, sense, value = match[1].lower().replace("_", "-"), match[2], match[3]
    figure = ERRORS if name == ERRORS else _TIMES.get(name) or _NUMBERS.get(name)
    if figure is None:
        hint = suggestion(name, [ERRORS, *_TIMES, *_NUMBERS])
        raise RunError(f"--slo {text!r}: runs do not report {name} ({hint})")
    try:
        limit = seconds(value) if name in _TIMES and not value.replace(".", "", 1).isdigit() else _number(value)
    except ValueError:
        example = "30s" if name in _TIMES else "0.1%" if name == ERRORS else "4"
        raise RunError(f"--slo {text!r}: {value!r} cannot be read (write {name}{sense}{example})") from None
    if name == ERRORS and not 0 <= limit <= 1:
        raise RunError(f"--slo {text!r}: {value} is no share of requests (write errors{sense}0.1%)")
    return Promise(name, figure, sense, limit)


def _number(text: str) -> float:
    number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def parse_share(text: str) -> float:
    """Read a probability: ``90%`` or ``0.9``.

    Raises:
        RunError: It is none.
    """
    try:
        share = _number(text.strip())
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise RunError(f"--probability {text}: must be between 0 and 100 % (write 90%)")
    return share


def all_kept(promises: list[Promise], figures: Figures) -> NDArray[np.bool_]:
    """Whether each replication keeps all promises."""
    kept: NDArray[np.bool_] = np.logical_and.reduce([promise.kept(figures) for promise in promises])
    return kept


def worst_miss(promises: list[Promise], figures: Figures) -> NDArray[np.float64]:
    """How far each replication misses the promise it misses most."""
    missed: NDArray[np.float64] = np.maximum.reduce([promise.missed_by(figures) for promise in promises])
    return missed


def wilson(kept: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval of a probability that was met ``kept`` times in ``count``.

    Args:
        kept: Successes.
        count: Trials.
        z: Quantile of the normal distribution; 1.96 for 95 %.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if count == 0:
        return 0.0, 1.0
    share, more = kept / count, z * z / count
    middle = (share + more / 2) / (1 + more)
    half = z * math.sqrt(share * (1 - share) / count + more / (4 * count)) / (1 + more)
    return max(0.0, middle - half), min(1.0, middle + half)
