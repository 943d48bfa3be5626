"""Count what a request of the speed comparison costs in events: `python benchmarks/events.py`, some seconds.

The compiled engine's own functions are played as plain Python, and their calls are counted. `--write` puts the counts
into docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pages import put, table
from benchmarks.speed import Prepared, pods_for, poisson
from kpasim.engines import compiled
from kpasim.engines.compiled import activator, agenda, autoscaler, clients, layout, loop, machine

PAGE, PROGRAM = "docs/performance.md", "benchmarks/events.py"
REQUESTS = 10_000
CLOCKS = ((clients, "send_open"), (activator, "report"), (autoscaler, "scrape"), (autoscaler, "tick"),
          (loop, "time_out"), (loop, "give_up"))  # fmt: skip
"""What the loop calls for an event that is not planned."""


def play(world: layout.World, _: Any) -> int:
    """One run in plain Python."""
    loop.play(world)
    return loop.finish(world)


def count() -> tuple[Counter[str], int]:
    """Calls of one run, and the requests in it; `waiting` is the length of the heap, summed over its events."""
    calls: Counter[str] = Counter()

    def counted(of: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(world: layout.World, *more: int) -> Any:
            calls[name] += 1
            calls["waiting"] += int(world.i[layout.HEAP]) if name == "drop_first" else 0
            return of(world, *more)

        return call

    for module, name in (*CLOCKS, (agenda, "drop_first"), (loop, "handle")):
        setattr(module, name, counted(getattr(module, name), "clock" if (module, name) in CLOCKS else name))
    machine.play, machine.ready = play, lambda: None  # type: ignore[assignment]
    what = Prepared(poisson(REQUESTS), pods_for(REQUESTS))
    outcome = compiled.run(what.params, what.draws)
    return calls, len(outcome.requests)


def main() -> None:
    """Count, print, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    given = parser.parse_args()
    calls, requests = count()
    from_heap, planned = calls["drop_first"], calls["handle"]
    text = table(
        ("events", "for each request"),
        (
            ("from the heap", f"{from_heap / requests:.1f}"),
            ("planned, but next before they reached the heap", f"{(planned - from_heap) / requests:.1f}"),
            ("of clocks that need no plan: sends, reports, scrapes, ticks", f"{calls['clock'] / requests:.1f}"),
            ("all", f"{(planned + calls['clock']) / requests:.1f}"),
            ("on the heap at a time, on average", f"{calls['waiting'] / max(from_heap, 1):.0f}"),
        ),
        to_the_right=True,
    )
    print(text)
    if given.write:
        put(PAGE, PROGRAM, text)


if __name__ == "__main__":
    main()
