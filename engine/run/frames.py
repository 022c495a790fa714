"""Bins as the tables other tools read, whatever holds them: a dataset or a replay in memory."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.errors import DatasetError, among
from engine.schema import GRID_COLUMNS, bins_schema

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import polars as pl


class BinFrames(ABC):
    """Consecutive bins with their grids, and the ways to look at them. Whatever is handed out belongs to the caller.

    Examples
    --------
    >>> import engine
    >>> whole, dataset = engine.replay("morning_20260206.dbn.zst").whole(), engine.open_dataset("morning")
    >>> [isinstance(bins, engine.BinFrames) for bins in (whole, dataset)]
    [True, True]
    >>> whole.to_polars().equals(dataset.to_polars())
    True
    """

    @property
    @abstractmethod
    def n_bins(self) -> int:
        """How many bins."""

    @property
    @abstractmethod
    def radius(self) -> int:
        """Ticks from spot to the outermost row."""

    @property
    @abstractmethod
    def cell_width_ms(self) -> int:
        """Bin width, milliseconds."""

    @property
    @abstractmethod
    def tick_int(self) -> int:
        """One tick in 1e-9 dollars."""

    @property
    def k_values(self) -> NDArray[np.int32]:
        """Ticks from spot of each grid row, shape (2R + 1,)."""
        return np.arange(-self.radius, self.radius + 1, dtype=np.int32)

    @abstractmethod
    def bins(self, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Fields of the bins, each of shape (n_bins,), read-only; all of them without ``names``."""

    @abstractmethod
    def columns(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Columns of the grid, each of shape (n_bins, 2R + 1), k ascending along the second axis, read-only."""

    @abstractmethod
    def grid(self, name: str) -> NDArray[Any]:
        """One column of the grid, shape (n_bins, 2R + 1), read-only."""

    def to_arrow(self, columns: str | Iterable[str] | None = None) -> pa.Table:
        """The bins as an Arrow table, a row each.

        Parameters
        ----------
        columns
            Names of the bin fields to take, in this order; default all.

        Raises
        ------
        DatasetError
            There is no such field; names like it are told.
        """
        names = field_names(columns)
        values = self.bins(names)
        return pa.table({name: values[name] for name in names}, schema=pa.schema([bins_schema().field(n) for n in names]))

    def to_polars(self, columns: str | Iterable[str] | None = None) -> "pl.DataFrame":
        """The bins as a polars frame, a row each; ``columns`` as in `to_arrow`."""
        import polars as pl  # not before: replays and streams do without

        frame = pl.from_arrow(self.to_arrow(columns))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def to_pandas(self, columns: str | Iterable[str] | None = None) -> "pd.DataFrame":
        """The bins as a pandas frame, a row each; ``columns`` as in `to_arrow`."""
        frame: pd.DataFrame = self.to_arrow(columns).to_pandas()
        return frame


def field_names(columns: str | Iterable[str] | None) -> list[str]:
    """Names of bin fields: those given, one may stand alone, or all.

    Raises
    ------
    DatasetError
        There is no such field, or what was given are no names.
    """
    known = bins_schema().names
    return known if columns is None else checked_names(columns, known, "bin field")


def grid_name(name: str) -> str:
    """The name of a grid column.

    Raises
    ------
    DatasetError
        There is no such column, or what was given is no name.
    """
    if not isinstance(name, str):
        raise DatasetError(f"grid column was {name!r}; give the name of one: {', '.join(GRID_COLUMNS)}")
    return checked_names(name, list(GRID_COLUMNS), "grid column")[0]


def checked_names(names: str | Iterable[str], known: Sequence[str], what: str) -> list[str]:
    """Names as a list, each known.

    Raises
    ------
    DatasetError
        One is not; names like it are told.
    """
    listed = [names] if isinstance(names, str) else list(names) if isinstance(names, Iterable) else [names]
    for name in listed:
        if not isinstance(name, str):
            raise DatasetError(f"{what} was {name!r}; give names of {what}s, like {known[0]!r}")
        if name not in known:
            raise DatasetError(f"there is no {what} {name!r} ({among(name, known, len(known))})")
    if len(set(listed)) != len(listed):
        raise DatasetError(f"{what}s were {', '.join(listed)}; each may stand once")
    return listed
