"""The adapter on the fake cluster: deploys, waits, records, adopts, cleans up."""

import time
import urllib.request
from itertools import groupby

import pytest

from kpasim.cluster import objects
from kpasim.cluster.bill import Bill
from kpasim.cluster.deadline import Deadline
from kpasim.cluster.deploy import leftovers, withdraw
from kpasim.cluster.errors import ClusterError
from kpasim.cluster.live import LiveRun, live

from .fakes import Running, plan, running, service


@pytest.fixture(scope="module")
def cluster():
    """A fake cluster that the tests of this file share."""
    with running() as found:
        yield found


def ask(run: LiveRun) -> str:
    """Send one request to the run's Service and return the answer."""
    request = urllib.request.Request(run.url, headers={"Host": run.host})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.read().decode()


def test_a_run_deploys_answers_and_leaves_nothing(cluster: Running):
    """A Service is created, serves, and is gone with its pods when the run is over."""
    seen = {}

    def body(run: LiveRun) -> None:
        run.look()
        ready = run.deploy()
        seen["answer"], seen["revision"] = ask(run), ready.revision

    kube = cluster.kube()
    live(kube, plan(), body)
    kube.close()

    assert seen["revision"] == "sd-00001"
    assert seen["answer"].startswith("sd-00001-deployment-")
    assert cluster.count(objects.SERVICES) == 0
    assert cluster.processes() == []


def test_recorded_tables_tell_the_story_of_the_pods(cluster: Running):
    """One pod: created, scheduled, started, ready, asked to go, gone, in this order; the Deployment goes 1, then 0."""
    tables = {}

    def body(run: LiveRun) -> None:
        run.look()
        run.deploy()
        zero_s = time.time()
        limit = run.deadline(120.0, "a look at the averages of these requests")
        while not run.recorder.tables(zero_s).ticks["stable"].any():
            limit.check()
            ask(run)
        run.settle(time.time(), None)
        tables["all"] = run.recorder.tables(zero_s)
        tables["facts"] = run.facts()

    kube = cluster.kube()
    manifest = service(name="story", annotations={"window": "6s", "target-utilization-percentage": 100})
    live(kube, plan(manifest, stable_window_s=6.0), body)
    kube.close()
    pods, scaling, ticks = tables["all"].pods, tables["all"].scaling, tables["all"].ticks
    order = ("created_s", "scheduled_s", "containers_s", "ready_s", "delete_requested_s", "gone_s")
    times = [float(pods[name][0]) for name in order]

    assert len(pods["pod"]) == 1
    assert times == sorted(times)
    assert times[3] < 0.0 < times[4]
    assert [replicas for replicas, _ in groupby(scaling["replicas"]) if replicas >= 0] == [1, 0]
    assert scaling["pa_active"][-1] == "False"
    assert scaling["sks_mode"][-1] == "Proxy"
    assert len(ticks["t_s"]) > 0
    assert ticks["stable"].max() > 0.0
    assert tables["facts"]["averages_observed"]


def test_a_run_stops_when_it_has_cost_too_much(cluster: Running):
    """At a price of 36,000 an hour a pod costs ten a second; a limit of one is reached at once, and the pod goes."""
    bill = Bill(per_pod_hour=36_000.0, currency="USD", expected=0.5, at_most=None)

    def body(run: LiveRun) -> None:
        run.look()
        run.deploy()
        run.await_idle()

    kube = cluster.kube()
    with pytest.raises(ClusterError, match=r"--max-cost: stopped at \d+\.\d\d USD, 1\.00 was allowed"):
        live(kube, plan(service(name="dear"), bill=bill, max_cost=1.0), body)
    kube.close()
    assert cluster.count(objects.SERVICES) == 0


def test_what_was_paid_for_before_counts(cluster: Running):
    """A run whose bill is spent by an earlier one stops at once."""
    bill = Bill(per_pod_hour=1.0, currency="USD", expected=0.5, at_most=None)
    kube = cluster.kube()
    spent = plan(service(name="spent"), bill=bill, max_cost=1.0, spent_pod_s=3601.0)

    with pytest.raises(ClusterError, match=r"--max-cost: stopped at 1\.00 USD, 1\.00 was allowed"):
        live(kube, spent, lambda run: run.deploy())
    kube.close()
    assert cluster.count(objects.SERVICES) == 0


