"""The tables of a run as pyarrow and pandas have them, with nothing where a value is missing."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any

import numpy as np

from kpasim.arrays import Array, Bools
from kpasim.errors import RunError

Columns = dict[str, Array]
"""Columns of one table by name, all of one length."""
LONG = 1 << 18
"""Rows of a table from which on its columns are worked out whenever they are read: kept, they would fill the memory."""


class _WhenRead(dict[str, Any]):
    """Columns that are worked out whenever they are read."""

    def __getitem__(self, name: str) -> Array:
        value = super().__getitem__(name)
        return value() if callable(value) else value  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:  # With one of its own, dict() and ** ask for each column.
        return super().__iter__()

    def get(self, name: str, default: Any = None) -> Any:
        found = super().get(name, default)
        return found() if callable(found) else found

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        return ItemsView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return ValuesView(self)


def columns_of(rows: int, make: Mapping[str, Callable[[], Array]]) -> Columns:
    """The columns of a table: arrays, or those of a long one worked out whenever they are read.

    Args:
        rows: How many rows the table has.
        make: What each column is made by.
    """
    return _WhenRead(make) if rows > LONG else {name: one() for name, one in make.items()}


def to_arrow(columns: Columns) -> Any:
    """A ``pyarrow.Table``; null where a time or number is ``NaN``, a whole number ``-1``, a word empty."""
    import pyarrow as pa

    return pa.table({name: pa.array(column, mask=_missing(column)) for name, column in columns.items()})


def to_pandas(columns: Columns) -> Any:
    """A ``pandas.DataFrame`` of the same; whole numbers stay whole (``Int64``).

    Raises:
        RunError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise RunError("pandas is missing: pip install 'kpasim[pandas]'") from None
    import pyarrow as pa

    return to_arrow(columns).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def _missing(column: Array) -> Bools:
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column), dtype=np.bool_)
    return np.asarray(column == ("" if column.dtype.kind == "U" else -1), dtype=np.bool_)
