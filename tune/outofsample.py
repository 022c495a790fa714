"""A point's score out of sample: every fold trades the threshold that looked best on the labels over before it.

Source: signals.md section 14, item 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from engine.schema import Floats
from tune.intervals import LEVEL, block_width, mean_interval, tail_bound
from tune.rules import N_BLOCKS, Rules
from tune.splits import fold_blocks

MIN_TRAIN_TRADES: Final = 5  # with fewer a choice is none
_Z_ONE_SIDED: Final = 1.6448536269514722  # 95 % quantile of the normal distribution
COLUMNS: Final = (
    "oos_threshold",
    "oos_n_signals",
    "oos_expectancy_ticks",
    "oos_expectancy_low",
    "oos_expectancy_high",
    "oos_n_folds",
)


def promise(n: Floats, total: Floats, square: Floats, stops: Floats, full_loss: Floats) -> Floats:
    """What choices are made by: the lower 95 % bound of the mean, or the one that allows for stops not seen, if that is lower.

    All of shape (n_candidates,): trades, sum of their net results and of its squares, how many were stopped, and what a stop
    loses. -inf with fewer than ``MIN_TRAIN_TRADES`` trades.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        variance = np.maximum(square - n * mean * mean, 0.0) / (n - 1)
        low = np.minimum(
            mean - _Z_ONE_SIDED * np.sqrt(variance / n), tail_bound(n, total, stops, full_loss, np.ones(len(n)), LEVEL)
        )
    return np.where(n >= MIN_TRAIN_TRADES, low, -np.inf)


def chosen(n: Floats, total: Floats, square: Floats, stops: Floats, full_loss: Floats) -> int:
    """Place of the best candidate, the first of equals, as `promise` has it; -1 where none has trades enough."""
    low = promise(n, total, square, stops, full_loss)
    best = int(np.argmax(low)) if len(low) else -1
    return best if best >= 0 and np.isfinite(low[best]) else -1


def stitch(picks: Sequence[int], block_n: Floats, block_pnl: Floats, n_folds: int) -> tuple[Floats, Floats]:
    """Trades and net PnL by block, shape (N_BLOCKS,), of candidate ``picks[f]`` in the test blocks of fold f.

    A pick of -1 trades nothing.
    """
    edges = [*fold_blocks(n_folds).tolist(), N_BLOCKS]
    n, pnl = np.zeros(N_BLOCKS), np.zeros(N_BLOCKS)
    for pick, low, high in zip(picks, edges, edges[1:], strict=False):
        if pick >= 0:
            n[low:high], pnl[low:high] = block_n[pick, low:high], block_pnl[pick, low:high]
    return n, pnl


def fold_picks(rows: Sequence[Mapping[str, Any]], n_folds: int) -> list[int]:
    """The row that each fold of one session trades, by the labels over before it; -1 where there were too few."""
    if not rows:
        return [-1] * n_folds
    known = np.array([[row[name] for row in rows] for name in ("fold_n", "fold_sum", "fold_square", "fold_stops")])
    full_loss = np.array([row["full_loss_ticks"] for row in rows])
    return [chosen(*np.ascontiguousarray(known[:, :, f]), full_loss) for f in range(n_folds)]


def out_of_sample(rows: Sequence[Mapping[str, Any]], rules: Rules, n_bins: int) -> dict[str, Any]:
    """Walk-forward figures of one point, from its rows of every threshold.

    Returns
    -------
    dict
        ``oos_threshold``, the one that all the data would choose, for the time after them; number of trades, net expectancy
        and its 95 % interval over the tested segments; ``oos_n_folds``, how many segments had a choice. NaN where there is none.
    """
    nan = float("nan")
    if not rows:
        return dict(zip(COLUMNS, (nan, 0, nan, nan, nan, 0), strict=True))
    block_n, block_pnl, block_stops = (np.array([row[name] for row in rows]) for name in ("block_n", "block_pnl", "block_stops"))
    picks = fold_picks(rows, rules.n_folds)
    oos_n, oos_pnl = stitch(picks, block_n, block_pnl, rules.n_folds)
    _, oos_stops = stitch(picks, block_n, block_stops, rules.n_folds)
    holds = np.array([max((rows[p]["mean_hold_ms"] for p in picks if p >= 0), default=0.0)]) / rules.cell_width_ms
    width = block_width(holds, max((n_bins - rules.warmup_bins) / N_BLOCKS, 1.0))
    low, high = mean_interval(oos_n[None], oos_pnl[None], width)
    trades = float(oos_n.sum())
    # One trade in the tested time tells as little more than its neighbours as one of those it was chosen from.
    share = min((rows[p]["n_effective"] / rows[p]["n_signals"] for p in picks if p >= 0), default=1.0)
    full_loss = np.array([rows[0]["full_loss_ticks"]])
    sums = (np.array([x.sum()]) for x in (oos_n, oos_pnl, oos_stops))
    low = np.minimum(low, tail_bound(*sums, full_loss, np.array([share]), (1.0 + LEVEL) / 2.0))
    lows = np.array([row["expectancy_low"] for row in rows])
    best = int(np.nanargmax(lows)) if np.isfinite(lows).any() else -1
    return dict(
        zip(
            COLUMNS,
            (
                rows[best]["threshold"] if best >= 0 else nan,
                int(trades),
                float(oos_pnl.sum() / trades) if trades else nan,
                float(low[0]),
                float(high[0]),
                sum(pick >= 0 for pick in picks),
            ),
            strict=True,
        )
    )


