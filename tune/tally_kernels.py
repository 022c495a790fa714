"""From trades to sums: what the statistics of every combination are made of, in one pass over the trades."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.jit import kernel
from engine.schema import Floats, Ints
from engine.trades.kernels import CUT, FLAT_AT_CLOSE, FLAT_AT_ROLL, MET_GAP, SL, TP, Found, Memo
from engine.trades.tape import SOUND, Tape

MARK_OUT_S: Final = (0.1, 1.0, 5.0, 30.0)

# Columns of the counts, i8.
N_TP: Final = 0
N_SL: Final = 1
N_TIMEOUT: Final = 2  # all that reached no barrier, for whatever reason
N_CUT: Final = 3
N_UP: Final = 4
N_FLAT_AT_CLOSE: Final = 5
N_FLAT_AT_ROLL: Final = 6
N_THROUGH_GAP: Final = 7  # however they ended
N_HELD: Final = 8  # bins from entry to exit, added up
N_COUNTS: Final = 9
# Columns of the sums, f8; ticks where not said otherwise.
GROSS: Final = 0
BOOKED: Final = 1  # gross with hits at their barriers
WON: Final = 2  # net, of the trades that won
LOST: Final = 3  # net, of the others, as a positive number
DRAWDOWN: Final = 4  # deepest fall of the running net sum from its peak
TURNOVER: Final = 5  # 1e-9 dollars per contract multiplier: sizes of the prices paid and received
UNIQUE: Final = 6  # sum of the trades' mean uniqueness
SQUARE: Final = 7  # sum of squares of the net
N_SUMS: Final = 8


class Trades(NamedTuple):
    """Trades sorted by combination, then time; each of shape (n_trades,), ``first`` (n_combos + 1,) where each one's begin."""

    first: Ints
    fired: Ints  # bin whose score fired
    entry: Ints  # bin at whose end it was entered
    exit_bin: Ints
    sign: NDArray[np.int8]  # +1 up, -1 down
    reason: NDArray[np.int8]
    pnl: Floats  # ticks, before fees
    met_gap: NDArray[np.bool_]  # a gap of the record lay on the way


class Tally(NamedTuple):
    """Per combination: ``counts`` i8, ``sums`` f8, ``marks`` (4,) ticks and ``n_marks``, per block ``block_n``,
    ``block_pnl`` (net) and ``block_stops``, per fold ``fold_n, fold_sum, fold_square`` (net) and ``fold_stops`` of the trades a
    choice before that fold may use."""

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    marks: NDArray[np.float64]
    n_marks: NDArray[np.int64]
    block_n: NDArray[np.float64]
    block_pnl: NDArray[np.float64]
    block_stops: NDArray[np.float64]
    fold_n: NDArray[np.float64]
    fold_sum: NDArray[np.float64]
    fold_square: NDArray[np.float64]
    fold_stops: NDArray[np.float64]


class TallyPlan(NamedTuple):
    """``train_end`` (n_folds,): labels a fold may learn from end before this bin; ``horizons`` (4,) bins."""

    train_end: Ints
    horizons: Ints
    start: int  # first scored bin
    n_blocks: int
    tick: int
    at_barrier: bool
    overlapping: bool


@kernel
def gather(found: Found, count: int, delay: int, pair: Ints, memo: Memo, place: Ints, out: Trades) -> None:
    """Sort the trades of a walk by combination, keeping time order; ``place`` starts as a copy of ``out.first``."""
    for i in range(count):
        c = found.combo[i]
        at = place[c]
        place[c] += 1
        row = 2 * pair[c % pair.shape[0]] + (1 if found.sign[i] < 0 else 0)
        entry = found.fired[i] + delay
        out.fired[at] = found.fired[i]
        out.entry[at] = entry
        out.exit_bin[at] = memo.exit_bin[row, entry]
        out.sign[at] = found.sign[i]
        out.reason[at] = memo.reason[row, entry] % MET_GAP
        out.pnl[at] = memo.pnl[row, entry]
        out.met_gap[at] = memo.reason[row, entry] >= MET_GAP


