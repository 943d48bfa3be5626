"""KEDA's HTTP add-on."""

from __future__ import annotations

from kpasim.engines.model.state import Simulation


def metric(sim: Simulation) -> float:
    """The metric that the scaler hands to the HPA."""
    return 0.0
