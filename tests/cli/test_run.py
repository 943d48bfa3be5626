"""`kpasim run` as a user calls it: the headline's story, its JSON, its figures, a run without a file."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from kpasim import load, simulate
from kpasim.cli.answers import timeline
from kpasim.cli.main import cli
from kpasim.engines.compiled import cache

ROOT = Path(__file__).parents[2]
HEADLINE = str(ROOT / "experiments" / "hey50x5.yaml")
MANIFEST = str(ROOT / "experiments" / "manifests" / "stable-diffusion.yaml")

LATENCIES = {"mean", "min", "max", "p10", "p25", "p50", "p75", "p90", "p95", "p99"}
HEYS = {
    "total", "slowest", "fastest", "average", "rps", "p10", "p25", "p50", "p75", "p90", "p95", "p99",
}  # fmt: skip
FIGURES = {
    "total_s", "requests", "ok", "errors", "rps", "max_pods", "pod_seconds", "gpu_seconds", "cold_starts",
    "first_scale_out_s", "panic_entered_s", "desired_zero_after_last_s",
}  # fmt: skip


def run(*arguments: str) -> Any:
    """What the command leaves behind."""
    return CliRunner().invoke(cli, ["run", *arguments])


@pytest.fixture(scope="module")
def answer() -> dict[str, Any]:
    """The JSON of forty replications of the headline run."""
    done = run(HEADLINE, "--json", "-n", "40")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_answer_for_machines_has_every_figure(answer: dict[str, Any]):
    """One object with the settings of the run, medians, and intervals under the same names."""
    summary, intervals = answer["summary"], answer["intervals"]

    assert {"experiment", "engine", "seed", "replications", "summary", "intervals"} <= set(answer)
    assert answer["replications"] == 40
    assert set(summary) >= FIGURES | {"latency_s", "hey"}
    assert set(summary["latency_s"]) == set(intervals["latency_s"]) == LATENCIES
    assert set(summary["hey"]) == set(intervals["hey"]) == HEYS
    for name in FIGURES:
        low, high = intervals[name]
        assert low <= summary[name] <= high, name
    # Fifty requests are too few for hey to print a 99th percentile.
    assert summary["hey"]["p99"] is None
    assert summary["hey"]["p95"] is not None


def test_the_headline_tells_its_story(answer: dict[str, Any]):
    """Panic within 4 s, the first decision to scale out with it, five or six pods, fifty answers."""
    summary = answer["summary"]

    assert summary["ok"] == summary["requests"] == 50
    assert summary["errors"] == 0
    assert 0 < summary["panic_entered_s"] <= 4
    assert 0 < summary["first_scale_out_s"] <= 4
    assert summary["max_pods"] in {5, 6}
    assert summary["cold_starts"] in {4, 5}
    assert 55 <= summary["desired_zero_after_last_s"] <= 65


def test_the_story_is_in_the_tables(tmp_path: Path):
    """One pod when the load begins, five desired within 8 s of it, nothing left at the end; figures on request."""
    done = run(HEADLINE, "-n", "3", "--out", str(tmp_path / "out"), "--plot")
    assert done.exit_code == 0, done.output

    rows = [line.split(",") for line in (tmp_path / "out" / "scaling.csv").read_text().splitlines()]
    t_s, desired, replicas = (rows[0].index(name) for name in ("t_s", "desired", "replicas"))
    before = [row for row in rows[1:] if float(row[t_s]) < 0]
    assert before[-1][replicas] == "1"
    assert any(int(row[desired]) == 5 for row in rows[1:] if 0 < float(row[t_s]) <= 8)
    assert rows[-1][replicas] == "0"
    assert "[200]\t50 responses" in done.stdout
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        "timeline.png",
        "latencies.png",
        "dashboard.png",
    }
    # Figures carry the name of the experiment, not of the folder that they lie in.
    assert ">hey50x5<" in (tmp_path / "out" / "timeline.svg").read_text()


def test_every_figure_of_money_has_its_interval():
    """Cost and cost per thousand answers are shown with an interval; no zero is printed as less than nothing."""
    done = run(HEADLINE, "-n", "20")

    for heading in ("cost", "cost per 1,000 requests"):
        assert re.search(rf"^ *{heading} +[\d.,]+ +[\d.,]+ to [\d.,]+ +CNY", done.stdout, re.M), done.stdout
    assert "-0.00" not in done.stdout


def test_each_decision_is_explained():
    """With --explain each tick says what was observed, what each window asked for and which rule decided."""
    done = run(HEADLINE, "-n", "1", "--explain")

    assert re.search(r"s tick: stable [\d.]+ asks for \d+, panic [\d.]+ asks for 5", done.stdout), done.stdout


def test_a_run_without_a_file(tmp_path: Path):
    """A manifest and hey's own flags are enough; the experiment can be written down, and gives the same answer."""
    written = tmp_path / "mine.yaml"
    quick = ["--manifest", MANIFEST, "--hey", "-n 50 -c 5 -t 180", "--service-time", "11s", "--cold-start", "120s"]

    done = run(*quick, "-n", "5", "--json", "--write-experiment", str(written))
    again = run(str(written), "-n", "5", "--json")

    assert done.exit_code == again.exit_code == 0, done.output + again.output
    assert json.loads(done.stdout)["summary"] == json.loads(again.stdout)["summary"]


