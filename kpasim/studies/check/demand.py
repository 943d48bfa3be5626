"""What the clients of an experiment ask for, as far as rules need it: times of arrival, and waits for a capacity."""

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from kpasim.arrays import Floats
from kpasim.spec.workload import OpenLoop, Workload
from kpasim.workloads.arrivals import arrivals


@dataclass(frozen=True)
class Load:
    """An open loop.

    Attributes:
        sent_s: Times of arrival, ascending; one draw where they are random.
        expected_s: The same with random arrivals at equal distances in what is expected.
        end_s: When no request can come any longer.
    """

    sent_s: Floats
    expected_s: Floats
    end_s: float

    def in_flight(self, service_s: float) -> float:
        """Most requests at work at once where each takes that long and none waits: rate x min(duration, service)."""
        return _in_flight(self.expected_s, service_s)

    def waits_by_chance(self, per_second: float, slots: float, service_s: float) -> tuple[float, float]:
        """Requests in flight at once per slot, and the longest wait [s], both by the drawn times of arrival."""
        drawn = Load(self.sent_s, self.sent_s, self.end_s)
        return _in_flight(self.sent_s, service_s) / slots, drawn.longest_wait_s(per_second)

    def longest_wait_s(self, per_second: float, grows_for_s: float = 0.0) -> float:
        """Longest wait for servers that work off so many requests per second, in order of arrival [s].

        Args:
            per_second: Their capacity.
            grows_for_s: Waits count only if the queue grew for so long: a burst that is soon worked off is
                no overload.
        """
        if not len(self.expected_s):
            return 0.0
        if not per_second > 0:
            return math.inf
        slack_s = self.expected_s - np.arange(len(self.expected_s)) / per_second
        longest = np.maximum.accumulate(slack_s)
        wait_s = longest - slack_s
        begun = np.maximum.accumulate(np.where(wait_s == 0, np.arange(len(wait_s)), 0))
        # A queue grows for as long as waits exceed all earlier ones since it was last empty.
        apart = begun * (wait_s.max() + 1.0)
        grows = wait_s + apart >= np.maximum.accumulate(wait_s + apart)
        lasts = self.expected_s - self.expected_s[begun] >= grows_for_s
        return float(wait_s[grows & lasts].max(initial=0.0))

    def servers_needed(self, per_second: float, wait_s: float, grows_for_s: float) -> int:
        """Fewest servers of a rate with which no wait counts that is longer than `wait_s`."""
        most = max(1, math.ceil(len(self.expected_s)))
        enough = bisect_left(
            range(1, most + 1), True, key=lambda count: self.longest_wait_s(count * per_second, grows_for_s) <= wait_s
        )
        return enough + 1

    def silences(self, longer_than_s: float) -> int:
        """How often no request comes for that long between two that do."""
        return int((np.diff(self.sent_s) > longer_than_s).sum())


def _in_flight(times_s: Floats, service_s: float) -> float:
    until = np.searchsorted(times_s, times_s + service_s, side="left")
    return float((until - np.arange(len(times_s))).max(initial=0))


def load_of(workload: Workload) -> Load | None:
    """The load of an open loop; None for a closed one.

    Raises:
        RecordError: A file that the workload replays cannot be read.
    """
    if not isinstance(workload, OpenLoop):
        return None
    sent_s, even = _times(workload), workload.without_chance()
    expected_s = sent_s if even is workload else _times(even)
    return Load(sent_s, expected_s, float(workload.length_s or sent_s[-1]))


def _times(workload: OpenLoop) -> Floats:
    def uniforms(count: int, first: int) -> Floats:
        return np.random.default_rng([0, first]).random(count)

    return np.asarray(arrivals(workload, uniforms), dtype=np.float64) / 1e9
