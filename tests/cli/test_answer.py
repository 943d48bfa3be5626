"""The first lines of `kpasim run`: what failed, SLOs, waits, cost; the same facts in the report."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from kpasim.cli.main import cli
from kpasim.report import html
from kpasim.results.display import clock, percent
from kpasim.spec.experiment import from_mapping
from kpasim.studies.run import Result, simulate
from tests.report.test_html import Elements
from tests.services import service

PRICED = {"instance-types": [{"name": "g", "price-per-hour": 3.6, "gpus": 1}]}
OVERLOAD = {"kind": "poisson", "rate": 1, "duration": "10m"}


def experiment(workload: dict[str, Any], annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An experiment with requests of 10 s and cold starts of 60 s."""
    return {
        "service": service(annotations, containerConcurrency=1, timeoutSeconds=600),
        "workload": workload,
        "model": {"service-time": 10, "cold-start": "60s"},
        "cluster": PRICED,
        "replications": 20,
        "seed": 1,
        **more,
    }


def written(folder: Path, data: dict[str, Any]) -> str:
    """The experiment as a file."""
    path = folder / "experiment.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(data, file)
    return str(path)


def run(*arguments: str) -> Any:
    """What the command leaves behind."""
    return CliRunner().invoke(cli, ["run", *arguments, "--engine", "reference"])


def counts(result: Result) -> dict[str, int]:
    """Medians of the counts, rounded down, from the raw tables alone."""
    rows = {"requests": [], "ok": [], "failed": [], "client": []}
    for number in range(result.replications):
        requests = result.tables(number).requests
        ended = ~np.isnan(requests["latency_s"])
        good = ended & (requests["status"] >= 200) & (requests["status"] < 300)
        rows["requests"].append(len(requests["id"]))
        rows["ok"].append(int(good.sum()))
        rows["failed"].append(int((ended & ~good).sum()))
        rows["client"].append(int((ended & (requests["status"] == 0)).sum()))
    return {name: int(np.median(values)) for name, values in rows.items()}


@pytest.fixture(scope="module")
def overload(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Result]:
    """Three pods for ten requests at a time, cut after ten minutes: most requests never get a response."""
    data = experiment(OVERLOAD, {"max-scale": 3}, horizon="10m")
    return written(tmp_path_factory.mktemp("overload"), data), simulate(from_mapping(data), engine="reference")


def test_failures_are_the_first_line_and_percentiles_are_those_of_successes(overload: tuple[str, Result]):
    """How many failed, with what; how many are in flight; every count adds up; no half requests."""
    path, result = overload
    found = counts(result)
    waiting = found["requests"] - found["ok"] - found["failed"]

    lines = run(path).stdout.splitlines()

    share = percent(found["failed"] / found["requests"])
    assert lines[0].startswith(f"{share} of requests failed with status 504 (responseStartTimeoutSeconds 300)")
    assert f"({found['failed']} of {found['requests']};" in lines[0]
    assert lines[1].startswith(f"{waiting} of {found['requests']} requests in flight at the end of the run")
    assert f"of the {found['ok']}" in " ".join(lines[2:5])
    assert not re.search(r"\d\.5 requests|1e\+02", "\n".join(lines))


def test_the_page_tells_how_many_succeeded(overload: tuple[str, Result], tmp_path: Path):
    """A page says what share succeeded, and that half of these were within a time, not half of all."""
    _, result = overload
    result.write(tmp_path)
    found = counts(result)

    text = Elements(html.page_of(tmp_path)).text

    share = percent(found["ok"] / found["requests"])
    assert f"{found['ok']} of {found['requests']} requests succeeded ({share}), half of these within" in text
    assert f"{percent(found['failed'] / found['requests'])} of requests failed with status 504" in text
    assert "in flight at the end of the run" in text
    assert "p95 of successes" in text
    assert "605.5" not in text


def test_a_client_timeout_of_hey_is_named(tmp_path: Path):
    """46 % timing out after hey's 20 s is the first line, and red; the status is 0 without an SLO."""
    load = {"kind": "hey", "requests": 50, "concurrency": 5, "timeout": "20s"}
    data = experiment(load, {"max-scale": 1}, **{"horizon": "20m"})
    result = simulate(from_mapping(data), engine="reference")
    found = counts(result)

    done = CliRunner().invoke(cli, ["run", written(tmp_path, data), "--engine", "reference"], color=True)

    first = done.stdout.splitlines()[0]
    assert done.exit_code == 0
    assert f"{percent(found['client'] / found['requests'])} of requests timed out after hey's 20 s" in first
    assert first.startswith("\x1b[31m")


def test_several_kinds_of_failures_are_told_apart(tmp_path: Path):
    """Each kind has its share, the most frequent first."""
    load = {**OVERLOAD, "rate": 2, "timeout": "50s"}
    data = experiment(load, {"max-scale": 1, "target-burst-capacity": 0}, horizon="15m")

    first = run(written(tmp_path, data), "-n", "5").stdout.splitlines()[0]

    assert re.match(r"[\d.]+ % of requests failed: [\d.]+ % ", first), first
    shares = [float(one) for one in re.findall(r"([\d.]+) % (?:timed|were|failed with)", first)]
    assert len(shares) > 1
    assert shares == sorted(shares, reverse=True)


