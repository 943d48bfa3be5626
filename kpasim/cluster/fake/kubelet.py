"""Pods: from a place on the node to a process that answers, and back.

A pod here is one server process on a loopback address of its own. Scheduler, kubelet and the pod's part of the
endpoints controller are this file; what they take no time for on this machine takes none.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import aiohttp

from kpasim.cluster.fake.clock import Clock, stamp
from kpasim.cluster.fake.processes import Process, Processes
from kpasim.cluster.fake.queueproxy import QueueProxy
from kpasim.cluster.fake.store import Events, NotFoundError, Store, written
from kpasim.cluster.objects import PODS, REVISION_LABEL, SERVICE_LABEL, Document, status_of
from kpasim.policy import pods
from kpasim.spec.manifest import ServiceManifest

_POLL_S = 0.05
_POLL_TIMEOUT_S = 0.3
_KUBELET_PERIOD_S = 10.0
_FIRST_RESTART_S = 10.0
_LONGEST_RESTART_S = 300.0


@dataclass(frozen=True)
class Image:
    """What the fake cluster runs for a container image.

    Attributes:
        command: Program and arguments; ``{host}`` and ``{port}`` are replaced. The manifest's ``args`` follow.
        fails: Why it cannot be pulled, empty where it can.
    """

    command: tuple[str, ...] = ()
    fails: str = ""


@dataclass(frozen=True)
class Template:
    """What the pods of a revision have in common.

    Attributes:
        service: Name of the Service, whose limits and probe are in its ``manifest``.
    """

    namespace: str
    service: str
    revision: str
    manifest: ServiceManifest
    containers: Sequence[Document]
    labels: Mapping[str, str]

    @property
    def object_labels(self) -> dict[str, str]:
        """Labels of the revision's objects."""
        own = {"app": self.revision, "serving.knative.dev/configuration": self.service}
        return {**self.labels, **own, SERVICE_LABEL: self.service, REVISION_LABEL: self.revision}

    @property
    def container(self) -> str:
        """Name of the container that serves."""
        return str(self.containers[0]["name"])

    @property
    def probe_path(self) -> str:
        """Path of the readiness probe; empty for a TCP connect."""
        get = (self.containers[0].get("readinessProbe") or {}).get("httpGet")
        return str(get.get("path") or "/") if get else ""


