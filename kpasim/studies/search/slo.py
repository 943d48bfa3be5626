"""SLOs of a run: ``p95<=30s``, ``errors<=0.1%``.

The rule for failures: a latency SLO is about all requests. One that failed, was refused, timed out, or had no response
at the end of the run is infinitely late, unless the SLO says ``of successes``. ``errors`` is the share of failed
requests among those that ended, so that a request in flight at the end is no error. A run without a request meets every
latency SLO. A run whose horizon cut the load meets no SLO at all.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kpasim.arrays import Bools, Floats
from kpasim.errors import RunError
from kpasim.results.display import number
from kpasim.results.summary import LATENCY_PERCENTILES, Figures, error_share
from kpasim.spec.base import suggestion
from kpasim.spec.quantities import duration_text, seconds

_PATTERN = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*)\s*(<=|>=|<|>)\s*(\S.*?)(\s+of\s+successes)?\s*")
_LATENCIES = (*(f"p{rank}" for rank in LATENCY_PERCENTILES), "mean", "min", "max")
_TIMES = {
    **{name: f"latency_all_s.{name}" for name in _LATENCIES},
    "total": "total_s",
    "first-scale-out": "first_scale_out_s",
}
_PER_RUN, _PER_MONTH = "cost.amount", "cost.per_month"
_NUMBERS = {
    "max-pods": "max_pods",
    "cold-starts": "cold_starts",
    "pod-seconds": "pod_seconds",
    "gpu-seconds": "gpu_seconds",
    "rps": "rps",
    "cost": "cost",
    "cost-per-1000": "cost.per_1000",
    "cost-per-run": _PER_RUN,
    "cost-per-month": _PER_MONTH,
}
_MONEY = {_PER_RUN: " per run", _PER_MONTH: " per month", "cost.per_1000": " per 1,000 requests"}
ERRORS = "errors"
"""The share of failed requests, see `results.summary.error_share`."""


@dataclass(frozen=True)
class Slo:
    """One SLO of a run.

    Attributes:
        name: What it is about: ``p95``, ``errors``, ``total`` ...
        figure: The figure of that name.
        sense: ``<=``, ``<``, ``>=`` or ``>``.
        limit: Seconds, a share, or a number.
        of_successes: Whether a latency is that of successful requests only.
    """

    name: str
    figure: str
    sense: str
    limit: float
    of_successes: bool = False

    def values(self, figures: Figures) -> Floats:
        """The figure in each replication, infinite where failures make it so."""
        if self.figure == ERRORS:
            return error_share(figures)
        if self.figure not in figures:
            raise RunError(f"--slo {self}: no price for the instance types (give price-per-hour)")
        return figures[self.figure]

    def met(self, figures: Figures) -> Bools:
        """Whether each replication meets it; without its figure only a run without a request does."""
        values = self.values(figures)
        with np.errstate(invalid="ignore"):
            compare = {"<=": np.less_equal, "<": np.less, ">=": np.greater_equal, ">": np.greater}[self.sense]
            return np.where(np.isnan(values), figures["requests"] == 0, compare(values, self.limit))

    def missed_by(self, figures: Figures) -> Floats:
        """Distance of each replication from it as a share of the limit: 0 where it is met, else infinite at most."""
        off = self.values(figures) - self.limit
        scale = abs(self.limit) or 1.0
        amount = off / scale if self.sense in {"<=", "<"} else -off / scale
        return np.where(self.met(figures), 0.0, np.where(np.isnan(amount), math.inf, np.maximum(amount, 0.0)))

    def text(self, value: float | None, currency: str = "") -> str:
        """A value of the figure in the SLO's unit; money in a currency."""
        if value is None or math.isnan(value):
            return "none"
        if math.isinf(value):
            return "infinite"
        if self.figure == ERRORS:
            return f"{100 * value:.3g} %"
        if self.figure in _MONEY:
            return f"{number(value)} {currency}".strip() + _MONEY[self.figure]
        return f"{number(value)}{' s' if self.name in _TIMES else ''}"

    def __str__(self) -> str:
        limit = f"{self.limit:g}"
        if self.figure == ERRORS:
            limit = f"{100 * self.limit:g}%"
        elif self.name in _TIMES:
            limit = duration_text(self.limit)
        return f"{self.name}{self.sense}{limit}{' of successes' if self.of_successes else ''}"


