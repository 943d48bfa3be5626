"""The catalogue: every model on every GPU, each time with a source, each estimate reproducible from its own words."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.errors import RunError
from kpasim.results.cost import price_list
from kpasim.spec.catalogue import entries, entry
from kpasim.spec.experiment import from_mapping, load

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
MODELS = ("sd15", "sdxl", "flux", "whisper", "llm-8b", "llm-70b")
GPUS = ("P100", "T4", "L4", "A10G", "A100", "H100")


def test_every_model_is_listed_on_every_gpu_once():
    """Where a model does not fit, that is said instead of a time."""
    assert sorted((one.workload, one.gpu) for one in entries()) == sorted(itertools.product(MODELS, GPUS))
    assert {one.gpu.partition("-")[0] for one in price_list().values()} >= set(GPUS)


@pytest.mark.parametrize("one", entries(), ids=lambda one: one.name)
def test_a_time_has_a_kind_a_source_and_a_derivation(one):
    """A row without a time is of a model larger than the GPU's memory."""
    if one.time_s is None:
        memory_gb = {"P100": 16, "T4": 16, "L4": 24, "A10G": 24}[one.gpu]
        assert one.weights_gb >= memory_gb
        with pytest.raises(RunError, match="does not fit into one"):
            _ = one.service_time
        return
    assert one.kind in {"measured", "published", "estimated"}
    assert one.source
    assert one.how


@pytest.mark.parametrize("one", [one for one in entries() if one.kind == "estimated"], ids=lambda one: one.name)
def test_an_estimate_follows_from_its_derivation(one):
    """A ratio in brackets times the row that it starts from is the time, rounded to two digits."""
    numbers = re.search(r"\(([\d.,]+) / ([\d.,]+)", one.how)
    if numbers is None:
        flop = re.search(r"([\d,]+) TFLOP at the (\d+)", one.how)
        wanted = 4 * 14.11 if flop is None else float(flop[1].replace(",", "")) / float(flop[2])
    else:
        start = entry(f"{one.workload}@{'a100' if one.how.startswith('A100') else 'a10g'}").time_s
        assert start is not None
        wanted = start * float(numbers[1].replace(",", "")) / float(numbers[2].replace(",", ""))

    assert one.time_s == pytest.approx(wanted, rel=0.05)


def test_a_row_can_be_simulated():
    """What an entry sets is a service time of a model."""
    for one in entries():
        if one.time_s is not None:
            raw = dict(load(EXPERIMENTS / "hey50x5.yaml").raw)
            found = from_mapping({**raw, "model": {"service-time": one.service_time}})
            assert found.model.service_time.time.ppf(np.array([0.5]))[0] == pytest.approx(one.time_s)


def test_the_commands_list_them_and_name_what_is_missing():
    """`kpasim models` and `kpasim prices` print rows, JSON with all sources, and one line for an unknown word."""
    for command, word, row in (("models", "sdxl@a100", "3.7 s"), ("prices", "A10G", "1.006")):
        told = CliRunner().invoke(cli, [command, word])
        assert told.exit_code == 0
        assert row in told.stdout
        assert json.loads(CliRunner().invoke(cli, [command, "--json"]).stdout)
        refused = CliRunner().invoke(cli, [command, "no-such-gpu"])
        assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)


def test_an_unknown_name_is_refused_with_the_nearest():
    """A misspelt name is one line."""
    with pytest.raises(RunError, match="did you mean sdxl@a10g"):
        entry("sdxl@a10")
