"""Which setting of a Service costs most: each one that keeps pods is relaxed, with the same random numbers."""

from typing import NamedTuple

import numpy as np

from kpasim.errors import KpasimError
from kpasim.results.summary import error_share
from kpasim.spec.experiment import Experiment
from kpasim.spec.quantities import duration_text
from kpasim.studies.run import Result, simulate

REPLICATIONS = 10
"""Replications that settings are compared over."""
MOST_REQUESTS = 200_000
"""Requests that may be simulated for this: the user did not ask for it."""
WORTH_SAYING = 0.02
"""Share of the cost below which a setting is not named."""
ANNOTATION = "service.annotations."


class Dearest(NamedTuple):
    """The setting that costs most.

    Attributes:
        path: The setting.
        now: Its value now.
        instead: The value that costs less.
        saved: Share of the cost that this saves.
        p95_s: How much longer 95 % of the successful requests take with it [s].
        errors: Further share of requests that fail with it.
    """

    path: str
    now: str
    instead: str
    saved: float
    p95_s: float
    errors: float

    def text(self) -> str:
        """The setting, what it costs and what the other value does, in words."""
        name = self.path.removeprefix(ANNOTATION)
        text = f"{name} {self.now} costs most: with {self.instead} the run costs {100 * self.saved:.0f} % less"
        text += f", p95 {self.p95_s:+.2g} s" if abs(self.p95_s) >= 0.05 else ", p95 the same"
        if self.errors >= 0.001:
            text += f", and {100 * self.errors:.2g} % more requests fail"
        return f"{text} (mean of {REPLICATIONS} runs)"


def relaxed(experiment: Experiment) -> dict[str, tuple[str, str]]:
    """Settings that keep more pods than requests need: the value now, and one that keeps fewer."""
    revision = experiment.revision
    found: dict[str, tuple[str, str]] = {}
    if revision.metric == "concurrency" and revision.target_value < revision.total_value:
        share = 100 * revision.target_value / revision.total_value
        found["target-utilization-percentage"] = (f"{share:g}", "100")
    if revision.min_scale:
        found["min-scale"] = (str(revision.min_scale), "0")
    for name, value_s, least_s in (
        ("scale-down-delay", revision.scale_down_delay_s, 0),
        ("scale-to-zero-pod-retention-period", revision.pod_retention_s, 0),
        ("window", revision.stable_window_s, 60),
    ):
        if value_s > least_s:
            found[name] = (duration_text(value_s), duration_text(least_s))
    return found


def dearest(result: Result) -> Dearest | None:
    """The setting of a run that costs most; ``None`` where none costs 2 %, or where finding out would take long."""
    candidates = relaxed(result.experiment)
    count = min(result.replications, REPLICATIONS)
    requests = float(np.max(result.figures["requests"], initial=0.0))
    if result.cost_figures is None or not result.cost_figures["amount"].any() or result.engine != "compiled":
        return None
    if requests * count * len(candidates) > MOST_REQUESTS:
        return None
    # Pods that stay are billed to the end of the run: all settings are billed to one end.
    stays = result.params.stays and result.experiment.horizon_s is None
    until_s = float(result.horizon_s[:count].max()) if stays else None
    base = simulate(result.experiment, replications=count, engine="compiled", until_s=until_s) if stays else result
    found = [one for name, values in candidates.items() if (one := _tried(base, name, values, until_s, count))]
    best = max(found, key=lambda one: one.saved, default=None)
    return best if best and best.saved >= WORTH_SAYING else None


def _tried(base: Result, name: str, values: tuple[str, str], until_s: float | None, count: int) -> Dearest | None:
    path = ANNOTATION + name
    try:
        variant = base.experiment.with_setting(path, values[1])
        other = simulate(variant, replications=count, engine="compiled", until_s=until_s)
    except KpasimError:
        return None

    def mean(run: Result, figure: str) -> float:
        known = run.figures[figure][:count]
        return float(np.mean(known[~np.isnan(known)])) if not np.isnan(known).all() else 0.0

    before, after = (float(np.mean(run.costs_by_name["cost.amount"][:count])) for run in (base, other))
    later = mean(other, "latency_s.p95") - mean(base, "latency_s.p95")
    failed = [float(np.nanmean(error_share(run.figures)[:count])) for run in (base, other)]
    return Dearest(path, *values, 1 - after / before if before else 0.0, later, failed[1] - failed[0])
