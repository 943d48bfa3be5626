"""Both engines leave the same tables, bit for bit, whatever the experiment."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.events import run as run_plain_loop

from . import agreement

ROOT = Path(__file__).parents[2]


def hold(seen: Counter[str], record_property: Any) -> None:
    """Let the summary of the test run show what was drawn, and insist that all of the model was."""
    record_property("agreement", agreement.summary(seen))
    assert not any(
        name.startswith("short of pods") and count > seen["experiments"] // 10 for name, count in seen.items()
    )
    missing = [name for name in NAMES if seen[name] * agreement.RARE < seen["experiments"]]
    assert not missing, f"too rare among the experiments drawn: {missing}"


NAMES = (
    "status 200", "status 0", "status 502", "status 503", "status 504", "status -1", "rule stable", "rule panic",
    "rule up-rate", "rule down-rate", "rule activation", "rule held", "rule delay", "panic", "poke", "direct requests",
    "three activators", "serve mode", "a pod gone", "a pod gone before it was ready", "a pod without a node",
    "a pod that waited for a node", "a pod found before it was ready", "a restart", "a killed pod",
    "two pods on a node", "an ordered node", "a released node", "a second instance type", "sharing", "cookies",
    "an orphan", "work for a client that had gone", "scale to zero", "events at the same moment",
)  # fmt: skip


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_engines_agree(engine: str, record_property: Any) -> None:
    """300 experiments over the whole model give the same tables in the oracle and in each engine."""
    hold(agreement.agree_apart(engine, 300), record_property)


@pytest.mark.statistical
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_engines_agree_at_length(engine: str, record_property: Any) -> None:
    """5,000 experiments over the whole model give the same tables in the oracle and in each engine."""
    hold(agreement.agree_apart(engine, 5000), record_property)


def test_the_compiled_loop_agrees_as_plain_python(record_property: Any) -> None:
    """The loop and the event queue that numba compiles are Python all the same, and give the same tables without it."""
    seen = agreement.agree(run_plain_loop, 60)

    record_property("agreement", agreement.summary(seen))
    assert seen["status 200"] > 0


def test_no_array_is_too_short(tmp_path: Path, record_property: Any) -> None:
    """Compiled afresh with bounds checked, 200 experiments agree, and an array that is too short is found out."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "KPASIM_CACHE_DIR": str(tmp_path)}

    command = [sys.executable, "-m", "tests.engines.bounds"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr
    agreed, overrun = done.stdout.splitlines()
    record_property("agreement", f"bounds checked: {agreed}")
    assert overrun.startswith("IndexError"), overrun


OTHERS = (
    "status 200", "status 504", "status -1", "no pod", "rule metric", "rule tolerance", "rule stabilized",
    "rule scale-down-limit", "rule maximum", "rule minimum", "rule no-metric", "rule off", "rule wakes",
    "rule cooled-down", "rule forecast", "autoscaler hpa", "autoscaler keda", "autoscaler keda-http",
    "autoscaler ray-serve", "the HPA class", "metric cpu", "spare pods", "a schedule", "a forecast",
    "a pod without a node", "scale to zero", "events at the same moment",
)  # fmt: skip


def hold_others(seen: Counter[str], record_property: Any) -> None:
    """Let the summary show what was drawn of other autoscalers, and insist that all of it was."""
    record_property("agreement", agreement.summary(seen))
    missing = [name for name in OTHERS if seen[name] * agreement.RARE < seen["experiments"]]
    assert not missing, f"too rare among the experiments drawn: {missing}"


def test_engines_agree_with_other_autoscalers(record_property: Any) -> None:
    """300 experiments under HPA, KEDA, its HTTP add-on, Ray Serve, spare pods, schedules and forecasts."""
    seen = agreement.agree_apart("compiled", 300, *agreement.KINDS, other="reference")
    hold_others(seen, record_property)


@pytest.mark.statistical
@pytest.mark.parametrize("kind", list(agreement.KINDS))
def test_engines_agree_with_each_autoscaler_at_length(kind: str, record_property: Any) -> None:
    """5,000 experiments under each other autoscaler."""
    record_property("agreement", agreement.summary(agreement.agree_apart("compiled", 5000, kind, other="reference")))
