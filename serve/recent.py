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
    max_bytes : int
        Bound on their memory, which is taken as bins come; at least one bin is kept.
    """

    def __init__(self, columns: tuple[str, ...], n_rows: int, max_bytes: int) -> None:
        bin_bytes = sum(np.dtype(GRID_COLUMNS[name]).itemsize for name in columns) * n_rows
        self.capacity = max(1, max_bytes // max(1, bin_bytes))
        self._ring = {name: np.empty((self.capacity, n_rows), GRID_COLUMNS[name]) for name in columns}
        self._n_seen = 0

    @property
    def n_seen(self) -> int:
        """Bins added so far, forgotten ones included."""
        return self._n_seen

    def append(self, columns: Mapping[str, NDArray[Any]], i_bin: int = 0) -> None:
        """Keep one bin of a block; ``columns`` have shape (n, n_rows)."""
        place = self._n_seen % self.capacity
        for name, kept in self._ring.items():
            kept[place] = columns[name][i_bin]
        self._n_seen += 1

    def since(self, n_seen: int) -> dict[str, NDArray[Any]]:
        """Copies of the bins added after the first ``n_seen``, oldest first, shape (n, n_rows); those still kept."""
        first = max(n_seen, self._n_seen - self.capacity)
        places = np.arange(first, self._n_seen) % self.capacity
        return {name: kept[places] for name, kept in self._ring.items()}
