"""Load tests of one pod with 1, 2, 4, 8 clients give contention factors."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import kpasim
from kpasim.cli.main import cli
from kpasim.errors import RunError
from kpasim.results.hey import CSV_HEADER, report
from tests.studies.fit.test_direct import experiment

CURVE = (1.0, 1.2, 1.5, 1.9, 2.3, 2.7, 3.1, 3.5)
TIME = {"distribution": "lognormal", "median": "2s", "sigma": 0.25}


def files(folder, kind, service, counts=(1, 2, 4, 8)):
    """What hey leaves of such tests, by the number of clients: its CSV or its report."""
    found = {}
    for count in counts:
        told = experiment(
            {"service-time": service, "cold-start": "5s"},
            scale=1,
            concurrency=8,
            workload={"requests": 40 * count, "concurrency": count},
        )
        requests = kpasim.simulate(told, replications=1, seed=count, engine="reference").tables().requests
        rows = [
            f"{latency:.4f},0,0,0,{latency:.4f},0,{status},{start:.4f}"
            for latency, status, start in zip(
                requests["latency_s"], requests["status"], requests["start_s"], strict=True
            )
        ]
        text = report(requests).text() if kind == "report" else "\n".join([CSV_HEADER, *rows, ""])
        found[count] = folder / f"{count}.txt"
        found[count].write_text(text, encoding="utf-8")
    return found


@pytest.mark.parametrize("kind", ["csv", "report"])
def test_a_sweep_of_clients_gives_contention_factors(tmp_path, kind):
    """The table is as long as the greatest number of clients, near the truth, and the model says how far it holds."""
    tests = files(tmp_path, kind, {"time": TIME, "slowdown": list(CURVE)})
    found = kpasim.calibrate([], clients=tests)
    model = found.model["service-time"]

    assert len(model["slowdown"]) == 8
    assert model["slowdown"] == pytest.approx(CURVE, rel=0.12)
    inside = [low <= true <= high for true, (_, low, high) in zip(CURVE, found.slowdown, strict=True)]
    assert np.mean(inside) >= 0.75
    assert found.estimates["service_p50_s"][0] == pytest.approx(2.0, rel=0.12)
    assert any("up to 8 requests at once" in one for one in found.notes)
    assert any("with 1, 2, 4, 8 clients" in one for one in found.notes)


def test_a_pod_that_works_on_one_at_a_time_is_seen_in_a_sweep(tmp_path):
    """Requests that queue inside are told from requests that share: the model has a slot, not a contention factor."""
    tests = files(tmp_path, "csv", {"time": TIME, "slots": 1})
    found = kpasim.calibrate([], clients=tests)

    assert found.model["service-time"]["slots"] == 1
    assert found.estimates["service_p50_s"][0] == pytest.approx(2.0, rel=0.1)
    assert any("processes one request at a time" in one for one in found.notes)


def test_a_sweep_says_what_is_wrong_with_it(tmp_path):
    """One client is needed, and a test with fewer clients than said is doubted; reports and CSV may be mixed."""
    tests = files(tmp_path, "csv", {"time": TIME, "slowdown": list(CURVE)}, counts=(1, 2))
    with pytest.raises(RunError, match="tests with 1 client and with more are needed"):
        kpasim.calibrate([], clients={2: tests[2]})
    found = kpasim.calibrate([], clients={1: tests[1], 4: tests[2]})
    assert any("2 requests at once at most, not 4" in one for one in found.notes)
    summary = tmp_path / "report"
    summary.mkdir()
    mixed = {1: tests[1], 2: files(summary, "report", {"time": TIME, "slowdown": list(CURVE)}, counts=(2,))[2]}
    assert kpasim.calibrate([], clients=mixed).model["service-time"]["slowdown"] == pytest.approx(CURVE[:2], rel=0.12)


def test_the_command_takes_a_sweep(tmp_path):
    """``--clients 1=a.csv --clients 2=b.csv`` prints the table as JSON; a word that is no number is refused."""
    tests = files(tmp_path, "csv", {"time": TIME, "slowdown": list(CURVE)}, counts=(1, 2))
    options = [word for count, file in tests.items() for word in ("--clients", f"{count}={file}")]
    done = CliRunner().invoke(cli, ["calibrate", *options, "--json"])

    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["slowdown"]) == 2
    refused = CliRunner().invoke(cli, ["calibrate", "--clients", f"two={tests[2]}"])
    assert refused.exit_code != 0
    assert "'two' is not a number of clients" in refused.output


def test_starts_in_whole_seconds_tell_no_order(tmp_path):
    """ApacheBench writes the second of a start, so that requests of one client seem to overlap: means are compared."""
    tests = {}
    for count, factor in ((1, 1.0), (2, 1.5)):
        rng = np.random.default_rng(count)
        took = 1e3 * 0.4 * factor * rng.lognormal(0.0, 0.1, (count, 30))
        begun = np.cumsum(took, axis=1) - took
        rows = [
            f"Mon Nov 30 06:00:00 2026\t{1764482400 + int(at // 1e3)}\t0\t{lasted:.0f}\t{lasted:.0f}\t{lasted:.0f}"
            for at, lasted in zip(begun.ravel(), took.ravel(), strict=True)
        ]
        tests[count] = tmp_path / f"{count}.tsv"
        tests[count].write_text("\n".join(["starttime\tseconds\tctime\tdtime\tttime\twait", *rows, ""]), "utf-8")
    found = kpasim.calibrate([], clients=tests)

    assert found.estimates["service_p50_s"][0] == pytest.approx(0.4, rel=0.05)
    assert found.model["service-time"]["slowdown"] == [1.0, pytest.approx(1.5, rel=0.06)]
