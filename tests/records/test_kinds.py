"""What each kind of file says."""

import json

import numpy as np
import pytest

from kpasim.errors import RecordError
from kpasim.records import read
from kpasim.records.kubectl import stages
from tests.real_runs import folder
from tests.records.examples import FILES, HEY, KUBECTL_LIST, PLAIN, VALID

NAN = float("nan")


@pytest.fixture
def found(tmp_path):
    """Reads text as a file."""

    def reading(content, **options):
        path = tmp_path / "measured"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read(path, **options)

    return reading


def test_a_hey_report_is_a_summary_without_requests():
    """The published report's lines are there, single requests are not."""
    record = read(HEY / "published-50x5.txt")
    assert record.summary.total == 252.1749
    assert record.requests == {}
    assert read(HEY / "timeouts.txt").notes == ["10 requests have no answer; their durations are in no percentile"]


def test_a_report_that_contradicts_itself_is_noted(found):
    """A histogram that counts other than the status codes is worth a note."""
    text = VALID["hey-summary"].decode().replace("[200]\t30", "[200]\t29")
    assert "different numbers of responses" in found(text).notes[0]


def test_hey_csv_is_sorted_by_start():
    """Rows come in order of completion and are put in order of start; answers of any status are there."""
    record = read(HEY / "nonmult-mixed.csv")
    assert len(record.requests["start_s"]) == 100
    assert set(record.requests["status"].tolist()) == {200, 404, 500}
    assert record.requests["wait_s"].max() <= record.requests["duration_s"].max()
    assert len(read(HEY / "allfailed.csv").requests["start_s"]) == 0


def test_vegeta_says_when_requests_were_sent(found):
    """Latencies are nanoseconds, starts count from the first, time-outs are censored and other errors are not."""
    requests = found(VALID["vegeta-json"]).requests
    assert requests["start_s"] == pytest.approx([0, 1, 2, 3, 4], abs=1e-6)
    assert requests["duration_s"].tolist() == [9, 0.02, 1.5, 30, 0.001]
    assert requests["status"].tolist() == [200, 503, 200, 0, 0]
    assert requests["censored"].tolist() == [False, False, False, True, False]
    assert found(VALID["vegeta-json"]).origin.startswith("2026-03-01T09:00:00.123456")
    other = found(VALID["vegeta-csv"]).requests
    assert other["start_s"] == pytest.approx([0, 0.5], abs=1e-6)
    assert other["censored"].tolist() == [False, True]


def test_k6_says_when_requests_ended(found):
    """Starts are end minus duration; only the points of request durations count."""
    for kind in ("k6-json", "k6-csv"):
        requests = found(VALID[kind]).requests
        assert requests["start_s"][0] == 0
        assert requests["duration_s"].tolist()[-1] == 60
        assert requests["censored"].tolist()[-1]
    requests = found(VALID["k6-json"]).requests
    assert requests["start_s"] == pytest.approx([0, 1, 1], abs=1e-6)
    assert requests["duration_s"].tolist() == [10.5, 2.25, 60]


def test_named_columns_are_found_with_their_units(found):
    """Dates, camel case, units in names and a class column are understood."""
    record = found(VALID["csv"])
    assert record.requests["start_s"].tolist() == [0, 1]
    assert record.requests["duration_s"].tolist() == [20, 1.5]
    assert record.requests["class"].tolist() == ["b", "a"]
    assert record.requests["censored"].tolist() == [True, False]
    assert record.origin == "2026-03-01T10:00:00Z"
    assert record.notes[0].startswith("read as start: column timestamp, duration: column responseTime_ms in ms, ")


def test_columns_can_be_named_by_the_user(found):
    """A start under a name of its own is used when the user says so; empty cells are unknown."""
    assert np.isnan(found(PLAIN).requests["start_s"]).all()
    requests = found(PLAIN, columns={"start": "when"}).requests
    assert requests["start_s"].tolist()[:2] == [0.25, 0.5]
    assert requests["duration_s"].tolist() == [20, 1.5, 0.3]
    assert requests["status"].tolist() == [504, 200, 0]
    in_minutes = found("x,y\n1,2\n", columns={"duration": "y", "unit": "min"})
    assert in_minutes.requests["duration_s"].tolist() == [120]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"begin": "when"}, "no role 'begin'"),
        ({"start": "whn"}, "no column 'whn' (there are when, Latency (ms), status)"),
        ({"unit": "fortnights"}, "no unit 'fortnights'"),
    ],
)
def test_columns_that_are_not_there_are_refused(found, columns, message):
    """Each mistake in naming columns is one line."""
    with pytest.raises(RecordError) as caught:
        found(PLAIN, columns=columns)
    assert message in str(caught.value)
    with pytest.raises(RecordError, match="no column for start or duration among a, b"):
        found("a,b\n1,2\n", columns={})


