"""Datasets of schema version 1, which wrote 0 for a price that is not there: read with the marks of today.

From version 2 on a missing price is marked by UNDEF_PRICE and a missing mid by NaN, for 0 is a price. Version 1 could not hold a
price of 0.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.schema import MISSING_PRICES

if TYPE_CHECKING:
    import polars as pl

VERSION: Final = 1


def with_marks(name: str, column: NDArray[Any]) -> NDArray[Any]:
    """A bin field, shape (n,), with its missing prices marked; other fields as they are."""
    if name not in MISSING_PRICES:
        return column
    return np.where(column == 0, np.array(MISSING_PRICES[name], column.dtype), column)


def table_with_marks(table: pa.Table) -> pa.Table:
    """`with_marks` of every column of a table."""
    for i, name in enumerate(table.column_names):
        if name in MISSING_PRICES:
            table = table.set_column(i, table.schema.field(name), pa.array(with_marks(name, table.column(name).to_numpy())))
    return table


def frame_with_marks(frame: "pl.LazyFrame") -> "pl.LazyFrame":
    """`with_marks` of every column of a lazy frame of the bins."""
    import polars as pl

    marks = [
        pl.when(pl.col(name) == 0).then(pl.lit(mark)).otherwise(pl.col(name)).alias(name) for name, mark in MISSING_PRICES.items()
    ]
    return frame.with_columns(marks)
