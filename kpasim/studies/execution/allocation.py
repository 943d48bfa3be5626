"""Allocates random draws for a run, and doubles them until the run fits.

The number of pods and requests of a run is not known in advance.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kpasim.engines import sampling
from kpasim.engines.outcome import CapacityExceeded
from kpasim.engines.params import Draws, Params
from kpasim.errors import RunError
from kpasim.spec.experiment import Experiment

Returned = TypeVar("Returned")

FIRST_PODS = 32
"""Initial capacity for pods at least; doubled until a run fits."""
MOST_PODS = 1 << 20
"""Maximum capacity for pods; a run that needs more is an error."""


class Allocation:
    """Parameters and random draws of an experiment, with capacity for the pods and requests of its runs.

    Attributes:
        experiment: The experiment.
        sampler: Source of its random draws.
        pods: Pods, and added nodes, with draws.
    """

    def __init__(
        self, experiment: Experiment, sampler: sampling.Sampler, pods: int = 0, most_pods: int = MOST_PODS
    ) -> None:
        self.experiment = experiment
        self.sampler = sampler
        # With this many pods from the beginning, a long run seldom has to begin again.
        self.pods = pods or max(FIRST_PODS, min(sampler.params.requests // sampling.REQUESTS_PER_POD, most_pods))
        self._most_pods = most_pods

    @property
    def params(self) -> Params:
        """The experiment in numbers."""
        return self.sampler.params

    def execute(self, replications: Sequence[int], execute: Callable[[Params, list[Draws]], Returned]) -> Returned:
        """Result of ``execute`` for some replications, given the parameters and the draws; see ``fit``."""
        return self.fit(lambda: execute(self.params, self.sampler.draw_many(replications, pods=self.pods)))

    def fit(self, execute: Callable[[], Returned]) -> Returned:
        """Result of ``execute``, which is repeated with more capacity until the run fits.

        Raises:
            RunError: The run needs more than the maximum capacity.
        """
        while True:
            try:
                return execute()
            except CapacityExceeded as short:
                self._grow(short)

    def _grow(self, short: CapacityExceeded) -> None:
        if short.what == "requests":
            more = self.params._replace(requests=2 * self.params.requests)
            self.sampler = sampling.Sampler(self.experiment, more, self.sampler.recorded)
            return
        self.pods *= 2
        if self.pods > self._most_pods:
            problem = f"more than {self._most_pods:,} pods (does every pod fail?)"
            raise RunError(f"{self.experiment.name}: {problem}") from None


def in_parts(
    experiment: Experiment,
    sampler: sampling.Sampler,
    count: int,
    play: Callable[[int, int], Returned],
    *,
    threads: int,
    pods: int = FIRST_PODS,
    progress: Callable[[int], None] | None = None,
) -> list[Returned]:
    """Simulate long replications, whose random numbers are generated in parts.

    Args:
        experiment: The experiment.
        sampler: Source of random draws.
        count: How many replications.
        play: Simulates a replication, given its index and the capacity for pods between two stops.
        threads: Replications simulated at the same time.
        pods: Capacity to begin with.
        progress: Called with the number of replications finished so far.

    Raises:
        RunError: A run needs more than the maximum capacity.
    """

    def execute(replication: int) -> Returned:
        allocation = Allocation(experiment, sampler, pods)
        return allocation.fit(lambda: play(replication, allocation.pods))

    done: list[Returned] = []
    with ThreadPoolExecutor(min(threads, count)) as pool:
        # What a thread of its own frees, the memory of this one does not get.
        for one in map(execute, range(count)) if count == 1 else pool.map(execute, range(count)):
            done.append(one)
            if progress:
                progress(len(done))
    return done
