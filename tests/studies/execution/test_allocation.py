"""A run gets the capacity that it needs, or ends with an error."""

from typing import Any

import numpy as np
import pytest

from kpasim.engines import reference
from kpasim.engines.lower import lower
from kpasim.engines.outcome import CapacityExceeded, Outcome
from kpasim.engines.params import Draws, Params
from kpasim.engines.sampling import Recorded, Sampler
from kpasim.errors import RunError
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.execution.allocation import Allocation
from tests.engines.agreement import first_difference
from tests.services import service


def experiment(**changes: Any) -> Experiment:
    """Twelve clients at once, each of whom gets a pod."""
    return from_mapping(
        {
            "service": service(containerConcurrency=1),
            "workload": {"kind": "hey", "requests": 24, "concurrency": 12, "timeout": "0"},
            "model": {"service-time": {"distribution": "exponential", "mean": "30s"}, "cold-start": "10s"},
            **changes,
        }
    )


def simulated(params: Params, draws: list[Draws]) -> list[Outcome]:
    """Replications in the reference engine."""
    return [reference.run(params, one) for one in draws]


def test_a_run_gets_as_much_room_as_it_needs():
    """With initial capacity for two pods, a run has the same tables as with capacity for many."""
    what = experiment()
    tight, wide = (Allocation(what, Sampler(what, lower(what)), pods=pods) for pods in (2, 64))

    for found, expected in zip(tight.execute([0, 1], simulated), wide.execute([0, 1], simulated), strict=True):
        assert not first_difference(found, expected)
    assert tight.pods > 8
    assert wide.pods == 64


def test_more_requests_keep_what_was_recorded():
    """A load by the clock that sends more than was thought is simulated with the measured times it began with."""
    what = experiment(workload={"kind": "hey", "duration": "60s", "concurrency": 2})
    measured = Recorded(service_s=np.full(500, 0.05))
    allocation = Allocation(what, Sampler(what, lower(what, measured), measured))
    few = allocation.params.requests
    [outcome] = allocation.execute([0], simulated)

    assert len(outcome.requests) > few
    assert allocation.params.requests >= len(outcome.requests)
    assert allocation.sampler.recorded is measured


def test_a_run_without_bounds_is_given_up():
    """What never has enough pods ends with a line that says so, and is not tried for ever."""
    what = experiment()
    allocation = Allocation(what, Sampler(what, lower(what)), pods=4, most_pods=16)
    tried: list[int] = []

    def never_enough() -> None:
        tried.append(allocation.pods)
        raise CapacityExceeded("pods")

    with pytest.raises(RunError, match="painter: more than 16 pods"):
        allocation.fit(never_enough)
    assert tried == [4, 8, 16]
