"""What is checked, and what a check finds."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import get_annotations, isfunction
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal

from kpasim.spec.autoscaler import PREFIX, SPELLINGS, AutoscalerConfig
from kpasim.spec.base import Place, dotted, suggestion
from kpasim.spec.configmaps import ClusterConfig
from kpasim.spec.kserve import ANNOTATION_FIELDS, PREDICTOR
from kpasim.spec.manifest import TEMPLATE_ANNOTATIONS, TEMPLATE_SPEC, ServiceManifest
from kpasim.spec.quantities import duration_text
from kpasim.spec.scaling import Other, Scaling
from kpasim.spec.sharing import sharing
from kpasim.spec.yamlfile import packaged

# A bare manifest is checked without the modules that an experiment takes, and without numpy: they take longer to import
# than the rest of the command.
if TYPE_CHECKING:
    import numpy as np

    from kpasim.arrays import Floats
    from kpasim.spec.experiment import Experiment
    from kpasim.spec.model import ServiceModel
    from kpasim.spec.workload import Hey
    from kpasim.studies.check.demand import Load

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
_SECTIONS = {"workload", "model", "cluster", "config-autoscaler", "start", "horizon", "cost"}


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
        changes: The fix as settings of the experiment, by path; empty where it is nothing to try.
        tried: What the fix did when it was simulated, empty where it was not.
    """

    level: Level
    name: str
    place: str
    what: str
    why: str
    fix: str
    path: str = ""
    line: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    tried: str = ""


