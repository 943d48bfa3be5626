"""Answers of ``query_range`` of any step, alone and beside other files: the scrapes behind them are found."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpasim.errors import RunError
from kpasim.records.prometheus.files import read_files
from kpasim.records.prometheus.observation import Observation
from kpasim.records.prometheus.observe import from_files
from kpasim.records.prometheus.passages import Passage, traffic
from kpasim.records.prometheus.selection import Served
from tests import prometheus_runs
from tests.records.prometheus.servers import program, victoria_metrics

RUN = "poisson-mid"
LOOKBACK_S = 300


def recorded() -> list[Served]:
    """The series of a recorded run, one scrape every 5 s, without their buckets."""
    series, _ = read_files([prometheus_runs.folder(RUN) / "raw.json"])
    return [one for one in series if not one.name.endswith("_bucket")]


def answer(series: Sequence[Served], step_s: float) -> dict[str, Any]:
    """What ``query_range`` answers: at multiples of the step the last sample of five minutes."""
    end_s = max(one.times_s[-1] for one in series)
    result = []
    for one in series:
        grid = np.arange(np.ceil(one.times_s[0] / step_s), np.floor(end_s / step_s) + 1) * step_s
        grid = grid[grid < one.times_s[-1] + LOOKBACK_S]
        values = one.values[np.searchsorted(one.times_s, grid, side="right") - 1]
        pairs = [[time, str(value)] for time, value in zip(grid.tolist(), values.tolist(), strict=True)]
        result.append({"metric": dict(one.labels), "values": pairs})
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def written(path: Path, value: object) -> Path:
    """A file of JSON."""
    path.write_text(json.dumps(value))
    return path


def activator(observation: Observation) -> Passage:
    """The requests behind the only activator."""
    [found] = (one for one in traffic(observation).passages if one.role == "activator")
    return found


@pytest.mark.parametrize("step_s", [1, 2])
def test_a_step_below_the_scrape_interval_makes_no_bursts(step_s: int, tmp_path: Path):
    """Requests began within 5 s, though the step shows all in one of 1 s."""
    raw = prometheus_runs.observation(RUN)
    fine = from_files([written(tmp_path / "answer.json", answer(recorded(), step_s))])
    assert step_s == fine.step_s
    assert fine.interval_s["activator"] == pytest.approx(5, abs=step_s)
    one, other = activator(raw), activator(fine)
    assert one.began is not None
    assert other.began is not None
    np.testing.assert_array_equal(one.began[one.began != 0], other.began[other.began != 0])
    busy = other.began != 0
    lengths = (other.end_s - other.begin_s)[busy]
    assert lengths.min() >= 5 - step_s
    assert lengths.mean() == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("steps_s", [(0, 15), (5, 60)])
def test_files_of_different_steps_share_the_longest(steps_s: tuple[float, float], tmp_path: Path):
    """Counts and requests in flight belong to one time each, or requests would seem to begin and to vanish."""
    parts = [[s for s in recorded() if s.name.startswith("http_") == first] for first in (True, False)]
    files = [
        written(tmp_path / f"{step}.json", answer(part, step) if step else raw(part))
        for part, step in zip(parts, steps_s, strict=True)
    ]
    mixed, alone = from_files(files), from_files([written(tmp_path / "a.json", answer(recorded(), max(steps_s)))])
    assert max(steps_s) == mixed.step_s
    one, other = activator(mixed), activator(alone)
    assert one.began is not None
    assert other.began is not None
    np.testing.assert_array_equal(other.began[other.began != 0], one.began[one.began != 0])
    assert not mixed.gaps


def raw(series: Sequence[Served]) -> dict[str, Any]:
    """What ``query`` answers for a range selector."""
    pairs = [[[t, str(v)] for t, v in zip(s.times_s.tolist(), s.values.tolist(), strict=True)] for s in series]
    result = [{"metric": dict(s.labels), "values": values} for s, values in zip(series, pairs, strict=True)]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def test_several_answers_in_a_file_are_joined(tmp_path: Path):
    """One after the other, as ``cat`` leaves them, in a list, and the bare matrix that promtool prints."""
    parts = [raw([s for s in recorded() if s.name.startswith("http_") == first]) for first in (True, False)]
    whole = from_files([written(tmp_path / "whole.json", raw(recorded()))])
    texts = {
        "lines": "\n".join(map(json.dumps, parts)),
        "pages": "".join(json.dumps(part, indent=1) for part in parts),
        "list": json.dumps(parts),
        "data": json.dumps(parts[0]["data"]) + json.dumps(parts[1]["data"]),
        "matrix": json.dumps([one for part in parts for one in part["data"]["result"]]),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        found = from_files([tmp_path / name])
        assert (len(whole.series), whole.samples) == (len(found.series), found.samples)


def test_what_promtool_prints_is_read(tmp_path: Path):
    """``promtool query range -o json`` gives a matrix without an envelope."""
    tool, back_s = program("promtool"), 1e8
    series = [Served(s.labels, s.times_s - back_s, s.values) for s in recorded()]
    begin_s, end_s = (bound([bound(s.times_s) for s in series]) for bound in (np.min, np.max))
    with victoria_metrics(tmp_path / "victoria", series) as url:
        window = (f"--start={begin_s:.0f}", f"--end={end_s + 20:.0f}", "--step=15s")
        command = [tool, "query", "range", "-o", "json", *window, url, '{__name__!=""}']
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "matrix.json").write_text(done.stdout)
    found = from_files([tmp_path / "matrix.json"])
    assert 15 == found.step_s
    assert activator(prometheus_runs.observation(RUN)).ended.sum() == activator(found).ended.sum()


@pytest.mark.parametrize("name", ["", "kn:revision_pods:sum"])
def test_expressions_and_recording_rules_are_refused(name: str, tmp_path: Path):
    """They have lost their names, or have others: the message says what to export. So it does of an empty answer."""
    with pytest.raises(RunError, match=r"there are none at all$"):
        from_files([written(tmp_path / "empty.json", raw([]))])
    series = [Served({"kn_service_name": RUN, **({"__name__": name} if name else {})}, s.times_s, s.values)
              for s in recorded()[:2]]  # fmt: skip
    with pytest.raises(RunError, match=rf"export the metrics themselves.*there are .?{name or 'no name'}.?$"):
        from_files([written(tmp_path / "sum.json", raw(series))])
