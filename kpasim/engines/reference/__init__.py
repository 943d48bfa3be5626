"""The engine to read, to debug and to extend: one class for each part of Knative, on SimPy's clock."""

from kpasim.engines.reference.simulation import Simulation, run

__all__ = ["Simulation", "run"]
