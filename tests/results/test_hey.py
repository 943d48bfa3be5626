"""Hey's own report, as the real tool printed it on a loopback server (tests/results/hey) and as we print it."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpasim.results.hey import TIMED_OUT, HeyReport, parse, report
from kpasim.results.summary import summarise
from kpasim.results.tables import read_run_folder
from tests.real_runs import folder

RECORDED = sorted(Path(__file__).with_name("hey").glob("*.txt"))
NAN = float("nan")


def requests_of(rows, **more):
    """Columns from rows (start, latency, status)."""
    start, latency, status = zip(*rows, strict=True) if rows else ((), (), ())
    columns = {
        "start_s": np.array(start, float),
        "latency_s": np.array(latency, float),
        "status": np.array(status, int),
    }
    return columns | more


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_reports_are_rendered_to_the_same_bytes(path):
    """Whatever the real tool printed is read without a problem and written back byte for byte."""
    text = path.read_bytes().decode()
    found, problems = parse(text)
    assert problems == []
    assert found.text() == text


def test_the_recordings_cover_what_matters():
    """Time-outs, other statuses, -z, nothing but failures, -c not dividing -n and a single request are among them."""
    found = {path.stem: parse(path.read_text())[0] for path in RECORDED}
    assert sum(found["timeouts"].errors.values()) == 10
    assert found["nonmult-mixed"].statuses == {200: 68, 404: 15, 500: 17}
    assert found["nonmult-mixed"].requests == 100
    assert found["z3"].requests == 184
    assert math.isnan(found["allfailed"].average)
    assert found["allfailed"].percentiles == found["allfailed"].histogram == ()
    assert found["one"].percentiles == ((0, 0.0),) * 7
    assert next(iter(found["refused"].errors)).endswith("connection refused")


def test_the_published_report_holds_its_numbers():
    """The headline run's figures, histogram and percentiles are read as published."""
    found, _ = parse(Path(__file__).with_name("hey").joinpath("published-50x5.txt").read_text())
    assert (found.total, found.slowest, found.fastest, found.average, found.rps) == (
        252.1749,
        62.4155,
        9.9399,
        23.9748,
        0.1983,
    )
    assert found.histogram[1] == (15.187, 17)
    assert sum(count for _, count in found.histogram) == found.requests == 50
    assert found.percentiles[5:] == ((95, 61.5010), (0, 0.0))
    assert found.details[3] == (23.8850, 9.9089, 62.3562)
    assert found.trimmed


def test_requests_become_a_report_in_heys_layout():
    """A report of known requests, written out in full."""
    rows = [(0, 1.5, 200), (0, 2.0, 200), (1.5, 1.0, 503), (2, 20, 0), (3, NAN, -1)]
    text = report(requests_of(rows), address="http://a/b", size_total=30).text()
    bars = "■" * 40
    middle = "".join(f"  {1 + 0.1 * k:.3f} [{int(k == 5)}]\t|{bars if k == 5 else ''}\n" for k in range(1, 10))
    nothing = "  0% in 0.0000 secs\n"
    assert text == (
        "\nSummary:\n  Total:\t22.0000 secs\n  Slowest:\t2.0000 secs\n  Fastest:\t1.0000 secs\n"
        "  Average:\t1.5000 secs\n  Requests/sec:\t0.1818\n  \n"
        "  Total data:\t30 bytes\n  Size/request:\t10 bytes\n\n"
        f"Response time histogram:\n  1.000 [1]\t|{bars}\n{middle}  2.000 [1]\t|{bars}\n\n\n"
        f"Latency distribution:\n  10% in 1.5000 secs\n  25% in 2.0000 secs\n{nothing * 5}\n"
        "Details (average, fastest, slowest):\n  DNS+dialup:\t0.0000 secs, 1.0000 secs, 2.0000 secs\n"
        "  DNS-lookup:\t0.0000 secs, 0.0000 secs, 0.0000 secs\n  req write:\t0.0000 secs, 0.0000 secs, 0.0000 secs\n"
        "  resp wait:\t1.5000 secs, 1.0000 secs, 2.0000 secs\n  resp read:\t0.0000 secs, 0.0000 secs, 0.0000 secs\n\n"
        "Status code distribution:\n  [200]\t2 responses\n  [503]\t1 responses\n\n"
        f'Error distribution:\n  [1]\tGet "http://a/b": {TIMED_OUT}\n\n'
    )


def test_nothing_but_time_outs_looks_like_heys_own():
    """The layout of a run in which every request failed is that of the recorded one."""
    recorded = Path(__file__).with_name("hey").joinpath("allfailed.txt").read_text()
    rows = [(0, 1.001, 0)] * 5 + [(1.001, 1.001, 0)] * 5
    ours = report(requests_of(rows), address="http://127.0.0.1:8123/never").text()
    assert ours.replace("4.9950", "4.9951") == recorded