def free_address() -> tuple[str, int]:
    """A loopback address for a pod: of 127/8 where the system has all of it, 127.0.0.1 elsewhere, and a free port.

    Whatever else listens on this machine, on all addresses too, a pod finds a place. Addresses are random, so that
    their order is not that of creation.
    """
    drawn = f"127.{64 + secrets.randbelow(190)}.{secrets.randbelow(250)}.{1 + secrets.randbelow(250)}"
    for host in (drawn, "127.0.0.1"):
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind((host, 0))
            return host, int(free.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


@dataclass(eq=False)
class Node:
    """The one node: what fits on it, and what runs on it. A pod that asks for too many GPUs waits unschedulable.

    Attributes:
        admissions: Called with each pod before it is created; they return why it may not be, or nothing.
    """

    store: Store
    clock: Clock
    processes: Processes
    events: Events
    images: dict[str, Image]
    session: aiohttp.ClientSession
    gpus: int = 0
    admissions: list[Callable[[Document], str]] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    random: Random = field(default_factory=Random)
    freed: asyncio.Event = field(default_factory=asyncio.Event)

    def refusal(self, namespace: str, name: str, containers: Sequence[Document]) -> str:
        """What the API server would answer to a pod that admission refuses, empty where it would take it."""
        pod = {"metadata": {"name": name, "namespace": namespace}, "spec": {"containers": list(containers)}}
        why = next(filter(None, (admission(pod) for admission in self.admissions)), "")
        return f'pods "{name}" is forbidden: {why}' if why else ""

    def fits(self, template: Template) -> bool:
        """Whether a pod finds the GPUs that it asks for."""
        taken = sum(pod.template.manifest.gpus for pod in self.pods if pod.scheduled)
        return template.manifest.gpus <= self.gpus - taken

    def run(self, template: Template, changed: Callable[[Pod], None]) -> Pod:
        """Create a pod; ``changed`` is called whenever something about it changes."""
        pod = Pod(self, template, changed)
        self.pods.append(pod)
        pod.task = asyncio.ensure_future(pod.live())
        pod.task.add_done_callback(tell_failure)
        return pod

    async def close(self) -> None:
        """End all pods at once."""
        tasks = [pod.task for pod in self.pods if pod.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Pod:
    """One pod.

    Attributes:
        usable: Whether the activator's probe has found it.
        uid: Random identity that breaks ties between pods.
    """

    def __init__(self, node: Node, template: Template, changed: Callable[[Pod], None]) -> None:
        self.node, self.template = node, template
        self._changed = changed
        self.name = f"{template.revision}-deployment-{secrets.token_hex(5)}-{secrets.token_hex(3)[:5]}"
        self.address = free_address()
        self.proxy = QueueProxy(node.clock, template.manifest.container_concurrency)
        self.scheduled = self.ready = self.usable = self.going = False
        self.created_ns = node.clock.now_ns()
        self.ready_since_ns = 0
        self.uid = secrets.randbits(62)
        self.restarts = 0
        self.task: asyncio.Task[None] | None = None
        self._asked_to_go_ns = 0
        self._first_started_at = self._started_at = ""
        self._going = asyncio.Event()
        self._process: Process | None = None
        metadata = {"name": self.name, "namespace": template.namespace, "labels": template.object_labels}
        status: Document = {"phase": "Pending", "conditions": []}
        spec = {"containers": list(template.containers)}
        node.store.create(PODS, {"metadata": metadata, "spec": spec, "status": status})

    @property
    def sort_key(self) -> str:
        """Address as the activator sorts it: as text."""
        return f"{self.address[0]}:{self.address[1]}"

    @property
    def phase(self) -> int:
        """How far it has come, as the policy's scale-down asks."""
        return pods.phase_of(self.scheduled, self._process is not None)

    @property
    def url(self) -> str:
        """Where its process answers."""
        return f"http://{self.address[0]}:{self.address[1]}"

    def go(self) -> None:
        """Ask the pod to go."""
        if self.going:
            return
        self.going = True
        self.ready = self.usable = False
        self._asked_to_go_ns = self.node.clock.now_ns()
        grace_s = int(self.template.manifest.timeout_s)
        # As Kubernetes does: not when it was asked to go, but when it must be gone.
        self._merge(metadata={"deletionTimestamp": stamp(grace_s), "deletionGracePeriodSeconds": grace_s})
        self._tell("Killing", f"Stopping container {self.template.container}")
        self._going.set()
        self._changed(self)

    async def live(self) -> None:
        """Go through the pod's life, from being scheduled to being gone."""
        life = asyncio.ensure_future(self._run())
        try:
            await self._going.wait()
            if self._process is not None and self._process.running:
                await self._drain()
        finally:
            life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await life
            if self._process is not None:
                self._process.signal(signal.SIGKILL)
                await self._process.wait()
            self.going, self.ready, self.usable, self.scheduled = True, False, False, False
            self.node.pods.remove(self)
            self.node.store.remove(PODS, self.template.namespace, self.name)
            self.node.freed.set()
            self._changed(self)

    async def answers(self, timeout_s: float) -> bool:
        """Probe the process once, as the manifest's readiness probe says."""
        path = self.template.probe_path
        try:
            async with asyncio.timeout(timeout_s):
                if path:
                    async with self.node.session.get(self.url + path, allow_redirects=False) as reply:
                        return 200 <= reply.status < 400
                _, writer = await asyncio.open_connection(*self.address)
                writer.close()
                return True
        except (OSError, TimeoutError, aiohttp.ClientError):
            return False

    async def _run(self) -> None:
        await self._schedule()
        image_name = self.template.manifest.image
        image = self.node.images.get(image_name)
        if image is None or image.fails:
            message = image.fails if image else "not one that the local cluster knows"
            self._set_waiting("ErrImagePull", message)
            self._tell("Failed", f'Failed to pull image "{image_name}": {message}')
            self._changed(self)
            await self._going.wait()
            return
        self._tell("Pulling", f'Pulling image "{image_name}"')
        self._tell("Pulled", f'Successfully pulled image "{image_name}"')
        host, port = self.address
        command = [part.replace("{host}", host).replace("{port}", str(port)) for part in image.command]
        pause_s = 0.0
        while True:
            arguments = map(str, self.template.containers[0].get("args") or ())
            self._process = self.node.processes.start([*command, *arguments], self._environment())
            self._set_running()
            watches = [asyncio.ensure_future(self._probe_for_activator()), asyncio.ensure_future(self._probe())]
            try:
                exit_status = await self._process.wait()
            finally:
                for task in watches:
                    task.cancel()
                await asyncio.gather(*watches, return_exceptions=True)
            if self.going:
                return
            self._set_crashed(exit_status, list(self._process.tail))
            await self.node.clock.sleep(pause_s)
            pause_s = min(max(_FIRST_RESTART_S, 2 * pause_s), _LONGEST_RESTART_S)
            self.restarts += 1

    async def _schedule(self) -> None:
        told = False
        while not self.node.fits(self.template):
            if not told:
                told = True
                message = (
                    "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: "
                    "0/1 nodes are available: 1 No preemption victims found for incoming pod."
                )
                self._set_conditions(PodScheduled=("False", "Unschedulable", message))
                self._tell("FailedScheduling", message)
                self._changed(self)
            self.node.freed.clear()
            await self.node.freed.wait()
        self.scheduled = True
        self._merge(spec={"nodeName": "local"})
        self._set_conditions(PodScheduled=("True", "", ""))
        where = f"{self.template.namespace}/{self.name}"
        self._tell("Scheduled", f"Successfully assigned {where} to local")

    async def _probe_for_activator(self) -> None:
        """The activator's probes, which queue-proxy answers from its own polling."""
        probe = self.template.manifest.probe
        period_s, timeout_s = (_POLL_S, 0.1) if probe.period_s == 0 else (0.2, _POLL_TIMEOUT_S)
        while True:
            if not self.usable and not self.going and await self.answers(timeout_s) and not self.going:
                self.usable = True
                self._started()
                self._changed(self)
            await self.node.clock.sleep(period_s)

    async def _probe(self) -> None:
        """The kubelet's readiness probe."""
        probe = self.template.manifest.probe
        period_s = probe.period_s or _KUBELET_PERIOD_S
        clock = self.node.clock
        await clock.sleep(probe.initial_delay_s + self.node.random.uniform(0, min(period_s, 1.0)))
        passed = failed = 0
        while True:
            begun_ns = clock.now_ns()
            good = await self._kubelet_sees(begun_ns)
            passed, failed = (passed + 1, 0) if good else (0, failed + 1)
            if passed >= probe.success_threshold and not self.ready and not self.going:
                self.ready = self.usable = True
                self.ready_since_ns = clock.now_ns()
                self._started()
                self._set_container({"running": {"startedAt": self._started_at}})
                self._set_conditions(ContainersReady=("True", "", ""), Ready=("True", "", ""))
                self._changed(self)
            if failed >= probe.failure_threshold and self.ready:
                self._set_not_ready()
            await clock.sleep(max(0.0, period_s - (clock.now_ns() - begun_ns) / 1e9))

    def _started(self) -> None:
        if self._process is not None:
            self._process.run_on(all_cores=True)

    async def _kubelet_sees(self, begun_ns: int) -> bool:
        probe, clock = self.template.manifest.probe, self.node.clock
        if probe.period_s:
            return await self.answers(probe.timeout_s)
        # Aggressive: queue-proxy polls while the kubelet waits.
        while not await self.answers(0.1):
            if clock.now_ns() - begun_ns > probe.timeout_s * 1e9:
                return False
            await clock.sleep(_POLL_S)
        return True

    async def _drain(self) -> None:
        """SIGTERM to queue-proxy; the server's own follows after the quiet time; SIGKILL after the grace period."""
        assert self._process is not None
        clock = self.node.clock
        self.proxy.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(clock.real(self.template.manifest.timeout_s)):
                await self.proxy.quiet(self._asked_to_go_ns)
                self._process.signal(signal.SIGTERM)
                await self.proxy.empty()
                await self._process.wait()

    def _environment(self) -> dict[str, str]:
        given = self.template.containers[0].get("env") or ()
        return {
            **{str(entry["name"]): str(entry["value"]) for entry in given if "value" in entry},
            "PORT": str(self.address[1]),
            "HOSTNAME": self.name,
            "K_SERVICE": self.template.service,
            "K_CONFIGURATION": self.template.service,
            "K_REVISION": self.template.revision,
        }

    def _tell(self, reason: str, message: str) -> None:
        """Write an event about the pod."""
        self.node.events.add("Pod", self.template.namespace, self.name, reason, message)

    def _merge(self, **sections: Document) -> None:
        with contextlib.suppress(NotFoundError):
            self.node.store.merge(PODS, self.template.namespace, self.name, **sections)

    def _update(self, change: Callable[[Document], None]) -> None:
        with contextlib.suppress(NotFoundError):
            self.node.store.update(
                PODS, self.template.namespace, self.name, lambda document: change(status_of(document))
            )

    def _set_conditions(self, **conditions: tuple[str, str, str]) -> None:
        def change(status: Document) -> None:
            changed = {kind: written(kind, *words, lastProbeTime=None) for kind, words in conditions.items()}
            status["conditions"] = list(({entry["type"]: entry for entry in status["conditions"]} | changed).values())

        self._update(change)

    def _set_container(self, state: Document, last: Document | None = None) -> None:
        """The user container as it is, beside queue-proxy, which runs as soon as the pod has its place."""
        running = "running" in state

        def change(status: Document) -> None:
            before = {entry["name"]: entry for entry in status.get("containerStatuses") or []}
            proxy = before.get("queue-proxy", {}).get("state") or {"running": {"startedAt": stamp()}}
            kept = before.get(self.template.container, {}).get("lastState") or {}
            status.update(hostIP="127.0.0.1", podIP=self.address[0], podIPs=[{"ip": self.address[0]}])
            own: Document = {"name": self.template.container, "image": self.template.manifest.image, "state": state}
            own |= {"restartCount": self.restarts, "started": running, "lastState": kept if last is None else last}
            sidecar: Document = {"name": "queue-proxy", "image": "queue-proxy", "state": proxy}
            sidecar |= {"restartCount": 0, "started": True, "lastState": {}}
            status["containerStatuses"] = [{**one, "ready": self.ready} for one in (own, sidecar)]

        self._update(change)

    def _set_running(self) -> None:
        self._started_at = stamp()
        self._first_started_at = self._first_started_at or self._started_at
        self._merge(status={"phase": "Running", "startTime": self._first_started_at})
        self._set_container({"running": {"startedAt": self._started_at}})
        self._set_unready(PodReadyToStartContainers=("True", "", ""), Initialized=("True", "", ""))
        self._tell("Started", f"Started container {self.template.container}")

    def _set_waiting(self, reason: str, message: str, last: Document | None = None) -> None:
        self._set_container({"waiting": {"reason": reason, "message": message}}, last)
        self._set_unready(PodReadyToStartContainers=("True", "", ""), Initialized=("True", "", ""))

    def _set_unready(self, **others: tuple[str, str, str]) -> None:
        why = ("False", "ContainersNotReady", f"containers with unready status: [{self.template.container}]")
        self._set_conditions(**others, ContainersReady=why, Ready=why)

    def _set_not_ready(self) -> None:
        self.ready = self.usable = False
        self._set_unready()
        self._changed(self)

    def _set_crashed(self, exit_status: int, tail: Sequence[str]) -> None:
        last: str = tail[-1] if tail else ""
        if self.ready or self.usable:
            self._set_not_ready()
        words = f"container {self.template.container} in pod {self.name}"
        ended = {"terminated": {"exitCode": exit_status, "reason": "Error", "message": last, "finishedAt": stamp()}}
        self._set_waiting("CrashLoopBackOff", f"back-off 10s restarting failed {words}", ended)
        self._tell("BackOff", f"Back-off restarting failed {words}")
        self._changed(self)


def tell_failure(task: asyncio.Task[None]) -> None:
    """Have the event loop report a task that ended with an error, which nobody awaits while the fake cluster runs."""
    if not task.cancelled() and task.exception() is not None:
        context = {"message": "a part of the fake cluster has failed", "exception": task.exception(), "task": task}
        task.get_loop().call_exception_handler(context)
