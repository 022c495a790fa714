"""Every trial ever scored, whoever scored it and whatever became of its results.

A trial is one point at one threshold; what it is tried on is named by the records its dataset was made of and by the raw files
they came in, so that variants of a session count together, and so does a file that was compressed, cut or named anew. What it
earned in each span of time is kept, so that all trials can be resampled together. Part files are only ever added, and lie beside
the results, not among them: a sweep that was stopped, results that were deleted and runs that were repeated leave the count as it
was.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from engine.dataset.lineage import sources_of
from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.schema import Floats, Ints
from tune.contents import Contents
from tune.parts import compact, read_parts, write_part
from tune.pooled import FAMILY
from tune.rules import N_BLOCKS
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
        # Null in parts of older versions, whose trials count and cannot be resampled:
        ("candidate", pa.string()),  # what is tried, whatever the session
        ("start_ns", pa.int64()),
        ("end_ns", pa.int64()),
        ("block_n", pa.list_(pa.int32())),
        ("block_pnl", pa.list_(pa.float32())),  # ticks net
    ]
)


@dataclass(frozen=True)
class Trials:
    """What was tried on some data: how many distinct trials, and the ledger's rows of those with results by block."""

    n: int
    known: pl.DataFrame

    def panel(self, sessions: Sequence[tuple[int, int]], own: Floats) -> tuple[Floats, int]:
        """What everything earned in the blocks of some sessions.

        Parameters
        ----------
        sessions : sequence of (start_ns, end_ns)
            A trial on another cut of a session stands where it overlaps most, block by block: nothing is left out by cutting
            anew. Where a trial was not tried it earned nothing.
        own : NDArray[np.float64], shape (n_own, n_sessions * N_BLOCKS)
            Rows that must be among them, whether the ledger has them or not: they come first, in their order, copies included.

        Returns
        -------
        panel : NDArray[np.float64], shape (n_distinct, n_sessions * N_BLOCKS)
            Net ticks; trials that earned the same throughout stand there once.
        n_known : int
            Trials of the ledger that are in it, copies included.
        """
        places = _places(self.known, sessions)
        rows = self.known.with_columns(pl.Series("place", places)).filter(pl.col("place") >= 0)
        again = pl.int_range(pl.len()).over("candidate", "place")  # tried twice on one session, on two cuts of it
        rows = rows.with_columns(again=again).with_columns(which=pl.struct("candidate", "again").rank("dense").cast(pl.Int64) - 1)
        found = np.zeros((rows.n_unique("which") if len(rows) else 0, len(sessions), N_BLOCKS), np.float32)
        if len(rows):
            blocks = rows.get_column("block_pnl").explode().to_numpy().reshape(-1, N_BLOCKS)
            found[rows.get_column("which").to_numpy(), rows.get_column("place").to_numpy()] = blocks
        flat = found.reshape(len(found), len(sessions) * N_BLOCKS)
        ours = np.ascontiguousarray(own, np.float32)  # as the ledger keeps them, so that a row knows itself again
        return np.concatenate([ours, _others(flat, ours)]).astype(np.float64), len(rows)


def _places(known: pl.DataFrame, sessions: Sequence[tuple[int, int]]) -> Ints:
    """The session that each trial overlaps most, -1 where none, shape (n_trials,)."""
    start, end = (known.get_column(name).to_numpy() for name in ("start_ns", "end_ns"))
    shared = np.array([np.minimum(end, last) - np.maximum(start, first) for first, last in sessions])
    if not shared.size:
        return np.full(len(known), -1, np.int64)
    return np.where(shared.max(axis=0) > 0, shared.argmax(axis=0), -1).astype(np.int64)


def _others(rows: Any, ours: Any) -> Any:
    """The distinct rows that are not among ours, by their bytes, in order of first appearance."""
    seen = {row.tobytes() for row in ours}
    first = {row.tobytes(): place for place, row in reversed(list(enumerate(rows)))}
    return rows[sorted(place for key, place in first.items() if key not in seen)]


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
                "candidate": _candidate(result.meta, place),
                "start_ns": result.meta["start_ns"],
                "end_ns": result.meta["end_ns"],
                "block_n": [int(n) for n in row["block_n"]],
                "block_pnl": row["block_pnl"],
            }
            for result in results
            for place, row in enumerate(sorted(result.rows, key=lambda one: float(one["threshold"])))
        ]
        if rows:
            write_part(self.folder, rows, SCHEMA)

    def add_series(self, run_id: str, dataset: Dataset, signal: str, timestamp_utc: str) -> None:
        """Write down a series that was handed out unjudged: whoever has it can judge it where nobody counts."""
        self.contents.note([dataset])
        sources = list(sources_of(dataset.manifest))
        row = {
            "run_id": run_id,
            "sources": sources,
            "signal_name": signal,
            "sweep_id": HANDED_OUT,
            "timestamp_utc": timestamp_utc,
        }
        write_part(self.folder, [row], SCHEMA)

    def trials(self) -> pl.DataFrame:
        """One row per distinct trial, in the order they were first scored; ``sources`` as `Contents.widened` has them."""
        return self.contents.widened(self.own_trials())

    def compact(self) -> None:
        """Make few files of many; the trials stay as they were counted."""
        compact(self.folder)

    def own_trials(self) -> pl.DataFrame:
        """The same with the sources that each was tried on, and no others."""
        return read_parts(self.folder, SCHEMA).unique(["run_id", "threshold"], keep="first", maintain_order=True)


def _candidate(meta: Mapping[str, Any], place: int) -> str:
    """First 16 hex of a SHA-256 over what makes a candidate the same in another session."""
    identity = [*(meta[name] for name in FAMILY), place]
    return sha256(json.dumps(identity).encode()).hexdigest()[:16]


def tried_on(trials: pl.DataFrame, sources: Sequence[str]) -> Trials:
    """The trials of a ledger's rows that were scored on any of some raw files."""
    touched = trials.filter(pl.col("sources").list.eval(pl.element().is_in(list(sources))).list.any())
    # Sorted, so that the last digit of a sum does not tell in which order workers were done.
    known = touched.filter(pl.col("block_pnl").list.len() == N_BLOCKS).sort("run_id", "threshold")
    return Trials(len(touched), known)
