"""Summary statistics of a report of hey, to compare with those of a simulated run."""

from dataclasses import dataclass

import numpy as np

from kpasim.arrays import Bools, Floats, Ints
from kpasim.results.hey import HeyReport
from kpasim.results.summary import LATENCY_PERCENTILES, percentiles, request_figures

LINES = ("total", "slowest", "fastest", "average", "rps", *(f"p{p}" for p in LATENCY_PERCENTILES))
"""Lines of a report, by the names of ``summary.hey``."""
MILESTONES = (10, 25, 50, 75, 90)
"""Percent of the responses whose time of completion counts, where single requests are known."""


@dataclass(frozen=True)
class Runs:
    """Requests of several runs.

    Attributes:
        start_s: When each was sent, from the start of the load; shape ``(runs, requests)``, ``NaN`` for padding.
        latency_s: How long its client waited; ``NaN`` for padding.
        status: HTTP status, 0 after a client timeout.
        whole: Whether all that was to be sent was sent and ended, shape ``(runs,)``.
    """

    start_s: Floats
    latency_s: Floats
    status: Ints
    whole: Bools

    def figures(self) -> dict[str, Floats]:
        """The lines of a report of each run."""
        found = request_figures(self.start_s, self.latency_s, self.status)
        return {name: found[f"hey.{name}"] for name in LINES}


@dataclass(frozen=True)
class Target:
    """A report, and which of its lines are to be met.

    Attributes:
        report: As printed.
        names: Lines that the report has and that count.
        ends_s: Times at which requests of the measured run completed, ascending; empty where only the report is
            known.
    """

    report: HeyReport
    names: tuple[str, ...]
    ends_s: Floats

    @property
    def lines(self) -> dict[str, float]:
        """Every line that the report has, also those that are not to be met."""
        return report_lines(self.report)

    @property
    def marks(self) -> Floats:
        """Histogram marks between the fastest and the slowest response."""
        return np.array([mark for mark, _ in self.report.histogram[1:-1]])

    def observed(self) -> Floats:
        """Features of the report; shape ``(features,)``."""
        lines = self.lines
        found = [np.log(lines[name]) for name in self.names if name != "rps"]
        counts = np.cumsum([count for _, count in self.report.histogram])
        answered = counts[-1] if len(counts) else 0
        found += list(_score(counts[1:-1], answered))
        found.append(np.sqrt(sum(self.report.errors.values())))
        if len(self.ends_s):
            found += list(np.log(np.percentile(self.ends_s, MILESTONES)))
        return np.array(found)

    def features(self, runs: Runs) -> Floats:
        """The same features of simulated runs; shape ``(runs, features)``, rows of ``NaN`` for runs that broke off."""
        figures = runs.figures()
        answered = runs.status > 0
        counts = answered.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            # A percentile that a run with fewer responses lacks would lie at its slowest response.
            lines = [np.fmin(figures[name], figures["slowest"]) for name in self.names if name not in {"rps", "total"}]
            found = [np.log(figures["total"])] if "total" in self.names else []
            found += [np.log(line) for line in lines]
            latency = np.where(answered, runs.latency_s, np.inf)
            found += [_score((latency <= mark).sum(axis=1), counts) for mark in self.marks]
            found.append(np.sqrt(((runs.status == 0) & ~np.isnan(runs.latency_s)).sum(axis=1)))
            if len(self.ends_s):
                ends = np.where(answered, runs.start_s + runs.latency_s, np.nan)
                found += list(np.log(percentiles(np.sort(ends, axis=1), counts, MILESTONES)))
        features = np.stack(found, axis=1)
        features[~runs.whole | (counts == 0)] = np.nan
        return features


def target(report: HeyReport, without: tuple[str, ...] = (), ends_s: Floats | None = None) -> Target:
    """What is to be met of a report ``without`` some lines, which can then be predicted."""
    has = report_lines(report)
    names = tuple(name for name in LINES if name in has and name not in without)
    return Target(report, names, np.sort(ends_s) if ends_s is not None else np.zeros(0))


def report_lines(report: HeyReport) -> dict[str, float]:
    """The lines of a report that hold a number."""
    found = {name: getattr(report, name) for name in LINES[:5]}
    found |= {f"p{p}": value for p, value in report.percentiles if p}
    return {name: float(value) for name, value in found.items() if value > 0}


def _score(below: Ints, count: Ints | int) -> Floats:
    """Cumulative counts as normal scores, so that equal steps matter equally in the middle and in the tails."""
    from scipy.special import ndtri

    return np.asarray(ndtri((np.asarray(below) + 0.5) / (np.asarray(count) + 1.0)), dtype=np.float64)
