"""A point's score out of sample: every fold trades the threshold that looked best on the labels over before it.

Source: signals.md section 14, item 4.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

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


def best_of(low: Floats) -> int:
    """Place of the highest of some promises, the first of equals; -1 where there is none."""
    best = int(np.argmax(low)) if len(low) else -1
    return best if best >= 0 and np.isfinite(low[best]) else -1


def chosen(n: Floats, total: Floats, square: Floats, stops: Floats, full_loss: Floats) -> int:
    """Place of the best candidate, the first of equals, as `promise` has it; -1 where none has trades enough."""
    return best_of(promise(n, total, square, stops, full_loss))


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
    n, total, square, stops = (np.ravel([row[f"fold_{name}"] for row in rows]) for name in ("n", "sum", "square", "stops"))
    full_loss = np.repeat([row["full_loss_ticks"] for row in rows], n_folds)
    low = promise(n, total, square, stops, full_loss).reshape(len(rows), n_folds)
    return [best_of(low[:, f]) for f in range(n_folds)]


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
