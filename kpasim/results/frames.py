"""The tables of a run as pyarrow and pandas have them, with nothing where a value is missing."""

import math
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any

import numpy as np

from kpasim.arrays import Array, Bools
from kpasim.errors import RunError

Columns = dict[str, Array]
"""Columns of one table by name, all of one length."""
LONG = 1 << 18
"""Rows of a table from which on its columns are worked out whenever they are read: kept, they would fill the memory."""
PART = 1 << 16
"""Rows of a long table that are looked at together: their numbers stay in the processor's cache, and their memory is
used again for the next ones, where that of whole columns would be asked for anew each time."""
EVERY = slice(None)
"""All rows of a table."""


class _WhenRead(dict[str, Any]):
    """Columns that are worked out whenever they are read.

    Attributes:
        shape: Shape of each.
    """

    shape: tuple[int, ...]

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


def columns_of(shape: tuple[int, ...], make: Mapping[str, Callable[..., Array]]) -> Columns:
    """The columns of a table: arrays, or those of a long one worked out whenever they are read.

    Args:
        shape: Shape of each column: how many rows the table has, of many runs ``(runs, rows)``.
        make: What each column is made by; it takes a slice of the rows where `part` is to be used.
    """
    if math.prod(shape) <= LONG:
        return {name: one() for name, one in make.items()}
    found = _WhenRead(make)
    found.shape = shape
    return found


def parts(rows: int) -> Iterator[slice]:
    """Rows of a table, so many at a time; none of an empty table, at once."""
    return (slice(first, first + PART) for first in range(0, max(rows, 1), PART))


def shape_of(columns: Columns) -> tuple[int, ...]:
    """Shape of each column of a table."""
    shape: tuple[int, ...] = columns.shape if isinstance(columns, _WhenRead) else next(iter(columns.values())).shape
    return shape


def part(columns: Columns, name: str, some: slice) -> Array:
    """Some rows of a column of shape ``(runs, rows)``, out of a table whose columns are made for such rows alone."""
    make = dict.__getitem__(columns, name)
    return make(some) if callable(make) else make[..., some]


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
