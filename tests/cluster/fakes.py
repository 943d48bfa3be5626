"""Fake clusters for the tests: in a thread of this process, with pods that sleep."""

import asyncio
import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from kpasim.cluster.deploy import Waits
from kpasim.cluster.fake.cluster import FakeCluster, Options
from kpasim.cluster.fake.kubelet import Image
from kpasim.cluster.kube import Kube, Patience, connect
from kpasim.cluster.live import Plan

from .faults import Fault, Faults, FaultyApiServer
from .rbac import Rule

_T = TypeVar("_T")

STUB = (sys.executable, "-I", "-S", str(Path(__file__).with_name("stub_server.py")), "{host}", "{port}")
IMAGES = {
    "stub": Image(STUB),
    "hangs": Image((*STUB, "--hang")),
    "crashes": Image((*STUB, "--crash")),
    "missing": Image(fails="manifest unknown"),
}
FAST = Patience(
    request_s=2.0, retry_s=4.0, first_pause_s=0.02, longest_pause_s=0.5, watch_s=30.0, poll_s=0.05, authorizer_s=1.0
)
WAITS = Waits(ready_s=15.0, stuck_s=0.3, gone_s=15.0, settle_s=30.0)
SPEED = 20.0
"""A tick of two seconds takes a tenth of one, a drain of thirty one and a half."""


class Running:
    """A fake cluster in a thread; attributes of the fake cluster may be read from outside, changes go through `do`."""

    def __init__(self, fake: FakeCluster, loop: asyncio.AbstractEventLoop) -> None:
        self.fake, self._loop = fake, loop

    def do(self, work: Callable[[], _T]) -> _T:
        """Call ``work`` in the fake cluster's thread."""
        done: Future[_T] = Future()

        def call() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return done.result(timeout=10)

    def kube(self, patience: Patience = FAST) -> Kube:
        """A connection to it."""
        return connect(kubeconfig=self.fake.kubeconfig, patience=patience)

    def count(self, resource: Any, namespace: str = "default") -> int:
        """Objects of a kind."""
        return len(self.do(lambda: self.fake.store.all(resource, namespace)))

    def admit_pods(self, *admissions: Callable[[dict[str, Any]], str]) -> None:
        """What is asked before a pod is created, instead of what was before."""
        self.do(lambda: self.fake.node.admissions.__setitem__(slice(None), admissions))

    def processes(self) -> list[int]:
        """Process ids of pods."""
        return self.do(lambda: [pod._process.pid for pod in self.fake.node.pods if pod._process is not None])


@contextlib.contextmanager
def running(
    options: Options | None = None, faults: Sequence[Fault] = (), rules: Sequence[Rule] | None = None
) -> Iterator[Running]:
    """A fake cluster that runs for the block."""
    options = options or Options(images=IMAGES, speed=SPEED)
    started: Future[tuple[FakeCluster, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def main() -> None:
        stop = asyncio.Event()
        try:
            serve = functools.partial(FaultyApiServer, rules=rules, faults=Faults(list(faults)))
            async with FakeCluster(options, serve) as fake:
                started.set_result((fake, asyncio.get_running_loop(), stop))
                await stop.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    thread = threading.Thread(target=asyncio.run, args=(main(),), name="fake-cluster")
    thread.start()
    fake, loop, stop = started.result(timeout=20)
    try:
        yield Running(fake, loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=20)
        assert not thread.is_alive()


def quota(cluster: Running, most: int) -> Callable[[dict[str, Any]], str]:
    """A quota of pods in each namespace, as Kubernetes' admission words it."""

    def admission(pod: dict[str, Any]) -> str:
        used = sum(one.template.namespace == pod["metadata"]["namespace"] for one in cluster.fake.node.pods)
        return f"exceeded quota: pods, requested: pods=1, used: pods={used}, limited: pods={most}" * (used >= most)

    return admission


def restricted(pod: dict[str, Any]) -> str:
    """Pod Security's level "restricted", as far as two of its rules go."""
    found = []
    for container in pod["spec"]["containers"]:
        context, name = container.get("securityContext") or {}, f'container "{container["name"]}"'
        if context.get("allowPrivilegeEscalation") is not False:
            found.append(
                f"allowPrivilegeEscalation != false ({name} must set securityContext.allowPrivilegeEscalation=false)"
            )
        if context.get("runAsNonRoot") is not True:
            found.append(f"runAsNonRoot != true (pod or {name} must set securityContext.runAsNonRoot=true)")
    return f'violates PodSecurity "restricted:latest": {", ".join(found)}' if found else ""


def service(name: str = "sd", image: str = "stub", **template: Any) -> dict[str, Any]:
    """A Service; ``annotations`` are short names, ``args`` the stub's options, the rest fields of the pod."""
    annotations = {
        f"autoscaling.knative.dev/{key}": str(value) for key, value in template.pop("annotations", {}).items()
    }
    container: dict[str, Any] = {"image": image, "args": template.pop("args", [])}
    container.update(template.pop("container", {}))
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "metadata": {"annotations": annotations},
                "spec": {"containerConcurrency": 1, "timeoutSeconds": 8, "containers": [container], **template},
            }
        },
    }


def inference_service(name: str, image: str = "stub", args: Sequence[str] = (), **predictor: Any) -> dict[str, Any]:
    """An InferenceService whose predictor is a container of its own."""
    container = {"image": image, "args": list(args)}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": {"containerConcurrency": 1, "timeout": 5, "containers": [container], **predictor}},
    }


def plan(manifest: dict[str, Any] | None = None, **fields: Any) -> Plan:
    """A plan for `service` with short deadlines."""
    values: dict[str, Any] = {"timeout_s": 8.0, "waits": WAITS, "namespace": "default"}
    return Plan(manifest=manifest or service(), **{**values, **fields})


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is true."""
    end_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end_s, "not in time"
        time.sleep(0.02)
