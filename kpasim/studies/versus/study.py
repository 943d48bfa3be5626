"""Simulates one load under several autoscalers, and compares each with the experiment's own."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from kpasim.engines import params as of
from kpasim.engines.lower import lower
from kpasim.errors import ExperimentError, RunError
from kpasim.results.paired import Difference, difference
from kpasim.results.summary import Figures, finite
from kpasim.results.tables import Tables
from kpasim.studies.against import simulate_to_one_end
from kpasim.studies.common import stretch_in_common
from kpasim.studies.execution.engine import Engine
from kpasim.studies.judge import Judgement, judge
from kpasim.studies.run import Result
from kpasim.studies.search.slo import Slo
from kpasim.studies.versus.rivals import Rival

FIGURES = (
    ("p50", "latency_s.p50", "s"),
    ("p95", "latency_s.p95", "s"),
    ("failed", "failed_share", "of requests"),
    ("waited for a cold start", "cold_start_share", "of requests"),
    ("GPU-hours", "gpu_seconds", "h"),
)
"""What is compared: title, name among the figures, unit. A figure of money follows where there are prices."""
HOLDS = {of.ACTIVATORS: "activator", of.SERVICE: "nobody", of.INTERCEPTOR: "interceptor", of.ROUTER: "handle"}
"""Who holds requests while no pod is ready, by data plane."""
FAILED_SHARE = 0.01
"""Without SLOs, autoscalers under which more than this share of requests fails are not called the cheapest."""
EQUAL = (
    "Held equal: requests, service times, cold starts (pod by pod), nodes, prices, and the time that is billed. "
    "Not equal: the metric and its clock, who holds requests at zero pods, admission to pods, load balancing."
)
"""What a comparison of autoscalers holds equal."""


@dataclass
class Versus:
    """One load under several autoscalers.

    Attributes:
        rivals: The autoscalers; the first is the experiment's own.
        results: What each left, in the same order.
        judgements: Verdicts on the SLOs, for each autoscaler.
        end_s: End of all runs from the start of the load [s], ``None`` where each ends when its pods are gone.
        idled: Whether all begin in the state that they lead to after a pause, instead of with a warm pod.
    """

    rivals: Sequence[Rival]
    results: Sequence[Result] = field(repr=False)
    judgements: Sequence[Sequence[Judgement]] = field(repr=False)
    end_s: float | None
    idled: bool

    @property
    def names(self) -> list[str]:
        """Names of the autoscalers."""
        return [one.name for one in self.rivals]

    @cached_property
    def shown(self) -> list[Tables]:
        """The same replication of each autoscaler: the one with the median test duration of the first."""
        return [result.tables(self.results[0].representative) for result in self.results]

    @property
    def shown_s(self) -> float:
        """End of the last of these [s]."""
        return max(float(result.horizon_s[self.results[0].representative]) for result in self.results)

    @property
    def columns(self) -> list[tuple[str, str, str]]:
        """What is compared: title, name among the figures, unit."""
        bills = [one.cost for one in self.results]
        if any(bill is None for bill in bills):
            return [*FIGURES]
        month = all(bill is not None and bill["per_month"] is not None for bill in bills)
        currency = str((bills[0] or {})["currency"])
        money = ("cost per month", "cost.per_month") if month else ("cost", "cost.amount")
        return [*FIGURES, (*money, currency)]

    def figures(self, place: int) -> Figures:
        """Figures of one autoscaler, one value per replication."""
        figures = self.results[place].all_figures
        sent = np.maximum(figures["requests"], 1)
        return figures | {"failed_share": figures["errors"] / sent}

    def differences(self, place: int) -> dict[str, Difference]:
        """How one autoscaler differs from the first in each figure; pairs of replications met the same load."""
        mine, base, columns = self.figures(place), self.figures(0), self.columns
        count = len(columns) * (len(self.rivals) - 1)
        return {name: difference(mine[name], base[name], figures=count) for _, name, _ in columns}

    def means(self, place: int) -> dict[str, float]:
        """Mean of each figure of one autoscaler; NaN without a value."""
        found = {}
        for _, name, _ in self.columns:
            values = self.figures(place)[name]
            there = values[np.isfinite(values)]
            found[name] = float(np.mean(there)) if len(there) else math.nan
        return found

    def holds(self, place: int) -> str:
        """Who holds requests while no pod is ready."""
        return HOLDS[self.results[place].params.data_plane]

    def meets(self, place: int) -> bool:
        """Whether one autoscaler meets all SLOs; without any, whether it serves requests (see ``FAILED_SHARE``)."""
        if self.judgements[place]:
            return all(one.met for one in self.judgements[place])
        return self.means(place)["failed_share"] <= FAILED_SHARE

    @property
    def cheapest(self) -> list[int]:
        """Places of the cheapest autoscalers that meet all SLOs: those that cost significantly more are left out.

        Empty where none meets them. Without prices GPU-hours are compared.
        """
        able = [place for place in range(len(self.rivals)) if self.meets(place)]
        name = self.columns[-1][1]
        able = [place for place in able if math.isfinite(self.means(place)[name])]
        if not able:
            return []
        best = min(able, key=lambda place: self.means(place)[name])
        count = max(1, len(able) - 1)
        values = {place: self.figures(place)[name] for place in able}
        ties = [
            place
            for place in able
            if place != best and not difference(values[place], values[best], figures=count).significant
        ]
        return [best, *ties]

    def knows(self, one: int, other: int) -> bool:
        """Whether the replications would most likely have shown a difference of cost between two autoscalers."""
        name = self.columns[-1][1]
        return difference(self.figures(one)[name], self.figures(other)[name], figures=len(self.rivals)).enough

    def to_dict(self) -> dict[str, Any]:
        """What ``kpasim versus --json`` prints."""
        return {
            "experiment": self.rivals[0].experiment.name,
            "replications": self.results[0].replications,
            "seed": self.results[0].seed,
            "end_s": self.end_s,
            "idled": self.idled,
            "held_equal": EQUAL,
            "cheapest": [self.names[place] for place in self.cheapest],
            "autoscalers": [self._of(place) for place in range(len(self.rivals))],
        }

    def _of(self, place: int) -> dict[str, Any]:
        rival, result, differences = self.rivals[place], self.results[place], self.differences(place)
        means = self.means(place)
        figures = {}
        for _, name, unit in self.columns:
            found = differences[name]
            figures[name] = {
                "mean": finite(means[name], 6),
                "unit": unit,
                "difference": finite(found.mean, 6) if place else None,
                "interval": [finite(found.low, 6), finite(found.high, 6)] if place else None,
                "verdict": found.verdict if place else None,
            }
        return {
            "name": rival.name,
            "assumed": rival.assumed,
            "holds_requests": self.holds(place),
            "engine": result.engine,
            "figures": figures,
            "slo": [one.to_dict() for one in self.judgements[place]],
            "summary": result.summary,
            "intervals": result.intervals,
        }


def versus(
    rivals: Sequence[Rival],
    *,
    slos: Sequence[Slo] = (),
    replications: int | None = None,
    engine: Engine = "auto",
    progress: Callable[[int], None] | None = None,
) -> Versus:
    """Simulate one load under each autoscaler.

    All have the same seed and number of replications, so that replication k of each meets the same requests and the
    same random numbers. Where pods of any stay and the experiment says nothing of its end, all are billed until the
    latest end, in whole minutes. None gets a warm pod for nothing: where the experiment begins warm, all begin as each
    leads to by itself. The first is what the others are compared with.

    Raises:
        RunError: One of them cannot be simulated, or an SLO cannot be judged.
    """
    first = rivals[0].experiment
    idled = first.start.state == "warm"
    experiments = [one.experiment.with_setting("start", "idled") if idled else one.experiment for one in rivals]
    for rival, experiment in zip(rivals, experiments, strict=True):
        # What cannot be simulated is refused now, not after the others.
        try:
            lower(experiment)
        except ExperimentError as error:
            raise RunError(f"--with {rival.name}: {error.problems[0].message}") from None
    results, end_s = simulate_to_one_end(
        experiments, [one.own for one in rivals], replications=replications, engine=engine, progress=progress
    )
    stretches = [result.steady_s for result in results]
    common = stretch_in_common(stretches)
    if common is not None:
        for result in results:
            result.stretch_s = common
    judgements = [judge(result, slos) for result in results]
    return Versus(rivals, results, judgements, first.horizon_s if end_s is None else end_s, idled)
