"""The leaderboard on disk: immutable part files that are only ever added.

``runs.parquet/`` holds a row per (run, threshold) and is written first; ``runs_meta.parquet/`` holds a row per run and is the
truth: rows without it (a crash in between) are not seen. Any number of writers may add at once. A run that was written
twice is read once. Source: signals.md section 10; interfaces.md, "Lake layout".
"""

from collections.abc import Collection, Sequence
from typing import Final

import polars as pl
import pyarrow as pa

from engine.lake import Lake
from tune.diagnostics import COLUMNS as DIAGNOSTIC_COLUMNS
from tune.parts import compact, part_name, read_parts, write_part
from tune.scoring import LISTS
from tune.tally_kernels import MARK_OUT_S
from tune.trial import RunResult

META_SCHEMA: Final = pa.schema(
    [
        ("run_id", pa.string()),
        ("sweep_id", pa.string()),
        ("experiment_name", pa.string()),
        ("config_hash", pa.string()),
        ("timestamp_utc", pa.string()),
        ("dataset_id", pa.string()),
        ("dataset_checksum", pa.string()),
        ("grid_variant_id", pa.string()),
        ("signal_name", pa.string()),
        ("signal_params_json", pa.string()),  # the swept ones
        ("resolved_params_json", pa.string()),  # all of them
        ("eval_tp_ticks", pa.float64()),
        ("eval_sl_ticks", pa.float64()),
        ("eval_max_hold_bins", pa.int64()),
        ("warmup_bins", pa.int64()),
        ("cooldown_bins", pa.int64()),
        ("tick_size", pa.float64()),  # dollars
        ("lookahead", pa.string()),  # parameters set to a form that reads later bins
        ("rules_json", pa.string()),  # all of them
        ("thresholds_json", pa.string()),
        ("code_version", pa.string()),
        ("n_bins", pa.int64()),
        ("n_unsound_bins", pa.int64()),  # of the scored ones
        ("start_ns", pa.int64()),
        ("end_ns", pa.int64()),
        ("sources_json", pa.string()),  # what trials count by: the records, and SHA-256 of the raw files
        ("oos_threshold", pa.float64()),
        ("oos_n_signals", pa.int64()),
        ("oos_expectancy_ticks", pa.float64()),
        ("oos_expectancy_low", pa.float64()),
        ("oos_expectancy_high", pa.float64()),
        ("oos_n_folds", pa.int64()),
        ("elapsed_seconds", pa.float64()),
        *((name, pa.string()) for name in DIAGNOSTIC_COLUMNS),
    ]
)
ROWS_SCHEMA: Final = pa.schema(
    [
        ("run_id", pa.string()),
        ("threshold", pa.float64()),
        ("cooldown_bins", pa.int64()),
        ("n_signals", pa.int64()),
        ("n_up", pa.int64()),
        ("n_down", pa.int64()),
        ("n_unsound", pa.int64()),  # signals that fired in a bin that was not sound, or would have been entered in one
        ("n_too_near_close", pa.int64()),  # signals refused for that
        ("n_stop_in_spread", pa.int64()),  # signals refused for that
        ("n_flat_at_close", pa.int64()),  # trades left before a close
        ("n_through_gap", pa.int64()),  # trades with a gap on their way, however they ended
        ("n_flat_at_roll", pa.int64()),  # trades left before another contract's prices
        ("n_cut", pa.int64()),  # trades that the end of the data ended
        ("n_effective", pa.float64()),
        *((f"{name}_rate", pa.float64()) for name in ("tp", "sl", "timeout")),
        *((f"{name}_rate_{side}", pa.float64()) for name in ("tp", "sl", "timeout") for side in ("low", "high")),
        ("break_even_rate", pa.float64()),
        ("excess_rate", pa.float64()),
        ("excess_low", pa.float64()),
        ("excess_high", pa.float64()),
        ("events_per_hour", pa.float64()),
        ("events_per_scored_hour", pa.float64()),
        ("median_time_to_outcome_ms", pa.float64()),
        ("mean_hold_ms", pa.float64()),
        ("mean_pnl_ticks", pa.float64()),
        ("expectancy_ticks", pa.float64()),  # net of fees, hits at their barriers
        ("expectancy_low", pa.float64()),
        ("expectancy_high", pa.float64()),
        ("expectancy_dollars", pa.float64()),
        ("profit_factor", pa.float64()),
        ("max_drawdown_ticks", pa.float64()),
        ("max_drawdown_dollars", pa.float64()),
        ("turnover_per_hour", pa.float64()),  # dollars
        *((f"markout_{round(1000 * seconds)}ms_ticks", pa.float64()) for seconds in MARK_OUT_S),
        ("sharpe", pa.float64()),  # per square root of an hour
        ("net_square", pa.float64()),  # sum over the trades, ticks squared
        ("full_loss_ticks", pa.float64()),  # what a stop loses that was never seen
        ("fill_model", pa.string()),
        *((name, pa.list_(pa.float64())) for name in LISTS),
    ]
)


class ResultStore:
    """The runs of a lake."""

    def __init__(self, lake: Lake) -> None:
        self.meta_dir = lake.results / "runs_meta.parquet"
        self.rows_dir = lake.results / "runs.parquet"

    def append(self, results: Sequence[RunResult], **common: str) -> None:
        """Add runs: one part file of rows, then one of meta.

        Parameters
        ----------
        common : str
            Meta columns the same for all: ``sweep_id, experiment_name, config_hash, timestamp_utc``.
        """
        if not results:
            return
        part = part_name()
        write_part(self.rows_dir, [row for result in results for row in result.rows], ROWS_SCHEMA, part)
        write_part(self.meta_dir, [{**result.meta, **common} for result in results], META_SCHEMA, part)

    def run_ids(self) -> set[str]:
        """Every run that is complete on disk: one whose rows were lost with a damaged part is not."""
        with_rows = read_parts(self.rows_dir, pa.schema([ROWS_SCHEMA.field("run_id")])).get_column("run_id")
        return set(self.meta().get_column("run_id")) & set(with_rows)

    def meta(self) -> pl.DataFrame:
        """One row per run, in the order they were added."""
        return read_parts(self.meta_dir, META_SCHEMA).unique("run_id", keep="first", maintain_order=True)

    def rows(self, run_ids: Collection[str] | None = None) -> pl.DataFrame:
        """One row per (run, threshold) of complete runs, joined with the run's meta columns."""
        meta = self.meta()
        if run_ids is not None:
            meta = meta.filter(pl.col("run_id").is_in(list(run_ids)))
        rows = read_parts(self.rows_dir, ROWS_SCHEMA).unique(["run_id", "threshold"], keep="first", maintain_order=True)
        return rows.join(meta.drop("cooldown_bins"), on="run_id", how="inner", maintain_order="left")

    def compact(self) -> None:
        """Make few files of many; nothing that was read before reads otherwise afterwards."""
        compact(self.rows_dir)
        compact(self.meta_dir)
