"""The run folder, measured and simulated."""

import dataclasses
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.errors import RecordError
from kpasim.results.tables import (
    OPTIONAL,
    REQUIRED,
    Tables,
    empty_columns,
    read_run_folder,
    read_table,
    write_run_folder,
    write_table,
)
from tests.real_runs import folder, names


def same(one: Tables, other: Tables) -> bool:
    """Whether two runs hold the same columns and values, missing ones included."""
    for table in dataclasses.fields(Tables):
        a, b = getattr(one, table.name), getattr(other, table.name)
        assert list(a) == list(b)
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=f"{table.name}.{name}")
    return True


def test_all_measured_folders_are_read_and_written_again(tmp_path):
    """Each of the 94 recorded runs survives reading, writing and reading again."""
    assert len(names()) == 94
    for name in names():
        run, tables, summary = read_run_folder(folder(name))
        assert run["source"] == "measured"
        assert len(tables.requests["id"]) == summary["n"]
        assert tables.nodes == {}
        tables.requests = {key: np.round(v, 4) if v.dtype.kind == "f" else v for key, v in tables.requests.items()}
        write_run_folder(tmp_path / name, tables, run, summary)
        again, tables_again, summary_again = read_run_folder(tmp_path / name)
        assert again == run
        assert summary_again == summary
        assert same(tables, tables_again)
        shutil.rmtree(tmp_path / name)


def test_a_measured_folder_holds_what_its_files_say():
    """Types, missing cells and words arrive as the format promises."""
    _, tables, _ = read_run_folder(folder("s2-warm-def-b"))
    assert tables.requests["latency_s"][0] == 49.7275
    assert tables.requests["pod"][0] == "pod-b1cc5"
    assert tables.pods["created_s"][0] == -65.918
    assert tables.scaling["desired"][:5].tolist() == [-1, -1, -1, -1, -1]
    assert tables.scaling["pa_active"][-1] == "False"
    assert tables.ticks["panic_mode"].dtype == np.int64


SIMULATED = Tables(
    requests={
        **{name: np.array([1, 2]) for name, kind in REQUIRED["requests"].items() if kind == "count"},
        **{name: np.array([0.5, np.nan]) for name, kind in REQUIRED["requests"].items() if kind == "time"},
        "start_s": np.array([0.0, 1e6]),
        "status": np.array([200, -1]),
        "pod": np.array(["a,b", ""]),
        "error": np.array(["", 'says "no",\nthen\nstops']),
        "activator": np.array([0, -1]),
    },
    pods={**empty_columns("pods"), "stage_pull_s": np.array([]), "unknown": np.array([])},
    ticks={**empty_columns("ticks"), "rule": np.array([], dtype=str)},
    scaling=empty_columns("scaling"),
    nodes={
        "node": np.array(["n1"]),
        "instance_type": np.array(["gpu"]),
        "created_s": np.array([-1.0]),
        "ready_s": np.array([-0.00001]),
        "gone_s": np.array([np.nan]),
        "gpus": np.array([4]),
    },
)


def test_a_simulated_folder_keeps_its_further_columns(tmp_path):
    """Optional columns, nodes, quoted words and empty tables come back; columns nobody knows do not."""
    write_run_folder(tmp_path, SIMULATED, {"source": "simulated"}, None)
    run, tables, summary = read_run_folder(tmp_path)
    assert run == {"format": 1, "source": "simulated"}
    assert summary == {}
    assert tables.requests["error"].tolist() == SIMULATED.requests["error"].tolist()
    assert tables.requests["activator"].tolist() == [0, -1]
    assert "stage_pull_s" in tables.pods
    assert "unknown" not in tables.pods
    assert tables.nodes["gpus"].tolist() == [4]
    assert "-0.0000" not in (tmp_path / "nodes.csv").read_text()
    assert (tmp_path / "requests.csv").read_text().splitlines()[1].startswith("1,0.0000,0.5000,200,")


def test_unknown_columns_and_keys_are_ignored(tmp_path):
    """A folder that knows more than we do is read without a word."""
    shutil.copytree(folder("s6-single-req"), tmp_path / "run")
    pods = tmp_path / "run" / "pods.csv"
    lines = pods.read_text().splitlines()
    pods.write_text("\n".join(f"{line},{'colour' if i == 0 else 'blue'}" for i, line in enumerate(lines)))
    run, tables, _ = read_run_folder(tmp_path / "run")
    assert "colour" not in tables.pods
    assert run["workload"]["kind"]


