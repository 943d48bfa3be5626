"""One load under several autoscalers: the same requests for all, one end, and what was assumed is told."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.errors import ExperimentError, RunError
from kpasim.report.versus_page import held
from kpasim.spec.experiment import Experiment, from_mapping
from kpasim.studies.explain import explanation, why
from kpasim.studies.run import simulate
from kpasim.studies.search.slo import parse_slo
from kpasim.studies.versus.rivals import rivals, schedule_of
from kpasim.studies.versus.study import Versus, versus
from tests.cli.test_answer import experiment as data_of
from tests.cli.test_answer import written

HEY = {"kind": "hey", "requests": 20, "concurrency": 4, "timeout": "0s"}
THREE = "def decide(seen, memory):\n    return 3\n"


def experiment(workload: dict[str, Any] = HEY, **annotations: Any) -> Experiment:
    """A service of some 10 s a request, whose pods start in a minute."""
    return from_mapping(data(workload, **annotations))


def data(workload: dict[str, Any] = HEY, **annotations: Any) -> dict[str, Any]:
    """The same, as its file holds it."""
    found = data_of(workload, {"max-scale": 6, **annotations})
    found["model"] = {"service-time": {"distribution": "lognormal", "median": "10s", "sigma": 0.2}, "cold-start": "60s"}
    return found


def compared(texts: list[str], count: int = 10, slos: tuple[str, ...] = (), horizon: str | None = None) -> Versus:
    """The reference engine's comparison."""
    wanted = [parse_slo(text) for text in slos]
    given = experiment().with_setting("horizon", horizon)
    return versus(rivals(given, texts), slos=wanted, replications=count, engine="reference")


def test_an_autoscaler_that_decides_alike_has_the_same_figures_in_every_replication() -> None:
    """Knative's answer plus no pods is Knative's answer: all meet the same random numbers."""
    found = compared(["spare:0"])

    assert ["kpa", "spare:0"] == found.names
    assert all(one.same for one in found.differences(1).values())


def test_spare_pods_cost_gpu_hours_and_save_waits_for_cold_starts() -> None:
    """With the same load and one end for both, spare pods wait warm for the first requests."""
    found = compared(["spare:2"])
    differences = found.differences(1)

    assert found.end_s is not None
    assert found.idled
    assert {found.end_s} == {float(end) for result in found.results for end in result.horizon_s}
    assert differences["gpu_seconds"].low > 0
    assert differences["cold_start_share"].high < 0
    assert 0 == found.cheapest[0]


def test_the_cheapest_autoscaler_that_meets_the_slos_is_named() -> None:
    """Only spare pods avoid the first cold start, so that the more expensive autoscaler is the answer."""
    found = compared(["spare:5"], slos=("p95<=40s",))

    assert [False, True] == [found.meets(place) for place in range(2)]
    assert ["spare:5"] == [found.names[place] for place in found.cheapest]


def test_a_schedule_is_made_of_the_loads_own_rate_a_cold_start_ahead() -> None:
    """One request a second from 01:00 to 02:00 needs 10 s x 1/s = 10 pods, but 6 is the maximum: from 00:59 on."""
    phases = [{"rate": rate, "duration": "1h"} for rate in (0, 1, 0)]
    given = experiment({"kind": "steps", "phases": phases, "timeout": "0s"})

    windows = schedule_of(given)["windows"]

    assert [{"days": "mon", "start": "00:59", "end": "02:00", "replicas": 6}] == windows


def test_the_schedule_of_a_closed_loop_has_a_pod_for_each_client() -> None:
    """Four clients have four requests in flight, whenever they send them: at a target of 0.7 a pod, 5.7 pods."""
    assert [{"days": "mon", "start": "00:00", "end": "01:00", "replicas": 6}] == schedule_of(experiment())["windows"]


def test_what_cannot_be_simulated_is_refused_before_the_others_are() -> None:
    """A forecast needs a load with times of its own; the message names the autoscaler."""
    finished: list[int] = []
    with pytest.raises(RunError, match="--with lookahead: lookahead needs a load"):
        versus(rivals(experiment(), ["spare:1,lookahead"]), replications=2, progress=finished.append)
    assert not finished


