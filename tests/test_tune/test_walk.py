"""The sound trading rules: a table of cases by hand, and the plain reference on random markets with holes."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from engine.trades.kernels import CUT, SL, TIMEOUT, TP
from engine.trades.tape import BROKEN, POSTPONED, SOUND, Tape, touch_tape
from tests.reference_trades import trades_of
from tests.test_tune.markets import TICK, sound_rules, times, walk_tape
from tune.scoring import is_degenerate, statistics_of, walk_all

NAMES = {TP: "tp", SL: "sl", TIMEOUT: "timeout", CUT: "cut"}


def tape_of(bids: list[Any], spread: int = 1) -> Tape:
    """A tape from each bin's bid in ticks, or (low, high, last), or None for a crossed book, or "gap"."""
    low, high, last, quality = [], [], [], []
    for bid in bids:
        known = bid if bid is not None and bid != "gap" else (last[-1] if last else 100)
        one = known if isinstance(known, tuple) else (known, known, known)
        low.append(one[0])
        high.append(one[1])
        last.append(one[2])
        quality.append(2 if bid == "gap" else 4 if bid is None else 0)
    a, b, c = (np.array(column, np.int64) * TICK for column in (last, low, high))
    s = spread * TICK
    return touch_tape(a, a + s, b, c, b + s, c + s, np.array(quality, np.uint16))


def only_trade(bids: list[Any], sign: int = 1, **changes: Any) -> tuple[int, int, str, float]:
    """Entry, exit, reason and PnL of the one trade of a signal in bin 0: TP 2, SL 1, in a market one tick wide."""
    r = sound_rules(**{"tp_ticks": 2, "sl_ticks": 1, "warmup_bins": 0, "max_hold_bins": 10, "order_delay_bins": 0, **changes})
    score = np.zeros(len(bids))
    score[0] = sign
    trades = walk_all(score, tape_of(bids), [0.5], [r]).trades
    (entry,) = trades.entry.tolist()
    return entry, int(trades.exit_bin[0]), NAMES[int(trades.reason[0])], float(trades.pnl[0])


@pytest.mark.parametrize(
    ("bids", "sign", "expected"),
    [
        ([100, 102, 103], 1, (0, 2, "tp", 2.0)),  # bought at 101: the bid must reach 103
        ([100, 105], 1, (0, 1, "tp", 2.0)),  # the overshoot is not booked
        ([100, 100], 1, (0, 1, "sl", -1.0)),  # the spread alone is a tick of loss
        ([100, 97], 1, (0, 1, "sl", -4.0)),  # a bin wholly beyond the barrier never offered its price
        ([100, (97, 101, 101)], 1, (0, 1, "sl", -1.0)),  # it passed the barrier on the way
        ([100, (99, 104, 102)], 1, (0, 1, "sl", -1.0)),  # both barriers in one bin: a loss
        ([100, 98, 97], -1, (0, 2, "tp", 2.0)),  # sold at 100: the ask must reach 98
        ([100, 100], -1, (0, 1, "sl", -1.0)),
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
    assert only_trade([100, 101, 102, None], max_hold_bins=9, sl_ticks=4) == (0, 2, "cut", 1.0)
    for bids in ([None, 101, 103], [100, "gap", 103], [100, 101, None, "gap"]):
        r = sound_rules(tp_ticks=2, sl_ticks=4, warmup_bins=0, max_hold_bins=3, order_delay_bins=0)
        scored = walk_all(np.array([1.0, 0, 0, 0])[: len(bids)], tape_of(bids), [0.5], [r])
        assert (len(scored.trades.fired), scored.left_out.tolist()) == (0, [1])


def test_an_entry_bin_that_is_not_sound_is_left_out_and_counted() -> None:
    r = sound_rules(warmup_bins=0)
    tape = tape_of([100, None, 100, 100])
    scored = walk_all(np.array([1.0, 1, 1, 1]), tape, [0.5], [r])
    (row,) = statistics_of(scored, tape, times(4))
    assert (row["n_signals"], row["n_left_out"]) == (0, 1)


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
    tape = walk_tape(n, seed, moves=int(rng.integers(1, 5)), spread=int(rng.integers(1, 4)), unsound=0.03, broken=0.002)
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
    )
    rules = [
        sound_rules(**{**base.__dict__, "tp_ticks": tp, "sl_ticks": sl, "cooldown_bins": cooldown})
        for (tp, sl), cooldown in product([(8.0, 4.0), (3.0, 3.0), (2.0, 9.0)], [0, 25])
    ]
    thresholds = [0.2, 0.5, 0.8]
    scored = walk_all(score, tape, thresholds, rules)
    rows = statistics_of(scored, tape, times(n))
    for c, (threshold, r) in enumerate(product(thresholds, rules)):
        expected, left_out = trades_of(score.tolist(), tape, threshold, r)
        low, high = scored.trades.first[c : c + 2]
        found = [
            (int(a), int(b), int(e), int(d), NAMES[int(w)], float(p))
            for a, b, e, d, w, p in zip(*(column[low:high] for column in scored.trades[1:]), strict=True)
        ]
        assert found == [(x.fired, x.entry, x.exit_bin, x.sign, x.reason, x.pnl) for x in expected]
        row = rows[c]
        assert (row["n_signals"], row["n_left_out"]) == (len(expected), left_out)
        assert row["threshold"] == threshold
        check_statistics(row, expected, tape, r, n)


def check_statistics(row: dict[str, Any], trades: list[Any], tape: Tape, r: Any, n: int) -> None:
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
    assert row["n_cut"] == sum(x.reason == "cut" for x in trades)
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
        assert row["n_effective"] == approx(sum((1 / concurrent[x.entry : x.exit_bin + 1]).mean() for x in trades))
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
    quality = np.array([0, 0, 4, 2, 128], np.uint16)
    assert touch_tape(one, ask, one, one, two, two, quality).state.tolist() == [SOUND, POSTPONED, POSTPONED, BROKEN, BROKEN]


def test_degenerate_thresholds_leave_no_silence() -> None:
    assert is_degenerate(0.0, "signed")
    assert is_degenerate(0.5, "probability")
    assert not is_degenerate(0.52, "probability")
    assert not is_degenerate(0.01, "signed")


def test_rules_that_differ_in_more_than_barriers_are_not_walked_together() -> None:
    with pytest.raises(ValueError, match="may differ in"):
        walk_all(np.zeros(400), walk_tape(400, 0), [0.1], [sound_rules(), sound_rules(max_hold_bins=3)])
