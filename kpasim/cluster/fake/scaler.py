"""Knative's autoscaler for one revision, in real time: scrape, tick, poke, reconcile.

Every number it decides on comes from ``kpasim.policy``; here are the clocks, the objects it keeps up to date and the
Deployment that follows it.
"""

import asyncio
import functools
import random
import secrets
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import numpy as np

from kpasim.cluster.fake.clock import Clock
from kpasim.cluster.fake.gateway import Activator
from kpasim.cluster.fake.kubelet import Node, Pod, Template, tell_failure
from kpasim.cluster.fake.store import NotFoundError, written
from kpasim.cluster.objects import DEPLOYMENTS, POD_AUTOSCALERS, SERVERLESS_SERVICES, Document
from kpasim.engines.lower import of_revision
from kpasim.engines.model import kpa
from kpasim.policy import burst, decider, delay, pods, scaler, scraping, windows

_SECOND_NS = 1_000_000_000
_TICK_S = 2.0
_REPORT_S = 1.0


class Revision:
    """One revision: its pods, its share of the activator, and the autoscaler's view of it.

    ``changed`` is called when the number of ready pods changed or something failed.

    Attributes:
        reachable: Whether a route leads to it.
        trouble: Why it cannot have all its pods, empty where it can.
        gauges: What the autoscaler's metrics show, by name; empty before the first decision.
    """

    def __init__(self, template: Template, node: Node, changed: Callable[[], None]) -> None:
        self.template, self.node = template, node
        self.settings = settings = template.manifest.revision
        self._changed = changed
        self.clock: Clock = node.clock
        self.activator = Activator(self.clock, template.manifest.container_concurrency, self._activator_told)
        self.pods: list[Pod] = []
        self.reachable = True
        self.trouble = ""
        self.gauges: dict[str, float] = {}
        self._hash = secrets.token_hex(5)
        self._random = random.Random()
        self._numbers = SimpleNamespace(**of_revision(settings))
        self._stable = windows.new_ring(settings.stable_window_s)
        self._panic = windows.new_ring(settings.panic_window_s)
        self._slots = delay.new_slots(settings.scale_down_delay_s)
        self._panicking = np.zeros(2, dtype=np.int64)
        decider.start(self._panicking, self.clock.now_ns(), 0)
        self._desired, self._excess = decider.initial_status(kpa.limits(self._numbers, 1), settings.initial_scale)
        self._replicas = settings.initial_scale
        self._active, self._reason, self._active_since_ns = scaler.ABSENT, scaler.NO_REASON, self.clock.now_ns()
        self._initialized = False
        self._mode = burst.PROXY
        self._proxy_since_ns: int | None = self.clock.now_ns()
        self._shown = -1
        self._again: asyncio.TimerHandle | None = None
        self._stopped = False
        self._tasks: list[asyncio.Task[None]] = []
        self._publish_objects()
        self._follow_replicas()
        self._reconcile()
        for work, period_s in ((self._scrape, 1.0), (self._tick, _TICK_S), (self.activator.report, _REPORT_S)):
            self._start(self._every(period_s, work))
        self._start(self._retry_pods())

    @property
    def path(self) -> int:
        """``burst.SERVE`` or ``burst.PROXY``: where requests go now."""
        return burst.effective_mode(self._mode, len(self.ready_pods()), 1)

    def ready_pods(self) -> list[Pod]:
        """Pods that Kubernetes calls ready, by address."""
        return sorted((pod for pod in self.pods if pod.ready and not pod.going), key=lambda pod: pod.sort_key)

    def retire(self) -> None:
        """The revision has lost its traffic."""
        self.reachable = False
        self._reconcile()

    async def stop(self) -> None:
        """Stop scaling; pods stay as they are."""
        self._stopped = True
        if self._again is not None:
            self._again.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Stop scaling and let all pods go; returns when they are gone."""
        await self.stop()
        for pod in list(self.pods):
            pod.go()
        while self.pods:
            self.node.freed.clear()
            await self.node.freed.wait()
        for resource in (POD_AUTOSCALERS, SERVERLESS_SERVICES):
            self.node.store.remove(resource, self.template.namespace, self.template.revision)
        self.node.store.remove(DEPLOYMENTS, self.template.namespace, self._deployment)

    # -- what is observed --------------------------------------------------------------------------------------------

    def _activator_told(self, concurrency: float, count: int) -> None:
        self._record(float(count) if self.settings.metric == "rps" else concurrency)
        if decider.pokes(self._desired, concurrency):
            self._tick()

    def _scrape(self) -> None:
        for pod in self.pods:
            pod.proxy.cut()
        ready = self.ready_pods()
        if self.settings.target_burst_capacity == -1 or not ready:
            return
        count = len(ready)
        wanted = scraping.sample_size(float(count))
        chosen = np.zeros(max(1, int(wanted)), dtype=np.int64)
        found = scraping.choose_pods(
            np.arange(count, dtype=np.int64),
            count,
            np.array([pod.created_ns for pod in ready], dtype=np.int64),
            np.ones(count, dtype=np.int64),
            np.array([self._random.random() for _ in ready]),
            self.clock.now_ns(),
            int(self.settings.stable_window_s * _SECOND_NS),
            int(wanted),
            chosen,
        )
        if found < wanted:
            return
        statistics = np.array([pod.proxy.snapshot for pod in ready])
        concurrency, proxied, arrivals, proxied_arrivals = scraping.combine(
            statistics, chosen, found, wanted, float(count)
        )
        if self.settings.metric == "rps":
            self._record(scraping.net(arrivals, proxied_arrivals))
        else:
            self._record(scraping.net(concurrency, proxied))

    def _record(self, value: float) -> None:
        now_s = self.clock.now_ns() // _SECOND_NS
        windows.record(self._stable, now_s, value)
        windows.record(self._panic, now_s, value)

    # -- what is decided ---------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_ns = self.clock.now_ns()
        now_s = now_ns // _SECOND_NS
        if windows.no_data(self._stable, now_s, self.settings.target_burst_capacity != -1):
            return
        stable = windows.average(self._stable, now_s, self._numbers.weight_stable)
        panic = windows.average(self._panic, now_s, self._numbers.weight_panic)
        ready = len(self.ready_pods())
        desired, excess, *_ = decider.tick(
            kpa.limits(self._numbers, int(self.reachable)), self._panicking, self._slots, now_ns, ready, stable, panic
        )
        # The exporter adds the unit of a rate to its name.
        average = "kn_revision_rps_{}_per_second" if self.settings.metric == "rps" else "kn_revision_concurrency_{}"
        self.gauges = {
            average.format("stable"): stable,
            average.format("panic"): panic,
            average.format("target"): self.settings.target_value,
            "kn_revision_pods_desired": float(desired),
            "kn_revision_capacity_excess": excess,
            "kn_revision_panic_mode": float(self._panicking[decider.PANIC_SINCE_NS] != decider.NEVER_NS),
        }
        wake = decider.needs_reconcile(self._desired, self._excess, desired, excess)
        self._desired, self._excess = desired, excess
        if wake:
            self._reconcile()

    def _reconcile(self) -> None:
        """One reconcile of the PodAutoscaler."""
        if self._stopped:
            return
        if self._again is not None:
            self._again.cancel()
            self._again = None
        now_ns, numbers = self.clock.now_ns(), self._numbers
        done = scaler.reconcile(
            kpa.rules_of(numbers, numbers.min_scale, numbers.max_scale, int(self.reachable)),
            self._desired,
            self._excess,
            len(self.ready_pods()),
            self._replicas,
            self._initialized,
            self._active,
            self._reason,
            now_ns - self._active_since_ns,
            self._mode,
            0 if self._proxy_since_ns is None else now_ns - self._proxy_since_ns,
            self._shown,
            # One activator that is always there: a probe through the public endpoints succeeds while they hold it.
            self.path == burst.PROXY,
        )
        if done.patch != scaler.NO_PATCH:
            self._replicas = done.patch
            self._follow_replicas()
        self._mode, self._initialized, self._shown = done.mode, done.initialized, done.desired
        self._note_proxy(now_ns)
        if (done.active, done.reason) != (self._active, self._reason):
            self._active, self._reason = done.active, done.reason
            # Kubernetes keeps the time of a change in whole seconds.
            self._active_since_ns = now_ns // _SECOND_NS * _SECOND_NS
        self._publish_objects()
        again_ns = scaler.PROBE_REQUEUE_NS if done.offered else done.requeue_ns
        if again_ns != scaler.NO_REQUEUE_NS:
            seconds = self.clock.real(again_ns / _SECOND_NS)
            self._again = asyncio.get_running_loop().call_later(max(0.001, seconds), self._reconcile)

    def _note_proxy(self, now_ns: int) -> None:
        backed = burst.activator_backed(self._mode, len(self.ready_pods()))
        if not backed:
            self._proxy_since_ns = None
        elif self._proxy_since_ns is None:
            self._proxy_since_ns = now_ns

    # -- what follows ------------------------------------------------------------------------------------------------

    def _follow_replicas(self) -> None:
        """The Deployment: as many pods as replicas, the least useful go first."""
        staying = [pod for pod in self.pods if not pod.going]
        while len(staying) < self._replicas:
            name = f"{self._deployment}-{self._hash}-{secrets.token_hex(3)[:5]}"
            message = self.node.refusal(self.template.namespace, name, self.template.containers)
            if message:
                if not self.trouble:
                    self.trouble = message
                    self.node.events.add(
                        "ReplicaSet", self.template.namespace, f"{self._deployment}-{self._hash}", "FailedCreate",
                        f"Error creating: {message}",
                    )  # fmt: skip
                    self._changed()
                return
            pod = self.node.run(self.template, self._pod_changed)
            self.pods.append(pod)
            staying.append(pod)
        self.trouble = ""
        for pod in sorted(staying, key=functools.cmp_to_key(self._compare))[: len(staying) - self._replicas]:
            pod.go()

    def _compare(self, one: Pod, other: Pod) -> int:
        on_node = len(self.pods)
        keys = [
            (pod.phase, int(pod.ready), pod.ready_since_ns, on_node, pod.restarts, pod.uid, pod.created_ns)
            for pod in (one, other)
        ]
        return -1 if pods.goes_first(*keys[0], *keys[1], self.clock.now_ns()) else 1

    def _pod_changed(self, pod: Pod) -> None:
        if pod not in self.node.pods and pod in self.pods:
            self.pods.remove(pod)
        self.activator.see(pod for pod in self.pods if (pod.ready or pod.usable) and not pod.going)
        self._note_proxy(self.clock.now_ns())
        if self._stopped:
            self._publish_objects()
        self._reconcile()
        self._changed()

    async def _retry_pods(self) -> None:
        """Create pods that could not be created before."""
        while True:
            await self.clock.sleep(1.0)
            if self.trouble:
                self._follow_replicas()

    async def _every(self, period_s: float, work: Callable[[], None]) -> None:
        """Run ``work`` at a drawn phase, then every ``period_s``, without drift."""
        next_ns = self.clock.now_ns() + int(self._random.random() * period_s * _SECOND_NS)
        while True:
            await self.clock.sleep(max(0.0, (next_ns - self.clock.now_ns()) / _SECOND_NS))
            work()
            # A late round is not caught up, as with Go's tickers.
            next_ns = max(next_ns + int(period_s * _SECOND_NS), self.clock.now_ns())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(tell_failure)
        self._tasks.append(task)

    @property
    def _deployment(self) -> str:
        return f"{self.template.revision}-deployment"

    def _publish_objects(self) -> None:
        about = self.template
        ready, pods_now = len(self.ready_pods()), sum(not pod.going for pod in self.pods)
        enough = ready >= self._replicas
        done = "has successfully progressed." if self._initialized else "is progressing."
        found = "NewReplicaSetAvailable" if self._initialized else "ReplicaSetUpdated"
        available = ("True", "MinimumReplicasAvailable") if enough else ("False", "MinimumReplicasUnavailable")
        has = f"Deployment {'has' if enough else 'does not have'} minimum availability."
        conditions = [
            written("Progressing", "True", found, f'ReplicaSet "{self._deployment}-{self._hash}" {done}'),
            written("Available", *available, has),
        ]
        if self.trouble:
            conditions.append(written("ReplicaFailure", "True", "FailedCreate", self.trouble))
        deployment: Document = {
            "replicas": pods_now,
            "updatedReplicas": pods_now,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": pods_now - ready,
            "terminatingReplicas": len(self.pods) - pods_now,
            "conditions": conditions,
        }
        # As an API server writes them: numbers that are zero are left out, but for those going.
        kept = {key: value for key, value in deployment.items() if value != 0 or key == "terminatingReplicas"}
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": self._deployment}
        self._publish(DEPLOYMENTS, self._deployment, {"replicas": self._replicas}, kept)
        populated = ("False", "", "")
        if self.path == burst.PROXY:
            populated = ("True", "ActivatorEndpointsPopulated", "Revision is backed by Activator")
        sks_ready = ready > 0 or self._active == scaler.FALSE
        there = ("True", "") if sks_ready else ("Unknown", "NoHealthyBackends")
        self._publish(
            SERVERLESS_SERVICES,
            about.revision,
            {
                "mode": burst.MODES[self._mode],
                "numActivators": burst.MIN_ACTIVATORS,
                "objectRef": target,
                "protocolType": "http1",
            },
            {
                "serviceName": about.revision,
                "privateServiceName": f"{about.revision}-private",
                "conditions": [
                    written("ActivatorEndpointsPopulated", *populated, severity="Info"),
                    written("EndpointsPopulated", *there),
                    written("Ready", *there),
                ],
            },
        )
        active = _in_words(self._active, self._reason)
        overall = _in_words(*scaler.ready_condition(self._active, self._reason, sks_ready))
        self._publish(
            POD_AUTOSCALERS,
            about.revision,
            {
                "containerConcurrency": about.manifest.container_concurrency,
                "protocolType": "http1",
                "reachability": "Reachable" if self.reachable else "Unreachable",
                "scaleTargetRef": target,
            },
            {
                "desiredScale": self._shown,
                "actualScale": ready,
                "serviceName": about.revision,
                "metricsServiceName": f"{about.revision}-private",
                "conditions": []
                if self._active == scaler.ABSENT
                else [
                    written("Active", *active),
                    written("Ready", *overall),
                    written("SKSReady", *there),
                    written("ScaleTargetInitialized", "True" if self._initialized else "Unknown"),
                ],
            },
        )

    def _publish(self, resource: Any, name: str, spec: Document, status: Document) -> None:
        store, namespace = self.node.store, self.template.namespace

        def change(document: Document) -> None:
            # The store raises the generation after this change.
            raised = document.get("spec", spec) != spec
            status["observedGeneration"] = int(document["metadata"].get("generation", 1)) + raised
            document["spec"], document["status"] = spec, status

        try:
            store.update(resource, namespace, name, change)
        except NotFoundError:
            metadata = {"name": name, "namespace": namespace, "labels": self.template.object_labels}
            document: Document = {"metadata": metadata}
            change(document)
            store.create(resource, document)


def _in_words(status: int, reason: int) -> tuple[str, str]:
    """Status and reason of a condition."""
    return scaler.CONDITIONS[status], scaler.REASONS[reason]
