"""`kpasim validate` from beginning to end, on the fake cluster with pods that sleep."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from kpasim.cluster import load as load_module
from kpasim.cluster.bill import price_per_pod_hour
from kpasim.cluster.calibration import one_pod
from kpasim.cluster.deploy import Waits
from kpasim.cluster.errors import ClusterError, InterruptedRunError
from kpasim.cluster.fake.cluster import CONTEXT, Options
from kpasim.cluster.fake.kubelet import Image
from kpasim.cluster.kube import Patience, connect
from kpasim.cluster.live import LiveRun, live
from kpasim.cluster.local import local_cluster
from kpasim.cluster.validate import Request, Settings, validate
from kpasim.cluster.verdict import Report, Row, failed_figures
from kpasim.errors import RunError
from kpasim.results.tables import read_run_folder
from kpasim.spec.experiment import Experiment, from_mapping, load

from .fakes import FAST, STUB, plan, running, service

SECRET = "hunter2-do-not-tell"


def experiment(**changes: Any) -> Experiment:
    """Five seconds of two clients in a closed loop on a service that takes 50 ms, with one pod and at most two."""
    manifest = service(
        name="quick",
        args=["--service-s", "0.05", f"--label={SECRET}"],
        timeoutSeconds=5,
        annotations={"min-scale": 1, "max-scale": 2, "window": "6s"},
        container={
            "env": [{"name": "TOKEN", "value": SECRET}],
            "readinessProbe": {"httpGet": {"path": "/healthz"}, "periodSeconds": 1},
        },
    )
    manifest["metadata"]["annotations"] = {"kpasim.dev/load-path": "/work", "kpasim.dev/load-body": '{"steps": 2}'}
    return from_mapping(
        {
            "service": manifest,
            "workload": {"kind": "hey", "concurrency": 2, "duration": "5s", "timeout": "10s"},
            "model": {"service-time": "1s", "cold-start": "1s"},
            "start": {"state": "warm", "for": "200ms"},
            "horizon": "6s",
            "tolerances": {"p50": "15%", "total": "10%", "max-pods": 0},
            **changes,
        }
    )


class Foreseen:
    """A prediction that says what it is told to, and remembers what it was asked."""

    def __init__(self, **figures: float) -> None:
        self.summary = {
            "latency_s": {"p50": figures.get("p50", 0.06)},
            "total_s": figures.get("total", 0.35),
            "max_pods": figures.get("max_pods", 2),
            "pod_seconds": 10.0,
        }
        self.intervals = {"latency_s": {"p50": [0.05, 0.07]}, "total_s": [0.3, 0.4], "max_pods": [2, 2]}
        self.asked: list[Experiment] = []

    def __call__(self, found: Experiment) -> Foreseen:
        """Predict."""
        self.asked.append(found)
        return self

    def write(self, folder: str | Path) -> None:
        """Leave a mark."""
        Path(folder).mkdir(parents=True)
        Path(folder, "run.json").write_text(json.dumps(self.asked[-1].raw))


def run(found: Experiment, folder: Path, foreseen: Foreseen, **settings: Any) -> tuple[Report, list[str]]:
    """Validate on the local cluster; returns the report and the notes."""
    notes: list[str] = []
    values: dict[str, Any] = {
        "images": {"stub": Image(STUB)},
        "request": Request.of(found),
        "patience": Patience(poll_s=0.1),
        "solo_requests": 5,
    }
    report = validate(found, Settings(**{**values, **settings}), folder, predict=foreseen, note=notes.append)
    return report, notes


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory):
    """One validation that several tests look at."""
    folder = tmp_path_factory.mktemp("validate") / "run"
    foreseen = Foreseen()
    report, notes = run(experiment(), folder, foreseen)
    return folder, report, notes, foreseen


def test_a_validation_leaves_a_measured_run_folder(done):
    """Requests, pods and scaling are there, with times from the start of the load, beside the frozen prediction."""
    folder, _, _, _ = done
    about, tables, figures = read_run_folder(folder)

    assert about["source"] == "measured"
    assert len(tables.requests["id"]) > 40
    assert set(tables.requests["status"]) == {200}
    assert figures["max_pods"] == 2
    assert tables.pods["created_s"][0] < 0.0 < tables.pods["created_s"][1]
    assert tables.scaling["replicas"].max() == 2
    assert len(tables.ticks["t_s"]) > 0
    assert (folder / "prediction" / "run.json").stat().st_mtime < (folder / "run.json").stat().st_mtime
    assert "Killing" in (folder / "events.csv").read_text() or "Started" in (folder / "events.csv").read_text()


def test_the_prediction_knows_what_was_calibrated(done):
    """The service time of the prediction is the measured one, the cold start the time a pod really took."""
    _, _, _, foreseen = done
    model = foreseen.asked[-1].model

    # The stub takes 50 ms, so no latency is below; the experiment says 1 s.
    latency_s = model.service_time.time.mean_s() + foreseen.asked[-1].cluster.delays.path_s
    assert 0.05 <= latency_s < 0.5
    assert 0.0 <= model.cold_start.stages[0].time.mean_s() < 30.0


def test_nothing_secret_is_in_a_run_folder(done):
    """Neither the manifest's environment nor the account's token nor the body of requests is written down."""
    folder, _, notes, _ = done
    text = "".join(path.read_text() for path in folder.rglob("*") if path.is_file()) + "".join(notes)

    assert SECRET not in text
    assert "Bearer" not in text
    assert "token" not in text.lower()
    assert '"steps"' not in text


def test_a_validation_says_what_it_does_not_check(done):
    """The local cluster's first note is that it is no Knative."""
    _, _, notes, _ = done

    assert "not Knative" in notes[0]


