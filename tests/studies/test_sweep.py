"""Sweeps: the same rows however the work is spread, and whatever happens on the way."""

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from kpasim.errors import RunError
from kpasim.report.sweep_page import effects_table, front_table
from kpasim.results import display
from kpasim.spec.experiment import load
from kpasim.spec.sweep import load_sweep
from kpasim.studies import sweep as module
from kpasim.studies.execution.workers import spread
from kpasim.studies.grid.journal import Journal, runs
from kpasim.studies.grid.result import SweepResult, load_result
from kpasim.studies.run import simulate
from kpasim.studies.runner import Runner
from kpasim.studies.sweep import Plan, design, sweep
from tests.studies.sweeps import SWEEP, command_line, rows, write

KILLED = Path(__file__).with_name("killed.py")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep file."""
    return write(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def folder(file: Path) -> Path:
    """What one uninterrupted sweep in this process left."""
    out = file.parent / "whole"
    sweep(file, out=out, engine="reference", processes=1)
    return out


@pytest.fixture(scope="module")
def result(folder: Path) -> SweepResult:
    """The answers of that sweep."""
    return load_result(folder)


def table(folder: Path) -> bytes:
    """The table of all replications, to the byte."""
    return (folder / "replications.parquet").read_bytes()


def test_rows_are_sorted_and_complete(file: Path, folder: Path) -> None:
    """One row for each replication of each setting, with the settings' values, in order."""
    found = rows(folder)
    plan = Plan.read(file)
    assert len(plan.settings) == 16
    numbers = np.repeat(np.arange(16), plan.replications)
    assert found["setting"].to_pylist() == numbers.tolist()
    assert found["replication"].to_pylist() == list(range(plan.replications)) * 16
    for axis in plan.sweep.axes:
        assert found[axis].to_pylist() == [plan.settings[number][axis] for number in numbers]
    assert not list(folder.rglob("*.part"))
    assert not (folder / "journal").exists()


def test_a_setting_is_what_a_run_of_it_is(file: Path, result: SweepResult) -> None:
    """Figures and cost are those of `simulate` with the same settings, seed, horizon and start."""
    number = 9
    experiment = load(file.with_name("painting.yaml"))
    alone = simulate(
        experiment.with_settings({**result.settings[number], "horizon": result.horizon_s, "start": "idled"}),
        replications=result.replications,
        engine="reference",
    )
    row = result.row(number)
    # How pods were used is told of runs only.
    told = [(row["medians"], alone.aggregate.medians), (row["intervals"], alone.aggregate.intervals)]
    for mine, theirs in told:
        assert mine == {name: value for name, value in theirs.items() if name not in alone.use}
    assert row["cost"] == alone.cost


def test_settings_that_cannot_be_are_left_out_and_told(file: Path) -> None:
    """A max-scale below the min-scale beside it is refused by Knative, not by the sweep."""
    plan = Plan.read(file)
    assert [tuple(one.values()) for one, _ in plan.refused] == [(1, 2, "10s"), (1, 2, "30s")]
    assert all("max-scale = 1 is less than min-scale = 2" in reason for _, reason in plan.refused)


def test_pods_that_stay_are_paid_for_as_long_as_in_any_other_setting(result: SweepResult) -> None:
    """With a finite load and no horizon, min-scale pods cost money until the last run of all settings has ended."""
    end_s = result.horizon_s
    paths = list(result.about["axes"])
    seen = 0
    for number, settings in enumerate(result.settings):
        keeps = settings[paths[1]]
        if keeps and settings[paths[0]] == keeps:
            # Each pod of 3.6 an hour is there all the time: a thousandth a second.
            assert result.figures["pod_seconds"][number] == pytest.approx(keeps * end_s, abs=1e-6)
            assert result.figures["cost.amount"][number] == pytest.approx(keeps * end_s / 1000, abs=1.1e-3 * keeps)
            seen += 1
        elif not keeps:
            assert (result.figures["pod_seconds"][number] < settings[paths[0]] * end_s).all()
    assert seen == 4
    idle = [result.costs[number] for number, one in enumerate(result.settings) if one[paths[1]] == 2]
    assert min(idle) > max(result.costs[number] for number, one in enumerate(result.settings) if one[paths[1]] == 0)


def test_a_horizon_is_the_same_for_all_rows(tmp_path: Path) -> None:
    """Where the sweep says when runs end, all end then."""
    text = "experiment: painting.yaml\nwith: {service.annotations.max-scale: 2}\nhorizon: 3m\n"
    path = write(tmp_path, text + "axes:\n  service.annotations.min-scale: [0, 2]\n")
    found = sweep(path, engine="reference", processes=1)
    assert set(found.figures["horizon_s"].ravel()) == {180.0}
    assert found.figures["pod_seconds"][1].max() == pytest.approx(360.0, abs=1e-6)


