"""Other settings under the same requests: each figure with the interval of its difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.results.display import FIGURES, MAYBE_ZERO
from kpasim.results.paired import Difference, difference
from kpasim.results.summary import Figures, rounded
from kpasim.spec.experiment import Experiment
from kpasim.studies.against import MONEY
from kpasim.studies.backtest.predict import results
from kpasim.studies.prices import prices_of


@dataclass(frozen=True, eq=False)
class Candidate:
    """A candidate beside the settings in force.

    Attributes:
        name: What it is called.
        differences: Each figure: title, name, unit, and the difference candidate minus settings in force.
    """

    name: str
    differences: tuple[tuple[str, str, str, Difference], ...]

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "name": self.name,
            "differences": {
                name: {
                    "in_force": _number(found.before),
                    "candidate": _number(found.before + found.mean),
                    "difference": _number(found.mean),
                    "interval": [_number(found.low), _number(found.high)],
                    "confidence": rounded(found.confidence, 4),
                    "significant": found.significant,
                    "verdict": found.verdict,
                }
                for _, name, _, found in self.differences
            },
        }


def figures_of(
    experiment: Experiment, replications: int, progress: Callable[[int], None] = lambda done: None
) -> Figures:
    """Every figure of an experiment, one value per replication; money as ``cost.NAME``."""
    parts = []
    for result in results(experiment, replications, progress):
        costs = {f"cost.{name}": values for name, values in (result.cost_figures or {}).items()}
        parts.append({**result.figures, **result.use, **costs})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def beside(name: str, in_force: Figures, candidate: Figures, currency: str = "") -> Candidate:
    """The differences of a candidate's figures; replication k of both met the same requests and random numbers."""
    wanted = [*FIGURES, *((title, figure, currency) for title, figure in MONEY)]
    rows = [row for row in wanted if row[1] in in_force and row[1] in candidate]
    rows = [row for row in rows if row[1] not in MAYBE_ZERO or _any(in_force[row[1]]) or _any(candidate[row[1]])]
    rows = [row for row in rows if np.isfinite(in_force[row[1]]).any() and np.isfinite(candidate[row[1]]).any()]
    return Candidate(
        name,
        tuple(
            (title.strip(), figure, unit, difference(candidate[figure], in_force[figure], figures=len(rows)))
            for title, figure, unit in rows
        ),
    )


def currency_of(experiment: Experiment) -> str:
    """Currency of the experiment's prices; empty without prices."""
    prices = prices_of(experiment)
    return next(iter(prices.values())).currency if prices else ""


def _any(values: NDArray[np.float64]) -> bool:
    return bool(np.nansum(values))


def _number(value: float) -> float | None:
    return rounded(float(value), 6) if np.isfinite(value) else None
