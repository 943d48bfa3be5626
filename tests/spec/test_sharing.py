"""How many requests a container works on at once: what the model says, or one for each GPU or CPU."""

from typing import Any

import numpy as np
import pytest

from kpasim.engines.lower import lower
from kpasim.errors import RunError
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.spec.sharing import sharing, sharing_note
from kpasim.studies.run import simulate
from kpasim.studies.search.space import check_sharing, default_axes
from tests.services import service


def experiment(concurrency: int, service_time: Any = "4s", resources: Any = None, **rest: Any) -> Experiment:
    """A pod that takes ``concurrency`` requests at a time."""
    container = {"resources": resources} if resources else {}
    return from_mapping(
        {
            "service": service(container=container, containerConcurrency=concurrency),
            "workload": {"kind": "constant", "rate": 1, "duration": "60s"},
            "model": {"name": "m", "service-time": service_time, "cold-start": "5s"},
            **rest,
        }
    )


GPUS = {"limits": {"nvidia.com/gpu": "2"}}


@pytest.mark.parametrize(
    ("resources", "slots"),
    [
        (None, 1),
        (GPUS, 2),
        ({"requests": {"cpu": "3"}, "limits": {"cpu": "8"}}, 3),
        ({"limits": {"cpu": 4}}, 4),
        ({"requests": {"cpu": "500m"}}, 1),
        ({"requests": {"cpu": "2500m"}}, 2),
        ({**GPUS, "requests": {"cpu": "16"}}, 2),
    ],
)
@pytest.mark.parametrize("concurrency", [0, 4])
def test_a_silent_model_works_on_one_request_for_each_gpu_or_cpu(concurrency: int, resources: Any, slots: int) -> None:
    """A GPU counts before CPUs, requests before limits, and less than one CPU is one."""
    found = sharing(experiment(concurrency, resources=resources))

    assert (slots, True, True) == (found.slots, found.assumed, found.possible)
    assert found.text.startswith("Assumed: ")
    assert slots == lower(experiment(concurrency, resources=resources)).slots


@pytest.mark.parametrize(
    ("service_time", "slots", "text"),
    [
        ({"time": "4s", "slots": 1}, 1, "The model: a container works on 1 request at a time."),
        ({"time": "4s", "slots": 3}, 3, "The model: a container works on 3 requests at a time, each at full speed."),
        (
            {"time": "4s", "slots": 0},
            0,
            "The model: a container works on any number of requests at a time, each at full speed.",
        ),
        (
            {"time": "4s", "slowdown": [1, 1.5]},
            4,
            "The model: a container works on 4 requests at a time, each slowed down by the factor 1, 1.5 with 1, 2, 3 "
            "... of them.",
        ),
    ],
)
def test_what_the_model_says_counts(service_time: Any, slots: int, text: str) -> None:
    """Slots, or a slow-down with as many slots as containerConcurrency."""
    found = sharing(experiment(4, service_time))

    assert (slots, False, text) == (found.slots, found.assumed, found.text)


def test_a_pod_that_takes_one_request_at_a_time_shares_nothing() -> None:
    """No line is shown then, unless containerConcurrency takes other values as well."""
    assert sharing_note(experiment(1)) == ""
    assert sharing_note(experiment(1), varied=True).startswith("Assumed: a container works on 1 request at a time")


def test_no_two_requests_overlap_in_a_pod_of_a_silent_model() -> None:
    """Up to four are inside, and the container works on them one after the other."""
    given = experiment(4, workload={"kind": "hey", "requests": 12, "concurrency": 4}, replications=1)

    rows = simulate(given, engine="reference").tables().requests

    for pod in set(rows["pod"]):
        starts, ends = (np.sort(rows[name][rows["pod"] == pod]) for name in ("server_start_s", "server_end_s"))
        assert (starts[1:] >= ends[:-1] - 1e-9).all()
    assert (rows["server_start_s"] > rows["server_arrival_s"] + 3.0).any()


def test_tune_does_not_vary_containerconcurrency_under_a_silent_model() -> None:
    """Neither of itself nor when asked; one value alone compares nothing."""
    with pytest.raises(RunError, match="the model has no contention factor"):
        check_sharing(experiment(4), {"service.containerConcurrency": [1, 2]})

    check_sharing(experiment(4), {"service.containerConcurrency": [2]})
    check_sharing(experiment(4, {"time": "4s", "slots": 2}), {"service.containerConcurrency": [1, 2]})
    assert "service.containerConcurrency" not in default_axes(experiment(4))
    assert [1, 2] == default_axes(experiment(4, {"time": "4s", "slots": 2}))["service.containerConcurrency"]
