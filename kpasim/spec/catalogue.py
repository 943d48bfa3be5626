"""Service times of well-known models on well-known GPUs, each with its source (kpasim/data/catalogue.yaml)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from kpasim.errors import RunError
from kpasim.spec.base import suggestion
from kpasim.spec.quantities import seconds
from kpasim.spec.yamlfile import packaged

Kind = Literal["measured", "published", "estimated"]
SIGMA = 0.05
"""Spread of a service time: one GPU repeats itself to a few hundredths; requests of several sizes vary more."""
LOAD_GB_S = 0.2
"""Weights that a starting pod loads from network storage [GB/s]: 6.5 GB in 30 to 120 s (workflowlab.dev)."""
START_S = 15.0
"""Start of a container, its imports and CUDA [s], as in the models that come with kpasim."""


@dataclass(frozen=True)
class Entry:
    """A model on a GPU.

    Attributes:
        name: ``sdxl@a10g``.
        workload: Short name of the model and the request.
        title: The model and the request in words.
        time_s: Service time of a request that has the GPU to itself [s]; None where the model does not fit into it.
        kind: Where the time comes from: ``measured``, ``published`` or ``estimated``; empty where there is none.
        date: Date of the source, empty where it says none.
        how: How the time follows from the source.
        weights_gb: Size of the weights [GB].
        slots: Requests that the server processes at once.
        slowdown: Contention factors while 1, 2, 3 ... requests share the GPU; empty for none.
    """

    name: str
    workload: str
    title: str
    gpu: str
    time_s: float | None
    kind: Kind | Literal[""]
    source: str
    date: str
    how: str
    weights_gb: float
    slots: int
    slowdown: tuple[float, ...]

    @property
    def service_time(self) -> dict[str, Any]:
        """The model's ``service-time``.

        Raises:
            RunError: The model does not fit into the GPU.
        """
        if self.time_s is None:
            raise RunError(f"{self.name}: does not fit into one {self.gpu} ({self.weights_gb:g} GB of weights)")
        time = {"distribution": "lognormal", "median": f"{self.time_s:g}s", "sigma": SIGMA}
        contention = {"slowdown": list(self.slowdown)} if self.slowdown else {}
        return {"time": time, "slots": self.slots, **contention}

    @property
    def cold_start_s(self) -> float:
        """An estimate of the time from a placed pod to its first response: start, and weights from network storage."""
        return float(round(START_S + self.weights_gb / LOAD_GB_S))


@cache
def entries() -> Sequence[Entry]:
    """All of them."""
    data = packaged("catalogue.yaml")
    return tuple(_entry(one, data["workloads"][one["workload"]], data["sources"]) for one in data["times"])


def _entry(one: dict[str, Any], workload: dict[str, Any], sources: dict[str, Any]) -> Entry:
    source = sources[one["source"]] if "source" in one else {"text": "", "date": ""}
    return Entry(
        name=f"{one['workload']}@{one['gpu'].lower()}",
        workload=one["workload"],
        title=workload["title"],
        gpu=one["gpu"],
        time_s=seconds(one["time"]) if "time" in one else None,
        kind=one.get("kind", ""),
        source=source["text"],
        date=source["date"],
        how=one.get("how", ""),
        weights_gb=workload["weights-gb"],
        slots=workload["slots"],
        slowdown=tuple(workload.get("slowdown", ())),
    )


def entry(name: str) -> Entry:
    """The entry called ``name``, such as ``sdxl@a10g``.

    Raises:
        RunError: There is none.
    """
    found = {one.name: one for one in entries()}
    if name.lower() not in found:
        hint = suggestion(name.lower(), found) or "kpasim models lists it"
        raise RunError(f"{name}: is not in the catalogue ({hint})")
    return found[name.lower()]
