"""Loads whose cost was out of proportion once: what a request costs, and how the cost grows with the duration.

`benchmarks/speed.py` measures them. By itself, `python benchmarks/shapes.py NAME` prints the CPU time of a request of
one load [µs], which `speed.py --before` asks of an older version.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kpasim.engines import compiled, lower, sampling
from kpasim.spec.experiment import Experiment, from_mapping

REPEATS = 3
SHARING = {"time": {"distribution": "exponential", "mean": "10s"}, "slots": 0, "slowdown": [1.0, 1.0]}
ONE_POD = {"min-scale": "1", "max-scale": "1", "target": "1000"}


def experiment(
    workload: Mapping[str, Any],
    service_s: float = 10.0,
    *,
    annotations: Mapping[str, str] = {},
    concurrency: int = 1,
    model: Mapping[str, Any] = {},
    **more: Any,
) -> Experiment:
    """One request at a time on each pod, exponential service, 30 s for a cold start, Knative's defaults."""
    metadata = {"annotations": {f"autoscaling.knative.dev/{key}": value for key, value in annotations.items()}}
    spec = {"containerConcurrency": concurrency, "containers": [{"image": "example.com/model"}]}
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "load"},
        "spec": {"template": {"metadata": metadata, "spec": spec}},
    }
    service_time = {"distribution": "exponential", "mean": f"{service_s}s"}
    model = {"service-time": service_time, "cold-start": "30s", **model}
    return from_mapping({"service": service, "workload": workload, "model": model, **more})


class Shape(NamedTuple):
    """A load.

    Attributes:
        rate: Requests a second, Poisson.
        requests: Requests, on average.
        pods: Pods there are random numbers for.
        service_s: Mean service time, exponential.
        more: What else ``experiment`` takes.
        shorter: The duration that ten times as much is compared with, as a part of its own.
    """

    rate: float
    requests: int
    pods: int
    service_s: float = 10.0
    more: Mapping[str, Any] = {}
    shorter: float = 0.1

    def experiment(self, times: float = 1.0) -> Experiment:
        """The experiment, ``times`` as long."""
        duration = f"{times * self.requests / self.rate}s"
        workload = {"kind": "poisson", "rate": self.rate, "duration": duration, "timeout": "0s"}
        return experiment(workload, self.service_s, **self.more)


def _stage(**settings: Any) -> dict[str, Any]:
    return {
        "cold-start": {"stages": [{"name": "weights", "kind": "pull", **settings}, {"name": "start", "time": "25s"}]}
    }


SHAPES = {
    "headline": Shape(1, 200_000, 1 << 18),
    "50 a second": Shape(50, 200_000, 1 << 15, 1.0),
    "500 a second": Shape(500, 200_000, 1 << 16, 1.0),
    "50 a second of 10 s, 700 pods": Shape(50, 200_000, 1 << 16),
    "100 a second from one pod, 4,500 pods": Shape(100, 30_000, 1 << 14, 1.0),
    "200 a second from one pod, 9,200 pods": Shape(200, 60_000, 1 << 15, 1.0),
    # In a tenth of the minute no pod has started yet, so the minute is compared with ten.
    "5,000 a second from one pod for a minute": Shape(5000, 300_000, 1 << 19, 1.0, shorter=1.0),
    "a pool of 32 GPUs, 20 a second of 10 s": Shape(
        20, 20_000, 1 << 16, more={"cluster": {"nodes": {"count": 32, "gpus-per-node": 1}}}
    ),
    "1,000 requests share a GPU": Shape(
        100, 50_000, 64, more={"concurrency": 0, "model": {"service-time": SHARING}, "annotations": ONE_POD}
    ),
    "a stage for two pods at a time": Shape(
        1, 100_000, 1 << 17, more={"model": _stage(**{"time": "5s", "at-a-time": 2})}
    ),
    "a stage with shared bandwidth": Shape(
        1, 100_000, 1 << 17, more={"model": _stage(bandwidth={"size": "2G", "shared-bandwidth": "400M"})}
    ),
}  # fmt: skip


class Row(NamedTuple):
    """What was measured of a shape.

    Attributes:
        name: Its name.
        requests: Requests simulated.
        pods: Pods that were made.
        us: CPU time of a request [µs].
    """

    name: str
    requests: int
    pods: int
    us: float


def prepared(shape: Shape, times: float = 1.0) -> tuple[Callable[[], Any], int]:
    """What simulates a shape once, and the number of its requests."""
    what = shape.experiment(times)
    params = lower.lower(what)
    [draws] = sampling.Sampler(what, params).draw_many([0], pods=shape.pods, nodes=shape.pods)
    return lambda: compiled.run(params, draws), len(draws.sent)


def measured(names: list[str], repeats: int = REPEATS) -> list[Row]:
    """Each shape, in rounds, so that all meet the same neighbours on a shared machine."""
    works = {name: prepared(SHAPES[name]) for name in names}
    pods = {name: len(work().pods) for name, (work, _) in works.items()}
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats):
        for name, (work, requests) in works.items():
            begun = time.process_time()
            work()
            times[name].append((time.process_time() - begun) / requests * 1e6)
    return [Row(name, works[name][1], pods[name], statistics.median(each)) for name, each in times.items()]


def growth(name: str, repeats: int = REPEATS) -> float:
    """Times the CPU time for ten times the duration."""
    shape = SHAPES[name]
    works = [prepared(shape, times) for times in (shape.shorter, 10.0 * shape.shorter)]
    spent: list[list[float]] = [[], []]
    for _ in range(repeats):
        for place, (work, _) in enumerate(works):
            begun = time.process_time()
            work()
            spent[place].append(time.process_time() - begun)
    short, long = map(statistics.median, spent)
    return long / short


def rows() -> list[tuple[str, ...]]:
    """The table of all shapes."""
    found = measured(list(SHAPES))
    lines: list[tuple[str, ...]] = [
        ("load", "requests", "pods", "CPU time of a request", "to the first", "10 times the duration")
    ]
    for row in found:
        times = f"{growth(row.name):.1f} times"
        cells = (f"{row.requests:,}", f"{row.pods:,}", f"{row.us:.2f} µs", f"{row.us / found[0].us:.1f}", times)
        lines.append((row.name, *cells))
    return lines


if __name__ == "__main__":
    print(measured(sys.argv[1:])[0].us)
