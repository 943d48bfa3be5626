"""The public Python interface: its names, their arguments, and results that notebooks show."""

import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

import kpasim
from kpasim.errors import RunError
from kpasim.results.tables import REQUIRED, Tables

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

SIGNATURES = {
    "load": ["path"],
    "simulate": ["experiment", "replications", "seed", "engine", "threads", "recorded", "progress"],
    "sweep": ["file", "out", "resume", "backend", "address", "processes", "engine", "progress"],
    "tune": ["experiment", "slo", "vary", "minimise", "probability", "budget", "engine", "progress"],
    "calibrate": [
        "files", "experiment", "name", "candidate", "without", "stages", "columns", "skip_bad", "direct", "draws",
        "seed", "effort", "progress", "service", "reproduce",
    ],
    "compare": [
        "folder", "replications", "service_times", "align", "seed", "engine", "tolerances", "progress",
        "report_places_ns",
    ],
}  # fmt: skip
"""Arguments that programs of others may use, in their order."""

POSITIONAL = {"load": 1, "simulate": 1, "sweep": 1, "tune": 2, "calibrate": 2, "compare": 1}


@pytest.fixture(scope="module")
def result():
    """A small run of the headline experiment."""
    return kpasim.simulate(kpasim.load(EXPERIMENTS / "hey50x5.yaml"), replications=3, engine="reference")


def test_a_file_is_as_good_as_an_experiment(result):
    """`simulate` takes a path as `sweep` and `tune` do, and plays the same."""
    found = kpasim.simulate(str(EXPERIMENTS / "hey50x5.yaml"), replications=3, engine="reference")

    assert found.summary == result.summary


def test_the_public_names_are_these():
    """`kpasim` offers its functions and its version, and says so."""
    assert set(kpasim.__all__) == {"__version__", "load", "simulate", "sweep", "tune", "calibrate", "compare"}
    assert dir(kpasim) == sorted(kpasim.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = kpasim.nonsense


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_keep_their_names_and_order(name):
    """A call that works today works tomorrow: all arguments but the first are given by name and have defaults."""
    parameters = inspect.signature(getattr(kpasim, name)).parameters

    assert list(parameters)[: len(SIGNATURES[name])] == SIGNATURES[name]
    for place, parameter in enumerate(parameters.values()):
        if place < POSITIONAL[name]:
            assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        else:
            assert parameter.kind is parameter.KEYWORD_ONLY
            assert parameter.default is not parameter.empty


def test_every_public_name_is_documented():
    """Each function says what it does, and the page of the Python reference tells of it."""
    page = (EXPERIMENTS.parent / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    for name in SIGNATURES:
        found = getattr(kpasim, name)
        assert inspect.getdoc(found)
        assert f"::: {found.__module__}.{name}" in page


@pytest.mark.parametrize("table", [*REQUIRED])
def test_tables_come_as_arrow(result, table):
    """Each table of a run is a pyarrow table with the same columns and rows."""
    tables = result.tables()
    found = tables.to_arrow(table)

    assert found.num_rows == len(next(iter(getattr(tables, table).values())))
    assert set(REQUIRED[table]) <= set(found.column_names)


def test_what_is_missing_is_null():
    """A time that never came, an unknown number and an empty word are null in pyarrow, not numbers."""
    tables = Tables(pods={"pod": np.array(["a", ""]), "gone_s": np.array([1.5, np.nan]), "restarts": np.array([-1, 2])})

    assert tables.to_arrow("pods").to_pydict() == {"pod": ["a", None], "gone_s": [1.5, None], "restarts": [None, 2]}


def test_tables_come_as_pandas(result):
    """A table is a pandas frame on request; whole numbers stay whole where some are missing."""
    pytest.importorskip("pandas", reason="needs the extra pandas")
    requests = result.tables().to_pandas("requests")
    scaling = result.tables().to_pandas("scaling")

    assert list(requests["status"].unique()) == [200]
    assert requests["latency_s"].max() == pytest.approx(result.tables().requests["latency_s"].max())
    assert str(scaling["desired"].dtype) == "Int64"


def test_an_unknown_table_is_named_with_the_known_ones(result):
    """A wrong name of a table is answered with the right ones."""
    with pytest.raises(RunError, match=r"no table is called 'request' \(one of requests, pods"):
        result.tables().to_arrow("request")


def test_a_result_shows_itself_in_a_notebook(result):
    """A notebook shows the figures with their intervals as a table; the experiment's name is no markup."""
    shown = result._repr_html_()

    assert shown.startswith("<table>")
    assert "p95" in shown
    assert "hey50x5: 3 replications" in shown
    result.experiment._path = Path("<script>.yaml")
    try:
        assert "<script>" not in result._repr_html_()
    finally:
        result.experiment._path = EXPERIMENTS / "hey50x5.yaml"


def test_pandas_is_asked_for_in_one_line(result, monkeypatch):
    """Without pandas the error says what to install."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(RunError, match=r"pip install 'kpasim\[pandas\]'"):
        result.tables().to_pandas("pods")
