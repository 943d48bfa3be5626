"""`kpasim explain`: every setting is explained in the words of the classes that read it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kpasim import load
from kpasim.cli.main import cli
from kpasim.spec.autoscaler import CONFIG_KEYS, SPELLINGS, AutoscalerConfig
from kpasim.spec.keys import find, keys, nearest
from kpasim.spec.schema import schema

HEADLINE = Path(__file__).parents[2] / "experiments" / "hey50x5.yaml"


def explain(*arguments: str) -> Any:
    """What the command leaves behind."""
    return CliRunner().invoke(cli, ["explain", *arguments])


def test_a_key_is_explained_with_its_default_and_where_knative_decides():
    """Meaning, what it takes, default, and the file of Knative, for an annotation by its short name."""
    done = explain("target-utilization-percentage")

    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "service.annotations.target-utilization-percentage"
    assert [line.split()[0] for line in lines[1:] if not line.startswith("   ")] == [
        "means", "takes", "default", "decided",
    ]  # fmt: skip
    assert "number, 1 to 100 (percent)" in done.stdout
    assert "container-concurrency-target-percentage (70)" in done.stdout
    assert "knative/serving@98e5ef9: pkg/reconciler/autoscaling/resources/target.go" in done.stdout


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("max-scale", "service.annotations.max-scale"),
        ("minScale", "service.annotations.min-scale"),
        ("autoscaling.knative.dev/maxScale", "service.annotations.max-scale"),
        ("containerconcurrency", "service.containerConcurrency"),
        ("stable_window", "config-autoscaler.stable-window"),
        ("slots", "model.service-time.slots"),
        ("idle-release", "cluster.nodes.idle-release"),
        ("workload.rate", "workload.rate"),
        ("horizon", "horizon"),
    ],
)
def test_a_key_is_found_by_its_end_in_any_spelling(word: str, path: str):
    """The whole path is not needed; case, underscores and Knative's prefix do not matter."""
    assert find(word)[0].path == path
    assert explain(word).stdout.startswith(path)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("max-scal", "service.annotations.max-scale"),
        ("coldstart", "model.cold-start"),
        ("modle.cold-start", "model.cold-start"),
        ("containerConcurency", "service.containerConcurrency"),
        ("utilisation", None),
    ],
)
def test_a_misspelt_key_suggests_one(word: str, near: str | None):
    """One line, exit status 1, and the nearest path where one is near."""
    done = explain(word)

    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert (nearest(word)[:1] or [None]) == [near]
    assert (f"did you mean {near}" if near else "kpasim explain lists all") in done.stderr


def test_every_key_says_what_it_means_and_what_it_takes():
    """No setting is without words; Knative's own settings name the file that decides."""
    for one in keys():
        assert one.meaning, one
        assert one.takes, one
        assert one.default, one
        if one.path.startswith(("service.", "config-autoscaler.")):
            assert one.decided_in.startswith("pkg/"), one


def test_the_keys_are_those_of_the_files():
    """All annotations, all keys of the ConfigMap, all top-level keys, and each setting that the headline may change."""
    paths = {one.path for one in keys()}

    assert {f"service.annotations.{name}" for name in SPELLINGS} <= paths
    assert {f"config-autoscaler.{name}" for name in CONFIG_KEYS} <= paths
    assert set(schema("experiment")["properties"]) - {"service", "config-autoscaler"} <= paths
    experiment = load(HEADLINE)
    for path in ("service.timeoutSeconds", "service.readinessProbe.periodSeconds", "workload.requests", "start.state"):
        assert path in paths
        experiment.setting(path)


def test_defaults_are_those_that_hold():
    """What is said of the ConfigMap's defaults is what a configuration without keys has."""
    config = AutoscalerConfig()

    assert find("config-autoscaler.stable-window")[0].default == "1m"
    assert config.stable_window_s == 60
    for name in ("max-scale-up-rate", "activator-capacity", "panic-threshold-percentage"):
        assert float(find(f"config-autoscaler.{name}")[0].default) == getattr(config, name.replace("-", "_"))


def test_without_a_key_all_paths_are_listed():
    """One a line, or as JSON."""
    listed = explain().stdout.splitlines()

    assert listed == json.loads(explain("--json").stdout)
    assert len(listed) == len(set(listed)) > 150
    assert json.loads(explain("max-scale", "--json").stdout)[0]["path"] == "service.annotations.max-scale"
