"""Prediction beside measurement: rows, tolerances, intervals, and whether they hold what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpasim.results.files import plain
from kpasim.results.intervals import holds
from kpasim.spec.base import value_at

if TYPE_CHECKING:
    from kpasim.spec.experiment import Experiment
    from kpasim.studies.run import Result


@dataclass(frozen=True)
class Row:
    """One metric of a comparison.

    Attributes:
        predicted: Median of the prediction.
        interval: 90 % interval of the prediction, None where there is none.
        tolerance: How far the two may be apart, as the experiment writes it; empty where it says nothing.
        within: Whether they are near enough; None where the experiment says nothing.
    """

    metric: str
    predicted: float | None
    interval: tuple[float, float] | None
    measured: float | None
    tolerance: str
    within: bool | None

    @property
    def inside(self) -> bool | None:
        """Whether the interval holds what was measured, within 1 % or a millisecond; None without either."""
        if self.interval is None or self.measured is None:
            return None
        return holds(*self.interval, self.measured)

    @property
    def holds(self) -> bool:
        """Whether the tolerance, if there is one, is kept, or the interval holds the measured value.

        A tolerance is about one number, and one run may differ from it by chance.
        """
        return self.within is not False or self.inside is True

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**plain(vars(self)), "inside": self.inside}


@dataclass(frozen=True)
class Report:
    """How it went.

    Attributes:
        folder: The measured run folder; ``prediction`` in it is the predicted one. None after a dry run.
        rows: Prediction beside measurement.
        failures: Failed requests by kind, likewise; empty where none failed and none was predicted to.
        not_judged: Why nothing can be judged, empty where it can.
        failed: Requests that failed in the measurement, by status or by what the client saw instead.
    """

    folder: Path | None
    rows: list[Row]
    seconds: float
    failures: list[Row] = field(default_factory=list)
    not_judged: str = ""
    failed: Mapping[str, int] = field(default_factory=dict)

    @property
    def within(self) -> bool:
        """Whether every metric that has a tolerance is within it, or inside its interval."""
        return all(row.holds for row in self.rows)

    def lines(self) -> list[str]:
        """The comparison as a table, and the verdict."""
        table = _table(self.rows)
        if self.failures:
            table += ["", "failed requests", *_table(self.failures)]
        return [*table, f"{self.verdict}; {self.folder} holds the run ({self.seconds:.0f} s)"]

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        checked = [row for row in self.rows if row.within is not None]
        missed = [row.metric for row in checked if not row.holds]
        outside = [row.metric for row in [*self.rows, *self.failures] if row.inside is False]
        intervals = f"outside their 90 % interval: {', '.join(outside)}" if outside else ""
        failures = ", ".join(f"{count} x {what}" for what, count in self.failed.items())
        failures = f"failed requests: {failures}" if failures else ""
        if self.not_judged:
            return "; ".join(filter(None, (f"not judged: {self.not_judged}", intervals, failures)))
        if missed:
            told = f"outside the tolerances: {', '.join(missed)}"
        elif not checked:
            told = "no metric has a tolerance"
        else:
            one = len(checked) == 1
            told = f"{len(checked)} {'metric within its tolerance' if one else 'metrics within their tolerances'}"
            if any(not row.within for row in checked):
                told += " or inside the 90 % interval"
        return "; ".join(filter(None, (told, intervals, failures)))

    def to_dict(self) -> dict[str, Any]:
        """What ``kpasim validate --json`` prints."""
        return {
            "folder": None if self.folder is None else str(self.folder),
            "within": self.within,
            "not_judged": self.not_judged,
            "verdict": self.verdict,
            "seconds": round(self.seconds, 1),
            "metrics": [row.to_dict() for row in self.rows],
            "failures": [row.to_dict() for row in self.failures],
            "failed": dict(self.failed),
        }


def _table(rows: Sequence[Row]) -> list[str]:
    """Rows in columns, with their heads."""
    head = ("metric", "predicted", "90 % interval", "measured", "interval", "tolerance", "")
    body = [
        (
            row.metric,
            _shown(row.predicted),
            "" if row.interval is None else f"{_shown(row.interval[0])} .. {_shown(row.interval[1])}",
            _shown(row.measured),
            "" if row.inside is None else "inside" if row.inside else "outside",
            row.tolerance,
            "" if row.within is None else "ok" if row.within else "OUTSIDE" if not row.holds else "by chance",
        )
        for row in rows
    ]
    widths = [max(len(cells[column]) for cells in (head, *body)) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in (head, *body)
    ]


def compare_figures(experiment: Experiment, prediction: Result, measured: Mapping[str, Any]) -> list[Row]:
    """Prediction beside measurement, by the experiment's tolerances, with the metrics of ``kpasim compare``."""
    from kpasim.spec.experiment import metric_named
    from kpasim.studies.compare import FIGURES

    tolerances = {metric_named(name): (name, one) for name, one in experiment.tolerances.items()}
    rows = []
    for metric, figure in FIGURES.items():
        predicted, interval, found = _sides(prediction, measured, figure)
        name, tolerance = tolerances.get(metric, (metric, None))
        within = None
        if tolerance is not None:
            within = predicted is not None and found is not None and tolerance.allows(predicted, found)
        rows.append(Row(name, predicted, interval, found, "" if tolerance is None else tolerance.text(), within))
    return rows


def failed_figures(prediction: Result, measured: Mapping[str, Any]) -> list[Row]:
    """Failed requests by kind, predicted beside measured: kinds that were neither stay out."""
    from kpasim.results.summary import FAILED

    rows = []
    for figure in ("errors", *FAILED):
        predicted, interval, found = _sides(prediction, measured, figure)
        if not any((predicted, found, interval and interval[1])):
            continue
        name = {"errors": "all"}.get(figure, figure.removeprefix("failed.").replace("_", " "))
        rows.append(Row(name, predicted, interval, found, "", None))
    return rows


def _sides(
    prediction: Result, measured: Mapping[str, Any], figure: str
) -> tuple[float | None, tuple[float, float] | None, float | None]:
    """A figure as predicted, its interval, and as measured; None where there is none."""
    sides = (prediction.summary, prediction.intervals, measured)
    predicted, ends, found = (value_at(one, tuple(figure.split("."))) for one in sides)
    return (
        None if predicted is None else float(predicted),
        None if ends is None or None in ends else (float(ends[0]), float(ends[1])),
        None if found is None else float(found),
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
