"""Score series for tests of the judge, and the rules they are judged by."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.dataset.read import Dataset

N = 2500  # bins of the tests' dataset
RULES: dict[str, Any] = {"tp_ticks": 4, "sl_ticks": 4, "max_hold_bins": 200, "warmup_bins": 100, "thresholds": [0.5, 1.0]}


def noise(seed: int = 1, n: int = N) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(n)


def foresight(dataset: Dataset, bins: int = 150) -> NDArray[np.float64]:
    """By how many ticks the mid will have moved so many bins later: what no signal can know."""
    mid = dataset.bins(["mid_price"])["mid_price"]
    later = np.full(len(mid), np.nan)
    later[:-bins] = (mid[bins:] - mid[:-bins]) / 0.25
    return later


def written(series: NDArray[np.float64], path: Path) -> Path:
    pl.DataFrame({"bin_seq": np.arange(N), "score": series}).write_parquet(path / "mine.parquet")
    return path / "mine.parquet"
