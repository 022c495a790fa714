"""From a score series to trades and their statistics, for all thresholds, barriers and cooldowns of a signal at once.

Source: signals.md sections 6 and 14. The reference form reproduces the model system's figures; the sound
form is what a sweep uses unless told otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.constants import PRICE_SCALE
from engine.schema import Floats, Ints
from engine.trades.kernels import (
    N_REFUSALS,
    N_STOP_IN_SPREAD,
    N_TOO_NEAR_CLOSE,
    N_UNSOUND,
    Found,
    Memo,
    Plan,
    WalkState,
    walk,
)
from engine.trades.tape import CLOSED, SOUND, Tape
from tune import tally_kernels as tk
from tune.intervals import LEVEL, SLIP_TICKS, block_width, independent, mean_bounds, tail_bound, wilson
from tune.rules import N_BLOCKS, Rules
from tune.splits import fold_starts
from tune.tally_kernels import MARK_OUT_S, Tally, TallyPlan, Trades

NS_PER_HOUR: Final = 3.6e12
_NS_PER_MS: Final = 1e6
_FIRST_ROOM: Final = 1 << 12  # trades a combination, on the average, before the buffers must grow
_SMALLEST: Final = 5e-324
# Of a row, one number a block or fold; `Tally` says what.
LISTS: Final = ("block_n", "block_pnl", "block_stops", "fold_n", "fold_sum", "fold_square", "fold_stops")


@dataclass(frozen=True)
class Scored:
    """Every combination of one walk; combination ``threshold * len(rules) + rule``.

    ``refused`` (n_combos, N_REFUSALS): signals that set off no trade, by reason, as `engine.trades.kernels` names them.
    """

    rules: tuple[Rules, ...]
    thresholds: tuple[float, ...]
    trades: Trades
    tally: Tally
    refused: Ints


def levels(thresholds: Sequence[float], mode: str, rules: Rules) -> tuple[Floats, Floats]:
    """Scores from which on a signal says up, and up to which it says down.

    ``mode`` ``signed`` has them at +-threshold, ``probability`` at threshold and 1 - threshold. At a threshold of 0 the
    reference's level rule takes a score of exactly 0 for down, its edge rule for up.
    """
    up = np.array(thresholds, np.float64)
    down = 1.0 - up if mode == "probability" else -up
    if mode == "signed" and rules.trigger == "level":
        up = np.where(up == 0.0, _SMALLEST, up)
    return up, down


def is_degenerate(threshold: float, mode: str) -> bool:
    """Whether a threshold leaves no score at which the signal is silent."""
    return threshold <= (0.5 if mode == "probability" else 0.0)


def make_plan(thresholds: Sequence[float], rules: Sequence[Rules], mode: str, closed: Ints) -> Plan:
    """What the walking kernels go by: every threshold under every rule, which may differ in barriers and cooldown only.

    ``closed`` (n_closed,) are the bins outside the hours of trading, ascending.
    """
    base = rules[0]
    tick = round(base.tick_size / PRICE_SCALE)
    pairs = sorted({(rule.tp_ticks, rule.sl_ticks) for rule in rules})
    up, down = levels(thresholds, mode, base)
    start = base.warmup_bins
    pair = np.array([pairs.index((rule.tp_ticks, rule.sl_ticks)) for rule in rules], np.int64)
    return Plan(
        up=up,
        down=down,
        cooldowns=np.array([rule.cooldown_bins for rule in rules], np.int64),
        pair=pair,
        tp=np.array([round(tp * tick) for tp, _ in pairs], np.int64),
        sl=np.array([round(sl * tick) for _, sl in pairs], np.int64),
        start=start,
        delay=base.delay_bins,
        closed=closed,
        min_to_close=base.min_bins_to_close,
        max_hold=base.max_hold_bins,
        tick=tick,
        is_level=base.trigger == "level",
        rearm=base.rearm,
        single=base.position == "single",
        at_barrier=base.fill == "touch",
        sound_only=base.sound_only,
    )


def walk_all(score: Floats, tape: Tape, thresholds: Sequence[float], rules: Sequence[Rules], mode: str = "signed") -> Scored:
    """Trades and sums of every threshold under every rule, in one pass over the bins.

    Parameters
    ----------
    score : NDArray[np.float64], shape (n,)
        The series; NaN says nothing.
    rules : sequence of Rules
        They may differ in barriers and cooldown only.
    """
    base = rules[0]
    if any(rule.shared != base.shared for rule in rules):
        raise ValueError("rules walked together may differ in tp_ticks, sl_ticks and cooldown_bins only")
    n, n_combos = len(score), len(thresholds) * len(rules)
    plan = make_plan(thresholds, rules, mode, np.flatnonzero(tape.state == CLOSED))
    start, tick = min(plan.start, n), plan.tick
    shape = (2 * len(plan.tp), n)
    memo = Memo(np.empty(shape, np.int32), np.zeros(shape, np.int8), np.empty(shape))
    room = _FIRST_ROOM * n_combos
    while True:
        refused = np.zeros((N_REFUSALS, n_combos), np.int64)
        state = WalkState(np.zeros(n_combos, np.int8), np.zeros(n_combos, np.int64), refused, np.empty(n, np.int8))
        found = Found(np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int8))
        count = walk(np.ascontiguousarray(score), tape, plan, state, memo, found)
        if count <= room:
            break
        room = count
    first = np.zeros(n_combos + 1, np.int64)
    np.cumsum(np.bincount(found.combo[:count], minlength=n_combos), out=first[1:])
    fired_at, entry, exit_bin = (np.empty(count, np.int64) for _ in range(3))
    ways, reasons, pnl = np.empty(count, np.int8), np.empty(count, np.int8), np.empty(count)
    trades = Trades(first, fired_at, entry, exit_bin, ways, reasons, pnl, np.empty(count, np.bool_))
    tk.gather(found, count, plan.delay, plan.pair, memo, first.copy(), trades)
    sums = _tally(tape, trades, rules, len(thresholds), start, tick)
    return Scored(tuple(rules), tuple(thresholds), trades, sums, np.ascontiguousarray(refused.T))


def _tally(tape: Tape, trades: Trades, rules: Sequence[Rules], n_thresholds: int, start: int, tick: int) -> Tally:
    base, n, n_combos = rules[0], len(tape.bid), len(trades.first) - 1
    starts = fold_starts(start, n, base.n_folds)
    plan = TallyPlan(
        train_end=starts - base.embargo_bins,
        horizons=np.array([round(1000 * s / base.cell_width_ms) for s in MARK_OUT_S], np.int64).clip(1),
        start=start,
        n_blocks=N_BLOCKS,
        tick=tick,
        at_barrier=base.fill == "touch",
        overlapping=base.position == "overlapping",
    )
    marks = len(MARK_OUT_S)
    out = Tally(
        np.zeros((n_combos, tk.N_COUNTS), np.int64),
        np.zeros((n_combos, tk.N_SUMS)),
        np.zeros((n_combos, marks)),
        np.zeros((n_combos, marks), np.int64),
        *(np.zeros((n_combos, N_BLOCKS)) for _ in range(3)),
        *(np.zeros((n_combos, len(starts))) for _ in range(4)),
    )
    tp = np.tile([float(rule.tp_ticks) for rule in rules], n_thresholds)
    sl = np.tile([float(rule.sl_ticks) for rule in rules], n_thresholds)
    tk.tally(tape, trades, plan, tp, sl, base.fee_ticks, np.zeros(n + 1 if plan.overlapping else 0), out)
    return out


def statistics_of(scored: Scored, tape: Tape, ts_ns: Ints) -> list[dict[str, Any]]:
    """Figures of every combination, in its order.

    Parameters
    ----------
    ts_ns : NDArray[np.int64], shape (n,)
        Bin ends of the whole series.

    Returns
    -------
    list of dict
        The fields of signals.md 6.3 (``events_per_hour`` over the whole span, as there), and: Wilson intervals of the three
        rates over the effective sample size ``n_effective`` (the sum of the trades' mean uniqueness, or how many independent
        ones would leave the expectancy as unsure, whichever is less); ``break_even_rate``, the TP rate that pays the fees;
        ``expectancy_ticks``, mean net PnL with hits at their barriers, and its 95 % interval, the lower end of which allows for
        stops of ``full_loss_ticks`` that were not seen; ``excess_rate``, how far the TP rate that alone would earn this
        expectancy lies above break-even;
        ``profit_factor``, ``max_drawdown_ticks``, ``turnover_per_hour`` (dollars bought and sold), ``markout_*`` (mid from
        the entry bin on, ticks in the trade's direction); ``sharpe`` of the blocks' net PnL, per square root of an hour;
        ``block_n, block_pnl, block_stops`` and the sums each walk-forward choice may learn from.
    """
    rules, tally = scored.rules, scored.tally
    columns = _columns(scored, tape, ts_ns)
    lists = {name: getattr(tally, name) for name in LISTS}
    plain = {name: column.tolist() for name, column in (columns | lists).items()}
    return [
        {
            "threshold": scored.thresholds[c // len(rules)],
            "cooldown_bins": rules[c % len(rules)].cooldown_bins,
            **{name: values[c] for name, values in plain.items()},
            "fill_model": rules[0].fill_model,
        }
        for c in range(len(scored.refused))
    ]


def _counts(scored: Scored) -> dict[str, NDArray[Any]]:
    """Trades by direction and by how they ended early, and signals without one, each of shape (n_combos,)."""
    counts, n = scored.tally.counts, np.diff(scored.trades.first)
    return {
        "n_signals": n,
        "n_up": counts[:, tk.N_UP],
        "n_down": n - counts[:, tk.N_UP],
        "n_unsound": scored.refused[:, N_UNSOUND],
        "n_too_near_close": scored.refused[:, N_TOO_NEAR_CLOSE],
        "n_stop_in_spread": scored.refused[:, N_STOP_IN_SPREAD],
        "n_flat_at_close": counts[:, tk.N_FLAT_AT_CLOSE],
        "n_through_gap": counts[:, tk.N_THROUGH_GAP],
        "n_flat_at_roll": counts[:, tk.N_FLAT_AT_ROLL],
        "n_cut": counts[:, tk.N_CUT],
    }


def _columns(scored: Scored, tape: Tape, ts_ns: Ints) -> dict[str, NDArray[Any]]:
    """The figures of `statistics_of` that are one number a combination, each of shape (n_combos,)."""
    tally, rules = scored.tally, scored.rules
    base, n_bins = rules[0], len(ts_ns)
    n_combos = len(scored.refused)
    start = min(base.warmup_bins, n_bins)
    n = np.diff(scored.trades.first).astype(np.float64)
    counts, sums = tally.counts, tally.sums
    n_tp, n_sl, n_out = (counts[:, place].astype(np.float64) for place in (tk.N_TP, tk.N_SL, tk.N_TIMEOUT))
    usable = int((tape.state[start:] == SOUND).sum()) if base.sound_only else n_bins - start
    scored_hours = usable * base.cell_width_ms / 3.6e6
    span_hours = float(ts_ns[-1] - ts_ns[0]) / NS_PER_HOUR if n_bins else 0.0
    fee = base.fee_ticks
    holds = np.divide(counts[:, tk.N_HELD], n, out=np.full(n_combos, np.nan), where=n > 0)
    width = block_width(holds, max((n_bins - start) / N_BLOCKS, 1.0))
    low, high, error = mean_bounds(tally.block_n, tally.block_pnl, width)
    apart = independent(n, tally.block_pnl.sum(1), sums[:, tk.SQUARE], error)
    effective = np.minimum(sums[:, tk.UNIQUE], apart)
    full_loss = np.array([rule.sl_ticks + fee + SLIP_TICKS for rule in rules] * len(scored.thresholds))
    share = np.divide(effective, n, out=np.ones(n_combos), where=n > 0)
    stopped = tally.block_stops.sum(1)
    low = np.minimum(low, tail_bound(n, tally.block_pnl.sum(1), stopped, full_loss, share, (1.0 + LEVEL) / 2.0))
    medians = np.empty(n_combos)
    tk.median_times(scored.trades, ts_ns, np.zeros(n_bins + 1, np.int64), medians)
    span = np.array([rule.tp_ticks + rule.sl_ticks for rule in rules] * len(scored.thresholds))
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = {name: hits / n for name, hits in (("tp", n_tp), ("sl", n_sl), ("timeout", n_out))}
        rate_low, rate_high = wilson(np.stack(list(rates.values())) * effective, np.stack([effective] * len(rates)))
        expectancy = sums[:, tk.BOOKED] / n - fee
        spread = tally.block_pnl.std(axis=1, ddof=1)
        block_hours = (n_bins - start) * base.cell_width_ms / 3.6e6 / N_BLOCKS
        sharpe = tally.block_pnl.mean(axis=1) / spread / np.sqrt(block_hours)
        return {
            **_counts(scored),
            "n_effective": effective,
            **{f"{name}_rate": rate for name, rate in rates.items()},
            **{f"{name}_rate_low": bound for name, bound in zip(rates, rate_low, strict=True)},
            **{f"{name}_rate_high": bound for name, bound in zip(rates, rate_high, strict=True)},
            "break_even_rate": np.array([rule.break_even_rate for rule in rules] * len(scored.thresholds)),
            "excess_rate": expectancy / span,
            "excess_low": low / span,
            "excess_high": high / span,
            "events_per_hour": n / span_hours if span_hours > 0 else np.zeros(n_combos),
            "events_per_scored_hour": n / scored_hours if scored_hours > 0 else np.zeros(n_combos),
            "median_time_to_outcome_ms": medians / _NS_PER_MS,
            "mean_hold_ms": holds * base.cell_width_ms,
            "mean_pnl_ticks": sums[:, tk.GROSS] / n,
            "expectancy_ticks": expectancy,
            "expectancy_low": low,
            "expectancy_high": high,
            "expectancy_dollars": expectancy * base.tick_value,
            "profit_factor": np.where(sums[:, tk.LOST] > 0, sums[:, tk.WON] / sums[:, tk.LOST], np.nan),
            "max_drawdown_ticks": sums[:, tk.DRAWDOWN],
            "max_drawdown_dollars": sums[:, tk.DRAWDOWN] * base.tick_value,
            "turnover_per_hour": sums[:, tk.TURNOVER] * PRICE_SCALE * base.contract_multiplier / scored_hours
            if scored_hours > 0
            else np.zeros(n_combos),
            **{
                f"markout_{round(1000 * seconds)}ms_ticks": tally.marks[:, place] / tally.n_marks[:, place]
                for place, seconds in enumerate(MARK_OUT_S)
            },
            "net_square": sums[:, tk.SQUARE],
            "full_loss_ticks": full_loss,
            "sharpe": np.where(spread > 0, sharpe, np.nan),
        }
