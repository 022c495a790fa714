"""Blocks of bins with seeded random content, for tests of what stores and reads them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.dataset.publish import publish_dataset
from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.schema import BIN_DTYPE, GRID_COLUMNS

BIN_NS = 100_000_000
TICK_INT = 250_000_000
CONFIG = {
    "symbol": "TESTH6",
    "symbol_root": "MNQ",
    "contract_multiplier": 2.0,
    "cell_width_ms": 100,
    "grid_radius_ticks": 5,
    "tick_size": 0.25,
    "state5_table": "reference",
}
PROVENANCE: dict[str, Any] = {
    "source_files": [{"path": "made-up.dbn", "size": 1, "sha256": "0" * 64}],
    "dt": "2026-02-06",
    "config": CONFIG,
    "config_version": "0123456789ab",
    "overrides": {},
    "anomalies": {"unknown_cancel": 2},
}


@dataclass
class Block:
    """The shape of engine.replay.BinBlock."""

    bins: NDArray[np.void]
    grid: dict[str, NDArray[Any]]
    model_name: str = "perm_derivative"

    @property
    def n(self) -> int:
        return len(self.bins)


def random_block(n_bins: int, radius: int, seed: int) -> Block:
    """One block of a random walk: quotes move, five-state codes are drawn, floats take any bit pattern but NaN."""
    rng = np.random.default_rng(seed)
    bins = np.zeros(n_bins, BIN_DTYPE)
    bins["bin_seq"] = np.arange(n_bins)
    bins["bin_start_ns"] = 1_770_000_000_000_000_000 + np.arange(n_bins) * BIN_NS
    bins["bin_end_ns"] = bins["bin_start_ns"] + BIN_NS
    bins["ts_ns"] = bins["bin_end_ns"]
    bins["mid_price"] = 21_000.0 + 0.125 * np.cumsum(rng.integers(-2, 3, n_bins))
    mid_ticks = bins["mid_price"] / 0.25
    bids = bins["best_bid_price_int"] = (np.ceil(mid_ticks) - 1).astype(np.int64) * TICK_INT
    asks = bins["best_ask_price_int"] = (np.floor(mid_ticks) + 1).astype(np.int64) * TICK_INT
    bins["bid_low_int"] = bins["bid_high_int"] = bids
    bins["ask_low_int"] = bins["ask_high_int"] = asks
    bins["book_valid"] = True
    bins["runtime_model_score"] = rng.standard_normal(n_bins)
    shape = (n_bins, 2 * radius + 1)
    grid: dict[str, NDArray[Any]] = {}
    for name, code in GRID_COLUMNS.items():
        if name == "k":
            grid[name] = np.broadcast_to(np.arange(-radius, radius + 1, dtype=np.int32), shape).copy()
        elif code == "f8":
            grid[name] = rng.standard_normal(shape) * 10.0 ** rng.integers(-300, 300, shape)
        elif name == "perm_state5_code":
            grid[name] = rng.integers(-2, 3, shape).astype(code)
        else:
            grid[name] = rng.integers(0, 9, shape).astype(code)
    for side in ("buy", "sell"):
        bins[f"traded_{side}_outside"] = np.arange(n_bins) % 3
        bins[f"{side}_volume"] = grid[f"traded_{side}"].sum(axis=1) + bins[f"traded_{side}_outside"]
    return Block(bins, grid)


def plain_block(n_bins: int, radius: int, seed: int) -> Block:
    """A `random_block` whose floats are of the size that real ones have, so that a signal can be computed on them."""
    rng = np.random.default_rng(seed)
    block = random_block(n_bins, radius, seed)
    for name, code in GRID_COLUMNS.items():
        if code == "f8":
            block.grid[name] = rng.standard_normal(block.grid[name].shape)
    block.grid["spectrum_score"] = np.tanh(block.grid["spectrum_score"])
    block.grid["spectrum_state_code"] = rng.integers(-1, 2, block.grid["spectrum_score"].shape).astype(np.int8)
    return block


def cut(block: Block, size: int) -> Iterator[Block]:
    """The same bins in blocks of ``size``."""
    for start in range(0, block.n, size):
        part = slice(start, start + size)
        yield Block(block.bins[part], {name: array[part] for name, array in block.grid.items()}, block.model_name)


def publish_plain(lake: Lake, dataset_id: str, n_bins: int, radius: int, seed: int) -> Dataset:
    """A dataset of one plain block in the lake."""
    return publish_dataset(lake, dataset_id, cut(plain_block(n_bins, radius, seed), 256), PROVENANCE)


def publish_random(lake: Lake, dataset_id: str, n_bins: int = 2500, radius: int = 5, seed: int = 7) -> Dataset:
    """A dataset of one random block in the lake."""
    return publish_dataset(lake, dataset_id, cut(random_block(n_bins, radius, seed), 256), PROVENANCE)
