"""`kpasim backtest` on runs of the real autoscaler: the present first, then candidates, files and what is refused."""

import json
import urllib.parse
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from kpasim.cli.main import cli
from kpasim.records.prometheus.observation import Observation
from kpasim.spec.experiment import from_mapping, load
from kpasim.spec.workload import Observed
from kpasim.studies.backtest import compare, prepare
from kpasim.studies.backtest.prepare import Given
from kpasim.studies.run import simulate
from kpasim.workloads.observed import counts_of
from tests import observing, prometheus_runs
from tests.records.prometheus.servers import prometheus

GOOD = "poisson-mid"
"""A run that is predicted well at scrapes of 15 s."""


def changed(name: str, folder: Path, **annotations: str) -> str:
    """The manifest of a run with other annotations."""
    manifest = yaml.safe_load((prometheus_runs.folder(name) / "service.yaml").read_text())
    found = manifest["spec"]["template"]["metadata"]["annotations"]
    found |= {f"autoscaling.knative.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    path = folder / f"{'-'.join(annotations) or 'current'}.yaml"
    path.write_text(yaml.safe_dump(manifest))
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an observation at scrapes of 15 s."""
    folder = tmp_path_factory.mktemp("backtest")
    observing.thinned(prometheus_runs.observation(GOOD), 3).write(folder / "observed")
    return folder


def backtest(place: Path, *arguments: str) -> Result:
    """What the command leaves behind."""
    return CliRunner().invoke(cli, ["backtest", str(place / "observed"), *arguments])


@pytest.fixture(scope="module")
def answer(place: Path) -> dict[str, Any]:
    """The answer for machines, with a candidate that allows half the pods."""
    manifest, candidate = changed(GOOD, place), changed(GOOD, place, max_scale="3")
    out = ("--out", str(place / "out"), "--openmetrics", str(place / "predicted.txt"))
    done = backtest(place, "--manifest", manifest, "--candidate", candidate, "--json", *out)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_present_of_a_recorded_run_is_predicted(answer: dict[str, Any]):
    """The real autoscaler's run, from nothing but its series and its manifest."""
    truth = json.loads((prometheus_runs.folder(GOOD) / "summary.json").read_text())
    figures = answer["figures"]
    assert answer["good"]
    assert figures["mean_latency_s"]["predicted"] == pytest.approx(truth["mean_s"], rel=0.10)
    assert figures["requests"]["predicted"] == truth["requests"]
    low, high = figures["peak_pods"]["interval"]
    assert low <= truth["pods_max"] <= high
    low, high = figures["pod_seconds"]["interval"]
    assert low <= figures["pod_seconds"]["recorded"] <= high
    assert answer["coverage"] >= 0.85


def test_a_candidate_is_compared_under_the_same_requests(answer: dict[str, Any]):
    """At most three pods: less pod time, longer waits, both significant; as many requests."""
    [candidate] = answer["candidates"]
    found = candidate["differences"]
    assert found["requests"]["verdict"] == "the same in every replication"
    assert found["max_pods"]["candidate"] <= 3
    assert found["pod_seconds"]["significant"]
    assert found["pod_seconds"]["difference"] < 0
    assert found["latency_s.mean"]["difference"] > 0


def test_where_requests_are_within_a_scrape_interval_is_said_to_matter(answer: dict[str, Any]):
    """All requests of 15 s at one time need more pods."""
    assert answer["within"] == "inferred"
    assert answer["placed_otherwise"]["pod_seconds"] > 0.1


def test_the_folder_holds_a_page_that_report_makes_again(place: Path, answer: dict[str, Any]):
    """`kpasim report` shows recorded beside predicted."""
    page = (place / "out" / "report.html").read_text()
    assert "Ready pods, recorded and predicted" in page
    assert json.loads((place / "out" / "backtest.json").read_text())["figures"] == answer["figures"]
    done = CliRunner().invoke(cli, ["report", str(place / "out"), "--out", "-"])
    assert done.exit_code == 0, done.output
    assert done.stdout == page


@pytest.mark.parametrize(
    "change",
    [{"time_zone": "Mars/Base"}, {"edges_s": []}, {"edges_s": [1e300]}, {"figures": [1]}, {"bins": {"pods": {}}}],
    ids=json.dumps,
)
def test_a_damaged_backtest_is_refused_in_one_line(answer: dict[str, Any], tmp_path: Path, change: dict[str, Any]):
    """Whatever became of backtest.json since it was written."""
    (tmp_path / "backtest.json").write_text(json.dumps(answer | change))
    done = CliRunner().invoke(cli, ["report", str(tmp_path), "--out", "-"])
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "backtest.json: is no backtest as kpasim writes them" in done.stderr


def test_the_prediction_is_written_as_series(place: Path, answer: dict[str, Any]):
    """OpenMetrics with time stamps: mean and band of each bin."""
    lines = (place / "predicted.txt").read_text().splitlines()
    assert lines[-1] == "# EOF"
    means = [line for line in lines if line.startswith("kpasim_revision_pods_count{") and 'stat="mean"' in line]
    values = [float(line.split("} ")[1].split()[0]) for line in means]
    times_s = [float(line.rsplit(" ", 1)[1]) for line in means]
    assert values == pytest.approx([one for one in answer["bins"]["pods"]["predicted"] if one is not None], rel=1e-5)
    assert np.all(np.diff(times_s) > 0)
    assert answer["edges_s"][0] < times_s[0] < answer["edges_s"][1]


def test_prometheus_takes_the_prediction(place: Path, answer: dict[str, Any]):
    """Promtool makes blocks of the file, and a server gives back the mean and the band of every bin."""
    with prometheus(place / "prometheus", place / "predicted.txt") as url:
        query = urllib.parse.urlencode({"query": "kpasim_revision_pods_count[2h]", "time": answer["edges_s"][-1] + 60})
        with urllib.request.urlopen(f"{url}/api/v1/query?{query}") as response:
            found = {one["metric"]["stat"]: one for one in json.load(response)["data"]["result"]}
    for stat, column in (("mean", "predicted"), ("p05", "low"), ("p95", "high")):
        assert found[stat]["metric"]["kn_service_name"] == GOOD
        values = [float(value) for _, value in found[stat]["values"]]
        expected = [one for one in answer["bins"]["pods"][column] if one is not None]
        assert values == pytest.approx(expected, rel=1e-5)


def test_the_page_gives_figures_and_differences_in_the_same_unit(place: Path, answer: dict[str, Any]):
    """Pod time in hours: what was in force, the candidate, and the difference between them."""
    page = (place / "out" / "report.html").read_text()
    found = answer["candidates"][0]["differences"]["pod_seconds"]
    before, after, change = (found[key] / 3600 for key in ("in_force", "candidate", "difference"))
    assert f'<td class="number">{before:.4g}</td><td class="number">{after:.4g}</td>' in page
    assert f"{change:+.3g}" in page
    assert found["unit"] == "h"
    assert "Service time: mean" in page


def test_the_answer_begins_with_the_verdict_and_says_what_it_assumed(place: Path):
    """Words for people."""
    done = backtest(place, "--manifest", changed(GOOD, place))
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("The present was predicted well enough")
    for words in (
        "pod-seconds (Ready)",
        "Assumed: a container serves at most 1 at once",
        "Cold start",
        "where the counts around it and the requests in flight make it likely",
    ):
        assert words in done.stdout.replace("\n", " ")


def test_settings_that_were_not_in_force_are_not_believed(place: Path):
    """With max-scale 3 instead of 10 the present is missed: exit status 3, and the answer says what is off."""
    done = backtest(place, "--manifest", changed(GOOD, place, max_scale="2"), "-n", "8")
    assert done.exit_code == 3, done.output
    assert done.stdout.startswith("The present was NOT predicted well enough:")
    assert "pod-seconds" in done.stdout.split(". ")[0]


def test_a_cold_start_that_is_given_counts(place: Path):
    """Instead of the recorded one."""
    done = backtest(place, "--manifest", changed(GOOD, place), "--cold-start", "60s", "-n", "8", "--json")
    found = json.loads(done.stdout)
    assert found["figures"]["mean_latency_s"]["error"] > 0.1
    assert not any("cold start is only known" in note for note in found["notes"])


@pytest.mark.parametrize("kind", ["observed", "nothing"])
def test_what_is_no_observation_or_no_manifest_is_one_line(place: Path, kind: str):
    """A missing manifest; a folder that is no observation."""
    done = CliRunner().invoke(cli, ["backtest", str(place / kind), "--manifest", str(place / "missing.yaml")])
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert ("missing.yaml" if kind == "observed" else "is no observation") in done.stderr


def test_an_observation_is_a_workload(place: Path):
    """Of an experiment, and so of sweep and tune: the same requests in every setting."""
    data = {
        "service": changed(GOOD, place),
        "workload": {"kind": "observed", "file": str(place / "observed")},
        "model": {"service-time": "1s", "cold-start": "5s"},
        "replications": 2,
    }
    result = simulate(from_mapping(data), engine="reference")
    truth = json.loads((prometheus_runs.folder(GOOD) / "summary.json").read_text())
    assert result.figures["requests"].tolist() == [truth["requests"]] * 2


def test_revisions_are_simulated_each_with_its_own_requests(tmp_path: Path):
    """``rev-change``: a second revision serves from the middle on, with another service time."""
    prometheus_runs.observation("rev-change").write(tmp_path / "observed")
    done = backtest(tmp_path, "--manifest", changed("rev-change", tmp_path), "-n", "8", "--json")
    assert done.exit_code in (0, 3), done.output
    found = json.loads(done.stdout)
    truth = json.loads((prometheus_runs.folder("rev-change") / "summary.json").read_text())
    assert found["figures"]["requests"]["predicted"] == pytest.approx(truth["requests"], rel=0.01)
    assert any("2 revisions served" in note for note in found["notes"])
    assert found["figures"]["pod_seconds"]["error"] == pytest.approx(0.0, abs=0.15)


def test_a_new_revision_keeps_the_scrape_interval_of_its_first_requests(tmp_path: Path):
    """Pods that became Ready since the last scrape served them over up to 15 s, and not all within the last second."""
    observation = observing.thinned(prometheus_runs.observation("rev-change"), 3)
    observation.write(tmp_path / "observed")
    given = prepare.Given(changed("rev-change", tmp_path), replications=20)
    prepared = prepare.prepare(observation, tmp_path / "observed", given)
    _, second = prepared.parts
    assert isinstance(second.experiment.workload, Observed)
    begin_s, end_s, requests, _ = (column[0] for column in counts_of(second.experiment.workload))
    assert requests == 8
    assert end_s - begin_s == pytest.approx(15.0, abs=0.1)
    figures = {one.name: one for one in compare.backtest(prepared, 20).figures}
    assert figures["mean_latency_s"].error == pytest.approx(0.0, abs=0.08)


def test_a_new_revision_at_scrapes_of_a_minute_begins_with_the_scrape_before_it(tmp_path: Path):
    """It had pods at its first scrape: its first requests came in the minute before, not with that scrape."""
    observation = observing.thinned(prometheus_runs.observation("rev-change"), 12, 3)
    observation.write(tmp_path / "observed")
    prepared = prepare.prepare(observation, tmp_path / "observed", prepare.Given(changed("rev-change", tmp_path)))
    _, second = prepared.parts
    assert isinstance(second.experiment.workload, Observed)
    begin_s, end_s, *_ = (column[0] for column in counts_of(second.experiment.workload))
    assert end_s - begin_s == pytest.approx(60.0, abs=0.5)


def test_a_higher_concurrency_is_not_taken_for_a_faster_container(place: Path):
    """Nothing was recorded of two requests in a container at once: the others wait inside it."""
    manifest = yaml.safe_load(Path(changed(GOOD, place)).read_text())
    manifest["spec"]["template"]["spec"]["containerConcurrency"] = 8
    (place / "eight.yaml").write_text(yaml.safe_dump(manifest))
    done = backtest(place, "--manifest", changed(GOOD, place), "--candidate", str(place / "eight.yaml"), "--json")
    [candidate] = json.loads(done.stdout)["candidates"]
    assert candidate["differences"]["latency_s.mean"]["difference"] > 1.0


def test_the_experiment_that_is_written_sends_the_same_requests(place: Path):
    """For run, sweep and tune: paths are relative to the file."""
    path = place / "experiments" / "observed.yaml"
    done = backtest(place, "--manifest", changed(GOOD, place), "-n", "20", "--write-experiment", str(path), "--json")
    assert done.exit_code == 0, done.output
    experiment = load(path)
    assert experiment.workload.kind == "observed"
    assert experiment.replications == 20
    requests = simulate(experiment, replications=2, engine="reference").figures["requests"]
    assert requests.tolist() == [json.loads(done.stdout)["figures"]["requests"]["recorded"]] * 2


def test_an_observation_is_swept(place: Path, tmp_path: Path):
    """`sweep` takes the experiment that is written, of which the trace is a folder, and goes on with it."""
    experiment, sweep = tmp_path / "observed.yaml", tmp_path / "sweep.yaml"
    manifest = changed(GOOD, tmp_path)
    backtest(place, "--manifest", manifest, "-n", "2", "--write-experiment", str(experiment))
    axes = {"service.annotations.scale-down-delay": ["0s", "30s"]}
    sweep.write_text(json.dumps({"experiment": str(experiment), "axes": axes, "replications": 2}))
    command = ["sweep", str(sweep), "--out", str(tmp_path / "out"), "--json"]
    assert 0 == CliRunner().invoke(cli, command).exit_code
    again = CliRunner().invoke(cli, [*command, "--resume"])
    assert 0 == again.exit_code


def test_a_long_window_is_simulated_in_stretches(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Each begins with the recorded pods and a time to warm up; each request counts once, also of a candidate."""
    asked = ("--manifest", changed(GOOD, place), "--candidate", changed(GOOD, place, max_scale="3"), "--json")
    whole = json.loads(backtest(place, *asked).stdout)
    monkeypatch.setattr(prepare, "STRETCH_REQUESTS", 400)
    monkeypatch.setattr(prepare, "WARM_UP_S", 90.0)
    cut = json.loads(backtest(place, *asked).stdout)
    for name, near in (("requests", 0.01), ("mean_latency_s", 0.05), ("pod_seconds", 0.10)):
        assert cut["figures"][name]["predicted"] == pytest.approx(whole["figures"][name]["predicted"], rel=near), name
    assert cut["figures"]["pod_seconds"]["predicted"] != whole["figures"]["pod_seconds"]["predicted"]
    [one], [other] = whole["candidates"], cut["candidates"]
    # Latencies begin anew in each stretch, which here lasts three minutes and in earnest hours.
    for name, near in (("requests", 0.01), ("pod_seconds", 0.10), ("max_pods", 0.0)):
        expected = one["differences"][name]["candidate"]
        assert other["differences"][name]["candidate"] == pytest.approx(expected, rel=near), name


def test_without_the_autoscaler_requests_are_compared(place: Path, tmp_path: Path):
    """Pods are not known: latency and requests still are, and the cold start has to be given."""
    whole = Observation.read(place / "observed")
    rest = tuple(one for one in whole.series if one.role != "autoscaler")
    replace(whole, series=rest).write(tmp_path / "observed")
    manifest = changed(GOOD, tmp_path)
    refused = backtest(tmp_path, "--manifest", manifest, "-n", "4")
    assert refused.exit_code == 1
    assert "give --cold-start" in refused.stderr
    done = backtest(tmp_path, "--manifest", manifest, "--cold-start", "5s", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert set(found["figures"]) == {"requests", "mean_latency_s", "errors"}
    assert any("Pods were not recorded" in note for note in found["notes"])


def test_the_manifest_of_another_service_is_noticed(place: Path, tmp_path: Path):
    """Its name is not that of the observation."""
    path = Path(changed(GOOD, tmp_path))
    path.write_text(path.read_text().replace(f"name: {GOOD}", "name: other"))
    done = backtest(place, "--manifest", str(path), "-n", "4", "--json")
    assert "The manifest is that of other, the observation that of poisson-mid." in json.loads(done.stdout)["notes"]


def test_a_wait_for_a_pod_is_not_compared_where_only_pods_were_recorded(tmp_path: Path):
    """Without the activator's series durations begin at the pods: so do the predicted ones, at a cold start as well."""
    whole = prometheus_runs.observation(GOOD)
    kept = tuple(one for one in whole.series if one.role != "activator")
    observation = replace(whole, series=kept)
    observation.write(tmp_path / "observed")
    given = Given(str(prometheus_runs.folder(GOOD) / "service.yaml"), cold_start="5s")
    figures = compare.backtest(prepare.prepare(observation, tmp_path / "observed", given), 10).figures
    latency = next(one for one in figures if one.name == "mean_latency_s")
    assert latency.recorded == pytest.approx(1.02, abs=0.01)
    assert latency.predicted == pytest.approx(latency.recorded, rel=0.05)


def test_a_figure_that_was_hardly_recorded_tests_nothing(tmp_path: Path):
    """An hour without scrapes in a run of eleven minutes: any pod-seconds would be near, and panic is not bridged."""
    whole = prometheus_runs.observation(GOOD)
    middle_s = whole.begin_s + 300.0
    later = [replace(one, times_s=np.where(one.times_s < middle_s, one.times_s, one.times_s + 3600.0))
             for one in whole.series]  # fmt: skip
    observation = replace(whole, series=tuple(later), end_s=whole.end_s + 3600.0)
    observation.write(tmp_path / "observed")
    given = Given(str(prometheus_runs.folder(GOOD) / "service.yaml"))
    found = compare.backtest(prepare.prepare(observation, tmp_path / "observed", given), 10)
    figures = {one.name: one for one in found.figures}
    assert figures["pod_seconds"].good is None
    assert figures["panic_s"].recorded < 600.0
    assert figures["panic_s"].predicted < 600.0