def test_a_run_that_ends_before_its_load_says_so(tmp_path: Path):
    """40 of 50 requests were never sent, 5 have no response; no SLO is met."""
    load = {"kind": "hey", "requests": 50, "concurrency": 5, "timeout": "0s"}
    path = written(tmp_path, experiment(load, {"max-scale": 5}, horizon="60s"))

    done = run(path, "--slo", "p95<=60s", "--out", str(tmp_path / "out"))

    says = "The run ends before its load (horizon: 60 s): 40 of 50 requests were never sent, 5 had no response"
    assert done.stdout.splitlines()[0] == says
    assert done.exit_code == 3
    assert "a run that ends before its load meets no SLO" in " ".join(done.stdout.split())
    assert says in Elements(html.page_of(tmp_path / "out")).text


def test_requests_in_flight_are_no_failures(tmp_path: Path):
    """A horizon at the end of the load leaves some in flight: none failed, and errors are 0."""
    path = written(tmp_path, experiment(OVERLOAD, {"min-scale": 15, "max-scale": 30}, horizon="10m"))

    done = run(path, "--slo", "errors<=0.1%")

    assert done.exit_code == 0
    assert done.stdout.startswith("\N{CHECK MARK} errors<=0.1%: 0 % in the median run, met in 100 % of runs")
    assert re.search(r"^\d+ of \d+ requests in flight at the end", done.stdout, re.M)
    assert re.search(r"^Failed +none of \d+ requests$", done.stdout, re.M)
    assert "requests in flight at the end are followed until they end" in " ".join(done.stdout.split())


@pytest.mark.parametrize(("slo", "status"), [("p95<=1h", 0), ("p95<=1s", 3)])
def test_the_exit_status_says_whether_an_slo_is_met(slo: str, status: int, tmp_path: Path):
    """0 with a tick where it is met, 3 with a cross where it is not; the JSON and the page have the same."""
    load = {"kind": "hey", "requests": 10, "concurrency": 2, "timeout": "0s"}
    path = written(tmp_path, experiment(load, {"max-scale": 2}))

    done = run(path, "--slo", slo, "-n", "3")
    found = run(path, "--slo", slo, "--slo", "errors<=1%", "-n", "3", "--json", "--out", str(tmp_path / "out"))

    assert done.exit_code == found.exit_code == status
    assert done.stdout.startswith("\N{CHECK MARK}" if status == 0 else "\N{BALLOT X}")
    assert [one["met"] for one in json.loads(found.stdout)["slo"]] == [status == 0, True]
    page = Elements(html.page_of(tmp_path / "out")).text
    assert f"{'SLO met' if status == 0 else 'SLO not met'}: {slo}: " in page
    assert "SLO met: errors<=1%: 0 % in the median run, met in 100 % of runs" in page


