"""Count what a request of the speed comparison costs in events: `python benchmarks/events.py`, some seconds.

The compiled engine's own loop runs as plain Python, and its events are counted.
"""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pages import table
from benchmarks.shapes import Shape
from kpasim.engines import lower, reference, sampling
from kpasim.engines.compiled import event_queue, loop
from kpasim.engines.model import events
from kpasim.engines.model.state import NEAR, PAGE_BITS
from kpasim.engines.outcome import Outcome
from kpasim.engines.params import Draws, Params

LOAD = Shape(1, 10_000, 1500)


class PlainLoop(reference.Simulation):
    """The reference engine with the compiled engine's event queue and loop, all in plain Python."""

    def __init__(self, params: Params, draws: Draws, events: int = 1 << 16) -> None:
        self._events = events
        super().__init__(params, draws)

    def begin(self) -> None:
        """Make room for events, and begin."""
        self.near = np.zeros((NEAR + 1, 2), dtype=object)
        self.heap = np.zeros((self._events, 2), dtype=object)
        self.later = np.zeros((self._events << PAGE_BITS, 2), dtype=object)
        self.pages = np.zeros(self._events, dtype=object)
        event_queue.clear(self)
        super().begin()

    def schedule(self, time_ns: int, kind: int, entity: int) -> None:
        """Put an event into the fast queue."""
        event_queue.schedule(self, time_ns, kind, entity)

    def wake(self, time_ns: int, kind: int, entity: int) -> None:
        """Schedule what the loop does not look at."""
        event_queue.wake(self, time_ns, kind, entity)

    def comes_next(self, time_ns: int) -> bool:
        """Whether nothing else happens up to ``time_ns``."""
        return event_queue.comes_next(self, time_ns)

    def is_quiet_now(self) -> bool:
        """Whether no other event of this moment is scheduled."""
        return event_queue.is_quiet_now(self)

    def step(self) -> bool:
        """Let all events happen; there is none left."""
        loop.go_on(self)
        return False


def run(params: Params, draws: Draws) -> Outcome:
    """One replication in plain Python."""
    return PlainLoop(params, draws).run()


def count() -> tuple[Counter[str], int]:
    """Events of one run, and the requests in it; `waiting` are those scheduled meanwhile, summed over the events."""
    calls: Counter[str] = Counter()

    def counted(of: Callable[..., Any]) -> Callable[..., Any]:
        def call(sim: PlainLoop, *more: int) -> Any:
            calls[of.__name__] += 1
            calls["waiting"] += calls["schedule"] - calls["handle"] if of.__name__ == "handle" else 0
            return of(sim, *more)

        return call

    places = ((events, "handle_clock"), (events, "handle"), (event_queue, "schedule"), (event_queue, "put_later"))
    for module, name in places:
        setattr(module, name, counted(getattr(module, name)))
    what = LOAD.experiment()
    params = lower.lower(what)
    outcome = run(params, sampling.Sampler(what, params).draw_many([0], pods=LOAD.pods, nodes=LOAD.pods)[0])
    return calls, len(outcome.requests)


def rows() -> list[tuple[str, ...]]:
    """The table of events."""
    calls, requests = count()
    scheduled = calls["handle"]
    clocks = "of clocks that need no scheduling: sends, reports, scrapes, ticks"
    return [
        ("events", "for each request"),
        ("scheduled", f"{scheduled / requests:.1f}"),
        ("put into a bucket", f"{calls['put_later'] / requests:.1f}"),
        (clocks, f"{calls['handle_clock'] / requests:.1f}"),
        ("all", f"{(scheduled + calls['handle_clock']) / requests:.1f}"),
        ("ahead at a time, on average", f"{calls['waiting'] / scheduled:.0f}"),
    ]


if __name__ == "__main__":
    head, *body = rows()
    print(table(head, body, to_the_right=True))
