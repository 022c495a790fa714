"""A replay kept in memory: every bin and every grid of it at once."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.config import InstrumentConfig
from engine.errors import SourceError
from engine.run.block import BinBlock
from engine.run.frames import BinFrames, checked_names, field_names, grid_name
from engine.schema import GRID_COLUMNS, MODEL_PREFIX, MboRecords


class WholeReplay(BinFrames):
    """All bins of a replay, to be looked at as a dataset is; 30 kB a bin at 101 rows.

    Parameters
    ----------
    blocks
        Consecutive, as a replay yields them.

    Raises
    ------
    SourceError
        There is not one bin.

    Examples
    --------
    >>> import engine
    >>> whole = engine.replay("morning_20260206.dbn.zst", n_bins=100).whole()
    >>> whole.to_polars("mid_price").shape, whole.grid("v_add").shape
    ((100, 1), (100, 101))
    """

    def __init__(self, blocks: Iterable[BinBlock], config: InstrumentConfig, what: str) -> None:
        kept = list(blocks)
        if not kept:
            raise SourceError(f"{what} gave no bin; start earlier, or give a file that reaches further")
        self._what = what
        self._config = config
        self._model_names = np.repeat([block.model_name for block in kept], [block.n for block in kept]).astype(object)
        self._bins: MboRecords = np.concatenate([block.bins for block in kept])
        self._grid = {name: np.concatenate([block.grid[name] for block in kept]) for name in GRID_COLUMNS}
        for array in (self._model_names, self._bins, *self._grid.values()):
            array.setflags(write=False)

    def __repr__(self) -> str:
        size = (self._bins.nbytes + sum(column.nbytes for column in self._grid.values())) / 1e6
        return f"<WholeReplay {self._what}: {self.n_bins:,} bins of {self.cell_width_ms} ms, radius {self.radius}, {size:.1f} MB>"

    @property
    def n_bins(self) -> int:
        return len(self._bins)

    @property
    def radius(self) -> int:
        return int(self._grid["k"].shape[1] // 2)

    @property
    def cell_width_ms(self) -> int:
        return self._config.cell_width_ms

    @property
    def tick_int(self) -> int:
        return self._config.tick_int

    def bins(self, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        named = MODEL_PREFIX + "name"
        return {name: self._model_names if name == named else self._bins[name] for name in field_names(names)}

    def columns(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        return {name: self._grid[name] for name in checked_names(names, list(GRID_COLUMNS), "grid column")}

    def grid(self, name: str) -> NDArray[Any]:
        return self._grid[grid_name(name)]
