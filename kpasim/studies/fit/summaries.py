"""A model from a report of hey alone: what was behind its lines is inferred by simulating the experiment many times."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from kpasim.arrays import Floats
from kpasim.errors import RunError
from kpasim.results.hey import HeyReport
from kpasim.spec.experiment import Experiment
from kpasim.studies.fit import candidates as shapes
from kpasim.studies.fit import modelfile
from kpasim.studies.fit.batches import Simulator
from kpasim.studies.fit.inference import Plan, Posterior, infer
from kpasim.studies.fit.lines import Runs, Target
from kpasim.studies.fit.starts import StageFit

HORIZON = 4.0
"""Runs that last so many times as long as the measured one are broken off."""
AGAIN = 3
"""Runs of each draw of the posterior that the report is held against."""
OFTEN = 8
"""Runs of each point of the posterior by which it is tilted."""
EQUIVALENT = 3.0
"""Difference of the scores, natural logarithms, below which two candidates have no significant difference."""
LEARNED = 0.2
"""Least share by which a report must narrow a number for it to be called identified."""
REQUESTS = 8_000_000
"""Requests that all runs of one candidate may have; long reports are met with fewer runs."""
LEAST_SHARE = 0.25


@dataclass(frozen=True)
class Compared:
    """How well a candidate predicts the report that it was fitted to.

    Attributes:
        name: The candidate's.
        says: What it says about the run.
        score: Logarithm of the posterior predictive density of the report's lines (their normal approximation).
        inside: Lines that lie in their 90 % interval.
        lines: How many there are.
    """

    name: str
    says: str
    score: float
    inside: int
    lines: int


@dataclass(frozen=True)
class Asked:
    """How a report is to be explained.

    Attributes:
        candidate: Name of a candidate, or ``"auto"`` for the one that predicts the report best.
        service: Shape of the service time, one of ``candidates.SERVICES``.
        reproduce: Whether to tilt the posterior, as little as possible, so that each fitted statistic is the
            median of its predictions.
        draws: Draws of the posterior to keep.
        seed: Seed of all random numbers.
        effort: Simulated runs, as a multiple of those that a minute allows.
        progress: Called with the number of runs done, and of all at most.
    """

    candidate: str
    service: str
    reproduce: bool
    draws: int
    seed: int
    effort: float
    progress: Callable[[int, int], None] | None


def explained(
    target: Target, experiment: Experiment, asked: Asked, starts: Sequence[StageFit] = ()
) -> tuple[Attempt, list[Compared], int]:
    """The joint posterior of service time and cold start behind a report; of the first alone beside measured starts.

    Returns:
        The candidate that was taken, fitted; all that were tried, the best first; how many runs were simulated.

    Raises:
        RunError: The report is not one of this experiment, or no run resembles it.
    """
    _must_fit(target.report, experiment)
    if asked.service not in shapes.SERVICES:
        raise RunError(f"no shape {asked.service!r} of the service time (one of {', '.join(shapes.SERVICES)})")
    wanted = _candidates(experiment, asked.candidate, starts)
    plan = _plan(target.report.requests, asked.effort)
    short = replace(
        plan,
        first=plan.first // 2,
        rounds=2,
        each=plan.each // 3,
        last=plan.last // 6,
        networks=1,
        rough_steps=plan.rough_steps // 2,
        steps=plan.steps // 2,
    )
    total = (len(wanted) if len(wanted) > 1 else 0) * short.runs + plan.runs
    counter = _Counter(total, asked.progress)
    tried: list[tuple[float, Attempt]] = []
    if len(wanted) > 1:
        for one in wanted:
            attempt = Attempt(target, experiment, one, replace(asked, reproduce=False), counter)
            attempt.fit(short)
            tried.append((attempt.score, attempt))
        tried.sort(key=lambda pair: -pair[0])
    chosen = tried[0][1].candidate if tried else wanted[0]
    best = Attempt(target, experiment, chosen, asked, counter)
    best.fit(plan)
    if not tried:
        tried = [(best.score, best)]
    counter.skip(total)
    compared = [Compared(one.candidate.name, one.candidate.says, score, *one.hits) for score, one in tried]
    return best, compared, counter.done


def equivalent(compared: Sequence[Compared]) -> list[str]:
    """Names of candidates without a significant difference from the best."""
    return [one.name for one in compared[1:] if compared[0].score - one.score < EQUIVALENT]


def _must_fit(report: HeyReport, experiment: Experiment) -> None:
    workload = experiment.workload
    if workload.kind != "hey":
        raise RunError(f"{experiment.name}: workload.kind is {workload.kind}; a report of hey needs one of kind hey")
    if not report.histogram or not report.statuses:
        raise RunError("the report has no response, so the service time cannot be inferred")
    if workload.per_worker is not None:
        sent = workload.per_worker * workload.concurrency
        if sent != report.requests:
            raise RunError(
                f"{experiment.name}: sends {sent} requests, but the report has {report.requests} "
                "(workload.requests and workload.concurrency must be those of the measured run)"
            )


def _candidates(experiment: Experiment, asked: str, starts: Sequence[StageFit]) -> list[shapes.Candidate]:
    if starts:
        return [shapes.measured(starts)]
    if asked == "auto":
        return [one for one in shapes.CANDIDATES.values() if one.fits(experiment)]
    if asked not in shapes.CANDIDATES:
        raise RunError(f"no candidate model {asked!r} (one of auto, {', '.join(shapes.CANDIDATES)})")
    if not shapes.CANDIDATES[asked].fits(experiment):
        raise RunError(f"{experiment.name}: two-types needs two instance types in the cluster block, and no nodes")
    return [shapes.CANDIDATES[asked]]


def _plan(requests: int, effort: float) -> Plan:
    """As many runs as a minute on two cores allows, or so many times as many, of which then fewer have to be kept."""
    plan = Plan()
    share = max(LEAST_SHARE, min(1.0, REQUESTS / (requests * plan.runs)))
    share *= effort
    return replace(
        plan,
        first=int(plan.first * max(share, 0.5)),
        each=int(plan.each * share),
        last=int(plan.last * share),
        kept=plan.kept / max(1.0, effort) ** 0.5,
    )


@dataclass
class _Counter:
    """Counts runs for a progress bar."""

    total: int
    progress: Callable[[int, int], None] | None
    done: int = 0
    shown: int = 0

    def add(self, runs: int) -> None:
        self.done += runs
        self.skip(runs)

    def skip(self, runs: int) -> None:
        """Runs that turned out not to be needed."""
        self.shown = min(self.shown + runs, self.total)
        if self.progress:
            self.progress(self.shown, self.total)


class Attempt:
    """One candidate, fitted to the report.

    Attributes:
        candidate: The candidate.
        tilt: KL divergence of the tilted posterior from the posterior; 0 without a tilt.
        score: See `Compared`.
        lines: Of each line of the report ``measured``, ``predicted``, ``lo``, ``hi`` and whether it was ``fitted``.
    """

    def __init__(
        self, target: Target, experiment: Experiment, candidate: shapes.Candidate, asked: Asked, counter: _Counter
    ) -> None:
        self.candidate = candidate
        self.tilt = 0.0
        self._asked, self._target, self._counter = asked, target, counter
        report = target.report
        parameters = shapes.service_parameters(report.fastest, report.average, asked.service)
        self._simulator = Simulator(experiment, candidate, parameters, HORIZON * report.total, asked.seed)
        self._rng = np.random.default_rng(asked.seed)
        self._threads = os.cpu_count() or 1

    def fit(self, plan: Plan) -> None:
        """Find the posterior, and simulate the report's run under it."""
        before, draws = self._counter.done, self._asked.draws
        self._posterior = self._infer(plan)
        self._counter.skip(plan.runs - (self._counter.done - before))
        self._z = self._tilted(draws) if self._asked.reproduce else self._posterior.sample(draws, self._rng)
        runs = self._simulator.execute(np.repeat(self._z, AGAIN, axis=0), 1 << 30, self._threads)
        self.score = _score(self._target, runs)
        self.lines = self._lines(runs)

    def _tilted(self, draws: int) -> Floats:
        """Draws of the tilted posterior, under which each fitted statistic is the median of its predictions."""
        posterior = self._posterior
        runs = self._simulator.execute(np.repeat(posterior.z, OFTEN, axis=0), 1 << 29, self._threads)
        figures, lines = runs.figures(), self._target.lines
        names = [name for name in self._target.names if name != "rps"]
        found = np.stack([np.nan_to_num(figures[name], nan=np.inf) for name in names], axis=1)
        found = found.reshape(len(posterior.z), OFTEN, len(names))
        measured = np.array([lines[name] for name in names])
        tilted = posterior.tilted((found > measured).mean(axis=1) - 0.5)
        self.tilt = posterior.divergence(tilted)
        # A few draws stand for all best if the middle and the ends of what they predict are those of all.
        order = np.argsort(found.reshape(-1, len(names)), axis=0)
        weight = np.cumsum(np.repeat(tilted.weight / OFTEN, OFTEN)[order], axis=0)
        ends = [measured]
        for share in (0.05, 0.95):
            place = np.argmax(weight >= share, axis=0)
            ends.append(np.array([found.reshape(-1, len(names))[order[p, n], n] for n, p in enumerate(place)]))
        above = np.concatenate([(found > end).mean(axis=1) for end in ends], axis=1)
        return tilted.sample_like(draws, above, self._rng)

    def _infer(self, plan: Plan) -> Posterior:
        simulator = self._simulator

        def simulate(z: Floats, first: int) -> Floats:
            return self._target.features(simulator.execute(z, first, self._threads, self._counter.add))

        def derived(z: Floats) -> Floats:
            return shapes.derived(simulator.values(z))

        try:
            return infer(simulate, self._target.observed(), len(simulator.parameters), self._rng, plan, derived)
        except ValueError as err:
            hint = "simulate more with --effort, if the experiment is the measured one"
            raise RunError(f"too few runs of this experiment resemble the report: {err} ({hint})") from None

    def _lines(self, runs: Runs) -> dict[str, dict[str, Any]]:
        figures, found = runs.figures(), {}
        for name, measured in self._target.lines.items():
            own = figures[name][~np.isnan(figures[name])]
            low, middle, high = np.quantile(own, [0.05, 0.5, 0.95]) if len(own) else (np.nan, np.nan, np.nan)
            found[name] = {
                "measured": measured,
                "predicted": float(middle),
                "lo": float(low),
                "hi": float(high),
                "fitted": name in self._target.names and name != "rps",
            }
        return found

    @property
    def hits(self) -> tuple[int, int]:
        """Lines inside their interval, and all lines."""
        inside = [one["lo"] <= one["measured"] <= one["hi"] for one in self.lines.values()]
        return sum(inside), len(inside)

    @cached_property
    def values(self) -> dict[str, Floats]:
        """Posterior draws of each number."""
        return self._simulator.values(self._z)

    @property
    def priors(self) -> dict[str, str]:
        """Prior of each number in words."""
        return {one.name: one.says() for one in self._simulator.parameters}

    @property
    def unidentified(self) -> list[str]:
        """Numbers of which the report tells next to nothing."""
        spreads = zip(self._simulator.parameters, self._z.std(axis=0), strict=True)
        return [one.name for one, spread in spreads if spread > 1.0 - LEARNED]

    @property
    def figures(self) -> dict[str, Floats]:
        """Draws of what users ask for.

        ``service_p50_s``, ``service_p95_s``, ``service_spread_s`` (from the 5 % to the 95 % quantile),
        ``service_mean_s``, ``start_mean_s`` (of a pod that waits for no other; not of a start that was measured).
        """
        time = shapes.service_time(self.values)
        found = {
            "service_p50_s": time.quantile(0.5),
            "service_p95_s": time.quantile(0.95),
            "service_spread_s": time.quantile(0.95) - time.quantile(0.05),
            "service_mean_s": time.mean(),
        }
        own = [one.mean() for one in self._times.values() if isinstance(one, shapes.Timing)]
        return found | ({"start_mean_s": np.sum(own, axis=0)} if self.candidate.starts else {})

    @property
    def written(self) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
        """Service time and stages of the most central draw, and all draws, as a model file has them."""
        # The draw nearest to the middle of all stands above them in the file.
        apart = (self._z - np.median(self._z, axis=0)) / (self._z.std(axis=0) + 1e-9)
        central = int(np.argmin(np.sum(apart**2, axis=1)))
        time, times = shapes.service_time(self.values), self._times
        draws = [_settings(time, times, row) for row in range(len(self._z))]
        return modelfile.written(_service(time, central)), self._stages(central), draws

    @property
    def _times(self) -> dict[str, shapes.Timed]:
        """Times of the stages by name, but for transfers, which have none of their own."""
        names = [str(stage["name"]) for stage in self.candidate.stages if "bandwidth" not in stage]
        return dict(zip(names, self.candidate.times(self.values), strict=True))

    def _stages(self, row: int) -> list[dict[str, Any]]:
        times = self._times
        found = []
        for stage in self.candidate.stages:
            one = dict(stage)
            if "bandwidth" in one:
                alone_s = float(np.median(self.values["cold start"] * self.values["data's share"]))
                one["bandwidth"] = {"size": "1G", "shared-bandwidth": f"{max(1, round(1e9 / alone_s / 1e3))}k"}
            elif isinstance(timing := times[str(one["name"])], shapes.Timing):
                one["time"] = modelfile.written(_lognormal(timing, row))
            found.append(one)
        return found

    @property
    def notes(self) -> list[str]:
        """What a model file cannot hold."""
        if self.candidate.name == "two-types":
            slower = np.median(self.values["slowness of the second type"])
            first = np.median(np.ceil(self.values["instances of the first type"]))
            return [
                f"the second instance type takes {slower:.2f} times as long and {first:.0f} pods got one of the first: "
                "write that into per-instance-type and into the stock of the experiment's cluster block"
            ]
        if self.candidate.name == "shared-bandwidth":
            return ["the bandwidth is the posterior's median; draws vary all other numbers"]
        return []


