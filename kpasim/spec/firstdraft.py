"""A first experiment from a few choices: manifest, service time, load, cold start and machine, each with a comment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from kpasim.spec.experiment import Experiment, loads
from kpasim.spec.quick import flow, relative
from kpasim.spec.yamlfile import packaged_text

MANIFEST = packaged_text("service.yaml")
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
        provisional = "provisional: true     # not measured on your service; delete when the numbers are yours"
        return Template(packaged_text("first-experiment.yaml")).substitute(
            service=flow(relative(self.manifest, Path(out).parent)),
            workload=flow(dict(self.workload)),
            service_source=self.service_source,
            service_time=flow(self.service_time),
            cold_source=self.cold_source,
            cold_start=flow(self.cold_start),
            provisional=f"\n  {provisional}" if self.provisional else "",
            price_source=self.price_source,
            instance=flow(dict(self.instance)),
        )

    def experiment(self) -> Experiment:
        """The experiment, read as from the working folder.

        Raises:
            ExperimentError: A choice cannot be used.
        """
        return loads(self.text("draft.yaml"), path="kpasim init")