def test_metrics_outside_their_tolerance_are_a_no(done, tmp_path):
    """A wrong number of pods is outside; the report says which metric it was."""
    _, report, _, _ = done
    rows = {row.metric: row for row in report.rows}

    assert rows["max-pods"].within
    assert rows["max-pods"].measured == 2
    wrong = Report(report.folder, [rows["max-pods"], Row("p50", 9.0, None, 1.0, "15%", False)], 1.0)
    assert not wrong.within
    assert "OUTSIDE" in "\n".join(wrong.lines())
    assert "outside the tolerances: p50" in wrong.lines()[-1]


def test_a_metric_that_misses_its_tolerance_by_chance_is_no_failure():
    """Inside its interval a measured value speaks against nothing; outside of both it does, and either is named."""
    chance = Row("max-pods", 4.0, (3.0, 4.0), 3.0, "0", False)
    wrong = Row("p50", 0.2, (0.18, 0.22), 0.3, "15%", False)
    untold = Row("mean_s", 0.2, (0.18, 0.22), 1.2, "", None)

    assert Report(Path("run"), [chance], 1.0).within
    assert (
        "1 metric within its tolerance or inside the 90 % interval;" in Report(Path("run"), [chance], 1.0).lines()[-1]
    )
    assert not Report(Path("run"), [chance, wrong], 1.0).within
    verdict = Report(Path("run"), [chance, wrong, untold], 1.0).verdict
    assert verdict == "outside the tolerances: p50; outside their 90 % interval: p50, mean_s"


def test_where_nothing_can_be_judged_there_is_no_verdict():
    """The reason stands in its place; what lies outside is named all the same."""
    untold = Row("mean_s", 0.2, (0.18, 0.22), 1.2, "50%", False)

    verdict = Report(
        Path("run"), [untold], 1.0, not_judged="other programs used 1.9 of 2 cores during the load"
    ).verdict

    assert verdict == (
        "not judged: other programs used 1.9 of 2 cores during the load; outside their 90 % interval: mean_s"
    )


