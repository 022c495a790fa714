"""Every trial ever scored, whoever scored it and whatever became of its results.

A trial is one point at one threshold; what it is tried on is named by the raw files its dataset was made of, so that variants
of a session count together. Part files are only ever added, and lie beside the results, not among them: a sweep that was
stopped, results that were deleted and runs that were repeated leave the count as it was.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from engine.lake import Lake
from tune.parts import read_parts, write_part
from tune.trial import RunResult

SCHEMA: Final = pa.schema(
    [
        ("run_id", pa.string()),
        ("threshold", pa.float64()),
        ("sources", pa.list_(pa.string())),  # SHA-256 of the raw files
        ("signal_name", pa.string()),
        ("sweep_id", pa.string()),
        ("timestamp_utc", pa.string()),
        ("sharpe", pa.float64()),  # per square root of an hour; NaN without trades
    ]
)


@dataclass(frozen=True)
class Trials:
    """What was tried on some data: how many distinct trials, and how their Sharpe ratios spread (per square root of an hour)."""

    n: int
    sharpe_std: float


class TrialLedger:
    """The trials of a lake."""

    def __init__(self, lake: Lake) -> None:
        self.folder = lake.harness / "trials.parquet"

    def add(self, results: Sequence[RunResult], sweep_id: str, timestamp_utc: str) -> None:
        """Write trials down; to be called before their results are kept or shown."""
        rows = [
            {
                "run_id": result.meta["run_id"],
                "threshold": row["threshold"],
                "sources": json.loads(result.meta["sources_json"]),
                "signal_name": result.meta["signal_name"],
                "sweep_id": sweep_id,
                "timestamp_utc": timestamp_utc,
                "sharpe": row["sharpe"],
            }
            for result in results
            for row in result.rows
        ]
        if rows:
            write_part(self.folder, rows, SCHEMA)

    def trials(self) -> pl.DataFrame:
        """One row per distinct trial, in the order they were first scored."""
        return read_parts(self.folder, SCHEMA).unique(["run_id", "threshold"], keep="first", maintain_order=True)


def tried_on(trials: pl.DataFrame, sources: Sequence[str]) -> Trials:
    """The trials of a ledger's rows that were scored on any of some raw files."""
    touched = trials.filter(pl.col("sources").list.eval(pl.element().is_in(list(sources))).list.any())
    # Sorted, so that the last digit of a sum does not tell in which order workers were done.
    ratios = touched.get_column("sharpe").fill_nan(None).drop_nulls().sort().to_numpy()
    return Trials(len(touched), float(np.std(ratios, ddof=1)) if len(ratios) > 1 else 0.0)
