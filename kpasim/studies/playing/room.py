"""Room for the pods and requests of a run, of which nobody knows how many they are before it was played."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from kpasim.engines import lower, sampling
from kpasim.engines.outcome import OutOfRoom
from kpasim.engines.params import Draws, Params
from kpasim.errors import RunError
from kpasim.spec.experiment import Experiment

Played = TypeVar("Played")

FIRST_PODS = 32
"""Pods that there are draws for at first; a run that needs more gets twice as many until they are enough."""
MOST_PODS = 1 << 20
"""A run that needs more pods than this has gone wrong."""


class Room:
    """An experiment in numbers and its random numbers, with as much room as was found to be needed.

    Attributes:
        experiment: What is played.
        sampler: Its random numbers.
        pods: Pods, and added nodes, that there are draws for.
    """

    def __init__(
        self, experiment: Experiment, sampler: sampling.Sampler, pods: int = FIRST_PODS, most_pods: int = MOST_PODS
    ) -> None:
        self.experiment = experiment
        self.sampler = sampler
        self.pods = pods
        self._most_pods = most_pods

    @property
    def params(self) -> Params:
        """The experiment in numbers."""
        return self.sampler.params

    def play(self, replications: Sequence[int], play: Callable[[Params, list[Draws]], Played]) -> Played:
        """What ``play`` makes of some replications, given the experiment and their random numbers; see ``fit``."""
        return self.fit(lambda: play(self.params, self.sampler.draw_many(replications, pods=self.pods)))

    def fit(self, play: Callable[[], Played]) -> Played:
        """What ``play`` returns, called again with more room until it finds enough.

        Raises:
            RunError: It needs more than any sound run does.
        """
        while True:
            try:
                return play()
            except OutOfRoom as short:
                self._grow(short)

    def _grow(self, short: OutOfRoom) -> None:
        if short.what == "requests":
            more = lower.more_requests(self.params)
            self.sampler = sampling.Sampler(self.experiment, more, self.sampler.recorded)
            return
        self.pods *= 2
        if self.pods > self._most_pods:
            problem = f"more than {self._most_pods:,} pods (does every pod fail?)"
            raise RunError(f"{self.experiment.name}: {problem}") from None
