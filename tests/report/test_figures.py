"""Figures of runs: what they show, and that the same tables give the same file."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import PathCollection
from matplotlib.markers import MarkerStyle

from kpasim.errors import RunError
from kpasim.report import charts, paper
from kpasim.report.evidence import Evidence
from kpasim.report.figures import dashboard, intervals, latencies, overlay, run_figures, timeline
from kpasim.report.paper import save, save_all
from kpasim.results.states import STATES, pods_by_state
from kpasim.results.tables import Tables, empty_columns, read_run_folder
from tests.real_runs import folder

NAN = float("nan")
METRICS = {
    "p50_s": {"measured": 10.0, "predicted": 10.5, "lo": 9.0, "hi": 11.0},
    "p95_s": {"measured": 45.0, "predicted": 40.0, "lo": 39.0, "hi": 44.0},
    "zero_s": {"measured": None, "predicted": None, "lo": None, "hi": None},
}


def of(tables, end_s=None, name="run"):
    """Tables as a run that ends there."""
    return Evidence(Path(name), {"end_s": end_s}, tables, None)


def measured(name="s4-sdd30"):
    """A recorded run."""
    run, tables, _ = read_run_folder(folder(name))
    return of(tables, run["end_s"])


def nothing():
    """Tables of a run in which nothing happened."""
    return Tables(**{name: empty_columns(name) for name in ("requests", "pods", "ticks", "scaling")})


def drawn():
    """One of each figure."""
    run = measured()
    others = [measured(name).tables for name in ("s4-sdd30-a", "s4-sdd30-b", "s4-sdd0-ref")]
    return {
        "timeline": timeline(run, title="a & b <c>"),
        "latencies": latencies(run),
        "dashboard": dashboard(run),
        "overlay": overlay(run.tables, others, run.horizon_s),
        "intervals": intervals(METRICS),
    }


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_the_same_tables_give_the_same_bytes(tmp_path, suffix):
    """Drawn twice, every figure is the same file in every format."""
    for name, figure in drawn().items():
        save(figure, tmp_path / f"{name}-1.{suffix}", dpi=50)
    for name, figure in drawn().items():
        save(figure, tmp_path / f"{name}-2.{suffix}", dpi=50)
        one, two = (tmp_path / f"{name}-{i}.{suffix}" for i in (1, 2))
        assert one.read_bytes() == two.read_bytes(), name


def test_vector_figures_keep_their_words(tmp_path):
    """An SVG is well-formed, without a date, and its labels are text that can be searched and read aloud."""
    save(drawn()["timeline"], tmp_path / "a.SVG")
    text = (tmp_path / "a.SVG").read_text()
    words = set("".join(ElementTree.fromstring(text).itertext()).split("\n"))
    assert {"ready", "starting", "terminating", "desired", "panic mode", "a & b <c>"} <= {
        word.strip() for word in words
    }
    assert "dc:date" not in text


def test_a_figure_that_cannot_be_written_is_one_line(tmp_path):
    """A missing folder is the user's to mend; a format that does not exist is refused and leaves nothing."""
    figure = intervals(METRICS)
    with pytest.raises(RunError, match="cannot be written"):
        save(figure, tmp_path / "none" / "a.svg")
    with pytest.raises(ValueError, match="xyz"):
        save(figure, tmp_path / "a.xyz")
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_left_as_it_was():
    """Drawing changes no global setting, and no user's setting changes a figure."""
    before = dict(mpl.rcParams)  # looking at the backend settles it: look before, too
    drawn()
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"axes.grid": False, "font.size": 30}):
        assert timeline(measured()).axes[0].xaxis.get_gridlines()[0].get_visible()


def test_importing_figures_does_not_load_matplotlib():
    """The command line can name figures without paying for them."""
    code = "import sys, kpasim.report.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("draw", [timeline, latencies, dashboard])
def test_an_empty_run_is_drawn(tmp_path, draw):
    """A run without a request, a pod or a tick gives an empty figure, not an error."""
    save(draw(of(nothing())), tmp_path / "a.png", dpi=40)


def test_a_comparison_without_replications_shows_the_measured_run(tmp_path):
    """No prediction, no metric: the figures still draw."""
    save(overlay(measured().tables, [], 100), tmp_path / "a.png", dpi=40)
    save(intervals({}), tmp_path / "b.png", dpi=40)
    assert [line.get_label() for line in overlay(measured().tables, [], 100).axes[0].lines] == ["measured"]


def test_a_runs_figures_are_written_into_its_folder(tmp_path):
    """Timeline, latencies and dashboard appear in each format, under the run's name."""
    paths = save_all(run_figures(of(measured("s6-single-req").tables, name="my-run")), tmp_path / "my-run")
    assert [path.name for path in paths] == [
        f"{name}.{suffix}" for name in ("timeline", "latencies", "dashboard") for suffix in ("svg", "png")
    ]
    assert all(path.stat().st_size > 1000 for path in paths)
    assert "my-run" in paths[0].read_text()


def test_the_timeline_shows_the_run():
    """The desired line passes through the recorded values, and panic is shaded from its first tick to its last."""
    run = measured()
    axis = timeline(run).axes[0]
    desired = next(line for line in axis.lines if line.get_label() == "desired")
    assert desired.get_ydata().max() == 10
    assert desired.get_ydata()[-1] == 0
    shade = next(patch for patch in axis.patches if patch.get_label() == "panic mode")
    begin, end = shade.get_xy()[:, 0].min(), shade.get_xy()[:, 0].max()
    assert begin == 4.528
    in_panic = run.tables.ticks["t_s"][run.tables.ticks["panic_mode"] == 1]
    assert in_panic[-1] < end < in_panic[-1] + 2.2
    hatches = {patch.get_label(): patch.get_hatch() for patch in axis.collections}
    assert len(set(hatches.values())) == len(hatches) == 3


