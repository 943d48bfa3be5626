"""Two runs compared by one command: pairs, one end, and what is not paired."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.against import Against, against
from kpasim.studies.run import simulate
from tests.cli.test_answer import experiment as data_of
from tests.cli.test_answer import written

HEY = {"kind": "hey", "requests": 20, "concurrency": 4, "timeout": "0s"}


def experiment(**annotations: Any) -> Experiment:
    """Twenty requests of some 10 s by four clients."""
    data = data_of(HEY, {"max-scale": 4, **annotations})
    data["model"] = {"service-time": {"distribution": "lognormal", "median": "10s", "sigma": 0.2}, "cold-start": "60s"}
    return from_mapping(data)


def compared(one: Experiment, other: Experiment, count: int = 12) -> Against:
    """Both, with the reference engine."""
    return against(one, other, replications=count, engine="reference")


def test_an_experiment_against_itself_is_the_same_in_every_figure():
    """No figure differs in any replication."""
    found = compared(experiment(), experiment())

    rows = found.differences()
    assert found.paired
    assert all(row.same for *_, row in rows)
    assert {"latency_s.p95", "cost.amount", "pod_seconds", "errors"} <= {name for _, name, _, _ in rows}


def test_a_difference_is_the_mean_over_pairs():
    """Replication k of both meets the same random numbers; the mean difference is that of the raw latencies."""
    one = experiment()
    other = one.with_setting("model.cold-start", "30s")
    found = compared(one, other)
    rows = {name: row for _, name, _, row in found.differences()}
    alone = [simulate(which, replications=12, engine="reference") for which in (one, other)]
    longest = [[np.nanmax(run.tables(k).requests["latency_s"]) for k in range(12)] for run in alone]
    pairs = np.subtract(longest[1], longest[0])

    row = rows["latency_s.max"]

    assert row.mean == pytest.approx(pairs.mean())
    assert row.low < row.mean < row.high < 0
    assert row.significant
    assert np.std(pairs) < np.std(longest[0]) + np.std(longest[1])


def test_pods_that_stay_are_billed_to_one_end():
    """With min-scale both runs end at the same moment, and the run without it gets no warm pod for nothing."""
    found = compared(experiment(), experiment(**{"min-scale": 1}))
    rows = {name: row for _, name, _, row in found.differences()}

    assert found.end_s is not None
    assert found.end_s % 60 == 0
    assert set(found.one.horizon_s) == set(found.other.horizon_s) == {found.end_s}
    assert found.met_idle
    assert rows["requests"].same
    for run, warm in ((found.one, 0), (found.other, 1)):
        pods = run.tables().pods
        assert ((pods["created_s"] < 0) & ~(pods["gone_s"] < 0)).sum() == warm
        assert np.isnan(pods["gone_s"]).sum() == warm


def test_nodes_are_billed_to_one_end():
    """Added nodes that stay ten minutes longer are paid until they are released, the first node until the end."""
    data = data_of(HEY, {"max-scale": 4}, cost={"granularity": "1s"})
    price = data["cluster"]["instance-types"][0]
    nodes = {"type": price["name"], "count": 1, "gpus-per-node": 1, "max": 4, "idle-release": "1m"}
    data["cluster"] = {**data["cluster"], "nodes": nodes}
    data["model"]["cold-start"] = "60s"
    one = from_mapping(data)
    found = compared(one, one.with_setting("cluster.nodes.idle-release", "11m"), count=3)

    assert set(found.one.horizon_s) == set(found.other.horizon_s) == {found.end_s}
    for run in (found.one, found.other):
        assert run.cost_figures is not None
        table = run.tables(0).nodes
        paid = np.fmin(table["gone_s"], found.end_s) - np.maximum(table["created_s"], 0)
        assert np.isnan(table["gone_s"]).sum() == 1
        assert run.cost_figures["amount"][0] == pytest.approx(np.ceil(paid).sum() * price["price-per-hour"] / 3600)
    rows = {name: row for _, name, _, row in found.differences()}
    added = len(found.one.tables(0).nodes["gone_s"]) - 1
    assert added >= 2
    assert rows["cost.amount"].mean == pytest.approx(added * 600 * price["price-per-hour"] / 3600, rel=0.05)


def test_other_loads_are_not_paired_and_that_is_said(tmp_path: Path):
    """Fifty requests against twenty: independent samples."""
    path = written(tmp_path, data_of(HEY, {"max-scale": 4}))

    arguments = ["run", path, "--against-set", "workload.requests=40", "-n", "10", "--engine", "reference"]
    done = CliRunner().invoke(cli, arguments)
    found = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)

    assert done.exit_code == 0
    assert "The loads differ: replications are not paired" in done.stdout
    assert found["paired"] is False
    assert found["differences"]["requests"]["difference"] == 20


def test_what_if_is_answered_in_five_lines(tmp_path: Path):
    """What is compared, p50, p95, cost and failures come before the table, each with its verdict."""
    path = written(tmp_path, data_of(HEY, {"max-scale": 4}))

    done = CliRunner().invoke(
        cli, ["run", path, "--against-set", "model.cold-start=30s", "-n", "12", "--engine", "reference"]
    )

    lines = done.stdout.splitlines()
    assert lines[0].startswith("B (model.cold-start=30s) against A (experiment): means of 12 replications")
    assert [line.split()[0] for line in lines[1:5]] == ["p50", "p95", "cost", "failed"]
    assert "->" in lines[2]
    assert "significant" in lines[2] or "same" in lines[2]


def test_a_month_is_told_with_a_blank_before_its_cost(tmp_path: Path):
    """Labels have one width, also the longest of them."""
    load = {"kind": "constant", "rate": 0.05, "duration": "1h"}
    path = written(tmp_path, data_of(load, {"max-scale": 2}))

    done = CliRunner().invoke(cli, ["run", path, "--against-set", "model.service-time=8", "-n", "2"])

    starts = {line.index(" -> ") - len(line.partition(" -> ")[0].split()[-1]) for line in done.stdout.splitlines()[1:5]}
    assert "cost per month  " in done.stdout
    assert starts == {16}


def test_another_file_may_be_the_other_run(tmp_path: Path):
    """Its seed and its number of replications are those of the first; both runs are written where asked."""
    one = written(tmp_path, data_of(HEY, {"max-scale": 4}))
    (tmp_path / "b").mkdir()
    other = written(tmp_path / "b", data_of(HEY, {"max-scale": 1}, seed=9, replications=3))

    done = CliRunner().invoke(
        cli,
        ["run", one, "--against", other, "-n", "8", "--engine", "reference", "--json", "--out", str(tmp_path / "out")],
    )

    found = json.loads(done.stdout)
    assert found["paired"] is True
    assert found["seed"] == found["against"]["seed"] == 1
    assert found["replications"] == found["against"]["replications"] == 8
    assert (tmp_path / "out" / "run.json").exists()
    assert (tmp_path / "out-against" / "run.json").exists()


def test_a_wrong_change_names_its_option():
    """One line with the option that was used."""
    headline = str(Path(__file__).parents[2] / "experiments" / "hey50x5.yaml")

    done = CliRunner().invoke(cli, ["run", headline, "--against-set", "cold-start=30s"])

    assert done.exit_code == 1
    assert done.stderr == "Error: --against-set cold-start: no such setting (did you mean model.cold-start?)\n"
