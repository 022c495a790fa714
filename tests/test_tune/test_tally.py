"""Every figure of a row against a market of a hundred bins whose five trades are worked out by hand."""

from math import isnan, sqrt
from typing import Any

import numpy as np
import pytest

from engine.trades.tape import Tape, mid_tape, touch_tape
from tests.test_tune.markets import TICK, reference_rules, sound_rules, times
from tune.intervals import mean_interval
from tune.rules import Rules
from tune.scoring import levels, statistics_of, walk_all

N = 100
HOLES = range(60, 66)
# Low, high and last bid of the bins that are not (1000, 1000, 1000), in ticks; the ask is a tick above.
MOVES = {
    8: (1000, 1002, 1002),
    9: (1000, 1010, 1000),
    14: (1000, 1001, 1001),
    16: (1000, 1003, 1000),
    17: (1000, 1003, 1003),
    33: (990, 992, 991),
    37: (999, 1000, 999),
    56: (995, 1000, 995),
    77: (1000, 1006, 1006),
}
FIRES = {6: 1, 12: -1, 26: 1, 46: -1, 61: 1, 95: 1}
# Fired in bin, way, entered in, left in, ticks before fees:
#   6 up    7 at 1001   9  8 at the barrier, its overshoot not booked
#  12 down 13 at 1000  16 -4 at the barrier
#  26 up   27 at 1001  33 -11, the whole bin lies beyond
#  46 down 47 at 1000  56  4, time-out after ten bins: the ask is 996
#  61 up   the book is crossed: nothing is entered
#  95 up   96 at 1001  99 -1, cut by the end
NET = [5.52, -6.48, -13.48, 1.52, -3.48]  # less 2.48, what MNQ costs at 0.62 a side


def market() -> Tape:
    bids = np.array([MOVES.get(t, (1000, 1000, 1000)) for t in range(N)], np.int64).T * TICK
    quality = np.zeros(N, np.uint16)
    quality[HOLES] = 4
    low, high, last = bids
    return touch_tape(last, last + TICK, low, high, low + TICK, high + TICK, quality)


def score_of(fires: dict[int, float], n: int = N) -> np.ndarray:
    score = np.zeros(n)
    for t, value in fires.items():
        score[t] = value
    return score


def row_of(score: np.ndarray, tape: Tape, r: Rules) -> dict[str, Any]:
    (row,) = statistics_of(walk_all(score, tape, [0.5], [r]), tape, times(len(score)))
    return row


RULES = {"warmup_bins": 4, "max_hold_bins": 10, "cooldown_bins": 0, "embargo_bins": 3, "fee_per_contract": 0.62}


@pytest.fixture(scope="module")
def row() -> dict[str, Any]:
    return row_of(score_of(FIRES), market(), sound_rules(**RULES))


def test_what_was_traded(row: dict[str, Any]) -> None:
    names = ("threshold", "cooldown_bins", "n_signals", "n_up", "n_down", "n_unsound", "n_cut")
    assert [row[name] for name in names] == [0.5, 0, 5, 3, 2, 1, 1]
    assert 4.0 < row["n_effective"] < 5.0  # one at a time; that blocks remember each other cannot be ruled out
    assert [row[f"{name}_rate"] for name in ("tp", "sl", "timeout")] == [0.2, 0.4, 0.4]
    assert row["fill_model"].startswith("touch to touch")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean_pnl_ticks", (8 - 4 - 11 + 4 - 1) / 5),
        ("expectancy_ticks", -0.8 - 2.48),
        ("expectancy_dollars", -3.28 * 0.5),
        ("break_even_rate", 6.48 / 12),
        ("excess_rate", -3.28 / 12),
        ("profit_factor", (5.52 + 1.52) / (6.48 + 13.48 + 3.48)),
        ("max_drawdown_ticks", 5.52 + 16.40),  # from the first trade's peak to the end
        ("max_drawdown_dollars", 10.96),
        ("net_square", 268.592),
        ("mean_hold_ms", 100 * (2 + 3 + 6 + 9 + 3) / 5),
        ("median_time_to_outcome_ms", 300.0),  # of 2, 3 and 6 bins: time-outs reached no barrier
        ("events_per_hour", 5 / (9.9 / 3600)),  # from the first bin's end to the last one's
        ("events_per_scored_hour", 5 / 0.0025),  # 90 sound bins after the warm-up
        # Bought and sold: 1001 + 1009, 1000 + 1004, 1001 + 990, 1000 + 996, 1001 + 1000 ticks of half a dollar.
        ("turnover_per_hour", 10_002 * 0.5 / 0.0025),
        ("markout_100ms_ticks", (2 - 1 + 0 + 0 + 0) / 5),
        ("markout_1000ms_ticks", (3 + 0 - 1 + 0) / 4),  # the last one lies beyond the data
        ("markout_5000ms_ticks", (0 + 6 + 0) / 3),  # the second falls into a hole
        ("markout_30000ms_ticks", float("nan")),
        # Blocks of two bins are 0.2 s.
        ("sharpe", -16.40 / 48 / sqrt((268.592 - 16.40**2 / 48) / 47) / sqrt(0.2 / 3600)),
    ],
)
def test_a_figure_by_hand(row: dict[str, Any], name: str, expected: float) -> None:
    assert row[name] == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_a_trade_belongs_to_the_block_it_was_fired_in(row: dict[str, Any]) -> None:
    blocks = dict(zip((1, 4, 11, 21, 45), NET, strict=True))
    assert row["block_n"] == [1.0 if block in blocks else 0.0 for block in range(48)]
    assert row["block_stops"] == [1.0 if block in (4, 11) else 0.0 for block in range(48)]
    assert row["full_loss_ticks"] == pytest.approx(4 + 2.48 + 1)
    assert row["block_pnl"] == pytest.approx([blocks.get(block, 0.0) for block in range(48)])


