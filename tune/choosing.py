"""What a trader would have had who followed the leaderboard: at every fold the row that looked best until then.

Source: signals.md section 14, item 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from engine.schema import Floats
from tune.outofsample import chosen, stitch
from tune.pooled import FAMILY, sessions_interval, with_place
from tune.rules import N_BLOCKS
from tune.splits import fold_blocks


@dataclass(frozen=True)
class Choosing:
    """What following came to: ``n_candidates`` rows to choose from; net ticks a trade with their 95 % interval over sessions.

    NaN where nothing could be chosen.
    """

    n_candidates: int
    n_sessions: int
    n_signals: int
    expectancy_ticks: float
    low: float
    high: float

    @property
    def line(self) -> str:
        """In words."""
        if not self.n_signals:
            return f"choosing as you go among {self.n_candidates} rows: no fold had trades enough before it to choose by"
        sure = f"[{self.low:+.2f} {self.high:+.2f}]" if self.low == self.low else "[?]"
        sessions = f"{self.n_sessions} session" + ("s" if self.n_sessions > 1 else "")
        return (
            f"choosing as you go among {self.n_candidates} rows, each fold by what came before it: net "
            f"{self.expectancy_ticks:+.2f} {sure} ticks a trade, {self.n_signals} trades, {sessions}"
        )


def choose_as_you_go(rows: pl.DataFrame) -> Choosing:
    """Walk forward over every row of a leaderboard: within each session fold by fold, and through the sessions in order of time.

    Parameters
    ----------
    rows : DataFrame
        As ``ResultStore.rows`` gives them. A row stands for the same candidate in two sessions where signal, parameters, rules
        and the place of its threshold agree. A session lends its trades to a later one only if it was over when that began.
    """
    rows = with_place(rows.filter(pl.col("fill_model").is_not_null())).with_columns(
        pl.col("rules_json").str.json_path_match("$.n_folds").cast(pl.Int64).alias("n_folds"),
        pl.col("rules_json").str.json_path_match("$.cell_width_ms").cast(pl.Int64).alias("cell_ms"),
    )
    identity = [*FAMILY, "place"]
    n_candidates = len(rows.select(identity).unique())
    past: dict[tuple[Any, ...], list[tuple[int, Floats]]] = {}
    all_n, all_pnl, holds = [], [], [0.0]
    for (start, end, n_folds), part in sorted(rows.group_by("start_ns", "end_ns", "n_folds"), key=lambda group: group[0]):
        keys = list(part.select(identity).iter_rows())
        block_n, block_pnl, block_stops = (np.array(part.get_column(f"block_{name}").to_list()) for name in ("n", "pnl", "stops"))
        full_loss = part.get_column("full_loss_ticks").to_numpy()
        known = np.array([part.get_column(f"fold_{name}").to_list() for name in ("n", "sum", "square", "stops")])
        before = np.array([_sums_before(past.get(key, ()), start) for key in keys]).T  # (4, n_rows)
        picks = [chosen(before[0], before[1], before[2], before[3], full_loss)]
        for f in range(n_folds):
            n_known, total, square, stops = before + known[:, :, f]
            picks.append(chosen(n_known, total, square, stops, full_loss))
        n, pnl = stitch(picks[1:], block_n, block_pnl, n_folds)
        first = int(fold_blocks(n_folds)[0])
        if picks[0] >= 0:
            n[:first], pnl[:first] = block_n[picks[0], :first], block_pnl[picks[0], :first]
        all_n.append(n)
        all_pnl.append(pnl)
        taken = part[[pick for pick in picks if pick >= 0]]
        block_ms = max((end - start) / 1e6 / N_BLOCKS, 1.0)
        holds += (np.nan_to_num(taken.get_column("mean_hold_ms").to_numpy()) / block_ms).tolist()
        squares = part.get_column("net_square").to_numpy()
        for row, key in enumerate(keys):
            sums = np.array([block_n[row].sum(), block_pnl[row].sum(), squares[row], block_stops[row].sum()])
            past.setdefault(key, []).append((end, sums))
    if not all_n:
        return Choosing(0, 0, 0, *[float("nan")] * 3)
    n, pnl = np.array(all_n), np.array(all_pnl)
    low, high = sessions_interval(n, pnl, max(holds))
    trades = int(n.sum())
    mean = float(pnl.sum() / trades) if trades else float("nan")
    return Choosing(n_candidates, len(all_n), trades, mean, low, high)


def _sums_before(sessions: Sequence[tuple[int, Floats]], start: int) -> Floats:
    """Trades, sum, sum of squares and stops of a candidate in the sessions that were over at ``start``."""
    return np.sum([sums for end, sums in sessions if end <= start] or [np.zeros(4)], axis=0)
