"""The compiled engine reads nothing of its arrays that it has not written."""

from __future__ import annotations

from functools import partial
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import HealthCheck, given, settings

from kpasim.engines import compiled
from kpasim.engines.outcome import Outcome
from kpasim.engines.params import Draws, Params

from .agreement import assert_same
from .strategies import KINDS, Run, runs


def run(params: Params, draws: Draws, byte: int) -> Outcome:
    """Play a run in new arrays whose memory held one value everywhere."""

    def empty(shape: Any, dtype: Any) -> Any:
        made = np.zeros(shape, dtype)
        made.reshape(-1).view(np.uint8)[:] = byte
        return made

    compiled._kept.arrays = None  # those of the last run would be used again
    with mock.patch("numpy.empty", empty):
        return compiled.run(params, draws)


@settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(runs(tuple(KINDS)))
def test_tables_do_not_depend_on_what_memory_held(drawn: Run) -> None:
    """The same after zeros as after other values, whatever asks for pods."""
    assert_same(partial(run, byte=0), drawn, partial(run, byte=0x5A))
