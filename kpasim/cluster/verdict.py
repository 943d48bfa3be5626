"""Prediction beside measurement: rows, tolerances, and whether they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kpasim.results.files import plain

if TYPE_CHECKING:
    from kpasim.spec.experiment import Experiment


class Prediction(Protocol):
    """What a prediction must offer; `kpasim.studies.run.Result` does."""

    @property
    def summary(self) -> Mapping[str, Any]:
        """Medians of the figures."""

    @property
    def intervals(self) -> Mapping[str, Any]:
        """Their 90 % intervals."""

    def write(self, folder: str | Path) -> None:
        """Write it as a run folder."""


@dataclass(frozen=True)
class Row:
    """One metric of a comparison.

    Attributes:
        metric: Its name.
        predicted: Median of the prediction.
        interval: 90 % interval of the prediction, None where there is none.
        measured: What was measured.
        tolerance: How far the two may be apart, as the experiment writes it; empty where it says nothing.
        within: Whether they are near enough; None where the experiment says nothing.
    """

    metric: str
    predicted: float | None
    interval: tuple[float, float] | None
    measured: float | None
    tolerance: str
    within: bool | None


@dataclass(frozen=True)
class Report:
    """How it went.

    Attributes:
        folder: The measured run folder; ``prediction`` in it is the predicted one. None after a dry run.
        rows: Prediction beside measurement.
        seconds: How long it took.
    """

    folder: Path | None
    rows: list[Row]
    seconds: float

    @property
    def within(self) -> bool:
        """Whether every metric that has a tolerance is within it."""
        return all(row.within is not False for row in self.rows)

    def lines(self) -> list[str]:
        """The comparison as a table, and the verdict."""
        head = ("metric", "predicted", "90 % interval", "measured", "tolerance", "")
        body = [
            (
                row.metric,
                _shown(row.predicted),
                "" if row.interval is None else f"{_shown(row.interval[0])} .. {_shown(row.interval[1])}",
                _shown(row.measured),
                row.tolerance,
                "" if row.within is None else "ok" if row.within else "OUTSIDE",
            )
            for row in self.rows
        ]
        widths = [max(len(cells[column]) for cells in (head, *body)) for column in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
            for cells in (head, *body)
        ]
        checked = [row for row in self.rows if row.within is not None]
        outside = [row.metric for row in checked if not row.within]
        verdict = (
            f"outside the tolerances: {', '.join(outside)}"
            if outside
            else f"{len(checked)} metrics within their tolerances"
        )
        return [*lines, f"{verdict}; {self.folder} holds the run ({self.seconds:.0f} s)"]

    def to_dict(self) -> dict[str, Any]:
        """What ``kpasim validate --json`` prints."""
        rows: list[dict[str, Any]] = [plain(vars(row)) for row in self.rows]
        folder = None if self.folder is None else str(self.folder)
        return {"folder": folder, "within": self.within, "seconds": round(self.seconds, 1), "metrics": rows}


def compare_figures(experiment: Experiment, prediction: Prediction, measured: Mapping[str, Any]) -> list[Row]:
    """Prediction beside measurement, by the experiment's tolerances, with the metrics of ``kpasim compare``."""
    from kpasim.spec.experiment import metric_named
    from kpasim.studies.compare import FIGURES

    tolerances = {metric_named(name): (name, one) for name, one in experiment.tolerances.items()}
    rows = []
    for metric, figure in FIGURES.items():
        predicted, found = _figure(prediction.summary, figure), _figure(measured, figure)
        low, high = _figure(prediction.intervals, figure, 0), _figure(prediction.intervals, figure, 1)
        name, tolerance = tolerances.get(metric, (metric, None))
        within = None
        if tolerance is not None:
            within = predicted is not None and found is not None and tolerance.allows(predicted, found)
        rows.append(
            Row(
                name,
                predicted,
                None if low is None or high is None else (low, high),
                found,
                "" if tolerance is None else tolerance.text(),
                within,
            )
        )
    return rows


def _figure(figures: Mapping[str, Any], metric: str, place: int | None = None) -> float | None:
    value: Any = figures
    for part in metric.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if place is not None:
        value = value[place] if isinstance(value, list | tuple) and len(value) == 2 else None
    return None if value is None else float(value)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
