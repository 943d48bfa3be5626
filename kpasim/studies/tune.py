"""The cheapest settings that meet their SLOs.

result = tune(load("experiments/hey50x5.yaml"), ["p95<=30s", "errors<=0.1%"])
result.manifest        # the user's own Service YAML with the tuned values in it
"""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpasim.arrays import Bools, Floats
from kpasim.engines import lower
from kpasim.engines.scaling import written
from kpasim.errors import KpasimError, RunError
from kpasim.results import cost, summary
from kpasim.results.failures import cut_load
from kpasim.results.student import half_width
from kpasim.results.summary import Figures, rounded
from kpasim.spec.difference import is_measure
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.scaling import Other
from kpasim.spec.sweep import load_sweep
from kpasim.spec.yamlfile import read_mapping
from kpasim.studies.common import as_each_leads_to, changes_nothing, stretch_of_all
from kpasim.studies.execution.engine import Engine, choose_engine
from kpasim.studies.prices import prices_of, prices_to_dict
from kpasim.studies.runner import Runner
from kpasim.studies.search.ladder import TOLERANCE, climb, fewest_changes
from kpasim.studies.search.race import FIRST, LIKELY_Z, TRIFLE, Candidate, Race, alike, gap
from kpasim.studies.search.slo import Slo, all_met, cut, parse_slo, priced, wilson
from kpasim.studies.search.space import MEASURE, Space, check_sharing, default_axes
from kpasim.studies.search.stress import LOADS, Stressed, stressed
from kpasim.studies.steady import why_no_month

PROBABILITY = 0.9
"""Least probability that a run meets the SLOs."""
BUDGET = 50_000
"""Replications at most."""
FRESH = 1 << 20
"""First of the replications that no candidate has met during the race."""
JUDGED_ON, JUDGED_ON_LEAST = 512, 64
"""How many of these the chosen settings are judged on, and how many where the budget is small."""
STRESSED_ON, STRESSED_AT_ONCE = 128, 32
"""How many replications of each heavier load settings are stressed with at most, and how many of a remedy at a time."""
WORTH_A_WARNING = 0.01
"""Share of requests that fail beside those that fail now, from which on the user is warned."""
LADDER_SHARE, LADDER_LEAST = 0.5, 500
"""Replications that the ladder of changes may take beside the search: a share of the budget, or this if it is more."""
PILOT, PILOT_SEED = 32, 0
"""Points that say how long runs take, where the experiment does not say when they end, and the seed of these runs."""
MOST_LISTED = 10
DIGITS = 6


class Judged(NamedTuple):
    """Settings, and what they did in replications that took no part in the search.

    Attributes:
        settings: Values by path, those that differ from the experiment only.
        figures: All figures of these replications.
        met: Whether each met the SLOs.
        costs: What each cost.
    """

    settings: dict[str, Any]
    figures: Figures
    met: Bools
    costs: Floats

    @property
    def share(self) -> float:
        """Share of replications that met the SLOs."""
        return float(np.mean(self.met))

    @property
    def failed(self) -> float:
        """Failed requests of all runs as a share of those that ended, ``NaN`` where none ended."""
        names = ("requests", "ok", "errors")
        return float(summary.error_share({name: self.figures[name].sum(keepdims=True) for name in names})[0])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the probability to meet the SLOs."""
        return wilson(int(self.met.sum()), len(self.met))

    @property
    def cost(self) -> float:
        """Mean cost."""
        return float(np.mean(self.costs))

    @property
    def cost_interval(self) -> tuple[float, float]:
        """90 % interval of the mean cost, by Student's t."""
        half = float(half_width(self.costs, 0.95))
        return self.cost - half, self.cost + half

    def to_dict(self) -> dict[str, Any]:
        """The same for machines: the mean cost and medians of all else, with 90 % intervals."""
        own = {name: values for name, values in self.figures.items() if name != "horizon_s"}
        found = summary.aggregate(own, DIGITS)
        return {
            "settings": self.settings,
            "cost": rounded(self.cost, DIGITS),
            "cost_interval": [rounded(end, DIGITS) for end in self.cost_interval],
            "probability": rounded(self.share, DIGITS),
            "probability_interval": [rounded(end, DIGITS) for end in self.interval],
            "replications": len(self.met),
            "medians": found.medians,
            "intervals": found.intervals,
        }


