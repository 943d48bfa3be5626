"""Measured files are recognised by what is in them, and never end in a traceback."""

import bz2
import gzip
import lzma
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.errors import RecordError
from kpasim.records import read, source
from kpasim.records import record as record_module
from kpasim.records.record import Record
from tests.real_runs import folder
from tests.records.examples import KUBECTL_LIST, VALID

KINDS = sorted(VALID)


@pytest.fixture
def file(tmp_path):
    """Writes content to a file whose name says nothing."""

    def write(content):
        path = tmp_path / "measured"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_content_tells_the_kind(file, kind):
    """A file of every kind is taken for what it is, without its name's help."""
    found = read(file(VALID[kind]))
    assert found.kind == kind
    assert found.skipped == 0


@pytest.mark.parametrize("kind", KINDS)
def test_files_say_whether_durations_are_what_clients_waited(file, kind):
    """So are those of load tools; other tools stand in test_tools. No file else knows how its clients sent."""
    clients = {"vegeta": "open", "hey-csv": "closed", "k6": "closed"}
    wanted = next((how for name, how in clients.items() if kind.startswith(name)), "")
    assert read(file(VALID[kind])).clients == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_requests_come_in_one_shape(file, kind):
    """Requests have the same four columns, in order of start, counted from second 0."""
    requests = read(file(VALID[kind])).requests
    if not requests:
        return
    assert list(requests)[:4] == ["start_s", "duration_s", "status", "censored"]
    assert len({len(column) for column in requests.values()}) == 1
    assert requests["censored"].dtype == bool
    start = requests["start_s"]
    assert (np.diff(start[~np.isnan(start)]) >= 0).all()
    assert np.nanmin(start) >= 0


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_packed_files_are_unpacked(file, pack):
    """A packed file is read like the plain one."""
    plain, packed = read(file(VALID["csv"])), read(file(pack(VALID["csv"])))
    np.testing.assert_array_equal(plain.requests["duration_s"], packed.requests["duration_s"])


def test_marks_at_the_beginning_do_not_matter(file):
    """A byte order mark, UTF-16 as some shells write it, and blank lines before the header change nothing."""
    text = VALID["hey-csv"].decode()
    expected = read(file(text)).requests["duration_s"]
    for content in (text.encode("utf-8-sig"), text.encode("utf-16"), "\n\n" + text, text.replace("\n", "\r\n")):
        np.testing.assert_array_equal(read(file(content)).requests["duration_s"], expected)


def test_a_run_folder_is_read_by_its_folder_or_its_run_json():
    """Both lead to the same requests, pods and tables; the client's time-outs are censored."""
    found = read(folder("s2-warm-def-b"))
    assert found.kind == read(folder("s2-warm-def-b") / "run.json").kind == "run-folder"
    assert found.requests["duration_s"][0] == 49.7275
    assert found.requests["service_s"][0] == 10.8685
    assert found.run["container"]["slots"] == 1
    assert len(found.pods["pod"]) == 5
    assert found.tables.ticks["t_s"][0] == -3.89
    assert not found.requests["censored"].any()


def test_a_folder_without_a_run_says_what_leaves_one(tmp_path):
    """A folder that holds something else is named, and the commands that leave run folders."""
    with pytest.raises(RecordError, match=r"run\.json: cannot be read: .* \(kpasim run --out and validate leave one\)"):
        read(tmp_path)


def test_a_damaged_run_folder_can_be_used_in_part(tmp_path):
    """Malformed rows of its tables are counted and left out, or raised with file and line."""
    shutil.copytree(folder("s2-warm-def-b"), tmp_path / "run")
    path = tmp_path / "run" / "requests.csv"
    lines = path.read_text().splitlines()
    lines[3] = "3,0.0006,x,200,pod-b1cc5,8.8097,30.0468,30.0470,38.8568"
    lines[7] = "7,18.0347"
    path.write_text("\n".join(lines))
    with pytest.raises(RecordError, match=r"requests\.csv:4: latency_s: must be a number"):
        read(tmp_path / "run")
    found = read(tmp_path / "run", skip_bad=True)
    assert len(found.requests["start_s"]) == 48
    assert found.skipped == 2
    wrong = "requests.csv latency_s: must be a number or empty (it is 'x')"
    assert found.notes == [f"2 malformed lines were left out (first at line 4: {wrong})"]


