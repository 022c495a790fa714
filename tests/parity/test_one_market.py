"""A market moved as a whole, or told in another tick, is the same market: nothing changes but its prices.

Source: engine.md, "Units" and section 1: zero and negative prices are prices.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import InstrumentConfig
from tests.fuzzing import fuzz, sessions
from tests.reference import UNDEF_PRICE, Record
from tests.sessions import Bins, differences, run_engine, run_reference, small_config
from tests.streams import MID_TICK, TICK, build_up, record

CONFIG = small_config()
PRICES = (
    *("best_bid_price_int", "best_ask_price_int", "spot_ref_price_int", "last_trade_price_int"),
    *("bid_low_int", "bid_high_int", "ask_low_int", "ask_high_int"),
)
# Tenths and hundredths of a dollar, a hundredth of a cent, a 64th, what no unit is, the smallest there is.
OTHER_TICKS = (0.1, 0.01, 0.00005, 0.015625, 1.0, 0.3, 1e-9)
MS = 1_000_000


def told(records: Sequence[Record], shift_ticks: int, tick_int: int) -> list[Record]:
    """Records whose prices lie on ticks of TICK, moved by some ticks and then told in ticks of another size."""
    return [r if r.price == UNDEF_PRICE else replace(r, price=(r.price // TICK + shift_ticks) * tick_int) for r in records]


def require_same_market(bins: Bins, moved: Bins, shift_ticks: int, tick_int: int) -> None:
    """Every field and every row equal to the last bit, and the prices those of the other market."""
    assert len(bins.fields) == len(moved.fields)
    expected = bins.fields.copy()
    for name in PRICES:
        price = bins.fields[name]
        is_missing = price == UNDEF_PRICE
        expected[name] = np.where(is_missing, UNDEF_PRICE, (np.where(is_missing, 0, price) // TICK + shift_ticks) * tick_int)
    bid, ask = expected["best_bid_price_int"], expected["best_ask_price_int"]
    has_both = (bid != UNDEF_PRICE) & (ask != UNDEF_PRICE)
    expected["mid_price"] = np.where(has_both, (bid / 2.0 + ask / 2.0) / 1e9, np.nan)
    for name in expected.dtype.names or ():
        assert moved.fields[name].tobytes() == expected[name].tobytes(), name
    for name, column in bins.grid.items():
        assert moved.grid[name].tobytes() == column.tobytes(), name


def in_tick(tick_size: float) -> InstrumentConfig:
    return small_config(tick_size=tick_size)


@given(sessions(max_parts=5), st.one_of(st.integers(-MID_TICK - 12, -MID_TICK + 12), st.integers(-(10**9), 10**9)))
@fuzz(60)
def test_moved_market_is_the_same_market(stream: list[Record], shift_ticks: int) -> None:
    """By so many ticks that prices pass through zero, and by any other number."""
    records = [*build_up(), *stream]
    bins = run_engine(CONFIG, records)
    require_same_market(bins, run_engine(CONFIG, told(records, shift_ticks, TICK)), shift_ticks, TICK)


@given(sessions(max_parts=5), st.sampled_from(OTHER_TICKS), st.sampled_from([0, -MID_TICK, -2 * MID_TICK]))
@fuzz(60)
def test_market_told_in_another_tick_is_the_same_market(stream: list[Record], tick_size: float, shift_ticks: int) -> None:
    records = [*build_up(), *stream]
    bins, tick_int = run_engine(CONFIG, records), round(tick_size * 1e9)
    require_same_market(bins, run_engine(in_tick(tick_size), told(records, shift_ticks, tick_int)), shift_ticks, tick_int)


@given(sessions(max_parts=4), st.integers(-MID_TICK - 9, -MID_TICK + 9))
@fuzz(15)
def test_plain_reading_agrees_about_zero(stream: list[Record], shift_ticks: int) -> None:
    records = told([*build_up(), *stream], shift_ticks, TICK)
    theirs, _ = run_reference(CONFIG, records)
    assert differences(run_engine(CONFIG, records), theirs) == {}


# By hand: a bid that steps through zero and back, a tick a bin, with a trade on it in each bin.

BIDS = (3, 2, 1, 0, -1, -2, -3, -2, -1, 0, 1, 2, 3)  # ticks; the ask is one above


def through_zero() -> list[Record]:
    stream = told(build_up(), -MID_TICK - 100, TICK)  # far bids, asks that go at once
    stream = [r if r.side != "A" else replace(r, price=r.price + 200 * TICK) for r in stream]
    for i, bid in enumerate(BIDS):
        action = "M" if i else "A"
        quotes = [
            record(action, 10, price=bid * TICK, size=7, time=i * 100 * MS + 10),
            record(action, 11, side="A", price=(bid + 1) * TICK, size=9, time=i * 100 * MS + 10),
        ]
        rises = i > 0 and bid > BIDS[i - 1]
        stream += quotes[::-1] if rises else quotes  # the side that makes room goes first
        stream.append(record("T", 0, side="A", price=bid * TICK, size=1, time=i * 100 * MS + 20))
    return stream


@pytest.fixture(scope="module")
def crossing() -> Bins:
    bins = run_engine(small_config(n_absolute_ticks=1024), through_zero())
    assert len(bins.fields) == len(BIDS)
    return bins


def test_no_move_is_lost_at_zero(crossing: Bins) -> None:
    moves = [0, -1, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1, 1]
    for side in ("bid", "ask"):
        assert crossing.fields[f"best_{side}_move_ticks"].tolist() == moves
        assert crossing.fields[f"{side}_reprice_sign"].tolist() == moves
    assert crossing.fields["chase_down_flag"].tolist() == [0] + [1] * 6 + [0] * 6
    assert crossing.fields["chase_up_flag"].tolist() == [0] * 7 + [1] * 6


def test_a_trade_at_zero_is_the_last_trade(crossing: Bins) -> None:
    assert crossing.fields["last_trade_price_int"].tolist() == [bid * TICK for bid in BIDS]
    assert crossing.fields["trade_count"].tolist() == [1] * len(BIDS)


def test_quotes_at_zero_and_below_are_quotes(crossing: Bins) -> None:
    fields = crossing.fields
    assert fields["best_bid_price_int"].tolist() == [bid * TICK for bid in BIDS]
    assert fields["best_ask_price_int"].tolist() == [(bid + 1) * TICK for bid in BIDS]
    assert fields["mid_price"].tolist() == [(bid + 0.5) / 4 for bid in BIDS]
    assert fields["spot_ref_price_int"].tolist() == [(bid + 1) * TICK for bid in BIDS]  # a half tick goes up, below zero too
    assert fields["quality"].tolist() == [0] * len(BIDS)
    low = [min(pair) * TICK for pair in pairwise(BIDS)]  # of the bin and of its start; the first has seen the far quotes
    assert fields["bid_low_int"].tolist()[1:] == low


def test_what_is_missing_is_marked_by_what_no_price_is() -> None:
    """One bid at 0.00 and no ask: the bid is known, the mid is not."""
    bins = run_engine(CONFIG, [record("R", 0, side="N", price=UNDEF_PRICE), record("A", 1, price=0, size=4)])
    one = bins.fields[0]
    assert (one["best_bid_price_int"], one["best_bid_size"]) == (0, 4)
    missing = ("best_ask_price_int", "spot_ref_price_int", "last_trade_price_int", "bid_low_int", "ask_high_int")
    assert [int(one[name]) for name in missing] == [UNDEF_PRICE] * len(missing)
    assert np.isnan(one["mid_price"])


@pytest.mark.parametrize("price", [-(2**62), -(2**63), 2**62, 2**63 - 2])
def test_no_price_is_taken_for_an_empty_side(price: int) -> None:
    """At the smallest tick every price is a tick, the ends of the range too."""
    bins = run_engine(in_tick(1e-9), [record("A", 1, price=price, size=4), record("A", 2, price=price, size=3, time=MS)])
    assert (int(bins.fields["best_bid_price_int"][0]), int(bins.fields["best_bid_size"][0])) == (price, 7)
