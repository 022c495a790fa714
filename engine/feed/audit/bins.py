"""Two replays of one day, bin by bin: how many differ, from where to where, and in what."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.run.block import BinBlock

Columns = dict[str, NDArray[Any]]


@dataclass
class BinDifferences:
    """``n_bins`` of both; ``n_differing`` of them, those that only one has included; ``columns``: bins that differ in each."""

    n_bins: int = 0
    n_differing: int = 0
    n_only_ours: int = 0
    n_only_official: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    columns: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)

    def _see(self, starts: NDArray[np.int64]) -> None:
        if len(starts):
            self.n_differing += len(starts)
            self.first_ns = int(starts[0]) if self.first_ns is None else min(self.first_ns, int(starts[0]))
            self.last_ns = int(starts[-1]) if self.last_ns is None else max(self.last_ns, int(starts[-1]))

    def see_alone(self, starts: NDArray[np.int64], is_ours: bool) -> None:
        """Bins that only one has."""
        self.n_bins += len(starts)
        if is_ours:
            self.n_only_ours += len(starts)
        else:
            self.n_only_official += len(starts)
        self._see(starts)

    def see_both(self, ours: Columns, official: Columns) -> None:
        """Bins of the same times: equal are those of equal bits."""
        starts = official["bin_start_ns"]
        differs = np.zeros(len(starts), np.bool_)
        for name, theirs in official.items():
            is_other = _bits(ours[name]) != _bits(theirs)
            is_other = is_other.reshape(len(starts), -1).any(axis=1)
            if is_other.any():
                self.columns[name] = self.columns.get(name, 0) + int(is_other.sum())
                differs |= is_other
        self.n_bins += len(starts)
        self._see(starts[differs])


def compare_bins(ours: Iterable[BinBlock], official: Iterable[BinBlock]) -> BinDifferences:
    """Walk two replays side by side, by the times of their bins; in flat memory."""
    told = BinDifferences()
    left, right = _Bins(ours), _Bins(official)
    while left.fill() | right.fill():
        starts = left.starts, right.starts
        if not len(starts[0]) or (len(starts[1]) and starts[1][0] < starts[0][0]):
            n = len(starts[1]) if not len(starts[0]) else int(np.searchsorted(starts[1], starts[0][0]))
            told.see_alone(right.take(n)["bin_start_ns"], is_ours=False)
        elif not len(starts[1]) or starts[0][0] < starts[1][0]:
            n = len(starts[0]) if not len(starts[1]) else int(np.searchsorted(starts[0], starts[1][0]))
            told.see_alone(left.take(n)["bin_start_ns"], is_ours=True)
        else:
            n = min(len(one) for one in starts)
            is_same = starts[0][:n] == starts[1][:n]
            n = n if is_same.all() else int(np.argmin(is_same))
            told.see_both(left.take(n), right.take(n))
    return told


class _Bins:
    """Bins of one replay that were not compared yet."""

    def __init__(self, blocks: Iterable[BinBlock]) -> None:
        self._blocks: Iterator[BinBlock] = iter(blocks)
        self._rest: Columns = {}

    @property
    def starts(self) -> NDArray[np.int64]:
        """Their times, ns."""
        return self._rest["bin_start_ns"] if self._rest else np.empty(0, np.int64)

    def fill(self) -> bool:
        """Whether there are any, read on if need be."""
        while not len(self.starts):
            block = next(self._blocks, None)
            if block is None:
                return False
            names = block.bins.dtype.names or ()
            self._rest = {name: block.bins[name].copy() for name in names}
            self._rest |= {f"grid.{name}": np.array(column) for name, column in block.grid.items()}
        return True

    def take(self, n: int) -> Columns:
        """The first ``n``."""
        taken = {name: column[:n] for name, column in self._rest.items()}
        self._rest = {name: column[n:] for name, column in self._rest.items()}
        return taken


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """Floats as their bits: two that are no number are alike if they are the same one."""
    return values.view(f"i{values.dtype.itemsize}") if values.dtype.kind == "f" else values