MALFORMED = {
    "hey-csv": ("0.0", "0,0", 2, "9 values where hey writes 8"),
    "vegeta-json": ('"latency": 1500000000', '"latency": "soon"', 1, "latency: must be a number (it is 'soon')"),
    "vegeta-csv": (",200,", ",2000,", 1, "code: must be an HTTP status or 0 (it is '2000')"),
    "k6-json": ('"value": 10500', '"value": true', 2, "data.value: must be a number (it is True)"),
    "k6-csv": ("10500.000000", "-1", 3, "metric_value: must not be below 0 (it is '-1')"),
    "azure-2019": ("o1,a1,f1,http,0", "o1,a1,f1,http,x", 2, "minute 1: must be a number (it is 'x')"),
    "azure-2019-durations": ("1500,4", "1500,four", 2, "Count: must be a number (it is 'four')"),
    "azure-2021": ("12.5,2.5", "12.5,-2.5", 2, "duration: must not be below 0 (it is '-2.5')"),
    "gentd26": ("2024-11-15 16:57:50", "yesterday", 2, "gmt_create: must be a date and time (it is 'yesterday')"),
    "gentd26-latency": ("3000.0", "inf", 2, "value: must be a number (it is 'inf')"),
    "gentd26-qps": ("0.09,,", "0.09,", 2, "3 values where the header names 4 columns"),
    "csv": ("20000,0,b", "20000,0", 3, "3 values where the header names 4 columns"),
    "hey-summary": ("  50% in", "  50% on", 29, "not a line of hey's latency distribution: '50% on 0.0601 secs'"),
    "kubectl-pods": ('"2026-03-01T10:00:40Z"', '"soon"', 248, "metadata.creationTimestamp: must be a date and time"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_malformed_line_is_named_or_skipped(file, kind):
    """A damaged line is reported with its number; skipping uses the rest and says how many were left out."""
    old, new, line, message = MALFORMED[kind]
    text = VALID[kind].decode()
    assert old in text
    path = file(text.replace(old, new, 1))
    with pytest.raises(RecordError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:{line}: {message}")
    if kind in ("gentd26-qps", "azure-2019-durations"):  # the only row
        with pytest.raises(RecordError, match="no line could be read"):
            read(path, skip_bad=True)
    else:
        found = read(path, skip_bad=True)
        assert found.skipped == 1
        assert any("1 malformed line was left out" in note for note in found.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"hello world\nthis is prose\n", "no kind of file that is known"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "no kind of file that is known"),
        (b"[1, 2]", "JSON of no kind that is known"),
        (b'{"a": 1}', "JSON of no kind that is known"),
        (b"{" * 50_000, "JSON of no kind that is known"),
        (b"a,b,c\n1,2,3\n", "no kind of file that is known"),
        (b"start_s\n", "no row below the header"),
        (b"hello\n" + b"\n" * 65_000, "no kind of file that is known"),  # no form is looked for line by line to the end
        (b'{"DurationHistogram": {"Data": []}, "RetCodes": [1]}', "RetCodes: must be an object (it is list)"),
        (gzip.compress(VALID["csv"], mtime=0)[:40], "cannot be read: Compressed file ended"),
        (b"\x1f\x8b" + b"junk" * 20, "cannot be read"),
        (b"\xfd7zXZ\x00" + b"junk" * 20, "cannot be read"),
        (b"BZh" + b"junk" * 20, "cannot be read"),
        (b"\x7f\xff\x81\x03\x01\x01\x06Result\x01\xff\x82", "vegeta encode --to csv"),
        (b"Aggregated Function Time : count 40 avg 2.1 +/- 0.08 min 2 max 2.3 sum 84\n", "fortio load -json"),
        (b"RUN\tSim\tsim\t1700000000000\t \t3.9\nREQUEST\t\tx\t1\t2\tOK\t \n", "a log of Gatling"),
        (b"       Value     Percentile TotalCount 1/(1-Percentile)\n", "percentiles of HdrHistogram"),
        (b"Method,Name,Error,Occurrences\nPOST,/x,HTTPError,3\n", "Locust's errors"),
        (b'{"spec": {"numberOfConnections": 1}, "result": {}}', "a report of bombardier"),
        (b'{"transactions": 40, "availability": 100.0, "response_time": 2.1}', "a report of siege"),
        (b'{"Total": {"transaction": "Total", "pct1ResTime": 2200.0}}', "JMeter's statistics"),
        (b'[{"httpRequest": {"latency": "2.1s"}}]', "JSON of no kind that is known"),
        (b'{"kind": "Service", "apiVersion": "v1"}', "kind: must be Pod (it is 'Service')"),
        (b'{"kind": "List", "apiVersion": "v1", "items": []}', "no pod in it"),
        (b'{"kind": "List", "apiVersion": "v1", "items": {}}', "items: must be a list"),
        (b'{"kind": "Pod", "apiVersion": "v1"} true', "must be a JSON object (it is True)"),
        (b'{"type": "GONE", "object": {}}', "type: must be one of ADDED, DELETED, MODIFIED (it is 'GONE')"),
    ],
)
def test_other_files_are_refused_in_one_line(file, content, message):
    """What is none of the known kinds, empty or damaged says so."""
    with pytest.raises(RecordError) as caught:
        read(file(content))
    assert message in str(caught.value)


def test_missing_files_are_refused(tmp_path):
    """A path that does not exist, and a folder that is no run, are each one line."""
    with pytest.raises(RecordError, match="No such file"):
        read(tmp_path / "none")
    with pytest.raises(RecordError, match=r"run\.json: cannot be read"):
        read(tmp_path)


def test_what_is_too_large_is_refused(file, monkeypatch):
    """Limits hold for the unpacked size, for a line, for rows and for texts held in memory."""
    packed = gzip.compress(b"start_s,duration_s\n" + b"0,0\n" * 30_000_000, compresslevel=1)
    assert len(packed) < 1_000_000
    with pytest.raises(RecordError, match="larger than 100 MiB once unpacked"):
        read(file(packed))
    monkeypatch.setattr(source, "MAX_BYTES", 10_000)
    with pytest.raises(RecordError, match="larger than"):
        read(file("start_s\n" + "1\n" * 100_000))
    monkeypatch.undo()
    monkeypatch.setattr(source, "MAX_TEXT", 100)
    with pytest.raises(RecordError, match="larger than"):
        read(file(VALID["hey-summary"]))
    monkeypatch.undo()
    monkeypatch.setattr(source, "MAX_LINE", 50)
    long = "start_s\n1\n" + "2" * 1000 + "\n3\n"
    with pytest.raises(RecordError, match="measured:3: a line of more than 50 characters"):
        read(file(long))
    assert read(file(long), skip_bad=True).requests["start_s"].tolist() == [1, 3]
    monkeypatch.setattr(record_module, "MAX_ROWS", 1)
    with pytest.raises(RecordError, match="more than 1 rows"):
        read(file("start_s\n1\n2\n"))


def outcome(path, skip_bad):
    """The record, or what the error says."""
    try:
        return read(path, skip_bad)
    except RecordError as error:
        return str(error)


def never_a_traceback(path, content):
    """Reading these bytes gives a record or a RecordError of lines that name the file."""
    path.write_bytes(content)
    for skip_bad in (False, True):
        said = outcome(path, skip_bad)
        assert isinstance(said, Record) or all(line.startswith(str(path)) for line in said.split("\n"))


@settings(deadline=None, max_examples=200)
@given(content=st.binary(max_size=400))
def test_random_bytes_are_no_traceback(tmp_path_factory, content):
    """Any bytes at all are read or refused."""
    never_a_traceback(tmp_path_factory.getbasetemp() / "bytes", content)


junk = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [b"\n", b",", b'"', b"{", b"}", b"[", b"\x00", b"\xff", b"NaN", b"1e999", b"9" * 5000, b"-", b"null"]
    ),
)
mutations = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), junk), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", [*KINDS, "kubectl-list", "hey-gz"])
@settings(deadline=None, max_examples=60)
@given(mutations=mutations)
def test_damaged_files_are_no_traceback(tmp_path_factory, kind, mutations):
    """A valid file with pieces cut out and others put in is read or refused."""
    extra = {"kubectl-list": KUBECTL_LIST.encode(), "hey-gz": gzip.compress(VALID["hey-csv"], mtime=0)}
    content = (VALID | extra)[kind]
    for where, length, piece in mutations:
        place = int(where * len(content))
        content = content[:place] + piece + content[place + length :]
    never_a_traceback(tmp_path_factory.getbasetemp() / "damaged", content)


@settings(deadline=None, max_examples=60)
@given(
    table=st.sampled_from(["run.json", "requests.csv", "pods.csv", "ticks.csv", "summary.json"]), mutations=mutations
)
def test_damaged_run_folders_are_no_traceback(tmp_path_factory, table, mutations):
    """A run folder with damage in any of its files is read or refused."""
    path = tmp_path_factory.getbasetemp() / "run"
    shutil.copytree(folder("s6-single-req"), path, dirs_exist_ok=True)
    content = (path / table).read_bytes()
    for where, length, piece in mutations:
        place = int(where * len(content))
        content = content[:place] + piece + content[place + length :]
    (path / table).write_bytes(content)
    for skip_bad in (False, True):
        said = outcome(path, skip_bad)
        assert isinstance(said, Record) or table in said
