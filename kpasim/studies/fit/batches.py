"""Simulates an experiment many times, each time with other parameters of its model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from kpasim.engines import lower, sampling
from kpasim.engines.outcome import Outcome
from kpasim.engines.params import SECOND_NS
from kpasim.spec.experiment import Experiment
from kpasim.studies.execution.allocation import Allocation
from kpasim.studies.execution.engine import ready
from kpasim.studies.fit.candidates import Candidate, Parameter, service_time
from kpasim.studies.fit.lines import Runs

Floats = NDArray[np.float64]

BATCH = 250
"""Runs whose random numbers are made together."""
MOST_PODS = 1 << 16
"""A run that needs more pods than this cannot explain the measured run."""
PLACEHOLDER = "1s"


class Simulator:
    """Simulates an experiment under a candidate model.

    Attributes:
        candidate: The shape of the model.
        parameters: The uncertain numbers, in the order of their columns.
    """

    def __init__(
        self,
        experiment: Experiment,
        candidate: Candidate,
        service: Sequence[Parameter],
        horizon_s: float,
        seed: int,
    ) -> None:
        self.candidate = candidate
        self.parameters = (*service, *candidate.starts)
        self.experiment = shaped(experiment, candidate).with_settings({"horizon": f"{horizon_s:.6f}s", "seed": seed})
        sampler = sampling.Sampler(self.experiment, lower.lower(self.experiment))
        self._allocation = Allocation(self.experiment, sampler, most_pods=MOST_PODS)

    def values(self, z: Floats) -> dict[str, Floats]:
        """Parameters by name for points of the prior, shape ``(runs, parameters)``."""
        return {one.name: one.value(z[:, place]) for place, one in enumerate(self.parameters)}

    def execute(self, z: Floats, first: int, threads: int, progress: Callable[[int], None] | None = None) -> Runs:
        """Simulate a run for each point of the prior (a row); ``first`` is the first replication."""

        def one(begin: int) -> list[Outcome]:
            part = z[begin : begin + BATCH]
            done = self._execute(part, range(first + begin, first + begin + len(part)))
            if progress:
                progress(len(part))
            return done

        ready()  # before threads ask for it
        with ThreadPoolExecutor(threads) as pool:
            outcomes = [outcome for batch in pool.map(one, range(0, len(z), BATCH)) for outcome in batch]
        params = self._allocation.params
        counted = params.closed and not params.load_duration_ns
        return _runs(outcomes, params.requests if counted else None)

    def _execute(self, z: Floats, replications: range) -> list[Outcome]:
        from kpasim.engines import compiled

        allocation = self._allocation
        if not allocation.params.closed and len(z) > 1:  # runs of an open load differ in how many requests they have
            return [self._execute(z[i : i + 1], replications[i : i + 1])[0] for i in range(len(z))]
        values = self.values(z)
        times = allocation.sampler.times_of(0)
        found = iter(self.candidate.times(values))
        types = len(allocation.params.type_factor)
        # A transfer over a shared connection is a stage without a time of its own; see `machines.stages`.
        stages = [
            own if size else (next(found),) * types
            for own, size in zip(times.stages, allocation.params.stage_bytes, strict=True)
        ]
        times = times._replace(service=(service_time(values),), stages=tuple(stages))  # type: ignore[arg-type]
        settings = self.candidate.settings(values, allocation.params)

        def execute() -> list[Outcome]:
            params = allocation.params
            draws = allocation.sampler.draw_with(replications, [times], allocation.pods, allocation.pods)
            if not settings:
                return compiled.run_many(params, draws)
            return [
                compiled.run(params._replace(**{name: rows[i] for name, rows in settings.items()}), one)
                for i, one in enumerate(draws)
            ]

        return allocation.fit(execute)


def shaped(experiment: Experiment, candidate: Candidate) -> Experiment:
    """An experiment whose model has the shape of a candidate, with times that mean nothing yet."""
    stages = [{**stage, **({} if "bandwidth" in stage else {"time": PLACEHOLDER})} for stage in candidate.stages]
    time = {"distribution": "shifted-lognormal", "shift": PLACEHOLDER, "median": PLACEHOLDER, "sigma": 0.5}
    return experiment.with_settings(
        {
            "model.posterior": None,
            "model.service-time.classes": None,
            "model.service-time.time": time,
            "model.cold-start.stages": stages,
        }
    )


def _runs(outcomes: Sequence[Outcome], requests: int | None) -> Runs:
    width = requests or max((len(one.requests) for one in outcomes), default=0)
    start = np.full((len(outcomes), width), np.nan)
    latency, status = start.copy(), np.zeros(start.shape, dtype=np.int64)
    whole = np.zeros(len(outcomes), dtype=bool)
    for row, one in enumerate(outcomes):
        count = len(one.requests)
        ended = one.requests["status"] >= 0
        start[row, :count] = (one.requests["sent_ns"] - one.load_ns) / SECOND_NS
        latency[row, :count] = np.where(
            ended, (one.requests["response_ns"] - one.requests["sent_ns"]) / SECOND_NS, np.nan
        )
        status[row, :count] = np.where(ended, one.requests["status"], 0)
        whole[row] = count > 0 and count == (requests or count) and bool(ended.all())
    return Runs(start, latency, status, whole)
