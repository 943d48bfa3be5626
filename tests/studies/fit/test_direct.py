"""Service times out of run folders and of files of load tools, held against the truth behind them."""

import numpy as np
import pytest

import kpasim
from kpasim.errors import RunError
from kpasim.records import read
from kpasim.spec.experiment import from_mapping
from tests.services import service


def experiment(model, *, scale=8, concurrency=1, workload=None):
    """A service of that model under hey."""
    scales = {"min-scale": scale, "max-scale": scale}
    load = {"kind": "hey", "requests": 200, "concurrency": 8, "timeout": "0s"} | (workload or {})
    return from_mapping(
        {
            "service": service(scales, containerConcurrency=concurrency, timeoutSeconds=600),
            "workload": load,
            "model": model,
        }
    )


TIME = {"distribution": "lognormal", "median": "8s", "sigma": 0.4}


def test_requests_that_timed_out_count_with_the_time_that_the_container_worked(tmp_path):
    """The clients of half of the requests give up at 10 s; their service times are in the folder, and are used."""
    told = experiment({"service-time": TIME, "cold-start": "75s"}, workload={"timeout": "10s"})
    kpasim.simulate(told, replications=1, engine="reference").write(tmp_path)
    requests = read(tmp_path).requests
    gave_up = int((requests["status"] == 0).sum())
    found = kpasim.calibrate(tmp_path)

    assert gave_up > 60
    assert found.estimates["service_p50_s"][0] == pytest.approx(8.0, rel=0.05)
    assert found.estimates["service_p95_s"][0] == pytest.approx(15.4, rel=0.1)
    assert any(f"{gave_up} requests timed out: " in one for one in found.notes)


def test_work_that_ended_with_its_client_is_censored(tmp_path):
    """Where a container drops the work of a client that has gone, only that it takes longer is known."""
    model = {"service-time": TIME, "cold-start": "75s", "cancel-stops-work": True}
    told = experiment(model, workload={"timeout": "10s"})
    kpasim.simulate(told, replications=1, engine="reference").write(tmp_path)
    found = kpasim.calibrate(tmp_path)

    assert found.sample["timeouts"] > 40
    low, high = found.estimates["service_p50_s"][1:]
    assert low <= 8.0 <= high
    low, high = found.estimates["service_p95_s"][1:]
    assert low <= 15.4 <= high


def test_a_container_that_works_on_one_at_a_time_keeps_its_slot(tmp_path):
    """Under containerConcurrency 4 no two requests overlap in a pod: the model says so, and a run repeats itself."""
    model = {"service-time": {"time": TIME, "slots": 1}, "cold-start": "75s"}
    told = experiment(model, scale=2, concurrency=4)
    before = kpasim.simulate(told, replications=1, engine="reference")
    before.write(tmp_path)
    found = kpasim.calibrate(tmp_path)
    again = {key: value for key, value in found.model.items() if key not in {"source", "posterior"}}
    after = kpasim.simulate(told.with_settings({"model": again}), replications=1, engine="reference")

    assert found.model["service-time"]["slots"] == 1
    assert any("no container processed more than 1 at once" in one for one in found.notes)
    assert after.summary["hey"]["p50"] == pytest.approx(before.summary["hey"]["p50"], rel=0.1)


def test_sharing_that_costs_nothing_is_written_down(tmp_path):
    """Where requests overlap and are not slower the model says so, and up to how many at once that was seen."""
    model = {"service-time": {"time": TIME, "slots": 10, "slowdown": [1.0, 1.0]}, "cold-start": "10s"}
    told = experiment(model, scale=2, concurrency=10, workload={"requests": 400, "concurrency": 20})
    kpasim.simulate(told, replications=1, engine="reference").write(tmp_path)
    found = kpasim.calibrate(tmp_path)

    assert found.model["service-time"]["slowdown"] == [1.0] * 10
    assert "slots" not in found.model["service-time"]
    assert any("up to 10 requests at once" in one for one in found.notes)


