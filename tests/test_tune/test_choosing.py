"""What following the leaderboard would have earned, over sessions in time: on rows made by hand."""

import json
from typing import Any

import numpy as np
import pytest

from tests.test_tune.made import HOUR, START, frame
from tests.test_tune.test_outofsample import ROWS, blocks_of, candidate
from tune.choosing import Choosing, choose_as_you_go
from tune.intervals import mean_interval
from tune.pooled import sessions_interval

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
    low, high = sessions_interval(n.reshape(2, 48), pnl.reshape(2, 48), 2.0)
    assert (found.n_candidates, found.n_sessions, found.n_signals) == (3, 2, 120)
    assert (found.expectancy_ticks, found.low, found.high) == pytest.approx((168 / 120, low, high))


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
