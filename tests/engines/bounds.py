"""Run in a process of its own, with bounds checked and nothing compiled before: ``python -m tests.engines.bounds``.

First line: what the experiments that agreed went through. Second line: what became of one whose table of in-flight
requests was made too short on purpose.
"""

from typing import Any

import numpy as np

from kpasim.engines import compiled, reference
from kpasim.engines.compiled.arrays import Arrays

from . import agreement
from .hand import draws, experiment


def overrun() -> str:
    """Play a run on a table without columns."""
    honest = compiled.Arrays

    def short(*given: Any, **named: Any) -> Arrays:
        arrays = honest(*given, **named)
        arrays.put("in_flight", np.zeros((len(arrays.in_flight), 0), dtype=np.int64))
        return arrays

    compiled.Arrays = short  # type: ignore[misc]
    compiled._kept.arrays = None  # those of the last run would be used again
    p = experiment()
    try:
        compiled.run(p, draws(p))
    except IndexError as found:
        return f"IndexError: {found}"
    finally:
        compiled.Arrays = honest  # type: ignore[misc]
    return "nothing was noticed"


if __name__ == "__main__":
    seen = agreement.agree(compiled.run, 200)
    seen += agreement.agree(compiled.run, 100, tuple(agreement.KINDS), reference.run)
    print(agreement.summary(seen))
    print(overrun())