def test_contention_of_requests_that_are_hardly_ever_alone_is_not_ruled_out(tmp_path):
    """Two at once take 1.3 times as long, as requests of 5.2 s without contention would: the file cannot tell."""
    model = {"service-time": {"time": {**TIME, "median": "4s"}, "slowdown": [1.0, 1.3]}, "cold-start": "10s"}
    told = experiment(model, scale=2, concurrency=2, workload={"requests": 200, "concurrency": 4})
    kpasim.simulate(told, replications=1, engine="reference").write(tmp_path)
    found = kpasim.calibrate(tmp_path)

    assert found.model["service-time"]["slowdown"] == [1.0, 1.0]
    assert found.slowdown[1][2] > 1.3
    assert any("cannot be distinguished from longer service times" in one for one in found.notes)
    low, high = found.estimates["service_p50_s"][1:]
    assert low < 4.0
    assert high > 5.1
    factors = [one["service-time.slowdown.1"] for one in found.model["posterior"]]
    assert sum(factor == 1.0 for factor in factors) == pytest.approx(0.5 * len(factors), rel=0.1)


def test_what_pods_do_not_show_is_kept_from_the_experiment(tmp_path):
    """Crashes, the name of a lazy stage and the shutdown of the experiment's model stay beside what is fitted."""
    lazy = {"name": "weights", "when": "first-request", "time": "20s"}
    stages = [{"name": "start", "time": "30s"}, lazy]
    crash = {"probability": 0.3, "restart-delay": "20s"}
    model = {
        "service-time": TIME,
        "cold-start": {"stages": stages, "crash": crash},
        "shutdown": {"drains-on-sigterm": False},
    }
    told = experiment(model, workload={"concurrency": 16}).with_settings({"start": "zero"})
    kpasim.simulate(told, replications=1, engine="reference").write(tmp_path)
    found = kpasim.calibrate(tmp_path, told).model

    [weights] = [one for one in found["cold-start"]["stages"] if one["name"] == "weights"]
    assert weights["when"] == "first-request"
    assert found["cold-start"]["crash"]["restart-delay"] == "20s"
    assert found["shutdown"] == {"drains-on-sigterm": False}


JTL = "timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,failureMessage,Latency\n"


def jtl(tmp_path, *more):
    """A results file of JMeter: forty answers of about two seconds, and more rows."""
    rows = [
        f"{1767261600000 + 2500 * place},{2000 + 7 * place},draw,200,OK,users 1-1,text,true,,{200 + place}"
        for place in range(40)
    ]
    path = tmp_path / "results.jtl"
    path.write_text(JTL + "\n".join([*rows, *more]) + "\n", encoding="utf-8")
    return path


def test_jmeter_calls_its_duration_elapsed_and_writes_milliseconds(tmp_path):
    """``elapsed`` is the duration in ms, and not ``Latency``, the time to the first byte; starts are since 1970."""
    record = read(jtl(tmp_path))
    assert record.kind == "jmeter-csv"
    assert record.requests["duration_s"][:2].tolist() == [2.0, 2.007]
    assert record.requests["start_s"][:2].tolist() == [0.0, 2.5]
    assert record.origin == "2026-01-01T10:00:00Z"
    assert kpasim.calibrate(jtl(tmp_path)).estimates["service_p50_s"][0] == pytest.approx(2.14, rel=0.02)


def test_jmeter_names_an_exception_where_there_was_no_answer(tmp_path):
    """A socket that timed out after 60 s is censored there, a refused connection failed, a failed check failed."""
    rows = (
        "1767261700000,60000,draw,Non HTTP response code: java.net.SocketTimeoutException,"
        "Non HTTP response message: Read timed out,users 1-1,text,false,,0",
        "1767261701000,3,draw,Non HTTP response code: org.apache.http.conn.HttpHostConnectException,"
        "Connection refused,users 1-1,text,false,,0",
        "1767261702000,1900,draw,200,OK,users 1-1,text,false,Test failed,200",
        '1767261703000,4100,both,,"Number of samples in transaction : 2, number of failing samples : 0",u,,true,,0',
    )
    record = read(jtl(tmp_path, *rows))
    assert record.requests["status"][-3:].tolist() == [0, 0, 599]
    assert record.requests["censored"].sum() == 1
    found = kpasim.calibrate(jtl(tmp_path, *rows))
    assert found.sample == {"requests": 41, "timeouts": 1, "pods": 0, "runs": 0}
    low, high = found.estimates["service_p50_s"][1:]
    assert 2.0 < low < high < 2.3


