"""Every trial ever scored, whoever scored it and whatever became of its results.

A trial is one point at one threshold; what it is tried on is named by the records its dataset was made of and by the raw files they
came in, so that variants of a session count together, and so does a file that was compressed, cut or named anew. Part files are only ever added, and lie beside the results, not among them: a sweep that was
stopped, results that were deleted and runs that were repeated leave the count as it was.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from engine.dataset.lineage import sources_of
from engine.dataset.read import Dataset
from engine.lake import Lake
from tune.contents import Contents
from tune.parts import read_parts, write_part
from tune.trial import RunResult

HANDED_OUT: Final = "score"  # stands where a sweep's id would
SCHEMA: Final = pa.schema(
    [
        ("run_id", pa.string()),
        ("threshold", pa.float64()),
        ("sources", pa.list_(pa.string())),  # name of the records, SHA-256 of the raw files
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
        self.contents = Contents(lake)

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

    def add_series(self, run_id: str, dataset: Dataset, signal: str, timestamp_utc: str) -> None:
        """Write down a series that was handed out unjudged: whoever has it can judge it where nobody counts."""
        self.contents.note([dataset])
        sources = list(sources_of(dataset.manifest))
        row = {"run_id": run_id, "sources": sources, "signal_name": signal, "sweep_id": HANDED_OUT, "timestamp_utc": timestamp_utc}
        write_part(self.folder, [row], SCHEMA)

    def trials(self) -> pl.DataFrame:
        """One row per distinct trial, in the order they were first scored; ``sources`` as `Contents.widened` has them."""
        return self.contents.widened(self.own_trials())

    def own_trials(self) -> pl.DataFrame:
        """The same with the sources that each was tried on, and no others."""
        return read_parts(self.folder, SCHEMA).unique(["run_id", "threshold"], keep="first", maintain_order=True)


def tried_on(trials: pl.DataFrame, sources: Sequence[str]) -> Trials:
    """The trials of a ledger's rows that were scored on any of some raw files."""
    touched = trials.filter(pl.col("sources").list.eval(pl.element().is_in(list(sources))).list.any())
    # Sorted, so that the last digit of a sum does not tell in which order workers were done.
    ratios = touched.get_column("sharpe").fill_nan(None).drop_nulls().sort().to_numpy()
    return Trials(len(touched), float(np.std(ratios, ddof=1)) if len(ratios) > 1 else 0.0)
