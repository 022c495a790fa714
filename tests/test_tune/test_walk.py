"""The sound trading rules: tables of cases by hand, and the plain reference on random markets with gaps, closes and rolls."""

from dataclasses import astuple
from itertools import product
from typing import Any

import numpy as np
import pytest

from engine.trades.kernels import ACROSS_GAP, CUT, FLAT_AT_CLOSE, FLAT_AT_ROLL, SL, TIMEOUT, TP
from engine.trades.tape import CLOSED, GAP, POSTPONED, SOUND, Tape, touch_tape
from tests.reference_trades import trades_of
from tests.test_tune.markets import TICK, sound_rules, times, walk_tape
from tune.intervals import mean_bounds
from tune.scoring import is_degenerate, statistics_of, walk_all
from tune.tally_kernels import UNIQUE

NAMES = {
    TP: "tp",
    SL: "sl",
    TIMEOUT: "timeout",
    CUT: "cut",
    FLAT_AT_CLOSE: "close",
    FLAT_AT_ROLL: "roll",
    ACROSS_GAP: "gap",
}
CROSSED = None
QUALITY = {CROSSED: 4, "gap": 2, "close": 64, "roll": 128}
REFUSALS = ("n_unsound", "n_too_near_close", "n_stop_in_spread")


def tape_of(bids: list[Any], spread: int = 1) -> Tape:
    """A tape from each bin's bid in ticks, or (low, high, last), or what the bin is instead: a key of ``QUALITY``."""
    low, high, last, quality = [], [], [], []
    for bid in bids:
        known = bid if bid not in QUALITY else (last[-1] if last else 100)
        one = known if isinstance(known, tuple) else (known, known, known)
        low.append(one[0])
        high.append(one[1])
        last.append(one[2])
        quality.append(QUALITY.get(bid, 0))
    a, b, c = (np.array(column, np.int64) * TICK for column in (last, low, high))
    s = spread * TICK
    return touch_tape(a, a + s, b, c, b + s, c + s, np.array(quality, np.uint16))


def one_trade(bids: list[Any], sign: int = 1, **changes: Any) -> tuple[int, int, str, float, bool]:
    """Entry, exit, reason, PnL of the one trade of a signal in bin 0, and whether it met a gap: TP 2, SL 2, one tick wide."""
    r = sound_rules(
        **{"tp_ticks": 2, "sl_ticks": 2, "warmup_bins": 0, "max_hold_bins": 10, "order_delay_bins": 0, "min_bins_to_close": 1}
        | changes
    )
    score = np.zeros(len(bids))
    score[0] = sign
    trades = walk_all(score, tape_of(bids), [0.5], [r]).trades
    (entry,) = trades.entry.tolist()
    ended = NAMES[int(trades.reason[0])]
    return entry, int(trades.exit_bin[0]), ended, float(trades.pnl[0]), bool(trades.met_gap[0])


def only_trade(bids: list[Any], sign: int = 1, **changes: Any) -> tuple[int, int, str, float]:
    """The same where no gap is met."""
    *found, met_gap = one_trade(bids, sign, **changes)
    assert not met_gap
    entry, leave, ended, pnl = found
    return entry, leave, ended, pnl


@pytest.mark.parametrize(
    ("bids", "sign", "expected"),
    [
        ([100, 102, 103], 1, (0, 2, "tp", 2.0)),  # bought at 101: the bid must reach 103
        ([100, 105], 1, (0, 1, "tp", 2.0)),  # the overshoot is not booked
        ([100, 100], 1, (0, 1, "cut", -1.0)),  # the spread alone is a tick of loss
        ([100, 99], 1, (0, 1, "sl", -2.0)),
        ([100, 97], 1, (0, 1, "sl", -4.0)),  # a bin wholly beyond the barrier never offered its price
        ([100, (97, 99, 98)], 1, (0, 1, "sl", -2.0)),  # it held the barrier, just so
        ([100, (97, 101, 101)], 1, (0, 1, "sl", -2.0)),  # it passed the barrier on the way
        ([100, (99, 104, 102)], 1, (0, 1, "sl", -2.0)),  # both barriers in one bin: a loss
        ([100, 98, 97], -1, (0, 2, "tp", 2.0)),  # sold at 100: the ask must reach 98
        ([100, 101], -1, (0, 1, "sl", -2.0)),
    ],
)
def test_outcomes_at_the_touch(bids: list[Any], sign: int, expected: tuple[int, int, str, float]) -> None:
    assert only_trade(bids, sign) == expected


