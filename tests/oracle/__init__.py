"""The model a second time, written object by object on SimPy's clock: an oracle for the engines.

It shares with the product what Knative decides (``kpasim.policy``), the random numbers and the order of events, and
nothing else: each event has its own code here. ``tests/engines`` holds both engines to its tables, bit for bit.
"""

from tests.oracle.simulation import Simulation, run

__all__ = ["Simulation", "run"]
