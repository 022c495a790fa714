"""How far a promise still stands: which trades count, and what they weigh."""

import math
from typing import Any

import numpy as np
import pytest

from engine.champion import Promise
from engine.trades.evidence import BLOCK_NS, E_LEVEL, N_BETS, Evidence, bets, block_growth, log_e, shortfall, trade_growth

DATA_END = 1_000_000_000_000
LONGEST = 60_000_000_000


def promise(**changes: Any) -> Promise:
    values: dict[str, Any] = {
        "at_least_ticks": 1.0,
        "net_ticks": 2.0,
        "low_ticks": 1.0,
        "high_ticks": 3.0,
        "n_trades": 50,
        "trades_per_hour": 30.0,
        "data_end_ns": DATA_END,
        "best_ticks": 6.0,
        "fee_ticks": 2.0,
        "longest_ns": LONGEST,
        "fill": "touch",
        "plan": {},
    }
    return Promise(**{**values, **changes})


def opened(i: int, at: int, session: str = "s", start: int = DATA_END) -> dict[str, Any]:
    return {"kind": "open", "session": session, "bin": i, "entry_ns": at, "session_start_ns": start}


def closed(i: int, at: int, net: float = -5.0, session: str = "s") -> dict[str, Any]:
    return {"kind": "close", "session": session, "bin": i, "exit_ns": at, "net_ticks": net}


def after(*entries: dict[str, Any], **changes: Any) -> Evidence:
    evidence = Evidence(promise(**changes))
    for entry in entries:
        evidence.take(entry)
    return evidence


def test_bets_are_such_that_no_trade_ruins_them() -> None:
    sizes = bets(1.0, 6.0)  # ten ticks of room: twice from the promise to the profit
    assert sizes[0] == 0.9 / 10
    assert np.array_equal(sizes[1:] * 2, sizes[:-1])
    assert shortfall(np.array([1.0, -3.0, 6.0, 11.0, 12.0]), 1.0, 6.0).tolist() == [0.0, 4.0, -5.0, -10.0, -10.0]
    assert trade_growth(np.float64(-10.0), sizes)[0] == pytest.approx(math.log(0.1))
    assert bets(6.0, 6.0)[0] == 0.9 / 2  # a promise as high as the profit still leaves a tick each way


def test_what_a_trade_and_a_half_hour_weigh() -> None:
    sizes = np.array([0.1, 0.05])
    assert trade_growth(np.float64(4.0), sizes) == pytest.approx([math.log(1.4), math.log(1.2)])
    assert block_growth(np.float64(4.0), sizes) == pytest.approx([0.4 - 0.08, 0.2 - 0.02])
    assert log_e(np.zeros(N_BETS)) == 0.0
    assert float(log_e(np.array([math.log(3.0), math.log(1.0)]))) == pytest.approx(math.log(2.0))


def test_the_e_value_is_the_smaller_of_the_two_stakes() -> None:
    at = [DATA_END + i * BLOCK_NS for i in range(3)]
    evidence = after(*(entry for i in range(3) for entry in (opened(i, at[i]), closed(i, at[i] + 1, -5.0))))
    sizes = bets(1.0, 6.0)
    by_trade = float(log_e(3 * trade_growth(np.float64(6.0), sizes)))
    by_block = float(log_e(2 * block_growth(np.float64(6.0), sizes)))  # the third half hour is not over
    assert by_block < by_trade
    assert evidence.e_value == pytest.approx(math.exp(by_block), rel=1e-12)
    assert (evidence.n_trades, evidence.net_mean) == (3, -5.0)


@pytest.mark.parametrize(
    ("entries", "n"),
    [
        ([opened(1, DATA_END + 5), closed(1, DATA_END + 9)], 1),
        ([opened(1, DATA_END + 5, start=DATA_END - 1), closed(1, DATA_END + 9)], 0),  # its session began within the data
        ([opened(1, DATA_END + 5)], 0),  # not over
        ([opened(1, 10**13), closed(1, 10**13 + 9), opened(2, 10**13 + 9), closed(2, 10**13 + 11)], 2),
        ([opened(1, 10**13), closed(1, 10**13 + 9), opened(2, 10**13 + 8), closed(2, 10**13 + 11)], 1),  # they overlap
        ([opened(1, 10**13), opened(2, 10**13 + 3), closed(2, 10**13 + 5), closed(1, 10**13 + 9)], 1),  # the first entered counts
        (
            [
                opened(1, 10**13),
                closed(1, 10**13 + 9),
                opened(1, 10**12 + 5, "earlier"),
                closed(1, 10**12 + 6, session="earlier"),
            ],
            1,
        ),
        # Another session while one waits for its end, then long after.
        ([opened(1, 10**13), opened(1, 10**13 + 2 * LONGEST, "b"), closed(1, 10**13 + 2 * LONGEST + 1, session="b")], 0),
        ([opened(1, 10**13), opened(1, 10**13 + 2 * LONGEST + 1, "b"), closed(1, 10**13 + 2 * LONGEST + 2, session="b")], 1),
    ],
)
def test_which_trades_count(entries: list[dict[str, Any]], n: int) -> None:
    assert after(*entries).n_trades == n


def test_the_trade_entered_first_counts_whichever_ends_first() -> None:
    evidence = after(opened(1, 10**13), opened(2, 10**13 + 3), closed(2, 10**13 + 5, 9.0), closed(1, 10**13 + 9, -2.0))
    assert evidence.net_mean == -2.0


def test_a_broken_promise_stays_broken_and_says_since_when() -> None:
    entries = [e for i in range(60) for e in (opened(i, DATA_END + i * BLOCK_NS), closed(i, DATA_END + i * BLOCK_NS + 1, -5.0))]
    evidence = after(*entries)
    assert evidence.is_broken
    assert evidence.e_value >= E_LEVEL
    assert evidence.broken_after is not None
    one_less = after(*entries[: 2 * evidence.broken_after - 2])
    assert not one_less.is_broken
    assert one_less.e_value < E_LEVEL
    first = evidence.broken_after
    for i in range(60, 1500):
        evidence.take(opened(i, DATA_END + i * BLOCK_NS))
        evidence.take(closed(i, DATA_END + i * BLOCK_NS + 1, 5.0))
    assert evidence.e_value < E_LEVEL
    assert (evidence.is_broken, evidence.broken_after) == (True, first)
    assert evidence.line.startswith(
        f"on trial: 1500 live trades, net +4.60 ticks each where +1.00 was promised; broken after {first}"
    )


def test_what_is_said() -> None:
    assert after().line == "no live evidence yet"
    assert after().told()["net_mean"] is None
    said = after(opened(1, 10**13), closed(1, 10**13 + 9, 1.5)).line
    assert said.startswith("1 live trade, net +1.50 ticks each where +1.00 was promised; the promise stands")
