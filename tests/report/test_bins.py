"""A run of many changes in bins of time: nothing is lost, and a day stays legible."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpasim.cli.answers import timeline
from kpasim.report import bins, charts, evidence
from kpasim.results.states import pods_by_state
from kpasim.spec.experiment import from_mapping
from kpasim.studies.run import Result, simulate
from tests.cli.test_answer import experiment

HOURS = {"kind": "poisson", "rate": 0.02, "duration": "6h"}


@pytest.fixture(scope="module")
def long_run() -> Result:
    """Six hours of sparse requests, each of which brings a pod up from zero and down again."""
    data = {**experiment(HOURS, {"max-scale": 5}), "replications": 1, "start": "idled"}
    return simulate(from_mapping(data), engine="compiled")


@given(
    st.lists(st.tuples(st.floats(0, 1000), st.integers(0, 9)), min_size=1, max_size=30),
    st.integers(2, 12),
)
def test_bins_hold_the_mean_and_the_extremes_of_a_step_function(changes: list[tuple[float, int]], count: int):
    """Against the value at the middle of every stretch between changes, weighed by its length."""
    changes = sorted(dict(changes).items())
    times, values = (np.array(column, dtype=float) for column in zip(*changes, strict=True))
    edges = np.linspace(0, 1000, count + 1)

    found = bins.steps(times, values, edges)

    for place, (begin, end) in enumerate(itertools.pairwise(edges)):
        cuts = [begin, *(time for time in times if begin < time < end), end]
        held = []
        for low, high in itertools.pairwise(cuts):
            before = [value for time, value in changes if time <= (low + high) / 2]
            held.append((before[-1] if before else 0.0, high - low))
        assert found.mean[place] == pytest.approx(sum(v * w for v, w in held) / sum(w for _, w in held))
        assert (found.low[place], found.high[place]) == (min(v for v, _ in held), max(v for v, _ in held))


def test_pod_hours_of_bins_are_those_of_the_run(long_run: Result):
    """The means of all states, added up over the bins, are the time that pods existed under load."""
    tables = long_run.tables()
    edges = bins.edges_s(float(long_run.horizon_s[0]))
    width = edges[1] - edges[0]

    existed_s = sum(float(one.mean.sum()) for one in bins.pods(tables, edges).values()) * width

    end = np.fmin(tables.pods["gone_s"], edges[-1])
    assert existed_s == pytest.approx(float((end - np.maximum(tables.pods["created_s"], 0)).clip(0).sum()))


def test_a_run_of_hours_has_some_tens_of_rows_with_clocks(long_run: Result):
    """No row is left out with `more changes`; times are hours, minutes and seconds; extremes are in the rows."""
    tables = long_run.tables()
    table = timeline(tables)
    times = [row[0] for row in table.rows]
    starting = [max(int(one) for one in cell.split("-")) for cell in (row[2] for row in table.rows)]

    assert bins.needed(tables)
    assert 10 <= len(table.rows) <= bins.MOST_ROWS
    assert times[:2] == ["0:00:00", "0:10:00"]
    moments = np.unique(tables.pods["created_s"])
    assert max(starting) == pods_by_state(tables.pods, moments)["starting"].max()


def test_the_chart_of_a_run_of_hours_is_drawn_in_bins(long_run: Result, tmp_path: Path):
    """Some seventy steps for each line, and no mark for each of the thousand decisions."""
    long_run.write(tmp_path)
    run = evidence.read(tmp_path)

    drawn = charts.scaling(run)

    assert bins.needed(run.tables)
    assert all(len(trace["x"]) <= bins.BINS + 2 for trace in drawn["data"])
    assert "decisions" not in {trace["name"] for trace in drawn["data"]}
    assert "desired, max" in {trace["name"] for trace in drawn["data"]}


def test_widths_are_round():
    """A day is drawn in bins of half an hour or less, listed in bins of an hour."""
    assert bins.width_text(86_400) == "20 min"
    assert np.diff(bins.edges_s(86_400, bins.MOST_ROWS))[0] == 3600
    assert bins.edges_s(90.0)[-1] >= 90
