"""What `simulate` leaves of a run."""

from typing import Any

import numpy as np
import pytest

from kpasim.errors import RunError
from kpasim.records import read
from kpasim.spec.experiment import from_mapping
from kpasim.studies.run import Result, simulate
from tests.services import service


def run(**changes: Any) -> Result:
    """Six requests of five seconds by three clients, simulated once."""
    data = {
        "service": service(containerConcurrency=1),
        "workload": {"kind": "hey", "requests": 6, "concurrency": 3, "timeout": "0"},
        "model": {"service-time": "5s", "cold-start": "10s"},
        "replications": 1,
        **changes,
    }
    return simulate(from_mapping(data), engine="reference")


def test_a_request_has_the_class_whose_time_it_took() -> None:
    """With classes of 2 and 8 s the table names each request's class beside the time it took."""
    classes = [{"name": "short", "share": 1, "time": "2s"}, {"name": "long", "share": 1, "time": "8s"}]
    requests = (
        run(
            workload={"kind": "constant", "rate": 0.5, "duration": "60s"},
            model={"service-time": {"classes": classes}, "cold-start": "10s"},
        )
        .tables()
        .requests
    )

    assert {"short", "long"} == set(requests["class"].tolist())
    assert [{"short": 2.0, "long": 8.0}[name] for name in requests["class"]] == requests["service_s"].tolist()


def test_a_request_has_the_type_of_its_pods_instance() -> None:
    """The second type, twice as slow, is named where its pod served."""
    requests = (
        run(
            cluster={"instance-types": [{"name": "fast", "stock": 1}, {"name": "slow"}]},
            model={"service-time": {"time": "5s", "per-instance-type": {"slow": 2}}, "cold-start": "10s"},
        )
        .tables()
        .requests
    )

    assert {"fast", "slow"} == set(requests["instance_type"].tolist())
    assert [{"fast": 5.0, "slow": 10.0}[name] for name in requests["instance_type"]] == requests["service_s"].tolist()


def test_a_request_without_a_pod_has_no_type() -> None:
    """Nobody serves where every start fails."""
    requests = (
        run(
            start="zero",
            cluster={"instance-types": [{"name": "fast", "stock": 1}, {"name": "slow"}]},
            model={
                "service-time": "5s",
                "cold-start": {"stages": [{"name": "start", "time": "1s"}], "always-fails": True},
            },
            horizon="30s",
        )
        .tables()
        .requests
    )

    assert {""} == set(requests["instance_type"].tolist())


def test_a_request_has_its_session() -> None:
    """A worker of hey is always the same client; requests of an open loop are some client's, and clients come back."""
    closed = run(workload={"kind": "hey", "requests": 6, "concurrency": 3, "timeout": "0", "sessions": {"count": 2}})
    opened = run(workload={"kind": "constant", "rate": 1, "duration": "30s", "sessions": {"count": 3}})

    assert [0, 0, 0, 0, 1, 1] == sorted(closed.tables().requests["session"].tolist())
    assert {0, 1, 2} == set(opened.tables().requests["session"].tolist())
    assert opened.tables().requests["session"].tolist() != [index % 3 for index in range(30)]


def test_a_plain_run_has_none_of_these_columns() -> None:
    """One class, one type, strangers: there is nothing to tell."""
    assert {"class", "instance_type", "session"}.isdisjoint(run().tables().requests)


def test_what_is_written_can_be_read(tmp_path: Any) -> None:
    """The columns survive the run folder."""
    result = run(
        cluster={"instance-types": [{"name": "fast", "stock": 1}, {"name": "slow"}]},
        workload={"kind": "hey", "requests": 6, "concurrency": 3, "timeout": "0", "sessions": {"count": 2}},
    )
    result.write(tmp_path / "run")

    found = read(tmp_path / "run").tables.requests

    for name in ("instance_type", "session"):
        assert np.array_equal(found[name], result.tables().requests[name])


def test_a_horizon_that_cuts_the_load_leaves_requests_unsent() -> None:
    """Three clients send floor(7 / 3) requests each, of 5 s: after 4 s the second one of each was never sent."""
    result = run(workload={"kind": "hey", "requests": 7, "concurrency": 3, "timeout": "0"}, horizon="4s")
    assert result.summary["never_sent"] == 3
    assert (result.summary["requests"], result.summary["in_flight"], result.summary["errors"]) == (3, 3, 0)
    assert result.summary["latency_all_s"]["p50"] is None
    assert run().summary["never_sent"] == run(horizon="60s").summary["never_sent"] == 0


def test_requests_of_open_loops_that_were_never_sent_are_counted() -> None:
    """What a longer run of the same replication sends and a shorter one does not."""
    load = {"kind": "poisson", "rate": 0.5, "duration": "60s"}
    whole, short = run(workload=load, replications=5), run(workload=load, replications=5, horizon="30s")
    missing = whole.figures["requests"] - short.figures["requests"]
    assert (missing > 0).all()
    np.testing.assert_array_equal(short.figures["never_sent"], missing)


def test_of_a_load_that_only_the_clock_ends_nobody_knows_what_was_not_sent() -> None:
    """Of hey's -z: the figure is there and has no value."""
    load = {"kind": "hey", "duration": "60s", "concurrency": 3, "timeout": "0"}
    assert np.isnan(run(workload=load, horizon="30s").never_sent).all()
    assert run(workload=load, horizon="90s").summary["never_sent"] == 0


def test_more_replications_than_memory_are_refused() -> None:
    """A billion replications are refused with the number that fits, before any is simulated."""
    with pytest.raises(RunError, match="too many to keep"):
        simulate("experiments/hey50x5.yaml", replications=1_000_000_000)


def test_an_engine_that_does_not_exist_is_refused() -> None:
    """Its name was reported as that of the engine that ran."""
    with pytest.raises(RunError, match=r"engine: 'fast' is not known \(one of auto, compiled, reference\)"):
        simulate("experiments/hey50x5.yaml", replications=1, engine="fast")  # type: ignore[arg-type]
