"""A run that is stopped at any moment leaves nothing behind; `kpasim cluster clean` finds what a killed one left."""

import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kpasim.cli.cluster import command
from kpasim.cluster import objects
from kpasim.cluster.deadline import Deadline
from kpasim.cluster.deploy import leftovers, withdraw
from kpasim.cluster.errors import InterruptedRunError
from kpasim.cluster.interrupts import Interrupts
from kpasim.cluster.kube import connect
from kpasim.cluster.live import LiveRun, live

from .fakes import FAST, Running, plan, running, service
from .faults import Fault

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["kpasim.cluster.live", "kubernetes.client", "kubernetes.dynamic", "kubernetes.config"])
FINISHED, STOPPED = 0, 7


def run_once(kubeconfig: str, name: str) -> None:
    """A whole run in a process of its own: look around, deploy, one request, half a second of watching, clean up."""

    def body(run: LiveRun) -> None:
        run.look()
        run.deploy()
        request = urllib.request.Request(run.url, headers={"Host": run.host})
        with urllib.request.urlopen(request, timeout=60) as reply:
            reply.read()
        limit = run.deadline(5.0, "half a second")
        for _ in range(10):
            limit.wait(0.05)

    kube = connect(kubeconfig=Path(kubeconfig), patience=FAST)
    try:
        live(kube, plan(service(name=name, timeoutSeconds=5), timeout_s=5.0), body)
    except InterruptedRunError:
        sys.exit(STOPPED)
    sys.exit(FINISHED)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Running]:
    """A fake cluster that the tests of this file share."""
    with running() as found:
        yield found


class Child:
    """A run in another process, which is sent a signal when it makes its n-th request."""

    def __init__(self, cluster: Running, name: str, moment: int, stage: str, delay_s: float, number: int) -> None:
        self._cluster, self._moment, self._stage = cluster, moment, stage
        self._delay_s, self._number = delay_s, number
        self._before = len(cluster.fake.server.seen)
        cluster.do(lambda: setattr(cluster.fake.server, "on_request", self._requested))
        self.process = FORKS.Process(target=run_once, args=(str(cluster.fake.kubeconfig), name))
        self.process.start()

    def end(self) -> int | None:
        """Wait until it has ended and return its exit status."""
        self.process.join(timeout=120)
        self._cluster.do(lambda: setattr(self._cluster.fake.server, "on_request", None))
        return self.process.exitcode

    def _requested(self, number: int, stage: str) -> None:
        if (number - self._before, stage) == (self._moment, self._stage):
            # At once, so that the request is not answered yet, or a little later, between two requests.
            if self._delay_s == 0.0:
                self._signal()
            else:
                threading.Timer(self._delay_s, self._signal).start()

    def _signal(self) -> None:
        # Not is_alive(): where two threads read the exit code of a process that ends, one of them gets 255.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, self._number)


def left(cluster: Running) -> list[Any]:
    """Everything of runs that is still there."""
    services = cluster.do(lambda: cluster.fake.store.all(objects.SERVICES, "default", objects.RUN_LABEL))
    return [*map(objects.name_of, services), *cluster.processes()]


def test_a_run_that_is_interrupted_leaves_nothing(cluster: Running):
    """After SIGINT at 20 random moments, in the middle of a request or between two, no Service and no pod is left."""
    draw = random.Random(20261121)
    outcomes = []
    for number in range(20):
        moment, stage = draw.randint(1, 45), draw.choice(("before", "after"))
        delay_s = draw.choice((0.0, 0.0, draw.random() / 5))
        child = Child(cluster, f"run-{number}", moment, stage, delay_s, signal.SIGINT)
        outcomes.append((child.end(), left(cluster), (moment, stage, delay_s)))

    assert [outcome for outcome in outcomes if outcome[1]] == []
    assert [outcome for outcome in outcomes if outcome[0] not in (STOPPED, FINISHED)] == []
    # The rest were interrupted while they cleaned up anyway.
    assert sum(status == STOPPED for status, _, _ in outcomes) >= 10


def test_sigterm_is_an_interrupt_as_well(cluster: Running):
    """A run that is asked to terminate cleans up first."""
    child = Child(cluster, "terminated", 20, "after", 0.05, signal.SIGTERM)

    assert child.end() == STOPPED
    assert left(cluster) == []


def test_what_a_killed_run_left_is_cleaned(cluster: Running):
    """After SIGKILL the Service is still there; `kpasim cluster clean` removes it, its pods, and nothing else."""
    kube = cluster.kube()
    kube.create(objects.SERVICES, "default", service(name="theirs", timeoutSeconds=5))
    child = Child(cluster, "killed", 20, "after", 0.0, signal.SIGKILL)
    status = child.end()
    before = left(cluster)
    arguments = ["clean", "--kubeconfig", str(cluster.fake.kubeconfig)]

    would = CliRunner().invoke(command, [*arguments, "--dry-run"])
    done = CliRunner().invoke(command, [*arguments, "--json"])

    others = cluster.do(lambda: cluster.fake.store.all(objects.SERVICES, "default"))
    kube.delete(objects.SERVICES, "default", "theirs")
    kube.close()
    assert status == -signal.SIGKILL
    assert "killed" in before
    assert "default/killed" in would.output
    assert "would be deleted" in would.output
    assert done.exit_code == 0
    assert [one["name"] for one in json.loads(done.stdout)] == ["killed"]
    assert [objects.name_of(one) for one in others] == ["theirs"]


