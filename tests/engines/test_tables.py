"""The tables of a run, against plain counts over its raw columns."""

import numpy as np

from kpasim import load, simulate
from kpasim.engines import outcome as of
from kpasim.engines.params import NEVER_NS
from tests.documented import ROOT


def test_each_change_of_scale_counts_the_pods_of_each_state() -> None:
    """Starting, pending and terminating pods at each row are what going through all pods gives."""
    result = simulate(load(ROOT / "experiments" / "finite-gpus.yaml"), replications=3)
    for number, one in enumerate(result.outcomes):
        scaling, pods = result.tables(number).scaling, one.pods.tolist()
        expected: dict[str, list[int]] = {"starting": [], "pending": [], "draining": []}
        for t in one.scaling[of.SCALING_T].tolist():
            states = [_state(pod, t) for pod in pods]
            for name, counts in expected.items():
                counts.append(states.count(name))
        assert {name: scaling[name].tolist() for name in expected} == expected
        assert max(expected["starting"]) > 0


def _state(pod: list[int], t: int) -> str:
    def since(column: int) -> bool:
        return pod[column] != NEVER_NS and pod[column] <= t

    if not since(of.CREATED) or since(of.GONE):
        return "none"
    if since(of.ASKED):
        return "draining"
    if not since(of.SCHEDULED):
        return "pending"
    return "ready" if since(of.READY) else "starting"


def test_brief_tables_are_the_same_without_requests_and_reasons() -> None:
    """What a timeline shows is the same in brief tables."""
    result = simulate(load(ROOT / "experiments" / "finite-gpus.yaml"), replications=1)
    whole, brief = result.tables(), result.tables(brief=True)

    assert brief.requests == {}
    for name in ("pods", "ticks", "scaling", "nodes"):
        for column, values in getattr(brief, name).items():
            np.testing.assert_array_equal(values, getattr(whole, name)[column], f"{name} {column}")
    assert set(whole.ticks) - set(brief.ticks) == {
        "target", "desired_stable", "desired_panic", "excess_burst_capacity", "rule", "poke",
    }  # fmt: skip