@pytest.mark.parametrize("stamp", ["1772355600.5", "1772355600500", "1772355600500000", "1772355600500000000"])
def test_large_starts_are_dates(found, stamp):
    """Seconds, ms, us and ns since 1970 are told apart by their size."""
    record = found(f"start,duration\n{stamp},1\n{stamp.replace('600', '601')},1\n")
    assert record.requests["start_s"] == pytest.approx([0, 1], abs=1e-6)
    assert record.origin.startswith("2026-03-01T09:00:00.5")


def test_small_starts_are_seconds_of_the_load(found):
    """Starts that are no dates are kept as they are."""
    assert found("start,duration\n5,1\n7,1\n").requests["start_s"].tolist() == [5, 7]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,1,200,0", "start: must be seconds or a date and time (it is 'x')"),
        ("2026-13-01,1,200,0", "start: must be a date and time (it is '2026-13-01')"),
        ("1,one,200,0", "duration: must be a number (it is 'one')"),
        ("1,1,2.5,0", "status: must be an HTTP status or 0 (it is '2.5')"),
        ("1,1,200,maybe", "censored: must be true or false (it is 'maybe')"),
    ],
)
def test_wrong_cells_are_named(found, row, message):
    """A wrong cell is reported with line and column."""
    with pytest.raises(RecordError) as caught:
        found(f"start,duration,status,censored\n1,1,200,true\n{row}\n")
    assert f":3: {message}" in str(caught.value)


def test_the_production_trace_keeps_what_explains_durations():
    """Steps, images and LoRA are there; a pending request has no duration, a running one is censored."""
    requests = read(FILES / "gentd26-sample.csv.gz").requests
    assert len(requests["start_s"]) == 262
    assert requests["duration_s"][0] == 32
    assert (requests["steps"][0], requests["images"][0], requests["loras"][0]) == (30, 1, 0)
    assert requests["class"][0] == "TXT_2_IMG"
    unfinished = requests["status"] == 0
    running = requests["censored"]
    assert requests["duration_s"][running].tolist() == [32, 21]
    assert np.isnan(requests["duration_s"][unfinished & ~running]).all()
    assert unfinished.sum() == 5
    assert np.isnan(requests["steps"][unfinished & ~running]).all()


def test_companions_of_the_production_trace(found):
    """Loading times are milliseconds; rates are counted, not requests."""
    record = found(VALID["gentd26-latency"])
    assert record.requests["duration_s"].tolist() == [31, 3]
    assert record.requests["pod"].tolist() == ["bb", "aa"]
    assert found(VALID["gentd26-qps"]).counts["rate"].tolist() == [0.09]


def test_azure_counts_are_added_or_selected(found):
    """A day of counts per minute is that of all functions, of one app or of one function."""
    everything = found(VALID["azure-2019"])
    assert everything.counts["count"][:3].tolist() == [1, 3, 1]
    assert everything.counts["t_s"][1] == 60
    assert everything.notes == ["all 3 functions together; the busiest is f2 with 1440 invocations"]
    assert found(VALID["azure-2019"], select="f1").counts["count"].sum() == 2
    assert found(VALID["azure-2019"], select="a1").counts["count"].sum() == 1442
    with pytest.raises(RecordError, match="no function or app 'f9'"):
        found(VALID["azure-2019"], select="f9")


def test_azure_durations_and_invocations(found):
    """Durations are milliseconds in 2019 and seconds in 2021, where a start is end minus duration."""
    counts = found(VALID["azure-2019-durations"]).counts
    assert (counts["mean_s"][0], counts["p50_s"][0], counts["count"][0]) == (1.5, 1.5, 4)
    requests = found(VALID["azure-2021"]).requests
    assert requests["start_s"] == pytest.approx([0, 10, 99.999])
    assert requests["class"].tolist() == ["f2", "f1", "f3"]
    assert len(found(VALID["azure-2021"], select="f3").requests["start_s"]) == 1


