"""A local simulator of Knative's Pod Autoscaler for GPU inference services.

    >>> import kpasim
    >>> result = kpasim.simulate(kpasim.load("experiments/hey50x5.yaml"))
    >>> result.summary["latency_s"]["p95"]

Names below are imported when they are first used, so that ``import kpasim`` stays fast.
"""

import importlib
from typing import Any

__version__ = "0.2.0"

_HOME = {
    "load": "kpasim.spec.experiment",
    "simulate": "kpasim.studies.run",
    "sweep": "kpasim.studies.sweep",
    "tune": "kpasim.studies.tune",
    "calibrate": "kpasim.studies.calibrate",
    "compare": "kpasim.studies.compare",
}
"""Where each public name lives."""

__all__ = ["__version__", "calibrate", "compare", "load", "simulate", "sweep", "tune"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'kpasim' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
