"""Prices of an experiment: whose they are, how old they are, and that nobody adds up two currencies."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kpasim.cli.run import command
from kpasim.errors import RunError
from kpasim.spec.experiment import Experiment, load
from kpasim.studies.prices import prices_of, remarks
from kpasim.studies.run import simulate
from tests.studies.sweeps import EXPERIMENT, MANIFEST

TYPES = "instance-types: [{name: small, price-per-hour: 3.6}, {name: large, price-per-hour: 7.2}]"


def priced(folder: Path, types: str, more: str = "") -> Experiment:
    """The small experiment with other instance types."""
    (folder / "painter.yaml").write_text(MANIFEST)
    (folder / "painting.yaml").write_text(EXPERIMENT.replace(TYPES, f"instance-types: {types}") + more)
    return load(folder / "painting.yaml")


def test_a_price_of_the_experiment_wins(tmp_path: Path) -> None:
    """Over the one kpasim brings along; a price under `cost` wins over both, and neither needs a remark."""
    types = "[{name: g5.xlarge, price-per-hour: 9}, {name: g4dn.xlarge}]"
    found = prices_of(priced(tmp_path, types))
    assert found is not None
    assert found["g5.xlarge"].per_hour == 9
    assert found["g4dn.xlarge"].per_hour == 0.526
    assert [line.split(":")[0] for line in remarks(found)] == ["Price of g4dn.xlarge"]
    found = prices_of(priced(tmp_path, types, "cost: {prices: {g5.xlarge: 8, g4dn.xlarge: 7}}\n"))
    assert found is not None
    assert [one.per_hour for one in found.values()] == [8, 7]
    assert remarks(found) == []


def test_stale_prices_are_marked(tmp_path: Path) -> None:
    """On stderr of a run and in its JSON, with where and when each was read; a recent one is not."""
    priced(tmp_path, "[{name: ecs.gn5-c8g1.2xlarge}]")
    words = [str(tmp_path / "painting.yaml"), "--replications", "2", "--engine", "reference"]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    assert "ecs.gn5-c8g1.2xlarge: 13.284 CNY an hour (us-west-1, 2018), STALE AND AN ESTIMATE" in done.stderr
    found = json.loads(CliRunner().invoke(command, [*words, "--json"]).stdout)
    price = found["prices"]["ecs.gn5-c8g1.2xlarge"]
    assert (price["currency"], price["date"], price["stale"], price["estimate"]) == ("CNY", "2018", True, True)
    assert {"amount", "currency", "per_1000", "parts"} <= set(found["cost"])
    assert found["cost"]["currency"] == "CNY"
    assert remarks(prices_of(priced(tmp_path, "[{name: g5.xlarge}]"))) == [
        "Price of g5.xlarge: 1.006 USD an hour (us-east-1, 2026-06)"
    ]


def test_the_published_manifest_has_a_price_for_each_of_its_types(tmp_path: Path) -> None:
    """In one currency, so that its cost is known without looking anything up."""
    names = ("ecs.gn5-c4g1.xlarge", "ecs.gn5i-c8g1.2xlarge", "ecs.gn5-c8g1.2xlarge")
    found = prices_of(priced(tmp_path, f"[{', '.join(f'{{name: {name}}}' for name in names)}]"))
    assert found is not None
    assert list(found) == list(names)
    assert all(price.stale and price.date and price.source for price in found.values())


@pytest.mark.parametrize(
    ("types", "more", "words"),
    [
        ("[{name: g5.xlarge}, {name: ecs.gn6i-c8g1.2xlarge}]", "", "USD for g5.xlarge, CNY for ecs.gn6i-c8g1.2xlarge"),
        ("[{name: g5.xlarge}]", "cost: {currency: EUR}\n", "EUR for the result, USD for g5.xlarge"),
    ],
)
def test_currencies_are_not_mixed(tmp_path: Path, types: str, more: str, words: str) -> None:
    """Not even where prices come with kpasim; it is said before anything is simulated."""
    experiment = priced(tmp_path, types, more)
    with pytest.raises(RunError, match=words):
        simulate(experiment, engine="reference", progress=lambda done: pytest.fail("it was simulated"))


def test_without_a_price_there_is_no_cost(tmp_path: Path) -> None:
    """One type that nobody knows the price of is enough."""
    experiment = priced(tmp_path, "[{name: g5.xlarge}, {name: a-box-of-mine}]")
    assert prices_of(experiment) is None
    result = simulate(experiment, replications=1, engine="reference")
    assert result.cost is None
    assert result.to_dict()["prices"] == {}


def test_prices_are_settings_like_any_other(tmp_path: Path) -> None:
    """Also those of types whose names hold dots; twice the price is twice the money, to the cent and part by part."""
    experiment = priced(
        tmp_path, "[{name: g5.xlarge, price-per-hour: 3.6}, {name: ecs.gn5-c4g1.xlarge, price-per-hour: 9}]"
    )
    paths = [f"cluster.instance-types.{name}.price-per-hour" for name in ("g5.xlarge", "ecs.gn5-c4g1.xlarge")]
    assert [experiment.setting(path) for path in paths] == [3.6, 9]
    doubled = experiment.with_settings({path: 2 * experiment.setting(path) for path in paths})
    once, twice = (simulate(one, replications=20, engine="reference").cost for one in (experiment, doubled))
    assert once is not None
    assert twice is not None
    assert twice["amount"] == pytest.approx(2 * once["amount"], abs=1e-6)
    assert round(sum(once["parts"].values()), 6) == once["amount"]
    for part, amount in once["parts"].items():
        assert twice["parts"][part] == pytest.approx(2 * amount, abs=3e-6)