@dataclass
class TuneResult:
    """What the search found.

    Attributes:
        experiment: What was tuned.
        slos: What runs must meet, all of it.
        probability: Least probability to keep it.
        cost_unit: Unit of all costs.
        horizon_s: End of runs, at the earliest where the experiment sets none. None where nothing costs more after
            a run, or a month is priced.
        chosen: The settings with the fewest changes that meet the SLOs and cost next to nothing more than the cheapest;
            None where none is known.
        nearest: What comes nearest to it, where none does.
        now: The experiment as it is.
        race: Everything that was tried.
        ladder: The cheapest settings with at most 0, 1, 2 ... changes; None where none that was tried meets the SLOs.
        stress: The chosen settings, or the nearest, under more load; the nearest under the load as it is first.
        idled: Whether settings begin in the state that each leads to, where the experiment says that a pod is warm.
        stretch_s: What of each run stands for a month, and is judged; None where that is all of it.
        replications: Replications simulated in all.
    """

    experiment: Experiment
    slos: list[Slo]
    probability: float
    cost_unit: str
    horizon_s: float | None
    chosen: Judged | None
    nearest: Judged | None
    now: Judged
    race: Race = field(repr=False)
    replications: int
    ladder: list[Judged | None]
    stress: list[Stressed]
    idled: bool
    stretch_s: tuple[float, float] | None

    @property
    def tuned(self) -> Experiment:
        """The experiment with the chosen settings; as it is where nothing was chosen."""
        return self.experiment.with_settings(self.chosen.settings) if self.chosen else self.experiment

    @cached_property
    def manifest(self) -> str:
        """The Service YAML with the chosen settings, everything else to the byte as it was; or that of its autoscaler.

        An HPA, a ScaledObject, an InterceptorRoute, a deployment of Ray Serve or an InferenceService in Standard mode
        where the experiment's autoscaler is one.
        """
        return written(self.tuned)

    @cached_property
    def changes(self) -> str:
        """What the chosen settings change in what is written, as a unified diff; empty where nothing."""
        before, after = written(self.experiment), self.manifest
        name = Path(self.experiment.service.path or "service.yaml").name
        lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, f"{name} (tuned)", n=2)
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

    @property
    def elsewhere(self) -> dict[str, Any]:
        """Chosen settings that are not the Service's own, and so not in its YAML."""
        settings = self.chosen.settings if self.chosen else {}
        inside: tuple[str, ...] = ("service.", "cluster.instance-types")
        if isinstance(self.experiment.autoscaler, Other):
            inside = ("autoscaler.",)
        return {path: value for path, value in settings.items() if not path.startswith(inside)}

    @property
    def undecided(self) -> bool:
        """Whether nothing is known to meet the SLOs, and what comes nearest may do so: no answer rather than a no."""
        return self.chosen is None and self.nearest is not None and self.nearest.interval[1] >= self.probability

    @property
    def binding(self) -> Stressed | None:
        """The limit that keeps the nearest settings from meeting the SLOs; None where settings were chosen."""
        return self.stress[0] if self.chosen is None and self.stress else None

    @property
    def warnings(self) -> list[str]:
        """What the SLOs do not say and the user will not want: more failed requests than now."""
        if self.chosen is None or any(slo.name == "errors" for slo in self.slos):
            return []
        more = self.chosen.failed - self.now.failed
        if not more > WORTH_A_WARNING:
            return []
        tuned, now = f"{100 * self.chosen.failed:.3g} %", f"{100 * self.now.failed:.3g} %"
        return [f"{tuned} of requests fail with these settings (now: {now}); add --slo 'errors<=1%' to rule that out"]

    @property
    def rivals(self) -> dict[str, list[dict[str, Any]]]:
        """Settings without a significant difference from the cheapest: ``tied`` in cost, or ``undecided`` on the SLOs.

        Those that did exactly the same in every replication are no rivals.
        """
        best = self.race.best
        if best is None:
            return {"tied": [], "undecided": []}
        tied = [one for one in self.race.among("tied") if not alike(one, best)]
        unknown = [*self.race.among("undecided"), *self.race.among("open")]
        likely = [one for one in unknown if one.bounds(LIKELY_Z)[1] >= self.probability]
        undecided = [one for one in likely if gap(one, best).mean < -TRIFLE]
        return {
            "tied": [self._rival(one, best) for one in tied],
            "undecided": [self._rival(one, best) for one in undecided],
        }

    @property
    def separated(self) -> bool:
        """Whether everything else that was tried costs more, misses an SLO, or does exactly the same."""
        return self.race.best is not None and not any(self.rivals.values())

    def missed(self, judged: Judged) -> list[tuple[Slo, float, str]]:
        """The SLOs that settings meet in too few runs, each with the share of runs that meet it and the median run."""
        found = []
        for slo in self.slos:
            share = float(np.mean(slo.met(judged.figures)))
            if share < self.probability:
                found.append((slo, share, self._median(slo, judged.figures)))
        return found

    def _median(self, slo: Slo, figures: Figures) -> str:
        """The figure of an SLO in the median run, in words."""
        values = slo.values(figures)
        median = float(np.nanmedian(values)) if not np.isnan(values).all() else math.nan
        if math.isfinite(median):
            return f"{slo.name} is {slo.text(median, cost.currency_of(prices_of(self.experiment) or {}))}"
        if not np.median(figures["ok"]):
            return "no request succeeded"
        if math.isnan(median):
            return f"{slo.name} has no value"
        late = np.median((figures["requests"] - figures["ok"]) / np.maximum(figures["requests"], 1.0))
        return f"{slo.name} is infinite: {100 * late:.3g} % of requests have no successful response"

    def _rival(self, one: Candidate, best: Candidate) -> dict[str, Any]:
        apart = gap(one, best)
        low, high = one.bounds(LIKELY_Z)
        return {
            "settings": one.settings,
            "cost_difference": rounded(apart.mean, 3),
            "cost_difference_interval": [rounded(apart.low, 3), rounded(apart.high, 3)],
            "probability": rounded(one.share, 4),
            "probability_interval": [rounded(low, 4), rounded(high, 4)],
            "replications": one.count,
        }

    def saved(self, step: Judged) -> float:
        """Share of the present cost that settings save; negative where they cost more."""
        return 1.0 - step.cost / self.now.cost if self.now.cost else 0.0

    def _step(self, step: Judged) -> dict[str, Any]:
        low, high = step.interval
        return {
            "changes": len(step.settings),
            "settings": step.settings,
            "cost": rounded(step.cost, DIGITS),
            "saved": rounded(self.saved(step), 4),
            "probability": rounded(step.share, 4),
            "probability_interval": [rounded(low, 4), rounded(high, 4)],
            "chosen": self.chosen is not None and step.settings == self.chosen.settings,
        }

    def _stressed(self, one: Stressed) -> dict[str, Any]:
        return {
            "load": one.load,
            "probability": rounded(one.share, 4),
            "medians": summary.aggregate(one.figures, DIGITS).medians,
            "limit": one.limit or None,
            "remedy": one.remedy,
        }

    def to_dict(self) -> dict[str, Any]:
        """What ``kpasim tune --json`` prints."""
        rivals = self.rivals
        return {
            "experiment": self.experiment.name,
            "seed": self.experiment.seed,
            "slo": [str(slo) for slo in self.slos],
            "required_probability": self.probability,
            "cost_unit": self.cost_unit,
            "prices": prices_to_dict(prices_of(self.experiment)),
            "horizon_s": self.horizon_s,
            "met": self.chosen is not None,
            "decided": not self.undecided,
            "chosen": None if self.chosen is None else self.chosen.to_dict(),
            "nearest_miss": None if self.nearest is None else self.nearest.to_dict(),
            "now": self.now.to_dict(),
            "warnings": self.warnings,
            "ladder": [None if step is None else self._step(step) for step in self.ladder],
            "stress": [self._stressed(one) for one in self.stress],
            "start": self.experiment.start.state,
            "idled": self.idled,
            "separated": self.separated,
            **{name: found[:MOST_LISTED] for name, found in rivals.items()},
            "budget_spent": self.race.cut_short,
            "settings_tried": len(self.race.candidates),
            "replications": self.replications,
        }