def test_the_summary_and_the_report_agree():
    """On a recorded run the report's numbers are those under `hey` in the summary."""
    _, tables, _ = read_run_folder(folder("s2-warm-def-b"))
    found, figures = report(tables.requests), summarise(tables)["hey"]
    for name in ("total", "slowest", "fastest", "average", "rps"):
        assert getattr(found, name) == pytest.approx(figures[name], abs=1e-6)
    assert found.percentiles[:6] == tuple((p, pytest.approx(figures[f"p{p}"])) for p in (10, 25, 50, 75, 90, 95))
    assert figures["p99"] is None
    assert found.percentiles[6] == (0, 0.0)


def test_first_bytes_split_waiting_from_reading():
    """Where the first byte is known, waiting ends there and reading follows; where it is not, all is waiting."""
    columns = requests_of([(1, 4, 200), (2, 2, 200)], first_byte_s=np.array([4.0, NAN]))
    assert report(columns).details[3:] == ((2.5, 2.0, 3.0), (0.5, 0.0, 1.0))


def test_error_texts_are_counted_by_text():
    """Errors with a text of their own are listed under it, in order of text."""
    rows = [(0, 1, 0), (0, 1, 0), (0, 1, 0)]
    found = report(requests_of(rows, error=np.array(["refused", "", "refused"])))
    assert list(found.errors.items()) == [(TIMED_OUT, 1), ("refused", 2)]


def test_a_report_that_travelled_through_a_page_is_read():
    """Carriage returns, spaces for tabs and a shell prompt before it change no number."""
    text = RECORDED[0].with_stem("ok200").read_text()
    travelled = "$ hey -n 200 URL\r\n" + text.replace("\t", "  ").replace("\n", "\r\n")
    found, problems = parse(travelled)
    expected, _ = parse(text)
    assert problems == []
    assert found == expected


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("Total:\t1.", "Total:\tx.", 3, "not a line of hey's summary: 'Total:"),
        ("  10% in", "  10% within", 27, "not a line of hey's latency distribution"),
        ("[200]\t200 responses", "[200]\tall responses", 43, "not a line of hey's status code distribution"),
        ("  DNS-lookup", "  DNS-look", 37, "not a line of hey's details (average, fastest, slowest)"),
    ],
)
def test_a_malformed_line_is_named(old, new, line, message):
    """A damaged line is reported with its number; the others are read."""
    text = RECORDED[0].with_stem("ok200").read_text()
    assert old in text
    found, problems = parse(text.replace(old, new, 1))
    assert (problems[0].line, problems[0].message[: len(message)]) == (line, message)
    assert found.slowest > 0


def test_other_text_is_no_report():
    """A text without a summary, and a summary without a total, are each one problem."""
    assert [problem.message for problem in parse("hello")[1]] == ["no summary of hey: no line says 'Summary:'"]
    assert [problem.place for problem in parse("Summary:\n")[1]] == ["Total"]


seconds = st.integers(1, 10**7).map(lambda x: x / 1000)
numbers = st.integers(0, 10**9).map(lambda x: x / 10_000)
counts = st.integers(1, 10**6)
reports = st.builds(
    HeyReport,
    *[numbers] * 3,
    st.one_of(numbers, st.just(NAN)),
    numbers,
    st.lists(st.tuples(st.integers(0, 10**6).map(lambda x: x / 1000), counts), max_size=11).map(tuple),
    st.lists(st.tuples(st.integers(0, 99), numbers), max_size=7).map(tuple),
    st.lists(st.tuples(numbers, numbers, numbers), min_size=5, max_size=5).map(tuple),
    st.dictionaries(st.integers(100, 599), counts, max_size=4),
    st.dictionaries(st.text(st.characters(categories=("L", "N", "P")), min_size=1), counts, max_size=3),
    size_total=counts,
    size_request=counts,
)


@settings(deadline=None)
@given(reports, st.booleans())
def test_any_report_survives_its_text(found, trimmed):
    """Whatever a report holds, its text is read without a problem and rendered again to the same bytes."""
    text = HeyReport(**{**vars(found), "trimmed": trimmed}).text()
    again, problems = parse(text)
    assert problems == []
    assert again.text() == text
    assert again.requests == found.requests


@settings(deadline=None)
@given(st.lists(st.tuples(seconds, seconds, st.sampled_from([0, 200, 404, 500])), min_size=1, max_size=150))
def test_a_report_counts_every_request_once(rows):
    """Histogram and statuses count each answer once, percentiles ascend and are among the latencies."""
    found = report(requests_of(rows))
    answered = sorted(latency for _, latency, status in rows if status)
    assert found.requests == len(rows)
    assert sum(count for _, count in found.histogram) == len(answered)
    below = 0
    for mark, count in found.histogram:
        below += count
        assert below == sum(latency <= mark for latency in answered)
    values = [value for p, value in found.percentiles if p]
    assert values == sorted(values)
    assert set(values) <= set(answered)
    assert parse(found.text())[1] == []
