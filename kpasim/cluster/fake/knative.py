"""Knative's controllers, as far as an adapter meets them: webhooks, revisions, traffic, status."""

import asyncio
import secrets
from typing import Any

from kpasim.cluster import objects
from kpasim.cluster.fake.apiserver import ACCOUNT, ApiServer, DeniedError
from kpasim.cluster.fake.clock import stamp
from kpasim.cluster.fake.gateway import Gateway
from kpasim.cluster.fake.kubelet import Node, Template
from kpasim.cluster.fake.scaler import Revision
from kpasim.cluster.fake.store import NotFoundError, Store
from kpasim.cluster.objects import SERVICES, Document, Resource, labels_of, meta, name_of
from kpasim.spec.autoscaler import AutoscalerConfig, parse_config
from kpasim.spec.base import dotted
from kpasim.spec.configmaps import ClusterConfig
from kpasim.spec.manifest import service_of
from kpasim.spec.webhook import review

DOMAIN = "example.com"
_DENIED = 'admission webhook "validation.webhook.serving.knative.dev" denied the request: validation '


class Knative:
    """Turns Services into revisions and keeps their status; ``config`` holds the data of config-autoscaler."""

    def __init__(self, store: Store, server: ApiServer, node: Node, gateway: Gateway, config: dict[str, str]) -> None:
        self.store, self.node, self.gateway = store, node, gateway
        self.config: AutoscalerConfig = parse_config(config)
        self._services: dict[tuple[str, str], _Service] = {}
        self._closing: set[asyncio.Task[None]] = set()
        server.admissions[SERVICES] = self._admit
        server.deletions[SERVICES] = self._delete
        store.listeners.append(self._wrote)
        server.ports[objects.SYSTEM_NAMESPACE, "autoscaler-0", 9090] = self.metrics

    async def stop(self) -> None:
        """Stop all controllers; objects and pods stay as they are."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        for service in self._services.values():
            await service.stop()

    async def metrics(self, _path: str) -> str:
        """The autoscaler's metrics endpoint."""
        lines = []
        for service in self._services.values():
            for revision in service.revisions:
                about = revision.template
                tags = (
                    f'k8s_namespace_name="{about.namespace}",kn_revision_name="{about.revision}",'
                    f'kn_service_name="{about.service}"'
                )
                lines += [f"{name}{{{tags}}} {value:.9g}" for name, value in revision.gauges.items()]
        return "\n".join(lines) + "\n"

    # -- webhooks ----------------------------------------------------------------------------------------------------

    def _admit(self, new: Document, dry: bool) -> None:
        """Check and complete a Service as Knative's webhooks do; a dry run asks for a pod as well.

        Source:
            knative/serving, pkg/webhook/podspec_dryrun.go.
        """
        verdict = review(new, ClusterConfig(self.config))
        problems = [f"{fault.message}: {dotted(fault.place)}" for fault in verdict.faults]
        if problems or verdict.defaulted is None:
            raise DeniedError(f"{_DENIED}failed: {'; '.join(problems)}")
        spec = new["spec"]["template"]["spec"] = verdict.defaulted
        if len(spec["containers"]) > 1:
            raise DeniedError(f"{_DENIED}failed: the fake cluster runs one container per pod: spec.template.spec")
        meta(new).setdefault("annotations", {}).setdefault("serving.knative.dev/creator", ACCOUNT)
        meta(new)["annotations"]["serving.knative.dev/lastModifier"] = ACCOUNT
        new["spec"].setdefault("traffic", [{"latestRevision": True, "percent": 100}])
        if dry:
            name = f"dry-run-validation{secrets.token_hex(3)[:5]}"
            refused = self.node.refusal(meta(new)["namespace"], name, spec["containers"])
            if refused:
                raise DeniedError(f"{_DENIED}callback failed: dry run failed with {refused}: spec.template")

    # -- Services ----------------------------------------------------------------------------------------------------

    def _wrote(self, resource: Resource, kind: str, document: Document) -> None:
        if resource is not SERVICES or kind == "DELETED" or meta(document).get("deletionTimestamp"):
            return
        key = (meta(document)["namespace"], name_of(document))
        service = self._services.get(key)
        if service is None:
            service = self._services[key] = _Service(self, *key)
        # Not now: this is called in the middle of a write.
        asyncio.get_running_loop().call_soon(service.follow)

    def _delete(self, namespace: str, name: str) -> None:
        """Foreground deletion: the Service goes when its pods are gone."""
        service = self._services.pop((namespace, name), None)
        if service is None:
            return
        self.store.merge(SERVICES, namespace, name, metadata={"deletionTimestamp": stamp()})
        self.gateway.routes.pop(f"{name}.{namespace}.{DOMAIN}", None)
        task = asyncio.ensure_future(service.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Service:
    """One Service: its revisions, and which of them has the traffic."""

    def __init__(self, knative: Knative, namespace: str, name: str) -> None:
        self._knative = knative
        self._namespace, self._name = namespace, name
        self._template: Any = None
        self._generation = 0
        self._ready: Revision | None = None
        self._closed = False
        self._due = False
        self.revisions: list[Revision] = []

    def follow(self) -> None:
        """Make a revision where the template changed, move the traffic where one became ready, write the status."""
        self._due = False
        if self._closed:
            return
        try:
            document = self._knative.store.get(SERVICES, self._namespace, self._name)
        except NotFoundError:
            return
        template = document["spec"]["template"]
        if template != self._template:
            self._template = template
            self._generation += 1
            self.revisions.append(self._revision(document))
        latest = self.revisions[-1]
        if latest is not self._ready and len(latest.ready_pods()) >= latest.settings.initial_scale:
            old, self._ready = self._ready, latest
            self._knative.gateway.routes[f"{self._name}.{self._namespace}.{DOMAIN}"] = latest
            if old is not None:
                old.retire()
        self._write(document, latest)

    async def stop(self) -> None:
        """Stop scaling."""
        self._closed = True
        for revision in self.revisions:
            await revision.stop()

    async def close(self) -> None:
        """Take everything down, last the Service itself."""
        self._closed = True
        await asyncio.gather(*(revision.close() for revision in self.revisions))
        self._knative.store.remove(SERVICES, self._namespace, self._name)

    def _later(self) -> None:
        if not self._due and not self._closed:
            self._due = True
            asyncio.get_running_loop().call_soon(self.follow)

    def _revision(self, document: Document) -> Revision:
        template = document["spec"]["template"]
        return Revision(
            Template(
                namespace=self._namespace,
                service=self._name,
                revision=f"{self._name}-{self._generation:05d}",
                manifest=service_of(document, self._knative.config),
                containers=template["spec"]["containers"],
                labels=labels_of(template),
            ),
            self._knative.node,
            self._later,
        )

    def _write(self, document: Document, latest: Revision) -> None:
        status: Document = {
            "observedGeneration": meta(document).get("generation", 1),
            "latestCreatedRevisionName": latest.template.revision,
            "url": f"http://{self._name}.{self._namespace}.{DOMAIN}",
            "address": {"url": f"http://{self._name}.{self._namespace}.svc.cluster.local"},
            "conditions": self._conditions(latest),
        }
        if self._ready is not None:
            status["latestReadyRevisionName"] = self._ready.template.revision
            status["traffic"] = [
                {"revisionName": self._ready.template.revision, "percent": 100, "latestRevision": True}
            ]
        self._knative.store.set_status(SERVICES, self._namespace, self._name, status)

    def _conditions(self, latest: Revision) -> list[Document]:
        """ConfigurationsReady, Ready and RoutesReady, in Knative's words.

        Source:
            knative/serving, pkg/apis/serving/v1/configuration_lifecycle.go, route_lifecycle.go, service_lifecycle.go.
        """
        if self._ready is latest:
            return [{"type": kind, "status": "True"} for kind in ("ConfigurationsReady", "Ready", "RoutesReady")]
        revision, trouble = latest.template.revision, self._trouble(latest)
        if trouble:
            revisions = {
                "status": "False",
                "reason": "RevisionFailed",
                "message": f'Revision "{revision}" failed with message: {trouble}.',
            }
            missing = f'Configuration "{self._name}" does not have any ready Revision.'
        else:
            revisions = {"status": "Unknown"}
            missing = f'Configuration "{self._name}" is waiting for a Revision to become ready.'
        routes = {"status": revisions["status"], "reason": "RevisionMissing", "message": missing}
        if self._ready is not None:  # an earlier revision still has the traffic
            routes = {"status": "True"}
        overall = revisions if routes["status"] == "True" else routes
        return [
            {"type": "ConfigurationsReady", **revisions},
            {"type": "Ready", **overall},
            {"type": "RoutesReady", **routes},
        ]

    def _trouble(self, revision: Revision) -> str:
        """What the revision's status says of a failure, empty where there is none.

        Source:
            knative/serving, pkg/reconciler/revision/reconcile_resources.go, resolve.go, pkg/apis/serving/v1/
            revision_lifecycle.go.
        """
        if revision.trouble:
            return revision.trouble
        store = self._knative.store
        for pod in store.all(
            objects.PODS, self._namespace, f"serving.knative.dev/revision={revision.template.revision}"
        ):
            scheduled = objects.condition(pod, "PodScheduled")
            if scheduled.get("status") == "False":
                return str(scheduled["message"]).removesuffix(".")
            for container in objects.status_of(pod).get("containerStatuses") or ():
                waiting = objects.waiting_of(container)
                ended = (container.get("lastState") or {}).get("terminated")
                if waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff"):
                    image = revision.template.manifest.image
                    return f'Unable to fetch image "{image}": failed to resolve image to digest: {waiting["message"]}'
                if waiting.get("reason") == "CrashLoopBackOff" and ended:
                    return f"Container failed with: {ended['message']}"
        return ""
