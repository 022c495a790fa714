"""The last bins of one stream, kept so that another model can be warmed on them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.schema import GRID_COLUMNS


class RecentBins:
    """Ring of some grid columns of the last bins.

    Parameters
    ----------
    columns : tuple of str
        Grid columns to keep.
    n_rows : int
        Grid rows of a bin.
    max_bins, max_bytes : int
        Bounds; the smaller one holds, at least one bin is kept.
    """

    def __init__(self, columns: tuple[str, ...], n_rows: int, max_bins: int, max_bytes: int) -> None:
        bin_bytes = sum(np.dtype(GRID_COLUMNS[name]).itemsize for name in columns) * n_rows
        self.capacity = max(1, min(max_bins, max_bytes // max(1, bin_bytes)))
        self._ring = {name: np.empty((self.capacity, n_rows), GRID_COLUMNS[name]) for name in columns}
        self._n_seen = 0

    @property
    def n_seen(self) -> int:
        """Bins added so far, forgotten ones included."""
        return self._n_seen

    def append(self, rows: Mapping[str, NDArray[Any]]) -> None:
        """Keep one bin; ``rows`` hold each column, shape (n_rows,)."""
        place = self._n_seen % self.capacity
        for name, kept in self._ring.items():
            kept[place] = rows[name]
        self._n_seen += 1

    def since(self, n_seen: int) -> dict[str, NDArray[Any]]:
        """Copies of the bins added after the first ``n_seen``, oldest first, shape (n, n_rows); those still kept."""
        first = max(n_seen, self._n_seen - self.capacity)
        places = np.arange(first, self._n_seen) % self.capacity
        return {name: kept[places] for name, kept in self._ring.items()}
