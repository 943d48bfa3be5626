"""Simulates an experiment many times, each time with other parameters of its model."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kpasim.arrays import Array, Floats
from kpasim.engines import lower, sampling
from kpasim.engines.params import SECOND_NS
from kpasim.spec.experiment import Experiment
from kpasim.studies.execution.allocation import Allocation
from kpasim.studies.execution.engine import ready
from kpasim.studies.fit.candidates import Candidate, Parameter, service_time
from kpasim.studies.fit.lines import Runs

_Played = tuple[Array, int]
"""The requests of a run, and when its load began [ns]."""

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

        def one(begin: int) -> list[_Played]:
            part = z[begin : begin + BATCH]
            done = self._execute(part, range(first + begin, first + begin + len(part)))
            if progress:
                progress(len(part))
            return done

        ready()  # before threads ask for it
        with ThreadPoolExecutor(threads) as pool:
            played = [run for batch in pool.map(one, range(0, len(z), BATCH)) for run in batch]
        params = self._allocation.params
        counted = params.closed and not params.load_duration_ns
        return _runs(played, params.requests if counted else None)

    def _execute(self, z: Floats, replications: range) -> list[_Played]:
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

        def execute() -> list[_Played]:
            params = allocation.params
            draws = allocation.sampler.draw_with(replications, [times], allocation.pods, allocation.pods)
            return compiled.requests_of_each(params, draws, settings)

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


def _runs(played: Sequence[_Played], requests: int | None) -> Runs:
    counts = np.array([len(each) for each, _ in played], dtype=np.int64)
    width = requests or int(counts.max(initial=0))
    there = np.arange(width) < counts[:, None]
    rows = np.concatenate([each for each, _ in played])
    load_ns = np.repeat([begun_ns for _, begun_ns in played], counts)
    ended = rows["status"] >= 0
    start, latency, status = np.full(there.shape, np.nan), np.full(there.shape, np.nan), np.zeros(there.shape, np.int64)
    start[there] = (rows["sent_ns"] - load_ns) / SECOND_NS
    latency[there] = np.where(ended, (rows["response_ns"] - rows["sent_ns"]) / SECOND_NS, np.nan)
    status[there] = np.where(ended, rows["status"], 0)
    lost = np.bincount(np.repeat(np.arange(len(counts)), counts)[~ended], minlength=len(counts))
    return Runs(start, latency, status, (counts > 0) & (counts == (requests or counts)) & (lost == 0))
