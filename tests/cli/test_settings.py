"""One setting changed on the command line: the same option of all commands, and what is said of a wrong one."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kpasim import load
from kpasim.cli.main import cli
from kpasim.engines import lower
from kpasim.errors import RunError
from kpasim.spec.settings import parse_settings, with_settings
from kpasim.studies.sweep import Plan

ROOT = Path(__file__).parents[2]
HEADLINE = str(ROOT / "experiments" / "hey50x5.yaml")
MANIFEST = str(ROOT / "experiments" / "manifests" / "stable-diffusion.yaml")
SWEEP = str(ROOT / "experiments" / "cost-vs-latency.yaml")


def call(*arguments: str) -> Any:
    """What a command leaves behind."""
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.parametrize("command", ["run", "check", "tune", "sweep", "validate"])
def test_five_commands_change_a_setting_with_the_same_option(command: str):
    """`--set PATH=VALUE` is an option of each, and each refuses an unknown path in one line."""
    file = SWEEP if command == "sweep" else HEADLINE
    further = ["--slo", "p95<=30s"] if command == "tune" else []

    done = call(command, file, *further, "--set", "model.coldstart=30s")

    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        "Error: --set model.coldstart: no such setting (did you mean model.cold-start?)"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max-scale=3", "--set max-scale: no such setting (did you mean service.annotations.max-scale?)"),
        ("cold-start=30s", "--set cold-start: no such setting (did you mean model.cold-start?)"),
        ("service.annotations.max-scal=3", "(did you mean service.annotations.max-scale?)"),
        ("service.annotations.max-scale=abc", "--set service.annotations.max-scale: 'abc' is not a whole number"),
        ("service.annotations.min-scale=30", "max-scale = 10 is less than min-scale = 30"),
        ("model.cold-start=30q", "'30q' is not a duration; write 30s, 1m30s or 500ms"),
        ("workload.rate=3", "--set workload.rate: unknown key (one of concurrency"),
        ("workload.requests=3", "requests = 3 is below concurrency = 5"),
        ("start=foo", "'foo' is not known (one of idled, warm, zero)"),
        ("seed", "--set seed: has no value (write PATH=VALUE, such as model.cold-start=30s)"),
        ("seed=[", "--set seed=[: is not YAML"),
    ],
)
def test_a_wrong_setting_gets_one_line(text: str, said: str):
    """Exit status 1, one line that names the option and the path, and what would be right."""
    done = call("check", HEADLINE, "--set", text)

    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: --set ")
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_a_setting_is_what_is_run():
    """The JSON of a run with a setting is that of an experiment with it; several are changed together."""
    options = ["--engine", "reference", "-n", "1", "--json"]
    changed = ["--set", "service.annotations.min-scale=2", "--set", "workload.requests=10"]

    done = call("run", HEADLINE, *options, *changed)

    summary = json.loads(done.stdout)["summary"]
    assert summary["requests"] == 10
    assert summary["max_pods"] >= 2


def test_a_setting_is_what_is_checked():
    """`check` looks at the changed experiment, or at the changed manifest."""
    for file in (HEADLINE, MANIFEST):
        periods = []
        for further in ([], ["--set", "service.readinessProbe.periodSeconds=20"]):
            findings = json.loads(call("check", file, "--json", *further).stdout)["findings"]
            periods.append("probes every 20 s" in str(findings))
        assert periods == [False, True], file
    assert "a manifest has no such setting" in call("check", MANIFEST, "--set", "workload.rate=1").stderr


def test_a_sweep_keeps_the_setting_in_all_rows_and_refuses_one_of_its_axes():
    """The setting holds beside the axes."""
    plan = Plan.read(SWEEP, {"model.cold-start": "30s"})
    axis = next(iter(plan.sweep.axes))

    assert plan.experiment.model.cold_start.stages[0].time.mean_s() == 30
    with pytest.raises(RunError, match=f"--set {axis}: is an axis of"):
        Plan.read(SWEEP, {axis: 1})


def test_a_number_that_is_given_is_no_longer_drawn():
    """The posterior's draws of a number, or of all in what is replaced, give way to what the user says; others stay."""
    headline = load(HEADLINE)
    places = set(headline.model.posterior[0])
    of_starts = {one for one in places if one.startswith("cold-start.")}
    service = next(one for one in places if one.startswith("service-time."))
    assert of_starts

    for settings, kept in (
        ({"model.cold-start": "30s"}, places - of_starts),
        ({f"model.{service}": "5s" if "median" in service else 0.1}, places - {service}),
        ({"model.cold-start.crash.probability": 0.1}, places),
    ):
        changed = with_settings(headline, settings)
        assert set(changed.model.posterior[0]) == kept
        assert len(changed.model.posterior) == len(headline.model.posterior)
        lower.lower(changed)


def test_all_draws_may_give_way():
    """Where everything that was drawn is given, nothing is drawn any more."""
    changed = with_settings(load(HEADLINE), parse_settings(["model.cold-start=30s", "model.service-time=5s"]))

    assert changed.model.posterior == ()


@pytest.mark.parametrize(
    ("settings", "path", "value"),
    [
        (["autoscaler=spare", "autoscaler.pods=2"], "autoscaler.pods", 2),
        (["start=idled", "start.for=10m"], "start.for", "10m"),
        (["model.service-time=4s", "model.service-time.slots=2"], "model.service-time.slots", 2),
    ],
)
def test_a_setting_may_lead_into_what_another_has_set(settings: list[str], path: str, value: Any):
    """Also where the first is in its short form."""
    assert with_settings(load(HEADLINE), parse_settings(settings)).setting(path) == value


def test_replications_of_a_sweep_are_set_as_those_of_a_run(tmp_path: Path):
    """The same option; a sweep that goes on is told to keep it."""
    file = tmp_path / "sweep.yaml"
    file.write_text(f"experiment: {HEADLINE}\naxes: {{service.annotations.max-scale: [1, 2]}}\n")

    done = call("sweep", str(file), "-n", "3", "--out", str(tmp_path / "out"))

    assert done.exit_code == 0, done.output
    assert "2 settings, 3 replications each" in done.output
    assert "--set replications=3" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("versus", "BAD", "--out", "OUT"),
        ("versus", HEADLINE, "--out", "OUT", "--replications", "none"),
        ("compare", "BAD", "--out", "OUT"),
        ("tune", "BAD", "--slo", "p95<=30s", "--write", "OUT/tuned.yaml"),
        ("calibrate", "BAD", "-o", "OUT/model.yaml"),
    ],
)
def test_a_refused_command_leaves_no_folder(arguments: tuple[str, ...], tmp_path: Path):
    """What was made for the output is removed again while it is empty; a folder that was there stays."""
    bad, kept = tmp_path / "bad.yaml", tmp_path / "kept"
    bad.write_text("service: {", encoding="utf-8")
    kept.mkdir()
    out = kept / "further" / "out"

    done = call(*(text.replace("BAD", str(bad)).replace("OUT", str(out)) for text in arguments))

    assert done.exit_code in {1, 2}, done.output
    assert not list(kept.iterdir())