def parse_slo(text: str) -> Slo:
    """Read ``p95<=30s``, ``p95<=30s of successes``, ``errors<=0.1%``, ``max-pods<=4``.

    Raises:
        RunError: It cannot be read, or is about nothing that runs report.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise RunError(f"--slo {text!r}: cannot be read (write 'p95<=30s' or 'errors<=0.1%')")
    name, sense, value, of_successes = match[1].lower().replace("_", "-"), match[2], match[3], bool(match[4])
    figure = ERRORS if name == ERRORS else _TIMES.get(name) or _NUMBERS.get(name)
    if figure is None:
        hint = suggestion(name, [ERRORS, *_TIMES, *_NUMBERS])
        raise RunError(f"--slo {text!r}: runs do not report {name} ({hint})")
    try:
        limit = seconds(value) if name in _TIMES and not value.replace(".", "", 1).isdigit() else _number(value, name)
    except ValueError:
        example = "30s" if name in _TIMES else "0.1%" if name == ERRORS else "4"
        raise RunError(f"--slo {text!r}: {value!r} cannot be read (write {name}{sense}{example})") from None
    if name == ERRORS and not 0 <= limit <= 1:
        raise RunError(f"--slo {text!r}: {value} is no share of requests (write errors{sense}0.1%)")
    if name == ERRORS and sense == "<=" and limit == 1:
        raise RunError(f"--slo {text!r}: {value} is all requests, which every run meets (write errors<=1%)")
    if limit < 0:
        raise RunError(f"--slo {text!r}: {value} is negative (write {name}{sense}{value.lstrip('-')})")
    if of_successes:
        if name not in _LATENCIES:
            raise RunError(f"--slo {text!r}: only latencies can be of successes (write {name}{sense}{value})")
        figure = f"latency_s.{name}"
    return Slo(name, figure, sense, limit, of_successes)


def priced(slos: Sequence[Slo], *, per_month: bool) -> list[Slo]:
    """SLOs with ``cost`` in the unit that the study shows: money per month, or per run."""
    figure = _PER_MONTH if per_month else _PER_RUN
    return [replace(slo, figure=figure) if slo.figure == "cost" else slo for slo in slos]


def _number(text: str, name: str = ERRORS) -> float:
    """A number, of errors also in percent: of pods and money nothing says of what it is a share."""
    number = float(text[:-1]) / 100 if text.endswith("%") and name == ERRORS else float(text)
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


def cut(figures: Figures) -> Bools:
    """Whether the horizon ended each replication before its load."""
    if "never_sent" not in figures:
        return np.zeros(len(figures["requests"]), dtype=np.bool_)
    return np.asarray(figures["never_sent"] != 0)


def all_met(slos: Sequence[Slo], figures: Figures) -> Bools:
    """Whether each replication meets all SLOs; one whose load was cut meets none."""
    return np.asarray(np.logical_and.reduce([slo.met(figures) for slo in slos]) & ~cut(figures))


def worst_miss(slos: Sequence[Slo], figures: Figures) -> Floats:
    """Distance of each replication from the SLO that it misses most."""
    missed: Floats = np.maximum.reduce([slo.missed_by(figures) for slo in slos])
    return np.where(cut(figures), math.inf, missed)


def wilson(met: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval of a probability of which ``met`` trials in ``count`` were successes; ``z`` is a normal quantile.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if count == 0:
        return 0.0, 1.0
    share, more = met / count, z * z / count
    middle = (share + more / 2) / (1 + more)
    half = z * math.sqrt(share * (1 - share) / count + more / (4 * count)) / (1 + more)
    return 0.0 if met == 0 else middle - half, 1.0 if met == count else middle + half