REQUEST = "1,0.1,1.0,200,pod-a,1.0,0.2,0.2,1.2"
HEADER = ",".join(REQUIRED["requests"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "requests.csv:1: no column named id, start_s"),
        (HEADER.replace("latency_s", "latency"), "requests.csv:1: no column named latency_s"),
        (f"{HEADER}\n{REQUEST}\n{REQUEST[:-3]}x\n", ":3: server_end_s: must be a number or empty (it is 'x')"),
        (f"{HEADER}\n{REQUEST.replace('200', '2OO')}\n", ":2: status: must be a whole number or empty (it is '2OO')"),
        (f"{HEADER}\n{REQUEST.replace('200', '1e400')}\n", "requests.csv:2: status: must be a whole number"),
        (f"{HEADER}\n{REQUEST.replace('200', '9' * 30)}\n", "requests.csv:2: status: must be a whole number"),
        (f"{HEADER}\n{REQUEST.replace('200', '1000')}\n", "requests.csv:2: status: must be an HTTP status"),
        (f"{HEADER}\n{REQUEST},5\n", "requests.csv:2: 10 values where the header names 9 columns"),
        (f"{HEADER}\n{REQUEST.replace(',1.0,', ',-1.0,', 1)}\n", "requests.csv:2: latency_s: must not be negative"),
        (f"{HEADER}\n{REQUEST.replace(',0.1,', ',,', 1)}\n", "requests.csv:2: start_s: is missing"),
        (f"{HEADER}\n{REQUEST.replace(',0.1,', ',inf,', 1)}\n", "requests.csv:2: start_s: must be a number"),
        (f'{HEADER}\n1,"0.1', "requests.csv:3: not a CSV file"),
    ],
)
def test_a_malformed_table_names_file_and_line(tmp_path, text, message):
    """Each kind of damage to a table is one line: file, line, column, what is wrong."""
    path = tmp_path / "requests.csv"
    path.write_text(text)
    with pytest.raises(RecordError) as caught:
        read_table(path, "requests")
    assert message in str(caught.value)


def test_many_problems_are_counted(tmp_path):
    """Five problems are spelt out, the rest counted, in the order of the file."""
    path = tmp_path / "requests.csv"
    path.write_text("\n".join([HEADER, *["1,a,b,200,p,1,1,1,1"] * 5]))
    with pytest.raises(RecordError) as caught:
        read_table(path, "requests")
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert lines[0].startswith(f"{path}:2: ")
    assert lines[-1] == f"{path}: and 5 more problems of the kind"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.json", None, "run.json: cannot be read: No such file"),
        ("run.json", "{", "run.json:1: not JSON"),
        ("run.json", "[" * 100_000, "run.json: not JSON"),
        ("run.json", "[]", "run.json:1: must hold one JSON object"),
        ("run.json", '{"format": 2}', "run.json: format: must be 1"),
        ("run.json", "{}", "run.json: format: must be 1"),
        ("run.json", '{"format": true}', "run.json: format: must be 1"),
        ("pods.csv", None, "pods.csv: cannot be read: No such file"),
        ("pods.csv", b"\xff\xfe", "pods.csv:1: not a CSV file"),
        ("summary.json", b"\xff", "summary.json: not JSON"),
    ],
)
def test_a_damaged_folder_names_the_file(tmp_path, name, text, message):
    """A missing, foreign or newer file is one line that says which."""
    shutil.copytree(folder("s6-single-req"), tmp_path / "run")
    path = tmp_path / "run" / name
    path.unlink()
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecordError) as caught:
        read_run_folder(tmp_path / "run")
    assert message in str(caught.value)


def test_a_table_without_its_columns_is_our_mistake(tmp_path):
    """Writing a table that lacks a column of the format is refused."""
    with pytest.raises(ValueError, match="lacks"):
        write_table(tmp_path / "pods.csv", "pods", {"pod": np.array(["a"])})


def test_no_column_has_two_meanings():
    """A name is either required or optional."""
    for table, columns in REQUIRED.items():
        assert not columns.keys() & OPTIONAL[table].keys()


MOMENTS = st.integers(-(10**9), 10**9).map(lambda x: x / 10_000)
VALUES = {
    "time": st.one_of(st.just(float("nan")), MOMENTS),
    "number": st.one_of(st.just(float("nan")), st.integers(-(10**12), 10**12).map(lambda x: x / 1e6)),
    "count": st.integers(-1, 2**60),
    "word": st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=8),
}


@settings(deadline=None, max_examples=60)
@given(data=st.data(), table=st.sampled_from(sorted(REQUIRED)), rows=st.integers(0, 5))
def test_any_table_survives_its_file(tmp_path_factory, data, table, rows):
    """Whatever a run holds, at the resolution of the format, is read as it was written."""
    columns = {}
    for name, kind in {**REQUIRED[table], **OPTIONAL[table]}.items():
        values = st.integers(-1, 599) if name == "status" else VALUES[kind]
        if name == "latency_s":
            values = values.map(abs)
        if name in ("start_s", "t_s", "created_s"):
            values = MOMENTS
        drawn = data.draw(st.lists(values, min_size=rows, max_size=rows))
        columns[name] = np.array(drawn, dtype=None if rows else float)
    path = tmp_path_factory.mktemp("t") / f"{table}.csv"
    write_table(path, table, columns)
    again = read_table(path, table)
    assert list(again) == list(columns)
    for name, column in columns.items():
        np.testing.assert_array_equal(column, again[name], err_msg=name)