def test_failed_requests_are_told_by_kind():
    """Sixteen client timeouts where none was predicted are in the report, and outside their interval."""

    class Nothing(Foreseen):
        def __init__(self) -> None:
            super().__init__()
            self.summary |= {"errors": 0, "failed": {"client_timeout": 0, "503": 0}}
            self.intervals |= {"errors": [0, 2], "failed": {"client_timeout": [0, 2], "503": [0, 0]}}

    rows = failed_figures(Nothing(), {"errors": 16, "failed": {"client_timeout": 16, "503": 0}})
    lines = Report(Path("run"), [], 1.0, rows).lines()

    assert [(row.metric, row.measured, row.inside) for row in rows] == [
        ("all", 16, False),
        ("client timeout", 16, False),
    ]
    assert "failed requests" in lines
    assert "outside their 90 % interval: all, client timeout" in lines[-1]
    assert failed_figures(Foreseen(), {"errors": 0}) == []


def test_an_open_loop_is_predicted_with_the_arrivals_that_are_sent(tmp_path):
    """Random arrivals are drawn once: every replication of the frozen prediction has those of the load."""
    load = {"kind": "poisson", "rate": 6, "duration": "3s", "timeout": "10s"}
    found = experiment(workload=load, horizon="4s", replications=5)
    settings = Settings(images={"stub": Image(STUB)}, patience=Patience(poll_s=0.1), solo_requests=5)

    validate(found, settings, tmp_path / "run")

    _, measured, _ = read_run_folder(tmp_path / "run")
    _, predicted, _ = read_run_folder(tmp_path / "run" / "prediction")
    assert len(measured.requests["id"]) == len(predicted.requests["id"])
    late_s = measured.requests["start_s"] - predicted.requests["start_s"]
    assert late_s.min() > -0.005
    assert np.median(late_s) < 0.3


@pytest.mark.usefixtures("a_machine_as_it_is")
def test_the_simulator_foresees_what_the_fake_cluster_does(tmp_path):
    """With the real prediction: two pods exactly, p50 within 15 %, total within 10 %; the folder can be compared."""
    from kpasim.studies.compare import experiment_of

    manifest = service(
        name="foreseen",
        args=["--service-s", "0.2", "--start-s", "0.5"],
        timeoutSeconds=2,
        annotations={"min-scale": 1, "max-scale": 5, "target-utilization-percentage": 60},
        container={"readinessProbe": {"httpGet": {"path": "/healthz"}, "periodSeconds": 1}},
    )
    load = {"kind": "constant", "rate": 4, "duration": "9s", "timeout": "10s"}
    found = experiment(service=manifest, workload=load, horizon="10s", replications=20)
    settings = Settings(images={"stub": Image(STUB)}, patience=Patience(poll_s=0.1), solo_requests=5)

    report = validate(found, settings, tmp_path / "run")

    rows = {row.metric: row for row in report.rows}
    about, tables, _ = read_run_folder(tmp_path / "run")
    if report.not_judged:
        pytest.skip(f"not judged: {report.not_judged}")
    assert rows["max-pods"].measured == 2
    assert report.within, report.lines()
    assert report.to_dict()["within"]
    assert read_run_folder(tmp_path / "run" / "prediction")[0]["source"] == "simulated"
    assert experiment_of(about, tables).workload.kind == "constant"


@pytest.mark.usefixtures("a_machine_as_it_is")
def test_the_real_server_in_a_shorter_form(tmp_path):
    """experiments/validate-local.yaml with a fifth of its load: every request is answered, three pods, right total.

    Where other programs keep the machine busy requests may fail, and nothing is judged.
    """
    pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    found = load(Path(__file__).parents[2] / "experiments" / "validate-local.yaml").with_settings(
        {
            "workload.phases": [{"rate": 0.5, "duration": "2s"}, {"rate": 1.75, "duration": "12s"}],
            "horizon": "15s",
            "service.timeoutSeconds": 8,
        }
    )
    settings = Settings(request=Request.of(found), solo_requests=5)

    report = validate(found, settings, tmp_path / "run")

    rows = {row.metric: row for row in report.rows}
    _, tables, _ = read_run_folder(tmp_path / "run")
    assert rows["max-pods"].predicted == 3
    if report.not_judged:
        pytest.skip(f"not judged: {report.not_judged}")
    assert set(tables.requests["status"]) == {200}
    assert np.isfinite(tables.requests["service_s"]).all()
    assert set(tables.requests["pod"]) <= set(tables.pods["pod"])
    assert rows["max-pods"].measured == 3
    assert rows["total"].within, report.lines()