def test_outcomes_differ_in_shape_not_in_colour_alone():
    """Answers, refusals, failures and time-outs have their own marker and their count in the legend."""
    tables = nothing()
    status = np.array([200, 200, 404, 503, 0, -1])
    latency = np.array([1, 2, 3, 4, 5, NAN])
    columns = {"start_s": np.arange(6.0), "latency_s": latency, "status": status, "pod": np.full(6, "a")}
    tables.requests |= columns
    axis = latencies(of(tables)).axes[0]
    labels = [points.get_label() for points in axis.collections]
    assert labels == [
        "succeeded (2xx): 2", "refused (4xx): 1", "failed (5xx): 1", "timed out: 1", "in flight at the end: 1",
    ]  # fmt: skip
    assert len({points.get_paths()[0].vertices.tobytes() for points in axis.collections}) == 5


def test_the_dashboard_counts_every_request_once():
    """Volume times the width of an interval adds up to the requests; failures are where they ended."""
    run = measured("s5-step1to8-a")
    run.tables.requests["status"] = run.tables.requests["status"].copy()
    run.tables.requests["status"][:30] = 503
    axes = dashboard(run).axes
    counts = {}
    for line in axes[0].lines:
        x, y = line.get_data()
        counts[line.get_label()] = (y * (x[1] - x[0])).sum()
    assert counts["failed (5xx)"] == pytest.approx(30, rel=1e-5)
    assert sum(counts.values()) == pytest.approx(len(run.tables.requests["id"]), rel=1e-5)
    assert axes[1].lines[0].get_ydata()[0] < 100


def test_a_metric_outside_its_interval_is_crossed_out():
    """Inside is a disc, outside a cross; what was not measured is left out."""
    axis = intervals(METRICS).axes[0]
    shapes = [MarkerStyle(shape) for shape in ("o", "X")]
    marks = [one for one in axis.collections if isinstance(one, PathCollection)]
    wanted = [one.get_path().transformed(one.get_transform()) for one in shapes]
    assert [one.get_paths()[0].vertices.tolist() for one in marks] == [one.vertices.tolist() for one in wanted]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["p95", "p50"]
    assert [text.get_text().partition(" (")[0] for text in axis.texts] == ["10", "45"]


def test_long_runs_are_shown_in_minutes_hours_or_days():
    """The unit of the time axis follows the length of the run."""
    tables = measured().tables
    for end, unit in ((300, "[s]"), (3600, "[min]"), (86400, "[h]"), (10 * 86400, "[days]")):
        assert timeline(of(tables, end)).axes[-1].get_xlabel().endswith(unit)


times = st.integers(-5, 30).map(float)
lives = st.tuples(times, *[st.one_of(st.just(NAN), times)] * 4)


@settings(deadline=None)
@given(st.lists(lives, max_size=6), st.booleans())
def test_every_pod_is_in_one_state_at_a_time(rows, scheduling):
    """Counted pod by pod: pending until placed, starting until Ready, ready until deleted, terminating until gone."""
    ordered = [sorted(row, key=lambda t: np.inf if np.isnan(t) else t) for row in rows]
    names = ("created_s", "scheduled_s", "ready_s", "delete_requested_s", "gone_s")
    pods = {name: np.array([row[i] for row in ordered], dtype=float) for i, name in enumerate(names)}
    if not scheduling:
        del pods["scheduled_s"]
    moments = np.arange(-6, 32) + 0.5
    found = pods_by_state(pods, moments)
    for i, now in enumerate(moments):
        expected = dict.fromkeys(STATES, 0)
        for created, placed, ready, asked, gone in ordered:
            state = "pending" if created <= now else None
            state = "starting" if (placed if scheduling else created) <= now else state
            state = "ready" if ready <= now else state
            state = "terminating" if asked <= now else state
            state = None if gone <= now else state
            if state:
                expected[state] += 1
        assert {name: found[name][i] for name in STATES} == expected


def test_a_pod_removed_before_it_was_ready_drains_without_having_served():
    """A pod asked to go while starting never counts as ready, one asked to go while pending never as starting."""
    pods = {
        "created_s": np.array([0.0, 0.0]),
        "scheduled_s": np.array([1.0, NAN]),
        "ready_s": np.array([NAN, NAN]),
        "delete_requested_s": np.array([5.0, 5.0]),
        "gone_s": np.array([8.0, 8.0]),
    }
    found = pods_by_state(pods, np.array([3.0, 6.0, 9.0]))
    assert {name: counts.tolist() for name, counts in found.items()} == {
        "pending": [1, 0, 0],
        "starting": [1, 0, 0],
        "ready": [0, 0, 0],
        "terminating": [0, 2, 0],
    }


def test_colours_are_told_apart_by_colour_blind_readers():
    """Lines are drawn in the colours of Okabe and Ito."""
    palette = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"}
    used = {paper.BLACK, paper.ORANGE, paper.SKY, paper.GREEN, paper.BLUE, paper.VERMILLION, paper.PURPLE}
    assert used == palette


def test_paper_knows_every_colour_and_mark_of_the_charts():
    """What the page can show of a run, paper can."""
    for names, known in (("colours", paper.COLOURS), ("hatches", {"": "", **paper.HATCHES})):
        used = {look[place] for look in charts._AREAS.values() for place in ((0, 2) if names == "colours" else (1,))}
        assert used <= set(known), names
    assert {symbol for _, symbol, *_ in charts._OUTCOMES} <= set(paper.SYMBOLS)