def test_a_verdict_on_money_has_its_unit(tmp_path: Path):
    """What the median run costs, in the currency of the prices, per run where there is no month; why there is none."""
    load = {"kind": "hey", "requests": 10, "concurrency": 2, "timeout": "0s"}
    path = written(tmp_path, experiment(load, {"max-scale": 2}))

    text = run(path, "--slo", "cost<=0.01", "-n", "3").stdout

    assert re.match(r"\N{BALLOT X} cost<=0.01: 0\.\d+ USD per run in the median run, met in 0 % of runs", text), text

    refused = run(path, "--slo", "cost-per-month<=100", "-n", "3")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: --slo cost-per-month<=100: the load ends by itself (say how often it rec")


def test_a_wrong_slo_is_refused_before_the_run():
    """One line and exit status 1."""
    done = run("nowhere.yaml", "--slo", "p95=30s")

    assert done.exit_code == 1
    assert done.stderr.startswith("Error: --slo 'p95=30s': cannot be read")


def test_only_a_hey_load_has_heys_report(tmp_path: Path):
    """Other loads have no block in hey's layout."""
    load = {"kind": "constant", "rate": 0.1, "duration": "60s"}

    done = run(written(tmp_path, experiment(load, {"max-scale": 1})), "-n", "1")

    assert "hey's report" not in done.stdout
    assert "Summary:" not in done.stdout
    assert "Ran     constant arrivals, 0.1/s for 60 s" in done.stdout


def test_what_ran_and_what_costs_most_are_said(tmp_path: Path):
    """Load, model, start state, pods, utilisation, and the utilisation target that asks for more pods than needed."""
    load = {"kind": "hey", "requests": 50, "concurrency": 5, "timeout": "180s"}

    text = " ".join(run(written(tmp_path, experiment(load, {"max-scale": 8})), "-n", "3").stdout.split())

    assert "Ran 5 hey clients, 50 requests, client timeout 3 min; a model of its own; start: warm pods; 3 runs" in text
    assert re.search(
        r"Pods at most \d+.*; \d+ cold starts; [\d.]+ % of requests waited for a cold start; pods busy \d+ %", text
    )
    assert "annotations.target-utilization-percentage: a utilisation of 70% asks for 8 pods for 5 clients" in text
    assert re.search(r"Spent [\d.]+ % \w+ pods", text)


def test_pods_without_a_machine_are_told(tmp_path: Path):
    """Two machines to be had and more pods asked for: the others never ran, and the line of the pods says how many."""
    load = {"kind": "hey", "requests": 50, "concurrency": 5, "timeout": "0s"}
    cluster = {"instance-types": [{**PRICED["instance-types"][0], "stock": 2}]}
    data = experiment(load, {"max-scale": 8}, cluster=cluster)
    result = simulate(from_mapping(data), replications=1, engine="reference")
    without = int(np.isnan(result.tables().pods["scheduled_s"]).sum())

    text = " ".join(run(written(tmp_path, data), "-n", "1").stdout.split())

    assert without > 3
    assert f"; {without} pods of the run shown never got a machine; " in text


def test_why_it_scaled_comes_first_with_explain(tmp_path: Path):
    """The first lines name the scale-out, the window, what it saw and the target."""
    load = {"kind": "hey", "requests": 20, "concurrency": 4, "timeout": "0s"}

    lines = run(written(tmp_path, experiment(load, {"max-scale": 4})), "-n", "1", "--explain").stdout.splitlines()

    assert re.match(
        r"Scale-out at [\d.]+s from 1 to \d pods: .*the \w+ window \(\w+\) saw [\d.]+ requests in flight, target 0.7 a",
        lines[0],
    )
    assert any("the panic window (6s) saw" in line for line in lines[:3])
    assert any(line.startswith("Scale-in at") for line in lines[:5])
    assert any("To zero at" in line for line in lines[:6])


def test_a_long_run_is_not_explained_in_thousands_of_lines(tmp_path: Path):
    """Two hours of changing load: the first decisions one by one, how many more there are, and where they are."""
    load = {"kind": "bursts", "low": 0.01, "high": 0.5, "low-for": "3m", "high-for": "2m", "duration": "2h"}

    lines = run(written(tmp_path, experiment(load, {"max-scale": 4})), "-n", "1", "--explain").stdout.splitlines()

    more = next(line for line in lines if line.startswith("... ") and "more lines" in line)
    assert int(more.split()[1].replace(",", "")) > 100
    assert "ticks.csv" in more
    assert len(lines) < 420


@pytest.mark.parametrize(
    ("time_s", "end_s", "text"),
    [
        (80.94, 300, "80.9s"),
        (754, 1200, "12:34"),
        (80_626, 86_400, "22:23:46"),
        (-5, 86_400, "-0:00:05"),
        (3599.6, 3600, "1:00:00"),
        (90_000, 90_000, "25:00:00"),
    ],
)
def test_times_of_long_runs_are_written_as_clocks(time_s: float, end_s: float, text: str):
    """Seconds for short runs, minutes and hours for long ones."""
    assert clock(time_s, end_s) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.9999, "99.9 %"), (0.464, "46 %"), (0.0012, "0.12 %"), (0.0, "0 %"), (1e-7, "0.01 %")],
)
def test_all_and_nothing_are_said_of_all_and_nothing_only(share: float, text: str):
    """A share is never rounded to all or to nothing, and never written as 1e+02."""
    assert percent(share) == text


@pytest.mark.parametrize(("machine", "marked"), [({"name": "g4dn.xlarge"}, True), (PRICED["instance-types"][0], False)])
def test_a_price_that_the_user_did_not_give_is_marked(machine: dict[str, Any], marked: bool, tmp_path: Path):
    """The line of the cost and the page name the instance type whose price is kpasim's own."""
    load = {"kind": "hey", "requests": 4, "concurrency": 2, "timeout": "0s"}
    data = experiment(load, {"max-scale": 2}, cluster={"instance-types": [machine]})

    done = run(written(tmp_path, data), "-n", "2", "--out", str(tmp_path / "out"))

    says = f"assumed: kpasim's price of {machine['name']}"
    assert (says in " ".join(done.stdout.split())) == marked
    assert (says in Elements(html.page_of(tmp_path / "out")).text) == marked


def test_requests_that_no_pod_takes_are_refused_at_once_and_wait_for_no_cold_start(tmp_path: Path):
    """KEDA without its HTTP add-on: nothing holds a request while the Deployment has no pod."""
    keda = {"kind": "keda", "min-replica-count": 0}
    data = experiment(
        {"kind": "poisson", "rate": 1, "duration": "1m"}, {}, autoscaler=keda, start="zero", replications=2
    )
    done = run(written(tmp_path, data))

    assert "were refused with status 503 (no pod was ready, or a queue was full)" in done.output
    assert re.search(r"waited for a cold start +0 %", done.output)