def tune(
    experiment: Experiment | str | Path,
    slo: Sequence[str],
    *,
    vary: Mapping[str, Sequence[Any]] | None = None,
    minimise: str = "cost",
    probability: float = PROBABILITY,
    budget: int = BUDGET,
    engine: Engine = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> TuneResult:
    """Search for the cheapest settings that meet their SLOs.

    Args:
        experiment: What to tune: an experiment or its file, or a sweep file, whose axes say what may vary.
        slo: What runs must meet: ``p95<=30s``, ``errors<=0.1%`` ...
        vary: Values that settings may take, by path; a sensible choice for the Service by default.
        minimise: ``cost``, or another figure: ``pod-seconds``, ``gpu-seconds``.
        probability: Least probability that a run meets the SLOs.
        budget: Replications at most.
        engine: As for `studies.run.simulate`.
        progress: Called with the replications simulated, and the candidates still in the race.

    Raises:
        ExperimentError: A setting cannot be varied as asked.
        RunError: An SLO cannot be read, or costs are asked for and prices are missing.
    """
    slos = [parse_slo(text) for text in slo]
    if not slos:
        raise RunError("--slo: give at least one, such as 'p95<=30s'")
    if isinstance(experiment, str | Path):
        experiment, of_file = read(experiment)
        vary = vary or of_file
    for path in vary or ():
        if is_measure(path):
            raise RunError(f"--vary {path}: {MEASURE}")
    axes = vary or default_axes(experiment)
    return _Search(experiment, axes, slos, minimise, probability, budget, engine, progress).result()


def read(path: str | Path, cluster_config: Sequence[str | Path] = ()) -> tuple[Experiment, dict[str, list[Any]] | None]:
    """The experiment of a file, and what may vary where the file is a sweep's.

    Raises:
        ExperimentError: As `load` and `load_sweep`.
    """
    if "axes" in read_mapping(path, kind="an experiment").data:
        sweep, experiment = load_sweep(path, cluster_config)
        return experiment, sweep.values()
    return load(path, cluster_config=cluster_config), None


class _Search:
    """One search, from the first replication to the answer."""

    def __init__(
        self,
        experiment: Experiment,
        axes: Mapping[str, Sequence[Any]],
        slos: list[Slo],
        minimise: str,
        probability: float,
        budget: int,
        engine: Engine,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        given, experiment = experiment, as_each_leads_to(experiment, axes)
        self._experiment = experiment
        self._idled = experiment.start.state != given.start.state
        self._stretch_s = stretch_of_all(experiment, axes)
        self._per_month = self._stretch_s is not None or experiment.repeat_s is not None
        self._probability = probability
        self._simulated = 0
        self._known: dict[str, Judged] = {}
        self._judged_on = max(JUDGED_ON_LEAST, min(JUDGED_ON, budget // 8))
        self._ladder_budget = max(LADDER_LEAST, round(LADDER_SHARE * budget))
        self._horizon_s = experiment.horizon_s
        params = lower.lower(experiment)
        self._engine = choose_engine(engine, max(params.requests, 1) * min(budget, 10_000))
        self._space = Space(axes, lambda path, value: changes_nothing(experiment, path, value))
        check_sharing(experiment, self._space.axes)
        self._refuse_a_cut_load(given)
        self._cost_figure, self._cost_unit = self._what_costs(minimise)
        self._slos = priced(slos, per_month=self._per_month)
        if not self._per_month and any(slo.figure == "cost.per_month" for slo in self._slos):
            raise RunError(f"--slo: {why_no_month(given) or 'the load is too short for a month under some settings'}")
        self._race = Race(
            self._space,
            self._runner,
            self._slos,
            probability,
            self._cost_figure,
            seed=experiment.seed,
            budget=budget,
            progress=progress or (lambda simulated, still: None),
        )

    def _refuse_a_cut_load(self, given: Experiment) -> None:
        """Refuse an experiment whose horizon ends its runs before the load: its latencies and costs say nothing.

        Raises:
            RunError: The horizon cuts the load.
        """
        if self._horizon_s is None:
            return
        figures = Runner(given, self._engine).figures(range(FIRST))
        self._simulated += FIRST
        if cut(figures).any():
            raise RunError(f"{self._experiment.name}: {cut_load(figures, self._horizon_s)} (give a longer horizon)")

    def result(self) -> TuneResult:
        """Search and judge."""
        if self._horizon_s is None and not self._per_month:
            self._horizon_s = self._common_end()
        ladder, chosen = self._winner()
        now, nearest = self._judged({}), None
        if chosen is None:
            nearest = self._judged(self._race.nearest_miss().settings)
            if nearest.interval[0] >= self._probability:
                # The search was too short to be sure, but fresh replications are.
                chosen, nearest = nearest, None
        stress = self._stress(chosen or nearest or now, LOADS if chosen else (1.0,))
        return TuneResult(
            self._experiment,
            self._slos,
            self._probability,
            self._cost_unit,
            self._horizon_s,
            chosen,
            nearest,
            now,
            self._race,
            self._simulated + self._race.simulated,
            ladder,
            stress,
            self._idled,
            self._stretch_s,
        )

    def _winner(self) -> tuple[list[Judged | None], Judged | None]:
        """The ladder of changes, and its step that is chosen: it meets the SLOs in fresh replications as well."""
        while True:
            self._race.run()
            best = self._race.best
            if best is None:
                return [], None
            self._race.allow(self._ladder_budget)
            steps = climb(self._race, best)
            one = fewest_changes(self._race, best, steps)
            judged = self._judged(one.settings)
            if judged.share >= self._probability:
                return [None if step is None else self._judged(step.settings) for step in steps], judged
            self._race.dismiss(one)

    def _runner(self, settings: dict[str, Any]) -> Runner:
        """What simulates settings; no run ends before the common end."""
        variant = self._experiment.with_settings(settings)
        common = self._horizon_s if variant.horizon_s is None else None
        return Runner(variant, self._engine, until_s=common, stretch_s=self._stretch_s)

    def _common_end(self) -> float | None:
        """When runs are to end at the earliest, where nobody says: after the longest of some pilot runs.

        A run whose load takes longer goes on to its own end. Pilot runs have a seed of their own, so that the price of
        a warm pod is the same under every seed. None where nothing costs more after the end of a run.
        """
        end_s, goes_on = 0.0, self._experiment.cluster.nodes is not None
        for place in [self._space.origin, *self._space.sample(PILOT, PILOT_SEED)]:
            try:
                runner = self._runner({**self._space.settings(place), "seed": PILOT_SEED})
            except KpasimError:
                continue
            end_s = max(end_s, float(np.max(runner.figures(range(2))["horizon_s"])))
            self._simulated += 2
            goes_on = goes_on or bool(runner.params.stays)
        return 60.0 * math.ceil(end_s / 60.0) if goes_on else None

    def _what_costs(self, minimise: str) -> tuple[str, str]:
        """Figure to make small, and its unit.

        Raises:
            RunError: It is unknown, or money is asked for and prices are missing.
        """
        if minimise == "cost":
            prices = prices_of(self._experiment)
            if prices is None:
                raise RunError(
                    f"{self._experiment.name}: no price for its instance types "
                    "(give cluster.instance-types with price-per-hour, or --minimise pod-seconds)"
                )
            currency = cost.currency_of(prices)
            month = self._per_month
            return ("cost.per_month", f"{currency} per month") if month else ("cost.amount", f"{currency} per run")
        names = {"pod-seconds": "pod_seconds", "gpu-seconds": "gpu_seconds"}
        if minimise not in names:
            raise RunError(f"--minimise {minimise}: must be cost, pod-seconds or gpu-seconds")
        return names[minimise], {"pod-seconds": "pod-seconds", "gpu-seconds": "GPU-seconds"}[minimise]

    def _judged(self, settings: dict[str, Any]) -> Judged:
        """Settings in replications that took no part in the race; steps of a ladder are often the same ones."""
        key = repr(sorted(settings.items()))
        if key not in self._known:
            self._known[key] = self._judged_in(settings, self._judged_on)
        return self._known[key]

    def _judged_in(self, settings: dict[str, Any], count: int) -> Judged:
        figures = self._runner(settings).slo_figures(range(FRESH, FRESH + count), threads=0)
        self._simulated += count
        return Judged(settings, figures, all_met(self._slos, figures), figures[self._cost_figure])

    def _stress(self, shown: Judged, loads: Sequence[float]) -> list[Stressed]:
        """Settings under multiples of the load, and the limit that binds."""
        count = min(STRESSED_ON, self._judged_on)

        def judge(more: dict[str, Any]) -> tuple[float, Figures]:
            judged = self._judged_in({**shown.settings, **more}, count)
            return judged.share, judged.figures

        def meets(more: dict[str, Any]) -> bool:
            runner, met = self._runner({**shown.settings, **more}), 0
            for first in range(0, count, STRESSED_AT_ONCE):
                last = min(first + STRESSED_AT_ONCE, count)
                figures = runner.slo_figures(range(FRESH + first, FRESH + last), threads=0)
                self._simulated += last - first
                met += int(all_met(self._slos, figures).sum())
                if (met + count - last) / count < self._probability:
                    return False  # whatever the others show
            return True

        experiment = self._experiment.with_settings(shown.settings)
        return [stressed(experiment, load, self._probability, judge, meets) for load in loads]


__all__ = ["TOLERANCE", "Judged", "TuneResult", "read", "tune"]
