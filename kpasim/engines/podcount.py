"""What the pods of a run come to, without all of them at once."""

import numpy as np

from kpasim.arrays import Ints
from kpasim.engines import outcome as of
from kpasim.engines.outcome import PodTotals
from kpasim.engines.params import NEVER_NS


class PodCounter:
    """Follows the pods of one run, which may be dropped once they are gone and have been counted."""

    def __init__(self) -> None:
        """Nothing so far."""
        self._most = 0
        self._lived_ns = 0
        self._held_ns = 0
        self._created = 0
        self._present = 0
        self._since_ns = NEVER_NS + 1

    def watch(self, rows: Ints, load_ns: int, until_ns: int) -> None:
        """Follow how many pods there are up to just before ``until_ns``.

        Args:
            rows: All pods that have not been dropped, with the columns of ``Outcome.pods``.
            load_ns: Start of the load; whatever was before counts as then.
            until_ns: Up to where everything is known.
        """
        created, asked, gone = rows[:, of.CREATED], rows[:, of.ASKED], rows[:, of.GONE]
        # A pod that goes at the instant at which another comes makes room for it: leavers first.
        times = np.concatenate((np.where(asked == NEVER_NS, gone, asked), created))
        change = np.repeat([-1, 1], len(rows))
        seen = (times >= self._since_ns) & (times < until_ns)
        order = np.argsort(np.maximum(times[seen], load_ns), kind="stable")
        present = self._present + np.cumsum(change[seen][order])
        if len(present):
            self._most = max(self._most, int(present.max()))
            self._present = int(present[-1])
        self._since_ns = until_ns

    def count(self, rows: Ints, load_ns: int, end_ns: int) -> None:
        """Add pods up, each of them once: when it is dropped, or at the end of the run."""
        created, gone = rows[:, of.CREATED], rows[:, of.GONE]
        until = np.where(gone == NEVER_NS, end_ns, np.minimum(gone, end_ns))
        self._lived_ns += int(np.maximum(until - np.maximum(created, load_ns), 0).sum())
        held = rows[:, of.PROVISIONED] != NEVER_NS
        since = np.maximum(rows[held, of.PROVISIONED], load_ns)
        self._held_ns += int(np.maximum(until[held] - since, 0).sum())
        self._created += int(np.count_nonzero((created >= load_ns) & (created <= end_ns)))

    @property
    def totals(self) -> PodTotals:
        """What was seen so far."""
        return PodTotals(self._most, self._lived_ns, self._held_ns, self._created)


def totals_of(rows: Ints, load_ns: int, end_ns: int) -> PodTotals:
    """What all pods of a run come to."""
    pods = PodCounter()
    pods.watch(rows, load_ns, end_ns + 1)
    pods.count(rows, load_ns, end_ns)
    return pods.totals
