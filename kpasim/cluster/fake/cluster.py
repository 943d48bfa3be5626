"""The fake cluster as a whole: put together, started, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from kpasim.cluster import objects
from kpasim.cluster.fake.apiserver import KIND_OF, ApiServer
from kpasim.cluster.fake.clock import Clock
from kpasim.cluster.fake.gateway import Gateway
from kpasim.cluster.fake.knative import Knative
from kpasim.cluster.fake.kserve import KServe
from kpasim.cluster.fake.kubelet import Image, Node
from kpasim.cluster.fake.processes import Processes
from kpasim.cluster.fake.store import Events, Store, copied
from kpasim.spec.yamlfile import packaged

CONTEXT = "kpasim-local"


@dataclass(frozen=True)
class Options:
    """What a fake cluster is like.

    Attributes:
        images: What is run for each container image.
        speed: How much faster than the machine's clock Knative's clocks run.
        gpus: GPUs of the one node.
    """

    images: Mapping[str, Image] = field(default_factory=dict)
    config_autoscaler: Mapping[str, str] = field(default_factory=dict)
    speed: float = 1.0
    gpus: int = 0

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Options:
        """What `to_json` wrote."""
        found: dict[str, Any] = json.loads(text)
        for name, image in found["images"].items():
            found["images"][name] = Image(**{**image, "command": tuple(image["command"])})
        return Options(**found)


class FakeCluster:
    """A running fake cluster; use it as an asynchronous context manager.

    Attributes:
        kubeconfig: File that leads an adapter to it; its context is ``CONTEXT``.
        gateway_url: Where its Services answer.
    """

    def __init__(self, options: Options, serve: Callable[[Store], ApiServer] = ApiServer) -> None:
        self._options = options
        self._stack = contextlib.AsyncExitStack()
        self.clock = Clock(options.speed)
        self.store = Store()
        self.server = serve(self.store)
        self.kubeconfig = Path()
        self.gateway_url = ""

    async def __aenter__(self) -> FakeCluster:
        """Start everything."""
        folder = Path(tempfile.mkdtemp(prefix="kpasim-local-"))
        processes = Processes(folder)  # from here on the reaper removes the folder
        self._stack.push_async_callback(processes.close)
        try:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            self._stack.push_async_callback(session.close)
            events = Events(self.store)
            images = dict(self._options.images)
            self.node = Node(self.store, self.clock, processes, events, images, session, self._options.gpus)
            self._stack.push_async_callback(self.node.close)
            gateway = Gateway(session)
            self.knative = Knative(self.store, self.server, self.node, gateway, dict(self._options.config_autoscaler))
            self._stack.push_async_callback(self.knative.stop)
            KServe(self.store, self.server, self.knative)
            gateway_port = await self._serve(gateway.application())
            api_port = await self._serve(self.server.application())
            self.gateway_url = f"http://127.0.0.1:{gateway_port}"
            self._install(gateway_port)
            self.kubeconfig = folder / "kubeconfig.json"
            with os.fdopen(os.open(self.kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(_kubeconfig(api_port, self.server.token), file)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything; no process is left."""
        self.server.stop()
        await self._stack.aclose()

    async def _serve(self, application: web.Application) -> int:
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    def _install(self, gateway_port: int) -> None:
        """Knative with Kourier, and KServe, as kpasim/data/local-cluster.yaml has them."""
        for document in map(copied, packaged("local-cluster.yaml")["items"]):
            name = objects.name_of(document)
            if name == "config-autoscaler":
                document["data"] |= self._options.config_autoscaler
            elif name == "local" and self._options.gpus:
                document["status"]["allocatable"]["nvidia.com/gpu"] = str(self._options.gpus)
            elif name == "kourier":
                document["spec"]["ports"][0]["port"] = gateway_port
            self.store.create(KIND_OF[document["apiVersion"], document["kind"]], document)


def _kubeconfig(port: int, token: str) -> dict[str, Any]:
    """A kubeconfig; JSON is YAML as well."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
    }