def test_delay_moves_the_entry_and_feed_and_order_delays_add_up() -> None:
    bids = [100, 102, 104, 106, 108]
    assert only_trade(bids, order_delay_bins=1)[:2] == (1, 3)  # bought at 103
    assert only_trade(bids, order_delay_bins=1, feed_delay_bins=1) == (2, 4, "tp", 2.0)


def test_a_time_out_leaves_at_the_touch() -> None:
    assert only_trade([100, 101, 102, 101], max_hold_bins=3, sl_ticks=4) == (0, 2, "timeout", 1.0)


def test_nothing_happens_in_a_bin_that_is_not_sound() -> None:
    assert only_trade([100, None, 103], sl_ticks=4) == (0, 2, "tp", 2.0)
    assert only_trade([100, 101, None, 102], max_hold_bins=3, sl_ticks=4) == (0, 3, "timeout", 1.0)
    assert only_trade([100, 101, 102, None], max_hold_bins=9, sl_ticks=4) == (0, 3, "cut", 1.0)


@pytest.mark.parametrize(
    ("bids", "changes", "expected"),
    [  # bought at 101, TP 2; the close is no price but the last one before it is
        ([100, 101, 102, "close", 105], {}, (0, 2, "close", 1.0)),
        ([100, 103, "close"], {}, (0, 1, "tp", 2.0)),  # a barrier in the last bin before it
        ([100, 99, "close"], {}, (0, 1, "sl", -2.0)),
        ([100, 100, "close", 103], {}, (0, 1, "close", -1.0)),  # what comes after it is not waited for
        ([100, 101, 102, "close"], {"max_hold_bins": 3}, (0, 2, "timeout", 1.0)),  # the limit is the last bin before it
        ([100, 101, 102, "close"], {"max_hold_bins": 4}, (0, 2, "close", 1.0)),  # the limit is the close
        ([100, 101, CROSSED, CROSSED, "close"], {}, (0, 3, "close", 0.0)),  # the last sound price is what is known
        ([100, 101, CROSSED, "close"], {"max_hold_bins": 3}, (0, 2, "close", 0.0)),  # a time-out has no time to wait
        ([100, CROSSED, "close", 90], {}, (0, 1, "close", -1.0)),  # it never saw a price: the spread is lost
        ([100, 101, "roll", 300], {}, (0, 2, "roll", 0.0)),  # known in bin 2; 300 is another contract's price
        ([100, 101, "roll", 300], {"max_hold_bins": 2}, (0, 1, "timeout", 0.0)),
        ([100, CROSSED, "roll", 300], {}, (0, 2, "roll", -1.0)),
        ([100, 101, CROSSED, "roll"], {"max_hold_bins": 3}, (0, 3, "roll", 0.0)),
    ],
)
def test_a_trade_is_out_before_a_close_and_before_a_roll(
    bids: list[Any], changes: dict[str, Any], expected: tuple[int, int, str, float]
) -> None:
    assert only_trade(bids, **changes) == expected
    mirrored = [200 - bid if isinstance(bid, int) else bid for bid in bids]  # sold at 100 where the other was bought at 101
    assert only_trade(mirrored, -1, **changes) == expected


