"""KServe's storage initializer: size over bandwidth before the container, in every pod or once on a node."""

import pytest

from kpasim.errors import ExperimentError
from kpasim.spec.experiment import from_mapping
from kpasim.studies.run import simulate
from tests.services import service

SIZE_S = 30.0
"""12 GB at 400 MB/s."""


def usable_s(stage: dict[str, object], clients: int = 1, nodes: int = 4) -> list[float]:
    """How long after its creation each pod is usable [s]."""
    container = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    experiment = from_mapping(
        {
            "service": service({"target-utilization-percentage": 100}, container=container, containerConcurrency=1),
            "workload": {"kind": "hey", "requests": clients, "concurrency": clients, "timeout": "600s"},
            "model": {"service-time": "40s", "cold-start": {"stages": [stage, {"name": "load", "time": "5s"}]}},
            "cluster": {"nodes": {"gpus-per-node": 8 // nodes, "count": nodes}},
            "start": "zero",
        }
    )
    pods = simulate(experiment, replications=1, engine="reference").tables().pods
    return sorted(float(end - begin) for begin, end in zip(pods["created_s"], pods["usable_s"], strict=True))


def stage(**keys: object) -> dict[str, object]:
    """A storage initializer."""
    return {"name": "model", "kind": "storage-initializer", **keys}


def test_each_pod_downloads_for_size_over_its_own_bandwidth() -> None:
    """However many there are."""
    none = usable_s(stage())
    alone = usable_s(stage(bandwidth={"size": "12G", "per-pod": "400M"}))
    assert alone[0] - none[0] == pytest.approx(SIZE_S, abs=1.5)
    four = usable_s(stage(bandwidth={"size": "12G", "per-pod": "400M"}), clients=4)
    assert len(four) == 4
    assert four == pytest.approx([alone[0]] * 4, abs=1.5)


def test_a_bandwidth_that_pods_share_is_divided() -> None:
    """Four at once take four times as long."""
    none = usable_s(stage(), clients=4)
    four = usable_s(stage(bandwidth={"size": "12G", "shared-bandwidth": "400M"}), clients=4)
    assert four[-1] - none[-1] == pytest.approx(4 * SIZE_S, rel=0.1)


def test_a_model_cache_is_filled_by_the_first_pod_of_a_node() -> None:
    """On one node four pods share one download; without a cache each has its own."""
    keys = {"bandwidth": {"size": "12G", "shared-bandwidth": "400M"}}
    none = usable_s(stage(), clients=4, nodes=1)
    cached = usable_s(stage(**keys, **{"cached-per-node": True}), clients=4, nodes=1)
    assert cached[-1] - none[-1] == pytest.approx(SIZE_S, rel=0.1)
    assert usable_s(stage(**keys), clients=4, nodes=1)[-1] - none[-1] == pytest.approx(4 * SIZE_S, rel=0.1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"bandwidth": {"size": "1G", "per-pod": "1M", "shared-bandwidth": "1M"}}, "needs shared-bandwidth or per-pod"),
        ({"bandwidth": {"size": "1G"}}, "needs shared-bandwidth or per-pod"),
        ({"time": "1s", "when": "first-request"}, "ends before the container starts"),
    ],
)
def test_a_download_that_cannot_be_is_refused(keys: dict[str, object], message: str) -> None:
    """In one line."""
    with pytest.raises(ExperimentError, match=message):
        usable_s(stage(**keys))
