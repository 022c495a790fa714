"""What a promotion promises, in figures of the row that is promoted."""

import json
from typing import Any

import numpy as np
import polars as pl

from engine.champion import Promise
from engine.constants import NS_PER_MS
from engine.trades.paper import plan_values
from tune.gate import over_sessions
from tune.pooled import pool
from tune.rules import Rules
from tune.scoring import make_plan


def promise_of(rows: pl.DataFrame, min_signals: int, row: dict[str, Any], mode: str) -> Promise:
    """The promise of a run at a threshold.

    It is the lower bound of what was earned out of sample, over all sessions in which the sweep has the candidate; what is
    evidence lies after the last session of the sweep, as all of them had a say in what was chosen.

    Parameters
    ----------
    rows : DataFrame
        All rows that the sweep chose among, whichever sweep scored them first, as ``ResultStore.rows`` gives them.
    min_signals : int
        Trades that the sweep asks for: the bounds hold for all of its candidates that have as many.
    row : dict
        One of them.
    mode : str
        ``signed`` or ``probability``: which scores are neutral.
    """
    rules = Rules(**json.loads(row["rules_json"]))
    mean, low, high, n_trades = _out_of_sample(row, rows, min_signals)
    return Promise(
        at_least_ticks=max(low or 0.0, 0.0),  # who loses keeps no promise, whatever the interval
        net_ticks=mean,
        low_ticks=low,
        high_ticks=high,
        n_trades=n_trades,
        trades_per_hour=_number(row["events_per_scored_hour"]),
        data_end_ns=max(rows.get_column("end_ns")),
        best_ticks=rules.tp_ticks - rules.fee_ticks,
        fee_ticks=rules.fee_ticks,
        longest_ns=(rules.delay_bins + rules.max_hold_bins) * rules.cell_width_ms * NS_PER_MS,
        fill=rules.fill,
        plan=plan_values(make_plan([row["threshold"]], [rules], mode, np.zeros(0, np.int64))),
    )


def _out_of_sample(
    row: dict[str, Any], rows: pl.DataFrame, min_signals: int
) -> tuple[float | None, float | None, float | None, int]:
    """Net ticks a trade, their bounds, and how many trades; as the gate pools and bounds them."""
    chosen = rows.filter(pl.col("run_id") == row["run_id"], pl.col("threshold") == row["threshold"])
    judged = over_sessions(chosen, pool(rows), min_signals).row(0, named=True)
    mean, low, high = (_number(judged[f"oos_expectancy_{name}"]) for name in ("ticks", "low", "high"))
    return mean, low, high, int(judged["oos_n_signals"])


def _number(value: float) -> float | None:
    return float(value) if value == value else None