def test_a_watch_becomes_the_moments_of_a_start(found):
    """From creation to gone, each moment when it was first true; the request to go is a grace period before the end."""
    record = found(VALID["kubectl-pods"])
    pods = record.pods
    assert pods["pod"].tolist() == ["sd-00001-deployment-7c9-abcde", "sd-00001-deployment-7c9-fghij"]
    columns = ("created_s", "scheduled_s", "initialized_s", "containers_s", "ready_s", "delete_requested_s", "gone_s")
    np.testing.assert_array_equal([pods[name][0] for name in columns], [0, 25, 25, 71, 110, 300, 331])
    np.testing.assert_array_equal([pods[name][1] for name in columns], [40] + [NAN] * 6)
    assert pods["node"].tolist() == ["virtual-kubelet-a", ""]
    assert pods["instance_type"][0] == "ecs.gn5i-c8g1.2xlarge"
    assert pods["revision"][0] == "sd-00001"
    assert pods["restarts"].tolist() == [1, 0]
    assert record.origin == "2026-03-01T10:00:00Z"
    assert record.notes == ["Kubernetes writes whole seconds: each moment is up to a second early"]


def test_a_snapshot_of_pods_is_read(found):
    """A list, and a single pod, are read as one state; the note says what a snapshot cannot know."""
    record = found(KUBECTL_LIST)
    assert record.pods["ready_s"].tolist()[0] == 110
    assert "a snapshot" in record.notes[1]


def test_a_broken_object_in_a_watch_is_skipped(found):
    """After an object that is cut off the next one at the start of a line is read."""
    text = VALID["kubectl-pods"].decode()
    second = text.index("\n{", 10)
    broken = text[: second // 2] + text[second:]
    with pytest.raises(RecordError, match="not JSON"):
        found(broken)
    record = found(broken, skip_bad=True)
    assert record.skipped == 1
    assert record.pods["ready_s"][0] == 110


def test_objects_of_other_kinds_in_a_list_of_pods_are_left_out(found):
    """``kubectl get pods,svc`` and the end of a watch hold more than pods."""
    listed = json.loads(KUBECTL_LIST)
    listed["items"].append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sd"}})
    record = found(json.dumps(listed))

    assert len(record.pods["pod"]) == len(listed["items"]) - 1
    assert "1 object of other kinds left out" in record.notes
    watched = "".join(json.dumps({"type": "ADDED", "object": one}) + "\n" for one in listed["items"][:-1])
    gone = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410}})
    assert len(found(watched + gone).pods["pod"]) == len(listed["items"]) - 1


def test_starts_fall_into_stages(found):
    """Provisioning, pulling and starting where the file tells them apart; a measured folder knows only the whole."""
    parts = stages(found(VALID["kubectl-pods"]).pods)
    assert {name: values[0] for name, values in parts.items()} == {"provision": 25, "pull": 46, "start": 39}
    assert np.isnan(parts["start"][1])
    pulled = stages({name: np.array([t]) for name, t in (("created_s", 0.0), ("pull_s", 20.0), ("ready_s", 60.0))})
    assert {name: values.tolist() for name, values in pulled.items()} == {"provision": [20], "start": [40]}
    whole = stages(read(folder("s2-warm-def-b")).pods)
    assert list(whole) == ["start"]
    assert whole["start"][1] == pytest.approx(60.287)


LOG_LINE = (
    '{"httpRequest": {"requestUrl": "/sdapi/v1/txt2img?x=1", "status": %d, "userAgent": "%s", "latency": "%ss"}}\n'
)


def test_queue_proxy_s_request_log_has_durations_and_no_starts(found):
    """Its container logs other lines, too, and probes have responses that nobody waited for."""
    other = '{"severity": "INFO", "message": "Starting queue-proxy"}\n'
    probe = LOG_LINE % (200, "kube-probe/1.29", "0.0001")
    record = found(other + LOG_LINE % (200, "hey/0.0.1", "2.5") + probe + LOG_LINE % (504, "hey/0.0.1", "60.1"))

    assert (record.kind, record.clients) == ("request-log", "open")
    assert record.requests["duration_s"].tolist() == [2.5, 60.1]
    assert record.requests["status"].tolist() == [200, 504]
    assert set(record.requests["class"]) == {"/sdapi/v1/txt2img"}
    assert np.isnan(record.requests["start_s"]).all()


def test_the_log_of_ingress_nginx_has_durations(found):
    """Its format names no duration: it stands after the request's length, before the name of the upstream."""
    line = (
        '10.0.0.1 - - [14/Nov/2023:22:13:%02d +0000] "POST /txt2img HTTP/1.1" 200 1234 "-" "hey" 500 %.3f '
        "[default-a-80] [] 10.1.1.1:80 12 %.3f 200 abc\n"
    )
    record = found("".join(line % (second, 2.5 + second, 2.0) for second in range(3)))

    assert record.requests["duration_s"].tolist() == [2.5, 3.5, 4.5]
