"""Playing some replications of one experiment, again and again: what sweeps and tuning are made of."""

from __future__ import annotations

from collections.abc import Sequence

from kpasim.engines import lower, sampling
from kpasim.engines.outcome import Outcome, OutOfRoom
from kpasim.errors import RunError
from kpasim.results.summary import Figures
from kpasim.spec.experiment import Experiment
from kpasim.studies.run import FIRST_PODS, MOST_PODS, Result, play


class Player:
    """Plays replications of one experiment and remembers how much room they need.

    Attributes:
        experiment: What is played.
        engine: ``"compiled"`` or ``"reference"``.
        params: The experiment in numbers.
    """

    def __init__(self, experiment: Experiment, engine: str) -> None:
        """Prepare what all replications share.

        Raises:
            KpasimError: The experiment cannot be played.
        """
        self.experiment = experiment
        self.engine = engine
        self.params = lower.lower(experiment)
        self._sampler = sampling.Sampler(experiment, self.params)
        self._room = FIRST_PODS

    def figures(self, replications: Sequence[int], threads: int = 1) -> Figures:
        """Figures of merit of some replications, by index.

        Returns:
            One value per replication under each name: those of `results.summary.summarise_many`, ``horizon_s``, and
            those of `results.cost.bill_many` under ``cost.amount`` and so on where every instance type has a price.
            A replication's values do not depend on what else is played, its neighbours in ``replications`` apart:
            they decide about the last bits of sums.
        """
        outcomes = self._outcomes(replications, threads)
        result = Result(self.experiment, self.params, self.engine, self.experiment.seed, outcomes)
        costs = result.cost_figures or {}
        found = {**result.figures, **{f"cost.{name}": values for name, values in costs.items()}}
        return {**found, "horizon_s": result.horizon_s}

    def _outcomes(self, replications: Sequence[int], threads: int) -> list[Outcome]:
        while True:
            try:
                draws = self._sampler.draw_many(replications, pods=self._room, nodes=self._room)
                return play(self.params, draws, self.engine, threads)
            except OutOfRoom as short:
                if short.what == "requests":
                    self.params = lower.more_requests(self.params)
                    self._sampler = sampling.Sampler(self.experiment, self.params)
                else:
                    self._room *= 2
                if self._room > MOST_PODS:
                    name = self.experiment.name
                    raise RunError(f"{name}: more than {MOST_PODS:,} pods (does every pod fail?)") from None