def test_a_cluster_s_own_settings_count(tmp_path):
    """On a cluster that we did not set up, the prediction takes its config-autoscaler, and a note says what differs."""
    notes: list[str] = []
    foreseen = Foreseen()
    config = {"stable-window": "30s", "vendor-key": "x"}
    with running(Options(images={"stub": Image(STUB)}, speed=5.0, config_autoscaler=config)) as cluster:
        settings = Settings(
            target="kpasim-local",
            kubeconfig=str(cluster.fake.kubeconfig),
            patience=Patience(poll_s=0.1),
            solo_requests=5,
        )
        found = experiment(horizon="1s", workload={"kind": "hey", "requests": 12, "concurrency": 2, "timeout": "10s"})
        validate(found, settings, tmp_path / "run", predict=foreseen, note=notes.append)

    assert foreseen.asked[-1].config_autoscaler.stable_window_s == 30.0
    assert "note: config-autoscaler is the cluster's own, not the experiment's: stable-window" in notes
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config-autoscaler"] == {"stable-window": "30s"}


def test_an_image_that_is_not_known_is_refused_at_once(tmp_path):
    """The local cluster runs only what it knows, and says what that is."""
    with pytest.raises(ClusterError, match=r"image stub: .*kpasim\.local/txt2img.*--image"):
        run(experiment(), tmp_path / "run", Foreseen(), images={})
    assert not (tmp_path / "run").exists()


def test_a_path_that_fails_is_told_before_the_load(tmp_path):
    """A calibration request that is not answered well ends the run and names path and body."""
    foreseen = Foreseen()

    with pytest.raises(ClusterError, match=r"calibration: a request ended with 404; check the path and the body"):
        run(experiment(), tmp_path / "run", foreseen, host="nobody.example.com")
    assert foreseen.asked == []


def test_a_load_of_which_every_request_is_refused_is_given_up(tmp_path, monkeypatch):
    """It ends early, says with which status, and keeps what it measured."""
    monkeypatch.setattr(load_module, "HOPELESS_S", 1.0)
    folder = tmp_path / "run"
    refused = {"calibrate": False, "host": "nobody.example.com"}
    workload = {"kind": "steps", "arrivals": "constant", "phases": [{"rate": 20, "duration": "60s"}]}

    with pytest.raises(
        ClusterError, match=r"the load was given up: the first (\d+) requests all failed: \1 x 404"
    ) as told:
        run(experiment(workload=workload, horizon="61s"), folder, Foreseen(), **refused)

    assert int(re.findall(r"\d+", str(told.value))[0]) < 1200
    assert "404" in json.loads((folder / "run.json").read_text())["interrupted"]


def test_an_interrupted_load_keeps_what_it_measured(tmp_path):
    """Ctrl-C in the middle of a load: status 130, the requests until then, and a mark that they are not all."""
    folder, notes = tmp_path / "run", []

    def note(text: str) -> None:
        notes.append(text)
        if text.startswith("prediction frozen"):
            threading.Timer(2.5, os.kill, (os.getpid(), signal.SIGINT)).start()

    found = experiment()
    how = Settings(images={"stub": Image(STUB)}, request=Request.of(found), calibrate=False)
    with pytest.raises(InterruptedRunError, match="what was created has been removed") as error:
        validate(found, how, folder, predict=Foreseen(), note=note)

    about = json.loads((folder / "run.json").read_text())
    assert error.value.status == 130
    assert about["interrupted"] == "stopped by the user"
    assert any("marked as interrupted" in text for text in notes)
    rows = (folder / "requests.csv").read_text().splitlines()
    assert 5 < len(rows) < 100
    assert "interrupted" not in "".join(rows)


