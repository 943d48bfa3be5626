"""What is checked, and what a check finds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from kpasim.spec.autoscaler import PREFIX, SPELLINGS, AutoscalerConfig
from kpasim.spec.base import Place, dotted
from kpasim.spec.experiment import Experiment
from kpasim.spec.manifest import TEMPLATE_ANNOTATIONS, TEMPLATE_SPEC, ServiceManifest
from kpasim.spec.model import ServiceModel
from kpasim.spec.quantities import duration_text
from kpasim.spec.sharing import sharing
from kpasim.spec.workload import Batches, Bursts, Constant, Diurnal, Hey, Poisson, Ramp, Steps

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")

DRAIN_S = 30.0
"""Quiet time queue-proxy waits for after SIGTERM before the container is told to stop (Knative, cmd/queue)."""
QUEUE_PER_POD = 11
"""Requests a pod holds per unit of `containerConcurrency` on the direct path: one running, ten waiting."""
KUBELET_PERIOD_S = 10.0
"""Period of the kubelet's probes where the manifest gives none."""
SLOW_START_S = 30.0
"""A start that takes longer than this shapes what users see."""
_DRAWS = 4_000


@dataclass(frozen=True)
class Finding:
    """One thing a user may not expect.

    Attributes:
        level: `error`: it will not work; `warning`: it will hurt; `note`: good to know.
        name: Name of the rule.
        place: Key it is about.
        what: What is surprising.
        why: Why it is so.
        fix: What to write instead, or what to do.
        path: File, empty where there is none.
        line: Line in the file.
    """

    level: Level
    name: str
    place: str
    what: str
    why: str
    fix: str
    path: str = ""
    line: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """What is checked: always a Service, and the rest of an experiment where there is one."""

    service: ServiceManifest
    experiment: Experiment | None = None
    _random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0), repr=False)

    @property
    def model(self) -> ServiceModel | None:
        """The model of the service."""
        return self.experiment.model if self.experiment else None

    @property
    def config(self) -> AutoscalerConfig:
        """The cluster's settings."""
        return self.experiment.config_autoscaler if self.experiment else AutoscalerConfig()

    @property
    def has_numbers(self) -> bool:
        """Whether all settings of the revision are finite; Knative takes NaN and Inf for numbers."""
        revision = self.service.revision
        values = (
            revision.target_value, revision.total_value, revision.target_burst_capacity, revision.panic_threshold,
            revision.panic_window_s,
        )  # fmt: skip
        return all(math.isfinite(value) for value in values)

    @cached_property
    def start_s(self) -> tuple[float, float]:
        """Median and 95 % quantile of a pod's start up to its first answer, without waiting for a machine."""
        if self.model is None:
            return math.nan, math.nan
        total = np.zeros(_DRAWS)
        for stage in self.model.cold_start.stages:
            total += stage.time.ppf(self._random.random(_DRAWS))
            if stage.bandwidth:
                total += stage.bandwidth.size / stage.bandwidth.shared_bandwidth
        return float(np.median(total)), float(np.percentile(total, 95))

    @cached_property
    def container_start_s(self) -> float:
        """95 % quantile of the time from a container's start to its first answer."""
        if self.model is None:
            return math.nan
        total = np.zeros(_DRAWS)
        for stage in self.model.cold_start.stages:
            if stage.kind == "start" and stage.when == "before-ready":
                total += stage.time.ppf(self._random.random(_DRAWS))
        return float(np.percentile(total, 95))

    @cached_property
    def service_s(self) -> tuple[float, float, float]:
        """Median, mean and 99 % quantile of the service time."""
        if self.model is None:
            return math.nan, math.nan, math.nan
        time = self.model.service_time.time
        drawn = time.ppf((np.arange(_DRAWS) + 0.5) / _DRAWS)
        return float(np.median(drawn)), time.mean_s(), float(np.percentile(drawn, 99))

    @property
    def slots(self) -> float:
        """Requests a pod works on at once."""
        limit = self.service.container_concurrency or math.inf
        return min(limit, sharing(self.experiment).slots or math.inf) if self.experiment else limit

    @property
    def most_pods(self) -> float:
        """Most pods the autoscaler may ask for."""
        return self.service.revision.max_scale or math.inf

    @cached_property
    def clients(self) -> int | None:
        """Requests in flight at once in a closed loop."""
        workload = self.experiment.workload if self.experiment else None
        return workload.concurrency if isinstance(workload, Hey) else None

    @cached_property
    def peak_rate(self) -> float | None:
        """Highest lasting rate of an open loop, in requests per second."""
        workload = self.experiment.workload if self.experiment else None
        if isinstance(workload, Constant | Poisson):
            return workload.rate
        if isinstance(workload, Steps):
            return max(phase.rate for phase in workload.phases)
        if isinstance(workload, Ramp):
            return max(workload.from_rate, workload.to_rate)
        if isinstance(workload, Diurnal):
            return workload.mean * (1 + workload.amplitude)
        if isinstance(workload, Bursts):
            return workload.high
        if isinstance(workload, Batches):
            return workload.size / workload.every_s
        return None

    def pods_for(self, requests: float) -> int:
        """Pods the autoscaler asks for with so many requests in flight."""
        return math.ceil(requests / self.service.revision.target_value - 1e-9)

    def fail(self, name: str, place: str | Place, what: str, why: str, fix: str) -> Finding:
        """A finding of level `error`."""
        return self._found("error", name, place, what, why, fix)

    def warn(self, name: str, place: str | Place, what: str, why: str, fix: str) -> Finding:
        """A finding of level `warning`."""
        return self._found("warning", name, place, what, why, fix)

    def note(self, name: str, place: str | Place, what: str, why: str, fix: str) -> Finding:
        """A finding of level `note`."""
        return self._found("note", name, place, what, why, fix)

    def _found(self, level: Level, name: str, place: str | Place, what: str, why: str, fix: str) -> Finding:
        """A finding about the Service or the experiment, with the line of the place or of what is nearest to it."""
        path = self.service.path or str((self.experiment and self.experiment.path) or "")
        if isinstance(place, tuple):
            return Finding(level, name, dotted(place), what, why, fix, path, self.service.line(*place))
        parts: Place = (*TEMPLATE_SPEC, place)
        shown = place
        key = next((one for one in (PREFIX + place, place) if one in self.service.annotations), None)
        if key is not None or place in SPELLINGS:
            parts = (*TEMPLATE_ANNOTATIONS, key or "")
            shown = f"annotations.{place}"
        elif place in {"readinessProbe", "startupProbe", "livenessProbe", "resources.limits"}:
            parts = (*TEMPLATE_SPEC, "containers", 0, *place.split("."))
        elif place == "metadata.annotations":
            parts = ("metadata", "annotations")
        elif place.partition(".")[0] in {"workload", "model", "cluster", "config-autoscaler", "start"}:
            path = str((self.experiment and self.experiment.path) or "")
            line = self.experiment.line(place) if self.experiment else None
            return Finding(level, name, place, what, why, fix, path, line)
        return Finding(level, name, shown, what, why, fix, path, self.service.line(*parts))


Rule = Callable[[Case], Iterator[Finding]]
"""Looks at a case and yields what a user may not expect."""


def spoken(seconds: float) -> str:
    """Seconds as people say them."""
    return duration_text(round(seconds)) if seconds >= 10 else f"{seconds:.2g}s"
