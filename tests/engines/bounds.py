"""Run in a process of its own, with bounds checked and nothing compiled before: ``python -m tests.engines.bounds``.

First line: what the experiments that agreed went through. Second line: what became of one whose table of in-flight
requests was made too short on purpose.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kpasim.engines import compiled
from kpasim.engines.compiled import layout

from . import agreement
from .hand import draws, experiment


def overrun() -> str:
    """Play a run on a table without columns."""
    honest = compiled.new_world

    def short(*given: Any, **named: Any) -> layout.World:
        world = honest(*given, **named)
        return replace(world, in_flight=np.zeros((len(world.in_flight), 0), dtype=np.int64))

    compiled.new_world = short
    p = experiment()
    try:
        compiled.run(p, draws(p))
    except IndexError as found:
        return f"IndexError: {found}"
    finally:
        compiled.new_world = honest
    return "nothing was noticed"


if __name__ == "__main__":
    print(agreement.summary(agreement.agree(compiled.run, 200)))
    print(overrun())