def test_a_choice_knows_the_trades_over_before_the_embargo_no_more_and_no_fewer(row: dict[str, Any]) -> None:
    """Tested from bins 20, 36, 52, 68 and 84 on; three bins of embargo: known is what was left before 17, 33, 49, 65 and 81.

    The second trade left in bin 16 and is known; the third left in bin 33 and is not, of the span that begins in 36.
    """
    assert row["fold_n"] == [2, 2, 3, 4, 4]
    assert row["fold_sum"] == pytest.approx([-0.96, -0.96, -14.44, -12.92, -12.92])
    assert row["fold_stops"] == [1, 1, 2, 2, 2]
    assert row["fold_square"] == pytest.approx([72.4608, 72.4608, 254.1712, 256.4816, 256.4816])


@pytest.mark.parametrize(("embargo", "known"), [(3, 2), (4, 1), (10, 1), (11, 0), (2, 2), (0, 2)])
def test_one_bin_of_embargo_more_takes_the_trade_that_ends_there(embargo: int, known: int) -> None:
    found = row_of(score_of(FIRES), market(), sound_rules(**{**RULES, "embargo_bins": embargo}))
    assert found["fold_n"][0] == known


def test_the_interval_is_of_blocks_that_span_two_mean_holds(row: dict[str, Any]) -> None:
    """A block has two bins, the mean hold 4.6: twice that are 4.6 blocks, and the next width that there is is 6."""
    n, pnl = np.zeros((1, 48)), np.zeros((1, 48))
    n[0, [1, 4, 11, 21, 45]], pnl[0, [1, 4, 11, 21, 45]] = 1.0, NET
    (low,), (high,) = mean_interval(n, pnl, np.array([6]))
    assert (row["expectancy_low"], row["expectancy_high"]) == pytest.approx((low, high))
    assert (row["excess_low"], row["excess_high"]) == pytest.approx((low / 12, high / 12))


def test_rates_are_as_sure_as_the_trades_are_apart() -> None:
    """Three overlapping trades of ten bins, a bin after one another: what they share counts in parts.

    Bins 1 to 10, 2 to 11 and 3 to 12: eight bins are shared by three, two by two, two by none.
    First: 1 + 1/2 + 8/3 = 4.1667 of 10; second 1/2 + 8/3 + 1/2 = 3.6667; third as the first. In all 1.2.
    """
    r = sound_rules(**{**RULES, "warmup_bins": 0, "position": "overlapping", "trigger": "level", "sl_ticks": 9})
    tape = market()
    found = row_of(np.array([1.0, 1.0, 1.0] + [0.0] * 17), Tape(*(column[40:60] for column in tape)), r)
    assert found["n_signals"] == 3
    assert found["n_effective"] == pytest.approx(1.2)
    assert (found["sl_rate"], found["timeout_rate"]) == (0.0, 1.0)
    # Wilson of 1.2 of 1.2: 1 / (1 + z2 / n), z2 = 3.8415.
    assert found["timeout_rate_low"] == pytest.approx(1.2 / (1.2 + 3.841459), rel=1e-6)
    assert found["timeout_rate_high"] == 1.0
    assert found["sl_rate_low"] == 0.0
    assert found["sl_rate_high"] == pytest.approx(3.841459 / (1.2 + 3.841459), rel=1e-6)


def test_an_even_count_has_its_median_between_the_middle_two() -> None:
    score = score_of({6: 1, 12: -1})
    assert row_of(score, market(), sound_rules(**RULES))["median_time_to_outcome_ms"] == 250.0
    assert row_of(score_of({6: 1}), market(), sound_rules(**RULES))["median_time_to_outcome_ms"] == 200.0
    assert isnan(row_of(score_of({46: -1}), market(), sound_rules(**RULES))["median_time_to_outcome_ms"])