@pytest.mark.parametrize(("cold_start", "told"), [("11m", True), ("9m", False)])
def test_a_load_that_met_no_warm_pod_is_told(cold_start: str, told: bool):
    """A start of eleven minutes exceeds the progress deadline of ten, so the load began without its pod."""
    done = run(
        "--manifest", MANIFEST, "--hey", "-n 1 -c 1 -t 0", "--service-time", "1s", "--cold-start", cold_start,
        "-n", "2", "--engine", "reference",
    )  # fmt: skip

    assert done.exit_code == 0
    assert told == ("The load began without a warm pod in 2 of 2 replications" in done.stderr)


@pytest.mark.parametrize(("engine", "begun"), [("reference", True), ("compiled", False)])
def test_what_did_without_the_fast_engine_lets_it_be_compiled(
    engine: str, begun: bool, monkeypatch: pytest.MonkeyPatch
):
    """The next run finds it; also a machine that asked for JSON is told, on stderr, and its JSON stays whole."""
    asked: list[bool] = []

    def compile_in_background() -> bool:
        asked.append(True)
        return True

    monkeypatch.setattr(cache, "compile_in_background", compile_in_background)
    done = run(HEADLINE, "--json", "-n", "1", "--engine", engine)

    assert json.loads(done.stdout)["engine"] == engine
    assert bool(asked) == begun
    assert ("is being compiled in the background" in done.stderr) == begun


def test_a_run_without_a_file_invents_no_price_and_says_how_to_keep_it(tmp_path: Path):
    """Where neither manifest nor price list knows a machine, nothing is said about money but what would give it."""
    manifest = tmp_path / "service.yaml"
    text = Path(MANIFEST).read_text(encoding="utf-8")
    manifest.write_text(
        "".join(line for line in text.splitlines(True) if "eci-use-specs" not in line), encoding="utf-8"
    )
    times = ("--service-time", "1s", "--cold-start", "9s", "--engine", "reference")

    done = run("--manifest", str(manifest), "--hey", "-n 5 -c 5", *times, "-n", "1")

    assert done.exit_code == 0
    assert "cost" not in done.stdout
    assert "No cost: give a price-per-hour" in done.stderr
    assert "Next: the same with --write-experiment FILE" in done.stderr


@pytest.mark.parametrize(
    ("count", "title"),
    [
        ("1", "1 replication\n"),
        ("5", "5 replications: median and 90 % interval (fewer than 19 runs: min to max)\n"),
        ("19", "19 replications: median and 90 % interval\n"),
    ],
)
def test_an_interval_is_called_what_it_is(count: str, title: str):
    """One run has none, few runs have their ends, and a title stays on its line."""
    done = run(HEADLINE, "--engine", "reference", "-n", count)

    assert f"\n{title}" in done.stdout
    assert ("median" in done.stdout.partition(title)[2]) is (count != "1")


def test_the_scaling_fits_into_eighty_columns():
    """Every heading of the timeline is whole on the narrowest of terminals, and every row in one line."""
    experiment = load(HEADLINE)
    table = timeline(simulate(experiment, replications=1, engine="reference").tables())
    out = Console(width=80, file=io.StringIO())

    out.print(table)

    lines = out.file.getvalue().splitlines()
    assert lines[1].split() == [
        *["time", "ready", "starting", "pending", "terminating", "average", "desired", "panic", "path"]
    ]
    assert len(lines) == len(table.rows) + 2


def test_counts_only_says_what_tables_say() -> None:
    """Counts, peak pods and pod-hours are those of a run with tables, percentiles are within 0.4 %; SLOs are judged."""
    arguments = (HEADLINE, "-n", "20", "--engine", "compiled", "--json", "--slo", "p95<=1h", "--slo", "errors<=0.1%")
    arguments += ("--slo", "cost-per-run<=1000")
    counts, tables = (run(*arguments, *more) for more in (["--counts-only"], []))
    assert counts.exit_code == tables.exit_code == 0, counts.output + tables.output
    found, expected = (json.loads(one.stdout) for one in (counts, tables))

    for name in ("requests", "ok", "errors", "in_flight", "never_sent", "total_s", "max_pods", "cold_starts"):
        assert found["summary"][name] == expected["summary"][name], name
        assert found["intervals"][name] == expected["intervals"][name], name
    for name, value in found["summary"]["latency_s"].items():
        assert value == pytest.approx(expected["summary"]["latency_s"][name], rel=0.004), name
    assert found["cost"] == expected["cost"] | {"parts": {}}
    assert {"hey", "cost.parts"} < {*found["needs_tables"]}
    assert [one["met"] for one in found["slo"]] == [one["met"] for one in expected["slo"]]


def test_counts_only_refuses_what_needs_tables() -> None:
    """An option that writes or shows a table is refused by its name."""
    assert "--plot" in run(HEADLINE, "--counts-only", "--plot").output
    assert "--engine reference" in run(HEADLINE, "--counts-only", "--engine", "reference").output


def test_counts_only_counts_more_requests_than_tables_could_hold() -> None:
    """Where a load has a rate, only the tables limit the number of requests; the refusal names the way out."""
    long = ("experiments/diurnal-day.yaml", "--set", "workload.mean=1000")

    refused = run(str(ROOT / long[0]), *long[1:])

    assert refused.exit_code != 0
    assert "--counts-only" in refused.output


def test_a_horizon_that_cuts_a_counted_load_is_said() -> None:
    """Requests of the load that are never sent are counted as they are with tables."""
    cut = (str(ROOT / "experiments" / "diurnal-day.yaml"), "--set", "horizon=2h", "--json", "-n", "2")
    found, expected = (json.loads(run(*cut, *more).stdout)["summary"] for more in (["--counts-only"], []))

    assert found["never_sent"] == expected["never_sent"] > 0
