"""The cheapest settings that meet their SLOs.

result = tune(load("experiments/hey50x5.yaml"), ["p95<=30s", "errors<=0.1%"])
result.manifest        # the user's own Service YAML with the tuned values in it
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpasim.engines import lower
from kpasim.errors import KpasimError, RunError
from kpasim.results import cost, summary
from kpasim.results.failures import cut_load
from kpasim.results.summary import Figures, rounded
from kpasim.spec.difference import is_measure
from kpasim.spec.experiment import Experiment, load
from kpasim.spec.sweep import load_sweep
from kpasim.spec.yamlfile import read_mapping
from kpasim.studies.playing.engine import Engine, choose_engine
from kpasim.studies.plays import Player
from kpasim.studies.prices import as_written, prices_of
from kpasim.studies.same import same
from kpasim.studies.search.race import FIRST, LIKELY_Z, TRIFLE, Candidate, Race, alike, gap
from kpasim.studies.search.slo import Slo, all_met, cut, parse_slo, priced, wilson
from kpasim.studies.search.space import Space, check_sharing, default_axes
from kpasim.studies.steady import steady_part

PROBABILITY = 0.9
"""Least probability that a run meets the SLOs."""
BUDGET = 50_000
"""Replications at most."""
FRESH = 1 << 20
"""First of the replications that no candidate has met during the race."""
JUDGED_ON, JUDGED_ON_LEAST = 512, 64
"""How many of these the chosen settings are judged on, and how many where the budget is small."""
ALIKE = 64
"""Replications after which a change that made no difference is taken back."""
PILOT = 32
"""Points that say how long runs take, where the experiment does not say when they end."""
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
    met: NDArray[np.bool_]
    costs: NDArray[np.float64]

    @property
    def share(self) -> float:
        """Share of replications that met the SLOs."""
        return float(np.mean(self.met))

    def to_dict(self) -> dict[str, Any]:
        """The same for machines: means of money, medians of all else, 90 % intervals."""
        low, high = wilson(int(self.met.sum()), len(self.met))
        own = {name: values for name, values in self.figures.items() if name != "horizon_s"}
        found = summary.aggregate(own, DIGITS)
        spread = summary.aggregate({"cost": self.costs}, DIGITS)
        return {
            "settings": self.settings,
            "cost": rounded(float(np.mean(self.costs)), DIGITS),
            "cost_interval": spread.intervals["cost"],
            "probability": rounded(self.share, DIGITS),
            "probability_interval": [rounded(low, DIGITS), rounded(high, DIGITS)],
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
        horizon_s: End of runs whose pods stay, None where nothing stays.
        chosen: The cheapest settings that meet the SLOs, None where none does.
        nearest: What comes nearest to it, where none does.
        now: The experiment as it is.
        race: Everything that was tried.
        settings_tried: How many settings that is.
        replications: Replications played in all.
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

    @property
    def tuned(self) -> Experiment:
        """The experiment with the chosen settings; as it is where nothing was chosen."""
        return self.experiment.with_settings(self.chosen.settings) if self.chosen else self.experiment

    @property
    def manifest(self) -> str:
        """The Service YAML with the chosen settings, everything else to the byte as it was."""
        return self.tuned.service.to_yaml()

    @property
    def changes(self) -> str:
        """What the chosen settings change in the Service YAML, as a unified diff; empty where nothing."""
        before, after = self.experiment.service.to_yaml(), self.manifest
        name = Path(self.experiment.service.path or "service.yaml").name
        lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, f"{name} (tuned)", n=2)
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

    @property
    def elsewhere(self) -> dict[str, Any]:
        """Chosen settings that are not the Service's own, and so not in its YAML."""
        settings = self.chosen.settings if self.chosen else {}
        inside = ("service.", "cluster.instance-types")
        return {path: value for path, value in settings.items() if not path.startswith(inside)}

    @property
    def rivals(self) -> dict[str, list[dict[str, Any]]]:
        """Settings that cannot be told from the chosen ones: ``tied`` in cost, ``undecided`` about the slo.

        Those that did exactly the same in every replication are no rivals.
        """
        best = self.race.best
        if best is None:
            return {"tied": [], "undecided": []}
        tied = [one for one in self.race.among("tied") if not alike(one, best)]
        undecided = [one for one in self.race.among("undecided") if gap(one, best).mean < 0]
        undecided += [one for one in self.race.among("open") if gap(one, best).mean < 0]
        return {
            "tied": [self._rival(one, best) for one in tied],
            "undecided": [self._rival(one, best) for one in undecided],
        }

    @property
    def separated(self) -> bool:
        """Whether everything else that was tried is dearer, misses an SLO, or does exactly the same."""
        return self.chosen is not None and not any(self.rivals.values())

    def missed(self, judged: Judged) -> list[tuple[Slo, float, float | None]]:
        """The SLOs that settings meet in too few runs, each with the share of runs that meet it and its median."""
        found: list[tuple[Slo, float, float | None]] = []
        for slo in self.slos:
            share = float(np.mean(slo.met(judged.figures)))
            if share < self.probability:
                values = slo.values(judged.figures)
                found.append((slo, share, None if np.isnan(values).all() else float(np.nanmedian(values))))
        return found

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

    def to_dict(self) -> dict[str, Any]:
        """What ``kpasim tune --json`` prints."""
        rivals = self.rivals
        return {
            "experiment": self.experiment.name,
            "seed": self.experiment.seed,
            "slo": [str(slo) for slo in self.slos],
            "required_probability": self.probability,
            "cost_unit": self.cost_unit,
            "prices": as_written(prices_of(self.experiment)),
            "horizon_s": self.horizon_s,
            "met": self.chosen is not None,
            "chosen": None if self.chosen is None else self.chosen.to_dict(),
            "nearest_miss": None if self.nearest is None else self.nearest.to_dict(),
            "now": self.now.to_dict(),
            "separated": self.separated,
            **{name: found[:MOST_LISTED] for name, found in rivals.items()},
            "budget_spent": self.race.spent,
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
        progress: Called with the replications played, and the candidates still in the race.

    Raises:
        ExperimentError: A setting cannot be varied as asked.
        RunError: An SLO cannot be read, or costs are asked for and prices are missing.
    """
    slos = [parse_slo(text) for text in slo]
    if not slos:
        raise RunError("--slo: give at least one, such as 'p95<=30s'")
    if isinstance(experiment, str | Path):
        experiment, axes = read(experiment)
        vary = vary or axes
    for path in vary or ():
        if is_measure(path):
            raise RunError(f"--vary {path}: is how the service is measured, not a setting of it (set it before: --set)")
    space = Space(vary or default_axes(experiment))
    check_sharing(experiment, space.axes)
    return _Search(experiment, space, slos, minimise, probability, budget, engine, progress).result()


def read(path: str | Path) -> tuple[Experiment, dict[str, list[Any]] | None]:
    """The experiment of a file, and what may vary where the file is a sweep's.

    Raises:
        ExperimentError: As `load` and `load_sweep`.
    """
    if "axes" in read_mapping(path, kind="an experiment").data:
        sweep, experiment = load_sweep(path)
        return experiment, sweep.values()
    return load(path), None


class _Search:
    """One search, from the first replication to the answer."""

    def __init__(
        self,
        experiment: Experiment,
        space: Space,
        slos: list[Slo],
        minimise: str,
        probability: float,
        budget: int,
        engine: Engine,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._experiment = experiment
        self._space = space
        self._slos = slos
        self._probability = probability
        self._played = 0
        self._judged_on = max(JUDGED_ON_LEAST, min(JUDGED_ON, budget // 8))
        self._horizon_s = experiment.horizon_s
        params = lower.lower(experiment)
        self._engine = choose_engine(engine, max(params.requests, 1) * min(budget, 10_000))
        self._refuse_a_cut_load()
        self._cost_figure, self._cost_unit = self._what_costs(minimise)
        self._slos = priced(slos, per_month=steady_part(experiment) is not None)
        self._race = Race(
            space,
            self._player,
            self._slos,
            probability,
            self._cost_figure,
            seed=experiment.seed,
            budget=budget,
            progress=progress or (lambda played, still: None),
        )

    def _refuse_a_cut_load(self) -> None:
        """Refuse an experiment whose horizon ends its runs before the load: its latencies and costs say nothing.

        Raises:
            RunError: The horizon cuts the load.
        """
        if self._horizon_s is None:
            return
        figures = self._player({}).figures(range(FIRST))
        self._played += FIRST
        if cut(figures).any():
            raise RunError(f"{self._experiment.name}: {cut_load(figures, self._horizon_s)} (give a longer horizon)")

    def result(self) -> TuneResult:
        """Search and judge."""
        if self._horizon_s is None:
            self._horizon_s = self._common_end()
        chosen = self._winner()
        nearest = None if chosen else self._judged(self._fewest_changes(self._race.nearest_miss().settings))
        return TuneResult(
            self._experiment,
            self._slos,
            self._probability,
            self._cost_unit,
            self._horizon_s,
            chosen,
            nearest,
            self._judged({}),
            self._race,
            self._played + self._race.played,
        )

    def _winner(self) -> Judged | None:
        """The best of the race that also meets the SLOs in replications which took no part in it."""
        while True:
            self._race.run()
            if self._race.best is None:
                return None
            settings = self._fewest_changes(self._race.best.settings)
            judged = self._judged(settings)
            if judged.share >= self._probability:
                return judged
            self._race.dismiss()

    def _player(self, settings: dict[str, Any]) -> Player:
        """What plays settings; runs whose pods stay end together."""
        player = Player(self._experiment.with_settings(settings), self._engine)
        if player.params.stays and self._horizon_s is not None and self._experiment.horizon_s is None:
            return Player(self._experiment.with_settings({**settings, "horizon": self._horizon_s}), self._engine)
        return player

    def _common_end(self) -> float | None:
        """When runs whose pods stay are to end, where nobody says: after the longest of some pilot runs.

        None where no pods stay.
        """
        end_s, stays = 0.0, False
        for place in [None, *self._space.sample(PILOT, self._experiment.seed)]:
            try:
                player = self._player({} if place is None else self._space.settings(place))
            except KpasimError:
                continue
            end_s = max(end_s, float(np.max(player.figures(range(2))["horizon_s"])))
            self._played += 2
            stays = stays or bool(player.params.stays)
        return 60.0 * math.ceil(end_s / 60.0) if stays else None

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
            steady = steady_part(self._experiment) is not None
            return ("cost.per_month", f"{currency} per month") if steady else ("cost.amount", f"{currency} per run")
        names = {"pod-seconds": "pod_seconds", "gpu-seconds": "gpu_seconds"}
        if minimise not in names:
            raise RunError(f"--minimise {minimise}: must be cost, pod-seconds or gpu-seconds")
        return names[minimise], {"pod-seconds": "pod-seconds", "gpu-seconds": "GPU-seconds"}[minimise]

    def _judged(self, settings: dict[str, Any]) -> Judged:
        """Settings in replications that took no part in the race."""
        figures = self._player(settings).figures(range(FRESH, FRESH + self._judged_on), threads=0)
        self._played += self._judged_on
        return Judged(settings, figures, all_met(self._slos, figures), figures[self._cost_figure])

    def _fewest_changes(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The same without changes that make no difference: to the engine's numbers, or to any replication tried."""
        fewest = dict(settings)
        for path in settings:
            without = {key: value for key, value in fewest.items() if key != path}
            try:
                same = self._same(without, fewest)
            except KpasimError:
                continue
            if same:
                fewest = without
        return fewest

    def _same(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        first, second = self._player(one), self._player(other)
        if same(first.experiment, second.experiment):
            return True
        replications = range(FRESH, FRESH + ALIKE)
        self._played += 2 * ALIKE
        mine, theirs = first.figures(replications), second.figures(replications)
        return all(
            np.array_equal(mine[name], theirs[name])
            for name in (self._cost_figure, "latency_s.p50", "latency_s.p95", "latency_s.max", "ok", "pod_seconds")
        ) and np.array_equal(all_met(self._slos, mine), all_met(self._slos, theirs))


__all__ = ["TRIFLE", "Judged", "TuneResult", "read", "tune"]