@pytest.mark.parametrize("metric", ["concurrency", "rps", "utilization", "cpu"])
def test_reasons_name_the_metric_of_the_autoscaler(metric: str) -> None:
    """Each metric of an HPA has its own words, and its target is the autoscaler's, not Knative's."""
    target = 35 if metric == "cpu" else 0.375
    given = experiment().with_setting("autoscaler", {"kind": "hpa", "metric": metric, "target": target})

    result = simulate(given, replications=1, engine="reference")

    tables, params = result.tables(), result.params
    texts = " ".join([*why(tables, params, result.experiment.scaling), *explanation(tables, params)])
    words = {"concurrency": "requests in flight", "rps": "requests/s", "utilization": "% busy", "cpu": "% of the CPU"}
    assert words[metric] in texts
    assert f"target {target}" in texts
    assert "window (" not in texts
    assert "no data" not in texts


def test_reasons_name_the_schedule_and_spare_pods_where_they_decide() -> None:
    """No scale-in is told of that the minimum of a schedule prevents; a spare pod is told of where it is added."""
    windows = [{"start": "00:00", "end": "24:00", "replicas": 5}]
    given = experiment().with_setting("autoscaler", {"kind": "schedule", "windows": windows})
    result = simulate(given, replications=1, engine="reference")
    first, *others = why(result.tables(), result.params, result.experiment.scaling)
    assert re.match(r"It did not scale out: 5 pods met the target\. The .*; the schedule raises \d to 5\.$", first)
    assert not [text for text in others if text.startswith("Scale-in")]

    given = experiment().with_setting("autoscaler", {"kind": "spare", "pods": 2})
    result = simulate(given, replications=1, engine="reference")
    assert "; 2 spare pods added" in why(result.tables(), result.params, result.experiment.scaling)[0]


@pytest.mark.parametrize(
    "scaling",
    [
        {"kind": "hpa", "min-replicas": 7},
        {"kind": "keda", "min-replica-count": 7},
        {"kind": "keda-http", "min-replicas": 7},
        {"kind": "ray-serve", "min-replicas": 7},
        {"kind": "ray-serve", "initial-replicas": 7},
    ],
)
def test_a_minimum_above_the_manifests_maximum_is_refused(scaling: dict[str, Any]) -> None:
    """The manifest's max-scale of 6 is the maximum where none is given; no cluster takes a minimum of 7 then."""
    with pytest.raises(ExperimentError, match=r"7 pods at least, or at the start, are more than the maximum of 6"):
        simulate(experiment().with_setting("autoscaler", scaling), replications=1, engine="reference")


def test_too_few_replications_are_told_of() -> None:
    """Where a difference is not known, and not where nothing differs."""
    line = "Not known: 2 replications are too few to tell (-n takes more)."
    assert held(compared(["spare:1"], count=2))[-1] == line
    assert line not in held(compared(["spare:0"], count=2))


def test_who_holds_requests_is_what_carries_them() -> None:
    """Nobody does behind a plain Service; the activator does for Knative's autoscalers."""
    found = compared(["hpa,keda-http,ray"], count=1)
    assert ["activator", "nobody", "interceptor", "handle"] == [found.holds(place) for place in range(4)]


