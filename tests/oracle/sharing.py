"""Work that shares one resource: the more at once, the slower each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from kpasim.engines import params as of
from kpasim.engines.clock import Kind
from kpasim.policy import pods

if TYPE_CHECKING:
    from tests.oracle.simulation import Simulation


class Sharer(Protocol):
    """A request on a GPU, or a pod that pulls an image."""

    index: int
    done_ns: int
    left_ns: int

    def is_done(self) -> None:
        """The work ends now, if that is still so."""


class Sharing:
    """Processor sharing of remaining work.

    Attributes:
        members: What shares the resource now.
        slowdown: Relative duration with k members at index k - 1; in proportion to k when empty.
    """

    def __init__(self, sim: Simulation, slowdown: NDArray[np.float64], kind: Kind) -> None:
        self.sim = sim
        self.slowdown = slowdown if len(slowdown) else np.array([1.0])
        self.kind = kind
        self.members: dict[int, Sharer] = {}
        self.since_ns = 0

    def add(self, sharer: Sharer, work_ns: int) -> None:
        """Begin work that takes ``work_ns`` alone."""
        self.progress()
        sharer.left_ns = work_ns
        self.members[sharer.index] = sharer
        self.plan()

    def remove(self, sharer: Sharer) -> None:
        """End work, finished or not."""
        self.progress()
        sharer.done_ns = of.FOREVER_NS
        del self.members[sharer.index]
        self.plan()

    def progress(self) -> None:
        """Take off what was done since the last change."""
        if self.members:
            slow = pods.slowdown(self.slowdown, len(self.members))
            done_ns = pods.work_done(self.sim.now - self.since_ns, slow)
            for member in self.members.values():
                member.left_ns = max(0, member.left_ns - done_ns)
        self.since_ns = self.sim.now

    def plan(self) -> None:
        """Plan the end of the work that ends first."""
        if not self.members:
            return
        first = min(self.members.values(), key=lambda member: (member.left_ns, member.index))
        for member in self.members.values():
            member.done_ns = of.FOREVER_NS
        first.done_ns = self.sim.now + pods.work_takes(first.left_ns, pods.slowdown(self.slowdown, len(self.members)))
        self.sim.at(first.done_ns, self.kind, first.index, first.is_done)
