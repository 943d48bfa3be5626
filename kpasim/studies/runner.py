"""Simulates replications of an experiment, in several calls: the unit of work of sweeps and tuning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from kpasim.engines import lower, sampling
from kpasim.engines.machines import nanoseconds
from kpasim.engines.tables import stacked
from kpasim.results.summary import OF_REQUESTS, Figures
from kpasim.spec.experiment import Experiment
from kpasim.studies.execution.allocation import Allocation
from kpasim.studies.execution.engine import execute
from kpasim.studies.run import Result

MOST_CELLS = 1 << 18
"""Rows of a table, padding included, up to which results are summarised together."""


class Runner(Allocation):
    """Simulates replications of an experiment and remembers the capacity that they need."""

    def __init__(
        self,
        experiment: Experiment,
        engine: str,
        *,
        until_s: float | None = None,
        stretch_s: tuple[float, float] | None = None,
        pods: int = 0,
    ) -> None:
        """Prepare what all replications share.

        Args:
            experiment: The experiment.
            engine: ``"compiled"`` or ``"reference"``.
            until_s: How long after the start of the load a run goes on at least; no load is cut.
            stretch_s: What stands for a month, where that is not the experiment's own steady part.
            pods: Capacity for pods to begin with; 0 for the usual one.

        Raises:
            KpasimError: The experiment cannot be simulated.
        """
        self.engine = engine
        self._unending: Runner | None = None
        self._stretch_s = stretch_s
        params = lower.lower(experiment)
        params = params._replace(until_ns=max(params.until_ns, nanoseconds(until_s)))
        super().__init__(experiment, sampling.Sampler(experiment, params), pods)

    def figures(self, replications: Sequence[int], threads: int = 1) -> Figures:
        """Figures of merit of some replications, by index.

        Returns:
            One value per replication under each name: those of `results.summary.summarise_many`, ``horizon_s``, and
            those of `results.cost.bill_many` under ``cost.amount`` and so on where every instance type has a price.
            A replication's values do not depend on what else is simulated.
        """
        return figures_of([self.result(replications, threads)])

    def slo_figures(self, replications: Sequence[int], threads: int = 1) -> Figures:
        """The same as SLOs see them, see `slo_figures_of`."""
        return slo_figures_of([(self, replications)], threads)[0]

    def unending(self) -> Runner:
        """What simulates the same without the experiment's horizon."""
        if self._unending is None:
            unending = self.experiment.with_settings({"horizon": None})
            self._unending = Runner(unending, self.engine, stretch_s=self._stretch_s)
        return self._unending

    def result(self, replications: Sequence[int], threads: int = 1) -> Result:
        """What some replications leave, by index."""
        outcomes = self.execute(replications, lambda params, draws: execute(params, draws, self.engine, threads))
        return Result(
            self.experiment,
            self.params,
            self.engine,
            self.experiment.seed,
            outcomes,
            numbers=replications,
            stretch_s=self._stretch_s,
        )


def figures_of(results: Sequence[Result]) -> Figures:
    """Figures of several results as `Runner.figures` gives them, one result after the other."""
    found = [_figures_under_same_terms(part) for part in _parts(results)]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def slo_figures_of(work: Sequence[tuple[Runner, Sequence[int]]], threads: int = 1) -> list[Figures]:
    """Figures of replications of several runners as SLOs see them, and requests followed until they have ended.

    Where an experiment's horizon leaves requests in flight, the same replications are simulated again without it:
    requests count as they ended, all else as at the horizon.

    Returns:
        For each runner what `Runner.figures` gives, with requests as `studies.run.Terms.of_slos` says.
    """
    found: list[Figures] = []
    for part in _parts(runner.result(replications, threads) for runner, replications in work):
        figures, end = _figures_under_same_terms(part, of_slos=True), 0
        for one in part:
            begin, end = end, end + one.replications
            found.append({name: values[begin:end] for name, values in figures.items()})
    for place, (runner, replications) in enumerate(work):
        if runner.experiment.horizon_s is not None and found[place]["in_flight"].any():
            later = runner.unending().slo_figures(replications, threads)
            found[place] |= {name: later[name] for name in OF_REQUESTS}
    return found


def _parts(results: Iterable[Result]) -> Iterator[list[Result]]:
    """Results that follow each other under the same terms, as many as are worked out together.

    Of a few short runs, calling numpy takes more time than the numbers.
    """
    part: list[Result] = []
    runs = width = 0
    for one in results:
        runs, width = runs + one.replications, max(width, _width(one))
        if part and (part[0].terms != one.terms or runs * width > MOST_CELLS):
            yield part
            part, runs, width = [], one.replications, _width(one)
        part.append(one)
    if part:
        yield part


def _width(result: Result) -> int:
    """Rows of the largest table of a result's runs."""
    return max(len(table) for one in result.outcomes for table in (one.requests, one.ticks, one.scaling, one.pods))


def _figures_under_same_terms(results: Sequence[Result], *, of_slos: bool = False) -> Figures:
    terms = results[0].terms
    tables = stacked([one for result in results for one in result.outcomes])
    horizon_s, never_sent = (
        np.concatenate([getattr(result, name) for result in results]) for name in ("horizon_s", "never_sent")
    )
    costs = terms.bills(tables, horizon_s) or {}
    figures = {
        **terms.figures(tables, horizon_s, never_sent),
        **{f"cost.{name}": values for name, values in costs.items()},
        "horizon_s": horizon_s,
    }
    return terms.of_slos(figures, tables.requests) if of_slos else figures
