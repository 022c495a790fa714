"""Whom a choice takes, by what it knows, and what it then earns: on rows made by hand."""

import json
from typing import Any

import numpy as np
import pytest

from tests.test_tune.made import HOUR, START, frame, made
from tests.test_tune.markets import sound_rules
from tune.intervals import mean_interval
from tune.outofsample import Choosing, choose_as_you_go, chosen, fold_picks, out_of_sample, promise, stitch
from tune.splits import fold_blocks, fold_starts


def often(n: np.ndarray, *rest: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sums of candidates whose stops were seen often enough to count as they came."""
    return n, *rest, np.full(len(n), 10.0), np.full(len(n), 99.0)


def test_a_promise_is_the_lower_bound_of_the_mean() -> None:
    """Ten of sum 20 and squares 60: mean 2, variance 20 / 9, less 1.6449 errors of 0.4714. Five are enough, four are not."""
    n, total, square = np.array([10.0, 5.0, 4.0, 0.0]), np.array([20.0, 10.0, 8.0, 0.0]), np.array([60.0, 30.0, 24.0, 0.0])
    low = promise(*often(n, total, square))
    assert low[:2].tolist() == pytest.approx([2 - 1.6448536 * 0.4714045, 2 - 1.6448536 * 0.7071068], abs=1e-6)
    assert low[2:].tolist() == [-np.inf, -np.inf]


def test_the_choice_is_by_the_bound_and_not_by_the_mean() -> None:
    """Of means 2 and 3 the second is less sure: 3 - 1.645 * sqrt(90 / 9 / 10) = 1.36 against 1.22; at 80 more squares 0.74."""
    n, total = np.array([10.0, 10.0]), np.array([20.0, 30.0])
    assert chosen(*often(n, total, np.array([60.0, 180.0]))) == 1
    assert chosen(*often(n, total, np.array([60.0, 260.0]))) == 0


def test_of_equals_the_first_is_chosen_and_of_none_none() -> None:
    n, total, square = np.array([1.0, 9.0, 9.0]), np.array([9.0, 3.0, 3.0]), np.array([9.0, 5.0, 5.0])
    assert chosen(*often(n, total, square)) == 1
    assert chosen(*often(n[:1], total[:1], square[:1])) == -1
    assert chosen(*often(n[:0], total[:0], square[:0])) == -1


def test_stops_that_were_not_seen_are_imagined() -> None:
    """Thirty wins of 6 and no stop of 40: at 95 % one may lurk in 1 - .05 ** (1 / 30) = 9.50 % of all trades, which costs 4.37.

    With nine seen of forty trades it may be 36.0 % of them (SciPy: beta.ppf(.95, 10, 31) = .35979); ten speak for themselves.
    """
    n, total, square = np.array([30.0, 40.0, 40.0]), np.array([180.0, -174.0, -220.0]), np.array([1080.0, 15516.0, 17080.0])
    stops, loss = np.array([0.0, 9.0, 10.0]), np.full(3, 40.0)
    low = promise(n, total, square, stops, loss)
    seen = -220 / 40 - 1.6448536 * np.sqrt((17080 - 220**2 / 40) / 39 / 40)
    assert low.tolist() == pytest.approx([6 - 0.0950339 * 46, 6 - 0.3597924 * 46, seen], abs=1e-4)
    # Six ticks for sure beat sixteen wins of 20 behind a stop of 400 that never came.
    n, total, square = np.array([30.0, 16.0]), np.array([180.0, 320.0]), np.array([1080.0, 6400.0])
    assert chosen(n, total, square, np.zeros(2), np.array([40.0, 400.0])) == 0


@pytest.mark.parametrize(
    ("n_folds", "blocks"),
    [(1, [24]), (2, [16, 32]), (3, [12, 24, 36]), (4, [10, 19, 29, 38]), (5, [8, 16, 24, 32, 40]), (23, list(range(2, 48, 2)))],
)
def test_folds_begin_with_these_blocks(n_folds: int, blocks: list[int]) -> None:
    assert fold_blocks(n_folds).tolist() == blocks


def test_folds_begin_with_these_bins() -> None:
    """4700 bins from 300 on are 97.92 a block: 8 of them end within bin 1083."""
    assert fold_starts(300, 5000, 5).tolist() == [1084, 1867, 2650, 3434, 4217]
    assert fold_starts(4, 100, 5).tolist() == [20, 36, 52, 68, 84]


def blocks_of(*rows: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Trades and net ticks by block, the same in each block of a row but for a wave that tells the blocks apart."""
    block = np.arange(48)
    return (
        np.array([np.full(48, n) for n, _ in rows]),
        np.array([np.where(block % 2, pnl + 0.5, pnl - 0.5) for _, pnl in rows]),
    )


def test_each_fold_earns_what_its_pick_does_there_and_the_first_part_nothing() -> None:
    block_n, block_pnl = blocks_of((1, 10), (2, 20), (3, 30))
    n, pnl = stitch([2, -1, 0], block_n, block_pnl, 3)
    assert n.tolist() == [0] * 12 + [3] * 12 + [0] * 12 + [1] * 12
    assert pnl.tolist() == [0.0] * 12 + [29.5, 30.5] * 6 + [0.0] * 12 + [9.5, 10.5] * 6


def candidate(threshold: float, known: list[tuple[float, float]], **changes: Any) -> dict[str, Any]:
    """A row; ``known`` are number and sum of what each fold may learn from, of squares that make a mean its own bound."""
    sums: dict[str, Any] = {
        "fold_n": [n for n, _ in known],
        "fold_sum": [total for _, total in known],
        "fold_square": [total * total / n if n else 0.0 for n, total in known],
        "fold_stops": [10.0] * len(known),  # so many tell themselves how often they come
        "full_loss_ticks": 0.0,
        "n_effective": 50.0,
    }
    return made(changes.pop("run_id", "r"), threshold, **sums, **changes)


BLOCK_N, BLOCK_PNL = blocks_of((1, 1), (2, -3), (5, 50))
ROWS = [  # the first is best before block 16, the second before block 32, the third best in sample
    candidate(0.1, [(9, 9), (9, 1)], block_n=BLOCK_N[0], block_pnl=BLOCK_PNL[0], mean_hold_ms=5_000.0, expectancy_low=-2.0),
    candidate(0.2, [(9, 1), (9, 9)], block_n=BLOCK_N[1], block_pnl=BLOCK_PNL[1], mean_hold_ms=12e3, expectancy_low=np.nan),
    candidate(0.3, [(4, 99), (4, 99)], block_n=BLOCK_N[2], block_pnl=BLOCK_PNL[2], mean_hold_ms=9e9, expectancy_low=-1.0),
]  # fmt: skip
RULES = sound_rules(n_folds=2, warmup_bins=300)


def test_a_fold_picks_by_its_own_column() -> None:
    assert fold_picks(ROWS, 2) == [0, 1]
    assert fold_picks(ROWS[2:], 2) == [-1, -1]


def test_a_points_figures_out_of_sample_by_hand() -> None:
    """5100 bins: 100 a block. Sixteen blocks of one trade and a tick, sixteen of two trades and -3 ticks; the longest of the two
    mean holds is 120 bins, twice that 2.4 blocks, so that three make one of the bootstrap's."""
    found = out_of_sample(ROWS, RULES, 5100)
    n, pnl = np.zeros((1, 48)), np.zeros((1, 48))
    n[0, 16:32], n[0, 32:], pnl[0, 16:32], pnl[0, 32:] = 1, 2, BLOCK_PNL[0, 16:32], BLOCK_PNL[1, 32:]
    (low,), (high,) = mean_interval(n, pnl, np.array([3]))
    assert found == {
        "oos_threshold": 0.3,
        "oos_n_signals": 48,
        "oos_expectancy_ticks": pytest.approx(-32 / 48),
        "oos_expectancy_low": low,
        "oos_expectancy_high": high,
        "oos_n_folds": 2,
    }
    assert low < -32 / 48 < high


def test_the_bound_out_of_sample_allows_for_stops_not_seen_there() -> None:
    """Sixteen trades of a tick and 32 of -1.5 with three stops among them, a full one costs 60: the others earn 148 / 45, and at
    one-sided 97.5 % up to 17.20 % are stops (SciPy: beta.ppf(.975, 4, 45) = .17196). At half the independent trades up to
    24.1 % (beta.ppf(.975, 2.5, 22.5) = .24140)."""
    stops = np.zeros(48)
    stops[[20, 33, 40]] = 1.0
    rows = [{**row, "full_loss_ticks": 60.0, "block_stops": stops} for row in ROWS]
    assert out_of_sample(rows, RULES, 5100)["oos_expectancy_low"] == pytest.approx(
        148 / 45 - 0.1719599 * (148 / 45 + 60), abs=1e-4
    )
    half = [{**row, "n_effective": 25.0} for row in rows]
    assert out_of_sample(half, RULES, 5100)["oos_expectancy_low"] == pytest.approx(
        148 / 45 - 0.2414030 * (148 / 45 + 60), abs=1e-4
    )
    high = out_of_sample(rows, RULES, 5100)["oos_expectancy_high"]
    assert high == out_of_sample(ROWS, RULES, 5100)["oos_expectancy_high"]


def test_a_fold_without_a_choice_trades_nothing_and_does_not_count() -> None:
    rows = [{**ROWS[0], "fold_n": [4.0, 9.0]}]
    found = out_of_sample(rows, RULES, 5100)
    assert (found["oos_n_signals"], found["oos_n_folds"], found["oos_threshold"]) == (16, 1, 0.1)
    none = out_of_sample(ROWS[2:], RULES, 5100)
    assert (none["oos_n_signals"], none["oos_n_folds"], none["oos_threshold"]) == (0, 0, 0.3)
    assert np.isnan([none["oos_expectancy_ticks"], none["oos_expectancy_low"]]).all()
    nothing = out_of_sample(ROWS[1:2], RULES, 5100)
    assert np.isnan(nothing["oos_threshold"])


# --- over sessions ---

ONE_FOLD = {"n_folds": 1, "cell_width_ms": 100}
FLAT = {"block_n": [0.0] * 48, "block_pnl": [0.0] * 48, "mean_hold_ms": 9e9}


def session(start: int, end: int, **changes: Any) -> list[dict[str, Any]]:
    """Two candidates of one fold: A, a trade and a tick a block, and B, two trades and three ticks, which earns more a trade.

    By what their fold knows A is the better one. Their mean holds are one and two blocks of an hour.
    """
    block_n, block_pnl = blocks_of((1, 1), (2, 3))
    common = {"start_ns": start, "end_ns": end, "run_id": f"r{start}", "rules_json": json.dumps(ONE_FOLD), **changes}
    # Squares over a whole session: those of A spread it, those of B do not.
    return [
        candidate(0.1, [(9, 18)], block_n=block_n[0], block_pnl=block_pnl[0], mean_hold_ms=75e3, net_square=480.0, **common),
        candidate(0.2, [(9, 9)], block_n=block_n[1], block_pnl=block_pnl[1], mean_hold_ms=150e3, net_square=216.0, **common),
        candidate(0.3, [(0, 0)], **FLAT, **common),
    ]


MIDDAY = START + HOUR


def expected(*parts: tuple[int, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Blocks one after another: how many, with how many trades, and with how many ticks about which the wave goes."""
    n = [count for length, count, _ in parts for _ in range(length)]
    pnl = [
        0.0 if not count else level + (0.5 if place % 2 else -0.5) for length, count, level in parts for place in range(length)
    ]
    return np.array(n, float)[None], np.array(pnl)[None]


def test_one_session_is_chosen_for_by_its_own_fold() -> None:
    found = choose_as_you_go(frame(*session(START, MIDDAY)))
    n, pnl = expected((24, 0, 0), (24, 1, 1))
    (low,), (high,) = mean_interval(n, pnl, np.array([2]))  # A's mean hold is a block, so that two make one
    assert found == Choosing(3, 1, 24, 1.0, low, high)


def test_a_session_that_was_over_lends_all_its_trades_to_the_next() -> None:
    """In the second session B is chosen from its first bin on, and again by its fold, where A alone would be: both know the first
    session's 96 trades and 144 ticks of B beside nine and nine of its own, of A 48 and 48 beside nine and eighteen."""
    rows = [*session(MIDDAY, MIDDAY + HOUR), *session(START, MIDDAY)]  # whichever comes first
    found = choose_as_you_go(frame(*rows))
    n, pnl = expected((24, 0, 0), (24, 1, 1), (48, 2, 3))
    (low,), (high,) = mean_interval(n, pnl, np.array([4]))  # B's mean hold is two blocks
    assert found == Choosing(3, 2, 120, pytest.approx(168 / 120), pytest.approx(low), pytest.approx(high))


def test_a_session_that_was_not_over_lends_nothing() -> None:
    rows = [*session(START, MIDDAY + 1), *session(MIDDAY, MIDDAY + HOUR)]
    found = choose_as_you_go(frame(*rows))
    assert (found.n_sessions, found.n_signals, found.expectancy_ticks) == (2, 48, 1.0)


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"signal_name": "t"}, False),
        ({"resolved_params_json": '{"a": 2}'}, False),
        ({"rules_json": json.dumps({**ONE_FOLD, "cooldown_bins": 31})}, False),
        ({"grid_variant_id": "v"}, False),
        ({"run_id": "another"}, True),
        ({"dataset_id": "another"}, True),
        ({"signal_params_json": '{"a": 2}'}, True),
    ],
)
def test_a_candidate_is_the_same_in_another_session_where_all_that_made_it_agrees(change: dict[str, Any], is_same: bool) -> None:
    rows = [*session(START, MIDDAY), *session(MIDDAY, MIDDAY + HOUR, **change)]
    found = choose_as_you_go(frame(*rows))
    assert (found.n_candidates, found.n_signals) == ((3, 120) if is_same else (6, 48))


