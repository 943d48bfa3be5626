"""The tables of a run as pyarrow and pandas have them, with nothing where a value is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpasim.errors import RunError

Columns = dict[str, NDArray[Any]]
"""Columns of one table by name, all of one length."""


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


def _missing(column: NDArray[Any]) -> NDArray[np.bool_]:
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column), dtype=np.bool_)
    return np.asarray(column == ("" if column.dtype.kind == "U" else -1), dtype=np.bool_)