@kernel
def tally(
    tape: Tape,
    trades: Trades,
    plan: TallyPlan,
    tp_ticks: Floats,
    sl_ticks: Floats,
    fee_ticks: float,
    concurrent: Floats,
    out: Tally,
) -> None:
    """Add up each combination's trades; ``concurrent`` (n + 1,) f8 is scratch and comes and leaves as zeros; not needed where
    trades do not overlap."""
    n = tape.bid.shape[0]
    span = max(n - plan.start, 1)
    for c in range(trades.first.shape[0] - 1):
        low = trades.first[c]
        high = trades.first[c + 1]
        tp = tp_ticks[c]
        sl = sl_ticks[c]
        running = 0.0
        peak = 0.0
        for i in range(low, high):
            entry = trades.entry[i]
            leave = trades.exit_bin[i]
            reason = trades.reason[i]
            sign = trades.sign[i]
            gross = trades.pnl[i]
            booked = gross
            if reason == TP:
                out.counts[c, N_TP] += 1
                booked = tp
            elif reason == SL:
                out.counts[c, N_SL] += 1
                # Beyond a gap there is no barrier's price: the stop was filled where the market was.
                booked = gross if plan.at_barrier or trades.met_gap[i] else -sl
            else:
                out.counts[c, N_TIMEOUT] += 1
                if reason == CUT:
                    out.counts[c, N_CUT] += 1
                elif reason == FLAT_AT_CLOSE:
                    out.counts[c, N_FLAT_AT_CLOSE] += 1
                elif reason == FLAT_AT_ROLL:
                    out.counts[c, N_FLAT_AT_ROLL] += 1
            if trades.met_gap[i]:
                out.counts[c, N_THROUGH_GAP] += 1
            if sign > 0:
                out.counts[c, N_UP] += 1
            out.counts[c, N_HELD] += leave - entry
            net = booked - fee_ticks
            out.sums[c, GROSS] += gross
            out.sums[c, BOOKED] += booked
            if net > 0:
                out.sums[c, WON] += net
            else:
                out.sums[c, LOST] -= net
            out.sums[c, SQUARE] += net * net
            running += net
            peak = max(peak, running)
            out.sums[c, DRAWDOWN] = max(out.sums[c, DRAWDOWN], peak - running)
            price = tape.ask[entry] if sign > 0 else tape.bid[entry]
            out.sums[c, TURNOVER] += abs(float(price)) + abs(price + sign * gross * plan.tick)
            for h in range(plan.horizons.shape[0]):
                later = entry + plan.horizons[h]
                if later < n and tape.state[later] == SOUND:
                    moved = (tape.bid[later] + tape.ask[later]) - (tape.bid[entry] + tape.ask[entry])
                    out.marks[c, h] += sign * moved / (2.0 * plan.tick)
                    out.n_marks[c, h] += 1
            block = min((trades.fired[i] - plan.start) * plan.n_blocks // span, plan.n_blocks - 1)
            out.block_n[c, block] += 1.0
            out.block_pnl[c, block] += net
            if reason == SL:
                out.block_stops[c, block] += 1.0
            for f in range(plan.train_end.shape[0]):
                if leave < plan.train_end[f]:
                    out.fold_n[c, f] += 1.0
                    out.fold_sum[c, f] += net
                    out.fold_square[c, f] += net * net
                    if reason == SL:
                        out.fold_stops[c, f] += 1.0
        if not plan.overlapping:
            out.sums[c, UNIQUE] = high - low
            continue
        for i in range(low, high):
            for j in range(trades.entry[i], trades.exit_bin[i] + 1):
                concurrent[j] += 1.0
        for i in range(low, high):
            share = 0.0
            for j in range(trades.entry[i], trades.exit_bin[i] + 1):
                share += 1.0 / concurrent[j]
            out.sums[c, UNIQUE] += share / (trades.exit_bin[i] + 1 - trades.entry[i])
        for i in range(low, high):
            for j in range(trades.entry[i], trades.exit_bin[i] + 1):
                concurrent[j] = 0.0


@kernel
def median_times(trades: Trades, ts_ns: Ints, tallest: Ints, out: Floats) -> None:
    """Median time in ns from entry to barrier of each combination; NaN where none reached one.

    ``tallest`` (longest hold in bins + 1,) i8 is scratch of zeros: holds are counted by their length, bins being equally long.
    """
    for c in range(trades.first.shape[0] - 1):
        n = 0
        longest = 0
        for i in range(trades.first[c], trades.first[c + 1]):
            if trades.reason[i] == TP or trades.reason[i] == SL:
                hold = trades.exit_bin[i] - trades.entry[i]
                tallest[hold] += 1
                longest = max(longest, hold)
                n += 1
        out[c] = np.nan
        if n > 0:
            width = ts_ns[1] - ts_ns[0]
            seen = 0
            lower = -1
            for hold in range(longest + 1):
                seen += tallest[hold]
                if lower < 0 and seen > (n - 1) // 2:
                    lower = hold
                if seen > n // 2:
                    out[c] = 0.5 * (lower + hold) * width
                    break
            for hold in range(longest + 1):
                tallest[hold] = 0
