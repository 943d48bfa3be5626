"""How many requests a container works on at once: as the model says, or as is assumed where it says nothing.

``containerConcurrency`` limits how many requests are inside a pod, not how many make progress there: a GPU that runs
one model without batching works on one request at a time. So sharing is never free by silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kpasim.spec.experiment import Experiment

CONCURRENCY = "service.containerConcurrency"
"""Path of the setting that decides how many requests share a pod."""


@dataclass(frozen=True)
class Sharing:
    """How the requests inside a container share its GPU.

    Attributes:
        slots: Requests that the container works on at once, 0 for any number; the others wait inside.
        assumed: Whether the model is silent: it gives neither `slots` nor `slowdown`.
        possible: Whether a pod holds more than one request at a time.
        text: The rule in one line, for whoever reads a result.
    """

    slots: int
    assumed: bool
    possible: bool
    text: str


def sharing(experiment: Experiment) -> Sharing:
    """How requests share a pod of an experiment.

    What the model says counts. Where it gives neither `slots` nor `slowdown` and `containerConcurrency` is not 1, a
    container works on one request for each GPU it holds, or for each CPU it asks for where it holds no GPU.
    """
    concurrency, model = experiment.service.container_concurrency, experiment.model.service_time
    if not is_known(experiment):
        gpus = experiment.gpus_per_pod
        slots = gpus or max(1, int(experiment.service.cpus))
        each = f"one for each {'GPU' if gpus else 'CPU'}" if slots > 1 else f"one per {'GPU' if gpus else 'pod'}"
        text = f"Assumed: a container works on {_requests(slots)} at a time ({each}); the model gives neither "
        return Sharing(slots, concurrency != 1, concurrency != 1, f"{text}slots nor slowdown.")
    slots = concurrency if model.slots is None else model.slots
    pace = "each at full speed"
    if model.slowdown:
        factors = ", ".join(f"{factor:g}" for factor in model.slowdown)
        pace = f"each slowed down by the factor {factors} with 1, 2, 3 ... of them"
    text = f"The model: a container works on {_requests(slots)} at a time{'' if slots == 1 else f', {pace}'}."
    return Sharing(slots, False, concurrency != 1, text)


def is_known(experiment: Experiment) -> bool:
    """Whether the model says how many requests a container works on at once, or what they do to each other."""
    time = experiment.model.service_time
    return time.slots is not None or bool(time.slowdown)


def _requests(slots: int) -> str:
    return {0: "any number of requests", 1: "1 request"}.get(slots, f"{slots} requests")


def sharing_note(experiment: Experiment, varied: bool = False) -> str:
    """The line that a command shows about sharing; empty where no pod ever holds two requests.

    ``varied``: whether `containerConcurrency` takes other values, too.
    """
    found = sharing(experiment)
    return found.text if found.possible or varied else ""