def test_a_dry_run_creates_nothing(tmp_path):
    """It looks, asks and estimates; there is no folder and no load."""
    report, notes = run(experiment(), tmp_path / "run", Foreseen(), dry_run=True)

    assert report.folder is None
    assert not (tmp_path / "run").exists()
    assert any(note.startswith("dry run: the cluster would take the Service") for note in notes)


PRICED = {
    "cluster": {"instance-types": [{"name": "gpu", "price-per-hour": 36.0, "currency": "CNY"}]},
}


def test_the_bill_is_estimated_before_anything_is_created(tmp_path):
    """Ten pod-seconds at 36 an hour and two starts of two minutes cost 2.52; less than that is refused."""
    foreseen = Foreseen()

    with pytest.raises(ClusterError, match=r"--max-cost: the run is expected to cost 2\.52 CNY, more than 2\.00"):
        run(experiment(**PRICED), tmp_path / "run", foreseen, max_cost=2.0)
    assert not (tmp_path / "run").exists()


def test_the_most_that_a_run_may_cost_counts_the_calibration_and_every_deadline(tmp_path):
    """Two pods for as long as each step may take, and one for as long as the calibration may, at a cent a second."""
    waits = Waits(ready_s=100.0, settle_s=200.0, gone_s=30.0)
    # Each pod is there for its start, the load and what it is given to go; a request is waited for 10 s at most.
    measured = 100 + 0.2 + (5 + 10 + 120) + 200 + (60 + 30)
    calibrated = 100 + 10 + (120 + 10) + (60 + 30)
    notes = dry(experiment(**PRICED), tmp_path, waits)
    alone = dry(experiment(**PRICED), tmp_path, waits, calibrate=False)

    assert f"at most {(2 * measured + calibrated) / 100:.2f} (" in notes[1]
    assert f"at most {2 * measured / 100:.2f} (" in alone[1]


def dry(found: Experiment, folder: Path, waits: Waits, **settings: Any) -> list[str]:
    """The notes of a dry run."""
    return run(found, folder, Foreseen(), dry_run=True, waits=waits, **settings)[1]


def test_what_the_calibration_cost_counts_against_the_limit(tmp_path, monkeypatch):
    """--max-cost is a limit of the whole validation: the load may only spend what the calibration has left."""
    spent = []

    def noted(kube, plan, *others):
        spent.append(plan.spent_pod_s)
        return live(kube, plan, *others)

    monkeypatch.setattr("kpasim.cluster.validate.live", noted)
    run(experiment(), tmp_path / "run", Foreseen())
    assert spent[0] == 0.0
    assert spent[1] > 0.0


def test_a_limit_without_prices_is_refused(tmp_path):
    """--max-cost cannot be kept where nothing has a price."""
    with pytest.raises(ClusterError, match="--max-cost: no prices are known"):
        run(experiment(), tmp_path / "run", Foreseen(), max_cost=2.0)


def test_a_price_without_a_currency_is_in_dollars():
    """The bill before a run is in the currency of the bill after it, also where ``cost`` names prices only."""
    priced = {"cluster": {"instance-types": [{"name": "ours"}]}, "cost": {"prices": {"ours": 2.5}}}

    price = price_per_pod_hour(experiment(**priced))

    assert price is not None
    assert (price.per_hour, price.currency) == (2.5, "USD")


