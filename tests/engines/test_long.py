"""Long runs in parts: the same tables as at one go."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from kpasim.arrays import Ints
from kpasim.engines import compiled, long, lower, sampling
from kpasim.engines.outcome import CapacityExceeded
from kpasim.engines.params import Draws
from kpasim.engines.sampling import Sampler
from tests.engines import agreement
from tests.engines.agreement import first_difference
from tests.engines.strategies import Run, runs
from tests.engines.test_stream import LOADS, experiment

BURSTS = {
    "kind": "bursts", "low": 0.02, "high": 3.0, "low-for": "3m", "high-for": "30s", "duration": "3h", "timeout": "4s",
}  # fmt: skip
TIME = {"distribution": "lognormal", "median": "3s", "sigma": 2.0}
STOPS = {"cold-start": "2s", "cancel-stops-work": False, "shutdown": {"drains-on-sigterm": False, "stop-time": "1s"}}
IMPATIENT = {
    "work for clients that have gone": {"service-time": TIME, **STOPS},
    "shared work for clients that have gone": {"service-time": {"time": TIME, "slowdown": [1.0, 1.7]}, **STOPS},
}
RATED = {name: one for name, one in LOADS.items() if one.workload.has_parts} | {
    "a wave": experiment(
        0, {"kind": "diurnal", "mean": 1.0, "amplitude": 0.8, "period": "1h", "duration": "2h", "timeout": "4s"}
    ),
    "clients that give up": experiment(
        0,
        {"kind": "poisson", "rate": 4.0, "duration": "10m", "timeout": "3s"},
        annotations={"max-scale": "2"},
        horizon="9m",
    ),
    **{name: experiment(0, BURSTS, annotations={"window": "10s"}, model=model) for name, model in IMPATIENT.items()},
}  # fmt: skip


class Known:
    """Gives the random numbers of a drawn run in parts, as a `Sampler` does."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws

    def __getattr__(self, name: str) -> Any:
        """The n-th of the draws `name` on; behind the end, which no run that fits comes to, there are zeros."""
        tables = {"delays": ("delay", "klass"), "services": ("service", "first_byte"), "pods": "pod", "nodes": "node"}
        names = tables[name]

        def some(_: int, first: int, count: int) -> Any:
            if isinstance(names, str):
                return _rows(getattr(self._draws, names), first, count)
            return tuple(_rows(getattr(self._draws, one), first, count) for one in names)

        return some

    def sent(self, _: int) -> Ints:
        """Send times of the requests."""
        return self._draws.sent

    def draw_but_requests(self, _: int, pods: int) -> Draws:
        """Draws of the first pods and nodes, and of the clocks."""
        return self._draws._replace(pod=self.pods(0, 0, pods), node=self.nodes(0, 0, pods))


def _rows(table: Ints, first: int, count: int) -> Ints:
    there = table[first : first + count]
    behind = np.zeros((count - len(there), *table.shape[1:]), dtype=table.dtype)
    return np.concatenate([there, behind]) if len(table) else table


@pytest.mark.parametrize("size", [64, 500])
@pytest.mark.parametrize("name", list(RATED))
def test_parts_leave_the_tables_of_one_go(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped every few dozen requests, a run leaves the same tables, bit for bit."""
    monkeypatch.setattr(sampling, "PART", size)
    params = lower.lower(RATED[name])
    sampler = Sampler(RATED[name], params)
    whole = compiled.run(params, sampler.draw(0, pods=4096))
    assert not first_difference(long.play(params, sampler, 0, 512), whole)


def test_any_run_leaves_the_same_tables_in_parts(monkeypatch: pytest.MonkeyPatch, record_property: Any) -> None:
    """Experiments over the whole model, stopped at every third request, leave the tables of one go, bit for bit."""
    monkeypatch.setattr(sampling, "PART", 3)
    seen: Counter[str] = Counter()

    @settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(runs())
    def hold(run: Run) -> None:
        params, draws = run.params, run.draws
        if params.closed or len(draws.own_service) or len(draws.sent) < 4:
            return
        try:
            whole = compiled.run(params, draws)
        except CapacityExceeded:
            return
        parts = long.play(params, Known(draws), 0, len(draws.pod))  # type: ignore[arg-type]
        assert not first_difference(parts, whole)
        seen.update({"experiments"} | agreement.gone_through(run, whole))

    hold()
    record_property("agreement", agreement.summary(seen))
    assert seen["experiments"] > 60
    missing = [name for name in ("status 0", "status 502", "an orphan", "a pod gone") if not seen[name]]
    assert not missing
