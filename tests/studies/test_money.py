"""Money: what is billed, until when, and what a month costs; held against arithmetic from raw tables."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kpasim.cli.run import command as run_command
from kpasim.cli.sweep import command as sweep_command
from kpasim.errors import ExperimentError, RunError
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.run import Result, simulate
from kpasim.studies.runner import Runner
from kpasim.studies.sweep import sweep
from kpasim.studies.tune import tune
from tests.recomputed import recompute
from tests.services import service

GPU = {"name": "g", "price-per-hour": 3.6, "gpus": 1}
"""A GPU of a thousandth a second."""
HEY = {"kind": "hey", "requests": 50, "concurrency": 5, "timeout": "0s"}
MIN, MAX = "service.annotations.min-scale", "service.annotations.max-scale"


def mapping(
    workload: dict[str, Any], cold_start: Any, annotations: dict[str, Any], more: dict[str, Any]
) -> dict[str, Any]:
    """An experiment of one small service, as a file has it."""
    return {
        "service": service(annotations, containerConcurrency=1, timeoutSeconds=600),
        "workload": workload,
        "model": {"service-time": 10, "cold-start": cold_start},
        "cluster": {"instance-types": [GPU]},
        "replications": 3,
        "seed": 1,
        **more,
    }


def experiment(
    workload: dict[str, Any] = HEY, cold_start: Any = "60s", annotations: dict[str, Any] | None = None, **more: Any
) -> Experiment:
    """An experiment of one small service."""
    return from_mapping(mapping(workload, cold_start, annotations or {}, more))


def pool(**more: Any) -> dict[str, Any]:
    """A pool of nodes that grows from one to five."""
    nodes = {"type": "g", "count": 1, "gpus-per-node": 1, "max": 5, "idle-release": "10m", **more}
    return {"instance-types": [GPU], "nodes": nodes}


def written(folder: Path, axes: dict[str, Any], **more: Any) -> Path:
    """A sweep file over an experiment."""
    annotations = more.pop("annotations", {})
    data = mapping(more.pop("workload", HEY), more.pop("cold_start", "60s"), annotations, more)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(data))
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"experiment": "experiment.yaml", "axes": axes}))
    return path


def cost_of(result: Result) -> dict[str, Any]:
    """The bill, which there is."""
    assert result.cost is not None
    return result.cost


# what is billed


def test_pods_that_never_become_ready_are_billed() -> None:
    """Pods that are asked for, have their machines and are given up before they are ready are most of the bill."""
    workload = {"kind": "hey", "requests": 20, "concurrency": 10, "timeout": "0s"}
    result = simulate(experiment(workload, "20m", {"max-scale": 10}, start="warm"))
    tables = result.tables(0)
    never = np.isnan(tables.pods["ready_s"])
    assert never.sum() >= 5
    lived = np.fmin(tables.pods["gone_s"], result.horizon_s[0]) - np.maximum(tables.pods["scheduled_s"], 0)
    assert cost_of(result)["amount"] == pytest.approx(np.ceil(lived).sum() / 1000, rel=0.02)
    assert lived[never].sum() > 0.8 * lived.sum()


def test_provisioning_is_not_billed_with_or_without_a_pull() -> None:
    """A pull that takes no time makes no difference, and neither pays for the 300 s before the machine is there."""
    provision, start = {"name": "p", "kind": "provision", "time": 300}, {"name": "s", "time": 20}
    pull = {"name": "u", "kind": "pull", "time": 0}
    workload = {**HEY, "requests": 200}
    bills = [
        cost_of(simulate(experiment(workload, {"stages": stages}, {"max-scale": 5})))["amount"]
        for stages in ([provision, start], [provision, pull, start], [start])
    ]
    assert bills[0] == bills[1]
    created = experiment(workload, {"stages": [provision, start]}, {"max-scale": 5}, cost={"bills-from": "created"})
    assert cost_of(simulate(created))["amount"] == pytest.approx(bills[0] + 4 * 0.3, abs=0.01)


def test_gpu_seconds_are_those_of_pods_that_have_a_machine() -> None:
    """Two machines to be had, and more pods asked for: the others hold no GPU."""
    cluster = {"instance-types": [{**GPU, "stock": 2}]}
    result = simulate(experiment(cluster=cluster))
    for number in range(result.replications):
        pods = result.tables(number).pods
        lived = np.fmin(pods["gone_s"], result.horizon_s[number]) - np.maximum(pods["scheduled_s"], 0)
        assert np.isnan(lived).sum() >= 3
        assert result.figures["gpu_seconds"][number] == pytest.approx(np.nansum(lived))
        assert result.figures["pod_seconds"][number] > 2 * result.figures["gpu_seconds"][number]


def test_nodes_are_billed_whatever_the_cost_block_says() -> None:
    """Per node, unless the block says per pod."""
    plain, block, pods = (
        cost_of(simulate(experiment(cluster=pool(), **more)))["amount"]
        for more in ({}, {"cost": {"granularity": "1s"}}, {"cost": {"per": "pod"}})
    )
    assert plain == block
    assert pods < plain


def test_nodes_are_billed_until_they_are_released() -> None:
    """Four added nodes leave ten minutes after their last pod, and the run goes on until then."""
    short, long = (simulate(experiment(cluster=pool(**{"idle-release": time}))) for time in ("1m", "10m"))
    tables, end = long.tables(0), float(long.horizon_s[0])
    assert np.isnan(tables.nodes["gone_s"]).tolist() == [True, False, False, False, False]
    lived = np.fmin(tables.nodes["gone_s"], end) - np.maximum(tables.nodes["created_s"], 0)
    assert float(long.cost_figures["amount"][0]) == pytest.approx(np.ceil(lived).sum() / 1000)  # type: ignore[index]
    assert cost_of(long)["amount"] > cost_of(short)["amount"] + 4 * 0.5
    assert cost_of(long)["stays_per_hour"] == 3.6


def test_a_node_type_has_its_own_price() -> None:
    """One without a price is refused beside others that have one, and one of the bundled list has that price."""
    with pytest.raises(RunError, match="no price for h100"):
        simulate(experiment(cluster=pool(type="h100")))
    bundled = experiment(cluster={"nodes": {"type": "g5.xlarge", "count": 1}})
    result = simulate(bundled)
    seconds = math.ceil(float(result.horizon_s[0]))
    assert float(result.cost_figures["amount"][0]) == pytest.approx(seconds * 1.006 / 3600)  # type: ignore[index]


def test_a_pod_that_outlives_the_run_owes_its_minimum(tmp_path: Path) -> None:
    """With an hour as the minimum and ten minutes of run, five pods cost five hours, kept or not."""
    path = written(tmp_path, {MIN: [0, 1, 2, 5]}, annotations={"max-scale": 5}, cost={"minimum": "1h"}, horizon="10m")
    amounts = {row["settings"][MIN]: row["cost"]["amount"] for row in sweep(path).rows}
    assert amounts == {0: 18.0, 1: 18.0, 2: 18.0, 5: 18.0}


# until when


def test_scale_down_delay_is_not_free() -> None:
    """Pods that a delay of ten minutes keeps cost ten minutes more, also where min-scale keeps one for ever."""
    for kept in ({}, {"min-scale": 1}):
        now, later = (simulate(experiment(annotations={**kept, "scale-down-delay": delay})) for delay in ("0s", "10m"))
        assert later.horizon_s[0] > now.horizon_s[0] + 500
        assert cost_of(later)["amount"] > cost_of(now)["amount"] + 4 * 0.5


def test_nodes_of_all_settings_are_billed_to_one_end(tmp_path: Path) -> None:
    """Each row of a sweep costs what a run of its setting costs that ends with the last of them."""
    path = written(tmp_path, {MIN: [0, 2]}, annotations={"max-scale": 8}, cluster=pool())
    result = sweep(path)
    for row in result.rows:
        variant = experiment(annotations={"max-scale": 8}, cluster=pool(), start="idled", horizon=result.horizon_s)
        alone = simulate(variant.with_setting(MIN, row["settings"][MIN]))
        assert row["cost"]["amount"] == cost_of(alone)["amount"]


BURSTS = {"kind": "bursts", "low": 0.01, "high": 0.5, "low-for": "5m", "high-for": "2m", "duration": "20m"}


def test_tune_cuts_no_load_and_its_end_does_not_depend_on_the_seed() -> None:
    """Requests that no run would fail are not failed by the end of the bill; its time is the same for every seed."""
    one = experiment(BURSTS, "60s", {"max-scale": 3, "min-scale": 1})
    found = [tune(one.with_setting("seed", seed), ["errors<=0%"], vary={MAX: [1, 3]}, budget=300) for seed in (1, 2)]
    assert found[0].horizon_s == found[1].horizon_s
    own = Runner(one, "compiled").figures(range(1 << 20, (1 << 20) + 64))
    judged = found[0].now.figures
    assert judged["in_flight"].max() == 0
    assert np.array_equal(judged["ok"][:64], own["ok"])


def test_settings_that_differ_in_what_they_keep_begin_in_the_state_they_lead_to(tmp_path: Path) -> None:
    """No warm pod for min-scale 0: its first requests meet the cold start, in tune and in a sweep; and it is said."""
    one = experiment(cold_start="120s", annotations={"min-scale": 1, "max-scale": 5})
    result = tune(one, ["p50<=15s"], vary={MIN: [0, 1]}, budget=200)
    assert result.idled
    assert result.experiment.start.state == "idled"
    path = written(tmp_path, {MIN: [0, 1]}, cold_start="120s", annotations={"max-scale": 5})
    slowest = {row["settings"][MIN]: row["medians"]["latency_s"]["max"] for row in sweep(path).rows}
    assert slowest[0] > 120 > slowest[1]
    shown = CliRunner().invoke(sweep_command, [str(path)])
    assert "start: idled" in shown.output
    (tmp_path / "other").mkdir()
    other = written(tmp_path / "other", {MAX: [1, 2]})
    assert sweep(other).about["start"] == "warm"


# a month


def test_a_short_load_says_nothing_about_a_month() -> None:
    """Ten minutes with a cold start of five: no month, and what would do. A longer load has one that fits 24 hours."""
    load = {"kind": "poisson", "rate": 0.5, "duration": "10m"}
    short = simulate(experiment(load, "5m", {"max-scale": 20}))
    assert cost_of(short)["per_month"] is None
    assert "too short for a month" in short.no_month
    assert "2h1m" in short.no_month
    month = cost_of(simulate(experiment({**load, "duration": "2h1m"}, "5m", {"max-scale": 20}, replications=30)))
    day = cost_of(simulate(experiment({**load, "duration": "24h"}, "5m", {"max-scale": 20}, replications=4)))
    low, high = month["mean_intervals"]["per_month"]
    assert low - 0.02 * low < day["per_month"] < high + 0.02 * high


def test_slos_and_cost_are_about_the_same_stretch() -> None:
    """A load that goes on is judged after its warm-up, as it is billed."""
    load = {"kind": "poisson", "rate": 0.5, "duration": "1h"}
    result = simulate(experiment(load, "2m", {"max-scale": 10}))
    assert result.steady_s == (300, 3600)
    for number in range(result.replications):
        requests = result.tables(number).requests
        late = requests["latency_s"][requests["start_s"] >= 300]
        assert result.slo_figures["latency_all_s.p99"][number] == pytest.approx(np.percentile(late, 99))
        per_day = len(late) * 86_400 / 3300
        assert result.figures["requests_per_day"][number] == pytest.approx(per_day)


def test_gpu_utilisation_is_that_of_the_stretch_that_is_billed() -> None:
    """Of a load that goes on, the time after the warm-up; of any other the whole run: busy seconds of those held."""
    for duration, from_s, to_s in (("1h", 180.0, 3600.0), ("10m", 0.0, math.inf)):
        load = {"kind": "poisson", "rate": 0.3, "duration": duration}
        result = simulate(experiment(load, annotations={"max-scale": 6}))
        for number in range(result.replications):
            tables, end_s = result.tables(number), min(to_s, float(result.horizon_s[number]))

            def within(begin: float, end: float, end_s: float = end_s, from_s: float = from_s) -> float:
                return max(0.0, min(end_s if math.isnan(end) else end, end_s) - max(begin, from_s))

            pods, requests = tables.pods, tables.requests
            held = sum(map(within, pods["provisioned_s"].tolist(), pods["gone_s"].tolist()))
            busy = sum(map(within, requests["server_start_s"].tolist(), requests["server_end_s"].tolist()))
            assert result.use["gpu_utilisation"][number] == pytest.approx(busy / held)


@pytest.mark.parametrize("scaling", ["kpa", "hpa"])
@pytest.mark.parametrize("horizon", [None, "2h", "30h"])
def test_a_pod_that_stays_costs_every_hour_of_a_month(scaling: str, horizon: str | None) -> None:
    """Whether the run ends with the last response of a day, before, or after the day."""
    load = {"kind": "poisson", "rate": "2/h", "duration": "24h"}
    given = experiment(load, annotations={"min-scale": 1, "max-scale": 1}, start="idled", autoscaler=scaling)
    result = simulate(given.with_setting("horizon", horizon))
    assert cost_of(result)["per_month"] == pytest.approx(730 * GPU["price-per-hour"], rel=1e-6)


def test_a_month_of_a_load_that_recurs_is_simulated_until_it_recurs() -> None:
    """Fifty requests a day: the run goes on for the whole day, of which the warm pod costs every second."""
    one = experiment(annotations={"min-scale": 1}, repeat="24h")
    result = simulate(one)
    assert np.allclose(result.horizon_s, 86_400)
    bill = cost_of(result)
    assert bill["amount"] > 86.4
    assert bill["per_month"] == pytest.approx(bill["amount"] * 730 / 24)
    assert result.summary["requests_per_day"] == 50
    often = simulate(one.with_setting("repeat", "2m"))
    assert cost_of(often)["per_month"] is None
    assert "recurs before its run is over in 3 of 3" in often.no_month
    assert one.start.state == "idled"
    with pytest.raises(ExperimentError, match="stands beside start: warm"):
        experiment(repeat="24h", start="warm")
    with pytest.raises(ExperimentError, match="stands beside horizon"):
        experiment(repeat="24h", horizon="1h")
    with pytest.raises(ExperimentError, match="shorter than the load, which lasts 20m"):
        experiment(BURSTS, repeat="10m")


def test_rates_are_written_per_day_or_per_hour() -> None:
    """As people know them."""
    for text, per_s in (("500/day", 500 / 86_400), ("20/h", 20 / 3600), ("3/min", 0.05), ("2/s", 2.0), (0.5, 0.5)):
        load = experiment({"kind": "poisson", "rate": text, "duration": "1h"}).workload
        assert load.rate == pytest.approx(per_s)  # type: ignore[union-attr]
    with pytest.raises(ExperimentError, match="is not a rate; write"):
        experiment({"kind": "poisson", "rate": "500/fortnight", "duration": "1h"})


def test_money_is_a_mean_and_what_stays_is_said(tmp_path: Path) -> None:
    """The bill of `kpasim run` is the mean of its replications, pooled per 1,000 requests; sweep and run agree."""
    load = {"kind": "bursts", "low": 0.0, "high": 0.3, "low-for": "20m", "high-for": "2m", "duration": "20m"}
    path = written(tmp_path, {MAX: [5]}, workload=load, annotations={"min-scale": 1}, replications=40)
    file = str(tmp_path / "experiment.yaml")
    found = json.loads(CliRunner().invoke(run_command, [file, "--set", f"{MAX}=5", "--json"]).stdout)
    result = simulate(experiment(load, annotations={"min-scale": 1, "max-scale": 5}, replications=40))
    assert result.cost_figures is not None
    amounts = result.cost_figures["amount"]
    assert found["cost"]["amount"] == pytest.approx(amounts.mean(), abs=1e-6)
    assert found["cost"]["per_1000"] == pytest.approx(amounts.sum() * 1000 / result.figures["ok"].sum(), abs=1e-6)
    assert found["cost"]["stays_per_hour"] == 3.6
    row = sweep(path)
    assert row.costs[0] == pytest.approx(row.figures["cost.amount"].mean())
    shown = CliRunner().invoke(run_command, [file]).output
    assert "pods and nodes that stay cost 3.6 USD an hour" in " ".join(shown.split())


# conservation and order


def drawn(number: int) -> Experiment:
    """An experiment of chance: load, model, cluster, bill and autoscaler."""
    rng = np.random.default_rng(number)

    def one_of(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    load = one_of(
        {"kind": "hey", "requests": int(rng.integers(1, 8)) * 5, "concurrency": 5, "timeout": one_of("0s", "40s")},
        {"kind": "poisson", "rate": one_of("120/h", 0.1, 0.3), "duration": one_of("5m", "30m"), "timeout": "60s"},
        {"kind": "constant", "rate": 0.2, "duration": "20m"},
        BURSTS,
    )
    kinds = sorted((one_of("provision", "pull", "start") for _ in range(int(rng.integers(0, 4)))), key="ps".find)
    stages = [
        {"name": f"s{place}", "kind": kind, "time": int(rng.integers(0, 60)), "at-a-time": one_of(0, 0, 1)}
        for place, kind in enumerate(kinds)
    ]
    cluster = one_of(
        {"instance-types": [GPU]},
        {"instance-types": [{**GPU, "stock": 2}]},
        pool(count=one_of(0, 1, 2), **{"idle-release": one_of("0s", "2m"), "provision": one_of("0s", "90s")}),
    )
    least = one_of(0, 0, 1, 2)
    annotations = {"min-scale": least, "max-scale": one_of(2, 5), "scale-down-delay": one_of("0s", "3m")}
    cost = {
        "granularity": one_of("1s", "1m", "1h"),
        "minimum": one_of("0s", "1m", "1h"),
        "bills-from": one_of("created", "scheduled", "pull"),
    }
    end = one_of({}, {}, {"horizon": one_of("3m", "20m")}, {"repeat": one_of("40m", "2h")})
    more = {**one_of({}, {"cost": cost}, {"cost": {**cost, "per": "pod"}}), **end}
    start = one_of("idled", "zero") if "repeat" in end else one_of("warm", "idled", "zero")
    return experiment(
        load, {"stages": stages}, annotations, cluster=cluster, start=start, replications=2, seed=number, **more
    )


def holds(number: int) -> None:
    """What kpasim says of a drawn experiment is what its raw tables come to, and its parts add up."""
    one = drawn(number)
    result = simulate(one, engine="compiled")
    bills = result.cost_figures
    assert bills is not None
    for place in range(result.replications):
        raw = recompute(result.tables(place), one, float(result.horizon_s[place]))
        assert bills["amount"][place] == pytest.approx(raw.amount, abs=1e-6)
        assert sum(bills[f"parts.{part}"][place] for part in ("working", "idle", "starting", "draining")) == (
            pytest.approx(raw.amount, abs=1e-6)
        )
        month = bills["per_month"][place]
        assert (None if np.isnan(month) else month) == pytest.approx(raw.per_month, abs=1e-3)
        assert bills["stays_per_hour"][place] == pytest.approx(raw.stays_per_hour)
        figures = {name: values[place] for name, values in result.figures.items()}
        assert figures["gpu_seconds"] == pytest.approx(raw.gpu_seconds, abs=1e-6)
        counted = (figures["requests"], figures["ok"], figures["errors"], figures["in_flight"])
        assert counted == (raw.requests, raw.ok, raw.errors, raw.in_flight)
    doubled = simulate(one.with_setting("cluster.instance-types.g.price-per-hour", 7.2), engine="compiled")
    assert doubled.cost_figures is not None
    assert np.allclose(doubled.cost_figures["amount"], 2 * bills["amount"])


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_bills_are_what_the_raw_tables_come_to(first: int) -> None:
    """Bill, GPU-seconds, month and failures of drawn experiments, recomputed row by row."""
    for number in range(first, first + 10):
        holds(number)


@pytest.mark.statistical
def test_200_bills_are_what_the_raw_tables_come_to() -> None:
    """The same for many more."""
    for number in range(200):
        holds(number)


COSTS = st.fixed_dictionaries(
    {
        "granularity": st.sampled_from(["1s", "7s", "1m", "1h"]),
        "minimum": st.sampled_from(["0s", "1m", "20m", "1h"]),
        "bills-from": st.sampled_from(["created", "scheduled", "pull"]),
    }
)
"""Ways to bill."""
OPEN = st.builds(
    lambda kind, rate, minutes: {"kind": kind, "rate": rate, "duration": f"{minutes}m"},
    st.sampled_from(["constant", "poisson"]),
    st.floats(0.002, 0.1),
    st.integers(1, 15),
)
"""Open loops that one to three pods serve."""
CLOSED = st.integers(1, 3).map(
    lambda clients: {"kind": "hey", "requests": 3 * clients, "concurrency": clients, "timeout": "0s"}
)


@settings(max_examples=25, deadline=None)
@given(cost=COSTS, load=st.one_of(OPEN, CLOSED), cold_start=st.integers(0, 200), least=st.integers(1, 4))
def test_more_min_scale_is_never_cheaper_over_the_same_end(
    cost: dict[str, Any], load: dict[str, Any], cold_start: int, least: int
) -> None:
    """For a load that never needs more pods than are kept, however it is billed."""
    one = experiment(load, cold_start, {"target-utilization-percentage": 100, "max-scale": 6}, cost=cost)
    now, more = (
        Runner(one.with_setting(MIN, kept), "compiled", until_s=1500).figures(range(4)) for kept in (least, least + 1)
    )
    enough = now["max_pods"] <= least
    assume(enough.any())
    assert np.array_equal(now["horizon_s"][enough], more["horizon_s"][enough])
    assert (more["cost.amount"][enough] >= now["cost.amount"][enough] - 1e-9).all()


@settings(max_examples=15, deadline=None)
@given(
    cost=COSTS,
    kind=st.sampled_from(["constant", "poisson"]),
    rate=st.floats(1.5, 4.0),
    cold_start=st.integers(1, 1200),
    most=st.integers(1, 7),
)
def test_more_max_scale_is_never_cheaper_under_overload(
    cost: dict[str, Any], kind: str, rate: float, cold_start: int, most: int
) -> None:
    """While requests wait all the time, one more pod is one more to pay, ready or not."""
    load = {"kind": kind, "rate": rate, "duration": "8m"}
    one = experiment(load, cold_start, {"max-scale": most}, horizon="8m", cost=cost)
    fewer, more = (
        Runner(one.with_setting(MAX, allowed), "compiled").figures(range(2))["cost.amount"]
        for allowed in (most, most + 1)
    )
    assert (more > fewer).all()
