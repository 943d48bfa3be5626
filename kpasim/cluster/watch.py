"""Following objects while they change, through broken connections and expired versions."""

import random
import threading
import time
from collections.abc import Callable

from kpasim.cluster.errors import ClusterError, ExpiredError, UnreachableError
from kpasim.cluster.kube import Kube, Watch
from kpasim.cluster.objects import Document, Resource, meta
from kpasim.cluster.record import Recorder

_RECONNECT_S = 1.5
"""Longest pause before a watch is opened again, give or take 30 %: blind for two seconds at most where it can be."""


class Watcher:
    """One thread that lists objects of a kind and then watches them until it is stopped; it tells the follower.

    Attributes:
        plural: What it follows, as Kubernetes calls it.
        failure: Why it gave up, None while it goes on.
        gaps: Times without a view of the cluster, as pairs of local times; changes in them are seen late.
    """

    def __init__(
        self,
        kube: Kube,
        resource: Resource,
        namespace: str,
        follower: Recorder,
        *,
        selector: str = "",
        keep: Callable[[Document], bool] = lambda _: True,
    ) -> None:
        self._kube, self._resource, self._namespace = kube, resource, namespace
        self.plural = resource.plural
        self._follower, self._selector, self._keep = follower, selector, keep
        self._stopped = threading.Event()
        self._begun = threading.Event()
        self._open: Watch | None = None
        self._lock = threading.Lock()
        self._version = ""
        self._thread = threading.Thread(target=self._run, name=f"watch {resource.plural}", daemon=True)
        self.failure: ClusterError | None = None
        self.gaps: list[tuple[float, float]] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait_begun(self, seconds: float) -> None:
        """Wait until the first list has arrived, so that nothing that happens from now on is missed."""
        self._begun.wait(seconds)
        self.check()
        if not self._begun.is_set():
            raise UnreachableError(
                f"{self._kube.name}: list {self._resource.rbac_name}: no answer within {seconds:.0f} s"
            )

    def check(self) -> None:
        """Raise what made the watcher give up, if anything did."""
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """End the watch and wait for its thread."""
        self._stopped.set()
        with self._lock:
            if self._open is not None:
                self._open.close()
        if self._thread.ident is not None:
            self._thread.join(timeout=self._kube.patience.request_s)

    def _run(self) -> None:
        patience = self._kube.patience
        pause_s = patience.first_pause_s
        lost_s: float | None = None
        while not self._stopped.is_set():
            begun_s = time.monotonic()
            try:
                if not self._version:
                    self._list()
                    self._begun.set()
                watch = self._opened()
                if lost_s is not None:
                    self.gaps.append((lost_s, time.time()))
                    lost_s = None
                self._follow(watch)
                trouble: ClusterError | None = None
            except ExpiredError as error:
                trouble = error
                self._version = ""
            except UnreachableError as error:
                trouble = error
            except ClusterError as error:
                self._give_up(error)
                return
            if trouble is not None:
                lost_s = lost_s or time.time()
                if time.time() - lost_s > patience.retry_s:
                    self._give_up(trouble)
                    return
            if time.monotonic() - begun_s > patience.longest_pause_s:
                pause_s = patience.first_pause_s
            self._stopped.wait(pause_s * random.uniform(0.7, 1.3))
            pause_s = min(2 * pause_s, patience.longest_pause_s, _RECONNECT_S)

    def _give_up(self, error: ClusterError) -> None:
        if not self._stopped.is_set():
            self.failure = error
            self._begun.set()

    def _list(self) -> None:
        found, version = self._kube.list_all(self._resource, self._namespace, selector=self._selector)
        self._follower.listed(self._resource, [document for document in found if self._keep(document)])
        self._version = version

    def _opened(self) -> Watch:
        watch = self._kube.watch(self._resource, self._namespace, self._version, selector=self._selector)
        with self._lock:
            self._open = watch
            if self._stopped.is_set():
                watch.close()
        return watch

    def _follow(self, watch: Watch) -> None:
        """Follow one watch to its end; the version to go on from moves with it."""
        try:
            for kind, document in watch:
                self._version = str(meta(document).get("resourceVersion") or self._version)
                if kind in ("ADDED", "MODIFIED", "DELETED") and self._keep(document):
                    self._follower.changed(self._resource, kind, document)
        finally:
            with self._lock:
                self._open = None
