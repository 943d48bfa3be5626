"""Long runs in parts: the same counts as at one go, in memory that does not grow."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.engines import compiled, lower, sampling, stream
from kpasim.engines import outcome as of
from kpasim.engines.outcome import Counts
from kpasim.engines.params import NEVER_NS
from kpasim.engines.podcount import PodCounter, totals_of
from kpasim.engines.sampling import Sampler
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.run import simulate
from kpasim.studies.statistics import NEEDS_TABLES, statistics
from tests.services import service

AUTOSCALING = "autoscaling.knative.dev/"
MIXED = {
    "classes": [
        {"name": "short", "share": 0.7, "time": {"distribution": "exponential", "mean": "2s"}},
        {"name": "long", "share": 0.3, "time": {"distribution": "lognormal", "median": "6s", "sigma": 0.5}},
    ],
    "first-byte": {"distribution": "exponential", "mean": "500ms"},
}
STAGES = [
    {"name": "pull", "kind": "pull", "time": {"distribution": "exponential", "mean": "8s"}, "cached-per-node": True},
    {"name": "start", "kind": "start", "time": "5s"},
]


def experiment(requests: int, workload: dict[str, Any] | None = None, **more: Any) -> Experiment:
    """Requests at half a second's distance on average, two seconds each, on pods that come and go."""
    model = more.pop("model", {"service-time": {"distribution": "exponential", "mean": "2s"}, "cold-start": "15s"})
    load = workload or {"kind": "poisson", "rate": 2.0, "duration": f"{requests / 2}s", "timeout": "30s"}
    painter = service(more.pop("annotations", None), containerConcurrency=2, timeoutSeconds=60)
    return from_mapping({"service": painter, "workload": load, "model": model, **more})


def in_parts(what: Experiment, pods: int = 512) -> Counts:
    """One replication in parts."""
    params = lower.lower(what)
    return stream.count(params, Sampler(what, params), 0, pods)


def at_one_go(what: Experiment, pods: int = 4096) -> Counts:
    """The same replication at one go."""
    params = lower.lower(what)
    return compiled.count_many(params, Sampler(what, params).draw_many([0], pods=pods))[0]


