"""The compiled engine reads nothing of its arrays that it has not written."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from kpasim.engines import compiled, stream
from kpasim.engines.outcome import Counts, Outcome
from kpasim.engines.params import Draws, Params

from .agreement import assert_same
from .strategies import KINDS, Run, runs
from .test_stream import EXPERIMENTS, in_parts


@contextmanager
def memory_of(byte: int) -> Iterator[None]:
    """New arrays find one value everywhere."""

    def empty(shape: Any, dtype: Any = float) -> Any:
        made = np.zeros(shape, dtype)
        made.reshape(-1).view(np.uint8)[:] = byte
        return made

    compiled._kept.arrays = None  # those of the last run would be used again
    with mock.patch("numpy.empty", empty):
        yield


def run(params: Params, draws: Draws, byte: int) -> Outcome:
    """Play a run in new arrays."""
    with memory_of(byte):
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


@pytest.mark.parametrize("byte", [0x5A, 0xFF])
@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_counts_in_parts_do_not_depend_on_it(name: str, byte: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where rows of pods that are gone are dropped between two parts."""
    monkeypatch.setattr(stream, "AT_ONCE", 64)
    with memory_of(0):
        cleared = in_parts(EXPERIMENTS[name])
    with memory_of(byte):
        others = in_parts(EXPERIMENTS[name])
    for field in Counts._fields:
        assert np.array_equal(getattr(cleared, field), getattr(others, field)), field