@pytest.mark.parametrize(
    ("bids", "changes", "expected"),
    [  # bought at 101, TP 2, SL 2
        ([100, "gap", 102], {}, (0, 2, "gap", 1.0)),
        ([100, "gap", 100], {}, (0, 2, "gap", -1.0)),  # a tick above the stop
        ([100, "gap", 99], {}, (0, 2, "sl", -2.0)),  # on it
        ([100, "gap", 95], {}, (0, 2, "sl", -6.0)),  # beyond it: what the market gave
        ([100, "gap", (96, 101, 101)], {}, (0, 2, "sl", -5.0)),  # the stop's own price was jumped over in the gap
        ([100, "gap", (98, 106, 106)], {}, (0, 2, "sl", -3.0)),  # both in one bin: a loss
        ([100, "gap", 103], {}, (0, 2, "tp", 2.0)),
        ([100, "gap", 109], {}, (0, 2, "tp", 2.0)),  # a limit gets its limit
        ([100, "gap", (100, 103, 101)], {}, (0, 2, "tp", 2.0)),
        ([100, "gap", (100, 102, 101)], {}, (0, 2, "gap", 0.0)),  # the price at the bin's end
        ([100, "gap", CROSSED, 102], {}, (0, 3, "gap", 1.0)),  # the first sound price after it
        ([100, "gap", 102, "gap", 90], {}, (0, 2, "gap", 1.0)),
        ([100, "gap", "gap", 102], {"max_hold_bins": 2}, (0, 3, "gap", 1.0)),  # time was up inside it
        ([100, CROSSED, "gap", 95], {"max_hold_bins": 2}, (0, 3, "sl", -6.0)),  # or before it, and nothing could be done
        ([100, 101, "gap", "gap"], {}, (0, 3, "cut", 0.0)),  # no price after it
        ([100, 101, "gap", CROSSED, "close", 90], {}, (0, 3, "close", 0.0)),  # nor before the close
        ([100, 101, "gap", "roll", 300], {}, (0, 3, "roll", 0.0)),
    ],
)
def test_across_a_gap_the_first_known_price_counts(
    bids: list[Any], changes: dict[str, Any], expected: tuple[int, int, str, float]
) -> None:
    assert one_trade(bids, **changes) == (*expected, True)
    turned = [200 - bid if isinstance(bid, int) else bid for bid in bids]
    mirrored = [(200 - bid[1], 200 - bid[0], 200 - bid[2]) if isinstance(bid, tuple) else bid for bid in turned]
    assert one_trade(mirrored, -1, **changes) == (*expected, True)


def test_a_gap_after_the_end_of_a_trade_is_not_met() -> None:
    assert only_trade([100, 103, "gap"]) == (0, 1, "tp", 2.0)
    assert only_trade([100, 101, "gap"], max_hold_bins=2) == (0, 1, "timeout", 0.0)
    assert only_trade([100, "gap", 90], max_hold_bins=1) == (0, 0, "timeout", -1.0)


def refused(bids: list[Any], spread: int = 1, fires: int = 0, **changes: Any) -> tuple[int, ...]:
    """Trades of one signal, and how many it set off none for, by ``REFUSALS``; entered in the next bin."""
    r = sound_rules(**{"warmup_bins": 0, **changes})
    score = np.zeros(len(bids))
    score[fires] = 1.0
    tape = tape_of(bids, spread)
    (row,) = statistics_of(walk_all(score, tape, [0.5], [r]), tape, times(len(bids)))
    return tuple(row[name] for name in ("n_signals", *REFUSALS))


@pytest.mark.parametrize(
    ("bids", "expected"),
    [
        ([100, CROSSED, 100, 100], (0, 1, 0, 0)),  # it would be entered in a crossed book,
        ([CROSSED, 100, 100, 100], (0, 1, 0, 0)),  # it fired in one,
        (["gap", 100, 100, 100], (0, 1, 0, 0)),
        ([100, "gap", 100, 100], (0, 1, 0, 0)),
        ([100, "roll", 100, 100], (0, 1, 0, 0)),
        (["close", 100, 100, 100], (0, 1, 0, 0)),
        ([100, 100, CROSSED, 100], (1, 0, 0, 0)),  # what comes after the entry refuses nothing
        ([100, 100, "gap", 100], (1, 0, 0, 0)),
        ([100, 100, "roll", 100], (1, 0, 0, 0)),
        ([100, "close", 100, 100], (0, 0, 1, 0)),  # the close itself is too near, and that was known
        (["close", "close", 100, 100], (0, 1, 0, 0)),
    ],
)
def test_a_signal_in_an_unsound_bin_is_refused_and_one_whose_trade_meets_a_hole_is_not(
    bids: list[Any], expected: tuple[int, ...]
) -> None:
    assert refused(bids) == expected


