"""Figures of sweeps: what they hold, and that the same sweep gives the same files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpasim.report.paper import save_all
from kpasim.report.sweep_charts import front_chart
from kpasim.report.sweep_figures import distinct, front, heat_map, small_multiples, strongest, sweep_figures
from kpasim.studies.grid.result import SweepResult, step_text

SMALL, LARGE = "service.annotations.min-scale", "service.annotations.max-scale"


def result_of(first: list[Any], second: list[Any] | None = None, **more: Any) -> SweepResult:
    """A sweep of one or two axes whose cost falls with the first one and whose latency rises with it."""
    axes = [SMALL] if second is None else [SMALL, LARGE]
    settings = [dict(zip(axes, (a, b), strict=False)) for a in first for b in second or [0]]
    rng = np.random.default_rng(2)
    place = np.array([float(first.index(one[SMALL])) for one in settings])[:, np.newaxis]
    noise = rng.normal(0, 0.01, (len(settings), 20))
    about = {
        "name": "made-up",
        "axes": axes,
        "settings": settings,
        "replications": 20,
        "refused": [],
        "currency": "USD",
        "per_month": False,
        "percentiles": ["p95"],
        "most_errors": 0.01,
        **more,
    }
    figures = {
        "cost.amount": 10.0 - place + noise,
        "latency_s.p95": 5.0 + 3 * place + noise,
        "requests": np.full(noise.shape, 100.0),
        "ok": np.full(noise.shape, 100.0),
        "errors": np.zeros(noise.shape),
        "horizon_s": np.full(noise.shape, 60.0),
    }
    return SweepResult(about, figures)


def texts(figure: Any) -> str:
    """All words of a figure."""
    import matplotlib.text

    return " ".join(one.get_text() for one in figure.findobj(matplotlib.text.Text))


def test_the_front_names_its_points() -> None:
    """Each point that differs significantly has a number, and a line that says what it is."""
    words = texts(front(result_of([0, 1, 2])))
    assert "cost [USD per run]" in words
    for line in (" 1  8", " 2  9", " 3  10 ", "USD per run, p95 5 s:  min-scale 0"):
        assert line in words


def test_a_single_slow_setting_does_not_hide_the_others() -> None:
    """Latencies that differ by factors stand on a logarithmic scale, on paper and on the page, and the axis says so."""
    narrow, wide = result_of([0, 1, 2]), result_of([*range(3), *range(20, 160, 10)])

    assert front(narrow).axes[0].get_yscale() == "linear"
    assert "type" not in front_chart(narrow, "p95")["layout"]["yaxis"]
    assert front(wide).axes[0].get_yscale() == "log"
    low, high = front(wide).axes[0].get_ylim()
    assert 2 < low < 5
    assert 53 < high < 120
    assert "p95 latency [s], logarithmic" in texts(front(wide))
    assert front_chart(wide, "p95")["layout"]["yaxis"]["type"] == "log"
    assert "logarithmic" in front_chart(wide, "p95")["layout"]["yaxis"]["title"]["text"]


@pytest.mark.parametrize("draw", [front, small_multiples])
def test_a_legend_hides_no_point(draw: Any) -> None:
    """It stands above the panel."""
    figure = draw(result_of([0, 1, 2], now={SMALL: 0}))
    figure.canvas.draw()

    for axis in figure.axes:
        if legend := axis.get_legend():
            assert legend.get_window_extent().y0 >= axis.get_window_extent().y1


def test_the_front_shows_where_one_is_now() -> None:
    """The setting that is the experiment as it is has a mark of its own, where the sweep has it."""
    assert "as it is now" in texts(front(result_of([0, 1, 2], now={SMALL: 1})))
    assert "as it is now" not in texts(front(result_of([0, 1, 2], now={})))


def test_points_without_a_significant_difference_share_a_name() -> None:
    """Only the cheapest of them is named."""
    result = result_of([0, 1, 2])
    points = result.pareto()
    assert len(distinct(points, "p95")) == len(points) == 3
    points[0]["next"]["p95_significant"] = False
    assert [point["setting"] for point in distinct(points, "p95")] == [points[0]["setting"], points[2]["setting"]]


def test_a_step_says_what_is_sure_of_it() -> None:
    """Both changes, the one that is sure, or that nothing is."""
    step = result_of([0, 1, 2]).pareto()[0]["next"]
    assert step["significant"]
    assert step["paired"]
    assert step_text(step, "p95") == "+0.998, -3 s"
    unknown = {"cost_significant": False, "cost_verdict": "no significant difference"}
    assert step_text({**step, **unknown}, "p95") == "cost: no significant difference, -3 s"
    both = {"p95_significant": False, "p95_verdict": "no significant difference"}
    assert step_text({**step, **both}, "p95") == "+0.998, p95: no significant difference"
    assert step_text({**step, **unknown, **both}, "p95") == "no significant difference"
    assert step_text(None, "p95") == ""


def test_who_fails_is_drawn_apart() -> None:
    """A setting with many errors is a cross, not a point of the front."""
    result = result_of([0, 1, 2])
    result.figures["ok"][2] = result.figures["errors"][2] = 50.0
    assert 2 not in result.front("p95")
    assert "more than 1 % errors" in texts(front(result))


@pytest.mark.parametrize("second", [["a"], [1, 2, 3], list(range(40))])
def test_a_heat_map_has_a_cell_for_each_pair(second: list[Any]) -> None:
    """Numbers of many values are put into groups, and few cells have their numbers written in them."""
    figure = heat_map(result_of([0, 1, 2], second))
    shapes = [image.get_array().shape for axis in figure.axes for image in axis.get_images()]
    columns = 8 if len(second) > 8 else len(second)
    assert sorted(shapes[0]) == sorted((3, columns))
    assert "10" in texts(figure)


def test_a_heat_map_takes_the_axes_that_matter() -> None:
    """Which two is decided by how much of the variance they explain."""
    result = result_of([0, 1, 2], [1, 2])
    assert strongest(result, "p95") == (SMALL, LARGE)
    assert "min-scale" in texts(heat_map(result, axes=(LARGE, SMALL)))


def test_small_multiples_have_a_column_for_each_axis() -> None:
    """Cost above, latency below."""
    figure = small_multiples(result_of([0, 1], ["a", "b"]))
    assert len(figure.axes) == 4
    assert "default" in texts(small_multiples(result_of([None, 1])))


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    """To the byte; with one axis there is no heat map."""
    result = result_of([0, 1, 2], [1, 2])
    one = save_all(sweep_figures(result), tmp_path / "one", ["svg"])
    other = save_all(sweep_figures(result), tmp_path / "other", ["svg"])
    assert sorted(path.name for path in one) == ["axes.svg", "front.svg", "heatmap.svg"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
    assert len(sweep_figures(result_of([0, 1]))) == 2