def test_a_run_that_keeps_its_service_says_how_to_remove_it(cluster: Running):
    """With --keep the Service stays, ready, and the note names the run."""
    notes: list[str] = []
    kube = cluster.kube()

    live(kube, plan(service(name="kept"), keep=True, run_id="abc123"), lambda run: run.deploy(), notes.append)

    found = leftovers(kube, "default")
    for one in found:
        withdraw(kube, one.deployed, one.run, Deadline(10, "clean"))
    kube.close()
    assert [(one.deployed.name, one.run, one.adopted) for one in found] == [("kept", "abc123", False)]
    config = str(cluster.fake.kubeconfig)
    assert f"kpasim cluster clean --kubeconfig {config} --namespace default --run abc123" in notes[-1]


def test_a_run_waits_until_its_revision_is_idle(cluster: Running):
    """Before an idled start the revision has gone to zero by itself, and the Service is still there."""
    states = []

    def body(run: LiveRun) -> None:
        run.look()
        run.deploy()
        run.await_idle()
        states.append((run.recorder.present_pods, run.recorder.wanted_pods, cluster.count(objects.SERVICES)))
        states.append(ask(run))

    kube = cluster.kube()
    live(kube, plan(service(name="idled", annotations={"window": "6s"})), body)
    kube.close()
    assert states[0] == (0, 0, 1)
    assert states[1].startswith("idled-00001-deployment-")


def test_a_service_that_is_taken_away_is_told(cluster: Running):
    """Somebody deletes the Service while we wait for it: the run ends with one line."""
    kube = cluster.kube()

    def take_away(number: int, stage: str) -> None:
        if cluster.fake.server.seen[-1].verb == "create" and stage == "after":
            cluster.fake.server.deletions[objects.SERVICES]("default", "taken")

    cluster.do(lambda: setattr(cluster.fake.server, "on_request", take_away))
    try:
        with pytest.raises(ClusterError, match="default/taken was deleted while we waited for it"):
            live(kube, plan(service(name="taken", image="hangs")), lambda run: run.deploy())
    finally:
        cluster.do(lambda: setattr(cluster.fake.server, "on_request", None))
        kube.close()


def test_a_service_of_somebody_else_is_not_touched(cluster: Running):
    """Without --adopt a Service that was there stays as it is, and the message says what to do."""
    kube = cluster.kube()
    kube.create(objects.SERVICES, "default", service(name="theirs"))
    before = kube.get(objects.SERVICES, "default", "theirs")["spec"]

    with pytest.raises(ClusterError, match=r"theirs is there and kpasim did not create it.*--adopt"):
        live(kube, plan(service(name="theirs", image="hangs")), lambda run: run.deploy())

    after = kube.get(objects.SERVICES, "default", "theirs")
    kube.delete(objects.SERVICES, "default", "theirs")
    kube.close()
    assert before == after["spec"]
    assert objects.RUN_LABEL not in objects.labels_of(after)


def test_an_adopted_service_is_put_back(cluster: Running):
    """Adopting runs with our template and, afterwards, restores theirs without our label and annotation."""
    kube = cluster.kube()
    theirs = service(name="lent", args=["--service-s", "0.01"])
    theirs["metadata"]["labels"] = {"team": "images"}
    kube.create(objects.SERVICES, "default", theirs)
    before = kube.get(objects.SERVICES, "default", "lent")
    seen = {}

    def body(run: LiveRun) -> None:
        run.look()
        ready = run.deploy()
        seen["ready"], seen["answer"] = ready, ask(run)

    live(kube, plan(service(name="lent", args=["--service-s", "0.02"]), adopt=True), body)

    after = kube.get(objects.SERVICES, "default", "lent")
    kube.delete(objects.SERVICES, "default", "lent")
    kube.close()
    assert seen["ready"].adopted
    assert seen["ready"].revision == "lent-00002"
    assert seen["answer"].startswith("lent-00002-deployment-")
    assert before["spec"] == after["spec"]
    assert objects.labels_of(after) == {"team": "images"}
    assert objects.ORIGINAL_ANNOTATION not in objects.annotations_of(after)
