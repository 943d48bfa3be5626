"""`kpasim calibrate` on the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.spec.experiment import read_model
from tests.real_runs import folder

RUN = "s1-warm-def-r03"


def call(*arguments):
    """Run the command."""
    return CliRunner().invoke(cli, ["calibrate", *map(str, arguments)])


def test_a_model_file_is_written_with_its_source(tmp_path):
    """The file is a model; its head is the command and its source says from what, when and how."""
    file = tmp_path / "mine.yaml"
    done = call(folder(RUN), "-o", file, "--plot")

    assert done.exit_code == 0, done.output
    model = read_model(file)[0]
    assert model.name == "mine"
    assert not model.provisional
    assert len(model.posterior) == 200
    assert "from s1-warm-def-r03 (run-folder): 50 requests" in model.source[0]
    assert "Bayesian information criterion" in model.source[1]
    assert file.read_text(encoding="utf-8").startswith("# kpasim ")
    assert (tmp_path / "mine-quantiles.png").stat().st_size > 10_000
    assert "service p50" in done.stdout


def test_json_holds_estimates_and_fits():
    """With --json stdout is one object with estimates, families tried and the model."""
    done = call(folder(RUN), "--json")
    found = json.loads(done.stdout)

    assert found["method"] == "direct"
    assert found["estimates"]["service_p50_s"]["lo"] < found["estimates"]["service_p50_s"]["value"]
    assert found["fits"][0]["family"] in found["fits"][0]["bic"]
    assert found["model"]["service-time"]
    assert found["draws"] == 200


def test_malformed_lines_are_skipped_on_request(tmp_path):
    """A bad line is named with its number and ends the command, unless it is to be left out."""
    file = tmp_path / "measured.csv"
    file.write_text(
        "start,duration\n" + "".join(f"{t},{5 + t / 10}\n" for t in range(30)) + "31,slow\n", encoding="utf-8"
    )
    refused, skipped = call(file), call(file, "--skip-bad")

    assert refused.exit_code == 1
    assert "measured.csv:32: duration" in refused.stderr
    assert skipped.exit_code == 0
    assert "1 malformed line was left out" in skipped.stderr


@pytest.mark.parametrize(
    ("option", "form"), [(("--column", "start"), "ROLE=NAME"), (("--stage", "load="), "NAME=FILE")]
)
def test_pairs_must_be_pairs(tmp_path, option, form):
    """An option that wants a pair says which."""
    file = tmp_path / "a.csv"
    file.write_text("start,duration\n1,2\n", encoding="utf-8")
    done = call(file, *option)

    assert done.exit_code == 2
    assert f"is not {form}" in done.stderr


def test_a_stage_comes_from_a_file_of_its_own(tmp_path):
    """Durations of one stage, as of model loads, become that stage of the start."""
    requests, loads = tmp_path / "requests.csv", tmp_path / "loads.csv"
    requests.write_text("start,duration\n" + "".join(f"{t},{5 + t / 10}\n" for t in range(30)), encoding="utf-8")
    loads.write_text("start,duration\n" + "".join(f"{t},{20 + t / 10}\n" for t in range(30)), encoding="utf-8")
    file = tmp_path / "m.yaml"
    assert call(requests, "--stage", f"load={loads}", "-o", file).exit_code == 0

    stage = read_model(Path(file))[0].cold_start.stages[0]
    assert stage.name == "load"
    assert 20 < stage.time.mean_s() < 24
