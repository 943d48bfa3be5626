"""A periodic clock that is a little late each time."""

from kpasim.engines.clock import due_after, nth_due
from kpasim.engines.params import NEVER_NS


class Ticker:
    """A clock that remembers when it is due next, since it is asked far more often than it ticks.

    Args:
        phase_ns: Its phase, see ``clock.due_after``.
        period_ns: Its period.
        key: Key of the replication's draws.
        purpose: What the draws are for, see ``draws``.
        jitter_ns: Median of its jitter.
    """

    def __init__(self, phase_ns: int, period_ns: int, key: int, purpose: int, jitter_ns: int) -> None:
        self.phase_ns = phase_ns
        self.period_ns = period_ns
        self.key = key
        self.purpose = purpose
        self.jitter_ns = jitter_ns
        self._from_ns = self._due_ns = NEVER_NS

    def due_after(self, time_ns: int) -> int:
        """When it is due for the first time after ``time_ns``."""
        clock = self.phase_ns, self.period_ns
        draw = self.key, self.purpose, self.jitter_ns
        if time_ns == self._due_ns:
            self._due_ns = nth_due((time_ns - self.phase_ns) // self.period_ns + 1, *clock, *draw)
        elif not self._from_ns <= time_ns < self._due_ns:
            self._due_ns = due_after(*clock, time_ns, *draw)
        else:
            # No tick lies between a moment and the first one due after it.
            return self._due_ns
        self._from_ns = time_ns
        return self._due_ns
