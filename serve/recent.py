"""The last bins of one stream, kept so that another signal can be warmed on them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.schema import BIN_DTYPE, GRID_COLUMNS, BinRows


class RecentBins:
    """Ring of some grid columns and bin fields of the last bins.

    Parameters
    ----------
    columns : tuple of str
        Grid columns to keep, and bin fields: names that no grid column has.
    n_rows : int
        Grid rows of a bin.
    max_bytes : int
        Bound on their memory, which is taken as bins come; at least one bin is kept.
    """

    def __init__(self, columns: tuple[str, ...], n_rows: int, max_bytes: int) -> None:
        self._n_rows = n_rows
        kinds = [self._kind(name) for name in columns]
        bin_bytes = sum(dtype.itemsize * math.prod(shape) for dtype, shape in kinds)
        self.capacity = max(1, max_bytes // max(1, bin_bytes))
        self._ring: dict[str, NDArray[Any]] = {}
        self._known_from: dict[str, int] = {}  # bins added before a column was kept
        self._n_seen = 0
        self.add(columns)

    def add(self, columns: tuple[str, ...]) -> None:
        """Keep further columns from the next bin on; they come on top of the bound."""
        for name in columns:
            if name not in self._ring:
                dtype, shape = self._kind(name)
                self._ring[name] = np.empty((self.capacity, *shape), dtype)
                self._known_from[name] = self._n_seen

    def _kind(self, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        return (np.dtype(GRID_COLUMNS[name]), (self._n_rows,)) if name in GRID_COLUMNS else (BIN_DTYPE[name], ())

    @property
    def n_seen(self) -> int:
        """Bins added so far, forgotten ones included."""
        return self._n_seen

    def append(self, columns: Mapping[str, NDArray[Any]], fields: BinRows) -> None:
        """Keep the bins of a block; ``columns`` have shape (n, n_rows), ``fields`` is the block's (n,) of BIN_DTYPE."""
        n = len(fields)
        kept = min(n, self.capacity)  # of a block longer than the ring: its last bins
        place = (self._n_seen + n - kept) % self.capacity
        until_end = min(kept, self.capacity - place)  # the rest begins the ring again
        for name, ring in self._ring.items():
            values = columns[name] if name in GRID_COLUMNS else fields[name]
            if until_end == n:
                ring[place : place + n] = values
            else:
                ring[place : place + until_end] = values[n - kept : n - kept + until_end]
                ring[: kept - until_end] = values[n - kept + until_end :]
        self._n_seen += n

    def since(self, n_seen: int, columns: tuple[str, ...] | None = None) -> dict[str, NDArray[Any]]:
        """Copies of the bins added after the first ``n_seen``, oldest first, shape (n, n_rows) or (n,).

        Those are given that are still kept, and of which every one of ``columns`` was: all that are kept, where not named.
        """
        columns = tuple(self._ring) if columns is None else columns
        first = max([n_seen, self._n_seen - self.capacity, *(self._known_from[name] for name in columns)])
        places = np.arange(first, self._n_seen) % self.capacity
        return {name: self._ring[name][places] for name in columns}