@pytest.mark.parametrize(("to_close", "expected"), [(1, (1, 0, 0, 0)), (3, (1, 0, 0, 0)), (4, (0, 0, 1, 0)), (9, (0, 0, 1, 0))])
def test_an_entry_too_near_a_close_is_refused(to_close: int, expected: tuple[int, ...]) -> None:
    """Fired in bin 1, entered in bin 2, closed in bin 5: three bins."""
    bids = [100, 100, 100, 100, 100, "close", "close", 100]
    assert refused(bids, fires=1, min_bins_to_close=to_close) == expected
    assert refused([*bids[:5], 100, 100], fires=1, min_bins_to_close=to_close) == (1, 0, 0, 0)  # the data end before one
    assert refused(["close", *bids[1:5], 100], fires=1, min_bins_to_close=to_close) == (1, 0, 0, 0)  # it is over


@pytest.mark.parametrize(
    ("spread", "sl", "expected"),
    [(1, 1, (0, 0, 0, 1)), (1, 1.5, (1, 0, 0, 0)), (2, 1.5, (0, 0, 0, 1)), (2, 2, (0, 0, 0, 1)), (2, 3, (1, 0, 0, 0))],
)
def test_a_stop_within_the_spread_is_refused(spread: int, sl: float, expected: tuple[int, ...]) -> None:
    assert refused([100] * 5, spread, sl_ticks=sl) == expected


def test_the_spread_that_counts_is_that_of_the_entry() -> None:
    tape = tape_of([100] * 5)
    wide = tape._replace(ask=tape.ask + np.array([5, 0, 0, 0, 0]) * TICK)
    r = sound_rules(warmup_bins=0, sl_ticks=2)
    assert walk_all(np.array([1.0, 0, 0, 0, 0]), wide, [0.5], [r]).refused.tolist() == [[0, 0, 0]]
    wide = tape._replace(ask=tape.ask + np.array([0, 1, 0, 0, 0]) * TICK)
    assert walk_all(np.array([1.0, 0, 0, 0, 0]), wide, [0.5], [r]).refused.tolist() == [[0, 0, 1]]


def test_a_refused_signal_starts_its_cooldown_and_is_not_fired_again() -> None:
    tape = tape_of([100, CROSSED, 100, 100, 100, 100, 100])
    score = np.array([1.0, 1, 0, 1, 0, 1, 0])
    for cooldown, fired in ((0, [3]), (3, [3]), (4, [5])):
        r = sound_rules(warmup_bins=0, cooldown_bins=cooldown, max_hold_bins=9)
        scored = walk_all(score, tape, [0.5], [r])
        assert (scored.trades.fired.tolist(), scored.refused[0, 0]) == (fired, 1)


def test_the_next_trade_waits_for_the_first_price_after_a_gap_and_not_for_a_close() -> None:
    r = sound_rules(warmup_bins=0, cooldown_bins=0, order_delay_bins=0, min_bins_to_close=1, max_hold_bins=9)
    score = np.array([1.0, 0, 0, 1, 0, 1, 0, 0])
    fired = walk_all(score, tape_of([100, "gap", CROSSED, CROSSED, 100, 100, 100, 100]), [0.5], [r]).trades.fired.tolist()
    assert fired == [0, 5]  # in bin 3 the first one is open still
    scored = walk_all(score, tape_of([100, 100, "close", "close", "close", 100, 100, 100]), [0.5], [r])
    assert scored.trades.fired.tolist() == [0, 5]
    assert scored.trades.exit_bin.tolist() == [1, 7]
    assert scored.refused.tolist() == [[1, 0, 0]]  # in bin 3 it is shut


def test_each_kind_has_its_count_and_none_is_counted_twice() -> None:
    """Bought at 101 in bins 0, 5, 10 and 16, out at 1, 7, 13 and 18: flat, flat, through a gap, cut; one signal refused."""
    bids = [100, 102, "close", 100, 100, 100, 101, "roll", 100, 100, 100, "gap", "gap", 95, CROSSED, 100, 100, 100, "gap"]
    score = np.zeros(len(bids))
    score[[0, 5, 10, 14, 16]] = 1.0
    r = sound_rules(warmup_bins=0, cooldown_bins=0, order_delay_bins=0, min_bins_to_close=1, max_hold_bins=90)
    tape = tape_of(bids)
    scored = walk_all(score, tape, [0.5], [r])
    (row,) = statistics_of(scored, tape, times(len(bids)))
    told = ("n_signals", *REFUSALS, "n_flat_at_close", "n_through_gap", "n_flat_at_roll", "n_cut")
    assert [row[name] for name in told] == [4, 1, 0, 0, 1, 2, 1, 1]
    assert scored.trades.exit_bin.tolist() == [1, 7, 13, 18]
    assert scored.trades.pnl.tolist() == [1.0, 0.0, -6.0, -1.0]
    assert (row["sl_rate"], row["timeout_rate"], row["expectancy_ticks"]) == (0.25, 0.75, -1.5)