@pytest.mark.parametrize(
    ("texts", "changes", "says"),
    [
        (["nomad"], {}, r"no such autoscaler \(write one of kpa, hpa, keda, keda-http, "),
        (["keda-htp"], {}, r"no such autoscaler \(did you mean keda-http\? write one of kpa, "),
        (["kpa"], {}, "kpa is compared already"),
        (["spare:x"], {}, "spare takes a number of pods"),
        ([","], {}, "names no autoscaler"),
        (["spare:1"], {"keda.polling-interval": "1s"}, "begins with no autoscaler of --with"),
        (["spare:1"], {"spare:1.podz": 2}, "podz"),
        (["hpa"], {"hpa.metric": "cpu", "hpa.target": 0.4}, "whole percentage"),
        (["hpa"], {"hpa": 2}, "names no setting of an autoscaler"),
        (["mine.py"], {}, "write mine.py:decide"),
        (["nowhere.py:decide"], {}, "no such file"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(texts: list[str], changes: dict[str, Any], says: str) -> None:
    """The message names the option and what would be right."""
    with pytest.raises(RunError, match=says) as refused:
        rivals(experiment(), texts, changes)
    assert "\n" not in str(refused.value)


def test_an_autoscaler_of_a_users_own_decides(tmp_path: Path) -> None:
    """A function that always wants three pods has three, and none of Knative's steps."""
    (tmp_path / "mine.py").write_text(THREE)

    found = compared([f"{tmp_path}/mine.py:decide"], count=3, horizon="5m")

    assert ["kpa", "mine.py:decide"] == found.names
    result = found.results[1]
    assert "reference" == result.engine
    assert {3} == set(result.figures["max_pods"])
    assert {3} == set(result.tables().ticks["desired"].tolist())


def test_a_users_autoscaler_sees_what_happens_and_remembers(tmp_path: Path) -> None:
    """It is asked every two seconds; what it keeps in its memory is there the next time, in each replication anew."""
    path = tmp_path / "mine.py"
    path.write_text(
        "def decide(seen, memory):\n"
        "    memory.setdefault('times', []).append(seen.time_s)\n"
        "    assert (seen.cold_start_s, seen.max_scale) == (60, 6), seen\n"
        "    assert seen.ready_pods + seen.starting_pods <= 6 and seen.concurrency >= 0, seen\n"
        "    return len(memory['times'])\n"
    )

    ticks = compared([f"{path}:decide"], count=2, horizon="5m").results[1].tables().ticks

    assert list(range(1, len(ticks["desired"]) + 1)) == ticks["desired"].tolist()
    steps = np.diff(ticks["t_s"][ticks["poke"] == 0])
    assert np.allclose(2.0, steps[(steps > 0.5) & (steps < 3)], atol=0.2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def decide(seen, memory):\n    return 1 / 0\n", "mine.py:2: ZeroDivisionError"),
        ("def decide(seen, memory):\n    return 'many'\n", "returned 'many'"),
        ("def decide(seen, memory):\n    return -1\n", "returned -1"),
        ("def decide(seen memory):\n", "mine.py:1: SyntaxError"),
        ("def other(seen, memory):\n    return 1\n", "has no function decide"),
    ],
)
def test_a_mistake_in_a_users_autoscaler_is_one_line_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    """File and line, not a traceback."""
    (tmp_path / "mine.py").write_text(text)
    file = written(tmp_path, data())

    found = CliRunner().invoke(cli, ["versus", str(file), "--with", f"{tmp_path}/mine.py:decide", "-n", "2"])

    assert isinstance(found.exception, SystemExit), found.output
    assert 1 == found.exit_code
    assert says in found.stderr
    assert 1 == len([line for line in found.stderr.splitlines() if "Error" in line])


def test_the_command_writes_what_it_shows(tmp_path: Path) -> None:
    """The table, the assumptions and the equal conditions on the terminal; figure, page and tables in the folder."""
    file = written(tmp_path, data())
    out = tmp_path / "out"
    arguments = ["versus", str(file), "--with", "spare:1", "-n", "8", "--slo", "errors<=0.1%", "--explain"]

    found = CliRunner().invoke(cli, [*arguments, "--engine", "reference", "--out", str(out)])

    assert 0 == found.exit_code, found.output
    for text in ("meets all SLOs at the lowest", "Assumed: spare:1", "Held equal", "Requests at zero pods", "±"):
        assert text in found.stdout
    files = {"versus.json", "versus.html", "pods.png", "pods.svg", "kpa", "kpa.yaml", "spare-1", "spare-1.yaml"}
    assert files == {one.name for one in out.iterdir()}
    assert (out / "spare-1" / "run.json").is_file()
    written_json = json.loads((out / "versus.json").read_text())
    assert ["kpa", "spare:1"] == [one["name"] for one in written_json["autoscalers"]]
    assert "significant" == written_json["autoscalers"][1]["figures"]["gpu_seconds"]["verdict"]
    page = (out / "versus.html").read_text()
    assert "autoscalers compared" in page
    assert "chart-pods" in page


def test_json_is_the_comparison(tmp_path: Path) -> None:
    """One object on stdout; exit status 3 where no autoscaler meets the SLOs."""
    file = written(tmp_path, data())

    arguments = ["versus", str(file), "--with", "spare:1", "-n", "2", "--slo", "p95<=1s", "--json"]
    found = CliRunner().invoke(cli, [*arguments, "--engine", "reference"])

    assert 3 == found.exit_code
    assert [] == json.loads(found.stdout)["cheapest"]