def test_thresholds_agree_by_their_place_and_not_by_their_number() -> None:
    later = [{**row, "threshold": row["threshold"] * 7} for row in session(MIDDAY, MIDDAY + HOUR)]
    found = choose_as_you_go(frame(*session(START, MIDDAY), *later))
    assert (found.n_candidates, found.n_signals) == (3, 120)
    # Without A the one that trades nothing stands second there, where B stood: it is taken for what B earned.
    fewer = choose_as_you_go(frame(*session(START, MIDDAY), *later[1:]))
    assert (fewer.n_candidates, fewer.n_signals) == (3, 24)


def test_rows_of_an_older_version_are_no_candidates() -> None:
    rows = session(START, MIDDAY)
    rows[1]["fill_model"] = None
    assert choose_as_you_go(frame(*rows)).n_candidates == 2


def test_runs_of_other_folds_are_chosen_among_themselves() -> None:
    two_folds = [{**row, "rules_json": '{"n_folds": 2, "cell_width_ms": 100}'} for row in ROWS]
    for row in two_folds:
        row.update(start_ns=START, end_ns=MIDDAY, run_id="two")
    found = choose_as_you_go(frame(*session(START, MIDDAY), *two_folds))
    assert (found.n_sessions, found.n_candidates, found.n_signals) == (2, 6, 24 + 48)


def test_what_choosing_came_to_in_words() -> None:
    assert Choosing(3, 2, 120, 1.4, -0.5, 2.25).line == (
        "choosing as you go among 3 rows, each fold by what came before it: net +1.40 [-0.50 +2.25] ticks a trade, 120 trades, "
        "2 sessions"
    )
    nan = float("nan")
    assert Choosing(3, 1, 7, 1.4, nan, nan).line.endswith("net +1.40 [?] ticks a trade, 7 trades, 1 session")
    assert Choosing(3, 1, 0, nan, nan, nan).line == (
        "choosing as you go among 3 rows: no fold had trades enough before it to choose by"
    )