def test_the_same_blocks_however_the_work_is_spread(
    file: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small parts and large ones, in this process and in two others, give the same bytes."""
    monkeypatch.setattr(module, "PART_REQUESTS", 1)
    sweep(file, out=tmp_path / "small", engine="reference", processes=1)
    assert table(tmp_path / "small") == table(folder)
    monkeypatch.undo()
    sweep(file, out=tmp_path / "two", engine="reference", processes=2)
    assert table(tmp_path / "two") == table(folder)


def test_replications_are_split_into_blocks(file: Path, folder: Path, tmp_path: Path) -> None:
    """A setting with many requests is simulated block by block, to the same figures."""
    plan = Plan.read(file)
    assert (plan.block, plan.blocks) == (8, 1)
    object.__setattr__(plan, "requests", module.BLOCK_REQUESTS // 3)
    assert (plan.block, plan.blocks) == (3, 3)
    assert plan.replications_of(range(48)) == 16 * 8
    assert plan.replications_of([2, 5]) == 4
    sweep(plan, out=tmp_path, engine="reference", processes=1)
    split, whole = load_result(tmp_path), load_result(folder)
    for name, values in whole.figures.items():
        np.testing.assert_allclose(split.figures[name], values, rtol=1e-12, err_msg=name)


def test_killed_at_twenty_moments_and_resumed(file: Path, tmp_path: Path) -> None:
    """After 20 SIGKILLs at random moments the table has the same bytes, and nothing finished was simulated again."""
    done = subprocess.run(
        [sys.executable, str(KILLED), str(file), str(tmp_path), "20"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["killed"] == 20
    for number, lives in enumerate(told["rounds"]):
        assert lives[-1]["status"] == 0
        for life in lives:
            before = {tuple(unit) for unit in life["finished"]}
            simulated = [(line[0], unit) for line in life["simulated"] for unit in line[1:]]
            assert before.isdisjoint(simulated)
        for earlier, later in itertools.pairwise(lives):
            kept = {tuple(unit) for unit in earlier["finished"]} <= {tuple(unit) for unit in later["finished"]}
            assert kept or later["done"]  # once the table is there the journal goes
        assert table(tmp_path / f"killed-{number}") == table(tmp_path / "peace")
    assert any(0 < len(life["finished"]) < 16 for lives in told["rounds"] for life in lives)


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(file: Path, folder: Path, tmp_path: Path) -> None:
    """One line says what to type; that goes on and gives the same table."""
    words = [sys.executable, "-m", "kpasim.cli.main", "sweep", str(file), "--out", str(tmp_path)]
    words += ["--engine", "reference", "--processes", "2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while not list(tmp_path.rglob("*.arrow")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the sweep was done before it could be interrupted")
    assert process.returncode == 130
    assert f"go on with: kpasim sweep {file} --out {tmp_path} --resume" in said
    assert "Traceback" not in said
    kept = Journal(tmp_path / "journal" / "own-end").finished()
    assert kept
    refused = command_line("sweep", file, "--out", tmp_path, "--engine", "reference")
    assert refused.returncode == 1
    assert "holds an unfinished sweep (add --resume" in refused.stderr
    done = command_line("sweep", file, "--out", tmp_path, "--engine", "reference", "--processes", "1", "--resume")
    assert done.returncode == 0, done.stderr
    assert table(tmp_path) == table(folder)


def deaf(_: int) -> bool:
    """Whether this process does not hear Ctrl-C."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_workers_are_deaf_to_ctrl_c_before_they_can_think() -> None:
    """They inherit that, as a worker that is interrupted while Python starts says so at length; the parent does not."""
    assert list(spread(deaf, [1, 2, 3], processes=2)) == [True, True, True]
    assert not deaf(0)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find a process's children")
@pytest.mark.parametrize("wait_s", [0.0, 0.3, 1.0])
def test_workers_go_when_their_parent_was_killed(file: Path, tmp_path: Path, wait_s: float) -> None:
    """Also those that were still starting: nobody is left behind by a SIGKILL."""
    words = [sys.executable, "-m", "kpasim.cli.main", "sweep", str(file), "--out", str(tmp_path)]
    words += ["--engine", "reference", "--processes", "2"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        children: set[int] = set()
        until = time.monotonic() + 120
        while len(children) < 3 and process.poll() is None and time.monotonic() < until:
            children |= {int(one) for one in listed.read_text().split()} if listed.exists() else set()
            time.sleep(0.01)
        time.sleep(wait_s)
        process.kill()
    assert len(children) >= 3, "two workers and the tracker of their resources"
    until = time.monotonic() + 60
    while (left := {one for one in children if _runs(one)}) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


def _runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_finished_sweep_is_not_played_again(
    file: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resuming it reads its table, also when it was killed just before the journal was cleared away."""
    for name in ("plan.json", "replications.parquet"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    Journal(tmp_path / "journal" / "own-end")

    def refuse(chunk: object) -> None:
        raise AssertionError(chunk)

    monkeypatch.setattr(module, "execute_chunk", refuse)
    found = sweep(file, out=tmp_path, resume=True, engine="reference")
    assert len(found.rows) == 16
    assert not (tmp_path / "journal").exists()


def test_a_sweep_that_never_began_is_no_unfinished_one(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing was finished there is nothing to lose, and nobody is asked to resume it."""

    def fail(*_: object, **__: object) -> None:
        raise RunError("no scheduler there")

    monkeypatch.setattr(module, "spread", fail)
    with pytest.raises(RunError, match="no scheduler"):
        sweep(file, out=tmp_path, engine="reference", processes=1)
    assert (tmp_path / "plan.json").exists()
    monkeypatch.undo()
    assert len(sweep(file, out=tmp_path, engine="reference", processes=1).rows) == 16


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("replications: 8", "replications: 9", "replications"),
        ("[10s, 30s]", "[10s, 40s]", "axes"),
        ("replications: 8", "replications: 8\nseed: 4", "seed"),
        ("replications: 8", "replications: 8\nhorizon: 1h", "horizon"),
        ("replications: 8", "replications: 8\nwith: {workload.requests: 15}", "experiment"),
    ],
)
def test_another_sweep_is_not_resumed(folder: Path, tmp_path: Path, old: str, new: str, changed: str) -> None:
    """What would mix rows of two sweeps is refused, and named."""
    path = write(tmp_path, SWEEP.replace(old, new))
    (tmp_path / "plan.json").write_bytes((folder / "plan.json").read_bytes())
    with pytest.raises(RunError, match=f"cannot be resumed: {changed} changed since"):
        sweep(path, out=tmp_path, resume=True, engine="reference")


def test_a_finished_sweep_of_another_version_can_be_read(file: Path, folder: Path, tmp_path: Path) -> None:
    """Its rows are all of that version, which is said; an unfinished one cannot go on with this version."""
    about = json.loads((folder / "plan.json").read_text())
    about["fingerprints"]["kpasim"] = "0.0.1 abc"
    (tmp_path / "plan.json").write_text(json.dumps(about))
    with pytest.raises(RunError, match="cannot be resumed: kpasim changed since"):
        sweep(file, out=tmp_path, resume=True, engine="reference")
    (tmp_path / "replications.parquet").write_bytes((folder / "replications.parquet").read_bytes())
    done = command_line("sweep", file, "--out", tmp_path, "--resume")
    assert done.returncode == 0, done.stderr
    assert "were simulated by another version of kpasim" in done.stderr
    assert table(tmp_path) == table(folder)


def test_percentiles_may_change_between_resumes(folder: Path, tmp_path: Path) -> None:
    """How rows are weighed decides about no row: that is no other sweep."""
    path = write(tmp_path, SWEEP + "percentiles: [p50]\nmost-errors: 5%\n")
    for name in ("plan.json", "replications.parquet"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert sweep(path, out=tmp_path, resume=True, engine="reference").pareto()[0]["p50"] > 0


def test_the_setting_that_cannot_be_simulated_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a setting has more pods in its time than a run may have, the message says which."""

    class Narrow(Runner):
        def __init__(self, *what: Any, **how: Any) -> None:
            super().__init__(*what, **how)
            self.pods, self._most_pods = 1, 2

    monkeypatch.setattr(module, "Runner", Narrow)
    with pytest.raises(
        RunError, match=r"^painting: more than 2 pods .* in the setting max-scale 2, min-scale 0, window"
    ):
        sweep(file, engine="reference", processes=1)


def test_dask_gives_the_same_rows(file: Path, folder: Path, tmp_path: Path) -> None:
    """Two worker processes of a Dask cluster on this machine leave the same table."""
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    done = command_line(
        "sweep", file, "--out", tmp_path, "--backend", "dask", "--processes", "2", "--engine", "reference"
    )
    assert done.returncode == 0, done.stderr
    assert table(tmp_path) == table(folder)


def test_ray_gives_the_same_rows(file: Path, folder: Path, tmp_path: Path) -> None:
    """Two workers of Ray on this machine leave the same table."""
    pytest.importorskip("ray", reason="the extra ray is not installed (pip install 'kpasim[ray]')")
    done = command_line(
        "sweep", file, "--out", tmp_path, "--backend", "ray", "--processes", "2", "--engine", "reference"
    )
    assert done.returncode == 0, done.stderr
    assert table(tmp_path) == table(folder)


def test_designs_are_samples_within_the_axes(file: Path) -> None:
    """A sampled design takes as many settings as asked for, spread over every axis, the same for one seed."""
    text = SWEEP.replace("[1, 2, 3]", "{from: 1, to: 60}").replace("[10s, 30s]", "{from: 10s, to: 5m, scale: log}")
    for kind in ("latin-hypercube", "sobol"):
        path = write(file.parent, text + f"design: {kind}\nsettings: 24\n")
        loaded, _ = load_sweep(path)
        found = design(loaded, 3)
        assert found == design(loaded, 3) != design(loaded, 4)
        assert len(found) == 24
        scales = np.array([one["service.annotations.max-scale"] for one in found])
        assert all(((low <= scales) & (scales < low + 20)).sum() >= 6 for low in (1, 21, 41))
    write(file.parent)


def test_prices_are_of_one_currency(tmp_path: Path) -> None:
    """Settings whose prices cannot be compared are not put into one table."""
    types = "[[{name: a, price-per-hour: 1, currency: USD}], [{name: b, price-per-hour: 1, currency: EUR}]]"
    path = write(tmp_path, f"experiment: painting.yaml\naxes:\n  cluster.instance-types: {types}\n")
    with pytest.raises(RunError, match=r"different currencies, or some have none \(a: USD; b: EUR\)"):
        Plan.read(path)


def test_the_experiment_as_it_is_is_found_among_the_settings(tmp_path: Path) -> None:
    """Also where the file spells a value differently or leaves it to its default; not where an axis passes it by."""
    axes = "service.annotations.window: [10s, 0.5m], service.annotations.target: [1, 0.5]"
    axes += ", service.timeoutSeconds: [300]"
    path = write(tmp_path, f"experiment: painting.yaml\naxes: {{{axes}}}\n")
    found = sweep(path, engine="reference", processes=1)
    assert found.about["now"] == {
        "service.annotations.window": "0.5m",
        "service.annotations.target": 1,
        "service.timeoutSeconds": 300,
    }
    assert found.now == 2
    assert found.changes.tolist() == [1, 2, 0, 1]
    path = write(tmp_path, "experiment: painting.yaml\naxes: {service.annotations.window: [10s, 20s]}\n")
    assert sweep(path, engine="reference", processes=1).now is None


def test_runs_of_units() -> None:
    """Neighbouring units are put together, up to a length."""
    assert runs([5, 1, 2, 3, 9], 2) == [range(1, 3), range(3, 4), range(5, 6), range(9, 10)]
    assert runs([], 3) == []


def test_a_broken_part_counts_as_not_simulated(tmp_path: Path) -> None:
    """A part that a crash of the machine left empty is removed, not believed."""
    journal = Journal(tmp_path)
    journal.add(range(2), {"setting": np.arange(2), "replication": np.zeros(2, dtype=np.int64)})
    (tmp_path / "00000002-00000003.arrow").write_bytes(b"")
    assert journal.finished() == {0, 1}
    assert len(journal.table()) == 2


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_are_whole_on_a_narrow_terminal(result: SweepResult, width: int) -> None:
    """No number and no word is cut off in the table of axes and in the front, and every axis has its share."""
    out = Console(width=width, file=io.StringIO())

    out.print(effects_table(result), front_table(result, "p95"))

    said = out.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in said
    assert all(len(line) <= width for line in said.splitlines())
    for axis, effect in result.effects().items():
        assert axis.rpartition(".")[2] in said
        assert f"{100 * effect['share']['cost']:.0f} %" in said
        assert all(display.number(level["cost"]) in said for level in effect["levels"])


def test_json_has_rows_and_pareto(file: Path, folder: Path, tmp_path: Path) -> None:
    """`--json` prints one row for each setting in the order of cost, and the front."""
    for name in ("plan.json", "replications.parquet"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    done = command_line("sweep", file, "--out", tmp_path, "--resume", "--json", "--percentile", "p50")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    costs = [row["cost"]["amount"] for row in found["rows"]]
    assert len(costs) == 16
    assert costs == sorted(costs)
    assert {"setting", "settings", "medians", "intervals", "cost"} <= set(found["rows"][0])
    assert found["percentile"] == "p50"
    assert [point["cost"] for point in found["pareto"]] == sorted(point["cost"] for point in found["pareto"])
    assert [point["p50"] for point in found["pareto"]] == sorted((p["p50"] for p in found["pareto"]), reverse=True)
    assert len(found["refused"]) == 2
    places = {row["setting"]: (row["cost"]["amount"], row["medians"]["latency_s"]["p50"]) for row in found["rows"]}
    every = set(places.values())
    first = [one for one in every if not any(a <= one[0] and b <= one[1] and (a, b) != one for a, b in every)]
    assert [places[point["setting"]] for point in found["pareto"]] == sorted(first)
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert len(lines) == 17
