"""An experiment out of a manifest and a few words."""

from pathlib import Path
from typing import Any

import pytest

from kpasim.errors import ExperimentError
from kpasim.spec.experiment import load
from kpasim.spec.heyflags import parse_hey
from kpasim.spec.quick import quick_experiment
from tests.spec.files import MANIFEST

PUBLISHED = Path(__file__).parents[2] / "experiments" / "manifests" / "stable-diffusion.yaml"


@pytest.mark.parametrize(
    ("flags", "workload"),
    [
        ("-n 50 -c 5 -t 180", {"requests": 50, "concurrency": 5, "timeout": 180}),
        ("hey -z 3m -q 0.5 -c=2 http://x/", {"duration": 180.0, "qps": 0.5, "concurrency": 2}),
        ("-n 9 -m POST -H 'a: b' -d '{\"x\": 1}' --h2 -disable-keepalive", {"requests": 9}),
        ("", {}),
    ],
)
def test_heys_flags(flags: str, workload: dict[str, Any]) -> None:
    """What is sent when counts; the rest is passed over."""
    assert parse_hey(flags) == {"kind": "hey", **workload}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("-n x", "hey: -n: 'x' is not right (must be a whole number)"),
        ("-n", "hey: -n: has no value"),
        ("-w 3", "hey: -w: unknown flag"),
        ("-z 3", "a duration such as 3m"),
        ("-d 'x", "cannot be split"),
    ],
)
def test_flags_that_hey_refuses(flags: str, words: str) -> None:
    """In one line, with the flag."""
    with pytest.raises(ExperimentError) as caught:
        parse_hey(flags)
    assert words in str(caught.value)


def test_an_experiment_from_the_command_line() -> None:
    """The published run needs no file but the manifest."""
    found, _ = quick_experiment(PUBLISHED, "-n 50 -c 5 -t 180", "11s", "120s")
    assert (found.workload.kind, found.service.name) == ("hey", "stable-diffusion")
    assert found.model.service_time.time.mean_s() == 11.0
    assert found.model.cold_start.stages[0].time.mean_s() == 120.0
    assert found.gpus_per_pod == 1


def test_its_text_can_be_written_to_a_file(tmp_path: Path) -> None:
    """The file may stand anywhere, and finds the manifest from there."""
    (tmp_path / "service.yaml").write_text(MANIFEST)
    path = tmp_path / "sub" / "first.yaml"
    time = "{distribution: lognormal, median: 11s, sigma: 0.3}"
    found, text = quick_experiment(tmp_path / "service.yaml", "-z 1m", time, "2m", write_to=path)
    assert not path.parent.exists()
    path.parent.mkdir()
    path.write_text(text)
    assert "service: ../service.yaml" in text
    assert load(path).model == found.model
    assert found.model.service_time.time.mean_s() == pytest.approx(11.5065, rel=1e-3)


def test_what_is_missing_is_asked_for() -> None:
    """Both times at once, each with an example."""
    with pytest.raises(ExperimentError) as caught:
        quick_experiment(PUBLISHED, "", None, None)
    assert [problem.place for problem in caught.value.problems] == ["--service-time", "--cold-start"]


@pytest.mark.parametrize("times", [("11 s", "2m"), ("11s", "{distribution: normal}"), ("", "2m"), ("[", "2m")])
def test_times_that_are_none(times: tuple[str, str]) -> None:
    """Whatever is given for a time is held to what a file may say."""
    with pytest.raises(ExperimentError):
        quick_experiment(PUBLISHED, "", *times)
