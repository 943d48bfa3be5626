"""How long it takes to observe a week at 20 requests a second, from a VictoriaMetrics on this machine.

    python benchmarks/observe.py

makes the series of autoscaler, activator and 30 pods at a time (a new pod every 24 min) with a scrape every 15 s, 43
million samples, puts them into the server, observes the week and prints the time. It needs victoria-metrics (apt-get
install victoria-metrics) and 1 GB of disk.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kpasim.records.prometheus.client import Client
from kpasim.records.prometheus.observe import from_server
from kpasim.records.prometheus.selection import Served
from kpasim.records.prometheus.simulated import GAUGES
from tests.records.prometheus.servers import victoria_metrics

BEGIN, WEEK_S, INTERVAL_S = 1.79e9, 7 * 86400, 15.0
RATE, PODS, LIFE_S = 20.0, 30, 43200.0
BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5", "10", "+Inf")
SHARES = (*[0.0] * 7, 0.05, 0.3, 0.6, 0.97, 0.999, 1.0, 1.0, 1.0)
"""Share of requests within each bound."""
OF_REVISION = {
    "k8s_namespace_name": "default",
    "kn_service_name": "hello",
    "kn_configuration_name": "hello",
    "kn_revision_name": "hello-00001",
}

Floats = NDArray[np.float64]


def histogram(name: str, labels: dict[str, str], times: Floats, counts: Floats) -> Iterator[Served]:
    """The series of one histogram."""
    for bound, share in zip(BOUNDS, SHARES, strict=True):
        yield Served({"__name__": f"{name}_bucket", "le": bound, **labels}, times, np.floor(counts * share))
    yield Served({"__name__": f"{name}_sum", **labels}, times, counts * 1.0123)
    yield Served({"__name__": f"{name}_count", **labels}, times, counts)


def series() -> Iterator[Served]:
    """All series of the week."""
    rng = np.random.default_rng(1)
    times = BEGIN + np.arange(0, WEEK_S, INTERVAL_S)
    scaler = {"job": "autoscaler", "pod": "autoscaler-1", "container": "autoscaler", "instance": "10.1.1.3:9090"}
    yield Served({"__name__": "up", **scaler}, times, np.ones(len(times)))
    for name in GAUGES:
        values = rng.integers(25, 35, len(times)).astype(np.float64)
        yield Served({"__name__": f"kn_revision_{name}", **scaler, **OF_REVISION}, times, values)
    activator = {"job": "activator", "pod": "activator-1", "container": "activator", "instance": "10.1.1.11:9090"}
    counts = np.cumsum(rng.poisson(RATE * INTERVAL_S, len(times))).astype(np.float64)
    ok = {"http_response_status_code": "200"}
    duration = "http_server_request_duration_seconds"
    yield from histogram(duration, {**activator, **OF_REVISION, **ok}, times, counts)
    for name in ("active", "queued"):
        values = rng.integers(0, 30, len(times)).astype(np.float64)
        yield Served({"__name__": f"kn_revision_request_{name}", **activator, **OF_REVISION}, times, values)
    for index, begin in enumerate(np.arange(-LIFE_S, WEEK_S, LIFE_S / PODS)):
        there = times[(times >= BEGIN + begin) & (times < BEGIN + begin + LIFE_S)] + rng.uniform(0, INTERVAL_S)
        if len(there) < 2:
            continue
        pod = f"hello-00001-deployment-{index:05x}"
        target = {"namespace": "default", "pod": pod, "container": "queue-proxy", "instance": f"{pod}:9091"}
        yield Served({"__name__": "up", **target}, there, np.ones(len(there)))
        yield Served({"__name__": "target_info", **target, **OF_REVISION}, there, np.ones(len(there)))
        counts = np.cumsum(rng.poisson(RATE * INTERVAL_S / PODS, len(there))).astype(np.float64)
        yield from histogram(duration, {**target, **ok, "server_port": "8012"}, there, counts)
        yield from histogram("kn_serving_invocation_duration_seconds", {**target, **ok}, there, counts)


def cpu_s(who: int) -> float:
    """Time of the processor [s]."""
    use = resource.getrusage(who)
    return use.ru_utime + use.ru_stime


def main() -> None:
    """Fill the server, observe, print."""
    with (
        tempfile.TemporaryDirectory() as place,
        victoria_metrics(Path(place) / "victoria", series()) as url,
    ):
        wall, own = time.perf_counter(), cpu_s(resource.RUSAGE_SELF)
        client = Client(url)
        window = (BEGIN, BEGIN + WEEK_S)
        observation = from_server(client, service="hello", namespace="default", window_s=window, note=print)
        observation.write(Path(place) / "observation")
        wall, own = time.perf_counter() - wall, cpu_s(resource.RUSAGE_SELF) - own
    print(
        f"{observation.samples:,} samples observed and written in {wall:.1f} s ({own:.1f} s of kpasim's processor time)"
    )
    print(f"peak memory of kpasim: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()
