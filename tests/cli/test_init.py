"""`kpasim init`: five replies make an experiment that runs, and nothing is left of one that would not."""

import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.spec.experiment import load


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments, replies=None):
    """The command's result."""
    return CliRunner().invoke(cli, ["init", *arguments], input=replies)


def test_five_empty_replies_make_an_experiment(place):
    """Every question has a default; what is not the user's own is marked and has its source beside it."""
    told = init(replies="\n" * 5)

    assert told.exit_code == 0, told.output
    assert [f"{number}/5" in told.output for number in range(1, 6)] == [True] * 5
    text = (place / "experiment.yaml").read_text(encoding="utf-8")
    assert "published: 6.9 steps/s" in text
    experiment = load("experiment.yaml")
    assert experiment.model.provisional
    assert experiment.service.name == "experiment"
    assert CliRunner().invoke(cli, ["run", "experiment.yaml", "-n", "2"]).exit_code == 0


def test_replies_are_what_the_experiment_says(place):
    """Options are replies; the user's own numbers are not provisional."""
    told = init("mine.yaml", "--model", "4s", "--hey", "0.5/s", "--cold-start", "90s", "--instance", "gpu=2.5", "--yes")

    assert told.exit_code == 0, told.output
    experiment = load("mine.yaml")
    assert (experiment.workload.kind, experiment.workload.rate) == ("poisson", 0.5)
    assert experiment.instance_types[0].price_per_hour == 2.5
    assert not experiment.model.provisional


def test_servers_that_batch_take_several_requests(place):
    """The manifest that is written fits the model: an LLM server takes eight requests at once."""
    assert init("chat.yaml", "--model", "llm-8b@a100", "--yes").exit_code == 0

    experiment = load("chat.yaml")
    assert experiment.service.container_concurrency == experiment.model.service_time.slots == 8


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--model", "flux@t4"), "flux@t4: does not fit into one T4 (34 GB of weights)"),
        (("--model", "sdxl@a10"), "sdxl@a10: is not in the catalogue (did you mean sdxl@a10g"),
        (("--hey", "-n 3 -c 5"), "requests = 3 is below concurrency = 5"),
        (("--instance", "no-such"), "--instance no-such: has no known price"),
        (("--instance", "x=much"), "--instance x=much: 'much' is not a price"),
        (("--manifest", "missing.yaml"), "missing.yaml"),
    ],
)
def test_a_reply_that_cannot_be_used_is_one_line_and_leaves_nothing(place, arguments, reason):
    """No file stays of an experiment that would not run."""
    told = init("bad.yaml", *arguments, "--yes")

    assert told.exit_code == 1
    assert reason in told.stderr
    assert told.stderr.count("\n") == 1
    assert list(place.iterdir()) == []


def test_without_replies_it_says_how_to_take_the_defaults(place):
    """Where no terminal answers, the command is one line, writes nothing and is no interruption."""
    told = init(replies="")

    assert (1, "nobody replies (give --yes" in told.output) == (told.exit_code, True)
    assert list(place.iterdir()) == []


def test_a_file_that_is_there_stays(place):
    """Neither the experiment nor the manifest beside it is replaced."""
    assert init("--yes").exit_code == 0
    before = (place / "experiment.yaml").read_bytes()

    assert init("--yes").exit_code == 1
    (place / "experiment.yaml").rename(place / "other.yaml")
    assert "experiment-service.yaml: is there already" in init("--yes").stderr
    assert (place / "other.yaml").read_bytes() == before