def k6(tmp_path):
    """What k6 writes of a script that calls two endpoints by turns."""
    rng = np.random.default_rng(1)
    head = "metric_name,timestamp,metric_value,error,name,status\n"
    rows = []
    for place in range(30):
        large, small = rng.normal(2050, 30), rng.normal(5.5, 0.2)
        rows.append(f"http_req_duration,{1767261602 + 5 * place},{large:.3f},,http://painter/txt2img,200")
        rows.append(f"http_req_duration,{1767261605 + 5 * place},{small:.3f},,http://painter/health?x={place},200")
    path = tmp_path / "k6.csv"
    path.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_endpoints_of_one_file_have_their_own_times(tmp_path):
    """A health check beside the work makes two classes, which is said; one of them can be chosen."""
    both = kpasim.calibrate(k6(tmp_path))
    medians = {name: value[0] for name, value in both.estimates.items() if "p50" in name}
    one = kpasim.calibrate(k6(tmp_path), only="/txt2img")

    assert medians == {
        "service /health_p50_s": pytest.approx(0.0055, rel=0.05),
        "service /txt2img_p50_s": pytest.approx(2.05, rel=0.02),
    }
    assert any("2 classes have their own times: /health, /txt2img" in one for one in both.notes)
    assert one.estimates["service_p50_s"][0] == pytest.approx(2.05, rel=0.02)
    assert one.sample["requests"] == 30
    with pytest.raises(RunError, match=r"no request of the class 'img2img' \(/health, /txt2img\)"):
        kpasim.calibrate(k6(tmp_path), only="img2img")


def test_endpoints_that_are_too_few_to_be_kept_apart_are_named(tmp_path):
    """Twelve requests of two endpoints make one service time, which is said with the way to choose."""
    path = tmp_path / "few.csv"
    path.write_text(
        "start,latency_ms,endpoint\n" + "".join(f"{n},{2000 + n},/{'ab'[n % 2]}\n" for n in range(12)), encoding="utf-8"
    )
    notes = kpasim.calibrate(path).notes
    assert "requests of 2 classes are taken as one: /a, /b (--class takes one of them)" in notes


def test_a_unit_is_named_and_doubted(tmp_path):
    """A latency of 2000 is read as seconds, which is said and doubted; with a unit there is no doubt."""
    path = tmp_path / "latencies.csv"
    path.write_text("timestamp,latency\n" + "".join(f"{3 * t},{2000 + t}\n" for t in range(30)), encoding="utf-8")
    guessed, told = kpasim.calibrate(path), kpasim.calibrate(path, columns={"unit": "ms"})

    assert any("duration: column latency in s (say --column unit=ms if it is in ms)" in one for one in guessed.notes)
    assert any("Warning: durations of 33.6 min (median)" in one for one in guessed.notes)
    assert any("duration: column latency in ms" in one for one in told.notes)
    assert not any("Warning" in one for one in told.notes)
    assert told.estimates["service_p50_s"][0] == pytest.approx(2.014, rel=0.01)


def test_a_bad_fit_says_so(tmp_path):
    """Times of two kinds that are too few for a mixture get a warning with the quantile that is off."""
    rng = np.random.default_rng(2)
    two = np.where(np.arange(25) % 2, 1.0, 30.0) * rng.lognormal(0.0, 0.03, 25)
    alike = rng.lognormal(0.0, 0.3, 25)
    notes = []
    for name, times in (("two", two), ("alike", alike)):
        path = tmp_path / f"{name}.csv"
        path.write_text("duration_s\n" + "".join(f"{one:.4f}\n" for one in times), encoding="utf-8")
        notes.append([one for one in kpasim.calibrate(path).notes if one.startswith("Warning")])
    assert len(notes[0]) == 1
    assert "no family fits well" in notes[0][0]
    assert "Q-Q distance" in notes[0][0]
    assert not notes[1]


def test_lazy_loading_is_no_service_time(tmp_path):
    """The first request of each pod waits 20 s for the weights: a stage of the start, and services stay as they are."""
    lazy = {"name": "weights", "when": "first-request", "time": "20s"}
    model = {"service-time": TIME, "cold-start": {"stages": [{"name": "start", "time": "30s"}, lazy]}}
    told = experiment(model, workload={"concurrency": 16}).with_settings({"start": "zero"})
    kpasim.simulate(told, replications=1, engine="reference").write(tmp_path)
    found = kpasim.calibrate(tmp_path)
    [stage] = [one for one in found.model["cold-start"]["stages"] if one.get("when") == "first-request"]

    assert float(stage["time"].removesuffix("s")) == pytest.approx(20.0, rel=0.2)
    assert found.estimates["service_p50_s"][0] == pytest.approx(8.0, rel=0.1)
    assert any("taken as lazy loading" in one for one in found.notes)