def _score(target: Target, runs: Runs) -> float:
    """Logarithm of the density of the observed features among those of predicted runs, taken as normal."""
    x = target.features(runs)
    x = x[np.isfinite(x).all(axis=1)]
    observed = target.observed()
    used = x.std(axis=0) > 1e-9
    x, observed = x[:, used], observed[used]
    covariance = np.cov(x.T)
    # Lines hang together so closely that their covariance alone is no measure.
    covariance = 0.8 * covariance + 0.2 * np.diag(np.diag(covariance))
    apart = observed - x.mean(axis=0)
    square = apart @ np.linalg.solve(covariance, apart)
    return float(-0.5 * (square + np.linalg.slogdet(covariance)[1] + len(observed) * np.log(2.0 * np.pi)))


def _lognormal(timing: shapes.Timing, row: int) -> dict[str, Any]:
    return {"distribution": "lognormal", "median": float(timing.median[row]), "sigma": float(timing.sigma[row])}


def _service(time: shapes.Timing, row: int) -> dict[str, Any]:
    if time.shift is not None:
        return {**_lognormal(time, row), "distribution": "shifted-lognormal", "shift": float(time.shift[row])}
    assert time.share is not None
    assert time.second is not None
    share = float(time.share[row])
    parts = [
        {"weight": share, **_lognormal(time, row)},
        {"weight": 1.0 - share, **_lognormal(shapes.Timing(*time.second), row)},
    ]
    return {"distribution": "mixture", "components": parts}


def _settings(time: shapes.Timing, stages: Mapping[str, shapes.Timed], row: int) -> dict[str, Any]:
    """One draw as a model file has it."""
    found = modelfile.settings(_service(time, row), "service-time.time")
    for name, timing in stages.items():
        if isinstance(timing, shapes.Timing):  # not of a start that was measured
            found |= modelfile.settings(_lognormal(timing, row), f"cold-start.stages.{name}.time")
    return found
