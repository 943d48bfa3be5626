"""Loads and experiments in words."""

from __future__ import annotations

from kpasim.results.display import counted, number, seconds
from kpasim.spec.experiment import Experiment
from kpasim.spec.workload import Words, Workload


def setting(experiment: Experiment) -> str:
    """A sentence about the load, the service, and the start state."""
    limit = experiment.service.container_concurrency
    each = f"{counted(limit, 'request')} at a time" if limit else "any number of requests at a time"
    begun = {"warm": "pods are warm", "idled": "the service is scaled to zero", "zero": "a new revision has no pod yet"}
    text = f"{load_words(experiment.workload)}. Each pod takes {each}; "
    return f"{text[0].upper()}{text[1:]}{begun[experiment.start.state]} when the load starts."


def load_words(load: Workload) -> str:
    """What the clients did: ``5 hey clients, 50 requests``, ``poisson arrivals, 0.5/s for 30 min``."""
    length_s = getattr(load, "duration_s", None) or load.length_s
    lasted = f" for {seconds(length_s)}" if length_s else ""
    limit = f", client timeout {seconds(load.timeout_s)}" if load.timeout_s else ""
    return f"{load.in_words(Words(rate, seconds, counted))}{lasted}{limit}"


def rate(per_s: float) -> str:
    """A rate in the unit that people would choose: ``2/s``, ``18/h``, ``500/day``."""
    for least, length_s, unit in ((0.1, 1, "s"), (1 / 600, 60, "min"), (1 / 36_000, 3600, "h")):
        if per_s >= least or not per_s:
            return f"{number(per_s * length_s, 3)}/{unit}"
    return f"{number(per_s * 86_400, 3)}/day"