def test_at_the_mid_too_a_stop_beyond_a_gap_is_booked_where_the_market_was() -> None:
    """Bought at 100, a stop of 4 ticks; in a bin that follows at once it counts its 4 ticks, after a gap the 9 that were seen."""
    r = sound_rules(fill="mid", warmup_bins=0, order_delay_bins=0, max_hold_bins=9)
    one = np.array([100, 100, 91], np.int64) * TICK
    for between, booked in ((4, -4.0), (2, -9.0)):
        quality = np.array([0, between, 0], np.uint16)
        tape = touch_tape(one, one + 1, one, one, one, one, quality)._replace(ask=one)
        (row,) = statistics_of(walk_all(np.array([1.0, 0, 0]), tape, [0.5], [r]), tape, times(3))
        assert (row["mean_pnl_ticks"], row["expectancy_ticks"]) == (-9.0, booked)


def test_one_position_at_a_time_and_rearming() -> None:
    score = np.array([1.0, 0, 1, 1, 1, 1, 1, 0, 1])
    tape = tape_of([100] * 9, spread=1)
    base: dict[str, Any] = {"warmup_bins": 0, "order_delay_bins": 0, "sl_ticks": 9, "max_hold_bins": 5, "cooldown_bins": 0}

    def fired(**changes: Any) -> list[int]:
        return walk_all(score, tape, [0.5], [sound_rules(**{**base, **changes})]).trades.fired.tolist()

    assert fired(position="overlapping") == [0, 2, 8]
    assert fired() == [0, 4, 8]  # the crossing at 2 waits until the first trade is over, at 4
    assert fired(rearm=False) == [0, 8]  # or is lost
    assert fired(position="overlapping", trigger="level", cooldown_bins=3) == [0, 3, 6]


@pytest.mark.parametrize("seed", range(24))
def test_kernels_equal_the_plain_reference_on_random_markets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 2500
    holes = {"gaps": 0.004, "closes": 0.002, "rolls": 0.002}
    tape = walk_tape(n, seed, moves=int(rng.integers(1, 5)), spread=int(rng.integers(1, 4)), unsound=0.03, **holes)
    score = np.tanh(np.cumsum(rng.standard_normal(n)) / 5)
    score[rng.random(n) < 0.02] = np.nan
    base = sound_rules(
        max_hold_bins=int(rng.integers(1, 300)),
        warmup_bins=int(rng.integers(0, 300)),
        trigger=str(rng.choice(["edge", "level"])),
        position=str(rng.choice(["single", "overlapping"])),
        rearm=bool(rng.integers(2)),
        feed_delay_bins=int(rng.integers(0, 3)),
        order_delay_bins=int(rng.integers(0, 3)),
        fee_per_contract=0.4,
        min_bins_to_close=int(rng.integers(1, 60)),
    )
    rules = [
        sound_rules(**{**base.__dict__, "tp_ticks": tp, "sl_ticks": sl, "cooldown_bins": cooldown})
        for (tp, sl), cooldown in product([(8.0, 4.0), (3.0, 3.0), (2.0, 9.0)], [0, 25])
    ]
    thresholds = [0.2, 0.5, 0.8]
    scored = walk_all(score, tape, thresholds, rules)
    rows = statistics_of(scored, tape, times(n))
    for c, (threshold, r) in enumerate(product(thresholds, rules)):
        expected, refusals = trades_of(score.tolist(), tape, threshold, r)
        low, high = scored.trades.first[c : c + 2]
        found = [
            (int(a), int(b), int(e), int(d), NAMES[int(w)], float(p), bool(g))
            for a, b, e, d, w, p, g in zip(*(column[low:high] for column in scored.trades[1:]), strict=True)
        ]
        assert found == [astuple(x) for x in expected]
        row = rows[c]
        assert row["n_signals"] == len(expected)
        assert {name: row[name] for name in REFUSALS} == refusals
        assert row["threshold"] == threshold
        check_statistics(row, expected, tape, r, n, scored.tally.sums[c, UNIQUE])