def test_without_a_price_there_is_no_bill_and_no_limit(tmp_path):
    """An instance type that nobody has priced keeps nobody from a run; only --max-cost needs the price."""
    unpriced = {"cluster": {"instance-types": [{"name": "ours"}]}}
    report, notes = run(experiment(**unpriced), tmp_path / "run", Foreseen(), dry_run=True)
    assert report.folder is None
    assert (
        "note: the bill is not estimated: cluster.instance-types: no price for ours (give its price-per-hour)" in notes
    )
    with pytest.raises(RunError, match="no price for ours"):
        run(experiment(**unpriced), tmp_path / "run", Foreseen(), dry_run=True, max_cost=2.0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_a_stopped_validation_leaves_no_process(number: int):
    """However it was stopped: the fake cluster ends with all its pods, and its folder is removed."""
    script = textwrap.dedent(
        f"""
        import sys, time
        from kpasim.cluster.kube import connect
        from kpasim.cluster.live import live
        from kpasim.cluster.local import local_cluster
        from kpasim.cluster.fake.cluster import CONTEXT, Options
        from kpasim.cluster.fake.kubelet import Image
        from tests.cluster.fakes import FAST, plan, service
        def body(run):
            run.look(); run.deploy(); print(kubeconfig, flush=True); time.sleep(60)
        with local_cluster(Options(images={{"stub": Image({STUB!r})}})) as kubeconfig:
            live(connect(CONTEXT, kubeconfig, FAST), plan(service(timeoutSeconds=1)), body)
        """
    )
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    )
    assert child.stdout is not None
    kubeconfig = Path(child.stdout.readline().strip())
    there = psutil.Process(child.pid).children(recursive=True)

    child.send_signal(number)
    _, trouble = child.communicate(timeout=120)
    _, alive = psutil.wait_procs(there, timeout=60)
    end_s = time.monotonic() + 60
    while kubeconfig.parent.exists() and time.monotonic() < end_s:
        time.sleep(0.02)

    assert len(there) >= 3, trouble  # the fake cluster, its reaper, a pod
    assert alive == []
    assert not kubeconfig.parent.exists()
    assert number == signal.SIGKILL or "stopped by SIGINT; what was created has been removed" in trouble


def is_alive(process):
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def command_of(process):
    """The words of a process's command; none of a process that has ended, as another test's child may at any time."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def test_a_fake_cluster_whose_owner_is_gone_ends_quietly(tmp_path):
    """A run that is stopped while the fake cluster starts shows no traceback of it, and no folder is left."""
    child = subprocess.Popen(
        [sys.executable, "-m", "kpasim.cluster.fake"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert child.stdout is not None
    child.stdout.close()

    _, trouble = child.communicate(Options().to_json() + "\n", timeout=60)

    assert (child.returncode, trouble) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_fake_cluster_leaves_no_process():
    """Even when the fake cluster itself is killed, its reaper ends the pods and removes the folder."""
    found = []

    with local_cluster(Options(images={"stub": Image(STUB)})) as kubeconfig:

        def body(run: LiveRun) -> None:
            run.look()
            run.deploy()
            fake = [child for child in psutil.Process().children() if "kpasim.cluster.fake" in command_of(child)]
            found.extend(fake[-1].children(recursive=True))
            fake[-1].kill()
            limit = run.deadline(60.0, "the end")
            while any(is_alive(one) for one in found):
                limit.wait(0.05)

        kube = connect(CONTEXT, kubeconfig, FAST)
        with pytest.raises(ClusterError):
            live(kube, plan(), body)
        kube.close()
        folder = kubeconfig.parent
    assert len(found) >= 2
    assert not folder.exists()


def test_one_pod_is_calibrated():
    """Both spellings of the scale bounds give way to one pod; all else of the manifest stays, and the original too."""
    group = "autoscaling.knative.dev/"
    given = {f"{group}maxScale": "5", f"{group}min-scale": "0", f"{group}initialScale": "0", f"{group}metric": "rps"}
    manifest = {"spec": {"template": {"metadata": {"annotations": given}, "spec": {"containerConcurrency": 1}}}}

    pinned = one_pod(manifest)

    assert pinned["spec"]["template"]["metadata"]["annotations"] == {
        f"{group}metric": "rps",
        f"{group}min-scale": "1",
        f"{group}max-scale": "1",
        f"{group}initial-scale": "1",
    }
    assert pinned["spec"]["template"]["spec"] == {"containerConcurrency": 1}
    assert manifest["spec"]["template"]["metadata"]["annotations"] == given
    assert one_pod({"spec": {"template": {}}})["spec"]["template"]["metadata"]["annotations"]