def test_marks_are_as_far_off_in_wider_bins() -> None:
    """At 200 ms a second is five bins, and a tenth of one a bin all the same."""
    found = row_of(score_of({6: 1}), market(), sound_rules(**RULES, cell_width_ms=200))
    assert found["markout_100ms_ticks"] == 2.0  # bin 8
    assert found["markout_1000ms_ticks"] == 0.0  # bin 12
    later = row_of(score_of({11: 1}), market(), sound_rules(**RULES, cell_width_ms=200))
    assert later["markout_1000ms_ticks"] == 3.0  # bin 17, five after 12
    assert later["markout_5000ms_ticks"] == -1.0  # bin 37


def test_at_the_mid_a_loss_too_is_booked_at_its_barrier_and_all_bins_are_hours() -> None:
    r = reference_rules(tp_ticks=2, sl_ticks=1, max_hold_bins=10, warmup_bins=1, cooldown_bins=0, tick_size=1.0)
    tape = mid_tape(np.array([100.0, 100.0, 91.0, np.nan]))
    found = row_of(np.array([1.0, 1.0, 0.0, 0.0]), tape, r)
    assert (found["mean_pnl_ticks"], found["expectancy_ticks"], found["n_signals"]) == (-9.0, -1.0, 1)
    assert found["events_per_scored_hour"] == pytest.approx(1 / (0.3 / 3600))


def test_a_record_without_spread_or_loss_has_no_ratio() -> None:
    silent = row_of(np.zeros(N), market(), sound_rules(**RULES))
    assert isnan(silent["sharpe"])
    assert isnan(silent["profit_factor"])
    assert silent["max_drawdown_ticks"] == 0.0
    winner = row_of(score_of({6: 1}), market(), sound_rules(**RULES))
    assert isnan(winner["profit_factor"])
    assert winner["sharpe"] > 0


def test_a_fractional_barrier_is_met_between_the_ticks() -> None:
    """Bought at 1001, the bid reaches 1002 in bin 8 and 1010 in bin 9: a profit of 8.5 ticks is met in bin 9, of 1 in bin 8."""
    for tp, leave in ((1.0, 100.0), (1.5, 200.0), (8.5, 200.0), (9.0, 200.0)):
        found = row_of(score_of({6: 1}), market(), sound_rules(**{**RULES, "tp_ticks": tp}))
        assert (found["tp_rate"], found["mean_pnl_ticks"], found["mean_hold_ms"]) == (1.0, tp, leave)
    assert row_of(score_of({6: 1}), market(), sound_rules(**{**RULES, "tp_ticks": 9.5}))["tp_rate"] == 0.0


def test_each_rule_of_a_walk_has_its_own_barriers_and_cooldown() -> None:
    changes = [(8, 4, 0), (3, 9, 0), (8, 4, 30), (1, 12, 7)]
    rules = [sound_rules(**{**RULES, "tp_ticks": tp, "sl_ticks": sl, "cooldown_bins": c}) for tp, sl, c in changes]
    tape = market()
    rows = statistics_of(walk_all(score_of(FIRES) * 0.7, tape, [0.5, 0.6], rules), tape, times(N))
    assert [(row["threshold"], row["cooldown_bins"]) for row in rows] == [(t, c) for t in (0.5, 0.6) for *_, c in changes]
    for row, r in zip(rows, rules * 2, strict=True):
        alone = row_of(score_of(FIRES), tape, r)
        for name in ("n_signals", "mean_pnl_ticks", "expectancy_ticks", "break_even_rate", "excess_rate", "mean_hold_ms"):
            assert row[name] == alone[name], (name, r)
    assert [row["break_even_rate"] for row in rows[:4]] == pytest.approx([6.48 / 12, 11.48 / 12, 6.48 / 12, 14.48 / 13])


def test_levels_of_a_probability_lie_about_a_half() -> None:
    up, down = levels([0.6, 0.75], "probability", sound_rules())
    assert (up.tolist(), down.tolist()) == ([0.6, 0.75], pytest.approx([0.4, 0.25]))
    up, down = levels([0.6], "signed", sound_rules())
    assert (up.tolist(), down.tolist()) == ([0.6], [-0.6])


@pytest.mark.parametrize(("trigger", "is_up"), [("edge", True), ("level", False)])
def test_at_a_threshold_of_0_a_score_of_0_is_up_for_edges_and_down_for_levels(trigger: str, is_up: bool) -> None:
    up, down = levels([0.0], "signed", sound_rules(trigger=trigger))
    assert (bool(up[0] <= 0.0), bool(down[0] >= 0.0)) == (is_up, True)
    assert bool(up[0] <= 5e-324)