def test_lazy_loading_beside_others_is_told_without_contention(tmp_path):
    """The first eight requests of a pod slow down its loading, as each other: 10 s last 31 s."""
    lazy = {"name": "weights", "when": "first-request", "time": "10s"}
    service_time = {"time": TIME, "slowdown": [1 + 0.3 * others for others in range(8)]}
    model = {"service-time": service_time, "cold-start": {"stages": [{"name": "start", "time": "20s"}, lazy]}}
    load = {"requests": 240, "concurrency": 24}
    told = experiment(model, concurrency=8, workload=load).with_settings(
        {"start": "zero", "service.annotations.min-scale": 0, "service.annotations.max-scale": 6}
    )
    kpasim.simulate(told, replications=1, seed=4, engine="reference").write(tmp_path)
    found = kpasim.calibrate(tmp_path)
    [stage] = [one for one in found.model["cold-start"]["stages"] if one.get("when") == "first-request"]

    assert float(stage["time"].removesuffix("s")) == pytest.approx(10.0, rel=0.35)


def shared_pods(tmp_path, kind):
    """Twelve clients of three pods that take four requests each, as a file of a load tool."""
    true = experiment(
        {"service-time": {"time": TIME, "slowdown": [1, 1.5, 2, 2.5]}, "cold-start": "20s"},
        scale=3,
        concurrency=4,
        workload={"requests": 96, "concurrency": 12},
    )
    requests = kpasim.simulate(true, replications=1, seed=3, engine="reference").tables().requests
    rows = sorted(zip(requests["start_s"] + requests["latency_s"], requests["latency_s"], strict=True))
    path = tmp_path / f"{kind}.csv"
    if kind == "k6":
        lines = ["metric_name,timestamp,metric_value,error,name,status"]
        lines += [
            f"http_req_duration,{1767261600 + int(end)},{1e3 * lasted:.3f},,http://a/t,200" for end, lasted in rows
        ]
    else:
        lines = ["start,latency_ms,status", *(f"{end - lasted:.4f},{1e3 * lasted:.1f},200" for end, lasted in rows)]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return true, path


def test_durations_of_requests_that_may_have_shared_a_pod_are_doubted(tmp_path):
    """Taken as service times they make a model three times too slow, so the number in flight is said."""
    true, path = shared_pods(tmp_path, "plain")
    alone = true.with_settings({"service.containerConcurrency": 1, "service.annotations.max-scale": 12})

    for told in (None, true):
        assert any(
            "Warning: " in one and "up to 12 requests were in flight" in one
            for one in kpasim.calibrate(path, told).notes
        )
    assert not any("in flight" in one for one in kpasim.calibrate(path, alone).notes)


def test_requests_of_one_client_or_of_known_pods_are_not_doubted(tmp_path):
    """One after the other, even where a tool writes whole seconds, or each on a pod of its own."""
    one, apart = tmp_path / "one.csv", tmp_path / "apart.csv"
    one.write_text("start,duration\n" + "".join(f"{2.1 * n:.1f},2.1\n" for n in range(40)), encoding="utf-8")
    apart.write_text(
        "start,duration,pod\n" + "".join(f"{2.1 * n:.1f},4.1,pod-{n % 2}\n" for n in range(40)), encoding="utf-8"
    )
    for path in (one, apart, k6(tmp_path)):
        assert not any("in flight" in note for note in kpasim.calibrate(path).notes)


def test_a_closed_loop_with_queues_is_inferred_whatever_tool_wrote_it(tmp_path):
    """What clients of k6 waited holds contention and queues as hey's does: their experiment is simulated."""
    true, path = shared_pods(tmp_path, "k6")
    found = kpasim.calibrate(path, true, effort=0.5, candidate="independent")
    unknown = true.with_settings({"model": {"service-time": TIME, "cold-start": "20s"}})
    guessed = kpasim.calibrate(path, unknown, effort=0.5, candidate="independent")

    assert found.method == guessed.method == "simulation"
    assert found.estimates["service_p50_s"][0] == pytest.approx(8.0, rel=0.15)
    assert not any("sharing" in one for one in found.notes)
    assert any("one per pod" in one and "what sharing costs" in one for one in guessed.notes)
    assert kpasim.calibrate(path, true, direct=True).method == "direct"
