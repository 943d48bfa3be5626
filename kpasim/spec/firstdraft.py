"""A first experiment from a few choices: manifest, service time, load, cold start and machine, each with a comment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from kpasim.spec.experiment import Experiment, loads
from kpasim.spec.quick import flow, relative

MANIFEST = resources.files("kpasim").joinpath("data", "service.yaml").read_text(encoding="utf-8")
"""A manifest for those who have none yet."""


@dataclass(frozen=True)
class Draft:
    """The choices.

    Attributes:
        service_time: ``service-time`` of the model.
        cold_start: ``cold-start`` of the model.
        instance: Instance type and its price, as ``cluster.instance-types`` has them.
        provisional: Whether service time or cold start are not the user's own.
    """

    manifest: str
    service_time: Any
    service_source: str
    workload: Mapping[str, Any]
    cold_start: Any
    cold_source: str
    instance: Mapping[str, Any]
    price_source: str
    provisional: bool

    def text(self, out: str | Path) -> str:
        """The experiment as a file that stands in the folder of ``out``."""
        lines = [
            "# A first experiment, by kpasim init. Next: kpasim run FILE, kpasim ui FILE",
            f"service: {flow(relative(self.manifest, Path(out).parent))}",
            "",
            "# The clients. kpasim explain workload.kind lists all kinds, such as replay of a trace",
            f"workload: {flow(dict(self.workload))}",
            "",
            "model:",
            f"  # A request that has the GPU to itself: {self.service_source}",
            f"  service-time: {flow(self.service_time)}",
            f"  # From the creation of a pod to its first response: {self.cold_source}",
            f"  cold-start: {flow(self.cold_start)}",
        ]
        if self.provisional:
            lines.append("  provisional: true     # not measured on your service; delete when the numbers are yours")
        lines += [
            "",
            "cluster:",
            f"  # {self.price_source}",
            f"  instance-types: [{flow(dict(self.instance))}]",
            "",
            "start: warm             # or idled (scaled to zero), or zero (a new revision without a pod)",
            "replications: 200       # runs with other random numbers; more narrow the intervals",
            "seed: 1",
            "",
        ]
        return "\n".join(lines)

    def experiment(self) -> Experiment:
        """The experiment, read as from the working folder.

        Raises:
            ExperimentError: A choice cannot be used.
        """
        return loads(self.text("draft.yaml"), path="kpasim init")
