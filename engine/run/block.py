"""Consecutive bins as they are handed out: fields and grid columns, views on the run's arrays."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.constants import NS_PER_S
from engine.run import state as rs
from engine.schema import BIN_DTYPE, GRID_F64, GRID_I32, GRID_LABELS_I8, GRID_TRADED, BinRows, Outputs


def room_for(n: int, rows: int) -> rs.Out:
    """Room for a block of ``n`` bins."""
    return rs.Out(
        bins=np.zeros(n, BIN_DTYPE),
        floats=np.empty((n, len(GRID_F64), rows)),
        codes=np.empty((n, rows), np.int8),
        moves=np.empty((n, len(GRID_I32), rows), np.int32),
        labels=np.empty((n, len(GRID_LABELS_I8), rows), np.int8),
        event_ids=np.empty((n, rows), np.int64),
        traded=np.empty((n, len(GRID_TRADED), rows), np.int32),
    )


class GridView(Mapping[str, NDArray[Any]]):
    """Columns of a block's grid by name, each of shape (n, 2 * radius + 1); views, not copies."""

    def __init__(self, out: rs.Out, n: int, k_values: NDArray[np.int32]) -> None:
        self._columns: dict[str, NDArray[Any]] = {
            "k": np.broadcast_to(k_values, (n, len(k_values))),
            "spectrum_state_code": out.codes[:n],
            "last_event_id": out.event_ids[:n],
        }
        kinds = ((GRID_F64, out.floats), (GRID_I32, out.moves), (GRID_LABELS_I8, out.labels), (GRID_TRADED, out.traded))
        for names, block in kinds:
            self._columns.update({name: block[:n, i] for i, name in enumerate(names)})

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __repr__(self) -> str:
        return f"<GridView {', '.join(self)}>"

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


@dataclass(frozen=True, repr=False)
class BinBlock:
    """Consecutive bins: ``bins`` (n,) of BIN_DTYPE, ``grid`` columns (n, 2 * radius + 1), and the signal that scored them.

    ``outputs`` (n,) are all that the signal said, also what the bins have no room for; None without a signal.
    """

    bins: BinRows
    grid: GridView
    model_name: str
    outputs: Outputs | None = None

    def __repr__(self) -> str:
        if not self.n:
            return "<BinBlock without bins>"
        first, last = self.bins[0], self.bins[-1]
        begin, end = (datetime.fromtimestamp(int(ns) / NS_PER_S, UTC) for ns in (first["bin_start_ns"], last["bin_end_ns"]))
        return (
            f"<BinBlock bins {first['bin_seq']} to {last['bin_seq']}, {begin:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC, "
            f"{self.grid['k'].shape[1]} rows each>"
        )

    @property
    def n(self) -> int:
        """How many bins."""
        return len(self.bins)