@dataclass(frozen=True)
class Choosing:
    """What a trader would have had who at every fold took the row that looked best until then, over all rows and sessions.

    ``n_candidates`` rows to choose from; net ticks a trade with their 95 % interval, NaN where nothing could be chosen.
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
    rows = rows.filter(pl.col("fill_model").is_not_null()).with_columns(
        pl.col("threshold").rank("dense").over("run_id").alias("place"),
        pl.col("rules_json").str.json_path_match("$.n_folds").cast(pl.Int64).alias("n_folds"),
        pl.col("rules_json").str.json_path_match("$.cell_width_ms").cast(pl.Int64).alias("cell_ms"),
    )
    identity = ["signal_name", "resolved_params_json", "rules_json", "grid_variant_id", "place"]
    n_candidates = len(rows.select(identity).unique())
    past: dict[tuple[Any, ...], list[tuple[int, Floats]]] = {}
    all_n, all_pnl, widths = [], [], [1]
    for (start, end, n_folds), part in sorted(rows.group_by("start_ns", "end_ns", "n_folds"), key=lambda group: group[0]):
        keys = list(part.select(identity).iter_rows())
        block_n, block_pnl, block_stops = (np.array(part.get_column(f"block_{name}").to_list()) for name in ("n", "pnl", "stops"))
        full_loss = part.get_column("full_loss_ticks").to_numpy()
        known = np.array([part.get_column(f"fold_{name}").to_list() for name in ("n", "sum", "square", "stops")])
        before = np.array([_sums_before(past.get(key, ()), start) for key in keys]).T  # (4, n_rows)
        picks = [chosen(*before, full_loss)]
        picks += [chosen(*(before + known[:, :, f]), full_loss) for f in range(n_folds)]
        n, pnl = stitch(picks[1:], block_n, block_pnl, n_folds)
        first = int(fold_blocks(n_folds)[0])
        if picks[0] >= 0:
            n[:first], pnl[:first] = block_n[picks[0], :first], block_pnl[picks[0], :first]
        all_n.append(n)
        all_pnl.append(pnl)
        taken = part[[pick for pick in picks if pick >= 0]]
        block_ms = max((end - start) / 1e6 / N_BLOCKS, 1.0)
        widths += block_width(taken.get_column("mean_hold_ms").to_numpy(), block_ms).tolist()
        squares = part.get_column("net_square").to_numpy()
        for row, key in enumerate(keys):
            sums = np.array([block_n[row].sum(), block_pnl[row].sum(), squares[row], block_stops[row].sum()])
            past.setdefault(key, []).append((end, sums))
    if not all_n:
        return Choosing(0, 0, 0, *[float("nan")] * 3)
    n, pnl = np.concatenate(all_n)[None], np.concatenate(all_pnl)[None]
    low, high = mean_interval(n, pnl, np.array([max(widths)]))
    trades = int(n.sum())
    mean = float(pnl.sum() / trades) if trades else float("nan")
    return Choosing(n_candidates, len(all_n), trades, mean, float(low[0]), float(high[0]))


def _sums_before(sessions: Sequence[tuple[int, Floats]], start: int) -> Floats:
    """Trades, sum, sum of squares and stops of a candidate in the sessions that were over at ``start``."""
    return np.sum([sums for end, sums in sessions if end <= start] or [np.zeros(4)], axis=0)