EXPERIMENTS = {
    "poisson": experiment(3000),
    "many activators": experiment(3000, cluster={"activators": 3}, annotations={"target-burst-capacity": "200"}),
    "direct requests": experiment(3000, annotations={"target-burst-capacity": "0", "min-scale": "1"}),
    "bursts to zero": experiment(
        0,
        {"kind": "bursts", "low": 0.01, "high": 8.0, "low-for": "10m", "high-for": "1m", "duration": "4h"},
        annotations={"window": "20s"},
    ),
    "steps of equal distances": experiment(
        0,
        {
            "kind": "steps", "arrivals": "constant",
            "phases": [{"rate": 5, "duration": "5m"}, {"rate": 0.2, "duration": "10m"}, {"rate": 9, "duration": "3m"}],
        },
    ),
    "classes and streams": experiment(3000, model={"service-time": MIXED, "cold-start": "15s"}),
    "by request": experiment(
        3000,
        model={
            "service-time": {"time": {"distribution": "exponential", "mean": "2s"}, "by": "start"},
            "cold-start": {"stages": STAGES},
        },
    ),
    "a shared GPU": experiment(
        1500,
        model={"service-time": {"time": "900ms", "slowdown": [1.0, 1.7]}, "cold-start": {"stages": STAGES}},
    ),
    "few nodes": experiment(
        1500,
        model={"service-time": {"time": "3s"}, "cold-start": {"stages": STAGES}},
        cluster={
            "gpus-per-pod": 1,
            "instance-types": [{"name": "big", "price-per-hour": 1.0, "gpus": 2}],
            "nodes": {"type": "big", "count": 1, "max": 3, "provision": "40s", "idle-release": "1m"},
        },
    ),
    "crashing pods": experiment(
        1500,
        model={
            "service-time": {"time": "2s"},
            "cold-start": {"stages": STAGES, "crash": {"probability": 0.3, "restart-delay": "5s"}},
        },
    ),
    "sessions": experiment(
        3000,
        {
            "kind": "poisson", "rate": 2.0, "duration": "1500s", "timeout": "30s",
            "sessions": {"count": 20, "cookies": True},
        },
        cluster={"ingress": {"affinity": "pod"}},
    ),
    "hpa": experiment(1500, autoscaler={"kind": "hpa", "behavior": {}, "downscale-stabilization": "1m"}),
    "keda": experiment(1500, autoscaler={"kind": "keda", "cooldown-period": "20s", "query-failure": 0.1}),
    "keda-http": experiment(1500, autoscaler={"kind": "keda-http", "metric": "request-rate"}),
    "ray-serve": experiment(1500, autoscaler={"kind": "ray-serve", "downscale-delay": "1m"}),
    "lookahead": experiment(1500, autoscaler="lookahead"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_parts_count_what_one_go_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped every few dozen requests, a run comes to the same, to the last nanosecond."""
    monkeypatch.setattr(stream, "AT_ONCE", 64)
    parts, whole = in_parts(EXPERIMENTS[name]), at_one_go(EXPERIMENTS[name])

    assert whole.requests > 500
    assert len(parts.pods) <= len(whole.pods)
    for field in Counts._fields:
        if field not in {"pods", "nodes", "billed"}:
            assert np.array_equal(getattr(parts, field), getattr(whole, field)), field


def test_a_run_in_parts_finds_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is longer than the first ring of requests only takes a larger one."""
    monkeypatch.setattr(stream, "AT_ONCE", 64)
    monkeypatch.setattr(compiled, "FIRST_RING", 4)
    what = experiment(2000, annotations={"max-scale": "1"})
    parts, whole = in_parts(what), at_one_go(what)
    assert parts.errors == whole.errors > 0
    assert parts.latencies.tolist() == whole.latencies.tolist()


@pytest.mark.parametrize("name", ["poisson", "bursts to zero", "steps of equal distances"])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_parts_of_a_load_are_the_load(name: str, size: int) -> None:
    """Send times made a few at a time are those made at once, bit for bit."""
    what = EXPERIMENTS[name]
    whole = sampling.arrivals(what.workload, 3, 1)  # type: ignore[arg-type]
    sampler = Sampler(what.with_settings({"seed": 3}), lower.lower(what.with_settings({"seed": 3})))
    first = whole[:200] if size == 1 else whole
    parts: list[int] = []
    for part in sampler.sent_in_parts(1, size):
        parts += part.tolist()
        if len(parts) >= len(first) and size == 1:
            break
    assert parts == first.tolist()


def test_a_wave_in_parts_is_the_wave() -> None:
    """Send times of a rate that swings differ by rounding only."""
    load = {"kind": "diurnal", "mean": 1.0, "amplitude": 0.8, "period": "1h", "duration": "2h"}
    what = experiment(0, load)
    assert what.workload.has_parts
    whole = sampling.arrivals(what.workload, what.seed, 0)  # type: ignore[arg-type]
    parts = np.concatenate(list(Sampler(what, lower.lower(what)).sent_in_parts(0, 100)))
    assert np.abs(parts - whole).max() <= 1


pod_rows = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12
)  # fmt: skip


@settings(deadline=None)
@given(pod_rows, st.integers(0, 30), st.integers(1, 20))
def test_pods_watched_in_parts_come_to_the_same(drawn: list[tuple[int, int, int]], load_ns: int, step: int) -> None:
    """Where a run is stopped under load changes no figure of its pods."""
    rows = np.full((len(drawn), of.POD_COLUMNS), NEVER_NS, dtype=np.int64)
    for row, (created, asked, gone) in zip(rows, sorted(drawn), strict=True):
        row[[of.CREATED, of.ASKED, of.GONE]] = created, created + asked, created + asked + gone
    end_ns = int(rows[:, of.GONE].max())
    pods = PodCounter()
    for until_ns in range(load_ns + step, end_ns, step):
        pods.watch(rows[rows[:, of.CREATED] <= until_ns], load_ns, until_ns)
    pods.watch(rows, load_ns, end_ns + 1)
    pods.count(rows, load_ns, end_ns)
    assert pods.totals == totals_of(rows, load_ns, end_ns)


def peak_bytes(requests: int) -> int:
    """The most memory that arrays and objects take while so many requests are played and counted."""
    what = experiment(requests)
    tracemalloc.start()
    try:
        found = statistics(what, replications=1, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.outcomes[0].requests == pytest.approx(requests, rel=0.05)
    return peak


def test_memory_does_not_grow_with_the_horizon() -> None:
    """Ten times the requests take the same memory: less than half a byte for each more."""
    peak_bytes(1000)
    short, long = peak_bytes(100_000), peak_bytes(1_000_000)
    assert long - short < 0.5 * 900_000
    assert long < 20_000_000


PRICED = {"gpus-per-pod": 1, "instance-types": [{"name": "one", "price-per-hour": 3.0}]}
LOADS = {
    **EXPERIMENTS,
    "a month": experiment(4000, cluster=PRICED, cost={"granularity": "1m", "minimum": "2m"}),
    "overloaded": experiment(3000, annotations={"max-scale": "2"}, cluster=PRICED, horizon="20m"),
    "a full queue": experiment(
        0,
        {"kind": "poisson", "rate": 40.0, "duration": "2m", "timeout": "0s"},
        annotations={"max-scale": "1", "target-burst-capacity": "0", "min-scale": "1"},
    ),
    "again every hour": experiment(2000, cluster=PRICED, repeat="1h"),
    "again within the hour": experiment(
        0, {"kind": "batches", "every": "5m", "size": 40, "duration": "40m"}, cluster=PRICED, repeat="50m"
    ),
    "hey until the clock": experiment(
        0, {"kind": "hey", "concurrency": 7, "duration": "10m"}, cluster=PRICED, horizon="5m"
    ),
    "hey cut": experiment(0, {"kind": "hey", "concurrency": 7, "requests": 900}, cluster=PRICED, horizon="1m"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(LOADS))
def test_counts_tell_the_figures_and_the_bill_of_the_tables(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in parts, a run has the figures of its tables but for those listed, percentiles within their error."""
    monkeypatch.setattr(stream, "AT_ONCE", 64)
    what = LOADS[name]
    counted, exact = statistics(what, replications=3), simulate(what, replications=3, engine="compiled")

    expected = exact.slo_figures | exact.figures | exact.use
    missing = {figure for figure in expected if figure.startswith(tuple(NEEDS_TABLES))}
    assert counted.slo_figures.keys() == expected.keys() - missing
    for figure, values in counted.slo_figures.items():
        error = 0.004 if ".p" in figure and figure.startswith("latency") else 1e-9
        assert values == pytest.approx(expected[figure], rel=error, nan_ok=True), figure
    assert counted.no_month == exact.no_month
