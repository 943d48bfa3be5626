"""Columns of long tables: worked out whenever they are read."""

import numpy as np
import pytest

from kpasim.results import frames
from kpasim.results.frames import columns_of


@pytest.mark.parametrize("rows", [frames.LONG, frames.LONG + 1])
def test_columns_of_a_long_table_are_those_of_a_short_one(rows: int) -> None:
    """However a table is read, its columns are arrays."""
    found = columns_of((rows,), {"a": lambda: np.arange(3), "b": lambda: np.ones(3)}) | {"c": np.zeros(3)}
    found["d"] = np.array([1, 2])
    expected = {"a": [0, 1, 2], "b": [1, 1, 1], "c": [0, 0, 0], "d": [1, 2]}

    assert list(found) == list(expected)
    assert {name: column.tolist() for name, column in found.items()} == expected
    assert [column.tolist() for column in found.values()] == list(expected.values())
    assert {name: column.tolist() for name, column in {**found}.items()} == expected
    assert {name: column.tolist() for name, column in dict(found).items()} == expected
    assert found.get("b").tolist() == [1, 1, 1]  # type: ignore[union-attr]
    assert found.get("e") is None
    assert "e" not in found


def test_a_long_column_is_made_anew() -> None:
    """It is not kept: what is changed in one is not seen in the next."""
    found = columns_of((frames.LONG + 1,), {"a": lambda: np.arange(3)})
    found["a"][0] = 7
    assert found["a"].tolist() == [0, 1, 2]
