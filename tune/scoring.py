"""From a score series to trades and their statistics.

Source: signals.md sections 6.1 to 6.3. Trades enter and leave at the mid of a bin, may overlap, and are scored one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.jit import kernel
from engine.schema import Floats, Ints

TP: Final = 1
SL: Final = 2
TIMEOUT: Final = 3
REASONS: Final = {TP: "tp", SL: "sl", TIMEOUT: "timeout"}
_NS_PER_HOUR: Final = 3.6e12
_NS_PER_MS: Final = 1e6
_Z_95: Final = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


@kernel
def detect_edges(score: Floats, threshold: float, cooldown: int, start: int, index: Ints, direction: NDArray[np.int8]) -> int:
    """Write the bins at which the score newly crosses the threshold; return how many.

    The state before ``start`` is flat, and it follows the score through the cooldown: a crossing inside it is lost.
    ``index`` (n,) i8 and ``direction`` (n,) i1 take the bin and +1 or -1.
    """
    count = 0
    previous = 0
    last = start - cooldown
    for t in range(start, score.shape[0]):
        state = 0
        if score[t] >= threshold:  # a NaN is neither: flat
            state = 1
        elif score[t] <= -threshold:
            state = -1
        if state != 0 and state != previous and t - last >= cooldown:
            index[count] = t
            direction[count] = state
            count += 1
            last = t
        previous = state
    return count


@kernel
def score_outcomes(
    mid: Floats,
    index: Ints,
    direction: NDArray[np.int8],
    count: int,
    tp: float,
    sl: float,
    max_hold: int,
    tick: float,
    kept: Ints,
    exit_index: Ints,
    reason: NDArray[np.int8],
    pnl: Floats,
) -> int:
    """Follow each trade to its first barrier or its time limit; return how many had a valid entry.

    ``tp`` and ``sl`` are dollars from the entry, ``mid`` dollars with 0 for an invalid book. ``kept`` (count,) i8 takes the
    positions in ``index`` of the trades scored; ``exit_index`` i8, ``reason`` i1 and ``pnl`` f8 (ticks) stand beside it.
    """
    n = mid.shape[0]
    done = 0
    for i in range(count):
        t = index[i]
        entry = mid[t]
        if not entry > 0.0:
            continue
        end = min(t + max_hold, n)
        leave = end - 1
        why = TIMEOUT
        for j in range(t + 1, end):
            price = mid[j]
            if not price > 0.0:
                continue
            if direction[i] > 0:
                if price >= entry + tp:
                    why = TP
                elif price <= entry - sl:
                    why = SL
            else:
                if price <= entry - tp:
                    why = TP
                elif price >= entry + sl:
                    why = SL
            if why != TIMEOUT:
                leave = j
                break
        kept[done] = i
        exit_index[done] = leave
        reason[done] = why
        pnl[done] = direction[i] * (mid[leave] - entry) / tick
        done += 1
    return done


@dataclass(frozen=True)
class Rules:
    """How scores become trades. Barriers in ticks, times in bins, tick in dollars."""

    tp_ticks: float
    sl_ticks: float
    max_hold_bins: int
    warmup_bins: int
    cooldown_bins: int
    tick_size: float


@dataclass(frozen=True)
class Trades:
    """One threshold's trades, each array of shape (n_signals,)."""

    index: Ints  # bin of the entry
    direction: NDArray[np.int8]  # +1 up, -1 down
    exit_index: Ints
    reason: NDArray[np.int8]  # TP, SL, TIMEOUT
    pnl_ticks: Floats


def find_trades(score: Floats, mid: Floats, threshold: float, rules: Rules) -> Trades:
    """Trades a score series takes at one threshold.

    Parameters
    ----------
    score, mid : NDArray[np.float64], shape (n,)
        The series, and the mid price in dollars with 0 for an invalid book.
    """
    n = score.shape[0]
    index, direction = np.empty(n, np.int64), np.empty(n, np.int8)
    count = detect_edges(score, threshold, rules.cooldown_bins, min(rules.warmup_bins, n), index, direction)
    kept, leave = np.empty(count, np.int64), np.empty(count, np.int64)
    reason, pnl = np.empty(count, np.int8), np.empty(count)
    done = score_outcomes(
        mid,
        index,
        direction,
        count,
        rules.tp_ticks * rules.tick_size,
        rules.sl_ticks * rules.tick_size,
        rules.max_hold_bins,
        rules.tick_size,
        kept,
        leave,
        reason,
        pnl,
    )
    kept = kept[:done]
    return Trades(index[kept], direction[kept], leave[:done], reason[:done], pnl[:done])


def statistics_of(trades: Trades, ts_ns: Ints, rules: Rules) -> dict[str, float | int]:
    """Figures of one threshold's trades.

    Parameters
    ----------
    ts_ns : NDArray[np.int64], shape (n,)
        Bin ends of the whole series; its span, warm-up included, is what ``events_per_hour`` divides by.

    Returns
    -------
    dict
        The fields of signals.md 6.3 and: ``tp_rate_low, tp_rate_high`` (Wilson interval, 95 %; trades overlap, so it is
        too narrow), ``break_even_rate`` (the TP rate of a driftless walk at these barriers, sl/(tp+sl)) and
        ``expectancy_ticks`` (mean PnL with hits booked at the barrier instead of the mid they overshot to).
    """
    n = len(trades.index)
    n_tp, n_sl = int((trades.reason == TP).sum()), int((trades.reason == SL).sum())
    n_timeout = n - n_tp - n_sl
    span_hours = float(ts_ns[-1] - ts_ns[0]) / _NS_PER_HOUR if len(ts_ns) else 0.0
    resolved = trades.reason != TIMEOUT
    times_ms = (ts_ns[trades.exit_index[resolved]] - ts_ns[trades.index[resolved]]) / _NS_PER_MS
    low, high = wilson_interval(n_tp, n)
    at_barrier = n_tp * rules.tp_ticks - n_sl * rules.sl_ticks + float(trades.pnl_ticks[~resolved].sum())
    nan = float("nan")
    return {
        "n_signals": n,
        "n_up": int((trades.direction > 0).sum()),
        "n_down": int((trades.direction < 0).sum()),
        "tp_rate": n_tp / n if n else nan,
        "sl_rate": n_sl / n if n else nan,
        "timeout_rate": n_timeout / n if n else nan,
        "tp_rate_low": low,
        "tp_rate_high": high,
        "break_even_rate": rules.sl_ticks / (rules.tp_ticks + rules.sl_ticks),
        "events_per_hour": n / span_hours if span_hours > 0 else 0.0,
        "median_time_to_outcome_ms": float(np.median(times_ms)) if len(times_ms) else nan,
        "mean_pnl_ticks": float(trades.pnl_ticks.mean()) if n else nan,
        "expectancy_ticks": at_barrier / n if n else nan,
    }


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate; (nan, nan) without observations."""
    if n == 0:
        return float("nan"), float("nan")
    rate, z2 = hits / n, _Z_95 * _Z_95
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z_95 / (1 + z2 / n) * sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
