"""Fixes that are settings, simulated before they are advised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kpasim.errors import KpasimError
from kpasim.spec.manifest import TEMPLATE_SPEC
from kpasim.studies.check.case import LEVELS, Case, Finding, spoken

if TYPE_CHECKING:
    from kpasim.spec.experiment import Experiment

REPLICATIONS = 8
"""Replications of each trial, under the random numbers of the experiment."""
MOST_REQUESTS = 200_000
"""Requests of all replications together above which nothing is tried."""
_PODS = ("utilisation",)
"""Rules whose fix saves pods; all others serve the requests."""
_DOUBLINGS = 3
SLOWER = 1.25
"""How many times as long as without any wait, the mean as well as the slowest, hurts nobody."""


@dataclass(frozen=True)
class _Measure:
    """What a trial is judged by.

    Attributes:
        failed: Share of the requests without a good response: errors, unsent, unfinished.
        mean_s: Mean latency of the successes.
        p95_s: 95 % quantile of the latency of all, infinite where too many failed.
        pod_s: Pod-seconds.
    """

    failed: float
    mean_s: float
    p95_s: float
    pod_s: float

    def beats(self, other: _Measure, name: str) -> bool:
        """Whether it is better by 2 % or more, of pod-seconds 1 %, in what the rule of that name is about."""
        if name in _PODS:
            return self.pod_s < 0.99 * other.pod_s and self.failed <= other.failed + 1e-3
        if abs(self.failed - other.failed) > max(1e-4, 0.02 * other.failed):
            return self.failed < other.failed
        return self.p95_s < 0.98 * other.p95_s or self.mean_s < 0.98 * other.mean_s

    def is_harmless(self, experiment: Experiment) -> bool:
        """Whether nothing fails and latency is hardly more than service time."""
        _, mean_s, most_s = Case(experiment.service, experiment).service_s
        return self.failed == 0.0 and self.mean_s <= SLOWER * mean_s and self.p95_s <= SLOWER * most_s

    def against(self, other: _Measure) -> str:
        """What changed from the other to this one."""
        parts = [f"no success {_percent(other.failed)} -> {_percent(self.failed)}"]
        if math.isfinite(other.p95_s) or math.isfinite(self.p95_s):
            parts.append(f"p95 {_latency(other.p95_s)} -> {_latency(self.p95_s)}")
        if math.isfinite(other.mean_s) and math.isfinite(self.mean_s):
            parts.append(f"mean of successes {_latency(other.mean_s)} -> {_latency(self.mean_s)}")
        parts.append(f"pod-seconds {other.pod_s:.4g} -> {self.pod_s:.4g}")
        return ", ".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _latency(value_s: float) -> str:
    return spoken(value_s) if math.isfinite(value_s) else "none"


def tried(experiment: Experiment, findings: Sequence[Finding]) -> list[Finding]:
    """The findings, their fixes simulated: what helped says by how much, and what did not is no longer advised."""
    wanted = [one for one in findings if one.changes and one.level != "note"]
    if not wanted:
        return list(findings)
    try:
        before = _measured(experiment)
    except KpasimError as error:
        said = f"Not tried: {str(error).splitlines()[0]}"
        return [replace(one, tried=said) if one in wanted else one for one in findings]
    found = [_tried(experiment, one, before) if one in wanted else one for one in findings]
    return sorted(found, key=lambda one: LEVELS.index(one.level))


def _tried(experiment: Experiment, finding: Finding, before: _Measure) -> Finding:
    changes = dict(finding.changes)
    after = None
    for _ in range(_DOUBLINGS):
        try:
            after = _measured(_changed(experiment, changes))
        except KpasimError:
            break
        if after.beats(before, finding.name):
            fix = finding.fix if changes == finding.changes else f"{_words(changes)} helps; less did not."
            said = f"in {REPLICATIONS} simulated runs {_words(changes)}: {after.against(before)}."
            return replace(finding, fix=fix, changes=changes, tried=said)
        changes = {path: _doubled(value) for path, value in changes.items()}
    said = f"in {REPLICATIONS} simulated runs {_words(finding.changes)} did not help"
    harmless = before.is_harmless(experiment)
    return replace(
        finding,
        level="note" if harmless else finding.level,
        fix="None for this load: no request fails or waits for long."
        if harmless
        else "No single setting of this experiment; see why.",
        changes={},
        tried=f"{said}: {after.against(before)}." if after else f"{said}, or is refused.",
    )


def _words(changes: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{path.removeprefix('service.').removeprefix('annotations.')}: {value}" for path, value in changes.items()
    )


def _doubled(value: Any) -> Any:
    if isinstance(value, str) and value.endswith("s") and value[:-1].isdigit():
        return f"{2 * int(value[:-1])}s"
    return 2 * value if isinstance(value, int) and not isinstance(value, bool) else value


def _changed(experiment: Experiment, changes: Mapping[str, Any]) -> Experiment:
    settings = {path: value for path, value in changes.items() if not path.startswith("startupProbe.")}
    changed = experiment.with_settings(settings) if settings else experiment
    edits = []
    for path in changes.keys() - settings.keys():
        for index, one in enumerate(changed.service.data["spec"]["template"]["spec"]["containers"]):
            if "startupProbe" in one:
                edits.append(((*TEMPLATE_SPEC, "containers", index, *path.split(".")), changes[path]))
    if not edits:
        return changed
    service = changed.service.with_edits(edits, changed.config_autoscaler, changed.defaults)
    return changed.with_service(service)


def _measured(experiment: Experiment) -> _Measure:
    """What eight replications give.

    Raises:
        KpasimError: It cannot be simulated, or is too large to be tried.
    """
    from kpasim.errors import RunError
    from kpasim.studies.check.demand import load_of
    from kpasim.studies.run import simulate

    load = load_of(experiment.workload)
    if load is not None and len(load.sent_s) * REPLICATIONS > MOST_REQUESTS:
        raise RunError(f"the load has {len(load.sent_s)} requests (compare the settings with kpasim sweep)")
    figures = simulate(experiment, replications=REPLICATIONS).figures

    def mean(name: str) -> float:
        return float(np.mean(figures[name])) if name in figures else 0.0

    def among_all(name: str) -> float:
        values = figures[name][np.isfinite(figures[name])]
        return float(values.mean()) if len(values) == REPLICATIONS else math.inf

    sent = mean("requests") + mean("never_sent")
    lost = mean("errors") + mean("in_flight") + mean("never_sent")
    return _Measure(
        lost / max(sent, 1.0), among_all("latency_s.mean"), among_all("latency_all_s.p95"), mean("pod_seconds")
    )
