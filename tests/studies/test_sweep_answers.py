"""What a sweep says is true: effects, failures, fronts and verdicts."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from kpasim.report.html import page_of
from kpasim.report.sweep_page import effects_table, front_table, settings_table
from kpasim.studies.grid.result import SweepResult, load_result
from kpasim.studies.sweep import sweep
from tests.services import service
from tests.studies.sweeps import command_line

MIN, MAX = "service.annotations.min-scale", "service.annotations.max-scale"
MODEL = {"service-time": 10, "cold-start": "60s"}
HEY = {"kind": "hey", "requests": 50, "concurrency": 5, "timeout": "0s"}


def file(folder: Path, axes: Mapping[str, Any], more: Mapping[str, Any] | None = None, **changes: Any) -> Path:
    """A sweep over one GPU service, and its experiment."""
    experiment = {
        "service": service(changes.pop("annotations", None), containerConcurrency=1, timeoutSeconds=600),
        "workload": HEY, "model": MODEL, "replications": 10, "seed": 1,
        "cluster": {"instance-types": [{"name": "g", "price-per-hour": 3.6, "gpus": 1}]},
        **changes,
    }  # fmt: skip
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment))
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"experiment": "experiment.yaml", "axes": dict(axes), **(more or {})}))
    return path


def simulated(path: Path) -> SweepResult:
    """The result of a sweep file, as a folder holds it."""
    sweep(path, out=path.parent / "out", engine="reference", processes=1)
    return load_result(path.parent / "out")


def said(*tables: Any) -> str:
    """The text of tables, in one line."""
    out = Console(width=140, file=io.StringIO())
    out.print(*tables)
    return " ".join(out.file.getvalue().split())  # type: ignore[attr-defined]


def test_refused_combinations_do_not_confound_effects(tmp_path: Path) -> None:
    """A step of max-scale is that of rows with the same min-scale, min-scale 5 needs max-scale 5; this is said."""
    result = simulated(file(tmp_path, {MIN: [0, 2, 5], MAX: [1, 2, 5]}, annotations={"max-scale": "5"}))
    p95 = {(row[MIN], row[MAX]): result.row(place)["medians"]["latency_s"]["p95"] for place, row in
           enumerate(result.settings)}  # fmt: skip
    one, two, five = result.effects()[MAX]["levels"]
    assert two["p95"] - one["p95"] == pytest.approx(p95[0, 2] - p95[0, 1], abs=0.01)
    pairs = [p95[least, 5] - p95[least, 2] for least in (0, 2)]
    assert five["p95"] - two["p95"] == pytest.approx(sum(pairs) / 2, abs=0.01)
    text = said(effects_table(result))
    assert "failed" in text
    assert "3 refused combinations: values are compared between settings that differ in this axis only." in text
    assert "3 refused combinations" in page_of(tmp_path / "out")


def test_requests_in_flight_at_the_end_are_no_errors(tmp_path: Path) -> None:
    """A horizon that ends the run with requests in service leaves the error share 0 and the front full."""
    load = {"kind": "poisson", "rate": 1, "duration": "2m"}
    result = simulated(
        file(tmp_path, {MAX: [15, 20]}, workload=load, horizon="2m", start="warm", annotations={"min-scale": "15"})
    )
    assert result.figures["in_flight"].mean() > 5
    assert result.error_shares.tolist() == [0.0, 0.0]
    assert result.pareto()
    assert result.why_no_front("p95") == ""


def test_an_empty_front_says_why(tmp_path: Path) -> None:
    """Clients that give up before a pod is there: how many failed, and how many may."""
    path = file(tmp_path, {MAX: [1, 2]}, workload={**HEY, "timeout": "12s"}, replications=4)
    result = simulated(path)
    assert result.pareto() == []
    least = f"{100 * min(result.error_shares):.3g} %"
    text = f"No Pareto front: {least} of requests or more failed in every setting (most-errors: 1 %)."
    assert text in said(front_table(result, "p95"))
    assert result.to_dict()["why_no_pareto"] == text
    assert "Latencies are of successful requests" in said(settings_table(result, ["p95"], 15))
    assert text in page_of(tmp_path / "out")


def test_what_all_points_of_the_front_have_is_said(tmp_path: Path) -> None:
    """The cheapest settings can be written down from the table: also the values that no point varies."""
    window = "service.annotations.window"
    result = simulated(file(tmp_path, {MIN: [0, 5], MAX: [5], window: ["30s"]}, replications=3))
    points = result.pareto("p95")
    assert len(points) > 1
    assert {(point["settings"][MAX], point["settings"][window]) for point in points} == {(5, "30s")}
    for text in (said(front_table(result, "p95")), page_of(tmp_path / "out")):
        assert "All of these: max-scale 5, window 30s." in text


def test_nothing_that_has_no_response_breaks_a_table(tmp_path: Path) -> None:
    """A run that ends before its first response has neither latency nor error share."""
    path = file(tmp_path, {MAX: [1, 2]}, horizon="5s", replications=2)
    done = command_line("sweep", path, "--out", tmp_path / "out", "--engine", "reference")
    assert done.returncode == 0, done.stderr
    assert "No Pareto front: no request had a response in any setting." in done.stdout
    assert page_of(tmp_path / "out")


def test_few_replications_say_how_many_a_verdict_needs(tmp_path: Path) -> None:
    """The step to the next point is not `cannot be told`, but a number of replications."""
    service_time = {"distribution": "lognormal", "median": "10s", "sigma": 0.5}
    result = simulated(file(tmp_path, {MIN: [0, 2, 5]}, model={**MODEL, "service-time": service_time}, replications=3))
    steps = [point["next"] for point in result.pareto() if point["next"]]
    assert steps
    assert all("needs about" in step["cost_verdict"] and not step["significant"] for step in steps)
    assert "needs about" in said(front_table(result, "p95"))


def test_rows_of_different_loads_are_not_paired(tmp_path: Path) -> None:
    """The next point of a front over a rate has another load: its replications are independent samples."""
    load = {"kind": "poisson", "rate": 0.2, "duration": "2m"}
    result = simulated(file(tmp_path, {"workload.rate": [0.05, 0.2], MIN: [0, 3]}, workload=load))
    for one, other in ((0, 1), (0, 2), (1, 3)):
        rates = {result.settings[place]["workload.rate"] for place in (one, other)}
        assert result._step(one, other, "p95")["paired"] == (len(rates) == 1)


def test_a_range_of_rates_is_a_row_for_each_rate(tmp_path: Path) -> None:
    """Nine rates from 1 to 3, no two of which are the same."""
    load = {"kind": "poisson", "rate": 1, "duration": "20s"}
    path = file(tmp_path, {"workload.rate": {"from": 1, "to": 3, "steps": 9}}, workload=load, replications=1)
    result = simulated(path)
    assert [row["workload.rate"] for row in result.settings] == [1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3]