def test_cleaning_puts_back_what_was_adopted(cluster: Running):
    """A Service that a killed run had adopted gets its own template back."""
    kube = cluster.kube()
    kube.create(objects.SERVICES, "default", service(name="lent", timeoutSeconds=5))
    before = kube.get(objects.SERVICES, "default", "lent")["spec"]
    label = objects.RUN_LABEL.replace("/", "~1")
    original = objects.ORIGINAL_ANNOTATION.replace("/", "~1")
    kube.patch(
        objects.SERVICES,
        "default",
        "lent",
        [
            {"op": "add", "path": "/metadata/labels", "value": {}},
            {"op": "add", "path": f"/metadata/labels/{label}", "value": "dead"},
            {"op": "add", "path": f"/metadata/annotations/{original}", "value": json.dumps(before["template"])},
            {"op": "replace", "path": "/spec/template/spec/timeoutSeconds", "value": 7},
        ],
    )
    arguments = ["clean", "--kubeconfig", str(cluster.fake.kubeconfig), "--run", "dead"]

    done = CliRunner().invoke(command, arguments)

    after = kube.get(objects.SERVICES, "default", "lent")["spec"]
    kube.delete(objects.SERVICES, "default", "lent")
    kube.close()
    assert done.exit_code == 0
    assert "default/lent (run dead): put back" in done.output
    assert after == before


def signalled(where: Callable[[Interrupts], None]) -> list[str]:
    """Run the pattern of a run in this process and return what happened; ``where`` is called inside it."""
    happened = []
    try:
        with Interrupts() as interrupts:
            try:
                with interrupts.allowed():
                    where(interrupts)
                happened.append("went on")
            finally:
                os.kill(os.getpid(), signal.SIGINT)  # a second one, while cleaning up
                happened.append("cleaned")
    except InterruptedRunError:
        happened.append("interrupted")
    return happened


def test_a_signal_interrupts_once_and_never_the_cleaning():
    """The first signal ends the run; one that comes while it is cleaned up does not disturb that."""
    assert signalled(lambda _: os.kill(os.getpid(), signal.SIGINT)) == ["cleaned", "interrupted"]
    assert signalled(lambda _: None) == ["went on", "cleaned"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_that_is_interrupted_while_it_cleans_up_does_not_go_on(cluster: Running):
    """Ctrl-C between a run's end and that of its cleaning stops what should come next: no second run is begun."""
    kube = cluster.kube()

    def requested(_number: int, _stage: str) -> None:
        if cluster.fake.server.seen[-1].verb == "delete":
            os.kill(os.getpid(), signal.SIGINT)

    cluster.do(lambda: setattr(cluster.fake.server, "on_request", requested))

    try:
        with pytest.raises(InterruptedRunError, match=r"^stopped by SIGINT; what was created has been removed$"):
            live(kube, plan(service(name="late", timeoutSeconds=5)), lambda run: run.deploy())
    finally:
        cluster.do(lambda: setattr(cluster.fake.server, "on_request", None))
        kube.close()
    assert left(cluster) == []


def test_an_interrupted_run_does_not_say_that_it_removed_what_is_there(cluster: Running):
    """With --keep the Service stays; where it could not be removed the message says so, and how to do it."""
    kube = cluster.kube()

    def body(run: LiveRun) -> None:
        run.deploy()
        os.kill(os.getpid(), signal.SIGINT)

    kept = plan(service(name="kept", timeoutSeconds=5), keep=True, run_id="abc")
    with pytest.raises(InterruptedRunError, match=r"^stopped by SIGINT; Service default/kept stays; .* --run abc$"):
        live(kube, kept, body)
    refused = Fault("delete", "services.serving.knative.dev", times=0, status=403)
    cluster.do(lambda: cluster.fake.server.faults.faults.append(refused))
    try:
        with pytest.raises(InterruptedRunError, match=r'^stopped by SIGINT; .*lacks the verb "delete".* --run def$'):
            live(kube, plan(service(name="stuck", timeoutSeconds=5), run_id="def"), body)
    finally:
        cluster.do(cluster.fake.server.faults.faults.clear)
        for one in leftovers(kube, "default"):
            withdraw(kube, one.deployed, one.run, Deadline(10, "clean"))
        kube.close()
    assert left(cluster) == []


def test_a_signal_that_python_swallowed_is_raised_at_the_next_check():
    """An exception in a finaliser is lost; the loop that waits notices all the same."""

    def where(interrupts: Interrupts) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        interrupts.check()

    assert signalled(where) == ["cleaned", "interrupted"]


def test_no_thread_outlives_a_run(cluster: Running):
    """Watches and the metrics poller end with the run."""
    kube = cluster.kube()

    live(kube, plan(service(name="threads", timeoutSeconds=5)), lambda run: run.deploy())

    kube.close()
    end_s = time.monotonic() + 60
    while any(thread.name.startswith("watch ") for thread in threading.enumerate()) and time.monotonic() < end_s:
        time.sleep(0.01)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("watch ", "autoscaler"))]
