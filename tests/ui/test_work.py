"""What the page gets is what the library and its commands say: settings, figures, sweeps, files."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.errors import KpasimError
from kpasim.spec.experiment import load
from kpasim.spec.keys import find
from kpasim.spec.scaling import KINDS
from kpasim.studies.run import simulate
from kpasim.ui.across import values_of
from kpasim.ui.jobs import Job, perform
from kpasim.ui.knobs import _size, knobs, with_stop
from kpasim.ui.source import open_source
from kpasim.ui.state import State, experiment_of

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(path.name for path in (ROOT / "experiments").glob("*.yaml"))
MODELS = [name for name in EXPERIMENTS if "axes:" not in (ROOT / "experiments" / name).read_text(encoding="utf-8")]
SHORT = {"hey50x5.yaml", "finite-gpus.yaml", "kserve-gpu.yaml"}
"""Experiments whose sliders are moved in CI."""
FEW = (("replications", "4"),)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the experiments and models, to work in."""
    for name in ("experiments", "models"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def messages(source, **job):
    """What a job sends, by kind."""
    found = {one["kind"]: one for one in perform(source, Job(**job), lambda done, total: None)}
    assert json.dumps(list(found.values()), allow_nan=False)
    return found


def told(command):
    """What a command prints, with single blanks."""
    words = shlex.split(command)
    done = CliRunner().invoke(cli, words[1:])
    assert done.exit_code == 0, done.output
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


def assert_told(rows, lines):
    """Every row of the page stands in what the command prints."""
    assert len(rows) > 15
    for title, value, interval, unit, *_ in rows:
        wanted = " ".join(f"{title} {value} {interval} {unit}".split())
        assert any(line.startswith(wanted) for line in lines), wanted


@pytest.mark.parametrize(
    "name",
    [name if name in SHORT else pytest.param(name, marks=pytest.mark.statistical) for name in MODELS],
)
def test_every_slider_has_a_meaning_and_values_that_are_taken(name):
    """The meaning is that of `kpasim explain`; each value is accepted by the library, or refused by Knative's rule."""
    source = open_source(str(ROOT / "experiments" / name))
    for knob in knobs(source.experiment, source.experiment):
        assert knob.meaning, knob.path
        assert knob.takes, knob.path
        assert not knob.changed
        if knob.path.startswith("service."):
            assert knob.meaning == find(knob.path)[0].meaning.replace("`", "")
        taken = 0
        for stop in knob.stops:
            try:
                found = experiment_of(source, State(settings=((knob.path, stop),)))
            except KpasimError:
                continue
            taken += 1
            again = next(one for one in knobs(found, source.experiment) if one.path == knob.path)
            assert _size(again.value) == _size(stop), (knob.path, stop)
        assert not knob.stops or taken >= min(2, len(knob.stops)), knob.path


@pytest.mark.parametrize("kind", KINDS)
def test_every_autoscaler_is_offered_with_its_settings(kind):
    """Each is one of the values; most values of its settings are taken beside it, and a schedule has its windows."""
    source = open_source(str(ROOT / "experiments" / "hey50x5.yaml"))
    offered = next(one for one in knobs(source.experiment, source.experiment) if one.path == "autoscaler")
    value = next(one for one in offered.stops if one == kind or f"kind: {kind}," in one)
    chosen = ("autoscaler", value)
    now = experiment_of(source, State(settings=(chosen,)))
    assert now.scaling.kind == kind
    own = [one for one in knobs(now, source.experiment) if one.path.startswith("autoscaler.")]
    assert bool(own) == (kind != "kpa")
    for knob in own:
        assert knob.meaning, knob.path
        assert knob.takes, knob.path
        taken, some = 0, {*knob.stops[:2], *knob.stops[-1:]}
        for stop in some:
            try:
                found = experiment_of(source, State(settings=(chosen, (knob.path, stop))))
            except KpasimError:
                continue
            taken += 1
            again = next(one for one in knobs(found, source.experiment) if one.path == knob.path)
            assert _size(again.value) == _size(stop), (knob.path, stop)
        assert not some or taken, knob.path


@pytest.mark.parametrize(
    ("stops", "value", "wanted"),
    [
        (("1", "2", "3"), "2.5", ("1", "2", "2.5", "3")),
        (("1", "2", "0"), "5", ("1", "2", "5", "0")),
        (("30s", "1m"), "60s", ("30s", "60s")),
        (("30s", "1m"), "45s", ("30s", "45s", "1m")),
        (("warm", "zero"), "idled", ("warm", "zero", "idled")),
    ],
)
def test_a_value_stands_in_its_place_among_the_stops(stops, value, wanted):
    """By size; 0 for no limit stays last."""
    assert with_stop(stops, value) == wanted


@pytest.mark.parametrize(
    "settings",
    [
        (("service.annotations.max-scale", "3"),),
        (("service.containerConcurrency", "2"), ("model.service-time", "{time: 4s, slots: 2}")),
        (("workload", "{kind: poisson, rate: 0.2, duration: 10m}"), ("workload.rate", "0.3"), ("start", "idled")),
        (("cluster.instance-types", "[{name: a, price-per-hour: 2, currency: USD}]"), ("seed", "7")),
    ],
)
def test_the_numbers_are_those_of_the_copied_command(place, settings):
    """Digit for digit, whatever kind of setting is changed."""
    source = open_source("experiments/hey50x5.yaml")
    found = messages(source, kind="run", state=State(settings=(*settings, *FEW)))

    assert found["figures"]["final"]
    assert_told(found["figures"]["rows"], told(found["setup"]["command"]))


def test_an_edited_manifest_is_a_command_where_settings_express_it(place):
    """The text of the editor counts; its changes are listed with paths, as a diff, and as the command's settings."""
    source = open_source("experiments/hey50x5.yaml")
    text = source.manifest.replace("containerConcurrency: 1", "containerConcurrency: 2")
    found = messages(source, kind="run", state=State(text=text, settings=FEW))

    setup = found["setup"]
    assert setup["changes"] == [
        {"path": "service.containerConcurrency", "before": "1", "now": "2"},
        {"path": "replications", "before": "not set", "now": "4"},
    ]
    assert "-      containerConcurrency: 1\n+      containerConcurrency: 2\n" in setup["diff"]
    assert "--set service.containerConcurrency=2" in setup["command"]
    assert_told(found["figures"]["rows"], told(setup["command"]))


def test_other_edits_need_the_saved_experiment(place):
    """What no setting expresses is in the file that the page saves: it gives the same numbers."""
    source = open_source("experiments/hey50x5.yaml")
    text = source.manifest.replace("      - args:", "      - env: [{name: A, value: b}]\n        args:", 1)
    assert text != source.manifest
    state = State(text=text, settings=FEW)
    found = messages(source, kind="run", state=state)
    saved = messages(source, kind="out", what="experiment", state=state)["file"]
    Path(saved["name"]).write_text(saved["text"], encoding="utf-8")

    assert found["setup"]["command"] == f"kpasim run {saved['name']}"
    assert_told(found["figures"]["rows"], told(found["setup"]["command"]))


@pytest.mark.parametrize("name", MODELS)
def test_every_experiment_can_be_saved_and_read_again(place, name):
    """The saved file is the same experiment."""
    source = open_source(f"experiments/{name}")
    saved = messages(source, kind="out", what="experiment")["file"]
    Path("saved.yaml").write_text(saved["text"], encoding="utf-8")

    assert load("saved.yaml").workload == source.experiment.workload
    assert load("saved.yaml").revision == source.experiment.revision
    assert load("saved.yaml").model == source.experiment.model


def test_a_manifest_is_shown_with_guesses_and_the_command_that_writes_them(place):
    """Of a manifest alone the command first imports it."""
    source = open_source("experiments/manifests/stable-diffusion.yaml")
    found = messages(source, kind="run", state=State(settings=FEW))

    first, second = found["setup"]["command"].split(" &&\n")
    assert first == (
        "kpasim manifest import experiments/manifests/stable-diffusion.yaml --out stable-diffusion-experiment.yaml"
    )
    told(first)
    assert_told(found["figures"]["rows"], told(second))


def test_an_inference_service_is_read_and_its_errors_have_lines(place):
    """KServe's fields are edited in KServe's file."""
    source = open_source("experiments/kserve-gpu.yaml")
    found = messages(source, kind="run", state=State(settings=(("service.annotations.max-scale", "2"), *FEW)))
    assert "maxReplicas: 2" in found["setup"]["manifest"]
    wrong = source.manifest.replace("minReplicas: 0", "minReplicas: -1", 1)
    assert wrong != source.manifest

    problem = messages(source, kind="run", state=State(text=wrong))["problems"]["problems"][0]

    assert problem["line"] == 1 + wrong[: wrong.index("minReplicas: -1")].count("\n")
    assert "minReplicas" in problem["message"]


def test_a_run_folder_is_shown_again(place):
    """What a run left is an experiment."""
    simulate(load("experiments/hey50x5.yaml"), replications=3, engine="reference").write("runs/first")
    source = open_source("runs/first")

    assert source.experiment.workload == load("experiments/hey50x5.yaml").workload
    assert messages(source, kind="run", state=State(settings=FEW))["figures"]["replications"] == 4


@pytest.mark.parametrize("path", ["missing.yaml", "models", "models/sd-webui-gn5.yaml"])
def test_what_is_no_source_is_refused_in_one_line(place, path):
    """A file that is missing, a folder without a run, a model."""
    done = CliRunner().invoke(cli, ["ui", "--no-open", path])

    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1


def test_verdicts_are_those_of_the_comparison(place):
    """Better, worse or no significant difference: as `kpasim run --against` has it, figure by figure."""
    source = open_source("experiments/hey50x5.yaml")
    twelve = ("replications", "12")
    found = messages(
        source,
        kind="run",
        state=State(settings=(("service.annotations.max-scale", "2"), twelve)),
        pinned=State(settings=(twelve,)),
    )
    words = shlex.split(found["setup"]["compare"])
    differences = json.loads(CliRunner().invoke(cli, [*words[1:], "--json"]).stdout)["differences"]

    verdicts = {one["name"]: one["verdict"]["kind"] for one in found["figures"]["tiles"]}
    for name, kind in verdicts.items():
        assert (kind != "same") == differences[name]["significant"], name
    assert verdicts["latency_s.p50"] == "worse"
    assert verdicts["gpu_seconds"] == "better"


def test_a_range_is_a_sweep(place):
    """The rows of one setting over its range are those of `kpasim sweep` on the same values."""
    source = open_source("experiments/hey50x5.yaml")
    path = "service.annotations.max-scale"
    found = messages(source, kind="across", path=path, state=State(settings=FEW))["across"]
    (place / "sweep.yaml").write_text(
        f"experiment: experiments/hey50x5.yaml\naxes: {{{path}: [{', '.join(found['values'])}]}}\nreplications: 4\n",
        encoding="utf-8",
    )
    rows = json.loads(CliRunner().invoke(cli, ["sweep", "sweep.yaml", "--json"]).stdout)["rows"]
    by_value = {str(row["settings"][path]): row for row in rows}

    assert len(found["rows"]) == len(rows) == 9
    for value, row in zip(found["values"], found["rows"], strict=True):
        assert row[1] == f"{by_value[value]['medians']['latency_s']['p95']:.4g}"
        assert row[3] == f"{by_value[value]['cost']['amount']:.4g}"


def test_a_range_holds_the_value_now():
    """At most nine values, in order, with that of the page among them."""
    experiment = open_source(str(ROOT / "experiments" / "hey50x5.yaml")).experiment
    for knob in knobs(experiment, experiment):
        if len(knob.stops) > 1 and knob.path not in {"replications", "seed", "horizon"}:
            _, values = values_of(experiment, knob.path)
            assert knob.value in values
            assert len(values) == min(9, len(knob.stops))
            assert [one for one in knob.stops if one in values] == values


def test_a_setting_without_effect_or_range_is_refused(place):
    """In one line, where the chart would be."""
    source = open_source("experiments/hey50x5.yaml")
    for path in ("replications", "no.such", "service.annotations.target-burst-capacity"):
        found = messages(source, kind="across", path=path, state=State(settings=FEW))
        assert set(found) in ({"problems"}, {"across"})


def test_the_report_is_that_of_the_run(place):
    """The page's report is the page of `kpasim report`."""
    source = open_source("experiments/hey50x5.yaml")
    found = messages(source, kind="out", what="report", state=State(settings=FEW))["file"]

    assert found["name"] == "stable-diffusion.html"
    assert "<title>hey50x5</title>" in found["text"]