def check_statistics(row: dict[str, Any], trades: list[Any], tape: Tape, r: Any, n: int, unique: float) -> None:
    """Every figure from the list of trades, the slow way."""
    if not trades:
        assert np.isnan(row["expectancy_ticks"])
        return
    net = np.array([x.pnl for x in trades]) - r.fee_ticks
    approx = lambda value: pytest.approx(value, rel=1e-9, abs=1e-9)  # noqa: E731
    assert row["mean_pnl_ticks"] == approx(np.mean([x.pnl for x in trades]))
    assert row["expectancy_ticks"] == approx(net.mean())
    assert row["tp_rate"] == approx(np.mean([x.reason == "tp" for x in trades]))
    assert row["sl_rate"] == approx(np.mean([x.reason == "sl" for x in trades]))
    for name, reason in (("n_cut", "cut"), ("n_flat_at_close", "close"), ("n_flat_at_roll", "roll")):
        assert row[name] == sum(x.reason == reason for x in trades)
    assert row["n_through_gap"] == sum(x.met_gap for x in trades)
    path = np.concatenate([[0.0], np.cumsum(net)])
    assert row["max_drawdown_ticks"] == approx((np.maximum.accumulate(path) - path).max())
    if net.min() < 0:
        assert row["profit_factor"] == approx(net[net > 0].sum() / -net[net < 0].sum())
    holds = [x.exit_bin - x.entry for x in trades if x.reason in ("tp", "sl")]
    if holds:
        assert row["median_time_to_outcome_ms"] == approx(100 * np.median(holds))
    concurrent = np.zeros(n)
    for x in trades:
        concurrent[x.entry : x.exit_bin + 1] += 1
    if r.position == "overlapping":
        assert unique == approx(sum((1 / concurrent[x.entry : x.exit_bin + 1]).mean() for x in trades))
    else:
        assert unique == len(trades)
    (error,) = mean_bounds(np.array([row["block_n"]]), np.array([row["block_pnl"]]), np.array([1])).error
    apart = net.var(ddof=1) / error**2 if len(net) > 1 and net.std() > 0 and error == error else len(net)
    assert row["n_effective"] == approx(min(unique, apart))
    usable = (tape.state[r.warmup_bins :] == SOUND).sum() / 36_000
    assert row["events_per_scored_hour"] == approx(len(trades) / usable)
    mids = (tape.bid + tape.ask) / 2 / TICK
    for bins, name in ((1, "100ms"), (10, "1000ms"), (50, "5000ms"), (300, "30000ms")):
        seen = [
            x.sign * (mids[x.entry + bins] - mids[x.entry])
            for x in trades
            if x.entry + bins < n and tape.state[x.entry + bins] == SOUND
        ]
        if seen:
            assert row[f"markout_{name}_ticks"] == approx(np.mean(seen))
    assert sum(row["block_n"]) == len(trades)
    assert sum(row["block_pnl"]) == approx(net.sum())


def test_more_trades_than_the_buffers_first_hold() -> None:
    tape = walk_tape(30_000, 1)
    r = sound_rules(position="overlapping", trigger="level", cooldown_bins=0, max_hold_bins=3, warmup_bins=0)
    assert len(walk_all(np.ones(30_000), tape, [0.5], [r]).trades.fired) == 29_999


def test_states_of_bins() -> None:
    one, two = np.full(5, 4, np.int64), np.full(5, 5, np.int64)
    ask = np.array([5, 4, 5, 5, 5], np.int64)
    quality = np.array([0, 0, 4, 2, 64], np.uint16)
    assert touch_tape(one, ask, one, one, two, two, quality).state.tolist() == [SOUND, POSTPONED, POSTPONED, GAP, CLOSED]


def test_degenerate_thresholds_leave_no_silence() -> None:
    assert is_degenerate(0.0, "signed")
    assert is_degenerate(0.5, "probability")
    assert not is_degenerate(0.52, "probability")
    assert not is_degenerate(0.01, "signed")


def test_rules_that_differ_in_more_than_barriers_are_not_walked_together() -> None:
    with pytest.raises(ValueError, match="may differ in"):
        walk_all(np.zeros(400), walk_tape(400, 0), [0.1], [sound_rules(), sound_rules(max_hold_bins=3)])