@dataclass(frozen=True)
class Case:
    """What is checked: always a Service, and the rest of an experiment where there is one."""

    service: ServiceManifest
    experiment: Experiment | None = None
    cluster: ClusterConfig = field(default_factory=ClusterConfig, repr=False)

    @cached_property
    def _random(self) -> np.random.Generator:
        import numpy as np

        return np.random.default_rng(0)

    @property
    def model(self) -> ServiceModel | None:
        """The model of the service."""
        return self.experiment.model if self.experiment else None

    @property
    def config(self) -> AutoscalerConfig:
        """The cluster's settings."""
        return self.experiment.config_autoscaler if self.experiment else self.cluster.autoscaler

    @property
    def has_numbers(self) -> bool:
        """Whether all settings of the revision are finite; Knative takes NaN and Inf for numbers."""
        revision = self.service.revision
        values = (
            revision.target_value, revision.total_value, revision.target_burst_capacity, revision.panic_threshold,
            revision.panic_window_s,
        )  # fmt: skip
        return all(math.isfinite(value) for value in values)

    @property
    def instance_type(self) -> str:
        """Name of the instance type that pods get first, empty where it has none."""
        if self.experiment is None:
            return ""
        if self.experiment.cluster.nodes:
            return self.experiment.cluster.nodes.type
        return self.experiment.instance_types[0].name if self.experiment.instance_types else ""

    @cached_property
    def pod_start_s(self) -> Floats:
        """Draws of a pod's start on a machine that is there, up to its first response [s]."""
        import numpy as np

        total = np.zeros(_DRAWS)
        for stage in self.model.cold_start.stages if self.model else ():
            total += stage.per_instance_type.get(self.instance_type, stage.time).ppf(self._random.random(_DRAWS))
            if stage.bandwidth:
                total += stage.bandwidth.size / stage.bandwidth.rate
        return total

    @cached_property
    def start_s(self) -> tuple[float, float]:
        """Median and 95 % quantile of a pod's start up to its first response, with a node where one has to come."""
        if self.model is None or self.experiment is None:
            return math.nan, math.nan

        total = self.pod_start_s.copy()
        nodes = self.experiment.cluster.nodes
        if nodes and (nodes.max or 0) > nodes.count and self.needed_pods > self.permanent_pods:
            total += nodes.provision.ppf(self._random.random(_DRAWS))
        return percentile(total, 50), percentile(total, 95)

    @property
    def most_timeout_s(self) -> float:
        """Longest timeoutSeconds that the cluster allows."""
        defaults = self.experiment.defaults if self.experiment else self.cluster.defaults
        return defaults.max_timeout_s

    @property
    def permanent_pods(self) -> float:
        """Pods that fit on the nodes that are always there."""
        nodes = self.experiment.cluster.nodes if self.experiment else None
        gpus = self.experiment.gpus_per_pod if self.experiment else 0
        return nodes.count * (nodes.gpus_per_node // gpus) if nodes and gpus else math.inf

    @property
    def most_machines(self) -> float:
        """Pods that fit on the nodes or into the stock of the instance types."""
        if self.experiment is None:
            return math.inf
        nodes, gpus = self.experiment.cluster.nodes, self.experiment.gpus_per_pod
        if nodes and gpus:
            return (nodes.count if nodes.max is None else nodes.max) * (nodes.gpus_per_node // gpus)
        stocks = [one.stock for one in self.experiment.instance_types]
        return math.inf if not stocks or None in stocks else sum(stock for stock in stocks if stock is not None)

    @cached_property
    def container_start_s(self) -> tuple[float, float]:
        """Median and 95 % quantile of the time from a container's start to its first response."""
        if self.model is None:
            return math.nan, math.nan
        import numpy as np

        total = np.zeros(_DRAWS)
        for stage in self.model.cold_start.stages:
            if stage.kind == "start" and stage.when == "before-ready":
                total += stage.per_instance_type.get(self.instance_type, stage.time).ppf(self._random.random(_DRAWS))
        return percentile(total, 50), percentile(total, 95)

    @cached_property
    def service_s(self) -> tuple[float, float, float]:
        """Median, mean and 99 % quantile of the service time of a request that has its pod to itself."""
        if self.model is None:
            return math.nan, math.nan, math.nan
        import numpy as np

        model, points = self.model.service_time, (np.arange(_DRAWS) + 0.5) / _DRAWS
        kinds = [(one.share, one.time) for one in model.classes] or [(1.0, model.time)]
        shares = np.array([share for share, _ in kinds])
        drawn = np.concatenate([time.ppf(points[:: max(1, round(shares.sum() / share))]) for share, time in kinds])
        factor = model.per_instance_type.get(self.instance_type, 1.0)
        mean = sum(share * time.mean_s() for share, time in kinds) / float(shares.sum())
        return factor * percentile(drawn, 50), factor * mean, factor * percentile(drawn, 99)

    @cached_property
    def first_byte_s(self) -> float:
        """Median time from the beginning of the work on a request to its first byte."""
        first = self.model.service_time.first_byte if self.model else None
        if first is None:
            return self.service_s[0]
        import numpy as np

        return float(first.ppf(np.array([0.5]))[0])

    @property
    def slots(self) -> float:
        """Requests a pod works on at once."""
        limit = self.service.container_concurrency or math.inf
        return min(limit, sharing(self.experiment).slots or math.inf) if self.experiment else limit

    @cached_property
    def pod_rate(self) -> float:
        """Most requests per second that a pod finishes: the best of k / (mean x slow-down of k), k up to its slots."""
        mean, factors = self.service_s[1], self.model.service_time.slowdown if self.model else ()
        if mean == 0.0:
            return math.inf
        if not factors:
            return self.slots / mean
        import numpy as np

        from kpasim.policy.pods import slowdown

        slow = np.array(factors)
        most = int(min(self.slots, max(100, len(slow))))
        return max(k / (mean * slowdown(slow, k)) for k in range(1, most + 1))

    @property
    def scaling(self) -> Scaling | None:
        """The autoscaler, None where it is not simulated."""
        try:
            return self.experiment.scaling if self.experiment else self.service.scaling
        except ValueError:
            return None

    @property
    def has_other_autoscaler(self) -> bool:
        """Whether something that is not Knative's autoscaler scales the pods; it reads none of Knative's settings."""
        return isinstance(self.scaling, Other)

    @property
    def most_pods(self) -> float:
        """Most pods the autoscaler may ask for."""
        max_scale = self.service.revision.max_scale
        return self.scaling.max_of(max_scale) if isinstance(self.scaling, Other) else max_scale or math.inf

    @cached_property
    def clients(self) -> int | None:
        """Requests in flight at once in a closed loop."""
        return self.hey.concurrency if self.hey else None

    @property
    def hey(self) -> Hey | None:
        """The load where it is hey's."""
        if self.experiment is None:
            return None
        from kpasim.spec.workload import Hey

        workload = self.experiment.workload
        return workload if isinstance(workload, Hey) else None

    @cached_property
    def load(self) -> Load | None:
        """The load of an open loop, None for a closed one or a bare manifest."""
        if self.experiment is None:
            return None
        from kpasim.studies.check.demand import load_of

        return load_of(self.experiment.workload)

    @cached_property
    def in_flight(self) -> float:
        """Most requests in flight at once that the load brings where none waits; 1 without a load."""
        if self.clients:
            return float(self.clients)
        return max(self.load.in_flight(self.service_s[1]), 1.0) if self.load else 1.0

    @property
    def needed_pods(self) -> float:
        """Pods that the load asks for, within max-scale."""
        return min(max(self.pods_for(self.demand), 1), self.most_pods)

    @property
    def demand(self) -> float:
        """Most that the load brings of the autoscaler's metric: requests in flight, or requests per second."""
        if self.service.revision.metric != "rps":
            return self.in_flight
        window_s = self.service.revision.panic_window_s
        if self.load:
            return self.load.in_flight(window_s) / window_s
        return (self.clients or 1) / self.service_s[1] if self.service_s[1] else math.inf

    @property
    def has_bursts(self) -> bool:
        """Whether the load needs more pods at its peak than on average."""
        if self.load is None or not self.load.end_s:
            return False
        per_second = len(self.load.sent_s) / self.load.end_s
        usual = per_second if self.service.revision.metric == "rps" else per_second * self.service_s[1]
        return self.needed_pods > max(self.pods_for(usual), 1)

    @cached_property
    def warm_pods(self) -> int:
        """Pods that are ready when the first request comes."""
        state = self.experiment.start.state if self.experiment else ""
        if state == "zero":
            return 0
        return max(self.service.revision.min_scale, int(state == "warm" and not self.warm_pod_is_gone))

    @property
    def patience_s(self) -> float:
        """The client's timeout; infinite without one."""
        return (self.experiment.workload.timeout_s if self.experiment else None) or math.inf

    @property
    def limit_s(self) -> float:
        """How long a request may take: timeoutSeconds, or the client's timeout where that is shorter."""
        return min(self.service.timeout_s, self.patience_s)

    @property
    def zero_after_s(self) -> float:
        """Least time without a request after which the last pod goes; infinite where one always stays."""
        revision = self.service.revision
        if revision.min_scale or not revision.enable_scale_to_zero:
            return math.inf
        kept_s = max(revision.pod_retention_s, 2.0)
        return revision.stable_window_s + revision.scale_down_delay_s + kept_s

    @property
    def warm_pod_is_gone(self) -> bool:
        """Whether the pods of a warm start are gone before the first request comes."""
        if self.experiment is None or self.experiment.start.state != "warm":
            return False
        first_s = float(self.load.sent_s[0]) if self.load and len(self.load.sent_s) else 0.0
        return self.experiment.start.for_s + first_s > self.zero_after_s

    @property
    def begins_cold(self) -> bool:
        """Whether the first request meets no pod."""
        return self.experiment is not None and self.warm_pods == 0

    @cached_property
    def pauses(self) -> int:
        """How often the load pauses for so long that the last pod goes."""
        return self.load.silences(self.zero_after_s) if self.load and math.isfinite(self.zero_after_s) else 0

    @cached_property
    def wait_for_pod_s(self) -> float:
        """Longest wait for a pod that has to start [s]; 0 where the pods that are ready bear the load."""
        start = self.start_s[1]
        if self.begins_cold or self.pauses:
            return start
        if self.most_pods <= self.warm_pods:
            return 0.0
        pods = max(self.warm_pods, 1)
        slots = pods * self.slots
        ratio = self.in_flight / slots
        wait_s = (ratio - 1) * self.service_s[1]  # of clients that wait for their responses
        if self.load:
            ratio, wait_s = self.load.waits_by_chance(pods * self.pod_rate, slots, self.service_s[1])
        # While a pod starts, requests beyond the capacity of the ready ones queue up; those that come later are
        # served by the new pod.
        return min((1 - 1 / ratio) * start, wait_s) if ratio > 1 else 0.0

    def pods_for(self, demand: float) -> float:
        """Pods the autoscaler asks for with so many requests in flight, or per second."""
        return math.ceil(demand / self.service.revision.target_value - 1e-9) if math.isfinite(demand) else demand

    def finding(
        self,
        rule: str,
        variant: str = "",
        /,
        *,
        place: str | Place = "",
        changes: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> Finding:
        """A finding about the Service or the experiment, with the line of the place or of what is nearest to it.

        Rule, variant and values are as for `in_words`, whose texts know the case itself, too. The place and the changes
        are for rules that do not have their own.
        """
        words = in_words(rule, variant, case=self, service=self.service, revision=self.service.revision, **values)
        words |= {"changes": changes} if changes else {}
        place = place or words["place"]
        of_experiment = str((self.experiment and self.experiment.path) or "")
        path = self.service.path or of_experiment
        if isinstance(place, tuple):
            words |= {"place": dotted(self.service.place(place)), "line": self.service.line(*place)}
            return Finding(**words, path=path)
        parts: Place = (*TEMPLATE_SPEC, place)
        key = next((one for one in (PREFIX + place, place) if one in self.service.annotations), None)
        words["place"] = place
        if key is not None or place in SPELLINGS:
            parts = (*TEMPLATE_ANNOTATIONS, key or "")
            words["place"] = f"annotations.{place}"
            if self.service.kserve and place in ANNOTATION_FIELDS:
                # As an annotation KServe would drop it.
                parts = (*PREDICTOR, ANNOTATION_FIELDS[place])
                words["place"] = dotted(parts)
                words["fix"] += f" KServe's field is {words['place']}."
        elif place in {"readinessProbe", "startupProbe", "livenessProbe", "resources.limits"}:
            parts = (*TEMPLATE_SPEC, "containers", 0, *place.split("."))
        elif place == "metadata.annotations":
            parts = ("metadata", "annotations")
        elif place.partition(".")[0] in _SECTIONS:
            line = self.experiment.line(place) if self.experiment else None
            return Finding(**words, path=of_experiment, line=line)
        return Finding(**words, path=path, line=self.service.line(*parts))


Rule = Callable[[Case], Iterator[Finding]]
"""Looks at a case and yields what a user may not expect."""


def rules_in(module: str) -> tuple[Rule, ...]:
    """Rules of a module, as they follow each other in it: every public function of its own that yields findings."""
    return tuple(
        one
        for name, one in vars(sys.modules[module]).items()
        if isfunction(one)
        and one.__module__ == module
        and get_annotations(one, eval_str=True)["return"] == Iterator[Finding]
        and not name.startswith("_")
    )


class _Words(Formatter):
    """Puts values into texts."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        return spoken(value) if format_spec == "time" else super().format_field(value, format_spec)


def in_words(rule: str, variant: str = "", /, **values: Any) -> dict[str, Any]:
    """Name, level, texts and changes of a finding, and its place where that is always the same.

    Args:
        rule: Its name in kpasim/data/findings.toml.
        variant: The table below it whose entries take the place of its own; empty for none.
        values: What the texts name in braces.
    """
    known = packaged("findings.toml")[rule]
    known = {**known, **known[variant]} if variant else known
    texts = {key: known[key] for key in ("level", "place", "what", "why", "fix") if key in known}
    changes = known.get("changes", {})
    return {"name": rule, "changes": changes} | {key: _Words().vformat(one, (), values) for key, one in texts.items()}


def write_nearest(word: str, known: Iterable[str], otherwise: str = "Remove it.") -> str:
    """The fix of a name that nothing reads: to write the known one that is near, where there is one."""
    hint = suggestion(word, known)
    return f"Write {hint.removeprefix('did you mean ').rstrip('?')}." if "did you mean" in hint else otherwise


def percentile(values: Floats, share: float) -> float:
    """A percentile; numpy's own would import `numpy.ma`, which takes as long as all rules."""
    import numpy as np

    return float(np.interp(share / 100 * (len(values) - 1), np.arange(len(values)), np.sort(values)))


def spoken(seconds: float) -> str:
    """Seconds as people say them."""
    return duration_text(round(seconds)) if seconds >= 10 else f"{seconds:.2g}s"
